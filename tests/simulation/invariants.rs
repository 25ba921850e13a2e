//! The invariants after every step and at rest.

use super::fleet::{COMPONENTS, FOREIGN, MADE_UP, now, tenants};
use super::net::{Mutant, real};
use super::signed::UNSIGNED;
use fhir_devices::DeviceComponent;
use fhir_devices::audit::{Action, AuditRecord, Holder, UploadFailure};
use fhir_devices::backend::Memory;
use fhir_devices::manifest::IngestId;
use fhir_devices::search::ResourceType;
use fhir_devices::service::Received;
use fhir_devices::store::*;
use fhir_devices::update::blob::Entry;
use fhir_devices::update::ingest::{Ingest, State};
use fhir_devices::update::replay;
use fhir_devices::update::{AvailableUpdate, UpdateStatus, available};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

/// The observations of callers.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// The answers to uploads: the tenant, the key, the answer.
    pub(crate) answers: Vec<(usize, Option<String>, Received)>,
    /// The uploads that an actor wanted to withdraw or give up.
    pub(crate) unwanted: HashSet<IngestId>,
    /// The acknowledged withdrawals.
    pub(crate) withdrawn: HashSet<IngestId>,
    /// Their keys.
    pub(crate) spent: HashSet<(usize, String)>,
    /// The acknowledged notes of the other writer.
    pub(crate) written: Vec<(usize, usize, String)>,
    /// The components that an actor deleted, or tried to.
    pub(crate) deleted: HashSet<(usize, usize)>,
    /// The faults that calls found.
    pub(crate) faults: Vec<String>,
}

/// The content of a component in its last version read.
#[derive(Default)]
struct Said {
    version: Option<VersionId>,
    updates: Vec<(AvailableUpdate, BlobKey)>,
}

#[derive(Default)]
pub(crate) struct Invariants {
    said: HashMap<(usize, usize), Said>,
    whole: HashSet<(usize, BlobKey)>,
    /// The bytes claimed by the version of updates without a manifest, in each component.
    claimed: HashMap<(usize, usize), Sha256>,
    mutant: Option<Mutant>,
}

macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

