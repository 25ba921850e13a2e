//! The blobs of `Objects` on every available engine: memory, local files, Azurite, and an S3 server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "engines/blob_faults.rs"]
mod faults;

use bytes::Bytes;
use fhir_devices::backend::Objects;
use fhir_devices::backend::object_store::driver::{ObjectStoreExt as _, memory::InMemory, path::Path};
use fhir_devices::blob_store_conformance;
use fhir_devices::store::*;
use fhir_devices::testkit::store::ownership::ServiceStores;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A part size where the engine accepts any, and the smallest one of S3.
const PART: usize = 64 << 10;
const PART_OF_S3: usize = 5 << 20;

fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn fresh() -> Tenant {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t-{:x}-{}", random(), NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

fn parts(objects: Objects, size: usize) -> Objects {
    objects.with_part_size(NonZeroUsize::new(size).unwrap())
}

/// Sets parts so small that every file comes in several.
fn all_in_parts(objects: Objects) -> Objects {
    parts(objects, 3).with_max_size(200)
}

fn memory() -> Objects {
    parts(Objects::open(&"memory:///".parse().unwrap(), []).unwrap(), PART).with_digests()
}

/// A folder removed with its test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("fhir-devices-{:x}", random())))
    }

    fn open(&self) -> Objects {
        let url = url::Url::from_directory_path(&self.0).unwrap();
        parts(Objects::open(&url, []).unwrap(), PART)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

static LOCAL: LazyLock<Folder> = LazyLock::new(|| Folder(std::env::temp_dir().join("fhir-devices-blobs-of-the-kit")));

fn local() -> Objects {
    LOCAL.open()
}

fn options<const N: usize>(all: [(&str, &str); N]) -> [(String, String); N] {
    all.map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// The well-known account of every Azurite, with the key in its documentation.
fn azurite() -> Option<Objects> {
    let endpoint = std::env::var("FHIR_DEVICES_AZURITE").ok()?;
    let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let options = options([
        ("azure_storage_account_name", "devstoreaccount1"),
        ("azure_storage_account_key", key),
        ("azure_storage_endpoint", &endpoint),
        ("allow_http", "true"),
    ]);
    Some(parts(Objects::open(&"az://fhir-devices/below".parse().unwrap(), options).unwrap(), PART))
}

fn s3() -> Option<Objects> {
    let endpoint = std::env::var("FHIR_DEVICES_S3").ok()?;
    let options = options([
        ("aws_endpoint", &endpoint),
        ("aws_region", "us-east-1"),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "secret"),
        ("aws_allow_http", "true"),
    ]);
    Some(parts(Objects::open(&"s3://fhir-devices".parse().unwrap(), options).unwrap(), PART_OF_S3))
}

/// Returns why the clauses are not tested on an engine, if they are not.
fn skip(variable: &'static str) -> Option<String> {
    let lacks = std::env::var_os(variable).is_none();
    let required = std::env::var_os("FHIR_DEVICES_REQUIRE_ENGINES").is_some();
    assert!(!lacks || !required, "the engine of {variable} is required");
    lacks.then(|| format!("{variable} is not set"))
}

blob_store_conformance!(in_memory, store = memory(), block_on = |task| RUNTIME.block_on(task));
blob_store_conformance!(in_memory_in_parts, store = all_in_parts(memory()), block_on = |task| RUNTIME.block_on(task));
blob_store_conformance!(in_files, store = local(), block_on = |task| RUNTIME.block_on(task));
blob_store_conformance!(in_files_in_parts, store = all_in_parts(local()), block_on = |task| RUNTIME.block_on(task));
fhir_devices::ownership_conformance!(
    ownership_in_objects,
    store = ServiceStores::new(fhir_devices::backend::Memory::new(), memory(), fhir_devices::backend::Memory::new()),
    block_on = |task| RUNTIME.block_on(task)
);
fhir_devices::ownership_conformance!(
    ownership_at_s3,
    store =
        ServiceStores::new(fhir_devices::backend::Memory::new(), s3().unwrap(), fhir_devices::backend::Memory::new()),
    skip = skip("FHIR_DEVICES_S3"),
    block_on = |task| RUNTIME.block_on(task)
);
fhir_devices::ownership_conformance!(
    ownership_at_azurite,
    store = ServiceStores::new(
        fhir_devices::backend::Memory::new(),
        azurite().unwrap(),
        fhir_devices::backend::Memory::new()
    ),
    skip = skip("FHIR_DEVICES_AZURITE"),
    block_on = |task| RUNTIME.block_on(task)
);
blob_store_conformance!(
    at_azurite,
    store = azurite().unwrap(),
    skip = skip("FHIR_DEVICES_AZURITE"),
    block_on = |task| RUNTIME.block_on(task)
);
blob_store_conformance!(
    at_azurite_in_parts,
    store = all_in_parts(azurite().unwrap()),
    skip = skip("FHIR_DEVICES_AZURITE"),
    block_on = |task| RUNTIME.block_on(task)
);
blob_store_conformance!(
    at_s3,
    store = s3().unwrap(),
    skip = skip("FHIR_DEVICES_S3"),
    block_on = |task| RUNTIME.block_on(task)
);

/// Returns every available engine, by name, with its part size.
fn engines() -> Vec<(&'static str, Objects, usize)> {
    let mut engines = vec![("memory", memory(), PART), ("files", local(), PART)];
    match azurite() {
        Some(objects) => engines.push(("azurite", objects, PART)),
        None => println!("skipped: {}", skip("FHIR_DEVICES_AZURITE").unwrap()),
    }
    match s3() {
        Some(objects) => engines.push(("s3", objects, PART_OF_S3)),
        None => println!("skipped: {}", skip("FHIR_DEVICES_S3").unwrap()),
    }
    engines
}

/// Returns three parts, the last of which is short; no two parts are equal.
fn large(part: usize) -> Bytes {
    let salt = random().to_le_bytes();
    let block: Vec<u8> = (0..4099_usize).map(|n| (n >> 8 ^ n) as u8 ^ salt[n % 8]).collect();
    block.into_iter().cycle().take(2 * part + 1000).collect()
}

async fn write(objects: &Objects, tenant: &Tenant, bytes: &Bytes) -> Box<dyn BlobWriter> {
    let mut writer = objects.begin(tenant).await.unwrap();
    for chunk in bytes.chunks(1 << 20) {
        writer.write(bytes.slice_ref(chunk)).await.unwrap();
    }
    writer
}

async fn keys(objects: &Objects, tenant: &Tenant) -> Vec<BlobKey> {
    let page = objects.list(tenant, std::num::NonZeroU32::new(100).unwrap(), None).await.unwrap();
    assert_eq!(page.next, None);
    page.items.iter().map(|info| info.key).collect()
}

async fn staged(objects: &Objects, tenant: &Tenant) -> usize {
    let now = std::time::SystemTime::now() + Duration::from_secs(3600);
    objects.sweep_staging(tenant, now.into()).await.unwrap()
}

#[test]
fn multipart_upload_leaves_nothing_staged() {
    for (name, objects, part) in engines() {
        RUNTIME.block_on(async {
            let (t, bytes) = (fresh(), large(part));
            let blob = BlobRef::of(&bytes);
            let key = blob.key(Generation(1));
            let writer = write(&objects, &t, &bytes).await;
            assert_eq!(keys(&objects, &t).await, [], "{name}");
            assert_eq!(writer.commit(blob, Generation(1)).await.unwrap(), PutOutcome::Stored, "{name}");
            assert_eq!(objects.head(&t, &key).await.unwrap(), blob, "{name}");
            let again = write(&objects, &t, &bytes).await.commit(blob, Generation(1)).await.unwrap();
            assert_eq!(again, PutOutcome::AlreadyPresent, "{name}");
            assert_eq!(keys(&objects, &t).await, [key], "{name}");
            assert_eq!(staged(&objects, &t).await, 0, "{name}");
            let read = objects.get(&t, &key, None).await.unwrap();
            assert_eq!(stream::collect(read.body, blob.size).await.unwrap(), bytes, "{name}");
            let over_the_seam = part as u64 - 3..part as u64 + 3;
            let read = objects.get(&t, &key, Some(over_the_seam)).await.unwrap();
            assert_eq!(stream::collect(read.body, 6).await.unwrap(), bytes[part - 3..part + 3], "{name}");
        });
    }
}

#[test]
fn large_file_with_wrong_digest_is_never_visible() {
    for (name, objects, part) in engines() {
        RUNTIME.block_on(async {
            let (t, bytes) = (fresh(), large(part));
            let mut claimed = BlobRef::of(&bytes);
            claimed.size += 1;
            let refused = write(&objects, &t, &bytes).await.commit(claimed, Generation(1)).await;
            assert!(matches!(refused, Err(StoreError::Mismatch { .. })), "{name}: {refused:?}");
            write(&objects, &t, &bytes).await.abort().await.unwrap();
            drop(write(&objects, &t, &bytes).await);
            assert_eq!(keys(&objects, &t).await, [], "{name}");
            assert_eq!(staged(&objects, &t).await, 0, "{name}");
        });
    }
}

#[test]
fn concurrent_writers_of_one_large_file_succeed() {
    for (name, objects, part) in engines() {
        let (t, bytes, objects) = (fresh(), large(part), Arc::new(objects));
        let blob = BlobRef::of(&bytes);
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (t, bytes, objects) = (t.clone(), bytes.clone(), Arc::clone(&objects));
                RUNTIME.spawn(async move { write(&objects, &t, &bytes).await.commit(blob, Generation(1)).await })
            })
            .collect();
        RUNTIME.block_on(async {
            for writer in writers {
                writer.await.unwrap().unwrap();
            }
            assert_eq!(keys(&objects, &t).await, [blob.key(Generation(1))], "{name}");
            assert_eq!(staged(&objects, &t).await, 0, "{name}");
            let read = objects.get(&t, &blob.key(Generation(1)), None).await.unwrap();
            assert_eq!(stream::collect(read.body, blob.size).await.unwrap(), bytes, "{name}");
        });
    }
}

