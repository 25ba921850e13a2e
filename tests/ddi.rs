//! hawkBit's device interface as a library: recorded conversations of clients, and every kind of invalid request.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "ddi/conversations.rs"]
mod conversations;
#[path = "ddi/refusals.rs"]
mod refusals;
#[path = "ddi/stages.rs"]
mod stages;
#[path = "ddi/world.rs"]
mod world;
