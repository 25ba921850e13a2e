//! By what the resources of a tree are referred to.

use super::record::{MOST, NONE, Nodes, Target, Tie};
use super::slots::{BATCH, Key, NO_KEY, Slots, mixed};
use crate::reference::item::{Item, Pointer, token};

use crate::datatype::Literal;
use crate::reference::{OwnBase, decoded, localize};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Where ids are unique: at the base of a service, or in a container; 0 where no base is known.
type Space = u32;

pub(super) const NOWHERE: Space = 0;
/// The spaces of containers have this bit; the rest is the node of the container.
const CONTAINER: Space = MOST;
/// Sources that are not among the resources have this bit; the rest is the first node that names them.
pub(super) const FAR: u32 = MOST;
/// More than one.
const SEVERAL: u32 = NONE;
/// A resource that has no place in a tree.
const FOREIGN: u32 = NONE - 1;

/// What a resource is called and what it refers to, as [keys](Key): a tree is built from these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// Of its id.
    pub(super) id: Key,
    /// Of the ids in its references, where these are plain.
    pub(super) parent: Key,
    pub(super) source: Key,
}

type Identified<'a> = (Target, Option<&'a str>, &'a str);
type Named<'a> = (Space, Target, &'a str);

#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    keys: RandomState,
    /// The base of the service that the resources without an address are of.
    pub(super) own: Option<OwnBase>,
    /// The first node of each name: type, id, and the space where it is unique.
    names: Slots,
    /// The bases, from 1.
    bases: HashMap<&'a str, Space>,
    /// Mostly that of the next one too.
    last_base: Option<(&'a str, Space)>,
    urls: HashMap<&'a str, u32>,
    far: Slots,
    /// Whether some name is of several nodes.
    has_doubled: bool,
    /// Whether some resource is known by its type and id alone, and whether some is contained in another.
    has_alone: bool,
    has_contained: bool,
    /// The three below are made when the first reference needs them.
    versions: Option<HashMap<(Named<'a>, &'a str), u32>>,
    anywhere: Option<Anywhere>,
    identifiers: Option<HashMap<Identified<'a>, u32>>,
}

/// The names without their spaces, and those of them that are in several.
#[derive(Debug)]
struct Anywhere {
    all: Slots,
    several: Slots,
}

/// Where a resource was put: its space, the key of its id there, and the first that has its address.
pub(super) struct Put {
    pub(super) space: Space,
    pub(super) id: Key,
    pub(super) first: u32,
}

/// The key of an id in a space.
const fn within(id: Key, space: Space, target: Target) -> Key {
    let [a, b, c] = mixed(id, space);
    [a.wrapping_add((target as u32).wrapping_mul(0x85EB_CA77)), b, c ^ (target as u32)]
}

impl<'a> Names<'a> {
    pub(super) fn key(&self, text: &str) -> Key {
        self.key_of_all([text])
    }

    /// The key of several texts in their order.
    pub(super) fn key_of_all<const N: usize>(&self, texts: [&str; N]) -> Key {
        let mut hasher = self.keys.build_hasher();
        for text in texts {
            hasher.write(text.as_bytes());
            hasher.write_u8(0xFF);
        }
        let first = hasher.finish();
        // A state of four words says more than one: what it says next is as good as another hash.
        hasher.write_u8(0xEE);
        let key = [(first >> 32) as u32, first as u32, hasher.finish() as u32];
        if key == NO_KEY { [1; 3] } else { key }
    }

