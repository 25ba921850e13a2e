//! hawkBit's device interface (Direct Device Integration, DDI) over [`service`](crate::service), without HTTP: unmodified clients
//! such as SWUpdate and rauc-hawkbit-updater poll, install and report.
//!
//! [`DeviceInterface::handle`] answers a [`Request`] of a device that was authenticated by the caller. The controller of the
//! interface is a Device, by its logical id, and an action is an offer to one of its components, by its
//! [`ActionNumber`](crate::publish::ActionNumber).
//!
//! | path below `/TENANT/controller/v1/DEVICE` | answer |
//! |---|---|
//! | `GET` | when to poll again, and links to what is to be done: `cancelAction`, `deploymentBase`, `configData` |
//! | `GET deploymentBase/N` | the offer: one chunk with one artifact, with SHA-1 and SHA-256, and a link to its bytes |
//! | `POST deploymentBase/N/feedback` | 200, also where it repeats a report or comes late |
//! | `GET cancelAction/N`, `POST cancelAction/N/feedback` | what is to be stopped, and whether the device did |
//! | `PUT configData` | attributes; `sw.COMPONENT` and `sw.COMPONENT.ITEM` are versions |
//! | `PUT installedBase` | the name and version of the installed update that runs |
//! | `GET installedBase/N` | the offer that the device says it installed |
//!
//! Files have no MD5: the member `md5` is there, as some clients want it, and empty. Clients compare SHA-1 or SHA-256.
//!
//! # What a device's word is worth
//!
//! Clients say `closed` with `success` before the new software was started once, and acknowledge a cancellation after they
//! installed. So both are progress, and a version that the device reports is the proof: by `configData`, or by `installedBase`.
//!
//! # Attributes
//!
//! `sw.COMPONENT` is the version that the DeviceComponent of this id runs. ITEM says which one: `software` (the default),
//! `firmware`, `hardware` or `protocol`. With the attribute `restarted` = `true` the versions were read at a start of the device and
//! not since, so that another version than that of an installed update says that the update was rolled back. A client that
//! sends its attributes at other times too leaves it out. Other attributes are ignored.
//!
//! # One action at a time
//!
//! A device is shown the cancellation of an action first, and then the action with the lowest number. The next one follows
//! when that one has ended. What cannot be given now, as the rollout is stopped or a gate is closed, is not shown, because
//! clients take a refused download for a failure.

mod attributes;
mod document;
mod feedback;
mod interface;
mod link;
mod refusal;
mod request;

pub use interface::{DEFAULT_POLLING, DeviceInterface};
pub use link::{LinkKey, LinkRefusal, SignedLink};
pub use refusal::Refusal;
pub use request::{MAX_BODY, Method, Request, Response};
