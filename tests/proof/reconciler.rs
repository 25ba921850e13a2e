//! The small world of the reconciler: two uploads to one component, two services that attach, withdraw, expire, compare
//! ledger and component, and may die at each step, and another writer that removes the updates of the component,
//! restores an old copy of it, changes references, forges one, and deletes the component and creates it again.
//!
//! The steps of the uploads and the decisions are the production ones.

use super::breadth::{Edge, Model, Pool};
use super::machines::{LATE, NOW};
use fhir_devices::manifest::IngestId;
use fhir_devices::primitive::Id;
use fhir_devices::store::{BlobRef, Generation, VersionId};
use fhir_devices::update::UpdateStatus;
use fhir_devices::update::ingest::{self, Effect, Ingest, Input, Intent, Limits, State, Step, resume};
use fhir_devices::update::reconcile::{
    Announcement, Decision, FoundReference, MissingReferences, OtherUpdate, announce, compare, component_to_refer,
    decide, expected_reference, is_unknown,
};
use time::OffsetDateTime;

/// A rule to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReconcileRule {
    /// A record is read after its component.
    RecordAfterComponent,
    /// A component is written only as it was read.
    IfMatch,
    /// The component of an upload that ends is written even without a reference.
    Fence,
    /// A reference that was read before it was written is not lost.
    LossByVersion,
    /// A missing reference is recorded before it is written again.
    AnnouncedBeforeWritten,
    /// The update that became current later stays current.
    LaterStays,
    /// The component shows that an update is superseded before its record does.
    SupersededInComponentFirst,
    /// Nothing is written while another update is being attached.
    UnsettledWaits,
    /// The write that makes one update current marks the earlier ones as superseded.
    EarlierSuperseded,
    /// The later update is the one that became current later, not the one whose reference was written later.
    OrderKept,
    /// A missing reference is written again.
    MissingWritten,
    /// A changed reference is written again.
    ChangedWritten,
    /// A missing recall is written again.
    RecallShown,
    /// A recall is shown until its time is over.
    RecallTime,
    /// An upload is marked as lost where the rule requires it.
    LossMarked,
    /// A reference without a record is removed.
    UnknownRemoved,
    /// Unknown references are decided by records that are read after the component.
    RecordsAfterComponent,
    /// An update that is being attached is known.
    AttachingIsKnown,
}

impl ReconcileRule {
    pub(crate) const ALL: [Self; 18] = [
        Self::RecordAfterComponent,
        Self::IfMatch,
        Self::Fence,
        Self::LossByVersion,
        Self::AnnouncedBeforeWritten,
        Self::LaterStays,
        Self::SupersededInComponentFirst,
        Self::UnsettledWaits,
        Self::EarlierSuperseded,
        Self::OrderKept,
        Self::MissingWritten,
        Self::ChangedWritten,
        Self::RecallShown,
        Self::RecallTime,
        Self::LossMarked,
        Self::UnknownRemoved,
        Self::RecordsAfterComponent,
        Self::AttachingIsKnown,
    ];
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ReconcileSetup {
    /// The rule for missing references of each service.
    pub(crate) services: &'static [MissingReferences],
    /// The number of uploads.
    pub(crate) uploads: usize,
    /// The number of writes of the other writer.
    pub(crate) foreign: u8,
    /// Whether the other writer also changes, forges and deletes.
    pub(crate) hostile: bool,
    pub(crate) crashes: u8,
    pub(crate) withdraws: bool,
    pub(crate) retires: bool,
    pub(crate) without: Option<ReconcileRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Said {
    Current,
    Superseded,
    Withdrawn,
}

impl From<UpdateStatus> for Said {
    fn from(status: UpdateStatus) -> Self {
        match status {
            UpdateStatus::Current => Self::Current,
            UpdateStatus::Superseded => Self::Superseded,
            UpdateStatus::Withdrawn => Self::Withdrawn,
        }
    }
}

/// The reference of an upload in the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Ref {
    status: Said,
    /// Whether everything else agrees with the record.
    same: bool,
    /// Whether the other writer wrote it.
    foreign: bool,
    by: By,
}

/// The reason of the last write of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum By {
    Attaching,
    /// A delayed worker, after the other writer had removed the reference.
    AttachingAgain,
    Reconciling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Component {
    exists: bool,
    version: u8,
    /// The note of the other writer.
    note: u8,
    refs: [Option<Ref>; 2],
    /// Whether it has an update without a record.
    forged: bool,
}

/// A component as read, and whether it is still current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Read {
    component: Component,
    fresh: bool,
    /// Whether the time of recalls was over by then.
    late: bool,
}

