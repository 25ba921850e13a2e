//! In which format and which version of FHIR a client sends and wants resources: the media type and its parameter
//! `fhirVersion`.

use super::problem::{Problem, Result};
use super::{FHIR_JSON, FHIR_XML, JSON_PATCH, Request, Response};
use crate::convert::Version;
use std::cmp::Reverse;
use url::form_urlencoded;

/// In which format and version of FHIR a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) version: Version,
    /// Whether the client named the version.
    named: bool,
    pub(super) syntax: Syntax,
    /// The format of the body, where it is a resource.
    pub(super) sent: Syntax,
}

/// A format in which resources are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Syntax {
    #[default]
    Json,
    Xml,
}

impl Syntax {
    /// Returns the format of a media type, in one of the names that FHIR clients have for it.
    fn of(name: &str) -> Option<Self> {
        let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_one_of(&[FHIR_JSON, "application/json", "application/json+fhir", "text/json"]) {
            return Some(Self::Json);
        }
        let is_xml = is_one_of(&[FHIR_XML, "application/xml", "application/xml+fhir", "text/xml"]);
        (is_xml && cfg!(feature = "xml")).then_some(Self::Xml)
    }

    /// Returns the versions in which it is written: XML has the elements of STU3 alone.
    fn versions(self) -> impl Iterator<Item = Version> {
        Version::ALL.into_iter().filter(move |version| self == Self::Json || *version == Version::Stu3)
    }
}

impl Default for Format {
    fn default() -> Self {
        Self { version: Version::Stu3, named: false, syntax: Syntax::Json, sent: Syntax::Json }
    }
}

