//! Identifiers of uploads, releases, actors and pins, and idempotency keys.

use crate::store::{InvalidText, hex, number};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

/// Id of an upload, from its first byte to the reference in its component: 128 bits, assigned by the service and never
/// reused.
///
/// The text form is 32 hexadecimal digits in lower case.
///
/// ```
/// use fhir_devices::manifest::IngestId;
/// let id = IngestId(0xfeed);
/// assert_eq!(id.to_string(), "0000000000000000000000000000feed");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct IngestId(pub u128);

/// Error for text that is not an [`IngestId`].
///
/// ```
/// let error = "7".parse::<fhir_devices::manifest::IngestId>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not an ingest id, wanted 32 hexadecimal digits in lower case");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not an ingest id, wanted 32 hexadecimal digits in lower case")]
#[non_exhaustive]
pub struct NotAnIngestId;

impl fmt::Display for IngestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0.to_be_bytes(), &mut [0; 64]))
    }
}

impl FromStr for IngestId {
    type Err = NotAnIngestId;

    fn from_str(text: &str) -> Result<Self, NotAnIngestId> {
        number(text).map(Self).ok_or(NotAnIngestId)
    }
}

/// Id of a release: 128 bits, assigned by the service and never reused, as 32 hexadecimal digits in lower case.
///
/// ```
/// use fhir_devices::manifest::ReleaseId;
/// let id = ReleaseId(0xfeed);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct ReleaseId(pub u128);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0.to_be_bytes(), &mut [0; 64]))
    }
}

impl FromStr for ReleaseId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = || InvalidText::new("a release id", text, "32 hexadecimal digits in lower case are wanted");
        number(text).map(Self).ok_or_else(refuse)
    }
}

/// Key that the caller gives to one upload: 1 to 255 visible ASCII characters, as in the header `Idempotency-Key`.
///
/// An upload that is sent again under the same key is carried out once.
///
/// ```
/// use fhir_devices::manifest::IdempotencyKey;
/// let key: IdempotencyKey = "8e03978e-40d5-43dd-bc93-6894a57f9324".parse()?;
/// assert_eq!(key.as_str().len(), 36);
/// assert!("".parse::<IdempotencyKey>().is_err());
/// # Ok::<(), fhir_devices::manifest::NotAKey>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct IdempotencyKey(SmolStr);

/// Error for text that is not an [`IdempotencyKey`].
///
/// ```
/// let error = "two words".parse::<fhir_devices::manifest::IdempotencyKey>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not an idempotency key, wanted 1 to 255 visible characters of ascii");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not an idempotency key, wanted 1 to 255 visible characters of ascii")]
#[non_exhaustive]
pub struct NotAKey;

impl IdempotencyKey {
    /// Creates a key from its text.
    ///
    /// # Errors
    /// [`NotAKey`] when the text is empty, too long, or holds a space or another character that is not visible ASCII.
    pub fn new(text: impl Into<SmolStr>) -> Result<Self, NotAKey> {
        let text = text.into();
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(NotAKey) }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IdempotencyKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        Self::new(text)
    }
}

macro_rules! visible {
    ($(#[$meta:meta])* $Name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
        pub struct $Name(SmolStr);

        impl $Name {
            /// Creates a name from its text.
            ///
            /// # Errors
            /// [`NotAName`] when the text is empty, too long, holds a space or another character that is not visible
            /// ASCII, or contains `://` or `Patient/`.
            pub fn new(text: impl Into<SmolStr>) -> Result<Self, NotAName> {
                let key = IdempotencyKey::new(text).map_err(|_| NotAName)?;
                let foreign = key.0.contains("://") || key.0.contains("Patient/");
                if foreign { Err(NotAName) } else { Ok(Self(key.0)) }
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $Name {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                Self::new(text)
            }
        }
    };
}

visible! {
    /// Name of the actor of a recorded action, as the caller knows it: a person, a program or a device. 1 to 255
    /// visible ASCII characters. Audit records hold it, so it should be a name in the caller's directory and nothing
    /// more.
    ///
    /// ```
    /// use fhir_devices::manifest::ActorId;
    /// let actor: ActorId = "biomed/j.doe".parse()?;
    /// assert_eq!(actor.as_str(), "biomed/j.doe");
    /// # Ok::<(), fhir_devices::manifest::NotAName>(())
    /// ```
    ActorId
}

visible! {
    /// Name of a reason to keep bytes that no upload needs: a retention rule, or a legal case. 1 to 255 visible ASCII
    /// characters.
    ///
    /// ```
    /// use fhir_devices::manifest::PinId;
    /// let pin: PinId = "case-2017-114".parse()?;
    /// assert_eq!(pin.as_str(), "case-2017-114");
    /// # Ok::<(), fhir_devices::manifest::NotAName>(())
    /// ```
    PinId
}

impl ActorId {
    /// Creates the name of a service of this crate.
    pub(crate) const fn of(name: &'static str) -> Self {
        Self(SmolStr::new_static(name))
    }
}

/// Error for text that is not a valid name.
///
/// ```
/// let error = "two words".parse::<fhir_devices::manifest::ActorId>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not a name, wanted 1 to 255 visible characters of ascii, and neither an address nor a patient");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a name, wanted 1 to 255 visible characters of ascii, and neither an address nor a patient")]
#[non_exhaustive]
pub struct NotAName;
