//! The rules and value sets by which values are checked: those of the specification, and those that a caller adds.

use super::{udi, unchecked};
use crate::code::{
    IDENTIFIER_TYPE, OPERATIONAL_STATUS, PARAMETER_GROUP, SIGNATURE_TYPE, SPECIFICATION_TYPE, TIMING_ABBREVIATION,
    ValueSet,
};
use crate::datatype::{CodeableConcept, Coding, Primitive};
use crate::element::{Element, Node};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{Code, Uri};
use crate::resource::Device;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A custom rule over values of a type. It may hold what it checks by.
///
/// ```
/// use fhir_devices::{Device, Severity, Validate, validate::{Rule, Validator}};
///
/// let models = vec!["P8".to_owned(), "P9".to_owned()];
/// let rule = Rule::new("acme-1", Severity::Warning, "a device of ours is of a model of ours", move |device: &Device| {
///     device.model.as_ref().and_then(|model| model.value.as_ref()).is_some_and(|model| models.iter().any(|one| model == one.as_str()))
/// });
/// let report = Device::default().validate_by(&Validator::new().rule(rule));
/// assert_eq!(report.issues()[0].rule, "acme-1");
/// ```
pub struct Rule<T> {
    key: Cow<'static, str>,
    severity: Severity,
    message: Cow<'static, str>,
    holds: Arc<dyn Fn(&T) -> bool + Send + Sync>,
}

impl<T> Clone for Rule<T> {
    fn clone(&self) -> Self {
        let (key, message) = (self.key.clone(), self.message.clone());
        Self { key, severity: self.severity, message, holds: Arc::clone(&self.holds) }
    }
}

impl<T> fmt::Debug for Rule<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("key", &self.key)
            .field("severity", &self.severity)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl<T> Rule<T> {
    /// States a rule: its key, how grave it is to break it, what it demands, and whether a value keeps it.
    #[must_use]
    pub fn new(
        key: impl Into<Cow<'static, str>>,
        severity: Severity,
        message: impl Into<Cow<'static, str>>,
        holds: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { key: key.into(), severity, message: message.into(), holds: Arc::new(holds) }
    }
}

/// The strength of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    /// A code outside the set is an error.
    Required,
    /// A code outside the set is a warning: it is right only where no code of the set fits.
    Extensible,
    /// A code outside the set is a warning: one of the set is to be preferred.
    Preferred,
}

#[derive(Clone, Debug)]
struct Binding {
    /// The type and the name of the row: `DeviceComponent`, `type`.
    owner: Cow<'static, str>,
    name: Cow<'static, str>,
    strength: Strength,
    value_set: ValueSet,
}

const fn binding(owner: &'static str, name: &'static str, strength: Strength, value_set: ValueSet) -> Binding {
    Binding { owner: Cow::Borrowed(owner), name: Cow::Borrowed(name), strength, value_set }
}

/// The value sets of the specification that are not required, and that are closed and small enough to carry.
static STANDARD: [Binding; 6] = [
    binding("DeviceComponent", "operationalStatus", Strength::Extensible, OPERATIONAL_STATUS),
    binding("DeviceComponent", "parameterGroup", Strength::Extensible, PARAMETER_GROUP),
    binding("DeviceComponent.productionSpecification", "specType", Strength::Extensible, SPECIFICATION_TYPE),
    binding("Identifier", "type", Strength::Extensible, IDENTIFIER_TYPE),
    binding("Timing", "code", Strength::Preferred, TIMING_ABBREVIATION),
    binding("Signature", "type", Strength::Preferred, SIGNATURE_TYPE),
];

