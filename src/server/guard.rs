//! Who may ask: everyone on this machine where nobody signs in, and otherwise those whom an authenticator knows.

use super::Shared;
use super::answer::Problem;
use super::demo;
use super::place::one;
use crate::issue::Kind;
use crate::store::{BoxFuture, Sha256, Tenant};
use crate::update::ActorId;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use url::form_urlencoded;

/// Tells whom a token belongs to. What an operator has (a table, an identity provider) is put in here.
///
/// ```
/// use fhir_devices::server::{Access, Authenticator, Caller};
/// use fhir_devices::store::BoxFuture;
///
/// struct One(String);
///
/// impl Authenticator for One {
///     fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<(Caller, Access)>> {
///         Box::pin(async move { (token == self.0).then_some((Caller::Unnamed, Access::Everything)) })
///     }
/// }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Who the holder of the token is, and what they may see; `None` where the token is not known.
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<(Caller, Access)>>;
}

/// Who asks.
///
/// ```
/// use fhir_devices::server::Caller;
/// let caller = Caller::Named("ward/terminal".parse()?);
/// assert_ne!(caller, Caller::Unnamed);
/// # Ok::<(), fhir_devices::update::NotAName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on this machine, where nobody signs in.
    Local,
    /// Somebody with a token that has no name.
    Unnamed,
    /// Somebody with a token of this name.
    Named(ActorId),
}

impl Caller {
    /// What audit records call them.
    pub(super) fn actor(&self) -> Result<ActorId, Problem> {
        match self {
            Self::Local => ActorId::new("local"),
            Self::Unnamed => ActorId::new("client"),
            Self::Named(name) => Ok(name.clone()),
        }
        .map_err(|error| Problem::bad("caller", error))
    }
}

/// What somebody may see.
///
/// ```
/// use fhir_devices::server::Access;
/// let access = Access::Tenants(["st-mary".parse()?].into());
/// assert_ne!(access, Access::Everything);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every tenant, and the metrics.
    Everything,
    /// These tenants.
    Tenants(BTreeSet<Tenant>),
}

/// The tokens of a file, one a line: the token or `sha256:` and its digest, a blank, the tenants with commas between them, or
/// `*`, and, if it has one, ` as ` and the name that its holder has in audit records.
///
/// ```
/// use fhir_devices::server::Tokens;
/// assert!(Tokens::read("a-long-enough-token st-mary as ward/terminal").is_ok());
/// assert!(Tokens::read("short *").unwrap_err().contains("line 1"));
/// ```
#[derive(Debug, Default)]
pub struct Tokens(HashMap<Sha256, (Caller, Access)>);

impl Tokens {
    /// Reads the lines; empty ones and those after a `#` are passed over.
    ///
    /// # Errors
    /// The number of the line, and what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut known = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {why}", at + 1);
            let (token, tenants) =
                line.split_once(char::is_whitespace).ok_or_else(|| wrong("a token and its tenants are wanted"))?;
            let digest = match token.strip_prefix("sha256:") {
                Some(digest) => digest.parse().map_err(|error| wrong(&format!("{error}")))?,
                None if token.len() < 16 => return Err(wrong("a token has at least 16 characters")),
                None => Sha256::of(token.as_bytes()),
            };
            let (tenants, caller) = match tenants.split_once(" as ") {
                Some((tenants, name)) => {
                    let name = name.trim().parse().map_err(|error| wrong(&format!("{error}")))?;
                    (tenants, Caller::Named(name))
                }
                None => (tenants, Caller::Unnamed),
            };
            let access = match tenants.trim() {
                "*" => Access::Everything,
                tenants => {
                    let read: Result<_, _> = tenants.split(',').map(|name| name.trim().parse::<Tenant>()).collect();
                    Access::Tenants(read.map_err(|error| wrong(&error.to_string()))?)
                }
            };
            if known.insert(digest, (caller, access)).is_some() {
                return Err(wrong("the token comes twice"));
            }
        }
        if known.is_empty() { Err("it holds no token".to_owned()) } else { Ok(Self(known)) }
    }
}

impl Authenticator for Tokens {
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<(Caller, Access)>> {
        // Digests are compared, so that the time that it takes says nothing about the tokens.
        let found = self.0.get(&Sha256::of(token.as_bytes())).cloned();
        Box::pin(async move { found })
    }
}

/// Lets those through who may ask for what they ask for.
pub(super) async fn enter(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let allowed = match &app.authenticator {
        None => local_only(request.headers(), request.uri()),
        Some(authenticator) => signed_in(authenticator.as_ref(), request.headers(), request.uri()).await,
    };
    match allowed {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => {
            let asks_who = app.authenticator.is_some();
            let mut answer = problem.into_response();
            if asks_who && answer.status() == StatusCode::UNAUTHORIZED {
                // A browser asks for a name and a password: the password is the token.
                for way in ["Bearer", "Basic realm=\"device updates\", charset=\"UTF-8\""] {
                    answer.headers_mut().append(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(way));
                }
            }
            answer
        }
    }
}

