//! The in-memory store, tested against the contracts by the suites of the test kit; and its own behaviour.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by a panic")]

#[macro_use]
#[path = "common/passing.rs"]
mod passing;

use fhir_devices::backend::{Discard, Memory};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token, TokenMatch};
use fhir_devices::store::*;
use fhir_devices::{Device, DeviceComponent, Valid};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn fresh() -> Tenant {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    name.parse().unwrap()
}

fn device(id: &str) -> Key {
    Key::new(ResourceType::Device, id).unwrap()
}

fn nothing() -> IndexEntries {
    IndexEntries::default()
}

fn limit(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn v(n: u64) -> VersionId {
    VersionId::new(n).unwrap()
}

fn put(store: &impl ResourceStore, tenant: &Tenant, write: Write) -> Result<Version> {
    block_on(store.commit(tenant, vec![write])).map(|mut made| made.pop().unwrap()).map_err(|e| e.error)
}

/// The generation of blobs that need only one.
const G: Generation = Generation(7);

fn store_text(store: &impl BlobStore, tenant: &Tenant, text: &'static str) -> BlobRef {
    let (blob, mut writer) = (BlobRef::of(text.as_bytes()), block_on(store.begin(tenant)).unwrap());
    block_on(writer.write(text.into())).unwrap();
    block_on(writer.commit(blob, G)).unwrap();
    blob
}

fn ids(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|v| v.key.id().as_str()).collect()
}

/// Follows the pages to their end.
fn walk(store: &impl ResourceStore, tenant: &Tenant, search: &Search) -> Vec<Version> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    loop {
        let found = block_on(store.search(tenant, &search)).unwrap();
        all.extend(found.items);
        match found.next {
            Some(next) => search.after = Some(next),
            None => return all,
        }
    }
}

#[cfg(feature = "testkit")]
mod conformance {
    use fhir_devices::backend::Memory;

    // Small limits, so that what is larger is within reach.
    fn memory() -> Memory {
        Memory::new().with_max_body(1 << 20).with_max_blob(7 << 20)
    }

    use fhir_devices::testkit::store::clock::{TestClock, TimedStore};
    use fhir_devices::testkit::store::ownership::ServiceStores;

    fhir_devices::resource_store_conformance!(resources, store = memory());
    fhir_devices::resource_store_conformance!(
        of_few_versions,
        store = memory().with_max_versions(4.try_into().unwrap())
    );
    fhir_devices::blob_store_conformance!(blobs, store = memory());
    fhir_devices::blob_store_conformance!(verified_blobs, store = memory().with_digests());
    fhir_devices::ledger_conformance!(ledger, store = memory());
    fhir_devices::ownership_conformance!(ownership, store = ServiceStores::of(memory()));
    fhir_devices::resource_clock_conformance!(
        clock,
        store = {
            let clock = TestClock::new();
            TimedStore::new(clock.clone(), memory().with_clock(clock))
        }
    );
}

// ------------------------------------------------------------------------------------------ the store in memory

#[test]
fn history_limit_keeps_the_newest_versions() {
    let (store, t) = (Memory::new().with_max_versions(3.try_into().unwrap()), fresh());
    for n in 1..=5 {
        put(&store, &t, Write::put(device("a"), n.to_string(), nothing())).unwrap();
    }
    let history = block_on(store.history(&t, &device("a"), limit(9), None)).unwrap().items;
    assert_eq!(history.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [5, 4, 3]);
    assert!(matches!(block_on(store.vread(&t, &device("a"), v(2))), Err(StoreError::NotFound { .. })));
    assert_eq!(block_on(store.vread(&t, &device("a"), v(4))).unwrap().body.unwrap(), "4");
}

#[test]
fn refused_write_creates_no_tenant() {
    let store = Memory::new();
    assert!(put(&store, &fresh(), Write::delete(device("a"), Precondition::None)).is_err());
    assert!(put(&store, &fresh(), Write::update(device("a"), v(1), "1", nothing())).is_err());
    assert!(format!("{store:?}").contains("tenants: 0"));
}

#[test]
fn search_continues_after_pages_without_matches() {
    let (store, t) = (Memory::new(), fresh());
    for chunk in (0..12_000).collect::<Vec<_>>().chunks(1_000) {
        let write = |n: &i32| {
            let mut index = nothing();
            let token = Token::new(if *n == 11_999 { "rare" } else { "common" }, n.to_string());
            index.insert(Parameter::Identifier, token);
            Write::create(device(&format!("{n:05}")), "1", index)
        };
        block_on(store.commit(&t, chunk.iter().map(write).collect())).unwrap();
    }
    let search = Search::new(ResourceType::Device).and(Criterion::identifier("rare|".parse().unwrap()));
    let first = block_on(store.search(&t, &search)).unwrap();
    assert!(first.items.is_empty() && first.next.is_some());
    assert_eq!(ids(&walk(&store, &t, &search)), ["11999"]);
}

