//! Index of ids, URLs and identifiers for resolving references.

use super::hash_index::{BATCH, HashIndex, HashKey, NO_KEY, mixed};
use super::node_record::{LinkState, MOST, NONE, Nodes, Target};
use crate::reference::item::{Item, ReferenceValue, token};

use crate::datatype::Literal;
use crate::reference::{OwnBase, decoded, localize};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Scope in which ids are unique: the base URL of a service, or a container; 0 where no base is known.
type IdSpace = u32;

pub(super) const NO_SPACE: IdSpace = 0;
/// Bit of the spaces of containers; the other bits are the node of the container.
const CONTAINER: IdSpace = MOST;
/// Bit of sources that are not among the resources; the other bits are the first node that names the source.
pub(super) const EXTERNAL: u32 = MOST;
/// Several nodes match.
const AMBIGUOUS: u32 = NONE;
/// Resource of a type that has no place in a tree.
const FOREIGN: u32 = NONE - 1;

/// [Keys](HashKey) of the id and the references of a resource, from which a tree is built.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResourceKeys {
    /// Key of the id.
    pub(super) id: HashKey,
    /// Keys of the ids in the references, where these are plain.
    pub(super) parent: HashKey,
    pub(super) source: HashKey,
}

type Identified<'a> = (Target, Option<&'a str>, &'a str);
type Named<'a> = (IdSpace, Target, &'a str);

#[derive(Debug, Default)]
pub(super) struct ReferenceIndex<'a> {
    keys: RandomState,
    /// Base URL of the service to which resources without a URL belong.
    pub(super) own: Option<OwnBase>,
    /// First node of each name: type, id, and id space.
    names: HashIndex,
    /// Base URLs, numbered from 1.
    bases: HashMap<&'a str, IdSpace>,
    /// Cache of the last base, which the next resource mostly shares.
    last_base: Option<(&'a str, IdSpace)>,
    urls: HashMap<&'a str, u32>,
    far: HashIndex,
    /// Whether several nodes share a name.
    has_duplicates: bool,
    /// Whether a resource has only its type and id, and whether one is contained in another.
    has_alone: bool,
    has_contained: bool,
    /// The following three are built when the first reference needs them.
    versions: Option<HashMap<(Named<'a>, &'a str), u32>>,
    anywhere: Option<Anywhere>,
    identifiers: Option<HashMap<Identified<'a>, u32>>,
}

/// Names without their id spaces, and those that occur in several.
#[derive(Debug)]
struct Anywhere {
    all: HashIndex,
    several: HashIndex,
}

/// Result of adding a resource: its id space, the key of its id, and the first node with the same URL.
pub(super) struct Inserted {
    pub(super) space: IdSpace,
    pub(super) id: HashKey,
    pub(super) first: u32,
}

/// Returns the key of an id in a space.
const fn within(id: HashKey, space: IdSpace, target: Target) -> HashKey {
    let [a, b, c] = mixed(id, space);
    [a.wrapping_add((target as u32).wrapping_mul(0x85EB_CA77)), b, c ^ (target as u32)]
}

impl<'a> ReferenceIndex<'a> {
    pub(super) fn key(&self, text: &str) -> HashKey {
        self.key_of_all([text])
    }

    /// Returns the key of several texts in order.
    pub(super) fn key_of_all<const N: usize>(&self, texts: [&str; N]) -> HashKey {
        let mut hasher = self.keys.build_hasher();
        for text in texts {
            hasher.write(text.as_bytes());
            hasher.write_u8(0xFF);
        }
        let first = hasher.finish();
        // The hasher's state has four words, so that a second output is as good as another hash.
        hasher.write_u8(0xEE);
        let key = [(first >> 32) as u32, first as u32, hasher.finish() as u32];
        if key == NO_KEY { [1; 3] } else { key }
    }

    fn base(&mut self, base: &'a str) -> IdSpace {
        if let Some((last, space)) = self.last_base
            && last == base
        {
            return space;
        }
        let next = u32::try_from(self.bases.len()).unwrap_or(0) + 1;
        let space = *self.bases.entry(base).or_insert(next);
        self.last_base = Some((base, space));
        space
    }