type Check = Box<dyn Fn(&dyn Node, &Path<'_>, &mut Report) + Send + Sync>;

/// The rules and value sets for validation.
///
/// ```
/// use fhir_devices::code::ValueSet;
/// use fhir_devices::validate::{Strength, Validator};
/// use fhir_devices::{DeviceComponent, Validate};
///
/// let pumps = ValueSet::new("https://acme.example/ValueSet/pumps").with("urn:iso:std:iso:11073:10101", ["69985"]);
/// let validator = Validator::new().value_set("DeviceComponent.type", Strength::Required, pumps);
/// let component = DeviceComponent::from_json(
///     br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
///          "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69641"}]}}"#,
/// )?;
/// assert!(component.validate().is_empty());
/// assert_eq!(component.validate_by(&validator).issues()[0].at, "DeviceComponent.type");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Default)]
pub struct Validator {
    bindings: Vec<Binding>,
    checks: Vec<Check>,
    udi: bool,
    unchecked: bool,
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator")
            .field("bindings", &self.bindings)
            .field("rules", &self.checks.len())
            .field("udi", &self.udi)
            .field("unchecked_codes", &self.unchecked)
            .finish_non_exhaustive()
    }
}

impl Validator {
    /// Creates the rules and value sets of the specification.
    #[must_use]
    pub const fn new() -> Self {
        Self { bindings: Vec::new(), checks: Vec::new(), udi: false, unchecked: false }
    }

    /// Also reads the carriers of the unique device identifier of each [`Device`], and holds the record to what they
    /// say. Findings are warnings.
    ///
    /// This is left to the caller to ask for, as it takes about as long as all other rules together, and memory.
    ///
    /// ```
    /// use fhir_devices::validate::Validator;
    /// use fhir_devices::{Device, Validate};
    ///
    /// let device = Device::from_json(
    ///     br#"{"resourceType":"Device","udi":{"carrierHRF":"(01)09504000059118(10)7654321D"},"lotNumber":"L-77"}"#,
    /// )?;
    /// let report = device.validate_by(&Validator::new().udi());
    /// assert_eq!(report.to_string(), "warning udi-lot at Device.lotNumber: \
    ///     found `L-77`, and the carrier says `7654321D`");
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[must_use]
    pub fn udi(mut self) -> Self {
        self.udi = true;
        self
    }

    /// Also says of each code that its value set is not at hand, so that it was not checked: for information, with the
    /// key `unchecked-code`.
    ///
    /// These are the codes whose set the specification leaves open or takes from a terminology that the crate does not
    /// carry; [`value_set`](Self::value_set) brings one in. This is left to the caller to ask for, as nearly every
    /// document has some, and nothing is wrong with it.
    ///
    /// ```
    /// use fhir_devices::code::ValueSet;
    /// use fhir_devices::validate::{Strength, Validator};
    /// use fhir_devices::{Device, Validate};
    ///
    /// let device = Device::from_json(
    ///     br#"{"resourceType":"Device","type":{"coding":[{"system":"http://snomed.info/sct","code":"19257004"}]}}"#,
    /// )?;
    /// assert!(device.validate().is_empty());
    /// let validator = Validator::new().unchecked_codes();
    /// assert_eq!(device.validate_by(&validator).to_string(), "information unchecked-code at Device.type: \
    ///     `19257004` of `http://snomed.info/sct` was not checked: \
    ///     the value set `http://hl7.org/fhir/ValueSet/device-kind` (example) is not available");
    ///
    /// let kinds = ValueSet::new("https://acme.example/ValueSet/kinds").with("http://snomed.info/sct", ["19257004"]);
    /// let validator = validator.value_set("Device.type", Strength::Preferred, kinds);
    /// assert!(device.validate_by(&validator).is_empty());
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[must_use]
    pub fn unchecked_codes(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// Adds a rule over every value of a type, wherever it stands.
    #[must_use]
    pub fn rule<T: Element + 'static>(mut self, rule: Rule<T>) -> Self {
        self.checks.push(Box::new(move |node, at, report| {
            let Some(value) = node.as_any().and_then(|any| any.downcast_ref::<T>()) else { return };
            if !(rule.holds)(value) {
                let issue = Issue::new(rule.key.clone(), rule.severity, IssueType::BusinessRule, at, &*rule.message);
                report.push(issue.with_row(T::definition().path));
            }
        }));
        self
    }

