//! One lane of a rollout: a part of its components, of its cap and of the failures that it may have.

use super::super::deployment::{OutcomeClass, State};
use super::event::{After, Event};
use super::spec::{MAX_CRITERIA, MAX_WAVES};
use super::{Action, Epoch, Lane, RolloutId, Spec, Unreadable, Wave, record};
use crate::primitive::moment;
use crate::support::names;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

names! {
    /// Whether a lane goes on.
    ///
    /// ```
    /// use fhir_devices::update::rollout::LaneStatus;
    /// assert_eq!(LaneStatus::Draining.to_string(), "draining");
    /// ```
    LaneStatus {
        /// The lane was never opened.
        Closed = "closed",
        /// Devices are offered the update and given the bytes.
        Open = "open",
        /// No device is offered anything or given any bytes, until it is opened again.
        Stopped = "stopped",
        /// The lane is stopped for good: what was offered is taken back.
        Draining = "draining",
        /// The lane is stopped for good, because another rollout takes the place of this one.
        Superseding = "superseding",
    }
}

/// The number of deployments of a lane in each state. What is done is counted by its outcome.
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
    /// Returns the number in each state that is not the last one, with the name of the state.
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

    /// Returns the number of deployments that are not done, and have no bytes of the current attempt.
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

/// The number of deployments with each outcome.
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
    /// Returns how many had one.
    #[must_use]
    pub fn of(&self, class: OutcomeClass) -> u32 {
        self.0.get(class as usize).copied().unwrap_or(0)
    }

    /// One more.
    pub fn count(&mut self, class: OutcomeClass) {
        if let Some(count) = self.0.get_mut(class as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns how many were tried and are done.
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

/// The failures of a lane by one criterion, and how many it may have before it offers no more.
///
/// ```
/// use fhir_devices::update::rollout::Allowance;
/// assert!(Allowance { failures: 1, share: 1 }.is_used_up());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Allowance {
    /// The failures that it had.
    pub failures: u32,
    /// The failures that it may have.
    pub share: u32,
}

impl Allowance {
    /// Returns whether it may have no more.
    #[must_use]
    pub const fn is_used_up(&self) -> bool {
        self.failures >= self.share
    }
}

/// The record of a lane. It is written in the same commit as each of its deployments.
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
    /// The rollout.
    pub rollout: RolloutId,
    /// Which lane of it.
    pub lane: Lane,
    /// Whether it goes on.
    pub status: LaneStatus,
    /// The epoch of the last order that it took.
    pub epoch: Epoch,
    /// The last wave that may be offered the update.
    pub wave: Wave,
    /// The number of deployments in each state.
    pub counts: Counts,
    /// The number of deployments of each wave that are not done.
    pub open: [u32; MAX_WAVES],
    /// The number of devices that may be at work at once.
    pub cap_share: u32,
    /// The failures by each criterion.
    pub allowances: [Allowance; MAX_CRITERIA],
    /// The number of deployments with each outcome.
    pub tally: Tally,
    /// The number of devices that were ever given bytes.
    pub granted: u32,
    /// The number of offers that may follow at once, where there is a rate.
    pub tokens: u32,
    /// Up to when those were counted.
    #[serde(with = "moment")]
    pub counted_at: OffsetDateTime,
    /// Until when no offer is made, because the region wants it so.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub paused_until: Option<OffsetDateTime>,
    /// The latest time that it was told. Time never goes back here.
    #[serde(with = "moment")]
    pub last: OffsetDateTime,
}

/// Something that happened to a lane. What happens to its deployments is an input of those.
///
/// ```
/// use fhir_devices::update::rollout::{Epoch, LaneInput, Wave};
/// assert_ne!(LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, LaneInput::Stopped { epoch: Epoch(1) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LaneInput {
    /// The rollout goes on.
    Opened {
        /// The epoch of the rollout.
        epoch: Epoch,
        /// The last wave that may be offered the update.
        wave: Wave,
    },
    /// The rollout stops.
    Stopped {
        /// The epoch of the rollout.
        epoch: Epoch,
    },
    /// The rollout ends before its time.
    Drained {
        /// The epoch of the rollout.
        epoch: Epoch,
        /// Whether another one takes its place.
        superseded: bool,
    },
    /// The region asks for fewer offers, or cannot be reached.
    RegionRested {
        /// Until when none is made.
        until: OffsetDateTime,
    },
}

/// Why a lane does not take an order.
///
/// ```
/// use fhir_devices::update::rollout::LaneRefusal;
/// assert_eq!(LaneRefusal::Draining.to_string(), "the lane takes back what it offered, and is never opened again");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum LaneRefusal {
    /// The lane took a later order.
    #[error("the lane took an order of a later epoch")]
    Stale,
    /// The lane was told to end.
    #[error("the lane takes back what it offered, and is never opened again")]
    Draining,
    /// The lanes are of different rollouts or regions, or one and the same.
    #[error("the lanes cannot share with each other")]
    Strangers,
    /// The lane has no more shares than it needs itself.
    #[error("the lane has no share to spare")]
    NothingToSpare,
}

