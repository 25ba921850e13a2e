//! The audit chain of a tenant, and the queue of writes to it: writes that wait at the same time share one commit.
//!
//! A write waits for the commit in progress and for its own, and never for further writes to come. Each keeps its own
//! audit records, in the order of arrival, and each is applied or refused by itself: a write whose records have changed
//! since they were read is left out, and the others are tried again.

use super::async_mutex::AsyncMutex;
use super::entries::{Entries, Kept, at};
use super::ledger_session::{Head, LedgerSession};
use crate::audit::{AuditRecord, ChainHead};
use crate::store::{Applied, Change, CommitError, Ledger, LedgerKey, Result, Revision, Sha256, StoreError};
use crate::support::with_causes;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of tries of a write against a growing chain.
const TRIES: u32 = 64;

/// Maximum size of the writes of one commit in bytes, except the first of them.
const MAX_BYTES: usize = 1 << 20;

/// The result of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Written: the revisions, in the order of the changes.
    As(Vec<Revision>),
    /// Written, but the answer was lost.
    CommittedReplyLost,
    /// A record had changed since it was read.
    Not,
}

/// The end of a tenant's chain, and the waiting writes.
#[derive(Default)]
pub(super) struct TenantChain {
    head: AsyncMutex<Head>,
    waiting: Mutex<VecDeque<Arc<Waiting>>>,
}

/// A write in the queue.
struct Waiting {
    entries: Entries,
    progress: Mutex<Progress>,
}

struct Progress {
    state: State,
    /// Whether an earlier commit of this write may have been applied, or may still be.
    may_be_applied: bool,
}

enum State {
    /// In the queue, in no commit.
    Queued,
    /// In a commit in progress: the index and digest of its first audit record.
    Submitted(Option<(u64, Sha256)>),
    Answered(Result<Written>),
    /// No caller waits for the answer any more.
    Abandoned,
}

impl Waiting {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while the lock is held.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_answered(&self) -> bool {
        matches!(self.progress().state, State::Answered(_))
    }

    fn is_queued(&self) -> bool {
        matches!(self.progress().state, State::Queued)
    }

    fn may_be_applied(&self) -> bool {
        self.progress().may_be_applied
    }

    /// Sets the state, unless the write is abandoned.
    fn set(&self, state: State) {
        let mut progress = self.progress();
        if !matches!(progress.state, State::Abandoned) {
            progress.state = state;
        }
    }

    fn answer(&self, answer: Result<Written>) {
        let mut progress = self.progress();
        let answer = answer.map_err(|error| honest(error, progress.may_be_applied));
        if !matches!(progress.state, State::Abandoned) {
            progress.state = State::Answered(answer);
        }
    }

    fn queue_again(&self, may_be_applied: bool) {
        let mut progress = self.progress();
        progress.may_be_applied |= may_be_applied;
        if !matches!(progress.state, State::Abandoned) {
            progress.state = State::Queued;
        }
    }

    fn take_answer(&self) -> Option<Result<Written>> {
        let mut progress = self.progress();
        match std::mem::replace(&mut progress.state, State::Abandoned) {
            State::Answered(answer) => Some(answer),
            other => {
                progress.state = other;
                None
            }
        }
    }

    fn change_count(&self) -> usize {
        self.entries.records.len().saturating_add(self.entries.changes.len())
    }
}

/// Abandons a queued write when its caller is dropped.
struct Withdrawal {
    own: Arc<Waiting>,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        let mut progress = self.own.progress();
        if matches!(progress.state, State::Queued) {
            progress.state = State::Abandoned;
        }
    }
}

impl TenantChain {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, entries: Entries) -> Withdrawal {
        let progress = Mutex::new(Progress { state: State::Queued, may_be_applied: false });
        let own = Arc::new(Waiting { entries, progress });
        self.waiting().push_back(Arc::clone(&own));
        Withdrawal { own }
    }

    /// Removes answered and abandoned writes.
    fn clean(&self) {
        self.waiting().retain(|one| !matches!(one.progress().state, State::Answered(_) | State::Abandoned));
    }

    /// Returns the writes of the next commit in the order of arrival: as many as fit into one commit, no two of which
    /// change the same record.
    fn group(&self, max_changes: usize) -> Vec<Arc<Waiting>> {
        let (mut group, mut keys) = (Vec::new(), HashSet::new());
        let (mut changes, mut bytes) = (1_usize, 0_usize);
        let waiting: Vec<Arc<Waiting>> = self.waiting().iter().filter(|one| one.is_queued()).cloned().collect();
        for one in &waiting {
            let size =
                one.entries.changes.iter().filter_map(|change| change.value.as_ref()).map(bytes::Bytes::len).sum();
            (changes, bytes) = (changes.saturating_add(one.change_count()), bytes.saturating_add(size));
            if !group.is_empty() && (changes > max_changes || bytes > MAX_BYTES) {
                break;
            }
            // Of two writes to one record, only one can be up to date: the other is refused by a later commit.
            if one.entries.changes.iter().any(|change| keys.contains(&change.key)) {
                break;
            }
            keys.extend(one.entries.changes.iter().map(|change| &change.key));
            group.push(Arc::clone(one));
        }
        group
    }
}

