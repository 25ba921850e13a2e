//! Recalls that stay visible, predecessors that are made current again, and expiry.

use super::order::{doctor, state, withdraw};
use super::*;
use fhir_devices::audit::{Action, AuditRecord, UploadFailure, provenance};
use fhir_devices::manifest::IngestId;
use fhir_devices::search::ResourceType;
use fhir_devices::service::LifecycleError;
use fhir_devices::testkit::{Call, Recording};
use fhir_devices::update::ingest::{Refusal, State};
use fhir_devices::update::replay;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;

const DAY: i64 = 86_400;

/// Creates a fleet with a manual clock.
fn timed() -> (Arc<Memory>, Service<Memory>, Arc<AtomicI64>) {
    let (memory, service) = fleet();
    let clock = Arc::new(AtomicI64::new(1_492_596_000));
    let now = Arc::clone(&clock);
    let service = service.with_clock(move || OffsetDateTime::from_unix_timestamp(now.load(Ordering::Relaxed)).unwrap());
    (memory, service, clock)
}

fn statuses(store: &Arc<Memory>) -> Vec<UpdateStatus> {
    updates(&read(store, "ecg").0).iter().map(|update| update.status).collect()
}

fn send(service: &Service<Memory>, text: &'static str) -> IngestId {
    receive(service, to_ecg(), stream::once(text)).unwrap().update.id
}

fn make_current(service: &Service<Memory>, id: IngestId) -> std::result::Result<State, LifecycleError> {
    let made = block_on(service.make_current(&ours(), id, doctor(), "the later one loses alarms".parse().unwrap()));
    made.map(|ingest| ingest.state)
}

fn records(service: &Service<Memory>) -> Vec<AuditRecord> {
    let records = block_on(service.audit_records(&ours())).unwrap();
    replay(&records).unwrap();
    block_on(service.verify_audit(&ours(), &[])).unwrap().unwrap();
    records
}

/// Returns everything in the ledger except the audit chain.
fn ledger(memory: &Memory) -> Vec<String> {
    let folders = ["ingest", "blob", "due", "signatures", "accepted"].map(|name| LedgerKey::new(name).unwrap());
    let scan = |folder: &LedgerKey| block_on(Ledger::scan(memory, &ours(), folder, NonZeroU32::MAX, None)).unwrap();
    folders.iter().flat_map(|folder| scan(folder).items).map(|record| record.key.to_string()).collect()
}

#[test]
fn withdrawn_update_is_shown_for_its_retention() {
    use UpdateStatus::{Superseded, Withdrawn};
    let (memory, service, clock) = timed();
    let (first, second) = (send(&service, "firmware"), send(&service, "software"));
    assert!(matches!(withdraw(&service, second), State::Withdrawn { released: true, .. }));
    assert_eq!(statuses(&memory), [Superseded, Withdrawn]);
    block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
    assert_eq!(blobs(&*memory), [BlobRef::of(b"firmware")], "the bytes of a recall are not given out");
    clock.fetch_add(30 * DAY - 1, Ordering::Relaxed);
    assert_eq!(block_on(service.expire(&ours())).unwrap().references, 0);
    assert_eq!(statuses(&memory), [Superseded, Withdrawn]);
    clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(block_on(service.expire(&ours())).unwrap().references, 1);
    assert_eq!(statuses(&memory), [Superseded]);
    assert_eq!(state(&service, second), State::Closed { reason: UploadFailure::Withdrawn });
    assert!(matches!(state(&service, first), State::Superseded { .. }));
    records(&service);
}

#[test]
fn withdrawal_ends_if_the_component_is_deleted() {
    let (memory, service, clock) = timed();
    let (shown, unshown) = (send(&service, "firmware"), send(&service, "software"));
    withdraw(&service, shown);
    let key = Key::new(ResourceType::DeviceComponent, "ecg").unwrap();
    block_on(resources(&memory).delete(key, Precondition::None)).unwrap();
    assert_eq!(withdraw(&service, unshown), State::Closed { reason: UploadFailure::Withdrawn });
    clock.fetch_add(31 * DAY, Ordering::Relaxed);
    let expired = block_on(service.expire(&ours())).unwrap();
    assert!(expired.failed.is_empty(), "{expired:?}");
    assert_eq!(state(&service, shown), State::Closed { reason: UploadFailure::Withdrawn });
    assert!(matches!(block_on(resources(&memory).get::<DeviceComponent>("ecg")), Err(StoreError::Gone { .. })));
}

