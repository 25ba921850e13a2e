//! Stores that stand in for others: one that fails on purpose, one that records, one that tries again.
//!
//! Each is a wrapper around a store of the caller's, for all three contracts at once.

mod blobs;
mod fault_schedule;
mod faulty;
mod recording;
mod retrying;

pub(super) use fault_schedule::mixed;
pub use fault_schedule::{CallOutcome, CallPlan};
pub use faulty::Faulty;
pub use recording::{Call, Recording};
pub use retrying::Retrying;
