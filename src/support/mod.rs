//! What several rooms need, each once. It names no other room.

mod name;

pub use name::UnknownName;
pub(crate) use name::names;