impl Read {
    fn of(world: &World) -> Self {
        Self { component: world.component, fresh: true, late: world.late }
    }
}

/// The change to another update beside the written reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Others {
    Nothing,
    /// The other one is superseded by this one.
    Earlier,
    /// This one is superseded by the other one.
    Later,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Worker {
    #[default]
    Idle,
    /// Has read the component in order to attach the upload.
    AttachRead {
        of: u8,
        read: Read,
    },
    /// The component is fixed in the record.
    AttachFixed {
        of: u8,
        read: Read,
    },
    /// The reference is written; the replaced update must be marked.
    AttachMarks {
        of: u8,
        version: u8,
    },
    /// The replaced update is marked.
    AttachSays {
        of: u8,
        version: u8,
    },
    EndRead {
        of: u8,
        read: Read,
        marks: bool,
    },
    EndSays {
        of: u8,
        marked: bool,
    },
    /// Has read the record before the component, where that rule is removed.
    KnewRecord {
        of: u8,
        record: u16,
    },
    Compares {
        of: u8,
        read: Read,
        record: Option<u16>,
    },
    LooksAtOthers {
        of: u8,
        read: Read,
        record: u16,
    },
    Announces {
        of: u8,
        read: Read,
        record: u16,
        then: Others,
    },
    Writes {
        of: u8,
        read: Read,
        status: Said,
        then: Others,
    },
    /// The component shows that the upload is superseded.
    SaysSuperseded {
        of: u8,
    },
    Loses {
        of: u8,
        version: Option<u8>,
    },
    /// Has read the records before the component, where that rule is removed.
    KnewRecords {
        unknown: [bool; 2],
    },
    CleanRead {
        read: Read,
        unknown: Option<[bool; 2]>,
    },
    Cleans {
        read: Read,
        unknown: [bool; 2],
    },
}

impl Worker {
    fn read(&mut self) -> Option<&mut Read> {
        match self {
            Self::AttachRead { read, .. }
            | Self::AttachFixed { read, .. }
            | Self::EndRead { read, .. }
            | Self::Compares { read, .. }
            | Self::LooksAtOthers { read, .. }
            | Self::Announces { read, .. }
            | Self::Writes { read, .. }
            | Self::CleanRead { read, .. }
            | Self::Cleans { read, .. } => Some(read),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    records: [u16; 2],
    held: [bool; 2],
    bytes: [bool; 2],
    component: Component,
    workers: [Worker; 2],
    /// The first version with the reference of each upload.
    first: [u8; 2],
    /// The upload, counted from 1, that was attached last, or [`UNTOLD`].
    last: u8,
    /// The other writer's old copy of the component.
    picture: Option<[Option<Ref>; 2]>,
    note: u8,
    foreign: u8,
    crashes: u8,
    /// Whether the time of recalls is over.
    late: bool,
}

pub(crate) struct Reconciler {
    setup: ReconcileSetup,
    records: Pool<(State, Option<VersionId>)>,
    base: [Ingest; 2],
    pub(crate) decisions: std::collections::BTreeSet<&'static str>,
}

fn component() -> Id {
    "pump".parse().unwrap()
}

fn version(number: u8) -> VersionId {
    VersionId::new(number.into()).unwrap()
}

fn id(of: usize) -> IngestId {
    IngestId(of as u128 + 1)
}

/// The upload that was attached last is unknown.
const UNTOLD: u8 = 3;

const UNTIL: OffsetDateTime = time::macros::datetime!(2017-04-20 0:00 UTC);

fn is_alive(state: &State) -> bool {
    matches!(state, State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. })
}

impl Reconciler {
    pub(crate) fn new(setup: ReconcileSetup) -> Self {
        let base = [0, 1].map(|of| {
            let intent =
                Intent::new("device".parse().unwrap(), "a.bin".parse().unwrap(), "application/zip".parse().unwrap());
            Ingest::open(id(of), intent, Limits::default(), NOW).0
        });
        Self { setup, records: Pool::new(), base, decisions: std::collections::BTreeSet::new() }
    }

    fn is_out(&self, rule: ReconcileRule) -> bool {
        self.setup.without == Some(rule)
    }

    fn now(world: &World) -> OffsetDateTime {
        if world.late { LATE } else { NOW }
    }

