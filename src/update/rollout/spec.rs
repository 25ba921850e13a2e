//! The specification of a rollout: checked once, never changed.

use super::super::deployment::OutcomeClass;
use super::id::draw;
use super::{Lane, RegionId, RolloutId, Wave};
use crate::manifest::ReleaseId;
use crate::primitive::Id;
use crate::primitive::moment;
use crate::store::Sha256;
use crate::support::names;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::Deref;
use time::{Duration, OffsetDateTime};

/// The most waves of a rollout.
pub const MAX_WAVES: usize = 16;
/// The most criteria that stop a rollout.
pub const MAX_CRITERIA: usize = 4;
/// The most lanes of a rollout, over all of its regions.
pub const MAX_LANES: u16 = 1_024;
/// The most components that a rollout names for its first wave.
pub const MAX_PINS: usize = 256;
/// What the shares of the waves make together.
const WHOLE: u32 = 1_000;

names! {
    /// A gate: a condition to be met before a device is offered an update or given its bytes.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Gate;
    /// assert_eq!("clinical-use".parse(), Ok(Gate::ClinicalUse));
    /// ```
    Gate {
        /// The device is not in use with a patient.
        ClinicalUse = "clinical-use",
        /// The time is one at which the device may be changed.
        Window = "window",
        /// No operator holds the device back.
        OperatorHold = "operator-hold",
        /// Whoever has to agree has agreed.
        Consent = "consent",
        /// The update is authorised where the device is.
        Market = "market",
        /// The components that it requires are as it requires them.
        Requirements = "requirements",
    }
}

names! {
    /// The proof that an update succeeded.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Proof;
    /// assert_eq!(Proof::VersionReport.as_str(), "version-report");
    /// ```
    Proof {
        /// A report of the running version.
        VersionReport = "version-report",
        /// The statement of the device. It may be wrong: some clients say it before the new software was started.
        DeviceSays = "device-says",
    }
}

/// Which components a rollout is for.
///
/// ```
/// use fhir_devices::update::rollout::Scope;
/// assert!(!Scope::Static.is_dynamic());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum Scope {
    /// The components found when the rollout is planned.
    Static,
    /// The components found until a time, up to a maximum.
    Dynamic {
        /// Until when components may join.
        #[serde(with = "moment")]
        until: OffsetDateTime,
        /// The most components.
        most: NonZeroU32,
    },
}

impl Scope {
    /// Returns whether components may join later.
    #[must_use]
    pub const fn is_dynamic(self) -> bool {
        matches!(self, Self::Dynamic { .. })
    }
}

/// The limits of a region.
///
/// ```
/// use fhir_devices::update::rollout::RegionPolicy;
/// assert_eq!(RegionPolicy::default().cap, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionPolicy {
    /// The most devices of it that may be at work at once; without it, its part of the cap of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<NonZeroU32>,
    /// The maximum rate of offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl RegionPolicy {
    /// Sets the most devices that may be at work at once.
    #[must_use]
    pub const fn with_cap(self, cap: NonZeroU32) -> Self {
        Self { cap: Some(cap), ..self }
    }

    /// Sets the maximum rate of offers.
    #[must_use]
    pub const fn with_rate(self, rate: Rate) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

/// The maximum rate of offers.
///
/// ```
/// use fhir_devices::update::rollout::Rate;
/// use std::num::NonZeroU32;
/// let rate = Rate { per_minute: NonZeroU32::MIN, burst: NonZeroU32::MIN };
/// assert_eq!(rate.per_minute.get(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The number per minute, in the long run.
    pub per_minute: NonZeroU32,
    /// The number at once, after a pause.
    pub burst: NonZeroU32,
}

/// A wave: its share of the components, and the conditions for the next one.
///
/// ```
/// use fhir_devices::update::rollout::WaveSpec;
/// let wave = WaveSpec::new(50).with_soak_seconds(3_600);
/// assert!(!wave.pause_after);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaveSpec {
    /// Its share of the components, in permille. All waves together make 1,000.
    pub permille: u16,
    /// The minimum number of done components; all, where there are fewer.
    #[serde(default)]
    pub min_done: u32,
    /// The minimum share of successes among the done components, in permille.
    #[serde(default)]
    pub min_success_permille: u16,
    /// The time for which these conditions must hold, in seconds.
    #[serde(default)]
    pub soak_seconds: u32,
    /// Whether the rollout pauses before the next wave.
    #[serde(default)]
    pub pause_after: bool,
}

