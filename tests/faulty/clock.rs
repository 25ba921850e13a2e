//! Stores with a wrong rule for the times of versions, named for the clause that it breaks.

use super::wrong::Wrong;
use super::{each_holds, each_is_caught};
use fhir_devices::backend::Memory;
use fhir_devices::search::IndexEntries;
use fhir_devices::store::*;
use fhir_devices::testkit::store::clock::{CLAUSES, TestClock, TimedStore};

#[test]
fn every_clock_clause_catches_a_faulty_store() {
    each_is_caught(CLAUSES, |name| timed(wrong(name)), |store| store);
}

#[test]
fn correct_clock_store_passes_every_clause() {
    each_holds(CLAUSES, &timed(|_| {}));
}

/// An in-memory store whose commits are changed by a defect.
fn timed(defect: impl FnOnce(&mut Wrong)) -> TimedStore {
    let clock = TestClock::new();
    let mut store = Wrong::right(Memory::new().with_clock(clock.clone()));
    defect(&mut store);
    TimedStore::new(clock, store)
}

fn seconds(version: &mut Version, change: impl FnOnce(i64) -> i64) {
    let changed = change(version.last_updated.unix_timestamp());
    version.last_updated = time::OffsetDateTime::from_unix_timestamp(changed).unwrap();
}

/// Returns the newest version of a resource in the inner store.
fn newest(own: &Wrong, t: &Tenant, key: &Key) -> Option<Version> {
    let limit = std::num::NonZeroU32::MIN;
    fhir_devices::testkit::store::block_on(own.below.history(t, key, limit, None)).ok()?.items.pop()
}

fn wrong(clause: &str) -> impl FnOnce(&mut Wrong) {
    let clause = clause.to_owned();
    move |store| match clause.as_str() {
        // Whole minutes.
        "r13_version_has_the_time_of_the_clock" => {
            store.commit = |own, t, writes| {
                let mut made = own.made(t, writes)?;
                made.iter_mut().for_each(|version| seconds(version, |time| time - time % 60));
                Ok(made)
            };
        }
        // The time of the clock, whatever came before.
        "r13_small_backward_clock_step_is_hidden" | "r13_deletion_time_follows_the_same_rule" => {
            store.commit = |own, t, writes| {
                let mut made = own.made(t, writes)?;
                let now = newest_of_a_new_one(own, t);
                made.iter_mut().for_each(|version| seconds(version, |_| now));
                Ok(made)
            };
        }
        // Never less than before, however far ahead that was.
        "r13_time_far_ahead_recovers" => {
            store.commit = |own, t, writes| {
                let mut made = own.made(t, writes)?;
                for version in &mut made {
                    let mut kept = own.kept.lock().unwrap();
                    let most = kept.entry((t.clone(), version.key.clone())).or_insert_with(|| version.clone());
                    if most.last_updated < version.last_updated {
                        *most = version.clone();
                    }
                    version.last_updated = most.last_updated;
                }
                Ok(made)
            };
        }
        // By time.
        "r13_versions_keep_their_order_when_the_clock_jumps" => {
            store.history = |own, t, key, limit, after| {
                let mut page = fhir_devices::testkit::store::block_on(own.below.history(t, key, limit, after))?;
                page.items.sort_by_key(|version| std::cmp::Reverse(version.last_updated));
                Ok(page)
            };
        }
        // One time for all.
        "r13_each_resource_has_its_own_times" => {
            store.commit = |own, t, writes| {
                let mut made = own.made(t, writes)?;
                for version in &mut made {
                    let key: Key = "Device/newest".parse().unwrap();
                    let mut kept = own.kept.lock().unwrap();
                    let last = kept.entry((t.clone(), key)).or_insert_with(|| version.clone());
                    if last.last_updated < version.last_updated {
                        *last = version.clone();
                    }
                    version.last_updated = last.last_updated;
                }
                Ok(made)
            };
        }
        _ => {}
    }
}

/// Returns the time of the inner clock: that of a resource never written before.
fn newest_of_a_new_one(own: &Wrong, t: &Tenant) -> i64 {
    let key: Key = format!("Device/new-{}", own.times()).parse().unwrap();
    own.made(t, vec![Write::put(key.clone(), "{}", IndexEntries::new())]).unwrap();
    newest(own, t, &key).unwrap().last_updated.unix_timestamp()
}
