//! The store over the example `update_service`, with real resources.

use super::client::Service;
use super::{RUNTIME, options};
use fhir_devices::backend::fhir_http::Options;
use fhir_devices::backend::{FhirServer, Memory};
use fhir_devices::containment::Selector;
use fhir_devices::rest::{Request, Server};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, TokenMatch};
use fhir_devices::server::Tokens;
use fhir_devices::server::{self, Stores, UpdateServer};
use fhir_devices::server::{serve, tls};
use fhir_devices::service::{ReconcilePosition, Reference, Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::{UpdateStatus, available};
use fhir_devices::validate::Valid;
use fhir_devices::{Device, DeviceComponent, DeviceMetric};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/certificate.pem");
/// A key and its certificate, for clients.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/client.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/key.pem");

fn v(number: u64) -> VersionId {
    VersionId::new(number).unwrap()
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn at(service: &Service, options: Options) -> Arc<FhirServer> {
    Arc::new(options.at(&format!("http://{}/{{tenant}}/fhir", service.address)).unwrap())
}

fn device(id: &str) -> Key {
    Key::new(ResourceType::Device, id).unwrap()
}

fn component(id: &str) -> Key {
    Key::new(ResourceType::DeviceComponent, id).unwrap()
}

async fn found(store: &TenantResources<FhirServer>, search: Search) -> Vec<String> {
    store.all(search).await.unwrap().into_iter().map(|version| version.key.to_string()).collect()
}

#[test]
fn resource_life_cycle_on_the_service() {
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let below = at(&service, options().without_write_marks());
        let store = TenantResources::new(below.clone(), tenant("ward"));
        let json = br#"{"resourceType":"Device","id":"pump","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">A pump</div>"},
            "extension":[{"url":"https://ward.example/price","valueDecimal":1.50}],"identifier":[{"system":"urn:sn","value":"SN-7"}],
            "status":"active","manufacturer":"Dr\u00e4ger","model":"P9","note":[{"text":"x"}]}"#;
        let pump = Device::from_json(json).unwrap();
        let valid = Valid::new(pump.clone()).unwrap();
        let made = store.put(&valid, Precondition::Absent).await.unwrap();
        assert_eq!((made.version, made.body.as_deref()), (v(1), Some(pump.body().as_bytes())));
        assert!(pump.body().contains("1.50"));
        let again = store.put(&valid, Precondition::Absent).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists { current: Some(at), .. }) if at == v(1)), "{again:?}");

        // What the store gives is what the service gives.
        let shown = service.get("/ward/fhir/Device/pump").await;
        let (mut typed, version) = store.get::<Device>("pump").await.unwrap();
        assert_eq!((typed.to_json(), &version), (shown.text(), &made));
        assert_eq!(shown.header("etag"), Some("W/\"1\""));

        // An update on the condition that it is as it was read, with an id by which it is known again.
        typed.model = Some(fhir_devices::primitive::Text::new("P10").unwrap().into());
        let update = Valid::new(typed.clone()).unwrap().write(Precondition::Version(version.version)).unwrap().with_id(WriteId(77));
        let second = store.write_resolved(update.clone()).await.unwrap();
        assert_eq!((second.version, second.write_id), (v(2), Some(WriteId(77))));
        assert_eq!(store.write_resolved(update).await.unwrap(), second, "a repetition is known again");
        let stale = Valid::new(typed.clone()).unwrap().write(Precondition::Version(v(1))).unwrap();
        let stale = store.write(stale).await;
        assert!(matches!(stale, Err(StoreError::Conflict { current: Some(at), .. }) if at == v(2)), "{stale:?}");
        let other = service
            .json("PUT", "/ward/fhir/Device/pump", &[("If-Match", "W/\"2\"")], &shown.text().replace("P9", "P11"))
            .await;
        assert_eq!(other.status, 200, "{}", other.text());
        assert_eq!(store.read(&device("pump")).await.unwrap().version, v(3));

        let by = |of, text: &str| Search::new(ResourceType::Device).and(Criterion::is(of, text.parse().unwrap()));
        assert_eq!(found(&store, by(Parameter::Identifier, "urn:sn|SN-7")).await, ["Device/pump"]);
        assert_eq!(found(&store, by(Parameter::Model, "P11")).await, ["Device/pump"]);
        assert_eq!(found(&store, by(Parameter::Model, "P10")).await, [""; 0]);
        assert_eq!(found(&store, by(Parameter::Manufacturer, "DRAGER")).await, ["Device/pump"]);

        let fourth = store.delete(device("pump"), Precondition::Version(v(3))).await.unwrap();
        assert!(fourth.is_deleted() && fourth.version == v(4));
        assert!(matches!(store.read(&device("pump")).await, Err(StoreError::Gone { at, .. }) if at == v(4)));
        assert_eq!(service.get("/ward/fhir/Device/pump").await.status, 410);
        assert_eq!(found(&store, by(Parameter::Model, "P11")).await, [""; 0]);
        let history = store.history(&device("pump"), NonZeroU32::MAX, None).await.unwrap();
        let told: Vec<_> = history.items.iter().map(|version| (version.version.get(), version.write_id)).collect();
        assert_eq!(told, [(4, None), (3, None), (2, Some(WriteId(77))), (1, None)]);
        assert_eq!(store.vread(&device("pump"), v(4)).await.unwrap(), fourth);
        let fifth = store.put(&valid, Precondition::Absent).await.unwrap();
        assert_eq!(fifth.version, v(5));

        // What is no resource of the type is not sent.
        for body in ["1", r#"{"resourceType":"DeviceMetric","id":"pump"}"#, r#"{"resourceType":"Device","id":"other"}"#] {
            let write = Write::create(device("pump"), body, IndexEntries::new());
            let refused = below.commit(&tenant("ward"), vec![write]).await.map_err(|refused| refused.error);
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
        }
    });
}

