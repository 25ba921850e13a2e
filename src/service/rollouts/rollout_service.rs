//! The rollout service and its options.

use super::super::UpdateService;
use super::super::async_mutex::AsyncMutex;
use super::gates::GateProvider;
use super::keys;
use super::keys::Place;
use super::read::LaneSeen;
use super::{FieldTimes, RolloutError};
use crate::manifest::{ActorId, ArtifactName};
use crate::primitive::Uri;
use crate::publish::{OfferKey, Publisher, RegionId};
use crate::resource::Device;
use crate::store::{BlobStore, Ledger, ResourceStore, StoreError, Tenant, TenantLedger};
use crate::update::release::Release;
use crate::update::rollout::{RolloutId, Spec};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

type RegionOf = dyn Fn(&Tenant, &Device) -> Option<RegionId> + Send + Sync;
type LinkOf = dyn Fn(&Tenant, &OfferKey, &ArtifactName) -> Option<Uri> + Send + Sync;
pub(super) type LaneSlot = Arc<AsyncMutex<Option<LaneSeen>>>;

/// The spec and the release of a rollout. Neither changes while the rollout is active.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) spec: Arc<Spec>,
    pub(super) release: Arc<Release>,
}

/// Releases updates, rolls them out over regions, serves their bytes to devices, and records their reports.
///
/// It works on the ledger and the stores of an [`UpdateService`]. Any number of processes may work on one ledger; each
/// call may end at any point, and the next one continues. It spawns nothing: call [`run_once`](Self::run_once) for each
/// region, and [`run_due`](Self::run_due), at intervals.
///
/// ```
/// use fhir_devices::backend::{Memory, Slots};
/// use fhir_devices::service::{DeviceReport, ReleaseSubmission, ReportedVersion, RolloutService, UpdateService};
/// use fhir_devices::store::{Tenant, TenantResources, stream};
/// use fhir_devices::update::release::Target;
/// use fhir_devices::update::rollout::{RolloutRequest, Status};
/// use fhir_devices::{Device, DeviceComponent, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (tenant, by): (Tenant, _) = ("st-mary".parse()?, "biomed/j.doe".parse()?);
/// let memory = Arc::new(Memory::new());
/// let resources = TenantResources::new(memory.clone(), tenant.clone());
/// resources.create(&Valid::new(Device::from_json(br#"{"resourceType":"Device","id":"pump-7"}"#)?)?).await?;
/// let mds = br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"source":{"reference":"Device/pump-7"},
///     "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985"}]}}"#;
/// resources.create(&Valid::new(DeviceComponent::from_json(mds)?)?).await?;
///
/// let updates = UpdateService::new(memory.clone(), memory.clone(), memory.clone())?;
/// let region = "local".parse()?;
/// let service = RolloutService::new(updates)
///     .with_region("local".parse()?, Arc::new(Slots::new(memory, "local".parse()?)))
///     .with_links(|_, key, file| format!("https://updates.example/offers/{key}/{file}").parse().ok());
///
/// let (file, media_type) = ("pump.bin".parse()?, "application/octet-stream".parse()?);
/// let mut submission = ReleaseSubmission::new("pump/main".parse()?, "2.4.0".parse()?, 6, file, media_type);
/// submission.target = Target { level: None, code: Some(69985) };
/// let release = service.release(&tenant, submission, &by, stream::once("firmware")).await?;
/// let rollout = service.create(&tenant, RolloutRequest::new(release.id, region), &by).await?;
/// service.submit(&tenant, rollout.id).await?;
/// service.run_until_idle(&tenant).await?;
///
/// let offer = service.offers(&tenant, &"pump-7".parse()?).await?.remove(0);
/// let granted = service.claim(&tenant, offer.key, &"pump.bin".parse()?, None).await?;
/// assert_eq!(granted.size, 8);
/// let runs = ReportedVersion::new("mds".parse()?, "2.4.0");
/// service.report(&tenant, &"pump-7".parse()?, DeviceReport::versions([runs])).await?;
/// service.run_until_idle(&tenant).await?;
/// assert_eq!(service.rollout(&tenant, rollout.id).await?.status, Status::Completed);
/// # Ok(())
/// # }
/// ```
pub struct RolloutService<R: ?Sized = dyn ResourceStore, B: ?Sized = dyn BlobStore, L: ?Sized = dyn Ledger> {
    pub(super) updates: UpdateService<R, B, L>,
    pub(super) regions: BTreeMap<RegionId, Arc<dyn Publisher>>,
    pub(super) region_of: Option<Arc<RegionOf>>,
    pub(super) links: Arc<LinkOf>,
    pub(super) gates: Option<Arc<dyn GateProvider>>,
    /// Locks of lanes within this process: one call at a time. Other processes are noticed by the revisions of their
    /// writes.
    lanes: Arc<Mutex<HashMap<(Tenant, LaneName), LaneSlot>>>,
    plans: Arc<Mutex<HashMap<(Tenant, RolloutId), Plan>>>,
    /// The connection over which the slots of a region were last verified.
    pub(super) verified: Arc<Mutex<HashMap<(Tenant, RegionId), u64>>>,
    /// The times until the components that succeeded here ran the update.
    pub(super) field_times: Arc<Mutex<FieldTimes>>,
}

