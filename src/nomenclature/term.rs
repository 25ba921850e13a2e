//! A code of the nomenclature.

use super::Level;

/// A context-free code: its partition times 65,536, and its term in the partition.
///
/// ```
/// use fhir_devices::nomenclature::{Level, Term};
/// let saturation_mds = Term::parse("69641").unwrap();
/// assert_eq!((saturation_mds.partition(), saturation_mds.number()), (1, 4_105));
/// assert_eq!(saturation_mds.level(), Some(Level::Mds));
/// // Without its partition a number says nothing: the examples of FHIR print 2000.
/// assert_eq!(Term::parse("2000"), None);
/// assert_eq!(Term::parse("standby"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(u32);

impl Term {
    /// The object class of a battery, which is a part of an MDS beside its VMDs (`MDC_MOC_BATT`).
    pub const BATTERY: Self = Self(65_577);
    /// The object class of a clock (`MDC_MOC_CLOCK`).
    pub const CLOCK: Self = Self(65_614);
    /// The object class of what a device is controlled through from without (`MDC_MOC_CNTRL_SCO`).
    pub const SCO: Self = Self(65_579);

    /// Returns the term that a code names, if it is a number with a partition.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let digits = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
        Self::new(digits.then(|| code.parse().ok()).flatten()?)
    }

    /// Creates the term of a number, if that has a partition.
    #[must_use]
    pub const fn new(code: u32) -> Option<Self> {
        if code >> 16 == 0 { None } else { Some(Self(code)) }
    }

    /// Returns the number as it stands in a Coding.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }

    /// The partition: 1 objects, 2 metrics, 4 units, 8 infrastructure.
    #[must_use]
    pub const fn partition(self) -> u32 {
        self.0 >> 16
    }

    /// Returns the number within the partition.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & 0xFFFF
    }

    /// Returns what it says about a level: [`Level::of_code`].
    #[must_use]
    pub const fn level(self) -> Option<Level> {
        Level::of_code(self.0)
    }

    /// Returns whether it is in the block of the devices, where the last two bits are the level.
    #[must_use]
    pub const fn is_device(self) -> bool {
        matches!((self.partition(), self.number()), (1, 4096..=6143))
    }

    /// Returns whether it names a device of any level: in the block of the devices, with a level left open.
    ///
    /// ```
    /// # use fhir_devices::nomenclature::Term;
    /// assert!(Term::parse("69680").unwrap().is_generic());
    /// ```
    #[must_use]
    pub const fn is_generic(self) -> bool {
        self.is_device() && self.0 & 3 == 0
    }

    /// Returns whether it names a metric.
    #[must_use]
    pub const fn is_metric(self) -> bool {
        self.partition() == 2
    }

    /// Returns whether it names a unit.
    #[must_use]
    pub const fn is_unit(self) -> bool {
        self.partition() == 4
    }
}
