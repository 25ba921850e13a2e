//! The clauses of `ResourceStore`.

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
    let search = Search::new(ResourceType::Device).and(Criterion::source("x"));
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
    assert_eq!(block_on(store.history(&t, &key, limit(5), None)).unwrap().items, std::slice::from_ref(&made));
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
    for criterion in [None, Some(Criterion::Id("gone".into())), Some(Criterion::source("s"))] {
        let mut search = Search::new(ResourceType::Device);
        search.all_of.extend(criterion);
        assert_eq!(walk(store, &t, &search, |_| ()), []);
    }
}

pub(super) fn r7_each_criterion_finds_its_own_and_no_others(store: &impl ResourceStore) {
    let t = fresh();
    let write = |id: &str, identifier: Vec<Token>, kind: Vec<Token>, source: &str, parent: Option<&str>| {
        let mut index = nothing();
        identifier.into_iter().for_each(|token| index.insert(Parameter::Identifier, token));
        kind.into_iter().for_each(|token| index.insert(Parameter::Type, token));
        index.insert(Parameter::Source, Token::bare(source));
        parent.into_iter().for_each(|parent| index.insert(Parameter::Parent, Token::bare(parent)));
        put(store, &t, Write::create(component(id), "1", index)).unwrap();
    };
    let (one, other, bare) = (Token::new("urn:a", "7"), Token::new("urn:b", "7"), Token::bare("7"));
    let mds = Token::new("mdc", "69641");
    write("a", vec![one], vec![mds.clone()], "Device/1", None);
    write("b", vec![other], vec![], "Device/1", Some("DeviceComponent/a"));
    write("c", vec![bare, Token::new("urn:b", "9")], vec![mds], "Device/2", Some("DeviceComponent/a"));
    put(store, &t, Write::create(device("a"), "1", source("Device/1"))).unwrap();

    let identifier = |text: &str| Criterion::identifier(text.parse().unwrap());
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
    assert_eq!(find(&[Criterion::kind("mdc|69641".parse().unwrap())]), "ac");
    assert_eq!(find(&[Criterion::source("Device/1")]), "ab");
    assert_eq!(find(&[Criterion::parent("DeviceComponent/a")]), "bc");
    assert_eq!(find(&[Criterion::Id("b".into())]), "b");
    assert_eq!(find(&[Criterion::source("Device/1"), identifier("7")]), "ab");
    assert_eq!(find(&[Criterion::source("Device/1"), Criterion::Id("c".into())]), "");
    assert_eq!(find(&[Criterion::parent("DeviceComponent/a"), identifier("urn:b|")]), "bc");
    let any_id = |wanted: &[&str]| Criterion::AnyId(wanted.iter().map(|id| (*id).into()).collect());
    assert_eq!(find(&[any_id(&["c", "a", "z"])]), "ac");
    assert_eq!(find(&[any_id(&[])]), "");
    let either = |any: &[Criterion]| Criterion::AnyOf(any.to_vec());
    assert_eq!(find(&[either(&[identifier("urn:a|7"), Criterion::source("Device/2")])]), "ac");
    assert_eq!(find(&[either(&[identifier("urn:b|"), Criterion::Id("a".into())])]), "abc");
    assert_eq!(find(&[either(&[identifier("7"), identifier("urn:b|9")]), Criterion::source("Device/1")]), "ab");
    assert_eq!(find(&[either(&[])]), "");
    assert_eq!(find(&[Criterion::begins(Parameter::Source, "Device/")]), "abc");
    assert_eq!(find(&[Criterion::begins(Parameter::Source, "Device/2")]), "c");
    assert_eq!(find(&[Criterion::begins(Parameter::Parent, "")]), "bc");
    assert_eq!(find(&[Criterion::begins(Parameter::Source, "device/")]), "");
}

pub(super) fn r7_a_search_follows_the_newest_version(store: &impl ResourceStore) {
    let t = fresh();
    let find = |of: &str| {
        let search = Search::new(ResourceType::DeviceComponent).and(Criterion::source(of));
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
    let search = Search::new(ResourceType::DeviceComponent).and(Criterion::source("s")).limit(7);
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
    // Each criterion counts, by kind and by value.
    for id in ["a", "b"] {
        put(store, &t, Write::put(device(id), "3", source("s"))).unwrap();
    }
    let (by_source, by_parent) = (Criterion::source("s"), Criterion::parent("s"));
    let of_s = block_on(store.search(&t, &search.clone().and(by_source.clone()))).unwrap().next.unwrap();
    let again = search.clone().and(by_source.clone()).after(of_s.clone());
    assert_eq!(ids(&block_on(store.search(&t, &again)).unwrap().items), ["b"]);
    invalid(&t, search.clone().and(by_parent).after(of_s.clone()));
    invalid(&t, search.clone().and(Criterion::source("t")).after(of_s.clone()));
    invalid(&t, search.clone().after(of_s));
    for at in 0..token.as_str().len() {
        let mut damaged = token.as_str().as_bytes().to_vec();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        invalid(&t, search.clone().after(String::from_utf8(damaged).unwrap().parse().unwrap()));
    }
    invalid(&t, search.after("A".parse().unwrap()));
    let history = |tenant, id, after: &PageToken| block_on(store.history(tenant, &device(id), limit(1), Some(after)));
    let past = block_on(store.history(&t, &device("a"), limit(1), None)).unwrap().next.unwrap();
    assert_eq!(history(&t, "a", &past).unwrap().items[0].version, v(2));
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
        let search = Search::new(ResourceType::Device).and(Criterion::source("s"));
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
