//! Rollouts in random worlds: several processes over one ledger, devices that report falsely, are slow or report in the
//! order of SWUpdate and RAUC, lost and repeated reports, regions that are down or forget, clocks that jump, crashes.
//!
//! The invariants are checked after every commit; at rest, every deployment has ended, every chain is whole, and the
//! ledger follows from the audit records.
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

/// A removed rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovedRule {
    /// The ledger writes whatever the revision of a record.
    BlindLedger,
    /// The ledger writes the records one after the other.
    TornLedger,
    /// Devices get bytes without a grant.
    NoGate,
    /// Deadlines are not processed.
    NoDeadlines,
    /// The slots of ended deployments are not verified.
    NoEndedSlots,
}

/// Default number of worlds.
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
