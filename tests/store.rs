//! The storage contract, clause by clause, held against the store in memory.
//!
//! Each clause is a function over any store and takes a tenant of its own, so that a store that others use may be tested
//! as well. What only the store in memory does stands at the end.

use bytes::Bytes;
use fhir_devices::backend::{Discard, Memory};
use fhir_devices::store::*;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

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

fn component(id: &str) -> Key {
    Key::new(ResourceType::DeviceComponent, id).unwrap()
}

fn nothing() -> IndexEntries {
    IndexEntries::default()
}

fn source(of: &str) -> IndexEntries {
    let mut index = nothing();
    index.source = Some(of.into());
    index
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

fn ids(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|v| v.key.id().as_str()).collect()
}

/// Follows the pages to their end; `meanwhile` runs after each.
fn walk(
    store: &impl ResourceStore,
    tenant: &Tenant,
    search: &Search,
    mut meanwhile: impl FnMut(usize),
) -> Vec<Version> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    for page in 0.. {
        let found = block_on(store.search(tenant, &search)).unwrap();
        assert!(found.items.len() <= search.limit.get() as usize);
        all.extend(found.items);
        meanwhile(page);
        match found.next {
            Some(next) => search.after = Some(next),
            None => break,
        }
    }
    all
}

macro_rules! clauses {
    ($store:expr; $($name:ident)*) => {
        $(#[test] fn $name() { resources::$name(&$store); })*
    };
    (blobs $store:expr; $($name:ident)*) => {
        $(#[test] fn $name() { blobs::$name(&$store); })*
    };
}

clauses! { Memory::new();
    r1_a_refused_commit_writes_nothing
    r1_a_commit_gives_its_versions_in_order
    r1_a_commit_is_seen_as_a_whole
    r1_a_commit_that_is_too_long_or_names_a_key_twice_is_refused
    r2_every_precondition_holds_or_fails_as_written
    r2_of_many_writers_of_one_version_one_wins
    r3_versions_count_on_after_a_deletion
    r4_what_was_written_is_read_byte_for_byte
    r5_history_is_newest_first_and_keeps_deletions
    r6_a_deletion_needs_a_living_resource
    r6_a_deleted_resource_is_gone_and_not_found
    r7_each_criterion_finds_its_own_and_no_others
    r7_a_search_follows_the_newest_version
    r8_pages_are_stable_while_others_write
    r8_a_foreign_or_damaged_token_is_invalid
    r9_no_call_crosses_tenants
    r10_a_refusal_says_that_nothing_was_applied
    r11_a_write_id_is_given_back
    r12_the_largest_body_is_taken_and_a_larger_one_is_not
    r13_last_updated_never_falls
    r14_a_dropped_commit_leaves_old_or_new
}

clauses! { blobs Memory::new();
    b1_nothing_is_seen_before_the_commit
    b2_short_and_corrupt_bytes_never_become_visible
    b3_a_second_put_finds_the_first
    b3_writers_of_the_same_bytes_all_succeed
    b4_an_aborted_or_dropped_writer_leaves_no_trace
    b5_a_range_is_read_across_chunks
    b5_a_read_outlives_the_deletion_or_fails
    b6_a_deletion_may_be_repeated
    b7_equal_bytes_of_two_tenants_are_two_blobs
    b8_a_list_shows_every_blob_once
    b9_an_address_names_the_tenant_and_the_digest
    b11_an_empty_blob_is_a_blob
}

mod resources {
    use super::*;

    pub(super) fn r1_a_refused_commit_writes_nothing(store: &impl ResourceStore) {
        let t = fresh();
        put(store, &t, Write::create(device("b"), "1", source("x"))).unwrap();
        let writes = vec![
            Write::create(device("a"), "a", source("x")),
            Write::update(device("b"), v(7), "b", nothing()),
            Write::create(device("c"), "c", source("x")),
        ];
        let refused = block_on(store.commit(&t, writes)).unwrap_err();
        assert_eq!(refused.index, Some(1));
        assert!(matches!(refused.error, StoreError::Conflict { .. }));
        let search = Search::new(ResourceType::Device).and(Criterion::Source("x".into()));
        assert_eq!(ids(&walk(store, &t, &search, |_| ())), ["b"]);
        assert!(matches!(block_on(store.read(&t, &device("a"))), Err(StoreError::NotFound)));
        assert_eq!(block_on(store.read(&t, &device("b"))).unwrap().version, v(1));
    }

    pub(super) fn r1_a_commit_gives_its_versions_in_order(store: &impl ResourceStore) {
        let t = fresh();
        assert_eq!(block_on(store.commit(&t, vec![])).unwrap(), []);
        put(store, &t, Write::create(device("m"), "1", nothing())).unwrap();
        let keys = [device("z"), device("m"), component("a"), device("a")];
        let writes = keys.iter().map(|key| Write::put(key.clone(), key.to_string(), nothing())).collect();
        let made = block_on(store.commit(&t, writes)).unwrap();
        assert_eq!(made.iter().map(|v| v.key.clone()).collect::<Vec<_>>(), keys);
        assert_eq!(made.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [1, 2, 1, 1]);
        for version in made {
            assert_eq!(block_on(store.read(&t, &version.key)).unwrap(), version);
        }
    }

    pub(super) fn r1_a_commit_is_seen_as_a_whole(store: &impl ResourceStore) {
        let t = fresh();
        let keys: Vec<_> = (0..8).map(|n| device(&format!("d{n}"))).collect();
        let round = |n: u64| keys.iter().map(|k| Write::put(k.clone(), n.to_string(), nothing())).collect::<Vec<_>>();
        block_on(store.commit(&t, round(0))).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (1..200).for_each(|n| drop(block_on(store.commit(&t, round(n))).unwrap())));
            for _ in 0..200 {
                let seen = block_on(store.search(&t, &Search::new(ResourceType::Device))).unwrap().items;
                assert_eq!(seen.len(), 8);
                assert!(seen.iter().all(|v| v.body == seen[0].body), "a page shows half a commit");
            }
        });
    }

    pub(super) fn r1_a_commit_that_is_too_long_or_names_a_key_twice_is_refused(store: &impl ResourceStore) {
        let t = fresh();
        let max = store.capabilities().max_writes;
        let long = (0..=max).map(|n| Write::put(device(&n.to_string()), "1", nothing())).collect();
        let refused = block_on(store.commit(&t, long)).unwrap_err();
        assert!(matches!(refused.error, StoreError::Unsupported { .. }));
        let twice = vec![Write::put(device("a"), "1", nothing()), Write::put(device("a"), "2", nothing())];
        let refused = block_on(store.commit(&t, twice)).unwrap_err();
        assert_eq!(refused.index, Some(1));
        assert!(matches!(refused.error, StoreError::Invalid { .. }));
        assert_eq!(walk(store, &t, &Search::new(ResourceType::Device), |_| ()), []);
    }

    /// Writes under `when` to what never was, what is there in version 2, and what was deleted in version 2.
    fn states(store: &impl ResourceStore, when: Precondition) -> [Result<u64>; 3] {
        let t = fresh();
        put(store, &t, Write::create(device("living"), "1", nothing())).unwrap();
        put(store, &t, Write::update(device("living"), v(1), "2", nothing())).unwrap();
        put(store, &t, Write::create(device("deleted"), "1", nothing())).unwrap();
        put(store, &t, Write::delete(device("deleted"), Precondition::Exists)).unwrap();
        ["never", "living", "deleted"].map(|id| {
            let mut write = Write::put(device(id), "new", nothing());
            write.when = when;
            put(store, &t, write).map(|v| v.version.get())
        })
    }

    pub(super) fn r2_every_precondition_holds_or_fails_as_written(store: &impl ResourceStore) {
        use StoreError::{AlreadyExists, Conflict, Gone, NotFound};
        let told = |current: Option<VersionId>, is: u64| current.is_none_or(|current| current == v(is));
        let absent = states(store, Precondition::Absent);
        assert!(matches!(absent, [Ok(1), Err(AlreadyExists { current }), Ok(3)] if told(current, 2)));
        let version = states(store, Precondition::Version(v(2)));
        assert!(matches!(version, [Err(Conflict { current: None }), Ok(3), Err(Conflict { .. })]));
        let stale = states(store, Precondition::Version(v(1)));
        assert!(
            matches!(stale, [Err(Conflict { current: None }), Err(Conflict { current }), Err(Conflict { .. })] if told(current, 2))
        );
        let exists = states(store, Precondition::Exists);
        assert!(matches!(exists, [Err(NotFound), Ok(3), Err(Gone { at })] if at == v(2)));
        assert!(matches!(states(store, Precondition::None), [Ok(1), Ok(3), Ok(3)]));
    }

    pub(super) fn r2_of_many_writers_of_one_version_one_wins(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("counter"));
        put(store, &t, Write::create(key.clone(), "0", nothing())).unwrap();
        let (threads, rounds) = (8, 50);
        let add_one = || {
            loop {
                let seen = block_on(store.read(&t, &key)).unwrap();
                let n: u64 = std::str::from_utf8(&seen.body.unwrap()).unwrap().parse().unwrap();
                match put(store, &t, Write::update(key.clone(), seen.version, (n + 1).to_string(), nothing())) {
                    Ok(made) => return assert_eq!(made.version, seen.version.next()),
                    Err(error) => assert!(matches!(error, StoreError::Conflict { .. })),
                }
            }
        };
        thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(|| (0..rounds).for_each(|_| add_one()))));
        });
        let last = block_on(store.read(&t, &key)).unwrap();
        assert_eq!(last.body.unwrap(), (threads * rounds).to_string());
        assert_eq!(last.version, v(threads * rounds + 1));
    }

    pub(super) fn r3_versions_count_on_after_a_deletion(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("phoenix"));
        let made = [
            put(store, &t, Write::create(key.clone(), "1", nothing())),
            put(store, &t, Write::delete(key.clone(), Precondition::Version(v(1)))),
            put(store, &t, Write::create(key.clone(), "3", nothing())),
            put(store, &t, Write::delete(key.clone(), Precondition::None)),
            put(store, &t, Write::put(key, "5", nothing())),
        ];
        assert_eq!(made.map(|v| v.unwrap().version.get()), [1, 2, 3, 4, 5]);
    }

    pub(super) fn r4_what_was_written_is_read_byte_for_byte(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("exact"));
        let body = Bytes::from_static(b"{ \"a\": 1.50,\n\t\"b\": \"\xf0\x9f\xa9\xba\" }");
        let made = put(store, &t, Write::create(key.clone(), body.clone(), nothing())).unwrap();
        assert_eq!(made.body.as_ref(), Some(&body));
        assert_eq!(block_on(store.read(&t, &key)).unwrap(), made);
        assert_eq!(block_on(store.vread(&t, &key, v(1))).unwrap(), made);
        assert_eq!(block_on(store.history(&t, &key, limit(5), None)).unwrap().items, [made.clone()]);
        assert_eq!(block_on(store.search(&t, &Search::new(ResourceType::Device))).unwrap().items, [made]);
        assert!(matches!(block_on(store.vread(&t, &key, v(2))), Err(StoreError::NotFound)));
    }

    pub(super) fn r5_history_is_newest_first_and_keeps_deletions(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("old"));
        put(store, &t, Write::create(key.clone(), "1", nothing())).unwrap();
        put(store, &t, Write::update(key.clone(), v(1), "2", nothing())).unwrap();
        put(store, &t, Write::delete(key.clone(), Precondition::Exists)).unwrap();
        put(store, &t, Write::create(key.clone(), "4", nothing())).unwrap();
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = block_on(store.history(&t, &key, limit(3), after.as_ref())).unwrap();
            seen.extend(page.items);
            // A write between two pages moves nothing.
            put(store, &t, Write::put(key.clone(), "later", nothing())).unwrap();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let bodies: Vec<_> = seen.iter().map(|v| v.body.as_deref()).collect();
        assert_eq!(bodies, [Some(&b"4"[..]), None, Some(b"2"), Some(b"1")]);
        assert_eq!(seen.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert!(block_on(store.vread(&t, &key, v(3))).unwrap().is_deleted());
        let never = block_on(store.history(&t, &device("never"), limit(3), None));
        assert!(matches!(never, Err(StoreError::NotFound)));
    }

    pub(super) fn r6_a_deletion_needs_a_living_resource(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("mortal"));
        for when in [Precondition::None, Precondition::Exists] {
            assert!(matches!(put(store, &t, Write::delete(key.clone(), when)), Err(StoreError::NotFound)));
        }
        put(store, &t, Write::create(key.clone(), "1", nothing())).unwrap();
        let absurd = put(store, &t, Write::delete(key.clone(), Precondition::Absent));
        assert!(matches!(absurd, Err(StoreError::Invalid { .. })));
        let stale = put(store, &t, Write::delete(key.clone(), Precondition::Version(v(9))));
        assert!(matches!(stale, Err(StoreError::Conflict { .. })));
        let deleted = put(store, &t, Write::delete(key.clone(), Precondition::None)).unwrap();
        assert_eq!((deleted.version, deleted.is_deleted()), (v(2), true));
        let again = put(store, &t, Write::delete(key.clone(), Precondition::None));
        assert!(matches!(again, Err(StoreError::Gone { at }) if at == v(2)));
        assert_eq!(block_on(store.history(&t, &key, limit(9), None)).unwrap().items.len(), 2);
    }

    pub(super) fn r6_a_deleted_resource_is_gone_and_not_found(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("gone"));
        put(store, &t, Write::create(key.clone(), "1", source("s"))).unwrap();
        put(store, &t, Write::delete(key.clone(), Precondition::Exists)).unwrap();
        assert!(matches!(block_on(store.read(&t, &key)), Err(StoreError::Gone { at }) if at == v(2)));
        for criterion in [None, Some(Criterion::Id("gone".into())), Some(Criterion::Source("s".into()))] {
            let mut search = Search::new(ResourceType::Device);
            search.all_of.extend(criterion);
            assert_eq!(walk(store, &t, &search, |_| ()), []);
        }
    }

    pub(super) fn r7_each_criterion_finds_its_own_and_no_others(store: &impl ResourceStore) {
        let t = fresh();
        let write = |id: &str, identifier: &[Token], kind: &[Token], source: &str, parent: Option<&str>| {
            let mut index = nothing();
            index.identifier = identifier.to_vec();
            index.kind = kind.to_vec();
            index.source = Some(source.into());
            index.parent = parent.map(Into::into);
            put(store, &t, Write::create(component(id), "1", index)).unwrap();
        };
        let (one, other, bare) = (Token::new("urn:a", "7"), Token::new("urn:b", "7"), Token::bare("7"));
        let mds = Token::new("mdc", "69641");
        write("a", &[one.clone()], &[mds.clone()], "Device/1", None);
        write("b", &[other.clone()], &[], "Device/1", Some("DeviceComponent/a"));
        write("c", &[bare, Token::new("urn:b", "9")], &[mds], "Device/2", Some("DeviceComponent/a"));
        put(store, &t, Write::create(device("a"), "1", source("Device/1"))).unwrap();

        let identifier = |text: &str| Criterion::Identifier(text.parse().unwrap());
        let find = |criteria: &[Criterion]| {
            let mut search = Search::new(ResourceType::DeviceComponent).limit(1);
            search.all_of = criteria.to_vec();
            ids(&walk(store, &t, &search, |_| ())).concat()
        };
        assert_eq!(find(&[]), "abc");
        assert_eq!(find(&[identifier("7")]), "abc");
        assert_eq!(find(&[identifier("urn:a|7")]), "a");
        assert_eq!(find(&[identifier("|7")]), "c");
        assert_eq!(find(&[identifier("urn:b|")]), "bc");
        assert_eq!(find(&[identifier("urn:b|8")]), "");
        assert_eq!(find(&[identifier("urn:A|7")]), "");
        assert_eq!(find(&[Criterion::Kind("mdc|69641".parse().unwrap())]), "ac");
        assert_eq!(find(&[Criterion::Source("Device/1".into())]), "ab");
        assert_eq!(find(&[Criterion::Parent("DeviceComponent/a".into())]), "bc");
        assert_eq!(find(&[Criterion::Id("b".into())]), "b");
        assert_eq!(find(&[Criterion::Source("Device/1".into()), identifier("7")]), "ab");
        assert_eq!(find(&[Criterion::Source("Device/1".into()), Criterion::Id("c".into())]), "");
        assert_eq!(find(&[Criterion::Parent("DeviceComponent/a".into()), identifier("urn:b|")]), "bc");
    }

    pub(super) fn r7_a_search_follows_the_newest_version(store: &impl ResourceStore) {
        let t = fresh();
        let find = |of: &str| {
            let search = Search::new(ResourceType::DeviceComponent).and(Criterion::Source(of.into()));
            ids(&walk(store, &t, &search, |_| ())).concat()
        };
        put(store, &t, Write::create(component("a"), "1", source("old"))).unwrap();
        put(store, &t, Write::create(component("b"), "1", source("old"))).unwrap();
        put(store, &t, Write::update(component("a"), v(1), "2", source("new"))).unwrap();
        assert_eq!((find("old").as_str(), find("new").as_str()), ("b", "a"));
        put(store, &t, Write::delete(component("a"), Precondition::Exists)).unwrap();
        put(store, &t, Write::create(component("a"), "4", source("old"))).unwrap();
        assert_eq!((find("old").as_str(), find("new").as_str()), ("ab", ""));
    }

    pub(super) fn r8_pages_are_stable_while_others_write(store: &impl ResourceStore) {
        let t = fresh();
        // Those of a hundred that stay are seen once each; one goes and one comes after every page.
        for n in 0..100 {
            put(store, &t, Write::create(component(&format!("{n:03}-stays")), "1", source("s"))).unwrap();
            put(store, &t, Write::create(component(&format!("{n:03}-goes")), "1", source("s"))).unwrap();
        }
        let search = Search::new(ResourceType::DeviceComponent).and(Criterion::Source("s".into())).limit(7);
        let seen = walk(store, &t, &search, |page| {
            for at in [page, 99 - page] {
                let gone = Write::delete(component(&format!("{at:03}-goes")), Precondition::None);
                drop(put(store, &t, gone));
                let come = Write::put(component(&format!("{at:03}-comes")), "1", source("s"));
                drop(put(store, &t, come));
            }
        });
        let seen = ids(&seen);
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "out of order, or seen twice");
        assert_eq!(seen.iter().filter(|id| id.ends_with("stays")).count(), 100);
    }

    pub(super) fn r8_a_foreign_or_damaged_token_is_invalid(store: &impl ResourceStore) {
        let (t, other) = (fresh(), fresh());
        for tenant in [&t, &other] {
            for id in ["a", "b", "c"] {
                put(store, tenant, Write::put(device(id), "1", nothing())).unwrap();
                put(store, tenant, Write::put(device(id), "2", nothing())).unwrap();
            }
        }
        let search = Search::new(ResourceType::Device).limit(1);
        let token = block_on(store.search(&t, &search)).unwrap().next.unwrap();
        assert!(token.as_str().len() <= 1024);
        assert_eq!(token.as_str().parse::<PageToken>().unwrap(), token);
        let invalid = |tenant: &Tenant, search: Search| {
            assert!(matches!(block_on(store.search(tenant, &search)), Err(StoreError::Invalid { .. })), "{search:?}");
        };
        // The limit may change between two pages; nothing else may.
        assert_eq!(block_on(store.search(&t, &search.clone().limit(9).after(token.clone()))).unwrap().items.len(), 2);
        invalid(&other, search.clone().after(token.clone()));
        invalid(&fresh(), search.clone().after(token.clone()));
        invalid(&t, search.clone().and(Criterion::Id("b".into())).after(token.clone()));
        invalid(&t, Search::new(ResourceType::DeviceComponent).after(token.clone()));
        for at in 0..token.as_str().len() {
            let mut damaged = token.as_str().as_bytes().to_vec();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            invalid(&t, search.clone().after(String::from_utf8(damaged).unwrap().parse().unwrap()));
        }
        invalid(&t, search.after("A".parse().unwrap()));
        let history =
            |tenant, id, after: &PageToken| block_on(store.history(tenant, &device(id), limit(1), Some(after)));
        let past = block_on(store.history(&t, &device("a"), limit(1), None)).unwrap().next.unwrap();
        assert_eq!(history(&t, "a", &past).unwrap().items[0].version, v(1));
        assert!(matches!(history(&other, "a", &past), Err(StoreError::Invalid { .. })));
        assert!(matches!(history(&t, "b", &past), Err(StoreError::Invalid { .. })));
        assert!(matches!(history(&t, "a", &token), Err(StoreError::Invalid { .. })));
    }

    pub(super) fn r9_no_call_crosses_tenants(store: &impl ResourceStore) {
        let (ours, theirs) = (fresh(), fresh());
        let key = device("shared-name");
        put(store, &theirs, Write::create(key.clone(), "theirs", source("s"))).unwrap();
        put(store, &theirs, Write::update(key.clone(), v(1), "theirs", source("s"))).unwrap();
        // First as a tenant that has nothing, then as one that has something.
        for _ in 0..2 {
            assert!(matches!(block_on(store.read(&ours, &key)), Err(StoreError::NotFound)));
            assert!(matches!(block_on(store.vread(&ours, &key, v(1))), Err(StoreError::NotFound)));
            assert!(matches!(block_on(store.history(&ours, &key, limit(9), None)), Err(StoreError::NotFound)));
            let search = Search::new(ResourceType::Device).and(Criterion::Source("s".into()));
            assert_eq!(walk(store, &ours, &search, |_| ()), []);
            let delete = put(store, &ours, Write::delete(key.clone(), Precondition::None));
            assert!(matches!(delete, Err(StoreError::NotFound)));
            let update = put(store, &ours, Write::update(key.clone(), v(2), "ours", nothing()));
            assert!(matches!(update, Err(StoreError::Conflict { current: None })));
            put(store, &ours, Write::put(device("other"), "ours", nothing())).unwrap();
        }
        let made = put(store, &ours, Write::create(key.clone(), "ours", nothing())).unwrap();
        assert_eq!(made.version, v(1));
        put(store, &ours, Write::delete(key.clone(), Precondition::Exists)).unwrap();
        let untouched = block_on(store.read(&theirs, &key)).unwrap();
        assert_eq!((untouched.version, untouched.body.unwrap()), (v(2), Bytes::from("theirs")));
    }

    pub(super) fn r10_a_refusal_says_that_nothing_was_applied(store: &impl ResourceStore) {
        for when in [Precondition::Absent, Precondition::Exists, Precondition::Version(v(1))] {
            for refused in states(store, when).into_iter().filter_map(Result::err) {
                assert_eq!(refused.applied(), Applied::No);
                assert!(!refused.is_transient());
            }
        }
    }

    pub(super) fn r11_a_write_id_is_given_back(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("marked"));
        let id = WriteId(u128::MAX - 5);
        let write = Write::create(key.clone(), "1", nothing()).with_id(id);
        put(store, &t, write.clone()).unwrap();
        assert!(matches!(put(store, &t, write), Err(StoreError::AlreadyExists { .. })));
        assert_eq!(block_on(store.read(&t, &key)).unwrap().write_id, Some(id));
        put(store, &t, Write::delete(key.clone(), Precondition::Exists).with_id(WriteId(2))).unwrap();
        let history = block_on(store.history(&t, &key, limit(9), None)).unwrap().items;
        assert_eq!(history.iter().map(|v| v.write_id).collect::<Vec<_>>(), [Some(WriteId(2)), Some(id)]);
    }

    pub(super) fn r12_the_largest_body_is_taken_and_a_larger_one_is_not(store: &impl ResourceStore) {
        let (t, max) = (fresh(), store.capabilities().max_body);
        let body = |size: u64| vec![b' '; usize::try_from(size).unwrap()];
        put(store, &t, Write::create(device("empty"), "", nothing())).unwrap();
        assert_eq!(block_on(store.read(&t, &device("empty"))).unwrap().body, Some(Bytes::new()));
        put(store, &t, Write::create(device("largest"), body(max), nothing())).unwrap();
        for when in [Precondition::Absent, Precondition::Exists, Precondition::Version(v(1)), Precondition::None] {
            let mut write = Write::put(device("largest"), body(max + 1), nothing());
            write.when = when;
            assert!(matches!(put(store, &t, write), Err(StoreError::TooLarge { limit }) if limit == max));
        }
        assert_eq!(block_on(store.read(&t, &device("largest"))).unwrap().version, v(1));
    }

    pub(super) fn r13_last_updated_never_falls(store: &impl ResourceStore) {
        let (t, key) = (fresh(), device("timed"));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..50).for_each(|_| drop(put(store, &t, Write::put(key.clone(), "1", nothing())).unwrap()));
                });
            }
        });
        let newest_first = block_on(store.history(&t, &key, limit(500), None)).unwrap().items;
        assert_eq!(newest_first.len(), 200);
        assert!(newest_first.windows(2).all(|pair| pair[0].last_updated >= pair[1].last_updated));
    }

    pub(super) fn r14_a_dropped_commit_leaves_old_or_new(store: &impl ResourceStore) {
        let t = fresh();
        let keys = ["a", "b", "c"].map(device);
        for polls in 0..8 {
            let writes = keys.iter().map(|key| Write::put(key.clone(), polls.to_string(), nothing())).collect();
            let mut commit = store.commit(&t, writes);
            for _ in 0..polls {
                if commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
            drop(commit);
            let seen: Vec<_> = keys.iter().map(|key| block_on(store.read(&t, key)).ok().map(|v| v.body)).collect();
            assert!(seen.iter().all(|body| *body == seen[0]), "torn after {polls} polls");
        }
        let writes = keys.iter().map(|key| Write::put(key.clone(), "last", nothing())).collect();
        assert_eq!(block_on(store.commit(&t, writes)).unwrap().len(), 3);
    }
}

