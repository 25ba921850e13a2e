//! Thin drivers of the [`update`](crate::update) logic over the caller's stores.
//!
//! [`UpdateService`] receives an update: it finds the one component that is meant, takes the bytes once and in constant
//! memory, checks them, stores them under their digest, and makes the component refer to them. It needs no runtime.

mod bytes;
mod error;
mod ids;
mod receive;
mod record;
mod submission;
mod target;
mod update_service;
mod upload;

pub use crate::update::{AvailableUpdate, IdempotencyKey, IngestId};
pub use error::ReceiveError;
pub use ids::{Ids, RandomIds};
pub use submission::{Received, Submission};
pub use update_service::UpdateService;