    fn ingest_at(&self, of: usize, record: u16) -> Ingest {
        let (state, became_current) = self.records.get(record).clone();
        let mut ingest = self.base[of].clone();
        (ingest.state, ingest.became_current) = (state, became_current);
        ingest
    }

    fn ingest(&self, world: &World, of: usize) -> Ingest {
        self.ingest_at(of, world.records[of])
    }

    /// Steps an upload from its current state; returns whether it changed.
    fn step(&mut self, world: &mut World, of: usize, input: &Input) -> bool {
        let ingest = self.ingest(world, of);
        let Ok(Step::Transition(to)) = ingest::step(&ingest, input, Self::now(world)) else { return false };
        let next = ingest.after(&to, None);
        world.records[of] = self.records.number((next.state, next.became_current));
        true
    }

    fn refers_to(&self, world: &World, of: usize) -> bool {
        let state = self.ingest(world, of).state;
        if self.is_out(ReconcileRule::RecallTime) && matches!(state, State::Withdrawn { released: true, .. }) {
            return true;
        }
        let is_recall = matches!(state, State::Withdrawn { .. });
        component_to_refer(&state, Self::now(world)).is_some()
            && !(is_recall && self.is_out(ReconcileRule::RecallShown))
    }

    /// Returns the uploads that the component must know, by their records.
    fn unknown(&self, world: &World) -> [bool; 2] {
        [0, 1].map(|of| {
            let state = self.ingest(world, of).state;
            let is_attaching = matches!(state, State::Stored { .. }) && self.is_out(ReconcileRule::AttachingIsKnown);
            is_attaching || is_unknown(&component(), Some(&state))
        })
    }

    /// Writes the component; `None` where it has changed since it was read.
    fn write(&self, world: &World, read: Read, change: impl FnOnce(&mut Component)) -> Option<World> {
        if !read.fresh && !self.is_out(ReconcileRule::IfMatch) {
            return None;
        }
        let mut to = *world;
        let mut written = read.component;
        change(&mut written);
        written.version = world.component.version + 1;
        written.exists = world.component.exists;
        to.component = written;
        touch(&mut to);
        Some(to)
    }

    /// Returns the fault of a reference that a service has just written.
    fn wrong_write(&self, world: &World, of: usize, read: Read) -> Option<&'static str> {
        let state = self.ingest(world, of).state;
        let written = world.component.refs[of]?;
        let is_pending = matches!(state, State::Releasing { component: Some(_), .. });
        if written.status == Said::Withdrawn {
            return read.late.then_some("I7: a recall is shown after its time");
        }
        if !is_pending && !is_alive(&state) && !matches!(state, State::Stored { .. }) {
            return Some("I7: what was withdrawn or given up is offered");
        }
        if !world.bytes[of] {
            return Some("I1: a reference to bytes that are not there is written");
        }
        let other = 1 - of;
        let is_current = |at: usize| world.component.refs[at].is_some_and(|there| there.status == Said::Current);
        let state = self.ingest(world, other).state;
        let counts = is_alive(&state) || matches!(state, State::Stored { target: Some(_), .. });
        (is_current(of) && is_current(other) && counts).then_some("I9: two updates are current")
    }

