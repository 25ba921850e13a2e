//! Receiving one update.

use super::admission::check_intent;
use super::bytes::{Gathered, Passing};
use super::entries::{Entries, Seen, StepContext};
use super::ledger_session::{LedgerSession, Stepped};
use super::signed;
use super::small_upload::Begun;
use super::target::Target;
use super::update_service::UpdateService;
use super::{MaintenanceError, ReceiveError, Received, SignedSubmission, Submission};
use crate::audit::Holder;
use crate::audit::UploadFailure;
use crate::manifest::{IdempotencyKey, IngestId, VerifiedManifest};
use crate::primitive::{Code, Id};
use crate::store::{
    BlobRef, BlobStore, BlobWriter, ByteStream, Generation, Ledger, ResourceStore, Sha256, StoreError, Tenant,
};
use crate::update::blob::{self};
use crate::update::ingest::{self, Effect, Ingest, Input, Intent, Refusal, State};
use std::sync::Arc;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Receives an update: finds the component, stores the bytes, and makes the component refer to them.
    ///
    /// The bytes are a [`ByteStream`](crate::store::ByteStream): [`stream::once`](crate::store::stream::once) for bytes in
    /// memory, and [`stream::from_reader`](crate::store::stream::from_reader) for a file.
    ///
    /// # Flow
    /// 1. Exactly one component of the device is meant, or the call ends here.
    /// 2. The intent is written to the ledger, under the idempotency key where there is one.
    /// 3. The bytes pass once: they are hashed, counted and written where nobody sees them. When they are whole and have the
    ///    digest that was declared, the ledger holds them for the upload, and then they are committed under their digest and a
    ///    generation of their own; where the tenant has the same bytes already, those are held, unless
    ///    as many uploads hold them as [may share a copy](Self::with_uploads_per_copy). [Small](Self::with_small_size)
    ///    ones are read before the intent is written, and held in the same commit.
    /// 4. The component is read and the target resolved again, the record is looked at again, the sequence number is
    ///    accepted, and the reference is written if the component is still as it was read. When others write to it, this is
    ///    repeated.
    /// 5. The record is marked with the version of the component.
    ///
    /// # Guarantees
    /// An upload that is refused, or breaks off, leaves nothing that a device could see. Dropping the future leaves the
    /// component without the reference or with the whole of it, and [`resume`](Self::resume) brings what is left to its end.
    /// Under an idempotency key an upload is attached once, however often it is sent: the first call that comes to its end
    /// has the answer, and later ones get the component as it is now; where somebody else took the
    /// reference out of it, what [the rule](Self::with_missing_references) says is done first. What is in the component and not ours is kept. Every step leaves a
    /// record in the audit chain of the tenant, in the same write.
    ///
    /// # Assumptions
    /// The stores keep their contracts.
    ///
    /// # Errors
    /// The conditions of [`ReceiveError`].
    pub async fn receive(
        &self,
        tenant: &Tenant,
        submission: Submission,
        body: ByteStream,
    ) -> Result<Received, ReceiveError> {
        if !self.takes_unsigned(tenant) {
            return Err(ReceiveError::Unsigned { tenant: tenant.clone() });
        }
        self.take_in(tenant, submission.intent(), submission.idempotency_key.as_ref(), None, body).await
    }

    /// Receives an update that comes with a signed manifest, as [`receive`](Self::receive) does one without.
    ///
    /// # Flow
    /// 1. The signatures are checked by the [verifier](Self::with_verifier), and only then is the manifest read. It says what
    ///    the upload is for: the component, the version, the sequence number, the size and the digest of the file.
    /// 2. The device is read, all of it, and held against the manifest, with what the component accepted before, as
    ///    [`explain`](crate::manifest::explain) does. Where something speaks against the update, the call ends here.
    /// 3. The manifest and its signatures are written to the ledger with the intent, and stay there.
    /// 4. As soon as more bytes come than the manifest says, or when they have another digest, the upload is closed, and they
    ///    are not kept.
    /// 5. Before the reference is written, the device is read and checked again. Whoever goes on with an upload that broke off
    ///    verifies its signatures again too.
    ///
    /// # Guarantees
    /// Those of [`receive`](Self::receive), and: no component refers to bytes that no good signature is over, or that its
    /// manifest does not admit by what the device reported when the component was last read. The audit records say whose
    /// signatures were good.
    ///
    /// # Assumptions
    /// Those of [`receive`](Self::receive). What other components report may change after they were read: whoever installs
    /// the update asks again.
    ///
    /// # Errors
    /// The conditions of [`ReceiveError`].
    pub async fn receive_signed(
        &self,
        tenant: &Tenant,
        submission: SignedSubmission,
        body: ByteStream,
    ) -> Result<Received, ReceiveError> {
        let verified = self.verify(tenant, &submission.manifest, &submission.provider)?;
        let intent = signed::intent(&verified, &submission.device, submission.artifact.as_ref())?;
        let intent = Intent { replace: submission.replace, sender: submission.sender, ..intent };
        self.take_in(tenant, intent, submission.idempotency_key.as_ref(), Some(&verified), body).await
    }

    async fn take_in(
        &self,
        tenant: &Tenant,
        intent: Intent,
        key: Option<&IdempotencyKey>,
        manifest: Option<&VerifiedManifest>,
        body: ByteStream,
    ) -> Result<Received, ReceiveError> {
        check_intent(&intent)?;
        self.check_media_type(&intent.content_type)?;
        if intent.size.is_some_and(|size| size > self.limit()) {
            return Err(ReceiveError::TooLarge { limit: self.limit() });
        }
        let resources = self.resources(tenant);
        let whole = manifest.is_some();
        let target = Target { resources: &resources, device: &intent.device, selector: &intent.target, whole };
        let session = self.session(tenant);
        self.check_pairing_once(&session).await.map_err(|error| match error {
            MaintenanceError::Mismatch(mismatch) => ReceiveError::StoreMismatch(mismatch),
            MaintenanceError::Store(error) => ReceiveError::Ledger(error),
        })?;
        let mut body = Gathered::new(body);
        let (mut seen, new, begun) = self.intend(&session, key, &intent, &target, manifest, &mut body).await?;
        if let Some(begun) = begun {
            let generation = begun.generation();
            let received = self.finish_small(&session, &mut seen, (begun, body), &target, manifest).await?;
            if let Some(received) = received {
                return Ok(Received { replayed: false, ..received });
            }
            if matches!(seen.value.state, State::Acquired { .. }) {
                self.committed(&session, &mut seen, generation).await?;
            }
            let received = self.attach(&session, &mut seen, &target, manifest).await?;
            return Ok(Received { replayed: false, ..received });
        }
        let body = body.into_stream();
        match seen.value.state {
            State::Open { .. } | State::Acquired { .. } => self.take(&session, &mut seen, body).await?,
            _ => {
                let damaged = match seen.value.state.key() {
                    Some(key) => self.is_damaged(&session, &key).await.map_err(ReceiveError::Ledger)?,
                    None => false,
                };
                match damaged {
                    true => self.take_again(&session, &seen.value, body).await?,
                    false => self.compare(&seen.value, body, None).await?,
                }
            }
        }
        let received = self.attach(&session, &mut seen, &target, manifest).await?;
        // A recovery may have overtaken this call, and is no call before it.
        Ok(Received { replayed: received.replayed && !new, ..received })
    }

    fn check_media_type(&self, found: &Code) -> Result<(), ReceiveError> {
        let essence = |code: &Code| code.as_str().split(';').next().map(|text| text.trim().to_ascii_lowercase());
        match &self.media_types {
            Some(allowed) if !allowed.iter().any(|one| essence(one) == essence(found)) => {
                Err(ReceiveError::MediaType { found: found.clone(), allowed: Arc::clone(allowed) })
            }
            _ => Ok(()),
        }
    }

    /// Returns the upload, and whether it is new: the one that the key stands for, else another.
    ///
    /// The key of an upload that failed may be used again for the same intent, unless it was withdrawn or a later
    /// one took its place: then it says so each time.
    async fn intend(
        &self,
        session: &LedgerSession<'_, L>,
        key: Option<&IdempotencyKey>,
        intent: &Intent,
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
        body: &mut Gathered,
    ) -> Result<(Seen<Ingest>, bool, Option<Begun>), ReceiveError> {
        for _ in 0..self.max_attempts {
            let pointer = match key {
                Some(key) => Some(session.pointer(key).await.map_err(ReceiveError::Ledger)?),
                None => None,
            };
            if let Some(id) = pointer.as_ref().and_then(|pointer| pointer.value) {
                // The record of an upload that ended is removed at its time; then its key stands for nothing.
                let Some(known) = session.ingest(id).await.map_err(ReceiveError::Ledger)? else {
                    match self.begin(session, pointer, key, intent, target, manifest, body).await? {
                        Some((seen, begun)) => return Ok((seen, true, begun)),
                        None => continue,
                    }
                };
                if !known.value.intent.asks_the_same_as(intent) {
                    return Err(ReceiveError::KeyReused { upload: id });
                }
                match known.value.state {
                    State::Open { .. } | State::Acquired { .. } => {
                        self.may_begin(session, target, manifest, intent, Some(id)).await?;
                        return Ok((known, false, None));
                    }
                    State::Stored { .. }
                    | State::Attached { .. }
                    | State::Superseded { .. }
                    | State::Restoring { .. } => {
                        return Ok((known, false, None));
                    }
                    // Whoever sends it again may not know that it was taken back, or that a later one is there.
                    State::Withdrawn { .. }
                    | State::Releasing { reason: UploadFailure::Withdrawn | UploadFailure::Superseded, .. }
                    | State::Closed { reason: UploadFailure::Withdrawn | UploadFailure::Superseded } => {
                        return Err(self.ended(&known.value, None));
                    }
                    State::Releasing { .. } | State::Closed { .. } => {}
                }
            }
            if let Some((seen, begun)) = self.begin(session, pointer, key, intent, target, manifest, body).await? {
                return Ok((seen, true, begun));
            }
        }
        Err(self.contended(&intent.device))
    }

    /// Writes the record of a new upload; nothing where its key stood for another one by then. Of a small one, it says as well
    /// that the bytes are held.
    #[allow(clippy::too_many_arguments, reason = "all of a call, and there is one caller")]
    async fn begin(
        &self,
        session: &LedgerSession<'_, L>,
        pointer: Option<Seen<Option<IngestId>>>,
        key: Option<&IdempotencyKey>,
        intent: &Intent,
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
        body: &mut Gathered,
    ) -> Result<Option<(Seen<Ingest>, Option<Begun>)>, ReceiveError> {
        let mut admitted = Some(self.may_begin(session, target, manifest, intent, None).await?);
        let limits = ingest::Limits { max_size: self.limit(), ..self.limits };
        let (mut new, said) =
            Ingest::open(self.ids.next_id().map_err(ReceiveError::Ledger)?, intent.clone(), limits, session.now());
        new.signed = manifest.map(|verified| Box::new(signed::signed(verified)));
        new.key = key.map(|key| Sha256::of(key.as_str().as_bytes()));
        if let Some(blob) = body.whole(self.small_size).await {
            let of = (&mut admitted, blob);
            if let Some(begun) = self.begin_small(session, (&new, &said), pointer.as_ref(), manifest, of).await? {
                return Ok(Some(begun));
            }
        }
        let mut entries = Entries::default();
        if let Some(pointer) = &pointer {
            entries.pointer(pointer, new.id);
        }
        if let Some(verified) = manifest {
            signed::keep(session, &mut entries, new.id, verified).await.map_err(ReceiveError::Ledger)?;
        }
        let mut seen = entries.open(new, said).map_err(ReceiveError::Ledger)?;
        let written = session.write_step(&mut seen, entries).await.map_err(ReceiveError::Ledger)?;
        Ok(written.then_some((seen, None)))
    }

    fn limit(&self) -> u64 {
        self.max_size.min(self.blobs.capabilities().max_size)
    }

    /// Returns whether the bytes are those that are known already. They are written where there is a writer.
    pub(super) async fn compare(
        &self,
        ingest: &Ingest,
        body: ByteStream,
        mut writer: Option<&mut Box<dyn BlobWriter>>,
    ) -> Result<(), ReceiveError> {
        let Some((known, _)) = ingest.state.held() else { return Ok(()) };
        let declared = ingest.intent.size;
        let mut passing = Passing::new(body, known.size);
        let found = loop {
            match passing.next(writer.as_deref_mut()).await {
                Ok(true) => {}
                Ok(false) => break passing.finish(),
                Err(ReceiveError::TooLarge { .. }) => match declared {
                    Some(declared) => return Err(ReceiveError::SizeMismatch { declared, found: None }),
                    None => return Err(ReceiveError::KeyReused { upload: ingest.id }),
                },
                Err(error) => return Err(error),
            }
        };
        if let Some(declared) = declared.filter(|declared| *declared != found.size) {
            return Err(ReceiveError::SizeMismatch { declared, found: Some(found.size) });
        }
        match ingest.intent.sha256 {
            Some(declared) if declared != found.digest => {
                Err(ReceiveError::DigestMismatch { declared, found: found.digest })
            }
            _ if found != known => Err(ReceiveError::KeyReused { upload: ingest.id }),
            _ => Ok(()),
        }
    }

    /// Takes the bytes into the store of blobs, and records that.
    async fn take(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        body: ByteStream,
    ) -> Result<(), ReceiveError> {
        let mut writer = self.blobs.begin(session.tenant()).await.map_err(ReceiveError::Blobs)?;
        let passed = self.pass(session, seen, body, &mut writer).await;
        let held = match passed {
            Ok(blob) => self.hold(session, seen, blob).await,
            Err(error) => {
                let fault = match error {
                    ReceiveError::TooLarge { .. } => Some(UploadFailure::TooLarge),
                    ReceiveError::SizeMismatch { .. } => Some(UploadFailure::SizeMismatch),
                    _ => None,
                };
                if let Some(reason) = fault {
                    let _ = self.fail(session, seen, reason).await;
                }
                Err(error)
            }
        };
        match held {
            Ok(Some((blob, generation, false))) => self.commit(session, seen, writer, blob, generation).await,
            Ok(Some((_, generation, true))) => {
                // The tenant has the bytes: those that came now are not needed.
                let _ = writer.abort().await;
                self.committed(session, seen, generation).await
            }
            Ok(None) => {
                let _ = writer.abort().await;
                Ok(())
            }
            Err(error) => {
                // What failed first is what the caller wants to know; the abort is a matter of tidiness.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Lets the bytes pass to where nobody sees them. An upload that takes long is given more time.
    async fn pass(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        body: ByteStream,
        writer: &mut Box<dyn BlobWriter>,
    ) -> Result<BlobRef, ReceiveError> {
        let (limit, declared) = (self.limit(), seen.value.intent.size);
        let mut passing = Passing::new(body, declared.map_or(limit, |declared| declared.min(limit)));
        let half = self.limits.lease() / 2;
        let mut begun = session.now();
        loop {
            match passing.next(Some(writer)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(ReceiveError::TooLarge { limit: passed }) => {
                    return Err(match declared.filter(|declared| *declared == passed) {
                        Some(declared) => ReceiveError::SizeMismatch { declared, found: None },
                        None => ReceiveError::TooLarge { limit: passed },
                    });
                }
                Err(error) => return Err(error),
            }
            let now = session.now();
            if now - begun > half {
                begun = now;
                let extended = session.step(seen, &Input::Progressed).await.map_err(ReceiveError::Ledger)?;
                extended.map_err(|refusal| self.refused(refusal, &seen.value))?;
            }
        }
        Ok(passing.finish())
    }

    /// Holds the bytes for the upload: gives their generation and whether the tenant has them already; nothing where another
    /// call brought them to the store meanwhile.
    async fn hold(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        blob: BlobRef,
    ) -> Result<Option<(BlobRef, Generation, bool)>, ReceiveError> {
        for _ in 0..self.max_attempts {
            let stepped = session.step(seen, &Input::BytesReceived { blob }).await.map_err(ReceiveError::Ledger)?;
            match stepped {
                Ok(Stepped::Do(Effect::HoldBytes { .. })) => {}
                Ok(Stepped::Do(Effect::CommitBytes { generation, .. })) => {
                    let entry = session.entry(&blob.key(generation)).await.map_err(ReceiveError::Ledger)?;
                    let present = entry.value.is_some_and(|entry| entry.is_present());
                    return Ok(Some((blob, generation, present)));
                }
                Ok(Stepped::Do(_) | Stepped::Unchanged) => return Ok(None),
                Ok(Stepped::To) => return Err(self.ended(&seen.value, Some(blob))),
                Err(refusal) => return Err(self.refused(refusal, &seen.value)),
            }
            let entry = session.newest(&blob.digest).await.map_err(ReceiveError::Ledger)?;
            let by = Holder::Ingest(seen.value.id);
            let generation = self.ids.next_id().map_err(ReceiveError::Ledger)?;
            let (fresh, max_holders) = (Generation(generation.0.max(1)), self.max_holders);
            let held = blob::Input::Held { blob, by, fresh, max_holders, actor: None };
            let mut entries = Entries::default();
            let shared = match &entry.value {
                // A damaged copy is not shared: the bytes that came are another.
                Some(known) if known.is_present() => match self.is_whole(session, known).await? {
                    false => Err(blob::Refusal::Full),
                    true => blob::step(entry.value.as_ref(), &held, session.now()),
                },
                _ => blob::step(entry.value.as_ref(), &held, session.now()),
            };
            let (generation, present) = match shared {
                Ok(blob::Step::Transition(to)) => {
                    entries.blob(&entry, &to);
                    (to.entry.generation, to.entry.is_present())
                }
                Ok(blob::Step::Unchanged) => match &entry.value {
                    Some(known) => (known.generation, known.is_present()),
                    None => continue,
                },
                Err(blob::Refusal::Full) => match blob::step(None, &held, session.now()) {
                    Ok(blob::Step::Transition(to)) => {
                        entries.further(&entry, &to).map_err(ReceiveError::Ledger)?;
                        (to.entry.generation, to.entry.is_present())
                    }
                    Ok(blob::Step::Unchanged) | Err(_) => continue,
                },
                Err(blob::Refusal::Condemned) => {
                    // They are on their way out. Once they are gone, there is a new generation.
                    if let Some(condemned) = &entry.value {
                        self.delete(session, condemned).await.map_err(ReceiveError::Blobs)?;
                    }
                    continue;
                }
                Err(refusal) => {
                    let what = format!("the entry of `{}`: {refusal}", blob.digest);
                    return Err(ReceiveError::Ledger(StoreError::corrupt(what)));
                }
            };
            match ingest::step(&seen.value, &Input::BytesHeld { blob, generation }, session.now()) {
                Ok(ingest::Step::Transition(to)) => {
                    entries.ingest(seen, to, StepContext::default()).map_err(ReceiveError::Ledger)?;
                }
                // Another call with the same key was first.
                Ok(_) | Err(_) => {
                    *seen = session.known(seen.value.id).await.map_err(ReceiveError::Ledger)?;
                    continue;
                }
            }
            if session.write_step(seen, entries).await.map_err(ReceiveError::Ledger)? {
                return Ok(Some((blob, generation, present)));
            }
        }
        Err(self.contended(&seen.value.intent.device))
    }

    /// Makes the bytes visible under their name.
    async fn commit(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        writer: Box<dyn BlobWriter>,
        blob: BlobRef,
        generation: Generation,
    ) -> Result<(), ReceiveError> {
        self.commit_bytes(session, writer, blob, generation).await?;
        self.committed(session, seen, generation).await
    }

    /// Records that the bytes are in the store.
    pub(super) async fn committed(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        generation: Generation,
    ) -> Result<(), ReceiveError> {
        for _ in 0..self.max_attempts {
            let mut entries = Entries::default();
            match ingest::step(&seen.value, &Input::BytesCommitted { generation }, session.now()) {
                Ok(ingest::Step::Transition(to)) => {
                    entries.ingest(seen, to, StepContext::default()).map_err(ReceiveError::Ledger)?;
                }
                Ok(ingest::Step::Perform(_) | ingest::Step::Unchanged) => return Ok(()),
                Err(refusal) => return Err(self.refused(refusal, &seen.value)),
            };
            let Some((blob, _)) = seen.value.state.held() else { return Err(self.ended(&seen.value, None)) };
            let entry = session.entry(&blob.key(generation)).await.map_err(ReceiveError::Ledger)?;
            match blob::step(entry.value.as_ref(), &blob::Input::Committed { generation }, session.now()) {
                Ok(blob::Step::Transition(to)) => entries.blob(&entry, &to),
                Ok(blob::Step::Unchanged) => {}
                // Only one who is late comes here: the upload was released meanwhile.
                Err(_) => {
                    *seen = session.known(seen.value.id).await.map_err(ReceiveError::Ledger)?;
                    continue;
                }
            }
            if session.write_step(seen, entries).await.map_err(ReceiveError::Ledger)? {
                return Ok(());
            }
        }
        Err(self.contended(&seen.value.intent.device))
    }

    /// Ends an upload whose bytes are at fault.
    async fn fail(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        reason: UploadFailure,
    ) -> Result<(), StoreError> {
        // An upload that stays open is ended when its time is over.
        session.step(seen, &Input::CheckFailed { reason }).await?.ok();
        self.release(session, seen).await
    }

    /// Why a call cannot go on, by what the machine said to it.
    fn refused(&self, refusal: Refusal, ingest: &Ingest) -> ReceiveError {
        match refusal {
            Refusal::Releasing | Refusal::Closed => self.ended(ingest, None),
            _ => ReceiveError::KeyReused { upload: ingest.id },
        }
    }

    /// Others wrote to a component of the device each time.
    pub(super) fn contended(&self, device: &Id) -> ReceiveError {
        ReceiveError::Contended { device: device.clone(), attempts: self.max_attempts }
    }

    /// Why an upload failed.
    pub(super) fn ended(&self, ingest: &Ingest, found: Option<BlobRef>) -> ReceiveError {
        let reason = match ingest.state {
            State::Releasing { reason, .. } | State::Closed { reason } => reason,
            State::Withdrawn { .. } => UploadFailure::Withdrawn,
            _ => return self.contended(&ingest.intent.device),
        };
        if let (UploadFailure::SizeMismatch, Some(declared)) = (reason, ingest.intent.size) {
            return ReceiveError::SizeMismatch { declared, found: found.map(|found| found.size) };
        }
        match (reason, ingest.intent.sha256, found) {
            (UploadFailure::Empty, ..) => ReceiveError::EmptyFile,
            (UploadFailure::TooLarge, ..) => ReceiveError::TooLarge { limit: self.limit() },
            (UploadFailure::DigestMismatch, Some(declared), Some(found)) => {
                ReceiveError::DigestMismatch { declared, found: found.digest }
            }
            (UploadFailure::Contended, ..) => self.contended(&ingest.intent.device),
            (reason, ..) => ReceiveError::Ended { upload: ingest.id, reason },
        }
    }
}
