//! Audit records: one per transition, each chained to the previous one.
//!
//! A state machine describes a transition by an [`AuditDraft`]; the [head](ChainHead) of the tenant's chain turns it
//! into a record, which is written in the same step as the state. [`verify`] finds the first change of a chain, and
//! [`replay`](crate::update::replay) rebuilds every state from the records alone. Nothing here does I/O or reads a
//! clock.
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
//! # Canonical text
//!
//! A record is bound by the SHA-256 digest of its canonical text in UTF-8: one JSON object without white space between
//! tokens, with these members in this order, without those that have no value:
//!
//! | member | meaning |
//! | --- | --- |
//! | `schema` | version of this format: 1; for a record with `event` or the holder `release`, 2 |
//! | `tenant`, `index` | tenant of the chain, and place in it from 0 |
//! | `prev` | digest of the previous record; for the first, the digest of `fhir-devices/audit/1/` and the tenant, and in the chain of a lane that of `fhir-devices/audit/2/`, the tenant, `/`, the rollout, `/` and the lane |
//! | `recorded` | time of the transition and of the record, by the clock of the service, in UTC |
//! | `actor` | actor that carried it out: `kind` (`human`, `service`, `device`), `id` |
//! | `onBehalfOf` | actor that asked for it, if another |
//! | `ingest` | upload; without it, the record is about a blob |
//! | `action`, `from`, `to` | action, state before, state after |
//! | `reason`, `comment` | reason from a closed set, and a person's comment |
//! | `device`, `component` | target of the update |
//! | `before`, `after`, `written` | versions of the component: before a write, the first with the update, and the one made by any other write |
//! | `sha256`, `size`, `generation` | digest and size of the bytes, and generation of their blob |
//! | `holder` | holder of the bytes: `ingest`, or `release`, or `retention` and `until`, or `legalHold` |
//! | `provider`, `update`, `version`, `sequence` | identity of the update |
//! | `manifest` | digest of the manifest |
//! | `downgrade` | permission for a downgrade: `from`, `to`, `reason`, `approvedBy`, `notAfter` |
//! | `replaces` | digest of the bytes that had the version before |
//! | `reported` | version that the component reported, where the update's is lower |
//! | `verification` | result of the signature check: `verdict` (`verified`, `refused`, `unsigned`), `keys` |
//! | `supersededBy`, `restored`, `attempts`, `deadline` | other facts of the state after |
//! | `event` | event of a release, rollout, lane or deployment: an object without white space between its tokens |
//!
//! Numbers are integers without sign or leading zeros; there are no floats. Digests are 64, ids and generations 32
//! hexadecimal digits in lower case; times are in UTC with as many fractional digits as they need. In a string, only
//! `"`, `\` and the characters below U+0020 are escaped: by `\"`, `\\`, `\n`, `\r`, `\t`, `\b`, `\f`, otherwise by
//! `\u00` and two digits in lower case. A text in any other form is not a record, so that a record has exactly one
//! text. New members get a new version of the format, and a record of format 1 stays as it is.
//!
//! Each lane of a rollout has a chain of its own, so that lanes do not wait for each other. From time to time the
//! tenant's chain records the length and last digest of a lane's chain.
//!
//! # Data that records exclude
//!
//! No member accepts a URL, so that no signed URL can be in a record, and none names a patient: devices and components
//! are named by their ids, and URLs and references to patients are removed from free texts. Comments must not hold
//! anything that has to be erased later.

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

/// Format version of records about uploads and blobs.
const SCHEMA: u64 = 1;

/// Format version of records about releases, rollouts, lanes and deployments.
const SCHEMA_OF_EVENTS: u64 = 2;
