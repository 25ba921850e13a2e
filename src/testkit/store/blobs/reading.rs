//! B5 and B8: reads and lists.

use super::*;

const TEXT: &[u8] = b"0123456789";

pub(super) fn b5_committed_bytes_are_read(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    // Several chunks, none with a power of two as its size, and together larger than one part of a multipart upload.
    let size = usize::try_from(store.capabilities().max_size).unwrap_or(usize::MAX).min(6_000_007);
    let bytes: Bytes = (0..size).map(|n| b"the bytes of a file".get(n % 19).copied().unwrap_or_default()).collect();
    for size in [1, 5, 65_537, size] {
        let (g, bytes) = (generation(), bytes.slice(..size.min(bytes.len())));
        let blob = BlobRef::of(&bytes);
        let outcome = store.wait(async {
            let mut writer = store.store.begin(&t).await?;
            for chunk in bytes.chunks(77_777) {
                writer.write(bytes.slice_ref(chunk)).await?;
            }
            writer.commit(blob, g).await
        })?;
        wanted!(outcome, Ok(PutOutcome::Stored), "a commit of {size} bytes");
        store.present(&t, &blob.key(g), &bytes)?;
        // A range at each end and in the middle.
        let (end, half) = (blob.size, blob.size / 2);
        for range in [0..1, half..half.saturating_add(3).min(end), end.saturating_sub(2)..end] {
            let (Ok(from), Ok(to)) = (usize::try_from(range.start), usize::try_from(range.end)) else { continue };
            let read = store.get(&t, &blob.key(g), Some(range.clone()))?.map(|(_, _, read)| read);
            let wanted = bytes.slice(from..to);
            wanted!(read, Ok(read) if read == wanted, "the bytes {range:?} of {end}");
        }
    }
    Ok(ClauseOutcome::Held)
}

/// Stores a blob of ten bytes in several chunks, one of them empty.
fn digits(store: &Store<'_>, t: &Tenant) -> ClauseResult<BlobKey> {
    let (g, blob) = (generation(), BlobRef::of(TEXT));
    let writer = store.writer(t, &[b"012", b"", b"3", b"456789"])?;
    wanted!(store.commit(writer, blob, g)?, Ok(_), "a commit of four chunks");
    Ok(blob.key(g))
}

