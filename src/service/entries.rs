//! Ledger entries and audit records written in one commit.

use crate::audit::{Action, Actor, AuditDraft, RecordContext, Verdict, Verification};
use crate::manifest::{ActorId, IngestId, UpdateName};
use crate::store::{BlobKey, Change, LedgerKey, Result, Revision, Sha256, StoreError, VersionId};
use crate::update::ingest::{self, Ingest, State};
use crate::update::{Accepted, VersionClaim, blob};
use bytes::Bytes;
use time::OffsetDateTime;

/// A record as it was read, or the key of a missing one.
#[derive(Clone, Debug)]
pub(super) struct Seen<T> {
    pub(super) key: LedgerKey,
    pub(super) revision: Option<Revision>,
    pub(super) value: T,
}

/// Details of a step of an upload that the driver knows and the state machine does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StepContext {
    /// The versions of the component before and after a write that the step itself does not name.
    pub(super) wrote: Option<(VersionId, VersionId)>,
    /// The version of the component in which the update is current again.
    pub(super) current_in: Option<VersionId>,
    /// Whether signatures were refused.
    pub(super) refused: bool,
}

/// The audit record of one step, with its details.
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
            // The verification is recorded where an upload begins, where it is checked, and where devices see it.
            Action::Opened | Action::Targeted | Action::Attached => Some(match &ingest.signed {
                Some(signed) => (Verdict::Verified, signed.keys.clone()),
                None => (Verdict::Unsigned, Vec::new()),
            }),
            _ => None,
        };
        // A reference is written on the condition that the previous version is the newest.
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

/// The changes and audit records of one step.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) changes: Vec<Change>,
    pub(super) records: Vec<Noted>,
    /// The upload after the step, and the index of its change.
    pub(super) next: Option<(usize, Ingest)>,
    /// The uploads with something to be removed later.
    pub(super) kept: Vec<(IngestId, Kept)>,
}

/// Data that is removed after a retention period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// The reference of a withdrawn update.
    Withdrawn { until: OffsetDateTime },
    /// The record of an upload that failed before its bytes arrived.
    Aborted,
    /// The record of an upload that ended later.
    Ended,
}

impl Kept {
    /// Returns what must be removed later, after a step from one state to another.
    fn after(from: &State, to: &State) -> Option<Self> {
        match (from, to) {
            (_, State::Withdrawn { until, released: true, .. }) => Some(Self::Withdrawn { until: *until }),
            (State::Open { .. }, State::Closed { .. }) => Some(Self::Aborted),
            (_, State::Closed { .. }) => Some(Self::Ended),
            _ => None,
        }
    }

    /// Returns the form in the ledger: the state of the upload at that time decides what is removed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn { .. } => "withdrawn",
            Self::Aborted | Self::Ended => Self::CLOSED,
        }
    }

    /// The form of a record that is to be removed.
    pub(super) const CLOSED: &str = "closed";
}

impl Entries {
    /// Adds a new upload, and returns its record.
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

    /// Adds the next state of an upload. An upload at rest is stored apart from those with outstanding work.
    pub(super) fn ingest(
        &mut self,
        seen: &Seen<Ingest>,
        to: ingest::Transition,
        step_context: StepContext,
    ) -> Result<()> {
        let next = self.stepped(&seen.value, to, step_context);
        self.ingest_as(seen, next)
    }

    /// Adds the audit record of a step of an upload, and returns the upload after it. After several steps,
    /// [`ingest_as`](Self::ingest_as) writes the last state.
    pub(super) fn stepped(&mut self, ingest: &Ingest, to: ingest::Transition, step_context: StepContext) -> Ingest {
        let next = ingest.after(&to, step_context.current_in);
        self.kept.extend(Kept::after(&ingest.state, &next.state).map(|kept| (next.id, kept)));
        self.records.push(Noted::of(&next, to.audit, step_context));
        next
    }

    /// Adds the state of an upload after its steps.
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

