//! What happens to an upload: a state machine without I/O, clock or randomness.
//!
//! ```text
//!                                                                           ReferenceRestored
//!                                                                              +-------- Restoring <--------+
//!                                                                              v   RestoreFailed, |         | Restore-
//!            BytesHeld             BytesCommitted           ReferenceWritten   |   Superseded     v         | Requested
//! Open ------------------> Acquired ------------> Stored ------------------> Attached ------------> Superseded
//!  |                          |                   | ^  |                        |    Superseded         |
//!  | CheckFailed, Deadline-   | the same          | +--+ TargetRead: fixed      | Withdrawn             | Withdrawn,
//!  | Reached, TargetLost, Not-|                   |      Conflicted: again      |                       | Retired
//!  | Admitted, Withdrawn      v                   v                             v                       v
//!  |                      Releasing <-------------+-----------------------------+-----------------------+
//!  v     BytesReleased      | | ^
//! Closed <------------------+ | +-- ReferenceDropped: the component first, then the hold
//!  ^                          |
//!  |                          +--> Withdrawn: ReferenceMarked, then BytesReleased; the component shows the recall
//!  +----- ReferenceDropped, once RetentionEnded --+
//! ```
//!
//! An attached or superseded upload whose reference somebody else took out of the component stays where it is while the
//! reference is written again (`ReferenceMissing`), or is released as lost (`ReferenceLost`).
//!
//! The record of an upload, an [`Ingest`], is written to the ledger before its first byte is taken, and each [`step`] is a
//! compare-and-set there. What is to be done next follows from the state alone ([`resume`]), so that whoever finds a record
//! can go on with it. What comes late is absorbed or refused.
//!
//! # What the machine counts on
//!
//! A driver carries effects out and feeds in what came of them. It owes the machine an order:
//!
//! 1. The record is written before the bytes are taken. The bytes pass into a writer, and nobody can see them.
//! 2. The [blob ledger](super::blob) holds the bytes before the record says [`State::Acquired`], and the record says so before
//!    the bytes are committed. So no name of bytes is visible that the ledger does not know.
//! 3. The bytes are committed under digest *and* generation, after their digest was measured, and the blob ledger is told
//!    before the record says [`State::Stored`].
//! 4. A component is read first, and the records after it, in this order; then [`Input::TargetRead`] is asked what to do.
//!    The reference is written only on the condition that the component is still as it was read. A component that has a
//!    reference of this upload is not written to: that is [`Input::ReferenceWritten`].
//! 5. The component is fixed in the record before it is written to, and never changed. Before a hold is given up, that
//!    component is written to once more, with or without a reference in it, so that one who read it before can no longer write.
//! 6. The record leaves its state before what it held is released.
//! 7. A withdrawn update stays in its component, as `withdrawn`, until its retention ends. The component says so before the
//!    hold on the bytes is released, and is written to as in 5 even where it has no reference. The hold is released at once
//!    then, and not when the retention ends: a file that must not be installed is not to be had, and whoever needs it as
//!    evidence holds it by a [legal hold](crate::audit::Holder::LegalHold).
//! 8. An update that was superseded is made current again by a decision that the record has first ([`State::Restoring`]).
//!    The component is read, then the record again, and then the reference is written on the condition that the component
//!    is still as it was read. The reference counts how often that was done, and is not written to for a number that it has:
//!    so the decision is carried out once, even where another update has taken its place since. Who marks an upload as
//!    superseded says the number of the reference that was seen, so that what was seen before a restoration means nothing.
//!
//! Steps 2, 3 and the last one change two records each. A ledger that commits both at once may do so; the order is enough.

mod acceptance;
mod effect;
mod input;
mod intent;
mod machine;
mod record;
mod state;

pub use effect::{Effect, EffectKey, EffectName, resume};
pub use input::{Input, Refusal, Step, Transition};
pub use intent::{Intent, Limits, check};

pub use acceptance::{AcceptanceResult, NotAcceptable, Standing, check_acceptance};
pub use machine::step;
pub use record::{Ingest, Signed, Unreadable};
pub use state::State;
