//! Checks of the rules on a linked tree.

use super::content::{component_content, metric_content};
use super::finding::{Finding, FindingElement};
use super::hash_index::{BATCH, HashIndex, HashKey, NO_KEY, mixed};
use super::node_record::{LinkState, NONE, NodeRecord, Nodes, Target};
use super::reference_index::{EXTERNAL, ReferenceIndex};
use super::rule::ContainmentRule;
use crate::datatype::CodeableConcept;
use crate::nomenclature::{DevicePart, Level};
use crate::primitive::Id;
use crate::reference::item::{Item, says, token};
use crate::resource::{Device, DeviceComponent};
use crate::udi::{ParseMode, Udi};
use std::collections::HashMap;

/// Checks the rules that compare several nodes; the findings are in the order of the nodes.
pub(super) fn across(
    nodes: &Nodes<'_>,
    labels: &[HashKey],
    names: &ReferenceIndex<'_>,
    cuts: &[(u32, u32)],
) -> Vec<Finding> {
    let cut = |(at, above): &(u32, u32)| Finding::about(*at, ContainmentRule::Acyclic, FindingElement::Parent, *above);
    let mut found: Vec<Finding> = cuts.iter().map(cut).collect();
    duplicate(nodes, names, &mut found);
    identifiers(nodes, labels, &mut found);
    roots(nodes, &mut found);
    found.sort_unstable();
    found
}

/// Checks every rule; the findings are in the order of the nodes.
pub(super) fn check(nodes: &Nodes<'_>, across: &[Finding]) -> Vec<Finding> {
    let mut check = Check { nodes, found: Vec::new(), parts: HashMap::new() };
    let mut across = across.iter().peekable();
    for ((at, record), item) in (0..).zip(nodes.records()).zip(nodes.items()) {
        let before = check.found.len();
        while let Some(finding) = across.next_if(|finding| finding.node == at) {
            check.push(*finding);
        }
        if record.marks.kind() != Target::Device {
            check.references(at, record);
        }
        match item {
            Item::Device(_) => {}
            Item::Component(component) => {
                check.place_of_component(at, record);
                if record.marks.is_suspect() {
                    check.content(at, record, component);
                }
            }
            Item::Metric(metric) => {
                check.place_of_metric(at, record);
                if record.marks.is_suspect() {
                    metric_content(metric, &mut |rule, spot, index| check.add(at, rule, spot, index));
                }
            }
        }
        if let Some(of_this) = check.found.get_mut(before..) {
            of_this.sort_unstable();
        }
    }
    check.found.shrink_to_fit();
    check.found
}

struct Check<'n, 'a> {
    nodes: &'n Nodes<'a>,
    found: Vec<Finding>,
    /// First part of each kind below a component, for the kinds of which it may have only one.
    parts: HashMap<(u32, DevicePart), u32>,
}

impl Check<'_, '_> {
    fn push(&mut self, finding: Finding) {
        // Capacity grows by a quarter rather than doubling, as there may be more findings than nodes.
        if self.found.len() == self.found.capacity() {
            self.found.reserve_exact((self.found.len() / 4).max(64));
        }
        self.found.push(finding);
    }

    fn add(&mut self, node: u32, rule: ContainmentRule, spot: FindingElement, detail: u32) {
        self.push(Finding::about(node, rule, spot, detail));
    }

    /// Checks CT-02 to CT-04 and CT-11 to CT-15: the resolution of parent and source.
    fn references(&mut self, at: u32, record: &NodeRecord) {
        let marks = record.marks;
        let is_metric = !marks.is_component();
        let (parent_type, source_type, source_is) = if is_metric {
            (ContainmentRule::MetricTargets, ContainmentRule::MetricTargets, ContainmentRule::MetricSource)
        } else {
            (ContainmentRule::ParentType, ContainmentRule::SourceType, ContainmentRule::OneSource)
        };
        for (tie, spot, type_rule) in [
            (marks.parent_state(), FindingElement::Parent, parent_type),
            (marks.source_state(), FindingElement::Source, source_type),
        ] {
            let rule = match tie {
                LinkState::Absent | LinkState::Linked | LinkState::Cut | LinkState::Plain | LinkState::Open => continue,
                LinkState::Missing => ContainmentRule::Resolvable,
                LinkState::Ambiguous => ContainmentRule::OneTarget,
                LinkState::WrongType => type_rule,
            };
            self.add(at, rule, spot, NONE);
        }
        if marks.source_state() == LinkState::Absent {
            let rule = if is_metric { ContainmentRule::MetricHasSource } else { ContainmentRule::ComponentHasSource };
            self.add(at, rule, FindingElement::Source, NONE);
        }
        if marks.source_differs() {
            self.add(at, source_is, FindingElement::Source, record.up);
        }
    }

