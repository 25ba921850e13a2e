//! Validation: one walk over a value, checking its rules and those of the whole resource.
//!
//! Reading checks what a type can say; [`Validate::validate`] checks the rest. [`check`] does both, so that a document
//! is reported on once, with every finding.

mod container;
mod extensions;
mod locate;
mod narrative;
mod plain_narrative;
mod profiles;
mod references;
mod text;
mod udi;
mod unchecked;
mod validator;
mod walk;
mod xhtml;

pub use validator::{Rule, Strength, Validator};

use crate::element::{Node, PartCheck, ReadMode};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
#[cfg(feature = "xml")]
use crate::resource::read_xml_within;
use crate::resource::{
    Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Resource, Subscription, read_within,
};
use std::collections::BTreeSet;
use std::ops::Deref;

/// A value that can be validated.
pub trait Validate {
    /// Returns the issues that reading cannot find: broken rules and missing required elements.
    ///
    /// ```
    /// use fhir_devices::{Device, Validate};
    ///
    /// let device = Device::from_json(
    ///     br##"{"resourceType":"Device","contact":[{"value":"+1 555 0100"}],"owner":{"reference":"#org"}}"##,
    /// )?;
    /// let report = device.validate();
    /// let rules: Vec<_> = report.iter().map(|issue| (&*issue.rule, issue.at.as_str())).collect();
    /// assert_eq!(rules, [("ref-1", "Device.owner"), ("cpt-2", "Device.contact[0].system")]);
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    fn validate(&self) -> Report;

    /// Validates with the caller's rules and value sets too.
    fn validate_by(&self, validator: &Validator) -> Report;
}

macro_rules! validate {
    ($($Name:ident)*) => { $(
        impl Validate for $Name {
            fn validate(&self) -> Report {
                self.validate_by(&STANDARD)
            }

            fn validate_by(&self, validator: &Validator) -> Report {
                walk_from(self, stringify!($Name), validator)
            }
        }
    )* };
}

validate!(Device DeviceComponent DeviceMetric Bundle OperationOutcome Subscription);

impl Validate for Resource {
    fn validate(&self) -> Report {
        self.validate_by(&STANDARD)
    }

    fn validate_by(&self, validator: &Validator) -> Report {
        walk_from(self, self.resource_type(), validator)
    }
}

/// The rules and value sets of the specification.
static STANDARD: Validator = Validator::new();

/// Validates what stands at the root of a document.
pub(crate) fn walk_from(node: &dyn Node, root: &str, validator: &Validator) -> Report {
    walk_with(node, root, validator, None)
}

fn walk_with(node: &dyn Node, root: &str, validator: &Validator, faulty: Option<&FaultyPaths>) -> Report {
    let mut report = Report::new();
    let mut w = walk::Walk::new(validator, faulty);
    walk::resource(node, &Path::root(root), &mut w, &mut report);
    if let Some(message) = w.unchecked() {
        report.push(Issue::new("unchecked-type", Severity::Information, IssueType::Informational, root, message));
    }
    report
}

/// A validated value without errors; the only thing that tenant handles write.
///
/// A program validates what it made by [`Valid::new`]; a document is read and validated at once by [`check`], and
/// [`CheckResult::into_valid`] hands on what it found out. In either way a value is validated once.
///
/// ```
/// use fhir_devices::{Device, Valid};
///
/// let valid = Valid::new(Device::default())?;
/// assert_eq!(valid.to_json(), r#"{"resourceType":"Device"}"#);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Valid<T>(T);

impl<T: Validate> Valid<T> {
    /// Validates a value.
    ///
    /// # Errors
    /// The [`Report`] when it has an error.
    pub fn new(value: T) -> Result<Self, Report> {
        Self::by(value, &STANDARD)
    }

    /// Validates a value, with the rules and value sets that a caller added too.
    ///
    /// # Errors
    /// The [`Report`] when it has an error.
    pub fn by(value: T, validator: &Validator) -> Result<Self, Report> {
        let report = value.validate_by(validator);
        if report.has_errors() { Err(report) } else { Ok(Self(value)) }
    }
}