#[test]
fn service_metadata_has_every_capability() {
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let store = at(&service, options().with_transactions(10));
        assert_eq!(store.missing_capabilities(&tenant("ward")).await.unwrap(), []);
    });
}

#[test]
fn service_refusal_keeps_its_message() {
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let body = r#"{"resourceType":"Device","id":"a","extension":[{"url":"https://x.example/y"}]}"#;
        let write = Write::create(device("a"), body, IndexEntries::new());
        let refused = at(&service, options()).commit(&tenant("ward"), vec![write]).await.unwrap_err().error;
        let words = "the server answered 400: an extension has either extensions or a value, and not both";
        assert!(matches!(&refused, StoreError::Invalid { what, .. } if what.starts_with(words)), "{refused:?}");
        let identifier = format!(r#"{{"value":"{}"}}"#, "x".repeat(1 << 20));
        let large = format!(r#"{{"resourceType":"Device","id":"a","identifier":[{}]}}"#, vec![identifier; 5].join(","));
        let store = TenantResources::new(at(&service, options().with_max_body(64 << 20)), tenant("ward"));
        let large = Valid::new(Device::from_json(large.as_bytes()).unwrap()).unwrap();
        let refused = store.create(&large).await.unwrap_err();
        // Where the service hangs up before it has heard the whole body, its answer may not arrive.
        assert!(matches!(refused, StoreError::TooLarge { .. } | StoreError::Indeterminate { .. }), "{refused:?}");
        assert!(matches!(store.read(&device("a")).await, Err(StoreError::NotFound { .. })));
    });
}

