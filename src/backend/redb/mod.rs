//! Resources and ledger records in one file: the durable store of a single process.

mod changes;
mod file;
mod format;
mod header;
mod ledger;
mod options;
mod search;
mod snapshot;
mod tables;
mod writer;

use super::checks::{TimePlace, check_writes, to_usize};
use super::oneshot::oneshot;
use crate::store::{
    AtomicScope, BoxError, BoxFuture, Capabilities, Changes, Clock, CommitError, Key, Page, PageKey, PageQuery,
    PageToken, ResourceStore, Result, Search, SearchOrder, StoreError, Tenant, Version, VersionId, Write,
    version_place,
};
use ::redb::Database;
use changes::ChangePlace;
use file::{OpenDatabase, Reopen};
use options::Limits;
pub use options::Options;
use search::{Finder, Place, page_by_time};
use snapshot::Snapshot;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tables::{Row, current_key, older_key};
use writer::{Prune, Task, Writes};

/// Size of the bodies after which a page of a history ends, in bytes.
const PAGE_BYTES: usize = 8 << 20;
/// Maximum number of waiting commits; one more is [`StoreError::Throttled`].
const WAITING: usize = 4_096;

/// Keeps resources and ledger records in a file of a [redb](https://www.redb.org) database, durably.
///
/// A commit may contain any resources of a tenant. An acknowledged commit is on the disk, and survives a crash of the
/// process and a loss of power as far as the disk keeps its own promises. A thread of the store does all writing:
/// commits that arrive while the disk is busy are written together, each applied or refused on its own, so that many
/// concurrent callers share one sync of the disk. No runtime is needed.
///
/// Reads and searches run where they are polled, on a snapshot of the file: they take no lock that a commit holds, and
/// block their executor only for file reads that miss the cache. One page looks at about 8,000 entries and gathers at
/// most 8 MiB; a search for a system without a value, or for a prefix of more than some thousand values, scans the
/// resources of the type and may return pages without items.
///
/// The file belongs to one process at a time. After a crash it is repaired when it is opened, which takes longer the
/// larger it is. After a disk error, the next call reopens it; calls that fail meanwhile return `Unavailable`, or
/// `Indeterminate` if they may have been written. On drop it finishes the commits handed over to it.
///
/// ```
/// use fhir_devices::backend::Redb;
/// use fhir_devices::store::TenantResources;
/// use fhir_devices::{Device, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("fhir-devices-doc-{}.redb", std::process::id()));
/// let store = TenantResources::new(Arc::new(Redb::open(&path)?), "st-mary".parse()?);
/// let pump = Valid::new(Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?)?;
/// store.create(&pump).await?;
/// drop(store);
///
/// let again = TenantResources::new(Arc::new(Redb::open(&path)?), "st-mary".parse()?);
/// assert_eq!(again.get::<Device>("pump").await?.0.id, pump.id);
/// # drop(again);
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
pub struct Redb {
    db: Arc<OpenDatabase>,
    tasks: Option<SyncSender<Task>>,
    writer: Option<JoinHandle<()>>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    pages: PageKey,
    /// Whether every resource is found by this library's own search parameters.
    own_parameters: bool,
}