impl<T> Valid<T> {
    /// A value that is known to be valid, because it was validated as a part of another one, or before a change that breaks
    /// no rule. The caller answers for that.
    pub(crate) const fn known(value: T) -> Self {
        Self(value)
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

macro_rules! into_valid_resource {
    ($($Name:ident)*) => { $(
        impl From<Valid<$Name>> for Valid<Resource> {
            fn from(valid: Valid<$Name>) -> Self {
                Self(valid.0.into())
            }
        }
    )* };
}

into_valid_resource!(Device DeviceComponent DeviceMetric Bundle OperationOutcome);

/// The result of [`check`].
///
/// ```
/// use fhir_devices::{element::ReadMode, validate::check};
///
/// let checked = check(br#"{"resourceType":"Device","model":"P9"}"#, ReadMode::Strict);
/// assert!(checked.report().is_empty());
/// let device = checked.into_valid()?; // it is not validated again
/// assert_eq!(device.resource_type(), "Device");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug)]
pub struct CheckResult {
    resource: Option<Resource>,
    report: Report,
    /// The findings of rules whose place was found faulty by reading.
    skipped_rules: Report,
}

impl CheckResult {
    /// Returns the resource, as far as it could be read; absent where the text is not JSON to its end.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        self.resource.as_ref()
    }

    /// Returns every finding, of reading and of the rules.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Returns every finding.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    /// Returns the resource, as far as it could be read, and every finding.
    #[must_use]
    pub fn into_parts(self) -> (Option<Resource>, Report) {
        (self.resource, self.report)
    }

    /// Returns the resource, which was validated already.
    ///
    /// # Errors
    /// The [`Report`] when it has an error. Where reading was lenient, rules that are broken at a place of which it warned
    /// are errors too.
    pub fn into_valid(mut self) -> Result<Valid<Resource>, Report> {
        if !self.report.has_errors() && self.skipped_rules.has_errors() {
            self.report.append(self.skipped_rules);
            self.report.sort();
        }
        match self.resource {
            Some(resource) if !self.report.has_errors() => Ok(Valid(resource)),
            _ => Err(self.report),
        }
    }
}

impl CheckResult {
    /// Returns what is found out about a document that is not read.
    pub(crate) fn refused(report: Report) -> Self {
        Self { resource: None, report, skipped_rules: Report::new() }
    }

