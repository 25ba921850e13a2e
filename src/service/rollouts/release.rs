//! Releases: bytes held once for any number of components.

use super::super::bytes::{Passing, of_blobs};
use super::super::entries::{Entries, Seen};
use super::super::ledger_session::{LedgerSession, Written};
use super::super::{MaintenanceError, ReceiveError};
use super::keys;
use super::step::TRIES;
use super::{RolloutError, RolloutService};
use crate::audit::Holder;
use crate::manifest::{
    ActorId, ArtifactName, IngestId, Note, ProductionSpec, ProviderId, ReleaseId, UpdateName, VersionLabel,
    VersionScheme,
};
use crate::primitive::Code;
use crate::store::{
    Applied, BlobRef, BlobStore, BlobWriter, ByteStream, Generation, Ledger, LedgerKey, LedgerRecord, ResourceStore,
    Sha256, StoreError, Tenant, stream,
};
use crate::update::blob::{self};
use crate::update::ingest;
use crate::update::release::{self, Effect, Input, Refusal, Release, ReleasedFile, Request, Sha1, State, Step, Target};
use crate::update::rollout::{RolloutInput, Status};
use bytes::Bytes;
use futures_core::Stream;
use serde::{Deserialize, Serialize};
use sha1::Digest as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The metadata of a new release.
///
/// ```
/// use fhir_devices::service::ReleaseSubmission;
/// let (file, media_type) = ("pump.bin".parse()?, "application/octet-stream".parse()?);
/// let submission = ReleaseSubmission::new("pump/main".parse()?, "2.4.0".parse()?, 6, file, media_type);
/// assert_eq!(submission.reported_as.as_str(), "software");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReleaseSubmission {
    /// The manufacturer; `None` is a provider of its own, shared by all updates without a provider.
    pub provider: Option<ProviderId>,
    /// The name of the update, the same in every version.
    pub name: UpdateName,
    /// The version of the update.
    pub version: VersionLabel,
    /// The version scheme.
    pub scheme: VersionScheme,
    /// The sequence number among the updates of a component.
    pub sequence: u64,
    /// The digest of the manifest.
    pub manifest: Option<Sha256>,
    /// The file name.
    pub file_name: ArtifactName,
    /// The media type of the file.
    pub media_type: Code,
    /// The expected digest of the file.
    pub sha256: Option<Sha256>,
    /// The components that the release is for.
    pub target: Target,
    /// The production specification that shows the version of the update.
    pub reported_as: ProductionSpec,
}

impl ReleaseSubmission {
    /// Creates a submission for an update whose version devices report as their software revision, without a provider.
    #[must_use]
    pub fn new(
        name: UpdateName,
        version: VersionLabel,
        sequence: u64,
        file_name: ArtifactName,
        media_type: Code,
    ) -> Self {
        Self {
            provider: None,
            name,
            version,
            scheme: VersionScheme::Opaque,
            sequence,
            manifest: None,
            file_name,
            media_type,
            sha256: None,
            target: Target::default(),
            reported_as: ProductionSpec::Software,
        }
    }

    fn request(&self, blob: BlobRef) -> Request {
        Request {
            provider: self.provider.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            scheme: self.scheme,
            sequence: self.sequence,
            manifest: self.manifest,
            files: vec![ReleasedFile::new(self.file_name.clone(), self.media_type.clone(), blob)],
            target: self.target,
            reported_as: self.reported_as,
            upload: None,
        }
    }
}

/// The request to withdraw a release: the actor and the reason.
#[derive(Serialize, Deserialize)]
struct Wish {
    by: ActorId,
    why: Note,
}

/// A stream of bytes whose second digest is computed on the way.
struct Hashing {
    body: ByteStream,
    digest: Arc<Mutex<sha1::Sha1>>,
}

impl Stream for Hashing {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.body.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &next {
            self.digest.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
        }
        next
    }
}

impl Hashing {
    fn of(body: ByteStream) -> (ByteStream, Arc<Mutex<sha1::Sha1>>) {
        let digest = Arc::new(Mutex::new(sha1::Sha1::new()));
        (Box::pin(Self { body, digest: Arc::clone(&digest) }), digest)
    }
}

