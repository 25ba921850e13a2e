//! Storing resources in another FHIR server.
//!
//! `backend::FhirServer` (feature `fhir-http`) is a store over a FHIR server of STU3 or R4 that belongs to another
//! party, such as a hospital. The devices stay there, where other programs read and write them; the update files and
//! the ledger of the service stay in its own stores.
//!
//! ```text
//! update_service --fhir 'https://fhir.hospital.example/{tenant}' --fhir-token token.txt --data /var/lib/updates
//! ```
//!
//! # Detecting the abilities of a server
//!
//! Servers differ in their handling of conditions, and few do everything that they declare. `Options::connect` reads
//! the CapabilityStatement, and tests each ability on resources of its own (`fhir-devices-probe-..`, which are deleted
//! again). That takes about fifty requests, once, at the start. A missing ability is refused by name, and nothing is
//! assumed:
//!
//! | ability | requirement on the server | test | without it |
//! |---|---|---|---|
//! | any use | FHIR 3.0 (or 4.0, if set in the options) in JSON; `read`, `update`, `delete`, `search-type` of Device, DeviceComponent and DeviceMetric under ids of the client's; versions that count 1, 2, 3 | CapabilityStatement | refused: `ServerFault::Lacking` |
//! | losslessness | returns what was written, including nested extensions and the digits of decimals | a DeviceComponent is written and read | refused: `ServerFault::ElementLost`, with the element |
//! | update | refuses `If-Match` of any version but the newest | a PUT with an impossible version | refused: `ServerFault::ConditionIgnored` |
//! | update of a resource that never existed | refuses `If-Match` there too | a PUT with `If-Match: W/"1"` of a new id | an update reads first, unless the version was seen before |
//! | creation | refuses `If-None-Match: *` if the resource exists; or else refuses `If-Match: W/"0"` if it exists or existed, and otherwise creates it | two PUTs of one id; a deletion, and a PUT with its number | `Capabilities::conditional_create` is false: a creation reads first, and one that overwrites another is an error that leaves open what was applied |
//! | deletion of a version | refuses `If-Match` of another version; or else a DELETE of `TYPE/ID/_history/VERSION` of another version | a DELETE of each kind with an impossible version | `Capabilities::conditional_delete` is false: a deletion that violated its condition is reported afterwards, as an error |
//! | commits of several writes | refuses a transaction as a whole if one condition fails | three transactions | `Capabilities::max_writes` is 1 |
//! | deletion in such a commit | evaluates `ifMatch` of a DELETE in a transaction | a transaction with one deletion | it is `Unsupported` with a condition |
//! | history | `vread` and `history-instance`, newest version first | a history of several versions | refused, unless the options set `without_history` |
//! | searches by codes | compares codes and identifiers without case, as in STU3 | a search for an identifier in lower case | values with letters are compared here, among all resources that the server finds without the criterion |
//! | read-your-writes searches | an index without delay | three searches, each after a write | `Capabilities::search_read_your_writes` is false |
//!
//! Not tested, as FHIR does not support them: write ids of deletions, pruning of versions, index entries beside the
//! content of a resource, and ordered times of versions made at the same moment
//! ([`Capabilities`](crate::store::Capabilities)).
//!
//! Without a probe, `Options::at` assumes that no conditions are supported: both capabilities are false.
//! `trust_if_none_match` and `trust_if_match` are for a server that is known to honour them.
//!
//! # Data of the store, and data of the server
//!
//! - Each version carries the id of the write that made it, in an extension of the resource
//!   (`StructureDefinition/fhir-devices-write-id`). A write without an id has a random number there (`unnamed-..`): so
//!   a write of an unchanged resource differs from it, and makes a version even on servers that ignore unchanged
//!   writes. A response with another number is the response to another write, and is not accepted. The store removes
//!   the extension from the resources that it returns.
//! - The number, the time and the source of a version (`meta.source`, and the extension of it that HAPI has in STU3)
//!   belong to the server. They are neither sent nor in the bodies that the store returns.
//! - The server may add a narrative, tags (many servers keep those of earlier versions) and profiles. The store returns
//!   them, and ignores them otherwise: a write is recognised by its id, an entity tag is the number of the version, the
//!   digest in an update is that of its file, the ledger and its audit records hold the actions of the service and no
//!   bodies of resources, and an update in a component is compared by its own extension.
//! - Members are in the order of the definition.
//!
//! # Servers of R4
//!
//! `Options::fhir_version(Version::R4)`, or `--fhir-version r4`: each resource is [converted](crate::manual::conversion) when it is
//! written and read, so that the store is the same as over STU3.
//!
//! - A DeviceComponent is a Device with a tag there, and the search for components asks for the tag. A Device with the
//!   tag is not a Device here.
//! - Components and Devices share their ids: if components keep theirs, as by default, one cannot be created under the
//!   id of a Device (the error quotes the server). With `IdPolicy::Prefix` they are separate, and components of other
//!   programs, which have no prefix, are not seen.
//! - The hospital's own Devices are read as Devices. With `Components::ByLevel` those whose type is a VMD or a channel
//!   are read as components, without this crate's tag, and get updates; so a search for components reads all Devices.
//!   Elements that STU3 does not have are carried in extensions, and return to their places when the resource is
//!   written back.
//! - A resource that cannot be converted without a loss is an error that names the loss: nothing is written back
//!   without the lost data. A search that finds one fails, and names it, or skips it if `Options::leave_out_unreadable`
//!   provides a callback: `update_service` skips it, and its log names it at each search. A read by its id returns the
//!   error in any case, and the resource is never overwritten. The same holds for a resource that breaks the rules of
//!   its own version, STU3 included.
//! - The search parameters sent are `_id`, `identifier` and `type`; of a Device also `model`, `manufacturer`, `url`,
//!   `patient`, `location` and `organization`; of a component and a metric also `parent`, by its reference; of a metric
//!   also `source`. All other criteria are evaluated here, on the results of these.
//!
//! # Histories and pages
//!
//! Some servers cut a history, because they count its versions only now and then. A history that ends before version 1
//! is continued, version by version, until the server says that there is none; so the history of a resource whose old
//! versions the server has pruned takes two more requests. A history that begins before the newest version is corrected
//! in the same way.
//!
//! A link to a next page may have any form, but it must lead below the URL of the tenant: a server behind a proxy that
//! does not know its own name links to another host, which is refused by name (`ServerFault::ForeignLink`), so that
//! credentials are not sent there. Let the proxy pass `Host` on, or configure the URL of the server.
//!
//! # Tests
//!
//! The tests run the contract, the histories of many threads and the scenarios of the service against HAPI's servers of
//! STU3 and R4 (if `FHIR_STU3_URL` and `FHIR_R4_URL` are set), against the service itself, and against test servers
//! that break one rule each.
//!
//! - **Kills of both sides.** HAPI's server keeps everything in memory in the tests, and cannot be killed there. So the
//!   tests kill a test server that appends each change to a file before it answers, and the service, in turn and
//!   together, while eight clients repeat each upload until it is acknowledged: each is then in the ledger and at its
//!   component, once, and nothing else is: by hand 1,000 uploads with 83 kills, 41 of them of the service, in 259 s.
//!   `FHIR_DURABLE_SERVER` in `tests/engine_fhir_http/durable.rs` runs the same
//!   against another server: by hand it was HAPI's of STU3 over a file of H2 (1,000 uploads with 74 kills, 69 of them
//!   of the service, in 2,216 s).
//! - **A server that is unavailable for a minute**, by the test server: uploads are refused with a status of 500 or
//!   more and accepted under their keys afterwards; maintenance fails meanwhile, and continues.
//! - **Cost.** A scenario takes at most 1.1 times the requests of a plain client, and a read adds less than a
//!   millisecond to one of a plain client; both are tests.
