//! How fast rollouts are: the bare step of a deployment, the same with its audit record, planning, offers, claims and reports
//! into the store in memory with audit, a region with a million slots to write, and a whole rollout over redb and PostgreSQL.
//!
//! ```text
//! cargo bench --features postgres,redb --bench rollout [-- PART...]
//! ```
//!
//! A part is `steps`, `memory`, `plan` (of a million components), `scan` or `engines`; without one, all of them are measured.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a bench may stop where it stands")]

#[path = "../tests/postgres/server.rs"]
mod server;
#[path = "common/taken.rs"]
mod taken;

use fhir_devices::audit::{Actor, ChainHead, RecordContext};
use fhir_devices::backend::postgres::{NoTls, Options};
use fhir_devices::backend::{Memory, Redb, Slots};
use fhir_devices::publish::{Offer, RegionId};
use fhir_devices::service::{DeviceReport, ReleaseSubmission, ReportedVersion, RolloutService, UpdateService};
use fhir_devices::store::{Change, Ledger, LedgerKey, ResourceStore, Tenant, TenantResources, stream};
use fhir_devices::update::deployment::{self, Context, DeviceOffers, Input, OutcomeClass, Phase, Step, Target};
use fhir_devices::update::rollout::{
    Epoch, Lane, LaneHead, LaneInput, RolloutId, RolloutRequest, Spec, Status, StopCriterion, Wave,
};
use fhir_devices::{Device, DeviceComponent, Valid};
use server::Server;
use std::hint::black_box;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use taken::{Start, Taken};

