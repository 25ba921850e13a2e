//! A region whose slots are records of a ledger.

use crate::publish::{
    Content, DeviceAddress, Found, MAX_CONTENT, PublishError, Publisher, PublisherCapabilities, Receipt, RegionId,
    Slot, SlotVersion,
};
use crate::store::{BoxFuture, Change, CommitError, Ledger, LedgerKey, Revision, Sha256, StoreError, Tenant, hex};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// A region whose slots are records of a ledger: devices poll a service that reads them there.
///
/// It is the region of a service without another one: it needs nothing but the ledger, and acknowledged content is as
/// durable as the ledger.
///
/// ```
/// use fhir_devices::backend::{Memory, Slots};
/// use fhir_devices::publish::{ActionNumber, Content, OfferKey, Publisher, Slot};
/// use fhir_devices::update::rollout::{Attempt, DeploymentId};
/// use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let region = Slots::new(Arc::new(Memory::new()), "local".parse()?);
/// let (tenant, slot) = ("st-mary".parse()?, Slot { device: "pump-7".parse()?, component: "channel".parse()? });
/// let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// let tombstone = Content::Tombstone { key, action: ActionNumber(1) };
/// region.put(&tenant, &slot, &tombstone, None).await?;
/// assert_eq!(region.read(&tenant, &slot).await?.unwrap().content, tombstone);
/// # Ok(())
/// # }
/// ```
pub struct Slots<L: ?Sized = dyn Ledger> {
    region: RegionId,
    ledger: Arc<L>,
}

/// How a slot is read. The names stand in it, as its key has only their digests.
#[derive(Deserialize)]
struct Written {
    format: u32,
    slot: Slot,
    content: Content,
}

/// The same as it is written, its content being JSON already.
#[derive(Serialize)]
struct ToWrite<'a> {
    format: u32,
    slot: &'a Slot,
    content: &'a RawValue,
}

const FORMAT: u32 = 1;

impl<L: Ledger + ?Sized> Slots<L> {
    /// Creates a region over the slots in a ledger.
    #[must_use]
    pub fn new(ledger: Arc<L>, region: RegionId) -> Self {
        Self { region, ledger }
    }

    /// Returns the key of a slot: a name may contain characters that a ledger key must not.
    fn key(&self, slot: &Slot) -> Result<LedgerKey, PublishError> {
        let short =
            |text: &str| hex(Sha256::of(text.as_bytes()).0.get(..16).unwrap_or_default(), &mut [0; 64]).to_owned();
        let key = format!("slot/{}/{}/{}", self.region, short(slot.device.as_str()), short(slot.component.as_str()));
        LedgerKey::new(key).map_err(|error| PublishError::Backend { source: Box::new(error) })
    }

    async fn found(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        key: &LedgerKey,
    ) -> Result<Option<(Content, Revision)>, PublishError> {
        let Some(record) = self.ledger.get(tenant, key).await? else { return Ok(None) };
        let corrupt = |what: &str| StoreError::corrupt(format!("the record `{key}` of slot `{slot}` {what}"));
        let written: Written = serde_json::from_slice(&record.value).map_err(|_| corrupt("cannot be read"))?;
        if written.format != FORMAT {
            return Err(corrupt("is of a later version").into());
        }
        if written.slot != *slot {
            return Err(corrupt("is of another slot").into());
        }
        Ok(Some((written.content, record.revision)))
    }

    async fn write(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        content: &Content,
        seen: Option<&SlotVersion>,
    ) -> Result<Receipt, PublishError> {
        let failed = |error: serde_json::Error| PublishError::Backend { source: Box::new(error) };
        let raw = serde_json::value::to_raw_value(content).map_err(failed)?;
        if raw.get().len() > MAX_CONTENT {
            return Err(PublishError::TooLarge { limit: MAX_CONTENT });
        }
        let receipt = |revision: &Revision| Receipt { version: SlotVersion::new(revision.as_str()), durable: true };
        let key = self.key(slot)?;
        let value = Bytes::from(serde_json::to_vec(&ToWrite { format: FORMAT, slot, content: &raw }).map_err(failed)?);
        if seen.is_none() {
            // Most slots are written for the first time: only where that is not so, what is there tells why.
            match self.ledger.apply(tenant, vec![Change::create(key.clone(), value.clone())]).await {
                Ok(made) => return made.first().map(receipt).ok_or(PublishError::Indeterminate { source: None }),
                Err(CommitError { error: StoreError::AlreadyExists { .. } | StoreError::Conflict { .. }, .. }) => {}
                Err(refused) => return Err(refused.error.into()),
            }
        }
        let change = match self.found(tenant, slot, &key).await? {
            Some((known, revision)) if known == *content => return Ok(receipt(&revision)),
            Some((known, _)) if known.is_after(content) => return Err(PublishError::Stale { action: known.action() }),
            Some((_, revision)) if seen.is_some_and(|seen| seen.as_str() == revision.as_str()) => {
                Change::replace(key, revision, value)
            }
            Some(_) | None => return Err(PublishError::Changed),
        };
        let made = self.ledger.apply(tenant, vec![change]).await.map_err(|refused| refused.error)?;
        made.first().map(receipt).ok_or(PublishError::Indeterminate { source: None })
    }
}

impl<L: Ledger + ?Sized> Publisher for Slots<L> {
    fn capabilities(&self) -> PublisherCapabilities {
        PublisherCapabilities::new().with_compare_and_set(true).with_durable(true)
    }

    fn connection(&self) -> Option<u64> {
        Some(0)
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        slot: &'a Slot,
        content: &'a Content,
        seen: Option<&'a SlotVersion>,
    ) -> BoxFuture<'a, Result<Receipt, PublishError>> {
        Box::pin(self.write(tenant, slot, content, seen))
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        Box::pin(async move {
            let found = self.found(tenant, slot, &self.key(slot)?).await?;
            let found = found.map(|(content, revision)| (content, SlotVersion::new(revision.as_str())));
            Ok(found.map(|(content, version)| Found { content, version }))
        })
    }

    fn notify<'a>(
        &'a self,
        _tenant: &'a Tenant,
        _device: &'a DeviceAddress,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Err(PublishError::Unsupported { what: "devices look at their slots by themselves" }) })
    }
}

impl<L: ?Sized> fmt::Debug for Slots<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("region", &self.region).finish_non_exhaustive()
    }
}
