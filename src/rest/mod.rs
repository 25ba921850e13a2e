//! The FHIR REST API over a store, without HTTP: a [`Request`] and a [`Response`] are plain values.
//!
//! [`Server::handle`] carries out every interaction: read, version read, history, search with paging and includes,
//! create, update, patch and delete with their conditional forms, batch and transaction. What is HTTP's (connections, TLS, who the
//! client is) belongs to the program that mounts it; the example `update_service` does so with axum.
//!
//! Reads return stored bytes without parsing them, with their version put in ([`stamped`]). Searches ask the store's index
//! first, all parameters at once, and check on the resource what the index cannot tell.
//!
//! A patch is a JSON Patch (RFC 6902, [`JSON_PATCH`]). Its operations are carried out on the resource as a read shows it, with
//! `meta.versionId` and `meta.lastUpdated`; numbers keep their text. What comes of them is written as an update is: 400 with
//! every finding of the result, 409 where `If-Match` names another version, 422 with the operation that cannot be carried out
//! and its path, 412 where several resources meet a condition, and 404 where none does. A `test` compares numbers by their
//! value. An array from which the last item was taken is taken out too, as FHIR has no empty arrays.
//!
//! What one request may cost is bounded by [`Limits`].

mod address;
mod body;
mod bundle;
mod bundle_writer;
mod capability;
mod chain;
mod criteria;
mod filter;
mod find;
mod format;
mod header;
mod history;
mod include;
mod json_patch;
mod known;
mod limits;
mod link;
mod message;
mod operations;
mod patch;
mod place;
mod plan;
mod pretty;
mod problem;
mod query;
mod scan;
mod search;
mod server;
mod shown;
mod sort;
mod splice;
mod subscriptions;
mod subset;
mod transaction;
mod translate;
mod updates;
mod verb;
mod version_terms;
mod write;

pub use crate::support::http_date;
pub use body::Body;
pub(crate) use criteria::Criteria;
pub use header::Handling;
pub use known::{KnownUpdate, KnownUpdates, UpdateStage};
pub use limits::Limits;
pub use message::{Request, Response};
pub use problem::Problem;
pub use server::Server;
pub(crate) use shown::show_updates;
pub use splice::stamped;
pub use subscriptions::Subscriptions;
pub(crate) use subscriptions::{header_parts, payload_format};
pub use write::ReferencedDeletion;

/// The media type of FHIR STU3 in JSON.
pub const FHIR_JSON: &str = "application/fhir+json";

/// The media type of FHIR STU3 in XML, which is read and written with the feature `xml`.
pub const FHIR_XML: &str = "application/fhir+xml";

/// The media type of a JSON Patch (RFC 6902).
pub const JSON_PATCH: &str = "application/json-patch+json";
