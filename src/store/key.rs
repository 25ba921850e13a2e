//! Resource keys, version ids and write ids.

use super::InvalidText;
use crate::primitive::is_id;
use crate::search::ResourceType;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Key of a resource in a tenant: its type and its logical id, checked as FHIR `id`.
///
/// The text form is the relative reference, safe as two path segments.
///
/// ```
/// use fhir_devices::store::Key;
/// use fhir_devices::search::ResourceType;
/// let key: Key = "DeviceComponent/vmd-1".parse()?;
/// assert_eq!(key, Key::new(ResourceType::DeviceComponent, "vmd-1")?);
/// assert_eq!(key.to_string(), "DeviceComponent/vmd-1");
/// assert!(Key::new(ResourceType::Device, "../etc").is_err());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct Key {
    resource_type: ResourceType,
    id: SmolStr,
}

impl Key {
    /// Creates a key from a type and an id.
    ///
    /// # Errors
    /// [`InvalidText`] when the id is not 1 to 64 letters, digits, `-` and `.`, or is `.` or `..`.
    pub fn new(resource_type: ResourceType, id: impl Into<SmolStr>) -> Result<Self, InvalidText> {
        let id = id.into();
        if id.is_empty() || id.len() > 64 {
            return Err(InvalidText::new("a resource id", &id, "1 to 64 characters are wanted"));
        }
        if !is_id(&id) {
            return Err(InvalidText::new("a resource id", &id, "only letters, digits, `-` and `.` are allowed"));
        }
        if id == "." || id == ".." {
            return Err(InvalidText::new("a resource id", &id, "it would name a folder"));
        }
        Ok(Self { resource_type, id })
    }

    /// Returns the type of the resource.
    #[must_use]
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// Returns the logical id.
    #[must_use]
    pub fn id(&self) -> &SmolStr {
        &self.id
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource_type, self.id)
    }
}

impl FromStr for Key {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text.split_once('/') {
            Some((resource_type, id)) => Self::new(resource_type.parse()?, id),
            None => Err(InvalidText::new("a key", text, "the form is TYPE/ID")),
        }
    }
}

/// FHIR `meta.versionId`: 1, 2, 3 and so on for each resource, assigned by the store and never reused.
///
/// ```
/// use fhir_devices::store::VersionId;
/// let third = VersionId::from_etag("W/\"3\"")?;
/// assert_eq!(third.to_string(), "3");
/// assert_eq!(third, VersionId::from_etag("\"3\"")?);
/// assert_eq!(third.next().etag(), "W/\"4\"");
/// assert!("0".parse::<VersionId>().is_err());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct VersionId(NonZeroU64);

impl VersionId {
    /// Version of a newly created resource.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Returns the version with this number; `None` for 0.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Parses an entity tag of `If-Match`, weak or strong: `W/"3"` or `"3"`.
    ///
    /// # Errors
    /// [`InvalidText`] for a list, `*`, or the tag of anything but a version.
    pub fn from_etag(tag: &str) -> Result<Self, InvalidText> {
        let quoted = tag.strip_prefix("W/").unwrap_or(tag);
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| InvalidText::new("a version's entity tag", tag, "the form is `W/\"3\"`"))
    }

    /// Returns the version number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Returns the version of the next write.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the weak entity tag, such as `W/"3"`.
    #[must_use]
    pub fn etag(self) -> String {
        format!("W/\"{self}\"")
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VersionId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = |reason| InvalidText::new("a version", text, reason);
        if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse("a positive number without leading zeros is wanted"));
        }
        text.parse().map(Self).map_err(|_| refuse("the number is too large"))
    }
}

/// Id that the caller gives to one logical write, kept with the version that the write made.
///
/// When a reply is lost, a version with the id proves that the write was applied. The caller chooses the id, at random
/// or derived from its task, and uses it for one write only. The text form is 32 hexadecimal digits.
///
/// ```
/// use fhir_devices::store::WriteId;
/// let id = WriteId(0xfeed);
/// assert_eq!(id.to_string(), "0000000000000000000000000000feed");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct WriteId(pub u128);

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::hex(&self.0.to_be_bytes(), &mut [0; 64]))
    }
}

impl FromStr for WriteId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let parsed = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        parsed.map(Self).ok_or_else(|| InvalidText::new("a write id", text, "32 hexadecimal digits are wanted"))
    }
}
