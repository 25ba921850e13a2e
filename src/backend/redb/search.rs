//! The search for resources that meet the criteria, in order of their ids.
//!
//! Each criterion that the index serves gives a sorted list of ids. Their intersection is found by moving each list
//! forward in turn to the position of the others, so that the shortest list determines the time.

use super::super::checks::{TimePlace, to_usize};
use super::failed;
use super::snapshot::{Snapshot, Table};
use super::tables::{Row, end_of, id_of_index, index_start, index_value, of_type, time_key};
use crate::search::{Criteria, Criterion, TokenMatch};
use crate::store::{Key, Result, Search, SearchOrder, StoreError, Tenant, Version};
use ::redb::Range;
use smol_str::SmolStr;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Bound;

/// Maximum number of steps of one page, so that no search blocks its executor for long.
const STEPS: usize = 8_192;
/// Size of the bodies after which a page ends, in bytes.
const PAGE_BYTES: usize = 8 << 20;
/// Maximum number of entries gathered and sorted for one criterion; with more, the resources of the type are scanned.
const GATHERED: usize = 4_096;
/// Number of rows read forward before a new lookup.
const STRIDE: usize = 4;

type Bin = &'static [u8];

/// Index rows of one value, with keys that end in ids.
struct Rows<'t, V: ::redb::Value + 'static> {
    table: &'t Table<V>,
    start: Vec<u8>,
    end: Vec<u8>,
    rows: Option<Range<'static, Bin, V>>,
}

impl<'t, V: ::redb::Value + 'static> Rows<'t, V> {
    fn new(table: &'t Table<V>, start: Vec<u8>) -> Self {
        let end = end_of(&start);
        Self { table, start, end, rows: None }
    }

    fn seek(&mut self, from: Bound<&str>, steps: &mut usize) -> Result<Option<SmolStr>> {
        for look in 0..=STRIDE {
            *steps = steps.saturating_add(1);
            if look == STRIDE || self.rows.is_none() {
                let key = |id: &str| [&self.start, id.as_bytes()].concat();
                let (start, end) = (from.map(key), Bound::Excluded(self.end.as_slice()));
                let start = match &start {
                    Bound::Unbounded => Bound::Included(self.start.as_slice()),
                    Bound::Included(key) => Bound::Included(key.as_slice()),
                    Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
                };
                self.rows = Some(self.table.range::<&[u8]>((start, end)).map_err(failed)?);
            }
            let Some(row) = self.rows.as_mut().and_then(Iterator::next) else { return Ok(None) };
            let id = self.id(row.map_err(failed)?.0.value())?;
            if reached(&id, from) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn id(&self, row: &[u8]) -> Result<SmolStr> {
        id_of_index(row.get(self.start.len()..).unwrap_or_default())
    }
}

fn reached(id: &str, from: Bound<&str>) -> bool {
    match from {
        Bound::Unbounded => true,
        Bound::Included(from) => id >= from,
        Bound::Excluded(from) => id > from,
    }
}

enum List<'t> {
    Type(Rows<'t, Bin>),
    Value(Rows<'t, ()>),
    Ids(BTreeSet<SmolStr>),
    Union(Union<'t>),
}

/// The union of sorted lists, giving each id once.
struct Union<'t> {
    lists: Vec<Ids<'t>>,
    /// The position of each list, least id first; empty until the first step.
    places: BinaryHeap<Reverse<(SmolStr, usize)>>,
    begun: bool,
}

impl<'t> Union<'t> {
    fn new(lists: Vec<Ids<'t>>) -> Self {
        Self { lists, places: BinaryHeap::new(), begun: false }
    }

    /// Returns the least id from `from` on in any list. Only lists behind it are moved.
    fn seek(&mut self, from: Bound<&str>, steps: &mut usize) -> Result<Option<SmolStr>> {
        if !std::mem::replace(&mut self.begun, true) {
            for (number, list) in self.lists.iter_mut().enumerate() {
                self.places.extend(list.seek(from, steps)?.map(|id| Reverse((id, number))));
            }
        }
        while let Some(Reverse((least, number))) = self.places.peek() {
            if reached(least, from) {
                return Ok(Some(least.clone()));
            }
            let number = *number;
            self.places.pop();
            if let Some(list) = self.lists.get_mut(number) {
                self.places.extend(list.seek(from, steps)?.map(|id| Reverse((id, number))));
            }
        }
        Ok(None)
    }
}

/// A sorted list of ids that remembers the last one given.
struct Ids<'t> {
    list: List<'t>,
    last: Option<SmolStr>,
    over: bool,
}

impl<'t> Ids<'t> {
    fn new(list: List<'t>) -> Self {
        Self { list, last: None, over: false }
    }

    /// Returns the first id from `from` on. `from` never goes back.
    fn seek(&mut self, from: Bound<&str>, steps: &mut usize) -> Result<Option<SmolStr>> {
        if let Some(last) = self.last.as_ref().filter(|last| reached(last, from)) {
            return Ok(Some(last.clone()));
        }
        if self.over {
            return Ok(None);
        }
        let found = match &mut self.list {
            List::Type(rows) => rows.seek(from, steps)?,
            List::Value(rows) => rows.seek(from, steps)?,
            List::Ids(ids) => {
                *steps = steps.saturating_add(1);
                ids.range::<str, _>((from, Bound::Unbounded)).next().cloned()
            }
            List::Union(union) => union.seek(from, steps)?,
        };
        self.over = found.is_none();
        self.last.clone_from(&found);
        Ok(found)
    }
}

/// A page boundary: after an id that was checked, or at an id that was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Behind(SmolStr),
    At(SmolStr),
}

