//! Sign-in: tokens of a file, people by OpenID Connect, programs by JSON Web Tokens and the scopes of SMART on FHIR.
//!
//! Without any of these the service answers only what comes from its own machine. They may be used together: a request is
//! let in by the first that knows its token.
//!
//! # Tokens of a file
//!
//! `--tokens FILE`: the lines stand in [`operating`](super::operating), with roles and ends. For devices, gateways and programs
//! of a place that has no identity provider.
//!
//! # People
//!
//! `--oidc FILE` (feature `oidc`) names a provider of OpenID Connect by lines `name = value`, which
//! [`OidcOptions`](crate::server::OidcOptions) lists:
//!
//! ```text
//! issuer = https://login.example/realms/clinic
//! client-id = device-updates
//! client-secret = kept in this file alone
//! roles-claim = realm_access.roles
//! role device-engineer = read, upload, operate
//! role release-manager = read, release, approve
//! tenants = st-mary
//! ```
//!
//! At the provider this service is a client with the authorization code flow, PKCE (`S256`), and the redirect URI
//! `BASE/sign-in/callback`. Somebody who opens a page without being signed in is led to the provider, and back to the page.
//!
//! | address | what it does |
//! |---|---|
//! | `GET /sign-in?to=PATH` | leads to the provider, and then to a path of this service |
//! | `GET /sign-in/callback` | takes the code of the provider |
//! | `POST /sign-out` | ends the session in this browser |
//!
//! - The ID token must be signed by a key of the provider, for this client, with the nonce of this sign-in, and not expired. Claims for
//!   roles and tenants that it lacks are asked for at the provider's userinfo endpoint.
//! - **Roles** are the values of the claim `roles` (or the one that `roles-claim` names) that are names of
//!   [roles](crate::server::Role), or what the lines `role VALUE` make of them. **Tenants** are those of the claim `tenants`; `*` is
//!   every tenant. Who has neither may sign in, and sees nothing.
//! - **Audit records** have the claim `sub`, which a provider never gives to somebody else. `name-claim` takes another one: only choose
//!   one that people cannot change themselves.
//! - **The session** is a cookie, which holds name, tenants (40 at most), roles and end, authenticated by a key of the ledger: every process
//!   over the same ledger takes it, and no restart ends it. It ends after eight hours (`session-hours`), whatever becomes of the
//!   roles at the provider meanwhile. To end all sessions at once, delete the record `session-key/1` of the tenant
//!   `update-service` from the ledger and restart. Cookies are `HttpOnly` and `SameSite=Lax`, and over TLS `Secure` and bound to the host.
//! - A form of another site, or of another origin that is permitted by `--cors-origin`, cannot use the session.
//!
//! # Programs
//!
//! With the line `audience = NAME` programs send access tokens of the provider as `Authorization: Bearer`: JSON Web Tokens (RFC 9068)
//! with its issuer (`iss`), this audience (`aud`), a signature by one of its keys, and an end (`exp`). Roles and tenants come from the
//! same claims as for people.
//!
//! Scopes of SMART on FHIR (claim `scope` or `scp`) permit resource types beside the roles: `system/Device.read`,
//! `system/DeviceComponent.write`, `system/*.read`; [`FhirScopes`](crate::server::FhirScopes) says which, and what needs the scope for all
//! types. They do not permit sending updates, which needs the role `upload`.
//!
//! The algorithms are RS256 to RS512, PS256 to PS512, ES256, ES384 and EdDSA. A token without a signature, signed by a shared
//! secret, or an ID token is refused.
//!
//! # When the provider cannot be reached
//!
//! Its description and keys are read when they are first needed, and again after an hour, or when a token names an unknown key; at most
//! once in ten seconds. While it cannot be reached, what was read is used for a day. The log says so; a sign-in is then answered with 503
//! and `Retry-After`. Sessions go on.
