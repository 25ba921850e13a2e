//! The boundary to a region: publishing offers where devices look for them.
//!
//! A region has one *slot* for each component: a register that holds nothing, an [`Offer`], or a tombstone. A twin's
//! desired properties, a retained message, the answer to a poll and a row of a ledger are all slots. Nothing is sent,
//! so nothing queues up: a region that was down gets the newest offer and no backlog, repeating a write changes
//! nothing, and an offer is retracted by a tombstone in its place.
//!
//! A slot states the wanted update. Whether a device *gets* it is decided when the device asks for the bytes
//! ([`deployment`](crate::update::deployment)); so a region that forgets, repeats or is late cannot continue a stopped
//! rollout.
//!
//! A writer of a slot reads the slot first, then the record of the deployment, and then writes on the condition that
//! the slot is unchanged. [`testkit`](https://docs.rs/fhir-devices/latest/fhir_devices/testkit/) has the contract of
//! [`Publisher`] as a test suite.

mod error;
mod publisher;
mod slot;

pub use error::PublishError;
pub use publisher::{Publisher, PublisherCapabilities, Receipt};
pub use slot::{Content, DeviceAddress, Found, MAX_CONTENT, Offer, OfferedFile, Slot};

pub use crate::update::deployment::SlotVersion;
pub use crate::update::rollout::{ActionNumber, OfferKey, RegionId};