mod blobs {
    use super::*;

    fn write(store: &impl BlobStore, tenant: &Tenant, chunks: &[&'static str]) -> Box<dyn BlobWriter> {
        let mut writer = block_on(store.begin(tenant)).unwrap();
        chunks.iter().for_each(|chunk| block_on(writer.write(Bytes::from_static(chunk.as_bytes()))).unwrap());
        writer
    }

    pub(super) fn store_text(store: &impl BlobStore, tenant: &Tenant, text: &'static str) -> BlobRef {
        let blob = BlobRef::of(text.as_bytes());
        block_on(write(store, tenant, &[text]).commit(blob)).unwrap();
        blob
    }

    fn list(store: &impl BlobStore, tenant: &Tenant) -> Vec<BlobRef> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = block_on(store.list(tenant, limit(2), after.as_ref())).unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    fn absent(store: &impl BlobStore, tenant: &Tenant, digest: &Sha256) -> bool {
        matches!(block_on(store.head(tenant, digest)), Err(StoreError::NotFound))
            && matches!(block_on(store.get(tenant, digest, None)), Err(StoreError::NotFound))
            && list(store, tenant).iter().all(|blob| blob.digest != *digest)
    }

    fn read(store: &impl BlobStore, tenant: &Tenant, digest: &Sha256, range: Option<std::ops::Range<u64>>) -> String {
        let read = block_on(store.get(tenant, digest, range)).unwrap();
        let length = read.range.end - read.range.start;
        let bytes = block_on(stream::collect(read.body, length)).unwrap();
        assert_eq!(bytes.len() as u64, length);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub(super) fn b1_nothing_is_seen_before_the_commit(store: &impl BlobStore) {
        let t = fresh();
        let blob = BlobRef::of(b"firmware");
        let writer = write(store, &t, &["firm", "ware"]);
        assert!(absent(store, &t, &blob.digest));
        assert_eq!(block_on(writer.commit(blob)).unwrap(), PutOutcome::Stored);
        assert_eq!(block_on(store.head(&t, &blob.digest)).unwrap(), blob);
        assert_eq!(read(store, &t, &blob.digest, None), "firmware");
    }

    pub(super) fn b2_short_and_corrupt_bytes_never_become_visible(store: &impl BlobStore) {
        let t = fresh();
        let blob = BlobRef::of(b"firmware");
        let mut wrong = vec!["firm", "firmware and more", ""];
        wrong.extend(store.capabilities().verifies_digest.then_some("firmwarE"));
        for bytes in wrong {
            let refused = block_on(write(store, &t, &[bytes]).commit(blob));
            assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{bytes}");
            assert!(absent(store, &t, &blob.digest), "{bytes}");
        }
        assert_eq!(list(store, &t), []);
    }

    pub(super) fn b3_a_second_put_finds_the_first(store: &impl BlobStore) {
        let t = fresh();
        let blob = store_text(store, &t, "firmware");
        let again = block_on(write(store, &t, &["fir", "mware"]).commit(blob)).unwrap();
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
                    let outcome = block_on(write(store, &t, &["firmware"]).commit(blob)).unwrap();
                    outcomes.lock().unwrap().push(outcome);
                });
            }
        });
        assert_eq!(outcomes.into_inner().unwrap().len(), 8);
        assert_eq!(read(store, &t, &blob.digest, None), "firmware");
    }

    pub(super) fn b4_an_aborted_or_dropped_writer_leaves_no_trace(store: &impl BlobStore) {
        let t = fresh();
        block_on(write(store, &t, &["firmware"]).abort()).unwrap();
        drop(write(store, &t, &["firmware"]));
        drop(write(store, &t, &["firmware"]).commit(BlobRef::of(b"other")));
        assert!(absent(store, &t, &Sha256::of(b"firmware")));
        assert_eq!(list(store, &t), []);
    }

    pub(super) fn b5_a_range_is_read_across_chunks(store: &impl BlobStore) {
        let t = fresh();
        let text = "0123456789";
        let blob = BlobRef::of(text.as_bytes());
        block_on(write(store, &t, &["012", "", "3", "456789"]).commit(blob)).unwrap();
        for start in 0..10 {
            for end in start + 1..=10 {
                let wanted = &text[start as usize..end as usize];
                assert_eq!(read(store, &t, &blob.digest, Some(start..end)), wanted);
            }
        }
        assert_eq!(read(store, &t, &blob.digest, Some(8..u64::MAX)), "89");
        let get = |range| block_on(store.get(&t, &blob.digest, Some(range)));
        assert!(matches!(get(10..11), Err(StoreError::OutOfRange { size: 10 })));
        assert!(matches!(get(3..3), Err(StoreError::Invalid { .. })));
    }

    pub(super) fn b5_a_read_outlives_the_deletion_or_fails(store: &impl BlobStore) {
        let t = fresh();
        let blob = BlobRef::of(b"firmware");
        block_on(write(store, &t, &["firm", "ware"]).commit(blob)).unwrap();
        let mut body = block_on(store.get(&t, &blob.digest, None)).unwrap().body;
        let mut seen = block_on(stream::next(&mut body)).unwrap().unwrap().to_vec();
        block_on(store.delete(&t, &blob.digest)).unwrap();
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
            block_on(store.delete(&t, &blob.digest)).unwrap();
            assert!(absent(store, &t, &blob.digest));
        }
        store_text(store, &t, "firmware");
        assert_eq!(read(store, &t, &blob.digest, None), "firmware");
    }

    pub(super) fn b7_equal_bytes_of_two_tenants_are_two_blobs(store: &impl BlobStore) {
        let (ours, theirs) = (fresh(), fresh());
        let blob = store_text(store, &theirs, "firmware");
        assert!(absent(store, &ours, &blob.digest));
        block_on(store.delete(&ours, &blob.digest)).unwrap();
        // One does not learn from the outcome that the other has them.
        let outcome = block_on(write(store, &ours, &["firmware"]).commit(blob)).unwrap();
        assert_eq!(outcome, PutOutcome::Stored);
        block_on(store.delete(&ours, &blob.digest)).unwrap();
        assert!(absent(store, &ours, &blob.digest));
        assert_eq!(read(store, &theirs, &blob.digest, None), "firmware");
        if store.capabilities().public_url {
            let url = block_on(store.url(&ours, &blob.digest, UrlKind::Public));
            assert!(url.map_or(true, |url| !url.as_str().contains(theirs.as_str())));
        }
    }

    pub(super) fn b8_a_list_shows_every_blob_once(store: &impl BlobStore) {
        let (t, other) = (fresh(), fresh());
        let texts = ["a", "b", "c", "d", "e"];
        let mut stored = texts.map(|text| store_text(store, &t, text));
        texts.iter().for_each(|text| drop(store_text(store, &other, text)));
        stored.sort();
        assert_eq!(list(store, &t), stored);
        let token = block_on(store.list(&t, limit(2), None)).unwrap().next.unwrap();
        block_on(store.delete(&t, &stored[1].digest)).unwrap();
        let rest = block_on(store.list(&t, limit(9), Some(&token))).unwrap();
        assert_eq!((rest.items.as_slice(), rest.next), (&stored[2..], None));
        let foreign = block_on(store.list(&other, limit(2), Some(&token)));
        assert!(matches!(foreign, Err(StoreError::Invalid { .. })));
    }

    pub(super) fn b9_an_address_names_the_tenant_and_the_digest(store: &impl BlobStore) {
        let t = fresh();
        let blob = store_text(store, &t, "firmware");
        let capabilities = store.capabilities();
        let signed = UrlKind::Signed { valid_for: Duration::from_secs(60) };
        for (kind, given) in [(UrlKind::Public, capabilities.public_url), (signed, capabilities.signed_url)] {
            match block_on(store.url(&t, &blob.digest, kind)) {
                Ok(url) => assert!(given && url.as_str().contains(&blob.digest.to_string())),
                Err(error) => assert!(!given && matches!(error, StoreError::Unsupported { .. })),
            }
        }
    }

    pub(super) fn b11_an_empty_blob_is_a_blob(store: &impl BlobStore) {
        let t = fresh();
        let blob = store_text(store, &t, "");
        assert_eq!(block_on(store.head(&t, &blob.digest)).unwrap().size, 0);
        assert_eq!(read(store, &t, &blob.digest, None), "");
    }
}