#[test]
fn oversized_blob_is_refused_at_write_and_commit() {
    let (store, t) = (Memory::new().with_max_blob(8), fresh());
    let largest = store_text(&store, &t, "firmware");
    assert_eq!(largest.size, 8);
    let mut writer = block_on(store.begin(&t)).unwrap();
    block_on(writer.write("firmware".into())).unwrap();
    assert!(matches!(block_on(writer.write("!".into())), Err(StoreError::TooLarge { limit: 8, .. })));
    assert!(matches!(block_on(writer.commit(largest, G)), Err(StoreError::TooLarge { limit: 8, .. })));
}

#[test]
fn blob_url_is_below_the_base() {
    let t: Tenant = "st-mary".parse().unwrap();
    let key = BlobRef::of(b"firmware").key(G);
    let path = format!("/st-mary/sha256/{key}");
    for (base, wanted) in [
        (None, format!("memory://{path}")),
        (Some("https://cdn.example/blobs"), format!("https://cdn.example/blobs{path}")),
        (Some("https://cdn.example/blobs/"), format!("https://cdn.example/blobs{path}")),
    ] {
        let store = base.map_or_else(Memory::new, |base| Memory::new().with_base_url(base.parse().unwrap()));
        assert!(matches!(block_on(store.url(&t, &key, UrlKind::Public)), Err(StoreError::NotFound { .. })));
        store_text(&store, &t, "firmware");
        assert_eq!(block_on(store.url(&t, &key, UrlKind::Public)).unwrap().as_str(), wanted);
    }
}

#[test]
fn put_with_a_failing_stream_stores_nothing() {
    let store = Arc::new(Memory::new());
    let tenant = fresh();
    let handle = TenantBlobs::new(store, tenant.clone());
    let cut = || StoreError::unavailable(None, Some("connection reset".into()));
    let body = stream::try_chunks([Ok("firm".into()), Err(cut())]);
    assert!(matches!(block_on(handle.put(G, body)), Err(StoreError::Unavailable { .. })));
    let other = BlobRef::of(b"software");
    let refused = block_on(handle.put_expecting(other, G, stream::once("firmware"))).unwrap_err();
    let wanted = format!(
        "the file `{}` of the tenant `{tenant}`: verification failed: the digest is `{}`, and `{}` is wanted",
        other.key(G),
        Sha256::of(b"firmware"),
        other.digest
    );
    assert_eq!(refused.to_string(), wanted);
    assert_eq!(block_on(handle.list(limit(9), None)).unwrap().items, []);
}

#[test]
fn digest_verification_can_be_requested() {
    let asked = Memory::new().with_digests();
    assert!(BlobStore::capabilities(&asked).verifies_digest);
    let discard = Discard::new().with_digests();
    let mut writer = block_on(discard.begin(&fresh())).unwrap();
    block_on(writer.write("firmwarE".into())).unwrap();
    let refused = block_on(writer.commit(BlobRef::of(b"firmware"), G));
    assert!(matches!(refused, Err(StoreError::Mismatch { .. })));
}

#[test]
fn discarded_blob_is_verified_and_not_kept() {
    let discard = Arc::new(Discard::new());
    let handle = TenantBlobs::new(Arc::clone(&discard), fresh());
    let (blob, outcome) = block_on(handle.put(G, stream::chunks(["firm".into(), "ware".into()]))).unwrap();
    assert_eq!((blob, outcome), (BlobRef::of(b"firmware"), PutOutcome::Stored));
    assert!(block_on(handle.put_expecting(blob, G, stream::once("short"))).is_err());
    assert!(matches!(block_on(handle.get(&blob.key(G), None)), Err(StoreError::NotFound { .. })));
    assert_eq!((discard.blobs(), discard.bytes()), (1, 8));
}

// ------------------------------------------------------------------------------------------ lost answers

/// Loses the answers of its first commits: the list says which are applied.
struct Forgetful {
    below: Memory,
    answers: Mutex<Vec<bool>>,
    /// Whether deletions lose their write ids.
    nameless: bool,
    /// The number of version reads that fail.
    unseen: AtomicU32,
}

impl Forgetful {
    fn looks(&self) -> Result<()> {
        let failing = self.unseen.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if failing { Err(StoreError::unavailable(None, None)) } else { Ok(()) }
    }
}

