//! Plans of changes to a tree: the resources to write and their preconditions.

use super::node_record::NONE;
use super::tree::{Node, Tree};
use crate::datatype::{Reference, target};
use crate::nomenclature::Level;
use crate::reference::item::Item;
use crate::resource::{DeviceComponent, DeviceMetric, Resource};

/// One resource of a plan, with the precondition of its change.
///
/// A plan is carried out as a whole or not at all. It includes resources that must not change meanwhile, so that two
/// plans that together would make a cycle or an orphan cannot both be carried out.
///
/// ```
/// use fhir_devices::{DeviceComponent, containment::{ChangeAction, ChangeCondition, components, remove}};
/// let json = br#"{"resourceType":"DeviceComponent","id":"m","meta":{"versionId":"3"},
///     "identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let all = [DeviceComponent::from_json(json)?];
/// let tree = components(&all);
/// let plan = remove(tree.get("m").unwrap(), false).unwrap();
/// assert!(matches!(plan[0].action, ChangeAction::Delete(_)));
/// assert_eq!(plan[0].condition, ChangeCondition::Version("3".into()));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedChange {
    /// Change of the resource.
    pub action: ChangeAction,
    /// Precondition of the change.
    pub condition: ChangeCondition,
}

/// Change of a resource.
///
/// ```
/// use fhir_devices::{Device, containment::ChangeAction};
/// let keep = ChangeAction::Keep(Device::default().into());
/// assert_eq!(keep.resource().resource_type(), "Device");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeAction {
    /// Writes this resource.
    Write(Resource),
    /// Keeps the resource, which must not change meanwhile: a store without such a precondition writes it again
    /// unchanged.
    Keep(Resource),
    /// Deletes the resource.
    Delete(Resource),
}

impl ChangeAction {
    /// Returns the resource of the change.
    #[must_use]
    pub const fn resource(&self) -> &Resource {
        match self {
            Self::Write(resource) | Self::Keep(resource) | Self::Delete(resource) => resource,
        }
    }
}

/// Precondition of a change.
///
/// ```
/// assert_ne!(fhir_devices::containment::ChangeCondition::Absent, fhir_devices::containment::ChangeCondition::Exists);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeCondition {
    /// No such resource exists.
    Absent,
    /// The resource has this `meta.versionId`.
    Version(String),
    /// The resource exists; the tree was built from an unknown version.
    Exists,
}

/// Reason why a plan is refused.
///
/// ```
/// let error = fhir_devices::containment::EditError::OwnAncestor;
/// assert_eq!(error.to_string(), "the component would be below itself");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The resource would be its own ancestor.
    #[error("the component would be below itself")]
    OwnAncestor,
    /// The resource is a device, is contained in another resource, or has no id: it cannot be written alone.
    #[error("`{label}` is not a component or metric that can be written alone")]
    NotWritable {
        /// Label of the resource.
        label: String,
    },
    /// The new parent is not a component, or belongs to another service.
    #[error("nothing can be put below `{label}`")]
    InvalidParent {
        /// Label of the new parent.
        label: String,
    },
    /// The ancestors of the new parent do not lead to a root.
    #[error("the parents of `{label}` lead to no top, so that the place is not known")]
    BrokenAncestry {
        /// Label of the component whose parent is missing or cyclic.
        label: String,
    },
    /// Levels descend from MDS to VMD to channel; only an MDS may be below a component of its own level.
    #[error("a component of level `{own}` was to be put below one of level `{above}`")]
    Level {
        /// Level of the component to be placed.
        own: Level,
        /// Level of the new parent.
        above: Level,
    },
    /// A resource of this type and id exists already.
    #[error("the id `{id}` is taken")]
    IdTaken {
        /// Logical id.
        id: String,
    },
    /// The resource has children, which would become orphans.
    #[error("`{label}` has {count} resources directly below it")]
    HasChildren {
        /// Label of the resource.
        label: String,
        /// Number of children.
        count: usize,
    },
}

fn expect(item: Item<'_>) -> ChangeCondition {
    item.version().map_or(ChangeCondition::Exists, |version| ChangeCondition::Version(version.as_str().to_owned()))
}

fn owned(item: Item<'_>) -> Resource {
    match item {
        Item::Device(device) => device.clone().into(),
        Item::Component(component) => component.clone().into(),
        Item::Metric(metric) => metric.clone().into(),
    }
}

fn writable(node: Node<'_, '_>) -> Result<(), EditError> {
    let alone = node.origin().container == NONE && !node.record().marks.is_doubled() && node.id().is_some();
    if alone && !matches!(node.item(), Item::Device(_)) {
        return Ok(());
    }
    Err(EditError::NotWritable { label: node.label().to_owned() })
}

/// Returns `place` and its ancestors, which must not change.
fn kept(place: Node<'_, '_>) -> Result<Vec<PlannedChange>, EditError> {
    let refuse = |node: Node<'_, '_>| EditError::InvalidParent { label: node.label().to_owned() };
    let mut kept = Vec::new();
    for node in std::iter::once(place).chain(place.ancestors()) {
        if node.component().is_none() || writable(node).is_err() {
            return Err(refuse(node));
        }
        if node.is_orphan() || node.is_cyclic() {
            return Err(EditError::BrokenAncestry { label: node.label().to_owned() });
        }
        kept.push(PlannedChange { action: ChangeAction::Keep(owned(node.item())), condition: expect(node.item()) });
    }
    Ok(kept)
}

