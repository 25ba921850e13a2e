//! Reading the records of rollouts.

use super::super::entries::{Seen, unreadable};
use super::keys::{self, Place};
use super::{RolloutError, RolloutService};
use crate::audit::{ChainHead, Checkpoint};
use crate::manifest::ReleaseId;
use crate::primitive::Id;
use crate::store::{
    BlobStore, Ledger, LedgerKey, LedgerRecord, Page, PageToken, ResourceStore, Result as StoreResult, Revision,
    Sha256, StoreError, Tenant,
};
use crate::update::deployment::{Deployment, DeviceOffers, OutcomeClass, StateName};
use crate::update::release::Release;
use crate::update::rollout::{DeploymentId, LaneHead, Rollout, RolloutId};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// A stored lane, with the end of its audit chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptLane {
    format: u32,
    pub(super) head: LaneHead,
    /// The number of records in its chain.
    pub(super) count: u64,
    /// The digest of the last record.
    pub(super) root: Sha256,
    /// The number of records sealed in the tenant's chain.
    #[serde(default)]
    pub(super) sealed: u64,
    /// Whether all its deployments were asked to stop, after it began to drain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) all_stopped: bool,
}

const FORMAT: u32 = 1;

impl KeptLane {
    pub(super) fn new(tenant: &Tenant, head: LaneHead) -> Self {
        let start = ChainHead::of_lane(tenant.clone(), head.rollout.0, head.lane.0);
        Self { format: FORMAT, head, count: 0, root: start.root(), sealed: 0, all_stopped: false }
    }

    /// Returns the lane with another head.
    pub(super) fn with(&self, head: LaneHead) -> Self {
        Self { head, ..self.clone() }
    }

    pub(super) fn chain(&self, tenant: &Tenant) -> ChainHead {
        ChainHead::at(Checkpoint { tenant: tenant.clone(), count: self.count, root: self.root })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers under fixed names always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn from_bytes(key: &LedgerKey, bytes: &[u8]) -> StoreResult<Self> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| unreadable(key, error))?;
        if read.format == FORMAT { Ok(read) } else { Err(unreadable(key, "it is of a later format")) }
    }
}

/// A lane as read.
#[derive(Clone, Debug)]
pub(super) struct LaneSeen {
    pub(super) key: LedgerKey,
    pub(super) revision: Revision,
    pub(super) kept: KeptLane,
}

/// A filter for the deployments of a rollout.
///
/// ```
/// use fhir_devices::service::DeploymentFilter;
/// use fhir_devices::update::deployment::OutcomeClass;
/// let unproven = DeploymentFilter::default().with_outcome(OutcomeClass::Unproven);
/// assert_eq!(unproven.state, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeploymentFilter {
    /// Only deployments in this state.
    pub state: Option<StateName>,
    /// Only deployments with this outcome.
    pub outcome: Option<OutcomeClass>,
    /// Only deployments whose device was ever given bytes.
    pub granted: bool,
}

impl DeploymentFilter {
    /// Sets the state.
    #[must_use]
    pub const fn with_state(self, state: StateName) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Sets the outcome.
    #[must_use]
    pub const fn with_outcome(self, outcome: OutcomeClass) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// Sets whether only deployments match whose device was ever given bytes.
    #[must_use]
    pub const fn with_granted(self, granted: bool) -> Self {
        Self { granted, ..self }
    }

    fn takes(&self, deployment: &Deployment) -> bool {
        let outcome = deployment.state.outcome().map(crate::update::deployment::Outcome::class);
        self.state.is_none_or(|state| deployment.state.name() == state)
            && (self.outcome.is_none() || outcome == self.outcome)
            && (!self.granted || deployment.granted)
    }
}

