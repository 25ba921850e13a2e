//! The components of a device, each with its level and its place.

use crate::datatype::{CodeableConcept, Coding, Literal};
use crate::nomenclature::{Level, is_mdc};
use crate::primitive::Id;
use crate::resource::DeviceComponent;
use std::collections::{HashMap, HashSet, VecDeque};

/// The components of a device, in the order in which they were given.
///
/// Every link that can be followed is followed, and none twice: a parent that is not among the components makes its child a
/// root that [`is_orphan`](Member::is_orphan), and one of the components of a cycle is taken as its root.
///
/// ```
/// let tree = fhir_devices::reference::components(&[]);
/// assert_eq!(tree.roots().count(), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    members: Vec<Member>,
    by_id: HashMap<Id, usize>,
}

/// One component in the [`Tree`], with what is known of its level.
///
/// ```
/// # use fhir_devices::{DeviceComponent, nomenclature::Level, reference::components};
/// let json = br#"{"resourceType":"DeviceComponent","id":"m","identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let tree = components(&[DeviceComponent::from_json(json)?]);
/// let monitor = tree.get("m").unwrap();
/// // Nothing but its place, which is the top, says that it is an MDS.
/// assert_eq!((monitor.level(), monitor.stated()), (Some(Level::Mds), None));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The logical id of the component.
    pub id: Id,
    /// What the component is called: the text of its type, or the display of a code of it.
    pub name: Option<String>,
    /// What a code of ISO/IEEE 11073-10101 says about its level.
    pub by_code: Option<Level>,
    /// What the reference id beside such a code says about its level.
    pub by_name: Option<Level>,
    /// What its place below its parent says about its level.
    pub by_place: Option<Level>,
    /// Whether its record was made by mistake and is void.
    pub is_void: bool,
    /// Whether it names a parent that is not among the components.
    pub is_orphan: bool,
    /// Whether it was reached by no root, and is taken as one: its parents lead in a circle.
    pub is_cyclic: bool,
    parent: Option<usize>,
    children: Vec<usize>,
}

impl Member {
    /// The level: what the code says, else what the reference id says, else what the place says.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.stated().or(self.by_place)
    }

    /// The level that the component states itself.
    #[must_use]
    pub fn stated(&self) -> Option<Level> {
        self.by_code.or(self.by_name)
    }

    /// Whether what is said about the level differs. An MDS below an MDS is as it may be.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        let differ = |a: Option<Level>, b: Option<Level>| a.is_some() && b.is_some() && a != b;
        let nested = self.stated() == Some(Level::Mds) && self.by_place == Some(Level::Vmd);
        differ(self.by_code, self.by_name) || (differ(self.stated(), self.by_place) && !nested)
    }
}

impl Tree {
    /// The most segments of a path. Devices have four levels; more are the work of somebody's mistake.
    const LONGEST: usize = 16;

    /// Every component, in the order in which they were given.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.iter()
    }

    /// The component of this id; the first one, where several claim it.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Member> {
        let id = Id::new(id).ok()?;
        self.members.get(*self.by_id.get(&id)?)
    }

    /// The components at the top.
    pub fn roots(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.parent.is_none())
    }

    /// The component above.
    #[must_use]
    pub fn parent(&self, of: &Member) -> Option<&Member> {
        self.members.get(of.parent?)
    }

    /// The components directly below.
    pub fn children<'t>(&'t self, of: &'t Member) -> impl Iterator<Item = &'t Member> {
        of.children.iter().filter_map(|at| self.members.get(*at))
    }

    /// The ids from the top down to the component, as `mds-1/vmd-2/chan-3`. Of a path of more than 16 the upper ones are
    /// left out, and `…` stands for them.
    #[must_use]
    pub fn path(&self, of: &Member) -> String {
        let mut ids: Vec<&str> = std::iter::successors(Some(of), |member| self.parent(member))
            .map(|member| member.id.as_str())
            .take(Self::LONGEST + 1)
            .collect();
        if let Some(upper) = ids.get_mut(Self::LONGEST) {
            *upper = "…";
        }
        ids.reverse();
        ids.join("/")
    }
}

/// The tree of the components of one device. Components without an id are left out, as nothing can name them.
///
/// It takes time and memory in proportion to what is given, whatever the links between the components are.
///
/// ```
/// assert_eq!(fhir_devices::reference::components(&[]).members().len(), 0);
/// ```
#[must_use]
pub fn components(all: &[DeviceComponent]) -> Tree {
    let mut tree = Tree::default();
    let mut named = Vec::new();
    for component in all {
        let Some(id) = component.id.as_ref().and_then(|id| id.value.clone()) else { continue };
        tree.by_id.entry(id.clone()).or_insert(tree.members.len());
        tree.members.push(member(id, component));
        named.push(component);
    }
    link(&mut tree, &named);
    cut_cycles(&mut tree);
    place(&mut tree);
    tree
}