fn finished(digest: &Mutex<sha1::Sha1>) -> Sha1 {
    Sha1(digest.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize().into())
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Creates a release from a stream of bytes: reads them once, computes both digests, and holds them. Where the
    /// tenant has the same bytes already, those are held.
    ///
    /// An interrupted call leaves a draft, which expires by itself and releases its bytes.
    ///
    /// # Errors
    /// [`RolloutError::InvalidRelease`]; [`RolloutError::Bytes`] where the bytes are not accepted;
    /// [`RolloutError::Store`].
    pub async fn release(
        &self,
        tenant: &Tenant,
        submission: ReleaseSubmission,
        by: &ActorId,
        body: ByteStream,
    ) -> Result<Release, RolloutError> {
        submission.request(BlobRef::of(b"")).check()?;
        let session = self.updates.session(tenant);
        self.updates.check_pairing_once(&session).await.map_err(|error| match error {
            MaintenanceError::Mismatch(mismatch) => RolloutError::Bytes(ReceiveError::StoreMismatch(mismatch)),
            MaintenanceError::Store(error) => RolloutError::Store(error),
        })?;
        let mut writer = self.updates.blobs.begin(tenant).await?;
        let (body, digest) = Hashing::of(body);
        let passed = self.pass(body, &mut writer, submission.sha256).await;
        let held = match passed {
            Ok(blob) => self.draft(&session, submission.request(blob), blob, by, None).await,
            Err(error) => Err(error.into()),
        };
        let (mut seen, generation, is_present) = match held {
            Ok(held) => held,
            Err(error) => {
                // The caller needs the first error; the abort only tidies up.
                let _ = writer.abort().await;
                return Err(error);
            }
        };
        let Some(blob) = seen.value.request.files.first().map(|file| file.blob) else {
            return Err(RolloutError::InvalidRelease(release::InvalidRelease::NoFile));
        };
        if is_present {
            let _ = writer.abort().await;
        } else {
            match writer.commit(blob, generation).await {
                Ok(_) => {}
                Err(lost) if lost.applied() == Applied::Unknown => {
                    let found = self.updates.blobs.head(tenant, &blob.key(generation)).await;
                    if found.ok() != Some(blob) {
                        return Err(of_blobs(lost).into());
                    }
                }
                Err(error) => return Err(of_blobs(error).into()),
            }
        }
        self.released(&session, &mut seen, blob, generation, finished(&digest)).await?;
        Ok(seen.value)
    }

    /// Creates a release from the bytes of an attached upload, which are not copied, with the manifest that it came
    /// with. The component of the upload is offered the release too: it accepted the sequence number for the same
    /// update. Every other component must have accepted lower numbers only.
    ///
    /// # Errors
    /// [`RolloutError::NothingAttached`] where the upload has no bytes that a component refers to;
    /// [`RolloutError::InvalidRelease`]; [`RolloutError::Store`].
    pub async fn release_upload(
        &self,
        tenant: &Tenant,
        upload: IngestId,
        submission: ReleaseSubmission,
        by: &ActorId,
    ) -> Result<Release, RolloutError> {
        let session = self.updates.session(tenant);
        let found = session.ingest(upload).await?.ok_or(RolloutError::NothingAttached { upload })?;
        let attached = matches!(
            found.value.state,
            ingest::State::Attached { .. } | ingest::State::Superseded { .. } | ingest::State::Restoring { .. }
        );
        let Some((blob, generation)) = found.value.state.held().filter(|_| attached) else {
            return Err(RolloutError::NothingAttached { upload });
        };
        let manifest = submission.manifest.or(found.value.intent.manifest);
        let request = Request { upload: Some(upload), manifest, ..submission.request(blob) };
        request.check()?;
        let (seen, ..) = self.draft(&session, request, blob, by, Some(generation)).await?;
        let id = seen.value.id;
        self.resume_release(tenant, id).await?;
        Ok(self.release_record(tenant, id).await?.value)
    }

    /// Returns a release.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRelease`]; [`RolloutError::Store`].
    pub async fn release_of(&self, tenant: &Tenant, id: ReleaseId) -> Result<Release, RolloutError> {
        Ok(self.release_record(tenant, id).await?.value)
    }

    /// Withdraws a release: its rollouts are cancelled, and once they have ended it cannot be rolled out again, and its
    /// bytes are released. The request is recorded, and [`run_once`](Self::run_once) completes it. Returns the release
    /// in its current state.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchRelease`]; [`RolloutError::Store`].
    pub async fn withdraw_release(
        &self,
        tenant: &Tenant,
        id: ReleaseId,
        by: &ActorId,
        why: &Note,
    ) -> Result<Release, RolloutError> {
        let seen = self.release_record(tenant, id).await?;
        if !matches!(seen.value.state, State::Withdrawing | State::Withdrawn) {
            let session = self.updates.session(tenant);
            let wish = session.read(keys::release_end(id)?).await?;
            if wish.value.is_none() {
                let said = serde_json::to_vec(&Wish { by: by.clone(), why: why.clone() }).unwrap_or_default();
                session.write_plain(&wish, Some(said)).await?;
            }
            self.end_release(tenant, id).await?;
        }
        Ok(self.release_record(tenant, id).await?.value)
    }

    /// Continues with releases that are to be withdrawn, were interrupted, or have expired. Returns the number of
    /// steps.
    pub(super) async fn resume_releases(&self, tenant: &Tenant) -> Result<usize, RolloutError> {
        let ledger = self.ledger(tenant);
        let mut steps = 0;
        for LedgerRecord { key, .. } in
            ledger.all(&LedgerKey::new(keys::RELEASE_ENDS).map_err(StoreError::from)?).await?
        {
            if let Some(id) = keys::last_id(&key) {
                steps += usize::from(self.end_release(tenant, id).await?);
            }
        }
        let mut after = None;
        loop {
            let page = self.releases(tenant, super::super::lifecycle::PAGE, after.as_ref()).await?;
            for found in page.items {
                if matches!(found.state, State::Draft { .. } | State::Withdrawing) {
                    steps += usize::from(self.resume_release(tenant, found.id).await?);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(steps),
            }
        }
    }

    /// Cancels the rollouts of a release that is to be withdrawn, and withdraws it once they have ended; returns
    /// whether it is withdrawn.
    async fn end_release(&self, tenant: &Tenant, id: ReleaseId) -> Result<bool, RolloutError> {
        let session = self.updates.session(tenant);
        let wish = session.read(keys::release_end(id)?).await?;
        let said = wish.value.as_ref().and_then(|said| serde_json::from_slice::<Wish>(said).ok());
        let Some(Wish { by, why }) = said else { return Ok(false) };
        for _ in 0..TRIES {
            // In this order: a rollout created after this changes the record, and the write fails.
            let mut seen = self.release_record(tenant, id).await?;
            let mut in_use = false;
            let mut after = None;
            loop {
                let page = self.rollouts(tenant, false, super::super::lifecycle::PAGE, after.as_ref()).await?;
                for rollout in page.items {
                    if rollout.status.is_end() || self.plan(tenant, rollout.id).await?.release.id != id {
                        continue;
                    }
                    in_use = true;
                    if !matches!(rollout.status, Status::Cancelling | Status::Superseding) {
                        let cancel = RolloutInput::CancelRequested { by: by.clone(), why: why.clone() };
                        self.step_rollout(tenant, rollout.id, &cancel).await?;
                    }
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            let input = Input::WithdrawRequested { by: by.clone(), why: why.clone(), in_use };
            match self.step_release(&session, &mut seen, &input, Entries::default()).await? {
                Err(Refusal::InUse) => return Ok(false),
                Err(refusal) => return Err(RolloutError::Release { release: id, refusal }),
                Ok(true) => {
                    session.write_plain(&wish, None).await?;
                    self.resume_release(tenant, id).await?;
                    return Ok(true);
                }
                Ok(false) => {}
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Carries out the outstanding effects of a release; returns whether it changed.
    async fn resume_release(&self, tenant: &Tenant, id: ReleaseId) -> Result<bool, RolloutError> {
        let session = self.updates.session(tenant);
        let mut seen = self.release_record(tenant, id).await?;
        let mut went_on = false;
        loop {
            let is_over = matches!(seen.value.state, State::Draft { until } if session.now() >= until);
            let before = seen.value.clone();
            match release::resume(&seen.value) {
                _ if is_over => {
                    let over = self.step_release(&session, &mut seen, &Input::DeadlineReached, Entries::default());
                    let _ = over.await?;
                }
                Some(Effect::HashBytes { key }) => {
                    let read = match self.updates.blobs.get(tenant, &key, None).await {
                        Ok(read) => read,
                        // The bytes were never stored: the sender has to send them again.
                        Err(StoreError::NotFound { .. }) => return Ok(went_on),
                        Err(error) => return Err(error.into()),
                    };
                    let Some(blob) = seen
                        .value
                        .request
                        .files
                        .iter()
                        .map(|file| file.blob)
                        .find(|one| one.key(key.generation) == key)
                    else {
                        return Ok(went_on);
                    };
                    let (mut body, digest) = Hashing::of(read.body);
                    let mut hasher = crate::store::BlobHasher::new();
                    while let Some(chunk) = stream::next(&mut body).await {
                        hasher.update(&chunk?);
                    }
                    blob.verify(hasher.finish())?;
                    self.released(&session, &mut seen, blob, key.generation, finished(&digest)).await?;
                }
                Some(Effect::HoldBytes { .. }) => return Ok(went_on),
                Some(Effect::ReleaseHolds) => {
                    for file in seen.value.request.files.clone() {
                        let Some(generation) = file.generation else { continue };
                        let key = file.blob.key(generation);
                        // Without a hold, no release of it is needed.
                        let _ = self.updates.release_holder(&session, &key, Holder::Release(id), None).await?;
                    }
                    let _ = self.step_release(&session, &mut seen, &Input::HoldsReleased, Entries::default()).await?;
                }
                None if matches!(seen.value.state, State::Draft { .. }) => {
                    let _ = self.step_release(&session, &mut seen, &Input::Released, Entries::default()).await?;
                }
                None => return Ok(went_on),
            }
            if seen.value == before {
                return Ok(went_on);
            }
            went_on = true;
        }
    }

    /// Writes the bytes where they are not visible.
    async fn pass(
        &self,
        body: ByteStream,
        writer: &mut Box<dyn BlobWriter>,
        declared: Option<Sha256>,
    ) -> Result<BlobRef, ReceiveError> {
        let limit = self.updates.max_size.min(self.updates.blobs.capabilities().max_size);
        let mut passing = Passing::new(body, limit);
        while passing.next(Some(writer)).await? {}
        let blob = passing.finish();
        match declared {
            _ if blob.size == 0 => Err(ReceiveError::EmptyFile),
            Some(declared) if declared != blob.digest => {
                Err(ReceiveError::DigestMismatch { declared, found: blob.digest })
            }
            _ => Ok(blob),
        }
    }

    /// Writes the draft of a release and holds its bytes in the same commit: those of `of`, or new ones. Returns
    /// whether they are in the store already.
    async fn draft(
        &self,
        session: &LedgerSession<'_, L>,
        request: Request,
        blob: BlobRef,
        by: &ActorId,
        of: Option<Generation>,
    ) -> Result<(Seen<Release>, Generation, bool), RolloutError> {
        let id = ReleaseId(self.updates.ids.next_id()?.0);
        for _ in 0..TRIES {
            let entry = match of {
                Some(generation) => session.entry(&blob.key(generation)).await?,
                None => session.newest(&blob.digest).await?,
            };
            let fresh = Generation(self.updates.ids.next_id()?.0.max(1));
            let max_holders = self.updates.max_holders;
            let held = blob::Input::Held { blob, by: Holder::Release(id), fresh, max_holders, actor: Some(by.clone()) };
            let mut entries = Entries::default();
            let shared = match &entry.value {
                // A damaged copy is not shared: the received bytes become another copy.
                Some(known) if known.is_present() && !self.updates.is_whole(session, known).await? => {
                    Err(blob::Refusal::Full)
                }
                known => blob::step(known.as_ref(), &held, session.now()),
            };
            let (generation, is_present) = match shared {
                Ok(blob::Step::Transition(to)) => {
                    entries.blob(&entry, &to);
                    (to.entry.generation, to.entry.is_present())
                }
                Ok(blob::Step::Unchanged) => continue,
                Err(blob::Refusal::Full) if of.is_none() => match blob::step(None, &held, session.now()) {
                    Ok(blob::Step::Transition(to)) => {
                        entries.further(&entry, &to)?;
                        (to.entry.generation, to.entry.is_present())
                    }
                    Ok(blob::Step::Unchanged) | Err(_) => continue,
                },
                Err(blob::Refusal::Condemned) if of.is_none() => {
                    // The stored bytes are being deleted. Once they are gone, there is a new generation.
                    if let Some(condemned) = &entry.value {
                        self.updates.delete(session, condemned).await?;
                    }
                    continue;
                }
                Err(refusal) => {
                    let what = format!("the entry of `{}`: {refusal}", blob.digest);
                    return Err(StoreError::corrupt(what).into());
                }
            };
            let lease = time::Duration::try_from(self.updates.limits.lease()).unwrap_or(time::Duration::HOUR);
            let (drafted, event) = Release::draft(id, request.clone(), by.clone(), session.now(), lease)?;
            entries.note(event.draft());
            let held = Input::BytesHeld { blob, generation };
            let refused = |refusal| RolloutError::Release { release: id, refusal };
            let Step::Transition(to) = release::step(&drafted, &held, session.now()).map_err(refused)? else {
                continue;
            };
            entries.note(to.event.draft());
            entries.keep(keys::release(id)?, to.release.to_bytes());
            if session.write(entries).await? != Written::Not {
                return Ok((self.release_record(session.tenant(), id).await?, generation, is_present));
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Records that the bytes are in the store, with their second digest, and that the release may be rolled out.
    async fn released(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Release>,
        blob: BlobRef,
        generation: Generation,
        sha1: Sha1,
    ) -> Result<(), RolloutError> {
        for _ in 0..TRIES {
            let mut entries = Entries::default();
            let entry = session.entry(&blob.key(generation)).await?;
            match blob::step(entry.value.as_ref(), &blob::Input::Committed { generation }, session.now()) {
                Ok(blob::Step::Transition(to)) => entries.blob(&entry, &to),
                Ok(blob::Step::Unchanged) => {}
                Err(refusal) => {
                    let what = format!("the entry of `{}`: {refusal}", blob.digest);
                    return Err(StoreError::corrupt(what).into());
                }
            }
            let mut release = seen.value.clone();
            for input in [Input::BytesHashed { blob, sha1 }, Input::Released] {
                match release::step(&release, &input, session.now()) {
                    Ok(Step::Transition(to)) => {
                        entries.note(to.event.draft());
                        release = to.release;
                    }
                    Ok(Step::Unchanged) | Err(Refusal::NotReady) => {}
                    Err(refusal) => return Err(RolloutError::Release { release: release.id, refusal }),
                }
            }
            entries.record(seen, release.to_bytes());
            let written = session.write(entries).await?;
            *seen = self.release_record(session.tenant(), seen.value.id).await?;
            if written != Written::Not || matches!(seen.value.state, State::Released) {
                return Ok(());
            }
        }
        Err(RolloutError::Contended { attempts: TRIES })
    }

    /// Steps a release from the state that was read; returns whether the step was written.
    async fn step_release(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Release>,
        input: &Input,
        mut entries: Entries,
    ) -> Result<Result<bool, Refusal>, RolloutError> {
        let to = match release::step(&seen.value, input, session.now()) {
            Ok(Step::Transition(to)) => to,
            Ok(Step::Unchanged) => return Ok(Ok(true)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        entries.record(seen, to.release.to_bytes());
        entries.note(to.event.draft());
        let written = session.write(entries).await? != Written::Not;
        *seen = self.release_record(session.tenant(), seen.value.id).await?;
        Ok(Ok(written))
    }
}
