//! The ledger records of all tenants.

use super::{Memory, lock_read, lock_write};
use crate::store::{BoxFuture, Ledger, LedgerKey, Result, Revision, StoreError, Tenant};
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::RwLock;

/// A record, and how often it was written.
type Part = HashMap<LedgerKey, (u64, Bytes)>;

#[derive(Debug, Default)]
pub(super) struct Records(RwLock<HashMap<Tenant, Part>>);

impl Records {
    fn get(&self, tenant: &Tenant, key: &LedgerKey) -> Option<(Revision, Bytes)> {
        let parts = lock_read(&self.0);
        let (count, value) = parts.get(tenant)?.get(key)?;
        Some((revision(*count), value.clone()))
    }

    fn put(&self, tenant: &Tenant, key: &LedgerKey, expected: Option<&Revision>, value: Bytes) -> Result<Revision> {
        let mut parts = lock_write(&self.0);
        if expected.is_some() && !parts.contains_key(tenant) {
            return Err(StoreError::Conflict { current: None });
        }
        match (parts.entry(tenant.clone()).or_default().entry(key.clone()), expected) {
            (Entry::Vacant(free), None) => {
                free.insert((1, value));
                Ok(revision(1))
            }
            (Entry::Occupied(_), None) => Err(StoreError::AlreadyExists { current: None }),
            (Entry::Occupied(mut record), Some(expected)) if revision(record.get().0) == *expected => {
                let count = record.get().0.saturating_add(1);
                record.insert((count, value));
                Ok(revision(count))
            }
            (_, Some(_)) => Err(StoreError::Conflict { current: None }),
        }
    }
}

fn revision(count: u64) -> Revision {
    Revision::new(count.to_string())
}

impl Ledger for Memory {
    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<(Revision, Bytes)>>> {
        Box::pin(async move { Ok(self.records.get(tenant, key)) })
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a LedgerKey,
        expected: Option<&'a Revision>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move { self.records.put(tenant, key, expected, value) })
    }
}
