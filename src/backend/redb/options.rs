//! Options of the file store.

use super::file::{self, OnLoss, failed_to_open};
use super::{Redb, format, unavailable};
use crate::store::{Clock, Result, StoreError, SystemClock};
use ::redb::{Builder, Database, StorageBackend};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// Options for opening a [`Redb`].
///
/// ```
/// use fhir_devices::backend::redb::Options;
/// let store = Options::new().with_max_body(1 << 20).in_memory()?;
/// # drop(store);
/// # Ok::<(), fhir_devices::store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(super) limits: Limits,
    cache: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) on_loss: Option<Arc<OnLoss>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_writes: usize,
    pub(super) max_body: u64,
    pub(super) max_versions: Option<NonZeroUsize>,
}

impl Options {
    /// Creates the default options: system clock, bodies up to 16 MiB, 1,000 writes per commit, every version kept, a
    /// cache of 64 MiB.
    #[must_use]
    pub fn new() -> Self {
        let limits = Limits { max_writes: 1_000, max_body: 16 << 20, max_versions: None };
        Self { limits, cache: 64 << 20, clock: Arc::new(SystemClock), on_loss: None }
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the maximum number of versions of each resource, the newest included. Older ones are forgotten when the
    /// resource is next written.
    #[must_use]
    pub fn with_max_versions(mut self, max: NonZeroUsize) -> Self {
        self.limits.max_versions = Some(max);
        self
    }

    /// Sets the maximum size of a body, never more than 1 GiB.
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.limits.max_body = bytes.min(1 << 30);
        self
    }

    /// Sets the maximum number of writes in a commit.
    #[must_use]
    pub fn with_max_writes(mut self, writes: usize) -> Self {
        self.limits.max_writes = writes;
        self
    }

    /// Sets the approximate size of the in-memory cache of the file.
    #[must_use]
    pub fn with_cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Sets a callback for a file that fails while the store is open and cannot be reopened because it is damaged: the
    /// process can then only end, and the file be restored. It is called at each try, on the thread that tried, and
    /// must not block.
    ///
    /// ```
    /// use fhir_devices::backend::redb::Options;
    /// let options = Options::new().with_on_loss(|error| eprintln!("restore the file: {error}"));
    /// # drop(options);
    /// ```
    #[must_use]
    pub fn with_on_loss(mut self, tell: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        self.on_loss = Some(Arc::new(tell));
        self
    }

    /// Opens or creates a file; only the user of the process can then read it.
    ///
    /// After a disk error, such as a full disk, the next call reopens the file, trying at most every half second until
    /// that succeeds.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened, or another process has it open; `Corrupt`, with the name of the file,
    /// when it is not such a file, is empty, is shorter than its header says or is damaged; `Unsupported` when a later
    /// version of this crate wrote it.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Redb> {
        let path = std::path::absolute(path.as_ref()).map_err(unavailable)?;
        let db = file::open(&self.builder(), &path, |db| format::prepare(db).map(drop))?;
        let (again, cache) = (path, self.cache);
        Redb::start(db, self, Some(Box::new(move || file::open_existing(&builder(cache), &again))))
    }

    /// Opens or creates a database on a storage of the caller's. After an error of the storage, the store answers
    /// `Unavailable` until it is opened again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(self, storage: impl StorageBackend) -> Result<Redb> {
        let db = self.builder().create_with_backend(storage).map_err(failed_to_open)?;
        Redb::start(db, self, None)
    }

    /// Opens a database as [`open_on`](Self::open_on) does, on a storage that can be opened again: after an error of
    /// the storage, the next call reopens the store on a new one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_by<S: StorageBackend>(
        self,
        storage: impl Fn() -> std::io::Result<S> + Send + Sync + 'static,
    ) -> Result<Redb> {
        let cache = self.cache;
        let open = move || {
            let storage = storage().map_err(unavailable)?;
            builder(cache).create_with_backend(storage).map_err(failed_to_open)
        };
        Redb::start(open()?, self, Some(Box::new(open)))
    }

    /// Returns a store whose file is in memory, for tests.
    ///
    /// # Errors
    /// `Unavailable` when no thread can be started.
    pub fn in_memory(self) -> Result<Redb> {
        self.open_on(::redb::backends::InMemoryBackend::new())
    }

    fn builder(&self) -> Builder {
        builder(self.cache)
    }
}

fn builder(cache: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache);
    builder
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("limits", &self.limits).field("cache", &self.cache).finish_non_exhaustive()
    }
}
