//! The bytes of an update on their way: hashed once, counted, and passed on.

use super::ReceiveError;
use crate::store::{BlobHasher, BlobRef, BlobWriter, ByteStream, StoreError, stream};
use std::future::poll_fn;
use std::task::Poll;

/// How much is hashed at one time. After as much, other work of the same thread has its turn.
const PIECE: usize = 256 << 10;

/// Hashes a stream to its end, and writes it where there is a writer.
///
/// No more than one chunk of the stream is held.
pub(super) async fn pass(
    mut body: ByteStream,
    limit: u64,
    mut writer: Option<&mut Box<dyn BlobWriter>>,
) -> Result<BlobRef, ReceiveError> {
    let mut hasher = BlobHasher::new();
    let mut since = 0;
    while let Some(chunk) = stream::next(&mut body).await {
        let mut chunk = chunk.map_err(of_body)?;
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(PIECE));
            if hasher.size().saturating_add(piece.len() as u64) > limit {
                return Err(ReceiveError::TooLarge { limit });
            }
            hasher.update(&piece);
            since += piece.len();
            if let Some(writer) = &mut writer {
                writer.write(piece).await.map_err(of_blobs)?;
            }
            if since >= PIECE {
                since = 0;
                give_way().await;
            }
        }
    }
    Ok(hasher.finish())
}

fn of_body(error: StoreError) -> ReceiveError {
    match error {
        StoreError::TooLarge { limit } => ReceiveError::TooLarge { limit },
        error => ReceiveError::Body(error),
    }
}

pub(super) fn of_blobs(error: StoreError) -> ReceiveError {
    match error {
        StoreError::TooLarge { limit } => ReceiveError::TooLarge { limit },
        error => ReceiveError::Blobs(error),
    }
}

/// Is ready at the second poll, so that others have their turn.
pub(super) async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
