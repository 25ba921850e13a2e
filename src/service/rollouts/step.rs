//! One step of a deployment: its record, its lane, the locks of its device and the audit record, in one commit.

use super::super::entries::Seen;
use super::keys::{self, Place, agenda, agenda_value};
use super::read::{KeptLane, LaneSeen};
use super::rollout_service::Plan;
use super::{RolloutError, RolloutService};
use crate::audit::{Actor, AuditRecord, RecordContext};
use crate::containment::TreeBuilder;
use crate::manifest::accept;
use crate::primitive::{Id, Text};
use crate::resource::{DeviceComponent, Resource};
use crate::search::ResourceType;
use crate::store::{Applied, BlobStore, Change, CommitError, Key, Ledger, ResourceStore, Sha256, StoreError, Tenant};
use crate::update::Accepted;
use crate::update::deployment::{self, Context, Deployment, DeviceOffers, Input, Refusal, Step, Transition};
use crate::update::release::Release;
use crate::update::rollout::{DeploymentId, Epoch, Event, LaneHead};

/// Number of tries of a step against other writers of the same records.
pub(super) const TRIES: u32 = 64;

/// Returns the provider of a release, in the form of the accepted sequence numbers.
pub(super) fn provider(release: &Release) -> Option<Text> {
    release.request.provider.as_ref().and_then(|provider| Text::new(provider.as_str()).ok())
}

/// A deployment, its location, and the plan of its rollout.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) plan: &'a Plan,
    pub(super) place: Place,
    pub(super) id: DeploymentId,
}

/// The request to a deployment.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// An input, with the audit context where the input is a device's report.
    Input(&'a Input, Option<&'a RecordContext>),
    /// Whether the deployment may be offered the update now.
    Offer { epoch: Epoch, one_per_device: bool },
}