#[test]
fn file_beyond_one_part_is_staged() {
    let store = Arc::new(InMemory::new());
    let objects = Objects::new(store.clone()).with_part_size(NonZeroUsize::new(8).unwrap());
    RUNTIME.block_on(async {
        for (text, parts) in [("12345678", 0), ("123456789", 1)] {
            let t = fresh();
            let writer = write(&objects, &t, &Bytes::from(text)).await;
            let blob = BlobRef::of(text.as_bytes());
            assert_eq!(format!("{:?}", store).matches("staging").count(), 0, "{text}");
            writer.commit(blob, Generation(1)).await.unwrap();
            let path = format!("{t}/sha256/{}", blob.key(Generation(1)));
            assert_eq!(store.head(&Path::from(path)).await.unwrap().size, 8 + parts);
        }
    });
}

#[test]
fn abandoned_staging_is_swept_and_not_listed() {
    for (name, objects, _) in engines() {
        RUNTIME.block_on(async {
            let t = fresh();
            let kept = BlobRef::of(b"firmware");
            write(&objects, &t, &"firmware".into()).await.commit(kept, Generation(1)).await.unwrap();
            let prefix = if name == "azurite" { "below/" } else { "" };
            faults::leave_staged(&objects, prefix, &t).await;
            assert_eq!(keys(&objects, &t).await, [kept.key(Generation(1))], "{name}");
            assert_eq!(objects.sweep_staging(&t, time::OffsetDateTime::UNIX_EPOCH).await.unwrap(), 0, "{name}");
            assert_eq!(objects.sweep_staging(&fresh(), time::OffsetDateTime::now_utc()).await.unwrap(), 0, "{name}");
            assert_eq!(staged(&objects, &t).await, 1, "{name}");
            assert_eq!(keys(&objects, &t).await, [kept.key(Generation(1))], "{name}");
        });
    }
}

