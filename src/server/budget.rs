//! What all requests together may take: memory, and threads for what takes long.

use super::answer::{Answer, Problem};
use super::workers::Workers;
use crate::issue::IssueType;
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
pub(super) const DEFAULT_MEMORY: usize = 128 << 20;

/// The part of it for small requests, so that they do not wait for large ones.
const SMALL_PART: usize = 8;

/// A request that may take no more is small, in KiB.
const SMALL: usize = 512;

/// A request that may take more is heavy, in KiB.
const HEAVY: usize = 24 << 10;

/// There is a thread for heavy requests for each so many KiB.
const HEAVY_THREAD: usize = 256 << 10;

/// There is a thread for other requests that take long for each so many KiB.
const LIGHT_THREAD: usize = 32 << 10;

/// How long a request waits for others to end.
const TIMEOUT: Duration = Duration::from_secs(10);

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
    /// For heavy requests: mostly one thread, whose memory they take one after the other.
    heavy: Workers,
    /// For other requests that take long.
    light: Workers,
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
    /// What takes next to nothing.
    pub(super) const NONE: Self = Self { kib: 0 };

    /// The read of one resource that is not large.
    pub(super) const READ: Self = Self { kib: 64 };

    /// Returns a search, a history, or the page for people.
    pub(super) fn page(limits: &Limits) -> Self {
        Self { kib: limits.page_bytes() * 3 / 2 / 1024 }
    }

    /// Returns a search whose parameters have that many bytes.
    pub(super) fn search(bytes: usize, limits: &Limits) -> Self {
        Self { kib: Self::page(limits).kib + bytes.saturating_mul(4) / 1024 }
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self { kib: self.kib.saturating_add(other.kib) }
    }

    /// Returns an answer of that many bytes.
    pub(super) fn answer(bytes: usize) -> Self {
        Self { kib: bytes / 1024 + 64 }
    }

    /// Returns a document of that many bytes: its text, what is read from it, and what is written.
    pub(super) fn document(bytes: usize, limits: &Limits) -> Self {
        let read = bytes.saturating_mul(40).min(limits.read_memory() * 3 / 2);
        Self { kib: bytes.saturating_mul(3).saturating_add(read) / 1024 + 64 }
    }

    /// Returns a patch of that many bytes of a resource of `stored` bytes: both, and what is read and written of them.
    /// What it copies can be as much again.
    pub(super) fn patch(bytes: usize, stored: usize, limits: &Limits) -> Self {
        let made = bytes.saturating_add(stored).saturating_mul(2).saturating_add(64 << 10);
        Self { kib: Self::document(bytes, limits).kib + Self::document(made, limits).kib }
    }

    /// Returns the same where documents are converted from or to another version of FHIR: the tree of one, and what is
    /// made of it.
    pub(super) fn converted(self, limits: &Limits) -> Self {
        Self { kib: self.kib.saturating_mul(2).min(self.kib.saturating_add(limits.read_memory() / 1024)) }
    }

    /// Returns a batch or a transaction of that many bytes, with an answer of at most so many.
    pub(super) fn bundle(bytes: usize, answer: usize, limits: &Limits) -> Self {
        Self { kib: Self::document(bytes, limits).kib + answer / 1024 }
    }
}

/// The memory that a request was given. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    permit: OwnedSemaphorePermit,
}

impl Reservation {
    fn kib(&self) -> usize {
        self.permit.num_permits()
    }

    fn is_heavy(&self) -> bool {
        self.kib() > HEAVY
    }

    /// Frees what is beyond `cost`.
    fn shrink(&mut self, cost: Cost) {
        drop(self.permit.split(self.kib().saturating_sub(cost.kib)));
    }

    /// Returns whether an answer of that many bytes is within it.
    pub(super) fn covers(&self, bytes: usize) -> bool {
        bytes <= KEPT || bytes / 1024 <= self.kib()
    }
}

