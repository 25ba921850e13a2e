//! Issues found in a document, each with its path.
//!
//! Wrong data is a value, never thrown: an [`Issue`] for each finding, in a flat [`Report`] in the order of the
//! document. What could not be *done* is an error of the operation, and another type.

mod issue_type;
mod path;
mod report;

pub use issue_type::{IssueType, Severity};
pub use path::Path;
pub use report::{Issue, Places, Position, Report};
