//! Content encodings of bodies, limits on URLs, and `OPTIONS`.

use super::answer::{Answer, Problem, empty};
use crate::issue::IssueType;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

/// Maximum length of a request URL, in bytes.
const MAX_ADDRESS: usize = 32 << 10;

/// Compresses answers with gzip for clients that accept it. Compressing a page is cheap compared with sending it.
pub(super) fn compressed() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// Decompresses gzip bodies; size limits apply to the decompressed content.
pub(super) fn decompressed() -> RequestDecompressionLayer {
    // Other encodings are refused before this layer, with a message.
    RequestDecompressionLayer::new().pass_through_unaccepted(true)
}

/// Refuses bodies in an unknown encoding. Known names are normalized for the decompression layer: they are
/// case-insensitive, and `x-gzip` is an old name of `gzip` (RFC 9110, 8.4.1.3).
pub(super) async fn known(mut request: Request, next: Next) -> Answer {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    let is = |value: &HeaderValue, names: &[&str]| {
        value.to_str().is_ok_and(|value| names.iter().any(|name| value.trim().eq_ignore_ascii_case(name)))
    };
    let Some(unknown) = encodings.find(|value| !is(value, &["", "gzip", "x-gzip", "identity"])) else {
        let is_gzip = |value: &HeaderValue| is(value, &["gzip", "x-gzip"]);
        let times = request.headers().get_all(header::CONTENT_ENCODING).iter().filter(|value| is_gzip(value)).count();
        return match times {
            0 => next.run(request).await,
            1 => {
                request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                next.run(request).await
            }
            _ => not_known("gzip, gzip"),
        };
    };
    not_known(unknown.to_str().unwrap_or_default())
}

fn not_known(unknown: &str) -> Answer {
    let words = format!("the body is encoded by `{unknown}`, and gzip alone is known");
    let problem = Problem::unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", words);
    let mut answer = problem.into_response();
    answer.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
    answer
}

/// Refuses URLs that are too long.
pub(super) async fn not_too_long(request: Request, next: Next) -> Answer {
    let length = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if length <= MAX_ADDRESS {
        return next.run(request).await;
    }
    let words = format!("the address has {length} bytes, and at most {MAX_ADDRESS} are taken: post the search");
    Problem::new(StatusCode::URI_TOO_LONG, IssueType::TooLong, "address-too-long", words).into_response()
}

/// Answers `OPTIONS` where no handler does, with the allowed methods.
pub(super) async fn tell_methods(request: Request, next: Next) -> Answer {
    let asks = request.method() == Method::OPTIONS;
    let answer = next.run(request).await;
    if !asks || answer.status() != StatusCode::METHOD_NOT_ALLOWED {
        return answer;
    }
    // The router adds the `Allow` header.
    empty(StatusCode::NO_CONTENT)
}
