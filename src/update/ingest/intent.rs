//! What an upload is for, and what it must keep to.

use super::super::manifest::{Spec, VersionScheme};
use super::super::name::names;
use super::super::{ActorId, DowngradeAuthorization, VersionDowngrade};
use crate::containment::Selector;
use crate::primitive::{Code, Id, Text};
use crate::store::{BlobRef, Sha256};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an upload is for, as its sender said before the first byte.
///
/// ```
/// use fhir_devices::update::ingest::Intent;
/// let intent = Intent::new("pump-7".parse()?, "pump-2.4.bin".parse()?, "application/octet-stream".parse()?);
/// assert_eq!(Intent { sequence: Some(6), ..intent.clone() }.device, intent.device);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The device.
    pub device: Id,
    /// Which of its components.
    pub target: Selector,
    /// Who made the update. Sequence numbers of different providers are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Text>,
    /// The version, as the maker of the update names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// The place of the update among those of the component: the later, the higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The leave to accept a sequence number that is not higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Box<DowngradeAuthorization>>,
    /// How its version is written; `None` where that is to be inferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<VersionScheme>,
    /// Which of the versions of the component it changes; `None` for that of the software, or of the firmware where none of
    /// the software is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_as: Option<Spec>,
    /// The leave to bring a version that is lower than the one that the component reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Box<VersionDowngrade>>,
    /// The leave to bring other bytes under a version that the component knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// The digest of the manifest that describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// The digest that the bytes shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The size that they shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What the file is called. It is data, and never used as a path.
    pub file_name: Text,
    /// Its media type.
    pub content_type: Code,
    /// Who sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<ActorId>,
}

impl Intent {
    /// An upload for the only component of a device, of which nothing is declared.
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

    /// Whether the same is asked for, by whomever.
    #[must_use]
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        let reason = |intent: &Self| intent.lower.as_ref().map(|lower| lower.reason.clone());
        let bare = |intent: &Self| Self { sender: None, lower: None, ..intent.clone() };
        reason(self) == reason(other) && bare(self) == bare(other)
    }
}

names! {
    /// Why an upload came to nothing.
    ///
    /// ```
    /// use fhir_devices::update::ingest::Reason;
    /// assert_eq!(Reason::TooLarge.to_string(), "too-large");
    /// assert!(Reason::TooLarge.is_fault() && !Reason::Withdrawn.is_fault());
    /// ```
    Reason {
        /// The bytes have not the digest that was declared.
        DigestMismatch = "digest-mismatch",
        /// The bytes are not as many as were declared.
        SizeMismatch = "size-mismatch",
        /// There were more bytes than are taken.
        TooLarge = "too-large",
        /// There were no bytes.
        Empty = "empty",
        /// The bytes did not come, or not to their end, while there was time.
        UploadLost = "upload-lost",
        /// The component that was meant is no longer there, or no longer the only one.
        TargetLost = "target-lost",
        /// Its manifest does not fit the device as it is, its signatures are not good, or the tenant takes no such upload.
        NotAdmitted = "not-admitted",
        /// Others wrote to the component each time.
        Contended = "contended",
        /// The sequence number is not above what was accepted before.
        NotHigher = "not-higher",
        /// It has no sequence number, and the component accepted an update that has one.
        Unsequenced = "unsequenced",
        /// Its version stands for other bytes.
        VersionTaken = "version-taken",
        /// Its version is lower than the one that the component reports.
        LowerVersion = "lower-version",
        /// A later update took its place.
        Superseded = "superseded",
        /// Somebody took it back.
        Withdrawn = "withdrawn",
        /// Somebody else took its reference out of the component, or deleted that.
        Lost = "lost",
    }
}

impl Reason {
    /// Whether it is the bytes that are to blame.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::DigestMismatch | Self::SizeMismatch | Self::TooLarge | Self::Empty => true,
            Self::UploadLost
            | Self::TargetLost
            | Self::NotAdmitted
            | Self::Contended
            | Self::NotHigher
            | Self::Unsequenced
            | Self::VersionTaken
            | Self::LowerVersion
            | Self::Superseded
            | Self::Withdrawn
            | Self::Lost => false,
        }
    }
}

/// The limits that an upload must keep. They are part of its record, so that they do not change under way.
///
/// ```
/// use fhir_devices::update::ingest::Limits;
/// assert_eq!(Limits::default().max_size, 4 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most bytes.
    pub max_size: u64,
    /// How often it is tried to write to a component that others write to; 0 counts as 1.
    pub max_attempts: u16,
    /// How long the bytes may stay away before somebody else may end the upload, in seconds. It is no matter of safety.
    pub lease_seconds: u32,
}

impl Limits {
    /// How long the bytes may stay away.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds as u64)
    }
}

impl Default for Limits {
    /// 4 GiB, 32 attempts, an hour.
    fn default() -> Self {
        Self { max_size: 4 << 30, max_attempts: 32, lease_seconds: 3600 }
    }
}

/// Whether the bytes of an upload are such as may be stored. It is asked before they become visible.
///
/// # Errors
/// The first reason to refuse them.
///
/// ```
/// # use fhir_devices::{update::ingest::*, store::{BlobRef, Sha256}};
/// let mut intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// intent.sha256 = Some(Sha256::of(b"firmware"));
/// let limits = Limits { max_size: 100, ..Limits::default() };
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmware")), Ok(()));
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmwarE")), Err(Reason::DigestMismatch));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
pub fn check(intent: &Intent, limits: &Limits, found: &BlobRef) -> Result<(), Reason> {
    if found.size > limits.max_size {
        Err(Reason::TooLarge)
    } else if found.size == 0 {
        Err(Reason::Empty)
    } else if intent.size.is_some_and(|declared| declared != found.size) {
        Err(Reason::SizeMismatch)
    } else if intent.sha256.is_some_and(|declared| declared != found.digest) {
        Err(Reason::DigestMismatch)
    } else {
        Ok(())
    }
}
