//! Replay of states from audit records.

use super::release::Release;
use super::rollout::{After, Event, Lane, LaneSeal, Rollout, RolloutId};
use super::{blob, ingest};
use crate::audit::{Action, AuditDraft, AuditRecord, Holder, StateName};
use crate::manifest::{IngestId, ReleaseId};
use crate::store::{BlobKey, BlobRef, Generation, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// States after the last record.
///
/// ```
/// use fhir_devices::update::replay;
/// assert!(replay([])?.uploads.is_empty());
/// # Ok::<(), fhir_devices::update::Unfit>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// State of each upload.
    pub uploads: BTreeMap<IngestId, ingest::State>,
    /// Ledger record of each copy of a blob.
    pub blobs: BTreeMap<BlobKey, blob::Entry>,
    /// Files in quarantine.
    pub quarantined: BTreeSet<BlobKey>,
    /// Files that are known to be damaged.
    pub damaged: BTreeSet<BlobKey>,
    /// The releases.
    pub releases: BTreeMap<ReleaseId, Release>,
    /// Rollouts. Their lanes have chains of their own, which [`ReplayedLane`](super::rollout::ReplayedLane) reads.
    pub rollouts: BTreeMap<RolloutId, Rollout>,
    /// Last recorded length and last digest of the chain of each lane.
    pub lanes: BTreeMap<(RolloutId, Lane), LaneSeal>,
    /// Newest copy of each blob.
    newest: BTreeMap<Sha256, Generation>,
}

/// Error for a record that does not continue the previous one about the same object: a transition was not recorded.
///
/// ```
/// use fhir_devices::audit::StateName;
/// use fhir_devices::update::Unfit;
/// let unfit = Unfit { index: 7, from: Some(StateName::Stored), reached: Some(StateName::Open) };
/// assert_eq!(unfit.to_string(), "record 7 does not lead on from the state `open`, and says it goes on from the state `stored`");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index} does not lead on from {}, and says it goes on from {}", state(.reached), state(.from))]
pub struct Unfit {
    /// Index of the record in the chain.
    pub index: u64,
    /// State before the transition, by the record.
    pub from: Option<StateName>,
    /// State after the records before it.
    pub reached: Option<StateName>,
}

fn state(name: &Option<StateName>) -> String {
    name.map_or_else(|| "nothing".to_owned(), |name| format!("the state `{name}`"))
}

/// Returns the states after the records of one tenant, in the order of the chain.
///
/// Every record must continue from the state after the previous one about the same object, and the state machine must
/// agree, so that a transition without a record is detected. [`verify`](crate::audit::verify) checks that the records
/// are authentic.
///
/// # Errors
/// [`Unfit`] for the first record that does not continue from the reached state.
///
/// ```
/// # use fhir_devices::audit::*;
/// # use fhir_devices::update::{replay, ingest::{Ingest, Intent, Limits}};
/// # use fhir_devices::manifest::IngestId;
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let by = RecordContext::by(Actor::service("gateway".parse()?));
/// let (ingest, draft) = Ingest::open(IngestId(7), intent, Limits::default(), now);
/// let first = ChainHead::start("st-mary".parse()?).append(draft, by);
/// assert_eq!(replay([&first.record])?.uploads[&ingest.id], ingest.state);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replay<'r>(records: impl IntoIterator<Item = &'r AuditRecord>) -> Result<Replayed, Unfit> {
    let mut replayed = Replayed::default();
    for AuditRecord { index, draft, .. } in records {
        replayed.add(draft).map_err(|reached| Unfit { index: *index, from: draft.from, reached })?;
    }
    Ok(replayed)
}

