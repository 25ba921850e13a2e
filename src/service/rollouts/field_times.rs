//! The time of updates from release to version report, counted as reports arrive.

use std::time::Duration;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// The upper bounds of the intervals, in seconds.
const BOUNDS: [u64; 14] = [
    60,
    10 * 60,
    HOUR,
    4 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
    180 * DAY,
];

/// A histogram of the times from the release of an update to the report of its version, over the components that
/// succeeded in this process. The exact times of one rollout are in
/// [`RolloutService::measures`](super::RolloutService::measures).
///
/// ```
/// use fhir_devices::service::FieldTimes;
/// use std::time::Duration;
/// let mut times = FieldTimes::default();
/// for hours in [1, 2, 3, 30] {
///     times.count(Duration::from_secs(hours * 3_600));
/// }
/// assert_eq!((times.total(), times.sum().as_secs()), (4, 36 * 3_600));
/// assert_eq!(times.quantile(500), Some(Duration::from_secs(4 * 3_600)));
/// assert_eq!(FieldTimes::default().quantile(500), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldTimes {
    /// Counts per interval; the last interval is above every bound.
    within: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl FieldTimes {
    /// Counts one component.
    pub fn count(&mut self, time: Duration) {
        let index = BOUNDS.partition_point(|bound| Duration::from_secs(*bound) < time);
        if let Some(count) = self.within.get_mut(index) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// Returns the number of components.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.within.iter().sum()
    }

    /// Returns the sum of their times.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns the number of components within each bound. `None` stands for any time.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS.iter().map(|bound| Some(Duration::from_secs(*bound))).chain([None]);
        bounds.zip(self.within).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// Returns the bound within which `permille` thousandths of the components are; `None` without any. Above the last
    /// bound, it is that bound.
    #[must_use]
    pub fn quantile(&self, permille: u16) -> Option<Duration> {
        let wanted = self.total().saturating_mul(permille.into()).div_ceil(1_000).max(1);
        let found = self.cumulative().find(|(_, sum)| *sum >= wanted)?;
        Some(found.0.unwrap_or(Duration::from_secs(BOUNDS.last().copied().unwrap_or_default())))
    }
}
