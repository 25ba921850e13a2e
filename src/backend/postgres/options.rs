//! How the store in PostgreSQL is set up.

use super::Postgres;
use super::pool::By;
use crate::store::{Result, StoreError};
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, Error, Socket};

/// The options of a [`Postgres`]: its connections, its schema and its limits.
///
/// ```no_run
/// use fhir_devices::backend::postgres::{NoTls, Options};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Options::new()
///     .with_schema("devices")
///     .with_connections(32.try_into()?)
///     .connect("host=/run/postgresql dbname=hospital", NoTls)
///     .await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) schema: String,
    pub(super) connections: NonZeroUsize,
    pub(super) acquire_timeout: Duration,
    pub(super) migrates: bool,
    pub(super) limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_writes: usize,
    pub(super) max_body: u64,
    pub(super) max_versions: Option<NonZeroUsize>,
}

impl Options {
    /// Returns the schema `fhir_devices`, which is migrated; 16 connections; 10 seconds of patience; bodies up to 16
    /// MiB, 1,000 writes a commit, every version kept.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: "fhir_devices".into(),
            connections: NonZeroUsize::MIN.saturating_add(15),
            acquire_timeout: Duration::from_secs(10),
            migrates: true,
            limits: Limits { max_writes: 1_000, max_body: 16 << 20, max_versions: None },
        }
    }

    /// Sets the schema: 1 to 63 of `a`-`z`, `0`-`9` and `_`.
    #[must_use]
    pub fn with_schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Sets the maximum number of connections. They are opened as they are needed.
    #[must_use]
    pub fn with_connections(mut self, most: NonZeroUsize) -> Self {
        self.connections = most;
        self
    }

    /// Waits at most so long: for a free connection, which is then [`StoreError::Throttled`], and for the server, which is then
    /// [`StoreError::Unavailable`] where nothing can have been written, and else [`StoreError::Indeterminate`].
    #[must_use]
    pub fn with_acquire_timeout(mut self, acquire_timeout: Duration) -> Self {
        self.acquire_timeout = acquire_timeout;
        self
    }

    /// Turns migration off: connecting fails unless the schema is of this version. For a service whose role may not make tables.
    #[must_use]
    pub fn without_migration(mut self) -> Self {
        self.migrates = false;
        self
    }

    /// Sets the maximum number of versions of each resource, the newest included. Those beyond are forgotten when the resource is
    /// next written.
    #[must_use]
    pub fn with_max_versions(mut self, max: NonZeroUsize) -> Self {
        self.limits.max_versions = Some(max);
        self
    }

    /// Sets the maximum size of a body, never more than 512 MiB.
    #[must_use]
    pub fn with_max_body(mut self, bytes: u64) -> Self {
        self.limits.max_body = bytes.min(512 << 20);
        self
    }

    /// Sets the maximum number of writes in a commit.
    #[must_use]
    pub fn with_max_writes(mut self, writes: usize) -> Self {
        self.limits.max_writes = writes;
        self
    }

    /// Connects by a [configuration](tokio_postgres::Config) such as `postgres://app@db.example/devices?sslmode=require`, with
    /// a way to encrypt: [`NoTls`](super::NoTls) for none, or that of a package such as `tokio-postgres-rustls`.
    ///
    /// # Errors
    /// `Invalid` when the configuration or the schema is none; `Denied` when the server refuses the role or a right is
    /// lacking; `Unsupported` when the schema is of a later version, or not migrated; `Unavailable` when the server cannot be
    /// reached.
    pub async fn connect<T>(self, config: &str, tls: T) -> Result<Postgres>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let mut config: Config = config.parse().map_err(|error: Error| {
            let why = std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
            StoreError::invalid(format!("{error}{why}"))
        })?;
        if config.get_application_name().is_none() {
            config.application_name("fhir-devices");
        }
        Postgres::start(self, Box::new(By { config, tls })).await
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
