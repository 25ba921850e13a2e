//! The one thing that a store asks of the outside: what time it is.

use std::sync::Arc;
use time::OffsetDateTime;

/// Tells a store the time for `meta.lastUpdated`.
///
/// A clock may jump back: the store keeps the time of each resource from falling. A closure is a clock.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use time::macros::datetime;
///
/// let store = Memory::new().with_clock(|| datetime!(2017-04-19 10:00 UTC));
/// # drop(store);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The time, in any offset.
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