    fn environment(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        let mut push = |what: String, to: World| out.push(Edge { what, to, fair: false, wrong: None });
        if world.foreign < self.setup.foreign {
            let changed = |change: &dyn Fn(&mut Component)| {
                let mut to = *world;
                to.foreign += 1;
                (to.note, to.component.note) = (to.note + 1, to.note + 1);
                change(&mut to.component);
                to.component.version += 1;
                touch(&mut to);
                to
            };
            let foreign = |one: Option<Ref>| one.map(|one| Ref { foreign: true, ..one });
            if world.component.exists {
                push(
                    "somebody else strips the component".into(),
                    changed(&|to| (to.refs, to.forged) = ([None; 2], false)),
                );
                if let Some(picture) = world.picture {
                    let put = changed(&|to| (to.refs, to.forged) = (picture.map(foreign), false));
                    push("somebody else puts the old picture back".into(), put);
                }
                if self.setup.hostile {
                    for of in (0..2).filter(|of| world.component.refs[*of].is_some()) {
                        let put = changed(&|to| {
                            if let Some(there) = &mut to.refs[of] {
                                let flipped =
                                    if there.status == Said::Current { Said::Superseded } else { Said::Current };
                                *there = Ref { status: flipped, same: false, foreign: true, ..*there };
                            }
                        });
                        push(format!("somebody else changes reference {of}"), put);
                    }
                    push("somebody else forges an update".into(), changed(&|to| to.forged = true));
                    let gone = changed(&|to| (to.exists, to.refs, to.forged) = (false, [None; 2], false));
                    push("somebody else deletes the component".into(), gone);
                }
            }
        }
        if !world.component.exists {
            let mut to = *world;
            to.component = Component { exists: true, version: to.component.version + 1, note: to.note, ..to.component };
            touch(&mut to);
            push("somebody else creates the component again".into(), to);
        }
        if self.setup.foreign > 0 && world.picture.is_none() && world.component.refs != [None; 2] {
            let mut to = *world;
            to.picture = Some(to.component.refs);
            push("somebody else reads the component".into(), to);
        }
        for of in 0..self.setup.uploads {
            let mut said = Vec::new();
            if self.setup.withdraws && of == 0 {
                let (by, why) = ("biomed".parse().unwrap(), "loses alarms".parse().unwrap());
                said.push(("an operator withdraws", Input::Withdrawn { by, why }));
            }
            if self.setup.retires {
                said.push(("an operator retires", Input::Retired { by: None }));
            }
            for (what, input) in said {
                let mut to = *world;
                if self.step(&mut to, of, &input) {
                    out.push(Edge { what: format!("{what} upload {of}"), to, fair: false, wrong: None });
                }
            }
        }
        let is_withdrawn = |of: usize| matches!(self.ingest(world, of).state, State::Withdrawn { .. });
        if !world.late && (0..2).any(is_withdrawn) {
            out.push(Edge { what: "time passes".into(), to: World { late: true, ..*world }, fair: false, wrong: None });
        }
        for of in 0..2 {
            if !world.held[of] && world.bytes[of] {
                let mut to = *world;
                to.bytes[of] = false;
                out.push(Edge { what: format!("the collector deletes bytes {of}"), to, fair: true, wrong: None });
            }
        }
    }

    fn begin(&mut self, world: &World, k: usize, out: &mut Vec<Edge<World>>) {
        let read = Read::of(world);
        let mut push = |what: String, then: Worker| {
            let mut to = *world;
            to.workers[k] = then;
            out.push(Edge { what: format!("service {k} {what}"), to, fair: true, wrong: None });
        };
        for of in 0..self.setup.uploads {
            let ingest = self.ingest(world, of);
            let at = of as u8;
            match resume(&ingest.state) {
                Some(Effect::FindTarget) if world.component.exists => {
                    push(format!("reads the component, to attach upload {of}"), Worker::AttachRead { of: at, read });
                }
                Some(effect @ (Effect::DropReference { .. } | Effect::MarkWithdrawn { .. })) => {
                    let marks = matches!(effect, Effect::MarkWithdrawn { .. });
                    push(format!("reads the component, to end upload {of}"), Worker::EndRead { of: at, read, marks });
                }
                _ => {}
            }
            let expired = ingest::step(&ingest, &Input::RetentionEnded, Self::now(world));
            if matches!(expired, Ok(Step::Perform(Effect::DropReference { .. }))) {
                push(
                    format!("finds the recall {of} shown for long enough"),
                    Worker::EndRead { of: at, read, marks: false },
                );
            }
            if self.refers_to(world, of) {
                let what = format!("compares upload {of} with the component");
                if self.is_out(ReconcileRule::RecordAfterComponent) {
                    push(what, Worker::KnewRecord { of: at, record: world.records[of] });
                } else {
                    push(what, Worker::Compares { of: at, read, record: None });
                }
            }
        }
        if self.is_out(ReconcileRule::RecordsAfterComponent) {
            push("reads the records, to clean".into(), Worker::KnewRecords { unknown: self.unknown(world) });
        } else if world.component.exists && (world.component.forged || world.component.refs != [None; 2]) {
            push("reads the component, to clean".into(), Worker::CleanRead { read, unknown: None });
        }
        for of in 0..self.setup.uploads {
            if let Some(Effect::ReleaseBytes { generation, .. }) = resume(&self.ingest(world, of).state) {
                let mut to = *world;
                self.step(&mut to, of, &Input::BytesReleased { generation });
                to.held[of] = false;
                out.push(Edge { what: format!("service {k} releases bytes {of}"), to, fair: true, wrong: None });
            }
        }
    }

