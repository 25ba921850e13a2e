//! States and outcomes of a deployment.

use super::super::ingest::Unreadable;
use super::super::rollout::{
    ActionNumber, Attempt, DeploymentId, Epoch, FailureCode, Gate, Lane, OfferKey, RegionId, RolloutId, Wave, record,
};
use crate::primitive::{Id, moment};
use crate::store::Sha256;
use crate::support::names;
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// Version of a slot, as named by its region, such as an entity tag or a counter. Only equality has a meaning.
///
/// ```
/// use fhir_devices::update::deployment::SlotVersion;
/// assert_eq!(SlotVersion::new("7").as_str(), "7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct SlotVersion(SmolStr);

impl SlotVersion {
    /// Creates a version from the region's name for it.
    pub fn new(name: impl Into<SmolStr>) -> Self {
        Self(name.into())
    }

    /// Returns the region's name for the version.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SlotVersion {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(name))
    }
}

names! {
    /// Progress reported by a device. Within an attempt it never goes back.
    ///
    /// ```
    /// use fhir_devices::update::deployment::Phase;
    /// assert!(Phase::Staged < Phase::Installing);
    /// ```
    Phase {
        /// The device claimed the bytes.
        Claimed = "claimed",
        /// The device is downloading the bytes.
        Downloading = "downloading",
        /// The device has downloaded all bytes.
        Staged = "staged",
        /// The device is installing the bytes. From here on the running version is unknown until it is reported.
        Installing = "installing",
        /// The device is about to start the installed software.
        Activating = "activating",
        /// The device is testing the installed software, and may roll back.
        Testing = "testing",
        /// The device reports that it is done.
        Installed = "installed",
    }
}

names! {
    /// Class of an outcome.
    ///
    /// ```
    /// use fhir_devices::update::deployment::OutcomeClass;
    /// assert!(OutcomeClass::Unproven.is_failure());
    /// assert!(!OutcomeClass::Withdrawn.is_executed());
    /// ```
    OutcomeClass {
        /// [`Outcome::Succeeded`].
        Succeeded = "succeeded",
        /// [`Outcome::AlreadyCurrent`].
        AlreadyCurrent = "already-current",
        /// [`Outcome::Failed`].
        Failed = "failed",
        /// [`Outcome::RolledBack`].
        RolledBack = "rolled-back",
        /// [`Outcome::Rejected`].
        Rejected = "rejected",
        /// [`Outcome::TimedOut`].
        TimedOut = "timed-out",
        /// [`Outcome::Unproven`].
        Unproven = "unproven",
        /// [`Outcome::Withdrawn`].
        Withdrawn = "withdrawn",
        /// [`Outcome::Cancelled`].
        Cancelled = "cancelled",
        /// [`Outcome::Superseded`].
        Superseded = "superseded",
        /// [`Outcome::Retired`].
        Retired = "retired",
    }
}

impl OutcomeClass {
    /// Returns whether the outcome may count as a failure of a rollout.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::RolledBack | Self::Rejected | Self::TimedOut | Self::Unproven)
    }

    /// Returns whether an update was attempted, so that the outcome counts as executed.
    #[must_use]
    pub const fn is_executed(self) -> bool {
        self.is_failure() || matches!(self, Self::Succeeded)
    }
}

/// Evidence that a component runs the update.
///
/// ```
/// use fhir_devices::update::deployment::Evidence;
/// assert_ne!(Evidence::DeviceSays, Evidence::VersionReport { report: fhir_devices::store::Sha256::of(b"{}") });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum Evidence {
    /// A report of the running version.
    VersionReport {
        /// Digest of the report.
        report: Sha256,
    },
    /// Only the statement of the device, which the rollout accepts as proof.
    DeviceSays,
}

/// Outcome of a deployment. It never changes.
///
/// ```
/// use fhir_devices::update::deployment::{Outcome, OutcomeClass};
/// assert_eq!(Outcome::AlreadyCurrent.class(), OutcomeClass::AlreadyCurrent);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "class")]
#[non_exhaustive]
pub enum Outcome {
    /// The component runs the update.
    Succeeded {
        /// Evidence of success.
        proof: Evidence,
    },
    /// The component ran the update before it was offered.
    AlreadyCurrent,
    /// The device or its region failed.
    Failed {
        /// Failure code.
        code: FailureCode,
    },
    /// The device restarted after the installation and runs another version than the update.
    RolledBack {
        /// Digest of the report.
        report: Sha256,
    },
    /// The device rejected the update.
    Rejected {
        /// Failure code.
        code: FailureCode,
    },
    /// The device never asked for the bytes, or its gates stayed closed for too long. It runs its previous version.
    TimedOut,
    /// The device had the bytes, and its running version is unknown. A person must check.
    Unproven {
        /// Last reported progress.
        phase: Phase,
    },
    /// The rollout was cancelled before the component was offered anything.
    Withdrawn,
    /// The rollout was cancelled, and the component runs its previous version.
    Cancelled,
    /// Another rollout superseded this one, and the component runs its previous version.
    Superseded,
    /// The device is no longer in use.
    Retired,
}

