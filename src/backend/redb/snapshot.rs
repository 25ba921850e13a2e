//! The state of the file after a commit, shared by all reads before the next commit.
//!
//! Beginning a transaction and opening a table takes longer than reading a row. A snapshot keeps replaced pages of the
//! file from being reused, so the writer drops it with each commit.

use super::failed;
use super::tables::{CURRENT, HEADS, INDEX, OLDER, RECORDS, TIMES, VERSIONS};
use crate::store::Result;
use ::redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, TableDefinition};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

type Bin = &'static [u8];
pub(super) type Table<V> = ReadOnlyTable<Bin, V>;

/// A read transaction, with each table opened once.
pub(super) struct Snapshot {
    current: OnceLock<Table<Bin>>,
    heads: OnceLock<Table<Bin>>,
    older: OnceLock<Table<Bin>>,
    records: OnceLock<Table<Bin>>,
    index: OnceLock<Table<()>>,
    times: OnceLock<Table<()>>,
    versions: OnceLock<Table<()>>,
    transaction: ReadTransaction,
}

impl Snapshot {
    fn begin(db: &Database) -> Result<Self> {
        Ok(Self {
            current: OnceLock::new(),
            heads: OnceLock::new(),
            older: OnceLock::new(),
            records: OnceLock::new(),
            index: OnceLock::new(),
            times: OnceLock::new(),
            versions: OnceLock::new(),
            transaction: db.begin_read().map_err(failed)?,
        })
    }

    fn table<'s, V: ::redb::Value + 'static>(
        &'s self,
        opened: &'s OnceLock<Table<V>>,
        definition: TableDefinition<'_, Bin, V>,
    ) -> Result<&'s Table<V>> {
        match opened.get() {
            Some(table) => Ok(table),
            None => {
                let table = self.transaction.open_table(definition).map_err(failed)?;
                Ok(opened.get_or_init(|| table))
            }
        }
    }

    pub(super) fn current(&self) -> Result<&Table<Bin>> {
        self.table(&self.current, CURRENT)
    }

    pub(super) fn heads(&self) -> Result<&Table<Bin>> {
        self.table(&self.heads, HEADS)
    }

    pub(super) fn older(&self) -> Result<&Table<Bin>> {
        self.table(&self.older, OLDER)
    }

    pub(super) fn records(&self) -> Result<&Table<Bin>> {
        self.table(&self.records, RECORDS)
    }

    pub(super) fn index(&self) -> Result<&Table<()>> {
        self.table(&self.index, INDEX)
    }

    pub(super) fn times(&self) -> Result<&Table<()>> {
        self.table(&self.times, TIMES)
    }

    pub(super) fn versions(&self) -> Result<&Table<()>> {
        self.table(&self.versions, VERSIONS)
    }
}

/// The shared snapshot, and the number of commits before it.
#[derive(Default)]
struct Shared {
    commits: u64,
    snapshot: Option<Arc<Snapshot>>,
}

/// A database, with the snapshot shared by its reads.
pub(super) struct SharedReads {
    // Dropped before the database.
    shared: RwLock<Shared>,
    db: Database,
}

impl SharedReads {
    pub(super) fn new(db: Database) -> Self {
        Self { shared: RwLock::default(), db }
    }

    pub(super) fn db(&self) -> &Database {
        &self.db
    }

    /// Returns the state after the last acknowledged commit, or after a later one.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let before = {
            let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(snapshot) = &shared.snapshot {
                return Ok(Arc::clone(snapshot));
            }
            shared.commits
        };
        let snapshot = Arc::new(Snapshot::begin(&self.db)?);
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        // A commit may have come in between.
        if shared.commits == before {
            shared.snapshot = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    /// Makes reads take a new snapshot after a write. Called before the commit is acknowledged.
    pub(super) fn renew(&self) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.commits = shared.commits.wrapping_add(1);
        let before = shared.snapshot.take();
        drop(shared);
        // The old snapshot returns its pages here, outside the lock.
        drop(before);
    }
}
