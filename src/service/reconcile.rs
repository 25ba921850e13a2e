//! Reconciling the ledger with the components: for writers that use neither this service nor [`rest`](crate::rest).

use super::entries::{Entries, Seen};
use super::ledger_session::LedgerSession;
use super::update_service::UpdateService;
use crate::audit::{Action, AuditDraft, StateName};
use crate::datatype::Extension;
use crate::manifest::IngestId;
use crate::primitive::{Id, Text};
use crate::resource::DeviceComponent;
use crate::store::{
    BlobStore, Ledger, PageToken, ResourceStore, Result, Search, StoreError, Stored as _, Tenant, ValidWrite, Version,
    VersionId, WriteId,
};
use crate::support::yield_now;
use crate::update::ingest::{Ingest, Input, State};
use crate::update::reconcile::{
    Announcement, Decision, FoundReference, OtherUpdate, announce, compare, component_to_refer, decide,
};
use crate::update::{
    AvailableUpdate, UpdateStatus, available, exactly, is_available_update, may_have_updates, put_back, set_status,
    update_id,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// The policy for a reference in a component that belongs to no upload of it.
///
/// ```
/// use fhir_devices::service::UnknownReferences;
/// assert_eq!(UnknownReferences::default(), UnknownReferences::Remove);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownReferences {
    /// Remove the reference from the component. Where one page has more than 16 references without any record, none is
    /// removed: the ledger may be an older copy.
    #[default]
    Remove,
    /// Keep the reference, and report it each time. The reference of an ended upload is removed all the same.
    Leave,
}

/// The position of a [`reconcile`](UpdateService::reconcile).
///
/// ```
/// use fhir_devices::service::ReconcilePosition;
/// assert_ne!(ReconcilePosition::default(), ReconcilePosition::Components(None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconcilePosition {
    /// In the uploads.
    Uploads(Option<PageToken>),
    /// In the components.
    Components(Option<PageToken>),
}

impl Default for ReconcilePosition {
    fn default() -> Self {
        Self::Uploads(None)
    }
}

/// A reference that belongs to no upload of its component.
///
/// Listed by [`UpdateService::reconcile`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownReference {
    /// The component.
    pub component: Id,
    /// The id in the reference, if it has one.
    pub id: Option<IngestId>,
    /// Whether it was removed.
    pub removed: bool,
}

/// The result of a page of a [`reconcile`](UpdateService::reconcile).
///
/// ```
/// use fhir_devices::service::Reconciled;
/// assert!(Reconciled::default().reattached.is_empty());
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reconciled {
    /// The uploads whose reference was written again.
    pub reattached: Vec<IngestId>,
    /// The uploads that were given up as lost.
    pub lost: Vec<IngestId>,
    /// The uploads whose component is deleted, which wait for its return.
    pub component_deleted: Vec<IngestId>,
    /// The references that belong to no upload.
    pub unknown: Vec<UnknownReference>,
    /// Whether there were so many unknown references that none was removed.
    pub stopped: bool,
    /// The updates that could not be compared or repaired, and why. The next call retries them.
    pub failed: Vec<(String, StoreError)>,
    /// The next position; `None` at the end.
    pub next: Option<ReconcilePosition>,
}

/// The outcome of checking one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The component refers to the upload, or need not.
    Settled,
    Reattached,
    Lost,
    ComponentDeleted,
}

