//! The components and metrics of some devices, and the updates of these components.

use super::super::UpdateServer;
use crate::datatype::{Literal, Primitive, Reference, Target};
use crate::primitive::Text;
use crate::resource::device_component::SpecType;
use crate::resource::{Device, DeviceComponent, DeviceMetric};
use crate::search::{Criterion, Parameter, ResourceType};
use crate::service::{IngestId, KnownDamage, LifecycleError, UpdateService};
use crate::store::{BlobKey, Key, Search, StoreError, Stored, Tenant, TenantResources, Version};
use crate::update::{AvailableUpdate, is_available_update};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// Maximum bytes of resources of one type that a page reads.
const MAX_BYTES: usize = 2 << 20;

/// Size above which a resource is not shown.
const MAX_EACH: usize = 64 << 10;

/// Number of damaged files read at a time, and in total.
const DAMAGED_PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);
const MAX_DAMAGED: usize = 2_000;

/// The components and metrics of one device.
#[derive(Default)]
pub(super) struct Members {
    pub(super) components: Vec<DeviceComponent>,
    pub(super) metrics: Vec<DeviceMetric>,
    /// The last version of each component, by id, without its body.
    pub(super) written: BTreeMap<String, Version>,
}

/// The components and metrics of some devices.
#[derive(Default)]
pub(super) struct OfDevices {
    pub(super) members: BTreeMap<String, Members>,
    /// Whether reading stopped at a limit.
    pub(super) cut: bool,
}

impl OfDevices {
    /// Reads the components of some devices, and their metrics if requested, up to a number of each.
    pub(super) async fn read(
        store: &TenantResources,
        devices: &[String],
        with_metrics: bool,
        most: usize,
    ) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let components: Vec<(DeviceComponent, Version)> = found.all(store, devices, most).await?;
        for (component, version) in components {
            let Some(device) = target(component.source.as_ref()) else { continue };
            let members = found.members.entry(device.to_owned()).or_default();
            // The body is not needed twice.
            members.written.insert(id(&component).to_owned(), Version { body: None, ..version });
            members.components.push(component);
        }
        if with_metrics {
            let metrics: Vec<(DeviceMetric, Version)> = found.all(store, devices, most).await?;
            for (metric, _) in metrics {
                let Some(device) = target(metric.source.as_ref()) else { continue };
                found.members.entry(device.to_owned()).or_default().metrics.push(metric);
            }
        }
        Ok(found)
    }

    async fn all<T: Stored>(
        &mut self,
        store: &TenantResources,
        devices: &[String],
        most: usize,
    ) -> Result<Vec<(T, Version)>, StoreError> {
        let keys = devices.iter().filter_map(|device| Key::new(ResourceType::Device, device.as_str()).ok());
        let of_devices: Vec<Criterion> = keys.map(|key| store.refers(Parameter::Source, &key)).collect();
        if of_devices.is_empty() {
            return Ok(Vec::new());
        }
        let mut search = Search::new(T::TYPE).limit(100).and(Criterion::AnyOf(of_devices));
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        loop {
            let page = store.search(&search).await?;
            for version in page.items {
                let size = version.body.as_ref().map_or(0, bytes::Bytes::len);
                if size > MAX_EACH || bytes.saturating_add(size) > MAX_BYTES || found.len() >= most {
                    self.cut = true;
                    continue;
                }
                bytes = bytes.saturating_add(size);
                found.push((T::from_version(&version)?, version));
            }
            match page.next {
                Some(_) if found.len() >= most || bytes.saturating_add(MAX_EACH) > MAX_BYTES => {
                    self.cut = true;
                    return Ok(found);
                }
                Some(next) => search.after = Some(next),
                None => return Ok(found),
            }
        }
    }
}

/// The updates of some components, from the ledger.
#[derive(Default)]
pub(super) struct Updates {
    /// Updates by the id of their component.
    of: BTreeMap<String, Vec<AvailableUpdate>>,
    /// Updates whose file is damaged.
    damaged: BTreeMap<IngestId, KnownDamage>,
}

impl Updates {
    /// Looks up the updates of components.
    pub(super) async fn read<'c>(
        app: &UpdateServer,
        tenant: &Tenant,
        components: impl Iterator<Item = &'c DeviceComponent>,
    ) -> Result<Self, LifecycleError> {
        let mut of = BTreeMap::new();
        for component in components.filter(|component| may_have_update(component)) {
            of.insert(id(component).to_owned(), app.updates.updates_of(tenant, component).await?);
        }
        let damaged = damaged(&app.updates, tenant, of.values().flatten()).await?;
        Ok(Self { of, damaged })
    }

    /// Returns the updates of a component.
    pub(super) fn of(&self, component: &str) -> &[AvailableUpdate] {
        self.of.get(component).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the known damage to the file of an update.
    pub(super) fn damage(&self, update: &AvailableUpdate) -> Option<&KnownDamage> {
        self.damaged.get(&update.id)
    }
}

/// Returns whether a component states an update; only the ledger knows whether that is true.
pub(super) fn may_have_update(component: &DeviceComponent) -> bool {
    component.extension.iter().any(|extension| is_available_update(extension.url.as_str()))
}

/// Returns the updates whose file is known to be damaged. Where no file is damaged, no update is looked up.
async fn damaged(
    service: &UpdateService,
    tenant: &Tenant,
    updates: impl Iterator<Item = &AvailableUpdate>,
) -> Result<BTreeMap<IngestId, KnownDamage>, LifecycleError> {
    let (mut files, mut after) = (BTreeMap::new(), None);
    while files.len() < MAX_DAMAGED {
        let page = service.damaged_files(tenant, DAMAGED_PAGE, after.as_ref()).await?;
        files.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let digests: BTreeSet<_> = files.keys().map(|key: &BlobKey| key.digest).collect();
    let mut damaged = BTreeMap::new();
    for update in updates.filter(|update| digests.contains(&update.sha256)) {
        let file = service.upload(tenant, update.id).await?.state.key();
        damaged.extend(file.and_then(|file| files.get(&file)).map(|damage| (update.id, damage.clone())));
    }
    Ok(damaged)
}

/// Returns the id of a stored resource.
pub(super) fn id<T: Stored>(resource: &T) -> &str {
    resource.logical_id().map(crate::primitive::Id::as_str).unwrap_or_default()
}

/// Returns the id of the resource that a reference targets.
pub(super) fn target<T: Target>(reference: Option<&Reference<T>>) -> Option<&str> {
    match reference?.literal()? {
        Literal::Relative { id, .. } | Literal::Absolute { id, .. } => Some(id),
        _ => None,
    }
}

/// Returns the value of a text.
pub(super) fn value(text: &Option<Primitive<Text>>) -> Option<&str> {
    text.as_ref()?.value.as_ref().map(Text::as_str)
}

/// Returns a readable text of a reference.
pub(super) fn shown<T: Target>(reference: &Reference<T>) -> Option<&str> {
    value(&reference.display).or_else(|| value(&reference.reference))
}

/// Returns a readable name of a device.
pub(super) fn name(device: &Device) -> &str {
    let kind = device.r#type.as_ref().and_then(|kind| value(&kind.text));
    let label = device.udi.as_ref().and_then(|udi| value(&udi.name));
    label.or(kind).or_else(|| value(&device.model)).unwrap_or("Device without a name")
}

/// Returns the versions of one kind that a component reports.
pub(super) fn revisions(component: &DeviceComponent, kind: SpecType) -> impl Iterator<Item = &str> {
    let all = component.production_specification.iter();
    all.filter(move |specification| specification.is_about(kind))
        .filter_map(|specification| value(&specification.production_spec))
}