impl Redb {
    /// Opens or creates a file with the options of [`Options::new`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    fn start(db: Database, options: Options, reopen: Option<Box<Reopen>>) -> Result<Self> {
        let format::Prepared { pages, own_parameters } = format::prepare(&db)?;
        let pages = PageKey::from_bytes(pages);
        let db = Arc::new(OpenDatabase::new(db, reopen, options.on_loss));
        let (tasks, waiting) = sync_channel(WAITING);
        let (of_writer, max_versions) = (Arc::clone(&db), options.limits.max_versions);
        let write = move || writer::run(&of_writer, max_versions, &waiting);
        let writer = std::thread::Builder::new().name("redb-writer".into()).spawn(write);
        let writer = Some(writer.map_err(unavailable)?);
        Ok(Self { db, tasks: Some(tasks), writer, limits: options.limits, clock: options.clock, pages, own_parameters })
    }

    /// Hands a commit over to the writer thread.
    fn submit(&self, task: Task) -> Result<()> {
        let gone = || StoreError::unavailable(None, Some("the writer has ended".into()));
        self.tasks.as_ref().ok_or_else(gone)?.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::throttled(Some(Duration::from_millis(50))),
            TrySendError::Disconnected(_) => gone(),
        })
    }

    async fn commit_writes(&self, tenant: &Tenant, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        check_writes(&writes, self.limits.max_writes, self.limits.max_body)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, awaited) = oneshot();
        let now = self.clock.now();
        self.submit(Task::Writes(Writes { tenant: tenant.clone(), writes, now, answer }))?;
        awaited.await.unwrap_or_else(|| Err(StoreError::indeterminate(None).into()))
    }

    async fn prune(&self, tenant: &Tenant, key: &Key, keep: NonZeroU32) -> Result<u64> {
        let (answer, awaited) = oneshot();
        self.submit(Task::Prune(Prune { tenant: tenant.clone(), key: key.clone(), keep, answer }))?;
        awaited.await.unwrap_or(Err(StoreError::indeterminate(None)))
    }

    /// Reads from a snapshot of the file.
    fn reading<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T>) -> Result<T> {
        self.db.with(|db| read(&*db.snapshot()?))
    }

    fn read_now(&self, snapshot: &Snapshot, tenant: &Tenant, key: &Key) -> Result<Version> {
        let current = snapshot.current()?;
        let row = current.get(current_key(tenant, key).as_slice()).map_err(failed)?.ok_or(StoreError::not_found())?;
        let row = Row::decode(row.value())?;
        match row.body {
            Some(_) => Ok(row.to_version(key)),
            None => Err(StoreError::gone(row.version)),
        }
    }

    fn vread_now(&self, snapshot: &Snapshot, tenant: &Tenant, key: &Key, version: VersionId) -> Result<Version> {
        let at = current_key(tenant, key);
        let current = snapshot.current()?;
        let row = current.get(at.as_slice()).map_err(failed)?.ok_or(StoreError::not_found())?;
        let row = Row::decode(row.value())?;
        if row.version == version {
            return Ok(row.to_version(key));
        }
        let older = snapshot.older()?;
        let row = older.get(older_key(&at, version.get()).as_slice()).map_err(failed)?.ok_or(StoreError::not_found())?;
        Ok(Row::decode(row.value())?.to_version(key))
    }

    fn search_now(&self, snapshot: &Snapshot, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
        let query = PageQuery::Search(search);
        if search.order != SearchOrder::Id {
            let place = self.pages.place(tenant, query, search.after.as_ref(), |bytes| TimePlace::decode(&bytes))?;
            let (items, next) = page_by_time(snapshot, tenant, search, place)?;
            let next = next.map(|place| self.pages.seal(tenant, query, &place.encode())).transpose()?;
            return Ok(Page { items, next });
        }
        let place = self.pages.place(tenant, query, search.after.as_ref(), |bytes| Place::decode(&bytes))?;
        let (items, next) = Finder::new(snapshot, tenant, search)?.page(to_usize(search.limit), place.as_ref())?;
        let next = next.map(|place| self.pages.seal(tenant, query, &place.encode())).transpose()?;
        Ok(Page { items, next })
    }

    fn changes_now(&self, snapshot: &Snapshot, tenant: &Tenant, changes: &Changes) -> Result<Page<Version>> {
        let query = PageQuery::Changes(changes);
        let place = self.pages.place(tenant, query, changes.after.as_ref(), |bytes| ChangePlace::decode(&bytes))?;
        let (items, next) = changes::page(snapshot, tenant, changes, place.as_ref())?;
        let next = next.map(|place| self.pages.seal(tenant, query, &place.encode())).transpose()?;
        Ok(Page { items, next })
    }

    fn history_now(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        key: &Key,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        let query = PageQuery::History(key);
        let before = self.pages.place(tenant, query, after, version_place)?;
        let at = current_key(tenant, key);
        let current = snapshot.current()?;
        let row = current.get(at.as_slice()).map_err(failed)?.ok_or(StoreError::not_found())?;
        let newest = Row::decode(row.value())?;
        let older = snapshot.older()?;
        let before = before.unwrap_or(u64::MAX);
        let (first, end) = (older_key(&at, 0), older_key(&at, before));
        let range = (Bound::Included(first.as_slice()), Bound::Excluded(end.as_slice()));
        let rows = older.range::<&[u8]>(range).map_err(failed)?.rev();
        let mut page = Page { items: Vec::<Version>::new(), next: None };
        let mut bytes = 0_usize;
        let newest = (newest.version.get() < before).then(|| newest.to_version(key)).map(Ok);
        let older =
            rows.map(|row| -> Result<Version> { Ok(Row::decode(row.map_err(failed)?.1.value())?.to_version(key)) });
        for version in newest.into_iter().chain(older) {
            let version = version?;
            if let Some(last) = page.items.last().filter(|_| page.items.len() >= to_usize(limit) || bytes >= PAGE_BYTES)
            {
                page.next = Some(self.pages.seal(tenant, query, &last.version.get().to_be_bytes())?);
                break;
            }
            bytes = bytes.saturating_add(version.body.as_ref().map_or(0, |body| body.len()));
            page.items.push(version);
        }
        Ok(page)
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(writer) = self.writer.take() {
            // After this call returns, the file can be opened again.
            drop(writer.join());
        }
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl ResourceStore for Redb {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(AtomicScope::Tenant, self.limits.max_writes, self.limits.max_body);
        capabilities.durable_ack = true;
        capabilities.history_pruning = true;
        capabilities.search_by_time = true;
        capabilities.changes = true;
        capabilities.own_parameters = self.own_parameters;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.reading(|read| self.read_now(read, tenant, key)) })
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.reading(|read| self.vread_now(read, tenant, key, version)) })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(self.commit_writes(tenant, writes))
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.reading(|read| self.search_now(read, tenant, search)) })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.reading(|read| self.history_now(read, tenant, key, limit, after)) })
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.reading(|read| self.changes_now(read, tenant, changes)) })
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.prune(tenant, key, keep))
    }
}

/// Returns the error of an engine call that wrote nothing.
fn failed(error: impl Into<::redb::Error>) -> StoreError {
    match error.into() {
        ::redb::Error::Corrupted(what) => StoreError::corrupt(what),
        error => StoreError::unavailable(None, Some(error.into())),
    }
}

fn unavailable(source: impl Into<BoxError>) -> StoreError {
    StoreError::unavailable(None, Some(source.into()))
}
