//! The actions of a device: its live offers by number, for device interfaces with numbered actions.

use super::step::At;
use super::{RolloutError, RolloutService};
use crate::manifest::ProductionSpec;
use crate::primitive::Id;
use crate::publish::{ActionNumber, DeviceAddress, Offer, Slot};
use crate::search::ResourceType;
use crate::store::{BlobStore, Key, Ledger, ResourceStore, StoreError, Tenant};
use crate::update::deployment::{Deployment, Outcome, State};
use crate::update::rollout::LaneStatus;
use time::OffsetDateTime;

/// A live offer of a device.
///
/// Listed by [`DeviceActions`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceAction {
    /// The number of the action.
    pub number: ActionNumber,
    /// The deployment that the action belongs to.
    pub deployment: Deployment,
    /// The offer, the same each time it is read.
    pub offer: Offer,
    /// The production specification that shows the version of the update.
    pub reported_as: ProductionSpec,
    /// Whether the device would get the bytes now: the lane is open, and no gate is closed.
    pub available: bool,
}

/// The live offers of a device, and the highest number of its offers.
///
/// Returned by [`RolloutService::device_actions`](super::RolloutService::device_actions).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceActions {
    /// The time of the read.
    pub at: OffsetDateTime,
    /// The highest number given; 0 without any offer.
    pub last: ActionNumber,
    /// The live offers, by number.
    pub live: Vec<DeviceAction>,
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the live offers of a device from the ledger, which is authoritative, instead of the slots of its region.
    /// Nothing is written.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchDevice`]; [`RolloutError::Store`].
    pub async fn device_actions(&self, tenant: &Tenant, device: &Id) -> Result<DeviceActions, RolloutError> {
        let key = Key::new(ResourceType::Device, device.as_str()).map_err(StoreError::from)?;
        match self.updates.resources(tenant).read(&key).await {
            Ok(_) => {}
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => {
                return Err(RolloutError::NoSuchDevice { device: device.clone() });
            }
            Err(error) => return Err(error.into()),
        }
        let offers = self.locks(tenant, device).await?.value;
        let mut live = Vec::with_capacity(offers.live.len());
        for id in offers.live.iter().map(|lock| lock.deployment) {
            let Some(place) = self.place(tenant, id).await? else { continue };
            let Some(seen) = self.deployment_at(tenant, place, id).await? else { continue };
            let deployment = seen.value;
            let Some(number) = deployment.state.action().filter(|_| deployment.state.is_in_flight()) else { continue };
            let plan = self.plan(tenant, place.rollout).await?;
            let mut available = self.lane(tenant, place).await?.kept.head.status == LaneStatus::Open;
            // A device with bytes continues, whatever the state of the gates.
            if available && !plan.spec.gates.is_empty() && !matches!(deployment.state, State::Claimed { .. }) {
                available = match self.component_now(tenant, &deployment).await? {
                    Some((component, _)) => {
                        let of = (&*plan.spec, &*plan.release);
                        self.closed_gates(tenant, of, &deployment, &component).await?.is_empty()
                    }
                    None => false,
                };
            }
            let offer = self.offer(At { tenant, plan: &plan, place, id }, &deployment, deployment.key(), number);
            let reported_as = plan.release.request.reported_as;
            live.push(DeviceAction { number, deployment, offer, reported_as, available });
        }
        live.sort_by_key(|action| action.number);
        Ok(DeviceActions { at: self.now(), last: offers.last, live })
    }

    /// Returns the action of a number by which an update was installed, where no other was offered to the component since; `None`
    /// where it is no such one. Nothing is written.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchDevice`]; [`RolloutError::Store`].
    pub async fn installed_action(
        &self,
        tenant: &Tenant,
        device: &Id,
        number: ActionNumber,
    ) -> Result<Option<DeviceAction>, RolloutError> {
        let key = Key::new(ResourceType::Device, device.as_str()).map_err(StoreError::from)?;
        let address = DeviceAddress::new(device.as_str()).map_err(StoreError::from)?;
        let members = self.updates.resources(tenant).device_members(&key, &[ResourceType::DeviceComponent]).await?;
        for component in members.iter().filter_map(|(resource, _)| Id::new(resource.id()?).ok()) {
            // What a slot had last is the last action of the component, also when that has ended.
            let slot = Slot { device: address.clone(), component: component.clone() };
            for publisher in self.regions.values() {
                let Ok(Some(found)) = publisher.read(tenant, &slot).await else { continue };
                let id = found.content.key().deployment;
                if found.content.action() != number {
                    continue;
                }
                let Some(place) = self.place(tenant, id).await? else { continue };
                let Some(seen) = self.deployment_at(tenant, place, id).await? else { continue };
                let deployment = seen.value;
                let installed = matches!(deployment.state, State::Done { outcome: Outcome::Succeeded { .. }, .. });
                if !installed || deployment.device != *device || deployment.state.action() != Some(number) {
                    continue;
                }
                let plan = self.plan(tenant, place.rollout).await?;
                let offer = self.offer(At { tenant, plan: &plan, place, id }, &deployment, deployment.key(), number);
                let reported_as = plan.release.request.reported_as;
                return Ok(Some(DeviceAction { number, deployment, offer, reported_as, available: false }));
            }
        }
        Ok(None)
    }
}
