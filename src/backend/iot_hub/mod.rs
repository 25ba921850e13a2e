//! Regions whose slots are in the device twins of an Azure IoT Hub.
//!
//! A hub is a region. The slot of a component is the member of its name in the section `fhirUpdate` of the twin's desired
//! properties:
//!
//! ```json
//! {"properties": {"desired": {"fhirUpdate": {"pump-7-mds": {"content": "{\"offer\":{..}}"}}}}}
//! ```
//!
//! The [`Content`] is a text of JSON, as the numbers of a twin are smaller than those of an offer. A hub tells the devices that are
//! connected of a change; one that connects reads its twin. A device reports by the section `fhirUpdate` of its reported
//! properties: a member for each component, which is a [`DeviceReport`](crate::service::DeviceReport) as an object, or the text of one
//! or of a list. The caller reads them from the hub's change events ([`reports_of`]), or has them read by
//! [`IotHub::pull_reports`].
//!
//! The device of a tenant is `TENANT:DEVICE` in the hub, so that tenants share a hub and no twin; a hub of one tenant may name its
//! devices as they are ([`Options::with_tenant`]). Characters that a hub does not take in a name are percent-encoded.
//!
//! Writes are conditional on the `ETag` of the twin. That covers the whole of it: whoever else writes to the twin causes another
//! attempt, and no offer is lost.

mod name;
mod options;
mod reports;
mod token;
mod wire;

pub use options::Options;
pub use reports::{PulledReports, reports_of};

use crate::publish::{
    Content, DeviceAddress, Found, MAX_CONTENT, PublishError, Publisher, PublisherCapabilities, Receipt, Slot,
    SlotVersion,
};
use crate::store::{BoxFuture, Sha256, Tenant, hex};
use serde_json::{Value, json};
use std::fmt;
use wire::{Twin, Written};

/// The section of the twin that is ours.
const SECTION: &str = "fhirUpdate";

/// How often a twin is read again that others write to.
const ATTEMPTS: usize = 8;

/// A region whose slots are in the device twins of an Azure IoT Hub.
///
/// ```no_run
/// use fhir_devices::backend::iot_hub::{IotHub, Options};
/// use fhir_devices::publish::Publisher;
///
/// let connection = std::fs::read_to_string("hub-connection")?;
/// let region: IotHub = Options::from_connection_string(connection.trim())?.open()?;
/// assert!(region.capabilities().compare_and_set && region.capabilities().durable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IotHub {
    options: Options,
    client: reqwest::Client,
    token: token::TokenCache,
}

/// The version of a slot: that of its content, and the tag of the twin in which it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenSlot {
    content: String,
    etag: String,
}

impl SeenSlot {
    fn of(content: &Content, etag: &str) -> Self {
        let digest = Sha256::of(&content.to_bytes());
        let content = hex(digest.0.get(..16).unwrap_or_default(), &mut [0; 64]).to_owned();
        Self { content, etag: etag.to_owned() }
    }

    fn read(version: &SlotVersion) -> Option<Self> {
        let (content, etag) = version.as_str().split_once(' ')?;
        Some(Self { content: content.to_owned(), etag: etag.to_owned() })
    }

    fn version(&self) -> SlotVersion {
        SlotVersion::new(format!("{} {}", self.content, self.etag))
    }
}

impl IotHub {
    /// Returns the content of a slot in a twin. What is no content there is overwritten by the next one.
    fn content(twin: &Twin, slot: &Slot) -> Option<Content> {
        let kept = twin.properties.desired.get(SECTION)?.get(name::key(&slot.component))?;
        Content::from_bytes(kept.get("content")?.as_str()?.as_bytes()).ok()
    }

    async fn found(&self, tenant: &Tenant, slot: &Slot) -> Result<(Option<Content>, String), PublishError> {
        let twin = self.twin(&self.device(tenant, &slot.device)?).await?;
        Ok((Self::content(&twin, slot), twin.etag))
    }

    fn device(&self, tenant: &Tenant, device: &DeviceAddress) -> Result<String, PublishError> {
        name::device(self.options.tenant(), tenant, device.as_str()).ok_or(PublishError::UnknownDevice)
    }

    async fn write(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        content: &Content,
        seen: Option<&SlotVersion>,
    ) -> Result<Receipt, PublishError> {
        let bytes = content.to_bytes();
        if bytes.len() > MAX_CONTENT {
            return Err(PublishError::TooLarge { limit: MAX_CONTENT });
        }
        let seen = seen.map(|version| SeenSlot::read(version).ok_or(version));
        let device = self.device(tenant, &slot.device)?;
        let text = String::from_utf8(bytes).map_err(|error| PublishError::Backend { source: error.into() })?;
        let patch =
            json!({ "properties": { "desired": { SECTION: { name::key(&slot.component): { "content": text } } } } });
        for _ in 0..ATTEMPTS {
            let (known, etag) = self.found(tenant, slot).await?;
            match (&known, &seen) {
                (Some(known), _) if known == content => {
                    return Ok(Receipt::new(SeenSlot::of(known, &etag).version(), true));
                }
                (Some(known), _) if known.is_after(content) => {
                    return Err(PublishError::Stale { action: known.action() });
                }
                (Some(known), Some(Ok(seen))) if SeenSlot::of(known, &etag).content == seen.content => {}
                (None, None) => {}
                _ => return Err(PublishError::Changed),
            }
            match self.patch(&device, &patch, &etag).await? {
                Written::As(etag) => return Ok(Receipt::new(SeenSlot::of(content, &etag).version(), true)),
                // The twin changed since; perhaps not this slot.
                Written::Not => {}
            }
        }
        Err(PublishError::Changed)
    }
}

impl Publisher for IotHub {
    fn capabilities(&self) -> PublisherCapabilities {
        PublisherCapabilities::new().with_compare_and_set(true).with_durable(true).with_max_content(MAX_CONTENT)
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
            let (content, etag) = self.found(tenant, slot).await?;
            Ok(content.map(|content| {
                let version = SeenSlot::of(&content, &etag).version();
                Found::new(content, version)
            }))
        })
    }

    /// Returns at once: a hub tells every device that is connected by itself.
    fn notify<'a>(
        &'a self,
        _tenant: &'a Tenant,
        _device: &'a DeviceAddress,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }
}

impl fmt::Debug for IotHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IotHub").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Returns a member of an object; `Null` where there is none.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}
