//! Record of an upload, and its stored form.

use super::super::moment;
use super::{Intent, Limits, State, Transition};
use crate::audit::UploadFailure;
use crate::audit::{Action, AuditDraft, StateName};
use crate::manifest::{IngestId, KeyId, UpdateName};
use crate::primitive::{Id, Instant};
use crate::store::{BlobRef, Generation, Sha256, VersionId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Record of an upload.
///
/// ```
/// # use fhir_devices::update::ingest::*;
/// # use fhir_devices::manifest::IngestId;
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// let (ingest, audit) = Ingest::open(IngestId(7), intent, Limits::default(), now);
/// assert_eq!(Ingest::from_bytes(&ingest.to_bytes())?, ingest);
/// assert_eq!(audit.ingest, Some(ingest.id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ingest {
    /// Id of the upload.
    pub id: IngestId,
    /// Intent of the upload.
    pub intent: Intent,
    /// Limits of the upload.
    pub limits: Limits,
    /// Start time, if FHIR can represent it.
    pub opened: Option<Instant>,
    /// Verified facts of the manifest, if the upload has one.
    pub signed: Option<Box<Signed>>,
    /// Digest of the idempotency key, if the upload had one.
    pub key: Option<Sha256>,
    /// Version of the component with which the upload last became the current update; `None` before, and in records of
    /// older versions of this crate. See [`current_since`](Self::current_since).
    pub became_current: Option<VersionId>,
    /// Current state.
    pub state: State,
}

/// Verified facts of the manifest of an upload.
///
/// Part of an [`Ingest`] with a signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signed {
    /// Name of the update, the same in every version.
    pub update: UpdateName,
    /// Keys with a valid signature.
    pub keys: Vec<KeyId>,
}

/// Error for bytes that are not the expected record, or that a later version of this crate wrote.
///
/// ```
/// use fhir_devices::update::ingest::Ingest;
/// assert!(Ingest::from_bytes(br#"{"format":3}"#).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a record that this version of the crate can read")]
#[non_exhaustive]
pub struct Unreadable;

/// Format version of records. Fields and names are added but never changed; a change gets another number.
const FORMAT: u32 = 2;

/// Stored form of a record: the state by its name, with the state's fields.
#[derive(Serialize, Deserialize)]
struct Written<S> {
    format: u32,
    id: IngestId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened: Option<Instant>,
    intent: Intent,
    #[serde(default)]
    limits: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed: Option<Box<Signed>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    became_current: Option<VersionId>,
    state: S,
}

