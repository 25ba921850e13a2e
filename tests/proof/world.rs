//! The model around the machines: workers that stop and wake at any point, a component with other writers, a blob store
//! whose deletions arrive late and twice, a collector, a sweeper and an operator who withdraws.
//!
//! A worker does one thing at a time: one write to one store, or one read on which it acts later. A read and a write of
//! one record under its revision are one step, since the write fails when the record has changed.

use super::machines::{Answer, Machines, Said, Told};
use super::worker::{Job, touch};
use fhir_devices::audit::StateName;

/// The configuration of the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// The bytes of each of two uploads.
    pub(crate) bytes: [u8; 2],
    /// The upload of each worker. Of two workers of one upload, one is thought dead, and the other continues for it.
    pub(crate) workers: &'static [usize],
    /// Whether related records are written together.
    pub(crate) joint: bool,
    /// The number of writes of another writer to the component.
    pub(crate) foreign: u8,
    /// Whether bytes may arrive damaged, or be refused by the store.
    pub(crate) torn: bool,
    /// Whether uploads may be withdrawn.
    pub(crate) withdraw: bool,
    /// Whether the component may cease to be the match.
    pub(crate) moves: bool,
    /// Whether the uploads have sequence numbers, and are superseded.
    pub(crate) sequenced: bool,
    /// Whether both uploads have the same version.
    pub(crate) versioned: bool,
    /// Whether bytes may be put under a legal hold, and the hold lifted.
    pub(crate) pins: bool,
    /// Whether the bytes of an upload may be sent again, once.
    pub(crate) resend: bool,
    /// Whether a superseded upload may be made current again, once; then each marks the one that it replaced.
    pub(crate) restore: bool,
    /// Whether two workers of one upload are told apart, for a readable trace.
    pub(crate) told_apart: bool,
    /// The removed rule.
    pub(crate) without: Option<Rule>,
}

/// A rule of the drivers, to be removed.
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
    RestoreReread,
    RestoreOnce,
    SupersededCounted,
    ClaimReread,
}

impl Rule {
    pub(crate) const ALL: [Self; 23] = [
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
        Self::RestoreReread,
        Self::RestoreOnce,
        Self::SupersededCounted,
        Self::ClaimReread,
    ];
}

/// The program counter of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WorkerStep {
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
    CheckAccepted,
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
    MarkOther,
    RestoreRead,
    RestoreReread,
    RestoreWrite,
    RestoreMark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) pc: WorkerStep,
    /// The last seen state of the upload.
    pub(crate) known: u8,
    /// Whether it has the bytes, and whether they are damaged.
    pub(crate) bytes: u8,
    /// The known generation.
    pub(crate) generation: u8,
    /// Whether the component is unchanged since this worker read it.
    pub(crate) fresh: bool,
    /// Earlier reads that are not checked again.
    pub(crate) seen: [u8; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) ingest: [u8; 2],
    pub(crate) entry: [u8; 2],
    /// The visible bytes: a bit for each generation.
    pub(crate) visible: [u8; 2],
    pub(crate) torn: [u8; 2],
    /// The deletions in progress.
    pub(crate) deleting: [u8; 2],
    /// The generation of each upload's reference in the component.
    pub(crate) refs: [u8; 2],
    /// The status of each reference in the component.
    pub(crate) status: [Status; 2],
    /// How often each was made current again, according to the component.
    pub(crate) restored: [u8; 2],
    /// The other writer's notes in the component, and the number of acknowledged ones.
    pub(crate) foreign: [u8; 2],
    pub(crate) moved: bool,
    pub(crate) resent: [bool; 2],
    pub(crate) accepted: u8,
    /// The upload, counted from 1, whose bytes the version of both stands for.
    pub(crate) claimed: u8,
    /// How often each upload was attached, and the highest attached number.
    pub(crate) attached: [u8; 2],
    pub(crate) highest: u8,
    /// The entries that a sweeper read too early.
    pub(crate) early: [u8; 2],
    pub(crate) workers: [Worker; 3],
}

/// The status of a reference in the component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    #[default]
    Current,
    Superseded,
    Withdrawn,
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
        let [first, second] = self.status;
        packed[20] = first as u8 | (second as u8) << 2 | self.restored[0] << 4 | self.restored[1] << 6;
        packed[21] = self.claimed;
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

