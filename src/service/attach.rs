//! Attaching an update: writing its reference to the component.

use super::admission::{Found, is_of_acceptance};
use super::entries::{Entries, Seen, StepContext};
use super::ledger_session::{LedgerSession, Stepped};
use super::lifecycle::Ending;
use super::reconcile::Outcome;
use super::signed::{CheckSubject, turned_away};
use super::target::{Look, Meant, Seen as SeenComponent, Target, refers};
use super::update_service::{Addresses, UpdateService};
use super::{ReceiveError, Received};
use crate::audit::UploadFailure;
use crate::manifest::{AdmissionReasonCode, IngestId, VerifiedManifest};
use crate::primitive::{DateTime, Uri};
use crate::resource::DeviceComponent;
use crate::store::{
    BlobRef, BlobStore, Generation, Ledger, ResourceStore, StoreError, Stored as _, TenantResources, Version, VersionId,
};
use crate::support::yield_now;
use crate::update::ingest::{self, Effect, Ingest, Input, State, Step};
use crate::update::{AvailableUpdate, UpdateFile, UpdateStatus, available, detach};
use std::collections::BTreeSet;

/// The current update that a new reference replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// No update was current.
    Nothing,
    /// The id of the one current update, and how often it had been made current again.
    One(IngestId, u32),
    /// Whether an update was current is unknown.
    Somebody,
}

