//! The HTTP service: the FHIR REST API, uploads of updates, downloads and HTML pages, as a router that any axum
//! application can mount.
//!
//! An [`UpdateServer`] is made over three [`Stores`]; [`UpdateServer::router`] has all routes, and [`serve()`] accepts
//! connections, without encryption or with TLS. The example `update_service` does both from the command line.
//!
//! ```no_run
//! use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, UpdateServer, serve};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let stores = Stores::in_memory(DEFAULT_MAX_UPLOAD);
//! let server = UpdateServer::over(stores, "http://127.0.0.1:8080", DEFAULT_MAX_UPLOAD)?;
//! serve(listener, None, Arc::new(server), std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod blobs;
mod budget;
mod connections;
mod cors;
mod deletions;
mod demo;
mod encoding;
mod fhir;
mod files;
mod guard;
mod health;
mod limits;
mod maintenance;
mod metrics;
#[cfg(feature = "oidc")]
mod oidc;
mod origin;
mod page;
mod place;
mod refused_head;
mod rollouts;
mod scopes;
mod serve;
mod shared_keys;
mod sign_ins;
mod subscriptions;
mod timed;
mod token_digest;
mod tokens;
mod updates;
mod workers;

use crate::backend::{Memory, Slots};
use crate::ddi::{DEFAULT_POLLING, DeviceInterface, LinkKey};
use crate::primitive::CanonicalBase;
use crate::publish::{Publisher, RegionId};
use crate::reference::OwnBase;
use crate::rest;
use crate::service::{
    MaintenanceError, MissingReferences, RolloutService, SweepRules, UnknownReferences, UpdateService,
};
use crate::store::{BlobKey, BlobStore, Ledger, PageKey, ResourceStore, Tenant, TenantResources};
use answer::Problem;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{MethodRouter, any, get, post};
use budget::Budget;
use connections::Connections;
use health::Readiness;
use metrics::Metrics;
use sign_ins::SignIns;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::OnceCell;
use url::Url;

pub use demo::fill as fill_demo;
pub use guard::{Access, Authenticator, Caller, Grant, Role};
pub use health::Fatal;
pub use limits::ConnectionLimits;
pub use maintenance::Retention;
#[cfg(feature = "oidc")]
pub use oidc::{OidcOptions, OpenIdProvider, SessionKey};
pub use scopes::FhirScopes;
pub use serve::{accept, serve, spawn_maintenance, tls};
pub use shared_keys::shared_page_key;
#[cfg(feature = "oidc")]
pub use shared_keys::shared_session_key;
pub use subscriptions::{HttpNotifier, NoHttpClient, SubscriptionOptions};
pub use tokens::{TokenFile, Tokens};

/// Maximum size of a document that is not FHIR, in bytes.
const MAX_SMALL: usize = 8 << 10;

/// Maximum size of a resource, in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

/// Maximum size of a batch or transaction, in bytes.
const MAX_BUNDLE: usize = 32 << 20;

/// Default maximum size of an update file: 1 GiB.
pub const DEFAULT_MAX_UPLOAD: u64 = 1 << 30;

/// The stores that a server works on. They may be one value.
///
/// ```
/// use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores};
/// let stores = Stores::in_memory(DEFAULT_MAX_UPLOAD);
/// assert!(stores.resources.capabilities().history);
/// ```
pub struct Stores {
    /// The FHIR resources.
    pub resources: Arc<dyn ResourceStore>,
    /// The update files.
    pub blobs: Arc<dyn BlobStore>,
    /// The state of uploads, and the audit chain.
    pub ledger: Arc<dyn Ledger>,
}

impl Stores {
    /// Creates one in-memory store for everything, with update files of at most `max_upload` bytes.
    #[must_use]
    pub fn in_memory(max_upload: u64) -> Self {
        let memory = Arc::new(Memory::new().with_max_blob(max_upload));
        Self { resources: memory.clone(), blobs: memory.clone(), ledger: memory }
    }
}

