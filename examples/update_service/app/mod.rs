//! The service: its state, and which address leads where.

mod answer;
mod blobs;
pub(crate) mod demo;
mod fhir;
pub(crate) mod guard;
pub(crate) mod health;
pub(crate) mod keeper;
mod metrics;
mod page;
mod place;
pub(crate) mod serve;
mod updates;

use answer::Problem;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use fhir_devices::backend::Memory;
use fhir_devices::primitive::CanonicalBase;
use fhir_devices::rest;
use fhir_devices::service::UpdateService;
use fhir_devices::store::{BlobKey, BlobStore, Ledger, PageKey, ResourceStore, Tenant, TenantBlobs, TenantResources};
use guard::Authenticator;
use health::{Fatal, Readiness};
use metrics::Metrics;
use std::error::Error;
use std::sync::Arc;
use url::Url;

/// The largest resource that is taken, in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

/// The largest batch or transaction that is taken, in bytes.
const MAX_BUNDLE: usize = 32 << 20;

/// The largest update file that is taken unless the operator says otherwise: 1 GiB.
pub(crate) const MAX_UPLOAD: u64 = 1 << 30;

/// Where everything is kept.
pub(crate) struct Stores {
    pub(crate) resources: Arc<dyn ResourceStore>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl Stores {
    /// Everything in memory.
    pub(crate) fn in_memory(max_upload: u64) -> Self {
        let memory = Arc::new(Memory::new().with_max_blob(max_upload));
        Self { resources: memory.clone(), blobs: memory.clone(), ledger: memory }
    }
}

/// What all requests share.
pub(crate) struct App {
    resources: Arc<dyn ResourceStore>,
    blobs: Arc<dyn BlobStore>,
    ledger: Arc<dyn Ledger>,
    /// Where the service is, without a slash at the end.
    base: String,
    updates: UpdateService,
    canonical: CanonicalBase,
    max_upload: u64,
    pages: PageKey,
    /// Who may ask; where nobody signs in, everyone on this machine.
    authenticator: Option<Arc<dyn Authenticator>>,
    metrics: Metrics,
    tenants: keeper::Tenants,
    kept: keeper::Kept,
    readiness: Readiness,
    /// Told of what the process cannot go on after.
    pub(crate) fatal: Fatal,
}

/// What a handler is given.
pub(crate) type Shared = Arc<App>;

impl App {
    /// A service at `base` over these stores.
    ///
    /// # Errors
    /// When the address is no URL.
    pub(crate) fn over(stores: Stores, base: &str, max_upload: u64) -> Result<Self, Box<dyn Error>> {
        let Stores { resources, blobs, ledger } = stores;
        let base = base.trim_end_matches('/').to_owned();
        let files = Url::parse(&format!("{base}/blobs"))?;
        let tenants = keeper::Tenants::of(Arc::clone(&ledger))?;
        let url = move |tenant: &Tenant, blob: &BlobKey| file_url(&files, tenant, blob);
        let stores = (Arc::clone(&resources), Arc::clone(&blobs), Arc::clone(&ledger));
        let updates = UpdateService::new_with_urls(stores.0, stores.1, stores.2, url).with_max_size(max_upload);
        let (pages, metrics) = (PageKey::random(), Metrics::default());
        Ok(Self {
            resources,
            blobs,
            ledger,
            base,
            updates,
            canonical: CanonicalBase::default(),
            max_upload,
            pages,
            authenticator: None,
            metrics,
            tenants,
            kept: keeper::Kept::default(),
            readiness: Readiness::default(),
            fatal: Fatal::default(),
        })
    }

    /// Writes the library's own canonical URLs under this base.
    #[allow(dead_code, reason = "the tests of the service take the default")]
    pub(crate) fn with_canonical_base(mut self, base: CanonicalBase) -> Self {
        self.updates = self.updates.with_canonical_base(base.clone());
        self.canonical = base;
        self
    }

    /// Asks everyone for a token.
    pub(crate) fn with_authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// With parts that report fatal conditions through `fatal` already.
    pub(crate) fn with_fatal(mut self, fatal: Fatal) -> Self {
        self.fatal = fatal;
        self
    }

    /// With other limits of the readiness checks.
    #[cfg(test)]
    pub(crate) fn with_readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// The resources of a tenant.
    pub(crate) fn tenanted(&self, tenant: &Tenant) -> TenantResources {
        TenantResources::new(Arc::clone(&self.resources), tenant.clone())
    }

    fn blobs_of(&self, tenant: &Tenant) -> TenantBlobs {
        TenantBlobs::new(Arc::clone(&self.blobs), tenant.clone())
    }

    /// The FHIR service of a tenant.
    fn fhir(&self, tenant: &Tenant) -> rest::Server {
        let base = format!("{}/{tenant}/fhir", self.base);
        rest::Server::new(self.tenanted(tenant), base)
            .with_page_key(self.pages.clone())
            .with_canonical_base(self.canonical.clone())
    }
}

/// Where this service gives a file out.
fn file_url(files: &Url, tenant: &Tenant, key: &BlobKey) -> Url {
    let mut url = files.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        let (digest, generation) = (key.digest.to_string(), key.generation.to_string());
        segments.extend([tenant.as_str(), "sha256", &digest, &generation]);
    }
    url
}

/// Every address of the service.
pub(crate) fn router(app: Shared) -> Router {
    let bundles = || any(fhir::handle).layer(DefaultBodyLimit::max(MAX_BUNDLE));
    Router::new()
        .route("/", get(page::show))
        .route("/metrics", get(metrics::show))
        .route("/blobs/{tenant}/sha256/{digest}/{generation}", get(blobs::download))
        .route("/{tenant}/updates", post(updates::receive).layer(DefaultBodyLimit::disable()))
        .route("/{tenant}/updates/{id}", get(updates::state::show).delete(updates::state::withdraw))
        .route("/{tenant}/updates/{id}/audit", get(updates::records::of_upload))
        .route("/{tenant}/audit", get(updates::records::chain))
        .route("/{tenant}/fhir", bundles())
        .route("/{tenant}/fhir/", bundles())
        .route("/{tenant}/fhir/{*rest}", any(fhir::handle).layer(DefaultBodyLimit::max(MAX_DOCUMENT)))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(from_fn_with_state(app.clone(), guard::enter))
        // Whoever asks whether the service lives needs no token.
        .route("/healthz", get(health::alive).fallback(not_this_way))
        .route("/readyz", get(health::ready).fallback(not_this_way))
        .layer(from_fn_with_state(app.clone(), metrics::observe))
        .with_state(app)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", uri.path()))
}

async fn not_this_way(method: Method, uri: Uri) -> Problem {
    let words = format!("`{}` does not take {method}", uri.path());
    Problem::unsupported(StatusCode::METHOD_NOT_ALLOWED, "method", words)
}
