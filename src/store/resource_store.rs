//! The contract of a store of resources.

use super::{
    Capabilities, Changes, CommitError, Key, Page, PageToken, Result, Search, StoreError, Tenant, Version, VersionId,
    Write,
};
use crate::search::{Parameter, ResourceType};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

/// A future on the heap, so that the traits may be used as `dyn`.
///
/// ```
/// use fhir_devices::store::BoxFuture;
/// let ready: BoxFuture<'_, u8> = Box::pin(async { 7 });
/// # drop(ready);
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps the resources of many tenants, every version of them.
///
/// An application holds it in a [`TenantResources`](super::TenantResources). The store in memory is the reference reading of the
/// contract.
///
/// # Contract
///
/// - **R1 Atomicity.** The writes of a commit are applied all or none, and a reader sees all or none of them. A commit
///   that goes beyond [`Capabilities::atomic`] or [`Capabilities::max_writes`] is refused with `Unsupported`, one that
///   names a key twice with `Invalid`, before anything is written. An empty commit succeeds. The versions come back in
///   the order of the writes.
/// - **R2 Preconditions.** Every [`Precondition`](super::Precondition) is checked in the same step as the write, against
///   the state before the commit. `Absent` fails with `AlreadyExists`; `Version` fails with `Conflict`, also where the
///   resource never existed or is deleted; `Exists` fails with `NotFound` or `Gone`. The error names the first
///   write that fails. Of several writers that hold the same version, exactly one wins; of several creators too, but
///   without [`Capabilities::conditional_create`], and for deletions see [`Capabilities::conditional_delete`].
/// - **R3 Version numbers.** The versions of a resource are 1, 2, 3 and so on without gaps. A deletion takes a number; a
///   creation after it goes on counting. No number is given twice. A write of what is there already makes a version like
///   every other.
/// - **R4 Reading.** What a commit has acknowledged, every later `read`, `vread` and `history` sees, whoever calls, and so
///   does every `search` where [`Capabilities::search_read_your_writes`] says so. The body is byte for byte what was
///   written; the time and the write id are the same in every answer.
/// - **R5 History.** `vread` and `history` give every version, deletions included as versions without a body, history
///   newest first. A store may forget the oldest versions, which are then `NotFound`. Without
///   [`Capabilities::history`] both answer `Unsupported`.
/// - **R6 Deletion.** A deletion needs a living resource: else `NotFound` or `Gone`, and no version is made. With `Absent`
///   it is `Invalid`. A deleted resource reads as `Gone`, and no search finds it.
/// - **R7 Search.** Finds the living resources of the tenant and the type that meet every criterion, as
///   [`Criterion::matches`](crate::search::Criterion::matches) says, each once, in ascending byte order of their ids, by the index
///   entries of their newest version ([`Capabilities::given_entries`]). Entries and criteria are compared byte for byte: the crate has brought both into
///   the form of [`Parameter::fold`](crate::search::Parameter::fold). A search [without bodies](super::Search::bodies) finds the same;
///   each body is then empty, or as it is.
/// - **R8 Paging.** A page holds at most `limit` items and may hold fewer, even none, while `next` is there. Following
///   `next` to its end shows each resource that was there all the time, and met the criteria all the time, exactly
///   once, whatever else is written meanwhile. A token is at most 1 KiB, URL-safe, and bound to tenant and query: a
///   damaged one, or one that was given for another tenant or query, is `Invalid`.
/// - **R9 Tenants.** No call sees, changes, or reveals the existence of anything of another tenant, history and tokens
///   included: a foreign resource is `NotFound`. Two tenants may use the same key; their versions are counted apart.
/// - **R10 Errors.** [`StoreError::applied`](super::StoreError::applied) tells the truth: an error that says `No` means
///   that nothing was written, nor will be. When the store cannot know, it answers `Indeterminate`.
/// - **R11 Write ids.** A write id is kept with the version that it made, and given back by every read of it; that of a
///   deletion is lost without [`Capabilities::deletion_write_ids`]. The store does not look for it: the caller who repeats a
///   write recognises the first try by it.
/// - **R12 Sizes.** A body of [`Capabilities::max_body`] bytes is taken; a larger one is `TooLarge`, before anything is
///   written.
/// - **R13 Time.** `last_updated` is the store's time of the commit. From one version of a resource to the next it does not
///   fall, unless the one before is ahead of the clock by more than [`MAX_CLOCK_SKEW`](super::MAX_CLOCK_SKEW): that was made
///   while the clock was wrong, and the true time counts again ([`commit_time`](super::commit_time)), lest searches for what
///   changed lately miss every later version. Versions are in the order of their numbers, whatever their times. The
///   versions of one commit may carry one time. Without [`Capabilities::ordered_times`] it may fall between versions that are
///   made at the same moment.
/// - **R14 Cancellation.** Dropping the future of a commit at any point leaves the old state or the new one, and a store that
///   goes on working.
/// - **R15 Pruning.** `prune_history` forgets the oldest versions of a resource, so that at most `keep` are left, the newest,
///   and tells how many it forgot; every way of reading is then as where the store had forgotten them by itself (R5). The
///   newest version stays, also where it is a deletion, numbers go on (R3), and nothing else changes. What never was is
///   `NotFound`. Without [`Capabilities::history_pruning`] it answers `Unsupported`.
///
/// - **R16 Changes.** `changes` gives every version that `history` gives, of all resources of a tenant or of one type,
///   deletions included, by time from the newest on, or from the oldest on where that is asked for; those of one time in an
///   order that stays, which for one resource is that of its versions. A version that was made before the first page was read,
///   and is not forgotten meanwhile, is on exactly one page. Without
///   [`Capabilities::changes`] it answers `Unsupported`, as does a store that does not implement it.
/// - **R17 Order by time.** With [`Capabilities::search_by_time`], a search in the [order](super::SearchOrder) of times finds
///   what R7 says, by the time of the newest version and then by the id, in pages as R8 says. A resource that is written
///   while the pages are read has another time then: it may be found twice, or not at all. Without the capability such a
///   search is `Unsupported`.
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
    /// `NotFound` when there never was one, `Gone` when it was deleted; errors of the engine.
    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>>;

    /// One version, a deletion included.
    ///
    /// # Errors
    /// `NotFound` when there is none or it is no longer kept; `Unsupported` without history; errors of the engine.
    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>>;

    /// Writes all or nothing (R1), and gives the versions made.
    ///
    /// # Errors
    /// The conditions of R1, R2, R6 and R12, with the write that decided; errors of the engine.
    fn commit<'a>(&'a self, tenant: &'a Tenant, writes: Vec<Write>)
    -> BoxFuture<'a, Result<Vec<Version>, CommitError>>;

    /// One page of what meets the criteria (R7, R8).
    ///
    /// # Errors
    /// `Invalid` for a foreign or damaged token; `Unsupported` for a criterion that the store does not know; the engine's
    /// troubles.
    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>>;

    /// The same page, with living resources of the tenant to which those of the page refer by these parameters, to resources of
    /// these types: all, some or none of them, as far as that takes no further round trip. What is missing the caller looks for.
    /// Stores with the [capability](Capabilities::search_with_targets) do so, for searches in the order of ids.
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

    /// One page of the versions of a resource, newest first (R5, R8).
    ///
    /// # Errors
    /// `NotFound` when there never was one; `Invalid` for a foreign or damaged token; `Unsupported` without history; the
    /// engine's troubles.
    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>>;

    /// One page of the versions of all resources of a tenant, by time (R16).
    ///
    /// # Errors
    /// `Invalid` for a foreign or damaged token; `Unsupported` without the capability; the engine's troubles.
    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        let _ = (tenant, changes);
        Box::pin(async { Err(StoreError::unsupported("the versions of all resources by time")) })
    }

    /// Forgets the oldest versions of a resource, so that at most `keep` are left (R15); gives how many were forgotten.
    ///
    /// # Errors
    /// `NotFound` when there never was one; `Unsupported` without the capability; errors of the engine, upon which some may
    /// have been forgotten.
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
