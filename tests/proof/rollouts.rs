//! The small world of a rollout in two lanes: two controllers that read one record at a time, may be delayed, and act
//! on outdated reads; devices that succeed or fail; an operator who cancels, or pauses and resumes.
//!
//! Every step of a rollout, a lane and a deployment is the production one. Times do not matter: a deadline may have
//! passed at any moment.

use super::breadth::{Edge, Model, Pool};
use super::machines::{Map, NOW};
use fhir_devices::manifest::ReleaseId;
use fhir_devices::store::Sha256;
use fhir_devices::update::deployment::{
    self, Context, Deployment, DeviceOffers, Input, Retraction, Runs, SlotVersion, State, Step, Target,
};
use fhir_devices::update::rollout::{
    self, Epoch, Fold, Lane, LaneHead, LaneInput, LaneStatus, Planned, RegionPolicy, Retry, Rollout, RolloutEffect,
    RolloutId, RolloutInput, RolloutRequest, RolloutStep, Share, Spec, Status, StopCriterion, Wave,
};
use std::collections::BTreeSet;
use time::OffsetDateTime;

const LANES: usize = 2;
const MOST: usize = 4;

/// A rule to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// The lane is checked in the commit of the claim.
    ClaimInLane,
    /// The lane is checked in the commit of the offer.
    OfferInLane,
    /// A criterion trips in the report's commit, and not at a later check.
    TripInCommit,
    /// Shares are moved in one commit.
    SharesInOneCommit,
    /// A lane accepts an order with the epoch that it was given with.
    FrozenEpoch,
    /// `Halted` and `Cancelled` follow from all lanes.
    EveryLane,
    /// A draining lane takes no new deployment.
    NothingPlannedLate,
    /// An ended deployment stays ended.
    EndsStay,
    /// Unneeded shares are moved to lanes that need them.
    SharesMove,
}

impl Rule {
    pub(crate) const ALL: [Self; 9] = [
        Self::ClaimInLane,
        Self::OfferInLane,
        Self::TripInCommit,
        Self::SharesInOneCommit,
        Self::FrozenEpoch,
        Self::EveryLane,
        Self::NothingPlannedLate,
        Self::EndsStay,
        Self::SharesMove,
    ];
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// The number of components of each lane.
    pub(crate) components: [usize; LANES],
    pub(crate) regions: bool,
    pub(crate) cap: u32,
    /// The number of the failure that stops it.
    pub(crate) limit: u16,
    /// The number of failing devices.
    pub(crate) failing: u8,
    pub(crate) attempts: u16,
    pub(crate) controllers: usize,
    pub(crate) cancels: u8,
    pub(crate) pauses: u8,
    /// Whether components are planned while it runs.
    pub(crate) plans: bool,
    pub(crate) without: Option<Rule>,
}

/// The next action of a controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Controller {
    #[default]
    Idle,
    /// Has read the rollout, which orders the lanes to do something.
    Orders { rollout: u16 },
    /// Reads one lane after the other.
    Folds { heads: [u16; LANES], read: u8 },
    /// Has read two lanes, and is about to move a share.
    Moves { from: u8, to: u8, share: u8 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    rollout: u16,
    lanes: [u16; LANES],
    /// The deployments, counted from 1; 0 is none yet.
    deployments: [u16; MOST],
    /// The devices with bytes.
    bytes: [bool; MOST],
    controllers: [Controller; 2],
    /// A lane that was read earlier, for granting bytes or making an offer.
    stale: Option<u16>,
    failing: u8,
    cancels: u8,
    pauses: u8,
}

/// The numbers of a deployment and a lane after an answer, and whether the device gets the bytes.
type Answer = (u16, u16, bool);

pub(crate) struct Lanes {
    setup: Setup,
    spec: Spec,
    targets: Vec<(usize, Target)>,
    rollouts: Pool<Rollout>,
    heads: Pool<LaneHead>,
    deployments: Pool<Deployment>,
    /// The known answers to a deployment, its lane, and the number of the input.
    answers: Map<(u16, u16, u16), Option<Answer>>,
    inputs: Pool<Input>,
}

