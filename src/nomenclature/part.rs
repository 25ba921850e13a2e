//! Parts of a device beside its VMDs, which have no level.

use super::Term;
use std::fmt;

/// Part of an MDS beside the VMDs: an object class of ISO/IEEE 11073-10101 outside the containment levels.
///
/// A system context, which ISO/IEEE 11073-10207 lists among these parts, is not an object class of this nomenclature,
/// so that no code stands for it.
///
/// ```
/// use fhir_devices::nomenclature::{DevicePart, Term};
/// assert_eq!(Term::parse("65614").and_then(DevicePart::of), Some(DevicePart::Clock));
/// assert_eq!(DevicePart::Battery.to_string(), "battery");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DevicePart {
    /// A battery (`MDC_MOC_BATT`): an MDS may have several.
    Battery,
    /// The clock (`MDC_MOC_CLOCK`).
    Clock,
    /// The service and control object, through which a device is remotely controlled (`MDC_MOC_CNTRL_SCO`). A VMD may
    /// have one too.
    Sco,
}

impl DevicePart {
    /// Returns the part with this code.
    #[must_use]
    pub const fn of(term: Term) -> Option<Self> {
        match term {
            Term::BATTERY => Some(Self::Battery),
            Term::CLOCK => Some(Self::Clock),
            Term::SCO => Some(Self::Sco),
            _ => None,
        }
    }

    /// Returns the display name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Battery => "battery",
            Self::Clock => "clock",
            Self::Sco => "SCO",
        }
    }
}

impl fmt::Display for DevicePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
