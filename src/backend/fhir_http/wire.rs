//! One request and its answer.

use super::FhirServer;
use super::fault::{ServerFault, unknown};
use crate::primitive::Instant;
use crate::store::{BoxError, Result, StoreError, Tenant, VersionId};
use crate::support::{read_http_date, with_causes};
use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;
use time::OffsetDateTime;

const FHIR_JSON: &str = "application/fhir+json";

/// A request to a server.
#[derive(Clone, Debug)]
pub(super) struct OutgoingRequest<'a> {
    method: Method,
    /// Below the address of the tenant, with its query.
    place: &'a str,
    /// A condition: the name of the header and its value.
    when: Option<(&'static str, String)>,
    body: Option<(&'static str, String)>,
    /// Whether the request changes something.
    writes: bool,
    /// The largest answer that is heard, if that is less than any may be.
    max_answer: usize,
}

impl<'a> OutgoingRequest<'a> {
    pub(super) fn get(place: &'a str) -> Self {
        Self { method: Method::GET, place, when: None, body: None, writes: false, max_answer: usize::MAX }
    }

    pub(super) fn put(place: &'a str, when: Option<(&'static str, String)>, body: &str) -> Self {
        Self { when, body: Some((FHIR_JSON, body.to_owned())), ..Self::change(Method::PUT, place) }
    }

    pub(super) fn delete(place: &'a str, version: VersionId) -> Self {
        Self { when: Some(("if-match", version.etag())), ..Self::change(Method::DELETE, place) }
    }

    /// Returns a Bundle, to the server itself.
    pub(super) fn bundle(body: String) -> Self {
        Self { body: Some((FHIR_JSON, body)), ..Self::change(Method::POST, "") }
    }

    pub(super) fn form(place: &'a str, form: String) -> Self {
        let body = Some(("application/x-www-form-urlencoded", form));
        Self { method: Method::POST, body, ..Self::get(place) }
    }

    fn change(method: Method, place: &'a str) -> Self {
        Self { method, writes: true, ..Self::get(place) }
    }

    /// With an answer of at most `bytes`.
    pub(super) fn within(self, bytes: usize) -> Self {
        Self { max_answer: bytes, ..self }
    }
}

/// The response of a server.
#[derive(Debug)]
pub(super) struct ServerResponse {
    pub(super) status: u16,
    /// The version in `ETag`, or else in `Location`, as it is written there.
    pub(super) version: Option<String>,
    pub(super) modified: Option<OffsetDateTime>,
    /// When it was made, by the clock of the server.
    pub(super) date: Option<OffsetDateTime>,
    pub(super) retry_after: Option<Duration>,
    headers: HeaderMap,
    body: Result<Bytes, BodyError>,
}

/// Why the body of a response could not be read.
#[derive(Debug)]
enum BodyError {
    BrokeOff(String),
    Fault(ServerFault),
}

impl ServerResponse {
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200 | 201 | 203 | 204)
    }

    /// Returns the version that the headers name, where it is a number.
    pub(super) fn number(&self) -> Option<VersionId> {
        self.version.as_deref()?.parse().ok()
    }

    /// Returns the body, which should be JSON.
    pub(super) fn json(&self) -> Result<&Bytes> {
        let kind = text(&self.headers, "content-type").unwrap_or_default();
        match &self.body {
            Ok(_) if !kind.is_empty() && !kind.contains("json") => {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                Err(ServerFault::Unreadable { why: format!("it is `{kind}`, and {FHIR_JSON} is wanted") }.into())
            }
            Ok(body) => Ok(body),
            Err(BodyError::BrokeOff(why)) => Err(unavailable(why.as_str())),
            Err(BodyError::Fault(fault)) => Err(fault.clone().into()),
        }
    }

    /// Returns whether the FHIR server itself gave this answer, and not something before it.
    pub(super) fn is_the_servers_own(&self) -> bool {
        let outcome = || self.outcome().get("resourceType").and_then(Value::as_str) == Some("OperationOutcome");
        self.retry_after.is_some() || outcome()
    }

    fn outcome(&self) -> Value {
        self.body.as_ref().ok().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    /// Returns what an OperationOutcome says, in a line.
    pub(super) fn text(&self) -> String {
        let outcome = self.outcome();
        let issues = outcome.get("issue").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text_of = |issue: &Value| {
            let said = issue.get("diagnostics").or_else(|| issue.get("details")?.get("text"));
            said.or_else(|| issue.get("code")).and_then(Value::as_str).map(str::to_owned)
        };
        let all: Vec<String> = issues.iter().filter_map(text_of).collect();
        match all.is_empty() {
            true => "no outcome is told".to_owned(),
            false => short(&all.join("; "), 500),
        }
    }

    /// Returns where the server leads to.
    pub(super) fn location(&self) -> String {
        short(text(&self.headers, "location").unwrap_or_default(), 200)
    }
}

