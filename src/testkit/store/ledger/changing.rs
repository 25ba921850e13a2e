//! L1 to L8: changes, and reads of changed records.

use super::*;
use crate::store::{Applied, LEDGER_MAX_CHANGES, LEDGER_MAX_VALUE};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

pub(super) fn l1_write_needs_the_newest_revision(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), key("ingest/id/7")?);
    let never = Revision::new("1");
    let early = store.change(&t, Change::replace(key.clone(), never, "x"))?;
    wanted!(early, Err(StoreError::Conflict { .. }), "a replacement of what never was");
    ensure!(store.get(&t, &key)?.is_none(), "a refused replacement made a record");
    let first = store.made(&t, Change::create(key.clone(), "a"))?;
    let again = store.change(&t, Change::create(key.clone(), "x"))?;
    wanted!(again, Err(StoreError::AlreadyExists { .. }), "a creation of what is there");
    let second = store.made(&t, Change::replace(key.clone(), first.clone(), "b"))?;
    let late = store.change(&t, Change::replace(key.clone(), first, "x"))?;
    wanted!(late, Err(StoreError::Conflict { .. }), "a replacement of an old revision");
    let read = store.get(&t, &key)?;
    let wanted = LedgerRecord { key, revision: second, value: "b".into() };
    ensure!(read.as_ref() == Some(&wanted), "{read:?} is read, wanted {wanted:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l1_delete_needs_the_newest_revision(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), key("a")?);
    let blind = Change { key: key.clone(), expected: None, value: None };
    wanted!(store.change(&t, blind.clone())?, Err(StoreError::Invalid { .. }), "a deletion without a revision");
    let early = store.change(&t, Change::delete(key.clone(), Revision::new("1")))?;
    wanted!(early, Err(StoreError::Conflict { .. }), "a deletion of what never was");
    let first = store.made(&t, Change::create(key.clone(), "a"))?;
    wanted!(store.change(&t, blind)?, Err(StoreError::Invalid { .. }), "a deletion without a revision");
    let second = store.made(&t, Change::replace(key.clone(), first.clone(), "b"))?;
    let late = store.change(&t, Change::delete(key.clone(), first))?;
    wanted!(late, Err(StoreError::Conflict { .. }), "a deletion of an old revision");
    ensure!(store.value(&t, &key)?.as_deref() == Some(b"b"), "a refused deletion changed the record");
    store.made(&t, Change::delete(key.clone(), second.clone()))?;
    ensure!(store.get(&t, &key)?.is_none(), "a deleted record is read");
    for change in [Change::delete(key.clone(), second.clone()), Change::replace(key.clone(), second, "x")] {
        wanted!(store.change(&t, change)?, Err(StoreError::Conflict { .. }), "a change of what is deleted");
    }
    store.made(&t, Change::create(key, "c"))?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn l1_of_concurrent_writers_one_wins(store: &Store<'_>) -> ClauseResult {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20;
    let (t, key) = (fresh(), key("counter")?);
    store.made(&t, Change::create(key.clone(), "0"))?;
    let add_one = || loop {
        let Some(seen) = store.get(&t, &key)? else {
            return Err(BrokenClause::what("a record that is there is not read"));
        };
        let text = std::str::from_utf8(&seen.value).unwrap_or_default();
        let n: u64 = text.parse().map_err(|_| BrokenClause::what(format!("the counter reads `{text}`")))?;
        match store.change(&t, Change::replace(key.clone(), seen.revision, (n + 1).to_string()))? {
            Ok(_) => return Ok(()),
            Err(error) => wanted!(error, StoreError::Conflict { .. }, "a change of what was read"),
        }
    };
    store.together(THREADS, |_| (0..ROUNDS).try_for_each(|_| add_one()))?;
    let (last, all) = (store.value(&t, &key)?, (THREADS * ROUNDS).to_string());
    ensure!(last.as_deref() == Some(all.as_bytes()), "{all} counts ended as {last:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l1_of_concurrent_creators_one_wins(store: &Store<'_>) -> ClauseResult {
    const THREADS: usize = 4;
    let t = fresh();
    for round in 0..10 {
        let key = key(&format!("r/{round}"))?;
        let (won, started) = (AtomicUsize::new(0), Barrier::new(THREADS));
        store.together(THREADS, |thread| {
            started.wait();
            match store.change(&t, Change::create(key.clone(), thread.to_string()))? {
                Ok(_) => drop(won.fetch_add(1, Ordering::Relaxed)),
                Err(error) => wanted!(error, StoreError::AlreadyExists { .. }, "a creation of what another created"),
            }
            Ok(())
        })?;
        let won = won.into_inner();
        ensure!(won == 1, "{won} of {THREADS} creators of `{key}` won");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l2_revision_is_never_reused(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), key("phoenix")?);
    let mut all: Vec<Revision> = Vec::new();
    for _ in 0..3 {
        let mut last = store.made(&t, Change::create(key.clone(), "a"))?;
        for value in ["b", "a", "a"] {
            ensure!(!all.contains(&last), "the revision `{}` came back", last.as_str());
            all.push(last.clone());
            last = store.made(&t, Change::replace(key.clone(), last, value))?;
        }
        ensure!(!all.contains(&last), "the revision `{}` came back", last.as_str());
        all.push(last.clone());
        store.made(&t, Change::delete(key.clone(), last))?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l3_value_is_read_byte_for_byte(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let every_byte: Bytes = (0..=u8::MAX).collect();
    let longest = format!("p/{}", "k".repeat(126));
    for (name, value) in [("p/a", every_byte), ("p/b", Bytes::new()), (longest.as_str(), "x".into())] {
        let key = key(name)?;
        let revision = store.made(&t, Change::create(key.clone(), value.clone()))?;
        let wanted = LedgerRecord { key: key.clone(), revision, value };
        let read = store.get(&t, &key)?;
        ensure!(read.as_ref() == Some(&wanted), "`get` gives {read:?}, wanted {wanted:?}");
        let scanned = store.all(&t, &self::key("p")?, 9, |_| Ok(()))?;
        ensure!(scanned.contains(&wanted), "`scan` gives {scanned:?}, wanted {wanted:?} among them");
        store.made(&t, Change::delete(key.clone(), wanted.revision))?;
        ensure!(store.get(&t, &key)?.is_none(), "`get` gives what is deleted");
        let scanned = store.all(&t, &self::key("p")?, 9, |_| Ok(()))?;
        ensure!(scanned.is_empty(), "`scan` gives what is deleted: {scanned:?}");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l3_acknowledged_change_is_visible_to_others(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), key("p/news")?);
    let prefix = self::key("p")?;
    let (tell, hear) = std::sync::mpsc::channel();
    let (tell, hear) = (Mutex::new(Some(tell)), Mutex::new(hear));
    let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    store.together(2, |thread| {
        if thread == 0 {
            // Dropping the sender at the end also ends the reader.
            let Ok(Some(tell)) = tell.lock().map(|mut tell| tell.take()) else { return Ok(()) };
            let mut last = None;
            for n in 0_u64..30 {
                let change = Change { key: key.clone(), expected: last, value: Some(n.to_string().into()) };
                last = Some(store.made(&t, change)?);
                let _ = tell.send(n);
            }
            return Ok(());
        }
        let Ok(hear) = hear.lock() else { return Ok(()) };
        for acknowledged in hear.iter() {
            let read = store.value(&t, &key)?.as_deref().and_then(number);
            ensure!(read >= Some(acknowledged), "{acknowledged} was acknowledged, and another gets {read:?}");
            let scanned = store.all(&t, &prefix, 9, |_| Ok(()))?;
            let read = scanned.first().and_then(|record| number(&record.value));
            ensure!(read >= Some(acknowledged), "{acknowledged} was acknowledged, and another scans {read:?}");
        }
        Ok(())
    })?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn l4_calls_are_isolated_by_tenant(store: &Store<'_>) -> ClauseResult {
    let (ours, theirs) = (fresh(), fresh());
    let (key, prefix) = (key("p/shared")?, key("p")?);
    let first = store.made(&theirs, Change::create(key.clone(), "theirs"))?;
    // First for a tenant without records, then for one with a record.
    for _ in 0..2 {
        ensure!(store.get(&ours, &key)?.is_none(), "a record of another tenant is read");
        let scanned = store.all(&ours, &prefix, 9, |_| Ok(()))?;
        ensure!(scanned.is_empty(), "records of another tenant are scanned: {scanned:?}");
        for change in [Change::replace(key.clone(), first.clone(), "x"), Change::delete(key.clone(), first.clone())] {
            wanted!(store.change(&ours, change)?, Err(StoreError::Conflict { .. }), "a change of another tenant's");
        }
        let other = self::key("other")?;
        if store.get(&ours, &other)?.is_none() {
            store.made(&ours, Change::create(other, "ours"))?;
        }
    }
    let own = store.made(&ours, Change::create(key.clone(), "ours"))?;
    ensure!(store.value(&theirs, &key)?.as_deref() == Some(b"theirs"), "our record is the other tenant's");
    store.made(&ours, Change::delete(key.clone(), own))?;
    let untouched = store.get(&theirs, &key)?;
    let wanted = LedgerRecord { key, revision: first, value: "theirs".into() };
    ensure!(untouched.as_ref() == Some(&wanted), "our changes left {untouched:?} of {wanted:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l5_refusal_is_not_applied(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), key("a")?);
    let first = store.made(&t, Change::create(key.clone(), "a"))?;
    store.made(&t, Change::replace(key.clone(), first.clone(), "b"))?;
    for change in [
        Change::create(key.clone(), "x"),
        Change::replace(key.clone(), first.clone(), "x"),
        Change::delete(key.clone(), first.clone()),
        Change { key: key.clone(), expected: None, value: None },
    ] {
        match store.change(&t, change.clone())? {
            Ok(_) => return Err(BrokenClause::what(format!("{change:?} was taken"))),
            Err(error) => {
                ensure!(error.applied() == Applied::No, "the refusal {error:?} leaves open whether it was applied");
                ensure!(!error.is_transient(), "the refusal {error:?} says that the same may succeed later");
            }
        }
        let value = store.value(&t, &key)?;
        ensure!(value.as_deref() == Some(b"b"), "the refusal of {change:?} left {value:?}");
    }
    Ok(ClauseOutcome::Held)
}

fn large(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

pub(super) fn l6_largest_values_and_commits_are_accepted(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let changes = |value: &Bytes| {
        let change = |n| Ok(Change::create(key(&format!("p/{n:03}"))?, value.clone()));
        (0..LEDGER_MAX_CHANGES).map(change).collect::<ClauseResult<Vec<_>>>()
    };
    store.applied(&t, changes(&large(LEDGER_MAX_VALUE))?)?;
    let all = store.all(&t, &key("p")?, 3, |_| Ok(()))?;
    let whole = all.iter().filter(|record| record.value == large(LEDGER_MAX_VALUE)).count();
    ensure!(whole == LEDGER_MAX_CHANGES, "{whole} of {LEDGER_MAX_CHANGES} of the largest values are scanned whole");
    let most = store.max_changes();
    ensure!(most >= LEDGER_MAX_CHANGES, "a commit takes {most} changes at most, wanted {LEDGER_MAX_CHANGES} at least");
    // A larger maximum than any caller needs is not tested.
    let many = most.min(4_096);
    let change = |n| Ok(Change::create(key(&format!("m/{n:05}"))?, "x"));
    store.applied(&t, (0..many).map(change).collect::<ClauseResult<Vec<_>>>()?)?;
    let count = store.all(&t, &key("m")?, 1_000, |_| Ok(()))?.len();
    ensure!(count == many, "{count} records of a commit of {many} changes are there");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l6_larger_values_are_accepted_or_refused_whole(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let (a, b) = (key("a")?, key("b")?);
    let larger = large(LEDGER_MAX_VALUE + 1);
    match store.apply(&t, vec![Change::create(b.clone(), "x"), Change::create(a.clone(), larger.clone())])? {
        Ok(_) => ensure!(store.value(&t, &a)? == Some(larger), "a value that is larger was taken in part"),
        Err(refused) => {
            wanted!(refused.error, StoreError::TooLarge { .. }, "a value that is larger");
            let none = store.get(&t, &a)?.is_none() && store.get(&t, &b)?.is_none();
            ensure!(none, "something of a commit with a value that is larger was written");
        }
    }
    let change = |n: usize| Ok(Change::create(key(&format!("p/{n:03}"))?, "x"));
    let most = store.max_changes().min(4_096);
    let changes = (0..=most).map(change).collect::<ClauseResult<Vec<_>>>()?;
    let wanted = match store.apply(&t, changes)? {
        Ok(_) => most + 1,
        Err(refused) => {
            wanted!(refused.error, StoreError::Unsupported { .. }, "a commit of more changes");
            0
        }
    };
    let count = store.all(&t, &key("p")?, 50, |_| Ok(()))?.len();
    ensure!(count == wanted, "{count} records of a commit of more changes are there, wanted {wanted}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l7_dropped_commit_is_atomic(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let keys = [key("p/a")?, key("p/b")?];
    let [one, _] = &keys;
    for polls in 0..12_usize {
        let mut changes = Vec::new();
        let mut before = None;
        for key in &keys {
            let record = store.get(&t, key)?;
            before = record.as_ref().map(|record| record.value.clone());
            let expected = record.map(|record| record.revision);
            changes.push(Change { key: key.clone(), expected, value: Some(polls.to_string().into()) });
        }
        store.wait(polled(store.store.apply(&t, changes), polls))?;
        // A dropped commit may still arrive, but only as a whole.
        let mut tries = 0;
        let now = loop {
            let seen = keys.iter().map(|key| store.value(&t, key)).collect::<ClauseResult<Vec<_>>>()?;
            let first = seen.first().cloned().flatten();
            if seen.iter().all(|value| *value == first) {
                break first;
            }
            tries += 1;
            ensure!(tries < 20, "a commit that was dropped after {polls} polls is torn: {seen:?}");
            thread::sleep(Duration::from_millis(25));
        };
        let known = may_have_arrived(before.as_deref(), now.as_deref(), polls);
        ensure!(known, "after a commit that was dropped after {polls} polls {now:?} is read");
        store.wait(async {
            drop(polled(store.store.get(&t, one), polls).await);
            drop(polled(store.store.scan(&t, one, NonZeroU32::MIN, None), polls).await);
        })?;
    }
    store.made(&t, Change::create(key("last")?, "x"))?;
    ensure!(store.value(&t, &key("last")?)?.is_some(), "the ledger no longer works");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l8_refused_commit_changes_nothing(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let [a, b, c] = [key("a")?, key("b")?, key("c")?];
    let first = store.made(&t, Change::create(b.clone(), "1"))?;
    let second = store.made(&t, Change::replace(b.clone(), first.clone(), "2"))?;
    for (bad, wanted) in [
        (Change::replace(b.clone(), first.clone(), "x"), "Conflict"),
        (Change::delete(b.clone(), first), "Conflict"),
        (Change::create(b.clone(), "x"), "AlreadyExists"),
        (Change { key: b.clone(), expected: None, value: None }, "Invalid"),
    ] {
        let changes = vec![Change::create(a.clone(), "x"), bad, Change::create(c.clone(), "x")];
        match store.apply(&t, changes)? {
            Ok(_) => {
                return Err(BrokenClause::what(format!("a commit was taken whose second change is refused: {wanted}")));
            }
            Err(refused) => {
                ensure!(refused.index == Some(1), "the error names change {:?}, wanted 1", refused.index);
                let named = format!("{:?}", refused.error);
                ensure!(named.starts_with(wanted), "the error is {named}, wanted {wanted}");
            }
        }
        let untouched = store.get(&t, &b)?.is_some_and(|record| record.revision == second && record.value == "2");
        let none = store.get(&t, &a)?.is_none() && store.get(&t, &c)?.is_none();
        ensure!(untouched && none, "something of a refused commit was written");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l8_commit_returns_revisions_in_order(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let [z, m, a] = [key("z")?, key("m")?, key("a")?];
    let old = store.made(&t, Change::create(m.clone(), "1"))?;
    let gone = store.made(&t, Change::create(a.clone(), "1"))?;
    let changes =
        vec![Change::create(z.clone(), "new"), Change::delete(a.clone(), gone), Change::replace(m.clone(), old, "2")];
    let made = store.applied(&t, changes)?;
    ensure!(store.get(&t, &a)?.is_none(), "a record that a commit deleted is read");
    for (key, revision, value) in [(z, made.first(), "new"), (m, made.get(2), "2")] {
        let read = store.get(&t, &key)?;
        let same = read.as_ref().is_some_and(|read| Some(&read.revision) == revision && read.value == value);
        ensure!(same, "{read:?} is read, and the commit gave {revision:?} for `{value}`");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l8_empty_commit_succeeds_and_duplicate_key_fails(store: &Store<'_>) -> ClauseResult {
    let (t, a) = (fresh(), key("a")?);
    wanted!(store.apply(&t, Vec::new())?, Ok(made) if made.is_empty(), "a commit of no changes");
    match store.apply(&t, vec![Change::create(a.clone(), "1"), Change::create(a.clone(), "2")])? {
        Ok(_) => return Err(BrokenClause::what("a commit that names a key twice was taken")),
        Err(refused) => wanted!(refused.error, StoreError::Invalid { .. }, "a commit that names a key twice"),
    }
    ensure!(store.get(&t, &a)?.is_none(), "something of a refused commit was written");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l8_commit_is_visible_as_a_whole(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let keys = (0..4).map(|n| key(&format!("k{n}"))).collect::<ClauseResult<Vec<_>>>()?;
    let change = |(key, expected): (&LedgerKey, Option<Revision>), n: usize| Change {
        key: key.clone(),
        expected,
        value: Some(n.to_string().into()),
    };
    let mut seen = store.applied(&t, keys.iter().map(|key| change((key, None), 0)).collect())?;
    let (seen, writing) = (Mutex::new(&mut seen), AtomicUsize::new(1));
    store.together(2, |thread| {
        if thread == 0 {
            let Ok(mut seen) = seen.lock() else { return Ok(()) };
            let rounds = (1..60).try_for_each(|n| {
                let changes = keys.iter().zip(seen.iter().cloned().map(Some)).map(|of| change(of, n)).collect();
                **seen = store.applied(&t, changes)?;
                Ok(())
            });
            writing.store(0, Ordering::Release);
            return rounds;
        }
        while writing.load(Ordering::Acquire) == 1 {
            // Forwards and backwards: a later read shows the same commit or a later one.
            let mut newest = 0;
            for key in keys.iter().chain(keys.iter().rev()) {
                let value = store.value(&t, key)?.unwrap_or_default();
                let read: usize = std::str::from_utf8(&value).unwrap_or_default().parse().unwrap_or_default();
                ensure!(read >= newest, "`{key}` shows commit {read} when commit {newest} was seen before");
                newest = read;
            }
        }
        Ok(())
    })?;
    Ok(ClauseOutcome::Held)
}
