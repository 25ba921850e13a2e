//! The clauses of `BlobStore`.

use super::*;

/// The generation of the blobs that need but one.
pub(super) const G: Generation = Generation(7);

fn write(store: &impl BlobStore, tenant: &Tenant, chunks: &[&'static str]) -> Box<dyn BlobWriter> {
    let mut writer = block_on(store.begin(tenant)).unwrap();
    chunks.iter().for_each(|chunk| block_on(writer.write(Bytes::from_static(chunk.as_bytes()))).unwrap());
    writer
}

pub(super) fn store_text(store: &impl BlobStore, tenant: &Tenant, text: &'static str) -> BlobRef {
    let blob = BlobRef::of(text.as_bytes());
    block_on(write(store, tenant, &[text]).commit(blob, G)).unwrap();
    blob
}

fn list(store: &impl BlobStore, tenant: &Tenant) -> Vec<BlobRef> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = block_on(store.list(tenant, limit(2), after.as_ref())).unwrap();
        all.extend(page.items.iter().map(BlobInfo::blob));
        assert!(page.items.iter().all(|info| info.key.generation == G));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

fn absent(store: &impl BlobStore, tenant: &Tenant, key: &BlobKey) -> bool {
    matches!(block_on(store.head(tenant, key)), Err(StoreError::NotFound))
        && matches!(block_on(store.get(tenant, key, None)), Err(StoreError::NotFound))
        && list(store, tenant).iter().all(|blob| blob.key(G) != *key)
}

fn read(store: &impl BlobStore, tenant: &Tenant, key: &BlobKey, range: Option<std::ops::Range<u64>>) -> String {
    let read = block_on(store.get(tenant, key, range)).unwrap();
    let length = read.range.end - read.range.start;
    let bytes = block_on(stream::collect(read.body, length)).unwrap();
    assert_eq!(bytes.len() as u64, length);
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(super) fn b1_nothing_is_seen_before_the_commit(store: &impl BlobStore) {
    let t = fresh();
    let blob = BlobRef::of(b"firmware");
    let writer = write(store, &t, &["firm", "ware"]);
    assert!(absent(store, &t, &blob.key(G)));
    assert_eq!(block_on(writer.commit(blob, G)).unwrap(), PutOutcome::Stored);
    assert_eq!(block_on(store.head(&t, &blob.key(G))).unwrap(), blob);
    assert_eq!(read(store, &t, &blob.key(G), None), "firmware");
}

pub(super) fn b2_short_and_corrupt_bytes_never_become_visible(store: &impl BlobStore) {
    let t = fresh();
    let blob = BlobRef::of(b"firmware");
    let mut wrong = vec!["firm", "firmware and more", ""];
    wrong.extend(store.capabilities().verifies_digest.then_some("firmwarE"));
    for bytes in wrong {
        let refused = block_on(write(store, &t, &[bytes]).commit(blob, G));
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{bytes}");
        assert!(absent(store, &t, &blob.key(G)), "{bytes}");
    }
    assert_eq!(list(store, &t), []);
}

pub(super) fn b3_a_second_put_finds_the_first(store: &impl BlobStore) {
    let t = fresh();
    let blob = store_text(store, &t, "firmware");
    let again = block_on(write(store, &t, &["fir", "mware"]).commit(blob, G)).unwrap();
    assert_eq!(again, PutOutcome::AlreadyPresent);
    assert_eq!(list(store, &t), [blob]);
}

pub(super) fn b3_writers_of_the_same_bytes_all_succeed(store: &impl BlobStore) {
    let t = fresh();
    let blob = BlobRef::of(b"firmware");
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let outcome = block_on(write(store, &t, &["firmware"]).commit(blob, G)).unwrap();
                outcomes.lock().unwrap().push(outcome);
            });
        }
    });
    assert_eq!(outcomes.into_inner().unwrap().len(), 8);
    assert_eq!(read(store, &t, &blob.key(G), None), "firmware");
}

pub(super) fn b4_an_aborted_or_dropped_writer_leaves_no_trace(store: &impl BlobStore) {
    let t = fresh();
    block_on(write(store, &t, &["firmware"]).abort()).unwrap();
    drop(write(store, &t, &["firmware"]));
    drop(write(store, &t, &["firmware"]).commit(BlobRef::of(b"other"), G));
    assert!(absent(store, &t, &BlobRef::of(b"firmware").key(G)));
    assert_eq!(list(store, &t), []);
}

pub(super) fn b5_a_range_is_read_across_chunks(store: &impl BlobStore) {
    let t = fresh();
    let text = "0123456789";
    let blob = BlobRef::of(text.as_bytes());
    block_on(write(store, &t, &["012", "", "3", "456789"]).commit(blob, G)).unwrap();
    for start in 0..10 {
        for end in start + 1..=10 {
            let wanted = &text[start as usize..end as usize];
            assert_eq!(read(store, &t, &blob.key(G), Some(start..end)), wanted);
        }
    }
    assert_eq!(read(store, &t, &blob.key(G), Some(8..u64::MAX)), "89");
    let get = |range| block_on(store.get(&t, &blob.key(G), Some(range)));
    assert!(matches!(get(10..11), Err(StoreError::OutOfRange { size: 10 })));
    assert!(matches!(get(3..3), Err(StoreError::Invalid { .. })));
}

