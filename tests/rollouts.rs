//! Releases, rollouts and device reports, over the in-memory store.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[cfg(feature = "testkit")]
#[path = "rollouts/crashes.rs"]
mod crashes;
#[path = "rollouts/fleet.rs"]
mod fleet;
#[path = "rollouts/life.rs"]
mod life;
#[path = "rollouts/releases.rs"]
mod releases;
#[path = "rollouts/stops.rs"]
mod stops;