impl ResourceStore for Forgetful {
    passed_on!(below: read, search, prune_history);

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = ResourceStore::capabilities(&self.below);
        capabilities.deletion_write_ids = !self.nameless;
        capabilities
    }

    fn vread<'a>(&'a self, t: &'a Tenant, k: &'a Key, v: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move {
            self.looks()?;
            self.below.vread(t, k, v).await
        })
    }

    fn commit<'a>(&'a self, t: &'a Tenant, mut w: Vec<Write>) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        let applied = self.answers.lock().unwrap().pop();
        for write in w.iter_mut().filter(|write| self.nameless && write.body.is_none()) {
            write.write_id = None;
        }
        Box::pin(async move {
            match applied {
                None => return self.below.commit(t, w).await,
                Some(true) => drop(self.below.commit(t, w).await),
                Some(false) => {}
            }
            Err(StoreError::indeterminate(None).into())
        })
    }

    fn history<'a>(
        &'a self,
        t: &'a Tenant,
        k: &'a Key,
        l: NonZeroU32,
        a: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            self.looks()?;
            self.below.history(t, k, l, a).await
        })
    }
}

/// Returns the write of the device `a` with a model.
fn model(model: &str, when: Precondition) -> ValidWrite {
    let json = format!(r#"{{"resourceType":"Device","id":"a","model":"{model}"}}"#);
    Valid::new(Device::from_json(json.as_bytes()).unwrap()).unwrap().write(when).unwrap()
}

fn forgetful(answers: &[bool]) -> TenantResources<Forgetful> {
    let answers = Mutex::new(answers.iter().rev().copied().collect());
    TenantResources::new(
        Arc::new(Forgetful { below: Memory::new(), answers, nameless: false, unseen: AtomicU32::new(0) }),
        fresh(),
    )
}

#[test]
fn write_with_lost_response_is_resolved() {
    let store = forgetful(&[true, true]);
    let create = model("1", Precondition::Absent).with_id(WriteId(1));
    assert_eq!(block_on(store.write_resolved(create.clone())).unwrap().version, v(1));
    let update = model("2", Precondition::Version(v(1))).with_id(WriteId(2));
    assert_eq!(block_on(store.write_resolved(update.clone())).unwrap().version, v(2));
    // Repeated after a restart, with other writes in between.
    block_on(store.write(model("3", Precondition::None))).unwrap();
    assert_eq!(block_on(store.write_resolved(create)).unwrap().version, v(1));
    assert_eq!(block_on(store.write_resolved(update)).unwrap().version, v(2));
    let delete = ValidWrite::delete(device("a"), Precondition::Exists).with_id(WriteId(3));
    assert_eq!(block_on(store.write_resolved(delete.clone())).unwrap().version, v(4));
    assert_eq!(block_on(store.write_resolved(delete)).unwrap().version, v(4));
}

#[test]
fn unapplied_write_is_resent_if_safe() {
    let store = forgetful(&[false, false]);
    let create = model("1", Precondition::Absent).with_id(WriteId(1));
    assert_eq!(block_on(store.write_resolved(create)).unwrap().version, v(1));

    let store = forgetful(&[false]);
    let blind = model("1", Precondition::None).with_id(WriteId(1));
    assert!(matches!(block_on(store.write_resolved(blind)), Err(StoreError::Indeterminate { .. })));
    assert!(matches!(block_on(store.read(&device("a"))), Err(StoreError::NotFound { .. })));

    let store = forgetful(&[false, false, false]);
    let create = model("1", Precondition::Absent).with_id(WriteId(1));
    assert!(matches!(block_on(store.write_resolved(create)), Err(StoreError::Indeterminate { .. })));
}

#[test]
fn deletion_without_id_and_response_stays_unknown() {
    for when in [Precondition::Version(v(1)), Precondition::Exists] {
        let answers = Mutex::new(vec![true, true]);
        let store = TenantResources::new(
            Arc::new(Forgetful { below: Memory::new(), answers, nameless: true, unseen: AtomicU32::new(0) }),
            fresh(),
        );
        let create = model("1", Precondition::Absent).with_id(WriteId(1));
        assert_eq!(block_on(store.write_resolved(create)).unwrap().version, v(1));
        // It was applied: to call it a conflict would say that it was not.
        let delete = ValidWrite::delete(device("a"), when).with_id(WriteId(2));
        let unknown = block_on(store.write_resolved(delete));
        assert!(matches!(unknown, Err(StoreError::Indeterminate { .. })), "{unknown:?}");
        // Where another has deleted it before, nothing was lost.
        let delete = ValidWrite::delete(device("a"), Precondition::Version(v(1))).with_id(WriteId(3));
        assert!(matches!(block_on(store.write_resolved(delete)), Err(StoreError::Conflict { .. })));
    }
}

#[test]
fn repeated_write_without_history_is_not_a_conflict() {
    let answers = Mutex::new(Vec::new());
    let below = Arc::new(Forgetful { below: Memory::new(), answers, nameless: false, unseen: AtomicU32::new(0) });
    let store = TenantResources::new(Arc::clone(&below), fresh());
    let create = model("1", Precondition::Absent).with_id(WriteId(1));
    let update = model("2", Precondition::Version(v(1))).with_id(WriteId(2));
    for (number, write) in [(1, create), (2, update)] {
        assert_eq!(block_on(store.write_resolved(write.clone())).unwrap().version, v(number));
        below.unseen.store(1, Ordering::SeqCst);
        let unseen = block_on(store.write_resolved(write.clone()));
        assert!(matches!(unseen, Err(StoreError::Unavailable { .. })), "{unseen:?}");
        assert_eq!(block_on(store.write_resolved(write)).unwrap().version, v(number));
    }
}

#[test]
fn overtaken_write_is_a_conflict() {
    let store = forgetful(&[]);
    block_on(store.write(model("1", Precondition::Absent))).unwrap();
    block_on(store.write(model("2", Precondition::Version(v(1))))).unwrap();
    let late = model("x", Precondition::Version(v(1)));
    assert!(matches!(block_on(store.write_resolved(late.clone())), Err(StoreError::Invalid { .. })));
    let late = late.with_id(WriteId(9));
    assert!(matches!(block_on(store.write_resolved(late)), Err(StoreError::Conflict { .. })));
}

#[test]
fn all_collects_the_pages_of_a_search() {
    let store = TenantResources::<dyn ResourceStore>::new(Arc::new(Arc::new(Memory::new())), fresh());
    for n in 0..23 {
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{n:02}","identifier":{{"value":"1"}},"type":{{"text":"VMD"}},
            "source":{{"reference":"Device/s"}}}}"#
        );
        block_on(store.create(&Valid::new(DeviceComponent::from_json(json.as_bytes()).unwrap()).unwrap())).unwrap();
    }
    let search = Search::new(ResourceType::DeviceComponent).and(Criterion::source("Device/s")).limit(5);
    assert_eq!(block_on(store.all(search)).unwrap().len(), 23);
}

