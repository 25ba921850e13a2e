//! Notifications of subscriptions: which are sent, in which order, and what happens to refused ones.

use super::client::{BASE, Client, json, text};
use super::subscriptions::wanted;
use fhir_devices::backend::Memory;
use fhir_devices::rest::{Server, Subscriptions};
use fhir_devices::service::{Notified, SubscriptionService};
use fhir_devices::store::{BoxFuture, ResourceStore, Tenant, TenantResources};
use fhir_devices::subscription::{Notification, Notifier, NotifyError, Pace};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use time::OffsetDateTime;
use time::macros::datetime;

/// An endpoint that records its notifications, and accepts or refuses them.
#[derive(Default)]
struct Endpoint {
    told: Mutex<Vec<Notification>>,
    refuses: AtomicBool,
    /// The number of notifications accepted before it refuses all others; 0 for no limit.
    takes: AtomicUsize,
    slow: AtomicBool,
}

impl Notifier for Endpoint {
    fn send<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        Box::pin(async move {
            if self.slow.load(SeqCst) {
                tokio::task::yield_now().await;
            }
            if self.refuses.load(SeqCst) {
                return Err(NotifyError::new("the endpoint answered 503"));
            }
            self.told.lock().unwrap().push(notification.clone());
            if self.takes.load(SeqCst) > 0 && self.takes.fetch_sub(1, SeqCst) == 1 {
                self.refuses.store(true, SeqCst);
            }
            Ok(())
        })
    }
}

impl Endpoint {
    /// Returns the new notifications: the ids and versions.
    fn told(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.told.lock().unwrap()).iter().map(read).collect()
    }
}

fn read(notification: &Notification) -> (String, u64) {
    let body: Value = serde_json::from_slice(&notification.body).unwrap();
    let id = body["id"].as_str().unwrap().to_owned();
    assert!(notification.url.path().ends_with(&format!("/{}/{id}", body["resourceType"].as_str().unwrap())));
    (id, body["meta"]["versionId"].as_str().unwrap().parse().unwrap())
}

/// One memory, one clock, and any number of services over them.
struct World {
    memory: Arc<Memory>,
    now: Arc<Mutex<OffsetDateTime>>,
    client: Client,
    endpoint: Arc<Endpoint>,
}

fn ward() -> Tenant {
    "ward".parse().unwrap()
}

impl World {
    fn new() -> Self {
        let now = Arc::new(Mutex::new(datetime!(2017-04-19 10:00 UTC)));
        let clock = Arc::clone(&now);
        let memory = Arc::new(Memory::new().with_clock(move || *clock.lock().unwrap()));
        let client = Client(server(&memory, &now));
        Self { memory, now, client, endpoint: Arc::default() }
    }

    fn service(&self) -> SubscriptionService {
        let (memory, now, clock) = (self.memory.clone(), self.now.clone(), self.now.clone());
        let service = SubscriptionService::new(move |_| server(&memory, &now), self.endpoint.clone()).unwrap();
        service.with_clock(move || *clock.lock().unwrap())
    }

    fn pass(&self, seconds: i64) {
        *self.now.lock().unwrap() += time::Duration::seconds(seconds);
    }

