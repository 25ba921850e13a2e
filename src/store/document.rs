//! Versions, writes and preconditions.

use super::{Key, VersionId, WriteId};
use crate::search::IndexEntries;
use crate::support::Shown;
use bytes::Bytes;
use std::fmt;
use time::OffsetDateTime;

/// One version of a resource, as it was stored.
///
/// The body is the canonical JSON of the resource *without* `meta.versionId` and `meta.lastUpdated`: the store assigns
/// them, and the floor that reads puts them in from the fields here. A store never looks into a body.
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
    /// Which resource.
    pub key: Key,
    /// Which version of it.
    pub version: VersionId,
    /// When the store applied the write, by [`commit_time`](super::commit_time).
    pub last_updated: OffsetDateTime,
    /// The id of the write that made it.
    pub write_id: Option<WriteId>,
    /// The canonical JSON; `None` stands for a deletion.
    pub body: Option<Bytes>,
}

/// The body is shown as the JSON that it is.
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
    /// Returns whether this version stands for a deletion.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.body.is_none()
    }
}

/// The precondition of a write, checked atomically with it.
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
    /// The resource exists in this version. Otherwise [`Conflict`](super::StoreError::Conflict).
    Version(VersionId),
    /// The resource exists. Otherwise [`NotFound`](super::StoreError::NotFound) or [`Gone`](super::StoreError::Gone).
    Exists,
    /// Nothing: the write is blind.
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
    /// Which resource.
    pub key: Key,
    /// The canonical JSON, without `meta.versionId` and `meta.lastUpdated`; `None` deletes.
    pub body: Option<Bytes>,
    /// By what the resource shall be found; they replace those of the version before. A deletion has none.
    pub index: IndexEntries,
    /// The condition.
    pub precondition: Precondition,
    /// Kept with the version, so that a lost answer can be resolved.
    pub write_id: Option<WriteId>,
}

/// The body is shown as the JSON that it is.
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
    /// Creates, if there is none or it was deleted.
    #[must_use]
    pub fn create(key: Key, body: impl Into<Bytes>, index: IndexEntries) -> Self {
        Self { key, body: Some(body.into()), index, precondition: Precondition::Absent, write_id: None }
    }

    /// Replaces `version`.
    #[must_use]
    pub fn update(key: Key, version: VersionId, body: impl Into<Bytes>, index: IndexEntries) -> Self {
        Self { key, body: Some(body.into()), index, precondition: Precondition::Version(version), write_id: None }
    }

    /// Creates or replaces, whatever is there.
    #[must_use]
    pub fn put(key: Key, body: impl Into<Bytes>, index: IndexEntries) -> Self {
        Self { key, body: Some(body.into()), index, precondition: Precondition::None, write_id: None }
    }

    /// Deletes what is there under the condition.
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
