//! The cost of an upload, and the shared commits of concurrent calls.

use super::*;
use fhir_devices::audit::ChainHead;
use fhir_devices::audit::verify;
use fhir_devices::testkit::{Call, CallOutcome, CallPlan, Faulty, Recording};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

type Slow = Recording<Faulty<Memory>>;

/// Creates monitors with one component each, over a store whose calls take `waits` polls.
fn ward(monitors: usize, waits: u8) -> (Arc<Memory>, Arc<Slow>, Service<Slow>) {
    let memory = Arc::new(Memory::new());
    for number in 0..monitors {
        let device = Device::from_json(format!(r#"{{"resourceType":"Device","id":"d{number}"}}"#).as_bytes()).unwrap();
        put(&*memory, &ours(), &device, Precondition::Absent);
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"c{number}","identifier":{{"value":"1"}},"type":{{"text":"pump"}},
            "source":{{"reference":"Device/d{number}"}}}}"#
        );
        put(&*memory, &ours(), &DeviceComponent::from_json(json.as_bytes()).unwrap(), Precondition::Absent);
    }
    let plan = move |_| CallPlan { before: waits, ..CallPlan::of(CallOutcome::Works) };
    let slow = Arc::new(Recording::new(Arc::new(Faulty::planned(Arc::clone(&memory), plan))));
    let service = UpdateService::new(slow.clone(), slow.clone(), slow.clone()).unwrap();
    (memory, slow, service)
}

fn to(number: usize) -> Submission {
    let kind = "application/octet-stream".parse().unwrap();
    Submission::new(format!("d{number}").parse().unwrap(), "pump.bin".parse().unwrap(), kind)
}

type Upload<'a> = Pin<Box<dyn Future<Output = Result<Received, ReceiveError>> + 'a>>;

/// Polls all of them in turns, until each has ended.
fn all(mut uploads: Vec<Upload<'_>>) -> Vec<Result<Received, ReceiveError>> {
    let mut ended: Vec<_> = uploads.iter().map(|_| None).collect();
    for _ in 0..100_000 {
        for (upload, end) in uploads.iter_mut().zip(&mut ended) {
            if end.is_none()
                && let Poll::Ready(received) = upload.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                *end = Some(received);
            }
        }
        if ended.iter().all(Option::is_some) {
            return ended.into_iter().flatten().collect();
        }
    }
    panic!("{} of {} uploads never end", ended.iter().filter(|end| end.is_none()).count(), ended.len());
}

fn commits(calls: &[Call]) -> usize {
    calls.iter().filter(|call| matches!(call, Call::Apply(..))).count()
}

#[test]
fn small_upload_takes_three_commits() {
    let (_, store, service) = ward(2, 0);
    // The first of a process looks whether the stores belong together.
    receive_at(&service, 1, "earlier");
    drop(store.take());
    receive_at(&service, 0, "first");
    let calls = store.take();
    assert_eq!(commits(&calls), 3, "{calls:#?}");
    assert!(calls.len() <= 13, "{} calls: {calls:#?}", calls.len());
    // One of the same bytes for another component, and one that supersedes another.
    let (_, store, service) = ward(3, 0);
    receive_at(&service, 2, "earlier");
    for (number, text) in [(0, "first"), (1, "first"), (1, "second")] {
        drop(store.take());
        receive_at(&service, number, text);
        let calls = store.take();
        assert_eq!(commits(&calls), 3, "{calls:#?}");
        assert!(calls.len() <= 16, "{} calls: {calls:#?}", calls.len());
    }
}

fn receive_at(service: &Service<Slow>, number: usize, text: &'static str) {
    let received = block_on(service.receive(&ours(), to(number), stream::once(text))).unwrap();
    assert_eq!(received.component.logical_id().unwrap().as_str(), format!("c{number}"));
}

