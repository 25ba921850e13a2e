//! Checking a clause on a store.

use crate::store::{PageToken, Tenant};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// A future that the test kit runs to completion on the calling thread.
///
/// ```
/// use fhir_devices::testkit::store::{Task, block_on};
/// let task: Task<'_> = Box::pin(async {});
/// block_on(task);
/// ```
pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs a [`Task`] to completion on the calling thread. It is called from several threads at once.
///
/// ```
/// use fhir_devices::testkit::store::{BlockOn, block_on};
/// let own: &BlockOn<'_> = &|task| block_on(task);
/// own(Box::pin(async {}));
/// ```
pub type BlockOn<'a> = dyn for<'f> Fn(Task<'f>) + Sync + 'a;

/// A broken clause.
///
/// ```
/// use fhir_devices::testkit::store::BrokenClause;
/// let broken = BrokenClause::new("r6_delete_needs_an_existing_resource", "a deletion of nothing was taken");
/// assert_eq!(
///     broken.to_string(),
///     "`r6_delete_needs_an_existing_resource` is broken: a deletion of nothing was taken",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenClause {
    /// The name of the clause, beginning with its number in the docs of the trait.
    pub clause: &'static str,
    /// The text of the clause; empty where the check does not belong to a suite.
    pub text: &'static str,
    /// The observed and the expected behaviour.
    pub what: String,
    /// A simpler broken clause, on which this one rests.
    pub cause: Option<Box<BrokenClause>>,
}

impl BrokenClause {
    /// Creates a broken clause.
    pub fn new(clause: &'static str, what: impl Into<String>) -> Self {
        Self { clause, text: "", what: what.into(), cause: None }
    }

    /// Creates a failure whose clause is not known yet.
    pub(super) fn what(what: impl Into<String>) -> Self {
        Self::new("", what)
    }

    pub(super) fn under(mut self, clause: &'static str, text: &'static str) -> Self {
        if self.clause.is_empty() {
            self.clause = clause;
            self.text = text.trim_ascii();
        }
        self
    }

    pub(super) fn because(mut self, cause: Option<Self>) -> Self {
        self.cause = cause.map(Box::new);
        self
    }
}

impl std::error::Error for BrokenClause {}

/// Shows the likely cause first.
impl fmt::Display for BrokenClause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clause, text, what, cause } = self;
        match cause {
            Some(cause) => write!(f, "likely cause: {cause}\n`{clause}`, which rests on it, is broken too: {what}")?,
            None => write!(f, "`{clause}` is broken: {what}")?,
        }
        match *text {
            "" => Ok(()),
            text => write!(f, "\n    the clause: {text}"),
        }
    }
}

/// Shows the same text as `Display`, for tests that return the error.
impl fmt::Debug for BrokenClause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The result of a clause that the store does not break.
///
/// ```
/// use fhir_devices::testkit::store::ClauseOutcome;
/// assert_ne!(ClauseOutcome::Held, ClauseOutcome::Skipped("history"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClauseOutcome {
    /// The store keeps the clause.
    Held,
    /// The clause needs a capability that the store lacks.
    Skipped(&'static str),
}

/// The result of checking a clause.
///
/// ```
/// use fhir_devices::testkit::store::{ClauseResult, ClauseOutcome};
/// let held: ClauseResult = Ok(ClauseOutcome::Held);
/// assert!(held.is_ok());
/// ```
pub type ClauseResult<T = ClauseOutcome> = Result<T, BrokenClause>;

/// A store under test, and the executor of its futures.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::ResourceStore;
/// use fhir_devices::testkit::store::{ClauseOutcome, StoreUnderTest, block_on, resources};
/// let memory = Memory::new();
/// let store: &dyn ResourceStore = &memory;
/// let trial = StoreUnderTest::new(store, &|task| block_on(task));
/// assert_eq!(resources::r3_versions_continue_after_a_deletion(&trial)?, ClauseOutcome::Held);
/// # Ok::<(), fhir_devices::testkit::store::BrokenClause>(())
/// ```
pub struct StoreUnderTest<'a, S: ?Sized> {
    pub(super) store: &'a S,
    block_on: &'a BlockOn<'a>,
}

