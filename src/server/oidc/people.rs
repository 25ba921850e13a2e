//! Sign-in of people by the authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0).

use super::super::answer::{Answer, Problem, set};
use super::super::guard::{Access, Caller, Grant, Role};
use super::super::page::{message_page, see_other};
use super::super::place::one;
use super::super::{Shared, origin};
use super::claims::{self, Claims};
use super::cookie::Cookie;
use super::provider::{Description, OpenIdProvider, ProviderError, read_bounded};
use super::token::Unverified;
use crate::issue::IssueType;
use crate::support::with_causes;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use url::{Url, form_urlencoded};

/// How long somebody may take to sign in at the provider.
const SIGN_IN: Duration = Duration::from_secs(15 * 60);

/// The longest address to which a sign-in leads back, in characters.
const MAX_PLACE: usize = 1_024;

/// The most tenants of a person that are remembered with the session, which a browser sends with each request.
const MAX_TENANTS: usize = 40;

/// The key that authenticates the cookies of people who are signed in. Processes that share it take each other's sessions:
/// see [`shared_session_key`](super::super::shared_session_key).
///
/// ```
/// use fhir_devices::server::SessionKey;
/// assert_eq!(format!("{:?}", SessionKey::from_bytes([7; 32])), "SessionKey(..)");
/// ```
#[derive(Clone)]
pub struct SessionKey(pub(super) [u8; 32]);

impl SessionKey {
    /// Creates a key from bytes, which must be random and kept secret.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// The sign-in of people at a provider.
pub(in super::super) struct SignIn {
    pub(in super::super) provider: Arc<OpenIdProvider>,
    pub(in super::super) key: SessionKey,
}

/// A sign-in under way: what must be the same when the provider leads the browser back.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    state: String,
    nonce: String,
    verifier: String,
    place: String,
    until: i64,
}

/// Somebody who is signed in.
#[derive(Serialize, Deserialize)]
struct Session {
    name: String,
    shown: String,
    /// Absent for all.
    tenants: Option<Vec<String>>,
    roles: Vec<String>,
    until: i64,
}

/// The ID token that comes beside the access token.
#[derive(Debug, Serialize, Deserialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type Tokens = StandardTokenResponse<IdToken, BasicTokenType>;

type OauthClient = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl SignIn {
    /// Returns the rights of the person who is signed in with the browser that sends these headers, and how the pages call them.
    pub(in super::super) fn session(&self, base: &str, headers: &HeaderMap) -> Option<(Grant, String)> {
        let session: Session = Cookie::Session.read(&self.key, over_tls(base), headers)?;
        let until = OffsetDateTime::from_unix_timestamp(session.until).ok()?;
        let access = match session.tenants {
            None => Access::Everything,
            Some(names) => Access::Tenants(names.iter().filter_map(|name| name.parse().ok()).collect()),
        };
        let mut grant = Grant::new(Caller::Named(session.name.parse().ok()?), access);
        grant.roles = session.roles.iter().filter_map(|role| role.parse::<Role>().ok()).collect();
        grant.until = Some(until);
        (OffsetDateTime::now_utc() < until).then_some((grant, session.shown))
    }

    fn client(&self, base: &str, found: &Description) -> Result<OauthClient, ProviderError> {
        let options = self.provider.options();
        let wrong = |error: url::ParseError| ProviderError::new(format!("has a wrong address: {error}"));
        let client = Client::new(ClientId::new(options.client_id.clone()))
            .set_auth_uri(AuthUrl::new(found.authorization.to_string()).map_err(wrong)?)
            .set_token_uri(TokenUrl::new(found.token.to_string()).map_err(wrong)?)
            .set_redirect_uri(RedirectUrl::new(format!("{base}/sign-in/callback")).map_err(wrong)?);
        Ok(match &options.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.clone())),
            None => client,
        })
    }

    /// Begins a sign-in that leads to `place`: the provider's address, and the cookie to set.
    async fn begin(&self, base: &str, place: String) -> Result<(Url, String), ProviderError> {
        let client = self.client(base, &*self.provider.description().await?)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random().into_secret();
        let mut request = client.authorize_url(CsrfToken::new_random).add_scope(Scope::new("openid".to_owned()));
        for scope in &self.provider.options().scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state) = request.set_pkce_challenge(challenge).add_extra_param("nonce", nonce.clone()).url();
        let under_way = UnderWay {
            state: state.into_secret(),
            nonce,
            verifier: verifier.into_secret(),
            place,
            until: (OffsetDateTime::now_utc() + SIGN_IN).unix_timestamp(),
        };
        let cookie = Cookie::SignIn.set(&self.key, over_tls(base), &under_way, SIGN_IN.as_secs());
        cookie.map(|cookie| (url, cookie)).ok_or_else(|| ProviderError::new("has addresses that are too long"))
    }

    /// Exchanges the code that the provider gave the browser for the claims of the person.
    async fn exchange(&self, base: &str, code: &str, under_way: &UnderWay) -> Result<Claims, ProviderError> {
        let client = self.client(base, &*self.provider.description().await?)?;
        let http_client = self.provider.client().clone();
        let http = move |request: HttpRequest| send(http_client.clone(), request);
        let tokens = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(under_way.verifier.clone()))
            .request_async(&http)
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(said) => {
                    ProviderError::new(format!("did not take the code: {}", said.error()))
                }
                RequestTokenError::Request(error) => error,
                _ => ProviderError::new("gave an answer to the code that is not one"),
            })?;
        let wrong = || ProviderError::new("gave no ID token for this sign-in");
        let text = tokens.extra_fields().id_token.as_deref().ok_or_else(wrong)?;
        let token = Unverified::read(text).ok_or_else(wrong)?;
        let options = self.provider.options();
        let mut found = self.provider.verify(&token, &options.client_id).await?.ok_or_else(wrong)?;
        let text = |name: &str| found.get(name).and_then(|value| value.as_str());
        let nonce_is_ours = text("nonce").is_some_and(|nonce| same(nonce, &under_way.nonce));
        let for_us = text("azp").is_none_or(|party| party == options.client_id);
        if !nonce_is_ours || !for_us {
            return Err(wrong());
        }
        // Many providers put no more than the name into the ID token.
        if !claims::has_rights(options, &found) {
            let more = self.provider.userinfo(tokens.access_token().secret()).await?;
            // OpenID Connect Core, section 5.3.2: those of somebody else must not be used.
            if more.get("sub") == found.get("sub") {
                more.into_iter().for_each(|(name, value)| {
                    found.entry(name).or_insert(value);
                });
            }
        }
        Ok(found)
    }

    /// Returns the cookie of a session for somebody with these claims.
    fn open_session(&self, base: &str, found: &Claims) -> Option<String> {
        let options = self.provider.options();
        let until = OffsetDateTime::now_utc() + options.session;
        let grant = claims::grant(options, found, until)?;
        let Caller::Named(name) = grant.caller else { return None };
        let session = Session {
            name: name.to_string(),
            shown: claims::shown_name(found)?,
            tenants: match grant.access {
                Access::Everything => None,
                Access::Tenants(names) => Some(names.iter().take(MAX_TENANTS).map(ToString::to_string).collect()),
            },
            roles: grant.roles.into_iter().map(|role| role.to_string()).collect(),
            until: until.unix_timestamp(),
        };
        Cookie::Session.set(&self.key, over_tls(base), &session, options.session.as_secs())
    }
}

