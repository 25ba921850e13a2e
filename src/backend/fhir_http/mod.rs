//! Resources on another FHIR server, over HTTP.

mod content;
mod dialect;
mod fault;
mod history;
mod known;
mod options;
mod place;
mod probe;
mod query;
mod read;
mod search;
mod statement;
mod transaction;
mod wire;
mod write;

pub use fault::ServerFault;
pub use options::Options;
pub use statement::MissingCapability;

use crate::store::{
    AtomicScope, BoxFuture, Capabilities, CommitError, Key, Page, PageToken, ResourceStore, Result, Search, StoreError,
    Tenant, Version, VersionId, Write,
};
use known::KnownVersions;
use options::{AddressOf, Creation, Deletion, HeadersOf};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Resources on a FHIR server that belongs to someone else, of STU3, or of R4 by [`Options::fhir_version`].
///
/// Each tenant has an address of its own, and that is all that keeps tenants apart: an address that two tenants share
/// shows each what the other has. Nothing is sent elsewhere: links to a next page are followed only below the address, and
/// no redirection is. [`Options`] say how it signs in and whom it trusts. [`Options::connect`] tries out what the server can do,
/// and is the way to a server that is not known; [`manual::fhir_server`](crate::manual::fhir_server) has what each ability needs.
///
/// # What the contract becomes
///
/// It is as good as the server is. What a server does against it is told as a [`ServerFault`] where it can be seen.
///
/// - R1: a commit has one write, or is a transaction: see [`Options::with_transactions`].
/// - R2: an update is a PUT with `If-Match`; 409 and 412 say alike that the condition failed, once a look shows that it did: a
///   refusal for another reason is `Invalid`, with the server's words. Many servers create what never was by such a PUT: an
///   update looks first, unless the version was seen before, or the server was found to refuse it.
///   A creation is a PUT with `If-None-Match: *`, which many servers pass over, or one with `If-Match` of a version that cannot
///   be, where the server was found to heed that; else it looks first, one of two creators at the same moment may overwrite the
///   other, and [`Capabilities::conditional_create`] says so. For deletions that is [`Capabilities::conditional_delete`].
///   What was applied against its condition is told afterwards, as [`ServerFault::ConditionIgnored`]. `Exists`, and every
///   deletion, read the version and name it; where others are faster again and again it is `Throttled`.
/// - R3: version ids must be numbers, and those of a resource without gaps; see [`Options::with_gaps`]. A deletion takes the
///   number after the version that it deletes. Every write makes a version, also on servers that make none of what is there
///   already: a write without an id gets a random number in its place, so that it differs
///   ([`without_write_marks`](Options::without_write_marks)).
/// - R4: a body must be a resource of its type. It is given back in the form in which the crate writes it, with its `id`,
///   and as the server keeps it: one that adds a narrative or a tag gives back a body with it. The index entries of a write
///   are not sent: a resource is found by what it holds.
/// - R5: a history that a server cuts short is read on, version by version.
/// - R7, R8: criteria become search parameters, with `_sort=_id`, where FHIR has a parameter for them; what the server finds
///   is checked again, so that nothing is found wrongly, and by criteria that cannot be asked for it is found here alone,
///   among all that the others leave. What the server misses stays missed: the values of criteria are folded, so that it
///   must compare tokens without case, as STU3 says; see [`Options::case_sensitive`]. Pages that are not in the order of ids
///   are [`ServerFault::NotSorted`], but for what was changed since the first of them. How stable pages are is up to the server.
/// - R10: a 429, and a 503 in the server's own words, say that nothing was applied. What a gateway may have answered in the
///   server's place leaves it open, as a lost answer does.
/// - R11: a write id is kept as an extension of the resource. A deletion has no place for one and loses it, as
///   [`Capabilities::deletion_write_ids`] says.
/// - R13: the times are the server's, and may fall between versions of the same moment ([`Capabilities::ordered_times`]). FHIR gives a deletion none: it carries that of the version that it deleted.
/// - R15: FHIR has no request that forgets versions: `prune_history` is `Unsupported`, as
///   [`Capabilities::history_pruning`] says, and how long versions are kept is up to the server.
///
/// It needs a tokio runtime with its timers and sockets enabled. For TLS it sets the process's default provider of
/// cryptography (`ring`) where there is none yet.
///
/// ```no_run
/// use fhir_devices::backend::fhir_http::Options;
/// use fhir_devices::store::TenantResources;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = std::env::var("FHIR_TOKEN")?;
/// let server = Options::new()
///     .with_bearer(move |_| {
///         let token = token.clone();
///         Box::pin(async move { Ok(token) })
///     })
///     .at("https://fhir.example/{tenant}/stu3")?;
/// let store = TenantResources::new(Arc::new(server), "st-mary".parse()?);
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
pub struct FhirServer {
    client: reqwest::Client,
    base: Arc<AddressOf>,
    headers: Arc<HeadersOf>,
    options: Options,
    known: KnownVersions,
}

impl FhirServer {
    /// Servers at `address`, in which `{tenant}` stands for the name of the tenant, by the default [`Options`].
    ///
    /// # Errors
    /// `Invalid` when the address does not name the tenant; `Backend` when there is no HTTP client to be had.
    pub fn new(address: &str) -> Result<Self> {
        Options::new().at(address)
    }

    /// Returns the options, with what a [probe](Options::connect) found: they count for the same server at another address.
    ///
    /// ```
    /// use fhir_devices::backend::fhir_http::Options;
    /// let server = Options::new().at("https://fhir.example/{tenant}")?;
    /// let same = server.options().clone().at("https://fhir-2.example/{tenant}")?;
    /// # drop(same);
    /// # Ok::<(), fhir_devices::store::StoreError>(())
    /// ```
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn has_history(&self) -> Result<()> {
        let lacking = StoreError::unsupported("a history on a server that keeps none");
        if self.options.history { Ok(()) } else { Err(lacking) }
    }
}

impl fmt::Debug for FhirServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FhirServer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ResourceStore for FhirServer {
    fn capabilities(&self) -> Capabilities {
        let Options { max_writes, max_body, .. } = self.options;
        let atomic = if max_writes > 1 { AtomicScope::Tenant } else { AtomicScope::Key };
        let mut capabilities = Capabilities::new(atomic, max_writes, max_body);
        capabilities.history = self.options.history;
        capabilities.search_read_your_writes = self.options.reads_own_writes;
        capabilities.durable_ack = self.options.durable;
        capabilities.deletion_write_ids = false;
        capabilities.given_entries = false;
        capabilities.ordered_times = false;
        capabilities.conditional_create = self.options.creation != Creation::Unproven;
        capabilities.conditional_delete = self.options.deletion != Deletion::Unproven;
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

    fn prune_history<'a>(&'a self, _: &'a Tenant, _: &'a Key, _: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Err(StoreError::unsupported("the pruning of a history")) })
    }
}
