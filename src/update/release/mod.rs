//! Release: the files of an update and their target components, held once for any number of components.
//!
//! ```text
//!           BytesHeld, BytesHashed     Released                WithdrawRequested               HoldsReleased
//! (draft) ------------------> Draft -------------> Released ------------------> Withdrawing ---------------> Withdrawn
//!                               |                       (no rollout of it runs)      ^
//!                               +-- the deadline, WithdrawRequested -----------------+
//! ```
//!
//! A release never changes once it is [`State::Released`]: what is rolled out is what was released. It can only be
//! withdrawn while no rollout of it runs, so that those are cancelled first, and its bytes are released after that.

mod machine;
mod record;

pub use super::rollout::Unreadable;
pub use crate::manifest::ReleaseId;
pub use machine::{Effect, Input, Refusal, Step, Transition, resume, step};
pub use record::{InvalidRelease, Release, ReleasedFile, Request, Sha1, State, Target};
