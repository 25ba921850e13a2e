//! State machine of a deployment.

use super::super::rollout::{
    Action, ActionNumber, Attempt, DeploymentId, Epoch, FailureCode, Gate, LaneHead, LaneStatus, Proof, RegionId, Spec,
};
use super::{
    Deployment, DeviceOffers, Effect, Evidence, Found, Input, Outcome, Phase, PutRefusal, Refusal, Retraction, Runs,
    SlotVersion, State, Step, StopRequest, Transition,
};
use crate::manifest::ActorId;
use crate::primitive::Id;
use crate::store::{Sha256, Tenant};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use time::{Duration, OffsetDateTime};

/// Records that a step of a deployment reads. A transition that changes any of them is written in one commit, on
/// condition that none of them has changed since.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::update::{deployment::{Context, DeviceOffers}, rollout::*};
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// let context = Context { spec: &spec, lane: &lane, offers: &DeviceOffers::default() };
/// assert_eq!(context.lane.counts.in_flight(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Specification of the rollout.
    pub spec: &'a Spec,
    /// Lane of the deployment.
    pub lane: &'a LaneHead,
    /// Locks of the device.
    pub offers: &'a DeviceOffers,
}

/// Component to be updated.
///
/// ```
/// use fhir_devices::update::deployment::Target;
/// let target = Target { device: "pump".parse()?, component: "channel".parse()?, region: "local".parse()? };
/// assert_eq!(target.region.as_str(), "local");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Device of the component.
    pub device: Id,
    /// Logical id of the component.
    pub component: Id,
    /// Region from which the device gets its updates.
    pub region: RegionId,
}

/// Plans a component in a lane. The deployment is created if it does not exist, in one commit with the lane; planning a
/// component again therefore changes nothing.
///
/// # Errors
/// [`Refusal::OtherLane`] if the component belongs to another lane, and [`Refusal::NotOpen`] if the lane is draining.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::update::{deployment::{self, Target}, rollout::*};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// let target = Target { device: "pump".parse()?, component: "channel".parse()?, region: "local".parse()? };
/// let planned = deployment::plan(&"st-mary".parse()?, &spec, &lane, target, now)?;
/// assert_eq!(planned.lane.counts.planned, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(
    tenant: &Tenant,
    spec: &Spec,
    lane: &LaneHead,
    target: Target,
    now: OffsetDateTime,
) -> Result<Transition, Refusal> {
    let Target { device, component, region } = target;
    if spec.lane_of(lane.rollout, &region, &component) != Some(lane.lane) {
        return Err(Refusal::OtherLane);
    }
    if lane.is_draining() {
        return Err(Refusal::NotOpen);
    }
    let at = lane.now(now);
    let state = State::Planned { attempt: Attempt(1), not_before: at, give_up_at: None, action: None };
    let deployment = Deployment {
        id: DeploymentId::of(tenant, lane.rollout, &component),
        rollout: lane.rollout,
        lane: lane.lane,
        device,
        wave: spec.wave_of(&component),
        component,
        region,
        granted: false,
        last_report: None,
        state,
    };
    let lane = LaneHead { last: at, ..lane.moved(spec, deployment.wave, None, &deployment.state, false) };
    Ok(Transition {
        deployment,
        lane,
        offers: None,
        effect: None,
        grants: false,
        trips: false,
        action: Action::Planned,
        at,
        actor: None,
        report: None,
    })
}

/// Returns the outstanding effect of a deployment.
#[must_use]
pub const fn resume(deployment: &Deployment) -> Option<Effect> {
    let key = deployment.key();
    match &deployment.state {
        State::Offering { action, .. } => Some(Effect::PutOffer { key, action: *action }),
        State::Retracting { action, .. }
        | State::Claimed { action, stop: StopRequest::Requested, .. }
        | State::Done { action: Some(action), clear: true, .. } => Some(Effect::PutTombstone { key, action: *action }),
        State::Planned { .. }
        | State::Held { .. }
        | State::Offered { .. }
        | State::Claimed { .. }
        | State::Done { .. } => None,
    }
}

