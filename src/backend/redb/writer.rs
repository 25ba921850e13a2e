//! The writer thread. It gathers waiting commits into one transaction of the file, so that they share the sync of the
//! disk.

use super::super::checks::{Newest, TimePlace, check, check_change};
use super::super::oneshot::OneshotSender;
use super::file::OpenDatabase;
use super::snapshot::SharedReads;
use super::tables::{
    CHANGES, CURRENT, HEADS, INDEX, OLDER, RECORDS, Row, TIMES, VERSIONS, current_key, encode_entries, in_utc,
    index_value, of_type, older_key, record_key, time_key, version_key,
};
use super::{failed, unavailable};
use crate::search::IndexEntries;
use crate::store::{
    Change, CommitError, Key, Result, Revision, StoreError, Tenant, Version, VersionId, Write, commit_time,
};
use ::redb::{ReadableTable as _, Table, WriteTransaction};
use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use time::OffsetDateTime;

/// Maximum number of commits in one transaction, and size of bodies in bytes after which no more join.
const MOST: usize = 512;
const MOST_BYTES: usize = 16 << 20;

pub(super) struct Writes {
    pub(super) tenant: Tenant,
    pub(super) writes: Vec<Write>,
    pub(super) now: OffsetDateTime,
    pub(super) answer: OneshotSender<Result<Vec<Version>, CommitError>>,
}

pub(super) struct Changes {
    pub(super) tenant: Tenant,
    pub(super) changes: Vec<Change>,
    pub(super) answer: OneshotSender<Result<Vec<Revision>, CommitError>>,
}

/// A request to forget the oldest versions of a resource.
pub(super) struct Prune {
    pub(super) tenant: Tenant,
    pub(super) key: Key,
    pub(super) keep: NonZeroU32,
    pub(super) answer: OneshotSender<Result<u64>>,
}

/// A waiting commit, whose form has been checked.
pub(super) enum Task {
    Writes(Writes),
    Changes(Changes),
    Prune(Prune),
}

impl Task {
    fn bytes(&self) -> usize {
        match self {
            Self::Writes(task) => {
                task.writes.iter().filter_map(|write| write.body.as_ref()).map(|body| body.len()).sum()
            }
            Self::Changes(task) => {
                task.changes.iter().filter_map(|change| change.value.as_ref()).map(|v| v.len()).sum()
            }
            Self::Prune(_) => 0,
        }
    }

    fn refuse(self, error: CommitError) {
        match self {
            Self::Writes(task) => task.answer.give(Err(error)),
            Self::Changes(task) => task.answer.give(Err(error)),
            Self::Prune(task) => task.answer.give(Err(error.error)),
        }
    }
}

/// The outcome of a commit, sent when the transaction is on the disk.
enum Outcome {
    Written(Vec<Version>),
    Changed(Vec<Revision>),
    Pruned(u64),
    Refused(CommitError),
}

/// Writes commits until the store is dropped.
pub(super) fn run(db: &OpenDatabase, max_versions: Option<NonZeroUsize>, tasks: &Receiver<Task>) {
    while let Ok(first) = tasks.recv() {
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < MOST && bytes < MOST_BYTES {
            let Ok(next) = tasks.try_recv() else { break };
            bytes = bytes.saturating_add(next.bytes());
            batch.push(next);
        }
        let mut batch = Some(batch);
        let served = db.with(|shared| serve(shared, max_versions, batch.take().unwrap_or_default()));
        if let (Some(batch), Err(error)) = (batch, served) {
            refuse(batch, error);
        }
    }
}

/// Refuses a batch of which nothing was written.
fn refuse(batch: Vec<Task>, error: StoreError) {
    let error = Arc::new(error);
    batch.into_iter().for_each(|task| task.refuse(unavailable(Arc::clone(&error)).into()));
}

/// # Errors
/// The error of the file, which the tasks are told as well.
fn serve(shared: &SharedReads, max_versions: Option<NonZeroUsize>, batch: Vec<Task>) -> Result<()> {
    let done = shared.db().begin_write().map_err(failed).and_then(|transaction| {
        let outcomes = apply(&transaction, max_versions, &batch)?;
        Ok((transaction, outcomes))
    });
    let (transaction, outcomes) = match done {
        Ok(done) => done,
        Err(error) => {
            // The transaction was dropped, with everything it wrote.
            let error = Arc::new(error);
            batch.into_iter().for_each(|task| task.refuse(unavailable(Arc::clone(&error)).into()));
            return Err(unavailable(error));
        }
    };
    let nothing = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(_)));
    let ended = if nothing { transaction.abort().map_err(failed) } else { transaction.commit().map_err(failed) };
    if !nothing {
        shared.renew();
    }
    match ended {
        Ok(()) => {
            batch.into_iter().zip(outcomes).for_each(|(task, outcome)| answer(task, outcome));
            Ok(())
        }
        Err(error) => {
            let error = Arc::new(error);
            for (task, outcome) in batch.into_iter().zip(outcomes) {
                // A refusal may rest on a write of the same transaction. It is certain only that the refused commit
                // wrote nothing.
                let source = Arc::clone(&error);
                task.refuse(match outcome {
                    Outcome::Refused(_) => unavailable(source).into(),
                    _ => StoreError::indeterminate(Some(source.into())).into(),
                });
            }
            Err(unavailable(error))
        }
    }
}

