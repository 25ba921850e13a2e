//! A provider of OpenID Connect: its discovery document, its keys, and its answers.

use super::super::guard::{Authenticator, Grant};
use super::super::subscriptions::NoHttpClient;
use super::claims::{self, Claims};
use super::options::{OidcOptions, secure_url};
use super::token::{self, Unverified};
use crate::store::BoxFuture;
use crate::support::tls::client_config;
use crate::support::with_causes;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use reqwest::{Client, RequestBuilder, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use url::Url;

/// How long the provider has for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer of the provider that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// How long what the provider says of itself is used before it is asked again.
const FRESH: Duration = Duration::from_secs(3_600);

/// How long it is used while the provider cannot be asked.
const STALE: Duration = Duration::from_secs(24 * 3_600);

/// The time between two requests to the provider that unknown keys or failures cause, so that no client can multiply them.
const PAUSE: Duration = Duration::from_secs(10);

/// A provider of OpenID Connect whose discovery document and keys are read when they are first needed, and again when they
/// are an hour old or a token names a key that is not known.
///
/// As an [`Authenticator`] it takes access tokens that are JSON Web Tokens (RFC 9068), where the options name an audience:
/// signed by a key of the provider, with its issuer and that audience, and not expired. The rights come from the claims for
/// roles and tenants, and from the scopes of SMART on FHIR for systems
/// ([`FhirScopes`](super::super::FhirScopes)). Tokens without a signature, or signed by a shared secret, are refused.
///
/// ```
/// use fhir_devices::server::{OidcOptions, OpenIdProvider};
/// let options = OidcOptions::read("issuer = https://login.example\nclient-id = devices\naudience = devices")?;
/// let provider = OpenIdProvider::new(options)?;
/// assert_eq!(provider.options().issuer().as_str(), "https://login.example/");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OpenIdProvider {
    options: OidcOptions,
    client: Client,
    known: Mutex<Known>,
}

impl fmt::Debug for OpenIdProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenIdProvider").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The state of discovery.
#[derive(Default)]
struct Known {
    description: Option<Arc<Description>>,
    read_at: Option<Instant>,
    tried_at: Option<Instant>,
}

/// What a provider says of itself.
pub(super) struct Description {
    pub(super) authorization: Url,
    pub(super) token: Url,
    userinfo: Option<Url>,
    keys: JwkSet,
}

/// The discovery document (OpenID Connect Discovery 1.0, section 3), as far as it is used.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
}

/// A set of keys (RFC 7517, section 5). Keys of unknown kinds are passed over.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<serde_json::Value>,
}

/// An answer that the provider did not give, or that is not one.
#[derive(Debug, thiserror::Error)]
#[error("the identity provider {what}")]
pub(super) struct ProviderError {
    what: String,
}

impl ProviderError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl OpenIdProvider {
    /// Creates a client of the provider. Nothing is asked yet.
    ///
    /// # Errors
    /// [`NoHttpClient`] where TLS has no provider of cryptography.
    pub fn new(options: OidcOptions) -> Result<Self, NoHttpClient> {
        let client = Client::builder()
            .tls_backend_preconfigured(client_config(None, &[], None).map_err(NoHttpClient)?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| NoHttpClient(error.into()))?;
        Ok(Self { options, client, known: Mutex::default() })
    }

