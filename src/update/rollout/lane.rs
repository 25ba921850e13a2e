//! Lane of a rollout: a part of its components, its cap and its failure allowance.

use super::super::deployment::{OutcomeClass, State};
use super::event::{After, Event};
use super::spec::{MAX_CRITERIA, MAX_WAVES};
use super::{Action, Epoch, Lane, RolloutId, Spec, Unreadable, Wave, record};
use crate::primitive::moment;
use crate::support::names;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

names! {
    /// Status of a lane.
    ///
    /// ```
    /// use fhir_devices::update::rollout::LaneStatus;
    /// assert_eq!(LaneStatus::Draining.to_string(), "draining");
    /// ```
    LaneStatus {
        /// The lane was never opened.
        Closed = "closed",
        /// Devices are offered the update and granted the bytes.
        Open = "open",
        /// No device is offered the update or granted bytes, until the lane is opened again.
        Stopped = "stopped",
        /// The lane is stopped for good: its offers are retracted.
        Draining = "draining",
        /// The lane is stopped for good, because another rollout supersedes this one.
        Superseding = "superseding",
    }
}

/// Number of deployments of a lane in each state. Done deployments are counted by outcome.
///
/// ```
/// use fhir_devices::update::rollout::Counts;
/// let counts = Counts { planned: 3, offered: 2, ..Counts::default() };
/// assert_eq!((counts.in_flight(), counts.not_out()), (2, 5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counts {
    /// [`State::Planned`].
    pub planned: u32,
    /// [`State::Held`].
    pub held: u32,
    /// [`State::Offering`].
    pub offering: u32,
    /// [`State::Offered`].
    pub offered: u32,
    /// [`State::Claimed`].
    pub claimed: u32,
    /// [`State::Retracting`].
    pub retracting: u32,
}

impl Counts {
    /// Returns the number of deployments in each state but the last, with the name of the state.
    #[must_use]
    pub const fn by_state(&self) -> [(&'static str, u32); 6] {
        let Self { planned, held, offering, offered, claimed, retracting } = *self;
        [
            ("planned", planned),
            ("held", held),
            ("offering", offering),
            ("offered", offered),
            ("claimed", claimed),
            ("retracting", retracting),
        ]
    }

    /// Returns the number of deployments that count towards the cap.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.not_out_in_flight().saturating_add(self.claimed)
    }

    /// Returns the number of deployments that are not done and whose current attempt has no bytes.
    #[must_use]
    pub const fn not_out(&self) -> u32 {
        self.planned.saturating_add(self.held).saturating_add(self.not_out_in_flight())
    }

    /// Returns the number of deployments that are not done.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.not_out().saturating_add(self.claimed)
    }

    const fn not_out_in_flight(&self) -> u32 {
        self.offering.saturating_add(self.offered).saturating_add(self.retracting)
    }

    fn of(&mut self, state: &State) -> Option<&mut u32> {
        match state {
            State::Planned { .. } => Some(&mut self.planned),
            State::Held { .. } => Some(&mut self.held),
            State::Offering { .. } => Some(&mut self.offering),
            State::Offered { .. } => Some(&mut self.offered),
            State::Claimed { .. } => Some(&mut self.claimed),
            State::Retracting { .. } => Some(&mut self.retracting),
            State::Done { .. } => None,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in [
            (&mut self.planned, other.planned),
            (&mut self.held, other.held),
            (&mut self.offering, other.offering),
            (&mut self.offered, other.offered),
            (&mut self.claimed, other.claimed),
            (&mut self.retracting, other.retracting),
        ] {
            *own = own.saturating_add(other);
        }
    }
}

/// Number of deployments with each outcome.
///
/// ```
/// use fhir_devices::update::{deployment::OutcomeClass, rollout::Tally};
/// let mut tally = Tally::default();
/// tally.count(OutcomeClass::Succeeded);
/// tally.count(OutcomeClass::Withdrawn);
/// assert_eq!((tally.executed(), tally.of(OutcomeClass::Withdrawn)), (1, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally([u32; OutcomeClass::ALL.len()]);

impl Tally {
    /// Returns the number of deployments with this class of outcome.
    #[must_use]
    pub fn of(&self, class: OutcomeClass) -> u32 {
        self.0.get(class as usize).copied().unwrap_or(0)
    }

