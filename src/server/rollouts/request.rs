//! The JSON form of a rollout request.

use super::super::answer::{Problem, Result};
use super::duration;
use crate::manifest::ReleaseId;
use crate::primitive::{Id, Instant};
use crate::publish::RegionId;
use crate::support::read_object;
use crate::update::deployment::OutcomeClass;
use crate::update::rollout::{
    Gate, Proof, Rate, RegionPolicy, Retry, RolloutId, RolloutRequest, Scope, StopCriterion, Timeouts, WaveSpec,
};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};

/// A duration in whole seconds.
#[derive(Clone, Copy, Default)]
struct Seconds(u32);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = duration::read(&text).and_then(|found| u32::try_from(found.as_secs()).ok());
        let wrong = || format!("`{text}` is no duration such as `PT1H` or `P7D`, of weeks at most some thousand");
        read.map(Self).ok_or_else(|| serde::de::Error::custom(wrong()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wave {
    permille: u16,
    #[serde(default)]
    soak: Seconds,
    #[serde(default)]
    min_done: u32,
    #[serde(default)]
    min_success_permille: u16,
    #[serde(default)]
    pause_after: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    counts: BTreeSet<OutcomeClass>,
    over_permille: u16,
    #[serde(default)]
    min_done: u32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    offer: Option<Seconds>,
    claim: Option<Seconds>,
    install: Option<Seconds>,
    prove: Option<Seconds>,
    review: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempts {
    max_attempts: NonZeroU16,
    first: Option<Seconds>,
    factor: Option<u8>,
    most: Option<Seconds>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    cap: Option<NonZeroU32>,
    per_minute: Option<NonZeroU32>,
    burst: Option<NonZeroU32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Joining {
    until: Instant,
    most: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    release: ReleaseId,
    scope: Option<String>,
    joining: Option<Joining>,
    start: Option<Instant>,
    regions: Option<BTreeMap<RegionId, Region>>,
    #[serde(default)]
    pins: BTreeSet<Id>,
    waves: Option<Vec<Wave>>,
    cap: Option<u32>,
    stop: Option<Vec<Stop>>,
    #[serde(default)]
    timeouts: Times,
    retry: Option<Attempts>,
    #[serde(default)]
    gates: BTreeSet<Gate>,
    proof: Option<Proof>,
    #[serde(default)]
    approvals: u8,
    lanes: Option<NonZeroU16>,
    #[serde(default)]
    seed: u64,
    supersedes: Option<RolloutId>,
}

fn time(of: &'static str, instant: &Instant) -> Result<time::OffsetDateTime> {
    instant.to_offset_date_time().ok_or_else(|| Problem::bad("rollout", format_args!("`{of}` is no time")))
}

/// Parses a rollout. Without regions, it is for all regions of the service.
pub(in super::super) fn read<'r>(body: &[u8], all: impl Iterator<Item = &'r RegionId>) -> Result<RolloutRequest> {
    let body: Body =
        read_object(body).map_err(|error| Problem::bad("rollout", format_args!("the body is no rollout: {error}")))?;
    let mut all = all.cloned().peekable();
    let none = || Problem::bad("rollout", "the service has no region");
    let first = all.peek().cloned().ok_or_else(none)?;
    let usual = RolloutRequest::new(body.release, first);
    let policy = |region: Region| {
        let rate = region.per_minute.map(|per_minute| Rate { per_minute, burst: region.burst.unwrap_or(per_minute) });
        RegionPolicy { cap: region.cap, rate }
    };
    let regions = match body.regions {
        Some(named) => named.into_iter().map(|(name, region)| (name, policy(region))).collect(),
        None => all.map(|name| (name, RegionPolicy::default())).collect(),
    };
    let scope = match &body.joining {
        Some(joining) => Scope::Dynamic { until: time("joining.until", &joining.until)?, most: joining.most },
        None => Scope::Static,
    };
    let wave = |wave: Wave| WaveSpec {
        permille: wave.permille,
        min_done: wave.min_done,
        min_success_permille: wave.min_success_permille,
        soak_seconds: wave.soak.0,
        pause_after: wave.pause_after,
    };
    let stop =
        |stop: Stop| StopCriterion { counts: stop.counts, over_permille: stop.over_permille, min_done: stop.min_done };
    let seconds = |given: Option<Seconds>, usual: NonZeroU32| match given {
        None => Ok(usual),
        Some(Seconds(given)) => NonZeroU32::new(given)
            .ok_or_else(|| Problem::bad("rollout", "a duration of `timeouts` is 0, wanted a longer one")),
    };
    let times = Timeouts::default();
    let timeouts = Timeouts {
        offer: seconds(body.timeouts.offer, times.offer)?,
        claim: seconds(body.timeouts.claim, times.claim)?,
        install: seconds(body.timeouts.install, times.install)?,
        prove: seconds(body.timeouts.prove, times.prove)?,
        review: seconds(body.timeouts.review, times.review)?,
    };
    let retry = body.retry.map_or(usual.retry, |given| Retry {
        max_attempts: given.max_attempts,
        first_seconds: given.first.map_or(usual.retry.first_seconds, |first| first.0),
        factor: given.factor.unwrap_or(usual.retry.factor),
        most_seconds: given.most.map_or(usual.retry.most_seconds, |most| most.0),
    });
    let lanes = body.lanes.unwrap_or(usual.lanes);
    let least = u32::from(lanes.get()).saturating_mul(u32::try_from(BTreeMap::len(&regions)).unwrap_or(u32::MAX));
    Ok(RolloutRequest {
        scope,
        search: body.scope,
        start: body.start.as_ref().map(|start| time("start", start)).transpose()?,
        regions,
        pins: body.pins,
        waves: body.waves.map_or(usual.waves.clone(), |waves| waves.into_iter().map(wave).collect()),
        cap: body.cap.unwrap_or(least),
        stop: body.stop.map_or(usual.stop.clone(), |all| all.into_iter().map(stop).collect()),
        timeouts,
        retry,
        gates: body.gates,
        proof: body.proof.unwrap_or(usual.proof),
        approvals: body.approvals,
        lanes,
        seed: body.seed,
        supersedes: body.supersedes,
        ..usual
    })
}
