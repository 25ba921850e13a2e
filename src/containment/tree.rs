//! The containment tree.

use super::finding::Finding;
use super::node_record::{LinkState, NONE, NodeRecord, Nodes, Origin, Target};
use super::reference_index::{EXTERNAL, ReferenceIndex};
use super::rule::Profile;
use crate::issue::Report;
use crate::nomenclature::{DevicePart, Level};
use crate::primitive::Id;
use crate::reference::item::{Item, ReferenceValue};
use crate::resource::DeviceComponent;
use std::fmt;

/// Devices with their components and metrics: Device > MDS > VMD > channel > metric.
///
/// The tree holds every resource in input order, and resolves every link that can be resolved. Other links remain
/// visible: a component whose parent is missing or ambiguous is a root and [`is_orphan`](Node::is_orphan); of a cycle,
/// the first member in input order becomes the root and [`is_cyclic`](Node::is_cyclic). Resources are borrowed, and no
/// operation recurses.
///
/// ```
/// # use fhir_devices::{DeviceComponent, nomenclature::Level, containment::components};
/// let json = br#"{"resourceType":"DeviceComponent","id":"m","identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let all = [DeviceComponent::from_json(json)?];
/// let tree = components(&all);
/// let monitor = tree.get("m").unwrap();
/// // Nothing but its place, which is the top, says that it is an MDS.
/// assert_eq!((monitor.level(), monitor.stated()), (Some(Level::Mds), None));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
pub struct Tree<'a> {
    nodes: Nodes<'a>,
    names: ReferenceIndex<'a>,
    findings: Vec<Finding>,
}

/// Resource in a [`Tree`].
///
/// ```
/// # use fhir_devices::{DeviceComponent, containment::components};
/// # let json = br#"{"resourceType":"DeviceComponent","id":"m","identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let all = [DeviceComponent::from_json(json)?];
/// let tree = components(&all);
/// let node = tree.get("m").unwrap();
/// assert_eq!((node.name(), node.path()), (Some("monitor"), "m".to_owned()));
/// assert!(node.parent().is_none() && node.children().next().is_none());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy)]
pub struct Node<'t, 'a> {
    tree: &'t Tree<'a>,
    item: Item<'a>,
    record: &'t NodeRecord,
    at: u32,
}

impl<'a> Tree<'a> {
    pub(super) fn new(nodes: Nodes<'a>, names: ReferenceIndex<'a>, findings: Vec<Finding>) -> Self {
        Self { nodes, names, findings }
    }

    pub(super) fn node(&self, at: u32) -> Option<Node<'_, 'a>> {
        Some(Node { tree: self, item: self.nodes.item(at)?, record: self.nodes.record(at)?, at })
    }

    fn find(&self, target: Target, id: &str) -> Option<Node<'_, 'a>> {
        self.node(self.names.find(&self.nodes, target, id)?)
    }

    /// Returns every resource, in input order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = Node<'_, 'a>> {
        let all = self.nodes.items().iter().zip(self.nodes.records()).enumerate();
        // The tree never has more nodes than can be numbered.
        all.map(|(at, (item, record))| Node { tree: self, item: *item, record, at: at as u32 })
    }

    /// Returns the number of resources.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether the tree has no resources.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 0
    }

    /// Returns the components, in input order.
    pub fn members(&self) -> std::vec::IntoIter<Node<'_, 'a>> {
        self.nodes().filter(|node| node.component().is_some()).collect::<Vec<_>>().into_iter()
    }

    /// Returns the component with this id; the first one if several have it.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Node<'_, 'a>> {
        self.find(Target::Component, id)
    }

    /// Returns the metric with this id; the first one if several have it.
    #[must_use]
    pub fn metric(&self, id: &str) -> Option<Node<'_, 'a>> {
        self.find(Target::Metric, id)
    }

    /// Returns the device with this id; the first one if several have it.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<Node<'_, 'a>> {
        self.find(Target::Device, id)
    }

    /// Returns the top-level nodes: devices, and components and metrics with neither parent nor device in the tree.
    pub fn top_level(&self) -> impl Iterator<Item = Node<'_, 'a>> {
        self.nodes().filter(|node| node.record.up == NONE)
    }

    /// Returns the components without a parent component.
    pub fn root_components(&self) -> impl Iterator<Item = Node<'_, 'a>> {
        self.nodes().filter(|node| node.component().is_some() && node.parent().is_none())
    }

    /// Returns the component at a path, as written by [`Node::path`].
    #[must_use]
    pub fn by_path(&self, path: &str) -> Option<Node<'_, 'a>> {
        let last = path.rsplit('/').next()?;
        self.nodes().filter(|node| node.label() == last).find(|node| node.path() == path)
    }

    /// Returns the components of a level.
    pub fn of_level(&self, level: Level) -> impl Iterator<Item = Node<'_, 'a>> {
        self.nodes().filter(move |node| node.component().is_some() && node.level() == Some(level))
    }

    /// Returns the labels from the root down to a component: [`Node::path`].
    #[must_use]
    pub fn path(&self, of: Node<'_, 'a>) -> String {
        of.path()
    }

    /// Returns every finding, whatever the profile, in the order of the nodes.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the issues of a profile, in the order of the nodes.
    ///
    /// ```
    /// # use fhir_devices::{DeviceComponent, containment::{Profile, components}};
    /// # let json = br#"{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"1"},"type":{"coding":[
    /// #     {"system":"urn:iso:std:iso:11073:10101","code":"69643"}]}}"#;
    /// let all = [DeviceComponent::from_json(json)?]; // a channel without a parent
    /// let tree = components(&all);
    /// assert!(!tree.report(Profile::Base).has_errors());
    /// assert!(tree.report(Profile::Pocd).iter().any(|issue| issue.rule == "CT-08" && issue.at == "DeviceComponent.parent"));
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[must_use]
    pub fn report(&self, profile: Profile) -> Report {
        self.findings.iter().filter_map(|finding| finding.issue(self, profile)).collect()
    }
}

