//! Stores under test with one tenant, a manual clock, and replaceable ledgers.

use super::*;
use crate::audit::AuditRecord;
use crate::primitive::Text;
use crate::resource::{Device, DeviceComponent};
use crate::service::MaintenanceError;
use crate::service::{Adopted, Quarantined, Received, StoreMismatch, Submission, SweepRules, Swept, UpdateService};
use crate::store::{
    BlobKey, BoxFuture, Change, CommitError, Generation, LedgerKey, LedgerRecord, Page, PageToken, Precondition,
    Result, Revision, Storable, StoreId, Tenant, TenantBlobs, stream,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;

/// Both ages that the clauses set, in seconds: how long a file is watched, and how long it is quarantined.
pub(super) const AGE: i64 = 3_600;

/// A ledger that remembers the keys of its records, so that it can be copied.
pub(super) struct SnapshotLedger {
    below: Arc<dyn Ledger>,
    keys: Mutex<BTreeSet<(Tenant, LedgerKey)>>,
}

impl SnapshotLedger {
    pub(super) fn new(below: Arc<dyn Ledger>) -> Arc<Self> {
        Arc::new(Self { below, keys: Mutex::default() })
    }
}

impl Ledger for SnapshotLedger {
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
        let written = changes.iter().map(|change| (tenant.clone(), change.key.clone()));
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).extend(written);
        self.below.apply(tenant, changes)
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

pub(super) struct Place<'a> {
    pub(super) trial: StoreUnderTest<'a, ServiceStores>,
    pub(super) tenant: Tenant,
    clock: Arc<AtomicI64>,
}

pub(super) type Service = UpdateService;