#[test]
fn make_current_is_recorded() {
    use UpdateStatus::{Current, Superseded};
    let (memory, service, _) = timed();
    let mut first = to_ecg();
    first.sequence = Some(5);
    let first = receive(&service, first, firmware()).unwrap().update.id;
    let mut second = to_ecg();
    second.sequence = Some(6);
    let second = receive(&service, second, stream::once("software")).unwrap().update.id;
    for _ in 0..2 {
        assert!(matches!(make_current(&service, first).unwrap(), State::Attached { restored: 1, .. }));
        assert_eq!(statuses(&memory), [Current, Superseded]);
        assert!(matches!(state(&service, second), State::Superseded { by, .. } if by == first));
    }
    assert!(matches!(make_current(&service, second).unwrap(), State::Attached { restored: 1, .. }));
    assert_eq!(statuses(&memory), [Superseded, Current]);
    assert!(matches!(make_current(&service, first).unwrap(), State::Attached { restored: 2, .. }));

    let all = records(&service);
    let of = |action| all.iter().filter(move |record| record.draft.action == action).collect::<Vec<_>>();
    let restored = of(Action::Restored);
    assert_eq!(restored.len(), 3, "one record a decision");
    assert_eq!(restored[0].draft.actor, Some(doctor()));
    assert_eq!(restored[0].draft.comment.as_ref().unwrap(), "the later one loses alarms");
    let made = of(Action::MadeCurrent)[0];
    assert!(provenance(made).unwrap().contains("DeviceComponent/ecg/_history/4"));

    // What the component accepted stays: a later upload is above all that ever were.
    let mut late = to_ecg();
    late.sequence = Some(6);
    receive(&service, late.clone(), stream::once("other")).unwrap_err();
    late.sequence = Some(7);
    receive(&service, late, stream::once("other")).unwrap();
    assert_eq!(statuses(&memory), [Superseded, Superseded, Current]);
    assert!(matches!(state(&service, first), State::Superseded { restored: 2, .. }));
}

#[test]
fn make_current_after_a_withdrawal() {
    use UpdateStatus::{Current, Withdrawn};
    let (memory, service, _) = timed();
    let (first, second) = (send(&service, "firmware"), send(&service, "software"));
    withdraw(&service, second);
    make_current(&service, first).unwrap();
    assert_eq!(statuses(&memory), [Current, Withdrawn]);
    let refused = make_current(&service, second);
    assert!(matches!(refused, Err(LifecycleError::Refused { source: Refusal::Withdrawn, .. })), "{refused:?}");
    assert_eq!(statuses(&memory), [Current, Withdrawn]);
}

#[test]
fn make_current_fails_for_a_lost_update() {
    let (memory, service, _) = timed();
    let (first, _) = (send(&service, "firmware"), send(&service, "software"));
    let (mut component, version) = read(&memory, "ecg");
    component.extension.remove(0);
    put(&*memory, &ours(), &component, Precondition::Version(version.version));
    let refused = make_current(&service, first);
    assert!(matches!(refused, Err(LifecycleError::NoReference { .. })), "{refused:?}");
    assert!(matches!(state(&service, first), State::Superseded { .. }), "it is at rest");
    records(&service);
}

#[test]
fn attach_keeps_the_configured_superseded_updates() {
    for keep in [1, 3, 5] {
        let (memory, service, _) = timed();
        let service = service.with_keep_superseded(keep);
        let keep = usize::try_from(keep).unwrap();
        let texts = ["a", "b", "c", "d", "e", "f", "g"];
        let ids = texts.map(|text| send(&service, text));
        let there: Vec<_> = updates(&read(&memory, "ecg").0).iter().map(|update| update.id).collect();
        assert_eq!(there, ids[texts.len() - 1 - keep..]);
        for id in &ids[..texts.len() - 1 - keep] {
            assert_eq!(state(&service, *id), State::Closed { reason: UploadFailure::Superseded });
        }
        block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
        assert_eq!(blobs(&*memory).len(), keep + 1);
        records(&service);
    }
}