/// Returns the beginning of a text, on one line.
fn short(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

/// Returns the fault of a link to a place that is not below the address, without credentials and query.
fn foreign_link(url: &Url) -> ServerFault {
    let origin = url.origin().ascii_serialization();
    ServerFault::ForeignLink { to: short(&format!("{origin}{}", url.path()), 200) }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns a version out of a tag: weak or strong, quoted or not.
pub(super) fn in_tag(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").or_else(|| tag.strip_prefix("w/")).unwrap_or(tag).trim_matches('"')
}

/// Returns a version out of an address, of whatever service.
pub(super) fn in_location(location: &str) -> Option<&str> {
    let path = location.split(['?', '#']).next()?;
    let (before, version) = path.trim_end_matches('/').rsplit_once('/')?;
    let told = before == "_history" || before.ends_with("/_history");
    told.then_some(version).filter(|version| !version.is_empty())
}

/// Returns a moment as HTTP writes it, or as FHIR does, which some servers put in its place.
fn moment(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    read_http_date(text).or_else(|| Instant::new(text).ok()?.to_offset_date_time())
}

fn pause(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some((moment(text)? - OffsetDateTime::now_utc()).try_into().unwrap_or(Duration::ZERO))
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FhirServer {
    /// Returns the address of a tenant, which ends in a slash.
    pub(super) fn base(&self, tenant: &Tenant) -> Result<Url> {
        let text = (self.base)(tenant);
        // A name and a password before the host are not shown.
        let shown = text.split_once('@').map_or(text.as_str(), |(_, rest)| rest);
        let refuse = || StoreError::invalid(format!("`{shown}` is not the address of a server"));
        let mut url = Url::parse(&text).map_err(|_| refuse())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse());
        }
        if url.scheme() == "http" && !self.options.allow_plain_http && !is_this_machine(&url) {
            return Err(StoreError::invalid(format!("`{shown}` is not encrypted, and on another machine")));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(url)
    }

    /// Returns the part of a link below the address of the tenant.
    pub(super) fn within(&self, tenant: &Tenant, link: &str) -> Result<String> {
        let base = self.base(tenant)?;
        let url = base.join(link).map_err(|_| ServerFault::ForeignLink { to: short(link, 200) })?;
        let home = base.path();
        let below = url.path().strip_prefix(home).or_else(|| (url.path() == home.trim_end_matches('/')).then_some(""));
        let foreign = url.origin() != base.origin()
            || !(url.username().is_empty() || url.username() == base.username())
            || !(url.password().is_none() || url.password() == base.password());
        let Some(below) = below.filter(|_| !foreign) else { return Err(foreign_link(&url).into()) };
        Ok(match url.query() {
            Some(query) => format!("{below}?{query}"),
            None => below.to_owned(),
        })
    }

    /// Sends a request and receives the whole response, whatever its status.
    pub(super) async fn send(&self, tenant: &Tenant, ask: OutgoingRequest<'_>) -> Result<ServerResponse> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(unavailable("the futures of this store run within a tokio runtime"));
        }
        let base = self.base(tenant)?;
        let url = Url::parse(&format!("{base}{}", ask.place));
        let url = url.map_err(|error| StoreError::invalid(format!("the address of a request: {error}")))?;
        if url.origin() != base.origin() || !url.path().starts_with(base.path()) {
            return Err(foreign_link(&url).into());
        }
        let mut request = self.client.request(ask.method, url);
        for (name, value) in (self.headers)(tenant).await? {
            request = request.header(name, value);
        }
        // Some servers answer a search from what they found a while ago unless they are told not to.
        request = request.header("accept", FHIR_JSON).header("accept-encoding", "identity");
        request = request.header("cache-control", "no-cache");
        if let Some((name, value)) = ask.when {
            request = request.header(name, value);
        }
        if let Some((kind, body)) = ask.body {
            request = request.header("content-type", kind).header("prefer", "return=representation").body(body);
        }
        // A request that cannot be made was not sent.
        let request = request.build().map_err(|error| StoreError::invalid(format!("the request: {error}")))?;
        let again = if ask.writes { None } else { request.try_clone() };
        let mut heard = self.client.execute(request).await;
        // A connection that was kept may have ended meanwhile. To ask once more harms nobody where nothing is written.
        if let (Err(error), Some(again)) = (&heard, again)
            && !error.is_connect()
            && !error.is_timeout()
        {
            heard = self.client.execute(again).await;
        }
        match heard.map_err(reqwest::Error::without_url) {
            Ok(response) => Ok(self.receive(response, ask.max_answer).await),
            Err(error) if error.is_connect() || !ask.writes => Err(unavailable(error)),
            Err(error) => Err(unknown(error)),
        }
    }

    async fn receive(&self, mut response: Response, max_answer: usize) -> ServerResponse {
        let body = self.body(&mut response, max_answer).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let header = |name: &str| text(&headers, name);
        let tag = header("etag").map(in_tag).filter(|tag| !tag.is_empty());
        let numbered = tag.filter(|tag| tag.parse::<VersionId>().is_ok());
        let placed = ["location", "content-location"].into_iter().filter_map(header).find_map(in_location);
        let version = numbered.or(placed).or(tag).map(str::to_owned);
        let retry_after = header("retry-after").and_then(pause);
        let (modified, date) = (header("last-modified").and_then(moment), header("date").and_then(moment));
        ServerResponse { status, version, modified, date, retry_after, body, headers }
    }

    async fn body(&self, response: &mut Response, max_answer: usize) -> Result<Bytes, BodyError> {
        let coding = text(response.headers(), "content-encoding").unwrap_or("identity").trim();
        if !coding.eq_ignore_ascii_case("identity") {
            let why = format!("it is encoded as `{}`, which was not asked for", short(coding, 50));
            return Err(BodyError::Fault(ServerFault::Unreadable { why }));
        }
        let limit = self.options.max_answer.min(max_answer);
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(part)) if body.len().saturating_add(part.len()) > limit => {
                    return Err(BodyError::Fault(ServerFault::TooLarge { limit }));
                }
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) => return Ok(body.freeze()),
                Err(error) => return Err(BodyError::BrokeOff(with_causes(&error.without_url()))),
            }
        }
    }
}

