//! What all requests together may take: memory, and threads for what takes long.

use super::answer::{Answer, Problem};
use crate::issue::Kind;
use crate::rest::Limits;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_core::Stream;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory that all requests together may take unless the operator says otherwise, in bytes.
pub(super) const DEFAULT_MEMORY: usize = 208 << 20;

/// The part of it for small requests, so that they do not wait for large ones.
const SMALL_PART: usize = 8;

/// A request that may take no more is small, in KiB.
const SMALL: usize = 512;

/// How long a request waits for others to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a client that waited in vain may come again, in seconds.
const RETRY_AFTER: u64 = 5;

/// An answer that is larger counts until it is sent, in bytes.
const KEPT: usize = 64 << 10;

/// What all requests together may take.
#[derive(Debug)]
pub(super) struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    large_kib: usize,
    /// One for each request that works on a thread of its own.
    threads: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(DEFAULT_MEMORY)
    }
}

/// What a request may take while it is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    kib: usize,
}

impl Cost {
    /// The read of one resource.
    pub(super) const READ: Self = Self { kib: 64 };

    /// A search, a history, or the page for people.
    pub(super) fn page(limits: &Limits) -> Self {
        Self { kib: limits.page_bytes() * 3 / 2 / 1024 }
    }

    /// A document of that many bytes: its text, what is read from it, and what is written.
    pub(super) fn document(bytes: usize, limits: &Limits) -> Self {
        let read = bytes.saturating_mul(40).min(limits.read_memory() * 3 / 2);
        Self { kib: bytes.saturating_mul(3).saturating_add(read) / 1024 + 64 }
    }

    /// A patch of that many bytes of a resource of `stored` bytes: both, and what is read and written of them. What it copies
    /// can be as much again.
    pub(super) fn patch(bytes: usize, stored: usize, limits: &Limits) -> Self {
        let made = bytes.saturating_add(stored).saturating_mul(2).saturating_add(64 << 10);
        Self { kib: Self::document(bytes, limits).kib + Self::document(made, limits).kib }
    }

    /// The same where documents are converted from or to another version of FHIR: the tree of one, and what is made of it.
    pub(super) fn converted(self, limits: &Limits) -> Self {
        Self { kib: self.kib.saturating_mul(2).min(self.kib.saturating_add(limits.read_memory() / 1024)) }
    }

    /// A batch or a transaction of that many bytes, with its answer.
    pub(super) fn bundle(bytes: usize, limits: &Limits) -> Self {
        Self { kib: Self::document(bytes, limits).kib + limits.answer_bytes() / 1024 }
    }
}

impl Budget {
    /// A budget of that many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let kib = (bytes / 1024).clamp(16 << 10, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let small = kib / SMALL_PART;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new(kib - small)),
            large_kib: kib - small,
            threads: Arc::new(Semaphore::new(cores + 2)),
        }
    }

    /// Waits until there is memory for a request.
    ///
    /// # Errors
    /// 503 with `Retry-After` where there is none in time.
    pub(super) async fn take(&self, cost: Cost) -> Result<OwnedSemaphorePermit, Problem> {
        let (semaphore, kib) =
            if cost.kib <= SMALL { (&self.small, cost.kib) } else { (&self.large, cost.kib.min(self.large_kib)) };
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        match tokio::time::timeout(PATIENCE, Arc::clone(semaphore).acquire_many_owned(kib)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let words = "the service is at work on as many requests as it has memory for";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Throttled, "busy", words)
                    .retry_after(RETRY_AFTER))
            }
        }
    }

    /// Carries out what may take long, on a thread that answers nobody else.
    ///
    /// # Errors
    /// 500 where it panicked.
    pub(super) async fn offload<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let failed = || {
            let words = "the request could not be carried out";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Kind::Exception, "failed", words)
        };
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| failed())?;
        let runtime = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            runtime.block_on(work)
        });
        done.await.map_err(|_| failed())
    }
}

/// Counts a large answer until it is sent; what else the request took is free.
pub(super) fn until_sent(answer: Answer, length: usize, mut permit: OwnedSemaphorePermit) -> Answer {
    if length <= KEPT {
        return answer;
    }
    let kept = permit.split((length / 1024).min(permit.num_permits()));
    let (head, body) = answer.into_parts();
    Answer::from_parts(head, Body::from_stream(Counted { body: body.into_data_stream(), _permit: kept }))
}

/// A body that holds its part of the budget.
struct Counted {
    body: axum::body::BodyDataStream,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Stream for Counted {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