/// The HTTP service over its stores, with the state that all requests share.
///
/// ```
/// use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, UpdateServer};
/// use std::sync::Arc;
/// let server = UpdateServer::over(Stores::in_memory(DEFAULT_MAX_UPLOAD), "http://127.0.0.1:8080", DEFAULT_MAX_UPLOAD)?;
/// let router: axum::Router = Arc::new(server).router();
/// # let _ = router;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UpdateServer {
    resources: Arc<dyn ResourceStore>,
    blobs: Arc<dyn BlobStore>,
    ledger: Arc<dyn Ledger>,
    /// The base URL of the service, without a trailing slash.
    base: String,
    /// The path at which the service is mounted, without a trailing slash; empty at the root.
    mounted_at: String,
    updates: UpdateService,
    /// Number of versions kept of a resource; 0 for all.
    versions: u32,
    /// How long a file is kept that no update needs any more.
    keep_files: Duration,
    canonical: CanonicalBase,
    max_upload: u64,
    pages: PageKey,
    /// The authenticators, in the order in which they are asked; without one, everyone on this machine may make requests.
    authenticators: Vec<Arc<dyn Authenticator>>,
    /// The sign-in of people.
    #[cfg(feature = "oidc")]
    people: Option<oidc::SignIn>,
    token_file: Option<Arc<TokenFile>>,
    sign_ins: SignIns,
    metrics: Metrics,
    tenants: maintenance::Tenants,
    maintenance: maintenance::MaintenanceMetrics,
    readiness: Readiness,
    /// Whether a store of update files that belongs to another ledger is adopted.
    adopts_stores: bool,
    connections: Arc<Connections>,
    /// How often every file is checked against its digest; `None` for never.
    scrub_every: Option<Duration>,
    /// The channel for fatal conditions.
    fatal: Fatal,
    limits: rest::Limits,
    budget: Budget,
    /// Publishers of offers, by the region whose devices read them.
    regions: BTreeMap<RegionId, Arc<dyn Publisher>>,
    rollouts: OnceLock<RolloutService>,
    wake: rollouts::Wake,
    rollout_gauges: rollouts::Gauges,
    /// The interface for devices that poll, with the signing key of its links.
    devices: OnceCell<(DeviceInterface, LinkKey)>,
    device_polling: Duration,
    /// Public base URL of the files, if another one serves them.
    cdn: Option<Url>,
    /// Allowed origins of pages, beside the service's own.
    cors_origins: Vec<String>,
    handling: rest::Handling,
    referenced: rest::ReferencedDeletion,
    subscriptions: Option<subscriptions::Subscribed>,
}

/// The state of a handler.
type Shared = Arc<UpdateServer>;

impl UpdateServer {
    /// Creates a service at the URL `base` over these stores, with update files of at most `max_upload` bytes.
    ///
    /// # Errors
    /// When `base` is not a URL.
    pub fn over(stores: Stores, base: &str, max_upload: u64) -> Result<Self, Box<dyn Error>> {
        let Stores { resources, blobs, ledger } = stores;
        let base = base.trim_end_matches('/').to_owned();
        let mounted_at = Url::parse(&base)?.path().trim_end_matches('/').to_owned();
        let files = Url::parse(&format!("{base}/blobs"))?;
        let tenants = maintenance::Tenants::of(Arc::clone(&ledger))?;
        let url = move |tenant: &Tenant, blob: &BlobKey| file_url(&files, tenant, blob);
        let stores = (Arc::clone(&resources), Arc::clone(&blobs), Arc::clone(&ledger));
        let updates = UpdateService::new_with_urls(stores.0, stores.1, stores.2, url)
            .with_max_size(max_upload)
            .with_sleep(|time| Box::pin(tokio::time::sleep(time)))
            .with_audit_sink(files::log);
        let own = base.clone();
        let updates = updates.with_own_base(move |tenant| OwnBase::new(&fhir_base(&own, tenant)));
        let (pages, metrics) = (PageKey::random(), Metrics::default());
        let local: RegionId = "local".parse()?;
        let slots: Arc<dyn Publisher> = Arc::new(Slots::new(Arc::clone(&ledger), local.clone()));
        let regions = BTreeMap::from([(local, slots)]);
        let resources = deletions::noted(resources, Arc::clone(&ledger));
        Ok(Self {
            resources,
            blobs,
            ledger,
            base,
            mounted_at,
            updates,
            versions: Retention::default().versions,
            keep_files: Retention::default().files,
            canonical: CanonicalBase::default(),
            max_upload,
            pages,
            authenticators: Vec::new(),
            #[cfg(feature = "oidc")]
            people: None,
            token_file: None,
            sign_ins: SignIns::default(),
            metrics,
            tenants,
            maintenance: maintenance::MaintenanceMetrics::default(),
            readiness: Readiness::default(),
            adopts_stores: false,
            connections: Connections::new(ConnectionLimits::default()),
            scrub_every: Some(maintenance::SCRUB),
            fatal: Fatal::default(),
            limits: rest::Limits::default(),
            budget: Budget::default(),
            regions,
            rollouts: OnceLock::new(),
            wake: rollouts::Wake::default(),
            rollout_gauges: rollouts::Gauges::default(),
            devices: OnceCell::new(),
            device_polling: DEFAULT_POLLING,
            cdn: None,
            cors_origins: Vec::new(),
            handling: rest::Handling::default(),
            referenced: rest::ReferencedDeletion::default(),
            subscriptions: None,
        })
    }

