//! Histories under concurrency and injected faults: linearizable stores pass, and others are caught.

#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "common/wrong.rs"]
mod wrong;

use fhir_devices::backend::Memory;
use fhir_devices::search::{IndexEntries, ResourceType};
use fhir_devices::store::*;
use fhir_devices::testkit::history::{self, Acknowledged};
use fhir_devices::testkit::store::{BrokenClause, block_on, resources};
use fhir_devices::testkit::{Call, CallOutcome, CallPlan, Faulty, Recording, Retrying};
use fhir_devices::{Device, Valid};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use wrong::{Wrong, check_then_write};

#[test]
fn memory_resource_histories_are_linearizable() -> Result<(), BrokenClause> {
    let memory: Arc<dyn ResourceStore> = Arc::new(Memory::new());
    history::resources(&memory, &|task| block_on(task), 0..200)
}

#[test]
fn memory_ledger_histories_are_linearizable() -> Result<(), BrokenClause> {
    let memory: Arc<dyn Ledger> = Arc::new(Memory::new());
    history::ledger(&memory, &|task| block_on(task), 0..200)
}

/// Returns the number of seeds that show the fault. On a quiet machine nearly all do; a fault needs another thread at
/// the right time.
fn caught(seeds: u64, store: impl Fn() -> Wrong) -> usize {
    let shows = |seed: &u64| {
        let store: Arc<dyn ResourceStore> = Arc::new(store());
        history::resources(&store, &|task| block_on(task), *seed..*seed + 1).is_err()
    };
    (0..seeds).filter(shows).count()
}

#[test]
fn check_then_write_is_caught() {
    let caught = caught(50, || Wrong { commit: check_then_write, ..Wrong::right(Memory::new()) });
    assert!(caught >= 25, "{caught} of 50 seeds show it");
}

#[test]
fn lost_acknowledgement_reported_as_failure_is_caught() {
    let caught = caught(50, || Wrong {
        commit: |own, t, w| {
            let made = own.made(t, w)?;
            if own.times() % 4 == 0 {
                return Err(StoreError::unavailable(None, None).into());
            }
            Ok(made)
        },
        ..Wrong::right(Memory::new())
    });
    assert!(caught >= 25, "{caught} of 50 seeds show it");
}

#[test]
fn stale_reads_are_caught() {
    let caught = caught(50, || Wrong {
        read: |own, t, k| {
            let read = block_on(own.below.read(t, k))?;
            let before = VersionId::new(read.version.get() - 1);
            match before.map(|before| block_on(own.below.vread(t, k, before))) {
                Some(Ok(before)) if !before.is_deleted() => Ok(before),
                _ => Ok(read),
            }
        },
        ..Wrong::right(Memory::new())
    });
    assert!(caught >= 25, "{caught} of 50 seeds show it");
}

#[test]
fn lost_acknowledged_write_is_caught() {
    let caught = caught(50, || Wrong {
        commit: |own, t, w| {
            if own.times() % 4 != 0 {
                return own.made(t, w);
            }
            let scratch = Memory::new();
            for write in &w {
                let now = block_on(own.below.read(t, &write.key)).ok();
                for n in 1..=now.map_or(0, |now| now.version.get()) {
                    block_on(
                        scratch.commit(t, vec![Write::put(write.key.clone(), n.to_string(), IndexEntries::new())]),
                    )?;
                }
            }
            block_on(scratch.commit(t, w))
        },
        ..Wrong::right(Memory::new())
    });
    assert!(caught >= 25, "{caught} of 50 seeds show it");
}

/// A ledger that checks first, and writes later.
struct Racy(Memory, Mutex<()>);

impl Ledger for Racy {
    fn max_changes(&self) -> usize {
        self.0.max_changes()
    }