fn unavailable(error: impl Into<BoxError>) -> StoreError {
    StoreError::unavailable(None, Some(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_every_etag_form() {
        for tag in ["W/\"3\"", "\"3\"", "3", " W/3 ", "w/\"3\""] {
            assert_eq!(in_tag(tag), "3", "{tag}");
        }
        for location in [
            "http://a/fhir/Device/p/_history/3",
            "Device/p/_history/3",
            "/Device/p/_history/3/",
            "_history/3",
            "http://other.example/Device/p/_history/3?x=/y",
        ] {
            assert_eq!(in_location(location), Some("3"), "{location}");
        }
        for location in ["Device/p", "Device/p/_history", "Device/p/_history/", "", "3", "a/x_history/3"] {
            assert_eq!(in_location(location), None, "{location}");
        }
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Wed, 19 Apr 2017 10:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
        let ten = time::macros::datetime!(2017-04-19 10:00 UTC);
        assert_eq!(moment("Wed, 19 Apr 2017 10:00:00 GMT"), Some(ten));
        assert_eq!(moment("2017-04-19T12:00:00+02:00"), Some(ten));
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let is_local = |text: &str| is_this_machine(&Url::parse(text).unwrap());
        assert!(["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]/x"].into_iter().all(is_local));
        assert!(
            !["http://10.0.0.1/x", "http://localhost.evil.example/x", "http://[fe80::1]/x"].into_iter().any(is_local)
        );
    }
}
