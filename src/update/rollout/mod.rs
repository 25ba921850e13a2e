//! Rollouts: one release to many components, in waves, halted automatically after too many failures.
//!
//! ```text
//! Drafted -> AwaitingApproval -> Ready -> Running -> Completed
//!                  |                      |  ^  |
//!                Denied     Pausing -> Paused|  +-> Halting -> Halted -> Running, once it is approved again
//!                              any of Ready to Halted -> Cancelling -> Cancelled, or Superseding -> Superseded
//! ```
//!
//! A rollout has up to [`MAX_LANES`] lanes. A [lane](LaneHead) has components of one region, and is a record that its
//! [deployments](super::deployment) share: the maximum number of devices in flight, and the number of failures at which
//! the lane stops making offers. Lane and wave of a component follow from a hash of its id, so that planning it again
//! gives the same result, in any order and with any other components.
//!
//! # Assumptions and guarantees
//!
//! 1. An order of the rollout has a higher [`Epoch`] than the previous one, and a lane accepts no other. The rollout
//!    records what it wants ([`Status::Halting`]), then each lane does it, in a commit of its own. `Halted`, `Paused`,
//!    `Cancelled` and `Superseded` follow only from a [`Fold`] over every lane: after them no device is granted bytes,
//!    and [`Rollout::already_out`] is the exact number of devices that were.
//! 2. All lanes together have the failure allowance of the criterion: shares are conserved. They move from lane to lane
//!    in one commit of both ([`LaneHead::move_shares`]), and grow in one commit of the rollout and a lane
//!    ([`Rollout::allow_more`]). So at most limit + cap - 1 devices fail, for any number of lanes.
//! 3. All components are known before the rollout completes: [`Status::Completed`] requires the last page to be
//!    planned.
//! 4. A draining lane accepts no new deployment, so that late planning adds nothing to a cancelled rollout.

mod event;
mod fold;
mod id;
mod lane;
mod machine;
pub(super) mod record;
mod replay;
mod spec;

pub use super::ingest::Unreadable;
pub use event::{Action, After, Event};
pub use fold::{Fold, NotEveryLane};
pub use id::{ActionNumber, Attempt, DeploymentId, Epoch, FailureCode, Lane, OfferKey, RegionId, RolloutId, Wave};
pub use lane::{Allowance, Counts, LaneHead, LaneInput, LaneRefusal, LaneStatus, LaneStep, Share, Tally};
pub use machine::{
    Base, Planned, Rollout, RolloutEffect, RolloutInput, RolloutRefusal, RolloutStep, RolloutTransition, Status,
    resume, step,
};
pub use replay::{LaneSeal, ReplayedLane, UnfitEvent};
pub use spec::{
    Gate, InvalidSpec, MAX_CRITERIA, MAX_LANES, MAX_PINS, MAX_WAVES, Proof, Rate, RegionPolicy, Retry, RolloutRequest,
    Scope, Spec, StopCriterion, Timeouts, WaveSpec,
};
