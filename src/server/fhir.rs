//! The FHIR interface of the library, over HTTP.

use super::answer::{Problem, Result, of_library};
use super::budget::{Cost, until_sent};
use super::place::AtTenant;
use super::{MAX_BUNDLE, MAX_DOCUMENT, Shared, maintenance};
use crate::issue::IssueType;
use crate::rest::{Limits, Request, Server};
use crate::store::{Key, ResourceStore};
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use futures_core::Stream as _;
use std::future::poll_fn;
use std::pin::Pin;

/// Size up to which a document is read at once, on the thread that took the request.
const READ_AT_ONCE: usize = 16 << 10;

/// Size up to which a batch or transaction waits only for the memory of its text, until the text is received.
const SMALL_BUNDLE: usize = 16 << 10;

/// Size up to which the text of a batch or transaction is scanned to estimate its answer.
const SCANNED_BUNDLE: usize = 1 << 20;

/// Size above which a stored resource is not parsed before memory for it is reserved, nor sent from the thread that
/// took the request.
const SMALL_RESOURCE: usize = 64 << 10;

/// Maximum answer to a batch entry that returns no resource, in bytes.
const ENTRY_ANSWER: usize = 2 << 10;

/// Handles everything at and below `/TENANT/fhir`.
pub(super) async fn handle(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    request: axum::extract::Request,
) -> Result {
    let (head, body) = request.into_parts();
    let (method, uri) = (head.method, head.uri);
    // The path is passed on undecoded; its first segment is the tenant, the second `fhir`.
    let path = uri.path().splitn(4, '/').nth(3).unwrap_or_default();
    let query = uri.query().unwrap_or_default();
    // Searches succeed even for an unknown tenant.
    let names_one = path.split_once('/').is_some_and(|(_, id)| !id.starts_with('_'));
    let asks = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    let changes = !asks && !path.ends_with("_search");
    let converts = may_convert(&head.headers, query);
    let is_read = asks && names_one && !path.contains("/_history");
    let reads_one = is_read && !converts;

    let limit = if path.is_empty() { MAX_BUNDLE } else { MAX_DOCUMENT };
    let Some(length) = body_length(&head.headers, &body, limit) else {
        pass_over(body, limit.saturating_mul(2)).await;
        return Err(too_large(limit));
    };
    let server = app.fhir(&tenant);
    let patches = method == Method::PATCH;
    let cost = match path {
        // Clients use this request to check that the service is running.
        "metadata" if asks => Cost::NONE,
        _ if reads_one => Cost::READ,
        _ if is_read => Cost::document(stored_bytes(&server, path, &app.limits).await, &app.limits),
        _ if patches => Cost::patch(length, stored_bytes(&server, path, &app.limits).await, &app.limits),
        "" if asks => Cost::search(length, &app.limits),
        _ => cost(path, length, &app.limits),
    };
    let with_conversion = |cost: Cost| if converts { cost.converted(&app.limits) } else { cost };
    let mut reservation = match app.budget.take(with_conversion(cost)).await {
        Ok(reservation) => reservation,
        Err(busy) => {
            pass_over(body, limit).await;
            return Err(busy);
        }
    };
    let body = if asks {
        pass_over(body, limit).await;
        Bytes::new()
    } else {
        read(body, app.budget.buffer(&reservation, length).await?, limit).await?
    };
    if changes && path.is_empty() && body.len() <= SCANNED_BUNDLE {
        let answer = answer_bytes(&head.headers, &body, &app.limits);
        let cost = Cost::bundle(body.len(), answer, &app.limits);
        reservation = app.budget.resize(reservation, with_conversion(cost)).await?;
    }
    let at_once = reads_one
        || (asks && path == "metadata")
        || (changes && !patches && !converts && !path.is_empty() && query.is_empty() && body.len() <= READ_AT_ONCE);
    let mut request = Request::new(method.as_str().to_owned(), path.to_owned()).query(query.to_owned()).body(body);
    for (name, value) in &head.headers {
        // A header that is not text is no valid tag, media type or condition either.
        request = request.header(name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned());
    }
    let mut response = None;
    if at_once {
        response = if reads_one {
            server.handle_at_once(&request, SMALL_RESOURCE).await
        } else {
            server.handle_within(&request, SMALL_RESOURCE).await
        };
        let size = response.as_ref().map_or(0, |response| response.body.len());
        if reads_one && (response.is_none() || !reservation.covers(size)) {
            // The resource is read again once memory for it is reserved: many clients may be here at once.
            drop(response.take());
            let cost = Cost::answer(size.max(stored_bytes(&server, path, &app.limits).await));
            reservation = app.budget.resize(reservation, cost).await?;
        }
    }
    if response.is_none() && (reads_one || !at_once) {
        let largest = if changes { usize::MAX } else { SMALL_RESOURCE };
        let (again, light) = (server.clone(), request.clone());
        let work = async move { again.handle_within(&light, largest).await };
        (response, reservation) = app.budget.offload(reservation, work).await?;
    }
    let response = match response {
        Some(response) => response,
        // Parsing large stored resources takes as much memory as a document of their size.
        None => {
            let read = match reads_one || at_once {
                true => stored_bytes(&server, path, &app.limits).await,
                false => MAX_DOCUMENT,
            };
            let whole = if reads_one { Cost::answer(read) } else { self::cost(path, length, &app.limits) };
            let cost = whole.and(Cost::document(read, &app.limits));
            reservation = app.budget.resize(reservation, with_conversion(cost)).await?;
            let work = async move { server.handle(&request).await };
            let (response, held) = app.budget.offload(reservation, work).await?;
            reservation = held;
            response
        }
    };
    let length = response.body.len();
    let answer = until_sent(of_library(response), length, reservation);
    if (names_one || changes) && answer.status().is_success() {
        maintenance::remember_tenant(&app, &tenant).await;
        if changes && let Some(subscribed) = &app.subscriptions {
            subscribed.changed(&tenant);
        }
    }
    Ok(answer)
}