impl<'a, S: ?Sized> StoreUnderTest<'a, S> {
    /// Creates a store under test.
    #[must_use]
    pub fn new(store: &'a S, block_on: &'a BlockOn<'a>) -> Self {
        Self { store, block_on }
    }

    /// Runs one future to completion.
    ///
    /// # Errors
    /// [`BrokenClause`] when `block_on` returns before the future has ended.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> ClauseResult<T> {
        let mut output = None;
        (self.block_on)(Box::pin(async { output = Some(future.await) }));
        output.ok_or_else(|| BrokenClause::what("`block_on` came back before the future had ended"))
    }
}

impl<S: Sync + ?Sized> StoreUnderTest<'_, S> {
    /// Runs the work on several threads at once, each with its number.
    pub(super) fn together(&self, threads: usize, work: impl Fn(usize) -> ClauseResult<()> + Sync) -> ClauseResult<()> {
        let work = &work;
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
            let panicked = |_| Err(BrokenClause::what("a call panicked"));
            all.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
        })
    }
}

impl<S: ?Sized> Clone for StoreUnderTest<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for StoreUnderTest<'_, S> {}

impl<S: ?Sized> fmt::Debug for StoreUnderTest<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUnderTest").finish_non_exhaustive()
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to completion on this thread: enough for stores that need no runtime.
///
/// ```
/// assert_eq!(fhir_devices::testkit::store::block_on(async { 7 }), 7);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls a future at most `polls` times, then drops it. `None` says that it had not ended.
///
/// The future wakes its task between polls, so that a store that waits for its engine makes progress.
///
/// ```
/// use fhir_devices::testkit::store::{block_on, polled};
/// assert_eq!(block_on(polled(async { 7 }, 1)), Some(7));
/// assert_eq!(block_on(polled(async { 7 }, 0)), None);
/// ```
pub async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Whether `now` is possible after the write of number `last` was dropped: the state before, that write, or an earlier
/// dropped write that arrived after a read had not shown it.
pub(super) fn may_have_arrived(before: Option<&[u8]>, now: Option<&[u8]>, last: usize) -> bool {
    let number = |value: Option<&[u8]>| std::str::from_utf8(value?).ok()?.parse::<usize>().ok();
    let first = number(before).map_or(0, |number| number + 1);
    now == before || number(now).is_some_and(|number| (first..=last).contains(&number))
}

pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Returns an unused tenant.
pub(in super::super) fn fresh() -> Tenant {
    let name = format!("kit-{:016x}{:016x}", random(), random());
    // The text is a valid tenant; should the rules change, the fallback is a valid one.
    Tenant::new(&name).or_else(|_| Tenant::new("kit")).unwrap_or_else(|_| fresh())
}

/// Returns the token with one character changed.
pub(super) fn damaged(token: &PageToken, at: usize) -> ClauseResult<PageToken> {
    let swap = |(n, c): (usize, char)| match c {
        'A' if n == at => 'B',
        _ if n == at => 'A',
        c => c,
    };
    let text: String = token.as_str().chars().enumerate().map(swap).collect();
    text.parse().map_err(|error| BrokenClause::what(format!("{error}")))
}

/// Fails the clause unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)*) => {
        if !$condition {
            return Err($crate::testkit::store::BrokenClause::new("", format!($($what)*)));
        }
    };
}

/// Fails the clause unless the value matches the pattern.
macro_rules! wanted {
    ($value:expr, $pattern:pat $(if $guard:expr)?, $($what:tt)*) => {
        match $value {
            $pattern $(if $guard)? => {}
            found => {
                let what = format!($($what)*);
                let wanted = stringify!($pattern $(if $guard)?);
                return Err($crate::testkit::store::BrokenClause::new("", format!("{what}: found {found:?}, wanted {wanted}")));
            }
        }
    };
}

pub(super) use {ensure, wanted};