    async fn subscribe(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut body = wanted();
        change(&mut body);
        let made = self.client.send("POST Subscription", &[], &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", text(&made));
        json(&made)["id"].as_str().unwrap().to_owned()
    }

    /// Writes a device, a microsecond after the last write.
    async fn device(&self, id: &str, model: &str) {
        *self.now.lock().unwrap() += time::Duration::microseconds(1);
        self.client.put(&json!({"resourceType": "Device", "id": id, "model": model})).await;
    }

    async fn subscription(&self, id: &str) -> Value {
        json(&self.client.get(&format!("Subscription/{id}")).await)
    }
}

fn server(memory: &Arc<Memory>, now: &Arc<Mutex<OffsetDateTime>>) -> Server {
    let resources: Arc<dyn ResourceStore> = memory.clone();
    let clock = Arc::clone(now);
    Server::new(TenantResources::new(resources, ward()), BASE)
        .with_clock(move || *clock.lock().unwrap())
        .with_subscriptions(Subscriptions::new(memory.clone(), ward()))
}

async fn run(service: &SubscriptionService) -> Notified {
    service.run_once(&ward()).await.unwrap()
}

#[tokio::test]
async fn matching_versions_are_sent_once_and_in_order() {
    let world = World::new();
    world.device("before", "P9").await;
    let id = world.subscribe(|_| {}).await;
    assert_eq!(world.subscription(&id).await["status"], "requested");
    world.device("a", "P9").await;
    world.device("other", "Q").await;
    world.device("b", "P9").await;
    world.device("a", "P9 plus").await;
    world.device("b", "Q").await;
    world.client.send("DELETE Device/a", &[], "").await;
    let service = world.service();
    assert_eq!(run(&service).await.sent, 3);
    let sent: Vec<Notification> = world.endpoint.told.lock().unwrap().clone();
    assert_eq!(world.endpoint.told(), [("a".to_owned(), 1), ("b".to_owned(), 1), ("a".to_owned(), 2)]);
    assert_eq!((sent[0].method, sent[0].url.as_str()), ("PUT", "https://ehr.example/hook/Device/a"));
    for header in [("Authorization", "Bearer secret-token"), ("content-type", "application/fhir+json; charset=utf-8")] {
        assert!(sent[0].headers.contains(&(header.0.to_owned(), header.1.to_owned())), "{:?}", sent[0].headers);
    }
    assert!(!format!("{:?}", sent[0]).contains("secret-token"));
    assert_eq!(world.subscription(&id).await["status"], "active");
    for seconds in [0, 1, 5, 60] {
        world.pass(seconds);
        assert_eq!(run(&service).await, Notified::default(), "{seconds}");
    }
    world.device("c", "P9").await;
    assert_eq!(run(&service).await.sent, 1);
    assert_eq!(world.endpoint.told(), [("c".to_owned(), 1)]);
}

#[tokio::test]
async fn notification_without_a_payload_is_an_empty_post() {
    let world = World::new();
    world.subscribe(|body| drop(body["channel"].as_object_mut().unwrap().remove("payload"))).await;
    world.device("a", "P9").await;
    assert_eq!(run(&world.service()).await.sent, 1);
    let told = world.endpoint.told.lock().unwrap();
    assert_eq!((told[0].method, told[0].url.as_str(), told[0].body.len()), ("POST", "https://ehr.example/hook", 0));
}

#[cfg(feature = "xml")]
#[tokio::test]
async fn notification_in_xml_is_sent_in_xml() {
    let world = World::new();
    world.subscribe(|body| body["channel"]["payload"] = "application/fhir+xml".into()).await;
    world.device("a", "P9").await;
    assert_eq!(run(&world.service()).await.sent, 1);
    let told = world.endpoint.told.lock().unwrap();
    assert!(told[0].body.starts_with(b"<Device"));
    assert!(
        told[0].headers.iter().any(|(name, kind)| name == "content-type" && kind.starts_with("application/fhir+xml"))
    );
}

#[tokio::test]
async fn criteria_may_be_about_other_resources() {
    let world = World::new();
    world.subscribe(|body| body["criteria"] = "DeviceComponent?source:Device.model=P9".into()).await;
    world.device("a", "P9").await;
    world.device("b", "Q").await;
    for (id, device) in [("x", "a"), ("y", "b"), ("z", "a")] {
        let part = json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": "1"}, "type": {"text": "t"},
            "source": {"reference": format!("Device/{device}")}});
        *world.now.lock().unwrap() += time::Duration::microseconds(1);
        world.client.put(&part).await;
    }
    assert_eq!(run(&world.service()).await.sent, 2);
    assert_eq!(world.endpoint.told(), [("x".to_owned(), 1), ("z".to_owned(), 1)]);
}

#[tokio::test]
async fn failed_notification_is_tried_again_and_nothing_behind_it_is_lost() {
    let world = World::new();
    let id = world.subscribe(|_| {}).await;
    let service = world.service();
    world.endpoint.refuses.store(true, SeqCst);
    for number in 0..30 {
        world.device(&format!("d{number}"), "P9").await;
    }
    assert_eq!((run(&service).await.failed, run(&service).await.failed), (1, 0));
    let failed = world.subscription(&id).await;
    assert_eq!(
        (failed["status"].as_str(), failed["error"].as_str()),
        (Some("error"), Some("the endpoint answered 503"))
    );
    let version = failed["meta"]["versionId"].clone();
    world.pass(6);
    assert_eq!(run(&service).await.failed, 1);
    // The second failure is ten seconds long, and the same failure makes no new version.
    world.pass(6);
    assert_eq!(run(&service).await, Notified::default());
    assert_eq!(world.subscription(&id).await["meta"]["versionId"], version);
    world.pass(6);
    world.endpoint.refuses.store(false, SeqCst);
    assert_eq!(run(&service).await.sent, 30);
    let wanted: Vec<_> = (0..30).map(|number| (format!("d{number}"), 1)).collect();
    assert_eq!(world.endpoint.told(), wanted);
    let healed = world.subscription(&id).await;
    assert_eq!((healed["status"].as_str(), healed.get("error")), (Some("active"), None));
}

