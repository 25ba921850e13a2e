//! The update service and its options.

use super::commit_queue::TenantChain;
use super::ledger_session::{LedgerSession, Retention, ServiceContext};
use super::{AuditSink, IdSource, MissingReferences, NoAddresses, RandomIds, SweepRules, UnknownReferences};
use crate::manifest::{ActorId, Verifier};
use crate::primitive::{CanonicalBase, Code};
use crate::reference::OwnBase;
use crate::store::{
    BlobKey, BlobStore, BoxFuture, Clock, Ledger, ResourceStore, SystemClock, Tenant, TenantResources, UrlKind,
};
use crate::update::ingest::Limits;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// Returns the URL at which the caller serves a blob.
type CallerUrl = dyn Fn(&Tenant, &BlobKey) -> Url + Send + Sync;

/// Returns the base of a tenant's own FHIR service.
type BaseOf = dyn Fn(&Tenant) -> OwnBase + Send + Sync;

/// Returns whether a tenant accepts only uploads with a signed manifest.
type SignedOnly = dyn Fn(&Tenant) -> bool + Send + Sync;

/// The source of the URLs of update files.
#[derive(Clone)]
pub(super) enum Addresses {
    Store(UrlKind),
    Caller(Arc<CallerUrl>),
}

impl Addresses {
    fn of_store(blobs: &(impl BlobStore + ?Sized), kind: UrlKind) -> Result<Self, NoAddresses> {
        let capabilities = blobs.capabilities();
        match kind {
            UrlKind::Public if !capabilities.public_url => Err(NoAddresses::Public),
            UrlKind::Signed { .. } if !capabilities.signed_url => Err(NoAddresses::Signed),
            kind => Ok(Self::Store(kind)),
        }
    }
}

/// Receives updates for the devices of many tenants, over stores that the caller implements.
///
/// Cloning is cheap. The three stores may be one value, as [`Memory`](crate::backend::Memory) is, and may be `dyn`.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::service::{Submission, UpdateService};
/// use fhir_devices::store::{Tenant, TenantResources, stream};
/// use fhir_devices::{Device, DeviceComponent, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tenant: Tenant = "st-mary".parse()?;
/// let memory = Arc::new(Memory::new());
/// let resources = TenantResources::new(memory.clone(), tenant.clone());
/// let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump-7"}"#)?;
/// let mds = DeviceComponent::from_json(
///     br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
///         "source":{"reference":"Device/pump-7"}}"#,
/// )?;
/// resources.create(&Valid::new(pump)?).await?;
/// resources.create(&Valid::new(mds)?).await?;
///
/// let service = UpdateService::new(memory.clone(), memory.clone(), memory)?;
/// let submission = Submission::new("pump-7".parse()?, "2.4.bin".parse()?, "application/octet-stream".parse()?);
/// let received = service.receive(&tenant, submission, stream::once("firmware")).await?;
/// assert_eq!(received.version.etag(), "W/\"2\"");
/// assert_eq!(received.update.size, 8);
/// # Ok(())
/// # }
/// ```
pub struct UpdateService<R: ?Sized = dyn ResourceStore, B: ?Sized = dyn BlobStore, L: ?Sized = dyn Ledger> {
    pub(super) resources: Arc<R>,
    pub(super) blobs: Arc<B>,
    pub(super) ledger: Arc<L>,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) max_size: u64,
    pub(super) small_size: usize,
    pub(super) max_attempts: u32,
    pub(super) media_types: Option<Arc<[Code]>>,
    pub(super) addresses: Addresses,
    pub(super) canonical: CanonicalBase,
    pub(super) missing: MissingReferences,
    pub(super) unknown: UnknownReferences,
    pub(super) own_base: Option<Arc<BaseOf>>,
    pub(super) limits: Limits,
    pub(super) max_holders: usize,
    pub(super) keep_superseded: usize,
    pub(super) verifier: Option<Arc<dyn Verifier>>,
    pub(super) signed_only: Option<Arc<SignedOnly>>,
    pub(super) context: Arc<ServiceContext>,
    pub(super) chains: Arc<Mutex<HashMap<Tenant, Arc<TenantChain>>>>,
    pub(super) sweep_rules: SweepRules,
    /// The tenants whose blob store and ledger are known to belong together.
    pub(super) paired: Arc<Mutex<HashSet<Tenant>>>,
}