// ------------------------------------------------------------------------------------------ the store in memory

#[test]
fn a_clock_that_falls_does_not_make_a_version_older() {
    let hours = AtomicU64::new(10);
    let clock = move || {
        let hour = hours.fetch_sub(1, Ordering::Relaxed);
        time::OffsetDateTime::from_unix_timestamp(hour as i64 * 3600).unwrap()
    };
    let (store, t) = (Memory::new().with_clock(clock), fresh());
    for _ in 0..5 {
        put(&store, &t, Write::put(device("a"), "1", nothing())).unwrap();
    }
    let history = block_on(store.history(&t, &device("a"), limit(9), None)).unwrap().items;
    assert!(history.iter().all(|v| v.last_updated.unix_timestamp() == 36_000));
    // Another resource has a time of its own.
    let other = put(&store, &t, Write::put(device("b"), "1", nothing())).unwrap();
    assert_eq!(other.last_updated.unix_timestamp(), 18_000);
}

#[test]
fn only_the_newest_versions_are_kept_when_asked() {
    let (store, t) = (Memory::new().with_max_versions(3.try_into().unwrap()), fresh());
    for n in 1..=5 {
        put(&store, &t, Write::put(device("a"), n.to_string(), nothing())).unwrap();
    }
    let history = block_on(store.history(&t, &device("a"), limit(9), None)).unwrap().items;
    assert_eq!(history.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [5, 4, 3]);
    assert!(matches!(block_on(store.vread(&t, &device("a"), v(2))), Err(StoreError::NotFound)));
    assert_eq!(block_on(store.vread(&t, &device("a"), v(4))).unwrap().body.unwrap(), "4");
}

