//! Web pages for users: the fleet, sending, updates and rollouts in a browser, and their limits.
//!
//! Open the address of the service. Every page has a URL that can be shared; `/?tenant=NAME` is the fleet of a tenant,
//! and the others are below `/NAME/pages/`. The pages work without JavaScript. With it, sending shows its progress and
//! can be cancelled, questions are dialogs, and a rollout is updated live. They need the same tokens and roles as the
//! API ([`operating`](super::operating)); a browser asks for the token as a password.
//!
//! | page | address | tasks |
//! |---|---|---|
//! | devices | `/NAME/pages/devices` | search, filter, order, page |
//! | a device | `/NAME/pages/devices/ID` | see its parts, findings, versions, updates and history |
//! | sending | `/NAME/pages/send?device=ID` | choose the component, preview the effect, send |
//! | updates | `/NAME/pages/updates` | filter by state, device, file, version and sender |
//! | an update | `/NAME/pages/updates/ID` | see its history by the audit chain, withdraw it, make it current again |
//! | releases | `/NAME/pages/releases` | make a release, withdraw it, list the devices with a lower version |
//! | rollouts | `/NAME/pages/rollouts` | preview and make a rollout, follow it, pause, resume and cancel it, list the devices that have the file |
//!
//! # Filters by index and by scan
//!
//! | filter | method |
//! |---|---|
//! | search, manufacturer, model, location, record | by the index of the store, for any number of devices. A name, a manufacturer and a model are found by their beginning; a location by its reference |
//! | order by change | where the store has [`search_by_time`](crate::store::Capabilities::search_by_time) |
//! | an update is available, software below a release, findings | not indexed: the devices found by the index are scanned, up to 2,000 or for 1.5 seconds a page, and the page shows how many. The next page continues there |
//!
//! # Bounds
//!
//! A page has fewer than 100,000 bytes, whatever clients wrote into resources: long texts are cut, a page has 20
//! devices, and trees are drawn as far as there is room. The history of an update is read from its opening, up to 1,500
//! records of the chain and the last 500; the page says when there are more, and links to all of them. A preview of a
//! rollout scans 2,000 components or for 1.5 seconds. The time to field is on the page of a rollout up to 2,000 done
//! components, and above that on a page of its own, as every audit record of the rollout is read for it.
//!
//! # Sending
//!
//! The browser reads the file and computes its SHA-256 before anything is sent. If the digest from the manufacturer was
//! entered, a different file is not sent; the digest is part of the form, so that the service refuses a file that was
//! changed on the way. A refusal says what to do, and quotes the service. The form is that of the API, at the same
//! address; its button adds `?answer=page`, so that the answer is a page and not FHIR.
//!
//! # Security of the pages
//!
//! Each page allows its own style and script by their digests (`Content-Security-Policy`), and contacts no other host.
//! A form is accepted only from a page of the service itself.
