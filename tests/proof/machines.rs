//! The production machines behind small numbers: each state, once met, has a number, and each step is computed once.

use fhir_devices::audit::Holder;
use fhir_devices::audit::StateName;
use fhir_devices::manifest::{Acceptance, IngestId};
use fhir_devices::primitive::Id;
use fhir_devices::store::{BlobRef, Generation, VersionId};
use fhir_devices::update::VersionClaim;
use fhir_devices::update::blob::{self, Entry, Sweep};
use fhir_devices::update::ingest::{self, EffectName, Ingest, Input, Intent, Limits, State, Step, Transition, resume};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use time::OffsetDateTime;
use time::macros::datetime;

/// Every deadline has passed by then.
pub(crate) const LATE: OffsetDateTime = datetime!(2017-04-20 10:00 UTC);
pub(crate) const NOW: OffsetDateTime = datetime!(2017-04-19 10:00 UTC);
const BYTES: [&[u8]; 2] = [b"firmware", b"software"];
pub(crate) const TORN: &[u8] = b"firmwarE";

/// An input of a driver to the machine of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    Received {
        torn: bool,
    },
    Held {
        generation: u8,
    },
    Committed {
        generation: u8,
    },
    Failed,
    Late,
    TargetRead {
        accepted: u8,
        claimed: u8,
    },
    TargetLost,
    Written,
    Conflicted {
        attempt: u8,
    },
    /// The number of times that the reference had been made current again.
    Superseded {
        restored: u8,
    },
    RestoreRequested,
    Restored {
        restored: u8,
    },
    RestoreFailed,
    Withdrawn,
    Retired,
    Dropped,
    Marked,
    RetentionEnded,
    Released {
        generation: u8,
    },
}

/// An input of a driver or a collector to the entries of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    Held { by: u8, fresh: u8 },
    Committed { generation: u8 },
    Released { by: u8 },
    Pinned,
    Unpinned,
    Due,
    Absent { generation: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Another state, and whether something is accepted with it.
    To(u8, bool),
    Do,
    Unchanged,
    Refused,
}

/// The properties of a state that the model needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    pub(crate) name: StateName,
    pub(crate) generation: u8,
    pub(crate) fixed: bool,
    pub(crate) attempts: u8,
    pub(crate) next: Option<EffectName>,
    pub(crate) end: bool,
    /// The number of times that it was made current again.
    pub(crate) restored: u8,
}

/// The properties of an entry that the model needs; generation 0 is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) generation: u8,
    pub(crate) state: Option<StateName>,
    pub(crate) holders: [bool; 2],
    pub(crate) pinned: bool,
    pub(crate) present: bool,
}

/// A hash for small keys, without protection against attacks.
#[derive(Default)]
pub(crate) struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.write_u64((*byte).into());
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

pub(crate) struct Machines {
    /// The bytes of each upload.
    bytes: [u8; 2],
    sequenced: bool,
    /// Whether both have the same version.
    versioned: bool,
    pub(crate) states: [Vec<Option<State>>; 2],
    facts: [Vec<Fact>; 2],
    pub(crate) entries: [Vec<Option<Entry>>; 2],
    known: [Vec<Known>; 2],
    pub(crate) steps: Map<(u8, u8, Said), Answer>,
    pub(crate) blob_steps: Map<(u8, u8, Told), Answer>,
    needs: Map<[u8; 4], bool>,
    sweeps: Map<[u8; 3], bool>,
    pub(crate) refusals: BTreeSet<String>,
    pub(crate) blob_refusals: BTreeSet<String>,
    pub(crate) names: BTreeSet<StateName>,
    pub(crate) effects: BTreeSet<EffectName>,
}

fn id(ingest: u8) -> IngestId {
    IngestId(u128::from(ingest) + 1)
}

fn component() -> Id {
    "pump".parse().unwrap()
}

fn pin() -> Holder {
    Holder::LegalHold("case-7".parse().unwrap())
}

fn small(generation: Generation) -> u8 {
    u8::try_from(generation.0).unwrap()
}

impl Machines {
    pub(crate) fn new(bytes: [u8; 2], sequenced: bool, versioned: bool) -> Self {
        let absent = Fact {
            name: StateName::Gone,
            generation: 0,
            fixed: false,
            attempts: 0,
            next: None,
            end: true,
            restored: 0,
        };
        let none = Known { generation: 0, state: None, holders: [false; 2], pinned: false, present: false };
        Self {
            bytes,
            sequenced,
            versioned,
            states: [vec![None], vec![None]],
            facts: [vec![absent], vec![absent]],
            entries: [vec![None], vec![None]],
            known: [vec![none], vec![none]],
            steps: Map::default(),
            blob_steps: Map::default(),
            needs: Map::default(),
            sweeps: Map::default(),
            refusals: BTreeSet::new(),
            blob_refusals: BTreeSet::new(),
            names: BTreeSet::new(),
            effects: BTreeSet::new(),
        }
    }

