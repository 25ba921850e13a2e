//! Uploads that follow each other, or overlap.

use super::double::poll_only;
use super::*;
use fhir_devices::audit::Holder;
use fhir_devices::audit::UploadFailure;
use fhir_devices::manifest::{ActorId, IngestId};
use fhir_devices::service::{LifecycleError, Recovered};
use fhir_devices::testkit::{CallOutcome, CallPlan, Faulty};
use fhir_devices::update::blob::{self};
use fhir_devices::update::ingest::State;
use std::pin::pin;
use std::task::{Context, Waker};

pub(super) fn doctor() -> ActorId {
    "biomed/j.doe".parse().unwrap()
}

pub(super) fn withdraw(service: &Service<Memory>, id: IngestId) -> State {
    block_on(service.withdraw(&ours(), id, doctor(), "recalled".parse().unwrap())).unwrap().state
}

pub(super) fn state(service: &Service<Memory>, id: IngestId) -> State {
    block_on(service.upload(&ours(), id)).unwrap().state
}

#[test]
fn resent_key_does_not_restore_a_withdrawn_update() {
    let (memory, service) = fleet();
    let first = receive(&service, keyed("k"), firmware()).unwrap();
    assert!(matches!(withdraw(&service, first.update.id), State::Withdrawn { released: true, .. }));
    let again = receive(&service, keyed("k"), firmware());
    assert!(matches!(again, Err(ReceiveError::Ended { reason: UploadFailure::Withdrawn, .. })), "{again:?}");
    assert_eq!(
        again.unwrap_err().to_string(),
        format!("the upload `{}` ended without an update, `withdrawn`: it was withdrawn", first.update.id)
    );
    let shown = updates(&read(&memory, "ecg").0);
    assert_eq!(shown, [first.update.with_status(UpdateStatus::Withdrawn)]);
}

#[test]
fn resent_key_does_not_restore_a_retired_update() {
    let (memory, service) = fleet();
    let first = receive(&service, keyed("k"), firmware()).unwrap();
    let second = receive(&service, to_ecg(), stream::once("software")).unwrap();
    block_on(service.retire(&ours(), first.update.id, None)).unwrap();
    let again = receive(&service, keyed("k"), firmware());
    assert!(matches!(again, Err(ReceiveError::Ended { reason: UploadFailure::Superseded, .. })), "{again:?}");
    assert_eq!(updates(&read(&memory, "ecg").0), [second.update]);
}

/// An upload whose process died between the write of the reference and of the record.
fn half_attached() -> (Arc<Memory>, Service<Memory>, IngestId) {
    for polls in 0.. {
        let (memory, service) = fleet();
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let lost = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap();
        let ended = poll_only(lost.receive(&ours(), to_ecg(), firmware()), polls);
        assert!(ended.is_none(), "the call ends before the reference is seen alone");
        if let [update] = updates(&read(&memory, "ecg").0).as_slice() {
            let id = update.id;
            assert!(matches!(state(&service, id), State::Stored { .. }));
            return (memory, service, id);
        }
    }
    panic!("no reference is written");
}

#[test]
fn later_upload_marks_the_superseded_one() {
    let (_, service, first) = half_attached();
    let second = receive(&service, to_ecg(), stream::once("software")).unwrap().update.id;
    let State::Superseded { version, by, .. } = state(&service, first) else { panic!("{:?}", state(&service, first)) };
    assert_eq!((version, by), (VersionId::FIRST.next(), second));
    let Recovered { ended, failed, .. } = block_on(service.recover(&ours())).unwrap();
    assert_eq!((ended, failed.len()), (0, 0));
    block_on(service.retire(&ours(), first, None)).unwrap();
}

#[test]
fn superseded_update_is_marked_before_removal() {
    let (memory, service) = fleet();
    let first = receive(&service, to_ecg(), stream::once("software")).unwrap().update.id;
    for polls in 0.. {
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let lost = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap();
        assert!(poll_only(lost.receive(&ours(), to_ecg(), firmware()), polls).is_none());
        if let [_, second] = updates(&read(&memory, "ecg").0).as_slice() {
            assert!(matches!(state(&service, first), State::Attached { .. }));
            withdraw(&service, second.id);
            assert!(matches!(state(&service, first), State::Superseded { by, .. } if by == second.id));
            return;
        }
    }
}

