//! The invariants after every commit, and at rest.

use super::super::fleet::now;
use super::Service;
use super::devices::{Notes, Pump};
use super::world::components;
use fhir_devices::backend::Memory;
use fhir_devices::publish::{Content, Slot};
use fhir_devices::store::{Ledger, LedgerKey, LedgerRecord, Tenant};
use fhir_devices::update::deployment::{self, Deployment, DeviceOffers, Evidence, Outcome, OutcomeClass, Phase, State};
use fhir_devices::update::rollout::{
    Counts, DeploymentId, Lane, LaneHead, LaneStatus, Rollout, RolloutId, Spec, Status, Tally,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;

macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

/// The last seen state of a deployment.
struct Seen {
    state: State,
    granted: bool,
}

#[derive(Default)]
pub(super) struct Invariants {
    seen: HashMap<DeploymentId, Seen>,
    specs: HashMap<RolloutId, Spec>,
}

/// A lane in the ledger.
#[derive(Deserialize)]
struct KeptLane {
    head: LaneHead,
}

fn scan(memory: &Memory, tenant: &Tenant, folder: &str) -> Vec<LedgerRecord> {
    let folder = LedgerKey::new(folder).unwrap();
    now(Ledger::scan(memory, tenant, &folder, NonZeroU32::MAX, None)).unwrap().items
}

fn last<T: std::str::FromStr>(record: &LedgerRecord) -> T {
    record
        .key
        .as_str()
        .rsplit('/')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{}", record.key))
}

/// Returns the rollouts of a tenant, and whether each is among the ended ones.
pub(super) fn rollouts_of(memory: &Memory, tenant: &Tenant) -> Vec<(Rollout, bool)> {
    let of = |folder, ended| {
        let all = scan(memory, tenant, folder).into_iter();
        all.map(move |record| (Rollout::from_bytes(&record.value).unwrap(), ended))
    };
    of("rollout/open", false).chain(of("rollout/ended", true)).collect()
}

fn deployments_of(memory: &Memory, tenant: &Tenant, rollout: RolloutId) -> Vec<Deployment> {
    let all = scan(memory, tenant, &format!("ro/{rollout}/d"));
    all.iter().map(|record| Deployment::from_bytes(&record.value).unwrap()).collect()
}

fn lanes_of(memory: &Memory, tenant: &Tenant, rollout: RolloutId) -> Vec<LaneHead> {
    let all = scan(memory, tenant, &format!("ro/{rollout}/l"));
    all.iter().map(|record| serde_json::from_slice::<KeptLane>(&record.value).unwrap().head).collect()
}

fn ids(memory: &Memory, tenant: &Tenant, folder: &str) -> BTreeSet<DeploymentId> {
    scan(memory, tenant, folder).iter().map(last).collect()
}

/// Returns whether one of two components of a device is above the other, or both are the same: the first is above all.
fn on_one_line(one: &str, other: &str) -> bool {
    one == other || one.ends_with("-mds") || other.ends_with("-mds")
}

impl Invariants {
    fn spec(&mut self, memory: &Memory, tenant: &Tenant, rollout: RolloutId) -> Result<Spec, String> {
        if let Some(spec) = self.specs.get(&rollout) {
            return Ok(spec.clone());
        }
        let key = LedgerKey::new(format!("ro/{rollout}/spec")).unwrap();
        let Some(record) = now(Ledger::get(memory, tenant, &key)).unwrap() else {
            return Err(format!("rollout {rollout} has no spec"));
        };
        let spec = Spec::from_bytes(&record.value).unwrap();
        self.specs.insert(rollout, spec.clone());
        Ok(spec)
    }

    /// Checks the invariants after a commit.
    pub(super) fn hold(&mut self, memory: &Memory, tenant: &Tenant, notes: &Notes) -> Result<(), String> {
        let (mut in_flight, mut wanted, mut due, mut queued) = (Vec::new(), BTreeSet::new(), BTreeSet::new(), 0);
        for (rollout, _) in rollouts_of(memory, tenant) {
            let id = rollout.id;
            let spec = self.spec(memory, tenant, id)?;
            let lanes = lanes_of(memory, tenant, id);
            let all = deployments_of(memory, tenant, id);
            for one in &all {
                self.deployment(one, notes)?;
                if one.state.is_in_flight() {
                    in_flight.push((one.device.to_string(), one.component.to_string(), one.id));
                }
                if deployment::resume(one).is_some() {
                    wanted.insert((one.region.to_string(), one.id));
                }
                if one.state.deadline().is_some() {
                    due.insert(one.id);
                }
            }
            queued += all.iter().filter(|one| matches!(one.state, State::Planned { .. })).count();
            let records = scan(memory, tenant, &format!("ro/{id}/q"));
            ensure!(records.len() <= queued, "{id}: {} are queued, {queued} planned", records.len());
            queued -= records.len();
            ensure!(queued == 0, "{id}: {queued} planned components are in no queue");
            lanes_agree(&spec, &lanes, &all)?;
            stands(&rollout, &spec, &lanes, &all)?;
        }
        let todo: BTreeSet<_> = scan(memory, tenant, "todo")
            .iter()
            .map(|record| (record.key.as_str().split('/').nth(1).unwrap().to_owned(), last(record)))
            .collect();
        ensure!(todo == wanted, "what is to be written is {wanted:?}, and the queue says {todo:?}");
        let timers = ids(memory, tenant, "ro-due");
        ensure!(timers == due, "the deadlines are {due:?}, and the timers {timers:?}");
        let locked: BTreeSet<_> = scan(memory, tenant, "lock")
            .iter()
            .flat_map(|record| DeviceOffers::from_bytes(&record.value).unwrap().live)
            .map(|lock| lock.deployment)
            .collect();
        let live: BTreeSet<_> = in_flight.iter().map(|(_, _, id)| *id).collect();
        ensure!(locked == live, "P9: {live:?} are at work, and the locks are of {locked:?}");
        for (index, (device, component, id)) in in_flight.iter().enumerate() {
            let other = in_flight[..index].iter().find(|(of, at, _)| of == device && on_one_line(at, component));
            ensure!(other.is_none(), "P9: {id} and {other:?} are at work on one line of `{device}`");
        }
        Ok(())
    }

    /// Checks that every device with bytes is counted.
    pub(super) fn given(&self, notes: &Notes) -> Result<(), String> {
        for id in &notes.given {
            let counts = self.seen.get(id).is_none_or(|seen| seen.granted);
            ensure!(counts, "P3: a device has bytes of {id}, which is {:?}", self.seen[id].state);
        }
        Ok(())
    }

    /// Checks the transition from the last seen state of a deployment.
    fn deployment(&mut self, one: &Deployment, notes: &Notes) -> Result<(), String> {
        let id = one.id;
        ensure!(!one.granted || notes.asked.contains(&id), "P3: {id} counts as out, and nobody asked for its bytes");
        ensure!(one.granted || !matches!(one.state, State::Claimed { .. }), "P3: {id} is claimed and does not count");
        if let Some(before) = self.seen.get(&id) {
            ensure!(one.granted || !before.granted, "P3: {id} counted as out, and does not any more");
            let (attempt, was) = (one.state.attempt(), before.state.attempt());
            ensure!(attempt >= was, "{id} went back from attempt {was} to {attempt}");
            if let State::Done { outcome, .. } = &before.state {
                let stays = one.state.outcome() == Some(outcome);
                ensure!(stays, "B4: {id} had ended with {outcome:?}, and is {:?}", one.state);
            }
            if let (State::Claimed { phase: before, .. }, State::Claimed { phase, .. }) = (&before.state, &one.state)
                && attempt == was
            {
                ensure!(phase >= before, "B4: {id} fell from {before} to {phase}");
            }
        }
        self.seen.insert(id, Seen { state: one.state.clone(), granted: one.granted });
        Ok(())
    }

    /// Returns whether nothing of a tenant is in progress.
    pub(super) fn is_quiet(&self, memory: &Memory, tenant: &Tenant) -> bool {
        self.left(memory, tenant).is_empty()
    }

    /// Describes the work in progress.
    pub(super) fn left(&self, memory: &Memory, tenant: &Tenant) -> Vec<String> {
        let mut left = Vec::new();
        for (rollout, ended) in rollouts_of(memory, tenant) {
            if !ended && rollout.status != Status::Denied {
                left.push(format!("rollout {} is {}", rollout.id, rollout.status));
            }
            let all = deployments_of(memory, tenant, rollout.id);
            let open = all.into_iter().filter(|one| !one.state.is_done());
            left.extend(open.map(|one| format!("{} of {} is {:?}", one.id, rollout.id, one.state)));
        }
        left.extend(scan(memory, tenant, "todo").iter().map(|record| record.key.to_string()));
        left
    }

    /// Returns the planned deployments that are not offered.
    pub(super) fn planned(&self, memory: &Memory, tenant: &Tenant) -> Vec<(RolloutId, DeploymentId)> {
        let all = rollouts_of(memory, tenant).into_iter();
        let all = all.flat_map(|(rollout, _)| deployments_of(memory, tenant, rollout.id));
        let planned = all.filter(|one| matches!(one.state, State::Planned { .. }));
        planned.map(|one| (one.rollout, one.id)).collect()
    }

    /// Checks that no slot of a region shows an offer of a deployment that ended within the last day.
    pub(super) fn cleared(
        &self,
        memory: &Memory,
        tenant: &Tenant,
        region: &str,
        slots: &[(Slot, Content)],
    ) -> Result<(), String> {
        let ended = ids(memory, tenant, &format!("ro-cleared/{region}"));
        for (rollout, _) in rollouts_of(memory, tenant) {
            let all = deployments_of(memory, tenant, rollout.id);
            for one in all.iter().filter(|one| ended.contains(&one.id)) {
                let shown = slots.iter().find(|(slot, content)| {
                    let newer = content.action() > one.state.action().unwrap();
                    slot.component == one.component && matches!(content, Content::Offer(_)) && !newer
                });
                ensure!(shown.is_none(), "P8: {} has ended, and {} shows an offer again", one.id, shown.unwrap().0);
            }
        }
        Ok(())
    }

    /// Checks the final state, when every device has reported its versions.
    pub(super) fn rest(
        &mut self,
        memory: &Memory,
        (t, tenant): (usize, &Tenant),
        notes: &Notes,
        pumps: &[Pump],
        slots: &[(Slot, Content, bool)],
    ) -> Result<(), String> {
        let observed = components(memory, tenant, pumps, t);
        for part in pumps.iter().filter(|pump| pump.tenant == t).flat_map(|pump| &pump.parts) {
            if let Some(version) = observed.get(&part.id) {
                ensure!(*version == part.runs, "`{}` runs {}, and its record says {version}", part.id, part.runs);
            }
        }
        let mut known = BTreeMap::new();
        for (rollout, _) in rollouts_of(memory, tenant) {
            let spec = self.spec(memory, tenant, rollout.id)?;
            let all = deployments_of(memory, tenant, rollout.id);
            for one in &all {
                known.insert(one.id, one.clone());
                if let Some(Outcome::Succeeded { proof: Evidence::VersionReport { .. } }) = one.state.outcome() {
                    let said =
                        |version: &str| notes.reported.contains(&(t, one.component.to_string(), version.to_owned()));
                    ensure!(said("2.0") || said("3.0"), "P7: {} succeeded, and its device never said so", one.id);
                }
            }
            // Whatever joined later: what was there at the beginning is planned, in every rollout that ran to its end.
            if rollout.status == Status::Completed {
                let planned: BTreeSet<_> = all.iter().map(|one| one.component.to_string()).collect();
                ensure!(planned.len() == all.len(), "P10: a component is planned twice in rollout {}", rollout.id);
                ensure!(rollout.planned.done, "rollout {} is completed, and not planned", rollout.id);
            }
            ensure!(
                !matches!(spec.scope, fhir_devices::update::rollout::Scope::Dynamic { most, .. }
                    if all.len() > most.get() as usize + 8),
                "rollout {} has {} components",
                rollout.id,
                all.len()
            );
        }
        for (slot, content, is_exact) in slots {
            let id = content.key().deployment;
            // P12: what a region shows of a tenant is of that tenant.
            let Some(one) = known.get(&id) else { return Err(format!("P12: {slot} shows {id} of somebody else")) };
            ensure!(one.component == slot.component, "P12: {slot} shows the offer of {}", one.component);
            ensure!(
                !is_exact || matches!(content, Content::Tombstone { .. }),
                "P8: {slot} shows an offer of {id}, which is {:?}",
                one.state
            );
        }
        Ok(())
    }

    /// Checks that the chains are whole, and rebuild the ledger (A2, A3).
    pub(super) async fn audit(&self, service: &Service, memory: &Memory, tenant: &Tenant) -> Result<(), String> {
        let words = |what: &str| {
            let what = what.to_owned();
            move |error: fhir_devices::service::RolloutError| format!("A2: {what}: {error:?}")
        };
        let updates = service.updates();
        let verified = updates.verify_audit(tenant, &[]).await.map_err(|error| format!("A2: {error:?}"))?;
        verified.map_err(|broken| format!("A2: {broken}"))?;
        let records = updates.audit_records(tenant).await.map_err(|error| format!("A2: {error:?}"))?;
        let replayed = fhir_devices::update::replay(&records).map_err(|error| format!("A3: {error}"))?;
        let seals: Vec<_> = replayed.lanes.values().copied().collect();
        for (rollout, _) in rollouts_of(memory, tenant) {
            let id = rollout.id;
            ensure!(replayed.rollouts.get(&id) == Some(&rollout), "A3: the records do not rebuild rollout {id}");
            let spec = &self.specs[&id];
            let mut all: BTreeMap<_, _> =
                deployments_of(memory, tenant, id).into_iter().map(|one| (one.id, one)).collect();
            if lanes_of(memory, tenant, id).is_empty() {
                continue;
            }
            for lane in (0..spec.lane_count()).map(Lane) {
                let verified = service.verify_lane(tenant, id, lane, &seals).await.map_err(words("a lane"))?;
                verified.map_err(|broken| format!("A2: lane {lane} of {id}: {broken}"))?;
                let records = service.lane_records(tenant, id, lane).await.map_err(words("records"))?;
                let rebuilt = fhir_devices::update::rollout::ReplayedLane::of(spec, id, lane, &records);
                let rebuilt = rebuilt.map_err(|unfit| format!("A3: lane {lane} of {id}: {unfit}"))?;
                for (id, one) in rebuilt.into_iter().flat_map(|lane| lane.deployments) {
                    ensure!(all.remove(&id).as_ref() == Some(&one), "A3: the records do not rebuild {id}");
                }
            }
            ensure!(all.is_empty(), "A3: the records know nothing of {all:?}");
        }
        Ok(())
    }
}

/// Checks that the counts of the lanes are correct, and their shares allowed (B5, B9).
fn lanes_agree(spec: &Spec, lanes: &[LaneHead], all: &[Deployment]) -> Result<(), String> {
    for lane in lanes {
        let own = || all.iter().filter(|one| one.lane == lane.lane);
        let (mut counts, mut tally, mut granted) = (Counts::default(), Tally::default(), 0);
        for one in own() {
            match &one.state {
                State::Planned { .. } => counts.planned += 1,
                State::Held { .. } => counts.held += 1,
                State::Offering { .. } => counts.offering += 1,
                State::Offered { .. } => counts.offered += 1,
                State::Claimed { .. } => counts.claimed += 1,
                State::Retracting { .. } => counts.retracting += 1,
                State::Done { outcome, .. } => tally.count(outcome.class()),
                other => return Err(format!("{} is {other:?}", one.id)),
            }
            granted += u32::from(one.granted);
            let early = one.state.is_in_flight() && one.wave > lane.wave;
            ensure!(!early, "B8: {} is at work, and its wave has not begun", one.id);
            ensure!(
                !one.state.is_in_flight() || Some(&one.region) == spec.region_of(lane.lane),
                "{} is in a lane of another region",
                one.id
            );
        }
        let counted = (lane.counts, lane.tally, lane.granted);
        ensure!(counted == (counts, tally, granted), "B9: lane {} counts {counted:?}", lane.lane);
        ensure!(counts.in_flight() <= lane.cap_share, "B5: lane {} has more at work than its share", lane.lane);
    }
    let in_flight: u32 = lanes.iter().map(|lane| lane.counts.in_flight()).sum();
    ensure!(in_flight <= spec.cap, "B5: {in_flight} are at work, of {} that may", spec.cap);
    if !lanes.is_empty() {
        let shares: u32 = lanes.iter().map(|lane| lane.cap_share).sum();
        ensure!(shares <= spec.cap, "P5: the shares of the cap are {shares} of {}", spec.cap);
    }
    Ok(())
}

/// Checks that the status of a rollout agrees with its lanes (P3, P4, P6).
fn stands(rollout: &Rollout, spec: &Spec, lanes: &[LaneHead], all: &[Deployment]) -> Result<(), String> {
    let Rollout { id, status, epoch, .. } = *rollout;
    let stopped = |lane: &LaneHead| lane.is_draining() || (lane.status == LaneStatus::Stopped && lane.epoch >= epoch);
    if matches!(status, Status::Paused | Status::Halted) {
        let lane = lanes.iter().find(|lane| !stopped(lane));
        ensure!(lane.is_none(), "P3: {id} is {status}, and lane {} is open", lane.unwrap().lane);
    }
    if matches!(status, Status::Cancelled | Status::Superseded) {
        let left = all.iter().find(|one| !one.state.is_done() && !matches!(one.state, State::Claimed { .. }));
        ensure!(left.is_none(), "P4: {id} is {status}, and {} is {:?}", left.unwrap().id, left.unwrap().state);
    }
    if let Some(out) = rollout.already_out {
        let granted = all.iter().filter(|one| one.granted).count();
        ensure!(out as usize == granted, "P3: {id} is {status} with {out} already out, and {granted} have bytes");
    }
    if lanes.is_empty() {
        return Ok(());
    }
    for (index, criterion) in spec.stop.iter().enumerate() {
        let failures: u32 = lanes.iter().map(|lane| lane.allowances[index].failures).sum();
        let counted: u32 = OutcomeClass::ALL
            .iter()
            .filter(|class| criterion.has(**class))
            .map(|class| lanes.iter().map(|lane| lane.tally.of(*class)).sum::<u32>())
            .sum();
        ensure!(failures == counted, "P6: {id} counts {failures} failures, and had {counted}");
        let shares: u32 = lanes.iter().map(|lane| lane.allowances[index].share).sum();
        let allowed = rollout.allowed[index];
        ensure!(shares == allowed, "P6: {id} allows {allowed} failures, and its lanes have {shares}");
        let executed: u32 = lanes.iter().map(|lane| lane.tally.executed()).sum();
        let limit = rollout.base.failures[index] + criterion.limit(executed.saturating_sub(rollout.base.executed));
        ensure!(allowed <= limit.max(criterion.limit(0)), "P6: {id} allows {allowed} failures of {limit}");
        ensure!(
            failures < allowed + spec.cap,
            "P6: {id} had {failures} failures, its limit is {allowed}, its cap {}",
            spec.cap
        );
    }
    // A claim is of a device that was offered something.
    let early =
        all.iter().find(|one| matches!(one.state, State::Claimed { phase: Phase::Claimed, .. } if !one.granted));
    ensure!(early.is_none(), "P3: {id}: somebody has bytes who does not count");
    Ok(())
}
