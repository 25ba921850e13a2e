//! Options of the store on another server.

use super::FhirServer;
use super::dialect::Dialect;
use super::known::KnownVersions;
use crate::convert::{self, Version};
use crate::primitive::CanonicalBase;
use crate::store::{BoxFuture, PageKey, Result, StoreError, Tenant};
use crate::support::tls::{Identity, client_config, read_identity, read_roots};
use reqwest::Client;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Headers = Vec<(String, String)>;
pub(super) type HeadersOf = dyn Fn(&Tenant) -> BoxFuture<'static, Result<Headers>> + Send + Sync;
pub(super) type AddressOf = dyn Fn(&Tenant) -> String + Send + Sync;

/// How a resource is created only where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// By a look and `If-None-Match: *`, which the server may pass over.
    Unproven,
    /// By `If-None-Match: *`.
    IfNoneMatch,
    /// By `If-Match` of version 0, which no resource has, and that of the deletion where it is deleted: for servers that
    /// create by it what never was, and honour it otherwise.
    IfMatch,
}

/// How a resource is deleted only in the version that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    /// By `If-Match`, which the server may pass over.
    Unproven,
    /// By `If-Match`.
    IfMatch,
    /// By the version in the address.
    Address,
}

/// Options of a [`FhirServer`].
///
/// ```no_run
/// use fhir_devices::backend::fhir_http::Options;
/// use std::time::Duration;
///
/// let server = Options::new()
///     .with_roots(&std::fs::read("hospital-ca.pem")?)?
///     .with_timeout(Duration::from_secs(5))
///     .with_bearer(|tenant| {
///         let name = format!("FHIR_TOKEN_{}", tenant.as_str().to_uppercase());
///         Box::pin(async move { Ok(std::env::var(name).unwrap_or_default()) })
///     })
///     .at("https://fhir.hospital.example/{tenant}/stu3")?;
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Options {
    headers: Arc<HeadersOf>,
    timeout: Duration,
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Arc<Identity>>,
    provider: Option<Arc<CryptoProvider>>,
    pub(super) pages: PageKey,
    pub(super) canonical: CanonicalBase,
    pub(super) dialect: Dialect,
    pub(super) max_body: u64,
    pub(super) max_answer: usize,
    pub(super) max_writes: usize,
    pub(super) history: bool,
    pub(super) creation: Creation,
    pub(super) deletion: Deletion,
    /// Whether `If-Match` over what never was may create it.
    pub(super) update_may_create: bool,
    /// Whether a deletion in a transaction may pass over its condition.
    pub(super) transaction_may_delete: bool,
    pub(super) marks: bool,
    pub(super) gaps: bool,
    pub(super) minds_case: bool,
    pub(super) allow_plain_http: bool,
    pub(super) reads_own_writes: bool,
    pub(super) durable: bool,
    pub(super) on_left_out: Option<Arc<OnLeftOut>>,
}

/// Is told of a resource that a search leaves out: the tenant, the type and id on the server, and the reason.
pub(super) type OnLeftOut = dyn Fn(&Tenant, &str, &str) + Send + Sync;

