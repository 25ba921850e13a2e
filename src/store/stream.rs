//! Byte streams that need no runtime.

use super::{Result, StoreError, Subject};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Stream of bytes with back pressure: the consumer polls each chunk.
///
/// After an error the stream ends, and the bytes so far are incomplete.
///
/// ```
/// use fhir_devices::store::{ByteStream, stream};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut file: ByteStream = stream::once("firmware");
/// assert_eq!(stream::next(&mut file).await.unwrap().unwrap(), "firmware");
/// assert!(stream::next(&mut file).await.is_none());
/// # }
/// ```
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'static>>;

/// Chunk size of [`from_reader`] in bytes.
const READ_CHUNK: usize = 64 << 10;

struct Iter<I>(I);

/// The iterator is never pinned: it is only accessed through `&mut`.
impl<I> Unpin for Iter<I> {}

impl<I: Iterator<Item = Result<Bytes>>> Stream for Iter<I> {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.get_mut().0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// Returns a stream of one chunk.
///
/// ```
/// let file = fhir_devices::store::stream::once(vec![1, 2, 3]);
/// # drop(file);
/// ```
pub fn once(chunk: impl Into<Bytes>) -> ByteStream {
    chunks([chunk.into()])
}

/// Returns a stream of chunks in memory.
///
/// ```
/// use bytes::Bytes;
/// let file = fhir_devices::store::stream::chunks([Bytes::from_static(b"firm"), Bytes::from_static(b"ware")]);
/// # drop(file);
/// ```
pub fn chunks<I>(chunks: I) -> ByteStream
where
    I: IntoIterator<Item = Bytes, IntoIter: Send + 'static>,
{
    Box::pin(Iter(chunks.into_iter().map(Ok)))
}

/// Returns a stream of the bytes of a reader, such as a file, read in chunks of 64 KiB as the consumer polls.
///
/// Reading blocks the polling thread, which is right for local files and tests. A service makes a stream of the body of
/// a request by boxing and pinning any `Stream` of `Result<Bytes, StoreError>`.
///
/// ```
/// use fhir_devices::store::stream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("fhir-devices-doc-reader-{}", std::process::id()));
/// # std::fs::write(&path, "firmware")?;
/// let file = stream::from_reader(std::fs::File::open(&path)?);
/// assert_eq!(stream::collect(file, 1 << 20).await?, "firmware");
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
pub fn from_reader(mut reader: impl Read + Send + 'static) -> ByteStream {
    let mut ended = false;
    Box::pin(Iter(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut chunk = Vec::with_capacity(READ_CHUNK);
        match reader.by_ref().take(READ_CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => None,
            Ok(_) => Some(Ok(Bytes::from(chunk))),
            Err(error) => {
                ended = true;
                Some(Err(StoreError::unavailable(None, Some(error.into()))))
            }
        }
    })))
}

/// Returns a stream of chunks, each of which may be an error.
///
/// ```
/// use fhir_devices::store::{StoreError, stream};
/// let cut = stream::try_chunks([Ok("firm".into()), Err(StoreError::unavailable(None, None))]);
/// # drop(cut);
/// ```
pub fn try_chunks<I>(chunks: I) -> ByteStream
where
    I: IntoIterator<Item = Result<Bytes>, IntoIter: Send + 'static>,
{
    Box::pin(Iter(chunks.into_iter()))
}

/// Adds a subject to the errors of a stream.
pub(crate) fn about(body: ByteStream, subject: Subject) -> ByteStream {
    Box::pin(About { body, subject: Some(subject) })
}

struct About {
    body: ByteStream,
    subject: Option<Subject>,
}

impl Stream for About {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(this.body.as_mut().poll_next(cx));
        Poll::Ready(next.map(|chunk| {
            chunk.map_err(|error| match this.subject.take() {
                Some(subject) => error.about(subject),
                None => error,
            })
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.body.size_hint()
    }
}

/// Returns the next chunk; `None` at the end.
///
/// ```
/// use fhir_devices::store::stream;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert!(stream::next(&mut stream::chunks([])).await.is_none());
/// # }
/// ```
pub async fn next(stream: &mut ByteStream) -> Option<Result<Bytes>> {
    poll_fn(|cx| stream.as_mut().poll_next(cx)).await
}

/// Returns all bytes of a stream in one piece, at most `limit`.
///
/// ```
/// use fhir_devices::store::stream;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let file = stream::chunks(["firm".into(), "ware".into()]);
/// assert_eq!(stream::collect(file, 100).await.unwrap(), "firmware");
/// # }
/// ```
///
/// # Errors
/// `TooLarge` when there are more; otherwise the error of the stream.
pub async fn collect(mut stream: ByteStream, limit: u64) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = next(&mut stream).await {
        let chunk = chunk?;
        if (whole.len() as u64).saturating_add(chunk.len() as u64) > limit {
            return Err(StoreError::too_large(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
