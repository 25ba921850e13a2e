//! State machine of a blob in the ledger.

use super::super::ingest::{self, Ingest};
use super::{Entry, State};
use crate::audit::Holder;
use crate::audit::{Action, AuditDraft};
use crate::manifest::ActorId;
use crate::store::{BlobKey, BlobRef, Generation};
use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;

/// Input of the blob machine.
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
        /// New holder.
        by: Holder,
        /// Generation never used before, for bytes that have none. Generation 0 is never used.
        fresh: Generation,
        /// Maximum number of uploads that hold one copy. Other holders are not counted.
        max_holders: usize,
        /// Actor that asked for it, if not an upload.
        actor: Option<ActorId>,
    },
    /// The bytes are in the store under their key, complete and verified.
    Committed {
        /// Generation of the blob.
        generation: Generation,
    },
    /// A holder no longer needs the bytes.
    Released {
        /// Former holder.
        by: Holder,
        /// Actor that asked for it, if not an upload.
        actor: Option<ActorId>,
    },
    /// A collection is due.
    CollectionDue {
        /// Grace period without holders.
        grace: Duration,
    },
    /// The bytes were deleted, and the store confirmed it.
    AbsenceConfirmed {
        /// Generation of the blob.
        generation: Generation,
    },
}

/// Effect to perform. It is idempotent: the key of the blob is its idempotency key.
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
        /// Key of the blob.
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

/// Transition: the entry and its audit record, to be written in one commit, and the effect after it.
///
/// Returned by [`step`], whose example reads one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// New entry.
    pub entry: Entry,
    /// Audit record of the transition.
    pub audit: AuditDraft,
    /// Effect to perform after the commit.
    pub effect: Option<Effect>,
}

/// Result of an input.
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

/// Reason why an input of the blob machine is refused.
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
    /// The bytes do not exist: only an upload or a release creates an entry.
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

/// Applies an input to an entry. Every input has a result in every state; `None` is the state of bytes that never had
/// an entry.
///
/// # Errors
/// The [`Refusal`] of an input that cannot be true of these bytes, contradicts the entry, or comes too early or too
/// late.
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

/// Adds a holder, or prolongs a retention; [`None`] if nothing changes.
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

/// Replays the transition of an audit record.
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

/// Returns whether a holder needs the blob of this key, by the record of its upload as read after the entry; `None`
/// where there is no such record. An unjustified hold was left behind, and may be released.
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
        // The record of another upload proves nothing.
        (Holder::Ingest(id), Some(ingest)) if ingest.id != *id => true,
        (Holder::Ingest(_), Some(ingest)) => match &ingest.state {
            // The upload may be about to record that it has the bytes.
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

/// What to do with a blob that was found in the store.
///
/// ```
/// use fhir_devices::update::blob::Sweep;
/// assert_ne!(Sweep::Keep, Sweep::Delete);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sweep {
    /// Keep the blob: the ledger decides.
    Keep,
    /// Delete the blob: it can never be needed again.
    Delete,
}

/// Decides what to do with a blob found in the store, by its ledger entry as read after it was found.
///
/// This is safe at any time: a key is held before it is written to, and no generation is reused. Blobs of generation 0
/// are older than the ledger, and are kept.
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
