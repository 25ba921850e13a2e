//! The contracts of the stores as test suites.
//!
//! One macro call gives a store one test for each clause of its contract, so that no clause is forgotten:
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::testkit::store::ownership::ServiceStores;
//! use fhir_devices::{
//!     blob_store_conformance, ledger_conformance, ownership_conformance, resource_store_conformance,
//! };
//!
//! resource_store_conformance!(resources_in_memory, store = Memory::new());
//! blob_store_conformance!(blobs_in_memory, store = Memory::new());
//! ledger_conformance!(ledger_in_memory, store = Memory::new());
//! ownership_conformance!(files_in_memory, store = ServiceStores::of(Memory::new()));
//! # fn main() {}
//! ```
//!
//! Each test makes a store of its own from the expression, which may `.await`, and works in a random unused tenant: a
//! server that others use, and that holds data, may be tested. A clause that needs a capability which the store lacks
//! prints `skipped: ` and the capability.
//!
//! A store that needs a runtime gets one through `block_on`. It is called for each call of the store, from several
//! threads at once; the runtime must outlive the call:
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::resource_store_conformance;
//! use std::sync::LazyLock;
//! use tokio::runtime::Runtime;
//!
//! static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
//!
//! async fn connect() -> Memory {
//!     Memory::new()
//! }
//!
//! resource_store_conformance!(engine, store = connect().await, block_on = |future| RUNTIME.block_on(future));
//! # fn main() {}
//! ```
//!
//! [`resource_clock_conformance!`](crate::resource_clock_conformance) takes a store that uses a clock of the kit, and
//! checks the times of versions when the clock jumps.
//!
//! A suite that cannot run everywhere takes `skip`, an `Option` expression with the reason for skipping. `skip =
//! std::env::var("ENGINE_URL").err()` runs the suite where the variable is set.
//!
//! The clauses are functions as well, over a [`StoreUnderTest`]: [`resources`], [`blobs`], [`ledger`] and [`ownership`]
//! have one for each clause, and a list of all.

pub mod blobs;
pub mod clock;
pub mod ledger;
mod macros;
pub mod ownership;
pub mod publisher;
pub mod resources;
mod trial;

use std::future::Future;
pub(super) use trial::fresh;
pub use trial::{BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, Task, block_on, polled};
use trial::{damaged, ensure, may_have_arrived, random, wanted};

/// A named clause of a contract.
///
/// ```
/// use fhir_devices::testkit::store::ledger;
/// assert!(ledger::CLAUSES.iter().all(|clause| clause.name.starts_with('l')));
/// ```
pub struct Clause<S: ?Sized> {
    /// The name of its function, beginning with the number of the clause in the docs of the trait.
    pub name: &'static str,
    /// The text of the clause.
    pub text: &'static str,
    /// Checks a store against the clause.
    pub check: fn(&StoreUnderTest<'_, S>) -> ClauseResult,
}

impl<S: ?Sized> Clause<S> {
    /// Returns the number of the clause in the docs of the trait: `r1`, `b12`.
    #[must_use]
    pub fn number(&self) -> &'static str {
        self.name.split('_').next().unwrap_or_default()
    }
}

impl<S: ?Sized> std::fmt::Debug for Clause<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clause").field(&self.name).finish()
    }
}

/// The seeds of the histories of a suite: enough to find a fault in one of 1,000 commits.
const HISTORIES: std::ops::Range<u64> = 0..60;

/// Runs one test of a suite: makes the store, and checks it against the clause.
///
/// One fault can break many clauses. Where the clause is broken, the clauses on which it rests are checked too, and the
/// first broken one is named as the likely cause.
fn test<S, D: ?Sized + 'static>(
    make: impl Future<Output = S>,
    block_on: &BlockOn<'_>,
    as_dyn: fn(&S) -> &D,
    clause: fn(&StoreUnderTest<'_, D>) -> ClauseResult,
    foundations: impl Iterator<Item = &'static Clause<D>>,
) -> ClauseResult<()> {
    let store = StoreUnderTest::new(&(), block_on).wait(make)?;
    let trial = StoreUnderTest::new(as_dyn(&store), block_on);
    let outcome = clause(&trial).map_err(|broken| {
        let mut simpler = foundations.take_while(|simpler| simpler.name != broken.clause);
        let cause = simpler.find_map(|simpler| (simpler.check)(&trial).err());
        broken.because(cause)
    });
    match outcome? {
        ClauseOutcome::Held => {}
        ClauseOutcome::Skipped(capability) => println!("skipped: {capability}"),
    }
    // A store may have to be dropped inside its runtime.
    StoreUnderTest::new(&(), block_on).wait(async { drop(store) })
}
