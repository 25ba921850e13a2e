//! Conversion of typed resources to stored bodies and index entries.

use super::clock::to_millisecond;
use super::{
    AtomicScope, CommitError, Key, Precondition, ResourceStore, Result, Search, StoreError, TenantResources,
    ValidWrite, Version, Write,
};
use crate::datatype::{Extension, Meta};
use crate::element::{ReadMode, Value as _, Writer};
use crate::primitive::{CanonicalName, Id, Instant};
use crate::resource::{Bundle, Device, DeviceComponent, DeviceMetric, Resource, member};
use crate::search::{Criterion, IndexEntries, ResourceType, value::index_entries};
use crate::validate::Valid;
use std::collections::BTreeSet;

/// Maximum number of tries of an import whose components change meanwhile.
const IMPORT_TRIES: u32 = 8;

/// Resource of a stored type, or a [`Resource`] that may be one.
///
/// The trait is sealed: the body is the JSON of a resource of this crate. A tenant handle writes the resource once it
/// is [`Valid`]; a [`ResourceStore`] accepts any write.
///
/// ```
/// use fhir_devices::store::{Precondition, Storable};
/// use fhir_devices::{Resource, Device};
///
/// let device = Device::from_json(br#"{"resourceType":"Device","id":"pump","meta":{"versionId":"7"}}"#)?;
/// let write = device.to_write(Precondition::Exists)?;
/// assert_eq!(write.key.to_string(), "Device/pump");
/// assert_eq!(write.body.as_deref(), Some(&br#"{"resourceType":"Device","id":"pump"}"#[..]));
/// assert_eq!(Resource::from(device).to_write(Precondition::Exists)?, write);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Storable: sealed::Sealed + Clone + Send + Sync + 'static {
    /// Returns the key of the resource.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the resource has no id, or is of a type that is not stored.
    fn key(&self) -> Result<Key>;

    /// Returns the index entries of the resource.
    fn index(&self) -> IndexEntries;

    /// Returns the body to store: canonical JSON without `meta.versionId` and `meta.lastUpdated`.
    fn body(&self) -> String;

    /// Returns the write of this resource, valid or not. For a valid resource see [`Valid::write`].
    ///
    /// # Errors
    /// As [`key`](Self::key).
    fn to_write(&self, when: Precondition) -> Result<Write> {
        Ok(Write { precondition: when, ..Write::put(self.key()?, self.body(), self.index()) })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Resource of a stored type.
///
/// The store assigns the version and the time of the last update: both are left out of the written body, and set from
/// the [`Version`] when it is read.
pub trait Stored: Storable {
    /// Resource type.
    const TYPE: ResourceType;

    /// Returns the logical id.
    fn logical_id(&self) -> Option<&Id>;

    /// Sets the logical id.
    fn set_logical_id(&mut self, id: Id);

    /// Parses the resource of a version, and sets `meta.versionId` and `meta.lastUpdated`.
    ///
    /// # Errors
    /// [`StoreError::Gone`] for a deletion, [`StoreError::Corrupt`] when the body cannot be read.
    fn from_version(version: &Version) -> Result<Self>;
}

macro_rules! stored {
    ($Name:ident, $index:path) => {
        impl sealed::Sealed for $Name {}

        impl Storable for $Name {
            fn key(&self) -> Result<Key> {
                let id = self.logical_id().ok_or_else(|| without_id(stringify!($Name)))?;
                Ok(Key::new(Self::TYPE, id.as_str())?)
            }

            fn index(&self) -> IndexEntries {
                $index(self)
            }

            fn body(&self) -> String {
                match &self.meta {
                    Some(meta) if meta.version_id.is_some() || meta.last_updated.is_some() => {
                        without_version(self.to_json(), meta)
                    }
                    _ => self.to_json(),
                }
            }
        }

        impl Stored for $Name {
            const TYPE: ResourceType = ResourceType::$Name;

            fn logical_id(&self) -> Option<&Id> {
                self.id.as_ref().and_then(|id| id.value.as_ref())
            }

            fn set_logical_id(&mut self, id: Id) {
                self.id.get_or_insert_default().value = Some(id);
            }

            fn from_version(version: &Version) -> Result<Self> {
                let Some(body) = &version.body else { return Err(StoreError::gone(version.version)) };
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

impl sealed::Sealed for Resource {}

impl Storable for Resource {
    fn key(&self) -> Result<Key> {
        let kind: ResourceType = self
            .resource_type()
            .parse()
            .map_err(|_| StoreError::invalid(format!("a {} is not stored", self.resource_type())))?;
        Ok(Key::new(kind, self.id().ok_or_else(|| without_id(self.resource_type()))?)?)
    }

    fn index(&self) -> IndexEntries {
        match self {
            Self::Device(device) => device.index(),
            Self::DeviceComponent(component) => component.index(),
            Self::DeviceMetric(metric) => metric.index(),
            _ => IndexEntries::default(),
        }
    }

    fn body(&self) -> String {
        match self {
            Self::Device(device) => device.body(),
            Self::DeviceComponent(component) => component.body(),
            Self::DeviceMetric(metric) => metric.body(),
            other => other.to_json(),
        }
    }
}

fn without_id(kind: &str) -> StoreError {
    StoreError::invalid(format!("the {kind} has no id, wanted the one that it is stored under"))
}

/// Returns the JSON of a resource without `meta.versionId` and `meta.lastUpdated`.
fn without_version(json: String, meta: &Meta) -> String {
    let Some(found) = member(&json, "meta") else { return json };
    let start = found.as_ptr() as usize - json.as_ptr() as usize;
    let (Some(before), Some(after)) = (json.get(..start), json.get(start + found.len()..)) else { return json };
    let Some(before) = before.strip_suffix(",\"meta\":") else { return json };
    let mut writer = Writer::with_capacity(found.len());
    let meta = Meta { version_id: None, last_updated: None, ..meta.clone() };
    let meta = if meta.write(&mut writer) { format!(",\"meta\":{}", writer.finish()) } else { String::new() };
    [before, &meta, after].concat()
}

fn corrupt(key: &Key, report: &crate::issue::Report) -> StoreError {
    StoreError::corrupt(format!("the body of `{key}` cannot be read: {report}"))
}

/// Sets `meta.versionId` and `meta.lastUpdated` from a version.
pub(crate) fn stamp(meta: &mut Meta, version: &Version) {
    meta.version_id = Id::new(version.version.to_string()).ok().map(Into::into);
    meta.last_updated = Instant::try_from(to_millisecond(version.last_updated)).ok().map(Into::into);
}

impl<S: ResourceStore + ?Sized> TenantResources<S> {
    /// Returns the newest version of a resource, parsed and as stored.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Gone`], [`StoreError::Corrupt`], or an error of the engine.
    pub async fn get<T: Stored>(&self, id: &str) -> Result<(T, Version)> {
        let version = self.read(&Key::new(T::TYPE, id)?).await?;
        Ok((self.typed(&version)?, version))
    }

    fn typed<T: Stored>(&self, version: &Version) -> Result<T> {
        T::from_version(version).map_err(|error| error.about(self.resource(&version.key)))
    }

    /// Returns the resources of a type that meet all criteria, each parsed and as stored.
    ///
    /// All results are held in memory: the criteria must bound them.
    ///
    /// ```
    /// # use fhir_devices::{Device, Valid, backend::Memory, search::Criterion, store::TenantResources};
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// # let json = br#"{"resourceType":"Device","id":"pump","identifier":[{"system":"urn:sn","value":"7"}]}"#;
    /// # store.create(&Valid::new(Device::from_json(json)?)?).await?;
    /// let pumps = store.find::<Device>([Criterion::identifier("urn:sn|7".parse()?)]).await?;
    /// assert_eq!(pumps[0].0.id, Some("pump".parse()?));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`search`](Self::search); [`StoreError::Corrupt`].
    pub async fn find<T: Stored>(&self, criteria: impl IntoIterator<Item = Criterion>) -> Result<Vec<(T, Version)>> {
        let search = criteria.into_iter().fold(Search::new(T::TYPE), Search::and);
        let found = self.all(search).await?;
        found.into_iter().map(|version| Ok((self.typed(&version)?, version))).collect()
    }

    /// Creates or replaces the resource of every entry of a Bundle, whatever the Bundle's type, under the ids in the
    /// entries, and returns their versions in the order of the entries. References are not changed.
    ///
    /// The import is one commit, all or nothing, where the store accepts that many writes in one; otherwise several
    /// commits, one after another. Where another writer changes a component between its read and its write, that commit
    /// is tried again.
    ///
    /// The updates of a component belong to its update service: an existing component keeps its updates, whatever its
    /// entry says. A component that does not exist gets those of its entry, as when a backup is restored; the update
    /// service removes those that its ledger does not know. The import itself does not read the ledger.
    ///
    /// ```
    /// # use fhir_devices::{Bundle, DeviceComponent, Valid, backend::Memory, store::TenantResources};
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// # let json = br#"{"resourceType":"Bundle","type":"collection","entry":[
    /// #     {"fullUrl":"https://ehr.example/Device/pump","resource":{"resourceType":"Device","id":"pump"}},
    /// #     {"fullUrl":"https://ehr.example/DeviceComponent/mds",
    /// #      "resource":{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"MDS"}}}]}"#;
    /// store.import(&Valid::new(Bundle::from_json(json)?)?).await?;
    /// assert_eq!(store.find::<DeviceComponent>(None).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`], before anything is written, for a resource that has no id, is of a type that is not
    /// stored, or appears twice; otherwise as [`commit`](Self::commit). The index is that of the resource in the
    /// Bundle.
    pub async fn import(&self, bundle: &Valid<Bundle>) -> Result<Vec<Version>, CommitError> {
        let mut keys = BTreeSet::new();
        let mut resources = Vec::new();
        for (at, resource) in bundle.resources().enumerate() {
            let key = resource.key().map_err(|error| CommitError::at(at, error))?;
            if !keys.insert(key.clone()) {
                let twice = StoreError::invalid(format!("the Bundle has {key} twice"));
                return Err(CommitError::at(at, twice));
            }
            resources.push(resource);
        }
        let can = self.capabilities();
        let most = if can.atomic == AtomicScope::Key { 1 } else { can.max_writes.max(1) };
        let mut made = Vec::with_capacity(resources.len());
        for part in resources.chunks(most) {
            let before = made.len();
            made.extend(self.import_part(part).await.map_err(|refused| CommitError {
                index: refused.index.map(|index| index + before),
                error: refused.error,
            })?);
        }
        Ok(made)
    }

    /// Writes some resources of a valid Bundle in one commit.
    async fn import_part(&self, part: &[&Resource]) -> Result<Vec<Version>, CommitError> {
        let mut tries = IMPORT_TRIES;
        loop {
            let mut writes = Vec::with_capacity(part.len());
            for (at, resource) in part.iter().enumerate() {
                let write = match resource {
                    Resource::DeviceComponent(component) => self.import_component(component).await,
                    // The resource was validated with its Bundle.
                    resource => ValidWrite::entry(resource, Precondition::None),
                };
                writes.push(write.map_err(|error| CommitError::at(at, error))?);
            }
            tries -= 1;
            match self.commit(writes).await {
                Err(CommitError {
                    error:
                        StoreError::Conflict { .. }
                        | StoreError::AlreadyExists { .. }
                        | StoreError::NotFound { .. }
                        | StoreError::Gone { .. },
                    ..
                }) if tries > 0 => {}
                done => return done,
            }
        }
    }

    /// Returns the write of a component that keeps the updates of its stored version.
    async fn import_component(&self, component: &DeviceComponent) -> Result<ValidWrite> {
        let (key, is_update) =
            (component.key()?, |one: &Extension| CanonicalName::AvailableUpdate.matches(one.url.as_str()));
        let stored = match self.read(&key).await {
            Ok(stored) => stored,
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => {
                return ValidWrite::entry(&Resource::from(component.clone()), Precondition::Absent);
            }
            Err(error) => return Err(error),
        };
        let updates = DeviceComponent::from_version(&stored)?.extension.into_iter().filter(is_update);
        let mut kept = component.clone();
        kept.extension.retain(|one| !is_update(one));
        kept.extension.extend(updates);
        ValidWrite::entry(&Resource::from(kept), Precondition::Version(stored.version))
    }

    /// Writes a valid resource under its id.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the resource has no id or is of a type that is not stored, [`StoreError::Conflict`]
    /// or [`StoreError::AlreadyExists`] when the precondition fails, or an error of the engine.
    pub async fn put<T: Storable>(&self, resource: &Valid<T>, when: Precondition) -> Result<Version> {
        self.write(resource.write(when)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_omits_version_id_and_last_updated() {
        for (json, wanted) in [
            (
                r#"{"resourceType":"Device","id":"p","meta":{"versionId":"1"},"model":"x"}"#,
                r#"{"resourceType":"Device","id":"p","model":"x"}"#,
            ),
            (
                r#"{"resourceType":"Device","id":"p","meta":{"id":"m","lastUpdated":"2017-01-01T00:00:00Z","tag":[{"code":"a"}]}}"#,
                r#"{"resourceType":"Device","id":"p","meta":{"id":"m","tag":[{"code":"a"}]}}"#,
            ),
            (
                r#"{"resourceType":"Device","meta":{"_versionId":{"id":"v"},"versionId":"1"},"model":"x"}"#,
                r#"{"resourceType":"Device","model":"x"}"#,
            ),
            (
                r#"{"resourceType":"Device","id":"p","_id":{"extension":[{"url":"http://x.example/e","valueMeta":{"versionId":"1"}}]},"meta":{"versionId":"1"}}"#,
                r#"{"resourceType":"Device","id":"p","_id":{"extension":[{"url":"http://x.example/e","valueMeta":{"versionId":"1"}}]}}"#,
            ),
            (
                r#"{"resourceType":"Device","meta":{"tag":[{"code":"a"}]}}"#,
                r#"{"resourceType":"Device","meta":{"tag":[{"code":"a"}]}}"#,
            ),
        ] {
            let device = Device::from_json(json.as_bytes()).unwrap();
            assert_eq!(device.body(), wanted);
            assert_eq!(Resource::from(device).body(), wanted);
        }
    }
}
