//! Devices: their running versions, their reactions to an offer, and their reports, true or false.

use super::super::choices::Choices;
use super::super::fleet::now;

use super::Service;
use fhir_devices::backend::Memory;
use fhir_devices::publish::{Offer, OfferKey};
use fhir_devices::service::{DeviceReport, ReportedVersion, RolloutError};
use fhir_devices::store::{Ledger, LedgerKey, StoreError, Tenant};
use fhir_devices::update::deployment::Phase;
use fhir_devices::update::rollout::{DeploymentId, Epoch, Rollout, RolloutId, Status};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// A device's reaction to the bytes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Installs the update, restarts, and reports its version.
    Good,
    /// Reports that it is done before the update runs, and installs it later, as RAUC's client does.
    DoneFirst,
    /// Installs the update, and then acknowledges a stop, as SWUpdate does.
    StopsAfter,
    /// Fails, and states whether another attempt may succeed.
    Fails,
    /// Reports that it is done, and runs its previous version.
    Lies,
    /// Runs the update for a while, and then its previous version.
    RollsBack,
    /// Rejects the update.
    Rejects,
    /// Takes the bytes, and never reports again.
    Silent,
    /// Does not ask for bytes.
    Deaf,
}

const MANNERS: [Manner; 9] = [
    Manner::Good,
    Manner::DoneFirst,
    Manner::StopsAfter,
    Manner::Fails,
    Manner::Lies,
    Manner::RollsBack,
    Manner::Rejects,
    Manner::Silent,
    Manner::Deaf,
];

/// A component of a device. The first one is above all others.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) id: String,
    pub(super) runs: String,
    /// The version before the last update.
    before: String,
    work: Option<Work>,
}

/// The update that a component works on, and its progress.
#[derive(Clone, Copy, Debug)]
struct Work {
    key: OfferKey,
    step: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Pump {
    pub(super) tenant: usize,
    pub(super) id: String,
    pub(super) parts: Vec<Part>,
    manner: Manner,
    /// The offers that it ever saw: a device that was off for long asks for the bytes of an old one.
    seen: Vec<Offer>,
    /// Its reports, to be repeated where the answer was lost.
    said: Vec<DeviceReport>,
    /// The number of its last version report.
    number: u64,
}

impl Pump {
    pub(super) fn new(tenant: usize, id: String, parts: usize, choices: &Choices) -> Self {
        let names = ["mds", "vmd", "fan"];
        let part = |name: &&str| Part {
            id: format!("{id}-{name}"),
            runs: "1.0".to_owned(),
            before: "1.0".to_owned(),
            work: None,
        };
        let parts = names.iter().take(parts).map(part).collect();
        // Most devices do what they should.
        let manner = if choices.pick(2) == 0 { Manner::Good } else { MANNERS[choices.pick(MANNERS.len())] };
        Self { tenant, id, parts, manner, seen: Vec::new(), said: Vec::new(), number: 0 }
    }
}

/// The knowledge of devices and people, apart from the ledger.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The deployments of which a device has bytes.
    pub(super) given: HashSet<DeploymentId>,
    /// The deployments whose bytes were requested or reported as being installed.
    pub(super) asked: HashSet<DeploymentId>,
    /// The confirmed version reports: the tenant, the component, the version.
    pub(super) reported: HashSet<(usize, String, String)>,
    pub(super) faults: Vec<String>,
}

pub(super) type Pumps = Arc<Mutex<Vec<Pump>>>;

/// An actor for a device, through one of the processes.
#[derive(Clone)]
pub(super) struct Actor {
    pub(super) service: Service,
    pub(super) memory: Arc<Memory>,
    pub(super) choices: Choices,
    pub(super) pumps: Pumps,
    pub(super) notes: Arc<Mutex<Notes>>,
    pub(super) tenants: [Tenant; 2],
    /// Whether devices get bytes without a grant.
    pub(super) no_gate: bool,
}

/// Returns the record of a rollout in the ledger.
pub(super) fn rollout_at(memory: &Memory, tenant: &Tenant, id: RolloutId) -> Option<Rollout> {
    let folders = ["rollout/open", "rollout/ended"];
    let mut found = folders.iter().filter_map(|folder| {
        let key = LedgerKey::new(format!("{folder}/{id}")).unwrap();
        now(Ledger::get(memory, tenant, &key)).unwrap()
    });
    found.next().map(|record| Rollout::from_bytes(&record.value).unwrap())
}

impl Actor {
    fn pump<T>(&self, at: usize, change: impl FnOnce(&mut Pump) -> T) -> T {
        change(&mut self.pumps.lock().unwrap()[at])
    }