impl Outcome {
    /// Returns the class of the outcome.
    #[must_use]
    pub const fn class(&self) -> OutcomeClass {
        match self {
            Self::Succeeded { .. } => OutcomeClass::Succeeded,
            Self::AlreadyCurrent => OutcomeClass::AlreadyCurrent,
            Self::Failed { .. } => OutcomeClass::Failed,
            Self::RolledBack { .. } => OutcomeClass::RolledBack,
            Self::Rejected { .. } => OutcomeClass::Rejected,
            Self::TimedOut => OutcomeClass::TimedOut,
            Self::Unproven { .. } => OutcomeClass::Unproven,
            Self::Withdrawn => OutcomeClass::Withdrawn,
            Self::Cancelled => OutcomeClass::Cancelled,
            Self::Superseded => OutcomeClass::Superseded,
            Self::Retired => OutcomeClass::Retired,
        }
    }
}

names! {
    /// Progress of a request to stop.
    ///
    /// ```
    /// use fhir_devices::update::deployment::StopRequest;
    /// assert_eq!(StopRequest::default(), StopRequest::None);
    /// ```
    #[derive(Default)]
    StopRequest {
        /// Not requested.
        #[default]
        None = "none",
        /// Requested: the slot still has the offer.
        Requested = "requested",
        /// Written to the slot.
        Written = "written",
        /// Acknowledged by the device, possibly after the installation.
        Acknowledged = "acknowledged",
    }
}

/// Reason why an offer is retracted.
///
/// ```
/// use fhir_devices::update::deployment::Retraction;
/// assert_ne!(Retraction::Stopped, Retraction::Retry { not_before: time::OffsetDateTime::UNIX_EPOCH });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum Retraction {
    /// The rollout ended.
    Stopped,
    /// Another attempt follows.
    Retry {
        /// Earliest time of the next attempt.
        #[serde(with = "moment")]
        not_before: OffsetDateTime,
    },
}

