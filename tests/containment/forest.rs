//! Random forests with every kind of fault, compared with a model that scans everything for each question.

use fhir_devices::containment::{Node, Tree, TreeBuilder};
use fhir_devices::nomenclature::Level;
use fhir_devices::reference::Item;
use fhir_devices::{Device, DeviceComponent, DeviceMetric, Resource};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A resource to make: a component, a metric or a device.
#[derive(Clone, Debug)]
struct DevicePart {
    kind: Kind,
    id: u8,
    parent: Link,
    source: Link,
    code: u8,
    suffix: u8,
    handle: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Device,
    Component,
    Metric,
}

/// A reference: none, by id, or without a target.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    None,
    Id(u8),
    Lost,
    /// A contained resource of another type.
    Wrong,
}

const CODES: [(&str, Option<Level>); 8] = [
    ("69641", Some(Level::Mds)),
    ("69642", Some(Level::Vmd)),
    ("69643", Some(Level::Channel)),
    ("69640", None),
    ("2000", None),
    ("65577", None),
    ("65614", None),
    ("65579", None),
];
/// Battery, clock and SCO, by the position of their codes: parts without a level.
const PARTS: [u8; 3] = [5, 6, 7];
const SUFFIXES: [(&str, Option<Level>); 4] =
    [("A_MDS", Some(Level::Mds)), ("A_VMD", Some(Level::Vmd)), ("A_CHAN", Some(Level::Channel)), ("A", None)];

fn link() -> impl Strategy<Value = Link> {
    prop_oneof![2 => Just(Link::None), 8 => (0u8..12).prop_map(Link::Id), 1 => Just(Link::Lost), 1 => Just(Link::Wrong)]
}

fn part() -> impl Strategy<Value = DevicePart> {
    let kind = prop_oneof![1 => Just(Kind::Device), 6 => Just(Kind::Component), 2 => Just(Kind::Metric)];
    let code = prop_oneof![5 => 0u8..5, 2 => 5u8..8];
    let source = prop_oneof![1 => link(), 4 => (0u8..3).prop_map(Link::Id)];
    (kind, 0u8..12, link(), source, code, 0u8..4, 0u8..6).prop_map(
        |(kind, id, parent, source, code, suffix, handle)| DevicePart {
            kind,
            id,
            parent,
            source,
            code,
            suffix,
            handle,
        },
    )
}

fn read(part: &DevicePart) -> Resource {
    let reference = |name: &str, kind: &str, link: Link| match link {
        Link::None => String::new(),
        Link::Id(id) if kind == "Device" => format!(r#","{name}":{{"reference":"Device/d{id}"}}"#),
        Link::Id(id) => format!(r#","{name}":{{"reference":"{kind}/C{id}"}}"#),
        Link::Lost => format!(r#","{name}":{{"reference":"{kind}/lost"}}"#),
        Link::Wrong => format!(r##","{name}":{{"reference":"#wrong"}}"##),
    };
    let wrong = r#","contained":[{"resourceType":"Patient","id":"wrong"}]"#;
    let id = part.id;
    let json = match part.kind {
        Kind::Device => format!(r#"{{"resourceType":"Device","id":"d{id}"}}"#),
        kind => {
            let (name, letter, more) = match kind {
                Kind::Metric => ("DeviceMetric", 'M', r#","category":"setting""#),
                _ => ("DeviceComponent", 'C', ""),
            };
            format!(
                r#"{{"resourceType":"{name}","id":"{letter}{id}","identifier":{{"value":"{}"}},"type":{{"coding":[{{
                "system":"urn:iso:std:iso:11073:10101","code":"{}","display":"{}"}}]}}{more}{wrong}{}{}}}"#,
                part.handle,
                CODES[part.code as usize].0,
                SUFFIXES[part.suffix as usize].0,
                reference("parent", "DeviceComponent", part.parent),
                reference("source", "Device", part.source),
            )
        }
    };
    Resource::from_json(json.as_bytes()).unwrap_or_else(|report| panic!("{json}: {report}"))
}

/// The model: every answer from a scan of all parts.
struct Model<'p>(&'p [DevicePart]);

