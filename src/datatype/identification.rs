//! Identifiers, codings, concepts and periods.

use super::code_checks::{BCP_47, UCUM, check_language, check_unit};
use super::{Primitive, Reference, shown, target};
use crate::code::{IdentifierUse, has_code};
use crate::element::{Facts, Value};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{Code, DateTime, Text, Uri, is_absolute, urn_fault};

/// The system of identifiers that are URIs themselves.
const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

fn warn(rule: &'static str, at: &Path<'_>, row: &'static str, message: String, report: &mut Report) {
    report.push(Issue::new(rule, Severity::Warning, IssueType::Value, at, message).with_row(row));
}

fn check_system<'s>(
    system: &'s Option<Primitive<Uri>>,
    at: &Path<'_>,
    row: &'static str,
    report: &mut Report,
) -> Option<&'s str> {
    let system = system.as_ref()?.value.as_ref()?.as_str();
    if !is_absolute(system) {
        let message = format!("the system `{system}` is relative, wanted an absolute URI");
        warn("relative-system", &at.child("system"), row, message, report);
    }
    Some(system)
}

fn check_identifier(identifier: &Identifier, at: &Path<'_>, report: &mut Report) {
    let system = check_system(&identifier.system, at, "Identifier.system", report);
    if system != Some(URI_SYSTEM) {
        return;
    }
    let Some(value) = identifier.value.as_ref().and_then(|value| value.value.as_ref()) else { return };
    let here = at.child("value");
    if !is_absolute(value.as_str()) {
        let message = format!("`{value}` is no absolute URI, wanted one, as the system is `{URI_SYSTEM}`");
        warn("identifier-uri", &here, "Identifier.value", message, report);
    } else if let Some(reason) = urn_fault(value.as_str()) {
        warn("urn", &here, "Identifier.value", format!("`{value}` is no URN of its namespace: {reason}"), report);
    }
}

fn check_coding(coding: &Coding, at: &Path<'_>, report: &mut Report) {
    let Some(system) = check_system(&coding.system, at, "Coding.system", report) else { return };
    let Some(code) = coding.code.as_ref().and_then(|code| code.value.as_ref()).map(Code::as_str) else { return };
    let here = at.child("code");
    match system {
        UCUM => check_unit(code, &here, "Coding.code", report),
        BCP_47 => check_language(code, &here, "Coding.code", report),
        _ if has_code(system, code) == Some(false) => {
            let message = format!("the code system `{system}` has no code `{code}`");
            let issue = Issue::new("unknown-code", Severity::Error, IssueType::CodeInvalid, here, message);
            report.push(issue.with_row("Coding.code"));
        }
        _ => {}
    }
}

datatype! {
    /// A name for a thing within a namespace: a serial number, an asset tag, a handle.
    ///
    /// ```
    /// use fhir_devices::datatype::Identifier;
    ///
    /// let serial = Identifier::new("https://acme.example/serial", "SN-0001")?;
    /// assert_eq!(serial.value, Some("SN-0001".parse()?));
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[derive(Default)]
    pub struct Identifier is "Identifier" at "Identifier" {
        /// What the identifier is for.
        r#use "use" [0..1] Primitive<IdentifierUse>;
        /// What sort of identifier it is.
        r#type "type" [0..1] CodeableConcept;
        /// The namespace.
        system "system" [0..1] Primitive<Uri>;
        /// The name, unique within the namespace.
        value "value" [0..1] Primitive<Text>;
        /// When the identifier is or was in use.
        period "period" [0..1] Period;
        /// The organization that assigned the identifier.
        assigner "assigner" [0..1] Box<Reference<target::Organization>>;
    }
    also check_identifier;
}

impl Identifier {
    /// Creates an identifier in a namespace.
    ///
    /// # Errors
    /// [`Malformed`](crate::element::Malformed) when `system` is no uri or `value` is empty.
    pub fn new(system: &str, value: &str) -> Result<Self, crate::element::Malformed> {
        Ok(Self { system: Some(Uri::new(system)?.into()), value: Some(Text::new(value)?.into()), ..Self::default() })
    }
}

datatype! {
    /// A concept: codes of one or several code systems that say the same, and words.
    #[derive(Default)]
    pub struct CodeableConcept is "CodeableConcept" at "CodeableConcept" {
        /// The codes.
        coding "coding" [0..*] Coding;
        /// The concept in words.
        text "text" [0..1] Primitive<Text>;
    }
    facts |_| Facts::Coded;
}