impl<'a> Place<'a> {
    /// Creates an unused tenant, with one device of one component.
    pub(super) fn new(trial: &StoreUnderTest<'a, ServiceStores>) -> ClauseResult<Self> {
        let place = Self { trial: *trial, tenant: fresh(), clock: Arc::new(AtomicI64::new(1_492_596_000)) };
        let device = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#);
        let part = DeviceComponent::from_json(
            br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
                "source":{"reference":"Device/pump"}}"#,
        );
        let (device, part) = (device.map_err(unexpected)?, part.map_err(unexpected)?);
        for write in [device.to_write(Precondition::Absent), part.to_write(Precondition::Absent)] {
            let write = write.map_err(unexpected)?;
            place.wait("a resource cannot be written", async {
                let written = trial.store.resources.commit(&place.tenant, vec![write]).await;
                written.map_err(|refused| refused.error)
            })?;
        }
        Ok(place)
    }

    fn blobs(&self) -> TenantBlobs {
        TenantBlobs::new(Arc::clone(&self.trial.store.blobs), self.tenant.clone())
    }

    /// Runs a future that must succeed.
    pub(super) fn wait<T, E: fmt::Display>(
        &self,
        what: &str,
        future: impl Future<Output = Result<T, E>>,
    ) -> ClauseResult<T> {
        self.trial.wait(future)?.map_err(|error| BrokenClause::what(format!("{what}: {error}")))
    }

    pub(super) fn passes(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Returns a newly started service over the ledger under test.
    pub(super) fn service(&self) -> Service {
        self.service_over(Arc::clone(&self.trial.store.ledger))
    }

    /// Returns a newly started service over another ledger.
    pub(super) fn service_over(&self, ledger: Arc<dyn Ledger>) -> Service {
        self.service_of(self.trial.store, ledger)
    }

    /// Returns a newly started service over other blobs and another ledger.
    pub(super) fn service_of(&self, stores: &ServiceStores, ledger: Arc<dyn Ledger>) -> Service {
        let (ServiceStores { resources, blobs, .. }, clock) = (stores, Arc::clone(&self.clock));
        let rules = SweepRules::default().with_grace(seconds(AGE)).with_quarantine(seconds(AGE)).with_max_per_round(2);
        UpdateService::new_with_urls(Arc::clone(resources), Arc::clone(blobs), ledger, address)
            .with_sweep_rules(rules)
            .with_clock(move || {
                OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
            })
    }

    /// Returns a copy of the ledger's current state, as after a restore from a backup.
    pub(super) fn copy_of(&self, ledger: &SnapshotLedger) -> ClauseResult<Arc<dyn Ledger>> {
        let copy: Arc<dyn Ledger> = Arc::new(crate::backend::Memory::new());
        let keys = ledger.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (tenant, key) in keys {
            let Some(record) = self.wait("a record cannot be read", ledger.get(&tenant, &key))? else { continue };
            let change = Change::create(record.key, record.value);
            self.wait("a record cannot be copied", async {
                copy.apply(&tenant, vec![change]).await.map_err(|refused| refused.error)
            })?;
        }
        Ok(copy)
    }

    pub(super) fn receive(&self, service: &Service, bytes: &'static str) -> ClauseResult<Received> {
        let text = |error: &dyn fmt::Display| BrokenClause::what(error.to_string());
        let kind = "application/octet-stream".parse().map_err(|error| text(&error))?;
        let name: Text = "a.bin".parse().map_err(|error| text(&error))?;
        let sent = Submission::new("pump".parse().map_err(|error| text(&error))?, name, kind);
        self.wait("an upload fails", service.receive(&self.tenant, sent, stream::once(bytes)))
    }

    pub(super) fn check(&self, service: &Service) -> ClauseResult<StoreId> {
        self.wait("the store is refused", service.check_store(&self.tenant))
    }

    pub(super) fn sweep(&self, service: &Service) -> ClauseResult<Swept> {
        self.wait("a sweep fails", service.sweep(&self.tenant))
    }

    pub(super) fn adopt(&self, service: &Service) -> ClauseResult<Adopted> {
        let actor = "ops".parse().map_err(unexpected)?;
        let why = "restored from a backup".parse().map_err(unexpected)?;
        self.wait("the adoption fails", service.adopt_store(&self.tenant, actor, why))
    }

    /// Checks that a service refuses to check the store, to sweep, to collect and to take an upload, and returns the
    /// mismatch that it reports.
    pub(super) fn refused(&self, service: &Service) -> ClauseResult<StoreMismatch> {
        let swept = self.trial.wait(service.sweep(&self.tenant))?.map(drop);
        let collected = self.trial.wait(service.collect(&self.tenant, Duration::ZERO))?.map(drop);
        ensure!(self.receive(service, "software").is_err(), "an upload is taken where the store is not the ledger's");
        for (what, outcome) in [("a sweep", swept), ("a collection", collected)] {
            ensure!(
                matches!(outcome, Err(MaintenanceError::Mismatch(_))),
                "{what} gives {outcome:?} where the store is not the ledger's"
            );
        }
        match self.trial.wait(service.check_store(&self.tenant))? {
            Err(MaintenanceError::Mismatch(mismatch)) => Ok(mismatch),
            other => Err(BrokenClause::what(format!("a check of the store gives {other:?}, wanted a mismatch"))),
        }
    }

    /// Writes a file unknown to every ledger.
    pub(super) fn put_unknown(&self, bytes: &'static str) -> ClauseResult<BlobKey> {
        let generation = Generation(u128::from(random()) << 64 | u128::from(random()));
        let put = self.blobs();
        let (blob, _) = self.wait("a file cannot be written", put.put(generation, stream::once(bytes)))?;
        Ok(blob.key(generation))
    }

    pub(super) fn has(&self, key: &BlobKey) -> ClauseResult<bool> {
        let blobs = self.blobs();
        match self.trial.wait(blobs.head(key))? {
            Ok(_) => Ok(true),
            Err(crate::store::StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(BrokenClause::what(format!("a file cannot be looked up: {error}"))),
        }
    }

    pub(super) fn delete(&self, key: &BlobKey) -> ClauseResult<()> {
        self.wait("a file cannot be deleted", self.blobs().delete(key))
    }

    /// Returns every file of the tenant, except the marker.
    pub(super) fn files(&self) -> ClauseResult<Vec<BlobKey>> {
        let page = self.wait("the files cannot be listed", self.blobs().list(NonZeroU32::MAX, None))?;
        Ok(page.items.iter().map(|info| info.key).filter(|key| StoreId::of_marker(key).is_none()).collect())
    }

    pub(super) fn quarantine(&self, service: &Service) -> ClauseResult<Vec<Quarantined>> {
        let listed = service.quarantine(&self.tenant, NonZeroU32::MAX, None);
        Ok(self.wait("the quarantine cannot be listed", listed)?.items)
    }

    /// Returns the records of the audit chain, which must verify.
    pub(super) fn records(&self, service: &Service) -> ClauseResult<Vec<AuditRecord>> {
        let verified = self.wait("the audit chain cannot be read", service.verify_audit(&self.tenant, &[]))?;
        ensure!(verified.is_ok(), "the audit chain does not hold: {verified:?}");
        self.wait("the audit chain cannot be read", service.audit_records(&self.tenant))
    }

    /// Sweeps until every file that is due is deleted, moving the clock on between the rounds.
    pub(super) fn sweep_to_the_end(&self, service: &Service) -> ClauseResult<Swept> {
        for _ in 0..4 {
            self.sweep(service)?;
            self.passes(AGE);
        }
        self.sweep(service)
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn unexpected(error: impl fmt::Debug) -> BrokenClause {
    BrokenClause::what(format!("{error:?}"))
}

/// These URLs are never requested.
fn address(tenant: &Tenant, key: &BlobKey) -> url::Url {
    let text = format!("https://files.invalid/{tenant}/{}/{}", key.digest, key.generation);
    text.parse().unwrap_or_else(|_| address(tenant, key))
}
