//! Processes that end at any point, and a ledger that loses answers.

use super::fleet::{Fleet, Manner, device_name};
use fhir_devices::backend::Memory;
use fhir_devices::testkit::{CallOutcome, CallPlan, Faulty};
use fhir_devices::update::deployment::OutcomeClass;
use fhir_devices::update::rollout::Status;
use std::sync::Arc;

/// Lets one call of the ledger fail, and a new process continue.
async fn with_one(fate: CallOutcome, call: u64) -> bool {
    let memory = Arc::new(Memory::new());
    let calm = Fleet::over(Arc::clone(&memory), Arc::clone(&memory), 3).await;
    let release = calm.release("2.0", 1).await;
    let rollout = calm.start(Fleet::<Memory>::request(&release).with_cap(6)).await;

    let faulty = Arc::new(Faulty::on(Arc::clone(&memory), call, fate));
    let mut broken = Fleet::over_again(&calm, Arc::clone(&faulty));
    broken.manners.insert(device_name(1), Manner::Stumbles);
    for _ in 0..40 {
        // Whatever it comes to, the process is gone at its first error.
        if broken.try_act().await.is_err() {
            break;
        }
    }
    let reached = faulty.calls() >= call;

    let mut fleet = Fleet::over_again(&calm, memory);
    fleet.manners.insert(device_name(1), Manner::Stumbles);
    fleet.settle().await;
    fleet.pass(700);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(
        (view.rollout.status, view.ended(OutcomeClass::Succeeded), view.already_out),
        (Status::Completed, 3, 3),
        "{fate:?} at call {call}"
    );
    fleet.check_audit(rollout).await;
    reached
}

#[tokio::test]
async fn a_crash_at_any_call_of_the_ledger_loses_nothing() {
    for fate in [CallOutcome::Unavailable, CallOutcome::Lost, CallOutcome::Dropped] {
        let mut call = 0;
        // The first calls, where each is another one, and some of the rest.
        while call < 250 && with_one(fate, call).await {
            call += if call < 60 { 7 } else { 37 };
        }
        assert!(call > 60, "{call}");
    }
}

#[tokio::test]
async fn work_does_not_grow_with_what_is_at_rest() {
    let memory = Arc::new(Memory::new());
    let counted = Arc::new(Faulty::planned(Arc::clone(&memory), |_| CallPlan::of(CallOutcome::Works)));
    let mut fleet = Fleet::over(memory, Arc::clone(&counted), 12).await;
    let mut calls = Vec::new();
    for sequence in 1..=4 {
        let release = fleet.release(&format!("{sequence}.5"), sequence).await;
        let rollout = fleet.start(Fleet::<Memory>::request(&release)).await;
        fleet.settle().await;
        assert_eq!(fleet.service.rollout(&fleet.tenant, rollout).await.unwrap().status, Status::Completed);
        let before = counted.calls();
        fleet.work().await;
        calls.push(counted.calls() - before);
    }
    // Rollouts that ended, their deployments, lanes and records are read by nobody.
    assert!(calls.iter().all(|count| *count == calls[0]), "{calls:?}");
}
