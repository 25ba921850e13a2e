//! Software updates: what a component says about those that are available, and what happens to one that comes in.
//!
//! Nothing here does I/O or asks a clock; [`service`](crate::service) carries it out over the caller's stores.

mod available;
mod id;
pub mod ingest;

pub use available::{AVAILABLE_UPDATE, AvailableUpdate, NotAnUpdate, UpdateFile, UpdateStatus, attach, available};
pub use id::{IdempotencyKey, IngestId, NotAKey, NotAnIngestId};
