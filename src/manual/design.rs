//! The design of the crate, with reasons.
//!
//! # Layers
//!
//! The modules are layers: a module depends only on those below it, never on one above or beside it. So each can be read,
//! tested and replaced with nothing but what is below. `tests/floors.rs` enforces this.
//! The table of the layers is in the [guide of the crate](crate#layers).
//!
//! Each step changes the *type* of a value, so that no step can be skipped: bytes become a
//! [`DeviceComponent`](crate::DeviceComponent), which becomes a [`Valid<DeviceComponent>`](crate::Valid), and
//! [`TenantResources::put`](crate::store::TenantResources::put) takes the latter alone. [`check`](crate::validate::check) reads and
//! validates at once and hands the proof on, so that a write that came as a request is validated once. A function of your own can ask for the same:
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
//! FHIR defines a type as a table: name, cardinality, type, binding. So do we. A row of the macro that declares a type
//! gives the field of the struct, its reader and writer, its place in the walk of validation, and the entry of
//! [`Definition`](crate::element::Definition), which is data that a program can read:
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
//! A macro of our own was chosen over its three rivals. Structs written by hand say everything four times, and the
//! four drift apart. A generator makes code that nobody reads, from definitions that nobody corrects. A procedural
//! macro is a second package, with a compiler's worth of dependencies. The rows are written by hand and checked by
//! machine: a test compares each with the published definition, both ways and in order.
//!
//! What one type can say is not a rule: a required element is a field without `Option`, a closed set of codes is an
//! enum, a reference has the types of its targets as a parameter. A rule is for what several elements say together.
//! It stands below the rows, with its key, its message and its check.
//!
//! # Reports and errors
//!
//! Invalid data and failed operations are reported by different types.
//!
//! - A [`Report`](crate::Report) says what is wrong with a document: a flat list of [`Issue`](crate::Issue)s in the
//!   order of the document, each with the key of its rule, its place as a FHIRPath expression, and a message for the
//!   person who must mend it. Reading collects every finding in one pass; only JSON that is broken or nested too
//!   deeply ends it early.
//! - An error says that something could not be done. There is a small enum for each boundary, whose variants a caller
//!   acts on.
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
//! A [`Tree`](crate::containment::Tree) borrows its resources and holds some hundred bytes for each. A device of a thousand
//! parts is rare, and a hospital has a million, so what counts is how often a resource is touched: each is as good as a miss
//! of the cache. It is touched once, in the order of the list, and what the tree needs is taken from it then: hashes of its
//! id, of what it refers to and of its identifier, with the keys of that one tree, and the few bits that the rules ask for.
//! Everything after works on these, and a rule looks at a resource again only where it was found to break something.
//!
//! A hash has 96 bits and a secret key (SipHash), so that equal hashes are taken for equal texts; nobody can make two that
//! collide, nor many that share a slot. No step recurses, and none takes more than linear time, whatever refers to what:
//! `cargo bench --bench containment` shows it for devices in order and shuffled, a chain, a star and a circle.
//!
//! # Primitives
//!
//! In JSON a primitive is two members: its value in `model`, its id and extensions in `_model`. Here it is one
//! [`Primitive`](crate::datatype::Primitive), so that a program which replaces a value cannot leave behind the
//! extensions of the old one, nor forget that an extension may stand for a value that is not there.
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
//! The value has a type of its own that checks its text form when it is made: a
//! [`DateTime`](crate::primitive::DateTime) is a day that the calendar has. It keeps that text, so that the precision
//! of a date, the zone of an instant and the digits of a decimal are what somebody wrote, and converts to other types
//! on demand.
//!
//! # Losslessness
//!
//! What is read is written: every member, every digit, every null that pads an array. Members come in the order of the
//! specification, and text without white space between its tokens; written twice it is the same bytes. Equal is
//! therefore what is written equal: `1.50` and `1.5` are different decimals, and
//! [`numeric_cmp`](crate::primitive::Decimal::numeric_cmp) says that they are the same number.
//!
//! A resource of a type that is not modelled is kept as its text. What a modelled type has no name for is refused by
//! a strict read. A lenient one, which has to be asked for, keeps it in
//! [`Unmodelled`](crate::element::Unmodelled) and says so in a warning:
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
//! So a code that is not in its value set never becomes a value of the enum; there is no variant for the others that
//! every `match` would have to think of.
//!
//! # Updates
//!
//! A file in one store, a reference to it in another, and records of both in a third drift apart when whoever writes them
//! dies in between, or wakes up late. So what happens to an update is decided by two state machines without input, output
//! or a clock: [`update::ingest`](crate::update::ingest) is one upload, [`update::blob`](crate::update::blob) says who needs
//! which bytes. A step is a function of a record, an input and the time, and its result is written by compare-and-set. What
//! is to be done next follows from the state alone, so that whoever finds a record can go on with it:
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
//! The machines need their drivers to keep an order. `tests/proof.rs` puts the same `step` into small worlds in which workers
//! die, sleep and wake at any point, others write to the component, deletions arrive late and twice, uploads are torn, sent
//! again and withdrawn. It goes through every interleaving, and it does so again with each of these rules taken out, which
//! must go wrong:
//!
//! | rule | without it |
//! |---|---|
//! | the intent is written before the bytes are held | the collector takes the hold for one that was left behind, and the bytes go |
//! | the bytes are held before the intent says so | one who dies in between leaves an upload whose bytes nobody holds |
//! | they are held before they are visible | the sweeper takes them for garbage |
//! | they are visible before they are referred to | a reference to nothing |
//! | their digest is measured first | a reference to torn bytes |
//! | the component is written on condition of its version | what somebody else wrote is lost |
//! | an upload looks for its own reference first | it is attached twice, after a crash between two writes |
//! | the component is read, then the intent, then it is written | one who slept attaches what was withdrawn meanwhile |
//! | what was accepted is read then too | an update is attached after a later one |
//! | the component is fixed in the record, and written to before the hold goes | one who slept attaches what was given up |
//! | the reference goes before the hold, the intent before both | a reference to nothing |
//! | only the collector deletes, by the ledger | an upload that fails deletes what another one shares |
//! | no generation comes back | a deletion that is late hits the bytes of a later upload |
//! | a sweeper lists, then reads the ledger, and deletes what has no name there | bytes of one who slept stay forever, or go too early |
//! | holds are held against the records of their uploads | a hold of one who died keeps bytes forever |
//! | somebody takes up what was left | an upload never ends |
//! | the record is read after the component before an update is made current again | what was withdrawn meanwhile is offered, without its bytes |
//! | the reference counts how often it was made current again | one who slept does it once more, in the place of a later update |
//! | an upload is marked as superseded by the number that its reference had | what was seen before a restoration undoes it in the record |
//!
//! The bytes of a digest may be there more than once. The entry of a copy lists the uploads that hold it, and a record of the
//! ledger takes 64 KiB, so that 256 uploads share a copy (`UpdateService::with_uploads_per_copy`). The next upload puts the
//! full entry aside as it is and begins a copy with a generation of its own, in the same write: what an upload costs does not
//! grow with the number of those before it. The copies know nothing of each other, and everything that is said here of bytes
//! holds for each of them. The newest entry is at `blob/DIGEST`, the others are at `blob/DIGEST/GENERATION` and never move
//! again, so that whoever looks for one asks in this order. A legal hold or a retention keeps one copy.
//!
//! A withdrawn update stays in its component as `withdrawn`, for 30 days or as
//! [`with_withdrawn_retention`](crate::service::UpdateService::with_withdrawn_retention) says, so that a device that has the
//! file sees the recall. The hold on the bytes is released as soon as the component says so, and not when that time is over:
//! what must not be installed is not to be had, also by one who has kept the address. A legal hold keeps the bytes as evidence.
//! No other update takes the place of a withdrawn one by itself;
//! [`make_current`](crate::service::UpdateService::make_current) brings a superseded one back, by somebody's recorded decision.
//!
//! What an upload costs does not depend on how many there were before it. An attachment retires the oldest superseded updates
//! of its component beyond three
//! ([`with_keep_superseded`](crate::service::UpdateService::with_keep_superseded)), in the write that it makes there anyhow.
//! A write that ends an upload notes in the ledger, under `due/TIME-ID`, when what is left of it is to be removed, so that
//! [`expire`](crate::service::UpdateService::expire) reads only what is due:
//!
//! | what | kept for | option |
//! |---|---|---|
//! | the reference of a withdrawn update | 30 days | `with_withdrawn_retention` |
//! | the record and the idempotency key of an upload that ended, from its end | 30 days | `with_ended_retention` |
//! | the same of an upload whose bytes never came | a day | `with_aborted_retention` |
//! | the entry of bytes that were deleted | until the next collection | |
//! | versions of a resource, by [`prune_histories`](crate::store::TenantResources::prune_histories) | as the caller asks | |
//! | the audit chain | forever | |
//!
//! A ledger that commits several records at once may write the record of an upload together with the hold, the acceptance of
//! its sequence number and the audit record of the step; the proof covers that, and a ledger that writes one by one.
//!
//! # Signed updates
//!
//! Some updates come with a [manifest](crate::manifest), signed by their maker.
//! [`UpdateService::receive_signed`](crate::service::UpdateService::receive_signed) takes no word of it before the caller's
//! [`Verifier`](crate::manifest::Verifier) has found a good signature over its bytes, and then takes its word for all
//! that a form would say: the component, the version, the sequence number, the size and the digest of the file. Whether the
//! update fits is asked twice, of the device as it is at that moment, by the predicates of
//! [`explain`](crate::manifest::explain): before the bytes come, so that what cannot be attached is not sent in vain,
//! and before the reference is written, since a device may change while a file is on its way. A refusal lists all that speaks
//! against the update, and one that comes late stands in the audit chain in the same words.
//!
//! The manifest and the signatures stay in the ledger. Whoever goes on with an upload that broke off verifies them again: a
//! key that was revoked meanwhile attaches nothing more. A reference that is found in the component is not checked again, since
//! it was checked before it was written, and may have been acknowledged. The sequence number is left to the machine, which
//! accepts it in the same write in which it fixes the component.
//!
//! Which tenants take only signed updates is the caller's rule
//! ([`with_signed_only`](crate::service::UpdateService::with_signed_only)); without a verifier, nothing signed is taken, and
//! there is none that accepts everything.
//!
//! # Bounds
//!
//! JSON may be nested [`MAX_DEPTH`](crate::element::MAX_DEPTH) deep, so that no document can exhaust the stack. The
//! library denies itself `unsafe`, and everything that panics: indexing, `unwrap`, slices of strings.
