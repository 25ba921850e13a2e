//! Finding the target component and the reference in it.

use super::ReceiveError;
use crate::containment::{Selector, TreeBuilder, select_of};
use crate::datatype::Extension;
use crate::manifest::IngestId;
use crate::primitive::{CanonicalBase, Id};
use crate::reference::Literal;
use crate::reference::{OwnBase, decoded, localize};
use crate::resource::{DeviceComponent, Resource};
use crate::search::ResourceType;
use crate::store::{
    Key, ResourceStore, Result as StoreResult, StoreError, Stored, TenantResources, ValidWrite, Version, WriteId, stamp,
};
use crate::update::{AvailableUpdate, attach_beside, available, update_id};
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// A component, in the version that was read.
pub(super) type Seen = (DeviceComponent, Version);

/// The result of reading the device once.
pub(super) enum Look {
    /// A component refers to the update already.
    Attached(Box<Seen>),
    /// The matching component, in its current version.
    Meant(Box<Meant>),
    /// The component had changed when it was read again.
    Changing,
}

/// The matching component, and its device.
pub(super) struct Meant {
    pub(super) seen: Seen,
    pub(super) device_members: DeviceMembers,
}

/// A device, its components, and those above them that belong to another device.
pub(super) struct DeviceMembers {
    pub(super) device: Version,
    pub(super) components: Vec<DeviceComponent>,
    pub(super) own: Option<OwnBase>,
    versions: Vec<Version>,
}

impl DeviceMembers {
    /// Returns a component of the device, in the version that was read.
    pub(super) fn seen(&self, id: &Id) -> Option<Seen> {
        let all = self.components.iter().zip(&self.versions);
        all.into_iter()
            .find(|(component, _)| component.logical_id() == Some(id))
            .map(|(component, version)| (component.clone(), version.clone()))
    }
}

/// The target device of an update.
pub(super) struct Target<'a, R: ?Sized> {
    pub(super) resources: &'a TenantResources<R>,
    pub(super) device: &'a Id,
    pub(super) selector: &'a Selector,
    /// Whether the rest of the device is checked too, and so must be current: a search may be delayed.
    pub(super) whole: bool,
}

