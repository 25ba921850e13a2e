//! Viewing and controlling rollouts.

use super::super::entries::{Entries, Seen};
use super::super::ledger_session::Written;
use super::keys;
use super::rollout_service::Plan;
use super::step::TRIES;
use super::{RolloutError, RolloutService};
use crate::manifest::{ActorId, Note};
use crate::publish::RegionId;
use crate::search::ResourceType;
use crate::store::{BlobStore, Ledger, ResourceStore, Sha256, StoreError, Tenant};
use crate::update::deployment::OutcomeClass;
use crate::update::release::State;
use crate::update::rollout::{
    self, Counts, LaneHead, Rollout, RolloutId, RolloutInput, RolloutRefusal, RolloutRequest, RolloutStep, Spec,
    Status, Tally,
};
use std::collections::BTreeMap;

/// A rollout with the totals of its lanes.
///
/// Returned by [`RolloutService::view`](super::RolloutService::view).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RolloutView {
    /// The rollout.
    pub rollout: Rollout,
    /// Its specification.
    pub spec: Spec,
    /// The number of deployments in each state.
    pub counts: Counts,
    /// The number of deployments with each outcome.
    pub tally: Tally,
    /// The totals by region.
    pub regions: BTreeMap<RegionId, (Counts, Tally)>,
    /// The number of devices that were ever given bytes.
    pub already_out: u32,
    /// The number of deployments in each wave that have not ended.
    pub open_by_wave: Vec<u32>,
}

