//! The contract of a store of update files.

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
/// A file is written in two steps, because its digest is known only when all of it has passed: [`begin`](Self::begin)
/// gives a [`BlobWriter`] that takes the bytes, and its [`commit`](BlobWriter::commit) makes them a blob. The generation
/// is a number that the caller never gives twice: what was deleted does not come back under the same name.
/// An application holds the store in a [`TenantBlobs`](super::TenantBlobs).
///
/// # Contract
///
/// - **B1 Visibility.** Nothing of a blob is seen before its commit has been acknowledged or is under way; all of it is
///   seen from the acknowledgement on, whoever calls.
/// - **B2 Verification.** A commit whose size, or digest where [`BlobCapabilities::verifies_digest`] says so, is not that
///   of the bytes written fails with `Mismatch`, and leaves no trace. Where the store does not verify, the caller of
///   the commit vouches for the digest: [`TenantBlobs`](super::TenantBlobs) and the update service hash the bytes as they
///   pass, so that a store in the same process need not do so again.
/// - **B3 Put if absent.** A commit under a key that is there gives `AlreadyPresent` and changes nothing. It may be
///   repeated. Of several writers of the same bytes under the same key at the same time, each gets an `Ok`.
/// - **B4 Abort.** An aborted or dropped writer leaves no trace, as does one whose write failed.
/// - **B5 Reading.** `get` gives the bytes that were committed, or those of a range. The end of a range is cut at the size;
///   an empty range is `Invalid`, one that starts behind the last byte `OutOfRange`. A read that has begun either
///   comes to its end or fails, also when the blob is deleted meanwhile: it never ends short.
/// - **B6 Deletion.** Afterwards the blob is `NotFound`. To delete what is absent is `Ok`. The same bytes under another
///   generation are another blob, and stay.
/// - **B7 Tenants.** No call sees, changes, or reveals the existence of anything of another tenant. Equal bytes of two
///   tenants are two blobs: one learns nothing from the other's, and a deletion leaves the other's in place.
/// - **B8 Listing.** Pages hold every blob that was there all the time exactly once, in the order of the keys, by the
///   rules of R8 of [`ResourceStore`](super::ResourceStore).
/// - **B9 Addresses.** An address leads to the blob of this tenant only, and ends to do so with the blob. A kind that the
///   capabilities do not name is `Unsupported`. A store that knows of the absence without asking says `NotFound`.
/// - **B10 Errors.** [`StoreError::applied`](super::StoreError::applied) tells the truth. After `Indeterminate` the commit is
///   resolved by `head`.
/// - **B11 Sizes.** A blob of [`BlobCapabilities::max_size`] bytes is taken, and the empty one. A larger one is `TooLarge`, at
///   the write that passes the limit or at the commit.
/// - **B12 Cancellation.** Dropping any future leaves the old state or the new one, and a store that goes on working. A
///   writer whose `write` was dropped can only be aborted.
///
/// Who checks what: the store checks a file once, when it is committed (B2), and that a read gives all that it promised (B5).
/// It need not notice that the engine below lost or changed bytes since then. The update service does: when it opens a file it
/// compares the length that the store tells with the one that its ledger has, and holds the bytes against the digest while they
/// pass and on a schedule. Whoever reads from a store directly, or by an address of B9, checks the digest himself.
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
    /// The engine's troubles.
    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>>;

    /// Returns the bytes of a blob, or some of them (B5).
    ///
    /// # Errors
    /// `NotFound`; `Invalid` and `OutOfRange` for the range; errors of the engine, here or in the stream.
    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>>;

    /// Returns whether a blob is there, and its size.
    ///
    /// # Errors
    /// `NotFound`; errors of the engine.
    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>>;

    /// Deletes a blob, if it is there (B6).
    ///
    /// # Errors
    /// The engine's troubles.
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

    /// Returns an address at which the blob can be fetched without this store (B9).
    ///
    /// # Errors
    /// `Unsupported` for a kind that the store does not give; `NotFound` where it knows; errors of the engine.
    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>>;
}

/// Writes one file. Dropping it aborts.
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
    /// Takes the next bytes. When the future is ready, the store wants more.
    ///
    /// # Errors
    /// `TooLarge`; errors of the engine. The writer can then only be aborted.
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>>;

    /// Makes what was written the blob `blob` of this generation, if it is that (B2) and is not there yet (B3).
    ///
    /// # Errors
    /// `Mismatch` when the bytes are not those of `blob`; `Indeterminate`, to be resolved by `head`; errors of the engine.
    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>>;

    /// Throws away what was written, and waits until that is done.
    ///
    /// # Errors
    /// The engine's troubles. Nothing becomes visible all the same.
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
