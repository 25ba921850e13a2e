//! What an answer of a server means for the caller.

use super::wire::Answer;
use crate::store::{BoxError, StoreError};

/// What a server did that a store must not do; the source of a [`StoreError::Backend`].
///
/// ```
/// use fhir_devices::backend::fhir_http::ServerFault;
/// let fault = ServerFault::VersionNotANumber { found: "3f7c".into() };
/// assert_eq!(fault.to_string(), "the version id `3f7c` is not a number");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// The versions of this server are named and not counted.
    #[error("the version id `{found}` is not a number")]
    VersionNotANumber {
        /// The version id.
        found: String,
    },
    /// The answer does not say which version it is about.
    #[error("the answer tells no version")]
    VersionNotTold,
    /// The answer has no time of the version.
    #[error("the answer tells no time of the version")]
    TimeNotTold,
    /// The write was applied although its condition did not hold: the server passes over `If-Match` or `If-None-Match`.
    #[error("the server applied a write whose condition did not hold: it made version {made}")]
    ConditionIgnored {
        /// The version that was made.
        made: u64,
    },
    /// A link to the next page leads away from the address of the tenant.
    #[error("the link to the next page leads out of the address of the tenant")]
    ForeignLink,
    /// The pages of a search are not in the order of the ids.
    #[error("the server does not sort what it finds by `_id`")]
    NotSorted,
    /// A body that is not what was asked for.
    #[error("the answer cannot be read: {why}")]
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// A status that has no other meaning here.
    #[error("the server answered {status}: {text}")]
    Answered {
        /// The status.
        status: u16,
        /// What the server says about it.
        text: String,
    },
}

impl From<ServerFault> for StoreError {
    fn from(fault: ServerFault) -> Self {
        Self::Backend { source: Box::new(fault) }
    }
}

/// A write was sent, and what became of it cannot be told.
pub(super) fn unknown(source: impl Into<BoxError>) -> StoreError {
    StoreError::Indeterminate { source: Some(source.into()) }
}

/// The refusal that an answer is, where its status has no meaning of its own for the call.
pub(super) fn refusal(answer: &Answer, writes: bool, max_body: u64) -> StoreError {
    let status = answer.status;
    let text = answer.text();
    let told = || ServerFault::Answered { status, text: text.clone() };
    match status {
        400 | 406 | 415 | 422 => StoreError::invalid(format!("the server answered {status}: {text}")),
        401 | 403 => StoreError::Denied { source: Some(told().into()) },
        404 => StoreError::NotFound,
        405 | 501 => StoreError::Unsupported { what: "an interaction that the server does not offer" },
        409 | 412 => StoreError::Conflict { current: None },
        413 => StoreError::TooLarge { limit: max_body },
        429 => StoreError::Throttled { retry_after: answer.retry_after },
        503 => StoreError::Unavailable { retry_after: answer.retry_after, source: Some(told().into()) },
        408 | 500.. if writes => unknown(told()),
        408 | 500.. => StoreError::Unavailable { retry_after: answer.retry_after, source: Some(told().into()) },
        _ => told().into(),
    }
}