    fn work(&mut self, world: &World, k: usize, out: &mut Vec<Edge<World>>) {
        let worker = world.workers[k];
        if worker == Worker::Idle {
            return self.begin(world, k, out);
        }
        if world.crashes < self.setup.crashes {
            let mut to = *world;
            to.crashes += 1;
            to.workers[k] = Worker::Idle;
            out.push(Edge { what: format!("service {k} dies"), to, fair: false, wrong: None });
        }
        let before = *world;
        let mut to = *world;
        let (what, then, wrong) = self.go(&mut to, k, worker);
        to.workers[k] = then;
        let lost = before.component.note == before.note && to.component.note != to.note;
        let wrong = wrong.or_else(|| lost.then_some("I4: what somebody else wrote is lost"));
        out.push(Edge { what: format!("service {k} {what}"), to, fair: true, wrong });
    }

    /// One step of a worker: its effect, its next state, and the fault.
    fn go(&mut self, to: &mut World, k: usize, worker: Worker) -> (String, Worker, Option<&'static str>) {
        match worker {
            Worker::Idle => ("rests".into(), Worker::Idle, None),
            Worker::AttachRead { .. }
            | Worker::AttachFixed { .. }
            | Worker::AttachMarks { .. }
            | Worker::AttachSays { .. } => self.attach(to, worker),
            Worker::EndRead { .. } | Worker::EndSays { .. } => self.end(to, worker),
            Worker::KnewRecords { unknown } => {
                let read = Read::of(to);
                (
                    "reads the component after the records".into(),
                    Worker::CleanRead { read, unknown: Some(unknown) },
                    None,
                )
            }
            Worker::CleanRead { read, unknown } => {
                let unknown = unknown.unwrap_or_else(|| self.unknown(to));
                let found = read.component;
                let any = found.forged || (0..2).any(|of| found.refs[of].is_some() && unknown[of]);
                let goes_on = any && found.exists && !self.is_out(ReconcileRule::UnknownRemoved);
                let then = if goes_on { Worker::Cleans { read, unknown } } else { Worker::Idle };
                ("looks for unknown updates".into(), then, None)
            }
            Worker::Cleans { read, unknown } => {
                let had = to.component.refs;
                if let Some(next) = self.write(to, read, |component| {
                    component.forged = false;
                    for (reference, unknown) in component.refs.iter_mut().zip(unknown) {
                        *reference = reference.filter(|_| !unknown);
                    }
                }) {
                    *to = next;
                }
                let removed = |of: usize| had[of].is_some() && to.component.refs[of].is_none();
                let is_needed = |of: usize| {
                    let state = self.ingest(to, of).state;
                    is_alive(&state) || matches!(state, State::Stored { target: Some(_), .. } | State::Withdrawn { .. })
                };
                let wrong = (0..2).any(|of| removed(of) && is_needed(of));
                let wrong = wrong.then_some("I4: a reference that the ledger knows is taken out");
                ("takes unknown updates out".into(), Worker::Idle, wrong)
            }
            _ => self.reconcile(to, k, worker),
        }
    }

    fn attach(&mut self, to: &mut World, worker: Worker) -> (String, Worker, Option<&'static str>) {
        match worker {
            Worker::AttachRead { of, read } => {
                let at = usize::from(of);
                if let Some(own) = read.component.refs[at] {
                    let _ = own;
                    // Whoever finds the reference goes on behind the one who wrote it.
                    let version = to.first[at].max(1);
                    return ("finds the reference".into(), Worker::AttachMarks { of, version }, None);
                }
                let input = Input::TargetRead {
                    component: component(),
                    version: version(read.component.version),
                    accepted: None,
                    claim: None,
                    reported: Vec::new(),
                };
                let answer = ingest::step(&self.ingest(to, at), &input, Self::now(to));
                let fixed = match answer {
                    Ok(Step::Perform(_)) => true,
                    Ok(Step::Transition(_)) => self.step(to, at, &input),
                    _ => false,
                };
                let then = if fixed { Worker::AttachFixed { of, read } } else { Worker::Idle };
                ("fixes the component in the record".into(), then, None)
            }
            Worker::AttachFixed { of, read } => {
                let (at, other) = (usize::from(of), 1 - usize::from(of));
                let unknown = self.unknown(to);
                let takes = |there: Option<Ref>| there.is_some_and(|there| there.status == Said::Current);
                let replaces = takes(read.component.refs[other]) && !unknown[other];
                let by = if to.first[at] == 0 { By::Attaching } else { By::AttachingAgain };
                let written = self.write(to, read, |component| {
                    if replaces {
                        component.refs[other] =
                            component.refs[other].map(|there| Ref { status: Said::Superseded, ..there });
                    }
                    component.refs[at] = Some(Ref { status: Said::Current, same: true, foreign: false, by });
                });
                let Some(next) = written else { return ("finds the component changed".into(), Worker::Idle, None) };
                *to = next;
                if to.first[at] == 0 {
                    to.first[at] = to.component.version;
                }
                // Where one that was late wrote it again, either may be the one that stays.
                to.last = if by == By::Attaching && to.last != UNTOLD { of + 1 } else { UNTOLD };
                let (wrong, version) = (self.wrong_write(to, at, read), to.component.version);
                let then =
                    if replaces { Worker::AttachMarks { of, version } } else { Worker::AttachSays { of, version } };
                ("writes the reference".into(), then, wrong)
            }
            Worker::AttachMarks { of, version } => {
                let at = usize::from(of);
                if self.mark(to, at) {
                    return ("marks the upload whose place it took".into(), worker, None);
                }
                ("has no other upload to mark".into(), Worker::AttachSays { of, version }, None)
            }
            Worker::AttachSays { of, version: number } => {
                let input = Input::ReferenceWritten { component: component(), version: version(number) };
                self.step(to, of.into(), &input);
                ("says that the reference is written".into(), Worker::Idle, None)
            }
            _ => (String::new(), Worker::Idle, None),
        }
    }