#[test]
fn possible_write_is_not_reported_as_unwritten() {
    let (memory, service) = fleet();
    let id = receive(&service, to_ecg(), firmware()).unwrap().update.id;
    // The record, the end of the chain, the write, its place in the chain, the end again.
    let plans = |call| match call {
        4 => CallPlan::of(CallOutcome::Dropped),
        6 => CallPlan::of(CallOutcome::Unavailable),
        _ => CallPlan::of(CallOutcome::Works),
    };
    let faulty = Arc::new(Faulty::planned(memory, plans));
    let service = UpdateService::new(faulty.clone(), faulty.clone(), faulty.clone()).unwrap();
    let lost = block_on(service.withdraw(&ours(), id, doctor(), "recalled".parse().unwrap()));
    let Err(LifecycleError::Store(error)) = lost else { panic!("{lost:?}") };
    assert_eq!((error.applied(), faulty.calls()), (Applied::Unknown, 6));
}

#[test]
fn store_loss_at_any_call_reports_possible_effects() {
    let mut referred = 0;
    for from in 0.. {
        let (memory, service) = fleet();
        let plan = move |call| CallPlan::of(if call < from { CallOutcome::Works } else { CallOutcome::Unavailable });
        let gone = Arc::new(Faulty::planned(memory.clone(), plan));
        let broken = UpdateService::new(gone.clone(), gone.clone(), gone).unwrap();
        let Err(error) = receive(&broken, keyed("k"), firmware()) else { break };
        if !updates(&read(&memory, "ecg").0).is_empty() {
            referred += 1;
            assert_eq!(error.applied(), Applied::Unknown, "{error:?} from call {from} on");
        }
        let received = receive(&service, keyed("k"), firmware()).unwrap();
        assert_eq!(updates(&read(&memory, "ecg").0), [received.update], "from call {from} on");
    }
    assert!(referred > 0);
}

#[test]
fn missing_bytes_cannot_be_pinned() {
    let mut refused = 0;
    for polls in 0.. {
        let (memory, service) = fleet();
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let lost = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap();
        let ended = poll_only(lost.receive(&ours(), to_ecg(), firmware()), polls).is_some();
        let by = Holder::LegalHold("case-7".parse().unwrap());
        let pinned = block_on(service.pin(&ours(), &Sha256::of(b"firmware"), by, doctor()));
        match pinned {
            Ok(()) => assert_eq!(blobs(&*memory), [BlobRef::of(b"firmware")], "after {polls} polls"),
            Err(LifecycleError::Bytes { source: blob::Refusal::Absent, .. }) => refused += 1,
            Err(error) => panic!("after {polls} polls: {error}"),
        }
        if ended {
            break;
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn upload_finished_by_recovery_is_reported_new() {
    assert!(overtaken_by_recovery(0) > 5);
    assert!(overtaken_by_recovery(64) > 1);
}

/// Returns the number of calls that a recovery overtook.
fn overtaken_by_recovery(small_size: usize) -> u64 {
    let mut overtaken = 0;
    for polls in 0.. {
        let (memory, service) = fleet();
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let receiving = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap();
        let receiving = receiving.with_small_size(small_size);
        let tenant = ours();
        let mut receiving = pin!(receiving.receive(&tenant, to_ecg(), firmware()));
        let mut cx = Context::from_waker(Waker::noop());
        if (0..polls).any(|_| receiving.as_mut().poll(&mut cx).is_ready()) {
            break;
        }
        overtaken += block_on(service.recover(&ours())).unwrap().ended;
        let received = block_on(receiving).unwrap();
        assert!(!received.replayed, "after {polls} polls");
        assert_eq!(updates(&read(&memory, "ecg").0), [received.update]);
    }
    overtaken
}