/// Every value of every resource, in each searchable form, compared with the in-memory store.
#[test]
fn service_search_agrees_with_memory() {
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let remote = at(&service, options());
        let demo = tenant("demo");
        let memory = Arc::new(Memory::new());
        let mut asked = std::collections::BTreeSet::new();
        let mut ids = Vec::new();
        for kind in ResourceType::ALL {
            for version in TenantResources::new(remote.clone(), demo.clone()).all(Search::new(kind)).await.unwrap() {
                let index = match kind {
                    ResourceType::Device => Device::from_version(&version).unwrap().index(),
                    ResourceType::DeviceComponent => DeviceComponent::from_version(&version).unwrap().index(),
                    _ => DeviceMetric::from_version(&version).unwrap().index(),
                };
                for (parameter, token) in index.iter() {
                    let half: String = token.value.chars().take(token.value.chars().count().div_ceil(2)).collect();
                    asked.insert(Criterion::Is(parameter, TokenMatch::Value(token.value.clone())));
                    asked.insert(Criterion::Is(parameter, TokenMatch::Exact(token.clone())));
                    asked.insert(Criterion::Is(parameter, TokenMatch::Value(half.as_str().into())));
                    asked.insert(Criterion::begins(parameter, &half));
                    asked.extend(token.system.clone().map(|of| Criterion::Is(parameter, TokenMatch::System(of))));
                }
                ids.push(version.key.id().clone());
                let body = version.body.clone().unwrap();
                memory.commit(&demo, vec![Write::create(version.key, body, index)]).await.unwrap();
            }
        }
        assert!(ids.len() > 14 && asked.len() > 100, "{} {}", ids.len(), asked.len());
        let asked: Vec<_> = asked.into_iter().collect();
        let mut searches: Vec<Vec<Criterion>> = asked.iter().map(|one| vec![one.clone()]).collect();
        searches.push(vec![]);
        searches.push(vec![Criterion::AnyId(ids.iter().take(9).cloned().collect())]);
        for pair in asked.windows(2).step_by(3) {
            searches.push(pair.to_vec());
            searches.push(vec![Criterion::AnyOf(pair.to_vec())]);
            searches
                .push(vec![Criterion::AnyOf(pair.to_vec()), Criterion::AnyId(ids.iter().skip(3).cloned().collect())]);
        }
        let minding = at(&service, options().case_sensitive());
        for store in [remote, minding] {
            for kind in ResourceType::ALL {
                for criteria in &searches {
                    let mut search = Search::new(kind).limit(3);
                    search.all_of.clone_from(criteria);
                    let here: Vec<_> =
                        TenantResources::new(memory.clone(), demo.clone()).all(search.clone()).await.unwrap();
                    let there = TenantResources::new(store.clone(), demo.clone()).all(search).await.unwrap();
                    let keys = |found: &[Version]| found.iter().map(|version| version.key.clone()).collect::<Vec<_>>();
                    assert_eq!(keys(&there), keys(&here), "{kind} {criteria:?}");
                    assert!(here.iter().zip(&there).all(|(here, there)| here.body == there.body));
                }
            }
        }
    });
}

#[test]
fn transactions_are_seen_by_store_and_service() {
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let store = TenantResources::new(at(&service, options().with_transactions(10)), tenant("ward"));
        let part = |id: &str, source: &str| {
            json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": "x"},
                "source": {"reference": source}})
        };
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"fullUrl": "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9", "resource": {"resourceType": "Device", "model": "P9"},
                "request": {"method": "POST", "url": "Device"}},
            {"resource": part("a", "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"),
                "request": {"method": "PUT", "url": "DeviceComponent/a"}},
        ]});
        let reply = service.json("POST", "/ward/fhir", &[], &bundle.to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let pump = found(&store, Search::new(ResourceType::Device)).await.remove(0);
        let by_source = Search::new(ResourceType::DeviceComponent).and(Criterion::source(&pump));
        assert_eq!(found(&store, by_source.clone()).await, ["DeviceComponent/a"]);

        let typed = |id: &str| {
            Valid::new(DeviceComponent::from_json(part(id, &pump).to_string().as_bytes()).unwrap()).unwrap()
        };
        let pump: Key = pump.parse().unwrap();
        let writes = |of_a: u64| {
            vec![
                typed("a").write(Precondition::Version(v(of_a))).unwrap().with_id(WriteId(1)),
                typed("b").write(Precondition::Absent).unwrap().with_id(WriteId(2)),
                ValidWrite::delete(pump.clone(), Precondition::Exists),
            ]
        };
        let refused = store.commit(writes(2)).await.unwrap_err();
        assert_eq!(refused.index, Some(0));
        assert!(matches!(refused.error, StoreError::Conflict { current: Some(at), .. } if at == v(1)), "{refused:?}");
        assert!(matches!(store.read(&component("b")).await, Err(StoreError::NotFound { .. })));
        let made = store.commit(writes(1)).await.unwrap();
        let told: Vec<_> = made.iter().map(|version| (version.version.get(), version.write_id)).collect();
        assert_eq!(told, [(2, Some(WriteId(1))), (1, Some(WriteId(2))), (2, None)]);
        for version in made {
            assert_eq!(store.vread(&version.key, version.version).await.unwrap(), version);
        }
        assert_eq!(found(&store, by_source).await, ["DeviceComponent/a", "DeviceComponent/b"]);
        assert_eq!(service.get(&format!("/ward/fhir/{pump}")).await.status, 410);
        let refused = store.commit(writes(2)).await.unwrap_err();
        assert_eq!(refused.index, Some(1), "the first write that fails is named: {refused:?}");
        assert!(matches!(refused.error, StoreError::AlreadyExists { current: Some(at), .. } if at == v(1)));
    });
}

