//! The location of the published definitions and documents, on machines that have them.

use std::path::PathBuf;

/// Returns the folder with the published material: `FHIR_DEVICES_CORPUS`, or a folder beside the repository. `None`
/// says that the test is skipped.
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus");
    let folder = std::env::var_os("FHIR_DEVICES_CORPUS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no corpus (set FHIR_DEVICES_CORPUS to a folder that holds it)");
    None
}
