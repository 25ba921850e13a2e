//! The clauses of [`ResourceStore`], R1 to R17.

mod reading;
mod searching;
mod tenants;
mod times;
mod writing;

use super::{
    BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, damaged, ensure, fresh, macros,
    may_have_arrived, polled, wanted,
};
use crate::search::{IndexEntries, Parameter, ResourceType, Token};
use crate::store::{
    AtomicScope, Capabilities, Changes, CommitError, Key, Page, PageToken, ResourceStore, Result, Search, StoreError,
    Tenant, Version, VersionId, Write,
};
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[doc(hidden)]
#[macro_export]
macro_rules! __resource_clauses {
    ($then:path { $($arguments:tt)* }) => {
        $then! { { $($arguments)* }
            /// A commit refused at its second write applies none of the first, and names the second.
            r1_refused_commit_writes_nothing
            /// The versions of a commit are returned in the order of its writes, and are the versions that are read.
            r1_commit_returns_versions_in_order
            /// An empty commit succeeds.
            r1_empty_commit_succeeds
            /// A reader never sees a part of a commit.
            r1_commit_is_visible_as_a_whole
            /// A commit that names a key twice is refused, and writes nothing.
            r1_commit_with_a_duplicate_key_is_refused
            /// A commit with more writes than the capabilities allow is refused, and writes nothing.
            r1_commit_of_too_many_writes_is_refused
            /// A commit beyond the atomic scope is refused, and writes nothing.
            r1_commit_beyond_its_scope_is_refused
            /// Each precondition over an unknown, an existing and a deleted resource, for bodies of one byte.
            r2_preconditions_hold_for_small_bodies
            /// Each precondition, for bodies of the maximum size.
            r2_preconditions_hold_for_the_largest_bodies
            /// Each precondition, for deletions.
            r2_preconditions_hold_for_deletions
            /// A commit is checked against the state before it, and names the first write that fails.
            r2_first_failing_write_is_named
            /// Of concurrent writers of one version, one wins, and a counter loses no increment.
            r2_of_concurrent_writers_of_one_version_one_wins
            /// Of concurrent creators of a resource, one wins.
            r2_of_concurrent_creators_one_wins
            /// Deletions have version numbers, and a creation after a deletion continues the numbers.
            r3_versions_continue_after_a_deletion
            /// Concurrent unconditional writes get each number once, without gaps.
            r3_version_is_never_reused
            /// A body is read byte for byte, by every way of reading, with the same time.
            r4_body_is_read_byte_for_byte
            /// An acknowledged write is visible to other callers at once.
            r4_acknowledged_write_is_visible_to_others
            /// A search sees the writes acknowledged before it, where the store claims so.
            r4_search_sees_acknowledged_writes
            /// History is newest first, includes deletions, and does not shift when others write.
            r5_history_is_newest_first_and_keeps_deletions
            /// An unknown resource has no history, and an unknown version is not found.
            r5_unknown_resource_has_no_history
            /// A store without history reports it as unsupported.
            r5_history_without_the_capability_is_unsupported
            /// A deletion of an unknown or deleted resource makes no version.
            r6_delete_needs_an_existing_resource
            /// A deleted resource is read as gone, and found by no search.
            r6_deleted_resource_is_gone
            /// Tokens are found by value, by system and value, by value without a system, and by system.
            r7_token_is_found_in_each_form
            /// Each parameter has an index of its own, for values up to the maximum length.
            r7_parameters_are_indexed_separately
            /// Searches by id, by lists of ids, and by several criteria at once.
            r7_all_criteria_must_match
            /// Searches by any of several criteria, nested too.
            r7_any_of_matches_one_criterion
            /// A prefix of a value is compared byte for byte, whatever characters it holds.
            r7_prefix_is_compared_byte_for_byte
            /// Results are in the byte order of their ids, not in a language's order.
            r7_results_are_ordered_by_id
            /// A resource with several matching entries is found once.
            r7_resource_is_found_once
            /// A search uses the index entries of the newest version.
            r7_search_uses_the_newest_version
            /// Pages under a simple criterion show every resource that matches throughout exactly once, whatever is
            /// written meanwhile.
            r8_pages_are_stable_while_others_write
            /// Pages under `AnyOf` and `Begins` do the same.
            r8_pages_of_combined_criteria_are_stable
            /// No page is longer than its limit, and all pages together are the whole result.
            r8_pages_of_any_length_are_complete
            /// A search token that is damaged, or of another tenant or query, is refused.
            r8_foreign_or_damaged_token_is_invalid
            /// A history token that is damaged, or of another tenant or resource, is refused.
            r8_foreign_history_token_is_invalid
            /// No read, history or search shows resources of another tenant.
            r9_reads_are_isolated_by_tenant
            /// No write changes resources of another tenant, or depends on them.
            r9_writes_are_isolated_by_tenant
            /// A refusal that reports "not applied" has applied nothing.
            r10_refusal_is_not_applied
            /// A write id is returned with the version that it made, and refuses nothing.
            r11_write_id_is_returned
            /// Bodies of zero bytes and of the maximum size are accepted.
            r12_largest_body_is_accepted
            /// A larger body is refused under every precondition, and writes nothing.
            r12_larger_body_is_refused
            /// The time of a version is not before that of its predecessor.
            r13_last_updated_never_decreases
            /// A commit that is dropped after any number of polls leaves the old state or the new one.
            r14_dropped_commit_is_atomic
            /// A pruned history keeps its newest versions and the numbers go on, for one tenant only.
            r15_pruned_history_keeps_the_newest_versions
            /// A store that cannot prune reports it as unsupported, and forgets nothing.
            r15_prune_without_the_capability_is_unsupported
            /// The versions of all resources are listed by time, each once, with deletions, by type and from a moment
            /// on.
            r16_changes_are_complete_and_newest_first
            /// A search in order of time finds the same resources, sorted by time and id, in pages of any length.
            r17_search_by_time_is_ordered_by_time
            /// A store that cannot order by time reports it as unsupported.
            r17_search_by_time_without_the_capability_is_unsupported
        }
    };
}

