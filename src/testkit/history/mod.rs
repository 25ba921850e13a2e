//! Concurrent calls recorded with their times, and the check that one order explains them all (linearizability).
//!
//! A store is linearizable if each call seems to take effect at one moment between the call and its answer.
//! [`resources`] and [`ledger`] make seeded histories of a store on several threads, through a
//! [`Faulty`](super::Faulty) whose faults keep the contract, with calls that are dropped halfway, and search for such
//! an order. A call of unknown outcome may take effect at any later time, or never; a call that reports that nothing
//! was applied has no effect.
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::store::ResourceStore;
//! use fhir_devices::testkit::{history, store::block_on};
//! use std::sync::Arc;
//!
//! let store: Arc<dyn ResourceStore> = Arc::new(Memory::new());
//! history::resources(&store, &|task| block_on(task), 0..20)?;
//! # Ok::<(), fhir_devices::testkit::store::BrokenClause>(())
//! ```
//!
//! The seed fixes the calls of each thread and which of them fail; how the threads interleave is up to the machine. The
//! error names the seed, and shows the calls at one resource that no order explains, cut down to the contradiction.
//!
//! [`linearizable`] is the search, for a [`Model`] of the caller's; its time grows with the number of overlapping
//! calls. For long runs, [`in_order`] checks the versions alone.

mod ledger;
mod order;
mod resources;
mod search;

use super::store::{BlockOn, BrokenClause, ClauseResult};
pub use ledger::ledger;
pub use order::{Acknowledged, in_order};
pub use resources::resources;
pub use search::{Model, Recorded, linearizable};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of threads of a history.
const THREADS: u64 = 4;
/// Number of calls of each thread.
const CALLS: u64 = 24;

/// A counter that orders the moments of a history.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Ticks {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Random numbers from a seed.
struct Numbers(u64);

impl Numbers {
    /// Returns a number from 0 to `end`, exclusive.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = super::doubles::mixed(self.0);
        (self.0 >> 16) % end.max(1)
    }
}

/// Runs the threads of a history, each with its number; all begin at once.
fn together<T: Send>(work: impl Fn(u64) -> ClauseResult<Vec<T>> + Sync) -> ClauseResult<Vec<T>> {
    let started = std::sync::Barrier::new(usize::try_from(THREADS).unwrap_or_default());
    let (work, started) = (&work, &started);
    std::thread::scope(|scope| {
        let spawn = |number| {
            scope.spawn(move || {
                started.wait();
                work(number)
            })
        };
        let all: Vec<_> = (0..THREADS).map(spawn).collect();
        let mut calls = Vec::new();
        for thread in all {
            let panicked = |_| Err(BrokenClause::new("history", "a call panicked"));
            calls.extend(thread.join().unwrap_or_else(panicked)?);
        }
        Ok(calls)
    })
}

/// Shows the calls at one object that no order explains, without those that the contradiction does not need.
fn contradiction<M>(
    model: &M,
    start: M::State,
    calls: &[Recorded<M::Call, M::Answer>],
    idle: impl Fn(&Recorded<M::Call, M::Answer>) -> bool,
) -> String
where
    M: Model<State: Debug, Call: Clone + Debug, Answer: Clone + Debug>,
{
    let (state, left) = search::smallest(model, start, calls, idle);
    format!("{} of {} calls, beginning with {state:?}:{}", left.len(), calls.len(), shown(&left))
}

fn shown<C: Debug, A: Debug>(calls: &[Recorded<C, A>]) -> String {
    let line = |call: &Recorded<C, A>| {
        let answer = call.answer.as_ref().map_or_else(|| "unknown".to_owned(), |answer| format!("{answer:?}"));
        format!("\n{:>4} to {:>4}: {:?} gives {answer}", call.began, call.ended, call.call)
    };
    calls.iter().map(line).collect()
}

fn wait<T>(block_on: &BlockOn<'_>, future: impl Future<Output = T>) -> ClauseResult<T> {
    super::store::StoreUnderTest::new(&(), block_on).wait(future)
}