impl RolloutView {
    /// Returns the number of deployments with this outcome.
    #[must_use]
    pub fn ended(&self, class: OutcomeClass) -> u32 {
        self.tally.of(class)
    }
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Creates a rollout as a draft; [`submit`](Self::submit) starts it.
    ///
    /// # Errors
    /// [`RolloutError::InvalidSpec`], [`RolloutError::UnknownRegion`], [`RolloutError::InvalidSearch`];
    /// [`RolloutError::NoSuchRelease`], [`RolloutError::NotReleased`]; [`RolloutError::NoSuchRollout`] where the
    /// rollout to supersede does not exist; [`RolloutError::Store`].
    pub async fn create(
        &self,
        tenant: &Tenant,
        request: RolloutRequest,
        by: &ActorId,
    ) -> Result<Rollout, RolloutError> {
        if let Some(region) = request.regions.keys().find(|region| !self.regions.contains_key(region)) {
            return Err(RolloutError::UnknownRegion { region: region.clone() });
        }
        if let Some(search) = &request.search {
            let checked = self.searcher(tenant).check_scan(search, ResourceType::DeviceComponent);
            checked.map_err(|problem| RolloutError::InvalidSearch { why: said(&problem) })?;
        }
        if let Some(earlier) = request.supersedes {
            self.rollout_record(tenant, earlier).await?;
        }
        let spec = Spec::new(request)?;
        let session = self.updates.session(tenant);
        let id = RolloutId(self.updates.ids.next_id()?.0);
        for _ in 0..TRIES {
            let release = self.release_record(tenant, spec.release).await?;
            let ends = session.read(keys::release_end(spec.release)?).await?.value.is_some();
            if !matches!(release.value.state, State::Released) || ends {
                return Err(RolloutError::NotReleased { id: spec.release });
            }
            let (drafted, event) = Rollout::draft(id, by.clone(), &spec, self.now());
            let mut entries = Entries::default();
            // Written unchanged: a concurrent withdrawal then has to look at the rollouts of the release again.
            entries.record(&release, release.value.to_bytes());
            entries.keep(keys::rollout(keys::OPEN, id)?, drafted.to_bytes());
            entries.keep(keys::spec(id)?, spec.to_bytes());
            entries.note(event.draft());
            if session.write(entries).await? != Written::Not {
                return Ok(drafted);
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Returns a rollout.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRollout`]; [`RolloutError::Store`].
    pub async fn rollout(&self, tenant: &Tenant, id: RolloutId) -> Result<Rollout, RolloutError> {
        Ok(self.rollout_record(tenant, id).await?.value)
    }

    /// Returns a rollout with the current totals of its lanes.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRollout`]; [`RolloutError::Store`].
    pub async fn view(&self, tenant: &Tenant, id: RolloutId) -> Result<RolloutView, RolloutError> {
        let rollout = self.rollout_record(tenant, id).await?.value;
        let plan = self.plan(tenant, id).await?;
        let mut view = RolloutView {
            already_out: rollout.already_out.unwrap_or(0),
            spec: (*plan.spec).clone(),
            counts: Counts::default(),
            tally: Tally::default(),
            open_by_wave: vec![0; plan.spec.waves.len()],
            regions: plan.spec.regions.keys().map(|region| (region.clone(), <_>::default())).collect(),
            rollout,
        };
        if self.has_lanes(tenant, id, &plan).await? {
            let (lanes, fold) = self.fold(tenant, id, &plan).await?;
            view.already_out = fold.granted;
            (view.counts, view.tally) = (fold.counts, fold.tally);
            for LaneHead { lane, counts, tally, open, .. } in lanes.iter().map(|lane| lane.kept.head) {
                for (sum, open) in view.open_by_wave.iter_mut().zip(open) {
                    *sum = sum.saturating_add(open);
                }
                let sums = plan.spec.region_of(lane).and_then(|region| view.regions.get_mut(region));
                if let Some((all, ended)) = sums {
                    all.add(&counts);
                    ended.add(&tally);
                }
            }
        }
        Ok(view)
    }

    /// Submits a rollout: it starts, or waits for its approvals.
    ///
    /// # Errors
    /// [`RolloutError::Rollout`]; [`RolloutError::NoSuchRollout`]; [`RolloutError::Store`].
    pub async fn submit(&self, tenant: &Tenant, id: RolloutId) -> Result<Rollout, RolloutError> {
        let submitted = self.step_rollout(tenant, id, &RolloutInput::Submitted).await?;
        self.supersede_earlier(tenant, submitted).await
    }

    /// Approves a rollout with this spec.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn approve(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        by: &ActorId,
        spec: Sha256,
    ) -> Result<Rollout, RolloutError> {
        let approved = self.step_rollout(tenant, id, &RolloutInput::Approved { by: by.clone(), spec }).await?;
        self.supersede_earlier(tenant, approved).await
    }

    /// Denies a rollout.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn deny(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        by: &ActorId,
        why: &Note,
    ) -> Result<Rollout, RolloutError> {
        self.step_rollout(tenant, id, &RolloutInput::Denied { by: by.clone(), why: why.clone() }).await
    }

