//! A region that may be down, lose answers, and forget its content.

use super::super::choices::Choices;
use super::super::net::turn;
use fhir_devices::publish::{
    Content, DeviceAddress, Found, PublishError, Publisher, PublisherCapabilities, Receipt, Slot, SlotVersion,
};
use fhir_devices::store::{BoxFuture, Tenant};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

type Slots = BTreeMap<(Tenant, Slot), (Content, u64)>;

pub(super) struct Region {
    choices: Choices,
    /// Whether a write is refused where the slot changed since it was read, as by a twin; otherwise it is written, as
    /// by a broker.
    compares: bool,
    slots: Mutex<Slots>,
    saved: Mutex<Slots>,
    versions: AtomicU64,
    down: AtomicBool,
    /// Whether it ever showed replaced content again.
    forgot: AtomicBool,
    /// One of this many calls fails; 0 for none.
    odds: AtomicU64,
}

impl Region {
    pub(super) fn new(choices: Choices) -> Self {
        let compares = choices.pick(3) != 2;
        let odds = [0, 8, 24][choices.pick(3)];
        Self {
            choices,
            compares,
            slots: Mutex::default(),
            saved: Mutex::default(),
            versions: AtomicU64::new(0),
            down: AtomicBool::new(false),
            forgot: AtomicBool::new(false),
            odds: AtomicU64::new(odds),
        }
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    pub(super) fn calm(&self) {
        self.set_down(false);
        self.odds.store(0, Ordering::Relaxed);
    }

    /// Saves the content that returns when the region forgets.
    pub(super) fn save(&self) {
        *self.saved.lock().unwrap() = self.slots.lock().unwrap().clone();
    }

    pub(super) fn forget(&self) {
        self.forgot.store(true, Ordering::Relaxed);
        *self.slots.lock().unwrap() = self.saved.lock().unwrap().clone();
    }

    /// Returns whether the region always shows the last write.
    pub(super) fn is_exact(&self) -> bool {
        self.compares && !self.forgot.load(Ordering::Relaxed)
    }

    pub(super) fn contents(&self) -> Vec<(Tenant, Slot, Content)> {
        let slots = self.slots.lock().unwrap();
        slots.iter().map(|((tenant, slot), (content, _))| (tenant.clone(), slot.clone(), content.clone())).collect()
    }

    fn goes_wrong(&self) -> bool {
        let odds = self.odds.load(Ordering::Relaxed) as usize;
        odds > 0 && self.choices.rarely(odds)
    }

    fn reachable(&self) -> Result<(), PublishError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(PublishError::Unavailable { retry_after: None, source: None });
        }
        if !self.goes_wrong() {
            return Ok(());
        }
        Err(match self.choices.pick(3) {
            0 => PublishError::Throttled { retry_after: Some(Duration::from_secs(20)) },
            1 => PublishError::Backend { source: "a fault".into() },
            _ => PublishError::Unavailable { retry_after: None, source: None },
        })
    }

    fn write(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        content: &Content,
        seen: Option<&SlotVersion>,
    ) -> Result<Receipt, PublishError> {
        let mut slots = self.slots.lock().unwrap();
        let key = (tenant.clone(), slot.clone());
        let known = slots.get(&key);
        if let Some((found, version)) = known {
            if found == content {
                return Ok(Receipt::new(version_of(*version), false));
            }
            if self.compares && found.is_after(content) {
                return Err(PublishError::Stale { action: found.action() });
            }
        }
        if self.compares && known.map(|(_, version)| version_of(*version)).as_ref() != seen {
            return Err(PublishError::Changed);
        }
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        slots.insert(key, (content.clone(), version));
        Ok(Receipt::new(version_of(version), false))
    }
}

fn version_of(version: u64) -> SlotVersion {
    SlotVersion::new(version.to_string())
}

impl Publisher for Region {
    fn capabilities(&self) -> PublisherCapabilities {
        PublisherCapabilities::new().with_compare_and_set(self.compares).with_max_content(4 << 10)
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
        Box::pin(async move {
            turn().await;
            self.reachable()?;
            let written = self.write(tenant, slot, content, seen);
            if self.goes_wrong() { Err(PublishError::Indeterminate { source: None }) } else { written }
        })
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        Box::pin(async move {
            turn().await;
            self.reachable()?;
            let slots = self.slots.lock().unwrap();
            let found = slots.get(&(tenant.clone(), slot.clone()));
            Ok(found.map(|(content, version)| Found::new(content.clone(), version_of(*version))))
        })
    }

    fn notify<'a>(&'a self, _: &'a Tenant, _: &'a DeviceAddress) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Err(PublishError::Unsupported { what: "to notify a device" }) })
    }
}
