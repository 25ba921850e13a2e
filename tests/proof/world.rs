//! The small world around the machines: workers that stop and wake at any point, a component that others write to, a
//! store of bytes whose deletions arrive late and twice, a collector, a sweeper and somebody who withdraws.
//!
//! A worker does one thing at a time: one write to one store, or one read on which it will act later. What reads and writes
//! one record under its revision is one thing, since it fails when the record has changed.

use super::machines::{Answer, Machines, Said, Told};
use fhir_devices::update::StateName;
use fhir_devices::update::ingest::EffectName;

/// What the world is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Which bytes each of two uploads brings.
    pub(crate) bytes: [u8; 2],
    /// The upload of each worker. Two workers of one upload are one who is thought dead, and one who goes on for it.
    pub(crate) workers: &'static [usize],
    /// Whether records that belong together are written together.
    pub(crate) joint: bool,
    /// How often somebody else writes to the component.
    pub(crate) foreign: u8,
    /// Whether bytes may come torn, or be refused by the store.
    pub(crate) torn: bool,
    /// Whether uploads may be withdrawn.
    pub(crate) withdraw: bool,
    /// Whether the component may cease to be the one that is meant.
    pub(crate) moves: bool,
    /// Whether the uploads have sequence numbers, and are superseded.
    pub(crate) sequenced: bool,
    /// Whether bytes may be put under a legal hold, and the hold lifted.
    pub(crate) pins: bool,
    /// Whether the bytes of an upload may be sent again, once.
    pub(crate) resend: bool,
    /// Whether two workers of one upload are told apart, as one who reads a trace would.
    pub(crate) told_apart: bool,
    /// The rule that is taken out.
    pub(crate) without: Option<Rule>,
}

/// A rule that drivers keep, to be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    IntentBeforeHold,
    HoldBeforeIntentMoves,
    HoldBeforeBytes,
    CommitBeforeAttach,
    Verification,
    IfMatch,
    AttachKeyed,
    IntentReread,
    NoCleanUp,
    CollectionByLedger,
    NewGenerations,
    IntentBeforeRelease,
    Sweeper,
    Recovery,
    Fence,
    Justification,
    AcceptedReread,
    ReferenceBeforeHold,
    ListingBeforeLedger,
}

impl Rule {
    pub(crate) const ALL: [Self; 19] = [
        Self::IntentBeforeHold,
        Self::HoldBeforeIntentMoves,
        Self::HoldBeforeBytes,
        Self::CommitBeforeAttach,
        Self::Verification,
        Self::IfMatch,
        Self::AttachKeyed,
        Self::IntentReread,
        Self::NoCleanUp,
        Self::CollectionByLedger,
        Self::NewGenerations,
        Self::IntentBeforeRelease,
        Self::Sweeper,
        Self::Recovery,
        Self::Fence,
        Self::Justification,
        Self::AcceptedReread,
        Self::ReferenceBeforeHold,
        Self::ListingBeforeLedger,
    ];
}

/// Where a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Pc {
    #[default]
    Idle,
    Create,
    Receive,
    Acquire,
    HoldLate,
    Commit,
    Present,
    Store,
    Head,
    GiveUp,
    Find,
    Reread,
    Judge,
    Aim,
    Write,
    Mark,
    Conflict,
    Lost,
    CommitLate,
    Drop,
    Dropped,
    Release,
    Close,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) pc: Pc,
    /// The state of the upload as it last saw it.
    pub(crate) known: u8,
    /// Whether it has the bytes, and whether they are torn.
    bytes: u8,
    /// The generation that it learned.
    generation: u8,
    /// Whether nobody has written to the component since it read that.
    fresh: bool,
    /// What it read, where it does not ask whether that still holds.
    seen: [u8; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) ingest: [u8; 2],
    pub(crate) entry: [u8; 2],
    /// The bytes that are visible: a bit for each generation.
    pub(crate) visible: [u8; 2],
    torn: [u8; 2],
    /// The deletions that are under way.
    deleting: [u8; 2],
    /// The generation of each upload's reference in the component.
    refs: [u8; 2],
    /// What somebody else has noted in the component, and how often they were told that it was written.
    foreign: [u8; 2],
    moved: bool,
    resent: [bool; 2],
    accepted: u8,
    /// How often each upload was attached, and the highest number that was.
    attached: [u8; 2],
    highest: u8,
    /// The entries that a sweeper read too early.
    early: [u8; 2],
    workers: [Worker; 3],
}

