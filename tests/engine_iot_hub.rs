//! The region of an Azure IoT Hub, held against the contract over a stand-in by TLS, and what is its own: etags of whole twins,
//! throttling, unknown devices, limits, lost answers, and reports by reported properties.
//!
//! With `FHIR_DEVICES_IOT_HUB` (a connection string of a policy that may read and write twins) and `FHIR_DEVICES_IOT_HUB_DEVICE`
//! (the name of a device for tests alone) one test writes to that hub as well.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[allow(dead_code, reason = "other tests have other fleets")]
#[path = "rollouts/fleet.rs"]
mod fleet;
#[path = "iot_hub/hub.rs"]
mod hub;

use fhir_devices::backend::iot_hub::{IotHub, Options, reports_of};
use fhir_devices::publish::{ActionNumber, Content, OfferKey, PublishError, Publisher, Slot};
use fhir_devices::service::{DeviceReport, InvalidReport, ReportedVersion};
use fhir_devices::store::{Applied, Tenant};
use fhir_devices::update::deployment::OutcomeClass;
use fhir_devices::update::rollout::{Attempt, DeploymentId, RegionPolicy, RolloutRequest, Status};
use fleet::{Fleet, region};
use hub::Hub;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn certificate() -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/tls/certificate.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn options(hub: &Hub) -> Options {
    Options::from_connection_string(&hub.connection_string()).unwrap().with_roots(&certificate()).unwrap()
}

fn open(hub: &Hub) -> IotHub {
    options(hub).open().unwrap()
}

fhir_devices::publisher_conformance!(
    iot_hub_stand_in,
    store = open(&Hub::start(true)),
    block_on = |future| RUNTIME.block_on(future)
);

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn slot(component: &str) -> Slot {
    Slot { device: "pump-7".parse().unwrap(), component: component.parse().unwrap() }
}

fn tombstone(action: u32) -> Content {
    let key = OfferKey { deployment: DeploymentId(action.into()), attempt: Attempt(1) };
    Content::Tombstone { key, action: ActionNumber(action) }
}

#[tokio::test]
async fn change_of_another_section_is_no_conflict_and_is_kept() {
    let hub = Hub::start(false);
    hub.make_device("st-mary:pump-7");
    let region = open(&hub);
    let first = region.put(&tenant(), &slot("mds.1"), &tombstone(1), None).await.unwrap();
    assert!(first.durable);
    // Somebody else writes to the twin, the device reports, and another component is offered something.
    hub.change("st-mary:pump-7", "desired", &json!({ "telemetry": { "every": "PT1M" }, "fhirUpdate": { "other": 1 } }));
    hub.change("st-mary:pump-7", "reported", &json!({ "battery": 80 }));
    region.put(&tenant(), &slot("channel"), &tombstone(1), None).await.unwrap();
    let second = region.put(&tenant(), &slot("mds.1"), &tombstone(2), Some(&first.version)).await.unwrap();
    let desired = hub.desired("st-mary:pump-7");
    assert_eq!((&desired["telemetry"]["every"], &desired["fhirUpdate"]["other"]), (&json!("PT1M"), &json!(1)));
    let kept = desired["fhirUpdate"]["mds%2E1"]["content"].as_str().unwrap();
    assert_eq!(kept.as_bytes(), tombstone(2).to_bytes());
    let old = region.put(&tenant(), &slot("mds.1"), &tombstone(3), Some(&first.version)).await;
    assert!(matches!(old, Err(PublishError::Changed)), "{old:?}");
    region.put(&tenant(), &slot("mds.1"), &tombstone(3), Some(&second.version)).await.unwrap();
    // What is no content is overwritten.
    hub.change("st-mary:pump-7", "desired", &json!({ "fhirUpdate": { "vmd": { "content": "{" } } }));
    assert_eq!(region.read(&tenant(), &slot("vmd")).await.unwrap(), None);
    region.put(&tenant(), &slot("vmd"), &tombstone(1), None).await.unwrap();
}

