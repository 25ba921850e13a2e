//! Stores that exist: in memory, one that throws everything away, and those of existing engines, each with its feature.

mod discard;
pub mod memory;
#[cfg(feature = "object-store")]
pub mod object_store;

pub use discard::Discard;
pub use memory::Memory;
#[cfg(feature = "object-store")]
pub use object_store::Objects;
