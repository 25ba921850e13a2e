//! Helpers that several modules share. This module depends on no other.

mod cause;
mod http;
mod invalid_text;
mod name;
mod object;
mod shown;
mod text;
#[cfg(any(feature = "fhir-http", feature = "iot-hub", feature = "mqtt", feature = "object-store", feature = "server"))]
pub(crate) mod tls;
mod yielding;

#[cfg(any(feature = "object-store", feature = "redb"))]
pub(crate) use cause::chain;
pub(crate) use cause::with_causes;
pub use http::http_date;
pub(crate) use http::{names_tag, read_http_date};
pub use invalid_text::InvalidText;
pub use name::UnknownName;
pub(crate) use name::names;
pub(crate) use object::read_object;
pub(crate) use shown::Shown;
pub(crate) use text::{json_string_length, truncated};
pub(crate) use yielding::yield_now;
