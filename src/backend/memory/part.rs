//! The resources of one tenant.

use super::super::form::{Newest, check};
use super::index::Index;
use super::{Limits, lock_read, lock_write};
use crate::store::{CommitError, IndexEntries, Key, Result, Search, StoreError, Version, VersionId, Write, WriteId};
use bytes::Bytes;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use time::OffsetDateTime;

/// One version, without what its place already tells.
#[derive(Clone, Debug)]
struct Stored {
    version: VersionId,
    last_updated: OffsetDateTime,
    /// In bytes, so that it needs no alignment.
    write_id: Option<[u8; 16]>,
    body: Option<Bytes>,
}

impl Stored {
    fn to_version(&self, key: &Key) -> Version {
        Version {
            key: key.clone(),
            version: self.version,
            last_updated: self.last_updated,
            write_id: self.write_id.map(|id| WriteId(u128::from_le_bytes(id))),
            body: self.body.clone(),
        }
    }

    fn newest(&self) -> Newest {
        Newest { version: self.version, living: self.body.is_some() }
    }
}

/// One resource.
#[derive(Debug)]
struct Record {
    current: Stored,
    /// Oldest first, without gaps up to the current one.
    older: Vec<Stored>,
    /// Of the current version; empty when it is deleted.
    entries: IndexEntries,
}

impl Record {
    fn version(&self, wanted: VersionId) -> Option<&Stored> {
        if self.current.version == wanted {
            return Some(&self.current);
        }
        let back = self.current.version.get().checked_sub(wanted.get())?;
        let at = self.older.len().checked_sub(usize::try_from(back).ok()?)?;
        self.older.get(at)
    }
}

type Shard = HashMap<Key, Box<Record>>;

/// The resources of a tenant, in shards. Locks are taken in the order of the shards, that of the index last.
#[derive(Debug)]
pub(super) struct Part {
    shards: Box<[RwLock<Shard>]>,
    index: RwLock<Index>,
    hasher: RandomState,
}

/// The shards that a commit locks, with their numbers in ascending order.
type Locked<'a> = Vec<(usize, RwLockWriteGuard<'a, Shard>)>;

impl Part {
    const SHARDS: usize = 32;
    /// The most candidates that one page looks at, so that no search keeps writers waiting for long.
    const SCAN: usize = 10_000;

    pub(super) fn new() -> Self {
        let shards = (0..Self::SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, index: RwLock::default(), hasher: RandomState::new() }
    }

    fn shard_of(&self, key: &Key) -> usize {
        // The remainder is below 32.
        usize::try_from(self.hasher.hash_one(key) % Self::SHARDS as u64).unwrap_or_default()
    }

