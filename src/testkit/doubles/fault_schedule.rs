//! Fault schedules.

use crate::store::{BoxFuture, StoreError};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// The outcome of one call of a [`Faulty`](super::Faulty) store. Every outcome keeps the contract: its error means what
/// the contract says.
///
/// ```
/// use fhir_devices::testkit::CallOutcome;
/// assert!(CallOutcome::ALL.contains(&CallOutcome::Lost));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The call succeeds.
    Works,
    /// The call fails before it has any effect.
    Unavailable,
    /// The call is refused before it has any effect, with a time to wait.
    Throttled,
    /// A write is applied, but its acknowledgement is lost. A read fails.
    Lost,
    /// A write is not applied, and its error leaves the outcome unknown. A read fails.
    Dropped,
    /// A write fails with an unknown outcome, and is applied at the beginning of a later call. A read fails.
    Late,
    /// A write that can be applied only once is sent twice; the answer is the outcome of the first.
    Twice,
    /// A write to a blob fails halfway, and so does the stream of a blob read. Other calls succeed.
    Torn,
}

impl CallOutcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Works,
        Self::Unavailable,
        Self::Throttled,
        Self::Lost,
        Self::Dropped,
        Self::Late,
        Self::Twice,
        Self::Torn,
    ];
}

/// The outcome of one call, and how often its future returns `Pending` before and after its effect.
///
/// ```
/// use fhir_devices::testkit::{CallOutcome, CallPlan};
/// assert_eq!(CallPlan::of(CallOutcome::Lost), CallPlan { fate: CallOutcome::Lost, before: 0, after: 0 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPlan {
    /// The outcome of the call.
    pub fate: CallOutcome,
    /// Number of pending polls before the effect.
    pub before: u8,
    /// Number of pending polls after the effect.
    pub after: u8,
}

impl CallPlan {
    /// Creates a plan without delay.
    #[must_use]
    pub const fn of(fate: CallOutcome) -> Self {
        Self { fate, before: 0, after: 0 }
    }

    /// Returns the plan for call number `call` under a seed.
    pub(super) fn seeded(seed: u64, call: u64) -> Self {
        let dice = mixed(seed ^ mixed(call));
        let fate = match dice % 16 {
            0 => CallOutcome::Unavailable,
            1 => CallOutcome::Throttled,
            2 | 3 => CallOutcome::Lost,
            4 => CallOutcome::Dropped,
            5 => CallOutcome::Late,
            6 => CallOutcome::Twice,
            7 => CallOutcome::Torn,
            _ => CallOutcome::Works,
        };
        let delay = |shift: u32| u8::try_from((dice >> shift) % 4).unwrap_or_default();
        Self { fate, before: delay(8), after: delay(16) }
    }
}

/// Spreads the bits of a number (SplitMix64).
pub(in super::super) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

type Plans = Box<dyn Fn(u64) -> CallPlan + Send + Sync>;

/// State that a faulty store shares with its blob writers.
pub(super) struct FaultSchedule {
    plans: Plans,
    pub(super) allowed: Mutex<Vec<CallOutcome>>,
    calls: AtomicU64,
    pub(super) calm: AtomicBool,
    late: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl FaultSchedule {
    pub(super) fn new(plans: Plans) -> Self {
        Self {
            plans,
            allowed: Mutex::new(CallOutcome::ALL.to_vec()),
            calls: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            late: Mutex::default(),
        }
    }

    /// Returns the number of calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns the plan of the next call. Calls are counted from 1.
    pub(super) fn next(&self) -> CallPlan {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.calm.load(Ordering::Relaxed) {
            return CallPlan::of(CallOutcome::Works);
        }
        let plan = (self.plans)(call);
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner).contains(&plan.fate);
        if allowed { plan } else { CallPlan { fate: CallOutcome::Works, ..plan } }
    }

    /// Postpones a write until a later call.
    pub(super) fn put_off(&self, write: BoxFuture<'static, ()>) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).push(write);
    }

    /// Carries out the postponed writes.
    pub(super) async fn catch_up(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for write in late {
            write.await;
        }
    }
}

/// Stays pending for a number of polls, yielding to other threads at each.
pub(super) async fn pause(polls: u8) {
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        thread::yield_now();
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) fn unavailable() -> StoreError {
    StoreError::unavailable(None, Some("a fault that was wanted".into()))
}

pub(super) fn throttled() -> StoreError {
    StoreError::throttled(Some(Duration::from_millis(1)))
}

pub(super) fn unknown() -> StoreError {
    StoreError::indeterminate(Some("a fault that was wanted".into()))
}
