//! What a walk remembers of a resource: what it contains, and which ids it has given.

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
    /// Whether some local reference names it.
    pub(super) referred: bool,
}

/// A resource with an identity of its own.
#[derive(Default)]
pub(super) struct Container<'n> {
    few: [Contained<'n>; FEW],
    count: usize,
    more: BTreeMap<&'n str, Contained<'n>>,
    ids: Ids<'n>,
    /// For the contained resources that the walk has met after a finding: the number, and how many findings came before.
    pub(super) met: Vec<(usize, usize)>,
}

impl<'n> Container<'n> {
    /// Adds a contained resource. Says whether its id is new.
    pub(super) fn add(&mut self, id: &'n str, resource_type: &'n str) -> bool {
        let new = id.is_empty() || self.find(id).is_none();
        let contained = Contained { id, resource_type, referred: false };
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

    /// The contained resource that a local reference names, which is thereby referred to.
    pub(super) fn refer(&mut self, id: &str) -> Option<Contained<'n>> {
        let found = self.find(id).filter(|found| !found.id.is_empty())?;
        found.referred = true;
        Some(*found)
    }

    /// Whether some local reference names the contained resource.
    pub(super) fn is_referred(&mut self, id: &str) -> bool {
        self.find(id).is_some_and(|found| found.referred && !found.id.is_empty())
    }

    /// Whether there is no contained resource.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is a contained resource of that id.
    pub(super) fn contains(&mut self, id: &str) -> bool {
        !id.is_empty() && self.find(id).is_some()
    }

    /// Notes the id of an element. Says whether it is new.
    pub(super) fn note(&mut self, id: &'n str) -> bool {
        self.ids.note(id)
    }
}

#[derive(Default)]
struct Ids<'n> {
    few: [&'n str; FEW_IDS],
    count: usize,
    more: BTreeSet<&'n str>,
}

impl<'n> Ids<'n> {
    fn note(&mut self, id: &'n str) -> bool {
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