    /// Marks the other upload as superseded, as far as one step goes.
    fn mark(&mut self, to: &mut World, by: usize) -> bool {
        let other = 1 - by;
        if to.component.refs[other].is_none_or(|there| there.status != Said::Superseded) {
            return false;
        }
        let input = match self.ingest(to, other).state {
            State::Stored { .. } => {
                Input::ReferenceWritten { component: component(), version: version(to.first[other].max(1)) }
            }
            State::Attached { .. } => Input::Superseded { by: id(by), restored: 0 },
            _ => return false,
        };
        self.step(to, other, &input)
    }

    fn end(&mut self, to: &mut World, worker: Worker) -> (String, Worker, Option<&'static str>) {
        match worker {
            Worker::EndRead { of, read, marks } => {
                let at = usize::from(of);
                if !read.component.exists {
                    return ("finds no component".into(), Worker::EndSays { of, marked: false }, None);
                }
                let there = read.component.refs[at].is_some();
                // What it took the place of can be seen here for the last time.
                if there && self.mark(to, at) {
                    return ("marks the upload whose place it took".into(), worker, None);
                }
                if !there && self.is_out(ReconcileRule::Fence) {
                    return ("finds no reference".into(), Worker::EndSays { of, marked: false }, None);
                }
                let written = self.write(to, read, |component| {
                    component.refs[at] = match (component.refs[at], marks) {
                        (Some(there), true) => Some(Ref { status: Said::Withdrawn, ..there }),
                        _ => None,
                    };
                });
                let Some(next) = written else {
                    return ("finds the component changed".into(), Worker::Idle, None);
                };
                *to = next;
                ("writes the end of the reference".into(), Worker::EndSays { of, marked: marks && there }, None)
            }
            Worker::EndSays { of, marked } => {
                let input = match marked {
                    true => Input::ReferenceMarked { component: component(), until: UNTIL },
                    false => Input::ReferenceDropped { component: component() },
                };
                self.step(to, of.into(), &input);
                ("says what became of the reference".into(), Worker::Idle, None)
            }
            _ => (String::new(), Worker::Idle, None),
        }
    }

