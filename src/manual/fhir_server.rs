//! Keeping resources in a FHIR server of others.
//!
//! `backend::FhirServer` (feature `fhir-http`) is a store over a FHIR server, of STU3 or R4, that belongs to someone else, such as
//! the server of a hospital. The devices stay there, where other programs read and write them; the update files and the ledger of the
//! service stay in stores of its own.
//!
//! ```text
//! update_service --fhir 'https://fhir.hospital.example/{tenant}' --fhir-token token.txt --data /var/lib/updates
//! ```
//!
//! # Finding out what a server does
//!
//! Servers differ in what they make of conditions, and few do all that they say. `Options::connect` reads the
//! CapabilityStatement, and tries each ability on resources of its own (`fhir-devices-probe-..`, deleted again). It needs about
//! fifty requests, once, at the start. What the server lacks is refused by name, and nothing is assumed:
//!
//! | ability | what the server must do | how it is found out | without it |
//! |---|---|---|---|
//! | any use | FHIR 3.0 (or 4.0, where the options say so) in JSON; `read`, `update`, `delete`, `search-type` of Device, DeviceComponent and DeviceMetric under ids of the client's; versions that count 1, 2, 3 | CapabilityStatement | refused: `ServerFault::Lacking` |
//! | keeping | gives back what was written, extensions within extensions and digits of decimals too | a DeviceComponent is written and read | refused: `ServerFault::ElementLost`, with the element |
//! | update | refuses `If-Match` of another version than the newest | a PUT with a version that cannot be | refused: `ServerFault::ConditionIgnored` |
//! | update of what never was | refuses `If-Match` there too | a PUT with `If-Match: W/"1"` of a new id | an update looks first, unless the version was seen before |
//! | creation | refuses `If-None-Match: *` where there is one; or else refuses `If-Match: W/"0"` where there is or was one, and creates by it what never was | two PUTs of one id; a deletion, and a PUT with the number of it | `Capabilities::conditional_create` is false: a creation looks first, and one that overwrites another is an error that leaves open what was applied |
//! | deletion in a version | refuses `If-Match` of another version; or else a DELETE of `TYPE/ID/_history/VERSION` of another version | a DELETE of each kind with a version that cannot be | `Capabilities::conditional_delete` is false: what was deleted beyond the condition is told afterwards, as an error |
//! | commits of several writes | transactions that are refused as a whole where one condition does not hold | three transactions | `Capabilities::max_writes` is 1 |
//! | deletion in such a commit | heeds `ifMatch` of a DELETE in a transaction | a transaction with one deletion | it is `Unsupported` with a condition |
//! | history | `vread` and `history-instance`; the newest version comes first | a history of several versions | refused, unless the options say `without_history` |
//! | searches by codes | compares codes and identifiers without case, as STU3 has it | a search for an identifier in lower case | what has letters is looked for here, among all that the server finds without it |
//! | searches that see one's own writes | an index that is not late | three searches, each after a write | `Capabilities::search_read_your_writes` is false |
//!
//! Not asked for, as FHIR has no way to it: the write ids of deletions, the forgetting of versions, index entries beside what a
//! resource holds, and times in the order of versions that are made at the same moment
//! ([`Capabilities`](crate::store::Capabilities)).
//!
//! Without a probe, `Options::at` assumes nothing of conditions: both capabilities are false. `trust_if_none_match` and
//! `trust_if_match` are for a server that is known to honour them.
//!
//! # What is ours, and what is the server's
//!
//! - Each version carries the id of the write that made it, in an extension of the resource
//!   (`StructureDefinition/fhir-devices-write-id`). A write without an id has a random number there (`unnamed-..`): so a write of
//!   what is there already differs from it, and servers that make no version of what is the same make one. An answer that shows
//!   another number is the answer to another write, and is not believed. The store takes the extension out of what it gives.
//! - The number, the time and the source of a version (`meta.source`, and the extension of it that HAPI has in STU3) are the server's.
//!   They are neither sent nor in the bodies that the store gives.
//! - What else the server adds is its own: a narrative, tags (many servers keep those of earlier versions), profiles. The store
//!   gives it as the server does. It counts for nothing
//!   here: a write is known again by its id, an entity tag is the number of the version, the digest in an update is that of its
//!   file, the ledger and its audit records hold what the service did and no bodies of resources, and an update in a component is
//!   compared by its own extension.
//! - The order of members is that of the definition.
//!
//! # Servers of R4
//!
//! `Options::fhir_version(Version::R4)`, or `--fhir-version r4`: each resource is [converted](crate::manual::conversion) when it is
//! written and read, so that the store is the same as over STU3.
//!
//! - A DeviceComponent is a Device with a tag there, and the search for components asks for the tag. A Device with the tag is no
//!   Device here.
//! - Components and Devices share their ids: where components keep theirs, as by default, one cannot be created under the id of a
//!   Device (the server's words stand in the error). With `IdPolicy::Prefix` they are apart, and components of others, which have
//!   no prefix, are not seen.
//! - The hospital's own Devices come in as Devices. With `Components::ByLevel` those whose type is a VMD or a channel come in as
//!   components, without a tag of ours, and get updates; so a search for components reads all Devices. What STU3 has no place for
//!   is carried in extensions, and is where it was when the resource is written back.
//! - A resource that cannot be converted without a loss is an error that says what would be lost: nothing is written back without
//!   it. A search that finds one fails, and names it, or leaves it out where `Options::leave_out_unreadable` says whom to tell:
//!   `update_service` leaves it out, and its log names it at each search. Who reads it by its id gets the error in any case, and nothing is
//!   ever written over it. The same holds for a resource that breaks the rules of its own version, of STU3 too.
//! - Sent as parameters are `_id`, `identifier` and `type`; of a Device `model`, `manufacturer`, `url`, `patient`, `location` and
//!   `organization` too; of a component and a metric `parent`, by its reference; of a metric `source`. Everything else is looked for
//!   here, among all that these find.
//!
//! # Histories and pages
//!
//! Some servers cut a history, because they count its versions only now and then. One that ends before version 1 is read on,
//! version by version, until the server says that there is none; so the history of a resource whose old versions the server has
//! forgotten takes two more requests. One that begins before the newest version is put right in the same way.
//!
//! A link to a next page may have any form, but it must lead below the address of the tenant: a server behind a proxy that does
//! not know its own name links to another host, which is refused by name (`ServerFault::ForeignLink`), lest credentials go
//! there. Let the proxy pass `Host` on, or tell the server its address.
//!
//! # How it is tested
//!
//! The tests hold the contract, the histories of many threads and the life of the service over HAPI's servers of STU3 and R4 (where
//! `FHIR_STU3_URL` and `FHIR_R4_URL` lead to them), over the service itself, and over stand-ins that break one rule each.
//!
//! - **Kills of both sides.** HAPI's server keeps everything in memory in the tests, and cannot be killed there. So the tests kill a
//!   stand-in that appends each change to a file before it answers, and the service, in turn and together, while eight clients repeat
//!   each upload until it is acknowledged: each is then in the ledger and at its component, once, and nothing else is. `FHIR_DURABLE_SERVER`
//!   in `tests/engine_fhir_http/durable.rs` runs the same over another server: by hand it was HAPI's of STU3 over a file of H2 (400
//!   uploads, 17 kills).
//! - **A server that is away for a minute**, over the stand-in: uploads are refused with a status of 500 or more and taken under
//!   their keys afterwards; maintenance fails meanwhile, and goes on.
//! - **Cost.** A story takes at most 1.1 times the requests of a bare client, and a read adds less than a millisecond to one of a bare
//!   client; both are tests.
