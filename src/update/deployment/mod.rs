//! A deployment: the update of one component in a rollout, from its plan to the proof of what it runs.
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
//! # What it counts on, and what it gives
//!
//! 1. A device gets the bytes from the one who was told [`Step::grants`], after the transition was written, and from nobody
//!    else. What a slot says is a wish; the claim is the fact. So a stop stops, whatever a region forgets or repeats.
//! 2. What a device says moves its [`Phase`]. A report of the version that it runs proves that it succeeded, unless the
//!    [`Spec`](super::rollout::Spec) says that the word is enough. One that it runs something else proves nothing until the
//!    device was started again. Where nothing proves what runs, the outcome is [`Outcome::Unproven`], and counts as a failure.
//! 3. A deployment, its [lane](super::rollout::LaneHead) and the [locks](DeviceOffers) of the device are written in one commit.
//!    The criteria that stop a rollout are looked at in it.
//! 4. Each offer has a number that rises for the device, over all rollouts. A slot takes nothing of a lower number, and no
//!    offer whose tombstone it has: what is written late does nothing.
//! 5. Whoever writes a slot looks at it first, then reads the deployment, and then writes on condition that the slot is
//!    still as it was. In the other order a tombstone may be replaced by the offer that it took back.

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
