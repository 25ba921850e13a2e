//! Subscriptions: notifications of changes, and their rules for operators.
//!
//! A client creates a Subscription of STU3 with the channel `rest-hook`, and the service calls its endpoint whenever a
//! resource that meets the criteria is created or changed. [`rest::Subscriptions`](crate::rest::Subscriptions) stores
//! them, [`service::SubscriptionService`](crate::service::SubscriptionService) sends the notifications, and
//! `server::UpdateServer::with_subscriptions` does both; `update_service --subscriptions public|local` turns that on.
//!
//! # For a subscriber
//!
//! ```json
//! { "resourceType": "Subscription", "status": "requested", "reason": "pumps with a new version",
//!   "criteria": "DeviceComponent?source:Device.model=P9",
//!   "channel": { "type": "rest-hook", "endpoint": "https://ehr.example/hook", "payload": "application/fhir+json",
//!                "header": ["Authorization: Bearer .."] } }
//! ```
//!
//! - `POST Subscription` assigns an id; `PUT`, `DELETE`, `GET` and a search (`_id`, `status`, `type`, `url`,
//!   `criteria`, `payload`, `contact`) work as for other types. A Subscription is written by a request of its own, not
//!   in a Bundle, and in FHIR 3.0 only.
//! - The criteria are a search of one type in the search syntax of this service, chains and `_has` included. They are
//!   parsed strictly when they are written: an unknown parameter is a 422 with its path. Parameters of the result page
//!   (`_sort`, `_include`, `_count`) are not allowed. A condition on another resource is evaluated when the change is
//!   processed.
//! - Without `payload` a notification is an empty `POST` to the endpoint; with `application/fhir+json` or
//!   `application/fhir+xml` it is a `PUT` of the resource, as a read returns that version, to `ENDPOINT/TYPE/ID`. Any
//!   2xx status accepts it.
//! - Each matching version made after the answer to the `POST` is sent at least once, in the order of the history;
//!   compare `meta.versionId` to recognise a repetition. A deletion meets no criteria, and is not sent.
//! - The client sets the status `requested`, and `off` to end it. The service sets `active`; `error`, with the reason
//!   in `error`, while the endpoint does not accept notifications; and `off` at `end`, or after three days without
//!   success. Writing `requested` again continues where it stopped; a Subscription that its client turned off begins
//!   anew.
//! - The values of headers are never shown: a read, a search and the answer to a write return
//!   `Authorization: (hidden)`. STU3 does not say that they are readable, and each client that may read resources of the
//!   tenant would have the secrets of the others. If `(hidden)` is written back, the value is kept, as long as the
//!   endpoint is the same.
//!
//! # For an operator
//!
//! - Clients choose the endpoints. By default only public hosts are called, by `https`: not this machine, no private,
//!   link-local or other special address in any spelling, and no host name that resolves to one, which is checked at
//!   each connection. Redirects are not followed, proxies of the environment not used, and certificates are those that
//!   the platform trusts. [`EndpointRules`](crate::subscription::EndpointRules) (`--subscriptions local`) allows the
//!   rest.
//! - Subscriptions are stored in the ledger: `subscriptions/of/ID` with their secrets, and `subscriptions/at/ID` for the
//!   progress of each. Whoever can read the ledger, or a copy of it, can read the secrets, unless they are sealed: by
//!   `backend::sealed::SealedLedger`, or `update_service --seal-keys FILE` with lines such as `2026 7a..` (a name and 64
//!   hexadecimal digits, `openssl rand -hex 32`). The first key seals, and every key opens: put a new key on the first
//!   line, and keep the old ones below it. A record written without a key is read, and sealed when it is next written.
//!   A sealed Subscription whose key is missing is not read, and sends nothing. Do not keep the file of keys in the
//!   backup of the ledger.
//! - Every client that may write resources of a tenant may write Subscriptions. A tenant may have 100, of 16 KiB each,
//!   with 20 headers of 4 KiB in all.
//! - Nothing is lost by a restart or `kill -9`; up to 20 notifications are repeated. A failed one is tried again after
//!   5 seconds, then twice as long each time, up to an hour; later ones wait. A slow endpoint holds up only its own
//!   subscription.
//! - Of several services over one ledger, one at a time sends for a subscription. Another takes over 45 seconds after
//!   it has died.
//! - Changes are polled at each write through the service, and every five seconds. Each poll repeats the last ten
//!   seconds, so that no change is missed when a store shows a commit late, or a clock is set back while the service
//!   runs ([`Pace`](crate::subscription::Pace)).
//! - The store must have [`Capabilities::changes`](crate::store::Capabilities); without it, a `POST` is a 501. If
//!   [`prune_history`](crate::store::ResourceStore::prune_history) removed versions before they were sent, the newest
//!   one is sent.
//! - Metrics: `update_service_subscriptions`, `.._notifications_sent_total`, `.._notifications_failed_total`,
//!   `.._subscriptions_turned_off_total`.
//!
//! The channels `websocket`, `email`, `sms` and `message` are refused by name.
