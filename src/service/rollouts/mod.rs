//! Releases, rollouts and device reports: the drivers of [`update::release`](crate::update::release),
//! [`update::rollout`](crate::update::rollout) and [`update::deployment`](crate::update::deployment) over a ledger and
//! regions.

mod claim;
mod component_members;
mod control;
mod device_actions;
mod drive;
mod error;
mod explain;
mod field_times;
mod gates;
mod keys;
mod lanes;
mod measure;
mod offer;
mod plan;
#[cfg(feature = "server")]
mod preview;
mod read;
mod region;
mod release;
mod report;
mod rollout_service;
mod seal;
mod shares;
mod step;
mod task;

pub use claim::Granted;
pub use control::RolloutView;
pub use device_actions::{DeviceAction, DeviceActions};
pub use drive::{Pass, TimersRun};
pub use error::{RegionError, RolloutError};
pub use explain::{Blocked, Explanation};
pub use field_times::FieldTimes;
pub use gates::{GateProvider, GateQuery};
pub use measure::{Behind, Measures, Overdue, TimeToField};
#[cfg(feature = "server")]
pub(crate) use preview::Preview;
pub use read::DeploymentFilter;
pub use region::Verified;
pub use release::ReleaseSubmission;
pub use report::{DeviceReport, InvalidReport, MAX_REPORTS, ReportAnswer, ReportedVersion};
pub use rollout_service::RolloutService;
