//! Streams and bodies that end when the client takes too long.

use super::connections::{Connection, Connections, Phase};
use super::limits::ConnectionLimits;
use axum::body::{Body, Bytes, HttpBody};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The rate of a transfer, counting only the time spent waiting for the client.
#[derive(Debug)]
struct TransferRate {
    idle: Duration,
    min_rate: u64,
    bytes: u64,
    waited: Duration,
    pending: Option<Instant>,
    timer: Timer,
}

impl TransferRate {
    fn new(limits: &ConnectionLimits) -> Self {
        let (idle, min_rate) = (limits.body, limits.min_rate.max(1));
        Self { idle, min_rate, bytes: 0, waited: Duration::ZERO, pending: None, timer: Timer::default() }
    }

    fn advance(&mut self, bytes: usize) {
        if let Some(since) = self.pending.take() {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Returns whether the client has kept the service waiting too long; called while it does.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.pending.get_or_insert_with(Instant::now);
        let earned = Duration::from_millis(self.bytes.saturating_mul(1_000) / self.min_rate);
        let left = self.idle.saturating_add(earned).saturating_sub(self.waited);
        self.timer.is_over(since, left.min(self.idle), cx)
    }
}

/// A timer that is created when first needed.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn is_over(&mut self, since: Instant, timeout: Duration, cx: &mut Context<'_>) -> bool {
        let at = tokio::time::Instant::from_std(since) + timeout;
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

/// The stream of a connection, with the timeouts of the connection's phase.
pub(super) struct TimedStream<S> {
    inner: S,
    connection: Arc<Connection>,
    all: Arc<Connections>,
    read: Timer,
    written: TransferRate,
}

impl<S> TimedStream<S> {
    pub(super) fn new(inner: S, connection: Arc<Connection>, all: Arc<Connections>) -> Self {
        let written = TransferRate::new(&all.limits);
        Self { inner, connection, all, read: Timer::default(), written }
    }

    /// Returns the deadline for the client's next bytes, and the counter of its timeouts.
    fn deadline(&self) -> Option<(Instant, Duration, &AtomicU64)> {
        let (limits, counters) = (&self.all.limits, &self.all.counters);
        let (phase, since) = self.connection.phase();
        match phase {
            // The client still takes the last answer, at its own rate.
            _ if self.written.pending.is_some() => None,
            Phase::New | Phase::Header => Some((since, limits.header, &counters.header_timeouts)),
            Phase::Idle => Some((since, limits.idle, &counters.idle_timeouts)),
            Phase::Request => None,
        }
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Ok(done)) => {
                if self.written.pending.is_some() {
                    self.connection.stall(false);
                }
                self.written.advance(bytes(&done));
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.connection.stall(true);
                if self.written.is_over(cx) {
                    self.all.counters.answer_timeouts.fetch_add(1, Relaxed);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // A client that sends byte by byte does not gain time.
        if let Some((since, timeout, counter)) = this.deadline()
            && since.elapsed() >= timeout
        {
            counter.fetch_add(1, Relaxed);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if outcome.is_ready() {
            if buf.filled().len() > before {
                this.connection.received();
            }
            return outcome;
        }
        let Some((since, timeout, _)) = this.deadline() else {
            this.connection.reads(cx.waker());
            return Poll::Pending;
        };
        if this.read.is_over(since, timeout, cx) {
            if let Some((_, _, counter)) = this.deadline() {
                counter.fetch_add(1, Relaxed);
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(cx, outcome, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(cx, outcome, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(cx, outcome, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(cx, outcome, |()| 0)
    }
}

/// The body of a request, which breaks off when the client takes too long.
pub(super) struct TimedBody<B> {
    inner: B,
    connection: Arc<Connection>,
    rate: TransferRate,
    /// Whether the body broke off, for the answer.
    expired: Arc<AtomicBool>,
}

impl<B> TimedBody<B> {
    pub(super) fn new(inner: B, connection: Arc<Connection>, limits: &ConnectionLimits) -> (Self, Arc<AtomicBool>) {
        let expired = Arc::new(AtomicBool::new(false));
        (Self { inner, connection, rate: TransferRate::new(limits), expired: Arc::clone(&expired) }, expired)
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for TimedBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.expired.load(Relaxed) {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if this.rate.pending.is_some() {
                    this.connection.stall(false);
                }
                let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(http_body::Frame::data_ref);
                this.rate.advance(bytes.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                this.connection.stall(true);
                if !this.rate.is_over(cx) {
                    return Poll::Pending;
                }
                this.expired.store(true, Relaxed);
                Poll::Ready(Some(Err("the body did not come in time".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer. At its end, the connection waits for the next request.
pub(super) struct AnswerBody {
    inner: Body,
    connection: Arc<Connection>,
}

impl AnswerBody {
    pub(super) fn new(inner: Body, connection: Arc<Connection>) -> Self {
        Self { inner, connection }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.connection.enter(Phase::Idle);
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
