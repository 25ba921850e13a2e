//! One resource, and the shard that holds it.

use super::super::checks::Newest;
use super::index::Place;
use super::log::{Log, Moment};
use super::table::Table;
use crate::search::ResourceType;
use crate::store::{Key, Version, VersionId, WriteId};
use bytes::Bytes;
use smol_str::SmolStr;
use std::sync::Arc;
use time::OffsetDateTime;

/// One version, without the data that its location implies.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) version: VersionId,
    pub(super) last_updated: OffsetDateTime,
    /// As bytes, which need no alignment.
    pub(super) write_id: Option<[u8; 16]>,
    /// Of the exact size: the caller's bytes may be part of a larger buffer.
    pub(super) body: Option<Arc<[u8]>>,
}

impl Stored {
    pub(super) fn newest(&self) -> Newest {
        Newest { version: self.version, living: self.body.is_some() }
    }

    pub(super) fn to_version(&self, key: Key) -> Version {
        self.with_body(key, self.body.clone().map(Bytes::from_owner))
    }

    pub(super) fn with_body(&self, key: Key, body: Option<Bytes>) -> Version {
        Version {
            key,
            version: self.version,
            last_updated: self.last_updated,
            write_id: self.write_id.map(|id| WriteId(u128::from_le_bytes(id))),
            body,
        }
    }
}

/// An index entry: the number of its value, and of its system.
pub(super) type Entry = (u32, u32);

/// One resource.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) resource_type: ResourceType,
    pub(super) id: SmolStr,
    pub(super) current: Stored,
    /// The older versions, oldest first, without gaps up to the current one. Most resources have none.
    #[allow(clippy::box_collection, reason = "one word where there are none")]
    pub(super) older: Option<Box<Vec<Stored>>>,
    /// The entries of the current version; none when it is a deletion.
    pub(super) entries: Box<[Entry]>,
    /// The hash of the entries as written. Writes with equal 64-bit hashes under a random key are taken to have the
    /// same entries.
    pub(super) print: u64,
}

impl Record {
    fn is(&self, key: &Key) -> bool {
        self.resource_type == key.resource_type() && self.id == *key.id()
    }

    pub(super) fn older(&self) -> &[Stored] {
        self.older.as_deref().map_or(&[], Vec::as_slice)
    }

    pub(super) fn version(&self, wanted: VersionId) -> Option<&Stored> {
        if self.current.version == wanted {
            return Some(&self.current);
        }
        let back = self.current.version.get().checked_sub(wanted.get())?;
        let at = self.older().len().checked_sub(usize::try_from(back).ok()?)?;
        self.older().get(at)
    }

    /// Forgets all versions but the newest `keep`, of which the current one is the first, and returns the forgotten
    /// ones.
    pub(super) fn prune(&mut self, keep: usize) -> Vec<Stored> {
        let Some(older) = &mut self.older else { return Vec::new() };
        let surplus = (older.len() + 1).saturating_sub(keep.max(1));
        let forgotten = older.drain(..surplus).collect();
        older.shrink_to_fit();
        forgotten
    }

    /// Makes a version the current one, keeps at most `max` in all, and returns the forgotten ones.
    pub(super) fn replace(&mut self, stored: Stored, max: Option<usize>) -> Vec<Stored> {
        let before = std::mem::replace(&mut self.current, stored);
        if max == Some(1) {
            return vec![before];
        }
        let older = self.older.get_or_insert_default();
        if older.len() == older.capacity() {
            // Starting at one: most resources seldom change.
            older.reserve_exact(older.len().max(1));
        }
        older.push(before);
        match max {
            Some(max) => older.drain(..(older.len() + 1).saturating_sub(max)).collect(),
            None => Vec::new(),
        }
    }
}

/// Some of the resources of a tenant. A resource stays forever, at least as a deletion: numbers are not reused.
#[derive(Debug, Default)]
pub(super) struct Shard {
    table: Table,
    /// The resources, in chunks of one size, so that growth moves nothing.
    chunks: Vec<Vec<Record>>,
    len: u32,
    /// Every stored version.
    pub(super) log: Log,
}

impl Shard {
    const CHUNK: usize = 256;
    /// Maximum number of resources in a shard, limited by the bits of a location.
    const MOST: u32 = 1 << 28;

    pub(super) fn number(&self, hash: u64, key: &Key) -> Option<u32> {
        self.table.find(hash, |number| self.get(number).is_some_and(|record| record.is(key)))
    }

    pub(super) fn find(&self, hash: u64, key: &Key) -> Option<&Record> {
        self.get(self.number(hash, key)?)
    }

    fn place(number: u32) -> (usize, usize) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        (number / Self::CHUNK, number % Self::CHUNK)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Record> {
        let (chunk, at) = Self::place(number);
        self.chunks.get(chunk)?.get(at)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Record> {
        let (chunk, at) = Self::place(number);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// Logs a new version of the resource at a location, and removes the forgotten ones.
    pub(super) fn note(&mut self, place: Place, made: (OffsetDateTime, VersionId), forgotten: &[Stored]) {
        self.log.insert(Moment::new(made.0, place, made.1));
        self.forget(place, forgotten);
    }

    /// Removes forgotten versions of the resource at a location from the log.
    pub(super) fn forget(&mut self, place: Place, forgotten: &[Stored]) {
        for stored in forgotten {
            self.log.remove(Moment::new(stored.last_updated, place, stored.version));
        }
    }

    /// Returns whether `count` more resources fit.
    pub(super) fn has_room(&self, count: usize) -> bool {
        u32::try_from(count).is_ok_and(|count| count <= Self::MOST - self.len)
    }

    /// Returns the number that the next resource gets.
    pub(super) fn next(&self) -> u32 {
        self.len
    }

    pub(super) fn push(&mut self, hash: u64, record: Record) {
        self.table.insert(hash, self.len);
        self.len += 1;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push(record),
            _ => {
                // The first chunk grows as needed, since most tenants are small.
                let size = if self.chunks.is_empty() { 1 } else { Self::CHUNK };
                let mut chunk = Vec::with_capacity(size);
                chunk.push(record);
                self.chunks.push(chunk);
            }
        }
    }
}
