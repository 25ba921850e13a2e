//! Fault schedules.

use crate::store::{BoxFuture, StoreError};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// The outcome of one call of a [`Faulty`](super::Faulty) store. Each keeps the contract: the errors are what the
/// contract says of them.
///
/// ```
/// use fhir_devices::testkit::CallOutcome;
/// assert!(CallOutcome::ALL.contains(&CallOutcome::Lost));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The call is carried out.
    Works,
    /// The call fails before anything was done.
    Unavailable,
    /// The call is refused before anything was done, with a time to wait.
    Throttled,
    /// A write is applied, and the acknowledgement is lost. A read fails.
    Lost,
    /// A write is not applied, and the answer does not say so. A read fails.
    Dropped,
    /// A write is answered as one of unknown outcome, and applied at the beginning of a later call. A read fails.
    Late,
    /// A write that can be applied only once is sent twice, and answered by its first outcome.
    Twice,
    /// A write to a file fails in the middle, and the stream of a read of one. Other calls work.
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

/// The outcome of one call, and how often its future is pending before and after its effect.
///
/// ```
/// use fhir_devices::testkit::{CallOutcome, CallPlan};
/// assert_eq!(CallPlan::of(CallOutcome::Lost), CallPlan { fate: CallOutcome::Lost, before: 0, after: 0 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPlan {
    /// The outcome of the call.
    pub fate: CallOutcome,
    /// The polls before its effect.
    pub before: u8,
    /// The polls after its effect.
    pub after: u8,
}

impl CallPlan {
    /// Creates a plan without delay.
    #[must_use]
    pub const fn of(fate: CallOutcome) -> Self {
        Self { fate, before: 0, after: 0 }
    }

    /// Returns the plan of the call of this number under a seed.
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

/// What a faulty store shares with its writers.
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

    /// Puts a write off until a later call.
    pub(super) fn put_off(&self, write: BoxFuture<'static, ()>) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).push(write);
    }

    /// Carries out what was put off.
    pub(super) async fn catch_up(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for write in late {
            write.await;
        }
    }
}

/// Is pending for a number of polls, and yields to other threads.
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
