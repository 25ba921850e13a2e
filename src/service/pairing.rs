//! Pairing the blob store with the ledger by a common id, so that only the owner deletes files.

use super::entries::{Entries, Seen, unreadable};
use super::ledger_session::{LedgerSession, Written};
use super::update_service::UpdateService;
use super::{IdSource as _, RandomIds};
use crate::audit::{Action, AuditDraft, StateName};
use crate::manifest::ActorId;
use crate::primitive::Text;
use crate::store::{
    BlobInfo, BlobStore, Ledger, LedgerKey, Page, ResourceStore, Result, StoreError, StoreId, Tenant, TenantBlobs,
    stream,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};

/// The blob store and the ledger do not belong together. Nothing is accepted or deleted until that is resolved.
///
/// ```
/// use fhir_devices::service::StoreMismatch;
/// use fhir_devices::store::StoreId;
/// let mismatch = StoreMismatch::OtherLedger { tenant: "st-mary".parse()?, ledger: StoreId(1), store: StoreId(2) };
/// assert!(mismatch.to_string().contains("adopt the store"));
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreMismatch {
    /// The ledger is empty but the store has files: the ledger was lost, or is another one.
    #[error(
        "the ledger of `{tenant}` is empty, and the store of update files has files of it{}: restore the ledger from its \
         backup, or adopt the store, after which the files that the ledger does not know go into quarantine",
        marked(.store.as_ref())
    )]
    EmptyLedger {
        /// The tenant.
        tenant: Tenant,
        /// The id in the store, if it has one.
        store: Option<StoreId>,
    },
    /// The store has the id of another ledger.
    #[error(
        "the ledger of `{tenant}` has the store id `{ledger}`, and the store of update files has `{store}`: give the \
         service the ledger and the store that belong together, or adopt the store if no other service uses it"
    )]
    OtherLedger {
        /// The tenant.
        tenant: Tenant,
        /// The id in the ledger.
        ledger: StoreId,
        /// The id in the store.
        store: StoreId,
    },
    /// The store has no id but the ledger has one: the files were lost, or the store is another one.
    #[error(
        "the ledger of `{tenant}` has the store id `{ledger}`, and the store of update files has none: give the service the \
         store that belongs to the ledger, or restore the files, or adopt the store as it is"
    )]
    UnmarkedStore {
        /// The tenant.
        tenant: Tenant,
        /// The id in the ledger.
        ledger: StoreId,
    },
    /// Two ledgers claim the store.
    #[error(
        "the store of update files of `{tenant}` has the id `{ledger}` of the ledger and another, `{other}`: stop the \
         service with the other ledger, then adopt the store"
    )]
    Shared {
        /// The tenant.
        tenant: Tenant,
        /// The id in the ledger.
        ledger: StoreId,
        /// The other id.
        other: StoreId,
    },
}

fn marked(id: Option<&StoreId>) -> String {
    id.map_or_else(String::new, |id| format!(" (its id is `{id}`)"))
}

/// The error of maintaining files.
///
/// ```
/// use fhir_devices::service::MaintenanceError;
/// use fhir_devices::store::StoreError;
/// assert!(MaintenanceError::from(StoreError::throttled(None)).is_transient());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// The blob store and the ledger do not belong together. Nothing was deleted.
    #[error(transparent)]
    Mismatch(#[from] StoreMismatch),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MaintenanceError {
    /// Returns whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Mismatch(_) => false,
            Self::Store(error) => error.is_transient(),
        }
    }
}

/// The result of an [adoption](UpdateService::adopt_store).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adopted {
    /// The new id of the ledger and the store.
    pub id: StoreId,
    /// The ids that the store had.
    pub replaced: Vec<StoreId>,
}

/// The ledger's record: its id, and whether the store was seen to have it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pairing {
    format: u32,
    id: StoreId,
    confirmed: bool,
}

const FORMAT: u32 = 1;