#[tokio::test]
async fn subscription_is_turned_off_after_days_of_failures_and_goes_on_where_it_stopped() {
    let world = World::new();
    let id = world.subscribe(|_| {}).await;
    let service = world.service();
    world.endpoint.refuses.store(true, SeqCst);
    world.device("a", "P9").await;
    for _ in 0..100 {
        world.pass(3_600);
        run(&service).await;
    }
    let off = world.subscription(&id).await;
    assert_eq!((off["status"].as_str(), off["error"].as_str()), (Some("off"), Some("the endpoint answered 503")));
    world.endpoint.refuses.store(false, SeqCst);
    world.device("b", "P9").await;
    assert_eq!(run(&service).await, Notified::default());
    let mut again = off.clone();
    again["status"] = "requested".into();
    assert_eq!(world.client.put(&again).await.status, 200);
    assert_eq!(run(&service).await.sent, 2);
    assert_eq!(world.endpoint.told(), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(world.subscription(&id).await.get("error"), None);
}

#[tokio::test]
async fn subscription_that_its_client_turned_off_begins_anew() {
    let world = World::new();
    let id = world.subscribe(|_| {}).await;
    let service = world.service();
    let mut own = world.subscription(&id).await;
    own["status"] = "off".into();
    world.client.put(&own).await;
    world.device("a", "P9").await;
    world.pass(60);
    assert_eq!(run(&service).await, Notified::default());
    own["status"] = "requested".into();
    world.client.put(&own).await;
    world.device("b", "P9").await;
    assert_eq!(run(&service).await.sent, 1);
    assert_eq!(world.endpoint.told(), [("b".to_owned(), 1)]);
}

#[tokio::test]
async fn subscription_ends_at_its_time() {
    let world = World::new();
    let id = world.subscribe(|body| body["end"] = "2017-04-19T10:01:00Z".into()).await;
    let service = world.service();
    world.device("a", "P9").await;
    assert_eq!(run(&service).await.sent, 1);
    world.pass(60);
    world.device("b", "P9").await;
    assert_eq!(run(&service).await.sent, 0);
    assert_eq!(world.subscription(&id).await["status"], "off");
}

#[tokio::test]
async fn deleted_subscription_is_told_nothing() {
    let world = World::new();
    let id = world.subscribe(|_| {}).await;
    world.device("a", "P9").await;
    assert_eq!(world.client.send(&format!("DELETE Subscription/{id}"), &[], "").await.status, 204);
    assert_eq!(run(&world.service()).await, Notified::default());
}

#[tokio::test]
async fn thousand_changes_are_sent_in_order_of_their_history() {
    let world = World::new();
    world.subscribe(|_| {}).await;
    let service = world.service();
    for number in 0..1_000 {
        world.device(&format!("d{}", number % 100), "P9").await;
    }
    let mut sent = 0;
    while sent < 1_000 {
        let done = run(&service).await;
        assert!(done.sent > 0 && done.failed == 0, "{done:?} after {sent}");
        sent += done.sent;
    }
    let wanted: Vec<_> = (0..1_000).map(|number| (format!("d{}", number % 100), number / 100 + 1)).collect();
    assert_eq!(world.endpoint.told(), wanted);
}

/// Checks that the versions of each resource are notified in order, each at least once.
fn in_order(told: &[(String, u64)]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (id, version) in told {
        let before = last.insert(id, *version).unwrap_or(0);
        assert!(*version <= before + 1, "{id}: {version} after {before}");
    }
}

#[tokio::test]
async fn more_changes_than_are_remembered_are_sent() {
    let world = World::new();
    world.subscribe(|body| drop(body["channel"].as_object_mut().unwrap().remove("payload"))).await;
    let service = world.service();
    for number in 0..4_000 {
        world.device(&format!("d{number}"), "P9").await;
        if number % 10 == 0 {
            *world.now.lock().unwrap() += time::Duration::milliseconds(1);
        }
    }
    let mut sent = 0;
    for _ in 0..30 {
        sent += run(&service).await.sent;
        world.pass(1);
    }
    assert_eq!(sent, 4_000);
}

#[tokio::test]
async fn restarted_service_loses_nothing_and_repeats_little() {
    let world = World::new();
    world.subscribe(|_| {}).await;
    let mut wanted = BTreeSet::new();
    let mut all = Vec::new();
    for round in 0..20_u64 {
        for number in 0..35 {
            let id = format!("d{round}-{number}");
            world.device(&id, "P9").await;
            wanted.insert((id, 1));
        }
        // It is killed in the middle: the future is dropped, and so is the service.
        let service = world.service();
        world.endpoint.slow.store(true, SeqCst);
        let steps = (round * 37) % 200;
        let ward = ward();
        let mut running = Box::pin(service.run_once(&ward));
        for _ in 0..steps {
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(running.as_mut().poll(cx).is_ready())).await;
            if polled {
                break;
            }
        }
        drop(running);
        all.extend(world.endpoint.told());
        world.pass(60);
    }
    let service = world.service();
    while run(&service).await.sent > 0 {}
    all.extend(world.endpoint.told());
    assert_eq!(all.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    in_order(&all);
    assert!(all.len() < wanted.len() + 20 * 20, "{} for {}", all.len(), wanted.len());
}

#[tokio::test]
async fn two_services_send_one_after_the_other() {
    let world = World::new();
    world.subscribe(|_| {}).await;
    let (one, other) = (world.service(), world.service());
    world.endpoint.slow.store(true, SeqCst);
    for round in 0..20_u64 {
        for number in 0..50 {
            world.device(&format!("d{number}"), if round % 2 == 0 { "P9" } else { "P9 plus" }).await;
        }
        let ward = ward();
        let (first, second) = tokio::join!(one.run_once(&ward), other.run_once(&ward));
        first.unwrap();
        second.unwrap();
    }
    while run(&one).await.sent + run(&other).await.sent > 0 {}
    let told = world.endpoint.told();
    in_order(&told);
    assert_eq!(told.len(), 1_000, "nobody was killed, so that nothing is sent twice");
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>().len(), 1_000);
}

