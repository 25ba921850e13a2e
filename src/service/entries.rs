//! Ledger entries and audit records written in one commit.

use crate::audit::{Action, Actor, AuditDraft, RecordContext, Verdict, Verification};
use crate::manifest::{ActorId, IngestId, UpdateName};
use crate::store::{BlobKey, Change, LedgerKey, Result, Revision, Sha256, StoreError, VersionId};
use crate::update::ingest::{self, Ingest, State};
use crate::update::{Accepted, VersionClaim, blob};
use bytes::Bytes;
use time::OffsetDateTime;

/// A record as it was read, or the place where there is none.
#[derive(Clone, Debug)]
pub(super) struct Seen<T> {
    pub(super) key: LedgerKey,
    pub(super) revision: Option<Revision>,
    pub(super) value: T,
}

/// What the driver knows of a step of an upload, and the machine does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StepContext {
    /// The versions of the component before and after a write that the step itself does not tell of.
    pub(super) wrote: Option<(VersionId, VersionId)>,
    /// The version of the component that says that the update is current again.
    pub(super) current_in: Option<VersionId>,
    /// Whether signatures were refused.
    pub(super) refused: bool,
}

/// What is recorded of one step.
#[derive(Debug)]
pub(super) struct Noted {
    draft: AuditDraft,
    before: Option<VersionId>,
    written: Option<VersionId>,
    update: Option<UpdateName>,
    verification: Option<Verification>,
}

impl Noted {
    fn of_bytes(draft: AuditDraft) -> Self {
        Self { draft, before: None, written: None, update: None, verification: None }
    }

    fn of(ingest: &Ingest, draft: AuditDraft, step_context: StepContext) -> Self {
        let found = match draft.action {
            Action::Failed if step_context.refused => Some((Verdict::Refused, Vec::new())),
            // Where an upload begins, where it is checked, and where devices see it.
            Action::Opened | Action::Targeted | Action::Attached => Some(match &ingest.signed {
                Some(signed) => (Verdict::Verified, signed.keys.clone()),
                None => (Verdict::Unsigned, Vec::new()),
            }),
            _ => None,
        };
        // A reference is written on the condition that the version before it is the newest.
        let attached =
            draft.component_version.filter(|_| matches!(draft.action, Action::Attached | Action::Reattached));
        let before = attached.and_then(|version| VersionId::new(version.get().saturating_sub(1)));
        let update = ingest.signed.as_ref().map(|signed| signed.update.clone());
        let verification = found.map(|(verdict, keys)| Verification { verdict, keys });
        let (before, written) = match step_context.wrote {
            Some((before, written)) => (Some(before), Some(written)),
            None => (before, None),
        };
        Self { draft, before, written, update, verification }
    }

    pub(super) fn draft(&self) -> AuditDraft {
        self.draft.clone()
    }

    pub(super) fn record_context(&self, by: ActorId) -> RecordContext {
        let mut context = RecordContext::by(Actor::service(by));
        (context.before, context.written) = (self.before, self.written);
        (context.update, context.verification) = (self.update.clone(), self.verification.clone());
        context
    }
}

/// What is written in one step.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) changes: Vec<Change>,
    pub(super) records: Vec<Noted>,
    /// The upload that takes a step, as it is then, and which of the changes says so.
    pub(super) next: Option<(usize, Ingest)>,
    /// The uploads of which something is to be removed after a time.
    pub(super) kept: Vec<(IngestId, Kept)>,
}

/// What is kept for a time, and then removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// The reference of an update that was withdrawn.
    Withdrawn { until: OffsetDateTime },
    /// The record of an upload that failed before its bytes came.
    Aborted,
    /// The record of an upload that ended later.
    Ended,
}

impl Kept {
    /// Returns what is to be removed at last, after a step from one state to another.
    fn after(from: &State, to: &State) -> Option<Self> {
        match (from, to) {
            (_, State::Withdrawn { until, released: true, .. }) => Some(Self::Withdrawn { until: *until }),
            (State::Open { .. }, State::Closed { .. }) => Some(Self::Aborted),
            (_, State::Closed { .. }) => Some(Self::Ended),
            _ => None,
        }
    }

    /// How it stands in the ledger: what is to be removed is asked of the state of the upload then.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn { .. } => "withdrawn",
            Self::Aborted | Self::Ended => Self::CLOSED,
        }
    }

    /// That it is the record which is to be removed.
    pub(super) const CLOSED: &str = "closed";
}

impl Entries {
    /// Returns a new upload. Gives the place where it will be.
    pub(super) fn open(&mut self, ingest: Ingest, said: AuditDraft) -> Result<Seen<Ingest>> {
        let key = at(OPEN, &ingest.id.to_string())?;
        self.opened(&ingest, said);
        self.next = Some((self.changes.len(), ingest.clone()));
        self.changes.push(Change::create(key.clone(), ingest.to_bytes()));
        Ok(Seen { key, revision: None, value: ingest })
    }

    /// Adds the audit record of a new upload.
    pub(super) fn opened(&mut self, ingest: &Ingest, said: AuditDraft) {
        self.records.push(Noted::of(ingest, said, StepContext::default()));
    }

    /// Returns the next state of an upload. One that has come to rest is kept apart from those that are to be gone on
    /// with.
    pub(super) fn ingest(
        &mut self,
        seen: &Seen<Ingest>,
        to: ingest::Transition,
        step_context: StepContext,
    ) -> Result<()> {
        let next = self.stepped(&seen.value, to, step_context);
        self.ingest_as(seen, next)
    }