    /// Returns the options.
    #[must_use]
    pub const fn options(&self) -> &OidcOptions {
        &self.options
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns what the provider says of itself, from memory where that is fresh.
    pub(super) async fn description(&self) -> Result<Arc<Description>, ProviderError> {
        self.read_where(|_| true).await
    }

    /// Returns what the provider says of itself, read again where it is old, or where it is not as `wanted`.
    async fn read_where(&self, wanted: impl Fn(&Description) -> bool) -> Result<Arc<Description>, ProviderError> {
        let mut known = self.known.lock().await;
        let age = known.read_at.map(|at| at.elapsed());
        let kept = known.description.clone().filter(|_| age.is_some_and(|age| age < STALE));
        let is_fresh = age.is_some_and(|age| age < FRESH) && kept.as_deref().is_some_and(wanted);
        let may_ask = known.tried_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if is_fresh || !may_ask {
            return kept.ok_or_else(|| ProviderError::new("did not answer a moment ago"));
        }
        known.tried_at = Some(Instant::now());
        match self.ask().await {
            Ok(description) => {
                let description = Arc::new(description);
                (known.description, known.read_at) = (Some(Arc::clone(&description)), Some(Instant::now()));
                Ok(description)
            }
            Err(error) => {
                tracing::warn!(issuer = self.options.issuer_text, fault = %error, "sign-in by OpenID Connect is hampered");
                kept.ok_or(error)
            }
        }
    }

    /// Reads discovery document and keys.
    async fn ask(&self) -> Result<Description, ProviderError> {
        let issuer = &self.options.issuer_text;
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Discovery = self.get(self.client.get(&place), "discovery document").await?;
        if found.issuer != *issuer {
            return Err(ProviderError::new(format!("calls itself `{}`, and not `{issuer}`", found.issuer)));
        }
        let url = |name: &str, text: &str| {
            secure_url(text).map_err(|why| ProviderError::new(format!("has a wrong `{name}`: {why}")))
        };
        let keys: Keys = self.get(self.client.get(url("jwks_uri", &found.jwks_uri)?), "keys").await?;
        let keys = keys.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()).collect();
        Ok(Description {
            authorization: url("authorization_endpoint", &found.authorization_endpoint)?,
            token: url("token_endpoint", &found.token_endpoint)?,
            userinfo: found.userinfo_endpoint.map(|text| url("userinfo_endpoint", &text)).transpose()?,
            keys: JwkSet { keys },
        })
    }

    /// Returns the claims that the provider gives the holder of an access token, beside those of the ID token.
    pub(super) async fn userinfo(&self, access_token: &str) -> Result<Claims, ProviderError> {
        match &self.description().await?.userinfo {
            Some(url) => self.get(self.client.get(url.clone()).bearer_auth(access_token), "userinfo").await,
            None => Ok(Claims::new()),
        }
    }

    /// Sends a request and reads the JSON of the answer.
    async fn get<T: DeserializeOwned>(&self, request: RequestBuilder, what: &str) -> Result<T, ProviderError> {
        let failed = |error: reqwest::Error| {
            ProviderError::new(format!("gave no {what}: {}", with_causes(&error.without_url())))
        };
        let answer = request.header("accept", "application/json").send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(ProviderError::new(format!("gave no {what}, but the status {}", answer.status())));
        }
        let body =
            read_bounded(answer).await.map_err(|error| ProviderError::new(format!("gave no {what}: {error}")))?;
        serde_json::from_slice(&body).map_err(|error| ProviderError::new(format!("gave a wrong {what}: {error}")))
    }

    /// Returns the claims of a token of the provider for an audience; `None` where it is not one.
    pub(super) async fn verify(&self, token: &Unverified<'_>, audience: &str) -> Result<Option<Claims>, ProviderError> {
        let description = self.read_where(|known| token.key(&known.keys).is_some()).await?;
        let key = token.key(&description.keys);
        Ok(key.and_then(|key| token.verify(key, &self.options.issuer_text, audience)))
    }

    /// Returns the rights of an access token.
    async fn access_token(&self, text: &str) -> Result<Option<Grant>, ProviderError> {
        let Some(audience) = &self.options.audience else { return Ok(None) };
        let Some(token) = Unverified::read(text).filter(Unverified::may_be_access_token) else { return Ok(None) };
        let Some(found) = self.verify(&token, audience).await? else { return Ok(None) };
        // An ID token tells a client who somebody is, and permits nothing.
        let Some(until) = claims::expiry(&found).filter(|_| !found.contains_key("nonce")) else { return Ok(None) };
        let mut grant = claims::grant(&self.options, &found, until);
        if let Some(grant) = &mut grant {
            grant.scopes = claims::scopes(&found);
        }
        Ok(grant)
    }
}

impl Authenticator for OpenIdProvider {
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>> {
        Box::pin(async move {
            if !token::is_one(token) {
                return None;
            }
            // That the provider cannot be asked is in the log.
            self.access_token(token).await.ok().flatten()
        })
    }
}

/// Reads the body of an answer, which must not be too large.
pub(super) async fn read_bounded(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| with_causes(&error.without_url()))? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err(format!("the answer has more than {MAX_ANSWER} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