fn actor() -> fhir_devices::manifest::ActorId {
    "biomed".parse().unwrap()
}

fn why() -> fhir_devices::manifest::Note {
    "a test".parse().unwrap()
}

/// Returns the deployment without its times, which do not matter here.
pub(crate) fn timeless(mut deployment: Deployment) -> Deployment {
    match &mut deployment.state {
        State::Planned { not_before, give_up_at, .. } => (*not_before, *give_up_at) = (NOW, None),
        State::Retracting { until, why: Retraction::Retry { not_before }, .. } => (*until, *not_before) = (NOW, NOW),
        State::Offering { until, .. }
        | State::Offered { until, .. }
        | State::Claimed { until, .. }
        | State::Retracting { until, .. } => *until = NOW,
        _ => {}
    }
    deployment
}

pub(crate) fn lane_without_times(lane: LaneHead) -> LaneHead {
    LaneHead { last: OffsetDateTime::UNIX_EPOCH, counted_at: OffsetDateTime::UNIX_EPOCH, ..lane }
}

impl Lanes {
    pub(crate) fn new(setup: Setup) -> Self {
        let stop = vec![StopCriterion::failures((setup.limit - 1) * 10, 100)];
        let names = if setup.regions { &["eu", "us"][..] } else { &["eu"][..] };
        let lanes = (LANES / names.len()) as u16;
        let spec = Spec::new(
            RolloutRequest::new(ReleaseId(1), names[0].parse().unwrap())
                .with_stop(stop)
                .with_regions(names.iter().map(|name| (name.parse().unwrap(), RegionPolicy::default())).collect())
                .with_lanes(lanes.try_into().unwrap())
                .with_cap(setup.cap)
                .with_retry(
                    Retry::default().with_max_attempts(setup.attempts.try_into().unwrap()).with_first_seconds(0),
                ),
        )
        .unwrap();
        let mut targets = Vec::new();
        for lane in 0..LANES {
            let region = spec.region_of(Lane(lane as u16)).unwrap().clone();
            let ours = (0_u32..)
                .map(|n| format!("c{n}"))
                .filter(|name| spec.lane_of(RolloutId(7), &region, &name.parse().unwrap()) == Some(Lane(lane as u16)));
            for component in ours.take(setup.components[lane]) {
                let (device, component) = (component.parse().unwrap(), component.parse().unwrap());
                targets.push((lane, Target { device, component, region: region.clone() }));
            }
        }
        Self {
            setup,
            spec,
            targets,
            rollouts: Pool::new(),
            heads: Pool::new(),
            deployments: Pool::new(),
            answers: Map::default(),
            inputs: Pool::new(),
        }
    }

    fn is_out(&self, rule: Rule) -> bool {
        self.setup.without == Some(rule)
    }

    fn rollout(&self, world: &World) -> &Rollout {
        self.rollouts.get(world.rollout)
    }

    fn deployment(&self, world: &World, at: usize) -> Option<&Deployment> {
        Some(self.deployments.get(world.deployments[at].checked_sub(1)?))
    }

    fn plan(&mut self, world: &mut World, at: usize) {
        let (lane, target) = self.targets[at].clone();
        let mut head = *self.heads.get(world.lanes[lane]);
        if self.is_out(Rule::NothingPlannedLate) && head.is_draining() {
            head.status = LaneStatus::Stopped;
        }
        let tenant = "st-mary".parse().unwrap();
        let Ok(planned) = deployment::plan(&tenant, &self.spec, &head, target, NOW) else { return };
        let status = self.heads.get(world.lanes[lane]).status;
        world.deployments[at] = self.deployments.number(timeless(planned.deployment)) + 1;
        world.lanes[lane] = self.heads.number(lane_without_times(LaneHead { status, ..planned.lane }));
    }

