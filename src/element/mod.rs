//! How types are declared, read, written and validated.
//!
//! Every FHIR type of this crate is declared row by row in one place. The rows are data too ([`Definition`]), and a
//! test holds them to the published definitions.

#[macro_use]
mod declare;
mod definition;
mod raw;
mod reader;
mod scalar;
mod scan;
mod value;
mod writer;

pub use definition::{Definition, Element, ElementDef, Max, RuleDef, TypeDef};
pub use raw::{NotJson, Raw, Unmodelled};
#[cfg(feature = "xml")]
pub(crate) use reader::Origin;
pub(crate) use reader::TOO_MANY_ELEMENTS;
pub(crate) use reader::{LineIndex, Member, Outcome, PartCheck, Read, Reader, Seen, Sink, Stop};
pub use reader::{MAX_DEPTH, ReadMode};
pub use scalar::{Malformed, Scalar, Token};
pub(crate) use scan::plain_value;
pub(crate) use value::{Choice, Slot, Value, read_choice};
pub use value::{Facts, Node};
pub(crate) use writer::Writer;
#[cfg(feature = "xml")]
pub(crate) use writer::push_string;

use crate::issue::{Issue, IssueType, Path, Report, Severity};

/// The text of an id, whether it is a primitive with extensions or bare.
pub(crate) trait IdText {
    fn id_text(&self) -> Option<&str>;
}

/// Reports a required element that a document lacks.
pub(crate) fn missing(r: &mut Reader<'_>, at: &Path<'_>, name: &str, present: bool) {
    if !present {
        let message = format!("`{name}` is missing, wanted at least one");
        r.find(r.offset(), "min-cardinality", IssueType::Required, &at.child(name), message);
    }
}

/// Reports a required element that a value lacks.
pub(crate) fn absent(at: &Path<'_>, name: &str, owner: &'static str, blank: bool, report: &mut Report) {
    if blank && !report.counts(Severity::Error) {
        let message = format!("`{name}` is missing, wanted at least one");
        let issue = Issue::new("min-cardinality", Severity::Error, IssueType::Required, at.child(name), message);
        report.push(issue.with_row(format!("{owner}.{name}")));
    }
}

/// Reports an element without value and members.
pub(crate) fn report_empty(at: &Path<'_>, owner: &'static str, report: &mut Report) {
    if report.counts(Severity::Error) {
        return;
    }
    let message = "found an element without content, wanted a value or members";
    report.push(Issue::new("ele-1", Severity::Error, IssueType::Invariant, at, message).with_row(owner));
}

/// Reports a broken rule.
#[cold]
pub(crate) fn broken(key: &'static str, message: &str, owner: &'static str, at: &Path<'_>, report: &mut Report) {
    if !report.counts(Severity::Error) {
        report.push(Issue::new(key, Severity::Error, IssueType::Invariant, at, message).with_row(owner));
    }
}