/// A world in few bytes.
pub(crate) type Packed = [u8; 48];

impl Worker {
    fn pack(&self) -> [u8; 8] {
        let [a, b, c] = self.seen;
        [self.pc as u8, self.known, self.bytes, self.generation, u8::from(self.fresh), a, b, c]
    }
}

impl World {
    pub(crate) fn pack(&self) -> Packed {
        let mut packed = [0; 48];
        let flags = u8::from(self.moved) | u8::from(self.resent[0]) << 1 | u8::from(self.resent[1]) << 2;
        packed[18..20].copy_from_slice(&self.early);
        packed[..18].copy_from_slice(&[
            self.ingest[0],
            self.ingest[1],
            self.entry[0],
            self.entry[1],
            self.visible[0],
            self.visible[1],
            self.torn[0],
            self.torn[1],
            self.deleting[0],
            self.deleting[1],
            self.refs[0],
            self.refs[1],
            self.foreign[0],
            self.foreign[1],
            flags,
            self.accepted | self.highest << 4,
            self.attached[0],
            self.attached[1],
        ]);
        for (at, worker) in self.workers.iter().enumerate() {
            packed[24 + at * 8..32 + at * 8].copy_from_slice(&worker.pack());
        }
        packed
    }
}

/// Who does something, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) who: &'static str,
    pub(crate) at: usize,
    pub(crate) what: &'static str,
    /// Whether it is sure to be done at last, if nothing else is.
    pub(crate) fair: bool,
}

pub(crate) struct Next {
    pub(crate) act: Act,
    pub(crate) world: World,
    pub(crate) violation: Option<&'static str>,
}

pub(crate) struct Model {
    pub(crate) setup: Setup,
    pub(crate) machines: Machines,
}

const TORN: u8 = 2;

fn bit(generation: u8) -> u8 {
    1 << generation
}

