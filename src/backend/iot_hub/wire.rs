//! The requests to a hub.

use super::name::IN_PATH;
use super::{IotHub, member};
use crate::publish::PublishError;
use crate::store::BoxError;
use bytes::{Bytes, BytesMut};
use percent_encoding::utf8_percent_encode;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;

const API_VERSION: &str = "api-version=2021-04-12";

/// The largest answer that is read: a page of a query has twins of up to 72 KB.
const MAX_ANSWER: usize = 8 << 20;

/// How large the desired properties of a twin may be.
const MAX_DESIRED: usize = 32 << 10;

/// A twin, as far as it is of interest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Twin {
    pub(super) etag: String,
    pub(super) properties: Properties,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Properties {
    pub(super) desired: Value,
}

/// The result of a conditional write.
#[derive(Debug)]
pub(super) enum Written {
    /// The twin has this tag now.
    As(String),
    /// The twin is another than it was.
    Not,
}

/// A successful answer.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl IotHub {
    pub(super) async fn twin(&self, device: &str) -> Result<Twin, PublishError> {
        let answer = self.send(self.request(Method::GET, &twin_path(device))?, false).await?;
        let twin: Twin = serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error))?;
        if twin.etag.is_empty() { Err(unreadable(&"the twin has no etag")) } else { Ok(twin) }
    }

    /// Merges a patch into a twin that still has a tag.
    pub(super) async fn patch(&self, device: &str, patch: &Value, etag: &str) -> Result<Written, PublishError> {
        let request = self.request(Method::PATCH, &twin_path(device))?.header("if-match", format!("\"{etag}\""));
        let request = request.header("content-type", "application/json").body(patch.to_string());
        let answer = match self.send(request, true).await {
            Err(PublishError::Changed) => return Ok(Written::Not),
            answer => answer?,
        };
        let twin = serde_json::from_slice::<Twin>(&answer.body).unwrap_or_default();
        let tag = if twin.etag.is_empty() { tag(&answer.headers) } else { Some(twin.etag) };
        // It was written; under which tag the next read tells.
        tag.map(Written::As)
            .ok_or_else(|| PublishError::Indeterminate { source: Some("the answer has no etag".into()) })
    }

    /// Returns a page of a query, and where the next one is.
    pub(super) async fn query(
        &self,
        query: &str,
        page: Option<&str>,
    ) -> Result<(Vec<Value>, Option<String>), PublishError> {
        let mut request = self.request(Method::POST, "devices/query")?.header("x-ms-max-item-count", "100");
        if let Some(page) = page {
            request = request.header("x-ms-continuation", page);
        }
        let body = serde_json::json!({ "query": query }).to_string();
        let answer = self.send(request.header("content-type", "application/json").body(body), false).await?;
        let items = serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error))?;
        Ok((items, text(&answer.headers, "x-ms-continuation").filter(|page| !page.is_empty())))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, PublishError> {
        let url = self.options.base().join(&format!("{path}?{API_VERSION}"));
        let url = url.map_err(|error| PublishError::Backend { source: error.into() })?;
        Ok(self.client.request(method, url))
    }

    async fn send(&self, request: RequestBuilder, writes: bool) -> Result<Answer, PublishError> {
        if tokio::runtime::Handle::try_current().is_err() {
            let source = Some("the futures of this region run within a tokio runtime".into());
            return Err(PublishError::Unavailable { retry_after: None, source });
        }
        let now = OffsetDateTime::now_utc();
        let token = self.token.token(self.options.host(), self.options.source(), now).await?;
        let broken = |error: reqwest::Error| {
            let not_sent = error.is_connect() || error.is_builder() || !writes;
            let source = Some(error.without_url().into());
            match not_sent {
                true => PublishError::Unavailable { retry_after: None, source },
                false => PublishError::Indeterminate { source },
            }
        };
        let mut response = request.header("authorization", token).send().await.map_err(broken)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(part.len()) > MAX_ANSWER {
                return Err(unreadable(&format!("the answer has more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&part);
        }
        match status {
            200 | 201 | 204 => Ok(Answer { headers, body: body.freeze() }),
            status => Err(refused(status, &headers, &body, writes)),
        }
    }
}

fn twin_path(device: &str) -> String {
    format!("twins/{}", utf8_percent_encode(device, &IN_PATH))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn tag(headers: &HeaderMap) -> Option<String> {
    let tag = text(headers, "etag")?;
    Some(tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()).filter(|tag| !tag.is_empty())
}

fn unreadable(why: &dyn std::fmt::Display) -> PublishError {
    PublishError::Backend { source: format!("the answer of the hub cannot be read: {why}").into() }
}

/// Returns the error of an answer that is not a success. What a hub says is cut, and has no secret of ours in it.
fn refused(status: u16, headers: &HeaderMap, body: &[u8], writes: bool) -> PublishError {
    let said = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let message = member(&said, "Message").as_str().or_else(|| member(&said, "message").as_str());
    let message: String = message.unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect();
    let source: BoxError = format!("the hub answers {status} {message}").trim_end().to_owned().into();
    let retry_after = text(headers, "retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let is_size = ["TooLarge", "SizeExceeded", "DocumentTooLarge"].iter().any(|word| message.contains(word));
    match status {
        401 | 403 => PublishError::Denied { source: Some(source) },
        404 => PublishError::UnknownDevice,
        412 => PublishError::Changed,
        413 => PublishError::TooLarge { limit: MAX_DESIRED },
        400 if is_size => PublishError::TooLarge { limit: MAX_DESIRED },
        429 | 503 => PublishError::Throttled { retry_after },
        500.. if writes => PublishError::Indeterminate { source: Some(source) },
        500.. => PublishError::Unavailable { retry_after, source: Some(source) },
        _ => PublishError::Backend { source },
    }
}
