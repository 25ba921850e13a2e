//! Another vendor's FHIR STU3 server, at `FHIR_STU3_URL` with `{tenant}` for a tenant: every clause of the contract,
//! histories of many threads, and the life of a resource. Each test has tenants of its own.

use super::client::Service;
use super::dressed::Dressed;
use super::{RUNTIME, SKIPPED_IN_TRANSACTIONS, block_on, lossy};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use fhir_devices::backend::fhir_http::Options;
use fhir_devices::search::{Criterion, ResourceType};
use fhir_devices::store::*;
use fhir_devices::testkit::history;
use fhir_devices::testkit::store::{ClauseOutcome, StoreUnderTest, resources};
use fhir_devices::validate::Valid;
use fhir_devices::{Device, DeviceComponent};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;
use tokio::net::TcpListener;

/// Returns the URL of another vendor's FHIR STU3 server, with `{tenant}` for a tenant.
pub(crate) fn foreign_url() -> Option<String> {
    url_in("FHIR_STU3_URL")
}

/// Returns the URL of another vendor's FHIR server from a variable.
pub(crate) fn url_in(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok();
    if url.is_none() {
        assert!(std::env::var_os("FHIR_DEVICES_REQUIRE_FHIR").is_none(), "{variable} is required");
        println!("skipped: {variable} is not set");
    }
    url
}

fn v(number: u64) -> VersionId {
    VersionId::new(number).unwrap()
}

#[test]
fn resource_life_cycle_on_a_foreign_server() {
    let Some(url) = foreign_url() else { return };
    RUNTIME.block_on(async {
        let server = Options::new().connect(&url, &"foreign".parse().unwrap()).await.unwrap();
        let store = TenantResources::new(Arc::new(server), "foreign".parse().unwrap());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let (pump, part) = (format!("pump-{now}"), format!("part-{now}"));
        let json = format!(
            r#"{{"resourceType":"Device","id":"{pump}","identifier":[{{"system":"urn:sn","value":"{now}"}}],"model":"P9"}}"#
        );
        let mut device = Device::from_json(json.as_bytes()).unwrap();
        let key = Key::new(ResourceType::Device, pump.as_str()).unwrap();
        assert!(matches!(store.read(&key).await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.history(&key, NonZeroU32::MAX, None).await, Err(StoreError::NotFound { .. })));
        let made = store.put(&Valid::new(device.clone()).unwrap(), Precondition::Absent).await.unwrap();
        assert_eq!((made.version, made.body.as_deref()), (v(1), Some(json.as_bytes())));
        let again = store.put(&Valid::new(device.clone()).unwrap(), Precondition::Absent).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
        device.model = Some(fhir_devices::primitive::Text::new("P10").unwrap().into());
        let update = Valid::new(device.clone()).unwrap().write(Precondition::Version(v(1))).unwrap().with_id(WriteId(u128::from(u64::MAX)));
        let second = store.write_resolved(update.clone()).await.unwrap();
        assert_eq!(second.version, v(2));
        assert_eq!(store.read(&key).await.unwrap(), second);
        // What the server adds to a version is not sent back to it.
        let (shown, version) = store.get::<Device>(&pump).await.unwrap();
        let again = Valid::new(shown).unwrap().write(Precondition::Version(version.version)).unwrap();
        let third = store.write(again).await.unwrap();
        assert_eq!((third.version, &third.body), (v(3), &second.body));
        assert_eq!(store.read(&key).await.unwrap(), third);
        assert_eq!(store.vread(&key, v(1)).await.unwrap(), made);
        let stale = store.put(&Valid::new(device).unwrap(), Precondition::Version(v(1))).await;
        assert!(matches!(stale, Err(StoreError::Conflict { current: Some(at), .. }) if at == v(3)), "{stale:?}");

        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{part}","identifier":{{"value":"{now}"}},
            "type":{{"text":"x"}},"source":{{"reference":"Device/{pump}"}}}}"#
        );
        let component = DeviceComponent::from_json(json.as_bytes()).unwrap();
        store.put(&Valid::new(component).unwrap(), Precondition::Absent).await.unwrap();
        let ids = async |search: Search| -> Vec<String> {
            let found = store.all(search).await.unwrap();
            found.iter().map(|version| version.key.id().to_string()).collect()
        };
        let parts = Search::new(ResourceType::DeviceComponent);
        assert_eq!(ids(parts.clone().and(Criterion::source(&format!("Device/{pump}")))).await, [part.as_str()]);
        assert_eq!(ids(parts.and(Criterion::Id(part.as_str().into()))).await, [part.as_str()]);
        let devices = Search::new(ResourceType::Device);
        let by_number = format!("urn:sn|{now}").parse().unwrap();
        assert_eq!(ids(devices.and(Criterion::identifier(by_number))).await, [pump.as_str()]);

        for key in [Key::new(ResourceType::DeviceComponent, part).unwrap(), key.clone()] {
            store.delete(key, Precondition::Exists).await.unwrap();
        }
        assert!(matches!(store.read(&key).await, Err(StoreError::Gone { at, .. }) if at == v(4)));
        let history = store.history(&key, NonZeroU32::MAX, None).await.unwrap();
        let told: Vec<_> = history.items.iter().map(|version| (version.version.get(), version.is_deleted())).collect();
        assert_eq!(told, [(4, true), (3, false), (2, false), (1, false)]);
    });
}

