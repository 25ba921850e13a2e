//! Ledger keys of releases, rollouts, lanes and deployments.
//!
//! | key | content |
//! | --- | --- |
//! | `release/<release>` | a release |
//! | `release-end/<release>` | that a release is to be withdrawn once its rollouts have ended: by whom, and why |
//! | `rollout/open/<rollout>`, `rollout/ended/<rollout>` | a rollout, by whether it has work left |
//! | `ro/<rollout>/spec` | its specification |
//! | `ro/<rollout>/l/<lane>` | a lane, with the end of its audit chain |
//! | `ro/<rollout>/a/<lane>/<index>` | a record of that chain |
//! | `ro/<rollout>/d/<lane>/<deployment>` | a deployment |
//! | `ro/<rollout>/q/<lane>/<wave>/<minute>/<deployment>` | a planned deployment, from that minute on |
//! | `ro-of/<deployment>` | the rollout and the lane of a deployment |
//! | `ro-due/<minute>/<deployment>` | the deadline of a deployment without input |
//! | `ro-cleared/<region>/<deployment>` | the time when the offer of an ended deployment was removed from its slot: for
//! a day the slot is verified not to show it again |
//! | `todo/<region>/<deployment>` | a pending write to the slot of a deployment |
//! | `lock/<device>` | the components of a device that are being updated, and the number of its offers |
//!
//! The last keys of a deployment follow from its record, and are written with it, so that a scan of them is the queue.

pub(super) use super::super::entries::RELEASES;
use crate::manifest::ReleaseId;
use crate::primitive::Id;
use crate::publish::RegionId;
use crate::store::{LedgerKey, Result, Sha256, hex};
use crate::update::deployment::{self, Deployment, State};
use crate::update::rollout::{DeploymentId, Lane, RolloutId};
use time::OffsetDateTime;

pub(super) const RELEASE_ENDS: &str = "release-end";
pub(super) const OPEN: &str = "rollout/open";
pub(super) const ENDED: &str = "rollout/ended";
pub(super) const DUE: &str = "ro-due";
const CLEARED: &str = "ro-cleared";

fn key(text: String) -> Result<LedgerKey> {
    Ok(LedgerKey::new(text)?)
}

pub(super) fn release(id: ReleaseId) -> Result<LedgerKey> {
    key(format!("{RELEASES}/{id}"))
}

pub(super) fn release_end(id: ReleaseId) -> Result<LedgerKey> {
    key(format!("{RELEASE_ENDS}/{id}"))
}

pub(super) fn rollout(folder: &str, id: RolloutId) -> Result<LedgerKey> {
    key(format!("{folder}/{id}"))
}

pub(super) fn spec(id: RolloutId) -> Result<LedgerKey> {
    key(format!("ro/{id}/spec"))
}

pub(super) fn lanes(id: RolloutId) -> Result<LedgerKey> {
    key(format!("ro/{id}/l"))
}

pub(super) fn lane(id: RolloutId, Lane(lane): Lane) -> Result<LedgerKey> {
    key(format!("ro/{id}/l/{lane:04x}"))
}

pub(super) fn lane_audit(id: RolloutId, Lane(lane): Lane) -> Result<LedgerKey> {
    key(format!("ro/{id}/a/{lane:04x}"))
}

pub(super) fn lane_record(id: RolloutId, Lane(lane): Lane, index: u64) -> Result<LedgerKey> {
    key(format!("ro/{id}/a/{lane:04x}/{index:016x}"))
}

pub(super) fn deployments(id: RolloutId, Lane(lane): Lane) -> Result<LedgerKey> {
    key(format!("ro/{id}/d/{lane:04x}"))
}

pub(super) fn all_deployments(id: RolloutId) -> Result<LedgerKey> {
    key(format!("ro/{id}/d"))
}

