//! One rollout over every kind of region: it ends the same, also where they are mixed, and where one was down.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[allow(dead_code, reason = "other tests kill and share brokers")]
#[path = "mqtt/broker.rs"]
mod broker;
#[allow(dead_code, reason = "other tests have other fleets")]
#[path = "rollouts/fleet.rs"]
mod fleet;
#[allow(dead_code, reason = "other tests look closer")]
#[path = "iot_hub/hub.rs"]
mod hub;
#[path = "postgres/server.rs"]
mod server;

use broker::Broker;
use fhir_devices::backend::mqtt::{self, Mqtt};
use fhir_devices::backend::postgres::NoTls;
use fhir_devices::backend::{IotHub, Memory, Redb, Slots, iot_hub, postgres};
use fhir_devices::publish::{Content, Publisher, Slot};
use fhir_devices::service::RolloutError;
use fhir_devices::update::deployment::{OutcomeClass, Refusal};
use fhir_devices::update::rollout::Status;
use fleet::{Fleet, Manner, REGIONS, by, device_name, note, region};
use hub::Hub;
use server::Server;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DEVICES: usize = 100;

/// How a rollout ended: its status, the outcomes, and which devices show which version.
type End = (Status, BTreeMap<OutcomeClass, u32>, BTreeMap<String, usize>);

/// One device fails, one says nothing after it has installed, and one lies.
async fn end_over(publishers: [Arc<dyn Publisher>; 3]) -> End {
    let mut fleet = Fleet::new(DEVICES).await;
    for (name, publisher) in REGIONS.iter().zip(publishers) {
        fleet.service = fleet.service.with_region(region(name), publisher);
    }
    for (number, manner) in [(10, Manner::Fails), (41, Manner::Silent), (72, Manner::Lies)] {
        fleet.manners.insert(device_name(number), manner);
    }
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    // Until nobody waits any more for those that prove nothing.
    for _ in 0..60 {
        fleet.pass(24 * 3_600);
        fleet.settle().await;
        if fleet.service.rollout(&fleet.tenant, rollout).await.unwrap().status == Status::Completed {
            break;
        }
    }
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    let outcomes = OutcomeClass::ALL.iter().map(|outcome| (*outcome, view.ended(*outcome)));
    let mut versions = BTreeMap::new();
    for number in 0..DEVICES {
        *versions.entry(fleet.version_of(&device_name(number)).await).or_default() += 1;
    }
    fleet.check_audit(rollout).await;
    (view.rollout.status, outcomes.filter(|(_, count)| *count > 0).collect(), versions)
}

fn broker_region(broker: &Broker) -> Arc<Mqtt> {
    Arc::new(Mqtt::connect(mqtt::Options::new(&broker.url(), &region("eu")).unwrap()).unwrap())
}

