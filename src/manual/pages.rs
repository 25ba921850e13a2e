//! The pages for people: the fleet, sending, updates and rollouts in a browser, and what bounds them.
//!
//! Open the address of the service. Every page has an address that can be shared; `/?tenant=NAME` is the fleet of a tenant, and the
//! others are below `/NAME/pages/`. The pages work without JavaScript. With it, sending shows its progress and can be cancelled,
//! questions are dialogs, and a rollout is shown as it goes on. They need the same tokens and roles as the addresses of programs
//! ([`operating`](super::operating)); a browser asks for the token as a password.
//!
//! | page | address | what a person does there |
//! |---|---|---|
//! | devices | `/NAME/pages/devices` | search, filter, order, page |
//! | a device | `/NAME/pages/devices/ID` | see its parts, findings, versions, updates and history |
//! | sending | `/NAME/pages/send?device=ID` | choose the component, see what will happen, send |
//! | updates | `/NAME/pages/updates` | filter by state, device, file, version and sender |
//! | an update | `/NAME/pages/updates/ID` | see its life by the audit chain, withdraw it, make it current again |
//! | releases | `/NAME/pages/releases` | make a release, withdraw it, see the devices below it |
//! | rollouts | `/NAME/pages/rollouts` | preview and make a rollout, follow it, pause, resume and cancel it, see who has the file |
//!
//! # What the store finds, and what is looked through
//!
//! | filter | how |
//! |---|---|
//! | search, manufacturer, model, location, record | by the index of the store, however many devices there are. A name, a manufacturer and a model are found by how they begin; a location by its reference |
//! | order by change | where the store has [`search_by_time`](crate::store::Capabilities::search_by_time) |
//! | an update is available, software below a release, findings | in no index: the devices that the index finds are looked through, up to 2,000 or for 1.5 seconds a page, and the page says how many. The next page goes on where it ended |
//!
//! # Bounds
//!
//! A page has fewer than 100,000 bytes, whatever clients wrote into resources: long texts are cut, 20 devices stand on a page, and
//! trees are drawn as far as there is room. The life of an update is read from its opening on, up to 1,500 records of the chain and
//! the last 500; the page says when there are more, and links to all of them. A preview of a rollout looks at 2,000 components or
//! for 1.5 seconds. The time to field is on the page of a rollout up to 2,000 components that have ended, and above that on a page of
//! its own, as every audit record of the rollout is read for it.
//!
//! # Sending
//!
//! The browser reads the file and computes its SHA-256 before anything is sent. Where the digest of the manufacturer was typed in,
//! another file is not sent; the digest goes with the form, so that the service refuses what did not arrive as it was. A refusal
//! says what to do, and has the words of the service too. The form is that of programs, at the same address; its button adds
//! `?answer=page`, by which the answer is a page and not FHIR.
//!
//! # What a page may do
//!
//! Each page allows its own style and script by their digests (`Content-Security-Policy`), and asks no other host. A form is taken
//! only from a page of the service itself.
