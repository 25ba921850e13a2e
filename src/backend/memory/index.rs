//! By what the living resources of a tenant are found.

use crate::store::{Criterion, IndexEntries, Parameter, ResourceType};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet, HashMap, btree_set};
use std::ops::Bound;

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

    fn iter(&self) -> Box<dyn Iterator<Item = &SmolStr> + '_> {
        match self {
            Self::One(id) => Box::new(std::iter::once(id)),
            Self::Many(ids) => Box::new(ids.iter()),
        }
    }
}

type Postings = BTreeMap<(Parameter, SmolStr), Posting>;

fn insert(postings: &mut Postings, value: (Parameter, SmolStr), id: &SmolStr) {
    match postings.get_mut(&value) {
        None => {
            postings.insert(value, Posting::One(id.clone()));
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

fn remove(postings: &mut Postings, value: &(Parameter, SmolStr), id: &SmolStr) {
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
    postings: Postings,
}

impl TypeIndex {
    pub(super) fn insert(&mut self, id: &SmolStr, entries: &IndexEntries) {
        self.ids.insert(id.clone());
        entries.iter().for_each(|(of, token)| insert(&mut self.postings, (of, token.value.clone()), id));
    }

    pub(super) fn remove(&mut self, id: &SmolStr, entries: &IndexEntries) {
        self.ids.remove(id);
        entries.iter().for_each(|(of, token)| remove(&mut self.postings, &(of, token.value.clone()), id));
    }

    /// The ids behind `after`, in order, among which are all that meet the criteria: the shortest list that there is.
    pub(super) fn candidates(&self, all_of: &[Criterion], after: Option<&str>) -> Candidates<'_> {
        let behind = |id: &&SmolStr| after.is_none_or(|after| id.as_str() > after);
        let mut shortest: Option<Found<'_>> = None;
        for found in all_of.iter().filter_map(|criterion| self.find(criterion)) {
            if shortest.as_ref().is_none_or(|shortest| found.len() < shortest.len()) {
                shortest = Some(found);
            }
        }
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = match shortest {
            Some(Found::Posting(Posting::One(id))) => return Candidates::One(Some(id).filter(behind)),
            Some(Found::Posting(Posting::Many(ids))) => ids,
            Some(Found::Gathered(ids)) => {
                let ids: Vec<_> = ids.into_iter().filter(behind).collect();
                return Candidates::Some(ids.into_iter());
            }
            None => &self.ids,
        };
        Candidates::Many(ids.range::<str, _>((start, Bound::Unbounded)))
    }

    /// All that can meet a criterion; nothing where that is not known from the index.
    fn find(&self, criterion: &Criterion) -> Option<Found<'_>> {
        match criterion {
            Criterion::Id(id) => Some(Found::Gathered(self.ids.get(id.as_str()).into_iter().collect())),
            Criterion::AnyId(wanted) => {
                Some(Found::Gathered(wanted.iter().filter_map(|id| self.ids.get(id)).collect()))
            }
            Criterion::Is(parameter, token) => {
                let posting = self.postings.get(&(*parameter, token.value()?.clone()));
                Some(posting.map_or_else(|| Found::Gathered(BTreeSet::new()), Found::Posting))
            }
            Criterion::Begins(parameter, start) => {
                let behind = self.postings.range((*parameter, start.clone())..);
                let within = behind.take_while(|((of, value), _)| of == parameter && value.starts_with(start.as_str()));
                Some(Found::Gathered(within.flat_map(|(_, posting)| posting.iter()).collect()))
            }
            Criterion::AnyOf(any) => {
                let each = any.iter().map(|criterion| self.find(criterion)).collect::<Option<Vec<_>>>()?;
                Some(Found::Gathered(each.iter().flat_map(Found::iter).collect()))
            }
        }
    }
}

/// The ids that a criterion leads to.
enum Found<'a> {
    Posting(&'a Posting),
    Gathered(BTreeSet<&'a SmolStr>),
}

impl<'a> Found<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Posting(posting) => posting.len(),
            Self::Gathered(ids) => ids.len(),
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = &'a SmolStr> + '_> {
        match self {
            Self::Posting(posting) => posting.iter(),
            Self::Gathered(ids) => Box::new(ids.iter().copied()),
        }
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
