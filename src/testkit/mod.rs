//! Support for tests: the contracts of the stores as suites, arbitrary valid values, and documents
//! with one fault.
//!
//! A backend author needs the feature `conformance`, which brings no dependency. [`store`] checks a store against its
//! contract, and [`history`] checks the order of concurrent calls. [`Faulty`] injects faults, and [`Recording`] records
//! calls.
//!
//! ```toml
//! [dev-dependencies]
//! fhir-devices = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! The feature `testkit` adds [proptest](https://docs.rs/proptest) strategies for each resource, datatype and primitive
//! (`testkit::strategies`), and `testkit::mutations`, which injects one fault of a known kind into a document and names
//! the rule and the path that must report it.
//!
//! ```toml
//! [dev-dependencies]
//! fhir-devices = { version = "0.1", features = ["testkit"] }
//! proptest = "1"
//! ```

mod doubles;
pub mod history;
pub mod store;

#[cfg(feature = "testkit")]
mod faults;
#[cfg(feature = "testkit")]
mod generator;
#[cfg(feature = "testkit")]
mod json;
#[cfg(feature = "testkit")]
pub mod mutations;
#[cfg(feature = "testkit")]
mod primitives;
#[cfg(feature = "testkit")]
mod rules;
#[cfg(feature = "testkit")]
mod shrink;
#[cfg(feature = "testkit")]
pub mod strategies;
#[cfg(feature = "testkit")]
mod texts;
#[cfg(feature = "testkit")]
mod values;

pub use doubles::{Call, CallOutcome, CallPlan, Faulty, Recording, Retrying};
