//! One request and its answer.

use super::FhirServer;
use super::fault::{ServerFault, unknown};
use crate::store::{Result, StoreError, Tenant, VersionId};
use bytes::{Bytes, BytesMut};
use reqwest::{Method, Response, Url};
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FHIR_JSON: &str = "application/fhir+json";
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below the address of the tenant, with its query.
    pub(super) place: &'a str,
    /// A condition: the name of the header and its value.
    pub(super) when: Option<(&'static str, String)>,
    pub(super) body: Option<(&'static str, String)>,
    /// Whether the request changes something.
    pub(super) writes: bool,
}

impl<'a> Ask<'a> {
    pub(super) fn get(place: &'a str) -> Self {
        Self { method: Method::GET, place, when: None, body: None, writes: false }
    }

    pub(super) fn put(place: &'a str, when: Option<(&'static str, String)>, body: &str) -> Self {
        Self { method: Method::PUT, place, when, body: Some((FHIR_JSON, body.to_owned())), writes: true }
    }

    pub(super) fn delete(place: &'a str, version: VersionId) -> Self {
        Self { method: Method::DELETE, place, when: Some(("if-match", version.etag())), body: None, writes: true }
    }

    pub(super) fn form(place: &'a str, form: String) -> Self {
        let body = Some(("application/x-www-form-urlencoded", form));
        Self { method: Method::POST, place, when: None, body, writes: false }
    }
}

/// What a server said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The version in `ETag`, or else in `Location`, as it is written there.
    pub(super) version: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The version that the headers name, where it is a number.
    pub(super) fn number(&self) -> Option<VersionId> {
        self.version.as_deref()?.parse().ok()
    }

    /// What an OperationOutcome says, in a line.
    pub(super) fn text(&self) -> String {
        let outcome: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let issues = outcome.get("issue").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text_of = |issue: &Value| {
            let said = issue.get("diagnostics").or_else(|| issue.get("details")?.get("text"));
            said.or_else(|| issue.get("code")).and_then(Value::as_str).map(str::to_owned)
        };
        let all: Vec<String> = issues.iter().filter_map(text_of).collect();
        match all.is_empty() {
            true => "no outcome is told".to_owned(),
            false => all.join("; ").chars().take(500).collect(),
        }
    }
}

/// A version out of a tag: weak or strong, quoted or not.
fn in_tag(tag: &str) -> String {
    tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

fn in_location(location: &str) -> Option<String> {
    let (_, version) = location.rsplit_once("/_history/")?;
    Some(version.trim_end_matches('/').to_owned())
}

fn pause(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = time::PrimitiveDateTime::parse(text.trim(), HTTP_DATE).ok()?.assume_utc();
    Some((moment - OffsetDateTime::now_utc()).try_into().unwrap_or(Duration::ZERO))
}

impl FhirServer {
    /// The address of a tenant, which ends in a slash.
    pub(super) fn base(&self, tenant: &Tenant) -> Result<Url> {
        let text = (self.base)(tenant);
        let refuse = || StoreError::invalid(format!("`{text}` is not the address of a server"));
        let mut url = Url::parse(&text).map_err(|_| refuse())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(url)
    }

    /// The part of a link below the address of the tenant.
    pub(super) fn within(&self, tenant: &Tenant, link: &str) -> Result<String> {
        let base = self.base(tenant)?;
        let url = base.join(link).map_err(|_| ServerFault::ForeignLink)?;
        let home = base.path();
        let below = url.path().strip_prefix(home).or_else(|| (url.path() == home.trim_end_matches('/')).then_some(""));
        let foreign =
            url.origin() != base.origin() || url.username() != base.username() || url.password() != base.password();
        let Some(below) = below.filter(|_| !foreign) else { return Err(ServerFault::ForeignLink.into()) };
        Ok(match url.query() {
            Some(query) => format!("{below}?{query}"),
            None => below.to_owned(),
        })
    }

    /// Sends a request and hears the whole answer, whatever its status.
    pub(super) async fn send(&self, tenant: &Tenant, ask: Ask<'_>) -> Result<Answer> {
        let base = self.base(tenant)?;
        let url = Url::parse(&format!("{base}{}", ask.place));
        let url = url.map_err(|error| StoreError::invalid(format!("the address of a request: {error}")))?;
        let mut request = self.client.request(ask.method, url).header("accept", FHIR_JSON);
        for (name, value) in (self.headers)(tenant).await? {
            request = request.header(name, value);
        }
        if let Some((name, value)) = ask.when {
            request = request.header(name, value);
        }
        if let Some((kind, body)) = ask.body {
            request = request.header("content-type", kind).header("prefer", "return=representation").body(body);
        }
        // A request that cannot be made was not sent.
        let request = request.build().map_err(|error| StoreError::invalid(format!("the request: {error}")))?;
        match self.client.execute(request).await {
            Ok(response) => self.hear(response).await.map_err(|error| lost(error, ask.writes)),
            Err(error) if error.is_connect() => Err(unavailable(error)),
            Err(error) => Err(lost(error.into(), ask.writes)),
        }
    }

    async fn hear(&self, mut response: Response) -> Result<Answer, crate::store::BoxError> {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let tag = header("etag").map(|tag| in_tag(&tag)).filter(|tag| !tag.is_empty());
        let numbered = tag.clone().filter(|tag| tag.parse::<VersionId>().is_ok());
        let placed = || in_location(&header("location").or_else(|| header("content-location"))?);
        let version = numbered.or_else(placed).or(tag);
        let retry_after = header("retry-after").as_deref().and_then(pause);
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await? {
            if body.len().saturating_add(part.len()) > self.max_answer {
                return Err(format!("the answer is larger than {} bytes", self.max_answer).into());
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status: response.status().as_u16(), version, retry_after, body: body.freeze() })
    }
}

fn unavailable(error: impl Into<crate::store::BoxError>) -> StoreError {
    StoreError::Unavailable { retry_after: None, source: Some(error.into()) }
}

/// The answer was lost.
fn lost(error: crate::store::BoxError, writes: bool) -> StoreError {
    if writes { unknown(error) } else { unavailable(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_however_they_are_written() {
        for tag in ["W/\"3\"", "\"3\"", "3", " W/3 "] {
            assert_eq!(in_tag(tag), "3", "{tag}");
        }
        for location in ["http://a/fhir/Device/p/_history/3", "Device/p/_history/3", "/Device/p/_history/3/"] {
            assert_eq!(in_location(location).as_deref(), Some("3"), "{location}");
        }
        assert_eq!(in_location("Device/p"), None);
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Wed, 19 Apr 2017 10:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
    }
}
