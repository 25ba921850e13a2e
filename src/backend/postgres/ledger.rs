//! The ledger in the database.

use super::super::checks::{check_changes, to_usize};
use super::error::unreadable;
use super::{Postgres, failed};
use crate::store::{
    BoxFuture, Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageQuery, PageToken, Result, Revision,
    StoreError, Tenant, text_place,
};
use bytes::Bytes;
use std::num::NonZeroU32;
use tokio_postgres::Row;

/// The most changes of a commit: it is one statement.
const MAX_CHANGES: usize = 1_024;

/// The most records of a page.
const MOST: usize = 100;

fn record(key: LedgerKey, row: &Row) -> Result<LedgerRecord> {
    let revision: &str = row.try_get("revision").map_err(failed)?;
    let value: &[u8] = row.try_get("value").map_err(failed)?;
    Ok(LedgerRecord { key, revision: Revision::new(revision), value: Bytes::copy_from_slice(value) })
}

impl Postgres {
    async fn get_record(&self, tenant: &Tenant, key: &LedgerKey) -> Result<Option<LedgerRecord>> {
        let rows = self.read(&self.sql.get, &[&tenant.as_str(), &key.as_str()]).await?;
        rows.first().map(|row| record(key.clone(), row)).transpose()
    }

    async fn apply_changes(&self, tenant: &Tenant, changes: Vec<Change>) -> Result<Vec<Revision>, CommitError> {
        check_changes(&changes, MAX_CHANGES)?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut sorted: Vec<(i32, &Change)> = (0..).zip(&changes).collect();
        sorted.sort_unstable_by_key(|(_, change)| &change.key);
        let places: Vec<i32> = sorted.iter().map(|(place, _)| *place).collect();
        let keys: Vec<&str> = sorted.iter().map(|(_, change)| change.key.as_str()).collect();
        let expected: Vec<Option<&str>> =
            sorted.iter().map(|(_, change)| change.expected.as_ref().map(Revision::as_str)).collect();
        let values: Vec<Option<&[u8]>> = sorted.iter().map(|(_, change)| change.value.as_deref()).collect();
        let rows = self.write(&self.sql.apply, &[&tenant.as_str(), &places, &keys, &expected, &values]).await?;
        let mut made = vec![None; changes.len()];
        for row in &rows {
            let place: i32 = row.try_get("place").map_err(unreadable)?;
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            match row.try_get::<_, i16>("refused").map_err(unreadable)? {
                0 => {}
                1 => return Err(CommitError::at(place, StoreError::already_exists(None))),
                _ => return Err(CommitError::at(place, StoreError::conflict(None))),
            }
            let revision: &str = row.try_get("made").map_err(unreadable)?;
            if let Some(slot) = made.get_mut(place) {
                *slot = Some(Revision::new(revision));
            }
        }
        let made: Option<Vec<Revision>> = made.into_iter().collect();
        made.ok_or_else(|| StoreError::indeterminate(Some("the server left out a change".into())).into())
    }

    async fn scan_records(
        &self,
        tenant: &Tenant,
        prefix: &LedgerKey,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<LedgerRecord>> {
        let query = PageQuery::Ledger(prefix);
        let place = self.pages.place(tenant, query, after, text_place)?;
        // `0` is the byte behind `/`. No key is equal to either bound.
        let (start, end) = (place.unwrap_or_else(|| format!("{prefix}/")), format!("{prefix}0"));
        let limit = to_usize(limit).min(MOST);
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let rows = self.read(&self.sql.scan, &[&tenant.as_str(), &start, &end, &more]).await?;
        let named = |row: &Row| {
            let damaged = |_| StoreError::corrupt("the key of a record is damaged");
            record(LedgerKey::new(row.try_get::<_, &str>("key").map_err(failed)?).map_err(damaged)?, row)
        };
        let items = rows.iter().take(limit).map(named).collect::<Result<Vec<_>>>()?;
        let last = items.last().filter(|_| rows.len() > limit);
        let next = last.map(|last| self.pages.seal(tenant, query, last.key.as_str().as_bytes())).transpose()?;
        Ok(Page { items, next })
    }
}

impl Ledger for Postgres {
    fn max_changes(&self) -> usize {
        MAX_CHANGES
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(self.get_record(tenant, key))
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
        Box::pin(self.scan_records(tenant, prefix, limit, after))
    }
}
