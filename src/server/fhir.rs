//! The FHIR interface: the library's, carried over HTTP.

use super::answer::{Problem, Result, of_library};
use super::place::AtTenant;
use super::{MAX_BUNDLE, MAX_DOCUMENT, Shared, keeper};
use crate::issue::Kind;
use crate::rest::Request;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, StatusCode, Uri};

/// Everything at and below `/TENANT/fhir`.
pub(super) async fn handle(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: std::result::Result<Bytes, BytesRejection>,
) -> Result {
    // The path is given on as it came; the tenant is the first segment, `fhir` the second.
    let path = uri.path().splitn(4, '/').nth(3).unwrap_or_default();
    let body = body.map_err(|refused| {
        if refused.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let limit = if path.is_empty() { MAX_BUNDLE } else { MAX_DOCUMENT };
            let words = format!("the body is larger than {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLong, "too-large", words)
        } else {
            Problem::bad("body", "the body broke off")
        }
    })?;
    // Searches of a tenant of whom nothing is known succeed too.
    let names_one = path.split_once('/').is_some_and(|(_, id)| !id.starts_with('_'));
    let changes = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) && !path.ends_with("_search");
    let mut request = Request::new(method.as_str(), path).query(uri.query().unwrap_or_default()).body(body);
    for (name, value) in &headers {
        // What is no text is no tag, no media type and no condition either.
        request = request.header(name.as_str(), value.to_str().unwrap_or_default());
    }
    let answer = of_library(app.fhir(&tenant).handle(&request).await);
    if (names_one || changes) && answer.status().is_success() {
        keeper::notice(&app, &tenant).await;
    }
    Ok(answer)
}
