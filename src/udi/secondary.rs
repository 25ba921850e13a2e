//! The secondary symbol of a label, without the device identifier.

use super::{Agency, Carrier, Day, Findings, ParseMode, Udi, UdiElement, UdiRule, gs1, hibcc, iccbba, ifa, quoted};
use crate::issue::Report;

/// The production identifiers of a symbol without a device identifier.
///
/// ```
/// use fhir_devices::udi::{SecondarySymbol, ParseMode, Udi};
///
/// let second = SecondarySymbol::parse("+$$8053290331260301104+$", ParseMode::Strict, 2026)?.fragment;
/// assert_eq!((second.quantity(), second.lot(), second.link()), (Some(5), Some("260301104"), Some('+')));
/// let first = Udi::parse("+E260PPAUXEMO19+", ParseMode::Strict, 2026)?.udi;
/// let udi = second.join(&first)?;
/// assert_eq!((udi.di(), udi.lot()), ("E260PPAUXEMO19", Some("260301104")));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondarySymbol {
    said: Udi,
    link: Option<char>,
    reference_year: u16,
}

/// A parsed secondary symbol and the warnings about it.
///
/// ```
/// use fhir_devices::udi::{SecondarySymbol, ParseMode};
///
/// let read = SecondarySymbol::parse("1726040010L1", ParseMode::Strict, 2026)?;
/// assert_eq!(read.fragment.lot(), Some("L1"));
/// assert!(read.warnings.is_empty());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParsedSecondary {
    /// What the symbol says.
    pub fragment: SecondarySymbol,
    /// Warnings; in the strict mode of what may be right all the same.
    pub warnings: Report,
}

impl SecondarySymbol {
    /// Reads a symbol that has no device identifier.
    ///
    /// # Errors
    /// Every finding, where one is an error, as [`Carrier::parse`]; [`UdiRule::Join`] where there is a device identifier, so that
    /// the symbol is no second one.
    pub fn parse(text: &str, mode: ParseMode, reference_year: u16) -> Result<ParsedSecondary, Report> {
        let mut found = Findings::new(mode);
        found.partial = true;
        let Some(carrier) = Carrier::detect(text) else {
            found.add(UdiRule::UnknownFormat, format!("`{}` begins like no carrier", quoted(text)));
            return Err(found.into_report());
        };
        let data = carrier.prepared(&mut found);
        let (said, link) = match carrier.agency() {
            Agency::Gs1 => (gs1::parse(&data, carrier.form(), reference_year, &mut found), None),
            Agency::Hibcc if hibcc::is_secondary(&data) => hibcc::parse_secondary(&data, &mut found),
            Agency::Hibcc => (hibcc::parse(&data, &mut found), None),
            Agency::Iccbba => (iccbba::parse(&data, &mut found), None),
            Agency::Ifa => (ifa::parse(&data, carrier.form(), &mut found), None),
        };
        if !said.di.is_empty() {
            let message = format!(
                "`{}` has the device identifier `{}`, wanted production identifiers alone",
                quoted(text),
                said.di
            );
            found.add(UdiRule::Join, message);
        } else if said.elements.is_empty() {
            found.add(UdiRule::NoDi, format!("`{}` has neither a device nor a production identifier", quoted(text)));
        }
        let (fragment, warnings) = found.conclude(Self { said, link, reference_year })?;
        Ok(ParsedSecondary { fragment, warnings })
    }

    /// Returns the whole UDI of a label whose first symbol says the device identifier.
    ///
    /// # Errors
    /// [`UdiRule::Join`] where the two are not of one agency, the first one has production identifiers already, or the link
    /// character of HIBC is not the check character of the first; and what the rules of the agency say of the whole.
    pub fn join(&self, primary: &Udi) -> Result<Udi, Report> {
        let mut found = Findings::new(ParseMode::Strict);
        if primary.agency != self.said.agency {
            let message = format!("the first symbol is of {}, and the second of {}", primary.agency, self.said.agency);
            found.add(UdiRule::Join, message);
            return Err(found.into_report());
        }
        let whole = match self.said.agency {
            Agency::Hibcc if primary.elements.len() > 1 => {
                found.add(UdiRule::Join, format!("`{primary}` has secondary data already, wanted primary data alone"));
                return Err(found.into_report());
            }
            Agency::Hibcc => {
                let joined = self.link.and_then(|link| hibcc::joined(primary, &self.said, link));
                let Some(joined) = joined else {
                    let link = self.link.map_or_else(|| "none".to_owned(), |link| format!("`{link}`"));
                    let message = format!("the link character is {link}, wanted the check character of `{primary}`");
                    found.add(UdiRule::Join, message);
                    return Err(found.into_report());
                };
                joined
            }
            Agency::Iccbba => primary.to_aidc() + &self.said.to_aidc(),
            Agency::Gs1 | Agency::Ifa => {
                let mut whole = primary.clone();
                whole.elements.extend(self.said.elements.iter().cloned());
                whole.to_aidc()
            }
        };
        Udi::parse(&whole, ParseMode::Strict, self.reference_year).map(|parsed| parsed.udi)
    }

    /// Returns the issuing agency.
    #[must_use]
    pub const fn agency(&self) -> Agency {
        self.said.agency
    }

    /// Returns the link character of HIBC: the check character of the first symbol.
    #[must_use]
    pub const fn link(&self) -> Option<char> {
        self.link
    }

    /// Returns the lot or batch number.
    #[must_use]
    pub fn lot(&self) -> Option<&str> {
        self.said.lot()
    }

    /// Returns the serial number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.said.serial()
    }

    /// Returns the day of manufacture.
    #[must_use]
    pub const fn manufactured(&self) -> Option<Day> {
        self.said.manufactured()
    }

    /// Returns the last day of use.
    #[must_use]
    pub const fn expires(&self) -> Option<Day> {
        self.said.expires()
    }

    /// Returns the donation identification number with its two flag characters (ISBT 128).
    #[must_use]
    pub fn donation_id(&self) -> Option<&str> {
        self.said.donation_id()
    }

    /// Returns the quantity in the package.
    #[must_use]
    pub const fn quantity(&self) -> Option<u32> {
        self.said.quantity()
    }

    /// Returns every element in the order of the symbol.
    #[must_use]
    pub fn elements(&self) -> &[UdiElement] {
        self.said.elements()
    }
}