/// State in format 2.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
enum WrittenState {
    Open {
        #[serde(with = "moment")]
        deadline: OffsetDateTime,
    },
    Acquired {
        blob: BlobRef,
        generation: Generation,
        #[serde(with = "moment")]
        deadline: OffsetDateTime,
    },
    Stored {
        blob: BlobRef,
        generation: Generation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Id>,
        attempts: u16,
    },
    Attached {
        blob: BlobRef,
        generation: Generation,
        component: Id,
        version: VersionId,
        #[serde(skip_serializing_if = "is_zero")]
        restored: u32,
    },
    Superseded {
        blob: BlobRef,
        generation: Generation,
        component: Id,
        version: VersionId,
        by: IngestId,
        #[serde(skip_serializing_if = "is_zero")]
        restored: u32,
    },
    Restoring {
        blob: BlobRef,
        generation: Generation,
        component: Id,
        version: VersionId,
        by: IngestId,
        restored: u32,
    },
    Releasing {
        blob: BlobRef,
        generation: Generation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        component: Option<Id>,
        reason: UploadFailure,
    },
    Withdrawn {
        blob: BlobRef,
        generation: Generation,
        component: Id,
        #[serde(with = "moment")]
        until: OffsetDateTime,
        released: bool,
    },
    Closed {
        reason: UploadFailure,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Any state of format 2, with the fields of all states, so that it is parsed in one pass.
#[derive(Deserialize)]
struct AnyState {
    name: StateName,
    blob: Option<BlobRef>,
    generation: Option<Generation>,
    #[serde(default, with = "moment::optional")]
    deadline: Option<OffsetDateTime>,
    target: Option<Id>,
    attempts: Option<u16>,
    component: Option<Id>,
    version: Option<VersionId>,
    by: Option<IngestId>,
    reason: Option<UploadFailure>,
    restored: Option<u32>,
    #[serde(default, with = "moment::optional")]
    until: Option<OffsetDateTime>,
    released: Option<bool>,
}

impl AnyState {
    fn state(self) -> Option<State> {
        let Self { name, blob, generation, deadline, target, attempts, component, version, by, reason, .. } = self;
        let (until, released, restored) = (self.until, self.released, self.restored.unwrap_or_default());
        Some(match name {
            StateName::Open => State::Open { deadline: deadline? },
            StateName::Acquired => State::Acquired { blob: blob?, generation: generation?, deadline: deadline? },
            StateName::Stored => State::Stored { blob: blob?, generation: generation?, target, attempts: attempts? },
            StateName::Attached => {
                let (component, version) = (component?, version?);
                State::Attached { blob: blob?, generation: generation?, component, version, restored }
            }
            StateName::Superseded => State::Superseded {
                blob: blob?,
                generation: generation?,
                component: component?,
                version: version?,
                by: by?,
                restored,
            },
            StateName::Restoring => State::Restoring {
                blob: blob?,
                generation: generation?,
                component: component?,
                version: version?,
                by: by?,
                restored,
            },
            StateName::Withdrawn => State::Withdrawn {
                blob: blob?,
                generation: generation?,
                component: component?,
                until: until?,
                released: released?,
            },
            StateName::Releasing => {
                State::Releasing { blob: blob?, generation: generation?, component, reason: reason? }
            }
            StateName::Closed => State::Closed { reason: reason? },
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
}

/// State in format 1, which had no generations. All blobs were of generation 0.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
enum FirstState {
    Open,
    Stored { sha256: Sha256, size: u64 },
    Attached { sha256: Sha256, size: u64, component: Id, version: VersionId },
    Closed { reason: UploadFailure },
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

macro_rules! as_written {
    ($($State:ident { $($field:ident),+ }),+ $(,)?) => {
        impl From<State> for WrittenState {
            fn from(state: State) -> Self {
                match state {
                    $(State::$State { $($field),+ } => Self::$State { $($field),+ },)+
                }
            }
        }
    };
}

as_written! {
    Open { deadline },
    Acquired { blob, generation, deadline },
    Stored { blob, generation, target, attempts },
    Attached { blob, generation, component, version, restored },
    Superseded { blob, generation, component, version, by, restored },
    Restoring { blob, generation, component, version, by, restored },
    Releasing { blob, generation, component, reason },
    Withdrawn { blob, generation, component, until, released },
    Closed { reason },
}

impl From<FirstState> for State {
    fn from(written: FirstState) -> Self {
        let blob = |digest, size| BlobRef { digest, size };
        let generation = Generation(0);
        match written {
            // Format 1 had no deadline, and the bytes are gone with the process that received them.
            FirstState::Open => Self::Open { deadline: OffsetDateTime::UNIX_EPOCH },
            FirstState::Stored { sha256, size } => {
                Self::Stored { blob: blob(sha256, size), generation, target: None, attempts: 0 }
            }
            FirstState::Attached { sha256, size, component, version } => {
                Self::Attached { blob: blob(sha256, size), generation, component, version, restored: 0 }
            }
            FirstState::Closed { reason } => Self::Closed { reason },
        }
    }
}

impl Ingest {
    /// Creates the record of a new upload, and its first audit record.
    ///
    /// Write it to the ledger, on condition that no such record exists, before the first byte is accepted.
    #[must_use]
    pub fn open(id: IngestId, intent: Intent, limits: Limits, now: OffsetDateTime) -> (Self, AuditDraft) {
        let deadline = now.saturating_add(time::Duration::seconds(i64::from(limits.lease_seconds)));
        let state = State::Open { deadline };
        let opened = Instant::try_from(now).ok();
        let ingest = Self { id, intent, limits, opened, signed: None, key: None, became_current: None, state };
        let mut audit = ingest.draft(now, Action::Opened, None, &ingest.state);
        audit.actor.clone_from(&ingest.intent.sender);
        (ingest, audit)
    }

    /// Returns the record after a transition. If the update became current again, `current_in` is the first version of
    /// the component that shows it, if known.
    #[must_use]
    pub fn after(&self, to: &Transition, current_in: Option<VersionId>) -> Self {
        let became_current = match to.audit.action {
            Action::Attached => to.audit.component_version,
            Action::MadeCurrent => current_in.or(self.became_current),
            _ => self.became_current,
        };
        Self { state: to.state.clone(), became_current, ..self.clone() }
    }

    /// Returns the version of the component with which the update became current; if that was not recorded, the first
    /// version that refers to an attached upload.
    #[must_use]
    pub fn current_since(&self) -> Option<VersionId> {
        self.became_current.or(self.state.attached_to().map(|(_, version)| version))
    }

    /// Creates the draft of the audit record for a step to `state`.
    pub(super) fn draft(
        &self,
        now: OffsetDateTime,
        action: Action,
        from: Option<StateName>,
        state: &State,
    ) -> AuditDraft {
        let mut audit = AuditDraft::new(now, action, from, state.name());
        audit.ingest = Some(self.id);
        audit.device = Some(self.intent.device.clone());
        audit.provider.clone_from(&self.intent.provider);
        audit.version.clone_from(&self.intent.version);
        audit.sequence = self.intent.sequence;
        audit.manifest = self.intent.manifest;
        if let (Some((blob, generation)), State::Closed { .. }) = (self.state.held(), state) {
            (audit.blob, audit.generation) = (Some(blob), Some(generation));
        }
        state.tell(&mut audit);
        audit
    }

    /// Returns the audit draft for removing the record; [`None`] unless the upload is closed, as its record is still
    /// needed.
    ///
    /// ```
    /// # use fhir_devices::audit::UploadFailure;
    /// # use fhir_devices::update::ingest::*;
    /// # use fhir_devices::audit::Action;
    /// # use fhir_devices::manifest::IngestId;
    /// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
    /// # let now = time::OffsetDateTime::UNIX_EPOCH;
    /// let (mut ingest, _) = Ingest::open(IngestId(7), intent, Limits::default(), now);
    /// assert_eq!(ingest.forget(now), None);
    /// ingest.state = State::Closed { reason: UploadFailure::UploadLost };
    /// assert_eq!(ingest.forget(now).unwrap().action, Action::Forgotten);
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[must_use]
    pub fn forget(&self, now: OffsetDateTime) -> Option<AuditDraft> {
        let State::Closed { reason } = &self.state else { return None };
        let mut audit = AuditDraft::new(now, Action::Forgotten, Some(StateName::Closed), StateName::Gone);
        (audit.ingest, audit.device, audit.reason) = (Some(self.id), Some(self.intent.device.clone()), Some(*reason));
        Some(audit)
    }

    /// Serializes the record as JSON with a format number, with states and reasons by name.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written {
            format: FORMAT,
            id: self.id,
            opened: self.opened.clone(),
            intent: self.intent.clone(),
            limits: self.limits,
            signed: self.signed.clone(),
            key: self.key,
            became_current: self.became_current,
            state: WrittenState::from(self.state.clone()),
        };
        // Strings and numbers under fixed names always serialize.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Parses the stored form, in this or an earlier format.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        fn read<'de, S: Deserialize<'de>>(
            text: &'de str,
            wanted: u32,
            state: impl FnOnce(S) -> Option<State>,
        ) -> Option<Ingest> {
            let read = serde_json::from_str::<Written<S>>(text).ok()?;
            let Written { format, id, opened, intent, limits, signed, key, became_current, state: found } = read;
            let state = state(found).filter(|_| format == wanted)?;
            Some(Ingest { id, intent, limits, opened, signed, key, became_current, state })
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
        if let Some(read) = read(text, FORMAT, AnyState::state) {
            return Ok(read);
        }
        match serde_json::from_str(text) {
            Ok(Format { format: 1 }) => read(text, 1, |state: FirstState| Some(state.into())).ok_or(Unreadable),
            _ => Err(Unreadable),
        }
    }
}
