//! Withdrawing updates, and resuming interrupted work.

use super::ReceiveError;
use super::attach::Replaced;
use super::entries::{Entries, Seen, StepContext};
use super::ledger_session::{LedgerSession, Written};
use super::target::{Target, refers};
use super::update_service::UpdateService;
use crate::audit::Holder;
use crate::datatype::Extension;
use crate::manifest::{ActorId, IngestId};
use crate::primitive::{Id, Text};
use crate::resource::DeviceComponent;
use crate::search::ResourceType;
use crate::store::{
    Applied, BlobRef, BlobStore, Generation, Key, LEDGER_MAX_CHANGES, Ledger, Page, PageToken, ResourceStore, Sha256,
    StoreError, Stored as _, Tenant, ValidWrite, VersionId,
};
use crate::support::yield_now;
use crate::update::blob::{self};
use crate::update::ingest::{self, Effect, Ingest, Input, Refusal, State};
use crate::update::{available, detach, make_current_beside, update_id, withdraw};
use std::num::NonZeroU32;

/// The fate of a reference that is no longer current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The reference is removed.
    Dropped,
    /// The reference stays, marked as withdrawn.
    Withdrawn,
}

/// The error of withdrawing or resuming an update.
///
/// ```
/// use fhir_devices::service::{IngestId, LifecycleError};
/// use fhir_devices::store::Applied;
/// let error = LifecycleError::NoSuchUpload { tenant: "st-mary".parse()?, upload: IngestId(7) };
/// assert_eq!(error.to_string(), "the tenant `st-mary` has no upload `00000000000000000000000000000007`");
/// assert_eq!((error.is_transient(), error.applied()), (false, Applied::No));
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// The tenant has no such upload: it never existed, or belongs to another tenant.
    #[error("the tenant `{tenant}` has no upload `{upload}`")]
    NoSuchUpload {
        /// The requested tenant.
        tenant: Tenant,
        /// The requested upload.
        upload: IngestId,
    },
    /// The state of the upload does not allow it.
    #[error("the upload `{upload}` of the tenant `{tenant}` is not in a state for this")]
    Refused {
        /// The tenant.
        tenant: Tenant,
        /// The upload.
        upload: IngestId,
        /// The refusal.
        #[source]
        source: Refusal,
    },
    /// The blob machine refuses to hold or release the bytes.
    #[error("the file `{sha256}` of the tenant `{tenant}` is not in a state for this")]
    Bytes {
        /// The tenant.
        tenant: Tenant,
        /// The digest of the bytes.
        sha256: Sha256,
        /// The refusal.
        #[source]
        source: blob::Refusal,
    },
    /// The component is gone, or no longer refers to the update.
    #[error("the component `{component}` has no reference of the upload `{upload}`")]
    NoReference {
        /// The component.
        component: Id,
        /// The upload.
        upload: IngestId,
    },
    /// The reference could not be written to its component.
    #[error(transparent)]
    Attach(#[from] ReceiveError),
    /// A store failed. The operation can be resumed.
    #[error("a store failed")]
    Store(#[from] StoreError),
}

impl LifecycleError {
    /// Returns whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoSuchUpload { .. } | Self::Refused { .. } | Self::Bytes { .. } | Self::NoReference { .. } => false,
            Self::Attach(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
        }
    }

    /// Returns whether something may have been changed nevertheless.
    #[must_use]
    pub fn applied(&self) -> Applied {
        match self {
            Self::NoSuchUpload { .. } | Self::Refused { .. } | Self::Bytes { .. } | Self::NoReference { .. } => {
                Applied::No
            }
            Self::Attach(error) => error.applied(),
            // An earlier step may be done already: the next resume finds out.
            Self::Store(_) => Applied::Unknown,
        }
    }
}

