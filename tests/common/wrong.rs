//! Stores with one defect, over the in-memory store.

use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use fhir_devices::testkit::store::block_on;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;

type Made = Result<Vec<Version>, CommitError>;

#[allow(clippy::type_complexity, reason = "a row of functions")]
/// A resource store whose methods can be replaced one by one. The futures of the inner store are ready at once.
pub(crate) struct Wrong {
    pub(crate) below: Memory,
    pub(crate) capabilities: fn(&Self) -> Capabilities,
    pub(crate) read: fn(&Self, &Tenant, &Key) -> Result<Version>,
    pub(crate) vread: fn(&Self, &Tenant, &Key, VersionId) -> Result<Version>,
    pub(crate) commit: fn(&Self, &Tenant, Vec<Write>) -> Made,
    pub(crate) search: fn(&Self, &Tenant, &Search) -> Result<Page<Version>>,
    pub(crate) changes: fn(&Self, &Tenant, &Changes) -> Result<Page<Version>>,
    pub(crate) prune: fn(&Self, &Tenant, &Key, NonZeroU32) -> Result<u64>,
    pub(crate) history: fn(&Self, &Tenant, &Key, NonZeroU32, Option<&PageToken>) -> Result<Page<Version>>,
    /// Versions that a defect stores for itself.
    pub(crate) kept: Mutex<HashMap<(Tenant, Key), Version>>,
    pub(crate) count: Mutex<u64>,
    /// Whether the writes of a commit are made one by one, with a pause between them.
    pub(crate) halting: bool,
}

impl Wrong {
    pub(crate) fn right(below: Memory) -> Self {
        Self {
            below,
            capabilities: |own| ResourceStore::capabilities(&own.below),
            read: |own, t, k| block_on(own.below.read(t, k)),
            vread: |own, t, k, v| block_on(own.below.vread(t, k, v)),
            commit: |own, t, w| block_on(own.below.commit(t, w)),
            search: |own, t, s| block_on(own.below.search(t, s)),
            changes: |own, t, c| block_on(own.below.changes(t, c)),
            prune: |own, t, k, keep| block_on(own.below.prune_history(t, k, keep)),
            history: |own, t, k, l, a| block_on(own.below.history(t, k, l, a)),
            kept: Mutex::default(),
            count: Mutex::default(),
            halting: false,
        }
    }

    /// Commits as `Memory` does.
    pub(crate) fn made(&self, tenant: &Tenant, writes: Vec<Write>) -> Made {
        block_on(self.below.commit(tenant, writes))
    }

    /// Counts a call, and returns the number of calls.
    pub(crate) fn times(&self) -> u64 {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        *count
    }
}

impl ResourceStore for Wrong {
    fn capabilities(&self) -> Capabilities {
        (self.capabilities)(self)
    }

    fn read<'a>(&'a self, t: &'a Tenant, k: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { (self.read)(self, t, k) })
    }

    fn vread<'a>(&'a self, t: &'a Tenant, k: &'a Key, v: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { (self.vread)(self, t, k, v) })
    }

    fn commit<'a>(&'a self, t: &'a Tenant, w: Vec<Write>) -> BoxFuture<'a, Made> {
        Box::pin(async move {
            if !self.halting {
                return (self.commit)(self, t, w);
            }
            let mut made = Vec::new();
            for (at, write) in w.into_iter().enumerate() {
                halt().await;
                made.extend(self.made(t, vec![write]).map_err(|refused| CommitError::at(at, refused.error))?);
            }
            Ok(made)
        })
    }

    fn search<'a>(&'a self, t: &'a Tenant, s: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { (self.search)(self, t, s) })
    }

    fn history<'a>(
        &'a self,
        t: &'a Tenant,
        k: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { (self.history)(self, t, k, limit, after) })
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { (self.changes)(self, tenant, changes) })
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { (self.prune)(self, tenant, key, keep) })
    }
}

/// Stays pending for one poll.
pub(crate) async fn halt() {
    let mut halted = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut halted, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Checks the precondition and writes in two steps, between which other writes may come.
pub(crate) fn check_then_write(own: &Wrong, tenant: &Tenant, writes: Vec<Write>) -> Made {
    for (at, write) in writes.iter().enumerate() {
        let newest = block_on(own.below.read(tenant, &write.key));
        let error = match (write.precondition, newest) {
            (Precondition::Absent, Ok(found)) => StoreError::already_exists(Some(found.version)),
            (Precondition::Version(wanted), Ok(found)) if found.version != wanted => {
                StoreError::conflict(Some(found.version))
            }
            (Precondition::Version(_), Err(_)) => StoreError::conflict(None),
            (Precondition::Exists, Err(missing)) => missing,
            _ => continue,
        };
        return Err(CommitError::at(at, error));
    }
    // About as long as a fast answer of an engine takes.
    std::thread::sleep(std::time::Duration::from_micros(100));
    let blind = |write| Write { precondition: Precondition::None, ..write };
    own.made(tenant, writes.into_iter().map(blind).collect())
}