mod clauses {
    pub(super) use super::reading::*;
    pub(super) use super::searching::*;
    pub(super) use super::tenants::*;
    pub(super) use super::times::*;
    pub(super) use super::writing::*;
}

/// The clauses on which the others rest: while one is broken, many others are too.
const FOUNDATIONS: &[&str] = &[
    "r4_body_is_read_byte_for_byte",
    "r1_commit_returns_versions_in_order",
    "r2_preconditions_hold_for_small_bodies",
    "r3_versions_continue_after_a_deletion",
    "r4_acknowledged_write_is_visible_to_others",
    "r10_refusal_is_not_applied",
    "r5_history_is_newest_first_and_keeps_deletions",
    "r7_token_is_found_in_each_form",
    "r7_all_criteria_must_match",
    "r7_results_are_ordered_by_id",
    "r8_pages_of_any_length_are_complete",
];

__resource_clauses! { macros::functions { dyn ResourceStore } }

/// Runs the test that [`resource_store_conformance!`](crate::resource_store_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the store breaks the clause.
pub fn test<S: ResourceStore>(
    make: impl Future<Output = S>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, dyn ResourceStore>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |store| store, clause, foundations())
}

/// Runs the test that [`resource_store_conformance!`](crate::resource_store_conformance) makes of
/// [histories](crate::testkit::history).
///
/// # Errors
/// [`BrokenClause`], when no order explains the answers of the store.
pub fn test_history<S: ResourceStore + 'static>(
    make: impl Future<Output = S>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
) -> ClauseResult<()> {
    let nothing = StoreUnderTest::new(&(), &block_on);
    let store: Arc<dyn ResourceStore> = Arc::new(nothing.wait(make)?);
    super::super::history::resources(&store, &block_on, super::HISTORIES)?;
    nothing.wait(async { drop(store) })
}

type Store<'a> = StoreUnderTest<'a, dyn ResourceStore>;

