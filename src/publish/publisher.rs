//! The contract of a region.

use super::{Content, DeviceAddress, Found, PublishError, Slot, SlotVersion};
use crate::store::{BoxFuture, Tenant};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The capabilities of a region. They never change.
///
/// ```
/// use fhir_devices::{backend::Memory, publish::{Publisher, PublisherCapabilities}};
/// assert_eq!(Memory::new().capabilities(), PublisherCapabilities::new().with_compare_and_set(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherCapabilities {
    /// Whether writes are conditional on the version of the slot. Otherwise the region must have one writer at a time.
    pub compare_and_set: bool,
    /// Whether acknowledged writes survive a crash of the region. Otherwise its slots are verified at intervals, and
    /// after each new connection.
    pub durable: bool,
    /// Whether a device takes one offer at a time, for all its components together.
    pub one_per_device: bool,
    /// Maximum size of a content, in bytes of the written form; [`MAX_CONTENT`](super::MAX_CONTENT) at least.
    pub max_content: usize,
    /// Maximum number of writes per second, if known.
    pub per_second: Option<NonZeroU32>,
}

impl Default for PublisherCapabilities {
    fn default() -> Self {
        Self::new()
    }
}

impl PublisherCapabilities {
    /// Returns the capabilities of the least capable region: unconditional writes that a crash may lose, several offers
    /// per device, and contents of at most [`MAX_CONTENT`](super::MAX_CONTENT) bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            compare_and_set: false,
            durable: false,
            one_per_device: false,
            max_content: super::MAX_CONTENT,
            per_second: None,
        }
    }

    /// Sets whether writes are conditional on the version of the slot.
    #[must_use]
    pub const fn with_compare_and_set(self, compare_and_set: bool) -> Self {
        Self { compare_and_set, ..self }
    }

    /// Sets whether acknowledged writes survive a crash of the region.
    #[must_use]
    pub const fn with_durable(self, durable: bool) -> Self {
        Self { durable, ..self }
    }

    /// Sets whether a device takes one offer at a time.
    #[must_use]
    pub const fn with_one_per_device(self, one_per_device: bool) -> Self {
        Self { one_per_device, ..self }
    }

    /// Sets the maximum size of a content, in bytes of the written form.
    #[must_use]
    pub const fn with_max_content(self, max_content: usize) -> Self {
        Self { max_content, ..self }
    }

    /// Sets the maximum number of writes per second.
    #[must_use]
    pub const fn with_per_second(self, per_second: NonZeroU32) -> Self {
        Self { per_second: Some(per_second), ..self }
    }
}

/// The receipt of a write.
///
/// ```
/// use fhir_devices::publish::{Receipt, SlotVersion};
/// let receipt = Receipt::new(SlotVersion::new("3"), true);
/// assert!(receipt.durable);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The version of the slot that has the content.
    pub version: SlotVersion,
    /// Whether the write survives a crash of the region.
    pub durable: bool,
}

impl Receipt {
    /// Returns the receipt for a version of a slot: whether it survives a crash of the region.
    #[must_use]
    pub const fn new(version: SlotVersion, durable: bool) -> Self {
        Self { version, durable }
    }
}

/// A region with the slots of its devices.
///
/// # Contract
///
/// - **G1 Repetition.** Writing the content that a slot already holds succeeds, whatever `seen` is, and changes
///   nothing.
/// - **G2 Compare and set.** With [`compare_and_set`](PublisherCapabilities::compare_and_set), a write whose `seen` is
///   not the newest version of the slot fails with `Changed` and changes nothing; without `seen` it succeeds only where
///   the slot never held anything. The check and the write are one step: of several writers that saw the same version,
///   exactly one wins.
/// - **G3 Order.** A content never replaces one that [is after it](Content::is_after): the write fails with `Stale`,
///   and changes nothing. Without compare-and-set this holds where a read shows the later content.
/// - **G4 Reading.** An acknowledged content is found by every later read of any caller until it is replaced; where the
///   region is [`durable`](PublisherCapabilities::durable), after a crash of the region as well.
/// - **G5 Tenants.** No call sees or changes a slot of another tenant. Two tenants may have slots of the same name.
/// - **G6 Cancellation.** Dropping a future leaves the old content or the new one, and the region keeps working.
/// - **G7 Fidelity.** A content is read as it was written, in every member.
/// - **G8 Errors.** [`PublishError::applied`] is correct. A content of up to
///   [`max_content`](PublisherCapabilities::max_content) bytes is accepted; a larger one is `TooLarge` before anything
///   is written.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::publish::{ActionNumber, Content, OfferKey, PublishError, Publisher, Slot};
/// use fhir_devices::store::Tenant;
/// use fhir_devices::update::rollout::{Attempt, DeploymentId};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (region, tenant): (Memory, Tenant) = (Memory::new(), "st-mary".parse()?);
/// let region: &dyn Publisher = &region;
/// let slot = Slot { device: "pump-7".parse()?, component: "channel".parse()? };
/// let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
/// let tombstone = |action| Content::Tombstone { key, action: ActionNumber(action) };
///
/// let receipt = region.put(&tenant, &slot, &tombstone(2), None).await?;
/// let late = region.put(&tenant, &slot, &tombstone(1), Some(&receipt.version)).await;
/// assert!(matches!(late, Err(PublishError::Stale { action: ActionNumber(2) })));
/// assert_eq!(region.read(&tenant, &slot).await?.unwrap().content, tombstone(2));
/// # Ok(())
/// # }
/// ```
pub trait Publisher: Send + Sync + 'static {
    /// Returns the capabilities of the region.
    fn capabilities(&self) -> PublisherCapabilities;

    /// Returns the number of the connection to the region; `None` while there is none. A region that is not
    /// [`durable`](PublisherCapabilities::durable) may have lost what it acknowledged over an earlier connection: its slots are
    /// verified whenever the number is another. A publisher without a lasting connection always gives the same.
    fn connection(&self) -> Option<u64>;

    /// Writes a slot (G1, G2, G3).
    ///
    /// # Errors
    /// `Stale`, `Changed` and `TooLarge` by the contract; `UnknownDevice`, and other errors of the region.
    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        slot: &'a Slot,
        content: &'a Content,
        seen: Option<&'a SlotVersion>,
    ) -> BoxFuture<'a, Result<Receipt, PublishError>>;

    /// Reads a slot (G4); `None` where it never held anything.
    ///
    /// # Errors
    /// `UnknownDevice`, and other errors of the region.
    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>>;

    /// Tells a device to look at its slots. The message may be lost: nothing depends on it.
    ///
    /// # Errors
    /// `Unsupported` where the region cannot; `UnknownDevice`, and other errors of the region.
    fn notify<'a>(&'a self, tenant: &'a Tenant, device: &'a DeviceAddress) -> BoxFuture<'a, Result<(), PublishError>>;
}

impl<P: Publisher + ?Sized> Publisher for Arc<P> {
    fn capabilities(&self) -> PublisherCapabilities {
        (**self).capabilities()
    }

    fn connection(&self) -> Option<u64> {
        (**self).connection()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        slot: &'a Slot,
        content: &'a Content,
        seen: Option<&'a SlotVersion>,
    ) -> BoxFuture<'a, Result<Receipt, PublishError>> {
        (**self).put(tenant, slot, content, seen)
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        (**self).read(tenant, slot)
    }

    fn notify<'a>(&'a self, tenant: &'a Tenant, device: &'a DeviceAddress) -> BoxFuture<'a, Result<(), PublishError>> {
        (**self).notify(tenant, device)
    }
}