fn member(id: Id, component: &DeviceComponent) -> Member {
    let (by_code, by_name) = stated(&component.r#type);
    Member {
        id,
        name: name(&component.r#type),
        by_code,
        by_name,
        by_place: None,
        is_void: component.operational_status.iter().any(is_void),
        is_orphan: false,
        is_cyclic: false,
        parent: None,
        children: Vec::new(),
    }
}

fn is_void(status: &CodeableConcept) -> bool {
    status.coding.iter().any(|coding| code(coding) == Some("entered-in-error"))
}

fn code(coding: &Coding) -> Option<&str> {
    coding.code.as_ref().and_then(|code| code.value.as_ref()).map(|code| code.as_str())
}

fn display(coding: &Coding) -> Option<&str> {
    coding.display.as_ref().and_then(|display| display.value.as_ref()).map(|display| display.as_str())
}

/// What the codings of ISO/IEEE 11073-10101 say, by their codes and by their reference ids.
fn stated(concept: &CodeableConcept) -> (Option<Level>, Option<Level>) {
    let mdc = || {
        concept.coding.iter().filter(|coding| {
            let system = coding.system.as_ref().and_then(|system| system.value.as_ref());
            system.is_some_and(|system| is_mdc(system.as_str()))
        })
    };
    let by_code = mdc().find_map(|coding| Level::of_code(code(coding)?.parse().ok()?));
    let by_name = mdc().find_map(|coding| Level::of_name(display(coding)?));
    (by_code, by_name)
}

fn name(concept: &CodeableConcept) -> Option<String> {
    let text = concept.text.as_ref().and_then(|text| text.value.as_ref()).map(|text| text.as_str());
    text.or_else(|| concept.coding.iter().find_map(display)).map(str::to_owned)
}

fn link(tree: &mut Tree, components: &[&DeviceComponent]) {
    for (at, component) in components.iter().enumerate() {
        let Some(reference) = &component.parent else { continue };
        let parent = match reference.literal() {
            Some(Literal::Relative { id, .. }) => Id::new(id).ok().and_then(|id| tree.by_id.get(&id).copied()),
            _ => None,
        };
        if let Some(member) = tree.members.get_mut(at) {
            (member.parent, member.is_orphan) = (parent, parent.is_none());
        }
        if let Some(parent) = parent.and_then(|parent| tree.members.get_mut(parent)) {
            parent.children.push(at);
        }
    }
}

/// Cuts the link above one component of each cycle, so that every component is below a root.
fn cut_cycles(tree: &mut Tree) {
    let mut settled = vec![false; tree.members.len()];
    for start in 0..tree.members.len() {
        let mut walked = Vec::new();
        let mut on_the_way = HashSet::new();
        let mut here = Some(start);
        while let Some(at) = here {
            if settled.get(at).copied().unwrap_or(true) {
                break;
            }
            if !on_the_way.insert(at) {
                cut(tree, at);
                break;
            }
            walked.push(at);
            here = tree.members.get(at).and_then(|member| member.parent);
        }
        for at in walked {
            if let Some(settled) = settled.get_mut(at) {
                *settled = true;
            }
        }
    }
}

fn cut(tree: &mut Tree, at: usize) {
    let Some(member) = tree.members.get_mut(at) else { return };
    member.is_cyclic = true;
    if let Some(parent) = member.parent.take().and_then(|parent| tree.members.get_mut(parent)) {
        parent.children.retain(|child| *child != at);
    }
}

/// From the top down, as what a place says depends on the level of the component above.
fn place(tree: &mut Tree) {
    let roots = tree.members.iter().enumerate().filter(|(_, member)| member.parent.is_none());
    let mut queue: VecDeque<usize> = roots.map(|(at, _)| at).collect();
    while let Some(at) = queue.pop_front() {
        let Some(member) = tree.members.get(at) else { continue };
        queue.extend(&member.children);
        let by_place = match tree.parent(member) {
            Some(parent) => parent.level().and_then(Level::below),
            None if member.is_orphan || member.is_cyclic => None,
            None => Some(Level::Mds),
        };
        if let Some(member) = tree.members.get_mut(at) {
            member.by_place = by_place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use super::super::{SelectError, Selector, select};

    fn component(id: &str, code: &str, display: &str, parent: &str) -> DeviceComponent {
        let parent = match parent {
            "" => String::new(),
            parent => format!(r#","parent":{{"reference":"{parent}"}}"#),
        };
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"1"}},"type":{{"coding":[
            {{"system":"urn:oid:1.2.840.10004.1.1.1.0.0.1","code":"{code}","display":"{display}"}}]}}{parent}}}"#
        );
        DeviceComponent::from_json(json.as_bytes()).unwrap()
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.members().map(|member| tree.path(member)).collect()
    }

    #[test]
    fn the_code_counts_before_the_name_and_the_name_before_the_place() {
        let tree = components(&[
            component("m", "69641", "MDC_DEV_ANALY_SAT_O2_VMD", ""),
            component("v", "2000", "MDC_DEV_ANALY_SAT_O2_CHAN", "DeviceComponent/m"),
            component("c", "69680", "Infusion pump", "DeviceComponent/m/_history/3"),
        ]);
        let levels: Vec<_> = tree.members().map(Member::level).collect();
        assert_eq!(levels, [Some(Level::Mds), Some(Level::Channel), Some(Level::Vmd)]);
        let disputed: Vec<_> = tree.members().map(Member::is_disputed).collect();
        assert_eq!(disputed, [true, true, false]);
        assert_eq!(paths(&tree), ["m", "m/v", "m/c"]);
    }

    #[test]
    fn an_mds_below_an_mds_is_no_dispute() {
        let tree =
            components(&[component("ward", "69965", "x", ""), component("bed", "69965", "x", "DeviceComponent/ward")]);
        assert!(tree.members().all(|member| !member.is_disputed() && member.level() == Some(Level::Mds)));
    }

    #[test]
    fn a_place_says_nothing_below_an_orphan_or_in_a_circle() {
        let tree = components(&[
            component("a", "0", "x", "DeviceComponent/b"),
            component("b", "0", "x", "DeviceComponent/a"),
            component("own", "0", "x", "DeviceComponent/own"),
            component("lost", "0", "x", "DeviceComponent/gone"),
            component("far", "0", "x", "https://other.example/DeviceComponent/a"),
            component("below", "0", "x", "DeviceComponent/lost"),
        ]);
        assert!(tree.members().all(|member| member.level().is_none()));
        assert_eq!(paths(&tree), ["a", "a/b", "own", "lost", "far", "lost/below"]);
        let cyclic: Vec<_> =
            tree.members().filter(|member| member.is_cyclic).map(|member| member.id.as_str()).collect();
        assert_eq!(cyclic, ["a", "own"]);
        assert_eq!(tree.members().filter(|member| member.is_orphan).count(), 2);
        assert_eq!(tree.roots().count(), 4);
    }

    #[test]
    fn a_doubled_id_is_never_selected() {
        let tree = components(&[component("a", "69642", "x", ""), component("a", "69642", "x", "")]);
        let refused = select(&tree, &Selector::Component("a".parse().unwrap()));
        assert!(matches!(refused, Err(SelectError::Ambiguous { candidates, .. }) if candidates.len() == 2));
    }

    #[test]
    fn a_name_is_an_id_first_and_a_level_second() {
        let name = Selector::Named("vmd".parse().unwrap());
        let mut all = vec![component("a", "69642", "x", ""), component("b", "69641", "x", "")];
        assert_eq!(select(&components(&all), &name).unwrap().id, "a");
        all.push(component("vmd", "69643", "x", ""));
        assert_eq!(select(&components(&all), &name).unwrap().id, "vmd");
    }

    #[test]
    fn a_chain_a_star_and_a_circle_of_a_hundred_thousand_take_no_stack_and_little_time() {
        let count = 100_000;
        let proto = component("c", "69642", "x", "DeviceComponent/c");
        let parents: [&dyn Fn(usize) -> usize; 3] = [&|at: usize| at.saturating_sub(1), &|_| 0, &|at| (at + 1) % count];
        for parent in parents {
            let all: Vec<_> = (0..count)
                .map(|at| {
                    let mut one = proto.clone();
                    one.id = Some(Id::new(format!("c{at}")).unwrap().into());
                    let parent = format!("DeviceComponent/c{}", parent(at));
                    one.parent = Some(crate::datatype::Reference::to(&parent).unwrap());
                    one
                })
                .collect();
            let tree = components(&all);
            assert_eq!(tree.roots().count(), 1);
            let refused = select(&tree, &Selector::Any).unwrap_err();
            assert_eq!(refused.candidates().len(), count);
            assert!(refused.candidates().iter().all(|candidate| candidate.path.len() < 200));
            assert!(refused.to_string().ends_with("99988 more"));
        }
    }
}
