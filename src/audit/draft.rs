//! The draft of an audit record.

use super::{EventText, Holder, UploadFailure};
use crate::manifest::{ActorId, DowngradeAuthorization, IngestId};
use crate::primitive::{Id, Text, moment};
use crate::store::{BlobRef, Generation, Sha256, VersionId};
use crate::support::names;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

names! {
    /// The action.
    ///
    /// ```
    /// use fhir_devices::audit::Action;
    /// assert_eq!("attached".parse(), Ok(Action::Attached));
    /// ```
    Action {
        /// An upload was opened.
        Opened = "opened",
        /// Bytes arrived, and the deadline was extended.
        Extended = "extended",
        /// All bytes arrived, and the blob ledger holds them for it.
        Acquired = "acquired",
        /// Its bytes are in the store.
        Stored = "stored",
        /// The target component was fixed, and the sequence number accepted.
        Targeted = "targeted",
        /// The component was changed by others; the write is retried.
        Retried = "retried",
        /// The component refers to it.
        Attached = "attached",
        /// A later update superseded it.
        Superseded = "superseded",
        /// The upload was withdrawn.
        Withdrawn = "withdrawn",
        /// An actor asked to make it current again.
        Restored = "restored",
        /// The component shows it as current again.
        MadeCurrent = "made-current",
        /// The component has no reference that could be made current again.
        NotRestored = "not-restored",
        /// The component shows it as withdrawn.
        Marked = "marked",
        /// The update is retired, as a later one superseded it.
        Retired = "retired",
        /// The upload failed, with a reason.
        Failed = "failed",
        /// The component no longer refers to it.
        Detached = "detached",
        /// Nothing is held for the upload.
        Closed = "closed",
        /// A holder needs the bytes.
        Held = "held",
        /// The bytes are readable.
        Committed = "committed",
        /// A holder no longer needs the bytes.
        Released = "released",
        /// No holder needs the bytes; they are to be deleted.
        Condemned = "condemned",
        /// The bytes are deleted.
        Gone = "gone",
        /// A file that the ledger does not know is put into quarantine.
        Quarantined = "quarantined",
        /// A file is taken out of quarantine: the ledger knows it.
        Readmitted = "readmitted",
        /// A file that the ledger does not know was deleted after its quarantine.
        Swept = "swept",
        /// A file was found to be missing, or not to be what its digest says.
        Damaged = "damaged",
        /// An upload was moved from a damaged copy of its bytes to another copy.
        Repaired = "repaired",
        /// A damaged file is no longer needed, or was found to be whole.
        DamageCleared = "damage-cleared",
        /// The ledger was given a store of update files that belonged to another ledger or to none.
        StoreAdopted = "store-adopted",
        /// The component was found without its reference, or with a changed one, and it is written again.
        Reattached = "reattached",
        /// The component was found without its reference, and the upload is given up.
        Lost = "lost",
        /// A reference that belongs to no upload of the component is taken out of it.
        ReferenceRemoved = "reference-removed",
        /// The record of an upload that ended, or of bytes that are deleted, was kept for its time and is removed.
        Forgotten = "forgotten",
        /// The highest sequence number that a component accepted was lowered.
        SequenceLowered = "sequence-lowered",
        /// A release, a rollout, a lane or a deployment took the step that the event of the record tells.
        Distributed = "distributed",
        /// The chain of a lane was as long at this time, and ended with this digest, as the event of the record tells.
        LaneSealed = "lane-sealed",
    }
}

names! {
    /// The name of a state, of an upload, of a blob, or of what a component accepted.
    ///
    /// ```
    /// use fhir_devices::audit::StateName;
    /// assert_eq!(StateName::Acquired.to_string(), "acquired");
    /// ```
    StateName {
        /// [`ingest::State::Open`](crate::update::ingest::State::Open).
        Open = "open",
        /// [`ingest::State::Acquired`](crate::update::ingest::State::Acquired).
        Acquired = "acquired",
        /// [`ingest::State::Stored`](crate::update::ingest::State::Stored).
        Stored = "stored",
        /// [`ingest::State::Attached`](crate::update::ingest::State::Attached).
        Attached = "attached",
        /// [`ingest::State::Superseded`](crate::update::ingest::State::Superseded).
        Superseded = "superseded",
        /// [`ingest::State::Restoring`](crate::update::ingest::State::Restoring).
        Restoring = "restoring",
        /// [`ingest::State::Withdrawn`](crate::update::ingest::State::Withdrawn).
        Withdrawn = "withdrawn",
        /// [`ingest::State::Releasing`](crate::update::ingest::State::Releasing).
        Releasing = "releasing",
        /// [`ingest::State::Closed`](crate::update::ingest::State::Closed).
        Closed = "closed",
        /// [`blob::State::Live`](crate::update::blob::State::Live).
        Live = "live",
        /// [`blob::State::Condemned`](crate::update::blob::State::Condemned).
        Condemned = "condemned",
        /// [`blob::State::Gone`](crate::update::blob::State::Gone).
        Gone = "gone",
        /// A file that the ledger does not know waits for its deletion.
        Quarantined = "quarantined",
        /// A file is not what its digest says.
        Damaged = "damaged",
        /// The store of update files and the ledger have a common id.
        Paired = "paired",
        /// What [`Accepted`](crate::update::Accepted) says of a component and a provider.
        Accepted = "accepted",
        /// The state that the event of the record tells.
        Told = "told",
    }
}

/// The draft of an audit record: plain data without secrets, addresses or patient data.
///
/// The one who writes the record adds what belongs to the chain. The fields tell the state that the transition leads to,
/// so that the records of an upload or a blob, read in their order, rebuild it.
///
/// ```
/// use fhir_devices::audit::{Action, AuditDraft, StateName};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let draft = AuditDraft::new(now, Action::Opened, None, StateName::Open);
/// assert_eq!(draft.actor, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditDraft {
    /// When, by the clock of the service.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// The action.
    pub action: Action,
    /// The actor; `None` where the service acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// The state before; `None` at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StateName>,
    /// The state after.
    pub to: StateName,
    /// Why it failed or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<UploadFailure>,
    /// The comment of the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Text>,
    /// The upload; `None` for what happens to a blob by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestId>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Id>,
    /// The component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Id>,
    /// The version of the component that was the first to refer to the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_version: Option<VersionId>,
    /// The bytes: digest and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
    /// The generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The holder of the bytes, or the former one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The provider of the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Text>,
    /// The version of the update, as its provider names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// Its place among the updates of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// The leave by which a sequence number was accepted that is not higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Box<DowngradeAuthorization>>,
    /// The digest of the bytes for which the version stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Sha256>,
    /// The version that the component reported, where that of the update is lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Text>,
    /// The update that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<IngestId>,
    /// How often it was made current again, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u32>,
    /// How often the component was written to by others meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u16>,
    /// Until when the state may last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub deadline: Option<OffsetDateTime>,
    /// What a release, a rollout, a lane or a deployment did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventText>,
}

impl AuditDraft {
    /// A draft that says no more than this.
    #[must_use]
    pub const fn new(at: OffsetDateTime, action: Action, from: Option<StateName>, to: StateName) -> Self {
        Self {
            at,
            action,
            actor: None,
            from,
            to,
            reason: None,
            comment: None,
            ingest: None,
            device: None,
            component: None,
            component_version: None,
            blob: None,
            generation: None,
            holder: None,
            provider: None,
            version: None,
            sequence: None,
            manifest: None,
            downgrade: None,
            replaces: None,
            reported: None,
            superseded_by: None,
            restored: None,
            attempts: None,
            deadline: None,
            event: None,
        }
    }
}
