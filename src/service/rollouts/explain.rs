//! Explaining why a component does not have its update yet.

use super::{RolloutError, RolloutService};
use crate::store::{BlobStore, Ledger, ResourceStore, Tenant};
use crate::support::names;
use crate::update::deployment::{Deployment, Outcome, State, StopRequest};
use crate::update::rollout::{DeploymentId, LaneStatus, RolloutId, Status};
use time::OffsetDateTime;

names! {
    /// The cause that blocks a deployment.
    ///
    /// ```
    /// use fhir_devices::service::Blocked;
    /// assert_eq!(Blocked::LaneFull.as_str(), "lane-full");
    /// ```
    Blocked {
        /// The rollout is not running.
        RolloutNotRunning = "rollout-not-running",
        /// The lane is not open.
        LaneNotOpen = "lane-not-open",
        /// The failure allowance of the lane is exhausted.
        LaneTripped = "lane-tripped",
        /// The cap on devices in flight is reached.
        LaneFull = "lane-full",
        /// The region is throttling.
        RegionRests = "region-rests",
        /// The wave of the component has not begun.
        Wave = "wave",
        /// The next attempt has not begun.
        Backoff = "backoff",
        /// Gates are closed.
        Gate = "gate",
        /// Another deployment holds a lock on the component, or on one above or below it.
        Locked = "locked",
        /// The component has accepted the same or a higher sequence number.
        Sequence = "sequence",
        /// The region has not confirmed the offer.
        Region = "region",
        /// The device has not asked for the bytes.
        NotClaimed = "not-claimed",
        /// The device has the bytes, and has not reported completion.
        AtWork = "at-work",
        /// The device reported completion, and has not reported its version.
        NotProven = "not-proven",
        /// The device was asked to stop.
        Stopping = "stopping",
        /// The deployment has ended.
        Ended = "ended",
    }
}

/// The explanation of a deployment that has not ended.
///
/// Returned by [`RolloutService::explain`](super::RolloutService::explain).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The deployment.
    pub deployment: Deployment,
    /// Each reason, with a text for readers.
    pub reasons: Vec<(Blocked, String)>,
    /// The next evaluation without any input.
    pub next: Option<OffsetDateTime>,
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Explains what blocks a deployment of a rollout, by the checks that would decide now.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchDeployment`]; [`RolloutError::Store`].
    pub async fn explain(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        id: DeploymentId,
    ) -> Result<Explanation, RolloutError> {
        let none = || RolloutError::NoSuchDeployment { id };
        let place = self.place(tenant, id).await?.filter(|place| place.rollout == rollout).ok_or_else(none)?;
        let deployment = self.deployment_at(tenant, place, id).await?.ok_or_else(none)?.value;
        let plan = self.plan(tenant, rollout).await?;
        let status = self.rollout(tenant, rollout).await?.status;
        let head = self.lane(tenant, place).await?.kept.head;
        let now = head.now(self.now());
        let mut reasons = Vec::new();
        let mut add = |blocked, words: String| reasons.push((blocked, words));
        match &deployment.state {
            State::Done { outcome, .. } => add(Blocked::Ended, format!("it ended as `{}`", outcome.class())),
            State::Offering { .. } => {
                add(Blocked::Region, format!("region `{}` has not confirmed the offer", deployment.region))
            }
            State::Retracting { .. } => {
                add(
                    Blocked::Region,
                    format!("region `{}` has not confirmed that the offer is taken back", deployment.region),
                );
            }
            State::Offered { .. } => add(Blocked::NotClaimed, "the device has not asked for the file".to_owned()),
            State::Claimed { stop, .. } if *stop != StopRequest::None => {
                add(Blocked::Stopping, format!("the device is asked to stop: {stop}"));
            }
            State::Claimed { phase: crate::update::deployment::Phase::Installed, .. } => {
                add(Blocked::NotProven, "the device says that it is done, and has not reported its version".to_owned());
            }
            State::Claimed { phase, .. } => add(Blocked::AtWork, format!("the device says that it is at `{phase}`")),
            State::Planned { .. } | State::Held { .. } => {}
        }
        if let State::Planned { not_before, .. } = &deployment.state
            && now < *not_before
        {
            add(Blocked::Backoff, format!("the next attempt begins at {not_before}"));
        }
        if matches!(deployment.state, State::Planned { .. } | State::Held { .. }) {
            if status != Status::Running {
                add(Blocked::RolloutNotRunning, format!("the rollout is `{status}`"));
            }
            if head.status != LaneStatus::Open {
                add(Blocked::LaneNotOpen, format!("lane {} is `{}`", head.lane, head.status));
            }
            if head.is_tripped(&plan.spec) {
                add(Blocked::LaneTripped, format!("lane {} had as many failures as it may", head.lane));
            }
            if deployment.wave > head.wave {
                let words = format!("it is in wave {}, and wave {} is under way", deployment.wave, head.wave);
                add(Blocked::Wave, words);
            }
            if head.counts.in_flight() >= head.cap_share {
                add(
                    Blocked::LaneFull,
                    format!("{} devices of lane {} are at work", head.counts.in_flight(), head.lane),
                );
            }
            if let Some(until) = head.paused_until.filter(|until| now < *until) {
                add(Blocked::RegionRests, format!("region `{}` rests until {until}", deployment.region));
            }
            if let Some((component, _)) = self.component_now(tenant, &deployment).await? {
                let of = (&*plan.spec, &*plan.release);
                for gate in self.closed_gates(tenant, of, &deployment, &component).await? {
                    add(Blocked::Gate, format!("gate `{gate}` is closed"));
                }
            }
            let locks = self.locks(tenant, &deployment.device).await?.value;
            if locks.live.iter().any(|lock| lock.deployment != id) {
                let line = self.line(tenant, &deployment.device, &deployment.component).await?;
                for lock in &locks.live {
                    if lock.component == deployment.component || line.contains(&lock.component) {
                        let words =
                            format!("deployment `{}` is at work on component `{}`", lock.deployment, lock.component);
                        add(Blocked::Locked, words);
                    }
                }
            }
        }
        let is_superseded = matches!(deployment.state, State::Done { outcome: Outcome::Superseded, .. });
        if is_superseded || matches!(deployment.state, State::Planned { .. } | State::Held { .. }) {
            let accepted = self.updates.accepted(tenant, &deployment.component).await?;
            let provider = super::step::provider(&plan.release);
            let before = accepted.of(provider.as_ref());
            if let Some(before) = before
                && before.by != plan.release.accepted_for(Some(before))
                && before.highest >= plan.release.request.sequence
            {
                let words = format!(
                    "the component accepted the sequence number {}, and the release has {}",
                    before.highest, plan.release.request.sequence
                );
                add(Blocked::Sequence, words);
            }
        }
        let next = deployment.state.deadline();
        Ok(Explanation { deployment, reasons, next })
    }
}
