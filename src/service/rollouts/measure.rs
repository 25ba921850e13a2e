//! Measures of a rollout: the time to field, and the components that are behind.

use super::keys;
use super::offer::is_version;
use super::rollout_service::Plan;
use super::{FieldTimes, RolloutError, RolloutService};
use crate::audit::AuditRecord;
use crate::manifest::ReleaseId;
use crate::primitive::Id;
use crate::resource::DeviceComponent;
use crate::store::{BlobStore, Ledger, LedgerKey, PageToken, ResourceStore, StoreError, Stored as _, Tenant};
use crate::update::deployment::{Outcome, OutcomeClass, State, Transition};
use crate::update::release::Release;
use crate::update::rollout::{Action, After, Counts, Event, Lane, RolloutId, Tally};
use std::cmp::Ordering;
use std::num::NonZeroU32;
use std::sync::PoisonError;
use std::time::Duration;

/// The time from the release to the version report, over the components that succeeded.
///
/// ```
/// use fhir_devices::service::TimeToField;
/// use std::time::Duration;
/// let time = TimeToField::of((1..=100).map(Duration::from_secs).collect()).unwrap();
/// assert_eq!((time.count, time.median.as_secs(), time.p95.as_secs()), (100, 50, 95));
/// assert_eq!(TimeToField::of(Vec::new()), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeToField {
    /// The number of components.
    pub count: usize,
    /// The median.
    pub median: Duration,
    /// The 95th percentile.
    pub p95: Duration,
}

impl TimeToField {
    /// Computes the measures of some times; `None` without any.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        // The nearest rank: the first time with at least `of` percent of the times at or before it.
        let rank = |of: usize| times.get((times.len() * of).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { count: times.len(), median: rank(50)?, p95: rank(95)? })
    }
}

/// The measures of a rollout.
///
/// Returned by [`RolloutService::measures`](super::RolloutService::measures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measures {
    /// The number of deployments in each state.
    pub counts: Counts,
    /// The number of deployments with each outcome.
    pub tally: Tally,
    /// The share of ended deployments, in permille.
    pub done_permille: u16,
    /// The number of deployments with bytes and an unknown running version.
    pub unproven: u32,
    /// The number of deployments past their deadline.
    pub late: u32,
    /// The longest time past a deadline.
    pub oldest: Option<Duration>,
    /// The time from the release to the version report.
    pub time_to_field: Option<TimeToField>,
    /// The time to field as a histogram.
    pub field_times: FieldTimes,
}

/// The deployments past the time by which a report was expected.
///
/// ```
/// use fhir_devices::service::Overdue;
/// assert_eq!(Overdue::default().count, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overdue {
    /// The number of overdue deployments.
    pub count: u32,
    /// The longest overdue time.
    pub longest: Option<Duration>,
}