impl WaveSpec {
    /// Returns a wave of a share of the components, in permille, without conditions for the next one.
    #[must_use]
    pub const fn new(permille: u16) -> Self {
        Self { permille, min_done: 0, min_success_permille: 0, soak_seconds: 0, pause_after: false }
    }

    /// Sets the minimum number of done components.
    #[must_use]
    pub const fn with_min_done(self, min_done: u32) -> Self {
        Self { min_done, ..self }
    }

    /// Sets the minimum share of successes among the done components, in permille.
    #[must_use]
    pub const fn with_min_success_permille(self, min_success_permille: u16) -> Self {
        Self { min_success_permille, ..self }
    }

    /// Sets how long these conditions must hold, in seconds.
    #[must_use]
    pub const fn with_soak_seconds(self, soak_seconds: u32) -> Self {
        Self { soak_seconds, ..self }
    }

    /// Sets whether the rollout pauses before the next wave.
    #[must_use]
    pub const fn with_pause_after(self, pause_after: bool) -> Self {
        Self { pause_after, ..self }
    }
}

/// A criterion that halts a rollout: the share of failures exceeds a limit.
///
/// ```
/// use fhir_devices::update::deployment::OutcomeClass;
/// use fhir_devices::update::rollout::StopCriterion;
/// let tenth = StopCriterion::new([OutcomeClass::Failed], 100, 20);
/// assert_eq!(tenth.limit(0), 3); // the third failure stops it, however many are done
/// assert_eq!(tenth.limit(100), 11);
/// assert!(tenth.has(OutcomeClass::Unproven)); // nobody knows what runs there
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StopCriterion {
    /// The outcomes that count as failures. [`OutcomeClass::Unproven`] always counts.
    pub counts: BTreeSet<OutcomeClass>,
    /// The limit, in permille of the done components.
    pub over_permille: u16,
    /// The minimum number of components to which the limit is applied.
    pub min_done: u32,
}

impl StopCriterion {
    /// Returns a criterion: which outcomes count, the limit in permille of the done components, and to how many components
    /// the limit is applied at least.
    #[must_use]
    pub fn new(counts: impl IntoIterator<Item = OutcomeClass>, over_permille: u16, min_done: u32) -> Self {
        Self { counts: counts.into_iter().collect(), over_permille, min_done }
    }

    /// Returns a criterion for which every failure counts.
    #[must_use]
    pub fn failures(over_permille: u16, min_done: u32) -> Self {
        Self::new(OutcomeClass::ALL.iter().copied().filter(|class| class.is_failure()), over_permille, min_done)
    }

    /// Returns whether an outcome counts.
    #[must_use]
    pub fn has(&self, class: OutcomeClass) -> bool {
        class == OutcomeClass::Unproven || self.counts.contains(&class)
    }