fn answer(task: Task, outcome: Outcome) {
    match (task, outcome) {
        (Task::Writes(task), Outcome::Written(made)) => task.answer.give(Ok(made)),
        (Task::Changes(task), Outcome::Changed(made)) => task.answer.give(Ok(made)),
        (Task::Prune(task), Outcome::Pruned(count)) => task.answer.give(Ok(count)),
        (task, Outcome::Refused(error)) => task.refuse(error),
        // The outcome belongs to the task: they are made in pairs.
        (task, _) => drop(task),
    }
}

/// Checks each commit against the file with the commits before it, and writes all of it or nothing.
fn apply(
    transaction: &WriteTransaction,
    max_versions: Option<NonZeroUsize>,
    batch: &[Task],
) -> Result<Vec<Outcome>, StoreError> {
    let mut resources = Resources::open(transaction, max_versions)?;
    let mut ledger = Records::open(transaction)?;
    let one = |task: &Task| match task {
        Task::Writes(task) => resources.commit(task),
        Task::Changes(task) => ledger.commit(task),
        Task::Prune(task) => resources.prune(task),
    };
    batch.iter().map(one).collect()
}

type Bin = &'static [u8];

struct Resources<'t> {
    current: Table<'t, Bin, Bin>,
    heads: Table<'t, Bin, Bin>,
    older: Table<'t, Bin, Bin>,
    index: Table<'t, Bin, ()>,
    times: Table<'t, Bin, ()>,
    versions: Table<'t, Bin, ()>,
    max_versions: Option<NonZeroUsize>,
}

impl<'t> Resources<'t> {
    fn open(transaction: &'t WriteTransaction, max_versions: Option<NonZeroUsize>) -> Result<Self> {
        Ok(Self {
            current: transaction.open_table(CURRENT).map_err(failed)?,
            heads: transaction.open_table(HEADS).map_err(failed)?,
            older: transaction.open_table(OLDER).map_err(failed)?,
            index: transaction.open_table(INDEX).map_err(failed)?,
            times: transaction.open_table(TIMES).map_err(failed)?,
            versions: transaction.open_table(VERSIONS).map_err(failed)?,
            max_versions,
        })
    }

    fn commit(&mut self, task: &Writes) -> Result<Outcome> {
        let mut entries = Vec::with_capacity(task.writes.len());
        for (at, write) in task.writes.iter().enumerate() {
            let row = self.current.get(current_key(&task.tenant, &write.key).as_slice()).map_err(failed)?;
            let newest = row.map(|row| {
                Row::decode(row.value()).map(|row| Newest { version: row.version, living: row.body.is_some() })
            });
            let checked = check(write, newest.transpose()?);
            match checked.and_then(|()| encode_entries(&write.index)) {
                Ok(encoded) => entries.push(encoded),
                Err(error) => return Ok(Outcome::Refused(CommitError::at(at, error))),
            }
        }
        let made = task.writes.iter().zip(&entries).map(|(write, entries)| self.write(task, write, entries));
        made.collect::<Result<_>>().map(Outcome::Written)
    }

    fn write(&mut self, task: &Writes, write: &Write, entries: &[u8]) -> Result<Version> {
        let row = current_key(&task.tenant, &write.key);
        let before = self.current.get(row.as_slice()).map_err(failed)?.map(|before| before.value().to_vec());
        let before = before.as_deref().map(Row::decode).transpose()?;
        let now = in_utc(task.now);
        let mut version = Version {
            key: write.key.clone(),
            version: VersionId::FIRST,
            last_updated: now,
            write_id: write.write_id,
            body: write.body.clone(),
        };
        let mut indexed = IndexEntries::new();
        if let Some(before) = before {
            version.version = before.version.next();
            version.last_updated = commit_time(now, Some(before.last_updated));
            indexed = before.entries()?;
            let older = older_key(&row, before.version.get());
            self.older.insert(older.as_slice(), before.older().encode().as_slice()).map_err(failed)?;
            self.forget(&task.tenant, &write.key, version.version)?;
        }
        let none = IndexEntries::new();
        let (wanted, entries) =
            if write.body.is_some() { (&write.index, entries) } else { (&none, Default::default()) };
        self.reindex(&task.tenant, &write.key, &indexed, wanted)?;
        let new = Row::new(version.version, version.last_updated, write.write_id, entries, write.body.as_deref());
        self.current.insert(row.as_slice(), new.encode().as_slice()).map_err(failed)?;
        let of_type = of_type(&task.tenant, write.key.resource_type());
        let place = |at| TimePlace::new(at, write.key.id());
        let time = |at| time_key(&of_type, &place(at));
        let made = version_key(&of_type, &place(version.last_updated), version.version);
        self.versions.insert(made.as_slice(), ()).map_err(failed)?;
        if let Some(before) = before.filter(|before| before.body.is_some()) {
            self.times.remove(time(before.last_updated).as_slice()).map_err(failed)?;
        }
        if write.body.is_some() {
            self.times.insert(time(version.last_updated).as_slice(), ()).map_err(failed)?;
        }
        match new.head() {
            Some(head) => drop(self.heads.insert(row.as_slice(), head.encode().as_slice()).map_err(failed)?),
            None => drop(self.heads.remove(row.as_slice()).map_err(failed)?),
        }
        Ok(version)
    }

