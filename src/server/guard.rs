//! Access control: everyone on this machine where there is no authenticator, otherwise holders of a known token.

use super::Shared;
use super::answer::Problem;
use super::connections::Peer;
use super::demo;
use super::origin;
use super::place::one;
use super::scopes::FhirScopes;
use super::serve::{OverTls, PeerAddress};
use super::sign_ins::{Failure, Turn};
use super::token_digest::TokenDigest;
use crate::issue::IssueType;
use crate::manifest::ActorId;
use crate::store::{BoxFuture, Tenant};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::Ordering::Relaxed;
use time::OffsetDateTime;
use url::form_urlencoded;

/// Identifies the holder of a token, from a table of the operator or an identity provider.
///
/// ```
/// use fhir_devices::server::{Access, Authenticator, Caller, Grant};
/// use fhir_devices::store::{BoxFuture, Sha256};
/// use std::collections::HashMap;
///
/// /// By the digests of the tokens: the time of a look-up tells nothing about a token.
/// struct Table(HashMap<Sha256, Grant>);
///
/// impl Authenticator for Table {
///     fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>> {
///         Box::pin(async move { self.0.get(&Sha256::of(token.as_bytes())).cloned() })
///     }
/// }
/// let grant = Grant::new(Caller::Unnamed, Access::Everything);
/// let _ = Table([(Sha256::of(b"a-long-enough-token"), grant)].into());
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Returns the holder of the token and their rights; `None` for an unknown token.
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>>;
}

/// The caller of a request.
///
/// ```
/// use fhir_devices::server::Caller;
/// let caller = Caller::Named("ward/terminal".parse()?);
/// assert_ne!(caller, Caller::Unnamed);
/// # Ok::<(), fhir_devices::manifest::NotAName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caller {
    /// Somebody on this machine, where there is no authenticator.
    Local,
    /// The holder of a token without a name.
    Unnamed,
    /// The holder of a token with this name.
    Named(ActorId),
}

impl Caller {
    /// Returns the actor for audit records.
    pub(super) fn actor(&self) -> Result<ActorId, Problem> {
        match self {
            Self::Local => ActorId::new("local"),
            Self::Unnamed => ActorId::new("client"),
            Self::Named(name) => Ok(name.clone()),
        }
        .map_err(|error| Problem::bad("caller", error))
    }
}

/// The tenants that a caller may access.
///
/// ```
/// use fhir_devices::server::Access;
/// let access = Access::Tenants(["st-mary".parse()?].into());
/// assert_ne!(access, Access::Everything);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Every tenant.
    Everything,
    /// These tenants.
    Tenants(BTreeSet<Tenant>),
}

/// A set of operations that a caller may use.
///
/// ```
/// use fhir_devices::server::Role;
/// assert_eq!("upload".parse(), Ok(Role::Upload));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Read: `GET` of everything of a tenant except hawkBit's device interface, search by `POST`, and `$validate`.
    Read,
    /// Change resources: `POST` (batch and transaction too), `PUT`, `PATCH` and `DELETE` below `/TENANT/fhir`.
    Write,
    /// Send updates and withdraw them.
    Upload,
    /// Make releases and withdraw them.
    Release,
    /// Approve and deny rollouts.
    Approve,
    /// Act as a device: fetch its offers and their files, and report. A token with the name `device/ID` is that of this
    /// device alone; one with another name acts for any device, as a gateway does.
    Device,
    /// Operate the service: create and steer rollouts, withdraw updates, make one current again, every other change,
    /// and `GET /metrics`.
    Operate,
}

impl Role {
    const ALL: [Self; 7] =
        [Self::Read, Self::Write, Self::Upload, Self::Release, Self::Approve, Self::Device, Self::Operate];

    /// The roles of a token for some tenants that names none.
    const USUAL: [Self; 3] = [Self::Read, Self::Write, Self::Upload];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Upload => "upload",
            Self::Release => "release",
            Self::Approve => "approve",
            Self::Device => "device",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(|role| format!("`{}`", role.name()));
            format!("`{text}` is not a role, wanted one of {}", all.join(", "))
        })
    }
}

