//! The tables of the file: resources, index entries and ledger records.
//!
//! Every key begins with the tenant and a zero byte, which no tenant contains, so that the rows of a tenant are
//! contiguous and the ids of a type are in byte order.

use super::super::checks::TimePlace;
use super::super::codes::{self, parameter_code, type_code};
use crate::search::{IndexEntries, Parameter, ResourceType, Token};
use crate::store::{Key, LedgerKey, Result, StoreError, Tenant, Version, VersionId, WriteId};
use ::redb::TableDefinition;
use bytes::Bytes;
use smol_str::SmolStr;
use time::{OffsetDateTime, UtcOffset};

/// The format version that is written. A file of a higher version is refused.
///
/// Format 2 added [`HEADS`], and format 3 [`TIMES`] and [`VERSIONS`], which are made from the rows of format 1. Format
/// 4 added index entries for this library's own search parameters.
pub(super) const FORMAT: u32 = 4;

type Bin = &'static [u8];

/// Properties of the file: `format`; `pages`, the key of the page tokens; and [`UNINDEXED`].
pub(super) const META: TableDefinition<'_, &'static str, Bin> = TableDefinition::new("meta");
/// Present if the upgrade to format 4 found a component whose body could not be parsed, e.g. because it is sealed: it
/// is not found by this library's own search parameters.
pub(super) const UNINDEXED: &str = "unindexed";
/// The newest version of each resource, with its index entries, including deletions.
pub(super) const CURRENT: TableDefinition<'_, Bin, Bin> = TableDefinition::new("current");
/// The rows of [`CURRENT`] for living resources, without the bodies: a search reads only the bodies that it returns.
pub(super) const HEADS: TableDefinition<'_, Bin, Bin> = TableDefinition::new("heads");
/// The versions before the newest.
pub(super) const OLDER: TableDefinition<'_, Bin, Bin> = TableDefinition::new("older");
/// Type, parameter, value and id of living resources.
pub(super) const INDEX: TableDefinition<'_, Bin, ()> = TableDefinition::new("index");
/// Type, time and id of living resources: the order of a search by time.
pub(super) const TIMES: TableDefinition<'_, Bin, ()> = TableDefinition::new("times");
/// Type, time, id and version of all rows of [`CURRENT`] and [`OLDER`], deletions included: the order in which the
/// versions of a type were made. Read backwards it is the history of the type; the histories of the types, merged by
/// time, are that of a tenant.
pub(super) const VERSIONS: TableDefinition<'_, Bin, ()> = TableDefinition::new("versions");
/// The records of the ledger.
pub(super) const RECORDS: TableDefinition<'_, Bin, Bin> = TableDefinition::new("records");
/// Number of ledger changes of each tenant.
pub(super) const CHANGES: TableDefinition<'_, &'static str, u64> = TableDefinition::new("changes");

fn damaged() -> StoreError {
    StoreError::corrupt("a row of the file is not what this version writes")
}

fn parameter_of(code: u8) -> Result<Parameter> {
    Parameter::ALL.into_iter().find(|parameter| parameter_code(*parameter) == code).ok_or_else(damaged)
}

// ------------------------------------------------------------------------------------------ keys

/// Returns the key prefix of all resources of a type.
pub(super) fn of_type(tenant: &Tenant, resource_type: ResourceType) -> Vec<u8> {
    let mut key = Vec::with_capacity(160);
    key.extend_from_slice(tenant.as_str().as_bytes());
    key.extend_from_slice(&[0, type_code(resource_type)]);
    key
}

pub(super) fn current_key(tenant: &Tenant, key: &Key) -> Vec<u8> {
    let mut row = of_type(tenant, key.resource_type());
    row.extend_from_slice(key.id().as_bytes());
    row
}

/// Returns the key of a version in [`OLDER`], from its resource's key in [`CURRENT`]. No id contains a zero byte.
pub(super) fn older_key(current: &[u8], version: u64) -> Vec<u8> {
    let mut row = current.to_vec();
    row.push(0);
    row.extend_from_slice(&version.to_be_bytes());
    row
}

/// Returns the key of a resource in [`CURRENT`], from the key of a version in [`OLDER`].
pub(super) fn current_of_older(key: &[u8]) -> Result<&[u8]> {
    key.len().checked_sub(9).and_then(|end| key.get(..end)).ok_or_else(damaged)
}

