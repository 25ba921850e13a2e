//! Resources and ledger records in a PostgreSQL database, for services of many processes.

mod changes;
mod error;
mod ledger;
mod options;
mod pool;
mod schema;
mod search;
mod writing;

use super::checks::{TimePlace, to_usize};
use crate::search::{Parameter, ResourceType};
use crate::store::{
    AtomicScope, BoxFuture, Capabilities, Changes, CommitError, Key, Page, PageKey, PageQuery, PageToken,
    ResourceStore, Result, Search, SearchOrder, StoreError, Tenant, Version, VersionId, Write, WriteId, text_place,
    version_place,
};
use bytes::Bytes;
use error::{failed, failed_write, is_a_clash};
use options::Limits;
pub use options::Options;
use pool::{Connect, Pool};
use search::{Question, question, question_by_time};
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::time::Duration;
use time::OffsetDateTime;
pub use tokio_postgres::NoTls;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, RowStream, Socket};

/// The bytes of the bodies after which a page ends.
const PAGE_BYTES: usize = 8 << 20;
/// The most versions of a page of a history.
const MOST_VERSIONS: usize = 1_000;
/// How often a commit is sent again that the server has rolled back because of another.
const SERIALIZATION_RETRIES: u32 = 8;

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

/// Keeps resources and ledger records in a PostgreSQL database of version 13 or later.
///
/// Many processes may share a database. A commit is one statement, which checks and writes under locks on the rows that it
/// names, taken in the order of their keys; it may be about any resources of a tenant. What the server rolls back because of
/// another commit is sent again. Times are those of the server's clock. Searches follow B-trees over the index entries, and
/// look at no more than 2,000 resources a page where several criteria must be met; such a page may be empty and lead on.
///
/// An acknowledged commit is as durable as the server is set up to be: [`Capabilities::durable_ack`] says what
/// `fsync` and `synchronous_commit` were when it connected. A connection that breaks under a commit makes it
/// [`StoreError::Indeterminate`]. The bodies of one commit may have 512 MiB together; beyond that it is
/// [`StoreError::TooLarge`].
///
/// Its futures run within a tokio runtime that has timers and I/O, and the connections live in the runtime of the call that
/// opened them. Connections are set up once, with prepared statements: a proxy between must give each its own session.
///
/// ```no_run
/// use fhir_devices::backend::Postgres;
/// use fhir_devices::backend::postgres::NoTls;
/// use fhir_devices::store::TenantResources;
/// use fhir_devices::{Device, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Postgres::connect("postgres://app@localhost/devices", NoTls).await?;
/// let store = TenantResources::new(Arc::new(store), "st-mary".parse()?);
/// let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
/// store.create(&Valid::new(pump)?).await?;
/// # Ok(())
/// # }
/// ```
pub struct Postgres {
    pool: Pool,
    limits: Limits,
    schema: String,
    sql: Sql,
    pages: PageKey,
    durable: bool,
    /// Whether every resource is found by this library's own search parameters.
    own_parameters: bool,
}

/// The statements that are always the same.
struct Sql {
    read: String,
    vread: String,
    history: String,
    prune: String,
    commit: String,
    create: String,
    replace: String,
    get: String,
    apply: String,
    scan: String,
}

impl Sql {
    fn new(schema: &str) -> Self {
        let columns = "version, last_updated, write_id, body";
        let key = "tenant = $1 AND type = $2 AND id = $3";
        let both = |meets: &str| {
            let of = |table: &str| format!("SELECT {columns} FROM {schema}.{table} WHERE {key} AND {meets}");
            format!("{} UNION ALL {}", of("resources"), of("versions"))
        };
        Self {
            read: format!("SELECT {columns} FROM {schema}.resources WHERE {key}"),
            vread: both("version = $4"),
            history: format!("{} ORDER BY version DESC LIMIT $5", both("version < $4")),
            prune: format!(
                "WITH newest AS (SELECT version FROM {schema}.resources WHERE {key}), \
                 gone AS (DELETE FROM {schema}.versions WHERE {key} AND version <= (SELECT version FROM newest) - $4 \
                 RETURNING 1) \
                 SELECT (SELECT count(*) FROM gone) AS forgotten, EXISTS (SELECT 1 FROM newest) AS is_there"
            ),
            commit: format!(
                "SELECT * FROM {schema}.commit_writes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
            ),
            create: include_str!("create.sql").replace("{s}", schema),
            replace: include_str!("replace.sql").replace("{s}", schema),
            get: format!("SELECT revision, value FROM {schema}.records WHERE tenant = $1 AND key = $2"),
            apply: format!("SELECT * FROM {schema}.apply_changes($1, $2, $3, $4, $5)"),
            scan: format!(
                "SELECT key, revision, value FROM {schema}.records \
                 WHERE tenant = $1 AND key > $2 AND key < $3 ORDER BY key LIMIT $4"
            ),
        }
    }
}

