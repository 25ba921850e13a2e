//! Software updates: what a component says about those that are available, and what happens to one that comes in.
//!
//! Nothing here does I/O or asks a clock; [`service`](crate::service) carries it out over the caller's stores.

pub mod audit;
mod available;
mod downgrade;
mod id;
pub mod ingest;
mod text;

pub use available::{AVAILABLE_UPDATE, AvailableUpdate, NotAnUpdate, UpdateFile, UpdateStatus, attach, available};
pub use downgrade::DowngradeAuthorization;
pub use id::{IdempotencyKey, IngestId, NotAKey, NotAnIngestId};
pub use text::{ActorId, KeyId, Name, Note, ProviderId, UpdateName, VersionLabel};
