//! The states of an upload, and the steps between them.

use super::{Ingest, Reason};
use crate::primitive::Id;
use crate::store::{BlobRef, VersionId};

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
/// let mut ingest = Ingest::open(IngestId(7), intent, None);
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
