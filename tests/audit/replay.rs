//! The records alone rebuild every state.

use super::*;
use fhir_devices::manifest::Acceptance;
use fhir_devices::update::{Replayed, Unfit, replay};
use fhir_devices::update::{blob, ingest};
use std::collections::BTreeMap;

/// The states of the machines, and their audit records.
struct World {
    head: ChainHead,
    records: Vec<AuditRecord>,
    uploads: BTreeMap<IngestId, ingest::Ingest>,
    blobs: BTreeMap<BlobKey, blob::Entry>,
    newest: BTreeMap<Sha256, Generation>,
}

impl World {
    fn new() -> Self {
        Self {
            head: ChainHead::start(tenant()),
            records: Vec::new(),
            uploads: BTreeMap::new(),
            blobs: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    fn record(&mut self, draft: AuditDraft) {
        let added = self.head.append(draft, gateway());
        self.records.push(added.record);
        self.head = added.head;
    }

    fn open(&mut self, id: IngestId, now: OffsetDateTime) {
        if self.uploads.contains_key(&id) {
            return;
        }
        let intent = ingest::Intent::new("d".parse().unwrap(), "f".parse().unwrap(), "a/b".parse().unwrap());
        let intent = ingest::Intent { sequence: Some(6), provider: Some("acme".parse().unwrap()), ..intent };
        let limits = ingest::Limits { max_attempts: 3, ..ingest::Limits::default() };
        let (opened, draft) = ingest::Ingest::open(id, intent, limits, now);
        self.uploads.insert(id, opened);
        self.record(draft);
    }

    fn upload(&mut self, id: IngestId, input: &ingest::Input, now: OffsetDateTime) {
        let Some(upload) = self.uploads.get_mut(&id) else { return };
        if let Ok(ingest::Step::Transition(transition)) = ingest::step(upload, input, now) {
            upload.state = transition.state;
            self.record(transition.audit);
        }
    }

    fn bytes(&mut self, digest: Sha256, input: &blob::Input, now: OffsetDateTime) {
        let at = |generation| BlobKey { digest, generation };
        let key = match input {
            // One driver asks for the newest copy, and another for the one that it knows.
            blob::Input::Committed { generation } | blob::Input::AbsenceConfirmed { generation } => at(*generation),
            _ => at(self.newest.get(&digest).copied().unwrap_or(Generation(1))),
        };
        let (mut before, mut answer) = (self.blobs.get(&key), blob::step(self.blobs.get(&key), input, now));
        if let (Err(blob::Refusal::Full), blob::Input::Held { fresh, .. }) = (&answer, input)
            && !self.blobs.contains_key(&at(*fresh))
        {
            (before, answer) = (None, blob::step(None, input, now));
        }
        if let Ok(blob::Step::Transition(transition)) = answer {
            let (before, next) = (before.map(blob::Entry::key), transition.entry.key());
            if before != Some(next) && self.blobs.contains_key(&next) {
                // Generations come once.
                return;
            }
            if before != Some(next) {
                before.map(|gone| self.blobs.remove(&gone));
                self.newest.insert(digest, next.generation);
            }
            self.blobs.insert(next, transition.entry);
            self.record(transition.audit);
        }
    }

    fn states(&self) -> (BTreeMap<IngestId, ingest::State>, BTreeMap<BlobKey, blob::Entry>) {
        (self.uploads.iter().map(|(id, upload)| (*id, upload.state.clone())).collect(), self.blobs.clone())
    }
}

/// An event in a world.
#[derive(Clone, Debug)]
enum Event {
    Open(IngestId),
    Upload(IngestId, ingest::Input),
    Bytes(Sha256, blob::Input),
}

fn few_ids() -> impl Strategy<Value = IngestId> {
    (1..=2_u128).prop_map(IngestId)
}

fn few_blobs() -> impl Strategy<Value = BlobRef> {
    prop_oneof![Just(BlobRef::of(b"one")), Just(BlobRef::of(b"two"))]
}

fn few_generations() -> impl Strategy<Value = Generation> {
    (1..=4_u128).prop_map(Generation)
}

fn inputs() -> impl Strategy<Value = ingest::Input> {
    use ingest::Input;
    let component = || Just::<Id>("c".parse().unwrap());
    let version = || (1..=3_u64).prop_map(|number| VersionId::new(number).unwrap());
    let accepted = (0..9_u64, few_ids()).prop_map(|(highest, by)| Acceptance {
        provider: Some("acme".parse().unwrap()),
        highest,
        by,
    });
    prop_oneof![
        1 => Just(Input::Progressed),
        1 => few_blobs().prop_map(|blob| Input::BytesReceived { blob }),
        1 => some_of(UploadFailure::ALL).prop_map(|reason| Input::CheckFailed { reason }),
        3 => (few_blobs(), few_generations()).prop_map(|(blob, generation)| Input::BytesHeld { blob, generation }),
        3 => few_generations().prop_map(|generation| Input::BytesCommitted { generation }),
        1 => Just(Input::DeadlineReached),
        3 => (component(), version(), option::of(accepted))
            .prop_map(|(component, version, accepted)| Input::TargetRead { component, version, accepted, claim: None, reported: Vec::new() }),
        1 => Just(Input::TargetLost),
        1 => option::of(taken::<Text>()).prop_map(|why| Input::NotAdmitted { why }),
        3 => (component(), version()).prop_map(|(component, version)| Input::ReferenceWritten { component, version }),
        1 => (0..3_u16).prop_map(|attempt| Input::Conflicted { attempt }),
        1 => (few_ids(), 0..3_u32).prop_map(|(by, restored)| Input::Superseded { by, restored }),
        1 => taken::<Text>().prop_map(|why| Input::RestoreRequested { by: "m.jones".parse().unwrap(), why }),
        1 => (component(), 0..3_u32)
            .prop_map(|(component, restored)| Input::ReferenceRestored { component, restored }),
        1 => Just(Input::RestoreFailed),
        1 => (component(), moments()).prop_map(|(component, until)| Input::ReferenceMarked { component, until }),
        1 => Just(Input::RetentionEnded),
        1 => taken::<Text>().prop_map(|why| Input::Withdrawn { by: "m.jones".parse().unwrap(), why }),
        1 => Just(Input::Retired { by: None }),
        1 => component().prop_map(|component| Input::ReferenceDropped { component }),
        1 => few_generations().prop_map(|generation| Input::BytesReleased { generation }),
    ]
}

fn blob_inputs() -> impl Strategy<Value = (Sha256, blob::Input)> {
    use blob::Input;
    let holder = || {
        prop_oneof![
            few_ids().prop_map(Holder::Ingest),
            moments().prop_map(|until| Holder::Retention { pin: "rule".parse().unwrap(), until }),
            Just(Holder::LegalHold("case".parse().unwrap())),
        ]
    };
    let input = prop_oneof![
        3 => (few_blobs(), holder(), few_generations())
            .prop_map(|(blob, by, fresh)| Input::Held { blob, by, fresh, max_holders: 1, actor: None }),
        1 => few_generations().prop_map(|generation| Input::Committed { generation }),
        2 => holder().prop_map(|by| Input::Released { by, actor: Some("m.jones".parse().unwrap()) }),
        2 => (0..9_u64).prop_map(|seconds| Input::CollectionDue { grace: std::time::Duration::from_secs(seconds) }),
        2 => few_generations().prop_map(|generation| Input::AbsenceConfirmed { generation }),
    ];
    (few_blobs(), input).prop_map(|(other, input)| match input {
        Input::Held { blob, .. } => (blob.digest, input),
        _ => (other.digest, input),
    })
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => few_ids().prop_map(Event::Open),
        4 => (few_ids(), inputs()).prop_map(|(id, input)| Event::Upload(id, input)),
        3 => blob_inputs().prop_map(|(digest, input)| Event::Bytes(digest, input)),
    ]
}

fn lived(events: Vec<Event>) -> World {
    let mut world = World::new();
    for (second, event) in events.into_iter().enumerate() {
        let now = NOON + time::Duration::seconds(second as i64 * 60);
        match event {
            Event::Open(id) => world.open(id, now),
            Event::Upload(id, input) => world.upload(id, &input, now),
            Event::Bytes(digest, input) => world.bytes(digest, &input, now),
        }
    }
    world
}

fn pair(replayed: Replayed) -> (BTreeMap<IngestId, ingest::State>, BTreeMap<BlobKey, blob::Entry>) {
    (replayed.uploads, replayed.blobs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn replay_rebuilds_the_machine_states(events in vec(events(), 1..40)) {
        let world = lived(events);
        prop_assert_eq!(pair(replay(&world.records).unwrap()), world.states());
        // As they were written and read again, too.
        let read: Vec<AuditRecord> =
            world.records.iter().map(|record| AuditRecord::from_line(&record.to_line()).unwrap()).collect();
        prop_assert_eq!(pair(replay(&read).unwrap()), world.states());
    }
}

#[test]
fn missing_transition_record_is_found() {
    let mut world = World::new();
    world.open(IngestId(1), NOON);
    let blob = BlobRef::of(b"one");
    world.upload(IngestId(1), &ingest::Input::BytesHeld { blob, generation: Generation(1) }, NOON);
    world.upload(IngestId(1), &ingest::Input::BytesCommitted { generation: Generation(1) }, NOON);
    assert_eq!(world.records.len(), 3);
    let unfit = replay([&world.records[0], &world.records[2]]).unwrap_err();
    let wanted = Unfit { index: 2, from: Some(StateName::Acquired), reached: Some(StateName::Open) };
    assert_eq!(unfit, wanted);
    assert_eq!(
        unfit.to_string(),
        "record 2 does not lead on from the state `open`, and says it goes on from the state `acquired`"
    );
    let twice = replay([&world.records[0], &world.records[0]]).unwrap_err();
    assert_eq!(twice, Unfit { index: 0, from: None, reached: Some(StateName::Open) });
    assert!(replay(&world.records[1..]).is_err());
}

#[test]
fn record_without_a_subject_is_refused() {
    let mut record = chained([plain(7, None, StateName::Open)]).0.remove(0);
    record.draft.ingest = None;
    assert!(replay([&record]).is_err());
}
