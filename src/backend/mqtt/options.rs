//! How to reach a broker.

use super::topic;
use crate::publish::RegionId;
use crate::store::{BoxError, Result, StoreError};
use crate::support::tls::{Identity, client_config, read_identity, read_roots};
use rumqttc::{Broker, ConnectAuth, MqttOptions, TlsConfiguration, Transport};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The largest packet that is read.
const MAX_PACKET: u32 = 256 << 10;

/// Options of an [`Mqtt`](super::Mqtt) region.
///
/// ```
/// use fhir_devices::backend::mqtt::Options;
/// use std::time::Duration;
/// let region = "lab".parse()?;
/// let options = Options::new("mqtts://broker.example:8883", &region)?.with_timeout(Duration::from_secs(5));
/// # drop(options);
/// // Not in the clear to another machine, unless that is allowed.
/// assert!(Options::new("mqtt://broker.example", &region).is_err());
/// assert!(Options::new("mqtt://localhost", &region).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Options {
    host: String,
    port: u16,
    tls: bool,
    prefix: String,
    client: String,
    credentials: Option<(String, String)>,
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Arc<Identity>>,
    provider: Option<Arc<CryptoProvider>>,
    timeout: Duration,
    max_slots: usize,
}

impl Options {
    /// Returns the options for the broker of a region: `mqtts://HOST[:PORT]`, or `mqtt://HOST[:PORT]` on this machine.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the address is no such one.
    pub fn new(url: &str, region: &RegionId) -> Result<Self> {
        let options = Self::plain(url, region)?;
        if !options.tls && !is_this_machine(&options.host) {
            let what = format!("`mqtt://{}` is not encrypted, and on another machine: wanted `mqtts:`", options.host);
            return Err(StoreError::invalid(what));
        }
        Ok(options)
    }

    /// Returns the options for the broker of a region that may be on another machine and without encryption. Whoever listens on
    /// the way hears the offers, the reports and the credentials.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the address is neither `mqtt:` nor `mqtts:`.
    pub fn plain(url: &str, region: &RegionId) -> Result<Self> {
        // The address is not shown: it may have a password.
        let wrong = |why: &str| StoreError::invalid(format!("the address of the broker {why}"));
        let url = Url::parse(url).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let (tls, port) = match url.scheme() {
            "mqtts" => (true, 8883),
            "mqtt" => (false, 1883),
            _ => return Err(wrong("begins with neither `mqtt:` nor `mqtts:`")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has a name or a password in it, which belong into a file"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has more than a host and a port"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(port),
            tls,
            prefix: "fhir-devices".to_owned(),
            client: format!("fhir-devices-{region}"),
            credentials: None,
            roots: Vec::new(),
            identity: None,
            provider: None,
            timeout: Duration::from_secs(10),
            max_slots: 1 << 20,
        })
    }

    /// Sets the levels before the tenant in each topic; `fhir-devices` otherwise. Two regions on one broker need two.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is empty, or has a wildcard or an empty level.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self> {
        let is_level = |level: &str| !level.is_empty() && !level.contains(['+', '#', '\0']);
        if prefix.len() > 256 || prefix.starts_with('$') || !prefix.split('/').all(is_level) {
            return Err(StoreError::invalid(format!("`{prefix}` is not the beginning of a topic")));
        }
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// Sets the client id of the writer; `fhir-devices-REGION` otherwise. The receiver of reports adds `-reports`.
    #[must_use]
    pub fn with_client_id(mut self, client: impl Into<String>) -> Self {
        self.client = client.into();
        self
    }

    /// Sets the name and the password for the broker.
    #[must_use]
    pub fn with_credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
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

    /// Shows this certificate to the broker: PEM, the private key and the chain.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when one of the two is lacking.
    pub fn with_identity(mut self, pem: &[u8]) -> Result<Self> {
        self.identity = Some(Arc::new(read_identity(pem).map_err(StoreError::invalid)?));
        Ok(self)
    }

    /// Uses this provider of cryptography for TLS. Without it, that of the process counts, where the program has set one, and
    /// else that of the feature `ring`.
    #[must_use]
    pub fn with_crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Waits no longer for a connection, nor for an acknowledgement; 10 seconds otherwise.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets for how many slots the content is kept in memory; 1,048,576 otherwise. Those beyond are read as empty, and are written
    /// again more often than is needed.
    #[must_use]
    pub fn with_max_slots(mut self, slots: usize) -> Self {
        self.max_slots = slots;
        self
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn max_slots(&self) -> usize {
        self.max_slots
    }

    pub(super) fn ready_topic(&self) -> String {
        topic::ready(&self.prefix, &self.client)
    }

    /// Returns what the client library connects by, under the client id with an ending.
    pub(super) fn connector(&self, ending: &str) -> std::result::Result<MqttOptions, BoxError> {
        let mut options =
            MqttOptions::new(format!("{}{ending}", self.client), Broker::tcp(self.host.clone(), self.port));
        if self.tls {
            let mut tls = client_config(self.provider.as_ref(), &self.roots, self.identity.as_deref())?;
            tls.alpn_protocols.clear();
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(tls))));
        }
        if let Some((user, password)) = &self.credentials {
            let (username, password) = (user.clone(), password.clone().into());
            options.set_auth(ConnectAuth::UsernamePassword { username, password });
        }
        options.set_keep_alive(10).set_connect_timeout(self.timeout);
        options.set_max_packet_size(Some(MAX_PACKET));
        Ok(options)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Credentials are not shown.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