    pub(crate) fn digest_of(&self, ingest: usize) -> usize {
        self.bytes[ingest].into()
    }

    fn blob(&self, ingest: u8) -> BlobRef {
        BlobRef::of(BYTES[self.digest_of(ingest.into())])
    }

    pub(crate) fn record(&self, ingest: u8, state: Option<State>) -> Ingest {
        let mut intent =
            Intent::new("device".parse().unwrap(), "a.bin".parse().unwrap(), "application/zip".parse().unwrap());
        intent.sha256 = Some(self.blob(ingest).digest);
        intent.sequence = self.sequenced.then_some(u64::from(ingest) + 1);
        intent.version = self.versioned.then(|| "2.4".parse().unwrap());
        let limits = Limits { max_attempts: 2, ..Limits::default() };
        let (mut record, _) = Ingest::open(id(ingest), intent, limits, NOW);
        if let Some(state) = state {
            record.state = state;
        }
        record
    }

    pub(crate) fn open(&mut self, ingest: usize) -> u8 {
        let state = self.record(ingest as u8, None).state;
        self.number(ingest, state)
    }

    fn number(&mut self, ingest: usize, state: State) -> u8 {
        if let Some(at) = self.states[ingest].iter().position(|known| known.as_ref() == Some(&state)) {
            return at as u8;
        }
        let fixed = match &state {
            State::Stored { target, .. } => target.is_some(),
            State::Releasing { component, .. } => component.is_some(),
            _ => false,
        };
        let attempts = if let State::Stored { attempts, .. } = &state { *attempts } else { 0 };
        let restored = match &state {
            State::Attached { restored, .. }
            | State::Superseded { restored, .. }
            | State::Restoring { restored, .. } => *restored,
            _ => 0,
        };
        let next = resume(&state).as_ref().map(ingest::Effect::name);
        self.names.insert(state.name());
        self.effects.extend(next);
        self.facts[ingest].push(Fact {
            name: state.name(),
            generation: state.held().map_or(0, |(_, generation)| small(generation)),
            fixed,
            attempts: attempts as u8,
            next,
            end: state.is_end(),
            restored: restored as u8,
        });
        self.states[ingest].push(Some(state));
        (self.states[ingest].len() - 1) as u8
    }

    pub(crate) fn fact(&self, ingest: usize, state: u8) -> Fact {
        self.facts[ingest][usize::from(state)]
    }

    fn input(&self, ingest: u8, said: Said) -> Input {
        let blob = self.blob(ingest);
        let generation = |number: u8| Generation(number.into());
        match said {
            Said::Received { torn: false } => Input::BytesReceived { blob },
            Said::Received { torn: true } => Input::BytesReceived { blob: BlobRef::of(TORN) },
            Said::Held { generation: number } => Input::BytesHeld { blob, generation: generation(number) },
            Said::Committed { generation: number } => Input::BytesCommitted { generation: generation(number) },
            Said::Failed => Input::CheckFailed { reason: fhir_devices::audit::UploadFailure::TooLarge },
            Said::Late => Input::DeadlineReached,
            Said::TargetRead { accepted, claimed } => Input::TargetRead {
                component: component(),
                version: VersionId::FIRST,
                accepted: (accepted > 0).then(|| Acceptance {
                    provider: None,
                    highest: accepted.into(),
                    by: id(accepted - 1),
                }),
                claim: (claimed > 0).then(|| VersionClaim {
                    component: component(),
                    provider: None,
                    version: "2.4".parse().unwrap(),
                    sha256: self.blob(claimed - 1).digest,
                    by: id(claimed - 1),
                }),
                reported: Vec::new(),
            },
            Said::TargetLost => Input::TargetLost,
            Said::Written => Input::ReferenceWritten { component: component(), version: VersionId::FIRST },
            Said::Conflicted { attempt } => Input::Conflicted { attempt: attempt.into() },
            Said::Superseded { restored } => Input::Superseded { by: id(1 - ingest), restored: restored.into() },
            Said::RestoreRequested => {
                Input::RestoreRequested { by: "biomed".parse().unwrap(), why: "loses alarms".parse().unwrap() }
            }
            Said::Restored { restored } => {
                Input::ReferenceRestored { component: component(), restored: restored.into() }
            }
            Said::RestoreFailed => Input::RestoreFailed,
            Said::Marked => Input::ReferenceMarked { component: component(), until: NOW },
            Said::RetentionEnded => Input::RetentionEnded,
            Said::Withdrawn => Input::Withdrawn { by: "biomed".parse().unwrap(), why: "loses alarms".parse().unwrap() },
            Said::Retired => Input::Retired { by: None },
            Said::Dropped => Input::ReferenceDropped { component: component() },
            Said::Released { generation: number } => Input::BytesReleased { generation: generation(number) },
        }
    }