impl<'t, 'a> Node<'t, 'a> {
    /// Maximum number of segments of a path. Devices have four levels; more are an error.
    const LONGEST: usize = 16;

    /// Returns the index in input order.
    #[must_use]
    pub fn index(self) -> usize {
        self.at as usize
    }

    pub(super) fn record(self) -> &'t NodeRecord {
        self.record
    }

    pub(super) fn origin(self) -> Origin {
        // Every node has an origin.
        let none = Origin { document: 0, entry: NONE, container: NONE, space: 0 };
        self.tree.nodes.origin(self.at).copied().unwrap_or(none)
    }

    /// Returns the resource.
    #[must_use]
    pub fn item(self) -> Item<'a> {
        self.item
    }

    /// Returns the resource if it is a component.
    #[must_use]
    pub fn component(self) -> Option<&'a DeviceComponent> {
        match self.item {
            Item::Component(component) => Some(component),
            Item::Device(_) | Item::Metric(_) => None,
        }
    }

    /// Returns the logical id.
    #[must_use]
    pub fn id(self) -> Option<&'a Id> {
        self.item.id()
    }

    /// Returns the display name.
    #[must_use]
    pub fn name(self) -> Option<&'a str> {
        self.item.name()
    }

    /// Returns the label in paths: the id, else an identifier, else `?`.
    #[must_use]
    pub fn label(self) -> &'a str {
        let identifier =
            || self.item().identifiers().filter_map(crate::reference::item::token).map(|(_, value)| value).next();
        self.id().map(|id| id.as_str()).or_else(identifier).unwrap_or("?")
    }

    /// Returns the level of a component: by its code, else by its reference id, else by its place.
    #[must_use]
    pub fn level(self) -> Option<Level> {
        self.record.level()
    }

    /// Returns the level by code or reference id, without the place.
    #[must_use]
    pub fn stated(self) -> Option<Level> {
        self.record.stated()
    }

    /// Returns the level by the ISO/IEEE 11073-10101 code.
    #[must_use]
    pub fn by_code(self) -> Option<Level> {
        self.record.marks.by_code()
    }

    /// Returns the level by the reference id in the display of such a code.
    #[must_use]
    pub fn by_name(self) -> Option<Level> {
        self.record.marks.by_name()
    }

    /// Returns the level by the place below the parent.
    #[must_use]
    pub fn by_place(self) -> Option<Level> {
        self.record.marks.by_place()
    }

    /// Returns the part that a component outside the levels is: a battery, a clock, an SCO.
    #[must_use]
    pub fn part(self) -> Option<DevicePart> {
        self.record.marks.part()
    }

    /// Returns whether code, reference id and place disagree about the level. An MDS below an MDS is no disagreement.
    #[must_use]
    pub fn is_disputed(self) -> bool {
        let differ = |a: Option<Level>, b: Option<Level>| a.is_some() && b.is_some() && a != b;
        let (record, marks) = (self.record, self.record.marks);
        differ(marks.by_code(), marks.by_name()) || (differ(record.stated(), marks.by_place()) && !marks.is_nested())
    }

    /// Returns whether the component was entered in error.
    #[must_use]
    pub fn is_void(self) -> bool {
        self.record.marks.is_void()
    }

    /// Returns whether the node names a parent that is missing, of another type, or ambiguous.
    #[must_use]
    pub fn is_orphan(self) -> bool {
        matches!(self.record.marks.parent_state(), LinkState::Missing | LinkState::Ambiguous | LinkState::WrongType)
    }

    /// Returns whether the node is a member of a cycle and was made its root.
    #[must_use]
    pub fn is_cyclic(self) -> bool {
        self.record.marks.parent_state() == LinkState::Cut
    }

    /// Returns the depth in components, including the node: 1 for an MDS at the top, 0 for a device.
    #[must_use]
    pub fn depth(self) -> usize {
        self.record.depth as usize
    }

    /// Returns the node directly above: the parent component, else the device.
    #[must_use]
    pub fn above(self) -> Option<Self> {
        self.tree.node(self.record.up)
    }

    /// Returns the parent component.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        self.above().filter(|above| above.component().is_some())
    }

    /// Returns the device of the node: that of its own source, else of its ancestors.
    #[must_use]
    pub fn device(self) -> Option<Self> {
        self.tree.node(self.record.device)
    }

    /// Returns whether the node belongs to the device with this id; true where no source is stated.
    pub(super) fn is_of(self, device: &str) -> bool {
        match self.record.device {
            NONE => true,
            // A device that is not in the tree is compared by the reference of the first node that names it.
            far if far & EXTERNAL != 0 => {
                let source = self.tree.nodes.item(far & !EXTERNAL).and_then(Item::source);
                let Some(ReferenceValue::Literal(literal)) = source else { return false };
                self.tree.names.is_device(literal, device)
            }
            _ => self.device().and_then(Self::id).is_some_and(|id| id.as_str() == device),
        }
    }

    /// Returns the ancestor components, nearest first.
    pub fn ancestors(self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), |node| node.parent())
    }

    /// Returns the nodes directly below, in input order.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let tree = self.tree;
        std::iter::successors(tree.node(self.record.first), move |child| tree.node(child.record.next))
    }

    /// Returns whether the node has a later sibling.
    #[must_use]
    pub fn has_next(self) -> bool {
        self.record.next != NONE
    }

    /// Iterates over the node and its descendants in preorder, with their depth.
    pub fn subtree(self) -> impl Iterator<Item = (usize, Self)> {
        std::iter::successors(Some((0, self)), move |(depth, node)| {
            if let Some(child) = self.tree.node(node.record.first) {
                return Some((depth + 1, child));
            }
            let (mut depth, mut node) = (*depth, *node);
            while depth > 0 {
                if let Some(next) = self.tree.node(node.record.next) {
                    return Some((depth, next));
                }
                (depth, node) = (depth - 1, node.above()?);
            }
            None
        })
    }

    /// Returns the labels from the root down to the node, such as `mds-1/vmd-2/chan-3`. Of more than 16 the upper ones
    /// are replaced by `…`.
    #[must_use]
    pub fn path(self) -> String {
        let mut ids: Vec<&str> =
            std::iter::once(self).chain(self.ancestors()).map(Self::label).take(Self::LONGEST + 1).collect();
        if let Some(upper) = ids.get_mut(Self::LONGEST) {
            *upper = "…";
        }
        ids.reverse();
        ids.join("/")
    }

    /// Returns the findings at this node, whatever the profile.
    #[must_use]
    pub fn findings(self) -> &'t [Finding] {
        let all = &self.tree.findings;
        let from = all.partition_point(|finding| finding.node < self.at);
        let until = all.partition_point(|finding| finding.node <= self.at);
        all.get(from..until).unwrap_or_default()
    }

    /// Returns the first finding from the node upwards that makes its place uncertain: a parent that is missing,
    /// duplicate, of a wrong type or part of a cycle, a source that differs, or levels that do not descend.
    ///
    /// ```
    /// # use fhir_devices::{DeviceComponent, containment::{ContainmentRule, components}};
    /// # let json = br#"{"resourceType":"DeviceComponent","id":"m","identifier":{"value":"1"},"type":{"text":"monitor"},
    /// #     "parent":{"reference":"DeviceComponent/gone"}}"#;
    /// let all = [DeviceComponent::from_json(json)?]; // its parent is `DeviceComponent/gone`
    /// let tree = components(&all);
    /// assert_eq!(tree.get("m").unwrap().placement_issue().unwrap().rule, ContainmentRule::Resolvable);
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[must_use]
    pub fn placement_issue(self) -> Option<&'t Finding> {
        let mut way = std::iter::once(self).chain(self.ancestors());
        way.find_map(|node| node.findings().iter().find(|finding| finding.is_about_place()))
    }

    /// Returns the index of the document, from 0.
    #[must_use]
    pub fn document(self) -> usize {
        self.origin().document as usize
    }

    /// Returns the path in the document: `Bundle.entry[3].resource`, or the name of the type.
    #[must_use]
    pub fn place(self) -> String {
        let origin = self.origin();
        let outer = self.tree.node(origin.container).unwrap_or(self);
        let mut place = match outer.origin().entry {
            NONE => outer.item.resource_type().to_owned(),
            entry => format!("Bundle.entry[{entry}].resource"),
        };
        if origin.container != NONE {
            place.push_str(&format!(".contained[{}]", origin.entry));
        }
        place
    }
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("nodes", &self.nodes.len()).field("findings", &self.findings.len()).finish()
    }
}

impl fmt::Debug for Node<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.item().resource_type()).field(&self.label()).finish()
    }
}

impl PartialEq for Node<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && std::ptr::eq(self.tree, other.tree)
    }
}
