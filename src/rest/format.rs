//! Which version of FHIR a client sends and wants: the parameter `fhirVersion` of the media type.

use super::problem::{Problem, Result};
use super::{FHIR_JSON, JSON_PATCH, Request, Response};
use crate::convert::Version;
use std::cmp::Reverse;
use url::form_urlencoded;

/// In which version of FHIR a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) version: Version,
    /// Whether the client named it.
    named: bool,
}

impl Default for Format {
    fn default() -> Self {
        Self { version: Version::Stu3, named: false }
    }
}

impl Format {
    /// What a request asks for: by `_format`, or else by `Accept`. Where neither names a version the answer has that of the
    /// body.
    pub(super) fn of(request: &Request<'_>) -> Result<Self> {
        let sent = sent(request);
        let accepted = request.all("accept");
        // `_format` goes before `Accept`, for clients that cannot set a header.
        let Some(format) = format_parameter(&request.query) else {
            return match &*accepted {
                "" => Ok(sent),
                accepted => negotiated(accepted, sent).ok_or_else(|| not_written(accepted)),
            };
        };
        let wanted = MediaRange::read(&format);
        if !(is_json(wanted.name) || wanted.name == "json") {
            return Err(not_written(&format));
        }
        match wanted.version {
            Some(version) => match Version::from_mime(version) {
                Some(version) => Ok(Self { version, named: true }),
                None => Err(not_written(&format)),
            },
            None => Ok(negotiated(&accepted, sent).unwrap_or(sent)),
        }
    }

    /// Whether the answer is written as the resources are stored.
    pub(super) fn is_stu3(self) -> bool {
        self.version == Version::Stu3
    }

    /// The parameter that keeps the version in a link to another page.
    pub(super) fn parameter(self) -> Option<(&'static str, String)> {
        (!self.is_stu3()).then(|| ("_format", self.media_type()))
    }

    fn media_type(self) -> String {
        format!("{FHIR_JSON}; fhirVersion={}", self.version.mime())
    }

    /// The answer with its version in the `Content-Type`, and with what it depends on.
    pub(super) fn label(self, mut response: Response) -> Response {
        if self.named || !self.is_stu3() {
            let kinds =
                response.headers.iter_mut().filter(|(name, value)| *name == "content-type" && value == FHIR_JSON);
            kinds.for_each(|(_, value)| *value = self.media_type());
        }
        response.with("vary", "Accept")
    }

    /// Refuses an entry of a batch that asks for another version than the batch.
    pub(super) fn allows(self, request: &Request<'_>) -> Result<()> {
        let asked = Self::of(request)?;
        if asked.named && asked.version != self.version {
            let (asked, own) = (asked.version.mime(), self.version.mime());
            let words = format!("the request asks for FHIR {asked}, and its Bundle is answered in FHIR {own}");
            return Err(Problem::unsupported(406, "format", words));
        }
        Ok(())
    }
}

/// The version of FHIR of a body, which is JSON by its `Content-Type`.
pub(super) fn body_version(request: &Request<'_>) -> Result<Version> {
    let kind = request.all("content-type");
    let media = MediaRange::read(&kind);
    if !is_json(media.name) {
        let found =
            if kind.is_empty() { "the body has no `Content-Type`".to_owned() } else { format!("the body is `{kind}`") };
        return Err(Problem::unsupported(415, "content-type", format_args!("{found}, and {FHIR_JSON} is wanted")));
    }
    match media.version {
        None => Ok(Version::Stu3),
        Some(version) => Version::from_mime(version).ok_or_else(|| {
            let words = format!("the body is `{kind}`, and {} is wanted", versions());
            Problem::unsupported(415, "content-type", words)
        }),
    }
}

/// The version of FHIR of the resource that a patch is for: that of its `Content-Type`, or else that of the answer.
pub(super) fn patched_version(request: &Request<'_>, answer: Format) -> Result<Version> {
    let kind = request.all("content-type");
    let Some(version) = MediaRange::read(&kind).version else { return Ok(answer.version) };
    Version::from_mime(version).ok_or_else(|| {
        let words = format!("the patch is `{kind}`, and is wanted for one of {}", versions());
        Problem::unsupported(415, "content-type", words)
    })
}

