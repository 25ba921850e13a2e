//! Conversion between FHIR versions: the pairs of the corpus, round trips of published and of generated documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

#[path = "convert/checked.rs"]
mod checked;
mod common;
#[path = "convert/exact.rs"]
mod exact;
#[path = "convert/foreign.rs"]
mod foreign;
#[path = "convert/generated.rs"]
mod generated;
#[path = "common/growth.rs"]
mod growth;
#[path = "convert/options.rs"]
mod options;
#[path = "convert/own.rs"]
mod own;
#[path = "convert/pairs.rs"]
mod pairs;
#[path = "convert/rules.rs"]
mod rules;
