//! The clauses of R13 of [`ResourceStore`] for a store with a given clock: the times of versions when the clock jumps.
//!
//! They need a store with a clock that the kit can move. A store that takes its times from its engine is tested where
//! the engine's own records can be moved.

use super::{BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, ensure, fresh, macros};
use crate::search::{IndexEntries, ResourceType};
use crate::store::{Clock, CommitError, Key, MAX_CLOCK_SKEW, Precondition, ResourceStore, Tenant, Version, Write};
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use time::OffsetDateTime;

#[doc(hidden)]
#[macro_export]
macro_rules! __clock_clauses {
    ($then:path { $($arguments:tt)* }) => {
        $then! { { $($arguments)* }
            /// A version has the time of the clock.
            r13_version_has_the_time_of_the_clock
            /// A clock that steps back by no more than the allowed skew makes no version older than its predecessor.
            r13_small_backward_clock_step_is_hidden
            /// After the clock was ahead by more than the skew, later versions have the true time again.
            r13_time_far_ahead_recovers
            /// Deletions, and creations after a deletion, have times by the same rule.
            r13_deletion_time_follows_the_same_rule
            /// Versions are in the order of their numbers, whatever their times.
            r13_versions_keep_their_order_when_the_clock_jumps
            /// A clock jump seen by one resource affects no other.
            r13_each_resource_has_its_own_times
        }
    };
}

/// The clauses on which the others rest: while one is broken, many others are too.
const FOUNDATIONS: &[&str] = &["r13_version_has_the_time_of_the_clock"];

__clock_clauses! { macros::functions { TimedStore } }

/// A manual clock. Clones share the time.
///
/// ```
/// use fhir_devices::store::Clock;
/// use fhir_devices::testkit::store::clock::TestClock;
/// let clock = TestClock::new();
/// let before = clock.now();
/// clock.turn(-3);
/// assert_eq!((clock.now() - before).whole_seconds(), -3);
/// ```
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Creates a clock that shows a day in 2017.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_492_596_000)))
    }

    /// Moves the clock by a number of seconds, which may be negative.
    pub fn turn(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.load(Ordering::Relaxed)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// A store under test, with its clock.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::testkit::store::clock::{TestClock, TimedStore};
/// let clock = TestClock::new();
/// let store = TimedStore::new(clock.clone(), Memory::new().with_clock(clock));
/// # drop(store);
/// ```
pub struct TimedStore {
    clock: TestClock,
    store: Box<dyn ResourceStore>,
}

impl TimedStore {
    /// Wraps a store that uses this clock.
    pub fn new(clock: TestClock, store: impl ResourceStore) -> Self {
        Self { clock, store: Box::new(store) }
    }
}

impl fmt::Debug for TimedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedStore").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// Runs the test that [`resource_clock_conformance!`](crate::resource_clock_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the store breaks the clause.
pub fn test(
    make: impl Future<Output = TimedStore>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, TimedStore>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |store| store, clause, foundations())
}

type Store<'a> = StoreUnderTest<'a, TimedStore>;

/// Five years, in seconds.
const FAR: i64 = 5 * 365 * 86_400;

impl Store<'_> {
    fn turn(&self, seconds: i64) {
        self.store.clock.turn(seconds);
    }

    /// Returns the time of the clock, in seconds.
    fn now(&self) -> i64 {
        self.store.clock.now().unix_timestamp()
    }

    fn made(&self, tenant: &Tenant, write: Write) -> ClauseResult<Version> {
        let made = self.wait(self.store.store.commit(tenant, vec![write]))?;
        let made = made.map_err(|CommitError { error, .. }| BrokenClause::what(format!("a write failed: {error}")))?;
        made.into_iter().next().ok_or_else(|| BrokenClause::what("a write made no version"))
    }

    /// Writes the next version, and returns its time in seconds.
    fn put(&self, tenant: &Tenant, key: &Key) -> ClauseResult<i64> {
        Ok(self.made(tenant, Write::put(key.clone(), "{}", IndexEntries::new()))?.last_updated.unix_timestamp())
    }
}

fn device(id: &str) -> ClauseResult<Key> {
    Key::new(ResourceType::Device, id).map_err(|error| BrokenClause::what(error.to_string()))
}

fn skew() -> i64 {
    i64::try_from(MAX_CLOCK_SKEW.as_secs()).unwrap_or(i64::MAX)
}

mod clauses {
    use super::*;

