//! The stores of resources and update files that the command line selects.

#[cfg(feature = "postgres")]
#[path = "wire.rs"]
mod wire;

use crate::settings::{ForeignServer, Settings};
use fhir_devices::primitive::CanonicalBase;
use fhir_devices::server::{Fatal, Stores, shared_page_key};
use fhir_devices::store::{BlobStore, Ledger, PageKey, ResourceStore};
use std::path::Path;
use std::sync::Arc;

/// A store of resources and the ledger.
struct Kept {
    resources: Arc<dyn ResourceStore>,
    ledger: Arc<dyn Ledger>,
}

impl Kept {
    #[cfg(any(feature = "cosmos", feature = "redb", feature = "postgres"))]
    fn of<S: ResourceStore + Ledger>(store: S) -> Self {
        let store = Arc::new(store);
        Self { resources: store.clone(), ledger: store }
    }
}

/// Seals the secrets in a ledger with the keys of a file.
#[cfg(feature = "encryption")]
fn sealed(ledger: Arc<dyn Ledger>, file: &Path) -> Result<Arc<dyn Ledger>, String> {
    use fhir_devices::backend::sealed::{KeyRing, SealedLedger};
    let wrong = |error: &dyn std::fmt::Display| format!("`--seal-keys {}`: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let keys = KeyRing::from_lines(&text).map_err(|error| wrong(&error))?;
    Ok(Arc::new(SealedLedger::new(ledger, Arc::new(keys))))
}

#[cfg(not(feature = "encryption"))]
fn sealed(_: Arc<dyn Ledger>, file: &Path) -> Result<Arc<dyn Ledger>, String> {
    Err(format!("`--seal-keys {}` needs a build with the feature `encryption`", file.display()))
}

/// Opens the stores. A store that fails for good while the service runs reports to `fatal`.
///
/// # Errors
/// The requested store is not in this build, or cannot be opened.
pub(crate) async fn open(settings: &Settings, fatal: &Fatal) -> Result<Stores, String> {
    let mut stores = Stores::in_memory(settings.max_upload);
    if settings.postgres.is_some() && settings.blobs.is_none() && settings.data.is_none() {
        return Err("`--postgres` keeps no update files: say where they go, by `--blobs` or `--data`".to_owned());
    }
    if settings.cosmos.is_some() && settings.blobs.is_none() && settings.data.is_none() {
        return Err("`--cosmos` keeps no update files: say where they go, by `--blobs` or `--data`".to_owned());
    }
    let kept = match (&settings.postgres, &settings.cosmos, &settings.data) {
        (Some(url), ..) => Some(in_postgres(url, settings.postgres_ca.as_deref()).await?),
        (None, Some(file), _) => Some(in_cosmos(file).await?),
        (None, None, Some(folder)) => Some(in_redb(folder, fatal)?),
        (None, None, None) => None,
    };
    if let Some(Kept { resources, ledger }) = kept {
        (stores.resources, stores.ledger) = (resources, ledger);
    }
    if let Some(file) = &settings.seal_keys {
        stores.ledger = sealed(stores.ledger, file)?;
    }
    if settings.fhir.is_some() || settings.blobs.is_some() {
        let pages = shared_page_key(&stores.ledger).await.map_err(|error| format!("the ledger: {error}"))?;
        if let Some(server) = &settings.fhir {
            stores.resources = in_fhir_server(server, &settings.canonical, pages.clone()).await?;
        }
        if let Some(url) = &settings.blobs {
            stores.blobs = in_objects(url, settings.max_upload, pages)?;
        }
    }
    if let (None, Some(folder)) = (&settings.blobs, &settings.data) {
        stores.blobs = in_files(folder, settings.max_upload)?;
    }
    Ok(stores)
}

#[cfg(any(
    feature = "cosmos",
    feature = "redb",
    feature = "postgres",
    feature = "object-store",
    feature = "fhir-http"
))]
fn failed(name: &str, what: impl std::fmt::Display, error: &dyn std::error::Error) -> String {
    let causes: String =
        std::iter::successors(error.source(), |cause| cause.source()).map(|it| format!(": {it}")).collect();
    format!("`{name} {what}`: {error}{causes}")
}

#[cfg(not(all(
    feature = "cosmos",
    feature = "redb",
    feature = "postgres",
    feature = "object-store",
    feature = "fhir-http"
)))]
fn lacking<T>(name: &str, feature: &str) -> Result<T, String> {
    Err(format!("`{name}` needs a build with the feature `{feature}`, and this one is without it"))
}

#[cfg(feature = "redb")]
fn in_redb(folder: &Path, fatal: &Fatal) -> Result<Kept, String> {
    let failed = |error: &dyn std::error::Error| failed("--data", folder.display(), error);
    let mut builder = std::fs::DirBuilder::new();
    // The folder is accessible to the user of the service alone.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).map_err(|error| failed(&error))?;
    let fatal = fatal.clone();
    let options = fhir_devices::backend::redb::Options::new().with_on_loss(move |error| fatal.report(error));
    let store = options.open(folder.join("resources.redb")).map_err(|error| failed(&error))?;
    Ok(Kept::of(store))
}

#[cfg(feature = "redb")]
fn in_files(folder: &Path, max: u64) -> Result<Arc<dyn BlobStore>, String> {
    let files = fhir_devices::backend::Files::open(folder.join("files"));
    let files = files.map_err(|error| failed("--data", folder.display(), &error))?;
    Ok(Arc::new(files.with_max_blob(max)))
}

#[cfg(not(feature = "redb"))]
fn in_redb(_: &Path, _: &Fatal) -> Result<Kept, String> {
    lacking("--data", "redb")
}

