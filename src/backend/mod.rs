//! Stores that exist: in memory, one that throws everything away, and those of existing engines, each with its feature.

#[cfg(feature = "redb")]
mod answer;
#[cfg(any(feature = "redb", feature = "postgres"))]
mod codes;
mod discard;
#[cfg(feature = "redb")]
mod files;
mod form;
pub mod memory;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "encryption")]
pub mod sealed;

#[cfg(feature = "postgres")]
pub use self::postgres::Postgres;
#[cfg(feature = "redb")]
pub use self::redb::Redb;
pub use discard::Discard;
#[cfg(feature = "redb")]
pub use files::Files;
pub use memory::Memory;
#[cfg(feature = "object-store")]
pub use object_store::Objects;
