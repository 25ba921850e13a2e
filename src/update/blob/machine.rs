//! The state machine of a blob in the ledger.

use super::super::ingest::{self, Ingest};
use super::{Entry, State};
use crate::audit::Holder;
use crate::audit::{Action, AuditDraft};
use crate::manifest::ActorId;
use crate::store::{BlobKey, BlobRef, Generation};
use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;

/// An input of the blob machine.
///
/// ```
/// use fhir_devices::store::Generation;
/// use fhir_devices::update::blob::Input;
/// assert_ne!(Input::Committed { generation: Generation(1) }, Input::AbsenceConfirmed { generation: Generation(1) });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A holder needs the bytes.
    Held {
        /// Digest and size.
        blob: BlobRef,
        /// The holder.
        by: Holder,
        /// A generation that was never given before, for bytes that have none. Number 0 is never given.
        fresh: Generation,
        /// How many uploads may hold one copy of them. Who asks for no upload is not counted.
        max_holders: usize,
        /// The actor who asked for it, where that is no upload.
        actor: Option<ActorId>,
    },
    /// The bytes are in the store under their name, complete and checked.
    Committed {
        /// The generation.
        generation: Generation,
    },
    /// A holder no longer needs the bytes.
    Released {
        /// The holder.
        by: Holder,
        /// The actor who asked for it, where that is no upload.
        actor: Option<ActorId>,
    },
    /// A collection is due.
    CollectionDue {
        /// The grace period without holders.
        grace: Duration,
    },
    /// The bytes were deleted, and the store confirmed it.
    AbsenceConfirmed {
        /// The generation.
        generation: Generation,
    },
}

/// An effect to perform. It is idempotent: the name of the blob is its key.
///
/// ```
/// # use fhir_devices::{store::{BlobRef, Generation}, update::blob::*};
/// let entry = Entry { blob: BlobRef::of(b"firmware"), generation: Generation(1), state: State::Condemned };
/// assert_eq!(resume(&entry), Some(Effect::DeleteBytes { key: entry.key() }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Delete the bytes, and confirm that they are gone.
    DeleteBytes {
        /// Their name.
        key: BlobKey,
    },
}

/// Returns the outstanding effect of an entry.
#[must_use]
pub fn resume(entry: &Entry) -> Option<Effect> {
    match entry.state {
        State::Condemned => Some(Effect::DeleteBytes { key: entry.key() }),
        State::Live { .. } | State::Gone => None,
    }
}

/// A transition: the entry and its audit record, to be written in one commit, and the effect after it.
///
/// Made by [`step`], whose example reads one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The new entry.
    pub entry: Entry,
    /// Its audit record.
    pub audit: AuditDraft,
    /// The effect to perform once it is written.
    pub effect: Option<Effect>,
}

/// The result of an input.
///
/// ```
/// # use fhir_devices::audit::Holder;
/// # use fhir_devices::{manifest::IngestId, store::Generation, update::blob::*};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let released = Input::Released { by: Holder::Ingest(IngestId(7)), actor: None };
/// assert_eq!(step(None, &released, now), Ok(Step::Unchanged));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a step is looked at and taken apart at once")]
pub enum Step {
    /// The state changes.
    Transition(Transition),
    /// The input was applied before, or is obsolete.
    Unchanged,
}

/// Why an input of the blob machine is refused.
///
/// ```
/// use fhir_devices::update::blob::Refusal;
/// assert_eq!(Refusal::Condemned.to_string(), "the bytes are being deleted, and can be had again after that");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are being deleted. Once they are gone, a holder gets a new generation.
    #[error("the bytes are being deleted, and can be had again after that")]
    Condemned,
    /// This copy has the maximum number of holders. A further upload gets a copy of its own, with its own entry.
    #[error("the bytes have the maximum number of uploads")]
    Full,
    /// The bytes do not exist: only an upload or a release brings some.
    #[error("the bytes are not there")]
    Absent,
    /// The digest is the same, the size differs.
    #[error("the entry is of other bytes")]
    OtherContent,
    /// The generation differs from the one in the ledger.
    #[error("the bytes have another generation")]
    OtherGeneration,
    /// The generation was used before.
    #[error("the generation was given before")]
    GenerationUsed,
    /// The retention of the bytes has not ended.
    #[error("the bytes are to be kept for longer")]
    Retained,
    /// A holder needs the bytes.
    #[error("the bytes are needed")]
    Needed,
    /// The grace period has not ended.
    #[error("the bytes were needed until a short time ago")]
    NotDue,
    /// The bytes were not condemned.
    #[error("the bytes are not condemned")]
    NotCondemned,
}