/// State of a deployment. Each state that waits for another party has a deadline.
///
/// ```
/// use fhir_devices::update::deployment::State;
/// use fhir_devices::update::rollout::Attempt;
/// let now = time::OffsetDateTime::UNIX_EPOCH;
/// let planned = State::Planned { attempt: Attempt(1), not_before: now, give_up_at: None, action: None };
/// assert!(!planned.is_done());
/// assert_eq!(planned.deadline(), None); // it waits for its rollout, and for nobody else
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name", try_from = "StateMembers")]
#[non_exhaustive]
pub enum State {
    /// The deployment waits until its lane selects it.
    Planned {
        /// Next attempt.
        attempt: Attempt,
        /// Earliest time of the next attempt.
        #[serde(with = "moment")]
        not_before: OffsetDateTime,
        /// Time at which the deployment is given up, if gates held it back before.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
        give_up_at: Option<OffsetDateTime>,
        /// Action number of the last offer, which the slot may still have; `None` before the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<ActionNumber>,
    },
    /// Gates are closed.
    Held {
        /// Next attempt.
        attempt: Attempt,
        /// Closed gates.
        gates: BTreeSet<Gate>,
        /// Time of the next evaluation of the gates.
        #[serde(with = "moment")]
        review_at: OffsetDateTime,
        /// Time at which the deployment is given up.
        #[serde(with = "moment")]
        give_up_at: OffsetDateTime,
        /// Action number of the last offer, which the slot may still have; `None` before the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<ActionNumber>,
    },
    /// The offer is being written to the slot.
    Offering {
        /// Current attempt.
        attempt: Attempt,
        /// Epoch of the lane at the decision.
        epoch: Epoch,
        /// Action number of the offer, fixed at the decision.
        action: ActionNumber,
        /// Time until which the device may claim the offer.
        #[serde(with = "moment")]
        until: OffsetDateTime,
    },
    /// The slot of the component has the offer.
    Offered {
        /// Current attempt.
        attempt: Attempt,
        /// Epoch of the lane at the decision.
        epoch: Epoch,
        /// Action number of the offer.
        action: ActionNumber,
        /// First version of the slot with the offer.
        slot: SlotVersion,
        /// Time until which the device may claim the offer.
        #[serde(with = "moment")]
        until: OffsetDateTime,
    },
    /// The device was given the bytes, or reports that it installs them.
    Claimed {
        /// Current attempt.
        attempt: Attempt,
        /// Epoch of the lane at the decision.
        epoch: Epoch,
        /// Action number of the offer.
        action: ActionNumber,
        /// Last reported progress.
        phase: Phase,
        /// Deadline for leaving the phase.
        #[serde(with = "moment")]
        until: OffsetDateTime,
        /// Progress of the request to stop.
        #[serde(default, skip_serializing_if = "is_none")]
        stop: StopRequest,
    },
    /// The offer is being retracted. The device gets no more bytes.
    Retracting {
        /// Last attempt.
        attempt: Attempt,
        /// Epoch of the lane at the decision.
        epoch: Epoch,
        /// Action number of the offer.
        action: ActionNumber,
        /// Reason of the retraction.
        why: Retraction,
        /// Deadline for the region's confirmation.
        #[serde(with = "moment")]
        until: OffsetDateTime,
    },
    /// The deployment has ended.
    Done {
        /// Last attempt.
        attempt: Attempt,
        /// Outcome of the deployment.
        outcome: Outcome,
        /// Action number of the last offer; `None` if there never was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<ActionNumber>,
        /// Whether the slot may still have the offer and must be cleared.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        clear: bool,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(stop: &StopRequest) -> bool {
    *stop == StopRequest::None
}

names! {
    /// Name of a deployment state.
    ///
    /// ```
    /// use fhir_devices::update::deployment::StateName;
    /// assert_eq!(StateName::Claimed.as_str(), "claimed");
    /// ```
    StateName {
        /// [`State::Planned`].
        Planned = "planned",
        /// [`State::Held`].
        Held = "held",
        /// [`State::Offering`].
        Offering = "offering",
        /// [`State::Offered`].
        Offered = "offered",
        /// [`State::Claimed`].
        Claimed = "claimed",
        /// [`State::Retracting`].
        Retracting = "retracting",
        /// [`State::Done`].
        Done = "done",
    }
}

/// The members of the stored form of a state, of all states: a reader takes them in any order, and keeps nothing twice while it
/// looks for the name.
#[derive(Deserialize)]
struct StateMembers {
    name: StateName,
    #[serde(default)]
    attempt: Option<Attempt>,
    #[serde(default, with = "moment::optional")]
    not_before: Option<OffsetDateTime>,
    #[serde(default, with = "moment::optional")]
    give_up_at: Option<OffsetDateTime>,
    #[serde(default)]
    action: Option<ActionNumber>,
    #[serde(default)]
    gates: Option<BTreeSet<Gate>>,
    #[serde(default, with = "moment::optional")]
    review_at: Option<OffsetDateTime>,
    #[serde(default)]
    epoch: Option<Epoch>,
    #[serde(default, with = "moment::optional")]
    until: Option<OffsetDateTime>,
    #[serde(default)]
    slot: Option<SlotVersion>,
    #[serde(default)]
    phase: Option<Phase>,
    #[serde(default)]
    stop: StopRequest,
    #[serde(default)]
    why: Option<Retraction>,
    #[serde(default)]
    outcome: Option<Outcome>,
    #[serde(default)]
    clear: bool,
}

/// The error for a stored state without a member that it needs.
#[derive(Debug, thiserror::Error)]
#[error("a state that is `{name}` wants `{member}`")]
struct MissingMember {
    name: StateName,
    member: &'static str,
}

impl TryFrom<StateMembers> for State {
    type Error = MissingMember;