impl Format {
    /// Returns what a request asks for: by `_format`, or else by `Accept`. Where neither names a version the answer
    /// has that of the body.
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
        let short = match wanted.name {
            "json" => Some(Syntax::Json),
            "xml" if cfg!(feature = "xml") => Some(Syntax::Xml),
            name => Syntax::of(name),
        };
        let Some(syntax) = short else { return Err(not_written(&format)) };
        let format_of = |version: Version, named| Self { version, named, syntax, sent: sent.sent };
        match wanted.version {
            Some(version) => match syntax.versions().find(|known| known.mime() == version) {
                Some(version) => Ok(format_of(version, true)),
                None => Err(not_written(&format)),
            },
            None if syntax == Syntax::Xml => Ok(format_of(Version::Stu3, false)),
            None => {
                let found = negotiated(&accepted, sent).filter(|found| found.syntax == syntax).unwrap_or(sent);
                Ok(format_of(found.version, found.named))
            }
        }
    }

    /// Returns the same for a body in JSON.
    pub(super) fn with_json_sent(self) -> Self {
        Self { sent: Syntax::Json, ..self }
    }

    /// Returns what `Accept` asks for, where it takes JSON of FHIR.
    #[cfg(feature = "server")]
    pub(super) fn accepted(accept: &str) -> Option<Self> {
        negotiated(accept, Self::default())
    }

    /// Returns whether the answer is written as the resources are stored.
    pub(super) fn is_stu3(self) -> bool {
        self.version == Version::Stu3
    }

    /// Returns whether the answer is written anew, as it is not kept so.
    pub(super) fn is_converted(self) -> bool {
        !self.is_stu3() || self.syntax == Syntax::Xml
    }

    /// Returns the parameter that keeps the format and the version in a link to another page.
    pub(super) fn parameter(self) -> Option<(&'static str, String)> {
        if self.syntax == Syntax::Xml {
            return Some(("_format", "xml".to_owned()));
        }
        (!self.is_stu3()).then(|| ("_format", self.media_type()))
    }

    pub(super) fn media_type(self) -> String {
        format!("{FHIR_JSON}; fhirVersion={}", self.version.mime())
    }

    /// Returns the answer in its format, with its version in the `Content-Type`, and with what it depends on.
    pub(super) fn label(self, mut response: Response) -> Response {
        if self.named || !self.is_stu3() {
            let kinds = response
                .headers
                .iter_mut()
                .filter(|(name, value)| *name == "content-type" && value.starts_with(FHIR_JSON));
            kinds.for_each(|(_, value)| *value = format!("{}; charset=utf-8", self.media_type()));
        }
        if self.syntax == Syntax::Xml {
            response = in_xml(response);
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

/// Returns the version of FHIR of a body, which is a resource by its `Content-Type`.
pub(super) fn body_version(request: &Request<'_>) -> Result<Version> {
    let kind = request.all("content-type");
    let media = MediaRange::read(&kind);
    let Some(syntax) = Syntax::of(media.name) else {
        let found =
            if kind.is_empty() { "the body has no `Content-Type`".to_owned() } else { format!("the body is `{kind}`") };
        return Err(Problem::unsupported(415, "content-type", format_args!("{found}, and {} is wanted", kinds())));
    };
    if let Some(charset) = media.charset.filter(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        let words = format!("the body is in `{charset}`, and resources are written in UTF-8");
        return Err(Problem::unsupported(415, "content-type", words));
    }
    match media.version {
        None => Ok(Version::Stu3),
        Some(version) => syntax.versions().find(|known| known.mime() == version).ok_or_else(|| {
            let words = format!("the body is `{kind}`, and {} is wanted", versions());
            Problem::unsupported(415, "content-type", words)
        }),
    }
}

/// Returns the media types of resources.
fn kinds() -> String {
    if cfg!(feature = "xml") { format!("{FHIR_JSON} or {FHIR_XML}") } else { FHIR_JSON.to_owned() }
}

/// Returns an answer with its resource in XML. One that has no form in XML stays JSON, and says so by its
/// `Content-Type`.
#[cfg(feature = "xml")]
fn in_xml(mut response: Response) -> Response {
    let is_json = |(name, value): &(&'static str, String)| *name == "content-type" && value.starts_with(FHIR_JSON);
    if response.body.is_empty() || !response.headers.iter().any(is_json) {
        return response;
    }
    let Ok(Ok(xml)) = std::str::from_utf8(&response.body).map(crate::resource::write_xml) else { return response };
    response.body = xml.into();
    for (_, value) in response.headers.iter_mut().filter(|header| is_json(header)) {
        *value = value.replacen(FHIR_JSON, FHIR_XML, 1);
    }
    response
}

#[cfg(not(feature = "xml"))]
fn in_xml(response: Response) -> Response {
    response
}

/// Returns the version of FHIR of the resource that a patch is for: that of its `Content-Type`, or else that of the
/// answer.
pub(super) fn patched_version(request: &Request<'_>, answer: Format) -> Result<Version> {
    let kind = request.all("content-type");
    let Some(version) = MediaRange::read(&kind).version else { return Ok(answer.version) };
    Version::from_mime(version).ok_or_else(|| {
        let words = format!("the patch is `{kind}`, and is wanted for one of {}", versions());
        Problem::unsupported(415, "content-type", words)
    })
}

/// Returns the version of the body, if there is one.
fn sent(request: &Request<'_>) -> Format {
    let kind = request.all("content-type");
    let media = MediaRange::read(&kind);
    let syntax = Syntax::of(media.name);
    let is_ours = syntax.is_some() || media.name.eq_ignore_ascii_case(JSON_PATCH);
    let syntax = syntax.unwrap_or_default();
    let named = media.version.filter(|_| is_ours);
    let version = syntax.versions().find(|version| named == Some(version.mime()));
    let named = version.is_some();
    Format { version: version.unwrap_or(Version::Stu3), named, syntax, sent: syntax }
}

/// Returns the value of `_format` in a query.
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
    let xml = if cfg!(feature = "xml") { format!(", or {FHIR_XML} in FHIR 3.0") } else { String::new() };
    format!("{FHIR_JSON} with the `fhirVersion` {}{xml}", numbers.join(", "))
}

/// Returns the best version of those that an `Accept` header takes; nothing where it takes none. `sent` is that of the
/// body.
///
/// Each version has the weight of the range that describes it most closely. Of several with the same weight the one whose
/// range stands first is taken, and `sent` where one range takes in all.
fn negotiated(accepted: &str, sent: Format) -> Option<Format> {
    let ranges: Vec<MediaRange<'_>> = accepted.split(',').map(MediaRange::read).collect();
    let kinds =
        [Syntax::Json, Syntax::Xml].into_iter().filter(|syntax| *syntax == Syntax::Json || cfg!(feature = "xml"));
    let all = kinds.flat_map(|syntax| syntax.versions().map(move |version| (syntax, version)));
    let mut candidates: Vec<_> = all.collect();
    // What is like the body stands first, then what is of its format.
    candidates.sort_by_key(|(syntax, version)| (*syntax != sent.syntax, *version != sent.version));
    let best = candidates.into_iter().filter_map(|(syntax, version)| {
        let fitting =
            ranges.iter().enumerate().filter_map(|(at, range)| Some((range.fit(syntax, version)?, Reverse(at), range)));
        let (_, Reverse(at), range) = fitting.max_by_key(|(fit, at, _)| (*fit, *at))?;
        (range.weight > 0).then_some((range.weight, Reverse(at), syntax, version, range.version.is_some()))
    });
    // Of those that are equal the last one is the greatest, and the first one is wanted.
    let mut best: Vec<_> = best.collect();
    best.reverse();
    let (_, _, syntax, version, named) = best.into_iter().max_by_key(|(weight, at, ..)| (*weight, *at))?;
    Some(Format { version, named: named || version == sent.version && sent.named, syntax, sent: sent.sent })
}

/// One range of an `Accept` header, or a media type.
#[derive(Clone, Copy, Debug)]
struct MediaRange<'a> {
    name: &'a str,
    /// The parameter `fhirVersion`.
    version: Option<&'a str>,
    charset: Option<&'a str>,
    /// The weight in thousandths.
    weight: u16,
}

impl<'a> MediaRange<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { name: parts.next().unwrap_or_default(), version: None, charset: None, weight: 1_000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("fhirVersion") {
                range.version = Some(value);
            } else if name.eq_ignore_ascii_case("charset") {
                range.charset = Some(value);
            } else if name.eq_ignore_ascii_case("q") {
                range.weight = thousandths(value);
            }
        }
        range
    }

    /// How closely the range describes a format of a version; nothing where it does not.
    fn fit(&self, syntax: Syntax, version: Version) -> Option<u8> {
        let name = match self.name {
            "*/*" => 0,
            name if name.eq_ignore_ascii_case("application/*") => 1,
            name if Syntax::of(name) == Some(syntax) => 2,
            _ => return None,
        };
        match self.version {
            None => Some(name),
            Some(wanted) => (wanted == version.mime()).then_some(name + 3),
        }
    }
}