impl Options {
    /// No credentials; 30 seconds for an answer; bodies up to 1 MiB, answers up to 64 MiB; and a server of which nothing is
    /// assumed beyond versions that count on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            headers: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
            timeout: Duration::from_secs(30),
            roots: Vec::new(),
            identity: None,
            provider: None,
            pages: PageKey::random(),
            canonical: CanonicalBase::default(),
            dialect: Dialect { version: Version::Stu3, conversion: convert::Options::default() },
            max_body: 1 << 20,
            max_answer: 64 << 20,
            max_writes: 1,
            history: true,
            creation: Creation::Unproven,
            deletion: Deletion::Unproven,
            update_may_create: true,
            transaction_may_delete: false,
            marks: true,
            gaps: false,
            minds_case: false,
            allow_plain_http: false,
            reads_own_writes: false,
            durable: false,
            on_left_out: None,
        }
    }

    /// Sets the headers of every request of a tenant, such as credentials. They are asked for before each request, so that a
    /// token that ran out can be renewed; an error ends the call, and nothing is sent. They go to the address of the tenant
    /// and nowhere else.
    #[must_use]
    pub fn with_headers(
        mut self,
        headers: impl Fn(&Tenant) -> BoxFuture<'static, Result<Vec<(String, String)>>> + Send + Sync + 'static,
    ) -> Self {
        self.headers = Arc::new(headers);
        self
    }

    /// Sets the bearer token of every request of a tenant; it replaces other headers.
    #[must_use]
    pub fn with_bearer(
        self,
        token: impl Fn(&Tenant) -> BoxFuture<'static, Result<String>> + Send + Sync + 'static,
    ) -> Self {
        self.with_headers(move |tenant| {
            let token = token(tenant);
            Box::pin(async move { Ok(vec![("authorization".to_owned(), format!("Bearer {}", token.await?))]) })
        })
    }

    /// Trusts the certificates of this PEM file, and no longer those of the machine.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it holds none.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self> {
        self.roots = read_roots(pem).map_err(StoreError::invalid)?;
        Ok(self)
    }

    /// Shows this certificate to the server: PEM, the private key and the chain.
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

    /// Waits no longer for a whole answer. A read is then [`StoreError::Unavailable`] and a write
    /// [`StoreError::Indeterminate`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the key that signs page tokens, so that other processes and later ones accept them.
    #[must_use]
    pub fn with_page_key(mut self, key: PageKey) -> Self {
        self.pages = key;
        self
    }

    /// Sets the base of the extension that holds a write id. Such extensions under other bases are read too.
    #[must_use]
    pub fn with_canonical_base(mut self, base: CanonicalBase) -> Self {
        self.dialect.conversion.base = base.clone();
        self.canonical = base;
        self
    }

    /// For a server of this version of FHIR, of STU3 or R4. From R4 on a DeviceComponent is a Device with a tag there, and what
    /// the version has no place for stands in extensions ([`manual::conversion`](crate::manual::conversion)).
    ///
    /// ```no_run
    /// use fhir_devices::backend::fhir_http::Options;
    /// use fhir_devices::convert::{self, IdPolicy, Version};
    ///
    /// let conversion = convert::Options::default().ids(IdPolicy::Prefix("dc-".to_owned()));
    /// let options = Options::new().fhir_version(Version::R4).conversion(conversion);
    /// let server = options.at("https://fhir.example/{tenant}/r4")?;
    /// # drop(server);
    /// # Ok::<(), fhir_devices::store::StoreError>(())
    /// ```
    #[must_use]
    pub fn fhir_version(mut self, version: Version) -> Self {
        self.dialect.version = version;
        self
    }

    /// With resources converted so for a server of R4. Where components keep their ids, as by default, one cannot be created
    /// under the id of a Device; where they have a prefix, the components of others that have none are not seen. The base is
    /// that of [`with_canonical_base`](Self::with_canonical_base).
    #[must_use]
    pub fn conversion(mut self, conversion: convert::Options) -> Self {
        self.dialect.conversion = conversion.base(self.canonical.clone());
        self
    }

    /// Leaves out of a search what the server has and this crate cannot read or convert without a loss, as one such resource must not
    /// hide all others. `tell` hears of each one, at each search that finds it: the tenant, the type and id on the server, and the
    /// reason. Without this, such a resource fails the search. A read of it is an error in any case, and it is never written.
    ///
    /// ```
    /// use fhir_devices::backend::fhir_http::Options;
    /// let options = Options::new().leave_out_unreadable(|tenant, resource, why| eprintln!("{tenant}: {resource}: {why}"));
    /// # drop(options);
    /// ```
    #[must_use]
    pub fn leave_out_unreadable(mut self, tell: impl Fn(&Tenant, &str, &str) + Send + Sync + 'static) -> Self {
        self.on_left_out = Some(Arc::new(tell));
        self
    }

    /// With bodies of at most `bytes`, which should be no more than the server takes: many hang up on a larger one before
    /// they have heard it, and then it is [`StoreError::Indeterminate`].
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Hears answers of at most `bytes`: a page of a search is one.
    #[must_use]
    pub fn with_max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// For a server that carries transactions out: commits of up to `writes` resources, each as one Bundle.
    ///
    /// A condition is then `ifMatch` of its entry, and `Absent` is `ifNoneMatch: *`, which FHIR does not name: where a server
    /// passes over it, a resource that comes to be between the look and the transaction is overwritten, and that is told as
    /// [`ServerFault::ConditionIgnored`](super::ServerFault::ConditionIgnored).
    #[must_use]
    pub fn with_transactions(mut self, writes: usize) -> Self {
        self.max_writes = writes.max(1);
        self
    }

    /// Speaks with machines other than this one by plain `http` too. Whoever listens on the way hears what is kept there,
    /// and the credentials.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.allow_plain_http = true;
        self
    }

    /// For a server that keeps no versions but the newest: `vread` and `history` are `Unsupported`.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        self.history = false;
        self
    }

    /// For a server that is known to honour `If-None-Match: *` of a PUT: creations do not look first.
    #[must_use]
    pub fn trust_if_none_match(mut self) -> Self {
        self.creation = Creation::IfNoneMatch;
        self
    }

    /// For a server that is known to refuse a PUT with `If-Match` over what never was or is deleted, and to honour `If-Match`
    /// of a DELETE: updates do not look first.
    #[must_use]
    pub fn trust_if_match(mut self) -> Self {
        self.update_may_create = false;
        self.deletion = Deletion::IfMatch;
        self
    }

    /// For a server that makes a version of every write, also of one that says what is there already. A write without an id is
    /// then sent as it is; otherwise it gets a random number in the place of its id, so that it differs from every other, and
    /// is recognised in the answer.
    #[must_use]
    pub fn without_write_marks(mut self) -> Self {
        self.marks = false;
        self
    }

    /// For a server whose version numbers have gaps. Versions are then not those of R3, a deletion's number is known only
    /// where the server tells it, and conditions that the server passes over are not noticed.
    #[must_use]
    pub fn with_gaps(mut self) -> Self {
        self.gaps = true;
        self
    }

    /// For a server that compares codes and identifiers with their case, which STU3 rules out and later versions allow.
    /// Those that have letters are not asked of it, but looked for here among all that it finds without them.
    #[must_use]
    pub fn case_sensitive(mut self) -> Self {
        self.minds_case = true;
        self
    }

    /// For a server whose searches see at once what was acknowledged.
    #[must_use]
    pub fn with_read_your_writes_search(mut self) -> Self {
        self.reads_own_writes = true;
        self
    }

    /// For a server that loses nothing that it acknowledged.
    #[must_use]
    pub fn with_durable_ack(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Servers at an address, in which `{tenant}` stands for the name of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the address does not name the tenant; otherwise as [`at_each`](Self::at_each).
    pub fn at(self, address: &str) -> Result<FhirServer> {
        if !address.contains("{tenant}") {
            return Err(StoreError::invalid(format!("`{address}` holds no `{{tenant}}`")));
        }
        let address = address.to_owned();
        self.at_each(move |tenant| address.replace("{tenant}", tenant.as_str()))
    }

    /// Servers at the address that is told for a tenant. No two tenants may have the same, nor one below another's.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a version of FHIR that is not offered; [`StoreError::Backend`] when there is no HTTP client
    /// to be had.
    pub fn at_each(self, address: impl Fn(&Tenant) -> String + Send + Sync + 'static) -> Result<FhirServer> {
        if !matches!(self.dialect.version, Version::Stu3 | Version::R4) {
            let version = self.dialect.release();
            return Err(StoreError::invalid(format!("a server of FHIR {version}: wanted one of 3.0 or 4.0")));
        }
        Ok(FhirServer {
            client: self.client()?,
            base: Arc::new(address),
            headers: Arc::clone(&self.headers),
            options: self,
            known: KnownVersions::default(),
        })
    }

    fn client(&self) -> Result<Client> {
        let tls = client_config(self.provider.as_ref(), &self.roots, self.identity.as_deref())
            .map_err(StoreError::backend)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A connection that the server ends while a write goes out leaves its outcome unknown; many end them after 5 seconds.
            .pool_idle_timeout(Duration::from_secs(4))
            .connect_timeout(self.timeout.min(Duration::from_secs(10)))
            .timeout(self.timeout);
        client.build().map_err(|error| StoreError::backend(error.into()))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Credentials are not shown.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("timeout", &self.timeout)
            .field("max_body", &self.max_body)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
