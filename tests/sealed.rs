//! Encryption at rest: sealed data opens for authorised callers, and forged data does not open.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use bytes::Bytes;
use fhir_devices::backend::Memory;
use fhir_devices::backend::sealed::{
    DataKey, KeyProvider, KeyRing, SealedBlobs, SealedLedger, SealedResources, WrappedKey,
};
use fhir_devices::rest::{Request, Server, Subscriptions};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType};
use fhir_devices::service::SubscriptionService;
use fhir_devices::store::*;
use fhir_devices::subscription::{Notification, Notifier, NotifyError};
use fhir_devices::{Device, Valid};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex};

fhir_devices::blob_store_conformance!(
    sealed_blobs,
    store = sealed(&Arc::new(Memory::new().with_max_blob(300_000)), ring())
);
fhir_devices::resource_store_conformance!(
    sealed_resources,
    store = SealedResources::new(Arc::new(Memory::new().with_max_body(10_000)), Arc::new(ring()))
);

const G: Generation = Generation(7);
const CHUNK: usize = 64 << 10;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new("2025".parse().unwrap(), [5; 32])
}

fn sealed(below: &Arc<Memory>, ring: KeyRing) -> SealedBlobs<Memory> {
    SealedBlobs::new(Arc::clone(below), Arc::new(ring))
}

/// Returns bytes that no two chunks have in common.
fn bytes(size: usize) -> Bytes {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

fn write(store: &impl BlobStore, tenant: &Tenant, bytes: &Bytes, piece: usize, generation: Generation) -> BlobRef {
    let blob = BlobRef::of(bytes);
    let mut writer = block_on(store.begin(tenant)).unwrap();
    for piece in bytes.chunks(piece) {
        block_on(writer.write(Bytes::copy_from_slice(piece))).unwrap();
    }
    assert_eq!(block_on(writer.commit(blob, generation)).unwrap(), PutOutcome::Stored);
    blob
}

fn read(store: &impl BlobStore, tenant: &Tenant, key: &BlobKey, range: Option<Range<u64>>) -> Result<Bytes> {
    let read = block_on(store.get(tenant, key, range))?;
    block_on(stream::collect(read.body, u64::MAX))
}

/// Puts bytes into the inner store unchanged, under a wrong key.
fn plant(below: &Memory, tenant: &Tenant, digest: Sha256, generation: Generation, bytes: Bytes) {
    let mut writer = block_on(below.begin(tenant)).unwrap();
    let blob = BlobRef { digest, size: bytes.len() as u64 };
    block_on(writer.write(bytes)).unwrap();
    block_on(writer.commit(blob, generation)).unwrap();
}

#[test]
fn sealed_blob_of_any_size_round_trips() {
    let t = tenant("ours");
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5] {
        let below = Arc::new(Memory::new());
        let store = sealed(&below, ring());
        let plain = bytes(size);
        let blob = write(&store, &t, &plain, 1_000, G);
        assert_eq!(read(&store, &t, &blob.key(G), None).unwrap(), plain, "{size}");
        assert_eq!(block_on(store.head(&t, &blob.key(G))).unwrap(), blob);
        let listed = block_on(store.list(&t, std::num::NonZeroU32::MAX, None)).unwrap().items;
        assert_eq!(listed, [BlobInfo { key: blob.key(G), size: size as u64 }]);
    }
}