impl Replayed {
    /// Applies one record; returns the reached state as error if the record does not fit.
    fn add(&mut self, draft: &AuditDraft) -> Result<(), Option<StateName>> {
        let key = draft.blob.zip(draft.generation).map(|(blob, generation)| blob.key(generation));
        match draft.action {
            Action::StoreAdopted => return Ok(()),
            Action::Distributed => return self.add_event(draft).ok_or(None),
            Action::LaneSealed => {
                let seal = LaneSeal::of_audit(draft).ok_or(None)?;
                let before = self.lanes.insert((seal.rollout, seal.lane), seal);
                let goes_on = before.is_none_or(|before| before.count <= seal.count);
                return if goes_on && self.rollouts.contains_key(&seal.rollout) { Ok(()) } else { Err(None) };
            }
            Action::Quarantined | Action::Readmitted | Action::Swept => {
                return note(&mut self.quarantined, key, draft, Action::Quarantined, StateName::Quarantined);
            }
            Action::Damaged | Action::DamageCleared => {
                return note(&mut self.damaged, key, draft, Action::Damaged, StateName::Damaged);
            }
            _ => {}
        }
        match (draft.ingest, draft.blob) {
            (Some(id), _) if draft.action == Action::Forgotten => {
                let reached = self.uploads.get(&id).map(ingest::State::name);
                if reached != draft.from || reached != Some(StateName::Closed) {
                    return Err(reached);
                }
                self.uploads.remove(&id);
            }
            (None, Some(blob)) if draft.action == Action::Forgotten => {
                let key = draft.generation.map(|generation| blob.key(generation)).ok_or(None)?;
                let reached = self.blobs.get(&key).map(|entry| entry.state.name());
                if reached != draft.from || reached != Some(StateName::Gone) {
                    return Err(reached);
                }
                self.blobs.remove(&key);
                if self.newest.get(&key.digest) == Some(&key.generation) {
                    self.newest.remove(&key.digest);
                }
            }
            (Some(id), _) => {
                let reached = self.uploads.get(&id).map(ingest::State::name);
                let state = ingest::State::of_audit(draft).filter(|_| reached == draft.from).ok_or(reached)?;
                self.uploads.insert(id, state);
            }
            (None, Some(blob)) => {
                let before = self.before(&blob, draft);
                let reached = before.map(|entry| entry.state.name());
                let entry = blob::Entry::of_audit(before, draft).filter(|_| reached == draft.from);
                let entry = entry.filter(|entry| Some(entry.generation) == draft.generation).ok_or(reached)?;
                let before = before.map(blob::Entry::key);
                if before != Some(entry.key()) {
                    // A copy that is gone is replaced by the one begun after it.
                    before.map(|gone| self.blobs.remove(&gone));
                    self.newest.insert(blob.digest, entry.generation);
                }
                self.blobs.insert(entry.key(), entry);
            }
            // The record is about no upload and no blob.
            (None, None) if draft.action == Action::SequenceLowered && draft.to == StateName::Accepted => {}
            (None, None) if draft.action == Action::ReferenceRemoved => {}
            // The reference of an upload that stays withdrawn was written again.
            (None, None) if draft.action == Action::Reattached && draft.to == StateName::Withdrawn => {}
            (None, None) => return Err(None),
        }
        Ok(())
    }

    /// Applies an event of a release or a rollout. Only its first event creates it.
    fn add_event(&mut self, draft: &AuditDraft) -> Option<()> {
        use super::rollout::Action;
        let event = Event::of_audit(draft)?;
        let known = match event.after {
            After::Release(release) if event.release == Some(release.id) => {
                self.releases.insert(release.id, *release).is_some()
            }
            After::Rollout(rollout) if event.rollout == Some(rollout.id) => {
                self.rollouts.insert(rollout.id, *rollout).is_some()
            }
            _ => return None,
        };
        let begins = matches!(event.action, Action::ReleaseDrafted | Action::RolloutDrafted);
        (known != begins).then_some(())
    }

    /// Returns the entry that a record continues: that of its copy, or else that of the newest copy, unless the record
    /// begins a further copy.
    fn before(&self, blob: &BlobRef, draft: &AuditDraft) -> Option<&blob::Entry> {
        if let Some(known) = draft.generation.and_then(|generation| self.blobs.get(&blob.key(generation))) {
            return Some(known);
        }
        let newest = self.newest.get(&blob.digest).and_then(|generation| self.blobs.get(&blob.key(*generation)))?;
        // A further copy is begun if the newest is held by an upload or a release, or is damaged.
        let damaged = self.damaged.contains(&newest.key());
        let held = newest.holders().any(|holder| matches!(holder, Holder::Ingest(_) | Holder::Release(_)));
        let is_further = draft.from.is_none() && (held || damaged);
        (!is_further).then_some(newest)
    }
}

/// Adds a file to a set, or removes it.
fn note(
    files: &mut BTreeSet<BlobKey>,
    key: Option<BlobKey>,
    draft: &AuditDraft,
    begins: Action,
    state: StateName,
) -> Result<(), Option<StateName>> {
    let key = key.ok_or(None)?;
    let reached = files.contains(&key).then_some(state);
    if reached != draft.from {
        return Err(reached);
    }
    if draft.action == begins {
        files.insert(key)
    } else {
        files.remove(&key)
    };
    Ok(())
}
