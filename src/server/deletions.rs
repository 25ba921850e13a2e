//! Histories of deleted resources. No search finds deleted resources, so the ledger has a note of each deletion, by
//! which old versions are removed.

use crate::store::{
    BoxFuture, Capabilities, Change, Changes, CommitError, Key, LEDGER_MAX_CHANGES, Ledger, LedgerKey, LedgerRecord,
    Page, PageToken, ResourceStore, Result, Search, Sha256, StoreError, Tenant, TenantLedger, TenantResources, Version,
    VersionId, Write,
};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The ledger folder of the notes.
const FOLDER: &str = "deleted";

/// Number of notes read at a time.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Wraps a store so that deletions are noted. A store that cannot prune history is returned as it is.
pub(super) fn noted(store: Arc<dyn ResourceStore>, ledger: Arc<dyn Ledger>) -> Arc<dyn ResourceStore> {
    let Capabilities { history, history_pruning, .. } = store.capabilities();
    if history && history_pruning { Arc::new(Noted { below: store, ledger }) } else { store }
}

/// Prunes the histories of a tenant's deleted resources, and returns the number of versions removed.
///
/// # Errors
/// Errors of the stores. Versions removed until then stay removed.
pub(super) async fn prune(ledger: &Arc<dyn Ledger>, resources: &TenantResources, keep: NonZeroU32) -> Result<u64> {
    let notes = TenantLedger::new(Arc::clone(ledger), resources.tenant().clone());
    let (folder, mut forgotten, mut after) = (LedgerKey::new(FOLDER)?, 0_u64, None);
    loop {
        let Page { items, next } = notes.scan(&folder, PAGE, after.as_ref()).await?;
        for LedgerRecord { key, revision, value } in items {
            if let Some(deleted) = std::str::from_utf8(&value).ok().and_then(|name| name.parse().ok()) {
                forgotten = forgotten.saturating_add(match resources.prune_history(&deleted, keep).await {
                    // The deletion failed after its note was written.
                    Err(StoreError::NotFound { .. }) => 0,
                    pruned => pruned?,
                });
            }
            // A later creation and deletion writes a new note.
            match notes.apply(vec![Change::delete(key, revision)]).await {
                Ok(_) | Err(CommitError { error: StoreError::Conflict { .. }, .. }) => {}
                Err(CommitError { error, .. }) => return Err(error),
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(forgotten),
        }
    }
}

/// A store that notes each deletion before it is written; a note whose deletion fails does no harm.
struct Noted {
    below: Arc<dyn ResourceStore>,
    ledger: Arc<dyn Ledger>,
}

impl Noted {
    async fn note(&self, tenant: &Tenant, writes: &[Write]) -> Result<()> {
        let mut missing = BTreeMap::new();
        for write in writes.iter().filter(|write| write.body.is_none()) {
            // Ids may contain characters that ledger keys must not.
            let name = write.key.to_string();
            let key = LedgerKey::new(format!("{FOLDER}/{}", Sha256::of(name.as_bytes())))?;
            // The store refuses a commit that names a key twice.
            if !missing.contains_key(&key) && self.ledger.get(tenant, &key).await?.is_none() {
                missing.insert(key, name);
            }
        }
        let missing: Vec<_> = missing.into_iter().collect();
        let create = |(key, name): &(LedgerKey, String)| Change::create(key.clone(), name.clone());
        for some in missing.chunks(LEDGER_MAX_CHANGES) {
            match self.ledger.apply(tenant, some.iter().map(create).collect()).await {
                Ok(_) => continue,
                Err(CommitError { error: StoreError::AlreadyExists { .. }, .. }) => {}
                Err(CommitError { error, .. }) => return Err(error),
            }
            // Another request notes the same deletion.
            for one in some {
                match self.ledger.apply(tenant, vec![create(one)]).await {
                    Ok(_) | Err(CommitError { error: StoreError::AlreadyExists { .. }, .. }) => {}
                    Err(CommitError { error, .. }) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl ResourceStore for Noted {
    fn capabilities(&self) -> Capabilities {
        self.below.capabilities()
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        self.below.read(tenant, key)
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        self.below.vread(tenant, key, version)
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            if let Err(error) = self.note(tenant, &writes).await {
                // Whether or not the note was written, the resources are unchanged.
                let source = Some(Box::new(error) as crate::store::BoxError);
                return Err(StoreError::unavailable(None, source).into());
            }
            self.below.commit(tenant, writes).await
        })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        self.below.search(tenant, search)
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        self.below.history(tenant, key, limit, after)
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        self.below.changes(tenant, changes)
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        self.below.prune_history(tenant, key, keep)
    }
}
