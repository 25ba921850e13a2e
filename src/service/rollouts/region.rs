//! Writing the slots of a region from the ledger, and verifying them.

use super::super::entries::Seen;
use super::keys::{self, Place};
use super::step::{Ask, At, Known, LaneTask, Stepped, TaskAsk};
use super::{RegionError, RolloutError, RolloutService};
use crate::primitive::Id;
use crate::publish::{
    self, ActionNumber, Content, DeviceAddress, Offer, OfferKey, OfferedFile, PublishError, Publisher, RegionId, Slot,
};
use crate::store::{
    BlobStore, Change, Ledger, LedgerKey, LedgerRecord, PageToken, ResourceStore, Revision, StoreError, Tenant,
};
use crate::update::deployment::{self, Deployment, Effect, Found, Input, PutRefusal, State, StopRequest};
use crate::update::rollout::{DeploymentId, Lane, LaneInput, RolloutId};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::PoisonError;
use std::time::Duration;

/// Number of tries for a slot that others write to.
const LOOKS: usize = 16;

/// Number of records read at a time.
pub(super) const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// How many entries of slots that are to be written are read at a time: the deployments of one lane among them are told together
/// of what became of their slots.
const TODO_PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_023);

/// How many slots in a row may fail before the region is given a rest.
const MAX_FAILED: usize = 8;

/// How long after its end the slot of a deployment is verified, in minutes: a region that returns to a saved state
/// shows its offer again.
const VERIFIED_MINUTES: u64 = 24 * 60;

/// How long a region is paused, where it does not say.
const REST: Duration = Duration::from_secs(1);

/// The result of verifying the slots of a region.
///
/// ```
/// use fhir_devices::service::Verified;
/// assert_eq!(Verified::default().mended, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of slots read.
    pub read: usize,
    /// The number of slots that differed and are rewritten.
    pub mended: usize,
    /// The number of slots that could not be read.
    pub failed: usize,
}

/// The result of writing the slots of a region.
#[derive(Debug, Default)]
pub(super) struct RegionRun {
    /// The number of steps.
    pub(super) steps: usize,
    /// The first error of the region, or the one at which it stopped.
    pub(super) error: Option<RegionError>,
    /// Whether the region is paused: nothing more is to be asked of it now.
    pub(super) rests: bool,
}

/// What a deployment is to be told of its slot.
struct SlotStep {
    seen: Seen<Deployment>,
    input: Input,
    /// The device to be notified, once it is told.
    notifies: Option<DeviceAddress>,
}

/// The slots that are written, and whose deployments do not know of it, by their lanes, each with the entry by which its
/// deployment was found.
#[derive(Default)]
struct WrittenSlots {
    of_lanes: BTreeMap<(RolloutId, Lane), Vec<WrittenSlot>>,
    count: usize,
}

type WrittenSlot = (SlotStep, (LedgerKey, Revision));

impl WrittenSlots {
    fn add(&mut self, place: Place, slot: WrittenSlot) {
        self.count += 1;
        self.of_lanes.entry((place.rollout, place.lane)).or_default().push(slot);
    }
}

