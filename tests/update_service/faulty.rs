//! Stores one of which does not answer, or is unavailable.

use fhir_devices::backend::Memory;
use fhir_devices::server::Stores;
use fhir_devices::store::*;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use url::Url;

/// Three stores in one memory.
#[derive(Clone, Default)]
pub(crate) struct Broken {
    memory: Arc<Memory>,
    resources: Arc<AtomicBool>,
    ledger: Arc<AtomicBool>,
    blobs: Arc<AtomicBool>,
    /// Whether the ledger gives no answer.
    pub(crate) hangs: Arc<AtomicBool>,
}

impl Broken {
    pub(crate) fn in_memory() -> Self {
        Self::default()
    }

    pub(crate) fn stores(&self) -> Stores {
        let broken = Arc::new(self.clone());
        Stores { resources: broken.clone(), blobs: broken.clone(), ledger: broken }
    }

    /// Returns the switch that makes a store fail.
    pub(crate) fn fails(&self, name: &str) -> &AtomicBool {
        match name {
            "resources" => &self.resources,
            "ledger" => &self.ledger,
            _ => &self.blobs,
        }
    }
}

fn check<'a, T: 'a>(fails: &AtomicBool, or: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
    if fails.load(Ordering::SeqCst) {
        let source = Some("host=db password=secret".into());
        return Box::pin(async { Err(StoreError::unavailable(None, source)) });
    }
    or
}

impl ResourceStore for Broken {
    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&*self.memory)
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        check(&self.resources, self.memory.read(tenant, key))
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        check(&self.resources, self.memory.vread(tenant, key, version))
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        self.memory.commit(tenant, writes)
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        check(&self.resources, self.memory.search(tenant, search))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        check(&self.resources, self.memory.history(tenant, key, limit, after))
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        self.memory.prune_history(tenant, key, keep)
    }
}

impl Ledger for Broken {
    fn max_changes(&self) -> usize {
        self.memory.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        if self.hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        check(&self.ledger, Ledger::get(&*self.memory, tenant, key))
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        self.memory.apply(tenant, changes)
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        check(&self.ledger, self.memory.scan(tenant, prefix, limit, after))
    }
}

impl BlobStore for Broken {
    fn capabilities(&self) -> BlobCapabilities {
        BlobStore::capabilities(&*self.memory)
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        self.memory.begin(tenant)
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        check(&self.blobs, BlobStore::get(&*self.memory, tenant, key, range))
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        check(&self.blobs, self.memory.head(tenant, key))
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        self.memory.delete(tenant, key)
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        self.memory.list(tenant, limit, after)
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        self.memory.url(tenant, key, kind)
    }
}
