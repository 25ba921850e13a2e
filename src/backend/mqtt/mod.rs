//! Regions whose slots are retained messages of an MQTT 5 broker.
//!
//! A slot is the retained message of the topic `PREFIX/TENANT/DEVICE/COMPONENT/offer`, whose payload is the [`Content`] as JSON.
//! A device subscribes to `PREFIX/TENANT/DEVICE/+/offer`: the broker gives it the newest content when it connects, and every later
//! one at once. It reports to `PREFIX/TENANT/DEVICE/report`, by QoS 1 and as JSON, one [`DeviceReport`](crate::service::DeviceReport)
//! or a list of them. Where a name has other characters than letters, digits, `-`, `.`, `_` and `~`, they are percent-encoded.
//!
//! The access rules of the broker are the authentication: the user of the service reads and writes `PREFIX/#`, and a device reads
//! `PREFIX/TENANT/DEVICE/+/offer` and writes `PREFIX/TENANT/DEVICE/report` of its own name alone.
//!
//! A broker acknowledges a message before it has saved it, and may lose it in a crash. So a region is not durable: a
//! [`RolloutService`](crate::service::RolloutService) verifies its slots over each new connection, and writes again what was lost.
//! There is no compare-and-set either, so a region has one writer at a time: its client id is fixed, and a broker cuts off the
//! earlier client of an id. A writer that was cut off reads the slots and the ledger again before it writes anything.

mod connection;
mod options;
mod put;
mod reports;
mod topic;

pub use options::Options;
pub use reports::ReportCounts;

use crate::publish::{
    Content, DeviceAddress, Found, MAX_CONTENT, PublishError, Publisher, PublisherCapabilities, Receipt, Slot,
    SlotVersion,
};
use crate::store::{BoxFuture, Tenant};
use connection::Connections;
use std::fmt;
use std::sync::Arc;

/// A region whose slots are retained messages of an MQTT 5 broker.
///
/// It holds a connection for as long as it lives, connects again by itself, and keeps the content of the region's slots in memory
/// as the broker has them: about a kilobyte each.
///
/// ```no_run
/// use fhir_devices::backend::{Mqtt, mqtt};
/// use fhir_devices::publish::Publisher;
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let options = mqtt::Options::new("mqtts://broker.example", &"lab".parse()?)?
///     .with_roots(&std::fs::read("broker-ca.pem")?)?
///     .with_identity(&std::fs::read("service.pem")?)?;
/// let region = Mqtt::connect(options)?;
/// assert!(!region.capabilities().durable);
/// # Ok(())
/// # }
/// ```
pub struct Mqtt {
    connections: Arc<Connections>,
    worker: tokio::task::AbortHandle,
}

impl Mqtt {
    /// Begins to connect to a broker, within the present tokio runtime. Nothing is waited for: while the broker cannot be
    /// reached, calls are [`PublishError::Unavailable`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`](crate::store::StoreError::Invalid) when there is no tokio runtime;
    /// [`StoreError::Backend`](crate::store::StoreError::Backend) when there is no TLS to be had.
    pub fn connect(options: Options) -> crate::store::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| crate::store::StoreError::invalid("a connection to a broker needs a tokio runtime"))?;
        let connections = Arc::new(Connections::new(options)?);
        let worker = runtime.spawn(connection::keep_connected(Arc::clone(&connections))).abort_handle();
        Ok(Self { connections, worker })
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Publisher for Mqtt {
    fn capabilities(&self) -> PublisherCapabilities {
        PublisherCapabilities::new().with_max_content(MAX_CONTENT)
    }

    fn connection(&self) -> Option<u64> {
        self.connections.number()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        slot: &'a Slot,
        content: &'a Content,
        _seen: Option<&'a SlotVersion>,
    ) -> BoxFuture<'a, Result<Receipt, PublishError>> {
        Box::pin(put::put(&self.connections, tenant, slot, content))
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        Box::pin(async move {
            let connection = self.connections.connected().await?;
            let found = connection.slots().content(&topic::offer(self.connections.options.prefix(), tenant, slot));
            Ok(found.map(|(content, version)| Found::new(content, version)))
        })
    }

    /// Returns at once: the broker tells every device that is connected by itself.
    fn notify<'a>(
        &'a self,
        _tenant: &'a Tenant,
        _device: &'a DeviceAddress,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }
}

impl fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mqtt").field("options", &self.connections.options).finish_non_exhaustive()
    }
}
