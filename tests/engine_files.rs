//! Blobs in files, tested against the contract, and their own behaviour: durability, and the content of the folder.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use fhir_devices::backend::Files;
use fhir_devices::blob_store_conformance;
use fhir_devices::store::*;
use fhir_devices::testkit::store::block_on;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder that is removed with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("fhir-devices-files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        Self(path)
    }

    /// Returns every file and folder below, as relative paths.
    fn tree(&self) -> Vec<String> {
        fn below(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                if path.is_dir() {
                    below(&path, root, found);
                }
            }
        }
        let mut found = Vec::new();
        below(&self.0, &self.0, &mut found);
        found.retain(|path| !path.starts_with('.'));
        found.sort();
        found
    }

    fn unfinished(&self) -> usize {
        fs::read_dir(self.0.join(".unfinished")).unwrap().count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A store that owns its folder.
struct Own {
    store: Files,
    _place: Place,
}

fn own() -> Own {
    let place = Place::new();
    Own { store: Files::open(&place.0).unwrap().with_max_blob(1 << 20).with_digests(), _place: place }
}

impl BlobStore for Own {
    fn capabilities(&self) -> BlobCapabilities {
        self.store.capabilities()
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        self.store.begin(tenant)
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<std::ops::Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        self.store.get(tenant, key, range)
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        self.store.head(tenant, key)
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        self.store.delete(tenant, key)
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        self.store.list(tenant, limit, after)
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<url::Url>> {
        self.store.url(tenant, key, kind)
    }
}

blob_store_conformance!(blobs_in_files, store = own());
fhir_devices::ownership_conformance!(
    ownership_in_files,
    store = {
        let redb = Arc::new(fhir_devices::backend::redb::Options::new().in_memory().unwrap());
        fhir_devices::testkit::store::ownership::ServiceStores::new(redb.clone(), own(), redb)
    }
);
blob_store_conformance!(
    blobs_in_files_with_addresses,
    store = {
        let Own { store, _place } = own();
        Own { store: store.with_base_url("https://cdn.example/blobs".parse().unwrap()), _place }
    }
);

const G: Generation = Generation(7);

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn store(files: &Files, bytes: &'static [u8]) -> BlobKey {
    let mut writer = block_on(files.begin(&tenant())).unwrap();
    block_on(writer.write(bytes.into())).unwrap();
    let blob = BlobRef::of(bytes);
    assert_eq!(block_on(writer.commit(blob, G)).unwrap(), PutOutcome::Stored);
    blob.key(G)
}

fn limit(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

#[test]
fn blob_path_is_documented_and_folders_are_removed() {
    let place = Place::new();
    let files = Files::open(&place.0).unwrap();
    assert_eq!(place.tree(), [""; 0]);
    let key = store(&files, b"firmware");
    let digest = key.digest.to_string();
    let start: String = digest.chars().take(2).collect();
    let path = format!("st-mary/sha256/{start}/{digest}/{G}");
    assert_eq!(place.tree().last(), Some(&path));
    assert_eq!(fs::read(place.0.join(path)).unwrap(), b"firmware");
    assert_eq!(place.unfinished(), 0);
    block_on(files.delete(&tenant(), &key)).unwrap();
    assert_eq!(place.tree(), [""; 0]);
}

#[test]
fn blobs_and_tokens_survive_a_restart() {
    let place = Place::new();
    let (one, two, token) = {
        let files = Files::open(&place.0).unwrap();
        let (one, two) = (store(&files, b"one"), store(&files, b"two"));
        let mut writer = block_on(files.begin(&tenant())).unwrap();
        block_on(writer.write(vec![7; 1 << 20].into())).unwrap();
        // As if the process ended here: nothing is dropped.
        std::mem::forget(writer);
        (one, two, block_on(files.list(&tenant(), limit(1), None)).unwrap().next.unwrap())
    };
    assert_eq!(place.unfinished(), 1);
    // The writer that was forgotten holds the lock of this process on the folder.
    let copy = Place::new();
    copy_below(&place.0, &copy.0);
    let files = Files::open(&copy.0).unwrap();
    assert_eq!(copy.unfinished(), 0);
    let page = block_on(files.list(&tenant(), limit(9), Some(&token))).unwrap();
    assert_eq!(page.items.iter().map(|info| info.key).collect::<Vec<_>>(), [one.max(two)]);
}

fn copy_below(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_below(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn folder_has_one_owner() {
    let place = Place::new();
    let files = Files::open(&place.0).unwrap();
    assert!(matches!(Files::open(&place.0), Err(StoreError::Unavailable { .. })));
    drop(files);
    Files::open(&place.0).unwrap();
}

#[test]
fn truncated_file_is_a_read_error() {
    let place = Place::new();
    let files = Files::open(&place.0).unwrap();
    let mut writer = block_on(files.begin(&tenant())).unwrap();
    let bytes = vec![7; 1 << 20];
    block_on(writer.write(bytes.clone().into())).unwrap();
    let blob = BlobRef::of(&bytes);
    block_on(writer.commit(blob, G)).unwrap();
    let read = block_on(files.get(&tenant(), &blob.key(G), None)).unwrap();
    let path = place.0.join(place.tree().last().unwrap());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(300_000).unwrap();
    let cut = block_on(stream::collect(read.body, u64::MAX)).unwrap_err();
    assert!(matches!(cut, StoreError::Corrupt { .. }), "{cut:?}");
}

#[test]
fn foreign_files_are_not_listed() {
    let place = Place::new();
    let files = Files::open(&place.0).unwrap();
    let key = store(&files, b"firmware");
    let digest = key.digest.to_string();
    let start: String = digest.chars().take(2).collect();
    let top = place.0.join("st-mary/sha256");
    fs::write(top.join("README"), "x").unwrap();
    fs::create_dir(top.join("zz")).unwrap();
    fs::write(top.join("zz/note"), "x").unwrap();
    fs::write(top.join(start).join(digest).join("copy"), "x").unwrap();
    let listed = block_on(files.list(&tenant(), limit(9), None)).unwrap();
    assert_eq!((listed.items, listed.next), (vec![BlobInfo { key, size: 8 }], None));
}

#[cfg(unix)]
#[test]
fn files_and_folders_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    fn walk(path: &std::path::Path) {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
        if metadata.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path()));
        }
    }
    let place = Place::new();
    let files = Files::open(place.0.join("files")).unwrap();
    let mut writer = block_on(files.begin(&tenant())).unwrap();
    block_on(writer.write("firmware".into())).unwrap();
    block_on(writer.commit(BlobRef::of(b"firmware"), G)).unwrap();
    let _open = block_on(files.begin(&tenant())).unwrap();
    walk(&place.0.join("files"));
}
