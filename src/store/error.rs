//! What can go wrong at the storage boundary, by what the caller does about it.

use super::VersionId;
use crate::support::InvalidText;
use std::error::Error;
use std::time::Duration;

/// An error of the engine below, carried as the source of a [`StoreError`].
///
/// ```
/// let source: fhir_devices::store::BoxError = "connection reset".into();
/// assert_eq!(source.to_string(), "connection reset");
/// ```
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// The result of a storage call.
///
/// ```
/// use fhir_devices::store::{Result, StoreError};
/// let found: Result<u8> = Err(StoreError::NotFound);
/// assert!(found.is_err());
/// ```
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a storage call did not do what was asked.
///
/// Each variant is a different thing for the caller to do. For a write, [`StoreError::applied`] says whether it is
/// certain that nothing was stored.
///
/// ```
/// use fhir_devices::store::{Applied, StoreError};
/// use std::time::Duration;
///
/// let busy = StoreError::Throttled { retry_after: Some(Duration::from_secs(2)) };
/// assert!(busy.is_transient());
/// assert_eq!(busy.applied(), Applied::No);
/// let lost = StoreError::Indeterminate { source: None };
/// assert_eq!(lost.applied(), Applied::Unknown);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Never there, or another tenant's: the two look alike.
    #[error("not found")]
    NotFound,
    /// It was there, and was deleted.
    #[error("deleted at version {at}")]
    Gone {
        /// The version that stands for the deletion.
        at: VersionId,
    },
    /// [`Precondition::Absent`](super::Precondition::Absent) does not hold.
    #[error("already exists")]
    AlreadyExists {
        /// The version that is there, where the engine tells it.
        current: Option<VersionId>,
    },
    /// [`Precondition::Version`](super::Precondition::Version) does not hold: read again and decide again.
    #[error("version conflict")]
    Conflict {
        /// The newest version, a deletion included; `None` when there is none or the engine does not tell it.
        current: Option<VersionId>,
    },
    /// The engine asks for fewer calls. Nothing was applied.
    #[error("throttled")]
    Throttled {
        /// How long the engine asks to wait.
        retry_after: Option<Duration>,
    },
    /// The engine could not be reached or refused service. Nothing was applied.
    #[error("the store is unavailable")]
    Unavailable {
        /// How long to wait, where that is known.
        retry_after: Option<Duration>,
        /// What the engine said.
        #[source]
        source: Option<BoxError>,
    },
    /// The write may or may not have been applied: read it back by its [`WriteId`](super::WriteId) before a retry.
    #[error("it is not known whether the write was applied")]
    Indeterminate {
        /// What the engine said.
        #[source]
        source: Option<BoxError>,
    },
    /// What came is not what it claims to be. Nothing was applied.
    #[error("verification failed: {what}")]
    Mismatch {
        /// What was found, and what was wanted.
        what: String,
    },
    /// What was stored, or what the engine answered, is not what it claims to be. A write counts as possibly applied.
    #[error("verification failed: {what}")]
    Corrupt {
        /// What was found, and what was wanted.
        what: String,
    },
    /// The request cannot be carried out by any store.
    #[error("invalid request: {what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// A range starts behind the end of the blob.
    #[error("the range lies outside of the {size} bytes")]
    OutOfRange {
        /// The size of the blob.
        size: u64,
    },
    /// More bytes than this store takes.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The largest size that it takes.
        limit: u64,
    },
    /// This store cannot do it; see its capabilities.
    #[error("not supported by this store: {what}")]
    Unsupported {
        /// What it cannot do.
        what: &'static str,
    },
    /// The engine refuses the credentials that it was given.
    #[error("permission denied")]
    Denied {
        /// What the engine said.
        #[source]
        source: Option<BoxError>,
    },
    /// Anything else. A write counts as possibly applied.
    #[error("the store failed")]
    Backend {
        /// What the engine said.
        #[source]
        source: BoxError,
    },
}

/// What an error says about the write that it answers.
///
/// ```
/// use fhir_devices::store::{Applied, StoreError};
/// assert_eq!(StoreError::NotFound.applied(), Applied::No);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing was stored, and nothing will be.
    No,
    /// It may have been stored, or may still be.
    Unknown,
}

impl StoreError {
    /// A request that no store can carry out.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    /// Whether a write that ended so was certainly not applied. Only the variants of which that is certain say `No`.
    #[must_use]
    pub fn applied(&self) -> Applied {
        match self {
            Self::NotFound
            | Self::Gone { .. }
            | Self::AlreadyExists { .. }
            | Self::Conflict { .. }
            | Self::Throttled { .. }
            | Self::Unavailable { .. }
            | Self::Mismatch { .. }
            | Self::Invalid { .. }
            | Self::OutOfRange { .. }
            | Self::TooLarge { .. }
            | Self::Unsupported { .. }
            | Self::Denied { .. } => Applied::No,
            _ => Applied::Unknown,
        }
    }

    /// Whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }

    /// How long to wait before the next try, where the engine said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Why a commit was refused, and which of its writes decided that.
///
/// ```
/// use fhir_devices::store::{CommitError, StoreError};
/// use std::error::Error;
///
/// let refused = CommitError { index: Some(1), error: StoreError::NotFound };
/// assert_eq!(refused.to_string(), "write 1 of the commit was refused");
/// assert_eq!(refused.source().map(ToString::to_string).as_deref(), Some("not found"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{}", match index { Some(index) => format!("write {index} of the commit was refused"), None => "the commit failed".into() })]
pub struct CommitError {
    /// The write, counted from 0; `None` when the commit as a whole failed.
    pub index: Option<usize>,
    /// What happened.
    #[source]
    pub error: StoreError,
}

impl CommitError {
    /// The refusal of one write.
    #[must_use]
    pub fn at(index: usize, error: StoreError) -> Self {
        Self { index: Some(index), error }
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self { index: None, error }
    }
}

impl From<InvalidText> for StoreError {
    fn from(error: InvalidText) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupt_is_possibly_applied() {
        let corrupt = StoreError::Corrupt { what: "the answer has no version".into() };
        let failed = StoreError::Backend { source: "broken pipe".into() };
        for error in [corrupt, failed, StoreError::Indeterminate { source: None }] {
            assert_eq!(error.applied(), Applied::Unknown, "{error:?}");
        }
        assert_eq!(StoreError::Mismatch { what: String::new() }.applied(), Applied::No);
    }
}
