//! B1 to B4, B6, B10 to B12: writing and deleting blobs.

use super::*;
use crate::store::Applied;

const TEXT: &[u8] = b"firmware";
/// The largest blob that a test makes.
const LARGEST_MADE: u64 = 64 << 20;

pub(super) fn b1_blob_is_invisible_before_commit(store: &Store<'_>) -> ClauseResult {
    let (t, g, blob) = (fresh(), generation(), BlobRef::of(TEXT));
    let writer = store.writer(&t, &[b"firm", b"ware"])?;
    store.absent(&t, &blob.key(g), "what was not committed")?;
    let listed = store.all(&t, 9, |_| Ok(()))?;
    ensure!(listed.is_empty(), "a list shows {listed:?} where nothing was committed");
    wanted!(store.commit(writer, blob, g)?, Ok(PutOutcome::Stored), "the commit");
    store.present(&t, &blob.key(g), TEXT)?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b1_acknowledged_blob_is_visible_to_others(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let (tell, hear) = std::sync::mpsc::channel();
    let (tell, hear) = (std::sync::Mutex::new(Some(tell)), std::sync::Mutex::new(hear));
    store.together(2, |thread| {
        if thread == 0 {
            // Dropping the sender at the end also ends the reader.
            let Ok(Some(tell)) = tell.lock().map(|mut tell| tell.take()) else { return Ok(()) };
            for _ in 0..10 {
                let _ = tell.send(store.stored(&t, TEXT, generation())?);
            }
            return Ok(());
        }
        let Ok(hear) = hear.lock() else { return Ok(()) };
        hear.iter().try_for_each(|key| store.present(&t, &key, TEXT))
    })?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b2_wrong_size_is_refused(store: &Store<'_>) -> ClauseResult {
    let (t, blob) = (fresh(), BlobRef::of(TEXT));
    for chunks in [&[b"firm" as &[u8]][..], &[b"firmware", b" and more"], &[b""], &[]] {
        let g = generation();
        let writer = store.writer(&t, chunks)?;
        wanted!(store.commit(writer, blob, g)?, Err(StoreError::Mismatch { .. }), "a commit of another size");
        store.absent(&t, &blob.key(g), "what was refused")?;
    }
    let listed = store.all(&t, 9, |_| Ok(()))?;
    ensure!(listed.is_empty(), "a list shows {listed:?} where every commit was refused");
    Ok(ClauseOutcome::Held)
}

pub(super) fn b2_wrong_digest_is_refused(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().verifies_digest {
        return Ok(ClauseOutcome::Skipped("the verification of digests"));
    }
    let (t, g, blob) = (fresh(), generation(), BlobRef::of(TEXT));
    let writer = store.writer(&t, &[b"firm", b"warE"])?;
    wanted!(store.commit(writer, blob, g)?, Err(StoreError::Mismatch { .. }), "a commit of another digest");
    store.absent(&t, &blob.key(g), "what was refused")?;
    store.absent(&t, &BlobRef::of(b"firmwarE").key(g), "what was refused")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b3_second_put_is_already_present(store: &Store<'_>) -> ClauseResult {
    let (t, g, blob) = (fresh(), generation(), BlobRef::of(TEXT));
    let first = store.writer(&t, &[TEXT])?;
    wanted!(store.commit(first, blob, g)?, Ok(PutOutcome::Stored), "the first commit");
    for _ in 0..2 {
        let second = store.writer(&t, &[b"fir", b"mware"])?;
        wanted!(store.commit(second, blob, g)?, Ok(PutOutcome::AlreadyPresent), "a second commit under the key");
        store.present(&t, &blob.key(g), TEXT)?;
    }
    let count = store.all(&t, 9, |_| Ok(()))?.len();
    ensure!(count == 1, "a list shows {count} blobs, wanted 1");
    Ok(ClauseOutcome::Held)
}

pub(super) fn b3_concurrent_writers_of_same_bytes_succeed(store: &Store<'_>) -> ClauseResult {
    const THREADS: usize = 4;
    let (t, blob) = (fresh(), BlobRef::of(TEXT));
    for _ in 0..5 {
        let (g, started) = (generation(), std::sync::Barrier::new(THREADS));
        store.together(THREADS, |_| {
            // A thread without a writer must reach the barrier as well.
            let writer = store.writer(&t, &[TEXT]);
            started.wait();
            let outcome = store.commit(writer?, blob, g)?;
            wanted!(outcome, Ok(_), "a commit beside others of the same bytes");
            Ok(())
        })?;
        store.present(&t, &blob.key(g), TEXT)?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn b4_aborted_or_dropped_writer_leaves_nothing(store: &Store<'_>) -> ClauseResult {
    let (t, g, blob) = (fresh(), generation(), BlobRef::of(TEXT));
    let writer = store.writer(&t, &[TEXT])?;
    wanted!(store.wait(writer.abort())?, Ok(()), "an abort");
    let writer = store.writer(&t, &[TEXT])?;
    store.wait(async { drop(writer) })?;
    let writer = store.writer(&t, &[])?;
    store.wait(async { drop(writer) })?;
    store.absent(&t, &blob.key(g), "what was aborted")?;
    let listed = store.all(&t, 9, |_| Ok(()))?;
    ensure!(listed.is_empty(), "a list shows {listed:?} after aborts");
    // The same bytes can still be stored.
    store.stored(&t, TEXT, g)?;
    store.present(&t, &blob.key(g), TEXT)?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b6_delete_is_idempotent(store: &Store<'_>) -> ClauseResult {
    let (t, g) = (fresh(), generation());
    store.delete(&t, &BlobRef::of(TEXT).key(g))?;
    let key = store.stored(&t, TEXT, g)?;
    for _ in 0..2 {
        store.delete(&t, &key)?;
        store.absent(&t, &key, "what was deleted")?;
    }
    let next = store.stored(&t, TEXT, generation())?;
    store.present(&t, &next, TEXT)?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b6_delete_keeps_other_generations(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let first = store.stored(&t, TEXT, generation())?;
    let (g, writer) = (generation(), store.writer(&t, &[TEXT])?);
    let outcome = store.commit(writer, BlobRef::of(TEXT), g)?;
    wanted!(outcome, Ok(PutOutcome::Stored), "a commit of the same bytes under another generation");
    let second = BlobRef::of(TEXT).key(g);
    store.present(&t, &first, TEXT)?;
    store.present(&t, &second, TEXT)?;
    store.delete(&t, &first)?;
    store.absent(&t, &first, "what was deleted")?;
    store.present(&t, &second, TEXT)?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b10_refusal_is_not_applied(store: &Store<'_>) -> ClauseResult {
    let (t, g, blob) = (fresh(), generation(), BlobRef::of(TEXT));
    let writer = store.writer(&t, &[b"firm"])?;
    let short = match store.commit(writer, blob, g)? {
        Ok(outcome) => return Err(BrokenClause::what(format!("a commit of another size gives {outcome:?}"))),
        Err(error) => error,
    };
    let unread = store.get(&t, &blob.key(g), None)?.err();
    let unknown = store.head(&t, &blob.key(g))?.err();
    for error in [Some(short), unread, unknown] {
        let Some(error) = error else { return Err(BrokenClause::what("what was refused is read")) };
        ensure!(error.applied() == Applied::No, "the refusal {error:?} leaves open whether it was applied");
        ensure!(!error.is_transient(), "the refusal {error:?} says that the same may succeed later");
    }
    store.absent(&t, &blob.key(g), "what was refused")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b11_empty_blob_is_stored(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    for chunks in [&[][..], &[b"" as &[u8]], &[b"", b""]] {
        let (g, writer) = (generation(), store.writer(&t, chunks)?);
        wanted!(store.commit(writer, BlobRef::of(b""), g)?, Ok(PutOutcome::Stored), "a commit of no bytes");
        let key = BlobRef::of(b"").key(g);
        store.present(&t, &key, b"")?;
        let range = store.get(&t, &key, Some(0..1))?;
        wanted!(range, Err(StoreError::OutOfRange { size: 0, .. }), "a range of an empty blob");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn b11_largest_blob_is_accepted_and_a_larger_one_refused(store: &Store<'_>) -> ClauseResult {
    let max = store.capabilities().max_size;
    let Some(size) = usize::try_from(max).ok().filter(|_| max <= LARGEST_MADE) else {
        return Ok(ClauseOutcome::Skipped("no limit of a blob within reach"));
    };
    let t = fresh();
    let bytes: Bytes = (0..=size).map(|n| b"0123456789abcdef#".get(n % 17).copied().unwrap_or_default()).collect();
    for (size, fits) in [(size, true), (size.saturating_add(1), false)] {
        let (g, bytes) = (generation(), bytes.slice(..size));
        let blob = BlobRef::of(&bytes);
        let outcome = store.wait(async {
            let mut writer = store.store.begin(&t).await?;
            for chunk in bytes.chunks(1 << 20) {
                writer.write(bytes.slice_ref(chunk)).await?;
            }
            writer.commit(blob, g).await
        })?;
        if fits {
            wanted!(outcome, Ok(PutOutcome::Stored), "a blob of the largest size, {size} bytes");
            store.present(&t, &blob.key(g), &bytes)?;
            store.delete(&t, &blob.key(g))?;
        } else {
            let refused = matches!(outcome, Err(StoreError::TooLarge { limit, .. }) if limit == max);
            ensure!(refused, "a blob of {size} bytes gives {outcome:?}, wanted `TooLarge` of {max}");
            store.absent(&t, &blob.key(g), "what was too large")?;
        }
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn b12_dropped_commit_is_atomic(store: &Store<'_>) -> ClauseResult {
    let (t, blob) = (fresh(), BlobRef::of(TEXT));
    for polls in 0..12 {
        let (g, writer) = (generation(), store.writer(&t, &[b"firm", b"ware"])?);
        store.wait(polled(writer.commit(blob, g), polls))?;
        let key = blob.key(g);
        match store.head(&t, &key)? {
            Ok(_) => store.present(&t, &key, TEXT)?,
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(BrokenClause::what(format!("`head` after a dropped commit failed: {error:?}"))),
        }
        // The caller tries once more, and finds the blob of the first try or makes it.
        store.stored(&t, TEXT, g)?;
        store.present(&t, &key, TEXT)?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn b12_dropped_write_can_be_aborted(store: &Store<'_>) -> ClauseResult {
    let (t, g, blob) = (fresh(), generation(), BlobRef::of(TEXT));
    for polls in 0..4 {
        let mut writer = store.writer(&t, &[b"firm"])?;
        store.wait(polled(writer.write(Bytes::from_static(b"ware")), polls))?;
        wanted!(store.wait(writer.abort())?, Ok(()), "an abort after a dropped write");
        store.absent(&t, &blob.key(g), "what was aborted")?;
        store.wait(async {
            drop(polled(store.store.begin(&t), polls).await);
            drop(polled(store.store.head(&t, &blob.key(g)), polls).await);
            drop(polled(store.store.get(&t, &blob.key(g), None), polls).await);
        })?;
    }
    store.stored(&t, TEXT, g)?;
    store.present(&t, &blob.key(g), TEXT)?;
    // A dropped deletion too leaves the old state or the new one; it may still arrive between two calls.
    for polls in 0..8 {
        store.wait(polled(store.store.delete(&t, &blob.key(g)), polls))?;
        match store.get(&t, &blob.key(g), None)? {
            Ok((_, _, read)) => ensure!(read == TEXT, "of {} bytes {} are read, or others", TEXT.len(), read.len()),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(BrokenClause::what(format!("`get` after a dropped deletion failed: {error:?}"))),
        }
    }
    Ok(ClauseOutcome::Held)
}
