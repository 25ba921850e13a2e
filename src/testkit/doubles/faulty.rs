//! A faulty store.

use super::fault_schedule::{CallOutcome, CallPlan, FaultSchedule, pause, throttled, unavailable, unknown};
use crate::store::{
    BoxFuture, Capabilities, Change, Changes, CommitError, Key, Ledger, LedgerKey, LedgerRecord, Page, PageToken,
    Precondition, ResourceStore, Result, Revision, Search, StoreError, Tenant, Version, VersionId, Write,
};
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// A store that fails on purpose: before a call is carried out, after it, or in the middle of a blob. It delays and
/// duplicates calls, and loses acknowledgements.
///
/// The outcome of a call depends on the seed and on the number of the call, counted over all calls of this value: the
/// same calls under the same seed fail in the same way. All faults keep the contract, as [`CallOutcome`] describes, so
/// a caller that relies on the contract alone copes with them.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{Precondition, TenantResources, WriteId};
/// use fhir_devices::testkit::{CallOutcome, Faulty};
/// use fhir_devices::{Device, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The first call is a commit whose acknowledgement is lost; it is found by its id.
/// let faulty = Arc::new(Faulty::on(Arc::new(Memory::new()), 1, CallOutcome::Lost));
/// let store = TenantResources::new(faulty.clone(), "st-mary".parse()?);
/// let pump = Valid::new(Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?)?;
/// let write = pump.write(Precondition::Absent)?.with_id(WriteId(7));
/// assert_eq!(store.write_resolved(write).await?.version.get(), 1);
/// assert!(faulty.calls() > 1);
/// # Ok(())
/// # }
/// ```
pub struct Faulty<S: ?Sized> {
    pub(super) dice: Arc<FaultSchedule>,
    pub(super) below: Arc<S>,
}

impl<S: ?Sized> Faulty<S> {
    /// Creates a store in which half of the calls fail.
    #[must_use]
    pub fn new(below: Arc<S>, seed: u64) -> Self {
        Self::planned(below, move |call| CallPlan::seeded(seed, call))
    }

    /// Creates a store in which call number `call`, counted from 1, has this outcome; all others succeed.
    #[must_use]
    pub fn on(below: Arc<S>, call: u64, fate: CallOutcome) -> Self {
        Self::planned(below, move |number| CallPlan::of(if number == call { fate } else { CallOutcome::Works }))
    }

    /// Creates a store with a plan for each call. Calls are counted from 1.
    #[must_use]
    pub fn planned(below: Arc<S>, plan: impl Fn(u64) -> CallPlan + Send + Sync + 'static) -> Self {
        Self { dice: Arc::new(FaultSchedule::new(Box::new(plan))), below }
    }

    /// Restricts the outcomes to these; a call planned to have another outcome succeeds. Delays stay.
    #[must_use]
    pub fn with_only(self, fates: &[CallOutcome]) -> Self {
        fates.clone_into(&mut self.dice.allowed.lock().unwrap_or_else(PoisonError::into_inner));
        self
    }

    /// Excludes these outcomes; a call planned to have one of them succeeds.
    #[must_use]
    pub fn without(self, fates: &[CallOutcome]) -> Self {
        let kept: Vec<_> = CallOutcome::ALL.into_iter().filter(|fate| !fates.contains(fate)).collect();
        self.with_only(&kept)
    }

    /// Stops injecting faults.
    pub fn calm(&self) {
        self.dice.calm.store(true, Ordering::Relaxed);
    }

    /// Returns the number of calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.dice.calls()
    }

    /// Returns the inner store.
    #[must_use]
    pub fn below(&self) -> &Arc<S> {
        &self.below
    }

    /// Carries out a read by the plan of the next call.
    pub(super) async fn read_by<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        let plan = self.dice.next();
        self.dice.catch_up().await;
        pause(plan.before).await;
        let read = match plan.fate {
            CallOutcome::Works | CallOutcome::Twice | CallOutcome::Torn => read.await,
            CallOutcome::Throttled => Err(throttled()),
            CallOutcome::Unavailable | CallOutcome::Lost | CallOutcome::Dropped | CallOutcome::Late => {
                Err(unavailable())
            }
        };
        pause(plan.after).await;
        read
    }

    /// Carries out a write by the plan of the next call. `once` says that the write can be applied only once.
    async fn write_by<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        write: impl Fn() -> BoxFuture<'static, Result<T, E>>,
        once: bool,
    ) -> Result<T, E> {
        let plan = self.dice.next();
        self.dice.catch_up().await;
        pause(plan.before).await;
        let outcome = match plan.fate {
            CallOutcome::Works | CallOutcome::Torn => write().await,
            CallOutcome::Unavailable => Err(unavailable().into()),
            CallOutcome::Throttled => Err(throttled().into()),
            // A refusal stands: only an acknowledgement can be lost.
            CallOutcome::Lost => write().await.and_then(|_| Err(unknown().into())),
            CallOutcome::Dropped => Err(unknown().into()),
            CallOutcome::Late => {
                let write = write();
                self.dice.put_off(Box::pin(async move { drop(write.await) }));
                Err(unknown().into())
            }
            CallOutcome::Twice => {
                let first = write().await;
                // A refused write may be applicable by now, e.g. with a guessed version that has come since: it is not
                // sent again.
                if once && first.is_ok() {
                    drop(write().await);
                }
                first
            }
        };
        pause(plan.after).await;
        outcome
    }
}

impl<S: ?Sized> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl<S: ResourceStore + ?Sized> ResourceStore for Faulty<S> {
    fn capabilities(&self) -> Capabilities {
        self.below.capabilities()
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.read_by(self.below.read(tenant, key)))
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.read_by(self.below.vread(tenant, key, version)))
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            let once =
                !writes.is_empty() && writes.iter().all(|write| matches!(write.precondition, Precondition::Version(_)));
            let commit = || -> BoxFuture<'static, _> {
                let (below, tenant, writes) = (Arc::clone(&self.below), tenant.clone(), writes.clone());
                Box::pin(async move { below.commit(&tenant, writes).await })
            };
            self.write_by(commit, once).await
        })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.read_by(self.below.search(tenant, search)))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.read_by(self.below.history(tenant, key, limit, after)))
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.read_by(self.below.changes(tenant, changes)))
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.read_by(self.below.prune_history(tenant, key, keep)))
    }
}

impl<S: Ledger + ?Sized> Ledger for Faulty<S> {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(self.read_by(self.below.get(tenant, key)))
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move {
            let once = !changes.is_empty() && changes.iter().all(|change| change.expected.is_some());
            let apply = || -> BoxFuture<'static, _> {
                let (below, tenant, changes) = (Arc::clone(&self.below), tenant.clone(), changes.clone());
                Box::pin(async move { below.apply(&tenant, changes).await })
            };
            self.write_by(apply, once).await
        })
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(self.read_by(self.below.scan(tenant, prefix, limit, after)))
    }
}
