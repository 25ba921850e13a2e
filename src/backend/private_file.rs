//! Files accessible to the user of the process alone, and syncing of folders.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Returns options that make a new file readable and writable for its owner alone.
pub(super) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "elsewhere there are no modes"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Syncs the entries of a folder to the disk. Does nothing where a folder cannot be synced on its own.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
