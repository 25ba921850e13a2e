//! Tenant names.

use super::InvalidText;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Customer of a service, whose data no other tenant may see: 1 to 64 of `a`-`z`, `0`-`9` and `-`.
///
/// No name is a default or reserved, and names are compared exactly. The text form is safe as a path segment and as
/// part of a key.
///
/// ```
/// use fhir_devices::store::Tenant;
/// let tenant: Tenant = "st-mary".parse()?;
/// assert_eq!(tenant.as_str(), "st-mary");
/// assert!("St Mary".parse::<Tenant>().is_err());
/// assert!("".parse::<Tenant>().is_err());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Creates a tenant from its name.
    ///
    /// # Errors
    /// [`InvalidText`] when the name is empty, longer than 64 characters, or holds another character.
    pub fn new(name: &str) -> Result<Self, InvalidText> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 64 {
            return Err(InvalidText::new("a tenant", name, "1 to 64 characters are wanted"));
        }
        if !name.bytes().all(allowed) {
            return Err(InvalidText::new("a tenant", name, "only a to z, 0 to 9 and `-` are allowed"));
        }
        Ok(Self(name.into()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        Self::new(name)
    }
}

impl TryFrom<String> for Tenant {
    type Error = InvalidText;

    fn try_from(name: String) -> Result<Self, InvalidText> {
        Self::new(&name)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}