#[test]
fn uploads_at_once_share_their_commits() {
    const COUNT: usize = 256;
    let (memory, store, service) = ward(COUNT + 1, 3);
    receive_at(&service, COUNT, "earlier");
    drop(store.take());
    let tenant = ours();
    let uploads = (0..COUNT)
        .map(|number| Box::pin(service.receive(&tenant, to(number), stream::once(number.to_string()))) as Upload<'_>);
    for (number, received) in all(uploads.collect()).into_iter().enumerate() {
        assert_eq!(received.unwrap().component.logical_id().unwrap().as_str(), format!("c{number}"));
    }
    let calls = store.take();
    let count = commits(&calls);
    assert!(count <= 3 * COUNT / 10, "{count} commits of {COUNT} uploads");
    let most = calls.iter().filter_map(|call| match call {
        Call::Apply(_, changes) => Some(changes.len()),
        _ => None,
    });
    assert!(most.max().unwrap() <= Ledger::max_changes(&*memory));
    // One audit record a step, in one chain.
    let records = block_on(service.audit_records(&tenant)).unwrap();
    assert_eq!(verify(&ChainHead::start(tenant.clone()), &records, &[]).unwrap().count(), records.len() as u64);
    for number in 0..COUNT {
        let (component, _) = read(&memory, &format!("c{number}"));
        let [update] = &updates(&component)[..] else { panic!("{number}") };
        let of = records.iter().filter(|record| record.draft.ingest == Some(update.id));
        assert_eq!(of.count(), 5, "opened, acquired, stored, targeted, attached");
    }
}

#[test]
fn call_dropped_while_it_commits_for_others_holds_nobody_up() {
    for dropped_after in 0..60 {
        let (memory, _, service) = ward(4, 2);
        let tenant = ours();
        let mut uploads: Vec<Option<Upload<'_>>> = (0..4)
            .map(|number| Some(Box::pin(service.receive(&tenant, to(number), stream::once("same"))) as Upload<'_>))
            .collect();
        for _ in 0..dropped_after {
            for upload in uploads.iter_mut().flatten() {
                let _ = upload.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            if uploads.iter().flatten().count() < 4 {
                break;
            }
        }
        // Whoever commits for the others at this moment is one of these.
        let stays = dropped_after % 4;
        for (number, upload) in uploads.iter_mut().enumerate() {
            if number != stays {
                *upload = None;
            }
        }
        let other = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
        if let Some(upload) = uploads.swap_remove(stays) {
            // One that has come to its end is not polled again.
            if updates(&read(&memory, &format!("c{stays}")).0).is_empty() {
                all(vec![upload]).remove(0).unwrap();
            }
        }
        let recovered = block_on(other.recover(&tenant)).unwrap();
        assert!(recovered.failed.is_empty(), "after {dropped_after} polls: {recovered:?}");
        block_on(other.verify_audit(&tenant, &[])).unwrap().unwrap();
        assert_eq!(updates(&read(&memory, &format!("c{stays}")).0).len(), 1, "after {dropped_after} polls");
    }
}

#[test]
fn fault_of_the_ledger_is_answered_to_every_call_of_the_commit() {
    for fate in [CallOutcome::Unavailable, CallOutcome::Lost, CallOutcome::Dropped, CallOutcome::Late] {
        for call in 1..40 {
            let (memory, ..) = ward(6, 0);
            let plan = move |number| CallPlan {
                before: 2,
                ..CallPlan::of(if number == call { fate } else { CallOutcome::Works })
            };
            let faulty = Arc::new(Faulty::planned(Arc::clone(&memory), plan));
            let service = UpdateService::new(memory.clone(), memory.clone(), faulty).unwrap();
            let tenant = ours();
            let uploads = (0..6).map(|number| {
                Box::pin(service.receive(&tenant, to(number), stream::once(number.to_string()))) as Upload<'_>
            });
            for (number, received) in all(uploads.collect()).into_iter().enumerate() {
                let attached = updates(&read(&memory, &format!("c{number}")).0).len();
                match received {
                    Ok(_) => assert_eq!(attached, 1),
                    Err(ReceiveError::Ledger(_)) => {}
                    Err(error) => panic!("{fate:?} of call {call}: {error:?}"),
                }
            }
            let again = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
            let again = again.with_clock(|| time::OffsetDateTime::now_utc() + time::Duration::days(1));
            assert!(block_on(again.recover(&tenant)).unwrap().failed.is_empty());
            block_on(again.verify_audit(&tenant, &[])).unwrap().unwrap();
        }
    }
}
