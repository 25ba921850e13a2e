//! How a commit is handed to the server: one statement, which calls the function that checks and writes. For the two commits
//! that are by far the most, of one write that creates or that replaces a version, there is a quicker statement, which does
//! all or nothing; where it does nothing, the function says why.

use super::super::checks::check_writes;
use super::super::codes::{parameter_code, type_code};
use super::error::unreadable;
use super::{Postgres, system};
use crate::search::IndexEntries;
use crate::store::{CommitError, Precondition, Result, StoreError, Tenant, Version, VersionId, Write};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;

/// The most bytes of the bodies of one commit: the server takes no array of 1 GiB.
const MOST_BYTES: u64 = 512 << 20;

/// The writes in the order of their keys, column by column.
#[derive(Default)]
struct Columns<'a> {
    place: Vec<i32>,
    r#type: Vec<i16>,
    id: Vec<&'a str>,
    when: Vec<i16>,
    expected: Vec<Option<i64>>,
    write_id: Vec<Option<[u8; 16]>>,
    indexed: Vec<Vec<u8>>,
    body: Vec<Option<&'a [u8]>>,
    /// Where the entries of each write begin, counted from 1, and where the last ones end.
    first: Vec<i32>,
    parameter: Vec<i16>,
    value: Vec<&'a [u8]>,
    system: Vec<Vec<u8>>,
}

impl<'a> Columns<'a> {
    fn new(writes: &'a [Write]) -> Self {
        let mut sorted: Vec<(i32, &Write)> = (0..).zip(writes).collect();
        // The numbers of the types are in their order, so that every commit locks in the same order.
        sorted.sort_unstable_by_key(|(_, write)| (type_code(write.key.resource_type()), write.key.id()));
        let mut columns = Self::default();
        for (place, write) in sorted {
            columns.push(place, write);
        }
        columns.first.push(columns.next_entry());
        columns
    }

    fn next_entry(&self) -> i32 {
        i32::try_from(self.parameter.len() + 1).unwrap_or(i32::MAX)
    }

    fn push(&mut self, place: i32, write: &'a Write) {
        let (when, expected) = match write.precondition {
            Precondition::None => (0, None),
            Precondition::Absent => (1, None),
            // A number that no version reaches stands for those beyond the server's.
            Precondition::Version(version) => (2, Some(i64::try_from(version.get()).unwrap_or(i64::MAX))),
            Precondition::Exists => (3, None),
        };
        self.place.push(place);
        self.r#type.push(i16::from(type_code(write.key.resource_type())));
        self.id.push(write.key.id());
        self.when.push(when);
        self.expected.push(expected);
        self.write_id.push(write.write_id.map(|id| id.0.to_be_bytes()));
        self.body.push(write.body.as_deref());
        self.first.push(self.next_entry());
        let mut digest = Sha256::new();
        if write.body.is_some() {
            self.entries(&write.index, &mut digest);
        }
        self.indexed.push(digest.finalize().iter().take(16).copied().collect());
    }

    fn entries(&mut self, index: &'a IndexEntries, digest: &mut Sha256) {
        for (parameter, token) in index.iter() {
            let system = system(token.system.as_deref());
            let code = parameter_code(parameter);
            digest.update([code]);
            for field in [token.value.as_bytes(), &system] {
                digest.update((field.len() as u64).to_le_bytes());
                digest.update(field);
            }
            self.parameter.push(i16::from(code));
            self.value.push(token.value.as_bytes());
            self.system.push(system);
        }
    }
}

/// The number of a version that was made, and its time.
type Made = (VersionId, OffsetDateTime);

fn version_of(write: Write, (version, last_updated): Made) -> Version {
    Version { key: write.key, version, last_updated, write_id: write.write_id, body: write.body }
}

impl Postgres {
    pub(super) async fn commit_writes(&self, tenant: &Tenant, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        check_writes(&writes, self.limits.max_writes, self.limits.max_body)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: u64 = writes.iter().filter_map(|write| write.body.as_ref()).map(|body| body.len() as u64).sum();
        if bytes > MOST_BYTES.max(self.limits.max_body) {
            return Err(StoreError::too_large(MOST_BYTES).into());
        }
        if let [write] = writes.as_slice()
            && let Some(made) = self.commit_one(tenant, write).await?
        {
            return Ok(writes.into_iter().map(|write| version_of(write, made)).collect());
        }
        let columns = Columns::new(&writes);
        let write_ids: Vec<Option<&[u8]>> =
            columns.write_id.iter().map(|id| id.as_ref().map(<[u8; 16]>::as_slice)).collect();
        let keep = self.limits.max_versions.map_or(0, |max| i64::try_from(max.get()).unwrap_or(i64::MAX));
        let tenant = tenant.as_str();
        let values: [&(dyn ToSql + Sync); 14] = [
            &tenant,
            &columns.place,
            &columns.r#type,
            &columns.id,
            &columns.when,
            &columns.expected,
            &write_ids,
            &columns.indexed,
            &columns.body,
            &columns.first,
            &columns.parameter,
            &columns.value,
            &columns.system,
            &keep,
        ];
        let rows = self.write(&self.sql.commit, &values).await?;
        let mut made = vec![None; writes.len()];
        for row in &rows {
            let place: i32 = row.try_get("place").map_err(unreadable)?;
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let number: i64 = row.try_get("made").map_err(unreadable)?;
            let version = u64::try_from(number).ok().and_then(VersionId::new);
            let refusal = match row.try_get::<_, i16>("refused").map_err(unreadable)? {
                0 => {
                    let changed = row.try_get("changed").map_err(unreadable)?;
                    if let Some(slot) = made.get_mut(place) {
                        *slot = version.map(|version| (version, changed));
                    }
                    continue;
                }
                1 => StoreError::already_exists(version),
                2 => StoreError::conflict(version),
                _ => version.map_or(StoreError::not_found(), StoreError::gone),
            };
            return Err(CommitError::at(place, refusal));
        }
        let made: Option<Vec<Version>> =
            writes.into_iter().zip(made).map(|(write, made)| Some(version_of(write, made?))).collect();
        made.ok_or_else(|| StoreError::indeterminate(Some("the server left out a version".into())).into())
    }

    /// Returns what was made, where the quick statement has done it.
    async fn commit_one(&self, tenant: &Tenant, write: &Write) -> Result<Option<Made>> {
        let (sql, made) = match write.precondition {
            Precondition::Absent => (&self.sql.create, VersionId::FIRST),
            // With a limit, the function forgets versions too.
            Precondition::Version(before) if self.limits.max_versions.is_none() => (&self.sql.replace, before.next()),
            _ => return Ok(None),
        };
        let mut columns = Columns::default();
        columns.push(0, write);
        let Columns { r#type, id, body, indexed, parameter, value, system, .. } = &columns;
        let write_id = write.write_id.map(|id| id.0.to_be_bytes());
        let values: [&(dyn ToSql + Sync); 10] = [
            &tenant.as_str(),
            &r#type.first(),
            &id.first(),
            &write_id.as_ref().map(<[u8; 16]>::as_slice),
            &indexed.first(),
            &body.first(),
            parameter,
            value,
            system,
            &i64::try_from(made.get()).unwrap_or(i64::MAX),
        ];
        let rows = self.write(sql, &values).await?;
        rows.first().map(|row| Ok((made, row.try_get("last_updated").map_err(unreadable)?))).transpose()
    }
}