    /// Counts one more.
    pub fn count(&mut self, class: OutcomeClass) {
        if let Some(count) = self.0.get_mut(class as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns the number of executed deployments.
    #[must_use]
    pub fn executed(&self) -> u32 {
        let executed = OutcomeClass::ALL.iter().filter(|class| class.is_executed());
        executed.fold(0, |sum, class| sum.saturating_add(self.of(*class)))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_add(other);
        }
    }
}

/// Failures of a lane by one criterion, and the number at which it stops making offers.
///
/// ```
/// use fhir_devices::update::rollout::Allowance;
/// assert!(Allowance { failures: 1, share: 1 }.is_used_up());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Allowance {
    /// Number of failures so far.
    pub failures: u32,
    /// Maximum number of failures.
    pub share: u32,
}

impl Allowance {
    /// Returns whether the maximum is reached.
    #[must_use]
    pub const fn is_used_up(&self) -> bool {
        self.failures >= self.share
    }
}

/// Record of a lane, written in the same commit as each of its deployments.
///
/// ```
/// use fhir_devices::manifest::ReleaseId;
/// use fhir_devices::update::rollout::*;
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?).with_cap(3))?;
/// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// assert_eq!((lane.status, lane.cap_share), (LaneStatus::Closed, 3));
/// assert_eq!(LaneHead::from_bytes(&lane.to_bytes()), Ok(lane));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneHead {
    /// Rollout of the lane.
    pub rollout: RolloutId,
    /// Number of the lane.
    pub lane: Lane,
    /// Status of the lane.
    pub status: LaneStatus,
    /// Epoch of the last accepted order.
    pub epoch: Epoch,
    /// Last wave that may be offered the update.
    pub wave: Wave,
    /// Number of deployments in each state.
    pub counts: Counts,
    /// Number of deployments of each wave that are not done.
    pub open: [u32; MAX_WAVES],
    /// Maximum number of devices in flight.
    pub cap_share: u32,
    /// Failures and allowance by each criterion.
    pub allowances: [Allowance; MAX_CRITERIA],
    /// Number of deployments with each outcome.
    pub tally: Tally,
    /// Number of devices that were ever given bytes.
    pub granted: u32,
    /// Number of offers that may follow at once, if there is a rate.
    pub tokens: u32,
    /// Time up to which tokens were counted.
    #[serde(with = "moment")]
    pub counted_at: OffsetDateTime,
    /// Time until which no offer is made, because the region asks for fewer or is unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub paused_until: Option<OffsetDateTime>,
    /// Latest time seen. Time never decreases in a lane.
    #[serde(with = "moment")]
    pub last: OffsetDateTime,
}

/// Input of a lane. Inputs of its deployments are separate.
///
/// ```
/// use fhir_devices::update::rollout::{Epoch, LaneInput, Wave};
/// assert_ne!(LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, LaneInput::Stopped { epoch: Epoch(1) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LaneInput {
    /// The rollout starts or resumes.
    Opened {
        /// Epoch of the rollout.
        epoch: Epoch,
        /// Last wave that may be offered the update.
        wave: Wave,
    },
    /// The rollout stops.
    Stopped {
        /// Epoch of the rollout.
        epoch: Epoch,
    },
    /// The rollout is cancelled or superseded.
    Drained {
        /// Epoch of the rollout.
        epoch: Epoch,
        /// Whether another rollout supersedes it.
        superseded: bool,
    },
    /// The region asks for fewer offers, or cannot be reached.
    RegionRested {
        /// Time until which no offer is made.
        until: OffsetDateTime,
    },
}

/// Reason why a lane refuses an order.
///
/// ```
/// use fhir_devices::update::rollout::LaneRefusal;
/// assert_eq!(LaneRefusal::Draining.to_string(), "the lane takes back what it offered, and is never opened again");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum LaneRefusal {
    /// The lane accepted a later order.
    #[error("the lane took an order of a later epoch")]
    Stale,
    /// The lane is draining.
    #[error("the lane takes back what it offered, and is never opened again")]
    Draining,
    /// The lanes are the same, or of different rollouts or regions.
    #[error("the lanes cannot share with each other")]
    Strangers,
    /// The lane needs all of its share itself.
    #[error("the lane has no share to spare")]
    NothingToSpare,
}

/// Result of an input of a lane.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::update::rollout::*;
/// # let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// let opened = LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) };
/// let Some(step) = lane.step(&opened, now)? else { panic!() };
/// assert_eq!(step.lane.status, LaneStatus::Open);
/// assert_eq!(step.lane.step(&opened, now), Ok(None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStep {
    /// New record of the lane.
    pub lane: LaneHead,
    /// Audit event of the step.
    pub event: Event,
}

/// Quantity shared by lanes: moving a part of it keeps the sum.
///
/// ```
/// use fhir_devices::update::rollout::Share;
/// assert_ne!(Share::Cap, Share::Failures(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Share {
    /// Maximum number of devices in flight. It stays within a region.
    Cap,
    /// Failure allowance of a criterion, by its index in the specification.
    Failures(u8),
}

