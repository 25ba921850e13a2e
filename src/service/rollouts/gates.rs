//! Gates: conditions to be met before a device is offered an update or given its bytes.

use super::super::ReceiveError;
use super::super::signed::{CheckSubject, kept_bytes};
use super::super::target::Target;
use super::RolloutService;
use crate::containment::Selector;
use crate::manifest::{AdmissionReason, AdmissionReasonCode, UpdateManifest};
use crate::primitive::Id;
use crate::reference::{Literal, OwnBase, decoded, localize};
use crate::resource::{Device, DeviceComponent};
use crate::store::{BlobStore, BoxFuture, Ledger, ResourceStore, StoreError, Tenant};
use crate::update::deployment::Deployment;
use crate::update::release::Release;
use crate::update::rollout::{Gate, Spec};
use std::collections::BTreeSet;

/// The subject of a gate evaluation.
///
/// Given to a [`GateProvider`], whose example implements one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct GateQuery<'q> {
    /// The tenant.
    pub tenant: &'q Tenant,
    /// The release being rolled out.
    pub release: &'q Release,
    /// The deployment.
    pub deployment: &'q Deployment,
    /// The device, if it exists.
    pub device: Option<&'q Device>,
    /// The component.
    pub component: &'q DeviceComponent,
}

/// Evaluates gates with the caller's knowledge: when a device may be changed, who holds it back, who agreed, and where
/// an update is authorised. [`Gate::ClinicalUse`] is closed without a call while the Device names a patient.
///
/// ```
/// use fhir_devices::service::{GateProvider, GateQuery};
/// use fhir_devices::store::BoxFuture;
/// use fhir_devices::update::rollout::Gate;
/// use std::collections::BTreeSet;
///
/// struct AtNight(fn() -> u8);
///
/// impl GateProvider for AtNight {
///     fn closed<'a>(&'a self, _: GateQuery<'a>) -> BoxFuture<'a, BTreeSet<Gate>> {
///         let is_day = (6..22).contains(&(self.0)());
///         Box::pin(async move { is_day.then_some(Gate::Window).into_iter().collect() })
///     }
/// }
/// ```
pub trait GateProvider: Send + Sync + 'static {
    /// Returns the gates that are closed now. A gate that cannot be evaluated is closed.
    fn closed<'a>(&'a self, query: GateQuery<'a>) -> BoxFuture<'a, BTreeSet<Gate>>;
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the gates of a rollout that are closed for a component in its current state.
    pub(super) async fn closed_gates(
        &self,
        tenant: &Tenant,
        (spec, release): (&Spec, &Release),
        deployment: &Deployment,
        component: &DeviceComponent,
    ) -> Result<BTreeSet<Gate>, StoreError> {
        let mut closed = BTreeSet::new();
        if spec.gates.is_empty() {
            return Ok(closed);
        }
        let device = self.device(tenant, &deployment.device).await?;
        if device.as_ref().is_none_or(|device| device.patient.is_some()) {
            closed.insert(Gate::ClinicalUse);
        }
        if spec.gates.contains(&Gate::Requirements) && !self.is_required(tenant, release, deployment).await? {
            closed.insert(Gate::Requirements);
        }
        if let Some(gates) = &self.gates {
            let device = device.as_ref();
            closed.extend(gates.closed(GateQuery { tenant, release, deployment, device, component }).await);
        }
        Ok(closed.intersection(&spec.gates).copied().collect())
    }

    /// Returns whether a device meets the requirements of a release's manifest, by the current reports of its
    /// components: `true` for a release without a manifest, `false` where the manifest is not stored or the device is
    /// not found.
    async fn is_required(
        &self,
        tenant: &Tenant,
        release: &Release,
        deployment: &Deployment,
    ) -> Result<bool, StoreError> {
        if release.request.manifest.is_none() {
            return Ok(true);
        }
        let Some(manifest) = self.manifest_of(tenant, release).await? else { return Ok(false) };
        let resources = self.updates.resources(tenant);
        let selector = Selector::Component(deployment.component.clone());
        let target = Target { resources: &resources, device: &deployment.device, selector: &selector, whole: true };
        let (members, component) = match target.meant_of_all().await {
            Ok(found) => found,
            Err(ReceiveError::Resources(error)) => return Err(error),
            Err(_) => return Ok(false),
        };
        let subject = CheckSubject { device_members: &members, device: &deployment.device, component: &component };
        let reasons = match subject.explain(&manifest, None, None, self.now()) {
            Ok(reasons) => reasons,
            Err(ReceiveError::Resources(error)) => return Err(error),
            Err(_) => return Ok(false),
        };
        // Accepted sequence numbers are checked with each offer.
        let counts = |reason: &AdmissionReason| reason.is_against && reason.code != AdmissionReasonCode::Sequence;
        Ok(!reasons.iter().any(counts))
    }

    /// Returns the manifest of a release; `None` where it has none, or it is not stored.
    pub(super) async fn manifest_of(
        &self,
        tenant: &Tenant,
        release: &Release,
    ) -> Result<Option<UpdateManifest>, StoreError> {
        let Some(wanted) = release.request.manifest else { return Ok(None) };
        let bytes = kept_bytes(&self.updates.session(tenant), wanted).await?;
        Ok(bytes.and_then(|bytes| UpdateManifest::from_json(&bytes).ok()))
    }

    /// Returns a device; `None` where it does not exist.
    pub(super) async fn device(&self, tenant: &Tenant, id: &Id) -> Result<Option<Device>, StoreError> {
        match self.updates.resources(tenant).get::<Device>(id.as_str()).await {
            Ok((device, _)) => Ok(Some(device)),
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the device that a component's `source` names; `None` where it names no device of this tenant.
    pub(super) fn device_of(&self, tenant: &Tenant, component: &DeviceComponent) -> Option<Id> {
        source_device(self.updates.resources(tenant).own_base(), component.source.as_ref()?.literal()?)
    }

    /// Returns the device that a reference names; nothing where it names none of this tenant.
    pub(super) fn device_named(&self, tenant: &Tenant, reference: &str) -> Option<Id> {
        source_device(self.updates.resources(tenant).own_base(), Literal::parse(reference))
    }
}

fn source_device(own: Option<&OwnBase>, literal: Literal<'_>) -> Option<Id> {
    let decoded = decoded(literal);
    match localize(own, decoded.as_deref().map_or(literal, Literal::parse)) {
        Literal::Relative { resource_type: "Device", id, .. } => Id::new(id).ok(),
        _ => None,
    }
}
