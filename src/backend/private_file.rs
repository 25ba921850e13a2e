//! Files that are for the user of the process and nobody else, and folders whose entries reach the disk.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Options by which a new file is readable and writable for its owner alone.
pub(super) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "elsewhere there are no modes"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes the entries of a folder to the disk. Where a folder cannot be synced on its own, nothing is done.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
