//! The clauses of [`Ledger`], L1 to L9.

mod changing;
mod scanning;

use super::{
    BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, damaged, ensure, fresh, macros,
    may_have_arrived, polled, wanted,
};
use crate::store::{
    Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, Revision, StoreError, Tenant,
};
use bytes::Bytes;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;

#[doc(hidden)]
#[macro_export]
macro_rules! __ledger_clauses {
    ($then:path { $($arguments:tt)* }) => {
        $then! { { $($arguments)* }
            /// A write needs the newest revision, and a creation needs an absent record.
            l1_write_needs_the_newest_revision
            /// A delete needs the newest revision.
            l1_delete_needs_the_newest_revision
            /// Of concurrent writers that expect the same revision, one wins, and a counter loses no increment.
            l1_of_concurrent_writers_one_wins
            /// Of concurrent creators of a record, one wins.
            l1_of_concurrent_creators_one_wins
            /// No revision of a key is used again, even after a deletion.
            l2_revision_is_never_reused
            /// `get` and `scan` return values byte for byte.
            l3_value_is_read_byte_for_byte
            /// An acknowledged change is visible to other callers at once.
            l3_acknowledged_change_is_visible_to_others
            /// No call shows or changes a record of another tenant.
            l4_calls_are_isolated_by_tenant
            /// A refusal that reports "not applied" has applied nothing.
            l5_refusal_is_not_applied
            /// Values and commits of the sizes that every ledger takes are accepted.
            l6_largest_values_and_commits_are_accepted
            /// Larger values and commits are accepted or refused as a whole.
            l6_larger_values_are_accepted_or_refused_whole
            /// A commit that is dropped after any number of polls leaves the old state or the new one.
            l7_dropped_commit_is_atomic
            /// A commit refused at a later change applies none of the earlier ones, and names the change.
            l8_refused_commit_changes_nothing
            /// The revisions are returned in the order of the changes, with creations, replacements and deletions in
            /// one commit.
            l8_commit_returns_revisions_in_order
            /// An empty commit succeeds, and one that names a key twice fails.
            l8_empty_commit_succeeds_and_duplicate_key_fails
            /// A caller who sees one change of a commit sees the others afterwards.
            l8_commit_is_visible_as_a_whole
            /// A prefix selects the records below it, and no others.
            l9_prefix_selects_records_below_it
            /// Pages of every length show each record once, in the order of the keys.
            l9_pages_of_any_length_are_complete
            /// Pages show every record that exists throughout exactly once, whatever is written meanwhile.
            l9_pages_are_stable_while_others_write
            /// A damaged token, or one of another tenant or prefix, is refused.
            l9_foreign_or_damaged_token_is_invalid
        }
    };
}

mod clauses {
    pub(super) use super::changing::*;
    pub(super) use super::scanning::*;
}

/// The clauses on which the others rest: while one is broken, many others are too.
const FOUNDATIONS: &[&str] = &[
    "l3_value_is_read_byte_for_byte",
    "l1_write_needs_the_newest_revision",
    "l1_delete_needs_the_newest_revision",
    "l3_acknowledged_change_is_visible_to_others",
    "l8_commit_returns_revisions_in_order",
    "l5_refusal_is_not_applied",
    "l9_prefix_selects_records_below_it",
    "l9_pages_of_any_length_are_complete",
];

__ledger_clauses! { macros::functions { dyn Ledger } }

/// Runs the test that [`ledger_conformance!`](crate::ledger_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the store breaks the clause.
pub fn test<S: Ledger>(
    make: impl Future<Output = S>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, dyn Ledger>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |store| store, clause, foundations())
}

/// Runs the test that [`ledger_conformance!`](crate::ledger_conformance) makes of [histories](crate::testkit::history).
///
/// # Errors
/// [`BrokenClause`], when no order explains the answers of the store.
pub fn test_history<S: Ledger + 'static>(
    make: impl Future<Output = S>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
) -> ClauseResult<()> {
    let nothing = StoreUnderTest::new(&(), &block_on);
    let store: Arc<dyn Ledger> = Arc::new(nothing.wait(make)?);
    super::super::history::ledger(&store, &block_on, super::HISTORIES)?;
    nothing.wait(async { drop(store) })
}