/// Sends a request of the authorization code flow.
async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ProviderError> {
    let failed =
        |error: reqwest::Error| ProviderError::new(format!("cannot be reached: {}", with_causes(&error.without_url())));
    let request = reqwest::Request::try_from(request).map_err(failed)?;
    let answer = client.execute(request).await.map_err(failed)?;
    let mut response = HttpResponse::new(Vec::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = read_bounded(answer).await.map_err(ProviderError::new)?;
    Ok(response)
}

/// Whether clients reach the service by TLS.
fn over_tls(base: &str) -> bool {
    base.starts_with("https:")
}

/// Compares two secrets in constant time.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Returns the place to which a sign-in leads: a path of this service, or its first page.
fn own_place(asked: Option<&str>, home: &str) -> String {
    let is_own = |place: &&str| {
        let next = place.as_bytes().get(1);
        place.starts_with('/')
            && !matches!(next, Some(b'/' | b'\\'))
            && place.len() <= MAX_PLACE
            && place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    asked.filter(is_own).unwrap_or(home).to_owned()
}

/// Returns the address at which somebody signs in who asked for `place`.
pub(in super::super) fn sign_in_address(mounted_at: &str, place: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("to", place).finish();
    format!("{mounted_at}/sign-in?{query}")
}

/// Returns the addresses of the sign-in. They are open to everyone.
pub(in super::super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/sign-in", get(begin))
        .route("/sign-in/callback", get(callback))
        .route("/sign-out", post(sign_out))
}

fn not_offered() -> Problem {
    Problem::not_found("this service has no sign-in of people")
}

fn unavailable(error: &ProviderError) -> Problem {
    tracing::warn!(fault = %error, "a sign-in failed");
    let words = format!("{error}; try again in a minute");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, "sign-in-provider", words).retry_after(60)
}

/// Returns the first value of a parameter of the query.
fn parameter(request: &Request, wanted: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}

async fn begin(State(app): State<Shared>, request: Request) -> Result<Answer, Problem> {
    let own = app.people.as_ref().ok_or_else(not_offered)?;
    let home = format!("{}/", app.mounted_at);
    let place = own_place(parameter(&request, "to").as_deref(), &home);
    let (url, cookie) = own.begin(&app.base, place).await.map_err(|error| unavailable(&error))?;
    let mut answer = see_other(url.as_str());
    set(&mut answer, header::SET_COOKIE, cookie);
    Ok(answer)
}

async fn callback(State(app): State<Shared>, request: Request) -> Result<Answer, Problem> {
    let own = app.people.as_ref().ok_or_else(not_offered)?;
    let tls = over_tls(&app.base);
    let again = sign_in_address(&app.mounted_at, &format!("{}/", app.mounted_at));
    let under_way: Option<UnderWay> = Cookie::SignIn.read(&own.key, tls, request.headers());
    let state = parameter(&request, "state").unwrap_or_default();
    let under_way =
        under_way.filter(|it| it.until > OffsetDateTime::now_utc().unix_timestamp() && same(&it.state, &state));
    let Some(under_way) = under_way else {
        let words = "This sign-in was not begun in this browser, or it took too long.";
        return Ok(message_page(StatusCode::BAD_REQUEST, "Not signed in", words, (&again, "Sign in")));
    };
    let code = match parameter(&request, "code") {
        Some(code) => code,
        None => {
            let said = parameter(&request, "error").unwrap_or_default();
            tracing::info!(error = said, "the identity provider ended a sign-in");
            let words = "The identity provider ended the sign-in.";
            return Ok(message_page(StatusCode::FORBIDDEN, "Not signed in", words, (&again, "Sign in")));
        }
    };
    let found = own.exchange(&app.base, &code, &under_way).await.map_err(|error| unavailable(&error))?;
    let Some(session) = own.open_session(&app.base, &found) else {
        let words = "The identity provider gave no name that this service can record.";
        return Ok(message_page(StatusCode::FORBIDDEN, "Not signed in", words, (&again, "Sign in")));
    };
    let mut answer = see_other(&under_way.place);
    for cookie in [session, Cookie::SignIn.forget(tls)] {
        if let Ok(value) = cookie.try_into() {
            answer.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    Ok(answer)
}

async fn sign_out(State(app): State<Shared>, request: Request) -> Result<Answer, Problem> {
    app.people.as_ref().ok_or_else(not_offered)?;
    let tls = over_tls(&app.base);
    let host = origin::addressed(request.headers(), request.uri())?;
    if !origin::is_own(request.method(), request.headers(), &host, &app.base, tls) {
        return Err(origin::foreign("other-site", "the request comes from a page of another site"));
    }
    let again = sign_in_address(&app.mounted_at, &format!("{}/", app.mounted_at));
    let words = "You are signed out of this service. At the identity provider you may still be signed in.";
    let mut answer = message_page(StatusCode::OK, "Signed out", words, (&again, "Sign in"));
    set(&mut answer, header::SET_COOKIE, Cookie::Session.forget(tls));
    Ok(answer)
}

/// Returns the address to which a browser is led that asked for a page without being signed in; `None` for programs.
pub(in super::super) fn led_to_sign_in(app: &Shared, request: &axum::http::request::Parts) -> Option<Answer> {
    let asks_for_page = request.method == axum::http::Method::GET
        && one(&request.headers, &header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let place = request.uri.path_and_query()?.as_str();
    (app.people.is_some() && asks_for_page).then(|| {
        let mut answer = see_other(&sign_in_address(&app.mounted_at, &format!("{}{place}", app.mounted_at)));
        set(&mut answer, header::CACHE_CONTROL, "no-store");
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_in_leads_to_own_pages_only() {
        for place in ["/", "/?tenant=ward", "/ward/pages/updates/1?x=%2F"] {
            assert_eq!(own_place(Some(place), "/home"), place);
        }
        for foreign in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nSet-Cookie: x", "/\tx", "/ä", "x/"]
        {
            assert_eq!(own_place(Some(foreign), "/home"), "/home", "{foreign}");
        }
        assert_eq!(own_place(Some(&format!("/{}", "x".repeat(MAX_PLACE))), "/home"), "/home");
    }

    #[test]
    fn sessions_end() {
        let options =
            super::super::OidcOptions::read("issuer = https://a.example\nclient-id = x\ntenants = ward").unwrap();
        let own =
            SignIn { provider: Arc::new(OpenIdProvider::new(options).unwrap()), key: SessionKey::from_bytes([3; 32]) };
        let claims = serde_json::from_str(r#"{"sub": "u1", "name": "Ada", "roles": ["read"]}"#).unwrap();
        let base = "https://updates.example";
        let headers = |cookie: &str| -> HeaderMap {
            let pair = cookie.split(';').next().unwrap();
            [(header::COOKIE, pair.parse().unwrap())].into_iter().collect()
        };
        let cookie = own.open_session(base, &claims).unwrap();
        let (grant, shown) = own.session(base, &headers(&cookie)).unwrap();
        assert_eq!((shown.as_str(), grant.roles), ("Ada", [Role::Read].into()));
        assert_eq!(grant.access, Access::Tenants(["ward".parse().unwrap()].into()));
        let ended = Session {
            name: "u1".to_owned(),
            shown: "Ada".to_owned(),
            tenants: None,
            roles: vec!["operate".to_owned()],
            until: OffsetDateTime::now_utc().unix_timestamp() - 1,
        };
        let cookie = Cookie::Session.set(&own.key, true, &ended, 60).unwrap();
        assert!(own.session(base, &headers(&cookie)).is_none());
    }
}
