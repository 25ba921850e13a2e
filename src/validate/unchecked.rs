//! Reporting codes that were not checked because their value set is not available.

use super::validator::{code, words};
use crate::datatype::{Attachment, Coding, Primitive, Signature};
use crate::element::Node;
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::Code;
use crate::resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome};

/// The rows that are bound to a value set which is neither closed nor carried: the type and the name, how binding the
/// set is, and its address.
const OPEN: [(&str, &str, &str, &str); 9] = [
    ("Device", "type", "example", "http://hl7.org/fhir/ValueSet/device-kind"),
    ("Device", "safety", "example", "http://hl7.org/fhir/ValueSet/device-safety"),
    ("DeviceComponent", "type", "preferred", "http://hl7.org/fhir/ValueSet/device-kind"),
    ("DeviceComponent", "languageCode", "extensible", LANGUAGES),
    ("DeviceMetric", "type", "preferred", "http://hl7.org/fhir/ValueSet/devicemetric-type"),
    ("DeviceMetric", "unit", "preferred", "http://hl7.org/fhir/ValueSet/devicemetric-type"),
    ("Meta", "security", "extensible", "http://hl7.org/fhir/ValueSet/security-labels"),
    ("Meta", "tag", "example", "http://hl7.org/fhir/ValueSet/common-tags"),
    ("OperationOutcome.issue", "details", "example", "http://hl7.org/fhir/ValueSet/operation-outcome"),
];

/// The common languages; any tag of BCP 47 may stand beside them.
const LANGUAGES: &str = "http://hl7.org/fhir/ValueSet/languages";

const MEDIA_TYPES: &str = "http://www.rfc-editor.org/bcp/bcp13.txt";

/// Notes the codings of the row `at` of the type `owner`, where no set for it is at hand.
pub(super) fn codings(owner: &str, codings: &[Coding], at: &Path<'_>, report: &mut Report) {
    let bound = OPEN.iter().find(|(path, name, ..)| *path == owner && *name == at.name());
    let coded: Vec<String> = codings.iter().filter(|coding| code(coding).is_some()).map(words).collect();
    if let Some((_, name, strength, value_set)) = bound
        && !coded.is_empty()
    {
        note(&coded.join(", "), strength, value_set, at, format!("{owner}.{name}"), report);
    }
}

/// Notes the members of a node that are codes alone, where no set for them is at hand.
pub(super) fn codes(node: &dyn Node, at: &Path<'_>, report: &mut Report) {
    let (Some(any), Some(definition)) = (node.as_any(), node.definition()) else { return };
    let mut member = |name: &str, strength: &str, value_set: &str, code: &Option<Primitive<Code>>| {
        if let Some(code) = code.as_ref().and_then(|code| code.value.as_ref()) {
            let row = format!("{}.{name}", definition.path);
            note(&format!("`{code}`"), strength, value_set, &at.child(name), row, report);
        }
    };
    macro_rules! language {
        ($($Type:ident)*) => { $(
            if let Some(one) = any.downcast_ref::<$Type>() {
                member("language", "extensible", LANGUAGES, &one.language);
            }
        )* };
    }
    if let Some(attachment) = any.downcast_ref::<Attachment>() {
        member("contentType", "required", MEDIA_TYPES, &attachment.content_type);
    }
    language!(Device DeviceComponent DeviceMetric Bundle OperationOutcome Attachment);
    if let Some(signature) = any.downcast_ref::<Signature>() {
        member("contentType", "required", MEDIA_TYPES, &signature.content_type);
    }
}

fn note(found: &str, strength: &str, value_set: &str, at: &Path<'_>, row: String, report: &mut Report) {
    let message = format!("{found} was not checked: the value set `{value_set}` ({strength}) is not available");
    let issue = Issue::new("unchecked-code", Severity::Information, IssueType::Informational, at, message);
    report.push(issue.with_row(row));
}
