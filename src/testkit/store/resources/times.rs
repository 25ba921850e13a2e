//! R13 and R14: times, and dropped futures.

use super::*;

pub(super) fn r13_last_updated_never_decreases(store: &Store<'_>) -> ClauseResult {
    const THREADS: usize = 4;
    const ROUNDS: usize = 15;
    let (t, key) = (fresh(), device("timed")?);
    let made = std::sync::Mutex::new(Vec::new());
    store.together(THREADS, |_| {
        for _ in 0..ROUNDS {
            if let Ok(version) = store.write(&t, Write::put(key.clone(), "1", nothing()))? {
                made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(version);
            }
        }
        Ok(())
    })?;
    let mut made = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    made.sort_by_key(|version| version.version);
    ensure!(!made.is_empty(), "no blind write succeeded");
    let ordered = store.capabilities().ordered_times;
    for (before, after) in made.iter().zip(made.iter().skip(1)).filter(|_| ordered) {
        let (early, late) = (before.last_updated, after.last_updated);
        ensure!(early <= late, "version {} is of {late}, and the one before of {early}", after.version);
    }
    if store.capabilities().history {
        for version in store.versions(&t, &key)? {
            let told = made.iter().find(|made| made.version == version.version);
            let same = told.is_none_or(|told| told.last_updated == version.last_updated);
            ensure!(same, "the history gives version {} another time than its commit", version.version);
        }
    }
    Ok(if ordered { ClauseOutcome::Held } else { ClauseOutcome::Skipped("times in the order of the versions") })
}

pub(super) fn r14_dropped_commit_is_atomic(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let count = store.group().map_or(1, |_| 3);
    let keys = ["a", "b", "c"].iter().take(count).map(|id| component(id)).collect::<ClauseResult<Vec<_>>>()?;
    let writes = |body: String| {
        keys.iter().map(|key| Write::put(key.clone(), body.clone(), source("Device/d"))).collect::<Vec<_>>()
    };
    let mut before = None;
    for polls in 0..12_usize {
        let body = polls.to_string();
        store.wait(polled(store.store.commit(&t, writes(body.clone())), polls))?;
        // A dropped commit may still arrive, but only as a whole. A store at rest shows one state.
        let mut tries = 0;
        let now = loop {
            let mut seen = Vec::new();
            for key in &keys {
                match store.read(&t, key)? {
                    Ok(version) => seen.push(version.body),
                    Err(StoreError::NotFound { .. }) => seen.push(None),
                    Err(error) => {
                        return Err(BrokenClause::what(format!("a read after a dropped commit failed: {error:?}")));
                    }
                }
            }
            let first = seen.first().cloned().flatten();
            if seen.iter().all(|body| *body == first) {
                break first;
            }
            tries += 1;
            ensure!(tries < 20, "a commit that was dropped after {polls} polls is torn: {seen:?}");
            thread::sleep(Duration::from_millis(25));
        };
        let known = may_have_arrived(before.as_deref(), now.as_deref(), polls);
        ensure!(known, "after a commit that was dropped after {polls} polls {now:?} is read");
        before = now;
    }
    let made = store.commit(&t, writes("last".to_owned()))?;
    let made = made.map_err(|refused| BrokenClause::what(format!("the store no longer works: {:?}", refused.error)))?;
    ensure!(made.len() == count, "the store no longer works: {} versions of {count} writes", made.len());
    // Reads and searches may be dropped as well.
    for polls in 0..4 {
        store.wait(async {
            for key in &keys {
                polled(store.store.read(&t, key), polls).await;
            }
            polled(store.store.search(&t, &Search::new(ResourceType::DeviceComponent)), polls).await;
        })?;
    }
    for key in &keys {
        let read = store.found(&t, key)?.body;
        ensure!(read.as_deref() == Some(b"last"), "the last commit is read as {read:?}");
    }
    Ok(ClauseOutcome::Held)
}