#[cfg(not(feature = "redb"))]
fn in_files(_: &Path, _: u64) -> Result<Arc<dyn BlobStore>, String> {
    lacking("--data", "redb")
}

#[cfg(feature = "postgres")]
async fn in_postgres(url: &str, roots: Option<&Path>) -> Result<Kept, String> {
    use fhir_devices::backend::postgres::{NoTls, Options};
    // The URL may contain a password, and is not repeated.
    let failed = |error: &dyn std::error::Error| failed("--postgres", "…", error);
    let store = match wire::of(url, roots)? {
        wire::Wire::Clear(url) => Options::new().connect(&url, NoTls).await,
        wire::Wire::Tls(url, tls) => Options::new().connect(&url, tls).await,
    };
    Ok(Kept::of(store.map_err(|error| failed(&error))?))
}

#[cfg(not(feature = "postgres"))]
async fn in_postgres(_: &str, _: Option<&Path>) -> Result<Kept, String> {
    lacking("--postgres", "postgres")
}

/// Opens an account of Azure Cosmos DB, from a file of `name = value` lines: `endpoint`, `key`, `region`, `database`,
/// `container`.
#[cfg(feature = "cosmos")]
async fn in_cosmos(file: &Path) -> Result<Kept, String> {
    use fhir_devices::backend::Cosmos;
    use fhir_devices::backend::cosmos::sdk::{AccountReference, CosmosClientBuilder, RoutingStrategy};
    let failed = |error: &dyn std::error::Error| failed("--cosmos", file.display(), error);
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect();
    let one = |name: &str| {
        let found = pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let words = || format!("`--cosmos {}`: a line `{name} = ..` is missing", file.display());
        found.filter(|value| !value.is_empty()).ok_or_else(words)
    };
    let [endpoint, key, region, database, container] =
        [one("endpoint")?, one("key")?, one("region")?, one("database")?, one("container")?];
    // The SDK uses the process's crypto provider. Another part may have installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // None of these messages contains the key.
    let endpoint =
        endpoint.parse().map_err(|_| format!("`--cosmos {}`: `{endpoint}` is no address", file.display()))?;
    let account = AccountReference::with_authentication_key(endpoint, key.to_owned());
    let near = RoutingStrategy::ProximityTo(region.to_owned().into());
    let client = CosmosClientBuilder::new().build(account, near).await.map_err(|error| failed(&error))?;
    Cosmos::create(&client, database, container).await.map_err(|error| failed(&error))?;
    let cosmos = || Cosmos::open(&client, database, container);
    // The secret of its page links is in its own ledger.
    let ledger: Arc<dyn Ledger> = Arc::new(cosmos().await.map_err(|error| failed(&error))?);
    let pages = shared_page_key(&ledger).await.map_err(|error| failed(&error))?;
    Ok(Kept::of(cosmos().await.map_err(|error| failed(&error))?.with_page_key(pages)))
}

#[cfg(not(feature = "cosmos"))]
async fn in_cosmos(_: &Path) -> Result<Kept, String> {
    lacking("--cosmos", "cosmos")
}

/// Connects to another FHIR server for the resources, and probes it.
#[cfg(feature = "fhir-http")]
async fn in_fhir_server(
    server: &ForeignServer,
    canonical: &CanonicalBase,
    pages: PageKey,
) -> Result<Arc<dyn ResourceStore>, String> {
    use fhir_devices::backend::fhir_http::Options;
    use fhir_devices::store::StoreError;
    let read = |name: &str, path: &Path| std::fs::read(path).map_err(|error| failed(name, path.display(), &error));
    let mut options = Options::new().fhir_version(server.version).with_canonical_base(canonical.clone());
    options = options.with_page_key(pages);
    // An unreadable resource hides no others, and is logged.
    options = options.leave_out_unreadable(|tenant, resource, why| {
        tracing::warn!(%tenant, resource, why, "a resource of the FHIR server cannot be read, and is left out");
    });
    if let Some(path) = &server.roots {
        options = options
            .with_roots(&read("--fhir-ca", path)?)
            .map_err(|error| failed("--fhir-ca", path.display(), &error))?;
    }
    if let Some(path) = &server.certificate {
        let pem = read("--fhir-cert", path)?;
        options = options.with_identity(&pem).map_err(|error| failed("--fhir-cert", path.display(), &error))?;
    }
    if let Some(path) = server.token.clone() {
        read("--fhir-token", &path)?;
        options = options.with_bearer(move |_| {
            let token = std::fs::read_to_string(&path).map(|token| token.trim().to_owned());
            Box::pin(async move { token.map_err(|error| StoreError::unavailable(None, Some(error.into()))) })
        });
    }
    // Between machines only over TLS: the store refuses the rest.
    let store = options.connect(&server.url, &server.probe).await;
    Ok(Arc::new(store.map_err(|error| failed("--fhir", &server.url, &error))?))
}

#[cfg(not(feature = "fhir-http"))]
async fn in_fhir_server(_: &ForeignServer, _: &CanonicalBase, _: PageKey) -> Result<Arc<dyn ResourceStore>, String> {
    lacking("--fhir", "fhir-http")
}

#[cfg(feature = "object-store")]
fn in_objects(url: &str, max: u64, pages: PageKey) -> Result<Arc<dyn BlobStore>, String> {
    let address = url.parse().map_err(|error| failed("--blobs", url, &error))?;
    let objects = fhir_devices::backend::Objects::open(&address, []);
    let objects = objects.map_err(|error| failed("--blobs", url, &error))?;
    Ok(Arc::new(objects.with_max_size(max).with_page_key(pages)))
}

#[cfg(not(feature = "object-store"))]
fn in_objects(_: &str, _: u64, _: PageKey) -> Result<Arc<dyn BlobStore>, String> {
    lacking("--blobs", "object-store")
}
