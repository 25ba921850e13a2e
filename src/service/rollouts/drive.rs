//! Driving rollouts, regions and deadlines in the background.

use super::super::entries::{Seen, unreadable};
use super::super::lifecycle::PAGE;
use super::keys::{self, Place};
use super::rollout_service::Plan;
use super::step::{Ask, At, Known, LaneTask, Stepped, TaskAsk};
use super::{RegionError, RolloutError, RolloutService};
use crate::publish::RegionId;
use crate::store::{BlobStore, Ledger, LedgerKey, LedgerRecord, PageToken, ResourceStore, StoreError, Tenant};
use crate::update::deployment::{Deployment, Input, Refusal, State};
use crate::update::rollout::{
    Fold, LaneInput, LaneStatus, Rollout, RolloutEffect, RolloutId, RolloutInput, RolloutRefusal, Status, resume,
};

/// Maximum number of lanes of a rollout that a device's report looks at.
const LANES_AT_ONCE: u16 = 16;

/// Maximum number of steps of a rollout in one pass.
const STEPS: usize = 64;

/// The result of one pass over a region.
///
/// ```
/// use fhir_devices::service::Pass;
/// assert_eq!(Pass::default().steps, 0);
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Pass {
    /// The number of steps. After 0 there is nothing to do until a report, a request or a deadline.
    pub steps: usize,
    /// The error of the region: the one that stopped its part, or the first of a slot that failed alone.
    pub region: Option<RegionError>,
    /// The rollouts that could not be driven, and why. They do not block others.
    pub failed: Vec<(RolloutId, RolloutError)>,
}