/// The changes of a commit, with those of the chain first.
struct ChainPage {
    changes: Vec<Change>,
    records: Vec<AuditRecord>,
    head: ChainHead,
}

/// The outcome of a commit of some writes.
enum Round {
    /// Every write is answered.
    Ended,
    /// Another process has written to the chain.
    ChainGrew,
}

impl<L: Ledger + ?Sized> LedgerSession<'_, L> {
    /// Writes the entries with their audit records, or nothing where a record had changed since it was read.
    pub(super) async fn write(&self, mut entries: Entries) -> Result<Written> {
        for (id, kept) in std::mem::take(&mut entries.kept) {
            let at = match kept {
                Kept::Withdrawn { until } => until,
                Kept::Aborted => self.later(self.context.retention.aborted),
                Kept::Ended => self.later(self.context.retention.ended),
            };
            // A retention of zero makes the removal due at the moment of the step itself.
            let seen = self.read(super::ledger_session::due_key(at, id)?).await?;
            entries.record(&seen, kept.as_str().into());
        }
        let withdrawal = self.chain.enqueue(entries);
        let own = &withdrawal.own;
        let mut attempt = 0;
        while attempt < TRIES {
            let Some(mut head) = self.chain.head.take_unless(|| own.is_answered()).await else { break };
            self.ask_after(own).await;
            let round = match own.is_answered() {
                true => Round::Ended,
                false => self.commit_group(&mut head).await,
            };
            self.chain.clean();
            drop(head);
            if own.is_answered() {
                break;
            }
            if matches!(round, Round::ChainGrew) {
                self.context.pause(attempt).await;
                attempt += 1;
            }
        }
        let unknown = own.may_be_applied();
        let tired = || if unknown { StoreError::indeterminate(None) } else { StoreError::throttled(None) };
        own.take_answer().unwrap_or_else(|| Err(tired()))
    }

    /// Finds out the fate of a write that is in the commit of a dropped call.
    async fn ask_after(&self, own: &Waiting) {
        let State::Submitted(first) = own.progress().state else { return };
        let Some((index, digest)) = first else { return own.answer(Err(StoreError::indeterminate(None))) };
        match self.is_recorded(index, digest).await {
            Ok(true) => own.answer(Ok(Written::CommittedReplyLost)),
            // The commit may still be applied. The next one cannot be applied as well: both create the same records.
            Ok(false) => own.queue_again(true),
            Err(lost) => own.answer(Err(StoreError::indeterminate(Some(Box::new(lost))))),
        }
    }

    async fn is_recorded(&self, index: u64, digest: Sha256) -> Result<bool> {
        let place = self.read(record_key(index)?).await?;
        Ok(place.value.is_some_and(|value| Sha256::of(&value) == digest))
    }

    /// Commits the waiting writes, as many as fit into one commit, and answers each.
    async fn commit_group(&self, head: &mut super::async_mutex::Held<'_, Head>) -> Round {
        let mut group = self.chain.group(self.max_changes());
        while !group.is_empty() {
            let known = match head.get().cloned().flatten() {
                Some(known) => Ok(known),
                None => self.head().await,
            };
            // Until this try is known to have been applied, the end of the chain is unknown.
            head.set(None);
            let page = known.and_then(|(chain, revision)| self.page(&group, chain, revision));
            let mut page = match page {
                Ok(page) => page,
                Err(error) => return self.fail_all(&group, error),
            };
            let mut next = 0;
            for one in &group {
                let first = page.records.get(next).filter(|_| !one.entries.records.is_empty());
                one.set(State::Submitted(first.map(|first| (first.index, first.digest()))));
                next = next.saturating_add(one.entries.records.len());
            }
            match self.ledger().apply(std::mem::take(&mut page.changes)).await {
                Ok(mut made) => {
                    let mut ours = made.split_off(made.len().min(page.records.len().saturating_add(1))).into_iter();
                    head.set(Some((page.head, made.into_iter().next())));
                    self.tell(&page.records);
                    for one in &group {
                        let own = ours.by_ref().take(one.entries.changes.len()).collect();
                        one.answer(Ok(Written::As(own)));
                    }
                    return Round::Ended;
                }
                Err(CommitError { error: StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }, index }) => {
                    group.iter().for_each(|one| one.queue_again(false));
                    match self.not_as_seen(&group, index, page.records.len()).await {
                        Ok(refused) if refused.is_empty() => return Round::ChainGrew,
                        Ok(refused) => {
                            for at in refused.into_iter().rev() {
                                group.remove(at).answer(Ok(Written::Not));
                            }
                        }
                        Err(error) => return self.fail_all(&group, error),
                    }
                }
                Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {
                    let Some(first) = page.records.first() else { return self.fail_all(&group, error) };
                    match self.is_recorded(first.index, first.digest()).await {
                        Ok(true) => {
                            self.tell(&page.records);
                            group.iter().for_each(|one| one.answer(Ok(Written::CommittedReplyLost)));
                            return Round::Ended;
                        }
                        // The commit may still be applied. The next one cannot be applied as well: both create the same
                        // records.
                        Ok(false) => {
                            group.iter().for_each(|one| one.queue_again(true));
                            return Round::ChainGrew;
                        }
                        Err(lost) => {
                            return self.fail_all(&group, StoreError::indeterminate(Some(Box::new(lost))));
                        }
                    }
                }
                Err(CommitError { error, index }) => {
                    group.iter().for_each(|one| one.queue_again(false));
                    // A fault of one write does not fail the others.
                    match index.and_then(|index| owner(&group, index, page.records.len())) {
                        Some(at) => group.remove(at).answer(Err(error)),
                        None => return self.fail_all(&group, error),
                    }
                }
            }
        }
        Round::Ended
    }

    /// Answers all writes of a commit with an error.
    fn fail_all(&self, group: &[Arc<Waiting>], error: StoreError) -> Round {
        for one in group.iter().skip(1) {
            one.answer(Err(like(&error)));
        }
        if let Some(first) = group.first() {
            first.answer(Err(error));
        }
        Round::Ended
    }

    /// Returns the writes whose records have changed since they were read; none where the chain itself has changed.
    async fn not_as_seen(&self, group: &[Arc<Waiting>], index: Option<usize>, records: usize) -> Result<Vec<usize>> {
        if let Some(index) = index {
            return Ok(owner(group, index, records).into_iter().collect());
        }
        let mut refused = Vec::new();
        for (at, one) in group.iter().enumerate() {
            for change in &one.entries.changes {
                if self.ledger().get(&change.key).await?.map(|record| record.revision) != change.expected {
                    refused.push(at);
                    break;
                }
            }
        }
        Ok(refused)
    }

    /// Returns the changes, with those of the chain first.
    fn page(&self, group: &[Arc<Waiting>], head: ChainHead, revision: Option<Revision>) -> Result<ChainPage> {
        let mut page = ChainPage { changes: Vec::new(), records: Vec::new(), head };
        let mut lines = Vec::new();
        for noted in group.iter().flat_map(|one| &one.entries.records) {
            let added = page.head.append(noted.draft(), noted.record_context(self.context.actor.clone()));
            lines.push(Change::create(record_key(added.record.index)?, added.line));
            page.records.push(added.record);
            page.head = added.head;
        }
        let head = page.head.checkpoint().to_bytes();
        page.changes.push(Change { key: LedgerKey::new("audit-head")?, expected: revision, value: Some(head.into()) });
        page.changes.extend(lines);
        page.changes.extend(group.iter().flat_map(|one| &one.entries.changes).cloned());
        Ok(page)
    }

    fn tell(&self, records: &[AuditRecord]) {
        if let Some(sink) = &self.context.sink {
            records.iter().for_each(|record| sink.recorded(record));
        }
    }
}