    /// Puts the library's own canonical URLs under this base.
    #[allow(dead_code, reason = "the tests of the service take the default")]
    #[must_use]
    pub fn with_canonical_base(mut self, base: CanonicalBase) -> Self {
        self.updates = self.updates.with_canonical_base(base.clone());
        self.canonical = base;
        self
    }

    /// Sets how long finished data is kept.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.updates = self
            .updates
            .with_keep_superseded(retention.superseded)
            .with_withdrawn_retention(retention.withdrawn)
            .with_ended_retention(retention.ended)
            .with_aborted_retention(retention.aborted);
        (self.versions, self.keep_files) = (retention.versions, retention.files);
        self
    }

    /// Sets how long an upload may make no progress before it is aborted. Default: an hour. An upload with a broken
    /// connection waits that long for its bytes.
    #[must_use]
    pub fn with_upload_timeout(mut self, timeout: Duration) -> Self {
        self.updates = self.updates.with_lease(timeout);
        self
    }

    /// Sets the public address of the files, such as that of a cache in front of this service. The path is the same.
    #[must_use]
    pub fn with_cdn(mut self, url: &Url) -> Self {
        let mut files = url.clone();
        if let Ok(mut segments) = files.path_segments_mut() {
            segments.pop_if_empty().push("blobs");
        }
        self.cdn = Some(files.clone());
        self.updates = self.updates.with_urls(move |tenant, blob| file_url(&files, tenant, blob));
        self
    }

    /// Publishes to these regions. Default: one region `local`, whose devices poll this service. A device names its
    /// region by a tag of [`CanonicalName::Region`](crate::primitive::CanonicalName::Region); one without the tag is in
    /// the first region by name.
    #[must_use]
    pub fn with_regions(mut self, regions: impl IntoIterator<Item = (RegionId, Arc<dyn Publisher>)>) -> Self {
        self.regions = regions.into_iter().collect();
        self
    }

    /// Returns a region whose slots are in the ledger of this service, so that its devices poll here.
    #[must_use]
    pub fn slots(&self, region: RegionId) -> (RegionId, Arc<dyn Publisher>) {
        (region.clone(), Arc::new(Slots::new(Arc::clone(&self.ledger), region)))
    }

    /// Sets how often devices of hawkBit's interface poll. Default: five minutes. Each device is told up to a fifth
    /// more.
    #[must_use]
    pub fn with_device_polling(mut self, every: Duration) -> Self {
        self.device_polling = every;
        self
    }

    /// Sets the limits of connections.
    #[must_use]
    pub fn with_connection_limits(mut self, limits: ConnectionLimits) -> Self {
        self.connections = Connections::new(limits);
        self
    }

    /// Sets the rules for references that others removed from a component, and for references without an upload.
    #[must_use]
    pub fn with_references(mut self, missing: MissingReferences, unknown: UnknownReferences) -> Self {
        self.updates = self.updates.with_missing_references(missing).with_unknown_references(unknown);
        self
    }

    /// Signs page links with this secret, which other processes over the same stores share: see [`shared_page_key`].
    /// Without it, no other process accepts the links of this one.
    #[must_use]
    pub fn with_page_key(mut self, key: PageKey) -> Self {
        self.pages = key;
        self
    }

    /// Requires a token from everyone, checked by this authenticator or one that was given before.
    #[must_use]
    pub fn with_authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticators.push(authenticator);
        self
    }

    /// Lets people sign in at a provider of OpenID Connect, and accepts its access tokens from programs. `key` authenticates
    /// the session cookies: see [`shared_session_key`].
    ///
    /// The provider must permit the redirect URI `BASE/sign-in/callback`.
    #[cfg(feature = "oidc")]
    #[must_use]
    pub fn with_open_id(mut self, provider: Arc<OpenIdProvider>, key: SessionKey) -> Self {
        self.people = Some(oidc::SignIn { provider: Arc::clone(&provider), key });
        self.with_authenticator(provider)
    }

    /// Returns whether callers must say who they are.
    fn asks_who(&self) -> bool {
        !self.authenticators.is_empty()
    }

    /// Sets the limits of one request.
    #[must_use]
    pub fn with_limits(mut self, limits: rest::Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Allows pages of these origins, beside its own, to use the service (CORS): `https://app.example`.
    #[must_use]
    pub fn with_cors_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        self.cors_origins = origins.into_iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect();
        self
    }

    /// Sets the treatment of unknown search parameters where the client sends no `Prefer: handling=..`.
    #[must_use]
    pub fn with_handling(mut self, handling: rest::Handling) -> Self {
        self.handling = handling;
        self
    }

    /// Sets the treatment of the deletion of a resource that others refer to.
    #[must_use]
    pub fn with_referenced_deletion(mut self, referenced: rest::ReferencedDeletion) -> Self {
        self.referenced = referenced;
        self
    }

    /// Keeps Subscriptions and sends their notifications. Without this call they are not supported.
    #[must_use]
    pub fn with_subscriptions(mut self, options: SubscriptionOptions) -> Self {
        self.subscriptions = Some(subscriptions::Subscribed::new(options));
        self
    }

    /// Sets the memory in bytes for all FHIR requests together, including their answers until they are sent. Default:
    /// 128 MiB. A request waits up to ten seconds for memory, and is then answered with 503.
    #[must_use]
    pub fn with_request_memory(mut self, bytes: usize) -> Self {
        self.budget = Budget::of(bytes);
        self
    }

    /// Requires a token of this file from everyone. The caller must also spawn [`TokenFile::watch`].
    #[must_use]
    pub fn with_token_file(mut self, file: Arc<TokenFile>) -> Self {
        self.token_file = Some(Arc::clone(&file));
        self.with_authenticator(file)
    }

    /// Sets the channel through which parts report fatal conditions.
    #[must_use]
    pub fn with_fatal(mut self, fatal: Fatal) -> Self {
        self.fatal = fatal;
        self
    }

    /// Returns the channel through which parts of the process report fatal conditions.
    #[must_use]
    pub fn fatal(&self) -> &Fatal {
        &self.fatal
    }

    /// Sets how long a store may take to answer a readiness check. Default: 2 seconds.
    #[must_use]
    pub fn with_readiness_timeout(mut self, timeout: Duration) -> Self {
        self.readiness = Readiness::with_timeout(timeout);
        self
    }

    /// Sets whether a store of update files that belongs to another ledger is adopted when found, as after a restore.
    #[must_use]
    pub fn with_store_adoption(mut self, adopts: bool) -> Self {
        self.adopts_stores = adopts;
        self
    }

    /// Sets how often every file is read and checked against its digest, at no more than 16 MiB a second; `None` for
    /// never. Default: once a week.
    #[must_use]
    pub fn with_scrub_every(mut self, every: Option<Duration>) -> Self {
        self.scrub_every = every.filter(|every| !every.is_zero());
        self
    }

    /// Sets how long files unknown to the ledger are kept, and how many a round may delete.
    #[must_use]
    pub fn with_sweep_rules(mut self, rules: SweepRules) -> Self {
        self.updates = self.updates.with_sweep_rules(rules);
        self
    }

    /// Checks that the update files belong to the ledger, for every known tenant. Call it before the first request is
    /// answered.
    ///
    /// # Errors
    /// [`MaintenanceError::Mismatch`] where they do not, unless [adoption](Self::with_store_adoption) is set; errors of
    /// the stores.
    pub async fn check_stores(&self) -> Result<(), MaintenanceError> {
        files::check_all(self).await
    }

    /// Returns the resources of a tenant.
    pub(super) fn tenanted(&self, tenant: &Tenant) -> TenantResources {
        TenantResources::new(Arc::clone(&self.resources), tenant.clone())
            .at(OwnBase::new(&fhir_base(&self.base, tenant)))
    }

    /// Returns the path of a tenant, below the path at which the service is mounted.
    pub(super) fn path(&self, tenant: &Tenant) -> String {
        format!("{}/{tenant}", self.mounted_at)
    }

    /// Returns the FHIR service of a tenant.
    fn fhir(&self, tenant: &Tenant) -> rest::Server {
        let base = fhir_base(&self.base, tenant);
        let server = rest::Server::new(self.tenanted(tenant), base)
            .with_page_key(self.pages.clone())
            .with_canonical_base(self.canonical.clone())
            .with_known_updates(Arc::new(self.updates.clone()))
            .with_limits(self.limits)
            .with_handling(self.handling)
            .with_referenced_deletion(self.referenced)
            .with_cors(!self.cors_origins.is_empty());
        match &self.subscriptions {
            Some(own) => server.with_subscriptions(own.of(Arc::clone(&self.ledger), tenant.clone())),
            None => server,
        }
    }
}