    fn get<'a>(&'a self, t: &'a Tenant, k: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Ledger::get(&self.0, t, k)
    }

    fn apply<'a>(&'a self, t: &'a Tenant, c: Vec<Change>) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move {
            for (at, change) in c.iter().enumerate() {
                let found = Ledger::get(&self.0, t, &change.key).await?.map(|record| record.revision);
                if found != change.expected {
                    let exists = change.expected.is_none();
                    let (found, changed) = (StoreError::already_exists(None), StoreError::conflict(None));
                    return Err(CommitError::at(at, if exists { found } else { changed }));
                }
            }
            thread::sleep(std::time::Duration::from_micros(100));
            let _one = self.1.lock().unwrap();
            let mut blind = Vec::new();
            for change in c {
                let expected = block_on(Ledger::get(&self.0, t, &change.key))?.map(|record| record.revision);
                if change.value.is_some() || expected.is_some() {
                    blind.push(Change { expected, ..change });
                }
            }
            block_on(self.0.apply(t, blind))
        })
    }

    fn scan<'a>(
        &'a self,
        t: &'a Tenant,
        p: &'a LedgerKey,
        l: NonZeroU32,
        a: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        self.0.scan(t, p, l, a)
    }
}

#[test]
fn ledger_that_checks_then_writes_is_caught() {
    let shows = |seed: &u64| {
        let racy: Arc<dyn Ledger> = Arc::new(Racy(Memory::new(), Mutex::default()));
        history::ledger(&racy, &|task| block_on(task), *seed..*seed + 1).is_err()
    };
    let caught = (0..50).filter(shows).count();
    assert!(caught >= 25, "{caught} of 50 seeds show it");
}

#[test]
fn versions_of_a_long_run_are_in_order() {
    let (store, tenant, ticks) = (Memory::new(), "st-mary".parse::<Tenant>().unwrap(), AtomicU64::new(0));
    let key = |n: u64| format!("Device/d{n}").parse::<Key>().unwrap();
    let calls = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, tenant, ticks, calls) = (&store, &tenant, &ticks, &calls);
            scope.spawn(move || {
                for n in 0..5_000 {
                    let of = (n * 7 + thread) % 5;
                    let wrote = (n + thread) % 3 == 0;
                    let began = ticks.fetch_add(1, Ordering::SeqCst);
                    let version = if wrote {
                        let write = Write::put(key(of), "1", IndexEntries::new());
                        block_on(store.commit(tenant, vec![write])).unwrap().pop()
                    } else {
                        block_on(store.read(tenant, &key(of))).ok()
                    };
                    let ended = ticks.fetch_add(1, Ordering::SeqCst);
                    if let Some(version) = version.map(|version| version.version.get()) {
                        calls.lock().unwrap().push(Acknowledged { of, version, wrote, began, ended });
                    }
                }
            });
        }
    });
    let mut calls = calls.into_inner().unwrap();
    history::in_order(&calls).unwrap();
    let last = calls.iter().map(|call| call.ended).max().unwrap();
    calls.push(Acknowledged { of: 0, version: 1, wrote: false, began: last + 1, ended: last + 2 });
    assert!(history::in_order(&calls).is_err());
}

// ------------------------------------------------------------------------------------------ the doubles

/// Memory that fails before it acts, delays and duplicates, behind a retrying store: together they keep every clause.
fn patient(seed: u64) -> Retrying<Faulty<Memory>> {
    let memory = Memory::new().with_max_body(1 << 16).with_max_blob(1 << 16);
    let fates = [CallOutcome::Works, CallOutcome::Unavailable, CallOutcome::Throttled, CallOutcome::Twice];
    Retrying::new(Arc::new(Faulty::new(Arc::new(memory), seed).with_only(&fates)))
}

/// Writes to a blob writer cannot be repeated, so files are only delayed.
fn delayed(seed: u64) -> Faulty<Memory> {
    let memory = Memory::new().with_max_body(1 << 16).with_max_blob(1 << 16);
    Faulty::new(Arc::new(memory), seed).with_only(&[CallOutcome::Works])
}

fhir_devices::resource_store_conformance!(resources_under_faults, store = patient(7));
fhir_devices::ledger_conformance!(ledger_under_faults, store = patient(7));
fhir_devices::blob_store_conformance!(blobs_under_delays, store = delayed(7));