    /// Returns the failure that stops the rollout, counted from 1, when so many components are done. It never falls as
    /// more are done.
    #[must_use]
    pub fn limit(&self, done: u32) -> u32 {
        let allowed = u64::from(self.over_permille) * u64::from(done.max(self.min_done)) / u64::from(WHOLE);
        u32::try_from(allowed).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// The timeouts of a deployment, in seconds. Each is finite.
///
/// ```
/// use fhir_devices::update::rollout::Timeouts;
/// let timeouts = Timeouts::default().with_claim(3_600.try_into()?);
/// assert_eq!((timeouts.offer.get(), timeouts.claim.get()), (7 * 24 * 3_600, 3_600));
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timeouts {
    /// The timeout of closed gates, and of an unanswered offer.
    pub offer: NonZeroU32,
    /// The timeout from the first byte to the start of the installation.
    pub claim: NonZeroU32,
    /// The timeout from there to the report that it is done.
    pub install: NonZeroU32,
    /// The timeout from there to the version report.
    pub prove: NonZeroU32,
    /// The interval at which closed gates are evaluated again.
    pub review: NonZeroU32,
}

impl Default for Timeouts {
    /// Seven days for the offer, one day for each of the others, and a look at the gates every quarter of an hour.
    fn default() -> Self {
        const DAY: NonZeroU32 = NonZeroU32::new(24 * 3_600).unwrap();
        const WEEK: NonZeroU32 = NonZeroU32::new(7 * 24 * 3_600).unwrap();
        const QUARTER: NonZeroU32 = NonZeroU32::new(900).unwrap();
        Self { offer: WEEK, claim: DAY, install: DAY, prove: DAY, review: QUARTER }
    }
}

impl Timeouts {
    /// Sets the timeout of closed gates, and of an unanswered offer, in seconds.
    #[must_use]
    pub const fn with_offer(self, offer: NonZeroU32) -> Self {
        Self { offer, ..self }
    }

    /// Sets the timeout from the first byte to the start of the installation, in seconds.
    #[must_use]
    pub const fn with_claim(self, claim: NonZeroU32) -> Self {
        Self { claim, ..self }
    }

    /// Sets the timeout from there to the report that it is done, in seconds.
    #[must_use]
    pub const fn with_install(self, install: NonZeroU32) -> Self {
        Self { install, ..self }
    }

    /// Sets the timeout from there to the version report, in seconds.
    #[must_use]
    pub const fn with_prove(self, prove: NonZeroU32) -> Self {
        Self { prove, ..self }
    }

    /// Sets the interval at which closed gates are evaluated again, in seconds.
    #[must_use]
    pub const fn with_review(self, review: NonZeroU32) -> Self {
        Self { review, ..self }
    }
}

/// The retry policy: the number of attempts, and the backoff.
///
/// ```
/// use fhir_devices::update::rollout::{Attempt, Retry};
/// let retry = Retry::default().with_max_attempts(4.try_into()?).with_first_seconds(60).with_most_seconds(3_600);
/// assert_eq!(retry.delay(Attempt(1)), time::Duration::minutes(1));
/// assert_eq!(retry.delay(Attempt(3)), time::Duration::hours(1));
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Retry {
    /// The maximum number of attempts.
    pub max_attempts: NonZeroU16,
    /// The delay after the first failure, in seconds.
    pub first_seconds: u32,
    /// The factor by which the delay grows with every failure.
    pub factor: u8,
    /// The maximum delay, in seconds.
    pub most_seconds: u32,
}

impl Default for Retry {
    /// Three times, ten minutes and 100 minutes apart.
    fn default() -> Self {
        const THREE: NonZeroU16 = NonZeroU16::new(3).unwrap();
        Self { max_attempts: THREE, first_seconds: 600, factor: 10, most_seconds: 24 * 3_600 }
    }
}

impl Retry {
    /// Sets the maximum number of attempts.
    #[must_use]
    pub const fn with_max_attempts(self, max_attempts: NonZeroU16) -> Self {
        Self { max_attempts, ..self }
    }

    /// Sets the delay after the first failure, in seconds.
    #[must_use]
    pub const fn with_first_seconds(self, first_seconds: u32) -> Self {
        Self { first_seconds, ..self }
    }

    /// Sets the factor by which the delay grows with every failure.
    #[must_use]
    pub const fn with_factor(self, factor: u8) -> Self {
        Self { factor, ..self }
    }

    /// Sets the maximum delay, in seconds.
    #[must_use]
    pub const fn with_most_seconds(self, most_seconds: u32) -> Self {
        Self { most_seconds, ..self }
    }

    /// Returns the delay after a failed attempt.
    #[must_use]
    pub fn delay(&self, failed: super::Attempt) -> Duration {
        let power = u32::from(self.factor.max(1)).saturating_pow(u32::from(failed.0.saturating_sub(1)));
        Duration::seconds(self.first_seconds.saturating_mul(power).min(self.most_seconds).into())
    }
}

/// A request for a rollout. [`Spec::new`] checks it.
///
/// ```
/// use fhir_devices::update::rollout::{RegionId, RolloutRequest, Spec};
/// use fhir_devices::manifest::ReleaseId;
/// let request = RolloutRequest::new(ReleaseId(1), "local".parse()?);
/// let spec = Spec::new(request.clone().with_cap(100))?;
/// assert_eq!(spec.cap, 100);
/// let refused = Spec::new(request.with_cap(0)).unwrap_err();
/// assert_eq!(refused.to_string(), "the cap of 0 gives region `local` 0 devices, wanted one at least for each of its 1 lanes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RolloutRequest {
    /// The release.
    pub release: ReleaseId,
    /// The components.
    pub scope: Scope,
    /// Which of the components that the release is for are meant: a search of DeviceComponent, as in
    /// `DeviceComponent?type=69985`. All of them where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// The start; at once if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub start: Option<OffsetDateTime>,
    /// The regions. Devices elsewhere are left out.
    pub regions: BTreeMap<RegionId, RegionPolicy>,
    /// Components that are in the first wave by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pins: BTreeSet<Id>,
    /// The waves, one after the other.
    pub waves: Vec<WaveSpec>,
    /// The maximum number of devices in flight.
    pub cap: u32,
    /// The criteria that halt it.
    pub stop: Vec<StopCriterion>,
    /// The timeouts of a deployment.
    pub timeouts: Timeouts,
    /// The retry policy.
    pub retry: Retry,
    /// The gates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gates: BTreeSet<Gate>,
    /// The proof of a success.
    pub proof: Proof,
    /// The number of approvals, by others than the author.
    pub approvals: u8,
    /// The number of lanes of each region.
    pub lanes: NonZeroU16,
    /// The seed of the assignment to waves.
    pub seed: u64,
    /// The rollout that it supersedes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<RolloutId>,
}

impl RolloutRequest {
    /// Returns all components of one region in one wave, one device after the other, stopped by the first failure.
    #[must_use]
    pub fn new(release: ReleaseId, region: RegionId) -> Self {
        Self {
            release,
            scope: Scope::Static,
            search: None,
            start: None,
            regions: BTreeMap::from([(region, RegionPolicy::default())]),
            pins: BTreeSet::new(),
            waves: vec![WaveSpec::new(1_000)],
            cap: 1,
            stop: vec![StopCriterion::failures(0, 0)],
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            gates: BTreeSet::new(),
            proof: Proof::VersionReport,
            approvals: 0,
            lanes: NonZeroU16::MIN,
            seed: 0,
            supersedes: None,
        }
    }

