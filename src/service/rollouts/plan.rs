//! Planning: assigning each component of a rollout to a lane, page by page.

use super::super::entries::Seen;
use super::component_members::ComponentMembers;
use super::control::said;
use super::keys::{self, Place, agenda};
use super::rollout_service::Plan;
use super::step::TRIES;
use super::{RolloutError, RolloutService};
use crate::containment::TreeBuilder;
use crate::nomenclature::Level;
use crate::primitive::Id;
use crate::publish::RegionId;
use crate::resource::{Device, DeviceComponent, Resource};
use crate::rest;
use crate::search::ResourceType;
use crate::store::{BlobStore, Change, Key, Ledger, ResourceStore, StoreError, Stored as _, Tenant, Version};
use crate::update::deployment::{self, Refusal, Target, Transition};
use crate::update::release;
use crate::update::rollout::{DeploymentId, Lane, Planned, Rollout, RolloutEffect, RolloutInput, Scope};
use std::collections::BTreeMap;

/// Returns whether a release is for a component, as far as the codes of its type tell.
fn by_type<C: Iterator<Item = u32>>(target: &release::Target, codes: impl Fn() -> C) -> Option<bool> {
    if target.code.is_some_and(|wanted| !codes().any(|code| code == wanted)) {
        return Some(false);
    }
    let Some(wanted) = target.level else { return Some(true) };
    Some(codes().find_map(Level::of_code)? == wanted)
}

/// How many components are found at a time.
const PAGE: usize = 1_024;

