//! Medical devices as HL7 FHIR STU3 (3.0.2) resources, lossless and checked.
//!
//! The crate reads, checks, changes and writes [`Device`], [`DeviceComponent`] and [`DeviceMetric`]: every fault of a
//! document is reported with its place, and nothing of it is lost. On top of them it receives software updates and
//! attaches each to the one component of the one device that it is for.
//!
//! ```
//! use fhir_devices::{DeviceMetric, Validate};
//!
//! let json = br#"{"resourceType":"DeviceMetric","identifier":{"value":"1.4.1"},"type":{"text":"SpO2"},
//!     "category":"measurement","measurementPeriod":{"repeat":{"period":1.50}}}"#;
//! let metric = DeviceMetric::from_json(json)?; // or a Report with every finding
//! assert!(metric.to_json().contains("1.50")); // every digit comes back
//! let report = metric.validate(); // the rules over several elements
//! assert_eq!(report.issues()[0].rule, "tim-2"); // a period needs its unit
//! assert_eq!(report.issues()[0].at, "DeviceMetric.measurementPeriod.repeat");
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! # The floors
//!
//! A module names those below it and no other.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`manual`] | why it is so, which rules are enforced, how a store is written |
//! | `server` | the HTTP service as a router that others can mount (feature `server`) |
//! | `testkit` | for tests of your own: arbitrary valid devices, the contracts of stores as suites (feature `testkit`) |
//! | [`backend`] | stores that exist: in memory, and of real engines by features |
//! | [`service`] | drives the update logic over the stores of the caller |
//! | [`rest`] | the FHIR REST API over a store, without HTTP |
//! | [`publish`] | what the caller implements for a region, where devices find what they are offered |
//! | [`update`] | what to do next, without input, output or a clock |
//! | [`audit`] | one record a transition, each bound to the one before it |
//! | [`manifest`] | what an update is for and who says so: signatures, requirements, identities |
//! | [`store`] | what the caller implements: stores of resources and of update files |
//! | [`search`] | what a search parameter means: one table for the REST API, the index of a store and the engines |
//! | [`convert`] | documents of R4, R4B and R5 from STU3 and back |
//! | [`containment`] | the tree MDS > VMD > channel > metric, its findings, and the one component that is meant |
//! | [`mod@reference`] | references resolved: literals, Bundles, contained resources, stores |
//! | [`validate`] | one walk over a value, and its rules |
//! | [`resource`] | the resources |
//! | [`udi`] | the carrier string of a device: GS1, HIBCC, ICCBBA, IFA |
//! | [`nomenclature`] | what an ISO/IEEE 11073-10101 code says about the level of a component |
//! | [`datatype`] | the datatypes, to the leaves |
//! | [`code`] | closed sets of codes |
//! | [`primitive`] | dates, decimals, ids: one text form each, checked once |
//! | [`element`] | what a type is made of: declaring, reading, writing |
//! | [`issue`] | what is wrong with a document, and where |
//! | `support` | private: helpers that several modules need, each once |
//!
//! # What it does not do, and why
//!
//! - **No model of another FHIR version.** R4 changed these resources so much that a model of both would be a model of
//!   neither. Documents of R4, R4B and R5 come in and go out by [`convert`]; elsewhere they are refused, and the report says
//!   which version they look like.
//! - **No XML.** Device gateways and the services behind them speak JSON.
//! - **No model of other resource types.** [`Resource`] keeps any of them verbatim; what every resource has, and what is
//!   modelled within them, is checked, and a finding for information names the types of which the rest was not.
//! - **No terminology, no profiles.** Required codes are checked, as their sets are closed. Others need tables that are
//!   licensed, or a network.
//! - **No floats.** A [`Decimal`](primitive::Decimal) keeps its digits; it becomes an `f64` when it is asked to.
//! - **No runtime, no clock, no network.** The caller brings them.
//!
//! What is enforced stands rule by rule in [`manual::conformance`], the reasons for the design in [`manual::design`].
//!
//! # Cookbook
//!
//! ## Parse
//!
//! A type reads its own documents, [`Resource`] those of every type. The error is a [`Report`], which shows one finding
//! a line and turns into an [`OperationOutcome`].
//!
//! ```
//! use fhir_devices::{DeviceComponent, OperationOutcome, Resource};
//!
//! let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"VMD"}}"#;
//! assert_eq!(DeviceComponent::from_json(json)?.identifier.value.unwrap().get().unwrap(), "1");
//! assert_eq!(Resource::from_json(json)?.resource_type(), "DeviceComponent");
//!
//! let report = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent"}"#).unwrap_err();
//! let outcome = OperationOutcome::from(&report).to_json();
//! assert!(outcome.contains(r#""expression":["DeviceComponent.identifier"]"#));
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! With serde a resource is a field like any other; it goes through the same reader.
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
//! ## Check
//!
//! Reading judges what a type can say, [`Validate::validate`] the rest. [`validate::check`] does both at once, and
//! [`Valid`] is the proof that it was done.
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
//! [`reference::resolve`] follows every reference of a valid resource, and gives a [`Report`] where one does not lead to a
//! resource of its type. Who answers is a [`Resolver`](reference::Resolver): a Bundle, several in order, one of your own;
//! [`resolve_async`](reference::resolve_async) asks a store, once for all.
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
//! assert_eq!(device.model.as_ref().unwrap().get().unwrap(), "P9");
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! ## Look
//!
//! Fields have FHIR's names. An element that may be absent is an `Option`, one that repeats a `Vec`, and a primitive is
//! a [`Primitive`](datatype::Primitive): its value, and the id and the extensions that it may have.
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
//! What a component reports of its versions is read and set in one line, whichever code system names it:
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
//! The caller implements [`ResourceStore`](store::ResourceStore), as [`manual::backend`] says, or takes
//! [`Memory`](backend::Memory). A handle is bound
//! to a tenant, so that no call can name the wrong one, and takes what is [`Valid`] alone.
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
//! // Whoever read before that, and writes now, is told.
//! let late = store.update(&pump, first.version).await;
//! assert!(matches!(late, Err(StoreError::Conflict { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! ## Receive an update
//!
//! The service finds the one component that is meant, lets the bytes pass once into the store of blobs, and makes the
//! component refer to them.
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
//! let mut submission = Submission::new("pump".parse()?, "pump-2.4.bin".parse()?, "application/octet-stream".parse()?);
//! submission.target = Selector::Level(Level::Mds);
//! submission.version = Some("2.4".parse()?);
//! let received = service.receive(&tenant, submission, stream::once("the file")).await?;
//! assert_eq!(received.component.id.unwrap().get().unwrap(), "mds");
//! assert_eq!(received.version.etag(), "W/\"2\"");
//! # Ok(())
//! # }
//! ```
//!
//! ## Serve
//!
//! [`rest::Server`] carries the interactions of the FHIR REST API out over a store. Its requests and answers are plain
//! values, which any HTTP stack can mount; the example `update_service` does so.
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
//! None is needed for anything above. By default `ring` is on, which brings nothing alone.
//!
//! - `cosmos`: `backend::Cosmos`, resources on Azure Cosmos DB for NoSQL.
//! - `ed25519`: [`manifest::Verifier`] by Ed25519, for the signatures of manifests.
//! - `encryption`: [`backend`] wrappers that seal blobs and resource bodies.
//! - `fhir-http`: `backend::FhirServer`, resources on another FHIR STU3 server. It runs within tokio.
//! - `object-store`: `backend::Objects`, update files on Azure Blob Storage, S3, Google Cloud Storage and in local files.
//! - `postgres`: `backend::Postgres`, resources and the ledger in a PostgreSQL database. It runs within tokio.
//! - `redb`: `backend::Redb`, resources and the ledger in one file, and `backend::Files`, update files in a folder: durable, with no
//!   server and no runtime.
//! - `ring`: the provider of cryptography for TLS, where another feature needs one. Without it a program gives its own.
//! - `server`: `server`, the HTTP service as a router that any axum application can mount.
//! - `conformance`: [`testkit`], the contracts of the stores as suites of tests, with stores that fail on purpose; see
//!   [`manual::backend`].
//! - `ucum`: coded units are held to the grammar and the tables of UCUM.
//! - `testkit`: the same, and strategies of proptest for arbitrary valid values, and documents with one fault.

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
mod support;
#[cfg(feature = "conformance")]
pub mod testkit;
pub mod udi;
pub mod update;
pub mod validate;

pub use issue::{Issue, Report, Severity};
pub use resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Resource};
pub use validate::{Valid, Validate};
