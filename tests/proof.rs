//! The production state machines of uploads and their bytes, checked in every state and interleaving of small worlds.
//!
//! The invariants are numbered as in the manual: a reference means bytes that exist (I1) and are verified (I2), nothing
//! is orphaned (I3), no write of others is lost (I4), an upload is attached at most once (I5) and comes to its end
//! (I6), a withdrawal is final (I7), and no hold is left behind (I8). Sequence numbers rise (V1), and a version stands
//! for one set of bytes (V5).
//!
//! The machines of rollouts are checked in the same way, and so are the decisions of the reconciler: see
//! `rollout_rules` and `reconcile_rules`.
//!
//! cargo test --test proof -- --nocapture
//! cargo test --release --test proof -- --nocapture    the large worlds too

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by a panic, and its numbers are small"
)]

#[path = "proof/breadth.rs"]
mod breadth;
#[path = "proof/late.rs"]
mod late;
#[path = "proof/machines.rs"]
mod machines;
#[path = "proof/reconcile_rules.rs"]
mod reconcile_rules;
#[path = "proof/reconciler.rs"]
mod reconciler;
#[path = "proof/rollout_rules.rs"]
mod rollout_rules;
#[path = "proof/rollouts.rs"]
mod rollouts;
#[path = "proof/search.rs"]
mod search;
#[path = "proof/slots.rs"]
mod slots;
#[path = "proof/worker.rs"]
mod worker;
#[path = "proof/world.rs"]
mod world;

use fhir_devices::audit::StateName;
use fhir_devices::update::ingest::EffectName;
use search::{Found, explore};
use std::collections::BTreeSet;
use std::time::Instant;
use world::{Model, Rule, Setup};

/// Two uploads of the same bytes. Related records are written together; any worker may die at any point.
const A: Setup = Setup {
    bytes: [0, 0],
    workers: &[0, 1],
    joint: true,
    foreign: 1,
    torn: true,
    withdraw: true,
    moves: true,
    sequenced: false,
    versioned: false,
    pins: false,
    resend: true,
    restore: false,
    told_apart: false,
    without: None,
};

/// Each record is written by itself, and an upload has two workers: one that is thought dead, and one that continues.
const Z: Setup = Setup { workers: &[0, 0, 1], joint: false, foreign: 0, torn: false, moves: false, resend: false, ..A };

/// A single upload with these settings, and every fault.
const ALONE: Setup = Setup { workers: &[0, 0], foreign: 1, torn: true, moves: true, resend: true, ..Z };

/// Two uploads with one worker each.
const PAIR: Setup = Setup { workers: &[0, 1], ..Z };

/// Two uploads, one of which replaces the other, which is made current again, with one worker thought dead.
const R: Setup = Setup { workers: &[0, 0, 1], joint: true, restore: true, ..Z };

fn run(name: &str, setup: Setup) -> (Model, Found) {
    let start = Instant::now();
    let mut model = Model::new(setup);
    let found = explore(&mut model);
    let (states, edges, took) = (found.states, found.edges, start.elapsed());
    let steps = found.fault.as_ref().map(|(what, steps)| format!(", {what} after {} steps", steps.len()));
    println!("{name}: {states} states, {edges} edges, {took:.1?}{}", steps.unwrap_or_default());
    (model, found)
}

fn holds(name: &str, setup: Setup) -> usize {
    let (_, found) = run(name, setup);
    assert!(found.fault.is_none(), "{name}: {}", found.trace());
    found.states
}

#[test]
fn invariants_hold_with_grouped_records() {
    let states = holds("A", A)
        + holds("A, sequence numbers", Setup { sequenced: true, resend: false, moves: false, ..A })
        + holds("A, different bytes", Setup { bytes: [0, 1], resend: false, moves: false, ..A })
        + holds("A, one version", Setup { bytes: [0, 1], versioned: true, resend: false, moves: false, ..A })
        + holds("A, legal holds", Setup { pins: true, resend: false, moves: false, ..A });
    assert!(states >= 180_000, "{states}");
}

#[test]
fn invariants_hold_with_single_records_and_zombies() {
    let states = holds("Z", Z);
    assert!(states >= 180_000, "{states}");
    holds("Z, alone", ALONE);
    holds("Z, alone, legal holds", Setup { pins: true, ..ALONE });
    holds("Z, sequence numbers", Setup { sequenced: true, ..PAIR });
    holds("Z, one version", Setup { bytes: [0, 1], versioned: true, ..PAIR });
}