    fn shard(&self, key: &Key) -> Result<RwLockReadGuard<'_, Shard>> {
        self.shards.get(self.shard_of(key)).map(lock_read).ok_or(StoreError::NotFound)
    }

    pub(super) fn read(&self, key: &Key) -> Result<Version> {
        let shard = self.shard(key)?;
        let current = &shard.get(key).ok_or(StoreError::NotFound)?.current;
        match current.body {
            Some(_) => Ok(current.to_version(key)),
            None => Err(StoreError::Gone { at: current.version }),
        }
    }

    pub(super) fn vread(&self, key: &Key, version: VersionId) -> Result<Version> {
        let shard = self.shard(key)?;
        let stored = shard.get(key).and_then(|record| record.version(version)).ok_or(StoreError::NotFound)?;
        Ok(stored.to_version(key))
    }

    /// Newest first and older than `before`; and whether there are more.
    pub(super) fn history(&self, key: &Key, limit: usize, before: Option<u64>) -> Result<(Vec<Version>, bool)> {
        let shard = self.shard(key)?;
        let record = shard.get(key).ok_or(StoreError::NotFound)?;
        let newest_first = std::iter::once(&record.current).chain(record.older.iter().rev());
        let mut rest = newest_first.skip_while(|v| before.is_some_and(|before| v.version.get() >= before));
        let items = rest.by_ref().take(limit).map(|stored| stored.to_version(key)).collect();
        Ok((items, rest.next().is_some()))
    }

    /// What meets the criteria behind `after`, and the last id looked at if there may be more.
    pub(super) fn search(&self, search: &Search, limit: usize, after: Option<&str>) -> (Vec<Version>, Option<SmolStr>) {
        let shards: Vec<_> = self.shards.iter().map(lock_read).collect();
        let index = lock_read(&self.index);
        let mut items = Vec::new();
        let Some(of_type) = index.of(search.resource_type) else {
            return (items, None);
        };
        let mut last: Option<&SmolStr> = None;
        for (looked_at, id) in of_type.candidates(&search.all_of, after).enumerate() {
            if looked_at >= Self::SCAN || items.len() >= limit {
                return (items, last.cloned());
            }
            last = Some(id);
            // An id of the index was checked when it came in.
            let Ok(key) = Key::new(search.resource_type, id.clone()) else { continue };
            let record = shards.get(self.shard_of(&key)).and_then(|shard| shard.get(&key));
            if let Some(record) = record.filter(|r| search.all_of.iter().all(|c| c.matches(id, &r.entries))) {
                items.push(record.current.to_version(&key));
            }
        }
        (items, None)
    }

    pub(super) fn commit(
        &self,
        writes: Vec<Write>,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> Result<Vec<Version>, CommitError> {
        let mut shards = self.lock(&writes);
        for (at, write) in writes.iter().enumerate() {
            let record = shard_mut(&mut shards, self.shard_of(&write.key)).and_then(|shard| shard.get(&write.key));
            check(write, record.map(|r| r.current.newest())).map_err(|error| CommitError::at(at, error))?;
        }
        let mut index = None;
        let mut made = Vec::with_capacity(writes.len());
        for write in writes {
            if let Some(shard) = shard_mut(&mut shards, self.shard_of(&write.key)) {
                made.push(self.apply(shard, &mut index, write, limits, now));
            }
        }
        Ok(made)
    }

    fn lock(&self, writes: &[Write]) -> Locked<'_> {
        let mut numbers: Vec<usize> = writes.iter().map(|write| self.shard_of(&write.key)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|n| Some((n, lock_write(self.shards.get(n)?)))).collect()
    }

    /// Applies a write that was checked. The index is locked at the first need.
    fn apply<'a>(
        &'a self,
        shard: &mut Shard,
        index: &mut Option<RwLockWriteGuard<'a, Index>>,
        write: Write,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> Version {
        let mut stored = Stored {
            version: VersionId::FIRST,
            last_updated: now,
            write_id: write.write_id.map(|id| id.0.to_le_bytes()),
            body: write.body,
        };
        let (resource_type, id) = (write.key.resource_type(), write.key.id());
        let lives = stored.body.is_some();
        let Some(record) = shard.get_mut(&write.key) else {
            let entries = write.index;
            index.get_or_insert_with(|| lock_write(&self.index)).of_mut(resource_type).insert(id, &entries);
            let version = stored.to_version(&write.key);
            shard.insert(write.key, Box::new(Record { current: stored, older: Vec::new(), entries }));
            return version;
        };
        stored.version = record.current.version.next();
        stored.last_updated = now.max(record.current.last_updated);
        let lived = record.current.body.is_some();
        if lived != lives || record.entries != write.index {
            let of_type = index.get_or_insert_with(|| lock_write(&self.index)).of_mut(resource_type);
            if lived {
                of_type.remove(id, &record.entries);
            }
            record.entries = if lives { write.index } else { IndexEntries::new() };
            if lives {
                of_type.insert(id, &record.entries);
            }
        }
        let version = stored.to_version(&write.key);
        record.older.push(std::mem::replace(&mut record.current, stored));
        if let Some(max) = limits.max_versions {
            let excess = record.older.len().saturating_sub(max.get() - 1);
            record.older.drain(..excess);
        }
        version
    }
}

fn shard_mut<'s>(shards: &'s mut Locked<'_>, number: usize) -> Option<&'s mut Shard> {
    let at = shards.binary_search_by_key(&number, |(n, _)| *n).ok()?;
    shards.get_mut(at).map(|(_, shard)| &mut **shard)
}

/// R2 and R6, for a tenant that has nothing.
pub(super) fn check_against_nothing(writes: &[Write]) -> Result<(), CommitError> {
    let refused = |(at, write)| check(write, None).map_err(|error| CommitError::at(at, error));
    writes.iter().enumerate().try_for_each(refused)
}
