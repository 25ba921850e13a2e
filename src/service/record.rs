//! The record of an upload in the ledger, changed by compare-and-set.

use super::ReceiveError;
use super::upload::{Ingest, Input, Refusal, Step, step};
use crate::store::{Applied, Change, Ledger, LedgerKey, LedgerRecord, Revision, Sha256, StoreError, Tenant};
use crate::update::{IdempotencyKey, IngestId};
use bytes::Bytes;

/// A record as it was when it was last read or written.
pub(super) struct Record<'s, L: ?Sized> {
    ledger: &'s L,
    tenant: &'s Tenant,
    key: LedgerKey,
    revision: Revision,
    pub(super) ingest: Ingest,
}

/// Where the record of an upload is: under the key of the sender, whose text may be no path, else under its own id.
pub(super) fn key_of(key: Option<&IdempotencyKey>, id: IngestId) -> Result<LedgerKey, ReceiveError> {
    let name = match key {
        Some(key) => format!("ingest/key/{}", Sha256::of(key.as_str().as_bytes())),
        None => format!("ingest/id/{id}"),
    };
    LedgerKey::new(name).map_err(|error| ReceiveError::Ledger(error.into()))
}

impl<'s, L: Ledger + ?Sized> Record<'s, L> {
    pub(super) fn tenant(&self) -> &'s Tenant {
        self.tenant
    }

    pub(super) async fn load(ledger: &'s L, tenant: &'s Tenant, key: LedgerKey) -> Result<Option<Self>, ReceiveError> {
        let Some(LedgerRecord { revision, value, .. }) =
            ledger.get(tenant, &key).await.map_err(ReceiveError::Ledger)?
        else {
            return Ok(None);
        };
        let ingest = Ingest::from_bytes(&value).map_err(|unreadable| {
            ReceiveError::Ledger(StoreError::Corrupt { what: format!("the record `{key}`: {unreadable}") })
        })?;
        Ok(Some(Self { ledger, tenant, key, revision, ingest }))
    }

    /// Makes the record; nothing when another was first.
    pub(super) async fn create(
        ledger: &'s L,
        tenant: &'s Tenant,
        key: LedgerKey,
        ingest: Ingest,
    ) -> Result<Option<Self>, ReceiveError> {
        let made = put(ledger, tenant, &key, None, &ingest).await?;
        Ok(made.map(|revision| Self { ledger, tenant, key, revision, ingest }))
    }

    /// Puts another upload or state in its place, or reads what somebody else has put there; says which.
    pub(super) async fn replace(&mut self, ingest: Ingest) -> Result<bool, ReceiveError> {
        match put(self.ledger, self.tenant, &self.key, Some(&self.revision), &ingest).await? {
            Some(revision) => {
                (self.revision, self.ingest) = (revision, ingest);
                Ok(true)
            }
            None => {
                self.reload().await?;
                Ok(false)
            }
        }
    }

    /// Reads it again.
    pub(super) async fn reload(&mut self) -> Result<(), ReceiveError> {
        match Self::load(self.ledger, self.tenant, self.key.clone()).await? {
            Some(now) => *self = now,
            None => return Err(ReceiveError::Ledger(StoreError::NotFound)),
        }
        Ok(())
    }

    /// Steps, from whatever state the record is in by now.
    pub(super) async fn advance(&mut self, input: &Input) -> Result<Result<(), Refusal>, ReceiveError> {
        loop {
            match step(&self.ingest, input) {
                Ok(Step::Unchanged) => return Ok(Ok(())),
                Err(refusal) => return Ok(Err(refusal)),
                Ok(Step::To { state }) => {
                    let next = Ingest { state, ..self.ingest.clone() };
                    if self.replace(next).await? {
                        return Ok(Ok(()));
                    }
                }
            }
        }
    }
}

/// Writes a record; nothing when another writer was first. A write of unknown outcome is looked for by its value.
async fn put<L: Ledger + ?Sized>(
    ledger: &L,
    tenant: &Tenant,
    key: &LedgerKey,
    expected: Option<&Revision>,
    ingest: &Ingest,
) -> Result<Option<Revision>, ReceiveError> {
    let value = Bytes::from(ingest.to_bytes());
    let change = Change { key: key.clone(), expected: expected.cloned(), value: Some(value.clone()) };
    let error = match ledger.apply(tenant, vec![change]).await {
        Ok(mut made) => return Ok(made.pop()),
        Err(refused) => refused.error,
    };
    match error {
        StoreError::Conflict { .. } | StoreError::AlreadyExists { .. } => Ok(None),
        lost if lost.applied() == Applied::Unknown => match ledger.get(tenant, key).await {
            Ok(Some(found)) if found.value == value => Ok(Some(found.revision)),
            Ok(Some(found)) if Some(&found.revision) != expected => Ok(None),
            _ => Err(ReceiveError::Ledger(lost)),
        },
        error => Err(ReceiveError::Ledger(error)),
    }
}
