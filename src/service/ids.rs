//! Sources of upload ids.

use crate::manifest::IngestId;
use crate::store::{Result, random_number};

/// A source of unique ids. Closures implement it.
///
/// # Contract
///
/// No id is returned twice: not by two processes, not after a restart, not after a ledger was restored from a backup,
/// not in two tenants that share a store. Ids identify writes of bytes as well as uploads, and a late deletion would
/// hit the bytes of another upload with the same id. A counter in each process does not suffice; 128 random bits do, or
/// a time with enough of them.
///
/// ```
/// use fhir_devices::service::{IdSource, IngestId, RandomIds};
/// // Names that begin with the number of a site.
/// use fhir_devices::store::Result;
///
/// struct OfSite(u8);
///
/// impl IdSource for OfSite {
///     fn next_id(&self) -> Result<IngestId> {
///         Ok(IngestId(u128::from(self.0) << 120 | RandomIds.next_id()?.0 >> 8))
///     }
/// }
/// assert_ne!(OfSite(7).next_id()?, OfSite(7).next_id()?);
/// # Ok::<(), fhir_devices::store::StoreError>(())
/// ```
pub trait IdSource: Send + Sync + 'static {
    /// Returns a new id.
    ///
    /// # Errors
    /// Where none is available: [`StoreError::Unavailable`](crate::store::StoreError::Unavailable). The call that needs
    /// it then fails.
    fn next_id(&self) -> Result<IngestId>;
}

impl<F: Fn() -> IngestId + Send + Sync + 'static> IdSource for F {
    fn next_id(&self) -> Result<IngestId> {
        Ok(self())
    }
}

/// Ids of 128 random bits from the operating system.
///
/// ```
/// use fhir_devices::service::{IdSource, RandomIds};
/// assert_ne!(RandomIds.next_id()?, RandomIds.next_id()?);
/// # Ok::<(), fhir_devices::store::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn next_id(&self) -> Result<IngestId> {
        random_number().map(IngestId)
    }
}