    /// Sets whether components that appear later are planned as well.
    #[must_use]
    pub fn with_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Sets a search of DeviceComponent that the components match.
    #[must_use]
    pub fn with_search(self, search: String) -> Self {
        Self { search: Some(search), ..self }
    }

    /// Sets the time of the start.
    #[must_use]
    pub fn with_start(self, start: OffsetDateTime) -> Self {
        Self { start: Some(start), ..self }
    }

    /// Sets the regions and their limits.
    #[must_use]
    pub fn with_regions(self, regions: BTreeMap<RegionId, RegionPolicy>) -> Self {
        Self { regions, ..self }
    }

    /// Sets the components that are in the first wave by name.
    #[must_use]
    pub fn with_pins(self, pins: BTreeSet<Id>) -> Self {
        Self { pins, ..self }
    }

    /// Sets the waves, one after the other.
    #[must_use]
    pub fn with_waves(self, waves: Vec<WaveSpec>) -> Self {
        Self { waves, ..self }
    }

    /// Sets the maximum number of devices in flight.
    #[must_use]
    pub fn with_cap(self, cap: u32) -> Self {
        Self { cap, ..self }
    }

    /// Sets the criteria that halt it.
    #[must_use]
    pub fn with_stop(self, stop: Vec<StopCriterion>) -> Self {
        Self { stop, ..self }
    }

    /// Sets the timeouts of a deployment.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Sets the gates.
    #[must_use]
    pub fn with_gates(self, gates: BTreeSet<Gate>) -> Self {
        Self { gates, ..self }
    }

