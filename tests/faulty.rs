//! For every clause of the contracts, a store with one defect is caught by the clause. A clause without such a store
//! fails here.

#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[macro_use]
#[path = "common/passing.rs"]
mod passing;
#[path = "faulty/blobs.rs"]
mod blobs;
#[path = "faulty/clock.rs"]
mod clock;
#[path = "faulty/ledger.rs"]
mod ledger;
#[path = "faulty/ownership.rs"]
mod ownership;
#[path = "faulty/publisher.rs"]
mod publisher;
#[path = "faulty/resources.rs"]
mod resources;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "common/wrong.rs"]
mod wrong;

use fhir_devices::testkit::store::{Clause, ClauseOutcome, StoreUnderTest, block_on};

/// Checks the store that breaks a clause against that clause, for every clause.
fn each_is_caught<S: ?Sized, W>(clauses: &[Clause<S>], wrong: impl Fn(&'static str) -> W, as_dyn: fn(&W) -> &S) {
    let mut missed = Vec::new();
    for clause in clauses {
        let store = wrong(clause.name);
        match (clause.check)(&StoreUnderTest::new(as_dyn(&store), &|task| block_on(task))) {
            Ok(_) => missed.push(clause.name),
            Err(broken) => assert_eq!(broken.clause, clause.name),
        }
    }
    assert!(missed.is_empty(), "no store breaks these, or they do not see it: {missed:#?}");
}

/// Every clause holds without a defect, so that the defect is what is caught.
fn each_holds<S: ?Sized>(clauses: &[Clause<S>], store: &S) {
    for clause in clauses {
        let outcome = (clause.check)(&StoreUnderTest::new(store, &|task| block_on(task)));
        assert!(matches!(outcome, Ok(ClauseOutcome::Held | ClauseOutcome::Skipped(_))), "{outcome:?}");
    }
}
