//! The clauses of ownership, O1 to O8: which service may delete update files of a store, which files, and when.
//!
//! They check an [`UpdateService`](crate::service::UpdateService) over the three stores of the caller together: files
//! are lost where a store keeps its contract only on its own, e.g. behind a cache, a bucket rule that deletes by age,
//! or an index that lags.
//!
//! - **O1 Pairing.** The blobs and the ledger of a tenant get a common id at first use, and every later start finds it.
//! - **O2 Refusal.** Where they do not belong together, nothing is accepted and nothing deleted, and the error says
//!   which of the two is missing or another one.
//! - **O3 Age.** A file unknown to the ledger is left alone until sweeps have seen it for the grace period.
//! - **O4 Quarantine.** Then the file is quarantined, where it can be listed, and deleted afterwards. A file that the
//!   ledger knows by then leaves quarantine.
//! - **O5 Limit.** Where more files are due than a round may delete, none is deleted, and the result says so.
//! - **O6 Records.** Each file that enters quarantine, leaves it or is deleted has a record in the audit chain.
//! - **O7 References.** A file that a component refers to is never deleted, whatever the ledger says.
//! - **O8 Adoption.** An adopted store belongs to the ledger that adopted it, and no longer to another.

mod keeping;
mod place;

use super::{
    BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, ensure, fresh, macros, random, wanted,
};
use crate::store::{BlobStore, Ledger, ResourceStore};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

#[doc(hidden)]
#[macro_export]
macro_rules! __ownership_clauses {
    ($then:path { $($arguments:tt)* }) => {
        $then! { { $($arguments)* }
            /// The store gets the id of the ledger at first use, and every later start finds it.
            o1_store_and_ledger_share_an_id
            /// Each tenant has an id of its own.
            o1_each_tenant_has_its_own_id
            /// An empty ledger over a store with files is refused, and deletes nothing.
            o2_empty_ledger_over_files_is_refused
            /// A ledger with the id of another store is refused, and deletes nothing.
            o2_ledger_of_another_store_is_refused
            /// A store that lost its id is refused.
            o2_store_without_its_id_is_refused
            /// A file unknown to the ledger is left alone until the grace period is over.
            o3_unknown_file_is_watched_first
            /// A file stays in quarantine, where it can be listed, for its period before it is deleted.
            o4_file_is_quarantined_before_deletion
            /// A file that the ledger knows again leaves quarantine, and is kept.
            o4_known_file_leaves_quarantine
            /// Where more files are due than a round may delete, none is deleted.
            o5_too_many_due_files_are_all_kept
            /// Each file has its records in an audit chain that verifies.
            o6_each_file_is_audited
            /// A file that a component refers to is kept, even where an older ledger does not know it.
            o7_referenced_file_is_kept
            /// An adopted store belongs to one ledger.
            o8_adopted_store_belongs_to_one_ledger
        }
    };
}

mod clauses {
    pub(super) use super::keeping::*;
}

/// The clauses on which the others rest: while one is broken, many others are too.
const FOUNDATIONS: &[&str] = &["o1_store_and_ledger_share_an_id", "o3_unknown_file_is_watched_first"];

__ownership_clauses! { macros::functions { ServiceStores } }

/// The stores of an update service under test.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::testkit::store::ownership::ServiceStores;
/// let one = ServiceStores::of(Memory::new());
/// let three = ServiceStores::new(Memory::new(), Memory::new(), Memory::new());
/// # drop((one, three));
/// ```
#[derive(Clone)]
pub struct ServiceStores {
    pub(super) resources: Arc<dyn ResourceStore>,
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) ledger: Arc<dyn Ledger>,
}

impl ServiceStores {
    /// Combines three stores.
    pub fn new(resources: impl ResourceStore, blobs: impl BlobStore, ledger: impl Ledger) -> Self {
        Self { resources: Arc::new(resources), blobs: Arc::new(blobs), ledger: Arc::new(ledger) }
    }

    /// Uses one value as all three stores.
    pub fn of<S: ResourceStore + BlobStore + Ledger>(store: S) -> Self {
        let store = Arc::new(store);
        Self { resources: store.clone(), blobs: store.clone(), ledger: store }
    }
}

impl fmt::Debug for ServiceStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceStores").finish_non_exhaustive()
    }
}

/// Runs the test that [`ownership_conformance!`](crate::ownership_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the store breaks the clause.
pub fn test(
    make: impl Future<Output = ServiceStores>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, ServiceStores>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |stores| stores, clause, foundations())
}
