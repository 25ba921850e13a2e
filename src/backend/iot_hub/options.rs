//! How to reach a hub.

use super::IotHub;
use super::token::{TokenCache, TokenSource};
use crate::store::{BoxError, Result, StoreError, Tenant};
use crate::support::tls::{client_config, read_roots};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, Url};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Options of an [`IotHub`].
///
/// ```
/// use fhir_devices::backend::iot_hub::Options;
/// // The token of a managed identity, which the caller has from somewhere.
/// let options = Options::new("ward.azure-devices.net", || async { Ok("Bearer eyJ0..".to_owned()) })?;
/// # drop(options);
/// let wrong = Options::from_connection_string("HostName=ward.azure-devices.net").unwrap_err();
/// assert_eq!(wrong.to_string(), "invalid request: the connection string has no `SharedAccessKeyName`");
/// # Ok::<(), fhir_devices::store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Options {
    host: String,
    base: Url,
    source: TokenSource,
    tenant: Option<Tenant>,
    roots: Vec<CertificateDer<'static>>,
    provider: Option<Arc<CryptoProvider>>,
    timeout: Duration,
}

impl Options {
    /// Returns the options for the hub of a host name. `token` gives the value of `Authorization` for each request.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is no host name.
    pub fn new<F>(host: &str, token: impl Fn() -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = std::result::Result<String, BoxError>> + Send + 'static,
    {
        Self::with_source(host, TokenSource::Caller(Arc::new(move || Box::pin(token()))))
    }

    /// Returns the options that a connection string has: `HostName=..;SharedAccessKeyName=..;SharedAccessKey=..`, of a policy that
    /// may read and write twins (`ServiceConnect`, and `RegistryRead` for queries).
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a part is lacking. The key is not shown.
    pub fn from_connection_string(text: &str) -> Result<Self> {
        let part = |name: &str| {
            let mut parts = text.trim().split(';').filter_map(|part| part.split_once('='));
            let found = parts.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
            let found = found.filter(|value| !value.is_empty());
            found.ok_or_else(|| StoreError::invalid(format!("the connection string has no `{name}`")))
        };
        let (host, policy, key) = (part("HostName")?, part("SharedAccessKeyName")?, part("SharedAccessKey")?);
        let key = BASE64_STANDARD.decode(key);
        let key =
            key.map_err(|_| StoreError::invalid("the `SharedAccessKey` of the connection string is not base64"))?;
        Self::with_source(host, TokenSource::Key { policy: policy.to_owned(), key })
    }

    fn with_source(host: &str, source: TokenSource) -> Result<Self> {
        let wrong = || StoreError::invalid(format!("`{host}` is not the host name of a hub"));
        let base = Url::parse(&format!("https://{host}/")).map_err(|_| wrong())?;
        if base.path() != "/" || !base.username().is_empty() || base.query().is_some() || base.fragment().is_some() {
            return Err(wrong());
        }
        let host = base.host_str().ok_or_else(wrong)?.to_owned();
        let (tenant, roots, provider) = (None, Vec::new(), None);
        Ok(Self { host, base, source, tenant, roots, provider, timeout: Duration::from_secs(30) })
    }

    /// Sets the one tenant of the hub. Its devices have their own names there; otherwise they are `TENANT:DEVICE`.
    #[must_use]
    pub fn with_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Trusts the certificates of this PEM file, and no longer those of the machine.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it holds none.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self> {
        self.roots = read_roots(pem).map_err(StoreError::invalid)?;
        Ok(self)
    }

    /// Uses this provider of cryptography for TLS. Without it, that of the process counts, where the program has set one, and
    /// else that of the feature `ring`.
    #[must_use]
    pub fn with_crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Waits no longer for an answer; 30 seconds otherwise.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens the region. Nothing is asked of the hub yet.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when there is no HTTP client to be had.
    pub fn open(self) -> Result<IotHub> {
        let tls = client_config(self.provider.as_ref(), &self.roots, None).map_err(StoreError::backend)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.timeout.min(Duration::from_secs(10)))
            .timeout(self.timeout)
            .build()
            .map_err(|error| StoreError::backend(error.into()))?;
        Ok(IotHub { options: self, client, token: TokenCache::default() })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn base(&self) -> &Url {
        &self.base
    }

    pub(super) const fn source(&self) -> &TokenSource {
        &self.source
    }

    pub(super) const fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }
}

/// Credentials are not shown.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("host", &self.host).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