    fn reconcile(&mut self, to: &mut World, k: usize, worker: Worker) -> (String, Worker, Option<&'static str>) {
        match worker {
            Worker::KnewRecord { of, record } => {
                let read = Read::of(to);
                (
                    "reads the component after the record".into(),
                    Worker::Compares { of, read, record: Some(record) },
                    None,
                )
            }
            Worker::Compares { of, read, record } => self.compare(to, k, (of, read, record)),
            Worker::LooksAtOthers { of, read, record } => {
                let (at, other) = (usize::from(of), 1 - usize::from(of));
                let is_current = read.component.refs[other].is_some_and(|there| there.status == Said::Current);
                let (mut own, mut rival) = (self.ingest_at(at, record), self.ingest(to, other));
                if self.is_out(ReconcileRule::OrderKept) {
                    (own.became_current, rival.became_current) = (None, None);
                }
                let found = if is_current { compare(&own, &rival) } else { OtherUpdate::Unrelated };
                let goes_on = |then| Worker::Announces { of, read, record, then };
                let is_said =
                    read.component.refs[at].is_some_and(|there| there.same && there.status == Said::Superseded);
                let at_once = is_said || self.is_out(ReconcileRule::SupersededInComponentFirst);
                let then = match found {
                    OtherUpdate::Later if self.is_out(ReconcileRule::LaterStays) => goes_on(Others::Nothing),
                    OtherUpdate::Later if at_once => {
                        self.supersede(to, at);
                        Worker::Idle
                    }
                    OtherUpdate::Later => goes_on(Others::Later),
                    OtherUpdate::Unsettled if !self.is_out(ReconcileRule::UnsettledWaits) => Worker::Idle,
                    OtherUpdate::Earlier if !self.is_out(ReconcileRule::EarlierSuperseded) => goes_on(Others::Earlier),
                    _ => goes_on(Others::Nothing),
                };
                self.decisions.insert(match found {
                    OtherUpdate::Unrelated => "unrelated",
                    OtherUpdate::Earlier => "earlier",
                    OtherUpdate::Later => "later",
                    OtherUpdate::Unsettled => "unsettled",
                });
                ("looks at the other update".into(), then, None)
            }
            Worker::Announces { of, read, record, then } => {
                let (at, read_version) = (usize::from(of), version(read.component.version));
                let own = self.ingest_at(at, record);
                let (status, _) = expected_reference(&own.state).unwrap();
                let status = if then == Others::Later { Said::Superseded } else { status.into() };
                let writes = Worker::Writes { of, read, status, then };
                let told = announce(&own, &component(), read_version);
                self.decisions.insert(match &told {
                    Announcement::Made => "made",
                    Announcement::Recall => "recall",
                    Announcement::Missing(_) => "missing",
                });
                let then = match told {
                    Announcement::Missing(input) if !self.is_out(ReconcileRule::AnnouncedBeforeWritten) => {
                        self.step(to, at, &input);
                        let is_made = announce(&self.ingest(to, at), &component(), read_version) == Announcement::Made;
                        if is_made { writes } else { Worker::Idle }
                    }
                    _ => writes,
                };
                ("records what it is about to write".into(), then, None)
            }
            Worker::Writes { of, read, status, then } => {
                let (at, other) = (usize::from(of), 1 - usize::from(of));
                let written = self.write(to, read, |component| {
                    if then == Others::Earlier {
                        component.refs[other] =
                            component.refs[other].map(|there| Ref { status: Said::Superseded, ..there });
                    }
                    component.refs[at] = Some(Ref { status, same: true, foreign: false, by: By::Reconciling });
                });
                let Some(next) = written else { return ("finds the component changed".into(), Worker::Idle, None) };
                *to = next;
                let next = if then == Others::Later { Worker::SaysSuperseded { of } } else { Worker::Idle };
                ("writes the reference again".into(), next, self.wrong_write(to, at, read))
            }
            Worker::SaysSuperseded { of } => {
                self.supersede(to, of.into());
                ("says that it is superseded".into(), Worker::Idle, None)
            }
            Worker::Loses { of, version: number } => {
                let at = usize::from(of);
                let seen = number.filter(|_| !self.is_out(ReconcileRule::LossByVersion)).map(version);
                let is_there =
                    to.component.refs[at].is_some_and(|there| !there.foreign && there.by != By::AttachingAgain);
                let lost = self.step(to, at, &Input::ReferenceLost { component: component(), version: seen });
                let wrong = (lost && is_there).then_some("I4: an upload is given up though its reference is there");
                ("marks the upload as lost".into(), Worker::Idle, wrong)
            }
            _ => (String::new(), Worker::Idle, None),
        }
    }

    /// Marks an upload as superseded by the other one.
    fn supersede(&mut self, to: &mut World, of: usize) {
        self.step(to, of, &Input::Superseded { by: id(1 - of), restored: 0 });
    }

