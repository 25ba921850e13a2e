//! How many small updates a second one thread receives into the store in memory, with all records and their audit chain, and
//! how long a recovery takes: of a million uploads that still wait for their bytes, of some beside a million at rest, and of
//! many whose time is over, each of which is closed, recorded and chained, and of some that are attached.
//!
//! ```text
//! cargo bench --bench drivers
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a bench may stop where it stands")]

#[path = "common/taken.rs"]
mod taken;

use fhir_devices::audit::UploadFailure;
use fhir_devices::backend::Memory;
use fhir_devices::manifest::IngestId;
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::{
    BlobRef, Change, Generation, Ledger as _, LedgerKey, Precondition, ResourceStore as _, Storable as _, Tenant,
    VersionId, stream,
};
use fhir_devices::update::ingest::{Ingest, Intent, Limits, State, resume};
use fhir_devices::{Device, DeviceComponent};
use std::hint::black_box;
use std::sync::Arc;
use taken::{Start, Taken};
use time::macros::datetime;
use tokio::runtime::Runtime;

const RECEIVED: usize = 10_000;
const ROUNDS: usize = 5;
const AT_REST: u128 = 1_000_000;
const BEGUN: u128 = 1_000;
const UNFINISHED: u128 = 100_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    receive(&runtime, false);
    receive(&runtime, true);
    resume_all();
    recover(&runtime, 0, AT_REST, true);
    recover(&runtime, AT_REST, BEGUN, false);
    recover(&runtime, 0, UNFINISHED, false);
    attach(&runtime);
}

fn tenant() -> Tenant {
    "bench".parse().unwrap()
}

fn submission(device: usize) -> Submission {
    let device = format!("pump-{device}").parse().unwrap();
    Submission::new(device, "pump.bin".parse().unwrap(), "application/octet-stream".parse().unwrap())
}

/// So many devices, each with one component.
fn fill(runtime: &Runtime, memory: &Memory, devices: usize) {
    for device in 0..devices {
        let pump = format!(r#"{{"resourceType":"Device","id":"pump-{device}"}}"#);
        let mds = format!(
            r#"{{"resourceType":"DeviceComponent","id":"mds-{device}","identifier":{{"value":"1"}},
            "type":{{"text":"pump"}},"source":{{"reference":"Device/pump-{device}"}}}}"#
        );
        let pump = Device::from_json(pump.as_bytes()).unwrap().to_write(Precondition::Absent).unwrap();
        let mds = DeviceComponent::from_json(mds.as_bytes()).unwrap().to_write(Precondition::Absent).unwrap();
        runtime.block_on(memory.commit(&tenant(), vec![pump, mds])).unwrap();
    }
}

/// Uploads whose bytes are there, and whose references are not: each is attached.
fn attach(runtime: &Runtime) {
    let (tenant, memory) = (tenant(), Arc::new(Memory::new()));
    fill(runtime, &memory, RECEIVED);
    for id in 0..RECEIVED {
        let mut ingest = ingest(id as u128);
        ingest.intent.device = format!("pump-{id}").parse().unwrap();
        let (blob, generation) = (BlobRef::of(&id.to_be_bytes()), Generation(id as u128 + 1));
        ingest.state = State::Stored { blob, generation, target: None, attempts: 0 };
        let key = LedgerKey::new(format!("ingest/open/{}", ingest.id)).unwrap();
        runtime.block_on(memory.apply(&tenant, vec![Change::create(key, ingest.to_bytes())])).unwrap();
    }
    let service = UpdateService::new(memory.clone(), memory.clone(), memory).unwrap();
    let service = service.with_urls(|_, _| "https://cdn.example/update".parse().unwrap());
    let start = Start::now();
    let recovered = runtime.block_on(service.recover(&tenant)).unwrap();
    let Taken { passed, worked } = start.taken();
    assert_eq!((recovered.ended, recovered.failed.len()), (RECEIVED as u64, 0));
    println!("recover {RECEIVED} uploads that are to be attached {passed:>10.2?}{worked:>10.2?} of work");
}

