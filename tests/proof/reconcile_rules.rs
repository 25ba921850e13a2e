//! The reconciler, and each of its rules removed.

use super::breadth::{Found, explore};
use super::reconciler::{ReconcileRule, ReconcileSetup, Reconciler};
use fhir_devices::update::reconcile::MissingReferences::{self, MarkLost, Reattach};
use std::collections::BTreeSet;
use std::time::Instant;

const BOTH_REATTACH: &[MissingReferences] = &[Reattach, Reattach];
const BOTH_LOSE: &[MissingReferences] = &[MarkLost, MarkLost];
const MIXED: &[MissingReferences] = &[Reattach, MarkLost];

/// One upload, with every fault once.
const ALONE: ReconcileSetup = ReconcileSetup {
    services: BOTH_REATTACH,
    uploads: 1,
    foreign: 1,
    hostile: true,
    crashes: 1,
    withdraws: true,
    retires: false,
    without: None,
};

/// One upload, with another writer that writes twice.
const TWICE: ReconcileSetup = ReconcileSetup { foreign: 2, hostile: false, crashes: 0, ..ALONE };

/// One service, for faults that do not need two.
const ONE: ReconcileSetup = ReconcileSetup { services: &[Reattach], ..ALONE };

/// Two uploads, one of which replaces the other.
const PAIR: ReconcileSetup = ReconcileSetup { uploads: 2, hostile: false, crashes: 0, withdraws: false, ..ALONE };

/// Two uploads with one service, and another writer that writes twice.
const PAIR_TWICE: ReconcileSetup = ReconcileSetup { services: &[Reattach], foreign: 2, hostile: true, ..PAIR };

fn run(name: &str, setup: ReconcileSetup) -> (Reconciler, Found) {
    let start = Instant::now();
    let mut model = Reconciler::new(setup);
    let found = explore(&mut model);
    let steps = found.fault.as_ref().map(|(what, steps)| format!(", {what} after {} steps", steps.len()));
    println!("{name}: {} states, {:.1?}{}", found.states, start.elapsed(), steps.unwrap_or_default());
    (model, found)
}

fn holds(name: &str, setup: ReconcileSetup) -> usize {
    let (_, found) = run(name, setup);
    assert!(found.fault.is_none(), "{name}: {}", found.trace());
    found.states
}

#[test]
fn reconciler_holds_for_one_upload() {
    let mut states = 0;
    for (name, services) in [("reattached", BOTH_REATTACH), ("lost", BOTH_LOSE), ("mixed", MIXED)] {
        states += holds(&format!("alone, {name}"), ReconcileSetup { services, ..ALONE });
    }
    assert!(states >= 100_000, "{states}");
}

#[test]
fn reconciler_holds_for_two_uploads() {
    holds("pair", PAIR);
    holds("pair, lost", ReconcileSetup { services: BOTH_LOSE, ..PAIR });
    holds("pair, twice", PAIR_TWICE);
    holds("pair, retired", ReconcileSetup { services: &[Reattach], retires: true, withdraws: true, ..PAIR });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes where nothing is optimised: the gate runs it with `--release`")]
fn reconciler_holds_in_large_worlds() {
    for services in [BOTH_REATTACH, BOTH_LOSE, MIXED] {
        holds("alone, twice", ReconcileSetup { services, ..TWICE });
        holds("alone, large", ReconcileSetup { services, foreign: 2, ..ALONE });
    }
}

#[test]
fn every_decision_of_the_reconciler_is_reached() {
    let mut reached = BTreeSet::new();
    for setup in [ONE, ReconcileSetup { services: &[MarkLost], ..ALONE }, PAIR_TWICE, PAIR] {
        reached.extend(run("reached", setup).0.decisions);
    }
    let all = [
        "await",
        "earlier",
        "later",
        "lose",
        "made",
        "missing",
        "recall",
        "settled",
        "unrelated",
        "unsettled",
        "write",
    ];
    assert_eq!(reached, all.into_iter().collect());
}

/// The rules, each with a small world that fails without it, and the first fault there.
const MISSED: [(ReconcileRule, ReconcileSetup, &str); 18] = [
    (ReconcileRule::RecordAfterComponent, ALONE, "I7"),
    (ReconcileRule::IfMatch, ALONE, "I4: what somebody else wrote is lost"),
    (ReconcileRule::Fence, ALONE, "I7"),
    (ReconcileRule::LossByVersion, ReconcileSetup { services: MIXED, ..ALONE }, "I4: an upload is given up"),
    (ReconcileRule::AnnouncedBeforeWritten, ReconcileSetup { services: MIXED, ..ALONE }, "I4: an upload is given up"),
    (ReconcileRule::LaterStays, PAIR, "I9"),
    (ReconcileRule::SupersededInComponentFirst, PAIR, "it never comes to its end"),
    (ReconcileRule::UnsettledWaits, PAIR, "I9"),
    (ReconcileRule::EarlierSuperseded, PAIR_TWICE, "I9"),
    (ReconcileRule::OrderKept, PAIR_TWICE, "it never comes to its end"),
    (ReconcileRule::MissingWritten, ONE, "it never comes to its end"),
    (ReconcileRule::ChangedWritten, ONE, "it never comes to its end"),
    (ReconcileRule::RecallShown, ONE, "it never comes to its end"),
    (ReconcileRule::RecallTime, ALONE, "I7: a recall is shown after its time"),
    (ReconcileRule::LossMarked, ReconcileSetup { services: &[MarkLost], ..ALONE }, "it never comes to its end"),
    (ReconcileRule::UnknownRemoved, ONE, "it never comes to its end"),
    (ReconcileRule::RecordsAfterComponent, ALONE, "I4: a reference that the ledger knows"),
    (ReconcileRule::AttachingIsKnown, ALONE, "I4: a reference that the ledger knows"),
];

#[test]
fn each_rule_of_the_reconciler_that_is_taken_out_is_missed() {
    let mut not_missed = Vec::new();
    for (rule, setup, wanted) in MISSED {
        let (_, found) = run(&format!("without {rule:?}"), ReconcileSetup { without: Some(rule), ..setup });
        println!("{}", found.trace());
        let what = found.fault.map(|(what, _)| what);
        if !what.is_some_and(|what| what.starts_with(wanted)) {
            not_missed.push((rule, what, wanted));
        }
    }
    assert!(not_missed.is_empty(), "{not_missed:#?}");
    let missed: BTreeSet<_> = MISSED.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(missed, ReconcileRule::ALL.into_iter().collect());
}