/// Returns the write that a change of a commit belongs to. The commit begins with the end of the chain and `records`
/// records.
fn owner(group: &[Arc<Waiting>], index: usize, records: usize) -> Option<usize> {
    let mut left = index.checked_sub(records.saturating_add(1))?;
    for (at, one) in group.iter().enumerate() {
        match left.checked_sub(one.entries.changes.len()) {
            Some(rest) => left = rest,
            None => return Some(at),
        }
    }
    None
}

/// Returns the error of a write, as indeterminate where an earlier try may have been applied, or may still be.
fn honest(error: StoreError, unknown: bool) -> StoreError {
    if unknown && error.applied() == Applied::No {
        return StoreError::indeterminate(Some(Box::new(error)));
    }
    error
}

/// Returns a copy of an error for each write of a commit.
fn like(error: &StoreError) -> StoreError {
    let said = || with_causes(error).into();
    match error {
        StoreError::Throttled { retry_after, .. } => StoreError::throttled(*retry_after),
        StoreError::Unavailable { retry_after, .. } => StoreError::unavailable(*retry_after, Some(said())),
        StoreError::Denied { .. } => StoreError::unavailable(None, Some(said())),
        error if error.applied() == Applied::Unknown => StoreError::indeterminate(Some(said())),
        _ => StoreError::unavailable(None, Some(said())),
    }
}

/// Returns the key of a record of the chain; keys sort by index.
pub(super) fn record_key(index: u64) -> Result<LedgerKey> {
    at("audit", &format!("{index:016x}"))
}
