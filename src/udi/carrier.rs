//! Detecting the agency and the form of a UDI carrier.

use super::{Findings, ParseMode, Udi, UdiRule, gs1, hibcc, iccbba, ifa, quoted};
use crate::issue::Report;
use std::borrow::Cow;
use std::fmt;

/// An issuing agency of device identifiers.
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

    /// Returns the short name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gs1 => "GS1",
            Self::Hibcc => "HIBCC",
            Self::Iccbba => "ICCBBA",
            Self::Ifa => "IFA",
        }
    }

    /// Returns the agency with a short name.
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

/// The form of a UDI carrier.
///
/// ```
/// use fhir_devices::udi::{Carrier, CarrierForm};
///
/// let form = |text| Carrier::detect(text).unwrap().form();
/// assert_eq!(form("(01)09506000117843"), CarrierForm::Hrf);
/// assert_eq!(form("]d20109506000117843"), CarrierForm::Aidc);
/// assert_eq!(form("+A123BJC5D6E71G"), CarrierForm::Either);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CarrierForm {
    /// For people: human readable form.
    Hrf,
    /// For machines: automatic identification and data capture.
    Aidc,
    /// The forms are the same, which is so with HIBCC and ICCBBA.
    Either,
    /// For browsers: a web address of GS1 Digital Link.
    DigitalLink,
}

/// A carrier whose agency is known and which is not parsed yet.
///
/// What a scanner or a printer put around the data is set aside: the symbology identifier (`]d2`), a leading FNC1, and
/// the asterisks around a HIBC caption. What the symbology identifier says is checked by [`parse`](Self::parse).
///
/// ```
/// use fhir_devices::udi::{Agency, Carrier, ParseMode};
///
/// let carrier = Carrier::detect("]d20109506000117843").unwrap();
/// assert_eq!((carrier.agency(), carrier.data()), (Agency::Gs1, "0109506000117843"));
/// assert_eq!(carrier.parse(ParseMode::Strict, 2026)?.udi.di(), "09506000117843");
/// assert!(Carrier::detect("SN 4711").is_none());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier<'t> {
    agency: Agency,
    form: CarrierForm,
    data: &'t str,
    symbology: Option<&'t str>,
    /// Whether blanks stood around the text.
    blank: bool,
}

/// What stands for FNC1 between the elements of GS1 and of ISO/IEC 15434: the group separator.
pub(super) const GS: char = '\u{1d}';
/// What stands for it in the AIDC string of the example of STU3.
pub(super) const ARROW: char = '\u{2194}';

impl<'t> Carrier<'t> {
    /// Returns the agency that the first characters name; [`None`] where they name none.
    #[must_use]
    pub fn detect(text: &'t str) -> Option<Self> {
        let trimmed = text.trim_start_matches(char::is_whitespace);
        let (data, symbology) = without_symbology(trimmed);
        // The check character of HIBC may be a blank, and so may the last character of IFA.
        let any_last = data.starts_with(['+', '*', '.', '[']) || is_ifa(data.strip_prefix('('));
        let ends = |c: char| if any_last { is_line_break(c) } else { c.is_whitespace() && c != GS };
        let whole = data;
        let data = data.trim_end_matches(ends);
        let blank = trimmed.len() != text.len() || data.len() != whole.len();
        let scanned = symbology.is_some();
        let first = data.chars().next()?;
        let agency = match first {
            '+' => Agency::Hibcc,
            '*' if data.starts_with("*+") => Agency::Hibcc,
            '=' | '&' => Agency::Iccbba,
            '[' if data.starts_with("[)>") => Agency::Ifa,
            '.' if is_ifa(data.strip_prefix('.')) => Agency::Ifa,
            '(' if is_ifa(data.strip_prefix('(')) => Agency::Ifa,
            '(' | '{' | '0'..='9' | GS | ARROW => Agency::Gs1,
            '<' | '^' if spelled(data).next().is_some_and(|(at, ..)| at == 0) => Agency::Gs1,
            'h' if gs1::is_link(data) => Agency::Gs1,
            _ => return None,
        };
        let form = match (agency, first) {
            (Agency::Hibcc | Agency::Iccbba, _) => CarrierForm::Either,
            (_, '(' | '{') => CarrierForm::Hrf,
            (_, 'h') => CarrierForm::DigitalLink,
            _ => CarrierForm::Aidc,
        };
        let data = match agency {
            Agency::Hibcc => data.strip_prefix('*').map_or(data, |data| data.strip_suffix('*').unwrap_or(data)),
            // Without a symbology identifier a leading FNC1 is sent as a separator.
            Agency::Gs1 if !scanned => data.strip_prefix(GS).unwrap_or(data),
            _ => data,
        };
        Some(Self { agency, form, data, symbology, blank })
    }

    /// Returns the issuing agency.
    #[must_use]
    pub const fn agency(self) -> Agency {
        self.agency
    }

    /// Returns the form of the carrier.
    #[must_use]
    pub const fn form(self) -> CarrierForm {
        self.form
    }

