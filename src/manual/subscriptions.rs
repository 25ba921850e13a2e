//! Subscriptions: who is told of changes, how, and what an operator allows.
//!
//! A client writes a Subscription of STU3 with the channel `rest-hook`, and the service calls its endpoint whenever a resource that
//! meets the criteria is created or changed. [`rest::Subscriptions`](crate::rest::Subscriptions) keeps them,
//! [`service::SubscriptionService`](crate::service::SubscriptionService) sends the notifications, and
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
//! - `POST Subscription` gives it an id; `PUT`, `DELETE`, `GET` and a search (`_id`, `status`, `type`, `url`, `criteria`, `payload`,
//!   `contact`) do as everywhere. It is written by a request of its own, not in a Bundle, and in FHIR 3.0 alone.
//! - The criteria are a search of one type in the language of this service, chains and `_has` included. They are read strictly
//!   when they are written: what is not known is a 422 with the place. What says what a page shows (`_sort`, `_include`,
//!   `_count`) has no place in them. A condition on another resource is looked up when the change is looked at.
//! - Without `payload` a notification is an empty `POST` to the endpoint; with `application/fhir+json` or `application/fhir+xml` it is
//!   a `PUT` of the resource, as a read shows that version, to `ENDPOINT/TYPE/ID`. Any status of the class 2xx takes it.
//! - Each matching version made after the answer to the `POST` is sent at least once, in the order of the history; compare
//!   `meta.versionId` to know one that came again. A deletion meets no criteria, and is not told of.
//! - The client asks for the status `requested`, and `off` to end it. The service sets `active`; `error`, with the reason in
//!   `error`, while the endpoint does not take what it is sent; and `off` at `end`, or after three days without success. To write
//!   `requested` again goes on where it stopped; one that its client turned off begins anew.
//! - The values of headers are never shown: a read has `Authorization: (hidden)`, and so has a search and the answer to a write.
//!   STU3 says of headers only that they are sent; shown, each client that may read resources of the tenant would have the secrets
//!   of the others. Written back so, the value stays, as long as the endpoint does.
//!
//! # For an operator
//!
//! - Clients name the endpoints. By default only public hosts by `https` are called: not this machine, no private, link-local or
//!   otherwise special address, in any spelling, and no host name that leads to one, which is checked at each connection.
//!   Redirects are not followed, proxies of the environment not used, and certificates are those that the machine trusts.
//!   [`EndpointRules`](crate::subscription::EndpointRules) (`--subscriptions local`) allows the rest.
//! - Subscriptions lie in the ledger: `subscriptions/of/ID`, with their secrets, and `subscriptions/at/ID` for how far each has come.
//!   Who can read the ledger, or a copy of it, reads the secrets, unless they are sealed: by
//!   `backend::sealed::SealedLedger`, or `update_service --seal-keys FILE` with lines such as `2026 7a..` (a name and 64
//!   hexadecimal digits, `openssl rand -hex 32`). The first key seals, and all open: for a new key put its line on top, and keep
//!   the old ones below it. What was written without is read, and sealed when it is written again. Without its key a sealed
//!   Subscription is not read, and sends nothing; the file does not belong into the backup of the ledger.
//! - Who may write resources of a tenant may write Subscriptions. There are 100 a tenant, of 16 KiB, with 20 headers of 4 KiB in
//!   all.
//! - Nothing is lost by a restart or `kill -9`; up to 20 notifications come again. A failed one is tried again after 5 seconds, then
//!   twice as long each time, up to an hour; what comes behind it waits. One slow endpoint holds up only its own subscription.
//! - Of several services over one ledger one sends for a subscription at a time. Another takes over 45 seconds after it has died.
//! - Changes are looked for at each write through the service, and every five seconds. What is looked through again each time are
//!   the last ten seconds, so that a commit that a store shows late, or a clock that is set back while the service runs, hides
//!   nothing ([`Pace`](crate::subscription::Pace)).
//! - The store must have [`Capabilities::changes`](crate::store::Capabilities); without, a `POST` is a 501. Versions that
//!   [`prune_history`](crate::store::ResourceStore::prune_history) forgot before they were sent are told by the newest one.
//! - Metrics: `update_service_subscriptions`, `.._notifications_sent_total`, `.._notifications_failed_total`,
//!   `.._subscriptions_turned_off_total`.
//!
//! The channels `websocket`, `email`, `sms` and `message` are refused by name.
