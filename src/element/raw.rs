//! JSON kept as text because the model does not define it.

use super::reader::{ReadMode, Reader, Stop};
use crate::support::json_string_length;
use std::fmt;

/// One JSON value as text, every digit and escape as it was read, without white space between tokens.
///
/// ```
/// use fhir_devices::element::Raw;
///
/// let raw: Raw = r#"{ "a": [1.50, "\u00e9"] }"#.parse().unwrap();
/// assert_eq!(raw.as_str(), r#"{"a":[1.50,"\u00e9"]}"#);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(Box<str>);

/// The error for text that is not one JSON value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not one JSON value")]
#[non_exhaustive]
pub struct NotJson;

impl Raw {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Drops the white space between the tokens of a text that is known to be JSON.
    pub(crate) fn compact(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        push_compact(text, &mut out);
        Self(out.into_boxed_str())
    }
}

/// Appends a text that is known to be JSON without the white space between its tokens.
pub(super) fn push_compact(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        let (between, string) = rest.split_at(quote);
        out.extend(between.chars().filter(|c| !c.is_ascii_whitespace()));
        let end = json_string_length(string);
        let (string, after) = string.split_at(end);
        out.push_str(string);
        rest = after;
    }
    out.extend(rest.chars().filter(|c| !c.is_ascii_whitespace()));
}

impl std::str::FromStr for Raw {
    type Err = NotJson;

    fn from_str(text: &str) -> Result<Self, NotJson> {
        let mut reader = Reader::new(text, ReadMode::Strict);
        let at = crate::issue::Path::root("");
        reader.skip(&at).and_then(|()| reader.end()).map_err(|Stop| NotJson)?;
        Ok(Self::compact(text))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Members that the model does not define, kept by a lenient read and written back last.
///
/// Three kinds of members come here: those that FHIR STU3 does not name, those whose value is not of the element's
/// type (a code that is not in a required value set, a date that does not exist), and a member's second occurrence.
/// A strict read leaves this empty, as there the document is refused.
#[allow(clippy::box_collection, clippy::type_complexity, reason = "one word in every element, as a rule empty")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmodelled(Option<Box<Vec<(Box<str>, Raw)>>>);

impl Unmodelled {
    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the members, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.0.iter().flat_map(|members| members.iter()).map(|(name, raw)| (&**name, raw))
    }

    /// Returns the value of the first member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.iter().find(|(other, _)| *other == name).map(|(_, raw)| raw)
    }

    /// Adds a member at the end.
    pub fn push(&mut self, name: &str, raw: Raw) {
        self.0.get_or_insert_default().push((name.into(), raw));
    }
}