#[test]
fn a_long_search_goes_on_behind_pages_without_a_hit() {
    let (store, t) = (Memory::new(), fresh());
    for chunk in (0..12_000).collect::<Vec<_>>().chunks(1_000) {
        let write = |n: &i32| {
            let mut index = nothing();
            index.identifier.push(Token::new(if *n == 11_999 { "rare" } else { "common" }, n.to_string()));
            Write::create(device(&format!("{n:05}")), "1", index)
        };
        block_on(store.commit(&t, chunk.iter().map(write).collect())).unwrap();
    }
    let search = Search::new(ResourceType::Device).and(Criterion::Identifier("rare|".parse().unwrap()));
    let first = block_on(store.search(&t, &search)).unwrap();
    assert!(first.items.is_empty() && first.next.is_some());
    assert_eq!(ids(&walk(&store, &t, &search, |_| ())), ["11999"]);
}

#[test]
fn a_blob_that_is_too_large_is_refused_at_the_write_and_at_the_commit() {
    let (store, t) = (Memory::new().with_max_blob(8), fresh());
    let largest = blobs::store_text(&store, &t, "firmware");
    assert_eq!(largest.size, 8);
    let mut writer = block_on(store.begin(&t)).unwrap();
    block_on(writer.write("firmware".into())).unwrap();
    assert!(matches!(block_on(writer.write("!".into())), Err(StoreError::TooLarge { limit: 8 })));
    assert!(matches!(block_on(writer.commit(largest)), Err(StoreError::TooLarge { limit: 8 })));
}

