//! Contract of a store of resources.

use super::{
    Capabilities, Changes, CommitError, Key, Page, PageToken, Result, Search, StoreError, Tenant, Version, VersionId,
    Write,
};
use crate::search::{Parameter, ResourceType};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

/// Boxed future, so that the traits can be used as `dyn`.
///
/// ```
/// use fhir_devices::store::BoxFuture;
/// let ready: BoxFuture<'_, u8> = Box::pin(async { 7 });
/// # drop(ready);
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Stores the resources of many tenants, in every version.
///
/// Applications hold the store in a [`TenantResources`](super::TenantResources). The in-memory store is the reference
/// implementation of the contract.
///
/// # Contract
///
/// - **R1 Atomicity.** The writes of a commit are applied all or none, and a reader sees all or none of them. Before
///   anything is written, a commit beyond [`Capabilities::atomic`] or [`Capabilities::max_writes`] is refused with
///   `Unsupported`, and one that names a key twice with `Invalid`. An empty commit succeeds. The versions are returned
///   in the order of the writes.
/// - **R2 Preconditions.** Every [`Precondition`](super::Precondition) is checked in the same step as the write,
///   against the state before the commit. `Absent` fails with `AlreadyExists`; `Version` fails with `Conflict`, also
///   where the resource never existed or is deleted; `Exists` fails with `NotFound` or `Gone`. The error names the
///   first write that fails. Of several writers that hold the same version, exactly one succeeds; so does one of
///   several creators, except without [`Capabilities::conditional_create`]; for deletions see
///   [`Capabilities::conditional_delete`].
/// - **R3 Version numbers.** The versions of a resource are 1, 2, 3 and so on without gaps. A deletion takes a number,
///   and a creation after it continues the count. No number is used twice. A write of an unchanged body makes a version
///   like any other.
/// - **R4 Reading.** Every `read`, `vread` and `history` after the acknowledgement of a commit sees it, for every
///   caller, and so does every `search` where [`Capabilities::search_read_your_writes`] is set. The body is byte for
///   byte the one written; time and write id are the same in every answer.
/// - **R5 History.** `vread` and `history` return every version, history newest first; a deletion is a version without
///   a body. A store may remove the oldest versions, which are then `NotFound`. Without [`Capabilities::history`] both
///   answer `Unsupported`.
/// - **R6 Deletion.** Deleting a resource that does not exist or is deleted fails with `NotFound` or `Gone`, and makes
///   no version. A deletion with `Absent` is `Invalid`. A deleted resource reads as `Gone`, and no search finds it.
/// - **R7 Search.** A search finds the existing resources of the tenant and the type that meet every criterion, as
///   [`Criterion::matches`](crate::search::Criterion::matches) says, each once, in ascending byte order of their ids,
///   by the index entries of their newest version ([`Capabilities::given_entries`]). Entries and criteria are compared
///   byte for byte: the crate has normalised both by [`Parameter::fold`](crate::search::Parameter::fold). A search
///   [without bodies](super::Search::bodies) finds the same resources; each body is then empty or as stored.
/// - **R8 Paging.** A page holds at most `limit` items and may hold fewer, even none, while `next` is `Some`. Following
///   `next` to the end returns every resource that existed and met the criteria throughout exactly once, whatever is
///   written meanwhile. A token has at most 1 KiB, is URL-safe, and is bound to tenant and query: a damaged one, or one
///   for another tenant or query, is `Invalid`.
/// - **R9 Tenants.** No call sees, changes, or reveals the existence of anything of another tenant, history and tokens
///   included: a foreign resource is `NotFound`. Two tenants may use the same key; their versions are counted
///   separately.
/// - **R10 Errors.** [`StoreError::applied`](super::StoreError::applied) is true to what happened: `No` means that
///   nothing was written, nor will be. A store that cannot know answers `Indeterminate`.
/// - **R11 Write ids.** A write id is kept with the version that it made, and returned by every read of that version;
///   that of a deletion is lost without [`Capabilities::deletion_write_ids`]. The store does not deduplicate by write
///   id: a caller that repeats a write recognises the first try by it.
/// - **R12 Sizes.** A body of [`Capabilities::max_body`] bytes is accepted; a larger one is `TooLarge`, before anything
///   is written.
/// - **R13 Time.** `last_updated` is the store's time of the commit. It never decreases from one version of a resource
///   to the next, unless the previous one is ahead of the clock by more than [`MAX_CLOCK_SKEW`](super::MAX_CLOCK_SKEW):
///   the clock was then wrong when that version was made, and the current time is used
///   ([`commit_time`](super::commit_time)), so that searches for recent changes do not miss every later version.
///   Versions are ordered by their numbers, whatever their times. The versions of one commit may share one time.
///   Without [`Capabilities::ordered_times`] the time may decrease between versions made at the same moment.
/// - **R14 Cancellation.** Dropping the future of a commit at any point leaves the old state or the new one, and a
///   working store.
/// - **R15 Pruning.** `prune_history` removes the oldest versions of a resource, so that at most the newest `keep`
///   remain, and returns how many it removed; every read then answers as if the store had removed them by itself (R5).
///   The newest version stays, even a deletion, numbers continue (R3), and nothing else changes. A resource that never
///   existed is `NotFound`. Without [`Capabilities::history_pruning`] the call is `Unsupported`.
///
/// - **R16 Changes.** `changes` returns every version that `history` returns, of all resources of a tenant or of one
///   type, deletions included, by time, newest first, or oldest first on request. Versions of the same time have a
///   stable order, which for one resource is that of its versions. A version that was made before the first page was
///   read, and is not removed meanwhile, is on exactly one page. Without [`Capabilities::changes`], or where a store
///   does not implement it, the call is `Unsupported`.
/// - **R17 Order by time.** With [`Capabilities::search_by_time`], a search [ordered](super::SearchOrder) by time finds
///   what R7 says, by the time of the newest version and then by the id, in pages as R8 says. A resource that is
///   written while the pages are read gets another time: it may be found twice, or not at all. Without the capability
///   such a search is `Unsupported`.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::ResourceStore;
/// use std::sync::Arc;
/// let store: Arc<dyn ResourceStore> = Arc::new(Memory::new());
/// assert!(store.capabilities().history);
/// ```
pub trait ResourceStore: Send + Sync + 'static {
    /// Returns the capabilities of this store.
    fn capabilities(&self) -> Capabilities;

    /// Returns the newest version.
    ///
    /// # Errors
    /// `NotFound` when the resource never existed, `Gone` when it was deleted; errors of the engine.
    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>>;

    /// Returns one version, which may be a deletion.
    ///
    /// # Errors
    /// `NotFound` when the version does not exist or is no longer kept; `Unsupported` without history; errors of the
    /// engine.
    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>>;

    /// Applies writes, all or none (R1), and returns the versions made.
    ///
    /// # Errors
    /// The conditions of R1, R2, R6 and R12, with the index of the failed write; errors of the engine.
    fn commit<'a>(&'a self, tenant: &'a Tenant, writes: Vec<Write>)
    -> BoxFuture<'a, Result<Vec<Version>, CommitError>>;

    /// Returns one page of the resources that meet the criteria (R7, R8).
    ///
    /// # Errors
    /// `Invalid` for a foreign or damaged token; `Unsupported` for a criterion that the store does not know; errors of
    /// the engine.
    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>>;

    /// Returns the page of [`search`](Self::search), with existing resources of the tenant that the results reference
    /// by these parameters, of these types: all, some or none of them, as far as no further round trip is needed. The
    /// caller looks up the missing ones. Stores with the [capability](Capabilities::search_with_targets) do so, for
    /// searches in the order of ids.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn search_with_targets<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
        follow: &'a [(Parameter, ResourceType)],
    ) -> BoxFuture<'a, Result<(Page<Version>, Vec<Version>)>> {
        let _ = follow;
        Box::pin(async move { Ok((self.search(tenant, search).await?, Vec::new())) })
    }

    /// Returns one page of the versions of a resource, newest first (R5, R8).
    ///
    /// # Errors
    /// `NotFound` when the resource never existed; `Invalid` for a foreign or damaged token; `Unsupported` without
    /// history; errors of the engine.
    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>>;

    /// Returns one page of the versions of all resources of a tenant, by time (R16).
    ///
    /// # Errors
    /// `Invalid` for a foreign or damaged token; `Unsupported` without the capability; errors of the engine.
    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        let _ = (tenant, changes);
        Box::pin(async { Err(StoreError::unsupported("the versions of all resources by time")) })
    }

    /// Removes the oldest versions of a resource, so that at most `keep` remain (R15); returns how many were removed.
    ///
    /// # Errors
    /// `NotFound` when the resource never existed; `Unsupported` without the capability; errors of the engine, after
    /// which some versions may have been removed.
    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>>;
}

impl<S: ResourceStore + ?Sized> ResourceStore for Arc<S> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        (**self).read(tenant, key)
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        (**self).vread(tenant, key, version)
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        (**self).commit(tenant, writes)
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        (**self).search(tenant, search)
    }

    fn search_with_targets<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
        follow: &'a [(Parameter, ResourceType)],
    ) -> BoxFuture<'a, Result<(Page<Version>, Vec<Version>)>> {
        (**self).search_with_targets(tenant, search, follow)
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        (**self).history(tenant, key, limit, after)
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        (**self).changes(tenant, changes)
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        (**self).prune_history(tenant, key, keep)
    }
}