type Answer = Result<Step, Refusal>;

/// Applies an input to a state, and returns the result. Every input has a result in every state; `None` is the state of bytes that nobody
/// ever needed.
///
/// # Errors
/// The [`Refusal`] when it cannot be true of these bytes, contradicts what is known, or comes too early or too late.
///
/// ```
/// # use fhir_devices::audit::Holder;
/// # use fhir_devices::{manifest::IngestId, store::{BlobRef, Generation}, update::blob::*};
/// # use std::time::Duration;
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let (blob, by) = (BlobRef::of(b"firmware"), Holder::Ingest(IngestId(7)));
/// let held = Input::Held { blob, by, fresh: Generation(1), max_holders: 256, actor: None };
/// let Step::Transition(transition) = step(None, &held, now)? else { panic!() };
/// assert_eq!(step(Some(&transition.entry), &held, now), Ok(Step::Unchanged));
/// let collector = Input::CollectionDue { grace: Duration::ZERO };
/// assert_eq!(step(Some(&transition.entry), &collector, now), Err(Refusal::Needed));
/// # Ok::<(), Refusal>(())
/// ```
pub fn step(entry: Option<&Entry>, input: &Input, now: OffsetDateTime) -> Answer {
    match input {
        Input::Held { blob, by, fresh, max_holders, actor } => match entry {
            Some(entry) if entry.blob != *blob => Err(Refusal::OtherContent),
            Some(entry) => match &entry.state {
                State::Live { present, holders, .. } => {
                    let Some(holders) = with(holders, by) else { return Ok(Step::Unchanged) };
                    if matches!(by, Holder::Ingest(_)) && uploads(&holders) > *max_holders {
                        return Err(Refusal::Full);
                    }
                    let state = State::Live { present: *present, holders, idle_since: None };
                    to(Some(entry), Entry { state, ..*entry }, Action::Held, Some((by, actor.as_ref())), now)
                }
                State::Condemned => Err(Refusal::Condemned),
                State::Gone if entry.generation == *fresh => Err(Refusal::GenerationUsed),
                State::Gone => begin(Some(entry), *blob, by, *fresh, actor.as_ref(), now),
            },
            None => begin(None, *blob, by, *fresh, actor.as_ref(), now),
        },
        Input::Committed { generation } => {
            let entry = entry.ok_or(Refusal::Absent)?;
            match &entry.state {
                State::Live { .. } | State::Condemned | State::Gone if entry.generation != *generation => {
                    Err(Refusal::OtherGeneration)
                }
                State::Live { present: true, .. } => Ok(Step::Unchanged),
                State::Live { holders, idle_since, .. } => {
                    let state = State::Live { present: true, holders: holders.clone(), idle_since: *idle_since };
                    to(Some(entry), Entry { state, ..*entry }, Action::Committed, None, now)
                }
                State::Condemned => Err(Refusal::Condemned),
                State::Gone => Err(Refusal::Absent),
            }
        }
        Input::Released { by, actor } => {
            let Some(entry) = entry else { return Ok(Step::Unchanged) };
            match &entry.state {
                State::Live { holders, .. } if !holders.contains(by) => Ok(Step::Unchanged),
                State::Live { .. } if matches!(by, Holder::Retention { .. }) && by.counts(now) => {
                    Err(Refusal::Retained)
                }
                State::Live { present, holders, .. } => {
                    let mut holders = holders.clone();
                    holders.remove(by);
                    let idle_since = holders.is_empty().then_some(now);
                    let state = State::Live { present: *present, holders, idle_since };
                    to(Some(entry), Entry { state, ..*entry }, Action::Released, Some((by, actor.as_ref())), now)
                }
                State::Condemned | State::Gone => Ok(Step::Unchanged),
            }
        }
        Input::CollectionDue { grace } => {
            let Some(entry) = entry else { return Ok(Step::Unchanged) };
            match &entry.state {
                State::Live { holders, .. } if holders.iter().any(|holder| holder.counts(now)) => Err(Refusal::Needed),
                State::Live { holders, idle_since, .. } => {
                    let grace = time::Duration::try_from(*grace).unwrap_or(time::Duration::MAX);
                    let idle = holders.iter().filter_map(end_of).chain(*idle_since).max().unwrap_or(now);
                    if now < idle.saturating_add(grace) {
                        return Err(Refusal::NotDue);
                    }
                    to(Some(entry), Entry { state: State::Condemned, ..*entry }, Action::Condemned, None, now)
                }
                State::Condemned | State::Gone => Ok(Step::Unchanged),
            }
        }
        Input::AbsenceConfirmed { generation } => {
            let entry = entry.ok_or(Refusal::Absent)?;
            match &entry.state {
                State::Live { .. } | State::Condemned | State::Gone if entry.generation != *generation => {
                    Err(Refusal::OtherGeneration)
                }
                State::Live { .. } => Err(Refusal::NotCondemned),
                State::Condemned => to(Some(entry), Entry { state: State::Gone, ..*entry }, Action::Gone, None, now),
                State::Gone => Ok(Step::Unchanged),
            }
        }
    }
}

