//! The search index over the living resources of a tenant.

use super::record::{Entry, Record};
use super::table::Table;
use crate::search::{Criteria, Criterion, IndexEntries, Matching, Parameter, ResourceType, Token};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

/// The location of a resource: the number of its shard in the lower bits, and its number in the shard above.
pub(super) type Place = u32;

/// The system number of tokens without a system.
const NONE: u32 = u32::MAX;

/// The locations of the resources that share a value. Most values, such as identifiers, have one.
#[derive(Debug)]
enum Posting {
    One(Place),
    /// A few locations, unordered.
    Few(Vec<Place>),
    Many(BTreeSet<Place>),
}

impl Posting {
    const FEW: usize = 32;

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Few(places) => places.len(),
            Self::Many(places) => places.len(),
        }
    }

    fn extend(&self, found: &mut Vec<Place>) {
        match self {
            Self::One(place) => found.push(*place),
            Self::Few(places) => found.extend(places),
            Self::Many(places) => found.extend(places),
        }
    }

    fn insert(&mut self, place: Place) {
        match self {
            Self::One(only) if *only == place => {}
            Self::One(only) => *self = Self::Few(vec![*only, place]),
            Self::Few(places) if places.contains(&place) => {}
            Self::Few(places) if places.len() < Self::FEW => places.push(place),
            Self::Few(places) => *self = Self::Many(places.iter().copied().chain([place]).collect()),
            Self::Many(places) => drop(places.insert(place)),
        }
    }

    /// Removes a location, and returns whether none is left.
    fn remove(&mut self, place: Place) -> bool {
        match self {
            Self::One(only) => *only == place,
            Self::Few(places) => {
                places.retain(|other| *other != place);
                places.is_empty()
            }
            Self::Many(places) => {
                places.remove(&place);
                places.is_empty()
            }
        }
    }
}

/// A value of a parameter, in any system.
#[derive(Debug)]
struct Value {
    text: SmolStr,
    resource_type: ResourceType,
    parameter: Parameter,
    posting: Posting,
}

/// A system, and the number of entries that name it.
#[derive(Debug)]
struct System {
    text: SmolStr,
    entries: u64,
}

/// A table of values that have a number while they exist.
#[derive(Debug)]
struct Numbered<T> {
    things: Vec<Option<T>>,
    free: Vec<u32>,
    table: Table,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { things: Vec::new(), free: Vec::new(), table: Table::default() }
    }
}

impl<T> Numbered<T> {
    fn get(&self, number: u32) -> Option<&T> {
        self.things.get(usize::try_from(number).ok()?)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.things.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        self.table.find(hash, |number| self.get(number).is_some_and(&is))
    }

    fn insert(&mut self, hash: u64, thing: T) -> u32 {
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.things.push(None);
                // 2^32 values do not fit into memory.
                u32::try_from(self.things.len() - 1).unwrap_or(NONE)
            }
        };
        if let Some(free) = usize::try_from(number).ok().and_then(|at| self.things.get_mut(at)) {
            *free = Some(thing);
        }
        self.table.insert(hash, number);
        number
    }

    fn remove(&mut self, hash: u64, number: u32) {
        if let Some(thing) = usize::try_from(number).ok().and_then(|at| self.things.get_mut(at)) {
            *thing = None;
            self.free.push(number);
            self.table.remove(hash, number);
        }
    }
}

/// The index of a tenant.
///
/// Tokens are found by their value; the system is compared with the entries of each candidate. That serves every form
/// of token except a system without a value, which scans all resources of the type.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The living resources by type and id.
    ids: BTreeMap<ResourceType, BTreeMap<SmolStr, Place>>,
    values: Numbered<Value>,
    systems: Numbered<System>,
    /// The numbers of the values that can be searched by prefix.
    ordered: BTreeMap<(ResourceType, Parameter), BTreeMap<SmolStr, u32>>,
    /// Number of changes to the index.
    pub(super) epoch: u64,
}

/// Returns whether prefix searches are usual for a parameter: texts and URLs.
fn is_ordered(parameter: Parameter) -> bool {
    parameter.matching() == Matching::Text || parameter == Parameter::Url
}

