//! The statements that a good hand would write for the same tables, prepared once on a connection of each worker: no pool, no
//! patience, nothing sent again. They keep and answer what the contract asks of a store: the write id, the version and the
//! time, the history, the index entries, all in one transaction.

use super::{EACH, Outcome, body, id, index, source, write_id};
use fhir_devices::backend::postgres::NoTls;
use fhir_devices::search::{IndexEntries, Parameter};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio_postgres::{Client, Row, Statement};

const CREATE: &str = "WITH r AS (INSERT INTO bare.resources (tenant, type, id, version, last_updated, write_id, indexed, body) \
       VALUES ($1, 2, $2, 1, clock_timestamp(), $3, $4, $5) ON CONFLICT DO NOTHING \
       RETURNING number, version, last_updated), \
     e AS (INSERT INTO bare.entries (resource, tenant, type, parameter, value, system, id) \
       SELECT r.number, $1, 2, n.parameter, n.value, n.system, $2 \
       FROM r, unnest($6::smallint[], $7::bytea[], $8::bytea[]) n (parameter, value, system)) \
     SELECT version, last_updated FROM r";

const UPDATE: &str = "WITH u AS (UPDATE bare.resources r SET version = r.version + 1, \
       last_updated = greatest(r.last_updated, clock_timestamp()), write_id = $3, indexed = $4, body = $5 \
       WHERE r.tenant = $1 AND r.type = 2 AND r.id = $2 AND r.version = $9 AND r.body IS NOT NULL \
       RETURNING r.version, r.last_updated), \
     o AS (SELECT r.* FROM u, bare.resources r WHERE r.tenant = $1 AND r.type = 2 AND r.id = $2), \
     h AS (INSERT INTO bare.versions (tenant, type, id, version, last_updated, write_id, body) \
       SELECT tenant, type, id, version, last_updated, write_id, body FROM o), \
     d AS (DELETE FROM bare.entries e USING o WHERE o.indexed <> $4 AND e.resource = o.number AND NOT EXISTS \
       (SELECT FROM unnest($6::smallint[], $7::bytea[], $8::bytea[]) n (parameter, value, system) \
        WHERE n.parameter = e.parameter AND n.value = e.value AND n.system = e.system)), \
     e AS (INSERT INTO bare.entries (resource, tenant, type, parameter, value, system, id) \
       SELECT o.number, $1, 2, n.parameter, n.value, n.system, $2 \
       FROM o, unnest($6::smallint[], $7::bytea[], $8::bytea[]) n (parameter, value, system) \
       WHERE o.indexed <> $4 ON CONFLICT DO NOTHING) \
     SELECT version, last_updated FROM u";

const READ: &str =
    "SELECT version, last_updated, write_id, body FROM bare.resources WHERE tenant = $1 AND type = 2 AND id = $2";

/// Not a plain join, which the server turns round when the tables have grown, and is then half as quick.
const SEARCH: &str = "SELECT r.* FROM (SELECT e.id FROM bare.entries e WHERE e.tenant = $1 AND e.type = 2 \
       AND e.parameter = 10 AND e.value = $2 ORDER BY e.id LIMIT 51) h \
     CROSS JOIN LATERAL (SELECT r.id, r.version, r.last_updated, r.write_id, r.body FROM bare.resources r \
       WHERE r.tenant = $1 AND r.type = 2 AND r.id = h.id LIMIT 1) r ORDER BY h.id";

/// The settings with which the plans stay as they are while the tables grow under the load.
const SESSION: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

const TENANT: &str = "st-mary";

/// The connection of a worker.
pub(crate) struct Session {
    client: Client,
    create: Statement,
    update: Statement,
    read: Statement,
    search: Statement,
}

/// What a caller is given of a version.
struct Version {
    number: i64,
    last_updated: OffsetDateTime,
    write_id: Option<u128>,
    body: Vec<u8>,
}

impl Version {
    fn of(row: &Row) -> Outcome<Self> {
        let write_id = row.try_get::<_, Option<&[u8]>>("write_id")?;
        Ok(Self {
            number: row.try_get("version")?,
            last_updated: row.try_get("last_updated")?,
            write_id: write_id.map(|id| id.try_into().map(u128::from_be_bytes)).transpose()?,
            body: row.try_get("body")?,
        })
    }

