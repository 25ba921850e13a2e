//! Test doubles: faulty, recording and retrying stores.
//!
//! Each wraps a store of the caller, for all three contracts at once.

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
