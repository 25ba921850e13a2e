//! Damaged files: detected, marked, not served, and replaced by the same bytes.

use super::entries::{Entries, Seen, at, unreadable};
use super::ledger_session::{LedgerSession, Written};
use super::lifecycle::PAGE;
use super::target::refers;
use super::update_service::UpdateService;
use super::{IngestId, ReceiveError};
use crate::audit::Holder;
use crate::audit::{Action, AuditDraft, StateName};
use crate::primitive::Id;
use crate::resource::DeviceComponent;
use crate::search::ResourceType;
use crate::store::{
    BlobKey, BlobRead, BlobRef, BlobStore, ByteStream, Generation, Key, Ledger, LedgerKey, Page, PageToken,
    ResourceStore, Result, StoreError, Stored as _, Tenant, TenantResources, ValidWrite, verified,
};
use crate::update::blob::{self, Entry};
use crate::update::ingest::{self, Ingest, State};
use crate::update::{moment, move_file};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use time::OffsetDateTime;

/// A damaged file that is not replaced yet.
///
/// Returned by [`UpdateService::known_damage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownDamage {
    /// When the damage was found.
    pub since: OffsetDateTime,
    /// The damage.
    pub what: String,
}

/// The result of a [`repair`](UpdateService::repair).
///
/// ```
/// use fhir_devices::service::Repaired;
/// assert_eq!(Repaired::default().waiting, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// The number of uploads that were moved to an intact copy of their bytes.
    pub moved: u64,
    /// The number of damaged files that are no longer needed.
    pub cleared: u64,
    /// The number of damaged files whose bytes must be uploaded again.
    pub waiting: u64,
}

/// The record of a damaged file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Damaged {
    format: u32,
    blob: BlobRef,
    generation: Generation,
    #[serde(with = "moment")]
    since: OffsetDateTime,
    what: String,
    /// Uploads that the ledger has moved to another copy, and whose components may not refer to it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    moved: Vec<IngestId>,
}

const FORMAT: u32 = 1;

/// The ledger folder of these records.
const FOLDER: &str = "damaged";

impl Damaged {
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn read(key: &LedgerKey, value: &[u8]) -> Result<Self> {
        let read: Result<Self, _> = serde_json::from_slice(value);
        match read {
            Ok(damaged) if damaged.format == FORMAT => Ok(damaged),
            Ok(_) => Err(unreadable(key, "its format is not known")),
            Err(error) => Err(unreadable(key, error)),
        }
    }

    fn draft(&self, action: Action, from: Option<StateName>, to: StateName, now: OffsetDateTime) -> AuditDraft {
        let mut draft = AuditDraft::new(now, action, from, to);
        (draft.blob, draft.generation) = (Some(self.blob), Some(self.generation));
        draft
    }
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the size and digest of a file from the ledger and the store, if it may be served: its length matches the
    /// ledger, and no damage is known.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a damaged file, which is marked as damaged; [`StoreError::NotFound`]; errors of the
    /// stores.
    pub async fn inspect(&self, tenant: &Tenant, key: &BlobKey) -> Result<BlobRef> {
        let session = self.session(tenant);
        let entry = self.undamaged(&session, key).await?;
        let found = match self.blobs.head(tenant, key).await {
            Err(StoreError::NotFound { .. }) if entry.is_some() => return Err(self.missing(&session, key).await),
            found => found?,
        };
        self.check_length(&session, key, entry.as_ref(), found).await?;
        Ok(found)
    }

