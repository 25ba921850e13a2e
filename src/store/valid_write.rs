//! Writes of a tenant handle: a valid resource, or a deletion.

use super::{Key, Precondition, Result, Storable, Stored, Version, Write, WriteId};
use crate::resource::Resource;
use crate::validate::Valid;
use std::ops::Deref;

/// A [`Write`] of a resource that is [`Valid`], or a deletion. [`TenantResources`](super::TenantResources) takes nothing else.
///
/// [`Valid::write`] makes one, [`ValidWrite::delete`] another. It is read as the [`Write`] that it is, and cannot be
/// changed but for its id.
///
/// ```
/// use fhir_devices::store::{Precondition, ValidWrite, WriteId};
/// use fhir_devices::{Device, Valid};
///
/// let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
/// let write = Valid::new(pump)?.write(Precondition::Absent)?.with_id(WriteId(1));
/// assert_eq!((write.key.to_string(), write.precondition), ("Device/pump".to_owned(), Precondition::Absent));
/// let delete = ValidWrite::delete(write.key.clone(), Precondition::Exists);
/// assert_eq!(delete.body, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A write of any bytes is no such write:
///
/// ```compile_fail,E0308
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{TenantResources, Write};
/// use fhir_devices::search::IndexEntries;
/// # async fn nonsense(store: TenantResources<Memory>) -> Result<(), Box<dyn std::error::Error>> {
/// store.write(Write::create("Device/pump".parse()?, "nonsense", IndexEntries::new())).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidWrite(Write);

impl ValidWrite {
    /// Deletes what is there under the condition.
    #[must_use]
    pub fn delete(key: Key, when: Precondition) -> Self {
        Self(Write::delete(key, when))
    }

    /// Sets the id of the write.
    #[must_use]
    pub fn with_id(self, id: WriteId) -> Self {
        Self(self.0.with_id(id))
    }

    /// Returns the write of a resource of a valid Bundle.
    pub(super) fn entry(resource: &Resource, when: Precondition) -> Result<Self> {
        resource.to_write(when).map(Self)
    }

    /// Returns the write of a resource over the version that it was read from, with updates of ours attached, marked
    /// or taken off.
    ///
    /// Another program may have stored what is not valid. That is no reason to keep an update from being withdrawn from it, so
    /// that it is not asked here: nothing is written but what the store has, and the updates.
    pub(crate) fn over<T: Stored>(read: &Version, resource: &T) -> Result<Self> {
        resource.to_write(Precondition::Version(read.version)).map(Self)
    }
}

impl Deref for ValidWrite {
    type Target = Write;

    fn deref(&self) -> &Write {
        &self.0
    }
}

impl From<ValidWrite> for Write {
    fn from(write: ValidWrite) -> Self {
        write.0
    }
}

impl<T: Storable> Valid<T> {
    /// Returns the write of this resource, for a handle of a tenant.
    ///
    /// # Errors
    /// [`StoreError::Invalid`](super::StoreError::Invalid) when it has no id, or is of a type that is not stored.
    pub fn write(&self, when: Precondition) -> Result<ValidWrite> {
        self.to_write(when).map(ValidWrite)
    }
}