/// Updates of a kilobyte, each for another device, or ten for each: the best of some rounds.
fn receive(runtime: &Runtime, again: bool) {
    let tenant = tenant();
    let devices = if again { RECEIVED / 10 } else { RECEIVED };
    let rate = (0..ROUNDS).map(|_| {
        let memory = Arc::new(Memory::new());
        fill(runtime, &memory, devices);
        let service = UpdateService::new(memory.clone(), memory.clone(), memory).unwrap();
        let calls: Vec<_> =
            (0..RECEIVED).map(|n| (submission(n % devices), stream::once(vec![n as u8; 1_024]))).collect();
        let start = Start::now();
        runtime.block_on(async {
            for (submission, body) in calls {
                service.receive(&tenant, submission, body).await.unwrap();
            }
        });
        let taken = start.taken();
        (RECEIVED as f64 / taken.passed.as_secs_f64(), RECEIVED as f64 / taken.worked.as_secs_f64())
    });
    let (passed, worked) = rate.fold((0.0, 0.0), |best, one| (f64::max(best.0, one.0), f64::max(best.1, one.1)));
    let which = if again { "ten for each component" } else { "each for another component" };
    println!("receive 1 KiB, {which:<28}{passed:>10.0} /s{worked:>10.0} a second of work");
}

fn ingest(id: u128) -> Ingest {
    let kind = "application/octet-stream".parse().unwrap();
    let intent = Intent::new("pump-7".parse().unwrap(), "pump.bin".parse().unwrap(), kind);
    Ingest::open(IngestId(id), intent, Limits::default(), datetime!(2017-04-19 10:00 UTC)).0
}

/// A million records of uploads in every state that is not at rest: read, and what is to be done told.
fn resume_all() {
    let blob = BlobRef::of(b"firmware");
    let (generation, component) = (Generation(7), "mds".parse::<fhir_devices::primitive::Id>().unwrap());
    let deadline = datetime!(2017-04-19 11:00 UTC);
    let states = [
        State::Open { deadline },
        State::Acquired { blob, generation, deadline },
        State::Stored { blob, generation, target: None, attempts: 0 },
        State::Stored { blob, generation, target: Some(component.clone()), attempts: 1 },
        State::Releasing { blob, generation, component: Some(component), reason: UploadFailure::Withdrawn },
        State::Releasing { blob, generation, component: None, reason: UploadFailure::Withdrawn },
    ];
    let record = |id: u128| {
        let mut ingest = ingest(id);
        ingest.state = states[id as usize % states.len()].clone();
        ingest.to_bytes()
    };
    let records: Vec<Vec<u8>> = (0..AT_REST).map(record).collect();
    let start = Start::now();
    for record in &records {
        let ingest = Ingest::from_bytes(record).unwrap();
        black_box(resume(&ingest.state).unwrap().key(ingest.id));
    }
    let Taken { passed, worked } = start.taken();
    println!("read {AT_REST} records, and tell what is to be done {passed:>10.2?}{worked:>10.2?} of work");
}

/// So many uploads at rest, and so many whose bytes never came, and whose time is over or not.
fn recover(runtime: &Runtime, at_rest: u128, begun: u128, waits: bool) {
    let (tenant, memory) = (tenant(), Arc::new(Memory::new()));
    let record = |id: u128| {
        let mut ingest = ingest(id);
        if id < at_rest {
            let blob = BlobRef::of(&id.to_be_bytes());
            let (component, version) = ("mds".parse().unwrap(), VersionId::FIRST.next());
            ingest.state = State::Attached { blob, generation: Generation(id + 1), component, version, restored: 0 };
        }
        let shelf = if id < at_rest { "rest" } else { "open" };
        Change::create(LedgerKey::new(format!("ingest/{shelf}/{}", ingest.id)).unwrap(), ingest.to_bytes())
    };
    for from in (0..at_rest + begun).step_by(16) {
        let changes = (from..(from + 16).min(at_rest + begun)).map(record).collect();
        runtime.block_on(memory.apply(&tenant, changes)).unwrap();
    }
    let service = UpdateService::new(memory.clone(), memory.clone(), memory).unwrap();
    let service = if waits { service.with_clock(|| datetime!(2017-04-19 10:01 UTC)) } else { service };
    let start = Start::now();
    let recovered = runtime.block_on(service.recover(&tenant)).unwrap();
    let Taken { passed, worked } = start.taken();
    let (of, wanted) = if waits { (recovered.waiting, "wait") } else { (recovered.ended, "broke off") };
    assert_eq!(u128::from(of), begun);
    println!("recover {begun} uploads that {wanted}, {at_rest} at rest {passed:>10.2?}{worked:>10.2?} of work");
}
