//! Rollouts, their lanes and their deployments: every input in every state, the counts and shares, and the records.

use super::{Duration, NOW, OffsetDateTime};
use fhir_devices::manifest::{ActorId, ReleaseId};
use fhir_devices::primitive::Id;
use fhir_devices::store::{Sha256, Tenant};
use fhir_devices::update::deployment::{
    self, Context, Deployment, DeviceOffers, Evidence, Found, Input, Outcome, OutcomeClass, Phase, PutRefusal, Refusal,
    Retraction, Runs, SlotVersion, State, StateName, Step, StopRequest, Target,
};
use fhir_devices::update::rollout::{self, *};
use proptest::prelude::*;
use std::collections::BTreeSet;

const ROLLOUT: RolloutId = RolloutId(7);

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn by(name: &str) -> ActorId {
    name.parse().unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn request() -> RolloutRequest {
    RolloutRequest::new(ReleaseId(1), region("eu"))
}

fn spec(request: RolloutRequest) -> Spec {
    Spec::new(request).unwrap()
}

fn gated() -> Spec {
    spec(request().with_gates([Gate::ClinicalUse].into()).with_cap(2))
}

fn target(component: &str, region: &str) -> Target {
    Target { device: "pump".parse().unwrap(), component: component.parse().unwrap(), region: region.parse().unwrap() }
}

fn lane_in(spec: &Spec, status: LaneStatus) -> LaneHead {
    LaneHead { status, epoch: Epoch(3), last: NOW, ..LaneHead::new(spec, ROLLOUT, Lane(0)).unwrap() }
}

fn planned(spec: &Spec) -> Deployment {
    let lane = LaneHead::new(spec, ROLLOUT, Lane(0)).unwrap();
    deployment::plan(&tenant(), spec, &lane, target("channel", "eu"), NOW).unwrap().deployment
}

fn deployment_in(spec: &Spec, state: State) -> Deployment {
    let mut deployment = planned(spec);
    deployment.state = state;
    deployment
}

fn states() -> Vec<State> {
    let (attempt, epoch, action) = (Attempt(2), Epoch(3), ActionNumber(5));
    let until = NOW + Duration::seconds(60);
    let code: FailureCode = "no-space".parse().unwrap();
    let report = Sha256::of(b"{}");
    let mut all = vec![
        State::Planned { attempt, not_before: NOW, give_up_at: None, action: None },
        State::Planned { attempt, not_before: until, give_up_at: Some(until), action: None },
        State::Held { attempt, gates: [Gate::ClinicalUse].into(), review_at: NOW, give_up_at: until, action: None },
        State::Offering { attempt, epoch, action, until },
        State::Offered { attempt, epoch, action, slot: SlotVersion::new("9"), until },
    ];
    for stop in StopRequest::ALL {
        for phase in Phase::ALL {
            all.push(State::Claimed { attempt, epoch, action, phase: *phase, until, stop: *stop });
        }
    }
    for why in [Retraction::Stopped, Retraction::Retry { not_before: until }] {
        all.push(State::Retracting { attempt, epoch, action, why, until });
    }
    let outcomes = [
        Outcome::Succeeded { proof: Evidence::VersionReport { report } },
        Outcome::Succeeded { proof: Evidence::DeviceSays },
        Outcome::AlreadyCurrent,
        Outcome::Failed { code: code.clone() },
        Outcome::RolledBack { report },
        Outcome::Rejected { code },
        Outcome::TimedOut,
        Outcome::Unproven { phase: Phase::Testing },
        Outcome::Withdrawn,
        Outcome::Cancelled,
        Outcome::Superseded,
        Outcome::Retired,
    ];
    for outcome in outcomes {
        for (action, clear) in [(None, false), (Some(action), false), (Some(action), true)] {
            all.push(State::Done { attempt, outcome: outcome.clone(), action, clear });
        }
    }
    // What the slot may still have is known until the end.
    let (gates, action) = ([Gate::ClinicalUse].into(), Some(action));
    all.push(State::Planned { attempt, not_before: NOW, give_up_at: None, action });
    all.push(State::Held { attempt, gates, review_at: NOW, give_up_at: until, action });
    all
}

fn inputs() -> Vec<Input> {
    let code = || "no-space".parse().unwrap();
    let gates = || [BTreeSet::new(), BTreeSet::from([Gate::ClinicalUse]), BTreeSet::from([Gate::Window])];
    let mut all = vec![Input::StopRequested, Input::DeadlineReached];
    all.extend([None, Some(by("biomed"))].map(|by| Input::DeviceRetired { by }));
    all.extend(gates().map(|closed| Input::Evaluated { closed }));
    for (epoch, admitted) in [(3, true), (3, false), (2, true)] {
        let line = vec!["mds".parse().unwrap()];
        all.push(Input::OfferRequested { epoch: Epoch(epoch), line, one_per_device: false, admitted });
    }
    for action in [4, 5, 6].map(ActionNumber) {
        for offer in [false, true] {
            all.push(Input::SlotWritten { action, offer, version: SlotVersion::new("9") });
        }
        all.extend(PutRefusal::ALL.iter().map(|why| Input::PutRefused { action, why: *why }));
        all.extend(Found::ALL.iter().map(|found| Input::SlotRead { action, found: *found }));
    }
    for attempt in [0, 1, 2, 3].map(Attempt) {
        for expired in [false, true] {
            all.extend(gates().map(|closed| Input::ClaimRequested { attempt, closed, expired }));
        }
        for number in [None, Some(1), Some(2)] {
            all.extend(Phase::ALL.iter().map(|phase| Input::PhaseReported { attempt, number, phase: *phase }));
        }
        all.extend([false, true].map(|transient| Input::FailureReported { attempt, transient, code: code() }));
        all.push(Input::RejectionReported { attempt, code: code() });
        all.extend([Input::DoneReported { attempt }, Input::StopAcknowledged { attempt }]);
    }
    for runs in [Runs::Target, Runs::Other] {
        for (authenticated, restarted, confirmed) in
            [(true, true, true), (true, false, true), (true, true, false), (false, true, true)]
        {
            let report = Sha256::of(b"{}");
            all.push(Input::VersionReported { number: None, report, authenticated, runs, restarted, confirmed });
        }
    }
    all
}

/// Returns a lane with one deployment in some state.
fn with_one(spec: &Spec, status: LaneStatus, state: &State) -> LaneHead {
    let lane = lane_in(spec, status);
    let mut counts = Counts::default();
    match state {
        State::Planned { .. } => counts.planned = 1,
        State::Held { .. } => counts.held = 1,
        State::Offering { .. } => counts.offering = 1,
        State::Offered { .. } => counts.offered = 1,
        State::Claimed { .. } => counts.claimed = 1,
        State::Retracting { .. } => counts.retracting = 1,
        _ => {}
    }
    let mut lane = LaneHead { counts, ..lane };
    lane.open[0] = u32::from(!state.is_done());
    if let Some(outcome) = state.outcome() {
        lane.tally.count(outcome.class());
        lane.allowances[0].failures = u32::from(spec.stop[0].has(outcome.class()));
    }
    lane
}

const TIMES: [Duration; 3] = [Duration::ZERO, Duration::seconds(60), Duration::days(-1)];

#[test]
fn deployment_answers_every_input_in_every_state() {
    let offers = DeviceOffers { last: ActionNumber(5), live: Vec::new(), reported: None };
    let (mut reached, mut refused, mut outcomes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for proof in Proof::ALL {
        let spec = spec(RolloutRequest::from(gated()).with_proof(*proof));
        for state in states() {
            for status in LaneStatus::ALL {
                let lane = with_one(&spec, *status, &state);
                let granted = matches!(state, State::Claimed { .. });
                let mut before = deployment_in(&spec, state.clone());
                (before.granted, before.last_report) = (granted, Some(1));
                for input in inputs() {
                    for later in TIMES {
                        let context = Context { spec: &spec, lane: &lane, offers: &offers };
                        let answer = deployment::step(&before, context, &input, NOW + later);
                        assert_eq!(answer, deployment::step(&before, context, &input, NOW + later));
                        match answer {
                            Ok(Step::Transition(to)) => {
                                let said = format!("{state:?} {status:?} {input:?}");
                                let after = &to.deployment;
                                assert_eq!(to.effect, deployment::resume(after), "{said}");
                                assert!(after.state != state || after.last_report != before.last_report, "{said}");
                                assert!(to.at >= lane.last && to.lane.last == to.at, "{said}");
                                assert_eq!(to.grants, matches!(input, Input::ClaimRequested { .. }), "{said}");
                                // What is counted is what a recount gives.
                                let recounted = with_one(&spec, *status, &after.state);
                                assert_eq!(
                                    (to.lane.counts, to.lane.open),
                                    (recounted.counts, recounted.open),
                                    "{said}"
                                );
                                assert_eq!(to.lane.tally, recounted.tally, "{said}");
                                // An end stays, bytes that were given are not taken from the count.
                                assert!(
                                    state.outcome().is_none() || state.outcome() == after.state.outcome(),
                                    "{said}"
                                );
                                assert!(after.granted >= before.granted, "{said}");
                                // Whoever waits for somebody has a deadline.
                                let waits = !matches!(after.state, State::Planned { .. } | State::Done { .. });
                                assert_eq!(after.state.deadline().is_some(), waits, "{said}");
                                // Attempts rise, phases of an attempt rise.
                                assert!(after.state.attempt() >= state.attempt(), "{said}");
                                if let (State::Claimed { phase, .. }, State::Claimed { phase: then, .. }) =
                                    (&state, &after.state)
                                {
                                    assert!(then >= phase, "{said}");
                                }
                                // The lock goes with the flight.
                                let leaves = state.is_in_flight() && !after.state.is_in_flight();
                                let enters = !state.is_in_flight() && after.state.is_in_flight();
                                assert_eq!(to.offers.is_some(), leaves || enters, "{said}");
                                if *status != LaneStatus::Open {
                                    assert!(!to.grants && !enters, "{said}");
                                }
                                reached.insert(after.state.name());
                                outcomes.extend(after.state.outcome().map(Outcome::class));
                                let event = to.event();
                                assert_eq!(event.after, After::Deployment(Box::new(after.clone())), "{said}");
                            }
                            Ok(Step::Granted) => assert_eq!(*status, LaneStatus::Open),
                            Ok(Step::Unchanged) => {}
                            Err(refusal) => {
                                refused.insert(format!("{refusal:?}"));
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(reached, StateName::ALL.iter().copied().collect());
    assert_eq!(outcomes, OutcomeClass::ALL.iter().copied().collect());
    for wanted in [
        "NotOpen",
        "NotDue",
        "AlreadyOffered",
        "NoSuchAttempt",
        "Gone",
        "GateClosed",
        "NotAuthenticated",
        "NotDraining",
    ] {
        assert!(refused.contains(wanted), "{wanted}: {refused:?}");
    }
}

#[test]
fn deployment_record_survives_writing_in_every_state() {
    for state in states() {
        let mut deployment = deployment_in(&gated(), state);
        (deployment.granted, deployment.last_report) = (true, Some(8));
        assert_eq!(Deployment::from_bytes(&deployment.to_bytes()), Ok(deployment));
    }
}

/// Records as written by the first version, one per line. Lines are added, and never changed.
#[test]
fn records_of_format_1_are_read_and_written_as_they_were() {
    let spec = gated();
    let mut lines = vec![
        String::from_utf8(spec.to_bytes()).unwrap(),
        String::from_utf8(lane_in(&spec, LaneStatus::Open).to_bytes()).unwrap(),
        String::from_utf8(Rollout::draft(ROLLOUT, by("biomed"), &spec, NOW).0.to_bytes()).unwrap(),
    ];
    for state in states() {
        let deployment = deployment_in(&spec, state);
        lines.push(String::from_utf8(deployment.to_bytes()).unwrap());
    }
    let written = lines.join("\n") + "\n";
    if std::env::var_os("FHIR_DEVICES_WRITE_FIXTURES").is_some() {
        std::fs::write("tests/machines/rollout-1.jsonl", &written).unwrap();
    }
    assert_eq!(include_str!("rollout-1.jsonl"), written);
    let mut read = include_str!("rollout-1.jsonl").lines();
    assert_eq!(Spec::from_bytes(read.next().unwrap().as_bytes()), Ok(spec.clone()));
    assert!(LaneHead::from_bytes(read.next().unwrap().as_bytes()).is_ok());
    assert!(Rollout::from_bytes(read.next().unwrap().as_bytes()).is_ok());
    for (line, state) in read.zip(states()) {
        assert_eq!(Deployment::from_bytes(line.as_bytes()).unwrap().state, state);
        assert!(Deployment::from_bytes(line.replace("\"format\":1", "\"format\":2").as_bytes()).is_err());
    }
}

#[test]
fn spec_refuses_what_cannot_be_carried_out() {
    let refused = |change: fn(&mut RolloutRequest)| {
        let mut request = request();
        change(&mut request);
        Spec::new(request).unwrap_err()
    };
    let wave = WaveSpec::new(500);
    assert_eq!(refused(|request| request.regions.clear()), InvalidSpec::NoRegion);
    assert_eq!(refused(|request| request.waves.clear()), InvalidSpec::Waves { found: 0 });
    assert_eq!(refused(|request| request.stop.clear()), InvalidSpec::Criteria { found: 0 });
    assert_eq!(refused(|request| request.lanes = 1_025.try_into().unwrap()), InvalidSpec::Lanes { found: 1_025 });
    let mut half = request();
    half.waves = vec![wave];
    assert_eq!(Spec::new(half).unwrap_err(), InvalidSpec::Shares { found: 500 });
    assert!(matches!(refused(|request| request.stop[0].over_permille = 1_000), InvalidSpec::NeverMet { .. }));
    let counts_success = refused(|request| request.stop[0].counts = [OutcomeClass::Succeeded].into());
    assert_eq!(counts_success, InvalidSpec::NoFailure { index: 0, class: OutcomeClass::Succeeded });
    assert!(matches!(refused(|request| request.cap = 0), InvalidSpec::Cap { found: 0, .. }));
    assert!(matches!(refused(|request| request.waves[0].min_success_permille = 1_001), InvalidSpec::Permille { .. }));
    // What is read is checked as well.
    let written = String::from_utf8(spec(request()).to_bytes()).unwrap();
    assert!(Spec::from_bytes(written.replace("\"cap\":1", "\"cap\":0").as_bytes()).is_err());
    assert!(Spec::from_bytes(written.replace("\"offer\":604800", "\"offer\":0").as_bytes()).is_err());
}

#[test]
fn waves_and_lanes_follow_from_the_component_alone() {
    let waves = [10, 90, 900].map(WaveSpec::new);
    let regions = ["eu", "us"].map(|name| (region(name), RegionPolicy::default()));
    let spec = spec(
        request()
            .with_waves(waves.to_vec())
            .with_regions(regions.into())
            .with_lanes(4.try_into().unwrap())
            .with_cap(100)
            .with_seed(5)
            .with_pins(["canary".parse().unwrap()].into()),
    );
    let components: Vec<Id> = (0..20_000).map(|n| format!("c{n}").parse().unwrap()).collect();
    let mut found = [0_u32; 3];
    let mut lanes = [0_u32; 8];
    for component in &components {
        found[usize::from(spec.wave_of(component).0)] += 1;
        lanes[usize::from(spec.lane_of(ROLLOUT, &region("us"), component).unwrap().0)] += 1;
    }
    for (found, permille) in found.into_iter().zip([10_u32, 90, 900]) {
        assert!(found.abs_diff(permille * 20) < 150, "{found:?}");
    }
    assert_eq!(lanes[..4], [0; 4]);
    assert!(lanes[4..].iter().all(|count| count.abs_diff(5_000) < 300), "{lanes:?}");
    assert_eq!(spec.wave_of(&"canary".parse().unwrap()), Wave(0));
    assert_eq!(spec.lane_of(ROLLOUT, &region("asia"), &components[0]), None);
    // The draws are part of the format: a component never changes its wave.
    assert_eq!(spec.wave_of(&"c0".parse().unwrap()), Wave(2));
    assert_eq!(spec.lane_of(ROLLOUT, &region("eu"), &"c0".parse().unwrap()), Some(Lane(0)));
}

#[test]
fn failure_shares_and_caps_make_the_whole() {
    for lanes in [1_u16, 2, 7, 64, 1_024] {
        let stop = vec![StopCriterion::new([OutcomeClass::Failed], 50, 100)];
        let spec = spec(request().with_stop(stop).with_lanes(lanes.try_into().unwrap()).with_cap(3_000));
        let heads: Vec<_> = (0..lanes).map(|lane| LaneHead::new(&spec, ROLLOUT, Lane(lane)).unwrap()).collect();
        assert_eq!(heads.iter().map(|head| head.allowances[0].share).sum::<u32>(), 6);
        assert_eq!(heads.iter().map(|head| head.cap_share).sum::<u32>(), 3_000);
        assert!(LaneHead::new(&spec, ROLLOUT, Lane(lanes)).is_none());
    }
}

#[test]
fn rate_limits_offers_and_lost_time_is_not_made_up() {
    let rate = Rate { per_minute: 6.try_into().unwrap(), burst: 2.try_into().unwrap() };
    let policy = RegionPolicy::default().with_rate(rate);
    let spec = spec(request().with_regions([(region("eu"), policy)].into()).with_cap(100));
    let mut lane =
        LaneHead { status: LaneStatus::Open, epoch: Epoch(3), ..LaneHead::new(&spec, ROLLOUT, Lane(0)).unwrap() };
    let offer = Input::OfferRequested { epoch: Epoch(3), line: Vec::new(), one_per_device: false, admitted: true };
    let mut offered = Vec::new();
    for second in 0..60_i64 {
        for n in 0..5 {
            let target = target(&format!("c{second}-{n}"), "eu");
            let one = deployment::plan(&tenant(), &spec, &lane, target, NOW + Duration::seconds(second)).unwrap();
            let offers = DeviceOffers::default();
            let context = Context { spec: &spec, lane: &one.lane, offers: &offers };
            match deployment::step(&one.deployment, context, &offer, NOW + Duration::seconds(second)) {
                Ok(Step::Transition(to)) => {
                    offered.push(second);
                    lane = to.lane;
                }
                other => assert_eq!(other, Err(Refusal::Full)),
            }
        }
    }
    assert_eq!(offered, [0, 0, 10, 20, 30, 40, 50]);
}

fn rollout_in(spec: &Spec, status: Status) -> Rollout {
    let planned = Planned { done: true, ..Planned::default() };
    Rollout { status, epoch: Epoch(3), planned, ..Rollout::draft(ROLLOUT, by("author"), spec, NOW).0 }
}

#[test]
fn rollout_answers_every_input_in_every_state() {
    let spec = spec(RolloutRequest::from(gated()).with_approvals(1));
    let why = || "loses alarms".parse().unwrap();
    let mut inputs = vec![RolloutInput::Submitted, RolloutInput::StartReached];
    for (from, next) in [(None, None), (None, Some("a")), (Some("a"), Some("b"))] {
        inputs.push(RolloutInput::PagePlanned { from: from.map(Into::into), next: next.map(Into::into), found: 2 });
    }
    for name in ["author", "biomed"] {
        inputs.push(RolloutInput::Approved { by: by(name), spec: spec.digest() });
        inputs.push(RolloutInput::Denied { by: by(name), why: why() });
        inputs.push(RolloutInput::PauseRequested { by: by(name), why: why() });
        inputs.push(RolloutInput::CancelRequested { by: by(name), why: why() });
    }
    inputs.push(RolloutInput::Approved { by: by("biomed"), spec: Sha256::of(b"other") });
    inputs.extend([7, 8].map(|id| RolloutInput::Superseded { by: RolloutId(id) }));
    for status in LaneStatus::ALL {
        for epoch in [2, 3, 4] {
            let lane = LaneHead { epoch: Epoch(epoch), ..lane_in(&spec, *status) };
            let fold = Fold::of(&spec, ROLLOUT, [&lane]).unwrap();
            inputs.push(RolloutInput::LanesFolded { fold });
            inputs.push(RolloutInput::ResumeRequested { by: by("biomed"), why: why(), fold });
        }
    }
    let mut failed = lane_in(&spec, LaneStatus::Open);
    failed.tally.count(OutcomeClass::Failed);
    failed.allowances[0].failures = 1;
    inputs.push(RolloutInput::LanesFolded { fold: Fold::of(&spec, ROLLOUT, [&failed]).unwrap() });
    let (mut reached, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for status in Status::ALL {
        for input in &inputs {
            let before = rollout_in(&spec, *status);
            let answer = rollout::step(&before, &spec, input, NOW);
            assert_eq!(answer, rollout::step(&before, &spec, input, NOW));
            match answer {
                Ok(RolloutStep::Transition(to)) => {
                    assert!(!status.is_end(), "{status:?} {input:?}");
                    assert_ne!(to.rollout, before, "{input:?}");
                    assert_eq!(to.effect, rollout::resume(&to.rollout));
                    assert!(to.rollout.epoch >= before.epoch && to.rollout.wave >= before.wave);
                    // An order to the lanes has a new epoch.
                    if to.effect != rollout::resume(&before) && to.effect.is_some() && before.status != Status::Drafted
                    {
                        let approved = before.status == Status::AwaitingApproval;
                        assert!(approved || to.rollout.epoch > before.epoch, "{status:?} {input:?}");
                    }
                    reached.insert(to.rollout.status);
                }
                Ok(RolloutStep::Unchanged) => {}
                Err(refusal) => {
                    refused.insert(refusal);
                }
            }
        }
    }
    assert_eq!(reached.len(), Status::ALL.len() - 1, "{reached:?}"); // nothing leads back to a draft
    for met_elsewhere in [RolloutRefusal::NotDue, RolloutRefusal::NotPlanned, RolloutRefusal::OtherPage] {
        assert!(!refused.contains(&met_elsewhere));
    }
    assert_eq!(refused.len(), 8, "{refused:?}");
}

#[test]
fn rollout_waits_for_its_plan_and_its_start() {
    let spec = spec(request().with_start(NOW));
    let ready = Rollout { planned: Planned::default(), ..rollout_in(&spec, Status::Ready) };
    let start = |rollout, at| rollout::step(rollout, &spec, &RolloutInput::StartReached, at);
    assert_eq!(start(&ready, NOW - Duration::SECOND), Err(RolloutRefusal::NotDue));
    assert_eq!(start(&ready, NOW), Err(RolloutRefusal::NotPlanned));
    let page = RolloutInput::PagePlanned { from: None, next: None, found: 3 };
    let Ok(RolloutStep::Transition(planned)) = rollout::step(&ready, &spec, &page, NOW) else { panic!() };
    assert_eq!(planned.rollout.planned.found, 3);
    assert_eq!(rollout::step(&planned.rollout, &spec, &page, NOW), Ok(RolloutStep::Unchanged));
    assert!(matches!(start(&planned.rollout, NOW), Ok(RolloutStep::Transition(_))));
}

#[test]
fn next_wave_waits_for_its_gate_and_its_soak() {
    let first = WaveSpec::new(0).with_min_done(2).with_min_success_permille(600).with_soak_seconds(60);
    let waves = vec![first, WaveSpec::new(1_000)];
    let spec = spec(request().with_waves(waves).with_stop(vec![StopCriterion::new([OutcomeClass::Failed], 900, 10)]));
    let mut rollout = rollout_in(&spec, Status::Running);
    let fold = |succeeded: u32, failed: u32, open: u32| {
        let mut lane = lane_in(&spec, LaneStatus::Open);
        (0..succeeded).for_each(|_| lane.tally.count(OutcomeClass::Succeeded));
        (0..failed).for_each(|_| lane.tally.count(OutcomeClass::Failed));
        lane.open[0] = open;
        lane.counts.claimed = open;
        lane.open[1] = 1;
        lane.counts.planned = 1;
        RolloutInput::LanesFolded { fold: Fold::of(&spec, ROLLOUT, [&lane]).unwrap() }
    };
    let step = |rollout: &Rollout, input: &RolloutInput, seconds| match rollout::step(
        rollout,
        &spec,
        input,
        NOW + Duration::seconds(seconds),
    )
    .unwrap()
    {
        RolloutStep::Transition(to) => to.rollout,
        RolloutStep::Unchanged => rollout.clone(),
    };
    assert_eq!(step(&rollout, &fold(1, 0, 2), 0), rollout, "too few");
    assert_eq!(step(&rollout, &fold(1, 1, 2), 0), rollout, "too few that succeeded");
    rollout = step(&rollout, &fold(2, 1, 2), 0);
    assert_eq!(rollout.soaking_since, Some(NOW));
    assert_eq!(step(&rollout, &fold(2, 1, 2), 59).wave, Wave(0));
    assert_eq!(step(&rollout, &fold(2, 2, 1), 59).soaking_since, None, "the gate closed again");
    assert_eq!(step(&rollout, &fold(2, 1, 2), 60).wave, Wave(1));
    // Where nothing is left that could meet it, somebody is asked.
    let stuck = step(&Rollout { soaking_since: None, ..rollout.clone() }, &fold(1, 1, 0), 0);
    assert_eq!((stuck.status, stuck.wave), (Status::Pausing, Wave(1)));
}

#[test]
fn halted_rollout_goes_on_only_when_others_approve_and_counts_anew() {
    let spec = spec(request().with_approvals(2));
    let mut lane = LaneHead { epoch: Epoch(3), ..lane_in(&spec, LaneStatus::Stopped) };
    lane.tally.count(OutcomeClass::Failed);
    lane.allowances[0].failures = 1;
    lane.counts.planned = 1;
    let fold = Fold::of(&spec, ROLLOUT, [&lane]).unwrap();
    let resume =
        |name| RolloutInput::ResumeRequested { by: by(name), why: "it was the network".parse().unwrap(), fold };
    let halted = rollout_in(&spec, Status::Halted);
    assert_eq!(rollout::step(&halted, &spec, &resume("author"), NOW), Err(RolloutRefusal::OwnApproval));
    let Ok(RolloutStep::Transition(one)) = rollout::step(&halted, &spec, &resume("a"), NOW) else { panic!() };
    assert_eq!(one.rollout.status, Status::Halted);
    let Ok(RolloutStep::Transition(two)) = rollout::step(&one.rollout, &spec, &resume("b"), NOW) else { panic!() };
    assert_eq!((two.rollout.status, two.rollout.epoch), (Status::Running, Epoch(4)));
    // The old failure does not stop it again, and the lane may have one more.
    let fold = RolloutInput::LanesFolded { fold };
    assert_eq!(rollout::step(&two.rollout, &spec, &fold, NOW), Ok(RolloutStep::Unchanged));
    let RolloutInput::LanesFolded { fold } = fold else { panic!() };
    let (more, lane) = two.rollout.allow_more(&spec, 0, &fold, &lane, NOW).unwrap();
    assert_eq!((more.rollout.allowed[0], lane.lane.allowances[0].share), (2, 2));
}

/// A small world with arbitrary events, over the machines alone.
struct World {
    spec: Spec,
    lanes: Vec<LaneHead>,
    deployments: Vec<(Deployment, DeviceOffers)>,
    now: OffsetDateTime,
}

impl World {
    fn new(lanes: u16, cap: u32, limit: u16, components: usize) -> Self {
        let stop = vec![StopCriterion::failures(limit, 100)];
        let lanes = lanes.try_into().unwrap();
        let retry = Retry::default().with_first_seconds(0).with_max_attempts(2.try_into().unwrap());
        let spec = spec(request().with_stop(stop).with_lanes(lanes).with_cap(cap).with_retry(retry));
        let mut heads: Vec<_> =
            (0..lanes.get()).map(|lane| LaneHead::new(&spec, ROLLOUT, Lane(lane)).unwrap()).collect();
        let mut deployments = Vec::new();
        for n in 0..components {
            let target = target(&format!("c{n}"), "eu");
            let lane = spec.lane_of(ROLLOUT, &target.region, &target.component).unwrap();
            let head = &mut heads[usize::from(lane.0)];
            let planned = deployment::plan(&tenant(), &spec, head, target, NOW).unwrap();
            *head = planned.lane;
            deployments.push((planned.deployment, DeviceOffers::default()));
        }
        for head in &mut heads {
            *head = head.step(&LaneInput::Opened { epoch: Epoch(1), wave: Wave(0) }, NOW).unwrap().unwrap().lane;
        }
        Self { spec, lanes: heads, deployments, now: NOW }
    }

    fn tell(&mut self, index: usize, input: &Input) {
        let (deployment, offers) = &self.deployments[index];
        let lane = usize::from(deployment.lane.0);
        let context = Context { spec: &self.spec, lane: &self.lanes[lane], offers };
        if let Ok(Step::Transition(to)) = deployment::step(deployment, context, input, self.now) {
            let offers = to.offers.unwrap_or_else(|| offers.clone());
            self.lanes[lane] = to.lane;
            self.deployments[index] = (to.deployment, offers);
        }
    }

    fn act(&mut self, act: u16, which: u16) {
        let index = usize::from(which) % self.deployments.len();
        let state = &self.deployments[index].0.state;
        let (attempt, action) = (state.attempt(), state.action().unwrap_or_default());
        let input = match act {
            0 | 1 => Input::OfferRequested { epoch: Epoch(1), line: Vec::new(), one_per_device: false, admitted: true },
            2 => Input::SlotWritten { action, offer: which.is_multiple_of(2), version: SlotVersion::new("1") },
            3 => Input::ClaimRequested { attempt, closed: BTreeSet::new(), expired: false },
            4 => Input::FailureReported { attempt, transient: which.is_multiple_of(3), code: "x".parse().unwrap() },
            5 => Input::PhaseReported { attempt, number: None, phase: Phase::Installing },
            6 => Input::VersionReported {
                number: None,
                report: Sha256::of(b""),
                authenticated: true,
                runs: if which.is_multiple_of(4) { Runs::Target } else { Runs::Other },
                restarted: true,
                confirmed: true,
            },
            7 => Input::DeadlineReached,
            8 => {
                self.now += Duration::days(i64::from(which % 9));
                return;
            }
            9 => Input::StopRequested,
            10 => Input::Evaluated { closed: [Gate::ClinicalUse].into() },
            11 => {
                let epoch = Epoch(2 + u64::from(which % 2));
                let lane = &mut self.lanes[usize::from(which / 2) % usize::from(self.spec.lane_count())];
                let order = match which % 3 {
                    0 => LaneInput::Stopped { epoch },
                    1 => LaneInput::Opened { epoch, wave: Wave(0) },
                    _ => LaneInput::RegionRested { until: self.now },
                };
                if let Ok(Some(to)) = lane.step(&order, self.now) {
                    *lane = to.lane;
                }
                return;
            }
            _ => {
                let (count, lanes) = (u32::from(which % 5), self.lanes.len());
                let (from, to) = (usize::from(which / 7) % lanes, usize::from(which / 3) % lanes);
                let share = if which.is_multiple_of(2) { Share::Cap } else { Share::Failures(0) };
                if let Ok([gave, took]) =
                    self.lanes[from].move_shares(&self.lanes[to], &self.spec, share, count, self.now)
                {
                    self.lanes[from] = gave.lane;
                    self.lanes[to] = took.lane;
                }
                return;
            }
        };
        self.tell(index, &input);
    }

    fn check(&self, limit: u32, cap: u32) {
        let sum = |of: fn(&LaneHead) -> u32| self.lanes.iter().map(of).sum::<u32>();
        assert_eq!(sum(|lane| lane.cap_share), cap, "the cap is conserved");
        assert_eq!(sum(|lane| lane.allowances[0].share), limit, "the shares of failures are conserved");
        assert!(sum(|lane| lane.counts.in_flight()) <= cap);
        for lane in &self.lanes {
            assert!(lane.counts.in_flight() <= lane.cap_share);
            let mut wanted = LaneHead { counts: Counts::default(), tally: Tally::default(), granted: 0, ..*lane };
            wanted.open = [0; MAX_WAVES];
            wanted.allowances[0].failures = 0;
            for (deployment, _) in self.deployments.iter().filter(|(one, _)| one.lane == lane.lane) {
                let one = with_one(&self.spec, lane.status, &deployment.state);
                for (sum, one) in [
                    (&mut wanted.counts.planned, one.counts.planned),
                    (&mut wanted.counts.held, one.counts.held),
                    (&mut wanted.counts.offering, one.counts.offering),
                    (&mut wanted.counts.offered, one.counts.offered),
                    (&mut wanted.counts.claimed, one.counts.claimed),
                    (&mut wanted.counts.retracting, one.counts.retracting),
                    (&mut wanted.open[0], one.open[0]),
                    (&mut wanted.granted, u32::from(deployment.granted)),
                    (&mut wanted.allowances[0].failures, one.allowances[0].failures),
                ] {
                    *sum += one;
                }
                if let Some(outcome) = deployment.state.outcome() {
                    wanted.tally.count(outcome.class());
                }
            }
            assert_eq!(*lane, wanted, "what is counted is what a recount gives");
        }
        let failures = sum(|lane| lane.allowances[0].failures);
        assert!(failures < limit + cap, "{failures} failures, limit {limit}, cap {cap}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn shares_are_conserved_and_failures_bounded_whatever_happens(
        lanes in 1_u16..6,
        more in 0_u32..6,
        permille in 0_u16..60,
        acts in prop::collection::vec((0_u16..13, any::<u16>()), 0..400),
    ) {
        let cap = u32::from(lanes) + more;
        let mut world = World::new(lanes, cap, permille, 24);
        let limit = u32::from(permille) / 10 + 1;
        for (act, which) in acts {
            world.act(act, which);
            world.check(limit, cap);
        }
    }
}
