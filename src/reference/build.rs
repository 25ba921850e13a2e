//! Building a tree: gathering what is given, and following its references.

use super::check;
use super::item::{self, Item, Pointer, token};
use super::names::{Names, Target};
use super::tree::{NONE, Record, Tie, Tree};
use crate::datatype::Literal;
use crate::nomenclature::Level;
use crate::resource::{Bundle, DeviceComponent, Resource};

/// Gathers resources, in any order, and makes a [`Tree`] of them.
///
/// A Bundle gives each resource the address of its entry, and references follow it by the rules of FHIR; resources that
/// are given alone have no address but their type and id. Resources that have no place in a tree are passed over.
///
/// It takes time and memory in proportion to what is given, whatever the links between the resources are.
///
/// ```
/// use fhir_devices::{Resource, reference::Gather};
/// let device = Resource::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
/// let component = Resource::from_json(br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},
///     "type":{"text":"pump"},"source":{"reference":"Device/pump"}}"#)?;
/// let tree = Gather::new().with(&component).with(&device).build();
/// let top = tree.tops().next().unwrap();
/// assert_eq!(top.children().next().unwrap().path(), "mds");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Debug, Default)]
pub struct Gather<'a> {
    nodes: Vec<Record<'a>>,
    names: Names<'a>,
    documents: u32,
}