fn value_hash(hasher: &RandomState, resource_type: ResourceType, parameter: Parameter, text: &str) -> u64 {
    hasher.hash_one((resource_type, parameter, text))
}

impl Index {
    /// Maximum number of candidates from the index; a search with more scans the ids in order.
    const MOST: usize = 4096;

    /// Adds a resource that lives now.
    pub(super) fn enter(&mut self, resource_type: ResourceType, id: &SmolStr, place: Place) {
        self.epoch += 1;
        self.ids.entry(resource_type).or_default().insert(id.clone(), place);
    }

    /// Removes a resource that no longer lives.
    pub(super) fn leave(&mut self, resource_type: ResourceType, id: &SmolStr) {
        self.epoch += 1;
        if let Some(ids) = self.ids.get_mut(&resource_type) {
            ids.remove(id);
        }
    }

    /// Adds the entries of a resource, and returns them in stored form.
    pub(super) fn insert(
        &mut self,
        hasher: &RandomState,
        resource_type: ResourceType,
        place: Place,
        entries: &IndexEntries,
    ) -> Box<[Entry]> {
        self.epoch += 1;
        let mut insert = |(parameter, token): (Parameter, &Token)| {
            let system = token.system.as_ref().map_or(NONE, |system| self.system(hasher, system));
            (self.value(hasher, resource_type, parameter, &token.value, place), system)
        };
        entries.iter().map(&mut insert).collect()
    }

    fn value(
        &mut self,
        hasher: &RandomState,
        resource_type: ResourceType,
        parameter: Parameter,
        text: &SmolStr,
        place: Place,
    ) -> u32 {
        let hash = value_hash(hasher, resource_type, parameter, text);
        let is =
            |value: &Value| value.parameter == parameter && value.resource_type == resource_type && value.text == *text;
        if let Some(number) = self.values.find(hash, is) {
            if let Some(value) = self.values.get_mut(number) {
                value.posting.insert(place);
            }
            return number;
        }
        let value = Value { text: text.clone(), resource_type, parameter, posting: Posting::One(place) };
        let number = self.values.insert(hash, value);
        if is_ordered(parameter) {
            self.ordered.entry((resource_type, parameter)).or_default().insert(text.clone(), number);
        }
        number
    }

    fn system(&mut self, hasher: &RandomState, text: &SmolStr) -> u32 {
        let hash = hasher.hash_one(text.as_str());
        let number = match self.systems.find(hash, |system| system.text == *text) {
            Some(number) => number,
            None => self.systems.insert(hash, System { text: text.clone(), entries: 0 }),
        };
        if let Some(system) = self.systems.get_mut(number) {
            system.entries += 1;
        }
        number
    }

    /// Removes the entries of a resource.
    pub(super) fn remove(&mut self, hasher: &RandomState, place: Place, entries: &[Entry]) {
        self.epoch += 1;
        let mut values: Vec<u32> = entries.iter().map(|(value, _)| *value).collect();
        values.sort_unstable();
        values.dedup();
        for number in values {
            let Some(value) = self.values.get_mut(number) else { continue };
            if value.posting.remove(place) {
                let hash = value_hash(hasher, value.resource_type, value.parameter, &value.text);
                if let Some(ordered) = self.ordered.get_mut(&(value.resource_type, value.parameter)) {
                    ordered.remove(&value.text);
                }
                self.values.remove(hash, number);
            }
        }
        for (_, number) in entries {
            let Some(system) = self.systems.get_mut(*number) else { continue };
            system.entries -= 1;
            if system.entries == 0 {
                let hash = hasher.hash_one(system.text.as_str());
                self.systems.remove(hash, *number);
            }
        }
    }