// ------------------------------------------------------------------------------------------ texts

#[test]
fn text_forms_are_checked() {
    assert!("a".repeat(64).parse::<Tenant>().is_ok());
    for bad in ["", "A", "a_b", "a/b", "ä", &"a".repeat(65)] {
        assert!(bad.parse::<Tenant>().is_err(), "{bad}");
    }
    for bad in ["", "3", "*", "W/3", "\"\"", "\"0\"", "\"03\"", "\"3\", \"4\"", "w/\"3\"", "\"99999999999999999999\""] {
        assert!(VersionId::from_etag(bad).is_err(), "{bad}");
    }
    for bad in ["Patient/1", "Device", "Device/", "Device/a/b", "Device/ä", "device/1"] {
        assert!(bad.parse::<Key>().is_err(), "{bad}");
    }
    for bad in ["", "|", "a|b|c", "a\\"] {
        assert!(bad.parse::<TokenMatch>().is_err(), "{bad}");
    }
    for good in ["a", "s|", "|a", "s|a", r"s|a\|b\,c\\"] {
        assert_eq!(good.parse::<TokenMatch>().unwrap().to_string(), good);
    }
    let digest = Sha256::of(b"abc").to_string();
    assert_eq!(digest.to_uppercase().parse(), Ok(Sha256::of(b"abc")));
    for bad in [&digest[1..], &format!("{digest}0"), &digest.replace('b', "g"), &"ä".repeat(32)] {
        assert!(bad.parse::<Sha256>().is_err(), "{bad}");
    }
}

#[test]
fn ledger_key_is_checked() {
    for bad in ["", "/", "a/", "/a", "a//b", "A", "a b", "../a", &"a".repeat(129)] {
        assert!(LedgerKey::new(bad).is_err(), "{bad}");
    }
    assert!(LedgerKey::new("a".repeat(128)).is_ok());
}

