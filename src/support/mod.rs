//! What several rooms need, each once. It names no other room.

mod invalid_text;
mod name;

pub use invalid_text::InvalidText;
pub use name::UnknownName;
pub(crate) use name::names;
