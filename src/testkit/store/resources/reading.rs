//! R4, R5 and R11: reads.

use super::*;
use crate::store::{Precondition, WriteId};
use bytes::Bytes;

pub(super) fn r4_body_is_read_byte_for_byte(store: &Store<'_>) -> ClauseResult {
    let (t, capabilities) = (fresh(), store.capabilities());
    let bodies: [&[u8]; 4] = [
        b"{ \"a\": 1.50,\n\t\"b\": \"\xf0\x9f\xa9\xba\", \"a\": 1e2 }",
        b"{\"z\":1,\"a\":9007199254740993}\r\n",
        b"\"\\u0000\\/\"",
        b"{}",
    ];
    for (n, body) in bodies.into_iter().enumerate() {
        let key = device(&format!("exact-{n}"))?;
        let made = store.made(&t, Write::create(key.clone(), Bytes::from_static(body), nothing()))?;
        ensure!(made.body.as_deref() == Some(body), "the commit gave {made:?} for {body:?}");
        let mut ways = vec![("read", store.found(&t, &key)?)];
        if capabilities.history {
            let vread = store.vread(&t, &key, v(1))?;
            ways.push(("vread", vread.map_err(|error| BrokenClause::what(format!("a vread failed: {error:?}")))?));
            ways.extend(store.versions(&t, &key)?.into_iter().map(|version| ("history", version)));
        }
        if capabilities.search_read_your_writes {
            let search = Search::new(ResourceType::Device);
            let found = store.walk(&t, &search, |_| Ok(()))?.unwrap_or_default();
            ways.extend(found.into_iter().filter(|version| version.key == key).map(|version| ("search", version)));
        }
        for (way, read) in &ways {
            ensure!(*read == made, "by {way} it is {read:?}, and {made:?} was made");
        }
        let wanted = 1 + 2 * usize::from(capabilities.history) + usize::from(capabilities.search_read_your_writes);
        ensure!(ways.len() == wanted, "it is read in {} ways, wanted {wanted}", ways.len());
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r4_acknowledged_write_is_visible_to_others(store: &Store<'_>) -> ClauseResult {
    const ROUNDS: u64 = 40;
    let (t, key) = (fresh(), device("news")?);
    let (tell, hear) = std::sync::mpsc::channel();
    let hear = std::sync::Mutex::new(hear);
    let tell = std::sync::Mutex::new(Some(tell));
    store.together(2, |thread| {
        if thread == 0 {
            // Dropping the sender at the end also ends the reader.
            let tell = tell.lock().map(|mut tell| tell.take());
            let Ok(Some(tell)) = tell else { return Ok(()) };
            for _ in 0..ROUNDS {
                let made = store.made(&t, Write::put(key.clone(), "1", nothing()))?;
                let _ = tell.send(made.version);
            }
            return Ok(());
        }
        let Ok(hear) = hear.lock() else { return Ok(()) };
        for acknowledged in hear.iter() {
            let read = store.found(&t, &key)?.version;
            ensure!(read >= acknowledged, "version {acknowledged} was acknowledged, and another reads {read}");
        }
        Ok(())
    })?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn r4_search_sees_acknowledged_writes(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().search_read_your_writes {
        return Ok(ClauseOutcome::Skipped("searches that see acknowledged writes"));
    }
    let t = fresh();
    let search = Search::new(ResourceType::DeviceComponent).limit(200);
    let mut wanted = Vec::new();
    for n in 0..20 {
        let key = component(&format!("c{n:02}"))?;
        wanted.push(key.id().clone());
        store.made(&t, Write::create(key.clone(), "1", source("Device/d")))?;
        let wanted: Vec<_> = wanted.iter().map(smol_str::SmolStr::as_str).collect();
        store.finds(&t, &search, &wanted)?;
        store.made(&t, Write::update(key, v(1), "2", source("Device/e")))?;
        store.finds(&t, &search.clone().and(crate::search::Criterion::source("Device/e")), &wanted)?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r5_history_is_newest_first_and_keeps_deletions(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().history {
        return Ok(ClauseOutcome::Skipped("history"));
    }
    let (t, key) = (fresh(), device("old")?);
    store.made(&t, Write::create(key.clone(), "1", nothing()))?;
    store.made(&t, Write::update(key.clone(), v(1), "2", nothing()))?;
    store.made(&t, Write::delete(key.clone(), Precondition::Exists))?;
    store.made(&t, Write::create(key.clone(), "4", nothing()))?;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.history(&t, &key, 3, after.as_ref())?;
        let page = page.map_err(|error| BrokenClause::what(format!("a page of a history failed: {error:?}")))?;
        ensure!(page.items.len() <= 3, "a page of {} versions, wanted at most 3", page.items.len());
        seen.extend(page.items);
        // A write between two pages shifts nothing.
        store.made(&t, Write::put(key.clone(), "later", nothing()))?;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let found: Vec<_> = seen.iter().map(|version| (version.version.get(), version.body.as_deref())).collect();
    let wanted: [(u64, Option<&[u8]>); 4] = [(4, Some(b"4")), (3, None), (2, Some(b"2")), (1, Some(b"1"))];
    // The oldest versions may be forgotten.
    let right = !found.is_empty() && wanted.starts_with(&found);
    ensure!(right, "the history is {found:?}, wanted {wanted:?} or the newest of them");
    let kept = store.versions(&t, &key)?;
    for version in &kept {
        let read = store.vread(&t, &key, version.version)?;
        ensure!(read.as_ref().ok() == Some(version), "a vread gives {read:?}, and the history {version:?}");
        let seen = seen.iter().find(|seen| seen.version == version.version);
        ensure!(seen.is_none_or(|seen| seen == version), "the history gives {version:?}, and gave {seen:?} before");
    }
    let oldest = kept.last().map_or(1, |version| version.version.get());
    let count = kept.first().map_or(0, |version| version.version.get()).saturating_sub(oldest) + 1;
    ensure!(kept.len() as u64 == count, "the history has {} versions from {oldest} on, wanted {count}", kept.len());
    if let Some(forgotten) = VersionId::new(oldest - 1) {
        wanted!(
            store.vread(&t, &key, forgotten)?,
            Err(StoreError::NotFound { .. }),
            "a vread of what the history forgot"
        );
    }
    // A deletion at the end is the newest version, and a deleted resource keeps its history.
    let last = store.made(&t, Write::delete(key.clone(), Precondition::None))?;
    let newest = store.history(&t, &key, 1, None)?.map(|page| page.items);
    wanted!(newest, Ok(items) if items == [last.clone()], "the newest version of what is deleted");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r5_unknown_resource_has_no_history(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().history {
        return Ok(ClauseOutcome::Skipped("history"));
    }
    let (t, key) = (fresh(), device("a")?);
    // First for a tenant without resources, then for one with a resource.
    for _ in 0..2 {
        let never = device("never")?;
        wanted!(store.history(&t, &never, 3, None)?, Err(StoreError::NotFound { .. }), "the history of what never was");
        wanted!(store.vread(&t, &never, v(1))?, Err(StoreError::NotFound { .. }), "a vread of what never was");
        store.made(&t, Write::put(key.clone(), "1", nothing()))?;
    }
    wanted!(store.vread(&t, &key, v(3))?, Err(StoreError::NotFound { .. }), "a vread of a version that was not made");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r5_history_without_the_capability_is_unsupported(store: &Store<'_>) -> ClauseResult {
    if store.capabilities().history {
        return Ok(ClauseOutcome::Skipped("no history"));
    }
    let (t, key) = (fresh(), device("a")?);
    store.made(&t, Write::put(key.clone(), "1", nothing()))?;
    wanted!(store.history(&t, &key, 3, None)?, Err(StoreError::Unsupported { .. }), "the history");
    wanted!(store.vread(&t, &key, v(1))?, Err(StoreError::Unsupported { .. }), "a vread");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r15_pruned_history_keeps_the_newest_versions(store: &Store<'_>) -> ClauseResult {
    let capabilities = store.capabilities();
    if !capabilities.history_pruning || !capabilities.history {
        return Ok(ClauseOutcome::Skipped("the pruning of a history"));
    }
    let (t, other, key) = (fresh(), fresh(), device("a")?);
    wanted!(store.prune(&t, &key, 1)?, Err(StoreError::NotFound { .. }), "the pruning of what never was");
    for tenant in [&t, &other] {
        for body in ["1", "2", "3", "4", "5"] {
            store.made(tenant, Write::put(key.clone(), body, nothing()))?;
        }
    }
    let before = store.versions(&t, &key)?;
    let elsewhere = store.versions(&other, &key)?;
    let kept = before.len().min(2);
    let forgotten = store.prune(&t, &key, 2)?;
    let wanted = before.len() - kept;
    // Where the first answer is lost and the caller repeats the call, fewer versions are left to forget.
    wanted!(forgotten, Ok(count) if usize::try_from(count).is_ok_and(|count| count <= wanted), "the count of the forgotten");
    let after = store.versions(&t, &key)?;
    ensure!(Some(after.as_slice()) == before.get(..kept), "the history is {after:?} after pruning, and was {before:?}");
    for version in &before {
        let read = store.vread(&t, &key, version.version)?;
        let is_kept = after.contains(version);
        let right = if is_kept {
            read.as_ref().ok() == Some(version)
        } else {
            matches!(read, Err(StoreError::NotFound { .. }))
        };
        ensure!(right, "a vread of version {} gives {read:?} after pruning", version.version);
    }
    ensure!(store.versions(&other, &key)? == elsewhere, "the history of another tenant was pruned");
    wanted!(store.prune(&t, &key, 2)?, Ok(0), "the pruning of what was pruned");
    // A deletion that is the newest version is kept, and the numbers go on.
    let deleted = store.made(&t, Write::delete(key.clone(), Precondition::None))?;
    wanted!(store.prune(&t, &key, 1)?, Ok(_), "the pruning of what is deleted");
    ensure!(store.versions(&t, &key)? == [deleted.clone()], "a deletion that was the newest version was forgotten");
    wanted!(store.read(&t, &key)?, Err(StoreError::Gone { at, .. }) if at == deleted.version, "a read of what is deleted");
    let again = store.made(&t, Write::create(key, "6", nothing()))?;
    ensure!(again.version == deleted.version.next(), "a creation after pruning made version {}", again.version);
    Ok(ClauseOutcome::Held)
}

pub(super) fn r15_prune_without_the_capability_is_unsupported(store: &Store<'_>) -> ClauseResult {
    if store.capabilities().history_pruning {
        return Ok(ClauseOutcome::Skipped("no pruning of a history"));
    }
    let (t, key) = (fresh(), device("a")?);
    store.made(&t, Write::put(key.clone(), "1", nothing()))?;
    store.made(&t, Write::put(key.clone(), "2", nothing()))?;
    wanted!(store.prune(&t, &key, 1)?, Err(StoreError::Unsupported { .. }), "the pruning of a history");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r16_changes_are_complete_and_newest_first(store: &Store<'_>) -> ClauseResult {
    let (t, other) = (fresh(), fresh());
    if !store.capabilities().changes {
        wanted!(store.changes(&t, &Changes::new())?, Err(StoreError::Unsupported { .. }), "the changes");
        return Ok(ClauseOutcome::Skipped("no changes"));
    }
    let component = component("c")?;
    let mut made = Vec::new();
    for key in [device("a")?, component.clone(), device("b")?] {
        for body in ["1", "2"] {
            made.push(store.made(&t, Write::put(key.clone(), body, nothing()))?);
        }
    }
    made.push(store.made(&t, Write::delete(device("a")?, Precondition::None))?);
    made.push(store.made(&t, Write::put(component, "3", nothing()))?);
    store.made(&other, Write::put(device("a")?, "1", nothing()))?;
    for limit in [1, 3, 50] {
        let all = store.changes(&t, &Changes::new().limit(limit))?;
        let all = all.map_err(|error| BrokenClause::what(format!("the changes failed: {error:?}")))?;
        ensure!(all.is_sorted_by(|one, next| one.last_updated >= next.last_updated), "the changes are out of order");
        let mut found = all.clone();
        found.sort_by_key(|version| (version.key.clone(), version.version));
        made.sort_by_key(|version| (version.key.clone(), version.version));
        ensure!(found == made, "the changes in pages of {limit} are {found:?}, and {made:?} were made");
        let oldest_first = store.changes(&t, &Changes::new().oldest_first().limit(limit))?;
        let mut ascending = all.clone();
        ascending.reverse();
        wanted!(oldest_first, Ok(found) if found == ascending, "the changes from the oldest on");
        let of_devices = store.changes(&t, &Changes::new().of_type(ResourceType::Device).limit(limit))?;
        let wanted: Vec<_> = all.iter().filter(|v| v.key.resource_type() == ResourceType::Device).cloned().collect();
        wanted!(of_devices, Ok(found) if found == wanted, "the changes of a type");
        for since in all.iter().map(|version| version.last_updated) {
            let wanted: Vec<_> = all.iter().filter(|version| version.last_updated >= since).cloned().collect();
            let later = store.changes(&t, &Changes::new().since(since).limit(limit))?;
            wanted!(later, Ok(found) if found == wanted, "the changes from a moment on");
            let ascending: Vec<_> = wanted.into_iter().rev().collect();
            let later = store.changes(&t, &Changes::new().since(since).oldest_first().limit(limit))?;
            wanted!(later, Ok(found) if found == ascending, "the changes from a moment on, the oldest first");
        }
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r11_write_id_is_returned(store: &Store<'_>) -> ClauseResult {
    let (t, key) = (fresh(), device("marked")?);
    let (first, second) = (Some(WriteId(u128::MAX - 5)), Some(WriteId(2)));
    let write = Write { write_id: first, ..Write::create(key.clone(), "1", nothing()) };
    let made = store.made(&t, write.clone())?;
    ensure!(made.write_id == first, "the commit gave the write id {:?}, wanted {first:?}", made.write_id);
    let again = store.write(&t, write)?;
    wanted!(again, Err(StoreError::AlreadyExists { .. }), "a creation that is repeated with its write id");
    ensure!(store.found(&t, &key)?.write_id == first, "a read gives another write id");
    // The same write id once more: the store does not look for duplicates.
    let other = device("other")?;
    store.made(&t, Write { write_id: first, ..Write::create(other.clone(), "1", nothing()) })?;
    ensure!(store.found(&t, &other)?.write_id == first, "a read gives another write id");
    store.made(&t, Write::update(key.clone(), v(1), "2", nothing()))?;
    ensure!(store.found(&t, &key)?.write_id.is_none(), "a write without an id took over the one before it");
    store.made(&t, Write { write_id: second, ..Write::delete(key.clone(), Precondition::Exists) })?;
    let second = second.filter(|_| store.capabilities().deletion_write_ids);
    if store.capabilities().history {
        let ids: Vec<_> = store.versions(&t, &key)?.iter().map(|version| version.write_id).collect();
        let wanted = [second, None, first];
        ensure!(ids == wanted, "the history has the write ids {ids:?}, wanted {wanted:?}");
    }
    Ok(ClauseOutcome::Held)
}