/// Applies an input to a deployment. Every input has a result in every state.
///
/// # Errors
/// The [`Refusal`] of an input that cannot be true of this deployment, or comes too early or too late.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::update::{deployment::*, rollout::*};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// # let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// # let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// # let target = Target { device: "pump".parse()?, component: "channel".parse()?, region: "local".parse()? };
/// let planned = plan(&"st-mary".parse()?, &spec, &lane, target, now)?;
/// let offer = Input::OfferRequested { epoch: Epoch(1), line: Vec::new(), one_per_device: false, admitted: true };
/// let context = Context { spec: &spec, lane: &planned.lane, offers: &DeviceOffers::default() };
/// assert_eq!(step(&planned.deployment, context, &offer, now), Err(Refusal::NotOpen));
///
/// let opened = planned.lane.step(&LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, now)?.unwrap().lane;
/// let context = Context { lane: &opened, ..context };
/// let Step::Transition(offering) = step(&planned.deployment, context, &offer, now)? else { panic!() };
/// let key = planned.deployment.key();
/// assert_eq!(offering.effect, Some(Effect::PutOffer { key, action: ActionNumber::FIRST }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(deployment: &Deployment, context: Context<'_>, input: &Input, now: OffsetDateTime) -> Answer {
    if (deployment.rollout, deployment.lane) != (context.lane.rollout, context.lane.lane) {
        return Err(Refusal::OtherLane);
    }
    let at =
        At { deployment, spec: context.spec, lane: context.lane, offers: context.offers, now: context.lane.now(now) };
    match input {
        Input::Evaluated { closed } => at.evaluated(closed),
        Input::OfferRequested { epoch, line, one_per_device, admitted } => {
            at.offer_requested(*epoch, line, *one_per_device, *admitted)
        }
        Input::SlotWritten { action, offer, version } => at.slot_written(*action, *offer, version),
        Input::PutRefused { action, why } => at.put_refused(*action, *why),
        Input::SlotRead { action, found } => at.slot_read(*action, *found),
        Input::ClaimRequested { attempt, closed, expired } => at.claim_requested(*attempt, closed, *expired),
        Input::PhaseReported { attempt, number, phase } => at.phase_reported(*attempt, *number, *phase),
        Input::FailureReported { attempt, transient, code } => at.failure_reported(*attempt, *transient, code),
        Input::RejectionReported { attempt, code } => at.rejection_reported(*attempt, code),
        Input::DoneReported { attempt } => at.done_reported(*attempt),
        Input::StopAcknowledged { attempt } => at.stop_acknowledged(*attempt),
        Input::VersionReported { authenticated: false, .. } => Err(Refusal::NotAuthenticated),
        // The report is out of date.
        Input::VersionReported { number: Some(number), .. } if context.offers.reported > Some(*number) => UNCHANGED,
        Input::VersionReported { report, authenticated: true, runs, restarted, confirmed, .. } => {
            at.version_reported(*report, *runs, *restarted, *confirmed)
        }
        Input::StopRequested => at.stop_requested(),
        Input::DeadlineReached => at.deadline_reached(),
        Input::DeviceRetired { by } => at.device_retired(by.as_ref()),
    }
}

type Answer = Result<Step, Refusal>;

const UNCHANGED: Answer = Ok(Step::Unchanged);

/// Identification of an offer.
#[derive(Clone, Copy)]
struct Offer {
    attempt: Attempt,
    epoch: Epoch,
    action: ActionNumber,
}

/// Deployment at a time, with a method for each input.
struct At<'a> {
    deployment: &'a Deployment,
    spec: &'a Spec,
    lane: &'a LaneHead,
    offers: &'a DeviceOffers,
    now: OffsetDateTime,
}

