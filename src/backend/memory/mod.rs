//! The in-memory store: the reference implementation of the storage contract.

mod blobs;
mod index;
mod ledger;
mod log;
mod part;
mod record;
mod slots;
mod table;

use super::checks::{TimePlace, check_writes, to_usize};
use crate::store::{
    AtomicScope, BoxFuture, Capabilities, Changes, Clock, CommitError, Key, Page, PageKey, PageQuery, PageToken,
    ResourceStore, Result, Search, SearchOrder, StoreError, SystemClock, Tenant, Version, VersionId, Write, text_place,
    version_place,
};
use blobs::Blobs;
use ledger::Records;
use log::Moment;
use part::{Part, check_against_nothing};
use std::collections::HashMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use url::Url;

/// Keeps resources, blobs and ledger records in memory, for tests, demonstrations and small services.
///
/// Resources are kept as the bytes that were written, in every version unless
/// [`with_max_versions`](Self::with_max_versions) says otherwise; nothing survives the process. A commit may contain
/// any resources of a tenant. Its futures are ready at the first poll, and need no runtime.
///
/// One value serves all threads. To share it, put it into an [`Arc`]; it is not `Clone`, so that no one copies a store
/// by mistake.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{Search, TenantResources};
/// use fhir_devices::search::{Criterion, ResourceType};
/// use fhir_devices::{DeviceComponent, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
/// let mds = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},
///     "type":{"text":"MDS"},"source":{"reference":"Device/pump"}}"#)?;
/// store.create(&Valid::new(mds)?).await?;
///
/// let search = Search::new(ResourceType::DeviceComponent).and(Criterion::source("Device/pump"));
/// assert_eq!(store.all(search).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    parts: RwLock<HashMap<Tenant, Arc<Part>>>,
    blobs: Blobs,
    records: Records,
    slots: slots::Slots,
    limits: Limits,
    clock: Arc<dyn Clock>,
    pages: PageKey,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    max_writes: usize,
    max_body: u64,
    max_versions: Option<NonZeroUsize>,
}

