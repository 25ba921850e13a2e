//! States of an upload.

use crate::audit::UploadFailure;
use crate::audit::{Action, AuditDraft, StateName};
use crate::manifest::IngestId;
use crate::primitive::Id;
use crate::store::{BlobKey, BlobRef, Generation, VersionId};
use time::OffsetDateTime;

/// State of an upload.
///
/// ```
/// use fhir_devices::store::{BlobRef, Generation};
/// use fhir_devices::update::ingest::State;
/// let blob = BlobRef::of(b"firmware");
/// let stored = State::Stored { blob, generation: Generation(1), target: None, attempts: 0 };
/// assert_eq!(stored.key(), Some(blob.key(Generation(1))));
/// assert!(!stored.is_end());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The intent is recorded; no bytes have arrived.
    Open {
        /// Deadline for the bytes.
        deadline: OffsetDateTime,
    },
    /// All bytes arrived, and the blob ledger holds their key for this upload. They may not be visible yet.
    Acquired {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// Deadline for the bytes.
        deadline: OffsetDateTime,
    },
    /// The bytes are in the store, complete and verified.
    Stored {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// The only component that may be written, once fixed. Its sequence number is then accepted.
        target: Option<Id>,
        /// Number of write conflicts.
        attempts: u16,
    },
    /// The component refers to the bytes.
    Attached {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// Component with the reference.
        component: Id,
        /// First version of the component with the reference.
        version: VersionId,
        /// Number of times that the update was made current again.
        restored: u32,
    },
    /// The component refers to the bytes, and to those of a later update.
    Superseded {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// Component with the reference.
        component: Id,
        /// First version of the component with the reference.
        version: VersionId,
        /// Update that superseded this one.
        by: IngestId,
        /// Number of times that the update was made current again.
        restored: u32,
    },
    /// An actor asked to make the update current again. The component may not show it yet.
    Restoring {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// Component with the reference.
        component: Id,
        /// First version of the component with the reference.
        version: VersionId,
        /// Update that superseded this one.
        by: IngestId,
        /// Number of times that the update was made current again, including this time.
        restored: u32,
    },
    /// The component shows the update as withdrawn. Its bytes may be deleted once the hold on them is released.
    Withdrawn {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// Component with the reference.
        component: Id,
        /// Time until which the component shows the withdrawal.
        until: OffsetDateTime,
        /// Whether the hold on the bytes is released.
        released: bool,
    },
    /// The upload is ending: the reference is removed or marked as withdrawn first, then the hold on the bytes is
    /// released.
    Releasing {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
        /// Component that may refer to the bytes, or that a late writer may still write. It is written in any case.
        component: Option<Id>,
        /// Reason of the end.
        reason: UploadFailure,
    },
    /// The upload has ended, and holds nothing.
    Closed {
        /// Reason of the end.
        reason: UploadFailure,
    },
}

