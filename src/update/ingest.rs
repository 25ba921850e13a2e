//! What happens to an upload: a state machine without I/O, clock or randomness.
//!
//! ```text
//! Open --BytesCommitted--> Stored --ReferenceWritten--> Attached
//!  |                          |
//!  +--CheckFailed--> Closed <-+--TargetLost
//! ```
//!
//! The record of an upload, an [`Ingest`], is written to the ledger before its first byte is taken (the intent comes before
//! the bytes), and each [`step`] is a compare-and-set there. What is to be done next follows from the state alone
//! ([`resume`]), so that whoever finds a record can go on with it. [`State::Attached`] and [`State::Closed`] are ends: they
//! absorb what comes late.

use super::IngestId;
use crate::primitive::{Code, Id, Instant, Text};
use crate::reference::Selector;
use crate::store::{BlobRef, Sha256, VersionId};
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// What an upload is for, as its sender said before the first byte.
///
/// ```
/// use fhir_devices::{reference::Selector, update::ingest::Intent};
/// let intent = Intent {
///     device: "pump-7".parse()?,
///     target: Selector::Any,
///     version: None,
///     sequence: None,
///     sha256: None,
///     file_name: "pump-2.4.bin".parse()?,
///     content_type: "application/octet-stream".parse()?,
/// };
/// assert_eq!(intent, intent.clone());
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The device.
    pub device: Id,
    /// Which of its components.
    pub target: Selector,
    /// The version, as the maker of the update names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// The place of the update among those of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The digest that the bytes shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// What the file is called.
    pub file_name: Text,
    /// Its media type.
    pub content_type: Code,
}

/// Why an upload came to nothing.
///
/// ```
/// use fhir_devices::update::ingest::Reason;
/// assert_eq!(Reason::TooLarge.to_string(), "too-large");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes have not the digest that was declared.
    DigestMismatch,
    /// There were more bytes than are taken.
    TooLarge,
    /// There were no bytes.
    Empty,
    /// The component that was meant is no longer there, or no longer the only one.
    TargetLost,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::DigestMismatch, Self::TooLarge, Self::Empty, Self::TargetLost];

    /// The name, as it is kept in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DigestMismatch => "digest-mismatch",
            Self::TooLarge => "too-large",
            Self::Empty => "empty",
            Self::TargetLost => "target-lost",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = Unreadable;

    fn from_str(name: &str) -> Result<Self, Unreadable> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or(Unreadable)
    }
}

/// Where an upload stands.
///
/// ```
/// use fhir_devices::store::BlobRef;
/// use fhir_devices::update::ingest::State;
/// let stored = State::Stored { blob: BlobRef::of(b"firmware") };
/// assert_eq!(stored.blob(), Some(BlobRef::of(b"firmware")));
/// assert!(!stored.is_end());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
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
    pub const fn blob(&self) -> Option<BlobRef> {
        match self {
            Self::Open | Self::Closed { .. } => None,
            Self::Stored { blob } | Self::Attached { blob, .. } => Some(*blob),
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        match self {
            Self::Open | Self::Stored { .. } => false,
            Self::Attached { .. } | Self::Closed { .. } => true,
        }
    }
}

/// Something that happened.
///
/// ```
/// use fhir_devices::update::ingest::{Input, Reason};
/// assert_ne!(Input::TargetLost, Input::CheckFailed { reason: Reason::Empty });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
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

/// Something to do. It may be done again: [`Ingest::id`] is the key by which a repetition is known.
///
/// ```
/// use fhir_devices::update::ingest::{Effect, State, resume};
/// assert_eq!(resume(&State::Open), Some(Effect::ReceiveBytes));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Take the bytes, check them, and put them into the store.
    ReceiveBytes,
    /// Make the component refer to the bytes, unless it does.
    WriteReference {
        /// Which bytes.
        blob: BlobRef,
    },
}

/// What a step leads to.
///
/// ```
/// use fhir_devices::update::ingest::{State, Step};
/// let step = Step::To { state: State::Open, effect: None };
/// assert_ne!(step, Step::Unchanged);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another state, and what is to be done in it.
    To {
        /// The state.
        state: State,
        /// The effect; always that of [`resume`].
        effect: Option<Effect>,
    },
    /// The input was known already.
    Unchanged,
}

/// Why an input cannot be true of an upload.
///
/// ```
/// use fhir_devices::update::ingest::Refusal;
/// assert_eq!(Refusal::OtherContent.to_string(), "the upload has other bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
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