    /// Returns the status of the rollout of a deployment.
    fn standing(&self, tenant: &Tenant, id: DeploymentId) -> Option<(Status, Epoch)> {
        let key = LedgerKey::new(format!("ro-of/{id}")).unwrap();
        let place = now(Ledger::get(&*self.memory, tenant, &key)).unwrap()?;
        let text = std::str::from_utf8(&place.value).unwrap();
        let rollout = rollout_at(&self.memory, tenant, text.split_once('/')?.0.parse().unwrap())?;
        Some((rollout.status, rollout.epoch))
    }

    fn fault(&self, words: String) {
        self.notes.lock().unwrap().faults.push(words);
    }

    fn is_fine(&self, what: &str, error: &RolloutError) {
        let corrupt = matches!(error, RolloutError::Store(StoreError::Corrupt { .. }));
        if corrupt || matches!(error, RolloutError::NoSuchOffer { .. } | RolloutError::NoSuchDeployment { .. }) {
            self.fault(format!("{what}: {error:?}"));
        }
    }

    /// Lets a device read its offers.
    pub(super) async fn poll(&self, at: usize) {
        let (t, id) = self.pump(at, |pump| (pump.tenant, pump.id.clone()));
        match self.service.offers(&self.tenants[t], &id.parse().unwrap()).await {
            Ok(offers) => self.pump(at, |pump| {
                for offer in offers {
                    if pump.seen.iter().all(|seen| seen.key != offer.key) {
                        pump.seen.push(offer);
                    }
                }
            }),
            Err(error) => self.is_fine("offers", &error),
        }
    }

    /// Lets a device ask for the bytes of an offer that it saw, the newest or an older one.
    pub(super) async fn fetch(&self, at: usize) {
        let wanted = self.pump(at, |pump| {
            if pump.manner == Manner::Deaf || pump.seen.is_empty() {
                return None;
            }
            let back = if self.choices.rarely(4) { self.choices.pick(pump.seen.len()) } else { 0 };
            Some((pump.tenant, pump.id.clone(), pump.seen[pump.seen.len() - 1 - back].clone()))
        });
        let Some((t, id, offer)) = wanted else { return };
        let (tenant, key) = (&self.tenants[t], offer.key);
        self.notes.lock().unwrap().asked.insert(key.deployment);
        if self.no_gate {
            self.notes.lock().unwrap().given.insert(key.deployment);
            return self.pump(at, |pump| pump.begin(key));
        }
        let before = self.standing(tenant, key.deployment);
        match self.service.claim(tenant, key, &offer.files[0].name, Some(&id.parse().unwrap())).await {
            Ok(_) => {
                let after = self.standing(tenant, key.deployment);
                let stopped = before.is_some_and(|(status, _)| {
                    matches!(status, Status::Cancelled | Status::Superseded | Status::Completed | Status::Denied)
                        || (matches!(status, Status::Paused | Status::Halted) && after == before)
                });
                if stopped {
                    self.fault(format!("P3: {id} got bytes of {key} while the rollout was {before:?}"));
                }
                self.notes.lock().unwrap().given.insert(key.deployment);
                self.pump(at, |pump| pump.begin(key));
            }
            Err(error) => self.is_fine("claim", &error),
        }
    }

    async fn report(&self, at: usize, report: DeviceReport) {
        let (t, id) = self.pump(at, |pump| {
            pump.said.push(report.clone());
            (pump.tenant, pump.id.clone())
        });
        self.send(t, &id, report).await;
    }

    async fn send(&self, t: usize, id: &str, report: DeviceReport) {
        {
            let mut notes = self.notes.lock().unwrap();
            match &report {
                DeviceReport::Phase { key, phase, .. } if *phase >= Phase::Installing => {
                    notes.asked.insert(key.deployment);
                }
                DeviceReport::Done { key } => drop(notes.asked.insert(key.deployment)),
                DeviceReport::Versions { items, .. } => {
                    let sure = items.iter().filter(|item| item.confirmed);
                    notes.reported.extend(sure.map(|item| (t, item.component.to_string(), item.version.clone())));
                }
                _ => {}
            }
        }
        if let Err(error) = self.service.report(&self.tenants[t], &id.parse().unwrap(), report).await {
            // It may be gone.
            if !matches!(error, RolloutError::NoSuchComponent { .. }) {
                self.is_fine("report", &error);
            }
        }
    }

