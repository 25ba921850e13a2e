//! A session on the ledger of a tenant: uploads, blobs, accepted sequence numbers, and the chain of its audit
//! records. What belongs together is written in one step.

use super::AuditSink;
use super::async_mutex::AsyncMutex;
use super::entries::{DUE, Entries, Kept, OPEN, REST, Seen, StepContext, at, digest_of, older_copy, unreadable};
use super::lifecycle::PAGE;
use crate::audit::{AuditRecord, ChainHead, Checkpoint};
use crate::manifest::{Acceptance, ActorId, IdempotencyKey, IngestId};
use crate::primitive::{Id, Text};
use crate::store::{
    Applied, BlobKey, Change, Clock, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, Revision,
    Sha256, StoreError, Tenant, TenantLedger,
};
use crate::update::ingest::{self, Ingest, Intent, Refusal, Step};
use crate::update::{Accepted, VersionClaim, blob};
use bytes::Bytes;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// The end of the chain of a tenant, as this process knows it; nothing where that has to be looked up.
pub(super) type Head = Option<(ChainHead, Option<Revision>)>;

/// What the books need of the service.
#[derive(Clone)]
pub(super) struct ServiceContext {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) actor: ActorId,
    pub(super) sink: Option<Arc<dyn AuditSink>>,
    pub(super) retention: Retention,
}

/// For how long what has ended is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// The reference of an update that was withdrawn.
    pub(super) withdrawn: Duration,
    /// The record of an upload that failed before its bytes came, and its idempotency key.
    pub(super) aborted: Duration,
    /// The record of an upload that ended later, and its idempotency key.
    pub(super) ended: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    fn default() -> Self {
        Self { withdrawn: DAY.saturating_mul(30), aborted: DAY, ended: DAY.saturating_mul(30) }
    }
}

/// The books of one tenant.
pub(super) struct LedgerSession<'s, L: ?Sized> {
    ledger: TenantLedger<L>,
    turn: Arc<AsyncMutex<Head>>,
    context: &'s ServiceContext,
}

impl<'s, L: Ledger + ?Sized> LedgerSession<'s, L> {
    pub(super) fn new(
        ledger: Arc<L>,
        tenant: &Tenant,
        turn: Arc<AsyncMutex<Head>>,
        context: &'s ServiceContext,
    ) -> Self {
        Self { ledger: TenantLedger::new(ledger, tenant.clone()), turn, context }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        self.ledger.tenant()
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.context.clock.now()
    }

    /// The time that is so much later than now.
    pub(super) fn later(&self, by: Duration) -> OffsetDateTime {
        self.now().saturating_add(time::Duration::try_from(by).unwrap_or(time::Duration::MAX))
    }

    pub(super) async fn read(&self, key: LedgerKey) -> Result<Seen<Option<Bytes>>> {
        let found = self.ledger.get(&key).await?;
        Ok(match found {
            Some(LedgerRecord { revision, value, .. }) => Seen { key, revision: Some(revision), value: Some(value) },
            None => Seen { key, revision: None, value: None },
        })
    }

