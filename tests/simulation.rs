//! The drivers in random worlds: calls in any order, crashes, delayed calls, stores that fail, lose answers and answer
//! late, clocks that jump, and other writers of the same components.
//!
//! The invariants are checked after every step; at rest, nothing may be lost and nothing left over. A failing world
//! prints its seed and the shortest list of choices found that fails too.
//!
//! ```text
//! SIMULATION_SEEDS=1000000 cargo test --release --features testkit --test simulation -- lose_and_leave_nothing --nocapture
//! SIMULATION_SEED=77 cargo test --features testkit --test simulation -- lose_and_leave_nothing --nocapture
//! ```
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[macro_use]
#[path = "common/passing.rs"]
mod passing;
#[path = "simulation/choices.rs"]
mod choices;
#[path = "simulation/fleet.rs"]
mod fleet;
#[path = "simulation/invariants.rs"]
mod invariants;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/restored.rs"]
mod restored;
#[path = "simulation/rollouts.rs"]
mod rollouts;
#[path = "simulation/signed.rs"]
mod signed;
#[path = "simulation/world.rs"]
mod world;

use choices::{Choices, shrunk};
use net::Mutant;
use restored::RemovedRule;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use world::simulate;

/// Default number of worlds.
const SEEDS: u64 = if cfg!(debug_assertions) { 1_000 } else { 10_000 };

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a world, and returns its result and its choices.
type Simulation<'a> = &'a (dyn Fn(Choices) -> (Result<(), String>, Vec<u32>) + Sync);

/// Reports a failing seed with the shortest list of choices that fails too.
fn fail_by(seed: u64, fault: &str, made: Vec<u32>, simulate: Simulation<'_>) -> ! {
    let whole = made.len();
    let short = shrunk(made, Duration::from_secs(30), |list| {
        let (outcome, made) = simulate(Choices::given(list));
        outcome.err().map(|_| made)
    });
    let (outcome, _) = simulate(Choices::given(&short));
    let last = outcome.err().unwrap_or_default();
    panic!("seed {seed}: {fault}\nof {whole} choices {} are left: {last}\n{short:?}", short.len());
}

/// Runs the worlds of a number of seeds, or those that the environment names.
fn each_seed(seeds: u64, simulate: impl Fn(Choices) -> (Result<(), String>, Vec<u32>) + Sync) {
    if let Some(seed) = number("SIMULATION_SEED") {
        let (outcome, made) = simulate(Choices::seeded(seed));
        return if let Err(fault) = outcome {
            fail_by(seed, &fault, made, &simulate)
        };
    }
    let (from, seeds) = (number("SIMULATION_FROM").unwrap_or(0), number("SIMULATION_SEEDS").unwrap_or(seeds));
    let (next, begun) = (AtomicU64::new(from), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let (outcome, made) = simulate(Choices::seeded(seed));
                    if let Err(fault) = outcome {
                        next.store(from + seeds, Ordering::Relaxed);
                        fail_by(seed, &fault, made, &simulate);
                    }
                }
            });
        }
    });
    let rate = seeds as f64 / begun.elapsed().as_secs_f64();
    println!("{seeds} worlds from {from}, {rate:.0} a second");
}

#[test]
fn random_schedules_lose_and_leave_nothing() {
    each_seed(SEEDS, |choices| simulate(choices, None));
}

#[test]
fn same_choices_give_the_same_run() {
    for seed in 0..20 {
        let (outcome, made) = simulate(Choices::seeded(seed), None);
        assert_eq!(simulate(Choices::given(&made), None), (outcome, made), "seed {seed}");
    }
}

/// Maximum number of worlds until a mutant must be caught.
const PATIENCE: u64 = 5_000;

fn caught(mutant: Mutant) {
    for seed in 0..PATIENCE {
        if let (Err(fault), _) = simulate(Choices::seeded(seed), Some(mutant)) {
            assert_eq!(
                simulate(Choices::seeded(seed), None).0,
                Ok(()),
                "the world of seed {seed} fails without {mutant:?} too"
            );
            println!("{mutant:?} is caught by seed {seed}: {}", fault.chars().take(160).collect::<String>());
            return;
        }
    }
    panic!("{mutant:?} is not caught by {PATIENCE} worlds");
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident,)+) => {
        $(
            #[test]
            fn $name() {
                caught(Mutant::$mutant);
            }
        )+
    };
}

mutants! {
    writing_without_a_condition_is_caught: NoIfMatch,
    giving_up_a_hold_without_the_last_write_is_caught: NoLastWrite,
    an_old_record_after_the_component_is_caught: NoReread,
    a_key_that_is_used_again_is_caught: KeysReused,
    a_failure_that_cleans_up_is_caught: CleanUp,
    bytes_that_are_not_there_are_caught: EarlyAnswer,
    a_blind_ledger_is_caught: BlindLedger,
    a_torn_ledger_is_caught: TornLedger,
    lost_audit_records_are_caught: NoRecords,
    a_full_copy_that_is_not_put_aside_is_caught: NotAside,
    a_service_that_does_not_recover_is_caught: NoRecovery,
    a_service_that_does_not_collect_is_caught: NoCollection,
    a_service_that_does_not_sweep_is_caught: NoSweep,
    a_service_that_does_not_reconcile_is_caught: NoReconciliation,
    a_service_that_verifies_nothing_is_caught: NoVerification,
}

/// Number of worlds with an older ledger or a second one.
const RESTORED: u64 = 500;

#[test]
fn restored_or_second_ledger_deletes_no_needed_file() {
    for seed in 0..RESTORED {
        let outcome = restored::simulate(&Choices::seeded(seed), None);
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

fn lax_is_caught(removed: RemovedRule) {
    let caught = (0..RESTORED).find_map(|seed| restored::simulate(&Choices::seeded(seed), Some(removed)).err());
    println!("{removed:?} is caught: {}", caught.unwrap_or_else(|| panic!("{removed:?} is not caught")));
}

#[test]
fn service_that_skips_the_component_check_is_caught() {
    lax_is_caught(RemovedRule::NoReferences);
}

#[test]
fn service_that_skips_pairing_is_caught() {
    lax_is_caught(RemovedRule::NoPairing);
}
