//! The region of an MQTT broker, held against the contract over mosquitto, and what is its own: a broker that forgets, one writer,
//! reports that are acknowledged when they are recorded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "mqtt/broker.rs"]
mod broker;
#[allow(dead_code, reason = "other tests have other fleets")]
#[path = "rollouts/fleet.rs"]
mod fleet;

use broker::Broker;
use fhir_devices::backend::mqtt::{Mqtt, Options};
use fhir_devices::publish::{ActionNumber, Content, Offer, OfferKey, PublishError, Publisher, Slot};
use fhir_devices::service::{DeviceReport, ReportedVersion, RolloutError};
use fhir_devices::store::{StoreError, Tenant};
use fhir_devices::update::deployment::OutcomeClass;
use fhir_devices::update::rollout::{Attempt, DeploymentId, RegionPolicy, RolloutRequest, Status};
use fleet::{Fleet, region};
use rumqttc::{
    AsyncClient, Broker as Address, Event, MqttOptions, Packet, PubAck, PubAckReason, PublishOptions, PublishResult,
    QoS,
};
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The broker of the tests that do not kill theirs.
static SHARED: LazyLock<Result<Broker, String>> = LazyLock::new(|| {
    let broker = Broker::start()?;
    // What is in a `static` is never dropped.
    broker.end_with_this_process();
    Ok(broker)
});

/// Options of a region that no other test has.
fn options(broker: &Broker) -> Options {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Options::new(&broker.url(), &name.parse().unwrap()).unwrap().with_prefix(&format!("fd/{name}")).unwrap()
}

fn connect(options: &Options) -> Mqtt {
    let _within = RUNTIME.enter();
    Mqtt::connect(options.clone()).unwrap()
}

fhir_devices::publisher_conformance!(
    mqtt_over_mosquitto,
    store = connect(&options(SHARED.as_ref().unwrap())),
    skip = SHARED.as_ref().err(),
    block_on = |future| RUNTIME.block_on(future)
);

fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(&'static Broker) -> F) {
    match &*SHARED {
        Ok(broker) => RUNTIME.block_on(test(broker)),
        Err(reason) => println!("skipped: {reason}"),
    }
}

/// Runs a test with a broker that it may kill.
fn with_own_broker<F: Future<Output = ()>>(test: impl FnOnce(Arc<Broker>) -> F) {
    match Broker::start() {
        Ok(broker) => RUNTIME.block_on(test(Arc::new(broker))),
        Err(reason) => println!("skipped: {reason}"),
    }
}

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn slot(device: &str) -> Slot {
    Slot { device: device.parse().unwrap(), component: "mds".parse().unwrap() }
}