impl Invariants {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        Self { mutant, ..Self::default() }
    }

    /// Checks the invariants after a step.
    pub(crate) fn hold(&mut self, memory: &Memory, notes: &Observations) -> Result<(), String> {
        if let Some(fault) = notes.faults.first() {
            return Err(fault.clone());
        }
        for (t, tenant) in tenants().iter().enumerate() {
            let mut seen = HashSet::new();
            for (c, id) in COMPONENTS.iter().enumerate() {
                self.look(memory, notes, (t, tenant), (c, id))?;
                for (update, key) in &self.said[&(t, c)].updates {
                    ensure!(seen.insert(update.id), "I5: {} is referred to twice", update.id);
                    if update.status == UpdateStatus::Withdrawn {
                        continue;
                    }
                    ensure!(
                        !notes.withdrawn.contains(&update.id),
                        "I7: {} was withdrawn and is referred to",
                        update.id
                    );
                    let kept = real(self.mutant, key);
                    let there = now(memory.head(tenant, &kept));
                    let there = there.map_err(|_| format!("I1: {id} refers to {key}, which is not there"))?;
                    ensure!(there == BlobRef { digest: update.sha256, size: update.size }, "I2: other bytes at {key}");
                }
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        memory: &Memory,
        notes: &Observations,
        (t, tenant): (usize, &Tenant),
        (c, id): (usize, &str),
    ) -> Result<(), String> {
        let said = self.said.entry((t, c)).or_default();
        let key = Key::new(ResourceType::DeviceComponent, id).unwrap();
        let Ok(version) = now(memory.read(tenant, &key)) else {
            *said = Said::default();
            return Ok(());
        };
        if said.version == Some(version.version) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(version.body.as_ref().unwrap()).into_owned();
        ensure!(text.contains(FOREIGN), "I10: {id} lost what is not ours: {text}");
        if !notes.deleted.contains(&(t, c)) {
            for (_, _, note) in notes.written.iter().filter(|note| (note.0, note.1) == (t, c)) {
                ensure!(text.contains(&format!(r#""{note}""#)), "I4: {id} lost the note {note}");
            }
        }
        let component = DeviceComponent::from_version(&version).map_err(|error| error.to_string())?;
        let mut updates = Vec::new();
        for update in available(&component) {
            let update = update.map_err(|error| error.to_string())?;
            if update.id == MADE_UP {
                continue;
            }
            let parts: Vec<&str> = update.file.url.as_str().rsplit('/').collect();
            ensure!(parts[2] == tenant.as_str(), "T: {id} of {tenant} refers to {}", update.file.url);
            let key = BlobKey { digest: update.sha256, generation: parts[0].parse().unwrap() };
            ensure!(parts[1] == update.sha256.to_string(), "I2: the address names other bytes");
            // Only a manifest gives a version but this one.
            let signed: Option<&[u8]> = match update.version.as_ref().map(|version| version.as_str()) {
                None => None,
                Some(UNSIGNED) => {
                    let first = *self.claimed.entry((t, c)).or_insert(update.sha256);
                    ensure!(first == update.sha256, "V5: version {UNSIGNED} of {id} has two sets of bytes");
                    None
                }
                Some("1.0.0") => Some(b"firmware"),
                Some("2.0.0") => Some(b"software"),
                Some(other) => return Err(format!("S1: {id} refers to version {other}, which nobody may sign")),
            };
            let as_signed = signed.is_none_or(|signed| update.sha256 == Sha256::of(signed));
            ensure!(as_signed, "S2: {id} refers to other bytes than were signed: {}", update.sha256);
            if update.status != UpdateStatus::Withdrawn && self.whole.insert((t, key)) {
                let read = now(BlobStore::get(memory, tenant, &real(self.mutant, &key), None));
                let mut body = read.map_err(|_| format!("I1: {id} refers to {key}, which is not there"))?.body;
                let mut hasher = BlobHasher::new();
                while let Some(chunk) = now(stream::next(&mut body)) {
                    hasher.update(&chunk.unwrap());
                }
                ensure!(hasher.finish().digest == update.sha256, "I2: the bytes of {key} are others");
            }
            updates.push((update, key));
        }
        for is_signed in [false, true] {
            let has_manifest =
                |update: &AvailableUpdate| update.version.as_ref().is_some_and(|version| version != UNSIGNED);
            let of = updates.iter().filter(|(update, _)| has_manifest(update) == is_signed);
            let numbers: Vec<u64> = of.filter_map(|(update, _)| update.sequence).collect();
            ensure!(numbers.is_sorted_by(|one, next| one < next), "V1: {id} has the numbers {numbers:?}");
        }
        let after = updates.iter().skip_while(|(update, _)| update.sequence.is_none());
        let late = after.filter(|(update, _)| update.sequence.is_none()).count();
        ensure!(late == 0, "V1: {id} has {late} updates without a number after one that has one");
        let current = updates.iter().filter(|(update, _)| update.status == UpdateStatus::Current).count();
        ensure!(current <= 1, "{id} has {current} current updates");
        *said = Said { version: Some(version.version), updates };
        Ok(())
    }

    /// Checks the invariants at rest, after recovery, collection and sweep.
    pub(crate) fn rest(
        &mut self,
        memory: &Memory,
        notes: &Observations,
        t: usize,
        records: &[AuditRecord],
    ) -> Result<(), String> {
        let tenant = &tenants()[t];
        let uploads: BTreeMap<IngestId, Ingest> = records_of(memory, tenant, "ingest")
            .filter(|(key, _)| !key.starts_with("ingest/key"))
            .map(|(_, value)| Ingest::from_bytes(&value).unwrap())
            .map(|ingest| (ingest.id, ingest))
            .collect();
        let entries: BTreeMap<BlobKey, Entry> = records_of(memory, tenant, "blob")
            .map(|(_, value)| Entry::from_bytes(&value).unwrap())
            .map(|entry| (entry.key(), entry))
            .collect();
        let mut wanted = BTreeSet::new();
        for id in COMPONENTS {
            let key = Key::new(ResourceType::DeviceComponent, id).unwrap();
            let text = now(memory.read(tenant, &key)).ok().and_then(|version| version.body);
            let made_up = text.is_some_and(|text| String::from_utf8_lossy(&text).contains("evil.example"));
            ensure!(!made_up, "I12: {id} refers to an update that nobody uploaded");
        }
        for (id, ingest) in &uploads {
            ensure!(ingest.state.is_end(), "I6: {id} is not at rest: {:?}", ingest.state);
            let found = self.said.iter().filter(|((of, _), _)| *of == t).find_map(|((_, c), said)| {
                let update = said.updates.iter().find(|(update, _)| update.id == *id);
                update.map(|(update, key)| (*c, update.status, *key))
            });
            match &ingest.state {
                State::Attached { component, .. } | State::Superseded { component, .. } => {
                    let key = ingest.state.key().unwrap();
                    wanted.insert(real(self.mutant, &key));
                    let holds = entries
                        .get(&key)
                        .is_some_and(|entry| entry.holders().any(|holder| *holder == Holder::Ingest(*id)));
                    ensure!(holds, "I1: nothing holds {key} for {id}");
                    let c = COMPONENTS.iter().position(|known| *known == component.as_str()).unwrap();
                    if notes.deleted.contains(&(t, c)) {
                        continue;
                    }
                    let status = match ingest.state {
                        State::Attached { .. } => UpdateStatus::Current,
                        _ => UpdateStatus::Superseded,
                    };
                    ensure!(
                        found == Some((c, status, key)),
                        "I4: {id} is {:?}, and its component says {found:?}",
                        ingest.state
                    );
                }
                State::Withdrawn { component, .. } => {
                    let c = COMPONENTS.iter().position(|known| *known == component.as_str()).unwrap();
                    let shown = found.is_some_and(|(at, status, _)| (at, status) == (c, UpdateStatus::Withdrawn));
                    ensure!(shown || notes.deleted.contains(&(t, c)), "I7: {id} is withdrawn, and {found:?} is shown");
                }
                _ => ensure!(found.is_none(), "I8: {id} is closed, and a component refers to it: {found:?}"),
            }
        }
        for entry in entries.values() {
            for holder in entry.holders() {
                let needs = match holder {
                    Holder::Ingest(id) => uploads.get(id).is_some_and(|one| one.state.key() == Some(entry.key())),
                    _ => true,
                };
                ensure!(needs, "I8: {} is held for {holder:?}, which does not need it", entry.key());
            }
            if entry.holders().next().is_some() {
                wanted.insert(real(self.mutant, &entry.key()));
            }
        }
        let list = now(memory.list(tenant, NonZeroU32::MAX, None)).unwrap().items;
        let keys = list.iter().map(|info| info.key);
        let kept: BTreeSet<BlobKey> = keys.filter(|key| StoreId::of_marker(key).is_none()).collect();
        ensure!(kept == wanted, "I3: the store has {kept:?}, wanted {wanted:?}");
        let due: BTreeSet<(IngestId, bytes::Bytes)> = records_of(memory, tenant, "due")
            .map(|(key, value)| (key.rsplit('-').next().unwrap().parse().unwrap(), value))
            .collect();
        for (id, ingest) in &uploads {
            let wanted = match ingest.state {
                State::Withdrawn { .. } => "withdrawn",
                State::Closed { .. } => "closed",
                _ => continue,
            };
            ensure!(due.contains(&(*id, wanted.into())), "I11: {id} is {:?}, and never removed", ingest.state);
        }
        for (id, _) in &due {
            ensure!(uploads.contains_key(id), "I11: {id} is to be removed, and not known");
        }
        let forgotten = records.iter().map(|record| &record.draft).filter(|what| what.action == Action::Forgotten);
        let forgotten = forgotten.filter_map(|what| what.ingest).collect();
        self.answers(notes, t, &uploads, &forgotten)?;
        let replayed = replay(records).map_err(|unfit| format!("A3: {unfit}"))?;
        let states: BTreeMap<IngestId, State> = uploads.iter().map(|(id, one)| (*id, one.state.clone())).collect();
        ensure!(replayed.uploads == states, "A1: the records lead to {:?}, and {states:?} is known", replayed.uploads);
        ensure!(replayed.blobs == entries, "A1: the records lead to {:?}, and {entries:?} is known", replayed.blobs);
        Ok(())
    }

    fn answers(
        &self,
        notes: &Observations,
        t: usize,
        uploads: &BTreeMap<IngestId, Ingest>,
        forgotten: &BTreeSet<IngestId>,
    ) -> Result<(), String> {
        let mut keyed: HashMap<&str, &Received> = HashMap::new();
        for (_, key, answer) in notes.answers.iter().filter(|answer| answer.0 == t) {
            let id = answer.update.id;
            if forgotten.contains(&id) {
                continue;
            }
            let Some(ingest) = uploads.get(&id) else {
                return Err(format!("T: {tenant} does not know {id}", tenant = t));
            };
            let attached = matches!(
                ingest.state,
                State::Attached { .. } | State::Superseded { .. } | State::Closed { reason: UploadFailure::Superseded }
            );
            let gone = !notes.deleted.is_empty() || notes.unwanted.contains(&id);
            ensure!(attached || gone, "I4: {id} was acknowledged, and is {:?}", ingest.state);
            let Some(key) = key else { continue };
            let Some(first) = keyed.insert(key, answer) else { continue };
            if first.update.id == id {
                // A later answer tells how the component is by then.
                let same = (first.component.id.as_ref(), first.update.sha256)
                    == (answer.component.id.as_ref(), answer.update.sha256);
                ensure!(same || gone, "I5: {key} got two answers: {first:?} and {answer:?}");
            } else {
                let ended = matches!(uploads[&first.update.id].state, State::Closed { .. });
                ensure!(ended, "I5: {key} stands for {} and for {id}", first.update.id);
            }
        }
        Ok(())
    }
}

fn records_of(memory: &Memory, tenant: &Tenant, prefix: &str) -> impl Iterator<Item = (String, bytes::Bytes)> {
    let prefix = LedgerKey::new(prefix).unwrap();
    let page = now(Ledger::scan(memory, tenant, &prefix, NonZeroU32::MAX, None)).unwrap();
    page.items.into_iter().map(|record| (record.key.as_str().to_owned(), record.value))
}
