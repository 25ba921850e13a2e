//! The storage contracts that the caller implements, and tenant-bound handles.
//!
//! Three small traits with a numbered contract each: [`ResourceStore`] for FHIR resources, [`BlobStore`] for the bytes
//! of update files and [`Ledger`] for the state of the crate's own work. Applications do not call them directly: they
//! hold a [`TenantResources`], a [`TenantBlobs`] or a [`TenantLedger`], whose methods take no tenant, so that no call
//! can name the wrong one.
//!
//! The futures of the traits are boxed by hand, so that a store may be a `dyn` value, and nothing here needs a runtime.
//! Only [`ResourceStore::search_with_targets`] and [`ResourceStore::changes`] have default methods: a wrapper that
//! forgets any other method does not compile.
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::store::TenantResources;
//! use fhir_devices::{Device, Valid};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
//! let device = Device::from_json(br#"{"resourceType":"Device","id":"infusion-7","model":"P9"}"#)?;
//! let created = store.create(&Valid::new(device)?).await?;
//! assert_eq!(created.version.etag(), "W/\"1\"");
//! let (device, _) = store.get::<Device>("infusion-7").await?;
//! assert!(device.to_json().contains(r#""model":"P9""#));
//! # Ok(())
//! # }
//! ```

mod blob;
mod blob_store;
mod capabilities;
mod changes;
mod clock;
mod document;
mod edit;
mod error;
mod for_tenant;
mod hex;
mod key;
mod ledger;
mod page;
mod random;
mod resolver;
mod resource_store;
mod search;
mod store_id;
mod stored;
pub mod stream;
mod tenant;
mod tenant_blobs;
mod tenant_ledger;
mod tenant_resources;
mod valid_write;
mod verified;

pub use blob::{BlobHasher, BlobInfo, BlobKey, BlobRead, BlobRef, Generation, PutOutcome, Sha256, UrlKind};
pub use blob_store::{BlobStore, BlobWriter};
pub use capabilities::{AtomicScope, BlobCapabilities, Capabilities};
pub use changes::Changes;
pub(crate) use clock::to_millisecond;
pub use clock::{Clock, MAX_CLOCK_SKEW, SystemClock, commit_time};
pub use document::{Precondition, Version, Write};
pub use edit::writes;
pub use error::{Applied, BoxError, CommitError, Result, StoreError, Subject};
pub use for_tenant::ForTenant;
pub(crate) use hex::{hex, number};
pub use key::{Key, VersionId, WriteId};
pub use ledger::{Change, LEDGER_MAX_CHANGES, LEDGER_MAX_VALUE, Ledger, LedgerKey, LedgerRecord, Revision};
pub use page::{Page, PageKey, PageQuery, PageToken};
pub(crate) use page::{parsed_place, text_place, version_place};
#[cfg(feature = "encryption")]
pub(crate) use random::fill_random;
pub(crate) use random::random_bytes;
#[cfg(any(feature = "cosmos", feature = "object-store"))]
pub(crate) use random::random_name;
pub(crate) use random::random_number;
pub(crate) use resolver::typed;
pub use resolver::{DeviceTree, StoreResolver};
pub use resource_store::{BoxFuture, ResourceStore};
pub use search::{Search, SearchOrder};
pub use store_id::StoreId;
pub(crate) use stored::stamp;
pub use stored::{Storable, Stored};
pub use stream::ByteStream;
pub use tenant::Tenant;
pub use tenant_blobs::TenantBlobs;
pub use tenant_ledger::TenantLedger;
pub use tenant_resources::TenantResources;
pub use valid_write::ValidWrite;
pub(crate) use verified::verified;

// Search criteria and index entries.
pub use crate::support::InvalidText;
