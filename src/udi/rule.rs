//! The rules of UDI carriers.

use crate::issue::{Issue, IssueType, Report, Severity};
use std::borrow::Cow;
use std::fmt;

/// How strictly a carrier is parsed.
///
/// ```
/// use fhir_devices::udi::{ParseMode, Udi};
///
/// // An example in US Core; its check digit is made up.
/// let example = "(01)99863313444316(17)220101(10)M320(21)AC221";
/// assert!(Udi::parse(example, ParseMode::Strict, 2026).is_err());
/// let read = Udi::parse(example, ParseMode::Lenient, 2026)?;
/// assert_eq!(read.udi.serial(), Some("AC221"));
/// assert_eq!(read.warnings.issues()[0].rule, "gs1-check-digit");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ParseMode {
    /// Every finding is an error.
    #[default]
    Strict,
    /// A finding whose rule [is tolerated](UdiRule::is_tolerated) is a warning, and the carrier is read all the same.
    Lenient,
}

macro_rules! udi_rules {
    ($($(#[doc = $doc:literal])+ $name:ident $key:literal $kind:ident $tolerated:literal)+) => {
        /// A rule of UDI carriers; its key is in [`Issue::rule`].
        ///
        /// ```
        /// use fhir_devices::udi::UdiRule;
        ///
        /// assert_eq!(UdiRule::Gs1CheckDigit.key(), "gs1-check-digit");
        /// assert!(UdiRule::Gs1CheckDigit.is_tolerated());
        /// assert!(!UdiRule::Gs1Length.is_tolerated());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum UdiRule {
            $($(#[doc = $doc])+ $name,)+
        }

        impl UdiRule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the key of the rule, as it stands in [`Issue::rule`].
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }

            /// Returns whether the [lenient mode](ParseMode::Lenient) accepts what breaks it, with a warning.
            #[must_use]
            pub const fn is_tolerated(self) -> bool {
                match self { $(Self::$name => $tolerated,)+ }
            }

            const fn kind(self) -> IssueType {
                match self { $(Self::$name => IssueType::$kind,)+ }
            }
        }
    };
}

udi_rules! {
    /// The first characters say which agency issued it (FDA, UDI formats by issuing agency, 1.3).
    UnknownFormat "udi-unknown-format" NotSupported false
    /// GS1 element strings are in symbols that begin with FNC1 (`]C1`, `]d2`, `]Q3`, `]J1`, `]e0`), those of other agencies
    /// in symbols that do not.
    Symbology "udi-symbology" Structure true
    /// Nothing stands around a carrier, and no blanks or line breaks are in it, but where its agency has them.
    Blank "udi-blank" Structure true
    /// FNC1 and the control characters of ISO/IEC 15434 are sent as such, and not as words (`<GS>`).
    SpelledSeparator "udi-spelled-separator" Structure true
    /// A carrier does not end within an identifier: a warning, as what is there may be data.
    Truncated "udi-truncated" Incomplete true
    /// The second symbol of a label goes with its first.
    Join "udi-join" Conflict false
    /// A carrier has a device identifier.
    NoDi "no-di" Required false
    /// An element that occurs again has the same value; stated once in two ways, too.
    RepeatConflict "repeat-conflict" Conflict false
    /// A month is 01 to 12.
    DateMonth "date-month" Value false
    /// A day exists in its month.
    DateDay "date-day" Value false
    /// A day of the year is 001 to 365, or 366 in a leap year.
    DateOrdinal "date-ordinal" Value false
    /// An hour is 00 to 23, a minute and a second 00 to 59.
    DateTime "date-time" Value false

    /// A GS1 element begins with an application identifier of two to four digits in parentheses.
    Gs1NoAi "gs1-no-ai" Structure false
    /// Application identifiers are those of the GS1 General Specifications, section 3.
    Gs1UnknownAi "gs1-unknown-ai" CodeInvalid false
    /// Application identifiers stand in parentheses; the example of STU3 and a Dutch one have braces.
    Gs1CurlyAi "gs1-curly-ai" Structure true
    /// FNC1 is sent as the character 0x1D; the AIDC string of the example of STU3 has U+2194.
    Gs1ArrowFnc1 "gs1-arrow-fnc1" Structure true
    /// A GS1 value has the length of its application identifier.
    Gs1Length "gs1-length" Value false
    /// A GS1 value has the characters of its application identifier: digits, or set 82, 64 or 39.
    Gs1Charset "gs1-charset" Value false
    /// The last digit of a GS1 number is its check digit: modulus 10, weights 3 and 1 from the right.
    Gs1CheckDigit "gs1-check-digit" Value true
    /// A GMN ends with its two check characters: modulus 1021 over set 82.
    Gs1CheckPair "gs1-check-pair" Value true
    /// A GS1 value keeps what its components ask beyond their characters.
    Gs1Content "gs1-content" Value false
    /// Some elements need another (GS1 General Specifications, section 4.14: mandatory association).
    Gs1Requires "gs1-requires" Invariant false
    /// Some elements exclude another (GS1 General Specifications, section 4.14: invalid pairs).
    Gs1Excludes "gs1-excludes" Invariant false
    /// An element that occurs again has the same value.
    Gs1RepeatConflict "gs1-repeat-conflict" Conflict false

    /// HIBC data are upper case letters, digits and `-. $/+%`; a lot and a serial number have letters, digits, `-`
    /// and `.` only.
    HibcCharset "hibc-charset" Value false
    /// The product number has 1 to 18 characters, a lot and a serial number at most 18.
    HibcLength "hibc-length" Value false
    /// The product number has letters and digits.
    HibcPcnCharset "hibc-pcn-charset" Value false
    /// The last character of the primary data is the unit of measure, a digit.
    HibcUom "hibc-uom" Value false
    /// Something follows the stroke between primary and secondary data.
    HibcSecondaryEmpty "hibc-secondary-empty" Structure false
    /// Secondary data begin with `$` or with a date of five digits.
    HibcSecondaryFlag "hibc-secondary-flag" Structure false
    /// The flag after `$$` says how the date is written, and that many digits follow.
    HibcDateField "hibc-date-field" Value false
    /// Supplementary data are `S`, `16D`, `14D` or `Q`.
    HibcSupplementalDi "hibc-supplemental-di" CodeInvalid false
    /// A quantity has one to five digits, or as many as its flag says.
    HibcQuantity "hibc-quantity" Value false
    /// The quantity is the last of the supplementary data.
    HibcQNotLast "hibc-q-not-last" Structure false
    /// The last character is the check character: modulus 43.
    HibcCheckChar "hibc-check-char" Value true
    /// Concatenated data have one check character; a label is known that kept the link and the check of its secondary.
    HibcLinkChar "hibc-link-char" Structure true

    /// The characters of an ISBT 128 structure are those that it is defined with (ST-001).
    IccbbaCharset "iccbba-charset" Value false
    /// An ISBT 128 structure has the length that it is defined with (ST-001).
    IccbbaLength "iccbba-length" Value false
    /// The structures of a device are those of ST-017.
    IccbbaUnknownStructure "iccbba-unknown-structure" CodeInvalid false
    /// The header of a compound message says how many structures follow.
    IccbbaCompoundCount "iccbba-compound-count" Structure false
    /// Type 3 flags of a donation number are its check: 60 and ISO 7064 modulus 37-2.
    IccbbaFlags "iccbba-flags" Value true
    /// The identifier of a product has 16 characters; a published sample has a GTIN there.
    IccbbaGtin "iccbba-gtin" Value true
    /// The year and the sequence of a donation number are digits; a published sample has letters. The strict mode
    /// reports them as [`IccbbaCharset`](Self::IccbbaCharset).
    IccbbaDinLetters "iccbba-din-letters" Value true

    /// Format 06 of ISO/IEC 15434 begins with `[)>` RS `06` GS and ends with RS EOT.
    IfaEnvelope "ifa-envelope" Structure false
    /// An IFA element begins with a data identifier: up to three digits and a letter.
    IfaUnknownDi "ifa-unknown-di" CodeInvalid false
    /// A PPN has 12 digits; an HPC 11 to 28 characters and a Master UDI-DI 10 to 28 of `0-9A-Z.-`.
    IfaPpnFormat "ifa-ppn-format" Value false
    /// The packaging level index of an HPC is 0 to 8; 9 is reserved.
    IfaHpcPli "ifa-hpc-pli" Value false
    /// The agency code is 11 to 24, or MA (IFA, UDI specification 2.5).
    IfaPraCode "ifa-pra-code" CodeInvalid false
    /// The last two digits of a PPN, an HPC and a Master UDI-DI are its check digits: modulus 97.
    IfaCheckDigits "ifa-check-digits" Value true
    /// The last digit of a PZN is its check digit: modulus 11.
    IfaPznCheckDigit "ifa-pzn-check-digit" Value true
    /// A batch and a serial number have 1 to 20 characters; no element is empty.
    IfaLength "ifa-length" Value false
    /// The characters of an IFA element are printable ASCII; those of a batch and a serial number without blanks.
    IfaCharset "ifa-charset" Value false
    /// `D` has six digits, `16D` eight.
    IfaDateField "ifa-date-field" Value false
    /// The data identifiers of a device are `9N`, `8P`, `1T`, `S`, `D`, `16D`, `Q`, and for what is no identification
    /// `27Q` and `33L`: a warning.
    IfaOtherDi "ifa-other-di" CodeInvalid true
    /// The device identifier is in `9N`; a published sample has a GTIN in `8P` alone. The strict mode reports it as
    /// [`NoDi`](Self::NoDi).
    IfaGtinAlone "ifa-gtin-alone" Required true

    /// A Basic UDI-DI has the shape that its agency gives it (MDCG 2019-1).
    BudiFormat "budi-format" Value false
    /// A Basic UDI-DI has at most 25 characters (MDCG 2019-1).
    BudiLength "budi-length" TooLong false
    /// A Basic UDI-DI ends with its check characters.
    BudiCheck "budi-check" Value true
}

impl fmt::Display for UdiRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// The findings so far, and the mode that says how grave they are.
pub(super) struct Findings {
    mode: ParseMode,
    report: Report,
    /// Whether what is read is a part of a carrier, which need not have a device identifier.
    pub(super) partial: bool,
}

impl Findings {
    pub(super) const fn new(mode: ParseMode) -> Self {
        Self { mode, report: Report::new(), partial: false }
    }

    pub(super) fn lenient(&self) -> bool {
        self.mode == ParseMode::Lenient
    }

    pub(super) fn add(&mut self, rule: UdiRule, message: impl Into<String>) {
        let severity = if self.lenient() && rule.is_tolerated() { Severity::Warning } else { Severity::Error };
        self.report.push(Issue::new(rule.key(), severity, rule.kind(), "udi", message));
    }

    /// Says what is odd and may be right all the same.
    pub(super) fn warn(&mut self, rule: UdiRule, message: impl Into<String>) {
        self.report.push(Issue::new(rule.key(), Severity::Warning, rule.kind(), "udi", message));
    }

    /// Says that there is no device identifier, where there has to be one.
    pub(super) fn no_di(&mut self, message: impl Into<String>) {
        if !self.partial {
            self.add(UdiRule::NoDi, message);
        }
    }

    /// Returns the value with its warnings, or every finding where one is an error.
    pub(super) fn conclude<T>(self, value: T) -> Result<(T, Report), Report> {
        if self.report.has_errors() { Err(self.report) } else { Ok((value, self.report)) }
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }
}

/// Returns the input as a message quotes it: not more than the eye can take in.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    const MOST: usize = 90;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}
