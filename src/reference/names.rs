//! By what the resources of a tree are referred to.

use super::item::{Item, Pointer, token};
use super::record::{MOST, NONE, Nodes, Target, Tie};
use super::slots::Slots;

use crate::datatype::Literal;
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

/// What a resource is called, as numbers: hashes of texts with keys that nobody outside knows, 0 where there is no text. A
/// tree is built from these, and from the texts only where two of them agree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    /// Of its id.
    pub(super) id: u32,
    /// Of the ids in its references, where these are plain.
    pub(super) parent: u32,
    pub(super) source: u32,
    /// Of its identifier.
    pub(super) identifier: u32,
}

/// A source that is not among the resources.
#[derive(PartialEq)]
enum Far<'a> {
    Restful(Space, &'a str),
    Text(&'a str),
}

type Identified<'a> = (Target, Option<&'a str>, &'a str);
type Named<'a> = (Space, Target, &'a str);

#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    keys: RandomState,
    /// The first node of each name: type, id, and the space where it is unique.
    names: Slots,
    /// The bases, from 1.
    bases: HashMap<&'a str, Space>,
    urls: HashMap<&'a str, u32>,
    /// The ids of the nodes whose address says another one than they do.
    aliases: HashMap<u32, &'a str>,
    far: Slots,
    /// Whether some resource is known by its type and id alone, and whether some is contained in another.
    has_alone: bool,
    has_contained: bool,
    /// The three below are made when the first reference needs them.
    versions: Option<HashMap<(Named<'a>, &'a str), u32>>,
    anywhere: Option<HashMap<(Target, &'a str), u32>>,
    identifiers: Option<HashMap<Identified<'a>, u32>>,
}

/// Where a resource was put: its space, the hash of its id there, whether its address says another id than it does, and
/// the first that has its address.
pub(super) struct Put {
    pub(super) space: Space,
    pub(super) id: u32,
    pub(super) is_alias: bool,
    pub(super) first: u32,
}

/// The hash of an id in a space.
const fn within(id: u32, space: Space, target: Target) -> u32 {
    id.wrapping_add(space.wrapping_mul(0x9E37_79B1)).wrapping_add((target as u32).wrapping_mul(0x85EB_CA77))
}

impl<'a> Names<'a> {
    /// The hash of a text; never 0, which stands for no text.
    pub(super) fn hash(&self, text: &str) -> u32 {
        self.hash_all([text])
    }

    pub(super) fn hash_all<const N: usize>(&self, texts: [&str; N]) -> u32 {
        let mut hasher = self.keys.build_hasher();
        for (number, text) in texts.into_iter().enumerate() {
            if number > 0 {
                hasher.write_u8(0xFF);
            }
            hasher.write(text.as_bytes());
        }
        ((hasher.finish() >> 32) as u32).max(1)
    }

