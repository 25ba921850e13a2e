//! The delivery state of a subscription: a state machine without I/O and without a clock.

use crate::code::SubscriptionStatus;
use crate::store::{Sha256, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use time::OffsetDateTime;

/// The time limits for sending notifications.
///
/// ```
/// use fhir_devices::subscription::Pace;
/// use std::time::Duration;
/// let mut pace = Pace::default();
/// pace.give_up_after = Duration::from_secs(86_400);
/// assert!(pace.lease > pace.send_timeout * 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// How late a change may become visible: because a store shows it late, or a clock was set back. Changes of this
    /// period are read again each time.
    pub overlap: Duration,
    /// The duration of a service's lease of a subscription. The service stops sending early enough that the clocks of
    /// services may differ by a third of it.
    pub lease: Duration,
    /// The timeout of one notification.
    pub send_timeout: Duration,
    /// The delay before the first retry of a failed notification; it doubles with each further retry.
    pub first_retry: Duration,
    /// The maximum delay between two tries.
    pub longest_retry: Duration,
    /// The time without success after which a subscription is turned off.
    pub give_up_after: Duration,
}

impl Default for Pace {
    /// Returns 10 seconds, 45 seconds, 10 seconds, 5 seconds, an hour, 3 days, in the order of the fields.
    fn default() -> Self {
        Self {
            overlap: Duration::from_secs(10),
            lease: Duration::from_secs(45),
            send_timeout: Duration::from_secs(10),
            first_retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(3_600),
            give_up_after: Duration::from_secs(3 * 86_400),
        }
    }
}

/// An event of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The subscription was set up.
    SetUp,
    /// A notification was accepted.
    Sent,
    /// A notification was not accepted, and will be retried.
    Failed,
    /// Notifications have failed for too long.
    GivenUp,
    /// The end of the subscription was reached.
    Ended,
}

/// Returns the status of a subscription after an event.
pub(crate) const fn after(status: SubscriptionStatus, event: Event) -> SubscriptionStatus {
    use SubscriptionStatus::{Active, Error, Off, Requested};
    match (status, event) {
        (Off, _) | (_, Event::GivenUp | Event::Ended) => Off,
        (Requested, Event::SetUp) | (Active | Error | Requested, Event::Sent) => Active,
        (Active | Error | Requested, Event::Failed) => Error,
        (Active | Error, Event::SetUp) => status,
    }
}

/// Maximum number of recent notifications remembered, so that none is sent again.
pub(crate) const MOST_SENT: usize = 3_500;

/// Stored bytes per notification: the digest of its version, and its time after the settled one in milliseconds.
const BYTES: usize = 12;

/// The delivery state of a subscription, stored in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// All versions made before this time are done.
    pub(crate) settled: OffsetDateTime,
    /// The sent versions made since, each with its time.
    sent: BTreeMap<u64, OffsetDateTime>,
    /// The number of failed tries since the last success.
    failures: u32,
    /// The time of the first of them.
    failing_since: Option<OffsetDateTime>,
    /// The time of the next try.
    pub(crate) retry_at: Option<OffsetDateTime>,
    /// The holder of the lease, and its end.
    holder: Option<(u128, OffsetDateTime)>,
}

/// The reaction to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    Retry,
    GiveUp,
}

