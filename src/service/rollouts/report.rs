//! Reports of devices, through any interface.

use super::super::entries::Seen;
use super::claim::device_context;
use super::keys::Place;
use super::offer::{is_reported_as, is_version};
use super::step::{Ask, At, Known, Stepped, TRIES};
use super::{RolloutError, RolloutService};
use crate::audit::RecordContext;
use crate::manifest::ProductionSpec;
use crate::primitive::{Id, Instant, Text};
use crate::publish::OfferKey;
use crate::resource::DeviceComponent;
use crate::resource::device_component::SpecType;
use crate::store::{
    Applied, BlobStore, Change, CommitError, Ledger, ResourceStore, Sha256, StoreError, Tenant, ValidWrite, Version,
    VersionId, WriteId,
};
use crate::update::deployment::{DeviceOffers, Input, OutcomeClass, Phase, Runs};
use crate::update::rollout::{DeploymentId, FailureCode};
use serde::{Deserialize, Serialize};

/// A version that a device reports for a component.
///
/// ```
/// use fhir_devices::service::ReportedVersion;
/// let runs = ReportedVersion::new("mds".parse()?, "2.4.0");
/// assert!(runs.confirmed);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ReportedVersion {
    /// The component.
    pub component: Id,
    /// The production specification that shows the version.
    #[serde(default = "software")]
    pub spec: ProductionSpec,
    /// The version.
    pub version: String,
    /// Whether the version is confirmed, and not only on trial.
    #[serde(default = "yes")]
    pub confirmed: bool,
}

const fn software() -> ProductionSpec {
    ProductionSpec::Software
}

const fn yes() -> bool {
    true
}

impl ReportedVersion {
    /// Creates a report of a component's confirmed software version.
    #[must_use]
    pub fn new(component: Id, version: impl Into<String>) -> Self {
        Self { component, spec: ProductionSpec::Software, version: version.into(), confirmed: true }
    }
}

/// A report of a device.
///
/// ```
/// use fhir_devices::service::{DeviceReport, ReportedVersion};
/// let json = r#"{"kind":"versions","restarted":true,"items":[{"component":"mds","version":"2.4.0"}]}"#;
/// let report: DeviceReport = serde_json::from_str(json)?;
/// let runs = ReportedVersion::new("mds".parse()?, "2.4.0");
/// assert_eq!(report, DeviceReport::Versions { restarted: true, number: None, items: vec![runs] });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum DeviceReport {
    /// The progress of an offer.
    Phase {
        /// The offer.
        key: OfferKey,
        /// The number of the report, where the device numbers them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        /// The phase reached.
        phase: Phase,
    },
    /// The device states that it installed an offer. This alone is no proof.
    Done {
        /// The offer.
        key: OfferKey,
    },
    /// The device failed to install an offer.
    Failed {
        /// The offer.
        key: OfferKey,
        /// Whether another attempt may succeed.
        #[serde(default)]
        transient: bool,
        /// The reason.
        code: FailureCode,
    },
    /// The device rejects an offer.
    Rejected {
        /// The offer.
        key: OfferKey,
        /// The reason.
        code: FailureCode,
    },
    /// The device acknowledges a stop. This alone is no proof.
    StopAcknowledged {
        /// The offer.
        key: OfferKey,
    },
    /// The versions of its components.
    Versions {
        /// Whether the device was restarted since it installed anything.
        #[serde(default)]
        restarted: bool,
        /// The number of the report, where the device numbers its version reports: one with a lower number than the
        /// last is ignored. Without a number, a late report counts as the current state.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        /// The version of each component.
        items: Vec<ReportedVersion>,
    },
}

impl DeviceReport {
    /// Creates a report of the running versions of components, as after a restart of the device.
    pub fn versions(items: impl IntoIterator<Item = ReportedVersion>) -> Self {
        Self::Versions { restarted: true, number: None, items: items.into_iter().collect() }
    }

