//! The upload as this driver knows it: opened, stored, attached or closed, with all blobs of one generation.
//!
//! The driver over the machine of [`update::ingest`](crate::update::ingest) takes its place.

use crate::primitive::{Id, Instant};
use crate::store::{BlobRef, Sha256, VersionId};
use crate::update::IngestId;
use crate::update::ingest::{Intent, Reason, Unreadable};
use serde::{Deserialize, Serialize};

/// Where an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The intent is known, and no bytes are.
    Open,
    /// The bytes are in the store, whole and checked.
    Stored {
        /// Which bytes.
        blob: BlobRef,
    },
    /// The component refers to them.
    Attached {
        /// Which bytes.
        blob: BlobRef,
        /// The component.
        component: Id,
        /// The version of it that was the first to do so.
        version: VersionId,
    },
    /// It came to nothing.
    Closed {
        /// Why.
        reason: Reason,
    },
}

impl State {
    /// The bytes, once they are known.
    #[must_use]
    pub(super) const fn blob(&self) -> Option<BlobRef> {
        match self {
            Self::Open | Self::Closed { .. } => None,
            Self::Stored { blob } | Self::Attached { blob, .. } => Some(*blob),
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub(super) const fn is_end(&self) -> bool {
        match self {
            Self::Open | Self::Stored { .. } => false,
            Self::Attached { .. } | Self::Closed { .. } => true,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The bytes came whole, stood the checks, and are in the store.
    BytesCommitted {
        /// Which bytes.
        blob: BlobRef,
    },
    /// The bytes did not stand a check, and are not in the store.
    CheckFailed {
        /// Which check.
        reason: Reason,
    },
    /// The component refers to the bytes.
    ReferenceWritten {
        /// The component.
        component: Id,
        /// The version of it that was the first to do so.
        version: VersionId,
    },
    /// The component that was meant is no longer there, or no longer the only one.
    TargetLost,
}

/// What a step leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Another state.
    To {
        /// The state.
        state: State,
    },
    /// The input was known already.
    Unchanged,
}

/// Why an input cannot be true of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(super) enum Refusal {
    /// Bytes that are not those that were declared.
    #[error("the bytes are not those that were declared")]
    NotDeclared,
    /// Bytes that are not those that came before.
    #[error("the upload has other bytes")]
    OtherContent,
    /// A reference to bytes that are not in the store.
    #[error("the bytes are not stored yet")]
    NotStored,
    /// The bytes are in the store, and stood their checks.
    #[error("the bytes are stored already")]
    AlreadyStored,
    /// The reference is written in another place or version.
    #[error("the reference is written already")]
    AlreadyAttached,
    /// The upload has come to nothing.
    #[error("the upload is closed")]
    Closed,
}

/// What an input leads to. Every input has an answer in every state.
///
/// # Errors
/// The [`Refusal`] when it cannot be true of this upload, or contradicts what is known.
pub(super) fn step(ingest: &Ingest, input: &Input) -> Result<Step, Refusal> {
    let to = |state: State| Ok(Step::To { state });
    match (&ingest.state, input) {
        (State::Open, Input::BytesCommitted { blob }) => match ingest.intent.sha256 {
            Some(declared) if declared != blob.digest => Err(Refusal::NotDeclared),
            _ => to(State::Stored { blob: *blob }),
        },
        (State::Open, Input::CheckFailed { reason }) => to(State::Closed { reason: *reason }),
        (State::Open, Input::TargetLost) => to(State::Closed { reason: Reason::TargetLost }),
        (State::Open, Input::ReferenceWritten { .. }) => Err(Refusal::NotStored),
        (State::Stored { blob: known } | State::Attached { blob: known, .. }, Input::BytesCommitted { blob }) => {
            if known == blob {
                Ok(Step::Unchanged)
            } else {
                Err(Refusal::OtherContent)
            }
        }
        (State::Stored { .. } | State::Attached { .. }, Input::CheckFailed { .. }) => Err(Refusal::AlreadyStored),
        (State::Stored { blob }, Input::ReferenceWritten { component, version }) => {
            to(State::Attached { blob: *blob, component: component.clone(), version: *version })
        }
        (State::Stored { .. }, Input::TargetLost) => to(State::Closed { reason: Reason::TargetLost }),
        (State::Attached { component: known, version: at, .. }, Input::ReferenceWritten { component, version }) => {
            if (known, at) == (component, version) { Ok(Step::Unchanged) } else { Err(Refusal::AlreadyAttached) }
        }
        (State::Attached { .. }, Input::TargetLost) => Err(Refusal::AlreadyAttached),
        (State::Closed { reason: known }, Input::CheckFailed { reason }) if known == reason => Ok(Step::Unchanged),
        (State::Closed { reason: Reason::TargetLost }, Input::TargetLost) => Ok(Step::Unchanged),
        (
            State::Closed { .. },
            Input::BytesCommitted { .. }
            | Input::CheckFailed { .. }
            | Input::ReferenceWritten { .. }
            | Input::TargetLost,
        ) => Err(Refusal::Closed),
    }
}

/// The record of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ingest {
    /// Its name.
    pub(super) id: IngestId,
    /// What it is for.
    pub(super) intent: Intent,
    /// When it began, where the clock gave a time that FHIR can say.
    pub(super) opened: Option<Instant>,
    /// Where it stands.
    pub(super) state: State,
}

/// How records are written. Fields and names are added, and never changed; a change gets another number.
const FORMAT: u32 = 1;

/// The record as it is written: the state by its name, and its fields beside it.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    id: IngestId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened: Option<Instant>,
    intent: Intent,
    state: WrittenState,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
enum WrittenState {
    Open,
    Stored { sha256: Sha256, size: u64 },
    Attached { sha256: Sha256, size: u64, component: Id, version: VersionId },
    Closed { reason: Reason },
}

impl From<&State> for WrittenState {
    fn from(state: &State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Stored { blob } => Self::Stored { sha256: blob.digest, size: blob.size },
            State::Attached { blob, component, version } => {
                Self::Attached { sha256: blob.digest, size: blob.size, component: component.clone(), version: *version }
            }
            State::Closed { reason } => Self::Closed { reason: *reason },
        }
    }
}

impl From<WrittenState> for State {
    fn from(written: WrittenState) -> Self {
        let blob = |digest, size| BlobRef { digest, size };
        match written {
            WrittenState::Open => Self::Open,
            WrittenState::Stored { sha256, size } => Self::Stored { blob: blob(sha256, size) },
            WrittenState::Attached { sha256, size, component, version } => {
                Self::Attached { blob: blob(sha256, size), component, version }
            }
            WrittenState::Closed { reason } => Self::Closed { reason },
        }
    }
}

impl Ingest {
    /// A new one, of which nothing is known but what it is for.
    #[must_use]
    pub(super) fn open(id: IngestId, intent: Intent, opened: Option<Instant>) -> Self {
        Self { id, intent, opened, state: State::Open }
    }

    /// The record as it is kept: JSON with a format number, states and reasons by name.
    #[must_use]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let written = Written {
            format: FORMAT,
            id: self.id,
            opened: self.opened.clone(),
            intent: self.intent.clone(),
            state: (&self.state).into(),
        };
        // Texts and numbers under fixed names: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none, or of a format that is not known.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, id, opened, intent, state } = written else { return Err(Unreadable) };
        Ok(Self { id, intent, opened, state: state.into() })
    }
}