/// The rights of a token.
///
/// ```
/// use fhir_devices::server::{Access, Caller, Grant, Role};
/// let mut grant = Grant::new(Caller::Unnamed, Access::Everything);
/// assert!(grant.roles.contains(&Role::Operate));
/// grant.roles = [Role::Read].into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The holder.
    pub caller: Caller,
    /// The tenants that the holder may access.
    pub access: Access,
    /// The roles of the holder.
    pub roles: BTreeSet<Role>,
    /// When the grant ends; `None` for never.
    pub until: Option<OffsetDateTime>,
    /// The types of resources that the holder may read and write over FHIR, beside what the roles permit.
    pub scopes: FhirScopes,
}

impl Grant {
    /// Returns a grant without an end: with every role if it is for every tenant, otherwise with [`Role::Read`],
    /// [`Role::Write`] and [`Role::Upload`].
    #[must_use]
    pub fn new(caller: Caller, access: Access) -> Self {
        let everything = access == Access::Everything;
        let roles = if everything { Role::ALL.into() } else { Role::USUAL.into() };
        Self { caller, access, roles, until: None, scopes: FhirScopes::default() }
    }
}

/// Adds default headers to answers: the content is for the requesting client only, and no browser must guess its type.
pub(super) async fn protect(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    answer
}

/// Puts the library's own URLs in outcomes under the base of this service.
pub(super) async fn name_rules(State(app): State<Shared>, request: Request, next: Next) -> Response {
    super::answer::under(&app.canonical, next.run(request).await)
}

/// Lets permitted requests through.
pub(super) async fn enter(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match allowed(&app, &parts).await {
        Ok((caller, person)) => {
            parts.extensions.insert(caller);
            super::page::for_person(person, next.run(Request::from_parts(parts, body))).await
        }
        Err(problem) => {
            let mut answer = problem.into_response();
            if app.asks_who() && answer.status() == StatusCode::UNAUTHORIZED {
                #[cfg(feature = "oidc")]
                if let Some(answer) = super::oidc::led_to_sign_in(&app, &parts) {
                    return answer;
                }
                // A browser asks the user for a name and a password; the password is the token.
                for way in ["Bearer", "Basic realm=\"device updates\", charset=\"UTF-8\""] {
                    answer.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
                }
            }
            answer
        }
    }
}

/// Returns the client address: from [`serve`](super::serve()), or from the application that mounts the router.
fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    let mounted = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    extensions.get::<PeerAddress>().map(|from| from.0).or_else(mounted)
}

/// Returns the caller, if the request is permitted, and the name that the pages show for a person who signed in.
async fn allowed(app: &Shared, request: &Parts) -> Result<(Caller, Option<String>), Problem> {
    let Parts { method, headers, uri, extensions, .. } = request;
    let host = origin::addressed(headers, uri)?;
    let tls = extensions.get::<OverTls>().is_some_and(|tls| tls.0);
    let listed = super::cors::listed(headers, &app.cors_origins).is_some();
    let own = listed || origin::is_own(method, headers, &host, &app.base, tls);
    // A signature is checked even without an authenticator, so that faults of clients show there.
    let signed = super::rollouts::signed_link(app, method, uri).await?;
    if !app.asks_who() {
        // Any website that a user visits could otherwise send updates to the service on their machine: directly, or
        // through a domain name of its own that resolves to 127.0.0.1.
        if own && host.is_local() {
            return Ok((signed.unwrap_or(Caller::Local), None));
        }
        let words = "this service has no sign-in, and so answers only what comes from this machine, and from no page of another \
                     address";
        return Err(origin::foreign("local-only", words));
    }
    if let Some(device) = signed {
        return Ok((device, None));
    }
    if asks_what_is_offered(method, uri) {
        return Ok((Caller::Unnamed, None));
    }
    // A browser also sends stored credentials from pages of other sites.
    if !own {
        return Err(origin::foreign("other-site", "the request comes from a page of another site"));
    }
    let address = peer_address(extensions).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let given = token(headers);
    #[cfg(feature = "oidc")]
    if let (None, false, Some(people)) = (&given, listed, &app.people) {
        // A page of another origin that the operator listed has tokens of its own.
        if let Some((grant, shown)) = people.session(&app.base, headers) {
            may(&grant, request)?;
            return Ok((grant.caller, Some(shown)));
        }
    }
    let grant = sign_in(app, Peer::of(address), given).await?;
    may(&grant, request)?;
    Ok((grant.caller, None))
}