fn digest(version: &Version) -> u64 {
    let digest = Sha256::of(format!("{} {}", version.key, version.version).as_bytes());
    digest.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Delivery {
    /// Creates the state of a subscription that starts at a moment; the `known` versions are not sent.
    pub(crate) fn starting<'v>(at: OffsetDateTime, known: impl IntoIterator<Item = &'v Version>) -> Self {
        let sent = known.into_iter().map(|version| (digest(version), version.last_updated)).take(MOST_SENT).collect();
        Self { settled: at, sent, failures: 0, failing_since: None, retry_at: None, holder: None }
    }

    /// Returns the moment from which changes are read.
    pub(crate) fn looks_from(&self, now: OffsetDateTime, pace: &Pace) -> OffsetDateTime {
        self.settled.min(now - pace.overlap)
    }

    /// Returns whether the next try is due.
    pub(crate) fn is_due(&self, now: OffsetDateTime, pace: &Pace) -> bool {
        // A try further away than the maximum delay was set while the clock was wrong.
        self.retry_at.is_none_or(|at| at <= now || at > now + pace.longest_retry)
    }

    /// Returns whether a version was sent.
    pub(crate) fn has_sent(&self, version: &Version) -> bool {
        self.sent.contains_key(&digest(version))
    }

    /// Returns whether no more versions can be remembered at present.
    pub(crate) fn is_full(&self) -> bool {
        self.sent.len() >= MOST_SENT
    }

    /// Notes that a version was sent.
    pub(crate) fn was_sent(&mut self, version: &Version) {
        self.sent.insert(digest(version), version.last_updated);
        (self.failures, self.failing_since, self.retry_at) = (0, None, None);
    }

    /// Notes that all changes up to a moment are done.
    pub(crate) fn has_passed(&mut self, moment: OffsetDateTime, now: OffsetDateTime, pace: &Pace) {
        self.settled = self.settled.max(moment.min(now - pace.overlap));
        let settled = self.settled;
        self.sent.retain(|_, time| *time >= settled);
    }

    /// Notes that a notification was not accepted.
    pub(crate) fn has_failed(
        &mut self,
        now: OffsetDateTime,
        retry_after: Option<Duration>,
        pace: &Pace,
    ) -> AfterFailure {
        let since = *self.failing_since.get_or_insert(now);
        let doubled = pace.first_retry.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.max(retry_after.unwrap_or_default()).min(pace.longest_retry);
        self.retry_at = Some(now + pause);
        if now - since >= pace.give_up_after { AfterFailure::GiveUp } else { AfterFailure::Retry }
    }

    /// Makes the next try due at once, because the client reactivated the subscription.
    pub(crate) fn begin_anew(&mut self) {
        (self.failures, self.failing_since, self.retry_at) = (0, None, None);
    }

    /// Takes or renews the lease of a subscription; `false` where another service holds it.
    pub(crate) fn take(&mut self, holder: u128, now: OffsetDateTime, pace: &Pace) -> bool {
        let of_another = self.holder.is_some_and(|(other, until)| {
            // A lease that lasts longer than any lease can was taken while the clock was wrong.
            other != holder && now < until && until <= now + pace.lease * 2
        });
        if !of_another {
            self.holder = Some((holder, now + pace.lease));
        }
        !of_another
    }

    /// Releases the lease.
    pub(crate) fn release(&mut self) {
        self.holder = None;
    }

    /// Returns whether another notification may be sent: it must end within the lease.
    pub(crate) fn may_send(&self, holder: u128, now: OffsetDateTime, pace: &Pace) -> bool {
        let spare = pace.send_timeout + pace.lease / 3;
        self.holder.is_some_and(|(own, until)| own == holder && now + spare < until)
    }

    /// Returns the record in JSON.
    pub(crate) fn to_json(&self) -> String {
        let mut bytes = Vec::with_capacity(self.sent.len() * BYTES);
        for (digest, time) in &self.sent {
            // Rounded up, so that the version is not forgotten too early.
            let millis = (*time - self.settled).whole_microseconds().max(0).unsigned_abs().div_ceil(1_000);
            let millis = u32::try_from(millis).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&digest.to_be_bytes());
            bytes.extend_from_slice(&millis.to_be_bytes());
        }
        let record = Record {
            form: 1,
            settled: self.settled,
            sent: STANDARD_NO_PAD.encode(bytes),
            failures: self.failures,
            failing_since: self.failing_since,
            retry_at: self.retry_at,
            holder: self.holder.map(|(holder, until)| Holder { id: format!("{holder:032x}"), until }),
        };
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// Parses a record; `None` where it is invalid.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let record: Record = serde_json::from_slice(json).ok()?;
        let bytes = STANDARD_NO_PAD.decode(&record.sent).ok()?;
        let sent = bytes.chunks_exact(BYTES).filter_map(|chunk| {
            let (digest, millis) = chunk.split_first_chunk::<8>()?;
            let millis = u32::from_be_bytes(millis.try_into().ok()?);
            let time = record.settled.checked_add(Duration::from_millis(u64::from(millis)).try_into().ok()?)?;
            Some((u64::from_be_bytes(*digest), time))
        });
        let holder = match record.holder {
            Some(holder) => Some((u128::from_str_radix(&holder.id, 16).ok()?, holder.until)),
            None => None,
        };
        Some(Self {
            settled: record.settled,
            sent: sent.collect(),
            failures: record.failures,
            failing_since: record.failing_since,
            retry_at: record.retry_at,
            holder,
        })
    }
}

/// The stored form of a [`Delivery`].
#[derive(Serialize, Deserialize)]
struct Record {
    form: u32,
    #[serde(with = "crate::primitive::moment")]
    settled: OffsetDateTime,
    #[serde(default)]
    sent: String,
    #[serde(default)]
    failures: u32,
    #[serde(default, with = "crate::primitive::moment::optional", skip_serializing_if = "Option::is_none")]
    failing_since: Option<OffsetDateTime>,
    #[serde(default, with = "crate::primitive::moment::optional", skip_serializing_if = "Option::is_none")]
    retry_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
}

