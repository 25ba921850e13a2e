//! One world: two processes, two tenants, up to two regions, some devices, and up to three rollouts.

use super::super::choices::Choices;
use super::super::fleet::{now, run, tenants};
use super::super::net::{Mutant, Net};
use super::devices::{Actor, Notes, Pump, Pumps, rollout_at};
use super::invariants::{Invariants, rollouts_of};
use super::region::Region;
use super::{RemovedRule, Service};
use fhir_devices::backend::Memory;
use fhir_devices::manifest::{ActorId, IngestId, Note, ReleaseId};
use fhir_devices::publish::{Content, RegionId};
use fhir_devices::search::ResourceType;
use fhir_devices::service::{GateProvider, GateQuery, ReleaseSubmission, RolloutError, RolloutService, UpdateService};
use fhir_devices::store::{BoxFuture, Key, Precondition, ResourceStore as _, Storable as _, Tenant, Write, stream};
use fhir_devices::testkit::{CallOutcome, CallPlan, Faulty};
use fhir_devices::update::deployment::{OutcomeClass, Refusal};
use fhir_devices::update::release::Target;
use fhir_devices::update::rollout::{
    Gate, Proof, RegionPolicy, Retry, RolloutId, RolloutRequest, Scope, Status, StopCriterion, WaveSpec,
};
use fhir_devices::{Device, DeviceComponent};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::num::{NonZeroU16, NonZeroU32};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use time::OffsetDateTime;

pub(super) const REGIONS: [&str; 2] = ["eu", "us"];

/// More steps than any of these worlds takes to come to its end.
const STEPS: usize = 60_000;
const DAY: i64 = 24 * 3_600;

type Call = Pin<Box<dyn Future<Output = ()>>>;

/// A call in progress in a process.
struct Task {
    process: usize,
    /// The device that makes the call. A device has one call at a time.
    device: Option<usize>,
    /// The step until which it sleeps.
    until: usize,
    future: Call,
}

/// Devices that are held back by consent.
#[derive(Clone, Default)]
struct Consents(Arc<Mutex<HashSet<String>>>);

impl GateProvider for Consents {
    fn closed<'a>(&'a self, query: GateQuery<'a>) -> BoxFuture<'a, BTreeSet<Gate>> {
        let closed = self.0.lock().unwrap().contains(query.deployment.device.as_str());
        Box::pin(async move { closed.then_some(Gate::Consent).into_iter().collect() })
    }
}

struct World {
    choices: Choices,
    memory: Arc<Memory>,
    faulty: Arc<Faulty<Memory>>,
    /// The number of further calls during which a postponed write may be applied.
    late: Arc<AtomicU64>,
    net: Arc<Net>,
    clock: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
    regions: Vec<Arc<Region>>,
    consents: Consents,
    services: [Service; 2],
    releases: Vec<ReleaseId>,
    pumps: Pumps,
    notes: Arc<Mutex<Notes>>,
    tasks: Vec<Task>,
    invariants: Invariants,
    rule: Option<RemovedRule>,
    rollouts: usize,
}

/// Runs a simulation, and returns its result and its choices.
pub(super) fn simulate(choices: Choices, rule: Option<RemovedRule>) -> (Result<(), String>, Vec<u32>) {
    let outcome = World::new(choices.clone(), rule).simulate();
    (outcome, choices.made())
}

pub(super) fn by(name: &str) -> ActorId {
    name.parse().unwrap()
}

fn note() -> Note {
    "as it was told".parse().unwrap()
}

fn at(clock: &Arc<AtomicI64>) -> impl Fn() -> OffsetDateTime + Send + Sync + 'static {
    let clock = Arc::clone(clock);
    move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap()
}