    fn is_whole(&self) -> bool {
        self.number > 0
            && self.last_updated > OffsetDateTime::UNIX_EPOCH
            && self.write_id.is_some()
            && self.body.len() == 730
    }
}

/// The entries as the columns of their table, and a digest of them by which an update sees whether they change.
struct Columns<'a> {
    parameters: Vec<i16>,
    values: Vec<&'a [u8]>,
    systems: Vec<Vec<u8>>,
    digest: Vec<u8>,
}

impl<'a> Columns<'a> {
    fn of(index: &'a IndexEntries) -> Self {
        let (mut digest, mut columns) = (Sha256::new(), (Vec::new(), Vec::new(), Vec::new()));
        for (parameter, token) in index.iter() {
            let code: u8 = match parameter {
                Parameter::Identifier => 3,
                Parameter::Source => 10,
                _ => 12,
            };
            let system = token.system.as_deref().map(|system| [&[1], system.as_bytes()].concat()).unwrap_or_default();
            digest.update([code]);
            for field in [token.value.as_bytes(), &system] {
                digest.update((field.len() as u64).to_le_bytes());
                digest.update(field);
            }
            columns.0.push(i16::from(code));
            columns.1.push(token.value.as_bytes());
            columns.2.push(system);
        }
        let digest = digest.finalize().iter().take(16).copied().collect();
        Self { parameters: columns.0, values: columns.1, systems: columns.2, digest }
    }
}

impl Session {
    pub(crate) async fn connect(url: &str) -> Outcome<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(SESSION).await?;
        let create = client.prepare(CREATE).await?;
        let update = client.prepare(UPDATE).await?;
        let read = client.prepare(READ).await?;
        let search = client.prepare(SEARCH).await?;
        Ok(Self { client, create, update, read, search })
    }

    pub(crate) async fn create(&self, number: u64) -> Outcome {
        let (id, body, index) = (id(number), body(number).into_bytes(), index(number, 0));
        let Columns { parameters, values, systems, digest } = Columns::of(&index);
        let write_id = write_id(number).0.to_be_bytes().to_vec();
        let row = self
            .client
            .query_one(&self.create, &[&TENANT, &id, &write_id, &digest, &body, &parameters, &values, &systems])
            .await?;
        is_made(&row, 1)
    }

    pub(crate) async fn update(&self, at: u64, version: u64, kind: u64) -> Outcome {
        let (id, body, index) = (id(at), body(version).into_bytes(), index(at, kind));
        let Columns { parameters, values, systems, digest } = Columns::of(&index);
        let (write_id, before) = (write_id(version).0.to_be_bytes().to_vec(), i64::try_from(version)?);
        let row = self
            .client
            .query_one(
                &self.update,
                &[&TENANT, &id, &write_id, &digest, &body, &parameters, &values, &systems, &before],
            )
            .await?;
        is_made(&row, before + 1)
    }

    pub(crate) async fn read(&self, number: u64) -> Outcome {
        let row = self.client.query_one(&self.read, &[&TENANT, &id(number)]).await?;
        Version::of(&row)?.is_whole().then_some(()).ok_or_else(|| "another body".into())
    }

    pub(crate) async fn search(&self, number: u64) -> Outcome {
        let rows = self.client.query(&self.search, &[&TENANT, &source(number).as_bytes()]).await?;
        let found = rows.iter().map(|row| Ok((row.try_get::<_, String>("id")?, Version::of(row)?)));
        let found: Vec<(String, Version)> = found.collect::<Outcome<_>>()?;
        let whole = found.iter().all(|(id, version)| !id.is_empty() && version.is_whole());
        (whole && found.len() as u64 == EACH).then_some(()).ok_or_else(|| "not all of a device".into())
    }
}

fn is_made(row: &Row, version: i64) -> Outcome {
    let (made, at): (i64, OffsetDateTime) = (row.try_get("version")?, row.try_get("last_updated")?);
    (made == version && at > OffsetDateTime::UNIX_EPOCH).then_some(()).ok_or_else(|| "not made".into())
}
