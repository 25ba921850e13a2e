//! Blobs as files in a folder: the durable store of a single process.

mod folder;
mod threads;

use super::checks::to_usize;
use super::oneshot::OneshotReceiver;
use crate::store::{
    BlobCapabilities, BlobHasher, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, Generation,
    Page, PageKey, PageQuery, PageToken, PutOutcome, Result, StoreError, Tenant, UrlKind, parsed_place, random_bytes,
};
use bytes::Bytes;
use folder::{Folder, Unfinished, unavailable};
use futures_core::Stream;
use std::fmt;
use std::fs::File;
use std::future::Future as _;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use threads::Threads;
use url::Url;

/// Number of bytes read or written at a time.
const CHUNK: usize = 256 << 10;

/// Keeps blobs as files below a folder, at `TENANT/sha256/ab/DIGEST/GENERATION`, durably.
///
/// A file is written beside its final path, synced, and moved there, and the folders of the path are synced: an
/// acknowledged commit survives a crash of the process and a loss of power as far as the disk keeps its own promises,
/// and a partial file is never visible. The folder belongs to one process at a time; unfinished uploads of an earlier
/// process are removed when it is opened.
///
/// All disk access runs on threads of the store, 4 unless [`with_threads`](Self::with_threads) says otherwise, so that
/// no executor blocks on it. No runtime is needed. Dropping the last handle, writers included, waits until work in
/// progress is finished.
///
/// ```
/// use fhir_devices::backend::Files;
/// use fhir_devices::store::{Generation, TenantBlobs, stream};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("fhir-devices-doc-files-{}", std::process::id()));
/// let blobs = TenantBlobs::new(Arc::new(Files::open(&folder)?), "st-mary".parse()?);
/// let (blob, _) = blobs.put(Generation(1), stream::once("firmware")).await?;
/// let read = blobs.get(&blob.key(Generation(1)), None).await?;
/// assert_eq!(stream::collect(read.body, 100).await?, "firmware");
/// # drop(blobs);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
pub struct Files {
    shared: Arc<Shared>,
    max_size: u64,
    verifies_digest: bool,
    base: Option<Url>,
    pages: PageKey,
}

/// The threads are dropped first, since they also hold the folder.
struct Shared {
    threads: Threads,
    folder: Arc<Folder>,
}

impl Shared {
    /// Runs the work on a thread. If the thread ends without an answer, the error leaves the outcome unknown.
    fn run<T: Send + 'static>(&self, work: impl FnOnce(&Folder) -> T + Send + 'static) -> OneshotReceiver<T> {
        let folder = Arc::clone(&self.folder);
        self.threads.run(move || work(&folder))
    }
}

async fn done<T>(awaited: OneshotReceiver<Result<T>>) -> Result<T> {
    awaited.await.unwrap_or(Err(StoreError::indeterminate(None)))
}

impl Files {
    /// Opens or creates a folder, with blobs up to 16 GiB.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be created or another process has it open; `Denied` without the permission.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let (folder, key) = Folder::open(folder.into(), random_bytes()?).map_err(unavailable)?;
        let threads = Threads::start(NonZeroUsize::MIN.saturating_add(3)).map_err(unavailable)?;
        let shared = Arc::new(Shared { threads, folder: Arc::new(folder) });
        let pages = PageKey::from_bytes(key);
        Ok(Self { shared, max_size: 16 << 30, verifies_digest: false, base: None, pages })
    }

    /// Sets the number of threads, before the first use.
    ///
    /// # Errors
    /// `Unavailable` when they cannot be started.
    pub fn with_threads(mut self, count: NonZeroUsize) -> Result<Self> {
        let threads = Threads::start(count).map_err(unavailable)?;
        self.shared = Arc::new(Shared { threads, folder: Arc::clone(&self.shared.folder) });
        Ok(self)
    }

    /// Sets the maximum size of a blob.
    #[must_use]
    pub fn with_max_blob(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Also verifies the digests of blobs, which the caller of a commit otherwise vouches for. The bytes are then
    /// hashed once more.
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.verifies_digest = true;
        self
    }

    /// Sets the base of blob URLs, `BASE/TENANT/sha256/DIGEST/GENERATION`, where the application serves the blobs.
    /// Without a base, blobs have no URL.
    #[must_use]
    pub fn with_base_url(mut self, base: Url) -> Self {
        self.base = Some(base);
        self
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("folder", &self.shared.folder)
            .field("max_size", &self.max_size)
            .finish_non_exhaustive()
    }
}

