//! Effects and their idempotency keys.

use super::State;
use crate::audit::UploadFailure;
use crate::manifest::IngestId;
use crate::primitive::Id;
use crate::store::{BlobRef, Generation, VersionId, WriteId};
use crate::support::names;
use sha2::Digest as _;
use std::fmt;
use time::OffsetDateTime;

/// Effect to perform. Performing it again with the same [`Effect::key`] changes nothing.
///
/// ```
/// use fhir_devices::update::ingest::Effect;
/// use fhir_devices::manifest::IngestId;
/// let key = Effect::FindTarget.key(IngestId(7));
/// assert_eq!(key.to_string(), "00000000000000000000000000000007/find-target");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Write and hash the bytes. Without bytes, wait for the deadline.
    ReceiveBytes {
        /// Deadline for the bytes.
        until: OffsetDateTime,
    },
    /// Hold the bytes in the blob ledger for this upload, which assigns their generation.
    HoldBytes {
        /// Digest and size.
        blob: BlobRef,
    },
    /// Make the bytes visible under their key, and record that in the blob ledger. If it is recorded already, discard
    /// the writer. A driver without the bytes asks the store for them.
    CommitBytes {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
    },
    /// Find the one target component, and look in it for a reference of this upload. If the state has a fixed
    /// component, no other can have the reference.
    FindTarget,
    /// Write the reference into the component, on condition that it still has this version.
    WriteReference {
        /// Target component.
        component: Id,
        /// Version of the component that was read.
        version: VersionId,
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
    },
    /// Remove the reference of this upload from the component, on condition that the component has the version that was
    /// read. Write the component even without a reference in it: that makes a late writer fail.
    DropReference {
        /// Target component.
        component: Id,
    },
    /// Set the status `withdrawn` in the reference of this upload, on condition that the component has the version that
    /// was read. Write the component even without a reference in it: that makes a late writer fail.
    MarkWithdrawn {
        /// Target component.
        component: Id,
    },
    /// Make the reference of this upload the current one, on condition that the component has the version that was
    /// read, unless the count in the reference shows that this was done already. The record is read again between
    /// reading and writing the component.
    RestoreReference {
        /// Target component.
        component: Id,
        /// Number of times that the update was made current again, including this time.
        restored: u32,
    },
    /// Release the hold of this upload in the blob ledger.
    ReleaseBytes {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
    },
}

names! {
    /// Name of an [`Effect`].
    ///
    /// ```
    /// use fhir_devices::update::ingest::EffectName;
    /// assert_eq!(EffectName::DropReference.to_string(), "drop-reference");
    /// ```
    EffectName {
        /// [`Effect::ReceiveBytes`].
        ReceiveBytes = "receive-bytes",
        /// [`Effect::HoldBytes`].
        HoldBytes = "hold-bytes",
        /// [`Effect::CommitBytes`].
        CommitBytes = "commit-bytes",
        /// [`Effect::FindTarget`].
        FindTarget = "find-target",
        /// [`Effect::WriteReference`].
        WriteReference = "write-reference",
        /// [`Effect::DropReference`].
        DropReference = "drop-reference",
        /// [`Effect::MarkWithdrawn`].
        MarkWithdrawn = "mark-withdrawn",
        /// [`Effect::RestoreReference`].
        RestoreReference = "restore-reference",
        /// [`Effect::ReleaseBytes`].
        ReleaseBytes = "release-bytes",
    }
}

impl Effect {
    /// Returns the name of the effect.
    #[must_use]
    pub const fn name(&self) -> EffectName {
        match self {
            Self::ReceiveBytes { .. } => EffectName::ReceiveBytes,
            Self::HoldBytes { .. } => EffectName::HoldBytes,
            Self::CommitBytes { .. } => EffectName::CommitBytes,
            Self::FindTarget => EffectName::FindTarget,
            Self::WriteReference { .. } => EffectName::WriteReference,
            Self::DropReference { .. } => EffectName::DropReference,
            Self::MarkWithdrawn { .. } => EffectName::MarkWithdrawn,
            Self::RestoreReference { .. } => EffectName::RestoreReference,
            Self::ReleaseBytes { .. } => EffectName::ReleaseBytes,
        }
    }

    /// Returns the idempotency key.
    #[must_use]
    pub const fn key(&self, ingest: IngestId) -> EffectKey {
        EffectKey { ingest, effect: self.name() }
    }
}

/// Idempotency key of an effect of an upload.
///
/// ```
/// use fhir_devices::store::WriteId;
/// use fhir_devices::update::ingest::{EffectKey, EffectName};
/// use fhir_devices::manifest::IngestId;
/// let attach = EffectKey { ingest: IngestId(7), effect: EffectName::WriteReference };
/// assert_eq!(attach.write_id(), WriteId(7));
/// assert_ne!(EffectKey { effect: EffectName::DropReference, ..attach }.write_id(), WriteId(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectKey {
    /// Id of the upload.
    pub ingest: IngestId,
    /// Name of the effect.
    pub effect: EffectName,
}

impl EffectKey {
    /// Returns the write id for a resource store: the id of the upload for its reference, and a digest of the key for
    /// every other effect.
    #[must_use]
    pub fn write_id(&self) -> WriteId {
        if self.effect == EffectName::WriteReference {
            return WriteId(self.ingest.0);
        }
        let digest: [u8; 32] = sha2::Sha256::digest(self.to_string()).into();
        WriteId(digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ingest, self.effect)
    }
}

/// Returns the outstanding effect of a state.
///
/// ```
/// use fhir_devices::update::ingest::{State, resume};
/// use fhir_devices::audit::UploadFailure;
/// assert_eq!(resume(&State::Closed { reason: UploadFailure::Withdrawn }), None);
/// ```
#[must_use]
pub fn resume(state: &State) -> Option<Effect> {
    match state {
        State::Open { deadline } => Some(Effect::ReceiveBytes { until: *deadline }),
        State::Acquired { blob, generation, .. } => Some(Effect::CommitBytes { blob: *blob, generation: *generation }),
        State::Stored { .. } => Some(Effect::FindTarget),
        State::Restoring { component, restored, .. } => {
            Some(Effect::RestoreReference { component: component.clone(), restored: *restored })
        }
        State::Releasing { component: Some(component), reason: UploadFailure::Withdrawn, .. } => {
            Some(Effect::MarkWithdrawn { component: component.clone() })
        }
        State::Releasing { component: Some(component), .. } => {
            Some(Effect::DropReference { component: component.clone() })
        }
        State::Releasing { blob, generation, component: None, .. }
        | State::Withdrawn { blob, generation, released: false, .. } => {
            Some(Effect::ReleaseBytes { blob: *blob, generation: *generation })
        }
        State::Attached { .. }
        | State::Superseded { .. }
        | State::Withdrawn { released: true, .. }
        | State::Closed { .. } => None,
    }
}