    fn prune(&mut self, task: &Prune) -> Result<Outcome> {
        let row = current_key(&task.tenant, &task.key);
        let newest = self.current.get(row.as_slice()).map_err(failed)?;
        let newest = newest.map(|row| Row::decode(row.value()).map(|row| row.version)).transpose()?;
        let Some(newest) = newest else { return Ok(Outcome::Refused(StoreError::not_found().into())) };
        let mut count = 0;
        let mut oldest = newest.get().saturating_sub(u64::from(task.keep.get()));
        while self.remove_older(&task.tenant, &task.key, oldest)? {
            (oldest, count) = (oldest - 1, count + 1);
        }
        Ok(Outcome::Pruned(count))
    }

    /// Removes an older version, and returns whether there was one.
    fn remove_older(&mut self, tenant: &Tenant, key: &Key, number: u64) -> Result<bool> {
        let removed = self.older.remove(older_key(&current_key(tenant, key), number).as_slice()).map_err(failed)?;
        let Some(removed) = removed else { return Ok(false) };
        let row = Row::decode(removed.value())?;
        let place = TimePlace::new(row.last_updated, key.id());
        let place = version_key(&of_type(tenant, key.resource_type()), &place, row.version);
        self.versions.remove(place.as_slice()).map_err(failed)?;
        Ok(true)
    }

    /// Removes the versions beyond the number kept.
    fn forget(&mut self, tenant: &Tenant, key: &Key, newest: VersionId) -> Result<()> {
        let kept = self.max_versions.and_then(|max| u64::try_from(max.get()).ok());
        let mut oldest = kept.and_then(|kept| newest.get().checked_sub(kept)).unwrap_or_default();
        while self.remove_older(tenant, key, oldest)? {
            oldest -= 1;
        }
        Ok(())
    }

    fn reindex(&mut self, tenant: &Tenant, key: &Key, before: &IndexEntries, after: &IndexEntries) -> Result<()> {
        if before == after {
            return Ok(());
        }
        let of_type = of_type(tenant, key.resource_type());
        let rows = |entries: &IndexEntries| -> BTreeSet<Vec<u8>> {
            let row = |parameter, value| [&index_value(&of_type, parameter, value), key.id().as_bytes()].concat();
            entries.iter().map(|(parameter, token)| row(parameter, &token.value)).collect()
        };
        let (before, after) = (rows(before), rows(after));
        for row in before.difference(&after) {
            self.index.remove(row.as_slice()).map_err(failed)?;
        }
        for row in after.difference(&before) {
            self.index.insert(row.as_slice(), ()).map_err(failed)?;
        }
        Ok(())
    }
}

struct Records<'t> {
    records: Table<'t, Bin, Bin>,
    changes: Table<'t, &'static str, u64>,
}

impl<'t> Records<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self> {
        Ok(Self {
            records: transaction.open_table(RECORDS).map_err(failed)?,
            changes: transaction.open_table(CHANGES).map_err(failed)?,
        })
    }

    fn commit(&mut self, task: &Changes) -> Result<Outcome> {
        for (at, change) in task.changes.iter().enumerate() {
            let row = record_key(&task.tenant, change.key.as_str());
            let found = self.records.get(row.as_slice()).map_err(failed)?;
            let found = found.map(|found| super::ledger::decode(found.value()).map(|(count, _)| count)).transpose()?;
            if let Err(error) = check_change(change, found) {
                return Ok(Outcome::Refused(CommitError::at(at, error)));
            }
        }
        let tenant = task.tenant.as_str();
        let mut last = self.changes.get(tenant).map_err(failed)?.map(|last| last.value()).unwrap_or_default();
        let mut made = Vec::with_capacity(task.changes.len());
        for change in &task.changes {
            last = last.saturating_add(1);
            let row = record_key(&task.tenant, change.key.as_str());
            match &change.value {
                Some(value) => {
                    let value = [&last.to_le_bytes(), value.as_ref()].concat();
                    self.records.insert(row.as_slice(), value.as_slice()).map_err(failed)?;
                }
                None => drop(self.records.remove(row.as_slice()).map_err(failed)?),
            }
            made.push(Revision::new(last.to_string()));
        }
        if !made.is_empty() {
            self.changes.insert(tenant, last).map_err(failed)?;
        }
        Ok(Outcome::Changed(made))
    }
}