impl Model {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, machines: Machines::new(setup.bytes, setup.sequenced) }
    }

    fn without(&self, rule: Rule) -> bool {
        self.setup.without == Some(rule)
    }

    /// The generation under which bytes are in the store.
    fn physical(&self, generation: u8) -> u8 {
        if self.without(Rule::NewGenerations) { 1 } else { generation }
    }

    /// Everything that may happen next.
    pub(crate) fn next(&mut self, world: &World, next: &mut Vec<Next>) {
        for slot in 0..self.setup.workers.len() {
            self.work(world, slot, next);
        }
        self.collect(world, next);
        self.environment(world, next);
        if !self.setup.told_apart && self.setup.workers.starts_with(&[0, 0]) {
            next.iter_mut().for_each(|one| one.world.workers[..2].sort_unstable_by_key(Worker::pack));
        }
    }

    fn environment(&mut self, world: &World, next: &mut Vec<Next>) {
        let mut push = |what, who, at, change: &dyn Fn(&mut World)| {
            let mut world = *world;
            change(&mut world);
            next.push(Next { act: Act { who, at, what, fair: false }, world, violation: None });
        };
        if world.foreign[0] < self.setup.foreign {
            push("writes to the component", "somebody else", 0, &|world| {
                world.foreign = [world.foreign[0] + 1, world.foreign[1] + 1];
                touch(world);
            });
        }
        if self.setup.moves && !world.moved {
            push("makes the target ambiguous", "somebody else", 0, &|world| world.moved = true);
        }
        for ingest in 0..2 {
            let known = world.ingest[ingest];
            let mut said = Vec::new();
            if known != 0 && self.setup.withdraw {
                said.push((Said::Withdrawn, "withdraws the upload"));
            }
            let other = self.machines.fact(1 - ingest, world.ingest[1 - ingest]).name;
            if known != 0 && self.setup.sequenced && ingest == 0 && other == StateName::Attached {
                said.push((Said::Superseded, "notes that the upload is superseded"));
                said.push((Said::Retired, "retires the upload"));
            }
            for (said, what) in said {
                if let Answer::To(to, _) = self.machines.step(ingest, known, said) {
                    push(what, "an operator", ingest, &|world| world.ingest[ingest] = to);
                }
            }
        }
    }

    fn collect(&mut self, world: &World, next: &mut Vec<Next>) {
        let mut push = |fair, what, who, at, change: &dyn Fn(&mut World)| {
            let mut world = *world;
            change(&mut world);
            next.push(Next { act: Act { who, at, what, fair }, world, violation: None });
        };
        for digest in 0..2 {
            let entry = world.entry[digest];
            let stored = world.visible[digest] | world.deleting[digest];
            if entry == 0 && stored == 0 {
                continue;
            }
            let known = self.machines.entry(digest, entry);
            for ingest in 0..2 {
                if !known.holders[ingest] || self.without(Rule::Justification) {
                    continue;
                }
                if !self.machines.justified(ingest, world.ingest[ingest], digest, entry) {
                    let told = Told::Released { by: ingest as u8 };
                    if let Answer::To(to, _) = self.machines.tell(digest, entry, told) {
                        push(true, "releases a hold that was left behind", "the collector", ingest, &|world| {
                            world.entry[digest] = to;
                        });
                    }
                }
            }
            if let Answer::To(to, _) = self.machines.tell(digest, entry, Told::Due) {
                push(true, "condemns the bytes", "the collector", digest, &|world| world.entry[digest] = to);
            }
            if self.without(Rule::ListingBeforeLedger) && world.early[digest] != entry {
                push(true, "reads the ledger before it lists", "the sweeper", digest, &|world| {
                    world.early[digest] = entry;
                });
            }
            if self.setup.pins {
                for (told, what) in [(Told::Pinned, "puts a legal hold"), (Told::Unpinned, "lifts the legal hold")] {
                    if let Answer::To(to, _) = self.machines.tell(digest, entry, told) {
                        push(false, what, "an operator", digest, &|world| world.entry[digest] = to);
                    }
                }
            }
            let mask = bit(self.physical(known.generation));
            if known.state == Some(StateName::Condemned) {
                if world.deleting[digest] & mask == 0 {
                    push(true, "deletes the condemned bytes", "the collector", digest, &|world| {
                        world.deleting[digest] |= mask;
                    });
                }
                if world.visible[digest] & mask == 0 {
                    let told = Told::Absent { generation: known.generation };
                    if let Answer::To(to, _) = self.machines.tell(digest, entry, told) {
                        push(true, "confirms that they are gone", "the collector", digest, &|world| {
                            world.entry[digest] = to;
                        });
                    }
                }
            }
            for generation in 1..8 {
                let mask = bit(generation);
                if stored & mask == 0 {
                    continue;
                }
                if world.deleting[digest] & mask != 0 {
                    push(true, "a deletion arrives", "the network", digest, &|world| {
                        world.visible[digest] &= !mask;
                        world.torn[digest] &= !mask;
                        world.deleting[digest] &= !mask;
                    });
                    if world.visible[digest] & mask != 0 {
                        push(false, "a deletion arrives, and will once more", "the network", digest, &|world| {
                            world.visible[digest] &= !mask;
                            world.torn[digest] &= !mask;
                        });
                    }
                }
                if world.visible[digest] & mask == 0 {
                    continue;
                }
                let named = if self.without(Rule::NewGenerations) { known.generation } else { generation };
                let early = self.without(Rule::ListingBeforeLedger);
                let dead = self.machines.sweeps(digest, named, if early { world.early[digest] } else { entry });
                if dead && !self.without(Rule::Sweeper) && world.deleting[digest] & mask == 0 {
                    push(true, "deletes bytes that no ledger names", "the sweeper", digest, &|world| {
                        world.deleting[digest] |= mask;
                    });
                }
                let referred = (0..2).any(|i| self.machines.digest_of(i) == digest && world.refs[i] == generation);
                if self.without(Rule::CollectionByLedger) && !referred {
                    push(true, "deletes listed bytes without a reference", "the collector", digest, &|world| {
                        world.visible[digest] &= !mask;
                    });
                }
            }
        }
    }

    fn work(&mut self, world: &World, slot: usize, next: &mut Vec<Next>) {
        let ingest = self.setup.workers[slot];
        let worker = world.workers[slot];
        let digest = self.machines.digest_of(ingest);
        let mut job = Job { model: self, world: *world, slot, ingest, digest, next };
        if worker.pc != Pc::Idle {
            job.fork().done(true, "dies", |job| job.world.workers[job.slot] = Worker::default());
        }
        job.go(worker);
    }

    /// What is wrong with a world, if anything is.
    pub(crate) fn violation(&self, world: &World) -> Option<&'static str> {
        for ingest in 0..2 {
            let fact = self.machines.fact(ingest, world.ingest[ingest]);
            let digest = self.machines.digest_of(ingest);
            let reference = world.refs[ingest];
            let mask = bit(self.physical(reference));
            if reference > 0 && world.visible[digest] & mask == 0 {
                return Some("I1: a reference to bytes that are not there");
            }
            if reference > 0 && world.torn[digest] & mask != 0 {
                return Some("I2: a reference to bytes that were not verified");
            }
            if matches!(fact.name, StateName::Attached | StateName::Superseded) && reference == 0 {
                return Some("I4: an attachment that was acknowledged is lost");
            }
            if world.attached[ingest] > 1 {
                return Some("I5: one upload is attached twice");
            }
            let dropped = fact.name == StateName::Closed || fact.name == StateName::Releasing && !fact.fixed;
            if dropped && world.ingest[ingest] != 0 && reference > 0 {
                return Some("I7: what was withdrawn or given up is referred to");
            }
        }
        for digest in 0..2 {
            let entry = self.machines.entry(digest, world.entry[digest]);
            if entry.pinned && entry.present && world.visible[digest] & bit(self.physical(entry.generation)) == 0 {
                return Some("I1: bytes under a legal hold that are not there");
            }
        }
        (world.foreign[0] != world.foreign[1]).then_some("I4: what somebody else wrote is lost")
    }

    /// Whether everything that was begun has come to its end, and nothing is left behind.
    pub(crate) fn finished(&mut self, world: &World) -> bool {
        self.unfinished(world).is_none()
    }

    /// What is left to do.
    pub(crate) fn unfinished(&mut self, world: &World) -> Option<&'static str> {
        if (0..2).any(|ingest| !self.machines.fact(ingest, world.ingest[ingest]).end) {
            return Some("I6: an upload never comes to its end");
        }
        for digest in 0..2 {
            let entry = self.machines.entry(digest, world.entry[digest]);
            for ingest in 0..2 {
                let (state, at) = (world.ingest[ingest], world.entry[digest]);
                if entry.holders[ingest] && !self.machines.justified(ingest, state, digest, at) {
                    return Some("I8: a hold is left behind");
                }
            }
            let needed = entry.state == Some(StateName::Live) && (entry.pinned || entry.holders != [false; 2]);
            let wanted = if needed { bit(self.physical(entry.generation)) } else { 0 };
            let unneeded = matches!(entry.state, Some(StateName::Live | StateName::Condemned)) && !needed;
            if unneeded || world.visible[digest] & !wanted != 0 {
                return Some("I3: bytes are left that nothing refers to");
            }
        }
        let idle = world.workers.iter().all(|worker| worker.pc == Pc::Idle);
        (!idle || world.deleting != [0; 2]).then_some("something is under way")
    }
}

