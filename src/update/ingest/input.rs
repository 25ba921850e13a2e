//! Inputs of the upload machine, and its steps.

use super::super::VersionClaim;
use super::{Effect, State};
use crate::audit::AuditDraft;
use crate::audit::UploadFailure;
use crate::manifest::{Acceptance, ActorId, IngestId};
use crate::primitive::{Id, Text};
use crate::store::{BlobRef, Generation, VersionId};
use time::OffsetDateTime;

/// Input of the upload machine.
///
/// ```
/// use fhir_devices::update::ingest::Input;
/// use fhir_devices::audit::UploadFailure;
/// assert_ne!(Input::TargetLost, Input::CheckFailed { reason: UploadFailure::Empty });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Some bytes arrived, and more are expected.
    Progressed,
    /// All bytes arrived, and are not visible yet.
    BytesReceived {
        /// Digest and size, as measured.
        blob: BlobRef,
    },
    /// The bytes failed a check during the upload or the commit.
    CheckFailed {
        /// Failed check.
        reason: UploadFailure,
    },
    /// The blob ledger holds the bytes for this upload.
    BytesHeld {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
    },
    /// The bytes are visible under their key, complete, and the blob ledger records it.
    BytesCommitted {
        /// Generation of the blob.
        generation: Generation,
    },
    /// The deadline of the state may have passed. For acquired bytes, the store was asked and does not have them.
    DeadlineReached,
    /// The one target component was read and has no reference of this upload. Then this record and the acceptance
    /// records of the component were read, in this order or together.
    TargetRead {
        /// Target component.
        component: Id,
        /// Version of the component that was read.
        version: VersionId,
        /// Last accepted update of this upload's provider for the component, or of any provider for an upload without
        /// sequence number.
        accepted: Option<Acceptance>,
        /// Recorded claim of the upload's version.
        claim: Option<VersionClaim>,
        /// Versions that the component reports, of the kind that this upload changes.
        reported: Vec<String>,
    },
    /// The target component no longer exists, or is no longer the only match.
    TargetLost,
    /// The update is not admitted: by its manifest, its signatures, or a rule of the tenant.
    NotAdmitted {
        /// Reason as free text.
        why: Option<Text>,
    },
    /// The component refers to the bytes.
    ReferenceWritten {
        /// Target component.
        component: Id,
        /// First version of the component with the reference.
        version: VersionId,
    },
    /// Another writer changed the component between read and write.
    Conflicted {
        /// Number of the failed attempt, as given by the state.
        attempt: u16,
    },
    /// Another update superseded this one in the component.
    Superseded {
        /// Superseding update.
        by: IngestId,
        /// Count of restorations in the superseded reference. An observation from before a restoration is ignored.
        restored: u32,
    },
    /// An actor asked to make the update current again, replacing the one that superseded it.
    RestoreRequested {
        /// Actor that asked for it.
        by: ActorId,
        /// Reason given.
        why: Text,
    },
    /// The component shows the update as current again.
    ReferenceRestored {
        /// Target component.
        component: Id,
        /// Count of restorations in the reference.
        restored: u32,
    },
    /// The component has no reference that could be made current again, or is gone.
    RestoreFailed,
    /// The component was read and lacks the reference or has a changed one, and this record was read after it. The
    /// reference is written again next, on condition that the component still has this version.
    ReferenceMissing {
        /// Target component.
        component: Id,
        /// Version of the component that was read.
        version: VersionId,
    },
    /// The component lacks the reference or has a changed one, and the reference is not written again.
    ReferenceLost {
        /// Target component.
        component: Id,
        /// Version of the component that was read, or of its deletion; `None` if the store reports neither.
        version: Option<VersionId>,
    },
    /// The upload was withdrawn.
    Withdrawn {
        /// Actor that withdrew it.
        by: ActorId,
        /// Reason given.
        why: Text,
    },
    /// The upload is retired after a later update superseded it.
    Retired {
        /// Actor that decided it; `None` for a rule of the service.
        by: Option<ActorId>,
    },
    /// The component was written or is gone, and has no reference of this upload.
    ReferenceDropped {
        /// Target component.
        component: Id,
    },
    /// The reference of this upload in the component is marked as withdrawn.
    ReferenceMarked {
        /// Target component.
        component: Id,
        /// End of the time for which the reference is shown.
        until: OffsetDateTime,
    },
    /// The time for which a withdrawn update is shown may have ended.
    RetentionEnded,
    /// The blob ledger no longer holds the bytes for this upload.
    BytesReleased {
        /// Generation of the blob.
        generation: Generation,
    },
    /// The blob ledger holds another generation of the same bytes for this upload: the previous one is damaged.
    Moved {
        /// The other generation.
        generation: Generation,
    },
}