    /// Reads what a device sent: one report, or a list of up to [`MAX_REPORTS`].
    ///
    /// ```
    /// use fhir_devices::service::{DeviceReport, InvalidReport};
    /// let one = br#"{"kind":"versions","items":[{"component":"mds","version":"2.4.0"}]}"#;
    /// assert_eq!(DeviceReport::read(one)?.len(), 1);
    /// assert!(matches!(DeviceReport::read(b"{}"), Err(InvalidReport::Malformed(_))));
    /// # Ok::<(), InvalidReport>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidReport`]
    pub fn read(body: &[u8]) -> Result<Vec<Self>, InvalidReport> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Reports {
            Several(Vec<DeviceReport>),
            One(DeviceReport),
        }
        let reports = match serde_json::from_slice(body).map_err(|error| InvalidReport::Malformed(error.to_string()))? {
            Reports::One(report) => vec![report],
            Reports::Several(reports) => reports,
        };
        match reports.len() {
            count if count > MAX_REPORTS => Err(InvalidReport::TooMany { count }),
            _ => Ok(reports),
        }
    }

    fn key(&self) -> Option<OfferKey> {
        match self {
            Self::Phase { key, .. }
            | Self::Done { key }
            | Self::Failed { key, .. }
            | Self::Rejected { key, .. }
            | Self::StopAcknowledged { key } => Some(*key),
            Self::Versions { .. } => None,
        }
    }
}

/// The largest number of reports that are read at once.
pub const MAX_REPORTS: usize = 64;

/// The error of a body that does not hold reports of a device.
///
/// ```
/// use fhir_devices::service::InvalidReport;
/// assert_eq!(InvalidReport::TooMany { count: 65 }.to_string(), "65 reports came, wanted 64 at most");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReport {
    /// The body is not JSON of this form.
    #[error("the body is no report, and no list of them: {0}")]
    Malformed(String),
    /// There are more than [`MAX_REPORTS`].
    #[error("{count} reports came, wanted {MAX_REPORTS} at most")]
    TooMany {
        /// The number of reports.
        count: usize,
    },
}

/// The result of a report. None is an error of the device.
///
/// ```
/// use fhir_devices::service::ReportAnswer;
/// assert_ne!(ReportAnswer::Taken, ReportAnswer::Known);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportAnswer {
    /// The report was recorded.
    Taken,
    /// The report was recorded already.
    Known,
    /// Its subject has ended. A version is recorded nevertheless.
    Late {
        /// The outcome of the ended subject.
        outcome: OutcomeClass,
    },
}

