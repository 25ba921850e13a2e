//! Replay of a lane and its deployments from its audit chain.

use super::super::deployment::{Deployment, State};
use super::{Action, After, DeploymentId, Event, Lane, LaneHead, RolloutId, Spec};
use crate::audit::{self, AuditDraft, AuditRecord, EventText, StateName};
use crate::store::Sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Length and last digest of the chain of a lane, recorded in the chain of the tenant.
///
/// ```
/// use fhir_devices::store::Sha256;
/// use fhir_devices::update::rollout::{Lane, LaneSeal, RolloutId};
/// let seal = LaneSeal { rollout: RolloutId(7), lane: Lane(0), count: 3, root: Sha256::of(b"") };
/// assert_eq!(LaneSeal::of_audit(&seal.draft(time::OffsetDateTime::UNIX_EPOCH)), Some(seal));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneSeal {
    /// Rollout of the lane.
    pub rollout: RolloutId,
    /// Number of the lane.
    pub lane: Lane,
    /// Number of records of its chain.
    pub count: u64,
    /// Digest of the last record.
    pub root: Sha256,
}

impl LaneSeal {
    /// Creates the audit draft for the chain of the tenant.
    #[must_use]
    pub fn draft(&self, now: OffsetDateTime) -> AuditDraft {
        let mut draft = AuditDraft::new(now, audit::Action::LaneSealed, None, StateName::Told);
        draft.event = EventText::of(self);
        draft
    }

    /// Parses the seal of an audit record.
    #[must_use]
    pub fn of_audit(draft: &AuditDraft) -> Option<Self> {
        let text = draft.event.as_ref().filter(|_| draft.action == audit::Action::LaneSealed)?;
        let seal: Self = serde_json::from_str(text.as_str()).ok()?;
        (serde_json::to_string(&seal).ok()? == text.as_str()).then_some(seal)
    }
}

/// Error for a record of the chain of a lane that does not follow from those before it.
///
/// ```
/// use fhir_devices::update::rollout::UnfitEvent;
/// assert_eq!(UnfitEvent { index: 7 }.to_string(), "record 7 of the lane does not go on from those before it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index} of the lane does not go on from those before it")]
pub struct UnfitEvent {
    /// Index of the record in the chain.
    pub index: u64,
}

/// Lane and its deployments, replayed from its chain.
///
/// ```
/// use fhir_devices::manifest::ReleaseId;
/// use fhir_devices::update::rollout::*;
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// let replayed = ReplayedLane::of(&spec, RolloutId(7), Lane(0), [])?.unwrap();
/// assert_eq!(Some(replayed.head), LaneHead::new(&spec, RolloutId(7), Lane(0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayedLane {
    /// Record of the lane.
    pub head: LaneHead,
    /// Deployments of the lane.
    pub deployments: BTreeMap<DeploymentId, Deployment>,
}

impl ReplayedLane {
    /// Replays the records of a lane, in the order of its chain; `None` if the rollout has no such lane. The counts of
    /// the lane are recomputed from its deployments, and must agree with the records.
    ///
    /// # Errors
    /// [`UnfitEvent`] for the first record that does not follow from those before it.
    pub fn of<'r>(
        spec: &Spec,
        rollout: RolloutId,
        lane: Lane,
        records: impl IntoIterator<Item = &'r AuditRecord>,
    ) -> Result<Option<Self>, UnfitEvent> {
        let Some(head) = LaneHead::new(spec, rollout, lane) else { return Ok(None) };
        let mut replayed = Self { head, deployments: BTreeMap::new() };
        for AuditRecord { index, draft, .. } in records {
            let fits = Event::of_audit(draft).and_then(|event| replayed.add(spec, event));
            fits.ok_or(UnfitEvent { index: *index })?;
        }
        Ok(Some(replayed))
    }

    fn add(&mut self, spec: &Spec, event: Event) -> Option<()> {
        let own = (event.rollout, event.lane) == (Some(self.head.rollout), Some(self.head.lane));
        match event.after {
            After::Lane(head) if own && self.counts_as(&head) => self.head = *head,
            After::Deployment(deployment) if own && event.deployment == Some(deployment.id) => {
                let before = self.deployments.get(&deployment.id);
                if before.is_none() != (event.action == Action::Planned) {
                    return None;
                }
                let outcome = before.and_then(|before| before.state.outcome());
                if outcome.is_some() && outcome != deployment.state.outcome() {
                    return None;
                }
                let newly = deployment.granted && !before.is_some_and(|before| before.granted);
                let state = before.map(|before| &before.state);
                let mut head = self.head.moved(spec, deployment.wave, state, &deployment.state, newly);
                if event.action == Action::Offering && matches!(state, Some(State::Planned { .. })) {
                    let refilled = self.head.refilled(spec, event.at);
                    let takes = u32::from(spec.rate(head.lane).is_some());
                    (head.tokens, head.counted_at) = (refilled.tokens.saturating_sub(takes), refilled.counted_at);
                }
                self.head = LaneHead { last: event.at, ..head };
                self.deployments.insert(deployment.id, *deployment);
            }
            _ => return None,
        }
        Some(())
    }

    /// Returns whether the counts of a lane record agree with the replayed deployments.
    fn counts_as(&self, head: &LaneHead) -> bool {
        let own = &self.head;
        (own.rollout, own.lane, own.counts, own.open, own.tally, own.granted)
            == (head.rollout, head.lane, head.counts, head.open, head.tally, head.granted)
            && own.allowances.iter().zip(&head.allowances).all(|(one, other)| one.failures == other.failures)
    }
}
