//! Mapping engine errors to store errors.

use crate::store::{BoxError, StoreError};
use crate::support::chain;
use ::object_store::Error;
use ::object_store::client::{HttpError, HttpErrorKind};

/// Maps an error of a call that changes nothing or can be repeated.
pub(super) fn of_read(error: Error) -> StoreError {
    match told(&error) {
        Told::Status(429 | 503) => StoreError::throttled(None),
        Told::Status(408 | 500..) | Told::Transport(_) => unavailable(error),
        _ => plain(error),
    }
}

/// Maps an error of the request that makes a blob visible.
///
/// The engine retries a request by itself, so its last error describes the last try only: an earlier try may have
/// created the blob.
pub(super) fn of_commit(error: Error) -> StoreError {
    if repeated(&error) {
        return StoreError::indeterminate(Some(error.into()));
    }
    match told(&error) {
        Told::Status(429 | 503) => StoreError::throttled(None),
        Told::Transport(HttpErrorKind::Connect) => unavailable(error),
        Told::Status(408 | 500..) | Told::Transport(_) => StoreError::indeterminate(Some(error.into())),
        _ => match plain(error) {
            StoreError::Backend { source, .. } => StoreError::indeterminate(Some(source)),
            known => known,
        },
    }
}

pub(super) fn unavailable(error: impl Into<BoxError>) -> StoreError {
    StoreError::unavailable(None, Some(error.into()))
}

fn plain(error: Error) -> StoreError {
    match error {
        Error::NotFound { .. } => StoreError::not_found(),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreError::denied(Some(error.into())),
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            StoreError::unsupported("a call that the object store does not offer")
        }
        error => StoreError::backend(error.into()),
    }
}

/// The cause of an error at the server, or on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Status(u16),
    Transport(HttpErrorKind),
    Nothing,
}

/// Reads the cause from the texts of the engine's error, which has no other form for it: the status is at the start of
/// one text, and the error in an S3 answer with status 200 in another.
fn told(error: &Error) -> Told {
    for link in chain(error) {
        if let Some(http) = link.downcast_ref::<HttpError>() {
            return Told::Transport(http.kind());
        }
        let text = link.to_string();
        if let Some(rest) = text.strip_prefix("Server returned non-2xx status code: ") {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
            return digits.map_or(Told::Nothing, Told::Status);
        }
        if let Some(body) = text.strip_prefix("Server returned error response: ") {
            return Told::Status(if body.contains("SlowDown") { 503 } else { 500 });
        }
    }
    Told::Nothing
}

fn repeated(error: &Error) -> bool {
    chain(error).any(|link| link.to_string().contains(" retries, max_retries: "))
}