/// The component is written to: whoever read it before has read what is old.
fn touch(world: &mut World) {
    for worker in &mut world.workers {
        worker.fresh = false;
    }
}

/// One thing that a worker does.
struct Job<'a> {
    model: &'a mut Model,
    world: World,
    slot: usize,
    ingest: usize,
    digest: usize,
    next: &'a mut Vec<Next>,
}

impl Job<'_> {
    fn fork(&mut self) -> Job<'_> {
        Job { model: self.model, next: self.next, ..*self }
    }

    fn done(mut self, fair: bool, what: &'static str, change: impl FnOnce(&mut Self)) {
        let before = self.world.highest;
        change(&mut self);
        let falls = self.model.setup.sequenced && self.world.highest < before;
        let mut world = self.world;
        if falls {
            world.highest = before;
        }
        let violation = falls.then_some("V1: an update is attached after a later one");
        let act = Act { who: "worker", at: self.slot, what, fair };
        self.next.push(Next { act, world, violation });
    }

    fn me(&mut self) -> &mut Worker {
        &mut self.world.workers[self.slot]
    }

    fn record(&self) -> u8 {
        self.world.ingest[self.ingest]
    }

    fn without(&self, rule: Rule) -> bool {
        self.model.without(rule)
    }

    fn generation(&self, known: u8) -> u8 {
        self.model.machines.fact(self.ingest, known).generation
    }

    /// Goes on with what the state of the record asks for.
    fn resume(&mut self) {
        let (record, bytes) = (self.record(), self.me().bytes);
        let next = self.model.machines.fact(self.ingest, record).next;
        let mut worker = Worker { known: record, ..Worker::default() };
        worker.pc = match next {
            Some(EffectName::ReceiveBytes) if bytes != 0 => Pc::Receive,
            Some(EffectName::ReceiveBytes) => Pc::GiveUp,
            Some(EffectName::CommitBytes) if bytes != 0 => Pc::Commit,
            Some(EffectName::CommitBytes) => Pc::Head,
            Some(EffectName::FindTarget) => Pc::Find,
            Some(EffectName::DropReference) => Pc::Drop,
            Some(EffectName::ReleaseBytes) => Pc::Release,
            Some(EffectName::HoldBytes | EffectName::WriteReference) | None => Pc::Idle,
            Some(other) => panic!("{other}"),
        };
        if matches!(worker.pc, Pc::Receive | Pc::Commit) {
            worker.bytes = bytes;
        }
        if worker.pc == Pc::Idle {
            worker = Worker::default();
        }
        *self.me() = worker;
    }

    /// Says something to the record as it is by now, and goes on from there.
    fn advance(&mut self, said: Said) -> Answer {
        let record = self.record();
        if record == 0 {
            *self.me() = Worker::default();
            return Answer::Refused;
        }
        let answer = self.model.machines.step(self.ingest, record, said);
        if let Answer::To(to, _) = answer {
            self.world.ingest[self.ingest] = to;
        }
        self.resume();
        answer
    }

    /// The same where the record is as it is known; else only looks at it.
    fn advance_known(&mut self, said: Said) {
        if self.record() == self.me().known {
            self.advance(said);
        } else {
            self.resume();
        }
    }

    fn tell(&mut self, told: Told) -> Answer {
        let answer = self.model.machines.tell(self.digest, self.world.entry[self.digest], told);
        if let Answer::To(to, _) = answer {
            self.world.entry[self.digest] = to;
        }
        answer
    }

    /// Takes a hold, if the bytes are not just being deleted.
    fn hold(&mut self) -> bool {
        let entry = self.model.machines.entry(self.digest, self.world.entry[self.digest]);
        let planned = self.me().generation;
        let fresh = if planned > 0 { planned } else { entry.generation + 1 };
        let answer = self.tell(Told::Held { by: self.ingest as u8, fresh });
        let generation = self.model.machines.entry(self.digest, self.world.entry[self.digest]).generation;
        self.me().generation = generation;
        answer != Answer::Refused
    }

    fn put(&mut self, generation: u8) {
        let mask = bit(self.model.physical(generation));
        if self.world.visible[self.digest] & mask == 0 && self.me().bytes == TORN {
            self.world.torn[self.digest] |= mask;
        }
        self.world.visible[self.digest] |= mask;
    }

    fn go(&mut self, worker: Worker) {
        let joint = self.model.setup.joint;
        let known = worker.known;
        let generation = self.generation(known);
        match worker.pc {
            Pc::Idle => self.begin(),
            Pc::Create => self.fork().done(true, "announces the upload whose bytes it holds", |job| {
                if job.record() == 0 {
                    job.world.ingest[job.ingest] = job.model.machines.open(job.ingest);
                }
                let (known, generation) = (job.record(), job.me().generation);
                *job.me() = Worker { pc: Pc::Acquire, known, bytes: 1, generation, ..Worker::default() };
            }),
            Pc::Receive => self.receive(worker),
            Pc::Acquire => self.fork().done(true, "says that the bytes are held", |job| {
                job.advance(Said::Held { generation: worker.generation });
                if job.without(Rule::HoldBeforeBytes) && job.me().pc == Pc::Commit {
                    let known = job.me().known;
                    *job.me() = Worker { pc: Pc::Present, known, ..Worker::default() };
                }
                if job.without(Rule::HoldBeforeIntentMoves) && job.me().pc == Pc::Commit {
                    job.me().pc = Pc::HoldLate;
                }
            }),
            Pc::HoldLate => {
                let mut job = self.fork();
                if job.hold() {
                    job.me().generation = 0;
                    job.done(true, "holds the bytes at last", |job| job.me().pc = Pc::Commit);
                }
            }
            Pc::Commit => {
                self.fork().done(true, "commits the bytes", |job| {
                    if !job.without(Rule::CommitBeforeAttach) {
                        job.put(generation);
                    }
                    *job.me() = Worker { pc: Pc::Present, known, ..Worker::default() };
                });
                if self.model.setup.torn {
                    self.fork().done(true, "is told by the store that the bytes are too many", |job| {
                        job.advance(Said::Failed);
                    });
                }
            }
            Pc::Present => self.fork().done(true, "tells the blob ledger that they are there", |job| {
                if joint && job.record() != known {
                    return job.resume();
                }
                if job.tell(Told::Committed { generation }) == Answer::Refused {
                    *job.me() = Worker::default();
                } else if joint {
                    job.advance(Said::Committed { generation });
                } else {
                    job.me().pc = Pc::Store;
                }
            }),
            Pc::Store => self.fork().done(true, "says that the bytes are stored", |job| {
                job.advance(Said::Committed { generation });
            }),
            Pc::Head => self.fork().done(true, "asks the store for the bytes", |job| {
                let mask = bit(job.model.physical(generation));
                let there = job.world.visible[job.digest] & mask != 0;
                job.me().pc = if there { Pc::Present } else { Pc::GiveUp };
            }),
            Pc::GiveUp => self.fork().done(true, "gives the upload up for lost", |job| {
                if job.without(Rule::IntentBeforeRelease) && generation > 0 && job.me().generation == 0 {
                    job.tell(Told::Released { by: job.ingest as u8 });
                    job.me().generation = generation;
                } else {
                    job.advance_known(Said::Late);
                }
            }),
            Pc::Find | Pc::Reread | Pc::Judge | Pc::Aim | Pc::Write => self.attach(worker),
            Pc::Mark => self.fork().done(true, "says that the reference is written", |job| {
                let late = job.without(Rule::CommitBeforeAttach) && job.me().known != 0;
                job.advance(Said::Written);
                if late && job.me().pc == Pc::Idle {
                    *job.me() = Worker { pc: Pc::CommitLate, known, ..Worker::default() };
                }
            }),
            Pc::CommitLate => self.fork().done(true, "commits the bytes at last", |job| {
                job.put(generation);
                *job.me() = Worker::default();
            }),
            Pc::Conflict => self.fork().done(true, "says that somebody was faster", |job| {
                let attempt = job.model.machines.fact(job.ingest, known).attempts;
                job.advance(Said::Conflicted { attempt });
            }),
            Pc::Lost => self.fork().done(true, "says that the target is lost", |job| {
                job.advance(Said::TargetLost);
            }),
            Pc::Drop if self.without(Rule::ReferenceBeforeHold) && worker.generation == 0 => {
                self.fork().done(true, "releases its hold before the reference", |job| {
                    job.tell(Told::Released { by: job.ingest as u8 });
                    job.me().generation = generation;
                });
            }
            Pc::Drop => self.fork().done(true, "writes to the component without the reference", |job| {
                let there = job.world.refs[job.ingest] > 0;
                if there || !job.without(Rule::Fence) {
                    job.world.refs[job.ingest] = 0;
                    touch(&mut job.world);
                }
                (job.me().pc, job.me().generation) = (Pc::Dropped, 0);
            }),
            Pc::Dropped => self.fork().done(true, "says that the reference is gone", |job| {
                job.advance(Said::Dropped);
            }),
            Pc::Release => self.fork().done(true, "releases its hold", |job| {
                if joint && job.record() != known {
                    return job.resume();
                }
                job.tell(Told::Released { by: job.ingest as u8 });
                if joint { job.close(generation) } else { job.me().pc = Pc::Close }
            }),
            Pc::Close => self.fork().done(true, "closes the upload", |job| job.close(generation)),
        }
    }

    fn close(&mut self, generation: u8) {
        self.advance(Said::Released { generation });
        if self.without(Rule::NoCleanUp) {
            self.world.visible[self.digest] &= !bit(self.model.physical(generation));
        }
    }

    fn begin(&mut self) {
        if self.record() == 0 {
            if self.without(Rule::IntentBeforeHold) {
                let mut job = self.fork();
                job.me().bytes = 1;
                if job.hold() {
                    job.done(false, "holds bytes before it announces their upload", |job| job.me().pc = Pc::Create);
                }
                return;
            }
            self.fork().done(false, "announces an upload", |job| {
                job.world.ingest[job.ingest] = job.model.machines.open(job.ingest);
                job.me().bytes = 1;
                job.resume();
            });
            return;
        }
        let next = self.model.machines.fact(self.ingest, self.record()).next;
        if next.is_some() && !self.without(Rule::Recovery) {
            self.fork().done(true, "takes the upload up", Job::resume);
        }
        let open = matches!(next, Some(EffectName::ReceiveBytes | EffectName::CommitBytes));
        if self.model.setup.resend && !self.world.resent[self.ingest] && open {
            self.fork().done(false, "has the bytes sent again", |job| {
                job.world.resent[job.ingest] = true;
                job.me().bytes = 1;
                job.resume();
            });
        }
    }

    fn receive(&mut self, worker: Worker) {
        let (joint, known) = (self.model.setup.joint, worker.known);
        if self.model.setup.torn && worker.bytes != TORN && worker.generation == 0 {
            self.fork().done(true, "finds that the bytes are torn", |job| {
                if job.without(Rule::Verification) {
                    job.me().bytes = TORN;
                } else {
                    job.advance(Said::Received { torn: true });
                }
            });
        }
        let answer = self.model.machines.step(self.ingest, known, Said::Received { torn: false });
        assert_eq!(answer, Answer::Do, "bytes are received where they are wanted");
        if self.without(Rule::HoldBeforeBytes) && worker.generation == 0 {
            self.fork().done(true, "commits the bytes before they are held", |job| {
                let entry = job.model.machines.entry(job.digest, job.world.entry[job.digest]);
                job.me().generation = entry.generation + 1;
                job.put(entry.generation + 1);
            });
            return;
        }
        if self.without(Rule::HoldBeforeIntentMoves) {
            let entry = self.model.machines.entry(self.digest, self.world.entry[self.digest]);
            if entry.state == Some(StateName::Live) {
                self.fork().done(true, "learns the generation, and does not hold it yet", |job| {
                    job.me().generation = entry.generation;
                    job.me().pc = Pc::Acquire;
                });
                return;
            }
        }
        let mut job = self.fork();
        if joint && job.record() != known {
            return job.done(true, "finds the record changed", Job::resume);
        }
        if job.hold() {
            job.done(true, "has all bytes, and holds them", |job| {
                if joint {
                    let generation = job.me().generation;
                    job.advance(Said::Held { generation });
                } else {
                    job.me().pc = Pc::Acquire;
                }
            });
        }
    }

    fn attach(&mut self, worker: Worker) {
        let (joint, known) = (self.model.setup.joint, worker.known);
        let generation = self.generation(known);
        match worker.pc {
            Pc::Find => self.fork().done(true, "reads the component", |job| {
                let fact = job.model.machines.fact(job.ingest, known);
                let own = job.world.refs[job.ingest] > 0 && !job.without(Rule::AttachKeyed);
                job.me().fresh = !own && !job.world.moved;
                if job.without(Rule::IfMatch) {
                    job.me().seen = [job.world.refs[0], job.world.refs[1], job.world.foreign[0]];
                }
                job.me().pc = match (own, job.world.moved) {
                    (true, _) => Pc::Mark,
                    (false, true) => Pc::Lost,
                    (false, false) if job.without(Rule::IntentReread) && fact.fixed => Pc::Judge,
                    (false, false) => Pc::Reread,
                };
            }),
            Pc::Reread => self.fork().done(true, "reads the record again", |job| {
                if job.record() != known {
                    job.resume();
                } else if joint {
                    job.judge(known);
                } else {
                    job.me().pc = Pc::Judge;
                }
            }),
            Pc::Judge => self.fork().done(true, "reads what was accepted", |job| job.judge(known)),
            Pc::Aim => self.fork().done(true, "fixes the component in the record", |job| job.aim(known)),
            Pc::Write => self.fork().done(true, "writes the reference", |job| {
                if !job.me().fresh && !job.without(Rule::IfMatch) {
                    job.me().pc = Pc::Conflict;
                    return;
                }
                if job.without(Rule::IfMatch) {
                    let [first, second, foreign] = job.me().seen;
                    (job.world.refs, job.world.foreign[0]) = ([first, second], foreign);
                }
                job.world.refs[job.ingest] = generation;
                job.world.attached[job.ingest] += 1;
                job.world.highest = job.ingest as u8 + 1;
                touch(&mut job.world);
                *job.me() = Worker { pc: Pc::Mark, known, ..Worker::default() };
            }),
            other => panic!("{other:?}"),
        }
    }

    fn judge(&mut self, known: u8) {
        let fixed = self.model.machines.fact(self.ingest, known).fixed;
        let mut accepted = self.world.accepted;
        if self.without(Rule::AcceptedReread) && fixed {
            accepted = self.ingest as u8 + 1;
        }
        match self.model.machines.step(self.ingest, known, Said::TargetRead { accepted }) {
            Answer::Do => self.me().pc = Pc::Write,
            Answer::To(to, accepts) if self.model.machines.fact(self.ingest, to).name == StateName::Stored => {
                if joint_and_changed(self, known) {
                    return self.resume();
                }
                if accepts {
                    self.world.accepted = self.ingest as u8 + 1;
                }
                if self.model.setup.joint { self.aim(known) } else { self.me().pc = Pc::Aim }
            }
            Answer::To(..) | Answer::Unchanged | Answer::Refused => {
                self.advance_known(Said::TargetRead { accepted });
            }
        }
    }

    /// The record is written only if it is as it is known; then the reference may be written, by what was read before.
    fn aim(&mut self, known: u8) {
        if self.record() != known {
            return self.resume();
        }
        let accepted = if self.model.setup.sequenced { self.ingest as u8 + 1 } else { 0 };
        let (fresh, seen) = (self.me().fresh, self.me().seen);
        let said = Said::TargetRead { accepted };
        let Answer::To(to, _) = self.model.machines.step(self.ingest, known, said) else { panic!("{known}") };
        self.world.ingest[self.ingest] = to;
        *self.me() = Worker { pc: Pc::Write, known: to, fresh, seen, ..Worker::default() };
    }
}

fn joint_and_changed(job: &Job<'_>, known: u8) -> bool {
    job.model.setup.joint && job.record() != known
}
