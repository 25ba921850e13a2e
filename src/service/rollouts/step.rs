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
use crate::store::{
    Applied, BlobStore, Change, CommitError, Key, Ledger, LedgerKey, ResourceStore, Revision, Sha256, StoreError,
    Tenant,
};
use crate::update::Accepted;
use crate::update::deployment::{self, Context, Deployment, DeviceOffers, Input, Refusal, Step, Transition};
use crate::update::release::Release;
use crate::update::rollout::{DeploymentId, Epoch, Event, LaneHead};
use time::OffsetDateTime;

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

/// What was read of a deployment before a step. What is written notices whether it is still so.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The deployment.
    pub(super) deployment: Option<Seen<Deployment>>,
    /// The offers of its device.
    pub(super) offers: Option<Seen<DeviceOffers>>,
}

impl Known {
    /// Returns what a deployment is known by that was read alone.
    pub(super) fn of(deployment: Seen<Deployment>) -> Self {
        Self { deployment: Some(deployment), ..Self::default() }
    }
}

/// A step of several of one lane that are written together.
#[derive(Debug)]
pub(super) struct LaneTask {
    pub(super) id: DeploymentId,
    pub(super) seen: Seen<Deployment>,
    /// The entry by which it was found.
    pub(super) entry: Option<(LedgerKey, Revision)>,
    pub(super) ask: TaskAsk,
}

/// What a deployment is asked in a step of several.
#[derive(Debug)]
pub(super) enum TaskAsk {
    Input(Input),
    Offer { epoch: Epoch, one_per_device: bool },
}

impl TaskAsk {
    fn ask(&self) -> Ask<'_> {
        match self {
            Self::Input(input) => Ask::Input(input, None),
            Self::Offer { epoch, one_per_device } => Ask::Offer { epoch: *epoch, one_per_device: *one_per_device },
        }
    }
}

/// What a step came to.
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

/// The offers of the devices of one commit: each is read once, and written once.
#[derive(Debug, Default)]
struct OffersOfCommit(Vec<OffersOfDevice>);

#[derive(Debug)]
struct OffersOfDevice {
    device: Id,
    seen: Seen<DeviceOffers>,
    is_changed: bool,
}

impl OffersOfCommit {
    /// Returns the changes of those that are no more as they were read.
    fn changes(self) -> impl Iterator<Item = Change> {
        self.0.into_iter().filter(|one| one.is_changed).map(|one| {
            let Seen { key, revision, value } = one.seen;
            Change { key, expected: revision, value: Some(value.to_bytes().into()) }
        })
    }

    fn add(&mut self, device: &Id, seen: Seen<DeviceOffers>) {
        self.0.push(OffersOfDevice { device: device.clone(), seen, is_changed: false });
    }

    fn of(&mut self, device: &Id) -> Option<&mut OffersOfDevice> {
        self.0.iter_mut().find(|one| one.device == *device)
    }
}

/// A step that is computed, and not yet written.
enum Prepared {
    /// The transition, and its changes but for those of the lane and of the offers of the device.
    Ready(Box<Transition>, Vec<Change>),
    Granted,
    Unchanged,
    Refused(Refusal),
}

/// The most changes of one step: the deployment, an entry that goes and two that come, the offers of its device, what its
/// component accepted, and the audit record.
const CHANGES_EACH: usize = 8;

