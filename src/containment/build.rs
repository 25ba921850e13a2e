//! Construction of a containment tree from resources.

use super::check;
use super::content::{component_content, metric_content};
use super::hash_index::{BATCH, HashKey, NO_KEY};
use super::node_record::{LinkState, MOST, NONE, NodeFlags, NodeRecord, Nodes, Origin, Target};
use super::placement::place;
use super::reference_index::{ReferenceIndex, ResourceKeys};
use super::tree::Tree;
use crate::datatype::{Literal, plain_id};
use crate::reference::item::{self, Item, ReferenceValue, token};
use crate::reference::{OwnBase, decoded};
use crate::resource::{Bundle, DeviceComponent, Resource};

/// Builder of a [`Tree`] from resources in any order.
///
/// A Bundle gives each resource the URL of its entry, and references are resolved by the rules of FHIR; resources added
/// without a Bundle have only their type and id. Resources of types that have no place in a tree are ignored.
///
/// Time and memory are linear in the input, whatever the links between the resources.
///
/// ```
/// use fhir_devices::{Resource, containment::TreeBuilder};
/// let device = Resource::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
/// let component = Resource::from_json(br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},
///     "type":{"text":"pump"},"source":{"reference":"Device/pump"}}"#)?;
/// let tree = TreeBuilder::new().with(&component).with(&device).build();
/// let top = tree.top_level().next().unwrap();
/// assert_eq!(top.children().next().unwrap().path(), "mds");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Default)]
pub struct TreeBuilder<'a> {
    nodes: Nodes<'a>,
    keys: Vec<ResourceKeys>,
    /// Keys of the identifiers.
    labels: Vec<HashKey>,
    names: ReferenceIndex<'a>,
    documents: u32,
}

impl<'a> TreeBuilder<'a> {
    /// Creates an empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a builder with capacity for a number of resources.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        let mut gather = Self::default();
        gather.reserve(count);
        gather
    }

    /// Sets the base URL of the service: absolute references to it resolve to resources that have no URL of their own.
    #[must_use]
    pub fn at(mut self, own: Option<OwnBase>) -> Self {
        self.names.own = own;
        self
    }

    /// Adds a document: a Bundle with its entries, or one resource.
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

    /// Adds the resources of a Bundle. A Bundle inside it is a separate document, and is ignored.
    #[must_use]
    pub fn with_bundle(mut self, bundle: &'a Bundle) -> Self {
        self.reserve(bundle.entry.len());
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

    /// Adds one resource.
    #[must_use]
    pub fn with_item(mut self, item: impl Into<Item<'a>>) -> Self {
        self.put(item.into(), NONE, None);
        self.documents = self.documents.saturating_add(1);
        self
    }

    /// Adds resources, each as a document of its own.
    #[must_use]
    pub fn with_items<I: Into<Item<'a>>>(mut self, items: impl IntoIterator<Item = I>) -> Self {
        let items = items.into_iter();
        self.reserve(items.size_hint().0);
        for item in items {
            self.put(item.into(), NONE, None);
            self.documents = self.documents.saturating_add(1);
        }
        self
    }

    fn reserve(&mut self, more: usize) {
        self.nodes.reserve(more);
        self.keys.reserve(more);
        self.labels.reserve(more);
    }

    fn put(&mut self, item: Item<'a>, entry: u32, url: Option<&'a str>) {
        let at = self.nodes.count();
        if at == MOST {
            // More than 2^31 resources can be neither numbered nor held in memory.
            return;
        }
        let put = self.names.add(item, at, url);
        self.push(item, Origin { document: self.documents, entry, container: NONE, space: put.space }, put.id);
        if put.first != at {
            self.nodes.mark(put.first, |marks| marks.set_doubled(true));
            self.nodes.mark(at, |marks| marks.set_doubled(true));
        }
        for (resource, inside) in item.contained().iter().zip(0..NONE) {
            let Some(item) = Item::of(resource).filter(|_| self.nodes.count() < MOST) else { continue };
            let id = self.names.add_contained(item);
            let origin = Origin { document: self.documents, entry: inside, container: at, space: put.space };
            self.push(item, origin, id);
        }
    }

    /// Extracts everything that the tree needs from a resource, so that the resource is read only once.
    fn push(&mut self, item: Item<'a>, origin: Origin, id: HashKey) {
        let mut marks = NodeFlags::of(Target::of(item));
        let mut label = NO_KEY;
        match item {
            Item::Device(_) => {}
            Item::Component(component) => {
                let said = item::stated(&component.r#type);
                marks.set_by_code(said.by_code);
                marks.set_by_name(said.by_name);
                marks.set_part(said.part);
                marks.set_void(component.operational_status.iter().any(|one| item::says(one, "entered-in-error")));
                // Suspect content is checked again when the places are known.
                component_content(component, marks, &mut |_, _, _| marks.set_suspect(true));
                if let Some((system, value)) = token(&component.identifier) {
                    label = self.names.key_of_all([system.unwrap_or_default(), value]);
                }
            }
            Item::Metric(metric) => metric_content(metric, &mut |_, _, _| marks.set_suspect(true)),
        }
        let (tie, parent) = self.key(item.parent_text(), Target::Component, || item.parent().is_some());
        marks.set_parent_state(tie);
        let (tie, source) = self.key(item.source_text(), Target::Device, || item.source().is_some());
        marks.set_source_state(tie);
        self.nodes.push(item, origin, NodeRecord::new(marks));
        self.keys.push(ResourceKeys { id, parent, source });
        self.labels.push(label);
    }

    fn key(&self, text: Option<&str>, wanted: Target, is_there: impl Fn() -> bool) -> (LinkState, HashKey) {
        match text.and_then(|text| plain_id(text, wanted.type_name())) {
            Some(id) => (LinkState::Plain, self.names.key(id)),
            None if is_there() => (LinkState::Open, NO_KEY),
            None => (LinkState::Absent, NO_KEY),
        }
    }

    /// Builds the tree with its findings.
    #[must_use]
    pub fn build(self) -> Tree<'a> {
        let Self { mut nodes, keys, labels, mut names, .. } = self;
        nodes.shrink();
        names.number(&mut nodes, &keys);
        link(&mut nodes, &keys, &mut names);
        names.settle();
        drop(keys);
        let cuts = place(&mut nodes);
        let across = check::across(&nodes, &labels, &names, &cuts);
        drop(labels);
        let findings = check::check(&nodes, &across);
        Tree::new(nodes, names, findings)
    }
}

