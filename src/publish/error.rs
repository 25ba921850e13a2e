//! Errors of publishers, grouped by the caller's reaction.

use super::ActionNumber;
use crate::store::{Applied, BoxError, StoreError};
use std::time::Duration;

/// The error of a call of a [`Publisher`](super::Publisher).
///
/// ```
/// use fhir_devices::publish::PublishError;
/// use fhir_devices::store::Applied;
/// let busy = PublishError::Throttled { retry_after: None };
/// assert!(busy.is_transient());
/// assert_eq!(busy.applied(), Applied::No);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The slot has an offer with a higher number, or the tombstone of this one. It is unchanged.
    #[error("the slot has a later content, of action {action}")]
    Stale {
        /// The number of the content in the slot.
        action: ActionNumber,
    },
    /// The slot changed since it was read: read it and decide again.
    #[error("the slot was changed since it was read")]
    Changed,
    /// The region is throttling. Nothing was written.
    #[error("the region asks for fewer calls")]
    Throttled {
        /// The time to wait that the region asks for.
        retry_after: Option<Duration>,
    },
    /// The region could not be reached or refused service. Nothing was written.
    #[error("the region is unavailable")]
    Unavailable {
        /// The time to wait, if known.
        retry_after: Option<Duration>,
        /// The error of the region.
        #[source]
        source: Option<BoxError>,
    },
    /// Whether the slot was written is unknown. Writing it again is safe.
    #[error("it is not known whether the slot was written")]
    Indeterminate {
        /// The error of the region.
        #[source]
        source: Option<BoxError>,
    },
    /// The region has no such device.
    #[error("the region does not know the device")]
    UnknownDevice,
    /// The content is larger than the region's maximum. Nothing was written.
    #[error("the content is larger than {limit} bytes")]
    TooLarge {
        /// The maximum size, in bytes of the written form.
        limit: usize,
    },
    /// The region refuses the credentials.
    #[error("the region refuses the credentials")]
    Denied {
        /// The error of the region.
        #[source]
        source: Option<BoxError>,
    },
    /// The region does not support the call; see its capabilities.
    #[error("not supported by this region: {what}")]
    Unsupported {
        /// The unsupported feature.
        what: &'static str,
    },
    /// Any other error. The write may have been applied.
    #[error("the region failed")]
    Backend {
        /// The error of the region.
        #[source]
        source: BoxError,
    },
}

impl PublishError {
    /// Returns whether the failed write was certainly not applied.
    #[must_use]
    pub const fn applied(&self) -> Applied {
        match self {
            Self::Stale { .. }
            | Self::Changed
            | Self::Throttled { .. }
            | Self::Unavailable { .. }
            | Self::UnknownDevice
            | Self::TooLarge { .. }
            | Self::Denied { .. }
            | Self::Unsupported { .. } => Applied::No,
            Self::Indeterminate { .. } | Self::Backend { .. } => Applied::Unknown,
        }
    }

    /// Returns whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. } | Self::Indeterminate { .. })
    }
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } | StoreError::AlreadyExists { .. } => Self::Changed,
            StoreError::Throttled { retry_after, .. } => Self::Throttled { retry_after },
            StoreError::Unavailable { retry_after, source, .. } => Self::Unavailable { retry_after, source },
            StoreError::Indeterminate { source, .. } => Self::Indeterminate { source },
            StoreError::Denied { source, .. } => Self::Denied { source },
            StoreError::Unsupported { what, .. } => Self::Unsupported { what },
            other => Self::Backend { source: Box::new(other) },
        }
    }
}