impl LaneHead {
    /// Creates a lane without deployments, with its first shares; `None` if the rollout has no such lane.
    #[must_use]
    pub fn new(spec: &Spec, rollout: RolloutId, lane: Lane) -> Option<Self> {
        spec.region_of(lane)?;
        let mut allowances = [Allowance::default(); MAX_CRITERIA];
        for (allowance, criterion) in allowances.iter_mut().zip(&spec.stop) {
            allowance.share = spec.first_failures(criterion, lane);
        }
        Some(Self {
            rollout,
            lane,
            status: LaneStatus::Closed,
            epoch: Epoch(0),
            wave: Wave(0),
            counts: Counts::default(),
            open: [0; MAX_WAVES],
            cap_share: spec.first_cap(lane),
            allowances,
            tally: Tally::default(),
            granted: 0,
            tokens: spec.rate(lane).map_or(0, |rate| rate.burst.get()),
            counted_at: OffsetDateTime::UNIX_EPOCH,
            paused_until: None,
            last: OffsetDateTime::UNIX_EPOCH,
        })
    }

    /// Returns the time of the lane: the clock's, but never before a time seen earlier.
    #[must_use]
    pub fn now(&self, now: OffsetDateTime) -> OffsetDateTime {
        now.max(self.last)
    }

    /// Returns whether the lane is stopped for good.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        matches!(self.status, LaneStatus::Draining | LaneStatus::Superseding)
    }

    /// Returns whether the lane is draining, and only devices with the bytes remain in flight.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.is_draining() && self.counts.not_out() == 0
    }

    /// Returns whether a criterion's failure allowance is exhausted. The lane then makes no offers, and must be
    /// evaluated.
    #[must_use]
    pub fn is_tripped(&self, spec: &Spec) -> bool {
        self.allowances.iter().zip(&spec.stop).any(|(allowance, _)| allowance.is_used_up())
    }

    /// Returns the number of deployments up to a wave that are not done.
    #[must_use]
    pub fn open_until(&self, wave: Wave) -> u32 {
        self.open.iter().take(usize::from(wave.0).saturating_add(1)).fold(0, |sum, one| sum.saturating_add(*one))
    }

    /// Applies an input; `None` if nothing changes.
    ///
    /// # Errors
    /// [`LaneRefusal::Stale`] for an order of an earlier epoch than the last, and [`LaneRefusal::Draining`] for opening
    /// a draining lane.
    pub fn step(&self, input: &LaneInput, now: OffsetDateTime) -> Result<Option<LaneStep>, LaneRefusal> {
        let now = self.now(now);
        let (action, lane) = match *input {
            LaneInput::Opened { .. } if self.is_draining() => return Err(LaneRefusal::Draining),
            LaneInput::Opened { epoch, wave } => {
                let again = self.status == LaneStatus::Open && epoch == self.epoch;
                if again && wave <= self.wave {
                    return Ok(None);
                }
                if epoch < self.epoch || (epoch == self.epoch && !again) {
                    return Err(LaneRefusal::Stale);
                }
                (Action::LaneOpened, Self { status: LaneStatus::Open, epoch, wave: wave.max(self.wave), ..*self })
            }
            LaneInput::Stopped { epoch } => match self.status {
                LaneStatus::Draining | LaneStatus::Superseding => return Ok(None),
                _ if epoch < self.epoch => return Err(LaneRefusal::Stale),
                LaneStatus::Stopped if epoch == self.epoch => return Ok(None),
                LaneStatus::Open if epoch == self.epoch => return Err(LaneRefusal::Stale),
                LaneStatus::Closed | LaneStatus::Open | LaneStatus::Stopped => {
                    (Action::LaneStopped, Self { status: LaneStatus::Stopped, epoch, ..*self })
                }
            },
            LaneInput::Drained { .. } if self.is_draining() => return Ok(None),
            LaneInput::Drained { epoch, .. } if epoch < self.epoch => return Err(LaneRefusal::Stale),
            LaneInput::Drained { epoch, superseded } => {
                let status = if superseded { LaneStatus::Superseding } else { LaneStatus::Draining };
                (Action::LaneDrained, Self { status, epoch, ..*self })
            }
            LaneInput::RegionRested { until } if self.paused_until >= Some(until) => return Ok(None),
            LaneInput::RegionRested { until } => {
                (Action::LaneRested, Self { paused_until: Some(until), tokens: 0, counted_at: now, ..*self })
            }
        };
        Ok(Some(Self { last: now, ..lane }.told(action, now)))
    }

    fn told(self, action: Action, now: OffsetDateTime) -> LaneStep {
        let event = Event::new(now, action, self.rollout, After::Lane(Box::new(self)));
        LaneStep { lane: self, event: Event { lane: Some(self.lane), ..event } }
    }

    /// Moves shares to another lane. Both records are written in one commit, so that the sum is kept.
    ///
    /// # Errors
    /// [`LaneRefusal::Strangers`] if the lanes cannot share, and [`LaneRefusal::NothingToSpare`] if this one needs its
    /// share for the devices in flight.
    pub fn move_shares(
        &self,
        to: &Self,
        spec: &Spec,
        share: Share,
        count: u32,
        now: OffsetDateTime,
    ) -> Result<[LaneStep; 2], LaneRefusal> {
        if self.rollout != to.rollout || self.lane == to.lane {
            return Err(LaneRefusal::Strangers);
        }
        let now = to.now(self.now(now));
        let (mut from, mut to) = (Self { last: now, ..*self }, Self { last: now, ..*to });
        match share {
            Share::Cap => {
                if spec.region_of(from.lane) != spec.region_of(to.lane) {
                    return Err(LaneRefusal::Strangers);
                }
                let left = from.cap_share.checked_sub(count).filter(|left| *left >= from.counts.in_flight());
                from.cap_share = left.ok_or(LaneRefusal::NothingToSpare)?;
                to.cap_share = to.cap_share.saturating_add(count);
            }
            Share::Failures(index) => {
                let at_work = from.counts.in_flight() > 0;
                let own = from.allowances.get_mut(usize::from(index)).ok_or(LaneRefusal::Strangers)?;
                // While devices are in flight, at least one failure is kept for them: otherwise they could exceed the
                // limit.
                let needed = own.failures.saturating_add(u32::from(at_work));
                own.share =
                    own.share.checked_sub(count).filter(|left| *left >= needed).ok_or(LaneRefusal::NothingToSpare)?;
                let other = to.allowances.get_mut(usize::from(index)).ok_or(LaneRefusal::Strangers)?;
                other.share = other.share.saturating_add(count);
            }
        }
        Ok([from.told(Action::SharesMoved, now), to.told(Action::SharesMoved, now)])
    }

    /// Raises the failure allowance. The rollout counts the increase in the same commit.
    pub(super) fn with_more(&self, criterion: usize, count: u32, now: OffsetDateTime) -> Option<LaneStep> {
        let mut lane = Self { last: self.now(now), ..*self };
        let own = lane.allowances.get_mut(criterion)?;
        own.share = own.share.saturating_add(count);
        Some(lane.told(Action::SharesMade, lane.last))
    }

    /// Adds the tokens earned since they were last counted.
    pub(in super::super) fn refilled(&self, spec: &Spec, now: OffsetDateTime) -> Self {
        let Some(rate) = spec.rate(self.lane) else { return *self };
        let per_minute = i64::from(rate.per_minute.get());
        let came = (now - self.counted_at).whole_seconds().saturating_mul(per_minute) / 60;
        let tokens = u32::try_from(came).map_or(if came < 0 { 0 } else { u32::MAX }, |came| came);
        let tokens = self.tokens.saturating_add(tokens);
        if tokens >= rate.burst.get() {
            return Self { tokens: rate.burst.get(), counted_at: now, ..*self };
        }
        // The rest of a token keeps growing.
        let counted = Duration::seconds(came.max(0).saturating_mul(60) / per_minute);
        Self { tokens, counted_at: self.counted_at.saturating_add(counted), ..*self }
    }

    /// Returns the lane after a deployment of it changed its state: the only place where deployments are counted.
    pub(in super::super) fn moved(
        &self,
        spec: &Spec,
        wave: Wave,
        from: Option<&State>,
        to: &State,
        newly_granted: bool,
    ) -> Self {
        let mut lane = *self;
        if let Some(count) = from.and_then(|from| lane.counts.of(from)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = lane.counts.of(to) {
            *count = count.saturating_add(1);
        }
        lane.granted = lane.granted.saturating_add(u32::from(newly_granted));
        if let Some(open) = lane.open.get_mut(usize::from(wave.0)) {
            match (from.is_none_or(State::is_done), to.is_done()) {
                (true, false) => *open = open.saturating_add(1),
                (false, true) => *open = open.saturating_sub(1),
                (true, true) | (false, false) => {}
            }
        }
        let ended = to.outcome().filter(|_| !from.is_some_and(State::is_done));
        if let Some(class) = ended.map(super::super::deployment::Outcome::class) {
            lane.tally.count(class);
            for (allowance, criterion) in lane.allowances.iter_mut().zip(&spec.stop) {
                allowance.failures = allowance.failures.saturating_add(u32::from(criterion.has(class)));
            }
        }
        lane
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
