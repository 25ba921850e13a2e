//! State machine of a rollout.

use super::event::{After, Event};
use super::lane::{LaneHead, LaneStep};
use super::spec::MAX_CRITERIA;
use super::{Action, Epoch, Fold, RolloutId, Spec, Unreadable, Wave, record};
use crate::manifest::{ActorId, Note};
use crate::primitive::moment;
use crate::store::Sha256;
use crate::support::names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime};

names! {
    /// Status of a rollout.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Status;
    /// assert!(!Status::Halting.is_end());
    /// ```
    Status {
        /// The rollout is drafted.
        Drafted = "drafted",
        /// The rollout awaits approval by others than its author.
        AwaitingApproval = "awaiting-approval",
        /// The rollout waits for its planning or its start.
        Ready = "ready",
        /// The rollout runs.
        Running = "running",
        /// The rollout is being paused: some lane may still offer the update.
        Pausing = "pausing",
        /// The rollout is paused: no device is offered the update or granted bytes, until an actor resumes it.
        Paused = "paused",
        /// The rollout is being halted, because a stop criterion is met: some lane may still offer the update.
        Halting = "halting",
        /// A stop criterion was met: no device is offered the update or granted bytes, until an actor resumes the
        /// rollout.
        Halted = "halted",
        /// The rollout is being cancelled: some lane may still offer the update, or have offers that are not retracted.
        Cancelling = "cancelling",
        /// The rollout is being superseded by another: some lane may still offer the update, or have offers that are
        /// not retracted.
        Superseding = "superseding",
        /// The rollout is cancelled. No device is granted bytes any more.
        Cancelled = "cancelled",
        /// The rollout is superseded by another. No device is granted bytes any more.
        Superseded = "superseded",
        /// Every component is done.
        Completed = "completed",
        /// An actor denied the rollout.
        Denied = "denied",
    }
}

impl Status {
    /// Returns whether the rollout has ended.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Cancelled | Self::Superseded | Self::Completed | Self::Denied)
    }
}

/// Progress of planning the components of a rollout.
///
/// ```
/// use fhir_devices::update::rollout::Planned;
/// assert!(!Planned::default().done);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Planned {
    /// Cursor of the next page of the search; `None` at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether every page is planned.
    pub done: bool,
    /// Number of components found, counting those found twice.
    pub found: u64,
}

/// Counts at the resumption of a halted rollout, from which the criteria count.
///
/// ```
/// use fhir_devices::update::rollout::Base;
/// assert_eq!(Base::default().executed, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Base {
    /// Number of executed deployments.
    pub executed: u32,
    /// Number of failures by each criterion.
    pub failures: [u32; MAX_CRITERIA],
}

/// Record of a rollout.
///
/// ```
/// use fhir_devices::manifest::ReleaseId;
/// use fhir_devices::update::rollout::*;
/// let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// let (rollout, event) = Rollout::draft(RolloutId(7), "biomed/j.doe".parse()?, &spec, now);
/// assert_eq!((rollout.status, event.action), (Status::Drafted, Action::RolloutDrafted));
/// assert_eq!(Rollout::from_bytes(&rollout.to_bytes()), Ok(rollout));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rollout {
    /// Id of the rollout.
    pub id: RolloutId,
    /// Author of the rollout.
    pub author: ActorId,
    /// Digest of the specification.
    pub spec: Sha256,
    /// Current status.
    pub status: Status,
    /// Number of times that the rollout was started or stopped.
    pub epoch: Epoch,
    /// Last wave that may be offered the update.
    pub wave: Wave,
    /// Failure allowance of all lanes together, by each criterion.
    pub allowed: [u32; MAX_CRITERIA],
    /// Counts from which the criteria count.
    #[serde(default)]
    pub base: Base,
    /// Progress of planning.
    pub planned: Planned,
    /// Approvers of the rollout, or of its resumption after a halt.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub approvals: BTreeSet<ActorId>,
    /// Time since when the conditions for the next wave hold.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub soaking_since: Option<OffsetDateTime>,
    /// Exact number of devices that were given bytes, once the rollout has stopped or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_out: Option<u32>,
}

