//! Blobs that are encrypted before the inner store sees them.

use super::format::{self, CHUNK, SEALED, TRAILER, chunks, largest_within, plain_size, sealed_size};
use super::key::{DataKey, KeyProvider};
use crate::store::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, ByteStream, Generation,
    Page, PageToken, PutOutcome, Result, StoreError, Tenant, UrlKind, stream,
};
use aes_gcm::Aes256Gcm;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use url::Url;

/// A blob store that encrypts for an inner store.
///
/// # Guarantees
/// Each blob has a data key of its own, and is sealed with AES-256-GCM in chunks of 64 KiB, so that a range is read
/// without the rest. The data key is wrapped by the [`KeyProvider`] and bound to tenant, digest, generation and size: a
/// blob that was moved to another tenant or name, truncated, or changed in any byte, does not open. Keys rotate without
/// rewriting blobs. A read returns bytes only after they were verified; a fault ends it with
/// [`Corrupt`](StoreError::Corrupt).
///
/// # What it does not hide
/// The inner store sees the tenant, the digest of the bytes, their number, and when they are read.
///
/// # Assumptions
/// The inner store does not verify digests, since it sees other bytes: `begin` refuses one that does with
/// [`Unsupported`](StoreError::Unsupported). It gives no URLs, as a blob fetched there would be sealed: the application
/// serves the blobs.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::backend::sealed::{KeyRing, SealedBlobs};
/// use fhir_devices::store::{Generation, TenantBlobs, stream};
/// use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Arc::new(Memory::new());
/// let keys = KeyRing::new("2026".parse()?, [7; 32]);
/// let sealed = Arc::new(SealedBlobs::new(memory.clone(), Arc::new(keys)));
/// let blobs = TenantBlobs::new(sealed, "st-mary".parse()?);
/// let (blob, _) = blobs.put(Generation(1), stream::once("firmware")).await?;
/// let read = blobs.get(&blob.key(Generation(1)), Some(4..8)).await?;
/// assert_eq!(stream::collect(read.body, 100).await?, "ware");
///
/// let below = TenantBlobs::new(memory, "st-mary".parse()?);
/// let read = below.get(&blob.key(Generation(1)), None).await?;
/// assert!(!stream::collect(read.body, 1_000).await?.windows(8).any(|bytes| bytes == b"firmware"));
/// # Ok(())
/// # }
/// ```
pub struct SealedBlobs<B: ?Sized = dyn BlobStore> {
    keys: Arc<dyn KeyProvider>,
    below: Arc<B>,
}

impl<B: BlobStore + ?Sized> SealedBlobs<B> {
    /// Creates a store that seals blobs into `below`.
    #[must_use]
    pub fn new(below: Arc<B>, keys: Arc<dyn KeyProvider>) -> Self {
        Self { keys, below }
    }

    fn capable(&self) -> Result<()> {
        if self.below.capabilities().verifies_digest {
            return Err(StoreError::unsupported("sealing for a store that verifies digests"));
        }
        Ok(())
    }

    async fn open(&self, tenant: &Tenant, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead> {
        let (below, sealed) = self.fetch(tenant, key, range.as_ref()).await?;
        let size = plain_size(sealed)?;
        let blob = BlobRef { digest: key.digest, size };
        let range = blob.clip(range)?;
        let trailer = sealed.saturating_sub(TRAILER as u64)..sealed;
        let trailer = self.below.get(tenant, key, Some(trailer)).await?;
        let trailer = stream::collect(trailer.body, TRAILER as u64).await?;
        let (wrapped, rest) = format::read_key(&trailer)?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(StoreError::corrupt("the trailer was changed after it was written"));
        }
        let data_key = self.keys.unwrap(tenant, &wrapped, &bound(key, size)).await?;
        let number = range.start / CHUNK as u64;
        let opened = Opened {
            body: below,
            cipher: Box::new(data_key.cipher()),
            buffer: BytesMut::new(),
            number,
            last: chunks(size).saturating_sub(1),
            size,
            wanted: range.clone(),
            over: false,
        };
        Ok(BlobRead { blob, range, body: Box::pin(opened) })
    }

    /// Returns the sealed chunks that contain a range, and the size of the sealed blob.
    async fn fetch(&self, tenant: &Tenant, key: &BlobKey, range: Option<&Range<u64>>) -> Result<(ByteStream, u64)> {
        let wanted = match range {
            Some(range) if range.start >= range.end => return Err(StoreError::invalid("the range is empty")),
            Some(range) => {
                let first = range.start / CHUNK as u64;
                let behind = range.end.div_ceil(CHUNK as u64);
                let at = |chunk: u64| chunk.saturating_mul(SEALED as u64);
                Some(at(first)..at(behind))
            }
            None => None,
        };
        match self.below.get(tenant, key, wanted).await {
            Ok(read) => Ok((read.body, read.blob.size)),
            Err(StoreError::OutOfRange { size, .. }) => Err(StoreError::out_of_range(plain_size(size)?)),
            Err(error) => Err(error),
        }
    }
}

fn bound(key: &BlobKey, size: u64) -> Vec<u8> {
    format::context(&["blob", &key.digest.to_string(), &key.generation.to_string(), &size.to_string()])
}

/// A stream of the bytes of a range, opened chunk by chunk.
struct Opened {
    body: ByteStream,
    cipher: Box<Aes256Gcm>,
    buffer: BytesMut,
    /// Number of the next chunk.
    number: u64,
    last: u64,
    size: u64,
    /// The rest of the range.
    wanted: Range<u64>,
    over: bool,
}

impl Opened {
    /// Returns the length of the next sealed chunk.
    fn length(&self) -> usize {
        let start = self.number.saturating_mul(CHUNK as u64);
        let plain = self.size.saturating_sub(start).min(CHUNK as u64);
        usize::try_from(plain).unwrap_or(CHUNK) + format::TAG
    }