impl Place {
    pub(super) fn encode(&self) -> Vec<u8> {
        // An id contains no `=`.
        match self {
            Self::Behind(id) => id.as_bytes().to_vec(),
            Self::At(id) => [b"=", id.as_bytes()].concat(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(match text.strip_prefix('=') {
            Some(id) => Self::At(id.into()),
            None => Self::Behind(text.into()),
        })
    }

    fn bound(&self) -> Bound<&str> {
        match self {
            Self::Behind(id) => Bound::Excluded(id),
            Self::At(id) => Bound::Included(id),
        }
    }
}

pub(super) struct Finder<'a> {
    snapshot: &'a Snapshot,
    search: &'a Search,
    of_type: Vec<u8>,
    lists: Vec<Ids<'a>>,
    steps: usize,
}

impl<'a> Finder<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, tenant: &Tenant, search: &'a Search) -> Result<Self> {
        let of_type = of_type(tenant, search.resource_type);
        let mut finder = Self { snapshot, search, of_type, lists: Vec::new(), steps: 0 };
        for criterion in &search.all_of {
            finder.lists.extend(finder.list(criterion)?);
        }
        if finder.lists.is_empty() {
            let rows = Rows::new(snapshot.heads()?, finder.of_type.clone());
            finder.lists.push(Ids::new(List::Type(rows)));
        }
        Ok(finder)
    }

    /// Returns the sorted candidates of a criterion; `None` where the index does not serve it.
    fn list(&self, criterion: &Criterion) -> Result<Option<Ids<'a>>> {
        Ok(Some(Ids::new(match criterion {
            Criterion::Id(id) => List::Ids(BTreeSet::from([id.clone()])),
            Criterion::AnyId(ids) => List::Ids(ids.clone()),
            Criterion::Is(parameter, TokenMatch::Value(value)) => {
                self.value(index_value(&self.of_type, *parameter, value))?
            }
            Criterion::Is(parameter, TokenMatch::Exact(token)) => {
                self.value(index_value(&self.of_type, *parameter, &token.value))?
            }
            Criterion::Is(_, TokenMatch::System(_)) => return Ok(None),
            Criterion::Begins(parameter, start) => {
                let start = index_start(&self.of_type, *parameter, start);
                let index = self.snapshot.index()?;
                let mut ids = BTreeSet::new();
                let rows = index.range::<&[u8]>(start.as_slice()..end_of(&start).as_slice()).map_err(failed)?;
                for (count, row) in rows.enumerate() {
                    if count == GATHERED {
                        return Ok(None);
                    }
                    ids.insert(id_of_index(row.map_err(failed)?.0.value())?);
                }
                List::Ids(ids)
            }
            Criterion::AnyOf(any) => {
                let lists: Option<Vec<Ids<'a>>> =
                    any.iter().map(|criterion| self.list(criterion)).collect::<Result<_>>()?;
                match lists {
                    Some(lists) => List::Union(Union::new(lists)),
                    None => return Ok(None),
                }
            }
        })))
    }

    fn value(&self, start: Vec<u8>) -> Result<List<'a>> {
        Ok(List::Value(Rows::new(self.snapshot.index()?, start)))
    }

    /// Returns the first id from `from` on that is in every list, or the id at which the steps ran out.
    fn next(&mut self, from: Bound<&str>) -> Result<Next> {
        let Self { lists, steps, .. } = self;
        let Some(first) = lists.first_mut() else { return Ok(Next::Over) };
        let Some(mut at) = first.seek(from, steps)? else { return Ok(Next::Over) };
        loop {
            let mut same = true;
            for list in lists.iter_mut() {
                match list.seek(Bound::Included(&at), steps)? {
                    None => return Ok(Next::Over),
                    Some(id) if id == at => {}
                    Some(id) => (at, same) = (id, false),
                }
            }
            if same {
                return Ok(Next::Found(at));
            }
            if *steps > STEPS {
                return Ok(Next::Tired(at));
            }
        }
    }

    /// Returns the matches from a position on, and the next position if there may be more.
    pub(super) fn page(mut self, limit: usize, from: Option<&Place>) -> Result<(Vec<Version>, Option<Place>)> {
        let (heads, current) = (self.snapshot.heads()?, self.snapshot.current()?);
        let criteria = Criteria::of(&self.search.all_of);
        let told_by_index = self.search.all_of.iter().all(is_told_by_index);
        let mut items = Vec::new();
        let mut bytes = 0_usize;
        let mut last = from.cloned();
        loop {
            let id = match self.next(last.as_ref().map_or(Bound::Unbounded, Place::bound))? {
                Next::Over => return Ok((items, None)),
                Next::Tired(at) => return Ok((items, Some(Place::At(at)))),
                Next::Found(id) => id,
            };
            if items.len() >= limit || bytes >= PAGE_BYTES || self.steps > STEPS {
                return Ok((items, Some(Place::At(id))));
            }
            let at = [&self.of_type, id.as_bytes()].concat();
            let row = heads.get(at.as_slice()).map_err(failed)?;
            // A requested id need not exist, nor be valid.
            if let (Some(row), Ok(key)) = (row, Key::new(self.search.resource_type, id.clone())) {
                let row = Row::decode(row.value())?;
                let meets = |row: &Row<'_>| -> Result<bool> {
                    let entries = row.entries()?;
                    Ok(criteria.matches(&id, &entries))
                };
                if told_by_index || meets(&row)? {
                    let version = if self.search.bodies { whole(current, &at, &key)? } else { row.to_version(&key) };
                    bytes = bytes.saturating_add(version.body.as_ref().map_or(0, bytes::Bytes::len));
                    items.push(version);
                }
            }
            last = Some(Place::Behind(id));
        }
    }
}