    /// Writes a record that has no audit record of its own; `false` where it was not as it was seen.
    pub(super) async fn write_plain(&self, seen: &Seen<Option<Bytes>>, value: Option<Vec<u8>>) -> Result<bool> {
        let value = value.map(Bytes::from);
        let change = Change { key: seen.key.clone(), expected: seen.revision.clone(), value };
        match self.ledger.apply(vec![change]).await {
            Ok(_) => Ok(true),
            Err(CommitError { error: StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }, .. }) => Ok(false),
            // Whoever reads it next sees what became of it.
            Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => Ok(false),
            Err(CommitError { error, .. }) => Err(error),
        }
    }

    /// One page of the records of a folder.
    pub(super) async fn records(
        &self,
        folder: &str,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Seen<Bytes>>> {
        let Page { items, next } = self.ledger.scan(&LedgerKey::new(folder)?, limit, after).await?;
        let seen = |LedgerRecord { key, revision, value }| Seen { key, revision: Some(revision), value };
        Ok(Page { items: items.into_iter().map(seen).collect(), next })
    }

    /// Returns an upload, wherever it stands.
    pub(super) async fn ingest(&self, id: IngestId) -> Result<Option<Seen<Ingest>>> {
        self.ingest_on([OPEN, REST, OPEN, REST], id).await
    }

    async fn ingest_on(&self, shelves: [&'static str; 4], id: IngestId) -> Result<Option<Seen<Ingest>>> {
        // It may move from one shelf to the other between two looks, and back.
        for shelf in shelves {
            let found = self.read(at(shelf, &id.to_string())?).await?;
            if let Seen { key, revision, value: Some(value) } = found {
                let value = Ingest::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                return Ok(Some(Seen { key, revision, value }));
            }
        }
        Ok(None)
    }

    /// Returns the same, for one that most likely is at rest.
    pub(super) async fn ingest_at_rest(&self, id: IngestId) -> Result<Option<Seen<Ingest>>> {
        self.ingest_on([REST, OPEN, REST, OPEN], id).await
    }

    /// An upload that must be there.
    pub(super) async fn known(&self, id: IngestId) -> Result<Seen<Ingest>> {
        self.ingest(id).await?.ok_or(StoreError::not_found())
    }

    /// Returns what is known of the newest copy of some bytes.
    pub(super) async fn newest(&self, digest: &Sha256) -> Result<Seen<Option<blob::Entry>>> {
        self.entry_at(at("blob", &digest.to_string())?).await
    }

    /// Returns what is known of one copy of some bytes, if anything is.
    pub(super) async fn entry(&self, of: &BlobKey) -> Result<Seen<Option<blob::Entry>>> {
        // In this order: a copy is put aside when there is a newer one, and stays there.
        let newest = self.newest(&of.digest).await?;
        if newest.value.as_ref().is_some_and(|entry| entry.generation == of.generation) {
            return Ok(newest);
        }
        self.entry_at(older_copy(of)?).await
    }

    /// Returns what is known of every copy of some bytes, the newest first.
    pub(super) async fn copies(&self, digest: &Sha256) -> Result<Vec<blob::Entry>> {
        let newest = self.newest(digest).await?;
        let (folder, mut copies, mut after) = (newest.key.clone(), Vec::new(), None);
        copies.extend(newest.value);
        loop {
            let page = self.ledger.scan(&folder, PAGE, after.as_ref()).await?;
            for LedgerRecord { key, value, .. } in page.items.into_iter().filter(|record| record.key != folder) {
                copies.push(blob::Entry::from_bytes(&value).map_err(|error| unreadable(&key, error))?);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(copies),
            }
        }
    }

    async fn entry_at(&self, key: LedgerKey) -> Result<Seen<Option<blob::Entry>>> {
        let Seen { key, revision, value } = self.read(key).await?;
        let value = value.map(|value| blob::Entry::from_bytes(&value)).transpose();
        let value = value.map_err(|error| unreadable(&key, error))?;
        Ok(Seen { key, revision, value })
    }

    /// Returns what a component accepted.
    pub(super) async fn accepted(&self, component: &Id) -> Result<Seen<Accepted>> {
        let found = self.read(at("accepted", &digest_of(component.as_str()))?).await?;
        let Seen { key, revision, value } = found;
        let value = match value {
            Some(value) => Accepted::from_bytes(&value).map_err(|error| unreadable(&key, error))?,
            None => Accepted::new(component.clone()),
        };
        Ok(Seen { key, revision, value })
    }

    /// Returns what a version of a component stands for.
    pub(super) async fn claim(
        &self,
        component: &Id,
        provider: Option<&Text>,
        version: &Text,
    ) -> Result<Seen<Option<VersionClaim>>> {
        // Three texts of any characters, each told from the next by its length.
        let parts = [component.as_str(), provider.map_or("", Text::as_str), version.as_str()];
        let name: String = parts.iter().map(|part| format!("{}:{part};", part.len())).collect();
        let Seen { key, revision, value } = self.read(at("version", &digest_of(&name))?).await?;
        let value = value.map(|value| VersionClaim::from_bytes(&value)).transpose();
        let value = value.map_err(|error| unreadable(&key, error))?;
        Ok(Seen { key, revision, value })
    }

    /// Returns what was accepted for an upload that failed, passed on to one of the same number.
    pub(super) async fn passed_on(
        &self,
        accepted: Option<&Acceptance>,
        intent: &Intent,
        to: IngestId,
    ) -> Result<Option<Acceptance>> {
        let same = |accepted: &&Acceptance| accepted.by != to && intent.sequence == Some(accepted.highest);
        let Some(accepted) = accepted.filter(same) else { return Ok(None) };
        let earlier = self.ingest(accepted.by).await?;
        Ok(earlier.and_then(|earlier| accepted.passed_on(&earlier.value, intent, to)))
    }

    /// Returns the upload that a key of a sender stands for.
    pub(super) async fn pointer(&self, of: &IdempotencyKey) -> Result<Seen<Option<IngestId>>> {
        self.pointer_at(&Sha256::of(of.as_str().as_bytes())).await
    }

    /// Returns the upload that a key of this digest stands for.
    pub(super) async fn pointer_at(&self, of: &Sha256) -> Result<Seen<Option<IngestId>>> {
        let Seen { key, revision, value } = self.read(at("ingest/key", &of.to_string())?).await?;
        let id = |value: Bytes| std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        let value = match value {
            Some(value) => Some(id(value).ok_or_else(|| unreadable(&key, "it names no upload"))?),
            None => None,
        };
        Ok(Seen { key, revision, value })
    }

    /// One page of the uploads that are to be gone on with.
    pub(super) async fn unfinished(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<IngestId>> {
        let Page { items, next } = self.unfinished_records(limit, after).await?;
        Ok(Page { items: items.into_iter().map(|(id, _)| id).collect(), next })
    }

    /// One page of the same, each as it stands.
    pub(super) async fn unfinished_records(
        &self,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(IngestId, Result<Seen<Ingest>>)>> {
        self.records_in(OPEN, limit, after).await
    }

    /// One page of the uploads that rest, each as it stands.
    pub(super) async fn resting_records(
        &self,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(IngestId, Result<Seen<Ingest>>)>> {
        self.records_in(REST, limit, after).await
    }

    /// One page of the uploads of a folder, each as it stands.
    pub(super) async fn records_in(
        &self,
        shelf: &str,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(IngestId, Result<Seen<Ingest>>)>> {
        let page = self.ledger.scan(&LedgerKey::new(shelf)?, limit, after).await?;
        let read = |LedgerRecord { key, revision, value }: LedgerRecord| {
            let id = key.as_str().rsplit('/').next().and_then(|id| id.parse().ok())?;
            let seen = match Ingest::from_bytes(&value) {
                Ok(value) => Ok(Seen { key, revision: Some(revision), value }),
                Err(error) => Err(unreadable(&key, error)),
            };
            Some((id, seen))
        };
        Ok(Page { items: page.items.into_iter().filter_map(read).collect(), next: page.next })
    }

    /// One page of what is to be removed, of which the time has come: the upload of each, and the record that says so. A page
    /// that ends with what is not due has none after it.
    pub(super) async fn due(
        &self,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(IngestId, Seen<Bytes>)>> {
        let now = u64::try_from(self.now().unix_timestamp()).unwrap_or_default();
        let Page { items, mut next } = self.ledger.scan(&LedgerKey::new(DUE)?, limit, after).await?;
        let mut due = Vec::with_capacity(items.len());
        for LedgerRecord { key, revision, value } in items {
            let name = key.as_str().rsplit('/').next().and_then(|name| name.split_once('-'));
            let read = name.and_then(|(at, id)| Some((u64::from_str_radix(at, 16).ok()?, id.parse().ok()?)));
            let Some((at, id)) = read else { continue };
            if at > now {
                next = None;
                break;
            }
            due.push((id, Seen { key, revision: Some(revision), value }));
        }
        Ok(Page { items: due, next })
    }

    /// One page of what is known of bytes.
    pub(super) async fn entries(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<blob::Entry>> {
        let Page { items, next } = self.ledger.scan(&LedgerKey::new("blob")?, limit, after).await?;
        let entry = |record: LedgerRecord| {
            blob::Entry::from_bytes(&record.value).map_err(|error| unreadable(&record.key, error))
        };
        Ok(Page { items: items.into_iter().map(entry).collect::<Result<_>>()?, next })
    }

    /// One page of the records of the chain, as the texts that they are.
    pub(super) async fn chain(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<String>> {
        let Page { items, next } = self.ledger.scan(&LedgerKey::new("audit")?, limit, after).await?;
        let line = |record: LedgerRecord| {
            String::from_utf8(record.value.to_vec()).map_err(|error| unreadable(&record.key, error))
        };
        Ok(Page { items: items.into_iter().map(line).collect::<Result<_>>()?, next })
    }

    /// Returns one record of the chain, as the text that it is.
    #[cfg(feature = "server")]
    pub(super) async fn chain_record(&self, index: u64) -> Result<Option<String>> {
        let Seen { key, value, .. } = self.read(record_key(index)?).await?;
        value.map(|value| String::from_utf8(value.to_vec()).map_err(|error| unreadable(&key, error))).transpose()
    }

    /// Returns the end of the chain.
    pub(super) async fn head(&self) -> Result<(ChainHead, Option<Revision>)> {
        let Seen { key, revision, value } = self.read(LedgerKey::new("audit-head")?).await?;
        let head = match value {
            Some(value) => ChainHead::at(Checkpoint::from_bytes(&value).map_err(|error| unreadable(&key, error))?),
            None => ChainHead::start(self.tenant().clone()),
        };
        Ok((head, revision))
    }

    /// Steps an upload from whatever state it is in by now, until a step is written or there is none to write.
    pub(super) async fn step(
        &self,
        seen: &mut Seen<Ingest>,
        input: &ingest::Input,
    ) -> Result<Result<Stepped, Refusal>> {
        self.step_with_context(seen, input, StepContext::default()).await
    }

    /// Returns the same, with what the driver knows of the step.
    pub(super) async fn step_with_context(
        &self,
        seen: &mut Seen<Ingest>,
        input: &ingest::Input,
        step_context: StepContext,
    ) -> Result<Result<Stepped, Refusal>> {
        loop {
            match ingest::step(&seen.value, input, self.now()) {
                Ok(Step::Unchanged) => return Ok(Ok(Stepped::Unchanged)),
                Ok(Step::Perform(effect)) => return Ok(Ok(Stepped::Do(effect))),
                Err(refusal) => return Ok(Err(refusal)),
                Ok(Step::Transition(to)) => {
                    let mut entries = Entries::default();
                    entries.ingest(seen, to, step_context)?;
                    if self.write_step(seen, entries).await? {
                        return Ok(Ok(Stepped::To));
                    }
                }
            }
        }
    }

    /// Writes a step of an upload, and looks at the upload again where it may be another by then. `false` where a record was
    /// not as it was seen.
    pub(super) async fn write_step(&self, seen: &mut Seen<Ingest>, mut entries: Entries) -> Result<bool> {
        let next = entries.next.take();
        let key = next.as_ref().and_then(|(at, _)| Some(entries.changes.get(*at)?.key.clone()));
        let written = self.write(entries).await?;
        if let (Written::As(made), Some((at, next)), Some(key)) = (&written, next, key)
            && let Some(revision) = made.get(at)
        {
            // It is what was written until somebody else writes, who is noticed by the revision.
            *seen = Seen { key, revision: Some(revision.clone()), value: next };
            return Ok(true);
        }
        let is_new = seen.revision.is_none();
        if is_new && written == Written::Not {
            return Ok(false);
        }
        *seen = self.known(seen.value.id).await?;
        Ok(written != Written::Not)
    }

    /// Writes all of it together with its audit records, or nothing where a record was not as it was seen.
    pub(super) async fn write(&self, mut entries: Entries) -> Result<Written> {
        for (id, kept) in std::mem::take(&mut entries.kept) {
            let at = match kept {
                Kept::Withdrawn { until } => until,
                Kept::Aborted => self.later(self.context.retention.aborted),
                Kept::Ended => self.later(self.context.retention.ended),
            };
            // What is kept for no time at all is due at the moment at which what it follows was.
            let seen = self.read(due_key(at, id)?).await?;
            entries.record(&seen, kept.as_str().into());
        }
        let mut turn = self.turn.take().await;
        let mut unknown = None;
        for _ in 0..TRIES {
            let (head, revision) = match turn.get().cloned().flatten() {
                Some(known) => known,
                None => self.head().await.map_err(|error| honest(error, unknown.is_some()))?,
            };
            // Until this try is known to have been applied, the end of the chain is not.
            turn.set(None);
            let page = self.page(&entries, head, revision)?;
            match self.ledger.apply(page.changes).await {
                Ok(mut made) => {
                    let ours = made.split_off(made.len().min(page.records.len().saturating_add(1)));
                    turn.set(Some((page.head, made.into_iter().next())));
                    drop(turn);
                    self.tell(&page.records);
                    return Ok(Written::As(ours));
                }
                Err(CommitError { error: StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }, index }) => {
                    // The chain grew, or one of the others is not as it was seen.
                    if index.is_some_and(|index| index > entries.records.len()) {
                        return Ok(Written::Not);
                    }
                    if index.is_none() {
                        let still = self.still(&entries.changes).await;
                        if !still.map_err(|error| honest(error, unknown.is_some()))? {
                            return Ok(Written::Not);
                        }
                    }
                }
                Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {
                    let Some(first) = page.records.first() else { return Err(error) };
                    let place = self.read(record_key(first.index)?).await;
                    let place = place.map_err(|lost| StoreError::indeterminate(Some(Box::new(lost))))?;
                    if place.value.is_some_and(|value| Sha256::of(&value) == first.digest()) {
                        drop(turn);
                        self.tell(&page.records);
                        return Ok(Written::CommittedReplyLost);
                    }
                    // It may be applied yet. The next try cannot be applied as well: both make the same records.
                    unknown = Some(error);
                }
                Err(CommitError { error, .. }) => return Err(honest(error, unknown.is_some())),
            }
        }
        Err(unknown.unwrap_or(StoreError::throttled(None)))
    }

    /// Returns whether the records are as they were seen.
    async fn still(&self, changes: &[Change]) -> Result<bool> {
        for change in changes {
            if self.ledger.get(&change.key).await?.map(|record| record.revision) != change.expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the changes with those of the chain before them.
    fn page(&self, entries: &Entries, head: ChainHead, revision: Option<Revision>) -> Result<ChainPage> {
        let mut page = ChainPage { changes: Vec::new(), records: Vec::new(), head };
        let mut lines = Vec::with_capacity(entries.records.len());
        for noted in &entries.records {
            let added = page.head.append(noted.draft(), noted.record_context(self.context.actor.clone()));
            lines.push(Change::create(record_key(added.record.index)?, added.line));
            page.records.push(added.record);
            page.head = added.head;
        }
        let head = page.head.checkpoint().to_bytes();
        page.changes.push(Change { key: LedgerKey::new("audit-head")?, expected: revision, value: Some(head.into()) });
        page.changes.extend(lines);
        page.changes.extend(entries.changes.iter().cloned());
        Ok(page)
    }

    fn tell(&self, records: &[AuditRecord]) {
        if let Some(sink) = &self.context.sink {
            records.iter().for_each(|record| sink.recorded(record));
        }
    }
}

/// Returns an error of a write, of which an earlier try may have been applied, or may be yet.
fn honest(error: StoreError, unknown: bool) -> StoreError {
    if unknown && error.applied() == Applied::No {
        return StoreError::indeterminate(Some(Box::new(error)));
    }
    error
}

/// How often a write is tried against a chain that grows.
const TRIES: usize = 64;

/// Returns the place of what is to be removed at a time; keys are in the order of the times.
fn due_key(at: OffsetDateTime, id: IngestId) -> Result<LedgerKey> {
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    super::entries::at(DUE, &format!("{seconds:016x}-{id}"))
}

/// Returns the place of a record of the chain; keys are in the order of the places.
fn record_key(index: u64) -> Result<LedgerKey> {
    at("audit", &format!("{index:016x}"))
}

struct ChainPage {
    changes: Vec<Change>,
    records: Vec<AuditRecord>,
    head: ChainHead,
}

/// What a write came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The changes are written, in the order of the changes.
    As(Vec<Revision>),
    /// The changes are written, and the answer was lost.
    CommittedReplyLost,
    /// A record was not as it was seen.
    Not,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    To,
    Do(ingest::Effect),
    Unchanged,
}
