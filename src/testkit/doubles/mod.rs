//! Stores that stand in for others: one that fails on purpose, one that records, one that tries again.
//!
//! Each is a wrapper around a store of the caller's, for all three contracts at once.

mod blobs;
mod dice;
mod faulty;
mod recording;
mod retrying;

pub(super) use dice::mixed;
pub use dice::{Fate, Plan};
pub use faulty::Faulty;
pub use recording::{Call, Recording};
pub use retrying::Retrying;
