//! Ledger record of a blob.

use super::super::ingest::Unreadable;
use super::super::moment;
use crate::audit::{Action, AuditDraft, Holder, StateName};
use crate::store::{BlobKey, BlobRef, Generation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// State of a blob in the ledger.
///
/// ```
/// use fhir_devices::update::blob::State;
/// assert_ne!(State::Condemned, State::Gone);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum State {
    /// The bytes may be needed.
    Live {
        /// Whether the bytes are known to be in the store.
        present: bool,
        /// Holders that need the bytes.
        holders: BTreeSet<Holder>,
        /// Time since when the blob has no holder.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
        idle_since: Option<OffsetDateTime>,
    },
    /// The bytes are to be deleted and cannot be held any more.
    Condemned,
    /// The bytes are deleted.
    Gone,
}

impl State {
    /// Returns the name of the state.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Live { .. } => StateName::Live,
            Self::Condemned => StateName::Condemned,
            Self::Gone => StateName::Gone,
        }
    }
}

/// Ledger record of a blob: its state and holders.
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
    /// Generation of the blob.
    pub generation: Generation,
    /// State of the blob.
    pub state: State,
}

/// Format version of records. Fields and names are added but never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    blob: BlobRef,
    generation: Generation,
    state: State,
}

impl Entry {
    /// Returns the key of the blob.
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

    /// Returns the holders of the blob.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        let holders = match &self.state {
            State::Live { holders, .. } => Some(holders),
            State::Condemned | State::Gone => None,
        };
        holders.into_iter().flatten()
    }

    /// Serializes the record as JSON with a format number, with states and holders by name.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { blob, generation, state } = self.clone();
        serde_json::to_vec(&Written { format: FORMAT, blob, generation, state }).unwrap_or_default()
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, blob, generation, state } = written else { return Err(Unreadable) };
        Ok(Self { blob, generation, state })
    }

    /// Returns the audit record for removing the entry; [`None`] while the entry is still needed, because the bytes are
    /// not gone. A generation is never reused, so that the absence of an entry says as much as an entry that is gone.
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

    /// Returns the entry after a transition, from its audit record and the entry before; [`None`] for a record about
    /// anything else than a blob.
    #[must_use]
    pub fn of_audit(before: Option<&Self>, audit: &AuditDraft) -> Option<Self> {
        super::machine::replay(before, audit)
    }
}