impl State {
    /// Returns the name of the state.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Open { .. } => StateName::Open,
            Self::Acquired { .. } => StateName::Acquired,
            Self::Stored { .. } => StateName::Stored,
            Self::Attached { .. } => StateName::Attached,
            Self::Superseded { .. } => StateName::Superseded,
            Self::Restoring { .. } => StateName::Restoring,
            Self::Releasing { .. } => StateName::Releasing,
            Self::Withdrawn { .. } => StateName::Withdrawn,
            Self::Closed { .. } => StateName::Closed,
        }
    }

    /// Returns the held bytes and their generation.
    #[must_use]
    pub const fn held(&self) -> Option<(BlobRef, Generation)> {
        match self {
            Self::Open { .. } | Self::Withdrawn { released: true, .. } | Self::Closed { .. } => None,
            Self::Acquired { blob, generation, .. }
            | Self::Stored { blob, generation, .. }
            | Self::Attached { blob, generation, .. }
            | Self::Superseded { blob, generation, .. }
            | Self::Restoring { blob, generation, .. }
            | Self::Releasing { blob, generation, .. }
            | Self::Withdrawn { blob, generation, .. } => Some((*blob, *generation)),
        }
    }

    /// Returns the component that refers to the bytes, and its first version with the reference.
    #[must_use]
    pub const fn attached_to(&self) -> Option<(&Id, VersionId)> {
        match self {
            Self::Attached { component, version, .. }
            | Self::Superseded { component, version, .. }
            | Self::Restoring { component, version, .. } => Some((component, *version)),
            Self::Open { .. }
            | Self::Acquired { .. }
            | Self::Stored { .. }
            | Self::Releasing { .. }
            | Self::Withdrawn { .. }
            | Self::Closed { .. } => None,
        }
    }

    /// Returns the component that refers to the bytes, will do so, or did.
    #[must_use]
    pub const fn component(&self) -> Option<&Id> {
        match self {
            Self::Stored { target, .. } => target.as_ref(),
            Self::Attached { component, .. }
            | Self::Superseded { component, .. }
            | Self::Restoring { component, .. }
            | Self::Withdrawn { component, .. } => Some(component),
            Self::Releasing { component, .. } => component.as_ref(),
            Self::Open { .. } | Self::Acquired { .. } | Self::Closed { .. } => None,
        }
    }

    /// Returns the key of the held bytes.
    #[must_use]
    pub fn key(&self) -> Option<BlobKey> {
        self.held().map(|(blob, generation)| blob.key(generation))
    }

    /// Returns whether nothing is left to do now. An attached upload may still be superseded, withdrawn, retired or
    /// made current again, and the reference of a withdrawn one is removed at the end of its retention.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        match self {
            Self::Open { .. }
            | Self::Acquired { .. }
            | Self::Stored { .. }
            | Self::Restoring { .. }
            | Self::Releasing { .. }
            | Self::Withdrawn { released: false, .. } => false,
            Self::Attached { .. } | Self::Superseded { .. } | Self::Withdrawn { .. } | Self::Closed { .. } => true,
        }
    }

    /// Returns the state after a transition of an upload, from its audit record; [`None`] if the record is not about an
    /// upload or was changed.
    ///
    /// ```
    /// # use fhir_devices::update::ingest::{Ingest, Intent, Limits, State};
    /// # use fhir_devices::manifest::IngestId;
    /// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
    /// # let now = time::OffsetDateTime::UNIX_EPOCH;
    /// let (ingest, audit) = Ingest::open(IngestId(7), intent, Limits::default(), now);
    /// assert_eq!(State::of_audit(&audit), Some(ingest.state));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_audit(audit: &AuditDraft) -> Option<Self> {
        audit.ingest?;
        let component = || audit.component.clone();
        let (deadline, restored) = (audit.deadline, audit.restored.unwrap_or_default());
        Some(match audit.to {
            StateName::Open => Self::Open { deadline: deadline? },
            StateName::Acquired => {
                Self::Acquired { blob: audit.blob?, generation: audit.generation?, deadline: deadline? }
            }
            StateName::Stored => Self::Stored {
                blob: audit.blob?,
                generation: audit.generation?,
                target: component(),
                attempts: audit.attempts?,
            },
            StateName::Attached => Self::Attached {
                blob: audit.blob?,
                generation: audit.generation?,
                component: component()?,
                version: audit.component_version?,
                restored,
            },
            StateName::Superseded => Self::Superseded {
                blob: audit.blob?,
                generation: audit.generation?,
                component: component()?,
                version: audit.component_version?,
                by: audit.superseded_by?,
                restored,
            },
            StateName::Restoring => Self::Restoring {
                blob: audit.blob?,
                generation: audit.generation?,
                component: component()?,
                version: audit.component_version?,
                by: audit.superseded_by?,
                restored,
            },
            StateName::Withdrawn => Self::Withdrawn {
                blob: audit.blob?,
                generation: audit.generation?,
                component: component()?,
                until: deadline?,
                released: audit.action == Action::Released,
            },
            StateName::Releasing => Self::Releasing {
                blob: audit.blob?,
                generation: audit.generation?,
                // A record of a detachment names the former component.
                component: component().filter(|_| audit.action != Action::Detached),
                reason: audit.reason?,
            },
            StateName::Closed => Self::Closed { reason: audit.reason? },
            StateName::Live
            | StateName::Condemned
            | StateName::Gone
            | StateName::Quarantined
            | StateName::Damaged
            | StateName::Paired
            | StateName::Accepted
            | StateName::Told => return None,
        })
    }

    /// Writes everything that [`of_audit`](Self::of_audit) reads into an audit draft.
    pub(super) fn tell(&self, audit: &mut AuditDraft) {
        if let Some((blob, generation)) = self.held() {
            (audit.blob, audit.generation) = (Some(blob), Some(generation));
        }
        if let Self::Attached { restored, .. } | Self::Superseded { restored, .. } | Self::Restoring { restored, .. } =
            self
        {
            audit.restored = Some(*restored).filter(|restored| *restored > 0);
        }
        match self {
            Self::Open { deadline } | Self::Acquired { deadline, .. } => audit.deadline = Some(*deadline),
            Self::Stored { target, attempts, .. } => {
                (audit.component, audit.attempts) = (target.clone(), Some(*attempts));
            }
            Self::Attached { component, version, .. } => {
                (audit.component, audit.component_version) = (Some(component.clone()), Some(*version));
            }
            Self::Superseded { component, version, by, .. } | Self::Restoring { component, version, by, .. } => {
                (audit.component, audit.component_version) = (Some(component.clone()), Some(*version));
                audit.superseded_by = Some(*by);
            }
            Self::Releasing { component, reason, .. } => {
                (audit.component, audit.reason) = (component.clone(), Some(*reason));
            }
            Self::Withdrawn { blob, generation, component, until, .. } => {
                (audit.blob, audit.generation) = (Some(*blob), Some(*generation));
                (audit.component, audit.deadline) = (Some(component.clone()), Some(*until));
                audit.reason = Some(UploadFailure::Withdrawn);
            }
            Self::Closed { reason } => audit.reason = Some(*reason),
        }
    }
}
