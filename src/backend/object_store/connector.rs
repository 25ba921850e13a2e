//! The HTTP client of a remote store: that of the engine, but with its own crypto provider instead of the process's.

use crate::support::tls::client_config;
use ::object_store::client::{HttpClient, HttpConnector};
use ::object_store::{ClientConfigKey, ClientOptions, Error, Result};
use reqwest::{Client, NoProxy, Proxy};
use rustls::crypto::CryptoProvider;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

/// Client options that are refused, as they would require the engine's own TLS.
const REFUSED: [ClientConfigKey; 3] = [
    ClientConfigKey::AllowInvalidCertificates,
    ClientConfigKey::NoSystemCertificates,
    ClientConfigKey::ProxyCaCertificate,
];

/// Builds the HTTP clients of a remote store, by the options of the engine. [`Objects::open`](super::Objects::open)
/// uses it; a caller who builds a store by hand passes it to the builder.
///
/// TLS uses the given crypto provider, else the one that the program set for its process, else that of the feature
/// `ring`.
///
/// ```no_run
/// use fhir_devices::backend::object_store::{Connector, driver::aws::AmazonS3Builder};
/// let store = AmazonS3Builder::from_env().with_bucket_name("firmware").with_http_connector(Connector::new()).build()?;
/// # drop(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Connector {
    provider: Option<Arc<CryptoProvider>>,
}

impl Connector {
    /// Creates a connector with the crypto provider of the process or of the feature.
    #[must_use]
    pub const fn new() -> Self {
        Self { provider: None }
    }

    /// Sets the crypto provider.
    #[must_use]
    pub fn with_crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let value = |key: ClientConfigKey| options.get_config_value(&key);
        let is_set = |key: &ClientConfigKey| value(*key).is_some_and(|value| value != "false");
        if let Some(key) = REFUSED.iter().find(|key| is_set(key)) {
            return Err(refused(format!("the option `{}` is not known here", key.as_ref())));
        }
        let span = |key| value(key).map(|text| humantime::parse_duration(&text).map_err(refused)).transpose();
        let tls = client_config(self.provider.as_ref(), &[], None).map_err(refused)?;
        let allow_http = value(ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let mut client =
            Client::builder().tls_backend_preconfigured(tls).http1_only().https_only(!allow_http).user_agent(
                value(ClientConfigKey::UserAgent)
                    .unwrap_or_else(|| concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned()),
            );
        let with = |client, limit: Option<Duration>, set: fn(_, Duration) -> _| match limit {
            Some(limit) => set(client, limit),
            None => client,
        };
        client = with(client, span(ClientConfigKey::Timeout)?, reqwest::ClientBuilder::timeout);
        client = with(client, span(ClientConfigKey::ConnectTimeout)?, reqwest::ClientBuilder::connect_timeout);
        client = with(client, span(ClientConfigKey::ReadTimeout)?, reqwest::ClientBuilder::read_timeout);
        client = with(client, span(ClientConfigKey::PoolIdleTimeout)?, |client, limit| client.pool_idle_timeout(limit));
        if let Some(most) = value(ClientConfigKey::PoolMaxIdlePerHost) {
            client = client.pool_max_idle_per_host(most.parse().map_err(refused)?);
        }
        if let Some(proxy) = value(ClientConfigKey::ProxyUrl) {
            let excludes = value(ClientConfigKey::ProxyExcludes).and_then(|list| NoProxy::from_string(&list));
            client = client.proxy(Proxy::all(proxy).map_err(refused)?.no_proxy(excludes));
        }
        client.build().map(HttpClient::new).map_err(refused)
    }
}

fn refused(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic { store: "HTTP client", source: error.into() }
}
