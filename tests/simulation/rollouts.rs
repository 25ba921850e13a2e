//! Rollouts in worlds that go on at random: several processes over one ledger, devices that lie, are slow or say things in the
//! order of SWUpdate and RAUC, reports that are lost and doubled, regions that are down or forget, clocks that jump, crashes.
//!
//! After every commit the invariants are looked at; when all is quiet, every deployment has ended, every chain is whole, and what
//! the ledger says follows from the audit records.
//!
//! ```text
//! SIMULATION_SEEDS=100000 cargo test --release --features testkit --test simulation -- rollouts_stop --nocapture
//! SIMULATION_SEED=77 cargo test --features testkit --test simulation -- rollouts_stop --nocapture
//! ```

#[path = "rollouts/devices.rs"]
mod devices;
#[path = "rollouts/invariants.rs"]
mod invariants;
#[path = "rollouts/region.rs"]
mod region;
#[path = "rollouts/world.rs"]
mod world;

use super::choices::Choices;
use super::net::Net;
use super::{each_seed, fail_by};
use fhir_devices::service::RolloutService;

type Service = RolloutService<Net, Net, Net>;

/// A rule taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovedRule {
    /// The ledger writes whatever revision a record has.
    BlindLedger,
    /// The ledger writes the records one after the other.
    TornLedger,
    /// Devices get bytes without the gate.
    NoGate,
    /// Nobody looks at deadlines.
    NoDeadlines,
    /// Nobody looks at the slots of what has ended.
    NoEndedSlots,
}

/// How many worlds there are where nobody says it.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };

#[test]
fn rollouts_stop_and_end_true_in_random_schedules() {
    each_seed(SEEDS, |choices| world::simulate(choices, None));
}

#[test]
fn same_choices_give_the_same_rollouts() {
    for seed in 0..5 {
        let (outcome, made) = world::simulate(Choices::seeded(seed), None);
        assert_eq!(world::simulate(Choices::given(&made), None), (outcome, made), "seed {seed}");
    }
}

fn caught(rule: RemovedRule) {
    for seed in 0..1_000 {
        if let (Err(fault), made) = world::simulate(Choices::seeded(seed), Some(rule)) {
            let without = world::simulate(Choices::seeded(seed), None);
            if let (Err(fault), _) = without {
                fail_by(seed, &fault, made, &|choices| world::simulate(choices, None));
            }
            println!("{rule:?} is caught by seed {seed}: {}", fault.chars().take(160).collect::<String>());
            return;
        }
    }
    panic!("{rule:?} is not caught");
}

#[test]
fn rollouts_over_a_blind_ledger_are_caught() {
    caught(RemovedRule::BlindLedger);
}

#[test]
fn rollouts_over_a_torn_ledger_are_caught() {
    caught(RemovedRule::TornLedger);
}

#[test]
fn bytes_without_the_gate_are_caught() {
    caught(RemovedRule::NoGate);
}

#[test]
fn deadlines_that_nobody_looks_at_are_caught() {
    caught(RemovedRule::NoDeadlines);
}

#[test]
fn slots_of_what_has_ended_that_nobody_looks_at_are_caught() {
    caught(RemovedRule::NoEndedSlots);
}
