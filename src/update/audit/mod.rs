//! What happened to the updates of a tenant: one record a transition, each bound to the one before it.
//!
//! A machine says what a transition was (an [`AuditDraft`]); the [head](ChainHead) of the tenant's chain makes a record of
//! it, which is written in the same step as the state. [`verify`] finds the first place where a chain was changed, and
//! [`replay`] rebuilds every state from the records alone. Nothing here does I/O or asks a clock.
//!
//! ```
//! use fhir_devices::update::audit::{Actor, AuditDraft, ChainHead, Entity, verify};
//! use fhir_devices::update::{IngestId, Name};
//!
//! let service = Actor::service("gateway".parse()?);
//! let head = ChainHead::start("st-mary".parse()?);
//! let state = r#"{"name":"open"}"#.parse()?;
//! let draft = AuditDraft::new(Entity::Ingest(IngestId(7)), Name::new("submit")?, Name::new("open")?, state);
//! let first = head.append(draft, service, "2017-04-19T10:00:00Z".parse()?);
//! assert_eq!(first.record.index, 0);
//! assert!(first.line.starts_with(r#"{"schema":1,"tenant":"st-mary","index":0,"prev":""#));
//! assert_eq!(verify(&head, [&first.record], &[])?, first.head);
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
//! | `schema` | the number of this form: 1 |
//! | `tenant`, `index` | whose chain, and the place in it from 0 |
//! | `prev` | the digest of the record before; of the first, the digest of `fhir-devices/audit/1/` and the tenant |
//! | `recorded` | when it was recorded, by the clock of the service |
//! | `actor` | `kind` (`human`, `service`, `device`), `id`, `onBehalfOf` |
//! | `ingest` or `entry` | what has the state: an upload by its id, or the entry of some bytes by their digest |
//! | `action`, `from`, `to` | what was done, the state before, the state after |
//! | `outcome` | `done`, `refused` or `failed` |
//! | `why` | `code`, `text` |
//! | `subject` | `device`, `component`, and the versions of that `before` and `after` |
//! | `update` | `provider`, `name`, `version`, `sequence`, `manifest` |
//! | `blob` | `sha256`, `size` |
//! | `downgrade` | `from`, `to`, `reason`, `approvedBy`, `notAfter` |
//! | `verification` | `verdict` (`verified`, `refused`, `unsigned`), `keys` |
//! | `state` | the state after, as the machine writes it |
//!
//! Numbers are whole, without sign or leading zeros; there are no floats. Digests are 64 hexadecimal digits in lower case.
//! In a string, `"`, `\` and the characters below U+0020 are escaped and nothing else is: by `\"`, `\\`, `\n`, `\r`, `\t`,
//! `\b`, `\f`, else by `\u00` and two digits in lower case. A text in any other form is no record, so that a record has
//! one text. Members are added under another number of the form, and a record of form 1 stays as it is.
//!
//! # What is not in it
//!
//! No field takes an address, so that no signed one can be in a record, and none names a patient: devices and components
//! are named by their ids, and the texts of people refuse addresses and references to patients. What has to be forgotten
//! later does not belong into a reason.

mod chain;
mod draft;
mod fhir;
mod read;
mod record;
mod replay;
mod transition;
mod verify;
mod write;

pub use chain::{Appended, ChainHead, Checkpoint};
pub use draft::{Actor, ActorKind, AuditDraft, Entity, Outcome, Subject, UpdateFacts, Verdict, Verification, Why};
pub use fhir::{audit_event, provenance};
pub use record::{AuditRecord, NotARecord, read_lines};
pub use replay::{Replayed, Unfit, replay};
pub use verify::{Break, Fault, verify};

/// The number of the form of the records.
const SCHEMA: u64 = 1;
