//! The versions of a shard in order of time.

use super::index::Place;
use crate::store::VersionId;
use std::collections::BTreeSet;
use std::ops::Bound;
use time::OffsetDateTime;

/// The time and identity of a version: the sort key of the versions of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Nanoseconds since 1970, limited to the range of `i64`: years 1677 to 2262.
    time: i64,
    pub(super) place: Place,
    pub(super) version: VersionId,
}

/// Nanoseconds since 1970.
pub(super) fn nanoseconds(time: OffsetDateTime) -> i64 {
    let nanoseconds = time.unix_timestamp_nanos();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

impl Moment {
    pub(super) fn new(time: OffsetDateTime, place: Place, version: VersionId) -> Self {
        Self { time: nanoseconds(time), place, version }
    }

    /// Returns the form in a page token.
    pub(super) fn written(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let parts = [&self.time.to_be_bytes()[..], &self.place.to_be_bytes(), &self.version.get().to_be_bytes()];
        for (to, from) in bytes.iter_mut().zip(parts.concat()) {
            *to = from;
        }
        bytes
    }

    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (place, rest) = rest.split_first_chunk()?;
        Some(Self {
            time: i64::from_be_bytes(*time),
            place: Place::from_be_bytes(*place),
            version: VersionId::new(u64::from_be_bytes(rest.try_into().ok()?))?,
        })
    }
}

/// The versions of a shard.
#[derive(Debug, Default)]
pub(super) struct Log(BTreeSet<Moment>);

impl Log {
    pub(super) fn insert(&mut self, moment: Moment) {
        self.0.insert(moment);
    }

    pub(super) fn remove(&mut self, moment: Moment) {
        self.0.remove(&moment);
    }

    /// Returns the versions after a moment and not before a time: newest first, or oldest first.
    pub(super) fn from(
        &self,
        oldest_first: bool,
        after: Option<Moment>,
        since: Option<OffsetDateTime>,
    ) -> Box<dyn Iterator<Item = Moment> + '_> {
        let since = since.map_or(i64::MIN, nanoseconds);
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        if oldest_first {
            // No location and no version number is smaller.
            let first = Moment { time: since, place: Place::MIN, version: VersionId::FIRST };
            let from = if after == Bound::Unbounded { Bound::Included(first) } else { after };
            return Box::new(
                self.0.range((from, Bound::Unbounded)).copied().filter(move |moment| moment.time >= since),
            );
        }
        Box::new(self.0.range((Bound::Unbounded, after)).rev().copied().take_while(move |moment| moment.time >= since))
    }
}