#[tokio::test]
async fn service_takes_over_when_the_lease_of_a_dead_one_is_over() {
    let world = World::new();
    world.subscribe(|_| {}).await;
    world.device("a", "P9").await;
    world.endpoint.slow.store(true, SeqCst);
    let (dead, ward) = (world.service(), ward());
    let mut running = Box::pin(dead.run_once(&ward));
    // It has the subscription, and is sending.
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(running.as_mut().poll(cx).is_ready())).await;
    assert!(!polled);
    let other = world.service();
    assert_eq!(run(&other).await.sent, 0);
    drop(running);
    world.pass(i64::try_from(Pace::default().lease.as_secs()).unwrap() + 1);
    assert_eq!(run(&other).await.sent, 1);
}

#[tokio::test]
async fn clock_that_is_set_back_hides_no_change() {
    let world = World::new();
    world.subscribe(|_| {}).await;
    let service = world.service();
    world.device("a", "P9").await;
    assert_eq!(run(&service).await.sent, 1);
    world.pass(-3_600);
    world.device("b", "P9").await;
    assert_eq!(run(&service).await.sent, 1);
    assert_eq!(world.endpoint.told().last(), Some(&("b".to_owned(), 1)));
}

#[tokio::test]
async fn version_that_was_forgotten_is_told_by_the_newest() {
    let world = World::new();
    world.subscribe(|_| {}).await;
    for model in ["P9", "P9 a", "P9 b"] {
        world.device("a", model).await;
    }
    let store = TenantResources::new(world.memory.clone(), ward());
    store.prune_history(&"Device/a".parse().unwrap(), std::num::NonZeroU32::MIN).await.unwrap();
    assert_eq!(run(&world.service()).await.sent, 1);
    assert_eq!(world.endpoint.told(), [("a".to_owned(), 3)]);
}

#[tokio::test]
async fn client_that_changes_the_criteria_is_told_by_the_new_ones() {
    let world = World::new();
    let id = world.subscribe(|_| {}).await;
    let service = world.service();
    run(&service).await;
    let mut own = world.subscription(&id).await;
    // It is active by now, and its client writes it as it read it.
    assert_eq!(own["status"], "active");
    own["criteria"] = "Device?model=Q".into();
    world.client.put(&own).await;
    world.device("a", "P9").await;
    world.device("b", "Q").await;
    assert_eq!(run(&service).await.sent, 1);
    assert_eq!(world.endpoint.told(), [("b".to_owned(), 1)]);
}
