//! The slots of a region in the memory of this process.

use super::{Memory, lock_read, lock_write};
use crate::publish::{
    Content, DeviceAddress, Found, MAX_CONTENT, PublishError, Publisher, PublisherCapabilities, Receipt, Slot,
    SlotVersion,
};
use crate::store::{BoxFuture, Tenant};
use std::collections::HashMap;
use std::sync::RwLock;

/// The content of each slot, and its number of changes.
type SlotsOfTenant = HashMap<Slot, (u64, Content)>;

#[derive(Debug, Default)]
pub(super) struct Slots(RwLock<HashMap<Tenant, SlotsOfTenant>>);

fn version(count: u64) -> SlotVersion {
    SlotVersion::new(count.to_string())
}

impl Slots {
    fn put(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        content: &Content,
        seen: Option<&SlotVersion>,
    ) -> Result<Receipt, PublishError> {
        if content.to_bytes().len() > MAX_CONTENT {
            return Err(PublishError::TooLarge { limit: MAX_CONTENT });
        }
        let receipt = |count| Receipt { version: version(count), durable: false };
        let mut tenants = lock_write(&self.0);
        let found = tenants.get(tenant).and_then(|slots| slots.get(slot));
        let count = match found {
            Some((count, known)) if known == content => return Ok(receipt(*count)),
            Some((_, known)) if known.is_after(content) => return Err(PublishError::Stale { action: known.action() }),
            Some((count, _)) if seen == Some(&version(*count)) => count.saturating_add(1),
            None if seen.is_none() => 1,
            Some(_) | None => return Err(PublishError::Changed),
        };
        tenants.entry(tenant.clone()).or_default().insert(slot.clone(), (count, content.clone()));
        Ok(receipt(count))
    }

    fn read(&self, tenant: &Tenant, slot: &Slot) -> Option<Found> {
        let tenants = lock_read(&self.0);
        let (count, content) = tenants.get(tenant)?.get(slot)?;
        Some(Found { content: content.clone(), version: version(*count) })
    }
}

/// A region in the memory of this process, for tests and demonstrations. Its devices poll.
impl Publisher for Memory {
    fn capabilities(&self) -> PublisherCapabilities {
        PublisherCapabilities::new().with_compare_and_set(true)
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
        Box::pin(async move { self.slots.put(tenant, slot, content, seen) })
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        Box::pin(async move { Ok(self.slots.read(tenant, slot)) })
    }

    fn notify<'a>(
        &'a self,
        _tenant: &'a Tenant,
        _device: &'a DeviceAddress,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Err(PublishError::Unsupported { what: "devices look at their slots by themselves" }) })
    }
}
