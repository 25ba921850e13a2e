//! Operating `update_service`: signals, exit statuses, limits, metrics and alarms.
//!
//! `update_service --help` lists every option. The limits of a request are in [`bounds`](super::bounds).
//!
//! # Settings
//!
//! Each option is also an environment variable and a name in a settings file: `--tls-cert` is
//! `DEVICE_UPDATES_TLS_CERT`. The file is set by `--settings` or `DEVICE_UPDATES_SETTINGS` and has one `NAME=VALUE` a
//! line, as systemd and container engines read it too. The command line takes precedence over the environment, and that
//! over the file. An option without a value is `true` or `false` there; a repeatable option has its values separated by
//! blanks. `examples/deploy/` has a settings file, a systemd unit and a container file.
//!
//! # Several processes
//!
//! Processes over one ledger (`--postgres`, `--cosmos`) and one store of files (`--blobs`) are one service, behind any
//! proxy: page links, idempotency keys and the state of uploads and rollouts are in the ledger, so that any process
//! continues what another began. The first process creates the secret of page links
//! ([`shared_page_key`](crate::server::shared_page_key)). To replace processes one after the other, send SIGTERM to
//! one, wait until it has ended, and start the new one.
//!
//! # Addresses
//!
//! `--base-url` is the URL at which clients reach the service. The service writes it into Bundles and into the
//! attachments of updates, where it stays: choose a permanent name. If `--listen` has no specific address (`0.0.0.0`,
//! `[::]`), the service does not start without it.
//!
//! `--cdn-url URL` serves update files through a cache: the URL of a new attachment is `URL/blobs/TENANT/sha256/..`,
//! and the cache fetches missing files from the service at the same path below the base URL, with a token of the role
//! `read` if tokens are required. The URL contains the digest, so that cached files never change; the service itself
//! continues to serve it. Attachments stored earlier keep their URL.
//!
//! # Signals
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT | no new connection is accepted; requests in progress have 10 seconds; then the process ends |
//! | SIGHUP | the token file is read again; without one, no effect |
//!
//! # Exit statuses
//!
//! | status | reason |
//! |---|---|
//! | 0 | normal end, by a signal |
//! | 2 | the start failed, because of an argument, a file, a store, an address, or too few file descriptors; the reason is on standard error |
//! | 3 | a fatal fault: the file of `--data` failed and is damaged, or background work stopped ([`Fatal`](crate::server::Fatal)). `/readyz` has answered 503 for 2 seconds and requests in progress have had 10 seconds. Restore the file if it is damaged; then start the service again |
//! | 4 | the store of update files does not belong to the ledger; `--adopt-store` adopts it |
//!
//! # Health
//!
//! `GET /healthz` answers 200 while the process runs. `GET /readyz` sends a small request to each store and answers
//! 200, or 503 with the names of stores that did not answer within 2 seconds. Neither needs a token or reveals a
//! secret. Requests within a second share one check. Both are answered even when every connection is in use.
//!
//! Every 10 seconds, and at once after a failed request, the check also writes: a record to the ledger, and 256 KiB of
//! a file that is discarded. So a full disk is detected. Once there is room, writes succeed again without a restart,
//! and so does the next check.
//!
//! # Connections
//!
//! | limit | option | default |
//! |---|---|---|
//! | concurrent connections | `--max-connections` | half of the file descriptors that are free at the start, 10,000 at most |
//! | of one address (of IPv6: the first 64 bits) | `--max-connections-per-address` | half of all |
//! | reserve for `/healthz` and `/readyz` | | 4, each for 4 seconds at most |
//! | TLS handshake | `--handshake-timeout` | 10 s |
//! | head of a request, and first byte of a connection | `--header-timeout` | 15 s |
//! | no byte of a body received, or of an answer sent | `--body-timeout` | 30 s |
//! | time between two requests | `--idle-timeout` | 60 s |
//! | minimum average rate of bodies and answers, after the time of `--body-timeout` | `--min-rate` | 256 bytes a second |
//! | head of a request | | 64 KiB |
//!
//! The rate counts only the time in which the service waits for the client, so that a slow upload of a large file
//! succeeds. At the maximum number of connections, one is closed for each new one: first those that never sent a
//! request, the oldest first, then idle ones, then requests that have stalled for 2 seconds. If none can be closed, a
//! new connection gets 503 with `Retry-After` unless it asks for the health. Behind a proxy every client has the
//! address of the proxy: then set `--max-connections-per-address` as high as `--max-connections`. Raise the number of
//! descriptors (`ulimit -n`, `LimitNOFILE=`) for more connections.
//!
//! # Tokens
//!
//! Each line of the file of `--tokens` has a token, its tenants, and optional attributes:
//!
//! ```text
//! a-long-enough-token st-mary, st-john as ward/terminal may read, upload until 2027-01-31
//! sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 *
//! ```
//!
//! | role | permits |
//! |---|---|
//! | `read` | `GET` and `HEAD` of a tenant's resources, updates, files, audit records and page; search by `POST`; `$validate` |
//! | `write` | every other request below `/TENANT/fhir`; a batch too, whatever it holds |
//! | `upload` | `POST /TENANT/updates`, and `DELETE /TENANT/updates/ID`; the same on the web pages |
//! | `release` | `POST /TENANT/releases`, and `DELETE /TENANT/releases/ID` |
//! | `approve` | `POST /TENANT/rollouts/ID/approve` and `deny` |
//! | `device` | `GET /TENANT/devices/DEVICE/offers`, `GET /TENANT/offers/KEY/FILE` and `POST /TENANT/devices/DEVICE/reports`; with `as device/DEVICE` of this device only |
//! | `operate` | `POST /TENANT/rollouts` and the control of rollouts, `DELETE /TENANT/updates/ID`, `POST /TENANT/updates/ID/make-current`, every other change, and `GET /metrics` |
//!
//! Without `may` a token for tenants has `read`, `write` and `upload`, and one for `*` has every role. `GET /metrics`
//! is also open to every token for `*`. A day given by `until` is the last on which the token is valid, in UTC. The
//! file is checked every 2 seconds; a faulty one changes nothing, and is reported in the log and the metrics. To revoke
//! a token, remove its line.
//!
//! Failed sign-ins are logged with their address and number, once in 10 seconds for each address. After 50 failures an
//! address may try 50 sign-ins a second with tokens that were not valid there before, and beyond that gets 429 with
//! `Retry-After`; tokens that were valid there are not slowed down. 4,096 addresses are remembered.
//!
//! Without `--tokens` the service answers only requests that are addressed to the machine itself (`localhost`,
//! `127.0.0.0/8`, `[::1]`) and come from no page of another site or port. In both cases the page of a browser must be
//! the service's own (`Origin`, `Sec-Fetch-Site`, `Referer`), and a request with two `Host` or `Authorization` headers,
//! or with a target host other than `Host`, is refused with 400.
//!
//! A URL of more than 32 KiB is answered with 414, and a head of more than 64 KiB with 414 or 431, each with an
//! OperationOutcome.
//!
//! # Metrics and alarms
//!
//! `GET /metrics` returns them in the Prometheus text format, each with its help.
//!
//! | metric (with the prefix `update_service_`) | alarm |
//! |---|---|
//! | `requests_total`, `request_seconds`, `requests_under_way` | the share of `5xx` rises |
//! | `connections`, `connections_limit`, `connections_total`, `connections_closed_for_others_total`, `connection_timeouts_total` | `connections` near its limit for minutes |
//! | `connections_over_limit_total`, `connections_in_reserve`, `accept_failures_total` | any of them rises: add descriptors, or a client holds too many |
//! | `sign_in_failures_total` | `unknown` or `refused` rises: tokens are being guessed, or a client has an old one |
//! | `token_file_broken`, `token_file_failures_total`, `token_file_reloads_total` | `token_file_broken` is 1: a revocation may not be in effect |
//! | `maintenance_rounds_total`, `maintenance_failures_total`, `tenants` | no round in 10 minutes, or failures rise |
//! | `uploads_waiting`, `uploads_stuck`, `uploads_resumed_total` | `uploads_stuck` above 0 for an hour |
//! | `files_collected_total`, `files_swept_total`, `files_readmitted_total`, `files_watched`, `files_quarantined` | `files_quarantined` rises: the log names the files |
//! | `files_referenced`, `sweeps_over_limit`, `stores_mismatched` | above 0 |
//! | `scrubs_total`, `files_scrubbed_total`, `files_damaged` | `files_damaged` above 0: send the same bytes again |
//! | `uploads_repaired_total` | |
//! | `withdrawn_removed_total`, `records_removed_total`, `versions_removed_total`, `entries_removed_total`, `manifests_removed_total` | |
//! | `rollouts`, `deployments`, `deployments_ended`, `deployments_done_permille`, `deployments_unproven` | |
//! | `deployments_late`, `deployments_oldest_late_seconds` | `deployments_late` above 0 for long: `.../deployments/ID/explain` shows what holds one up |
//! | `time_to_observed_seconds`, `time_to_observed_quantile_seconds` | |
//! | `references_reattached_total`, `uploads_lost_total`, `unknown_references_removed_total` | any of them rises: another program changes components |
//! | `subscriptions`, `notifications_sent_total`, `notifications_failed_total`, `subscriptions_turned_off_total` | the failures rise for hours: an endpoint is unavailable; see the `error` of its Subscription |
//! | `unknown_references` | above 0: components have updates unknown to the service |
//!
//! Also raise an alarm when `/readyz` is not 200 for a minute, on a restart with status 3, and on each log line with
//! the level `ERROR`.
