//! The small world of slots: two workers that check, read, write and mark, each of which may die or be delayed; a
//! region with or without compare-and-set, which may return to a saved state; devices that act on old offers, install
//! silently, report falsely, and run the update only after a restart; and an operator who cancels.
//!
//! Every step of a rollout, its lane and a deployment is the production one.

use super::breadth::{Edge, Model, Pool};
use super::machines::{Map, NOW};
use super::rollouts::{lane_without_times, timeless};
use fhir_devices::manifest::ReleaseId;
use fhir_devices::primitive::Id;
use fhir_devices::store::Sha256;
use fhir_devices::update::deployment::{
    self, Context, Deployment, DeviceOffers, Effect, Found, Input, OutcomeClass, Phase, PutRefusal, Runs, SlotVersion,
    State, Step, StopRequest, Target,
};
use fhir_devices::update::rollout::{
    self, ActionNumber, Attempt, Epoch, Fold, Lane, LaneHead, LaneInput, Planned, Proof, Retry, Rollout, RolloutEffect,
    RolloutId, RolloutInput, RolloutRequest, RolloutStep, Spec, Status, StopCriterion, Wave,
};
use std::collections::BTreeSet;

/// A rule to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SlotRule {
    /// A device gets bytes only from a service that records the grant.
    Gate,
    /// Slots are verified.
    Verify,
    /// The slot is read before the ledger.
    LedgerAfterSlot,
    /// A slot refuses content with a lower number.
    Order,
    /// A written slot is marked with the number that it was written with.
    FrozenNumber,
    /// A version other than the update's counts only after a restart.
    Restart,
    /// A device's statement that it stopped is no proof.
    AckIsNoProof,
    /// A device's statement that it is done is no proof.
    DoneIsNoProof,
    /// One deployment at a time in a line of components.
    Lock,
}

