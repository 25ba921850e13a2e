//! What an upload is for, and what it must keep to.

use super::Unreadable;
use crate::primitive::{Code, Id, Text};
use crate::reference::Selector;
use crate::store::{BlobRef, Sha256};
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// What an upload is for, as its sender said before the first byte.
///
/// ```
/// use fhir_devices::{reference::Selector, update::ingest::Intent};
/// let intent = Intent {
///     device: "pump-7".parse()?,
///     target: Selector::Any,
///     version: None,
///     sequence: None,
///     sha256: None,
///     file_name: "pump-2.4.bin".parse()?,
///     content_type: "application/octet-stream".parse()?,
/// };
/// assert_eq!(intent, intent.clone());
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The device.
    pub device: Id,
    /// Which of its components.
    pub target: Selector,
    /// The version, as the maker of the update names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// The place of the update among those of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The digest that the bytes shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// What the file is called.
    pub file_name: Text,
    /// Its media type.
    pub content_type: Code,
}

/// Why an upload came to nothing.
///
/// ```
/// use fhir_devices::update::ingest::Reason;
/// assert_eq!(Reason::TooLarge.to_string(), "too-large");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes have not the digest that was declared.
    DigestMismatch,
    /// There were more bytes than are taken.
    TooLarge,
    /// There were no bytes.
    Empty,
    /// The component that was meant is no longer there, or no longer the only one.
    TargetLost,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::DigestMismatch, Self::TooLarge, Self::Empty, Self::TargetLost];

    /// The name, as it is kept in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DigestMismatch => "digest-mismatch",
            Self::TooLarge => "too-large",
            Self::Empty => "empty",
            Self::TargetLost => "target-lost",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = Unreadable;

    fn from_str(name: &str) -> Result<Self, Unreadable> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or(Unreadable)
    }
}

/// The limits that an upload must keep.
///
/// ```
/// use fhir_devices::update::ingest::Limits;
/// assert_eq!(Limits { max_size: 1 << 30 }.max_size, 1_073_741_824);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes.
    pub max_size: u64,
}

/// Whether the bytes of an upload are such as may be stored. It is asked before they become visible.
///
/// # Errors
/// The first reason to refuse them.
///
/// ```
/// # use fhir_devices::{reference::Selector, update::ingest::*, store::{BlobRef, Sha256}};
/// # let mut intent = Intent { device: "d".parse()?, target: Selector::Any, version: None, sequence: None, sha256: None,
/// #     file_name: "f".parse()?, content_type: "a/b".parse()? };
/// intent.sha256 = Some(Sha256::of(b"firmware"));
/// let limits = Limits { max_size: 100 };
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmware")), Ok(()));
/// assert_eq!(check(&intent, &limits, &BlobRef::of(b"firmwarE")), Err(Reason::DigestMismatch));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
pub fn check(intent: &Intent, limits: &Limits, found: &BlobRef) -> Result<(), Reason> {
    if found.size > limits.max_size {
        Err(Reason::TooLarge)
    } else if found.size == 0 {
        Err(Reason::Empty)
    } else if intent.sha256.is_some_and(|declared| declared != found.digest) {
        Err(Reason::DigestMismatch)
    } else {
        Ok(())
    }
}
