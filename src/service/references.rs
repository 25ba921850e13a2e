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

/// An address without its query and fragment.
fn without_query(url: &Uri) -> &str {
    url.as_str().split(['?', '#']).next().unwrap_or_default()
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// What the component of an upload says of it now; none for an upload that no component is known to refer to.
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

    /// The updates to which a component refers and which the ledger knows, as the ledger knows them. What somebody else wrote
    /// into the component is not among them.
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

    /// Sets the updates of a component to those that the ledger knows, as
    /// [`rest::Server`](crate::rest::Server) shows it. It is for the newest version of a component; nothing is stored.
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

    /// What the component has to say of an upload; nothing where its bytes are given up, or it says nothing yet.
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

    /// Whether a reference says what it has to. Its time is left out, and of an address that is signed anew each time the query,
    /// which has the signature. Damage is left out too: it is shown, and not written.
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

    /// A component as it is now; nothing where there is none.
    pub(super) async fn component(&self, tenant: &Tenant, id: &Id) -> Result<Option<(DeviceComponent, Version)>> {
        Ok(self.component_or_deletion(tenant, id).await?.ok())
    }

    /// A component as it is now, or the version that its deletion has, where there was one.
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

    /// The updates of a component that belong to no upload of it; nothing stands for one that has no id.
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
