//! R1, R2, R3, R6, R10 and R12: writes.

use super::*;
use crate::search::Criterion;
use crate::store::{Applied, Precondition, WriteId};
use std::sync::atomic::{AtomicUsize, Ordering};

const MULTIPLE: ClauseOutcome = ClauseOutcome::Skipped("commits of several writes");
/// The largest body that a test makes.
const LARGEST_MADE: u64 = 64 << 20;

/// Returns the keys of components of one device, which every scope except a single key allows in one commit.
fn parts(names: &[&str]) -> ClauseResult<Vec<Key>> {
    names.iter().map(|name| component(name)).collect()
}

pub(super) fn r1_refused_commit_writes_nothing(store: &Store<'_>) -> ClauseResult {
    if store.group().is_none() {
        return Ok(MULTIPLE);
    }
    let t = fresh();
    let keys = parts(&["a", "b", "c"])?;
    let [a, b, c] = keys.as_slice() else { return Ok(MULTIPLE) };
    store.made(&t, Write::create(b.clone(), "1", source("Device/d")))?;
    let writes = vec![
        Write::create(a.clone(), "a", source("Device/d")),
        Write::update(b.clone(), v(7), "b", source("Device/d")),
        Write::create(c.clone(), "c", source("Device/d")),
    ];
    match store.commit(&t, writes)? {
        Ok(_) => {
            return Err(BrokenClause::what("a commit was taken although its second write expects another version"));
        }
        Err(refused) => {
            ensure!(refused.index == Some(1), "the error names write {:?}, wanted 1", refused.index);
            wanted!(refused.error, StoreError::Conflict { .. }, "the error of the commit");
        }
    }
    wanted!(store.read(&t, a)?, Err(StoreError::NotFound { .. }), "a read of what a refused commit would have made");
    wanted!(store.read(&t, c)?, Err(StoreError::NotFound { .. }), "a read of what a refused commit would have made");
    wanted!(store.found(&t, b)?, Version { version, .. } if version == v(1), "the version after a refused commit");
    store.finds(&t, &Search::new(ResourceType::DeviceComponent).and(Criterion::source("Device/d")), &["b"])?;
    store.finds(&t, &Search::new(ResourceType::DeviceComponent), &["b"])
}

