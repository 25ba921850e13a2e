//! Faults during an upload, and the state they leave.

use super::double::{CallOutcome, poll_only};
use super::*;
use fhir_devices::audit::UploadFailure;
use fhir_devices::manifest::IngestId;
use fhir_devices::update::ingest::{Ingest, NotAcceptable, State};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

pub(super) fn double() -> (Arc<Double>, Service<Double>) {
    let double = Arc::new(Double::default());
    fill(&double.below);
    let service = UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap();
    (double, service)
}

/// Returns the record of the upload with the key `k`.
fn record(memory: &Memory) -> Option<Ingest> {
    let get = |at: String| block_on(Ledger::get(memory, &ours(), &LedgerKey::new(at).unwrap())).unwrap();
    let id = get(format!("ingest/key/{}", Sha256::of(b"k")))?.value;
    let id = std::str::from_utf8(&id).unwrap();
    let found = ["open", "rest"].into_iter().find_map(|shelf| get(format!("ingest/{shelf}/{id}")));
    Some(Ingest::from_bytes(&found.unwrap().value).unwrap())
}

/// Another writer notes something in the component.
fn scribble(memory: &Memory, note: u64) {
    let key: Key = "DeviceComponent/ecg".parse().unwrap();
    let version = block_on(memory.read(&ours(), &key)).unwrap();
    let mut component = DeviceComponent::from_version(&version).unwrap();
    component.language = Some(format!("x-{note}").parse::<fhir_devices::primitive::Code>().unwrap().into());
    put(memory, &ours(), &component, Precondition::Version(version.version));
}

#[test]
fn broken_upload_leaves_nothing_and_can_be_resent() {
    let (memory, service) = fleet();
    let broken = || stream::try_chunks([Ok("firm".into()), Err(StoreError::backend("reset".into()))]);
    let refused = receive(&service, keyed("k"), broken()).unwrap_err();
    assert!(matches!(refused, ReceiveError::Body(_)));
    assert_eq!(refused.applied(), Applied::No);
    assert!(is_untouched(&memory) && blobs(&*memory).is_empty());
    assert!(!receive(&service, keyed("k"), firmware()).unwrap().replayed);
    assert!(matches!(receive(&service, keyed("k"), broken()), Err(ReceiveError::Body(_))));
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 1);
}

#[test]
fn concurrent_component_write_is_kept() {
    let (double, service) = double();
    let mut left = 3;
    *double.meddle.lock().unwrap() = Some(Box::new(move |memory| {
        if left > 0 {
            left -= 1;
            scribble(memory, left);
        }
    }));
    let received = receive(&service, to_ecg(), firmware()).unwrap();
    assert_eq!(received.version.get(), 5);
    assert_eq!(received.component.language.as_ref().unwrap().value.as_ref().unwrap(), "x-0");
    assert_eq!(updates(&read(&double, "ecg").0), [received.update]);
}

#[test]
fn sequence_number_of_a_failed_upload_is_reusable() {
    let (double, service) = double();
    let service = service.with_max_attempts(2);
    let numbered = |key: &str| keyed(key).with_sequence(42);
    let count = AtomicU64::new(0);
    *double.meddle.lock().unwrap() =
        Some(Box::new(move |memory| scribble(memory, count.fetch_add(1, Ordering::Relaxed))));
    let refused = receive(&service, numbered("k"), firmware());
    assert!(matches!(refused, Err(ReceiveError::Contended { .. })));
    *double.meddle.lock().unwrap() = None;
    // While it may still write, the number is its own.
    let early = receive(&service, numbered("l"), firmware());
    assert!(matches!(early, Err(ReceiveError::NotAcceptable(NotAcceptable::NotHigher(_)))), "{early:?}");
    block_on(service.recover(&ours())).unwrap();
    let received = receive(&service, numbered("k"), firmware()).unwrap();
    assert_eq!(updates(&read(&double, "ecg").0), std::slice::from_ref(&received.update));
    // It is accepted once more, and not twice.
    let late = receive(&service, numbered("l"), stream::once("software"));
    assert!(matches!(late, Err(ReceiveError::NotAcceptable(NotAcceptable::NotHigher(_)))), "{late:?}");
    let (by, why) = ("biomed/j.doe".parse().unwrap(), "recalled".parse().unwrap());
    block_on(service.withdraw(&ours(), received.update.id, by, why)).unwrap();
    let late = receive(&service, numbered("m"), firmware());
    assert!(matches!(late, Err(ReceiveError::NotAcceptable(NotAcceptable::NotHigher(_)))), "{late:?}");
}

