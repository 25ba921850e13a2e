//! The ledger records of all tenants.

use super::super::checks::{check_change, check_changes, to_usize};
use super::{Memory, lock_read, lock_write};
use crate::store::{
    BoxFuture, Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageQuery, PageToken, Result, Revision,
    Tenant, text_place,
};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::RwLock;

/// Maximum number of changes in a commit: it is applied under a lock that excludes every other call.
const MAX_CHANGES: usize = 4_096;

/// The records of a tenant. Revisions are counted over all of its records, so that none comes back after a deletion.
///
/// A record is found by the hash of its key; the order is looked at only to scan, and changed only where a record comes or goes:
/// keys have long beginnings in common, so that each comparison of an ordered map reads much memory.
#[derive(Debug, Default)]
struct Part {
    records: HashMap<LedgerKey, (u64, Bytes)>,
    order: BTreeSet<LedgerKey>,
    last: u64,
}

#[derive(Debug, Default)]
pub(super) struct Records(RwLock<HashMap<Tenant, Part>>);

impl Records {
    fn get(&self, tenant: &Tenant, key: &LedgerKey) -> Option<LedgerRecord> {
        let parts = lock_read(&self.0);
        let (count, value) = parts.get(tenant)?.records.get(key)?;
        Some(record(key, *count, value))
    }

    fn apply(&self, tenant: &Tenant, changes: Vec<Change>) -> Result<Vec<Revision>, CommitError> {
        check_changes(&changes, MAX_CHANGES)?;
        let mut parts = lock_write(&self.0);
        let none = Part::default();
        let part = parts.get(tenant).unwrap_or(&none);
        for (at, change) in changes.iter().enumerate() {
            let found = part.records.get(&change.key).map(|(count, _)| *count);
            check_change(change, found).map_err(|error| CommitError::at(at, error))?;
        }
        let part = parts.entry(tenant.clone()).or_default();
        let mut made = Vec::with_capacity(changes.len());
        for Change { key, value, .. } in changes {
            part.last = part.last.saturating_add(1);
            made.push(revision(part.last));
            match value {
                Some(value) => {
                    if let Some(known) = part.records.get_mut(&key) {
                        *known = (part.last, value);
                        continue;
                    }
                    part.order.insert(key.clone());
                    part.records.insert(key, (part.last, value));
                }
                None => {
                    part.records.remove(&key);
                    part.order.remove(&key);
                }
            }
        }
        Ok(made)
    }

    /// Returns the records under a prefix after `after`, and whether there are more.
    fn scan(
        &self,
        tenant: &Tenant,
        prefix: &LedgerKey,
        limit: usize,
        after: Option<&str>,
    ) -> (Vec<LedgerRecord>, bool) {
        let parts = lock_read(&self.0);
        let Some(part) = parts.get(tenant) else { return (Vec::new(), false) };
        let start = format!("{prefix}/");
        let from = after.map_or(Bound::Included(start.as_str()), Bound::Excluded);
        let found = part.order.range::<str, _>((from, Bound::Unbounded));
        let mut rest = found.take_while(|key| key.as_str().starts_with(&start)).filter_map(|key| {
            let (count, value) = part.records.get(key)?;
            Some(record(key, *count, value))
        });
        let items = rest.by_ref().take(limit).collect();
        (items, rest.next().is_some())
    }
}

fn record(key: &LedgerKey, count: u64, value: &Bytes) -> LedgerRecord {
    LedgerRecord { key: key.clone(), revision: revision(count), value: value.clone() }
}

fn revision(count: u64) -> Revision {
    Revision::new(count.to_string())
}

impl Ledger for Memory {
    fn max_changes(&self) -> usize {
        MAX_CHANGES
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move { Ok(self.records.get(tenant, key)) })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move { self.records.apply(tenant, changes) })
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(async move {
            let query = PageQuery::Ledger(prefix);
            let place = self.pages.place(tenant, query, after, text_place)?;
            let (items, more) = self.records.scan(tenant, prefix, to_usize(limit), place.as_deref());
            let last = items.last().filter(|_| more);
            let next = last.map(|last| self.pages.seal(tenant, query, last.key.as_str().as_bytes())).transpose()?;
            Ok(Page { items, next })
        })
    }
}
