//! Checks of writes that every store makes, so that all refuse the same writes.

#[cfg(any(feature = "redb", feature = "postgres"))]
use crate::element::ReadMode;
#[cfg(any(feature = "redb", feature = "postgres"))]
use crate::resource::DeviceComponent;
#[cfg(any(feature = "redb", feature = "postgres"))]
use crate::search::{IndexEntries, value::index_entries};
use crate::store::{Change, CommitError, LEDGER_MAX_VALUE, Precondition, Result, StoreError, VersionId, Write};
#[cfg(feature = "fhir-http")]
use crate::store::{Search, SearchOrder};
use smol_str::SmolStr;
use std::collections::HashSet;
use std::num::NonZeroU32;
use time::OffsetDateTime;

/// The newest version of a resource, before a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) version: VersionId,
    pub(super) living: bool,
}

/// Checks the precondition of a write (R2 and R6) against the newest version.
pub(super) fn check(write: &Write, newest: Option<Newest>) -> Result<()> {
    let living = newest.filter(|newest| newest.living).map(|newest| newest.version);
    let newest = newest.map(|newest| newest.version);
    let missing = || newest.map_or(StoreError::not_found(), StoreError::gone);
    match write.precondition {
        Precondition::Absent if living.is_some() => Err(StoreError::already_exists(living)),
        Precondition::Version(wanted) if living != Some(wanted) => Err(StoreError::conflict(newest)),
        Precondition::Exists if living.is_none() => Err(missing()),
        _ if write.body.is_none() && living.is_none() => Err(missing()),
        _ => Ok(()),
    }
}

/// Checks R1, R6 and R12, which need no stored state.
pub(super) fn check_writes(writes: &[Write], max_writes: usize, max_body: u64) -> Result<(), CommitError> {
    if writes.len() > max_writes {
        return Err(StoreError::unsupported("a commit of so many writes").into());
    }
    let mut keys = HashSet::new();
    for (at, write) in writes.iter().enumerate() {
        let size = write.body.as_ref().map_or(0, |body| body.len() as u64);
        let error = if size > max_body {
            StoreError::too_large(max_body)
        } else if writes.len() > 1 && !keys.insert(&write.key) {
            StoreError::invalid(format!("`{}` is written twice in one commit", write.key))
        } else if write.body.is_none() && write.precondition == Precondition::Absent {
            StoreError::invalid(format!("a deletion of `{}` on the condition that it is absent", write.key))
        } else {
            continue;
        };
        return Err(CommitError::at(at, error));
    }
    Ok(())
}

/// Checks the rules of a ledger commit that need no stored state: L1, L6 and L8.
pub(super) fn check_changes(changes: &[Change], max_changes: usize) -> Result<(), CommitError> {
    if changes.len() > max_changes {
        return Err(StoreError::unsupported("a commit of so many changes").into());
    }
    let mut keys = HashSet::with_capacity(changes.len());
    for (at, change) in changes.iter().enumerate() {
        let error = if change.value.as_ref().is_some_and(|value| value.len() > LEDGER_MAX_VALUE) {
            StoreError::too_large(LEDGER_MAX_VALUE as u64)
        } else if change.value.is_none() && change.expected.is_none() {
            StoreError::invalid(format!("a deletion of `{}` without a revision", change.key))
        } else if changes.len() > 1 && !keys.insert(&change.key) {
            StoreError::invalid(format!("`{}` is changed twice in one commit", change.key))
        } else {
            continue;
        };
        return Err(CommitError::at(at, error));
    }
    Ok(())
}

/// Checks L1, where `found` is the number of the record's newest revision.
pub(super) fn check_change(change: &Change, found: Option<u64>) -> Result<()> {
    let found = found.map(|count| count.to_string());
    match (&change.expected, found) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(StoreError::already_exists(None)),
        (Some(expected), Some(found)) if expected.as_str() == found => Ok(()),
        (Some(_), _) => Err(StoreError::conflict(None)),
    }
}

pub(super) fn to_usize(limit: NonZeroU32) -> usize {
    usize::try_from(limit.get()).unwrap_or(usize::MAX)
}

/// The end of a page of a search in order of time: the time and id of a resource. The byte order of the encoding is the
/// order of such a search.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimePlace {
    pub(super) nanos: i128,
    pub(super) id: SmolStr,
}

impl TimePlace {
    pub(super) fn new(time: OffsetDateTime, id: &SmolStr) -> Self {
        Self { nanos: time.unix_timestamp_nanos(), id: id.clone() }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn time(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp_nanos(self.nanos).ok()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Negative numbers sort first.
        let nanos = u128::from_be_bytes(self.nanos.to_be_bytes()) ^ SIGN;
        [&nanos.to_be_bytes(), self.id.as_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (nanos, id) = bytes.split_first_chunk::<16>()?;
        let nanos = i128::from_be_bytes((u128::from_be_bytes(*nanos) ^ SIGN).to_be_bytes());
        Some(Self { nanos, id: std::str::from_utf8(id).ok()?.into() })
    }
}

const SIGN: u128 = 1 << 127;

/// Returns the index entries of a stored component for this library's own search parameters; `None` where its body
/// cannot be parsed, e.g. because it is sealed.
#[cfg(any(feature = "redb", feature = "postgres"))]
pub(super) fn own_entries(body: &[u8]) -> Option<IndexEntries> {
    let component = DeviceComponent::read(body, ReadMode::Lenient).ok()?.value;
    let entries = index_entries(&component).into_vec().into_iter();
    Some(entries.filter(|(parameter, _)| parameter.is_own()).collect())
}

/// Refuses a search in an order that the store does not support.
#[cfg(feature = "fhir-http")]
pub(super) fn check_order(search: &Search) -> Result<()> {
    match search.order {
        SearchOrder::Id => Ok(()),
        _ => Err(StoreError::unsupported("a search in the order of times")),
    }
}

#[cfg(test)]
mod time_tests {
    use super::*;

    #[test]
    fn time_places_are_ordered_as_they_are_encoded() {
        let places: Vec<_> = [-1_000_000_000_007, -1, 0, 1, 1_492_596_000_123_456_789]
            .into_iter()
            .flat_map(|nanos| ["a", "b"].map(|id| TimePlace { nanos, id: id.into() }))
            .collect();
        let encoded: Vec<_> = places.iter().map(TimePlace::encode).collect();
        assert!(places.is_sorted() && encoded.is_sorted());
        for (place, bytes) in places.into_iter().zip(encoded) {
            assert_eq!(TimePlace::decode(&bytes), Some(place));
        }
        assert_eq!(TimePlace::decode(&[0; 15]), None);
    }
}