#[tokio::test]
async fn refusals_of_a_hub_are_told_by_kind() {
    let hub = Hub::start(false);
    let region = open(&hub);
    let unknown = region.put(&tenant(), &slot("mds"), &tombstone(1), None).await.unwrap_err();
    assert!(matches!(unknown, PublishError::UnknownDevice), "{unknown:?}");
    let unknown = region.read(&tenant(), &slot("mds")).await.unwrap_err();
    assert!(matches!(unknown, PublishError::UnknownDevice), "{unknown:?}");
    hub.make_device("st-mary:pump-7");
    hub.throttle.store(1, Ordering::SeqCst);
    let throttled = region.put(&tenant(), &slot("mds"), &tombstone(1), None).await.unwrap_err();
    let seven = Some(Duration::from_secs(7));
    assert!(matches!(throttled, PublishError::Throttled { retry_after } if retry_after == seven), "{throttled:?}");
    assert_eq!((throttled.applied(), hub.desired("st-mary:pump-7")), (Applied::No, json!({})));

    // A wrong key, and a token of the caller that the hub does not know.
    let wrong = hub.connection_string().replace("SharedAccessKey=", "SharedAccessKey=AAAA");
    let wrong = Options::from_connection_string(&wrong).unwrap().with_roots(&certificate()).unwrap();
    assert!(!format!("{wrong:?}").contains("AAAA"));
    let host = format!("localhost:{}", hub.port);
    let token = Options::new(&host, || async { Ok("Bearer the-token".to_owned()) }).unwrap();
    let token = token.with_roots(&certificate()).unwrap();
    for options in [wrong, token] {
        let denied = options.open().unwrap().read(&tenant(), &slot("mds")).await.unwrap_err();
        assert!(matches!(denied, PublishError::Denied { .. }), "{denied:?}");
        assert!(!format!("{denied:?}").contains("the-token"), "{denied:?}");
    }
    // A certificate that is not of the roots.
    let roots = std::fs::read(format!("{}/tests/data/tls/client.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let foreign = options(&hub).with_roots(&roots).unwrap().open().unwrap();
    let refused = foreign.put(&tenant(), &slot("mds"), &tombstone(1), None).await.unwrap_err();
    assert!(matches!(refused, PublishError::Unavailable { .. }), "{refused:?}");

    // The desired properties of a twin are 32 KB at most.
    hub.change("st-mary:pump-7", "desired", &json!({ "large": vec!["x".repeat(4_000); 8] }));
    let large = region.put(&tenant(), &slot("mds"), &tombstone(1), None).await;
    assert!(large.is_ok(), "{large:?}");
    hub.change("st-mary:pump-7", "desired", &json!({ "larger": "x".repeat(600) }));
    let large = region.put(&tenant(), &slot("channel"), &tombstone(1), None).await.unwrap_err();
    assert!(matches!(large, PublishError::TooLarge { .. }), "{large:?}");
    for text in [
        "",
        "HostName=h",
        "HostName=h;SharedAccessKeyName=n;SharedAccessKey=*",
        "HostName=a/b;SharedAccessKeyName=n;SharedAccessKey=AAAA",
    ] {
        assert!(Options::from_connection_string(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn write_whose_answer_was_lost_is_repeated_safely() {
    let hub = Hub::start(false);
    hub.make_device("st-mary:pump-7");
    let region = open(&hub);
    hub.lose.store(1, Ordering::SeqCst);
    let lost = region.put(&tenant(), &slot("mds"), &tombstone(1), None).await.unwrap_err();
    assert!(matches!(lost, PublishError::Indeterminate { .. }), "{lost:?}");
    assert_eq!(lost.applied(), Applied::Unknown);
    let again = region.put(&tenant(), &slot("mds"), &tombstone(1), None).await.unwrap();
    assert_eq!(region.read(&tenant(), &slot("mds")).await.unwrap().unwrap().version, again.version);
}

#[tokio::test]
async fn hub_of_one_tenant_names_devices_as_they_are() {
    let hub = Hub::start(false);
    hub.make_device("pump-7");
    let region = options(&hub).with_tenant(tenant()).open().unwrap();
    region.put(&tenant(), &slot("mds"), &tombstone(1), None).await.unwrap();
    let other = region.read(&"st-john".parse().unwrap(), &slot("mds")).await;
    assert!(matches!(other, Err(PublishError::UnknownDevice)), "{other:?}");
}

#[tokio::test]
async fn reported_properties_prove_updates() {
    let hub = Hub::start(false);
    let region_of_hub = Arc::new(open(&hub));
    let count = 8;
    let mut fleet = Fleet::new(count).await;
    for name in fleet::REGIONS {
        fleet.service = fleet.service.with_region(region(name), region_of_hub.clone());
    }
    fleet.service = fleet.service.with_region_of(|_, _| Some(region("eu")));
    for number in 0..count {
        hub.make_device(&format!("st-mary:pump-{number}"));
    }
    let release = fleet.release("2.0", 1).await;
    let regions = [(region("eu"), RegionPolicy::default())];
    let rollout =
        fleet.start(RolloutRequest::new(release.id, region("eu")).with_regions(regions.into()).with_cap(100)).await;
    fleet.work().await;
    let live = fleet.service.live_devices(&fleet.tenant, &region("eu")).await.unwrap();
    assert_eq!(live.len(), count);
    assert!(fleet.service.live_devices(&fleet.tenant, &region("us")).await.unwrap().is_empty());
    // Each device reads its twin, gets the bytes, and reports by its twin. The last one reports what is not its own.
    for number in 0..count {
        let name = format!("st-mary:pump-{number}");
        let component = format!("pump-{number}-mds");
        let content = hub.desired(&name)["fhirUpdate"][&component]["content"].as_str().unwrap().to_owned();
        let Content::Offer(offer) = Content::from_bytes(content.as_bytes()).unwrap() else { panic!("{content}") };
        let device = format!("pump-{number}").parse().unwrap();
        fleet.service.claim(&fleet.tenant, offer.key, &offer.files[0].name, Some(&device)).await.unwrap();
        let of = if number == count - 1 { "pump-0-mds".to_owned() } else { component.clone() };
        let runs = DeviceReport::versions([ReportedVersion::new(of.parse().unwrap(), "2.0")]);
        // As an object, and as a text.
        let value = serde_json::to_value(&runs).unwrap();
        let value = if number % 2 == 0 { value } else { json!(value.to_string()) };
        hub.change(&name, "reported", &json!({ "fhirUpdate": { component: value } }));
    }
    let before = hub.requests.lock().unwrap().len();
    let service = &fleet.service;
    let record = |device, report| async move { service.report(&tenant(), &device, report).await.map(drop) };
    let pulled = region_of_hub.pull_reports(&fleet.tenant, &live, record).await.unwrap();
    assert_eq!((pulled.devices, pulled.recorded, pulled.refused), (8, 7, 1), "{pulled:?}");
    assert!(pulled.last_refusal.unwrap().contains("device `pump-7` of `st-mary`"));
    assert_eq!(hub.requests.lock().unwrap().len() - before, 3, "it is not three pages");
    fleet.work().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Running, 7));
    assert_eq!(fleet.version_of("pump-7").await, "1.0");
    // The twins say the same again.
    let live = fleet.service.live_devices(&fleet.tenant, &region("eu")).await.unwrap();
    assert_eq!(live.len(), 1);
    let pulled = region_of_hub.pull_reports(&fleet.tenant, &live, record).await.unwrap();
    assert_eq!((pulled.recorded, pulled.refused), (0, 1));
    // A device of another tenant has another name, and is not read.
    hub.make_device("st-john:pump-7");
    let none = region_of_hub.pull_reports(&fleet.tenant, &["pump-9".parse().unwrap()], record).await.unwrap();
    assert_eq!(none, Default::default());
}

#[test]
fn reported_section_is_bounded() {
    let done = DeviceReport::Done { key: OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) } };
    let one = serde_json::to_value(&done).unwrap();
    let section = json!({ "$metadata": { "$lastUpdated": "2026-01-01T00:00:00Z" }, "mds": one, "gone": null });
    assert_eq!(reports_of(&section).unwrap(), [done]);
    let many: serde_json::Map<_, _> = (0..65).map(|number| (format!("c{number}"), one.clone())).collect();
    assert_eq!(reports_of(&many.into()), Err(InvalidReport::TooMany { count: 65 }));
    for wrong in [json!([]), json!("x"), json!({ "mds": 7 }), json!({ "mds": "{" }), json!({ "mds": {} })] {
        assert!(matches!(reports_of(&wrong), Err(InvalidReport::Malformed(_))), "{wrong}");
    }
}

/// Against a hub of Azure, where the environment names one.
#[tokio::test]
async fn live_hub_keeps_the_contract_of_a_slot() {
    let (Ok(connection), Ok(device)) =
        (std::env::var("FHIR_DEVICES_IOT_HUB"), std::env::var("FHIR_DEVICES_IOT_HUB_DEVICE"))
    else {
        return println!("skipped: FHIR_DEVICES_IOT_HUB and FHIR_DEVICES_IOT_HUB_DEVICE are not set");
    };
    let region = Options::from_connection_string(&connection).unwrap().with_tenant(tenant()).open().unwrap();
    let slot = Slot { device: device.parse().unwrap(), component: "contract-test".parse().unwrap() };
    let seen = region.read(&tenant(), &slot).await.unwrap();
    let last = seen.as_ref().map_or(0, |found| found.content.action().0);
    let seen = seen.map(|found| found.version);
    let written = region.put(&tenant(), &slot, &tombstone(last + 1), seen.as_ref()).await.unwrap();
    let found = region.read(&tenant(), &slot).await.unwrap().unwrap();
    assert_eq!((found.content, &found.version), (tombstone(last + 1), &written.version));
    let old = region.put(&tenant(), &slot, &tombstone(last + 2), seen.as_ref()).await;
    assert!(matches!(old, Err(PublishError::Changed)), "{old:?}");
}
