//! A retrying store.

use crate::store::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, Capabilities, Change,
    Changes, CommitError, Key, Ledger, LedgerKey, LedgerRecord, Page, PageToken, ResourceStore, Result, Revision,
    Search, StoreError, Tenant, UrlKind, Version, VersionId, Write,
};
use std::future::Future;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// A store that retries throttled and unavailable calls at once, up to a hundred times.
///
/// With it, the suites hold a store that fails before it acts to the whole contract. It does not wait between tries; an
/// application should.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{ResourceStore, StoreError};
/// use fhir_devices::testkit::{CallOutcome, Faulty, Retrying};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let busy = Faulty::on(Arc::new(Memory::new()), 1, CallOutcome::Throttled);
/// let read = Retrying::new(Arc::new(busy)).read(&"st-mary".parse()?, &"Device/pump".parse()?).await;
/// assert!(matches!(read, Err(StoreError::NotFound { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Retrying<S: ?Sized> {
    below: Arc<S>,
}

const TRIES: usize = 100;

async fn again<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> Result<T> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match call().await {
            Err(error) if error.is_transient() && tries > 0 => {}
            done => return done,
        }
    }
}

async fn written_again<T, F: Future<Output = Result<T, CommitError>>>(call: impl Fn() -> F) -> Result<T, CommitError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match call().await {
            Err(refused) if refused.error.is_transient() && tries > 0 => {}
            done => return done,
        }
    }
}

impl<S: ?Sized> Retrying<S> {
    /// Wraps a store.
    #[must_use]
    pub fn new(below: Arc<S>) -> Self {
        Self { below }
    }
}

impl<S: ResourceStore + ?Sized> ResourceStore for Retrying<S> {
    fn capabilities(&self) -> Capabilities {
        self.below.capabilities()
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(again(|| self.below.read(tenant, key)))
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(again(move || self.below.vread(tenant, key, version)))
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(written_again(move || self.below.commit(tenant, writes.clone())))
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(again(|| self.below.search(tenant, search)))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(again(move || self.below.history(tenant, key, limit, after)))
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(again(move || self.below.changes(tenant, changes)))
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(again(move || self.below.prune_history(tenant, key, keep)))
    }
}

impl<S: Ledger + ?Sized> Ledger for Retrying<S> {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(again(|| self.below.get(tenant, key)))
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(written_again(move || self.below.apply(tenant, changes.clone())))
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(again(move || self.below.scan(tenant, prefix, limit, after)))
    }
}

/// Bytes given to a writer cannot be sent again, so the faults of a writer reach the caller.
impl<S: BlobStore + ?Sized> BlobStore for Retrying<S> {
    fn capabilities(&self) -> BlobCapabilities {
        self.below.capabilities()
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(again(|| self.below.begin(tenant)))
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(again(move || self.below.get(tenant, key, range.clone())))
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(again(|| self.below.head(tenant, key)))
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut tries = TRIES;
            loop {
                tries -= 1;
                // A deletion is idempotent: one of unknown outcome is repeated.
                match again(|| self.below.delete(tenant, key)).await {
                    Err(StoreError::Indeterminate { .. }) if tries > 0 => {}
                    done => return done,
                }
            }
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(again(move || self.below.list(tenant, limit, after)))
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(again(move || self.below.url(tenant, key, kind)))
    }
}