const FILE: &str = "pump.bin";
const VERSION: &str = "2.0";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --benches` wants to know that it builds.
        return;
    }
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|name| !name.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let parts: [(&str, &dyn Fn()); 5] = [
        ("steps", &steps),
        ("memory", &|| runtime.block_on(memory(100_000))),
        ("plan", &|| runtime.block_on(plan(1_000_000))),
        ("scan", &|| runtime.block_on(scan(1_000_000))),
        ("engines", &engines),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.contains(&name) {
            part();
        }
    }
}

fn say(what: &str, count: usize, taken: Taken) {
    let (worked, passed) = (taken.worked.as_secs_f64(), taken.passed.as_secs_f64());
    let each = count as f64 / worked;
    println!("{what:<52} {count:>9} in {worked:>7.3} s of processor time ({passed:.1} s), {each:>9.0} a second");
}

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn region() -> RegionId {
    "local".parse().unwrap()
}

/// The bare step of a deployment, and the same with its audit record.
fn steps() {
    const COUNT: usize = 5_000_000;
    let now = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    let spec = Spec::new(RolloutRequest::new("1".repeat(32).parse().unwrap(), region()).with_cap(10)).unwrap();
    let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
    let target = Target { device: "pump".parse().unwrap(), component: "pump-mds".parse().unwrap(), region: region() };
    let planned = deployment::plan(&tenant(), &spec, &lane, target, now).unwrap();
    let opened = LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) };
    let lane = planned.lane.step(&opened, now).unwrap().unwrap().lane;
    let offers = DeviceOffers::default();
    let offer = Input::OfferRequested { epoch: Epoch(1), line: Vec::new(), one_per_device: false, admitted: true };
    let context = Context { spec: &spec, lane: &lane, offers: &offers };
    let Ok(Step::Transition(offering)) = deployment::step(&planned.deployment, context, &offer, now) else { panic!() };
    let attempt = offering.deployment.state.attempt();
    let claim = Input::ClaimRequested { attempt, closed: Default::default(), expired: false };
    let context = Context { spec: &spec, lane: &offering.lane, offers: &offers };
    let begun = Start::now();
    for _ in 0..COUNT {
        let step = deployment::step(black_box(&offering.deployment), context, &claim, now);
        let Ok(Step::Transition(to)) = step else { panic!() };
        black_box(to);
    }
    say("bare step", COUNT, begun.taken());
    let by = RecordContext::by(Actor::service("bench".parse().unwrap()));
    let mut head = ChainHead::of_lane(tenant(), 7, 0);
    let begun = Start::now();
    for _ in 0..COUNT / 10 {
        let Ok(Step::Transition(to)) = deployment::step(&offering.deployment, context, &claim, now) else { panic!() };
        head = head.append(to.event().draft(), by.clone()).head;
    }
    black_box(head);
    say("step with its audit line and digest", COUNT / 10, begun.taken());
}

/// So many components at version 1.0, some on each device.
async fn fill<R: ResourceStore>(store: &Arc<R>, components: usize, each: usize) {
    let resources = TenantResources::new(Arc::clone(store), tenant());
    for number in 0..components {
        let device = number / each;
        if number % each == 0 {
            let json = format!(r#"{{"resourceType":"Device","id":"p{device}"}}"#);
            resources.create(&Valid::new(Device::from_json(json.as_bytes()).unwrap()).unwrap()).await.unwrap();
        }
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"m{number}","identifier":{{"value":"1"}},"source":{{"reference":"Device/p{device}"}},
            "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"69985"}}]}},
            "productionSpecification":[{{"specType":{{"coding":[{{"system":"http://hl7.org/fhir/specification-type",
            "code":"software-revision"}}]}},"productionSpec":"1.0"}}]}}"#
        );
        let component = DeviceComponent::from_json(json.as_bytes()).unwrap();
        resources.create(&Valid::new(component).unwrap()).await.unwrap();
    }
}

type Service<S> = RolloutService<S, Memory, S>;

/// A service over a store, with one region in the ledger of the same, and a rollout of one release to everything.
async fn submitted<S: ResourceStore + Ledger>(
    store: &Arc<S>,
    count: usize,
    lanes: NonZeroU16,
) -> (Service<S>, RolloutId) {
    let updates = UpdateService::new(Arc::clone(store), Arc::new(Memory::new()), Arc::clone(store)).unwrap();
    let slots = Slots::new(Arc::clone(store), region());
    let service = RolloutService::new(updates).with_region(region(), Arc::new(slots));
    let (file, media_type) = (FILE.parse().unwrap(), "application/octet-stream".parse().unwrap());
    let (name, version) = ("pump/main".parse().unwrap(), VERSION.parse().unwrap());
    let mut submission = ReleaseSubmission::new(name, version, 1, file, media_type);
    submission.target.code = Some(69985);
    let by = "bench".parse().unwrap();
    let release = service.release(&tenant(), submission, &by, stream::once("firmware")).await.unwrap();
    let cap = u32::try_from(count).unwrap() + u32::from(lanes.get());
    // Where fewer failures are allowed than there are lanes, lanes work one after the other.
    let stop = vec![StopCriterion::new([OutcomeClass::Failed], 100, 10_000)];
    let request = RolloutRequest::new(release.id, region()).with_cap(cap).with_lanes(lanes).with_stop(stop);
    let rollout = service.create(&tenant(), request, &by).await.unwrap();
    service.submit(&tenant(), rollout.id).await.unwrap();
    (service, rollout.id)
}

/// Plans a rollout, which runs then.
async fn planned<S: ResourceStore + Ledger>(service: &Service<S>, rollout: RolloutId) {
    while service.rollout(&tenant(), rollout).await.unwrap().status == Status::Ready {
        service.run_once(&tenant(), &region(), 0).await.unwrap();
    }
}

async fn offer_of<S: ResourceStore + Ledger>(service: &Service<S>, number: usize) -> Offer {
    let device = format!("p{number}").parse().unwrap();
    service.offers(&tenant(), &device).await.unwrap().remove(0)
}

async fn claims<S: ResourceStore + Ledger>(service: &Service<S>, offer: &Offer) {
    service.claim(&tenant(), offer.key, &offer.files[0].name, None).await.unwrap();
}

async fn installs<S: ResourceStore + Ledger>(service: &Service<S>, number: usize, offer: &Offer) {
    let report = DeviceReport::Phase { key: offer.key, number: None, phase: Phase::Installing };
    service.report(&tenant(), &format!("p{number}").parse().unwrap(), report).await.unwrap();
}

async fn runs<S: ResourceStore + Ledger>(service: &Service<S>, number: usize) {
    let runs = ReportedVersion::new(format!("m{number}").parse().unwrap(), VERSION);
    let report = DeviceReport::versions([runs]);
    service.report(&tenant(), &format!("p{number}").parse().unwrap(), report).await.unwrap();
}

async fn all_succeeded<S: ResourceStore + Ledger>(service: &Service<S>, rollout: RolloutId, count: usize) {
    let view = service.view(&tenant(), rollout).await.unwrap();
    let succeeded = view.ended(OutcomeClass::Succeeded) as usize;
    assert_eq!((view.rollout.status, succeeded), (Status::Completed, count));
}

/// A rollout over the store in memory, one part after the other.
async fn memory(count: usize) {
    let store = Arc::new(Memory::new());
    fill(&store, count, 1).await;
    let (service, rollout) = submitted(&store, count, NonZeroU16::MIN).await;
    let begun = Start::now();
    planned(&service, rollout).await;
    say("memory: plan", count, begun.taken());
    let begun = Start::now();
    service.run_until_idle(&tenant()).await.unwrap();
    say("memory: offers, with the slots that show them", count, begun.taken());
    let begun = Start::now();
    let mut offers = Vec::with_capacity(count);
    for number in 0..count {
        offers.push(offer_of(&service, number).await);
    }
    say("memory: devices that ask", count, begun.taken());
    let begun = Start::now();
    for offer in &offers {
        claims(&service, offer).await;
    }
    say("memory: claims", count, begun.taken());
    let begun = Start::now();
    for (number, offer) in offers.iter().enumerate() {
        installs(&service, number, offer).await;
    }
    say("memory: reports of a phase", count, begun.taken());
    let begun = Start::now();
    for number in 0..count {
        runs(&service, number).await;
    }
    say("memory: reports of a version, with the component", count, begun.taken());
    let begun = Start::now();
    service.run_until_idle(&tenant()).await.unwrap();
    say("memory: slots cleared", count, begun.taken());
    all_succeeded(&service, rollout, count).await;
}

/// Planning alone, of ten components on each device.
async fn plan(count: usize) {
    let store = Arc::new(Memory::new());
    fill(&store, count, 10).await;
    let (service, rollout) = submitted(&store, count, LANES).await;
    let begun = Start::now();
    planned(&service, rollout).await;
    say("memory: plan, ten components a device, 16 lanes", count, begun.taken());
}

/// A region with so many slots to write of deployments that are gone: what is measured is the way to each.
async fn scan(count: usize) {
    let store = Arc::new(Memory::new());
    let (service, rollout) = submitted(&store, 1, NonZeroU16::MIN).await;
    planned(&service, rollout).await;
    for number in 0..count {
        let key = LedgerKey::new(format!("todo/{}/{number:032x}", region())).unwrap();
        let change = Change::create(key, format!("{rollout}/0"));
        store.apply(&tenant(), vec![change]).await.unwrap();
    }
    let begun = Start::now();
    let pass = service.run_once(&tenant(), &region(), 1).await.unwrap();
    assert_eq!(pass.steps, 0);
    // It is gone through once before the offers, and once after.
    say("memory: a region with todo entries", 2 * count, begun.taken());
}

fn engines() {
    const COUNT: usize = 10_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let path = std::env::temp_dir().join(format!("fhir-devices-rollout-{}.redb", std::process::id()));
    let store = Arc::new(Redb::open(&path).unwrap());
    runtime.block_on(life("redb", store, COUNT));
    std::fs::remove_file(path).unwrap();
    match Server::start_own(&["-c shared_buffers=256MB"]) {
        Ok(server) => {
            let options = Options::new().with_connections(NonZeroUsize::new(16).unwrap());
            let store = runtime.block_on(options.connect(&server.url, NoTls)).unwrap();
            runtime.block_on(life("PostgreSQL", Arc::new(store), COUNT));
        }
        Err(reason) => println!("skipped: {reason}"),
    }
}

/// How many devices are at it at a time.
const DEVICES: usize = 16;

const LANES: NonZeroU16 = NonZeroU16::MIN.saturating_add(15);

/// A whole rollout over an engine: planned, offered, and each device asks, claims, reports that it installs, and what it runs.
async fn life<S: ResourceStore + Ledger>(engine: &'static str, store: Arc<S>, count: usize) {
    let told = |what: &str, calls: usize, took: Duration| {
        let each = calls as f64 / took.as_secs_f64();
        println!("{engine}: {what:<40} {calls:>7} in {:>7.2} s, {each:>7.0} a second", took.as_secs_f64());
    };
    let begun = Instant::now();
    fill(&store, count, 1).await;
    told("devices and components", 2 * count, begun.elapsed());
    let (service, rollout) = submitted(&store, count, LANES).await;
    let whole = Instant::now();
    planned(&service, rollout).await;
    told("planned", count, whole.elapsed());
    let begun = Instant::now();
    service.run_until_idle(&tenant()).await.unwrap();
    told("offered, each in its slot", count, begun.elapsed());
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let devices = (0..DEVICES).map(|_| {
        let (service, next) = (service.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let offer = offer_of(&service, number).await;
                claims(&service, &offer).await;
                installs(&service, number, &offer).await;
                runs(&service, number).await;
            }
        })
    });
    for device in devices.collect::<Vec<_>>() {
        device.await.unwrap();
    }
    told("claims and reports", 3 * count, begun.elapsed());
    let begun = Instant::now();
    service.run_until_idle(&tenant()).await.unwrap();
    told("slots cleared", count, begun.elapsed());
    all_succeeded(&service, rollout, count).await;
    let seals = fhir_devices::update::replay(&service.updates().audit_records(&tenant()).await.unwrap()).unwrap();
    let seals: Vec<_> = seals.lanes.into_values().collect();
    for lane in 0..LANES.get() {
        service.verify_lane(&tenant(), rollout, Lane(lane), &seals).await.unwrap().unwrap();
    }
    told("the whole rollout, its audit chains verified", count, whole.elapsed());
}