    pub(super) fn r13_version_has_the_time_of_the_clock(store: &Store<'_>) -> ClauseResult {
        let (t, key) = (fresh(), device("timed")?);
        for passed in [0, 1, 3_600, FAR] {
            store.turn(passed);
            let (made, now) = (store.put(&t, &key)?, store.now());
            ensure!(made == now, "a version that is made at {now} is of {made}");
            let read = store.wait(store.store.store.read(&t, &key))?;
            let read = read.map(|version| version.last_updated.unix_timestamp());
            ensure!(
                matches!(read, Ok(read) if read == made),
                "a version that was made of {made} is read as of {read:?}"
            );
        }
        Ok(ClauseOutcome::Held)
    }

    pub(super) fn r13_small_backward_clock_step_is_hidden(store: &Store<'_>) -> ClauseResult {
        let (t, key) = (fresh(), device("timed")?);
        let first = store.put(&t, &key)?;
        for fallen in [1, skew() - 1] {
            store.turn(-fallen);
            let made = store.put(&t, &key)?;
            ensure!(made == first, "the clock fell back by {fallen} s, and a version of {made} follows one of {first}");
        }
        store.turn(skew() + 1);
        let (made, now) = (store.put(&t, &key)?, store.now());
        ensure!(made == now, "the clock went on to {now}, and a version is of {made}");
        Ok(ClauseOutcome::Held)
    }

    pub(super) fn r13_time_far_ahead_recovers(store: &Store<'_>) -> ClauseResult {
        // The clock moves on by two seconds meanwhile.
        for ahead in [skew() + 5, FAR] {
            let (t, key) = (fresh(), device("timed")?);
            store.put(&t, &key)?;
            store.turn(ahead);
            store.put(&t, &key)?;
            store.turn(-ahead);
            for version in 3..5 {
                store.turn(1);
                let (made, now) = (store.put(&t, &key)?, store.now());
                ensure!(
                    made == now,
                    "the clock was ahead by {ahead} s once, and version {version}, made at {now}, is of {made}"
                );
            }
        }
        Ok(ClauseOutcome::Held)
    }

    pub(super) fn r13_deletion_time_follows_the_same_rule(store: &Store<'_>) -> ClauseResult {
        let (t, key) = (fresh(), device("timed")?);
        let first = store.put(&t, &key)?;
        store.turn(-1);
        let deleted = store.made(&t, Write::delete(key.clone(), Precondition::Exists))?.last_updated.unix_timestamp();
        ensure!(
            deleted == first,
            "the clock fell back by 1 s, and a deletion of {deleted} follows a version of {first}"
        );
        store.turn(-1);
        let again = store.put(&t, &key)?;
        ensure!(again == first, "the clock fell back by 2 s, and a version of {again} follows a deletion of {first}");
        store.turn(FAR);
        store.put(&t, &key)?;
        store.turn(-FAR);
        let deleted = store.made(&t, Write::delete(key.clone(), Precondition::Exists))?.last_updated.unix_timestamp();
        let now = store.now();
        ensure!(deleted == now, "the clock was far ahead once, and a deletion, made at {now}, is of {deleted}");
        Ok(ClauseOutcome::Held)
    }

    pub(super) fn r13_versions_keep_their_order_when_the_clock_jumps(store: &Store<'_>) -> ClauseResult {
        if !store.store.store.capabilities().history {
            return Ok(ClauseOutcome::Skipped("history"));
        }
        let (t, key) = (fresh(), device("timed")?);
        for jump in [0, FAR, -FAR, 10, -5] {
            store.turn(jump);
            store.put(&t, &key)?;
        }
        let limit = NonZeroU32::MIN.saturating_add(99);
        let history = store.wait(store.store.store.history(&t, &key, limit, None))?;
        let history = history.map_err(|error| BrokenClause::what(format!("the history failed: {error}")))?;
        let numbers: Vec<_> = history.items.iter().map(|version| version.version.get()).collect();
        let descending = numbers.iter().zip(numbers.iter().skip(1)).all(|(newer, older)| newer > older);
        ensure!(descending && numbers.first() == Some(&5), "after a jump of the clock the history is {numbers:?}");
        let read = store.wait(store.store.store.read(&t, &key))?.map(|version| version.version.get());
        ensure!(matches!(read, Ok(5)), "after a jump of the clock {read:?} is read, wanted version 5");
        Ok(ClauseOutcome::Held)
    }

    pub(super) fn r13_each_resource_has_its_own_times(store: &Store<'_>) -> ClauseResult {
        let (t, one, other) = (fresh(), device("one")?, device("other")?);
        store.put(&t, &one)?;
        store.turn(-1);
        let (made, now) = (store.put(&t, &other)?, store.now());
        ensure!(made == now, "the first version of a resource, made at {now}, is of {made}");
        Ok(ClauseOutcome::Held)
    }
}
