//! A blob store that discards the bytes.

use crate::store::{
    BlobCapabilities, BlobHasher, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, Generation,
    Page, PageToken, PutOutcome, Result, StoreError, StoreId, Tenant, UrlKind, stream,
};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::Url;

/// A store that counts blobs and bytes, and discards them: for measurements and dry runs.
///
/// It breaks B1 of [`BlobStore`] on purpose: a committed blob is not found, except the markers of a [`StoreId`]. Sizes
/// are verified, and digests [on request](Self::with_digests), so that a dry run finds the faults that a real run
/// would.
///
/// ```
/// use fhir_devices::backend::Discard;
/// use fhir_devices::store::{Generation, TenantBlobs, stream};
/// use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let discard = Arc::new(Discard::new());
/// let blobs = TenantBlobs::new(discard.clone(), "st-mary".parse()?);
/// let (blob, _) = blobs.put(Generation(1), stream::once("firmware")).await?;
/// assert!(blobs.head(&blob.key(Generation(1))).await.is_err());
/// assert_eq!((discard.blobs(), discard.bytes()), (1, 8));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Discard {
    counts: Arc<Counts>,
    verifies_digest: bool,
}

#[derive(Debug, Default)]
struct Counts {
    blobs: AtomicU64,
    bytes: AtomicU64,
    markers: Mutex<BTreeSet<(Tenant, StoreId)>>,
}

impl Counts {
    fn markers(&self) -> MutexGuard<'_, BTreeSet<(Tenant, StoreId)>> {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, tenant: &Tenant, key: &BlobKey) -> bool {
        StoreId::of_marker(key).is_some_and(|id| self.markers().contains(&(tenant.clone(), id)))
    }
}

impl Discard {
    /// Creates a store with counts of zero.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: Arc::default(), verifies_digest: false }
    }

    /// Also verifies digests, which the caller of a commit otherwise vouches for. The bytes are then hashed once more.
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.verifies_digest = true;
        self
    }

    /// Returns the number of committed blobs.
    #[must_use]
    pub fn blobs(&self) -> u64 {
        self.counts.blobs.load(Ordering::Relaxed)
    }

    /// Returns the total size of the committed blobs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }
}

impl Default for Discard {
    fn default() -> Self {
        Self::new()
    }
}

impl BlobStore for Discard {
    fn capabilities(&self) -> BlobCapabilities {
        let mut capabilities = BlobCapabilities::new(u64::MAX);
        capabilities.verifies_digest = self.verifies_digest;
        capabilities
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        let hasher = self.verifies_digest.then(BlobHasher::new);
        let writer = Writer { counts: Arc::clone(&self.counts), tenant: tenant.clone(), hasher, size: 0 };
        Box::pin(async { Ok(Box::new(writer) as Box<dyn BlobWriter>) })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(async move {
            if !self.counts.has(tenant, key) {
                return Err(StoreError::not_found());
            }
            let blob = StoreId::content();
            let range = blob.clip(range)?;
            let at = |end: u64| usize::try_from(end).unwrap_or(usize::MAX);
            let bytes = Bytes::from_static(StoreId::CONTENT.as_bytes()).slice(at(range.start)..at(range.end));
            Ok(BlobRead { blob, range, body: stream::once(bytes) })
        })
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        let found = self.counts.has(tenant, key).then(StoreId::content).ok_or(StoreError::not_found());
        Box::pin(async { found })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        if let Some(id) = StoreId::of_marker(key) {
            self.counts.markers().remove(&(tenant.clone(), id));
        }
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        _: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            match after {
                Some(_) => Err(StoreError::invalid("the page token is not of this store")),
                None => {
                    let markers = self.counts.markers();
                    let of_tenant = markers.iter().filter(|(of, _)| of == tenant);
                    let info =
                        |(_, id): &(Tenant, StoreId)| BlobInfo { key: id.marker(), size: StoreId::content().size };
                    // One page has all markers: a tenant has one, or briefly two.
                    Ok(Page { items: of_tenant.map(info).collect(), next: None })
                }
            }
        })
    }

    fn url<'a>(&'a self, _: &'a Tenant, _: &'a BlobKey, _: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(async { Err(StoreError::unsupported("addresses of blobs that are thrown away")) })
    }
}

struct Writer {
    counts: Arc<Counts>,
    tenant: Tenant,
    hasher: Option<BlobHasher>,
    size: u64,
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.size = self.size.saturating_add(chunk.len() as u64);
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            Ok(())
        })
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(async move {
            let found = self.hasher.map_or(BlobRef { digest: blob.digest, size: self.size }, BlobHasher::finish);
            blob.verify_written(found)?;
            if let Some(id) = StoreId::of_marker(&blob.key(generation)) {
                let new = self.counts.markers().insert((self.tenant.clone(), id));
                return Ok(if new { PutOutcome::Stored } else { PutOutcome::AlreadyPresent });
            }
            self.counts.blobs.fetch_add(1, Ordering::Relaxed);
            self.counts.bytes.fetch_add(blob.size, Ordering::Relaxed);
            Ok(PutOutcome::Stored)
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