/// Input of the rollout machine.
///
/// ```
/// use fhir_devices::update::rollout::RolloutInput;
/// assert_ne!(RolloutInput::Submitted, RolloutInput::StartReached);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RolloutInput {
    /// The author submits the rollout.
    Submitted,
    /// An actor approves the rollout.
    Approved {
        /// Approver.
        by: ActorId,
        /// Digest of the approved specification.
        spec: Sha256,
    },
    /// An actor denies the rollout.
    Denied {
        /// Actor that denies it.
        by: ActorId,
        /// Reason given.
        why: Note,
    },
    /// The components of one page were planned in the lanes.
    PagePlanned {
        /// Cursor of the page.
        from: Option<String>,
        /// Cursor of the next page; `None` after the last.
        next: Option<String>,
        /// Number of components on the page.
        found: u32,
    },
    /// The start time was reached.
    StartReached,
    /// All lanes were summed up.
    LanesFolded {
        /// Sum over all lanes.
        fold: Fold,
    },
    /// An actor requests a pause.
    PauseRequested {
        /// Actor that asks for it.
        by: ActorId,
        /// Reason given.
        why: Note,
    },
    /// An actor requests to resume.
    ResumeRequested {
        /// Actor that asks for it.
        by: ActorId,
        /// Reason given.
        why: Note,
        /// Sum over all lanes.
        fold: Fold,
    },
    /// An actor requests the cancellation.
    CancelRequested {
        /// Actor that asks for it.
        by: ActorId,
        /// Reason given.
        why: Note,
    },
    /// Another rollout supersedes this one.
    Superseded {
        /// Id of the other rollout.
        by: RolloutId,
    },
}

/// Effect to perform. It is idempotent.
///
/// ```
/// use fhir_devices::update::rollout::{Epoch, RolloutEffect};
/// assert_ne!(RolloutEffect::StopLanes { epoch: Epoch(1) }, RolloutEffect::StopLanes { epoch: Epoch(2) });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RolloutEffect {
    /// Find one page of components, and plan each in a lane. Lanes that do not exist are created first.
    PlanPage {
        /// Cursor of the page.
        from: Option<String>,
    },
    /// Open all lanes, and evaluate them from time to time.
    OpenLanes {
        /// Epoch of the order.
        epoch: Epoch,
        /// Last wave that may be offered the update.
        wave: Wave,
    },
    /// Stop all lanes, and evaluate them.
    StopLanes {
        /// Epoch of the order.
        epoch: Epoch,
    },
    /// Drain all lanes, ask every deployment to stop, and evaluate the lanes.
    DrainLanes {
        /// Epoch of the order.
        epoch: Epoch,
        /// Whether another rollout supersedes this one.
        superseded: bool,
    },
}

/// Transition: what to write in one commit, and the effect after it.
///
/// Returned by [`step`], whose example reads one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloutTransition {
    /// New record of the rollout.
    pub rollout: Rollout,
    /// Audit event of the transition.
    pub event: Event,
    /// Effect to perform after the commit.
    pub effect: Option<RolloutEffect>,
}

/// Result of an input.
///
/// ```
/// use fhir_devices::update::rollout::RolloutStep;
/// assert_eq!(RolloutStep::Unchanged, RolloutStep::Unchanged.clone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a step is looked at and taken apart at once")]
pub enum RolloutStep {
    /// The state changes.
    Transition(RolloutTransition),
    /// The input was applied before, or is obsolete.
    Unchanged,
}

/// Reason why an input of the rollout machine is refused.
///
/// ```
/// use fhir_devices::update::rollout::RolloutRefusal;
/// assert_eq!(RolloutRefusal::OwnApproval.to_string(), "the rollout has to be approved by others than its author");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutRefusal {
    /// The specification differs.
    #[error("the spec is not that of the rollout")]
    OtherSpec,
    /// The author cannot approve the rollout.
    #[error("the rollout has to be approved by others than its author")]
    OwnApproval,
    /// The rollout was not submitted.
    #[error("the rollout is not submitted")]
    NotSubmitted,
    /// The rollout does not await approval.
    #[error("the rollout does not wait to be approved")]
    NotAwaited,
    /// The page is not the next one.
    #[error("the page is not the next one of the rollout")]
    OtherPage,
    /// Some components are not planned yet.
    #[error("the components of the rollout are not planned")]
    NotPlanned,
    /// The input comes too early.
    #[error("the start of the rollout has not come")]
    NotDue,
    /// The rollout is not running.
    #[error("the rollout does not run")]
    NotRunning,
    /// The rollout is not stopped in all lanes.
    #[error("the rollout is not stopped in all lanes")]
    NotStopped,
    /// The rollout cannot supersede itself.
    #[error("a rollout cannot take its own place")]
    Itself,
    /// The rollout is ending, or has ended.
    #[error("the rollout ends, or has ended")]
    Ended,
}