/// Whether a request names a version of FHIR or XML, so that documents may have to be converted.
fn may_convert(headers: &HeaderMap, query: &str) -> bool {
    let named = |text: &[u8]| {
        let text = text.to_ascii_lowercase();
        let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
        has(b"fhirversion") || has(b"xml")
    };
    let kinds = [header::ACCEPT, header::CONTENT_TYPE];
    let mut values = kinds.iter().flat_map(|name| headers.get_all(name));
    values.any(|value| named(value.as_bytes())) || (query.contains("_format") && named(query.as_bytes()))
}

/// Returns the cost of a request before its body is read.
fn cost(path: &str, length: usize, limits: &Limits) -> Cost {
    if path.is_empty() {
        // The text of a small bundle is scanned before more is reserved for it.
        let answer = if length <= SMALL_BUNDLE { 0 } else { limits.answer_bytes() };
        Cost::bundle(length, answer, limits)
    } else if length > 0 && !path.ends_with("_search") {
        Cost::document(length, limits)
    } else {
        Cost::search(length, limits)
    }
}

/// Returns the size of the stored resource at a path; the maximum where the target is conditional.
async fn stored_bytes<S: ResourceStore + ?Sized>(server: &Server<S>, path: &str, limits: &Limits) -> usize {
    let Some((kind, id)) = path.split_once('/') else { return limits.patched_bytes() };
    let Some(key) = kind.parse().ok().and_then(|kind| Key::new(kind, id).ok()) else { return limits.patched_bytes() };
    match server.store().read(&key).await {
        Ok(version) => version.body.map_or(0, |body| body.len()),
        Err(_) => 0,
    }
}

/// Returns the maximum size of the answer to a batch or transaction, estimated from its text: small for each entry
/// where nothing is read and no written resource is returned.
fn answer_bytes(headers: &HeaderMap, body: &[u8], limits: &Limits) -> usize {
    let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let shows = headers.get_all("prefer").iter().any(|value| value.as_bytes() != b"return=minimal");
    // Names may contain escapes. A transaction holds the components that it replaces in memory.
    if shows || has(b"GET") || has(b"\\u") || (has(b"transaction") && has(b"DeviceComponent")) {
        return limits.answer_bytes();
    }
    let entries = body.iter().filter(|byte| **byte == b'{').count().min(limits.entries());
    entries.saturating_mul(ENTRY_ANSWER).min(limits.answer_bytes())
}

/// Returns the length of a body, or its maximum where no length is stated; `None` where the length exceeds the limit.
fn body_length(headers: &HeaderMap, body: &Body, limit: usize) -> Option<usize> {
    if body.is_end_stream() {
        return Some(0);
    }
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    Some(told.unwrap_or(limit)).filter(|length| *length <= limit)
}

/// Reads and discards a body, up to a number of bytes: a client that is still sending does not read the answer, and may
/// find the connection closed before it does.
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
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-large", words)
}

