//! A carrier string: whose it is, what it says, and its two forms.

use super::{Day, Findings, Mode, Rule, gs1, hibcc, iccbba, ifa, quoted};
use crate::issue::Report;
use smol_str::SmolStr;
use std::fmt;

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

/// One element of a carrier, as it stands there.
///
/// ```
/// use fhir_devices::udi::{Mode, Udi};
///
/// let udi = Udi::parse("(01)09506000117843(241)CUST99", Mode::Strict, 2026)?.udi;
/// assert_eq!((udi.elements()[1].id(), udi.elements()[1].value()), ("241", "CUST99"));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    id: SmolStr,
    value: SmolStr,
}

impl Element {
    pub(super) fn new(id: &str, value: &str) -> Self {
        Self { id: id.into(), value: value.into() }
    }

    /// What says the meaning of the value: an application identifier (`17`), a data identifier (`16D`), the start of a
    /// structure (`=>`), the flag of HIBC data (`+`, `$$3`, `S`; nothing before a five-digit date).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value, with the dates and quantities that HIBCC writes before it.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// What a carrier says, and its elements in order.
///
/// Two are equal when they have the same elements in the same order with the same meaning; the form that they were
/// read from does not count. It is made by reading, so that its parts agree with its elements. [`Display`](fmt::Display)
/// writes the human readable form.
///
/// ```
/// use fhir_devices::udi::{Mode, Udi};
///
/// let text = "=/A9999XYZ100T0476=,000025=A99971712345600=>019032=}017032&,1000000000000XYZ123";
/// let udi = Udi::parse(text, Mode::Strict, 2026)?.udi;
/// assert_eq!(udi.di(), "A9999XYZ100T0476");
/// assert_eq!(udi.donation_id(), Some("A99971712345600"));
/// assert_eq!(udi.expires().unwrap().date.to_string(), "2019-02-01");
/// assert_eq!(udi.to_hrf(), text);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udi {
    pub(super) agency: Agency,
    pub(super) di: SmolStr,
    pub(super) lot: Option<SmolStr>,
    pub(super) serial: Option<SmolStr>,
    pub(super) manufactured: Option<Day>,
    pub(super) expires: Option<Day>,
    pub(super) donation_id: Option<SmolStr>,
    pub(super) version: Option<SmolStr>,
    pub(super) basic_udi_di: Option<SmolStr>,
    pub(super) master_udi_di: Option<SmolStr>,
    pub(super) quantity: Option<u32>,
    pub(super) elements: Vec<Element>,
    /// What ends a HIBC string: the check character, after the link character where one was kept.
    pub(super) tail: SmolStr,
}

impl Udi {
    /// Reads a carrier string in either form of any agency; see [`Carrier::parse`].
    ///
    /// # Errors
    /// [`Rule::UnknownFormat`] where the first characters are no agency's, and otherwise every finding, where one of
    /// them is an error.
    pub fn parse(text: &str, mode: Mode, reference_year: u16) -> Result<Parsed, Report> {
        match Carrier::detect(text) {
            Some(carrier) => carrier.parse(mode, reference_year),
            None => Err(unknown(&format!("`{}`", quoted(text)), mode)),
        }
    }