    fn base(&mut self, base: &'a str) -> Space {
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

    /// Whether a reference to a device that is not here is to one of this id, at the service of the resources.
    pub(super) fn is_device(&self, literal: Literal<'_>, device: &str) -> bool {
        let decoded = decoded(literal);
        let literal = self.localize(decoded.as_deref().map_or(literal, Literal::parse));
        // Without an own base, documents tell by their addresses where they are from.
        let is_here = match literal {
            Literal::Absolute { .. } => self.own.is_none() && !self.bases.is_empty(),
            _ => true,
        };
        is_here && literal.resource_type() == Some("Device") && literal.id() == Some(device)
    }

    /// Takes in a resource under the address of its entry, or under its type and id alone.
    pub(super) fn add(&mut self, item: Item<'a>, at: u32, url: Option<&'a str>) -> Put {
        let own = item.id().map(|id| id.as_str());
        let (space, id) = match url.map(|url| (url, Literal::parse(url))) {
            None => {
                self.has_alone |= own.is_some();
                (NOWHERE, own)
            }
            Some((_, Literal::Absolute { base, id, .. })) => (self.base(base), Some(id)),
            Some((url, _)) => {
                let first = *self.urls.entry(url).and_modify(|there| *there = SEVERAL).or_insert(at);
                // Nothing relative leads to it.
                let first = if first == SEVERAL { at } else { first };
                self.has_doubled |= first != at;
                return Put { space: NOWHERE, id: NO_KEY, first };
            }
        };
        Put { space, id: id.map_or(NO_KEY, |id| self.key(id)), first: at }
    }

    /// The key of the id of a contained resource.
    pub(super) fn add_contained(&mut self, item: Item<'a>) -> Key {
        self.has_contained = true;
        item.id().map_or(NO_KEY, |id| self.key(id.as_str()))
    }

    pub(super) fn add_foreign(&mut self, url: Option<&'a str>) {
        if let Some(url) = url {
            self.urls.entry(url).and_modify(|there| *there = SEVERAL).or_insert(FOREIGN);
        }
    }

    /// Numbers the names of all nodes. Those that share one are marked.
    pub(super) fn number(&mut self, nodes: &mut Nodes<'a>, keys: &[Keys]) {
        self.names = Slots::with_capacity(nodes.len());
        for (batch, from) in keys.chunks(BATCH).zip((0..).step_by(BATCH)) {
            let named = || (from..).zip(batch).filter(|(_, keys)| keys.id != NO_KEY);
            let name = |names: &Self, nodes: &Nodes<'_>, at, id| within(id, names.space(nodes, at), nodes.kind(at));
            self.names.fetch(named().map(|(at, keys)| name(self, nodes, at, keys.id)));
            for (at, keys) in named() {
                let first = self.names.insert(name(self, nodes, at, keys.id), at);
                if first != at {
                    self.has_doubled = true;
                    nodes.mark(first, |marks| marks.set_doubled(true));
                    nodes.mark(at, |marks| marks.set_doubled(true));
                }
            }
        }
    }

    /// Forgets what only following needs.
    pub(super) fn settle(&mut self) {
        self.far = Slots::default();
        (self.versions, self.anywhere, self.identifiers) = (None, None, None);
    }

    /// The space in which the id of a node is unique.
    pub(super) fn space(&self, nodes: &Nodes<'a>, at: u32) -> Space {
        // Mostly there is one space alone, and no need to look.
        if self.bases.is_empty() && !self.has_contained {
            return NOWHERE;
        }
        match nodes.origin(at) {
            Some(origin) if origin.container != NONE => CONTAINER | origin.container,
            Some(origin) => origin.space,
            None => NOWHERE,
        }
    }

    /// The space from which the relative references of a node count.
    pub(super) fn base_of(&self, nodes: &Nodes<'a>, at: u32) -> Space {
        if self.bases.is_empty() { NOWHERE } else { nodes.origin(at).map_or(NOWHERE, |origin| origin.space) }
    }

    /// Brings to hand what [`plain`](Self::plain) looks at for these nodes.
    pub(super) fn fetch(&self, nodes: &Nodes<'a>, batch: &[Keys], from: u32) {
        let at_base = |(at, keys): (u32, &Keys)| {
            let space = self.base_of(nodes, at);
            [within(keys.parent, space, Target::Component), within(keys.source, space, Target::Device)]
        };
        self.names.fetch((from..).zip(batch).flat_map(at_base));
    }

    /// The first node of a name.
    fn named(&self, id: Key, space: Space, target: Target) -> Option<u32> {
        self.names.find(within(id, space, target))
    }

    /// The first resource of this type and id, wherever it is.
    pub(super) fn find(&self, nodes: &Nodes<'a>, target: Target, id: &str) -> Option<u32> {
        let key = self.key(id);
        let spaces = std::iter::once(NOWHERE).chain(self.bases.values().copied());
        let named = spaces.filter_map(|space| self.named(key, space, target)).min();
        // Those that have a urn for an address, and those that are contained, are found by looking.
        named.or_else(|| {
            let is = |item: Item<'_>| Target::of(item) == target && item.id().is_some_and(|own| own.as_str() == id);
            (self.has_contained || !self.urls.is_empty())
                .then(|| (0..).zip(nodes.items()).find(|(_, item)| is(**item)).map(|(at, _)| at))
                .flatten()
        })
    }

    pub(super) fn contained(&self, nodes: &Nodes<'a>, wanted: Target, container: u32, id: &str) -> Result<u32, Tie> {
        let (space, key) = (CONTAINER | container, self.key(id));
        let named = |target| self.named(key, space, target);
        match named(wanted) {
            Some(at) => self.sole(nodes, at),
            None if Target::ALL.into_iter().any(|other| named(other).is_some()) => Err(Tie::WrongType),
            None => Err(Tie::Missing),
        }
    }

    pub(super) fn by_url(&self, nodes: &Nodes<'a>, wanted: Target, url: &str) -> Result<u32, Tie> {
        match self.urls.get(url).copied() {
            None => Err(Tie::Missing),
            Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(FOREIGN) => Err(Tie::WrongType),
            Some(at) if nodes.kind(at) == wanted => Ok(at),
            Some(_) => Err(Tie::WrongType),
        }
    }

    /// Follows `Type/id` of the type that is wanted, by the key of the id.
    pub(super) fn plain(
        &mut self,
        nodes: &Nodes<'a>,
        keys: &[Keys],
        wanted: Target,
        from: Space,
        id: Key,
    ) -> Result<u32, Tie> {
        match self.relative(wanted, from, id)? {
            Some(at) => self.sole(nodes, at),
            None if self.bases.is_empty() || from != NOWHERE => Err(Tie::Missing),
            None => self.anywhere(nodes, keys, wanted, id),
        }
    }

    fn relative(&self, wanted: Target, from: Space, id: Key) -> Result<Option<u32>, Tie> {
        let here = self.named(id, from, wanted);
        if from == NOWHERE || !self.has_alone {
            return Ok(here);
        }
        // A resource without an address may be what a relative reference means.
        match (here, self.named(id, NOWHERE, wanted)) {
            (Some(_), Some(_)) => Err(Tie::Ambiguous),
            (here, alone) => Ok(here.or(alone)),
        }
    }

    pub(super) fn restful(
        &mut self,
        nodes: &Nodes<'a>,
        keys: &[Keys],
        wanted: Target,
        from: Space,
        literal: Literal<'_>,
    ) -> Result<u32, Tie> {
        let (Some(named), Some(id)) = (literal.resource_type(), literal.id()) else { return Err(Tie::Missing) };
        if named != wanted.type_name() {
            return Err(Tie::WrongType);
        }
        let key = self.key(id);
        let hit = match literal {
            Literal::Absolute { base, .. } => match self.bases.get(base) {
                Some(space) => self.named(key, *space, wanted),
                None => return Err(Tie::Missing),
            },
            _ => match self.relative(wanted, from, key)? {
                None if from == NOWHERE && !self.bases.is_empty() => return self.anywhere(nodes, keys, wanted, key),
                hit => hit,
            },
        };
        let at = hit.ok_or(Tie::Missing)?;
        match (self.sole(nodes, at), literal.version()) {
            (Err(Tie::Ambiguous), Some(version)) => self.version(nodes, (self.space(nodes, at), wanted, id), version),
            (Ok(at), Some(version)) if is_other_version(nodes, at, version) => Err(Tie::Missing),
            (found, _) => found,
        }
    }

    /// By the rule for an entry whose own address has no base: the only resource of that type and id at any base.
    fn anywhere(&mut self, nodes: &Nodes<'a>, keys: &[Keys], wanted: Target, id: Key) -> Result<u32, Tie> {
        if self.anywhere.is_none() {
            let (mut all, mut several) = (Slots::default(), Slots::default());
            for (at, keys) in (0..).zip(keys) {
                let space = self.space(nodes, at);
                // Of a name that several have, the first one stands for all.
                if keys.id == NO_KEY || space & CONTAINER != 0 || self.named(keys.id, space, nodes.kind(at)) != Some(at)
                {
                    continue;
                }
                let key = within(keys.id, NOWHERE, nodes.kind(at));
                if all.insert(key, at) != at {
                    several.insert(key, at);
                }
            }
            self.anywhere = Some(Anywhere { all, several });
        }
        let key = within(id, NOWHERE, wanted);
        let Some(Anywhere { all, several }) = &self.anywhere else { return Err(Tie::Missing) };
        match (all.find(key), several.find(key)) {
            (None, _) => Err(Tie::Missing),
            (Some(_), Some(_)) => Err(Tie::Ambiguous),
            (Some(at), None) => self.sole(nodes, at),
        }
    }

    fn version(&mut self, nodes: &Nodes<'a>, name: Named<'_>, version: &str) -> Result<u32, Tie> {
        if self.versions.is_none() {
            let mut all = HashMap::new();
            for at in (0..).take(nodes.len()) {
                let space = self.space(nodes, at);
                let doubled = nodes.record(at).is_some_and(|record| record.marks.is_doubled());
                let Some(item) = nodes.item(at).filter(|_| doubled && space & CONTAINER == 0) else { continue };
                let (Some(id), Some(version)) = (item.id(), item.version()) else { continue };
                let name = (space, Target::of(item), id.as_str());
                all.entry((name, version.as_str())).and_modify(|there| *there = SEVERAL).or_insert(at);
            }
            self.versions = Some(all);
        }
        match self.versions.as_ref().and_then(|all| all.get(&(name, version))).copied() {
            None | Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(at) => Ok(at),
        }
    }

    pub(super) fn by_identifier(
        &mut self,
        nodes: &Nodes<'a>,
        wanted: Target,
        (system, value): (Option<&'a str>, &'a str),
    ) -> Result<u32, Tie> {
        let identifiers = self.identifiers.get_or_insert_with(|| {
            let mut all = HashMap::new();
            for (at, item) in (0..).zip(nodes.items()) {
                for (system, value) in item.identifiers().filter_map(token) {
                    let key = (Target::of(*item), system, value);
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

    /// A number for a source that is not among the resources, the same wherever the same is meant. The key is that of a
    /// plain reference.
    pub(super) fn far(&mut self, nodes: &Nodes<'a>, at: u32, from: Space, plain: Key) -> u32 {
        let key =
            if plain == NO_KEY { self.far_key(nodes, at, from) } else { Some(within(plain, from, Target::Device)) };
        key.map_or(NONE, |key| FAR | self.far.insert(key, at))
    }

    fn far_key(&self, nodes: &Nodes<'a>, at: u32, from: Space) -> Option<Key> {
        let item = nodes.item(at)?;
        let Pointer::Literal(literal) = item.source()? else { return None };
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

    /// The resource of a name, if the name is of one alone.
    fn sole(&self, nodes: &Nodes<'_>, at: u32) -> Result<u32, Tie> {
        match nodes.record(at).filter(|_| self.has_doubled) {
            Some(record) if record.marks.is_doubled() => Err(Tie::Ambiguous),
            _ => Ok(at),
        }
    }
}

/// Whether a resource says that it is of another version than the one that a reference names.
fn is_other_version(nodes: &Nodes<'_>, at: u32, version: &str) -> bool {
    nodes.item(at).and_then(Item::version).is_some_and(|own| *own != version)
}

/// The address of a source at a base that none of the resources has, without the version.
fn literal_text(item: Item<'_>) -> Option<&str> {
    let text = item.source_text()?;
    Some(text.split_once("/_history/").map_or(text, |(address, _)| address))
}