impl BlobStore for Files {
    fn capabilities(&self) -> BlobCapabilities {
        let mut capabilities = BlobCapabilities::new(self.max_size);
        capabilities.verifies_digest = self.verifies_digest;
        capabilities.public_url = self.base.is_some();
        capabilities.durable_ack = true;
        capabilities
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            let unfinished = done(self.shared.run(|folder| folder.unfinished().map_err(unavailable))).await?;
            let hasher = self.verifies_digest.then(BlobHasher::new);
            let writer = Writer {
                shared: Arc::clone(&self.shared),
                tenant: tenant.clone(),
                max_size: self.max_size,
                size: 0,
                waiting: Waiting::default(),
                upload: Some(Upload { unfinished, hasher }),
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
        Box::pin(async move {
            let (of, key) = (tenant.clone(), *key);
            let (file, size) = done(self.shared.run(move |folder| folder.find(&of, &key))).await?;
            let blob = BlobRef { digest: key.digest, size };
            let range = blob.clip(range)?;
            let reader = Reader { shared: Arc::clone(&self.shared), left: range.clone(), state: Reading::Idle(file) };
            Ok(BlobRead { blob, range, body: Box::pin(reader) })
        })
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(async move {
            let (of, key) = (tenant.clone(), *key);
            let size = done(self.shared.run(move |folder| folder.size(&of, &key))).await?;
            Ok(BlobRef { digest: key.digest, size })
        })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (of, key) = (tenant.clone(), *key);
            done(self.shared.run(move |folder| folder.delete(&of, &key))).await
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
            let of = tenant.clone();
            let listed = self.shared.run(move |folder| folder.list(&of, to_usize(limit), place.as_ref()));
            let (items, more) = done(listed).await?;
            let last = items.last().filter(|_| more);
            let next = last
                .map(|last| self.pages.seal(tenant, PageQuery::Blobs, last.key.to_string().as_bytes()))
                .transpose()?;
            Ok(Page { items, next })
        })
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(async move {
            let base = self.base.clone().filter(|_| kind == UrlKind::Public);
            let mut url = base.ok_or(StoreError::unsupported("addresses of this kind"))?;
            self.head(tenant, key).await?;
            let no_path = |()| StoreError::invalid("the base of the addresses cannot have a path");
            let (digest, generation) = (key.digest.to_string(), key.generation.to_string());
            let mut segments = url.path_segments_mut().map_err(no_path)?;
            segments.pop_if_empty().extend([tenant.as_str(), "sha256", &digest, &generation]);
            drop(segments);
            Ok(url)
        })
    }
}

struct Upload {
    unfinished: Unfinished,
    hasher: Option<BlobHasher>,
}

impl Upload {
    fn write(mut self, chunks: &[Bytes]) -> Result<Self> {
        for chunk in chunks {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(chunk);
            }
            self.unfinished.file.write_all(chunk).map_err(unavailable)?;
        }
        Ok(self)
    }
}

/// Chunks to be written together.
#[derive(Default)]
struct Waiting {
    chunks: Vec<Bytes>,
    bytes: usize,
}

struct Writer {
    shared: Arc<Shared>,
    tenant: Tenant,
    max_size: u64,
    size: u64,
    waiting: Waiting,
    /// `None` during a write, and after a write that failed or was dropped.
    upload: Option<Upload>,
}

impl Writer {
    fn upload(&mut self) -> Result<Upload> {
        self.upload.take().ok_or_else(|| StoreError::invalid("a write of this file has failed or was dropped"))
    }
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.size = self.size.saturating_add(chunk.len() as u64);
            if self.size > self.max_size {
                return Err(StoreError::too_large(self.max_size));
            }
            if chunk.is_empty() {
                return Ok(());
            }
            self.waiting.bytes = self.waiting.bytes.saturating_add(chunk.len());
            self.waiting.chunks.push(chunk);
            if self.waiting.bytes >= CHUNK {
                let chunks = std::mem::take(&mut self.waiting).chunks;
                let upload = self.upload()?;
                self.upload = Some(done(self.shared.run(move |_| upload.write(&chunks))).await?);
            }
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(async move {
            if self.size > self.max_size {
                return Err(StoreError::too_large(self.max_size));
            }
            let chunks = std::mem::take(&mut self.waiting).chunks;
            let (upload, tenant, size) = (self.upload()?, self.tenant.clone(), self.size);
            let committed = self.shared.run(move |folder| {
                let Upload { unfinished, hasher } = upload.write(&chunks)?;
                blob.verify_written(hasher.map_or(BlobRef { digest: blob.digest, size }, BlobHasher::finish))?;
                unfinished.file.sync_all().map_err(unavailable)?;
                folder.commit(&tenant, &blob.key(generation), unfinished)
            });
            done(committed).await
        })
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let upload = self.upload.take();
            done(self.shared.run(move |_| {
                drop(upload);
                Ok(())
            }))
            .await
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            drop(self.shared.run(move |_| drop(upload)));
        }
    }
}

enum Reading {
    Idle(File),
    Busy(OneshotReceiver<Result<(File, Bytes)>>),
    Over,
}

/// A stream of the bytes of a range, reading a chunk at a time on demand. The open file outlives a deletion of the
/// blob.
struct Reader {
    shared: Arc<Shared>,
    left: Range<u64>,
    state: Reading,
}

fn read(mut file: File, from: u64, bytes: u64) -> Result<(File, Bytes)> {
    let mut chunk = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    let sought = file.seek(SeekFrom::Start(from));
    sought.and_then(|_| (&file).take(bytes).read_to_end(&mut chunk)).map_err(unavailable)?;
    if chunk.len() as u64 != bytes {
        return Err(StoreError::corrupt(format!("the file of the blob ends at byte {}", from + chunk.len() as u64)));
    }
    Ok((file, chunk.into()))
}

impl Stream for Reader {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, Reading::Over) {
                Reading::Idle(file) if !this.left.is_empty() => {
                    let (from, bytes) = (this.left.start, (this.left.end - this.left.start).min(CHUNK as u64));
                    this.state = Reading::Busy(this.shared.run(move |_| read(file, from, bytes)));
                }
                Reading::Busy(mut awaited) => match Pin::new(&mut awaited).poll(cx) {
                    Poll::Pending => {
                        this.state = Reading::Busy(awaited);
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Ok((file, chunk)))) => {
                        this.left.start += chunk.len() as u64;
                        this.state = Reading::Idle(file);
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => {
                        return Poll::Ready(Some(Err(StoreError::unavailable(None, None))));
                    }
                },
                Reading::Idle(_) | Reading::Over => return Poll::Ready(None),
            }
        }
    }
}
