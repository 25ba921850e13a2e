//! OperationOutcome: the FHIR form of a [`Report`].

use crate::datatype::{CodeableConcept, Coding, Extension, ExtensionValue, Primitive};
use crate::element::Value;
use crate::issue::{self, IssueType, Position, Report, Severity};
use crate::primitive::{CanonicalBase, CanonicalName, Code, Text};

/// The system of the rule keys in `details.coding`: the keys of the specification and our own. It is
/// the one under the default base; see [`OperationOutcome::under`].
pub const RULE_SYSTEM: &str = CanonicalName::RuleSystem.default_url();

/// The extension of an issue that names the row of the definition that was broken, such as `Coding.code`: the place in
/// the specification, as opposed to the one in the document, which is `expression`. It is the one under the default base; see
/// [`OperationOutcome::under`].
pub const ROW_EXTENSION: &str = CanonicalName::Row.default_url();

resource! {
    /// The outcome of an operation: errors, warnings and information.
    ///
    /// A [`Report`] turns into one and back without a loss; a report without findings becomes one issue that says so.
    /// The manual has [which part goes where](crate::manual::conformance#a-report-as-an-operationoutcome).
    ///
    /// ```
    /// use fhir_devices::{Device, OperationOutcome, Report};
    ///
    /// let report = Device::from_json(br#"{"resourceType":"Device","status":"available"}"#).unwrap_err();
    /// let outcome = OperationOutcome::from(&report);
    /// assert!(outcome.to_json().contains(r#""expression":["Device.status"]"#));
    /// assert_eq!(Report::from(&outcome), report);
    /// ```
    pub struct OperationOutcome is "OperationOutcome" {
        /// The findings.
        issue "issue" [1..*] Issue;
    }
}

backbone! {
    /// One finding of an [`OperationOutcome`].
    pub struct Issue at "OperationOutcome.issue" {
        /// The severity.
        severity "severity" [1..1] Primitive<Severity>;
        /// The issue type.
        code "code" [1..1] Primitive<IssueType>;
        /// More about it, coded.
        details "details" [0..1] CodeableConcept;
        /// More about it, in words.
        diagnostics "diagnostics" [0..1] Primitive<Text>;
        /// The place, in another notation than FHIRPath.
        location "location" [0..*] Primitive<Text>;
        /// The place, as a FHIRPath expression.
        expression "expression" [0..*] Primitive<Text>;
    }
}

impl Issue {
    /// Creates a finding.
    #[must_use]
    pub fn new(severity: Severity, code: IssueType) -> Self {
        Self { severity: severity.into(), code: code.into(), ..Self::blank() }
    }
}

impl OperationOutcome {
    /// Returns an outcome with one finding, in words.
    #[must_use]
    pub fn of(severity: Severity, code: IssueType, words: &str) -> Self {
        let mut issue = Issue::new(severity, code);
        issue.diagnostics = Text::new(words).ok().map(Primitive::from);
        Self { issue: vec![issue], ..Self::blank() }
    }

    /// Returns the same, with the URLs of this crate under a base of the caller's: [`RULE_SYSTEM`] and
    /// [`ROW_EXTENSION`] stand under the default one. A [`Report`] is read from either.
    ///
    /// ```
    /// use fhir_devices::{Device, OperationOutcome, Report, primitive::CanonicalBase};
    ///
    /// let report = Device::from_json(br#"{"resourceType":"Device","status":"available"}"#).unwrap_err();
    /// let outcome = OperationOutcome::from(&report).under(&CanonicalBase::new("https://fhir.hospital.example")?);
    /// assert!(outcome.to_json().contains("https://fhir.hospital.example/CodeSystem/fhir-devices-rule"));
    /// assert_eq!(Report::from(&outcome), report);
    /// # Ok::<(), fhir_devices::primitive::InvalidCanonicalBase>(())
    /// ```
    #[must_use]
    pub fn under(mut self, base: &CanonicalBase) -> Self {
        for issue in &mut self.issue {
            for extension in issue.extension.iter_mut().filter(|it| CanonicalName::Row.matches(it.url.as_str())) {
                extension.url = base.url(CanonicalName::Row);
            }
            let codings = issue.details.iter_mut().flat_map(|details| &mut details.coding);
            for system in codings.filter_map(|coding| coding.system.as_mut()?.value.as_mut()) {
                if CanonicalName::RuleSystem.matches(system.as_str()) {
                    *system = base.url(CanonicalName::RuleSystem);
                }
            }
        }
        self
    }
}

