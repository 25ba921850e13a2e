//! State machine of a blob: its holders, and when it may be deleted.
//!
//! ```text
//!          Held: a new generation                       CollectionDue
//! (none) -----------------------> Live ---------------------------------------> Condemned
//!   ^                             ^  | Held, Released,  nobody holds them, and        |
//!   |                             +--+ Committed        nobody did for the grace      | delete, as often as it takes
//!   |                                                                                 v
//!  Gone <---------------------------------------------------------------------- AbsenceConfirmed
//! ```
//!
//! Each copy of some bytes that a tenant has gets one [`Entry`]. Copies are named by digest and generation, and no
//! generation is reused: a condemned copy is never revived, and a new holder of the same bytes gets a new copy. So a
//! deletion that arrives late, or twice, never hits bytes that are needed.
//!
//! Bytes are deleted in two places only: those of a condemned entry, and those that [`sweep`] finds under a key unknown
//! to the ledger, or gone. An error path that cleaned up after itself would delete shared bytes.
//!
//! An entry lists the holders of its copy, so that their number can be limited: one upload too many is refused as
//! [`Refusal::Full`], and begins a copy of its own. The copies of the same bytes are independent: each is held,
//! condemned and deleted by itself.
//!
//! A process that dies between two writes may leave a hold behind. [`justified`] tells, from the record of the upload.

mod entry;
mod machine;

pub use entry::{Entry, State};
pub use machine::{Effect, Input, Refusal, Step, Sweep, Transition, justified, resume, step, sweep};
