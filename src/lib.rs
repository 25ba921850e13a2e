//! Medical devices as HL7 FHIR STU3 (3.0.2) resources: lossless reading and writing, validation, and software updates.
//!
//! The crate reads, validates, changes and writes [`Device`], [`DeviceComponent`] and [`DeviceMetric`]: every fault of
//! a document is reported with its path, and no data is lost. It also receives software updates, and attaches each to
//! its target component.
//!
//! ```
//! use fhir_devices::{DeviceMetric, Validate};
//!
//! let json = br#"{"resourceType":"DeviceMetric","identifier":{"value":"1.4.1"},"type":{"text":"SpO2"},
//!     "category":"measurement","measurementPeriod":{"repeat":{"period":1.50}}}"#;
//! let metric = DeviceMetric::from_json(json)?; // or a Report with every issue
//! assert!(metric.to_json().contains("1.50")); // digits are kept
//! let report = metric.validate(); // the rules over several elements
//! assert_eq!(report.issues()[0].rule, "tim-2"); // a period needs its unit
//! assert_eq!(report.issues()[0].at, "DeviceMetric.measurementPeriod.repeat");
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! # Layers
//!
//! The layers of the crate, top first: each module depends only on those below it.
//!
//! | module | contents |
//! | --- | --- |
//! | [`manual`] | design, conformance, limits, operation, and how to write a store |
//! | `server` | the HTTP service as an axum router (feature `server`) |
//! | `testkit` | strategies for valid resources, and contract suites for stores (feature `testkit`) |
//! | [`backend`] | stores: in memory, and engines by feature |
//! | [`ddi`] | hawkBit's device interface over the service, without HTTP: SWUpdate and other clients |
//! | [`service`] | async drivers of the update logic over the caller's stores |
//! | [`rest`] | the FHIR REST API over a store, without HTTP |
//! | [`subscription`] | notifications of changes: endpoints, schedule, and delivery |
//! | [`publish`] | the contract of a region, where devices find offered updates |
//! | [`update`] | the state machines of updates, without I/O or a clock |
//! | [`audit`] | a chained audit record for each transition |
//! | [`manifest`] | update manifests: identity, target, requirements, signatures |
//! | [`store`] | the storage contracts: resources, update files, ledger |
//! | [`search`] | search parameters and criteria, shared by the REST API, indexes and engines |
//! | [`convert`] | conversion between STU3 and R4, R4B, R5 |
//! | [`containment`] | the tree MDS > VMD > channel > metric, its findings, and selectors |
//! | [`mod@reference`] | resolution of references: literals, Bundles, contained resources, stores |
//! | [`validate`] | validation against the rules |
//! | [`resource`] | the resources |
//! | [`udi`] | UDI carriers: GS1, HIBCC, ICCBBA, IFA |
//! | [`nomenclature`] | ISO/IEEE 11073-10101 codes and levels |
//! | [`datatype`] | the datatypes |
//! | [`code`] | required value sets as enums |
//! | [`primitive`] | the primitive types |
//! | `xml` | FHIR XML from and to the JSON form (feature `xml`) |
//! | [`element`] | declaration, reading and writing of types |
//! | [`issue`] | issues, paths and reports |
//! | `support` | private shared helpers |
//!
//! # Limitations
//!
//! - **No model of another FHIR version.** R4 changed these resources so much that one model could not fit both.
//!   Documents of R4, R4B and R5 are converted by [`convert`]; elsewhere they are refused, and the report says which
//!   version they look like.
//! - **No model of other resource types.** [`Resource`] keeps any of them verbatim. Elements common to all resources,
//!   and modelled types inside them, are checked; an informational issue names the types that were not checked
//!   completely.
//! - **No terminology server, no profiles.** Codes of required bindings are checked, as their value sets are closed.
//!   Others would need licensed tables or a network.
//! - **No floats.** A [`Decimal`](primitive::Decimal) keeps its digits, and converts to `f64` on request only.
//! - **No runtime, no clock, no network.** The caller provides them.
//!
//! [`manual::conformance`] lists the enforcement of each rule, [`manual::design`] the reasons for the design.
//!
//! # Cookbook
//!
//! ## Parse
//!
//! A type parses its own documents, [`Resource`] those of every type. The error is a [`Report`], which displays one
//! issue a line and converts to an [`OperationOutcome`].
//!
//! ```
//! use fhir_devices::{DeviceComponent, OperationOutcome, Resource};
//!
//! let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"VMD"}}"#;
//! assert_eq!(DeviceComponent::from_json(json)?.to_json().as_bytes(), json);
//! assert_eq!(Resource::from_json(json)?.resource_type(), "DeviceComponent");
//!
//! let report = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent"}"#).unwrap_err();
//! let outcome = OperationOutcome::from(&report).to_json();
//! assert!(outcome.contains(r#""expression":["DeviceComponent.identifier"]"#));
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! With serde a resource is a field like any other; it uses the same reader.
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Message {
//!     sent_by: String,
//!     device: fhir_devices::Device,
//! }
//!
//! let json = r#"{"sent_by":"gateway","device":{"resourceType":"Device","model":"P9"}}"#;
//! let message: Message = serde_json::from_str(json)?;
//! assert_eq!(serde_json::to_string(&message)?, json);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! ## Validate
//!
//! Reading checks everything that types express, [`Validate::validate`] the remaining rules. [`validate::check`] does
//! both, and [`Valid`] is the proof.
//!
//! ```
//! use fhir_devices::{Device, Valid, Validate};
//!
//! let device = Device::from_json(br##"{"resourceType":"Device","owner":{"reference":"#acme"}}"##)?;
//! assert_eq!(device.validate().to_string(), "error ref-1 at Device.owner: \
//!     no contained resource has the id of the reference `#acme`");
//! assert!(Valid::new(device).is_err());
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! ## Resolve
//!
//! [`reference::resolve`] resolves every reference of a valid resource, or returns a [`Report`] of the references
//! without a target of an allowed type. A [`Resolver`](reference::Resolver) is a Bundle, a chain of resolvers, or your
//! own; [`resolve_async`](reference::resolve_async) resolves all references from a store in one call.
//!
//! ```
//! use fhir_devices::reference::{BundleResolver, resolve};
//! use fhir_devices::{Bundle, DeviceMetric, Valid};
//!
//! let bundle = Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
//!     {"resource":{"resourceType":"Device","id":"d1","model":"P9"}}]}"#)?;
//! let metric = DeviceMetric::from_json(br#"{"resourceType":"DeviceMetric","identifier":{"value":"1"},"type":{"text":"SpO2"},
//!     "category":"measurement","source":{"reference":"Device/d1"},"parent":{"reference":"DeviceComponent/c1"}}"#)?;
//! let mut metric = Valid::new(metric)?;
//! let here = BundleResolver::new(&bundle);
//! assert_eq!(resolve(&metric, &here).unwrap_err().issues()[0].at, "DeviceMetric.parent");
//!
//! metric = Valid::new(DeviceMetric { parent: None, ..metric.into_inner() })?;
//! let links = resolve(&metric, &here)?;
//! let device: &fhir_devices::Device = links.to(metric.source.as_ref().unwrap()).unwrap();
//! assert!(device.to_json().contains(r#""model":"P9""#));
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! ## Read fields
//!
//! Fields have FHIR's names. An optional element is an `Option`, a repeating one a `Vec`, and a primitive is a
//! [`Primitive`](datatype::Primitive): its value, with an optional id and extensions.
//!
//! ```
//! use fhir_devices::DeviceMetric;
//! use fhir_devices::code::MetricCategory;
//! use fhir_devices::datatype::ExtensionValue;
//!
//! let metric = DeviceMetric::from_json(br#"{"resourceType":"DeviceMetric","identifier":{"value":"1"},
//!     "extension":[{"url":"https://acme.example/resolution","valueDecimal":0.10}],
//!     "type":{"text":"SpO2"},"category":"measurement","parent":{"reference":"DeviceComponent/c1"}}"#)?;
//! assert_eq!(metric.category.value, Some(MetricCategory::Measurement));
//! assert_eq!(metric.parent.as_ref().unwrap().literal().unwrap().id(), Some("c1"));
//! let Some(ExtensionValue::Decimal(resolution)) = &metric.extension[0].value else { panic!("no decimal") };
//! assert_eq!(resolution.get().unwrap(), "0.10");
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! ## Change and write
//!
//! ```
//! use fhir_devices::datatype::{Annotation, Reference};
//! use fhir_devices::primitive::Text;
//! use fhir_devices::{Device, code::DeviceStatus};
//!
//! let mut device = Device::default().with_status(DeviceStatus::Active).with_owner(Reference::to("Organization/icu")?);
//! device.note.push(Annotation::new(Text::new("battery replaced")?));
//! assert_eq!(
//!     device.to_json(),
//!     r#"{"resourceType":"Device","status":"active","owner":{"reference":"Organization/icu"},"note":[{"text":"battery replaced"}]}"#,
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A method that takes `impl Into<..>`, such as `with_owner`, cannot infer the type of `.parse()?`: write
//! `Id::new("pump")?`. Set a primitive field by `Some(Id::new("pump")?.into())` or `Some("pump".parse()?)`.
//!
//! Methods read and set the versions that a component reports, in either code system:
//!
//! ```
//! use fhir_devices::{DeviceComponent, resource::device_component::SpecType};
//!
//! let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"},
//!     "productionSpecification":[{"productionSpec":"1.11",
//!     "specType":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"531975"}]}}]}"#;
//! let mut component = DeviceComponent::from_json(json)?;
//! assert_eq!(component.software_revision(), Some("1.11"));
//! component.set_production_spec(SpecType::SoftwareRevision, "1.12")?;
//! assert_eq!(component.software_revision(), Some("1.12"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Store
//!
//! Implement [`ResourceStore`](store::ResourceStore) (see [`manual::backend`]) or use a [`backend`]. A handle is bound to
//! one tenant and writes only [`Valid`] resources.
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::primitive::Text;
//! use fhir_devices::store::{StoreError, TenantResources};
//! use fhir_devices::{Device, Valid};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
//! let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump","version":"3.11"}"#)?;
//! let first = store.create(&Valid::new(pump)?).await?;
//!
//! let (mut pump, read) = store.get::<Device>("pump").await?;
//! pump.version = Some(Text::new("3.12")?.into());
//! let pump = Valid::new(pump)?;
//! store.update(&pump, read.version).await?;
//!
//! // A write based on the older version is a conflict.
//! let late = store.update(&pump, first.version).await;
//! assert!(matches!(late, Err(StoreError::Conflict { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! ## Import, search and show the tree
//!
//! [`import`](store::TenantResources::import) stores every entry of a Bundle, [`find`](store::TenantResources::find)
//! returns typed search results, and [`containment::TreeBuilder`] builds the device tree.
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::containment::{Profile, TreeBuilder};
//! use fhir_devices::search::Criterion;
//! use fhir_devices::store::TenantResources;
//! use fhir_devices::{Bundle, DeviceComponent, Valid};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bundle = Bundle::from_json(
//!     br#"{"resourceType":"Bundle","type":"collection","entry":[
//!     {"fullUrl":"https://ehr.example/Device/pump","resource":{"resourceType":"Device","id":"pump"}},
//!     {"fullUrl":"https://ehr.example/DeviceComponent/mds","resource":{"resourceType":"DeviceComponent","id":"mds",
//!         "identifier":{"value":"1"},"source":{"reference":"Device/pump"},
//!         "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985"}]}}}]}"#,
//! )?;
//! let tree = TreeBuilder::new().with_bundle(&bundle).build();
//! let lines: Vec<String> = tree
//!     .top_level()
//!     .flat_map(|top| top.subtree())
//!     .map(|(depth, node)| format!("{}{}", "  ".repeat(depth), node.label()))
//!     .collect();
//! assert_eq!(lines.len(), 2); // the device, and the MDS below it
//! assert_eq!(tree.report(Profile::Base).issues()[0].rule, "CT-18"); // an MDS has a VMD
//!
//! let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
//! store.import(&Valid::new(bundle)?).await?;
//! let mds = Criterion::kind("urn:iso:std:iso:11073:10101|69985".parse()?);
//! let found = store.find::<DeviceComponent>([Criterion::source("Device/pump"), mds]).await?;
//! assert_eq!(found.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! ## Receive an update
//!
//! The service selects the component, streams the bytes into the blob store, and adds a reference to the component.
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::nomenclature::Level;
//! use fhir_devices::containment::Selector;
//! use fhir_devices::service::{Submission, UpdateService};
//! use fhir_devices::store::{TenantResources, stream};
//! use fhir_devices::{Device, DeviceComponent, Valid};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Arc::new(Memory::new());
//! let tenant = "st-mary".parse()?;
//! let store = TenantResources::new(memory.clone(), "st-mary".parse()?);
//! let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
//! store.create(&Valid::new(pump)?).await?;
//! let mds = DeviceComponent::from_json(
//!     br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"source":{"reference":"Device/pump"},
//!         "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985"}]}}"#,
//! )?;
//! store.create(&Valid::new(mds)?).await?;
//!
//! let service = UpdateService::new(memory.clone(), memory.clone(), memory)?;
//! let submission = Submission::new("pump".parse()?, "pump-2.4.bin".parse()?, "application/octet-stream".parse()?)
//!     .with_target(Selector::Level(Level::Mds))
//!     .with_version("2.4".parse()?);
//! let received = service.receive(&tenant, submission, stream::once("the file")).await?;
//! assert_eq!(received.component.id, Some("mds".parse()?));
//! assert_eq!(received.version.etag(), "W/\"2\"");
//! # Ok(())
//! # }
//! ```
//!
//! On disk, the resources and the ledger are in one file, and the update files in a folder (feature `redb`). The
//! service writes the URLs of the files into the components, so the folder needs a base URL:
//!
#![cfg_attr(feature = "redb", doc = "```")]
#![cfg_attr(not(feature = "redb"), doc = "```ignore")]
//! use fhir_devices::backend::{Files, Redb};
//! use fhir_devices::service::UpdateService;
//! use std::sync::Arc;
//!
//! # let data = std::env::temp_dir().join(format!("fhir-devices-doc-durable-{}", std::process::id()));
//! # std::fs::create_dir_all(&data)?;
//! let redb = Arc::new(Redb::open(data.join("devices.redb"))?);
//! let files = Files::open(data.join("files"))?.with_base_url("https://updates.example/files".parse()?);
//! let service = UpdateService::new(redb.clone(), Arc::new(files), redb)?;
//! # drop(service);
//! # std::fs::remove_dir_all(data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An upload updates one component. To update many, make a release of the file and roll it out:
//! [`RolloutService`](service::RolloutService) and [`manual::rollouts`].
//!
//! ## Serve
//!
//! [`rest::Server`] implements the FHIR REST API over a store. Requests and responses are plain values that any HTTP
//! stack can mount, as the example `update_service` does.
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::rest::{Request, Server};
//! use fhir_devices::store::TenantResources;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
//! let server = Server::new(store, "https://devices.example/st-mary/fhir");
//! let pump = r#"{"resourceType":"Device","manufacturer":"Dräger"}"#;
//! let once = Request::new("POST", "Device").header("If-None-Exist", "manufacturer:exact=Dräger");
//! let once = once.header("Content-Type", "application/fhir+json").body(pump);
//! assert_eq!(server.handle(&once).await.status, 201);
//! assert_eq!(server.handle(&once).await.status, 200);
//! let search = Request::new("GET", "Device").query("manufacturer=drager&_revinclude=DeviceComponent:source");
//! assert_eq!(server.handle(&search).await.status, 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! The examples above need no feature. `ring` is on by default.
//!
//! - `cosmos`: `backend::Cosmos`, resources on Azure Cosmos DB for NoSQL.
//! - `ed25519`: a [`manifest::Verifier`] for Ed25519 signatures.
//! - `encryption`: [`backend`] wrappers that encrypt blobs and resource bodies.
//! - `fhir-http`: `backend::FhirServer`, resources on another FHIR STU3 server. It runs within tokio.
//! - `iot-hub`: `backend::IotHub`, a region of devices behind an Azure IoT Hub. It runs within tokio.
//! - `mqtt`: `backend::Mqtt`, a region of devices behind an MQTT 5 broker. It runs within tokio.
//! - `object-store`: `backend::Objects`, update files on Azure Blob Storage, S3, Google Cloud Storage and in local files.
//! - `postgres`: `backend::Postgres`, resources and the ledger in a PostgreSQL database. It runs within tokio.
//! - `redb`: `backend::Redb`, resources and the ledger in one file, and `backend::Files`, update files in a folder: durable, with no
//!   server and no runtime.
//! - `ring`: the default TLS crypto provider. Without it, pass your own, such as
//!   `rustls::crypto::aws_lc_rs::default_provider()`, by `with_crypto_provider`, or install one for your process. There
//!   is no feature for another provider, since it would require a C compiler in every build with all features.
//! - `server`: `server`, the HTTP service as a router that any axum application can mount.
//! - `conformance`: [`testkit`] suites for the storage contracts, with faulty test doubles; see [`manual::backend`].
//! - `ucum`: checks coded units against UCUM.
//! - `xml`: FHIR XML: every resource is read from and written to it, and the REST API accepts and returns it; see
//!   `manual::xml`.
//! - `testkit`: `conformance`, and proptest strategies for valid values and for documents with one fault.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
pub mod element;
pub mod audit;
pub mod backend;
pub mod code;
pub mod containment;
pub mod convert;
#[macro_use]
pub mod datatype;
pub mod ddi;
pub mod issue;
pub mod manifest;
pub mod manual;
pub mod nomenclature;
pub mod primitive;
pub mod publish;
pub mod reference;
pub mod resource;
pub mod rest;
pub mod search;
#[cfg(feature = "server")]
pub mod server;
pub mod service;
pub mod store;
pub mod subscription;
mod support;
#[cfg(feature = "conformance")]
pub mod testkit;
pub mod udi;
pub mod update;
pub mod validate;
#[cfg(feature = "xml")]
pub mod xml;

// Other crates whose types are part of this interface; `manual::dependencies` explains their major versions.
pub use {bytes, time, url};

pub use issue::{Issue, Report, Severity};
pub use resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Resource};
pub use validate::{Valid, Validate};
