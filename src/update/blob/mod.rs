//! The state machine of a blob: its holders, and when it may be deleted.
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
//! There is one [`Entry`] for each copy of some bytes that a tenant has. Bytes are named by digest and generation, and no
//! generation comes back:
//! what was condemned is never revived, whoever needs the same bytes again gets a new name for them. So a deletion that
//! arrives late, or twice, hits nothing that anybody needs.
//!
//! Bytes are deleted in two places, and nowhere else: those of a condemned entry, and what [`sweep`] finds under a name that the
//! ledger does not know, or knows no more. An error path that cleans up after itself would delete what others share.
//!
//! An entry lists who holds its copy, so that there is a limit to how many uploads may: the one after them is refused as
//! [`Refusal::Full`], and begins a copy of its own. The copies of the same bytes know nothing of each other: each is held,
//! condemned and deleted by itself.
//!
//! A hold may be left behind by one who died between two writes. [`justified`] tells, from the record of the upload.

mod entry;
mod machine;

pub use entry::{Entry, State};
pub use machine::{Effect, Input, Refusal, Step, Sweep, Transition, justified, resume, step, sweep};
