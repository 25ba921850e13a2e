//! The clock of a store.

use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// Clock of a store, for `meta.lastUpdated`.
///
/// A clock may jump back or ahead: [`commit_time`] corrects small steps back. A closure is a clock.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use time::macros::datetime;
///
/// let store = Memory::new().with_clock(|| datetime!(2017-04-19 10:00 UTC));
/// # drop(store);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time, in any UTC offset.
    fn now(&self) -> OffsetDateTime;
}

impl<F: Fn() -> OffsetDateTime + Send + Sync + 'static> Clock for F {
    fn now(&self) -> OffsetDateTime {
        self()
    }
}

/// Clock of the operating system, in UTC.
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

/// Truncates a time to the millisecond, the precision in which times are shown and searched.
pub(crate) fn to_millisecond(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_millisecond(moment.millisecond()).unwrap_or(moment)
}

/// Maximum lag of the clock behind the previous version up to which that version's time is used again. Synchronized
/// clocks differ by less.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Returns the `last_updated` of a version made now (R13): never before that of the previous version, unless that one
/// is ahead by more than [`MAX_CLOCK_SKEW`]. The clock was then wrong when the previous version was made, and the
/// current time is used.
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
