//! Limits over all requests together: memory, and threads for long work.

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

/// Default memory of all requests together, in bytes.
pub(super) const DEFAULT_MEMORY: usize = 128 << 20;

/// The divisor that gives the share of memory reserved for small requests, so that they do not wait for large ones.
const SMALL_PART: usize = 8;

/// Maximum cost of a small request, in KiB.
const SMALL: usize = 512;

/// Cost above which a request is heavy, in KiB.
const HEAVY: usize = 24 << 10;

/// Memory per thread for heavy requests, in KiB.
const HEAVY_THREAD: usize = 256 << 10;

/// Memory per thread for other long requests, in KiB.
const LIGHT_THREAD: usize = 32 << 10;

/// How long a request waits for memory.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `Retry-After` of a request that waited in vain, in seconds.
const RETRY_AFTER: u64 = 5;

/// Size above which an answer counts until it is sent, in bytes.
const KEPT: usize = 64 << 10;

/// The memory and threads of all requests together.
#[derive(Debug)]
pub(super) struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    large_kib: usize,
    /// Threads for heavy requests: mostly one, so that they reuse the same memory one after the other.
    heavy: Workers,
    /// Threads for other long requests.
    light: Workers,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(DEFAULT_MEMORY)
    }
}

/// The memory that a request may take while it is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    kib: usize,
}

impl Cost {
    /// A negligible cost.
    pub(super) const NONE: Self = Self { kib: 0 };

    /// The cost of reading one resource that is not large.
    pub(super) const READ: Self = Self { kib: 64 };

    /// Returns the cost of a search, a history, or an HTML page.
    pub(super) fn page(limits: &Limits) -> Self {
        Self { kib: limits.page_bytes() * 3 / 2 / 1024 }
    }

    /// Returns the cost of a search with `bytes` bytes of parameters.
    pub(super) fn search(bytes: usize, limits: &Limits) -> Self {
        Self { kib: Self::page(limits).kib + bytes.saturating_mul(4) / 1024 }
    }

    /// Returns the sum of two costs.
    pub(super) fn and(self, other: Self) -> Self {
        Self { kib: self.kib.saturating_add(other.kib) }
    }

    /// Returns the cost of an answer of that many bytes.
    pub(super) fn answer(bytes: usize) -> Self {
        Self { kib: bytes / 1024 + 64 }
    }

    /// Returns the cost of a document of that many bytes: its text, the elements read from it, and the written text.
    pub(super) fn document(bytes: usize, limits: &Limits) -> Self {
        let read = bytes.saturating_mul(40).min(limits.read_memory() * 3 / 2);
        Self { kib: bytes.saturating_mul(3).saturating_add(read) / 1024 + 64 }
    }

    /// Returns the cost of a patch of `bytes` bytes for a resource of `stored` bytes: both documents, and the elements
    /// and text made of them. A patch may copy as much again.
    pub(super) fn patch(bytes: usize, stored: usize, limits: &Limits) -> Self {
        let made = bytes.saturating_add(stored).saturating_mul(2).saturating_add(64 << 10);
        Self { kib: Self::document(bytes, limits).kib + Self::document(made, limits).kib }
    }

    /// Returns the cost with a conversion from or to another version of FHIR: the tree of a document, and the converted
    /// document.
    pub(super) fn converted(self, limits: &Limits) -> Self {
        Self { kib: self.kib.saturating_mul(2).min(self.kib.saturating_add(limits.read_memory() / 1024)) }
    }

    /// Returns the cost of a batch or transaction of `bytes` bytes, with an answer of at most `answer` bytes.
    pub(super) fn bundle(bytes: usize, answer: usize, limits: &Limits) -> Self {
        Self { kib: Self::document(bytes, limits).kib + answer / 1024 }
    }
}

/// Memory reserved for a request, freed on drop.
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

    /// Frees the memory beyond `cost`.
    fn shrink(&mut self, cost: Cost) {
        drop(self.permit.split(self.kib().saturating_sub(cost.kib)));
    }

    /// Returns whether an answer of that many bytes needs no more memory than is reserved.
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

    /// Waits until memory for a request is free.
    ///
    /// # Errors
    /// 503 with `Retry-After` where none becomes free in time.
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

    /// Changes the reserved memory of a request, once its cost is known better. For a larger amount, the reservation is
    /// freed first and then waits in turn: two requests that each hold a part and wait for the rest would wait forever.
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

    /// Returns an empty buffer of a capacity, from the allocator of the thread that will process the request.
    ///
    /// # Errors
    /// 500 where that thread is not available.
    pub(super) async fn buffer(&self, reservation: &Reservation, bytes: usize) -> Result<Vec<u8>, Problem> {
        if !reservation.is_heavy() {
            return Ok(Vec::with_capacity(bytes));
        }
        self.heavy.run(move || Vec::with_capacity(bytes)).await.ok_or_else(failed)
    }

    /// Runs long work on a thread that serves no other client. The memory is freed when the work has ended, even if the
    /// client no longer waits for it.
    ///
    /// # Errors
    /// 500 where the work panicked.
    pub(super) async fn offload<T: Send + 'static>(
        &self,
        reservation: Reservation,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<(T, Reservation), Problem> {
        let workers = if reservation.is_heavy() { &self.heavy } else { &self.light };
        let runtime = tokio::runtime::Handle::current();
        // The work is done on another thread, and may name the person too.
        let work = super::page::for_person(super::page::person(), work);
        workers.run(move || (runtime.block_on(work), reservation)).await.ok_or_else(failed)
    }
}

fn failed() -> Problem {
    let words = "the request could not be carried out";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, "failed", words)
}

/// Reserves memory for a large answer until it is sent, and frees the rest of the reservation.
pub(super) fn until_sent(answer: Answer, length: usize, mut reservation: Reservation) -> Answer {
    if length <= KEPT {
        return answer;
    }
    reservation.shrink(Cost { kib: length / 1024 });
    let (head, body) = answer.into_parts();
    Answer::from_parts(head, Body::from_stream(Counted { body: body.into_data_stream(), _counted: reservation }))
}

/// A body that holds its reservation until it is sent.
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
