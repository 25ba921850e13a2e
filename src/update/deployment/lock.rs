//! Locks on the components of a device.

use super::super::ingest::Unreadable;
use super::super::rollout::{ActionNumber, DeploymentId, record};
use crate::primitive::Id;
use serde::{Deserialize, Serialize};

/// Lock on a component, held by a deployment.
///
/// ```
/// use fhir_devices::update::{deployment::Lock, rollout::DeploymentId};
/// let lock = Lock { component: "vmd".parse()?, deployment: DeploymentId(7) };
/// assert_eq!(lock.deployment, DeploymentId(7));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lock {
    /// Locked component.
    pub component: Id,
    /// Deployment that holds the lock.
    pub deployment: DeploymentId,
}

/// Ledger record of the offers of a device: the locks on its components, and the number of offers so far. It is written
/// in the same commit as the deployment and its lane.
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
    /// Action number of the last offer; 0 before the first.
    #[serde(default)]
    pub last: ActionNumber,
    /// Locks on the components that are being updated.
    #[serde(default)]
    pub live: Vec<Lock>,
    /// Number of the last version report, if the device numbers reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<u64>,
}

/// Reason why a component cannot be locked for an update.
///
/// ```
/// use fhir_devices::update::{deployment::NotFree, rollout::DeploymentId};
/// let locked = NotFree::Locked { by: DeploymentId(7) };
/// assert_eq!(locked.to_string(), "deployment `00000000000000000000000000000007` updates the component, or one above or below it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum NotFree {
    /// Another deployment holds a lock on the component, or on one above or below it.
    #[error("deployment `{by}` updates the component, or one above or below it")]
    Locked {
        /// Deployment that holds the lock.
        by: DeploymentId,
    },
    /// The action numbers of the device are exhausted.
    #[error("the device was made {} offers, and no more can be numbered", ActionNumber::LAST)]
    Exhausted,
}

impl DeviceOffers {
    /// Locks a component for a deployment, and assigns the action number of the offer. `line` are the components above
    /// and below it; with `whole_device` no other component of the device may be locked either.
    ///
    /// # Errors
    /// [`NotFree::Locked`] while another deployment holds a conflicting lock, and [`NotFree::Exhausted`] when every
    /// number was used.
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

    /// Serializes the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        record::from_bytes(bytes)
    }
}
