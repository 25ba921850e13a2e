//! Sequence numbers of updates, which only rise for each provider.

use super::{ActorId, IngestId};
use crate::primitive::{Text, moment};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Highest sequence number of an upload, 2^63 - 1: the largest that databases and languages with signed integers can
/// hold.
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// Authorization of an update whose sequence number is not above the highest accepted one.
///
/// It is valid for one pair of sequence numbers and until a given time.
///
/// ```
/// use fhir_devices::manifest::DowngradeAuthorization;
/// use time::macros::datetime;
/// let back = DowngradeAuthorization {
///     from: 6,
///     to: 5,
///     reason: "6 loses alarms".parse()?,
///     approved_by: vec!["biomed/j.doe".parse()?],
///     not_after: datetime!(2017-05-01 0:00 UTC),
/// };
/// assert!(back.permits(6, 5, datetime!(2017-04-19 10:00 UTC)));
/// assert!(!back.permits(7, 5, datetime!(2017-04-19 10:00 UTC)));
/// assert!(!back.permits(6, 5, datetime!(2017-05-02 10:00 UTC)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowngradeAuthorization {
    /// Highest sequence number accepted before.
    pub from: u64,
    /// Sequence number to be accepted.
    pub to: u64,
    /// Reason for the downgrade.
    pub reason: Text,
    /// Approvers. An authorization without an approver permits nothing.
    pub approved_by: Vec<ActorId>,
    /// Last moment at which the authorization is valid.
    #[serde(with = "moment")]
    pub not_after: OffsetDateTime,
}

impl DowngradeAuthorization {
    /// Returns whether the authorization permits this downgrade at this time.
    #[must_use]
    pub fn permits(&self, highest: u64, sequence: u64, now: OffsetDateTime) -> bool {
        self.from == highest && self.to == sequence && !self.approved_by.is_empty() && now <= self.not_after
    }
}

/// Last accepted update for a component from one provider.
///
/// ```
/// use fhir_devices::manifest::{Acceptance, IngestId};
/// let accepted = Acceptance { provider: None, highest: 6, by: IngestId(7) };
/// assert_eq!(accepted, accepted.clone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Provider; `None` stands for all updates that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Text>,
    /// Highest sequence number ever accepted.
    pub highest: u64,
    /// Last accepted upload.
    pub by: IngestId,
}

/// Error for a sequence number that is neither higher nor authorised.
///
/// ```
/// use fhir_devices::manifest::NotHigher;
/// assert_eq!(
///     NotHigher { sequence: 5, highest: 6 }.to_string(),
///     "the sequence number is 5, wanted one above 6 or an authorisation"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sequence number is {sequence}, wanted one above {highest} or an authorisation")]
pub struct NotHigher {
    /// Sequence number of the update.
    pub sequence: u64,
    /// Highest sequence number accepted before.
    pub highest: u64,
}

/// Checks whether an update may follow the last accepted one, and returns the new acceptance.
///
/// The last accepted upload is accepted again.
///
/// # Errors
/// [`NotHigher`] when the number is neither higher nor authorised.
///
/// ```
/// use fhir_devices::manifest::{Acceptance, IngestId, NotHigher, accept};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let before = Acceptance { provider: None, highest: 6, by: IngestId(7) };
/// let next = accept(Some(&before), None, 8, IngestId(9), None, now)?;
/// assert_eq!(next.highest, 8);
/// assert_eq!(accept(Some(&next), None, 7, IngestId(9), None, now)?, next);
/// let late = accept(Some(&next), None, 7, IngestId(10), None, now);
/// assert_eq!(late, Err(NotHigher { sequence: 7, highest: 8 }));
/// # Ok::<(), NotHigher>(())
/// ```
pub fn accept(
    before: Option<&Acceptance>,
    provider: Option<&Text>,
    sequence: u64,
    by: IngestId,
    downgrade: Option<&DowngradeAuthorization>,
    now: OffsetDateTime,
) -> Result<Acceptance, NotHigher> {
    let next = |highest| Acceptance { provider: provider.cloned(), highest, by };
    match before {
        None => Ok(next(sequence)),
        Some(before) if before.by == by => Ok(before.clone()),
        Some(before) if sequence > before.highest => Ok(next(sequence)),
        Some(before) if downgrade.is_some_and(|leave| leave.permits(before.highest, sequence, now)) => {
            Ok(next(before.highest))
        }
        Some(before) => Err(NotHigher { sequence, highest: before.highest }),
    }
}
