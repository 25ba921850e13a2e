//! The books of a tenant in the ledger: its uploads, its bytes, what its components accepted, and the chain of its audit
//! records. What belongs together is written in one step.

use super::AuditSink;
use super::turn::Turn;
use crate::primitive::Id;
use crate::store::{
    Applied, Change, Clock, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, Revision, Sha256,
    StoreError, Tenant, TenantLedger, VersionId,
};
use crate::update::audit::{Actor, Aside, AuditRecord, ChainHead, Checkpoint};
use crate::update::ingest::{self, Ingest, Refusal, Step};
use crate::update::{Accepted, Action, ActorId, AuditDraft, IdempotencyKey, IngestId, blob};
use bytes::Bytes;
use std::num::NonZeroU32;
use std::sync::Arc;
use time::OffsetDateTime;

/// The end of the chain of a tenant, as this process knows it; nothing where that has to be looked up.
pub(super) type Head = Option<(ChainHead, Option<Revision>)>;

/// A record as it was read, or the place where there is none.
#[derive(Clone, Debug)]
pub(super) struct Seen<T> {
    key: LedgerKey,
    revision: Option<Revision>,
    pub(super) value: T,
}

/// What is written in one step.
#[derive(Debug, Default)]
pub(super) struct Entries {
    changes: Vec<Change>,
    records: Vec<AuditDraft>,
}

impl Entries {
    /// A new upload.
    pub(super) fn open(&mut self, ingest: &Ingest, said: AuditDraft) -> Result<()> {
        self.changes.push(Change::create(at(OPEN, &ingest.id.to_string())?, ingest.to_bytes()));
        self.records.push(said);
        Ok(())
    }

    /// The next state of an upload. One that has come to rest is kept apart from those that are to be gone on with.
    pub(super) fn ingest(&mut self, seen: &Seen<Ingest>, to: ingest::Transition) -> Result<Ingest> {
        let next = Ingest { state: to.state, ..seen.value.clone() };
        let key = at(shelf(&next), &next.id.to_string())?;
        let value = next.to_bytes();
        match (&seen.revision, key == seen.key) {
            (Some(revision), true) => self.changes.push(Change::replace(key, revision.clone(), value)),
            (Some(revision), false) => {
                self.changes.push(Change::delete(seen.key.clone(), revision.clone()));
                self.changes.push(Change::create(key, value));
            }
            (None, _) => self.changes.push(Change::create(key, value)),
        }
        self.records.push(to.audit);
        Ok(next)
    }

    /// The next state of some bytes.
    pub(super) fn blob(&mut self, seen: &Seen<Option<blob::Entry>>, to: &blob::Transition) {
        self.put(seen, to.entry.to_bytes());
        self.records.push(to.audit.clone());
    }

    /// What a component accepted.
    pub(super) fn accepted(&mut self, seen: &Seen<Accepted>, next: &Accepted) {
        self.put(seen, next.to_bytes());
    }

    /// Which upload a key of a sender stands for.
    pub(super) fn pointer(&mut self, seen: &Seen<Option<IngestId>>, id: IngestId) {
        self.put(seen, id.to_string().into_bytes());
    }

    fn put<T>(&mut self, seen: &Seen<T>, value: Vec<u8>) {
        self.changes.push(Change { key: seen.key.clone(), expected: seen.revision.clone(), value: Some(value.into()) });
    }
}

/// Uploads that are to be gone on with, and those that rest.
const OPEN: &str = "ingest/open";
const REST: &str = "ingest/rest";

fn shelf(ingest: &Ingest) -> &'static str {
    if ingest.state.is_end() { REST } else { OPEN }
}

fn at(folder: &str, name: &str) -> Result<LedgerKey> {
    Ok(LedgerKey::new(format!("{folder}/{name}"))?)
}

/// Names that may hold any text are kept by their digest.
fn digest_of(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

fn unreadable(key: &LedgerKey, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what: format!("the record `{key}`: {error}") }
}

/// What the books need of the service.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) actor: ActorId,
    pub(super) sink: Option<Arc<dyn AuditSink>>,
}

/// The books of one tenant.
pub(super) struct Books<'s, L: ?Sized> {
    ledger: TenantLedger<L>,
    turn: Arc<Turn<Head>>,
    desk: &'s Desk,
}

impl<'s, L: Ledger + ?Sized> Books<'s, L> {
    pub(super) fn new(ledger: Arc<L>, tenant: &Tenant, turn: Arc<Turn<Head>>, desk: &'s Desk) -> Self {
        Self { ledger: TenantLedger::new(ledger, tenant.clone()), turn, desk }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        self.ledger.tenant()
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.desk.clock.now()
    }

    async fn read(&self, key: LedgerKey) -> Result<Seen<Option<Bytes>>> {
        let found = self.ledger.get(&key).await?;
        Ok(match found {
            Some(LedgerRecord { revision, value, .. }) => Seen { key, revision: Some(revision), value: Some(value) },
            None => Seen { key, revision: None, value: None },
        })
    }

    /// An upload, wherever it stands.
    pub(super) async fn ingest(&self, id: IngestId) -> Result<Option<Seen<Ingest>>> {
        // It may move from one shelf to the other between two looks, and back.
        for shelf in [OPEN, REST, OPEN, REST] {
            let found = self.read(at(shelf, &id.to_string())?).await?;
            if let Seen { key, revision, value: Some(value) } = found {
                let value = Ingest::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                return Ok(Some(Seen { key, revision, value }));
            }
        }
        Ok(None)
    }

    /// An upload that must be there.
    pub(super) async fn known(&self, id: IngestId) -> Result<Seen<Ingest>> {
        self.ingest(id).await?.ok_or(StoreError::NotFound)
    }

