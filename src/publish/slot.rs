//! Slots and their content.

use super::{ActionNumber, OfferKey, SlotVersion};
use crate::manifest::{ArtifactName, ProviderId, UpdateName, VersionLabel};
use crate::primitive::{Id, Uri, moment};
use crate::store::{BlobRef, Sha256};
use crate::support::InvalidText;
use crate::update::release::{Sha1, Unreadable};
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// Size of a content that every region must accept, in bytes.
pub const MAX_CONTENT: usize = 4 << 10;

/// A region's name for a device: the id of a twin, the client name of a broker, the controller of a device interface. 1
/// to 128 visible ASCII characters.
///
/// ```
/// use fhir_devices::publish::DeviceAddress;
/// assert_eq!("pump-7".parse::<DeviceAddress>()?.as_str(), "pump-7");
/// assert!("two words".parse::<DeviceAddress>().is_err());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct DeviceAddress(SmolStr);

impl DeviceAddress {
    /// Creates an address from a text.
    ///
    /// # Errors
    /// [`InvalidText`] when it is empty, too long, or contains a space or another character that is not visible ASCII.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidText> {
        let text = text.as_ref();
        if !(1..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "1 to 128 visible characters of ASCII are wanted";
            return Err(InvalidText::new("the address of a device", text, reason));
        }
        Ok(Self(SmolStr::new(text)))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DeviceAddress {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

/// The key of a slot: a device and one of its components.
///
/// ```
/// use fhir_devices::publish::Slot;
/// let slot = Slot { device: "pump-7".parse()?, component: "channel".parse()? };
/// assert_eq!(slot.to_string(), "pump-7/channel");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// The device.
    pub device: DeviceAddress,
    /// The component, by its logical id.
    pub component: Id,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.component)
    }
}

/// One file of an offer.
///
/// ```
/// use fhir_devices::{publish::OfferedFile, store::BlobRef};
/// let link = "https://updates.example/offers/1".parse()?;
/// let file = OfferedFile::new("pump.bin".parse()?, BlobRef::of(b"firmware"), link);
/// assert_eq!(file.size, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OfferedFile {
    /// The name of the file.
    pub name: ArtifactName,
    /// The size in bytes.
    pub size: u64,
    /// The digest.
    pub sha256: Sha256,
    /// The SHA-1 digest, for clients that require it. It is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<Sha1>,
    /// The URL for the device. The server there decides whether it gets the bytes.
    pub link: Uri,
}

impl OfferedFile {
    /// Creates a file from its name, its bytes, and the URL for the device.
    #[must_use]
    pub const fn new(name: ArtifactName, bytes: BlobRef, link: Uri) -> Self {
        Self { name, size: bytes.size, sha256: bytes.digest, sha1: None, link }
    }

    /// Sets the SHA-1 digest, for clients that require it.
    #[must_use]
    pub fn with_sha1(self, sha1: Sha1) -> Self {
        Self { sha1: Some(sha1), ..self }
    }
}

/// An offer of an update to a component.
///
/// ```
/// use fhir_devices::{publish::{ActionNumber, Offer, OfferKey}, update::rollout::{Attempt, DeploymentId}};
/// let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// let until = time::macros::datetime!(2017-04-19 10:00 UTC);
/// let offer = Offer::new(key, ActionNumber::FIRST, "pump/main".parse()?, "2.4.0".parse()?, 6, until)
///     .with_provider("acme".parse()?);
/// assert_eq!(offer.key.to_string(), "00000000000000000000000000000007-1");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Offer {
    /// The idempotency key of the offer.
    pub key: OfferKey,
    /// The number among the offers of the device.
    pub action: ActionNumber,
    /// The manufacturer, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// The name of the update, the same in every version.
    pub name: UpdateName,
    /// The version of the update.
    pub version: VersionLabel,
    /// The sequence number among the updates of the component.
    pub sequence: u64,
    /// The digest of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// The files.
    pub files: Vec<OfferedFile>,
    /// The end of validity.
    #[serde(with = "moment")]
    pub not_after: OffsetDateTime,
}

impl Offer {
    /// Creates an offer without files: its key and number, the name, version and sequence number of the update, and the
    /// end of validity.
    #[must_use]
    pub const fn new(
        key: OfferKey,
        action: ActionNumber,
        name: UpdateName,
        version: VersionLabel,
        sequence: u64,
        not_after: OffsetDateTime,
    ) -> Self {
        Self { key, action, provider: None, name, version, sequence, manifest: None, files: Vec::new(), not_after }
    }

    /// Sets the manufacturer.
    #[must_use]
    pub fn with_provider(self, provider: ProviderId) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// Sets the digest of the manifest.
    #[must_use]
    pub fn with_manifest(self, manifest: Sha256) -> Self {
        Self { manifest: Some(manifest), ..self }
    }

    /// Sets the files.
    #[must_use]
    pub fn with_files(self, files: Vec<OfferedFile>) -> Self {
        Self { files, ..self }
    }
}

/// The content of a slot.
///
/// ```
/// use fhir_devices::{publish::{ActionNumber, Content, OfferKey}, update::rollout::{Attempt, DeploymentId}};
/// let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// let tombstone = |action| Content::Tombstone { key, action: ActionNumber(action) };
/// assert!(tombstone(2).is_after(&tombstone(1)));
/// assert_eq!(Content::from_bytes(&tombstone(1).to_bytes()), Ok(tombstone(1)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Content {
    /// An offer.
    Offer(Box<Offer>),
    /// The mark of a retracted offer.
    Tombstone {
        /// The key of the offer.
        key: OfferKey,
        /// The number of the offer.
        action: ActionNumber,
    },
}

impl Content {
    /// Returns the key of the offer.
    #[must_use]
    pub const fn key(&self) -> OfferKey {
        match self {
            Self::Offer(offer) => offer.key,
            Self::Tombstone { key, .. } => *key,
        }
    }

    /// Returns the number of the offer.
    #[must_use]
    pub const fn action(&self) -> ActionNumber {
        match self {
            Self::Offer(offer) => offer.action,
            Self::Tombstone { action, .. } => *action,
        }
    }

    /// Returns whether this content supersedes another content of the same slot, which must not replace it: it has a
    /// higher number, or is the tombstone of that offer.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        let rank = |content: &Self| (content.action(), matches!(content, Self::Tombstone { .. }));
        rank(self) > rank(other)
    }

    /// Returns the content as JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers under fixed names always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses a content.
    ///
    /// # Errors
    /// [`Unreadable`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes).map_err(|_| Unreadable)
    }
}

/// The content of a slot as read.
///
/// ```
/// use fhir_devices::publish::{Content, Found, SlotVersion};
/// # use fhir_devices::{publish::{ActionNumber, OfferKey}, update::rollout::{Attempt, DeploymentId}};
/// # let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// let content = Content::Tombstone { key, action: ActionNumber(1) };
/// let found = Found::new(content, SlotVersion::new("3"));
/// assert_eq!(found.version.as_str(), "3");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The content.
    pub content: Content,
    /// The version of the slot.
    pub version: SlotVersion,
}

impl Found {
    /// Creates a found content with the version of its slot.
    #[must_use]
    pub const fn new(content: Content, version: SlotVersion) -> Self {
        Self { content, version }
    }
}