    pub(super) fn localize<'t>(&self, literal: Literal<'t>) -> Literal<'t> {
        localize(self.own.as_ref(), literal)
    }

    /// Returns whether a reference to a device that is not among the resources is to this id at the service of the
    /// resources.
    pub(super) fn is_device(&self, literal: Literal<'_>, device: &str) -> bool {
        let decoded = decoded(literal);
        let literal = self.localize(decoded.as_deref().map_or(literal, Literal::parse));
        // Without an own base, the URLs of the documents tell their service.
        let is_here = match literal {
            Literal::Absolute { .. } => self.own.is_none() && !self.bases.is_empty(),
            _ => true,
        };
        is_here && literal.resource_type() == Some("Device") && literal.id() == Some(device)
    }

    /// Adds a resource with the URL of its entry, or with its type and id only.
    pub(super) fn add(&mut self, item: Item<'a>, at: u32, url: Option<&'a str>) -> Inserted {
        let own = item.id().map(|id| id.as_str());
        let (space, id) = match url.map(|url| (url, Literal::parse(url))) {
            None => {
                self.has_alone |= own.is_some();
                (NO_SPACE, own)
            }
            Some((_, Literal::Absolute { base, id, .. })) => (self.base(base), Some(id)),
            Some((url, _)) => {
                let first = *self.urls.entry(url).and_modify(|there| *there = AMBIGUOUS).or_insert(at);
                // No relative reference leads to this resource.
                let first = if first == AMBIGUOUS { at } else { first };
                self.has_duplicates |= first != at;
                return Inserted { space: NO_SPACE, id: NO_KEY, first };
            }
        };
        Inserted { space, id: id.map_or(NO_KEY, |id| self.key(id)), first: at }
    }

    /// Adds a contained resource and returns the key of its id.
    pub(super) fn add_contained(&mut self, item: Item<'a>) -> HashKey {
        self.has_contained = true;
        item.id().map_or(NO_KEY, |id| self.key(id.as_str()))
    }

    pub(super) fn add_foreign(&mut self, url: Option<&'a str>) {
        if let Some(url) = url {
            self.urls.entry(url).and_modify(|there| *there = AMBIGUOUS).or_insert(FOREIGN);
        }
    }

    /// Indexes the names of all nodes, and marks nodes that share one.
    pub(super) fn number(&mut self, nodes: &mut Nodes<'a>, keys: &[ResourceKeys]) {
        self.names = HashIndex::with_capacity(nodes.len());
        for (batch, from) in keys.chunks(BATCH).zip((0..).step_by(BATCH)) {
            let named = || (from..).zip(batch).filter(|(_, keys)| keys.id != NO_KEY);
            let name = |names: &Self, nodes: &Nodes<'_>, at, id| within(id, names.space(nodes, at), nodes.kind(at));
            self.names.fetch(named().map(|(at, keys)| name(self, nodes, at, keys.id)));
            for (at, keys) in named() {
                let first = self.names.insert(name(self, nodes, at, keys.id), at);
                if first != at {
                    self.has_duplicates = true;
                    nodes.mark(first, |marks| marks.set_doubled(true));
                    nodes.mark(at, |marks| marks.set_doubled(true));
                }
            }
        }
    }

    /// Drops the data that only the resolution needs.
    pub(super) fn settle(&mut self) {
        self.far = HashIndex::default();
        (self.versions, self.anywhere, self.identifiers) = (None, None, None);
    }

    /// Returns the space in which the id of a node is unique.
    pub(super) fn space(&self, nodes: &Nodes<'a>, at: u32) -> IdSpace {
        // Fast path: there is mostly one space only.
        if self.bases.is_empty() && !self.has_contained {
            return NO_SPACE;
        }
        match nodes.origin(at) {
            Some(origin) if origin.container != NONE => CONTAINER | origin.container,
            Some(origin) => origin.space,
            None => NO_SPACE,
        }
    }

    /// Returns the space of the relative references of a node.
    pub(super) fn base_of(&self, nodes: &Nodes<'a>, at: u32) -> IdSpace {
        if self.bases.is_empty() { NO_SPACE } else { nodes.origin(at).map_or(NO_SPACE, |origin| origin.space) }
    }

    /// Prefetches the slots that [`plain`](Self::plain) reads for these nodes.
    pub(super) fn fetch(&self, nodes: &Nodes<'a>, batch: &[ResourceKeys], from: u32) {
        let at_base = |(at, keys): (u32, &ResourceKeys)| {
            let space = self.base_of(nodes, at);
            [within(keys.parent, space, Target::Component), within(keys.source, space, Target::Device)]
        };
        self.names.fetch((from..).zip(batch).flat_map(at_base));
    }

    /// Returns the first node of a name.
    fn named(&self, id: HashKey, space: IdSpace, target: Target) -> Option<u32> {
        self.names.find(within(id, space, target))
    }

    /// Returns the first resource of this type and id in any space.
    pub(super) fn find(&self, nodes: &Nodes<'a>, target: Target, id: &str) -> Option<u32> {
        let key = self.key(id);
        let spaces = std::iter::once(NO_SPACE).chain(self.bases.values().copied());
        let named = spaces.filter_map(|space| self.named(key, space, target)).min();
        // Resources with a URN, and contained ones, are found by a scan.
        named.or_else(|| {
            let is = |item: Item<'_>| Target::of(item) == target && item.id().is_some_and(|own| own.as_str() == id);
            (self.has_contained || !self.urls.is_empty())
                .then(|| (0..).zip(nodes.items()).find(|(_, item)| is(**item)).map(|(at, _)| at))
                .flatten()
        })
    }

    pub(super) fn contained(
        &self,
        nodes: &Nodes<'a>,
        wanted: Target,
        container: u32,
        id: &str,
    ) -> Result<u32, LinkState> {
        let (space, key) = (CONTAINER | container, self.key(id));
        let named = |target| self.named(key, space, target);
        match named(wanted) {
            Some(at) => self.sole(nodes, at),
            None if Target::ALL.into_iter().any(|other| named(other).is_some()) => Err(LinkState::WrongType),
            None => Err(LinkState::Missing),
        }
    }

    pub(super) fn by_url(&self, nodes: &Nodes<'a>, wanted: Target, url: &str) -> Result<u32, LinkState> {
        match self.urls.get(url).copied() {
            None => Err(LinkState::Missing),
            Some(AMBIGUOUS) => Err(LinkState::Ambiguous),
            Some(FOREIGN) => Err(LinkState::WrongType),
            Some(at) if nodes.kind(at) == wanted => Ok(at),
            Some(_) => Err(LinkState::WrongType),
        }
    }

    /// Resolves `Type/id` of the wanted type, by the key of the id.
    pub(super) fn plain(
        &mut self,
        nodes: &Nodes<'a>,
        keys: &[ResourceKeys],
        wanted: Target,
        from: IdSpace,
        id: HashKey,
    ) -> Result<u32, LinkState> {
        match self.relative(wanted, from, id)? {
            Some(at) => self.sole(nodes, at),
            None if self.bases.is_empty() || from != NO_SPACE => Err(LinkState::Missing),
            None => self.anywhere(nodes, keys, wanted, id),
        }
    }

    fn relative(&self, wanted: Target, from: IdSpace, id: HashKey) -> Result<Option<u32>, LinkState> {
        let here = self.named(id, from, wanted);
        if from == NO_SPACE || !self.has_alone {
            return Ok(here);
        }
        // A relative reference may also mean a resource without a URL.
        match (here, self.named(id, NO_SPACE, wanted)) {
            (Some(_), Some(_)) => Err(LinkState::Ambiguous),
            (here, alone) => Ok(here.or(alone)),
        }
    }

    pub(super) fn restful(
        &mut self,
        nodes: &Nodes<'a>,
        keys: &[ResourceKeys],
        wanted: Target,
        from: IdSpace,
        literal: Literal<'_>,
    ) -> Result<u32, LinkState> {
        let (Some(named), Some(id)) = (literal.resource_type(), literal.id()) else { return Err(LinkState::Missing) };
        if named != wanted.type_name() {
            return Err(LinkState::WrongType);
        }
        let key = self.key(id);
        let hit = match literal {
            Literal::Absolute { base, .. } => match self.bases.get(base) {
                Some(space) => self.named(key, *space, wanted),
                None => return Err(LinkState::Missing),
            },
            _ => match self.relative(wanted, from, key)? {
                None if from == NO_SPACE && !self.bases.is_empty() => return self.anywhere(nodes, keys, wanted, key),
                hit => hit,
            },
        };
        let at = hit.ok_or(LinkState::Missing)?;
        match (self.sole(nodes, at), literal.version()) {
            (Err(LinkState::Ambiguous), Some(version)) => {
                self.version(nodes, (self.space(nodes, at), wanted, id), version)
            }
            (Ok(at), Some(version)) if is_other_version(nodes, at, version) => Err(LinkState::Missing),
            (found, _) => found,
        }
    }

    /// Resolves a reference from an entry whose URL has no base: to the only resource of that type and id at any base.
    fn anywhere(
        &mut self,
        nodes: &Nodes<'a>,
        keys: &[ResourceKeys],
        wanted: Target,
        id: HashKey,
    ) -> Result<u32, LinkState> {
        if self.anywhere.is_none() {
            let (mut all, mut several) = (HashIndex::default(), HashIndex::default());
            for (at, keys) in (0..).zip(keys) {
                let space = self.space(nodes, at);
                // Of resources that share a name, the first stands for all.
                if keys.id == NO_KEY || space & CONTAINER != 0 || self.named(keys.id, space, nodes.kind(at)) != Some(at)
                {
                    continue;
                }
                let key = within(keys.id, NO_SPACE, nodes.kind(at));
                if all.insert(key, at) != at {
                    several.insert(key, at);
                }
            }
            self.anywhere = Some(Anywhere { all, several });
        }
        let key = within(id, NO_SPACE, wanted);
        let Some(Anywhere { all, several }) = &self.anywhere else { return Err(LinkState::Missing) };
        match (all.find(key), several.find(key)) {
            (None, _) => Err(LinkState::Missing),
            (Some(_), Some(_)) => Err(LinkState::Ambiguous),
            (Some(at), None) => self.sole(nodes, at),
        }
    }

    fn version(&mut self, nodes: &Nodes<'a>, name: Named<'_>, version: &str) -> Result<u32, LinkState> {
        if self.versions.is_none() {
            let mut all = HashMap::new();
            for at in (0..).take(nodes.len()) {
                let space = self.space(nodes, at);
                let duplicate = nodes.record(at).is_some_and(|record| record.marks.is_doubled());
                let Some(item) = nodes.item(at).filter(|_| duplicate && space & CONTAINER == 0) else { continue };
                let (Some(id), Some(version)) = (item.id(), item.version()) else { continue };
                let name = (space, Target::of(item), id.as_str());
                all.entry((name, version.as_str())).and_modify(|there| *there = AMBIGUOUS).or_insert(at);
            }
            self.versions = Some(all);
        }
        match self.versions.as_ref().and_then(|all| all.get(&(name, version))).copied() {
            None | Some(AMBIGUOUS) => Err(LinkState::Ambiguous),
            Some(at) => Ok(at),
        }
    }

    pub(super) fn by_identifier(
        &mut self,
        nodes: &Nodes<'a>,
        wanted: Target,
        (system, value): (Option<&'a str>, &'a str),
    ) -> Result<u32, LinkState> {
        let identifiers = self.identifiers.get_or_insert_with(|| {
            let mut all = HashMap::new();
            for (at, item) in (0..).zip(nodes.items()) {
                for (system, value) in item.identifiers().filter_map(token) {
                    let key = (Target::of(*item), system, value);
                    all.entry(key).and_modify(|there| *there = if *there == at { at } else { AMBIGUOUS }).or_insert(at);
                }
            }
            all
        });
        match identifiers.get(&(wanted, system, value)).copied() {
            None => Err(LinkState::Missing),
            Some(AMBIGUOUS) => Err(LinkState::Ambiguous),
            Some(at) => Ok(at),
        }
    }

    /// Returns a number for a source that is not among the resources, equal for equal sources. `plain` is the key of a
    /// plain reference.
    pub(super) fn far(&mut self, nodes: &Nodes<'a>, at: u32, from: IdSpace, plain: HashKey) -> u32 {
        let key =
            if plain == NO_KEY { self.far_key(nodes, at, from) } else { Some(within(plain, from, Target::Device)) };
        key.map_or(NONE, |key| EXTERNAL | self.far.insert(key, at))
    }

    fn far_key(&self, nodes: &Nodes<'a>, at: u32, from: IdSpace) -> Option<HashKey> {
        let item = nodes.item(at)?;
        let ReferenceValue::Literal(literal) = item.source()? else { return None };
        let decoded = decoded(literal);
        Some(match self.localize(decoded.as_deref().map_or(literal, Literal::parse)) {
            Literal::Relative { id, .. } => within(self.key(id), from, Target::Device),
            Literal::Absolute { base, id, .. } => match self.bases.get(base) {
                Some(space) => within(self.key(id), *space, Target::Device),
                None => self.key(literal_text(item)?),
            },
            Literal::Contained { .. } => return None,
            Literal::Conditional { .. } => self.key(literal_text(item)?),
            Literal::Urn(text) | Literal::Other(text) => self.key(text),
        })
    }

    /// Returns the resource of a name, unless several share it.
    fn sole(&self, nodes: &Nodes<'_>, at: u32) -> Result<u32, LinkState> {
        match nodes.record(at).filter(|_| self.has_duplicates) {
            Some(record) if record.marks.is_doubled() => Err(LinkState::Ambiguous),
            _ => Ok(at),
        }
    }
}

/// Returns whether a resource states another version than the reference.
fn is_other_version(nodes: &Nodes<'_>, at: u32, version: &str) -> bool {
    nodes.item(at).and_then(Item::version).is_some_and(|own| *own != version)
}

/// Returns a source reference without its version, for a base URL that none of the resources has.
fn literal_text(item: Item<'_>) -> Option<&str> {
    let text = item.source_text()?;
    Some(text.split_once("/_history/").map_or(text, |(address, _)| address))
}
