//! Audit events of releases, rollouts, lanes and deployments.

use super::super::deployment::Deployment;
use super::super::release::Release;
use super::{DeploymentId, Lane, LaneHead, Rollout, RolloutId};
use crate::audit::{self, AuditDraft, EventText, StateName};
use crate::manifest::{ActorId, Note, ReleaseId};
use crate::primitive::{Text, moment};
use crate::store::Sha256;
use crate::support::names;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

names! {
    /// An action on a release, a rollout, a lane or a deployment.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Action;
    /// assert_eq!("claimed".parse(), Ok(Action::Claimed));
    /// ```
    Action {
        /// A release was announced.
        ReleaseDrafted = "release-drafted",
        /// Bytes of a release are held for it.
        BytesHeld = "bytes-held",
        /// The SHA-1 digest of some bytes was computed.
        BytesHashed = "bytes-hashed",
        /// A release may be rolled out.
        Released = "released",
        /// A release may be rolled out no more.
        ReleaseWithdrawn = "release-withdrawn",
        /// The bytes of a release are held for it no more.
        HoldsReleased = "holds-released",
        /// A rollout was asked for.
        RolloutDrafted = "rollout-drafted",
        /// A rollout waits for those who approve it, or for its start.
        RolloutSubmitted = "rollout-submitted",
        /// Somebody approved a rollout.
        RolloutApproved = "rollout-approved",
        /// Somebody denied a rollout.
        RolloutDenied = "rollout-denied",
        /// Some components of a rollout were planned.
        RolloutPlanned = "rollout-planned",
        /// A rollout goes on.
        RolloutRunning = "rollout-running",
        /// The conditions for the next wave hold since now, or hold no more.
        WaveSoaking = "wave-soaking",
        /// A rollout is being stopped, as a criterion is met.
        RolloutHalting = "rollout-halting",
        /// A rollout has stopped in all lanes.
        RolloutHalted = "rollout-halted",
        /// A rollout is being paused.
        RolloutPausing = "rollout-pausing",
        /// A rollout is paused in all lanes.
        RolloutPaused = "rollout-paused",
        /// A rollout is being cancelled.
        RolloutCancelling = "rollout-cancelling",
        /// A rollout is cancelled in all lanes.
        RolloutCancelled = "rollout-cancelled",
        /// Another rollout took the place of this one in all lanes.
        RolloutSuperseded = "rollout-superseded",
        /// A rollout has come to its end.
        RolloutCompleted = "rollout-completed",
        /// A lane goes on.
        LaneOpened = "lane-opened",
        /// A lane has stopped.
        LaneStopped = "lane-stopped",
        /// A lane takes back what it offered.
        LaneDrained = "lane-drained",
        /// A lane waits for its region.
        LaneRested = "lane-rested",
        /// Shares were moved from one lane to another.
        SharesMoved = "shares-moved",
        /// A lane may have more failures, as more components are done.
        SharesMade = "shares-made",
        /// A component has its place in a lane.
        Planned = "planned",
        /// Gates hold a component back.
        Held = "held",
        /// Gates hold a component back no more.
        Opened = "opened",
        /// A device is to be offered the update.
        Offering = "offering",
        /// The slot of the component has the offer.
        Offered = "offered",
        /// The slot of the component was found without its offer.
        OfferLost = "offer-lost",
        /// The device was given the bytes.
        Claimed = "claimed",
        /// The device reports its progress.
        Phase = "phase",
        /// The device is to be asked to stop.
        StopRequested = "stop-requested",
        /// The device, or its slot, says that it is to stop.
        StopAnswered = "stop-answered",
        /// The offer is being taken back.
        Retracting = "retracting",
        /// Another attempt follows.
        Retried = "retried",
        /// The deployment has ended.
        Done = "done",
        /// The slot has nothing of the deployment any more, or was found to have it again.
        SlotCleared = "slot-cleared",
    }
}

/// The record as a transition left it. Records read in their order rebuild every state.
///
/// Part of an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum After {
    /// Of a release.
    Release(Box<Release>),
    /// Of a rollout.
    Rollout(Box<Rollout>),
    /// Of a lane.
    Lane(Box<LaneHead>),
    /// Of a deployment.
    Deployment(Box<Deployment>),
}

/// What an audit record says of one transition: plain data, without secrets, addresses, or anything of a patient.
///
/// ```
/// use fhir_devices::update::rollout::{Event, Lane, LaneHead, RolloutId, RolloutRequest, Spec};
/// use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::update::rollout::*;
/// # let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// let opened = LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) };
/// let event: Event = lane.step(&opened, time::OffsetDateTime::UNIX_EPOCH)?.unwrap().event;
/// let line = serde_json::to_string(&event)?;
/// assert_eq!(serde_json::from_str::<Event>(&line)?, event);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When, by the clock of the service. In a lane it never goes back.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// The action.
    pub action: Action,
    /// The actor; `None` where the service went on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// The comment of the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Note>,
    /// The release, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// The rollout, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// The lane, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// The deployment, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// The digest of the report that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Sha256>,
    /// The record as it is now.
    pub after: After,
}

impl Event {
    /// Returns what a record of an audit chain says of it.
    ///
    /// ```
    /// # use fhir_devices::manifest::ReleaseId;
    /// # use fhir_devices::update::rollout::*;
    /// # let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
    /// # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
    /// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
    /// let event = lane.step(&LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, now)?.unwrap().event;
    /// assert_eq!(Event::of_audit(&event.draft()), Some(event));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn draft(&self) -> AuditDraft {
        let mut draft = AuditDraft::new(self.at, audit::Action::Distributed, None, StateName::Told);
        draft.actor = self.actor.clone();
        draft.comment = self.comment.as_ref().and_then(|note| Text::new(note.as_str()).ok());
        if let After::Deployment(deployment) = &self.after {
            (draft.device, draft.component) = (Some(deployment.device.clone()), Some(deployment.component.clone()));
        }
        draft.event = EventText::of(self);
        draft
    }

    /// Returns the event of which a record tells; `None` where it tells of none that this version of the crate can
    /// read.
    #[must_use]
    pub fn of_audit(draft: &AuditDraft) -> Option<Self> {
        let text = draft.event.as_ref().filter(|_| draft.action == audit::Action::Distributed)?;
        let event: Self = serde_json::from_str(text.as_str()).ok()?;
        // One event has one text.
        (serde_json::to_string(&event).ok()? == text.as_str()).then_some(event)
    }

    pub(in super::super) const fn new(at: OffsetDateTime, action: Action, rollout: RolloutId, after: After) -> Self {
        Self {
            at,
            action,
            actor: None,
            comment: None,
            release: None,
            rollout: Some(rollout),
            lane: None,
            deployment: None,
            report: None,
            after,
        }
    }
}
