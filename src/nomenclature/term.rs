//! Codes of the nomenclature.

use super::Level;

/// Context-free code: its partition times 65,536, plus its term in the partition.
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
    /// Object class of a battery, a part of an MDS beside its VMDs (`MDC_MOC_BATT`).
    pub const BATTERY: Self = Self(65_577);
    /// Object class of a clock (`MDC_MOC_CLOCK`).
    pub const CLOCK: Self = Self(65_614);
    /// Object class of a service and control object, for remote control of a device (`MDC_MOC_CNTRL_SCO`).
    pub const SCO: Self = Self(65_579);

    /// Parses a code that is a number with a partition.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let digits = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
        Self::new(digits.then(|| code.parse().ok()).flatten()?)
    }

    /// Creates a term from a number; `None` without a partition.
    #[must_use]
    pub const fn new(code: u32) -> Option<Self> {
        if code >> 16 == 0 { None } else { Some(Self(code)) }
    }

    /// Returns the number as written in a Coding.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }

    /// Returns the partition: 1 objects, 2 metrics, 4 units, 8 infrastructure.
    #[must_use]
    pub const fn partition(self) -> u32 {
        self.0 >> 16
    }

    /// Returns the number within the partition.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & 0xFFFF
    }

    /// Returns the level of the code: [`Level::of_code`].
    #[must_use]
    pub const fn level(self) -> Option<Level> {
        Level::of_code(self.0)
    }

    /// Returns whether the code is in the block of devices, where the last two bits are the level.
    #[must_use]
    pub const fn is_device(self) -> bool {
        matches!((self.partition(), self.number()), (1, 4096..=6143))
    }

    /// Returns whether the code is a device with an unspecified level: in the block of devices, with both level bits 0.
    ///
    /// ```
    /// # use fhir_devices::nomenclature::Term;
    /// assert!(Term::parse("69680").unwrap().is_generic());
    /// ```
    #[must_use]
    pub const fn is_generic(self) -> bool {
        self.is_device() && self.0 & 3 == 0
    }

    /// Returns whether the code is a metric.
    #[must_use]
    pub const fn is_metric(self) -> bool {
        self.partition() == 2
    }

    /// Returns whether the code is a unit.
    #[must_use]
    pub const fn is_unit(self) -> bool {
        self.partition() == 4
    }
}
