//! Comparing the reference in a component with the record of its upload.

use super::ledger_session::LedgerSession;
use super::reconcile::references;
use super::update_service::{Addresses, UpdateService};
use super::{LifecycleError, ReceiveError};
use crate::manifest::IngestId;
use crate::primitive::{Id, Uri};
use crate::resource::DeviceComponent;
use crate::rest::{KnownUpdates as _, show_updates};
use crate::search::ResourceType;
use crate::store::{
    BlobStore, Key, Ledger, ResourceStore, Result, StoreError, Stored as _, Tenant, UrlKind, Version, VersionId,
};
use crate::update::ingest::{Ingest, State};
use crate::update::reconcile::{expected_reference, is_unknown};
use crate::update::{AvailableUpdate, available, exactly, is_available_update, update_id};
use std::collections::BTreeSet;

/// The state of an upload's reference in its component.
///
/// ```
/// use fhir_devices::service::Reference;
/// assert_eq!(Reference::ComponentDeleted.as_str(), "component-deleted");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reference {
    /// The component has the reference.
    Present,
    /// The component has no reference.
    Missing,
    /// The reference differs from the expected one.
    Changed,
    /// The component was deleted.
    ComponentDeleted,
}

impl Reference {
    /// Returns the name in kebab-case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::ComponentDeleted => "component-deleted",
        }
    }
}

pub(super) fn store_error(error: ReceiveError) -> StoreError {
    match error {
        ReceiveError::Resources(error) | ReceiveError::Blobs(error) | ReceiveError::Ledger(error) => error,
        error => StoreError::backend(Box::new(error)),
    }
}

/// Returns a URL without its query and fragment.
fn without_query(url: &Uri) -> &str {
    url.as_str().split(['?', '#']).next().unwrap_or_default()
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the current state of an upload's reference; `None` for an upload to which no component is known to
    /// refer.
    ///
    /// # Errors
    /// [`LifecycleError::Store`].
    pub async fn reference(&self, tenant: &Tenant, ingest: &Ingest) -> Result<Option<Reference>, LifecycleError> {
        let session = self.session(tenant);
        let component = match &ingest.state {
            State::Attached { component, .. }
            | State::Superseded { component, .. }
            | State::Restoring { component, .. }
            | State::Withdrawn { component, .. } => component,
            _ => return Ok(None),
        };
        let Some((found, _)) = self.component(tenant, component).await? else {
            return Ok(Some(Reference::ComponentDeleted));
        };
        let there = references(&found, ingest.id);
        if there.is_empty() {
            return Ok(Some(Reference::Missing));
        }
        let is_true = match (self.truth(&session, ingest).await?, there.as_slice()) {
            (Some(wanted), [only]) => exactly(only).is_some_and(|there| self.is_same(&there, &wanted)),
            (wanted, _) => wanted.is_none(),
        };
        Ok(Some(if is_true { Reference::Present } else { Reference::Changed }))
    }

    /// Returns the updates to which a component refers and which the ledger knows, with the ledger's data. References
    /// of other writers are not included.
    ///
    /// # Errors
    /// [`LifecycleError::Store`].
    pub async fn updates_of(
        &self,
        tenant: &Tenant,
        component: &DeviceComponent,
    ) -> Result<Vec<AvailableUpdate>, LifecycleError> {
        let mut shown = component.clone();
        self.show_known_updates(tenant, &mut shown).await?;
        Ok(available(&shown).flatten().collect())
    }

    /// Sets the updates of a component to those that the ledger knows, as [`rest::Server`](crate::rest::Server) shows
    /// it. The component must be in its newest version; nothing is stored.
    ///
    /// # Errors
    /// [`LifecycleError::Store`].
    pub async fn show_known_updates(
        &self,
        tenant: &Tenant,
        component: &mut DeviceComponent,
    ) -> Result<(), LifecycleError> {
        let Some(id) = component.logical_id().cloned() else {
            component.extension.retain(|extension| !is_available_update(extension.url.as_str()));
            return Ok(());
        };
        let ids = component.extension.iter().filter(|one| is_available_update(one.url.as_str())).filter_map(update_id);
        let of: BTreeSet<(Id, IngestId)> = ids.map(|update| (id.clone(), update)).collect();
        let known = self.known(tenant, &of).await?;
        show_updates(component, &id, &known, &self.canonical);
        Ok(())
    }

    /// Returns the reference that a component should have for an upload; `None` where its bytes are released, or it has
    /// none yet.
    pub(super) async fn truth(
        &self,
        session: &LedgerSession<'_, L>,
        ingest: &Ingest,
    ) -> Result<Option<AvailableUpdate>> {
        let Some((status, restored)) = expected_reference(&ingest.state) else { return Ok(None) };
        let Some((blob, generation)) = ingest.state.held() else { return Ok(None) };
        let update = self.update(session, ingest, blob, generation).await.map_err(store_error)?;
        Ok(Some(AvailableUpdate { status, restored, ..update }))
    }

    /// Returns whether a reference equals the expected one. The time is ignored, and so is the query of a URL that is
    /// signed anew each time. Damage is ignored too: it is shown, and not written.
    pub(super) fn is_same(&self, there: &AvailableUpdate, wanted: &AvailableUpdate) -> bool {
        let mut there = there.clone();
        there.file.creation.clone_from(&wanted.file.creation);
        there.damaged = wanted.damaged;
        let is_signed = matches!(self.addresses, Addresses::Store(UrlKind::Signed { .. }));
        if is_signed && without_query(&there.file.url) == without_query(&wanted.file.url) {
            there.file.url.clone_from(&wanted.file.url);
        }
        there == *wanted
    }

    /// Returns the current version of a component; `None` where it does not exist.
    pub(super) async fn component(&self, tenant: &Tenant, id: &Id) -> Result<Option<(DeviceComponent, Version)>> {
        Ok(self.component_or_deletion(tenant, id).await?.ok())
    }

    /// Returns the current version of a component, or the version of its deletion, if it was deleted.
    pub(super) async fn component_or_deletion(
        &self,
        tenant: &Tenant,
        id: &Id,
    ) -> Result<Result<(DeviceComponent, Version), Option<VersionId>>> {
        let key = Key::new(ResourceType::DeviceComponent, id.as_str())?;
        match self.resources(tenant).read(&key).await {
            Ok(version) => Ok(Ok((DeviceComponent::from_version(&version)?, version))),
            Err(StoreError::NotFound { .. }) => Ok(Err(None)),
            Err(StoreError::Gone { at, .. }) => Ok(Err(Some(at))),
            Err(error) => Err(error),
        }
    }

    /// Returns the updates of a component that belong to no upload of it; `None` stands for a reference without an id.
    pub(super) async fn foreign(
        &self,
        session: &LedgerSession<'_, L>,
        component: &DeviceComponent,
    ) -> Result<BTreeSet<Option<IngestId>>> {
        let mut foreign = BTreeSet::new();
        for extension in component.extension.iter().filter(|extension| is_available_update(extension.url.as_str())) {
            let id = update_id(extension);
            let known = match id {
                Some(id) => session.ingest_at_rest(id).await?,
                None => None,
            };
            let named = known.as_ref().map(|known| &known.value.state);
            if component.logical_id().is_none_or(|component| is_unknown(component, named)) {
                foreign.insert(id);
            }
        }
        Ok(foreign)
    }
}