/// An actor and its action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) who: &'static str,
    pub(crate) at: usize,
    pub(crate) what: &'static str,
    /// Whether it is certain to happen eventually, if nothing else does.
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

pub(crate) fn bit(generation: u8) -> u8 {
    1 << generation
}

impl Model {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, machines: Machines::new(setup.bytes, setup.sequenced, setup.versioned) }
    }

    pub(crate) fn without(&self, rule: Rule) -> bool {
        self.setup.without == Some(rule)
    }

    /// The generation under which bytes are in the store.
    pub(crate) fn physical(&self, generation: u8) -> u8 {
        if self.without(Rule::NewGenerations) { 1 } else { generation }
    }

    /// Returns the possible next steps.
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
            if known != 0 && self.setup.restore && self.machines.fact(ingest, known).restored == 0 {
                said.push((Said::RestoreRequested, "wants the upload to be current again"));
            }
            if known != 0 && self.setup.sequenced && ingest == 0 && other == StateName::Attached {
                said.push((Said::Superseded { restored: 0 }, "notes that the upload is superseded"));
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
        if worker.pc != WorkerStep::Idle {
            job.fork().done(true, "dies", |job| job.world.workers[job.slot] = Worker::default());
        }
        job.go(worker);
    }

    /// Returns the violated invariant, if any.
    pub(crate) fn violation(&self, world: &World) -> Option<&'static str> {
        for ingest in 0..2 {
            let fact = self.machines.fact(ingest, world.ingest[ingest]);
            let digest = self.machines.digest_of(ingest);
            let reference = world.refs[ingest];
            let mask = bit(self.physical(reference));
            let status = world.status[ingest];
            if reference > 0 && status != Status::Withdrawn && world.visible[digest] & mask == 0 {
                return Some("I1: a reference to bytes that are not there");
            }
            if reference > 0 && world.torn[digest] & mask != 0 {
                return Some("I2: a reference to bytes that were not verified");
            }
            let acknowledged = matches!(fact.name, StateName::Attached | StateName::Superseded | StateName::Restoring);
            if acknowledged && (reference == 0 || status == Status::Withdrawn) {
                return Some("I4: an attachment that was acknowledged is lost");
            }
            if world.attached[ingest] > 1 {
                return Some("I5: one upload is attached twice");
            }
            if fact.name == StateName::Withdrawn && (reference > 0 && status != Status::Withdrawn) {
                return Some("I7: what was withdrawn is offered");
            }
            if fact.name == StateName::Withdrawn && reference == 0 && !fact.end {
                return Some("I7: what was withdrawn is not shown as such");
            }
            let dropped = fact.name == StateName::Closed || fact.name == StateName::Releasing && !fact.fixed;
            if dropped && world.ingest[ingest] != 0 && reference > 0 {
                return Some("I7: what was withdrawn or given up is referred to");
            }
        }
        let other_bytes = self.machines.digest_of(0) != self.machines.digest_of(1);
        if self.setup.versioned && other_bytes && !world.attached.contains(&0) {
            return Some("V5: one version is attached with two sets of bytes");
        }
        for digest in 0..2 {
            let entry = self.machines.entry(digest, world.entry[digest]);
            if entry.pinned && entry.present && world.visible[digest] & bit(self.physical(entry.generation)) == 0 {
                return Some("I1: bytes under a legal hold that are not there");
            }
        }
        (world.foreign[0] != world.foreign[1]).then_some("I4: what somebody else wrote is lost")
    }

    /// Returns whether all work has come to its end, and nothing is left behind.
    pub(crate) fn finished(&mut self, world: &World) -> bool {
        self.unfinished(world).is_none()
    }

    /// Returns the unfinished work.
    pub(crate) fn unfinished(&mut self, world: &World) -> Option<&'static str> {
        if (0..2).any(|ingest| !self.machines.fact(ingest, world.ingest[ingest]).end) {
            return Some("I6: an upload never comes to its end");
        }
        for ingest in 0..2 {
            let differs = match self.machines.fact(ingest, world.ingest[ingest]).name {
                StateName::Attached => world.status[ingest] != Status::Current,
                StateName::Superseded => world.status[ingest] != Status::Superseded,
                _ => false,
            };
            if self.setup.restore && differs {
                return Some("I9: the component says another thing of an upload than its record");
            }
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
        let idle = world.workers.iter().all(|worker| worker.pc == WorkerStep::Idle);
        (!idle || world.deleting != [0; 2]).then_some("something is under way")
    }
}