impl World {
    fn new(choices: Choices, rule: Option<RemovedRule>) -> Self {
        let clock = Arc::new(AtomicI64::new(1_767_225_600));
        let memory = Arc::new(Memory::new().with_clock(at(&clock)));
        let odds = [0, 200, 60][choices.pick(3)];
        let (dice, late) = (choices.clone(), Arc::new(AtomicU64::new(0)));
        let put_off = Arc::clone(&late);
        let fates = move |_| {
            let fate = match odds {
                0 => CallOutcome::Works,
                odds => CallOutcome::ALL.get(dice.pick(odds)).copied().unwrap_or(CallOutcome::Works),
            };
            if fate == CallOutcome::Late {
                put_off.store(2, Ordering::Relaxed);
            }
            CallPlan::of(fate)
        };
        let faulty = Arc::new(Faulty::planned(Arc::clone(&memory), fates));
        let mutant = match rule {
            Some(RemovedRule::BlindLedger) => Some(Mutant::BlindLedger),
            Some(RemovedRule::TornLedger) => Some(Mutant::TornLedger),
            Some(RemovedRule::NoEndedSlots) => Some(Mutant::NoEndedSlots),
            Some(RemovedRule::NoGate | RemovedRule::NoDeadlines) | None => None,
        };
        let net = Arc::new(Net::new(Arc::clone(&faulty), choices.clone(), mutant));
        let ids = Arc::new(AtomicU64::new(1));
        let regions: Vec<_> = REGIONS.iter().map(|_| Arc::new(Region::new(choices.clone()))).collect();
        let consents = Consents::default();
        let services = [(); 2].map(|()| service(&net, &clock, &ids, &regions, &consents));
        let mut world = Self {
            invariants: Invariants::default(),
            pumps: Pumps::default(),
            notes: Arc::default(),
            tasks: Vec::new(),
            releases: Vec::new(),
            rollouts: 0,
            choices,
            memory,
            faulty,
            late,
            net,
            clock,
            ids,
            regions,
            consents,
            services,
            rule,
        };
        for number in 0..3 + world.choices.pick(5) {
            world.add_device(usize::from(number == 2));
        }
        world.release();
        world
    }

    /// Returns a process without faults, beside the two.
    fn calm(&self) -> RolloutService<Memory, Memory, Memory> {
        let ids = Arc::clone(&self.ids);
        let memory = &self.memory;
        let updates = UpdateService::new(Arc::clone(memory), Arc::clone(memory), Arc::clone(memory)).unwrap();
        let updates = updates.with_clock(at(&self.clock));
        RolloutService::new(updates.with_ids(move || IngestId(ids.fetch_add(1, Ordering::Relaxed).into())))
    }

    /// Creates releases for the components of two names, in two versions.
    fn release(&mut self) {
        let service = self.calm();
        for (name, code, version, sequence) in
            [("mds", 69_965, "2.0", 2), ("vmd", 70_662, "2.0", 2), ("mds", 69_965, "3.0", 3)]
        {
            let (file, media_type) = ("pump.bin".parse().unwrap(), "application/octet-stream".parse().unwrap());
            let name = format!("pump/{name}").parse().unwrap();
            let mut submission = ReleaseSubmission::new(name, version.parse().unwrap(), sequence, file, media_type);
            submission.target = Target { level: None, code: Some(code) };
            let mut ids = Vec::new();
            for tenant in &tenants() {
                let (author, body) = (by("author"), stream::once("firmware"));
                let released = service.release(tenant, submission.clone(), &author, body);
                ids.push(run(released).unwrap().unwrap().id);
            }
            self.releases.extend(ids);
        }
    }

    fn add_device(&mut self, tenant: usize) {
        let mut pumps = self.pumps.lock().unwrap();
        // Each tenant has devices of the same names.
        let number = pumps.iter().filter(|pump| pump.tenant == tenant).count();
        let parts = 1 + self.choices.pick(3);
        let pump = Pump::new(tenant, format!("pump-{number}"), parts, &self.choices);
        put_device(&self.memory, &tenants()[tenant], &pump);
        pumps.push(pump);
    }

