//! Request headers.

use super::Request;
use super::problem::{Problem, Result};
use crate::issue::IssueType;
use crate::store::{MAX_CLOCK_SKEW, Precondition, VersionId};
use crate::support::{names_tag, read_http_date};
use time::OffsetDateTime;

/// What `If-Match` asks for: any version, or one of those that it lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    Any,
    OneOf(Vec<VersionId>),
}

impl IfMatch {
    /// Returns the condition of a write over a version; nothing of it is known where the resource was not read.
    pub(super) fn over(&self, current: Option<VersionId>) -> Precondition {
        match self {
            Self::Any => Precondition::Exists,
            Self::OneOf(listed) => {
                let known = current.filter(|current| listed.contains(current)).or_else(|| listed.first().copied());
                known.map_or(Precondition::Exists, Precondition::Version)
            }
        }
    }

    /// Returns whether versions are named, so that the write fails where it is another one by now.
    pub(super) fn names_a_version(&self) -> bool {
        matches!(self, Self::OneOf(_))
    }
}

/// Reads `If-Match`, which may list several tags.
pub(super) fn if_match(request: &Request<'_>) -> Result<Option<IfMatch>> {
    let text = request.all("if-match");
    let mut tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).peekable();
    if tags.peek().is_none() {
        return Ok(None);
    }
    let (mut listed, mut foreign) = (Vec::new(), None);
    for tag in tags {
        if tag == "*" {
            return Ok(Some(IfMatch::Any));
        }
        match VersionId::from_etag(tag) {
            Ok(version) => listed.push(version),
            // A tag in the right form that we never gave out: no version has it.
            Err(error) if tag.trim_start_matches("W/").len() > 1 && tag.ends_with('"') => foreign = Some(error),
            Err(error) => return Err(Problem::new(400, IssueType::Value, "if-match", error)),
        }
    }
    match foreign {
        Some(error) if listed.is_empty() => Err(Problem::new(409, IssueType::Conflict, "version-conflict", error)),
        _ => Ok(Some(IfMatch::OneOf(listed))),
    }
}

/// Returns whether the client has what it asks for: `If-None-Match` names the tag, or else nothing was changed since
/// `If-Modified-Since`. Tags are compared weakly.
pub(super) fn client_has(request: &Request<'_>, tag: &str, changed: OffsetDateTime, now: OffsetDateTime) -> bool {
    if request.one("if-none-match").is_some() {
        return names_tag(&request.all("if-none-match"), tag);
    }
    let since = request.one("if-modified-since").and_then(read_http_date);
    // The header knows no parts of a second. A time that is yet to come was given while the clock was wrong.
    since.is_some_and(|since| changed.unix_timestamp() <= since.unix_timestamp() && since <= now + MAX_CLOCK_SKEW)
}

/// How much of a resource the client wants to see after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    Representation,
    Minimal,
    Outcome,
}

/// The treatment of unknown search parameters: the preference `handling` of RFC 7240, and the default of a server.
///
/// ```
/// use fhir_devices::rest::Handling;
/// assert_eq!(Handling::default(), Handling::Lenient);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handling {
    /// Search parameters that are not known are passed over, and named in an outcome of the answer.
    #[default]
    Lenient,
    /// Unknown search parameters are refused.
    Strict,
}

/// Returns the preferences of a request that count here. Of several with one name the first counts.
fn preference(request: &Request<'_>, name: &str) -> Option<String> {
    let text = request.all("prefer");
    let mut quoted = false;
    let preferences = text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    // What follows a semicolon are parameters of the preference.
    let mut pairs = preferences.filter_map(|one| one.split(';').next()?.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// Returns how much of a resource the client wants to see after a write.
pub(super) fn prefers(request: &Request<'_>) -> Return {
    match preference(request, "return").as_deref() {
        Some("minimal") => Return::Minimal,
        Some("OperationOutcome") => Return::Outcome,
        _ => Return::Representation,
    }
}

/// Returns whether the client says that it wants to see what it writes.
pub(super) fn wants_representation(request: &Request<'_>) -> bool {
    preference(request, "return").is_some_and(|value| value == "representation")
}

/// Returns what the client asks to be done with what is not known, where it does.
pub(super) fn handling(request: &Request<'_>) -> Option<Handling> {
    match preference(request, "handling")?.as_str() {
        "lenient" => Some(Handling::Lenient),
        "strict" => Some(Handling::Strict),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn if_none_match_and_modified_since_are_evaluated() {
        let changed = datetime!(2017-04-19 10:00:00.5 UTC);
        let now = datetime!(2017-05-01 00:00 UTC);
        let asked = |name: &'static str, value: &'static str| {
            client_has(&Request::new("GET", "").header(name, value), "W/\"3\"", changed, now)
        };
        assert!(asked("If-None-Match", "\"1\", \"3\"") && asked("If-None-Match", "*"));
        assert!(!asked("If-None-Match", "W/\"1\""));
        assert!(asked("If-Modified-Since", "Wed, 19 Apr 2017 10:00:00 GMT"));
        assert!(!asked("If-Modified-Since", "Wed, 19 Apr 2017 09:59:59 GMT"));
        assert!(!asked("If-Modified-Since", "yesterday"));
        // Of a version that was made while the clock was ahead; a later one has a true time.
        assert!(!asked("If-Modified-Since", "Tue, 19 Apr 2022 10:00:00 GMT"));
    }

    #[test]
    fn preferences_are_parsed() {
        let asked = |value: &'static str| Request::new("PUT", "").header("Prefer", value);
        for (value, wanted) in [
            ("return=minimal", Return::Minimal),
            ("respond-async, return=\"minimal\"; foo=bar", Return::Minimal),
            ("RETURN = OperationOutcome", Return::Outcome),
            ("return=representation, return=minimal", Return::Representation),
            ("x=\"a, return=minimal\"", Return::Representation),
            ("not-return=minimal", Return::Representation),
        ] {
            assert_eq!(prefers(&asked(value)), wanted, "{value}");
        }
        assert_eq!(handling(&asked("return=minimal, handling=strict")), Some(Handling::Strict));
        assert_eq!(handling(&asked("handling=lenient;a=b")), Some(Handling::Lenient));
        assert_eq!(handling(&asked("handling=other")), None);
    }

    #[test]
    fn several_tags_may_be_listed() {
        let read = |value: &'static str| if_match(&Request::new("PUT", "").header("If-Match", value));
        let version = |number| VersionId::new(number).unwrap();
        let listed = read("W/\"2\", \"3\", \"foreign\"").unwrap().unwrap();
        assert_eq!(listed, IfMatch::OneOf(vec![version(2), version(3)]));
        assert_eq!(listed.over(Some(version(3))), Precondition::Version(version(3)));
        assert_eq!(listed.over(Some(version(4))), Precondition::Version(version(2)));
        assert_eq!(read("*").unwrap(), Some(IfMatch::Any));
        assert_eq!(read(",").unwrap(), None);
        assert_eq!(read("\"foreign\"").unwrap_err().status(), 409);
        assert_eq!(read("3").unwrap_err().status(), 400);
    }
}