#[test]
fn concurrent_calls_agree_on_the_outcome() {
    let (tenant, mut acknowledged, mut given_up) = (ours(), 0, 0);
    for early in 0.. {
        let mut is_over = false;
        for late in 0.. {
            let (double, one) = double();
            let one = one.with_max_attempts(1);
            let other =
                UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap().with_max_attempts(1);
            let mut first = Box::pin(one.receive(&tenant, keyed("k"), firmware()));
            let mut second = Box::pin(other.receive(&tenant, keyed("k"), firmware()));
            let begun = poll_only(first.as_mut(), early);
            // So that the version after the one that the first has read is neither's.
            scribble(&double.below, 1);
            let met = poll_only(second.as_mut(), late);
            is_over = begun.is_some();
            let all_met = met.is_some();
            let begun = begun.unwrap_or_else(|| block_on(first));
            let answers = [begun, met.unwrap_or_else(|| block_on(second))];
            given_up += answers.iter().filter(|answer| answer.is_err()).count();
            for received in answers.into_iter().flatten() {
                acknowledged += 1;
                let state = record(&double.below).unwrap().state;
                assert!(matches!(state, State::Attached { .. }), "{state:?} after {early} and {late} polls");
                assert_eq!(updates(&read(&double, "ecg").0), [received.update], "after {early} and {late} polls");
            }
            if all_met || is_over {
                break;
            }
        }
        if is_over {
            break;
        }
    }
    assert!(acknowledged > 100 && given_up > 10, "{acknowledged} were acknowledged, {given_up} given up");
}

#[test]
fn dropped_call_leaves_the_sequence_number_to_the_next() {
    let numbered = || keyed("k").with_sequence(42);
    for polls in 0.. {
        let (double, service) = double();
        let mut left = 1;
        *double.meddle.lock().unwrap() = Some(Box::new(move |memory| {
            if left > 0 {
                left -= 1;
                scribble(memory, left);
            }
        }));
        let hasty = service.clone().with_max_attempts(1);
        assert!(matches!(receive(&hasty, numbered(), firmware()), Err(ReceiveError::Contended { .. })));
        let ended = poll_only(service.receive(&ours(), numbered(), firmware()), polls).is_some();
        let received = receive(&service, numbered(), firmware()).unwrap();
        assert_eq!(updates(&read(&double, "ecg").0), [received.update], "after {polls} polls");
        if ended {
            assert!(polls > 20, "{polls}");
            break;
        }
    }
}

#[test]
fn contended_component_ends_attempts_until_resent() {
    let (double, service) = double();
    let service = service.with_max_attempts(4);
    let count = AtomicU64::new(0);
    *double.meddle.lock().unwrap() =
        Some(Box::new(move |memory| scribble(memory, count.fetch_add(1, Ordering::Relaxed))));
    let refused = receive(&service, keyed("k"), firmware()).unwrap_err();
    assert!(matches!(refused, ReceiveError::Contended { attempts: 4, .. }));
    // Four to attach, and four to make sure that nobody else does.
    assert_eq!((refused.applied(), double.tried.load(Ordering::Relaxed)), (Applied::No, 8));
    assert!(matches!(record(&double.below).unwrap().state, State::Releasing { .. }));
    *double.meddle.lock().unwrap() = None;
    assert!(!receive(&service, keyed("k"), firmware()).unwrap().replayed);
}

