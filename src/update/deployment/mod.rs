//! Deployment: the update of one component in a rollout, from its plan to the proof of the running version.
//!
//! ```text
//!            Evaluated                OfferRequested            SlotWritten           ClaimRequested
//!   Held <--------------> Planned -----------------> Offering ------------> Offered ----------------> Claimed
//!                            ^                          |         (a claim may come before it)           |
//!                            |  SlotWritten             | StopRequested, a failure, the deadline         | a version report,
//!                            +-------------- Retracting <-------------------+ (another attempt) <--------+ the deadline, ..
//!                                                |                                                       v
//!                                                +--------------------------------------------------> Done
//! ```
//!
//! # Assumptions and guarantees
//!
//! 1. A device gets bytes only from a caller for whom [`Step::grants`] was true, after the transition was committed. A
//!    slot only holds a wish; the claim is the fact. So a stop is effective, whatever a region forgets or repeats.
//! 2. Reports of a device move its [`Phase`]. A report of the running version proves success, unless the
//!    [`Spec`](super::rollout::Spec) accepts the device's word. A report of another version proves nothing until the
//!    device has restarted. Without proof of the running version the outcome is [`Outcome::Unproven`], and counts as a
//!    failure.
//! 3. A deployment, its [lane](super::rollout::LaneHead) and the [locks](DeviceOffers) of the device are written in one
//!    commit, which also evaluates the criteria that stop a rollout.
//! 4. Each offer has an action number that rises for the device, across all rollouts. A slot refuses lower numbers, and
//!    offers whose tombstone it has: a late write does nothing.
//! 5. A writer of a slot reads the slot first, then the deployment, and then writes on condition that the slot is
//!    unchanged. In the other order a tombstone may be replaced by the offer that it retracted.

mod input;
mod lock;
mod machine;
mod state;

pub use input::{Effect, Found, Input, PutRefusal, Refusal, Runs, Step, Transition};
pub use lock::{DeviceOffers, Lock, NotFree};
pub use machine::{Context, Target, plan, resume, step};
pub use state::{
    Deployment, Evidence, Outcome, OutcomeClass, Phase, Retraction, SlotVersion, State, StateName, StopRequest,
};
