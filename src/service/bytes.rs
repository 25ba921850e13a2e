//! Hashing and counting the bytes of an update while they are streamed.

use super::ReceiveError;
use crate::store::{BlobHasher, BlobRef, BlobWriter, ByteStream, StoreError, stream};
use crate::support::yield_now;
use bytes::Bytes;

/// How much is hashed at one time. After as much, other work of the same thread has its turn.
const PIECE: usize = 256 << 10;

/// A stream on its way to its end. No more than one chunk of it is held.
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

    /// Hashes the next piece, and writes it where there is a writer; `false` at the end.
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