/// The result of processing due deadlines.
///
/// ```
/// use fhir_devices::service::TimersRun;
/// assert_eq!(TimersRun::default().steps, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimersRun {
    /// The number of deployments with a due deadline.
    pub looked_at: usize,
    /// The number of deployments that changed.
    pub steps: usize,
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Advances the rollouts of a tenant in a region: plans, opens and stops lanes, offers updates, and writes slots,
    /// about `budget` steps of each. The first call over a new connection to a region that is not durable
    /// [verifies](Self::verify) its slots. Call it at intervals for each region, in any number of processes; an unreachable
    /// region blocks no other.
    ///
    /// # Errors
    /// [`RolloutError::UnknownRegion`]; [`RolloutError::Store`] where the ledger cannot be read at all.
    pub async fn run_once(&self, tenant: &Tenant, region: &RegionId, budget: usize) -> Result<Pass, RolloutError> {
        let unknown = || RolloutError::UnknownRegion { region: region.clone() };
        let publisher = &**self.regions.get(region).ok_or_else(unknown)?;
        self.verify_connection(tenant, region, publisher).await?;
        let mut pass = Pass { steps: self.resume_releases(tenant).await?, ..Pass::default() };
        let (mut running, mut after): (Vec<Rollout>, Option<PageToken>) = (Vec::new(), None);
        loop {
            let page = self.rollouts(tenant, false, PAGE, after.as_ref()).await?;
            for rollout in page.items {
                let id = rollout.id;
                match self.drive_rollout(tenant, id).await {
                    Ok(steps) => pass.steps += steps,
                    Err(error) => {
                        pass.failed.push((id, error));
                        continue;
                    }
                }
                let now = self.rollout(tenant, id).await?;
                if now.status == Status::Running {
                    running.push(now);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let run = self.work_region(tenant, region, publisher, budget).await?;
        pass.steps += run.steps;
        if run.rests {
            // A new offer would wait.
            pass.region = run.error;
            return Ok(pass);
        }
        for rollout in running {
            match self.offer_region(tenant, &rollout, region, budget).await {
                Ok(steps) => pass.steps += steps,
                Err(error) => pass.failed.push((rollout.id, error)),
            }
        }
        let run = self.work_region(tenant, region, publisher, budget).await?;
        pass.steps += run.steps;
        pass.region = run.error;
        Ok(pass)
    }

    async fn offer_region(
        &self,
        tenant: &Tenant,
        rollout: &Rollout,
        region: &RegionId,
        budget: usize,
    ) -> Result<usize, RolloutError> {
        let Some(publisher) = self.regions.get(region) else { return Ok(0) };
        let plan = self.plan(tenant, rollout.id).await?;
        let mut steps = 0;
        for lane in self.all_lanes(tenant, rollout.id, plan.spec.lane_count()).await? {
            if plan.spec.region_of(lane.kept.head.lane) == Some(region) {
                let left = budget.saturating_sub(steps);
                steps += self.offer_lane(tenant, (rollout, &plan), &lane, &**publisher, left).await?;
            }
        }
        Ok(steps)
    }

    /// Processes the deployments with a due deadline: gates are evaluated again, and deployments that waited too long
    /// continue without an answer. Call it at intervals, in any number of processes.
    ///
    /// # Errors
    /// [`RolloutError::Store`].
    pub async fn run_due(&self, tenant: &Tenant) -> Result<TimersRun, RolloutError> {
        let (ledger, folder) = (self.ledger(tenant), LedgerKey::new(keys::DUE).map_err(StoreError::from)?);
        let now = keys::minute(self.now());
        let (mut run, mut after): (TimersRun, Option<PageToken>) = (TimersRun::default(), None);
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for record in page.items {
                let minute = record.key.as_str().split('/').nth(1);
                if minute.and_then(|minute| u64::from_str_radix(minute, 16).ok()).is_none_or(|minute| minute > now) {
                    return Ok(run);
                }
                let (Some(place), Some(id)) = (Place::from_bytes(&record.value), keys::last_id(&record.key)) else {
                    continue;
                };
                run.looked_at += 1;
                let plan = self.plan(tenant, place.rollout).await?;
                let at = At { tenant, plan: &plan, place, id };
                let Some(seen) = self.deployment_at(tenant, place, id).await? else { continue };
                let went_on = match matches!(seen.value.state, State::Held { .. }) {
                    true => self.evaluate(at).await?,
                    false => match self.step(at, Known::of(seen), Ask::Input(&Input::DeadlineReached, None)).await? {
                        Stepped::To(transition) => {
                            if transition.trips {
                                self.lane_tripped(tenant, place, &plan).await?;
                            }
                            true
                        }
                        _ => false,
                    },
                };
                run.steps += usize::from(went_on);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(run),
            }
        }
    }

    /// Advances all rollouts of a tenant until there is nothing to do, in one region after the other: for tests, and
    /// for programs that work on demand. An unreachable region ends its own part only.
    ///
    /// # Errors
    /// As [`run_once`](Self::run_once).
    pub async fn run_until_idle(&self, tenant: &Tenant) -> Result<usize, RolloutError> {
        const PASSES: usize = 100_000;
        let mut all = 0;
        for _ in 0..PASSES {
            let mut steps = self.run_due(tenant).await?.steps;
            for region in self.regions.keys() {
                steps += self.run_once(tenant, region, 10_000).await?.steps;
            }
            all += steps;
            if steps == 0 {
                break;
            }
        }
        Ok(all)
    }

    /// Looks at a rollout with a lane that reached its maximum of failures, if it has few lanes: other lanes then fail
    /// for a shorter time. The lane itself offers nothing any more, and the next pass looks at the rollout in any case,
    /// so a reporting device does not wait for a thousand lanes.
    pub(super) async fn lane_tripped(&self, tenant: &Tenant, place: Place, plan: &Plan) -> Result<(), RolloutError> {
        if plan.spec.lane_count() <= LANES_AT_ONCE {
            self.drive_rollout(tenant, place.rollout).await?;
        }
        Ok(())
    }

    /// Drives one rollout, and returns the number of steps.
    pub(super) async fn drive_rollout(&self, tenant: &Tenant, id: RolloutId) -> Result<usize, RolloutError> {
        let plan = self.plan(tenant, id).await?;
        let mut steps = 0;
        let mut seen = self.rollout_record(tenant, id).await?;
        // The call that submitted it may have ended before the earlier rollout was told, which continues by itself.
        self.end_earlier(tenant, &seen.value).await?;
        while steps < STEPS {
            match seen.value.status {
                Status::Drafted | Status::AwaitingApproval | Status::Denied => return Ok(steps),
                Status::Ready if !seen.value.planned.done => {
                    if !self.plan_page(tenant, &mut seen, &plan).await? {
                        return Ok(steps);
                    }
                    seen = self.rollout_record(tenant, id).await?;
                    steps += 1;
                    continue;
                }
                Status::Ready => {
                    self.make_lanes(tenant, id, &plan.spec).await?;
                    match self.try_step(tenant, &mut seen, &plan, &RolloutInput::StartReached).await {
                        Ok(Some(true)) => steps += 1,
                        Ok(_) => seen = self.rollout_record(tenant, id).await?,
                        Err(RolloutError::Rollout {
                            refusal: RolloutRefusal::NotDue | RolloutRefusal::NotPlanned,
                            ..
                        }) => {
                            return Ok(steps);
                        }
                        Err(error) => return Err(error),
                    }
                    continue;
                }
                Status::Cancelled | Status::Superseded if !self.has_lanes(tenant, id, &plan).await? => {
                    self.rest_rollout(tenant, &seen, None).await?;
                    return Ok(steps);
                }
                _ => {}
            }
            if seen.value.status == Status::Cancelling || seen.value.status == Status::Superseding {
                self.make_lanes(tenant, id, &plan.spec).await?;
            }
            steps += self.order_lanes(tenant, &seen.value, &plan).await?;
            let (mut lanes, fold) = self.fold(tenant, id, &plan).await?;
            match self.fold_rollout(tenant, &mut seen, &plan, fold).await? {
                Some(true) => {
                    steps += 1;
                    continue;
                }
                Some(false) => {}
                None => continue,
            }
            if seen.value.status == Status::Running {
                steps += self.share_out(tenant, &mut seen, &plan, (&mut lanes, &fold)).await?;
                self.plan_again(tenant, &seen.value, &plan).await?;
            }
            if seen.value.status.is_end() || matches!(seen.value.status, Status::Paused | Status::Halted) {
                self.rest_rollout(tenant, &seen, Some(&fold)).await?;
            }
            return Ok(steps);
        }
        Ok(steps)
    }

    async fn fold_rollout(
        &self,
        tenant: &Tenant,
        seen: &mut super::super::entries::Seen<Rollout>,
        plan: &Plan,
        fold: Fold,
    ) -> Result<Option<bool>, RolloutError> {
        self.try_step(tenant, seen, plan, &RolloutInput::LanesFolded { fold }).await
    }

    /// Passes the orders of a rollout on to lanes that do not have them, and returns the number of changed lanes.
    async fn order_lanes(&self, tenant: &Tenant, rollout: &Rollout, plan: &Plan) -> Result<usize, RolloutError> {
        let Some(effect) = resume(rollout) else { return Ok(0) };
        let mut steps = 0;
        for seen in self.all_lanes(tenant, rollout.id, plan.spec.lane_count()).await? {
            let head = &seen.kept.head;
            let place = Place { rollout: rollout.id, lane: head.lane };
            let told = match effect {
                RolloutEffect::PlanPage { .. } => return Ok(steps),
                RolloutEffect::OpenLanes { epoch, wave } => {
                    let knows = head.status == LaneStatus::Open && head.epoch >= epoch && head.wave >= wave;
                    (!knows).then_some(LaneInput::Opened { epoch, wave })
                }
                RolloutEffect::StopLanes { epoch } => {
                    let knows = head.status == LaneStatus::Stopped && head.epoch >= epoch;
                    (!knows).then_some(LaneInput::Stopped { epoch })
                }
                RolloutEffect::DrainLanes { epoch, superseded } => {
                    (!head.is_draining()).then_some(LaneInput::Drained { epoch, superseded })
                }
            };
            if let Some(input) = told {
                steps += usize::from(self.tell_lane(tenant, place, input).await?);
            }
            if matches!(effect, RolloutEffect::DrainLanes { .. }) {
                steps += self.stop_deployments(tenant, place, plan).await?;
            }
        }
        Ok(steps)
    }

    /// Asks each deployment of a draining lane to stop, once. A draining lane takes no new deployments.
    async fn stop_deployments(&self, tenant: &Tenant, place: Place, plan: &Plan) -> Result<usize, RolloutError> {
        if self.lane(tenant, place).await?.kept.all_stopped {
            return Ok(0);
        }
        let (ledger, folder) = (self.ledger(tenant), keys::deployments(place.rollout, place.lane)?);
        let (mut steps, mut after): (usize, Option<PageToken>) = (0, None);
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            let mut tasks = Vec::with_capacity(page.items.len());
            for LedgerRecord { key, revision, value } in page.items {
                let value = Deployment::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                if !value.state.is_done() {
                    let (id, ask) = (value.id, TaskAsk::Input(Input::StopRequested));
                    let seen = Seen { key, revision: Some(revision), value };
                    tasks.push(LaneTask { id, seen, entry: None, ask });
                }
            }
            for stepped in self.step_all((tenant, plan, place), tasks).await? {
                match stepped {
                    Stepped::To(_) => steps += 1,
                    // The lane continues after all.
                    Stepped::Refused(Refusal::NotDraining, _) => return Ok(steps),
                    _ => {}
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.note_lane(tenant, place, |lane| lane.all_stopped = true).await?;
        Ok(steps)
    }
}