/// A component whose reported version is below that of a release, or unknown.
///
/// Returned by [`RolloutService::behind`](super::RolloutService::behind).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behind {
    /// The device.
    pub device: Id,
    /// The component.
    pub component: Id,
    /// The reported version.
    pub version: Option<String>,
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Measures a rollout. The times come from the audit records of its lanes, all of which are read.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRollout`]; [`RolloutError::Store`].
    pub async fn measures(&self, tenant: &Tenant, rollout: RolloutId) -> Result<Measures, RolloutError> {
        let view = self.view(tenant, rollout).await?;
        let plan = self.plan(tenant, rollout).await?;
        let released = self.release_record(tenant, view.spec.release).await?.value.released_at;
        let mut times = Vec::new();
        for lane in 0..plan.spec.lane_count() {
            let mut after = None;
            loop {
                let page = self.lane_lines(tenant, rollout, Lane(lane), PAGE, after.as_ref()).await?;
                for line in page.items.iter().filter(|line| line.contains("\"succeeded\"")) {
                    let event = AuditRecord::from_line(line).ok().and_then(|record| Event::of_audit(&record.draft));
                    let Some(Event { at, action: Action::Done, after, .. }) = event else {
                        continue;
                    };
                    let After::Deployment(deployment) = after else { continue };
                    let succeeded = matches!(deployment.state, State::Done { outcome: Outcome::Succeeded { .. }, .. });
                    if let Some(released) = released.filter(|_| succeeded) {
                        times.push(Duration::try_from(at - released).unwrap_or_default());
                    }
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        let ended = OutcomeClass::ALL.iter().fold(0_u64, |sum, class| sum + u64::from(view.tally.of(*class)));
        let all = ended + u64::from(view.counts.open());
        let overdue = self.overdue_of(tenant, Some(rollout)).await?;
        let mut field_times = FieldTimes::default();
        times.iter().for_each(|time| field_times.count(*time));
        Ok(Measures {
            done_permille: u16::try_from((ended * 1_000).checked_div(all).unwrap_or(1_000)).unwrap_or(1_000),
            unproven: view.tally.of(OutcomeClass::Unproven),
            counts: view.counts,
            tally: view.tally,
            late: overdue.count,
            oldest: overdue.longest,
            field_times,
            time_to_field: TimeToField::of(times),
        })
    }

    /// Returns the deployments of a tenant past the time by which a report was expected.
    ///
    /// # Errors
    /// [`RolloutError::Store`].
    pub async fn overdue(&self, tenant: &Tenant) -> Result<Overdue, RolloutError> {
        self.overdue_of(tenant, None).await
    }

    async fn overdue_of(&self, tenant: &Tenant, rollout: Option<RolloutId>) -> Result<Overdue, RolloutError> {
        let (ledger, folder) = (self.ledger(tenant), LedgerKey::new(keys::DUE).map_err(StoreError::from)?);
        let now = keys::minute(self.now());
        let (mut overdue, mut after): (Overdue, Option<PageToken>) = (Overdue::default(), None);
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for record in page.items {
                let minute = record.key.as_str().split('/').nth(1).and_then(|text| u64::from_str_radix(text, 16).ok());
                let Some(minute) = minute.filter(|minute| *minute < now) else { return Ok(overdue) };
                let place = keys::Place::from_bytes(&record.value);
                if rollout.is_none() || place.map(|place| place.rollout) == rollout {
                    overdue.count = overdue.count.saturating_add(1);
                    let time = Duration::from_secs(now.saturating_sub(minute).saturating_mul(60));
                    overdue.longest = overdue.longest.or(Some(time));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(overdue),
            }
        }
    }

    /// Returns the times from release to version report, over the components that succeeded in this process.
    #[must_use]
    pub fn field_times(&self) -> FieldTimes {
        *self.field_times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a component that succeeded.
    pub(super) fn count_field_time(&self, plan: &Plan, transition: &Transition) {
        let ended = matches!(transition.deployment.state, State::Done { outcome: Outcome::Succeeded { .. }, .. });
        let released = plan.release.released_at.filter(|_| ended && transition.action == Action::Done);
        if let Some(released) = released {
            let time = Duration::try_from(transition.at - released).unwrap_or_default();
            self.field_times.lock().unwrap_or_else(PoisonError::into_inner).count(time);
        }
    }

    /// Returns one page of the components that a release is for and whose reported version is below it, or unknown,
    /// independent of rollouts: from the records of the components alone. A page may be empty, and more may follow.
    ///
    /// A version that does not follow the scheme of the release, or has no order in it, counts as below if it differs.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRelease`]; [`RolloutError::Store`].
    pub async fn behind(
        &self,
        tenant: &Tenant,
        release: ReleaseId,
        after: Option<&str>,
    ) -> Result<(Vec<Behind>, Option<String>), RolloutError> {
        let release = self.release_record(tenant, release).await?.value;
        let (found, next) = self.components(tenant, "DeviceComponent", after).await?;
        let mut behind = Vec::new();
        for version in &found {
            let component = DeviceComponent::from_version(version)?;
            behind.extend(self.is_behind(tenant, &release, &component).await?);
        }
        Ok((behind, next))
    }

    /// Returns the version of a component that a release is for, if it is below the release or unknown.
    ///
    /// # Errors
    /// [`RolloutError::Store`].
    pub(crate) async fn is_behind(
        &self,
        tenant: &Tenant,
        release: &Release,
        component: &DeviceComponent,
    ) -> Result<Option<Behind>, RolloutError> {
        let Some(id) = component.id.as_ref().and_then(|id| id.get()).cloned() else { return Ok(None) };
        let Some(device) = self.device_of(tenant, component) else { return Ok(None) };
        if !self.is_meant(tenant, &release.request.target, &device, component).await? {
            return Ok(None);
        }
        let own = release.request.version.as_str();
        let is_there = |found: &str| {
            is_version(release, found) || release.request.scheme.compare_texts(found, own) == Some(Ordering::Greater)
        };
        let mut reported = release.request.reported_as.observed(component, None).peekable();
        let version = reported.peek().map(|version| (*version).to_owned());
        Ok((!reported.any(is_there)).then_some(Behind { device, component: id, version }))
    }
}

/// Number of records read at a time.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);