    /// Sends an input to a deployment, with its lane or one read earlier. `Some` where the world changes, with whether
    /// the device gets the bytes.
    fn tell(&mut self, world: &World, at: usize, input: &Input, by: Option<u16>) -> Option<(World, bool)> {
        let (number, lane) = (world.deployments[at].checked_sub(1)?, world.lanes[self.targets[at].0]);
        let seen = by.unwrap_or(lane);
        let said = self.inputs.number(input.clone());
        let key = (number, seen, said);
        let answer = match self.answers.get(&key) {
            Some(answer) => *answer,
            None => {
                let (deployment, mut head) = (self.deployments.get(number).clone(), *self.heads.get(seen));
                let shares = head.allowances;
                if self.is_out(Rule::TripInCommit) {
                    head.allowances.iter_mut().for_each(|one| one.share = u32::MAX);
                }
                let offers = DeviceOffers::default();
                let context = Context { spec: &self.spec, lane: &head, offers: &offers };
                let answer = match deployment::step(&deployment, context, input, NOW) {
                    Ok(Step::Transition(to)) => {
                        let mut lane = to.lane;
                        lane.allowances.iter_mut().zip(shares).for_each(|(one, share)| one.share = share.share);
                        let lane = self.heads.number(lane_without_times(lane));
                        Some((self.deployments.number(timeless(to.deployment)), lane, to.grants))
                    }
                    Ok(Step::Granted) => Some((number, lane, true)),
                    Ok(Step::Unchanged) | Err(_) => None,
                };
                self.answers.insert(key, answer);
                answer
            }
        };
        let (deployment, head, grants) = answer?;
        let mut to = world.clone();
        to.deployments[at] = deployment + 1;
        // What was decided by an earlier reading is counted where the lane is now.
        let (was, is) = (*self.heads.get(lane), *self.heads.get(head));
        let head = if by.is_some_and(|by| by != lane) {
            let kept = LaneHead { status: was.status, epoch: was.epoch, wave: was.wave, ..is };
            self.heads.number(kept)
        } else {
            head
        };
        to.lanes[self.targets[at].0] = head;
        to.bytes[at] |= grants;
        Some((to, grants))
    }

    fn roll(&mut self, world: &World, input: &RolloutInput) -> Option<World> {
        let rollout = self.rollout(world).clone();
        match rollout::step(&rollout, &self.spec, input, NOW) {
            Ok(RolloutStep::Transition(to)) => {
                Some(World { rollout: self.rollouts.number(to.rollout), ..world.clone() })
            }
            _ => None,
        }
    }

    fn fold(&self, heads: [u16; LANES]) -> Fold {
        Fold::of(&self.spec, RolloutId(7), heads.iter().map(|head| self.heads.get(*head))).unwrap()
    }

    /// Returns whether the rollout shows that no device may get bytes any more.
    fn is_shown_stopped(&self, world: &World) -> bool {
        matches!(self.rollout(world).status, Status::Halted | Status::Cancelled | Status::Paused)
    }

