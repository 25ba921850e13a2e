//! The ledger record of a blob.

use super::super::ingest::Unreadable;
use super::super::moment;
use crate::audit::{Action, AuditDraft, Holder, StateName};
use crate::store::{BlobKey, BlobRef, Generation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// The state of a blob in the ledger.
///
/// ```
/// use fhir_devices::update::blob::State;
/// assert_ne!(State::Condemned, State::Gone);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum State {
    /// The file may be needed.
    Live {
        /// Whether they are known to be in the store.
        present: bool,
        /// The holders, which need the bytes.
        holders: BTreeSet<Holder>,
        /// The time since when no holder does.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
        idle_since: Option<OffsetDateTime>,
    },
    /// The file is to be deleted and cannot be held any more.
    Condemned,
    /// The file is deleted.
    Gone,
}

impl State {
    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Live { .. } => StateName::Live,
            Self::Condemned => StateName::Condemned,
            Self::Gone => StateName::Gone,
        }
    }
}

/// The ledger record of a blob: its state and holders.
///
/// ```
/// # use fhir_devices::audit::Holder;
/// # use fhir_devices::{manifest::IngestId, store::{BlobRef, Generation}, update::blob::*};
/// # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let held = Input::Held { blob: BlobRef::of(b"firmware"), by: Holder::Ingest(IngestId(7)), fresh: Generation(1), max_holders: 256, actor: None };
/// let Step::Transition(transition) = step(None, &held, now)? else { panic!() };
/// let entry = transition.entry;
/// assert!(!entry.is_present());
/// assert_eq!(Entry::from_bytes(&entry.to_bytes()), Ok(entry));
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Digest and size.
    pub blob: BlobRef,
    /// The generation.
    pub generation: Generation,
    /// The state of the bytes.
    pub state: State,
}

/// How records are written. Fields and names are added, and never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    blob: BlobRef,
    generation: Generation,
    state: State,
}

impl Entry {
    /// Returns the name of the bytes.
    #[must_use]
    pub fn key(&self) -> BlobKey {
        self.blob.key(self.generation)
    }

    /// Returns whether the bytes are known to be in the store.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        match &self.state {
            State::Live { present, .. } => *present,
            State::Condemned | State::Gone => false,
        }
    }

    /// Returns the holders of the bytes.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        let holders = match &self.state {
            State::Live { holders, .. } => Some(holders),
            State::Condemned | State::Gone => None,
        };
        holders.into_iter().flatten()
    }

    /// Returns the stored form: JSON with a format number, states and holders by name.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { blob, generation, state } = self.clone();
        serde_json::to_vec(&Written { format: FORMAT, blob, generation, state }).unwrap_or_default()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none, or of a format that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, blob, generation, state } = written else { return Err(Unreadable) };
        Ok(Self { blob, generation, state })
    }

    /// Returns what an audit record says when the entry is removed; [`None`] where the bytes are not gone, so that it
    /// is needed. A generation is never given twice, so that the entry of one that is gone tells nothing that its
    /// absence does not.
    ///
    /// ```
    /// # use fhir_devices::{store::{BlobRef, Generation}, update::blob::*};
    /// # let now = time::OffsetDateTime::UNIX_EPOCH;
    /// let gone = Entry { blob: BlobRef::of(b"firmware"), generation: Generation(1), state: State::Gone };
    /// assert!(gone.forget(now).is_some());
    /// assert!(Entry { state: State::Condemned, ..gone }.forget(now).is_none());
    /// ```
    #[must_use]
    pub fn forget(&self, now: OffsetDateTime) -> Option<AuditDraft> {
        if self.state != State::Gone {
            return None;
        }
        let mut audit = AuditDraft::new(now, Action::Forgotten, Some(StateName::Gone), StateName::Gone);
        (audit.blob, audit.generation) = (Some(self.blob), Some(self.generation));
        Some(audit)
    }

    /// Returns the entry after a transition, from its audit record and the entry before; [`None`] where the record is
    /// not of a blob.
    #[must_use]
    pub fn of_audit(before: Option<&Self>, audit: &AuditDraft) -> Option<Self> {
        super::machine::replay(before, audit)
    }
}
