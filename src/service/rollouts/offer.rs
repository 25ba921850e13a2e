//! Offering updates to the next components of a lane, within its limits.

use super::component_members::ComponentMembers;
use super::keys::{self, Place};
use super::read::LaneSeen;
use super::rollout_service::Plan;
use super::step::{Ask, At, Known, LaneTask, Stepped, TOGETHER, TaskAsk};
use super::{RolloutError, RolloutService};
use crate::manifest::ProductionSpec;
use crate::publish::Publisher;
use crate::resource::DeviceComponent;
use crate::search::ResourceType;
use crate::store::{
    BlobStore, Key, Ledger, PageToken, ResourceStore, Sha256, StoreError, Stored as _, Tenant, Version,
};
use crate::update::deployment::{Deployment, Input, Runs};
use crate::update::release::Release;
use crate::update::rollout::{DeploymentId, LaneStatus, Rollout};
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// How many entries of the queue of a lane are read at a time: as many as are offered the update together.
#[allow(clippy::cast_possible_truncation, reason = "it is a small number")]
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(TOGETHER as u32 - 1);

/// Maximum number of components that are skipped in one pass because they cannot be offered anything now.
const PASSED: usize = 1_000;

/// Returns whether a version is that of a release.
pub(super) fn is_version(release: &Release, version: &str) -> bool {
    let own = release.request.version.as_str();
    own == version || release.request.scheme.compare_texts(own, version) == Some(std::cmp::Ordering::Equal)
}

/// Returns whether devices report a release as this production specification.
pub(super) fn is_reported_as(release: &Release, spec: ProductionSpec) -> bool {
    release.request.reported_as == spec
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Offers the update to a lane's next components, within its limits. Returns the number of steps.
    pub(super) async fn offer_lane(
        &self,
        tenant: &Tenant,
        (rollout, plan): (&Rollout, &Plan),
        lane: &LaneSeen,
        publisher: &dyn Publisher,
        budget: usize,
    ) -> Result<usize, RolloutError> {
        let head = &lane.kept.head;
        if head.status != LaneStatus::Open || head.counts.planned == 0 || head.epoch != rollout.epoch {
            return Ok(0);
        }
        let place = Place { rollout: head.rollout, lane: head.lane };
        let one_per_device = publisher.capabilities().one_per_device;
        let folder = keys::queue(place.rollout, place.lane)?;
        let (ledger, now) = (self.ledger(tenant), keys::minute(head.now(self.now())));
        // So many components are looked at together as may be offered anything, and one that finds the lane full.
        let free = usize::try_from(head.cap_share.saturating_sub(head.counts.in_flight())).unwrap_or(usize::MAX);
        let (mut steps, mut passed) = (0_usize, 0);
        let mut after: Option<PageToken> = None;
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            let (mut entries, mut is_beyond) = (page.items.into_iter(), false);
            loop {
                let left = budget.saturating_sub(steps);
                let room = free.saturating_sub(steps).max(1).min(left);
                if room == 0 || passed >= PASSED {
                    return Ok(steps);
                }
                let mut tasks = Vec::with_capacity(room.min(entries.len()));
                for record in entries.by_ref() {
                    let mut parts = record.key.as_str().rsplit('/');
                    let id = parts.next().and_then(|id| id.parse::<DeploymentId>().ok());
                    let minute = parts.next().and_then(|minute| u64::from_str_radix(minute, 16).ok());
                    let wave = parts.next().and_then(|wave| u16::from_str_radix(wave, 16).ok());
                    let (Some(id), Some(minute), Some(wave)) = (id, minute, wave) else { continue };
                    if wave > head.wave.0 {
                        is_beyond = true;
                        break;
                    }
                    if minute > now {
                        passed += 1;
                        continue;
                    }
                    let at = At { tenant, plan, place, id };
                    let Some(seen) = self.deployment_at(tenant, place, id).await? else { continue };
                    let ask = match self.evaluation(at, &seen.value).await? {
                        Input::Evaluated { closed } if closed.is_empty() => {
                            TaskAsk::Offer { epoch: rollout.epoch, one_per_device }
                        }
                        input => TaskAsk::Input(input),
                    };
                    tasks.push(LaneTask { id, seen, entry: Some((record.key, record.revision)), ask });
                    if tasks.len() >= room {
                        break;
                    }
                }
                if tasks.is_empty() {
                    break;
                }
                for stepped in self.step_all((tenant, plan, place), tasks).await? {
                    match stepped {
                        Stepped::To(_) => steps += 1,
                        // Nobody else of the lane may either.
                        Stepped::Refused(refusal, _) if refusal.is_of_lane() => return Ok(steps),
                        Stepped::Refused(..) | Stepped::Unchanged(_) | Stepped::Granted(_) => passed += 1,
                    }
                }
                if is_beyond || entries.len() == 0 {
                    break;
                }
            }
            match page.next.filter(|_| !is_beyond) {
                Some(next) => after = Some(next),
                None => return Ok(steps),
            }
        }
    }

    /// Looks at a component and its gates again; whether that led to a step.
    pub(super) async fn evaluate(&self, at: At<'_>) -> Result<bool, RolloutError> {
        let Some(seen) = self.deployment_at(at.tenant, at.place, at.id).await? else { return Ok(false) };
        let input = self.evaluation(at, &seen.value).await?;
        Ok(matches!(self.step(at, Known::of(seen), Ask::Input(&input, None)).await?, Stepped::To(_)))
    }

    /// Looks at a component and its gates, before it is offered anything.
    async fn evaluation(&self, at: At<'_>, deployment: &Deployment) -> Result<Input, RolloutError> {
        let key = Key::new(ResourceType::DeviceComponent, deployment.component.as_str()).map_err(StoreError::from)?;
        let version = match self.updates.resources(at.tenant).read(&key).await {
            Ok(version) => version,
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => {
                return Ok(Input::DeviceRetired { by: None });
            }
            Err(error) => return Err(error.into()),
        };
        let component = ComponentMembers::from_version(&version)?;
        if component.is_void() {
            return Ok(Input::DeviceRetired { by: None });
        }
        if component.runs(&at.plan.release) == Runs::Target {
            let report = Sha256::of(version.body.as_deref().unwrap_or_default());
            let (authenticated, runs) = (true, Runs::Target);
            return Ok(Input::VersionReported {
                number: None,
                report,
                authenticated,
                runs,
                restarted: true,
                confirmed: true,
            });
        }
        if at.plan.spec.gates.is_empty() {
            return Ok(Input::Evaluated { closed: BTreeSet::new() });
        }
        let component = DeviceComponent::from_version(&version)?;
        let of = (&*at.plan.spec, &*at.plan.release);
        Ok(Input::Evaluated { closed: self.closed_gates(at.tenant, of, deployment, &component).await? })
    }

    /// Returns the current component of a deployment; `None` where it is gone, or entered in error.
    pub(super) async fn component_now(
        &self,
        tenant: &Tenant,
        deployment: &Deployment,
    ) -> Result<Option<(DeviceComponent, Version)>, RolloutError> {
        match self.updates.resources(tenant).get::<DeviceComponent>(deployment.component.as_str()).await {
            Ok((component, version)) => Ok((!is_void(&component)).then_some((component, version))),
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns whether a component was entered in error.
fn is_void(component: &DeviceComponent) -> bool {
    let statuses = component.operational_status.iter();
    statuses.flat_map(|status| &status.coding).any(|coding| {
        coding.code.as_ref().and_then(|code| code.get()).is_some_and(|code| code.as_str() == "entered-in-error")
    })
}
