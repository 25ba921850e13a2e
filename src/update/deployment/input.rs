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
    /// The version that a component reports, compared with the update.
    ///
    /// ```
    /// use fhir_devices::update::deployment::Runs;
    /// assert_ne!(Runs::Target, Runs::Other);
    /// ```
    Runs {
        /// The update: its version, and its digest where the report has one.
        Target = "target",
        /// Something else.
        Other = "other",
    }
}

names! {
    /// The content found in a slot.
    ///
    /// ```
    /// use fhir_devices::update::deployment::Found;
    /// assert_ne!(Found::Offer, Found::Tombstone);
    /// ```
    Found {
        /// The offer of the deployment.
        Offer = "offer",
        /// The tombstone of its offer.
        Tombstone = "tombstone",
        /// Nothing, or the content before the offer.
        Older = "older",
    }
}

names! {
    /// Why a region refuses an offer.
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
        /// The offer is larger than a slot of the region may be.
        TooLarge = "offer-too-large",
        /// The region refuses the credentials.
        Denied = "denied",
    }
}

/// An input of the deployment machine.
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
        /// Which gates are closed.
        closed: BTreeSet<Gate>,
    },
    /// The lane selected the component for an offer; its gates are open.
    OfferRequested {
        /// The epoch of the rollout, as it was read.
        epoch: Epoch,
        /// The components above and below this one.
        line: Vec<Id>,
        /// Whether the region takes one offer a device.
        one_per_device: bool,
        /// Whether the component takes the sequence number, by those that it accepted. Where not, the deployment ends.
        admitted: bool,
    },
    /// The slot was written.
    SlotWritten {
        /// The number of the offer.
        action: ActionNumber,
        /// Whether it was the offer, or its tombstone.
        offer: bool,
        /// The version of the slot.
        version: SlotVersion,
    },
    /// The region refuses the offer permanently.
    PutRefused {
        /// The number of the offer.
        action: ActionNumber,
        /// The reason.
        why: PutRefusal,
    },
    /// The slot was read.
    SlotRead {
        /// The number of the offer.
        action: ActionNumber,
        /// What it has.
        found: Found,
    },
    /// The device asks for the bytes.
    ClaimRequested {
        /// For which attempt.
        attempt: Attempt,
        /// Which gates are closed.
        closed: BTreeSet<Gate>,
        /// Whether the manifest is no longer to be used.
        expired: bool,
    },
    /// The device reports its progress.
    PhaseReported {
        /// In which attempt.
        attempt: Attempt,
        /// The number of the report, where the channel numbers them.
        number: Option<u64>,
        /// How far.
        phase: Phase,
    },
    /// The device reports a failure.
    FailureReported {
        /// In which attempt.
        attempt: Attempt,
        /// Whether another attempt may do better.
        transient: bool,
        /// The reason.
        code: FailureCode,
    },
    /// The device rejects the update.
    RejectionReported {
        /// In which attempt.
        attempt: Attempt,
        /// The reason.
        code: FailureCode,
    },
    /// The device reports that it is done.
    DoneReported {
        /// In which attempt.
        attempt: Attempt,
    },
    /// The device acknowledges the stop.
    StopAcknowledged {
        /// In which attempt.
        attempt: Attempt,
    },
    /// The device reported which version the component runs.
    VersionReported {
        /// The number of the report, where the device numbers them. One with a lower number than the last comes late.
        number: Option<u64>,
        /// The digest of the report.
        report: Sha256,
        /// Whether it is known that the report is the device's.
        authenticated: bool,
        /// What the component runs.
        runs: Runs,
        /// Whether the device was started between the offer and the report: else what it installed may wait for that.
        restarted: bool,
        /// Whether it goes on to run that, where the device tries it first.
        confirmed: bool,
    },
    /// The lane retracts the offer.
    StopRequested,
    /// The time of [`State::deadline`](super::State::deadline) has come.
    DeadlineReached,
    /// The device is no longer in use.
    DeviceRetired {
        /// The actor.
        by: Option<ActorId>,
    },
}

/// An effect to perform. It is idempotent: the number of the offer is its key.
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
        /// The key of the offer.
        key: OfferKey,
        /// Its number.
        action: ActionNumber,
    },
    /// Write a tombstone to the slot, unless the slot has a later offer.
    PutTombstone {
        /// The key of the offer.
        key: OfferKey,
        /// Its number.
        action: ActionNumber,
    },
}

/// A transition. Everything in it is written in one commit of the ledger.
///
/// Made by [`step`](super::step).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The new record of the deployment.
    pub deployment: Deployment,
    /// The new record of its lane.
    pub lane: LaneHead,
    /// The new locks of the device, if they change.
    pub offers: Option<DeviceOffers>,
    /// The effect to perform once it is written.
    pub effect: Option<Effect>,
    /// Whether the device gets the bytes once the transition is written.
    pub grants: bool,
    /// Whether it exhausts the failure allowance of the lane, so that the rollout must be evaluated.
    pub trips: bool,
    /// The action.
    pub action: Action,
    /// The time, which never decreases within a lane.
    pub at: OffsetDateTime,
    /// The actor; `None` where the service or the device acted.
    pub actor: Option<ActorId>,
    /// The digest of the report that caused it.
    pub report: Option<Sha256>,
}

impl Transition {
    /// Its audit record.
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

/// The result of an input.
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
    /// The device has the bytes already and continues with them.
    Granted,
    /// The input was applied before, is late, or has no meaning in this state. It is not an error of the sender.
    Unchanged,
}

impl Step {
    /// Whether the device gets the bytes.
    #[must_use]
    pub const fn grants(&self) -> bool {
        match self {
            Self::Transition(transition) => transition.grants,
            Self::Granted => true,
            Self::Unchanged => false,
        }
    }
}

/// Why an input of the deployment machine is refused.
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
    /// The time has not come.
    #[error("the time has not come")]
    NotDue,
    /// The component is being offered the update, or was.
    #[error("the component has an offer already")]
    AlreadyOffered,
    /// The action number belongs to another offer.
    #[error("the deployment has no such offer now")]
    OtherAction,
    /// No such attempt was begun.
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
