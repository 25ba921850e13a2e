//! Checking the text of references.

use super::container::{Container, Referred};
use super::walk::Walk;
use crate::datatype::{Literal, REF_1, plain_id};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{Uri, is_absolute, urn_fault};

/// Checks the text of a reference.
pub(super) fn check(
    literal: &str,
    targets: &[&str],
    at: &Path<'_>,
    container: &mut Container<'_>,
    w: &Walk<'_>,
    report: &mut Report,
) {
    if targets.iter().any(|target| plain_id(literal, target).is_some()) {
        return;
    }
    let mut find = |rule: &'static str, severity: Severity, kind: IssueType, row: &'static str, message: String| {
        report.push(Issue::new(rule, severity, kind, at, message).with_row(row));
    };
    match Literal::parse(literal) {
        Literal::Relative { .. } | Literal::Absolute { .. } => {}
        Literal::Contained { id } => match container.refer(id, Referred::ByReference) {
            Some(found) if !targets.is_empty() && !targets.contains(&found.resource_type) => {
                let (found, wanted) = (found.resource_type, targets.join(" or "));
                let message = format!("the contained resource `{literal}` is a {found}, wanted {wanted}");
                find("reference-target", Severity::Error, IssueType::Value, "Reference", message);
            }
            Some(_) => {}
            None if container.doubtful => {}
            None => {
                let message = format!("no contained resource has the id of the reference `{literal}`");
                find(REF_1.key, Severity::Error, IssueType::Invariant, "Reference", message);
            }
        },
        Literal::Conditional { .. } if w.transaction => {}
        Literal::Conditional { .. } => {
            let message =
                format!("`{literal}` is a conditional reference, which only an entry of a transaction may have");
            find("conditional-reference", Severity::Warning, IssueType::Value, "Reference.reference", message);
        }
        Literal::Urn(text) => {
            if let Some(reason) = urn_fault(text) {
                let message = format!("`{text}` is no URN of its namespace: {reason}");
                find("urn", Severity::Warning, IssueType::Value, "Reference.reference", message);
            }
        }
        Literal::Other(text) if container.contains(text) => {
            let message = format!("`{text}` is not a reference, wanted `#{text}` for the contained resource");
            find("reference-form", Severity::Error, IssueType::Value, "Reference.reference", message);
        }
        Literal::Other(text) => {
            let message = if !is_absolute(text) {
                format!(
                    "`{text}` is not a reference, wanted `Type/id`, an absolute URL, or `#id` of a contained resource"
                )
            } else if let Err(malformed) = Uri::new(text) {
                malformed.to_string()
            } else {
                return;
            };
            find("reference-form", Severity::Warning, IssueType::Value, "Reference.reference", message);
        }
    }
}