    pub(crate) fn step(&mut self, ingest: usize, state: u8, said: Said) -> Answer {
        let key = (ingest as u8, state, said);
        if let Some(answer) = self.steps.get(&key) {
            return *answer;
        }
        let record = self.record(ingest as u8, self.states[ingest][usize::from(state)].clone());
        let answer = match ingest::step(&record, &self.input(ingest as u8, said), LATE) {
            Ok(Step::Transition(Transition { state, accepted, effect, .. })) => {
                self.effects.extend(effect.as_ref().map(ingest::Effect::name));
                // A deadline is a time and nothing to tell states by.
                let state = match state {
                    State::Acquired { blob, generation, .. } => State::Acquired { blob, generation, deadline: LATE },
                    other => other,
                };
                Answer::To(self.number(ingest, state), accepted.is_some())
            }
            Ok(Step::Perform(effect)) => {
                self.effects.insert(effect.name());
                Answer::Do
            }
            Ok(Step::Unchanged) => Answer::Unchanged,
            Err(refusal) => {
                self.refusals.insert(format!("{refusal:?}"));
                Answer::Refused
            }
        };
        self.steps.insert(key, answer);
        answer
    }

    pub(crate) fn entry(&self, digest: usize, entry: u8) -> Known {
        self.known[digest][usize::from(entry)]
    }

    fn number_entry(&mut self, digest: usize, entry: Entry) -> u8 {
        let known = &mut self.entries[digest];
        if let Some(at) = known.iter().position(|known| known.as_ref() == Some(&entry)) {
            return at as u8;
        }
        let holds = |ingest: u8| entry.holders().any(|holder| *holder == Holder::Ingest(id(ingest)));
        self.known[digest].push(Known {
            generation: small(entry.generation),
            state: Some(entry.state.name()),
            holders: [holds(0), holds(1)],
            pinned: entry.holders().any(|holder| *holder == pin()),
            present: entry.is_present(),
        });
        self.names.insert(entry.state.name());
        known.push(Some(entry));
        (known.len() - 1) as u8
    }

    pub(crate) fn tell(&mut self, digest: usize, entry: u8, told: Told) -> Answer {
        let key = (digest as u8, entry, told);
        if let Some(answer) = self.blob_steps.get(&key) {
            return *answer;
        }
        let generation = |number: u8| Generation(number.into());
        let held =
            |by, fresh| blob::Input::Held { blob: BlobRef::of(BYTES[digest]), by, fresh, max_holders: 2, actor: None };
        let input = match told {
            Told::Held { by, fresh } => held(Holder::Ingest(id(by)), generation(fresh)),
            Told::Committed { generation: number } => blob::Input::Committed { generation: generation(number) },
            Told::Released { by } => blob::Input::Released { by: Holder::Ingest(id(by)), actor: None },
            Told::Pinned => held(pin(), generation(0)),
            Told::Unpinned => blob::Input::Released { by: pin(), actor: None },
            Told::Due => blob::Input::CollectionDue { grace: std::time::Duration::ZERO },
            Told::Absent { generation: number } => blob::Input::AbsenceConfirmed { generation: generation(number) },
        };
        let answer = match blob::step(self.entries[digest][usize::from(entry)].as_ref(), &input, LATE) {
            Ok(blob::Step::Transition(to)) => Answer::To(self.number_entry(digest, to.entry), false),
            Ok(blob::Step::Unchanged) => Answer::Unchanged,
            Err(refusal) => {
                self.blob_refusals.insert(format!("{refusal:?}"));
                Answer::Refused
            }
        };
        self.blob_steps.insert(key, answer);
        answer
    }

    /// Returns whether the entry's hold of an upload is one that its record needs.
    pub(crate) fn justified(&mut self, ingest: usize, state: u8, digest: usize, entry: u8) -> bool {
        let key = [ingest as u8, state, digest as u8, entry];
        if let Some(known) = self.needs.get(&key) {
            return *known;
        }
        let state = self.states[ingest][usize::from(state)].clone();
        let record = state.map(|state| self.record(ingest as u8, Some(state)));
        let entry = self.entries[digest][usize::from(entry)].as_ref().unwrap();
        let needs = blob::justified(&Holder::Ingest(id(ingest as u8)), record.as_ref(), &entry.key(), LATE);
        self.needs.insert(key, needs);
        needs
    }

    pub(crate) fn sweeps(&mut self, digest: usize, generation: u8, entry: u8) -> bool {
        let key = [digest as u8, generation, entry];
        if let Some(known) = self.sweeps.get(&key) {
            return *known;
        }
        let found = BlobRef::of(BYTES[digest]).key(Generation(generation.into()));
        let sweeps = blob::sweep(&found, self.entries[digest][usize::from(entry)].as_ref()) == Sweep::Delete;
        self.sweeps.insert(key, sweeps);
        sweeps
    }
}
