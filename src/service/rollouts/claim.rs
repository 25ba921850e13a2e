//! Claims: a device gets the bytes of an offer only after the claim is recorded.

use super::step::{Ask, At, Known, Stepped};
use super::{RolloutError, RolloutService};
use crate::audit::{Actor, RecordContext};
use crate::manifest::{ActorId, ArtifactName};
use crate::primitive::{Code, Id};
use crate::publish::OfferKey;
use crate::store::{BlobKey, BlobStore, Ledger, ResourceStore, Tenant};
use crate::update::deployment::{Input, Refusal};
use std::collections::BTreeSet;

/// The bytes granted to a device.
///
/// Returned by [`RolloutService::claim`](super::RolloutService::claim).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// The key in the blob store.
    pub blob: BlobKey,
    /// The size.
    pub size: u64,
    /// The file name.
    pub name: ArtifactName,
    /// Their media type.
    pub media_type: Code,
    /// The device.
    pub device: Id,
}

/// Returns the audit actor of a device.
pub(super) fn device_context(device: &Id) -> Option<RecordContext> {
    ActorId::new(format!("device/{device}")).ok().map(Actor::device).map(RecordContext::by)
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Grants a device the bytes of an offer. This is the only way to get them. The grant is recorded before the
    /// answer, so that every device with bytes is counted. Asking again, for a range or after an interruption, changes
    /// nothing.
    ///
    /// `device` is the caller, if known.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchOffer`] and [`RolloutError::NoSuchFile`]; [`RolloutError::Deployment`] with
    /// [`Refusal::Gone`] where the offer was retracted, and with [`Refusal::NotOpen`] or [`Refusal::GateClosed`] where
    /// it may be granted later; [`RolloutError::Store`].
    pub async fn claim(
        &self,
        tenant: &Tenant,
        key: OfferKey,
        name: &ArtifactName,
        device: Option<&Id>,
    ) -> Result<Granted, RolloutError> {
        let none = || RolloutError::NoSuchOffer { key };
        let place = self.place(tenant, key.deployment).await?.ok_or_else(none)?;
        let plan = self.plan(tenant, place.rollout).await?;
        let files = &plan.release.request.files;
        let file = files.iter().find(|file| file.name == *name);
        let file = file.ok_or_else(|| RolloutError::NoSuchFile { key, name: name.clone() })?;
        let known = self.deployment_at(tenant, place, key.deployment).await?.ok_or_else(none)?;
        let seen = known.value.clone();
        if device.is_some_and(|device| *device != seen.device) {
            return Err(none());
        }
        let refused = |refusal| RolloutError::Deployment { deployment: key.deployment, refusal };
        let generation = file.generation.ok_or_else(|| refused(Refusal::Gone))?;
        let at = At { tenant, plan: &plan, place, id: key.deployment };
        let closed = match plan.spec.gates.is_empty() {
            true => BTreeSet::new(),
            false => match self.component_now(tenant, &seen).await? {
                Some((component, _)) => {
                    self.closed_gates(tenant, (&plan.spec, &plan.release), &seen, &component).await?
                }
                None => plan.spec.gates.clone(),
            },
        };
        let manifest = self.manifest_of(tenant, &plan.release).await?;
        let expired = manifest.and_then(|manifest| manifest.expires_at).is_some_and(|end| end <= self.now());
        let input = Input::ClaimRequested { attempt: key.attempt, closed, expired };
        let context = device_context(&seen.device);
        let granted = match self.step(at, Known::of(known), Ask::Input(&input, context.as_ref())).await? {
            Stepped::To(transition) => transition.grants,
            Stepped::Granted(_) => true,
            Stepped::Unchanged(_) => false,
            Stepped::Refused(Refusal::NoSuchAttempt, _) => return Err(none()),
            Stepped::Refused(refusal, _) => return Err(refused(refusal)),
        };
        if !granted {
            return Err(refused(Refusal::Gone));
        }
        Ok(Granted {
            blob: file.blob.key(generation),
            size: file.blob.size,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            device: seen.device,
        })
    }
}
