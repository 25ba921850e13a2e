//! Offering updates to the next components of a lane, within its limits.

use super::keys::{self, Place};
use super::read::LaneSeen;
use super::rollout_service::Plan;
use super::step::{Ask, At, Stepped};
use super::{RolloutError, RolloutService};
use crate::manifest::ProductionSpec;
use crate::publish::Publisher;
use crate::resource::DeviceComponent;
use crate::store::{BlobStore, Ledger, PageToken, ResourceStore, Sha256, StoreError, Tenant, Version};
use crate::update::deployment::{Deployment, Input, Refusal, Runs};
use crate::update::release::Release;
use crate::update::rollout::{DeploymentId, LaneStatus, Rollout};
use std::num::NonZeroU32;

/// Number of entries of a lane's queue read at a time.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);

/// Maximum number of components that are skipped in one pass because they cannot be offered anything now.
const PASSED: usize = 1_000;

/// Returns the version of a component that a release would change, by its record.
pub(super) fn runs(release: &Release, component: &DeviceComponent) -> Runs {
    let found = release.request.reported_as.observed(component, None);
    if found.into_iter().any(|version| is_version(release, version)) { Runs::Target } else { Runs::Other }
}

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
        let (mut steps, mut passed) = (0, 0);
        let mut after: Option<PageToken> = None;
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for record in page.items {
                if steps >= budget || passed >= PASSED {
                    return Ok(steps);
                }
                let mut parts = record.key.as_str().rsplit('/');
                let id = parts.next().and_then(|id| id.parse::<DeploymentId>().ok());
                let minute = parts.next().and_then(|minute| u64::from_str_radix(minute, 16).ok());
                let wave = parts.next().and_then(|wave| u16::from_str_radix(wave, 16).ok());
                let (Some(id), Some(minute), Some(wave)) = (id, minute, wave) else { continue };
                if wave > head.wave.0 {
                    return Ok(steps);
                }
                if minute > now {
                    passed += 1;
                    continue;
                }
                let at = At { tenant, plan, place, id };
                if self.evaluate(at).await? {
                    steps += 1;
                    continue;
                }
                match self.step(at, Ask::Offer { epoch: rollout.epoch, one_per_device }).await? {
                    Stepped::To(_) => steps += 1,
                    // No other component of the lane may have an offer either.
                    Stepped::Refused(Refusal::Full | Refusal::Tripped | Refusal::NotOpen | Refusal::NotItsWave, _) => {
                        return Ok(steps);
                    }
                    Stepped::Refused(..) | Stepped::Unchanged(_) | Stepped::Granted(_) => passed += 1,
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(steps),
            }
        }
    }

    /// Evaluates a component and its gates before an offer; returns whether that led to a step.
    pub(super) async fn evaluate(&self, at: At<'_>) -> Result<bool, RolloutError> {
        let found = self.deployment_at(at.tenant, at.place, at.id).await?;
        let Some(deployment) = found.map(|seen| seen.value) else { return Ok(false) };
        let input = match self.component_now(at.tenant, &deployment).await? {
            None => Input::DeviceRetired { by: None },
            Some((component, version)) if runs(&at.plan.release, &component) == Runs::Target => {
                let report = Sha256::of(version.body.as_deref().unwrap_or_default());
                let (authenticated, runs) = (true, Runs::Target);
                Input::VersionReported { number: None, report, authenticated, runs, restarted: true, confirmed: true }
            }
            Some((component, _)) => {
                let of = (&*at.plan.spec, &*at.plan.release);
                Input::Evaluated { closed: self.closed_gates(at.tenant, of, &deployment, &component).await? }
            }
        };
        Ok(matches!(self.step(at, Ask::Input(&input, None)).await?, Stepped::To(_)))
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
