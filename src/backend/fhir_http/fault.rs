//! Mapping server responses to store errors.

use super::statement::MissingCapability;
use super::wire::ServerResponse;
use crate::store::{BoxError, StoreError};

/// A server fault that violates the store contract; the source of a [`StoreError::Backend`], or of a
/// [`StoreError::Indeterminate`] where it may have applied a write.
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
    #[error("the answer names no version")]
    VersionMissing,
    /// The answer has no time of the version.
    #[error("the answer has no time of the version")]
    TimeMissing,
    /// The write was applied although its condition did not hold: the server passes over `If-Match` or `If-None-Match`.
    #[error("the server applied a write whose condition did not hold: it made version {made}")]
    ConditionIgnored {
        /// The version that was made.
        made: u64,
    },
    /// The server keeps a resource without the extension that holds the id of the write.
    #[error("the server did not keep the write id")]
    WriteIdLost,
    /// The server lacks what the store needs, by its own CapabilityStatement.
    #[error("the server lacks what is needed: {}", words(what))]
    Lacking {
        /// What is missing.
        what: Vec<MissingCapability>,
    },
    /// The server drops an element of what is written, or changes it.
    #[error("the server does not keep `{at}` as it was written")]
    ElementLost {
        /// The place of the element, in FHIR's names.
        at: String,
    },
    /// The server claims what a later read contradicts.
    #[error("the server does not do what it says: {why}")]
    Unproven {
        /// What was found.
        why: String,
    },
    /// A link to the next page leads away from the address of the tenant, as behind a proxy that does not tell the server
    /// its name.
    #[error("the link to the next page leads to `{to}`, out of the address of the tenant")]
    ForeignLink {
        /// The place, without its query.
        to: String,
    },
    /// The links to the next page lead in a circle, or on and on to pages that show nothing.
    #[error("the links to the next page come to no end")]
    EndlessPages,
    /// The pages of a search are not in the order of the ids.
    #[error("the server does not sort what it finds by `_id`")]
    NotSorted,
    /// The server sends the client elsewhere, where it does not go.
    #[error("the server answered {status} and redirects to `{to}`, which is not followed")]
    Redirected {
        /// The status.
        status: u16,
        /// The place.
        to: String,
    },
    /// A response larger than the client accepts.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The maximum size.
        limit: usize,
    },
    /// A body that is not what was asked for.
    #[error("the answer cannot be read: {why}")]
    Unreadable {
        /// The fault.
        why: String,
    },
    /// A status that has no other meaning here.
    #[error("the server answered {status}: {text}")]
    UnexpectedStatus {
        /// The status.
        status: u16,
        /// What the server says about it.
        text: String,
    },
}

fn words(what: &[MissingCapability]) -> String {
    what.iter().map(MissingCapability::to_string).collect::<Vec<_>>().join("; ")
}

impl From<ServerFault> for StoreError {
    fn from(fault: ServerFault) -> Self {
        Self::backend(Box::new(fault))
    }
}

/// Returns whether an answer was larger than is heard.
pub(super) fn is_too_large(error: &StoreError) -> bool {
    let StoreError::Backend { source, .. } = error else { return false };
    matches!(source.downcast_ref(), Some(ServerFault::TooLarge { .. }))
}

/// Returns the error of a write that was sent and whose outcome is unknown.
pub(super) fn unknown(source: impl Into<BoxError>) -> StoreError {
    StoreError::indeterminate(Some(source.into()))
}

/// Returns what went wrong after a write was applied.
pub(super) fn since_applied(error: StoreError) -> StoreError {
    match error {
        StoreError::Backend { source, .. } => StoreError::indeterminate(Some(source)),
        other => unknown(other),
    }
}

/// Returns a refusal in the server's words. Nothing was applied.
pub(super) fn invalid(answer: &ServerResponse) -> StoreError {
    StoreError::invalid(format!("the server answered {}: {}", answer.status, answer.text()))
}

/// Returns the refusal that an answer is, where its status has no meaning of its own for the call.
pub(super) fn refusal(answer: &ServerResponse, writes: bool, max_body: u64) -> StoreError {
    let (status, retry_after) = (answer.status, answer.retry_after);
    let told = || ServerFault::UnexpectedStatus { status, text: answer.text() };
    let unavailable = || StoreError::unavailable(retry_after, Some(told().into()));
    match status {
        401 | 403 => StoreError::denied(Some(told().into())),
        404 => StoreError::not_found(),
        405 | 501 => StoreError::unsupported("an interaction that the server does not offer"),
        409 | 412 => StoreError::conflict(None),
        413 => StoreError::too_large(max_body),
        429 => StoreError::throttled(retry_after),
        // A gateway says so too when it has lost the answer of a server that got the request.
        503 if answer.is_the_servers_own() => unavailable(),
        408 | 500.. if writes => unknown(told()),
        408 | 502..=504 => unavailable(),
        400..=499 => invalid(answer),
        300..=399 => ServerFault::Redirected { status, to: answer.location() }.into(),
        _ => told().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_message_is_one_line() {
        for (fault, words) in [
            (ServerFault::VersionMissing, "the answer names no version"),
            (ServerFault::TimeMissing, "the answer has no time of the version"),
            (
                ServerFault::ConditionIgnored { made: 7 },
                "the server applied a write whose condition did not hold: it made version 7",
            ),
            (ServerFault::WriteIdLost, "the server did not keep the write id"),
            (
                ServerFault::Lacking { what: vec![MissingCapability::Json, MissingCapability::Transactions] },
                "the server lacks what is needed: the server writes no JSON; the server takes no transactions",
            ),
            (
                ServerFault::ElementLost { at: "Device.extension[0]".into() },
                "the server does not keep `Device.extension[0]` as it was written",
            ),
            (ServerFault::Unproven { why: "it is gone".into() }, "the server does not do what it says: it is gone"),
            (
                ServerFault::ForeignLink { to: "https://x.example/fhir".into() },
                "the link to the next page leads to `https://x.example/fhir`, out of the address of the tenant",
            ),
            (ServerFault::EndlessPages, "the links to the next page come to no end"),
            (ServerFault::NotSorted, "the server does not sort what it finds by `_id`"),
            (
                ServerFault::Redirected { status: 302, to: "https://x.example/".into() },
                "the server answered 302 and redirects to `https://x.example/`, which is not followed",
            ),
            (ServerFault::TooLarge { limit: 9 }, "the answer is larger than 9 bytes"),
            (ServerFault::Unreadable { why: "it is empty".into() }, "the answer cannot be read: it is empty"),
            (ServerFault::UnexpectedStatus { status: 500, text: "oh".into() }, "the server answered 500: oh"),
        ] {
            assert_eq!(fault.to_string(), words);
            assert!(matches!(StoreError::from(fault), StoreError::Backend { .. }));
        }
    }
}