    fn simulate(mut self) -> Result<(), String> {
        let mut calls = 15 + self.choices.pick(60);
        self.begin();
        for step in 0..STEPS {
            match self.choices.pick(256) {
                255 => self.crash(),
                253..255 => self.jump(),
                249..253 => self.send_to_sleep(step),
                247..249 => self.disturb(),
                _ if calls > 0 && (self.tasks.is_empty() || (self.tasks.len() < 6 && self.choices.rarely(12))) => {
                    calls -= 1;
                    self.call();
                }
                _ if self.tasks.is_empty() => break,
                _ => self.poll(step)?,
            }
        }
        if self.choices.pick(2) == 0 {
            self.tasks.clear();
        }
        for _ in 0..STEPS {
            if self.tasks.is_empty() {
                break;
            }
            self.poll(usize::MAX)?;
        }
        if !self.tasks.is_empty() {
            return Err(format!("{} calls never end", self.tasks.len()));
        }
        self.settle()
    }

    fn look(&mut self) -> Result<(), String> {
        if let Some(fault) = self.notes.lock().unwrap().faults.first() {
            return Err(fault.clone());
        }
        // What was put off is written at the beginning of the next call.
        let late = self.net.touched() && self.late.load(Ordering::Relaxed) > 0;
        self.late.fetch_sub(u64::from(late), Ordering::Relaxed);
        if self.net.wrote() || late { self.hold() } else { Ok(()) }
    }

    fn hold(&mut self) -> Result<(), String> {
        let notes = self.notes.lock().unwrap();
        for tenant in &tenants() {
            self.invariants.hold(&self.memory, tenant, &notes)?;
        }
        self.invariants.given(&notes)
    }

    fn crash(&mut self) {
        let process = self.choices.pick(2);
        self.tasks.retain(|task| task.process != process);
        self.services[process] = service(&self.net, &self.clock, &self.ids, &self.regions, &self.consents);
    }