pub(super) fn r1_commit_returns_versions_in_order(store: &Store<'_>) -> ClauseResult {
    if store.group().is_none() {
        return Ok(MULTIPLE);
    }
    let t = fresh();
    let keys = parts(&["z", "m", "a"])?;
    for key in keys.get(1).into_iter() {
        store.made(&t, Write::create(key.clone(), "1", source("Device/d")))?;
    }
    let write = |(n, key): (usize, &Key)| {
        Write::put(key.clone(), key.to_string(), source("Device/d")).with_id(WriteId(n as u128))
    };
    let made = store.commit(&t, keys.iter().enumerate().map(write).collect())?;
    let made =
        made.map_err(|refused| BrokenClause::what(format!("a commit of three writes failed: {:?}", refused.error)))?;
    let order: Vec<_> = made.iter().map(|version| (version.key.clone(), version.version.get())).collect();
    let wanted: Vec<_> = keys.iter().cloned().zip([1, 2, 1]).collect();
    ensure!(order == wanted, "the commit gave {order:?}, wanted {wanted:?}");
    for version in made {
        let read = store.found(&t, &version.key)?;
        ensure!(read == version, "the commit gave {version:?}, and {read:?} is read");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r1_empty_commit_succeeds(store: &Store<'_>) -> ClauseResult {
    wanted!(store.commit(&fresh(), Vec::new())?, Ok(made) if made.is_empty(), "an empty commit");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r1_commit_is_visible_as_a_whole(store: &Store<'_>) -> ClauseResult {
    let Some(group) = store.group() else { return Ok(MULTIPLE) };
    let t = fresh();
    let keys = (0..group).map(|n| component(&format!("c{n}"))).collect::<ClauseResult<Vec<_>>>()?;
    let round = |n: usize| {
        let write = |key: &Key| Write::put(key.clone(), n.to_string(), source("Device/d"));
        match store.commit(&t, keys.iter().map(write).collect())? {
            Ok(_) => Ok(()),
            Err(refused) => Err(BrokenClause::what(format!("a commit failed: {:?}", refused.error))),
        }
    };
    round(0)?;
    let writing = AtomicUsize::new(1);
    let number = |version: &Version| {
        let body = version.body.as_deref().and_then(|body| std::str::from_utf8(body).ok());
        body.and_then(|text| text.parse::<usize>().ok())
    };
    store.together(2, |thread| {
        if thread == 0 {
            let rounds = (1..60).try_for_each(round);
            writing.store(0, Ordering::Release);
            return rounds;
        }
        while writing.load(Ordering::Acquire) == 1 {
            // A later read shows the same commit or a later one.
            let mut newest = None;
            for key in &keys {
                let read = number(&store.found(&t, key)?);
                ensure!(read >= newest, "`{key}` shows commit {read:?} when commit {newest:?} was seen before");
                newest = read;
            }
            if !store.capabilities().search_read_your_writes {
                continue;
            }
            let page = store.search(&t, &Search::new(ResourceType::DeviceComponent))?;
            let page = page.map_err(|error| BrokenClause::what(format!("a search failed: {error:?}")))?;
            let seen: Vec<_> = page.items.iter().map(number).collect();
            let whole = page.next.is_some() || seen.len() == group;
            let same = seen.windows(2).all(|pair| pair.first() == pair.last());
            ensure!(whole && same, "a page shows half a commit: {seen:?}");
        }
        Ok(())
    })?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn r1_commit_with_a_duplicate_key_is_refused(store: &Store<'_>) -> ClauseResult {
    if store.capabilities().max_writes < 2 {
        return Ok(MULTIPLE);
    }
    let (t, key) = (fresh(), component("a")?);
    let write = |body: &'static str| Write::put(key.clone(), body, source("Device/d"));
    match store.commit(&t, vec![write("1"), write("2")])? {
        Ok(_) => return Err(BrokenClause::what("a commit that names a key twice was taken")),
        Err(refused) => wanted!(refused.error, StoreError::Invalid { .. }, "a commit that names a key twice"),
    }
    wanted!(store.read(&t, &key)?, Err(StoreError::NotFound { .. }), "a read after the refusal");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r1_commit_of_too_many_writes_is_refused(store: &Store<'_>) -> ClauseResult {
    let max = store.capabilities().max_writes;
    if max > 20_000 {
        return Ok(ClauseOutcome::Skipped("no limit of writes within reach"));
    }
    let t = fresh();
    let write = |n: usize| Ok(Write::put(component(&n.to_string())?, "1", source("Device/d")));
    match store.commit(&t, (0..=max).map(write).collect::<ClauseResult<_>>()?)? {
        Ok(_) => {
            return Err(BrokenClause::what(format!("a commit of {} writes was taken, and {max} are allowed", max + 1)));
        }
        Err(refused) => wanted!(refused.error, StoreError::Unsupported { .. }, "a commit of too many writes"),
    }
    wanted!(store.read(&t, &component("0")?)?, Err(StoreError::NotFound { .. }), "a read after the refusal");
    store.finds(&t, &Search::new(ResourceType::DeviceComponent), &[])
}

pub(super) fn r1_commit_beyond_its_scope_is_refused(store: &Store<'_>) -> ClauseResult {
    let scope = store.capabilities().atomic;
    if scope == AtomicScope::Tenant {
        return Ok(ClauseOutcome::Skipped("no scope smaller than a tenant"));
    }
    let t = fresh();
    let (first, second) = if scope == AtomicScope::Key { ("Device/d", "Device/d") } else { ("Device/d", "Device/e") };
    let writes =
        vec![Write::create(component("a")?, "1", source(first)), Write::create(component("b")?, "1", source(second))];
    match store.commit(&t, writes)? {
        Ok(_) => return Err(BrokenClause::what(format!("a commit beyond the scope {scope:?} was taken"))),
        Err(refused) => wanted!(refused.error, StoreError::Unsupported { .. }, "a commit beyond the scope {scope:?}"),
    }
    wanted!(store.read(&t, &component("a")?)?, Err(StoreError::NotFound { .. }), "a read after the refusal");
    store.finds(&t, &Search::new(ResourceType::DeviceComponent), &[])
}

/// Writes to an unknown resource, to one that exists in version 2, and to one deleted in version 2. Returns each
/// outcome, and a read after it.
fn states(
    store: &Store<'_>,
    when: Precondition,
    body: Option<&bytes::Bytes>,
) -> ClauseResult<Vec<(Result<u64>, Result<Version>)>> {
    let t = fresh();
    let (living, deleted) = (device("living")?, device("deleted")?);
    store.made(&t, Write::create(living.clone(), "1", nothing()))?;
    store.made(&t, Write::update(living.clone(), v(1), "2", nothing()))?;
    store.made(&t, Write::create(deleted.clone(), "1", nothing()))?;
    store.made(&t, Write::delete(deleted.clone(), Precondition::Exists))?;
    let mut found = Vec::new();
    for key in [device("never")?, living, deleted] {
        let write =
            Write { key: key.clone(), body: body.cloned(), index: nothing(), precondition: when, write_id: None };
        let outcome = store.write(&t, write)?.map(|version| version.version.get());
        found.push((outcome, store.read(&t, &key)?));
    }
    Ok(found)
}

/// Checks the outcomes of [`states`] against the table of R2 and R6, whose cells are the number of the version made or
/// the name of the error.
fn table(store: &Store<'_>, body: Option<&bytes::Bytes>, rows: &[(Precondition, [&str; 3])]) -> ClauseResult {
    for (when, row) in rows {
        let outcomes = states(store, *when, body)?;
        for ((state, wanted), (outcome, read)) in ["never was", "lives", "is deleted"].iter().zip(row).zip(outcomes) {
            let found = match &outcome {
                Ok(version) => version.to_string(),
                Err(error) => name(error)?,
            };
            ensure!(found == *wanted, "{when:?} over what {state} gives {found}, wanted {wanted}");
            let untouched = match (*state, &read) {
                ("never was", Err(StoreError::NotFound { .. })) => true,
                ("lives", Ok(version)) => version.version == v(2) && version.body.as_deref() == Some(b"2"),
                ("is deleted", Err(StoreError::Gone { at, .. })) => *at == v(2),
                _ => false,
            };
            let made = match (&outcome, &read) {
                (Ok(number), Ok(version)) => version.version.get() == *number && version.body.as_ref() == body,
                (Ok(number), Err(StoreError::Gone { at, .. })) => at.get() == *number && body.is_none(),
                _ => false,
            };
            let right = if outcome.is_ok() { made } else { untouched };
            ensure!(right, "{when:?} over what {state} gives {found}, and a read gives {read:?}");
        }
    }
    Ok(ClauseOutcome::Held)
}

/// Returns the name of the error; its current version, if present, must be correct.
fn name(error: &StoreError) -> ClauseResult<String> {
    use StoreError::{AlreadyExists, Conflict, Gone, Invalid, NotFound};
    Ok(match error {
        AlreadyExists { current, .. } | Conflict { current, .. } => {
            ensure!(current.is_none_or(|current| current == v(2)), "the error {error:?} names another version than 2");
            if matches!(error, AlreadyExists { .. }) { "AlreadyExists" } else { "Conflict" }.to_owned()
        }
        Gone { at, .. } => {
            ensure!(*at == v(2), "the error {error:?} names another version than 2");
            "Gone".to_owned()
        }
        NotFound { .. } => "NotFound".to_owned(),
        Invalid { .. } => "Invalid".to_owned(),
        other => format!("{other:?}"),
    })
}

const WRITES: [(Precondition, [&str; 3]); 4] = [
    (Precondition::Absent, ["1", "AlreadyExists", "3"]),
    (Precondition::Exists, ["NotFound", "3", "Gone"]),
    (Precondition::None, ["1", "3", "3"]),
    (Precondition::Version(VersionId::FIRST), ["Conflict", "Conflict", "Conflict"]),
];

fn preconditions(store: &Store<'_>, body: &bytes::Bytes) -> ClauseResult {
    table(store, Some(body), &WRITES)?;
    table(store, Some(body), &[(Precondition::Version(v(2)), ["Conflict", "3", "Conflict"])])?;
    table(store, Some(body), &[(Precondition::Version(v(3)), ["Conflict", "Conflict", "Conflict"])])
}

pub(super) fn r2_preconditions_hold_for_small_bodies(store: &Store<'_>) -> ClauseResult {
    preconditions(store, &bytes::Bytes::from_static(b"x"))
}

pub(super) fn r2_preconditions_hold_for_the_largest_bodies(store: &Store<'_>) -> ClauseResult {
    match body(store.capabilities().max_body) {
        Some(body) => preconditions(store, &body),
        None => Ok(ClauseOutcome::Skipped("no limit of a body within reach")),
    }
}

pub(super) fn r2_preconditions_hold_for_deletions(store: &Store<'_>) -> ClauseResult {
    table(
        store,
        None,
        &[
            (Precondition::Absent, ["Invalid", "Invalid", "Invalid"]),
            (Precondition::Exists, ["NotFound", "3", "Gone"]),
            (Precondition::None, ["NotFound", "3", "Gone"]),
            (Precondition::Version(v(1)), ["Conflict", "Conflict", "Conflict"]),
            (Precondition::Version(v(2)), ["Conflict", "3", "Conflict"]),
        ],
    )
}

pub(super) fn r2_first_failing_write_is_named(store: &Store<'_>) -> ClauseResult {
    if store.group().is_none() {
        return Ok(MULTIPLE);
    }
    let t = fresh();
    let keys = parts(&["a", "b", "c"])?;
    let [a, b, c] = keys.as_slice() else { return Ok(MULTIPLE) };
    store.made(&t, Write::create(a.clone(), "1", source("Device/d")))?;
    let writes = vec![
        Write::update(a.clone(), v(1), "2", source("Device/d")),
        Write::update(b.clone(), v(1), "2", source("Device/d")),
        Write { precondition: Precondition::Exists, ..Write::put(c.clone(), "2", source("Device/d")) },
    ];
    match store.commit(&t, writes)? {
        Ok(_) => Err(BrokenClause::what("a commit was taken although two of its writes fail")),
        Err(refused) => {
            ensure!(refused.index == Some(1), "the error names write {:?}, wanted 1", refused.index);
            wanted!(refused.error, StoreError::Conflict { .. }, "the error of the first write that fails");
            wanted!(store.found(&t, a)?, Version { version, .. } if version == v(1), "the version after the refusal");
            Ok(ClauseOutcome::Held)
        }
    }
}

pub(super) fn r2_of_concurrent_writers_of_one_version_one_wins(store: &Store<'_>) -> ClauseResult {
    const THREADS: usize = 4;
    const ROUNDS: usize = 25;
    let (t, key) = (fresh(), device("counter")?);
    store.made(&t, Write::create(key.clone(), "0", nothing()))?;
    let add_one = || loop {
        let seen = store.found(&t, &key)?;
        let text = seen.body.as_deref().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
        let n: u64 = text.parse().map_err(|_| BrokenClause::what(format!("the counter reads `{text}`")))?;
        match store.write(&t, Write::update(key.clone(), seen.version, (n + 1).to_string(), nothing()))? {
            Ok(made) => {
                let next = seen.version.next();
                ensure!(made.version == next, "the write over {} made {}", seen.version, made.version);
                return Ok(());
            }
            Err(error) => wanted!(error, StoreError::Conflict { .. }, "a write over a version that was read"),
        }
    };
    store.together(THREADS, |_| (0..ROUNDS).try_for_each(|_| add_one()))?;
    let last = store.found(&t, &key)?;
    let all = (THREADS * ROUNDS) as u64;
    ensure!(last.body.as_deref() == Some(all.to_string().as_bytes()), "{all} counts ended as {:?}", last.body);
    ensure!(last.version == v(all + 1), "{all} counts ended in version {}", last.version);
    Ok(ClauseOutcome::Held)
}

pub(super) fn r2_of_concurrent_creators_one_wins(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().conditional_create {
        return Ok(ClauseOutcome::Skipped("creations on the condition that there is none"));
    }
    const THREADS: usize = 4;
    let t = fresh();
    for round in 0..10 {
        let key = device(&format!("d{round}"))?;
        let (won, started) = (AtomicUsize::new(0), std::sync::Barrier::new(THREADS));
        store.together(THREADS, |_| {
            started.wait();
            match store.write(&t, Write::create(key.clone(), "1", nothing()))? {
                Ok(made) => {
                    won.fetch_add(1, Ordering::Relaxed);
                    ensure!(made.version == v(1), "a creation made version {}", made.version);
                }
                Err(error) => wanted!(error, StoreError::AlreadyExists { .. }, "a creation of what another created"),
            }
            Ok(())
        })?;
        let won = won.into_inner();
        ensure!(won == 1, "{won} of {THREADS} creators of `{key}` won");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r3_versions_continue_after_a_deletion(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), device("phoenix")?);
    let writes = [
        Write::create(key.clone(), "1", nothing()),
        Write::delete(key.clone(), Precondition::Version(v(1))),
        Write::create(key.clone(), "3", nothing()),
        Write::delete(key.clone(), Precondition::None),
        Write::put(key.clone(), "5", nothing()),
        Write::update(key, v(5), "6", nothing()),
    ];
    for (number, write) in (1..).zip(writes) {
        let made = store.made(&t, write)?.version;
        ensure!(made == v(number), "write {number} of a resource made version {made}");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r3_version_is_never_reused(store: &Store<'_>) -> ClauseResult {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20;
    let (t, key) = (fresh(), device("busy")?);
    let given = std::sync::Mutex::new(Vec::new());
    store.together(THREADS, |thread| {
        for round in 0..ROUNDS {
            let blind = Write::put(key.clone(), format!("{thread}.{round}"), nothing());
            match store.write(&t, blind)? {
                Ok(made) => given.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(made.version.get()),
                // A store may implement unconditional writes by retries, and give up.
                Err(error) => ensure!(error.is_transient(), "a blind write failed: {error:?}"),
            }
        }
        Ok(())
    })?;
    let mut given = given.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    given.sort_unstable();
    let wanted: Vec<_> = (1..=given.len() as u64).collect();
    ensure!(given == wanted, "the writes were given the versions {given:?}");
    ensure!(!given.is_empty(), "every blind write was throttled");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r6_delete_needs_an_existing_resource(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), device("mortal")?);
    for when in [Precondition::None, Precondition::Exists] {
        let deleted = store.write(&t, Write::delete(key.clone(), when))?;
        wanted!(deleted, Err(StoreError::NotFound { .. }), "a deletion of what never was");
    }
    wanted!(store.read(&t, &key)?, Err(StoreError::NotFound { .. }), "a read of what never was");
    store.made(&t, Write::create(key.clone(), "1", nothing()))?;
    let deleted = store.made(&t, Write::delete(key.clone(), Precondition::None))?;
    ensure!(deleted.version == v(2) && deleted.is_deleted(), "the deletion made {deleted:?}");
    let again = store.write(&t, Write::delete(key.clone(), Precondition::None))?;
    wanted!(again, Err(StoreError::Gone { at, .. }) if at == v(2), "a second deletion");
    let created = store.made(&t, Write::create(key, "3", nothing()))?;
    ensure!(created.version == v(3), "refused deletions made versions: {} comes next", created.version);
    Ok(ClauseOutcome::Held)
}

pub(super) fn r6_deleted_resource_is_gone(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), component("gone")?);
    store.made(&t, Write::create(key.clone(), "1", source("Device/d")))?;
    let search = Search::new(ResourceType::DeviceComponent);
    let by_source = search.clone().and(Criterion::source("Device/d"));
    let by_id = search.clone().and(Criterion::Id("gone".into()));
    store.finds(&t, &search, &["gone"])?;
    store.made(&t, Write::delete(key.clone(), Precondition::Exists))?;
    wanted!(store.read(&t, &key)?, Err(StoreError::Gone { at, .. }) if at == v(2), "a read of what is deleted");
    for search in [search, by_source, by_id] {
        store.finds(&t, &search, &[])?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r10_refusal_is_not_applied(store: &Store<'_>) -> ClauseResult {
    let body = bytes::Bytes::from_static(b"new");
    for (when, row) in WRITES {
        let refused = states(store, when, Some(&body))?.into_iter().zip(row);
        for ((outcome, read), wanted) in refused.filter(|(_, wanted)| wanted.parse::<u64>().is_err()) {
            let Err(error) = outcome else {
                return Err(BrokenClause::what(format!("{when:?} was taken, wanted {wanted}")));
            };
            ensure!(error.applied() == Applied::No, "the refusal {error:?} leaves open whether it was applied");
            ensure!(!error.is_transient(), "the refusal {error:?} says that the same may succeed later");
            let unread = read.as_ref().map_or(true, |version| version.body.as_ref() != Some(&body));
            ensure!(unread, "the refusal {error:?} says that nothing was applied, and it was");
        }
    }
    Ok(ClauseOutcome::Held)
}

/// Returns a body of this size, if it is not too large for a test.
fn body(size: u64) -> Option<bytes::Bytes> {
    let made = usize::try_from(size).ok().filter(|_| size <= LARGEST_MADE);
    made.map(|size| std::iter::once(b'"').chain(std::iter::repeat(b'a')).take(size).collect())
}

pub(super) fn r12_largest_body_is_accepted(store: &Store<'_>) -> ClauseResult {
    let (t, max) = (fresh(), store.capabilities().max_body);
    let sizes = [Some(bytes::Bytes::new()), Some("x".into()), body(max)];
    for (n, body) in sizes.iter().flatten().enumerate() {
        let key = device(&format!("d{n}"))?;
        store.made(&t, Write::create(key.clone(), body.clone(), nothing()))?;
        let read = store.found(&t, &key)?.body;
        let length = read.as_ref().map(bytes::Bytes::len);
        ensure!(read.as_ref() == Some(body), "of a body of {} bytes {length:?} are read, or others", body.len());
    }
    let reached = sizes.iter().all(Option::is_some);
    Ok(if reached { ClauseOutcome::Held } else { ClauseOutcome::Skipped("no limit of a body within reach") })
}

pub(super) fn r12_larger_body_is_refused(store: &Store<'_>) -> ClauseResult {
    let max = store.capabilities().max_body;
    let Some(body) = max.checked_add(1).and_then(body) else {
        return Ok(ClauseOutcome::Skipped("no limit of a body within reach"));
    };
    for when in [Precondition::Absent, Precondition::Exists, Precondition::None, Precondition::Version(v(2))] {
        let states = states(store, when, Some(&body))?;
        for (outcome, read) in states {
            wanted!(
                outcome,
                Err(StoreError::TooLarge { limit, .. }) if limit == max,
                "{when:?} with {} bytes where {max} are allowed",
                body.len()
            );
            let unread = read.map_or(true, |version| version.version == v(2) && version.body.as_deref() == Some(b"2"));
            ensure!(unread, "a body that was refused under {when:?} was written");
        }
    }
    Ok(ClauseOutcome::Held)
}
