//! Update manifests: read strictly, verified before they are parsed, and checked against the components of a device.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

#[path = "manifest/explaining.rs"]
mod explaining;
#[path = "manifest/reading.rs"]
mod reading;
#[path = "manifest/robustness.rs"]
mod robustness;
#[path = "manifest/signing.rs"]
mod signing;
#[path = "manifest/versions.rs"]
mod versions;

use fhir_devices::manifest::UpdateManifest;
use std::path::{Path, PathBuf};

/// Returns the documents of one folder, by name.
fn documents(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

fn document(name: &str) -> Vec<u8> {
    documents("accepted").into_iter().find(|(other, _)| other == name).unwrap().1
}

fn smallest() -> UpdateManifest {
    UpdateManifest::from_json(&document("smallest")).unwrap()
}

fn every_member() -> UpdateManifest {
    UpdateManifest::from_json(&document("every-member")).unwrap()
}