#[test]
fn the_address_of_a_blob_lies_below_the_base() {
    let t: Tenant = "st-mary".parse().unwrap();
    let digest = Sha256::of(b"firmware");
    let path = format!("/st-mary/sha256/{digest}");
    for (base, wanted) in [
        (None, format!("memory://{path}")),
        (Some("https://cdn.example/blobs"), format!("https://cdn.example/blobs{path}")),
        (Some("https://cdn.example/blobs/"), format!("https://cdn.example/blobs{path}")),
    ] {
        let store = base.map_or_else(Memory::new, |base| Memory::new().with_base_url(base.parse().unwrap()));
        assert!(matches!(block_on(store.url(&t, &digest, UrlKind::Public)), Err(StoreError::NotFound)));
        blobs::store_text(&store, &t, "firmware");
        assert_eq!(block_on(store.url(&t, &digest, UrlKind::Public)).unwrap().as_str(), wanted);
    }
}

#[test]
fn a_put_whose_stream_fails_stores_nothing() {
    let store = Arc::new(Memory::new());
    let handle = TenantBlobs::new(store, fresh());
    let cut = || StoreError::Unavailable { retry_after: None, source: Some("connection reset".into()) };
    let body = stream::try_chunks([Ok("firm".into()), Err(cut())]);
    assert!(matches!(block_on(handle.put(body)), Err(StoreError::Unavailable { .. })));
    let other = BlobRef::of(b"software");
    let refused = block_on(handle.put_expecting(other, stream::once("firmware"))).unwrap_err();
    let wanted =
        format!("verification failed: the digest is `{}`, and `{}` is wanted", Sha256::of(b"firmware"), other.digest);
    assert_eq!(refused.to_string(), wanted);
    assert_eq!(block_on(handle.list(limit(9), None)).unwrap().items, []);
}

