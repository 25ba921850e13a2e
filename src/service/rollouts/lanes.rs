//! The lanes of a rollout: created, directed and summed up.

use super::keys::{self, Place};
use super::read::{KeptLane, LaneSeen};
use super::rollout_service::Plan;
use super::step::TRIES;
use super::{RolloutError, RolloutService};
use crate::store::{BlobStore, Change, CommitError, Ledger, ResourceStore, StoreError, Tenant};
use crate::update::rollout::{Fold, Lane, LaneHead, LaneInput, RolloutId, Spec};

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Creates the lanes of a rollout, unless they exist.
    pub(super) async fn make_lanes(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        spec: &Spec,
    ) -> Result<(), RolloutError> {
        let ledger = self.ledger(tenant);
        let last = Lane(spec.lane_count().saturating_sub(1));
        if ledger.get(&keys::lane(rollout, last)?).await?.is_some() {
            return Ok(());
        }
        let mut new = Vec::new();
        for lane in 0..spec.lane_count() {
            let Some(head) = LaneHead::new(spec, rollout, Lane(lane)) else { continue };
            new.push(Change::create(keys::lane(rollout, Lane(lane))?, KeptLane::new(tenant, head).to_bytes()));
        }
        // Lanes are created in order: if the last one exists, all of them do.
        while !new.is_empty() {
            let rest = new.split_off(new.len().min(ledger.max_changes()));
            let some = std::mem::replace(&mut new, rest);
            match ledger.apply(some.clone()).await {
                Ok(_) => {}
                Err(CommitError { error: StoreError::AlreadyExists { .. } | StoreError::Conflict { .. }, .. }) => {
                    for change in some {
                        match ledger.apply(vec![change]).await {
                            Ok(_) => {}
                            Err(CommitError {
                                error: StoreError::AlreadyExists { .. } | StoreError::Conflict { .. },
                                ..
                            }) => {}
                            Err(CommitError { error, .. }) => return Err(error.into()),
                        }
                    }
                }
                Err(CommitError { error, .. }) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Passes an input to a lane, and returns whether the lane changed. A refusal of the lane is final.
    pub(super) async fn tell_lane(
        &self,
        tenant: &Tenant,
        place: Place,
        input: LaneInput,
    ) -> Result<bool, RolloutError> {
        let slot = self.lane_slot(tenant, place);
        let mut held = slot.take().await;
        for _ in 0..TRIES {
            held.set(None);
            let seen = self.lane(tenant, place).await?;
            let Ok(Some(step)) = seen.kept.head.step(&input, self.now()) else {
                held.set(Some(seen));
                return Ok(false);
            };
            if let Some(next) = self.write_lane(tenant, &seen, step.lane, &[step.event], None, Vec::new()).await? {
                held.set(next);
                return Ok(true);
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Changes the data stored beside a lane, without a record in its chain.
    pub(super) async fn note_lane(
        &self,
        tenant: &Tenant,
        place: Place,
        change: impl Fn(&mut KeptLane),
    ) -> Result<(), RolloutError> {
        let slot = self.lane_slot(tenant, place);
        let mut held = slot.take().await;
        for _ in 0..TRIES {
            held.set(None);
            let LaneSeen { key, revision, mut kept } = self.lane(tenant, place).await?;
            change(&mut kept);
            let replaced = Change::replace(key.clone(), revision, kept.to_bytes());
            if let Some(made) = self.commit(tenant, vec![replaced], None).await? {
                held.set(made.map(|revision| LaneSeen { key, revision, kept }));
                return Ok(());
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Returns the totals over all lanes of a rollout.
    pub(super) async fn fold(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        plan: &Plan,
    ) -> Result<(Vec<LaneSeen>, Fold), RolloutError> {
        let lanes = self.all_lanes(tenant, rollout, plan.spec.lane_count()).await?;
        let heads = lanes.iter().map(|lane| &lane.kept.head);
        let corrupt = |error| StoreError::corrupt(format!("the lanes of rollout `{rollout}`: {error}"));
        let fold = Fold::of(&plan.spec, rollout, heads).map_err(corrupt)?;
        Ok((lanes, fold))
    }
}
