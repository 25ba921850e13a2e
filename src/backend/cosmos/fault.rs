//! Mapping engine errors to store errors.

use crate::store::{BoxError, StoreError};
use azure_data_cosmos::CosmosError;
use std::time::Duration;

/// Maps an error of a call that changes nothing or may be repeated.
pub(super) fn of_read(error: CosmosError) -> StoreError {
    match u16::from(error.status().status_code()) {
        408 | 449 | 500.. => StoreError::unavailable(retry_after(&error), Some(error.into())),
        _ => refused(error).unwrap_or_else(|error| StoreError::backend(error.into())),
    }
}

/// Maps an error of a write. Whatever is not a clear refusal may have been applied.
pub(super) fn of_write(error: CosmosError) -> StoreError {
    refused(error).unwrap_or_else(indeterminate)
}

pub(super) fn indeterminate(error: impl Into<BoxError>) -> StoreError {
    StoreError::indeterminate(Some(error.into()))
}

/// Returns what the service says when it did not do what was asked.
fn refused(error: CosmosError) -> Result<StoreError, CosmosError> {
    Ok(match u16::from(error.status().status_code()) {
        429 => StoreError::throttled(retry_after(&error)),
        413 => StoreError::too_large(super::MAX_BATCH as u64),
        // The partition has reached its 20 GB: no rights are lacking, and waiting does not help.
        403 if error.status().sub_status().is_some_and(|sub| sub == 1014_u16.into()) => {
            StoreError::unsupported("more data about one device than a partition holds")
        }
        401 | 403 => StoreError::denied(Some(error.into())),
        _ => return Err(error),
    })
}

fn retry_after(error: &CosmosError) -> Option<Duration> {
    error.response()?.headers().retry_after_ms.map(Duration::from_millis)
}
