//! R9: isolation of tenants.

use super::*;
use crate::search::Criterion;
use crate::store::Precondition;

/// Returns a tenant with two versions of the device `key`.
fn theirs(store: &Store<'_>, key: &Key) -> ClauseResult<Tenant> {
    let theirs = fresh();
    store.made(&theirs, Write::create(key.clone(), "theirs", source("Device/s")))?;
    store.made(&theirs, Write::update(key.clone(), v(1), "theirs", source("Device/s")))?;
    Ok(theirs)
}

pub(super) fn r9_reads_are_isolated_by_tenant(store: &Store<'_>) -> ClauseResult {
    let key = device("shared-name")?;
    let theirs = theirs(store, &key)?;
    let ours = fresh();
    let searches = [
        Search::new(ResourceType::Device),
        Search::new(ResourceType::Device).and(Criterion::source("Device/s")),
        Search::new(ResourceType::Device).and(Criterion::Id(key.id().clone())),
        Search::new(ResourceType::Device).and(Criterion::AnyId([key.id().clone()].into())),
    ];
    // First for a tenant without resources, then for one with a resource.
    for own in [&[][..], &["other"]] {
        wanted!(store.read(&ours, &key)?, Err(StoreError::NotFound { .. }), "a read of what another tenant has");
        if store.capabilities().history {
            let vread = store.vread(&ours, &key, v(1))?;
            wanted!(vread, Err(StoreError::NotFound { .. }), "a vread of what another tenant has");
            let history = store.history(&ours, &key, 9, None)?;
            wanted!(history, Err(StoreError::NotFound { .. }), "the history of what another tenant has");
        }
        for search in &searches {
            let wanted = if search.all_of.is_empty() { own } else { &[] };
            store.finds(&ours, search, wanted)?;
        }
        store.made(&ours, Write::put(device("other")?, "ours", nothing()))?;
    }
    // A deletion by the other tenant is not visible either.
    store.made(&theirs, Write::delete(key.clone(), Precondition::Exists))?;
    wanted!(store.read(&ours, &key)?, Err(StoreError::NotFound { .. }), "a read of what another tenant has deleted");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r9_writes_are_isolated_by_tenant(store: &Store<'_>) -> ClauseResult {
    let key = device("shared-name")?;
    let theirs = theirs(store, &key)?;
    let ours = fresh();
    for _ in 0..2 {
        let deleted = store.write(&ours, Write::delete(key.clone(), Precondition::None))?;
        wanted!(deleted, Err(StoreError::NotFound { .. }), "a deletion of what another tenant has");
        let updated = store.write(&ours, Write::update(key.clone(), v(2), "ours", nothing()))?;
        wanted!(updated, Err(StoreError::Conflict { current: None, .. }), "an update of what another tenant has");
        let exists = Write { precondition: Precondition::Exists, ..Write::put(key.clone(), "ours", nothing()) };
        wanted!(store.write(&ours, exists)?, Err(StoreError::NotFound { .. }), "a write to what another tenant has");
        store.made(&ours, Write::put(device("other")?, "ours", nothing()))?;
    }
    let made = store.made(&ours, Write::create(key.clone(), "ours", source("Device/s")))?;
    ensure!(made.version == v(1), "our first version is {}: the other tenant's are counted", made.version);
    store.finds(&theirs, &Search::new(ResourceType::Device), &["shared-name"])?;
    store.made(&ours, Write::delete(key.clone(), Precondition::Exists))?;
    let untouched = store.found(&theirs, &key)?;
    let same = untouched.version == v(2) && untouched.body.as_deref() == Some(b"theirs");
    ensure!(same, "our writes changed what another tenant has to {untouched:?}");
    let by_source = Search::new(ResourceType::Device).and(Criterion::source("Device/s"));
    store.finds(&theirs, &by_source, &["shared-name"])?;
    if store.capabilities().history {
        let count = store.versions(&theirs, &key)?.len();
        ensure!(count == 2, "the other tenant has {count} versions, wanted 2");
    }
    Ok(ClauseOutcome::Held)
}
