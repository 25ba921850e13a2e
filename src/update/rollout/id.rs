//! Ids of rollouts, deployments, offers and regions, and the hashes that assign lanes and waves.

use crate::primitive::Id;
use crate::store::{InvalidText, Tenant, hex, number};
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

macro_rules! ids {
    ($($(#[$meta:meta])* $Name:ident $what:literal;)*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
        pub struct $Name(pub u128);

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(hex(&self.0.to_be_bytes(), &mut [0; 64]))
            }
        }

        impl FromStr for $Name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                let refuse = || InvalidText::new($what, text, "32 hexadecimal digits in lower case are wanted");
                number(text).map(Self).ok_or_else(refuse)
            }
        }
    )* };
}

ids! {
    /// Id of a rollout: 128 bits, assigned by the service and never reused, as 32 hexadecimal digits.
    ///
    /// ```
    /// use fhir_devices::update::rollout::RolloutId;
    /// assert!("7".parse::<RolloutId>().is_err());
    /// ```
    RolloutId "a rollout id";

    /// Id of the deployment of one rollout to one component: the same each time that it is planned.
    ///
    /// ```
    /// use fhir_devices::update::rollout::{DeploymentId, RolloutId};
    /// let (tenant, component) = ("st-mary".parse().unwrap(), "pump".parse().unwrap());
    /// let id = DeploymentId::of(&tenant, RolloutId(7), &component);
    /// assert_eq!(id, DeploymentId::of(&tenant, RolloutId(7), &component));
    /// assert_ne!(id, DeploymentId::of(&tenant, RolloutId(8), &component));
    /// ```
    DeploymentId "a deployment id";
}

impl DeploymentId {
    /// Computes the id of the deployment to a component: the first 128 bits of a SHA-256 over the tenant, the rollout
    /// and the component.
    #[must_use]
    pub fn of(tenant: &Tenant, rollout: RolloutId, component: &Id) -> Self {
        let mut hash = Sha256::new_with_prefix(b"fhir-devices/deployment/1/");
        for part in [tenant.as_str(), "/", hex(&rollout.0.to_be_bytes(), &mut [0; 64]), "/", component.as_str()] {
            hash.update(part);
        }
        Self(first(&hash.finalize()))
    }
}

/// Returns the first 128 bits of a digest.
fn first(digest: &[u8]) -> u128 {
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

macro_rules! numbers {
    ($($(#[$meta:meta])* $Name:ident($Number:ty);)*) => { $(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $Name(pub $Number);

        impl $Name {
            /// Returns the next number; the last one is returned unchanged.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )* };
}

numbers! {
    /// Number of a lane of a rollout, from 0.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Lane;
    /// assert_eq!(Lane(3).next(), Lane(4));
    /// ```
    Lane(u16);

    /// Number of a wave of a rollout, from 0.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Wave;
    /// assert_eq!(Wave(1).to_string(), "1");
    /// ```
    Wave(u16);

    /// Number of an attempt to update a component, from 1.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Attempt;
    /// assert_eq!(Attempt(1).next(), Attempt(2));
    /// ```
    Attempt(u16);

    /// Number of times that a rollout was started or stopped. A lane accepts only orders of a higher epoch.
    ///
    /// ```
    /// use fhir_devices::update::rollout::Epoch;
    /// assert!(Epoch(2) > Epoch(1));
    /// ```
    Epoch(u64);
}

/// Number of an offer to a device, counted over all rollouts: from 1 to 2^31 - 1, never reused.
///
/// It orders the writes to the device's slots, and identifies an offer in device interfaces with numbered actions,
/// whose clients read it as a signed 32-bit number.
///
/// ```
/// use fhir_devices::update::rollout::ActionNumber;
/// assert_eq!(ActionNumber::default().next(), Some(ActionNumber::FIRST));
/// assert_eq!(ActionNumber::LAST.next(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionNumber(pub u32);

impl ActionNumber {
    /// First number.
    pub const FIRST: Self = Self(1);
    /// Last number.
    pub const LAST: Self = Self(i32::MAX as u32);

    /// Returns the next number; `None` after the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self < Self::LAST).then_some(Self(self.0.saturating_add(1)))
    }
}

impl fmt::Display for ActionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Key of one offer: a deployment and its attempt. It is the idempotency key of everything that leaves the service. The
/// text form is `<deployment>-<attempt>`.
///
/// ```
/// use fhir_devices::update::rollout::{Attempt, DeploymentId, OfferKey};
/// let key = OfferKey { deployment: DeploymentId(0xfeed), attempt: Attempt(2) };
/// assert_eq!(key.to_string(), "0000000000000000000000000000feed-2");
/// assert_eq!(key.to_string().parse(), Ok(key));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct OfferKey {
    /// Id of the deployment.
    pub deployment: DeploymentId,
    /// Number of the attempt.
    pub attempt: Attempt,
}

impl fmt::Display for OfferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.deployment, self.attempt)
    }
}

impl FromStr for OfferKey {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = || InvalidText::new("an offer key", text, "a deployment id, `-` and an attempt are wanted");
        let (deployment, attempt) = text.split_once('-').ok_or_else(refuse)?;
        let plain = attempt.bytes().all(|byte| byte.is_ascii_digit()) && !attempt.starts_with('0');
        let attempt = attempt.parse().ok().filter(|_| plain).ok_or_else(refuse)?;
        Ok(Self { deployment: deployment.parse().map_err(|_| refuse())?, attempt: Attempt(attempt) })
    }
}

macro_rules! texts {
    ($($(#[$meta:meta])* $Name:ident $what:literal $most:literal $too_long:literal;)*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
        pub struct $Name(SmolStr);

        impl $Name {
            /// Creates the value from its text.
            ///
            /// # Errors
            /// [`InvalidText`] when the text is empty, too long, or holds another character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidText> {
                let text = text.as_ref();
                let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if text.is_empty() || text.len() > $most {
                    return Err(InvalidText::new($what, text, $too_long));
                }
                if !text.bytes().all(allowed) {
                    return Err(InvalidText::new($what, text, "only a to z, 0 to 9 and `-` are allowed"));
                }
                Ok(Self(SmolStr::new(text)))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $Name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }
    )* };
}

texts! {
    /// Id of a region, from which devices get their updates. 1 to 32 of `a`-`z`, `0`-`9` and `-`.
    ///
    /// ```
    /// use fhir_devices::update::rollout::RegionId;
    /// assert_eq!("eu-2".parse::<RegionId>()?.as_str(), "eu-2");
    /// # Ok::<(), fhir_devices::store::InvalidText>(())
    /// ```
    RegionId "a region" 32 "1 to 32 characters are wanted";

    /// Short code for the failure of a device or a region. 1 to 64 of `a`-`z`, `0`-`9` and `-`.
    ///
    /// ```
    /// use fhir_devices::update::rollout::FailureCode;
    /// assert!("no-space".parse::<FailureCode>().is_ok());
    /// assert!("see https://example.org".parse::<FailureCode>().is_err());
    /// ```
    FailureCode "a failure code" 64 "1 to 64 characters are wanted";
}

impl FailureCode {
    /// Creates a code of this crate.
    pub(crate) const fn of(code: &'static str) -> Self {
        Self(SmolStr::new_static(code))
    }
}

/// Returns a pseudo-random number for a component, the same each time.
pub(super) fn draw(of: &[u8], component: &Id) -> u64 {
    let mut hash = Sha256::new_with_prefix(of);
    hash.update(component.as_str());
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
