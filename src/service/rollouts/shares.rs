//! Moving shared allowances between lanes, so that their sum stays within the limits of the rollout.

use super::super::entries::{Entries, Seen};
use super::super::ledger_session::Written;
use super::keys::Place;
use super::read::LaneSeen;
use super::rollout_service::Plan;
use super::{RolloutError, RolloutService};
use crate::store::{BlobStore, Change, Ledger, ResourceStore, Tenant};
use crate::update::rollout::{Fold, LaneHead, LaneStatus, LaneStep, MAX_CRITERIA, Rollout, Share};

/// Maximum number of moves in one pass.
const MOVES: usize = 64;

/// Returns whether a lane has unfinished components in the waves that have begun. Later waves need nothing yet: a lane
/// that kept shares for them would withhold the shares from the lanes for which those waves wait.
fn has_work(head: &LaneHead) -> bool {
    head.open_until(head.wave) > 0 || head.counts.in_flight() > 0
}

/// Returns whether a lane could offer more with a larger share of the cap.
fn is_hungry(head: &LaneHead) -> bool {
    let full = head.counts.in_flight() >= head.cap_share;
    head.status == LaneStatus::Open && head.counts.planned > 0 && has_work(head) && full
}

/// Returns the share of the cap that a lane does not need.
fn spare_cap(head: &LaneHead) -> u32 {
    let needed = head.counts.in_flight().max(u32::from(head.counts.planned + head.counts.held > 0));
    if head.counts.planned > 0 && has_work(head) { 0 } else { head.cap_share.saturating_sub(needed) }
}

/// Returns the number of allowed failures that a lane does not need.
fn spare_failures(head: &LaneHead, criterion: usize) -> u32 {
    let kept = u32::from(has_work(head));
    head.allowances.get(criterion).map_or(0, |own| own.share.saturating_sub(own.failures.saturating_add(kept)))
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Moves shares from lanes with more than they need to lanes that need some, and adds failures where the criterion
    /// allows more by now. Returns the number of moves.
    pub(super) async fn share_out(
        &self,
        tenant: &Tenant,
        rollout: &mut Seen<Rollout>,
        plan: &Plan,
        (lanes, fold): (&mut [LaneSeen], &Fold),
    ) -> Result<usize, RolloutError> {
        let mut moves = 0;
        for criterion in 0..plan.spec.stop.len().min(MAX_CRITERIA) {
            loop {
                let used_up = |lane: &LaneSeen| {
                    let head = &lane.kept.head;
                    let own = head.allowances.get(criterion).is_some_and(|own| own.is_used_up());
                    own && has_work(head) && head.status == LaneStatus::Open
                };
                let Some(to) = lanes.iter().position(used_up).filter(|_| moves < MOVES) else { break };
                let spare = |lane: &LaneSeen| spare_failures(&lane.kept.head, criterion);
                let from = (0..lanes.len()).filter(|at| *at != to).max_by_key(|at| lanes.get(*at).map_or(0, spare));
                let from = from.filter(|at| lanes.get(*at).is_some_and(|lane| spare(lane) > 0));
                let moved = match from {
                    Some(from) => {
                        let share = Share::Failures(u8::try_from(criterion).unwrap_or(u8::MAX));
                        self.move_share(tenant, plan, lanes, (from, to), (share, 1)).await?
                    }
                    None => self.allow_more(tenant, rollout, plan, (criterion, fold), lanes.get_mut(to)).await?,
                };
                if !moved {
                    break;
                }
                moves += 1;
            }
        }
        while moves < MOVES {
            let Some(to) = lanes.iter().position(|lane| is_hungry(&lane.kept.head)) else { break };
            let region = lanes.get(to).and_then(|lane| plan.spec.region_of(lane.kept.head.lane));
            let near = |lane: &LaneSeen| plan.spec.region_of(lane.kept.head.lane) == region;
            let from = (0..lanes.len()).filter(|at| *at != to && lanes.get(*at).is_some_and(near));
            let spare = |at: &usize| lanes.get(*at).map_or(0, |lane| spare_cap(&lane.kept.head));
            let Some(from) = from.max_by_key(spare).filter(|from| spare(from) > 0) else { break };
            let wanted = lanes.get(to).map_or(0, |lane| lane.kept.head.counts.planned);
            let count = spare(&from).min(wanted);
            if !self.move_share(tenant, plan, lanes, (from, to), (Share::Cap, count)).await? {
                break;
            }
            moves += 1;
        }
        Ok(moves)
    }

    async fn move_share(
        &self,
        tenant: &Tenant,
        plan: &Plan,
        lanes: &mut [LaneSeen],
        (from, to): (usize, usize),
        (share, count): (Share, u32),
    ) -> Result<bool, RolloutError> {
        let (Some(giving), Some(taking)) = (lanes.get(from), lanes.get(to)) else { return Ok(false) };
        let moved = giving.kept.head.move_shares(&taking.kept.head, &plan.spec, share, count, self.now());
        let Ok(steps) = moved else { return Ok(false) };
        let (mut changes, mut records, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (seen, step) in [giving, taking].into_iter().zip(steps) {
            let LaneStep { lane, event, .. } = step;
            let own = seen.kept.with(lane);
            let (next, lines, told) = self.chained(tenant, &own, &[event], None)?;
            changes.push(Change::replace(seen.key.clone(), seen.revision.clone(), next.to_bytes()));
            changes.extend(lines);
            records.extend(told);
            kept.push(next);
        }
        let sign = kept.first().zip(records.first());
        if self.commit(tenant, changes, sign).await?.is_none() {
            return Ok(false);
        }
        self.tell(&records);
        for at in [from, to] {
            self.read_again(tenant, lanes, at).await?;
        }
        Ok(true)
    }

    async fn allow_more(
        &self,
        tenant: &Tenant,
        rollout: &mut Seen<Rollout>,
        plan: &Plan,
        (criterion, fold): (usize, &Fold),
        lane: Option<&mut LaneSeen>,
    ) -> Result<bool, RolloutError> {
        let Some(lane) = lane else { return Ok(false) };
        let more = rollout.value.allow_more(&plan.spec, criterion, fold, &lane.kept.head, self.now());
        let Some((transition, step)) = more else { return Ok(false) };
        let own = lane.kept.with(step.lane);
        let (next, lines, told) = self.chained(tenant, &own, &[step.event], None)?;
        let mut entries = Entries::default();
        entries.record(rollout, transition.rollout.to_bytes());
        entries.changes.push(Change::replace(lane.key.clone(), lane.revision.clone(), next.to_bytes()));
        entries.changes.extend(lines);
        entries.note(transition.event.draft());
        let written = self.updates.session(tenant).write(entries).await?;
        let place = Place { rollout: own.head.rollout, lane: own.head.lane };
        if written != Written::Not {
            self.tell(&told);
        }
        *rollout = self.rollout_record(tenant, rollout.value.id).await?;
        *lane = self.lane(tenant, place).await?;
        Ok(written != Written::Not)
    }

    async fn read_again(&self, tenant: &Tenant, lanes: &mut [LaneSeen], at: usize) -> Result<(), RolloutError> {
        if let Some(lane) = lanes.get_mut(at) {
            let LaneHead { rollout, lane: number, .. } = lane.kept.head;
            *lane = self.lane(tenant, Place { rollout, lane: number }).await?;
        }
        Ok(())
    }
}
