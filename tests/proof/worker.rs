//! The steps of the workers: each is one write to one store, or one read on which a worker acts later.

use super::machines::{Answer, Said, Told};
use super::world::{Act, Model, Next, Rule, Status, Worker, WorkerStep, World, bit};
use fhir_devices::audit::StateName;
use fhir_devices::update::ingest::EffectName;

/// The bytes differ from the declared ones.
const TORN: u8 = 2;

/// The component was written: earlier reads of it are outdated.
pub(crate) fn touch(world: &mut World) {
    for worker in &mut world.workers {
        worker.fresh = false;
    }
}

/// One step of a worker.
pub(crate) struct Job<'a> {
    pub(crate) model: &'a mut Model,
    pub(crate) world: World,
    pub(crate) slot: usize,
    pub(crate) ingest: usize,
    pub(crate) digest: usize,
    pub(crate) next: &'a mut Vec<Next>,
}

impl Job<'_> {
    pub(crate) fn fork(&mut self) -> Job<'_> {
        Job { model: self.model, next: self.next, ..*self }
    }

    pub(crate) fn done(mut self, fair: bool, what: &'static str, change: impl FnOnce(&mut Self)) {
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

    /// Continues with the outstanding effect of the record's state.
    fn resume(&mut self) {
        let (record, bytes) = (self.record(), self.me().bytes);
        let next = self.model.machines.fact(self.ingest, record).next;
        let mut worker = Worker { known: record, ..Worker::default() };
        worker.pc = match next {
            Some(EffectName::ReceiveBytes) if bytes != 0 => WorkerStep::Receive,
            Some(EffectName::ReceiveBytes) => WorkerStep::GiveUp,
            Some(EffectName::CommitBytes) if bytes != 0 => WorkerStep::Commit,
            Some(EffectName::CommitBytes) => WorkerStep::Head,
            Some(EffectName::FindTarget) => WorkerStep::Find,
            Some(EffectName::DropReference | EffectName::MarkWithdrawn) => WorkerStep::Drop,
            Some(EffectName::RestoreReference) => WorkerStep::RestoreRead,
            Some(EffectName::ReleaseBytes) => WorkerStep::Release,
            Some(EffectName::HoldBytes | EffectName::WriteReference) | None => WorkerStep::Idle,
            Some(other) => panic!("{other}"),
        };
        if matches!(worker.pc, WorkerStep::Receive | WorkerStep::Commit) {
            worker.bytes = bytes;
        }
        if worker.pc == WorkerStep::Idle {
            worker = Worker::default();
        }
        *self.me() = worker;
    }

    /// Sends an input to the record in its current state, and continues from there.
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

    /// Sends an input if the record is as known; otherwise only reads it.
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

    /// Takes a hold, unless the bytes are being deleted.
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

    pub(crate) fn go(&mut self, worker: Worker) {
        let joint = self.model.setup.joint;
        let known = worker.known;
        let generation = self.generation(known);
        match worker.pc {
            WorkerStep::Idle => self.begin(),
            WorkerStep::Create => self.fork().done(true, "announces the upload whose bytes it holds", |job| {
                if job.record() == 0 {
                    job.world.ingest[job.ingest] = job.model.machines.open(job.ingest);
                }
                let (known, generation) = (job.record(), job.me().generation);
                *job.me() = Worker { pc: WorkerStep::Acquire, known, bytes: 1, generation, ..Worker::default() };
            }),
            WorkerStep::Receive => self.receive(worker),
            WorkerStep::Acquire => self.fork().done(true, "says that the bytes are held", |job| {
                job.advance(Said::Held { generation: worker.generation });
                if job.without(Rule::HoldBeforeBytes) && job.me().pc == WorkerStep::Commit {
                    let known = job.me().known;
                    *job.me() = Worker { pc: WorkerStep::Present, known, ..Worker::default() };
                }
                if job.without(Rule::HoldBeforeIntentMoves) && job.me().pc == WorkerStep::Commit {
                    job.me().pc = WorkerStep::HoldLate;
                }
            }),
            WorkerStep::HoldLate => {
                let mut job = self.fork();
                if job.hold() {
                    job.me().generation = 0;
                    job.done(true, "holds the bytes at last", |job| job.me().pc = WorkerStep::Commit);
                }
            }
            WorkerStep::Commit => {
                self.fork().done(true, "commits the bytes", |job| {
                    if !job.without(Rule::CommitBeforeAttach) {
                        job.put(generation);
                    }
                    let Worker { fresh, seen, .. } = worker;
                    *job.me() = Worker { pc: WorkerStep::Present, known, fresh, seen, ..Worker::default() };
                });
                if self.model.setup.torn {
                    self.fork().done(true, "is told by the store that the bytes are too many", |job| {
                        job.advance(Said::Failed);
                    });
                }
            }
            WorkerStep::Present if joint && worker.fresh => self.present_and_aim(worker),
            WorkerStep::Present => self.fork().done(true, "tells the blob ledger that they are there", |job| {
                if joint && job.record() != known {
                    return job.resume();
                }
                if job.tell(Told::Committed { generation }) == Answer::Refused {
                    *job.me() = Worker::default();
                } else if joint {
                    job.advance(Said::Committed { generation });
                } else {
                    job.me().pc = WorkerStep::Store;
                }
            }),
            WorkerStep::Store => self.fork().done(true, "says that the bytes are stored", |job| {
                job.advance(Said::Committed { generation });
            }),
            WorkerStep::Head => self.fork().done(true, "asks the store for the bytes", |job| {
                let mask = bit(job.model.physical(generation));
                let there = job.world.visible[job.digest] & mask != 0;
                job.me().pc = if there { WorkerStep::Present } else { WorkerStep::GiveUp };
            }),
            WorkerStep::GiveUp => self.fork().done(true, "gives the upload up for lost", |job| {
                if job.without(Rule::IntentBeforeRelease) && generation > 0 && job.me().generation == 0 {
                    job.tell(Told::Released { by: job.ingest as u8 });
                    job.me().generation = generation;
                } else {
                    job.advance_known(Said::Late);
                }
            }),
            WorkerStep::Find | WorkerStep::Reread | WorkerStep::CheckAccepted | WorkerStep::Aim | WorkerStep::Write => {
                self.attach(worker)
            }
            WorkerStep::RestoreRead | WorkerStep::RestoreReread | WorkerStep::RestoreWrite => self.restore(worker),
            WorkerStep::MarkOther | WorkerStep::RestoreMark => self.mark_other(worker),
            WorkerStep::Mark => self.fork().done(true, "says that the reference is written", |job| {
                let late = job.without(Rule::CommitBeforeAttach) && job.me().known != 0;
                job.advance(Said::Written);
                if late && job.me().pc == WorkerStep::Idle {
                    *job.me() = Worker { pc: WorkerStep::CommitLate, known, ..Worker::default() };
                }
            }),
            WorkerStep::CommitLate => self.fork().done(true, "commits the bytes at last", |job| {
                job.put(generation);
                *job.me() = Worker::default();
            }),
            WorkerStep::Conflict => self.fork().done(true, "says that somebody was faster", |job| {
                let attempt = job.model.machines.fact(job.ingest, known).attempts;
                job.advance(Said::Conflicted { attempt });
            }),
            WorkerStep::Lost => self.fork().done(true, "says that the target is lost", |job| {
                job.advance(Said::TargetLost);
            }),
            WorkerStep::Drop if self.without(Rule::ReferenceBeforeHold) && worker.generation == 0 => {
                self.fork().done(true, "releases its hold before the reference", |job| {
                    job.tell(Told::Released { by: job.ingest as u8 });
                    job.me().generation = generation;
                });
            }
            WorkerStep::Drop if self.marks_before_it_drops() => {}
            WorkerStep::Drop => {
                self.fork().done(true, "writes to the component without the reference, or marks it", |job| {
                    let there = job.world.refs[job.ingest] > 0;
                    let marks = job.model.machines.fact(job.ingest, known).next == Some(EffectName::MarkWithdrawn);
                    if there && marks {
                        job.world.status[job.ingest] = Status::Withdrawn;
                    } else {
                        job.clear();
                    }
                    if there || !job.without(Rule::Fence) {
                        touch(&mut job.world);
                    }
                    (job.me().pc, job.me().generation) = (WorkerStep::Dropped, 0);
                    job.me().bytes = u8::from(there && marks);
                })
            }
            WorkerStep::Dropped => self.fork().done(true, "says what became of the reference", |job| {
                job.advance(if worker.bytes > 0 { Said::Marked } else { Said::Dropped });
            }),
            WorkerStep::Release => self.fork().done(true, "releases its hold", |job| {
                if joint && job.record() != known {
                    return job.resume();
                }
                job.tell(Told::Released { by: job.ingest as u8 });
                if joint { job.close(generation) } else { job.me().pc = WorkerStep::Close }
            }),
            WorkerStep::Close => self.fork().done(true, "closes the upload", |job| job.close(generation)),
        }
    }

    /// Data read before the first commit is still valid: the bytes are stored and the component is fixed in one commit.
    fn present_and_aim(&mut self, worker: Worker) {
        let (known, generation) = (worker.known, self.generation(worker.known));
        self.fork().done(true, "says that the bytes are stored, and fixes the component", |job| {
            if job.record() != known {
                return job.resume();
            }
            if job.tell(Told::Committed { generation }) == Answer::Refused {
                *job.me() = Worker::default();
                return;
            }
            let said = Said::TargetRead { accepted: job.world.accepted, claimed: job.world.claimed };
            let committed = job.model.machines.step(job.ingest, known, Said::Committed { generation });
            let Answer::To(stored, _) = committed else { return job.resume() };
            match job.model.machines.step(job.ingest, stored, said) {
                Answer::To(to, _) if job.model.machines.fact(job.ingest, to).name == StateName::Stored => {
                    job.world.ingest[job.ingest] = stored;
                    job.me().known = stored;
                    job.check_accepted(stored);
                }
                // The target is looked for again.
                _ => drop(job.advance(Said::Committed { generation })),
            }
        });
    }

    /// Reads the component, and then announces the upload with the bytes that it holds, in one commit.
    fn announce_with_bytes(&mut self) {
        self.fork().done(false, "reads the component, and announces an upload that holds its bytes", |job| {
            job.world.ingest[job.ingest] = job.model.machines.open(job.ingest);
            job.me().bytes = 1;
            job.resume();
            if job.me().pc != WorkerStep::Receive || !job.hold() {
                return;
            }
            let generation = job.me().generation;
            job.advance(Said::Held { generation });
            job.see_other();
            job.me().fresh = !job.world.moved;
            if job.without(Rule::IfMatch) {
                job.me().seen = [job.world.refs[0], job.world.refs[1], job.world.foreign[0]];
            }
        });
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
                    job.done(false, "holds bytes before it announces their upload", |job| {
                        job.me().pc = WorkerStep::Create
                    });
                }
                return;
            }
            if self.model.setup.joint {
                self.announce_with_bytes();
            }
            self.fork().done(false, "announces an upload", |job| {
                job.world.ingest[job.ingest] = job.model.machines.open(job.ingest);
                job.me().bytes = 1;
                job.resume();
            });
            return;
        }
        let fact = self.model.machines.fact(self.ingest, self.record());
        let next = fact.next;
        if fact.name == StateName::Withdrawn && fact.end {
            self.fork().done(false, "finds that a withdrawn update was shown for long enough", |job| {
                let known = job.record();
                let answer = job.model.machines.step(job.ingest, known, Said::RetentionEnded);
                assert_eq!(answer, Answer::Do);
                *job.me() = Worker { pc: WorkerStep::Drop, known, ..Worker::default() };
            });
        }
        if next.is_some() && !self.without(Rule::Recovery) {
            self.fork().done(true, "takes the upload up", Job::resume);
        }
        let open = matches!(next, Some(EffectName::ReceiveBytes | EffectName::CommitBytes));
        if self.model.setup.resend && !self.world.resent[self.ingest] && open {
            self.fork().done(false, "has the bytes sent again", |job| {
                job.world.resent[job.ingest] = true;
                job.me().bytes = 1;
                job.resume();
                // Bytes that are held already are asked for all the same, to be committed.
                let answer = job.model.machines.step(job.ingest, job.record(), Said::Received { torn: false });
                assert_eq!(answer, Answer::Do);
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
                    job.me().pc = WorkerStep::Acquire;
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
                    job.me().pc = WorkerStep::Acquire;
                }
            });
        }
    }

    fn attach(&mut self, worker: Worker) {
        let (joint, known) = (self.model.setup.joint, worker.known);
        let generation = self.generation(known);
        match worker.pc {
            WorkerStep::Find => self.fork().done(true, "reads the component", |job| {
                let fact = job.model.machines.fact(job.ingest, known);
                job.see_other();
                let own = job.world.refs[job.ingest] > 0 && !job.without(Rule::AttachKeyed);
                job.me().fresh = !own && !job.world.moved;
                if job.without(Rule::IfMatch) {
                    job.me().seen = [job.world.refs[0], job.world.refs[1], job.world.foreign[0]];
                }
                job.me().pc = match (own, job.world.moved) {
                    (true, _) if job.model.setup.restore => WorkerStep::MarkOther,
                    (true, _) => WorkerStep::Mark,
                    (false, true) => WorkerStep::Lost,
                    (false, false) if job.without(Rule::IntentReread) && fact.fixed => WorkerStep::CheckAccepted,
                    (false, false) => WorkerStep::Reread,
                };
            }),
            WorkerStep::Reread => self.fork().done(true, "reads the record again", |job| {
                if job.record() != known {
                    job.resume();
                } else if joint {
                    job.check_accepted(known);
                } else {
                    job.me().pc = WorkerStep::CheckAccepted;
                }
            }),
            WorkerStep::CheckAccepted => {
                self.fork().done(true, "reads what was accepted", |job| job.check_accepted(known))
            }
            WorkerStep::Aim => self.fork().done(true, "fixes the component in the record", |job| job.aim(known)),
            WorkerStep::Write => self.fork().done(true, "writes the reference", |job| {
                if !job.me().fresh && !job.without(Rule::IfMatch) {
                    job.me().pc = WorkerStep::Conflict;
                    return;
                }
                if job.without(Rule::IfMatch) {
                    let [first, second, foreign] = job.me().seen;
                    (job.world.refs, job.world.foreign[0]) = ([first, second], foreign);
                }
                job.world.refs[job.ingest] = generation;
                job.world.attached[job.ingest] += 1;
                job.world.highest = job.ingest as u8 + 1;
                job.take_place();
                touch(&mut job.world);
                *job.me() = Worker { pc: WorkerStep::Mark, known, ..Worker::default() };
                if job.model.setup.restore {
                    job.me().pc = WorkerStep::MarkOther;
                    job.see_other();
                }
            }),
            other => panic!("{other:?}"),
        }
    }

    /// Removes the reference from the component.
    fn clear(&mut self) {
        self.world.refs[self.ingest] = 0;
        (self.world.status[self.ingest], self.world.restored[self.ingest]) = (Status::Current, 0);
    }

    /// Makes the reference current, in place of the other one if that was current.
    fn take_place(&mut self) {
        let other = 1 - self.ingest;
        self.world.status[self.ingest] = Status::Current;
        if self.model.setup.restore && self.world.refs[other] > 0 && self.world.status[other] == Status::Current {
            self.world.status[other] = Status::Superseded;
        }
    }

    /// Reads the other reference in the component, as far as it matters.
    fn see_other(&mut self) {
        let other = 1 - self.ingest;
        let superseded = self.world.refs[other] > 0 && self.world.status[other] == Status::Superseded;
        if self.model.setup.restore {
            self.me().seen = [u8::from(superseded), self.world.restored[other], 0];
        }
    }

    fn restore(&mut self, worker: Worker) {
        let known = worker.known;
        let wanted = self.model.machines.fact(self.ingest, known).restored;
        match worker.pc {
            WorkerStep::RestoreRead => self.fork().done(true, "reads the component that shall say so again", |job| {
                let (there, done) = (job.world.refs[job.ingest] > 0, job.world.restored[job.ingest] >= wanted);
                job.me().fresh = true;
                job.see_other();
                job.me().pc = match (there, done && !job.without(Rule::RestoreOnce)) {
                    (true, true) => WorkerStep::RestoreMark,
                    (true, false) if job.without(Rule::RestoreReread) => WorkerStep::RestoreWrite,
                    (true, false) => WorkerStep::RestoreReread,
                    (false, _) => {
                        job.advance(Said::RestoreFailed);
                        return;
                    }
                };
            }),
            WorkerStep::RestoreReread => self.fork().done(true, "reads the record of what is restored again", |job| {
                if job.record() == known { job.me().pc = WorkerStep::RestoreWrite } else { job.resume() }
            }),
            WorkerStep::RestoreWrite => self.fork().done(true, "makes the reference current again", |job| {
                if !job.me().fresh {
                    return job.resume();
                }
                job.take_place();
                job.world.restored[job.ingest] = wanted;
                touch(&mut job.world);
                *job.me() = Worker { pc: WorkerStep::RestoreMark, known, ..Worker::default() };
                job.see_other();
            }),
            other => panic!("{other:?}"),
        }
    }

    /// The replaced update is marked at the last moment: before its reference is dropped.
    fn marks_before_it_drops(&mut self) -> bool {
        if !self.model.setup.restore || self.world.refs[self.ingest] == 0 {
            return false;
        }
        let mut job = self.fork();
        job.see_other();
        let seen = job.me().seen;
        job.me().seen = [0; 3];
        match job.next_mark(seen) {
            Some(to) => job.done(true, "marks the upload whose place the reference took", |job| {
                job.world.ingest[1 - job.ingest] = to;
            }),
            None => return false,
        }
        true
    }

    /// Returns the record of the other upload, one step closer to the component.
    fn next_mark(&mut self, seen: [u8; 3]) -> Option<u8> {
        let other = 1 - self.ingest;
        let [superseded, restored, _] = seen;
        let record = self.world.ingest[other];
        let fact = self.model.machines.fact(other, record);
        let said = match fact.name {
            StateName::Stored => Said::Written,
            _ if self.without(Rule::SupersededCounted) => Said::Superseded { restored: fact.restored },
            _ => Said::Superseded { restored },
        };
        if superseded == 0 || record == 0 {
            return None;
        }
        match self.model.machines.step(other, record, said) {
            Answer::To(to, _) => Some(to),
            _ => None,
        }
    }

    /// Marks the other upload as the component shows it, and then its own.
    fn mark_other(&mut self, worker: Worker) {
        if let Some(to) = self.next_mark(worker.seen) {
            let other = self.model.machines.fact(1 - self.ingest, self.world.ingest[1 - self.ingest]);
            if self.model.setup.joint && worker.pc == WorkerStep::MarkOther && other.end {
                self.fork().done(true, "marks the upload whose place it took, and its own", |job| {
                    job.world.ingest[1 - job.ingest] = to;
                    job.advance(Said::Written);
                });
            }
            return self.fork().done(true, "marks the upload whose place it took", |job| {
                job.world.ingest[1 - job.ingest] = to;
            });
        }
        if worker.pc == WorkerStep::MarkOther {
            return self.fork().done(true, "has no other upload to mark", |job| {
                *job.me() = Worker { pc: WorkerStep::Mark, known: worker.known, ..Worker::default() };
            });
        }
        let restored = self.model.machines.fact(self.ingest, worker.known).restored;
        self.fork().done(true, "says that it is current again", |job| {
            job.advance(Said::Restored { restored });
        });
    }

    fn check_accepted(&mut self, known: u8) {
        let fixed = self.model.machines.fact(self.ingest, known).fixed;
        let mut accepted = self.world.accepted;
        if self.without(Rule::AcceptedReread) && fixed {
            accepted = self.ingest as u8 + 1;
        }
        let mut claimed = self.world.claimed;
        if self.without(Rule::ClaimReread) {
            claimed = if fixed { self.ingest as u8 + 1 } else { 0 };
        }
        let said = Said::TargetRead { accepted, claimed };
        match self.model.machines.step(self.ingest, known, said) {
            Answer::Do => self.me().pc = WorkerStep::Write,
            Answer::To(to, accepts) if self.model.machines.fact(self.ingest, to).name == StateName::Stored => {
                if joint_and_changed(self, known) {
                    return self.resume();
                }
                if accepts {
                    self.world.accepted = self.ingest as u8 + 1;
                }
                if self.model.setup.versioned && claimed == 0 {
                    self.world.claimed = self.ingest as u8 + 1;
                }
                if self.model.setup.joint { self.aim(known) } else { self.me().pc = WorkerStep::Aim }
            }
            Answer::To(..) | Answer::Unchanged | Answer::Refused => {
                self.advance_known(said);
            }
        }
    }

    /// Writes the record only if it is as known; then the reference may be written, from earlier reads.
    fn aim(&mut self, known: u8) {
        if self.record() != known {
            return self.resume();
        }
        let accepted = if self.model.setup.sequenced { self.ingest as u8 + 1 } else { 0 };
        let (fresh, seen) = (self.me().fresh, self.me().seen);
        let claimed = if self.model.setup.versioned { self.ingest as u8 + 1 } else { 0 };
        let said = Said::TargetRead { accepted, claimed };
        let Answer::To(to, _) = self.model.machines.step(self.ingest, known, said) else { panic!("{known}") };
        self.world.ingest[self.ingest] = to;
        *self.me() = Worker { pc: WorkerStep::Write, known: to, fresh, seen, ..Worker::default() };
    }
}

fn joint_and_changed(job: &Job<'_>, known: u8) -> bool {
    job.model.setup.joint && job.record() != known
}