    /// Opens a complete chunk, and returns the requested part of it.
    fn next_chunk(&mut self, length: usize) -> Result<Bytes> {
        let mut chunk = Vec::from(self.buffer.split_to(length));
        format::open(&self.cipher, self.number, self.number == self.last, &mut chunk)?;
        let start = self.number.saturating_mul(CHUNK as u64);
        let from = usize::try_from(self.wanted.start.saturating_sub(start)).unwrap_or(CHUNK);
        let to = usize::try_from(self.wanted.end.saturating_sub(start)).unwrap_or(CHUNK).min(chunk.len());
        self.number = self.number.saturating_add(1);
        self.wanted.start = start.saturating_add(to as u64);
        Ok(Bytes::from(chunk).slice(from.min(to)..to))
    }
}

impl Stream for Opened {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let opened = self.get_mut();
        loop {
            // A blob without bytes has a chunk too, which is verified like every other.
            let empty = opened.size == 0 && opened.number == 0;
            if opened.over || (opened.wanted.is_empty() && !empty) {
                return Poll::Ready(None);
            }
            let length = opened.length();
            let step = if opened.buffer.len() >= length {
                opened.next_chunk(length).map(Some)
            } else {
                match ready!(opened.body.as_mut().poll_next(cx)) {
                    Some(Ok(chunk)) => {
                        opened.buffer.extend_from_slice(&chunk);
                        Ok(None)
                    }
                    Some(Err(error)) => Err(error),
                    None => Err(StoreError::corrupt("the sealed bytes end before their end")),
                }
            };
            match step {
                Ok(Some(bytes)) if !bytes.is_empty() => return Poll::Ready(Some(Ok(bytes))),
                Ok(_) => {}
                Err(error) => {
                    opened.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl<B: BlobStore + ?Sized> BlobStore for SealedBlobs<B> {
    fn capabilities(&self) -> BlobCapabilities {
        let below = self.below.capabilities();
        let mut capabilities = BlobCapabilities::new(largest_within(below.max_size));
        capabilities.verifies_digest = false;
        capabilities.durable_ack = below.durable_ack;
        capabilities
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            self.capable()?;
            let key = DataKey::random()?;
            let writer = Writer {
                below: self.below.begin(tenant).await?,
                tenant: tenant.clone(),
                keys: Arc::clone(&self.keys),
                cipher: Box::new(key.cipher()),
                key,
                buffer: BytesMut::new(),
                number: 0,
                size: 0,
                limit: self.capabilities().max_size,
            };
            Ok(Box::new(writer) as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(self.open(tenant, key, range))
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(async move {
            let sealed = self.below.head(tenant, key).await?;
            Ok(BlobRef { digest: sealed.digest, size: plain_size(sealed.size)? })
        })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        self.below.delete(tenant, key)
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            let Page { items, next } = self.below.list(tenant, limit, after).await?;
            let plain = |info: BlobInfo| Ok(BlobInfo { size: plain_size(info.size)?, ..info });
            Ok(Page { items: items.into_iter().map(plain).collect::<Result<_>>()?, next })
        })
    }

    fn url<'a>(&'a self, _: &'a Tenant, _: &'a BlobKey, _: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(async { Err(StoreError::unsupported("addresses of sealed blobs")) })
    }
}

impl<B: ?Sized> fmt::Debug for SealedBlobs<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBlobs").finish_non_exhaustive()
    }
}

struct Writer {
    below: Box<dyn BlobWriter>,
    tenant: Tenant,
    keys: Arc<dyn KeyProvider>,
    cipher: Box<Aes256Gcm>,
    key: DataKey,
    /// Bytes not sealed yet: never empty once something was written, as the last chunk is sealed differently.
    buffer: BytesMut,
    number: u64,
    size: u64,
    limit: u64,
}

impl Writer {
    async fn take(&mut self, mut chunk: Bytes) -> Result<()> {
        self.size = self.size.saturating_add(chunk.len() as u64);
        if self.size > self.limit {
            return Err(StoreError::too_large(self.limit));
        }
        while !chunk.is_empty() {
            if self.buffer.len() == CHUNK {
                self.pass(false).await?;
            }
            let room = CHUNK.saturating_sub(self.buffer.len()).min(chunk.len());
            self.buffer.extend_from_slice(&chunk.split_to(room));
        }
        Ok(())
    }

    /// Seals the buffered bytes, and passes them to the inner writer.
    async fn pass(&mut self, last: bool) -> Result<()> {
        let mut chunk = self.buffer.split();
        let tag = format::seal(&self.cipher, self.number, last, &mut chunk)?;
        chunk.extend_from_slice(&tag);
        self.number = self.number.saturating_add(1);
        self.below.write(chunk.freeze()).await
    }

    async fn finish(mut self: Box<Self>, blob: BlobRef, generation: Generation) -> Result<PutOutcome> {
        if self.size > self.limit {
            return Err(StoreError::too_large(self.limit));
        }
        blob.verify_written(BlobRef { digest: blob.digest, size: self.size })?;
        let sealed = sealed_size(self.size).ok_or(StoreError::too_large(self.limit))?;
        let bound = bound(&blob.key(generation), self.size);
        let wrapped = self.keys.wrap(&self.tenant, &self.key, &bound).await?;
        let trailer = format::trailer(&wrapped)?;
        self.pass(true).await?;
        self.below.write(trailer.into()).await?;
        self.below.commit(BlobRef { digest: blob.digest, size: sealed }, generation).await
    }
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.take(chunk))
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(self.finish(blob, generation))
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.below.abort()
    }
}