    /// Returns the living resources of a type after an id, in order.
    pub(super) fn behind(
        &self,
        resource_type: ResourceType,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&SmolStr, Place)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.ids.get(&resource_type);
        ids.into_iter()
            .flat_map(move |ids| ids.range::<str, _>((start, Bound::Unbounded)))
            .map(|(id, place)| (id, *place))
    }

    /// Returns candidate locations that include every match, from the criterion with the fewest; `None` where the index
    /// does not serve any criterion, or where the candidates are too many.
    pub(super) fn candidates(&self, hasher: &RandomState, of: ResourceType, all: &[Criterion]) -> Option<Vec<Place>> {
        let counted = all.iter().filter_map(|criterion| Some((self.count(hasher, of, criterion)?, criterion)));
        let (count, criterion) = counted.min_by_key(|(count, _)| *count)?;
        if count > Self::MOST {
            return None;
        }
        let mut found = Vec::with_capacity(count);
        self.gather(hasher, of, criterion, &mut found);
        if matches!(criterion, Criterion::AnyOf(_) | Criterion::Begins(..)) {
            found.sort_unstable();
            found.dedup();
        }
        Some(found)
    }

    fn find(&self, hasher: &RandomState, of: ResourceType, parameter: Parameter, text: &str) -> Option<u32> {
        let hash = value_hash(hasher, of, parameter, text);
        let is = |value: &Value| value.parameter == parameter && value.resource_type == of && value.text == text;
        self.values.find(hash, is)
    }

    fn beginning(&self, of: ResourceType, parameter: Parameter, start: &SmolStr) -> impl Iterator<Item = &Value> {
        let texts = self.ordered.get(&(of, parameter));
        let behind = texts
            .into_iter()
            .flat_map(move |texts| texts.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded)));
        let within = behind.take_while(move |(text, _)| text.starts_with(start.as_str()));
        within.filter_map(|(_, number)| self.values.get(*number))
    }

    /// Returns an upper bound for the number of matches of a criterion; counting stops above [`Self::MOST`].
    fn count(&self, hasher: &RandomState, of: ResourceType, criterion: &Criterion) -> Option<usize> {
        let mut count = 0_usize;
        let mut more = |n: usize| {
            count += n;
            count > Self::MOST
        };
        match criterion {
            Criterion::Id(_) => drop(more(1)),
            Criterion::AnyId(wanted) => drop(more(wanted.len())),
            Criterion::Is(parameter, token) => {
                let number = self.find(hasher, of, *parameter, token.value()?);
                more(number.and_then(|number| self.values.get(number)).map_or(0, |value| value.posting.len()));
            }
            Criterion::Begins(parameter, start) if is_ordered(*parameter) => {
                self.beginning(of, *parameter, start).any(|value| more(value.posting.len()));
            }
            Criterion::Begins(..) => return None,
            Criterion::AnyOf(any) => {
                for criterion in any {
                    if more(self.count(hasher, of, criterion)?) {
                        break;
                    }
                }
            }
        }
        Some(count)
    }

    fn gather(&self, hasher: &RandomState, of: ResourceType, criterion: &Criterion, found: &mut Vec<Place>) {
        let ids = || self.ids.get(&of);
        match criterion {
            Criterion::Id(id) => found.extend(ids().and_then(|ids| ids.get(id.as_str()))),
            Criterion::AnyId(wanted) => {
                found.extend(wanted.iter().filter_map(|id| ids().and_then(|ids| ids.get(id.as_str()))));
            }
            Criterion::Is(parameter, token) => {
                let number = token.value().and_then(|value| self.find(hasher, of, *parameter, value));
                if let Some(value) = number.and_then(|number| self.values.get(number)) {
                    value.posting.extend(found);
                }
            }
            Criterion::Begins(parameter, start) => {
                self.beginning(of, *parameter, start).for_each(|value| value.posting.extend(found));
            }
            Criterion::AnyOf(any) => any.iter().for_each(|criterion| self.gather(hasher, of, criterion, found)),
        }
    }

    /// Returns whether a living resource meets the criteria.
    pub(super) fn meets(&self, record: &Record, criteria: &Criteria) -> bool {
        let entry = |(value, system): &Entry| {
            let value = self.values.get(*value)?;
            let system = if *system == NONE { None } else { Some(self.systems.get(*system)?.text.as_str()) };
            Some((value.parameter, system, value.text.as_str()))
        };
        criteria.meet(&record.id, || record.entries.iter().filter_map(entry))
    }
}