impl Model<'_> {
    fn target(&self, link: Link, kind: Kind) -> Result<usize, &'static str> {
        match link {
            Link::None => Err("absent"),
            Link::Lost => Err("lost"),
            Link::Wrong => Err("wrong"),
            Link::Id(id) => {
                let all: Vec<usize> =
                    (0..self.0.len()).filter(|at| self.0[*at].kind == kind && self.0[*at].id == id).collect();
                match all[..] {
                    [] => Err("lost"),
                    [one] => Ok(one),
                    _ => Err("several"),
                }
            }
        }
    }

    fn is(&self, at: usize, kind: Kind) -> bool {
        self.0[at].kind == kind
    }

    fn said_parent(&self, at: usize) -> Result<usize, &'static str> {
        if self.is(at, Kind::Device) { Err("absent") } else { self.target(self.0[at].parent, Kind::Component) }
    }

    fn source(&self, at: usize) -> Result<usize, &'static str> {
        if self.is(at, Kind::Device) { Err("absent") } else { self.target(self.0[at].source, Kind::Device) }
    }

    /// Returns the members of the cycle that contains `at`.
    fn circle(&self, at: usize) -> Option<BTreeSet<usize>> {
        let mut seen = BTreeSet::new();
        let mut here = at;
        loop {
            seen.insert(here);
            here = self.said_parent(here).ok()?;
            if here == at {
                return Some(seen);
            }
            if seen.contains(&here) {
                return None;
            }
        }
    }

    fn is_cut(&self, at: usize) -> bool {
        self.circle(at).is_some_and(|circle| circle.first() == Some(&at))
    }

    fn parent(&self, at: usize) -> Option<usize> {
        self.said_parent(at).ok().filter(|_| !self.is_cut(at))
    }

    fn chain(&self, at: usize) -> Vec<usize> {
        std::iter::successors(Some(at), |at| self.parent(*at)).collect()
    }

    fn stated(&self, at: usize) -> Option<Level> {
        let part = &self.0[at];
        (part.kind == Kind::Component)
            .then(|| CODES[part.code as usize].1.or(SUFFIXES[part.suffix as usize].1))
            .flatten()
    }

    fn is_part(&self, at: usize) -> bool {
        self.is(at, Kind::Component) && PARTS.contains(&self.0[at].code)
    }

    fn level(&self, at: usize) -> Option<Level> {
        let by_place = || match self.parent(at) {
            _ if self.is_part(at) => None,
            Some(above) => self.level(above).and_then(Level::below),
            None => (self.said_parent(at) == Err("absent")).then_some(Level::Mds),
        };
        self.is(at, Kind::Component).then(|| self.stated(at).or_else(by_place)).flatten()
    }

    /// Returns a comparable form of a source: a device, or a text.
    fn own_source(&self, at: usize) -> Option<String> {
        match (self.source(at), self.0[at].source) {
            (Ok(device), _) => Some(format!("node {device}")),
            (Err(_), Link::Id(id)) if !self.is(at, Kind::Device) => Some(format!("id {id}")),
            (Err(_), Link::Lost) if !self.is(at, Kind::Device) => Some("lost".into()),
            _ => None,
        }
    }

    fn device(&self, at: usize) -> Option<String> {
        self.chain(at).into_iter().find_map(|above| self.own_source(above))
    }

    fn is_nested(&self, at: usize) -> bool {
        self.stated(at) == Some(Level::Mds)
            && self.parent(at).is_some_and(|above| self.level(above) == Some(Level::Mds))
    }

    fn may_be_target(&self, at: usize) -> bool {
        let is_sound = |at: usize| {
            let (own, above) = (self.level(at), self.parent(at).and_then(|above| self.level(above)));
            let descends = own.is_none() || above.is_none() || own > above;
            let source = self.parent(at).and_then(|above| self.device(above));
            let agrees = self.own_source(at).is_none() || source.is_none() || self.own_source(at) == source;
            !self.is_cut(at)
                && (self.said_parent(at).is_ok() || self.said_parent(at) == Err("absent"))
                && (agrees || self.is_nested(at))
                && (descends || (own == Some(Level::Mds) && above == Some(Level::Mds)))
        };
        let twins =
            (0..self.0.len()).filter(|other| self.is(*other, Kind::Component) && self.0[*other].id == self.0[at].id);
        self.is(at, Kind::Component) && twins.count() == 1 && self.chain(at).into_iter().all(is_sound)
    }

    fn children(&self, at: usize, kind: Kind) -> impl Iterator<Item = usize> {
        (0..self.0.len()).filter(move |child| self.is(*child, kind) && self.parent(*child) == Some(at))
    }

    fn findings(&self, at: usize) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        let mut when = |rule: &'static str, broken: bool| {
            if broken {
                found.insert(rule);
            }
        };
        let part = &self.0[at];
        let (absent, above) = (self.said_parent(at) == Err("absent"), self.parent(at));
        let above_level = above.and_then(|above| self.level(above));
        let not_below = |level: Level| above_level.is_some_and(|above| above != level);
        let first_same = |same: &dyn Fn(usize) -> bool| (0..at).any(same);
        if part.kind == Kind::Device {
            when("unique-id", first_same(&|other| self.is(other, Kind::Device) && self.0[other].id == part.id));
            return found;
        }
        let is_metric = part.kind == Kind::Metric;
        when("unique-id", first_same(&|other| self.0[other].kind == part.kind && self.0[other].id == part.id));
        when("CT-01", self.is_cut(at));
        let ends = [self.said_parent(at), self.source(at)];
        when("CT-04", ends.contains(&Err("lost")));
        when("one-target", ends.contains(&Err("several")));
        when("CT-03", is_metric && ends.contains(&Err("wrong")));
        when("CT-02", !is_metric && ends[0] == Err("wrong"));
        when("source-type", !is_metric && ends[1] == Err("wrong"));
        when(if is_metric { "CT-12" } else { "CT-13" }, part.source == Link::None);
        let differs = |from: Option<usize>| match (self.own_source(at), from.and_then(|from| self.device(from))) {
            (Some(own), Some(above)) => own != above,
            _ => false,
        };
        if is_metric {
            when("CT-10", not_below(Level::Channel));
            when("CT-11", absent);
            let top = self.chain(at).last().copied();
            let top_agrees = top != Some(at) && self.own_source(at) == top.and_then(|top| self.device(top));
            when("CT-15", differs(above) && !top_agrees);
            when("CT-21", part.code == 4);
            when("CT-25", part.code < 4);
            return found;
        }
        when("CT-14", differs(above) && !self.is_nested(at));
        let level = self.level(at);
        when("CT-05", level == Some(Level::Vmd) && not_below(Level::Mds));
        when("CT-06", level == Some(Level::Vmd) && absent);
        when("CT-07", level == Some(Level::Channel) && not_below(Level::Vmd));
        when("CT-08", level == Some(Level::Channel) && absent);
        when("CT-09", level == Some(Level::Mds) && not_below(Level::Mds));
        let chain = self.chain(at);
        let composite = chain.iter().any(|at| self.is_nested(*at));
        when("CT-16", chain.len() > 3 + usize::from(composite));
        when("CT-17", level == Some(Level::Channel) && self.children(at, Kind::Component).next().is_some());
        let has = |wanted| self.children(at, Kind::Component).any(|child| self.level(child) == Some(wanted));
        when("CT-18", level == Some(Level::Mds) && !has(Level::Vmd));
        when("CT-19", level == Some(Level::Vmd) && !has(Level::Channel));
        when("CT-21", part.code == 4);
        when("CT-22", part.code == 3);
        let (by_code, by_name) = (CODES[part.code as usize].1, SUFFIXES[part.suffix as usize].1);
        when("CT-23", by_code.is_some() && by_name.is_some() && by_code != by_name);
        let family = |at: usize| (self.device(at).ok_or_else(|| self.chain(at).last().copied()), self.0[at].handle);
        when("CT-27", first_same(&|other| self.is(other, Kind::Component) && family(other) == family(at)));
        let tops = |at: usize| {
            (self.is(at, Kind::Component) && self.said_parent(at) == Err("absent"))
                .then(|| self.own_source(at))
                .flatten()
        };
        when("one-root", tops(at).is_some() && first_same(&|other| tops(other) == tops(at)));
        when("stated-level", self.stated(at).is_none() && !self.is_part(at));
        let fits = above_level == Some(Level::Mds) || (part.code == PARTS[2] && above_level == Some(Level::Vmd));
        let twin = part.code != PARTS[0]
            && above.is_some()
            && (0..at).any(|other| {
                self.is(other, Kind::Component) && self.0[other].code == part.code && self.parent(other) == above
            });
        when("CT-31", self.is_part(at) && (absent || (above_level.is_some() && !fits) || twin));
        found
    }
}