/// Splits a key of [`CURRENT`] into the prefix of [`of_type`] and the id. No tenant contains a zero byte.
pub(super) fn split_key(key: &[u8]) -> Result<(&[u8], SmolStr)> {
    let zero = key.iter().position(|byte| *byte == 0).ok_or_else(damaged)?;
    let (of_type, id) = key.split_at_checked(zero.saturating_add(2)).ok_or_else(damaged)?;
    Ok((of_type, std::str::from_utf8(id).map_err(|_| damaged())?.into()))
}

/// Returns the prefix of the index keys of a parameter whose values begin with `start`. Each zero byte is followed by
/// 255, so that two zero bytes end a value.
pub(super) fn index_start(of_type: &[u8], parameter: Parameter, start: &str) -> Vec<u8> {
    let mut row = of_type.to_vec();
    row.push(parameter_code(parameter));
    for byte in start.bytes() {
        row.push(byte);
        if byte == 0 {
            row.push(255);
        }
    }
    row
}

/// Returns the prefix of the index keys of a value; the id follows.
pub(super) fn index_value(of_type: &[u8], parameter: Parameter, value: &str) -> Vec<u8> {
    let mut row = index_start(of_type, parameter, value);
    row.extend_from_slice(&[0, 0]);
    row
}

/// Returns the key in [`TIMES`] of a resource.
pub(super) fn time_key(of_type: &[u8], place: &TimePlace) -> Vec<u8> {
    [of_type, &place.encode()].concat()
}

/// Returns the key in [`VERSIONS`] of a version.
pub(super) fn version_key(of_type: &[u8], place: &TimePlace, version: VersionId) -> Vec<u8> {
    older_key(&time_key(of_type, place), version.get())
}

/// Returns the id at the end of an index key: whatever the value, no id contains a zero byte.
pub(super) fn id_of_index(row: &[u8]) -> Result<SmolStr> {
    let id = row.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(id).map(SmolStr::from).map_err(|_| damaged())
}

pub(super) fn record_key(tenant: &Tenant, key: &str) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0], key.as_bytes()].concat()
}

/// Returns the name of a ledger record, from its row.
pub(super) fn key_of_record(tenant: &Tenant, row: &[u8]) -> Result<LedgerKey> {
    let name = row.get(tenant.as_str().len() + 1..).and_then(|name| std::str::from_utf8(name).ok());
    LedgerKey::new(name.ok_or_else(damaged)?).map_err(|_| damaged())
}

/// Returns the first key after all that begin with `start`. A tenant contains no byte 255, so there is one.
pub(super) fn end_of(start: &[u8]) -> Vec<u8> {
    codes::end_of(start).unwrap_or_default()
}

// ------------------------------------------------------------------------------------------ rows

/// A parser of rows.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn text(&mut self) -> Result<SmolStr> {
        let length = u16::from_le_bytes(self.array()?);
        let text = self.take(length.into())?;
        std::str::from_utf8(text).map(SmolStr::from).map_err(|_| damaged())
    }
}

/// One version as stored in the file: version, time, flags, write id, length of the entries, entries, body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) version: VersionId,
    pub(super) last_updated: OffsetDateTime,
    pub(super) write_id: Option<WriteId>,
    entries: &'a [u8],
    pub(super) body: Option<&'a [u8]>,
}

const NOT_DELETED: u8 = 1;
const HAS_WRITE_ID: u8 = 2;

impl<'a> Row<'a> {
    pub(super) fn new(
        version: VersionId,
        last_updated: OffsetDateTime,
        write_id: Option<WriteId>,
        entries: &'a [u8],
        body: Option<&'a [u8]>,
    ) -> Self {
        Self { version, last_updated, write_id, entries, body }
    }

    pub(super) fn decode(row: &'a [u8]) -> Result<Self> {
        let mut rest = Rest(row);
        let version = VersionId::new(u64::from_le_bytes(rest.array()?)).ok_or_else(damaged)?;
        let nanos = i128::from_le_bytes(rest.array()?);
        let last_updated = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| damaged())?;
        let marks = rest.byte()?;
        let write_id = (marks & HAS_WRITE_ID != 0).then(|| rest.array().map(|id| WriteId(u128::from_le_bytes(id))));
        let write_id = write_id.transpose()?;
        let length = u32::from_le_bytes(rest.array()?);
        let entries = rest.take(usize::try_from(length).map_err(|_| damaged())?)?;
        let body = (marks & NOT_DELETED != 0).then_some(rest.0);
        Ok(Self { version, last_updated, write_id, entries, body })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let body = self.body.unwrap_or_default();
        let mut row = Vec::with_capacity(48 + self.entries.len() + body.len());
        row.extend_from_slice(&self.version.get().to_le_bytes());
        row.extend_from_slice(&self.last_updated.unix_timestamp_nanos().to_le_bytes());
        let living = if self.body.is_some() { NOT_DELETED } else { 0 };
        row.push(living | if self.write_id.is_some() { HAS_WRITE_ID } else { 0 });
        if let Some(id) = self.write_id {
            row.extend_from_slice(&id.0.to_le_bytes());
        }
        // `encode_entries` has refused entries of 4 GiB.
        row.extend_from_slice(&u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        row.extend_from_slice(self.entries);
        row.extend_from_slice(body);
        row
    }