pub(super) fn b5_a_read_outlives_the_deletion_or_fails(store: &impl BlobStore) {
    let t = fresh();
    let blob = BlobRef::of(b"firmware");
    block_on(write(store, &t, &["firm", "ware"]).commit(blob, G)).unwrap();
    let mut body = block_on(store.get(&t, &blob.key(G), None)).unwrap().body;
    let mut seen = block_on(stream::next(&mut body)).unwrap().unwrap().to_vec();
    block_on(store.delete(&t, &blob.key(G))).unwrap();
    while let Some(chunk) = block_on(stream::next(&mut body)) {
        match chunk {
            Ok(chunk) => seen.extend(chunk),
            Err(_) => return,
        }
    }
    assert_eq!(seen, b"firmware");
}

pub(super) fn b6_a_deletion_may_be_repeated(store: &impl BlobStore) {
    let t = fresh();
    let blob = store_text(store, &t, "firmware");
    for _ in 0..2 {
        block_on(store.delete(&t, &blob.key(G))).unwrap();
        assert!(absent(store, &t, &blob.key(G)));
    }
    store_text(store, &t, "firmware");
    assert_eq!(read(store, &t, &blob.key(G), None), "firmware");
}

pub(super) fn b6_a_deletion_leaves_the_other_generations(store: &impl BlobStore) {
    let t = fresh();
    let blob = store_text(store, &t, "firmware");
    let (deleted, next) = (blob.key(G), Generation(8));
    assert_eq!(block_on(write(store, &t, &["firmware"]).commit(blob, next)).unwrap(), PutOutcome::Stored);
    block_on(store.delete(&t, &deleted)).unwrap();
    assert!(matches!(block_on(store.head(&t, &deleted)), Err(StoreError::NotFound)));
    assert_eq!(read(store, &t, &blob.key(next), None), "firmware");
}

pub(super) fn b7_equal_bytes_of_two_tenants_are_two_blobs(store: &impl BlobStore) {
    let (ours, theirs) = (fresh(), fresh());
    let blob = store_text(store, &theirs, "firmware");
    assert!(absent(store, &ours, &blob.key(G)));
    block_on(store.delete(&ours, &blob.key(G))).unwrap();
    // One does not learn from the outcome that the other has them.
    let outcome = block_on(write(store, &ours, &["firmware"]).commit(blob, G)).unwrap();
    assert_eq!(outcome, PutOutcome::Stored);
    block_on(store.delete(&ours, &blob.key(G))).unwrap();
    assert!(absent(store, &ours, &blob.key(G)));
    assert_eq!(read(store, &theirs, &blob.key(G), None), "firmware");
    if store.capabilities().public_url {
        let url = block_on(store.url(&ours, &blob.key(G), UrlKind::Public));
        assert!(url.map_or(true, |url| !url.as_str().contains(theirs.as_str())));
    }
}

pub(super) fn b8_a_list_shows_every_blob_once(store: &impl BlobStore) {
    let (t, other) = (fresh(), fresh());
    let texts = ["a", "b", "c", "d", "e"];
    let mut stored = texts.map(|text| store_text(store, &t, text));
    assert_eq!(texts.map(|text| store_text(store, &other, text)).len(), 5);
    stored.sort();
    assert_eq!(list(store, &t), stored);
    let token = block_on(store.list(&t, limit(2), None)).unwrap().next.unwrap();
    block_on(store.delete(&t, &stored[1].key(G))).unwrap();
    let rest = block_on(store.list(&t, limit(9), Some(&token))).unwrap();
    assert_eq!(rest.items.iter().map(BlobInfo::blob).collect::<Vec<_>>(), &stored[2..]);
    assert_eq!(rest.next, None);
    let foreign = block_on(store.list(&other, limit(2), Some(&token)));
    assert!(matches!(foreign, Err(StoreError::Invalid { .. })));
}

pub(super) fn b9_an_address_names_the_tenant_and_the_digest(store: &impl BlobStore) {
    let t = fresh();
    let blob = store_text(store, &t, "firmware");
    let capabilities = store.capabilities();
    let signed = UrlKind::Signed { valid_for: Duration::from_secs(60) };
    for (kind, given) in [(UrlKind::Public, capabilities.public_url), (signed, capabilities.signed_url)] {
        match block_on(store.url(&t, &blob.key(G), kind)) {
            Ok(url) => assert!(given && url.as_str().contains(&blob.key(G).to_string())),
            Err(error) => assert!(!given && matches!(error, StoreError::Unsupported { .. })),
        }
    }
}

pub(super) fn b11_an_empty_blob_is_a_blob(store: &impl BlobStore) {
    let t = fresh();
    let blob = store_text(store, &t, "");
    assert_eq!(block_on(store.head(&t, &blob.key(G))).unwrap().size, 0);
    assert_eq!(read(store, &t, &blob.key(G), None), "");
}