/// The outcome of a step.
#[derive(Debug)]
pub(super) enum Stepped {
    /// The transition was recorded.
    To(Box<Transition>),
    /// The device continues with the bytes it was granted.
    Granted(Deployment),
    /// Nothing had to be written.
    Unchanged(Deployment),
    /// The machine refuses the input.
    Refused(Refusal, Deployment),
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Steps a deployment from its current state. With a remembered lane only a transition is trusted, since its write
    /// detects a stale lane; any other outcome is checked again with the lane as stored.
    pub(super) async fn step(&self, at: At<'_>, ask: Ask<'_>) -> Result<Stepped, RolloutError> {
        let slot = self.lane_slot(at.tenant, at.place);
        let mut held = slot.take().await;
        // Whether bytes are granted is never decided with a remembered lane.
        let mut remembers = !matches!(ask, Ask::Input(Input::ClaimRequested { .. }, _));
        for _ in 0..TRIES {
            let known = held.get().cloned().flatten().filter(|_| remembers);
            let remembered = known.is_some();
            let lane = match known {
                Some(lane) => lane,
                None => self.lane(at.tenant, at.place).await?,
            };
            // Until a write is known to have been applied, the lane is unknown.
            held.set(None);
            let found = self.deployment_at(at.tenant, at.place, at.id).await?;
            let seen = found.ok_or(RolloutError::NoSuchDeployment { id: at.id })?;
            let asks_for_lock = matches!(ask, Ask::Offer { .. });
            let locks = match asks_for_lock || seen.value.state.is_in_flight() {
                true => self.locks(at.tenant, &seen.value.device).await?,
                false => Seen { key: keys::lock(&seen.value.device)?, revision: None, value: DeviceOffers::default() },
            };
            let mut accepted = None;
            let offer;
            let (input, record_context) = match ask {
                Ask::Input(input, record_context) => (input, record_context),
                Ask::Offer { epoch, one_per_device } => {
                    let admission = self.admission(at, &seen.value.component).await?;
                    let line = match locks.value.live.iter().any(|lock| lock.deployment != at.id) {
                        true => self.line(at.tenant, &seen.value.device, &seen.value.component).await?,
                        false => Vec::new(),
                    };
                    let admitted = admission.is_some();
                    accepted = admission.flatten();
                    offer = Input::OfferRequested { epoch, line, one_per_device, admitted };
                    (&offer, None)
                }
            };
            let context = Context { spec: &at.plan.spec, lane: &lane.kept.head, offers: &locks.value };
            let transition = match deployment::step(&seen.value, context, input, self.now()) {
                Ok(Step::Transition(transition)) => transition,
                Ok(_) | Err(_) if remembered => {
                    remembers = false;
                    continue;
                }
                Ok(Step::Granted) => {
                    held.set(Some(lane));
                    return Ok(Stepped::Granted(seen.value));
                }
                Ok(Step::Unchanged) => {
                    held.set(Some(lane));
                    return Ok(Stepped::Unchanged(seen.value));
                }
                Err(refusal) => {
                    held.set(Some(lane));
                    return Ok(Stepped::Refused(refusal, seen.value));
                }
            };
            let mut changes = self.changes(at.tenant, &seen, &transition.deployment).await?;
            if let Some(next) = &transition.offers {
                let Seen { key, revision, .. } = locks;
                changes.push(Change { key, expected: revision, value: Some(next.to_bytes().into()) });
            }
            if let (Some((seen, next)), true) = (accepted, asks_for_lock) {
                let Seen { key, revision, .. } = seen;
                changes.push(Change { key, expected: revision, value: Some(Accepted::to_bytes(&next).into()) });
            }
            let events = [transition.event()];
            if let Some(next) =
                self.write_lane(at.tenant, &lane, transition.lane, &events, record_context, changes).await?
            {
                held.set(next);
                self.count_field_time(at.plan, &transition);
                return Ok(Stepped::To(Box::new(transition)));
            }
            remembers = false;
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Returns the changes of a deployment's record, and of the keys by which it is found.
    async fn changes(
        &self,
        tenant: &Tenant,
        seen: &Seen<Deployment>,
        next: &Deployment,
    ) -> Result<Vec<Change>, StoreError> {
        let ledger = self.ledger(tenant);
        let value = Some(next.to_bytes().into());
        let mut changes = vec![Change { key: seen.key.clone(), expected: seen.revision.clone(), value }];
        let (before, after) = (agenda(&seen.value)?, agenda(next)?);
        for key in before.iter().filter(|key| !after.contains(key)) {
            if let Some(found) = ledger.get(key).await? {
                changes.push(Change::delete(found.key, found.revision));
            }
        }
        for key in after.into_iter().filter(|key| !before.contains(key)) {
            let value = agenda_value(&key, next, self.now());
            changes.push(Change::create(key, value));
        }
        Ok(changes)
    }

    /// Writes a new state of a lane, with the records of its chain and related changes. `None` where a record had
    /// changed since it was read; otherwise the lane, where its state is known.
    pub(super) async fn write_lane(
        &self,
        tenant: &Tenant,
        seen: &LaneSeen,
        head: LaneHead,
        events: &[Event],
        context: Option<&RecordContext>,
        changes: Vec<Change>,
    ) -> Result<Option<Option<LaneSeen>>, StoreError> {
        let kept = seen.kept.with(head);
        let (kept, mut all, records) = self.chained(tenant, &kept, events, context)?;
        let own = Change::replace(seen.key.clone(), seen.revision.clone(), kept.to_bytes());
        all.insert(0, own);
        all.extend(changes);
        let written = self.commit(tenant, all, records.first().map(|record| (&kept, record))).await?;
        if written.is_some() {
            self.tell(&records);
        }
        Ok(written.map(|revision| revision.map(|revision| LaneSeen { key: seen.key.clone(), revision, kept })))
    }

    /// Returns a lane with more events in its chain, and the changes that write them.
    pub(super) fn chained(
        &self,
        tenant: &Tenant,
        kept: &KeptLane,
        events: &[Event],
        context: Option<&RecordContext>,
    ) -> Result<(KeptLane, Vec<Change>, Vec<AuditRecord>), StoreError> {
        let mut kept = kept.clone();
        let (mut changes, mut records) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        let (rollout, lane) = (kept.head.rollout, kept.head.lane);
        for event in events {
            let by = context.cloned().unwrap_or_else(|| RecordContext::by(Actor::service(self.actor())));
            let added = kept.chain(tenant).append(event.draft(), by);
            changes.push(Change::create(keys::lane_record(rollout, lane, kept.count)?, added.line));
            (kept.count, kept.root) = (added.head.count(), added.head.root());
            records.push(added.record);
        }
        Ok((kept, changes, records))
    }

    /// Applies changes, the first of which is that of a lane. `None` where a record had changed since it was read;
    /// otherwise the new revision of the lane, where known.
    pub(super) async fn commit(
        &self,
        tenant: &Tenant,
        changes: Vec<Change>,
        sign: Option<(&KeptLane, &AuditRecord)>,
    ) -> Result<Option<Option<crate::store::Revision>>, StoreError> {
        let ledger = self.ledger(tenant);
        match ledger.apply(changes).await {
            Ok(mut made) if !made.is_empty() => Ok(Some(Some(made.swap_remove(0)))),
            Ok(_) => Ok(Some(None)),
            Err(CommitError { error: StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }, .. }) => Ok(None),
            Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {
                // The record of the chain at its index decides, as no other call writes the same one.
                let Some((kept, record)) = sign else { return Err(error) };
                let key = keys::lane_record(kept.head.rollout, kept.head.lane, record.index)?;
                let lost = |lost| StoreError::indeterminate(Some(Box::new(lost)));
                let found = ledger.get(&key).await.map_err(lost)?;
                let is_own = found.is_some_and(|found| Sha256::of(&found.value) == record.digest());
                Ok(if is_own { Some(None) } else { None })
            }
            Err(CommitError { error, .. }) => Err(error),
        }
    }

    pub(super) fn tell(&self, records: &[AuditRecord]) {
        if let Some(sink) = &self.updates.context.sink {
            records.iter().for_each(|record| sink.recorded(record));
        }
    }

    /// Returns whether a component may have the release by its accepted sequence numbers, and the new acceptance, if
    /// any. `None` where it may not.
    #[allow(clippy::type_complexity, reason = "it is taken apart at once")]
    async fn admission(
        &self,
        at: At<'_>,
        component: &Id,
    ) -> Result<Option<Option<(Seen<Accepted>, Accepted)>>, RolloutError> {
        let release = &at.plan.release;
        let seen = self.updates.session(at.tenant).accepted(component).await?;
        let provider = provider(release);
        let before = seen.value.of(provider.as_ref());
        let by = release.accepted_for(before);
        let Ok(next) = accept(before, provider.as_ref(), release.request.sequence, by, None, self.now()) else {
            return Ok(None);
        };
        if before == Some(&next) {
            return Ok(Some(None));
        }
        let mut accepted = seen.value.clone();
        accepted.put(next);
        Ok(Some(Some((seen, accepted))))
    }

    /// Returns the components of a device above and below one.
    pub(super) async fn line(&self, tenant: &Tenant, device: &Id, component: &Id) -> Result<Vec<Id>, RolloutError> {
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
        let Some(node) = tree.get(component.as_str()) else { return Ok(Vec::new()) };
        let below = node.subtree().map(|(_, node)| node);
        let near = node.ancestors().chain(below).filter_map(|node| node.id().cloned());
        Ok(near.filter(|id| id != component).collect())
    }
}
