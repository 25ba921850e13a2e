//! Thin drivers of the [`update`](crate::update) logic over the caller's stores.
//!
//! [`UpdateService`] receives an update: it finds the one component that is meant, takes the bytes once and in constant
//! memory, checks them, stores them under their digest, and makes the component refer to them. What breaks off is gone on
//! with ([`recover`](UpdateService::recover)), what nobody needs is deleted ([`collect`](UpdateService::collect),
//! [`sweep`](UpdateService::sweep)), and every step leaves a record in the audit chain of the tenant. It needs no runtime.

mod attach;
mod books;
mod bytes;
mod chain;
mod collect;
mod entries;
mod error;
mod ids;
mod keep;
mod receive;
mod signed;
mod sink;
mod submission;
mod target;
mod turn;
mod update_service;

pub use crate::update::{AvailableUpdate, IdempotencyKey, IngestId};
pub use collect::{Collected, Damage, Progress, Swept};
pub use error::ReceiveError;
pub use ids::{Ids, RandomIds};
pub use keep::{KeepError, Recovered};
pub use signed::SignedSubmission;
pub use sink::AuditSink;
pub use submission::{Received, Submission};
pub use update_service::UpdateService;
