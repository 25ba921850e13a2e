//! The calls to the container, in the shapes that the store needs.

use super::{MAX_BATCH, fault};
use crate::store::{Result, StoreError};
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::options::{
    BatchOptions, BatchReplaceOptions, ItemReadOptions, ItemWriteOptions, OperationOptions, Precondition, QueryOptions,
    ReadConsistencyStrategy,
};
use azure_data_cosmos::{Query, TransactionalBatch};
use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::pin::Pin;

/// Reads see what was acknowledged before, whoever wrote it. An account that cannot promise that refuses the read.
fn strong() -> OperationOptions {
    let mut options = OperationOptions::default();
    options.read_consistency_strategy = Some(ReadConsistencyStrategy::GlobalStrong);
    options
}

pub(super) fn strong_read() -> ItemReadOptions {
    ItemReadOptions::default().with_operation_options(strong())
}

pub(super) async fn read<T: DeserializeOwned>(container: &ContainerClient, pk: &str, id: &str) -> Result<Option<T>> {
    match container.read_item(pk.to_owned(), id, Some(strong_read())).await {
        Ok(found) => found.into_model().map(Some).map_err(fault::of_read),
        Err(error) if error.status().is_not_found() => Ok(None),
        Err(error) => Err(fault::of_read(error)),
    }
}

/// Makes an item; false where there is one of that name.
pub(super) async fn create(container: &ContainerClient, pk: &str, id: &str, item: impl Serialize) -> Result<bool> {
    match container.create_item(pk.to_owned(), id, item, Some(ItemWriteOptions::default())).await {
        Ok(_) => Ok(true),
        Err(error) if error.status().is_conflict() => Ok(false),
        Err(error) => Err(fault::of_write(error)),
    }
}

/// Returns the first `limit` items that a query finds.
pub(super) async fn query<T: DeserializeOwned + Send + 'static>(
    container: &ContainerClient,
    query: Query,
    scope: FeedScope,
    limit: usize,
) -> Result<Vec<T>> {
    Ok(query_page(container, query, scope, limit, usize::MAX, |_| 0).await?.0)
}

/// Returns the first `limit` items that a query finds, up to the one with which `size` comes to `bytes`; and whether
/// that one ended it.
pub(super) async fn query_page<T: DeserializeOwned + Send + 'static>(
    container: &ContainerClient,
    query: Query,
    scope: FeedScope,
    limit: usize,
    bytes: usize,
    size: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool)> {
    let options = QueryOptions::default().with_operation_options(strong());
    let mut items = container.query_items::<T>(query, scope, Some(options)).await.map_err(fault::of_read)?;
    let (mut found, mut left) = (Vec::new(), bytes);
    while found.len() < limit {
        let Some(item) = poll_fn(|cx| Pin::new(&mut items).poll_next(cx)).await else { break };
        let item = item.map_err(fault::of_read)?;
        left = left.saturating_sub(size(&item));
        found.push(item);
        if left == 0 {
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

/// Writes to one partition, all or none.
pub(super) struct Batch {
    inner: TransactionalBatch,
    size: usize,
}

/// The result of a batch.
#[derive(Debug)]
pub(super) enum Batched {
    /// All of it was applied.
    Applied,
    /// Nothing was applied: a record had changed since it was read.
    Conflicted,
}

impl Batch {
    pub(super) fn new(pk: &str) -> Self {
        Self { inner: TransactionalBatch::new(pk.to_owned()), size: 0 }
    }

    pub(super) fn create(mut self, item: &impl Serialize) -> Result<Self> {
        self.count(item)?;
        self.inner = self.inner.create_item(item).map_err(fault::of_read)?;
        Ok(self)
    }

    pub(super) fn replace(mut self, id: &str, etag: &str, item: &impl Serialize) -> Result<Self> {
        self.count(item)?;
        let options = BatchReplaceOptions::default().with_precondition(Precondition::if_match(etag.to_owned()));
        self.inner = self.inner.replace_item(id.to_owned(), item, Some(options)).map_err(fault::of_read)?;
        Ok(self)
    }

    fn count(&mut self, item: &impl Serialize) -> Result<()> {
        let written = serde_json::to_vec(item).map_err(|error| StoreError::invalid(error.to_string()))?;
        self.size = self.size.saturating_add(written.len()).saturating_add(256);
        if self.size > MAX_BATCH {
            return Err(StoreError::too_large(MAX_BATCH as u64));
        }
        Ok(())
    }

    pub(super) async fn execute(self, container: &ContainerClient) -> Result<Batched> {
        let answer = container.execute_transactional_batch(self.inner, Some(BatchOptions::default())).await;
        let response = match answer {
            Ok(response) => response.into_model().map_err(fault::of_write)?,
            Err(error) if is_conflict(u16::from(error.status().status_code())) => return Ok(Batched::Conflicted),
            Err(error) => return Err(fault::of_write(error)),
        };
        let results = response.results();
        // The others failed because this one did.
        let Some(failed) = results.iter().find(|result| !result.is_success() && result.status_code() != 424) else {
            if results.iter().all(|result| result.is_success()) {
                return Ok(Batched::Applied);
            }
            return Err(fault::indeterminate("a batch failed, and none of its operations says why"));
        };
        match failed.status_code() {
            status if is_conflict(status) => Ok(Batched::Conflicted),
            429 => Err(StoreError::throttled(failed.retry_after())),
            413 => Err(StoreError::too_large(MAX_BATCH as u64)),
            status => Err(fault::indeterminate(format!("an operation of a batch failed with status {status}"))),
        }
    }
}

/// Something is there, is not there, or is another than it was; or the service asks to try again.
fn is_conflict(status: u16) -> bool {
    matches!(status, 404 | 409 | 412 | 449)
}
