//! How bodies are encoded, and what is too long or asks which methods there are.

use super::answer::{Answer, Problem, empty};
use crate::issue::IssueType;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

/// The longest address of a request, in bytes.
const MAX_ADDRESS: usize = 32 << 10;

/// Compresses answers by gzip for clients that take it. What a page costs is little of what it costs to send.
pub(super) fn compressed() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// Reads bodies that come compressed by gzip; how large one may be counts for what it holds.
pub(super) fn decompressed() -> RequestDecompressionLayer {
    // Others are refused before, with words.
    RequestDecompressionLayer::new().pass_through_unaccepted(true)
}

/// Refuses bodies in an encoding that is not known. Those that are known get the one name that is looked for when they are read:
/// names have no case, and `x-gzip` is an old one for `gzip` (RFC 9110, 8.4.1.3).
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

/// Refuses addresses that are too long.
pub(super) async fn not_too_long(request: Request, next: Next) -> Answer {
    let length = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if length <= MAX_ADDRESS {
        return next.run(request).await;
    }
    let words = format!("the address has {length} bytes, and at most {MAX_ADDRESS} are taken: post the search");
    Problem::new(StatusCode::URI_TOO_LONG, IssueType::TooLong, "address-too-long", words).into_response()
}

/// Answers `OPTIONS` where no handler does, by the methods that there are.
pub(super) async fn tell_methods(request: Request, next: Next) -> Answer {
    let asks = request.method() == Method::OPTIONS;
    let answer = next.run(request).await;
    if !asks || answer.status() != StatusCode::METHOD_NOT_ALLOWED {
        return answer;
    }
    // The router adds them.
    empty(StatusCode::NO_CONTENT)
}