#[test]
fn superseded_updates_are_reduced_to_the_limit() {
    let (memory, service, _) = timed();
    let many = service.clone().with_keep_superseded(100);
    for text in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"] {
        send(&many, text);
    }
    assert_eq!(statuses(&memory).len(), 13);
    send(&service, "n");
    assert_eq!(statuses(&memory).len(), 6);
    send(&service, "o");
    assert_eq!(statuses(&memory).len(), 4);
}

#[test]
fn aborted_upload_leaves_only_audit_records() {
    let (memory, service, clock) = timed();
    for n in 0..40 {
        let broken = stream::try_chunks([Ok(Bytes::from_static(b"firm")), Err(StoreError::invalid("reset"))]);
        receive(&service, keyed(&format!("k{n}")), broken).unwrap_err();
    }
    clock.fetch_add(3_600, Ordering::Relaxed);
    assert_eq!(block_on(service.recover(&ours())).unwrap().ended, 40);
    // A key that is remembered stands for its submission.
    let mut other = keyed("k0");
    other.version = Some("9".parse().unwrap());
    assert!(matches!(receive(&service, other.clone(), firmware()), Err(ReceiveError::KeyReused { .. })));
    let again = receive(&service, keyed("k1"), firmware()).unwrap().update.id;
    assert_eq!(block_on(service.expire(&ours())).unwrap().records, 0);
    clock.fetch_add(DAY, Ordering::Relaxed);
    let expired = block_on(service.expire(&ours())).unwrap();
    assert_eq!((expired.records, expired.failed.len()), (40, 0));
    let left = ledger(&memory);
    assert_eq!(left.len(), 3, "the record, the key and the bytes of the one that was sent again: {left:?}");
    assert!(receive(&service, keyed("k1"), firmware()).unwrap().replayed);
    assert!(!receive(&service, other, stream::once("software")).unwrap().replayed, "a key that is forgotten is new");
    assert!(matches!(state(&service, again), State::Superseded { .. }));
    let forgotten = records(&service).iter().filter(|record| record.draft.action == Action::Forgotten).count();
    assert_eq!(forgotten, 40);
}

#[test]
fn expired_upload_leaves_nothing() {
    let (memory, service, clock) = timed();
    let id = receive(&service, keyed("k"), firmware()).unwrap().update.id;
    withdraw(&service, id);
    for _ in 0..2 {
        let again = receive(&service, keyed("k"), firmware());
        assert!(matches!(again, Err(ReceiveError::Ended { reason: UploadFailure::Withdrawn, .. })), "{again:?}");
        clock.fetch_add(30 * DAY, Ordering::Relaxed);
        block_on(service.expire(&ours())).unwrap();
    }
    block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
    block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
    assert_eq!(ledger(&memory), Vec::<String>::new());
    assert!(matches!(block_on(service.upload(&ours(), id)), Err(LifecycleError::NoSuchUpload { .. })));
    records(&service);
}

/// The cost of one round: calls of the stores, bytes written and read.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    calls: usize,
    written: usize,
}

fn cost(calls: &[Call]) -> Cost {
    let written = |call: &Call| match call {
        Call::Commit(_, writes) => writes.iter().filter_map(|write| write.body.as_ref()).map(Bytes::len).sum(),
        Call::Apply(_, changes) => changes.iter().filter_map(|change| change.value.as_ref()).map(Bytes::len).sum(),
        Call::Write(bytes) => bytes.len(),
        _ => 0,
    };
    Cost { calls: calls.len(), written: calls.iter().map(written).sum() }
}

