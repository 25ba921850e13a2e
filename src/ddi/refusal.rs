//! Why a request of a device is refused.

use crate::publish::{ActionNumber, OfferKey};
use crate::service::RolloutError;

/// Why a request of a device is refused. Nothing is changed by it.
///
/// ```
/// use fhir_devices::{ddi::Refusal, publish::ActionNumber};
/// let refusal = Refusal::NoSuchAction { number: ActionNumber(7) };
/// assert_eq!((refusal.status(), refusal.to_string().as_str()), (404, "the device was never offered action 7"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is nothing at the path.
    #[error("the device interface has nothing at `{path}`")]
    NoSuchPath {
        /// The path below the device.
        path: String,
    },
    /// The path is not used with the method.
    #[error("`{path}` is not used with this method")]
    OtherMethod {
        /// The path below the device.
        path: String,
    },
    /// The device was never offered an action of the number.
    #[error("the device was never offered action {number}")]
    NoSuchAction {
        /// The number.
        number: ActionNumber,
    },
    /// The action has ended, or there is no such thing to do for it now.
    #[error("action {number} is not active any more")]
    NotActive {
        /// The number.
        number: ActionNumber,
    },
    /// The body is for another action than the path.
    #[error("the body is for action {named}, and the path for action {number}")]
    OtherAction {
        /// The number in the path.
        number: ActionNumber,
        /// The number in the body.
        named: u64,
    },
    /// The body is larger than [`MAX_BODY`](super::MAX_BODY).
    #[error("the body has {size} bytes, wanted {limit} at most")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The largest size.
        limit: usize,
    },
    /// The body has more attributes or longer ones than are taken.
    #[error("{why}")]
    TooMuch {
        /// What is too much.
        why: String,
    },
    /// The body cannot be read.
    #[error("the body is no {what}: {why}")]
    Malformed {
        /// What it has to be.
        what: &'static str,
        /// Why it is not.
        why: String,
    },
    /// No action of the device is for an update of the name.
    #[error("the device is not offered an update `{name}`")]
    NoSuchUpdate {
        /// The name.
        name: String,
    },
    /// The offer does not have exactly one file, and clients of the interface take no other.
    #[error("offer `{key}` has {files} files, and the device interface offers exactly one")]
    NotOneFile {
        /// The offer.
        key: OfferKey,
        /// The number of its files.
        files: usize,
    },
    /// The rollout service refuses it or failed.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}

impl Refusal {
    /// Returns the status of HTTP; for [`Refusal::Rollout`] that of a fault, which the caller may refine.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoSuchPath { .. } | Self::NoSuchAction { .. } | Self::NoSuchUpdate { .. } => 404,
            Self::OtherMethod { .. } => 405,
            Self::NotActive { .. } => 410,
            Self::OtherAction { .. } | Self::Malformed { .. } => 400,
            Self::TooLarge { .. } | Self::TooMuch { .. } => 413,
            Self::NotOneFile { .. } => 409,
            Self::Rollout(_) => 500,
        }
    }
}