#[test]
fn concurrent_tree_writes_lose_nothing() {
    const WRITERS: usize = 4;
    const ROUNDS: u64 = 10;
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let store = TenantResources::new(at(&service, options().with_transactions(10)), tenant("ward"));
        let keys = [device("x"), device("y")];
        let write = |key: &Key, count: u64, when: Precondition| {
            let json = format!(r#"{{"resourceType":"Device","id":"{}","model":"{count}"}}"#, key.id());
            Valid::new(Device::from_json(json.as_bytes()).unwrap()).unwrap().write(when).unwrap()
        };
        let start = keys.iter().map(|key| write(key, 0, Precondition::Absent));
        store.commit(start.collect()).await.unwrap();
        let count = |version: &Version| {
            let json: Value = serde_json::from_slice(version.body.as_deref().unwrap()).unwrap();
            json["model"].as_str().unwrap().parse::<u64>().unwrap()
        };
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (store, keys) = (store.clone(), keys.clone());
                tokio::spawn(async move {
                    for _ in 0..ROUNDS {
                        loop {
                            let mut writes = Vec::new();
                            for key in &keys {
                                let seen = store.read(key).await.unwrap();
                                writes.push(write(key, count(&seen) + 1, Precondition::Version(seen.version)));
                            }
                            match store.commit(writes).await {
                                Ok(_) => break,
                                Err(refused) => {
                                    assert!(matches!(refused.error, StoreError::Conflict { .. }), "{refused:?}")
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        for key in &keys {
            let last = store.read(key).await.unwrap();
            assert_eq!((count(&last), last.version), (WRITERS as u64 * ROUNDS, v(WRITERS as u64 * ROUNDS + 1)));
        }
    });
}

/// The updates of a component belong to one service: a second one over its FHIR interface is refused, and changes
/// nothing.
#[test]
fn second_update_service_over_the_same_components_is_refused() {
    RUNTIME.block_on(async {
        let server = Service::start().await;
        let (remote, here, demo) = (at(&server, options()), Arc::new(Memory::new()), tenant("demo"));
        let service = UpdateService::new(remote, here.clone(), here).unwrap();
        let (pump, media_type) = ("infusion-pump-7".parse().unwrap(), "application/octet-stream".parse().unwrap());
        let mut submission = Submission::new(pump, "flow-4.2.bin".parse().unwrap(), media_type);
        submission.target = Selector::Component("pump-lvp".parse().unwrap());
        let refused = service.receive(&demo, submission, stream::once("firmware")).await.unwrap_err();
        let why = format!("{refused:?}");
        assert!(why.contains("422") && why.contains("those that the service attached"), "{why}");
        let shown = server.get("/demo/fhir/DeviceComponent/pump-lvp").await;
        assert_eq!(shown.header("etag"), Some("W/\"1\""));
        assert_eq!(available(&DeviceComponent::from_json(&shown.body).unwrap()).count(), 0);
    });
}

/// An update for the large volume pump of the demo fleet.
fn firmware(name: &str) -> Submission {
    let (pump, media_type) = ("infusion-pump-7".parse().unwrap(), "application/octet-stream".parse().unwrap());
    let mut submission = Submission::new(pump, name.parse().unwrap(), media_type);
    submission.target = Selector::Component("pump-lvp".parse().unwrap());
    submission
}

fn statuses(component: &DeviceComponent) -> Vec<(String, UpdateStatus)> {
    available(component)
        .map(|update| update.unwrap())
        .map(|update| (update.file.title.to_string(), update.status))
        .collect()
}

/// The life of two updates, as the component shows them: attached, superseded, made current again, withdrawn.
async fn live<R: ResourceStore>(
    service: &UpdateService<R, dyn BlobStore, dyn Ledger>,
    shown: impl AsyncFn() -> DeviceComponent,
) {
    use UpdateStatus::{Current, Superseded, Withdrawn};
    let demo = tenant("demo");
    let named = |first, second| vec![("flow-4.2.bin".to_owned(), first), ("flow-4.3.bin".to_owned(), second)];
    let first = service.receive(&demo, firmware("flow-4.2.bin"), stream::once("firmware 2")).await.unwrap();
    assert_eq!(statuses(&shown().await), [("flow-4.2.bin".to_owned(), Current)]);
    assert_eq!(
        available(&first.component).map(Result::unwrap).collect::<Vec<_>>(),
        std::slice::from_ref(&first.update)
    );
    let second = service.receive(&demo, firmware("flow-4.3.bin"), stream::once("firmware 3")).await.unwrap();
    assert_eq!(statuses(&shown().await), named(Superseded, Current));
    let (by, why) = (|| "biomed".parse().unwrap(), || "4.3 loses alarms".parse().unwrap());
    service.make_current(&demo, first.update.id, by(), why()).await.unwrap();
    assert_eq!(statuses(&shown().await), named(Current, Superseded));
    service.withdraw(&demo, second.update.id, by(), why()).await.unwrap();
    assert_eq!(statuses(&shown().await), named(Current, Withdrawn));
    for id in [first.update.id, second.update.id] {
        let ingest = service.upload(&demo, id).await.unwrap();
        assert_eq!(service.reference(&demo, &ingest).await.unwrap(), Some(Reference::Present));
    }
    let recovered = service.recover(&demo).await.unwrap();
    assert!(recovered.failed.is_empty(), "{recovered:?}");
    for from in [ReconcilePosition::default(), ReconcilePosition::Components(None)] {
        let page = service.reconcile(&demo, NonZeroU32::MAX, from).await.unwrap();
        assert!(page.reattached.is_empty() && page.unknown.is_empty() && page.failed.is_empty(), "{page:?}");
    }
}

/// Two services over one ledger, one of which writes through the FHIR interface of the other.
#[test]
fn second_update_service_over_the_same_ledger_attaches_through_the_guard() {
    RUNTIME.block_on(async {
        let stores = server::Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
        let (blobs, ledger) = (stores.blobs.clone(), stores.ledger.clone());
        let server = Service::with(|base| UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
        let files = format!("http://{}/blobs", server.address);
        let url = move |tenant: &Tenant, key: &BlobKey| {
            format!("{files}/{tenant}/sha256/{}/{}", key.digest, key.generation).parse().unwrap()
        };
        let service = UpdateService::new_with_urls(at(&server, options()), blobs, ledger, url);
        let shown =
            async || DeviceComponent::from_json(&server.get("/demo/fhir/DeviceComponent/pump-lvp").await.body).unwrap();
        live(&service, shown).await;
        // What only looks like one of its updates is refused all the same.
        let mut forged = shown().await;
        let mut update = available(&forged).next().unwrap().unwrap();
        update.file.url = "https://evil.example/x".parse().unwrap();
        update.id = fhir_devices::manifest::IngestId(7);
        forged.extension.push(update.to_extension());
        let refused = server.json("PUT", "/demo/fhir/DeviceComponent/pump-lvp", &[], &forged.to_json()).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
    });
}

/// Writes a resource as a server without knowledge of updates does; returns the status.
async fn put(store: &TenantResources, asked: &Request<'_>) -> u16 {
    let header =
        |name: &str| asked.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let when = match (header("if-match"), header("if-none-match")) {
        (Some(tag), _) => Precondition::Version(VersionId::from_etag(tag).unwrap()),
        (None, Some(_)) => Precondition::Absent,
        (None, None) => Precondition::None,
    };
    let write = match asked.path.starts_with("DeviceComponent/") {
        true => Valid::new(DeviceComponent::from_json(&asked.body).unwrap()).unwrap().write(when),
        false => Valid::new(Device::from_json(&asked.body).unwrap()).unwrap().write(when),
    };
    match store.write(write.unwrap()).await {
        Ok(version) if version.version == VersionId::FIRST => 201,
        Ok(_) => 200,
        Err(StoreError::Conflict { .. }) => 409,
        Err(_) => 412,
    }
}

/// A FHIR server without knowledge of updates accepts the reference like any other extension.
#[test]
fn update_service_attaches_over_a_server_without_the_guard() {
    RUNTIME.block_on(async {
        let memory: Arc<dyn ResourceStore> = Arc::new(Memory::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (store, plain) = (memory.clone(), base.clone());
        let handle = move |request: axum::extract::Request| {
            let (store, plain) = (store.clone(), plain.clone());
            async move {
                let (head, body) = request.into_parts();
                let (tenant, path) = head.uri.path().trim_start_matches('/').split_once("/fhir").unwrap();
                let store = TenantResources::new(store, tenant.parse().unwrap());
                let mut asked = Request::new(head.method.as_str().to_owned(), path.trim_start_matches('/').to_owned())
                    .query(head.uri.query().unwrap_or_default().to_owned())
                    .body(axum::body::to_bytes(body, usize::MAX).await.unwrap());
                for (name, value) in &head.headers {
                    asked = asked.header(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
                }
                let mut status = None;
                if head.method == axum::http::Method::PUT {
                    status = Some(put(&store, &asked).await);
                    asked.method = "GET".into();
                    asked.headers.clear();
                }
                let mut answer = Server::new(store, format!("{plain}/{tenant}/fhir")).handle(&asked).await;
                answer.status = status.unwrap_or(answer.status);
                let mut response = axum::response::Response::builder().status(answer.status);
                for (name, value) in &answer.headers {
                    response = response.header(*name, value);
                }
                response.body(axum::body::Body::from(answer.body.to_bytes())).unwrap()
            }
        };
        let router = axum::Router::new().fallback(handle);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let remote = Arc::new(options().at(&format!("{base}/{{tenant}}/fhir")).unwrap());
        let store = TenantResources::new(remote.clone(), tenant("demo"));
        let pump = Device::from_json(br#"{"resourceType":"Device","id":"infusion-pump-7"}"#).unwrap();
        store.create(&Valid::new(pump).unwrap()).await.unwrap();
        let lvp = br#"{"resourceType":"DeviceComponent","id":"pump-lvp","identifier":{"value":"1"},
            "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985"}]},"source":{"reference":"Device/infusion-pump-7"}}"#;
        let lvp = DeviceComponent::from_json(lvp).unwrap();
        store.create(&Valid::new(lvp).unwrap()).await.unwrap();
        let own = Arc::new(Memory::new());
        let (blobs, ledger): (Arc<dyn BlobStore>, Arc<dyn Ledger>) = (own.clone(), own);
        let service = UpdateService::new(remote, blobs, ledger).unwrap();
        let shown = async || store.get::<DeviceComponent>("pump-lvp").await.unwrap().0;
        live(&service, shown).await;
    });
}

#[test]
fn rest_api_works_over_another_server() {
    RUNTIME.block_on(async {
        let service = Service::start().await;
        let base = "http://front.example/demo";
        let front = Server::new(TenantResources::new(at(&service, options()), tenant("demo")), base);
        for (path, query) in [
            ("Device", ""),
            ("Device", "device-name=acme&_revinclude=DeviceComponent:source"),
            ("DeviceComponent", "source=infusion-pump-7&_count=2"),
            ("DeviceComponent", "identifier=1.1,1.2&type:not=70050"),
            ("DeviceMetric", "category=measurement&_include=DeviceMetric:parent"),
            ("DeviceComponent/pump-lvp", ""),
            ("DeviceComponent/pump-lvp/_history", ""),
            ("DeviceComponent/pump-lvp/_history/1", ""),
        ] {
            let answer = front.handle(&Request::new("GET", path).query(query)).await;
            let direct = service.get(&format!("/demo/fhir/{path}?{query}")).await;
            assert_eq!((answer.status, direct.status), (200, 200), "{path}?{query}: {}", direct.text());
            let own = String::from_utf8_lossy(&answer.body).replace(base, "BASE");
            let direct = direct.text().replace(&format!("http://{}/demo/fhir", service.address), "BASE");
            let without_pages = |text: &str| {
                let mut json: Value = serde_json::from_str(text).unwrap();
                json.as_object_mut().unwrap().remove("link");
                json
            };
            assert_eq!(without_pages(&own), without_pages(&direct), "{path}?{query}");
        }
        assert_eq!(front.handle(&Request::new("GET", "Device/nobody")).await.status, 404);
    });
}

#[test]
fn tls_with_custom_roots_and_token_works() {
    RUNTIME.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = UpdateServer::over(
            Stores::in_memory(server::DEFAULT_MAX_UPLOAD),
            &format!("https://localhost:{port}"),
            server::DEFAULT_MAX_UPLOAD,
        );
        let tokens = Tokens::read("token-of-the-ward-1 ward\n").unwrap();
        let app = Arc::new(app.unwrap().with_authenticator(Arc::new(tokens)));
        let acceptor = tls(Path::new(CERTIFICATE), Path::new(KEY)).unwrap();
        tokio::spawn(serve(listener, Some(acceptor), app, std::future::pending()));
        let with = |options: Options, token: &'static str| {
            let options = options.with_bearer(move |_| Box::pin(async move { Ok(token.to_owned()) }));
            Arc::new(options.at(&format!("https://localhost:{port}/{{tenant}}/fhir")).unwrap())
        };
        let trusting = || Options::new().with_roots(&std::fs::read(CERTIFICATE).unwrap()).unwrap();
        let named = |id: &str| {
            let json = format!(r#"{{"resourceType":"Device","id":"{id}"}}"#);
            Valid::new(Device::from_json(json.as_bytes()).unwrap()).unwrap()
        };
        let store = with(trusting(), "token-of-the-ward-1");
        let ward = TenantResources::new(store.clone(), tenant("ward"));
        assert_eq!(ward.create(&named("a")).await.unwrap().version, v(1));
        let other = TenantResources::new(store, tenant("other")).read(&device("a")).await;
        assert!(matches!(other, Err(StoreError::Denied { .. })), "{other:?}");
        let unknown = TenantResources::new(with(trusting(), "another"), tenant("ward")).read(&device("a")).await;
        assert!(matches!(unknown, Err(StoreError::Denied { .. })), "{unknown:?}");
        // A certificate that nobody vouches for ends it before anything is sent.
        let stranger = TenantResources::new(with(Options::new(), "token-of-the-ward-1"), tenant("ward"));
        let refused = stranger.create(&named("b")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
        assert_eq!(refused.applied(), Applied::No);
    });
}

#[test]
fn client_certificate_is_sent() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    RUNTIME.block_on(async {
        let own = || CertificateDer::from_pem_file(CERTIFICATE).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(CLIENT).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let asking = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(asking.build().unwrap())
            .with_single_cert(vec![own()], PrivateKeyDer::from_pem_file(KEY).unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(gone.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let trusting = || Options::new().with_roots(&std::fs::read(CERTIFICATE).unwrap()).unwrap();
        let at = |options: Options| options.at(&format!("https://localhost:{port}/{{tenant}}")).unwrap();
        let known = at(trusting().with_identity(&std::fs::read(CLIENT).unwrap()).unwrap());
        let read = known.read(&tenant("ward"), &device("a")).await;
        assert!(matches!(read, Err(StoreError::NotFound { .. })), "{read:?}");
        let unknown = at(trusting()).read(&tenant("ward"), &device("a")).await;
        assert!(matches!(unknown, Err(StoreError::Unavailable { .. })), "{unknown:?}");
    });
}