    fn devices(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        for at in 0..self.targets.len() {
            let Some(deployment) = self.deployment(world, at).cloned() else {
                if self.setup.plans {
                    let mut to = world.clone();
                    self.plan(&mut to, at);
                    out.push(Edge { what: format!("component {at} is planned"), to, fair: true, wrong: None });
                }
                continue;
            };
            let lane = self.targets[at].0;
            let epoch = self.heads.get(world.lanes[lane]).epoch;
            let (attempt, action) = (deployment.state.attempt(), deployment.state.action());
            let report = |runs, restarted| Input::VersionReported {
                number: None,
                report: Sha256::of(b"{}"),
                authenticated: true,
                runs,
                restarted,
                confirmed: true,
            };
            let offer = Input::OfferRequested { epoch, line: Vec::new(), one_per_device: false, admitted: true };
            let claim = Input::ClaimRequested { attempt, closed: BTreeSet::new(), expired: false };
            let mut said = vec![("is offered the update", offer.clone()), ("asks for the bytes", claim.clone())];
            if let Some(action) = action {
                let version = SlotVersion::new("1");
                let offering = matches!(deployment.state, State::Offering { .. });
                said.push(("has its slot written", Input::SlotWritten { action, offer: offering, version }));
            }
            if world.bytes[at] {
                said.push(("runs the update", report(Runs::Target, true)));
            }
            said.push(("is told to stop", Input::StopRequested));
            for (what, input) in said {
                let Some((to, grants)) = self.tell(world, at, &input, None) else { continue };
                let wrong =
                    (grants && self.is_shown_stopped(world)).then_some("P3: a device gets bytes after the stop");
                out.push(Edge { what: format!("device {at} {what}"), to, fair: true, wrong });
            }
            if world.failing > 0 && world.bytes[at] {
                let input = Input::FailureReported { attempt, transient: true, code: "no-space".parse().unwrap() };
                if let Some((mut to, _)) = self.tell(world, at, &input, None) {
                    to.failing -= 1;
                    out.push(Edge { what: format!("device {at} fails"), to, fair: false, wrong: None });
                }
            }
            if self.is_out(Rule::EndsStay) && deployment.state.is_done() && world.bytes[at] {
                let mut again = deployment.clone();
                let until = NOW;
                let phase = deployment::Phase::Claimed;
                let (epoch, stop) = (Epoch(1), deployment::StopRequest::None);
                let action = action.unwrap_or_default();
                again.state = State::Claimed { attempt, epoch, action, phase, until, stop };
                let mut to = world.clone();
                to.deployments[at] = self.deployments.number(again) + 1;
                out.push(Edge { what: format!("device {at} speaks late"), to, fair: false, wrong: None });
            }
            // The lane was read before, and the commit does not ask whether it still is so.
            for (rule, input) in [(Rule::ClaimInLane, &claim), (Rule::OfferInLane, &offer)] {
                let Some(seen) = world.stale.filter(|_| self.is_out(rule)) else { continue };
                if self.heads.get(seen).lane != Lane(lane as u16) {
                    continue;
                }
                let input = match input {
                    Input::OfferRequested { line, .. } => Input::OfferRequested {
                        epoch: self.heads.get(seen).epoch,
                        line: line.clone(),
                        one_per_device: false,
                        admitted: true,
                    },
                    other => other.clone(),
                };
                let now = *self.heads.get(world.lanes[lane]);
                let was = *self.heads.get(seen);
                let mixed = LaneHead { status: was.status, epoch: was.epoch, ..now };
                let mixed = self.heads.number(mixed);
                if let Some((to, grants)) = self.tell(world, at, &input, Some(mixed)) {
                    let stopped = self.is_shown_stopped(world);
                    let offered = stopped && matches!(rule, Rule::OfferInLane);
                    let wrong = (grants && stopped).then_some("P3: a device gets bytes after the stop");
                    let wrong = wrong.or(offered.then_some("P3: a device is offered the update after the stop"));
                    out.push(Edge { what: format!("device {at} by a lane read before"), to, fair: false, wrong });
                }
            }
        }
    }