/// The result of a [`recovery`](UpdateService::recover).
///
/// ```
/// use fhir_devices::service::Recovered;
/// assert_eq!(Recovered::default().ended, 0);
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// The number of finished uploads: attached, superseded or closed.
    pub ended: u64,
    /// The number of uploads that wait for their bytes, within their lease.
    pub waiting: u64,
    /// The uploads that could not be resumed, and why. The next recovery retries them.
    pub failed: Vec<(IngestId, LifecycleError)>,
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the state of an upload.
    ///
    /// # Errors
    /// [`LifecycleError::NoSuchUpload`], [`LifecycleError::Store`].
    pub async fn upload(&self, tenant: &Tenant, id: IngestId) -> Result<Ingest, LifecycleError> {
        let seen = self.session(tenant).ingest(id).await?;
        seen.map(|seen| seen.value).ok_or_else(|| no_such(tenant, id))
    }

    /// Withdraws an update for good: it is never attached again.
    ///
    /// # Flow
    /// 1. The record states that the update is withdrawn, by whom and why.
    /// 2. The component shows it as `withdrawn`, so that a device that has the file sees the recall. No other update
    ///    replaces it; [`make_current`](Self::make_current) brings a predecessor back.
    /// 3. The hold on the bytes is released, in this order: a file that must not be installed is served until a
    ///    [collection](Self::collect) deletes it after its grace period. To keep it as evidence, [pin](Self::pin) it
    ///    first.
    /// 4. The reference is removed after [a time](Self::with_withdrawn_retention), by [`expire`](Self::expire).
    ///
    /// An update without a reference in a component leaves none, and one whose component is gone ends all the same.
    ///
    /// # Errors
    /// [`LifecycleError::NoSuchUpload`]; [`LifecycleError::Refused`] for one that failed for another reason;
    /// [`LifecycleError::Store`], after which [`resume`](Self::resume) continues.
    pub async fn withdraw(
        &self,
        tenant: &Tenant,
        id: IngestId,
        by: ActorId,
        why: Text,
    ) -> Result<Ingest, LifecycleError> {
        self.end(tenant, id, &Input::Withdrawn { by, why }).await
    }

    /// Retires a superseded update: its reference is removed, and its bytes may be deleted.
    ///
    /// # Errors
    /// As [`withdraw`](Self::withdraw); [`LifecycleError::Refused`] for an update that is not superseded.
    pub async fn retire(&self, tenant: &Tenant, id: IngestId, by: Option<ActorId>) -> Result<Ingest, LifecycleError> {
        self.end(tenant, id, &Input::Retired { by }).await
    }

    /// Makes a superseded update current again; the current one becomes superseded. It is a downgrade by decision of a
    /// person, and recorded as such, with the actor and the reason. The accepted sequence numbers of the component do
    /// not change: a later upload needs a number above all that were ever accepted.
    ///
    /// # Guarantees
    /// The decision is recorded before the component is written, and is carried out once: an interrupted call is
    /// continued by [`resume`](Self::resume) and [`recover`](Self::recover). An update that is current already stays
    /// so, without a second record. One that is attached after this call replaces it.
    ///
    /// # Errors
    /// [`LifecycleError::NoSuchUpload`]; [`LifecycleError::Refused`] for one that is not attached, was withdrawn or
    /// retired; [`LifecycleError::NoReference`] where the component no longer has it; [`LifecycleError::Store`], after
    /// which [`resume`](Self::resume) continues.
    pub async fn make_current(
        &self,
        tenant: &Tenant,
        id: IngestId,
        by: ActorId,
        why: Text,
    ) -> Result<Ingest, LifecycleError> {
        let session = self.session(tenant);
        let refused = |refusal| refused(tenant, id, refusal);
        let mut seen = session.ingest(id).await?.ok_or_else(|| no_such(tenant, id))?;
        session.step(&mut seen, &Input::RestoreRequested { by, why }).await?.map_err(refused)?;
        self.restore(&session, &mut seen).await?;
        match &seen.value.state {
            State::Releasing { .. } => Err(refused(Refusal::Releasing)),
            State::Withdrawn { .. } => Err(refused(Refusal::Withdrawn)),
            State::Closed { .. } => Err(refused(Refusal::Closed)),
            _ => Ok(seen.value),
        }
    }

    /// Writes the component of an upload that is to be current again, unless that is done; does nothing for other
    /// uploads.
    async fn restore(&self, session: &LedgerSession<'_, L>, seen: &mut Seen<Ingest>) -> Result<(), LifecycleError> {
        let (id, mut conflict) = (seen.value.id, None);
        let resources = self.resources(session.tenant());
        for _ in 0..self.max_attempts {
            let Some(Effect::RestoreReference { component, restored }) = ingest::resume(&seen.value.state) else {
                return Ok(());
            };
            let key = Key::new(ResourceType::DeviceComponent, component.as_str()).map_err(StoreError::from)?;
            let found = match resources.read(&key).await {
                Ok(version) => Some((DeviceComponent::from_version(&version)?, version)),
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            // The record is read after the component: a delayed call must not bring back an update that was withdrawn
            // meanwhile.
            *seen = session.known(id).await?;
            if ingest::resume(&seen.value.state)
                != Some(Effect::RestoreReference { component: component.clone(), restored })
            {
                continue;
            }
            let own = found.as_ref().and_then(|(found, _)| available(found).flatten().find(|update| update.id == id));
            let (Some(mut found), Some(own)) = (found, own) else {
                session.step(seen, &Input::RestoreFailed).await?.ok();
                return Err(LifecycleError::NoReference { component, upload: id });
            };
            // The reference shows whether this is done, even where another update has replaced it since.
            let (mut replaced, mut step_context) = (None, StepContext::default());
            if own.restored < restored {
                // A reference of another writer replaces no upload, and no upload replaces it.
                let foreign = self.foreign(session, &found.0).await?;
                replaced = Some(Replaced::by_writing_to(&found.0, &foreign));
                let is_foreign = |extension: &Extension| foreign.contains(&update_id(extension));
                make_current_beside(&mut found.0, id, restored, is_foreign);
                let write = ValidWrite::over(&found.1, &found.0)?;
                match resources.write(write).await {
                    Ok(written) => {
                        step_context.wrote = Some((found.1.version, written.version));
                        found.1 = written;
                    }
                    Err(
                        error @ (StoreError::Conflict { .. } | StoreError::NotFound { .. } | StoreError::Gone { .. }),
                    ) => {
                        conflict = Some(error);
                        yield_now().await;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            self.mark(session, id, &resources, &found, replaced).await?;
            step_context.current_in = Some(found.1.version);
            let input = Input::ReferenceRestored { component, restored };
            if session.step_with_context(seen, &input, step_context).await?.is_err() {
                *seen = session.known(id).await?;
            }
            return Ok(());
        }
        Err(conflict.unwrap_or(StoreError::throttled(None)).into())
    }

    async fn end(&self, tenant: &Tenant, id: IngestId, input: &Input) -> Result<Ingest, LifecycleError> {
        let session = self.session(tenant);
        let mut seen = session.ingest(id).await?.ok_or_else(|| no_such(tenant, id))?;
        session.step(&mut seen, input).await?.map_err(|refusal| refused(tenant, id, refusal))?;
        self.release(&session, &mut seen).await?;
        Ok(seen.value)
    }

    /// Returns one page of the unfinished uploads: for callers that resume them in their own order and number.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn unfinished(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<IngestId>, StoreError> {
        self.session(tenant).unfinished(limit, after).await
    }

    /// Resumes an upload from its state in the ledger, as after a crash. It does not disturb a call that is still
    /// working on it.
    ///
    /// # Guarantees
    /// Committed but unmarked bytes are found; a written but unmarked reference is found, and no second one is written;
    /// bytes that never arrived are given up after their time; withdrawn uploads are released.
    ///
    /// # Errors
    /// [`LifecycleError::NoSuchUpload`]; [`LifecycleError::Attach`] where the component is no longer the only match;
    /// [`LifecycleError::Store`].
    pub async fn resume(&self, tenant: &Tenant, id: IngestId) -> Result<Ingest, LifecycleError> {
        let session = self.session(tenant);
        let seen = session.ingest(id).await?.ok_or_else(|| no_such(tenant, id))?;
        self.go_on(&session, seen).await
    }

    /// Resumes an upload that was read.
    async fn go_on(&self, session: &LedgerSession<'_, L>, mut seen: Seen<Ingest>) -> Result<Ingest, LifecycleError> {
        let tenant = session.tenant();
        if let State::Open { .. } | State::Acquired { .. } = &seen.value.state {
            self.look_for_bytes(session, &mut seen).await?;
        }
        if let State::Stored { .. } = &seen.value.state {
            let resources = self.resources(tenant);
            let intent = seen.value.intent.clone();
            let whole = intent.manifest.is_some();
            let target = Target { resources: &resources, device: &intent.device, selector: &intent.target, whole };
            let attached = self.attach(session, &mut seen, &target, None).await;
            // A failed upload has come to its end too.
            if let (Err(error), false) = (attached, matches!(seen.value.state, State::Closed { .. })) {
                return Err(error.into());
            }
        }
        self.restore(session, &mut seen).await?;
        self.release(session, &mut seen).await?;
        Ok(seen.value)
    }

    /// Resumes every unfinished upload of a tenant, one after the other. Uploads that only remain to be released, since
    /// their bytes never arrived, are closed several at a time.
    ///
    /// # Errors
    /// As [`Ledger::scan`]. An error with one upload is in the result, and stops none of the others.
    pub async fn recover(&self, tenant: &Tenant) -> Result<Recovered, StoreError> {
        let session = self.session(tenant);
        let (mut recovered, mut lost, mut after) = (Recovered::default(), Vec::new(), None);
        loop {
            let page = session.unfinished_records(PAGE, after.as_ref()).await?;
            for (id, seen) in page.items {
                let seen = match seen {
                    Ok(seen) => seen,
                    Err(error) => {
                        recovered.failed.push((id, error.into()));
                        continue;
                    }
                };
                if !matches!(seen.value.state, State::Open { .. }) {
                    self.recover_one(&session, seen, &mut recovered).await;
                    continue;
                }
                match ingest::step(&seen.value, &Input::DeadlineReached, session.now()) {
                    Ok(ingest::Step::Transition(to)) => lost.push((seen, to)),
                    _ => recovered.waiting += 1,
                }
                if lost.len() >= AT_ONCE {
                    self.give_up(&session, &mut lost, &mut recovered).await;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.give_up(&session, &mut lost, &mut recovered).await;
        Ok(recovered)
    }

    async fn recover_one(&self, session: &LedgerSession<'_, L>, seen: Seen<Ingest>, recovered: &mut Recovered) {
        let id = seen.value.id;
        match self.go_on(session, seen).await {
            Ok(ingest) if ingest.state.is_end() => recovered.ended += 1,
            Ok(_) => recovered.waiting += 1,
            Err(error) => recovered.failed.push((id, error)),
        }
    }

    /// Closes uploads whose bytes never arrived, in one write; one by one where that fails.
    async fn give_up(&self, session: &LedgerSession<'_, L>, lost: &mut Vec<Lost>, recovered: &mut Recovered) {
        let (mut entries, mut each) = (Entries::default(), Vec::with_capacity(lost.len()));
        for (seen, to) in lost.drain(..) {
            match entries.ingest(&seen, to, StepContext::default()) {
                Ok(()) => each.push(seen),
                Err(error) => recovered.failed.push((seen.value.id, error.into())),
            }
        }
        if each.is_empty() {
            return;
        }
        match session.write(entries).await {
            Ok(Written::As(_) | Written::CommittedReplyLost) => recovered.ended += each.len() as u64,
            // Another call works on one of them, or the ledger fails: try each by itself.
            Ok(Written::Not) | Err(_) => {
                for seen in each {
                    self.recover_one(session, seen, recovered).await;
                }
            }
        }
    }

    /// Returns whether held bytes were committed; if not, whether there is still time for them.
    async fn look_for_bytes(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
    ) -> Result<(), LifecycleError> {
        if let State::Acquired { blob, generation, .. } = seen.value.state {
            match self.blobs.head(session.tenant(), &blob.key(generation)).await {
                Ok(found) if found == blob => return Ok(self.committed(session, seen, generation).await?),
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match session.step(seen, &Input::DeadlineReached).await? {
            Ok(_) | Err(Refusal::NotDue) => Ok(()),
            Err(refusal) => Err(refused(session.tenant(), seen.value.id, refusal)),
        }
    }

    /// Removes the reference of an upload from a component, or marks it as withdrawn. The component is written even
    /// without a reference, so that a writer that read it before can no longer write the reference. Returns whether
    /// there was one, and the versions before and after the write.
    pub(super) async fn end_reference(
        &self,
        session: &LedgerSession<'_, L>,
        id: IngestId,
        component: &Id,
        ending: Ending,
    ) -> Result<(bool, Option<(VersionId, VersionId)>), StoreError> {
        let resources = self.resources(session.tenant());
        let key = Key::new(ResourceType::DeviceComponent, component.as_str())?;
        let mut conflict = None;
        for _ in 0..self.max_attempts {
            let version = match resources.read(&key).await {
                Ok(version) => version,
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => return Ok((false, None)),
                Err(error) => return Err(error),
            };
            let mut found = (DeviceComponent::from_version(&version)?, version);
            let there = refers(&found.0, id);
            if there {
                // This is the last time that the update it replaced can be seen here.
                self.supersede(session, id, &resources, &found).await.map_err(store_error)?;
            }
            match ending {
                Ending::Dropped => detach(&mut found.0, id),
                Ending::Withdrawn => drop(withdraw(&mut found.0, id)),
            }
            let write = ValidWrite::over(&found.1, &found.0)?;
            match resources.write(write).await {
                Ok(written) => return Ok((there, Some((found.1.version, written.version)))),
                Err(error @ StoreError::Conflict { .. }) => conflict = Some(error),
                Err(error) => return Err(error),
            }
            yield_now().await;
        }
        Err(conflict.unwrap_or(StoreError::throttled(None)))
    }

    /// Releases the hold of an upload on its bytes, and closes it, in one write.
    pub(super) async fn release_bytes(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        blob: &BlobRef,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let entry = session.entry(&blob.key(generation)).await?;
        let mut entries = Entries::default();
        let released = blob::Input::Released { by: Holder::Ingest(seen.value.id), actor: None };
        if let Ok(blob::Step::Transition(to)) = blob::step(entry.value.as_ref(), &released, session.now()) {
            entries.blob(&entry, &to);
        }
        if let Ok(ingest::Step::Transition(to)) =
            ingest::step(&seen.value, &Input::BytesReleased { generation }, session.now())
        {
            entries.ingest(seen, to, StepContext::default())?;
            session.write_step(seen, entries).await?;
            return Ok(());
        }
        *seen = session.known(seen.value.id).await?;
        Ok(())
    }
}

fn store_error(error: ReceiveError) -> StoreError {
    match error {
        ReceiveError::Resources(error) | ReceiveError::Blobs(error) | ReceiveError::Ledger(error) => error,
        error => StoreError::backend(Box::new(error)),
    }
}

fn no_such(tenant: &Tenant, upload: IngestId) -> LifecycleError {
    LifecycleError::NoSuchUpload { tenant: tenant.clone(), upload }
}

fn refused(tenant: &Tenant, upload: IngestId, source: Refusal) -> LifecycleError {
    LifecycleError::Refused { tenant: tenant.clone(), upload, source }
}

/// An upload to be closed, and the step that closes it.
type Lost = (Seen<Ingest>, ingest::Transition);

/// Number of uploads closed in one write: of the changes that every ledger accepts, one is the end of the audit chain,
/// and each upload needs four.
const AT_ONCE: usize = (LEDGER_MAX_CHANGES - 1) / 4;

/// Number of records read at a time.
pub(super) const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);
