//! Specification of a rollout: checked once, never changed.

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

/// Maximum number of waves of a rollout.
pub const MAX_WAVES: usize = 16;
/// Maximum number of stop criteria of a rollout.
pub const MAX_CRITERIA: usize = 4;
/// Maximum number of lanes of a rollout, over all of its regions.
pub const MAX_LANES: u16 = 1_024;
/// Maximum number of components that a rollout names for its first wave.
pub const MAX_PINS: usize = 256;
/// Sum of the shares of the waves, in permille.
const WHOLE: u32 = 1_000;

names! {
    /// Gate: a condition to be met before a device is offered an update or granted its bytes.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Gate;
    /// assert_eq!("clinical-use".parse(), Ok(Gate::ClinicalUse));
    /// ```
    Gate {
        /// The device is not in use with a patient.
        ClinicalUse = "clinical-use",
        /// The time is within a window for changes of the device.
        Window = "window",
        /// No operator holds the device back.
        OperatorHold = "operator-hold",
        /// The required consent was given.
        Consent = "consent",
        /// The update is authorised for the market of the device.
        Market = "market",
        /// The components required by the update meet its requirements.
        Requirements = "requirements",
    }
}

names! {
    /// Proof that an update succeeded.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Proof;
    /// assert_eq!(Proof::VersionReport.as_str(), "version-report");
    /// ```
    Proof {
        /// A report of the running version.
        VersionReport = "version-report",
        /// The statement of the device. It may be wrong: some clients report success before the new software has
        /// started.
        DeviceSays = "device-says",
    }
}

/// Components that a rollout is for.
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
        /// Time until which components may join.
        #[serde(with = "moment")]
        until: OffsetDateTime,
        /// Maximum number of components.
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

/// Limits of a region.
///
/// ```
/// use fhir_devices::update::rollout::RegionPolicy;
/// assert_eq!(RegionPolicy::default().cap, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionPolicy {
    /// Maximum number of its devices in flight; `None` for its part of the cap of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<NonZeroU32>,
    /// Maximum rate of offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl RegionPolicy {
    /// Sets the maximum number of devices in flight.
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

/// Maximum rate of offers in a region, divided equally among its lanes, with at least 1 for each lane.
///
/// ```
/// use fhir_devices::update::rollout::Rate;
/// use std::num::NonZeroU32;
/// let rate = Rate { per_minute: NonZeroU32::MIN, burst: NonZeroU32::MIN };
/// assert_eq!(rate.per_minute.get(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Number of offers per minute, in the long run.
    pub per_minute: NonZeroU32,
    /// Number of offers at once, after a pause.
    pub burst: NonZeroU32,
}

/// Wave: its share of the components, and the conditions for the next wave.
///
/// ```
/// use fhir_devices::update::rollout::WaveSpec;
/// let wave = WaveSpec::new(50).with_soak_seconds(3_600);
/// assert!(!wave.pause_after);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaveSpec {
    /// Share of the components, in permille. The shares of all waves add up to 1,000.
    pub permille: u16,
    /// Minimum number of done components; all, if there are fewer.
    #[serde(default)]
    pub min_done: u32,
    /// Minimum share of successes among the done components, in permille.
    #[serde(default)]
    pub min_success_permille: u16,
    /// Time in seconds for which these conditions must hold.
    #[serde(default)]
    pub soak_seconds: u32,
    /// Whether the rollout pauses before the next wave.
    #[serde(default)]
    pub pause_after: bool,
}

impl WaveSpec {
    /// Creates a wave with a share of the components, in permille, without conditions for the next one.
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

/// Criterion that halts a rollout: the share of failures exceeds a limit.
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
    /// Outcomes that count as failures. [`OutcomeClass::Unproven`] always counts.
    pub counts: BTreeSet<OutcomeClass>,
    /// Limit, in permille of the done components.
    pub over_permille: u16,
    /// Minimum number of components for the limit: with fewer done components it is computed for this number.
    pub min_done: u32,
}

impl StopCriterion {
    /// Creates a criterion from the outcomes that count, the limit in permille of the done components, and the minimum
    /// number of components for the limit.
    #[must_use]
    pub fn new(counts: impl IntoIterator<Item = OutcomeClass>, over_permille: u16, min_done: u32) -> Self {
        Self { counts: counts.into_iter().collect(), over_permille, min_done }
    }

    /// Creates a criterion for which every failure counts.
    #[must_use]
    pub fn failures(over_permille: u16, min_done: u32) -> Self {
        Self::new(OutcomeClass::ALL.iter().copied().filter(|class| class.is_failure()), over_permille, min_done)
    }

    /// Returns whether an outcome counts.
    #[must_use]
    pub fn has(&self, class: OutcomeClass) -> bool {
        class == OutcomeClass::Unproven || self.counts.contains(&class)
    }

