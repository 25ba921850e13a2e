//! The clauses of `Ledger`.

use super::*;
use std::sync::Mutex;
use std::thread;

fn key() -> LedgerKey {
    "ingest/id/7".parse().unwrap()
}

fn put(ledger: &dyn Ledger, tenant: &Tenant, seen: Option<&Revision>, value: &'static str) -> Result<Revision> {
    let change = Change { key: key(), expected: seen.cloned(), value: Some(value.into()) };
    block_on(ledger.apply(tenant, vec![change])).map(|mut made| made.remove(0)).map_err(|refused| refused.error)
}

fn value(ledger: &dyn Ledger, tenant: &Tenant) -> Option<Bytes> {
    block_on(ledger.get(tenant, &key())).unwrap().map(|record| record.value)
}

type Result<T> = std::result::Result<T, StoreError>;

#[test]
fn l1_only_who_has_seen_the_newest_revision_writes() {
    let memory = Memory::new();
    let early = put(&memory, &ours(), Some(&Revision::new("1")), "x");
    assert!(matches!(early, Err(StoreError::Conflict { .. })));
    let first = put(&memory, &ours(), None, "a").unwrap();
    assert!(matches!(put(&memory, &ours(), None, "x"), Err(StoreError::AlreadyExists { .. })));
    let second = put(&memory, &ours(), Some(&first), "b").unwrap();
    let late = put(&memory, &ours(), Some(&first), "x").unwrap_err();
    assert!(matches!(late, StoreError::Conflict { .. }) && late.applied() == Applied::No);
    assert_eq!(
        block_on(Ledger::get(&memory, &ours(), &key())).unwrap().map(|r| (r.revision, r.value)),
        Some((second, "b".into()))
    );
}

#[test]
fn l1_of_many_writers_that_expect_the_same_one_wins() {
    let memory = Memory::new();
    let mut seen = None;
    for _ in 0..50 {
        let won = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| won.lock().unwrap().extend(put(&memory, &ours(), seen.as_ref(), "v")));
            }
        });
        let mut won = won.into_inner().unwrap();
        assert_eq!(won.len(), 1);
        seen = won.pop();
    }
}

#[test]
fn l2_a_revision_is_never_given_twice() {
    let memory = Memory::new();
    let mut all = vec![put(&memory, &ours(), None, "a").unwrap()];
    for value in ["b", "a", "b", "a"] {
        let next = put(&memory, &ours(), all.last(), value).unwrap();
        assert!(!all.contains(&next));
        all.push(next);
    }
}

#[test]
fn l4_no_tenant_sees_the_records_of_another() {
    let memory = Memory::new();
    let theirs: Tenant = "st-elsewhere".parse().unwrap();
    let first = put(&memory, &ours(), None, "ours").unwrap();
    assert_eq!(value(&memory, &theirs), None);
    assert!(matches!(put(&memory, &theirs, Some(&first), "x"), Err(StoreError::Conflict { .. })));
    put(&memory, &theirs, None, "theirs").unwrap();
    assert_eq!(value(&memory, &ours()).unwrap(), "ours");
}

#[test]
fn l6_a_value_of_64_kib_is_taken() {
    let memory = Memory::new();
    let large = Bytes::from(vec![7; 64 << 10]);
    block_on(Ledger::apply(&memory, &ours(), vec![Change::create(key(), large.clone())])).unwrap();
    assert_eq!(value(&memory, &ours()), Some(large));
}

#[test]
fn a_ledger_key_is_checked() {
    for bad in ["", "/", "a/", "/a", "a//b", "A", "a b", "../a", &"a".repeat(129)] {
        assert!(LedgerKey::new(bad).is_err(), "{bad}");
    }
    assert!(LedgerKey::new("a".repeat(128)).is_ok());
}
