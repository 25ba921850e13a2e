//! Writes of a tenant handle: a valid resource, or a deletion.

use super::{Key, Precondition, Result, Storable, Stored, Version, Write, WriteId};
use crate::resource::Resource;
use crate::validate::Valid;
use std::ops::Deref;

/// [`Write`] of a [`Valid`] resource, or a deletion. [`TenantResources`](super::TenantResources) accepts nothing else.
///
/// [`Valid::write`] and [`ValidWrite::delete`] create one. It dereferences to [`Write`], and only its write id can be
/// changed.
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
/// A write of arbitrary bytes does not convert:
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
    /// Creates a deletion under a precondition.
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

    /// Returns the write of a resource over the version that it was read from, with updates attached, marked or removed
    /// by this crate.
    ///
    /// Another program may have stored an invalid resource. An update must be withdrawn from it all the same, so that
    /// the resource is not validated here: the write holds only the stored resource and the updates.
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
    /// Returns the write of this resource, for a tenant handle.
    ///
    /// # Errors
    /// [`StoreError::Invalid`](super::StoreError::Invalid) when the resource has no id, or is of a type that is not
    /// stored.
    pub fn write(&self, when: Precondition) -> Result<ValidWrite> {
        self.to_write(when).map(ValidWrite)
    }
}
