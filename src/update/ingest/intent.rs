//! Intent and limits of an upload.

use super::super::VersionDowngrade;
use crate::audit::UploadFailure;
use crate::containment::Selector;
use crate::manifest::{
    ActorId, Artifact, DowngradeAuthorization, ProductionSpec, UpdateManifest, VerifiedManifest, VersionScheme,
};
use crate::primitive::{Code, Id, Text};
use crate::store::{BlobRef, Sha256};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Declared intent of an upload.
///
/// ```
/// use fhir_devices::update::ingest::Intent;
/// let intent = Intent::new("pump-7".parse()?, "pump-2.4.bin".parse()?, "application/octet-stream".parse()?);
/// assert_eq!(Intent { sequence: Some(6), ..intent.clone() }.device, intent.device);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Device of the component.
    pub device: Id,
    /// Selector of the component.
    pub target: Selector,
    /// Manufacturer. Sequence numbers of different providers are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Text>,
    /// Version, as named by the manufacturer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// Sequence number, higher for later updates of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Permission to accept a sequence number that is not higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Box<DowngradeAuthorization>>,
    /// Version scheme; inferred if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<VersionScheme>,
    /// Kind of version that the upload changes; `None` for the software version, or the firmware version if no software
    /// version is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_as: Option<ProductionSpec>,
    /// Permission for a version lower than the one that the component reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Box<VersionDowngrade>>,
    /// Whether other bytes are permitted under a version that the component has had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Digest of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// Expected digest of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Expected size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// File name: data, never a path.
    pub file_name: Text,
    /// Media type.
    pub content_type: Code,
    /// Sender of the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<ActorId>,
}

impl Intent {
    /// Creates an intent for the only component of a device, with no other declarations.
    #[must_use]
    pub const fn new(device: Id, file_name: Text, content_type: Code) -> Self {
        Self {
            device,
            target: Selector::Any,
            provider: None,
            version: None,
            sequence: None,
            downgrade: None,
            scheme: None,
            reported_as: None,
            lower: None,
            replace: false,
            manifest: None,
            sha256: None,
            size: None,
            file_name,
            content_type,
            sender: None,
        }
    }

    /// Returns whether both intents ask for the same, ignoring the senders.
    #[must_use]
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        let reason = |intent: &Self| intent.lower.as_ref().map(|lower| lower.reason.clone());
        let bare = |intent: &Self| Self { sender: None, lower: None, ..intent.clone() };
        reason(self) == reason(other) && bare(self) == bare(other)
    }
}

impl VerifiedManifest {
    /// Returns the intent of uploading one of its files to a device, bound to this manifest.
    ///
    /// ```
    /// # use fhir_devices::manifest::{Artifact, VerifiedManifest};
    /// # use fhir_devices::update::ingest::Intent;
    /// fn first(verified: &VerifiedManifest) -> Option<Intent> {
    ///     let artifact = verified.manifest().artifacts.first()?;
    ///     let intent = verified.intent("pump-7".parse().ok()?, artifact)?;
    ///     assert_eq!(intent.sha256, Some(artifact.sha256));
    ///     Some(intent)
    /// }
    /// ```
    #[must_use]
    pub fn intent(&self, device: Id, artifact: &Artifact) -> Option<Intent> {
        let UpdateManifest { identity, sequence, target, downgrade, artifacts, .. } = self.manifest();
        if !artifacts.contains(artifact) {
            return None;
        }
        let text = |text: &str| Text::new(text).ok();
        let name = text(artifact.name.as_str())?;
        Some(Intent {
            target: target.selector(),
            provider: text(identity.provider.as_str()),
            version: text(identity.version.as_str()),
            sequence: Some(*sequence),
            downgrade: downgrade.clone().map(Box::new),
            manifest: Some(self.id().0),
            sha256: Some(artifact.sha256),
            size: Some(artifact.size),
            ..Intent::new(device, name, artifact.media_type.clone())
        })
    }
}

/// Limits of an upload. They are part of its record, so that they do not change under way.
///
/// ```
/// use fhir_devices::update::ingest::Limits;
/// assert_eq!(Limits::default().max_size, 4 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum size in bytes.
    pub max_size: u64,
    /// Maximum number of attempts to write a contended component; 0 counts as 1.
    pub max_attempts: u16,
    /// Time in seconds without new bytes after which anybody may end the upload. Safety does not depend on it.
    pub lease_seconds: u32,
}

impl Limits {
    /// Returns the time without new bytes after which anybody may end the upload.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds as u64)
    }
}

impl Default for Limits {
    /// Returns 4 GiB, 32 attempts and a lease of one hour.
    fn default() -> Self {
        Self { max_size: 4 << 30, max_attempts: 32, lease_seconds: 3600 }
    }
}

/// Checks whether the bytes of an upload may be stored, before they become visible.
///
/// # Errors
/// The first reason to refuse them.
///
/// ```
/// # use fhir_devices::audit::UploadFailure;
/// # use fhir_devices::{update::ingest::*, store::{BlobRef, Sha256}};
/// let mut intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// intent.sha256 = Some(Sha256::of(b"firmware"));
/// let limits = Limits { max_size: 100, ..Limits::default() };
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmware")), Ok(()));
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmwarE")), Err(UploadFailure::DigestMismatch));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
pub fn check(intent: &Intent, limits: &Limits, found: &BlobRef) -> Result<(), UploadFailure> {
    if found.size > limits.max_size {
        Err(UploadFailure::TooLarge)
    } else if found.size == 0 {
        Err(UploadFailure::Empty)
    } else if intent.size.is_some_and(|declared| declared != found.size) {
        Err(UploadFailure::SizeMismatch)
    } else if intent.sha256.is_some_and(|declared| declared != found.digest) {
        Err(UploadFailure::DigestMismatch)
    } else {
        Ok(())
    }
}
