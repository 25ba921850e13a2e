//! What goes back to the client: resources with their version, and every fault as an OperationOutcome.

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use fhir_devices::datatype::{CodeableConcept, Coding};
use fhir_devices::issue::Kind;
use fhir_devices::resource::operation_outcome::RULE_SYSTEM;
use fhir_devices::store::{InvalidText, StoreError};
use fhir_devices::{OperationOutcome, Report, Severity};
use std::fmt::Display;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// The media type of FHIR STU3 in JSON.
pub(crate) const FHIR_JSON: &str = "application/fhir+json";

/// An answer.
pub(crate) type Answer = Response<Body>;

/// An answer, or why there is none.
pub(crate) type Result<T = Answer> = std::result::Result<T, Problem>;

/// Why a request was not carried out, with the status that says so.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    outcome: Box<OperationOutcome>,
    retry_after: Option<u64>,
}

impl Problem {
    /// One reason: the status, FHIR's issue type, our key for it, and words for the client.
    pub(crate) fn new(status: StatusCode, kind: Kind, rule: &str, words: impl Display) -> Self {
        let outcome = OperationOutcome::of(Severity::Error, kind, &words.to_string());
        let mut problem = Self { status, outcome: Box::new(outcome), retry_after: None };
        for issue in &mut problem.outcome.issue {
            issue.details = Coding::new(RULE_SYSTEM, rule).ok().map(CodeableConcept::from);
        }
        problem
    }

    /// A document that breaks rules: every finding.
    pub(crate) fn document(report: &Report) -> Self {
        Self { status: StatusCode::BAD_REQUEST, outcome: Box::new(report.into()), retry_after: None }
    }

    /// A request that does not say what it must, or says it in the wrong form.
    pub(crate) fn bad(rule: &str, words: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Kind::Invalid, rule, words)
    }

    /// Something asked for that this service does not do.
    pub(crate) fn unsupported(status: StatusCode, rule: &str, words: impl Display) -> Self {
        Self::new(status, Kind::NotSupported, rule, words)
    }

    pub(crate) fn not_found(words: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, Kind::NotFound, "not-found", words)
    }

    /// After how many seconds the same request may succeed.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// An error of a store about `what`, as in "Device/pump".
    pub(crate) fn of_store(error: &StoreError, what: impl Display) -> Self {
        use StatusCode as S;
        let new = |status, kind, rule, words: String| Self::new(status, kind, rule, words);
        let mut problem = match error {
            StoreError::NotFound => new(S::NOT_FOUND, Kind::NotFound, "not-found", format!("there is no {what}")),
            StoreError::Gone { at } => {
                new(S::GONE, Kind::NotFound, "deleted", format!("{what} was deleted; version {at} stands for that"))
            }
            StoreError::AlreadyExists { .. } => {
                new(S::CONFLICT, Kind::Duplicate, "already-exists", format!("{what} exists already"))
            }
            StoreError::Conflict { current } => {
                let now = current.map(|now| format!("; it is now {}", now.etag())).unwrap_or_default();
                let words = format!("{what} is not in the version that `If-Match` names{now}");
                new(S::CONFLICT, Kind::Conflict, "version-conflict", words)
            }
            StoreError::Throttled { .. } => {
                new(S::TOO_MANY_REQUESTS, Kind::Throttled, "throttled", "the store asks for fewer requests".into())
            }
            StoreError::Unavailable { .. } => {
                new(S::SERVICE_UNAVAILABLE, Kind::Transient, "unavailable", error.to_string())
            }
            StoreError::Indeterminate { .. } => {
                let words = format!("it is not known whether {what} was stored: read it before you send it again");
                new(S::INTERNAL_SERVER_ERROR, Kind::Exception, "indeterminate", words)
            }
            StoreError::Invalid { .. } => new(S::BAD_REQUEST, Kind::Invalid, "invalid-request", error.to_string()),
            StoreError::OutOfRange { .. } => {
                new(S::RANGE_NOT_SATISFIABLE, Kind::Value, "out-of-range", error.to_string())
            }
            StoreError::TooLarge { .. } => {
                new(S::PAYLOAD_TOO_LARGE, Kind::TooLong, "too-large", format!("{what} is {error}"))
            }
            StoreError::Unsupported { .. } => {
                new(S::NOT_IMPLEMENTED, Kind::NotSupported, "unsupported", error.to_string())
            }
            _ => {
                report_fault(error);
                let words = format!("the store failed; whether {what} was changed is shown by reading it");
                new(S::INTERNAL_SERVER_ERROR, Kind::Exception, "store-failed", words)
            }
        };
        problem.retry_after = error.retry_after().map(|wait| wait.as_secs().max(1));
        problem
    }
}

/// Tells the operator about a fault of ours, with its causes. The client is not told what is inside.
pub(crate) fn report_fault(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    eprintln!("update_service: {text}");
}

impl From<InvalidText> for Problem {
    fn from(error: InvalidText) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Kind::Value, "invalid-text", error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Answer {
        let mut answer = json(self.status, self.outcome.to_json());
        if let Some(seconds) = self.retry_after {
            set(&mut answer, header::RETRY_AFTER, seconds);
        }
        answer
    }
}

/// A resource, or an outcome, as the whole answer.
pub(crate) fn json(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, FHIR_JSON);
    set(&mut answer, header::CACHE_CONTROL, "no-cache");
    answer
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// Sets a header. A value that no header may hold is left out.
pub(crate) fn set(answer: &mut Answer, name: HeaderName, value: impl Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        answer.headers_mut().insert(name, value);
    }
}

/// A moment as HTTP writes it.
pub(crate) fn http_date(moment: OffsetDateTime) -> String {
    const FORM: &[BorrowedFormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    moment.to_offset(time::UtcOffset::UTC).format(FORM).unwrap_or_default()
}
