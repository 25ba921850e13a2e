//! Issues found in a document, each with its path.
//!
//! Invalid data is reported as a value: an [`Issue`] for each finding, in a flat [`Report`] in document order. An
//! operation that fails returns an error, which is another type.

mod issue_type;
mod path;
mod report;

pub use issue_type::{IssueType, Severity};
pub use path::Path;
pub use report::{Issue, Places, Position, Report};