#[test]
fn inner_store_sees_no_plain_bytes() {
    let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
    let plain = Bytes::from(vec![b'x'; 3 * CHUNK]);
    let blob = write(&sealed(&below, ring()), &t, &plain, CHUNK, G);
    let seen = read(&*below, &t, &blob.key(G), None).unwrap();
    assert!(!seen.windows(8).any(|window| window == b"xxxxxxxx"));
    // Equal chunks are not equal when they are sealed.
    assert_ne!(seen[..CHUNK], seen[CHUNK + 16..2 * CHUNK + 16]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn range_of_a_sealed_blob_is_of_the_plain_bytes(
        size in 1_usize..200_000,
        start in 0_u64..220_000,
        length in 0_u64..150_000,
        piece in 1_usize..100_000,
    ) {
        let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
        let plain = bytes(size);
        let (store, open) = (sealed(&below, ring()), Memory::new());
        let blob = write(&store, &t, &plain, piece, G);
        write(&open, &t, &plain, piece, G);
        let range = Some(start..start + length);
        match (read(&store, &t, &blob.key(G), range.clone()), read(&open, &t, &blob.key(G), range)) {
            (Ok(ours), Ok(wanted)) => prop_assert_eq!(ours, wanted),
            (Err(StoreError::OutOfRange { size: a, .. }), Err(StoreError::OutOfRange { size: b, .. })) => prop_assert_eq!(a, b),
            (Err(StoreError::Invalid { .. }), Err(StoreError::Invalid { .. })) => {}
            (ours, wanted) => prop_assert!(false, "{:?} and {:?}", ours, wanted),
        }
    }

    #[test]
    fn changed_sealed_byte_is_refused(at in 0_usize..(2 * CHUNK + 7 + 3 * 16 + 512), bit in 0_u32..8) {
        let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
        let blob = write(&sealed(&below, ring()), &t, &bytes(2 * CHUNK + 7), CHUNK, G);
        let mut changed = read(&*below, &t, &blob.key(G), None).unwrap().to_vec();
        changed[at] ^= 1 << bit;
        block_on(below.delete(&t, &blob.key(G))).unwrap();
        plant(&below, &t, blob.digest, G, changed.into());
        let refused = read(&sealed(&below, ring()), &t, &blob.key(G), None);
        // A changed name of the key may name one that nobody has.
        prop_assert!(matches!(refused, Err(StoreError::Corrupt { .. } | StoreError::Denied { .. })), "{:?}", refused);
    }
}

#[test]
fn moved_sealed_blob_is_refused() {
    let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
    let store = sealed(&below, ring());
    let blob = write(&store, &t, &bytes(100), 100, G);
    let bytes_below = read(&*below, &t, &blob.key(G), None).unwrap();
    for (tenant, digest, generation) in [
        (tenant("theirs"), blob.digest, G),
        (t.clone(), blob.digest, Generation(8)),
        (t.clone(), Sha256::of(b"other"), G),
    ] {
        plant(&below, &tenant, digest, generation, bytes_below.clone());
        let moved = read(&store, &tenant, &BlobKey { digest, generation }, None);
        assert!(matches!(moved, Err(StoreError::Corrupt { .. })), "{moved:?}");
    }
    assert_eq!(read(&store, &t, &blob.key(G), None).unwrap(), bytes(100));
}

#[test]
fn truncated_or_swapped_chunks_are_refused() {
    let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
    let store = sealed(&below, ring());
    let blob = write(&store, &t, &bytes(3 * CHUNK), CHUNK, G);
    let whole = read(&*below, &t, &blob.key(G), None).unwrap();
    let sealed_chunk = CHUNK + 16;
    let (body, trailer) = whole.split_at(3 * sealed_chunk);
    let mut shorter = body[..2 * sealed_chunk].to_vec();
    shorter.extend_from_slice(trailer);
    let mut exchanged =
        [&body[sealed_chunk..2 * sealed_chunk], &body[..sealed_chunk], &body[2 * sealed_chunk..]].concat();
    exchanged.extend_from_slice(trailer);
    for wrong in [shorter, exchanged, body.to_vec(), trailer.to_vec(), Vec::new()] {
        block_on(below.delete(&t, &blob.key(G))).unwrap();
        plant(&below, &t, blob.digest, G, wrong.into());
        assert!(matches!(read(&store, &t, &blob.key(G), None), Err(StoreError::Corrupt { .. })));
    }
}

#[test]
fn key_rotation_rewrites_nothing() {
    let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
    let blob = write(&sealed(&below, ring()), &t, &bytes(100), 100, G);
    let before = read(&*below, &t, &blob.key(G), None).unwrap();
    let rotated = || ring().rotated("2026".parse().unwrap(), [6; 32]);
    let store = sealed(&below, rotated());
    assert_eq!(read(&store, &t, &blob.key(G), None).unwrap(), bytes(100));
    assert_eq!(read(&*below, &t, &blob.key(G), None).unwrap(), before);
    write(&store, &t, &bytes(100), 100, Generation(8));
    // Without the old key what it sealed is lost, and what came later is not.
    let store = sealed(&below, rotated().without(&"2025".parse().unwrap()));
    assert!(matches!(read(&store, &t, &blob.key(G), None), Err(StoreError::Denied { .. })));
    assert_eq!(read(&store, &t, &blob.key(Generation(8)), None).unwrap(), bytes(100));
}

#[test]
fn wraps_of_a_key_are_counted_and_limited() {
    let (t, below) = (tenant("ours"), Arc::new(Memory::new()));
    let ring = Arc::new(ring().with_wraps(KeyRing::MOST_WRAPS - 3));
    let store = SealedBlobs::new(Arc::clone(&below), ring.clone());
    let mut written = Vec::new();
    for (count, size) in (1..).zip([0, 10, 2 * CHUNK]) {
        // One a blob, however many chunks it has.
        written.push(write(&store, &t, &bytes(size), CHUNK, G));
        assert_eq!(ring.wraps(), KeyRing::MOST_WRAPS - 3 + count);
    }
    let (refused, key) = (block_on(ring.wrap(&t, &DataKey::random().unwrap(), b"")), "`2025`");
    let Err(StoreError::Denied { source: Some(source), .. }) = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains(key) && source.to_string().contains("rotate"), "{source}");
    let blobs = TenantBlobs::new(Arc::new(store), t.clone());
    assert!(matches!(block_on(blobs.put(G, stream::once("firmware"))), Err(StoreError::Denied { .. })));
    assert_eq!(ring.wraps(), KeyRing::MOST_WRAPS);

    // The count is the caller's to keep over a restart; what was wrapped is still unwrapped, and a new key wraps.
    let told = ring.wraps();
    let again = KeyRing::new("2025".parse().unwrap(), [5; 32]).with_wraps(told);
    let again = Arc::new(again);
    let store = SealedBlobs::new(Arc::clone(&below), again.clone());
    assert!(block_on(again.wrap(&t, &DataKey::random().unwrap(), b"")).is_err());
    for (blob, size) in written.iter().zip([0, 10, 2 * CHUNK]) {
        assert_eq!(read(&store, &t, &blob.key(G), None).unwrap(), bytes(size));
    }
    let rotated =
        KeyRing::new("2025".parse().unwrap(), [5; 32]).with_wraps(told).rotated("2026".parse().unwrap(), [6; 32]);
    let rotated = Arc::new(rotated);
    let store = SealedBlobs::new(Arc::clone(&below), rotated.clone());
    write(&store, &t, &bytes(11), CHUNK, G);
    assert_eq!(rotated.wraps(), 1);
    assert_eq!(read(&store, &t, &written[1].key(G), None).unwrap(), bytes(10));
}

