//! The layout of blob files, and durable changes to it, so that acknowledged changes are on the disk.

use super::super::private_file::{private, sync_folder};
use crate::store::{BlobInfo, BlobKey, Generation, PutOutcome, Result, Sha256, StoreError, Tenant};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The folder of unfinished uploads. The name of a tenant contains no dot.
const UNFINISHED: &str = ".unfinished";
const LOCK: &str = ".lock";
const PAGES: &str = ".pages";

/// The folder of a store: `TENANT/sha256/ab/DIGEST/GENERATION`, where `ab` are the first two digits of the digest.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Held while folders are made or removed, so that no file is moved into a folder that is being removed.
    moving: Mutex<()>,
    next: AtomicU64,
    /// Locked while the store exists.
    _lock: File,
}

/// The file of an uncommitted upload, removed on drop.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    pub(super) file: File,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

impl Folder {
    /// Opens or creates a folder, and returns the key of its page tokens; a new folder gets `new_key`.
    pub(super) fn open(root: PathBuf, new_key: [u8; 32]) -> io::Result<(Self, [u8; 32])> {
        make_folders(&root)?;
        let lock = private().create(true).truncate(false).write(true).open(root.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::ResourceBusy, "another process has the folder open")
            }
            fs::TryLockError::Error(error) => error,
        })?;
        // Remove uploads that an earlier process left unfinished.
        match fs::remove_dir_all(root.join(UNFINISHED)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => make_folders(&root.join(UNFINISHED))?,
        }
        let folder = Self { root, moving: Mutex::default(), next: AtomicU64::new(0), _lock: lock };
        let key = folder.page_key(new_key)?;
        sync_folder(&folder.root)?;
        if let Some(parent) = folder.root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok((folder, key))
    }

    fn page_key(&self, new_key: [u8; 32]) -> io::Result<[u8; 32]> {
        let path = self.root.join(PAGES);
        match fs::read(&path) {
            Ok(bytes) => {
                bytes.try_into().map_err(|_| io::Error::new(ErrorKind::InvalidData, "the page key is damaged"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut unfinished = self.unfinished()?;
                unfinished.file.write_all(&new_key)?;
                unfinished.file.sync_all()?;
                fs::rename(&unfinished.path, path)?;
                Ok(new_key)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates an empty file for an upload.
    pub(super) fn unfinished(&self) -> io::Result<Unfinished> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.root.join(UNFINISHED).join(name);
        let file = private().write(true).create_new(true).open(&path)?;
        Ok(Unfinished { path, file })
    }

    fn digests(&self, tenant: &Tenant) -> PathBuf {
        self.root.join(tenant.as_str()).join("sha256")
    }

    /// Returns the path of a blob. Its parts are of types that contain neither separators nor dots.
    fn path(&self, tenant: &Tenant, key: &BlobKey) -> PathBuf {
        let digest = key.digest.to_string();
        let start: String = digest.chars().take(2).collect();
        self.digests(tenant).join(start).join(digest).join(key.generation.to_string())
    }

    /// Returns the file of a blob, and its size.
    pub(super) fn find(&self, tenant: &Tenant, key: &BlobKey) -> Result<(File, u64)> {
        let found = File::open(self.path(tenant, key)).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = absent(found).map_err(unavailable)?.ok_or(StoreError::not_found())?;
        Ok((file, size))
    }

    pub(super) fn size(&self, tenant: &Tenant, key: &BlobKey) -> Result<u64> {
        let found = absent(fs::metadata(self.path(tenant, key))).map_err(unavailable)?;
        found.map(|metadata| metadata.len()).ok_or(StoreError::not_found())
    }

    /// Makes a synced file a blob.
    pub(super) fn commit(&self, tenant: &Tenant, key: &BlobKey, unfinished: Unfinished) -> Result<PutOutcome> {
        let path = self.path(tenant, key);
        let moved = self.move_into_place(&unfinished, &path);
        // Only writers of this blob put files at the path, so a failure before the move wrote nothing.
        let outcome = moved.map_err(unavailable)?;
        // Each folder of the path may be new, made by this commit or by another one in progress.
        let synced =
            path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)).try_for_each(sync_folder);
        synced.map_err(|error| StoreError::indeterminate(Some(error.into())))?;
        Ok(outcome)
    }

    fn move_into_place(&self, unfinished: &Unfinished, path: &Path) -> io::Result<PutOutcome> {
        let _moving = self.moving();
        if path.try_exists()? {
            return Ok(PutOutcome::AlreadyPresent);
        }
        if let Some(folder) = path.parent() {
            make_folders(folder)?;
        }
        fs::rename(&unfinished.path, path)?;
        Ok(PutOutcome::Stored)
    }

    pub(super) fn delete(&self, tenant: &Tenant, key: &BlobKey) -> Result<()> {
        let path = self.path(tenant, key);
        let _moving = self.moving();
        if absent(fs::remove_file(&path)).map_err(unavailable)?.is_none() {
            return Ok(());
        }
        self.tidy_up(&path).map_err(|error| StoreError::indeterminate(Some(error.into())))
    }

    fn tidy_up(&self, path: &Path) -> io::Result<()> {
        // Remove the folders that are empty now; the first one that stays has changed.
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                return sync_folder(folder);
            }
        }
        sync_folder(&self.root)
    }

    fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns at most `limit` blobs after `after` in the order of their keys, and whether there are more.
    pub(super) fn list(&self, tenant: &Tenant, limit: usize, after: Option<&BlobKey>) -> Result<(Vec<BlobInfo>, bool)> {
        let names = |folder: &Path| names(folder).map_err(unavailable);
        let mut items = Vec::new();
        let after_digest = after.map(|after| after.digest.to_string());
        let top = self.digests(tenant);
        for start in names(&top)? {
            if after_digest.as_ref().is_some_and(|after| start.as_str() < after.get(..2).unwrap_or_default()) {
                continue;
            }
            for digest in names(&top.join(&start))? {
                let Ok(key) = digest.parse::<Sha256>() else { continue };
                if after.is_some_and(|after| key < after.digest) {
                    continue;
                }
                for generation in names(&top.join(&start).join(&digest))? {
                    let Ok(generation) = generation.parse::<Generation>() else { continue };
                    let key = BlobKey { digest: key, generation };
                    if after.is_some_and(|after| key <= *after) {
                        continue;
                    }
                    let size = match self.size(tenant, &key) {
                        // The blob was deleted since the folder was read.
                        Err(StoreError::NotFound { .. }) => continue,
                        size => size?,
                    };
                    if items.len() >= limit {
                        return Ok((items, true));
                    }
                    items.push(BlobInfo { key, size });
                }
            }
        }
        Ok((items, false))
    }
}

/// Returns the names in a folder in order; none where the folder does not exist.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = absent(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn absent<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a folder and its parents, accessible to the user of the process alone, as update files of medical devices
/// must be.
fn make_folders(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Returns the error of a file operation that wrote nothing.
pub(super) fn unavailable(error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::PermissionDenied => StoreError::denied(Some(error.into())),
        _ => StoreError::unavailable(None, Some(error.into())),
    }
}
