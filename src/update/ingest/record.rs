//! The record of an upload, and how it is written.

use super::super::IngestId;
use super::{Intent, Reason, State};
use crate::primitive::{Id, Instant};
use crate::store::{BlobRef, Sha256, VersionId};
use serde::{Deserialize, Serialize};

/// The record of an upload.
///
/// ```
/// # use fhir_devices::{reference::Selector, update::{IngestId, ingest::*}};
/// # let intent = Intent { device: "d".parse()?, target: Selector::Any, version: None, sequence: None, sha256: None,
/// #     file_name: "f".parse()?, content_type: "a/b".parse()? };
/// let ingest = Ingest::open(IngestId(7), intent, Some("2017-04-19T10:00:00Z".parse()?));
/// assert_eq!(Ingest::from_bytes(&ingest.to_bytes())?, ingest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Its name.
    pub id: IngestId,
    /// What it is for.
    pub intent: Intent,
    /// When it began, where the clock gave a time that FHIR can say.
    pub opened: Option<Instant>,
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
    pub fn open(id: IngestId, intent: Intent, opened: Option<Instant>) -> Self {
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
