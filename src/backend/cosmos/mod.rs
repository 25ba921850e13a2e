//! Resources and ledger records on Azure Cosmos DB for NoSQL.

mod commit;
mod fault;
mod item;
mod ledger;
mod search;
mod wire;

use crate::search::ResourceType;
use crate::store::{
    AtomicScope, BoxFuture, Capabilities, Clock, CommitError, Key, Page, PageKey, PageToken, ResourceStore, Result,
    Search, StoreError, SystemClock, Tenant, Version, VersionId, Write,
};
use azure_data_cosmos::clients::{ContainerClient, CosmosClient};
use azure_data_cosmos::models::{ContainerProperties, IndexingPolicy, PropertyPath, TimeToLive};
use item::{Item, Locator};
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// The SDK below, so that a caller names the version that this one was built with.
pub use azure_data_cosmos as sdk;

/// The most writes of a commit: each takes two operations of a batch, which holds 100.
const MAX_WRITES: usize = 50;

/// The largest batch, in bytes. The service takes 2 MiB with what it adds.
const MAX_BATCH: usize = 2_000_000;

/// The largest body: old and new version of it, each a third longer where it is no text, fit into one batch.
const MAX_BODY: u64 = 512 << 10;

/// How many places of resources are remembered.
const REMEMBERED: usize = 100_000;

/// Keeps resources and ledger records in one container of Azure Cosmos DB for NoSQL.
///
/// A device is a partition: the Device itself, its components and its metrics, with all their versions, so that a commit
/// about them is one transactional batch. The partition of a component or a metric is that of the device that its `source`
/// named when it was first created, or one of its own where it named none. It is written down in an item of
/// its own, once, and stays for good: a resource is read and written by its id alone, and no move from one partition to
/// another can tear it or make two of it. A component whose `source` changes later is found, read and written like any other,
/// but no longer in one commit with its new device: that commit is `Unsupported`. So is one about several devices.
///
/// What the engine asks for and what it limits:
///
/// - **The account has strong consistency and one region that is written to.** Each read asks for the newest version over all
///   regions, and [`open`](Self::open) refuses an account that cannot give it: with less, a read would not see what
///   another client was told.
/// - A body has at most 512 KiB, a commit at most 50 writes and 2 MB in all with the versions that it replaces; a larger one is
///   `TooLarge`, and a partition that has grown to 20 GB takes no more about its device.
/// - A search asks all partitions of the container. [`Criterion::Begins`](crate::search::Criterion::Begins) looks through
///   the index of the type.
/// - A commit that finds the same resources changed again and again is `Throttled`.
/// - Every version is kept: `prune_history` is `Unsupported`, as [`Capabilities::history_pruning`] says.
///
/// It needs a tokio runtime, with its timers.
///
/// ```no_run
/// use fhir_devices::backend::Cosmos;
/// use fhir_devices::backend::cosmos::sdk::{AccountReference, CosmosClientBuilder, RoutingStrategy};
/// use fhir_devices::store::TenantResources;
/// use std::sync::Arc;
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// // The SDK takes its cryptography from the process: which one is for the program to choose.
/// let _ = rustls::crypto::ring::default_provider().install_default();
/// let key = std::env::var("COSMOS_KEY")?;
/// let account = AccountReference::with_authentication_key("https://st-mary.documents.azure.com".parse()?, key);
/// let near = RoutingStrategy::ProximityTo("West Europe".into());
/// let client = CosmosClientBuilder::new().build(account, near).await?;
/// let store = Cosmos::open(&client, "fhir", "devices").await?;
/// let store = TenantResources::new(Arc::new(store), "st-mary".parse()?);
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
pub struct Cosmos {
    container: ContainerClient,
    max_body: u64,
    clock: Arc<dyn Clock>,
    pages: PageKey,
    homes: Mutex<HashMap<(Tenant, Key), Arc<str>>>,
}

impl Cosmos {
    /// Returns the container of a database, which [`create`](Self::create) made.
    ///
    /// # Errors
    /// `Unsupported` when the account does not have strong consistency, `Invalid` when there is no such container or it is
    /// parted otherwise; errors of the engine.
    pub async fn open(client: &CosmosClient, database: &str, container: &str) -> Result<Self> {
        let found = client.database_client(database.to_owned()).container_client(container.to_owned(), None).await;
        let container = found.map_err(|error| match error.status().is_not_found() {
            true => StoreError::invalid(format!("there is no container `{container}` in `{database}`")),
            false => fault::of_read(error),
        })?;
        let cosmos = Self {
            container,
            max_body: MAX_BODY,
            clock: Arc::new(SystemClock),
            pages: PageKey::random(),
            homes: Mutex::default(),
        };
        cosmos.probe().await?;
        Ok(cosmos)
    }