fn tombstone(action: u32) -> Content {
    let key = OfferKey { deployment: DeploymentId(action.into()), attempt: Attempt(1) };
    Content::Tombstone { key, action: ActionNumber(action) }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come to be that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn connected(region: &Mqtt) -> u64 {
    until("the broker is connected", async || region.connection().is_some()).await;
    region.connection().unwrap()
}

/// What a broker has at a topic for whoever subscribes now.
async fn retained(broker: &Broker, topic: &str) -> Option<Vec<u8>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("reader-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let (client, mut events) =
        AsyncClient::builder(MqttOptions::new(name, Address::tcp("127.0.0.1", broker.port))).capacity(8).build();
    client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    let read = async {
        loop {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::Publish(message)) => return message.payload.to_vec(),
                _ => continue,
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(500), read).await.ok()
}

/// A fleet whose one region is that of a broker.
async fn fleet_over(region_of_broker: Arc<Mqtt>, count: usize) -> Fleet {
    let mut fleet = Fleet::new(count).await;
    for name in fleet::REGIONS {
        fleet.service = fleet.service.with_region(region(name), region_of_broker.clone());
    }
    fleet.service = fleet.service.with_region_of(|_, _| Some(region("eu")));
    fleet
}

async fn start(fleet: &Fleet, version: &str, sequence: u64) -> fhir_devices::update::rollout::RolloutId {
    let release = fleet.release(version, sequence).await;
    let regions = [(region("eu"), RegionPolicy::default())];
    let request = RolloutRequest::new(release.id, region("eu")).with_regions(regions.into()).with_cap(100_000);
    fleet.start(request).await
}

#[test]
fn offer_that_a_killed_broker_lost_is_written_again() {
    with_own_broker(async |broker| {
        let region = Arc::new(connect(&options(&broker)));
        connected(&region).await;
        let fleet = fleet_over(region.clone(), 1).await;
        start(&fleet, "2.0", 1).await;
        fleet.work().await;
        let slot = Slot { device: "pump-0".parse().unwrap(), component: "pump-0-mds".parse().unwrap() };
        let offered = region.read(&fleet.tenant, &slot).await.unwrap().unwrap();
        // As a device that subscribes sees it.
        let topic = format!("{}/st-mary/pump-0/pump-0-mds/offer", prefix_of(&region));
        assert_eq!(retained(&broker, &topic).await.unwrap(), offered.content.to_bytes());

        broker.kill();
        until("the loss is noticed", async || region.connection().is_none()).await;
        let down = region.read(&fleet.tenant, &slot).await.unwrap_err();
        assert!(matches!(down, PublishError::Unavailable { .. }), "{down:?}");
        broker.boot();
        assert_eq!(retained(&broker, &topic).await, None, "the broker had saved what it acknowledged");
        assert_eq!(connected(&region).await, 1);
        assert_eq!(region.read(&fleet.tenant, &slot).await.unwrap(), None);

        fleet.work().await;
        assert_eq!(retained(&broker, &topic).await.unwrap(), offered.content.to_bytes());
        assert_eq!(region.read(&fleet.tenant, &slot).await.unwrap().unwrap().content, offered.content);
    });
}

fn prefix_of(region: &Mqtt) -> String {
    let shown = format!("{region:?}");
    shown.split("prefix: \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn ten_thousand_slots_are_put_right_after_a_broker_was_lost() {
    with_own_broker(async |broker| {
        let count = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
        let region = Arc::new(connect(&options(&broker)));
        connected(&region).await;
        let fleet = fleet_over(region.clone(), count).await;
        start(&fleet, "2.0", 1).await;
        fleet.work().await;
        broker.kill();
        until("the loss is noticed", async || region.connection().is_none()).await;
        broker.boot();
        connected(&region).await;
        let began = Instant::now();
        fleet.work().await;
        let took = began.elapsed();
        println!("{count} slots were put right in {took:?}");
        for number in 0..count {
            let name = fleet::device_name(number);
            let slot = Slot { device: name.parse().unwrap(), component: format!("{name}-mds").parse().unwrap() };
            let found = region.read(&fleet.tenant, &slot).await.unwrap().unwrap();
            assert!(matches!(found.content, Content::Offer(_)), "{name}: {found:?}");
        }
        assert!(took < Duration::from_secs(60), "it took {took:?}");
    });
}

/// A region that is read anew has more slots than the broker queues messages for a client.
#[test]
fn every_slot_is_read_at_the_start() {
    with_broker(async |broker| {
        let options = options(broker);
        let writer = connect(&options);
        connected(&writer).await;
        for number in 0..3_000 {
            writer.put(&tenant(), &slot(&format!("pump-{number}")), &tombstone(1), None).await.unwrap();
        }
        let reader = connect(&options.clone().with_client_id("the-reader-of-every-slot"));
        for number in 0..3_000 {
            let found = reader.read(&tenant(), &slot(&format!("pump-{number}"))).await.unwrap();
            assert_eq!(found.unwrap().content, tombstone(1), "pump-{number}");
        }
        // What another client writes is seen as well.
        writer.put(&tenant(), &slot("pump-0"), &tombstone(2), None).await.unwrap();
        until("the later content is seen", async || {
            reader.read(&tenant(), &slot("pump-0")).await.unwrap().unwrap().content == tombstone(2)
        })
        .await;
        let stale = reader.put(&tenant(), &slot("pump-0"), &tombstone(1), None).await;
        assert!(matches!(stale, Err(PublishError::Stale { action: ActionNumber(2) })), "{stale:?}");
    });
}

#[test]
fn later_writer_cuts_off_the_earlier_one() {
    with_broker(async |broker| {
        let options = options(broker);
        let earlier = connect(&options);
        let first = connected(&earlier).await;
        earlier.put(&tenant(), &slot("pump-7"), &tombstone(1), None).await.unwrap();
        let later = connect(&options);
        connected(&later).await;
        until("the earlier one is cut off", async || earlier.connection() != Some(first)).await;
        drop(later);
        // It reads the slots again before it writes anything.
        assert_ne!(connected(&earlier).await, first);
        assert_eq!(earlier.read(&tenant(), &slot("pump-7")).await.unwrap().unwrap().content, tombstone(1));
    });
}

#[test]
fn certificate_of_the_client_is_shown_and_that_of_the_broker_checked() {
    with_own_broker(async |broker| {
        let tls = |name: &str| std::fs::read(format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let url = format!("mqtts://localhost:{}", broker.tls_port);
        let options = Options::new(&url, &"lab".parse().unwrap()).unwrap();
        let right = options.clone().with_roots(&tls("certificate.pem")).unwrap();
        let full = right.clone().with_identity(&tls("client.pem")).unwrap();
        let region = connect(&full);
        connected(&region).await;
        region.put(&tenant(), &slot("pump-7"), &tombstone(1), None).await.unwrap();
        // Without a certificate, and with roots that the broker's is not of.
        let foreign = options.with_roots(&tls("client.pem")).unwrap().with_identity(&tls("client.pem")).unwrap();
        for wrong in [right, foreign] {
            let region = connect(&wrong);
            let refused = region.put(&tenant(), &slot("pump-7"), &tombstone(2), None).await.unwrap_err();
            assert!(matches!(refused, PublishError::Unavailable { .. }), "{refused:?}");
        }
    });
}

#[test]
fn refused_credentials_are_told_and_not_shown() {
    with_broker(async |broker| {
        let options = options(broker).with_credentials("forbidden", "the-password");
        assert!(!format!("{options:?}").contains("the-password"));
        let region = connect(&options);
        connected(&region).await;
        let denied = region.put(&tenant(), &slot("pump-7"), &tombstone(1), None).await.unwrap_err();
        assert!(matches!(denied, PublishError::Denied { .. }), "{denied:?}");
        assert_eq!(region.read(&tenant(), &slot("pump-7")).await.unwrap(), None);
    });
}

#[test]
fn options_refuse_what_is_no_address() {
    let lab = "lab".parse().unwrap();
    for url in
        ["http://localhost", "mqtt://broker.example", "mqtts://user:the-password@localhost", "mqtts://h/path", "x"]
    {
        let refused = Options::new(url, &lab).unwrap_err().to_string();
        assert!(!refused.contains("the-password"), "{refused}");
    }
    let options = Options::new("mqtts://localhost", &lab).unwrap();
    for prefix in ["", "a/+", "#", "a//b", "$SYS"] {
        assert!(matches!(options.clone().with_prefix(prefix), Err(StoreError::Invalid { .. })), "{prefix}");
    }
}

/// A client of the tests, as a device has one.
struct Device {
    client: AsyncClient,
    serving: tokio::task::JoinHandle<()>,
}

impl Device {
    fn new(broker: &Broker, name: &str) -> Self {
        let options = MqttOptions::new(name, Address::tcp("127.0.0.1", broker.port));
        let (client, mut events) = AsyncClient::builder(options).capacity(100).build();
        let serving = tokio::spawn(async move { while events.poll().await.is_ok() {} });
        Self { client, serving }
    }

    /// Sends a message, and sends it again as long as nobody subscribes to its topic.
    async fn send(&self, topic: String, payload: impl Into<Vec<u8>>) {
        let payload = payload.into();
        loop {
            let options = PublishOptions::new(QoS::AtLeastOnce);
            let sent = self.client.publish_tracked(topic.clone(), payload.clone(), options).await.unwrap();
            match sent.wait_async().await.unwrap() {
                PublishResult::Qos1(PubAck { reason: PubAckReason::NoMatchingSubscribers, .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => return,
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn versions(component: &str, version: &str) -> Vec<u8> {
    let item = ReportedVersion::new(component.parse().unwrap(), version);
    serde_json::to_vec(&DeviceReport::versions([item])).unwrap()
}

#[test]
fn report_is_acknowledged_when_it_is_recorded() {
    with_broker(async |broker| {
        let region = Arc::new(connect(&options(broker)));
        connected(&region).await;
        let fleet = fleet_over(region.clone(), 1).await;
        let rollout = start(&fleet, "2.0", 1).await;
        fleet.work().await;
        let offer = fleet.service.offers(&fleet.tenant, &"pump-0".parse().unwrap()).await.unwrap().remove(0);
        fleet.service.claim(&fleet.tenant, offer.key, &offer.files[0].name, None).await.unwrap();

        // A service receives, and ends before the report is recorded.
        let topic = format!("{}/st-mary/pump-0/report", prefix_of(&region));
        let device = Device::new(broker, "device-pump-0-of-reports");
        let seen = tokio::sync::Notify::new();
        let ended = {
            let (topic, device) = (topic.clone(), &device);
            let receive = region.receive_reports(|_, _, _| {
                seen.notify_one();
                pending::<Result<(), RolloutError>>()
            });
            let send = async {
                device.send(topic, versions("pump-0-mds", "2.0")).await;
            };
            tokio::select! {
                counts = receive => Some(counts),
                ((), ()) = async { (send.await, seen.notified().await) } => None,
            }
        };
        assert_eq!(ended, None);
        assert_eq!(fleet.version_of("pump-0").await, "1.0");

        // The next one receives it again. A failure that passes keeps no report from being recorded, in order.
        let failures = AtomicU32::new(0);
        let order = Mutex::new(Vec::new());
        let receive = region.receive_reports(|tenant, device, report| {
            let (service, failures, order) = (&fleet.service, &failures, &order);
            async move {
                if failures.fetch_add(1, Ordering::Relaxed) < 2 {
                    return Err(StoreError::unavailable(None, None).into());
                }
                let answer = service.report(&tenant, &device, report).await?;
                order.lock().unwrap().push(answer);
                Ok(())
            }
        });
        let done = async {
            until("the report is recorded", async || fleet.version_of("pump-0").await == "2.0").await;
        };
        tokio::select! {
            counts = receive => panic!("{counts:?}"),
            () = done => {}
        }
        fleet.work().await;
        let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
        assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 1));
    });
}

/// What can never be recorded is refused by its kind, changes nothing, and keeps no other report waiting.
#[test]
fn bad_reports_are_refused_and_change_nothing() {
    with_broker(async |broker| {
        let region = Arc::new(connect(&options(broker)));
        connected(&region).await;
        let fleet = fleet_over(region.clone(), 2).await;
        start(&fleet, "2.0", 1).await;
        fleet.work().await;
        let offer = fleet.service.offers(&fleet.tenant, &"pump-0".parse().unwrap()).await.unwrap().remove(0);
        let prefix = prefix_of(&region);
        let of = |rest: &str| format!("{prefix}/{rest}/report");
        let key = offer.key;
        let done = |key| serde_json::to_vec(&DeviceReport::Done { key }).unwrap();
        let unknown = OfferKey { deployment: DeploymentId(1), attempt: Attempt(1) };
        let many = format!("[{}]", vec![String::from_utf8(done(key)).unwrap(); 65].join(","));
        let bad: Vec<(String, Vec<u8>)> = vec![
            (of("st-mary/pump-0"), b"{".to_vec()),
            (of("st-mary/pump-0"), b"[[[[".to_vec()),
            (of("st-mary/pump-0"), vec![b'x'; 100_000]),
            (of("st-mary/pump-0"), many.into_bytes()),
            // Another device's offer, an offer of nobody, another tenant, another device's component.
            (of("st-mary/pump-1"), done(key)),
            (of("st-mary/pump-0"), done(unknown)),
            (of("other/pump-0"), done(key)),
            (of("st-mary/pump-1"), versions("pump-0-mds", "2.0")),
            (of("ST%20MARY/pump-0"), done(key)),
        ];
        let refused = Arc::new(AtomicU32::new(0));
        let device = Device::new(broker, "device-of-bad-reports");
        let wanted = bad.len();
        let send = async {
            // The broker drops it: the service takes no such packet.
            device.send(of("st-mary/pump-0"), vec![b' '; 1 << 20]).await;
            for (topic, payload) in bad {
                device.send(topic, payload).await;
            }
            device.send(of("st-mary/pump-1"), versions("pump-1-mds", "1.0")).await;
            pending::<()>().await;
        };
        let last = Arc::new(tokio::sync::Notify::new());
        let receive = region.receive_reports(|tenant, device, report| {
            let (service, last, refused) = (&fleet.service, Arc::clone(&last), Arc::clone(&refused));
            async move {
                let result = service.report(&tenant, &device, report).await;
                match &result {
                    Ok(_) => last.notify_one(),
                    Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
                result.map(drop)
            }
        });
        tokio::select! {
            counts = receive => panic!("{counts:?}"),
            () = send => {}
            () = last.notified() => {}
        }
        // Four are no reports, and one names no tenant.
        assert_eq!(refused.load(Ordering::Relaxed) as usize, wanted - 5);
        let after = fleet.service.offers(&fleet.tenant, &"pump-0".parse().unwrap()).await.unwrap();
        assert_eq!(after, [offer]);
        assert_eq!(fleet.version_of("pump-0").await, "1.0");
    });
}

/// As many at once, over one connection, with the same payload: through the region, and through the client library alone.
#[test]
fn puts_are_as_fast_as_the_bare_client() {
    with_own_broker(async |broker| {
        let (count, at_once) = if cfg!(debug_assertions) { (2_000_u32, 64) } else { (20_000, 64) };
        let region = Arc::new(connect(&options(&broker)));
        connected(&region).await;
        let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
        let until = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
        let offer = Offer::new(key, ActionNumber(1), "pump/main".parse().unwrap(), "2.4".parse().unwrap(), 1, until);
        let content = Content::Offer(Box::new(offer));
        let options = MqttOptions::new("bare", Address::tcp("127.0.0.1", broker.port));
        let (client, mut events) = AsyncClient::builder(options).capacity(1_024).build();
        let serving = tokio::spawn(async move { while events.poll().await.is_ok() {} });

        let mut rates = Vec::new();
        for round in 0..3_u32 {
            let next = Arc::new(AtomicU32::new(0));
            let began = Instant::now();
            let work = (0..at_once).map(|_| {
                let (client, next, payload) = (client.clone(), Arc::clone(&next), content.to_bytes());
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let topic = format!("bare/{round}/st-mary/pump-{number}/mds/offer");
                        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
                        let sent = client.publish_tracked(topic, payload.clone(), options).await.unwrap();
                        sent.wait_completion_async().await.unwrap();
                    }
                })
            });
            for one in work.collect::<Vec<_>>() {
                one.await.unwrap();
            }
            let bare = f64::from(count) / began.elapsed().as_secs_f64();

            let next = Arc::new(AtomicU32::new(0));
            let began = Instant::now();
            let work = (0..at_once).map(|_| {
                let (region, next, content) = (region.clone(), Arc::clone(&next), content.clone());
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let slot = slot(&format!("pump-{round}-{number}"));
                        region.put(&tenant(), &slot, &content, None).await.unwrap();
                    }
                })
            });
            for one in work.collect::<Vec<_>>() {
                one.await.unwrap();
            }
            let put = f64::from(count) / began.elapsed().as_secs_f64();
            println!("{put:.0} puts a second, {bare:.0} by the client alone: {:.2}", put / bare);
            rates.push(put / bare);
        }
        serving.abort();
        // Without optimisation the JSON alone takes longer than the broker.
        let best = rates.into_iter().fold(0.0, f64::max);
        assert!(cfg!(debug_assertions) || best >= 0.8, "{best:.2} of the rate of the client alone");
    });
}
