//! For the tests of those who use the crate: arbitrary valid values, documents with one fault, and the contracts of the
//! stores as suites.
//!
//! The floor is there with the feature `testkit`, for dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! fhir-devices = { version = "0.1", features = ["testkit"] }
//! proptest = "1"
//! ```
//!
//! [`strategies`] has a strategy of [proptest] for each resource, datatype and primitive. What it makes is read without
//! a finding and is valid, whatever the type allows: extensions of primitives, nulls in arrays, contained resources and
//! references to them, control characters. A test that fails shrinks to the smallest document that fails it.
//!
//! ```
//! use fhir_devices::{Device, testkit::strategies};
//! use proptest::test_runner::TestRunner;
//!
//! // What a service of the user might do: keep devices as JSON.
//! TestRunner::default().run(&strategies::device(), |device| {
//!     let kept = device.to_json();
//!     assert_eq!(Device::from_json(kept.as_bytes()), Ok(device));
//!     Ok(())
//! })?;
//! # Ok::<(), proptest::test_runner::TestError<Device>>(())
//! ```
//!
//! [`mutations`] puts one fault of a known kind into a document, and says which rule must find it and where.
//!
//! [`store`] holds a store of the caller's own against the contract that it implements, and [`history`] against the order
//! of its calls under concurrency. [`Faulty`] fails on purpose, and [`Recording`] writes down what it is asked for.

mod doubles;
mod faults;
pub mod history;
mod json;
mod maker;
pub mod mutations;
mod primitives;
mod rules;
mod shrink;
pub mod store;
pub mod strategies;
mod texts;
mod values;

pub use doubles::{Call, Fate, Faulty, Plan, Recording, Retrying};
