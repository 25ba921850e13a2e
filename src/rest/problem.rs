//! Why a request was not carried out, as an OperationOutcome with a status.

use super::{Limits, Response};
use crate::datatype::{CodeableConcept, Coding, Primitive};
use crate::element::TOO_MANY_ELEMENTS;
use crate::issue::{IssueType, Report, Severity};
use crate::primitive::{CanonicalBase, Text};
use crate::resource::OperationOutcome;
use crate::resource::operation_outcome::{Issue, RULE_SYSTEM};
use crate::store::{InvalidText, StoreError};
use crate::support::with_causes;
use std::fmt::Display;

/// An answer, or why there is none.
pub(super) type Result<T, E = Problem> = std::result::Result<T, E>;

/// Why a request was not carried out: a status, and an outcome that says it in FHIR's words.
///
/// ```
/// use fhir_devices::issue::IssueType;
/// use fhir_devices::rest::Problem;
/// let response = Problem::new(403, IssueType::Forbidden, "tenant", "this token is not for the tenant").into_response();
/// assert_eq!(response.status, 403);
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    status: u16,
    outcome: Box<OperationOutcome>,
    retry_after: Option<u64>,
    /// More headers of the answer.
    headers: Vec<(&'static str, String)>,
    /// How many reasons are not listed.
    omitted: usize,
    fault: Option<String>,
}

impl Problem {
    /// One reason: the status, FHIR's issue type, our key for it, and words for the client.
    #[must_use]
    pub fn new(status: u16, kind: IssueType, rule: &str, words: impl Display) -> Self {
        let mut outcome = OperationOutcome::of(Severity::Error, kind, &words.to_string());
        for issue in &mut outcome.issue {
            issue.details = Coding::new(RULE_SYSTEM, rule).ok().map(CodeableConcept::from);
        }
        Self { status, outcome: Box::new(outcome), retry_after: None, headers: Vec::new(), omitted: 0, fault: None }
    }

    /// Returns a document that breaks rules: every finding, with the status 400; 413 where it has more elements than
    /// are read.
    #[must_use]
    pub fn document(report: &Report) -> Self {
        let too_large = report.iter().any(|issue| issue.rule == TOO_MANY_ELEMENTS);
        let status = if too_large { 413 } else { 400 };
        Self {
            status,
            outcome: Box::new(report.into()),
            retry_after: None,
            headers: Vec::new(),
            omitted: 0,
            fault: None,
        }
    }

    /// The same with no more findings than are listed in one answer; the last issue counts the others.
    pub(super) fn document_within(mut report: Report, limits: &Limits) -> Self {
        report.cut(limits.findings());
        Self::document(&report)
    }

    /// Returns a document that follows the rules of FHIR and breaks one of the service's: every finding, with the
    /// status 422.
    #[must_use]
    pub fn unprocessable(report: &Report) -> Self {
        Self { status: 422, ..Self::document(report) }
    }

    /// The same with another status.
    #[must_use]
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// A request that does not say what it must, or says it in the wrong form.
    #[must_use]
    pub fn bad(rule: &str, words: impl Display) -> Self {
        Self::new(400, IssueType::Invalid, rule, words)
    }

    /// Something asked for that is not done here.
    #[must_use]
    pub fn unsupported(status: u16, rule: &str, words: impl Display) -> Self {
        Self::new(status, IssueType::NotSupported, rule, words)
    }

    /// Something that is not there.
    #[must_use]
    pub fn not_found(words: impl Display) -> Self {
        Self::new(404, IssueType::NotFound, "not-found", words)
    }