    /// Returns the row with an empty body; `None` for a deletion.
    pub(super) fn head(self) -> Option<Self> {
        self.body.map(|_| Self { body: Some(&[]), ..self })
    }

    /// Returns the row without entries, as older versions are stored.
    pub(super) fn older(self) -> Self {
        Self { entries: &[], ..self }
    }

    /// Returns the row with other entries.
    pub(super) fn with_entries(self, entries: &'a [u8]) -> Self {
        Self { entries, ..self }
    }

    pub(super) fn to_version(self, key: &Key) -> Version {
        Version {
            key: key.clone(),
            version: self.version,
            last_updated: self.last_updated,
            write_id: self.write_id,
            body: self.body.map(Bytes::copy_from_slice),
        }
    }

    pub(super) fn entries(&self) -> Result<IndexEntries> {
        let mut rest = Rest(self.entries);
        let mut entries = Vec::new();
        while !rest.0.is_empty() {
            let parameter = parameter_of(rest.byte()?)?;
            let system = (rest.byte()? != 0).then(|| rest.text()).transpose()?;
            entries.push((parameter, Token { system, value: rest.text()? }));
        }
        Ok(IndexEntries::kept(entries))
    }
}

/// Encodes the index entries of a resource for its row.
pub(super) fn encode_entries(index: &IndexEntries) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        let length = u16::try_from(text.len()).map_err(|_| StoreError::invalid("an index entry is too long"))?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        Ok::<_, StoreError>(())
    };
    for (parameter, token) in index.iter() {
        bytes.push(parameter_code(parameter));
        bytes.push(u8::from(token.system.is_some()));
        if let Some(system) = &token.system {
            text(&mut bytes, system)?;
        }
        text(&mut bytes, &token.value)?;
    }
    match u32::try_from(bytes.len()) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(StoreError::invalid("the index entries are too large")),
    }
}

/// Returns a time in the form of every answer, UTC.
pub(super) fn in_utc(time: OffsetDateTime) -> OffsetDateTime {
    time.to_offset(UtcOffset::UTC)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]
    use super::*;

    #[test]
    fn row_round_trips_and_a_truncated_row_fails() {
        let index = IndexEntries::new()
            .with(Parameter::Type, Token::new("urn:x", "69641"))
            .with(Parameter::Source, Token::bare("Device/\0pump"));
        let entries = encode_entries(&index).unwrap();
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_492_596_000_123_456_789).unwrap();
        let row = Row::new(VersionId::FIRST.next(), time, Some(WriteId(u128::MAX - 1)), &entries, Some(b"{}"));
        let bytes = row.encode();
        let again = Row::decode(&bytes).unwrap();
        assert_eq!((again.version, again.last_updated, again.write_id), (row.version, time, row.write_id));
        assert_eq!((again.entries().unwrap(), again.body), (index, row.body));
        for length in 0..bytes.len() - 2 {
            assert!(Row::decode(bytes.get(..length).unwrap()).is_err(), "{length}");
        }
        assert_eq!(Row::decode(&again.older().encode()).unwrap().entries().unwrap(), IndexEntries::new());
    }

    #[test]
    fn value_with_zero_bytes_keeps_its_key_distinct() {
        let of_type = of_type(&"t".parse().unwrap(), ResourceType::Device);
        let row = |value: &str, id: &str| [&index_value(&of_type, Parameter::Model, value), id.as_bytes()].concat();
        assert_ne!(row("a\0", "b"), row("a", "\0b"));
        assert!(!row("a\0\0x", "b").starts_with(&index_value(&of_type, Parameter::Model, "a")));
        assert!(row("a\0x", "b").starts_with(&index_start(&of_type, Parameter::Model, "a\0")));
        assert_eq!(id_of_index(&row("a\0\0x", "b-1")).unwrap(), "b-1");
        assert_eq!(end_of(&[1, 2, 255]), [1, 3]);
    }
}