    fn controllers(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        for at in 0..self.setup.controllers {
            let mut push = |what: String, mut to: World, then: Controller| {
                to.controllers[at] = then;
                out.push(Edge { what: format!("controller {at} {what}"), to, fair: true, wrong: None });
            };
            match world.controllers[at] {
                Controller::Idle => {
                    if rollout::resume(self.rollout(world)).is_some() {
                        push("reads the rollout".into(), world.clone(), Controller::Orders { rollout: world.rollout });
                        let mut heads = [0; LANES];
                        heads[0] = world.lanes[0];
                        push("reads lane 0".into(), world.clone(), Controller::Folds { heads, read: 1 });
                    }
                    for (from, to) in [(0_u8, 1_u8), (1, 0)] {
                        let [one, other] = [from, to].map(|lane| *self.heads.get(world.lanes[usize::from(lane)]));
                        let idle = one.counts.open() == 0 && !one.allowances[0].is_used_up();
                        let wants = other.counts.open() > 0 && other.allowances[0].is_used_up();
                        if idle && wants && !self.is_out(Rule::SharesMove) {
                            let share = one.allowances[0].share as u8;
                            push("reads two lanes".into(), world.clone(), Controller::Moves { from, to, share });
                        }
                    }
                }
                Controller::Orders { rollout } => {
                    for lane in 0..LANES {
                        let seen = self.rollouts.get(rollout).clone();
                        let epoch = if self.is_out(Rule::FrozenEpoch) { self.rollout(world).epoch } else { seen.epoch };
                        let order = match rollout::resume(&seen) {
                            Some(RolloutEffect::OpenLanes { wave, .. }) => LaneInput::Opened { epoch, wave },
                            Some(RolloutEffect::StopLanes { .. }) => LaneInput::Stopped { epoch },
                            Some(RolloutEffect::DrainLanes { superseded, .. }) => {
                                LaneInput::Drained { epoch, superseded }
                            }
                            _ => continue,
                        };
                        if let Ok(Some(to)) = self.heads.get(world.lanes[lane]).step(&order, NOW) {
                            let mut world = world.clone();
                            world.stale = Some(world.lanes[lane])
                                .filter(|_| self.is_out(Rule::ClaimInLane) || self.is_out(Rule::OfferInLane));
                            world.lanes[lane] = self.heads.number(lane_without_times(to.lane));
                            push(format!("orders lane {lane}"), world, Controller::Orders { rollout });
                        }
                    }
                    push("is done".into(), world.clone(), Controller::Idle);
                }
                Controller::Folds { mut heads, read } if usize::from(read) < LANES => {
                    heads[usize::from(read)] = world.lanes[usize::from(read)];
                    push(format!("reads lane {read}"), world.clone(), Controller::Folds { heads, read: read + 1 });
                    if self.is_out(Rule::EveryLane) {
                        // It takes the first lane for all.
                        let first = *self.heads.get(heads[0]);
                        heads[1] = self.heads.number(LaneHead { lane: Lane(1), ..first });
                        push("does not read lane 1".into(), world.clone(), Controller::Folds { heads, read: read + 1 });
                    }
                }
                Controller::Folds { heads, .. } => {
                    let input = RolloutInput::LanesFolded { fold: self.fold(heads) };
                    let to = self.roll(world, &input).unwrap_or_else(|| world.clone());
                    push("takes the lanes together".into(), to, Controller::Idle);
                }
                Controller::Moves { from, to, share } => {
                    let (from, to) = (usize::from(from), usize::from(to));
                    let [one, other] = [from, to].map(|lane| *self.heads.get(world.lanes[lane]));
                    let mut next = world.clone();
                    if self.is_out(Rule::SharesInOneCommit) {
                        let (mut one, mut other) = (one, other);
                        one.allowances[0].share = u32::from(share) - 1;
                        other.allowances[0].share += 1;
                        (next.lanes[from], next.lanes[to]) = (self.heads.number(one), self.heads.number(other));
                    } else if let Ok([gave, took]) = one.move_shares(&other, &self.spec, Share::Failures(0), 1, NOW) {
                        next.lanes[from] = self.heads.number(lane_without_times(gave.lane));
                        next.lanes[to] = self.heads.number(lane_without_times(took.lane));
                    }
                    push(format!("moves a share from lane {from}"), next, Controller::Idle);
                }
            }
        }
    }

    fn people(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        let mut push = |what: &str, to: Option<World>, spend: fn(&mut World)| {
            if let Some(mut to) = to {
                spend(&mut to);
                out.push(Edge { what: what.to_owned(), to, fair: false, wrong: None });
            }
        };
        if world.cancels > 0 {
            let cancel = RolloutInput::CancelRequested { by: actor(), why: why() };
            push("somebody cancels", self.roll(world, &cancel), |world| world.cancels -= 1);
        }
        if world.pauses > 0 {
            let pause = RolloutInput::PauseRequested { by: actor(), why: why() };
            push("somebody pauses", self.roll(world, &pause), |world| world.pauses -= 1);
        }
        if self.rollout(world).status == Status::Paused {
            let resume = RolloutInput::ResumeRequested { by: actor(), why: why(), fold: self.fold(world.lanes) };
            if let Some(to) = self.roll(world, &resume) {
                out.push(Edge { what: "somebody resumes".to_owned(), to, fair: true, wrong: None });
            }
        }
    }
}

impl Model for Lanes {
    type World = World;

