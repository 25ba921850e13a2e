//! The clauses of [`ResourceStore`], R1 to R16.

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
            /// A commit that is refused at its second write leaves nothing of the first, and names the second.
            r1_refused_commit_writes_nothing
            /// The versions of a commit come back in the order of its writes, and are those that are read.
            r1_commit_returns_versions_in_order
            /// A commit of no writes succeeds.
            r1_empty_commit_succeeds
            /// Who reads while commits go on never sees half of one.
            r1_commit_is_visible_as_a_whole
            /// A commit that names a key twice is refused, and writes nothing.
            r1_commit_with_a_duplicate_key_is_refused
            /// A commit of more writes than the capabilities allow is refused, and writes nothing.
            r1_commit_of_too_many_writes_is_refused
            /// A commit that goes beyond the atomic scope is refused, and writes nothing.
            r1_commit_beyond_its_scope_is_refused
            /// Each precondition over what never was, what is there, and what is deleted, for bodies of one byte.
            r2_preconditions_hold_for_small_bodies
            /// The same for bodies of the largest size.
            r2_preconditions_hold_for_the_largest_bodies
            /// The same for deletions.
            r2_preconditions_hold_for_deletions
            /// A commit is checked by the state before it, and names the first write that fails.
            r2_first_failing_write_is_named
            /// A counter that many writers raise by what they read loses nothing.
            r2_of_concurrent_writers_of_one_version_one_wins
            /// Of many that create the same resource at once, one does.
            r2_of_concurrent_creators_one_wins
            /// Deletions take numbers, and a creation after one goes on counting.
            r3_versions_continue_after_a_deletion
            /// Blind writes at the same time are given each number once, without gaps.
            r3_version_is_never_reused
            /// A body is read byte for byte, by every way of reading, with the same time.
            r4_body_is_read_byte_for_byte
            /// What is acknowledged to one caller is seen by another at once.
            r4_acknowledged_write_is_visible_to_others
            /// A search sees what was acknowledged before it, where the store claims so.
            r4_search_sees_acknowledged_writes
            /// History is newest first, holds the deletions, and does not move when others write.
            r5_history_is_newest_first_and_keeps_deletions
            /// What never was has no history, and a version that was not made is not found.
            r5_unknown_resource_has_no_history
            /// A store without history says so.
            r5_history_without_the_capability_is_unsupported
            /// A deletion of what is not there, or deleted, makes no version.
            r6_delete_needs_an_existing_resource
            /// A deleted resource reads as gone, and no search finds it.
            r6_deleted_resource_is_gone
            /// Tokens are found by value, by system and value, by no system, and by system.
            r7_token_is_found_in_each_form
            /// Each parameter has an index of its own, for values of up to the longest length.
            r7_parameters_are_indexed_separately
            /// Ids, lists of ids, and several criteria at once.
            r7_all_criteria_must_match
            /// Any of several criteria, nested too.
            r7_any_of_matches_one_criterion
            /// The beginning of a value, byte for byte, whatever characters it holds.
            r7_prefix_is_compared_byte_for_byte
            /// What is found comes in the byte order of the ids, and not in that of a language.
            r7_results_are_ordered_by_id
            /// A resource that meets a criterion by several entries is found once.
            r7_resource_is_found_once
            /// A search follows the entries of the newest version.
            r7_search_uses_the_newest_version
            /// Pages under a simple criterion show what was there all the time once, whatever is written meanwhile.
            r8_pages_are_stable_while_others_write
            /// The same under `AnyOf` and `Begins`.
            r8_pages_of_combined_criteria_are_stable
            /// No page is longer than asked for, and all pages together are the whole.
            r8_pages_of_any_length_are_complete
            /// A token of a search that is damaged, or of another tenant or query, is refused.
            r8_foreign_or_damaged_token_is_invalid
            /// The same for the tokens of a history.
            r8_foreign_history_token_is_invalid
            /// No read, history or search shows what another tenant has.
            r9_reads_are_isolated_by_tenant
            /// No write changes what another tenant has, or is decided by it.
            r9_writes_are_isolated_by_tenant
            /// Refusals say that nothing was applied, and are right.
            r10_refusal_is_not_applied
            /// A write id comes back with the version that it made, and refuses nothing.
            r11_write_id_is_returned
            /// The empty body and the largest are taken.
            r12_largest_body_is_accepted
            /// A larger body is refused under every precondition, and writes nothing.
            r12_larger_body_is_refused
            /// The time of a version is not before that of the one before it.
            r13_last_updated_never_decreases
            /// A commit that is dropped after any number of polls leaves the old state or the new one.
            r14_dropped_commit_is_atomic
            /// A pruned history has its newest versions, counts on, and is that of one tenant.
            r15_pruned_history_keeps_the_newest_versions
            /// A store that cannot prune says so, and forgets nothing.
            r15_prune_without_the_capability_is_unsupported
            /// The versions of all resources come by time, each once, deletions too, by type and from a moment on.
            r16_changes_are_complete_and_newest_first
            /// A search in the order of times finds the same, by time and id, in pages of any length.
            r17_search_by_time_is_ordered_by_time
            /// A store that cannot order by times says so.
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

/// If one of them is broken, so are many others.
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

/// Returns the test that [`resource_store_conformance!`](crate::resource_store_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the clause is.
pub fn test<S: ResourceStore>(
    make: impl Future<Output = S>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, dyn ResourceStore>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |store| store, clause, foundations())
}

/// Returns the test that [`resource_store_conformance!`](crate::resource_store_conformance) makes of
/// [histories](crate::testkit::history).
///
/// # Errors
/// [`BrokenClause`], when no order explains what the store answered.
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

    /// One write.
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

    /// One write that must succeed.
    fn made(&self, tenant: &Tenant, write: Write) -> ClauseResult<Version> {
        let key = write.key.clone();
        self.write(tenant, write)?.map_err(|error| BrokenClause::what(format!("a write of `{key}` failed: {error:?}")))
    }

    fn read(&self, tenant: &Tenant, key: &Key) -> ClauseResult<Result<Version>> {
        self.wait(self.store.read(tenant, key))
    }

    /// A read that must succeed.
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

    /// The versions of all resources, page after page.
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

    /// Returns all versions, page after page.
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

    /// Follows the pages to their end; `meanwhile` runs after each. `None` says that a criterion is not supported.
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

    /// Returns whether a search finds these ids in this order; a store that is slow to see its writes is given a while.
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

    /// Returns how many resources the kit may write in one commit, if that is several.
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

/// Returns the entries of a component of a device. What the kit writes in one commit is about one device.
fn source(of: &str) -> IndexEntries {
    nothing().with(Parameter::Source, Token::bare(of))
}

fn ids(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|version| version.key.id().as_str()).collect()
}