#[test]
fn signed_url_serves_the_bytes() {
    for (name, objects, _) in engines() {
        if !objects.capabilities().signed_url {
            continue;
        }
        RUNTIME.block_on(async {
            let t = fresh();
            let blob = BlobRef::of(b"firmware");
            write(&objects, &t, &"firmware".into()).await.commit(blob, Generation(1)).await.unwrap();
            let kind = UrlKind::Signed { valid_for: Duration::from_secs(60) };
            let url = objects.url(&t, &blob.key(Generation(1)), kind).await.unwrap();
            assert_eq!(faults::fetch(&url).await, (200, "firmware".to_owned()), "{name}");
            let foreign = url.as_str().replace(t.as_str(), fresh().as_str()).parse().unwrap();
            assert_ne!(faults::fetch(&foreign).await.0, 200, "{name}");
            objects.delete(&t, &blob.key(Generation(1))).await.unwrap();
            assert_eq!(faults::fetch(&url).await.0, 404, "{name}");
        });
    }
}

#[test]
fn public_url_is_below_the_base() {
    let objects = memory().with_base_url("https://cdn.example/blobs/".parse().unwrap());
    let key = BlobRef::of(b"firmware").key(Generation(7));
    let tenant = "st-mary".parse().unwrap();
    let url = RUNTIME.block_on(objects.url(&tenant, &key, UrlKind::Public)).unwrap();
    assert_eq!(url.as_str(), format!("https://cdn.example/blobs/st-mary/sha256/{key}"));
    let none = RUNTIME.block_on(memory().url(&tenant, &key, UrlKind::Public));
    assert!(matches!(none, Err(StoreError::Unsupported { .. })));
}

#[test]
fn local_blobs_survive_reopening() {
    let (folder, t) = (Folder::new(), fresh());
    let blob = BlobRef::of(b"firmware");
    RUNTIME.block_on(async {
        let writer = write(&folder.open(), &t, &"firmware".into()).await;
        writer.commit(blob, Generation(1)).await.unwrap();
        assert_eq!(folder.open().head(&t, &blob.key(Generation(1))).await.unwrap(), blob);
        assert!(folder.open().capabilities().durable_ack);
    });
}

#[test]
fn unsupported_store_url_is_refused() {
    let open = |url: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Objects::open(&url.parse().unwrap(), options).map(|_| ()).unwrap_err()
    };
    for refused in
        [open("ftp://somewhere/x", &[]), open("s3://bucket", &[("aws_colour", "red")]), open("http://x/y", &[])]
    {
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused:?}");
    }
}

#[test]
fn opening_a_remote_store_sets_no_crypto_provider_for_the_process() {
    let options =
        [("aws_region".to_owned(), "eu-central-1".to_owned()), ("timeout".to_owned(), "7 seconds".to_owned())];
    Objects::open(&"s3://firmware/hospital".parse().unwrap(), options).unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let unsafe_option = [("allow_invalid_certificates".to_owned(), "true".to_owned())];
    let refused = Objects::open(&"s3://firmware/hospital".parse().unwrap(), unsafe_option);
    assert!(refused.unwrap_err().to_string().contains("allow_invalid_certificates"));
}