fn invalid(item: &ReportedVersion, why: &dyn std::fmt::Display) -> RolloutError {
    RolloutError::InvalidVersion { component: item.component.clone(), why: why.to_string() }
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Records a report of a device. The caller has authenticated the device: a report about the offer or the component
    /// of another device is refused.
    ///
    /// A version is written into the component first, so that the running version is known whatever happens to a
    /// rollout. A report may be repeated safely.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchOffer`] and [`RolloutError::NoSuchComponent`]; [`RolloutError::InvalidVersion`];
    /// [`RolloutError::Store`].
    pub async fn report(
        &self,
        tenant: &Tenant,
        device: &Id,
        report: DeviceReport,
    ) -> Result<ReportAnswer, RolloutError> {
        let input = match &report {
            DeviceReport::Versions { restarted, number, items } => {
                return self.versions_reported(tenant, device, (*restarted, *number), items).await;
            }
            DeviceReport::Phase { key, number, phase } => {
                Input::PhaseReported { attempt: key.attempt, number: *number, phase: *phase }
            }
            DeviceReport::Done { key } => Input::DoneReported { attempt: key.attempt },
            DeviceReport::Failed { key, transient, code } => {
                Input::FailureReported { attempt: key.attempt, transient: *transient, code: code.clone() }
            }
            DeviceReport::Rejected { key, code } => {
                Input::RejectionReported { attempt: key.attempt, code: code.clone() }
            }
            DeviceReport::StopAcknowledged { key } => Input::StopAcknowledged { attempt: key.attempt },
        };
        let Some(key) = report.key() else { return Ok(ReportAnswer::Known) };
        let none = || RolloutError::NoSuchOffer { key };
        let place = self.place(tenant, key.deployment).await?.ok_or_else(none)?;
        let seen = self.deployment_at(tenant, place, key.deployment).await?.ok_or_else(none)?;
        if seen.value.device != *device {
            return Err(none());
        }
        self.device_said(tenant, device, (place, key.deployment), (&input, Known::of(seen)), None).await
    }

    async fn device_said(
        &self,
        tenant: &Tenant,
        device: &Id,
        (place, id): (Place, DeploymentId),
        (input, known): (&Input, Known),
        made: Option<(VersionId, VersionId)>,
    ) -> Result<ReportAnswer, RolloutError> {
        let plan = self.plan(tenant, place.rollout).await?;
        let context = device_context(device).map(|context| match made {
            Some((before, written)) => RecordContext { before: Some(before), written: Some(written), ..context },
            None => context,
        });
        let at = At { tenant, plan: &plan, place, id };
        match self.step(at, known, Ask::Input(input, context.as_ref())).await? {
            Stepped::To(transition) => {
                if transition.trips {
                    self.lane_tripped(tenant, place, &plan).await?;
                }
                Ok(ReportAnswer::Taken)
            }
            Stepped::Granted(deployment) | Stepped::Unchanged(deployment) => {
                let outcome = deployment.state.outcome().map(crate::update::deployment::Outcome::class);
                Ok(outcome.map_or(ReportAnswer::Known, |outcome| ReportAnswer::Late { outcome }))
            }
            Stepped::Refused(crate::update::deployment::Refusal::NoSuchAttempt, deployment) => {
                Err(RolloutError::NoSuchOffer { key: deployment.key() })
            }
            Stepped::Refused(refusal, _) => Err(RolloutError::Deployment { deployment: id, refusal }),
        }
    }

    async fn versions_reported(
        &self,
        tenant: &Tenant,
        device: &Id,
        (restarted, number): (bool, Option<u64>),
        items: &[ReportedVersion],
    ) -> Result<ReportAnswer, RolloutError> {
        // A report with one invalid item changes nothing.
        let mut components = Vec::with_capacity(items.len());
        for item in items {
            Text::new(&item.version).map_err(|error| invalid(item, &error))?;
            components.push(match self.component_of(tenant, device, item).await {
                Ok(found) => Some(found),
                // A device may report a component that was deleted here: the versions of its other components are
                // recorded nevertheless.
                Err(RolloutError::NoSuchComponent { .. }) if self.is_deleted(tenant, &item.component).await? => None,
                Err(error) => return Err(error),
            });
        }
        if let (Some(number), false) = (number, items.is_empty())
            && !self.note_number(tenant, device, number).await?
        {
            return Ok(ReportAnswer::Known);
        }
        let (mut answer, mut made) = (ReportAnswer::Known, Vec::with_capacity(items.len()));
        for (item, component) in items.iter().zip(components) {
            let versions = match component {
                Some(component) => self.observed(tenant, device, number, (item, component)).await?,
                None => None,
            };
            if versions.is_some() {
                answer = ReportAnswer::Taken;
            }
            made.push(versions);
        }
        let offers = self.locks(tenant, device).await?;
        let (live, mut offers) = (offers.value.live.clone(), Some(offers));
        for (item, made) in items.iter().zip(made) {
            let live = live.iter().filter(|lock| lock.component == item.component);
            for id in live.map(|lock| lock.deployment) {
                let Some(place) = self.place(tenant, id).await? else { continue };
                let plan = self.plan(tenant, place.rollout).await?;
                if !is_reported_as(&plan.release, item.spec) {
                    continue;
                }
                let text = serde_json::to_vec(&(device, restarted, item)).unwrap_or_default();
                let runs = if is_version(&plan.release, &item.version) { Runs::Target } else { Runs::Other };
                let input = Input::VersionReported {
                    number,
                    report: Sha256::of(&text),
                    authenticated: true,
                    runs,
                    restarted,
                    confirmed: item.confirmed,
                };
                // The first step may change them.
                let known = Known { offers: offers.take(), ..Known::default() };
                match self.device_said(tenant, device, (place, id), (&input, known), made).await? {
                    ReportAnswer::Known => {}
                    other => answer = other,
                }
            }
        }
        Ok(answer)
    }

    /// Returns whether a component existed and was deleted.
    async fn is_deleted(&self, tenant: &Tenant, component: &Id) -> Result<bool, RolloutError> {
        match self.updates.resources(tenant).get::<DeviceComponent>(component.as_str()).await {
            Err(StoreError::Gone { .. }) => Ok(true),
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the component of a report, which must belong to the device.
    async fn component_of(
        &self,
        tenant: &Tenant,
        device: &Id,
        item: &ReportedVersion,
    ) -> Result<(DeviceComponent, Version), RolloutError> {
        let none = || RolloutError::NoSuchComponent { device: device.clone(), component: item.component.clone() };
        match self.updates.resources(tenant).get::<DeviceComponent>(item.component.as_str()).await {
            Ok(found) if self.device_of(tenant, &found.0).as_ref() == Some(device) => Ok(found),
            Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Err(none()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the number of a report before its content. Returns whether the report counts: the last one may be
    /// repeated.
    async fn note_number(&self, tenant: &Tenant, device: &Id, number: u64) -> Result<bool, RolloutError> {
        for _ in 0..TRIES {
            let Seen { key, revision, value } = self.locks(tenant, device).await?;
            if value.reported >= Some(number) {
                return Ok(value.reported == Some(number));
            }
            let next = DeviceOffers { reported: Some(number), ..value };
            let change = Change { key, expected: revision, value: Some(next.to_bytes().into()) };
            match self.ledger(tenant).apply(vec![change]).await {
                Ok(_) => return Ok(true),
                Err(CommitError { error, .. }) => match error {
                    StoreError::Conflict { .. } | StoreError::AlreadyExists { .. } => {}
                    // The next read shows the outcome.
                    error if error.applied() == Applied::Unknown => {}
                    error => return Err(error.into()),
                },
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Writes the running version of a component into its record, where that differs. Returns the versions of the
    /// record before and after the write, if there was one.
    async fn observed(
        &self,
        tenant: &Tenant,
        device: &Id,
        number: Option<u64>,
        (item, component): (&ReportedVersion, (DeviceComponent, Version)),
    ) -> Result<Option<(VersionId, VersionId)>, RolloutError> {
        let resources = self.updates.resources(tenant);
        let kind = match item.spec {
            ProductionSpec::Hardware => SpecType::HardwareRevision,
            ProductionSpec::Firmware => SpecType::FirmwareRevision,
            ProductionSpec::Protocol => SpecType::ProtocolRevision,
            _ => SpecType::SoftwareRevision,
        };
        let mut seen = Some(component);
        for _ in 0..TRIES {
            let (mut component, version) = match seen.take() {
                Some(seen) => seen,
                None => self.component_of(tenant, device, item).await?,
            };
            if component.production_spec(kind) == Some(item.version.as_str()) {
                return Ok(None);
            }
            // Checked after the component was read: a later report changes the component only once its number is
            // written.
            if number.is_some() && self.locks(tenant, device).await?.value.reported > number {
                return Ok(None);
            }
            component.set_production_spec(kind, &item.version).map_err(|error| invalid(item, &error))?;
            component.last_system_change = Instant::try_from(self.now()).ok().map(Into::into);
            // Another program may have stored an invalid component: the running version is recorded nevertheless.
            let write = ValidWrite::over(&version, &component)?.with_id(WriteId(self.updates.ids.next_id()?.0));
            match resources.write_resolved(write).await {
                Ok(written) => return Ok(Some((version.version, written.version))),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }
}