impl std::fmt::Debug for TreeBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeBuilder").field("nodes", &self.nodes.len()).field("documents", &self.documents).finish()
    }
}

/// Resolves the parent and the source of each node.
fn link<'a>(nodes: &mut Nodes<'a>, all: &[ResourceKeys], names: &mut ReferenceIndex<'a>) {
    for (at, keys) in (0..).zip(all) {
        if (at as usize).is_multiple_of(BATCH) {
            let end = all.len().min(at as usize + BATCH);
            names.fetch(nodes, all.get(at as usize..end).unwrap_or_default(), at);
        }
        let Some(record) = nodes.record(at).copied() else { continue };
        let space = names.base_of(nodes, at);
        let (parent_state, up) = match record.marks.parent_state() {
            LinkState::Plain => tied(names.plain(nodes, all, Target::Component, space, keys.parent)),
            LinkState::Open => follow(nodes, all, names, at, nodes.item(at).and_then(Item::parent), Target::Component),
            _ => (LinkState::Absent, NONE),
        };
        let (source_state, device) = match record.marks.source_state() {
            LinkState::Plain => tied(names.plain(nodes, all, Target::Device, space, keys.source)),
            LinkState::Open => follow(nodes, all, names, at, nodes.item(at).and_then(Item::source), Target::Device),
            _ => (LinkState::Absent, NONE),
        };
        let source = match source_state {
            LinkState::Linked => device,
            LinkState::Absent => NONE,
            _ => names.far(nodes, at, space, keys.source),
        };
        if let Some(record) = nodes.record_mut(at) {
            record.marks.set_parent_state(parent_state);
            record.marks.set_source_state(source_state);
            (record.up, record.source) = (up, source);
        }
    }
}

const fn tied(found: Result<u32, LinkState>) -> (LinkState, u32) {
    match found {
        Ok(node) => (LinkState::Linked, node),
        Err(tie) => (tie, NONE),
    }
}

/// Resolves a reference in any form but a plain `Type/id`.
fn follow<'a>(
    nodes: &Nodes<'a>,
    keys: &[ResourceKeys],
    names: &mut ReferenceIndex<'a>,
    at: u32,
    pointer: Option<ReferenceValue<'a>>,
    wanted: Target,
) -> (LinkState, u32) {
    let (Some(pointer), Some(origin)) = (pointer, nodes.origin(at)) else { return (LinkState::Absent, NONE) };
    tied(match pointer {
        ReferenceValue::Words => Err(LinkState::Missing),
        ReferenceValue::Logical(identifier) => match token(identifier) {
            Some(token) => names.by_identifier(nodes, wanted, token),
            None => Err(LinkState::Missing),
        },
        ReferenceValue::Literal(literal) => {
            let decoded = decoded(literal);
            match names.localize(decoded.as_deref().map_or(literal, Literal::parse)) {
                Literal::Contained { id } => {
                    let container = if origin.container == NONE { at } else { origin.container };
                    let holder = nodes.item(container).map(Item::contained).unwrap_or_default();
                    names.contained(nodes, wanted, container, id).map_err(|tie| match tie {
                        LinkState::Missing if holder.iter().any(|resource| resource.id() == Some(id)) => {
                            LinkState::WrongType
                        }
                        tie => tie,
                    })
                }
                Literal::Urn(url) | Literal::Other(url) => names.by_url(nodes, wanted, url),
                literal => names.restful(nodes, keys, wanted, origin.space, literal),
            }
        }
    })
}

/// Builds a tree from components only.
///
/// ```
/// assert_eq!(fhir_devices::containment::components(&[]).members().len(), 0);
/// ```
#[must_use]
pub fn components(all: &[DeviceComponent]) -> Tree<'_> {
    TreeBuilder::with_capacity(all.len()).with_items(all).build()
}
