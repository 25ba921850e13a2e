//! Bundles, and positions in paged results.

use super::FhirServer;
use super::fault::{ServerFault, refusal};
use super::wire::{OutgoingRequest, ServerResponse, in_location, in_tag};
use crate::primitive::Instant;
use crate::store::{Result, StoreError, Tenant};
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use url::form_urlencoded;

#[derive(Debug, Deserialize)]
pub(super) struct RawBundle {
    #[serde(rename = "resourceType")]
    resource_type: String,
    meta: Option<BundleMeta>,
    #[serde(default)]
    link: Vec<Link>,
    #[serde(default)]
    pub(super) entry: Vec<Entry>,
    /// When it was made, by the clock of the server.
    #[serde(skip)]
    pub(super) made_at: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleMeta {
    last_updated: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Link {
    relation: String,
    url: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) resource: Option<Box<RawValue>>,
    request: Option<Request>,
    response: Option<Response>,
    search: Option<Found>,
}

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    method: String,
    #[serde(default)]
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    status: String,
    etag: Option<String>,
    location: Option<String>,
    last_modified: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Found {
    mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind<'a> {
    #[serde(borrow)]
    resource_type: Option<std::borrow::Cow<'a, str>>,
}

impl Entry {
    /// Returns whether it is what was looked for, and not what goes with it.
    pub(super) fn is_match(&self) -> bool {
        let mode = self.search.as_ref().and_then(|search| search.mode.as_deref());
        mode.map_or_else(|| !self.is_outcome(), |mode| mode == "match")
    }

    pub(super) fn is_outcome(&self) -> bool {
        let json = self.resource.as_ref().map(|json| json.get()).unwrap_or_default();
        let kind = serde_json::from_str::<Kind<'_>>(json).ok().and_then(|kind| kind.resource_type);
        kind.as_deref() == Some("OperationOutcome")
    }

    pub(super) fn is_deletion(&self) -> bool {
        self.resource.is_none() || self.request.as_ref().is_some_and(|request| request.method == "DELETE")
    }

    /// Returns the version, where the entry tells it beside the resource.
    pub(super) fn version(&self) -> Option<&str> {
        let response = self.response.as_ref();
        let tag = response.and_then(|response| response.etag.as_deref()).map(in_tag);
        let location = || response.and_then(|response| response.location.as_deref()).and_then(in_location);
        tag.or_else(location).or_else(|| self.request.as_ref().and_then(|request| in_location(&request.url)))
    }

    /// Returns the status of an entry of a transaction; 0 where there is none.
    pub(super) fn status(&self) -> u16 {
        let status = self.response.as_ref().map(|response| response.status.as_str()).unwrap_or_default();
        status.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// When the version was made, where the entry tells it beside the resource.
    pub(super) fn modified(&self) -> Option<OffsetDateTime> {
        let text = self.response.as_ref()?.last_modified.as_deref()?;
        Instant::new(text).ok()?.to_offset_date_time()
    }
}

/// The end of a page: the last result, and the link to continue from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) last: String,
    pub(super) link: String,
    /// When the first page was made, in milliseconds by the clock of the server, where it is known.
    pub(super) start: Option<i64>,
    /// Whether the page was cut, and its rest is meant.
    pub(super) again: bool,
}

/// Stands before the number of a pair of the question, which the token need not repeat.
const OWN: char = '\u{1}';

impl Place {
    /// Before the first page.
    pub(super) fn at(link: String) -> Self {
        Self { link, ..Self::default() }
    }

    /// Returns the bytes of a token. What stands in the link as it was asked is left out of it: the token counts for
    /// that question alone.
    pub(super) fn to_bytes(&self, asked: &[(String, String)]) -> Vec<u8> {
        let (path, query) = self.link.split_once('?').unwrap_or((&self.link, ""));
        let pairs: Vec<String> = query
            .split('&')
            .map(|text| {
                let pair = form_urlencoded::parse(text.as_bytes()).next();
                let pair = pair.map(|(name, value)| (name.into_owned(), value.into_owned()));
                let at = pair.and_then(|pair| asked.iter().position(|own| *own == pair));
                at.map_or_else(|| text.to_owned(), |at| format!("{OWN}{at}"))
            })
            .collect();
        let again = if self.again { "\n" } else { "" };
        let start = self.start.map(|start| format!("\t{start}")).unwrap_or_default();
        format!("{}{start}\n{again}{path}?{}", self.last, pairs.join("&")).into_bytes()
    }

