//! The file format, and the upgrade of files of earlier formats.

use super::super::checks::{TimePlace, own_entries};
use super::super::codes::type_code;
use super::failed;
use super::tables::{
    CHANGES, CURRENT, FORMAT, HEADS, INDEX, META, OLDER, RECORDS, Row, TIMES, UNINDEXED, VERSIONS, current_of_older,
    encode_entries, index_value, split_key, time_key, version_key,
};
use crate::search::ResourceType;
use crate::store::{Result, StoreError, random_bytes};
use ::redb::{Database, ReadableTable as _, WriteTransaction};
use std::ops::Bound;

/// The first format with tables in order of time.
const HAS_TIMES: u32 = 3;

/// Number of rows read at a time while others are written.
const BATCH: usize = 256;

/// The properties of a file of the current format.
pub(super) struct Prepared {
    /// The key of its page tokens.
    pub(super) pages: [u8; 32],
    /// Whether every resource is found by this library's own search parameters.
    pub(super) own_parameters: bool,
}

/// Creates the tables of a new file, and those that a file of an earlier format lacks.
pub(super) fn prepare(db: &Database) -> Result<Prepared> {
    let transaction = db.begin_write().map_err(failed)?;
    let mut pages: [u8; 32] = random_bytes()?;
    let own_parameters;
    {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        let format = meta.get("format").map_err(failed)?.map(|format| format.value().to_vec());
        let kept = meta.get("pages").map_err(failed)?.map(|pages| pages.value().to_vec());
        match (format.map(TryInto::try_into), kept.map(TryInto::try_into)) {
            (None, None) => {
                meta.insert("format", FORMAT.to_le_bytes().as_slice()).map_err(failed)?;
                meta.insert("pages", pages.as_slice()).map_err(failed)?;
            }
            (Some(Ok(format)), _) if u32::from_le_bytes(format) > FORMAT => {
                return Err(StoreError::unsupported("a file that a later version wrote"));
            }
            (Some(Ok(format)), Some(Ok(kept))) => {
                pages = kept;
                let format = u32::from_le_bytes(format);
                if format < HAS_TIMES {
                    write_heads(&transaction)?;
                    write_times(&transaction)?;
                }
                if format < FORMAT {
                    if !write_own_entries(&transaction)? {
                        meta.insert(UNINDEXED, [].as_slice()).map_err(failed)?;
                    }
                    meta.insert("format", FORMAT.to_le_bytes().as_slice()).map_err(failed)?;
                }
            }
            _ => return Err(StoreError::corrupt("the file does not say what it is")),
        }
        own_parameters = meta.get(UNINDEXED).map_err(failed)?.is_none();
        for table in [CURRENT, HEADS, OLDER, RECORDS] {
            transaction.open_table(table).map_err(failed)?;
        }
        for table in [INDEX, TIMES, VERSIONS] {
            transaction.open_table(table).map_err(failed)?;
        }
        transaction.open_table(CHANGES).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(Prepared { pages, own_parameters })
}

/// Creates the heads for a file of the first format.
fn write_heads(transaction: &WriteTransaction) -> Result<()> {
    let current = transaction.open_table(CURRENT).map_err(failed)?;
    let mut heads = transaction.open_table(HEADS).map_err(failed)?;
    for row in current.iter().map_err(failed)? {
        let (key, row) = row.map_err(failed)?;
        if let Some(head) = Row::decode(row.value())?.head() {
            heads.insert(key.value(), head.encode().as_slice()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Creates the tables in order of time for a file of an earlier format.
fn write_times(transaction: &WriteTransaction) -> Result<()> {
    let mut times = transaction.open_table(TIMES).map_err(failed)?;
    let mut versions = transaction.open_table(VERSIONS).map_err(failed)?;
    let current = transaction.open_table(CURRENT).map_err(failed)?;
    for row in current.iter().map_err(failed)? {
        let (key, row) = row.map_err(failed)?;
        let (row, (of_type, id)) = (Row::decode(row.value())?, split_key(key.value())?);
        let place = TimePlace::new(row.last_updated, &id);
        if row.body.is_some() {
            times.insert(time_key(of_type, &place).as_slice(), ()).map_err(failed)?;
        }
        versions.insert(version_key(of_type, &place, row.version).as_slice(), ()).map_err(failed)?;
    }
    let older = transaction.open_table(OLDER).map_err(failed)?;
    for row in older.iter().map_err(failed)? {
        let (key, row) = row.map_err(failed)?;
        let (row, (of_type, id)) = (Row::decode(row.value())?, split_key(current_of_older(key.value())?)?);
        let place = TimePlace::new(row.last_updated, &id);
        versions.insert(version_key(of_type, &place, row.version).as_slice(), ()).map_err(failed)?;
    }
    Ok(())
}

/// Creates the index entries of components for this library's own search parameters, and returns whether every
/// component could be parsed.
fn write_own_entries(transaction: &WriteTransaction) -> Result<bool> {
    let mut current = transaction.open_table(CURRENT).map_err(failed)?;
    let mut heads = transaction.open_table(HEADS).map_err(failed)?;
    let mut index = transaction.open_table(INDEX).map_err(failed)?;
    let (mut all_read, mut behind) = (true, Vec::new());
    loop {
        let mut changed = Vec::new();
        let mut rows = 0;
        for row in current.range::<&[u8]>((Bound::Excluded(behind.as_slice()), Bound::Unbounded)).map_err(failed)? {
            let (key, row) = row.map_err(failed)?;
            rows += 1;
            changed.push((key.value().to_vec(), row.value().to_vec()));
            if rows == BATCH {
                break;
            }
        }
        let Some((last, _)) = changed.last() else { return Ok(all_read) };
        behind.clone_from(last);
        for (key, row) in changed {
            let (of_type, id) = split_key(&key)?;
            let row = Row::decode(&row)?;
            let is_component = of_type.last() == Some(&type_code(ResourceType::DeviceComponent));
            let Some(body) = row.body.filter(|_| is_component) else { continue };
            let Some(added) = own_entries(body) else {
                all_read = false;
                continue;
            };
            if added.is_empty() {
                continue;
            }
            for (parameter, token) in added.iter() {
                let entry = [&index_value(of_type, parameter, &token.value), id.as_bytes()].concat();
                index.insert(entry.as_slice(), ()).map_err(failed)?;
            }
            let entries = row.entries()?.into_vec().into_iter().chain(added.into_vec()).collect();
            let entries = encode_entries(&entries)?;
            let row = row.with_entries(&entries);
            current.insert(key.as_slice(), row.encode().as_slice()).map_err(failed)?;
            if let Some(head) = row.head() {
                heads.insert(key.as_slice(), head.encode().as_slice()).map_err(failed)?;
            }
        }
    }
}