#[test]
fn a_discarded_blob_is_verified_and_counted_but_not_kept() {
    let discard = Arc::new(Discard::new());
    let handle = TenantBlobs::new(Arc::clone(&discard), fresh());
    let (blob, outcome) = block_on(handle.put(stream::chunks(["firm".into(), "ware".into()]))).unwrap();
    assert_eq!((blob, outcome), (BlobRef::of(b"firmware"), PutOutcome::Stored));
    assert!(block_on(handle.put_expecting(blob, stream::once("short"))).is_err());
    assert!(matches!(block_on(handle.get(&blob.digest, None)), Err(StoreError::NotFound)));
    assert_eq!((discard.blobs(), discard.bytes()), (1, 8));
}

// ------------------------------------------------------------------------------------------ lost answers

/// Loses the answers of its first commits: each is applied, or not, as the list says.
struct Forgetful {
    below: Memory,
    answers: Mutex<Vec<bool>>,
}

impl ResourceStore for Forgetful {
    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&self.below)
    }

    fn read<'a>(&'a self, t: &'a Tenant, k: &'a Key) -> BoxFuture<'a, Result<Version>> {
        self.below.read(t, k)
    }

    fn vread<'a>(&'a self, t: &'a Tenant, k: &'a Key, v: VersionId) -> BoxFuture<'a, Result<Version>> {
        self.below.vread(t, k, v)
    }

    fn commit<'a>(&'a self, t: &'a Tenant, w: Vec<Write>) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        let applied = self.answers.lock().unwrap().pop();
        Box::pin(async move {
            match applied {
                None => return self.below.commit(t, w).await,
                Some(true) => drop(self.below.commit(t, w).await),
                Some(false) => {}
            }
            Err(StoreError::Indeterminate { source: None }.into())
        })
    }

    fn search<'a>(&'a self, t: &'a Tenant, s: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        self.below.search(t, s)
    }

    fn history<'a>(
        &'a self,
        t: &'a Tenant,
        k: &'a Key,
        l: NonZeroU32,
        a: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        self.below.history(t, k, l, a)
    }
}

