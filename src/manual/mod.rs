//! The long form: why the crate is as it is, and what it holds documents to.
//!
//! - [`design`]: the floors, declared types, reports and errors, and what lossless means here.
//! - [`backend`]: how a store of your own is written, and shown to be right.
//! - [`bounds`]: what one request may cost, and what all together may take: every limit with its default.
//! - [`restore`]: after a restore, what to do when the ledger or the update files come from a backup.
//! - [`conversion`]: what goes where in R4, R4B and R5, what is carried how, and what cannot be kept.
//! - `operating` (with the feature `server`): the signals, exit statuses, limits, numbers and alarms of the service.
//! - [`conformance`]: every rule of the specification by its key, and how it is enforced, or why not.

pub mod backend;
pub mod bounds;
pub mod conformance;
pub mod conversion;
pub mod design;
#[cfg(feature = "server")]
pub mod operating;
pub mod restore;

/// The README, so that its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
