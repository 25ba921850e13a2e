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
//! [deployments](super::deployment) share: how many devices may be at work at once, and how many may fail before the lane offers
//! no more. Which lane and which wave a component is in follows from its id by a hash, so that planning it again, in any order
//! and in any company, comes to the same.
//!
//! # What it counts on, and what it gives
//!
//! 1. An order of the rollout has a higher [`Epoch`] than the one before, and a lane takes no other. The rollout says what it
//!    wants ([`Status::Halting`]), then each lane does it, in a commit of its own. `Halted`, `Paused`, `Cancelled` and
//!    `Superseded` follow from a [`Fold`] over every lane, and from nothing else: after them no device gets bytes, and
//!    [`Rollout::already_out`] counts exactly those that had some.
//! 2. All lanes together may have as many failures as the criterion allows: the shares are conserved. They are moved from lane
//!    to lane in one commit over both ([`LaneHead::move_shares`]), and more are made in one commit over the rollout and a lane
//!    ([`Rollout::allow_more`]). So at most limit + cap - 1 devices fail, for any number of lanes.
//! 3. Which components exist is known before they are done: [`Status::Completed`] needs the last page to be planned.
//! 4. A lane that ends takes no new deployment, so that one who plans late adds nothing to a rollout that was cancelled.

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
