//! Contract of a store of update files.

use super::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BoxFuture, Generation, Page, PageToken, PutOutcome, Result,
    Tenant, UrlKind,
};
use bytes::Bytes;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// Stores update files by tenant, digest and generation.
///
/// A file is written in two steps, because its digest is known only after all bytes have passed: [`begin`](Self::begin)
/// returns a [`BlobWriter`] that takes the bytes, and its [`commit`](BlobWriter::commit) makes them a blob. The caller
/// never uses a generation twice, so that a deleted blob does not come back under the same key. Applications hold the
/// store in a [`TenantBlobs`](super::TenantBlobs).
///
/// # Contract
///
/// - **B1 Visibility.** Nothing of a blob is visible before its commit is under way or acknowledged; after the
///   acknowledgement all of it is visible to every caller.
/// - **B2 Verification.** A commit fails with `Mismatch` and leaves no trace when its size differs from that of the
///   bytes written, or its digest where [`BlobCapabilities::verifies_digest`] is set. Where the store does not verify
///   digests, the caller of the commit vouches for the digest: [`TenantBlobs`](super::TenantBlobs) and the update
///   service hash the bytes as they pass, so that a store in the same process need not hash them again.
/// - **B3 Put if absent.** A commit under an existing key returns `AlreadyPresent` and changes nothing. A commit may be
///   repeated. Of several concurrent writers of the same bytes under the same key, each gets an `Ok`.
/// - **B4 Abort.** A writer that was aborted or dropped, or whose write failed, leaves no trace.
/// - **B5 Reading.** `get` returns the committed bytes, or those of a range. The end of a range is cut at the size; an
///   empty range is `Invalid`, one that starts at or after the end `OutOfRange`. A read that has begun either completes
///   or fails, even when the blob is deleted meanwhile: it never ends short.
/// - **B6 Deletion.** A deleted blob is `NotFound`. Deleting an absent blob is `Ok`. The same bytes under another
///   generation are another blob and stay.
/// - **B7 Tenants.** No call sees, changes, or reveals the existence of anything of another tenant. Equal bytes of two
///   tenants are two blobs: neither tenant learns of the other's, and deleting one leaves the other in place.
/// - **B8 Listing.** The pages of a listing hold every blob that existed throughout it exactly once, in the order of
///   the keys, by the rules of R8 of [`ResourceStore`](super::ResourceStore).
/// - **B9 URLs.** A URL leads to the blob of this tenant only, and stops working when the blob is deleted. A kind of
///   URL that the capabilities do not name is `Unsupported`. A store that knows without a request that the blob is
///   absent answers `NotFound`.
/// - **B10 Errors.** [`StoreError::applied`](super::StoreError::applied) is true to what happened. After
///   `Indeterminate` the caller resolves the commit by `head`.
/// - **B11 Sizes.** The store accepts the empty blob and a blob of [`BlobCapabilities::max_size`] bytes. A larger one
///   is `TooLarge`, at the write that passes the limit or at the commit.
/// - **B12 Cancellation.** Dropping any future leaves the old state or the new one, and a working store. A writer whose
///   `write` future was dropped can only be aborted.
///
/// The store checks a file once, when it is committed (B2), and checks that a read returns all bytes promised (B5). It
/// need not notice that the engine below lost or changed bytes later. The update service does: when it opens a file it
/// compares the length reported by the store with the one in its ledger, and it checks the bytes against the digest
/// while they pass and on a schedule. Callers that read from a store directly, or by a URL of B9, check the digest
/// themselves.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{BlobRef, BlobStore, Generation, PutOutcome, Tenant};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, tenant): (Memory, Tenant) = (Memory::new(), "st-mary".parse()?);
/// let mut writer = store.begin(&tenant).await?;
/// writer.write("firm".into()).await?;
/// writer.write("ware".into()).await?;
/// let blob = BlobRef::of(b"firmware");
/// assert_eq!(writer.commit(blob, Generation(1)).await?, PutOutcome::Stored);
/// assert_eq!(store.head(&tenant, &blob.key(Generation(1))).await?, blob);
/// # Ok(())
/// # }
/// ```
pub trait BlobStore: Send + Sync + 'static {
    /// Returns the capabilities of this store.
    fn capabilities(&self) -> BlobCapabilities;

    /// Begins a new file.
    ///
    /// # Errors
    /// Errors of the engine.
    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>>;

    /// Returns the bytes of a blob or of a range (B5).
    ///
    /// # Errors
    /// `NotFound`; `Invalid` and `OutOfRange` for the range; errors of the engine, here or in the stream.
    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>>;

    /// Returns the digest and size of a blob.
    ///
    /// # Errors
    /// `NotFound`; errors of the engine.
    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>>;

    /// Deletes a blob if it exists (B6).
    ///
    /// # Errors
    /// Errors of the engine.
    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>>;

    /// Returns one page of the blobs of a tenant (B8).
    ///
    /// # Errors
    /// `Invalid` for a foreign or damaged token; errors of the engine.
    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>>;

    /// Returns a URL at which the blob can be fetched without this store (B9).
    ///
    /// # Errors
    /// `Unsupported` for a kind that the store does not offer; `NotFound` where the store knows; errors of the engine.
    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>>;
}

/// Writer of one file. Dropping it aborts the upload.
///
/// ```
/// use fhir_devices::store::{BlobRef, BlobWriter, Generation, Result};
/// async fn write(mut writer: Box<dyn BlobWriter>) -> Result<()> {
///     writer.write("firmware".into()).await?;
///     writer.commit(BlobRef::of(b"firmware"), Generation(1)).await?;
///     Ok(())
/// }
/// # let _ = write;
/// ```
pub trait BlobWriter: Send + 'static {
    /// Takes the next chunk; the future is ready when the store accepts another.
    ///
    /// # Errors
    /// `TooLarge`; errors of the engine. The writer can then only be aborted.
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>>;

    /// Stores the written bytes as the blob `blob` of this generation, if they match it (B2) and the key is absent
    /// (B3).
    ///
    /// # Errors
    /// `Mismatch` when the bytes do not match `blob`; `Indeterminate`, to be resolved by `head`; errors of the engine.
    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>>;

    /// Discards the written bytes, and waits until that is done.
    ///
    /// # Errors
    /// Errors of the engine. Even then nothing becomes visible.
    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

impl<S: BlobStore + ?Sized> BlobStore for Arc<S> {
    fn capabilities(&self) -> BlobCapabilities {
        (**self).capabilities()
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        (**self).begin(tenant)
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        (**self).get(tenant, key, range)
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        (**self).head(tenant, key)
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        (**self).delete(tenant, key)
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        (**self).list(tenant, limit, after)
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        (**self).url(tenant, key, kind)
    }
}
