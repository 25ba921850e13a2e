//! Update files in Azure Blob Storage, S3, Google Cloud Storage, or local files.

mod connector;
mod fault;
mod list;
mod open;
mod read;
mod staging;
mod writer;

use crate::store::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, Page, PageKey, PageQuery,
    PageToken, Result, StoreError, Tenant, UrlKind, parsed_place,
};
use ::object_store::path::Path;
use ::object_store::signer::{Method, Signer};
use ::object_store::{ObjectStore, ObjectStoreExt as _};
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::sync::Arc;
use time::OffsetDateTime;
use url::Url;

/// The underlying crate, in the version that this crate was built with.
pub use ::object_store as driver;
pub use connector::Connector;

/// A blob store over any store of the crate [`object_store`](driver).
///
/// A blob is one object, `TENANT/sha256/DIGEST/GENERATION` below an optional prefix. A file up to the [part
/// size](Self::with_part_size) is held in memory until its commit and uploaded in one request. A larger one is uploaded
/// to `TENANT/staging/NAME` in parts, four at a time; the commit copies it to its place within the store, and deletes
/// the staged object. A staged object is not a blob, and is not listed; [`sweep_staging`](Self::sweep_staging) deletes
/// the staged objects of crashed processes. The parts of an unfinished upload are not objects: S3 and Google Cloud
/// Storage delete them by a rule of the bucket, Azure after a week.
///
/// [`open`](Self::open) takes the URL of a container or a bucket. [`new`](Self::new) takes a store that the caller
/// built. Remote stores need a tokio runtime with timers.
///
/// The engines differ:
///
/// - On S3 a large file is copied without a condition, after a check whether the target exists. The name identifies the
///   bytes, so a second copy changes nothing that a reader could see. A copy there holds at most 5 GB.
/// - An error of a commit that may have been applied is resolved by `head`, and is `Indeterminate` where that does not
///   find the blob. This includes a throttled commit that the inner store had retried by itself.
/// - `Throttled` has no time to wait, because the underlying crate does not report it.
///
/// ```
/// use fhir_devices::backend::Objects;
/// use fhir_devices::store::{BlobStore, Generation, TenantBlobs, stream};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn BlobStore> = Arc::new(Objects::open(&"memory:///".parse()?, [])?);
/// let blobs = TenantBlobs::new(store, "st-mary".parse()?);
/// let (blob, _) = blobs.put(Generation(1), stream::once("firmware")).await?;
/// let read = blobs.get(&blob.key(Generation(1)), None).await?;
/// assert_eq!(stream::collect(read.body, 100).await?, "firmware");
/// # Ok(())
/// # }
/// ```
pub struct Objects {
    place: Place,
    signer: Option<Arc<dyn Signer>>,
    base: Option<Url>,
    limits: Limits,
    /// Whether the engine lists in the order of the keys.
    ordered: bool,
    durable: bool,
    pages: PageKey,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    max_size: u64,
    part_size: usize,
    verifies_digest: bool,
}