    /// Pauses a rollout. It is `paused` once every lane has stopped.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn pause(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        by: &ActorId,
        why: &Note,
    ) -> Result<Rollout, RolloutError> {
        self.step_rollout(tenant, id, &RolloutInput::PauseRequested { by: by.clone(), why: why.clone() }).await?;
        self.drive_rollout(tenant, id).await?;
        self.rollout(tenant, id).await
    }

    /// Resumes a paused or halted rollout. A halted one needs as many approvals as its start.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn resume(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        by: &ActorId,
        why: &Note,
    ) -> Result<Rollout, RolloutError> {
        self.rollout_record(tenant, id).await?;
        let plan = self.plan(tenant, id).await?;
        self.make_lanes(tenant, id, &plan.spec).await?;
        let (_, fold) = self.fold(tenant, id, &plan).await?;
        self.step_rollout(tenant, id, &RolloutInput::ResumeRequested { by: by.clone(), why: why.clone(), fold })
            .await?;
        self.drive_rollout(tenant, id).await?;
        self.rollout(tenant, id).await
    }

    /// Cancels a rollout. It is `cancelled` once every lane recorded that no device gets bytes any more;
    /// [`already_out`](Rollout::already_out) then counts exactly the devices that had some.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        by: &ActorId,
        why: &Note,
    ) -> Result<Rollout, RolloutError> {
        self.step_rollout(tenant, id, &RolloutInput::CancelRequested { by: by.clone(), why: why.clone() }).await?;
        self.drive_rollout(tenant, id).await?;
        self.rollout(tenant, id).await
    }

    /// Ends a rollout that another one supersedes.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn supersede(&self, tenant: &Tenant, earlier: RolloutId, by: RolloutId) -> Result<Rollout, RolloutError> {
        self.step_rollout(tenant, earlier, &RolloutInput::Superseded { by }).await?;
        self.drive_rollout(tenant, earlier).await?;
        self.rollout(tenant, earlier).await
    }

    async fn supersede_earlier(&self, tenant: &Tenant, rollout: Rollout) -> Result<Rollout, RolloutError> {
        if let Some(earlier) = self.end_earlier(tenant, &rollout).await? {
            self.drive_rollout(tenant, earlier).await?;
        }
        Ok(rollout)
    }

    /// Tells the rollout that this one supersedes to end, once this one is ready. Returns that rollout, if it was told:
    /// one that has ended already is left unchanged.
    pub(super) async fn end_earlier(
        &self,
        tenant: &Tenant,
        rollout: &Rollout,
    ) -> Result<Option<RolloutId>, RolloutError> {
        if rollout.status != Status::Ready {
            return Ok(None);
        }
        let Some(earlier) = self.plan(tenant, rollout.id).await?.spec.supersedes else { return Ok(None) };
        match self.step_rollout(tenant, earlier, &RolloutInput::Superseded { by: rollout.id }).await {
            Ok(_) => Ok(Some(earlier)),
            Err(RolloutError::Rollout { refusal: RolloutRefusal::Ended, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Steps a rollout from its current state.
    pub(super) async fn step_rollout(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        input: &RolloutInput,
    ) -> Result<Rollout, RolloutError> {
        for _ in 0..TRIES {
            let mut seen = self.rollout_record(tenant, id).await?;
            let plan = self.plan(tenant, id).await?;
            if self.try_step(tenant, &mut seen, &plan, input).await?.is_some() {
                return Ok(seen.value);
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Steps a rollout from the state that was read, and updates it; returns whether it changed. `None` where another
    /// call wrote meanwhile.
    pub(super) async fn try_step(
        &self,
        tenant: &Tenant,
        seen: &mut Seen<Rollout>,
        plan: &Plan,
        input: &RolloutInput,
    ) -> Result<Option<bool>, RolloutError> {
        let refused = |refusal| RolloutError::Rollout { rollout: seen.value.id, refusal };
        let to = match rollout::step(&seen.value, &plan.spec, input, self.now()).map_err(refused)? {
            RolloutStep::Unchanged => return Ok(Some(false)),
            RolloutStep::Transition(to) => to,
        };
        let mut entries = Entries::default();
        entries.record(seen, to.rollout.to_bytes());
        entries.note(to.event.draft());
        let written = self.updates.session(tenant).write(entries).await? != Written::Not;
        *seen = self.rollout_record(tenant, seen.value.id).await?;
        Ok(written.then_some(true))
    }

    pub(super) async fn has_lanes(&self, tenant: &Tenant, id: RolloutId, plan: &Plan) -> Result<bool, StoreError> {
        let last = rollout::Lane(plan.spec.lane_count().saturating_sub(1));
        Ok(self.ledger(tenant).get(&keys::lane(id, last)?).await?.is_some())
    }
}

/// Returns the text of a problem, in one line.
pub(super) fn said(problem: &crate::rest::Problem) -> String {
    let words = problem.issues().filter_map(|issue| issue.diagnostics.as_ref()?.get());
    words.map(|text| text.as_str().to_owned()).collect::<Vec<_>>().join("; ")
}
