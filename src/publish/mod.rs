//! The boundary to a region: publishing offers where devices look for them.
//!
//! A region has one *slot* for each component: a register that holds nothing, an [`Offer`], or a tombstone. A twin's desired
//! properties, a retained message, the answer to a poll and a row of a ledger are all slots. Nothing is sent, so nothing queues
//! up: a region that was down gets the newest wish and no backlog, writing the same once more changes nothing, and an offer is
//! taken back by a tombstone in its place.
//!
//! A slot says what is wished. What a device *gets* is decided when it asks for the bytes
//! ([`deployment`](crate::update::deployment)); so a region that forgets, repeats or is late makes no stopped rollout go on.
//!
//! Who writes a slot reads it first, then the record of the deployment, and then writes on condition that the slot is still as
//! it was read. [`testkit`](https://docs.rs/fhir-devices/latest/fhir_devices/testkit/) has the contract of [`Publisher`] as a suite.

mod error;
mod publisher;
mod slot;

pub use error::PublishError;
pub use publisher::{Publisher, PublisherCapabilities, Receipt};
pub use slot::{Content, DeviceAddress, Found, MAX_CONTENT, Offer, OfferedFile, Slot};

pub use crate::update::deployment::SlotVersion;
pub use crate::update::rollout::{ActionNumber, OfferKey, RegionId};