#[test]
fn write_with_faults_is_resolved_and_applied_once() {
    let (mut known, mut applied) = (0, 0);
    for seed in 0..200 {
        let faulty = Arc::new(Faulty::new(Arc::new(Memory::new()), seed));
        let store = TenantResources::new(Arc::clone(&faulty), "st-mary".parse().unwrap());
        let key: Key = "Device/pump".parse().unwrap();
        let mut newest = 0_u64;
        let mut unknown = false;
        for number in 1..=20_u64 {
            let json = format!(r#"{{"resourceType":"Device","id":"pump","model":"{number}"}}"#);
            let pump = Valid::new(Device::from_json(json.as_bytes()).unwrap()).unwrap();
            let when = VersionId::new(newest).map_or(Precondition::Absent, Precondition::Version);
            match block_on(store.write_resolved(pump.write(when).unwrap().with_id(WriteId(number.into())))) {
                Ok(made) => {
                    assert_eq!(made.version.get(), newest + 1, "seed {seed}");
                    (newest, known) = (newest + 1, known + 1);
                }
                Err(error) if error.applied() == Applied::No => known += 1,
                // It may be there now, or later: the run of this seed ends.
                Err(_) => {
                    unknown = true;
                    break;
                }
            }
        }
        faulty.calm();
        let now = block_on(store.read(&key)).map_or(0, |version| version.version.get());
        // A read makes up for what was put off.
        let now = now.max(block_on(store.read(&key)).map_or(0, |version| version.version.get()));
        assert!(now == newest || unknown && now == newest + 1, "seed {seed}: {newest} acknowledged, {now} there");
        applied += newest;
    }
    assert!(known > 1_000 && applied > 700, "{known} outcomes are known, {applied} writes were acknowledged");
}

#[test]
fn same_seed_gives_the_same_failures() {
    let run = |seed| {
        let store = Faulty::new(Arc::new(Memory::new()), seed);
        let (tenant, key) = ("st-mary".parse().unwrap(), "Device/pump".parse::<Key>().unwrap());
        let write =
            |n: u64| block_on(store.commit(&tenant, vec![Write::put(key.clone(), n.to_string(), IndexEntries::new())]));
        (0..100)
            .map(|n| write(n).map_err(|refused| refused.error.to_string()).map(|made| made.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
    assert!(run(3).iter().filter(|outcome| outcome.is_err()).count() > 20);
}

#[test]
fn torn_read_fails_and_torn_write_leaves_nothing() {
    let (memory, tenant) = (Arc::new(Memory::new()), "st-mary".parse::<Tenant>().unwrap());
    let blobs = TenantBlobs::new(memory.clone(), tenant.clone());
    let (blob, _) = block_on(blobs.put(Generation(1), stream::chunks(["firm".into(), "ware".into()]))).unwrap();
    let torn = TenantBlobs::new(Arc::new(Faulty::on(memory.clone(), 1, CallOutcome::Torn)), tenant.clone());
    let mut body = block_on(torn.get(&blob.key(Generation(1)), None)).unwrap().body;
    let mut seen = Vec::new();
    while let Some(chunk) = block_on(stream::next(&mut body)) {
        seen.push(chunk.map_err(|error| error.is_transient()));
    }
    assert_eq!(seen.last(), Some(&Err(true)));
    assert!(seen.iter().flatten().map(bytes::Bytes::len).sum::<usize>() < 8, "{seen:?}");
    for call in 1..=4 {
        for fate in [CallOutcome::Torn, CallOutcome::Unavailable, CallOutcome::Dropped] {
            let torn = TenantBlobs::new(Arc::new(Faulty::on(memory.clone(), call, fate)), tenant.clone());
            let put = block_on(torn.put(Generation(2), stream::chunks(["firm".into(), "ware".into()])));
            let works = fate == CallOutcome::Torn && (call == 1 || call == 4);
            assert_eq!(put.is_ok(), works, "{fate:?} at call {call}");
            assert_eq!(block_on(blobs.head(&blob.key(Generation(2)))).is_ok(), works);
            block_on(blobs.delete(&blob.key(Generation(2)))).unwrap();
        }
    }
    // What is lost or late is there, at once or after the next call.
    for (fate, at_once) in [(CallOutcome::Lost, true), (CallOutcome::Late, false)] {
        let faulty = Arc::new(Faulty::on(memory.clone(), 3, fate));
        let handle = TenantBlobs::new(faulty, tenant.clone());
        let put = block_on(handle.put(Generation(3), stream::once("firmware"))).unwrap_err();
        assert_eq!(put.applied(), Applied::Unknown);
        assert_eq!(block_on(blobs.head(&blob.key(Generation(3)))).is_ok(), at_once);
        assert!(block_on(handle.head(&blob.key(Generation(3)))).is_ok());
        block_on(blobs.delete(&blob.key(Generation(3)))).unwrap();
    }
}

#[test]
fn custom_fault_plan_is_followed() {
    let store = Faulty::planned(Arc::new(Memory::new()), |call| CallPlan {
        fate: if call % 2 == 0 { CallOutcome::Throttled } else { CallOutcome::Works },
        before: 2,
        after: 1,
    });
    let (tenant, key) = ("st-mary".parse::<Tenant>().unwrap(), "Device/pump".parse::<Key>().unwrap());
    for call in 1..=6 {
        let mut read = store.read(&tenant, &key);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let pending = std::iter::from_fn(|| read.as_mut().poll(&mut context).is_pending().then_some(())).count();
        assert_eq!(pending, 3);
        let again = block_on(store.read(&tenant, &key));
        assert!(matches!(again, Err(StoreError::Throttled { retry_after: Some(_), .. })), "call {call}");
    }
    assert_eq!(store.calls(), 12);
}

#[test]
fn recording_has_calls_in_order_with_arguments() {
    let recording = Arc::new(Recording::new(Arc::new(Memory::new())));
    let tenant: Tenant = "st-mary".parse().unwrap();
    let store = TenantResources::new(recording.clone(), tenant.clone());
    let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#).unwrap();
    let write = Valid::new(pump).unwrap().write(Precondition::None).unwrap();
    block_on(store.write(write.clone())).unwrap();
    block_on(store.search(&Search::new(ResourceType::Device))).unwrap();
    let search = Call::Search(tenant.clone(), Search::new(ResourceType::Device));
    assert_eq!(recording.take(), [Call::Commit(tenant.clone(), vec![write.into()]), search]);
    let blobs = TenantBlobs::new(recording.clone(), tenant.clone());
    let (blob, _) = block_on(blobs.put(Generation(1), stream::once("firmware"))).unwrap();
    let wanted = [Call::Begin(tenant.clone()), Call::Write("firmware".into()), Call::CommitBlob(blob, Generation(1))];
    assert_eq!(recording.take(), wanted);
    let ledger = TenantLedger::new(recording.clone(), tenant.clone());
    assert!(block_on(ledger.get(&"a".parse().unwrap())).unwrap().is_none());
    assert_eq!(recording.calls(), [Call::Get(tenant, "a".parse().unwrap())]);
}

#[test]
fn macro_test_catches_a_fault_in_one_of_1000_commits() {
    let store = || Wrong {
        commit: |own, t, w| {
            let made = own.made(t, w);
            match own.times() % 1_000 {
                0 if made.is_ok() => Err(StoreError::unavailable(None, None).into()),
                _ => made,
            }
        },
        ..Wrong::right(Memory::new())
    };
    // The fault needs a commit that is made at the right number.
    let test = |_| resources::test_history(async { store() }, |task| block_on(task));
    let broken = (0..3).find_map(|at| test(at).err()).expect("none of three runs shows it");
    // It is shown by what contradicts it, and not by everything that was asked.
    let shown = broken.what.lines().count() - 1;
    assert!((1..20).contains(&shown), "{broken}");
}