/// Number of changes for each planned component: a record, a pointer, an entry of the queue and an audit record. The
/// lane is one more.
const CHANGES_EACH: usize = 4;

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Searches the components of a tenant.
    pub(super) fn searcher(&self, tenant: &Tenant) -> rest::Server<R> {
        let resources = self.updates.resources(tenant);
        let base = resources.own_base().map_or_else(|| "http://localhost".to_owned(), ToString::to_string);
        rest::Server::new(resources, base)
    }

    /// Returns one page of the components that a rollout of a release targets, and the next page.
    pub(super) async fn targets(
        &self,
        tenant: &Tenant,
        plan: &Plan,
        after: Option<&str>,
    ) -> Result<(Vec<Target>, Option<String>), RolloutError> {
        let search = plan.spec.search.as_deref().unwrap_or("DeviceComponent");
        let (found, next) = self.components(tenant, search, after).await?;
        let mut targets = Vec::with_capacity(found.len());
        for version in &found {
            if let Some(target) = self.target(tenant, plan, version).await? {
                targets.push(target);
            }
        }
        Ok((targets, next))
    }

    /// Returns one page of a search of components. With a page token that is no longer known, the search starts again
    /// from the first page.
    pub(super) async fn components(
        &self,
        tenant: &Tenant,
        search: &str,
        after: Option<&str>,
    ) -> Result<(Vec<Version>, Option<String>), RolloutError> {
        let searcher = self.searcher(tenant);
        let page = searcher.scan(search, ResourceType::DeviceComponent, PAGE, after).await;
        let page = match page {
            Err(problem) if after.is_some() && problem.status() == 400 => {
                searcher.scan(search, ResourceType::DeviceComponent, PAGE, None).await
            }
            page => page,
        };
        page.map_err(|problem| match problem.status() {
            400..=499 => RolloutError::InvalidSearch { why: said(&problem) },
            _ => {
                StoreError::Unavailable { retry_after: None, source: Some(said(&problem).into()), subject: None }.into()
            }
        })
    }

    /// Returns a component as a target of a rollout; nothing where the release is not for it, or the rollout not for
    /// its region.
    async fn target(&self, tenant: &Tenant, plan: &Plan, version: &Version) -> Result<Option<Target>, RolloutError> {
        let members = ComponentMembers::from_version(version)?;
        let Some(device) = members.source().and_then(|source| self.device_named(tenant, source)) else {
            return Ok(None);
        };
        let wanted = &plan.release.request.target;
        let is_meant = match by_type(wanted, || members.codes()) {
            Some(is_meant) => is_meant,
            None => self.is_meant(tenant, wanted, &device, &DeviceComponent::from_version(version)?).await?,
        };
        if !is_meant {
            return Ok(None);
        }
        let Ok(id) = Id::new(version.key.id().as_str()) else { return Ok(None) };
        let Some(region) = self.region_of(tenant, &device).await? else { return Ok(None) };
        Ok(plan.spec.regions.contains_key(&region).then_some(Target { device, component: id, region }))
    }

    /// Returns the region of a device.
    pub(super) async fn region_of(&self, tenant: &Tenant, device: &Id) -> Result<Option<RegionId>, RolloutError> {
        let first = || self.regions.keys().next().cloned();
        let Some(region_of) = &self.region_of else { return Ok(first()) };
        match self.updates.resources(tenant).get::<Device>(device.as_str()).await {
            Ok((device, _)) => Ok(region_of(tenant, &device).or_else(first)),
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(first()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether a release is for a component. The level is looked up in the device only where the type does not
    /// determine it.
    pub(super) async fn is_meant(
        &self,
        tenant: &Tenant,
        target: &release::Target,
        device: &Id,
        component: &DeviceComponent,
    ) -> Result<bool, RolloutError> {
        let codes = || {
            let coded = component.r#type.coding.iter();
            let mdc = coded.filter(|coding| {
                let system = coding.system.as_ref().and_then(|system| system.get());
                system.is_some_and(|system| crate::nomenclature::is_mdc(system.as_str()))
            });
            mdc.filter_map(|coding| coding.code.as_ref()?.get()?.as_str().parse::<u32>().ok())
        };
        if let Some(is_meant) = by_type(target, codes) {
            return Ok(is_meant);
        }
        let resources = self.updates.resources(tenant);
        let key = Key::new(ResourceType::Device, device.as_str()).map_err(StoreError::from)?;
        let members = resources.device_members(&key, &[ResourceType::DeviceComponent]).await?;
        let all: Vec<DeviceComponent> = members
            .into_iter()
            .filter_map(|(resource, _)| match resource {
                Resource::DeviceComponent(component) => Some(*component),
                _ => None,
            })
            .collect();
        let tree = TreeBuilder::with_capacity(all.len()).at(resources.own_base().cloned()).with_items(&all).build();
        let id = component.id.as_ref().and_then(|id| id.get());
        let node = id.and_then(|id| tree.get(id.as_str()));
        Ok(node.is_some_and(|node| !node.is_void() && node.level() == target.level))
    }

    /// Plans one page of a rollout, if one is to be planned; returns whether it was. Earlier plans do not change.
    pub(super) async fn plan_page(
        &self,
        tenant: &Tenant,
        rollout: &mut Seen<Rollout>,
        plan: &Plan,
    ) -> Result<bool, RolloutError> {
        let Some(RolloutEffect::PlanPage { from }) = crate::update::rollout::resume(&rollout.value) else {
            return Ok(false);
        };
        let id = rollout.value.id;
        self.make_lanes(tenant, id, &plan.spec).await?;
        let (targets, next) = self.targets(tenant, plan, from.as_deref()).await?;
        let found = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        self.plan_targets(tenant, id, plan, targets).await?;
        let planned = RolloutInput::PagePlanned { from, next, found };
        match self.try_step(tenant, rollout, plan, &planned).await {
            // Another process has planned the page meanwhile, or the rollout was cancelled: the next pass sees either.
            Ok(_) | Err(RolloutError::Rollout { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Plans components that joined a rollout since it was planned.
    pub(super) async fn plan_again(&self, tenant: &Tenant, rollout: &Rollout, plan: &Plan) -> Result<(), RolloutError> {
        let Scope::Dynamic { until, most } = plan.spec.scope else { return Ok(()) };
        let Planned { done: true, .. } = rollout.planned else { return Ok(()) };
        if self.now() >= until {
            return Ok(());
        }
        let mut after = None;
        loop {
            let (_, fold) = self.fold(tenant, rollout.id, plan).await?;
            let ended = crate::update::deployment::OutcomeClass::ALL.iter().map(|class| fold.tally.of(*class));
            let known = ended.fold(fold.counts.open(), u32::saturating_add);
            let room = usize::try_from(most.get().saturating_sub(known)).unwrap_or(0);
            if room == 0 {
                return Ok(());
            }
            let (mut targets, next) = self.targets(tenant, plan, after.as_deref()).await?;
            let mut new = Vec::new();
            for target in targets.drain(..) {
                let id = DeploymentId::of(tenant, rollout.id, &target.component);
                if new.len() < room && self.place(tenant, id).await?.is_none() {
                    new.push(target);
                }
            }
            self.plan_targets(tenant, rollout.id, plan, new).await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn plan_targets(
        &self,
        tenant: &Tenant,
        rollout: crate::update::rollout::RolloutId,
        plan: &Plan,
        targets: Vec<Target>,
    ) -> Result<(), RolloutError> {
        let mut lanes: BTreeMap<Lane, Vec<Target>> = BTreeMap::new();
        for target in targets {
            if let Some(lane) = plan.spec.lane_of(rollout, &target.region, &target.component) {
                lanes.entry(lane).or_default().push(target);
            }
        }
        let at_once = self.ledger(tenant).max_changes().saturating_sub(1) / CHANGES_EACH;
        for (lane, targets) in lanes {
            let place = Place { rollout, lane };
            for some in targets.chunks(at_once.max(1)) {
                if !self.plan_some(tenant, plan, place, some).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Plans some components of one lane; `false` where the lane takes none any more.
    async fn plan_some(
        &self,
        tenant: &Tenant,
        plan: &Plan,
        place: Place,
        targets: &[Target],
    ) -> Result<bool, RolloutError> {
        let slot = self.lane_slot(tenant, place);
        let mut held = slot.take().await;
        let mut looks = false;
        for _ in 0..TRIES {
            let lane = match held.get().cloned().flatten().filter(|_| !looks) {
                Some(lane) => lane,
                None => self.lane(tenant, place).await?,
            };
            held.set(None);
            let (mut head, mut events) = (lane.kept.head, Vec::with_capacity(targets.len()));
            let mut changes = Vec::with_capacity(targets.len().saturating_mul(CHANGES_EACH));
            for target in targets {
                let id = DeploymentId::of(tenant, place.rollout, &target.component);
                if looks && self.place(tenant, id).await?.is_some() {
                    continue;
                }
                let Transition { deployment, lane, .. } = {
                    match deployment::plan(tenant, &plan.spec, &head, target.clone(), self.now()) {
                        Ok(transition) => {
                            events.push(transition.event());
                            transition
                        }
                        Err(Refusal::NotOpen) => return Ok(false),
                        Err(refusal) => return Err(RolloutError::Deployment { deployment: id, refusal }),
                    }
                };
                head = lane;
                changes.push(Change::create(keys::deployment(place, id)?, deployment.to_bytes()));
                changes.push(Change::create(keys::place_of(id)?, place.to_bytes()));
                for key in agenda(&deployment)? {
                    changes.push(Change::create(key, place.to_bytes()));
                }
            }
            if events.is_empty() {
                held.set(Some(lane));
                return Ok(true);
            }
            if let Some(next) = self.write_lane(tenant, &lane, head, &events, None, changes).await? {
                held.set(next);
                return Ok(true);
            }
            looks = true;
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }
}
