//! Checks of codes that several datatypes have: UCUM units and BCP 47 languages.

use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{TagFault, check_tag};

/// The code system of UCUM.
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// The system of language tags.
pub(crate) const BCP_47: &str = "urn:ietf:bcp:47";

/// Reports a unit that UCUM does not have. Its tables come with the feature `ucum`.
#[cfg(feature = "ucum")]
pub(super) fn check_unit(code: &str, at: &Path<'_>, row: &'static str, report: &mut Report) {
    use octofhir_ucum::{evaluate, parse_expression};
    /// No unit in use is as long, and a longer one is not worth the time of a parser.
    const LONGEST: usize = 256;
    let reason = if code.len() > LONGEST {
        format!("it has more than {LONGEST} characters")
    } else {
        let failure = match parse_expression(code) {
            Ok(parsed) => evaluate(&parsed).err(),
            Err(error) => Some(error),
        };
        let Some(failure) = failure else { return };
        failure.to_string()
    };
    let message = format!("`{code}` is not a unit of UCUM: {reason}");
    report.push(Issue::new("ucum", Severity::Error, IssueType::CodeInvalid, at, message).with_row(row));
}

/// Without the tables of UCUM no unit is checked.
#[cfg(not(feature = "ucum"))]
pub(super) fn check_unit(_: &str, _: &Path<'_>, _: &'static str, _: &mut Report) {}

/// Reports a language tag that BCP 47 does not allow, and a subtag that is not registered.
pub(crate) fn check_language(tag: &str, at: &Path<'_>, row: &'static str, report: &mut Report) {
    let (severity, message) = match check_tag(tag) {
        Ok(()) => return,
        Err(TagFault::Malformed) => {
            (Severity::Error, format!("`{tag}` is no language tag of BCP 47, wanted one such as `de-CH`"))
        }
        Err(TagFault::Unregistered(subtag)) => {
            (Severity::Warning, format!("the subtag `{subtag}` of the language `{tag}` is not registered for BCP 47"))
        }
    };
    report.push(Issue::new("language", severity, IssueType::CodeInvalid, at, message).with_row(row));
}