    /// Adds the audit record of a step of an upload, and returns the upload after it. The last of several steps is written by
    /// [`ingest_as`](Self::ingest_as).
    pub(super) fn stepped(&mut self, ingest: &Ingest, to: ingest::Transition, step_context: StepContext) -> Ingest {
        let next = ingest.after(&to, step_context.current_in);
        self.kept.extend(Kept::after(&ingest.state, &next.state).map(|kept| (next.id, kept)));
        self.records.push(Noted::of(&next, to.audit, step_context));
        next
    }

    /// Writes an upload as it is after its steps.
    pub(super) fn ingest_as(&mut self, seen: &Seen<Ingest>, next: Ingest) -> Result<()> {
        let key = at(shelf(&next), &next.id.to_string())?;
        let value = next.to_bytes();
        match (&seen.revision, key == seen.key) {
            (Some(revision), true) => self.changes.push(Change::replace(key, revision.clone(), value)),
            (Some(revision), false) => {
                self.changes.push(Change::delete(seen.key.clone(), revision.clone()));
                self.changes.push(Change::create(key, value));
            }
            (None, _) => self.changes.push(Change::create(key, value)),
        }
        self.next = Some((self.changes.len().saturating_sub(1), next));
        Ok(())
    }

    /// The next state of some bytes.
    pub(super) fn blob(&mut self, seen: &Seen<Option<blob::Entry>>, to: &blob::Transition) {
        self.put(seen, to.entry.to_bytes());
        self.records.push(Noted::of_bytes(to.audit.clone()));
    }

    /// Another copy of some bytes, in the place of one that is full, which is put aside as it is.
    pub(super) fn further(&mut self, full: &Seen<Option<blob::Entry>>, to: &blob::Transition) -> Result<()> {
        if let Some(entry) = &full.value {
            self.changes.push(Change::create(older_copy(&entry.key())?, entry.to_bytes()));
        }
        self.blob(full, to);
        Ok(())
    }

    /// A record of the chain that is no step of an upload.
    pub(super) fn said(&mut self, said: AuditDraft) {
        self.records.push(Noted::of_bytes(said));
    }

    /// What a component accepted.
    pub(super) fn accepted(&mut self, seen: &Seen<Accepted>, next: &Accepted) {
        self.put(seen, next.to_bytes());
    }

    /// What a version of a component stands for.
    pub(super) fn claim(&mut self, seen: &Seen<Option<VersionClaim>>, next: &VersionClaim) {
        self.put(seen, next.to_bytes());
    }

    /// What a component accepted, lowered at the wish of somebody.
    pub(super) fn lowered(&mut self, seen: &Seen<Accepted>, next: &Accepted, said: AuditDraft) {
        self.accepted(seen, next);
        self.records.push(Noted::of_bytes(said));
    }

    /// Which upload a key of a sender stands for.
    pub(super) fn pointer(&mut self, seen: &Seen<Option<IngestId>>, id: IngestId) {
        self.put(seen, id.to_string().into_bytes());
    }

    /// The next value of a record that is none of the above.
    pub(super) fn record<T>(&mut self, seen: &Seen<T>, value: Vec<u8>) {
        self.put(seen, value);
    }

    /// Takes a record away; nothing where there is none.
    pub(super) fn remove<T>(&mut self, seen: &Seen<T>) {
        self.changes.extend(seen.revision.clone().map(|revision| Change::delete(seen.key.clone(), revision)));
    }

    /// An audit record that belongs to no step of an upload or of some bytes.
    pub(super) fn note(&mut self, draft: AuditDraft) {
        self.records.push(Noted::of_bytes(draft));
    }

    /// Removes the record of something that ended, and says so.
    pub(super) fn forget<T>(&mut self, seen: &Seen<T>, said: AuditDraft) {
        self.remove(seen);
        self.records.push(Noted::of_bytes(said));
    }

    /// A record that stays as it is.
    pub(super) fn keep(&mut self, key: LedgerKey, value: impl Into<Bytes>) {
        self.changes.push(Change::create(key, value));
    }

    fn put<T>(&mut self, seen: &Seen<T>, value: Vec<u8>) {
        self.changes.push(Change { key: seen.key.clone(), expected: seen.revision.clone(), value: Some(value.into()) });
    }
}

/// Uploads that are to be gone on with, and those that rest.
pub(super) const OPEN: &str = "ingest/open";
pub(super) const REST: &str = "ingest/rest";

/// Releases.
pub(super) const RELEASES: &str = "release";

/// What is to be removed, in the order of the times at which that is due.
pub(super) const DUE: &str = "due";

fn shelf(ingest: &Ingest) -> &'static str {
    if ingest.state.is_end() { REST } else { OPEN }
}

pub(super) fn at(folder: &str, name: &str) -> Result<LedgerKey> {
    Ok(LedgerKey::new(format!("{folder}/{name}"))?)
}

/// Returns where a copy of some bytes is kept that is not the newest.
pub(super) fn older_copy(copy: &BlobKey) -> Result<LedgerKey> {
    at("blob", &copy.to_string())
}

/// Names that may hold any text are kept by their digest.
pub(super) fn digest_of(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

pub(super) fn unreadable(key: &LedgerKey, error: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(format!("the record `{key}`: {error}"))
}