/// Maximum number of idle tenants that are remembered.
const TENANTS: usize = 4_096;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Creates a service over these stores: files up to 4 GiB of any media type, at the public URLs of the blob store.
    ///
    /// # Errors
    /// [`NoAddresses`] where the blob store gives none: [`new_with_urls`](Self::new_with_urls) takes URLs of the
    /// caller's.
    pub fn new(resources: Arc<R>, blobs: Arc<B>, ledger: Arc<L>) -> Result<Self, NoAddresses> {
        let addresses = Addresses::of_store(&*blobs, UrlKind::Public)?;
        Ok(Self::at(addresses, (resources, blobs, ledger)))
    }

    /// Creates a service over these stores, whose files the caller serves at its own URLs: for blob stores without
    /// URLs.
    ///
    /// ```
    /// use fhir_devices::backend::{Discard, Memory};
    /// use fhir_devices::service::{NoAddresses, UpdateService};
    /// use std::sync::Arc;
    ///
    /// let (memory, blobs) = (Arc::new(Memory::new()), Arc::new(Discard::new()));
    /// let refused = UpdateService::new(memory.clone(), blobs.clone(), memory.clone()).unwrap_err();
    /// assert_eq!(refused, NoAddresses::Public);
    /// let base: url::Url = "https://files.example".parse()?;
    /// let service = UpdateService::new_with_urls(memory.clone(), blobs, memory, move |tenant, key| {
    ///     let mut url = base.clone();
    ///     url.set_path(&format!("{tenant}/{}/{}", key.digest, key.generation));
    ///     url
    /// });
    /// # let _ = service;
    /// # Ok::<(), url::ParseError>(())
    /// ```
    pub fn new_with_urls(
        resources: Arc<R>,
        blobs: Arc<B>,
        ledger: Arc<L>,
        url: impl Fn(&Tenant, &BlobKey) -> Url + Send + Sync + 'static,
    ) -> Self {
        Self::at(Addresses::Caller(Arc::new(url)), (resources, blobs, ledger))
    }

    fn at(addresses: Addresses, (resources, blobs, ledger): (Arc<R>, Arc<B>, Arc<L>)) -> Self {
        Self {
            resources,
            blobs,
            ledger,
            ids: Arc::new(RandomIds),
            max_size: 4 << 30,
            small_size: 64 << 10,
            max_attempts: 32,
            media_types: None,
            addresses,
            canonical: CanonicalBase::default(),
            missing: MissingReferences::default(),
            unknown: UnknownReferences::default(),
            own_base: None,
            limits: Limits::default(),
            max_holders: 256,
            keep_superseded: 3,
            verifier: None,
            signed_only: None,
            context: Arc::new(ServiceContext {
                clock: Arc::new(SystemClock),
                actor: ActorId::of("update-service"),
                sink: None,
                retention: Retention::default(),
                sleep: None,
            }),
            chains: Arc::default(),
            sweep_rules: SweepRules::default(),
            paired: Arc::default(),
        }
    }

    /// Sets how long files unknown to the ledger are kept, and how many a sweep may delete.
    #[must_use]
    pub fn with_sweep_rules(mut self, rules: SweepRules) -> Self {
        self.sweep_rules = rules;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.context = Arc::new(ServiceContext { clock: Arc::new(clock), ..(*self.context).clone() });
        self
    }

    /// Sets the name of the service in audit records; `update-service` by default.
    #[must_use]
    pub fn with_actor(mut self, actor: ActorId) -> Self {
        self.context = Arc::new(ServiceContext { actor, ..(*self.context).clone() });
        self
    }

    /// Sets the sink that receives every audit record once it is written.
    #[must_use]
    pub fn with_audit_sink(mut self, sink: impl AuditSink) -> Self {
        self.context = Arc::new(ServiceContext { sink: Some(Arc::new(sink)), ..(*self.context).clone() });
        self
    }

    /// Sets the timer for the pause before a call retries a write that another process preempted: a short random time
    /// that grows with the tries. Without one, it retries at once.
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, service::UpdateService};
    /// # let memory = std::sync::Arc::new(Memory::new());
    /// let service = UpdateService::new(memory.clone(), memory.clone(), memory)?;
    /// let service = service.with_sleep(|time| Box::pin(tokio::time::sleep(time)));
    /// # let _ = service;
    /// # Ok::<(), fhir_devices::service::NoAddresses>(())
    /// ```
    #[must_use]
    pub fn with_sleep(mut self, sleep: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        self.context = Arc::new(ServiceContext { sleep: Some(Arc::new(sleep)), ..(*self.context).clone() });
        self
    }

    /// Sets the verifier of manifest signatures. Without one, uploads with a manifest are refused.
    #[must_use]
    pub fn with_verifier(mut self, verifier: impl Verifier + 'static) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// Sets the tenants that accept only signed manifests: those for which `wants` returns `true`. Their unsigned
    /// uploads that are not attached yet are refused too.
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, service::UpdateService, store::Tenant};
    /// # use std::sync::Arc;
    /// # let memory = Arc::new(Memory::new());
    /// let trial: Tenant = "trial".parse()?;
    /// let service = UpdateService::new(memory.clone(), memory.clone(), memory)?;
    /// let service = service.with_signed_only(move |tenant| *tenant != trial);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_signed_only(mut self, wants: impl Fn(&Tenant) -> bool + Send + Sync + 'static) -> Self {
        self.signed_only = Some(Arc::new(wants));
        self
    }

    /// Sets how long an upload may make no progress before it is aborted.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.limits.lease_seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
        self
    }

    /// Sets what is done with an upload whose reference another writer removed from the component. Default: the
    /// reference is written again.
    #[must_use]
    pub fn with_missing_references(mut self, rule: MissingReferences) -> Self {
        self.missing = rule;
        self
    }

    /// Sets what is done with references that belong to no upload. Default: they are removed.
    #[must_use]
    pub fn with_unknown_references(mut self, rule: UnknownReferences) -> Self {
        self.unknown = rule;
        self
    }

    /// Sets the source of ids, for uploads and for the generations of their bytes. An id must never occur twice, in any
    /// process. Default: [`RandomIds`].
    #[must_use]
    pub fn with_ids(mut self, ids: impl IdSource) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// Sets the maximum size of a file. Default: 4 GiB.
    #[must_use]
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets the size up to which a file is read completely before the first record of its upload is written: such an
    /// upload takes fewer commits, and leaves no record if it is interrupted before its bytes have arrived. Default: 64
    /// KiB, held in memory. With 0, every upload has a record before its bytes are read.
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, service::UpdateService};
    /// # let memory = std::sync::Arc::new(Memory::new());
    /// let service = UpdateService::new(memory.clone(), memory.clone(), memory)?.with_small_size(4 << 10);
    /// # let _ = service;
    /// # Ok::<(), fhir_devices::service::NoAddresses>(())
    /// ```
    #[must_use]
    pub fn with_small_size(mut self, bytes: usize) -> Self {
        self.small_size = bytes;
        self
    }

    /// Sets the maximum number of attempts to write a component that others change at the same time; 0 counts as 1.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self.limits.max_attempts = u16::try_from(self.max_attempts).unwrap_or(u16::MAX);
        self
    }

    /// Sets how many uploads may share one copy of the same bytes, from 1 to 1,000. Default: 256. The record of a copy
    /// lists the uploads that share it, and is written with each of them.
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, service::UpdateService};
    /// # let memory = std::sync::Arc::new(Memory::new());
    /// let service = UpdateService::new(memory.clone(), memory.clone(), memory)?.with_uploads_per_copy(64);
    /// # let _ = service;
    /// # Ok::<(), fhir_devices::service::NoAddresses>(())
    /// ```
    #[must_use]
    pub fn with_uploads_per_copy(mut self, uploads: u32) -> Self {
        self.max_holders = usize::try_from(uploads.clamp(1, 1_000)).unwrap_or(1);
        self
    }

    /// Sets how many superseded updates each component keeps; 0 counts as 1. Default: 3.
    /// [`make_current`](Self::make_current) can choose among them. Attaching an update retires the oldest ones beyond
    /// the limit, up to eight at once.
    #[must_use]
    pub fn with_keep_superseded(mut self, updates: u32) -> Self {
        self.keep_superseded = usize::try_from(updates.max(1)).unwrap_or(usize::MAX);
        self
    }

    /// Sets how long a component shows a withdrawn update, with the status `withdrawn`. Default: 30 days.
    /// [`expire`](Self::expire) removes it afterwards. The value applies to later withdrawals.
    #[must_use]
    pub fn with_withdrawn_retention(self, time: Duration) -> Self {
        self.with_retention(|retention| retention.withdrawn = time)
    }

    /// Sets how long the records of ended uploads are kept, with their idempotency keys. Default: 30 days. Until then,
    /// a withdrawn or retired update sent again under its key is answered as such; afterwards the key counts as unused.
    /// [`expire`](Self::expire) removes them; the audit chain keeps its records.
    #[must_use]
    pub fn with_ended_retention(self, time: Duration) -> Self {
        self.with_retention(|retention| retention.ended = time)
    }

    /// Sets how long the records of uploads are kept that failed before their bytes arrived. Default: one day. No
    /// device saw anything of them, and their key can be reused at once for the same submission.
    #[must_use]
    pub fn with_aborted_retention(self, time: Duration) -> Self {
        self.with_retention(|retention| retention.aborted = time)
    }

    fn with_retention(mut self, change: impl FnOnce(&mut Retention)) -> Self {
        let mut context = (*self.context).clone();
        change(&mut context.retention);
        self.context = Arc::new(context);
        self
    }

    /// Sets the accepted media types. Their parameters, such as a `charset`, are ignored. Default: all.
    #[must_use]
    pub fn with_media_types(mut self, allowed: impl IntoIterator<Item = Code>) -> Self {
        self.media_types = Some(allowed.into_iter().collect());
        self
    }

    /// Sets the base URL of a tenant's own FHIR service, that of its [`rest::Server`](crate::rest::Server): absolute
    /// references below it are references to resources here. Default: only relative references are local.
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, service::UpdateService};
    /// use fhir_devices::reference::OwnBase;
    /// # let memory = std::sync::Arc::new(Memory::new());
    /// let service = UpdateService::new(memory.clone(), memory.clone(), memory)?;
    /// let service = service.with_own_base(|tenant| OwnBase::new(&format!("https://updates.example/{tenant}/fhir")));
    /// # let _ = service;
    /// # Ok::<(), fhir_devices::service::NoAddresses>(())
    /// ```
    #[must_use]
    pub fn with_own_base(mut self, base: impl Fn(&Tenant) -> OwnBase + Send + Sync + 'static) -> Self {
        self.own_base = Some(Arc::new(base));
        self
    }

    /// Returns a handle to the resources of a tenant, over the store of the service.
    #[must_use]
    pub fn resources(&self, tenant: &Tenant) -> TenantResources<R> {
        let resources = TenantResources::new(Arc::clone(&self.resources), tenant.clone());
        match &self.own_base {
            Some(base) => resources.at(base(tenant)),
            None => resources,
        }
    }

    /// Sets the base URL of the extension of an available update. Extensions under any other base are read too, so that
    /// the base may change.
    #[must_use]
    pub fn with_canonical_base(mut self, base: CanonicalBase) -> Self {
        self.canonical = base;
        self
    }

    /// Sets the kind of URLs, which the blob store provides.
    ///
    /// # Errors
    /// [`NoAddresses`] where the store gives none of the kind.
    pub fn with_url_kind(mut self, kind: UrlKind) -> Result<Self, NoAddresses> {
        self.addresses = Addresses::of_store(&*self.blobs, kind)?;
        Ok(self)
    }

    /// Opens a session on the ledger of a tenant.
    pub(super) fn session(&self, tenant: &Tenant) -> LedgerSession<'_, L> {
        let chain = {
            let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
            // A caller may name any tenant. Forgetting the end of a chain costs one read.
            if chains.len() >= TENANTS && !chains.contains_key(tenant) {
                chains.retain(|_, chain| Arc::strong_count(chain) > 1);
            }
            Arc::clone(chains.entry(tenant.clone()).or_default())
        };
        LedgerSession::new(Arc::clone(&self.ledger), tenant, chain, &self.context)
    }

    /// Sets the function for URLs that the caller serves.
    #[must_use]
    pub fn with_urls(mut self, url: impl Fn(&Tenant, &BlobKey) -> Url + Send + Sync + 'static) -> Self {
        self.addresses = Addresses::Caller(Arc::new(url));
        self
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> Clone for UpdateService<R, B, L> {
    fn clone(&self) -> Self {
        Self {
            resources: Arc::clone(&self.resources),
            blobs: Arc::clone(&self.blobs),
            ledger: Arc::clone(&self.ledger),
            ids: Arc::clone(&self.ids),
            max_size: self.max_size,
            small_size: self.small_size,
            max_attempts: self.max_attempts,
            media_types: self.media_types.clone(),
            addresses: self.addresses.clone(),
            canonical: self.canonical.clone(),
            missing: self.missing,
            unknown: self.unknown,
            own_base: self.own_base.clone(),
            limits: self.limits,
            max_holders: self.max_holders,
            keep_superseded: self.keep_superseded,
            verifier: self.verifier.clone(),
            signed_only: self.signed_only.clone(),
            context: Arc::clone(&self.context),
            chains: Arc::clone(&self.chains),
            sweep_rules: self.sweep_rules,
            paired: Arc::clone(&self.paired),
        }
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> fmt::Debug for UpdateService<R, B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UpdateService");
        debug.field("max_size", &self.max_size).field("max_attempts", &self.max_attempts).finish_non_exhaustive()
    }
}
