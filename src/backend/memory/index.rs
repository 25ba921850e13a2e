//! By what the living resources of a tenant are found.

use crate::store::{Criterion, IndexEntries, ResourceType, Token};
use smol_str::SmolStr;
use std::collections::{BTreeSet, HashMap, btree_set};
use std::ops::Bound;

/// The entries of one resource, as they are kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    identifier: Box<[Token]>,
    kind: Box<[Token]>,
    source: Option<SmolStr>,
    parent: Option<SmolStr>,
}

impl Entries {
    pub(super) fn new(from: IndexEntries) -> Self {
        Self {
            identifier: from.identifier.into_boxed_slice(),
            kind: from.kind.into_boxed_slice(),
            source: from.source,
            parent: from.parent,
        }
    }

    pub(super) fn equal(&self, other: &IndexEntries) -> bool {
        *self.identifier == *other.identifier
            && *self.kind == *other.kind
            && self.source == other.source
            && self.parent == other.parent
    }

    pub(super) fn meet(&self, id: &str, criterion: &Criterion) -> bool {
        match criterion {
            Criterion::Id(wanted) => wanted == id,
            Criterion::AnyId(wanted) => wanted.contains(id),
            Criterion::Identifier(token) => self.identifier.iter().any(|t| token.matches(t)),
            Criterion::Kind(token) => self.kind.iter().any(|t| token.matches(t)),
            Criterion::Source(source) => self.source.as_ref() == Some(source),
            Criterion::Parent(parent) => self.parent.as_ref() == Some(parent),
        }
    }
}

/// The ids that share a value. Most values, such as identifiers, have one.
#[derive(Debug)]
enum Posting {
    One(SmolStr),
    Many(BTreeSet<SmolStr>),
}

impl Posting {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(ids) => ids.len(),
        }
    }
}

type Postings = HashMap<SmolStr, Posting>;

fn insert(postings: &mut Postings, value: &SmolStr, id: &SmolStr) {
    match postings.get_mut(value) {
        None => {
            postings.insert(value.clone(), Posting::One(id.clone()));
        }
        Some(Posting::One(only)) if only == id => {}
        Some(posting @ Posting::One(_)) => {
            let mut ids = BTreeSet::from([id.clone()]);
            if let Posting::One(only) = posting {
                ids.insert(only.clone());
            }
            *posting = Posting::Many(ids);
        }
        Some(Posting::Many(ids)) => {
            ids.insert(id.clone());
        }
    }
}

fn remove(postings: &mut Postings, value: &SmolStr, id: &SmolStr) {
    let empty = match postings.get_mut(value) {
        None => false,
        Some(Posting::One(only)) => only == id,
        Some(Posting::Many(ids)) => {
            ids.remove(id);
            ids.is_empty()
        }
    };
    if empty {
        postings.remove(value);
    }
}

/// The index of one type.
///
/// Tokens are found by their value; the system is compared with the entries of each candidate. That serves every form
/// but that of a whole system, which goes through all resources of the type.
#[derive(Debug, Default)]
pub(super) struct TypeIndex {
    ids: BTreeSet<SmolStr>,
    identifier: Postings,
    kind: Postings,
    source: Postings,
    parent: Postings,
}

impl TypeIndex {
    pub(super) fn insert(&mut self, id: &SmolStr, entries: &Entries) {
        self.ids.insert(id.clone());
        entries.identifier.iter().for_each(|token| insert(&mut self.identifier, &token.value, id));
        entries.kind.iter().for_each(|token| insert(&mut self.kind, &token.value, id));
        entries.source.iter().for_each(|source| insert(&mut self.source, source, id));
        entries.parent.iter().for_each(|parent| insert(&mut self.parent, parent, id));
    }

    pub(super) fn remove(&mut self, id: &SmolStr, entries: &Entries) {
        self.ids.remove(id);
        entries.identifier.iter().for_each(|token| remove(&mut self.identifier, &token.value, id));
        entries.kind.iter().for_each(|token| remove(&mut self.kind, &token.value, id));
        entries.source.iter().for_each(|source| remove(&mut self.source, source, id));
        entries.parent.iter().for_each(|parent| remove(&mut self.parent, parent, id));
    }

    /// The ids behind `after`, in order, among which are all that meet the criteria: the shortest list that there is.
    pub(super) fn candidates(&self, all_of: &[Criterion], after: Option<&str>) -> Candidates<'_> {
        let mut shortest: Option<&Posting> = None;
        for criterion in all_of {
            let posting = match criterion {
                Criterion::Id(id) => {
                    let found = self.ids.get(id.as_str()).filter(|id| after.is_none_or(|after| id.as_str() > after));
                    return Candidates::One(found);
                }
                Criterion::AnyId(wanted) => {
                    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
                    let wanted = wanted.range::<str, _>((start, Bound::Unbounded));
                    let found: Vec<&SmolStr> = wanted.filter_map(|id| self.ids.get(id)).collect();
                    return Candidates::Some(found.into_iter());
                }
                Criterion::Identifier(token) => token.value().map(|value| self.identifier.get(value)),
                Criterion::Kind(token) => token.value().map(|value| self.kind.get(value)),
                Criterion::Source(source) => Some(self.source.get(source)),
                Criterion::Parent(parent) => Some(self.parent.get(parent)),
            };
            match posting {
                None => {}
                Some(None) => return Candidates::One(None),
                Some(Some(posting)) if shortest.is_none_or(|s| posting.len() < s.len()) => shortest = Some(posting),
                Some(Some(_)) => {}
            }
        }
        let ids = match shortest {
            Some(Posting::One(id)) => {
                return Candidates::One(Some(id).filter(|id| after.is_none_or(|after| id.as_str() > after)));
            }
            Some(Posting::Many(ids)) => ids,
            None => &self.ids,
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Candidates::Many(ids.range::<str, _>((start, Bound::Unbounded)))
    }
}

pub(super) enum Candidates<'a> {
    One(Option<&'a SmolStr>),
    Some(std::vec::IntoIter<&'a SmolStr>),
    Many(btree_set::Range<'a, SmolStr>),
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a SmolStr;

    fn next(&mut self) -> Option<&'a SmolStr> {
        match self {
            Self::One(id) => id.take(),
            Self::Some(ids) => ids.next(),
            Self::Many(ids) => ids.next(),
        }
    }
}

/// The index of a tenant.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<ResourceType, TypeIndex>);

impl Index {
    pub(super) fn of(&self, resource_type: ResourceType) -> Option<&TypeIndex> {
        self.0.get(&resource_type)
    }

    pub(super) fn of_mut(&mut self, resource_type: ResourceType) -> &mut TypeIndex {
        self.0.entry(resource_type).or_default()
    }
}
