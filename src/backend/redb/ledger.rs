//! The ledger records of the file.

use super::super::checks::{check_changes, to_usize};
use super::super::oneshot::oneshot;
use super::snapshot::Snapshot;
use super::tables::{end_of, key_of_record, record_key};
use super::writer::{Changes, Task};
use super::{Redb, failed};
use crate::store::{
    BoxFuture, Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageQuery, PageToken, Result, Revision,
    StoreError, Tenant,
};
use bytes::Bytes;
use std::num::NonZeroU32;
use std::ops::Bound;

/// Maximum number of changes in a commit: other commits wait for it.
const MAX_CHANGES: usize = 4_096;

/// Size of the values after which a page ends, in bytes.
const PAGE_BYTES: usize = 8 << 20;

/// Returns the revision number of a record, and its value.
pub(super) fn decode(row: &[u8]) -> Result<(u64, &[u8])> {
    let damaged = || StoreError::corrupt("a ledger record of the file is too short");
    let (count, value) = row.split_first_chunk().ok_or_else(damaged)?;
    Ok((u64::from_le_bytes(*count), value))
}

fn record(key: LedgerKey, row: &[u8]) -> Result<LedgerRecord> {
    let (count, value) = decode(row)?;
    Ok(LedgerRecord { key, revision: Revision::new(count.to_string()), value: Bytes::copy_from_slice(value) })
}

impl Redb {
    fn get_now(&self, snapshot: &Snapshot, tenant: &Tenant, key: &LedgerKey) -> Result<Option<LedgerRecord>> {
        let records = snapshot.records()?;
        let row = records.get(record_key(tenant, key.as_str()).as_slice()).map_err(failed)?;
        row.map(|row| record(key.clone(), row.value())).transpose()
    }

    async fn apply_changes(&self, tenant: &Tenant, changes: Vec<Change>) -> Result<Vec<Revision>, CommitError> {
        check_changes(&changes, MAX_CHANGES)?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, awaited) = oneshot();
        self.submit(Task::Changes(Changes { tenant: tenant.clone(), changes, answer }))?;
        awaited.await.unwrap_or_else(|| Err(StoreError::indeterminate(None).into()))
    }

    fn scan_now(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        prefix: &LedgerKey,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<LedgerRecord>> {
        let query = PageQuery::Ledger(prefix);
        let place = after.map(|token| self.pages.open(tenant, query, token)).transpose()?;
        let start = record_key(tenant, &format!("{prefix}/"));
        let end = end_of(&start);
        let from = place.map(|place| [&record_key(tenant, ""), place.as_slice()].concat());
        let from = from.as_ref().map_or(Bound::Included(start.as_slice()), |from| Bound::Excluded(from.as_slice()));
        let records = snapshot.records()?;
        let rows = records.range::<&[u8]>((from, Bound::Excluded(end.as_slice()))).map_err(failed)?;
        let mut page = Page { items: Vec::<LedgerRecord>::new(), next: None };
        let mut bytes = 0_usize;
        for row in rows {
            let (key, value) = row.map_err(failed)?;
            if let Some(last) = page.items.last().filter(|_| page.items.len() >= to_usize(limit) || bytes >= PAGE_BYTES)
            {
                page.next = Some(self.pages.seal(tenant, query, last.key.as_str().as_bytes())?);
                break;
            }
            bytes = bytes.saturating_add(value.value().len());
            page.items.push(record(key_of_record(tenant, key.value())?, value.value())?);
        }
        Ok(page)
    }
}

impl Ledger for Redb {
    fn max_changes(&self) -> usize {
        MAX_CHANGES
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move { self.reading(|read| self.get_now(read, tenant, key)) })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(self.apply_changes(tenant, changes))
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(async move { self.reading(|read| self.scan_now(read, tenant, prefix, limit, after)) })
    }
}
