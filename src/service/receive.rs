//! Receiving an update.

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
    /// The bytes are a [`ByteStream`](crate::store::ByteStream): [`stream::once`](crate::store::stream::once) for bytes
    /// in memory, and [`stream::from_reader`](crate::store::stream::from_reader) for a file.
    ///
    /// # Flow
    /// 1. The selector matches exactly one component of the device, or the call ends here.
    /// 2. The intent is written to the ledger, under the idempotency key if there is one.
    /// 3. The bytes are read once: hashed, counted and written where they are not visible. When they are complete and
    ///    have the declared digest, the ledger holds them for the upload, and then they are committed under their
    ///    digest and a generation of their own; where the tenant has the same bytes already, those are held, unless as
    ///    many uploads hold them as [may share a copy](Self::with_uploads_per_copy). [Small](Self::with_small_size)
    ///    files are read before the intent is written, and held in the same commit.
    /// 4. The component is read and the target resolved again, the record is read again, the sequence number is
    ///    accepted, and the reference is written if the component is unchanged since it was read. If others write to
    ///    it, this is repeated.
    /// 5. The record is marked with the version of the component.
    ///
    /// # Guarantees
    /// An upload that is refused or interrupted leaves nothing that a device could see. Dropping the future leaves the
    /// component without the reference or with all of it, and [`resume`](Self::resume) completes the rest. Under an
    /// idempotency key an upload is attached once, however often it is sent: the first call that completes has the
    /// answer, and later ones get the component as it is now; if another writer removed the reference, [the
    /// rule](Self::with_missing_references) is applied first. Other content of the component is kept. Every step leaves
    /// a record in the audit chain of the tenant, in the same write.
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

    /// Receives an update with a signed manifest, as [`receive`](Self::receive) does one without.
    ///
    /// # Flow
    /// 1. The signatures are checked by the [verifier](Self::with_verifier), and only then is the manifest parsed. It
    ///    states the component, the version, the sequence number, and the size and digest of the file.
    /// 2. The whole device is read and checked against the manifest, with the accepted sequence numbers of the
    ///    component, as [`explain`](crate::manifest::explain) does. If anything speaks against the update, the call
    ///    ends here.
    /// 3. The manifest and its signatures are written to the ledger with the intent, and are kept.
    /// 4. If more bytes arrive than the manifest states, or they have another digest, the upload is closed, and they
    ///    are not kept.
    /// 5. Before the reference is written, the device is read and checked again. A resumed upload has its signatures
    ///    verified again too.
    ///
    /// # Guarantees
    /// Those of [`receive`](Self::receive), and: no component refers to bytes without a valid signature, or to bytes
    /// that their manifest does not admit by what the device reported when the component was last read. The audit
    /// records name the valid signatures' keys.
    ///
    /// # Assumptions
    /// Those of [`receive`](Self::receive). The reports of other components may change after they were read: the
    /// installer of the update checks again.
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
        // A recovery may have overtaken this call, and is not an earlier call.
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

    /// Returns the upload, and whether it is new: the one that the key stands for, or a new one.
    ///
    /// The key of a failed upload may be used again for the same intent, unless the upload was withdrawn or superseded:
    /// then that error is returned each time.
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
                // The record of an ended upload is removed after its retention; then its key is unused.
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
                    // The sender may not know that the update was withdrawn, or that a later one replaced it.
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

    /// Writes the record of a new upload; `None` where its key stands for another one by then. For a small upload, the
    /// same write holds the bytes.
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

    /// Returns whether the bytes equal the known ones. They are written if there is a writer.
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

    /// Takes the bytes into the blob store, and records that.
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
                // The tenant has the bytes already: the received ones are not needed.
                let _ = writer.abort().await;
                self.committed(session, seen, generation).await
            }
            Ok(None) => {
                let _ = writer.abort().await;
                Ok(())
            }
            Err(error) => {
                // The caller needs the first error; the abort only tidies up.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Writes the bytes where they are not visible. A long upload has its lease renewed.
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

    /// Holds the bytes for the upload: returns their generation and whether the tenant has them already; `None` where
    /// another call brought them to the store meanwhile.
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
                // A damaged copy is not shared: the received bytes become another copy.
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
                    // The stored bytes are being deleted. Once they are gone, there is a new generation.
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

    /// Makes the bytes visible under their key.
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
                // Only a delayed call gets here: the upload was released meanwhile.
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

    /// Ends an upload with faulty bytes.
    async fn fail(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        reason: UploadFailure,
    ) -> Result<(), StoreError> {
        // An upload that stays open ends when its lease expires.
        session.step(seen, &Input::CheckFailed { reason }).await?.ok();
        self.release(session, seen).await
    }

    /// Returns the error of a call that the state machine refuses.
    fn refused(&self, refusal: Refusal, ingest: &Ingest) -> ReceiveError {
        match refusal {
            Refusal::Releasing | Refusal::Closed => self.ended(ingest, None),
            _ => ReceiveError::KeyReused { upload: ingest.id },
        }
    }

    /// Returns the error for a device whose components others changed at each attempt.
    pub(super) fn contended(&self, device: &Id) -> ReceiveError {
        ReceiveError::Contended { device: device.clone(), attempts: self.max_attempts }
    }

    /// Returns the error of a failed upload.
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
