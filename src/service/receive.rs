//! Receiving one update.

use super::bytes::{give_way, of_blobs, pass};
use super::record::{Record, key_of};
use super::target::{Look, Seen, Target};
use super::update_service::{Addresses, UpdateService};
use super::{ReceiveError, Received, Submission};
use crate::primitive::{Code, DateTime, Instant, Uri};
use crate::store::{
    Applied, BlobRef, BlobStore, BlobWriter, ByteStream, Generation, Ledger, ResourceStore, StoreError, Stored as _,
    Tenant, Tenanted, UrlKind, Version,
};
use crate::update::ingest::{Ingest, Input, Intent, Limits, Reason, Refusal, State, check};
use crate::update::{AvailableUpdate, IdempotencyKey, UpdateFile, UpdateStatus, available};
use std::sync::Arc;

/// Until the ledger gives them out, all blobs are of one generation.
pub(super) const GENERATION: Generation = Generation(0);

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Receives an update: finds the component, stores the bytes, and makes the component refer to them.
    ///
    /// # Flow
    /// 1. Exactly one component of the device is meant, or the call ends here.
    /// 2. The intent is written to the ledger, under the idempotency key where there is one.
    /// 3. The bytes pass once: they are hashed, counted and written, and become visible only when they are whole and
    ///    have the digest that was declared.
    /// 4. The component is read and the target resolved again, the record is looked at again, and the reference is
    ///    written if the component is still as it was read. When others write to it, this is repeated.
    /// 5. The record is marked with the version of the component.
    ///
    /// # Guarantees
    /// An upload that is refused, or breaks off, leaves nothing that a device could see. Dropping the future leaves the
    /// component without the reference or with the whole of it. Under an idempotency key an upload is attached once, however
    /// often it is sent: the first call that comes to its end has the answer, and later ones get the same. What is in the
    /// component and not ours is kept.
    ///
    /// # Assumptions
    /// The stores keep their contracts. For the same answer after later writes, the store of resources keeps history.
    ///
    /// # Errors
    /// The conditions of [`ReceiveError`].
    pub async fn receive(
        &self,
        tenant: &Tenant,
        submission: Submission,
        body: ByteStream,
    ) -> Result<Received, ReceiveError> {
        self.check_media_type(&submission.content_type)?;
        self.check_addresses()?;
        let resources = Tenanted::new(Arc::clone(&self.resources), tenant.clone());
        let intent = submission.intent();
        let target = Target { resources: &resources, device: &submission.device, selector: &submission.target };
        let mut record = self.intend(tenant, submission.idempotency_key.as_ref(), &intent, &target).await?;
        match record.ingest.state.blob() {
            Some(known) => self.compare(&intent, known, body).await?,
            None => self.take(&mut record, body).await?,
        }
        self.attach(&mut record, &target).await
    }

    fn check_media_type(&self, found: &Code) -> Result<(), ReceiveError> {
        let essence = |code: &Code| code.as_str().split(';').next().map(|text| text.trim().to_ascii_lowercase());
        match &self.media_types {
            Some(allowed) if !allowed.iter().any(|one| essence(one) == essence(found)) => {
                Err(ReceiveError::MediaType { found: found.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Before the bytes come, rather than behind them.
    fn check_addresses(&self) -> Result<(), ReceiveError> {
        let capabilities = self.blobs.capabilities();
        let given = match &self.addresses {
            Addresses::Caller(_) => true,
            Addresses::Store(UrlKind::Public) => capabilities.public_url,
            Addresses::Store(UrlKind::Signed { .. }) => capabilities.signed_url,
        };
        let what = "addresses of this kind";
        if given { Ok(()) } else { Err(ReceiveError::Blobs(StoreError::Unsupported { what })) }
    }

    /// A new upload, of which nothing is known but what it is for.
    fn new_ingest(&self, intent: &Intent) -> Ingest {
        Ingest::open(self.ids.next_id(), intent.clone(), Instant::try_from(self.clock.now()).ok())
    }

    /// The record of the upload: the one that the key has, else a new one.
    ///
    /// An upload that was closed left nothing behind, so its key may be used again for the same intent.
    async fn intend<'s>(
        &'s self,
        tenant: &'s Tenant,
        key: Option<&IdempotencyKey>,
        intent: &Intent,
        target: &Target<'_, R>,
    ) -> Result<Record<'s, L>, ReceiveError> {
        for _ in 0..self.max_attempts {
            let new = self.new_ingest(intent);
            let at = key_of(key, new.id)?;
            let known = match key {
                Some(_) => Record::load(&*self.ledger, tenant, at.clone()).await?,
                None => None,
            };
            let Some(mut record) = known else {
                target.resolve().await?;
                match Record::create(&*self.ledger, tenant, at, new).await? {
                    Some(record) => return Ok(record),
                    None => continue,
                }
            };
            if record.ingest.intent != *intent {
                return Err(ReceiveError::KeyReused);
            }
            match record.ingest.state {
                State::Stored { .. } | State::Attached { .. } => return Ok(record),
                State::Open => {
                    target.resolve().await?;
                    return Ok(record);
                }
                State::Closed { .. } => {
                    target.resolve().await?;
                    if record.replace(new).await? {
                        return Ok(record);
                    }
                }
            }
        }
        Err(ReceiveError::Contended { attempts: self.max_attempts })
    }

    /// Whether the bytes are those that are known already.
    async fn compare(&self, intent: &Intent, known: BlobRef, body: ByteStream) -> Result<(), ReceiveError> {
        let found = match pass(body, known.size, None).await {
            Ok(found) => found,
            Err(ReceiveError::TooLarge { .. }) => return Err(ReceiveError::KeyReused),
            Err(error) => return Err(error),
        };
        match intent.sha256 {
            Some(declared) if declared != found.digest => {
                Err(ReceiveError::DigestMismatch { declared, found: found.digest })
            }
            _ if found != known => Err(ReceiveError::KeyReused),
            _ => Ok(()),
        }
    }

    /// Takes the bytes into the store of blobs, and says so in the record; or closes it.
    async fn take(&self, record: &mut Record<'_, L>, body: ByteStream) -> Result<(), ReceiveError> {
        let limit = self.max_size.min(self.blobs.capabilities().max_size);
        let mut writer = self.blobs.begin(record.tenant()).await.map_err(ReceiveError::Blobs)?;
        let passed = pass(body, limit, Some(&mut writer)).await;
        let checked = passed.and_then(|blob| {
            let refused = |reason| refusal(reason, &record.ingest.intent, &blob, limit);
            check(&record.ingest.intent, &Limits { max_size: limit }, &blob).map_err(refused).map(|()| blob)
        });
        let committed = match checked {
            Ok(blob) => self.commit(record.tenant(), writer, blob).await.map(|()| blob),
            Err(error) => {
                // What failed first is what the caller wants to know; the abort is a matter of tidiness.
                let _ = writer.abort().await;
                Err(error)
            }
        };
        match committed {
            Ok(blob) => self.mark_stored(record, blob).await,
            Err(error) => {
                if let Some(reason) = reason_of(&error) {
                    // A record that stays open is taken up by the next call with its key.
                    let _ = record.advance(&Input::CheckFailed { reason }).await;
                }
                Err(error)
            }
        }
    }

    async fn commit(&self, tenant: &Tenant, writer: Box<dyn BlobWriter>, blob: BlobRef) -> Result<(), ReceiveError> {
        match writer.commit(blob, GENERATION).await {
            Ok(_) => Ok(()),
            Err(lost) if lost.applied() == Applied::Unknown => {
                match self.blobs.head(tenant, &blob.key(GENERATION)).await {
                    Ok(found) if found == blob => Ok(()),
                    _ => Err(ReceiveError::Blobs(lost)),
                }
            }
            Err(error) => Err(of_blobs(error)),
        }
    }

    /// Another call with the same key may have moved the record meanwhile, or have closed it for bytes of its own.
    async fn mark_stored(&self, record: &mut Record<'_, L>, blob: BlobRef) -> Result<(), ReceiveError> {
        for _ in 0..self.max_attempts {
            match record.advance(&Input::BytesCommitted { blob }).await? {
                Ok(()) => return Ok(()),
                Err(Refusal::Closed) => {
                    let again = self.new_ingest(&record.ingest.intent);
                    record.replace(again).await?;
                }
                Err(_) => return Err(ReceiveError::KeyReused),
            }
        }
        Err(ReceiveError::Contended { attempts: self.max_attempts })
    }

    /// Makes the component refer to the bytes, unless it does.
    async fn attach(&self, record: &mut Record<'_, L>, target: &Target<'_, R>) -> Result<Received, ReceiveError> {
        for _ in 0..self.max_attempts {
            let blob = match &record.ingest.state {
                State::Attached { component, version, .. } => {
                    let seen = target.version(component, *version).await?;
                    return self.answer(record, seen, true).await;
                }
                State::Stored { blob } => *blob,
                State::Open | State::Closed { .. } => break,
            };
            let id = record.ingest.id;
            let seen = match target.look(id).await {
                Ok(Look::Meant(seen)) => *seen,
                Ok(Look::Attached(seen)) => {
                    let first = target.first(id, *seen).await?;
                    return self.attached(record, first, true).await;
                }
                Ok(Look::Changing) => {
                    give_way().await;
                    continue;
                }
                Err(error) => {
                    if matches!(
                        error,
                        ReceiveError::Unresolved(_) | ReceiveError::UnfitTarget(_) | ReceiveError::NoSuchDevice
                    ) {
                        let _ = record.advance(&Input::TargetLost).await;
                    }
                    return Err(error);
                }
            };
            // The record after the component: a call that slept must not attach what was closed meanwhile.
            record.reload().await?;
            if record.ingest.id != id || record.ingest.state.is_end() {
                continue;
            }
            let update = self.update(record, blob).await?;
            match target.write(seen, &update).await {
                Ok(written) => return self.attached(record, written, false).await,
                Err(StoreError::Conflict { .. } | StoreError::NotFound | StoreError::Gone { .. }) => give_way().await,
                Err(error) => return Err(ReceiveError::Resources(error)),
            }
        }
        Err(ReceiveError::Contended { attempts: self.max_attempts })
    }

    /// The component has the reference, which is what counts: a record that cannot be marked is marked by whoever finds
    /// the reference.
    async fn attached(&self, record: &mut Record<'_, L>, seen: Seen, replayed: bool) -> Result<Received, ReceiveError> {
        if let Some(component) = seen.0.logical_id().cloned() {
            let _ = record.advance(&Input::ReferenceWritten { component, version: seen.1.version }).await;
        }
        self.answer(record, seen, replayed).await
    }

    async fn answer(&self, record: &Record<'_, L>, seen: Seen, replayed: bool) -> Result<Received, ReceiveError> {
        let (component, Version { version, last_updated, .. }) = seen;
        let said = available(&component).flatten().find(|update| update.id == record.ingest.id);
        let update = match (said, record.ingest.state.blob()) {
            (Some(update), _) => update,
            // Only where the store no longer keeps the version that had it.
            (None, Some(blob)) => self.update(record, blob).await?,
            (None, None) => return Err(ReceiveError::Ledger(StoreError::NotFound)),
        };
        Ok(Received { component, version, last_updated, update, replayed })
    }

    async fn update(&self, record: &Record<'_, L>, blob: BlobRef) -> Result<AvailableUpdate, ReceiveError> {
        let url = match &self.addresses {
            Addresses::Caller(url) => url(record.tenant(), &blob.key(GENERATION)),
            Addresses::Store(kind) => {
                let url = self.blobs.url(record.tenant(), &blob.key(GENERATION), *kind).await;
                url.map_err(ReceiveError::Blobs)?
            }
        };
        let Ingest { id, intent, opened, .. } = &record.ingest;
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
        })
    }
}

fn refusal(reason: Reason, intent: &Intent, found: &BlobRef, limit: u64) -> ReceiveError {
    match (reason, intent.sha256) {
        (Reason::Empty, _) => ReceiveError::EmptyFile,
        (Reason::DigestMismatch, Some(declared)) => ReceiveError::DigestMismatch { declared, found: found.digest },
        _ => ReceiveError::TooLarge { limit },
    }
}

/// Why an error closes the record; none where the same bytes may be taken another time.
fn reason_of(error: &ReceiveError) -> Option<Reason> {
    match error {
        ReceiveError::DigestMismatch { .. } => Some(Reason::DigestMismatch),
        ReceiveError::TooLarge { .. } => Some(Reason::TooLarge),
        ReceiveError::EmptyFile => Some(Reason::Empty),
        _ => None,
    }
}
