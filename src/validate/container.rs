//! Contained resources and element ids met during a walk.

use std::collections::{BTreeMap, BTreeSet};

/// How many contained resources are remembered without the heap.
const FEW: usize = 16;

/// How many ids are remembered without the heap.
const FEW_IDS: usize = 32;

/// A contained resource.
#[derive(Clone, Copy, Default)]
pub(super) struct Contained<'n> {
    pub(super) id: &'n str,
    pub(super) resource_type: &'n str,
    /// How the resource is referred to.
    pub(super) referred: Referred,
}

/// How a contained resource is referenced.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Referred {
    /// Not referenced.
    #[default]
    Not,
    /// By an image or a link of the narrative, which no reference of the resource is.
    InNarrative,
    /// By a reference.
    ByReference,
}

/// A resource with an identity of its own.
#[derive(Default)]
pub(super) struct Container<'n> {
    few: [Contained<'n>; FEW],
    count: usize,
    more: BTreeMap<&'n str, Contained<'n>>,
    /// Whether some contained resource has an id that reading refused, so that it is not known which one is meant.
    pub(super) doubtful: bool,
    /// For the contained resources that the walk has met after a finding: the number, and how many findings came before.
    pub(super) met: Vec<(usize, usize)>,
}

impl<'n> Container<'n> {
    /// Adds a contained resource. Says whether its id is new.
    pub(super) fn add(&mut self, id: &'n str, resource_type: &'n str) -> bool {
        let new = id.is_empty() || self.find(id).is_none();
        let contained = Contained { id, resource_type, referred: Referred::Not };
        match self.few.get_mut(self.count) {
            Some(slot) => *slot = contained,
            None => {
                self.more.entry(id).or_insert(contained);
            }
        }
        self.count += 1;
        new
    }

    fn find(&mut self, id: &str) -> Option<&mut Contained<'n>> {
        let few = self.few.iter_mut().take(self.count);
        few.into_iter().find(|contained| contained.id == id).or_else(|| self.more.get_mut(id))
    }

    /// Returns the contained resource that a local reference names, which is thereby referred to.
    pub(super) fn refer(&mut self, id: &str, how: Referred) -> Option<Contained<'n>> {
        let found = self.find(id).filter(|found| !found.id.is_empty())?;
        found.referred = found.referred.max(how);
        Some(*found)
    }

    /// How the contained resource is referred to.
    pub(super) fn referred(&mut self, id: &str) -> Referred {
        self.find(id).filter(|found| !found.id.is_empty()).map_or(Referred::Not, |found| found.referred)
    }

    /// Returns whether there is a contained resource of that id.
    pub(super) fn contains(&mut self, id: &str) -> bool {
        !id.is_empty() && self.find(id).is_some()
    }
}

/// The ids of the elements of a resource.
#[derive(Default)]
pub(super) struct Ids<'n> {
    few: [&'n str; FEW_IDS],
    count: usize,
    more: BTreeSet<&'n str>,
}

impl<'n> Ids<'n> {
    /// Notes the id of an element. Says whether it is new.
    pub(super) fn note(&mut self, id: &'n str) -> bool {
        if self.few.iter().take(self.count).any(|known| *known == id) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(slot) => {
                *slot = id;
                self.count += 1;
                true
            }
            None => self.more.insert(id),
        }
    }
}
