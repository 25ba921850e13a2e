//! What a carrier says, its elements, and its two forms.

use super::{Agency, Carrier, Day, Findings, ParseMode, Parsed, UdiRule, gs1, hibcc, iccbba, ifa, quoted};
use crate::issue::Report;
use smol_str::SmolStr;
use std::fmt;

/// One element of a carrier, as it stands there.
///
/// ```
/// use fhir_devices::udi::{ParseMode, Udi};
///
/// let udi = Udi::parse("(01)09506000117843(241)CUST99", ParseMode::Strict, 2026)?.udi;
/// assert_eq!((udi.elements()[1].id(), udi.elements()[1].value()), ("241", "CUST99"));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UdiElement {
    id: SmolStr,
    value: SmolStr,
}

impl UdiElement {
    pub(super) fn new(id: &str, value: &str) -> Self {
        Self { id: id.into(), value: value.into() }
    }

    /// What says the meaning of the value: an application identifier (`17`), a data identifier (`16D`), the start of a
    /// structure (`=>`), the flag of HIBC data (`+`, `$$3`, `S`; nothing before a five-digit date).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the value, with the dates and quantities that HIBCC writes before it.
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
/// use fhir_devices::udi::{ParseMode, Udi};
///
/// let text = "=/A9999XYZ100T0476=,000025=A99971712345600=>019032=}017032&,1000000000000XYZ123";
/// let udi = Udi::parse(text, ParseMode::Strict, 2026)?.udi;
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
    pub(super) elements: Vec<UdiElement>,
    /// What ends a HIBC string: the check character, after the link character where one was kept.
    pub(super) tail: SmolStr,
}

impl Udi {
    /// Reads a carrier string in either form of any agency; see [`Carrier::parse`].
    ///
    /// # Errors
    /// [`UdiRule::UnknownFormat`] where the first characters are no agency's, and otherwise every finding, where one of
    /// them is an error.
    pub fn parse(text: &str, mode: ParseMode, reference_year: u16) -> Result<Parsed, Report> {
        match Carrier::detect(text) {
            Some(carrier) => carrier.parse(mode, reference_year),
            None => Err(unknown(&format!("`{}`", quoted(text)), mode)),
        }
    }

    /// Reads the digits of a GTIN alone: what the symbols EAN-13, UPC-A and EAN-8 on retail packages say, where the caller
    /// knows that the package is that of a device.
    ///
    /// # Errors
    /// [`UdiRule::Gs1Length`] where it has other than 8, 12, 13 or 14 digits, and [`UdiRule::Gs1CheckDigit`].
    pub fn parse_gtin(digits: &str, mode: ParseMode) -> Result<Parsed, Report> {
        if !matches!(digits.len(), 8 | 12 | 13 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let mut found = Findings::new(mode);
            found.add(UdiRule::Gs1Length, format!("`{}` is no GTIN, wanted 8, 12, 13 or 14 digits", quoted(digits)));
            return Err(found.into_report());
        }
        Self::parse(&format!("01{digits:0>14}"), mode, 0)
    }

    /// Reads the bytes that a scanner sent, such as those of `Device.udi.carrierAIDC`.
    ///
    /// # Errors
    /// As [`Udi::parse`]; bytes that are no UTF-8 have an unknown format.
    pub fn parse_bytes(bytes: &[u8], mode: ParseMode, reference_year: u16) -> Result<Parsed, Report> {
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

    /// Returns the issuing agency.
    #[must_use]
    pub const fn agency(&self) -> Agency {
        self.agency
    }

    /// Returns the device identifier as GUDID and FHIR have it: a GTIN of 14 digits; HIBCC's without `+` and check
    /// character; ICCBBA's without `=/`; a PPN or HPC.
    #[must_use]
    pub fn di(&self) -> &str {
        &self.di
    }

    /// Returns the lot or batch number.
    #[must_use]
    pub fn lot(&self) -> Option<&str> {
        self.lot.as_deref()
    }

    /// Returns the serial number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// Returns the day of manufacture.
    #[must_use]
    pub const fn manufactured(&self) -> Option<Day> {
        self.manufactured
    }

    /// Returns the last day of use.
    #[must_use]
    pub const fn expires(&self) -> Option<Day> {
        self.expires
    }

    /// Returns the donation identification number with its two flag characters (ISBT 128).
    #[must_use]
    pub fn donation_id(&self) -> Option<&str> {
        self.donation_id.as_deref()
    }

    /// Returns the version of a software (GS1 AI 8012).
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Returns the Basic UDI-DI, which only GS1 has a place for (AI 8013).
    #[must_use]
    pub fn basic_udi_di(&self) -> Option<&str> {
        self.basic_udi_di.as_deref()
    }

    /// Returns the Master UDI-DI of highly individualised devices (GS1 AI 8014; a second `9N` of IFA).
    #[must_use]
    pub fn master_udi_di(&self) -> Option<&str> {
        self.master_udi_di.as_deref()
    }

    /// Returns the quantity in the package.
    #[must_use]
    pub const fn quantity(&self) -> Option<u32> {
        self.quantity
    }

    /// Returns every element in the order of the carrier, those that the accessors know among them.
    #[must_use]
    pub fn elements(&self) -> &[UdiElement] {
        &self.elements
    }

    /// Returns the human readable form.
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

    /// Returns the machine readable form, without a symbology identifier; FNC1 is the character 0x1D.
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

fn unknown(what: &str, mode: ParseMode) -> Report {
    let wanted = "wanted `(`, a digit or FNC1 (GS1), `+` (HIBCC), `=` or `&` (ICCBBA), `[)>`, `.9N` or `(9N)` (IFA)";
    let mut found = Findings::new(mode);
    found.add(UdiRule::UnknownFormat, format!("{what} begins like no carrier, {wanted}"));
    found.into_report()
}

/// Stores a part that may occur twice, and reports a difference.
pub(super) fn keep<T>(place: &mut Option<T>, value: T, what: &str, rule: UdiRule, found: &mut Findings)
where
    T: PartialEq + fmt::Display,
{
    match place {
        Some(first) if *first != value => found.add(rule, format!("{what} is `{first}` and `{value}`, wanted one")),
        Some(_) => {}
        None => *place = Some(value),
    }
}
