//! The service: its state, and which address leads where.

mod answer;
mod blobs;
pub(crate) mod demo;
mod fhir;
mod guard;
mod metadata;
mod page;
mod place;
mod search;
mod updates;

use answer::Problem;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use fhir_devices::backend::Memory;
use fhir_devices::service::UpdateService;
use fhir_devices::store::{BlobKey, BlobStore, Ledger, ResourceStore, Tenant, TenantBlobs, Tenanted};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Mutex;
use url::Url;

/// The largest resource that is taken, in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

/// The largest update file that is taken unless the operator says otherwise: 1 GiB.
pub(crate) const MAX_UPLOAD: u64 = 1 << 30;

/// What all requests share.
pub(crate) struct App {
    resources: Arc<dyn ResourceStore>,
    blobs: Arc<dyn BlobStore>,
    /// Where the service is, without a slash at the end.
    base: String,
    updates: UpdateService,
    max_upload: u64,
    /// Held while something is created under a condition.
    creating: Mutex<()>,
}

/// What a handler is given.
pub(crate) type Shared = Arc<App>;

impl App {
    /// Everything in memory, for a service at `address`.
    ///
    /// # Errors
    /// When the address makes no URL.
    pub(crate) fn in_memory(address: SocketAddr, max_upload: u64) -> Result<Self, url::ParseError> {
        let memory = Arc::new(Memory::new().with_max_blob(max_upload));
        Self::over(memory.clone(), memory.clone(), memory, address, max_upload)
    }

    /// A service at `address` over these stores.
    ///
    /// # Errors
    /// When the address makes no URL.
    pub(crate) fn over(
        resources: Arc<dyn ResourceStore>,
        blobs: Arc<dyn BlobStore>,
        ledger: Arc<dyn Ledger>,
        address: SocketAddr,
        max_upload: u64,
    ) -> Result<Self, url::ParseError> {
        let base = format!("http://{address}");
        let files = Url::parse(&format!("{base}/blobs"))?;
        let updates = UpdateService::new(Arc::clone(&resources), Arc::clone(&blobs), ledger)
            .with_max_size(max_upload)
            .with_urls(move |tenant, blob| file_url(&files, tenant, blob));
        Ok(Self { resources, blobs, updates, base, max_upload, creating: Mutex::new(()) })
    }

    /// The resources of a tenant.
    pub(crate) fn tenanted(&self, tenant: &Tenant) -> Tenanted {
        Tenanted::new(Arc::clone(&self.resources), tenant.clone())
    }

    fn blobs_of(&self, tenant: &Tenant) -> TenantBlobs {
        TenantBlobs::new(Arc::clone(&self.blobs), tenant.clone())
    }

    /// The address of the FHIR service of a tenant.
    fn fhir_base(&self, tenant: &Tenant) -> String {
        format!("{}/{tenant}/fhir", self.base)
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
    Router::new()
        .route("/", get(page::show))
        .route("/blobs/{tenant}/sha256/{digest}/{generation}", get(blobs::download))
        .route("/{tenant}/updates", post(updates::receive).layer(DefaultBodyLimit::disable()))
        .route("/{tenant}/fhir", post(fhir::not_yet))
        .route("/{tenant}/fhir/", post(fhir::not_yet))
        .route("/{tenant}/fhir/metadata", get(fhir::metadata))
        .route("/{tenant}/fhir/_history", get(fhir::not_yet))
        .route(
            "/{tenant}/fhir/{type}",
            get(fhir::search).post(fhir::create).put(fhir::no_conditional_write).delete(fhir::no_conditional_write),
        )
        .route("/{tenant}/fhir/{type}/_search", post(fhir::search_by_post))
        .route("/{tenant}/fhir/{type}/_history", get(fhir::not_yet))
        .route("/{tenant}/fhir/{type}/{id}", get(fhir::read).put(fhir::update).delete(fhir::delete))
        .route("/{tenant}/fhir/{type}/{id}/_history", get(fhir::not_yet))
        .route("/{tenant}/fhir/{type}/{id}/_history/{vid}", get(fhir::vread))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(DefaultBodyLimit::max(MAX_DOCUMENT))
        .layer(axum::middleware::from_fn(guard::local_only))
        .with_state(app)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", uri.path()))
}

async fn not_this_way(method: Method, uri: Uri) -> Problem {
    let words = format!("`{}` does not take {method}", uri.path());
    Problem::unsupported(StatusCode::METHOD_NOT_ALLOWED, "method", words)
}
