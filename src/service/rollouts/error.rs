//! Why a release, a rollout or a deployment was not changed.

use super::super::ReceiveError;
use crate::manifest::{ArtifactName, ReleaseId};
use crate::primitive::Id;
use crate::publish::{OfferKey, RegionId};
use crate::store::StoreError;
use crate::update::deployment;
use crate::update::release::{self, InvalidRelease};
use crate::update::rollout::{DeploymentId, InvalidSpec, RolloutId, RolloutRefusal};

/// Why a call of [`RolloutService`](super::RolloutService) did not do what was asked.
///
/// ```
/// use fhir_devices::{service::RolloutError, update::rollout::RolloutId};
/// let error = RolloutError::NoSuchRollout { id: RolloutId(7) };
/// assert_eq!(error.to_string(), "there is no rollout `00000000000000000000000000000007`");
/// assert!(!error.is_transient());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// The tenant has no such release.
    #[error("there is no release `{id}`")]
    NoSuchRelease {
        /// The id that was asked for.
        id: ReleaseId,
    },
    /// The tenant has no such rollout.
    #[error("there is no rollout `{id}`")]
    NoSuchRollout {
        /// The id that was asked for.
        id: RolloutId,
    },
    /// The tenant has no such deployment, or not in this rollout.
    #[error("there is no deployment `{id}`")]
    NoSuchDeployment {
        /// The id that was asked for.
        id: DeploymentId,
    },
    /// There is no such offer, or it is another device's.
    #[error("there is no offer `{key}` for the device")]
    NoSuchOffer {
        /// The key that was asked for.
        key: OfferKey,
    },
    /// The offer has no such file.
    #[error("the offer `{key}` does not have the file `{name}`")]
    NoSuchFile {
        /// The key of the offer.
        key: OfferKey,
        /// The file that was asked for.
        name: ArtifactName,
    },
    /// The device has no such component.
    #[error("device `{device}` does not have the component `{component}`")]
    NoSuchComponent {
        /// The device.
        device: Id,
        /// The component.
        component: Id,
    },
    /// The upload has no bytes that could be released.
    #[error("the upload is not attached, and has nothing to release")]
    NothingAttached,
    /// The release is not one that can be made.
    #[error(transparent)]
    InvalidRelease(#[from] InvalidRelease),
    /// The rollout is not one that can be made.
    #[error(transparent)]
    InvalidSpec(#[from] InvalidSpec),
    /// There is nobody who publishes to a region.
    #[error("nobody publishes to the region `{region}` here")]
    UnknownRegion {
        /// The region.
        region: RegionId,
    },
    /// The search of a rollout is not one that can be made.
    #[error("the search of the components cannot be made: {why}")]
    InvalidSearch {
        /// Why.
        why: String,
    },
    /// The release may not be rolled out.
    #[error("the release `{id}` is not released")]
    NotReleased {
        /// The release.
        id: ReleaseId,
    },
    /// The release does not take the step.
    #[error(transparent)]
    Release(#[from] release::Refusal),
    /// The rollout does not take the step.
    #[error(transparent)]
    Rollout(#[from] RolloutRefusal),
    /// The deployment does not take the step.
    #[error(transparent)]
    Deployment(#[from] deployment::Refusal),
    /// What a device reported cannot be kept in its component.
    #[error("the version of component `{component}` cannot be kept: {why}")]
    InvalidVersion {
        /// The component.
        component: Id,
        /// Why.
        why: String,
    },
    /// The bytes of a release were not taken.
    #[error(transparent)]
    Bytes(#[from] ReceiveError),
    /// Others changed the same records each time.
    #[error("the records changed during each of {attempts} attempts")]
    Contended {
        /// The number of attempts.
        attempts: u32,
    },
    /// A store failed.
    #[error("a store failed")]
    Store(#[from] StoreError),
}

impl RolloutError {
    /// Whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Bytes(error) => error.is_transient(),
            Self::Contended { .. } => true,
            Self::Deployment(refusal) => {
                matches!(refusal, deployment::Refusal::NotOpen | deployment::Refusal::GateClosed)
            }
            _ => false,
        }
    }
}