#[test]
fn wraps_by_many_threads_never_pass_the_limit() {
    let (t, ring) = (tenant("ours"), ring().with_wraps(KeyRing::MOST_WRAPS - 40));
    let wrapped: usize = std::thread::scope(|scope| {
        let wrap = || (0..20).filter(|_| block_on(ring.wrap(&t, &DataKey::from_bytes([1; 32]), b"")).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(wrap)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((wrapped, ring.wraps()), (40, KeyRing::MOST_WRAPS));
}

#[test]
fn digest_verifying_inner_store_is_refused() {
    let below = Arc::new(Memory::new().with_digests());
    let refused = block_on(sealed(&below, ring()).begin(&tenant("ours"))).err();
    assert!(matches!(refused, Some(StoreError::Unsupported { .. })));
}

#[test]
fn unreachable_key_provider_stores_nothing() {
    struct Away;
    impl KeyProvider for Away {
        fn wrap<'a>(&'a self, _: &'a Tenant, _: &'a DataKey, _: &'a [u8]) -> BoxFuture<'a, Result<WrappedKey>> {
            Box::pin(async { Err(StoreError::unavailable(None, None)) })
        }

        fn unwrap<'a>(&'a self, _: &'a Tenant, _: &'a WrappedKey, _: &'a [u8]) -> BoxFuture<'a, Result<DataKey>> {
            Box::pin(async { Err(StoreError::unavailable(None, None)) })
        }
    }
    let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
    let blobs = TenantBlobs::new(Arc::new(SealedBlobs::new(Arc::clone(&below), Arc::new(Away))), t.clone());
    let refused = block_on(blobs.put(G, stream::once("firmware")));
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
    assert_eq!(block_on(below.list(&t, std::num::NonZeroU32::MAX, None)).unwrap().items, []);
    let resources = TenantResources::new(Arc::new(SealedResources::new(below, Arc::new(Away))), t);
    let key = Key::new(ResourceType::Device, "pump").unwrap();
    let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#).unwrap();
    let refused = block_on(resources.create(&Valid::new(pump).unwrap())).unwrap_err();
    assert_eq!(refused.applied(), Applied::No);
    assert!(matches!(block_on(resources.read(&key)), Err(StoreError::NotFound { .. })));
}

#[test]
fn moved_or_changed_body_is_refused() {
    let (below, t, theirs) = (Arc::new(Memory::new()), tenant("ours"), tenant("theirs"));
    let store = SealedResources::new(Arc::clone(&below), Arc::new(ring()));
    let key = |id: &str| Key::new(ResourceType::Device, id).unwrap();
    let secret = r#"{"resourceType":"Device","lotNumber":"A7"}"#;
    block_on(store.commit(&t, vec![Write::create(key("a"), secret, IndexEntries::new())])).unwrap();
    assert_eq!(block_on(store.read(&t, &key("a"))).unwrap().body.unwrap(), secret);
    let body = block_on(below.read(&t, &key("a"))).unwrap().body.unwrap();
    assert!(!body.windows(4).any(|window| window == b"\"A7\""));
    let plant = |tenant: &Tenant, id: &str, body: Bytes| {
        let write = Write::put(key(id), body, IndexEntries::new());
        block_on(ResourceStore::commit(&*below, tenant, vec![write])).unwrap();
        block_on(store.read(tenant, &key(id)))
    };
    assert!(matches!(plant(&theirs, "a", body.clone()), Err(StoreError::Corrupt { .. })));
    assert!(matches!(plant(&t, "b", body.clone()), Err(StoreError::Corrupt { .. })));
    for at in 0..body.len() {
        let mut changed = body.to_vec();
        changed[at] ^= 1;
        let refused = plant(&t, "a", changed.into());
        assert!(matches!(refused, Err(StoreError::Corrupt { .. } | StoreError::Denied { .. })), "{at}");
    }
    assert!(plant(&t, "a", body).is_ok());
}

#[test]
fn blind_index_hides_and_finds_values() {
    let (below, t) = (Arc::new(Memory::new()), tenant("ours"));
    let store = SealedResources::new(Arc::clone(&below), Arc::new(ring())).with_blind_index([9; 32]);
    let store = TenantResources::new(Arc::new(store), t.clone());
    let json = br#"{"resourceType":"Device","id":"pump","identifier":[{"system":"urn:acme","value":"serial-7"}],
        "patient":{"reference":"Patient/p1"}}"#;
    block_on(store.create(&Valid::new(Device::from_json(json).unwrap()).unwrap())).unwrap();
    let search = |criterion| Search::new(ResourceType::Device).and(criterion);
    let found = |criterion| block_on(store.all(search(criterion))).map(|found| found.len());
    for hit in ["serial-7", "urn:acme|serial-7", "urn:acme|"] {
        assert_eq!(found(Criterion::identifier(hit.parse().unwrap())).unwrap(), 1, "{hit}");
        let below = TenantResources::new(Arc::clone(&below), t.clone());
        assert_eq!(block_on(below.all(search(Criterion::identifier(hit.parse().unwrap())))).unwrap().len(), 0);
    }
    assert_eq!(found(Criterion::value(Parameter::Patient, "Patient/p1")).unwrap(), 1);
    assert_eq!(found(Criterion::value(Parameter::Location, "Patient/p1")).unwrap(), 0);
    assert_eq!(found(Criterion::AnyOf(vec![Criterion::value(Parameter::Patient, "Patient/p1")])).unwrap(), 1);
    let refused = found(Criterion::begins(Parameter::Identifier, "serial"));
    assert!(matches!(refused, Err(StoreError::Unsupported { .. })));
}

/// What is kept below a ledger, as text.
fn kept(ledger: &Memory, tenant: &Tenant, folder: &str) -> Vec<String> {
    let page = block_on(ledger.scan(tenant, &folder.parse().unwrap(), 100.try_into().unwrap(), None)).unwrap();
    page.items.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

/// Keeps the headers of notifications.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, String)>>);

impl Notifier for Heard {
    fn send<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, std::result::Result<(), NotifyError>> {
        self.0.lock().unwrap().extend(notification.headers.clone());
        Box::pin(async { Ok(()) })
    }
}

/// The FHIR API of a tenant whose Subscriptions are in a ledger.
fn rest_over(memory: &Arc<Memory>, ledger: Arc<dyn Ledger>, tenant: &Tenant) -> Server {
    let resources: Arc<dyn ResourceStore> = memory.clone();
    Server::new(TenantResources::new(resources, tenant.clone()), "https://here.example/fhir")
        .with_subscriptions(Subscriptions::new(ledger, tenant.clone()))
}

fn send(server: &Server, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let request = Request::new(method, path).header("Content-Type", "application/fhir+json").body(body.to_owned());
    let answer = block_on(server.handle(&request));
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

const SUBSCRIPTION: &str = r#"{"resourceType":"Subscription","status":"requested","reason":"pumps","criteria":"Device?",
    "channel":{"type":"rest-hook","endpoint":"https://ehr.example/hook","header":["Authorization: Bearer secret"]}}"#;

#[test]
fn secret_of_a_subscription_is_sealed_in_the_ledger_and_sent() {
    let (memory, t) = (Arc::new(Memory::new()), tenant("ours"));
    let ledger = Arc::new(SealedLedger::new(memory.clone(), Arc::new(ring())));
    let server = rest_over(&memory, ledger.clone(), &t);
    let (status, mut made) = send(&server, "POST", "Subscription", SUBSCRIPTION);
    assert_eq!(status, 201, "{made}");
    made["reason"] = "all pumps".into();
    let path = format!("Subscription/{}", made["id"].as_str().unwrap());
    assert_eq!(send(&server, "PUT", &path, &made.to_string()).0, 200);
    let lying = kept(&memory, &t, "subscriptions");
    assert_eq!(lying.len(), 2);
    assert!(lying.iter().all(|value| !value.contains("secret") && !value.contains("all pumps")), "{lying:?}");
    assert!(kept(&memory, &t, "subscriptions/at")[0].starts_with('{'), "how far it has come is no secret");
    assert_eq!(send(&server, "GET", &path, "").1["channel"]["header"][0], "Authorization: (hidden)");

    assert_eq!(send(&server, "PUT", "Device/d", r#"{"resourceType":"Device","id":"d"}"#).0, 201);
    let heard = Arc::new(Heard::default());
    let (below, of) = (memory.clone(), t.clone());
    let service = SubscriptionService::new(move |_| rest_over(&below, ledger.clone(), &of), heard.clone()).unwrap();
    assert_eq!(block_on(service.run_once(&t)).unwrap().sent, 1);
    assert!(heard.0.lock().unwrap().contains(&("Authorization".to_owned(), "Bearer secret".to_owned())));
}

#[test]
fn subscription_from_before_is_read_and_sealed_when_written() {
    let (memory, t) = (Arc::new(Memory::new()), tenant("ours"));
    let (status, mut made) = send(&rest_over(&memory, memory.clone(), &t), "POST", "Subscription", SUBSCRIPTION);
    assert_eq!(status, 201, "{made}");
    assert!(kept(&memory, &t, "subscriptions/of")[0].contains("secret"));
    let server = rest_over(&memory, Arc::new(SealedLedger::new(memory.clone(), Arc::new(ring()))), &t);
    let path = format!("Subscription/{}", made["id"].as_str().unwrap());
    assert_eq!(send(&server, "GET", &path, "").1, made);
    made["reason"] = "still".into();
    assert_eq!(send(&server, "PUT", &path, &made.to_string()).0, 200);
    assert!(!kept(&memory, &t, "subscriptions/of")[0].contains("secret"));
    // Without the key, or with another one of that name, it is not read.
    assert_eq!(send(&rest_over(&memory, memory.clone(), &t), "GET", &path, "").0, 500);
    let other = Arc::new(KeyRing::new("2025".parse().unwrap(), [6; 32]));
    assert_eq!(
        send(&rest_over(&memory, Arc::new(SealedLedger::new(memory.clone(), other)), &t), "GET", &path, "").0,
        500
    );
}

#[test]
fn sealed_record_opens_in_its_place_alone() {
    let (memory, t) = (Arc::new(Memory::new()), tenant("ours"));
    let ledger = SealedLedger::new(memory.clone(), Arc::new(ring())).with_folder("own".parse().unwrap());
    let key = |name: &str| -> LedgerKey { name.parse().unwrap() };
    let changes = vec![Change::create(key("own/1"), "one"), Change::create(key("owner/1"), "plain")];
    let made = block_on(ledger.apply(&t, changes)).unwrap();
    assert_eq!(kept(&memory, &t, "owner"), ["plain"]);
    let sealed = block_on(Ledger::get(&*memory, &t, &key("own/1"))).unwrap().unwrap();
    assert_eq!(sealed.revision, made[0]);
    assert_eq!(block_on(ledger.get(&t, &key("own/1"))).unwrap().unwrap().value, "one");

    let mut torn = sealed.value.to_vec();
    *torn.last_mut().unwrap() ^= 1;
    for (name, value) in [("own/2", sealed.value.to_vec()), ("own/3", torn)] {
        block_on(memory.apply(&t, vec![Change::create(key(name), value)])).unwrap();
        assert!(matches!(block_on(ledger.get(&t, &key(name))), Err(StoreError::Corrupt { .. })), "{name}");
    }
    block_on(memory.apply(&tenant("theirs"), vec![Change::create(key("own/1"), sealed.value.clone())])).unwrap();
    assert!(matches!(block_on(ledger.get(&tenant("theirs"), &key("own/1"))), Err(StoreError::Corrupt { .. })));

    let most = LEDGER_MAX_VALUE - 528;
    let sized = |size: usize| vec![Change::create(key("own/large"), vec![b'x'; size])];
    let refused = block_on(ledger.apply(&t, sized(most + 1))).unwrap_err();
    assert!(matches!(refused.error, StoreError::TooLarge { .. }), "{refused:?}");
    block_on(ledger.apply(&t, sized(most))).unwrap();
    assert_eq!(block_on(ledger.get(&t, &key("own/large"))).unwrap().unwrap().value.len(), most);
}

#[test]
fn lines_of_keys_are_read_and_never_told() {
    let (old, new) = ("5f".repeat(32), "7a".repeat(32));
    let t = tenant("ours");
    let wrapped =
        block_on(KeyRing::from_lines(&format!("2025 {old}")).unwrap().wrap(&t, &DataKey::from_bytes([1; 32]), b""));
    let ring = KeyRing::from_lines(&format!("\n# newest first\n2026 {new}\n2025\t{old}\n")).unwrap();
    assert_eq!(block_on(ring.unwrap(&t, &wrapped.unwrap(), b"")).unwrap().as_bytes(), &[1; 32]);
    assert_eq!(block_on(ring.wrap(&t, &DataKey::from_bytes([1; 32]), b"")).unwrap().by.as_str(), "2026");
    for text in [
        String::new(),
        new.clone(),
        format!("2026 {}", "7a".repeat(31)),
        format!("1 {new}\n1 {old}"),
        format!("2026:{new}"),
    ] {
        let told = KeyRing::from_lines(&text).map(drop).unwrap_err().to_string();
        assert!(!told.contains("7a7a") && !told.contains("5f5f"), "{told}");
    }
}