impl Pairing {
    fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).unwrap_or_default()
    }

    fn read(seen: &Seen<Option<Bytes>>) -> Result<Option<Self>> {
        let Some(value) = &seen.value else { return Ok(None) };
        let read: Result<Self, _> = serde_json::from_slice(value);
        match read {
            Ok(pairing) if pairing.format == FORMAT => Ok(Some(pairing)),
            Ok(_) => Err(unreadable(&seen.key, "its format is not known")),
            Err(error) => Err(unreadable(&seen.key, error)),
        }
    }
}

/// The markers at the beginning of a blob store's list.
struct Marked {
    ids: Vec<StoreId>,
    has_files: bool,
}

/// Number of tries of a pairing that others write to.
const TRIES: usize = 16;

/// Maximum number of tenants remembered as paired.
const REMEMBERED: usize = 4_096;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Checks that the blob store and the ledger of a tenant belong together; gives them a common id where neither has
    /// one. Call it at the start of a service for each known tenant; [`receive`](Self::receive),
    /// [`collect`](Self::collect) and [`sweep`](Self::sweep) call it themselves, and refuse where it fails.
    ///
    /// # Flow
    /// The ledger gets its id first, by a conditional write, so that every process over the same ledger has the same
    /// one. Then the store is marked with it, and the ledger records that. A call interrupted between the two is
    /// completed by the next. Of two ledgers over one store, the second finds the marker of the first, and removes its
    /// own.
    ///
    /// # Errors
    /// [`MaintenanceError::Mismatch`] where they do not belong together; errors of the stores.
    pub async fn check_store(&self, tenant: &Tenant) -> Result<StoreId, MaintenanceError> {
        let session = self.session(tenant);
        self.check_pairing(&session).await
    }

    /// Pairs the blob store of a tenant with this ledger, whatever id either has: after a restore of the ledger or the
    /// files, or where another service gave the store up. The audit chain records the actor and the reason.
    ///
    /// Services over another ledger are refused from then on. Files unknown to this ledger go into
    /// [quarantine](Self::quarantine), and are deleted after it unless a component refers to them.
    ///
    /// # Errors
    /// Errors of the stores. Calling it again completes an interrupted adoption.
    pub async fn adopt_store(&self, tenant: &Tenant, actor: ActorId, why: Text) -> Result<Adopted> {
        let session = self.session(tenant);
        let id = StoreId(RandomIds.next_id()?.0);
        loop {
            let seen = session.read(pairing_key()?).await?;
            let mut entries = Entries::default();
            entries.record(&seen, Pairing { format: FORMAT, id, confirmed: false }.to_bytes());
            let from = seen.value.is_some().then_some(StateName::Paired);
            let mut draft = AuditDraft::new(session.now(), Action::StoreAdopted, from, StateName::Paired);
            (draft.actor, draft.comment) = (Some(actor.clone()), Some(why.clone()));
            entries.note(draft);
            if session.write(entries).await? != Written::Not {
                break;
            }
        }
        let replaced = self.marked(tenant).await?.ids;
        for other in &replaced {
            self.blobs.delete(tenant, &other.marker()).await?;
        }
        self.mark_store(tenant, id).await?;
        self.confirm(&session, id).await?;
        self.remember(tenant);
        Ok(Adopted { id, replaced })
    }

    /// Checks the pairing as [`check_store`](Self::check_store) does, at most once for each tenant and service.
    pub(super) async fn check_pairing_once(&self, session: &LedgerSession<'_, L>) -> Result<(), MaintenanceError> {
        if self.paired.lock().unwrap_or_else(PoisonError::into_inner).contains(session.tenant()) {
            return Ok(());
        }
        self.check_pairing(session).await?;
        Ok(())
    }

    pub(super) async fn check_pairing(&self, session: &LedgerSession<'_, L>) -> Result<StoreId, MaintenanceError> {
        let checked = self.pair(session).await;
        match &checked {
            Ok(_) => self.remember(session.tenant()),
            Err(_) => drop(self.paired.lock().unwrap_or_else(PoisonError::into_inner).remove(session.tenant())),
        }
        checked
    }

    fn remember(&self, tenant: &Tenant) {
        let mut paired = self.paired.lock().unwrap_or_else(PoisonError::into_inner);
        if paired.len() >= REMEMBERED {
            paired.clear();
        }
        paired.insert(tenant.clone());
    }

    async fn pair(&self, session: &LedgerSession<'_, L>) -> Result<StoreId, MaintenanceError> {
        let tenant = session.tenant();
        for _ in 0..TRIES {
            let seen = session.read(pairing_key()?).await?;
            let known = Pairing::read(&seen)?;
            let marked = self.marked(tenant).await?;
            // Another process over the same ledger may have marked the store between the two reads.
            if session.read(pairing_key()?).await?.revision != seen.revision {
                continue;
            }
            let Some(pairing) = known else {
                let knows_files = !session.entries(NonZeroU32::MIN, None).await?.items.is_empty();
                let store = marked.ids.first().copied();
                if store.is_some() || (marked.has_files && !knows_files) {
                    return Err(StoreMismatch::EmptyLedger { tenant: tenant.clone(), store }.into());
                }
                let new = Pairing { format: FORMAT, id: StoreId(RandomIds.next_id()?.0), confirmed: false };
                session.write_plain(&seen, Some(new.to_bytes())).await?;
                continue;
            };
            let id = pairing.id;
            let own = marked.ids.contains(&id);
            let other = marked.ids.iter().copied().find(|other| *other != id);
            match (own, other) {
                (true, None) if pairing.confirmed => return Ok(id),
                (true, None) => {
                    self.confirm(session, id).await?;
                    return Ok(id);
                }
                (true, Some(other)) => {
                    // A ledger that never had the store removes its marker.
                    if !pairing.confirmed {
                        self.blobs.delete(tenant, &id.marker()).await?;
                    }
                    return Err(StoreMismatch::Shared { tenant: tenant.clone(), ledger: id, other }.into());
                }
                (false, Some(store)) => {
                    return Err(StoreMismatch::OtherLedger { tenant: tenant.clone(), ledger: id, store }.into());
                }
                (false, None) if pairing.confirmed => {
                    return Err(StoreMismatch::UnmarkedStore { tenant: tenant.clone(), ledger: id }.into());
                }
                (false, None) => self.mark_store(tenant, id).await?,
            }
        }
        Err(StoreError::throttled(None).into())
    }

    /// Records that the store was seen to have the id, unless another call has done so.
    async fn confirm(&self, session: &LedgerSession<'_, L>, id: StoreId) -> Result<()> {
        for _ in 0..TRIES {
            let seen = session.read(pairing_key()?).await?;
            match Pairing::read(&seen)? {
                Some(pairing) if pairing.id == id && !pairing.confirmed => {
                    let confirmed = Pairing { confirmed: true, ..pairing };
                    if session.write_plain(&seen, Some(confirmed.to_bytes())).await? {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
        Err(StoreError::throttled(None))
    }

    /// Returns the markers of the store, and whether it has anything else.
    async fn marked(&self, tenant: &Tenant) -> Result<Marked> {
        let (mut marked, mut after) = (Marked { ids: Vec::new(), has_files: false }, None);
        let limit = NonZeroU32::MIN.saturating_add(15);
        loop {
            let Page { items, next } = self.blobs.list(tenant, limit, after.as_ref()).await?;
            for BlobInfo { key, .. } in &items {
                match StoreId::of_marker(key) {
                    Some(id) => marked.ids.push(id),
                    None => marked.has_files = true,
                }
            }
            // Keys are listed in order.
            let passed = items.last().is_some_and(|last| last.key.digest > StoreId::DIGEST);
            match next.filter(|_| !passed) {
                Some(next) => after = Some(next),
                None => return Ok(marked),
            }
        }
    }

    async fn mark_store(&self, tenant: &Tenant, id: StoreId) -> Result<()> {
        let blobs = TenantBlobs::new(Arc::clone(&self.blobs), tenant.clone());
        let key = id.marker();
        let content = stream::once(StoreId::CONTENT);
        match blobs.put_expecting(StoreId::content(), key.generation, content).await {
            Ok(_) => Ok(()),
            Err(StoreError::Indeterminate { .. }) => blobs.head(&key).await.map(drop),
            Err(error) => Err(error),
        }
    }
}

fn pairing_key() -> Result<LedgerKey> {
    Ok(LedgerKey::new("store-id")?)
}