impl Postgres {
    /// Connects as [`Options::new`] says.
    ///
    /// # Errors
    /// As [`Options::connect`].
    pub async fn connect<T>(config: &str, tls: T) -> Result<Self>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        Options::new().connect(config, tls).await
    }

    async fn start(options: Options, connect: Box<dyn Connect>) -> Result<Self> {
        schema::check_name(&options.schema)?;
        let pool = Pool::new(connect, options.connections.get(), options.acquire_timeout);
        let (pages, durable, own_parameters) = {
            let mut lease = pool.get().await?;
            let client = &mut lease.connection()?.client;
            if options.migrates {
                schema::migrate(client, &options.schema).await?;
            } else {
                schema::check(client, &options.schema).await?;
            }
            let pages = schema::page_key(client, &options.schema).await?;
            let sql = "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off'";
            let durable = client.query_one(sql, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)?;
            (pages, durable, schema::finds_by_own_parameters(client, &options.schema).await?)
        };
        let sql = Sql::new(&options.schema);
        Ok(Self { pool, limits: options.limits, schema: options.schema, sql, pages, durable, own_parameters })
    }

    /// The rows of a statement that only reads. A connection that turns out to be broken is replaced once.
    async fn read(&self, sql: &str, values: &Parameters<'_>) -> Result<Vec<Row>> {
        self.rows(sql, values, |_| 0).await
    }

    /// The same, up to the row with which `weight` comes to the bytes of a page.
    async fn rows(&self, sql: &str, values: &Parameters<'_>, weight: impl Fn(&Row) -> usize) -> Result<Vec<Row>> {
        let mut again = true;
        loop {
            let mut lease = self.pool.get().await?;
            let connection = lease.connection()?;
            let asked = async {
                let statement = connection.prepare(sql).await?;
                let rows = connection.client.query_raw(&statement, values.iter().copied()).await?;
                gather(rows, &weight).await
            };
            match self.pool.in_time(asked).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if again && error.is_closed() => again = false,
                Ok(Err(error)) => return Err(failed(error)),
                Err(late) => {
                    lease.give_up();
                    return Err(late);
                }
            }
        }
    }

    /// The rows of a statement that writes and commits by itself.
    async fn write(&self, sql: &str, values: &Parameters<'_>) -> Result<Vec<Row>> {
        let mut clashes = 0;
        loop {
            let mut lease = self.pool.get().await?;
            let connection = lease.connection()?;
            // What fails so far has written nothing.
            let statement = self.pool.in_time(connection.prepare(sql)).await;
            let statement = statement.and_then(|prepared| prepared.map_err(failed)).inspect_err(|_| lease.give_up())?;
            let connection = lease.connection()?;
            match self.pool.in_time(connection.client.query(&statement, values)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if is_a_clash(&error) => {
                    if clashes == SERIALIZATION_RETRIES {
                        return Err(StoreError::throttled(Some(Duration::from_millis(50))));
                    }
                    clashes += 1;
                }
                Ok(Err(error)) => return Err(failed_write(error)),
                Err(late) => {
                    lease.give_up();
                    return Err(StoreError::indeterminate(Some(late.into())));
                }
            }
            drop(lease);
            tokio::time::sleep(Duration::from_millis(1 << clashes.min(6))).await;
        }
    }

    async fn read_newest(&self, tenant: &Tenant, key: &Key) -> Result<Version> {
        let rows = self.read(&self.sql.read, &[&tenant.as_str(), &code(key), &key.id().as_str()]).await?;
        let newest = version(key.clone(), rows.first().ok_or(StoreError::not_found())?)?;
        if newest.is_deleted() { Err(StoreError::gone(newest.version)) } else { Ok(newest) }
    }

    async fn read_version(&self, tenant: &Tenant, key: &Key, wanted: VersionId) -> Result<Version> {
        let wanted = i64::try_from(wanted.get()).map_err(|_| StoreError::not_found())?;
        let rows = self.read(&self.sql.vread, &[&tenant.as_str(), &code(key), &key.id().as_str(), &wanted]).await?;
        version(key.clone(), rows.first().ok_or(StoreError::not_found())?)
    }

    async fn prune(&self, tenant: &Tenant, key: &Key, keep: NonZeroU32) -> Result<u64> {
        let values: [&(dyn ToSql + Sync); 4] =
            [&tenant.as_str(), &code(key), &key.id().as_str(), &i64::from(keep.get())];
        let rows = self.write(&self.sql.prune, &values).await?;
        let row = rows.first().ok_or_else(damaged)?;
        if !row.try_get::<_, bool>("is_there").map_err(failed)? {
            return Err(StoreError::not_found());
        }
        Ok(u64::try_from(row.try_get::<_, i64>("forgotten").map_err(failed)?).unwrap_or_default())
    }

    async fn search_page(
        &self,
        tenant: &Tenant,
        search: &Search,
        follow: &[(Parameter, ResourceType)],
    ) -> Result<(Page<Version>, Vec<Version>)> {
        if search.order != SearchOrder::Id {
            return Ok((self.search_page_by_time(tenant, search).await?, Vec::new()));
        }
        let query = PageQuery::Search(search);
        let place = self.pages.place(tenant, query, search.after.as_ref(), text_place)?;
        let place = place.max(search.behind.as_ref().map(ToString::to_string));
        let mut question = question(&self.schema, tenant, search, place);
        if !follow.is_empty() {
            question = question.with_targets(&self.schema, follow);
        }
        let found = self.found(question, search).await?;
        let last_shown = found.items.last().filter(|_| found.cut).map(|last| last.key.id().to_string());
        let last_looked_at = || found.last_looked_at.as_ref().and_then(|row| row.try_get("last").ok());
        let next = last_shown.or_else(last_looked_at);
        let next = next.map(|id| self.pages.seal(tenant, query, id.as_bytes())).transpose()?;
        Ok((Page { items: found.items, next }, found.targets))
    }

    async fn search_page_by_time(&self, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
        let query = PageQuery::Search(search);
        let place = self.pages.place(tenant, query, search.after.as_ref(), |bytes| TimePlace::decode(&bytes))?;
        let found = self.found(question_by_time(&self.schema, tenant, search, place), search).await?;
        let last_shown = found.items.last().filter(|_| found.cut);
        let last_shown = last_shown.map(|last| TimePlace::new(last.last_updated, last.key.id()));
        let last_looked_at = || {
            let row = found.last_looked_at.as_ref()?;
            let (time, id) = (row.try_get("last_time").ok()?, row.try_get::<_, &str>("last").ok()?);
            Some(TimePlace::new(time, &id.into()))
        };
        let next = last_shown.or_else(last_looked_at);
        let next = next.map(|place| self.pages.seal(tenant, query, &place.encode())).transpose()?;
        Ok(Page { items: found.items, next })
    }

    async fn found(&self, question: Question, search: &Search) -> Result<Found> {
        let values: Vec<&(dyn ToSql + Sync)> = question.values.iter().map(|value| &**value as _).collect();
        let mut rows = self.rows(&question.sql, &values, body_size).await?;
        let first_target = rows.iter().position(|row| target(row).is_some());
        let targets = first_target.map(|at| rows.split_off(at)).unwrap_or_default();
        let targets = targets.iter().map(read_target).collect::<Result<_>>()?;
        let mut items = Vec::with_capacity(rows.len().min(question.limit));
        for row in &rows {
            // Where nothing is found, a row tells what was looked at.
            let Some(id) = row.try_get::<_, Option<&str>>("id").map_err(failed)? else { break };
            if items.len() < question.limit {
                items.push(version(Key::new(search.resource_type, id).map_err(|_| damaged())?, row)?);
            }
        }
        // There is more when one more came, or the bytes of a page did; else behind the window, if it was full.
        let cut = rows.len() > question.limit || weigh(&rows, body_size) >= PAGE_BYTES;
        let first = rows.into_iter().next().filter(|_| question.window.is_some());
        let looked_at = first.as_ref().map(|row| row.try_get::<_, i64>("looked_at")).transpose().map_err(failed)?;
        let is_full = looked_at.and_then(|count| usize::try_from(count).ok()) >= question.window;
        Ok(Found { items, targets, cut, last_looked_at: first.filter(|_| is_full) })
    }

    async fn history_page(
        &self,
        tenant: &Tenant,
        key: &Key,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        let query = PageQuery::History(key);
        let before = self.pages.place(tenant, query, after, |bytes| i64::try_from(version_place(bytes)?).ok())?;
        let limit = to_usize(limit).min(MOST_VERSIONS);
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let (id, before_or_all) = (key.id().as_str(), before.unwrap_or(i64::MAX));
        let values: [&(dyn ToSql + Sync); 5] = [&tenant.as_str(), &code(key), &id, &before_or_all, &more];
        let rows = self.rows(&self.sql.history, &values, body_size).await?;
        if rows.is_empty() && before.is_none() {
            return Err(StoreError::not_found());
        }
        let items = rows.iter().take(limit).map(|row| version(key.clone(), row)).collect::<Result<Vec<_>>>()?;
        let cut = rows.len() > limit || weigh(&rows, body_size) >= PAGE_BYTES;
        let last = items.last().filter(|last| cut && last.version != VersionId::FIRST);
        let last = last.and_then(|last| i64::try_from(last.version.get()).ok());
        let next = last.map(|last| self.pages.seal(tenant, query, &last.to_be_bytes())).transpose()?;
        Ok(Page { items, next })
    }
}