    /// Checks CT-05 to CT-09, CT-16 to CT-19 and CT-31: the levels of a component and of its neighbours.
    fn place_of_component(&mut self, at: u32, record: &NodeRecord) {
        let marks = record.marks;
        let absent = marks.parent_state() == LinkState::Absent;
        let above = marks.above_level();
        let below = |rule, wanted: Level| (above.is_some() && above != Some(wanted)).then_some(rule);
        let rules = match record.level() {
            Some(Level::Mds) => [below(ContainmentRule::MdsBelowMds, Level::Mds), None],
            Some(Level::Vmd) => {
                [below(ContainmentRule::VmdBelowMds, Level::Mds), absent.then_some(ContainmentRule::VmdHasParent)]
            }
            Some(Level::Channel) => [
                below(ContainmentRule::ChannelBelowVmd, Level::Vmd),
                absent.then_some(ContainmentRule::ChannelHasParent),
            ],
            None => [None, None],
        };
        for rule in rules.into_iter().flatten() {
            self.add(at, rule, FindingElement::Parent, record.up);
        }
        if record.depth > 3 + u32::from(marks.is_composite()) {
            self.add(at, ContainmentRule::Depth, FindingElement::Parent, NONE);
        }
        let lacking = match record.level() {
            Some(Level::Mds) if !marks.has_vmd() => Some((ContainmentRule::MdsHasVmd, NONE)),
            Some(Level::Vmd) if !marks.has_channel() => Some((ContainmentRule::VmdHasChannel, NONE)),
            Some(Level::Channel) if marks.has_component() => {
                self.first_component_below(record).map(|child| (ContainmentRule::ChannelHoldsMetrics, child))
            }
            _ => None,
        };
        if let Some((rule, other)) = lacking {
            self.add(at, rule, FindingElement::Whole, other);
        }
        if let Some(part) = marks.part() {
            self.part(at, record, part);
        }
    }

    fn first_component_below(&self, record: &NodeRecord) -> Option<u32> {
        let some = |at: u32| self.nodes.record(at).map(|record| (at, record));
        let mut below = std::iter::successors(some(record.first), |(_, child)| some(child.next));
        below.find(|(_, child)| child.marks.is_component()).map(|(at, _)| at)
    }

    /// Checks CT-31: the place of a part, and that it is the only one of its kind there.
    fn part(&mut self, at: u32, record: &NodeRecord, part: DevicePart) {
        let above = record.marks.above_level();
        let fits = above == Some(Level::Mds) || (part == DevicePart::Sco && above == Some(Level::Vmd));
        let is_below = self.nodes.kind(record.up) == Target::Component && record.up != NONE;
        // A parent without a stated level gives no finding; without a parent the part is below no MDS.
        if (above.is_some() && !fits) || record.marks.parent_state() == LinkState::Absent {
            self.add(
                at,
                ContainmentRule::PartBelowMds,
                FindingElement::Parent,
                if is_below { record.up } else { NONE },
            );
        }
        if part != DevicePart::Battery && is_below {
            let first = *self.parts.entry((record.up, part)).or_insert(at);
            if first != at {
                self.add(at, ContainmentRule::PartBelowMds, FindingElement::Whole, first);
            }
        }
    }

    /// Checks the content of a component, and CT-35 against its device.
    fn content(&mut self, at: u32, record: &NodeRecord, component: &DeviceComponent) {
        let mut serial = None;
        component_content(component, record.marks, &mut |rule, spot, index| match rule {
            ContainmentRule::SerialNumber => serial = Some(index),
            rule => self.add(at, rule, spot, index),
        });
        let is_top = record.level() == Some(Level::Mds) && (record.depth == 1 || record.source != NONE);
        let (Some(index), Some(Item::Device(device)), true) = (serial, self.nodes.item(record.device), is_top) else {
            return;
        };
        let said = component.production_specification.get(index as usize).and_then(|one| one.production_spec.as_ref());
        let Some(said) = said.and_then(|text| text.value.as_ref()) else { return };
        // Identifiers and UDI must each agree: another device may share one of them.
        if differs(serial_numbers(device), said.as_str()) || differs(udi_serials(device), said.as_str()) {
            self.add(at, ContainmentRule::SerialNumber, FindingElement::SpecificationText, index);
        }
    }