    /// Reads a file, or a range of it.
    ///
    /// # Guarantees
    /// The length is that of the ledger. A read of the whole file is checked against its digest, and the last chunk is
    /// returned only after all of it was correct: a reader of a damaged file gets an error instead of the end, never as
    /// many bytes as [`BlobRead::range`] says. Damage is recorded in the ledger and the audit chain before the error is
    /// returned.
    ///
    /// # Assumptions
    /// A range cannot be checked against the digest of the whole: a caller that assembles ranges checks the whole.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect); those of [`BlobStore::get`] for the range.
    pub async fn download(&self, tenant: &Tenant, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead> {
        let session = self.session(tenant);
        let entry = self.undamaged(&session, key).await?;
        let read = match self.blobs.get(tenant, key, range).await {
            Err(StoreError::NotFound { .. }) if entry.is_some() => return Err(self.missing(&session, key).await),
            read => read?,
        };
        self.check_length(&session, key, entry.as_ref(), read.blob).await?;
        if !read.is_whole() {
            return Ok(read);
        }
        let (service, tenant, key) = (self.clone(), tenant.clone(), *key);
        let tell = Box::new(move |error: &StoreError| {
            let what = error.to_string();
            let told = async move {
                // The reader gets the error in any case.
                let _ = service.mark_damaged(&service.session(&tenant), &key, what).await;
            };
            Box::pin(told) as crate::store::BoxFuture<'static, ()>
        });
        let BlobRead { blob, range, body } = read;
        Ok(BlobRead { blob, range, body: verified(body, blob, Some(tell)) })
    }

    /// Returns the damage of a file, if any is known.
    ///
    /// # Errors
    /// Errors of the ledger.
    pub async fn known_damage(&self, tenant: &Tenant, key: &BlobKey) -> Result<Option<KnownDamage>> {
        let damaged = self.damaged(&self.session(tenant), key).await?.value;
        Ok(damaged.map(|Damaged { since, what, .. }| KnownDamage { since, what }))
    }

    /// Returns one page of the known damaged files, in the order of their names.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn damaged_files(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(BlobKey, KnownDamage)>> {
        let page = self.session(tenant).records(FOLDER, limit, after).await?;
        let known = |record: Seen<Bytes>| {
            let Damaged { blob, generation, since, what, .. } = Damaged::read(&record.key, &record.value)?;
            Ok((blob.key(generation), KnownDamage { since, what }))
        };
        Ok(Page { items: page.items.into_iter().map(known).collect::<Result<_>>()?, next: page.next })
    }

    /// Moves the uploads of damaged files to intact copies of their bytes, where there are any: first in the ledger,
    /// then the URL in the component. It is safe at any time, and continues interrupted work.
    ///
    /// # Errors
    /// Errors of the stores.
    pub async fn repair(&self, tenant: &Tenant) -> Result<Repaired> {
        let session = self.session(tenant);
        let (mut repaired, mut after) = (Repaired::default(), None);
        loop {
            let page = session.records(FOLDER, PAGE, after.as_ref()).await?;
            for record in page.items {
                let damaged = Damaged::read(&record.key, &record.value)?;
                self.repair_one(&session, &damaged.blob.key(damaged.generation), &mut repaired).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(repaired),
            }
        }
    }