    /// Adds the next state of some bytes.
    pub(super) fn blob(&mut self, seen: &Seen<Option<blob::Entry>>, to: &blob::Transition) {
        self.put(seen, to.entry.to_bytes());
        self.records.push(Noted::of_bytes(to.audit.clone()));
    }

    /// Adds another copy of some bytes, and moves the full one aside unchanged.
    pub(super) fn further(&mut self, full: &Seen<Option<blob::Entry>>, to: &blob::Transition) -> Result<()> {
        if let Some(entry) = &full.value {
            self.changes.push(Change::create(older_copy(&entry.key())?, entry.to_bytes()));
        }
        self.blob(full, to);
        Ok(())
    }

    /// Adds an audit record that is not a step of an upload.
    pub(super) fn said(&mut self, said: AuditDraft) {
        self.records.push(Noted::of_bytes(said));
    }

    /// Adds the accepted sequence numbers of a component.
    pub(super) fn accepted(&mut self, seen: &Seen<Accepted>, next: &Accepted) {
        self.put(seen, next.to_bytes());
    }

    /// Adds the claim of a component's version.
    pub(super) fn claim(&mut self, seen: &Seen<Option<VersionClaim>>, next: &VersionClaim) {
        self.put(seen, next.to_bytes());
    }

    /// Adds lowered accepted sequence numbers of a component, with an audit record.
    pub(super) fn lowered(&mut self, seen: &Seen<Accepted>, next: &Accepted, said: AuditDraft) {
        self.accepted(seen, next);
        self.records.push(Noted::of_bytes(said));
    }

    /// Adds the upload that an idempotency key stands for.
    pub(super) fn pointer(&mut self, seen: &Seen<Option<IngestId>>, id: IngestId) {
        self.put(seen, id.to_string().into_bytes());
    }

    /// Adds the next value of any other record.
    pub(super) fn record<T>(&mut self, seen: &Seen<T>, value: Vec<u8>) {
        self.put(seen, value);
    }

    /// Removes a record; does nothing where there is none.
    pub(super) fn remove<T>(&mut self, seen: &Seen<T>) {
        self.changes.extend(seen.revision.clone().map(|revision| Change::delete(seen.key.clone(), revision)));
    }

    /// Adds an audit record that belongs to no step of an upload or of some bytes.
    pub(super) fn note(&mut self, draft: AuditDraft) {
        self.records.push(Noted::of_bytes(draft));
    }

    /// Removes the record of something that ended, with an audit record.
    pub(super) fn forget<T>(&mut self, seen: &Seen<T>, said: AuditDraft) {
        self.remove(seen);
        self.records.push(Noted::of_bytes(said));
    }

    /// Adds a record that never changes.
    pub(super) fn keep(&mut self, key: LedgerKey, value: impl Into<Bytes>) {
        self.changes.push(Change::create(key, value));
    }

    fn put<T>(&mut self, seen: &Seen<T>, value: Vec<u8>) {
        self.changes.push(Change { key: seen.key.clone(), expected: seen.revision.clone(), value: Some(value.into()) });
    }
}

/// Uploads with outstanding work, and uploads at rest.
pub(super) const OPEN: &str = "ingest/open";
pub(super) const REST: &str = "ingest/rest";

/// Releases.
pub(super) const RELEASES: &str = "release";

/// Data to be removed, in the order of the due times.
pub(super) const DUE: &str = "due";

fn shelf(ingest: &Ingest) -> &'static str {
    if ingest.state.is_end() { REST } else { OPEN }
}

pub(super) fn at(folder: &str, name: &str) -> Result<LedgerKey> {
    Ok(LedgerKey::new(format!("{folder}/{name}"))?)
}

/// Returns the key of a copy of some bytes that is not the newest.
pub(super) fn older_copy(copy: &BlobKey) -> Result<LedgerKey> {
    at("blob", &copy.to_string())
}

/// Returns the digest under which a name with arbitrary characters is stored.
pub(super) fn digest_of(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

pub(super) fn unreadable(key: &LedgerKey, error: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(format!("the record `{key}`: {error}"))
}
