//! The Basic UDI-DI: the identifier of a device model family.

use super::{Agency, Findings, ParseMode, UdiRule, check, quoted};
use crate::issue::Report;
use smol_str::SmolStr;
use std::fmt;

/// A Basic UDI-DI, the key of a device in EUDAMED. It stands in documents and in no barcode.
///
/// Source: MDCG 2019-1, and the agencies: a GMN of GS1; `++`, labeler and model of HIBCC; facility and model of ICCBBA;
/// `PP`, company and group of IFA. Each ends with two check characters.
///
/// ```
/// use fhir_devices::udi::{Agency, BasicUdiDi, ParseMode};
///
/// let (basic, _) = BasicUdiDi::parse("++A999MODELIDENTIFIER11S8", ParseMode::Strict)?;
/// assert_eq!(basic.agency(), Agency::Hibcc);
/// let report = BasicUdiDi::parse("++A999MODELIDENTIFIER11S9", ParseMode::Strict).unwrap_err();
/// assert_eq!(report.issues()[0].rule, "budi-check");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BasicUdiDi {
    agency: Agency,
    value: SmolStr,
}

/// The most characters (MDCG 2019-1).
const LONGEST: usize = 25;

impl BasicUdiDi {
    /// Parses a Basic UDI-DI; the agency follows from its form. The second value has the warnings of the lenient mode.
    ///
    /// One that begins with a digit may be of GS1 or of ICCBBA, one with `PP` of IFA or of ICCBBA; the check characters
    /// tell.
    ///
    /// # Errors
    /// Every finding, where one is an error: [`UdiRule::BudiFormat`], [`UdiRule::BudiLength`], and in the strict mode
    /// [`UdiRule::BudiCheck`].
    pub fn parse(text: &str, mode: ParseMode) -> Result<(Self, Report), Report> {
        let mut found = Findings::new(mode);
        let facility = is_facility_and_model(text) && ends_as(text, iccbba(text));
        let agency = match text.as_bytes() {
            [b'+', b'+', ..] => Agency::Hibcc,
            [b'P', b'P', ..] if !facility || ends_as(text, ifa(text)) => Agency::Ifa,
            [b'0'..=b'9', ..] if !facility || ends_as(text, gs1(text)) => Agency::Gs1,
            _ => Agency::Iccbba,
        };
        check_text(text, agency, &mut found);
        found.conclude(Self { agency, value: text.into() })
    }

    /// Returns the issuing agency.
    #[must_use]
    pub const fn agency(&self) -> Agency {
        self.agency
    }

    /// Returns the whole text, with the check characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for BasicUdiDi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

/// Returns the text without the check characters, and these.
fn split(text: &str) -> (&str, &str) {
    text.split_at_checked(text.len().saturating_sub(2)).unwrap_or((text, ""))
}

fn gs1(text: &str) -> Option<String> {
    check::gs1_pair(split(text).0).map(String::from_iter)
}

fn iccbba(text: &str) -> Option<String> {
    check::iso7064_mod37_2(split(text).0).map(|value| format!("{value:02}"))
}

fn ifa(text: &str) -> Option<String> {
    Some(format!("{:02}", check::ifa_digits(split(text).0)))
}

fn ends_as(text: &str, wanted: Option<String>) -> bool {
    wanted.is_some_and(|wanted| split(text).1 == wanted)
}

/// Returns whether a text has the shape of ICCBBA: a facility of 5, a model of 11 characters, two digits.
fn is_facility_and_model(text: &str) -> bool {
    let (body, end) = split(text);
    body.len() == 16
        && body.starts_with(|c| c != 'O' && c != '0')
        && body.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && is_digits(end)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_text(text: &str, agency: Agency, found: &mut Findings) {
    let length = text.chars().count();
    if length > LONGEST {
        let message = format!("`{}` has the length {length}, wanted at most {LONGEST}", quoted(text));
        return found.add(UdiRule::BudiLength, message);
    }
    let (body, end) = split(text);
    let set82 = || body.bytes().all(|byte| check::set82(byte).is_some());
    let (good, shape, wanted) = match agency {
        Agency::Gs1 => {
            let good = body.len() >= 5 && body.get(..4).is_some_and(is_digits) && set82();
            (good, "a company prefix, a reference and two check characters", gs1(text))
        }
        Agency::Hibcc => {
            let labeler = body.get(2..6).unwrap_or_default();
            let good = labeler.starts_with(|c: char| c.is_ascii_uppercase())
                && labeler.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
                && body.len() > 6
                && set82();
            (good, "`++`, a labeler of 4, a model of 1 to 17 and two check characters", gs1(text))
        }
        Agency::Iccbba => {
            let shape = "`++` (HIBCC), `PP` (IFA), a digit (GS1), or a facility of 5, a model of 11 characters and two \
                         check digits (ICCBBA)";
            (is_facility_and_model(text), shape, iccbba(text))
        }
        Agency::Ifa => {
            let good = body.len() >= 8
                && body.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'.' | b'-'))
                && is_digits(end);
            (good, "`PP`, a company of 5, a group of 1 to 16 characters and two check digits", ifa(text))
        }
    };
    match wanted.filter(|_| good && end.len() == 2) {
        None => found.add(UdiRule::BudiFormat, format!("`{}` is no Basic UDI-DI, wanted {shape}", quoted(text))),
        Some(wanted) if wanted != end => {
            found.add(UdiRule::BudiCheck, format!("`{text}` ends with {end}, wanted the check characters {wanted}"));
        }
        Some(_) => {}
    }
}