#[test]
fn upload_cost_is_independent_of_earlier_uploads() {
    let memory = Arc::new(Memory::new());
    fill(&*memory);
    let recording = Arc::new(Recording::new(memory.clone()));
    let clock = Arc::new(AtomicI64::new(1_492_596_000));
    let now = Arc::clone(&clock);
    let service = UpdateService::new(recording.clone(), recording.clone(), recording.clone())
        .unwrap()
        .with_clock(move || OffsetDateTime::from_unix_timestamp(now.load(Ordering::Relaxed)).unwrap())
        .with_ended_retention(Duration::from_secs(600));
    let (mut uploads, mut rounds) = (Vec::new(), Vec::new());
    for n in 0..1_000 {
        clock.fetch_add(60, Ordering::Relaxed);
        drop(recording.take());
        let mut submission = keyed(&format!("key-{n:04}"));
        submission.sequence = Some(1_000_000 + n);
        let text = format!("firmware {n:04}");
        block_on(service.receive(&ours(), submission, stream::once(text))).unwrap();
        uploads.push(cost(&recording.take()));
        block_on(service.recover(&ours())).unwrap();
        block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
        block_on(service.sweep(&ours())).unwrap();
        block_on(service.expire(&ours())).unwrap();
        rounds.push(cost(&recording.take()));
    }
    println!("uploads: {:?} and {:?}; rounds: {:?} and {:?}", uploads[9], uploads[999], rounds[19], rounds[999]);
    assert_eq!(uploads[9].calls, uploads[999].calls);
    assert_eq!(rounds[19].calls, rounds[999].calls);
    // The numbers in them have more digits.
    assert!(uploads[999].written <= uploads[9].written + 300, "{:?}, {:?}", uploads[9], uploads[999]);
    assert!(rounds[999].written <= rounds[19].written + 300, "{:?}, {:?}", rounds[19], rounds[999]);
    assert_eq!(blobs(&*memory).len(), 4);
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 4);
    assert!(ledger(&memory).len() < 60, "{}", ledger(&memory).len());
}

type Recorded = Recording<Memory>;

/// Creates devices with one component each, and an upload for each.
fn ward(count: usize) -> (Arc<Recording<Memory>>, UpdateService<Recorded, Recorded, Recorded>) {
    let recording = Arc::new(Recording::new(Arc::new(Memory::new())));
    let service = UpdateService::new(recording.clone(), recording.clone(), recording.clone()).unwrap();
    for at in 0..count {
        let device = format!(r#"{{"resourceType":"Device","id":"d{at:03}"}}"#);
        put(&*recording, &ours(), &Device::from_json(device.as_bytes()).unwrap(), Precondition::Absent);
        let component = format!(
            r#"{{"resourceType":"DeviceComponent","id":"c{at:03}","identifier":{{"value":"1"}},"type":{{"text":"pump"}},
                "source":{{"reference":"Device/d{at:03}"}}}}"#
        );
        put(&*recording, &ours(), &DeviceComponent::from_json(component.as_bytes()).unwrap(), Precondition::Absent);
        let of = format!("d{at:03}").parse().unwrap();
        let submission = Submission::new(of, "a.bin".parse().unwrap(), "application/octet-stream".parse().unwrap());
        block_on(service.receive(&ours(), submission, stream::once(format!("firmware {at:03}")))).unwrap();
    }
    (recording, service)
}

#[test]
fn maintenance_calls_grow_linearly_with_uploads() {
    use fhir_devices::service::ReconcilePosition;
    let round = |count: usize| {
        let (recording, service) = ward(count);
        let resources = TenantResources::new(recording.clone(), ours());
        let mut costs = Vec::new();
        for _ in 0..2 {
            drop(recording.take());
            let mut steps = Vec::new();
            let mut told = |name: &'static str| steps.push((name, recording.take().len()));
            block_on(service.recover(&ours())).unwrap();
            told("recover");
            block_on(service.expire(&ours())).unwrap();
            told("expire");
            block_on(service.repair(&ours())).unwrap();
            told("repair");
            let mut position = Some(ReconcilePosition::default());
            while let Some(from) = position {
                let limit = NonZeroU32::new(256).unwrap();
                position = block_on(service.reconcile(&ours(), limit, from)).unwrap().next;
            }
            told("reconcile");
            block_on(service.collect(&ours(), Duration::from_secs(3_600))).unwrap();
            told("collect");
            block_on(service.collect_manifests(&ours())).unwrap();
            told("manifests");
            block_on(service.sweep(&ours())).unwrap();
            told("sweep");
            for of in [ResourceType::Device, ResourceType::DeviceComponent, ResourceType::DeviceMetric] {
                block_on(resources.prune_histories(of, NonZeroU32::new(1_000).unwrap())).unwrap();
            }
            told("prune");
            costs = steps;
        }
        costs
    };
    let (few, many) = (round(25), round(100));
    println!("calls of the stores in a round, for 25 and 100 uploads: {few:?}, {many:?}");
    for ((name, few), (_, many)) in few.into_iter().zip(many) {
        // What grows with the square has sixteen times as many.
        assert!(many <= few * 4 + 4, "{name}: {few} and {many} calls for four times as many uploads");
        assert!(many <= 8 * 100, "{name}: {many} calls for 100 uploads");
    }
}
