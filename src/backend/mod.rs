//! Stores that exist: in memory, and one that throws everything away.

mod discard;
pub mod memory;
#[cfg(feature = "encryption")]
pub mod sealed;

pub use discard::Discard;
pub use memory::Memory;
