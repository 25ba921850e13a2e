//! Software updates: what a component says about those that are available, and what happens to one that comes in.
//!
//! Nothing here does I/O or asks a clock; [`service`](crate::service) carries it out over the caller's stores.
//!
//! Two machines work together: [`ingest`] is one upload, from its announcement to the reference in its component, and
//! [`blob`] is the ledger of the bytes, which says who needs them. Each has a `step` that is a function of a record, an input
//! and the time, and each transition becomes a record of the [`audit`] chain. A [`manifest`] says what an update is for, and who
//! says so. [The manual](crate::manual::design#updates) tells what the drivers owe them.

pub mod audit;
mod audit_draft;
mod available;
pub mod blob;
mod id;
pub mod ingest;
pub mod manifest;
pub(crate) mod moment;
mod name;
mod sequence;
mod text;
mod version_claim;
mod version_downgrade;

pub use audit_draft::{Action, AuditDraft, StateName};
pub use available::{
    AVAILABLE_UPDATE, AvailableUpdate, NotAnUpdate, UpdateFile, UpdateStatus, attach, attach_under, available, detach,
    is_available_update, make_current, withdraw,
};
pub(crate) use available::{attach_beside, move_file, put_back, set_status, update_id};
pub use id::{ActorId, IdempotencyKey, IngestId, NotAKey, NotAName, NotAnIngestId, PinId};
pub use name::UnknownName;
pub use sequence::{
    Acceptance, Accepted, DowngradeAuthorization, MAX_SEQUENCE, NotHigher, NotLowered, Unsequenced, accept, lower,
};
pub use text::{KeyId, Note, ProviderId, UpdateName, VersionLabel, hidden_character};
pub use version_claim::{VersionClaim, VersionTaken};
pub(crate) use version_downgrade::reported_versions;
pub use version_downgrade::{LowerVersion, VersionDowngrade};