impl At<'_> {
    fn state(&self) -> &State {
        &self.deployment.state
    }

    fn after(&self, seconds: NonZeroU32) -> OffsetDateTime {
        self.now.saturating_add(Duration::seconds(seconds.get().into()))
    }

    /// Builds the transition into another state, with its counts and locks.
    fn to(&self, action: Action, state: State) -> Transition {
        let before = self.deployment;
        let mut deployment = Deployment {
            id: before.id,
            rollout: before.rollout,
            lane: before.lane,
            device: before.device.clone(),
            component: before.component.clone(),
            region: before.region.clone(),
            wave: before.wave,
            granted: before.granted,
            last_report: before.last_report,
            state,
        };
        deployment.granted |= matches!(deployment.state, State::Claimed { .. });
        if deployment.state.attempt() != before.state.attempt() {
            deployment.last_report = None;
        }
        let newly = deployment.granted && !before.granted;
        let lane = self.lane.moved(self.spec, before.wave, Some(&before.state), &deployment.state, newly);
        let leaves = before.state.is_in_flight() && !deployment.state.is_in_flight();
        Transition {
            effect: resume(&deployment),
            trips: lane.is_tripped(self.spec) && !self.lane.is_tripped(self.spec),
            lane: LaneHead { last: self.now, ..lane },
            offers: leaves.then(|| self.offers.release(before.id)),
            deployment,
            grants: false,
            action,
            at: self.now,
            actor: None,
            report: None,
        }
    }

    fn go(&self, action: Action, state: State) -> Answer {
        Ok(Step::Transition(self.to(action, state)))
    }

    fn end(&self, outcome: Outcome) -> Transition {
        let (attempt, action) = (self.state().attempt(), self.state().action());
        self.to(Action::Done, State::Done { attempt, outcome, action, clear: action.is_some() })
    }

    fn done(&self, outcome: Outcome) -> Answer {
        Ok(Step::Transition(self.end(outcome)))
    }

    fn evaluated(&self, closed: &BTreeSet<Gate>) -> Answer {
        let closed: BTreeSet<_> = closed.intersection(&self.spec.gates).copied().collect();
        match self.state() {
            State::Planned { .. } if closed.is_empty() => UNCHANGED,
            State::Planned { attempt, give_up_at, action, .. } => {
                let give_up_at = give_up_at.unwrap_or_else(|| self.after(self.spec.timeouts.offer));
                let (review_at, action) = (self.after(self.spec.timeouts.review), *action);
                self.go(Action::Held, State::Held { attempt: *attempt, gates: closed, review_at, give_up_at, action })
            }
            State::Held { attempt, give_up_at, action, .. } if closed.is_empty() => {
                let (give_up_at, action) = (Some(*give_up_at), *action);
                self.go(Action::Opened, State::Planned { attempt: *attempt, not_before: self.now, give_up_at, action })
            }
            State::Held { give_up_at, .. } if self.now >= *give_up_at => self.done(Outcome::TimedOut),
            State::Held { gates, review_at, .. } if *gates == closed && self.now < *review_at => UNCHANGED,
            State::Held { attempt, give_up_at, action, .. } => {
                let (review_at, action) = (self.after(self.spec.timeouts.review), *action);
                let held = State::Held { attempt: *attempt, gates: closed, review_at, give_up_at: *give_up_at, action };
                self.go(Action::Held, held)
            }
            State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. }
            | State::Done { .. } => UNCHANGED,
        }
    }

    fn offer_requested(&self, epoch: Epoch, line: &[Id], one_per_device: bool, admitted: bool) -> Answer {
        let (attempt, not_before) = match self.state() {
            State::Planned { attempt, not_before, .. } => (*attempt, *not_before),
            State::Held { .. } => return Err(Refusal::GateClosed),
            State::Offering { .. } | State::Offered { .. } | State::Claimed { .. } | State::Retracting { .. } => {
                return Err(Refusal::AlreadyOffered);
            }
            State::Done { .. } => return UNCHANGED,
        };
        if self.lane.status != LaneStatus::Open || self.lane.epoch != epoch {
            return Err(Refusal::NotOpen);
        }
        if self.deployment.wave > self.lane.wave {
            return Err(Refusal::NotItsWave);
        }
        if self.now < not_before || self.lane.paused_until.is_some_and(|until| self.now < until) {
            return Err(Refusal::NotDue);
        }
        if self.lane.is_tripped(self.spec) {
            return Err(Refusal::Tripped);
        }
        // The accepted sequence numbers only rise, unless an operator lowers them and then starts another rollout.
        if !admitted {
            return self.done(Outcome::Superseded);
        }
        let lane = self.lane.refilled(self.spec, self.now);
        let has_rate = self.spec.regions.get(&self.deployment.region).is_some_and(|region| region.rate.is_some());
        if lane.counts.in_flight() >= lane.cap_share || (has_rate && lane.tokens == 0) {
            return Err(Refusal::Full);
        }
        let (component, id) = (&self.deployment.component, self.deployment.id);
        let (offers, action) = self.offers.take(component, line, one_per_device, id)?;
        let until = self.after(self.spec.timeouts.offer);
        let transition = self.to(Action::Offering, State::Offering { attempt, epoch, action, until });
        let tokens = if has_rate { lane.tokens.saturating_sub(1) } else { lane.tokens };
        let lane = LaneHead { tokens, counted_at: lane.counted_at, ..transition.lane };
        Ok(Step::Transition(Transition { lane, offers: Some(offers), ..transition }))
    }

    fn slot_written(&self, action: ActionNumber, offer: bool, version: &SlotVersion) -> Answer {
        if self.state().action() != Some(action) {
            // A late writer wrote an earlier offer.
            return UNCHANGED;
        }
        match self.state() {
            State::Offering { attempt, epoch, until, .. } if offer => {
                let slot = version.clone();
                self.go(
                    Action::Offered,
                    State::Offered { attempt: *attempt, epoch: *epoch, action, slot, until: *until },
                )
            }
            State::Claimed { attempt, epoch, phase, until, stop: StopRequest::Requested, .. } if !offer => {
                let stop = StopRequest::Written;
                let (attempt, epoch, phase, until) = (*attempt, *epoch, *phase, *until);
                self.go(Action::StopAnswered, State::Claimed { attempt, epoch, action, phase, until, stop })
            }
            State::Retracting { why, .. } if !offer => self.retracted(*why),
            State::Done { attempt, outcome, clear: true, .. } if !offer => {
                let (attempt, outcome) = (*attempt, outcome.clone());
                self.go(Action::SlotCleared, State::Done { attempt, outcome, action: Some(action), clear: false })
            }
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. }
            | State::Done { .. } => UNCHANGED,
        }
    }

    /// Continues after an offer was retracted.
    fn retracted(&self, why: Retraction) -> Answer {
        match why {
            Retraction::Retry { .. } if self.lane.is_draining() => self.done_cleared(self.stopped()),
            Retraction::Stopped => self.done_cleared(self.stopped()),
            Retraction::Retry { not_before } => {
                let (attempt, action) = (self.state().attempt().next(), self.state().action());
                self.go(Action::Retried, State::Planned { attempt, not_before, give_up_at: None, action })
            }
        }
    }

    fn done_cleared(&self, outcome: Outcome) -> Answer {
        let (attempt, action) = (self.state().attempt(), self.state().action());
        self.go(Action::Done, State::Done { attempt, outcome, action, clear: false })
    }

    /// Returns the outcome of a component that was offered the update, or is known not to run it, when the rollout
    /// ends.
    fn stopped(&self) -> Outcome {
        if self.lane.status == LaneStatus::Superseding { Outcome::Superseded } else { Outcome::Cancelled }
    }

    fn put_refused(&self, action: ActionNumber, why: PutRefusal) -> Answer {
        match self.state() {
            State::Offering { action: own, .. } if *own == action => match why {
                PutRefusal::Stale => self.fail(true, || code(why.as_str())),
                PutRefusal::UnknownDevice | PutRefusal::TooLarge | PutRefusal::Denied => {
                    self.done_cleared(Outcome::Failed { code: code(why.as_str()) })
                }
            },
            // The slot has no offer to retract.
            State::Retracting { action: own, why: back, .. } if *own == action => self.retracted(*back),
            State::Done { attempt, outcome, action: Some(own), clear: true } if *own == action => {
                let (attempt, outcome) = (*attempt, outcome.clone());
                self.go(Action::SlotCleared, State::Done { attempt, outcome, action: Some(action), clear: false })
            }
            State::Claimed { attempt, epoch, action: own, phase, until, stop: StopRequest::Requested }
                if *own == action =>
            {
                let (attempt, epoch, phase, until) = (*attempt, *epoch, *phase, *until);
                let stop = StopRequest::Written;
                self.go(Action::StopAnswered, State::Claimed { attempt, epoch, action, phase, until, stop })
            }
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. }
            | State::Done { .. } => UNCHANGED,
        }
    }

    fn slot_read(&self, action: ActionNumber, found: Found) -> Answer {
        if self.state().action() != Some(action) {
            return UNCHANGED;
        }
        match self.state() {
            State::Offered { attempt, epoch, until, .. } if found == Found::Older => {
                self.go(Action::OfferLost, State::Offering { attempt: *attempt, epoch: *epoch, action, until: *until })
            }
            State::Claimed { attempt, epoch, phase, until, stop: StopRequest::Written, .. }
                if found != Found::Tombstone =>
            {
                let stop = StopRequest::Requested;
                let (attempt, epoch, phase, until) = (*attempt, *epoch, *phase, *until);
                self.go(Action::StopRequested, State::Claimed { attempt, epoch, action, phase, until, stop })
            }
            State::Done { attempt, outcome, clear: false, .. } if found == Found::Offer => {
                let (attempt, outcome) = (*attempt, outcome.clone());
                self.go(Action::SlotCleared, State::Done { attempt, outcome, action: Some(action), clear: true })
            }
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. }
            | State::Done { .. } => UNCHANGED,
        }
    }

    /// Returns whether a report is about the running attempt; false for an earlier attempt, whose report is late.
    fn is_current(&self, attempt: Attempt) -> Result<bool, Refusal> {
        if attempt > self.state().attempt() || attempt == Attempt(0) {
            return Err(Refusal::NoSuchAttempt);
        }
        Ok(attempt == self.state().attempt())
    }

    fn claim_requested(&self, attempt: Attempt, closed: &BTreeSet<Gate>, expired: bool) -> Answer {
        if !self.is_current(attempt)? {
            return Err(Refusal::Gone);
        }
        let (epoch, action) = match self.state() {
            State::Offering { epoch, action, .. } | State::Offered { epoch, action, .. } => (*epoch, *action),
            // After a stop nobody gets a byte, not even of a started download.
            State::Claimed { stop: StopRequest::None, .. } if !self.lane.is_draining() => {
                let open = self.lane.status == LaneStatus::Open;
                return if open { Ok(Step::Granted) } else { Err(Refusal::NotOpen) };
            }
            State::Claimed { .. }
            | State::Planned { .. }
            | State::Held { .. }
            | State::Retracting { .. }
            | State::Done { .. } => return Err(Refusal::Gone),
        };
        if self.lane.is_draining() || expired {
            return Err(Refusal::Gone);
        }
        if self.lane.status != LaneStatus::Open {
            return Err(Refusal::NotOpen);
        }
        if closed.intersection(&self.spec.gates).next().is_some() {
            return Err(Refusal::GateClosed);
        }
        let until = self.after(self.spec.timeouts.claim);
        let (phase, stop) = (Phase::Claimed, StopRequest::None);
        let claimed = self.to(Action::Claimed, State::Claimed { attempt, epoch, action, phase, until, stop });
        Ok(Step::Transition(Transition { grants: true, ..claimed }))
    }

    /// Returns the time by which the device must have left a phase.
    fn phase_ends(&self, phase: Phase) -> OffsetDateTime {
        let timeouts = &self.spec.timeouts;
        self.after(match phase {
            Phase::Claimed | Phase::Downloading | Phase::Staged => timeouts.claim,
            Phase::Installing | Phase::Activating | Phase::Testing => timeouts.install,
            Phase::Installed => timeouts.prove,
        })
    }

    fn phase_reported(&self, attempt: Attempt, number: Option<u64>, phase: Phase) -> Answer {
        if !self.is_current(attempt)? {
            return UNCHANGED;
        }
        if number.is_some() && number <= self.deployment.last_report {
            return UNCHANGED;
        }
        let (offer, known, until, stop) = match self.state() {
            State::Claimed { attempt, epoch, action, phase: known, until, stop } => {
                (Offer { attempt: *attempt, epoch: *epoch, action: *action }, Some(*known), *until, *stop)
            }
            // The device installs bytes from elsewhere. An earlier phase only means that it saw the offer.
            State::Offering { attempt, epoch, action, until }
            | State::Offered { attempt, epoch, action, until, .. }
                if phase >= Phase::Installing && self.lane.status == LaneStatus::Open =>
            {
                let offer = Offer { attempt: *attempt, epoch: *epoch, action: *action };
                (offer, None, *until, StopRequest::None)
            }
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Retracting { .. }
            | State::Done { .. } => return UNCHANGED,
        };
        if known >= Some(phase) {
            return UNCHANGED;
        }
        // Download progress does not extend the deadline: only the next stage of the work does.
        let same_part = known.is_some_and(|known| known < Phase::Installing && phase < Phase::Installing);
        let until = if same_part { until } else { self.phase_ends(phase) };
        let Offer { attempt, epoch, action } = offer;
        let mut to = self.to(Action::Phase, State::Claimed { attempt, epoch, action, phase, until, stop });
        to.deployment.last_report = number.or(to.deployment.last_report);
        Ok(Step::Transition(to))
    }

    fn failure_reported(&self, attempt: Attempt, transient: bool, why: &FailureCode) -> Answer {
        if !self.is_current(attempt)? {
            return UNCHANGED;
        }
        match self.state() {
            State::Offering { .. } | State::Offered { .. } | State::Claimed { stop: StopRequest::None, .. } => {
                self.fail(transient, || why.clone())
            }
            State::Claimed { .. } => self.done(Outcome::Failed { code: why.clone() }),
            State::Planned { .. } | State::Held { .. } | State::Retracting { .. } | State::Done { .. } => UNCHANGED,
        }
    }

    /// Retracts the offer for another attempt, if one is left; otherwise ends the deployment.
    fn fail(&self, transient: bool, why: impl FnOnce() -> FailureCode) -> Answer {
        let more = self.state().attempt().0 < self.spec.retry.max_attempts.get();
        if transient && more && self.lane.status == LaneStatus::Open {
            let not_before = self.now.saturating_add(self.spec.retry.delay(self.state().attempt()));
            return self.retract(Retraction::Retry { not_before });
        }
        self.done(Outcome::Failed { code: why() })
    }

    fn retract(&self, why: Retraction) -> Answer {
        let (State::Offering { attempt, epoch, action, .. }
        | State::Offered { attempt, epoch, action, .. }
        | State::Claimed { attempt, epoch, action, .. }
        | State::Retracting { attempt, epoch, action, .. }) = self.state()
        else {
            return UNCHANGED;
        };
        let until = self.after(self.spec.timeouts.offer);
        let (attempt, epoch, action) = (*attempt, *epoch, *action);
        self.go(Action::Retracting, State::Retracting { attempt, epoch, action, why, until })
    }

    fn rejection_reported(&self, attempt: Attempt, code: &FailureCode) -> Answer {
        if !self.is_current(attempt)? {
            return UNCHANGED;
        }
        match self.state() {
            State::Offering { .. } | State::Offered { .. } | State::Claimed { .. } => {
                self.done(Outcome::Rejected { code: code.clone() })
            }
            State::Planned { .. } | State::Held { .. } | State::Retracting { .. } | State::Done { .. } => UNCHANGED,
        }
    }

    fn done_reported(&self, attempt: Attempt) -> Answer {
        if !self.is_current(attempt)? {
            return UNCHANGED;
        }
        match self.state() {
            State::Claimed { .. } if self.spec.proof == Proof::DeviceSays => {
                self.done(Outcome::Succeeded { proof: Evidence::DeviceSays })
            }
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. }
            | State::Done { .. } => self.phase_reported(attempt, None, Phase::Installed),
        }
    }

    /// Handles a device's statement that it stopped. It may have installed the update before, so that only a version
    /// report is proof.
    fn stop_acknowledged(&self, attempt: Attempt) -> Answer {
        if !self.is_current(attempt)? {
            return UNCHANGED;
        }
        match self.state() {
            State::Claimed {
                attempt,
                epoch,
                action,
                phase,
                stop: StopRequest::Requested | StopRequest::Written,
                ..
            } => {
                let (until, stop) = (self.after(self.spec.timeouts.prove), StopRequest::Acknowledged);
                let (attempt, epoch, action, phase) = (*attempt, *epoch, *action, *phase);
                self.go(Action::StopAnswered, State::Claimed { attempt, epoch, action, phase, until, stop })
            }
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. }
            | State::Done { .. } => UNCHANGED,
        }
    }

    fn version_reported(&self, report: Sha256, runs: Runs, restarted: bool, confirmed: bool) -> Answer {
        let end = |outcome| Ok(Step::Transition(Transition { report: Some(report), ..self.end(outcome) }));
        match (self.state(), runs) {
            (State::Done { .. }, Runs::Target | Runs::Other) => UNCHANGED,
            // The device may still roll back to its previous version.
            (_, Runs::Target) if !confirmed => UNCHANGED,
            (State::Planned { .. } | State::Held { .. }, Runs::Target) => end(Outcome::AlreadyCurrent),
            (
                State::Offering { .. } | State::Offered { .. } | State::Claimed { .. } | State::Retracting { .. },
                Runs::Target,
            ) => end(Outcome::Succeeded { proof: Evidence::VersionReport { report } }),
            // An installed version may run only after the next restart.
            (_, Runs::Other) if !restarted => UNCHANGED,
            (State::Claimed { stop: StopRequest::Acknowledged, .. }, Runs::Other) => end(self.stopped()),
            (State::Claimed { phase, stop: StopRequest::None, .. }, Runs::Other) if *phase >= Phase::Installing => {
                end(Outcome::RolledBack { report })
            }
            (
                State::Planned { .. }
                | State::Held { .. }
                | State::Offering { .. }
                | State::Offered { .. }
                | State::Claimed { .. }
                | State::Retracting { .. },
                Runs::Other,
            ) => UNCHANGED,
        }
    }

    fn stop_requested(&self) -> Answer {
        if !self.lane.is_draining() {
            return Err(Refusal::NotDraining);
        }
        match self.state() {
            State::Planned { .. } | State::Held { .. } => {
                let superseded = self.lane.status == LaneStatus::Superseding;
                self.done(if superseded { Outcome::Superseded } else { Outcome::Withdrawn })
            }
            State::Offering { .. }
            | State::Offered { .. }
            | State::Retracting { why: Retraction::Retry { .. }, .. } => self.retract(Retraction::Stopped),
            State::Claimed { attempt, epoch, action, phase, until, stop: StopRequest::None } => {
                let (attempt, epoch, action, phase, until) = (*attempt, *epoch, *action, *phase, *until);
                let stop = StopRequest::Requested;
                self.go(Action::StopRequested, State::Claimed { attempt, epoch, action, phase, until, stop })
            }
            State::Claimed { .. } | State::Retracting { .. } | State::Done { .. } => UNCHANGED,
        }
    }

    fn deadline_reached(&self) -> Answer {
        if self.state().deadline().is_some_and(|deadline| self.now < deadline) {
            return Err(Refusal::NotDue);
        }
        match self.state() {
            State::Held { give_up_at, .. } if self.now >= *give_up_at => self.done(Outcome::TimedOut),
            // The gates must be evaluated, which is an input of its own.
            State::Planned { .. } | State::Held { .. } | State::Done { .. } => UNCHANGED,
            State::Offering { attempt, .. } | State::Offered { attempt, .. } => {
                let stopped = self.lane.status != LaneStatus::Open;
                let more = attempt.0 < self.spec.retry.max_attempts.get();
                if self.lane.is_draining() {
                    self.retract(Retraction::Stopped)
                } else if stopped || more {
                    // No device could take the offer while the lane was stopped: that is not the device's fault.
                    let delay = if stopped { Duration::ZERO } else { self.spec.retry.delay(*attempt) };
                    self.retract(Retraction::Retry { not_before: self.now.saturating_add(delay) })
                } else {
                    self.done(Outcome::TimedOut)
                }
            }
            // The device had the bytes: whatever it reported, its running version is unknown.
            State::Claimed { phase, .. } => self.done(Outcome::Unproven { phase: *phase }),
            // The region does not answer. No bytes are granted for the offer, whatever the slot has.
            State::Retracting { why: Retraction::Stopped, .. } => self.done(self.stopped()),
            State::Retracting { why, .. } => self.retracted(*why),
        }
    }

    fn device_retired(&self, by: Option<&ActorId>) -> Answer {
        match self.state() {
            State::Done { .. } => UNCHANGED,
            State::Planned { .. }
            | State::Held { .. }
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Claimed { .. }
            | State::Retracting { .. } => {
                let actor = by.cloned();
                Ok(Step::Transition(Transition { actor, ..self.end(Outcome::Retired) }))
            }
        }
    }
}

fn code(text: &'static str) -> FailureCode {
    FailureCode::of(text)
}