    /// Returns the number of failures that stops the rollout, for a number of done components. It never decreases as
    /// that number grows.
    #[must_use]
    pub fn limit(&self, done: u32) -> u32 {
        let allowed = u64::from(self.over_permille) * u64::from(done.max(self.min_done)) / u64::from(WHOLE);
        u32::try_from(allowed).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// Timeouts of a deployment, in seconds. Each is finite.
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
    /// Timeout of closed gates, and of an unclaimed offer.
    pub offer: NonZeroU32,
    /// Timeout from the claim to the start of the installation.
    pub claim: NonZeroU32,
    /// Timeout from the start of the installation to the report that it is done.
    pub install: NonZeroU32,
    /// Timeout from the report that it is done to the version report.
    pub prove: NonZeroU32,
    /// Interval at which closed gates are evaluated again.
    pub review: NonZeroU32,
}

impl Default for Timeouts {
    /// Returns seven days for the offer, one day for claim, install and prove, and 15 minutes for the review of gates.
    fn default() -> Self {
        const DAY: NonZeroU32 = NonZeroU32::new(24 * 3_600).unwrap();
        const WEEK: NonZeroU32 = NonZeroU32::new(7 * 24 * 3_600).unwrap();
        const QUARTER: NonZeroU32 = NonZeroU32::new(900).unwrap();
        Self { offer: WEEK, claim: DAY, install: DAY, prove: DAY, review: QUARTER }
    }
}

impl Timeouts {
    /// Sets the timeout of closed gates, and of an unclaimed offer, in seconds.
    #[must_use]
    pub const fn with_offer(self, offer: NonZeroU32) -> Self {
        Self { offer, ..self }
    }

    /// Sets the timeout from the claim to the start of the installation, in seconds.
    #[must_use]
    pub const fn with_claim(self, claim: NonZeroU32) -> Self {
        Self { claim, ..self }
    }

    /// Sets the timeout from the start of the installation to the report that it is done, in seconds.
    #[must_use]
    pub const fn with_install(self, install: NonZeroU32) -> Self {
        Self { install, ..self }
    }

    /// Sets the timeout from the report that it is done to the version report, in seconds.
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

/// Retry policy: the number of attempts, and the backoff.
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
    /// Maximum number of attempts.
    pub max_attempts: NonZeroU16,
    /// Delay after the first failure, in seconds.
    pub first_seconds: u32,
    /// Factor by which the delay grows with every failure.
    pub factor: u8,
    /// Maximum delay, in seconds.
    pub most_seconds: u32,
}

impl Default for Retry {
    /// Returns three attempts, 10 and 100 minutes apart.
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

/// Request for a rollout. [`Spec::new`] checks it.
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
    /// Release to roll out.
    pub release: ReleaseId,
    /// Components that join when planned, or later too.
    pub scope: Scope,
    /// Search of DeviceComponent that restricts the components of the release, such as `DeviceComponent?type=69985`.
    /// `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Start time; at once if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub start: Option<OffsetDateTime>,
    /// Regions of the rollout. Devices elsewhere are left out.
    pub regions: BTreeMap<RegionId, RegionPolicy>,
    /// Components that are in the first wave by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pins: BTreeSet<Id>,
    /// Waves, one after the other.
    pub waves: Vec<WaveSpec>,
    /// Maximum number of devices in flight.
    pub cap: u32,
    /// Criteria that halt the rollout.
    pub stop: Vec<StopCriterion>,
    /// Timeouts of a deployment.
    pub timeouts: Timeouts,
    /// Retry policy.
    pub retry: Retry,
    /// Gates to be met.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gates: BTreeSet<Gate>,
    /// Required proof of success.
    pub proof: Proof,
    /// Required number of approvals, by others than the author.
    pub approvals: u8,
    /// Number of lanes of each region.
    pub lanes: NonZeroU16,
    /// Seed of the assignment to waves.
    pub seed: u64,
    /// Rollout that this one supersedes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<RolloutId>,
}

impl RolloutRequest {
    /// Creates a request for all components of one region in one wave, one device at a time, halted by the first
    /// failure.
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

    /// Sets the criteria that halt the rollout.
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