    async fn damaged(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> Result<Seen<Option<Damaged>>> {
        let Seen { key, revision, value } = session.read(at(FOLDER, &key.to_string())?).await?;
        let value = value.map(|value| Damaged::read(&key, &value)).transpose()?;
        Ok(Seen { key, revision, value })
    }

    /// Returns whether a copy is known to be damaged.
    pub(super) async fn is_damaged(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> Result<bool> {
        Ok(self.damaged(session, key).await?.value.is_some())
    }

    /// Returns whether a copy may be shared: no damage is known, and the store has it. An older copy of the ledger may
    /// list as present what a newer one had released; that is corrected then.
    pub(super) async fn is_whole(&self, session: &LedgerSession<'_, L>, copy: &Entry) -> Result<bool, ReceiveError> {
        let key = copy.key();
        if self.is_damaged(session, &key).await.map_err(ReceiveError::Ledger)? {
            return Ok(false);
        }
        let fault = match self.blobs.head(session.tenant(), &key).await {
            Ok(found) => copy.blob.verify(found).err().map(|error| error.to_string()),
            Err(StoreError::NotFound { .. }) => Some("the file is missing".to_owned()),
            Err(error) => return Err(ReceiveError::Blobs(error)),
        };
        match fault {
            None => Ok(true),
            Some(what) => {
                self.mark_damaged(session, &key, what).await.map_err(ReceiveError::Ledger)?;
                Ok(false)
            }
        }
    }

    /// Returns the entry of a file that the ledger lists as present and undamaged.
    async fn undamaged(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> Result<Option<Entry>> {
        if let Some(damaged) = self.damaged(session, key).await?.value {
            let what = format!("the file `{key}`: {}: the same bytes, sent again, replace it", damaged.what);
            return Err(StoreError::corrupt(what));
        }
        Ok(session.entry(key).await?.value.filter(Entry::is_present))
    }

    async fn missing(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> StoreError {
        match self.mark_damaged(session, key, "the file is missing".to_owned()).await {
            Ok(()) => StoreError::not_found(),
            Err(error) => error,
        }
    }

    async fn check_length(
        &self,
        session: &LedgerSession<'_, L>,
        key: &BlobKey,
        entry: Option<&Entry>,
        found: BlobRef,
    ) -> Result<()> {
        let Some(Err(error)) = entry.map(|entry| entry.blob.verify(found)) else { return Ok(()) };
        self.mark_damaged(session, key, error.to_string()).await?;
        Err(error)
    }

    /// Marks a file as damaged, unless that is known, or the ledger does not list it as present.
    pub(super) async fn mark_damaged(&self, session: &LedgerSession<'_, L>, key: &BlobKey, what: String) -> Result<()> {
        loop {
            let seen = self.damaged(session, key).await?;
            let entry = session.entry(key).await?.value.filter(Entry::is_present);
            let (None, Some(entry)) = (&seen.value, entry) else { return Ok(()) };
            let (blob, generation, now) = (entry.blob, entry.generation, session.now());
            let damaged =
                Damaged { format: FORMAT, blob, generation, since: now, what: what.clone(), moved: Vec::new() };
            let mut entries = Entries::default();
            entries.note(damaged.draft(Action::Damaged, None, StateName::Damaged, now));
            entries.record(&seen, damaged.to_bytes());
            if session.write(entries).await? != Written::Not {
                return Ok(());
            }
        }
    }

    /// Marks a file as intact, where it was known to be damaged.
    pub(super) async fn mark_whole(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> Result<bool> {
        let seen = self.damaged(session, key).await?;
        let Some(damaged) = &seen.value else { return Ok(false) };
        if !damaged.moved.is_empty() {
            return Ok(false);
        }
        let mut entries = Entries::default();
        let draft = damaged.draft(Action::DamageCleared, Some(StateName::Damaged), StateName::Live, session.now());
        entries.note(draft);
        entries.remove(&seen);
        Ok(session.write(entries).await? != Written::Not)
    }

    async fn repair_one(&self, session: &LedgerSession<'_, L>, key: &BlobKey, repaired: &mut Repaired) -> Result<()> {
        let mut whole = None;
        for copy in session.copies(&key.digest).await? {
            if copy.is_present() && copy.key() != *key && !self.is_damaged(session, &copy.key()).await? {
                whole = Some(copy.key());
                break;
            }
        }
        let entry = session.entry(key).await?.value;
        for holder in entry.iter().flat_map(Entry::holders) {
            if let (Holder::Ingest(id), Some(whole)) = (holder, &whole)
                && self.move_upload(session, *id, key, whole).await?
            {
                repaired.moved += 1;
            }
        }
        let seen = self.damaged(session, key).await?;
        let Some(mut damaged) = seen.value.clone() else { return Ok(()) };
        for id in std::mem::take(&mut damaged.moved) {
            self.move_reference(session, id).await?;
        }
        let entry = session.entry(key).await?.value;
        let needed = entry.iter().flat_map(Entry::holders).next().is_some();
        let mut entries = Entries::default();
        if needed {
            repaired.waiting += 1;
            let plain = Seen { key: seen.key, revision: seen.revision, value: None::<Bytes> };
            session.write_plain(&plain, Some(damaged.to_bytes())).await?;
            return Ok(());
        }
        let to = entry.map_or(StateName::Gone, |entry| entry.state.name());
        entries.note(damaged.draft(Action::DamageCleared, Some(StateName::Damaged), to, session.now()));
        entries.remove(&seen);
        if session.write(entries).await? != Written::Not {
            repaired.cleared += 1;
        }
        Ok(())
    }

    /// Moves an upload at rest from a damaged copy to an intact one, holds included, in one write.
    async fn move_upload(
        &self,
        session: &LedgerSession<'_, L>,
        id: IngestId,
        from: &BlobKey,
        whole: &BlobKey,
    ) -> Result<bool> {
        for _ in 0..self.max_attempts {
            let Some(seen) = session.ingest(id).await? else { return Ok(false) };
            if seen.value.state.key() != Some(*from) {
                return Ok(false);
            }
            let moved = ingest::Input::Moved { generation: whole.generation };
            let Ok(ingest::Step::Transition(to)) = ingest::step(&seen.value, &moved, session.now()) else {
                return Ok(false);
            };
            let (old, new) = (session.entry(from).await?, session.entry(whole).await?);
            let (Some(entry), record) = (&new.value, self.damaged(session, from).await?) else { return Ok(false) };
            let by = Holder::Ingest(id);
            // A full copy takes one more upload: the damaged one cannot keep it.
            let held = blob::Input::Held {
                blob: entry.blob,
                by: by.clone(),
                fresh: entry.generation,
                max_holders: usize::MAX,
                actor: None,
            };
            let released = blob::Input::Released { by, actor: None };
            let mut entries = Entries::default();
            match blob::step(new.value.as_ref(), &held, session.now()) {
                Ok(blob::Step::Transition(to)) => entries.blob(&new, &to),
                Ok(blob::Step::Unchanged) => {}
                Err(_) => return Ok(false),
            }
            if let Ok(blob::Step::Transition(to)) = blob::step(old.value.as_ref(), &released, session.now()) {
                entries.blob(&old, &to);
            }
            if let Some(mut damaged) = record.value.clone() {
                damaged.moved.push(id);
                entries.record(&record, damaged.to_bytes());
            }
            entries.ingest(&seen, to, super::entries::StepContext::default())?;
            if session.write(entries).await? != Written::Not {
                return Ok(true);
            }
        }
        Err(StoreError::throttled(None))
    }

    /// Makes the component refer to the copy that the ledger names.
    async fn move_reference(&self, session: &LedgerSession<'_, L>, id: IngestId) -> Result<()> {
        let Some(Seen { value: ingest, .. }) = session.ingest(id).await? else { return Ok(()) };
        let (State::Attached { component, .. } | State::Superseded { component, .. }) = &ingest.state else {
            return Ok(());
        };
        let Some((blob, generation)) = ingest.state.held() else { return Ok(()) };
        let update = self.update(session, &ingest, blob, generation).await.map_err(of_store)?;
        let resources = TenantResources::new(Arc::clone(&self.resources), session.tenant().clone());
        let key = component_key(component)?;
        for _ in 0..self.max_attempts {
            let version = match resources.read(&key).await {
                Ok(version) => version,
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut found = DeviceComponent::from_version(&version)?;
            if !refers(&found, id) || !move_file(&mut found, id, &update.file.url) {
                return Ok(());
            }
            match resources.write(ValidWrite::over(&version, &found)?).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => crate::support::yield_now().await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::throttled(None))
    }

    /// Receives the bytes of an upload again whose copy is damaged, into a copy of their own.
    pub(super) async fn take_again(
        &self,
        session: &LedgerSession<'_, L>,
        ingest: &Ingest,
        body: ByteStream,
    ) -> Result<(), ReceiveError> {
        let Some((blob, _)) = ingest.state.held() else { return Ok(()) };
        let mut writer = self.blobs.begin(session.tenant()).await.map_err(ReceiveError::Blobs)?;
        if let Err(error) = self.compare(ingest, body, Some(&mut writer)).await {
            // The caller needs the first error.
            let _ = writer.abort().await;
            return Err(error);
        }
        let held = self.hold_again(session, ingest.id, blob).await;
        match held {
            Ok(Some(generation)) => {
                writer.commit(blob, generation).await.map_err(ReceiveError::Blobs)?;
                self.mark_present(session, &blob.key(generation)).await.map_err(ReceiveError::Ledger)?;
            }
            Ok(None) => drop(writer.abort().await),
            Err(error) => {
                let _ = writer.abort().await;
                return Err(ReceiveError::Ledger(error));
            }
        }
        self.repair(session.tenant()).await.map_err(ReceiveError::Ledger)?;
        Ok(())
    }

    /// Begins a new copy of bytes whose newest copy is damaged; `None` where an intact one has arrived meanwhile.
    async fn hold_again(
        &self,
        session: &LedgerSession<'_, L>,
        id: IngestId,
        blob: BlobRef,
    ) -> Result<Option<Generation>> {
        for _ in 0..self.max_attempts {
            let newest = session.newest(&blob.digest).await?;
            let Some(known) = &newest.value else { return Ok(None) };
            if !self.is_damaged(session, &known.key()).await? {
                return Ok(None);
            }
            let fresh = Generation(self.ids.next_id()?.0.max(1));
            let (by, max_holders) = (Holder::Ingest(id), self.max_holders);
            let held = blob::Input::Held { blob, by, fresh, max_holders, actor: None };
            let Ok(blob::Step::Transition(to)) = blob::step(None, &held, session.now()) else { continue };
            let mut entries = Entries::default();
            entries.further(&newest, &to)?;
            if session.write(entries).await? != Written::Not {
                return Ok(Some(to.entry.generation));
            }
        }
        Err(StoreError::throttled(None))
    }

    async fn mark_present(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> Result<()> {
        for _ in 0..self.max_attempts {
            let seen = session.entry(key).await?;
            let committed = blob::Input::Committed { generation: key.generation };
            let Ok(blob::Step::Transition(to)) = blob::step(seen.value.as_ref(), &committed, session.now()) else {
                return Ok(());
            };
            let mut entries = Entries::default();
            entries.blob(&seen, &to);
            if session.write(entries).await? != Written::Not {
                return Ok(());
            }
        }
        Err(StoreError::throttled(None))
    }
}

fn component_key(component: &Id) -> Result<Key> {
    Ok(Key::new(ResourceType::DeviceComponent, component.as_str())?)
}

fn of_store(error: ReceiveError) -> StoreError {
    match error {
        ReceiveError::Blobs(error) | ReceiveError::Ledger(error) | ReceiveError::Resources(error) => error,
        error => StoreError::backend(Box::new(error)),
    }
}
