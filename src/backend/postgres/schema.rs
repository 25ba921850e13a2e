//! The tables and functions in the database, and how they come there.

use super::super::checks::own_entries;
use super::super::codes::{parameter_code, type_code};
use super::{failed, system};
use crate::search::ResourceType;
use crate::store::{PageKey, Result, StoreError, random_bytes};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Transaction};

/// Each is applied once, in order, and never changed afterwards. `{s}` is the schema.
///
/// The second one changes the functions alone: times heal after the clock jumped ahead (R13). The fifth one is
/// [`write_own_entries`].
const MIGRATIONS: [&str; 5] =
    [include_str!("schema_1.sql"), "", include_str!("schema_3.sql"), include_str!("schema_4.sql"), ""];

/// The migration that makes index entries for this library's own search parameters.
const OWN_ENTRIES: i32 = 5;

/// How many components it looks at in one statement.
const BATCH: i64 = 100;

/// The functions, which are replaced by each version of the schema.
const FUNCTIONS: &str = include_str!("functions.sql");

/// The lock of those who migrate: `fhir-dev` in ASCII.
const LOCK: i64 = 0x6668_6972_2d64_6576;

/// A name that needs no quotes.
pub(super) fn check_name(schema: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let starts = schema.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if starts && schema.len() <= 63 && schema.bytes().all(allowed) && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(StoreError::invalid(format!("`{schema}` is not a schema: 1 to 63 of a to z, 0 to 9 and `_` are wanted")))
}

fn version() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Brings the schema to this version, whoever else does the same.
pub(super) async fn migrate(client: &mut Client, schema: &str) -> Result<()> {
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    // To make a schema that is there is refused to those who may not make one.
    let there =
        transaction.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await.map_err(failed)?;
    if there.is_none() {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await.map_err(failed)?;
    }
    let named = "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'migrations'";
    if transaction.query_opt(named, &[&schema]).await.map_err(failed)?.is_none() {
        let sql = "(version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())";
        transaction.batch_execute(&format!("CREATE TABLE {schema}.migrations {sql}")).await.map_err(failed)?;
    }
    let applied = applied(&transaction, schema).await?;
    if applied > version() {
        return Err(newer());
    }
    let missing = (1_i32..).zip(MIGRATIONS).filter(|(number, _)| *number > applied);
    let mut sql = String::new();
    for (number, migration) in missing {
        sql.push_str(&migration.replace("{s}", schema));
        sql.push_str(&format!("INSERT INTO {schema}.migrations (version) VALUES ({number});\n"));
    }
    if !sql.is_empty() {
        sql.push_str(&FUNCTIONS.replace("{s}", schema));
        transaction.batch_execute(&sql).await.map_err(failed)?;
    }
    if (1..OWN_ENTRIES).contains(&applied) {
        write_own_entries(&transaction, schema).await?;
    }
    let key: [u8; 32] = random_bytes()?;
    let insert = format!("INSERT INTO {schema}.meta (name, value) VALUES ('pages', $1) ON CONFLICT DO NOTHING");
    transaction.execute(&insert, &[&key.as_slice()]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Makes the index entries of components for this library's own search parameters. Where one cannot be read, as one that is
/// sealed, this is noted: see [`finds_by_own_parameters`].
async fn write_own_entries(transaction: &Transaction<'_>, schema: &str) -> Result<()> {
    // Nobody may write meanwhile: what an earlier version of this library writes has no such entries.
    let lock = format!("LOCK TABLE {schema}.resources IN SHARE ROW EXCLUSIVE MODE");
    transaction.batch_execute(&lock).await.map_err(failed)?;
    let select = format!(
        "SELECT number, tenant, id, body FROM {schema}.resources WHERE type = $1 AND body IS NOT NULL \
         AND (tenant, type, id) > ($2, $1, $3) ORDER BY tenant, type, id LIMIT $4"
    );
    let insert = format!(
        "INSERT INTO {schema}.entries (resource, tenant, type, parameter, value, system, id) \
         SELECT n.resource, n.tenant, $1, n.parameter, n.value, n.system, n.id \
         FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::bytea[], $6::bytea[], $7::text[]) \
         n (resource, tenant, parameter, value, system, id) ON CONFLICT DO NOTHING"
    );
    // So that the next write of the resource looks at its entries.
    let touch = format!(
        "UPDATE {schema}.resources r SET indexed = '' FROM unnest($2::text[], $3::text[]) n (tenant, id) \
         WHERE r.tenant = n.tenant AND r.type = $1 AND r.id = n.id"
    );
    let of_type = i16::from(type_code(ResourceType::DeviceComponent));
    let (mut all_read, mut behind) = (true, (String::new(), String::new()));
    loop {
        let rows = transaction.query(&select, &[&of_type, &behind.0, &behind.1, &BATCH]).await.map_err(failed)?;
        let Some(last) = rows.last() else { break };
        behind = (last.try_get("tenant").map_err(failed)?, last.try_get("id").map_err(failed)?);
        let (mut resources, mut tenants, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
        let (mut values, mut systems, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let Some(entries) = own_entries(row.try_get("body").map_err(failed)?) else {
                all_read = false;
                continue;
            };
            for (parameter, token) in entries.iter() {
                resources.push(row.try_get::<_, i64>("number").map_err(failed)?);
                tenants.push(row.try_get::<_, &str>("tenant").map_err(failed)?);
                parameters.push(i16::from(parameter_code(parameter)));
                values.push(token.value.as_bytes().to_vec());
                systems.push(system(token.system.as_deref()));
                ids.push(row.try_get::<_, &str>("id").map_err(failed)?);
            }
        }
        let all: [&(dyn ToSql + Sync); 7] = [&of_type, &resources, &tenants, &parameters, &values, &systems, &ids];
        transaction.execute(&insert, &all).await.map_err(failed)?;
        transaction.execute(&touch, &[&of_type, &tenants, &ids]).await.map_err(failed)?;
    }
    if !all_read {
        let note = format!("INSERT INTO {schema}.meta (name, value) VALUES ('unindexed', '') ON CONFLICT DO NOTHING");
        transaction.execute(&note, &[]).await.map_err(failed)?;
    }
    Ok(())
}

/// Returns whether every component is found by this library's own search parameters.
pub(super) async fn finds_by_own_parameters(client: &Client, schema: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM {schema}.meta WHERE name = 'unindexed'");
    client.query_opt(&sql, &[]).await.map(|row| row.is_none()).map_err(failed)
}

async fn applied(client: &impl tokio_postgres::GenericClient, schema: &str) -> Result<i32> {
    let sql = format!("SELECT coalesce(max(version), 0) FROM {schema}.migrations");
    client.query_one(&sql, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)
}

fn newer() -> StoreError {
    StoreError::unsupported("a schema that a later version has migrated")
}

/// Whether the schema is of this version.
pub(super) async fn check(client: &Client, schema: &str) -> Result<()> {
    match applied(client, schema).await? {
        found if found > version() => Err(newer()),
        found if found < version() => Err(StoreError::unsupported("a schema that has not been migrated")),
        _ => Ok(()),
    }
}

/// The key of the page tokens, which all processes share.
pub(super) async fn page_key(client: &Client, schema: &str) -> Result<PageKey> {
    let sql = format!("SELECT value FROM {schema}.meta WHERE name = 'pages'");
    let row = client.query_one(&sql, &[]).await.map_err(failed)?;
    let key: &[u8] = row.try_get(0).map_err(failed)?;
    let damaged = |_| StoreError::corrupt("the key of the page tokens is damaged");
    key.try_into().map(PageKey::from_bytes).map_err(damaged)
}