impl<R: ResourceStore + ?Sized> Target<'_, R> {
    async fn device_members(&self) -> Result<DeviceMembers, ReceiveError> {
        let none = || ReceiveError::NoSuchDevice { device: self.device.clone() };
        let no_device = |error| match error {
            StoreError::NotFound { .. } | StoreError::Gone { .. } => none(),
            error => ReceiveError::Resources(error),
        };
        let device = Key::new(ResourceType::Device, self.device.as_str()).map_err(|_| none())?;
        let found = self.resources.read(&device).await.map_err(no_device)?;
        let device_members = self.resources.device_members(&device, &[ResourceType::DeviceComponent]).await;
        let components =
            device_members.map_err(ReceiveError::Resources)?.into_iter().filter_map(|(resource, version)| {
                let Resource::DeviceComponent(component) = resource else { return None };
                Some((*component, version))
            });
        let (mut components, mut versions): (Vec<_>, Vec<_>) = components.unzip();
        if self.whole {
            let mut there = Vec::with_capacity(components.len());
            for (component, version) in components.into_iter().zip(versions) {
                there.extend(self.again(component, version).await.map_err(ReceiveError::Resources)?);
            }
            (components, versions) = there.into_iter().unzip();
        }
        Ok(DeviceMembers { device: found, components, own: self.resources.own_base().cloned(), versions })
    }

    /// Returns the current version of a component that was found; `None` where it is gone.
    async fn again(&self, component: DeviceComponent, version: Version) -> StoreResult<Option<Seen>> {
        match self.resources.read(&version.key).await {
            Ok(now) if now.version == version.version => Ok(Some((component, version))),
            Ok(now) => Ok(Some((DeviceComponent::from_version(&now)?, now))),
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the one matching component, and its device.
    pub(super) async fn meant_of_all(&self) -> Result<(DeviceMembers, Id), ReceiveError> {
        let device_members = self.device_members().await?;
        let meant = self.meant(&device_members.components)?;
        Ok((device_members, meant))
    }

    fn meant(&self, all: &[DeviceComponent]) -> Result<Id, ReceiveError> {
        // A selected component has an id: no other could be written.
        let tree = TreeBuilder::with_capacity(all.len()).at(self.resources.own_base().cloned()).with_items(all).build();
        let node = select_of(&tree, self.selector, self.device.as_str())?;
        node.may_be_target()?;
        node.id().cloned().ok_or_else(|| ReceiveError::Resources(StoreError::invalid("the component has no id")))
    }

    /// Looks for the reference of an upload in the whole device, otherwise for the matching component.
    pub(super) async fn look(&self, id: IngestId) -> Result<Look, ReceiveError> {
        let mut device_members = self.device_members().await?;
        if let Some(at) = device_members.components.iter().position(|component| refers(component, id)) {
            let seen = device_members.components.into_iter().zip(device_members.versions).nth(at);
            return Ok(seen.map_or(Look::Changing, |seen| Look::Attached(Box::new(seen))));
        }
        let meant = self.meant(&device_members.components)?;
        // A search may be delayed; the version that is overwritten must be the one that was checked.
        let key = Key::new(ResourceType::DeviceComponent, meant.as_str());
        let now = match self.resources.read(&key.map_err(|error| ReceiveError::Resources(error.into()))?).await {
            Ok(now) => now,
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => return Ok(Look::Changing),
            Err(error) => return Err(ReceiveError::Resources(error)),
        };
        let slot = device_members
            .components
            .iter_mut()
            .zip(&device_members.versions)
            .find(|(_, version)| version.key == now.key);
        let Some((component, version)) = slot else { return Ok(Look::Changing) };
        let has_changed = version.version != now.version;
        if has_changed {
            *component = DeviceComponent::from_version(&now).map_err(ReceiveError::Resources)?;
        }
        let seen = (component.clone(), now);
        if refers(&seen.0, id) {
            return Ok(Look::Attached(Box::new(seen)));
        }
        if has_changed && (!self.owns(&seen.0) || self.meant(&device_members.components)? != meant) {
            return Ok(Look::Changing);
        }
        Ok(Look::Meant(Box::new(Meant { seen, device_members })))
    }

    fn owns(&self, component: &DeviceComponent) -> bool {
        let Some(source) = &component.source else { return true };
        let Some(literal) = source.literal() else { return false };
        let decoded = decoded(literal);
        let literal = localize(self.resources.own_base(), decoded.as_deref().map_or(literal, Literal::parse));
        matches!(literal, Literal::Relative { id, .. } if id == self.device.as_str())
    }

    /// Writes the reference, if the component is unchanged. All other content stays, `foreign` updates included.
    pub(super) async fn write(
        &self,
        seen: Seen,
        update: &AvailableUpdate,
        base: &CanonicalBase,
        foreign: &BTreeSet<Option<IngestId>>,
    ) -> StoreResult<Seen> {
        let (mut component, version) = seen;
        let is_foreign = |extension: &Extension| foreign.contains(&update_id(extension));
        attach_beside(&mut component, update, base, is_foreign);
        let write = ValidWrite::over(&version, &component)?.with_id(WriteId(update.id.0));
        let sent = write.body.clone();
        let written = self.resources.write_resolved(write).await?;
        if written.body == sent {
            stamp(component.meta.get_or_insert_default(), &written);
            return Ok((component, written));
        }
        Ok((DeviceComponent::from_version(&written)?, written))
    }

    /// Returns the first version of a component with the reference, as far as the store knows.
    pub(super) async fn first(resources: &TenantResources<R>, id: IngestId, seen: Seen) -> Result<Seen, ReceiveError> {
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
