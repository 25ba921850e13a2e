//! By what the resources of a tree are referred to.

use super::item::{Item, token};
use super::tree::{NONE, Record, Tie};
use crate::datatype::Literal;
use std::collections::HashMap;

/// What kind of resource is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Device,
    Component,
    Metric,
}

impl Target {
    pub(super) const ALL: [Self; 3] = [Self::Device, Self::Component, Self::Metric];

    pub(super) const fn of(item: Item<'_>) -> Self {
        match item {
            Item::Device(_) => Self::Device,
            Item::Component(_) => Self::Component,
            Item::Metric(_) => Self::Metric,
        }
    }

    const fn type_name(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::Component => "DeviceComponent",
            Self::Metric => "DeviceMetric",
        }
    }
}

/// Where ids are unique: at the base of a service, or in a container; 0 where no base is known.
type Space = u32;

const NOWHERE: Space = 0;
/// The spaces of containers have this bit; the rest is the node of the container.
const CONTAINER: Space = 1 << 31;
/// Sources that are not among the resources have this bit.
const FAR: u32 = 1 << 31;
/// More than one.
const SEVERAL: u32 = NONE;
/// A resource that has no place in a tree.
const FOREIGN: u32 = NONE - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name<'a> {
    id: &'a str,
    space: Space,
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Far<'a> {
    Restful(Space, &'a str),
    Text(&'a str),
}

type Identified<'a> = (Target, Option<&'a str>, &'a str);

#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    names: HashMap<Name<'a>, u32>,
    /// The bases, from 1.
    bases: HashMap<&'a str, Space>,
    urls: HashMap<&'a str, u32>,
    far: HashMap<Far<'a>, u32>,
    /// Whether some resource is contained in another.
    has_contained: bool,
    /// The three below are made when the first reference needs them.
    versions: Option<HashMap<(Name<'a>, &'a str), u32>>,
    anywhere: Option<HashMap<(Target, &'a str), u32>>,
    identifiers: Option<HashMap<Identified<'a>, u32>>,
}

/// Where a resource was put: its space, and the first that has its name there.
pub(super) struct Put {
    pub(super) number: Space,
    pub(super) first: u32,
}

impl<'a> Names<'a> {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { names: HashMap::with_capacity(count), ..Self::default() }
    }

    fn base(&mut self, base: &'a str) -> Space {
        let next = u32::try_from(self.bases.len()).unwrap_or(0) + 1;
        *self.bases.entry(base).or_insert(next)
    }

    /// Adds a resource under the address of its entry, or under its type and id alone.
    pub(super) fn add(&mut self, item: Item<'a>, at: u32, url: Option<&'a str>) -> Put {
        let id = item.id().map(|id| id.as_str());
        let (space, id) = match url.map(|url| (url, Literal::parse(url))) {
            None => (NOWHERE, id),
            Some((_, Literal::Absolute { base, id, .. })) => (self.base(base), Some(id)),
            Some((url, _)) => {
                let first = *self.urls.entry(url).and_modify(|there| *there = SEVERAL).or_insert(at);
                // Nothing relative leads to it.
                return Put { number: NOWHERE, first: if first == SEVERAL { at } else { first } };
            }
        };
        let Some(id) = id else { return Put { number: space, first: at } };
        let name = Name { id, space, target: Target::of(item) };
        Put { number: space, first: *self.names.entry(name).or_insert(at) }
    }

    pub(super) fn add_contained(&mut self, item: Item<'a>, at: u32, container: u32) -> u32 {
        self.has_contained = true;
        let Some(id) = item.id() else { return at };
        let name = Name { id: id.as_str(), space: CONTAINER | container, target: Target::of(item) };
        *self.names.entry(name).or_insert(at)
    }

    pub(super) fn add_foreign(&mut self, url: Option<&'a str>) {
        if let Some(url) = url {
            self.urls.entry(url).and_modify(|there| *there = SEVERAL).or_insert(FOREIGN);
        }
    }

    /// The first resource of this type and id, wherever it is.
    pub(super) fn find(&self, nodes: &[Record<'a>], target: Target, id: &str) -> Option<u32> {
        let spaces = std::iter::once(NOWHERE).chain(self.bases.values().copied());
        let named = spaces.filter_map(|space| self.names.get(&Name { id, space, target }).copied()).min();
        // Those that have a urn for an address, and those that are contained, are found by looking.
        named.or_else(|| {
            let is = |record: &Record<'_>| {
                Target::of(record.item) == target && record.item.id().is_some_and(|own| own.as_str() == id)
            };
            (self.has_contained || !self.urls.is_empty())
                .then(|| (0..).zip(nodes).find(|(_, record)| is(record)).map(|(at, _)| at))
                .flatten()
        })
    }

    pub(super) fn contained(
        &self,
        nodes: &[Record<'a>],
        wanted: Target,
        container: usize,
        id: &str,
    ) -> Result<u32, Tie> {
        let space = CONTAINER | u32::try_from(container).unwrap_or(0);
        let named = |target| self.names.get(&Name { id, space, target }).copied();
        match named(wanted) {
            Some(at) => sole(nodes, at),
            None if Target::ALL.into_iter().any(|other| named(other).is_some()) => Err(Tie::WrongType),
            None => Err(Tie::Missing),
        }
    }

    pub(super) fn by_url(&self, nodes: &[Record<'a>], wanted: Target, url: &str) -> Result<u32, Tie> {
        match self.urls.get(url).copied() {
            None => Err(Tie::Missing),
            Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(at) => match nodes.get(at as usize) {
                Some(record) if Target::of(record.item) == wanted => Ok(at),
                _ => Err(Tie::WrongType),
            },
        }
    }

    pub(super) fn restful(
        &mut self,
        nodes: &[Record<'a>],
        wanted: Target,
        from: Space,
        literal: Literal<'a>,
    ) -> Result<u32, Tie> {
        let (Some(named), Some(id)) = (literal.resource_type(), literal.id()) else { return Err(Tie::Missing) };
        if named != wanted.type_name() {
            return Err(Tie::WrongType);
        }
        let (space, is_absolute) = match literal {
            Literal::Absolute { base, .. } => match self.bases.get(base) {
                Some(space) => (*space, true),
                None => return Err(Tie::Missing),
            },
            _ => (from, false),
        };
        let name = |space| Name { id, space, target: wanted };
        let mut hits = self.names.get(&name(space)).copied();
        // A resource without an address may be what a relative reference means.
        if space != NOWHERE && !is_absolute {
            match (hits, self.names.get(&name(NOWHERE)).copied()) {
                (Some(_), Some(_)) => return Err(Tie::Ambiguous),
                (None, alone) => hits = alone,
                (Some(_), None) => {}
            }
        } else if space == NOWHERE && hits.is_none() && !self.bases.is_empty() {
            return self.anywhere(nodes, wanted, id);
        }
        let at = hits.ok_or(Tie::Missing)?;
        match (sole(nodes, at), literal.version()) {
            (Err(Tie::Ambiguous), Some(version)) => {
                let first = nodes.get(at as usize).map_or(NOWHERE, |record| record.space);
                self.version(nodes, name(first), version)
            }
            (found, _) => found,
        }
    }

    /// By the rule for an entry whose own address has no base: the only resource of that type and id at any base.
    fn anywhere(&mut self, nodes: &[Record<'a>], wanted: Target, id: &'a str) -> Result<u32, Tie> {
        let names = &self.names;
        let anywhere = self.anywhere.get_or_insert_with(|| {
            let mut all = HashMap::new();
            for (name, at) in names.iter().filter(|(name, _)| name.space & CONTAINER == 0) {
                all.entry((name.target, name.id)).and_modify(|there| *there = SEVERAL).or_insert(*at);
            }
            all
        });
        match anywhere.get(&(wanted, id)).copied() {
            None => Err(Tie::Missing),
            Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(at) => sole(nodes, at),
        }
    }

    fn version(&mut self, nodes: &[Record<'a>], name: Name<'a>, version: &'a str) -> Result<u32, Tie> {
        let versions = self.versions.get_or_insert_with(|| {
            let mut all = HashMap::new();
            for (at, record) in (0..).zip(nodes).filter(|(_, record)| record.is_doubled && record.container == NONE) {
                let (Some(id), Some(version)) = (record.item.id(), record.item.version()) else { continue };
                let name = Name { id: id.as_str(), space: record.space, target: Target::of(record.item) };
                all.entry((name, version.as_str())).and_modify(|there| *there = SEVERAL).or_insert(at);
            }
            all
        });
        match versions.get(&(name, version)).copied() {
            None | Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(at) => Ok(at),
        }
    }

    pub(super) fn by_identifier(
        &mut self,
        nodes: &[Record<'a>],
        wanted: Target,
        (system, value): (Option<&'a str>, &'a str),
    ) -> Result<u32, Tie> {
        let identifiers = self.identifiers.get_or_insert_with(|| {
            let mut all = HashMap::new();
            for (at, record) in (0..).zip(nodes) {
                for (system, value) in record.item.identifiers().filter_map(token) {
                    let key = (Target::of(record.item), system, value);
                    all.entry(key).and_modify(|there| *there = if *there == at { at } else { SEVERAL }).or_insert(at);
                }
            }
            all
        });
        match identifiers.get(&(wanted, system, value)).copied() {
            None => Err(Tie::Missing),
            Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(at) => Ok(at),
        }
    }

    /// A number for a source that is not among the resources.
    pub(super) fn far(&mut self, from: Space, literal: Literal<'a>) -> u32 {
        let far = match literal {
            Literal::Relative { id, .. } => Far::Restful(from, id),
            Literal::Absolute { base, id, .. } => Far::Restful(self.base(base), id),
            Literal::Contained { .. } => return NONE,
            Literal::Urn(text) | Literal::Other(text) => Far::Text(text),
        };
        let next = FAR | u32::try_from(self.far.len()).unwrap_or(0);
        *self.far.entry(far).or_insert(next)
    }
}

/// The resource of a name, if the name is of one alone.
fn sole(nodes: &[Record<'_>], at: u32) -> Result<u32, Tie> {
    match nodes.get(at as usize) {
        Some(record) if record.is_doubled => Err(Tie::Ambiguous),
        _ => Ok(at),
    }
}
