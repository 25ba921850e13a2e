//! Cross-origin resource sharing (CORS) for pages of the origins that the operator lists.

use super::Shared;
use super::answer::{Answer, empty};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;

/// The methods that a page may use.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The request headers allowed to a page that names none.
const SENT: &str =
    "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer";

/// The response headers that a page may read, beyond the CORS-safelisted ones.
const READ: &str = "ETag, Location, Content-Location, Last-Modified, Allow, Accept-Patch, Retry-After, Link";

/// How long a browser may cache a preflight answer, in seconds.
const KEPT: &str = "600";

/// Returns the origin of a request, where the operator lists it.
pub(super) fn listed<'h>(headers: &'h HeaderMap, origins: &[String]) -> Option<&'h HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    origins.iter().any(|listed| listed == text).then_some(origin)
}

/// Adds CORS headers. A preflight request is answered here, since it has no token.
pub(super) async fn share(State(app): State<Shared>, request: Request, next: Next) -> Answer {
    if app.cors_origins.is_empty() {
        return next.run(request).await;
    }
    let Some(origin) = listed(request.headers(), &app.cors_origins).cloned() else {
        let mut answer = next.run(request).await;
        answer.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        return answer;
    };
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = if is_preflight { empty(StatusCode::NO_CONTENT) } else { next.run(request).await };
    let headers = answer.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let mut say = |name: HeaderName, value: HeaderValue| drop(headers.insert(name, value));
    if is_preflight {
        say(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        say(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static(SENT)));
        say(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(KEPT));
    } else {
        say(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    }
    answer
}
