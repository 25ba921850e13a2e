//! A simulated run by choices: two processes over the same stores, with faults.

use super::choices::Choices;
use super::fleet::{COMPONENTS, component, fill, note, now, overwrite, run, tenants};
use super::invariants::{Invariants, Observations};
use super::net::{Mutant, Net};
use super::signed::{FORGED, OneKey, UNSIGNED, signed};
use bytes::Bytes;
use fhir_devices::audit::Holder;
use fhir_devices::backend::Memory;
use fhir_devices::containment::Selector;
use fhir_devices::manifest::IngestId;
use fhir_devices::service::{ReceiveError, ReconcilePosition, SignedSubmission, Submission, SweepRules, UpdateService};
use fhir_devices::store::*;
use fhir_devices::testkit::{CallOutcome, CallPlan, Faulty};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;
use time::OffsetDateTime;

type Service = UpdateService<Net, Net, Net>;

/// A call in progress in a process.
struct Task {
    process: usize,
    /// The step until which it sleeps.
    until: usize,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

struct World {
    choices: Choices,
    memory: Arc<Memory>,
    faulty: Arc<Faulty<Memory>>,
    net: Arc<Net>,
    clock: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
    services: [Service; 2],
    /// The number of tries of a process to write a component.
    attempts: u32,
    tasks: Vec<Task>,
    notes: Arc<Mutex<Observations>>,
    invariants: Invariants,
    mutant: Option<Mutant>,
    count: usize,
}

/// More steps than any of these worlds takes to come to its end.
const STEPS: usize = 4_000;
const LEASE: Duration = Duration::from_secs(60);

/// Runs a simulation, and returns its result and its choices.
pub(crate) fn simulate(choices: Choices, mutant: Option<Mutant>) -> (Result<(), String>, Vec<u32>) {
    let outcome = World::new(choices.clone(), mutant).simulate();
    (outcome, choices.made())
}

impl World {
    fn new(choices: Choices, mutant: Option<Mutant>) -> Self {
        let clock = Arc::new(AtomicI64::new(1_492_596_000));
        let memory = Arc::new(Memory::new().with_clock(at(&clock)));
        fill(&memory);
        let odds = [0, 24, 60][choices.pick(3)];
        let dice = choices.clone();
        let fates = move |_| match odds {
            0 => CallPlan::of(CallOutcome::Works),
            odds => CallPlan::of(CallOutcome::ALL.get(dice.pick(odds)).copied().unwrap_or(CallOutcome::Works)),
        };
        let faulty = Arc::new(Faulty::planned(Arc::clone(&memory), fates));
        let net = Arc::new(Net::new(Arc::clone(&faulty), choices.clone(), mutant));
        let ids = Arc::new(AtomicU64::new(1));
        let attempts = [1, 2, 32][choices.pick(3)];
        let services = [(); 2].map(|()| service(&net, &clock, &ids).with_max_attempts(attempts));
        let invariants = Invariants::new(mutant);
        let (tasks, notes) = (Vec::new(), Arc::default());
        Self {
            choices,
            memory,
            faulty,
            net,
            clock,
            ids,
            services,
            attempts,
            tasks,
            notes,
            invariants,
            mutant,
            count: 0,
        }
    }

    fn simulate(mut self) -> Result<(), String> {
        let mut calls = 3 + self.choices.pick(8);
        for step in 0..STEPS {
            match self.choices.pick(128) {
                127 => self.crash(),
                126 => self.jump(),
                123..126 => self.send_to_sleep(step),
                121..123 if calls == 0 => break,
                101..123 if calls > 0 => {
                    calls -= 1;
                    self.call();
                }
                _ if self.tasks.is_empty() && calls > 0 => {
                    calls -= 1;
                    self.call();
                }
                _ if self.tasks.is_empty() => break,
                _ => self.poll(step),
            }
            self.look()?;
        }
        // Those who are left do not come to their end, or do, or sleep until others have cleared up and begun anew.
        match self.choices.pick(3) {
            0 => self.tasks.clear(),
            1 => {}
            _ => self.go_by(),
        }
        self.look()?;
        for _ in 0..STEPS {
            if self.tasks.is_empty() {
                break;
            }
            self.poll(usize::MAX);
            self.look()?;
        }
        if !self.tasks.is_empty() {
            return Err(format!("{} calls never end", self.tasks.len()));
        }
        self.settle()
    }

