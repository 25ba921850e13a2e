//! Request headers.

use super::Request;
use super::problem::{Problem, Result};
use crate::issue::Kind;
use crate::store::{MAX_CLOCK_SKEW, Precondition, VersionId};
use crate::support::{names_tag, read_http_date};
use time::OffsetDateTime;

/// What `If-Match` asks for.
pub(super) fn if_match(request: &Request<'_>) -> Result<Option<Precondition>> {
    let Some(text) = request.one("if-match") else { return Ok(None) };
    if text == "*" {
        return Ok(Some(Precondition::Exists));
    }
    match VersionId::from_etag(text) {
        Ok(version) => Ok(Some(Precondition::Version(version))),
        // A tag in the right form that we never gave out: no version has it.
        Err(error) if text.trim_start_matches("W/").len() > 1 && text.ends_with('"') => {
            Err(Problem::new(409, Kind::Conflict, "version-conflict", error))
        }
        Err(error) => Err(Problem::new(400, Kind::Value, "if-match", error)),
    }
}

/// Whether the client has what it asks for: `If-None-Match` names the tag, or else nothing was changed since
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

pub(super) fn prefers(request: &Request<'_>) -> Return {
    match request.one("prefer").unwrap_or_default() {
        prefer if prefer.contains("return=minimal") => Return::Minimal,
        prefer if prefer.contains("return=OperationOutcome") => Return::Outcome,
        _ => Return::Representation,
    }
}

/// Whether parameters that are not known shall be passed over.
pub(super) fn is_lenient(request: &Request<'_>) -> bool {
    request.one("prefer").is_some_and(|prefer| prefer.contains("handling=lenient"))
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
}
