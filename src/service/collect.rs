//! Collection, pinning and scrubbing of stored bytes.

use super::entries::Entries;
use super::ledger_session::{LedgerSession, Written};
use super::lifecycle::PAGE;
use super::sweep::References;
use super::update_service::UpdateService;
use super::{LifecycleError, MaintenanceError};
use crate::audit::Holder;
use crate::manifest::ActorId;
use crate::primitive::Code;
use crate::store::{BlobHasher, BlobKey, BlobStore, Ledger, ResourceStore, Result, Sha256, StoreError, Tenant, stream};
use crate::update::blob::{self, Entry, Input, Step, justified};
use std::time::Duration;

/// The result of a [`collection`](UpdateService::collect).
///
/// ```
/// use fhir_devices::service::Collected;
/// assert_eq!(Collected::default().deleted, 0);
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Collected {
    /// The number of abandoned holds that were released.
    pub released: u64,
    /// The number of deleted blobs.
    pub deleted: u64,
    /// The number of blobs that are needed, or were needed until recently.
    pub kept: u64,
    /// The number of blobs without a holder in the ledger to which a component refers: the ledger may be an older copy.
    pub referenced: u64,
    /// The number of ledger entries removed for blobs that an earlier collection deleted.
    pub forgotten: u64,
    /// The blobs that could not be processed, and why. The next collection tries them again.
    pub failed: Vec<(BlobKey, StoreError)>,
}

/// The progress of a [`scrub`](UpdateService::scrub).
///
/// ```
/// use fhir_devices::service::Progress;
/// let is_whole = |progress: &Progress| progress.damaged == 0;
/// assert!(is_whole(&Progress::default()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of blobs read to their end.
    pub blobs: u64,
    /// The number of bytes read.
    pub bytes: u64,
    /// The number of damaged blobs.
    pub damaged: u64,
}

/// A damaged blob: its download fails or returns other bytes.
///
/// Listed by [`UpdateService::scrub`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Damage {
    /// The blob.
    pub key: BlobKey,
    /// Its holders.
    pub holders: Vec<Holder>,
    /// The fault: [`StoreError::NotFound`], [`StoreError::Corrupt`], or the error of the read.
    pub error: StoreError,
}

