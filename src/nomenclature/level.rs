//! Containment levels, by code and by reference id.

use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Level in the containment tree of a device, from the top (ISO/IEEE 11073-10201).
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// assert_eq!("vmd".parse(), Ok(Level::Vmd));
/// assert_eq!(Level::Channel.to_string(), "channel");
/// assert!(Level::Mds < Level::Channel);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub enum Level {
    /// Medical device system: the device as a whole.
    Mds,
    /// Virtual medical device: a subsystem.
    Vmd,
    /// Channel: a group of metrics of a subsystem.
    Channel,
}

/// Error for text that is not the name of a level.
///
/// ```
/// let error = "MDS".parse::<fhir_devices::nomenclature::Level>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not a level, wanted mds, vmd or channel");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a level, wanted mds, vmd or channel")]
#[non_exhaustive]
pub struct NotALevel;

impl Level {
    /// Every level, from the top.
    pub const ALL: [Self; 3] = [Self::Mds, Self::Vmd, Self::Channel];

    /// Returns the name: `mds`, `vmd` or `channel`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mds => "mds",
            Self::Vmd => "vmd",
            Self::Channel => "channel",
        }
    }

    /// Returns the level directly below; `None` for a channel, which holds only metrics.
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::Mds => Some(Self::Vmd),
            Self::Vmd => Some(Self::Channel),
            Self::Channel => None,
        }
    }

    /// Returns the level of a context-free code (partition times 65,536 plus term).
    ///
    /// Among the devices (partition 1, terms 4,096 to 6,143) the last two bits are the level: 1 MDS, 2 VMD, 3 channel,
    /// 0 unspecified. The object classes and the specialisations of personal health devices are listed. Everywhere else
    /// the two bits have no such meaning, and the result is `None`: for private codes, metrics, and a term without its
    /// partition.
    ///
    /// ```
    /// use fhir_devices::nomenclature::Level;
    /// assert_eq!(Level::of_code(69_641), Some(Level::Mds));
    /// assert_eq!(Level::of_code(70_067), Some(Level::Channel));
    /// assert_eq!(Level::of_code(69_680), None);
    /// assert_eq!(Level::of_code(2_000), None);
    /// ```
    #[must_use]
    pub const fn of_code(code: u32) -> Option<Self> {
        match (code >> 16, code & 0xFFFF) {
            (1, 4096..=6143) => match code & 3 {
                1 => Some(Self::Mds),
                2 => Some(Self::Vmd),
                3 => Some(Self::Channel),
                _ => None,
            },
            // MDC_MOC_VMS_MDS and its kinds: composite multiple bed and single bed, hydra, simple.
            (1, 33..=37) => Some(Self::Mds),
            // The specialisations of personal health devices and MDC_MOC_VMS_MDS_AHD: each is a whole device.
            (8, 4096..=4351 | 7693) => Some(Self::Mds),
            (1, 2) => Some(Self::Vmd),
            (1, 3) => Some(Self::Channel),
            _ => None,
        }
    }

    /// Returns the level in the suffix of a reference id: `MDC_DEV_ANALY_SAT_O2_MDS` is an MDS.
    ///
    /// ```
    /// use fhir_devices::nomenclature::Level;
    /// assert_eq!(Level::of_name("MDC_DEV_ANALY_SAT_O2_MDS"), Some(Level::Mds));
    /// assert_eq!(Level::of_name("MDC_DEV_PUMP_SYRINGE_INFO"), None);
    /// ```
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name.trim_end().rsplit_once('_')?.1 {
            "MDS" => Some(Self::Mds),
            "VMD" => Some(Self::Vmd),
            "CHAN" => Some(Self::Channel),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = NotALevel;

    fn from_str(name: &str) -> Result<Self, NotALevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == name).ok_or(NotALevel)
    }
}