    /// After how many seconds the same request may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// With one more header of the answer; the name is in lower case.
    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns an error of a store about `what`, as in "Device/pump".
    #[must_use]
    pub fn of_store(error: &StoreError, what: impl Display) -> Self {
        let mut problem = match error {
            StoreError::NotFound { .. } => Self::not_found(format_args!("there is no {what}")),
            StoreError::Gone { at, .. } => {
                let words = format!("{what} was deleted; version {at} stands for that");
                Self::new(410, IssueType::NotFound, "deleted", words)
            }
            StoreError::AlreadyExists { .. } => {
                Self::new(409, IssueType::Duplicate, "already-exists", format_args!("{what} exists already"))
            }
            StoreError::Conflict { current, .. } => {
                let now = current.map(|now| format!("; it is now {}", now.etag())).unwrap_or_default();
                let words = format!("{what} is not in the version that `If-Match` names{now}");
                Self::new(409, IssueType::Conflict, "version-conflict", words)
            }
            StoreError::Throttled { .. } => {
                Self::new(429, IssueType::Throttled, "throttled", "the store asks for fewer requests")
            }
            StoreError::Unavailable { .. } => {
                Self::new(503, IssueType::Transient, "unavailable", error.without_subject())
            }
            StoreError::Indeterminate { .. } => {
                let words = format!("it is not known whether {what} was stored: read it before you send it again");
                Self::new(500, IssueType::Exception, "indeterminate", words)
            }
            StoreError::Invalid { .. } => {
                Self::new(400, IssueType::Invalid, "invalid-request", error.without_subject())
            }
            StoreError::OutOfRange { .. } => Self::new(416, IssueType::Value, "out-of-range", error.without_subject()),
            StoreError::TooLarge { .. } => {
                Self::new(413, IssueType::TooLong, "too-large", format_args!("{what} is {}", error.without_subject()))
            }
            StoreError::Unsupported { .. } => {
                Self::new(501, IssueType::NotSupported, "unsupported", error.without_subject())
            }
            _ => {
                let words = format!("the store failed; whether {what} was changed is shown by reading it");
                Self::new(500, IssueType::Exception, "store-failed", words)
            }
        };
        problem.retry_after = error.retry_after().map(|wait| wait.as_secs().max(1));
        problem.fault = (problem.status >= 500 && problem.status != 501).then(|| with_causes(error));
        problem
    }

    /// Returns the same, said of a place in a document.
    #[must_use]
    pub(super) fn at(mut self, place: &str) -> Self {
        for issue in &mut self.outcome.issue {
            let own = issue.expression.first().and_then(|text| text.value.as_ref()).map(Text::as_str);
            // `Device.status` of an entry becomes `Bundle.entry[0].resource.status`.
            let below = own.and_then(|own| own.split_once('.')).map(|(_, rest)| format!(".resource.{rest}"));
            let whole = format!("{place}{}", below.unwrap_or_default());
            issue.expression = Text::new(&*whole).ok().map(Primitive::from).into_iter().collect();
        }
        self
    }

    /// One more reason, with its own place; the status is the first one's.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        let left = Report::MOST.saturating_sub(self.outcome.issue.len());
        self.omitted = self.omitted.saturating_add(other.omitted + other.outcome.issue.len().saturating_sub(left));
        self.outcome.issue.extend(other.outcome.issue.into_iter().take(left));
        self
    }

    /// Returns what it says, as a warning beside an answer.
    pub(super) fn warning(self) -> OperationOutcome {
        let mut outcome = *self.outcome;
        for issue in &mut outcome.issue {
            issue.severity = Severity::Warning.into();
        }
        outcome
    }

    /// Returns the same, with the URLs of this crate under a base of the caller's.
    #[must_use]
    pub fn under(mut self, base: &CanonicalBase) -> Self {
        self.outcome = Box::new(self.outcome.under(base));
        self
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reasons.
    pub fn issues(&self) -> impl Iterator<Item = &Issue> {
        self.outcome.issue.iter()
    }

    /// Returns the answer that tells it to the client.
    #[must_use]
    pub fn into_response(mut self) -> Response {
        if self.omitted > 0 {
            let words = format!("{} more findings are not listed", self.omitted);
            self.outcome
                .issue
                .extend(Self::new(self.status, IssueType::TooCostly, "more-findings", words).outcome.issue);
        }
        let mut response = Response::json(self.status, self.outcome.to_json());
        if let Some(seconds) = self.retry_after {
            response = response.with("retry-after", seconds.to_string());
        }
        for (name, value) in self.headers {
            response = response.with(name, value);
        }
        response.fault = self.fault;
        response
    }
}

impl From<InvalidText> for Problem {
    fn from(error: InvalidText) -> Self {
        Self::new(400, IssueType::Value, "invalid-text", error)
    }
}
