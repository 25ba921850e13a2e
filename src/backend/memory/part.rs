//! The resources of one tenant.

use super::super::checks::{TimePlace, check, to_usize};
use super::index::{Index, Place};
use super::log::Moment;
use super::record::{Record, Shard, Stored};
use super::{Limits, lock_read, lock_write};
use crate::search::{Criteria, IndexEntries, ResourceType};
use crate::store::{
    Changes, CommitError, Key, Result, Search, SearchOrder, StoreError, Version, VersionId, Write, commit_time,
};
use bytes::Bytes;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash as _, Hasher as _, RandomState};
use std::ops::Bound;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use time::OffsetDateTime;

/// The resources of a tenant, in shards. Locks are taken in the order of the shards, with that of the index last.
#[derive(Debug)]
pub(super) struct Part {
    shards: Box<[RwLock<Shard>]>,
    index: RwLock<Index>,
    /// The living resources of each type in order of time. This lock is taken after all others.
    times: RwLock<BTreeMap<ResourceType, BTreeMap<TimePlace, Place>>>,
    hasher: RandomState,
}

/// The shards that a commit locks, with their numbers in ascending order.
type Locked<'a> = Vec<(u32, RwLockWriteGuard<'a, Shard>)>;

/// The shards that a search locks, the others being `None`.
type Held<'a> = Vec<Option<RwLockReadGuard<'a, Shard>>>;

/// The matches of a search, and the last id looked at if there may be more.
type Found = (Vec<Version>, Option<SmolStr>);

impl Part {
    /// Number of bits of a location that name the shard.
    const BITS: u32 = 4;
    const SHARDS: u32 = 1 << Self::BITS;
    /// Maximum number of candidates that one page looks at, so that no search keeps writers waiting for long.
    const SCAN: usize = 10_000;

    pub(super) fn new() -> Self {
        let shards = (0..Self::SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, index: RwLock::default(), times: RwLock::default(), hasher: RandomState::new() }
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one((key.resource_type(), key.id().as_str()))
    }

    fn shard_of(number: u64) -> u32 {
        // The remainder is below the number of shards.
        u32::try_from(number % u64::from(Self::SHARDS)).unwrap_or_default()
    }

