//! Audit records: one per transition, each chained to the one before it.
//!
//! A machine says what a transition was (an [`AuditDraft`]); the [head](ChainHead) of the tenant's chain
//! makes a record of it, which is written in the same step as the state. [`verify`] finds the first place where a chain was
//! changed, and [`replay`](crate::update::replay) rebuilds every state from the records alone. Nothing here does I/O or asks a clock.
//!
//! ```
//! use fhir_devices::audit::{Actor, ChainHead, RecordContext, verify};
//! use fhir_devices::manifest::IngestId;
//! use fhir_devices::update::ingest::{Ingest, Input, Intent, Limits, Step, step};
//! use fhir_devices::update::replay;
//! # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
//!
//! let by = RecordContext::by(Actor::service("gateway".parse()?));
//! let start = ChainHead::start("st-mary".parse()?);
//!
//! let intent = Intent::new("pump-7".parse()?, "pump.bin".parse()?, "application/octet-stream".parse()?);
//! let (mut ingest, draft) = Ingest::open(IngestId(7), intent, Limits::default(), now);
//! let opened = start.append(draft, by.clone());
//! assert!(opened.line.starts_with(r#"{"schema":1,"tenant":"st-mary","index":0,"prev":""#));
//!
//! let Step::Transition(transition) = step(&ingest, &Input::TargetLost, now)? else { panic!() };
//! ingest.state = transition.state;
//! let closed = opened.head.append(transition.audit, by);
//!
//! let records = [opened.record, closed.record];
//! assert_eq!(verify(&start, &records, &[])?, closed.head);
//! assert_eq!(replay(&records)?.uploads[&ingest.id], ingest.state);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The canonical text
//!
//! The digest that binds a record is SHA-256 over its canonical text, in UTF-8: one JSON object without white space between
//! tokens, of these members in this order, and none that has no value:
//!
//! | member | what it is |
//! | --- | --- |
//! | `schema` | the number of this form: 1; of a record with `event` or the holder `release`, 2 |
//! | `tenant`, `index` | whose chain, and the place in it from 0 |
//! | `prev` | the digest of the record before; of the first, the digest of `fhir-devices/audit/1/` and the tenant, and in the chain of a lane that of `fhir-devices/audit/2/`, the tenant, `/`, the rollout, `/` and the lane |
//! | `recorded` | when it was done and recorded, by the clock of the service, in UTC |
//! | `actor` | who carried it out: `kind` (`human`, `service`, `device`), `id` |
//! | `onBehalfOf` | who wanted it, where that is somebody else |
//! | `ingest` | the upload; without it, the record is of what is known of some bytes |
//! | `action`, `from`, `to` | what was done, the state before, the state after |
//! | `reason`, `comment` | why: from a closed set, and in the words of a person |
//! | `device`, `component` | what it is for |
//! | `before`, `after`, `written` | versions of the component: before a write, the first with the update, and the one that any other write made |
//! | `sha256`, `size`, `generation` | the bytes, and which writing of them |
//! | `holder` | who needs the bytes: `ingest`, or `release`, or `retention` and `until`, or `legalHold` |
//! | `provider`, `update`, `version`, `sequence` | the identity of the update |
//! | `manifest` | the digest of its manifest |
//! | `downgrade` | the permission to go back: `from`, `to`, `reason`, `approvedBy`, `notAfter` |
//! | `replaces` | the digest of the bytes for which the version stood before |
//! | `reported` | the version that the component reported, where that of the update is lower |
//! | `verification` | what was found out about the signature: `verdict` (`verified`, `refused`, `unsigned`), `keys` |
//! | `supersededBy`, `attempts`, `deadline` | what else the state after has |
//! | `event` | what a release, a rollout, a lane or a deployment did: an object without white space between its tokens |
//!
//! Numbers are whole, without sign or leading zeros; there are no floats. Digests are 64, ids and generations 32 hexadecimal
//! digits in lower case; moments are in UTC with as many digits of the second as they have. In a string, `"`, `\` and the
//! characters below U+0020 are escaped and nothing else is: by `\"`, `\\`, `\n`, `\r`, `\t`, `\b`, `\f`, else by `\u00` and
//! two digits in lower case. A text in any other form is no record, so that a record has one text. Members are added under
//! another number of the form, and a record of form 1 stays as it is.
//!
//! Each lane of a rollout has a chain of its own, so that lanes do not wait for each other. From time to time a record of the
//! tenant's chain says how long it was and what it ended with.
//!
//! # What is not in it
//!
//! No member takes an address, so that no signed one can be in a record, and none names a patient: devices and components
//! are named by their ids, and from the texts of people addresses and references to patients are taken out. What has to be
//! forgotten later does not belong into a comment.

mod actor;
mod chain;
mod draft;
mod event;
mod fhir;
mod holder;
mod read;
mod record;
mod upload_failure;
mod verify;
mod write;

pub use actor::{Actor, ActorKind, RecordContext, Verdict, Verification};
pub use chain::{Appended, ChainHead, Checkpoint};
pub use draft::{Action, AuditDraft, StateName};
pub use event::EventText;
pub use fhir::{audit_event, audit_event_under, provenance, provenance_under};
pub use holder::Holder;
pub use record::{AuditRecord, NotARecord, read_lines};
pub use upload_failure::UploadFailure;
pub use verify::{ChainBreak, ChainFault, verify};

/// The number of the form of records that say nothing of releases, rollouts, lanes and deployments.
const SCHEMA: u64 = 1;

/// The number of the form of those that do.
const SCHEMA_OF_EVENTS: u64 = 2;