#[derive(Serialize, Deserialize)]
struct Holder {
    id: String,
    #[serde(with = "crate::primitive::moment")]
    until: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::VersionId;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2017-04-19 10:00 UTC);

    fn version(number: u64, at: OffsetDateTime) -> Version {
        Version {
            key: "Device/a".parse().unwrap(),
            version: VersionId::new(number).unwrap(),
            last_updated: at,
            write_id: None,
            body: None,
        }
    }

    #[test]
    fn each_status_answers_each_event() {
        use SubscriptionStatus::{Active, Error, Off, Requested};
        for (event, wanted) in [
            (Event::SetUp, [Active, Active, Error, Off]),
            (Event::Sent, [Active, Active, Active, Off]),
            (Event::Failed, [Error, Error, Error, Off]),
            (Event::GivenUp, [Off; 4]),
            (Event::Ended, [Off; 4]),
        ] {
            assert_eq!([Requested, Active, Error, Off].map(|status| after(status, event)), wanted, "{event:?}");
        }
    }

    #[test]
    fn late_change_within_the_overlap_is_looked_at() {
        let pace = Pace::default();
        let mut delivery = Delivery::starting(NOW, []);
        let second = Duration::from_secs(1);
        let made = version(1, NOW + second);
        delivery.was_sent(&made);
        delivery.has_passed(made.last_updated, NOW + second * 2, &pace);
        // A change made two seconds ago becomes visible late.
        assert!(delivery.looks_from(NOW + second * 3, &pace) <= NOW);
        assert!(delivery.has_sent(&made) && !delivery.has_sent(&version(2, made.last_updated)));
        // Versions older than the overlap are done, and forgotten.
        delivery.has_passed(made.last_updated + second, NOW + second * 60, &pace);
        assert_eq!(delivery.settled, made.last_updated + second);
        assert!(!delivery.has_sent(&made));
        // A clock that was set back moves the start further back.
        assert!(delivery.looks_from(NOW - second * 30, &pace) < NOW - second * 30);
    }

    #[test]
    fn failed_sends_wait_twice_as_long_and_end() {
        let pace = Pace::default();
        let mut delivery = Delivery::starting(NOW, []);
        let mut now = NOW;
        let mut pauses = Vec::new();
        while delivery.has_failed(now, None, &pace) == AfterFailure::Retry {
            let at = delivery.retry_at.unwrap();
            assert!(!delivery.is_due(at - Duration::from_millis(1), &pace) && delivery.is_due(at, &pace));
            pauses.push((at - now).whole_seconds());
            now = at;
        }
        assert_eq!(pauses[..6], [5, 10, 20, 40, 80, 160]);
        assert_eq!(pauses.iter().max(), Some(&3_600));
        assert!((now - NOW).whole_days() == 3 && pauses.len() < 100, "{}", pauses.len());
        delivery.begin_anew();
        assert!(delivery.is_due(NOW, &pace));
        let asked = Duration::from_secs(120);
        assert_eq!(delivery.has_failed(NOW, Some(asked), &pace), AfterFailure::Retry);
        assert_eq!(delivery.retry_at, Some(NOW + asked));
    }

    #[test]
    fn one_service_sends_at_a_time() {
        let pace = Pace::default();
        let mut delivery = Delivery::starting(NOW, []);
        assert!(delivery.take(1, NOW, &pace) && delivery.may_send(1, NOW, &pace));
        assert!(!delivery.take(2, NOW + pace.lease / 2, &pace));
        // The holder stops before another service may begin.
        let end = NOW + pace.lease;
        assert!(!delivery.may_send(1, end - pace.send_timeout - pace.lease / 3, &pace));
        assert!(delivery.take(2, end, &pace) && !delivery.may_send(1, end, &pace));
        delivery.release();
        assert!(delivery.take(1, end, &pace));
    }

    #[test]
    fn record_is_read_as_it_was_written_and_fits_the_ledger() {
        let mut delivery = Delivery::starting(NOW, []);
        for number in 1..=MOST_SENT as u64 {
            delivery.was_sent(&version(number, NOW + Duration::from_millis(number)));
        }
        delivery.has_failed(NOW, None, &Pace::default());
        delivery.take(7, NOW, &Pace::default());
        let json = delivery.to_json();
        assert!(delivery.is_full() && json.len() < crate::store::LEDGER_MAX_VALUE, "{}", json.len());
        assert_eq!(Delivery::from_json(json.as_bytes()), Some(delivery));
        assert_eq!(Delivery::from_json(b"{}"), None);
        let first = r#"{"form":1,"settled":"2017-04-19T10:00:00Z"}"#;
        assert_eq!(Delivery::from_json(first.as_bytes()), Some(Delivery::starting(NOW, [])));
    }
}