    /// Sets the rollout that this one supersedes.
    #[must_use]
    pub fn with_supersedes(self, supersedes: RolloutId) -> Self {
        Self { supersedes: Some(supersedes), ..self }
    }
}

/// Reason why the specification of a rollout is invalid.
///
/// ```
/// use fhir_devices::update::rollout::InvalidSpec;
/// assert_eq!(InvalidSpec::NoRegion.to_string(), "the rollout names no region, wanted one at least");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// There is no region.
    #[error("the rollout names no region, wanted one at least")]
    NoRegion,
    /// There are too many lanes.
    #[error("the rollout has {found} lanes in all of its regions, wanted {MAX_LANES} at most")]
    Lanes {
        /// Number of lanes in all regions.
        found: u32,
    },
    /// There is no wave, or there are too many.
    #[error("the rollout has {found} waves, wanted 1 to {MAX_WAVES}")]
    Waves {
        /// Number of waves.
        found: usize,
    },
    /// The shares of the waves do not add up to 1,000 permille.
    #[error("the waves have {found} of 1000 components, wanted 1000")]
    Shares {
        /// Sum of the shares, in permille.
        found: u32,
    },
    /// A share exceeds 1,000 permille.
    #[error("`{what}` of wave {wave} is {found} of 1000, wanted 1000 at most")]
    Permille {
        /// Index of the wave, from 0.
        wave: usize,
        /// Name of the field.
        what: &'static str,
        /// Value in permille.
        found: u16,
    },
    /// The cap leaves a lane without a device.
    #[error(
        "the cap of {cap} gives region `{region}` {found} devices, wanted one at least for each of its {lanes} lanes"
    )]
    Cap {
        /// Cap of the rollout.
        cap: u32,
        /// Id of the region.
        region: RegionId,
        /// Part of the cap for the region.
        found: u32,
        /// Number of lanes of the region.
        lanes: u16,
    },
    /// There is no stop criterion, or there are too many.
    #[error("the rollout has {found} criteria that stop it, wanted 1 to {MAX_CRITERIA}")]
    Criteria {
        /// Number of criteria.
        found: usize,
    },
    /// A criterion can never be met.
    #[error("criterion {index} is met by more than {found} of 1000, wanted 999 at most")]
    NeverMet {
        /// Index of the criterion, from 0.
        index: usize,
        /// Limit in permille.
        found: u16,
    },
    /// A criterion counts an outcome that is not a failure.
    #[error("criterion {index} counts the outcome `{class}`, wanted failures alone")]
    NoFailure {
        /// Index of the criterion, from 0.
        index: usize,
        /// Class of the outcome.
        class: OutcomeClass,
    },
    /// The first wave names too many components.
    #[error("the first wave names {found} components, wanted {MAX_PINS} at most")]
    Pins {
        /// Number of components.
        found: usize,
    },
}

/// Checked specification of a rollout, made from a [`RolloutRequest`]. It dereferences to the request, and never
/// changes.
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

/// Returns one of several parts of a whole number: all parts differ by at most 1, and add up to the whole.
pub(super) fn part(whole: u32, parts: u32, index: u32) -> u32 {
    let (each, rest) = (whole.checked_div(parts).unwrap_or(0), whole.checked_rem(parts).unwrap_or(0));
    each.saturating_add(u32::from(index < rest))
}

impl Spec {
    /// Creates a specification from a request.
    ///
    /// # Errors
    /// The first [`InvalidSpec`] found.
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

    /// Returns the maximum number of devices in flight of a region.
    fn region_cap(&self, index: usize) -> u32 {
        let all = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        let share = part(self.cap, all, u32::try_from(index).unwrap_or(u32::MAX));
        let own = self.regions.values().nth(index).and_then(|region| region.cap);
        own.map_or(share, |own| share.min(own.get()))
    }

    /// Returns the number of lanes in all regions.
    #[must_use]
    pub fn lane_count(&self) -> u16 {
        self.lanes.get().saturating_mul(u16::try_from(self.regions.len()).unwrap_or(u16::MAX))
    }

    /// Returns the lane of a component, for the life of the rollout; `None` if the rollout excludes its region. A lane
    /// has components of one region, so that an unavailable region does not hold up any other.
    #[must_use]
    pub fn lane_of(&self, rollout: RolloutId, region: &RegionId, component: &Id) -> Option<Lane> {
        let index = u16::try_from(self.regions.keys().position(|one| one == region)?).ok()?;
        let own = draw(&rollout.0.to_be_bytes(), component) % u64::from(self.lanes.get());
        Some(Lane(index.saturating_mul(self.lanes.get()).saturating_add(u16::try_from(own).unwrap_or(0))))
    }

    /// Returns the region of a lane; `None` if there is no such lane.
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

    /// Returns the maximum number of devices in flight of a lane, before any share was moved.
    pub(super) fn first_cap(&self, lane: Lane) -> u32 {
        let (region, own) = (lane.0 / self.lanes.get(), lane.0 % self.lanes.get());
        part(self.region_cap(region.into()), self.lanes.get().into(), own.into())
    }

    /// Returns the failure allowance of a lane, before any share was moved.
    pub(super) fn first_failures(&self, criterion: &StopCriterion, lane: Lane) -> u32 {
        part(criterion.limit(0), self.lane_count().into(), lane.0.into())
    }

    /// Returns the rate of a lane: its part of the region's rate, rounded down, but at least 1.
    pub(in super::super) fn rate(&self, lane: Lane) -> Option<Rate> {
        let region = self.regions.values().nth(usize::from(lane.0 / self.lanes.get()))?;
        let own = |all: NonZeroU32| all.get() / u32::from(self.lanes.get());
        let rate = region.rate?;
        let least = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Some(Rate { per_minute: least(own(rate.per_minute)), burst: least(own(rate.burst)) })
    }

    /// Serializes the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        super::record::to_bytes(self)
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`](super::Unreadable) when the bytes are not a record, are invalid, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, super::Unreadable> {
        super::record::from_bytes(bytes)
    }

    /// Returns the digest of the stored form, which approvals refer to.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }
}
