//! The manual: design, conformance, limits, operation, and writing a store.
//!
//! - [`everyday`]: everyday tasks in a few lines each.
//! - [`design`]: layers, declared types, reports and errors, losslessness, updates.
//! - [`backend`]: writing and testing a store.
//! - [`fhir_server`]: storing resources in another FHIR server, and the abilities that it must have.
//! - [`bounds`]: the limits of requests, with their defaults.
//! - [`restore`]: restoring the ledger or the update files from a backup.
//! - [`rollouts`]: releases and rollouts: updating many components, with proof of success.
//! - [`linux_device`]: updating a Linux device by SWUpdate in ten minutes.
//! - [`conversion`]: mapping of elements to R4, R4B and R5, and losses.
//! - [`subscriptions`]: notifications of changes, and their rules for operators.
//! - `xml` (with the feature `xml`): checks of FHIR XML, and data that has no XML form.
//! - `uploads` (with the feature `server`): fields of an upload, and reasons for refusal.
//! - `operating` (with the feature `server`): signals, exit statuses, limits, metrics and alarms of the service.
//! - `pages` (with the feature `server`): web pages for users, their searches and limits.
//! - `sign_in` (with the feature `oidc`): tokens, OpenID Connect, and the scopes of SMART on FHIR.
//! - [`dependencies`]: crates whose types are part of the interface, and the meaning of their major versions.
//! - [`interactions`]: supported interactions of the REST API, and those refused by name.
//! - [`conformance`]: every rule of the specification by key, with its enforcement or the reason against it.

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
#[cfg(feature = "oidc")]
pub mod sign_in;
pub mod subscriptions;
#[cfg(feature = "server")]
pub mod uploads;
#[cfg(feature = "xml")]
pub mod xml;

/// The README, so that its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