/// The limits that an upload must keep.
///
/// ```
/// use fhir_devices::update::ingest::Limits;
/// assert_eq!(Limits { max_size: 1 << 30 }.max_size, 1_073_741_824);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes.
    pub max_size: u64,
}

/// Whether the bytes of an upload are such as may be stored. It is asked before they become visible.
///
/// # Errors
/// The first reason to refuse them.
///
/// ```
/// # use fhir_devices::{reference::Selector, update::ingest::*, store::{BlobRef, Sha256}};
/// # let mut intent = Intent { device: "d".parse()?, target: Selector::Any, version: None, sequence: None, sha256: None,
/// #     file_name: "f".parse()?, content_type: "a/b".parse()? };
/// intent.sha256 = Some(Sha256::of(b"firmware"));
/// let limits = Limits { max_size: 100 };
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmware")), Ok(()));
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmwarE")), Err(Reason::DigestMismatch));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
pub fn check(intent: &Intent, limits: &Limits, found: &BlobRef) -> Result<(), Reason> {
    if found.size > limits.max_size {
        Err(Reason::TooLarge)
    } else if found.size == 0 {
        Err(Reason::Empty)
    } else if intent.sha256.is_some_and(|declared| declared != found.digest) {
        Err(Reason::DigestMismatch)
    } else {
        Ok(())
    }
}

/// The record of an upload.
///
/// ```
/// # use fhir_devices::{reference::Selector, update::{IngestId, ingest::*}};
/// # let intent = Intent { device: "d".parse()?, target: Selector::Any, version: None, sequence: None, sha256: None,
/// #     file_name: "f".parse()?, content_type: "a/b".parse()? };
/// let ingest = Ingest::open(IngestId(7), intent, "2017-04-19T10:00:00Z".parse()?);
/// assert_eq!(Ingest::from_bytes(&ingest.to_bytes())?, ingest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Its name.
    pub id: IngestId,
    /// What it is for.
    pub intent: Intent,
    /// When it began.
    pub opened: Instant,
    /// Where it stands.
    pub state: State,
}

/// A text that is no record of an upload, or one of a later version of this crate.
///
/// ```
/// use fhir_devices::update::ingest::Ingest;
/// assert!(Ingest::from_bytes(br#"{"format":2}"#).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no record of an upload that this version of the crate can read")]
#[non_exhaustive]
pub struct Unreadable;

/// How records are written. Fields and names are added, and never changed; a change gets another number.
const FORMAT: u32 = 1;

/// The record as it is written: the state by its name, and its fields beside it.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    id: IngestId,
    opened: Instant,
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
    pub fn open(id: IngestId, intent: Intent, opened: Instant) -> Self {
        Self { id, intent, opened, state: State::Open }
    }

    /// The record as it is kept: JSON with a format number, states and reasons by name.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
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
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, id, opened, intent, state } = written else { return Err(Unreadable) };
        Ok(Self { id, intent, opened, state: state.into() })
    }
}

/// What is to be done in a state: what a step into it asks for, and what one who finds it goes on with.
#[must_use]
pub fn resume(state: &State) -> Option<Effect> {
    match state {
        State::Open => Some(Effect::ReceiveBytes),
        State::Stored { blob } => Some(Effect::WriteReference { blob: *blob }),
        State::Attached { .. } | State::Closed { .. } => None,
    }
}

/// What an input leads to. Every input has an answer in every state.
///
/// # Errors
/// The [`Refusal`] when it cannot be true of this upload, or contradicts what is known.
///
/// ```
/// # use fhir_devices::{reference::Selector, store::BlobRef, update::{IngestId, ingest::*}};
/// # let intent = Intent { device: "d".parse()?, target: Selector::Any, version: None, sequence: None, sha256: None,
/// #     file_name: "f".parse()?, content_type: "a/b".parse()? };
/// let mut ingest = Ingest::open(IngestId(7), intent, "2017-04-19T10:00:00Z".parse()?);
/// let committed = Input::BytesCommitted { blob: BlobRef::of(b"firmware") };
/// let Step::To { state, .. } = step(&ingest, &committed)? else { panic!() };
/// ingest.state = state;
/// assert_eq!(step(&ingest, &committed), Ok(Step::Unchanged));
/// let other = Input::BytesCommitted { blob: BlobRef::of(b"software") };
/// assert_eq!(step(&ingest, &other), Err(Refusal::OtherContent));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(ingest: &Ingest, input: &Input) -> Result<Step, Refusal> {
    let to = |state: State| Ok(Step::To { effect: resume(&state), state });
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
