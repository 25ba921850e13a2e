//! The versions of all resources by time.

use super::super::checks::to_usize;
use super::super::codes::{type_code, type_of};
use super::{MOST_VERSIONS, PAGE_BYTES, Postgres, body_size, damaged, failed, version, weigh};
use crate::store::{Changes, Key, Page, PageQuery, Result, Tenant, Version};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Where a page ended: the time in microseconds since 1970, as the server keeps it, the type, the id and the version.
struct Place {
    micros: i64,
    kind: i16,
    id: String,
    version: i64,
}

impl Place {
    fn of(version: &Version) -> Option<Self> {
        Some(Self {
            micros: i64::try_from(version.last_updated.unix_timestamp_nanos().div_euclid(1_000)).ok()?,
            kind: i16::from(type_code(version.key.resource_type())),
            id: version.key.id().to_string(),
            version: i64::try_from(version.version.get()).ok()?,
        })
    }

    fn written(&self) -> String {
        format!("{} {} {} {}", self.micros, self.kind, self.version, self.id)
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.splitn(4, ' ');
        Some(Self {
            micros: parts.next()?.parse().ok()?,
            kind: parts.next()?.parse().ok()?,
            version: parts.next()?.parse().ok()?,
            id: parts.next()?.to_owned(),
        })
    }

    fn time(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.micros) * 1_000).ok()
    }
}

/// The statement. Each of the two tables gives its first ones by an index, and of both the first are taken.
fn statement(schema: &str, changes: &Changes, place: Option<&Place>) -> String {
    let mut meets = "tenant = $1".to_owned();
    if changes.resource_type.is_some() {
        meets.push_str(" AND type = $3");
    }
    if changes.since.is_some() {
        meets.push_str(" AND last_updated >= $4");
    }
    let (behind, order) = if changes.oldest_first { ('>', "ASC") } else { ('<', "DESC") };
    if place.is_some() {
        meets.push_str(&format!(" AND (last_updated, type, id, version) {behind} ($5, $6, $7, $8)"));
    }
    let order = format!("ORDER BY last_updated {order}, type {order}, id {order}, version {order} LIMIT $2");
    let of = |table: &str| {
        format!("(SELECT type, id, version, last_updated, write_id, body FROM {schema}.{table} WHERE {meets} {order})")
    };
    // Each value is bound, whether it is asked for or not.
    let bound = "($3::smallint IS NULL OR true) AND ($4::timestamptz IS NULL OR true) AND ($5::timestamptz IS NULL OR true) \
                 AND ($6::smallint IS NULL OR true) AND ($7::text IS NULL OR true) AND ($8::bigint IS NULL OR true)";
    format!("SELECT * FROM ({} UNION ALL {}) v WHERE {bound} {order}", of("resources"), of("versions"))
}

fn read(row: &Row) -> Result<Version> {
    let kind: i16 = row.try_get("type").map_err(failed)?;
    let kind = u8::try_from(kind).ok().and_then(type_of).ok_or_else(damaged)?;
    let id: String = row.try_get("id").map_err(failed)?;
    version(Key::new(kind, id).map_err(|_| damaged())?, row)
}

impl Postgres {
    pub(super) async fn changes_page(&self, tenant: &Tenant, changes: &Changes) -> Result<Page<Version>> {
        let query = PageQuery::Changes(changes);
        let place = self.pages.place(tenant, query, changes.after.as_ref(), Place::read)?;
        let limit = to_usize(changes.limit).min(MOST_VERSIONS);
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let kind = changes.resource_type.map(|kind| i16::from(type_code(kind)));
        let time = place.as_ref().and_then(Place::time);
        let (of, id) = (place.as_ref().map(|place| place.kind), place.as_ref().map(|place| place.id.as_str()));
        let number = place.as_ref().map(|place| place.version);
        let values: [&(dyn ToSql + Sync); 8] =
            [&tenant.as_str(), &more, &kind, &changes.since, &time, &of, &id, &number];
        let rows = self.rows(&statement(&self.schema, changes, place.as_ref()), &values, body_size).await?;
        let items = rows.iter().take(limit).map(read).collect::<Result<Vec<_>>>()?;
        let cut = rows.len() > limit || weigh(&rows, body_size) >= PAGE_BYTES;
        let last = items.last().filter(|_| cut).and_then(Place::of);
        let next = last.map(|last| self.pages.seal(tenant, query, last.written().as_bytes())).transpose()?;
        Ok(Page { items, next })
    }
}
