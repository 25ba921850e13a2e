//! The manual: design, conformance, limits, operation, and writing a store.
//!
//! - [`everyday`]: everyday tasks, each in the lines that it takes.
//! - [`design`]: layers, declared types, reports and errors, losslessness, updates.
//! - [`backend`]: writing and testing a store.
//! - [`fhir_server`]: keeping resources in a FHIR server of others, and what it must be able to do.
//! - [`bounds`]: the limits of requests, with their defaults.
//! - [`restore`]: restoring the ledger or the update files from a backup.
//! - [`rollouts`]: releases and rollouts: updating many components, with proof of success.
//! - [`linux_device`]: updating a Linux device by SWUpdate in ten minutes.
//! - [`conversion`]: how elements map to R4, R4B and R5, and what cannot be kept.
//! - [`subscriptions`]: who is told of changes, how, and what an operator allows.
//! - `xml` (with the feature `xml`): what is checked in FHIR XML, and what has no form in it.
//! - `uploads` (with the feature `server`): the fields of an upload, and why one is refused.
//! - `operating` (with the feature `server`): signals, exit statuses, limits, metrics and alarms of the service.
//! - `pages` (with the feature `server`): the pages for people, what they find, and what bounds them.
//! - [`dependencies`]: the crates whose types stand in the interface, and what their major versions mean.
//! - [`interactions`]: what of the REST API is offered, and what is refused by name.
//! - [`conformance`]: every rule of the specification by key, and how it is enforced, or why not.

pub mod backend;
pub mod bounds;
pub mod conformance;
pub mod conversion;
pub mod dependencies;
pub mod design;
pub mod everyday;
pub mod fhir_server;
pub mod interactions;
pub mod linux_device;
#[cfg(feature = "server")]
pub mod operating;
#[cfg(feature = "server")]
pub mod pages;
pub mod restore;
pub mod rollouts;
pub mod subscriptions;
#[cfg(feature = "server")]
pub mod uploads;
#[cfg(feature = "xml")]
pub mod xml;

/// The README, so that its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