/// How many steps are written together.
pub(super) const TOGETHER: usize = 64;

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Lets a deployment take a step from whatever state it is in by now. Nothing but a transition is believed of what was read
    /// before: what is written notices whether it is still so.
    pub(super) async fn step(&self, at: At<'_>, known: Known, ask: Ask<'_>) -> Result<Stepped, RolloutError> {
        let slot = self.lane_slot(at.tenant, at.place);
        let mut held = slot.take().await;
        let (mut known, mut remembers) = (known, true);
        for _ in 0..TRIES {
            let remembered = held.get().cloned().flatten().filter(|_| remembers);
            let is_remembered = remembered.is_some() || known.deployment.is_some();
            let lane = match remembered {
                Some(lane) => lane,
                None => self.lane(at.tenant, at.place).await?,
            };
            // Until a write is known to have been applied, the lane is unknown.
            held.set(None);
            let Known { deployment, offers } = std::mem::take(&mut known);
            let seen = match deployment {
                Some(seen) => seen,
                None => {
                    let found = self.deployment_at(at.tenant, at.place, at.id).await?;
                    found.ok_or(RolloutError::NoSuchDeployment { id: at.id })?
                }
            };
            let mut all_offers = OffersOfCommit::default();
            if let Some(offers) = offers {
                all_offers.add(&seen.value.device, offers);
            }
            let now = (&lane.kept.head, self.now());
            let (transition, mut changes) = match self.prepare(at, now, (&seen, None), ask, &mut all_offers).await? {
                Prepared::Ready(transition, changes) => (transition, changes),
                _ if is_remembered => {
                    remembers = false;
                    continue;
                }
                other => {
                    held.set(Some(lane));
                    return Ok(match other {
                        Prepared::Granted => Stepped::Granted(seen.value),
                        Prepared::Refused(refusal) => Stepped::Refused(refusal, seen.value),
                        Prepared::Unchanged | Prepared::Ready(..) => Stepped::Unchanged(seen.value),
                    });
                }
            };
            changes.extend(all_offers.changes());
            let record_context = match ask {
                Ask::Input(_, record_context) => record_context,
                Ask::Offer { .. } => None,
            };
            let events = [transition.event()];
            if let Some(next) =
                self.write_lane(at.tenant, &lane, transition.lane, &events, record_context, changes).await?
            {
                held.set(next);
                self.count_field_time(at.plan, &transition);
                return Ok(Stepped::To(transition));
            }
            remembers = false;
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Lets several deployments of a lane take a step each, in their order, and writes as many as one commit takes together, with
    /// an audit record for each. It ends before the first of whose kind the lane takes no more now. Where something was not as it
    /// was seen, each of the commit takes its step alone.
    pub(super) async fn step_all(
        &self,
        (tenant, plan, place): (&Tenant, &Plan, Place),
        tasks: Vec<LaneTask>,
    ) -> Result<Vec<Stepped>, RolloutError> {
        let at_once = (self.ledger(tenant).max_changes().saturating_sub(1) / CHANGES_EACH).clamp(1, TOGETHER);
        let (mut done, mut tasks) = (Vec::with_capacity(tasks.len()), tasks.into_iter());
        loop {
            let some: Vec<LaneTask> = tasks.by_ref().take(at_once).collect();
            if some.is_empty() || !self.step_some((tenant, plan, place), some, &mut done).await? {
                return Ok(done);
            }
        }
    }

    /// Writes the steps of some deployments of a lane together; whether the lane may take more.
    async fn step_some(
        &self,
        (tenant, plan, place): (&Tenant, &Plan, Place),
        tasks: Vec<LaneTask>,
        done: &mut Vec<Stepped>,
    ) -> Result<bool, RolloutError> {
        let slot = self.lane_slot(tenant, place);
        let mut held = slot.take().await;
        // Whether the lane takes more is never decided by what was read before.
        held.set(None);
        let lane = self.lane(tenant, place).await?;
        let (mut head, mut offers) = (lane.kept.head, OffersOfCommit::default());
        let (mut events, mut changes, mut stepped) = (Vec::new(), Vec::new(), Vec::with_capacity(tasks.len()));
        let mut takes_more = true;
        for LaneTask { id, seen, entry, ask } in &tasks {
            let at = At { tenant, plan, place, id: *id };
            let now = (&head, self.now());
            let value = || seen.value.clone();
            match self.prepare(at, now, (seen, entry.as_ref()), ask.ask(), &mut offers).await? {
                Prepared::Ready(transition, more) => {
                    events.push(transition.event());
                    changes.extend(more);
                    head = transition.lane;
                    stepped.push(Stepped::To(transition));
                }
                Prepared::Granted => stepped.push(Stepped::Granted(value())),
                Prepared::Unchanged => stepped.push(Stepped::Unchanged(value())),
                Prepared::Refused(refusal) => {
                    takes_more = !refusal.is_of_lane();
                    stepped.push(Stepped::Refused(refusal, value()));
                    if !takes_more {
                        break;
                    }
                }
            }
        }
        changes.extend(offers.changes());
        if events.is_empty() {
            held.set(Some(lane));
            done.extend(stepped);
            return Ok(takes_more);
        }
        if let Some(next) = self.write_lane(tenant, &lane, head, &events, None, changes).await? {
            held.set(next);
            for one in &stepped {
                if let Stepped::To(transition) = one {
                    self.count_field_time(plan, transition);
                }
            }
            done.extend(stepped);
            return Ok(takes_more);
        }
        drop(held);
        for LaneTask { id, ask, .. } in tasks {
            let at = At { tenant, plan, place, id };
            let one = match self.step(at, Known::default(), ask.ask()).await {
                Err(RolloutError::NoSuchDeployment { .. }) => continue,
                one => one?,
            };
            let takes_more = !matches!(&one, Stepped::Refused(refusal, _) if refusal.is_of_lane());
            done.push(one);
            if !takes_more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Computes a step, with what it needs of the offers of the device: those that the commit has changed already, or those of the
    /// ledger. They are read only where the step depends on them.
    async fn prepare(
        &self,
        at: At<'_>,
        (head, now): (&LaneHead, OffsetDateTime),
        (seen, entry): (&Seen<Deployment>, Option<&(LedgerKey, Revision)>),
        ask: Ask<'_>,
        offers: &mut OffersOfCommit,
    ) -> Result<Prepared, RolloutError> {
        let device = &seen.value.device;
        let (mut accepted, line_and_admission);
        let input = match ask {
            Ask::Input(input, _) => {
                accepted = None;
                input
            }
            Ask::Offer { epoch, one_per_device } => {
                let admission = self.admission(at, &seen.value.component).await?;
                let live = &self.offers_of(at.tenant, device, offers).await?.live;
                let line = match live.iter().any(|lock| lock.deployment != at.id) {
                    true => self.line(at.tenant, device, &seen.value.component).await?,
                    false => Vec::new(),
                };
                let admitted = admission.is_some();
                accepted = admission.flatten();
                line_and_admission = Input::OfferRequested { epoch, line, one_per_device, admitted };
                &line_and_admission
            }
        };
        let with = |offers: &DeviceOffers| {
            deployment::step(&seen.value, Context { spec: &at.plan.spec, lane: head, offers }, input, now)
        };
        let needs_offers =
            matches!(input, Input::OfferRequested { .. } | Input::VersionReported { number: Some(_), .. });
        let mut step = match needs_offers {
            true => with(self.offers_of(at.tenant, device, offers).await?),
            false => with(&DeviceOffers::default()),
        };
        if !needs_offers && matches!(&step, Ok(Step::Transition(transition)) if transition.offers.is_some()) {
            step = with(self.offers_of(at.tenant, device, offers).await?);
        }
        let transition = match step {
            Ok(Step::Transition(transition)) => transition,
            Ok(Step::Granted) => return Ok(Prepared::Granted),
            Ok(Step::Unchanged) => return Ok(Prepared::Unchanged),
            Err(refusal) => return Ok(Prepared::Refused(refusal)),
        };
        let mut changes = self.changes(at.tenant, (seen, entry), &transition.deployment).await?;
        if let Some(next) = &transition.offers
            && let Some(known) = offers.of(device)
        {
            (known.seen.value, known.is_changed) = (next.clone(), true);
        }
        if let Some((Seen { key, revision, .. }, next)) = accepted.take() {
            changes.push(Change { key, expected: revision, value: Some(Accepted::to_bytes(&next).into()) });
        }
        Ok(Prepared::Ready(Box::new(transition), changes))
    }

    /// Returns the offers of a device, as the commit leaves them.
    async fn offers_of<'o>(
        &self,
        tenant: &Tenant,
        device: &Id,
        offers: &'o mut OffersOfCommit,
    ) -> Result<&'o DeviceOffers, StoreError> {
        if offers.of(device).is_none() {
            offers.add(device, self.locks(tenant, device).await?);
        }
        let found = offers.of(device).map(|one| &one.seen.value);
        found.ok_or_else(|| StoreError::corrupt(format!("the offers of device `{device}`: they are not there")))
    }

    /// Returns the changes of a deployment's record, and of the keys by which it is found.
    async fn changes(
        &self,
        tenant: &Tenant,
        (seen, entry): (&Seen<Deployment>, Option<&(LedgerKey, Revision)>),
        next: &Deployment,
    ) -> Result<Vec<Change>, StoreError> {
        let ledger = self.ledger(tenant);
        let value = Some(next.to_bytes().into());
        let mut changes = vec![Change { key: seen.key.clone(), expected: seen.revision.clone(), value }];
        let (before, after) = (agenda(&seen.value)?, agenda(next)?);
        for key in before.iter().filter(|key| !after.contains(key)) {
            match entry {
                Some((known, revision)) if known == key => {
                    changes.push(Change::delete(known.clone(), revision.clone()));
                }
                _ => {
                    if let Some(found) = ledger.get(key).await? {
                        changes.push(Change::delete(found.key, found.revision));
                    }
                }
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
    ) -> Result<Option<Option<Revision>>, StoreError> {
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