    /// Lets a device report the versions of its components, in one report.
    pub(super) async fn versions(&self, at: usize, confirmed: bool) {
        let report = self.pump(at, |pump| {
            let items = pump.parts.iter().map(|part| {
                let mut runs = ReportedVersion::new(part.id.parse().unwrap(), part.runs.as_str());
                runs.confirmed = confirmed;
                runs
            });
            let items = items.collect();
            pump.number += 1;
            DeviceReport::Versions { restarted: true, number: Some(pump.number), items }
        });
        self.report(at, report).await;
    }

    /// Lets a device repeat a report: the answer was lost, or the report comes late.
    pub(super) async fn repeat(&self, at: usize) {
        let again = self.pump(at, |pump| {
            let report = pump.said.get(self.choices.pick(pump.said.len().max(1)))?;
            Some((pump.tenant, pump.id.clone(), report.clone()))
        });
        if let Some((t, id, report)) = again {
            self.send(t, &id, report).await;
        }
    }

    /// Lets a device continue by one step.
    pub(super) async fn go_on(&self, at: usize) {
        let Some((part, manner, Work { key, step })) = self.pump(at, Pump::at_work) else { return };
        let installs = DeviceReport::Phase { key, number: None, phase: Phase::Installing };
        let done = DeviceReport::Done { key };
        let code = || "no-space".parse().unwrap();
        match (manner, step) {
            (Manner::Silent | Manner::Deaf, _) => return,
            (Manner::Rejects, 0) => self.report(at, DeviceReport::Rejected { key, code: code() }).await,
            (Manner::Fails, 1) => {
                let transient = self.choices.pick(2) == 0;
                self.report(at, DeviceReport::Failed { key, transient, code: code() }).await;
            }
            (Manner::DoneFirst, 0) => self.report(at, done).await,
            (_, 0) => {
                let phase = [Phase::Downloading, Phase::Staged][self.choices.pick(2)];
                self.report(at, DeviceReport::Phase { key, number: None, phase }).await;
            }
            (Manner::Rejects | Manner::Fails, _) => {}
            (_, 1) => self.report(at, installs).await,
            (_, 2) => {
                if manner != Manner::Lies {
                    self.pump(at, |pump| pump.install(part));
                }
                if manner == Manner::StopsAfter {
                    self.report(at, DeviceReport::StopAcknowledged { key }).await;
                } else {
                    self.report(at, done).await;
                }
            }
            (Manner::RollsBack, 3) => {
                self.versions(at, false).await;
                self.pump(at, |pump| pump.go_back(part));
            }
            (_, 3..=4) => self.versions(at, true).await,
            _ => {
                self.pump(at, |pump| pump.parts[part].work = None);
                return;
            }
        }
        self.pump(at, |pump| pump.advance(part, key, step));
    }

    /// Lets a device act from the beginning to the end.
    pub(super) async fn act(&self, at: usize) {
        self.poll(at).await;
        self.fetch(at).await;
        for _ in 0..6 {
            self.go_on(at).await;
        }
    }
}

impl Pump {
    fn at_work(&mut self) -> Option<(usize, Manner, Work)> {
        let at = self.parts.iter().position(|part| part.work.is_some())?;
        Some((at, self.manner, self.parts[at].work?))
    }

    fn offer(&self, key: OfferKey) -> Option<&Offer> {
        self.seen.iter().find(|offer| offer.key == key)
    }

    /// Returns the component of an offer, from the name of its release.
    fn part_of(&self, key: OfferKey) -> Option<usize> {
        let name = self.offer(key)?.name.as_str().rsplit('/').next()?.to_owned();
        self.parts.iter().position(|part| part.id.ends_with(&name))
    }

    fn begin(&mut self, key: OfferKey) {
        if let Some(part) = self.part_of(key)
            && self.parts[part].work.is_none_or(|work| work.key != key)
        {
            self.parts[part].work = Some(Work { key, step: 0 });
        }
    }

    fn install(&mut self, part: usize) {
        let version =
            self.parts[part].work.and_then(|work| self.offer(work.key)).map(|offer| offer.version.to_string());
        if let Some(version) = version {
            let part = &mut self.parts[part];
            part.before = std::mem::replace(&mut part.runs, version);
        }
    }

    fn go_back(&mut self, part: usize) {
        let part = &mut self.parts[part];
        part.runs = part.before.clone();
    }

    fn advance(&mut self, part: usize, key: OfferKey, step: usize) {
        if let Some(work) = self.parts[part].work.as_mut().filter(|work| (work.key, work.step) == (key, step)) {
            work.step += 1;
        }
    }
}
