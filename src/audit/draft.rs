//! Draft of an audit record.

use super::{EventText, Holder, UploadFailure};
use crate::manifest::{ActorId, DowngradeAuthorization, IngestId};
use crate::primitive::{Id, Text, moment};
use crate::store::{BlobRef, Generation, Sha256, VersionId};
use crate::support::names;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

names! {
    /// Action of an audit record.
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
        /// All bytes arrived, and the blob ledger holds them for the upload.
        Acquired = "acquired",
        /// The bytes of the upload are in the store.
        Stored = "stored",
        /// The target component was fixed, and the sequence number accepted.
        Targeted = "targeted",
        /// Another writer changed the component; the write is retried.
        Retried = "retried",
        /// The component refers to the update.
        Attached = "attached",
        /// A later update superseded the update.
        Superseded = "superseded",
        /// The upload was withdrawn.
        Withdrawn = "withdrawn",
        /// An actor asked to make the update current again.
        Restored = "restored",
        /// The component shows the update as current again.
        MadeCurrent = "made-current",
        /// The component has no reference that could be made current again.
        NotRestored = "not-restored",
        /// The component shows the update as withdrawn.
        Marked = "marked",
        /// The update is retired after a later one superseded it.
        Retired = "retired",
        /// The upload failed, with a reason.
        Failed = "failed",
        /// The component no longer refers to the update.
        Detached = "detached",
        /// Nothing is held for the upload.
        Closed = "closed",
        /// A holder for the bytes was added.
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
        /// A file is missing, or its bytes do not match its digest.
        Damaged = "damaged",
        /// An upload was moved from a damaged copy of its bytes to another copy.
        Repaired = "repaired",
        /// A damaged file is no longer needed, or was found to be intact.
        DamageCleared = "damage-cleared",
        /// The ledger was paired with a store of update files that belonged to another ledger or to none.
        StoreAdopted = "store-adopted",
        /// The component lost its reference or has a changed one, and is written again.
        Reattached = "reattached",
        /// The component lost its reference, and the upload is given up.
        Lost = "lost",
        /// A reference without an upload is removed from the component.
        ReferenceRemoved = "reference-removed",
        /// The record of a finished upload or of deleted bytes is removed after its retention time.
        Forgotten = "forgotten",
        /// The highest sequence number that a component accepted was lowered.
        SequenceLowered = "sequence-lowered",
        /// A release, rollout, lane or deployment made the step described by the event.
        Distributed = "distributed",
        /// The chain of a lane was recorded with its length and last digest, given by the event.
        LaneSealed = "lane-sealed",
    }
}

names! {
    /// State of an upload, a blob, a file, or an accepted update in an audit record.
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
        /// An unknown file is waiting for its deletion.
        Quarantined = "quarantined",
        /// The bytes of a file do not match its digest.
        Damaged = "damaged",
        /// The store of update files and the ledger share an id.
        Paired = "paired",
        /// State of [`Accepted`](crate::update::Accepted) for a component and a provider.
        Accepted = "accepted",
        /// The state is described by the event.
        Told = "told",
    }
}

/// Draft of an audit record: plain data without secrets, URLs or patient data.
///
/// The writer of the record adds the members of the chain. The fields describe the state after the transition, so that
/// the records of an upload or a blob, read in order, rebuild it.
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
    /// Time by the clock of the service.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// Action that was carried out.
    pub action: Action,
    /// Actor that asked for the action; `None` where the service acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// State before; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StateName>,
    /// State after.
    pub to: StateName,
    /// Reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<UploadFailure>,
    /// Comment of the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Text>,
    /// Upload; `None` where the record is about a blob only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestId>,
    /// Device of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Id>,
    /// Target component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Id>,
    /// First version of the component that refers to the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_version: Option<VersionId>,
    /// The bytes: digest and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
    /// The generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Current or former holder of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Provider of the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Text>,
    /// Version of the update, as named by its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// Sequence number of the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Digest of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// Authorization by which a sequence number was accepted that is not higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Box<DowngradeAuthorization>>,
    /// Digest of the bytes that had this version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Sha256>,
    /// Version that the component reported, where the update's is lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Text>,
    /// Update that superseded this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<IngestId>,
    /// How often the update was made current again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u32>,
    /// Number of write conflicts on the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u16>,
    /// Deadline of the state.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub deadline: Option<OffsetDateTime>,
    /// Event of a release, rollout, lane or deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventText>,
}

impl AuditDraft {
    /// Creates a draft with these fields only.
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
