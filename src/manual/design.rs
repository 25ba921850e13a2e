//! The design of the crate, with reasons.
//!
//! # Layers
//!
//! The modules are layers: a module depends only on those below it, never on one above or beside it. So each can be
//! read, tested and replaced with only the modules below. `tests/floors.rs` enforces this.
//!
//! Each step changes the *type* of a value, so that no step can be skipped: bytes become a
//! [`DeviceComponent`](crate::DeviceComponent), which becomes a [`Valid<DeviceComponent>`](crate::Valid), and
//! [`TenantResources::put`](crate::store::TenantResources::put) accepts only the latter.
//! [`check`](crate::validate::check) reads and validates in one call and returns the proof, so that a requested write
//! is validated once. Your own functions can require the same:
//!
//! ```
//! use fhir_devices::{DeviceComponent, Report, Valid};
//!
//! fn send(component: &Valid<DeviceComponent>) -> usize {
//!     component.to_json().len()
//! }
//!
//! fn receive(json: &[u8]) -> Result<usize, Report> {
//!     let component = DeviceComponent::from_json(json)?;
//!     Ok(send(&Valid::new(component)?))
//! }
//!
//! assert!(receive(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"VMD"}}"#).is_ok());
//! assert!(receive(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"}}"#).is_err());
//! ```
//!
//! # Types are declared
//!
//! FHIR defines a type as a table: name, cardinality, type, binding. So does this crate. A row of the macro that
//! declares a type gives the field of the struct, its reader and writer, its place in the validation walk, and an entry
//! of [`Definition`](crate::element::Definition), which programs can read:
//!
//! ```
//! use fhir_devices::DeviceMetric;
//! use fhir_devices::element::Element;
//!
//! let required: Vec<_> =
//!     DeviceMetric::definition().rows.iter().filter(|row| row.min > 0).map(|row| row.name).collect();
//! assert_eq!(required, ["identifier", "type", "category"]);
//! ```
//!
//! A declarative macro was chosen over three alternatives. Handwritten structs state everything four times, and the
//! four drift apart. A generator makes code that nobody reads, from definitions that nobody corrects. A procedural
//! macro is a second package, with a compiler's worth of dependencies. The rows are written by hand and checked by
//! machine: a test compares each with the published definition, both ways and in order.
//!
//! Constraints that one type can express are not rules: a required element is a field without `Option`, a closed set of
//! codes is an enum, a reference has its target types as a parameter. A rule constrains several elements together. It
//! stands below the rows, with its key, its message and its check.
//!
//! # Reports and errors
//!
//! Invalid data and failed operations are reported by different types.
//!
//! - A [`Report`](crate::Report) lists the faults of a document: a flat list of [`Issue`](crate::Issue)s in document
//!   order, each with the key of its rule, its path as a FHIRPath expression, and a message for the person who must
//!   correct it. Reading collects every issue in one pass; only broken or too deeply nested JSON ends it early.
//! - An error reports a failed operation. Each boundary has a small enum, whose variants call for different reactions.
//!
//! ```
//! use fhir_devices::{Device, OperationOutcome};
//!
//! let json = br#"{"resourceType":"Device","status":"gone","lotNumber":17,"manufactureDate":"2017-02-30"}"#;
//! let report = Device::from_json(json).unwrap_err();
//! let places: Vec<_> = report.iter().map(|issue| issue.at.as_str()).collect();
//! assert_eq!(places, ["Device.status", "Device.lotNumber", "Device.manufactureDate"]);
//! assert_eq!(OperationOutcome::from(&report).issue.len(), 3);
//! ```
//!
//! # The containment tree
//!
//! A [`Tree`](crate::containment::Tree) borrows its resources and uses some hundred bytes for each. Devices of a
//! thousand parts are rare, but a hospital has a million parts, so that the cost is the number of accesses to a
//! resource: each is likely a cache miss. Each resource is accessed once, in input order, to extract what the tree
//! needs: hashes of its id, its references and its identifier, keyed for that one tree, and the few bits that the rules
//! need. Everything after uses these, and a rule reads a resource again only where it found a violation.
//!
//! A hash has 96 bits and a secret key (SipHash), so that equal hashes count as equal texts; nobody can construct a
//! collision, or many texts that share a slot. No step recurses, and each takes linear time, whatever the references:
//! `cargo bench --bench containment` shows it for ordered and shuffled devices, a chain, a star and a cycle.
//!
//! # Primitives
//!
//! In JSON a primitive is two members: its value in `model`, its id and extensions in `_model`. Here it is one
//! [`Primitive`](crate::datatype::Primitive), so that a program which replaces a value cannot leave the old extensions
//! behind, nor forget that an extension may stand for a missing value.
//!
//! ```
//! use fhir_devices::Device;
//!
//! let json = br#"{"resourceType":"Device","_model":{"extension":[
//!     {"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}"#;
//! let model = Device::from_json(json)?.model.unwrap();
//! assert_eq!(model.value, None);
//! assert_eq!(model.extension().len(), 1);
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! The value has a type of its own that checks its text form on construction: a
//! [`DateTime`](crate::primitive::DateTime) is a day that the calendar has. It keeps that text, so that the precision
//! of a date, the zone of an instant and the digits of a decimal stay as written, and converts to other types on
//! demand.
//!
//! # Losslessness
//!
//! Everything read is written: every member, every digit, every null that pads an array. Members are written in the
//! order of the specification, without white space between tokens; equal values give equal bytes. Two values are
//! therefore equal if their output is: `1.50` and `1.5` are different decimals, and
//! [`numeric_cmp`](crate::primitive::Decimal::numeric_cmp) compares them as numbers.
//!
//! A resource of a type that is not modelled is kept as text. A strict read refuses unknown members of a modelled type.
//! A lenient read, which must be requested, keeps them in [`Unmodelled`](crate::element::Unmodelled) with a warning:
//!
//! ```
//! use fhir_devices::Device;
//! use fhir_devices::element::ReadMode;
//!
//! let json = br#"{"resourceType":"Device","status":"gone","colour":"red"}"#;
//! assert_eq!(Device::from_json(json).unwrap_err().len(), 2);
//!
//! let lenient = Device::read(json, ReadMode::Lenient)?;
//! assert_eq!(lenient.report.len(), 2);
//! assert_eq!(lenient.value.status, None);
//! assert_eq!(lenient.value.unmodelled.get("colour").unwrap().as_str(), r#""red""#);
//! assert_eq!(lenient.value.to_json().as_bytes(), json);
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! So a code outside its value set never becomes a value of the enum; there is no catch-all variant that every `match`
//! would have to handle.
//!
//! # Updates
//!
//! A file in one store, a reference to it in another, and records of both in a third drift apart when their writer dies
//! in between, or resumes late. So two state machines without I/O and clock decide about an update:
//! [`update::ingest`](crate::update::ingest) is one upload, [`update::blob`](crate::update::blob) records the holders
//! of bytes. A step is a function of a record, an input and the time, and its result is written by compare-and-set. The
//! next effect follows from the state alone, so that any process that finds a record can continue it:
//!
//! ```
//! use fhir_devices::store::{BlobRef, Generation, VersionId};
//! use fhir_devices::manifest::IngestId;
//! use fhir_devices::update::ingest::{Effect, Ingest, Input, Intent, Limits, Refusal, State, Step, resume, step};
//! # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
//!
//! let intent = Intent::new("pump-7".parse()?, "2.4.bin".parse()?, "application/octet-stream".parse()?);
//! let (mut upload, _audit) = Ingest::open(IngestId(7), intent, Limits::default(), now);
//! let (blob, generation) = (BlobRef::of(b"firmware"), Generation(1));
//! let happened = [
//!     Input::BytesHeld { blob, generation },
//!     Input::BytesCommitted { generation },
//!     Input::TargetRead { component: "mds".parse()?, version: VersionId::FIRST, accepted: None, claim: None, reported: Vec::new() },
//!     Input::ReferenceWritten { component: "mds".parse()?, version: VersionId::FIRST.next() },
//!     Input::Withdrawn { by: "biomed/j.doe".parse()?, why: "loses alarms".parse()? },
//! ];
//! for input in happened {
//!     let Step::Transition(transition) = step(&upload, &input, now)? else { panic!() };
//!     upload.state = transition.state;
//! }
//! // The component is written to first; the hold on the bytes is given up after it.
//! assert_eq!(resume(&upload.state), Some(Effect::MarkWithdrawn { component: "mds".parse()? }));
//! let early = Input::BytesReleased { generation };
//! assert_eq!(step(&upload, &early, now), Err(Refusal::StillReferenced));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The machines require an order of their drivers. `tests/proof.rs` runs the same `step` in small models in which
//! workers die, sleep and wake at any point, other programs write to the component, deletions arrive late and twice,
//! and uploads are torn, repeated and withdrawn. It explores every interleaving, and repeats that without each of these
//! rules, which must fail:
//!
//! | rule | without it |
//! |---|---|
//! | the intent is written before the bytes are held | the collector takes the hold for an abandoned one, and deletes the bytes |
//! | the bytes are held before the intent says so | a process that dies in between leaves an upload whose bytes nobody holds |
//! | the bytes are held before they are visible | the sweeper takes them for garbage |
//! | the bytes are visible before they are referenced | a reference to nothing |
//! | the digest of the bytes is measured first | a reference to torn bytes |
//! | the component is written on condition of its version | another writer's change is lost |
//! | an upload looks for its own reference first | it is attached twice, after a crash between two writes |
//! | the component is read, then the intent, then the component is written | a late worker attaches an upload that was withdrawn meanwhile |
//! | the accepted updates are read then too | an update is attached after a later one |
//! | the component is fixed in the record, and written before the hold is released | a late worker attaches an upload that was given up |
//! | the reference is removed before the hold, the intent changes before both | a reference to nothing |
//! | only the collector deletes, by the ledger | a failing upload deletes bytes shared with another |
//! | no generation is reused | a late deletion hits the bytes of a later upload |
//! | a sweeper lists, then reads the ledger, and deletes unknown keys | bytes of a late worker stay forever, or are deleted too early |
//! | holds are checked against the records of their uploads | the hold of a dead worker keeps bytes forever |
//! | some process continues interrupted uploads | an upload never ends |
//! | the record is read after the component before an update is made current again | an update that was withdrawn meanwhile is offered, without its bytes |
//! | the reference counts its restorations | a late worker restores the update once more, in place of a later one |
//! | an upload is marked as superseded by the count in its reference | an observation from before a restoration undoes it in the record |
//!
//! The bytes of a digest may exist in several copies. The entry of a copy lists the uploads that hold it, and a record
//! of the ledger takes 64 KiB, so that 256 uploads share a copy (`UpdateService::with_uploads_per_copy`). The next
//! upload moves the full entry aside unchanged and begins a copy with a generation of its own, in the same write: the
//! cost of an upload does not grow with the number of earlier ones. The copies are independent, and every statement
//! here about bytes holds for each. The newest entry is at `blob/DIGEST`, the others are at `blob/DIGEST/GENERATION`
//! and never move again, so that a look-up goes in this order. A legal hold or a retention keeps one copy.
//!
//! A withdrawn update stays in its component as `withdrawn`, for 30 days or as
//! [`with_withdrawn_retention`](crate::service::UpdateService::with_withdrawn_retention) says, so that a device that
//! has the file sees the recall. The hold on the bytes is released as soon as the component shows that, not when the
//! retention ends: a file that must not be installed must not be available, even to a client that kept the URL. A legal
//! hold keeps the bytes as evidence. No other update replaces a withdrawn one automatically;
//! [`make_current`](crate::service::UpdateService::make_current) restores a superseded one, by an actor's recorded
//! decision.
//!
//! The cost of an upload does not depend on the number of earlier ones. An attachment retires the oldest superseded
//! updates of its component beyond three
//! ([`with_keep_superseded`](crate::service::UpdateService::with_keep_superseded)), in the same write. A write that
//! ends an upload records in the ledger, under `due/TIME-ID`, when the rest of it is to be removed, so that
//! [`expire`](crate::service::UpdateService::expire) reads only due entries:
//!
//! | data | retention | option |
//! |---|---|---|
//! | the reference of a withdrawn update | 30 days | `with_withdrawn_retention` |
//! | the record and the idempotency key of an ended upload, from its end | 30 days | `with_ended_retention` |
//! | the same of an upload whose bytes never arrived | a day | `with_aborted_retention` |
//! | the entry of deleted bytes | until the next collection | |
//! | versions of a resource, by [`prune_histories`](crate::store::TenantResources::prune_histories) | as the caller asks | |
//! | the audit chain | forever | |
//!
//! A ledger that commits several records at once may write the record of an upload together with the hold, the
//! acceptance of its sequence number and the audit record of the step; the proof covers both that and a ledger that
//! writes one by one.
//!
//! # Signed updates
//!
//! Some updates have a [manifest](crate::manifest), signed by their manufacturer.
//! [`UpdateService::receive_signed`](crate::service::UpdateService::receive_signed) uses nothing of it before the
//! caller's [`Verifier`](crate::manifest::Verifier) has found a valid signature over its bytes, and then takes from it
//! what a form would state: the component, the version, the sequence number, the size and the digest of the file.
//! Admission is checked twice, against the device as it is then, by the predicates of
//! [`explain`](crate::manifest::explain): before the bytes are received, so that an upload that cannot be attached is
//! not sent in vain, and before the reference is written, since a device may change meanwhile. A refusal lists all
//! reasons against the update, and a late one is in the audit chain in the same words.
//!
//! The manifest and the signatures stay in the ledger. A process that continues an interrupted upload verifies them
//! again, so that a key revoked meanwhile attaches nothing more. A reference found in the component is not checked
//! again, since it was checked before it was written, and may have been acknowledged. The state machine handles the
//! sequence number: it accepts the number in the same write that fixes the component.
//!
//! The caller decides which tenants accept only signed updates
//! ([`with_signed_only`](crate::service::UpdateService::with_signed_only)); without a verifier, no signed update is
//! accepted, and no verifier accepts everything.
//!
//! # Bounds
//!
//! JSON may be nested [`MAX_DEPTH`](crate::element::MAX_DEPTH) deep, so that no document can exhaust the stack. The
//! library forbids `unsafe`, and denies everything that panics: indexing, `unwrap`, string slices.