    /// Reads the record again, and decides.
    fn compare(
        &mut self,
        to: &World,
        k: usize,
        (of, read, known): (u8, Read, Option<u16>),
    ) -> (String, Worker, Option<&'static str>) {
        let at = usize::from(of);
        let what = "reads the record again";
        if known.is_none() && !self.refers_to(to, at) {
            return (what.into(), Worker::Idle, None);
        }
        let record = known.unwrap_or(to.records[at]);
        let state = self.ingest_at(at, record).state;
        let Some((expected, _)) = expected_reference(&state) else { return (what.into(), Worker::Idle, None) };
        let found = match read.component.refs[at] {
            _ if !read.component.exists => FoundReference::ComponentDeleted,
            None => FoundReference::Missing,
            Some(there) if there.same && there.status == expected.into() => FoundReference::Same,
            Some(_) => FoundReference::Changed,
        };
        let decision = decide(&state, found, self.setup.services[k]);
        self.decisions.insert(match decision {
            Decision::Settled => "settled",
            Decision::AwaitComponent => "await",
            Decision::Lose => "lose",
            Decision::Write => "write",
        });
        let is_out = match (decision, found) {
            (Decision::Write, FoundReference::Changed) => self.is_out(ReconcileRule::ChangedWritten),
            (Decision::Write, _) => self.is_out(ReconcileRule::MissingWritten),
            (Decision::Lose, _) => self.is_out(ReconcileRule::LossMarked),
            _ => false,
        };
        let then = match decision {
            _ if is_out => Worker::Idle,
            Decision::Settled | Decision::AwaitComponent => Worker::Idle,
            // A deletion has a version as well.
            Decision::Lose => Worker::Loses { of, version: Some(read.component.version) },
            Decision::Write => Worker::LooksAtOthers { of, read, record },
        };
        (what.into(), then, None)
    }
}

/// The component was written: earlier reads of it are outdated.
fn touch(world: &mut World) {
    world.workers.iter_mut().filter_map(Worker::read).for_each(|read| read.fresh = false);
}

impl Model for Reconciler {
    type World = World;

    fn start(&mut self) -> World {
        let uploads = self.setup.uploads;
        let stored =
            State::Stored { blob: BlobRef::of(b"firmware"), generation: Generation(1), target: None, attempts: 0 };
        let ended = State::Closed { reason: fhir_devices::audit::UploadFailure::UploadLost };
        let first = self.records.number((stored.clone(), None));
        let second = if uploads > 1 { first } else { self.records.number((ended, None)) };
        World {
            records: [first, second],
            held: [true, uploads > 1],
            bytes: [true, uploads > 1],
            component: Component { exists: true, version: 1, note: 0, refs: [None; 2], forged: false },
            workers: [Worker::Idle; 2],
            first: [0; 2],
            last: 0,
            picture: None,
            note: 0,
            foreign: 0,
            crashes: 0,
            late: false,
        }
    }

    fn next(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        self.environment(world, out);
        for k in 0..self.setup.services.len() {
            self.work(world, k, out);
        }
        if self.setup.services.len() == 2 && self.setup.services[0] == self.setup.services[1] {
            out.iter_mut().for_each(|edge| edge.to.workers.sort_unstable());
        }
    }

    fn wrong(&mut self, world: &World) -> Option<&'static str> {
        for of in 0..2 {
            let there = world.component.refs[of].is_some_and(|there| !there.foreign && there.status != Said::Withdrawn);
            if there && !world.bytes[of] {
                return Some("I1: a reference to bytes that are not there");
            }
        }
        None
    }

    fn finished(&mut self, world: &World) -> bool {
        let states = [0, 1].map(|of| self.ingest(world, of).state);
        if world.workers != [Worker::Idle; 2] || world.component.forged {
            return false;
        }
        let marks_lost = self.setup.services.contains(&MissingReferences::MarkLost);
        for (of, (state, there)) in states.iter().zip(world.component.refs).enumerate() {
            let there = there.map(|there| (there.status, there.same));
            let is_fit = match state {
                state if is_alive(state) && !world.component.exists => !marks_lost,
                State::Attached { .. } => there == Some((Said::Current, true)),
                State::Superseded { .. } => there == Some((Said::Superseded, true)),
                State::Withdrawn { released: true, .. } => {
                    !world.late && (!world.component.exists || there == Some((Said::Withdrawn, true)))
                }
                // An upload that comes to a component that is deleted waits for it here.
                State::Stored { .. } => !world.component.exists,
                State::Closed { .. } => there.is_none(),
                _ => false,
            };
            if !is_fit || (world.bytes[of] && !world.held[of]) {
                return false;
            }
        }
        if !states.iter().all(is_alive) || !world.component.exists {
            return true;
        }
        let is_current = |of: usize| matches!(states[of], State::Attached { .. });
        match world.last {
            UNTOLD => is_current(0) != is_current(1),
            last => (0..2).all(|of| is_current(of) == (of + 1 == usize::from(last))),
        }
    }
}
