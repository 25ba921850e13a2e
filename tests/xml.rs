//! FHIR XML: reading, writing, comparison with the published schemas, and refusal of faulty documents.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

mod common;
#[path = "xml/corpus.rs"]
mod corpus;
#[path = "common/exact.rs"]
mod exact;
#[path = "common/growth.rs"]
mod growth;
#[path = "xml/properties.rs"]
mod properties;
#[path = "xml/reading.rs"]
mod reading;
#[path = "xml/schema.rs"]
mod schema;
