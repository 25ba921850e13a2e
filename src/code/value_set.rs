//! Value sets with codes from several code systems.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// Set of codes, each from a code system.
///
/// ```
/// use fhir_devices::code::{SPECIFICATION_TYPE, ValueSet};
///
/// assert!(SPECIFICATION_TYPE.contains(Some("http://hl7.org/fhir/specification-type"), "software-revision"));
/// let pumps = ValueSet::new("https://acme.example/ValueSet/pumps")
///     .with("urn:iso:std:iso:11073:10101", ["69985", "69986"]);
/// assert!(!pumps.contains(Some("http://snomed.info/sct"), "69985"));
/// ```
#[derive(Clone, Debug)]
pub struct ValueSet {
    url: Cow<'static, str>,
    codes: Codes,
}

type Systems = &'static [(&'static str, &'static [&'static str])];

#[derive(Clone, Debug)]
enum Codes {
    Known(Systems),
    Own(BTreeSet<(String, String)>),
}

impl ValueSet {
    const fn known(url: &'static str, systems: Systems) -> Self {
        Self { url: Cow::Borrowed(url), codes: Codes::Known(systems) }
    }

    /// Creates an empty value set.
    #[must_use]
    pub fn new(url: impl Into<Cow<'static, str>>) -> Self {
        Self { url: url.into(), codes: Codes::Own(BTreeSet::new()) }
    }

    /// Adds codes of a system.
    #[must_use]
    pub fn with<'c>(mut self, system: &str, codes: impl IntoIterator<Item = &'c str>) -> Self {
        let mut own: BTreeSet<_> = match self.codes {
            Codes::Own(own) => own,
            Codes::Known(systems) => {
                let pairs = systems.iter().flat_map(|(system, codes)| codes.iter().map(move |code| (*system, *code)));
                pairs.map(|(system, code)| (system.to_owned(), code.to_owned())).collect()
            }
        };
        own.extend(codes.into_iter().map(|code| (system.to_owned(), code.to_owned())));
        self.codes = Codes::Own(own);
        self
    }

    /// Returns the canonical URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns whether the set has the code of the system. A code without a system is in no set.
    #[must_use]
    pub fn contains(&self, system: Option<&str>, code: &str) -> bool {
        let Some(system) = system else { return false };
        match &self.codes {
            Codes::Known(systems) => systems.iter().any(|(own, codes)| *own == system && codes.contains(&code)),
            Codes::Own(own) => own.contains(&(system.to_owned(), code.to_owned())),
        }
    }

    /// Returns the codes, each with its system.
    pub fn codes(&self) -> impl Iterator<Item = (&str, &str)> {
        let (known, own) = match &self.codes {
            Codes::Known(systems) => (Some(*systems), None),
            Codes::Own(own) => (None, Some(own)),
        };
        let known = known.into_iter().flatten();
        let known = known.flat_map(|(system, codes)| codes.iter().map(move |code| (*system, *code)));
        known.chain(own.into_iter().flatten().map(|(system, code)| (system.as_str(), code.as_str())))
    }
}

/// Operational status of a component (extensible, `DeviceComponent.operationalStatus`).
pub const OPERATIONAL_STATUS: ValueSet = ValueSet::known(
    "http://hl7.org/fhir/ValueSet/operational-status",
    &[(
        "http://hl7.org/fhir/operational-status",
        &["off", "on", "not-ready", "standby", "transduc-discon", "hw-discon", "entered-in-error"],
    )],
);

/// Groups of parameters (extensible, `DeviceComponent.parameterGroup`).
pub const PARAMETER_GROUP: ValueSet = ValueSet::known(
    "http://hl7.org/fhir/ValueSet/parameter-group",
    &[(
        "http://hl7.org/fhir/parameter-group",
        &[
            "haemodynamic",
            "ecg",
            "respiratory",
            "ventilation",
            "neurological",
            "drug-delivery",
            "fluid-chemistry",
            "blood-chemistry",
            "miscellaneous",
        ],
    )],
);

/// Type of a production specification (extensible, `DeviceComponent.productionSpecification.specType`).
pub const SPECIFICATION_TYPE: ValueSet = ValueSet::known(
    "http://hl7.org/fhir/ValueSet/specification-type",
    &[(
        "http://hl7.org/fhir/specification-type",
        &[
            "unspecified",
            "serial-number",
            "part-number",
            "hardware-revision",
            "software-revision",
            "firmware-revision",
            "protocol-revision",
            "gmdn",
        ],
    )],
);

/// Type of an identifier (extensible, `Identifier.type`).
pub const IDENTIFIER_TYPE: ValueSet = ValueSet::known(
    "http://hl7.org/fhir/ValueSet/identifier-type",
    &[
        (
            "http://hl7.org/fhir/v2/0203",
            &["DL", "PPN", "BRN", "MR", "MCN", "EN", "TAX", "NIIP", "PRN", "MD", "DR", "ACSN"],
        ),
        ("http://hl7.org/fhir/identifier-type", &["UDI", "SNO", "SB", "PLAC", "FILL"]),
    ],
);

/// Abbreviations of schedules (preferred, `Timing.code`).
pub const TIMING_ABBREVIATION: ValueSet = ValueSet::known(
    "http://hl7.org/fhir/ValueSet/timing-abbreviation",
    &[("http://hl7.org/fhir/v3/GTSAbbreviation", &["BID", "TID", "QID", "AM", "PM", "QD", "QOD", "Q4H", "Q6H"])],
);

/// Reason for a signature (preferred, `Signature.type`).
pub const SIGNATURE_TYPE: ValueSet = ValueSet::known(
    "http://hl7.org/fhir/ValueSet/signature-type",
    &[(
        "urn:iso-astm:E1762-95:2013",
        &[
            "1.2.840.10065.1.12.1.1",
            "1.2.840.10065.1.12.1.2",
            "1.2.840.10065.1.12.1.3",
            "1.2.840.10065.1.12.1.4",
            "1.2.840.10065.1.12.1.5",
            "1.2.840.10065.1.12.1.6",
            "1.2.840.10065.1.12.1.7",
            "1.2.840.10065.1.12.1.8",
            "1.2.840.10065.1.12.1.9",
            "1.2.840.10065.1.12.1.10",
            "1.2.840.10065.1.12.1.11",
            "1.2.840.10065.1.12.1.12",
            "1.2.840.10065.1.12.1.13",
            "1.2.840.10065.1.12.1.14",
            "1.2.840.10065.1.12.1.15",
            "1.2.840.10065.1.12.1.16",
            "1.2.840.10065.1.12.1.17",
            "1.2.840.10065.1.12.1.18",
        ],
    )],
);