/// Returns whether a request reads the capabilities of a tenant's FHIR service, and how to sign in: the answer says
/// nothing about the tenant.
fn asks_what_is_offered(method: &Method, uri: &Uri) -> bool {
    let mut segments = uri.path().split('/').skip(2);
    let path = (segments.next(), segments.next(), segments.next());
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && path == (Some("fhir"), Some("metadata"), None)
}

/// Looks a token up. An address from which many wrong ones come has to wait.
async fn sign_in(app: &Shared, peer: Peer, token: Option<String>) -> Result<Grant, Problem> {
    let login = |words| Problem::new(StatusCode::UNAUTHORIZED, IssueType::Login, "sign-in", words);
    let sign_ins = &app.sign_ins;
    let Some(token) = token else {
        sign_ins.missing.fetch_add(1, Relaxed);
        return Err(login("a token is wanted"));
    };
    let digest = TokenDigest::of(&token);
    match sign_ins.begin(peer, &digest) {
        Turn::After(wait) if wait.is_zero() => {}
        Turn::After(wait) => tokio::time::sleep(wait).await,
        Turn::Refused => {
            let words = "too many sign-ins from this address have failed";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, IssueType::Throttled, "sign-in-throttled", words);
            return Err(problem.retry_after(1));
        }
    }
    let mut found = None;
    for authenticator in &app.authenticators {
        found = authenticator.sign_in(&token).await;
        if found.is_some() {
            break;
        }
    }
    let (failure, words) = match found {
        Some(grant) if grant.until.is_none_or(|until| OffsetDateTime::now_utc() < until) => {
            sign_ins.succeeded(peer, digest);
            return Ok(grant);
        }
        Some(_) => (Failure::Expired, "the token has expired"),
        None => (Failure::Unknown, "the token is not known"),
    };
    sign_ins.failed(peer, &digest, failure);
    Err(login(words))
}

/// Returns whether a grant is for the tenant of a path, and has a role or a scope for what is done there.
fn may(grant: &Grant, request: &Parts) -> Result<(), Problem> {
    let Parts { method, headers, uri, .. } = request;
    let refuse = |rule, words: String| Err(Problem::new(StatusCode::FORBIDDEN, IssueType::Forbidden, rule, words));
    let tenant = asked_for(uri);
    match (&grant.access, &tenant) {
        (Access::Everything, None) if !grant.roles.is_empty() => return Ok(()),
        (Access::Everything, None) => {}
        // The numbers are of the whole service, and name nobody.
        (Access::Tenants(_), None) if grant.roles.contains(&Role::Operate) => return Ok(()),
        (Access::Tenants(_), None) => {
            return refuse("tenant", "the token is for some tenants, and this is for all".to_owned());
        }
        (Access::Tenants(own), Some(tenant)) if !own.iter().any(|known| known.as_str() == tenant.as_str()) => {
            return refuse("tenant", format!("the token is not for the tenant `{tenant}`"));
        }
        _ => {}
    }
    let wanted = roles(method, uri.path());
    if wanted.iter().any(|role| grant.roles.contains(role)) {
        return Ok(());
    }
    if !grant.scopes.is_empty() {
        return grant.scopes.check(method, uri, headers);
    }
    let wanted: Vec<String> = wanted.iter().map(|role| format!("`{}`", role.name())).collect();
    refuse("role", format!("the token does not have the role {}", wanted.join(" or ")))
}

/// Returns the roles of which a request needs one.
fn roles(method: &Method, path: &str) -> &'static [Role] {
    let mut segments = path.split('/').skip(2).peekable();
    // HTML pages have the paths of the data that they show.
    let _ = segments.next_if_eq(&"pages");
    let (second, third, fourth) = (segments.next(), segments.next().filter(|id| !id.is_empty()), segments.next());
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let reads = *method == Method::POST && matches!(path.rsplit('/').next(), Some("_search" | "$validate"));
    match (second, third, fourth) {
        (Some("offers" | "devices"), ..) if safe => &[Role::Read, Role::Device],
        (Some("devices"), ..) => &[Role::Device, Role::Operate],
        (Some("controller"), ..) => &[Role::Device],
        _ if safe => &[Role::Read],
        (Some("releases"), ..) => &[Role::Release],
        (Some("rollouts"), Some(_), Some("approve" | "deny")) => &[Role::Approve],
        (Some("fhir"), ..) if reads => &[Role::Read],
        (Some("fhir"), ..) => &[Role::Write],
        (Some("updates"), None, _) => &[Role::Upload],
        (Some("updates"), Some(_), None) if *method == Method::DELETE => &[Role::Upload, Role::Operate],
        (Some("updates"), Some(_), Some("withdraw")) => &[Role::Upload, Role::Operate],
        _ => &[Role::Operate],
    }
}

