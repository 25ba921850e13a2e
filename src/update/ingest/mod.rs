//! What happens to an upload: a state machine without I/O, clock or randomness.
//!
//! ```text
//! Open --BytesCommitted--> Stored --ReferenceWritten--> Attached
//!  |                          |
//!  +--CheckFailed--> Closed <-+--TargetLost
//! ```
//!
//! The record of an upload, an [`Ingest`], is written to the ledger before its first byte is taken (the intent comes before
//! the bytes), and each [`step`] is a compare-and-set there. What is to be done next follows from the state alone
//! ([`resume`]), so that whoever finds a record can go on with it. [`State::Attached`] and [`State::Closed`] are ends: they
//! absorb what comes late.

mod intent;
mod machine;
mod record;

pub use intent::{Intent, Limits, Reason, check};
pub use machine::{Effect, Input, Refusal, State, Step, resume, step};
pub use record::{Ingest, Unreadable};