    /// Reads the bytes that a scanner sent, such as those of `Device.udi.carrierAIDC`.
    ///
    /// # Errors
    /// As [`Udi::parse`]; bytes that are no UTF-8 have an unknown format.
    pub fn parse_bytes(bytes: &[u8], mode: Mode, reference_year: u16) -> Result<Parsed, Report> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text, mode, reference_year),
            Err(error) => Err(unknown(&format!("byte {}, which is no text,", error.valid_up_to() + 1), mode)),
        }
    }

    pub(super) const fn empty(agency: Agency) -> Self {
        Self {
            agency,
            di: SmolStr::new_static(""),
            lot: None,
            serial: None,
            manufactured: None,
            expires: None,
            donation_id: None,
            version: None,
            basic_udi_di: None,
            master_udi_di: None,
            quantity: None,
            elements: Vec::new(),
            tail: SmolStr::new_static(""),
        }
    }

    /// Who issued it.
    #[must_use]
    pub const fn agency(&self) -> Agency {
        self.agency
    }

    /// The device identifier as GUDID and FHIR have it: a GTIN of 14 digits; HIBCC's without `+` and check character;
    /// ICCBBA's without `=/`; a PPN or HPC.
    #[must_use]
    pub fn di(&self) -> &str {
        &self.di
    }

    /// The lot or batch number.
    #[must_use]
    pub fn lot(&self) -> Option<&str> {
        self.lot.as_deref()
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// The day of manufacture.
    #[must_use]
    pub const fn manufactured(&self) -> Option<Day> {
        self.manufactured
    }

    /// The last day of use.
    #[must_use]
    pub const fn expires(&self) -> Option<Day> {
        self.expires
    }

    /// The donation identification number with its two flag characters (ISBT 128).
    #[must_use]
    pub fn donation_id(&self) -> Option<&str> {
        self.donation_id.as_deref()
    }

    /// The version of a software (GS1 AI 8012).
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The Basic UDI-DI, which only GS1 has a place for (AI 8013).
    #[must_use]
    pub fn basic_udi_di(&self) -> Option<&str> {
        self.basic_udi_di.as_deref()
    }

    /// The Master UDI-DI of highly individualised devices (GS1 AI 8014; a second `9N` of IFA).
    #[must_use]
    pub fn master_udi_di(&self) -> Option<&str> {
        self.master_udi_di.as_deref()
    }

    /// How many there are in the package.
    #[must_use]
    pub const fn quantity(&self) -> Option<u32> {
        self.quantity
    }

    /// Every element in the order of the carrier, those that the accessors know among them.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The human readable form.
    ///
    /// Parentheses may be data of GS1 and IFA. One that would be read as the start of an element has a backslash before
    /// it, which no value has, and which the reader takes away. The header of an ICCBBA compound message is for
    /// machines alone and is left out.
    #[must_use]
    pub fn to_hrf(&self) -> String {
        match self.agency {
            Agency::Gs1 => gs1::to_hrf(self),
            Agency::Hibcc => hibcc::write(self),
            Agency::Iccbba => iccbba::write(self, false),
            Agency::Ifa => ifa::to_hrf(self),
        }
    }

    /// The machine readable form, without a symbology identifier; FNC1 is the character 0x1D.
    ///
    /// FHIR wants its bytes in base64: `Base64::encode(udi.to_aidc().as_bytes())`.
    #[must_use]
    pub fn to_aidc(&self) -> String {
        match self.agency {
            Agency::Gs1 => gs1::to_aidc(self),
            Agency::Hibcc => hibcc::write(self),
            Agency::Iccbba => iccbba::write(self, true),
            Agency::Ifa => ifa::to_aidc(self),
        }
    }
}

impl fmt::Display for Udi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hrf())
    }
}

fn unknown(what: &str, mode: Mode) -> Report {
    let wanted = "wanted `(`, a digit or FNC1 (GS1), `+` (HIBCC), `=` or `&` (ICCBBA), `[)>`, `.9N` or `(9N)` (IFA)";
    let mut found = Findings::new(mode);
    found.add(Rule::UnknownFormat, format!("{what} begins like no carrier, {wanted}"));
    found.into_report()
}

/// Keeps a part that may be stated in two places, and reports where they differ.
pub(super) fn keep<T>(place: &mut Option<T>, value: T, what: &str, rule: Rule, found: &mut Findings)
where
    T: PartialEq + fmt::Display,
{
    match place {
        Some(first) if *first != value => found.add(rule, format!("{what} is `{first}` and `{value}`, wanted one")),
        Some(_) => {}
        None => *place = Some(value),
    }
}