fn compare(parts: &[DevicePart]) -> Result<(), TestCaseError> {
    let all: Vec<Resource> = parts.iter().map(read).collect();
    let tree: Tree<'_> = all.iter().fold(TreeBuilder::new(), TreeBuilder::with).build();
    let model = Model(parts);
    prop_assert_eq!(tree.len(), parts.len());
    for node in tree.nodes() {
        let at = node.index();
        prop_assert_eq!(node.parent().map(Node::index), model.parent(at), "parent of {}", at);
        prop_assert_eq!(node.level(), model.level(at), "level of {}", at);
        prop_assert_eq!(node.is_cyclic(), model.is_cut(at), "circle at {}", at);
        let orphan = matches!(model.said_parent(at), Err("lost" | "wrong" | "several"));
        prop_assert_eq!(node.is_orphan(), orphan, "orphan {}", at);
        prop_assert_eq!(node.may_be_target().is_ok(), model.may_be_target(at), "target {}", at);
        let below: Vec<usize> = node.children().map(Node::index).collect();
        let wanted: Vec<usize> = (0..parts.len())
            .filter(|child| match (model.parent(*child), parts[at].kind) {
                (Some(above), _) => above == at,
                (None, Kind::Device) => model.source(*child) == Ok(at),
                (None, _) => false,
            })
            .collect();
        prop_assert_eq!(below, wanted, "children of {}", at);
        let found: BTreeSet<&str> = node.findings().iter().map(|finding| finding.rule.key()).collect();
        prop_assert_eq!(found, model.findings(at), "findings at {}", at);
    }
    // Nothing is lost: what is below the tops is everything, each once.
    let mut below: Vec<usize> = tree.top_level().flat_map(Node::subtree).map(|(_, node)| node.index()).collect();
    below.sort_unstable();
    prop_assert_eq!(below, (0..parts.len()).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn random_forest_agrees_with_the_model(parts in prop::collection::vec(part(), 0..24)) {
        compare(&parts)?;
    }

    #[test]
    fn resource_order_changes_no_link(parts in prop::collection::vec(part(), 0..16), seed in any::<u64>()) {
        // Circles are cut at the member that comes first, so only forests without them are alike in any order.
        prop_assume!((0..parts.len()).all(|at| Model(&parts).circle(at).is_none()));
        let key = |at: &usize| (*at as u64).wrapping_mul(seed | 1).rotate_left(17);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(key);
        let all: Vec<Resource> = parts.iter().map(read).collect();
        let straight = all.iter().fold(TreeBuilder::new(), TreeBuilder::with).build();
        let mixed = order.iter().fold(TreeBuilder::new(), |gather, at| gather.with(&all[*at])).build();
        let of = |node: Node<'_, '_>| (node.path(), node.level());
        let mut here: Vec<_> = straight.nodes().map(of).collect();
        let mut there: Vec<_> = mixed.nodes().map(of).collect();
        here.sort();
        there.sort();
        prop_assert_eq!(here, there);
    }
}

#[test]
fn tree_keeps_its_items() {
    let (device, metric) = (Device::default(), part_of(Kind::Metric));
    let component = part_of(Kind::Component);
    let (Resource::DeviceMetric(metric), Resource::DeviceComponent(component)) = (&metric, &component) else {
        panic!()
    };
    let (metric, component): (&DeviceMetric, &DeviceComponent) = (metric, component);
    let tree = TreeBuilder::new().with_item(&device).with_item(metric).with_item(component).build();
    let items: Vec<Item<'_>> = tree.nodes().map(Node::item).collect();
    assert!(matches!(items[..], [Item::Device(_), Item::Metric(one), Item::Component(_)] if std::ptr::eq(one, metric)));
}

fn part_of(kind: Kind) -> Resource {
    read(&DevicePart { kind, id: 1, parent: Link::None, source: Link::None, code: 0, suffix: 0, handle: 0 })
}