/// Returns the matches in order of time after a position, and the next position if there may be more.
pub(super) fn page_by_time(
    snapshot: &Snapshot,
    tenant: &Tenant,
    search: &Search,
    from: Option<TimePlace>,
) -> Result<(Vec<Version>, Option<TimePlace>)> {
    let of_type = of_type(tenant, search.resource_type);
    let times = snapshot.times()?;
    let (heads, current) = (snapshot.heads()?, snapshot.current()?);
    let (criteria, limit) = (Criteria::of(&search.all_of), to_usize(search.limit));
    let descends = search.order == SearchOrder::UpdatedDescending;
    let (start, end) = (of_type.clone(), end_of(&of_type));
    let from = from.map(|place| time_key(&of_type, &place));
    let bounds = match (&from, descends) {
        (Some(from), true) => (Bound::Included(start.as_slice()), Bound::Excluded(from.as_slice())),
        (Some(from), false) => (Bound::Excluded(from.as_slice()), Bound::Excluded(end.as_slice())),
        (None, _) => (Bound::Included(start.as_slice()), Bound::Excluded(end.as_slice())),
    };
    let mut rows = times.range::<&[u8]>(bounds).map_err(failed)?;
    let (mut items, mut bytes, mut looked_at, mut last) = (Vec::new(), 0_usize, 0_usize, None);
    while let Some(row) = if descends { rows.next_back() } else { rows.next() } {
        if items.len() >= limit || bytes >= PAGE_BYTES || looked_at >= STEPS {
            return Ok((items, last));
        }
        looked_at = looked_at.saturating_add(1);
        let row = row.map_err(failed)?.0;
        let damaged = || StoreError::corrupt("a row of the file has no time");
        let place = row.value().get(of_type.len()..).and_then(TimePlace::decode).ok_or_else(damaged)?;
        let at = [of_type.as_slice(), place.id.as_bytes()].concat();
        let head = heads.get(at.as_slice()).map_err(failed)?;
        if let (Some(head), Ok(key)) = (head, Key::new(search.resource_type, place.id.clone())) {
            let head = Row::decode(head.value())?;
            if search.all_of.is_empty() || criteria.matches(&place.id, &head.entries()?) {
                let version = if search.bodies { whole(current, &at, &key)? } else { head.to_version(&key) };
                bytes = bytes.saturating_add(version.body.as_ref().map_or(0, bytes::Bytes::len));
                items.push(version);
            }
        }
        last = Some(place);
    }
    Ok((items, None))
}

/// Returns the version of a row in the heads.
fn whole(current: &Table<Bin>, at: &[u8], key: &Key) -> Result<Version> {
    let lacking = || StoreError::corrupt(format!("the file has no body of {key}"));
    let row = current.get(at).map_err(failed)?.ok_or_else(lacking)?;
    Ok(Row::decode(row.value())?.to_version(key))
}

enum Next {
    Found(SmolStr),
    Tired(SmolStr),
    Over,
}

/// Returns whether every resource that the index gives for a criterion meets it.
fn is_told_by_index(criterion: &Criterion) -> bool {
    match criterion {
        Criterion::Id(_) | Criterion::AnyId(_) | Criterion::Is(_, TokenMatch::Value(_)) => true,
        Criterion::Is(..) | Criterion::Begins(..) | Criterion::AnyOf(_) => false,
    }
}