    /// What is known of some bytes.
    pub(super) async fn entry(&self, digest: &Sha256) -> Result<Seen<Option<blob::Entry>>> {
        let Seen { key, revision, value } = self.read(at("blob", &digest.to_string())?).await?;
        let value = value.map(|value| blob::Entry::from_bytes(&value)).transpose();
        let value = value.map_err(|error| unreadable(&key, error))?;
        Ok(Seen { key, revision, value })
    }

    /// What a component accepted.
    pub(super) async fn accepted(&self, component: &Id) -> Result<Seen<Accepted>> {
        let found = self.read(at("accepted", &digest_of(component.as_str()))?).await?;
        let Seen { key, revision, value } = found;
        let value = match value {
            Some(value) => Accepted::from_bytes(&value).map_err(|error| unreadable(&key, error))?,
            None => Accepted::new(component.clone()),
        };
        Ok(Seen { key, revision, value })
    }

    /// The upload that a key of a sender stands for.
    pub(super) async fn pointer(&self, of: &IdempotencyKey) -> Result<Seen<Option<IngestId>>> {
        let Seen { key, revision, value } = self.read(at("ingest/key", &digest_of(of.as_str()))?).await?;
        let id = |value: Bytes| std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        let value = match value {
            Some(value) => Some(id(value).ok_or_else(|| unreadable(&key, "it names no upload"))?),
            None => None,
        };
        Ok(Seen { key, revision, value })
    }

    /// One page of the uploads that are to be gone on with.
    pub(super) async fn unfinished(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<IngestId>> {
        let page = self.ledger.scan(&LedgerKey::new(OPEN)?, limit, after).await?;
        let id = |record: &LedgerRecord| record.key.as_str().rsplit('/').next().and_then(|id| id.parse().ok());
        Ok(Page { items: page.items.iter().filter_map(id).collect(), next: page.next })
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

    /// The end of the chain.
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
        loop {
            match ingest::step(&seen.value, input, self.now()) {
                Ok(Step::Unchanged) => return Ok(Ok(Stepped::Unchanged)),
                Ok(Step::Do(effect)) => return Ok(Ok(Stepped::Do(effect))),
                Err(refusal) => return Ok(Err(refusal)),
                Ok(Step::To(to)) => {
                    let mut entries = Entries::default();
                    entries.ingest(seen, to)?;
                    let written = self.write(entries).await?;
                    *seen = self.known(seen.value.id).await?;
                    if written {
                        return Ok(Ok(Stepped::To));
                    }
                }
            }
        }
    }

    /// Writes all of it together with its audit records, or nothing: `false` where a record was not as it was seen.
    pub(super) async fn write(&self, entries: Entries) -> Result<bool> {
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
                Ok(made) => {
                    turn.set(Some((page.head, made.into_iter().next())));
                    drop(turn);
                    self.tell(&page.records);
                    return Ok(true);
                }
                Err(CommitError { error: StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }, index }) => {
                    // The chain grew, or one of the others is not as it was seen.
                    if index.is_some_and(|index| index > entries.records.len()) {
                        return Ok(false);
                    }
                    if index.is_none() {
                        let still = self.still(&entries.changes).await;
                        if !still.map_err(|error| honest(error, unknown.is_some()))? {
                            return Ok(false);
                        }
                    }
                }
                Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {
                    let Some(first) = page.records.first() else { return Err(error) };
                    let place = self.read(record_key(first.index)?).await;
                    let place = place.map_err(|lost| StoreError::Indeterminate { source: Some(Box::new(lost)) })?;
                    if place.value.is_some_and(|value| Sha256::of(&value) == first.digest()) {
                        drop(turn);
                        self.tell(&page.records);
                        return Ok(true);
                    }
                    // It may be applied yet. The next try cannot be applied as well: both make the same records.
                    unknown = Some(error);
                }
                Err(CommitError { error, .. }) => return Err(honest(error, unknown.is_some())),
            }
        }
        Err(unknown.unwrap_or(StoreError::Throttled { retry_after: None }))
    }

    /// Whether the records are as they were seen.
    async fn still(&self, changes: &[Change]) -> Result<bool> {
        for change in changes {
            if self.ledger.get(&change.key).await?.map(|record| record.revision) != change.expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The changes with those of the chain before them.
    fn page(&self, entries: &Entries, head: ChainHead, revision: Option<Revision>) -> Result<ChainPage> {
        let mut page = ChainPage { changes: Vec::new(), records: Vec::new(), head };
        let mut lines = Vec::with_capacity(entries.records.len());
        for draft in &entries.records {
            let mut aside = Aside::by(Actor::service(self.desk.actor.clone()));
            // A reference is written on the condition that the version before it is the newest.
            aside.before = draft
                .component_version
                .filter(|_| draft.action == Action::Attached)
                .and_then(|version| VersionId::new(version.get().saturating_sub(1)));
            let added = page.head.append(draft.clone(), aside);
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
        if let Some(sink) = &self.desk.sink {
            records.iter().for_each(|record| sink.recorded(record));
        }
    }
}

/// An error of a write, of which an earlier try may have been applied, or may be yet.
fn honest(error: StoreError, unknown: bool) -> StoreError {
    if unknown && error.applied() == Applied::No {
        return StoreError::Indeterminate { source: Some(Box::new(error)) };
    }
    error
}

/// How often a write is tried against a chain that grows.
const TRIES: usize = 64;

/// The place of a record of the chain; keys are in the order of the places.
fn record_key(index: u64) -> Result<LedgerKey> {
    at("audit", &format!("{index:016x}"))
}

struct ChainPage {
    changes: Vec<Change>,
    records: Vec<AuditRecord>,
    head: ChainHead,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    To,
    Do(ingest::Effect),
    Unchanged,
}