    fn base(&mut self, base: &'a str) -> Space {
        let next = u32::try_from(self.bases.len()).unwrap_or(0) + 1;
        *self.bases.entry(base).or_insert(next)
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
                return Put { space: NOWHERE, id: 0, is_alias: false, first };
            }
        };
        let is_alias = id != own;
        if let Some(id) = id.filter(|_| is_alias) {
            self.aliases.insert(at, id);
        }
        Put { space, id: id.map_or(0, |id| self.hash(id)), is_alias, first: at }
    }

    /// The hash of the id of a contained resource.
    pub(super) fn add_contained(&mut self, item: Item<'a>) -> u32 {
        self.has_contained = true;
        item.id().map_or(0, |id| self.hash(id.as_str()))
    }

    pub(super) fn add_foreign(&mut self, url: Option<&'a str>) {
        if let Some(url) = url {
            self.urls.entry(url).and_modify(|there| *there = SEVERAL).or_insert(FOREIGN);
        }
    }

    /// Numbers the names of all nodes. Those that share one are marked.
    pub(super) fn number(&mut self, nodes: &mut Nodes<'a>, keys: &[Keys]) {
        self.names = Slots::with_capacity(nodes.len());
        for (at, keys) in (0..).zip(keys) {
            if keys.id == 0 {
                continue;
            }
            let (space, target) = (self.space(nodes, at), nodes.kind(at));
            let mut names = std::mem::take(&mut self.names);
            let first = names.insert(within(keys.id, space, target), at, |other| {
                self.space(nodes, other) == space
                    && nodes.kind(other) == target
                    && self.id(nodes, other) == self.id(nodes, at)
            });
            self.names = names;
            if first != at {
                nodes.mark(first, |marks| marks.set_doubled(true));
                nodes.mark(at, |marks| marks.set_doubled(true));
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

    /// The id under which a node is known.
    fn id(&self, nodes: &Nodes<'a>, at: u32) -> Option<&'a str> {
        if !self.aliases.is_empty() && nodes.record(at).is_some_and(|record| record.marks.is_alias()) {
            return self.aliases.get(&at).copied();
        }
        nodes.item(at)?.id().map(|id| id.as_str())
    }

    /// The first node of this name, for ids of this hash.
    fn named(
        &self,
        nodes: &Nodes<'a>,
        hash: u32,
        space: Space,
        target: Target,
        is: impl Fn(&str) -> bool,
    ) -> Option<u32> {
        self.names.find(within(hash, space, target), |at| {
            self.id(nodes, at).is_some_and(&is) && nodes.kind(at) == target && self.space(nodes, at) == space
        })
    }

    /// The first resource of this type and id, wherever it is.
    pub(super) fn find(&self, nodes: &Nodes<'a>, target: Target, id: &str) -> Option<u32> {
        let hash = self.hash(id);
        let spaces = std::iter::once(NOWHERE).chain(self.bases.values().copied());
        let named = spaces.filter_map(|space| self.named(nodes, hash, space, target, |own| own == id)).min();
        // Those that have a urn for an address, and those that are contained, are found by looking.
        named.or_else(|| {
            let is = |item: Item<'_>| Target::of(item) == target && item.id().is_some_and(|own| own.as_str() == id);
            (self.has_contained || !self.urls.is_empty())
                .then(|| (0..).zip(nodes.items()).find(|(_, item)| is(**item)).map(|(at, _)| at))
                .flatten()
        })
    }

    pub(super) fn contained(&self, nodes: &Nodes<'a>, wanted: Target, container: u32, id: &str) -> Result<u32, Tie> {
        let (space, hash) = (CONTAINER | container, self.hash(id));
        let named = |target| self.named(nodes, hash, space, target, |own| own == id);
        match named(wanted) {
            Some(at) => sole(nodes, at),
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

    /// Follows `Type/id` of the type that is wanted, by the hash of the id; the text is read where the hash is found.
    pub(super) fn plain(
        &mut self,
        nodes: &Nodes<'a>,
        wanted: Target,
        from: Space,
        hash: u32,
        text: impl Fn() -> Option<&'a str>,
    ) -> Result<u32, Tie> {
        let is = |own: &str| text().and_then(|text| text.strip_suffix(own)).is_some_and(|rest| rest.ends_with('/'));
        match self.relative(nodes, wanted, from, hash, is)? {
            Some(at) => sole(nodes, at),
            None if self.bases.is_empty() || from != NOWHERE => Err(Tie::Missing),
            None => {
                let id = text().and_then(|text| text.rsplit_once('/')).map_or("", |(_, id)| id);
                self.anywhere(nodes, wanted, id)
            }
        }
    }

    fn relative(
        &self,
        nodes: &Nodes<'a>,
        wanted: Target,
        from: Space,
        hash: u32,
        is: impl Fn(&str) -> bool,
    ) -> Result<Option<u32>, Tie> {
        let here = self.named(nodes, hash, from, wanted, &is);
        if from == NOWHERE || !self.has_alone {
            return Ok(here);
        }
        // A resource without an address may be what a relative reference means.
        match (here, self.named(nodes, hash, NOWHERE, wanted, &is)) {
            (Some(_), Some(_)) => Err(Tie::Ambiguous),
            (here, alone) => Ok(here.or(alone)),
        }
    }

    pub(super) fn restful(
        &mut self,
        nodes: &Nodes<'a>,
        wanted: Target,
        from: Space,
        literal: Literal<'a>,
    ) -> Result<u32, Tie> {
        let (Some(named), Some(id)) = (literal.resource_type(), literal.id()) else { return Err(Tie::Missing) };
        if named != wanted.type_name() {
            return Err(Tie::WrongType);
        }
        let (hash, is) = (self.hash(id), |own: &str| own == id);
        let hit = match literal {
            Literal::Absolute { base, .. } => match self.bases.get(base) {
                Some(space) => self.named(nodes, hash, *space, wanted, is),
                None => return Err(Tie::Missing),
            },
            _ => match self.relative(nodes, wanted, from, hash, is)? {
                None if from == NOWHERE && !self.bases.is_empty() => return self.anywhere(nodes, wanted, id),
                hit => hit,
            },
        };
        let at = hit.ok_or(Tie::Missing)?;
        match (sole(nodes, at), literal.version()) {
            (Err(Tie::Ambiguous), Some(version)) => self.version(nodes, (self.space(nodes, at), wanted, id), version),
            (found, _) => found,
        }
    }

    /// By the rule for an entry whose own address has no base: the only resource of that type and id at any base.
    fn anywhere(&mut self, nodes: &Nodes<'a>, wanted: Target, id: &'a str) -> Result<u32, Tie> {
        if self.anywhere.is_none() {
            let mut all = HashMap::new();
            for at in (0..).take(nodes.len()) {
                let space = self.space(nodes, at);
                let (Some(id), true) = (self.id(nodes, at), space & CONTAINER == 0) else { continue };
                // Of a name that several have, the first one stands for all; a urn is no name.
                let is_first = self.named(nodes, self.hash(id), space, nodes.kind(at), |own| own == id) == Some(at);
                if is_first {
                    all.entry((nodes.kind(at), id)).and_modify(|there| *there = SEVERAL).or_insert(at);
                }
            }
            self.anywhere = Some(all);
        }
        match self.anywhere.as_ref().and_then(|all| all.get(&(wanted, id))).copied() {
            None => Err(Tie::Missing),
            Some(SEVERAL) => Err(Tie::Ambiguous),
            Some(at) => sole(nodes, at),
        }
    }

    fn version(&mut self, nodes: &Nodes<'a>, name: Named<'a>, version: &'a str) -> Result<u32, Tie> {
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

    /// A number for a source that is not among the resources, the same wherever the same is meant. The hash is that of a
    /// plain reference, else 0.
    pub(super) fn far(&mut self, nodes: &Nodes<'a>, at: u32, from: Space, hash: u32) -> u32 {
        let text = |at| nodes.item(at).and_then(Item::source_text);
        let own = if hash == 0 {
            let Some(own) = self.far_key(nodes, at) else { return NONE };
            Some(own)
        } else {
            None
        };
        let hash = match own {
            None => within(hash, from, Target::Device),
            Some(Far::Restful(space, id)) => within(self.hash(id), space, Target::Device),
            Some(Far::Text(text)) => self.hash(text),
        };
        let mut far = std::mem::take(&mut self.far);
        let first = far.insert(hash, at, |other| {
            let is_near = self.bases.is_empty() || nodes.origin(other).is_some_and(|origin| origin.space == from);
            (is_near && text(other) == text(at)) || self.far_key(nodes, other) == self.far_key(nodes, at)
        });
        self.far = far;
        FAR | first
    }

    fn far_key(&self, nodes: &Nodes<'a>, at: u32) -> Option<Far<'a>> {
        let Pointer::Literal(literal) = nodes.item(at)?.source()? else { return None };
        Some(match literal {
            Literal::Relative { id, .. } => Far::Restful(self.base_of(nodes, at), id),
            Literal::Absolute { base, id, .. } => match self.bases.get(base) {
                Some(space) => Far::Restful(*space, id),
                None => Far::Text(literal_text(nodes.item(at)?)?),
            },
            Literal::Contained { .. } => return None,
            Literal::Urn(text) | Literal::Other(text) => Far::Text(text),
        })
    }
}

/// The address of a source at a base that none of the resources has, without the version.
fn literal_text(item: Item<'_>) -> Option<&str> {
    let text = item.source_text()?;
    Some(text.split_once("/_history/").map_or(text, |(address, _)| address))
}

/// The resource of a name, if the name is of one alone.
fn sole(nodes: &Nodes<'_>, at: u32) -> Result<u32, Tie> {
    match nodes.record(at) {
        Some(record) if record.marks.is_doubled() => Err(Tie::Ambiguous),
        _ => Ok(at),
    }
}
