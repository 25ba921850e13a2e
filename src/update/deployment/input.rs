//! Inputs and transitions of the deployment machine.

use super::super::rollout::{
    Action, ActionNumber, After, Attempt, Epoch, Event, FailureCode, Gate, LaneHead, OfferKey,
};
use super::{Deployment, DeviceOffers, NotFree, Phase, SlotVersion};
use crate::manifest::ActorId;
use crate::primitive::Id;
use crate::store::Sha256;
use crate::support::names;
use std::collections::BTreeSet;
use time::OffsetDateTime;

names! {
    /// Comparison of the version that a component reports with the update.
    ///
    /// ```
    /// use fhir_devices::update::deployment::Runs;
    /// assert_ne!(Runs::Target, Runs::Other);
    /// ```
    Runs {
        /// The update: its version, and its digest if the report has one.
        Target = "target",
        /// Any other version.
        Other = "other",
    }
}

names! {
    /// Content found in a slot.
    ///
    /// ```
    /// use fhir_devices::update::deployment::Found;
    /// assert_ne!(Found::Offer, Found::Tombstone);
    /// ```
    Found {
        /// The offer of the deployment.
        Offer = "offer",
        /// The tombstone of the deployment's offer.
        Tombstone = "tombstone",
        /// Nothing, or content older than the offer.
        Older = "older",
    }
}

names! {
    /// Reason why a region refuses an offer.
    ///
    /// ```
    /// use fhir_devices::update::deployment::PutRefusal;
    /// assert_eq!(PutRefusal::UnknownDevice.as_str(), "unknown-device");
    /// ```
    PutRefusal {
        /// The slot has a later offer.
        Stale = "stale",
        /// The region does not know the device.
        UnknownDevice = "unknown-device",
        /// The offer exceeds the maximum slot size of the region.
        TooLarge = "offer-too-large",
        /// The region refuses the credentials.
        Denied = "denied",
    }
}

/// Input of the deployment machine.
///
/// ```
/// use fhir_devices::update::{deployment::Input, rollout::Attempt};
/// assert_ne!(Input::DoneReported { attempt: Attempt(1) }, Input::DeadlineReached);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// The component and its gates were evaluated.
    Evaluated {
        /// Closed gates.
        closed: BTreeSet<Gate>,
    },
    /// The lane selected the component for an offer; its gates are open.
    OfferRequested {
        /// Epoch of the rollout, as read.
        epoch: Epoch,
        /// Components above and below this one in the device tree.
        line: Vec<Id>,
        /// Whether the region takes only one offer per device.
        one_per_device: bool,
        /// Whether the sequence number is above those that the component accepted. Otherwise the deployment ends.
        admitted: bool,
    },
    /// The slot was written.
    SlotWritten {
        /// Action number of the offer.
        action: ActionNumber,
        /// Whether the offer was written, rather than its tombstone.
        offer: bool,
        /// New version of the slot.
        version: SlotVersion,
    },
    /// The region refuses the offer permanently.
    PutRefused {
        /// Action number of the offer.
        action: ActionNumber,
        /// Reason of the refusal.
        why: PutRefusal,
    },
    /// The slot was read.
    SlotRead {
        /// Action number of the offer.
        action: ActionNumber,
        /// Content of the slot.
        found: Found,
    },
    /// The device asks for the bytes.
    ClaimRequested {
        /// Attempt that the device names.
        attempt: Attempt,
        /// Closed gates.
        closed: BTreeSet<Gate>,
        /// Whether the manifest has expired.
        expired: bool,
    },
    /// The device reports its progress.
    PhaseReported {
        /// Attempt that the device names.
        attempt: Attempt,
        /// Report number, if the channel numbers reports.
        number: Option<u64>,
        /// Reported progress.
        phase: Phase,
    },
    /// The device reports a failure.
    FailureReported {
        /// Attempt that the device names.
        attempt: Attempt,
        /// Whether another attempt may succeed.
        transient: bool,
        /// Failure code.
        code: FailureCode,
    },
    /// The device rejects the update.
    RejectionReported {
        /// Attempt that the device names.
        attempt: Attempt,
        /// Failure code.
        code: FailureCode,
    },
    /// The device reports that it is done.
    DoneReported {
        /// Attempt that the device names.
        attempt: Attempt,
    },
    /// The device acknowledges the stop.
    StopAcknowledged {
        /// Attempt that the device names.
        attempt: Attempt,
    },
    /// The device reported the version that the component runs.
    VersionReported {
        /// Report number, if the device numbers reports. A report with a lower number than the last is late.
        number: Option<u64>,
        /// Digest of the report.
        report: Sha256,
        /// Whether the report is authenticated as the device's.
        authenticated: bool,
        /// Running version, compared with the update.
        runs: Runs,
        /// Whether the device restarted between the offer and the report: otherwise an installed update may wait for
        /// the restart.
        restarted: bool,
        /// Whether the version is confirmed, on devices that try a version first.
        confirmed: bool,
    },
    /// The lane retracts the offer.
    StopRequested,
    /// The [`State::deadline`](super::State::deadline) was reached.
    DeadlineReached,
    /// The device is no longer in use.
    DeviceRetired {
        /// Actor that retired the device.
        by: Option<ActorId>,
    },
}

