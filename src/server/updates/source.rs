//! The body of an upload: metered for the multipart reader, and drained when it is no longer read.

use axum::body::{Body, BodyDataStream, Bytes};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Maximum bytes of form fields and part headers before and after the file. The multipart reader holds them in memory
/// until their end, and sets no limit itself.
const METADATA: u64 = 64 << 10;

/// How long the rest of a refused upload is read and discarded.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of an upload.
///
/// It is shared by the multipart reader and the task that drains the rest.
pub(crate) struct Source {
    body: Mutex<BodyDataStream>,
    /// Number of bytes that may still be read before the file begins, whose bytes are not held in memory.
    left: AtomicU64,
    /// How often the reader asked for bytes beyond the limit since its last step.
    asked: AtomicU64,
    over_limit: AtomicBool,
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Source {
    pub(crate) fn new(body: Body) -> Arc<Self> {
        Arc::new(Self {
            body: Mutex::new(body.into_data_stream()),
            left: AtomicU64::new(METADATA),
            asked: AtomicU64::new(0),
            over_limit: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        })
    }

    /// Returns the body for the multipart reader.
    pub(crate) fn body(self: &Arc<Self>) -> Body {
        Body::from_stream(Metered { source: Arc::clone(self), rest: false })
    }

    /// Notes that the reader made a step with the bytes it holds.
    pub(crate) fn step(&self) {
        self.asked.store(0, Ordering::Relaxed);
    }

    /// Notes that form fields and headers follow.
    pub(crate) fn expect_metadata(&self) {
        self.left.store(METADATA, Ordering::Relaxed);
    }

    /// Notes that the file follows.
    pub(crate) fn expect_file(&self) {
        self.left.store(u64::MAX, Ordering::Relaxed);
    }

    /// Returns whether the fields and headers exceeded the limit.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.over_limit.load(Ordering::Relaxed)
    }

    /// Returns `Some` where nothing more may be read: `true` once the reader is stuck. The reader asks for bytes before
    /// it looks at those it holds, up to twice per step; only a stuck reader keeps asking.
    fn is_exhausted(&self) -> Option<bool> {
        let exhausted = self.left.load(Ordering::Relaxed) == 0;
        exhausted.then(|| self.asked.fetch_add(1, Ordering::Relaxed) >= 4)
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        self.begun.store(true, Ordering::Relaxed);
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        let chunk = ready!(Pin::new(&mut *body).poll_next(cx));
        if !matches!(chunk, Some(Ok(_))) {
            self.ended.store(true, Ordering::Relaxed);
        }
        Poll::Ready(chunk)
    }

    /// Reads and discards the rest of the body, up to `limit` bytes, in the background.
    ///
    /// A client that is still sending when the connection closes may never see the answer.
    pub(crate) fn drain(self: Arc<Self>, limit: u64, waits_for_continue: bool) {
        let unasked = waits_for_continue && !self.begun.load(Ordering::Relaxed);
        if self.ended.load(Ordering::Relaxed) || unasked {
            return;
        }
        let take = async move {
            let mut taken = 0_u64;
            while let Some(Ok(chunk)) = poll_fn(|cx| self.poll(cx)).await {
                taken = taken.saturating_add(chunk.len() as u64);
                if taken > limit {
                    break;
                }
            }
        };
        // The result does not matter: the task ends by itself.
        drop(tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, take)));
    }
}

/// A stream that returns one chunk at a time.
///
/// The multipart reader reads until no more bytes are available, and holds all of them. A `Pending` between two chunks
/// limits that to one chunk, however fast they arrive.
struct Metered {
    source: Arc<Source>,
    rest: bool,
}

impl Stream for Metered {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rest) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.source.is_exhausted() {
            Some(true) => {
                self.source.over_limit.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(axum::Error::new("too many form fields"))));
            }
            Some(false) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {}
        }
        let left = self.source.left.load(Ordering::Relaxed);
        let chunk = ready!(self.source.poll(cx));
        if let Some(Ok(chunk)) = &chunk {
            if left != u64::MAX {
                self.source.left.store(left.saturating_sub(chunk.len() as u64), Ordering::Relaxed);
            }
            self.rest = true;
        }
        Poll::Ready(chunk)
    }
}
