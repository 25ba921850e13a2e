//! Resource types with search parameters of their own.

use crate::support::InvalidText;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Resource type that a store keeps.
///
/// ```
/// use fhir_devices::search::ResourceType;
/// assert_eq!("DeviceMetric".parse(), Ok(ResourceType::DeviceMetric));
/// assert_eq!(ResourceType::Device.as_str(), "Device");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum ResourceType {
    /// The device as an item: UDI, model, owner, patient.
    Device,
    /// An MDS, VMD or channel of a device.
    DeviceComponent,
    /// A measurement, setting or calculation of a component.
    DeviceMetric,
}

impl ResourceType {
    /// Every type, in the order of the standard.
    pub const ALL: [Self; 3] = [Self::Device, Self::DeviceComponent, Self::DeviceMetric];

    /// Returns the FHIR name of the type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::DeviceComponent => "DeviceComponent",
            Self::DeviceMetric => "DeviceMetric",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceType {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        let found = Self::ALL.into_iter().find(|t| t.as_str() == name);
        found.ok_or_else(|| {
            InvalidText::new("a type of stored resource", name, "the store keeps devices and their parts")
        })
    }
}