/// The result of an input of a lane.
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
    /// The lane as it becomes.
    pub lane: LaneHead,
    /// Its audit record.
    pub event: Event,
}

/// What lanes share: all of it together stays the same when some of it is moved.
///
/// ```
/// use fhir_devices::update::rollout::Share;
/// assert_ne!(Share::Cap, Share::Failures(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Share {
    /// The devices that may be at work at once. It stays within a region.
    Cap,
    /// The failures by a criterion, named by its place in the spec.
    Failures(u8),
}

impl LaneHead {
    /// Returns a lane with no deployment, and its first shares; `None` where the rollout has no such lane.
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

    /// Returns the time by which the lane goes: the clock's, but never before one that it was told.
    #[must_use]
    pub fn now(&self, now: OffsetDateTime) -> OffsetDateTime {
        now.max(self.last)
    }

    /// Returns whether no device gets an offer or bytes, for good.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        matches!(self.status, LaneStatus::Draining | LaneStatus::Superseding)
    }

    /// Returns whether it ends, and nothing is left of what it offered but what devices have.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.is_draining() && self.counts.not_out() == 0
    }

    /// Returns whether it had as many failures by some criterion as it may. It offers nothing then, and is to be
    /// looked at.
    #[must_use]
    pub fn is_tripped(&self, spec: &Spec) -> bool {
        self.allowances.iter().zip(&spec.stop).any(|(allowance, _)| allowance.is_used_up())
    }

    /// Returns how many deployments of the waves that may be offered the update are not done.
    #[must_use]
    pub fn open_until(&self, wave: Wave) -> u32 {
        self.open.iter().take(usize::from(wave.0).saturating_add(1)).fold(0, |sum, one| sum.saturating_add(*one))
    }

    /// Returns what an input leads to; `None` where it was known already.
    ///
    /// # Errors
    /// [`LaneRefusal::Stale`] for an order of an earlier epoch than the last, and [`LaneRefusal::Draining`] for one to go on
    /// after the end.
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

    /// Moves shares to another lane: both are written in one commit, so that nothing is lost and nothing is made.
    ///
    /// # Errors
    /// [`LaneRefusal::Strangers`] where the lanes have nothing in common, and [`LaneRefusal::NothingToSpare`] where this one
    /// needs what it has for the devices that are at work.
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
                // While devices are at work one failure at least is kept for them: else they could fail beyond the limit.
                let needed = own.failures.saturating_add(u32::from(at_work));
                own.share =
                    own.share.checked_sub(count).filter(|left| *left >= needed).ok_or(LaneRefusal::NothingToSpare)?;
                let other = to.allowances.get_mut(usize::from(index)).ok_or(LaneRefusal::Strangers)?;
                other.share = other.share.saturating_add(count);
            }
        }
        Ok([from.told(Action::SharesMoved, now), to.told(Action::SharesMoved, now)])
    }

    /// Returns the lane with more failures that it may have. The rollout counts what it gives, in the same commit.
    pub(super) fn with_more(&self, criterion: usize, count: u32, now: OffsetDateTime) -> Option<LaneStep> {
        let mut lane = Self { last: self.now(now), ..*self };
        let own = lane.allowances.get_mut(criterion)?;
        own.share = own.share.saturating_add(count);
        Some(lane.told(Action::SharesMade, lane.last))
    }

    /// Returns the lane with the tokens that came since they were last counted.
    pub(in super::super) fn refilled(&self, spec: &Spec, now: OffsetDateTime) -> Self {
        let Some(rate) = spec.rate(self.lane) else { return *self };
        let per_minute = i64::from(rate.per_minute.get());
        let came = (now - self.counted_at).whole_seconds().saturating_mul(per_minute) / 60;
        let tokens = u32::try_from(came).map_or(if came < 0 { 0 } else { u32::MAX }, |came| came);
        let tokens = self.tokens.saturating_add(tokens);
        if tokens >= rate.burst.get() {
            return Self { tokens: rate.burst.get(), counted_at: now, ..*self };
        }
        // What is left of a token goes on growing.
        let counted = Duration::seconds(came.max(0).saturating_mul(60) / per_minute);
        Self { tokens, counted_at: self.counted_at.saturating_add(counted), ..*self }
    }

    /// Returns the lane after a deployment of it went from one state to another: the one place where anything is
    /// counted.
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

    /// Returns the stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none, or of a format that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        record::from_bytes(bytes)
    }
}