#[test]
fn target_lost_during_the_upload_is_refused() {
    let (double, service) = double();
    *double.meddle.lock().unwrap() = Some(Box::new(|memory| {
        // Another VMD without a parent comes up, of the same kind as the one that was meant.
        let twin = component("ecg-2", "70662", "MDC_DEV_ECG_VMD", "mds");
        block_on(memory.commit(&ours(), vec![twin.to_write(Precondition::None).unwrap()])).unwrap();
        scribble(memory, 1);
    }));
    let gone = component("spo2", "69642", "MDC_DEV_ECG_VMD", "").to_write(Precondition::Exists).unwrap().key;
    block_on(double.below.commit(&ours(), vec![Write::delete(gone, Precondition::Exists)])).unwrap();
    let refused = receive(&service, submission(Selector::Level(Level::Vmd)), firmware()).unwrap_err();
    assert!(
        matches!(refused, ReceiveError::Unresolved(SelectError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    assert_eq!(updates(&read(&double, "ecg").0).len(), 0);
}

#[test]
fn lost_response_attaches_once() {
    for fates in [
        vec![CallOutcome::Lost],
        vec![CallOutcome::Dropped],
        vec![CallOutcome::Lost, CallOutcome::Dropped, CallOutcome::Dropped],
    ] {
        let (double, service) = double();
        *double.commits.lock().unwrap() = fates;
        let received = receive(&service, to_ecg(), firmware()).unwrap();
        assert_eq!(received.version.get(), 2);
        assert_eq!(updates(&read(&double, "ecg").0), [received.update]);
    }
}

#[test]
fn unknown_outcome_is_reported_and_resolved_by_key() {
    for fate in [CallOutcome::Lost, CallOutcome::Dropped] {
        let (double, service) = double();
        *double.commits.lock().unwrap() = vec![CallOutcome::Dropped, CallOutcome::Dropped, CallOutcome::Dropped];
        let unknown = receive(&service, keyed("k"), firmware()).unwrap_err();
        assert!(matches!(unknown, ReceiveError::Resources(_)));
        assert_eq!(unknown.applied(), Applied::Unknown);
        *double.commits.lock().unwrap() = vec![fate];
        let received = receive(&service, keyed("k"), firmware()).unwrap();
        assert_eq!(updates(&read(&double, "ecg").0), [received.update]);
    }
}

#[test]
fn lossy_ledger_creates_no_second_upload() {
    for at in 0..3 {
        for fate in [CallOutcome::Lost, CallOutcome::Dropped, CallOutcome::Refused] {
            let (double, service) = double();
            // The last one comes first: some writes are lost and found before.
            let fates = std::iter::once(fate).chain((0..at).map(|_| CallOutcome::Lost)).collect();
            *double.puts.lock().unwrap() = fates;
            let first = receive(&service, keyed("k"), firmware());
            double.puts.lock().unwrap().clear();
            let again = receive(&service, keyed("k"), firmware()).unwrap();
            let found = updates(&read(&double, "ecg").0);
            assert_eq!(found, [again.update]);
            assert!(first.map_or(true, |first| first.update == found[0]));
        }
    }
}

#[test]
fn unacknowledged_record_is_recognised() {
    let (double, service) = double();
    let count = AtomicU64::new(0);
    let service = service.with_ids(move || IngestId(count.fetch_add(1, Ordering::Relaxed).into()));
    *double.puts.lock().unwrap() = vec![CallOutcome::Lost];
    assert_eq!(receive(&service, to_ecg(), firmware()).unwrap().update.id, IngestId(0));
}

#[test]
fn record_states_how_an_upload_ended() {
    let (memory, service) = fleet();
    let refused = receive(&service.clone().with_max_size(7), keyed("k"), firmware());
    assert!(refused.is_err());
    let ingest = record(&memory).unwrap();
    assert_eq!(ingest.state, State::Closed { reason: UploadFailure::TooLarge });
    let received = receive(&service, keyed("k"), firmware()).unwrap();
    let ingest = record(&memory).unwrap();
    let (key, component) = (ingest.state.key().unwrap(), "ecg".parse().unwrap());
    let (blob, generation) = (BlobRef::of(b"firmware"), key.generation);
    assert_eq!(ingest.state, State::Attached { blob, generation, component, version: received.version, restored: 0 });
    assert!(received.update.file.url.as_str().ends_with(&key.to_string()));
    assert_eq!(ingest.id, received.update.id);
}

/// The call died between the component and the record, and the selector matches another component by now.
#[test]
fn reference_is_not_written_to_another_component() {
    let vmd = || keyed("k").with_target(Selector::Level(Level::Vmd));
    for polls in 0.. {
        let (double, service) = double();
        let void = |id: &str| {
            let mut one = read(&double, id).0;
            let status = fhir_devices::datatype::Coding::new("urn:x", "entered-in-error").unwrap();
            one.operational_status = vec![status.into()];
            put(&double.below, &ours(), &one, Precondition::Exists);
        };
        void("spo2");
        assert!(poll_only(service.receive(&ours(), vmd(), firmware()), polls).is_none());
        if updates(&read(&double, "ecg").0).is_empty() {
            continue;
        }
        assert!(matches!(record(&double.below).unwrap().state, State::Stored { .. }));
        void("ecg");
        put(&double.below, &ours(), &component("next", "69642", "x", "mds"), Precondition::Absent);
        let received = receive(&service, vmd(), firmware()).unwrap();
        assert!(received.replayed && received.component.logical_id().unwrap() == "ecg");
        assert_eq!(received.version.get(), 2);
        assert_eq!(updates(&read(&double, "next").0).len(), 0);
        return;
    }
}

#[test]
fn refused_write_leaves_the_upload_to_the_next_call() {
    let (double, service) = double();
    *double.commits.lock().unwrap() = vec![CallOutcome::Refused];
    let refused = receive(&service, keyed("k"), firmware()).unwrap_err();
    assert!(refused.is_transient() && refused.applied() == Applied::No);
    assert_eq!(receive(&service, keyed("k"), firmware()).unwrap().version.get(), 2);
}

#[test]
fn call_dropped_at_any_point_is_resumed_once() {
    let mut ended = false;
    for polls in 0.. {
        let (double, service) = double();
        let dropped = poll_only(service.receive(&ours(), keyed("k"), firmware()), polls);
        ended = dropped.is_some();
        let version = read(&double, "ecg").1.version.get();
        assert!(version <= 2);
        let found = updates(&read(&double, "ecg").0);
        assert_eq!(found.len() as u64, version - 1);
        if !found.is_empty() {
            assert_eq!(blobs(&double.below), [BlobRef::of(b"firmware")]);
        }
        let received = receive(&service, keyed("k"), firmware()).unwrap();
        assert_eq!(received.replayed, version == 2, "after {polls} polls");
        assert_eq!(updates(&read(&double, "ecg").0), [received.update]);
        assert_eq!(received.version.get(), 2);
        if ended {
            assert!(polls > 30, "{polls}");
            break;
        }
    }
    assert!(ended);
}

/// Another process withdraws the upload while the call sleeps.
#[test]
fn upload_withdrawn_meanwhile_is_not_attached() {
    assert!(withdrawn_while_stored(0) > 5);
    assert!(withdrawn_while_stored(64) > 1);
}

/// Returns in how many states with bytes and without a reference an upload was withdrawn.
fn withdrawn_while_stored(small_size: usize) -> usize {
    let mut withdrawn_while_stored = 0;
    for polls in 0..200 {
        let (double, service) = double();
        let service = service.with_small_size(small_size);
        let tenant = ours();
        let mut call = std::pin::pin!(service.receive(&tenant, keyed("k"), firmware()));
        if poll_only(call.as_mut(), polls).is_some() {
            break;
        }
        let Some(ingest) = record(&double.below) else { continue };
        if !updates(&read(&double, "ecg").0).is_empty() || !matches!(ingest.state, State::Stored { .. }) {
            continue;
        }
        withdrawn_while_stored += 1;
        let other = UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap();
        let by = "biomed/j.doe".parse().unwrap();
        let withdrawn = block_on(other.withdraw(&ours(), ingest.id, by, "recalled".parse().unwrap())).unwrap();
        assert_eq!(withdrawn.state, State::Closed { reason: UploadFailure::Withdrawn });
        let collected = block_on(other.collect(&ours(), std::time::Duration::ZERO)).unwrap();
        assert_eq!(collected.deleted, 1, "after {polls} polls");
        let refused = block_on(call).unwrap_err();
        assert!(
            matches!(refused, ReceiveError::Ended { reason: UploadFailure::Withdrawn, .. }),
            "after {polls} polls: {refused:?}"
        );
        assert_eq!(updates(&read(&double, "ecg").0).len(), 0, "after {polls} polls");
        assert!(blobs(&double.below).is_empty());
        block_on(other.verify_audit(&ours(), &[])).unwrap().unwrap();
    }
    withdrawn_while_stored
}

#[test]
fn concurrent_uploads_to_one_component_all_attach() {
    let (memory, service) = fleet();
    let service = service.with_keep_superseded(8);
    let texts = ["a", "b", "c", "d", "e", "f", "g", "h"];
    thread::scope(|scope| {
        for text in texts {
            let service = &service;
            scope.spawn(move || receive(service, to_ecg(), stream::once(text)).unwrap());
        }
    });
    let found = updates(&read(&memory, "ecg").0);
    let mut digests: Vec<_> = found.iter().map(|update| update.sha256).collect();
    let mut wanted = texts.map(|text| Sha256::of(text.as_bytes()));
    digests.sort();
    wanted.sort();
    assert_eq!(digests, wanted);
    let current = found.iter().filter(|update| update.status == UpdateStatus::Current);
    assert_eq!(current.count(), 1);
    assert_eq!(found[7].status, UpdateStatus::Current);
}

#[test]
fn concurrent_calls_with_one_key_attach_once() {
    for _ in 0..20 {
        let (double, service) = double();
        let answers: Vec<_> = thread::scope(|scope| {
            let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| receive(&service, keyed("k"), firmware()))).collect();
            calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect()
        });
        let found = updates(&read(&double, "ecg").0);
        assert_eq!(found.len(), 1);
        assert!(answers.iter().all(|answer| answer.update == found[0] && answer.version.get() == 2));
    }
}

#[test]
fn concurrent_calls_with_other_bytes_one_wins() {
    for _ in 0..20 {
        let (double, service) = double();
        let counted: usize = thread::scope(|scope| {
            let call = |text| {
                let service = &service;
                scope.spawn(move || receive(service, keyed("k"), stream::once(text)))
            };
            let calls = [call("firmware"), call("software")];
            calls.into_iter().map(|call| usize::from(call.join().unwrap().is_ok())).sum()
        });
        assert_eq!(counted, 1);
        assert_eq!(updates(&read(&double, "ecg").0).len(), 1);
    }
}

#[test]
fn upload_without_an_id_fails() {
    struct Dry;

    impl fhir_devices::service::IdSource for Dry {
        fn next_id(&self) -> fhir_devices::store::Result<fhir_devices::service::IngestId> {
            Err(StoreError::unavailable(None, None))
        }
    }
    let (memory, service) = fleet();
    let refused = receive(&service.with_ids(Dry), to_ecg(), firmware()).unwrap_err();
    assert!(refused.is_transient() && refused.applied() == Applied::No, "{refused:?}");
    assert!(is_untouched(&memory) && blobs(&*memory).is_empty());
}