#[test]
fn invariants_hold_with_restoration() {
    holds("R", R);
    holds("R, each by itself", Setup { workers: &[0, 1], joint: false, withdraw: false, ..R });
    holds("R, nothing withdrawn", Setup { withdraw: false, ..R });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes where nothing is optimised: the gate runs it with `--release`")]
fn invariants_hold_in_large_worlds() {
    holds("Z, different bytes", Setup { bytes: [0, 1], ..Z });
    holds("Z, sequence numbers, zombies", Setup { sequenced: true, ..Z });
    holds("Z, torn bytes", Setup { torn: true, ..Z });
    holds("Z, writers", Setup { foreign: 1, moves: true, ..Z });
}

#[test]
fn every_state_effect_and_refusal_is_reached() {
    let sequenced = Setup { sequenced: true, bytes: [0, 1], ..PAIR };
    let (mut refusals, mut blob_refusals, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut effects = BTreeSet::new();
    for setup in [ALONE, Setup { pins: true, ..ALONE }, sequenced, Setup { workers: &[0, 1], withdraw: false, ..R }] {
        let (model, found) = run("reached", setup);
        assert!(found.fault.is_none());
        let mut machines = model.machines;
        names.append(&mut machines.names);
        effects.append(&mut machines.effects);
        machines.say_all_again();
        refusals.append(&mut machines.refusals);
        blob_refusals.append(&mut machines.blob_refusals);
    }
    // The others are states of neither an upload nor its bytes.
    let others = [StateName::Accepted, StateName::Quarantined, StateName::Damaged, StateName::Paired, StateName::Told];
    let states = StateName::ALL.iter().copied().filter(|name| !others.contains(name));
    assert_eq!(names, states.collect());
    assert_eq!(effects, EffectName::ALL.iter().copied().collect());
    let every = |all: &[&str]| all.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let of_upload = [
        "NotDeclared",
        "NoFault",
        "OtherContent",
        "NotHeld",
        "NotStored",
        "AlreadyStored",
        "OtherTarget",
        "NoSuchAttempt",
        "AlreadyAttached",
        "NotAttached",
        "NotSuperseded",
        "NotDue",
        "NotReleasing",
        "StillReferenced",
        "Withdrawn",
        "Releasing",
        "Closed",
    ];
    assert_eq!(refusals, every(&of_upload));
    let of_bytes = [
        "Condemned",
        "Absent",
        "Full",
        "OtherContent",
        "OtherGeneration",
        "GenerationUsed",
        "Retained",
        "Needed",
        "NotDue",
        "NotCondemned",
    ];
    assert_eq!(blob_refusals, every(&of_bytes));
}

/// The rules, each with a small world that fails without it, and the first fault there.
const MISSED: [(Rule, &str, Setup, &str); 26] = [
    (Rule::IfMatch, "A", A, "I4: what somebody else wrote is lost"),
    (Rule::AttachKeyed, "A", A, "I5"),
    (Rule::CommitBeforeAttach, "A", A, "I1"),
    (Rule::Verification, "A", A, "I2"),
    (Rule::NoCleanUp, "A", A, "I1"),
    (Rule::CollectionByLedger, "A", A, "I1"),
    (Rule::NewGenerations, "A", A, "I1"),
    (Rule::Recovery, "A", A, "I6"),
    (Rule::IntentReread, "Z, alone", ALONE, "I7"),
    (Rule::Sweeper, "Z, alone", ALONE, "I3"),
    (Rule::NewGenerations, "Z", PAIR, "I1"),
    (Rule::IntentBeforeRelease, "Z, alone", ALONE, "I1"),
    (Rule::IntentBeforeHold, "Z, alone", ALONE, "I1"),
    (Rule::HoldBeforeIntentMoves, "Z", PAIR, "I1"),
    (Rule::HoldBeforeBytes, "Z", PAIR, "I1"),
    (Rule::IfMatch, "Z, alone", ALONE, "I4"),
    (Rule::AttachKeyed, "Z, alone", ALONE, "I5"),
    (Rule::Fence, "Z, alone", ALONE, "I7"),
    (Rule::Justification, "Z, alone", ALONE, "I8"),
    (Rule::AcceptedReread, "Z, sequence numbers", Setup { sequenced: true, ..PAIR }, "V1"),
    (Rule::ClaimReread, "Z, one version", Setup { bytes: [0, 1], versioned: true, ..PAIR }, "V5"),
    (Rule::ReferenceBeforeHold, "Z, alone", ALONE, "I1"),
    (Rule::ListingBeforeLedger, "Z, alone", ALONE, "I1"),
    (Rule::RestoreReread, "R", R, "I7"),
    (Rule::RestoreOnce, "R", Setup { withdraw: false, ..R }, "I9"),
    (Rule::SupersededCounted, "R", Setup { withdraw: false, ..R }, "I9"),
];

#[test]
fn removing_any_rule_is_detected() {
    for (rule, name, setup, wanted) in MISSED {
        let (_, found) =
            run(&format!("without {rule:?} in {name}"), Setup { told_apart: true, without: Some(rule), ..setup });
        println!("{}", found.trace());
        let what = found.fault.map(|(what, _)| what);
        assert!(what.is_some_and(|what| what.starts_with(wanted)), "without {rule:?}: {what:?}, wanted {wanted}");
    }
    let missed: BTreeSet<_> = MISSED.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(missed, Rule::ALL.into_iter().collect());
}