pub(super) fn slot(deployment: &Deployment) -> Result<Slot, StoreError> {
    let device = DeviceAddress::new(deployment.device.as_str())?;
    Ok(Slot { device, component: deployment.component.clone() })
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Writes what a deployment wants in its slot. Returns what the deployment is to be told; nothing where it wants nothing there
    /// any more. The error of the region is the inner one.
    ///
    /// The slot is read before the deployment: in the other order a tombstone could be replaced by the offer that it took back.
    async fn write_slot(
        &self,
        at: At<'_>,
        publisher: &dyn Publisher,
    ) -> Result<Result<Option<SlotStep>, PublishError>, RolloutError> {
        let Some(mut seen) = self.deployment_at(at.tenant, at.place, at.id).await? else { return Ok(Ok(None)) };
        let slot = slot(&seen.value)?;
        for _ in 0..LOOKS {
            let found = match publisher.read(at.tenant, &slot).await {
                Ok(found) => found,
                Err(PublishError::UnknownDevice) => None,
                Err(error) => return Ok(Err(error)),
            };
            seen = match self.deployment_again(at.tenant, seen).await? {
                Some(seen) => seen,
                None => return Ok(Ok(None)),
            };
            let (content, action, is_offer) = match deployment::resume(&seen.value) {
                None => return Ok(Ok(None)),
                Some(Effect::PutOffer { key, action }) => {
                    (Content::Offer(Box::new(self.offer(at, &seen.value, key, action))), action, true)
                }
                Some(Effect::PutTombstone { key, action }) => (Content::Tombstone { key, action }, action, false),
            };
            let input = match &found {
                Some(found) if found.content == content => {
                    Input::SlotWritten { action, offer: is_offer, version: found.version.clone() }
                }
                Some(found) if found.content.is_after(&content) => Input::PutRefused { action, why: PutRefusal::Stale },
                _ => {
                    match publisher.put(at.tenant, &slot, &content, found.as_ref().map(|found| &found.version)).await {
                        Ok(receipt) => Input::SlotWritten { action, offer: is_offer, version: receipt.version },
                        Err(PublishError::Changed) => continue,
                        Err(PublishError::Stale { .. }) => Input::PutRefused { action, why: PutRefusal::Stale },
                        Err(PublishError::UnknownDevice) => {
                            Input::PutRefused { action, why: PutRefusal::UnknownDevice }
                        }
                        Err(PublishError::TooLarge { .. }) => Input::PutRefused { action, why: PutRefusal::TooLarge },
                        Err(PublishError::Denied { .. }) => Input::PutRefused { action, why: PutRefusal::Denied },
                        Err(error) => return Ok(Err(error)),
                    }
                }
            };
            let notifies = (is_offer && matches!(input, Input::SlotWritten { .. })).then_some(slot.device);
            return Ok(Ok(Some(SlotStep { seen, input, notifies })));
        }
        Ok(Err(PublishError::Changed))
    }

    /// Tells the deployments of some lanes what became of their slots, those of a lane together; how many went on by that.
    async fn slots_written(
        &self,
        tenant: &Tenant,
        publisher: &dyn Publisher,
        written: &mut WrittenSlots,
    ) -> Result<usize, RolloutError> {
        let mut steps = 0;
        for ((rollout, lane), slots) in std::mem::take(written).of_lanes {
            let plan = self.plan(tenant, rollout).await?;
            let (mut tasks, mut notifies) = (Vec::with_capacity(slots.len()), Vec::with_capacity(slots.len()));
            for (SlotStep { seen, input, notifies: device }, entry) in slots {
                notifies.extend(device);
                tasks.push(LaneTask { id: seen.value.id, seen, entry: Some(entry), ask: TaskAsk::Input(input) });
            }
            let stepped = self.step_all((tenant, &plan, Place { rollout, lane }), tasks).await?;
            for device in &notifies {
                // A device that is not told looks by itself.
                let _ = publisher.notify(tenant, device).await;
            }
            steps += stepped.iter().filter(|one| matches!(one, Stepped::To(_))).count();
        }
        Ok(steps)
    }

    /// Returns the offer of a deployment, the same each time.
    pub(super) fn offer(&self, at: At<'_>, deployment: &Deployment, key: OfferKey, action: ActionNumber) -> Offer {
        let request = &at.plan.release.request;
        let files = request.files.iter().filter_map(|file| {
            let (name, size, sha256) = (file.name.clone(), file.blob.size, file.blob.digest);
            let link = (self.links)(at.tenant, &key, &file.name)?;
            Some(OfferedFile { name, size, sha256, sha1: file.sha1, link })
        });
        Offer {
            key,
            action,
            provider: request.provider.clone(),
            name: request.name.clone(),
            version: request.version.clone(),
            sequence: request.sequence,
            manifest: request.manifest,
            files: files.collect(),
            not_after: deployment.state.deadline().unwrap_or(time::OffsetDateTime::UNIX_EPOCH),
        }
    }

    /// Writes the pending contents into the slots of a region. A failing slot blocks no other, unless many in a row
    /// fail.
    pub(super) async fn work_region(
        &self,
        tenant: &Tenant,
        region: &RegionId,
        publisher: &dyn Publisher,
        budget: usize,
    ) -> Result<RegionRun, RolloutError> {
        let (ledger, folder) = (self.ledger(tenant), keys::todo(region)?);
        let (mut run, mut after): (RegionRun, Option<PageToken>) = (RegionRun::default(), None);
        let mut written = WrittenSlots::default();
        let mut failed_in_row = 0;
        loop {
            let page = ledger.scan(&folder, TODO_PAGE, after.as_ref()).await?;
            for LedgerRecord { key, revision, value } in page.items {
                let (Some(place), Some(id)) = (Place::from_bytes(&value), keys::last_id(&key)) else { continue };
                if run.steps.saturating_add(written.count) >= budget {
                    run.steps += self.slots_written(tenant, publisher, &mut written).await?;
                }
                if run.steps >= budget {
                    return Ok(run);
                }
                let plan = self.plan(tenant, place.rollout).await?;
                let at = At { tenant, plan: &plan, place, id };
                let error = match self.write_slot(at, publisher).await? {
                    Ok(step) => {
                        if let Some(step) = step {
                            written.add(place, (step, (key, revision)));
                        }
                        failed_in_row = 0;
                        continue;
                    }
                    // The error concerns this slot alone.
                    Err(PublishError::Changed) => continue,
                    Err(error) => error,
                };
                let wait = match &error {
                    PublishError::Throttled { retry_after } | PublishError::Unavailable { retry_after, .. } => {
                        *retry_after
                    }
                    // The error may concern this slot alone, and the others should not wait for it.
                    _ if failed_in_row < MAX_FAILED => {
                        failed_in_row += 1;
                        run.error = run.error.or_else(|| Some(RegionError::new(region.clone(), id, error)));
                        continue;
                    }
                    _ => None,
                };
                run.steps += self.slots_written(tenant, publisher, &mut written).await?;
                let until =
                    self.now().saturating_add(time::Duration::try_from(wait.unwrap_or(REST)).unwrap_or_default());
                self.tell_lane(tenant, place, LaneInput::RegionRested { until }).await?;
                let error = Some(RegionError::new(region.clone(), id, error));
                return Ok(RegionRun { error, rests: true, ..run });
            }
            run.steps += self.slots_written(tenant, publisher, &mut written).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(run),
            }
        }
    }

    /// Reads the slots of all active deployments in a region, and of those that ended within the last day, and rewrites
    /// those that differ: call it after each new connection to a region that is not durable, and at intervals.
    ///
    /// # Errors
    /// [`RolloutError::UnknownRegion`]; [`RolloutError::Store`]. An error with one slot is counted.
    pub async fn verify(&self, tenant: &Tenant, region: &RegionId) -> Result<Verified, RolloutError> {
        let unknown = || RolloutError::UnknownRegion { region: region.clone() };
        let publisher = &**self.regions.get(region).ok_or_else(unknown)?;
        let (ledger, folder) = (self.ledger(tenant), LedgerKey::new(keys::DUE).map_err(StoreError::from)?);
        let (mut verified, mut after): (Verified, Option<PageToken>) = (Verified::default(), None);
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for record in page.items {
                let (Some(place), Some(id)) = (Place::from_bytes(&record.value), keys::last_id(&record.key)) else {
                    continue;
                };
                self.verify_slot(tenant, (region, publisher), (place, id), &mut verified).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let (folder, mut after) = (keys::cleared(region)?, None);
        let oldest = keys::minute(self.now()).saturating_sub(VERIFIED_MINUTES);
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for record in page.items {
                match (Place::from_bytes_at(&record.value), keys::last_id(&record.key)) {
                    (Some((place, at)), Some(id)) if at >= oldest => {
                        self.verify_slot(tenant, (region, publisher), (place, id), &mut verified).await?;
                    }
                    // A concurrent change wrote another time.
                    _ => drop(ledger.apply(vec![Change::delete(record.key, record.revision)]).await),
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(verified),
            }
        }
    }

    /// Lists the devices of a region that have a live deployment: those whose reports are waited for.
    ///
    /// # Errors
    /// [`RolloutError::Store`]
    pub async fn live_devices(&self, tenant: &Tenant, region: &RegionId) -> Result<Vec<Id>, RolloutError> {
        let (ledger, folder) = (self.ledger(tenant), LedgerKey::new(keys::DUE).map_err(StoreError::from)?);
        let (mut devices, mut after): (BTreeSet<Id>, Option<PageToken>) = (BTreeSet::new(), None);
        loop {
            let page = ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for record in page.items {
                let (Some(place), Some(id)) = (Place::from_bytes(&record.value), keys::last_id(&record.key)) else {
                    continue;
                };
                let found = self.deployment_at(tenant, place, id).await?.map(|seen| seen.value);
                let live = found.filter(|found| found.region == *region && found.state.is_in_flight());
                devices.extend(live.map(|deployment| deployment.device));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(devices.into_iter().collect()),
            }
        }
    }

    /// Verifies the slots of a region that is not durable, once over each connection to it.
    pub(super) async fn verify_connection(
        &self,
        tenant: &Tenant,
        region: &RegionId,
        publisher: &dyn Publisher,
    ) -> Result<(), RolloutError> {
        let Some(connection) = publisher.connection().filter(|_| !publisher.capabilities().durable) else {
            return Ok(());
        };
        let key = (tenant.clone(), region.clone());
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified().get(&key) == Some(&connection) {
            return Ok(());
        }
        if self.verify(tenant, region).await?.failed == 0 && publisher.connection() == Some(connection) {
            verified().insert(key, connection);
        }
        Ok(())
    }

    /// Reads the slot of a deployment, and lets the deployment take the step that follows.
    async fn verify_slot(
        &self,
        tenant: &Tenant,
        (region, publisher): (&RegionId, &dyn Publisher),
        (place, id): (Place, DeploymentId),
        verified: &mut Verified,
    ) -> Result<(), RolloutError> {
        let Some(seen) = self.deployment_at(tenant, place, id).await? else { return Ok(()) };
        let rests = matches!(
            seen.value.state,
            State::Offered { .. }
                | State::Claimed { stop: StopRequest::Written, .. }
                | State::Done { action: Some(_), clear: false, .. }
        );
        let Some(action) = seen.value.state.action().filter(|_| rests && seen.value.region == *region) else {
            return Ok(());
        };
        verified.read += 1;
        let found = match publisher.read(tenant, &slot(&seen.value)?).await {
            Ok(None) => Found::Older,
            // An offer of an earlier attempt, or of an earlier deployment, is removed as well.
            Ok(Some(publish::Found { content: Content::Offer(offer), .. }))
                if offer.action < action && seen.value.state.is_done() =>
            {
                Found::Offer
            }
            Ok(Some(found)) if found.content.action() < action => Found::Older,
            Ok(Some(found)) if found.content.action() > action => return Ok(()),
            Ok(Some(found)) => match found.content {
                Content::Offer(_) => Found::Offer,
                Content::Tombstone { .. } => Found::Tombstone,
            },
            // A device that is gone has no slot.
            Err(PublishError::UnknownDevice) if seen.value.state.is_done() => return Ok(()),
            Err(_) => {
                verified.failed += 1;
                return Ok(());
            }
        };
        let plan = self.plan(tenant, place.rollout).await?;
        let at = At { tenant, plan: &plan, place, id };
        let read = Input::SlotRead { action, found };
        verified.mended +=
            usize::from(matches!(self.step(at, Known::of(seen), Ask::Input(&read, None)).await?, Stepped::To(_)));
        Ok(())
    }

    /// Returns the current offers of a device, from the slots of its components: the answer to a polling device.
    ///
    /// # Errors
    /// [`RolloutError::Store`], where a slot could not be read.
    pub async fn offers(&self, tenant: &Tenant, device: &Id) -> Result<Vec<Offer>, RolloutError> {
        let mut offers = Vec::new();
        for lock in self.locks(tenant, device).await?.value.live {
            let Some(place) = self.place(tenant, lock.deployment).await? else { continue };
            let Some(seen) = self.deployment_at(tenant, place, lock.deployment).await? else { continue };
            let Some(publisher) = self.regions.get(&seen.value.region) else { continue };
            let found = match publisher.read(tenant, &slot(&seen.value)?).await {
                Ok(found) => found,
                Err(PublishError::UnknownDevice) => None,
                Err(error) => {
                    let (retry_after, source) = (None, Some(Box::new(error).into()));
                    return Err(StoreError::Unavailable { retry_after, source, subject: None }.into());
                }
            };
            if let Some(Content::Offer(offer)) = found.map(|found| found.content)
                && offer.key == seen.value.key()
            {
                offers.push(*offer);
            }
        }
        Ok(offers)
    }
}