#[test]
fn text_form_equals_json_form() {
    let tenant: Tenant = serde_json::from_str("\"st-mary\"").unwrap();
    assert_eq!(serde_json::to_string(&tenant).unwrap(), "\"st-mary\"");
    assert!(serde_json::from_str::<Tenant>("\"St Mary\"").is_err());
    assert_eq!(serde_json::to_string(&device("a")).unwrap(), "\"Device/a\"");
    assert_eq!(serde_json::from_str::<VersionId>("\"3\"").unwrap(), v(3));
    let digest = serde_json::to_string(&Sha256([0xab; 32])).unwrap();
    assert_eq!(digest, format!("\"{}\"", "ab".repeat(32)));
}

/// The error messages of the tenant handles.
#[test]
fn error_names_its_resource_record_or_file() {
    let memory = Arc::new(Memory::new());
    let ward = || "icu-3".parse::<Tenant>().unwrap();
    let (resources, blobs, ledger) = (memory.for_tenant(ward()), memory.blobs_for(ward()), memory.ledger_for(ward()));
    let said = |error: StoreError| error.to_string();
    let (pump, mds) = (device("pump"), Key::new(ResourceType::DeviceComponent, "mds").unwrap());
    let wanted = "`Device/pump` of the tenant `icu-3`: not found";
    assert_eq!(said(block_on(resources.read(&pump)).unwrap_err()), wanted);
    assert_eq!(said(block_on(resources.get::<Device>("pump")).unwrap_err()), wanted);
    assert_eq!(said(block_on(resources.history(&pump, limit(1), None)).unwrap_err()), wanted);
    assert_eq!(
        said(block_on(resources.vread(&pump, v(7))).unwrap_err()),
        "version 7 of `Device/pump` of the tenant `icu-3`: not found"
    );
    let valid = |id: &str| {
        let json = format!(r#"{{"resourceType":"Device","id":"{id}"}}"#);
        Valid::new(Device::from_json(json.as_bytes()).unwrap()).unwrap()
    };
    block_on(resources.create(&valid("pump"))).unwrap();
    assert_eq!(
        said(block_on(resources.create(&valid("pump"))).unwrap_err()),
        "`Device/pump` of the tenant `icu-3`: already exists, at version 1"
    );
    assert_eq!(
        said(block_on(resources.update(&valid("pump"), v(4))).unwrap_err()),
        "`Device/pump` of the tenant `icu-3`: version conflict, the newest is 1"
    );
    let writes = vec![
        ValidWrite::delete(pump.clone(), Precondition::Exists),
        ValidWrite::delete(mds.clone(), Precondition::Exists),
    ];
    let refused = block_on(resources.commit(writes)).unwrap_err();
    assert_eq!(refused.index, Some(1));
    assert_eq!(said(refused.error), "`DeviceComponent/mds` of the tenant `icu-3`: not found");
    block_on(resources.delete(pump.clone(), Precondition::Exists)).unwrap();
    let gone = block_on(resources.read(&pump)).unwrap_err();
    assert_eq!(gone.subject(), Some(&Subject::Resource(ward(), pump.clone())));
    assert_eq!(said(gone), "`Device/pump` of the tenant `icu-3`: deleted at version 2");

    let file = BlobRef::of(b"firmware").key(Generation(1));
    let name = format!("the file `{file}` of the tenant `icu-3`");
    assert_eq!(said(block_on(blobs.get(&file, None)).unwrap_err()), format!("{name}: not found"));
    assert_eq!(said(block_on(blobs.head(&file)).unwrap_err()), format!("{name}: not found"));
    let other = blobs.put_expecting(BlobRef::of(b"firmware"), Generation(1), stream::once("malware!"));
    assert!(
        matches!(block_on(other).unwrap_err().subject(), Some(Subject::Blob(tenant, key)) if *tenant == ward() && *key == file)
    );
    block_on(blobs.put(Generation(1), stream::once("firmware"))).unwrap();
    assert_eq!(
        said(block_on(blobs.get(&file, Some(8..9))).unwrap_err()),
        format!("{name}: the range lies outside of the 8 bytes")
    );

    let key: LedgerKey = "upload/7".parse().unwrap();
    let change = || vec![Change::create(key.clone(), "a")];
    block_on(ledger.apply(change())).unwrap();
    let twice = block_on(ledger.apply(change())).unwrap_err();
    let name = "the record `upload/7` of the tenant `icu-3`";
    assert!(said(twice.error).starts_with(&format!("{name}: already exists")));
    let foreign = block_on(memory.ledger_for("other".parse().unwrap()).scan(&key, limit(1), None)).unwrap();
    assert_eq!(foreign.items.len(), 0);
    let stale = vec![Change::replace(key.clone(), Revision::new("old"), "b")];
    assert!(said(block_on(ledger.apply(stale)).unwrap_err().error).starts_with(&format!("{name}: version conflict")));
}