/// Reads a body into a buffer, up to a limit.
async fn read(body: Body, mut buffer: Vec<u8>, limit: usize) -> Result<Bytes> {
    let mut body = body.into_data_stream();
    while let Some(part) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
        let part = part.map_err(|_| Problem::bad("body", "the body broke off"))?;
        if part.len() > limit.saturating_sub(buffer.len()) {
            pass_over(Body::from_stream(body), limit).await;
            return Err(too_large(limit));
        }
        buffer.extend_from_slice(&part);
    }
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use super::SMALL_RESOURCE;
    use crate::backend::Memory;
    use crate::rest::{Request, Server};
    use crate::service::UpdateService;
    use crate::store::{ResourceStore, TenantResources};
    use std::sync::Arc;

    #[tokio::test]
    async fn search_of_large_resources_is_deferred() {
        let store: Arc<dyn ResourceStore> = Arc::new(Memory::new());
        let server = Server::new(TenantResources::new(store, "ward".parse().unwrap()), "https://x.example/fhir");
        let device = format!(r#"{{"resourceType":"Device","id":"a","lotNumber":"{}"}}"#, "x".repeat(1_000));
        let put = Request::new("PUT", "Device/a").header("Content-Type", "application/fhir+json").body(device);
        assert_eq!(server.handle(&put).await.status, 201);
        let search = |query: &str| Request::new("GET", "Device").query(query.to_owned());
        for (query, reads) in [("_id=a", false), ("_sort=-_lastUpdated", false), ("model:missing=true", true)] {
            let search = search(query);
            assert_eq!(server.handle_within(&search, 500).await.is_none(), reads, "{query}");
            assert_eq!(server.handle_within(&search, 5_000).await.map(|it| it.status), Some(200), "{query}");
            assert_eq!(server.handle(&search).await.status, 200, "{query}");
        }
    }

    #[tokio::test]
    async fn large_resources_are_left_for_worker_threads() {
        let memory = Arc::new(Memory::new());
        let updates = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
        let store: Arc<dyn ResourceStore> = memory;
        let server = Server::new(TenantResources::new(store, "ward".parse().unwrap()), "https://x.example/fhir")
            .with_known_updates(Arc::new(updates));
        let wide = "x".repeat(SMALL_RESOURCE);
        let device = format!(r#"{{"resourceType":"Device","id":"a","lotNumber":"{wide}"}}"#);
        // The name of the extension suggests that the component has updates.
        let component = format!(
            r#"{{"resourceType":"DeviceComponent","id":"a","identifier":{{"value":"1"}},
            "type":{{"text":"available-update {wide}"}}}}"#
        );
        for (path, body) in [("Device/a", device), ("DeviceComponent/a", component)] {
            let put = Request::new("PUT", path).header("Content-Type", "application/fhir+json").body(body);
            assert_eq!(server.handle(&put).await.status, 201);
            for path in [path.to_owned(), format!("{path}/_history/1")] {
                let read = Request::new("GET", path.clone());
                assert!(server.handle_at_once(&read, SMALL_RESOURCE).await.is_none(), "{path}");
                let within = server.handle_within(&read, SMALL_RESOURCE).await.map(|answer| answer.status);
                let wanted = if path.starts_with("DeviceComponent") { None } else { Some(200) };
                assert_eq!(within, wanted, "{path}");
                let r4 = read.clone().header("Accept", "application/fhir+json; fhirVersion=4.0");
                assert!(server.handle_within(&r4, SMALL_RESOURCE).await.is_none(), "{path}");
                assert_eq!(server.handle(&read).await.status, 200);
            }
        }
        // A small document over a large component: the stored component is read for its updates, and nothing is written
        // before.
        let small = r#"{"resourceType":"DeviceComponent","id":"a","identifier":{"value":"1"},"type":{"text":"b"}}"#;
        let put = Request::new("PUT", "DeviceComponent/a").header("Content-Type", "application/fhir+json").body(small);
        assert!(server.handle_within(&put, SMALL_RESOURCE).await.is_none());
        let read = server.handle(&Request::new("GET", "DeviceComponent/a")).await;
        assert_eq!(read.header("etag"), Some("W/\"1\""));
        assert_eq!(server.handle(&put).await.status, 200);
        assert_eq!(server.handle_within(&put, SMALL_RESOURCE).await.map(|answer| answer.status), Some(200));
    }
}
