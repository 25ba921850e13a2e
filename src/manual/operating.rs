//! Operating `update_service`: signals, exit statuses, limits, metrics and alarms.
//!
//! `update_service --help` lists every option. What one request may cost is in [`bounds`](super::bounds).
//!
//! # Settings
//!
//! Each option has a name for the environment and for a file of settings: `--tls-cert` is `DEVICE_UPDATES_TLS_CERT`. The file is
//! named by `--settings` or `DEVICE_UPDATES_SETTINGS` and has one `NAME=VALUE` a line, as systemd and container programs read it too.
//! The command line goes before the environment, and that before the file. An option without a value is `true` or `false` there; one
//! that may come several times has blanks between its values. `examples/deploy/` has a file of settings, a systemd unit and a
//! container file.
//!
//! # Several processes
//!
//! Processes over one ledger (`--postgres`, `--cosmos`) and one store of files (`--blobs`) are one service, behind any proxy: page links,
//! idempotency keys and the state of uploads and rollouts are in the ledger, so that any of them goes on with what another began. The
//! secret of page links is made by the first process ([`shared_page_key`](crate::server::shared_page_key)). To replace them one after
//! the other, send SIGTERM to one, wait until it has ended, and start the new one.
//!
//! # Addresses
//!
//! `--base-url` is where clients find the service. The service writes it into Bundles and into the attachments of updates,
//! where it stays: choose a name that lasts. Where `--listen` names no address of its own (`0.0.0.0`, `[::]`), the service
//! does not start without it.
//!
//! `--cdn-url URL` gives update files out through a cache: a new attachment's address is `URL/blobs/TENANT/sha256/..`, and the
//! cache fetches what it does not have from the service at the same path below the base URL, with a token that has the role
//! `read` where tokens are asked for. The address names the digest, so that what is cached never changes; the service goes on
//! answering it itself. Attachments that were stored before keep the address that they have.
//!
//! # Signals
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT | no connection is taken any more; requests under way have 10 seconds; then the process ends |
//! | SIGHUP | the file of tokens is read again; without one, nothing |
//!
//! # Exit statuses
//!
//! | status | reason |
//! |---|---|
//! | 0 | it was asked to end |
//! | 2 | it could not start: an argument, a file, a store, an address, or too few file descriptors; the reason is on standard error |
//! | 3 | it could not go on: the file of `--data` failed and turned out to be damaged, or the background work broke off ([`Fatal`](crate::server::Fatal)). `/readyz` has answered 503 for 2 seconds and requests under way have had 10 seconds. Restore the file, if it is that; start it again |
//! | 4 | the store of update files is not that of the ledger; `--adopt-store` makes it so |
//!
//! # Health
//!
//! `GET /healthz` answers 200 while the process does. `GET /readyz` asks each store for something small and answers 200, or 503
//! with the names of those that did not answer within 2 seconds. Neither needs a token or reveals a secret. Requests
//! within a second share one check. Both are answered even when every connection is in use.
//!
//! Every 10 seconds, and at once after a request has failed, the check writes too: a record to the ledger, and 256 KiB of a file
//! that it throws away. So a full disk is detected. Once there is room, writes succeed again without a restart, and so does the next check.
//!
//! # Connections
//!
//! | what | option | default |
//! |---|---|---|
//! | connections at a time | `--max-connections` | half of the file descriptors that are free at the start, 10,000 at most |
//! | of one address (of IPv6: the first 64 bits) | `--max-connections-per-address` | half of all |
//! | reserve for `/healthz` and `/readyz` | | 4, each for 4 seconds at most |
//! | TLS handshake | `--handshake-timeout` | 10 s |
//! | head of a request, and first byte of a connection | `--header-timeout` | 15 s |
//! | no byte of a body, or none of an answer taken | `--body-timeout` | 30 s |
//! | between two requests | `--idle-timeout` | 60 s |
//! | least rate of bodies and answers, on average, after as long as `--body-timeout` says | `--min-rate` | 256 bytes a second |
//! | head of a request | | 64 KiB |
//!
//! The rate counts the time in which the service waits for the client and no other, so that a slow upload of a large file
//! goes through. Where there are too many connections, one is closed for each new one: first those that never sent a request,
//! the oldest first, then those that wait for the next request, then requests that have stalled for 2 seconds. Where all are
//! in use, a new connection is told 503 with `Retry-After` unless it asks for the health. Behind a proxy every client has
//! the address of the proxy: set `--max-connections-per-address` as high as `--max-connections` then. Raise the number of
//! descriptors (`ulimit -n`, `LimitNOFILE=`) for more connections.
//!
//! # Tokens
//!
//! Each line of the file of `--tokens` is a token, its tenants, and what else is known of it:
//!
//! ```text
//! a-long-enough-token st-mary, st-john as ward/terminal may read, upload until 2027-01-31
//! sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 *
//! ```
//!
//! | role | what it opens |
//! |---|---|
//! | `read` | `GET` and `HEAD` of a tenant's resources, updates, files, audit records and page; search by `POST`; `$validate` |
//! | `write` | every other request below `/TENANT/fhir`; a batch too, whatever it holds |
//! | `upload` | `POST /TENANT/updates`, and `DELETE /TENANT/updates/ID`; the same by the pages for people |
//! | `release` | `POST /TENANT/releases`, and `DELETE /TENANT/releases/ID` |
//! | `approve` | `POST /TENANT/rollouts/ID/approve` and `deny` |
//! | `device` | `GET /TENANT/devices/DEVICE/offers`, `GET /TENANT/offers/KEY/FILE` and `POST /TENANT/devices/DEVICE/reports`; `as device/DEVICE` of this device alone |
//! | `operate` | `POST /TENANT/rollouts` and what steers one, `DELETE /TENANT/updates/ID`, `POST /TENANT/updates/ID/make-current`, every other change, and `GET /metrics` |
//!
//! Without `may` a token for tenants has `read`, `write` and `upload`, and one for `*` has every role. `GET /metrics` is also
//! open to every token for `*`. A day after `until` is the last on which the token is good, in UTC. The file is looked at every
//! 2 seconds; one with a fault changes nothing, and is in the log and in the numbers. To revoke a token, take its line out.
//!
//! Failed sign-ins are in the log with their address and their number, once in 10 seconds for each address. After 50 failures
//! an address has 50 sign-ins a second with tokens that were not good there before, and beyond that gets 429 with
//! `Retry-After`; tokens that have been good there are not slowed down. 4,096 addresses are remembered.
//!
//! Without `--tokens` the service answers what is addressed to the machine itself (`localhost`, `127.0.0.0/8`, `[::1]`) and
//! comes from no page of another site or port. With and without: a page of a browser must be the service's own (`Origin`,
//! `Sec-Fetch-Site`, `Referer`), and a request with two `Host` or `Authorization` headers, or whose target is another host
//! than `Host` says, is refused with 400.
//!
//! An address of more than 32 KiB is answered with 414 and an OperationOutcome; one of more than 64 KiB, and a head of more than
//! that, are answered by the HTTP library below the service, with 414 or 431 and no body.
//!
//! # Metrics and alarms
//!
//! `GET /metrics` has them in the Prometheus text format, each with its help.
//!
//! | metric (with the prefix `update_service_`) | alarm |
//! |---|---|
//! | `requests_total`, `request_seconds`, `requests_under_way` | the share of `5xx` rises |
//! | `connections`, `connections_limit`, `connections_total`, `connections_closed_for_others_total`, `connection_timeouts_total` | `connections` near its limit for minutes |
//! | `connections_over_limit_total`, `connections_in_reserve`, `accept_failures_total` | any of them rises: more descriptors, or a client that holds too many |
//! | `sign_in_failures_total` | `unknown` or `refused` rises: somebody tries tokens, or a client has an old one |
//! | `token_file_broken`, `token_file_failures_total`, `token_file_reloads_total` | `token_file_broken` is 1: a revocation may not have come through |
//! | `maintenance_rounds_total`, `maintenance_failures_total`, `tenants` | no round in 10 minutes, or failures rise |
//! | `uploads_waiting`, `uploads_stuck`, `uploads_resumed_total` | `uploads_stuck` above 0 for an hour |
//! | `files_collected_total`, `files_swept_total`, `files_readmitted_total`, `files_watched`, `files_quarantined` | `files_quarantined` rises: see the log for which |
//! | `files_referenced`, `sweeps_over_limit`, `stores_mismatched` | above 0 |
//! | `scrubs_total`, `files_scrubbed_total`, `files_damaged` | `files_damaged` above 0: send the same bytes again |
//! | `uploads_repaired_total` | |
//! | `withdrawn_removed_total`, `records_removed_total`, `versions_removed_total`, `entries_removed_total`, `manifests_removed_total` | |
//! | `rollouts`, `deployments`, `deployments_ended`, `deployments_done_permille`, `deployments_unproven` | |
//! | `deployments_late`, `deployments_oldest_late_seconds` | `deployments_late` above 0 for long: `.../deployments/ID/explain` says what holds one up |
//! | `time_to_observed_seconds`, `time_to_observed_quantile_seconds` | |
//! | `references_reattached_total`, `uploads_lost_total`, `unknown_references_removed_total` | it rises: somebody changes components behind the service |
//! | `subscriptions`, `notifications_sent_total`, `notifications_failed_total`, `subscriptions_turned_off_total` | the failures rise for hours: an endpoint is away; see the `error` of its Subscription |
//! | `unknown_references` | above 0: components have updates that the service does not know |
//!
//! Alarm also on `/readyz` other than 200 for a minute, on a restart with status 3, and on each line of the log with the level
//! `ERROR`.
