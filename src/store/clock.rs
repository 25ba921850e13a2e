//! The clock of a store.

use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// The clock of a store, for `meta.lastUpdated`.
///
/// A clock may jump, back or ahead: [`commit_time`] says what becomes of it. A closure is a clock.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use time::macros::datetime;
///
/// let store = Memory::new().with_clock(|| datetime!(2017-04-19 10:00 UTC));
/// # drop(store);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the time, in any offset.
    fn now(&self) -> OffsetDateTime;
}

impl<F: Fn() -> OffsetDateTime + Send + Sync + 'static> Clock for F {
    fn now(&self) -> OffsetDateTime {
        self()
    }
}

/// The clock of the machine, in UTC.
///
/// ```
/// use fhir_devices::store::{Clock, SystemClock};
/// assert!(SystemClock.now().year() > 2017);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

impl Clock for Arc<dyn Clock> {
    fn now(&self) -> OffsetDateTime {
        (**self).now()
    }
}

/// Returns a time as it is shown and searched: to the millisecond, which every client can keep.
pub(crate) fn to_millisecond(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_millisecond(moment.millisecond()).unwrap_or(moment)
}

/// How far a clock may be behind the time of the version before, and that time counts all the same: clocks of machines that
/// are kept in time differ by less.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Returns the `last_updated` of a version that is made now (R13): never before that of the version before it, unless
/// that one is ahead by more than [`MAX_CLOCK_SKEW`]. Then the clock was wrong when it was made, and the true time
/// counts again.
///
/// ```
/// use fhir_devices::store::commit_time;
/// use time::macros::datetime;
/// let now = datetime!(2017-04-19 10:00 UTC);
/// assert_eq!(commit_time(now, Some(datetime!(2017-04-19 10:00:05 UTC))), datetime!(2017-04-19 10:00:05 UTC));
/// assert_eq!(commit_time(now, Some(datetime!(2022-04-19 10:00 UTC))), now);
/// ```
#[must_use]
pub fn commit_time(now: OffsetDateTime, before: Option<OffsetDateTime>) -> OffsetDateTime {
    match before {
        Some(before) if before > now && before - now <= MAX_CLOCK_SKEW => before,
        _ => now,
    }
}