/// Returns the URL of a tenant's FHIR service.
fn fhir_base(base: &str, tenant: &Tenant) -> String {
    format!("{base}/{tenant}/fhir")
}

/// Returns the URL at which this service offers a file.
fn file_url(files: &Url, tenant: &Tenant, key: &BlobKey) -> Url {
    let mut url = files.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        let (digest, generation) = (key.digest.to_string(), key.generation.to_string());
        segments.extend([tenant.as_str(), "sha256", &digest, &generation]);
    }
    url
}

impl UpdateServer {
    /// Returns all routes of the service, as a router to mount. The application must also call [`spawn_maintenance`].
    /// Where it serves with `into_make_service_with_connect_info::<SocketAddr>()`, failed sign-ins are counted per
    /// client address.
    pub fn router(self: Arc<Self>) -> Router {
        let app = self;
        let fhir = |largest: usize| -> MethodRouter<Shared> {
            let handler: MethodRouter<Shared> = any(fhir::handle).layer(DefaultBodyLimit::max(largest));
            let handler: MethodRouter<Shared> = handler.layer(encoding::decompressed());
            let handler: MethodRouter<Shared> = handler.layer(from_fn(encoding::known));
            handler.layer(encoding::compressed())
        };
        let open = health::routes();
        #[cfg(feature = "oidc")]
        let open = open.merge(oidc::routes());
        Router::new()
            .route("/metrics", get(metrics::show))
            .route("/blobs/{tenant}/sha256/{digest}/{generation}", get(blobs::download))
            .route(
                "/{tenant}/updates",
                get(updates::state::list).post(updates::receive).layer(DefaultBodyLimit::disable()),
            )
            .route("/{tenant}/updates/{id}", get(updates::state::show).delete(updates::state::withdraw))
            .route("/{tenant}/updates/{id}/make-current", post(updates::state::make_current))
            .route("/{tenant}/updates/{id}/audit", get(updates::records::of_upload))
            .route("/{tenant}/audit", get(updates::records::chain))
            .route(
                "/{tenant}/sequences/{component}",
                get(updates::sequences::show).put(updates::sequences::lower).layer(DefaultBodyLimit::max(MAX_SMALL)),
            )
            .route("/{tenant}/quarantine", get(files::quarantine))
            .route("/{tenant}/fhir", fhir(MAX_BUNDLE))
            .route("/{tenant}/fhir/", fhir(MAX_BUNDLE))
            .route("/{tenant}/fhir/{*rest}", fhir(MAX_DOCUMENT))
            .merge(rollouts::routes())
            .merge(page::routes())
            .fallback(no_such_address)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(app.clone(), guard::enter))
            .layer(from_fn_with_state(app.clone(), page::in_words))
            .layer(from_fn(encoding::not_too_long))
            .layer(from_fn_with_state(app.clone(), cors::share))
            .merge(open)
            .layer(from_fn(encoding::tell_methods))
            .layer(from_fn_with_state(app.clone(), guard::name_rules))
            .layer(map_response(guard::protect))
            .layer(from_fn_with_state(app.clone(), metrics::observe))
            .with_state(app)
    }
}

async fn no_such_address(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let words = format!("`{}` does not take {method}", uri.path());
    Problem::unsupported(StatusCode::METHOD_NOT_ALLOWED, "method", words)
}
