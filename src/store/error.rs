//! Errors of storage, by what the caller does about them.

use super::{BlobKey, Key, LedgerKey, Tenant, VersionId};
use crate::search::ResourceType;
use crate::support::InvalidText;
use std::error::Error;
use std::fmt;
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
/// let found: Result<u8> = Err(StoreError::not_found());
/// assert!(found.is_err());
/// ```
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a storage call did not do what was asked, and of what.
///
/// Each variant is a different thing for the caller to do. For a write, [`StoreError::applied`] says whether it is
/// certain that nothing was stored. A store makes an error by the function of its name, and need not say of what:
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
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The resource was deleted.
    #[non_exhaustive]
    Gone {
        /// The version that stands for the deletion.
        at: VersionId,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// [`Precondition::Absent`](super::Precondition::Absent) does not hold.
    #[non_exhaustive]
    AlreadyExists {
        /// The version that is there, where the engine tells it.
        current: Option<VersionId>,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// [`Precondition::Version`](super::Precondition::Version) does not hold: read again and decide again.
    #[non_exhaustive]
    Conflict {
        /// The newest version, a deletion included; `None` when there is none or the engine does not tell it.
        current: Option<VersionId>,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The engine asks for fewer calls. Nothing was applied.
    #[non_exhaustive]
    Throttled {
        /// How long the engine asks to wait.
        retry_after: Option<Duration>,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The engine could not be reached or refused service. Nothing was applied.
    #[non_exhaustive]
    Unavailable {
        /// How long to wait, where that is known.
        retry_after: Option<Duration>,
        /// What the engine said.
        #[source]
        source: Option<BoxError>,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The write may or may not have been applied: read it back by its [`WriteId`](super::WriteId) before a retry.
    #[non_exhaustive]
    Indeterminate {
        /// What the engine said.
        #[source]
        source: Option<BoxError>,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The received bytes do not match their digest or size. Nothing was applied.
    #[non_exhaustive]
    Mismatch {
        /// What was found, and what was wanted.
        what: String,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// What was stored, or what the engine answered, is not what it claims to be. A write counts as possibly applied.
    #[non_exhaustive]
    Corrupt {
        /// What was found, and what was wanted.
        what: String,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The request cannot be carried out by any store.
    #[non_exhaustive]
    Invalid {
        /// The fault.
        what: String,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// A range starts behind the end of the blob.
    #[non_exhaustive]
    OutOfRange {
        /// The size of the blob.
        size: u64,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// More bytes than this store takes.
    #[non_exhaustive]
    TooLarge {
        /// The largest size that it takes.
        limit: u64,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// This store cannot do it; see its capabilities.
    #[non_exhaustive]
    Unsupported {
        /// What it cannot do.
        what: &'static str,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// The engine refuses the credentials that it was given.
    #[non_exhaustive]
    Denied {
        /// What the engine said.
        #[source]
        source: Option<BoxError>,
        /// What the call was about, where that was said.
        subject: Option<Box<Subject>>,
    },
    /// Anything else. A write counts as possibly applied.
    #[non_exhaustive]
    Backend {
        /// What the engine said.
        #[source]
        source: BoxError,
        /// What the call was about, where that was said.
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

/// The message of an error without what it is about.
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

/// What a storage call was about, as its errors say it.
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
    /// All that a tenant has there.
    Tenant(Tenant),
    /// A resource.
    Resource(Tenant, Key),
    /// One version of a resource.
    Version(Tenant, Key, VersionId),
    /// The resources of a type.
    Resources(Tenant, ResourceType),
    /// A record of the ledger.
    Record(Tenant, LedgerKey),
    /// The records of the ledger below a prefix.
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
    /// [`Invalid`](Self::Invalid): a request that no store can carry out.
    #[must_use]
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), subject: None }
    }

    /// [`NotFound`](Self::NotFound).
    #[must_use]
    pub fn not_found() -> Self {
        Self::NotFound { subject: None }
    }

    /// [`Gone`](Self::Gone).
    #[must_use]
    pub fn gone(at: VersionId) -> Self {
        Self::Gone { at, subject: None }
    }

    /// [`AlreadyExists`](Self::AlreadyExists).
    #[must_use]
    pub fn already_exists(current: Option<VersionId>) -> Self {
        Self::AlreadyExists { current, subject: None }
    }

    /// [`Conflict`](Self::Conflict).
    #[must_use]
    pub fn conflict(current: Option<VersionId>) -> Self {
        Self::Conflict { current, subject: None }
    }

    /// [`Throttled`](Self::Throttled).
    #[must_use]
    pub fn throttled(retry_after: Option<Duration>) -> Self {
        Self::Throttled { retry_after, subject: None }
    }

    /// [`Unavailable`](Self::Unavailable).
    #[must_use]
    pub fn unavailable(retry_after: Option<Duration>, source: Option<BoxError>) -> Self {
        Self::Unavailable { retry_after, source, subject: None }
    }

    /// [`Indeterminate`](Self::Indeterminate).
    #[must_use]
    pub fn indeterminate(source: Option<BoxError>) -> Self {
        Self::Indeterminate { source, subject: None }
    }

    /// [`Mismatch`](Self::Mismatch).
    #[must_use]
    pub fn mismatch(what: impl Into<String>) -> Self {
        Self::Mismatch { what: what.into(), subject: None }
    }

    /// [`Corrupt`](Self::Corrupt).
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), subject: None }
    }

    /// [`OutOfRange`](Self::OutOfRange).
    #[must_use]
    pub fn out_of_range(size: u64) -> Self {
        Self::OutOfRange { size, subject: None }
    }

    /// [`TooLarge`](Self::TooLarge).
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        Self::TooLarge { limit, subject: None }
    }

    /// [`Unsupported`](Self::Unsupported).
    #[must_use]
    pub fn unsupported(what: &'static str) -> Self {
        Self::Unsupported { what, subject: None }
    }

    /// [`Denied`](Self::Denied).
    #[must_use]
    pub fn denied(source: Option<BoxError>) -> Self {
        Self::Denied { source, subject: None }
    }

    /// [`Backend`](Self::Backend).
    #[must_use]
    pub fn backend(source: BoxError) -> Self {
        Self::Backend { source, subject: None }
    }

    /// Returns what the call was about, where that was said.
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

    /// Returns the error with what the call was about, unless that was said before.
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

    /// Returns whether a write that ended so was certainly not applied. Only the variants of which that is certain say
    /// `No`.
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

    /// Returns whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }

    /// Returns how long to wait before the next try, where the engine said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
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
/// let refused = CommitError::at(1, StoreError::not_found());
/// assert_eq!(refused.to_string(), "write 1 of the commit was refused");
/// assert_eq!(refused.source().map(ToString::to_string).as_deref(), Some("not found"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{}", match index { Some(index) => format!("write {index} of the commit was refused"), None => "the commit failed".into() })]
#[non_exhaustive]
pub struct CommitError {
    /// The write, counted from 0; `None` when the commit as a whole failed.
    pub index: Option<usize>,
    /// What happened.
    #[source]
    pub error: StoreError,
}

impl CommitError {
    /// Returns the refusal of one write.
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
