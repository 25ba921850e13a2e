//! What the errors of the server mean for the caller.

use crate::store::StoreError;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

/// Where nothing was written, or all of it was rolled back: reads, connecting, migrating, and statements that the server
/// itself has refused.
pub(super) fn failed(error: Error) -> StoreError {
    let Some(code) = error.code().cloned() else {
        return StoreError::unavailable(None, Some(error.into()));
    };
    let source = Some(error.into());
    match code.code().get(..2).unwrap_or_default() {
        // Too many connections; no room for another lock.
        "53" if code != SqlState::DISK_FULL => StoreError::throttled(Some(Duration::from_millis(250))),
        // A wrong password or a role that there is not; a right that is lacking.
        "28" => StoreError::denied(source),
        _ if code == SqlState::INSUFFICIENT_PRIVILEGE => StoreError::denied(source),
        _ if code == SqlState::DATA_CORRUPTED || code == SqlState::INDEX_CORRUPTED => {
            StoreError::corrupt(source.map_or_else(String::new, |source: crate::store::BoxError| told(&*source)))
        }
        _ => StoreError::unavailable(None, source),
    }
}

/// Of a statement that writes and commits by itself. The server rolls back what it refuses; when it ends the session, or the
/// connection breaks, what it has done before is not known.
pub(super) fn failed_write(error: Error) -> StoreError {
    let rolled_back = error
        .as_db_error()
        .and_then(|told| told.parsed_severity())
        .is_some_and(|severity| !matches!(severity, Severity::Fatal | Severity::Panic));
    if rolled_back { failed(error) } else { StoreError::indeterminate(Some(error.into())) }
}

/// The error for an unexpected answer to a commit that went through.
pub(super) fn unreadable(error: Error) -> StoreError {
    StoreError::indeterminate(Some(error.into()))
}

/// Returns whether the same statement may succeed when it is sent again at once: it was rolled back because of another.
pub(super) fn is_a_clash(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED)
}

fn told(error: &(dyn std::error::Error + Send + Sync)) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