    fn lock_of(&self, shard: u32) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::try_from(shard).ok()?)
    }

    fn with<T>(&self, key: &Key, read: impl FnOnce(&Record) -> Result<T>) -> Result<T> {
        let hash = self.hash(key);
        let shard = lock_read(self.lock_of(Self::shard_of(hash)).ok_or(StoreError::not_found())?);
        read(shard.find(hash, key).ok_or(StoreError::not_found())?)
    }

    pub(super) fn read(&self, key: &Key) -> Result<Version> {
        self.with(key, |record| match record.current.body {
            Some(_) => Ok(record.current.to_version(key.clone())),
            None => Err(StoreError::gone(record.current.version)),
        })
    }

    pub(super) fn vread(&self, key: &Key, version: VersionId) -> Result<Version> {
        self.with(key, |record| Ok(record.version(version).ok_or(StoreError::not_found())?.to_version(key.clone())))
    }

    /// Returns the versions before `before`, newest first, and whether there are more.
    pub(super) fn history(&self, key: &Key, limit: usize, before: Option<u64>) -> Result<(Vec<Version>, bool)> {
        self.with(key, |record| {
            let newest_first = std::iter::once(&record.current).chain(record.older().iter().rev());
            let mut rest = newest_first.skip_while(|v| before.is_some_and(|before| v.version.get() >= before));
            let items = rest.by_ref().take(limit).map(|stored| stored.to_version(key.clone())).collect();
            Ok((items, rest.next().is_some()))
        })
    }

    /// Forgets all versions but the newest `keep`, and returns the number forgotten.
    pub(super) fn prune(&self, key: &Key, keep: usize) -> Result<u64> {
        let hash = self.hash(key);
        let mut shard = lock_write(self.lock_of(Self::shard_of(hash)).ok_or(StoreError::not_found())?);
        let number = shard.number(hash, key).ok_or(StoreError::not_found())?;
        let forgotten = shard.get_mut(number).ok_or(StoreError::not_found())?.prune(keep);
        shard.forget(number << Self::BITS | Self::shard_of(hash), &forgotten);
        Ok(u64::try_from(forgotten.len()).unwrap_or(u64::MAX))
    }

    /// Returns the versions of all resources by time, after `after`, and the last one looked at if there may be more. A
    /// page shows one state.
    pub(super) fn changes(&self, changes: &Changes, after: Option<Moment>) -> (Vec<Version>, Option<Moment>) {
        let shards = self.hold(|_| true);
        let logs = shards.iter().flatten().map(|shard| shard.log.from(changes.oldest_first, after, changes.since));
        let mut logs: Vec<_> = logs.map(Iterator::peekable).collect();
        let mut heads: BTreeSet<(Moment, usize)> = BTreeSet::new();
        for (at, log) in logs.iter_mut().enumerate() {
            heads.extend(log.next().map(|moment| (moment, at)));
        }
        let (mut items, mut looked_at, limit) = (Vec::new(), 0_usize, to_usize(changes.limit));
        let mut last = None;
        while let Some((moment, at)) = if changes.oldest_first { heads.pop_first() } else { heads.pop_last() } {
            if items.len() >= limit || looked_at >= Self::SCAN {
                return (items, last);
            }
            looked_at += 1;
            last = Some(moment);
            heads.extend(logs.get_mut(at).and_then(Iterator::next).map(|next| (next, at)));
            let Some(record) = Self::record(&shards, moment.place) else { continue };
            if changes.resource_type.is_some_and(|wanted| wanted != record.resource_type) {
                continue;
            }
            // A stored id was checked when it was written.
            let key = Key::new(record.resource_type, record.id.clone());
            items.extend(record.version(moment.version).zip(key.ok()).map(|(stored, key)| stored.to_version(key)));
        }
        (items, None)
    }

    /// Returns the matches after `after`, and the last id looked at if there may be more.
    ///
    /// A page shows one state: the shards of all candidates and the index are locked together, and the candidates are
    /// those of that moment. They are looked up first, so that few shards are locked where there are few candidates; if
    /// the index has changed meanwhile, they are looked up again.
    pub(super) fn search(&self, search: &Search, limit: usize, after: Option<&str>) -> Found {
        let candidates = |index: &Index| index.candidates(&self.hasher, search.resource_type, &search.all_of);
        for _ in 0..3 {
            let (found, epoch) = {
                let index = lock_read(&self.index);
                (candidates(&index), index.epoch)
            };
            let Some(found) = found.filter(|found| found.len() <= 64) else { break };
            let shards = self.hold(|shard| found.iter().any(|place| Self::shard_of(u64::from(*place)) == shard));
            let index = lock_read(&self.index);
            if index.epoch == epoch {
                return Self::of_these(&shards, &index, found, search, limit, after);
            }
        }
        let shards = self.hold(|_| true);
        let index = lock_read(&self.index);
        match candidates(&index) {
            Some(found) => Self::of_these(&shards, &index, found, search, limit, after),
            None => Self::of_all(&shards, &index, search, limit, after),
        }
    }

    fn hold(&self, wanted: impl Fn(u32) -> bool) -> Held<'_> {
        (0..).zip(&self.shards).map(|(number, shard)| wanted(number).then(|| lock_read(shard))).collect()
    }

    fn record<'s>(shards: &'s Held<'_>, place: Place) -> Option<&'s Record> {
        let shard = usize::try_from(Self::shard_of(u64::from(place))).ok()?;
        shards.get(shard)?.as_ref()?.get(place >> Self::BITS)
    }

    fn version(search: &Search, record: &Record) -> Option<Version> {
        // A stored id was checked when it was written.
        let key = Key::new(search.resource_type, record.id.clone()).ok()?;
        if search.bodies {
            return Some(record.current.to_version(key));
        }
        Some(record.current.with_body(key, Some(Bytes::new())))
    }

    fn of_these(
        shards: &Held<'_>,
        index: &Index,
        found: Vec<Place>,
        search: &Search,
        limit: usize,
        after: Option<&str>,
    ) -> Found {
        let criteria = Criteria::of(&search.all_of);
        let meets =
            |record: &&Record| after.is_none_or(|after| record.id.as_str() > after) && index.meets(record, &criteria);
        let records = found.into_iter().filter_map(|place| Self::record(shards, place));
        let mut records: Vec<&Record> = records.filter(meets).collect();
        records.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let more = records.len() > limit;
        records.truncate(limit);
        let last = records.last().filter(|_| more).map(|record| record.id.clone());
        (records.into_iter().filter_map(|record| Self::version(search, record)).collect(), last)
    }

    fn of_all(shards: &Held<'_>, index: &Index, search: &Search, limit: usize, after: Option<&str>) -> Found {
        let criteria = Criteria::of(&search.all_of);
        let (mut items, mut last) = (Vec::new(), None::<&SmolStr>);
        for (looked_at, (id, place)) in index.behind(search.resource_type, after).enumerate() {
            if looked_at >= Self::SCAN || items.len() >= limit {
                return (items, last.cloned());
            }
            last = Some(id);
            let record = Self::record(shards, place);
            items.extend(
                record.filter(|record| index.meets(record, &criteria)).and_then(|record| Self::version(search, record)),
            );
        }
        (items, None)
    }

    /// Returns the matches in order of time after `after`, and the last position looked at if there may be more.
    pub(super) fn search_by_time(
        &self,
        search: &Search,
        limit: usize,
        after: Option<TimePlace>,
    ) -> (Vec<Version>, Option<TimePlace>) {
        let criteria = Criteria::of(&search.all_of);
        let shards = self.hold(|_| true);
        let (index, times) = (lock_read(&self.index), lock_read(&self.times));
        let Some(times) = times.get(&search.resource_type) else { return (Vec::new(), None) };
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut places: Box<dyn Iterator<Item = (&TimePlace, &Place)>> = match search.order {
            SearchOrder::UpdatedDescending => Box::new(times.range((Bound::Unbounded, after)).rev()),
            _ => Box::new(times.range((after, Bound::Unbounded))),
        };
        let (mut items, mut last) = (Vec::new(), None::<&TimePlace>);
        for (looked_at, (at, place)) in places.by_ref().enumerate() {
            if looked_at >= Self::SCAN || items.len() >= limit {
                return (items, last.cloned());
            }
            last = Some(at);
            let record = Self::record(&shards, *place).filter(|record| index.meets(record, &criteria));
            items.extend(record.and_then(|record| Self::version(search, record)));
        }
        (items, None)
    }

    /// Replaces the time of a living resource.
    fn note_time(
        &self,
        resource_type: ResourceType,
        place: Place,
        before: Option<TimePlace>,
        after: Option<TimePlace>,
    ) {
        let mut times = lock_write(&self.times);
        let times = times.entry(resource_type).or_default();
        if let Some(before) = before {
            times.remove(&before);
        }
        if let Some(after) = after {
            times.insert(after, place);
        }
    }

    pub(super) fn commit(
        &self,
        writes: Vec<Write>,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> Result<Vec<Version>, CommitError> {
        let hashes: Vec<u64> = writes.iter().map(|write| self.hash(&write.key)).collect();
        let mut shards = self.lock(&hashes);
        let mut numbers = Vec::with_capacity(writes.len());
        for (at, (write, hash)) in writes.iter().zip(&hashes).enumerate() {
            let shard = shard_mut(&mut shards, Self::shard_of(*hash));
            let number = shard.as_ref().and_then(|shard| shard.number(*hash, &write.key));
            let record = number.and_then(|number| shard.as_ref()?.get(number));
            check(write, record.map(|r| r.current.newest())).map_err(|error| CommitError::at(at, error))?;
            numbers.push(number);
        }
        if !shards.iter().all(|(_, shard)| shard.has_room(writes.len())) {
            return Err(StoreError::unsupported("more resources than a place can name").into());
        }
        let mut index = None;
        let mut made = Vec::with_capacity(writes.len());
        for ((write, hash), number) in writes.into_iter().zip(hashes).zip(numbers) {
            let of = Self::shard_of(hash);
            let Some(shard) = shard_mut(&mut shards, of) else { continue };
            let place = number.unwrap_or_else(|| shard.next()) << Self::BITS | of;
            let (version, forgotten) = match number.and_then(|number| shard.get_mut(number)) {
                Some(record) => self.replace(record, &mut index, write, place, limits, now),
                None => (self.add(shard, hash, &mut index, write, place, now), Vec::new()),
            };
            shard.note(place, (version.last_updated, version.version), &forgotten);
            made.push(version);
        }
        Ok(made)
    }

    fn lock(&self, hashes: &[u64]) -> Locked<'_> {
        let mut numbers: Vec<u32> = hashes.iter().map(|hash| Self::shard_of(*hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|n| Some((n, lock_write(self.lock_of(n)?)))).collect()
    }

    /// Adds a resource that never existed. The index is locked when first needed, here and below.
    fn add<'a>(
        &'a self,
        shard: &mut Shard,
        hash: u64,
        index: &mut Option<RwLockWriteGuard<'a, Index>>,
        write: Write,
        place: Place,
        now: OffsetDateTime,
    ) -> Version {
        let Write { key, body, index: entries, write_id, .. } = write;
        let current = Stored {
            version: VersionId::FIRST,
            last_updated: now,
            write_id: write_id.map(|id| id.0.to_le_bytes()),
            body: body.as_deref().map(Into::into),
        };
        let index = index.get_or_insert_with(|| lock_write(&self.index));
        index.enter(key.resource_type(), key.id(), place);
        let kept = index.insert(&self.hasher, key.resource_type(), place, &entries);
        let version = current.with_body(key, body);
        let (resource_type, id) = (version.key.resource_type(), version.key.id().clone());
        self.note_time(resource_type, place, None, Some(TimePlace::new(now, &id)));
        let print = self.print(&entries);
        shard.push(hash, Record { resource_type, id, current, older: None, entries: kept, print });
        version
    }

    /// Applies a checked write to a resource that exists or was deleted.
    fn replace<'a>(
        &'a self,
        record: &mut Record,
        index: &mut Option<RwLockWriteGuard<'a, Index>>,
        write: Write,
        place: Place,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> (Version, Vec<Stored>) {
        let Write { key, body, index: entries, write_id, .. } = write;
        let stored = Stored {
            version: record.current.version.next(),
            last_updated: commit_time(now, Some(record.current.last_updated)),
            write_id: write_id.map(|id| id.0.to_le_bytes()),
            body: body.as_deref().map(Into::into),
        };
        let (lived, lives) = (record.current.body.is_some(), body.is_some());
        let at = |time| TimePlace::new(time, &record.id);
        let (before, after) = (lived.then(|| at(record.current.last_updated)), lives.then(|| at(stored.last_updated)));
        let print = self.print(&entries);
        if lived != lives || lives && record.print != print {
            let index = index.get_or_insert_with(|| lock_write(&self.index));
            index.remove(&self.hasher, place, &record.entries);
            record.entries =
                if lives { index.insert(&self.hasher, record.resource_type, place, &entries) } else { Box::default() };
            match (lived, lives) {
                (true, false) => index.leave(record.resource_type, &record.id),
                (false, true) => index.enter(record.resource_type, &record.id, place),
                _ => {}
            }
            record.print = print;
        }
        // Together with the other changes, while the index is locked.
        self.note_time(record.resource_type, place, before, after);
        let version = stored.with_body(key, body);
        let forgotten = record.replace(stored, limits.max_versions.map(std::num::NonZeroUsize::get));
        (version, forgotten)
    }

    fn print(&self, entries: &IndexEntries) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        entries.iter().for_each(|entry| entry.hash(&mut hasher));
        hasher.finish()
    }
}

fn shard_mut<'s>(shards: &'s mut Locked<'_>, number: u32) -> Option<&'s mut Shard> {
    let at = shards.binary_search_by_key(&number, |(n, _)| *n).ok()?;
    shards.get_mut(at).map(|(_, shard)| &mut **shard)
}
/// Checks R2 and R6 for a tenant without resources.
pub(super) fn check_against_nothing(writes: &[Write]) -> Result<(), CommitError> {
    let refused = |(at, write)| check(write, None).map_err(|error| CommitError::at(at, error));
    writes.iter().enumerate().try_for_each(refused)
}