impl Replaced {
    /// Returns the update that a write to the component replaces. `foreign` are the updates of the component that
    /// belong to no upload.
    pub(super) fn by_writing_to(component: &DeviceComponent, foreign: &BTreeSet<Option<IngestId>>) -> Self {
        let (mut current, mut there) = (None, 0);
        for update in available(component) {
            match update {
                Ok(update) if foreign.contains(&Some(update.id)) => {}
                Ok(update) if update.status == UpdateStatus::Current => {
                    there += 1;
                    current = Some((update.id, update.restored));
                }
                Ok(_) => {}
                Err(_) => there += 2,
            }
        }
        match (current, there) {
            (_, 0) => Self::Nothing,
            (Some((id, restored)), 1) => Self::One(id, restored),
            _ => Self::Somebody,
        }
    }
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Makes the component refer to the bytes, unless it does already.
    pub(super) async fn attach(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
    ) -> Result<Received, ReceiveError> {
        // Each attempt may fail because of another writer, or of another call for the same upload.
        for _ in 0..self.max_attempts.saturating_mul(2) {
            match &seen.value.state {
                State::Attached { component, .. }
                | State::Superseded { component, .. }
                | State::Restoring { component, .. } => {
                    let component = component.clone();
                    let outcome = self.reconcile_upload(session, seen).await.map_err(|error| match error {
                        StoreError::Conflict { .. } => self.contended(&seen.value.intent.device),
                        error => ReceiveError::Resources(error),
                    })?;
                    if outcome == Outcome::Lost || seen.value.state.attached_to().is_none() {
                        continue;
                    }
                    let found = self.component(session.tenant(), &component).await.map_err(ReceiveError::Resources)?;
                    let Some(found) = found else {
                        return Err(ReceiveError::ComponentDeleted { component, upload: seen.value.id });
                    };
                    return self.answer(session, &seen.value, found, true).await;
                }
                State::Stored { .. } => {
                    if let Some(received) = self.try_attach(session, seen, target, manifest).await? {
                        return Ok(received);
                    }
                }
                State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. } => {
                    let error = self.ended(&seen.value, None);
                    // A later resume completes the release if this fails.
                    let _ = self.release(session, seen).await;
                    return Err(error);
                }
                State::Open { .. } | State::Acquired { .. } => break,
            }
        }
        Err(self.contended(&seen.value.intent.device))
    }

    /// Reads the device once and writes once; `None` where the caller must try again from the upload's new state.
    async fn try_attach(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
    ) -> Result<Option<Received>, ReceiveError> {
        let id = seen.value.id;
        let Meant { seen: found, device_members } = match target.look(id).await {
            Ok(Look::Meant(found)) => *found,
            Ok(Look::Attached(found)) => {
                let first = Target::first(target.resources, id, *found).await?;
                return self.attached(session, seen, target, first, None).await.map(Some);
            }
            Ok(Look::Changing) => {
                yield_now().await;
                return Ok(None);
            }
            Err(error) => {
                if matches!(
                    error,
                    ReceiveError::Unresolved(_) | ReceiveError::UnfitTarget(_) | ReceiveError::NoSuchDevice { .. }
                ) {
                    let lost = session.step(seen, &Input::TargetLost).await;
                    if lost.is_ok() {
                        let _ = self.release(session, seen).await;
                    }
                }
                return Err(error);
            }
        };
        let Some(component) = found.0.logical_id() else { return Ok(None) };
        // Records are read after the component: a delayed call must not attach an upload that was ended meanwhile.
        let subject = CheckSubject { device_members: &device_members, device: target.device, component };
        let read = self.target_read(session, seen, subject, &found, manifest).await?;
        let Some(effect) = read else { return Ok(None) };
        self.write_reference(session, seen, target, found, effect).await
    }

    /// Writes the reference into a component that the record names as the target; `None` where the caller must try
    /// again from the upload's new state.
    pub(super) async fn write_reference(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        target: &Target<'_, R>,
        found: SeenComponent,
        effect: Effect,
    ) -> Result<Option<Received>, ReceiveError> {
        let id = seen.value.id;
        let Effect::WriteReference { blob, generation, .. } = effect else { return Ok(None) };
        let attempt = match seen.value.state {
            State::Stored { attempts, .. } => attempts,
            _ => return Ok(None),
        };
        let update = match self.update(session, &seen.value, blob, generation).await {
            Ok(update) => update,
            Err(error) => {
                // The bytes may be gone because the upload was ended meanwhile.
                *seen = session.known(id).await.map_err(ReceiveError::Ledger)?;
                return if matches!(seen.value.state, State::Stored { .. }) { Err(error) } else { Ok(None) };
            }
        };
        let foreign = self.foreign(session, &found.0).await.map_err(ReceiveError::Ledger)?;
        let (replaced, before) = (Replaced::by_writing_to(&found.0, &foreign), found.1.version);
        let retired = self.retire_surplus(session, &found.0).await.map_err(ReceiveError::Ledger)?;
        let mut found = found;
        retired.iter().for_each(|one| detach(&mut found.0, one.value.id));
        match target.write(found, &update, &self.canonical, &foreign).await {
            Ok(written) => {
                let is_ours = written.1.version == before.next();
                let dropped = retired.into_iter().filter(|one| is_ours && !refers(&written.0, one.value.id));
                let (dropped, wrote) = (dropped.collect(), (before, written.1.version));
                let received = self.attached(session, seen, target, written, Some(replaced)).await;
                self.give_up_retired(session, dropped, wrote).await;
                received.map(Some)
            }
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. } | StoreError::Gone { .. }) => {
                session.step(seen, &Input::Conflicted { attempt }).await.map_err(ReceiveError::Ledger)?.ok();
                yield_now().await;
                Ok(None)
            }
            Err(error) => Err(ReceiveError::Resources(error)),
        }
    }

    /// Retires the oldest superseded updates of a component beyond the number kept, counting the current one. Their
    /// records say so before the component is written without them. Returns the retired uploads, whose references may
    /// be left out.
    async fn retire_surplus(
        &self,
        session: &LedgerSession<'_, L>,
        component: &DeviceComponent,
    ) -> Result<Vec<Seen<Ingest>>, StoreError> {
        let is_superseded = |update: &AvailableUpdate| update.status == UpdateStatus::Superseded;
        let is_kept = |update: &AvailableUpdate| update.status != UpdateStatus::Withdrawn;
        let kept = available(component).flatten().filter(is_kept).count();
        let surplus = kept.saturating_sub(self.keep_superseded).min(RETIRED_AT_ONCE);
        let mut retired = Vec::new();
        for update in available(component).flatten().filter(is_superseded).take(surplus) {
            let Some(mut seen) = session.ingest(update.id).await? else { continue };
            // An upload whose record is behind its reference is marked by the upload that replaced it.
            if matches!(seen.value.state, State::Superseded { .. }) {
                session.step(&mut seen, &Input::Retired { by: None }).await?.ok();
            }
            if matches!(
                &seen.value.state,
                State::Releasing { reason: UploadFailure::Superseded, component: Some(_), .. }
            ) {
                retired.push(seen);
            }
        }
        Ok(retired)
    }

    /// Releases the holds of retired updates, after the component was written without them. A later recovery completes
    /// what fails.
    async fn give_up_retired(
        &self,
        session: &LedgerSession<'_, L>,
        retired: Vec<Seen<Ingest>>,
        wrote: (VersionId, VersionId),
    ) {
        for mut seen in retired {
            let State::Releasing { component: Some(component), .. } = seen.value.state.clone() else { continue };
            let step_context = StepContext { wrote: Some(wrote), ..StepContext::default() };
            let dropped =
                session.step_with_context(&mut seen, &Input::ReferenceDropped { component }, step_context).await;
            if matches!(dropped, Ok(Ok(_))) {
                let _ = self.release(session, &mut seen).await;
            }
        }
    }

    /// Checks the update against the device as read, fixes the component and accepts the sequence number, in one write;
    /// returns the next effect.
    async fn target_read(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        subject: CheckSubject<'_>,
        (read, version): &SeenComponent,
        manifest: Option<&VerifiedManifest>,
    ) -> Result<Option<Effect>, ReceiveError> {
        // In this order, the accepted numbers are at least as new as the record that is checked against them.
        *seen = session.known(seen.value.id).await.map_err(ReceiveError::Ledger)?;
        if !matches!(seen.value.state, State::Stored { .. }) {
            return Ok(None);
        }
        let (id, intent, now) = (seen.value.id, seen.value.intent.clone(), session.now());
        let found = Found::look(session, read, subject.component, &intent, Some(id)).await;
        let mut found = found.map_err(ReceiveError::Ledger)?;
        let reasons = match self.check_manifest(session, &seen.value, subject, found.before(), (manifest, now)).await {
            Ok(reasons) => reasons,
            Err(error) => return self.turn_away(session, seen, error).await,
        };
        // For the sequence number, the state machine distinguishes a late upload from a forbidden one.
        if reasons.iter().any(|reason| reason.code != AdmissionReasonCode::Sequence) {
            return self.turn_away(session, seen, ReceiveError::NotAdmitted { reasons }).await;
        }
        let component = subject.component.clone();
        let (accepted, claim, reported) = found.parts();
        let input = Input::TargetRead { component, version: version.version, accepted, claim, reported };
        let to = match ingest::step(&seen.value, &input, now) {
            Ok(Step::Perform(effect)) => return Ok(Some(effect)),
            Ok(Step::Unchanged) | Err(_) => return Ok(None),
            Ok(Step::Transition(to)) => to,
        };
        let mut entries = Entries::default();
        found.accept(&mut entries, &to);
        let (effect, refused) = (to.effect.clone(), to.audit.reason.filter(|reason| is_of_acceptance(*reason)));
        let digest = seen.value.state.held().map(|(blob, _)| blob.digest);
        entries.ingest(seen, to, StepContext::default()).map_err(ReceiveError::Ledger)?;
        let written = session.write_step(seen, entries).await.map_err(ReceiveError::Ledger)?;
        if let Some(reason) = refused.filter(|_| written) {
            let _ = self.release(session, seen).await;
            let why = found.why(&intent, subject.component, digest, now);
            return Err(match (reasons.is_empty(), why) {
                (false, _) => ReceiveError::NotAdmitted { reasons },
                (true, Some(why)) => ReceiveError::NotAcceptable(why),
                (true, None) => ReceiveError::Ended { upload: seen.value.id, reason },
            });
        }
        Ok(effect.filter(|_| written))
    }

    /// Ends an upload that must not be attached; leaves it unchanged where that is not certain.
    async fn turn_away(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        error: ReceiveError,
    ) -> Result<Option<Effect>, ReceiveError> {
        if let Some(why) = turned_away(&error) {
            let step_context =
                StepContext { refused: matches!(error, ReceiveError::Manifest(_)), ..StepContext::default() };
            let ended = session.step_with_context(seen, &Input::NotAdmitted { why }, step_context).await;
            match ended.map_err(ReceiveError::Ledger)? {
                Ok(_) => drop(self.release(session, seen).await),
                // Another call was faster.
                Err(_) => return Ok(None),
            }
        }
        Err(error)
    }

    /// Marks the record of an upload whose reference is in the component. Until then, another call may release the
    /// upload, having looked before the reference was there; so only a marked upload is acknowledged. A record that
    /// cannot be marked here is marked by the next call that finds the reference.
    async fn attached(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        target: &Target<'_, R>,
        found: SeenComponent,
        replaced: Option<Replaced>,
    ) -> Result<Received, ReceiveError> {
        if let Some(component) = found.0.logical_id().cloned() {
            let written = Input::ReferenceWritten { component, version: found.1.version };
            let marked = match replaced {
                Some(Replaced::One(id, restored)) => {
                    self.attach_marked(session, seen, (id, restored), &written).await.map_err(unmarked)?
                }
                _ => false,
            };
            if !marked {
                // Once this upload is at rest, no later call marks the ones before it.
                self.mark(session, seen.value.id, target.resources, &found, replaced).await.map_err(unmarked)?;
            }
            if !marked && session.step(seen, &written).await.map_err(unmarked)?.is_err() {
                *seen = session.known(seen.value.id).await.map_err(unmarked)?;
            }
        }
        match seen.value.state {
            State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. } => {
                self.answer(session, &seen.value, found, replaced.is_none()).await
            }
            _ => {
                let error = self.ended(&seen.value, None);
                // Remove the reference again.
                let _ = self.release(session, seen).await;
                Err(error)
            }
        }
    }

    /// Marks the upload that this one replaced by the last write. Where that one is at rest, it has marked those before
    /// it; otherwise nothing else may do so any more, and all of them are checked.
    pub(super) async fn mark(
        &self,
        session: &LedgerSession<'_, L>,
        by: IngestId,
        resources: &TenantResources<R>,
        found: &SeenComponent,
        replaced: Option<Replaced>,
    ) -> Result<(), ReceiveError> {
        match replaced {
            Some(Replaced::Nothing) => return Ok(()),
            Some(Replaced::Somebody) | None => {}
            Some(Replaced::One(id, restored)) => {
                let earlier = session.ingest(id).await.map_err(ReceiveError::Ledger)?;
                if let Some(mut earlier) = earlier.filter(|earlier| earlier.value.state.is_end()) {
                    let superseded = Input::Superseded { by, restored };
                    session.step(&mut earlier, &superseded).await.map_err(ReceiveError::Ledger)?.ok();
                    return Ok(());
                }
            }
        }
        self.supersede(session, by, resources, found).await
    }

    /// Marks the uploads that this one replaced. One whose reference is written and not marked yet is marked as
    /// attached first. Unknown ones belong to other writers.
    pub(super) async fn supersede(
        &self,
        session: &LedgerSession<'_, L>,
        by: IngestId,
        resources: &TenantResources<R>,
        found: &SeenComponent,
    ) -> Result<(), ReceiveError> {
        let superseded = |update: &AvailableUpdate| update.status == UpdateStatus::Superseded;
        for update in available(&found.0).flatten().filter(superseded) {
            let earlier = session.ingest(update.id).await.map_err(ReceiveError::Ledger)?;
            let (Some(mut earlier), Some(component)) = (earlier, found.0.logical_id().cloned()) else { continue };
            if matches!(earlier.value.state, State::Stored { .. }) {
                let version = Target::first(resources, update.id, found.clone()).await?.1.version;
                let written = Input::ReferenceWritten { component, version };
                session.step(&mut earlier, &written).await.map_err(ReceiveError::Ledger)?.ok();
            }
            if matches!(earlier.value.state, State::Attached { .. } | State::Restoring { .. }) {
                let superseded = Input::Superseded { by, restored: update.restored };
                session.step(&mut earlier, &superseded).await.map_err(ReceiveError::Ledger)?.ok();
            }
        }
        Ok(())
    }

    async fn answer(
        &self,
        session: &LedgerSession<'_, L>,
        ingest: &Ingest,
        found: SeenComponent,
        replayed: bool,
    ) -> Result<Received, ReceiveError> {
        let (component, Version { version, last_updated, .. }) = found;
        let said = available(&component).flatten().find(|update| update.id == ingest.id);
        let update = match (said, ingest.state.held()) {
            (Some(update), _) => update,
            // Only where the store no longer keeps the version that had the reference.
            (None, Some((blob, generation))) => self.update(session, ingest, blob, generation).await?,
            (None, None) => return Err(ReceiveError::Ledger(StoreError::not_found())),
        };
        Ok(Received { component, version, last_updated, update, replayed })
    }

    pub(super) async fn update(
        &self,
        session: &LedgerSession<'_, L>,
        ingest: &Ingest,
        blob: BlobRef,
        generation: Generation,
    ) -> Result<AvailableUpdate, ReceiveError> {
        let key = blob.key(generation);
        let url = match &self.addresses {
            Addresses::Caller(url) => url(session.tenant(), &key),
            Addresses::Store(kind) => {
                self.blobs.url(session.tenant(), &key, *kind).await.map_err(ReceiveError::Blobs)?
            }
        };
        let Ingest { id, intent, opened, .. } = ingest;
        Ok(AvailableUpdate {
            id: *id,
            version: intent.version.clone(),
            sequence: intent.sequence,
            status: UpdateStatus::Current,
            sha256: blob.digest,
            size: blob.size,
            file: UpdateFile {
                url: Uri::from(url),
                content_type: intent.content_type.clone(),
                title: intent.file_name.clone(),
                creation: opened.clone().map(DateTime::from),
            },
            restored: 0,
            damaged: false,
        })
    }

    /// Removes the reference from the component, or marks it as withdrawn, and then releases the holds of the upload.
    /// Does nothing unless the upload is being released.
    pub(super) async fn release(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
    ) -> Result<(), StoreError> {
        loop {
            match ingest::resume(&seen.value.state) {
                Some(Effect::DropReference { component }) => {
                    let (_, wrote) = self.end_reference(session, seen.value.id, &component, Ending::Dropped).await?;
                    let step_context = StepContext { wrote, ..StepContext::default() };
                    let dropped =
                        session.step_with_context(seen, &Input::ReferenceDropped { component }, step_context).await?;
                    if !matches!(dropped, Ok(Stepped::To)) {
                        *seen = session.known(seen.value.id).await?;
                    }
                }
                Some(Effect::MarkWithdrawn { component }) => {
                    let ended = self.end_reference(session, seen.value.id, &component, Ending::Withdrawn).await?;
                    let (there, wrote) = ended;
                    let step_context = StepContext { wrote, ..StepContext::default() };
                    let until = session.later(self.context.retention.withdrawn);
                    let input = match there {
                        true => Input::ReferenceMarked { component, until },
                        false => Input::ReferenceDropped { component },
                    };
                    let marked = session.step_with_context(seen, &input, step_context).await?;
                    if !matches!(marked, Ok(Stepped::To)) {
                        *seen = session.known(seen.value.id).await?;
                    }
                }
                Some(Effect::ReleaseBytes { blob, generation }) => {
                    self.release_bytes(session, seen, &blob, generation).await?;
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Maximum number of superseded updates that one attachment retires.
const RETIRED_AT_ONCE: usize = 8;

/// Returns the error for an upload with a written reference whose record could not be marked: the outcome is unknown.
fn unmarked(why: impl std::error::Error + Send + Sync + 'static) -> ReceiveError {
    ReceiveError::Ledger(StoreError::indeterminate(Some(Box::new(why))))
}
