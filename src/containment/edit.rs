//! Plans for changing a tree: the resources to write and their conditions.

use super::node_record::NONE;
use super::tree::{Node, Tree};
use crate::datatype::{Reference, target};
use crate::nomenclature::Level;
use crate::reference::item::Item;
use crate::resource::{DeviceComponent, DeviceMetric, Resource};

/// One resource of a plan, and the condition for carrying it out.
///
/// A plan is carried out as a whole or not at all. It holds what is changed, and what must not change meanwhile: so two
/// plans that would make a circle together, or an orphan, cannot both be carried out.
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
    /// The effect.
    pub action: ChangeAction,
    /// The condition.
    pub condition: ChangeCondition,
}

/// What to do with a resource.
///
/// ```
/// use fhir_devices::{Device, containment::ChangeAction};
/// let keep = ChangeAction::Keep(Device::default().into());
/// assert_eq!(keep.resource().resource_type(), "Device");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeAction {
    /// The resource is written as it is here.
    Write(Resource),
    /// The resource stays as it is here, and must not change meanwhile: a store that knows no such condition writes it
    /// again.
    Keep(Resource),
    /// The resource is deleted.
    Delete(Resource),
}

impl ChangeAction {
    /// Returns the resource.
    #[must_use]
    pub const fn resource(&self) -> &Resource {
        match self {
            Self::Write(resource) | Self::Keep(resource) | Self::Delete(resource) => resource,
        }
    }
}

/// The condition of a change.
///
/// ```
/// assert_ne!(fhir_devices::containment::ChangeCondition::Absent, fhir_devices::containment::ChangeCondition::Exists);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeCondition {
    /// No such resource exists.
    Absent,
    /// The resource has this version.
    Version(String),
    /// The resource exists; the version that the tree was built from is not known.
    Exists,
}

/// Why a plan is refused.
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
        /// What was named.
        label: String,
    },
    /// What it is to be put below is no component, or one of another service.
    #[error("nothing can be put below `{label}`")]
    InvalidParent {
        /// What was named.
        label: String,
    },
    /// The parents of the place do not lead to a top.
    #[error("the parents of `{label}` lead to no top, so that the place is not known")]
    BrokenAncestry {
        /// The component where the way ends.
        label: String,
    },
    /// Levels descend from MDS to VMD to channel; only an MDS may be below its like.
    #[error("a component of level `{own}` was to be put below one of level `{above}`")]
    Level {
        /// The level of what is put somewhere.
        own: Level,
        /// The level of the place.
        above: Level,
    },
    /// A resource of this type and id exists already.
    #[error("the id `{id}` is taken")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// The resource has others below it, which would be orphans.
    #[error("`{label}` has {count} resources directly below it")]
    HasChildren {
        /// What was named.
        label: String,
        /// How many.
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

/// Returns the components from the place up to its top, which must stay as they are.
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

/// The source that counts at a node, as it is written there or above.
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

/// Moves a component or metric with its descendants to another parent, or to the top.
///
/// Where the source of the new place is another one, it becomes the source of all that moves; an MDS within that has a
/// source of its own keeps it.
///
/// # Errors
/// [`EditError`]: never is a circle or an orphan made, nor a level put below a deeper one.
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

/// Adds a component below another one; its parent and, where it has none, its source are set.
///
/// # Errors
/// [`EditError`]: an id that is taken or missing, a place that is none, a level below a deeper one.
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

/// Adds a metric below a component; its parent and, where it has none, its source are set.
///
/// # Errors
/// [`EditError`]: an id that is taken or missing, a place that is none.
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

/// Removes a component or a metric; what is below it too, if `all` says so, the deepest first.
///
/// # Errors
/// [`EditError::HasChildren`] where something is below it and `all` is false; [`EditError::NotWritable`].
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