/// Effect to perform. It is idempotent: the action number of the offer is its key.
///
/// ```
/// use fhir_devices::update::{deployment::Effect, rollout::{ActionNumber, Attempt, DeploymentId, OfferKey}};
/// let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// assert_ne!(Effect::PutOffer { key, action: ActionNumber(1) }, Effect::PutTombstone { key, action: ActionNumber(1) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Write the offer to the slot, unless the slot has a later one or its tombstone.
    PutOffer {
        /// Key of the offer.
        key: OfferKey,
        /// Action number of the offer.
        action: ActionNumber,
    },
    /// Write a tombstone to the slot, unless the slot has a later offer.
    PutTombstone {
        /// Key of the offer.
        key: OfferKey,
        /// Action number of the offer.
        action: ActionNumber,
    },
}

/// Transition. Everything in it is written in one commit of the ledger.
///
/// Returned by [`step`](super::step).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// New record of the deployment.
    pub deployment: Deployment,
    /// New record of its lane.
    pub lane: LaneHead,
    /// New locks of the device, if they change.
    pub offers: Option<DeviceOffers>,
    /// Effect to perform after the commit.
    pub effect: Option<Effect>,
    /// Whether the device gets the bytes after the commit.
    pub grants: bool,
    /// Whether the transition exhausts the failure allowance of the lane, so that the rollout must be evaluated.
    pub trips: bool,
    /// Action of the audit event.
    pub action: Action,
    /// Time of the transition, which never decreases within a lane.
    pub at: OffsetDateTime,
    /// Actor; `None` where the service or the device acted.
    pub actor: Option<ActorId>,
    /// Digest of the report that caused the transition.
    pub report: Option<Sha256>,
}

impl Transition {
    /// Returns the audit event of the transition.
    #[must_use]
    pub fn event(&self) -> Event {
        let deployment = &self.deployment;
        let after = After::Deployment(Box::new(deployment.clone()));
        Event {
            actor: self.actor.clone(),
            lane: Some(deployment.lane),
            deployment: Some(deployment.id),
            report: self.report,
            ..Event::new(self.at, self.action, deployment.rollout, after)
        }
    }
}

/// Result of an input.
///
/// ```
/// use fhir_devices::update::deployment::Step;
/// assert!(!Step::Unchanged.grants());
/// assert!(Step::Granted.grants());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a step is looked at and taken apart at once")]
pub enum Step {
    /// The state changes.
    Transition(Transition),
    /// The device has claimed the bytes already and may continue the download.
    Granted,
    /// The input was applied before, is late, or has no meaning in this state. This is not an error of the sender.
    Unchanged,
}

impl Step {
    /// Returns whether the device gets the bytes.
    #[must_use]
    pub const fn grants(&self) -> bool {
        match self {
            Self::Transition(transition) => transition.grants,
            Self::Granted => true,
            Self::Unchanged => false,
        }
    }
}

/// Reason why an input of the deployment machine is refused.
///
/// ```
/// use fhir_devices::update::deployment::Refusal;
/// assert_eq!(Refusal::Gone.to_string(), "the offer is no longer good, and no bytes are given for it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The deployment belongs to another lane.
    #[error("the deployment is of another lane")]
    OtherLane,
    /// The lane is not open.
    #[error("the lane of the rollout does not offer anything now")]
    NotOpen,
    /// The wave of the component has not begun.
    #[error("the wave of the component has not begun")]
    NotItsWave,
    /// The cap on devices in flight or the rate limit of offers is reached.
    #[error("as many devices are at work as may be")]
    Full,
    /// The failure allowance of the lane is exhausted.
    #[error("the lane of the rollout had as many failures as it may")]
    Tripped,
    /// Another deployment has a lock, or the numbers of offers are exhausted.
    #[error(transparent)]
    NotFree(#[from] NotFree),
    /// The input comes too early.
    #[error("the time has not come")]
    NotDue,
    /// The component has an offer, or had one.
    #[error("the component has an offer already")]
    AlreadyOffered,
    /// The action number belongs to another offer.
    #[error("the deployment has no such offer now")]
    OtherAction,
    /// The attempt was not made.
    #[error("the deployment has had no such attempt")]
    NoSuchAttempt,
    /// The offer was retracted: the device gets no bytes.
    #[error("the offer is no longer good, and no bytes are given for it")]
    Gone,
    /// A gate is closed.
    #[error("a gate of the component is closed at this moment")]
    GateClosed,
    /// The report is not authenticated.
    #[error("the report is not known to be the device's")]
    NotAuthenticated,
    /// The lane is not draining, so nothing is retracted.
    #[error("the lane of the rollout takes nothing back")]
    NotDraining,
}

impl Refusal {
    /// Returns whether it is the lane's, so that no other deployment of the lane is taken now either.
    pub(crate) const fn is_of_lane(&self) -> bool {
        matches!(self, Self::Full | Self::Tripped | Self::NotOpen | Self::NotItsWave | Self::NotDraining)
    }
}