impl SlotRule {
    pub(crate) const ALL: [Self; 9] = [
        Self::Gate,
        Self::Verify,
        Self::LedgerAfterSlot,
        Self::Order,
        Self::FrozenNumber,
        Self::Restart,
        Self::AckIsNoProof,
        Self::DoneIsNoProof,
        Self::Lock,
    ];
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotSetup {
    /// The rollout and the component of each deployment. Component 0 is above component 1, on one device.
    pub(crate) deployments: &'static [(usize, usize)],
    /// Whether the region writes a slot only if it is unchanged since it was read.
    pub(crate) compare_and_set: bool,
    /// Whether the region compares the numbers of stored and new content.
    pub(crate) ordered: bool,
    pub(crate) workers: usize,
    pub(crate) losses: u8,
    pub(crate) crashes: u8,
    pub(crate) cancels: u8,
    pub(crate) failing: u8,
    /// How often a device returns to its previous version.
    pub(crate) fallbacks: u8,
    /// Whether devices acknowledge a stop although they have installed the update.
    pub(crate) acknowledges_late: bool,
    /// Whether offers may time out.
    pub(crate) deadlines: bool,
    pub(crate) attempts: u16,
    pub(crate) without: Option<SlotRule>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    /// Whether the content, if any, is an offer.
    offer: bool,
    /// The deployment, counted from 1.
    of: u8,
    attempt: u16,
    action: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Worker {
    #[default]
    Idle,
    /// Has read the ledger first, where that rule is removed.
    Wants { wanted: Slot },
    /// Has read the slot. `fresh`: nothing has been written to it since.
    Saw { of: u8, seen: Slot, fresh: bool },
    /// Is about to write.
    Writes { wanted: Slot, seen: Slot, fresh: bool },
    /// Has written.
    Wrote { wanted: Slot },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Device {
    #[default]
    Idle,
    /// Knows of an offer.
    Saw {
        of: u8,
        attempt: u16,
    },
    /// Has the bytes.
    Has {
        of: u8,
    },
    /// Has installed them, without a restart since.
    Installed {
        of: u8,
    },
    Runs {
        of: u8,
    },
}

impl Device {
    /// Returns the deployment whose bytes the device has in some form, counted from 1.
    fn of(self) -> u8 {
        match self {
            Self::Idle | Self::Saw { .. } => 0,
            Self::Has { of } | Self::Installed { of } | Self::Runs { of } => of,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    rollouts: [u16; 2],
    lanes: [u16; 2],
    deployments: [u16; 2],
    offers: u16,
    slots: [Slot; 2],
    saved: [Slot; 2],
    workers: [Worker; 2],
    devices: [Device; 2],
    /// The deployments that granted bytes.
    bytes: [bool; 2],
    losses: u8,
    crashes: u8,
    cancels: u8,
    failing: u8,
    fallbacks: u8,
}

pub(crate) struct Slots {
    setup: SlotSetup,
    spec: Spec,
    rollouts: Pool<Rollout>,
    heads: Pool<LaneHead>,
    deployments: Pool<Deployment>,
    offers: Pool<DeviceOffers>,
    inputs: Pool<Input>,
    answers: Map<[u16; 4], Option<([u16; 3], bool)>>,
}

const COMPONENTS: [&str; 2] = ["mds", "channel"];

fn component(at: usize) -> Id {
    COMPONENTS[at].parse().unwrap()
}

impl Slots {
    pub(crate) fn new(setup: SlotSetup) -> Self {
        let says = setup.without == Some(SlotRule::DoneIsNoProof);
        let spec = Spec::new(
            RolloutRequest::new(ReleaseId(1), "eu".parse().unwrap())
                .with_stop(vec![StopCriterion::failures(999, 100)])
                .with_cap(2)
                .with_proof(if says { Proof::DeviceSays } else { Proof::VersionReport })
                .with_retry(
                    Retry::default().with_max_attempts(setup.attempts.try_into().unwrap()).with_first_seconds(0),
                ),
        )
        .unwrap();
        Self {
            setup,
            spec,
            rollouts: Pool::new(),
            heads: Pool::new(),
            deployments: Pool::new(),
            offers: Pool::new(),
            inputs: Pool::new(),
            answers: Map::default(),
        }
    }

    fn is_out(&self, rule: SlotRule) -> bool {
        self.setup.without == Some(rule)
    }

    fn deployment(&self, world: &World, at: usize) -> &Deployment {
        self.deployments.get(world.deployments[at])
    }

    fn rollout_of(&self, world: &World, at: usize) -> &Rollout {
        self.rollouts.get(world.rollouts[self.setup.deployments[at].0])
    }

    fn is_shown_stopped(&self, world: &World, at: usize) -> bool {
        matches!(self.rollout_of(world, at).status, Status::Cancelled | Status::Halted)
    }

    fn tell(&mut self, world: &World, at: usize, input: &Input) -> Option<(World, bool)> {
        let (rollout, _) = self.setup.deployments[at];
        let said = self.inputs.number(input.clone());
        let key = [world.deployments[at], world.lanes[rollout], world.offers, said];
        let answer = match self.answers.get(&key) {
            Some(answer) => *answer,
            None => {
                let [deployment, head, offers, _] = key;
                let mut offers = self.offers.get(offers).clone();
                if self.is_out(SlotRule::Lock) {
                    offers.live.clear();
                }
                let head = *self.heads.get(head);
                let context = Context { spec: &self.spec, lane: &head, offers: &offers };
                let answer = match deployment::step(self.deployments.get(deployment), context, input, NOW) {
                    Ok(Step::Transition(to)) => {
                        let lane = self.heads.number(lane_without_times(to.lane));
                        let offers = self.offers.number(to.offers.unwrap_or(offers));
                        Some(([self.deployments.number(timeless(to.deployment)), lane, offers], to.grants))
                    }
                    Ok(Step::Granted) => Some(([key[0], key[1], key[2]], true)),
                    Ok(Step::Unchanged) | Err(_) => None,
                };
                self.answers.insert(key, answer);
                answer
            }
        };
        let ([deployment, head, offers], grants) = answer?;
        let mut to = world.clone();
        to.deployments[at] = deployment;
        to.lanes[rollout] = head;
        to.offers = offers;
        to.bytes[at] |= grants;
        Some((to, grants))
    }

    /// Returns the content that a slot should have, by the record of its deployment.
    fn wanted(&self, world: &World, at: usize) -> Option<Slot> {
        let (key, action, offer) = match deployment::resume(self.deployment(world, at))? {
            Effect::PutOffer { key, action } => (key, action, true),
            Effect::PutTombstone { key, action } => (key, action, false),
            _ => return None,
        };
        Some(Slot { offer, of: at as u8 + 1, attempt: key.attempt.0, action: action.0 })
    }

    fn slot_of(&self, of: u8) -> usize {
        self.setup.deployments[usize::from(of) - 1].1
    }

    fn workers(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        for k in 0..self.setup.workers {
            let mut push = |what: String, mut to: World, then: Worker, wrong: Option<&'static str>| {
                to.workers[k] = then;
                out.push(Edge { what: format!("worker {k} {what}"), to, fair: true, wrong });
            };
            match world.workers[k] {
                Worker::Idle => {
                    for at in 0..self.setup.deployments.len() {
                        let Some(wanted) = self.wanted(world, at) else { continue };
                        if self.is_out(SlotRule::LedgerAfterSlot) {
                            push(format!("reads deployment {at}"), world.clone(), Worker::Wants { wanted }, None);
                        } else {
                            let (of, seen) = (wanted.of, world.slots[self.slot_of(wanted.of)]);
                            push(
                                format!("looks at slot {at}"),
                                world.clone(),
                                Worker::Saw { of, seen, fresh: true },
                                None,
                            );
                        }
                    }
                }
                Worker::Wants { wanted } => {
                    let seen = world.slots[self.slot_of(wanted.of)];
                    push("looks at the slot".into(), world.clone(), Worker::Writes { wanted, seen, fresh: true }, None);
                }
                Worker::Saw { of, seen, fresh } => {
                    let then = self.wanted(world, usize::from(of) - 1);
                    let then = then.map_or(Worker::Idle, |wanted| Worker::Writes { wanted, seen, fresh });
                    push("reads the deployment".into(), world.clone(), then, None);
                }
                Worker::Writes { wanted, seen, fresh } => {
                    let (at, slot) = (usize::from(wanted.of) - 1, self.slot_of(wanted.of));
                    let stale = seen.action > wanted.action
                        || (seen.action == wanted.action && seen.of > 0 && !seen.offer && wanted.offer);
                    if stale && self.setup.ordered && !self.is_out(SlotRule::Order) {
                        let action = ActionNumber(wanted.action);
                        let refused = Input::PutRefused { action, why: PutRefusal::Stale };
                        let to = self.tell(world, at, &refused).map_or_else(|| world.clone(), |(to, _)| to);
                        push("finds a later one".into(), to, Worker::Idle, None);
                    } else if self.setup.compare_and_set && !fresh {
                        push("finds the slot changed".into(), world.clone(), Worker::Idle, None);
                    } else {
                        let (mut to, was) = (world.clone(), world.slots[slot]);
                        to.slots[slot] = wanted;
                        if was != wanted {
                            for (other, worker) in to.workers.iter_mut().enumerate().filter(|(other, _)| *other != k) {
                                let _ = other;
                                match worker {
                                    Worker::Saw { of, fresh, .. } if self.slot_of(*of) == slot => *fresh = false,
                                    Worker::Writes { wanted, fresh, .. } if self.slot_of(wanted.of) == slot => {
                                        *fresh = false
                                    }
                                    _ => {}
                                }
                            }
                        }
                        let back = was.of > 0
                            && (was.action > wanted.action
                                || (was.action == wanted.action && wanted.offer && !was.offer));
                        let wrong = (back && self.setup.compare_and_set).then_some("P2: a slot goes back");
                        push("writes".into(), to, Worker::Wrote { wanted }, wrong);
                    }
                }
                Worker::Wrote { wanted } => {
                    let at = usize::from(wanted.of) - 1;
                    let action = if self.is_out(SlotRule::FrozenNumber) {
                        self.deployment(world, at).state.action().unwrap_or_default()
                    } else {
                        ActionNumber(wanted.action)
                    };
                    let offer = if self.is_out(SlotRule::FrozenNumber) {
                        matches!(self.deployment(world, at).state, State::Offering { .. })
                    } else {
                        wanted.offer
                    };
                    let input = Input::SlotWritten { action, offer, version: SlotVersion::new("1") };
                    let to = self.tell(world, at, &input).map_or_else(|| world.clone(), |(to, _)| to);
                    push("marks".into(), to, Worker::Idle, None);
                }
            }
            if world.crashes > 0 && world.workers[k] != Worker::Idle {
                let mut to = world.clone();
                (to.workers[k], to.crashes) = (Worker::Idle, world.crashes - 1);
                out.push(Edge { what: format!("worker {k} dies"), to, fair: false, wrong: None });
            }
        }
    }

    fn region(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        if self.setup.losses > 0 && world.saved != world.slots {
            let to = World { saved: world.slots, ..world.clone() };
            out.push(Edge { what: "the region saves".into(), to, fair: false, wrong: None });
            if world.losses > 0 {
                let to = World { slots: world.saved, losses: world.losses - 1, ..world.clone() };
                out.push(Edge { what: "the region falls back".into(), to, fair: false, wrong: None });
            }
        }
        if self.is_out(SlotRule::Verify) {
            return;
        }
        for at in 0..self.setup.deployments.len() {
            let Some(action) = self.deployment(world, at).state.action() else { continue };
            let slot = world.slots[self.setup.deployments[at].1];
            let found = match slot {
                Slot { offer, of, action: has, .. } if usize::from(of) == at + 1 && has == action.0 => {
                    if offer {
                        Found::Offer
                    } else {
                        Found::Tombstone
                    }
                }
                Slot { action: has, .. } if has > action.0 => continue,
                _ => Found::Older,
            };
            if let Some((to, _)) = self.tell(world, at, &Input::SlotRead { action, found }) {
                out.push(Edge { what: format!("somebody reads slot {at} back"), to, fair: true, wrong: None });
            }
        }
    }

    fn devices(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        for at in 0..2 {
            let slot = world.slots[at];
            let device = world.devices[at];
            let mut moved = |model: &mut Self, what: &str, mut to: World, then: Device, fair: bool, wrong| {
                let _ = &model;
                to.devices[at] = then;
                out.push(Edge { what: format!("device {at} {what}"), to, fair, wrong });
            };
            if slot.offer && slot.of > 0 && device.of() != slot.of {
                let then = Device::Saw { of: slot.of, attempt: slot.attempt };
                if device != then {
                    moved(self, "sees the offer", world.clone(), then, true, None);
                }
            }
            match device {
                Device::Idle => {}
                Device::Saw { of, attempt } => {
                    let one = usize::from(of) - 1;
                    let stopped = self.is_shown_stopped(world, one);
                    let claim =
                        Input::ClaimRequested { attempt: Attempt(attempt), closed: BTreeSet::new(), expired: false };
                    let wrong = stopped.then_some("P3: a device gets bytes after the stop");
                    if self.is_out(SlotRule::Gate) {
                        let mut to = world.clone();
                        to.bytes[one] = true;
                        moved(self, "takes the bytes", to, Device::Has { of }, true, wrong);
                    } else if let Some((to, true)) = self.tell(world, one, &claim) {
                        moved(self, "is given the bytes", to, Device::Has { of }, true, wrong);
                    } else {
                        moved(self, "is refused", world.clone(), Device::Idle, true, None);
                    }
                }
                Device::Has { of } => {
                    let one = usize::from(of) - 1;
                    let attempt = self.deployment(world, one).state.attempt();
                    moved(self, "installs silently", world.clone(), Device::Installed { of }, true, None);
                    let phase = Input::PhaseReported { attempt, number: None, phase: Phase::Installing };
                    if let Some((to, _)) = self.tell(world, one, &phase) {
                        moved(self, "installs and says so", to, Device::Installed { of }, true, None);
                    }
                    if slot.of == of && !slot.offer {
                        let ack = Input::StopAcknowledged { attempt };
                        let to = self.tell(world, one, &ack).map_or_else(|| world.clone(), |(to, _)| to);
                        moved(self, "drops the bytes", to, Device::Idle, true, None);
                    }
                    if world.failing > 0 {
                        let code = "no-space".parse().unwrap();
                        let failure = Input::FailureReported { attempt, transient: true, code };
                        if let Some((mut to, _)) = self.tell(world, one, &failure) {
                            to.failing -= 1;
                            moved(self, "fails", to, Device::Idle, false, None);
                        }
                    }
                }
                Device::Installed { of } => {
                    let one = usize::from(of) - 1;
                    let attempt = self.deployment(world, one).state.attempt();
                    let done = Input::DoneReported { attempt };
                    if let Some((to, _)) = self.tell(world, one, &done) {
                        moved(self, "says that it is done", to, device, true, None);
                    }
                    if self.setup.acknowledges_late && slot.of == of && !slot.offer {
                        let ack = Input::StopAcknowledged { attempt };
                        if let Some((mut to, _)) = self.tell(world, one, &ack) {
                            if self.is_out(SlotRule::AckIsNoProof) {
                                let mut ended = self.deployment(&to, one).clone();
                                let outcome = deployment::Outcome::Cancelled;
                                let action = ended.state.action();
                                ended.state = State::Done { attempt, outcome, action, clear: false };
                                to.deployments[one] = self.deployments.number(ended);
                            }
                            moved(self, "says that it stopped", to, device, true, None);
                        }
                    }
                    moved(self, "starts what it installed", world.clone(), Device::Runs { of }, true, None);
                    if world.fallbacks > 0 {
                        let to = World { fallbacks: world.fallbacks - 1, ..world.clone() };
                        moved(self, "goes back", to, Device::Idle, false, None);
                    }
                }
                Device::Runs { .. } => {}
            }
            // The report of what runs. One that was made before a start says so.
            for one in 0..self.setup.deployments.len() {
                if self.setup.deployments[one].1 != at {
                    continue;
                }
                let runs = if device == (Device::Runs { of: one as u8 + 1 }) { Runs::Target } else { Runs::Other };
                let waits = matches!(device, Device::Installed { .. });
                let restarted = !waits || self.is_out(SlotRule::Restart);
                let report = Sha256::of(b"{}");
                let input = Input::VersionReported {
                    number: None,
                    report,
                    authenticated: true,
                    runs,
                    restarted,
                    confirmed: true,
                };
                if let Some((to, _)) = self.tell(world, one, &input) {
                    moved(self, &format!("reports what it runs, to {one}"), to, device, true, None);
                }
            }
        }
    }

    fn service(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        for at in 0..self.setup.deployments.len() {
            let (rollout, component_at) = self.setup.deployments[at];
            let epoch = self.heads.get(world.lanes[rollout]).epoch;
            let line = vec![component(1 - component_at)];
            let mut said = vec![
                (true, Input::OfferRequested { epoch, line, one_per_device: false, admitted: true }),
                (true, Input::StopRequested),
            ];
            let state = &self.deployment(world, at).state;
            let fair = matches!(state, State::Claimed { .. });
            // What the device has may time out only when it has said all that it will.
            let silent =
                world.devices.iter().all(|device| !matches!(device, Device::Has { .. } | Device::Installed { .. }));
            let claimed = matches!(state, State::Claimed { stop, .. } if silent || *stop != StopRequest::Requested);
            if self.setup.deadlines || (fair && claimed) {
                said.push((fair, Input::DeadlineReached));
            }
            for (fair, input) in said {
                if let Some((to, _)) = self.tell(world, at, &input) {
                    out.push(Edge { what: format!("deployment {at}: {input:?}"), to, fair, wrong: None });
                }
            }
        }
        for at in 0..2 {
            let rollout = self.rollouts.get(world.rollouts[at]).clone();
            let head = *self.heads.get(world.lanes[at]);
            if let Some(RolloutEffect::DrainLanes { epoch, superseded }) = rollout::resume(&rollout)
                && let Ok(Some(to)) = head.step(&LaneInput::Drained { epoch, superseded }, NOW)
            {
                let mut next = world.clone();
                next.lanes[at] = self.heads.number(lane_without_times(to.lane));
                out.push(Edge { what: format!("lane {at} drains"), to: next, fair: true, wrong: None });
            }
            let fold = Fold::of(&self.spec, rollout.id, [&head]).unwrap();
            let mut said = vec![(true, RolloutInput::LanesFolded { fold })];
            if world.cancels > 0 && at == 0 {
                let (by, why) = ("biomed".parse().unwrap(), "a test".parse().unwrap());
                said.push((false, RolloutInput::CancelRequested { by, why }));
            }
            for (fair, input) in said {
                if let Ok(RolloutStep::Transition(to)) = rollout::step(&rollout, &self.spec, &input, NOW) {
                    let mut next = world.clone();
                    next.cancels -= u8::from(!fair);
                    let what = format!("rollout {at}: {}", to.rollout.status);
                    next.rollouts[at] = self.rollouts.number(to.rollout);
                    out.push(Edge { what, to: next, fair, wrong: None });
                }
            }
        }
    }
}

impl Model for Slots {
    type World = World;

    fn start(&mut self) -> World {
        let SlotSetup { losses, crashes, cancels, failing, fallbacks, .. } = self.setup;
        let mut world = World { losses, crashes, cancels, failing, fallbacks, ..World::default() };
        world.offers = self.offers.number(DeviceOffers::default());
        for at in 0..2 {
            let id = RolloutId(at as u128 + 1);
            let (mut rollout, _) = Rollout::draft(id, "author".parse().unwrap(), &self.spec, NOW);
            rollout.planned = Planned { done: true, ..Planned::default() };
            (rollout.status, rollout.epoch) = (Status::Running, Epoch(1));
            world.rollouts[at] = self.rollouts.number(rollout);
            let head = LaneHead::new(&self.spec, id, Lane(0)).unwrap();
            let opened = head.step(&LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, NOW).unwrap().unwrap().lane;
            let mut head = lane_without_times(opened);
            for (one, (rollout, at_component)) in self.setup.deployments.iter().enumerate() {
                if *rollout == at {
                    let (device, component) = ("pump".parse().unwrap(), component(*at_component));
                    let target = Target { device, component, region: "eu".parse().unwrap() };
                    let planned =
                        deployment::plan(&"st-mary".parse().unwrap(), &self.spec, &head, target, NOW).unwrap();
                    head = lane_without_times(planned.lane);
                    world.deployments[one] = self.deployments.number(timeless(planned.deployment));
                }
            }
            world.lanes[at] = self.heads.number(head);
        }
        world
    }

    fn next(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        self.service(world, out);
        self.workers(world, out);
        self.region(world, out);
        self.devices(world, out);
    }

    fn wrong(&mut self, world: &World) -> Option<&'static str> {
        let count = self.setup.deployments.len();
        let flying = (0..count).filter(|at| self.deployment(world, *at).state.is_in_flight()).count();
        if flying > 1 {
            return Some("P9: two deployments at work in one line");
        }
        for at in 0..count {
            let deployment = self.deployment(world, at);
            let (rollout, component_at) = self.setup.deployments[at];
            let device = world.devices[component_at];
            let has = usize::from(device.of()) == at + 1;
            let class = deployment.state.outcome().map(deployment::Outcome::class);
            match class {
                Some(OutcomeClass::Succeeded) if device != (Device::Runs { of: at as u8 + 1 }) && has => {
                    return Some("P7: a success, and the update does not run");
                }
                Some(
                    OutcomeClass::Cancelled
                    | OutcomeClass::Superseded
                    | OutcomeClass::Withdrawn
                    | OutcomeClass::TimedOut,
                ) if has => return Some("P7: it ended without the update, and the device has it"),
                // A device that went back may try once more by itself.
                Some(OutcomeClass::RolledBack) if world.fallbacks == self.setup.fallbacks => {
                    return Some("P7: it is said to have gone back, and did not");
                }
                _ => {}
            }
            let out = (0..count).filter(|one| self.setup.deployments[*one].0 == rollout && world.bytes[*one]);
            let shown = self.rollout_of(world, at);
            if shown.status == Status::Cancelled && shown.already_out != Some(out.count() as u32) {
                return Some("P3: `already_out` is not what devices have");
            }
            if let State::Offered { action, .. } = &deployment.state
                && self.setup.losses == 0
                && self.setup.compare_and_set
                && world.slots[component_at].action < action.0
            {
                return Some("P8: offered, and the slot never had it");
            }
        }
        None
    }

    fn finished(&mut self, world: &World) -> bool {
        let idle = world.workers.iter().all(|worker| *worker == Worker::Idle);
        idle && (0..self.setup.deployments.len()).all(|at| {
            let slot = world.slots[self.setup.deployments[at].1];
            let ended = self.deployment(world, at).state.is_done() && self.rollout_of(world, at).status.is_end();
            let still_offered = slot.offer && usize::from(slot.of) == at + 1;
            ended && !still_offered && self.wanted(world, at).is_none()
        })
    }
}

pub(crate) const ONE: SlotSetup = SlotSetup {
    deployments: &[(0, 0)],
    compare_and_set: true,
    ordered: true,
    workers: 2,
    losses: 0,
    crashes: 0,
    cancels: 1,
    failing: 0,
    fallbacks: 1,
    acknowledges_late: false,
    deadlines: false,
    attempts: 1,
    without: None,
};
