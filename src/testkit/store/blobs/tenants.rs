//! B7 and B9: isolation of tenants, and URLs.

use super::*;
use std::time::Duration;

const TEXT: &[u8] = b"firmware";
const SIGNED: UrlKind = UrlKind::Signed { valid_for: Duration::from_secs(60) };

pub(super) fn b7_reads_are_isolated_by_tenant(store: &Store<'_>) -> ClauseResult {
    let (ours, theirs) = (fresh(), fresh());
    let key = store.stored(&theirs, TEXT, generation())?;
    // First for a tenant without blobs, then for one with a blob.
    for _ in 0..2 {
        store.absent(&ours, &key, "what another tenant has")?;
        wanted!(
            store.get(&ours, &key, Some(0..1))?,
            Err(StoreError::NotFound { .. }),
            "a range of what another tenant has"
        );
        for kind in [UrlKind::Public, SIGNED] {
            if let Ok(url) = store.wait(store.store.url(&ours, &key, kind))? {
                let foreign = store.wait(store.store.url(&theirs, &key, kind))?;
                ensure!(foreign.is_ok_and(|foreign| foreign != url), "the address of what another tenant has is given");
            }
        }
        store.stored(&ours, b"ours", generation())?;
    }
    store.present(&theirs, &key, TEXT)?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b7_equal_bytes_of_two_tenants_are_two_blobs(store: &Store<'_>) -> ClauseResult {
    let (ours, theirs) = (fresh(), fresh());
    let key = store.stored(&theirs, TEXT, generation())?;
    store.delete(&ours, &key)?;
    store.present(&theirs, &key, TEXT)?;
    // The outcome must not reveal that the other tenant has the same bytes.
    let writer = store.writer(&ours, &[TEXT])?;
    let outcome = store.commit(writer, BlobRef::of(TEXT), key.generation)?;
    wanted!(outcome, Ok(PutOutcome::Stored), "a commit of bytes that another tenant has");
    store.present(&ours, &key, TEXT)?;
    store.delete(&ours, &key)?;
    store.absent(&ours, &key, "what was deleted")?;
    store.present(&theirs, &key, TEXT)?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn b9_urls_follow_the_capabilities(store: &Store<'_>) -> ClauseResult {
    let (t, other) = (fresh(), fresh());
    let BlobCapabilities { public_url, signed_url, .. } = store.capabilities();
    let keys = [store.stored(&t, TEXT, generation())?, store.stored(&t, TEXT, generation())?];
    store.stored(&other, TEXT, keys.first().map_or_else(generation, |key| key.generation))?;
    for (kind, given) in [(UrlKind::Public, public_url), (SIGNED, signed_url)] {
        let mut seen = Vec::new();
        for (tenant, key) in keys.iter().map(|key| (&t, key)).chain(keys.first().map(|key| (&other, key))) {
            match store.wait(store.store.url(tenant, key, kind))? {
                Ok(url) => {
                    ensure!(given, "an address of the kind {kind:?} is given, and the capabilities deny it");
                    ensure!(!seen.contains(&url), "two blobs have the address {url}");
                    seen.push(url);
                }
                Err(error) if given => return Err(BrokenClause::what(format!("no address of {kind:?}: {error:?}"))),
                Err(error) => wanted!(error, StoreError::Unsupported { .. }, "an address of the kind {kind:?}"),
            }
        }
    }
    Ok(ClauseOutcome::Held)
}
