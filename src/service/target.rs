//! The component that is meant, and the reference in it.

use super::ReceiveError;
use crate::primitive::Id;
use crate::reference::{Literal, Selector, components, select_of};
use crate::resource::{DeviceComponent, Resource};
use crate::store::{
    Key, Precondition, ResourceStore, ResourceType, Result as StoreResult, StoreError, Stored, Tenanted, Version,
    VersionId, WriteId,
};
use crate::update::{AvailableUpdate, IngestId, attach, available};
use std::num::NonZeroU32;

/// A component, and the version of it that was read.
pub(super) type Seen = (DeviceComponent, Version);

/// What one look at the device found.
pub(super) enum Look {
    /// A component refers to the update already.
    Attached(Box<Seen>),
    /// The component that is meant, as it is now.
    Meant(Box<Seen>),
    /// What was read had changed by the time it was read again.
    Changing,
}

/// The device of a tenant that an update is for.
pub(super) struct Target<'a, R: ?Sized> {
    pub(super) resources: &'a Tenanted<R>,
    pub(super) device: &'a Id,
    pub(super) selector: &'a Selector,
}

impl<R: ResourceStore + ?Sized> Target<'_, R> {
    /// Every component of the device, and those above of which another device has them.
    async fn components(&self) -> Result<(Vec<DeviceComponent>, Vec<Version>), ReceiveError> {
        let no_device = |error| match error {
            StoreError::NotFound | StoreError::Gone { .. } => ReceiveError::NoSuchDevice,
            error => ReceiveError::Resources(error),
        };
        let device = Key::new(ResourceType::Device, self.device.as_str()).map_err(|_| ReceiveError::NoSuchDevice)?;
        self.resources.read(&device).await.map_err(no_device)?;
        let kin = self.resources.kin(&device, &[ResourceType::DeviceComponent]).await;
        let components = kin.map_err(ReceiveError::Resources)?.into_iter().filter_map(|(resource, version)| {
            let Resource::DeviceComponent(component) = resource else { return None };
            Some((*component, version))
        });
        Ok(components.unzip())
    }

    /// Whether exactly one component is meant.
    pub(super) async fn resolve(&self) -> Result<(), ReceiveError> {
        let (all, _) = self.components().await?;
        self.meant(&all)?;
        Ok(())
    }

    fn meant(&self, all: &[DeviceComponent]) -> Result<Id, ReceiveError> {
        // What is selected has an id: nothing else could be written to.
        let tree = components(all);
        let node = select_of(&tree, self.selector, self.device.as_str())?;
        node.may_be_target()?;
        node.id().cloned().ok_or_else(|| ReceiveError::Resources(StoreError::invalid("the component has no id")))
    }

    /// Looks for the reference of an upload in the whole device, else for the component that is meant.
    pub(super) async fn look(&self, id: IngestId) -> Result<Look, ReceiveError> {
        let (mut all, versions) = self.components().await?;
        if let Some(at) = all.iter().position(|component| refers(component, id)) {
            let seen = all.into_iter().zip(versions).nth(at);
            return Ok(seen.map_or(Look::Changing, |seen| Look::Attached(Box::new(seen))));
        }
        let meant = self.meant(&all)?;
        // A search may lag behind; what is written over must be what was judged.
        let seen: Seen = match self.resources.get(meant.as_str()).await {
            Ok(seen) => seen,
            Err(StoreError::NotFound | StoreError::Gone { .. }) => return Ok(Look::Changing),
            Err(error) => return Err(ReceiveError::Resources(error)),
        };
        if refers(&seen.0, id) {
            return Ok(Look::Attached(Box::new(seen)));
        }
        if let Some(slot) = all.iter_mut().zip(&versions).find(|(_, version)| version.key == seen.1.key) {
            if slot.1.version != seen.1.version {
                slot.0.clone_from(&seen.0);
                let still = self.owns(&seen.0) && self.meant(&all)? == meant;
                return Ok(if still { Look::Meant(Box::new(seen)) } else { Look::Changing });
            }
            return Ok(Look::Meant(Box::new(seen)));
        }
        Ok(Look::Changing)
    }

    fn owns(&self, component: &DeviceComponent) -> bool {
        let Some(source) = &component.source else { return true };
        matches!(source.literal(), Some(Literal::Relative { id, .. }) if id == self.device.as_str())
    }

    /// Writes the reference, if the component is as it was seen. All else in it stays as it is.
    pub(super) async fn write(&self, seen: Seen, update: &AvailableUpdate) -> StoreResult<Seen> {
        let (mut component, version) = seen;
        attach(&mut component, update);
        let write = component.write(Precondition::Version(version.version))?.with_id(WriteId(update.id.0));
        let written = self.resources.write_resolved(write).await?;
        Ok((DeviceComponent::from_version(&written)?, written))
    }

    /// A version of a component; the newest, where the store does not keep it.
    pub(super) async fn version(&self, component: &Id, version: VersionId) -> Result<Seen, ReceiveError> {
        let kept = async {
            let key = Key::new(ResourceType::DeviceComponent, component.as_str())?;
            let version = match self.resources.vread(&key, version).await {
                Err(StoreError::NotFound | StoreError::Unsupported { .. }) => self.resources.read(&key).await?,
                version => version?,
            };
            Ok((DeviceComponent::from_version(&version)?, version))
        };
        kept.await.map_err(ReceiveError::Resources)
    }

    /// The version of a component that was the first to have the reference, as far as the store tells.
    pub(super) async fn first(resources: &Tenanted<R>, id: IngestId, seen: Seen) -> Result<Seen, ReceiveError> {
        let wanted = Some(WriteId(id.0));
        if seen.1.write_id == wanted || !resources.capabilities().history {
            return Ok(seen);
        }
        let mut after = None;
        loop {
            let limit = NonZeroU32::MIN.saturating_add(63);
            let page = resources.history(&seen.1.key, limit, after.as_ref()).await;
            let page = page.map_err(ReceiveError::Resources)?;
            if let Some(version) = page.items.into_iter().find(|version| version.write_id == wanted) {
                return Ok((DeviceComponent::from_version(&version).map_err(ReceiveError::Resources)?, version));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(seen),
            }
        }
    }
}

pub(super) fn refers(component: &DeviceComponent, id: IngestId) -> bool {
    available(component).flatten().any(|update| update.id == id)
}