/// Returns the name of the tenant whose data a request is about.
fn asked_for(uri: &Uri) -> Option<String> {
    let mut segments = uri.path().split('/').skip(1);
    match segments.next().unwrap_or_default() {
        "" => {
            let query = uri.query().unwrap_or_default();
            let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "tenant");
            let named = named.map(|(_, value)| value.trim().to_owned()).filter(|name| !name.is_empty());
            Some(named.unwrap_or_else(|| demo::TENANT.to_owned()))
        }
        "metrics" => None,
        "blobs" => segments.next().map(str::to_owned),
        tenant => Some(tenant.to_owned()),
    }
}

/// Authentication schemes of programs; the last two are those of hawkBit's device interface, for device tokens and
/// gateway tokens.
const SCHEMES: [&str; 3] = ["bearer", "targettoken", "gatewaytoken"];

/// Returns the token of a request: a program's token, or the password that a browser asked for.
fn token(headers: &HeaderMap) -> Option<String> {
    let given = one(headers, &header::AUTHORIZATION)?;
    let (way, rest) = given.split_once(' ')?;
    if SCHEMES.iter().any(|scheme| way.eq_ignore_ascii_case(scheme)) {
        return Some(rest.trim().to_owned());
    }
    if !way.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_needs_a_role() {
        for (method, path, wanted) in [
            ("GET", "/ward/fhir/Device/x", &[Role::Read][..]),
            ("POST", "/ward/fhir/Device/_search", &[Role::Read]),
            ("POST", "/ward/fhir/Device/$validate", &[Role::Read]),
            ("PUT", "/ward/fhir/Device/_search", &[Role::Write]),
            ("POST", "/ward/fhir", &[Role::Write]),
            ("POST", "/ward/fhir/", &[Role::Write]),
            ("PATCH", "/ward/fhir/Device/x", &[Role::Write]),
            ("POST", "/ward/updates", &[Role::Upload]),
            ("GET", "/ward/updates/1", &[Role::Read]),
            ("DELETE", "/ward/updates/1", &[Role::Upload, Role::Operate]),
            ("POST", "/ward/updates/1/make-current", &[Role::Operate]),
            ("PUT", "/ward/sequences/pump", &[Role::Operate]),
            ("DELETE", "/ward/updates/1/audit", &[Role::Operate]),
            ("POST", "/ward/rollouts", &[Role::Operate]),
            ("POST", "/ward/rollouts/1/cancel", &[Role::Operate]),
            ("POST", "/ward/rollouts/1/approve", &[Role::Approve]),
            ("POST", "/ward/releases", &[Role::Release]),
            ("DELETE", "/ward/releases/1", &[Role::Release]),
            ("GET", "/ward/offers/1-1/pump.bin", &[Role::Read, Role::Device]),
            ("POST", "/ward/devices/pump/reports", &[Role::Device, Role::Operate]),
            ("GET", "/ward/controller/v1/pump", &[Role::Device]),
            ("POST", "/ward/controller/v1/pump/deploymentBase/1/feedback", &[Role::Device]),
            ("POST", "/ward/updates/_search", &[Role::Operate]),
            ("GET", "/blobs/ward/sha256/x/y", &[Role::Read]),
            ("X", "/", &[Role::Operate]),
        ] {
            assert_eq!(roles(&method.parse().unwrap(), path), wanted, "{method} {path}");
        }
    }

    #[test]
    fn tenant_is_read_from_the_path() {
        for (path, tenant) in [
            ("/ward/fhir/Device", Some("ward")),
            ("/ward/updates", Some("ward")),
            ("/blobs/ward/sha256/x/y", Some("ward")),
            ("/?tenant=ward", Some("ward")),
            ("/", Some("demo")),
            ("/metrics", None),
        ] {
            assert_eq!(asked_for(&path.parse().unwrap()).as_deref(), tenant, "{path}");
        }
    }
}