    /// Checks CT-10 and CT-11: the place of a metric.
    fn place_of_metric(&mut self, at: u32, record: &NodeRecord) {
        if record.marks.parent_state() == LinkState::Absent {
            self.add(at, ContainmentRule::MetricHasParent, FindingElement::Parent, NONE);
        }
        let above = record.marks.above_level();
        if above.is_some() && above != Some(Level::Channel) {
            self.add(at, ContainmentRule::MetricBelowChannel, FindingElement::Parent, record.up);
        }
    }
}

/// Finds resources that appear twice in the same version.
fn duplicate(nodes: &Nodes<'_>, names: &ReferenceIndex<'_>, found: &mut Vec<Finding>) {
    let mut firsts = HashIndex::default();
    for (at, _) in (0..).zip(nodes.records()).filter(|(_, record)| record.marks.is_doubled()) {
        let Some(item) = nodes.item(at) else { continue };
        let text = |id: Option<&Id>| id.map_or(String::new(), ToString::to_string);
        let key = names.key_of_all([item.resource_type(), &text(item.id()), &text(item.version())]);
        let first = firsts.insert(mixed(key, names.space(nodes, at)), at);
        if first != at {
            found.push(Finding::about(at, ContainmentRule::UniqueId, FindingElement::Whole, first));
        }
    }
}

/// Checks CT-27: unique identifiers among the components of a device, or of a tree without one.
fn identifiers(nodes: &Nodes<'_>, labels: &[HashKey], found: &mut Vec<Finding>) {
    let mut firsts = HashIndex::with_capacity(labels.iter().filter(|label| **label != NO_KEY).count());
    let batches = nodes.records().chunks(BATCH).zip(labels.chunks(BATCH));
    for ((records, labels), from) in batches.zip((0..).step_by(BATCH)) {
        let keys = || {
            let labelled = (from..).zip(records).zip(labels).filter(|(_, label)| **label != NO_KEY);
            labelled.map(|((at, record), label): ((u32, &NodeRecord), &HashKey)| {
                let family = if record.device == NONE { record.top } else { record.device };
                (at, mixed(*label, family))
            })
        };
        firsts.fetch(keys().map(|(_, key)| key));
        for (at, key) in keys() {
            let first = firsts.insert(key, at);
            if first != at {
                found.push(Finding::about(at, ContainmentRule::UniqueIdentifier, FindingElement::Identifier, first));
            }
        }
    }
}

/// Finds several root components of the same device.
fn roots(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    // Indexed by the device, or by the first node that names an external device: no node is both.
    let mut firsts = vec![NONE; nodes.len()];
    for (at, record) in (0..).zip(nodes.records()) {
        let is_root = record.marks.is_component() && record.marks.parent_state() == LinkState::Absent;
        let Some(first) =
            firsts.get_mut((record.source & !EXTERNAL) as usize).filter(|_| is_root && record.source != NONE)
        else {
            continue;
        };
        match *first {
            NONE => *first = at,
            first => found.push(Finding::about(at, ContainmentRule::OneRoot, FindingElement::Parent, first)),
        }
    }
}

/// Returns whether serial numbers are known and this is none of them.
fn differs(mut known: impl Iterator<Item = impl AsRef<str>>, said: &str) -> bool {
    let is_other = |number: &_| AsRef::<str>::as_ref(number) != said;
    known.next().is_some_and(|first| is_other(&first) && known.all(|one| is_other(&one)))
}

/// Returns the serial numbers among the identifiers of a device.
fn serial_numbers(device: &Device) -> impl Iterator<Item = &str> {
    let is_serial = |kind: &CodeableConcept| says(kind, "SNO");
    let numbers = device.identifier.iter().filter(move |one| one.r#type.as_ref().is_some_and(is_serial));
    numbers.filter_map(token).map(|(_, value)| value)
}

/// Returns the serial numbers in the UDI of a device, from both carrier forms.
fn udi_serials(device: &Device) -> impl Iterator<Item = String> {
    // The year only resolves the century of dates, which are not used here.
    const YEAR: u16 = 2_020;
    let udi = device.udi.as_ref();
    let hrf = udi.and_then(|udi| udi.carrier_hrf.as_ref()).and_then(|text| text.value.as_ref());
    let hrf = hrf.and_then(|text| Udi::parse(text.as_str(), ParseMode::Lenient, YEAR).ok());
    let aidc = udi.and_then(|udi| udi.carrier_aidc.as_ref()).and_then(|bytes| bytes.value.as_ref());
    let aidc = aidc.and_then(|bytes| Udi::parse_bytes(&bytes.decode(), ParseMode::Lenient, YEAR).ok());
    [hrf, aidc].into_iter().flatten().filter_map(|read| read.udi.serial().map(str::to_owned))
}