impl Store<'_> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn commit(&self, tenant: &Tenant, writes: Vec<Write>) -> ClauseResult<Result<Vec<Version>, CommitError>> {
        self.wait(self.store.commit(tenant, writes))
    }

    /// Commits one write.
    fn write(&self, tenant: &Tenant, write: Write) -> ClauseResult<Result<Version>> {
        match self.commit(tenant, vec![write])? {
            Ok(mut made) if made.len() == 1 => Ok(made.pop().ok_or(StoreError::not_found())),
            Ok(made) => Err(BrokenClause::what(format!("one write made {} versions", made.len()))),
            Err(refused) => {
                ensure!(
                    refused.index.is_none_or(|at| at == 0),
                    "the error of the only write names {:?}",
                    refused.index
                );
                Ok(Err(refused.error))
            }
        }
    }

    /// Commits one write that must succeed.
    fn made(&self, tenant: &Tenant, write: Write) -> ClauseResult<Version> {
        let key = write.key.clone();
        self.write(tenant, write)?.map_err(|error| BrokenClause::what(format!("a write of `{key}` failed: {error:?}")))
    }

    fn read(&self, tenant: &Tenant, key: &Key) -> ClauseResult<Result<Version>> {
        self.wait(self.store.read(tenant, key))
    }

    /// Reads a resource, which must succeed.
    fn found(&self, tenant: &Tenant, key: &Key) -> ClauseResult<Version> {
        self.read(tenant, key)?.map_err(|error| BrokenClause::what(format!("`{key}` cannot be read: {error:?}")))
    }

    fn vread(&self, tenant: &Tenant, key: &Key, version: VersionId) -> ClauseResult<Result<Version>> {
        self.wait(self.store.vread(tenant, key, version))
    }

    fn history(
        &self,
        tenant: &Tenant,
        key: &Key,
        limit: u32,
        after: Option<&PageToken>,
    ) -> ClauseResult<Result<Page<Version>>> {
        self.wait(self.store.history(tenant, key, at_most(limit), after))
    }

    /// Returns the versions of all resources, page after page.
    fn changes(&self, tenant: &Tenant, changes: &Changes) -> ClauseResult<Result<Vec<Version>>> {
        let (mut all, mut changes) = (Vec::new(), changes.clone());
        loop {
            match self.wait(self.store.changes(tenant, &changes))? {
                Err(error) => return Ok(Err(error)),
                Ok(page) => {
                    ensure!(
                        page.items.len() <= changes.limit.get() as usize,
                        "a page of changes is longer than asked for"
                    );
                    all.extend(page.items);
                    match page.next {
                        Some(next) => changes.after = Some(next),
                        None => return Ok(Ok(all)),
                    }
                }
            }
        }
    }

    fn prune(&self, tenant: &Tenant, key: &Key, keep: u32) -> ClauseResult<Result<u64>> {
        self.wait(self.store.prune_history(tenant, key, at_most(keep)))
    }

    /// Returns all versions of a resource, page after page.
    fn versions(&self, tenant: &Tenant, key: &Key) -> ClauseResult<Vec<Version>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.history(tenant, key, 50, after.as_ref())?;
            let page = page.map_err(|error| BrokenClause::what(format!("the history of `{key}` failed: {error:?}")))?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    fn search(&self, tenant: &Tenant, search: &Search) -> ClauseResult<Result<Page<Version>>> {
        self.wait(self.store.search(tenant, search))
    }

    /// Follows the pages of a search to their end; `meanwhile` runs after each page. `None` says that a criterion is
    /// not supported.
    fn walk(
        &self,
        tenant: &Tenant,
        search: &Search,
        mut meanwhile: impl FnMut(usize) -> ClauseResult<()>,
    ) -> ClauseResult<Option<Vec<Version>>> {
        let (mut search, mut all, mut empty) = (search.clone(), Vec::new(), 0);
        for page in 0_usize.. {
            let found = match self.search(tenant, &search)? {
                Ok(found) => found,
                Err(StoreError::Unsupported { .. }) if !search.all_of.is_empty() && page == 0 => return Ok(None),
                Err(error) => return Err(BrokenClause::what(format!("a page of a search failed: {error:?}"))),
            };
            let limit = usize::try_from(search.limit.get()).unwrap_or(usize::MAX);
            ensure!(found.items.len() <= limit, "a page of {} items, wanted at most {limit}", found.items.len());
            empty = if found.items.is_empty() { empty + 1 } else { 0 };
            ensure!(empty < 10_000, "pages without items go on and on");
            all.extend(found.items);
            meanwhile(page)?;
            match found.next {
                Some(next) => search.after = Some(next),
                None => break,
            }
        }
        Ok(Some(all))
    }

    /// Checks that a search finds these ids in this order; a store with delayed searches is given a while.
    fn finds(&self, tenant: &Tenant, search: &Search, ids: &[&str]) -> ClauseResult {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let Some(found) = self.walk(tenant, search, |_| Ok(()))? else {
                return Ok(ClauseOutcome::Skipped("a criterion of a search"));
            };
            let found: Vec<_> = found.iter().map(|version| version.key.id().as_str()).collect();
            if found == ids {
                return Ok(ClauseOutcome::Held);
            }
            if self.capabilities().search_read_your_writes || Instant::now() > patience {
                let criteria = &search.all_of;
                return Err(BrokenClause::what(format!("found {found:?} where {ids:?} meet {criteria:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the number of resources that the kit may write in one commit, if more than one.
    fn group(&self) -> Option<usize> {
        let Capabilities { atomic, max_writes, .. } = self.capabilities();
        (atomic >= AtomicScope::Device && max_writes >= 3).then(|| max_writes.min(8))
    }
}

fn at_most(limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN)
}

fn key(resource_type: ResourceType, id: &str) -> ClauseResult<Key> {
    Key::new(resource_type, id).map_err(|error| BrokenClause::what(error.to_string()))
}

fn device(id: &str) -> ClauseResult<Key> {
    key(ResourceType::Device, id)
}

fn component(id: &str) -> ClauseResult<Key> {
    key(ResourceType::DeviceComponent, id)
}

fn v(number: u64) -> VersionId {
    VersionId::new(number).unwrap_or(VersionId::FIRST)
}

fn nothing() -> IndexEntries {
    IndexEntries::new()
}

/// Returns the index entries of a component of a device. All resources of a commit of the kit belong to one device.
fn source(of: &str) -> IndexEntries {
    nothing().with(Parameter::Source, Token::bare(of))
}

fn ids(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|version| version.key.id().as_str()).collect()
}