impl<'a> Gather<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for so many resources.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { nodes: Vec::with_capacity(count), names: Names::with_capacity(count), documents: 0 }
    }

    /// With one more document: a Bundle and all that it holds, or a resource alone.
    #[must_use]
    pub fn with(mut self, document: &'a Resource) -> Self {
        match document {
            Resource::Bundle(bundle) => return self.with_bundle(bundle),
            resource => {
                if let Some(item) = Item::of(resource) {
                    self.put(item, NONE, None);
                }
            }
        }
        self.documents = self.documents.saturating_add(1);
        self
    }

    /// With the resources of a Bundle. A Bundle inside of it is a document of its own, and is passed over.
    #[must_use]
    pub fn with_bundle(mut self, bundle: &'a Bundle) -> Self {
        for (entry, number) in bundle.entry.iter().zip(0..NONE) {
            let url = entry.full_url.as_ref().and_then(|url| url.value.as_ref()).map(|url| url.as_str());
            match entry.resource.as_ref().map(|resource| (Item::of(resource), resource)) {
                Some((Some(item), _)) => self.put(item, number, url),
                Some((None, _)) => self.names.add_foreign(url),
                None => {}
            }
        }
        self.documents = self.documents.saturating_add(1);
        self
    }

    /// With one more resource, alone.
    #[must_use]
    pub fn with_item(mut self, item: impl Into<Item<'a>>) -> Self {
        self.put(item.into(), NONE, None);
        self.documents = self.documents.saturating_add(1);
        self
    }

    /// With many resources, each alone.
    #[must_use]
    pub fn with_items<I: Into<Item<'a>>>(mut self, items: impl IntoIterator<Item = I>) -> Self {
        for item in items {
            self.put(item.into(), NONE, None);
            self.documents = self.documents.saturating_add(1);
        }
        self
    }

    fn put(&mut self, item: Item<'a>, entry: u32, url: Option<&'a str>) {
        let at = self.next();
        let space = self.names.add(item, at, url);
        let mut record = Record::new(item, self.documents, entry);
        (record.space, record.is_doubled) = (space.number, space.first != at);
        self.push(record, space.first);
        for (resource, inside) in item.contained().iter().zip(0..NONE) {
            let (Some(item), here) = (Item::of(resource), self.next()) else { continue };
            let first = self.names.add_contained(item, here, at);
            let mut record = Record::new(item, self.documents, inside);
            (record.space, record.container) = (space.number, at);
            record.is_doubled = first != here;
            self.push(record, first);
        }
    }

    fn next(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(NONE)
    }

    fn push(&mut self, mut record: Record<'a>, first: u32) {
        // Beyond four thousand millions nothing could be numbered, nor held in memory.
        if self.next() == NONE {
            return;
        }
        if record.is_doubled
            && let Some(first) = self.nodes.get_mut(first as usize)
        {
            first.is_doubled = true;
        }
        if let Item::Component(component) = record.item {
            let said = item::stated(&component.r#type);
            (record.by_code, record.by_name, record.is_battery) = (said.by_code, said.by_name, said.is_battery);
            record.is_void = component.operational_status.iter().any(|one| item::says(one, "entered-in-error"));
        }
        self.nodes.push(record);
    }

    /// The tree, with its findings.
    #[must_use]
    pub fn build(mut self) -> Tree<'a> {
        self.link();
        let cuts = cut_cycles(&mut self.nodes);
        hang(&mut self.nodes);
        place(&mut self.nodes);
        let findings = check::check(&self.nodes, &cuts);
        Tree::new(self.nodes, self.names, findings)
    }

    /// Follows the parent and the source of each.
    fn link(&mut self) {
        for at in 0..self.nodes.len() {
            let Some(record) = self.nodes.get(at) else { continue };
            let (parent, source) = (record.item.parent(), record.item.source());
            let (parent_tie, up) = self.follow(at, parent, Target::Component);
            let (source_tie, device) = self.follow(at, source, Target::Device);
            let source = match source_tie {
                Tie::Linked => device,
                _ => source.map_or(NONE, |pointer| self.far(at, pointer)),
            };
            if let Some(record) = self.nodes.get_mut(at) {
                (record.parent_tie, record.up) = (parent_tie, up);
                (record.source_tie, record.source) = (source_tie, source);
            }
        }
    }

    fn follow(&mut self, at: usize, pointer: Option<Pointer<'a>>, wanted: Target) -> (Tie, u32) {
        let (Some(pointer), Some(record)) = (pointer, self.nodes.get(at)) else { return (Tie::Absent, NONE) };
        let found = match pointer {
            Pointer::Words => Err(Tie::Missing),
            Pointer::Logical(identifier) => match token(identifier) {
                Some(token) => self.names.by_identifier(&self.nodes, wanted, token),
                None => Err(Tie::Missing),
            },
            Pointer::Literal(Literal::Contained { id }) => {
                let container = if record.container == NONE { at } else { record.container as usize };
                let holder = self.nodes.get(container).map(|holder| holder.item.contained()).unwrap_or_default();
                self.names.contained(&self.nodes, wanted, container, id).map_err(|tie| match tie {
                    Tie::Missing if holder.iter().any(|resource| resource.id() == Some(id)) => Tie::WrongType,
                    tie => tie,
                })
            }
            Pointer::Literal(Literal::Urn(url) | Literal::Other(url)) => self.names.by_url(&self.nodes, wanted, url),
            Pointer::Literal(literal) => self.names.restful(&self.nodes, wanted, record.space, literal),
        };
        match found {
            Ok(node) => (Tie::Linked, node),
            Err(tie) => (tie, NONE),
        }
    }

    /// A name for a source that is not among the resources, the same wherever the same is meant.
    fn far(&mut self, at: usize, pointer: Pointer<'a>) -> u32 {
        match (pointer, self.nodes.get(at)) {
            (Pointer::Literal(literal), Some(record)) => self.names.far(record.space, literal),
            _ => NONE,
        }
    }
}

