//! The body of an upload: metered on its way to the multipart reader, and drained when nobody reads it any more.

use axum::body::{Body, BodyDataStream, Bytes};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How many bytes of form fields and part headers may come before and after the file. The multipart reader holds them
/// until it sees their end, so that somebody must set one.
const METADATA: u64 = 64 << 10;

/// For how long what a refused client goes on sending is taken and thrown away.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of an upload.
///
/// It is shared by the multipart reader and by whoever drains what the reader leaves.
pub(crate) struct Source {
    body: Mutex<BodyDataStream>,
    /// What may still be read before the reader has to come to a file, whose bytes are not held.
    left: AtomicU64,
    /// How often the reader asked for more than that since it made its last step.
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

    /// Returns the body as the multipart reader is given it.
    pub(crate) fn body(self: &Arc<Self>) -> Body {
        Body::from_stream(Metered { source: Arc::clone(self), rest: false })
    }

    /// The reader made a step with what it holds.
    pub(crate) fn step(&self) {
        self.asked.store(0, Ordering::Relaxed);
    }

    /// Form fields and headers follow.
    pub(crate) fn expect_metadata(&self) {
        self.left.store(METADATA, Ordering::Relaxed);
    }

    /// A file follows.
    pub(crate) fn expect_file(&self) {
        self.left.store(u64::MAX, Ordering::Relaxed);
    }

    /// Returns whether the fields and headers were too many.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.over_limit.load(Ordering::Relaxed)
    }

    /// Returns whether nothing more may be read. The reader asks before it looks at what it holds, up to twice for a
    /// step, so that only one that keeps asking is stuck.
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

    /// Takes what still comes, up to `limit` bytes, in the background.
    ///
    /// A client that is still sending while the connection is closed may never see the answer.
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
        // Its end is of no interest: the task gives up by itself.
        drop(tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, take)));
    }
}

/// Gives one chunk at a time.
///
/// The multipart reader asks until nothing is there at the moment, and holds all that it got. A rest between two chunks
/// keeps that at one chunk, however fast they come.
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