    fn start(&mut self) -> World {
        let (mut rollout, _) = Rollout::draft(RolloutId(7), actor(), &self.spec, NOW);
        rollout.planned = Planned { done: !self.setup.plans, ..Planned::default() };
        (rollout.status, rollout.epoch) = (Status::Running, Epoch(1));
        let mut world = World {
            failing: self.setup.failing,
            cancels: self.setup.cancels,
            pauses: self.setup.pauses,
            ..World::default()
        };
        world.rollout = self.rollouts.number(rollout);
        for lane in 0..LANES {
            let head = LaneHead::new(&self.spec, RolloutId(7), Lane(lane as u16)).unwrap();
            let opened = head.step(&LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, NOW).unwrap().unwrap().lane;
            world.lanes[lane] = self.heads.number(lane_without_times(opened));
        }
        if !self.setup.plans {
            (0..self.targets.len()).for_each(|at| self.plan(&mut world, at));
        }
        world
    }

    fn next(&mut self, world: &World, out: &mut Vec<Edge<World>>) {
        self.devices(world, out);
        self.controllers(world, out);
        self.people(world, out);
        for edge in out.iter_mut() {
            for at in 0..self.targets.len() {
                let [was, is] = [world, &edge.to].map(|world| {
                    self.deployment(world, at).and_then(|one| one.state.outcome().map(deployment::Outcome::class))
                });
                if was.is_some() && was != is {
                    edge.wrong = edge.wrong.or(Some("B4: an end changed"));
                }
            }
        }
    }

    fn wrong(&mut self, world: &World) -> Option<&'static str> {
        let heads = world.lanes.map(|head| *self.heads.get(head));
        let sum = |of: fn(&LaneHead) -> u32| heads.iter().map(of).sum::<u32>();
        let (limit, cap) = (u32::from(self.setup.limit), self.setup.cap);
        if sum(|lane| lane.counts.in_flight()) > cap {
            return Some("P5: more devices at work than the cap");
        }
        if sum(|lane| lane.allowances[0].share) > limit {
            return Some("P6: more shares than the limit");
        }
        if sum(|lane| lane.allowances[0].failures) > limit + cap - 1 {
            return Some("P6: more failures than limit + cap - 1");
        }
        let rollout = self.rollout(world);
        let out = (0..self.targets.len()).filter(|at| world.bytes[*at]).count() as u32;
        if self.is_shown_stopped(world) && rollout.already_out != Some(out) {
            return Some("P3: `already_out` is not what devices have");
        }
        let open = sum(|lane| lane.counts.not_out());
        if rollout.status == Status::Cancelled && open > 0 {
            return Some("P4: something is left to offer after `Cancelled`");
        }
        let stopped = heads.iter().all(|lane| lane.status != LaneStatus::Open);
        if self.is_shown_stopped(world) && !stopped {
            return Some("P4: a lane goes on after the stop");
        }
        // B9: what is counted is what a recount gives.
        for (at, head) in heads.iter().enumerate() {
            let ours = (0..self.targets.len()).filter(|one| self.targets[*one].0 == at);
            let ours: Vec<_> = ours.filter_map(|one| self.deployment(world, one)).collect();
            let flying = ours.iter().filter(|one| one.state.is_in_flight()).count() as u32;
            let granted = ours.iter().filter(|one| one.granted).count() as u32;
            if (flying, granted) != (head.counts.in_flight(), head.granted) {
                return Some("B9: the lane counts wrongly");
            }
        }
        None
    }

    fn finished(&mut self, world: &World) -> bool {
        let idle = world.controllers.iter().all(|one| *one == Controller::Idle);
        let rollout = self.rollout(world);
        let planning = self.setup.plans && rollout.status == Status::Running;
        let planned = (0..self.targets.len()).all(|at| world.deployments[at] > 0);
        let done = (0..self.targets.len()).all(|at| self.deployment(world, at).is_none_or(|one| one.state.is_done()));
        idle && (rollout.status.is_end() || rollout.status == Status::Halted || (planning && planned && done))
    }
}

pub(crate) const TWO_EACH: Setup = Setup {
    components: [2, 2],
    regions: false,
    cap: 2,
    limit: 2,
    failing: 4,
    attempts: 1,
    controllers: 1,
    cancels: 0,
    pauses: 0,
    plans: false,
    without: None,
};