/// Cuts the link above that member of each circle which was given first, so that every component is below a root. Gives
/// these members, each with the one that was above it.
fn cut_cycles(nodes: &mut [Record<'_>]) -> Vec<(u32, u32)> {
    let mut cuts = Vec::new();
    let mut walk = vec![NONE; nodes.len()];
    let up = |nodes: &[Record<'_>], at: u32| nodes.get(at as usize).map_or(NONE, |record| record.up);
    for start in (0..).take(nodes.len()) {
        let mut here: u32 = start;
        while let Some(seen) = walk.get_mut(here as usize).filter(|seen| **seen == NONE) {
            *seen = start;
            here = up(nodes, here);
        }
        if walk.get(here as usize) != Some(&start) {
            continue;
        }
        // The walk came back to where it had been: `here` is on a circle, and did not join an older walk.
        let mut first = here;
        let mut at = up(nodes, here);
        while at != here {
            first = first.min(at);
            at = up(nodes, at);
        }
        if let Some(record) = nodes.get_mut(first as usize) {
            cuts.push((first, record.up));
            (record.parent_tie, record.up) = (Tie::Cut, NONE);
        }
    }
    cuts
}

/// Hangs what has no component above it below its device, and lists the children of each in the order given.
fn hang(nodes: &mut [Record<'_>]) {
    let count = u32::try_from(nodes.len()).unwrap_or(NONE);
    for at in (0..count).rev() {
        let Some(record) = nodes.get_mut(at as usize) else { continue };
        if record.up == NONE && record.source < count {
            record.up = record.source;
        }
        let up = record.up as usize;
        let Some(above) = nodes.get_mut(up) else { continue };
        let next = std::mem::replace(&mut above.first, at);
        if let Some(record) = nodes.get_mut(at as usize) {
            record.next = next;
        }
    }
}

/// From the top down, as what a place says depends on what is above.
fn place(nodes: &mut [Record<'_>]) {
    let mut order = Vec::with_capacity(nodes.len());
    order.extend((0..).zip(nodes.iter()).filter(|(_, record)| record.up == NONE).map(|(at, _)| at));
    let mut done = 0;
    while let Some(at) = order.get(done).copied() {
        done += 1;
        let Some(record) = nodes.get(at as usize) else { continue };
        let above = nodes.get(record.up as usize);
        let is_component = matches!(record.item, Item::Component(_));
        let component_above = above.filter(|above| matches!(above.item, Item::Component(_)));
        let by_place = match component_above {
            _ if !is_component || record.is_battery => None,
            Some(above) => above.level().and_then(Level::below),
            None => (record.parent_tie == Tie::Absent).then_some(Level::Mds),
        };
        let above_level = component_above.and_then(Record::level);
        let is_nested = record.stated() == Some(Level::Mds) && above_level == Some(Level::Mds);
        let depth = component_above.map_or(0, |above| above.depth) + 1;
        let is_composite = is_nested || component_above.is_some_and(|above| above.is_composite);
        // The device that counts: its own, else that of what is above.
        let device = match (record.source, component_above) {
            (NONE, Some(above)) => above.device,
            (source, _) => source,
        };
        let top = component_above.map_or(at, |above| above.top);
        // Where both say a source, whether they differ; a metric may have that of the top.
        let is_above = |source: u32| {
            let top = component_above.and_then(|above| nodes.get(above.top as usize)).map(|top| top.device);
            component_above.is_none_or(|above| above.device == NONE || above.device == source)
                || (!is_component && top == Some(source))
        };
        let source_differs = record.source != NONE && !is_nested && !is_above(record.source);
        let (mut child, up) = (record.first, record.up);
        if let Some(record) = nodes.get_mut(at as usize) {
            (record.by_place, record.above_level) = (by_place, above_level);
            (record.is_nested, record.is_composite, record.source_differs) = (is_nested, is_composite, source_differs);
            (record.device, record.top) = (device, top);
            record.depth = if matches!(record.item, Item::Device(_)) { 0 } else { depth };
        }
        let level = nodes.get(at as usize).and_then(Record::level);
        if let Some(above) = nodes.get_mut(up as usize).filter(|_| is_component) {
            above.has_component = true;
            above.has_vmd |= level == Some(Level::Vmd);
            above.has_channel |= level == Some(Level::Channel);
        }
        while let Some(below) = nodes.get(child as usize) {
            order.push(child);
            child = below.next;
        }
    }
}

/// The tree of some components, without their device and metrics.
///
/// ```
/// assert_eq!(fhir_devices::reference::components(&[]).members().len(), 0);
/// ```
#[must_use]
pub fn components(all: &[DeviceComponent]) -> Tree<'_> {
    Gather::with_capacity(all.len()).with_items(all).build()
}
