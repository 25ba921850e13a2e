//! Versions, writes and preconditions.

use super::{Key, VersionId, WriteId};
use crate::search::IndexEntries;
use crate::support::Shown;
use bytes::Bytes;
use std::fmt;
use time::OffsetDateTime;

/// One stored version of a resource.
///
/// The body is the canonical JSON of the resource *without* `meta.versionId` and `meta.lastUpdated`: the store assigns
/// both, and the reading module inserts them from the fields here. A store never parses a body.
///
/// ```
/// use fhir_devices::store::{Key, Version, VersionId};
/// use fhir_devices::search::ResourceType;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let deleted = Version {
///     key: Key::new(ResourceType::Device, "pump")?,
///     version: VersionId::FIRST.next(),
///     last_updated: time::OffsetDateTime::UNIX_EPOCH,
///     write_id: None,
///     body: None,
/// };
/// assert!(deleted.is_deleted());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    /// Key of the resource.
    pub key: Key,
    /// Version number.
    pub version: VersionId,
    /// Time at which the store applied the write, by [`commit_time`](super::commit_time).
    pub last_updated: OffsetDateTime,
    /// Id of the write that made this version.
    pub write_id: Option<WriteId>,
    /// Canonical JSON of the resource; `None` for a deletion.
    pub body: Option<Bytes>,
}

/// Shows the body as JSON.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, version, last_updated, write_id, body } = self;
        let body = body.as_deref().map(Shown);
        let mut shown = f.debug_struct("Version");
        shown.field("key", key).field("version", version).field("last_updated", last_updated);
        shown.field("write_id", write_id).field("body", &body).finish()
    }
}

impl Version {
    /// Returns whether this version is a deletion.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.body.is_none()
    }
}

/// Precondition of a write, checked atomically with it.
///
/// ```
/// use fhir_devices::store::{Precondition, VersionId};
/// let if_match = Precondition::Version(VersionId::from_etag("W/\"7\"")?);
/// assert_ne!(if_match, Precondition::Exists);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The resource does not exist or is deleted. Otherwise [`AlreadyExists`](super::StoreError::AlreadyExists).
    Absent,
    /// The newest version is this one. Otherwise [`Conflict`](super::StoreError::Conflict).
    Version(VersionId),
    /// The resource exists. Otherwise [`NotFound`](super::StoreError::NotFound) or [`Gone`](super::StoreError::Gone).
    Exists,
    /// No precondition.
    None,
}

/// One write of a commit: a new body, or a deletion.
///
/// ```
/// use fhir_devices::store::{Key, Precondition, Write, WriteId};
/// use fhir_devices::search::{IndexEntries, ResourceType};
/// let key = Key::new(ResourceType::Device, "pump")?;
/// let write = Write::create(key, r#"{"resourceType":"Device"}"#, IndexEntries::default()).with_id(WriteId(1));
/// assert_eq!(write.precondition, Precondition::Absent);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// Key of the resource.
    pub key: Key,
    /// Canonical JSON without `meta.versionId` and `meta.lastUpdated`; `None` deletes.
    pub body: Option<Bytes>,
    /// Index entries for searches; they replace those of the previous version. A deletion has none.
    pub index: IndexEntries,
    /// Precondition of the write.
    pub precondition: Precondition,
    /// Id kept with the version, so that the outcome can be found when the reply is lost.
    pub write_id: Option<WriteId>,
}

/// Shows the body as JSON.
impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, body, index, precondition, write_id } = self;
        let body = body.as_deref().map(Shown);
        let mut shown = f.debug_struct("Write");
        shown.field("key", key).field("body", &body).field("index", index);
        shown.field("precondition", precondition).field("write_id", write_id).finish()
    }
}

impl Write {
    /// Creates a write of a resource that does not exist or was deleted.
    #[must_use]
    pub fn create(key: Key, body: impl Into<Bytes>, index: IndexEntries) -> Self {
        Self { key, body: Some(body.into()), index, precondition: Precondition::Absent, write_id: None }
    }

    /// Creates a write that replaces `version`.
    #[must_use]
    pub fn update(key: Key, version: VersionId, body: impl Into<Bytes>, index: IndexEntries) -> Self {
        Self { key, body: Some(body.into()), index, precondition: Precondition::Version(version), write_id: None }
    }

    /// Creates a write that creates or replaces the resource unconditionally.
    #[must_use]
    pub fn put(key: Key, body: impl Into<Bytes>, index: IndexEntries) -> Self {
        Self { key, body: Some(body.into()), index, precondition: Precondition::None, write_id: None }
    }

    /// Creates a deletion under a precondition.
    #[must_use]
    pub fn delete(key: Key, precondition: Precondition) -> Self {
        Self { key, body: None, index: IndexEntries::default(), precondition, write_id: None }
    }

    /// Sets the id of the write.
    #[must_use]
    pub fn with_id(mut self, id: WriteId) -> Self {
        self.write_id = Some(id);
        self
    }
}
