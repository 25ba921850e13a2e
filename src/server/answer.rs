//! HTTP answers: responses of the library, and every fault as an OperationOutcome.

use crate::issue::IssueType;
use crate::primitive::CanonicalBase;
use crate::rest;
use crate::store::StoreError;
use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use futures_core::Stream;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(super) use crate::rest::http_date;
use crate::support::with_causes;

/// An HTTP answer.
pub(super) type Answer = Response<Body>;

/// An answer, or the problem to report instead.
pub(super) type Result<T = Answer> = std::result::Result<T, Problem>;

/// The reason why a request was not carried out, with its HTTP status.
#[derive(Debug)]
pub(super) struct Problem(rest::Problem);

impl Problem {
    /// Creates a problem from a status, FHIR's issue type, the key of the rule, and words for the client.
    pub(super) fn new(status: StatusCode, kind: IssueType, rule: &str, words: impl Display) -> Self {
        Self(rest::Problem::new(status.as_u16(), kind, rule, words))
    }

    /// Creates the problem of a request that lacks something or has it in the wrong form (400).
    pub(super) fn bad(rule: &str, words: impl Display) -> Self {
        Self(rest::Problem::bad(rule, words))
    }

    /// Creates the problem of a request for something that this service does not support.
    pub(super) fn unsupported(status: StatusCode, rule: &str, words: impl Display) -> Self {
        Self(rest::Problem::unsupported(status.as_u16(), rule, words))
    }

    pub(super) fn not_found(words: impl Display) -> Self {
        Self(rest::Problem::not_found(words))
    }

    /// Sets the seconds after which the same request may succeed.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self(self.0.with_retry_after(seconds))
    }

    /// Returns an error of a store about `what`, as in "Device/pump".
    pub(super) fn of_store(error: &StoreError, what: impl Display) -> Self {
        Self(rest::Problem::of_store(error, what))
    }
}

/// Logs an internal fault with its causes. The client does not get the details.
pub(super) fn report_fault(error: &(dyn std::error::Error + 'static)) {
    tracing::error!(fault = with_causes(error), "a request failed");
}

impl IntoResponse for Problem {
    fn into_response(self) -> Answer {
        let mut answer = of_library(self.0.clone().into_response());
        answer.extensions_mut().insert(Told(self.0));
        answer
    }
}

/// The problem that an answer reports, as an extension of the response.
#[derive(Clone)]
struct Told(rest::Problem);

/// Takes the problem out of an answer.
pub(super) fn told(answer: &mut Answer) -> Option<rest::Problem> {
    answer.extensions_mut().remove::<Told>().map(|Told(problem)| problem)
}

/// Puts the code system of rule keys under the base of the service, in the problem of an answer.
pub(super) fn under(base: &CanonicalBase, mut answer: Answer) -> Answer {
    let Some(Told(problem)) = answer.extensions_mut().remove::<Told>() else { return answer };
    let told = problem.under(base).into_response();
    set(&mut answer, header::CONTENT_LENGTH, told.body.len());
    *answer.body_mut() = stream(told.body);
    answer
}

/// Converts a response of the library to HTTP.
pub(super) fn of_library(response: rest::Response) -> Answer {
    if let Some(fault) = response.fault {
        tracing::error!(fault, "a request failed");
    }
    let length = response.body.len();
    let mut answer = Response::new(stream(response.body));
    if length > 0 {
        set(&mut answer, header::CONTENT_LENGTH, length);
    }
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

/// Returns a streamed body that sends each part by itself: the parts of a large answer are shared with the store.
fn stream(body: rest::Body) -> Body {
    let mut parts = body.into_parts();
    if parts.len() < 2 {
        return Body::from(parts.pop().unwrap_or_default());
    }
    Body::from_stream(Parts(parts.into_iter()))
}

/// The parts of a body, in order.
struct Parts(std::vec::IntoIter<Bytes>);

impl Stream for Parts {
    type Item = std::result::Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// Returns an answer with a resource as its body.
pub(super) fn json(status: StatusCode, body: String) -> Answer {
    of_library(rest::Response::json(status.as_u16(), body))
}

/// Returns an answer with a JSON document that is not a FHIR resource.
pub(super) fn json_text(status: StatusCode, body: String) -> Answer {
    let mut answer = plain("application/json", body);
    *answer.status_mut() = status;
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// Returns an answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// Sets a header. An invalid header value is left out.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: impl Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        answer.headers_mut().insert(name, value);
    }
}

/// Returns a text answer for programs that are not FHIR clients.
pub(super) fn plain(kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Body::from(text));
    set(&mut answer, header::CONTENT_TYPE, kind);
    answer
}