fn fits(own: Option<Level>, place: Node<'_, '_>) -> Result<(), EditError> {
    match (own, place.level()) {
        (Some(own), Some(above)) if own <= above && (own, above) != (Level::Mds, Level::Mds) => {
            Err(EditError::Level { own, above })
        }
        _ => Ok(()),
    }
}

/// Returns the source reference that applies to a node: its own, or the nearest ancestor's.
fn source(node: Node<'_, '_>) -> Option<Reference<target::Device>> {
    let own = |node: Node<'_, '_>| match node.item() {
        Item::Component(component) => component.source.clone(),
        Item::Metric(metric) => metric.source.clone(),
        Item::Device(_) => None,
    };
    std::iter::once(node).chain(node.ancestors()).find_map(own)
}

fn parent(place: Node<'_, '_>) -> Option<Reference<target::DeviceComponent>> {
    Reference::to(&format!("DeviceComponent/{}", place.id()?)).ok()
}

/// Moves a component or metric with its descendants below another component, or to the top.
///
/// If the new parent belongs to another device, its source replaces that of everything moved; an MDS among the
/// descendants with a source of its own keeps it.
///
/// # Errors
/// [`EditError`]: a move never makes a cycle or an orphan, and never puts a level below a deeper one.
pub fn move_to(node: Node<'_, '_>, place: Option<Node<'_, '_>>) -> Result<Vec<PlannedChange>, EditError> {
    writable(node)?;
    let mut plan = Vec::new();
    let mut new_source = source(node);
    let mut source_changes = node.record().source == NONE;
    if let Some(place) = place {
        plan = kept(place)?;
        if std::iter::once(place).chain(place.ancestors()).any(|above| above.index() == node.index()) {
            return Err(EditError::OwnAncestor);
        }
        if place.origin().space != node.origin().space {
            return Err(EditError::InvalidParent { label: place.label().to_owned() });
        }
        fits(node.stated(), place)?;
        source_changes = place.record().device != NONE && place.record().device != node.record().device;
        if source_changes {
            new_source = source(place);
        }
    }
    let old = node.record().device;
    for (depth, moved) in node.subtree() {
        let takes = source_changes && (depth == 0 || moved.record().source == old) && new_source.is_some();
        if depth > 0 && !takes {
            continue;
        }
        writable(moved)?;
        let mut resource = owned(moved.item());
        match &mut resource {
            Resource::DeviceComponent(component) => {
                if depth == 0 {
                    component.parent = place.and_then(parent);
                }
                if takes {
                    component.source.clone_from(&new_source);
                }
            }
            Resource::DeviceMetric(metric) => {
                if depth == 0 {
                    metric.parent = place.and_then(parent);
                }
                if takes {
                    metric.source.clone_from(&new_source);
                }
            }
            _ => {}
        }
        plan.push(PlannedChange { action: ChangeAction::Write(resource), condition: expect(moved.item()) });
    }
    Ok(plan)
}

/// Adds a component below another one, setting its parent and, if it has none, its source.
///
/// # Errors
/// [`EditError`]: an id that is missing or taken, an invalid parent, or a level below a deeper one.
pub fn add_component(
    tree: &Tree<'_>,
    mut new: DeviceComponent,
    place: Node<'_, '_>,
) -> Result<Vec<PlannedChange>, EditError> {
    let said = crate::reference::item::stated(&new.r#type);
    fits(said.by_code.or(said.by_name), place)?;
    let mut plan = room(tree, Item::Component(&new), place)?;
    new.parent = parent(place);
    new.source = new.source.or_else(|| source(place));
    plan.push(PlannedChange { action: ChangeAction::Write(new.into()), condition: ChangeCondition::Absent });
    Ok(plan)
}

/// Adds a metric below a component, setting its parent and, if it has none, its source.
///
/// # Errors
/// [`EditError`]: an id that is missing or taken, or an invalid parent.
pub fn add_metric(
    tree: &Tree<'_>,
    mut new: DeviceMetric,
    place: Node<'_, '_>,
) -> Result<Vec<PlannedChange>, EditError> {
    let mut plan = room(tree, Item::Metric(&new), place)?;
    new.parent = parent(place);
    new.source = new.source.or_else(|| source(place));
    plan.push(PlannedChange { action: ChangeAction::Write(new.into()), condition: ChangeCondition::Absent });
    Ok(plan)
}

fn room(tree: &Tree<'_>, new: Item<'_>, place: Node<'_, '_>) -> Result<Vec<PlannedChange>, EditError> {
    let Some(id) = new.id() else { return Err(EditError::NotWritable { label: "?".to_owned() }) };
    let there = match new {
        Item::Metric(_) => tree.metric(id.as_str()),
        _ => tree.get(id.as_str()),
    };
    if there.is_some() {
        return Err(EditError::IdTaken { id: id.as_str().to_owned() });
    }
    kept(place)
}

/// Removes a component or metric, and with `all` its descendants, deepest first.
///
/// # Errors
/// [`EditError::HasChildren`] if it has children and `all` is false; [`EditError::NotWritable`].
pub fn remove(node: Node<'_, '_>, all: bool) -> Result<Vec<PlannedChange>, EditError> {
    let count = node.children().count();
    if count > 0 && !all {
        return Err(EditError::HasChildren { label: node.label().to_owned(), count });
    }
    let mut plan = Vec::new();
    for (_, node) in node.subtree() {
        writable(node)?;
        plan.push(PlannedChange { action: ChangeAction::Delete(owned(node.item())), condition: expect(node.item()) });
    }
    plan.reverse();
    Ok(plan)
}