/// The version of the body, if there is one.
fn sent(request: &Request<'_>) -> Format {
    let kind = request.all("content-type");
    let media = MediaRange::read(&kind);
    let is_ours = is_json(media.name) || media.name.eq_ignore_ascii_case(JSON_PATCH);
    let version = media.version.filter(|_| is_ours).and_then(Version::from_mime);
    version.map_or_else(Format::default, |version| Format { version, named: true })
}

/// The value of `_format` in a query.
fn format_parameter(query: &str) -> Option<String> {
    if !query.contains("_format") {
        return None;
    }
    let (_, format) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_format")?;
    // A `+` that was not encoded came out as a blank.
    let (name, parameters) = format.split_once(';').unwrap_or((&format, ""));
    Some(format!("{};{}", name.trim().replace(' ', "+"), parameters.trim_matches([' ', '+'])))
}

fn not_written(wanted: &str) -> Problem {
    let wanted = wanted.trim_end_matches(';');
    let words = format!("`{wanted}` is asked for, and this service writes only {}", versions());
    Problem::unsupported(406, "format", words)
}

fn versions() -> String {
    let numbers: Vec<&str> = Version::ALL.into_iter().map(Version::mime).collect();
    format!("{FHIR_JSON} with the `fhirVersion` {}", numbers.join(", "))
}

/// The best version of those that an `Accept` header takes; nothing where it takes none. `sent` is that of the body.
///
/// Each version has the weight of the range that describes it most closely. Of several with the same weight the one whose
/// range stands first is taken, and `sent` where one range takes in all.
fn negotiated(accepted: &str, sent: Format) -> Option<Format> {
    let ranges: Vec<MediaRange<'_>> = accepted.split(',').map(MediaRange::read).collect();
    let others = Version::ALL.into_iter().filter(|version| *version != sent.version);
    let best = std::iter::once(sent.version).chain(others).filter_map(|version| {
        let fitting =
            ranges.iter().enumerate().filter_map(|(at, range)| Some((range.fit(version)?, Reverse(at), range)));
        let (_, Reverse(at), range) = fitting.max_by_key(|(fit, at, _)| (*fit, *at))?;
        (range.weight > 0).then_some((range.weight, Reverse(at), version, range.version.is_some()))
    });
    // Of those that are equal the last one is the greatest, and the first one is wanted.
    let mut best: Vec<_> = best.collect();
    best.reverse();
    let (_, _, version, named) = best.into_iter().max_by_key(|(weight, at, ..)| (*weight, *at))?;
    Some(Format { version, named: named || version == sent.version && sent.named })
}

/// One range of an `Accept` header, or a media type.
#[derive(Clone, Copy, Debug)]
struct MediaRange<'a> {
    name: &'a str,
    /// The parameter `fhirVersion`.
    version: Option<&'a str>,
    /// The weight in thousandths.
    weight: u16,
}

impl<'a> MediaRange<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { name: parts.next().unwrap_or_default(), version: None, weight: 1_000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("fhirVersion") {
                range.version = Some(value);
            } else if name.eq_ignore_ascii_case("q") {
                range.weight = thousandths(value);
            }
        }
        range
    }

    /// How closely the range describes JSON of a version; nothing where it does not.
    fn fit(&self, version: Version) -> Option<u8> {
        let name = match self.name {
            "*/*" => 0,
            name if name.eq_ignore_ascii_case("application/*") => 1,
            name if is_json(name) => 2,
            _ => return None,
        };
        match self.version {
            None => Some(name),
            Some(wanted) => (wanted == version.mime()).then_some(name + 3),
        }
    }
}

/// A weight, such as `0.8`. What is no weight counts as the highest.
fn thousandths(text: &str) -> u16 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let rest: String = rest.chars().chain("000".chars()).take(3).collect();
    match (whole, rest.parse::<u16>()) {
        ("0", Ok(rest)) => rest,
        _ => 1_000,
    }
}

