//! Software updates: the available updates of a component, and the state machines of uploads and rollouts.
//!
//! Nothing here does I/O or asks a clock; [`service`](crate::service) carries it out over the caller's stores.
//!
//! For the update of one device, two machines work together: [`ingest`] is one upload, from its announcement to the reference in its component, and
//! [`blob`] is the ledger of the bytes, which says who needs them. Each has a `step` that is a function of a record, an input
//! and the time, and each transition becomes a record of the [`audit`](crate::audit) chain, from which [`replay`] rebuilds
//! the states. A [`manifest`](crate::manifest) says what an update is for, and who says so. [The manual](crate::manual::design#updates) tells what the drivers owe them.
//!
//! [`reconcile`] decides what is done where somebody else wrote to a component.
//!
//! For many devices there are four more: a [`release`] is bytes that are held for any number of components, a [`rollout`] brings
//! them to those in waves, and a [`deployment`] is one component in it, in a [lane](rollout::LaneHead) that it shares with others.

mod available;
pub mod blob;
pub mod deployment;
pub mod ingest;
pub mod reconcile;
pub mod release;
mod replay;
pub mod rollout;
mod sequence;
mod version_claim;
mod version_downgrade;

pub use available::{
    AVAILABLE_UPDATE, AvailableUpdate, NotAnUpdate, UpdateFile, UpdateStatus, attach, attach_under, available, current,
    detach, is_available_update, make_current, withdraw,
};
pub(crate) use available::{
    attach_beside, exactly, make_current_beside, may_have_updates, move_file, put_back, remove_damage, set_status,
    states, update_id,
};
pub use replay::{Replayed, Unfit, replay};
pub use sequence::{Accepted, NotLowered, Unsequenced, lower};
pub use version_claim::{VersionClaim, VersionTaken};
pub(crate) use version_downgrade::reported_versions;
pub use version_downgrade::{LowerVersion, VersionDowngrade};

pub(crate) use crate::primitive::moment;