fn forgetful(answers: &[bool]) -> Tenanted<Forgetful> {
    let answers = Mutex::new(answers.iter().rev().copied().collect());
    Tenanted::new(Arc::new(Forgetful { below: Memory::new(), answers }), fresh())
}

#[test]
fn a_write_whose_answer_is_lost_is_found_again() {
    let store = forgetful(&[true, true]);
    let create = Write::create(device("a"), "1", nothing()).with_id(WriteId(1));
    assert_eq!(block_on(store.write_resolved(create.clone())).unwrap().version, v(1));
    let update = Write::update(device("a"), v(1), "2", nothing()).with_id(WriteId(2));
    assert_eq!(block_on(store.write_resolved(update.clone())).unwrap().version, v(2));
    // Repeated after a restart, with other writes in between.
    block_on(store.write(Write::put(device("a"), "3", nothing()))).unwrap();
    assert_eq!(block_on(store.write_resolved(create)).unwrap().version, v(1));
    assert_eq!(block_on(store.write_resolved(update)).unwrap().version, v(2));
    let delete = Write::delete(device("a"), Precondition::Exists).with_id(WriteId(3));
    assert_eq!(block_on(store.write_resolved(delete.clone())).unwrap().version, v(4));
    assert_eq!(block_on(store.write_resolved(delete)).unwrap().version, v(4));
}

