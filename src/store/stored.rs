//! The typed resources that a store keeps, and how they become bodies and index entries.

use super::{
    IndexEntries, Key, Precondition, ResourceStore, ResourceType, Result, StoreError, TenantResources, Version, Write,
};
use crate::datatype::Meta;
use crate::element::ReadMode;
use crate::primitive::{Id, Instant};
use crate::resource::{Device, DeviceComponent, DeviceMetric};
use crate::search::value::index_entries;
use crate::validate::Valid;

/// A resource that a store keeps.
///
/// The version and the time of the last update are the store's: they are left out of the body that is written, and
/// set from the [`Version`] when it is read.
pub trait Stored: Clone + Sized + Send + Sync + 'static {
    /// Its type.
    const TYPE: ResourceType;

    /// Its logical id.
    fn logical_id(&self) -> Option<&Id>;

    /// Names it.
    fn set_logical_id(&mut self, id: Id);

    /// By what it is found.
    fn index(&self) -> IndexEntries;

    /// The body that is written: canonical JSON without the version and the time of the last update.
    fn body(&self) -> String;

    /// The resource as a version of it is, with the version and the time set.
    ///
    /// # Errors
    /// [`StoreError::Gone`] for a deletion, [`StoreError::Corrupt`] when the body cannot be read.
    fn from_version(version: &Version) -> Result<Self>;

    /// The write of this resource.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it has no id.
    fn write(&self, when: Precondition) -> Result<Write> {
        let id = self.logical_id().ok_or_else(|| StoreError::invalid("the resource has no id"))?;
        let key = Key::new(Self::TYPE, id.as_str())?;
        Ok(Write { when, ..Write::put(key, self.body(), self.index()) })
    }
}

macro_rules! stored {
    ($Name:ident, $index:path) => {
        impl Stored for $Name {
            const TYPE: ResourceType = ResourceType::$Name;

            fn logical_id(&self) -> Option<&Id> {
                self.id.as_ref().and_then(|id| id.value.as_ref())
            }

            fn set_logical_id(&mut self, id: Id) {
                self.id.get_or_insert_default().value = Some(id);
            }

            fn index(&self) -> IndexEntries {
                $index(self)
            }

            fn body(&self) -> String {
                let mut resource = self.clone();
                if let Some(meta) = &mut resource.meta {
                    meta.version_id = None;
                    meta.last_updated = None;
                }
                resource.to_json()
            }

            fn from_version(version: &Version) -> Result<Self> {
                let Some(body) = &version.body else { return Err(StoreError::Gone { at: version.version }) };
                let read = Self::read(body, ReadMode::Lenient);
                let mut resource = read.map_err(|report| corrupt(&version.key, &report))?.value;
                stamp(resource.meta.get_or_insert_default(), version);
                Ok(resource)
            }
        }
    };
}

stored!(Device, index_entries);
stored!(DeviceComponent, index_entries);
stored!(DeviceMetric, index_entries);

fn corrupt(key: &Key, report: &crate::issue::Report) -> StoreError {
    StoreError::Corrupt { what: format!("the body of `{key}` cannot be read: {report}") }
}

/// Sets the version and the time of the last update.
pub(crate) fn stamp(meta: &mut Meta, version: &Version) {
    meta.version_id = Id::new(version.version.to_string()).ok().map(Into::into);
    meta.last_updated = Instant::try_from(version.last_updated).ok().map(Into::into);
}

impl<S: ResourceStore + ?Sized> TenantResources<S> {
    /// The newest version of a resource, typed, with the version that the store knows it by.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Gone`], [`StoreError::Corrupt`], or a fault of the store.
    pub async fn get<T: Stored>(&self, id: &str) -> Result<(T, Version)> {
        let version = self.read(&Key::new(T::TYPE, id)?).await?;
        Ok((T::from_version(&version)?, version))
    }

    /// Writes a valid resource under its id.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it has no id, [`StoreError::Conflict`] or [`StoreError::AlreadyExists`] when the
    /// precondition does not hold, or a fault of the store.
    pub async fn put<T: Stored>(&self, resource: &Valid<T>, when: Precondition) -> Result<Version> {
        self.write(resource.write(when)?).await
    }
}
