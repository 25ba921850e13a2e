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

/// The upload whose place another took when its reference was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// No update was current.
    Nothing,
    /// That of the one update that was current, which had been made current again so often.
    One(IngestId, u32),
    /// Whether an update was current is unknown.
    Somebody,
}

impl Replaced {
    /// `foreign` are the updates of the component that belong to no upload.
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
    /// Makes the component refer to the bytes, unless it does.
    pub(super) async fn attach(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
    ) -> Result<Received, ReceiveError> {
        // Each attempt may be lost to another writer, or to another call for the same upload.
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
                    // What is left is brought to its end by whoever resumes it.
                    let _ = self.release(session, seen).await;
                    return Err(error);
                }
                State::Open { .. } | State::Acquired { .. } => break,
            }
        }
        Err(self.contended(&seen.value.intent.device))
    }

    /// One look, and one write: nothing where it is to be tried again from the state that the upload is in by then.
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
        // The records after the component: a call that slept must not attach what was ended meanwhile.
        let subject = CheckSubject { device_members: &device_members, device: target.device, component };
        let read = self.target_read(session, seen, subject, &found, manifest).await?;
        let Some(effect) = read else { return Ok(None) };
        self.write_reference(session, seen, target, found, effect).await
    }

    /// Writes the reference into a component whose record says that it is meant; nothing where it is to be tried again from the
    /// state that the upload is in by then.
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

    /// Retires the oldest superseded updates of a component, where with the current one there are more than are kept. The
    /// records say so before the component is written to without them. Gives those that may be left out of it.
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
            // One whose record is behind its reference is marked by whoever took its place.
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

    /// Gives up what retired updates held, now that the component was written to without them. What fails is gone on with by
    /// a recovery.
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

    /// Checks the update by the device as it was read, fixes the component and accepts the sequence number, in one write;
    /// gives what is to be done then.
    async fn target_read(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        subject: CheckSubject<'_>,
        (read, version): &SeenComponent,
        manifest: Option<&VerifiedManifest>,
    ) -> Result<Option<Effect>, ReceiveError> {
        // In this order: what was accepted is then at least as new as the record that is checked by it.
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
        // Of the sequence number, the machine tells what is merely late from what may not be.
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

    /// Ends an upload that may not be attached; leaves it as it is where that is not known for certain.
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

    /// The component has the reference, and the record is marked so: until it is, another call may give the upload up, which
    /// looked before the reference was there. Only what is marked is acknowledged. A record that cannot be marked is marked
    /// by whoever finds the reference.
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
                // Once this upload is at rest, nobody comes by to mark those before it.
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
                // The reference is taken out again.
                let _ = self.release(session, seen).await;
                Err(error)
            }
        }
    }

    /// Marks the upload whose place this one took by the write that was just made. Where that one is at rest, it has marked
    /// those before it; else nobody may do so any more, and all of them are looked at.
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

    /// Marks the uploads whose place this one took. One whose reference is written and not marked yet is marked as attached
    /// first. Those that are not known here are of somebody else.
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
            // Only where the store no longer keeps the version that had it.
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

    /// Takes the reference out of the component, or marks it as withdrawn, and then gives up what the upload held. Does nothing for one that is not
    /// being released.
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

/// How many superseded updates one attachment retires at most.
const RETIRED_AT_ONCE: usize = 8;

/// What became of an upload is not known whose reference is written, and whose record could not be marked.
fn unmarked(why: impl std::error::Error + Send + Sync + 'static) -> ReceiveError {
    ReceiveError::Ledger(StoreError::indeterminate(Some(Box::new(why))))
}
