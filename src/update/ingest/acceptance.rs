//! Checks of an upload against the accepted updates and reported versions of its component.

use super::super::{LowerVersion, Unsequenced, VersionClaim, VersionTaken};
use super::Intent;
use crate::audit::UploadFailure;
use crate::manifest::{Acceptance, IngestId, NotHigher, accept};
use crate::primitive::Id;
use crate::store::Sha256;
use time::OffsetDateTime;

/// Accepted update and reported versions of a component.
///
/// ```
/// use fhir_devices::update::ingest::Standing;
/// let new = Standing::default();
/// assert!(new.accepted.is_none() && new.reported.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing<'s> {
    /// Last accepted update: [`Accepted::before`](crate::update::Accepted::before).
    pub accepted: Option<&'s Acceptance>,
    /// Recorded claim of the upload's version.
    pub claim: Option<&'s VersionClaim>,
    /// Versions that the component reports, of the kind that the upload changes.
    pub reported: &'s [String],
}

/// Acceptance of an upload.
///
/// ```
/// # use fhir_devices::update::ingest::*;
/// # use fhir_devices::manifest::IngestId;
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// # let (id, now) = (IngestId(7), time::OffsetDateTime::UNIX_EPOCH);
/// let intent = Intent { sequence: Some(6), ..intent };
/// let checked = check_acceptance(&intent, id, &"pump".parse()?, None, &Standing::default(), now)?;
/// assert_eq!(checked.accepted.unwrap().highest, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptanceResult {
    /// New accepted sequence number, if it changes.
    pub accepted: Option<Acceptance>,
    /// New version claim, if it changes.
    pub claim: Option<VersionClaim>,
    /// Higher reported version that the downgrade permission covers.
    pub lower: Option<LowerVersion>,
}

/// Reason why an upload is not acceptable for its component.
///
/// ```
/// use fhir_devices::update::{Unsequenced, ingest::NotAcceptable};
/// use fhir_devices::audit::UploadFailure;
/// let refused = NotAcceptable::from(Unsequenced { highest: 6 });
/// assert_eq!(refused.reason(), UploadFailure::Unsequenced);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAcceptable {
    /// The sequence number is not higher.
    #[error(transparent)]
    NotHigher(#[from] NotHigher),
    /// The update has no sequence number.
    #[error(transparent)]
    Unsequenced(#[from] Unsequenced),
    /// The version belongs to other bytes already.
    #[error(transparent)]
    VersionTaken(#[from] VersionTaken),
    /// The version is lower than the one that the component reports.
    #[error(transparent)]
    LowerVersion(#[from] LowerVersion),
}

impl NotAcceptable {
    /// Returns the failure reason of the upload.
    #[must_use]
    pub const fn reason(&self) -> UploadFailure {
        match self {
            Self::NotHigher(_) => UploadFailure::NotHigher,
            Self::Unsequenced(_) => UploadFailure::Unsequenced,
            Self::VersionTaken(_) => UploadFailure::VersionTaken,
            Self::LowerVersion(_) => UploadFailure::LowerVersion,
        }
    }
}

/// Checks an upload against its component's accepted updates and reported versions. `sha256` is the digest of its
/// bytes, if known.
///
/// Updates are ordered by their sequence numbers only. A version is compared with the reported ones, and not with the
/// available updates: an update that was never installed may be followed by one with a lower version.
///
/// # Errors
/// [`NotAcceptable`] with the first reason.
pub fn check_acceptance(
    intent: &Intent,
    id: IngestId,
    component: &Id,
    sha256: Option<Sha256>,
    standing: &Standing<'_>,
    now: OffsetDateTime,
) -> Result<AcceptanceResult, NotAcceptable> {
    let mut checked = AcceptanceResult::default();
    match (intent.sequence, standing.accepted) {
        (Some(sequence), before) => {
            let (provider, downgrade) = (intent.provider.as_ref(), intent.downgrade.as_deref());
            let next = accept(before, provider, sequence, id, downgrade, now)?;
            checked.accepted = (Some(&next) != before).then_some(next);
        }
        (None, Some(before)) => return Err(Unsequenced { highest: before.highest }.into()),
        (None, None) => {}
    }
    if let Some(sha256) = sha256 {
        checked.claim = VersionClaim::next(standing.claim, component, intent, sha256, id, false)?;
    }
    match lower_version(intent, standing.reported) {
        Some(lower) if intent.lower.is_none() => Err(lower.into()),
        lower => Ok(AcceptanceResult { lower, ..checked }),
    }
}

/// Returns a reported version that is higher than the upload's. Uploads with a manifest are checked by the manifest's
/// rules.
pub(super) fn lower_version(intent: &Intent, reported: &[String]) -> Option<LowerVersion> {
    let version = intent.version.as_ref().filter(|_| intent.manifest.is_none())?;
    LowerVersion::find(version.as_str(), intent.scheme, reported)
}