impl Budget {
    /// Returns a budget of that many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let kib = (bytes / 1024).clamp(16 << 10, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let small = kib / SMALL_PART;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new(kib - small)),
            large_kib: kib - small,
            heavy: Workers::new("heavy-requests", (kib / HEAVY_THREAD).min(cores)),
            light: Workers::new("requests", (kib / LIGHT_THREAD).min(cores)),
        }
    }

    /// Waits until there is memory for a request.
    ///
    /// # Errors
    /// 503 with `Retry-After` where there is none in time.
    pub(super) async fn take(&self, cost: Cost) -> Result<Reservation, Problem> {
        let (semaphore, kib) =
            if cost.kib <= SMALL { (&self.small, cost.kib) } else { (&self.large, cost.kib.min(self.large_kib)) };
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        match tokio::time::timeout(TIMEOUT, Arc::clone(semaphore).acquire_many_owned(kib)).await {
            Ok(Ok(permit)) => Ok(Reservation { permit }),
            _ => {
                let words = "the service is at work on as many requests as it has memory for";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Throttled, "busy", words)
                    .retry_after(RETRY_AFTER))
            }
        }
    }

    /// Gives a request another amount, now that more is known of it. Where that is more, it frees what it has and waits in
    /// turn: two requests that each hold a part and wait for the rest would wait forever.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(super) async fn resize(&self, mut reservation: Reservation, cost: Cost) -> Result<Reservation, Problem> {
        if cost.kib > reservation.kib() {
            drop(reservation);
            return self.take(cost).await;
        }
        reservation.shrink(cost);
        Ok(reservation)
    }

    /// Returns an empty buffer of a capacity, from the memory of the thread that will work on the request.
    ///
    /// # Errors
    /// 500 where that thread is not available.
    pub(super) async fn buffer(&self, reservation: &Reservation, bytes: usize) -> Result<Vec<u8>, Problem> {
        if !reservation.is_heavy() {
            return Ok(Vec::with_capacity(bytes));
        }
        self.heavy.run(move || Vec::with_capacity(bytes)).await.ok_or_else(failed)
    }

    /// Carries out what may take long, on a thread that answers nobody else. The memory is free when that has ended, also
    /// where the client no longer waits for it.
    ///
    /// # Errors
    /// 500 where it panicked.
    pub(super) async fn offload<T: Send + 'static>(
        &self,
        reservation: Reservation,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<(T, Reservation), Problem> {
        let workers = if reservation.is_heavy() { &self.heavy } else { &self.light };
        let runtime = tokio::runtime::Handle::current();
        workers.run(move || (runtime.block_on(work), reservation)).await.ok_or_else(failed)
    }
}

fn failed() -> Problem {
    let words = "the request could not be carried out";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, "failed", words)
}

/// Counts a large answer until it is sent; what else the request took is free.
pub(super) fn until_sent(answer: Answer, length: usize, mut reservation: Reservation) -> Answer {
    if length <= KEPT {
        return answer;
    }
    reservation.shrink(Cost { kib: length / 1024 });
    let (head, body) = answer.into_parts();
    Answer::from_parts(head, Body::from_stream(Counted { body: body.into_data_stream(), _counted: reservation }))
}

/// A body that holds its part of the budget.
struct Counted {
    body: axum::body::BodyDataStream,
    _counted: Reservation,
}

impl Stream for Counted {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn abandoned_work_keeps_its_memory_until_it_ends() {
        let budget = Budget::of(64 << 20);
        let free = budget.large.available_permits();
        let reservation = budget.take(Cost { kib: 1_000 }).await.unwrap();
        let ((begun, told), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
        let work = async move {
            begun.send(()).unwrap();
            held.recv().unwrap();
        };
        let waited = tokio::time::timeout(Duration::from_millis(50), budget.offload(reservation, work)).await;
        assert!(waited.is_err());
        told.recv().unwrap();
        assert_eq!(budget.large.available_permits(), free - 1_000);
        release.send(()).unwrap();
        while budget.large.available_permits() < free {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn reservation_grows_and_shrinks() {
        let budget = Budget::of(64 << 20);
        let free = budget.large.available_permits();
        let more = budget.resize(budget.take(Cost { kib: 1_000 }).await.unwrap(), Cost { kib: 5_000 }).await.unwrap();
        assert_eq!((more.kib(), budget.large.available_permits()), (5_000, free - 5_000));
        let less = budget.resize(more, Cost { kib: 700 }).await.unwrap();
        assert_eq!((less.kib(), budget.large.available_permits()), (700, free - 700));
    }

    #[test]
    fn heavy_requests_share_one_thread_by_default() {
        assert!(format!("{:?}", Budget::default().heavy).contains("most: 1"));
    }
}
