//! The ledger: one partition of each tenant.

use super::super::checks::{check_changes, to_usize};
use super::commit::{ROUNDS, pause};
use super::item::EncodedBody;
use super::wire::{Batch, Batched};
use super::{Cosmos, fault, wire};
use crate::store::{
    Applied, BoxFuture, Change, CommitError, LEDGER_MAX_CHANGES, Ledger, LedgerKey, LedgerRecord, Page, PageQuery,
    PageToken, Result, Revision, StoreError, Tenant, random_name, text_place,
};
use azure_data_cosmos::feed::FeedScope;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// The most records of a page.
const MOST: usize = 1_000;

/// How many revisions a record remembers.
const REMEMBERED_REVISIONS: usize = 16;

/// How long a deletion is remembered, in seconds, for those who ask whether it was theirs.
const REMEMBERED: u32 = 7 * 24 * 3600;

/// A record, or the mark that one was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    id: String,
    pk: String,
    /// None where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<LedgerKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<EncodedBody>,
    /// The revision: which commit wrote it.
    nonce: String,
    /// Those before it, newest first: a commit whose answer was lost knows itself again where others came after it.
    #[serde(default)]
    trail: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(rename = "_etag", default, skip_serializing)]
    etag: String,
}

impl Record {
    fn made(pk: &str, change: &Change, before: Option<&Self>, nonce: &str) -> Self {
        let lives = change.value.is_some();
        let trail = before.into_iter().flat_map(|before| std::iter::once(&before.nonce).chain(&before.trail));
        Self {
            id: id(&change.key),
            pk: pk.into(),
            key: lives.then(|| change.key.clone()),
            body: change.value.as_deref().map(EncodedBody::new),
            nonce: nonce.into(),
            trail: trail.take(REMEMBERED_REVISIONS).cloned().collect(),
            ttl: (!lives).then_some(REMEMBERED),
            etag: String::new(),
        }
    }

    fn comes_from(&self, nonce: &str) -> bool {
        self.nonce == nonce || self.trail.iter().any(|before| before == nonce)
    }

    fn living(&self) -> Option<(&LedgerKey, &EncodedBody)> {
        self.key.as_ref().zip(self.body.as_ref())
    }

    fn to_record(&self) -> Result<Option<LedgerRecord>> {
        let Some((key, body)) = self.living() else { return Ok(None) };
        let (key, revision) = (key.clone(), Revision::new(self.nonce.as_str()));
        Ok(Some(LedgerRecord { key, revision, value: body.bytes()? }))
    }
}

fn home(tenant: &Tenant) -> String {
    format!("{tenant}|ledger")
}

/// No key holds a `_`, and no id may hold a `/`.
fn id(key: &LedgerKey) -> String {
    key.as_str().replace('/', "_")
}

/// L1, for what was found.
fn check(change: &Change, found: Option<&Record>) -> Result<()> {
    let found = found.filter(|record| record.living().is_some());
    match (&change.expected, found) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(StoreError::already_exists(None)),
        (Some(expected), Some(found)) if expected.as_str() == found.nonce => Ok(()),
        (Some(_), _) => Err(StoreError::conflict(None)),
    }
}

impl Cosmos {
    async fn found(&self, pk: &str, changes: &[Change]) -> Result<HashMap<String, Record>> {
        let ids: Vec<String> = changes.iter().map(|change| id(&change.key)).collect();
        let records: Vec<Record> = match ids.as_slice() {
            [id] => wire::read(&self.container, pk, id).await?.into_iter().collect(),
            ids => {
                let query = azure_data_cosmos::Query::from("SELECT * FROM c WHERE ARRAY_CONTAINS(@ids, c.id)");
                let query = query.with_parameter("@ids", ids).map_err(fault::of_read)?;
                wire::query(&self.container, query, FeedScope::partition(pk.to_owned()), ids.len()).await?
            }
        };
        Ok(records.into_iter().map(|record| (record.id.clone(), record)).collect())
    }

    async fn apply_now(&self, tenant: &Tenant, changes: Vec<Change>) -> Result<Vec<Revision>, CommitError> {
        check_changes(&changes, LEDGER_MAX_CHANGES)?;
        let Some(first) = changes.first().map(|change| id(&change.key)) else { return Ok(Vec::new()) };
        let (pk, nonce) = (home(tenant), random_name()?);
        let made = || changes.iter().map(|_| Revision::new(nonce.as_str())).collect();
        for round in 0..ROUNDS {
            let found = self.found(&pk, &changes).await?;
            // An earlier try was applied after all.
            if found.get(&first).is_some_and(|record| record.comes_from(&nonce)) {
                return Ok(made());
            }
            for (index, change) in changes.iter().enumerate() {
                check(change, found.get(&id(&change.key))).map_err(|error| CommitError::at(index, error))?;
            }
            let mut batch = Batch::new(&pk);
            for change in &changes {
                let before = found.get(&id(&change.key));
                let next = Record::made(&pk, change, before, &nonce);
                batch = match before {
                    None => batch.create(&next)?,
                    Some(before) => batch.replace(&next.id, &before.etag, &next)?,
                };
            }
            match batch.execute(&self.container).await {
                Ok(Batched::Applied) => return Ok(made()),
                Ok(Batched::Conflicted) => pause(round).await,
                Err(error) if error.applied() == Applied::No => return Err(error.into()),
                Err(error) => {
                    let looked = self.found(&pk, &changes).await;
                    let ours =
                        looked.is_ok_and(|found| found.get(&first).is_some_and(|record| record.comes_from(&nonce)));
                    return if ours { Ok(made()) } else { Err(error.into()) };
                }
            }
        }
        Err(StoreError::throttled(None).into())
    }

    async fn scan_now(
        &self,
        tenant: &Tenant,
        prefix: &LedgerKey,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<LedgerRecord>> {
        let query = PageQuery::Ledger(prefix);
        let after = self.pages.place(tenant, query, after, text_place)?;
        let limit = to_usize(limit).min(MOST);
        let text = format!(
            "SELECT TOP {} * FROM c WHERE STARTSWITH(c.key, @start) AND c.key > @after ORDER BY c.key",
            limit + 1
        );
        let start = format!("{prefix}/");
        let wanted = azure_data_cosmos::Query::from(text)
            .with_parameter("@after", after.unwrap_or_else(|| start.clone()))
            .and_then(|query| query.with_parameter("@start", start))
            .map_err(fault::of_read)?;
        let scope = FeedScope::partition(home(tenant));
        let mut records: Vec<Record> = wire::query(&self.container, wanted, scope, limit + 1).await?;
        let more = records.len() > limit;
        records.truncate(limit);
        let last = records.last().and_then(|record| record.key.as_ref()).filter(|_| more);
        let next = last.map(|last| self.pages.seal(tenant, query, last.as_str().as_bytes())).transpose()?;
        let items = records.iter().filter_map(|record| record.to_record().transpose()).collect::<Result<_>>()?;
        Ok(Page { items, next })
    }
}

impl Ledger for Cosmos {
    fn max_changes(&self) -> usize {
        LEDGER_MAX_CHANGES
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move {
            let record: Option<Record> = wire::read(&self.container, &home(tenant), &id(key)).await?;
            record.map_or(Ok(None), |record| record.to_record())
        })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(self.apply_now(tenant, changes))
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(self.scan_now(tenant, prefix, limit, after))
    }
}