#[test]
fn a_write_that_was_not_applied_is_sent_again_if_that_is_safe() {
    let store = forgetful(&[false, false]);
    let create = Write::create(device("a"), "1", nothing()).with_id(WriteId(1));
    assert_eq!(block_on(store.write_resolved(create)).unwrap().version, v(1));

    let store = forgetful(&[false]);
    let blind = Write::put(device("a"), "1", nothing()).with_id(WriteId(1));
    assert!(matches!(block_on(store.write_resolved(blind)), Err(StoreError::Indeterminate { .. })));
    assert!(matches!(block_on(store.read(&device("a"))), Err(StoreError::NotFound)));

    let store = forgetful(&[false, false, false]);
    let create = Write::create(device("a"), "1", nothing()).with_id(WriteId(1));
    assert!(matches!(block_on(store.write_resolved(create)), Err(StoreError::Indeterminate { .. })));
}

#[test]
fn a_write_that_another_has_overtaken_is_a_conflict() {
    let store = forgetful(&[]);
    block_on(store.create(device("a"), "1", nothing())).unwrap();
    block_on(store.update(device("a"), v(1), "2", nothing())).unwrap();
    let late = Write::update(device("a"), v(1), "x", nothing());
    assert!(matches!(block_on(store.write_resolved(late.clone())), Err(StoreError::Invalid { .. })));
    let late = late.with_id(WriteId(9));
    assert!(matches!(block_on(store.write_resolved(late)), Err(StoreError::Conflict { .. })));
}

#[test]
fn a_handle_collects_the_pages_of_a_search() {
    let store = Tenanted::<dyn ResourceStore>::new(Arc::new(Arc::new(Memory::new())), fresh());
    for n in 0..23 {
        block_on(store.create(component(&format!("{n:02}")), "1", source("s"))).unwrap();
    }
    let search = Search::new(ResourceType::DeviceComponent).and(Criterion::Source("s".into())).limit(5);
    assert_eq!(block_on(store.all(search)).unwrap().len(), 23);
}

// ------------------------------------------------------------------------------------------ texts

#[test]
fn a_text_form_is_checked() {
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
fn a_text_form_is_the_json_form() {
    let tenant: Tenant = serde_json::from_str("\"st-mary\"").unwrap();
    assert_eq!(serde_json::to_string(&tenant).unwrap(), "\"st-mary\"");
    assert!(serde_json::from_str::<Tenant>("\"St Mary\"").is_err());
    assert_eq!(serde_json::to_string(&device("a")).unwrap(), "\"Device/a\"");
    assert_eq!(serde_json::from_str::<VersionId>("\"3\"").unwrap(), v(3));
    let digest = serde_json::to_string(&Sha256([0xab; 32])).unwrap();
    assert_eq!(digest, format!("\"{}\"", "ab".repeat(32)));
}
