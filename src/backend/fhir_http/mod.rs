//! Resources on another FHIR STU3 server, over HTTP.

mod content;
mod fault;
mod history;
mod place;
mod read;
mod search;
mod wire;
mod write;

pub use fault::ServerFault;

use crate::store::{
    AtomicScope, BoxFuture, Capabilities, CommitError, Key, Page, PageKey, PageToken, ResourceStore, Result, Search,
    StoreError, Tenant, Version, VersionId, Write,
};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The largest body that is sent unless another is set.
const MAX_BODY: u64 = 1024 * 1024;
/// The largest answer that is heard.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

type Headers = Vec<(String, String)>;
type HeadersOf = dyn Fn(&Tenant) -> BoxFuture<'static, Result<Headers>> + Send + Sync;

/// Resources on a FHIR STU3 server that belongs to someone else.
///
/// Each tenant has an address of its own, and that is all that keeps tenants apart: an address that two tenants share
/// shows each what the other has. Links to a next page are followed only below it, and no redirection is.
///
/// # What the contract becomes
///
/// It is as good as the server is. What a server does against it is told as a [`ServerFault`] where it can be seen.
///
/// - R1: a commit has one write.
/// - R2: an update is a PUT with `If-Match`, a creation a PUT with `If-None-Match: *`; 409 and 412 say alike that the
///   condition failed. A creation looks first, as many servers pass over its header; a server that passes over both lets
///   one of two creators at the same moment undo the other. That an update or a deletion was applied against its condition is
///   told afterwards, as [`ServerFault::ConditionIgnored`]. `Exists`, and every deletion, read the version and name it; where
///   others are faster again and again it is `Throttled`.
/// - R3: version ids must be numbers, and those of a resource without gaps; see [`with_gaps`](Self::with_gaps). A deletion
///   takes the number after the version that it deletes.
/// - R4: a body must be a resource of its type. It is given back in the form in which the crate writes it, with its `id`,
///   and as the server keeps it: one that adds a narrative or a tag gives back a body with it. The index entries
///   of a write are not sent: a resource is found by what it holds.
/// - R7, R8: criteria become search parameters, with `_sort=_id`; what the server finds is judged again, so that nothing is
///   found wrongly. What it misses stays missed: the values of criteria are folded, so it must compare tokens without case.
///   [`Criterion::Begins`](crate::store::Criterion::Begins) of a token or a reference, and an `AnyOf` over several
///   parameters, are `Unsupported`. Pages that are not in the order of ids are [`ServerFault::NotSorted`]. How stable pages
///   are is up to the server. That a search sees what was just written is not claimed.
/// - R11: a write id is kept as an extension of the resource. A deletion has no place for one and loses it.
/// - R13: the times are the server's. FHIR gives a deletion none: it carries that of the version that it deleted.
///
/// It needs a tokio runtime, with its timers.
///
/// ```no_run
/// use fhir_devices::backend::FhirServer;
/// use fhir_devices::store::Tenanted;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = std::env::var("FHIR_TOKEN")?;
/// let server = FhirServer::new("https://fhir.example/{tenant}/stu3")?
///     .with_headers(move |_| {
///         let headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
///         Box::pin(async move { Ok(headers) })
///     });
/// let store = Tenanted::new(Arc::new(server), "st-mary".parse()?);
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
pub struct FhirServer {
    client: reqwest::Client,
    base: Arc<dyn Fn(&Tenant) -> String + Send + Sync>,
    headers: Arc<HeadersOf>,
    pages: PageKey,
    max_body: u64,
    max_answer: usize,
    history: bool,
    write_ids: bool,
    looks_first: bool,
    gaps: bool,
}

impl FhirServer {
    /// Servers at `address`, in which `{tenant}` stands for the name of the tenant.
    ///
    /// # Errors
    /// `Invalid` when the address does not name the tenant.
    pub fn new(address: &str) -> Result<Self> {
        if !address.contains("{tenant}") {
            return Err(StoreError::invalid(format!("`{address}` holds no `{{tenant}}`")));
        }
        let address = address.to_owned();
        Self::with_addresses(move |tenant| address.replace("{tenant}", tenant.as_str()))
    }

    /// Servers at the address that is told for a tenant. No two tenants may have the same, nor one below another's.
    ///
    /// # Errors
    /// `Backend` when there is no HTTP client to be had.
    pub fn with_addresses(address: impl Fn(&Tenant) -> String + Send + Sync + 'static) -> Result<Self> {
        Ok(Self {
            client: client(TIMEOUT)?,
            base: Arc::new(address),
            headers: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
            pages: PageKey::random(),
            max_body: MAX_BODY,
            max_answer: MAX_ANSWER,
            history: true,
            write_ids: true,
            looks_first: true,
            gaps: false,
        })
    }

    /// With headers for every request, such as credentials. An error ends the call before anything is sent.
    #[must_use]
    pub fn with_headers(
        mut self,
        headers: impl Fn(&Tenant) -> BoxFuture<'static, Result<Vec<(String, String)>>> + Send + Sync + 'static,
    ) -> Self {
        self.headers = Arc::new(headers);
        self
    }

    /// Waits no longer for an answer; 30 seconds are the default.
    ///
    /// # Errors
    /// `Backend` when there is no HTTP client to be had.
    pub fn with_timeout(mut self, timeout: Duration) -> Result<Self> {
        self.client = client(timeout)?;
        Ok(self)
    }

    /// With page tokens that other processes understand, or a later one.
    #[must_use]
    pub fn with_page_key(mut self, key: PageKey) -> Self {
        self.pages = key;
        self
    }

    /// With bodies of at most `bytes`; the default is 1 MiB.
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// For a server that keeps no versions but the newest: `vread` and `history` are `Unsupported`.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        self.history = false;
        self
    }

    /// For a server that refuses unknown extensions: write ids are not kept, and a lost answer to a write stays unknown.
    #[must_use]
    pub fn without_write_ids(mut self) -> Self {
        self.write_ids = false;
        self
    }

    /// For a server that is known to honour `If-None-Match: *` of a PUT: creations do not look first.
    #[must_use]
    pub fn trusting_if_none_match(mut self) -> Self {
        self.looks_first = false;
        self
    }

    /// For a server whose version numbers have gaps. Versions are then not those of R3, a deletion's number is known only
    /// where the server tells it, and conditions that the server passes over are not noticed.
    #[must_use]
    pub fn with_gaps(mut self) -> Self {
        self.gaps = true;
        self
    }

    fn has_history(&self) -> Result<()> {
        let lacking = StoreError::Unsupported { what: "a history on a server that keeps none" };
        if self.history { Ok(()) } else { Err(lacking) }
    }
}

fn client(timeout: Duration) -> Result<reqwest::Client> {
    // An error says that there is a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .timeout(timeout);
    client.build().map_err(|error| StoreError::Backend { source: error.into() })
}

impl fmt::Debug for FhirServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FhirServer").field("max_body", &self.max_body).finish_non_exhaustive()
    }
}

impl ResourceStore for FhirServer {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(AtomicScope::Key, 1, self.max_body);
        capabilities.history = self.history;
        capabilities.search_read_your_writes = false;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.read_now(tenant, key))
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move {
            self.has_history()?;
            self.vread_now(tenant, key, version).await
        })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(self.commit_now(tenant, writes))
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.search_now(tenant, search))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.history_now(tenant, key, limit, after))
    }
}
