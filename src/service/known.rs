//! Which updates of a component the ledger knows.

use super::ledger_session::LedgerSession;
use super::update_service::UpdateService;
use crate::containment::Selector;
use crate::primitive::Id;
use crate::rest::KnownUpdates;
use crate::store::{BlobStore, BoxFuture, Ledger, ResourceStore, Result, Tenant};
use crate::update::IngestId;
use crate::update::ingest::{Ingest, State};
use std::collections::BTreeSet;

/// Whether an upload is, or was, for a component. Of one that came to nothing that is told by what it was meant for.
fn is_of(ingest: &Ingest, component: &Id) -> bool {
    match &ingest.state {
        State::Open { .. } | State::Acquired { .. } | State::Stored { target: None, .. } => false,
        State::Stored { target: Some(known), .. }
        | State::Attached { component: known, .. }
        | State::Superseded { component: known, .. }
        | State::Restoring { component: known, .. }
        | State::Withdrawn { component: known, .. }
        | State::Releasing { component: Some(known), .. } => known == component,
        State::Releasing { component: None, .. } | State::Closed { .. } => match &ingest.intent.target {
            Selector::Component(meant) => meant == component,
            _ => true,
        },
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
        component: &'a Id,
        of: &'a BTreeSet<IngestId>,
    ) -> BoxFuture<'a, Result<BTreeSet<IngestId>>> {
        Box::pin(async move {
            let session: LedgerSession<'_, L> = self.session(tenant);
            let mut known = BTreeSet::new();
            for id in of {
                let ingest = session.ingest(*id).await?;
                if ingest.is_some_and(|seen| is_of(&seen.value, component)) {
                    known.insert(*id);
                }
            }
            Ok(known)
        })
    }
}
