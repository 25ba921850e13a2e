//! A session on the ledger of a tenant: uploads, blobs, accepted sequence numbers, and the audit chain. Related records
//! are written in one commit.

use super::AuditSink;
use super::commit_queue::TenantChain;
pub(super) use super::commit_queue::Written;
#[cfg(feature = "server")]
use super::commit_queue::record_key;
use super::entries::{DUE, Entries, OPEN, REST, Seen, StepContext, at, digest_of, older_copy, unreadable};
use super::lifecycle::PAGE;
use crate::audit::{ChainHead, Checkpoint};
use crate::manifest::{Acceptance, ActorId, IdempotencyKey, IngestId};
use crate::primitive::{Id, Text};
use crate::store::{
    Applied, BlobKey, BoxFuture, Change, Clock, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result,
    Revision, Sha256, StoreError, Tenant, TenantLedger, random_bytes,
};
use crate::support::yield_now;
use crate::update::ingest::{self, Ingest, Intent, Refusal, Step};
use crate::update::{Accepted, VersionClaim, blob};
use bytes::Bytes;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// The end of a tenant's chain as known to this process; `None` where it must be looked up.
pub(super) type Head = Option<(ChainHead, Option<Revision>)>;

/// The parts of the service that a session needs.
#[derive(Clone)]
pub(super) struct ServiceContext {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) actor: ActorId,
    pub(super) sink: Option<Arc<dyn AuditSink>>,
    pub(super) retention: Retention,
    pub(super) sleep: Option<Arc<Sleep>>,
}

/// A timer of the caller's runtime.
pub(super) type Sleep = dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync;

/// The maximum pause after the first try, which doubles with each further one, and the maximum of all pauses.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl ServiceContext {
    /// Waits before a contended write is retried: a random part of a time that grows with the tries, so that the
    /// waiting calls do not collide again. Without a timer, it yields once.
    pub(super) async fn pause(&self, attempt: u32) {
        let Some(sleep) = &self.sleep else { return yield_now().await };
        let longest = FIRST_PAUSE.saturating_mul(1 << attempt.min(16)).min(LONGEST_PAUSE);
        // Without random bytes, take the middle.
        let part = random_bytes::<1>().map_or(128, |[byte]| u32::from(byte));
        sleep(longest.saturating_mul(part) / 256).await;
    }
}

/// Retention periods of finished data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// The reference of a withdrawn update.
    pub(super) withdrawn: Duration,
    /// The record of an upload that failed before its bytes arrived, and its idempotency key.
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

/// The ledger of one tenant.
pub(super) struct LedgerSession<'s, L: ?Sized> {
    ledger: TenantLedger<L>,
    pub(super) chain: Arc<TenantChain>,
    pub(super) context: &'s ServiceContext,
}

impl<'s, L: Ledger + ?Sized> LedgerSession<'s, L> {
    pub(super) fn new(ledger: Arc<L>, tenant: &Tenant, chain: Arc<TenantChain>, context: &'s ServiceContext) -> Self {
        Self { ledger: TenantLedger::new(ledger, tenant.clone()), chain, context }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        self.ledger.tenant()
    }

    pub(super) fn ledger(&self) -> &TenantLedger<L> {
        &self.ledger
    }

    pub(super) fn max_changes(&self) -> usize {
        self.ledger.max_changes()
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.context.clock.now()
    }

    /// Returns the current time plus a duration.
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

