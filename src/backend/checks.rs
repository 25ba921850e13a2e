//! Checks of writes that every store makes, so that all refuse alike.

use crate::store::{
    Change, CommitError, LEDGER_MAX_CHANGES, LEDGER_MAX_VALUE, Precondition, Result, StoreError, VersionId, Write,
};
use std::collections::HashSet;
use std::num::NonZeroU32;

/// The newest version of a resource in a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) version: VersionId,
    pub(super) living: bool,
}

/// R2 and R6, against the newest version.
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

/// Returns what a ledger can refuse without looking: L1, L6 and L8.
pub(super) fn check_changes(changes: &[Change]) -> Result<(), CommitError> {
    if changes.len() > LEDGER_MAX_CHANGES {
        return Err(StoreError::unsupported("a commit of so many changes").into());
    }
    let mut keys = HashSet::new();
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

/// L1, where the newest revision of the record is `found`, as it is counted.
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
