//! Errors with their causes.

use std::error::Error;

/// Returns an error and its causes, outermost first.
pub(crate) fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| link.source())
}

/// Formats an error with its causes on one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for link in chain(error) {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&link.to_string());
    }
    text
}
