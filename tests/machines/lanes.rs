//! The shares of lanes, for any number of lanes: a build that fails everywhere stops within the limit and the cap.

use super::NOW;
use fhir_devices::manifest::ReleaseId;
use fhir_devices::update::deployment::{self, Context, Deployment, DeviceOffers, Input, OutcomeClass, Step, Target};
use fhir_devices::update::rollout::{
    Epoch, Lane, LaneHead, LaneInput, RolloutId, RolloutRequest, Share, Spec, StopCriterion, Wave,
};
use std::num::NonZeroU16;

const ROLLOUT: RolloutId = RolloutId(7);
const LIMIT: u32 = 301;

struct Lanes {
    spec: Spec,
    heads: Vec<LaneHead>,
    planned: Vec<Vec<Deployment>>,
}

/// Creates open lanes with this many components in total.
fn open_lanes(lanes: u16, components: usize) -> Lanes {
    let stop = StopCriterion::new([OutcomeClass::Failed], 100, 3_000);
    assert_eq!(stop.limit(0), LIMIT);
    let request = RolloutRequest::new(ReleaseId(1), "eu".parse().unwrap())
        .with_lanes(NonZeroU16::new(lanes).unwrap())
        .with_cap(u32::from(lanes) + 40)
        .with_stop(vec![stop]);
    let spec = Spec::new(request).unwrap();
    let mut heads: Vec<_> = (0..lanes).map(|lane| LaneHead::new(&spec, ROLLOUT, Lane(lane)).unwrap()).collect();
    let mut planned = vec![Vec::new(); lanes.into()];
    let region = "eu".parse().unwrap();
    for number in 0..components {
        let component = format!("pump-{number}").parse().unwrap();
        let lane = usize::from(spec.lane_of(ROLLOUT, &region, &component).unwrap().0);
        let target = Target { device: component.clone(), component, region: region.clone() };
        let to = deployment::plan(&"st-mary".parse().unwrap(), &spec, &heads[lane], target, NOW).unwrap();
        heads[lane] = to.lane;
        planned[lane].push(to.deployment);
    }
    for head in &mut heads {
        let opened = LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) };
        *head = head.step(&opened, NOW).unwrap().unwrap().lane;
    }
    Lanes { spec, heads, planned }
}

impl Lanes {
    fn step(&mut self, lane: usize, one: &Deployment, input: &Input) -> Option<Deployment> {
        let offers = DeviceOffers::default();
        let context = Context { spec: &self.spec, lane: &self.heads[lane], offers: &offers };
        match deployment::step(one, context, input, NOW) {
            Ok(Step::Transition(to)) => {
                self.heads[lane] = to.lane;
                Some(to.deployment)
            }
            _ => None,
        }
    }

    /// Offers as much as every lane may, and lets all of it fail; returns whether any did.
    fn offer_and_fail(&mut self) -> bool {
        let mut under_way = Vec::new();
        for lane in 0..self.heads.len() {
            let offer =
                Input::OfferRequested { epoch: Epoch(1), line: Vec::new(), one_per_device: false, admitted: true };
            while let Some(one) = self.planned[lane].pop() {
                match self.step(lane, &one, &offer) {
                    Some(offering) => under_way.push((lane, offering)),
                    None => {
                        self.planned[lane].push(one);
                        break;
                    }
                }
            }
        }
        let in_flight: u32 = self.heads.iter().map(|head| head.counts.in_flight()).sum();
        assert!(in_flight <= self.spec.cap);
        let some = !under_way.is_empty();
        for (lane, one) in under_way {
            let code = "no-space".parse().unwrap();
            let failed = Input::FailureReported { attempt: one.state.attempt(), transient: false, code };
            self.step(lane, &one, &failed).unwrap();
        }
        some
    }

    /// Moves failures to every lane that has none left, from any lane that can spare one.
    fn share(&mut self) -> bool {
        let mut moved = false;
        for to in 0..self.heads.len() {
            if self.planned[to].is_empty() || !self.heads[to].is_tripped(&self.spec) {
                continue;
            }
            for from in 0..self.heads.len() {
                let shares = self.heads[from].move_shares(&self.heads[to], &self.spec, Share::Failures(0), 1, NOW);
                if let Ok([gives, takes]) = shares {
                    (self.heads[from], self.heads[to]) = (gives.lane, takes.lane);
                    moved = true;
                    break;
                }
            }
        }
        moved
    }
}

#[test]
fn failures_stay_below_limit_and_cap_for_1_to_1024_lanes() {
    for lanes in [1, 2, 3, 16, 100, 512, 1_024] {
        let mut world = open_lanes(lanes, 3_000);
        while world.offer_and_fail() || world.share() {}
        let failures: u32 = world.heads.iter().map(|head| head.allowances[0].failures).sum();
        let shares: u32 = world.heads.iter().map(|head| head.allowances[0].share).sum();
        assert_eq!(shares, LIMIT, "{lanes} lanes");
        assert!(failures >= LIMIT && failures < LIMIT + world.spec.cap, "{failures} failures in {lanes} lanes");
    }
}