/// Returns the outstanding effect of a rollout.
#[must_use]
pub fn resume(rollout: &Rollout) -> Option<RolloutEffect> {
    let Rollout { epoch, wave, .. } = *rollout;
    match rollout.status {
        Status::Ready if !rollout.planned.done => {
            Some(RolloutEffect::PlanPage { from: rollout.planned.cursor.clone() })
        }
        Status::Running => Some(RolloutEffect::OpenLanes { epoch, wave }),
        Status::Pausing | Status::Halting => Some(RolloutEffect::StopLanes { epoch }),
        Status::Cancelling => Some(RolloutEffect::DrainLanes { epoch, superseded: false }),
        Status::Superseding => Some(RolloutEffect::DrainLanes { epoch, superseded: true }),
        Status::Drafted
        | Status::AwaitingApproval
        | Status::Ready
        | Status::Paused
        | Status::Halted
        | Status::Cancelled
        | Status::Superseded
        | Status::Completed
        | Status::Denied => None,
    }
}

/// Applies an input to a rollout. Every input has a result in every state.
///
/// # Errors
/// The [`RolloutRefusal`] of an input that cannot be true of this rollout, or comes too early or too late.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::update::rollout::*;
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let request = RolloutRequest::new(ReleaseId(1), "local".parse()?).with_approvals(1);
/// let spec = Spec::new(request)?;
/// let (mut rollout, _) = Rollout::draft(RolloutId(7), "biomed/j.doe".parse()?, &spec, now);
/// let RolloutStep::Transition(submitted) = step(&rollout, &spec, &RolloutInput::Submitted, now)? else { panic!() };
/// rollout = submitted.rollout;
/// let own = RolloutInput::Approved { by: "biomed/j.doe".parse()?, spec: spec.digest() };
/// assert_eq!(step(&rollout, &spec, &own, now), Err(RolloutRefusal::OwnApproval));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(rollout: &Rollout, spec: &Spec, input: &RolloutInput, now: OffsetDateTime) -> Answer {
    let at = At { rollout, spec, now };
    match input {
        RolloutInput::Submitted => at.submitted(),
        RolloutInput::Approved { by, spec } => at.approved(by, *spec),
        RolloutInput::Denied { by, why } => at.denied(by, why),
        RolloutInput::PagePlanned { from, next, found } => at.page_planned(from.as_ref(), next.as_ref(), *found),
        RolloutInput::StartReached => at.start_reached(),
        RolloutInput::LanesFolded { fold } => at.lanes_folded(fold),
        RolloutInput::PauseRequested { by, why } => at.pause_requested(by, why),
        RolloutInput::ResumeRequested { by, why, fold } => at.resume_requested(by, why, fold),
        RolloutInput::CancelRequested { by, why } => at.cancel_requested(by, why),
        RolloutInput::Superseded { by } => at.superseded(*by),
    }
}

type Answer = Result<RolloutStep, RolloutRefusal>;

const UNCHANGED: Answer = Ok(RolloutStep::Unchanged);

struct At<'a> {
    rollout: &'a Rollout,
    spec: &'a Spec,
    now: OffsetDateTime,
}

