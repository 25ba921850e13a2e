//! Locks on the components of a device.

use super::super::ingest::Unreadable;
use super::super::rollout::{ActionNumber, DeploymentId, record};
use crate::primitive::Id;
use serde::{Deserialize, Serialize};

/// A lock on a component, held by a deployment.
///
/// ```
/// use fhir_devices::update::{deployment::Lock, rollout::DeploymentId};
/// let lock = Lock { component: "vmd".parse()?, deployment: DeploymentId(7) };
/// assert_eq!(lock.deployment, DeploymentId(7));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lock {
    /// The component.
    pub component: Id,
    /// The deployment.
    pub deployment: DeploymentId,
}

/// The offers of a device: the locks on its components, and how many offers it was
/// made. It is one record of the ledger, written in the same commit as the deployment and its lane.
///
/// ```
/// use fhir_devices::update::{deployment::DeviceOffers, rollout::{ActionNumber, DeploymentId}};
/// let (mds, vmd, channel) = ("mds".parse()?, "vmd".parse()?, "channel".parse()?);
/// let none = DeviceOffers::default();
/// // What is above and below a component is updated at another time.
/// let line = [mds, vmd, channel];
/// let (taken, action) = none.take(&line[1], &line, false, DeploymentId(7))?;
/// assert_eq!(action, ActionNumber(1));
/// assert!(taken.take(&line[2], &line, false, DeploymentId(8)).is_err());
/// assert_eq!(taken.release(DeploymentId(7)).live, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceOffers {
    /// The number of the last offer that was made; 0 where there was none.
    #[serde(default)]
    pub last: ActionNumber,
    /// The components that are being updated.
    #[serde(default)]
    pub live: Vec<Lock>,
    /// The number of the last report of versions, where the device numbers them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<u64>,
}

/// Why a component cannot be locked for an update.
///
/// ```
/// use fhir_devices::update::{deployment::NotFree, rollout::DeploymentId};
/// let locked = NotFree::Locked { by: DeploymentId(7) };
/// assert_eq!(locked.to_string(), "deployment `00000000000000000000000000000007` updates the component, or one above or below it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum NotFree {
    /// Another deployment has a lock on it, or on a component above or below it.
    #[error("deployment `{by}` updates the component, or one above or below it")]
    Locked {
        /// Which deployment.
        by: DeploymentId,
    },
    /// The numbers of offers of the device are exhausted.
    #[error("the device was made {} offers, and no more can be numbered", ActionNumber::LAST)]
    Exhausted,
}

impl DeviceOffers {
    /// Locks a component for a deployment, and numbers the offer. `line` are the components above and below it; with
    /// `whole_device` no other component of the device may be locked either.
    ///
    /// # Errors
    /// [`NotFree::Locked`] while another deployment has a lock that is in the way, and [`NotFree::Exhausted`] when every
    /// number was given.
    pub fn take(
        &self,
        component: &Id,
        line: &[Id],
        whole_device: bool,
        deployment: DeploymentId,
    ) -> Result<(Self, ActionNumber), NotFree> {
        let in_the_way = |lock: &&Lock| {
            let near = whole_device || lock.component == *component || line.contains(&lock.component);
            near && lock.deployment != deployment
        };
        if let Some(lock) = self.live.iter().find(in_the_way) {
            return Err(NotFree::Locked { by: lock.deployment });
        }
        let last = self.last.next().ok_or(NotFree::Exhausted)?;
        let mut taken = Self { last, ..self.release(deployment) };
        taken.live.push(Lock { component: component.clone(), deployment });
        Ok((taken, last))
    }

    /// Returns the record without the lock of a deployment.
    #[must_use]
    pub fn release(&self, deployment: DeploymentId) -> Self {
        let live = self.live.iter().filter(|lock| lock.deployment != deployment).cloned().collect();
        Self { live, ..*self }
    }

    /// Returns the stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none, or of a format that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        record::from_bytes(bytes)
    }
}