/// The key of a lane in the map.
type LaneName = (RolloutId, u16);

/// Maximum number of idle lanes and rollouts remembered.
const REMEMBERED: usize = 4_096;

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Creates a rollout service over the stores of an update service, without a region.
    #[must_use]
    pub fn new(updates: UpdateService<R, B, L>) -> Self {
        Self {
            updates,
            regions: BTreeMap::new(),
            region_of: None,
            links: Arc::new(|_, key, file| format!("offers/{key}/{file}").parse().ok()),
            gates: None,
            lanes: Arc::default(),
            plans: Arc::default(),
            verified: Arc::default(),
            field_times: Arc::default(),
        }
    }

    /// Adds a region and its publisher.
    #[must_use]
    pub fn with_region(mut self, region: RegionId, publisher: Arc<dyn Publisher>) -> Self {
        self.regions.insert(region, publisher);
        self
    }

    /// Sets the function that returns the region of a device. Without one, or for `None`, it is the first region by
    /// name.
    #[must_use]
    pub fn with_region_of(
        mut self,
        region: impl Fn(&Tenant, &Device) -> Option<RegionId> + Send + Sync + 'static,
    ) -> Self {
        self.region_of = Some(Arc::new(region));
        self
    }

    /// Sets the URL at which devices download the files of an offer. Its handler calls [`claim`](Self::claim) first.
    #[must_use]
    pub fn with_links(
        mut self,
        link: impl Fn(&Tenant, &OfferKey, &ArtifactName) -> Option<Uri> + Send + Sync + 'static,
    ) -> Self {
        self.links = Arc::new(link);
        self
    }

    /// Sets the provider of gates.
    #[must_use]
    pub fn with_gates(mut self, gates: impl GateProvider) -> Self {
        self.gates = Some(Arc::new(gates));
        self
    }

    /// Returns the regions of the service.
    pub fn regions(&self) -> impl Iterator<Item = &RegionId> {
        self.regions.keys()
    }

    /// Returns the service that receives updates over the same stores.
    #[must_use]
    pub fn updates(&self) -> &UpdateService<R, B, L> {
        &self.updates
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.updates.context.clock.now()
    }

    pub(super) fn actor(&self) -> ActorId {
        self.updates.context.actor.clone()
    }

    pub(super) fn ledger(&self, tenant: &Tenant) -> TenantLedger<L> {
        TenantLedger::new(Arc::clone(&self.updates.ledger), tenant.clone())
    }

    /// Returns the lock of a lane.
    pub(super) fn lane_slot(&self, tenant: &Tenant, place: Place) -> LaneSlot {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), (place.rollout, place.lane.0));
        if lanes.len() >= REMEMBERED && !lanes.contains_key(&key) {
            lanes.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(lanes.entry(key).or_insert_with(|| Arc::new(AsyncMutex::new(None))))
    }

    /// Returns the spec and the release of a rollout.
    pub(super) async fn plan(&self, tenant: &Tenant, id: RolloutId) -> Result<Plan, RolloutError> {
        let key = (tenant.clone(), id);
        let known = self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let record = self.ledger(tenant).get(&keys::spec(id)?).await?;
        let record = record.ok_or(RolloutError::NoSuchRollout { id })?;
        let corrupt = |error| StoreError::corrupt(format!("the record `{}`: {error}", record.key));
        let spec = Spec::from_bytes(&record.value).map_err(corrupt)?;
        let release = self.release_record(tenant, spec.release).await?.value;
        let plan = Plan { spec: Arc::new(spec), release: Arc::new(release) };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= REMEMBERED {
            plans.clear();
        }
        plans.insert(key, plan.clone());
        Ok(plan)
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> Clone for RolloutService<R, B, L> {
    fn clone(&self) -> Self {
        Self {
            updates: self.updates.clone(),
            regions: self.regions.clone(),
            region_of: self.region_of.clone(),
            links: Arc::clone(&self.links),
            gates: self.gates.clone(),
            lanes: Arc::clone(&self.lanes),
            plans: Arc::clone(&self.plans),
            verified: Arc::clone(&self.verified),
            field_times: Arc::clone(&self.field_times),
        }
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> fmt::Debug for RolloutService<R, B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolloutService").field("regions", &self.regions.keys()).finish_non_exhaustive()
    }
}