pub(super) fn b5_range_is_read_across_chunks(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let key = digits(store, &t)?;
    let ends = [11, 1 << 40, u64::MAX];
    for start in 0..10_usize {
        for end in (start as u64 + 1..=10).chain(ends) {
            let asked = start as u64..end;
            let cut = end.min(10);
            let wanted = usize::try_from(cut).ok().and_then(|to| TEXT.get(start..to)).unwrap_or_default();
            match store.get(&t, &key, Some(asked.clone()))? {
                Ok((blob, range, read)) => {
                    ensure!(read == wanted, "the bytes {asked:?} are read as {read:?}, wanted {wanted:?}");
                    ensure!(range == (asked.start..cut), "the bytes {asked:?} are said to be {range:?}");
                    ensure!(blob == BlobRef::of(TEXT), "the bytes {asked:?} are said to be of {blob:?}");
                }
                Err(error) => return Err(BrokenClause::what(format!("the bytes {asked:?} cannot be read: {error:?}"))),
            }
        }
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn b5_range_beyond_the_end_is_refused(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let key = digits(store, &t)?;
    for start in [10, 11, 1 << 40] {
        let read = store.get(&t, &key, Some(start..u64::MAX))?;
        wanted!(read, Err(StoreError::OutOfRange { size: 10, .. }), "a range that starts at {start} of 10");
    }
    for range in [Range { start: 3, end: 3 }, Range { start: 0, end: 0 }, Range { start: 4, end: 3 }] {
        let read = store.get(&t, &key, Some(range.clone()))?;
        wanted!(read, Err(StoreError::Invalid { .. }), "the empty range {range:?}");
    }
    let absent = store.get(&t, &other(&key), Some(0..1))?;
    wanted!(absent, Err(StoreError::NotFound { .. }), "a range of what is not there");
    Ok(ClauseOutcome::Held)
}

/// Returns the same digest under an unused generation.
fn other(key: &BlobKey) -> BlobKey {
    BlobKey { generation: generation(), ..*key }
}

pub(super) fn b5_read_during_deletion_completes_or_fails(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let size = usize::try_from(store.capabilities().max_size).unwrap_or(usize::MAX).min(3_000_000);
    let bytes: Bytes = (0..size).map(|n| u8::try_from(n % 251).unwrap_or_default()).collect();
    let (g, blob) = (generation(), BlobRef::of(&bytes));
    let seen = store.wait(async {
        let mut writer = store.store.begin(&t).await?;
        for chunk in bytes.chunks(500_000) {
            writer.write(bytes.slice_ref(chunk)).await?;
        }
        writer.commit(blob, g).await?;
        let mut body = store.store.get(&t, &blob.key(g), None).await?.body;
        let mut seen = Vec::new();
        if let Some(first) = stream::next(&mut body).await {
            seen.extend_from_slice(&first?);
        }
        store.store.delete(&t, &blob.key(g)).await?;
        while let Some(chunk) = stream::next(&mut body).await {
            match chunk {
                Ok(chunk) => seen.extend_from_slice(&chunk),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(seen))
    })?;
    match seen {
        Ok(Some(seen)) if bytes != seen => {
            Err(BrokenClause::what(format!("a read whose blob was deleted ended after {} of {size} bytes", seen.len())))
        }
        Ok(_) => Ok(ClauseOutcome::Held),
        Err(error) => {
            let error: StoreError = error;
            Err(BrokenClause::what(format!("a blob of {size} bytes cannot be written, read and deleted: {error:?}")))
        }
    }
}

/// Stores blobs of one tenant, and returns their keys in order.
fn several(store: &Store<'_>, t: &Tenant, count: usize) -> ClauseResult<Vec<BlobKey>> {
    const TEXTS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
    let store_one = |text: &&'static [u8]| store.stored(t, text, generation());
    let mut keys = TEXTS.iter().cycle().take(count).map(store_one).collect::<ClauseResult<Vec<_>>>()?;
    keys.sort_unstable();
    Ok(keys)
}

pub(super) fn b8_pages_of_any_length_are_complete(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let listed = store.all(&t, 9, |_| Ok(()))?;
    ensure!(listed.is_empty(), "a list of a tenant that has nothing shows {listed:?}");
    let keys = several(store, &t, 7)?;
    for limit in [1, 2, 3, 6, 7, 8, u32::MAX] {
        let listed = store.all(&t, limit, |_| Ok(()))?;
        let found: Vec<_> = listed.iter().map(|info| info.key).collect();
        ensure!(found == keys, "pages of at most {limit} show {found:?}, wanted {keys:?}");
        ensure!(listed.iter().all(|info| info.size == 1), "a list gives another size than 1: {listed:?}");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn b8_pages_are_stable_while_others_write(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let all = several(store, &t, 24)?;
    let (goes, stays): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(n, _)| n % 3 == 0);
    let seen = store.all(&t, 3, |page| {
        for at in [page, goes.len().saturating_sub(page + 1)] {
            if let Some((_, key)) = goes.get(at) {
                store.delete(&t, key)?;
            }
            store.stored(&t, b"new", generation())?;
        }
        // A list must end.
        ensure!(page < 200, "the pages of a list do not end");
        Ok(())
    })?;
    let seen: Vec<_> = seen.iter().map(|info| info.key).collect();
    let ascending = seen.iter().zip(seen.iter().skip(1)).all(|(one, next)| one < next);
    ensure!(ascending, "the pages are out of order, or show something twice: {seen:?}");
    let missing: Vec<_> = stays.iter().filter(|(_, key)| !seen.contains(key)).collect();
    ensure!(missing.is_empty(), "the pages skip what was there all the time: {missing:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn b8_foreign_or_damaged_token_is_invalid(store: &Store<'_>) -> ClauseResult {
    let (t, other) = (fresh(), fresh());
    let keys = several(store, &t, 3)?;
    several(store, &other, 3)?;
    let page = store.list(&t, 1, None)?.map_err(|error| BrokenClause::what(format!("a list failed: {error:?}")))?;
    let Some(token) = page.next else {
        return Err(BrokenClause::what("a page of one of three blobs says that all was seen"));
    };
    let rest = store.list(&t, 9, Some(&token))?.map(|page| page.items.iter().map(|info| info.key).collect::<Vec<_>>());
    wanted!(rest, Ok(rest) if Some(rest.as_slice()) == keys.get(1..), "the rest behind the first page");
    for tenant in [&other, &fresh()] {
        let foreign = store.list(tenant, 9, Some(&token))?;
        wanted!(foreign, Err(StoreError::Invalid { .. }), "a list with the token of another tenant");
    }
    for at in 0..token.as_str().len() {
        let damaged = damaged(&token, at)?;
        let list = store.list(&t, 9, Some(&damaged))?;
        wanted!(list, Err(StoreError::Invalid { .. }), "a list with a token that is damaged at {at}");
    }
    Ok(ClauseOutcome::Held)
}