/// What a search has found.
struct Found {
    items: Vec<Version>,
    /// What they refer to, where that was asked for.
    targets: Vec<Version>,
    /// Whether the page was cut behind the last of them.
    cut: bool,
    /// A row that tells the last resource of a window that was full.
    last_looked_at: Option<Row>,
}

/// Returns the type of a row that was not found but referred to.
fn target(row: &Row) -> Option<ResourceType> {
    let code: i16 = row.try_get("target").ok()?;
    u8::try_from(code).ok().and_then(super::codes::type_of)
}

fn read_target(row: &Row) -> Result<Version> {
    let id: &str = row.try_get("id").map_err(failed)?;
    let key = target(row).and_then(|kind| Key::new(kind, id).ok());
    version(key.ok_or_else(damaged)?, row)
}

/// Takes rows until they weigh as much as a page may.
async fn gather(rows: RowStream, weight: impl Fn(&Row) -> usize) -> Result<Vec<Row>, Error> {
    use futures_core::Stream as _;
    let mut rows = pin!(rows);
    let (mut gathered, mut bytes) = (Vec::new(), 0_usize);
    while bytes < PAGE_BYTES {
        let Some(row) = poll_fn(|cx| rows.as_mut().poll_next(cx)).await else { break };
        let row = row?;
        bytes = bytes.saturating_add(weight(&row));
        gathered.push(row);
    }
    Ok(gathered)
}

