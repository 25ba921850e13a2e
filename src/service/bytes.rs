//! Hashing and counting the bytes of an update while they are streamed.

use super::ReceiveError;
use crate::store::{BlobHasher, BlobRef, BlobWriter, ByteStream, Result as StoreResult, StoreError, stream};
use crate::support::yield_now;
use bytes::Bytes;
use futures_core::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Number of bytes hashed at one time, before other work of the thread gets a turn.
const PIECE: usize = 256 << 10;

/// A stream being read to its end, of which at most one chunk is held.
pub(super) struct Passing {
    body: ByteStream,
    chunk: Bytes,
    hasher: BlobHasher,
    limit: u64,
    since: usize,
}

impl Passing {
    pub(super) fn new(body: ByteStream, limit: u64) -> Self {
        Self { body, chunk: Bytes::new(), hasher: BlobHasher::new(), limit, since: 0 }
    }

    /// Hashes the next piece, and writes it if there is a writer; `false` at the end.
    pub(super) async fn next(&mut self, writer: Option<&mut Box<dyn BlobWriter>>) -> Result<bool, ReceiveError> {
        while self.chunk.is_empty() {
            match stream::next(&mut self.body).await {
                Some(chunk) => self.chunk = chunk.map_err(of_body)?,
                None => return Ok(false),
            }
        }
        let piece = self.chunk.split_to(self.chunk.len().min(PIECE));
        if self.hasher.size().saturating_add(piece.len() as u64) > self.limit {
            return Err(ReceiveError::TooLarge { limit: self.limit });
        }
        self.hasher.update(&piece);
        self.since += piece.len();
        if let Some(writer) = writer {
            writer.write(piece).await.map_err(of_blobs)?;
        }
        if self.since >= PIECE {
            self.since = 0;
            yield_now().await;
        }
        Ok(true)
    }

    /// Returns digest and size.
    pub(super) fn finish(self) -> BlobRef {
        self.hasher.finish()
    }
}

fn of_body(error: StoreError) -> ReceiveError {
    match error {
        StoreError::TooLarge { limit, .. } => ReceiveError::TooLarge { limit },
        error => ReceiveError::Body(error),
    }
}

pub(super) fn of_blobs(error: StoreError) -> ReceiveError {
    match error {
        StoreError::TooLarge { limit, .. } => ReceiveError::TooLarge { limit },
        error => ReceiveError::Blobs(error),
    }
}

/// A body whose beginning is read ahead: all of it, if it is small.
pub(super) struct Gathered {
    chunks: VecDeque<Bytes>,
    size: usize,
    /// The end of the stream, once reached.
    end: Option<StoreResult<()>>,
    rest: ByteStream,
}

impl Gathered {
    pub(super) fn new(body: ByteStream) -> Self {
        Self { chunks: VecDeque::new(), size: 0, end: None, rest: body }
    }

    /// Reads until more than `most` bytes are read. Returns digest and size where that was the whole body.
    pub(super) async fn whole(&mut self, most: usize) -> Option<BlobRef> {
        while self.end.is_none() && self.size <= most {
            match stream::next(&mut self.rest).await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.size = self.size.saturating_add(chunk.len());
                    self.chunks.push_back(chunk);
                }
                Some(Err(error)) => self.end = Some(Err(error)),
                None => self.end = Some(Ok(())),
            }
        }
        if !matches!(self.end, Some(Ok(()))) || self.size > most {
            return None;
        }
        let mut hasher = BlobHasher::new();
        self.chunks.iter().for_each(|chunk| hasher.update(chunk));
        Some(hasher.finish())
    }

    /// Returns the chunks read.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = Bytes> {
        self.chunks.into_iter()
    }

    /// Returns the body from its beginning.
    pub(super) fn into_stream(self) -> ByteStream {
        Box::pin(self)
    }
}

impl Stream for Gathered {
    type Item = StoreResult<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        match self.end.take() {
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(())) => {
                self.end = Some(Ok(()));
                Poll::Ready(None)
            }
            None => self.rest.as_mut().poll_next(cx),
        }
    }
}