impl Rollout {
    /// Creates the record of a new rollout.
    #[must_use]
    pub fn draft(id: RolloutId, author: ActorId, spec: &Spec, now: OffsetDateTime) -> (Self, Event) {
        let mut allowed = [0; MAX_CRITERIA];
        for (allowed, criterion) in allowed.iter_mut().zip(&spec.stop) {
            *allowed = criterion.limit(0);
        }
        let rollout = Self {
            id,
            author: author.clone(),
            spec: spec.digest(),
            status: Status::Drafted,
            epoch: Epoch(0),
            wave: Wave(0),
            allowed,
            base: Base::default(),
            planned: Planned::default(),
            approvals: BTreeSet::new(),
            soaking_since: None,
            already_out: None,
        };
        let event = Event::new(now, Action::RolloutDrafted, id, After::Rollout(Box::new(rollout.clone())));
        (rollout, Event { actor: Some(author), ..event })
    }

    /// Returns the maximum number of failures of all lanes by a criterion, for this number of executed deployments.
    fn limit(&self, spec: &Spec, criterion: usize, executed: u32) -> u32 {
        let limit = spec.stop.get(criterion).map(|one| one.limit(executed.saturating_sub(self.base.executed)));
        let base = self.base.failures.get(criterion).copied().unwrap_or(0);
        base.saturating_add(limit.unwrap_or(0))
    }

    /// Raises the failure allowance of a lane, as far as the criterion allows. Both records are written in one commit,
    /// so that no failure is allowed twice. `None` if there is nothing to add.
    ///
    /// ```
    /// # use fhir_devices::manifest::ReleaseId;
    /// # use fhir_devices::update::rollout::*;
    /// # let now = time::OffsetDateTime::UNIX_EPOCH;
    /// # let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
    /// # let (rollout, _) = Rollout::draft(RolloutId(7), "biomed/j.doe".parse()?, &spec, now);
    /// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
    /// let fold = Fold::of(&spec, RolloutId(7), [&lane])?;
    /// assert_eq!(rollout.allow_more(&spec, 0, &fold, &lane, now), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn allow_more(
        &self,
        spec: &Spec,
        criterion: usize,
        fold: &Fold,
        lane: &LaneHead,
        now: OffsetDateTime,
    ) -> Option<(RolloutTransition, LaneStep)> {
        if self.status != Status::Running || lane.rollout != self.id {
            return None;
        }
        let limit = self.limit(spec, criterion, fold.tally.executed());
        let more = limit.checked_sub(*self.allowed.get(criterion)?).filter(|more| *more > 0)?;
        let mut rollout = self.clone();
        *rollout.allowed.get_mut(criterion)? = limit;
        let at = At { rollout: self, spec, now };
        Some((at.to(Action::SharesMade, rollout), lane.with_more(criterion, more, now)?))
    }

    /// Serializes the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        record::from_bytes(bytes)
    }
}