/// Lets a request through that is addressed to this machine, and comes from no page of another.
///
/// Without that, any site that somebody visits could send updates to the service on their machine: directly, or by a name
/// of its own that leads to 127.0.0.1.
fn local_only(headers: &HeaderMap, uri: &Uri) -> Result<Caller, Problem> {
    let foreign = origin(headers).is_some_and(|origin| !is_local(origin));
    if is_local(host(headers, uri)) && !foreign {
        return Ok(Caller::Local);
    }
    let words = "this service has no sign-in, and so answers only what comes from this machine";
    Err(Problem::new(StatusCode::FORBIDDEN, Kind::Forbidden, "local-only", words))
}

/// Lets a request through whose token is known and is for the tenant of the path.
async fn signed_in(authenticator: &dyn Authenticator, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Problem> {
    // A browser sends what it knows also from pages of other sites.
    if origin(headers).is_some_and(|origin| !origin.eq_ignore_ascii_case(host(headers, uri))) {
        let words = "the request comes from a page of another site";
        return Err(Problem::new(StatusCode::FORBIDDEN, Kind::Forbidden, "other-site", words));
    }
    let login = |words| Problem::new(StatusCode::UNAUTHORIZED, Kind::Login, "sign-in", words);
    let Some(token) = token(headers) else { return Err(login("a token is wanted")) };
    let Some((caller, access)) = authenticator.sign_in(&token).await else {
        return Err(login("the token is not known"));
    };
    let tenant = asked_for(uri);
    let may = match (&access, &tenant) {
        (Access::Everything, _) => true,
        (Access::Tenants(own), Some(tenant)) => own.iter().any(|known| known.as_str() == tenant.as_str()),
        (Access::Tenants(_), None) => false,
    };
    if may {
        return Ok(caller);
    }
    let words = match tenant {
        Some(tenant) => format!("the token is not for the tenant `{tenant}`"),
        None => "the token is for some tenants, and this is for all".to_owned(),
    };
    Err(Problem::new(StatusCode::FORBIDDEN, Kind::Forbidden, "tenant", words))
}

/// The name of the tenant whose data a request is about.
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

/// The token of a request: that of a program, or the password that a browser asked for.
fn token(headers: &HeaderMap) -> Option<String> {
    let given = one(headers, &header::AUTHORIZATION)?;
    let (way, rest) = given.split_once(' ')?;
    if way.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !way.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}

fn host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> &'r str {
    one(headers, &header::HOST).or_else(|| uri.authority().map(|at| at.as_str())).unwrap_or_default()
}

/// The host of the page that a request comes from; empty where that is hidden.
fn origin(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.contains_key(header::ORIGIN).then(|| one(headers, &header::ORIGIN).unwrap_or_default())?;
    Some(origin.split_once("://").map(|(_, host)| host).unwrap_or_default())
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for host in ["127.0.0.1:8080", "127.0.0.1", "localhost:80", "LocalHost", "[::1]:8080", "[::1]", "127.3.2.1:1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "example.org", "127.0.0.1.example.org", "10.0.0.1:8080", "[fe80::1]:80", "localhost.evil.org"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn a_file_of_tokens_is_read_line_by_line() {
        let digest = Sha256::of(b"another long token");
        let text = format!("# ours\n\nfirst-long-token-1  ward-1, ward-2 as ward/terminal\nsha256:{digest} *\n");
        let tokens = Tokens::read(&text).unwrap();
        let ward = |name: &str| name.parse::<Tenant>().unwrap();
        assert_eq!(
            tokens.0.get(&Sha256::of(b"first-long-token-1")),
            Some(&(
                Caller::Named("ward/terminal".parse().unwrap()),
                Access::Tenants([ward("ward-1"), ward("ward-2")].into())
            ))
        );
        assert_eq!(tokens.0.get(&digest), Some(&(Caller::Unnamed, Access::Everything)));
        for (text, wrong) in [
            ("", "no token"),
            ("lonely-long-token", "line 1"),
            ("short *", "16 characters"),
            ("first-long-token-1 Ward", "line 1: `Ward` is not a tenant"),
            ("sha256:12 *", "digest"),
            ("first-long-token-1 ward as two words", "line 1: the text"),
            ("first-long-token-1 a\nfirst-long-token-1 b", "line 2: the token comes twice"),
        ] {
            let error = Tokens::read(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }

    #[test]
    fn the_tenant_of_a_request_is_in_its_path() {
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