/// Whether a media type is JSON, in one of the names that FHIR clients have for it.
fn is_json(name: &str) -> bool {
    ["application/fhir+json", "application/json", "application/json+fhir", "text/json"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str, query: &str, content: &str) -> Result<Format> {
        let mut request = Request::new("GET", "Device").query(query.to_owned());
        for (name, value) in [("Accept", accept), ("Content-Type", content)] {
            if !value.is_empty() {
                request = request.header(name, value.to_owned());
            }
        }
        Format::of(&request)
    }

    #[test]
    fn response_version_follows_accept() {
        let r4 = "application/fhir+json; fhirVersion=4.0";
        for (accept, query, content, version) in [
            ("", "", "", Version::Stu3),
            ("*/*", "", "", Version::Stu3),
            ("application/fhir+json", "", "", Version::Stu3),
            (r4, "", "", Version::R4),
            ("application/fhir+json;FHIRVERSION=\"4.3\"", "", "", Version::R4B),
            ("application/json; charset=utf-8; fhirVersion=5.0", "", "", Version::R5),
            ("application/fhir+json; fhirVersion=1.0, application/fhir+json; fhirVersion=5.0", "", "", Version::R5),
            ("application/fhir+json; fhirVersion=4.0; q=0.5, application/fhir+json", "", "", Version::Stu3),
            ("application/fhir+json; fhirVersion=4.0, application/fhir+json; q=0.9", "", "", Version::R4),
            ("application/fhir+json; fhirVersion=4.0, */*", "", "", Version::R4),
            ("application/fhir+json; fhirVersion=3.0; q=0, */*; q=0.1", "", "", Version::R4),
            ("application/fhir+xml, application/fhir+json; fhirVersion=4.3; q=0.8", "", "", Version::R4B),
            ("", "", r4, Version::R4),
            ("application/fhir+json", "", r4, Version::R4),
            ("application/fhir+json; fhirVersion=3.0", "", r4, Version::Stu3),
            ("", "_format=json", "", Version::Stu3),
            (r4, "_format=json", "", Version::R4),
            ("text/html", "_format=json", "", Version::Stu3),
            ("", "_format=application/fhir+json;%20fhirVersion=4.0", "", Version::R4),
            ("", "_format=application/fhir+json;+fhirVersion=4.0", "", Version::R4),
            (r4, "_count=3&_format=application%2Ffhir%2Bjson%3B+fhirVersion%3D5.0", "", Version::R5),
        ] {
            assert_eq!(of(accept, query, content).unwrap().version, version, "{accept} {query} {content}");
        }
        for (accept, query) in [
            ("application/fhir+json; fhirVersion=1.0", ""),
            ("application/fhir+json; fhirVersion=4.0.1", ""),
            ("application/fhir+json; fhirVersion=4.0; q=0", ""),
            ("application/fhir+xml", ""),
            ("", "_format=xml"),
            ("", "_format=application/fhir+json;fhirVersion=2.0"),
        ] {
            assert_eq!(of(accept, query, "").unwrap_err().status(), 406, "{accept} {query}");
        }
    }

    #[test]
    fn link_keeps_the_fhir_version() {
        let (name, value) = of("application/fhir+json; fhirVersion=4.3", "", "").unwrap().parameter().unwrap();
        let query = form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
        assert_eq!(of("", &query, "").unwrap().version, Version::R4B);
        assert_eq!(of("", "", "").unwrap().parameter(), None);
    }

    #[test]
    fn body_of_an_unknown_fhir_version_is_refused() {
        let version = |kind: &'static str| body_version(&Request::new("PUT", "").header("Content-Type", kind));
        assert_eq!(version("application/fhir+json; charset=utf-8").unwrap(), Version::Stu3);
        assert_eq!(version("application/fhir+json; fhirVersion=\"5.0\"").unwrap(), Version::R5);
        for kind in ["application/fhir+json; fhirVersion=1.0", "application/fhir+xml; fhirVersion=4.0", ""] {
            assert_eq!(version(kind).unwrap_err().status(), 415, "{kind}");
        }
    }
}
