//! The versions of a shard by time.

use super::index::Place;
use crate::store::VersionId;
use std::collections::BTreeSet;
use std::ops::Bound;
use time::OffsetDateTime;

/// When a version was made, and which it is: the order of those of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Nanoseconds since 1970, as far as these have room: years 1677 to 2262.
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

    /// As a page token has it.
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

    /// The versions before one and not before a time, newest first.
    pub(super) fn newest_first(
        &self,
        before: Option<Moment>,
        since: Option<OffsetDateTime>,
    ) -> impl Iterator<Item = Moment> + '_ {
        let since = since.map(nanoseconds);
        let range = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        self.0.range(range).rev().copied().take_while(move |moment| since.is_none_or(|since| moment.time >= since))
    }
}
