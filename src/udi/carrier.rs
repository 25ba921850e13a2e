//! A carrier string: whose it is, and whom it is written for.

use super::{Findings, Mode, Udi, gs1, hibcc, iccbba, ifa};
use crate::issue::Report;
use std::fmt;

#[cfg(doc)]
use super::Rule;

/// Who issues device identifiers.
///
/// The first three are accredited by the FDA and designated by the EU, IFA by the EU alone (Implementing Decision (EU)
/// 2019/939).
///
/// ```
/// use fhir_devices::udi::Agency;
///
/// assert_eq!(Agency::from_code("HIBCC"), Some(Agency::Hibcc));
/// assert_eq!(Agency::Iccbba.to_string(), "ICCBBA");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Agency {
    /// GS1: application identifiers and values.
    Gs1,
    /// Health Industry Business Communications Council: primary and secondary data.
    Hibcc,
    /// ICCBBA: structures of ISBT 128.
    Iccbba,
    /// Informationsstelle für Arzneispezialitäten: data identifiers of ASC MH10.
    Ifa,
}

impl Agency {
    /// Every agency.
    pub const ALL: &'static [Self] = &[Self::Gs1, Self::Hibcc, Self::Iccbba, Self::Ifa];

    /// The short name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gs1 => "GS1",
            Self::Hibcc => "HIBCC",
            Self::Iccbba => "ICCBBA",
            Self::Ifa => "IFA",
        }
    }

    /// The agency with a short name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == code)
    }
}

impl fmt::Display for Agency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a carrier string is written for.
///
/// ```
/// use fhir_devices::udi::{Carrier, Form};
///
/// let form = |text| Carrier::detect(text).unwrap().form();
/// assert_eq!(form("(01)09506000117843"), Form::Hrf);
/// assert_eq!(form("]d20109506000117843"), Form::Aidc);
/// assert_eq!(form("+A123BJC5D6E71G"), Form::Either);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// For people: human readable form.
    Hrf,
    /// For machines: automatic identification and data capture.
    Aidc,
    /// The forms are the same, which is so with HIBCC and ICCBBA.
    Either,
}

/// A carrier string whose agency is known by its first characters, and which is not read yet.
///
/// What a scanner or a printer put around the data is set aside: the symbology identifier (`]d2`), a leading FNC1, and
/// the asterisks around a HIBC caption.
///
/// ```
/// use fhir_devices::udi::{Agency, Carrier, Mode};
///
/// let carrier = Carrier::detect("]d20109506000117843").unwrap();
/// assert_eq!((carrier.agency(), carrier.data()), (Agency::Gs1, "0109506000117843"));
/// assert_eq!(carrier.parse(Mode::Strict, 2026)?.udi.di(), "09506000117843");
/// assert!(Carrier::detect("SN 4711").is_none());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier<'t> {
    agency: Agency,
    form: Form,
    data: &'t str,
}

/// What stands for FNC1 between the elements of GS1 and of ISO/IEC 15434: the group separator.
pub(super) const GS: char = '\u{1d}';
/// What stands for it in the AIDC string of the example of STU3.
pub(super) const ARROW: char = '\u{2194}';

impl<'t> Carrier<'t> {
    /// Tells the agency from the first characters; [`None`] where they are no agency's.
    #[must_use]
    pub fn detect(text: &'t str) -> Option<Self> {
        let (data, scanned) = without_symbology(text);
        let first = data.chars().next()?;
        let agency = match first {
            '+' => Agency::Hibcc,
            '*' if data.starts_with("*+") => Agency::Hibcc,
            '=' | '&' => Agency::Iccbba,
            '[' if data.starts_with("[)>") => Agency::Ifa,
            '.' if is_ifa(data.strip_prefix('.')) => Agency::Ifa,
            '(' if is_ifa(data.strip_prefix('(')) => Agency::Ifa,
            '(' | '{' | '0'..='9' | GS | ARROW => Agency::Gs1,
            _ => return None,
        };
        let form = match (agency, first) {
            (Agency::Hibcc | Agency::Iccbba, _) => Form::Either,
            (_, '(' | '{') => Form::Hrf,
            _ => Form::Aidc,
        };
        let data = match agency {
            Agency::Hibcc => data.strip_prefix('*').map_or(data, |data| data.strip_suffix('*').unwrap_or(data)),
            // Without a symbology identifier a leading FNC1 is sent as a separator.
            Agency::Gs1 if !scanned => data.strip_prefix(GS).unwrap_or(data),
            _ => data,
        };
        Some(Self { agency, form, data })
    }

    /// Who issued it.
    #[must_use]
    pub const fn agency(self) -> Agency {
        self.agency
    }

    /// Whom it is written for.
    #[must_use]
    pub const fn form(self) -> Form {
        self.form
    }

    /// The data alone.
    #[must_use]
    pub const fn data(self) -> &'t str {
        self.data
    }

    /// Reads the data. The reference year, commonly the current one, says which century GS1's years of two digits are
    /// in.
    ///
    /// # Errors
    /// Every finding, where one of them is an error: in the strict mode any, in the lenient mode one whose rule is not
    /// [tolerated](Rule::is_tolerated).
    pub fn parse(self, mode: Mode, reference_year: u16) -> Result<Parsed, Report> {
        let mut found = Findings::new(mode);
        let udi = match self.agency {
            Agency::Gs1 => gs1::parse(self.data, self.form, reference_year, &mut found),
            Agency::Hibcc => hibcc::parse(self.data, &mut found),
            Agency::Iccbba => iccbba::parse(self.data, &mut found),
            Agency::Ifa => ifa::parse(self.data, self.form, &mut found),
        };
        let (udi, warnings) = found.conclude(udi)?;
        Ok(Parsed { udi, warnings })
    }
}

/// The text after an AIM symbology identifier such as `]d2`, and whether there is one.
fn without_symbology(text: &str) -> (&str, bool) {
    match text.as_bytes() {
        [b']', b'A'..=b'Z' | b'a'..=b'z', b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z', ..] => {
            (text.get(3..).unwrap_or_default(), true)
        }
        _ => (text, false),
    }
}

/// Whether the text begins with a data identifier, which has a letter as opposed to those of GS1.
fn is_ifa(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(|c: char| c.is_ascii_uppercase())
    })
}

/// A carrier that could be read, and what was borne with.
///
/// ```
/// use fhir_devices::udi::{Mode, Udi};
///
/// let read = Udi::parse("(01)12345678901234", Mode::Lenient, 2026)?;
/// assert_eq!(read.udi.di(), "12345678901234");
/// assert_eq!(read.warnings.issues()[0].message, "`12345678901234` of (01) ends with 4, wanted the check digit 1");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parsed {
    /// What the carrier says.
    pub udi: Udi,
    /// Warnings; none in the strict mode.
    pub warnings: Report,
}