    /// Writes a record without an audit record; `false` where it had changed since it was read.
    pub(super) async fn write_plain(&self, seen: &Seen<Option<Bytes>>, value: Option<Vec<u8>>) -> Result<bool> {
        let value = value.map(Bytes::from);
        let change = Change { key: seen.key.clone(), expected: seen.revision.clone(), value };
        match self.ledger.apply(vec![change]).await {
            Ok(_) => Ok(true),
            Err(CommitError { error: StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }, .. }) => Ok(false),
            // The next reader of the record sees the outcome.
            Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => Ok(false),
            Err(CommitError { error, .. }) => Err(error),
        }
    }

    /// Returns one page of the records of a folder.
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

    /// Returns an upload in any state.
    pub(super) async fn ingest(&self, id: IngestId) -> Result<Option<Seen<Ingest>>> {
        self.ingest_on([OPEN, REST, OPEN, REST], id).await
    }

    async fn ingest_on(&self, shelves: [&'static str; 4], id: IngestId) -> Result<Option<Seen<Ingest>>> {
        // The upload may move from one folder to the other between two reads, and back.
        for shelf in shelves {
            let found = self.read(at(shelf, &id.to_string())?).await?;
            if let Seen { key, revision, value: Some(value) } = found {
                let value = Ingest::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                return Ok(Some(Seen { key, revision, value }));
            }
        }
        Ok(None)
    }

    /// Returns an upload that most likely is at rest.
    pub(super) async fn ingest_at_rest(&self, id: IngestId) -> Result<Option<Seen<Ingest>>> {
        self.ingest_on([REST, OPEN, REST, OPEN], id).await
    }

    /// Returns an upload that must exist.
    pub(super) async fn known(&self, id: IngestId) -> Result<Seen<Ingest>> {
        self.ingest(id).await?.ok_or(StoreError::not_found())
    }

    /// Returns the entry of the newest copy of some bytes.
    pub(super) async fn newest(&self, digest: &Sha256) -> Result<Seen<Option<blob::Entry>>> {
        self.entry_at(at("blob", &digest.to_string())?).await
    }

    /// Returns the entry of one copy of some bytes, if there is one.
    pub(super) async fn entry(&self, of: &BlobKey) -> Result<Seen<Option<blob::Entry>>> {
        // In this order: a copy is moved aside when there is a newer one, and stays there.
        let newest = self.newest(&of.digest).await?;
        if newest.value.as_ref().is_some_and(|entry| entry.generation == of.generation) {
            return Ok(newest);
        }
        self.entry_at(older_copy(of)?).await
    }

    /// Returns the entries of all copies of some bytes, newest first.
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

    /// Returns the accepted sequence numbers of a component.
    pub(super) async fn accepted(&self, component: &Id) -> Result<Seen<Accepted>> {
        let found = self.read(at("accepted", &digest_of(component.as_str()))?).await?;
        let Seen { key, revision, value } = found;
        let value = match value {
            Some(value) => Accepted::from_bytes(&value).map_err(|error| unreadable(&key, error))?,
            None => Accepted::new(component.clone()),
        };
        Ok(Seen { key, revision, value })
    }

    /// Returns the claim of a component's version.
    pub(super) async fn claim(
        &self,
        component: &Id,
        provider: Option<&Text>,
        version: &Text,
    ) -> Result<Seen<Option<VersionClaim>>> {
        // Three arbitrary texts, each preceded by its length, which makes them unambiguous.
        let parts = [component.as_str(), provider.map_or("", Text::as_str), version.as_str()];
        let name: String = parts.iter().map(|part| format!("{}:{part};", part.len())).collect();
        let Seen { key, revision, value } = self.read(at("version", &digest_of(&name))?).await?;
        let value = value.map(|value| VersionClaim::from_bytes(&value)).transpose();
        let value = value.map_err(|error| unreadable(&key, error))?;
        Ok(Seen { key, revision, value })
    }

    /// Returns the acceptance of a failed upload, passed on to one with the same number.
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

    /// Returns the upload that an idempotency key stands for.
    pub(super) async fn pointer(&self, of: &IdempotencyKey) -> Result<Seen<Option<IngestId>>> {
        self.pointer_at(&Sha256::of(of.as_str().as_bytes())).await
    }

    /// Returns the upload that an idempotency key with this digest stands for.
    pub(super) async fn pointer_at(&self, of: &Sha256) -> Result<Seen<Option<IngestId>>> {
        let Seen { key, revision, value } = self.read(at("ingest/key", &of.to_string())?).await?;
        let id = |value: Bytes| std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        let value = match value {
            Some(value) => Some(id(value).ok_or_else(|| unreadable(&key, "it names no upload"))?),
            None => None,
        };
        Ok(Seen { key, revision, value })
    }

    /// Returns one page of the ids of uploads with outstanding work.
    pub(super) async fn unfinished(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<IngestId>> {
        let Page { items, next } = self.unfinished_records(limit, after).await?;
        Ok(Page { items: items.into_iter().map(|(id, _)| id).collect(), next })
    }

    /// Returns one page of the uploads with outstanding work.
    pub(super) async fn unfinished_records(
        &self,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(IngestId, Result<Seen<Ingest>>)>> {
        self.records_in(OPEN, limit, after).await
    }

    /// Returns one page of the uploads at rest.
    pub(super) async fn resting_records(
        &self,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<(IngestId, Result<Seen<Ingest>>)>> {
        self.records_in(REST, limit, after).await
    }

    /// Returns one page of the uploads of a folder.
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

    /// Returns one page of the due removals: the upload of each, and the entry that schedules it. A page that ends with
    /// an entry that is not due has no next page.
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

    /// Returns one page of the entries of bytes.
    pub(super) async fn entries(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<blob::Entry>> {
        let Page { items, next } = self.ledger.scan(&LedgerKey::new("blob")?, limit, after).await?;
        let entry = |record: LedgerRecord| {
            blob::Entry::from_bytes(&record.value).map_err(|error| unreadable(&record.key, error))
        };
        Ok(Page { items: items.into_iter().map(entry).collect::<Result<_>>()?, next })
    }

    /// Returns one page of the records of the chain, as text.
    pub(super) async fn chain(&self, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<String>> {
        let Page { items, next } = self.ledger.scan(&LedgerKey::new("audit")?, limit, after).await?;
        let line = |record: LedgerRecord| {
            String::from_utf8(record.value.to_vec()).map_err(|error| unreadable(&record.key, error))
        };
        Ok(Page { items: items.into_iter().map(line).collect::<Result<_>>()?, next })
    }

    /// Returns one record of the chain, as text.
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

    /// Steps an upload from its current state, until a step is written or none is needed.
    pub(super) async fn step(
        &self,
        seen: &mut Seen<Ingest>,
        input: &ingest::Input,
    ) -> Result<Result<Stepped, Refusal>> {
        self.step_with_context(seen, input, StepContext::default()).await
    }

    /// Steps an upload as [`step`](Self::step) does, with the driver's details of the step.
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

    /// Writes a step of an upload, and reads the upload again where it may have changed. `false` where a record had
    /// changed since it was read.
    pub(super) async fn write_step(&self, seen: &mut Seen<Ingest>, entries: Entries) -> Result<bool> {
        Ok(self.write_step_made(seen, entries).await?.is_some())
    }

    /// Writes a step as [`write_step`](Self::write_step) does. Returns the revisions in the order of the changes; none
    /// where the answer was lost.
    pub(super) async fn write_step_made(
        &self,
        seen: &mut Seen<Ingest>,
        mut entries: Entries,
    ) -> Result<Option<Vec<Revision>>> {
        let next = entries.next.take();
        let key = next.as_ref().and_then(|(at, _)| Some(entries.changes.get(*at)?.key.clone()));
        let is_new = seen.revision.is_none();
        let made = match self.write(entries).await? {
            Written::As(made) => made,
            Written::CommittedReplyLost => Vec::new(),
            Written::Not if is_new => return Ok(None),
            Written::Not => {
                *seen = self.known(seen.value.id).await?;
                return Ok(None);
            }
        };
        match next.zip(key).and_then(|((at, next), key)| Some((made.get(at)?.clone(), next, key))) {
            // The written value is current until another process writes, which the revision reveals.
            Some((revision, value, key)) => *seen = Seen { key, revision: Some(revision), value },
            None => *seen = self.known(seen.value.id).await?,
        }
        Ok(Some(made))
    }
}

/// Returns the key of a removal due at a time; keys sort by time.
pub(super) fn due_key(at: OffsetDateTime, id: IngestId) -> Result<LedgerKey> {
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    super::entries::at(DUE, &format!("{seconds:016x}-{id}"))
}

/// The outcome of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    To,
    Do(ingest::Effect),
    Unchanged,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SystemClock;
    use std::sync::{Mutex, PoisonError};

    #[tokio::test]
    async fn pauses_are_random_parts_of_a_time_that_grows() {
        let slept = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&slept);
        let sleep = move |time: Duration| -> BoxFuture<'static, ()> {
            told.lock().unwrap_or_else(PoisonError::into_inner).push(time);
            Box::pin(async {})
        };
        let context = ServiceContext {
            clock: Arc::new(SystemClock),
            actor: "tester".parse().unwrap(),
            sink: None,
            retention: Retention::default(),
            sleep: Some(Arc::new(sleep)),
        };
        for (attempt, longest) in [(0, FIRST_PAUSE), (3, FIRST_PAUSE * 8), (9, LONGEST_PAUSE), (63, LONGEST_PAUSE)] {
            for _ in 0..400 {
                context.pause(attempt).await;
            }
            let mut pauses = std::mem::take(&mut *slept.lock().unwrap_or_else(PoisonError::into_inner));
            assert!(pauses.iter().all(|pause| *pause < longest), "{attempt}");
            pauses.sort_unstable();
            let (shortest, middle, last) = (pauses[0], pauses[200], pauses[399]);
            // 400 of 256 equal parts: both ends are near, and so is the middle.
            assert!(shortest < longest / 8 && last > longest / 8 * 7, "{attempt}: {shortest:?} to {last:?}");
            assert!(middle > longest / 4 && middle < longest / 4 * 3, "{attempt}: {middle:?}");
            pauses.dedup();
            assert!(pauses.len() > 100, "{attempt}: {}", pauses.len());
        }
    }
}
