//! The updates of a component in the ledger.

use super::join::all_of;
use super::ledger_session::LedgerSession;
use super::update_service::{Addresses, UpdateService};
use crate::containment::Selector;
use crate::manifest::IngestId;
use crate::primitive::Id;
use crate::rest::{KnownUpdate, KnownUpdates, UpdateStage};
use crate::store::{BlobStore, BoxFuture, Ledger, ResourceStore, Result, Tenant, UrlKind};
use crate::update::ingest::{self, Effect, Ingest, State};
use crate::update::{AvailableUpdate, UpdateStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Number of records looked up at a time.
const AT_ONCE: usize = 16;

/// Returns the stage of an upload at a component; `None` where it is not an update of that component. A failed upload
/// is matched by its intended target.
fn stage(ingest: &Ingest, component: &Id) -> Option<UpdateStage> {
    let (known, stage) = match &ingest.state {
        State::Open { .. } | State::Acquired { .. } | State::Stored { target: None, .. } => return None,
        State::Stored { target: Some(known), .. } => (known, UpdateStage::Attaching),
        State::Attached { component: known, .. } => (known, UpdateStage::Attached),
        State::Superseded { component: known, .. } => (known, UpdateStage::Superseded),
        State::Restoring { component: known, .. } => (known, UpdateStage::Restoring),
        State::Withdrawn { component: known, .. } => (known, UpdateStage::Withdrawn),
        State::Releasing { component: Some(known), .. } => {
            let is_recall = matches!(ingest::resume(&ingest.state), Some(Effect::MarkWithdrawn { .. }));
            (known, if is_recall { UpdateStage::Withdrawn } else { UpdateStage::Removing })
        }
        State::Releasing { component: None, .. } | State::Closed { .. } => match &ingest.intent.target {
            Selector::Component(meant) => (meant, UpdateStage::Ended),
            _ => return Some(UpdateStage::Ended),
        },
    };
    (known == component).then_some(stage)
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the known facts of an upload as an update of a component.
    pub(super) async fn known_update(
        &self,
        session: &LedgerSession<'_, L>,
        ingest: &Ingest,
        component: &Id,
    ) -> Result<Option<KnownUpdate>> {
        let Some(stage) = stage(ingest, component) else { return Ok(None) };
        let (status, restored) = match &ingest.state {
            State::Attached { restored, .. } | State::Restoring { restored, .. } => (UpdateStatus::Current, *restored),
            State::Superseded { restored, .. } => (UpdateStatus::Superseded, *restored),
            _ if stage == UpdateStage::Withdrawn => (UpdateStatus::Withdrawn, 0),
            _ => (UpdateStatus::Current, 0),
        };
        let update = match &ingest.state {
            State::Withdrawn { blob, generation, .. } => Some((*blob, *generation)),
            state => state.held(),
        };
        let update = match update.filter(|_| stage != UpdateStage::Ended) {
            Some((blob, generation)) => {
                let damaged = self.is_damaged(session, &blob.key(generation)).await?;
                match self.update(session, ingest, blob, generation).await {
                    Ok(update) => Some(AvailableUpdate { status, restored, damaged, ..update }),
                    // The file may be deleted by now.
                    Err(_) if stage == UpdateStage::Withdrawn => None,
                    Err(error) => return Err(super::references::store_error(error)),
                }
            }
            None => None,
        };
        let is_signed = matches!(self.addresses, Addresses::Store(UrlKind::Signed { .. }));
        Ok(Some(KnownUpdate::new(stage, update).signed(is_signed)))
    }
}

impl<R, B, L> KnownUpdates for UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    fn known<'a>(
        &'a self,
        tenant: &'a Tenant,
        of: &'a BTreeSet<(Id, IngestId)>,
    ) -> BoxFuture<'a, Result<BTreeMap<(Id, IngestId), KnownUpdate>>> {
        Box::pin(async move {
            let session: LedgerSession<'_, L> = self.session(tenant);
            let (session, mut known) = (&session, BTreeMap::new());
            let of: Vec<&(Id, IngestId)> = of.iter().collect();
            for some in of.chunks(AT_ONCE) {
                let looks = some.iter().map(|one| async move {
                    let Some(seen) = session.ingest_at_rest(one.1).await? else { return Ok(None) };
                    let found = self.known_update(session, &seen.value, &one.0).await?;
                    Ok::<_, crate::store::StoreError>(found.map(|found| ((*one).clone(), found)))
                });
                for found in all_of(looks.collect()).await {
                    known.extend(found?);
                }
            }
            Ok(known)
        })
    }
}
