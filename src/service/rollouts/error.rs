//! The error of the rollout service.

use super::super::ReceiveError;
use crate::manifest::{ArtifactName, IngestId, ReleaseId};
use crate::primitive::Id;
use crate::publish::{OfferKey, PublishError, RegionId};
use crate::store::StoreError;
use crate::update::deployment;
use crate::update::release::{self, InvalidRelease};
use crate::update::rollout::{DeploymentId, InvalidSpec, RolloutId, RolloutRefusal};

/// The error of a call of [`RolloutService`](super::RolloutService).
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
        /// The requested id.
        id: ReleaseId,
    },
    /// The tenant has no such rollout.
    #[error("there is no rollout `{id}`")]
    NoSuchRollout {
        /// The requested id.
        id: RolloutId,
    },
    /// The tenant has no such deployment, or not in this rollout.
    #[error("there is no deployment `{id}`")]
    NoSuchDeployment {
        /// The requested id.
        id: DeploymentId,
    },
    /// The offer does not exist, or belongs to another device.
    #[error("there is no offer `{key}` for the device")]
    NoSuchOffer {
        /// The requested key.
        key: OfferKey,
    },
    /// The offer has no such file.
    #[error("the offer `{key}` does not have the file `{name}`")]
    NoSuchFile {
        /// The key of the offer.
        key: OfferKey,
        /// The requested file.
        name: ArtifactName,
    },
    /// The tenant has no such device.
    #[error("there is no device `{device}`")]
    NoSuchDevice {
        /// The device.
        device: Id,
    },
    /// The device has no such component.
    #[error("device `{device}` does not have the component `{component}`")]
    NoSuchComponent {
        /// The device.
        device: Id,
        /// The component.
        component: Id,
    },
    /// The upload has no bytes to release.
    #[error("the upload `{upload}` is not attached, and has nothing to release")]
    NothingAttached {
        /// The upload.
        upload: IngestId,
    },
    /// The release is invalid.
    #[error(transparent)]
    InvalidRelease(#[from] InvalidRelease),
    /// The rollout is invalid.
    #[error(transparent)]
    InvalidSpec(#[from] InvalidSpec),
    /// No publisher serves the region.
    #[error("nobody publishes to the region `{region}` here")]
    UnknownRegion {
        /// The region.
        region: RegionId,
    },
    /// The search of the rollout is invalid.
    #[error("the search of the components cannot be made: {why}")]
    InvalidSearch {
        /// The reason.
        why: String,
    },
    /// The release may not be rolled out.
    #[error("the release `{id}` is not released")]
    NotReleased {
        /// The release.
        id: ReleaseId,
    },
    /// The release machine refuses the input.
    #[error("release `{release}`: {refusal}")]
    Release {
        /// The release.
        release: ReleaseId,
        /// The refusal.
        refusal: release::Refusal,
    },
    /// The rollout machine refuses the input.
    #[error("rollout `{rollout}`: {refusal}")]
    Rollout {
        /// The rollout.
        rollout: RolloutId,
        /// The refusal.
        refusal: RolloutRefusal,
    },
    /// The deployment machine refuses the input.
    #[error("deployment `{deployment}`: {refusal}")]
    Deployment {
        /// The deployment.
        deployment: DeploymentId,
        /// The refusal.
        refusal: deployment::Refusal,
    },
    /// The reported version cannot be written to the component.
    #[error("the version of component `{component}` cannot be kept: {why}")]
    InvalidVersion {
        /// The component.
        component: Id,
        /// The reason.
        why: String,
    },
    /// The bytes of the release were not received.
    #[error(transparent)]
    Bytes(#[from] ReceiveError),
    /// Other writers changed the same records at each attempt.
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
    /// Returns whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Bytes(error) => error.is_transient(),
            Self::Contended { .. } => true,
            Self::Deployment { refusal, .. } => {
                matches!(refusal, deployment::Refusal::NotOpen | deployment::Refusal::GateClosed)
            }
            _ => false,
        }
    }
}

/// The error of a region at the slot of one deployment.
///
/// ```
/// use fhir_devices::{publish::PublishError, service::RegionError, update::rollout::DeploymentId};
/// let denied = PublishError::Denied { source: None };
/// let error = RegionError::new("eu".parse()?, DeploymentId(7), denied);
/// assert_eq!(error.to_string(), "the region `eu` does not have the slot of the deployment \
///     `00000000000000000000000000000007` as it should be");
/// assert_eq!(error.source.to_string(), "the region refuses the credentials");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the region `{region}` does not have the slot of the deployment `{deployment}` as it should be")]
#[non_exhaustive]
pub struct RegionError {
    /// The region.
    pub region: RegionId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The error of the region.
    pub source: PublishError,
}

impl RegionError {
    /// Returns the error of a region at the slot of a deployment.
    #[must_use]
    pub const fn new(region: RegionId, deployment: DeploymentId, source: PublishError) -> Self {
        Self { region, deployment, source }
    }
}
