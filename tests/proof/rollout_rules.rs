//! The production machines of rollouts, lanes, deployments and slots, checked in every state and interleaving of small
//! worlds, and with each rule removed once.
//!
//! The invariants are numbered as in the manual: after a stop is shown no device gets bytes, and the devices that had
//! some are counted exactly (P3); a cancelled rollout leaves nothing behind (P4); the cap (P5) and the limit of
//! failures (P6) hold for all lanes together; a success and every other outcome is true (P7); an offer that a region
//! lost is made again (P8); one deployment at a time works on a component and those above and below it (P9). Ends are
//! final (B4), counts are correct (B9), and everything comes to its end.

use super::breadth::{Found, Model, explore};
use super::rollouts::{Lanes, Rule, Setup, TWO_EACH};
use super::slots::{ONE, SlotRule, SlotSetup, Slots};
use std::collections::BTreeSet;
use std::time::Instant;

fn run<M: Model>(name: &str, mut model: M) -> Found {
    let start = Instant::now();
    let found = explore(&mut model);
    let steps = found.fault.as_ref().map(|(what, steps)| format!(", {what} after {} steps", steps.len()));
    println!("{name}: {} states, {:.1?}{}", found.states, start.elapsed(), steps.unwrap_or_default());
    found
}

fn holds<M: Model>(name: &str, model: M) -> usize {
    let found = run(name, model);
    assert!(found.fault.is_none(), "{name}: {}", found.trace());
    found.states
}

fn is_missed<M: Model>(name: &str, model: M, wanted: &str) {
    let found = run(name, model);
    println!("{}", found.trace());
    let what = found.fault.map(|(what, _)| what);
    assert!(what.is_some_and(|what| what.starts_with(wanted)), "{name}: {what:?}, wanted {wanted}");
}

const ONE_EACH: Setup = Setup { components: [1, 1], limit: 1, failing: 2, ..TWO_EACH };
const CANCELLED: Setup = Setup { cancels: 1, ..ONE_EACH };

#[test]
fn rollout_failures_are_bounded_in_two_lanes() {
    let states = holds("failures", Lanes::new(TWO_EACH))
        + holds("failures, two controllers", Lanes::new(Setup { controllers: 2, ..ONE_EACH }))
        + holds("failures, fewer than lanes", Lanes::new(Setup { components: [2, 1], limit: 1, ..TWO_EACH }))
        + holds("failures, retried", Lanes::new(Setup { components: [1, 1], attempts: 2, ..TWO_EACH }));
    assert!(states > 10_000, "{states}");
}

#[test]
fn cancelled_or_paused_rollout_serves_no_bytes() {
    holds("cancelled", Lanes::new(CANCELLED));
    holds(
        "cancelled, two controllers",
        Lanes::new(Setup { controllers: 2, failing: 0, components: [1, 0], ..CANCELLED }),
    );
    holds("cancelled, two regions", Lanes::new(Setup { regions: true, ..CANCELLED }));
    holds("paused", Lanes::new(Setup { pauses: 1, failing: 1, ..ONE_EACH }));
    holds("cancelled while it is planned", Lanes::new(Setup { plans: true, ..CANCELLED }));
}

/// The rules of rollouts and lanes, each with a small world that fails without it, and the first fault there.
const MISSED: [(Rule, Setup, &str); 9] = [
    (Rule::ClaimInLane, CANCELLED, "P3"),
    (Rule::OfferInLane, Setup { components: [1, 1], pauses: 1, failing: 0, ..TWO_EACH }, "P3"),
    (Rule::TripInCommit, Setup { components: [3, 1], failing: 4, ..TWO_EACH }, "P6"),
    (Rule::SharesInOneCommit, Setup { components: [0, 2], controllers: 2, failing: 1, ..TWO_EACH }, "P6"),
    (Rule::FrozenEpoch, Setup { controllers: 2, ..ONE_EACH }, "it never comes to its end"),
    (Rule::EveryLane, CANCELLED, "P"),
    (Rule::NothingPlannedLate, Setup { plans: true, ..CANCELLED }, "P4"),
    (Rule::EndsStay, ONE_EACH, "B4"),
    (Rule::SharesMove, Setup { components: [2, 1], limit: 1, failing: 0, ..TWO_EACH }, "it never comes to its end"),
];

