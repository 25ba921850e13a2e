//! What can happen to a deployment, and what that leads to.

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
    /// What a component runs, by a report of its version.
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
    /// What a slot was found to have.
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
        /// Nothing, or what was there before the offer.
        Older = "older",
    }
}

names! {
    /// Why a region does not take an offer.
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
        /// The region refuses the credentials that it was given.
        Denied = "denied",
    }
}

/// Something that happened to a deployment.
///
/// ```
/// use fhir_devices::update::{deployment::Input, rollout::Attempt};
/// assert_ne!(Input::DoneReported { attempt: Attempt(1) }, Input::DeadlineReached);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// The component and its gates were looked at.
    Evaluated {
        /// Which gates are closed.
        closed: BTreeSet<Gate>,
    },
    /// It is the turn of the component, whose gates are open.
    OfferRequested {
        /// The epoch of the rollout, as it was read.
        epoch: Epoch,
        /// The components above and below this one.
        line: Vec<Id>,
        /// Whether the region takes one offer a device.
        one_per_device: bool,
        /// Whether the manifest, or what was accepted before, allows it.
        admitted: bool,
    },
    /// The slot has what was to be written there.
    SlotWritten {
        /// The number of the offer.
        action: ActionNumber,
        /// Whether it was the offer, or its tombstone.
        offer: bool,
        /// The version of the slot.
        version: SlotVersion,
    },
    /// The region does not take the offer, and will not.
    PutRefused {
        /// The number of the offer.
        action: ActionNumber,
        /// Why.
        why: PutRefusal,
    },
    /// The slot was looked at.
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
    /// The device says how far it is.
    PhaseReported {
        /// In which attempt.
        attempt: Attempt,
        /// The number of the report, where the channel numbers them.
        number: Option<u64>,
        /// How far.
        phase: Phase,
    },
    /// The device says that it failed.
    FailureReported {
        /// In which attempt.
        attempt: Attempt,
        /// Whether another attempt may do better.
        transient: bool,
        /// Why.
        code: FailureCode,
    },
    /// The device says that it does not want the update.
    RejectionReported {
        /// In which attempt.
        attempt: Attempt,
        /// Why.
        code: FailureCode,
    },
    /// The device says that it is done.
    DoneReported {
        /// In which attempt.
        attempt: Attempt,
    },
    /// The device says that it stopped.
    StopAcknowledged {
        /// In which attempt.
        attempt: Attempt,
    },
    /// The device reported which version the component runs.
    VersionReported {
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
    /// The lane takes back what it offered.
    StopRequested,
    /// The time of [`State::deadline`](super::State::deadline) has come.
    DeadlineReached,
    /// The device is no longer in use.
    DeviceRetired {
        /// Who says so.
        by: Option<ActorId>,
    },
}

/// Something to do. It may be done again, and then does nothing more: the number of the offer is its key.
///
/// ```
/// use fhir_devices::update::{deployment::Effect, rollout::{ActionNumber, Attempt, DeploymentId, OfferKey}};
/// let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// assert_ne!(Effect::PutOffer { key, action: ActionNumber(1) }, Effect::PutTombstone { key, action: ActionNumber(1) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Put the offer into the slot, unless that has a later one or its tombstone.
    PutOffer {
        /// The key of the offer.
        key: OfferKey,
        /// Its number.
        action: ActionNumber,
    },
    /// Put a tombstone into the slot, unless that has a later offer.
    PutTombstone {
        /// The key of the offer.
        key: OfferKey,
        /// Its number.
        action: ActionNumber,
    },
}

/// A step into another state. What it holds belongs into one commit of the ledger.
///
/// ```
/// use fhir_devices::update::deployment::{Transition, resume};
/// fn is_whole(transition: &Transition) -> bool {
///     transition.effect == resume(&transition.deployment)
/// }
/// # let _ = is_whole;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The deployment as it becomes.
    pub deployment: Deployment,
    /// Its lane as it becomes.
    pub lane: LaneHead,
    /// The locks of the device, where they change.
    pub offers: Option<DeviceOffers>,
    /// What is to be done once it is written.
    pub effect: Option<Effect>,
    /// Whether the device gets the bytes once it is written.
    pub grants: bool,
    /// Whether it is the one that used up the failures of the lane, so that the rollout is to be looked at.
    pub trips: bool,
    /// The action.
    pub action: Action,
    /// When, by the time of the lane.
    pub at: OffsetDateTime,
    /// Who did it; `None` where the service went on by itself, or the device spoke.
    pub actor: Option<ActorId>,
    /// The digest of the report that led to it.
    pub report: Option<Sha256>,
}

impl Transition {
    /// What an audit record says of it.
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
    /// Another state.
    Transition(Transition),
    /// The device goes on with the bytes that it was given before.
    Granted,
    /// The input was known already, comes late, or means nothing here. That is no fault of the one who said it.
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

/// Why an input cannot be true of a deployment, or comes too early or too late.
///
/// ```
/// use fhir_devices::update::deployment::Refusal;
/// assert_eq!(Refusal::Gone.to_string(), "the offer is no longer good, and no bytes are given for it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The deployment is of another lane.
    #[error("the deployment is of another lane")]
    OtherLane,
    /// The lane does not go on.
    #[error("the lane of the rollout does not offer anything now")]
    NotOpen,
    /// The wave of the component has not begun.
    #[error("the wave of the component has not begun")]
    NotItsWave,
    /// As many devices are at work as may be, or offers follow each other too fast.
    #[error("as many devices are at work as may be")]
    Full,
    /// The lane had as many failures as it may.
    #[error("the lane of the rollout had as many failures as it may")]
    Tripped,
    /// Another deployment is in the way, or no more offers can be numbered.
    #[error(transparent)]
    NotFree(#[from] NotFree),
    /// The manifest, or what was accepted before, does not allow it.
    #[error("the component may not have the update now")]
    NotAdmitted,
    /// The time has not come.
    #[error("the time has not come")]
    NotDue,
    /// It is being offered, or was.
    #[error("the component has an offer already")]
    AlreadyOffered,
    /// The number is of another offer than the one that there is.
    #[error("the deployment has no such offer now")]
    OtherAction,
    /// The attempt is none that was begun.
    #[error("the deployment has had no such attempt")]
    NoSuchAttempt,
    /// The offer is over: the bytes are gone for it.
    #[error("the offer is no longer good, and no bytes are given for it")]
    Gone,
    /// A gate is closed at this moment.
    #[error("a gate of the component is closed at this moment")]
    GateClosed,
    /// The report may be of anybody.
    #[error("the report is not known to be the device's")]
    NotAuthenticated,
    /// The lane goes on, so that nothing is taken back.
    #[error("the lane of the rollout takes nothing back")]
    NotDraining,
}