fn weigh(rows: &[Row], weight: impl Fn(&Row) -> usize) -> usize {
    rows.iter().map(weight).sum()
}

fn body_size(row: &Row) -> usize {
    row.try_get::<_, Option<&[u8]>>("body").ok().flatten().map_or(0, <[u8]>::len)
}

fn code(key: &Key) -> i16 {
    i16::from(super::codes::type_code(key.resource_type()))
}

fn damaged() -> StoreError {
    StoreError::corrupt("a row of the database is not what this version writes")
}

fn version(key: Key, row: &Row) -> Result<Version> {
    let number: i64 = row.try_get("version").map_err(failed)?;
    let version = u64::try_from(number).ok().and_then(VersionId::new).ok_or_else(damaged)?;
    let last_updated: OffsetDateTime = row.try_get("last_updated").map_err(failed)?;
    let write_id: Option<&[u8]> = row.try_get("write_id").map_err(failed)?;
    let write_id = write_id.map(|id| id.try_into().map(|id| WriteId(u128::from_be_bytes(id)))).transpose();
    let body: Option<&[u8]> = row.try_get("body").map_err(failed)?;
    let body = body.map(Bytes::copy_from_slice);
    Ok(Version { key, version, last_updated, write_id: write_id.map_err(|_| damaged())?, body })
}

/// A system as its column has it: nothing for none, so that it is told from one without a letter.
fn system(of: Option<&str>) -> Vec<u8> {
    of.map(|of| [&[1], of.as_bytes()].concat()).unwrap_or_default()
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, limits, schema, .. } = self;
        f.debug_struct("Postgres")
            .field("schema", schema)
            .field("pool", pool)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

impl ResourceStore for Postgres {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(AtomicScope::Tenant, self.limits.max_writes, self.limits.max_body);
        capabilities.durable_ack = self.durable;
        capabilities.history_pruning = true;
        capabilities.search_by_time = true;
        capabilities.changes = true;
        capabilities.own_parameters = self.own_parameters;
        capabilities.search_with_targets = true;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.read_newest(tenant, key))
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.read_version(tenant, key, version))
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(self.commit_writes(tenant, writes))
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { Ok(self.search_page(tenant, search, &[]).await?.0) })
    }

    fn search_with_targets<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
        follow: &'a [(Parameter, ResourceType)],
    ) -> BoxFuture<'a, Result<(Page<Version>, Vec<Version>)>> {
        Box::pin(self.search_page(tenant, search, follow))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.history_page(tenant, key, limit, after))
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(self.changes_page(tenant, changes))
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.prune(tenant, key, keep))
    }
}
