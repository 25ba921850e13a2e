//! Verification of the digest of a stream while it is read.

use super::{BlobHasher, BlobRef, BoxFuture, ByteStream, Result, StoreError};
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Callback that runs before the reader gets the error for damaged bytes.
pub(crate) type OnDamage = Box<dyn FnOnce(&StoreError) -> BoxFuture<'static, ()> + Send>;

/// Returns the stream `body`, verified against `blob`. One chunk is always held back, so that the last one is passed on
/// only after all bytes were verified: of damaged bytes a reader never gets the full number.
pub(crate) fn verified(body: ByteStream, blob: BlobRef, on_damage: Option<OnDamage>) -> ByteStream {
    let state = State::Reading { hasher: BlobHasher::new(), held: None };
    Box::pin(Verified { body, blob, on_damage, state })
}

struct Verified {
    body: ByteStream,
    blob: BlobRef,
    on_damage: Option<OnDamage>,
    state: State,
}

enum State {
    Reading { hasher: BlobHasher, held: Option<Bytes> },
    Telling { told: BoxFuture<'static, ()>, error: Option<StoreError> },
    Over,
}

impl Verified {
    /// Ends the stream with an error, after the callback.
    fn fail(&mut self, error: StoreError) -> Option<Result<Bytes>> {
        match self.on_damage.take() {
            Some(tell) => {
                self.state = State::Telling { told: tell(&error), error: Some(error) };
                None
            }
            None => {
                self.state = State::Over;
                Some(Err(error))
            }
        }
    }
}

impl Stream for Verified {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let (hasher, held) = match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Telling { told, error } => {
                    ready!(told.as_mut().poll(cx));
                    let error = error.take();
                    this.state = State::Over;
                    return Poll::Ready(error.map(Err));
                }
                State::Reading { hasher, held } => (hasher, held),
            };
            let failed = match ready!(this.body.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) => {
                    hasher.update(&chunk);
                    if hasher.size() <= this.blob.size {
                        match held.replace(chunk) {
                            Some(before) => return Poll::Ready(Some(Ok(before))),
                            None => continue,
                        }
                    }
                    StoreError::corrupt(format!("the file has more than {} bytes", this.blob.size))
                }
                Some(Err(error @ StoreError::Corrupt { .. })) => error,
                Some(Err(error)) => {
                    this.state = State::Over;
                    return Poll::Ready(Some(Err(error)));
                }
                None => match this.blob.verify(std::mem::take(hasher).finish()) {
                    Ok(()) => {
                        let last = held.take();
                        this.state = State::Over;
                        return Poll::Ready(last.map(Ok));
                    }
                    Err(error) => error,
                },
            };
            if let Some(end) = this.fail(failed) {
                return Poll::Ready(Some(end));
            }
        }
    }
}