fn uploads(holders: &BTreeSet<Holder>) -> usize {
    holders.iter().filter(|holder| matches!(holder, Holder::Ingest(_))).count()
}

fn end_of(holder: &Holder) -> Option<OffsetDateTime> {
    match holder {
        Holder::Retention { until, .. } => Some(*until),
        Holder::Ingest(_) | Holder::Release(_) | Holder::LegalHold(_) => None,
    }
}

/// Returns the holders with one more, or with a retention that was made longer; [`None`] where that is nothing new.
fn with(holders: &BTreeSet<Holder>, by: &Holder) -> Option<BTreeSet<Holder>> {
    if let Holder::Retention { pin, until } = by {
        let mut same = holders.iter().filter(|holder| matches!(holder, Holder::Retention { pin: p, .. } if p == pin));
        if same.any(|holder| end_of(holder) >= Some(*until)) {
            return None;
        }
        let others = holders.iter().filter(|holder| !matches!(holder, Holder::Retention { pin: p, .. } if p == pin));
        return Some(others.cloned().chain([by.clone()]).collect());
    }
    let mut holders = holders.clone();
    holders.insert(by.clone()).then_some(holders)
}

fn begin(
    before: Option<&Entry>,
    blob: BlobRef,
    by: &Holder,
    fresh: Generation,
    actor: Option<&ActorId>,
    now: OffsetDateTime,
) -> Answer {
    match by {
        Holder::Retention { .. } | Holder::LegalHold(_) => Err(Refusal::Absent),
        Holder::Ingest(_) | Holder::Release(_) if fresh == Generation(0) => Err(Refusal::GenerationUsed),
        Holder::Ingest(_) | Holder::Release(_) => {
            let state = State::Live { present: false, holders: BTreeSet::from([by.clone()]), idle_since: None };
            to(before, Entry { blob, generation: fresh, state }, Action::Held, Some((by, actor)), now)
        }
    }
}

fn to(
    before: Option<&Entry>,
    entry: Entry,
    action: Action,
    by: Option<(&Holder, Option<&ActorId>)>,
    now: OffsetDateTime,
) -> Answer {
    let mut audit = AuditDraft::new(now, action, before.map(|entry| entry.state.name()), entry.state.name());
    (audit.blob, audit.generation) = (Some(entry.blob), Some(entry.generation));
    audit.holder = by.map(|(holder, _)| holder.clone());
    audit.actor = by.and_then(|(_, actor)| actor.cloned());
    Ok(Step::Transition(Transition { effect: resume(&entry), audit, entry }))
}