/// Number of records read for one page of matches.
const READ: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    pub(super) async fn release_record(&self, tenant: &Tenant, id: ReleaseId) -> Result<Seen<Release>, RolloutError> {
        let found = self.ledger(tenant).get(&keys::release(id)?).await?;
        let LedgerRecord { key, revision, value } = found.ok_or(RolloutError::NoSuchRelease { id })?;
        let value = Release::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
        Ok(Seen { key, revision: Some(revision), value })
    }

    pub(super) async fn rollout_record(&self, tenant: &Tenant, id: RolloutId) -> Result<Seen<Rollout>, RolloutError> {
        let ledger = self.ledger(tenant);
        // The rollout moves from one folder to the other once.
        for folder in [keys::OPEN, keys::ENDED, keys::OPEN] {
            if let Some(LedgerRecord { key, revision, value }) = ledger.get(&keys::rollout(folder, id)?).await? {
                let value = Rollout::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                return Ok(Seen { key, revision: Some(revision), value });
            }
        }
        Err(RolloutError::NoSuchRollout { id })
    }

    pub(super) async fn lane(&self, tenant: &Tenant, place: Place) -> Result<LaneSeen, RolloutError> {
        let found = self.ledger(tenant).get(&keys::lane(place.rollout, place.lane)?).await?;
        let LedgerRecord { key, revision, value } = found.ok_or(RolloutError::NoSuchRollout { id: place.rollout })?;
        let kept = KeptLane::from_bytes(&key, &value)?;
        Ok(LaneSeen { key, revision, kept })
    }

    pub(super) async fn place(&self, tenant: &Tenant, id: DeploymentId) -> Result<Option<Place>, RolloutError> {
        let found = self.ledger(tenant).get(&keys::place_of(id)?).await?;
        let Some(LedgerRecord { key, value, .. }) = found else { return Ok(None) };
        Ok(Some(Place::from_bytes(&value).ok_or_else(|| unreadable(&key, "it names no lane"))?))
    }

    pub(super) async fn deployment_at(
        &self,
        tenant: &Tenant,
        place: Place,
        id: DeploymentId,
    ) -> Result<Option<Seen<Deployment>>, RolloutError> {
        let Some(found) = self.ledger(tenant).get(&keys::deployment(place, id)?).await? else { return Ok(None) };
        let LedgerRecord { key, revision, value } = found;
        let value = Deployment::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
        Ok(Some(Seen { key, revision: Some(revision), value }))
    }

    /// Returns a deployment that was read before, as it is by now. One that has not changed is not decoded again.
    pub(super) async fn deployment_again(
        &self,
        tenant: &Tenant,
        seen: Seen<Deployment>,
    ) -> Result<Option<Seen<Deployment>>, RolloutError> {
        let Some(found) = self.ledger(tenant).get(&seen.key).await? else { return Ok(None) };
        if seen.revision.as_ref() == Some(&found.revision) {
            return Ok(Some(seen));
        }
        let LedgerRecord { key, revision, value } = found;
        let value = Deployment::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
        Ok(Some(Seen { key, revision: Some(revision), value }))
    }

    /// Returns a deployment.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchDeployment`]; [`RolloutError::Store`].
    pub async fn deployment(&self, tenant: &Tenant, id: DeploymentId) -> Result<Deployment, RolloutError> {
        let none = || RolloutError::NoSuchDeployment { id };
        let place = self.place(tenant, id).await?.ok_or_else(none)?;
        Ok(self.deployment_at(tenant, place, id).await?.ok_or_else(none)?.value)
    }

    pub(super) async fn locks(&self, tenant: &Tenant, device: &Id) -> Result<Seen<DeviceOffers>, StoreError> {
        let key = keys::lock(device)?;
        Ok(match self.ledger(tenant).get(&key).await? {
            Some(LedgerRecord { key, revision, value }) => {
                let value = DeviceOffers::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                Seen { key, revision: Some(revision), value }
            }
            None => Seen { key, revision: None, value: DeviceOffers::default() },
        })
    }

    /// Returns one page of the releases of a tenant, by id.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn releases(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Release>, RolloutError> {
        let folder = LedgerKey::new(keys::RELEASES).map_err(StoreError::from)?;
        let Page { items, next } = self.ledger(tenant).scan(&folder, limit, after).await?;
        let read = |LedgerRecord { key, value, .. }: LedgerRecord| {
            Release::from_bytes(&value).map_err(|error| unreadable(&key, error))
        };
        Ok(Page { items: items.into_iter().map(read).collect::<Result<_, _>>()?, next })
    }

    /// Returns one page of the rollouts of a tenant, by id: the active ones, or the ended ones.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn rollouts(
        &self,
        tenant: &Tenant,
        ended: bool,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Rollout>, RolloutError> {
        let folder = LedgerKey::new(if ended { keys::ENDED } else { keys::OPEN }).map_err(StoreError::from)?;
        let Page { items, next } = self.ledger(tenant).scan(&folder, limit, after).await?;
        let read = |LedgerRecord { key, value, .. }: LedgerRecord| {
            Rollout::from_bytes(&value).map_err(|error| unreadable(&key, error))
        };
        Ok(Page { items: items.into_iter().map(read).collect::<Result<_, _>>()?, next })
    }

    /// Returns one page of the deployments of a rollout that match a filter. Where few match, a page may have fewer
    /// than `limit`, or none, and more may follow.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn deployments(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        filter: DeploymentFilter,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Deployment>, RolloutError> {
        let folder = keys::all_deployments(rollout)?;
        let (ledger, mut found, mut after) = (self.ledger(tenant), Vec::new(), after.cloned());
        let everything = filter == DeploymentFilter::default();
        let (mut read, most) = (0, usize::try_from(limit.get()).unwrap_or(usize::MAX));
        loop {
            let left = u32::try_from(most.saturating_sub(found.len())).unwrap_or(u32::MAX);
            let count = if everything { limit } else { NonZeroU32::new(left).unwrap_or(NonZeroU32::MIN).min(READ) };
            let Page { items, next } = ledger.scan(&folder, count, after.as_ref()).await?;
            read += items.len();
            for LedgerRecord { key, value, .. } in items {
                let deployment = Deployment::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                if filter.takes(&deployment) {
                    found.push(deployment);
                }
            }
            if next.is_none() || found.len() >= most || read >= READ.get() as usize {
                return Ok(Page { items: found, next });
            }
            after = next;
        }
    }

    /// Returns all lanes of a rollout, in order. Their number is small and bounded.
    pub(super) async fn all_lanes(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        count: u16,
    ) -> Result<Vec<LaneSeen>, RolloutError> {
        let (ledger, folder) = (self.ledger(tenant), keys::lanes(rollout)?);
        let (mut lanes, mut after) = (Vec::with_capacity(count.into()), None);
        loop {
            let page = ledger.scan(&folder, READ, after.as_ref()).await?;
            for LedgerRecord { key, revision, value } in page.items {
                let kept = KeptLane::from_bytes(&key, &value)?;
                lanes.push(LaneSeen { key, revision, kept });
            }
            match page.next {
                Some(next) => after = Some(next),
                None if lanes.len() == usize::from(count) => return Ok(lanes),
                None => return Err(RolloutError::NoSuchRollout { id: rollout }),
            }
        }
    }
}
