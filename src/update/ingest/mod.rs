//! State machine of an upload, without I/O, clock or randomness.
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
//! If another writer removes the reference of an attached or superseded upload from the component, the upload stays in
//! its state while the reference is written again (`ReferenceMissing`), or is released as lost (`ReferenceLost`).
//!
//! The record of an upload, an [`Ingest`], is written to the ledger before its first byte is accepted, and each
//! [`step`] is a compare-and-set there. The next effect follows from the state alone ([`resume`]), so that any process
//! that finds a record can continue it. Late inputs are absorbed or refused.
//!
//! # Assumptions of the machine
//!
//! A driver performs the effects and feeds their results in. It must keep this order:
//!
//! 1. The record is written before bytes are accepted. The bytes go to a writer, where nobody can see them.
//! 2. The [blob ledger](super::blob) holds the bytes before the record is [`State::Acquired`], and the record is so
//!    before the bytes are committed. So no blob key is visible that the ledger does not know.
//! 3. The bytes are committed under digest *and* generation, after their digest was measured, and the blob ledger
//!    records it before the upload is [`State::Stored`].
//! 4. The component is read first, and the records after it, in this order; [`Input::TargetRead`] then decides. The
//!    reference is written only on condition that the component is still as it was read. A component that has a
//!    reference of this upload is not written: that is [`Input::ReferenceWritten`].
//! 5. The component is fixed in the record before it is written, and never changed. Before a hold is released, that
//!    component is written once more, with or without a reference in it, so that a writer who read it before can no
//!    longer write.
//! 6. The record leaves its state before its hold is released.
//! 7. A withdrawn update stays in its component, as `withdrawn`, until its retention ends. The component shows that
//!    before the hold on the bytes is released, and is written as in 5 even without a reference. The hold is then
//!    released at once, not when the retention ends: a file that must not be installed must not be available, and
//!    evidence is kept by a [legal hold](crate::audit::Holder::LegalHold).
//! 8. A superseded update is made current again by a decision that is recorded first ([`State::Restoring`]). The
//!    component is read, then the record again, and then the reference is written on condition that the component is
//!    still as it was read. The reference counts its restorations, and is not written for a count that it already has:
//!    so the decision is carried out once, even if another update has superseded it since. An input that marks an
//!    upload as superseded has the count of the reference that was seen, so that observations from before a restoration
//!    are ignored.
//!
//! Steps 2, 3 and 6 change two records each. A ledger may commit both at once; the order is enough.

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