    /// Sets the proof of a success.
    #[must_use]
    pub fn with_proof(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// Sets the number of approvals, by others than the author.
    #[must_use]
    pub fn with_approvals(self, approvals: u8) -> Self {
        Self { approvals, ..self }
    }

    /// Sets the number of lanes of each region.
    #[must_use]
    pub fn with_lanes(self, lanes: NonZeroU16) -> Self {
        Self { lanes, ..self }
    }

    /// Sets the seed of the assignment to waves.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the rollout that it supersedes.
    #[must_use]
    pub fn with_supersedes(self, supersedes: RolloutId) -> Self {
        Self { supersedes: Some(supersedes), ..self }
    }
}

/// Why the specification of a rollout is invalid.
///
/// ```
/// use fhir_devices::update::rollout::InvalidSpec;
/// assert_eq!(InvalidSpec::NoRegion.to_string(), "the rollout names no region, wanted one at least");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// No region.
    #[error("the rollout names no region, wanted one at least")]
    NoRegion,
    /// More lanes than may be.
    #[error("the rollout has {found} lanes in all of its regions, wanted {MAX_LANES} at most")]
    Lanes {
        /// The size.
        found: u32,
    },
    /// No wave, or too many.
    #[error("the rollout has {found} waves, wanted 1 to {MAX_WAVES}")]
    Waves {
        /// The size.
        found: usize,
    },
    /// The waves leave some out, or are more than all.
    #[error("the waves have {found} of 1000 components, wanted 1000")]
    Shares {
        /// How many they have.
        found: u32,
    },
    /// A part of more than the whole.
    #[error("`{what}` of wave {wave} is {found} of 1000, wanted 1000 at most")]
    Permille {
        /// Which wave, from 0.
        wave: usize,
        /// Which part.
        what: &'static str,
        /// How much.
        found: u16,
    },
    /// A cap that leaves a lane without a device.
    #[error(
        "the cap of {cap} gives region `{region}` {found} devices, wanted one at least for each of its {lanes} lanes"
    )]
    Cap {
        /// The cap of the rollout.
        cap: u32,
        /// The region.
        region: RegionId,
        /// What it comes to there.
        found: u32,
        /// The lanes of the region.
        lanes: u16,
    },
    /// No criterion that stops it, or too many.
    #[error("the rollout has {found} criteria that stop it, wanted 1 to {MAX_CRITERIA}")]
    Criteria {
        /// The size.
        found: usize,
    },
    /// A criterion that nothing can meet.
    #[error("criterion {index} is met by more than {found} of 1000, wanted 999 at most")]
    NeverMet {
        /// Which criterion, from 0.
        index: usize,
        /// More than so many of 1,000.
        found: u16,
    },
    /// A criterion that counts what is no failure.
    #[error("criterion {index} counts the outcome `{class}`, wanted failures alone")]
    NoFailure {
        /// Which criterion, from 0.
        index: usize,
        /// What it counts.
        class: OutcomeClass,
    },
    /// Too many components are named for the first wave.
    #[error("the first wave names {found} components, wanted {MAX_PINS} at most")]
    Pins {
        /// The size.
        found: usize,
    },
}

/// The checked specification of a rollout, made from a [`RolloutRequest`]. It is read like one, and never changed.
///
/// ```
/// use fhir_devices::update::rollout::{RolloutRequest, Spec, Wave};
/// use fhir_devices::manifest::ReleaseId;
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// assert_eq!(spec.wave_of(&"pump".parse()?), Wave(0));
/// assert_eq!(Spec::from_bytes(&spec.to_bytes()), Ok(spec));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RolloutRequest", into = "RolloutRequest")]
pub struct Spec(RolloutRequest);

impl Deref for Spec {
    type Target = RolloutRequest;

    fn deref(&self) -> &RolloutRequest {
        &self.0
    }
}

impl TryFrom<RolloutRequest> for Spec {
    type Error = InvalidSpec;

    fn try_from(request: RolloutRequest) -> Result<Self, InvalidSpec> {
        Self::new(request)
    }
}

impl From<Spec> for RolloutRequest {
    fn from(spec: Spec) -> Self {
        spec.0
    }
}

/// Returns the part of a whole number that one of several gets: all parts differ by 1 at most, and make the whole
/// together.
pub(super) fn part(whole: u32, parts: u32, index: u32) -> u32 {
    let (each, rest) = (whole.checked_div(parts).unwrap_or(0), whole.checked_rem(parts).unwrap_or(0));
    each.saturating_add(u32::from(index < rest))
}

impl Spec {
    /// Checks a request.
    ///
    /// # Errors
    /// The first [`InvalidSpec`] that is found.
    pub fn new(request: RolloutRequest) -> Result<Self, InvalidSpec> {
        if request.regions.is_empty() {
            return Err(InvalidSpec::NoRegion);
        }
        let lanes =
            u32::from(request.lanes.get()).saturating_mul(u32::try_from(request.regions.len()).unwrap_or(u32::MAX));
        if lanes > u32::from(MAX_LANES) {
            return Err(InvalidSpec::Lanes { found: lanes });
        }
        if !(1..=MAX_WAVES).contains(&request.waves.len()) {
            return Err(InvalidSpec::Waves { found: request.waves.len() });
        }
        let whole: u32 = request.waves.iter().map(|wave| u32::from(wave.permille)).sum();
        if whole != WHOLE {
            return Err(InvalidSpec::Shares { found: whole });
        }
        for (index, wave) in request.waves.iter().enumerate() {
            if u32::from(wave.min_success_permille) > WHOLE {
                let found = wave.min_success_permille;
                return Err(InvalidSpec::Permille { wave: index, what: "min_success_permille", found });
            }
        }
        if !(1..=MAX_CRITERIA).contains(&request.stop.len()) {
            return Err(InvalidSpec::Criteria { found: request.stop.len() });
        }
        for (index, criterion) in request.stop.iter().enumerate() {
            if u32::from(criterion.over_permille) >= WHOLE {
                return Err(InvalidSpec::NeverMet { index, found: criterion.over_permille });
            }
            if let Some(class) = criterion.counts.iter().find(|class| !class.is_failure()) {
                return Err(InvalidSpec::NoFailure { index, class: *class });
            }
        }
        if request.pins.len() > MAX_PINS {
            return Err(InvalidSpec::Pins { found: request.pins.len() });
        }
        let spec = Self(request);
        for (index, region) in spec.regions.keys().enumerate() {
            let found = spec.region_cap(index);
            let lanes = spec.lanes.get();
            if found < u32::from(lanes) {
                return Err(InvalidSpec::Cap { cap: spec.cap, region: region.clone(), found, lanes });
            }
        }
        Ok(spec)
    }

