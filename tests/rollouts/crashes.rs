//! Processes that end at any point, and a ledger that loses answers.

use super::fleet::{Fleet, Manner, device_name};
use fhir_devices::backend::Memory;
use fhir_devices::store::{
    BoxFuture, Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, Revision, Tenant,
};
use fhir_devices::testkit::{Call, CallOutcome, CallPlan, Faulty, Recording};
use fhir_devices::update::deployment::{DeviceOffers, OutcomeClass};
use fhir_devices::update::rollout::Status;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

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

/// The commits of a ledger that change the record of a lane, and how many audit records of lanes each of them makes.
fn commits(calls: &[Call]) -> Vec<usize> {
    let of_chain = |change: &&Change| change.expected.is_none() && change.key.as_str().split('/').nth(2) == Some("a");
    let made = calls.iter().filter_map(|call| match call {
        Call::Apply(_, changes) => Some(changes.iter().filter(of_chain).count()),
        _ => None,
    });
    made.filter(|count| *count > 0).collect()
}

#[tokio::test]
async fn steps_of_one_lane_are_committed_together_each_with_its_record() {
    const DEVICES: usize = 90;
    let memory = Arc::new(Memory::new());
    let recording = Arc::new(Recording::new(Arc::clone(&memory)));
    let fleet = Fleet::over(Arc::clone(&memory), Arc::clone(&recording), DEVICES).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::<Memory>::request(&release)).await;
    drop(recording.take());
    fleet.work().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(view.counts.offered as usize, DEVICES);
    let records = commits(&recording.take());
    // Planned, decided and written: three records each, beside those of the lanes themselves.
    let all: usize = records.iter().sum();
    assert!(all >= 3 * DEVICES, "{records:?}");
    assert!(records.len() * 8 < all, "{records:?}");
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn offers_of_one_commit_stay_within_the_cap() {
    let fleet = Fleet::new(30).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::<Memory>::request(&release).with_cap(7)).await;
    fleet.work().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(view.counts.in_flight(), 7);
    fleet.check_audit(rollout).await;
}

/// A ledger where somebody else changes the offers of one device just before the commit that offers it something.
struct Interfering {
    below: Arc<Memory>,
    left: std::sync::atomic::AtomicU32,
}

impl Ledger for Interfering {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        self.below.get(tenant, key)
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move {
            let lock = changes.iter().find(|change| change.key.as_str().starts_with("lock/"));
            let is_next = || self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            if let Some(Change { key, expected: None, value: Some(_) }) = lock
                && changes.len() > 20
                && is_next()
            {
                let none = DeviceOffers::default().to_bytes();
                self.below.apply(tenant, vec![Change::create(key.clone(), none)]).await?;
            }
            self.below.apply(tenant, changes).await
        })
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        self.below.scan(tenant, prefix, limit, after)
    }
}

#[tokio::test]
async fn one_that_is_not_as_it_was_seen_holds_up_no_other_of_its_commit() {
    let memory = Arc::new(Memory::new());
    let ledger = Arc::new(Interfering { below: Arc::clone(&memory), left: 1.into() });
    let fleet = Fleet::over(memory, Arc::clone(&ledger), 30).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::<Memory>::request(&release)).await;
    fleet.work().await;
    assert_eq!(ledger.left.load(Relaxed), 0);
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(view.counts.offered, 30);
    fleet.check_audit(rollout).await;
}