/// Every clause of the contract, one line each.
#[test]
fn contract_holds_over_a_foreign_server() {
    let Some(url) = foreign_url() else { return };
    clauses_hold(Options::new(), &url);
}

/// Checks every clause over a server, and prints a line for each.
pub(crate) fn clauses_hold(options: Options, url: &str) {
    let store = RUNTIME.block_on(options.connect(url, &"foreign".parse().unwrap())).unwrap();
    println!("{:?}", store.capabilities());
    let store = Dressed(store);
    let trial = StoreUnderTest::new(&store as &dyn ResourceStore, &block_on);
    let (mut broken, mut skipped) = (Vec::new(), Vec::new());
    for clause in resources::CLAUSES {
        let start = Instant::now();
        let outcome = match (clause.check)(&trial) {
            Ok(ClauseOutcome::Held) => "holds".to_owned(),
            Ok(ClauseOutcome::Skipped(why)) => {
                skipped.push((clause.name, why));
                format!("is skipped: {why}")
            }
            Err(why) => {
                broken.push(clause.name);
                format!("is broken: {why}")
            }
        };
        println!("{} {outcome} ({:?})", clause.name, start.elapsed());
    }
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(skipped, SKIPPED_IN_TRANSACTIONS);
}

#[test]
fn histories_over_a_foreign_server_are_linearizable() {
    let Some(url) = foreign_url() else { return };
    let store = RUNTIME.block_on(Options::new().connect(&url, &"foreign".parse().unwrap())).unwrap();
    let store: Arc<dyn ResourceStore> = Arc::new(Dressed(store));
    history::resources(&store, &block_on, 0..10).unwrap();
}

#[test]
fn histories_over_a_foreign_server_with_lost_messages_are_linearizable() {
    let Some(url) = foreign_url() else { return };
    let way = lossy_way(&url);
    let store = RUNTIME.block_on(async {
        // The probe goes over the whole way: nothing can be proven over one that loses messages.
        let options = Options::new().connect(&url, &"foreign".parse().unwrap()).await.unwrap().options().clone();
        options.at(&way).unwrap()
    });
    let store: Arc<dyn ResourceStore> = Arc::new(Dressed(store));
    history::resources(&store, &block_on, 0..10).unwrap();
}

/// Returns the address of a proxy that loses messages of the server and its clients.
fn lossy_way(url: &str) -> String {
    let server = url::Url::parse(&url.replace("{tenant}", "tenant")).unwrap().origin().ascii_serialization();
    let address: SocketAddr = server.trim_start_matches("http://").parse().unwrap();
    let pass = move |request: Request| async move {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let names = ["connection", "content-length", "transfer-encoding"];
        let headers = head.headers.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        let name = |name: &'_ str| if name == "host" { "Host".to_owned() } else { name.to_owned() };
        let headers: Vec<_> = headers.map(|(of, value)| (name(of.as_str()), value.to_str().unwrap())).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let place = head.uri.path_and_query().unwrap().as_str();
        let answer = Service { address }.send(head.method.as_str(), place, &headers, &body).await;
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            if !names.contains(&name.to_ascii_lowercase().as_str()) {
                response = response.header(name, value);
            }
        }
        response.body(Body::from(answer.body)).unwrap()
    };
    let router = axum::Router::new().fallback(pass).layer(from_fn_with_state(Arc::new(AtomicU64::new(0)), lossy));
    let way = RUNTIME.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    url.replace(&server, &format!("http://{way}"))
}