impl Memory {
    /// Creates an empty store with the system clock: bodies up to 16 MiB, 1,000 writes per commit, blobs up to 4 GiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            parts: RwLock::default(),
            blobs: Blobs::new(),
            records: Records::default(),
            slots: slots::Slots::default(),
            limits: Limits { max_writes: 1_000, max_body: 16 << 20, max_versions: None },
            clock: Arc::new(SystemClock),
            pages: PageKey::random(),
        }
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the maximum number of versions of each resource, the newest included.
    #[must_use]
    pub fn with_max_versions(mut self, max: NonZeroUsize) -> Self {
        self.limits.max_versions = Some(max);
        self
    }

    /// Sets the maximum size of a body.
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.limits.max_body = bytes;
        self
    }

    /// Sets the maximum number of writes in a commit.
    #[must_use]
    pub fn with_max_writes(mut self, writes: usize) -> Self {
        self.limits.max_writes = writes;
        self
    }

    /// Sets the maximum size of a blob.
    #[must_use]
    pub fn with_max_blob(mut self, bytes: u64) -> Self {
        self.blobs.max_size = bytes;
        self
    }

    /// Also verifies the digests of blobs, which the caller of a commit otherwise vouches for. The bytes are then
    /// hashed once more.
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.blobs.verifies_digest = true;
        self
    }

    /// Sets the base of blob URLs, `BASE/TENANT/sha256/DIGEST/GENERATION`, where the application serves the blobs.
    /// Without a base, a URL has the scheme `memory` and names the blob, but cannot be fetched.
    ///
    /// ```
    /// use fhir_devices::backend::Memory;
    /// let store = Memory::new().with_base_url("https://cdn.example/blobs".parse()?);
    /// # drop(store);
    /// # Ok::<(), url::ParseError>(())
    /// ```
    #[must_use]
    pub fn with_base_url(mut self, base: Url) -> Self {
        self.blobs.base = Some(base);
        self
    }

    fn part(&self, tenant: &Tenant) -> Option<Arc<Part>> {
        lock_read(&self.parts).get(tenant).cloned()
    }

    fn new_part(&self, tenant: &Tenant) -> Arc<Part> {
        Arc::clone(lock_write(&self.parts).entry(tenant.clone()).or_insert_with(|| Arc::new(Part::new())))
    }

    /// Runs a read of a tenant that is short enough to keep the creation of a new tenant waiting.
    fn within<T>(&self, tenant: &Tenant, read: impl FnOnce(&Part) -> Result<T>) -> Result<T> {
        read(lock_read(&self.parts).get(tenant).ok_or(StoreError::not_found())?)
    }

    fn known(&self, tenant: &Tenant) -> Result<Arc<Part>> {
        self.part(tenant).ok_or(StoreError::not_found())
    }

    fn commit_now(&self, tenant: &Tenant, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        check_writes(&writes, self.limits.max_writes, self.limits.max_body)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        // Read before any lock is taken: the clock is the caller's code.
        let now = self.clock.now();
        let part = match self.part(tenant) {
            Some(part) => part,
            None => {
                // A refused write must not create a tenant.
                check_against_nothing(&writes)?;
                self.new_part(tenant)
            }
        };
        part.commit(writes, &self.limits, now)
    }

    fn search_now(&self, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
        let query = PageQuery::Search(search);
        if search.order != SearchOrder::Id {
            let after = self.pages.place(tenant, query, search.after.as_ref(), |bytes| TimePlace::decode(&bytes))?;
            let Some(part) = self.part(tenant) else { return Ok(Page { items: Vec::new(), next: None }) };
            let (items, last) = part.search_by_time(search, to_usize(search.limit), after);
            let next = last.map(|place| self.pages.seal(tenant, query, &place.encode())).transpose()?;
            return Ok(Page { items, next });
        }
        let after = self.pages.place(tenant, query, search.after.as_ref(), text_place)?;
        let after = after.max(search.behind.as_ref().map(ToString::to_string));
        let Some(part) = self.part(tenant) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let (items, last) = part.search(search, to_usize(search.limit), after.as_deref());
        let next = last.map(|id| self.pages.seal(tenant, query, id.as_bytes())).transpose()?;
        Ok(Page { items, next })
    }

    fn history_now(
        &self,
        tenant: &Tenant,
        key: &Key,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        let query = PageQuery::History(key);
        let before = self.pages.place(tenant, query, after, version_place)?;
        let (items, more) = self.known(tenant)?.history(key, to_usize(limit), before)?;
        let last = items.last().filter(|_| more).map(|last| last.version.get().to_be_bytes());
        let next = last.map(|place| self.pages.seal(tenant, query, &place)).transpose()?;
        Ok(Page { items, next })
    }
}

impl Memory {
    fn changes_now(&self, tenant: &Tenant, changes: &Changes) -> Result<Page<Version>> {
        let query = PageQuery::Changes(changes);
        let after = self.pages.place(tenant, query, changes.after.as_ref(), Moment::read)?;
        let Some(part) = self.part(tenant) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let (items, last) = part.changes(changes, after);
        let next = last.map(|last| self.pages.seal(tenant, query, &last.written())).transpose()?;
        Ok(Page { items, next })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenants = lock_read(&self.parts).len();
        f.debug_struct("Memory").field("tenants", &tenants).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl ResourceStore for Memory {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(AtomicScope::Tenant, self.limits.max_writes, self.limits.max_body);
        capabilities.history_pruning = true;
        capabilities.changes = true;
        capabilities.search_by_time = true;
        capabilities.own_parameters = true;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.within(tenant, |part| part.read(key)) })
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.within(tenant, |part| part.vread(key, version)) })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move { self.commit_now(tenant, writes) })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.search_now(tenant, search) })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.history_now(tenant, key, limit, after) })
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.changes_now(tenant, changes) })
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.within(tenant, |part| part.prune(key, to_usize(keep))) })
    }
}

/// Locks even if a thread panicked with the lock held: this module does not panic under a lock, and does not call the
/// caller's code there.
fn lock_read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn lock_write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