    fn try_from(members: StateMembers) -> Result<Self, MissingMember> {
        let StateMembers { name, attempt, not_before, give_up_at, action, gates, review_at, epoch, until, .. } =
            members;
        let StateMembers { slot, phase, stop, why, outcome, clear, .. } = members;
        let lacks = |member| move || MissingMember { name, member };
        let attempt = attempt.ok_or_else(lacks("attempt"))?;
        let (epoch, until) = (epoch.ok_or_else(lacks("epoch")), until.ok_or_else(lacks("until")));
        let number = action.ok_or_else(lacks("action"));
        Ok(match name {
            StateName::Planned => {
                let not_before = not_before.ok_or_else(lacks("not_before"))?;
                Self::Planned { attempt, not_before, give_up_at, action }
            }
            StateName::Held => Self::Held {
                attempt,
                gates: gates.ok_or_else(lacks("gates"))?,
                review_at: review_at.ok_or_else(lacks("review_at"))?,
                give_up_at: give_up_at.ok_or_else(lacks("give_up_at"))?,
                action,
            },
            StateName::Offering => Self::Offering { attempt, epoch: epoch?, action: number?, until: until? },
            StateName::Offered => {
                let slot = slot.ok_or_else(lacks("slot"))?;
                Self::Offered { attempt, epoch: epoch?, action: number?, slot, until: until? }
            }
            StateName::Claimed => {
                let phase = phase.ok_or_else(lacks("phase"))?;
                Self::Claimed { attempt, epoch: epoch?, action: number?, phase, until: until?, stop }
            }
            StateName::Retracting => {
                let why = why.ok_or_else(lacks("why"))?;
                Self::Retracting { attempt, epoch: epoch?, action: number?, why, until: until? }
            }
            StateName::Done => Self::Done { attempt, outcome: outcome.ok_or_else(lacks("outcome"))?, action, clear },
        })
    }
}

impl State {
    /// Returns the name of the state.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Planned { .. } => StateName::Planned,
            Self::Held { .. } => StateName::Held,
            Self::Offering { .. } => StateName::Offering,
            Self::Offered { .. } => StateName::Offered,
            Self::Claimed { .. } => StateName::Claimed,
            Self::Retracting { .. } => StateName::Retracting,
            Self::Done { .. } => StateName::Done,
        }
    }

    /// Returns the current, next or last attempt.
    #[must_use]
    pub const fn attempt(&self) -> Attempt {
        match self {
            Self::Planned { attempt, .. }
            | Self::Held { attempt, .. }
            | Self::Offering { attempt, .. }
            | Self::Offered { attempt, .. }
            | Self::Claimed { attempt, .. }
            | Self::Retracting { attempt, .. }
            | Self::Done { attempt, .. } => *attempt,
        }
    }

    /// Returns the action number of the offer in the slot, or of the last one.
    #[must_use]
    pub const fn action(&self) -> Option<ActionNumber> {
        match self {
            Self::Planned { action, .. } | Self::Held { action, .. } | Self::Done { action, .. } => *action,
            Self::Offering { action, .. }
            | Self::Offered { action, .. }
            | Self::Claimed { action, .. }
            | Self::Retracting { action, .. } => Some(*action),
        }
    }

    /// Returns when the state times out: the next evaluation of gates, or the deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Planned { .. } | Self::Done { .. } => None,
            Self::Held { review_at, give_up_at, .. } => Some((*review_at).min(*give_up_at)),
            Self::Offering { until, .. }
            | Self::Offered { until, .. }
            | Self::Claimed { until, .. }
            | Self::Retracting { until, .. } => Some(*until),
        }
    }

    /// Returns whether the deployment has ended.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Returns whether the deployment counts towards the cap and holds a lock on its component.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        match self {
            Self::Planned { .. } | Self::Held { .. } | Self::Done { .. } => false,
            Self::Offering { .. } | Self::Offered { .. } | Self::Claimed { .. } | Self::Retracting { .. } => true,
        }
    }

    /// Returns the outcome, if the deployment has ended.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Done { outcome, .. } => Some(outcome),
            Self::Planned { .. }
            | Self::Held { .. }
            | Self::Offering { .. }
            | Self::Offered { .. }
            | Self::Claimed { .. }
            | Self::Retracting { .. } => None,
        }
    }
}

/// Record of a deployment: one component in one rollout.
///
/// ```
/// use fhir_devices::manifest::ReleaseId;
/// use fhir_devices::update::deployment::Deployment;
/// # use fhir_devices::update::{deployment, rollout::*};
/// # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// # let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// # let (tenant, component) = ("st-mary".parse()?, "channel".parse()?);
/// # let target = deployment::Target { device: "pump".parse()?, component, region: "local".parse()? };
/// let planned = deployment::plan(&tenant, &spec, &lane, target, now)?;
/// let deployment = planned.deployment;
/// assert_eq!(Deployment::from_bytes(&deployment.to_bytes()), Ok(deployment));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deployment {
    /// Id of the deployment.
    pub id: DeploymentId,
    /// Rollout of the deployment.
    pub rollout: RolloutId,
    /// Lane of the component.
    pub lane: Lane,
    /// Device of the component.
    pub device: Id,
    /// Component to be updated.
    pub component: Id,
    /// Region from which the device gets its updates.
    pub region: RegionId,
    /// Wave of the component.
    pub wave: Wave,
    /// Whether the device was ever given the bytes. Once true it stays true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub granted: bool,
    /// Number of the last report, if the channel numbers reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_report: Option<u64>,
    /// Current state.
    pub state: State,
}

impl Deployment {
    /// Returns the key of the current attempt.
    #[must_use]
    pub const fn key(&self) -> OfferKey {
        OfferKey { deployment: self.id, attempt: self.state.attempt() }
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