/// The location of the objects.
#[derive(Clone)]
struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Place {
    fn of(&self, tenant: &Tenant, kind: &'static str) -> Path {
        self.prefix.clone().join(tenant.as_str()).join(kind)
    }

    fn blobs(&self, tenant: &Tenant) -> Path {
        self.of(tenant, "sha256")
    }

    fn blob(&self, tenant: &Tenant, key: &BlobKey) -> Path {
        self.blobs(tenant).join(key.digest.to_string()).join(key.generation.to_string())
    }

    fn staging(&self, tenant: &Tenant) -> Path {
        self.of(tenant, "staging")
    }

    /// Returns the size of an object, or `None` if it does not exist.
    async fn size(&self, path: &Path) -> ::object_store::Result<Option<u64>> {
        match self.store.head(path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(::object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, path: &Path) -> ::object_store::Result<()> {
        match self.store.delete(path).await {
            Err(::object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

impl Objects {
    /// Creates a blob store over a store that the caller built: blobs up to 4 GiB, in parts of 8 MiB.
    ///
    /// It does not claim durability and gives no signed URLs, and each page of a listing looks at every blob of the
    /// tenant, since not every store lists in order; see the methods below.
    ///
    /// ```
    /// use fhir_devices::backend::{Objects, object_store::driver::memory::InMemory};
    /// let blobs = Objects::new(std::sync::Arc::new(InMemory::new())).with_ordered_listing();
    /// # drop(blobs);
    /// ```
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            place: Place { store, prefix: Path::default() },
            signer: None,
            base: None,
            limits: Limits { max_size: 4 << 30, part_size: 8 << 20, verifies_digest: false },
            ordered: false,
            durable: false,
            pages: PageKey::random(),
        }
    }

    /// Returns the inner store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.place.store
    }

    /// Sets the path above all objects.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Path) -> Self {
        self.place.prefix = prefix;
        self
    }

    /// Sets the signer of URLs.
    #[must_use]
    pub fn with_signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Sets the base of public URLs, `BASE/TENANT/sha256/DIGEST/GENERATION`: a content delivery network in front of the
    /// prefix.
    #[must_use]
    pub fn with_base_url(mut self, base: Url) -> Self {
        self.base = Some(base);
        self
    }

    /// States that the store lists in the order of the keys, as S3, Azure and Google Cloud Storage do and local files
    /// do not: a page then ends where it is full.
    #[must_use]
    pub fn with_ordered_listing(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// States that acknowledged data survives the loss of a node or of power.
    #[must_use]
    pub fn with_durable_ack(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Sets the maximum size of a blob.
    #[must_use]
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.limits.max_size = bytes;
        self
    }

    /// Sets the part size, which is also the maximum held in memory before it is sent. S3 requires 5 MiB or more, and
    /// accepts 10,000 parts per file.
    #[must_use]
    pub fn with_part_size(mut self, bytes: NonZeroUsize) -> Self {
        self.limits.part_size = bytes.get();
        self
    }

    /// Also verifies the digests of blobs, which the caller of a commit otherwise vouches for. The bytes are then
    /// hashed once more.
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.limits.verifies_digest = true;
        self
    }

    /// Sets the key that signs page tokens, so that other processes and later ones accept them.
    #[must_use]
    pub fn with_page_key(mut self, key: PageKey) -> Self {
        self.pages = key;
        self
    }

    /// Deletes objects staged for a tenant before a time, and returns their number.
    ///
    /// Every upload that began before that time must have ended: one in progress would fail. An hour more than the
    /// longest upload allows for clock differences.
    ///
    /// # Errors
    /// Errors of the engine.
    pub async fn sweep_staging(&self, tenant: &Tenant, before: OffsetDateTime) -> Result<usize> {
        staging::sweep(&self.place, tenant, before).await
    }

    fn public_url(&self, tenant: &Tenant, key: &BlobKey) -> Result<Url> {
        let mut url = self.base.clone().ok_or(StoreError::unsupported("public addresses"))?;
        let no_path = |()| StoreError::invalid("the base of the addresses cannot have a path");
        let digest = key.digest.to_string();
        url.path_segments_mut().map_err(no_path)?.pop_if_empty().extend([
            tenant.as_str(),
            "sha256",
            &digest,
            &key.generation.to_string(),
        ]);
        Ok(url)
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = format_args!("{}", self.place.store);
        f.debug_struct("Objects").field("store", &store).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl BlobStore for Objects {
    fn capabilities(&self) -> BlobCapabilities {
        let mut capabilities = BlobCapabilities::new(self.limits.max_size);
        capabilities.verifies_digest = self.limits.verifies_digest;
        capabilities.public_url = self.base.is_some();
        capabilities.signed_url = self.signer.is_some();
        capabilities.durable_ack = self.durable;
        capabilities
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        let writer = writer::Writer::new(self.place.clone(), tenant.clone(), self.limits);
        Box::pin(async { Ok(Box::new(writer) as Box<dyn BlobWriter>) })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(read::get(&self.place, tenant, key, range))
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(read::head(&self.place, tenant, key))
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = self.place.blob(tenant, key);
            self.place.delete(&path).await.map_err(fault::of_read)
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            let place = self.pages.place(tenant, PageQuery::Blobs, after, parsed_place::<BlobKey>)?;
            let (items, more) = list::page(&self.place, tenant, limit, place, self.ordered).await?;
            let last = items.last().filter(|_| more);
            let seal = |last: &BlobInfo| self.pages.seal(tenant, PageQuery::Blobs, last.key.to_string().as_bytes());
            let next = last.map(seal).transpose()?;
            Ok(Page { items, next })
        })
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(async move {
            match (kind, &self.signer) {
                (UrlKind::Public, _) => self.public_url(tenant, key),
                (UrlKind::Signed { valid_for }, Some(signer)) => {
                    let path = self.place.blob(tenant, key);
                    signer.signed_url(Method::GET, &path, valid_for).await.map_err(fault::of_read)
                }
                _ => Err(StoreError::unsupported("signed addresses")),
            }
        })
    }
}
