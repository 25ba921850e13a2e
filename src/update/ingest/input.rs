//! Inputs of the upload machine, and its steps.

use super::super::VersionClaim;
use super::{Effect, State};
use crate::audit::AuditDraft;
use crate::audit::UploadFailure;
use crate::manifest::{Acceptance, ActorId, IngestId};
use crate::primitive::{Id, Text};
use crate::store::{BlobRef, Generation, VersionId};
use time::OffsetDateTime;

/// An input of the upload machine.
///
/// ```
/// use fhir_devices::update::ingest::Input;
/// use fhir_devices::audit::UploadFailure;
/// assert_ne!(Input::TargetLost, Input::CheckFailed { reason: UploadFailure::Empty });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Some bytes have come, and more are expected.
    Progressed,
    /// All bytes have passed, and are still invisible.
    BytesReceived {
        /// What they are, as measured.
        blob: BlobRef,
    },
    /// The bytes failed a check during the upload or the commit.
    CheckFailed {
        /// Which check.
        reason: UploadFailure,
    },
    /// The blob ledger holds the bytes for this upload.
    BytesHeld {
        /// Digest and size.
        blob: BlobRef,
        /// The generation.
        generation: Generation,
    },
    /// The bytes are visible under their name, whole, and the blob ledger says so.
    BytesCommitted {
        /// The generation.
        generation: Generation,
    },
    /// The deadline of the state may have passed. For acquired bytes, the store was asked and does not have them.
    DeadlineReached,
    /// The one component that is meant was read, without a reference of this upload in it. After that, this record and the
    /// records of what was accepted for the component were read, in this order or together.
    TargetRead {
        /// The component.
        component: Id,
        /// The version of it that was read.
        version: VersionId,
        /// What was last accepted for it from the provider of this upload, or from any for one without a sequence number.
        accepted: Option<Acceptance>,
        /// What the version of this upload stands for.
        claim: Option<VersionClaim>,
        /// The versions that the component reports, of the kind that this upload changes.
        reported: Vec<String>,
    },
    /// The component that was meant is no longer there, or no longer the only one.
    TargetLost,
    /// The update is not admitted: by its manifest, its signatures, or a rule of the tenant.
    NotAdmitted {
        /// What, in words.
        why: Option<Text>,
    },
    /// The component refers to the bytes.
    ReferenceWritten {
        /// The component.
        component: Id,
        /// The version of it that was the first to do so.
        version: VersionId,
    },
    /// Another writer changed the component between read and write.
    Conflicted {
        /// Which attempt failed: the number that the state gave.
        attempt: u16,
    },
    /// Another update took its place in the component.
    Superseded {
        /// That update.
        by: IngestId,
        /// How often the reference that lost its place had been made current again. What was seen before it was made current
        /// again says nothing any more.
        restored: u32,
    },
    /// An actor asked to make it current again, replacing the update that superseded it.
    RestoreRequested {
        /// The actor.
        by: ActorId,
        /// The reason.
        why: Text,
    },
    /// The component shows it as current again.
    ReferenceRestored {
        /// The component.
        component: Id,
        /// The number of times that it was made current again, by the reference.
        restored: u32,
    },
    /// The component has no reference that could be made current again, or is gone.
    RestoreFailed,
    /// The component was read and does not refer to the bytes, or not as it was made to, and after it this record was read.
    /// The reference is written again next, on the condition that the component still has this version.
    ReferenceMissing {
        /// The component.
        component: Id,
        /// The version of it that was read.
        version: VersionId,
    },
    /// The same, and the reference is not written again.
    ReferenceLost {
        /// The component.
        component: Id,
        /// The version of it that was read, or that its deletion has; none where the store tells of neither.
        version: Option<VersionId>,
    },
    /// The upload was withdrawn.
    Withdrawn {
        /// The actor.
        by: ActorId,
        /// The reason.
        why: Text,
    },
    /// The upload is retired, as a later update superseded it.
    Retired {
        /// The actor who decided so; `None` for a rule of the service.
        by: Option<ActorId>,
    },
    /// The component was written to, or is gone, and has no reference of this upload.
    ReferenceDropped {
        /// The component.
        component: Id,
    },
    /// The reference of this upload in the component says that it is withdrawn.
    ReferenceMarked {
        /// The component.
        component: Id,
        /// Until when it goes on to say so.
        until: OffsetDateTime,
    },
    /// The time for which a withdrawn update is shown may be over.
    RetentionEnded,
    /// The blob ledger no longer holds the bytes for this upload.
    BytesReleased {
        /// The generation.
        generation: Generation,
    },
    /// The blob ledger holds another writing of the same bytes for this upload: the one before is damaged.
    Moved {
        /// The other writing.
        generation: Generation,
    },
}

/// A transition: what to write in one ledger commit, and the effect after it.
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
    /// The state.
    pub state: State,
    /// The new accepted sequence number of the component, if it changes. Write it with the state or before it.
    pub accepted: Option<Acceptance>,
    /// What the version of the upload stands for with this step, where that is new. It is to be written with the state or
    /// before it.
    pub claim: Option<VersionClaim>,
    /// Its audit record.
    pub audit: AuditDraft,
    /// What is to be done once it is written: that of [`resume`](super::resume), or the next part of it.
    pub effect: Option<Effect>,
}

/// The result of an input.
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

/// Why an input of the upload machine is refused.
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
    /// The reference is written in another place or version.
    #[error("the reference is written already")]
    AlreadyAttached,
    /// No component refers to the bytes yet.
    #[error("the upload is not attached yet")]
    NotAttached,
    /// No later update superseded it.
    #[error("the upload is not superseded")]
    NotSuperseded,
    /// The deadline has not come.
    #[error("the deadline has not come yet")]
    NotDue,
    /// The upload is not being released.
    #[error("the upload is not being released")]
    NotReleasing,
    /// The component has not been written to, and may still refer to the bytes.
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