    pub(super) fn from_bytes(bytes: Vec<u8>, asked: &[(String, String)]) -> Option<Self> {
        let text = String::from_utf8(bytes).ok()?;
        let (last, link) = text.split_once('\n')?;
        let (last, start) = last.split_once('\t').map_or((last, None), |(last, start)| (last, start.parse().ok()));
        let (again, link) = link.strip_prefix('\n').map_or((false, link), |link| (true, link));
        let (path, query) = link.split_once('?')?;
        let mut pairs = Vec::new();
        for text in query.split('&') {
            pairs.push(match text.strip_prefix(OWN) {
                Some(at) => encoded(asked.get(at.parse::<usize>().ok()?..)?.get(..1)?),
                None => text.to_owned(),
            });
        }
        Some(Self { last: last.to_owned(), link: format!("{path}?{}", pairs.join("&")), start, again })
    }
}

pub(super) fn encoded(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

impl FhirServer {
    /// Returns a Bundle, and the place of the next one within the address of the tenant.
    pub(super) async fn bundle(
        &self,
        tenant: &Tenant,
        ask: OutgoingRequest<'_>,
    ) -> Result<(RawBundle, Option<String>)> {
        let answer = self.send(tenant, ask).await?;
        match answer.status {
            _ if answer.is_success() => {}
            410 => return Err(StoreError::not_found()),
            _ => return Err(refusal(&answer, false, self.options.max_body)),
        }
        let bundle = read(&answer)?;
        let next = bundle.link.iter().find(|link| link.relation == "next");
        let next = next.map(|link| self.within(tenant, &link.url)).transpose()?;
        Ok((bundle, next))
    }
}

/// The most bytes of an answer with a page of several resources. Where there are more, fewer are asked for.
pub(super) const PAGE_ANSWER: usize = 16 << 20;
/// The bytes of the bodies after which a page ends.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// Returns a link of our own, which ends in `_count=N`, for fewer resources, but `least`; nothing where it asks for no
/// more than that.
pub(super) fn fewer(link: &str, least: usize) -> Option<String> {
    let (head, count) = link.rsplit_once("_count=")?;
    let count: usize = count.parse().ok().filter(|count| *count > least)?;
    Some(format!("{head}_count={}", (count / 4).max(least)))
}

pub(super) fn read(answer: &ServerResponse) -> Result<RawBundle> {
    let unreadable = |why: String| ServerFault::Unreadable { why };
    let mut bundle: RawBundle =
        serde_json::from_slice(answer.json()?).map_err(|error| unreadable(error.to_string()))?;
    let told = bundle.meta.as_ref().and_then(|meta| Instant::new(meta.last_updated.as_deref()?).ok());
    bundle.made_at = told.and_then(|told| told.to_offset_date_time()).or(answer.date);
    match bundle.resource_type.as_str() {
        "Bundle" => Ok(bundle),
        other => Err(unreadable(format!("a Bundle is wanted, and a `{other}` came")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_round_trips_without_the_query() {
        let asked = [("source".to_owned(), "Device/a b".to_owned()), ("_count".to_owned(), "5".to_owned())];
        let link = "DeviceComponent?source=Device%2Fa+b&_page=v1.x&_count=5";
        let place = Place { last: "c".into(), link: link.into(), ..Place::default() };
        let bytes = place.to_bytes(&asked);
        assert_eq!(bytes, b"c\nDeviceComponent?\x010&_page=v1.x&\x011");
        assert_eq!(Place::from_bytes(bytes, &asked), Some(place.clone()));
        let again = Place { again: true, start: Some(1_492_596_000_000), ..place };
        assert_eq!(Place::from_bytes(again.to_bytes(&asked), &asked), Some(again));
        assert_eq!(Place::from_bytes(b"c\nx?\x017".to_vec(), &asked), None);
        assert_eq!(Place::from_bytes(b"c".to_vec(), &asked), None);
    }
}
