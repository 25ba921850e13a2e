//! Software updates: the available updates of a component, and the state machines of uploads and rollouts.
//!
//! Nothing here does I/O or reads a clock; [`service`](crate::service) performs the effects over the caller's stores.
//!
//! The update of one device uses two state machines: [`ingest`] is one upload, from its announcement to the reference
//! in its component, and [`blob`] is the ledger of the bytes, which records their holders. Each has a `step` that is a
//! function of a record, an input and the time, and each transition becomes a record of the [`audit`](crate::audit)
//! chain, from which [`replay`] rebuilds the states. A signed [`manifest`](crate::manifest) describes what an update is
//! for. [The manual](crate::manual::design#updates) describes the duties of the drivers.
//!
//! [`reconcile`] decides what to do after another program wrote to a component.
//!
//! Updates of many devices add three more: a [`release`] holds bytes for any number of components, a [`rollout`] brings
//! them to those in waves, and a [`deployment`] is one component in it, in a [lane](rollout::LaneHead) that it shares
//! with others.

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