impl From<&Report> for OperationOutcome {
    fn from(report: &Report) -> Self {
        if report.is_empty() {
            return Self::of(Severity::Information, IssueType::Informational, "no fault was found");
        }
        Self { issue: report.iter().map(Issue::from).collect(), ..Self::blank() }
    }
}

impl From<&issue::Issue> for Issue {
    fn from(finding: &issue::Issue) -> Self {
        let text = |text: &str| Text::new(text).ok().map(Primitive::from);
        let rule = Coding {
            system: Some(CanonicalBase::default().url(CanonicalName::RuleSystem).into()),
            code: Code::new(&*finding.rule).ok().map(Primitive::from),
            ..Coding::default()
        };
        let url = CanonicalBase::default().url(CanonicalName::Row);
        let position = finding.position.map(|position| position.to_string());
        let row = text(&finding.row);
        Self {
            extension: row.map(|row| Extension::new(url, row)).into_iter().collect(),
            details: Some(CodeableConcept::from(rule)),
            diagnostics: text(&finding.message),
            location: position.as_deref().and_then(text).into_iter().collect(),
            expression: expressions(finding),
            ..Self::new(finding.severity, finding.kind)
        }
    }
}

/// Returns the place of a finding; for one about a conversion those in both documents behind it, where they differ.
fn expressions(finding: &issue::Issue) -> Vec<Primitive<Text>> {
    let mut places = vec![finding.at.as_str()];
    let both = finding.places.iter().flat_map(|both| [&both.source, &both.target]).filter_map(Option::as_deref);
    for place in both {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.into_iter().filter_map(|place| Text::new(place).ok()).map(Primitive::from).collect()
}

impl From<&OperationOutcome> for Report {
    /// Returns the findings of an outcome. A finding without a severity counts as an error; a hint that there are none
    /// is left out.
    fn from(outcome: &OperationOutcome) -> Self {
        let nothing = |issue: &&Issue| issue.code.value != Some(IssueType::Informational) || issue.details.is_some();
        outcome.issue.iter().filter(nothing).map(finding).collect()
    }
}

fn finding(issue: &Issue) -> issue::Issue {
    let first = |texts: &[Primitive<Text>]| {
        texts.first().and_then(|text| text.value.as_ref()).map(|text| text.as_str().to_owned())
    };
    let rule = issue.details.as_ref().and_then(|details| details.coding.first());
    let rule = rule.and_then(|coding| coding.code.as_ref()).and_then(|code| code.value.as_ref());
    let row = issue.extension.iter().find(|extension| CanonicalName::Row.matches(extension.url.as_str()));
    let row = row.and_then(|extension| match &extension.value {
        Some(ExtensionValue::String(row)) => row.value.as_ref(),
        _ => None,
    });
    let words = issue.diagnostics.as_ref().and_then(|words| words.value.as_ref());
    let made = issue::Issue::new(
        rule.map(|code| code.as_str().to_owned()).unwrap_or_default(),
        issue.severity.value.unwrap_or(Severity::Error),
        issue.code.value.unwrap_or(IssueType::Processing),
        first(&issue.expression).unwrap_or_default(),
        words.map(|words| words.as_str().to_owned()).unwrap_or_default(),
    );
    let made = made.with_row(row.map(|row| row.as_str().to_owned()).unwrap_or_default());
    match first(&issue.location).as_deref().and_then(position) {
        Some(position) => made.with_position(position),
        None => made,
    }
}

/// Reads the text form of a [`Position`].
fn position(text: &str) -> Option<Position> {
    let (line, column) = text.strip_prefix("line ")?.split_once(", column ")?;
    Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
}