    fn jump(&self) {
        let seconds = [5, 700, 7_000, 2 * DAY, 8 * DAY, -600, -2 * DAY][self.choices.pick(7)];
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    fn send_to_sleep(&mut self, step: usize) {
        if !self.tasks.is_empty() {
            let index = self.choices.pick(self.tasks.len());
            self.tasks[index].until = step + 20 + self.choices.pick(2_000);
        }
    }

    /// Causes an event outside of the processes.
    fn disturb(&mut self) {
        let region = Arc::clone(&self.regions[self.choices.pick(REGIONS.len())]);
        match self.choices.pick(8) {
            0 => region.set_down(true),
            1 => region.set_down(false),
            2 | 3 => region.save(),
            4 => region.forget(),
            5 => {
                let t = usize::from(self.choices.rarely(6));
                self.add_device(t);
            }
            6 => {
                let pumps = self.pumps.lock().unwrap();
                let device = pumps[self.choices.pick(pumps.len())].id.clone();
                let mut consents = self.consents.0.lock().unwrap();
                if !consents.remove(&device) {
                    consents.insert(device);
                }
            }
            _ => {
                // A component is taken off.
                if self.choices.rarely(3) {
                    let pumps = self.pumps.lock().unwrap();
                    let pump = &pumps[self.choices.pick(pumps.len())];
                    let (tenant, part) = (&tenants()[pump.tenant], pump.parts.last().unwrap().id.clone());
                    drop(pumps);
                    take_off(&self.memory, tenant, &part);
                }
            }
        }
    }

    fn poll(&mut self, step: usize) -> Result<(), String> {
        let awake: Vec<usize> = (0..self.tasks.len()).filter(|index| self.tasks[*index].until <= step).collect();
        if awake.is_empty() {
            return Ok(());
        }
        let index = awake[self.choices.pick(awake.len())];
        for _ in 0..[1, 2, 8, 64][self.choices.pick(4)] {
            let polled = self.tasks[index].future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.look()?;
            if polled.is_ready() {
                drop(self.tasks.remove(index));
                break;
            }
        }
        Ok(())
    }

    fn actor(&self, process: usize) -> Actor {
        Actor {
            service: self.services[process].clone(),
            memory: Arc::clone(&self.memory),
            choices: self.choices.clone(),
            pumps: Arc::clone(&self.pumps),
            notes: Arc::clone(&self.notes),
            tenants: tenants(),
            no_gate: self.rule == Some(RemovedRule::NoGate),
        }
    }

    /// The first rollout, which most worlds are about.
    fn begin(&mut self) {
        let future = self.new_rollout(0);
        self.tasks.push(Task { process: 0, device: None, until: 0, future });
    }

    /// Starts a call to one of the processes.
    fn call(&mut self) {
        let process = self.choices.pick(2);
        let service = self.services[process].clone();
        let t = usize::from(self.choices.rarely(8));
        let tenant = tenants()[t].clone();
        let mut device = None;
        let future: Call = match self.choices.pick(40) {
            0..=11 => {
                let region: RegionId = REGIONS[self.choices.pick(REGIONS.len())].parse().unwrap();
                let budget = [1, 3, 100][self.choices.pick(3)];
                let notes = Arc::clone(&self.notes);
                Box::pin(async move {
                    let pass = service.run_once(&tenant, &region, budget).await;
                    if let Ok(pass) = pass {
                        let corrupt = pass.failed.iter().find(|(_, error)| format!("{error:?}").contains("Corrupt"));
                        if let Some((id, error)) = corrupt {
                            notes.lock().unwrap().faults.push(format!("rollout {id}: {error:?}"));
                        }
                    }
                })
            }
            12 | 13 if self.rule != Some(RemovedRule::NoDeadlines) => {
                Box::pin(async move { drop(service.run_due(&tenant).await) })
            }
            14 => {
                let region: RegionId = REGIONS[self.choices.pick(REGIONS.len())].parse().unwrap();
                Box::pin(async move { drop(service.verify(&tenant, &region).await) })
            }
            15..=29 => match self.device_call(process) {
                Some((at, future)) => {
                    device = Some(at);
                    future
                }
                None => return,
            },
            30 | 31 if self.rollouts < 4 => self.new_rollout(process),
            32 => {
                let release = self.releases[self.choices.pick(3) * 2 + t];
                Box::pin(async move { drop(service.withdraw_release(&tenant, release, &by("author"), &note()).await) })
            }
            _ => match self.some_rollout(t, &tenant) {
                Some(id) => self.order(service, tenant, id),
                None => return,
            },
        };
        self.tasks.push(Task { process, device, until: 0, future });
    }

    fn device_call(&self, process: usize) -> Option<(usize, Call)> {
        let at = self.choices.pick(self.pumps.lock().unwrap().len());
        if self.tasks.iter().any(|task| task.device == Some(at)) {
            return None;
        }
        let actor = self.actor(process);
        let future: Call = match self.choices.pick(10) {
            0..=3 => Box::pin(async move { actor.act(at).await }),
            4 => Box::pin(async move { actor.poll(at).await }),
            5 => Box::pin(async move { actor.fetch(at).await }),
            6 | 7 => Box::pin(async move { actor.go_on(at).await }),
            8 => Box::pin(async move { actor.repeat(at).await }),
            _ => Box::pin(async move { actor.versions(at, true).await }),
        };
        Some((at, future))
    }

    fn some_rollout(&self, t: usize, tenant: &Tenant) -> Option<RolloutId> {
        let _ = t;
        let all: Vec<_> = rollouts_of(&self.memory, tenant).into_iter().map(|(rollout, _)| rollout.id).collect();
        all.get(self.choices.pick(all.len().max(1))).copied()
    }

    /// Orders an operator's action on a rollout.
    fn order(&self, service: Service, tenant: Tenant, id: RolloutId) -> Call {
        let memory = Arc::clone(&self.memory);
        match self.choices.pick(8) {
            0..=2 => Box::pin(async move {
                let Some(rollout) = rollout_at(&memory, &tenant, id) else { return };
                drop(service.approve(&tenant, id, &by("second"), rollout.spec).await);
            }),
            3 => Box::pin(async move { drop(service.pause(&tenant, id, &by("second"), &note()).await) }),
            4 | 5 => Box::pin(async move { drop(service.resume(&tenant, id, &by("second"), &note()).await) }),
            6 => Box::pin(async move { drop(service.cancel(&tenant, id, &by("author"), &note()).await) }),
            _ => Box::pin(async move {
                if service.deny(&tenant, id, &by("second"), &note()).await.is_err() {
                    drop(service.explain(&tenant, id, fhir_devices::update::rollout::DeploymentId(1)).await);
                }
            }),
        }
    }

    fn new_rollout(&mut self, process: usize) -> Call {
        self.rollouts += 1;
        let t = usize::from(self.choices.rarely(6));
        let tenant = tenants()[t].clone();
        let mut request = self.request(t);
        if self.choices.rarely(3) {
            request.supersedes = self.some_rollout(t, &tenant);
        }
        let service = self.services[process].clone();
        Box::pin(async move {
            if let Ok(made) = service.create(&tenant, request, &by("author")).await {
                drop(service.submit(&tenant, made.id).await);
            }
        })
    }

    fn request(&self, t: usize) -> RolloutRequest {
        let choices = &self.choices;
        let release = self.releases[choices.pick(3) * 2 + t];
        let named = if choices.rarely(3) { &REGIONS[..1] } else { &REGIONS[..] };
        let lanes = 1 + choices.pick(3) as u16;
        let cap = (named.len() * usize::from(lanes) + choices.pick(4)) as u32;
        let mut failures: BTreeSet<_> = OutcomeClass::ALL.iter().copied().filter(|class| class.is_failure()).collect();
        if choices.rarely(3) {
            failures.remove(&OutcomeClass::TimedOut);
        }
        let stop = StopCriterion::new(failures, [0, 400, 900][choices.pick(3)], [0, 5, 1_000][choices.pick(3)]);
        let mut waves = vec![WaveSpec::new(1_000)];
        if choices.pick(2) == 0 {
            let first = WaveSpec::new(400)
                .with_min_success_permille([0, 500][choices.pick(2)])
                .with_soak_seconds([0, 600][choices.pick(2)])
                .with_pause_after(choices.rarely(4));
            waves = vec![first, WaveSpec::new(600)];
        }
        let until = at(&self.clock)() + time::Duration::days(3);
        RolloutRequest::new(release, REGIONS[0].parse().unwrap())
            .with_regions(named.iter().map(|name| (name.parse().unwrap(), RegionPolicy::default())).collect())
            .with_scope(if choices.rarely(3) {
                Scope::Dynamic { until, most: NonZeroU32::new(6).unwrap() }
            } else {
                Scope::Static
            })
            .with_lanes(NonZeroU16::new(lanes).unwrap())
            .with_cap(cap)
            .with_stop(vec![stop])
            .with_waves(waves)
            .with_gates(if choices.rarely(3) { [Gate::Consent].into() } else { BTreeSet::new() })
            .with_proof(if choices.rarely(6) { Proof::DeviceSays } else { Proof::VersionReport })
            .with_approvals(u8::from(choices.rarely(3)))
            .with_retry(Retry::default().with_max_attempts(NonZeroU16::new(2).unwrap()))
            .with_seed(choices.pick(100) as u64)
    }

    /// Stops the faults, and runs everything until nothing is left to do.
    fn settle(mut self) -> Result<(), String> {
        self.faulty.calm();
        self.regions.iter().for_each(|region| region.calm());
        self.consents.0.lock().unwrap().clear();
        // One more restart of a region, and the verification after it.
        for region in &self.regions {
            if self.choices.pick(4) == 0 {
                region.forget();
            }
        }
        self.services[0] = service(&self.net, &self.clock, &self.ids, &self.regions, &self.consents);
        for tenant in &tenants() {
            for region in REGIONS {
                let verified = run(self.services[0].verify(tenant, &region.parse().unwrap()));
                verified.ok_or("a verification never ends")?.map_err(|error| format!("verify: {error:?}"))?;
            }
            self.work(tenant)?;
            for (name, region) in REGIONS.iter().zip(&self.regions) {
                let own = region.contents().into_iter().filter(|(of, ..)| of == tenant);
                let own: Vec<_> = own.map(|(_, slot, content)| (slot, content)).collect();
                self.invariants.cleared(&self.memory, tenant, name, &own)?;
            }
        }
        self.clock.fetch_add(4 * DAY, Ordering::Relaxed);
        self.services[0] = service(&self.net, &self.clock, &self.ids, &self.regions, &self.consents);
        let resumes = self.choices.pick(2) == 0;
        for round in 0..60 {
            let mut over = true;
            for tenant in &tenants() {
                for region in REGIONS {
                    let verified = run(self.services[0].verify(tenant, &region.parse().unwrap()));
                    verified.ok_or("a verification never ends")?.map_err(|error| format!("verify: {error:?}"))?;
                }
                self.work(tenant)?;
                for (rollout, _) in rollouts_of(&self.memory, tenant) {
                    over &= self.finish(tenant, rollout.id, rollout.status, resumes && round < 12)?;
                }
            }
            self.look()?;
            let devices = self.pumps.lock().unwrap().len();
            let actor = self.actor(0);
            for device in 0..devices {
                run(actor.act(device)).ok_or("a device never ends")?;
                run(actor.versions(device, true)).ok_or("a device never ends")?;
                self.look()?;
            }
            let quiet = tenants().iter().all(|tenant| self.invariants.is_quiet(&self.memory, tenant));
            if over && quiet {
                return self.rest();
            }
            self.clock.fetch_add(2 * DAY, Ordering::Relaxed);
        }
        Err(format!("B7: something waits for ever: {}", self.left()))
    }

    /// Describes the unfinished work, and the reasons.
    fn left(&self) -> String {
        let mut words = String::new();
        for tenant in &tenants() {
            words += &self.invariants.left(&self.memory, tenant).join("; ");
            for (rollout, id) in self.invariants.planned(&self.memory, tenant) {
                let explained = run(self.services[0].explain(tenant, rollout, id)).map(Result::unwrap);
                words += &format!("; {id}: {:?}", explained.map(|explained| explained.reasons));
            }
        }
        words
    }

    fn work(&mut self, tenant: &Tenant) -> Result<(), String> {
        for _ in 0..200 {
            let mut steps = 0;
            if self.rule != Some(RemovedRule::NoDeadlines) {
                let due = run(self.services[0].run_due(tenant)).ok_or("the deadlines never end")?;
                steps += due.map_err(|error| format!("run_due: {error:?}"))?.steps;
            }
            for region in REGIONS {
                let pass = run(self.services[0].run_once(tenant, &region.parse().unwrap(), 1_000));
                let pass = pass.ok_or("a pass never ends")?.map_err(|error| format!("run_once: {error:?}"))?;
                if let Some(failed) = pass.failed.first() {
                    return Err(format!("run_once: {failed:?}"));
                }
                if let Some(error) = pass.region {
                    return Err(format!("run_once: {error:?}"));
                }
                steps += pass.steps;
            }
            self.look()?;
            if steps == 0 {
                return Ok(());
            }
        }
        Err("the passes never come to rest".to_owned())
    }

    /// Lets a waiting rollout continue, or end; returns whether it has ended.
    fn finish(&self, tenant: &Tenant, id: RolloutId, status: Status, resumes: bool) -> Result<bool, String> {
        let service = &self.services[0];
        let told = match status {
            Status::Drafted => run(service.submit(tenant, id)),
            Status::AwaitingApproval => {
                let spec = rollout_at(&self.memory, tenant, id).unwrap().spec;
                run(service.approve(tenant, id, &by("third"), spec))
            }
            Status::Paused | Status::Halted if resumes => run(service.resume(tenant, id, &by("third"), &note())),
            Status::Paused | Status::Halted => run(service.cancel(tenant, id, &by("third"), &note())),
            _ => return Ok(status.is_end()),
        };
        told.ok_or("an order never ends")?.map_err(|error| format!("{status} {id}: {error:?}"))?;
        Ok(false)
    }

    fn rest(mut self) -> Result<(), String> {
        self.hold()?;
        let notes = self.notes.lock().unwrap();
        let pumps = self.pumps.lock().unwrap();
        for (t, tenant) in tenants().iter().enumerate() {
            let of_region = |region: &Arc<Region>| {
                let exact = region.is_exact();
                region.contents().into_iter().map(move |(of, slot, content)| (of, slot, content, exact))
            };
            let contents = self.regions.iter().flat_map(of_region).filter(|(of, ..)| of == tenant);
            let own: Vec<_> = contents.map(|(_, slot, content, exact)| (slot, content, exact)).collect();
            self.invariants.rest(&self.memory, (t, tenant), &notes, &pumps, &own)?;
            // Where a region shows an offer again that is over, the gate gives nothing for it.
            for (slot, content, _) in &own {
                let Content::Offer(offer) = content else { continue };
                let claimed = run(self.services[0].claim(tenant, offer.key, &offer.files[0].name, None));
                let claimed = claimed.ok_or("a claim never ends")?;
                if !matches!(claimed, Err(RolloutError::Deployment { refusal: Refusal::Gone, .. })) {
                    return Err(format!("P3: {slot} shows an offer that is over, and the gate says {claimed:?}"));
                }
            }
            run(self.invariants.audit(&self.services[0], &self.memory, tenant)).ok_or("the audit never ends")??;
        }
        Ok(())
    }
}

fn put_device(memory: &Memory, tenant: &Tenant, pump: &Pump) {
    let device = format!(r#"{{"resourceType":"Device","id":"{}"}}"#, pump.id);
    let device = Device::from_json(device.as_bytes()).unwrap();
    let mut writes = vec![device.to_write(Precondition::Absent).unwrap()];
    for (index, part) in pump.parts.iter().enumerate() {
        let (code, parent) = match index {
            0 => (69_965, String::new()),
            _ => (70_662, format!(r#","parent":{{"reference":"DeviceComponent/{}"}}"#, pump.parts[0].id)),
        };
        // The release for `vmd` is for one of the two components below the first.
        let code = if index == 2 { 69_837 } else { code };
        let component = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{}","identifier":{{"value":"{index}"}},
            "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{code}"}}]}},
            "source":{{"reference":"Device/{}"}}{parent},
            "productionSpecification":[{{"specType":{{"coding":[{{"system":"http://hl7.org/fhir/specification-type",
            "code":"software-revision"}}]}},"productionSpec":"1.0"}}]}}"#,
            part.id, pump.id
        );
        let component = DeviceComponent::from_json(component.as_bytes()).unwrap();
        writes.push(component.to_write(Precondition::Absent).unwrap());
    }
    now(memory.commit(tenant, writes)).unwrap();
}

