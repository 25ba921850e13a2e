//! The FHIR interface: the library's, carried over HTTP.

use super::answer::{Problem, Result, of_library};
use super::budget::{Cost, until_sent};
use super::place::AtTenant;
use super::{MAX_BUNDLE, MAX_DOCUMENT, Shared, keeper};
use crate::issue::Kind;
use crate::rest::{Limits, Request, Server};
use crate::store::{Key, ResourceStore};
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use futures_core::Stream as _;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;

/// A document of no more bytes is read at once, on the thread that took the request.
const READ_AT_ONCE: usize = 16 << 10;

/// Everything at and below `/TENANT/fhir`.
pub(super) async fn handle(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    request: axum::extract::Request,
) -> Result {
    let (head, body) = request.into_parts();
    let (method, uri) = (head.method, head.uri);
    // The path is given on as it came; the tenant is the first segment, `fhir` the second.
    let path = uri.path().splitn(4, '/').nth(3).unwrap_or_default();
    let query = uri.query().unwrap_or_default();
    // Searches of a tenant of whom nothing is known succeed too.
    let names_one = path.split_once('/').is_some_and(|(_, id)| !id.starts_with('_'));
    let changes = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) && !path.ends_with("_search");
    let converts = names_a_version(&head.headers, query);
    let reads_one = !changes && !converts && names_one && !path.contains("/_history");

    let limit = if path.is_empty() { MAX_BUNDLE } else { MAX_DOCUMENT };
    let Some(length) = body_length(&head.headers, &body, limit) else {
        // Whoever still sends does not read the answer.
        pass_over(body, limit.saturating_mul(2)).await;
        return Err(too_large(limit));
    };
    let server = app.fhir(&tenant);
    let patches = method == Method::PATCH;
    let permit = match path {
        "metadata" => None,
        _ if patches => {
            let cost = Cost::patch(length, stored_bytes(&server, path, &app.limits).await, &app.limits);
            Some(app.budget.take(if converts { cost.converted(&app.limits) } else { cost }).await?)
        }
        _ => {
            let cost = cost(path, reads_one, length, &app.limits);
            Some(app.budget.take(if converts { cost.converted(&app.limits) } else { cost }).await?)
        }
    };
    let body = read(body, limit).await?;
    let at_once = path == "metadata"
        || reads_one
        || (changes && !patches && !converts && !path.is_empty() && query.is_empty() && body.len() <= READ_AT_ONCE);
    let mut request = Request::new(method.as_str().to_owned(), path.to_owned()).query(query.to_owned()).body(body);
    for (name, value) in &head.headers {
        // What is no text is no tag, no media type and no condition either.
        request = request.header(name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned());
    }
    let response = if at_once {
        server.handle(&request).await
    } else {
        app.budget.offload(async move { server.handle(&request).await }).await?
    };
    let length = response.body.len();
    let mut answer = of_library(response);
    if let Some(permit) = permit {
        answer = until_sent(answer, length, permit);
    }
    if (names_one || changes) && answer.status().is_success() {
        keeper::notice(&app, &tenant).await;
    }
    Ok(answer)
}

/// Whether a request names a version of FHIR, so that documents may have to be converted.
fn names_a_version(headers: &HeaderMap, query: &str) -> bool {
    let named = |text: &[u8]| text.to_ascii_lowercase().windows(11).any(|part| part == b"fhirversion");
    let kinds = [header::ACCEPT, header::CONTENT_TYPE];
    let mut values = kinds.iter().flat_map(|name| headers.get_all(name));
    values.any(|value| named(value.as_bytes())) || (query.contains("_format") && named(query.as_bytes()))
}

/// What a request may take, before it is read.
fn cost(path: &str, reads_one: bool, length: usize, limits: &Limits) -> Cost {
    if path.is_empty() {
        Cost::bundle(length, limits)
    } else if reads_one {
        Cost::READ
    } else if length > 0 && !path.ends_with("_search") {
        Cost::document(length, limits)
    } else {
        Cost::page(limits)
    }
}

/// How many bytes the resource has that a patch is for; as many as one may have where that is told by a condition.
async fn stored_bytes<S: ResourceStore + ?Sized>(server: &Server<S>, path: &str, limits: &Limits) -> usize {
    let Some((kind, id)) = path.split_once('/') else { return limits.patched_bytes() };
    let Some(key) = kind.parse().ok().and_then(|kind| Key::new(kind, id).ok()) else { return limits.patched_bytes() };
    match server.store().read(&key).await {
        Ok(version) => version.body.map_or(0, |body| body.len()),
        Err(_) => 0,
    }
}

/// How many bytes a body has, or may have where its length is not told; nothing where they are too many.
fn body_length(headers: &HeaderMap, body: &Body, limit: usize) -> Option<usize> {
    if body.is_end_stream() {
        return Some(0);
    }
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    Some(told.unwrap_or(limit)).filter(|length| *length <= limit)
}

/// Reads a body of which nothing is kept, up to a number of bytes.
async fn pass_over(body: Body, most: usize) {
    let (mut body, mut read) = (body.into_data_stream(), 0_usize);
    while read <= most
        && let Some(Ok(part)) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await
    {
        read = read.saturating_add(part.len());
    }
}

fn too_large(limit: usize) -> Problem {
    let words = format!("the body is larger than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLong, "too-large", words)
}

async fn read(body: Body, limit: usize) -> Result<Bytes> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let too_long = error.source().is_some_and(|source| source.to_string() == "length limit exceeded");
        if too_long { too_large(limit) } else { Problem::bad("body", "the body broke off") }
    })
}
