//! Creation of tenant handles from a shared store.

use super::{BlobStore, Ledger, ResourceStore, Tenant, TenantBlobs, TenantLedger, TenantResources};
use std::sync::Arc;

/// Extension of a shared store with constructors of tenant handles.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{ForTenant, Generation, StoreError, stream};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Arc::new(Memory::new());
/// let missing = memory.for_tenant("st-mary".parse()?).read(&"Device/pump".parse()?).await;
/// assert!(matches!(missing, Err(StoreError::NotFound { .. })));
/// memory.blobs_for("st-mary".parse()?).put(Generation(1), stream::once("firmware")).await?;
/// assert!(memory.ledger_for("st-mary".parse()?).get(&"a".parse()?).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub trait ForTenant<S: ?Sized> {
    /// Returns a handle for the resources of a tenant.
    fn for_tenant(&self, tenant: Tenant) -> TenantResources<S>
    where
        S: ResourceStore;

    /// Returns a handle for the files of a tenant.
    fn blobs_for(&self, tenant: Tenant) -> TenantBlobs<S>
    where
        S: BlobStore;

    /// Returns a handle for the ledger records of a tenant.
    fn ledger_for(&self, tenant: Tenant) -> TenantLedger<S>
    where
        S: Ledger;
}

impl<S: ?Sized> ForTenant<S> for Arc<S> {
    fn for_tenant(&self, tenant: Tenant) -> TenantResources<S>
    where
        S: ResourceStore,
    {
        TenantResources::new(Self::clone(self), tenant)
    }

    fn blobs_for(&self, tenant: Tenant) -> TenantBlobs<S>
    where
        S: BlobStore,
    {
        TenantBlobs::new(Self::clone(self), tenant)
    }

    fn ledger_for(&self, tenant: Tenant) -> TenantLedger<S>
    where
        S: Ledger,
    {
        TenantLedger::new(Self::clone(self), tenant)
    }
}