fn take_off(memory: &Memory, tenant: &Tenant, component: &str) {
    let key = Key::new(ResourceType::DeviceComponent, component).unwrap();
    let Ok(version) = now(memory.read(tenant, &key)) else { return };
    let delete = Write::delete(key, Precondition::Version(version.version));
    drop(now(memory.commit(tenant, vec![delete])));
}

/// Returns a process.
fn service(
    net: &Arc<Net>,
    clock: &Arc<AtomicI64>,
    ids: &Arc<AtomicU64>,
    regions: &[Arc<Region>],
    consents: &Consents,
) -> Service {
    let ids = Arc::clone(ids);
    let updates = UpdateService::new(Arc::clone(net), Arc::clone(net), Arc::clone(net)).unwrap();
    let updates = updates.with_clock(at(clock));
    let updates = updates.with_ids(move || IngestId(ids.fetch_add(1, Ordering::Relaxed).into()));
    let mut service = RolloutService::new(updates).with_gates(consents.clone());
    for (name, region) in REGIONS.iter().zip(regions) {
        service = service.with_region(name.parse().unwrap(), region.clone());
    }
    service.with_region_of(|_, device| {
        let number: usize = device.id.as_ref()?.get()?.as_str().rsplit('-').next()?.parse().ok()?;
        Some(REGIONS[number % REGIONS.len()].parse().unwrap())
    })
}

/// Returns the components of a tenant by their device, from the resources.
pub(super) fn components(memory: &Memory, tenant: &Tenant, pumps: &[Pump], t: usize) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in pumps.iter().filter(|pump| pump.tenant == t).flat_map(|pump| &pump.parts) {
        let key = Key::new(ResourceType::DeviceComponent, &part.id).unwrap();
        if let Ok(version) = now(memory.read(tenant, &key))
            && let Ok(component) = DeviceComponent::from_json(version.body.as_deref().unwrap_or_default())
        {
            found.insert(part.id.clone(), component.software_revision().unwrap_or_default().to_owned());
        }
    }
    found
}
