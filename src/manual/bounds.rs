//! Limits of each request, and of all requests together.
//!
//! A request beyond a limit is refused with an OperationOutcome whose issue has the code `too-costly` or `too-long` and
//! names the limit. A page that would be too large is cut, and has a `next` link.
//!
//! # One request to [`rest::Server`](crate::rest::Server)
//!
//! The fields of [`Limits`](crate::rest::Limits); `update_service --limit NAME=N` sets them.
//!
//! | limit | default | beyond it |
//! |---|---|---|
//! | `entries` of a batch or transaction | 5,000 | 413 |
//! | `answer-bytes` of the answer to a batch | 32 MiB | 413 for each entry that reads; writes are carried out and answered without the resource |
//! | the components that a transaction replaces, together | `answer-bytes` | 413 |
//! | `page-bytes` of a page of a search or history, with included resources | 8 MiB | the page is cut, with a `next` link; included resources are left out, with an issue |
//! | `findings` of an outcome | 1,000 | the others are counted in one last issue, `more-findings` |
//! | `values` of a search | 1,000 | 400 |
//! | `parameters` of a search | 100 | 400 |
//! | values with `:contains` | 16 | 400 |
//! | `includes` of a search | 16 | 400 |
//! | included resources of a page | 1,000 | left out, with an issue |
//! | resources sorted by an order that the store does not index: every key but `_id` and, where the store supports it, `_lastUpdated` | 10,000 | 400 `too-costly`, which names the limit: narrow the search |
//! | `steps`: resources that a request reads, a call of the store counting as 50 | 200,000 | a search ends its page with a `next` link; anything else: 400 |
//! | `filtered-bytes`: bytes of stored resources that are parsed into their elements: for filters without an index, to validate them, to show a part | 256 MiB | as `steps` |
//! | `read-memory`: memory for the elements of a document | 64 MiB | 413 |
//! | `operations` of a patch | 1,000 | 413 |
//! | `patched-bytes` of a resource that a patch makes | 4 MiB | 413 |
//! | bytes that the `copy` operations of a patch copy | the size of the resource and the patch, and 64 KiB | 413 |
//! | members and items that the operations of a patch visit or shift | 10,000,000 | 413 |
//!
//! A batch with more findings than are listed is refused as a whole, since the entries of the others are unknown.
//! Nesting of objects and arrays: 128 ([`MAX_DEPTH`](crate::element::MAX_DEPTH)). Path and message of a finding: 2,048
//! bytes each. A value in an index: 256 bytes ([`Parameter::LONGEST`](crate::search::Parameter::LONGEST)).
//!
//! # All requests to the service together
//!
//! | limit | default | beyond it |
//! |---|---|---|
//! | body of a resource | 4 MiB | 413 |
//! | body of a batch or transaction | 32 MiB | 413 |
//! | `request-memory`: memory of all FHIR requests, with their bodies and unsent answers | 128 MiB | a request waits for 10 seconds, and is answered with 503 and `Retry-After` |
//! | threads for requests that need more than 24 MiB: large documents, and batches that read | one for each 256 MiB of `request-memory` | a request waits |
//! | threads for other long requests: searches, batches, documents of more than 16 KiB | one for each 32 MiB, and no more than processors | a request waits |
//! | web page | 100,000 bytes; 600 components and metrics of 20 devices, or 2,000 of one, and 2 MiB of each, none of more than 64 KiB | the rest is left out, with a note |
//!
//! # Uploads
//!
//! | limit | option | default | beyond it |
//! |---|---|---|---|
//! | bytes of an update file | `--max-upload` | 1 GiB | 413 `too-large` |
//! | time without progress of an upload | `--upload-timeout` | an hour | the upload is aborted, and its record kept as set by `--keep-aborted` |
//! | fields, headers and parts of a form | | as in [`uploads`](super::uploads#limits) | 413 |
//!
//! # Devices of hawkBit's interface
//!
//! | limit | default | beyond it |
//! |---|---|---|
//! | body of a request | 64 KiB ([`MAX_BODY`](crate::ddi::MAX_BODY)) | 413 `too-large` |
//! | attributes of a device, and versions among them | 256, and 64 | 413 `too-much` |
//! | a version | 128 bytes | 413 `too-much` |
//! | validity of a link to bytes | 24 hours | 403 `link-signature` |
//! | time between two polls (`--device-polling`) | 300 s, and up to a fifth more; less than a day | |
//! | devices whose attributes a process remembers to have received | 131,072 | all are asked once more |
//!
//! # Connections, sign-ins and background work
//!
//! | limit | option | default | where it is enforced |
//! |---|---|---|---|
//! | connections, those of one address, and their timeouts | `--max-connections` and others | as in [`operating`](super::operating#connections) | [`serve`](crate::server::serve) |
//! | URL of a request | | 32 KiB | 414 |
//! | head of a request | | 64 KiB | 414 or 431 with an OperationOutcome |
//! | token file | | 1 MiB | the file is refused, and the previous tokens stay valid |
//! | failed sign-ins of an address | | 50, then 50 a second | 429 |
//! | addresses whose sign-ins are remembered | | 4,096 | the oldest is forgotten |
//! | superseded updates of a component | `--keep-superseded` | 3 | the oldest is retired at the next upload |
//! | time for which a withdrawn update is shown | `--keep-withdrawn` | 30 days | maintenance, once a minute |
//! | retention of records of ended and aborted uploads | `--keep-ended`, `--keep-aborted` | 30 days and a day | maintenance |
//! | retention of a file without a holder | `--keep-files` | an hour | maintenance |
//! | versions of a resource | `--keep-versions` | 1,000 | maintenance, once an hour, if the store can prune them |
//! | unknown files deleted in a round | `--sweep-limit` | 100 | none is deleted, with an alarm |
//! | grace and quarantine of an unknown file | `--sweep-grace`, `--quarantine` | 24 hours and 7 days | maintenance |
//! | scrub of all files | `--scrub-every` | 7 days | at 16 MiB a second |
//!
//! # Stores
//!
//! | limit | option | default | beyond it |
//! |---|---|---|---|
//! | bytes of a resource in a store | `Options::with_max_body` of each backend | 16 MiB for `redb` | [`StoreError::TooLarge`](crate::store::StoreError::TooLarge) |
//! | writes of a commit | `Options::with_max_writes` | 1,000 for `redb` | [`StoreError::Unsupported`](crate::store::StoreError::Unsupported) |
//! | waiting commits | | 4,096 for `redb` | [`StoreError::Throttled`](crate::store::StoreError::Throttled) |
//! | data keys wrapped by one key of a [`KeyRing`](crate::backend::sealed::KeyRing) | | 2<sup>32</sup>, by the nonces of AES-GCM | [`StoreError::Denied`](crate::store::StoreError::Denied) until the key is rotated; [`with_wraps`](crate::backend::sealed::KeyRing::with_wraps) continues the count after a restart |
//!
//! # Complexity
//!
//! No step takes more than n log n in a quantity chosen by a client: values of a search are sets; members, ids,
//! attributes and references are looked up in trees, and an index answers many values in one pass. A sort by
//! `_lastUpdated` uses the store's index of times if it has one
//! ([`search_by_time`](crate::store::Capabilities::search_by_time)): the cost of a page does not depend on the number
//! of resources. The stores in memory, `redb`, PostgreSQL and Cosmos DB have one. A foreign FHIR server is not asked
//! for that order: it may keep times more exactly than it shows them, and does not define the order of equal times, so
//! that a page could not be compared with the previous one. Its resources are collected and sorted here, up to the
//! limit above. Any other sort, and a count, ask the store for keys and times without bodies
//! ([`Search::bodies`](crate::store::Search::bodies)), and read only the resources of the page. The store in memory
//! shares the bytes of a resource with the answer.
//!
//! The system allocator keeps memory freed by a thread for that thread. So only few threads ever hold much: requests of
//! more than 24 MiB are handled one after the other, in memory that the same thread has used before. Large answers to
//! reads of one resource wait for their part of `request-memory` too. No resource of more than 64 KiB is shown or
//! parsed into its elements on a thread that serves other requests.