type Store<'a> = StoreUnderTest<'a, dyn Ledger>;

impl Store<'_> {
    fn get(&self, tenant: &Tenant, key: &LedgerKey) -> ClauseResult<Option<LedgerRecord>> {
        let found = self.wait(self.store.get(tenant, key))?;
        found.map_err(|error| BrokenClause::what(format!("a `get` failed: {error:?}")))
    }

    fn value(&self, tenant: &Tenant, key: &LedgerKey) -> ClauseResult<Option<Bytes>> {
        Ok(self.get(tenant, key)?.map(|record| record.value))
    }

    fn apply(&self, tenant: &Tenant, changes: Vec<Change>) -> ClauseResult<Result<Vec<Revision>, CommitError>> {
        self.wait(self.store.apply(tenant, changes))
    }

    /// Applies one change.
    fn change(&self, tenant: &Tenant, change: Change) -> ClauseResult<Result<Revision>> {
        match self.apply(tenant, vec![change])? {
            Ok(mut made) if made.len() == 1 => Ok(made.pop().ok_or(StoreError::not_found())),
            Ok(made) => Err(BrokenClause::what(format!("one change made {} revisions", made.len()))),
            Err(refused) => {
                ensure!(
                    refused.index.is_none_or(|at| at == 0),
                    "the error of the only change names {:?}",
                    refused.index
                );
                Ok(Err(refused.error))
            }
        }
    }

    fn max_changes(&self) -> usize {
        self.store.max_changes()
    }

    /// Applies changes that must succeed.
    fn applied(&self, tenant: &Tenant, changes: Vec<Change>) -> ClauseResult<Vec<Revision>> {
        let count = changes.len();
        match self.apply(tenant, changes)? {
            Ok(made) if made.len() == count => Ok(made),
            Ok(made) => Err(BrokenClause::what(format!("{count} changes made {} revisions", made.len()))),
            Err(refused) => Err(BrokenClause::what(format!("a commit of {count} changes failed: {:?}", refused.error))),
        }
    }

    /// Applies one change that must succeed.
    fn made(&self, tenant: &Tenant, change: Change) -> ClauseResult<Revision> {
        let made = self.change(tenant, change)?;
        made.map_err(|error| BrokenClause::what(format!("a change failed: {error:?}")))
    }

    fn scan(
        &self,
        tenant: &Tenant,
        prefix: &LedgerKey,
        limit: u32,
        after: Option<&PageToken>,
    ) -> ClauseResult<Result<Page<LedgerRecord>>> {
        self.wait(self.store.scan(tenant, prefix, NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN), after))
    }

    /// Returns all records under a prefix, page after page; `meanwhile` runs after each page.
    fn all(
        &self,
        tenant: &Tenant,
        prefix: &LedgerKey,
        limit: u32,
        mut meanwhile: impl FnMut(usize) -> ClauseResult<()>,
    ) -> ClauseResult<Vec<LedgerRecord>> {
        let (mut all, mut after) = (Vec::new(), None);
        for number in 0_usize.. {
            ensure!(number < 10_000, "the pages of a scan do not end");
            let page = self.scan(tenant, prefix, limit, after.as_ref())?;
            let page = page.map_err(|error| BrokenClause::what(format!("a page of a scan failed: {error:?}")))?;
            let count = page.items.len();
            ensure!(
                u32::try_from(count).is_ok_and(|count| count <= limit),
                "a page of {count} records, wanted {limit}"
            );
            all.extend(page.items);
            meanwhile(number)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }
}

fn key(name: &str) -> ClauseResult<LedgerKey> {
    name.parse().map_err(|error| BrokenClause::what(format!("{error}")))
}