    /// Binds a row, such as `DeviceComponent.type`, to a value set; one that the specification bound it to no longer
    /// counts.
    #[must_use]
    pub fn value_set(mut self, row: &str, strength: Strength, value_set: ValueSet) -> Self {
        let (owner, name) = row.rsplit_once('.').unwrap_or(("", row));
        let (owner, name) = (Cow::Owned(owner.to_owned()), Cow::Owned(name.to_owned()));
        self.bindings.push(Binding { owner, name, strength, value_set });
        self
    }

    /// Returns whether neither rules nor value sets were added, and codes that are not checked are not asked for.
    pub(super) const fn is_standard(&self) -> bool {
        self.bindings.is_empty() && self.checks.is_empty() && !self.unchecked
    }

    /// Checks a node by the rules that were added.
    pub(super) fn check(&self, node: &dyn Node, at: &Path<'_>, report: &mut Report) {
        for check in &self.checks {
            check(node, at, report);
        }
        if self.udi
            && let Some(device) = node.as_any().and_then(|any| any.downcast_ref::<Device>())
        {
            udi::device(device, at, report);
        }
        if self.unchecked {
            unchecked::codes(node, at, report);
        }
    }

    /// Checks a node by the value set to which its row is bound.
    pub(super) fn check_binding(&self, owner: &str, node: &dyn Node, at: &Path<'_>, report: &mut Report) {
        let of_row = |binding: &&Binding| binding.owner == owner && binding.name == at.name();
        let own = self.bindings.iter().rfind(of_row);
        let Some(binding) = own.or_else(|| STANDARD.iter().find(of_row)) else {
            if self.unchecked {
                unchecked::codings(owner, codings(node), at, report);
            }
            return;
        };
        let codings = codings(node);
        let coded = codings.iter().any(|coding| code(coding).is_some());
        if !coded || codings.iter().any(|coding| is_in(coding, &binding.value_set)) {
            return;
        }
        let (rule, severity) = match binding.strength {
            Strength::Required => ("required-binding", Severity::Error),
            Strength::Extensible => ("extensible-binding", Severity::Warning),
            Strength::Preferred => ("preferred-binding", Severity::Warning),
        };
        let found = codings.iter().map(words).collect::<Vec<_>>().join(", ");
        let message = format!("found {found}, wanted a code of the value set `{}`", binding.value_set.url());
        let issue = Issue::new(rule, severity, IssueType::CodeInvalid, at, message);
        report.push(issue.with_row(format!("{}.{}", binding.owner, binding.name)));
    }
}

/// Returns the codings of a node that is [coded](crate::element::Facts::Coded).
fn codings(node: &dyn Node) -> &[Coding] {
    let Some(any) = node.as_any() else { return &[] };
    match any.downcast_ref::<CodeableConcept>() {
        Some(concept) => &concept.coding,
        None => any.downcast_ref::<Coding>().map_or(&[], std::slice::from_ref),
    }
}

/// Returns a coding, for a message.
pub(super) fn words(coding: &Coding) -> String {
    match (code(coding), system(coding)) {
        (Some(code), Some(system)) => format!("`{code}` of `{system}`"),
        (Some(code), None) => format!("`{code}` of no system"),
        (None, _) => "no code".to_owned(),
    }
}

fn system(coding: &Coding) -> Option<&str> {
    coding.system.as_ref().and_then(|system: &Primitive<Uri>| system.value.as_ref()).map(Uri::as_str)
}

pub(super) fn code(coding: &Coding) -> Option<&str> {
    coding.code.as_ref().and_then(|code: &Primitive<Code>| code.value.as_ref()).map(Code::as_str)
}

fn is_in(coding: &Coding, value_set: &ValueSet) -> bool {
    code(coding).is_some_and(|code| value_set.contains(system(coding), code))
}