#[test]
fn removing_any_rollout_rule_is_detected() {
    for (rule, setup, wanted) in MISSED {
        is_missed(&format!("without {rule:?}"), Lanes::new(Setup { without: Some(rule), ..setup }), wanted);
    }
    let missed: BTreeSet<_> = MISSED.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(missed, Rule::ALL.into_iter().collect());
}

const BLIND: SlotSetup = SlotSetup { compare_and_set: false, losses: 1, workers: 1, fallbacks: 0, ..ONE };
const LATE: SlotSetup = SlotSetup { acknowledges_late: true, fallbacks: 0, ..ONE };
/// The region does not check numbers: there a tombstone has only the order of the writer. Where the region checks them,
/// either suffices.
const UNORDERED: SlotSetup = SlotSetup { ordered: false, fallbacks: 0, ..ONE };
const RETRIED: SlotSetup = SlotSetup { deadlines: true, attempts: 2, workers: 1, fallbacks: 0, ..ONE };
/// Two rollouts for the same component.
const PAIR: SlotSetup = SlotSetup { deployments: &[(0, 0), (1, 0)], workers: 1, fallbacks: 0, ..ONE };
/// A component and one below it.
const LINE: SlotSetup = SlotSetup { deployments: &[(0, 0), (0, 1)], ..PAIR };

#[test]
fn slots_and_devices_agree_with_the_records() {
    holds("slot", Slots::new(ONE));
    holds("slot without an order", Slots::new(UNORDERED));
    holds("slot, timed out and retried", Slots::new(RETRIED));
    holds("slot, devices that say that they stopped", Slots::new(LATE));
    holds("slot of a forgetful region", Slots::new(BLIND));
    holds("one component, two rollouts", Slots::new(PAIR));
    holds("a component and one below it", Slots::new(LINE));
}

/// The rules of slots and devices.
const SLOTS_MISSED: [(SlotRule, SlotSetup, &str); 10] = [
    (SlotRule::Gate, ONE, "P"),
    (SlotRule::Gate, BLIND, "P"),
    (SlotRule::Verify, SlotSetup { cancels: 0, ..BLIND }, "it never comes to its end"),
    (SlotRule::LedgerAfterSlot, UNORDERED, "P2"),
    (SlotRule::Order, SlotSetup { workers: 2, cancels: 0, crashes: 0, ..PAIR }, "P2"),
    (SlotRule::FrozenNumber, SlotSetup { workers: 2, ..RETRIED }, "P"),
    (SlotRule::Restart, ONE, "P7"),
    (SlotRule::AckIsNoProof, LATE, "P7"),
    (SlotRule::DoneIsNoProof, ONE, "P7"),
    (SlotRule::Lock, LINE, "P9"),
];

#[test]
fn removing_any_slot_rule_is_detected() {
    for (rule, setup, wanted) in SLOTS_MISSED {
        is_missed(&format!("without {rule:?}"), Slots::new(SlotSetup { without: Some(rule), ..setup }), wanted);
    }
    let missed: BTreeSet<_> = SLOTS_MISSED.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(missed, SlotRule::ALL.into_iter().collect());
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes where nothing is optimised: the gate runs it with `--release`")]
fn rollouts_hold_in_large_worlds() {
    holds(
        "failures, two controllers, three devices",
        Lanes::new(Setup { components: [2, 1], controllers: 2, ..TWO_EACH }),
    );
    holds("cancelled, two controllers", Lanes::new(Setup { controllers: 2, failing: 0, ..CANCELLED }));
    holds("slot, workers that die", Slots::new(SlotSetup { crashes: 1, ..ONE }));
}
