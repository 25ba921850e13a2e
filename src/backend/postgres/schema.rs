//! The tables and functions in the database, and how they come there.

use super::failed;
use crate::store::{PageKey, Result, StoreError, random_bytes};
use tokio_postgres::Client;

/// Each is applied once, in order, and never changed afterwards. `{s}` is the schema.
///
/// The second one changes the functions alone: times heal after the clock jumped ahead (R13).
const MIGRATIONS: [&str; 4] =
    [include_str!("schema_1.sql"), "", include_str!("schema_3.sql"), include_str!("schema_4.sql")];

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
    let key: [u8; 32] = random_bytes()?;
    let insert = format!("INSERT INTO {schema}.meta (name, value) VALUES ('pages', $1) ON CONFLICT DO NOTHING");
    transaction.execute(&insert, &[&key.as_slice()]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
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