    /// Advances time, while a third process cleans up and receives the same bytes again.
    fn go_by(&mut self) {
        self.clock.fetch_add(10_000, Ordering::Relaxed);
        let service = service(&self.net, &self.clock, &self.ids);
        for tenant in tenants() {
            for _ in 0..2 {
                let _ = run(service.recover(&tenant));
                let _ = run(service.collect(&tenant, Duration::ZERO));
            }
            for content in CONTENTS {
                let (_, mut submission, _) = self.upload(0);
                (submission.idempotency_key, submission.sha256) = (None, None);
                let _ = run(service.receive(&tenant, submission, stream::once(content)));
            }
        }
    }

    fn look(&mut self) -> Result<(), String> {
        if self.net.touched() { self.invariants.hold(&self.memory, &self.notes.lock().unwrap()) } else { Ok(()) }
    }

    fn crash(&mut self) {
        let process = self.choices.pick(2);
        self.tasks.retain(|task| task.process != process);
        self.services[process] = service(&self.net, &self.clock, &self.ids).with_max_attempts(self.attempts);
    }

    fn jump(&self) {
        let seconds = [5, 70, 4_000, -600][self.choices.pick(4)];
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    fn send_to_sleep(&mut self, step: usize) {
        if !self.tasks.is_empty() {
            let index = self.choices.pick(self.tasks.len());
            self.tasks[index].until = step + 20 + self.choices.pick(400);
        }
    }

    fn poll(&mut self, step: usize) {
        let awake: Vec<usize> = (0..self.tasks.len()).filter(|index| self.tasks[*index].until <= step).collect();
        if awake.is_empty() {
            return;
        }
        let index = awake[self.choices.pick(awake.len())];
        let polled = self.tasks[index].future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled.is_ready() {
            drop(self.tasks.remove(index));
        }
    }

    /// Starts a call to one of the processes.
    fn call(&mut self) {
        self.count += 1;
        let process = self.choices.pick(2);
        let (service, notes, net) = (self.services[process].clone(), Arc::clone(&self.notes), Arc::clone(&self.net));
        let t = usize::from(self.choices.rarely(5));
        let tenant = tenants()[t].clone();
        let c = self.choices.pick(COMPONENTS.len());
        let future: Pin<Box<dyn Future<Output = ()>>> = match self.choices.pick(27) {
            0..=8 => {
                let (key, sent, body) = if self.choices.rarely(4) { self.signed(c) } else { self.unsigned(c) };
                let memory = Arc::clone(&self.memory);
                Box::pin(async move {
                    let spent = key.clone().is_some_and(|key| notes.lock().unwrap().spent.contains(&(t, key)));
                    let answer = match sent {
                        Sent::Unsigned(submission) => service.receive(&tenant, submission, body).await,
                        Sent::Signed(submission) => service.receive_signed(&tenant, submission, body).await,
                    };
                    drop(memory);
                    let mut notes = notes.lock().unwrap();
                    match answer {
                        Ok(answer) => {
                            if spent {
                                let id = answer.update.id;
                                notes.faults.push(format!("I7: {id} brings back what was withdrawn, by its key"));
                            }
                            notes.answers.push((t, key, answer));
                        }
                        Err(ReceiveError::Ledger(StoreError::Corrupt { what, .. })) => notes.faults.push(what),
                        Err(_) => {}
                    }
                })
            }
            9 | 10 => {
                let Some(id) = self.some_upload(&tenant) else { return };
                notes.lock().unwrap().unwanted.insert(id);
                let memory = Arc::clone(&self.memory);
                Box::pin(async move {
                    let by = "biomed/j.doe".parse().unwrap();
                    if service.withdraw(&tenant, id, by, "recalled".parse().unwrap()).await.is_ok() {
                        let mut notes = notes.lock().unwrap();
                        notes.withdrawn.insert(id);
                        notes.spent.extend(key_of(&memory, &tenant, id).map(|key| (t, key)));
                    }
                })
            }
            11 => {
                let Some(id) = self.some_upload(&tenant) else { return };
                notes.lock().unwrap().unwanted.insert(id);
                Box::pin(async move { drop(service.retire(&tenant, id, None).await) })
            }
            20 | 21 => {
                let Some(id) = self.some_upload(&tenant) else { return };
                Box::pin(async move {
                    let by = "biomed/j.doe".parse().unwrap();
                    let _ = service.make_current(&tenant, id, by, "6 loses alarms".parse().unwrap()).await;
                })
            }
            22 => {
                // A key that is forgotten is as one that was never used.
                notes.lock().unwrap().spent.clear();
                Box::pin(async move { drop(service.expire(&tenant).await) })
            }
            24 => Box::pin(async move { drop(overwrite(&*net, &tenant, COMPONENTS[c], false).await) }),
            25 => Box::pin(async move { drop(overwrite(&*net, &tenant, COMPONENTS[c], true).await) }),
            26 => Box::pin(async move { drop(reconcile(&service, &tenant).await) }),
            12 => Box::pin(async move { drop(service.recover(&tenant).await) }),
            13 => {
                let grace = Duration::from_secs([0, 60][self.choices.pick(2)]);
                Box::pin(async move { drop(service.collect(&tenant, grace).await) })
            }
            14 => Box::pin(async move { drop(service.sweep(&tenant).await) }),
            15 | 16 => {
                let text = format!("n{}", self.count);
                Box::pin(async move {
                    if note(&*net, &tenant, COMPONENTS[c], &text).await.is_ok() {
                        notes.lock().unwrap().written.push((t, c, text));
                    }
                })
            }
            17 => {
                let Some(id) = self.some_upload(&tenant) else { return };
                Box::pin(async move { drop(service.resume(&tenant, id).await) })
            }
            18 => {
                let (digest, lift) = (Sha256::of(CONTENTS[self.choices.pick(2)]), self.choices.pick(2) == 1);
                let by = Holder::LegalHold("case-7".parse().unwrap());
                Box::pin(async move {
                    let actor = "biomed/j.doe".parse().unwrap();
                    let _ = match lift {
                        true => service.unpin(&tenant, &digest, by, actor).await,
                        false => service.pin(&tenant, &digest, by, actor).await,
                    };
                })
            }
            _ => {
                let what = self.choices.pick(3);
                notes.lock().unwrap().deleted.extend(match what {
                    0 => vec![(t, 0), (t, 1)],
                    _ => vec![(t, 1)],
                });
                Box::pin(async move {
                    let write = match what {
                        0 => Write::delete("Device/monitor".parse().unwrap(), Precondition::None),
                        1 => Write::delete("DeviceComponent/vmd".parse().unwrap(), Precondition::None),
                        _ => component("vmd").to_write(Precondition::Absent).unwrap(),
                    };
                    let _ = net.commit(&tenant, vec![write]).await;
                })
            }
        };
        self.tasks.push(Task { process, until: 0, future });
    }

    /// Returns an upload. The same key goes with the same submission, and almost always with the same bytes.
    fn upload(&self, c: usize) -> (Option<String>, Submission, ByteStream) {
        let key = self.choices.pick(3);
        let (mut content, sequence, c) = match key {
            0 => (self.choices.pick(2), [None, Some(1), Some(2), Some(3)][self.choices.pick(4)], c),
            key => (key - 1, [None, Some(2)][key - 1], key - 1),
        };
        if self.choices.rarely(10) {
            content = 1 - content;
        }
        let kind = "application/octet-stream".parse().unwrap();
        let mut submission = Submission::new("monitor".parse().unwrap(), "monitor.bin".parse().unwrap(), kind);
        submission.target = Selector::Component(COMPONENTS[c].parse().unwrap());
        submission.sequence = sequence;
        // Which bytes it stands for is told by the first that is taken.
        if key == 0 && self.choices.rarely(3) {
            submission.version = Some(UNSIGNED.parse().unwrap());
        }
        let key = (key > 0).then(|| format!("k{key}"));
        submission.idempotency_key = key.as_ref().map(|key| key.parse().unwrap());
        if key.is_some() {
            submission.sha256 = Some(Sha256::of(CONTENTS[usize::from(submission.sequence.is_some())]));
        }
        let (first, second) = CONTENTS[content].split_at(4);
        let second = match self.choices.rarely(12) {
            true => Err(StoreError::backend("reset".into())),
            false => Ok(Bytes::from_static(second)),
        };
        (key, submission, stream::try_chunks([Ok(Bytes::from_static(first)), second]))
    }

    fn unsigned(&self, c: usize) -> (Option<String>, Sent, ByteStream) {
        let (key, submission, body) = self.upload(c);
        (key, Sent::Unsigned(submission), body)
    }

    /// Returns an upload with a manifest: two for each component, of which the later one may come under a key; and
    /// forged ones.
    fn signed(&self, c: usize) -> (Option<String>, Sent, ByteStream) {
        let content = self.choices.pick(2);
        let (version, sequence) = [("1.0.0", 1), ("2.0.0", 2)][content];
        let version = if self.choices.rarely(6) { FORGED } else { version };
        let mut submission = signed(c, version, sequence, CONTENTS[content]);
        let key = (self.choices.pick(2) == 0 && (content, c) == (1, 0)).then(|| "k3".to_owned());
        submission.idempotency_key = key.as_ref().map(|key| key.parse().unwrap());
        let sent = if self.choices.rarely(6) { CONTENTS[1 - content] } else { CONTENTS[content] };
        (key, Sent::Signed(submission), stream::once(sent))
    }

    fn some_upload(&self, tenant: &Tenant) -> Option<IngestId> {
        let list = |shelf| {
            let shelf = LedgerKey::new(shelf).unwrap();
            now(Ledger::scan(&*self.memory, tenant, &shelf, NonZeroU32::MAX, None)).unwrap().items
        };
        let found: Vec<_> = list("ingest/open").into_iter().chain(list("ingest/rest")).collect();
        let found = found.get(self.choices.pick(found.len().max(1)))?;
        found.key.as_str().rsplit('/').next()?.parse().ok()
    }

    /// Stops the faults, advances time, and lets a new process finish the work.
    fn settle(mut self) -> Result<(), String> {
        self.faulty.calm();
        self.clock.fetch_add(1_000_000, Ordering::Relaxed);
        let service = service(&self.net, &self.clock, &self.ids);
        for (t, tenant) in tenants().iter().enumerate() {
            if self.mutant != Some(Mutant::NoRecovery) {
                let recovered = run(service.recover(tenant)).ok_or("the recovery never ends")?;
                recovered.map_err(|error| format!("the recovery: {error}"))?;
                let again = run(service.recover(tenant)).ok_or("the recovery never ends")?;
                let again = again.map_err(|error| format!("the recovery: {error}"))?;
                if again.waiting > 0 || !again.failed.is_empty() {
                    return Err(format!("I6: the recovery leaves {again:?}"));
                }
            }
            if self.mutant != Some(Mutant::NoReconciliation) {
                // What one upload leaves to another is done at the next time.
                for _ in 0..4 {
                    let reconciled = run(reconcile(&service, tenant)).ok_or("the reconciliation never ends")?;
                    reconciled.map_err(|error| format!("the reconciliation: {error}"))?;
                }
            }
            if self.mutant != Some(Mutant::NoCollection) {
                let collected = run(service.collect(tenant, Duration::ZERO)).ok_or("the collection never ends")?;
                let collected = collected.map_err(|error| format!("the collection: {error}"))?;
                if !collected.failed.is_empty() {
                    return Err(format!("I3: the collection leaves {collected:?}"));
                }
            }
            if self.mutant != Some(Mutant::NoSweep) {
                let swept = run(service.sweep(tenant)).ok_or("the sweep never ends")?;
                swept.map_err(|error| format!("the sweep: {error}"))?;
            }
            if self.choices.pick(2) == 0 {
                self.notes.lock().unwrap().spent.clear();
                let expired = run(service.expire(tenant)).ok_or("the expiry never ends")?;
                let expired = expired.map_err(|error| format!("the expiry: {error}"))?;
                if !expired.failed.is_empty() {
                    return Err(format!("I3: the expiry leaves {expired:?}"));
                }
            }
            let notes = self.notes.lock().unwrap();
            self.invariants.hold(&self.memory, &notes)?;
            let verified = run(service.verify_audit(tenant, &[])).ok_or("the verification never ends")?;
            verified.map_err(|error| format!("A2: {error}"))?.map_err(|broken| format!("A2: {broken}"))?;
            let records = run(service.audit_records(tenant)).ok_or("the records never end")?;
            self.invariants.rest(&self.memory, &notes, t, &records.map_err(|error| format!("A2: {error}"))?)?;
        }
        Ok(())
    }
}

/// Reconciles everything, in small pages.
async fn reconcile(service: &Service, tenant: &Tenant) -> Result<()> {
    let mut from = Some(ReconcilePosition::default());
    while let Some(position) = from {
        let page = service.reconcile(tenant, NonZeroU32::MIN.saturating_add(2), position).await?;
        if let Some((_, error)) = page.failed.into_iter().next() {
            return Err(error);
        }
        from = page.next;
    }
    Ok(())
}

enum Sent {
    Unsigned(Submission),
    Signed(SignedSubmission),
}

const CONTENTS: [&[u8]; 2] = [b"firmware", b"software"];

/// Returns the key of an upload, while it stands for it.
fn key_of(memory: &Memory, tenant: &Tenant, id: IngestId) -> Option<String> {
    ["k1", "k2", "k3"].into_iter().map(str::to_owned).find(|key| {
        let at = LedgerKey::new(format!("ingest/key/{}", Sha256::of(key.as_bytes()))).unwrap();
        let pointer = now(Ledger::get(memory, tenant, &at)).unwrap();
        pointer.is_some_and(|pointer| *pointer.value == *id.to_string().as_bytes())
    })
}

fn at(clock: &Arc<AtomicI64>) -> impl Fn() -> OffsetDateTime + Send + Sync + 'static {
    let clock = Arc::clone(clock);
    move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap()
}

/// Returns a process.
fn service(net: &Arc<Net>, clock: &Arc<AtomicI64>, ids: &Arc<AtomicU64>) -> Service {
    // What one process takes for full has room for another.
    let room = u32::try_from(ids.load(Ordering::Relaxed) % 3).unwrap() + 1;
    let small_size = if ids.load(Ordering::Relaxed).is_multiple_of(2) { 64 << 10 } else { 0 };
    let ids = Arc::clone(ids);
    UpdateService::new(Arc::clone(net), Arc::clone(net), Arc::clone(net))
        .unwrap()
        .with_clock(at(clock))
        .with_lease(LEASE)
        .with_sweep_rules(SweepRules::default().with_grace(Duration::ZERO).with_quarantine(Duration::ZERO))
        .with_keep_superseded(2)
        .with_small_size(small_size)
        .with_withdrawn_retention(Duration::from_secs(2_000))
        .with_ended_retention(Duration::from_secs(3_000))
        .with_aborted_retention(Duration::from_secs(30))
        .with_uploads_per_copy(room)
        .with_verifier(OneKey(net.mutant()))
        .with_ids(move || IngestId(ids.fetch_add(1, Ordering::Relaxed).into()))
        .with_urls(|tenant, key| {
            format!("https://cdn.example/{tenant}/{}/{}", key.digest, key.generation).parse().unwrap()
        })
}
