//! The publishers of this crate, tested against the contract of a region.

#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use fhir_devices::backend::{Memory, Slots};
use fhir_devices::publish::{ActionNumber, Content, OfferKey, PublishError, Publisher, Slot};
use fhir_devices::store::{Change, Ledger, Tenant};
use fhir_devices::testkit::store::block_on;
use fhir_devices::update::rollout::{Attempt, DeploymentId};
use std::sync::Arc;

fhir_devices::publisher_conformance!(memory, store = Memory::new());
fhir_devices::publisher_conformance!(
    slots_in_a_ledger,
    store = Slots::new(Arc::new(Memory::new()), "local".parse().unwrap())
);

#[test]
fn regions_of_one_ledger_have_separate_slots() {
    let ledger = Arc::new(Memory::new());
    let [eu, us] = ["eu", "us"].map(|region| Slots::new(Arc::clone(&ledger), region.parse().unwrap()));
    let tenant: Tenant = "st-mary".parse().unwrap();
    let slot = Slot { device: "pump-7".parse().unwrap(), component: "channel".parse().unwrap() };
    let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
    let content = Content::Tombstone { key, action: ActionNumber(1) };
    block_on(eu.put(&tenant, &slot, &content, None)).unwrap();
    assert_eq!(block_on(us.read(&tenant, &slot)).unwrap(), None);
}

#[test]
fn damaged_slot_is_an_error_and_is_kept() {
    let ledger = Arc::new(Memory::new());
    let region = Slots::new(Arc::clone(&ledger), "eu".parse().unwrap());
    let tenant: Tenant = "st-mary".parse().unwrap();
    let slot = Slot { device: "pump-7".parse().unwrap(), component: "channel".parse().unwrap() };
    let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
    let content = Content::Tombstone { key, action: ActionNumber(1) };
    block_on(region.put(&tenant, &slot, &content, None)).unwrap();
    let page = block_on(ledger.scan(&tenant, &"slot/eu".parse().unwrap(), std::num::NonZeroU32::MIN, None)).unwrap();
    let record = page.items.into_iter().next().unwrap();
    let damaged = Change::replace(record.key, record.revision, "{");
    block_on(ledger.apply(&tenant, vec![damaged])).unwrap();
    assert!(matches!(block_on(region.read(&tenant, &slot)), Err(PublishError::Backend { .. })));
    assert!(matches!(block_on(region.put(&tenant, &slot, &content, None)), Err(PublishError::Backend { .. })));
}