/// Transition: what to write in one ledger commit, and the effect after it.
///
/// ```
/// # use fhir_devices::audit::UploadFailure;
/// # use fhir_devices::update::ingest::*;
/// # use fhir_devices::audit::Action;
/// # use fhir_devices::manifest::IngestId;
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let (ingest, _) = Ingest::open(IngestId(7), intent, Limits::default(), now);
/// let Step::Transition(transition) = step(&ingest, &Input::TargetLost, now)? else { panic!() };
/// assert_eq!(transition.state, State::Closed { reason: UploadFailure::TargetLost });
/// assert_eq!(transition.audit.action, Action::Failed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// New state.
    pub state: State,
    /// New accepted sequence number of the component, if it changes. Write it with the state or before it.
    pub accepted: Option<Acceptance>,
    /// New version claim of the upload, if it changes. Write it with the state or before it.
    pub claim: Option<VersionClaim>,
    /// Audit record of the transition.
    pub audit: AuditDraft,
    /// Effect to perform after the commit: that of [`resume`](super::resume), or its next part.
    pub effect: Option<Effect>,
}

/// Result of an input.
///
/// ```
/// use fhir_devices::update::ingest::{Effect, Step};
/// assert_ne!(Step::Unchanged, Step::Perform(Effect::FindTarget));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a step is looked at and taken apart at once")]
pub enum Step {
    /// The state changes.
    Transition(Transition),
    /// The state stays, and an effect is to be performed.
    Perform(Effect),
    /// The input was applied before, or is obsolete.
    Unchanged,
}

/// Reason why an input of the upload machine is refused.
///
/// ```
/// use fhir_devices::update::ingest::Refusal;
/// assert_eq!(Refusal::OtherContent.to_string(), "the upload has other bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes differ from the declared ones.
    #[error("the bytes are not those that were declared")]
    NotDeclared,
    /// The reason is not a fault of the bytes.
    #[error("the reason is no fault of the bytes")]
    NoFault,
    /// The bytes or their generation differ from the earlier ones.
    #[error("the upload has other bytes")]
    OtherContent,
    /// The bytes were committed before they were held.
    #[error("the bytes are not held yet")]
    NotHeld,
    /// The reference is to bytes that are not in the store.
    #[error("the bytes are not stored yet")]
    NotStored,
    /// The bytes are in the store and passed their checks.
    #[error("the bytes are stored already")]
    AlreadyStored,
    /// The component is not the recorded target.
    #[error("the upload is for another component")]
    OtherTarget,
    /// The attempt was not made.
    #[error("the attempt was not made yet")]
    NoSuchAttempt,
    /// The reference is written in another component or version.
    #[error("the reference is written already")]
    AlreadyAttached,
    /// No component refers to the bytes yet.
    #[error("the upload is not attached yet")]
    NotAttached,
    /// No later update superseded the upload.
    #[error("the upload is not superseded")]
    NotSuperseded,
    /// The input comes too early.
    #[error("the deadline has not come yet")]
    NotDue,
    /// The upload is not being released.
    #[error("the upload is not being released")]
    NotReleasing,
    /// The component was not written, and may still refer to the bytes.
    #[error("the component may still refer to the bytes")]
    StillReferenced,
    /// The upload was withdrawn.
    #[error("the upload is withdrawn")]
    Withdrawn,
    /// The upload is being released.
    #[error("the upload is being released")]
    Releasing,
    /// The upload has failed.
    #[error("the upload is closed")]
    Closed,
}