    /// The same with other findings: those of a conversion before, and all of them at the places of its source.
    pub(crate) fn with_report(self, change: impl FnOnce(Report) -> Report) -> Self {
        Self { report: change(self.report), ..self }
    }
}

/// Reads a document and validates it, also where reading found faults.
///
/// A rule whose place was found faulty by reading is not checked, as its subject is not known.
///
/// ```
/// use fhir_devices::{element::ReadMode, validate::check};
///
/// let json = br#"{"resourceType":"Device","status":"gone","contact":[{"value":"+1 555 0100"}]}"#;
/// let checked = check(json, ReadMode::Strict);
/// let rules: Vec<_> = checked.report().iter().map(|issue| &*issue.rule).collect();
/// assert_eq!(rules, ["required-binding", "cpt-2"]);
/// ```
#[must_use]
pub fn check(json: &[u8], mode: ReadMode) -> CheckResult {
    check_by(json, mode, &STANDARD)
}

/// Validates with the caller's rules and value sets too.
#[must_use]
pub fn check_by(json: &[u8], mode: ReadMode, validator: &Validator) -> CheckResult {
    check_with(json, mode, validator, usize::MAX)
}

/// The same as [`check`], strictly, with at most `memory` bytes for the values that are read, the text aside: a few bytes of
/// text may stand for an element of a thousand. Where they would take more, reading stops with the finding
/// `too-many-elements`.
///
/// ```
/// use fhir_devices::validate::check_within;
///
/// let json = format!(r#"{{"resourceType":"Device","contact":[{}{{}}]}}"#, "{},".repeat(10_000));
/// let checked = check_within(json.as_bytes(), 1 << 20);
/// assert_eq!(checked.report().issues().iter().rfind(|issue| issue.rule != "more-findings").unwrap().rule, "too-many-elements");
/// ```
#[must_use]
pub fn check_within(json: &[u8], memory: usize) -> CheckResult {
    check_with(json, ReadMode::Strict, &STANDARD, memory)
}

/// The same with everything that can be chosen.
pub(crate) fn check_with(json: &[u8], mode: ReadMode, validator: &Validator, memory: usize) -> CheckResult {
    let (resource, report) = read_within::<Resource>(json, mode, memory, part_check(mode));
    finish_check(resource, report, mode, validator, |found| locate::locate(found, json))
}

/// Reads a document in XML and validates it, as [`check`] does one in JSON; a place in the source is one in the XML.
///
/// ```
/// use fhir_devices::{element::ReadMode, validate::check_xml};
///
/// let xml = br#"<Device xmlns="http://hl7.org/fhir"><contact><value value="+1 555 0100"/></contact><status value="gone"/></Device>"#;
/// let checked = check_xml(xml, ReadMode::Strict);
/// let found: Vec<_> = checked.report().iter().map(|issue| (&*issue.rule, issue.at.as_str())).collect();
/// assert_eq!(found, [
///     ("cpt-2", "Device.contact[0].system"),
///     ("element-order", "Device.status"),
///     ("required-binding", "Device.status"),
/// ]);
/// ```
#[cfg(feature = "xml")]
#[must_use]
pub fn check_xml(xml: &[u8], mode: ReadMode) -> CheckResult {
    check_xml_by(xml, mode, &STANDARD)
}

/// The same with the rules and value sets that a caller added.
#[cfg(feature = "xml")]
#[must_use]
pub fn check_xml_by(xml: &[u8], mode: ReadMode, validator: &Validator) -> CheckResult {
    check_xml_with(xml, mode, validator, usize::MAX)
}

/// The same as [`check_xml`], strictly, with at most `memory` bytes for the values that are read, as [`check_within`]; the text
/// and its JSON form, which is at most about as long, are not counted.
#[cfg(feature = "xml")]
#[must_use]
pub fn check_xml_within(xml: &[u8], memory: usize) -> CheckResult {
    check_xml_with(xml, ReadMode::Strict, &STANDARD, memory)
}

/// The same with everything that can be chosen.
#[cfg(feature = "xml")]
pub(crate) fn check_xml_with(xml: &[u8], mode: ReadMode, validator: &Validator, memory: usize) -> CheckResult {
    let (resource, report, transcript) = read_xml_within::<Resource>(xml, mode, memory, part_check(mode));
    finish_check(resource, report, mode, validator, |found| {
        if let Some(transcript) = transcript {
            let origin = transcript.origin();
            locate::locate_in(found, transcript.json(), transcript.text(), |offset| origin.offset(offset));
        }
    })
}

/// How reading checks the parts of resources that are kept as text. What a lenient read refuses of them is not known to it.
fn part_check(mode: ReadMode) -> Option<PartCheck> {
    (mode == ReadMode::Strict).then_some(text::part_holds)
}

/// Validates what was read; `locate` finds the places of findings in the source.
fn finish_check(
    resource: Option<Resource>,
    mut report: Report,
    mode: ReadMode,
    validator: &Validator,
    locate: impl FnOnce(&mut Report),
) -> CheckResult {
    let mut skipped_rules = Report::new();
    if let Some(resource) = &resource {
        let is_fault =
            |issue: &&Issue| issue.severity <= Severity::Error || mode == ReadMode::Lenient && !is_odd(issue);
        let faulty = FaultyPaths(report.iter().filter(is_fault).map(|issue| issue.at.clone()).collect());
        // What a lenient read keeps is known, and checked as if it had been read strictly.
        let refused = Some(&faulty).filter(|_| mode == ReadMode::Strict);
        let mut found = walk_with(resource, resource.resource_type(), validator, refused);
        found.retain(|issue| {
            let meets = faulty.meets(&issue.at);
            if meets {
                skipped_rules.push(issue.clone());
            }
            !meets
        });
        if !found.is_empty() {
            locate(&mut found);
            report.append(found);
            report.sort();
        }
    }
    CheckResult { resource, report, skipped_rules }
}

/// Returns whether a finding of reading is about a value that is known all the same.
fn is_odd(issue: &Issue) -> bool {
    matches!(&*issue.rule, "blank" | "control-character" | "urn" | "uri-bracket")
}

/// The places where reading found a fault.
struct FaultyPaths(BTreeSet<String>);

impl FaultyPaths {
    /// Returns whether a fault is at `place`, below it or above it. The root is left out: all is below it.
    fn meets(&self, place: &str) -> bool {
        if !place.contains('.') || self.0.is_empty() {
            return false;
        }
        let below = |first: char| {
            let from = format!("{place}{first}");
            self.0.range(from.clone()..).next().is_some_and(|next| next.starts_with(&from))
        };
        let mut above = place.match_indices(['.', '[']).filter_map(|(end, _)| place.get(..end));
        self.0.contains(place)
            || above.any(|above| above.contains('.') && self.0.contains(above))
            || below('.')
            || below('[')
    }
}