    /// Returns the data alone.
    #[must_use]
    pub const fn data(self) -> &'t str {
        self.data
    }

    /// Reads the data. The reference year, commonly the current one, says which century GS1's years of two digits are
    /// in.
    ///
    /// # Errors
    /// Every finding, where one of them is an error: in the strict mode any, in the lenient mode one whose rule is not
    /// [tolerated](UdiRule::is_tolerated).
    pub fn parse(self, mode: ParseMode, reference_year: u16) -> Result<Parsed, Report> {
        let mut found = Findings::new(mode);
        let data = self.prepared(&mut found);
        let udi = match self.agency {
            Agency::Gs1 => gs1::parse(&data, self.form, reference_year, &mut found),
            Agency::Hibcc => hibcc::parse(&data, &mut found),
            Agency::Iccbba => iccbba::parse(&data, &mut found),
            Agency::Ifa => ifa::parse(&data, self.form, &mut found),
        };
        let (udi, warnings) = found.conclude(udi)?;
        Ok(Parsed { udi, warnings })
    }

    /// Returns the data as they were meant to be sent, and what had to be done for that.
    pub(super) fn prepared(self, found: &mut Findings) -> Cow<'t, str> {
        if self.blank {
            found.add(UdiRule::Blank, format!("`{}` has blanks around it, wanted none", quoted(self.data)));
        }
        let mut data = Cow::Borrowed(self.data);
        if let Some(symbology) = self.symbology {
            if let Some(element) = retail(symbology, self.data) {
                return Cow::Owned(element);
            }
            check_symbology(symbology, self.agency, found);
        }
        if data.contains(is_line_break) {
            found.add(UdiRule::Blank, format!("`{}` has line breaks, wanted none", quoted(&data)));
            data = Cow::Owned(data.chars().filter(|c| !is_line_break(*c)).collect());
        }
        // Where the characters themselves are sent, the words are data.
        let may_be_spelled = match self.agency {
            Agency::Gs1 => !data.contains(GS),
            Agency::Ifa => data.starts_with("[)>") && !data.contains('\u{1e}'),
            Agency::Hibcc | Agency::Iccbba => false,
        };
        if may_be_spelled && spelled(&data).next().is_some() {
            let message = format!("`{}` has control characters as words, wanted the characters", quoted(&data));
            found.add(UdiRule::SpelledSeparator, message);
            let (mut sent, mut from) = (String::new(), 0);
            for (at, word, c) in spelled(&data) {
                sent.push_str(data.get(from..at).unwrap_or_default());
                sent.push(c);
                from = at + word.len();
            }
            sent.push_str(data.get(from..).unwrap_or_default());
            if self.agency == Agency::Gs1 && sent.starts_with(GS) {
                sent.remove(0);
            }
            data = Cow::Owned(sent);
        }
        data
    }
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\r' | '\n')
}

/// The control characters that people and programs spell out.
const WORDS: [(&str, char); 12] = [
    ("<GS>", GS),
    ("<gs>", GS),
    ("{GS}", GS),
    ("[GS]", GS),
    ("<FNC1>", GS),
    ("[FNC1]", GS),
    ("{FNC1}", GS),
    ("^]", GS),
    ("\u{241d}", GS),
    ("<RS>", '\u{1e}'),
    ("\u{241e}", '\u{1e}'),
    ("<EOT>", '\u{4}'),
];

/// Where control characters are spelled out, in order: the place, the word, and the character.
fn spelled(text: &str) -> impl Iterator<Item = (usize, &'static str, char)> {
    let starts = text.char_indices().filter(|(_, c)| matches!(c, '<' | '{' | '[' | '^' | '\u{241d}' | '\u{241e}'));
    starts.filter_map(|(at, _)| {
        let rest = text.get(at..)?;
        WORDS.iter().find(|(word, _)| rest.starts_with(word)).map(|(word, c)| (at, *word, *c))
    })
}

/// Returns the element string of a retail symbol: the digits of EAN-13, UPC-A (`]E0`) and EAN-8 (`]E4`) are a GTIN.
fn retail(symbology: &str, data: &str) -> Option<String> {
    let digits = matches!((symbology, data.len()), ("]E0" | "]E3", 12 | 13) | ("]E4", 8) | ("]I0" | "]I1", 14));
    (digits && data.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("01{data:0>14}"))
}

/// Checks whether data of an agency come from symbols of that kind.
fn check_symbology(symbology: &str, agency: Agency, found: &mut Findings) {
    let with_fnc1 = matches!(symbology, "]C1" | "]d2" | "]d5" | "]Q3" | "]Q5" | "]J1" | "]e0" | "]e1" | "]e2" | "]z1");
    let wanted = match (agency, with_fnc1) {
        (Agency::Gs1, false) => "one with FNC1 first, such as ]C1, ]d2 or ]Q3, as the data are element strings of GS1",
        (Agency::Hibcc | Agency::Iccbba | Agency::Ifa, true) => "one without FNC1 first, as the data are not of GS1",
        _ => return,
    };
    found.add(UdiRule::Symbology, format!("the symbol is `{symbology}`, wanted {wanted}"));
}

/// Returns the text after an AIM symbology identifier such as `]d2`, and that identifier.
fn without_symbology(text: &str) -> (&str, Option<&str>) {
    match text.as_bytes() {
        [b']', b'A'..=b'Z' | b'a'..=b'z', b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z', ..] => {
            (text.get(3..).unwrap_or_default(), text.get(..3))
        }
        _ => (text, None),
    }
}

/// Returns whether the text begins with a data identifier, which has a letter as opposed to those of GS1.
fn is_ifa(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(|c: char| c.is_ascii_uppercase())
    })
}

/// A parsed carrier and the warnings about it.
///
/// ```
/// use fhir_devices::udi::{ParseMode, Udi};
///
/// let read = Udi::parse("(01)12345678901234", ParseMode::Lenient, 2026)?;
/// assert_eq!(read.udi.di(), "12345678901234");
/// assert_eq!(read.warnings.issues()[0].message, "`12345678901234` of (01) ends with 4, wanted the check digit 1");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parsed {
    /// What the carrier says.
    pub udi: Udi,
    /// Warnings; in the strict mode of what may be right all the same.
    pub warnings: Report,
}