/// Returns whether two holders are the same retention rule or the same legal case, whatever their ends.
fn is_pin_of(one: &Holder, other: &Holder) -> bool {
    match (one, other) {
        (Holder::Retention { pin: one, .. }, Holder::Retention { pin: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// Maximum number of uploads that are read for the media type of shared bytes.
const ASKED: usize = 8;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Pins bytes, so that they are kept without an upload: for a retention rule or a legal case. Of several copies, it
    /// pins the one that the rule or the case pins already, otherwise the newest copy that is stored.
    ///
    /// # Errors
    /// [`LifecycleError::Bytes`] where the bytes do not exist, or are being deleted; [`LifecycleError::Store`].
    pub async fn pin(
        &self,
        tenant: &Tenant,
        digest: &Sha256,
        by: Holder,
        actor: ActorId,
    ) -> Result<(), LifecycleError> {
        let session = self.session(tenant);
        let refused = |source| LifecycleError::Bytes { tenant: tenant.clone(), sha256: *digest, source };
        loop {
            let copies = session.copies(digest).await?;
            let there = || copies.iter().filter(|copy| copy.is_present());
            let kept = there().find(|copy| copy.holders().any(|holder| is_pin_of(holder, &by)));
            let Some(copy) = kept.or_else(|| there().next()).or_else(|| copies.first()) else {
                return Err(refused(blob::Refusal::Absent));
            };
            let seen = session.entry(&copy.key()).await?;
            let Some(known) = &seen.value else { continue };
            if copy.is_present() && !known.is_present() {
                continue;
            }
            // Whether the bytes will ever arrive is not known.
            if matches!(known.state, blob::State::Live { present: false, .. }) {
                return Err(refused(blob::Refusal::Absent));
            }
            let (by, actor) = (by.clone(), Some(actor.clone()));
            let held =
                Input::Held { blob: known.blob, by, fresh: known.generation, max_holders: self.max_holders, actor };
            match blob::step(seen.value.as_ref(), &held, session.now()).map_err(refused)? {
                Step::Unchanged => return Ok(()),
                Step::Transition(to) => {
                    let mut entries = Entries::default();
                    entries.blob(&seen, &to);
                    if session.write(entries).await? != Written::Not {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Removes a pin from the copy of the bytes that has it.
    ///
    /// # Errors
    /// [`LifecycleError::Bytes`] for a retention that has not ended; [`LifecycleError::Store`].
    pub async fn unpin(
        &self,
        tenant: &Tenant,
        digest: &Sha256,
        by: Holder,
        actor: ActorId,
    ) -> Result<(), LifecycleError> {
        let session = self.session(tenant);
        for copy in session.copies(digest).await? {
            let released = self.release_holder(&session, &copy.key(), by.clone(), Some(actor.clone())).await?;
            released.map_err(|source| LifecycleError::Bytes { tenant: tenant.clone(), sha256: *digest, source })?;
        }
        Ok(())
    }

    /// Returns the media type of some bytes, from the uploads that hold them; `None` where none states one, or two
    /// differ. Of many uploads with the same bytes, the first few are read.
    ///
    /// # Errors
    /// Errors of the ledger.
    pub async fn media_type(&self, tenant: &Tenant, key: &BlobKey) -> Result<Option<Code>> {
        let session = self.session(tenant);
        let entry = session.entry(key).await?.value;
        let mut said: Option<Code> = None;
        for holder in entry.iter().flat_map(Entry::holders).take(ASKED) {
            let Holder::Ingest(id) = holder else { continue };
            let Some(ingest) = session.ingest(*id).await? else { continue };
            let own = ingest.value.intent.content_type;
            if said.as_ref().is_some_and(|said| *said != own) {
                return Ok(None);
            }
            said = Some(own);
        }
        Ok(said)
    }

    pub(super) async fn release_holder(
        &self,
        session: &LedgerSession<'_, L>,
        key: &BlobKey,
        by: Holder,
        actor: Option<ActorId>,
    ) -> Result<Result<bool, blob::Refusal>> {
        let released = Input::Released { by, actor };
        loop {
            let seen = session.entry(key).await?;
            match blob::step(seen.value.as_ref(), &released, session.now()) {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(Step::Unchanged) => return Ok(Ok(false)),
                Ok(Step::Transition(to)) => {
                    let mut entries = Entries::default();
                    entries.blob(&seen, &to);
                    if session.write(entries).await? != Written::Not {
                        return Ok(Ok(true));
                    }
                }
            }
        }
    }

    /// Deletes the bytes that have had no holder for at least `grace`: they are condemned in the ledger, then deleted,
    /// then marked as gone. Holds left behind by uploads that no longer need them are released.
    ///
    /// It is safe at any time, and concurrently. Bytes to which a component refers without an upload that the ledger
    /// knows are kept: the ledger may be an older copy.
    ///
    /// # Errors
    /// [`MaintenanceError::Mismatch`] where the store of update files does not belong to the ledger: nothing is deleted
    /// then. As [`Ledger::scan`]. An error with one blob is in the result.
    pub async fn collect(&self, tenant: &Tenant, grace: Duration) -> Result<Collected, MaintenanceError> {
        let session = self.session(tenant);
        self.check_pairing(&session).await?;
        let (mut collected, mut after) = (Collected::default(), None);
        let mut references = References::default();
        loop {
            let page = session.entries(PAGE, after.as_ref()).await?;
            for entry in page.items {
                if let Err(error) = self.collect_one(&session, &entry, grace, (&mut collected, &mut references)).await {
                    collected.failed.push((entry.key(), error));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(collected),
            }
        }
    }

    async fn collect_one(
        &self,
        session: &LedgerSession<'_, L>,
        entry: &Entry,
        grace: Duration,
        (collected, references): (&mut Collected, &mut References),
    ) -> Result<()> {
        if matches!(entry.state, blob::State::Gone) {
            let seen = session.entry(&entry.key()).await?;
            if let Some(said) = seen.value.as_ref().and_then(|entry| entry.forget(session.now())) {
                let mut entries = Entries::default();
                entries.forget(&seen, said);
                if session.write(entries).await? != Written::Not {
                    collected.forgotten += 1;
                }
            }
            return Ok(());
        }
        for holder in entry.holders() {
            let Holder::Ingest(id) = holder else { continue };
            let ingest = session.ingest(*id).await?.map(|seen| seen.value);
            if justified(holder, ingest.as_ref(), &entry.key(), session.now()) {
                continue;
            }
            if let Ok(true) = self.release_holder(session, &entry.key(), holder.clone(), None).await? {
                collected.released += 1;
            }
        }
        loop {
            let seen = session.entry(&entry.key()).await?;
            match blob::step(seen.value.as_ref(), &Input::CollectionDue { grace }, session.now()) {
                Err(_) => {
                    collected.kept += 1;
                    return Ok(());
                }
                Ok(Step::Unchanged) => {
                    if let Some(condemned) = seen.value.as_ref().filter(|entry| blob::resume(entry).is_some()) {
                        self.delete(session, condemned).await?;
                        collected.deleted += 1;
                    }
                    return Ok(());
                }
                Ok(Step::Transition(to)) => {
                    if self.is_referred_to(session, references, &entry.key()).await? {
                        collected.referenced += 1;
                        return Ok(());
                    }
                    let mut entries = Entries::default();
                    entries.blob(&seen, &to);
                    session.write(entries).await?;
                }
            }
        }
    }

    /// Deletes the bytes of a condemned entry, and marks them as gone in the ledger once the store no longer has them.
    pub(super) async fn delete(&self, session: &LedgerSession<'_, L>, condemned: &Entry) -> Result<()> {
        let Some(blob::Effect::DeleteBytes { key }) = blob::resume(condemned) else { return Ok(()) };
        self.blobs.delete(session.tenant(), &key).await?;
        match self.blobs.head(session.tenant(), &key).await {
            Err(StoreError::NotFound { .. }) => {}
            Ok(_) => return Err(StoreError::unavailable(None, None)),
            Err(error) => return Err(error),
        }
        loop {
            let seen = session.entry(&key).await?;
            let confirmed = Input::AbsenceConfirmed { generation: key.generation };
            match blob::step(seen.value.as_ref(), &confirmed, session.now()) {
                // Another call deleted them; the bytes may even be stored again under another generation.
                Ok(Step::Unchanged) | Err(_) => return Ok(()),
                Ok(Step::Transition(to)) => {
                    let mut entries = Entries::default();
                    entries.blob(&seen, &to);
                    if session.write(entries).await? != Written::Not {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reads every held blob and checks its digest and size: detects changes by other programs or a failing disk. A
    /// damaged blob is marked, and no longer served by [`download`](Self::download); one that is intact again is marked
    /// so. `progress` is called after each blob.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn scrub(&self, tenant: &Tenant, progress: impl FnMut(Progress)) -> Result<Vec<Damage>> {
        self.scrub_with(tenant, progress, |_| std::future::ready(())).await.map(|(damages, _)| damages)
    }

    /// Scrubs as [`scrub`](Self::scrub) does, with a pause after each chunk: `pace` gets the number of bytes read, so
    /// that a scrub leaves disk bandwidth to other work. Also returns how much was read.
    ///
    /// # Errors
    /// As [`scrub`](Self::scrub).
    pub async fn scrub_at_pace<F: Future<Output = ()> + Send>(
        &self,
        tenant: &Tenant,
        pace: impl FnMut(u64) -> F,
    ) -> Result<(Vec<Damage>, Progress)> {
        self.scrub_with(tenant, |_| {}, pace).await
    }

    async fn scrub_with<F: Future<Output = ()>>(
        &self,
        tenant: &Tenant,
        mut progress: impl FnMut(Progress),
        mut pace: impl FnMut(u64) -> F,
    ) -> Result<(Vec<Damage>, Progress)> {
        let session = self.session(tenant);
        let (mut damages, mut done, mut after) = (Vec::new(), Progress::default(), None);
        loop {
            let page = session.entries(PAGE, after.as_ref()).await?;
            for entry in page.items.into_iter().filter(Entry::is_present) {
                let checked = self.scrub_one(tenant, &entry, &mut done, &mut pace).await;
                if checked.is_ok() {
                    self.mark_whole(&session, &entry.key()).await?;
                }
                if let Err(error) = checked {
                    // The blob may have been released while it was read.
                    let now = session.entry(&entry.key()).await?.value;
                    if now.is_some_and(|now| now.is_present()) {
                        done.damaged += 1;
                        if matches!(error, StoreError::Corrupt { .. } | StoreError::NotFound { .. }) {
                            self.mark_damaged(&session, &entry.key(), error.to_string()).await?;
                        }
                        damages.push(Damage { key: entry.key(), holders: entry.holders().cloned().collect(), error });
                    }
                }
                done.blobs += 1;
                progress(done);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok((damages, done)),
            }
        }
    }

    async fn scrub_one<F: Future<Output = ()>>(
        &self,
        tenant: &Tenant,
        entry: &Entry,
        done: &mut Progress,
        pace: &mut impl FnMut(u64) -> F,
    ) -> Result<()> {
        let mut body = self.blobs.get(tenant, &entry.key(), None).await?.body;
        let mut hasher = BlobHasher::new();
        while let Some(chunk) = stream::next(&mut body).await {
            let chunk = chunk?;
            hasher.update(&chunk);
            done.bytes += chunk.len() as u64;
            pace(chunk.len() as u64).await;
        }
        entry.blob.verify(hasher.finish())
    }
}
