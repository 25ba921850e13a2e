//! How the store in a file is set up and opened.

use super::{Redb, failed, unavailable};
use crate::store::{Clock, Result, StoreError, SystemClock};
use ::redb::{Builder, Database, StorageBackend};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// How a [`Redb`] is opened.
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
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_writes: usize,
    pub(super) max_body: u64,
    pub(super) max_versions: Option<NonZeroUsize>,
}

impl Options {
    /// The clock of the machine, bodies up to 16 MiB, 1,000 writes a commit, every version kept, a cache of 64 MiB.
    #[must_use]
    pub fn new() -> Self {
        let limits = Limits { max_writes: 1_000, max_body: 16 << 20, max_versions: None };
        Self { limits, cache: 64 << 20, clock: Arc::new(SystemClock) }
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// With at most `max` versions of each resource, the newest included. Those beyond are forgotten when the resource is
    /// next written.
    #[must_use]
    pub fn with_max_versions(mut self, max: NonZeroUsize) -> Self {
        self.limits.max_versions = Some(max);
        self
    }

    /// With bodies of at most `bytes`, and never more than 1 GiB.
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.limits.max_body = bytes.min(1 << 30);
        self
    }

    /// With at most `writes` in one commit.
    #[must_use]
    pub fn with_max_writes(mut self, writes: usize) -> Self {
        self.limits.max_writes = writes;
        self
    }

    /// With at most about `bytes` of the file held in memory.
    #[must_use]
    pub fn with_cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened, or another process has it open; `Corrupt` when it is not such a file or is
    /// damaged; `Unsupported` when a later version of this crate wrote it.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Redb> {
        let path = path.as_ref();
        let new = !path.exists();
        let db = self.builder().create(path).map_err(failed_to_open)?;
        if new {
            // Else the power may fail and the file be gone, with what it has acknowledged.
            sync_folder_of(path).map_err(unavailable)?;
        }
        Redb::start(db, self)
    }

    /// Opens what lies on a storage of the caller's, or begins there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(self, storage: impl StorageBackend) -> Result<Redb> {
        let db = self.builder().create_with_backend(storage).map_err(failed_to_open)?;
        Redb::start(db, self)
    }

    /// A store whose file is in memory, for tests.
    ///
    /// # Errors
    /// `Unavailable` when no thread can be started.
    pub fn in_memory(self) -> Result<Redb> {
        self.open_on(::redb::backends::InMemoryBackend::new())
    }

    fn builder(&self) -> Builder {
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache);
        builder
    }
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

fn failed_to_open(error: ::redb::DatabaseError) -> StoreError {
    match ::redb::Error::from(error) {
        // The file begins with other bytes than those of a database.
        ::redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Corrupt { what: error.to_string() }
        }
        error => failed(error),
    }
}

#[cfg(unix)]
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> std::io::Result<()> {
    Ok(())
}
