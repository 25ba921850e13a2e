//! Holders of blobs.

use crate::manifest::{IngestId, PinId, ReleaseId};
use crate::primitive::moment;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Holder of a blob: the blob is kept while it has one.
///
/// ```
/// use fhir_devices::audit::Holder;
/// use fhir_devices::manifest::IngestId;
/// assert_ne!(Holder::Ingest(IngestId(7)), Holder::LegalHold("case-7".parse()?));
/// # Ok::<(), fhir_devices::manifest::NotAName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Holder {
    /// An upload, until it is closed.
    Ingest(IngestId),
    /// A release, until it is withdrawn.
    Release(ReleaseId),
    /// A retention rule, until a given time.
    Retention {
        /// Name of the rule.
        pin: PinId,
        /// End of the retention.
        #[serde(with = "moment")]
        until: OffsetDateTime,
    },
    /// A legal hold, until it is lifted.
    LegalHold(PinId),
}

impl Holder {
    /// Returns whether the holder still needs the blob. Only a retention ends by itself.
    #[must_use]
    pub fn counts(&self, now: OffsetDateTime) -> bool {
        match self {
            Self::Ingest(_) | Self::Release(_) | Self::LegalHold(_) => true,
            Self::Retention { until, .. } => now < *until,
        }
    }
}