fn hub_region(hub: &Hub) -> Arc<IotHub> {
    let roots = std::fs::read(format!("{}/tests/data/tls/certificate.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let options = iot_hub::Options::from_connection_string(&hub.connection_string()).unwrap();
    Arc::new(options.with_roots(&roots).unwrap().open().unwrap())
}

fn one_of(publisher: &Arc<dyn Publisher>) -> [Arc<dyn Publisher>; 3] {
    std::array::from_fn(|_| Arc::clone(publisher))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollout_ends_the_same_over_every_kind_of_region() {
    let memory: Arc<dyn Publisher> = Arc::new(Memory::new());
    let end = end_over(one_of(&memory)).await;
    assert_eq!(end.0, Status::Completed);
    assert_eq!(end.1[&OutcomeClass::Succeeded], 97, "{end:?}");
    assert_eq!(end.1.values().sum::<u32>(), 100, "{end:?}");
    assert_eq!(end.2, [("1.0".to_owned(), 3), ("2.0".to_owned(), 97)].into());

    let folder = std::env::temp_dir().join(format!("fhir-devices-regions-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let redb = Arc::new(Redb::open(folder.join("slots.redb")).unwrap());
    let slots = |name: &str| Slots::new(Arc::clone(&redb), region(name));
    let mut kinds: Vec<(&str, Arc<dyn Publisher>)> = vec![
        ("slots in memory", Arc::new(Slots::new(Arc::new(Memory::new()), region("eu")))),
        ("slots in redb", Arc::new(slots("eu"))),
    ];
    let server = Server::start();
    match &server {
        Ok(server) => {
            let options = postgres::Options::new().with_schema("fhir_regions");
            let ledger = Arc::new(options.connect(&server.url, NoTls).await.unwrap());
            kinds.push(("slots in PostgreSQL", Arc::new(Slots::new(ledger, region("eu")))));
        }
        Err(reason) => println!("skipped: {reason}"),
    }
    let hub = Hub::start(true);
    kinds.push(("a hub", hub_region(&hub)));
    let broker = Broker::start();
    match &broker {
        Ok(broker) => kinds.push(("a broker", broker_region(broker))),
        Err(reason) => println!("skipped: {reason}"),
    }
    for (name, publisher) in &kinds {
        assert_eq!(end_over(one_of(publisher)).await, end, "{name}");
    }
    if let Ok(broker) = &broker {
        let other = mqtt::Options::new(&broker.url(), &region("us")).unwrap().with_prefix("mixed").unwrap();
        let mixed: [Arc<dyn Publisher>; 3] =
            [hub_region(&Hub::start(true)), Arc::new(slots("mixed")), Arc::new(Mqtt::connect(other).unwrap())];
        assert_eq!(end_over(mixed).await, end, "a hub, a ledger and a broker");
    }
    drop(kinds);
    std::fs::remove_dir_all(folder).unwrap();
}

/// The broker ends in order, so that it shows its old offer when it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn device_of_a_region_that_was_down_gets_the_newest_wish_alone() {
    let broker = match Broker::start() {
        Ok(broker) => broker,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let publisher = broker_region(&broker);
    let mut fleet = Fleet::new(1).await;
    for name in REGIONS {
        fleet.service = fleet.service.with_region(region(name), publisher.clone());
    }
    fleet.manners.insert(device_name(0), Manner::Deaf);
    let first = fleet.start(Fleet::request(&fleet.release("2.0", 1).await)).await;
    fleet.work().await;
    let slot = Slot { device: "pump-0".parse().unwrap(), component: "pump-0-mds".parse().unwrap() };
    let old = publisher.read(&fleet.tenant, &slot).await.unwrap().unwrap();
    broker.stop();
    while publisher.connection().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Within an hour the first is cancelled, and two others follow.
    fleet.service.cancel(&fleet.tenant, first, &by("operator"), &note("it loses alarms")).await.unwrap();
    fleet.work().await;
    let second = fleet.start(Fleet::request(&fleet.release("3.0", 2).await)).await;
    fleet.work().await;
    fleet.service.cancel(&fleet.tenant, second, &by("operator"), &note("it loses alarms")).await.unwrap();
    let third = fleet.start(Fleet::request(&fleet.release("4.0", 3).await)).await;
    fleet.work().await;
    fleet.pass(3_600);
    broker.boot();
    while publisher.connection().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(publisher.read(&fleet.tenant, &slot).await.unwrap().unwrap().content, old.content);
    fleet.work().await;
    let Content::Offer(now) = publisher.read(&fleet.tenant, &slot).await.unwrap().unwrap().content else { panic!() };
    assert_eq!(now.version.as_str(), "4.0");
    // Whoever still has the first offer gets no byte by it.
    let Content::Offer(before) = old.content else { panic!() };
    let device = "pump-0".parse().unwrap();
    let late = fleet.service.claim(&fleet.tenant, before.key, &before.files[0].name, Some(&device)).await.unwrap_err();
    assert!(matches!(late, RolloutError::Deployment { refusal: Refusal::Gone, .. }), "{late}");
    fleet.manners.insert(device_name(0), Manner::Good);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, third).await.unwrap();
    assert_eq!((view.rollout.status, view.already_out), (Status::Completed, 1));
    for ended in [first, second] {
        let view = fleet.service.view(&fleet.tenant, ended).await.unwrap();
        assert_eq!((view.rollout.status, view.already_out), (Status::Cancelled, 0));
    }
    assert_eq!(fleet.version_of("pump-0").await, "4.0");
}