    /// Returns how many devices of a region may be at work at once.
    fn region_cap(&self, index: usize) -> u32 {
        let all = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        let share = part(self.cap, all, u32::try_from(index).unwrap_or(u32::MAX));
        let own = self.regions.values().nth(index).and_then(|region| region.cap);
        own.map_or(share, |own| share.min(own.get()))
    }

    /// Returns how many lanes there are in all regions.
    #[must_use]
    pub fn lane_count(&self) -> u16 {
        self.lanes.get().saturating_mul(u16::try_from(self.regions.len()).unwrap_or(u16::MAX))
    }

    /// Returns the lane of a component, for the life of the rollout; `None` where the rollout is not for its region. A
    /// lane has components of one region, so that a region that is down holds up no other.
    #[must_use]
    pub fn lane_of(&self, rollout: RolloutId, region: &RegionId, component: &Id) -> Option<Lane> {
        let index = u16::try_from(self.regions.keys().position(|one| one == region)?).ok()?;
        let own = draw(&rollout.0.to_be_bytes(), component) % u64::from(self.lanes.get());
        Some(Lane(index.saturating_mul(self.lanes.get()).saturating_add(u16::try_from(own).unwrap_or(0))))
    }

    /// Returns the region of a lane; `None` where there is no such lane.
    #[must_use]
    pub fn region_of(&self, lane: Lane) -> Option<&RegionId> {
        self.regions.keys().nth(usize::from(lane.0 / self.lanes.get()))
    }

    /// Returns the wave of a component: the same each time, whatever other components there are.
    #[must_use]
    pub fn wave_of(&self, component: &Id) -> Wave {
        if self.pins.contains(component) {
            return Wave(0);
        }
        let drawn = draw(&self.seed.to_be_bytes(), component) % 1_000_000;
        let mut until = 0_u64;
        for (wave, index) in self.waves.iter().zip(0..) {
            until = until.saturating_add(u64::from(wave.permille).saturating_mul(1_000));
            if drawn < until {
                return Wave(index);
            }
        }
        self.last_wave()
    }

    /// Returns the last wave.
    #[must_use]
    pub fn last_wave(&self) -> Wave {
        Wave(u16::try_from(self.waves.len().saturating_sub(1)).unwrap_or(0))
    }

    /// Returns the devices of a lane that may be at work at once, before any share was moved.
    pub(super) fn first_cap(&self, lane: Lane) -> u32 {
        let (region, own) = (lane.0 / self.lanes.get(), lane.0 % self.lanes.get());
        part(self.region_cap(region.into()), self.lanes.get().into(), own.into())
    }

    /// Returns the failures of a lane that may be, before any share was moved.
    pub(super) fn first_failures(&self, criterion: &StopCriterion, lane: Lane) -> u32 {
        part(criterion.limit(0), self.lane_count().into(), lane.0.into())
    }

    /// Returns the rate of a lane.
    pub(in super::super) fn rate(&self, lane: Lane) -> Option<Rate> {
        let region = self.regions.values().nth(usize::from(lane.0 / self.lanes.get()))?;
        let own = |all: NonZeroU32| all.get() / u32::from(self.lanes.get());
        let rate = region.rate?;
        let least = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Some(Rate { per_minute: least(own(rate.per_minute)), burst: least(own(rate.burst)) })
    }

    /// Returns the stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        super::record::to_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Unreadable`](super::Unreadable) when it is none, is not sound, or is of a format that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, super::Unreadable> {
        super::record::from_bytes(bytes)
    }

    /// Returns the digest of the stored form, which approvals refer to.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }
}