impl At<'_> {
    fn to(&self, action: Action, rollout: Rollout) -> RolloutTransition {
        let event = Event::new(self.now, action, rollout.id, After::Rollout(Box::new(rollout.clone())));
        RolloutTransition { effect: resume(&rollout), rollout, event }
    }

    fn go(&self, action: Action, status: Status) -> Answer {
        Ok(RolloutStep::Transition(self.to(action, Rollout { status, ..self.rollout.clone() })))
    }

    fn by(&self, action: Action, rollout: Rollout, by: &ActorId, why: Option<&Note>) -> Answer {
        let RolloutTransition { rollout, event, effect } = self.to(action, rollout);
        let event = Event { actor: Some(by.clone()), comment: why.cloned(), ..event };
        Ok(RolloutStep::Transition(RolloutTransition { rollout, event, effect }))
    }

    /// Returns the rollout with another status and a higher epoch, so that the lanes accept its next order.
    fn ordered(&self, status: Status) -> Rollout {
        let epoch = self.rollout.epoch.next();
        Rollout { status, epoch, soaking_since: None, approvals: BTreeSet::new(), ..self.rollout.clone() }
    }

    fn submitted(&self) -> Answer {
        match self.rollout.status {
            Status::Drafted if self.rollout.spec != self.spec.digest() => Err(RolloutRefusal::OtherSpec),
            Status::Drafted if self.spec.approvals == 0 => self.go(Action::RolloutSubmitted, Status::Ready),
            Status::Drafted => self.go(Action::RolloutSubmitted, Status::AwaitingApproval),
            Status::AwaitingApproval
            | Status::Ready
            | Status::Running
            | Status::Pausing
            | Status::Paused
            | Status::Halting
            | Status::Halted
            | Status::Completed => UNCHANGED,
            Status::Cancelling | Status::Superseding | Status::Cancelled | Status::Superseded | Status::Denied => {
                Err(RolloutRefusal::Ended)
            }
        }
    }

    fn approved(&self, by: &ActorId, spec: Sha256) -> Answer {
        match self.rollout.status {
            Status::Drafted => Err(RolloutRefusal::NotSubmitted),
            Status::AwaitingApproval if *by == self.rollout.author => Err(RolloutRefusal::OwnApproval),
            Status::AwaitingApproval if spec != self.rollout.spec => Err(RolloutRefusal::OtherSpec),
            Status::AwaitingApproval if self.rollout.approvals.contains(by) => UNCHANGED,
            Status::AwaitingApproval => {
                let mut rollout = self.rollout.clone();
                rollout.approvals.insert(by.clone());
                if rollout.approvals.len() >= usize::from(self.spec.approvals) {
                    rollout.status = Status::Ready;
                }
                self.by(Action::RolloutApproved, rollout, by, None)
            }
            _ if self.rollout.approvals.contains(by) => UNCHANGED,
            Status::Ready | Status::Running | Status::Pausing | Status::Paused | Status::Halting | Status::Halted => {
                Err(RolloutRefusal::NotAwaited)
            }
            Status::Cancelling
            | Status::Superseding
            | Status::Cancelled
            | Status::Superseded
            | Status::Completed
            | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }

    fn denied(&self, by: &ActorId, why: &Note) -> Answer {
        match self.rollout.status {
            Status::Drafted => Err(RolloutRefusal::NotSubmitted),
            Status::AwaitingApproval => {
                let rollout = Rollout { status: Status::Denied, ..self.rollout.clone() };
                self.by(Action::RolloutDenied, rollout, by, Some(why))
            }
            Status::Denied => UNCHANGED,
            Status::Ready | Status::Running | Status::Pausing | Status::Paused | Status::Halting | Status::Halted => {
                Err(RolloutRefusal::NotAwaited)
            }
            Status::Cancelling | Status::Superseding | Status::Cancelled | Status::Superseded | Status::Completed => {
                Err(RolloutRefusal::Ended)
            }
        }
    }

    fn page_planned(&self, from: Option<&String>, next: Option<&String>, found: u32) -> Answer {
        let planned = &self.rollout.planned;
        match self.rollout.status {
            Status::Drafted | Status::AwaitingApproval => Err(RolloutRefusal::NotSubmitted),
            Status::Ready | Status::Running | Status::Pausing | Status::Paused | Status::Halting | Status::Halted => {
                if planned.done {
                    return UNCHANGED;
                }
                if planned.cursor.as_ref() != from {
                    // A driver that planned the previous page repeats its report: the components are planned.
                    let known = next.is_some() && planned.cursor.as_ref() == next;
                    return if known { UNCHANGED } else { Err(RolloutRefusal::OtherPage) };
                }
                let found = planned.found.saturating_add(found.into());
                let planned = Planned { cursor: next.cloned(), done: next.is_none(), found };
                let rollout = Rollout { planned, ..self.rollout.clone() };
                Ok(RolloutStep::Transition(self.to(Action::RolloutPlanned, rollout)))
            }
            Status::Cancelling
            | Status::Superseding
            | Status::Cancelled
            | Status::Superseded
            | Status::Completed
            | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }

    fn start_reached(&self) -> Answer {
        match self.rollout.status {
            Status::Drafted | Status::AwaitingApproval => Err(RolloutRefusal::NotSubmitted),
            Status::Ready if self.spec.start.is_some_and(|start| self.now < start) => Err(RolloutRefusal::NotDue),
            Status::Ready if !self.rollout.planned.done && !self.spec.scope.is_dynamic() => {
                Err(RolloutRefusal::NotPlanned)
            }
            Status::Ready => {
                let running = self.ordered(Status::Running);
                Ok(RolloutStep::Transition(self.to(Action::RolloutRunning, running)))
            }
            Status::Running | Status::Pausing | Status::Paused | Status::Halting | Status::Halted => UNCHANGED,
            Status::Cancelling
            | Status::Superseding
            | Status::Cancelled
            | Status::Superseded
            | Status::Completed
            | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }

    fn lanes_folded(&self, fold: &Fold) -> Answer {
        let Rollout { epoch, .. } = *self.rollout;
        let in_all_lanes = |action, status| {
            let rollout = Rollout { status, already_out: Some(fold.granted), ..self.rollout.clone() };
            Ok(RolloutStep::Transition(self.to(action, rollout)))
        };
        match self.rollout.status {
            Status::Running => self.running(fold),
            // A stop is reported only after every lane has confirmed it.
            Status::Pausing if fold.stopped && fold.epoch >= epoch => {
                in_all_lanes(Action::RolloutPaused, Status::Paused)
            }
            Status::Halting if fold.stopped && fold.epoch >= epoch => {
                in_all_lanes(Action::RolloutHalted, Status::Halted)
            }
            Status::Cancelling if fold.quiet => in_all_lanes(Action::RolloutCancelled, Status::Cancelled),
            Status::Superseding if fold.quiet => in_all_lanes(Action::RolloutSuperseded, Status::Superseded),
            Status::Drafted
            | Status::AwaitingApproval
            | Status::Ready
            | Status::Pausing
            | Status::Paused
            | Status::Halting
            | Status::Halted
            | Status::Cancelling
            | Status::Superseding
            | Status::Cancelled
            | Status::Superseded
            | Status::Completed
            | Status::Denied => UNCHANGED,
        }
    }

    fn running(&self, fold: &Fold) -> Answer {
        let (rollout, executed) = (self.rollout, fold.tally.executed());
        let met = (0..self.spec.stop.len())
            .zip(fold.failures)
            .any(|(criterion, failures)| failures >= rollout.limit(self.spec, criterion, executed));
        if met {
            return Ok(RolloutStep::Transition(self.to(Action::RolloutHalting, self.ordered(Status::Halting))));
        }
        let may_grow = match self.spec.scope {
            super::Scope::Static => !rollout.planned.done,
            super::Scope::Dynamic { until, .. } => !rollout.planned.done || self.now < until,
        };
        if !may_grow && fold.counts.open() == 0 {
            let done = Rollout { status: Status::Completed, already_out: Some(fold.granted), ..rollout.clone() };
            return Ok(RolloutStep::Transition(self.to(Action::RolloutCompleted, done)));
        }
        let Some(wave) = self.spec.waves.get(usize::from(rollout.wave.0)) else { return UNCHANGED };
        // A lane that does not know the wave yet says nothing about it.
        if rollout.wave >= self.spec.last_wave() || fold.wave < rollout.wave || fold.epoch < rollout.epoch {
            return UNCHANGED;
        }
        let succeeded = u64::from(fold.tally.of(super::super::deployment::OutcomeClass::Succeeded));
        let good = succeeded.saturating_mul(1_000) >= u64::from(wave.min_success_permille) * u64::from(executed);
        let all = fold.open == 0 && !may_grow;
        if !good && all {
            // The condition can never be met: an actor must decide, and resumes the rollout to let it continue.
            let paused = Rollout { wave: rollout.wave.next(), ..self.ordered(Status::Pausing) };
            return Ok(RolloutStep::Transition(self.to(Action::RolloutPausing, paused)));
        }
        let holds = good && (executed >= wave.min_done.max(1) || all);
        match rollout.soaking_since {
            None if holds && wave.soak_seconds > 0 => {
                let soaking = Rollout { soaking_since: Some(self.now), ..rollout.clone() };
                Ok(RolloutStep::Transition(self.to(Action::WaveSoaking, soaking)))
            }
            Some(_) if !holds => {
                let waiting = Rollout { soaking_since: None, ..rollout.clone() };
                Ok(RolloutStep::Transition(self.to(Action::WaveSoaking, waiting)))
            }
            Some(since) if self.now < since.saturating_add(Duration::seconds(wave.soak_seconds.into())) => UNCHANGED,
            None | Some(_) if holds && wave.pause_after => {
                let paused = Rollout { wave: rollout.wave.next(), ..self.ordered(Status::Pausing) };
                Ok(RolloutStep::Transition(self.to(Action::RolloutPausing, paused)))
            }
            None | Some(_) if holds => {
                let next = Rollout { wave: rollout.wave.next(), soaking_since: None, ..rollout.clone() };
                Ok(RolloutStep::Transition(self.to(Action::RolloutRunning, next)))
            }
            None | Some(_) => UNCHANGED,
        }
    }

    fn pause_requested(&self, by: &ActorId, why: &Note) -> Answer {
        match self.rollout.status {
            Status::Running => self.by(Action::RolloutPausing, self.ordered(Status::Pausing), by, Some(why)),
            Status::Pausing | Status::Paused | Status::Halting | Status::Halted => UNCHANGED,
            Status::Drafted | Status::AwaitingApproval | Status::Ready => Err(RolloutRefusal::NotRunning),
            Status::Cancelling
            | Status::Superseding
            | Status::Cancelled
            | Status::Superseded
            | Status::Completed
            | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }

    fn resume_requested(&self, by: &ActorId, why: &Note, fold: &Fold) -> Answer {
        match self.rollout.status {
            Status::Paused => {
                let running = Rollout { already_out: None, ..self.ordered(Status::Running) };
                self.by(Action::RolloutRunning, running, by, Some(why))
            }
            Status::Halted => {
                // A resumption needs as many approvals as the start, none of them by the author.
                let needed = usize::from(self.spec.approvals);
                if needed > 0 && *by == self.rollout.author {
                    return Err(RolloutRefusal::OwnApproval);
                }
                let mut approvals = self.rollout.approvals.clone();
                if !approvals.insert(by.clone()) {
                    return UNCHANGED;
                }
                if approvals.len() < needed {
                    let waiting = Rollout { approvals, ..self.rollout.clone() };
                    return self.by(Action::RolloutApproved, waiting, by, Some(why));
                }
                let base = Base { executed: fold.tally.executed(), failures: fold.failures };
                let running = Rollout { base, already_out: None, ..self.ordered(Status::Running) };
                self.by(Action::RolloutRunning, running, by, Some(why))
            }
            Status::Running => UNCHANGED,
            Status::Pausing | Status::Halting => Err(RolloutRefusal::NotStopped),
            Status::Drafted | Status::AwaitingApproval | Status::Ready => Err(RolloutRefusal::NotRunning),
            Status::Cancelling
            | Status::Superseding
            | Status::Cancelled
            | Status::Superseded
            | Status::Completed
            | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }

    fn cancel_requested(&self, by: &ActorId, why: &Note) -> Answer {
        match self.rollout.status {
            // The rollout has no lanes yet.
            Status::Drafted | Status::AwaitingApproval => {
                let cancelled = Rollout { already_out: Some(0), ..self.ordered(Status::Cancelled) };
                self.by(Action::RolloutCancelled, cancelled, by, Some(why))
            }
            Status::Ready | Status::Running | Status::Pausing | Status::Paused | Status::Halting | Status::Halted => {
                let cancelling = Rollout { already_out: None, ..self.ordered(Status::Cancelling) };
                self.by(Action::RolloutCancelling, cancelling, by, Some(why))
            }
            Status::Cancelling | Status::Cancelled => UNCHANGED,
            Status::Superseding | Status::Superseded | Status::Completed | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }

    fn superseded(&self, by: RolloutId) -> Answer {
        match self.rollout.status {
            _ if by == self.rollout.id => Err(RolloutRefusal::Itself),
            Status::Drafted | Status::AwaitingApproval => {
                let superseded = Rollout { already_out: Some(0), ..self.ordered(Status::Superseded) };
                Ok(RolloutStep::Transition(self.to(Action::RolloutSuperseded, superseded)))
            }
            Status::Ready | Status::Running | Status::Pausing | Status::Paused | Status::Halting | Status::Halted => {
                let superseding = Rollout { already_out: None, ..self.ordered(Status::Superseding) };
                Ok(RolloutStep::Transition(self.to(Action::RolloutCancelling, superseding)))
            }
            Status::Superseding | Status::Superseded => UNCHANGED,
            Status::Cancelling | Status::Cancelled | Status::Completed | Status::Denied => Err(RolloutRefusal::Ended),
        }
    }
}
