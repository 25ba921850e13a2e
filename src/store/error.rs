//! Errors of storage, one variant for each reaction of the caller.

use super::{BlobKey, Key, LedgerKey, Tenant, VersionId};
use crate::search::ResourceType;
use crate::support::InvalidText;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Error of the storage engine, the source of a [`StoreError`].
///
/// ```
/// let source: fhir_devices::store::BoxError = "connection reset".into();
/// assert_eq!(source.to_string(), "connection reset");
/// ```
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Result of a storage call.
///
/// ```
/// use fhir_devices::store::{Result, StoreError};
/// let found: Result<u8> = Err(StoreError::not_found());
/// assert!(found.is_err());
/// ```
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Failure of a storage call, with its subject.
///
/// Each variant calls for a different reaction. For a write, [`StoreError::applied`] says whether it is certain that
/// nothing was stored. A store creates an error by the function of the variant's name, without a subject:
/// [`TenantResources`](super::TenantResources), [`TenantBlobs`](super::TenantBlobs) and
/// [`TenantLedger`](super::TenantLedger) add the [`Subject`].
///
/// ```
/// use fhir_devices::store::{Applied, StoreError, Subject};
/// use std::time::Duration;
///
/// let busy = StoreError::throttled(Some(Duration::from_secs(2)));
/// assert!(busy.is_transient());
/// assert_eq!(busy.applied(), Applied::No);
/// let lost = StoreError::indeterminate(None);
/// assert_eq!(lost.applied(), Applied::Unknown);
///
/// let missing = StoreError::not_found().about(Subject::Resource("icu-3".parse()?, "Device/pump".parse()?));
/// assert_eq!(missing.to_string(), "`Device/pump` of the tenant `icu-3`: not found");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The subject does not exist, or belongs to another tenant.
    #[non_exhaustive]
    NotFound {
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The resource was deleted.
    #[non_exhaustive]
    Gone {
        /// Version number of the deletion.
        at: VersionId,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// [`Precondition::Absent`](super::Precondition::Absent) failed.
    #[non_exhaustive]
    AlreadyExists {
        /// Existing version, where the engine reports it.
        current: Option<VersionId>,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// [`Precondition::Version`](super::Precondition::Version) failed: read the resource again and decide again.
    #[non_exhaustive]
    Conflict {
        /// Newest version, a deletion included; `None` when there is none or the engine does not report it.
        current: Option<VersionId>,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The engine asks for fewer calls. Nothing was applied.
    #[non_exhaustive]
    Throttled {
        /// Delay that the engine asks for.
        retry_after: Option<Duration>,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The engine could not be reached or refused service. Nothing was applied.
    #[non_exhaustive]
    Unavailable {
        /// Delay before the next try, where known.
        retry_after: Option<Duration>,
        /// Error of the engine.
        #[source]
        source: Option<BoxError>,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The write may or may not have been applied: read it back by its [`WriteId`](super::WriteId) before a retry.
    #[non_exhaustive]
    Indeterminate {
        /// Error of the engine.
        #[source]
        source: Option<BoxError>,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The received bytes do not match their digest or size. Nothing was applied.
    #[non_exhaustive]
    Mismatch {
        /// Value found and value wanted.
        what: String,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// Stored data or the engine's answer contradicts its own claims. A write counts as possibly applied.
    #[non_exhaustive]
    Corrupt {
        /// Value found and value wanted.
        what: String,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The request cannot be carried out by any store.
    #[non_exhaustive]
    Invalid {
        /// Fault of the request.
        what: String,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// A range starts at or after the end of the blob.
    #[non_exhaustive]
    OutOfRange {
        /// Size of the blob in bytes.
        size: u64,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The data is larger than this store accepts.
    #[non_exhaustive]
    TooLarge {
        /// Maximum size in bytes.
        limit: u64,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// This store does not support the request; see its capabilities.
    #[non_exhaustive]
    Unsupported {
        /// Missing capability.
        what: &'static str,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// The engine refused the store's credentials.
    #[non_exhaustive]
    Denied {
        /// Error of the engine.
        #[source]
        source: Option<BoxError>,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
    /// Any other failure. A write counts as possibly applied.
    #[non_exhaustive]
    Backend {
        /// Error of the engine.
        #[source]
        source: BoxError,
        /// Subject of the call, if known.
        subject: Option<Box<Subject>>,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = self.subject() {
            write!(f, "{subject}: ")?;
        }
        self.without_subject().fmt(f)
    }
}

/// Message of an error without its subject.
pub(crate) struct WithoutSubject<'a>(&'a StoreError);

impl fmt::Display for WithoutSubject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StoreError::NotFound { .. } => f.write_str("not found"),
            StoreError::Gone { at, .. } => write!(f, "deleted at version {at}"),
            StoreError::AlreadyExists { current: Some(at), .. } => write!(f, "already exists, at version {at}"),
            StoreError::AlreadyExists { current: None, .. } => f.write_str("already exists"),
            StoreError::Conflict { current: Some(at), .. } => write!(f, "version conflict, the newest is {at}"),
            StoreError::Conflict { current: None, .. } => f.write_str("version conflict"),
            StoreError::Throttled { .. } => f.write_str("throttled"),
            StoreError::Unavailable { .. } => f.write_str("the store is unavailable"),
            StoreError::Indeterminate { .. } => f.write_str("it is not known whether the write was applied"),
            StoreError::Mismatch { what, .. } | StoreError::Corrupt { what, .. } => {
                write!(f, "verification failed: {what}")
            }
            StoreError::Invalid { what, .. } => write!(f, "invalid request: {what}"),
            StoreError::OutOfRange { size, .. } => write!(f, "the range lies outside of the {size} bytes"),
            StoreError::TooLarge { limit, .. } => write!(f, "larger than {limit} bytes"),
            StoreError::Unsupported { what, .. } => write!(f, "not supported by this store: {what}"),
            StoreError::Denied { .. } => f.write_str("permission denied"),
            StoreError::Backend { .. } => f.write_str("the store failed"),
        }
    }
}

/// Subject of a storage call, named in its errors.
///
/// ```
/// use fhir_devices::store::Subject;
/// let version = Subject::Version("icu-3".parse()?, "Device/pump".parse()?, "4".parse()?);
/// assert_eq!(version.to_string(), "version 4 of `Device/pump` of the tenant `icu-3`");
/// assert_eq!(version.tenant().as_str(), "icu-3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// All data of a tenant in the store.
    Tenant(Tenant),
    /// A resource.
    Resource(Tenant, Key),
    /// One version of a resource.
    Version(Tenant, Key, VersionId),
    /// The resources of a type.
    Resources(Tenant, ResourceType),
    /// A ledger record.
    Record(Tenant, LedgerKey),
    /// The ledger records under a prefix.
    Records(Tenant, LedgerKey),
    /// A file.
    Blob(Tenant, BlobKey),
}

impl Subject {
    /// Returns the tenant of the subject.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::Tenant(tenant)
            | Self::Resource(tenant, _)
            | Self::Version(tenant, ..)
            | Self::Resources(tenant, _)
            | Self::Record(tenant, _)
            | Self::Records(tenant, _)
            | Self::Blob(tenant, _) => tenant,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "the tenant `{tenant}`"),
            Self::Resource(tenant, key) => write!(f, "`{key}` of the tenant `{tenant}`"),
            Self::Version(tenant, key, version) => write!(f, "version {version} of `{key}` of the tenant `{tenant}`"),
            Self::Resources(tenant, kind) => write!(f, "the resources {kind} of the tenant `{tenant}`"),
            Self::Record(tenant, key) => write!(f, "the record `{key}` of the tenant `{tenant}`"),
            Self::Records(tenant, prefix) => write!(f, "the records below `{prefix}` of the tenant `{tenant}`"),
            Self::Blob(tenant, key) => write!(f, "the file `{key}` of the tenant `{tenant}`"),
        }
    }
}

/// Whether a failed write was applied.
///
/// ```
/// use fhir_devices::store::{Applied, StoreError};
/// assert_eq!(StoreError::not_found().applied(), Applied::No);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing was stored, and nothing will be.
    No,
    /// The write may have been stored, or may still be.
    Unknown,
}

impl StoreError {
    /// Creates [`Invalid`](Self::Invalid): a request that no store can carry out.
    #[must_use]
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), subject: None }
    }

    /// Creates [`NotFound`](Self::NotFound).
    #[must_use]
    pub fn not_found() -> Self {
        Self::NotFound { subject: None }
    }

    /// Creates [`Gone`](Self::Gone).
    #[must_use]
    pub fn gone(at: VersionId) -> Self {
        Self::Gone { at, subject: None }
    }

    /// Creates [`AlreadyExists`](Self::AlreadyExists).
    #[must_use]
    pub fn already_exists(current: Option<VersionId>) -> Self {
        Self::AlreadyExists { current, subject: None }
    }

    /// Creates [`Conflict`](Self::Conflict).
    #[must_use]
    pub fn conflict(current: Option<VersionId>) -> Self {
        Self::Conflict { current, subject: None }
    }

    /// Creates [`Throttled`](Self::Throttled).
    #[must_use]
    pub fn throttled(retry_after: Option<Duration>) -> Self {
        Self::Throttled { retry_after, subject: None }
    }

    /// Creates [`Unavailable`](Self::Unavailable).
    #[must_use]
    pub fn unavailable(retry_after: Option<Duration>, source: Option<BoxError>) -> Self {
        Self::Unavailable { retry_after, source, subject: None }
    }

    /// Creates [`Indeterminate`](Self::Indeterminate).
    #[must_use]
    pub fn indeterminate(source: Option<BoxError>) -> Self {
        Self::Indeterminate { source, subject: None }
    }

    /// Creates [`Mismatch`](Self::Mismatch).
    #[must_use]
    pub fn mismatch(what: impl Into<String>) -> Self {
        Self::Mismatch { what: what.into(), subject: None }
    }

    /// Creates [`Corrupt`](Self::Corrupt).
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), subject: None }
    }

    /// Creates [`OutOfRange`](Self::OutOfRange).
    #[must_use]
    pub fn out_of_range(size: u64) -> Self {
        Self::OutOfRange { size, subject: None }
    }

    /// Creates [`TooLarge`](Self::TooLarge).
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        Self::TooLarge { limit, subject: None }
    }

    /// Creates [`Unsupported`](Self::Unsupported).
    #[must_use]
    pub fn unsupported(what: &'static str) -> Self {
        Self::Unsupported { what, subject: None }
    }

    /// Creates [`Denied`](Self::Denied).
    #[must_use]
    pub fn denied(source: Option<BoxError>) -> Self {
        Self::Denied { source, subject: None }
    }

    /// Creates [`Backend`](Self::Backend).
    #[must_use]
    pub fn backend(source: BoxError) -> Self {
        Self::Backend { source, subject: None }
    }

    /// Returns the subject of the call, if known.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::NotFound { subject, .. }
            | Self::Gone { subject, .. }
            | Self::AlreadyExists { subject, .. }
            | Self::Conflict { subject, .. }
            | Self::Throttled { subject, .. }
            | Self::Unavailable { subject, .. }
            | Self::Indeterminate { subject, .. }
            | Self::Mismatch { subject, .. }
            | Self::Corrupt { subject, .. }
            | Self::Invalid { subject, .. }
            | Self::OutOfRange { subject, .. }
            | Self::TooLarge { subject, .. }
            | Self::Unsupported { subject, .. }
            | Self::Denied { subject, .. }
            | Self::Backend { subject, .. } => subject.as_deref(),
        }
    }

    /// Sets the subject of the call, unless the error already has one.
    #[must_use]
    pub fn about(mut self, what: Subject) -> Self {
        let (Self::NotFound { subject, .. }
        | Self::Gone { subject, .. }
        | Self::AlreadyExists { subject, .. }
        | Self::Conflict { subject, .. }
        | Self::Throttled { subject, .. }
        | Self::Unavailable { subject, .. }
        | Self::Indeterminate { subject, .. }
        | Self::Mismatch { subject, .. }
        | Self::Corrupt { subject, .. }
        | Self::Invalid { subject, .. }
        | Self::OutOfRange { subject, .. }
        | Self::TooLarge { subject, .. }
        | Self::Unsupported { subject, .. }
        | Self::Denied { subject, .. }
        | Self::Backend { subject, .. }) = &mut self;
        subject.get_or_insert_with(|| Box::new(what));
        self
    }

    pub(crate) fn without_subject(&self) -> WithoutSubject<'_> {
        WithoutSubject(self)
    }

    /// Returns whether a write that failed with this error may have been applied. Only variants for which it is certain
    /// return `No`.
    #[must_use]
    pub fn applied(&self) -> Applied {
        match self {
            Self::NotFound { .. }
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

    /// Returns whether the same call may succeed later without a change by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }

    /// Returns the delay before the next try that the engine asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Failure of a commit, with the index of the write that caused it.
///
/// ```
/// use fhir_devices::store::{CommitError, StoreError};
/// use std::error::Error;
///
/// let refused = CommitError::at(1, StoreError::not_found());
/// assert_eq!(refused.to_string(), "write 1 of the commit was refused");
/// assert_eq!(refused.source().map(ToString::to_string).as_deref(), Some("not found"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{}", match index { Some(index) => format!("write {index} of the commit was refused"), None => "the commit failed".into() })]
#[non_exhaustive]
pub struct CommitError {
    /// Index of the write from 0; `None` when the commit as a whole failed.
    pub index: Option<usize>,
    /// Cause of the failure.
    #[source]
    pub error: StoreError,
}

impl CommitError {
    /// Creates the failure of one write.
    #[must_use]
    pub fn at(index: usize, error: StoreError) -> Self {
        Self { index: Some(index), error }
    }

    pub(crate) fn about(self, subject: Subject) -> Self {
        Self { error: self.error.about(subject), ..self }
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
        let corrupt = StoreError::corrupt("the answer has no version");
        let failed = StoreError::backend("broken pipe".into());
        for error in [corrupt, failed, StoreError::indeterminate(None)] {
            assert_eq!(error.applied(), Applied::Unknown, "{error:?}");
        }
        assert_eq!(StoreError::mismatch(String::new()).applied(), Applied::No);
    }
}
