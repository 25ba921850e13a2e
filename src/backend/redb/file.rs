//! The database of a store, reopened after the engine has given up on its file.

use super::super::private_file::{private, sync_folder};
use super::header::{self, Damage};
use super::snapshot::SharedReads;
use super::{failed, unavailable};
use crate::store::{Result, StoreError};
use crate::support::chain;
use ::redb::{Builder, Database};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Minimum time between two tries to reopen the file.
const PAUSE: Duration = Duration::from_millis(500);

/// Opens the same database again.
pub(super) type Reopen = dyn Fn() -> Result<Database> + Send + Sync;

/// A callback for a failed file that is damaged and cannot be reopened.
pub(super) type OnLoss = dyn Fn(&StoreError) + Send + Sync;

/// A database whose file may fail: after the first disk error, the engine refuses every call until it is reopened.
pub(super) struct OpenDatabase {
    slot: RwLock<Option<SharedReads>>,
    has_failed: AtomicBool,
    tried: Mutex<Option<Instant>>,
    reopen: Option<Box<Reopen>>,
    on_loss: Option<Arc<OnLoss>>,
}

impl OpenDatabase {
    pub(super) fn new(db: Database, reopen: Option<Box<Reopen>>, on_loss: Option<Arc<OnLoss>>) -> Self {
        let (slot, has_failed, tried) =
            (RwLock::new(Some(SharedReads::new(db))), AtomicBool::new(false), Mutex::new(None));
        Self { slot, has_failed, tried, reopen, on_loss }
    }

    /// Runs work with the database, after reopening it if necessary.
    pub(super) fn with<T>(&self, work: impl FnOnce(&SharedReads) -> Result<T>) -> Result<T> {
        self.reopen_after_failure();
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = slot.as_ref() else {
            let why = "the file failed, and cannot be opened again yet";
            return Err(StoreError::unavailable(Some(PAUSE), Some(why.into())));
        };
        let done = work(db);
        if done.as_ref().err().is_some_and(is_of_the_file) {
            self.has_failed.store(true, Ordering::Release);
        }
        done
    }

    /// Reopens a failed file, unless the last try is recent.
    fn reopen_after_failure(&self) {
        let Some(reopen) = self.reopen.as_ref().filter(|_| self.has_failed.load(Ordering::Acquire)) else { return };
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_failed.load(Ordering::Acquire) || tried.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        // The open file is locked, so it is closed first.
        drop(slot.take());
        match reopen() {
            Ok(db) => {
                *slot = Some(SharedReads::new(db));
                self.has_failed.store(false, Ordering::Release);
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                if let Some(tell) = &self.on_loss {
                    tell(&error);
                }
            }
            // The disk may still be full or missing.
            Err(_) => {}
        }
        *tried = Some(Instant::now());
    }
}

/// Returns whether the error makes the engine give up on the file.
fn is_of_the_file(error: &StoreError) -> bool {
    let (StoreError::Unavailable { source: Some(source), .. } | StoreError::Indeterminate { source: Some(source), .. }) =
        error
    else {
        return false;
    };
    let found = chain(&**source).find_map(|link| link.downcast_ref::<::redb::Error>());
    found.is_some_and(|error| {
        use ::redb::Error::{DatabaseClosed, Io, PreviousIo};
        matches!(error, Io(_) | PreviousIo | DatabaseClosed)
    })
}

/// Opens or creates a file. A new file is made beside its name, and renamed once it is complete: an existing empty file
/// is therefore a damaged one, and not a new store.
pub(super) fn open(builder: &Builder, path: &Path, prepare: impl FnOnce(&Database) -> Result<()>) -> Result<Database> {
    if path.try_exists().map_err(unavailable)? { open_existing(builder, path) } else { make(builder, path, prepare) }
}

/// Opens an existing file.
pub(super) fn open_existing(builder: &Builder, path: &Path) -> Result<Database> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(unavailable)?;
    for_owner_alone(&file).map_err(unavailable)?;
    let damaged = |what: &str| StoreError::corrupt(format!("the file `{}` {what}", path.display()));
    if file.metadata().map_err(unavailable)?.len() == 0 {
        return Err(damaged("is empty, and a store was kept there: restore it, or remove it to begin a new one"));
    }
    if let Some(damage) = damage(&file).map_err(unavailable)? {
        return Err(damaged(&format!("{damage}: restore it from a backup")));
    }
    // The header is verified; whether the engine's further assertions can fail is not known.
    match catch_unwind(AssertUnwindSafe(|| builder.create_file(file))) {
        Ok(opened) => opened.map_err(|error| match failed_to_open(error) {
            StoreError::Corrupt { what, .. } => damaged(&format!("is no such store, or is damaged: {what}")),
            other => other,
        }),
        Err(_) => Err(damaged("is damaged: restore it from a backup")),
    }
}

/// Checks a file against its header, unless another process has it open and may be writing to it.
fn damage(file: &File) -> io::Result<Option<Damage>> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let (length, mut head) = (file.metadata()?.len(), [0; header::LENGTH]);
    let read = file.take(header::LENGTH as u64).read_exact(&mut head);
    file.unlock()?;
    match read {
        Ok(()) => Ok(header::check(&head, length).err()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(Damage::Header)),
        Err(error) => Err(error),
    }
}

fn make(builder: &Builder, path: &Path, prepare: impl FnOnce(&Database) -> Result<()>) -> Result<Database> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let begun = path.with_file_name(name);
    let file = private().read(true).write(true).create(true).truncate(false).open(&begun).map_err(unavailable)?;
    // Another process may be creating it; the file of a process that crashed meanwhile is created again.
    file.try_lock().map_err(unavailable)?;
    if path.try_exists().map_err(unavailable)? {
        return open_existing(builder, path);
    }
    file.set_len(0).map_err(unavailable)?;
    let db = builder.create_file(file).map_err(failed_to_open)?;
    prepare(&db)?;
    std::fs::rename(&begun, path).map_err(unavailable)?;
    // Otherwise the file, with its acknowledged data, could be lost in a power failure.
    sync_folder_of(path).map_err(unavailable)?;
    Ok(db)
}

pub(super) fn failed_to_open(error: ::redb::DatabaseError) -> StoreError {
    match ::redb::Error::from(error) {
        // The file does not begin as a database does, or ends before its header does.
        ::redb::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::corrupt(error.to_string())
        }
        error => failed(error),
    }
}

/// Makes the file accessible to the user of the process alone.
#[cfg(unix)]
fn for_owner_alone(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn for_owner_alone(_: &File) -> io::Result<()> {
    Ok(())
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}
