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
    /// Action on a release, a rollout, a lane or a deployment.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Action;
    /// assert_eq!("claimed".parse(), Ok(Action::Claimed));
    /// ```
    Action {
        /// A release was drafted.
        ReleaseDrafted = "release-drafted",
        /// Bytes of a release are held for it.
        BytesHeld = "bytes-held",
        /// The SHA-1 digest of a file was computed.
        BytesHashed = "bytes-hashed",
        /// A release may be rolled out.
        Released = "released",
        /// A release can no longer be rolled out.
        ReleaseWithdrawn = "release-withdrawn",
        /// The holds of a release on its bytes were released.
        HoldsReleased = "holds-released",
        /// A rollout was drafted.
        RolloutDrafted = "rollout-drafted",
        /// A rollout awaits its approval or start.
        RolloutSubmitted = "rollout-submitted",
        /// An actor approved a rollout.
        RolloutApproved = "rollout-approved",
        /// An actor denied a rollout.
        RolloutDenied = "rollout-denied",
        /// Some components of a rollout were planned.
        RolloutPlanned = "rollout-planned",
        /// A rollout runs.
        RolloutRunning = "rollout-running",
        /// The conditions for the next wave began to hold, or ceased to.
        WaveSoaking = "wave-soaking",
        /// A rollout is being halted, because a stop criterion is met.
        RolloutHalting = "rollout-halting",
        /// A rollout is halted in all lanes.
        RolloutHalted = "rollout-halted",
        /// A rollout is being paused.
        RolloutPausing = "rollout-pausing",
        /// A rollout is paused in all lanes.
        RolloutPaused = "rollout-paused",
        /// A rollout is being cancelled.
        RolloutCancelling = "rollout-cancelling",
        /// A rollout is cancelled in all lanes.
        RolloutCancelled = "rollout-cancelled",
        /// Another rollout superseded this one in all lanes.
        RolloutSuperseded = "rollout-superseded",
        /// A rollout is completed.
        RolloutCompleted = "rollout-completed",
        /// A lane was opened.
        LaneOpened = "lane-opened",
        /// A lane was stopped.
        LaneStopped = "lane-stopped",
        /// A lane retracts its offers.
        LaneDrained = "lane-drained",
        /// A lane waits for its region.
        LaneRested = "lane-rested",
        /// Shares were moved from one lane to another.
        SharesMoved = "shares-moved",
        /// The failure allowance of a lane was raised, as more components are done.
        SharesMade = "shares-made",
        /// A component was planned in a lane.
        Planned = "planned",
        /// Closed gates hold a component back.
        Held = "held",
        /// The gates of a component are open again.
        Opened = "opened",
        /// An offer is being written to the slot.
        Offering = "offering",
        /// The slot of the component has the offer.
        Offered = "offered",
        /// The slot of the component lost its offer.
        OfferLost = "offer-lost",
        /// The device claimed the bytes.
        Claimed = "claimed",
        /// The device reported its progress.
        Phase = "phase",
        /// A stop of the device was requested.
        StopRequested = "stop-requested",
        /// The slot or the device acknowledged the stop.
        StopAnswered = "stop-answered",
        /// The offer is being retracted.
        Retracting = "retracting",
        /// Another attempt follows.
        Retried = "retried",
        /// The deployment has ended.
        Done = "done",
        /// The slot was cleared of the deployment, or was found to have its offer again.
        SlotCleared = "slot-cleared",
    }
}

/// Record after a transition. The records, read in order, rebuild every state.
///
/// Part of an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum After {
    /// Record of a release.
    Release(Box<Release>),
    /// Record of a rollout.
    Rollout(Box<Rollout>),
    /// Record of a lane.
    Lane(Box<LaneHead>),
    /// Record of a deployment.
    Deployment(Box<Deployment>),
}

/// Content of an audit record about one transition: plain data without secrets, URLs or patient data.
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
    /// Time by the clock of the service. It never decreases within a lane.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// Action of the event.
    pub action: Action,
    /// Actor; `None` where the service acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// Comment of the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Note>,
    /// Release of the event, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Rollout of the event, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// Lane of the event, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// Deployment of the event, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// Digest of the report that caused the transition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Sha256>,
    /// Record after the transition.
    pub after: After,
}

impl Event {
    /// Creates the draft of the audit record for this event.
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

    /// Returns the event of an audit record; `None` if it has none that this version of the crate can parse.
    #[must_use]
    pub fn of_audit(draft: &AuditDraft) -> Option<Self> {
        let text = draft.event.as_ref().filter(|_| draft.action == audit::Action::Distributed)?;
        let event: Self = serde_json::from_str(text.as_str()).ok()?;
        // Each event has exactly one text.
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