    /// Returns a read that only an account with strong consistency answers, of a container that is parted by `/pk`.
    async fn probe(&self) -> Result<()> {
        let properties = self.container.read(None).await.map_err(fault::of_read)?;
        let properties: ContainerProperties = properties.into_model().map_err(fault::of_read)?;
        if properties.partition_key != "/pk".into() {
            return Err(StoreError::invalid("the container is not parted by `/pk`"));
        }
        let options = wire::strong_read();
        match self.container.read_item("probe", "probe", Some(options)).await {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_not_found() => Ok(()),
            Err(error) if error.status().is_bad_request() => {
                Err(StoreError::unsupported("an account without strong consistency"))
            }
            Err(error) => Err(fault::of_read(error)),
        }
    }

    /// Creates the container and the database unless they exist.
    ///
    /// # Errors
    /// The engine's troubles.
    pub async fn create(client: &CosmosClient, database: &str, container: &str) -> Result<()> {
        // Another may have made either at the same time.
        match client.create_database(database, None).await {
            Err(error) if !error.status().is_conflict() => return Err(fault::of_read(error)),
            _ => {}
        }
        let path = |path: &str| PropertyPath::default().with_path(path.to_owned());
        let indexing = IndexingPolicy::default()
            .with_included_path(path("/*"))
            .with_excluded_path(path("/body/*"))
            .with_excluded_path(path("/x/e/*"))
            .with_excluded_path(path("/nonce/?"))
            .with_excluded_path(path("/_etag/?"));
        let properties = ContainerProperties::new(container.to_owned(), "/pk".into())
            .with_indexing_policy(indexing)
            .with_default_ttl(TimeToLive::NoDefault);
        match client.database_client(database.to_owned()).create_container(properties, None).await {
            Err(error) if !error.status().is_conflict() => Err(fault::of_read(error)),
            _ => Ok(()),
        }
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the maximum size of a body, if that is less than the engine accepts.
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes.min(MAX_BODY);
        self
    }

    /// Sets the key that signs page tokens, so that other processes and later ones accept them.
    #[must_use]
    pub fn with_page_key(mut self, key: PageKey) -> Self {
        self.pages = key;
        self
    }

    /// Returns the partition that a resource is in; none where it never was.
    async fn home(&self, tenant: &Tenant, key: &Key) -> Result<Option<String>> {
        if key.resource_type() == ResourceType::Device {
            return Ok(Some(item::partition_of_device(tenant, key)));
        }
        let name = (tenant.clone(), key.clone());
        // A panic cannot leave it in disorder.
        let known = self.homes.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known {
            return Ok(Some(known.to_string()));
        }
        let locator: Option<Locator> =
            wire::read(&self.container, &item::locator_partition(tenant, key), Locator::ID).await?;
        let Some(locator) = locator else { return Ok(None) };
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if homes.len() >= REMEMBERED {
            homes.clear();
        }
        homes.insert(name, locator.home.as_str().into());
        Ok(Some(locator.home))
    }

    /// Returns the newest version of a resource, and its partition.
    async fn newest(&self, tenant: &Tenant, key: &Key) -> Result<(String, Item)> {
        let home = self.home(tenant, key).await?.ok_or(StoreError::not_found())?;
        let newest = wire::read(&self.container, &home, &item::name(key)).await?.ok_or(StoreError::not_found())?;
        Ok((home, newest))
    }

    async fn read_now(&self, tenant: &Tenant, key: &Key) -> Result<Version> {
        let (_, newest) = self.newest(tenant, key).await?;
        match newest.body {
            Some(_) => newest.to_version(),
            None => Err(StoreError::gone(newest.version_id()?)),
        }
    }

    async fn vread_now(&self, tenant: &Tenant, key: &Key, version: VersionId) -> Result<Version> {
        let (home, newest) = self.newest(tenant, key).await?;
        if newest.version == version.get() {
            return newest.to_version();
        }
        let id = item::old_name(&newest.id, version.get());
        let older: Option<Item> = wire::read(&self.container, &home, &id).await?;
        older.ok_or(StoreError::not_found())?.to_version()
    }
}

impl fmt::Debug for Cosmos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cosmos").field("max_body", &self.max_body).finish_non_exhaustive()
    }
}

impl ResourceStore for Cosmos {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(AtomicScope::Device, MAX_WRITES, self.max_body);
        capabilities.durable_ack = true;
        capabilities.search_by_time = true;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.read_now(tenant, key))
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.vread_now(tenant, key, version))
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(commit::commit(self, tenant, writes))
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(search::search(self, tenant, search))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(search::history(self, tenant, key, limit, after))
    }

    fn prune_history<'a>(&'a self, _: &'a Tenant, _: &'a Key, _: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Err(StoreError::unsupported("the pruning of a history")) })
    }
}