/// Returns a weight, such as `0.8`. What is no weight counts as the highest.
fn thousandths(text: &str) -> u16 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let rest: String = rest.chars().chain("000".chars()).take(3).collect();
    match (whole, rest.parse::<u16>()) {
        ("0", Ok(rest)) => rest,
        _ => 1_000,
    }
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
            ("application/turtle, application/fhir+json; fhirVersion=4.3; q=0.8", "", "", Version::R4B),
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
            ("application/fhir+turtle", ""),
            ("", "_format=ttl"),
            ("application/fhir+xml; fhirVersion=4.0", ""),
            ("", "_format=application/fhir%2Bxml;fhirVersion=4.0"),
            ("", "_format=application/fhir+json;fhirVersion=2.0"),
        ] {
            assert_eq!(of(accept, query, "").unwrap_err().status(), 406, "{accept} {query}");
        }
    }

    #[cfg(feature = "xml")]
    #[test]
    fn response_format_follows_accept_and_body() {
        let xml = "application/fhir+xml";
        for (accept, query, content, syntax) in [
            ("", "", "", Syntax::Json),
            ("*/*", "", "", Syntax::Json),
            ("application/fhir+xml", "", "", Syntax::Xml),
            ("application/xml+fhir", "", "", Syntax::Xml),
            ("text/xml", "", "", Syntax::Xml),
            ("application/xml; charset=utf-8", "", "", Syntax::Xml),
            ("application/fhir+xml; fhirVersion=3.0", "", "", Syntax::Xml),
            ("application/fhir+json, application/fhir+xml", "", "", Syntax::Json),
            ("application/fhir+xml, application/fhir+json", "", "", Syntax::Xml),
            ("application/fhir+json; q=0.9, application/fhir+xml", "", "", Syntax::Xml),
            ("application/fhir+xml; fhirVersion=4.0, application/fhir+json; fhirVersion=4.0", "", "", Syntax::Json),
            ("", "", xml, Syntax::Xml),
            ("*/*", "", xml, Syntax::Xml),
            ("application/fhir+json", "", xml, Syntax::Json),
            ("application/fhir+xml", "", "application/fhir+json", Syntax::Xml),
            ("", "_format=xml", "", Syntax::Xml),
            ("application/fhir+json", "_format=text/xml", "", Syntax::Xml),
            ("", "_format=application/fhir+xml", "", Syntax::Xml),
            ("application/fhir+xml", "_format=json", "", Syntax::Json),
            ("", "_format=json", xml, Syntax::Json),
        ] {
            let found = of(accept, query, content).unwrap();
            assert_eq!(
                (found.syntax, found.version),
                (syntax, if accept.contains("4.0") { Version::R4 } else { Version::Stu3 }),
                "{accept} {query} {content}"
            );
            assert_eq!(found.sent == Syntax::Xml, content == xml);
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
        assert_eq!(version("application/fhir+json; Charset=\"UTF-8\"").unwrap(), Version::Stu3);
        for charset in ["iso-8859-1", "utf-16", "us-ascii"] {
            let kind = format!("application/fhir+json; charset={charset}");
            let refused = body_version(&Request::new("PUT", "").header("Content-Type", kind)).unwrap_err();
            assert_eq!(refused.status(), 415, "{charset}");
        }
        for kind in ["application/fhir+json; fhirVersion=1.0", "application/fhir+xml; fhirVersion=4.0", ""] {
            assert_eq!(version(kind).unwrap_err().status(), 415, "{kind}");
        }
    }
}
