//! The audit chains of lanes: sealed into the chain of the tenant, read and verified.

use super::super::entries::{Entries, Seen};
use super::super::ledger_session::Written;
use super::keys::{self, Place};
use super::step::TRIES;
use super::{RolloutError, RolloutService};
use crate::audit::{AuditRecord, ChainBreak, ChainHead, Checkpoint, verify};
use crate::store::{BlobStore, Change, Ledger, LedgerRecord, Page, PageToken, ResourceStore, StoreError, Tenant};
use crate::update::rollout::{DeploymentId, Event, Fold, Lane, LaneSeal, ReplayedLane, Rollout, RolloutId};
use std::num::NonZeroU32;

/// Number of lanes sealed in one commit.
const AT_ONCE: usize = 6;

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Seals the lanes of an inactive rollout, and moves it to the ended ones once nothing is in progress.
    pub(super) async fn rest_rollout(
        &self,
        tenant: &Tenant,
        seen: &Seen<Rollout>,
        fold: Option<&Fold>,
    ) -> Result<(), RolloutError> {
        let id = seen.value.id;
        if fold.is_some() {
            self.seal_lanes(tenant, id).await?;
        }
        let is_over = seen.value.status.is_end() && fold.is_none_or(|fold| fold.counts.open() == 0);
        if is_over && seen.key == keys::rollout(keys::OPEN, id)? {
            let mut entries = Entries::default();
            entries.remove(seen);
            entries.keep(keys::rollout(keys::ENDED, id)?, seen.value.to_bytes());
            // A faster call did the same.
            let changes = entries.changes;
            self.commit(tenant, changes, None).await?;
        }
        Ok(())
    }

    /// Seals the chain of each lane, its length and last digest, into the chain of the tenant. Returns the number of
    /// seals written.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRollout`]; [`RolloutError::Store`].
    pub async fn seal_lanes(&self, tenant: &Tenant, rollout: RolloutId) -> Result<usize, RolloutError> {
        let plan = self.plan(tenant, rollout).await?;
        let session = self.updates.session(tenant);
        let (mut sealed, mut from) = (0, 0);
        for _ in 0..TRIES * 16 {
            let mut entries = Entries::default();
            let first = from;
            while from < plan.spec.lane_count() && entries.records.len() < AT_ONCE {
                let lane = Lane(from);
                from += 1;
                let mut seen = self.lane(tenant, Place { rollout, lane }).await?;
                if seen.kept.sealed >= seen.kept.count {
                    continue;
                }
                let seal = LaneSeal { rollout, lane, count: seen.kept.count, root: seen.kept.root };
                seen.kept.sealed = seen.kept.count;
                entries.changes.push(Change::replace(seen.key, seen.revision, seen.kept.to_bytes()));
                entries.note(seal.draft(self.now()));
            }
            let count = entries.records.len();
            if count == 0 {
                return Ok(sealed);
            }
            match session.write(entries).await? {
                Written::Not => from = first,
                _ => sealed += count,
            }
        }
        Ok(sealed)
    }

    /// Returns one page of the audit chain of a lane, in order: each record as the line whose digest is in the next
    /// record.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn lane_lines(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        lane: Lane,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<String>, RolloutError> {
        let page = self.ledger(tenant).scan(&keys::lane_audit(rollout, lane)?, limit, after).await?;
        let line = |LedgerRecord { key, value, .. }: LedgerRecord| {
            let what = |error| StoreError::corrupt(format!("the record `{key}`: {error}"));
            String::from_utf8(value.to_vec()).map_err(what)
        };
        Ok(Page { items: page.items.into_iter().map(line).collect::<Result<_, _>>()?, next: page.next })
    }

    /// Returns every audit record of a lane, in the order of its chain. All records are held in memory.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a record cannot be parsed; errors of the ledger.
    pub async fn lane_records(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        lane: Lane,
    ) -> Result<Vec<AuditRecord>, RolloutError> {
        let (mut records, mut after) = (Vec::new(), None);
        loop {
            let page = self.lane_lines(tenant, rollout, lane, super::super::lifecycle::PAGE, after.as_ref()).await?;
            for line in page.items {
                let what = |error| StoreError::corrupt(format!("the chain of lane {lane} of `{rollout}`: {error}"));
                records.push(AuditRecord::from_line(&line).map_err(what)?);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(records),
            }
        }
    }

    /// Returns the audit records of one deployment, in the order of the chain of its lane, which is read completely.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchDeployment`]; [`RolloutError::Store`].
    pub async fn deployment_records(
        &self,
        tenant: &Tenant,
        id: DeploymentId,
    ) -> Result<Vec<AuditRecord>, RolloutError> {
        let place = self.place(tenant, id).await?.ok_or(RolloutError::NoSuchDeployment { id })?;
        let (named, mut records, mut after) = (id.to_string(), Vec::new(), None);
        loop {
            let page = self
                .lane_lines(tenant, place.rollout, place.lane, super::super::lifecycle::PAGE, after.as_ref())
                .await?;
            for line in page.items.iter().filter(|line| line.contains(&named)) {
                let what = |error| {
                    StoreError::corrupt(format!("the chain of lane {} of `{}`: {error}", place.lane, place.rollout))
                };
                let record = AuditRecord::from_line(line).map_err(what)?;
                if Event::of_audit(&record.draft).is_some_and(|event| event.deployment == Some(id)) {
                    records.push(record);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(records),
            }
        }
    }

    /// Verifies that the audit chain of a lane is complete, agrees with its seals in the chain of the tenant, and
    /// rebuilds the lane and its deployments; the inner error is the first break.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a record cannot be parsed, or the records do not rebuild the stored state; errors
    /// of the ledger.
    pub async fn verify_lane(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        lane: Lane,
        known: &[LaneSeal],
    ) -> Result<Result<ChainHead, ChainBreak>, RolloutError> {
        let plan = self.plan(tenant, rollout).await?;
        // The end is read first: records added meanwhile are after it.
        let kept = self.lane(tenant, Place { rollout, lane }).await?.kept;
        let mut records = self.lane_records(tenant, rollout, lane).await?;
        records.retain(|record| record.index < kept.count);
        let seals = known.iter().filter(|seal| seal.rollout == rollout && seal.lane == lane);
        let checkpoint = |count, root| Checkpoint { tenant: tenant.clone(), count, root };
        let mut checkpoints: Vec<_> = seals.map(|seal| checkpoint(seal.count, seal.root)).collect();
        checkpoints.push(checkpoint(kept.count, kept.root));
        let start = ChainHead::of_lane(tenant.clone(), rollout.0, lane.0);
        let head = match verify(&start, &records, &checkpoints) {
            Ok(head) => head,
            Err(broken) => return Ok(Err(broken)),
        };
        let corrupt = |what: String| RolloutError::Store(StoreError::corrupt(what));
        let replayed = ReplayedLane::of(&plan.spec, rollout, lane, &records);
        let replayed = replayed.map_err(|unfit| corrupt(format!("rollout `{rollout}`, lane {lane}: {unfit}")))?;
        if replayed.is_none_or(|replayed| replayed.head != kept.head) {
            return Err(corrupt(format!("rollout `{rollout}`: the records of lane {lane} do not rebuild it")));
        }
        Ok(Ok(head))
    }
}