impl CodeableConcept {
    /// Returns a concept by one code of a code system.
    ///
    /// ```
    /// let spo2 = fhir_devices::datatype::CodeableConcept::code("urn:iso:std:iso:11073:10101", "150456")?;
    /// assert_eq!(spo2.code_in("urn:iso:std:iso:11073:10101"), Some("150456"));
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    ///
    /// # Errors
    /// [`Malformed`](crate::element::Malformed) when `system` is no uri or `code` no code.
    pub fn code(system: &str, code: &str) -> Result<Self, crate::element::Malformed> {
        Coding::new(system, code).map(Self::from)
    }

    /// Returns the first code of a code system, by the URI of the system.
    ///
    /// ```
    /// # let component = fhir_devices::DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
    /// #     "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985"}]}}"#)?;
    /// assert_eq!(component.r#type.code_in("urn:iso:std:iso:11073:10101"), Some("69985"));
    /// assert_eq!(component.r#type.code_in("http://snomed.info/sct"), None);
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[must_use]
    pub fn code_in(&self, system: &str) -> Option<&str> {
        let of_system =
            |coding: &&Coding| coding.system.as_ref().and_then(Primitive::get).is_some_and(|uri| *uri == system);
        self.coding.iter().filter(of_system).find_map(|coding| Some(coding.code.as_ref()?.get()?.as_str()))
    }

    /// Returns a concept in words alone.
    ///
    /// # Errors
    /// [`Malformed`](crate::element::Malformed) when the text is empty.
    pub fn text(text: &str) -> Result<Self, crate::element::Malformed> {
        Ok(Self { text: Some(Text::new(text)?.into()), ..Self::default() })
    }
}

impl From<Coding> for CodeableConcept {
    fn from(coding: Coding) -> Self {
        Self { coding: vec![coding], ..Self::default() }
    }
}

datatype! {
    /// A code of a code system.
    #[derive(Default)]
    pub struct Coding is "Coding" at "Coding" {
        /// The code system.
        system "system" [0..1] Primitive<Uri>;
        /// The version of the code system.
        version "version" [0..1] Primitive<Text>;
        /// The code.
        code "code" [0..1] Primitive<Code>;
        /// The code in words, as the code system puts it.
        display "display" [0..1] Primitive<Text>;
        /// Whether a person picked this coding.
        user_selected "userSelected" [0..1] Primitive<bool>;
    }
    facts |_| Facts::Coded;
    also check_coding;
}

impl Coding {
    /// Creates a code of a code system.
    ///
    /// # Errors
    /// [`Malformed`](crate::element::Malformed) when `system` is no uri or `code` no code.
    pub fn new(system: &str, code: &str) -> Result<Self, crate::element::Malformed> {
        Ok(Self { system: Some(Uri::new(system)?.into()), code: Some(Code::new(code)?.into()), ..Self::default() })
    }

    /// Returns whether this is the code `code` of the system `system`.
    #[must_use]
    pub fn is(&self, system: &str, code: &str) -> bool {
        let system_is = |uri: &Primitive<Uri>| uri.value.as_ref().is_some_and(|uri| *uri == system);
        let code_is = |own: &Primitive<Code>| own.value.as_ref().is_some_and(|own| *own == code);
        self.system.as_ref().is_some_and(system_is) && self.code.as_ref().is_some_and(code_is)
    }
}

datatype! {
    /// A span of time; both ends belong to it.
    #[derive(Default)]
    pub struct Period is "Period" at "Period" {
        /// When it begins.
        start "start" [0..1] Primitive<DateTime>;
        /// When it ends; absent while it goes on.
        end "end" [0..1] Primitive<DateTime>;
    }
    rules {
        "per-1", "a period does not end before it starts", |period| !ends_before_start(period), said |period| {
            format!("the period ends {}, before it starts {}", shown(period.end.as_ref()), shown(period.start.as_ref()))
        };
    }
}

fn ends_before_start(period: &Period) -> bool {
    let value = |end: &Option<Primitive<DateTime>>| end.as_ref().and_then(|end| end.value.clone());
    match (value(&period.start), value(&period.end)) {
        (Some(start), Some(end)) => start.partial_cmp_time(&end) == Some(std::cmp::Ordering::Greater),
        _ => false,
    }
}

impl Period {
    /// Returns whether neither end is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_blank()
    }
}
