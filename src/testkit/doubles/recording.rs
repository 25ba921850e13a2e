//! A recording store.

use crate::store::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, Capabilities, Change,
    Changes, CommitError, Generation, Key, Ledger, LedgerKey, LedgerRecord, Page, PageToken, PutOutcome, ResourceStore,
    Result, Revision, Search, Tenant, UrlKind, Version, VersionId, Write,
};
use bytes::Bytes;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// One recorded call of a store, with its arguments.
///
/// ```
/// use fhir_devices::testkit::Call;
/// let call = Call::Read("st-mary".parse()?, "Device/pump".parse()?);
/// assert_ne!(call, Call::Abort);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// [`ResourceStore::read`].
    Read(Tenant, Key),
    /// [`ResourceStore::vread`].
    Vread(Tenant, Key, VersionId),
    /// [`ResourceStore::commit`].
    Commit(Tenant, Vec<Write>),
    /// [`ResourceStore::search`].
    Search(Tenant, Search),
    /// [`ResourceStore::history`].
    History(Tenant, Key, NonZeroU32, Option<PageToken>),
    /// [`ResourceStore::changes`].
    Changes(Tenant, Changes),
    /// [`ResourceStore::prune_history`].
    PruneHistory(Tenant, Key, NonZeroU32),
    /// [`BlobStore::begin`].
    Begin(Tenant),
    /// [`BlobWriter::write`].
    Write(Bytes),
    /// [`BlobWriter::commit`].
    CommitBlob(BlobRef, Generation),
    /// [`BlobWriter::abort`].
    Abort,
    /// [`BlobStore::get`].
    GetBlob(Tenant, BlobKey, Option<Range<u64>>),
    /// [`BlobStore::head`].
    Head(Tenant, BlobKey),
    /// [`BlobStore::delete`].
    DeleteBlob(Tenant, BlobKey),
    /// [`BlobStore::list`].
    List(Tenant, NonZeroU32, Option<PageToken>),
    /// [`BlobStore::url`].
    Url(Tenant, BlobKey, UrlKind),
    /// [`Ledger::get`].
    Get(Tenant, LedgerKey),
    /// [`Ledger::apply`].
    Apply(Tenant, Vec<Change>),
    /// [`Ledger::scan`].
    Scan(Tenant, LedgerKey, NonZeroU32, Option<PageToken>),
}

#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn push(&self, call: Call) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

/// A store that records every call in order, and forwards it.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::TenantResources;
/// use fhir_devices::testkit::{Call, Recording};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let recording = Arc::new(Recording::new(Arc::new(Memory::new())));
/// let store = TenantResources::new(recording.clone(), "st-mary".parse()?);
/// store.read(&"Device/pump".parse()?).await.unwrap_err();
/// assert_eq!(recording.calls(), [Call::Read("st-mary".parse()?, "Device/pump".parse()?)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recording<S: ?Sized> {
    calls: Calls,
    below: Arc<S>,
}

impl<S: ?Sized> Recording<S> {
    /// Creates a recording store with no calls recorded.
    #[must_use]
    pub fn new(below: Arc<S>) -> Self {
        Self { calls: Calls::default(), below }
    }

    /// Returns the calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the calls so far, and clears the record.
    #[must_use]
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: ResourceStore + ?Sized> ResourceStore for Recording<S> {
    fn capabilities(&self) -> Capabilities {
        self.below.capabilities()
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        self.calls.push(Call::Read(tenant.clone(), key.clone()));
        self.below.read(tenant, key)
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        self.calls.push(Call::Vread(tenant.clone(), key.clone(), version));
        self.below.vread(tenant, key, version)
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        self.calls.push(Call::Commit(tenant.clone(), writes.clone()));
        self.below.commit(tenant, writes)
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        self.calls.push(Call::Search(tenant.clone(), search.clone()));
        self.below.search(tenant, search)
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        self.calls.push(Call::History(tenant.clone(), key.clone(), limit, after.cloned()));
        self.below.history(tenant, key, limit, after)
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        self.calls.push(Call::Changes(tenant.clone(), changes.clone()));
        self.below.changes(tenant, changes)
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        self.calls.push(Call::PruneHistory(tenant.clone(), key.clone(), keep));
        self.below.prune_history(tenant, key, keep)
    }
}

impl<S: Ledger + ?Sized> Ledger for Recording<S> {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        self.calls.push(Call::Get(tenant.clone(), key.clone()));
        self.below.get(tenant, key)
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        self.calls.push(Call::Apply(tenant.clone(), changes.clone()));
        self.below.apply(tenant, changes)
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        self.calls.push(Call::Scan(tenant.clone(), prefix.clone(), limit, after.cloned()));
        self.below.scan(tenant, prefix, limit, after)
    }
}

impl<S: BlobStore + ?Sized> BlobStore for Recording<S> {
    fn capabilities(&self) -> BlobCapabilities {
        self.below.capabilities()
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        self.calls.push(Call::Begin(tenant.clone()));
        Box::pin(async move {
            let below = self.below.begin(tenant).await?;
            Ok(Box::new(Writer { calls: self.calls.clone(), below }) as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        self.calls.push(Call::GetBlob(tenant.clone(), *key, range.clone()));
        self.below.get(tenant, key, range)
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        self.calls.push(Call::Head(tenant.clone(), *key));
        self.below.head(tenant, key)
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        self.calls.push(Call::DeleteBlob(tenant.clone(), *key));
        self.below.delete(tenant, key)
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        self.calls.push(Call::List(tenant.clone(), limit, after.cloned()));
        self.below.list(tenant, limit, after)
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        self.calls.push(Call::Url(tenant.clone(), *key, kind));
        self.below.url(tenant, key, kind)
    }
}

struct Writer {
    calls: Calls,
    below: Box<dyn BlobWriter>,
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        self.calls.push(Call::Write(chunk.clone()));
        self.below.write(chunk)
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        self.calls.push(Call::CommitBlob(blob, generation));
        self.below.commit(blob, generation)
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.calls.push(Call::Abort);
        self.below.abort()
    }
}
