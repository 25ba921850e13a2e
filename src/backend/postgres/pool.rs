//! Connections that wait to be used, and how new ones are made.
//!
//! Ours: `deadpool-postgres` keeps prepared statements without a bound, and the rules of when a connection is thrown away, of how
//! long one is waited for and of what a session is set to would remain here.

use super::error::failed;
use crate::store::{BoxFuture, Result, StoreError};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, Socket, Statement};

/// The most statements that a connection keeps prepared; searches have as many as there are forms of questions.
const PREPARED: usize = 128;

/// What every session is set to: the plans of our statements do not depend on what the server knows of the tables, and each
/// statement sees what was committed before it.
const SESSION: &str = "SET default_transaction_isolation = 'read committed'; SET enable_seqscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
     SET client_min_messages = warning";

pub(super) trait Connect: Send + Sync {
    fn connect(&self) -> BoxFuture<'_, Result<Client, Error>>;
}

/// Connects by a configuration and a way to encrypt.
pub(super) struct By<T> {
    pub(super) config: Config,
    pub(super) tls: T,
}

impl<T> Connect for By<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect(&self) -> BoxFuture<'_, Result<Client, Error>> {
        Box::pin(async move {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            // It ends with the client; its error is told to the calls.
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        })
    }
}

pub(super) struct Connection {
    pub(super) client: Client,
    prepared: HashMap<String, Statement>,
}

impl Connection {
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

pub(super) struct Pool {
    connect: Box<dyn Connect>,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    acquire_timeout: Duration,
    size: usize,
}

impl Pool {
    pub(super) fn new(connect: Box<dyn Connect>, size: usize, acquire_timeout: Duration) -> Self {
        Self { connect, free: Arc::new(Semaphore::new(size)), idle: Mutex::default(), acquire_timeout, size }
    }

    /// Returns a connection for one call.
    pub(super) async fn get(&self) -> Result<Lease<'_>> {
        if Handle::try_current().is_err() {
            let source = "the futures of this store run within a tokio runtime";
            return Err(StoreError::unavailable(None, Some(source.into())));
        }
        let permit = timeout(self.acquire_timeout, Arc::clone(&self.free).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(StoreError::throttled(Some(self.acquire_timeout)));
        };
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.open().await?,
        };
        Ok(Lease { pool: self, connection: Some(connection), _permit: permit })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that was used last: what a call that was dropped has sent on it is done before what comes now.
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.client.is_closed())
    }

    async fn open(&self) -> Result<Connection> {
        let opened = async {
            let client = self.connect.connect().await?;
            client.batch_execute(SESSION).await?;
            Ok(client)
        };
        let client = self.in_time(opened).await?.map_err(failed)?;
        Ok(Connection { client, prepared: HashMap::new() })
    }

    /// Waits no longer than the patience lasts; then nothing is known.
    pub(super) async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let source = || format!("no answer within {} ms", self.acquire_timeout.as_millis());
        let late = |_| StoreError::unavailable(None, Some(source().into()));
        timeout(self.acquire_timeout, future).await.map_err(late)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A connection in use. It goes back when this is dropped, unless it is closed or was given up.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Lease<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.as_mut().ok_or(StoreError::unavailable(None, None))
    }

    /// Drops the connection, which does not answer.
    pub(super) fn give_up(&mut self) {
        self.connection = None;
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|connection| !connection.client.is_closed()) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
