//! The versions of all resources in order of time.

use super::super::checks::{TimePlace, to_usize};
use super::super::codes::type_code;
use super::snapshot::Snapshot;
use super::tables::{Row, end_of, of_type, older_key};
use super::{PAGE_BYTES, failed};
use crate::search::ResourceType;
use crate::store::{Changes, Key, Result, StoreError, Tenant, Version};
use ::redb::Range;
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::ops::Bound;

/// The end of a page: the key of the version after its type, and the type. Versions are sorted by this value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChangePlace {
    rest: Vec<u8>,
    kind: u8,
}

impl ChangePlace {
    pub(super) fn encode(&self) -> Vec<u8> {
        [&[self.kind], self.rest.as_slice()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        Some(Self { rest: rest.to_vec(), kind: *kind })
    }
}

/// The remaining versions of one type.
struct OfType<'r> {
    resource_type: ResourceType,
    prefix: Vec<u8>,
    rows: Range<'r, &'static [u8], ()>,
}

impl OfType<'_> {
    fn next(&mut self, oldest_first: bool) -> Result<Option<ChangePlace>> {
        let row = if oldest_first { self.rows.next() } else { self.rows.next_back() };
        let Some(row) = row.transpose().map_err(failed)? else { return Ok(None) };
        let rest = row.0.value().get(self.prefix.len()..).ok_or_else(damaged)?.to_vec();
        Ok(Some(ChangePlace { rest, kind: type_code(self.resource_type) }))
    }
}

fn damaged() -> StoreError {
    StoreError::corrupt("a row of the file names no version")
}

/// Splits the id and number of a version from the part of its key after type and time.
fn id_and_version(rest: &[u8]) -> Option<(SmolStr, u64)> {
    let (head, number) = rest.split_last_chunk::<8>()?;
    let place = TimePlace::decode(head.strip_suffix(&[0])?)?;
    Some((place.id, u64::from_be_bytes(*number)))
}

/// Returns one page of the versions after a position, and the next position if there may be more.
pub(super) fn page(
    snapshot: &Snapshot,
    tenant: &Tenant,
    changes: &Changes,
    after: Option<&ChangePlace>,
) -> Result<(Vec<Version>, Option<ChangePlace>)> {
    let versions = snapshot.versions()?;
    let (current, older) = (snapshot.current()?, snapshot.older()?);
    let oldest_first = changes.oldest_first;
    let since = changes.since.map(|since| TimePlace::new(since, &SmolStr::default()).encode()).unwrap_or_default();
    let mut types = Vec::new();
    for resource_type in ResourceType::ALL {
        if changes.resource_type.is_some_and(|wanted| wanted != resource_type) {
            continue;
        }
        let prefix = of_type(tenant, resource_type);
        let (start, end) = ([prefix.as_slice(), &since].concat(), end_of(&prefix));
        let at = after.map(|after| [prefix.as_slice(), &after.rest].concat());
        // Of two types with the same time, id and version, the smaller one sorts first.
        let is_behind = after.is_some_and(|after| match oldest_first {
            true => type_code(resource_type) > after.kind,
            false => type_code(resource_type) < after.kind,
        });
        let edge = |at| if is_behind { Bound::Included(at) } else { Bound::Excluded(at) };
        let bounds = match (&at, oldest_first) {
            (Some(at), true) => (edge(at.as_slice()), Bound::Excluded(end.as_slice())),
            (Some(at), false) => (Bound::Included(start.as_slice()), edge(at.as_slice())),
            (None, _) => (Bound::Included(start.as_slice()), Bound::Excluded(end.as_slice())),
        };
        let rows = versions.range::<&[u8]>(bounds).map_err(failed)?;
        types.push(OfType { resource_type, prefix, rows });
    }
    let mut heads = BTreeSet::new();
    for (index, of) in types.iter_mut().enumerate() {
        heads.extend(of.next(oldest_first)?.map(|place| (place, index)));
    }
    let (mut items, mut bytes, mut last) = (Vec::<Version>::new(), 0_usize, None);
    while let Some((place, index)) = if oldest_first { heads.pop_first() } else { heads.pop_last() } {
        if items.len() >= to_usize(changes.limit) || bytes >= PAGE_BYTES {
            return Ok((items, last));
        }
        let of = types.get_mut(index).ok_or_else(damaged)?;
        heads.extend(of.next(oldest_first)?.map(|place| (place, index)));
        let (id, number) = id_and_version(&place.rest).ok_or_else(damaged)?;
        let at = [of.prefix.as_slice(), id.as_bytes()].concat();
        let key = Key::new(of.resource_type, id).map_err(|_| damaged())?;
        let newest = current.get(at.as_slice()).map_err(failed)?.ok_or_else(damaged)?;
        let newest = Row::decode(newest.value())?;
        let version = if newest.version.get() == number {
            newest.to_version(&key)
        } else {
            let row = older.get(older_key(&at, number).as_slice()).map_err(failed)?.ok_or_else(damaged)?;
            Row::decode(row.value())?.to_version(&key)
        };
        bytes = bytes.saturating_add(version.body.as_ref().map_or(0, bytes::Bytes::len));
        items.push(version);
        last = Some(place);
    }
    Ok((items, None))
}
