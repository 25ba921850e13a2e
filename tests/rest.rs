//! The REST API over a store, without HTTP: every interaction, and searches compared with a full scan.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "common/passing.rs"]
mod passing;
#[path = "rest/bundles.rs"]
mod bundles;
#[path = "rest/capabilities.rs"]
mod capabilities;
#[path = "rest/chains.rs"]
mod chains;
#[path = "rest/client.rs"]
mod client;
#[path = "common/growth.rs"]
mod growth;
#[path = "rest/handling.rs"]
mod handling;
#[path = "rest/histories.rs"]
mod histories;
#[path = "rest/interactions.rs"]
mod interactions;
#[path = "rest/limits.rs"]
mod limits;
#[path = "rest/notifications.rs"]
mod notifications;
#[path = "rest/oracle.rs"]
mod oracle;
#[path = "rest/pages.rs"]
mod pages;
#[path = "rest/patches.rs"]
mod patches;
#[path = "rest/searches.rs"]
mod searches;
#[path = "rest/subscriptions.rs"]
mod subscriptions;
#[path = "rest/table.rs"]
mod table;
#[path = "rest/updates.rs"]
mod updates;
#[path = "rest/validating.rs"]
mod validating;
#[path = "rest/versions.rs"]
mod versions;
#[cfg(feature = "xml")]
#[path = "rest/xml.rs"]
mod xml;
