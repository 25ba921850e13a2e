//! Handle of a blob store for one tenant.

use super::{
    BlobCapabilities, BlobHasher, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, ByteStream,
    Generation, Page, PageToken, PutOutcome, Result, Subject, Tenant, UrlKind, stream,
};
use bytes::Bytes;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// Blob store with a fixed tenant: no method takes one.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{BlobRef, BlobStore, Generation, PutOutcome, TenantBlobs, stream};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn BlobStore> = Arc::new(Memory::new());
/// let blobs = TenantBlobs::new(store, "st-mary".parse()?);
/// let (blob, outcome) = blobs.put(Generation(1), stream::once("firmware")).await?;
/// assert_eq!((blob, outcome), (BlobRef::of(b"firmware"), PutOutcome::Stored));
/// let read = blobs.get(&blob.key(Generation(1)), Some(4..100)).await?;
/// assert_eq!(read.range, 4..8);
/// assert_eq!(stream::collect(read.body, 100).await?, "ware");
/// # Ok(())
/// # }
/// ```
pub struct TenantBlobs<S: ?Sized = dyn BlobStore> {
    tenant: Tenant,
    store: Arc<S>,
}

impl<S: BlobStore + ?Sized> TenantBlobs<S> {
    /// Creates a handle for a tenant.
    pub fn new(store: Arc<S>, tenant: Tenant) -> Self {
        Self { tenant, store }
    }

    fn blob(&self, key: &BlobKey) -> Subject {
        Subject::Blob(self.tenant.clone(), *key)
    }

    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Returns the capabilities of the store.
    #[must_use]
    pub fn capabilities(&self) -> BlobCapabilities {
        self.store.capabilities()
    }

    /// Begins a new file.
    ///
    /// # Errors
    /// As [`BlobStore::begin`].
    pub async fn begin(&self) -> Result<Box<dyn BlobWriter>> {
        let begun = self.store.begin(&self.tenant).await;
        let inner = begun.map_err(|error| error.about(Subject::Tenant(self.tenant.clone())))?;
        Ok(Box::new(NamedWriter { tenant: self.tenant.clone(), inner }))
    }

    /// Stores a whole stream, and returns the digest and size of its bytes.
    ///
    /// # Errors
    /// The error of the stream, and nothing is stored; otherwise as [`BlobWriter`].
    pub async fn put(&self, generation: Generation, body: ByteStream) -> Result<(BlobRef, PutOutcome)> {
        self.put_checked(generation, body, |_| Ok(()))
            .await
            .map_err(|error| error.about(Subject::Tenant(self.tenant.clone())))
    }

    /// Stores a whole stream, whose bytes must match `want`.
    ///
    /// # Errors
    /// [`Mismatch`](super::StoreError::Mismatch) when the bytes differ; the error of the stream; otherwise as
    /// [`BlobWriter`]. Nothing is stored then.
    pub async fn put_expecting(&self, want: BlobRef, generation: Generation, body: ByteStream) -> Result<PutOutcome> {
        let put = self.put_checked(generation, body, |found| want.verify_written(found)).await;
        put.map(|(_, outcome)| outcome).map_err(|error| error.about(self.blob(&want.key(generation))))
    }

    async fn put_checked(
        &self,
        generation: Generation,
        mut body: ByteStream,
        check: impl Fn(BlobRef) -> Result<()>,
    ) -> Result<(BlobRef, PutOutcome)> {
        let mut writer = self.begin().await?;
        let mut hasher = BlobHasher::new();
        let passed = async {
            while let Some(chunk) = stream::next(&mut body).await {
                let chunk = chunk?;
                hasher.update(&chunk);
                writer.write(chunk).await?;
            }
            let blob = hasher.finish();
            check(blob).map(|()| blob)
        };
        match passed.await {
            Ok(blob) => Ok((blob, writer.commit(blob, generation).await?)),
            Err(error) => {
                // The caller needs the first error; an error of the abort is ignored.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Returns the bytes of a blob or of a range.
    ///
    /// # Errors
    /// As [`BlobStore::get`].
    pub async fn get(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead> {
        let read = self.store.get(&self.tenant, key, range).await.map_err(|error| error.about(self.blob(key)))?;
        Ok(BlobRead { body: stream::about(read.body, self.blob(key)), ..read })
    }

    /// Returns the digest and size of a blob.
    ///
    /// # Errors
    /// As [`BlobStore::head`].
    pub async fn head(&self, key: &BlobKey) -> Result<BlobRef> {
        self.store.head(&self.tenant, key).await.map_err(|error| error.about(self.blob(key)))
    }

    /// Deletes a blob if it exists.
    ///
    /// # Errors
    /// As [`BlobStore::delete`].
    pub async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.store.delete(&self.tenant, key).await.map_err(|error| error.about(self.blob(key)))
    }

    /// Returns one page of the blobs.
    ///
    /// # Errors
    /// As [`BlobStore::list`].
    pub async fn list(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<BlobInfo>> {
        let found = self.store.list(&self.tenant, limit, after).await;
        found.map_err(|error| error.about(Subject::Tenant(self.tenant.clone())))
    }

    /// Returns a URL at which the blob can be fetched.
    ///
    /// # Errors
    /// As [`BlobStore::url`].
    pub async fn url(&self, key: &BlobKey, kind: UrlKind) -> Result<Url> {
        self.store.url(&self.tenant, key, kind).await.map_err(|error| error.about(self.blob(key)))
    }
}

/// Blob writer whose errors name the tenant.
struct NamedWriter {
    tenant: Tenant,
    inner: Box<dyn BlobWriter>,
}

impl BlobWriter for NamedWriter {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        let Self { tenant, inner } = self;
        Box::pin(async { inner.write(chunk).await.map_err(|error| error.about(Subject::Tenant(tenant.clone()))) })
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        let Self { tenant, inner } = *self;
        Box::pin(async move {
            let made = inner.commit(blob, generation).await;
            made.map_err(|error| error.about(Subject::Blob(tenant, blob.key(generation))))
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        let Self { tenant, inner } = *self;
        Box::pin(async move { inner.abort().await.map_err(|error| error.about(Subject::Tenant(tenant))) })
    }
}

impl<S: ?Sized> Clone for TenantBlobs<S> {
    fn clone(&self) -> Self {
        Self { tenant: self.tenant.clone(), store: Arc::clone(&self.store) }
    }
}

impl<S: ?Sized> fmt::Debug for TenantBlobs<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantBlobs").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
