//! The effect of a rollout before it is created.

use super::control::said;
use super::offer::is_version;
use super::{Blocked, RolloutError, RolloutService};
use crate::manifest::ReleaseId;
use crate::primitive::Id;
use crate::publish::RegionId;
use crate::resource::DeviceComponent;
use crate::search::ResourceType;
use crate::store::{BlobStore, Ledger, ResourceStore, Stored as _, Tenant};
use crate::update::release::Release;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The components that a rollout of a release would target, as far as they were looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preview {
    /// The number of components of the scope that were looked at.
    pub(crate) looked_at: usize,
    /// The number of components that the release is for, by region.
    pub(crate) regions: BTreeMap<RegionId, usize>,
    /// The number of these that report the version of the release already.
    pub(crate) already: usize,
    /// The number of components that each reason would hold back now, with the text for one of them.
    pub(crate) held_back: BTreeMap<Blocked, (usize, String)>,
    /// Whether the scope has more components, which were not looked at.
    pub(crate) more: bool,
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Looks at the components that a rollout of a release would target, up to a number and a time.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRelease`], [`RolloutError::InvalidSearch`]; [`RolloutError::Store`].
    pub(crate) async fn preview(
        &self,
        tenant: &Tenant,
        release: ReleaseId,
        search: Option<&str>,
        (most, time): (usize, Duration),
    ) -> Result<Preview, RolloutError> {
        let release = self.release_record(tenant, release).await?.value;
        let search = search.unwrap_or("DeviceComponent");
        let checked = self.searcher(tenant).check_scan(search, ResourceType::DeviceComponent);
        checked.map_err(|problem| RolloutError::InvalidSearch { why: said(&problem) })?;
        let (began, mut preview, mut after) = (Instant::now(), Preview::default(), None);
        loop {
            let (found, next) = self.components(tenant, search, after.as_deref()).await?;
            for version in &found {
                self.preview_one(tenant, &release, &DeviceComponent::from_version(version)?, &mut preview).await?;
            }
            match next {
                Some(_) if preview.looked_at >= most || began.elapsed() >= time => {
                    preview.more = true;
                    return Ok(preview);
                }
                Some(next) => after = Some(next),
                None => return Ok(preview),
            }
        }
    }

    async fn preview_one(
        &self,
        tenant: &Tenant,
        release: &Release,
        component: &DeviceComponent,
        preview: &mut Preview,
    ) -> Result<(), RolloutError> {
        preview.looked_at += 1;
        let Some(id) = component.id.as_ref().and_then(|id| id.get()).cloned() else { return Ok(()) };
        let Some(device) = self.device_of(tenant, component) else { return Ok(()) };
        if !self.is_meant(tenant, &release.request.target, &device, component).await? {
            return Ok(());
        }
        let Some(region) = self.region_of(tenant, &device).await? else { return Ok(()) };
        *preview.regions.entry(region).or_default() += 1;
        if release.request.reported_as.observed(component, None).any(|version| is_version(release, version)) {
            preview.already += 1;
            return Ok(());
        }
        for (blocked, words) in self.would_block(tenant, release, &device, &id).await? {
            preview.held_back.entry(blocked).or_insert((0, words)).0 += 1;
        }
        Ok(())
    }

    /// Returns the reason that would hold a component back, by the checks of [`explain`](Self::explain) that need no
    /// deployment.
    async fn would_block(
        &self,
        tenant: &Tenant,
        release: &Release,
        device: &Id,
        component: &Id,
    ) -> Result<Vec<(Blocked, String)>, RolloutError> {
        let mut reasons = Vec::new();
        let locks = self.locks(tenant, device).await?.value;
        if !locks.live.is_empty() {
            let line = self.line(tenant, device, component).await?;
            let lock = locks.live.iter().find(|lock| lock.component == *component || line.contains(&lock.component));
            if let Some(lock) = lock {
                let words = format!("deployment `{}` is at work on component `{}`", lock.deployment, lock.component);
                reasons.push((Blocked::Locked, words));
            }
        }
        let accepted = self.updates.accepted(tenant, component).await?;
        let provider = super::step::provider(release);
        if let Some(before) = accepted.of(provider.as_ref())
            && before.by != release.accepted_for(Some(before))
            && before.highest >= release.request.sequence
        {
            let words = format!(
                "the component `{component}` accepted the sequence number {}, and the release has {}",
                before.highest, release.request.sequence
            );
            reasons.push((Blocked::Sequence, words));
        }
        Ok(reasons)
    }
}