/// Maximum number of references without any record that are removed in a page.
const MAX_REMOVED: usize = 16;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Compares one page of the uploads at rest with their components, or one page of the components with the ledger,
    /// and repairs differences by the [rule for missing references](Self::with_missing_references) and [that for
    /// unknown ones](Self::with_unknown_references).
    ///
    /// # Guarantees
    /// A component is read before the record of the upload, and written on the condition that it is unchanged: an
    /// update that was withdrawn meanwhile is not attached again, and no write of others is lost. The audit chain
    /// records each repair before it is made. It is safe at any time, and concurrently.
    ///
    /// # Assumptions
    /// All processes over one ledger use the same URLs for files: a reference with another URL counts as changed.
    ///
    /// # Errors
    /// As [`Ledger::scan`] and [`ResourceStore::search`]. An error with one upload or component is in the result.
    pub async fn reconcile(&self, tenant: &Tenant, limit: NonZeroU32, from: ReconcilePosition) -> Result<Reconciled> {
        let session = self.session(tenant);
        let mut reconciled = Reconciled::default();
        match from {
            ReconcilePosition::Uploads(after) => {
                let page = session.resting_records(limit, after.as_ref()).await?;
                for (id, seen) in page.items {
                    let outcome = match seen {
                        Ok(mut seen) => self.reconcile_upload(&session, &mut seen).await,
                        Err(error) => Err(error),
                    };
                    match outcome {
                        Ok(Outcome::Settled) => {}
                        Ok(Outcome::Reattached) => reconciled.reattached.push(id),
                        Ok(Outcome::Lost) => reconciled.lost.push(id),
                        Ok(Outcome::ComponentDeleted) => reconciled.component_deleted.push(id),
                        Err(error) => reconciled.failed.push((format!("the upload {id}"), error)),
                    }
                }
                reconciled.next = Some(match page.next {
                    Some(next) => ReconcilePosition::Uploads(Some(next)),
                    None => ReconcilePosition::Components(None),
                });
            }
            ReconcilePosition::Components(after) => {
                let mut search = Search::new(DeviceComponent::TYPE).limit(limit.get());
                search.after = after;
                let page = self.resources(tenant).search(&search).await?;
                self.reconcile_components(&session, &page.items, &mut reconciled).await;
                reconciled.next = page.next.map(|next| ReconcilePosition::Components(Some(next)));
            }
        }
        Ok(reconciled)
    }

    /// Makes the component of an upload at rest refer to it as the record says.
    pub(super) async fn reconcile_upload(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
    ) -> Result<Outcome> {
        let id = seen.value.id;
        for _ in 0..self.max_attempts {
            let Some(component) = component_to_refer(&seen.value.state, session.now()).cloned() else {
                return Ok(Outcome::Settled);
            };
            let found = self.component_or_deletion(session.tenant(), &component).await?;
            // The record is read after the component: an update that was withdrawn meanwhile is not attached again.
            *seen = session.known(id).await?;
            if component_to_refer(&seen.value.state, session.now()) != Some(&component) {
                continue;
            }
            let is_recall = matches!(seen.value.state, State::Withdrawn { .. });
            let (found, wanted) = match found {
                Err(deletion) => (Err(deletion), None),
                Ok(found) => {
                    let wanted = match is_recall {
                        true => {
                            self.known_update(session, &seen.value, &component).await?.and_then(|known| known.update)
                        }
                        false => self.truth(session, &seen.value).await?,
                    };
                    let Some(mut wanted) = wanted else { return Ok(Outcome::Settled) };
                    let there = available(&found.0).flatten().find(|update| update.id == id);
                    if let (true, Some(there)) = (is_recall, &there) {
                        wanted.restored = there.restored;
                    }
                    let said = match references(&found.0, id).as_slice() {
                        [] => FoundReference::Missing,
                        [only] if exactly(only).is_some_and(|there| self.is_same(&there, &wanted)) => {
                            FoundReference::Same
                        }
                        _ => FoundReference::Changed,
                    };
                    (Ok((found, said)), Some(wanted))
                }
            };
            let said = found.as_ref().map_or(FoundReference::ComponentDeleted, |(_, said)| *said);
            match decide(&seen.value.state, said, self.missing) {
                Decision::Settled => return Ok(Outcome::Settled),
                Decision::AwaitComponent => return Ok(Outcome::ComponentDeleted),
                Decision::Lose => {
                    // A deletion has a version too: a reference in a component created after it is not lost.
                    let version = found.map_or_else(|deletion| deletion, |((_, version), _)| Some(version.version));
                    return self.lose(session, seen, &component, version).await;
                }
                Decision::Write => {}
            }
            let (Ok(((mut found, version), _)), Some(mut wanted)) = (found, wanted) else {
                return Ok(Outcome::Settled);
            };
            let mut superseded = None;
            match self.others_of(session, &mut found, &seen.value).await? {
                Others::None => {}
                Others::Unsettled => return Ok(Outcome::Settled),
                Others::Later(by) => {
                    superseded = Some(Input::Superseded { by, restored: wanted.restored });
                    wanted.status = UpdateStatus::Superseded;
                }
            }
            let is_said = match references(&found, id).as_slice() {
                [only] => exactly(only).is_some_and(|there| self.is_same(&there, &wanted)),
                _ => false,
            };
            if let (Some(superseded), true) = (&superseded, is_said) {
                session.step(seen, superseded).await?.ok();
                continue;
            }
            match announce(&seen.value, &component, version.version) {
                Announcement::Made => {}
                Announcement::Recall => self.say_recall(session, id, &component).await?,
                Announcement::Missing(missing) => {
                    let stepped = session.step(seen, &missing).await?;
                    if stepped.is_err() || announce(&seen.value, &component, version.version) != Announcement::Made {
                        *seen = session.known(id).await?;
                        continue;
                    }
                }
            }
            put_back(&mut found, &wanted, &self.canonical);
            if self.write_component(session.tenant(), &found, &version).await? {
                // The component is written first: a call that is about to write it as the current one finds it changed.
                if let Some(superseded) = superseded {
                    session.step(seen, &superseded).await?.ok();
                }
                return Ok(Outcome::Reattached);
            }
            yield_now().await;
            *seen = session.known(id).await?;
        }
        Err(StoreError::conflict(None))
    }

    /// Records that a recall is to be shown again. The upload does not change.
    async fn say_recall(&self, session: &LedgerSession<'_, L>, id: IngestId, component: &Id) -> Result<()> {
        let mut said = AuditDraft::new(session.now(), Action::Reattached, None, StateName::Withdrawn);
        said.component = Some(component.clone());
        said.comment = Text::new(format!("the recall of the upload {id}")).ok();
        let mut entries = Entries::default();
        entries.said(said);
        session.write(entries).await.map(drop)
    }

    /// Gives up an upload whose reference is gone.
    async fn lose(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        component: &Id,
        version: Option<VersionId>,
    ) -> Result<Outcome> {
        let lost = Input::ReferenceLost { component: component.clone(), version };
        session.step(seen, &lost).await?.ok();
        if !matches!(seen.value.state, State::Releasing { .. } | State::Closed { .. }) {
            return Ok(Outcome::Settled);
        }
        self.release(session, seen).await?;
        Ok(Outcome::Lost)
    }

    /// Checks the other current updates of a component before a current one is put back: those that are superseded by
    /// their records are marked so.
    async fn others_of(
        &self,
        session: &LedgerSession<'_, L>,
        component: &mut DeviceComponent,
        ingest: &Ingest,
    ) -> Result<Others> {
        if !matches!(ingest.state, State::Attached { .. }) {
            return Ok(Others::None);
        }
        for extension in &mut component.extension {
            let is_current =
                |update: &AvailableUpdate| update.status == UpdateStatus::Current && update.id != ingest.id;
            if !is_available_update(extension.url.as_str()) {
                continue;
            }
            let Some(other) = AvailableUpdate::from_extension(extension).ok().filter(is_current) else { continue };
            let Some(known) = session.ingest(other.id).await? else { continue };
            match compare(ingest, &known.value) {
                OtherUpdate::Unrelated => {}
                OtherUpdate::Earlier => set_status(extension, UpdateStatus::Superseded),
                OtherUpdate::Later => return Ok(Others::Later(other.id)),
                OtherUpdate::Unsettled => return Ok(Others::Unsettled),
            }
        }
        Ok(Others::None)
    }

    /// Writes a component, if it is unchanged since it was read; returns whether it was written.
    async fn write_component(&self, tenant: &Tenant, component: &DeviceComponent, read: &Version) -> Result<bool> {
        let write = ValidWrite::over(read, component)?.with_id(WriteId(self.ids.next_id()?.0));
        match self.resources(tenant).write_resolved(write).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Searches for references that belong to no upload.
    async fn reconcile_components(
        &self,
        session: &LedgerSession<'_, L>,
        page: &[Version],
        reconciled: &mut Reconciled,
    ) {
        let mut suspects = Vec::new();
        for version in page {
            let body = version.body.as_deref().unwrap_or_default();
            if !may_have_updates(body) {
                continue;
            }
            let Ok(id) = Id::new(version.key.id().as_str()) else { continue };
            match self.unknown_in(session, &id).await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => suspects.push((id, found)),
                Err(error) => reconciled.failed.push((version.key.to_string(), error)),
            }
        }
        let without_record = suspects.iter().flat_map(|(_, found)| found).filter(|found| !found.ended).count();
        reconciled.stopped = self.unknown == UnknownReferences::Remove && without_record > MAX_REMOVED;
        let removes_all = self.unknown == UnknownReferences::Remove && !reconciled.stopped;
        for (component, found) in suspects {
            let removed: BTreeSet<Option<IngestId>> =
                found.iter().filter(|found| removes_all || found.ended).map(|found| found.id).collect();
            let mut is_removed = false;
            if !removed.is_empty() {
                match self.remove_unknown(session, &component, &removed).await {
                    Ok(done) => is_removed = done,
                    Err(error) => reconciled.failed.push((format!("DeviceComponent/{component}"), error)),
                }
            }
            reconciled.unknown.extend(found.into_iter().map(|found| UnknownReference {
                component: component.clone(),
                removed: is_removed && removed.contains(&found.id),
                id: found.id,
            }));
        }
    }

    /// Returns the references of a component, as it is now, that belong to no upload of it.
    async fn unknown_in(&self, session: &LedgerSession<'_, L>, component: &Id) -> Result<Vec<Foreign>> {
        let Some((found, _)) = self.component(session.tenant(), component).await? else { return Ok(Vec::new()) };
        let mut unknown = Vec::new();
        for id in self.foreign(session, &found).await? {
            let ended = match id {
                Some(id) => session.ingest(id).await?.is_some(),
                None => false,
            };
            unknown.push(Foreign { id, ended });
        }
        Ok(unknown)
    }

    /// Removes references from a component that still belong to no upload of it.
    async fn remove_unknown(
        &self,
        session: &LedgerSession<'_, L>,
        component: &Id,
        ids: &BTreeSet<Option<IngestId>>,
    ) -> Result<bool> {
        for _ in 0..self.max_attempts {
            let Some((mut found, version)) = self.component(session.tenant(), component).await? else {
                return Ok(true);
            };
            // The ledger is read after the component: an update attached meanwhile makes the write fail.
            let foreign = self.foreign(session, &found).await?;
            let before = found.extension.len();
            let is_foreign = |id: &Option<IngestId>| foreign.contains(id) && ids.contains(id);
            found
                .extension
                .retain(|extension| !is_available_update(extension.url.as_str()) || !is_foreign(&update_id(extension)));
            if found.extension.len() == before {
                return Ok(true);
            }
            let mut entries = Entries::default();
            for id in foreign.iter().filter(|id| ids.contains(id)) {
                let mut said = AuditDraft::new(session.now(), Action::ReferenceRemoved, None, StateName::Gone);
                said.component = Some(component.clone());
                let words =
                    id.map_or_else(|| "without an id".to_owned(), |id| format!("the reference says the id {id}"));
                said.comment = Text::new(words).ok();
                entries.said(said);
            }
            session.write(entries).await?;
            if self.write_component(session.tenant(), &found, &version).await? {
                return Ok(true);
            }
            yield_now().await;
        }
        Err(StoreError::conflict(None))
    }
}

/// The other current updates of a component.
enum Others {
    /// None that prevents it.
    None,
    /// One is being attached or made current again.
    Unsettled,
    /// One became current later.
    Later(IngestId),
}

/// A reference that belongs to no upload of its component.
struct Foreign {
    id: Option<IngestId>,
    /// Whether the upload is known: it ended, or belongs to another component.
    ended: bool,
}

/// Returns the references of a component to an update.
pub(super) fn references(component: &DeviceComponent, id: IngestId) -> Vec<&Extension> {
    let is_of = |one: &&Extension| is_available_update(one.url.as_str()) && update_id(one) == Some(id);
    component.extension.iter().filter(is_of).collect()
}