/// Returns the entry after a transition, by its audit record: the same step, done again.
pub(super) fn replay(before: Option<&Entry>, audit: &AuditDraft) -> Option<Entry> {
    if audit.ingest.is_some() {
        return None;
    }
    let (blob, generation) = (audit.blob?, audit.generation?);
    let by = || audit.holder.clone();
    let input = match audit.action {
        Action::Held => Input::Held { blob, by: by()?, fresh: generation, max_holders: usize::MAX, actor: None },
        Action::Committed => Input::Committed { generation },
        Action::Released => Input::Released { by: by()?, actor: None },
        Action::Condemned => Input::CollectionDue { grace: Duration::ZERO },
        Action::Gone => Input::AbsenceConfirmed { generation },
        Action::Opened
        | Action::Extended
        | Action::Acquired
        | Action::Stored
        | Action::Targeted
        | Action::Retried
        | Action::Attached
        | Action::Superseded
        | Action::Restored
        | Action::MadeCurrent
        | Action::NotRestored
        | Action::Marked
        | Action::Reattached
        | Action::Lost
        | Action::ReferenceRemoved
        | Action::Forgotten
        | Action::Withdrawn
        | Action::Retired
        | Action::Failed
        | Action::Detached
        | Action::Closed
        | Action::Quarantined
        | Action::Readmitted
        | Action::Swept
        | Action::Damaged
        | Action::Repaired
        | Action::DamageCleared
        | Action::StoreAdopted
        | Action::SequenceLowered
        | Action::Distributed
        | Action::LaneSealed => return None,
    };
    match step(before, &input, audit.at) {
        Ok(Step::Transition(transition)) => Some(transition.entry),
        Ok(Step::Unchanged) | Err(_) => None,
    }
}

/// Returns whether a holder needs bytes of this name, by the record of its upload as it was read after the entry;
/// `None` where there is no such record. A hold that is not justified was left behind, and may be released.
///
/// ```
/// # use fhir_devices::audit::Holder;
/// # use fhir_devices::{manifest::IngestId, store::{BlobRef, Generation}, update::blob::*};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let key = BlobRef::of(b"firmware").key(Generation(1));
/// assert!(!justified(&Holder::Ingest(IngestId(7)), None, &key, now));
/// assert!(justified(&Holder::LegalHold("case-7".parse()?), None, &key, now));
/// # Ok::<(), fhir_devices::manifest::NotAName>(())
/// ```
#[must_use]
pub fn justified(holder: &Holder, ingest: Option<&Ingest>, key: &BlobKey, now: OffsetDateTime) -> bool {
    match (holder, ingest) {
        (Holder::Ingest(_), None) => false,
        // A record of another upload tells nothing.
        (Holder::Ingest(id), Some(ingest)) if ingest.id != *id => true,
        (Holder::Ingest(_), Some(ingest)) => match &ingest.state {
            // It may be about to say that it has them.
            ingest::State::Open { .. } => true,
            ingest::State::Withdrawn { released: true, .. } | ingest::State::Closed { .. } => false,
            ingest::State::Acquired { .. }
            | ingest::State::Stored { .. }
            | ingest::State::Attached { .. }
            | ingest::State::Superseded { .. }
            | ingest::State::Restoring { .. }
            | ingest::State::Withdrawn { .. }
            | ingest::State::Releasing { .. } => ingest.state.key() == Some(*key),
        },
        (Holder::Release(_) | Holder::Retention { .. } | Holder::LegalHold(_), _) => holder.counts(now),
    }
}

/// What to do with bytes that were found in the store.
///
/// ```
/// use fhir_devices::update::blob::Sweep;
/// assert_ne!(Sweep::Keep, Sweep::Delete);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sweep {
    /// Keep them: the ledger decides.
    Keep,
    /// Delete them: they can never be needed again.
    Delete,
}

/// Decides what to do with bytes found in the store under this name, by the entry of that name as it
/// was read after they were found.
///
/// It is safe at any time: a name is held before it is written to, and no generation comes back. Those of generation 0 are
/// from before there was a ledger, and are kept.
///
/// ```
/// # use fhir_devices::{store::{BlobRef, Generation}, update::blob::*};
/// let blob = BlobRef::of(b"firmware");
/// assert_eq!(sweep(&blob.key(Generation(1)), None), Sweep::Delete);
/// let gone = Entry { blob, generation: Generation(1), state: State::Gone };
/// assert_eq!(sweep(&gone.key(), Some(&gone)), Sweep::Delete);
/// ```
#[must_use]
pub fn sweep(found: &BlobKey, entry: Option<&Entry>) -> Sweep {
    match entry {
        _ if found.generation == Generation(0) => Sweep::Keep,
        None => Sweep::Delete,
        Some(entry) if entry.blob.digest != found.digest => Sweep::Keep,
        Some(entry) if entry.generation != found.generation => Sweep::Delete,
        Some(entry) => match entry.state {
            State::Live { .. } | State::Condemned => Sweep::Keep,
            State::Gone => Sweep::Delete,
        },
    }
}
