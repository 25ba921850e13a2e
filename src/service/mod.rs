//! Thin drivers of the [`update`](crate::update) logic over the caller's stores.
//!
//! [`UpdateService`] receives an update: it finds the one matching component, reads the bytes once and in constant
//! memory, checks them, stores them under their digest, and makes the component refer to them. Interrupted work is
//! continued ([`recover`](UpdateService::recover)), unneeded files are deleted ([`collect`](UpdateService::collect),
//! [`sweep`](UpdateService::sweep)), and every step leaves a record in the audit chain of the tenant. It needs no
//! runtime.
//!
//! An update with a signed manifest is [received](UpdateService::receive_signed) only where its signatures are valid,
//! its manifest admits the device as it is, and its bytes are those of the manifest.
//!
//! # Stalled calls
//!
//! The records of a tenant form one chain, so its commits to the ledger run one after the other. One of the waiting
//! calls commits the writes of all of them, as far as the ledger takes them in one commit, in the service and its
//! clones. A future that is neither polled nor dropped while it commits blocks every other call for the tenant: poll
//! each to its end, spawn it on a runtime that does, or give it a time limit that drops it. Do not hold a call in a
//! `select!` loop whose other branches await calls for the same tenant. Dropping a call is safe at any point, and lets
//! the others continue at once. Other processes are not blocked.

mod admission;
mod async_mutex;
mod attach;
mod bytes;
mod chain;
mod collect;
mod commit_queue;
mod damage;
mod entries;
mod error;
mod expire;
mod ids;
mod join;
mod known;
mod ledger_session;
mod lifecycle;
#[cfg(feature = "server")]
mod listing;
mod pairing;
mod receive;
mod reconcile;
mod references;
mod rollouts;
mod sequence;
mod signed;
mod sink;
mod small_upload;
mod submission;
mod subscriptions;
mod sweep;
mod target;
mod update_service;

pub use crate::manifest::{IdempotencyKey, IngestId};
pub use crate::update::AvailableUpdate;
pub use crate::update::reconcile::MissingReferences;
pub use collect::{Collected, Damage, Progress};
pub use damage::{KnownDamage, Repaired};
pub use error::{NoAddresses, ReceiveError};
pub use expire::Expired;
pub use ids::{IdSource, RandomIds};
pub use lifecycle::{LifecycleError, Recovered};
pub use pairing::{Adopted, MaintenanceError, StoreMismatch};
pub use reconcile::{ReconcilePosition, Reconciled, UnknownReference, UnknownReferences};
pub use references::Reference;
#[cfg(feature = "server")]
pub(crate) use rollouts::Preview;
pub use rollouts::{
    Behind, Blocked, DeploymentFilter, DeviceAction, DeviceActions, DeviceReport, Explanation, FieldTimes,
    GateProvider, GateQuery, Granted, InvalidReport, MAX_REPORTS, Measures, Overdue, Pass, RegionError,
    ReleaseSubmission, ReportAnswer, ReportedVersion, RolloutError, RolloutService, RolloutView, TimeToField,
    TimersRun, Verified,
};
pub use sequence::SequenceError;
pub use signed::SignedSubmission;
pub use sink::AuditSink;
pub use submission::{Received, Submission};
pub use subscriptions::{Notified, SubscriptionService};
pub use sweep::{Quarantined, SweepRules, Swept};
pub use update_service::UpdateService;