pub(super) fn deployment(place: Place, id: DeploymentId) -> Result<LedgerKey> {
    let Place { rollout, lane: Lane(lane) } = place;
    key(format!("ro/{rollout}/d/{lane:04x}/{id}"))
}

pub(super) fn queue(id: RolloutId, Lane(lane): Lane) -> Result<LedgerKey> {
    key(format!("ro/{id}/q/{lane:04x}"))
}

pub(super) fn place_of(id: DeploymentId) -> Result<LedgerKey> {
    key(format!("ro-of/{id}"))
}

pub(super) fn cleared(region: &RegionId) -> Result<LedgerKey> {
    key(format!("{CLEARED}/{region}"))
}

pub(super) fn todo(region: &RegionId) -> Result<LedgerKey> {
    key(format!("todo/{region}"))
}

pub(super) fn lock(device: &Id) -> Result<LedgerKey> {
    let digest = Sha256::of(device.as_str().as_bytes());
    key(format!("lock/{}", hex(digest.0.get(..16).unwrap_or_default(), &mut [0; 64])))
}

/// Returns the minute of a time, whose text form sorts by time.
pub(super) fn minute(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp().div_euclid(60)).unwrap_or(0)
}

/// The location of a deployment: its rollout, and its lane there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rollout: RolloutId,
    pub(super) lane: Lane,
}

impl Place {
    pub(super) fn of(deployment: &Deployment) -> Self {
        Self { rollout: deployment.rollout, lane: deployment.lane }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        format!("{}/{}", self.rollout, self.lane).into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rollout, lane) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some(Self { rollout: rollout.parse().ok()?, lane: Lane(lane.parse().ok()?) })
    }

    /// Returns the location with a time, in minutes.
    fn to_bytes_at(self, at: OffsetDateTime) -> Vec<u8> {
        format!("{}/{}/{}", self.rollout, self.lane, minute(at)).into_bytes()
    }

    /// Parses a location with its time.
    pub(super) fn from_bytes_at(bytes: &[u8]) -> Option<(Self, u64)> {
        let (place, at) = std::str::from_utf8(bytes).ok()?.rsplit_once('/')?;
        Some((Self::from_bytes(place.as_bytes())?, at.parse().ok()?))
    }
}

/// Returns the value of a key by which a deployment is found.
pub(super) fn agenda_value(key: &LedgerKey, of: &Deployment, now: OffsetDateTime) -> Vec<u8> {
    let is_cleared = key.as_str().strip_prefix(CLEARED).is_some_and(|rest| rest.starts_with('/'));
    if is_cleared { Place::of(of).to_bytes_at(now) } else { Place::of(of).to_bytes() }
}

/// Returns the id at the end of a key.
pub(super) fn last_id<T: std::str::FromStr>(key: &LedgerKey) -> Option<T> {
    key.as_str().rsplit('/').next()?.parse().ok()
}

/// Returns the keys beside its record by which a deployment is found: in the queue of its lane, at its deadline, for
/// the write of its slot, and for the verification that the slot stays cleared.
pub(super) fn agenda(deployment: &Deployment) -> Result<Vec<LedgerKey>> {
    let Deployment { id, rollout, lane: Lane(lane), region, wave, state, .. } = deployment;
    let mut keys = Vec::with_capacity(2);
    if let State::Planned { not_before, .. } = state {
        keys.push(key(format!("ro/{rollout}/q/{lane:04x}/{:04x}/{:016x}/{id}", wave.0, minute(*not_before)))?);
    }
    if let Some(deadline) = state.deadline() {
        keys.push(key(format!("{DUE}/{:016x}/{id}", minute(deadline)))?);
    }
    if deployment::resume(deployment).is_some() {
        keys.push(key(format!("todo/{region}/{id}"))?);
    }
    if let State::Done { action: Some(_), clear: false, .. } = state {
        keys.push(key(format!("{CLEARED}/{region}/{id}"))?);
    }
    Ok(keys)
}
