//! The rules, over the nodes of a tree that is linked.

use super::finding::{Finding, Spot};
use super::item::{Item, code, display, mdc, says, term, token};
use super::rule::Rule;
use super::tree::{NONE, Record, Tie};
use crate::code::MetricCalibrationState;
use crate::datatype::CodeableConcept;
use crate::nomenclature::{Level, Term};
use crate::resource::{Device, DeviceComponent, DeviceMetric};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

pub(super) fn check(nodes: &[Record<'_>], cuts: &[(u32, u32)]) -> Vec<Finding> {
    let mut check = Check { nodes, found: Vec::new() };
    for (at, above) in cuts {
        check.add(*at, Rule::Acyclic, Spot::Parent, 0, *above);
    }
    let mut roots = HashMap::new();
    for (at, record) in (0..).zip(nodes) {
        let here = Here { at, record };
        let before = check.found.len();
        match record.item {
            Item::Device(_) => {}
            Item::Component(component) => {
                check.references(&here);
                check.place_of_component(&here);
                check.component(&here, component);
                if record.parent_tie == Tie::Absent && record.source != NONE {
                    let first = *roots.entry(record.source).or_insert(at);
                    if first != at {
                        check.add(at, Rule::OneRoot, Spot::Parent, 0, first);
                    }
                }
            }
            Item::Metric(metric) => {
                check.references(&here);
                check.metric(&here, metric);
            }
        }
        if let Some(of_this) = check.found.get_mut(before..) {
            of_this.sort_unstable();
        }
    }
    check.doubled();
    check.identifiers();
    // What was found node by node is in order already, so that this takes little more than a look.
    check.found.sort();
    check.found.shrink_to_fit();
    check.found
}

struct Check<'n, 'a> {
    nodes: &'n [Record<'a>],
    found: Vec<Finding>,
}

struct Here<'n, 'a> {
    at: u32,
    record: &'n Record<'a>,
}

fn is_component(record: &Record<'_>) -> bool {
    matches!(record.item, Item::Component(_))
}

impl<'a> Check<'_, 'a> {
    fn add(&mut self, node: u32, rule: Rule, spot: Spot, index: u32, other: u32) {
        self.found.push(Finding { node, rule, spot, index, other });
    }

    fn children(&self, of: &Record<'_>) -> impl Iterator<Item = (u32, &Record<'a>)> {
        let node = |at: u32| self.nodes.get(at as usize).map(|record| (at, record));
        std::iter::successors(node(of.first), move |(_, child)| node(child.next))
    }

    /// CT-01 to CT-04, CT-11 to CT-15: what became of parent and source.
    fn references(&mut self, here: &Here<'_, 'a>) {
        let (at, record) = (here.at, here.record);
        let is_metric = matches!(record.item, Item::Metric(_));
        let (parent_type, source_type, source_is) = if is_metric {
            (Rule::MetricTargets, Rule::MetricTargets, Rule::MetricSource)
        } else {
            (Rule::ParentType, Rule::SourceType, Rule::OneSource)
        };
        for (tie, spot, type_rule) in
            [(record.parent_tie, Spot::Parent, parent_type), (record.source_tie, Spot::Source, source_type)]
        {
            let rule = match tie {
                Tie::Absent | Tie::Linked | Tie::Cut => continue,
                Tie::Missing => Rule::Resolvable,
                Tie::Ambiguous => Rule::OneTarget,
                Tie::WrongType => type_rule,
            };
            self.add(at, rule, spot, 0, NONE);
        }
        if record.source_tie == Tie::Absent {
            let rule = if is_metric { Rule::MetricHasSource } else { Rule::ComponentHasSource };
            self.add(at, rule, Spot::Source, 0, NONE);
        }
        if record.source_differs {
            self.add(at, source_is, Spot::Source, 0, record.up);
        }
    }

    /// CT-05 to CT-09 and CT-16 to CT-19: the levels of a component and of its neighbours.
    fn place_of_component(&mut self, here: &Here<'_, 'a>) {
        let (at, record) = (here.at, here.record);
        let absent = record.parent_tie == Tie::Absent;
        let above = record.above_level;
        let below = |rule, wanted: Level| (above.is_some() && above != Some(wanted)).then_some(rule);
        let rules = match record.level() {
            Some(Level::Mds) => [below(Rule::MdsBelowMds, Level::Mds), None],
            Some(Level::Vmd) => [below(Rule::VmdBelowMds, Level::Mds), absent.then_some(Rule::VmdHasParent)],
            Some(Level::Channel) => {
                [below(Rule::ChannelBelowVmd, Level::Vmd), absent.then_some(Rule::ChannelHasParent)]
            }
            None => [None, None],
        };
        for rule in rules.into_iter().flatten() {
            self.add(at, rule, Spot::Parent, 0, record.up);
        }
        if record.depth > 3 + u32::from(record.is_composite) {
            self.add(at, Rule::Depth, Spot::Parent, 0, NONE);
        }
        let lacking = match record.level() {
            Some(Level::Mds) if !record.has_vmd => Some((Rule::MdsHasVmd, NONE)),
            Some(Level::Vmd) if !record.has_channel => Some((Rule::VmdHasChannel, NONE)),
            Some(Level::Channel) if record.has_component => {
                let first = self.children(record).find(|(_, child)| is_component(child));
                first.map(|(child, _)| (Rule::ChannelHoldsMetrics, child))
            }
            _ => None,
        };
        if let Some((rule, other)) = lacking {
            self.add(at, rule, Spot::Whole, 0, other);
        }
    }

    /// CT-20 to CT-24 and CT-28 to CT-31: what a component says of itself; CT-35: and its device.
    fn component(&mut self, here: &Here<'_, 'a>, component: &DeviceComponent) {
        let (at, record) = (here.at, here.record);
        let mut has_mdc = false;
        for (index, coding) in mdc(&component.r#type) {
            has_mdc = true;
            let own = term(coding);
            let by_code = own.and_then(Term::level);
            if code(coding).is_some() && own.is_none() {
                self.add(at, Rule::ContextFree, Spot::TypeCode, index, NONE);
            }
            if own.is_some_and(Term::is_generic) && record.by_code.is_none() {
                self.add(at, Rule::NotGeneric, Spot::TypeCode, index, NONE);
            }
            if own.is_some_and(|term| term.is_metric() || term.is_unit()) {
                self.add(at, Rule::NoMetricCode, Spot::TypeCode, index, NONE);
            }
            if by_code.is_some() && by_code != record.by_code {
                self.add(at, Rule::CodesAgree, Spot::TypeCode, index, NONE);
            }
            let by_name = display(coding).and_then(Level::of_name);
            if record.by_code.is_some() && by_name.is_some() && by_name != record.by_code {
                self.add(at, Rule::SuffixAgrees, Spot::TypeDisplay, index, NONE);
            }
        }
        if !has_mdc {
            self.add(at, Rule::MdcType, Spot::Type, 0, NONE);
        }
        if record.stated().is_none() && !record.is_battery {
            self.add(at, Rule::StatedLevel, Spot::Type, 0, NONE);
        }
        let above = record.above_level;
        if record.is_battery && above.is_some() && above != Some(Level::Mds) {
            self.add(at, Rule::BatteryBelowMds, Spot::Parent, 0, record.up);
        }
        let states = &component.operational_status;
        let has = |code| states.iter().any(|state| says(state, code));
        if (has("on") && has("off")) || (states.len() > 1 && has("entered-in-error")) {
            self.add(at, Rule::OneStatus, Spot::Status, 0, NONE);
        }
        self.specifications(here, component);
    }

    fn specifications(&mut self, here: &Here<'_, 'a>, component: &DeviceComponent) {
        let (at, record) = (here.at, here.record);
        let mut serial = None;
        for (index, specification) in (0..).zip(&component.production_specification) {
            let text = specification.production_spec.as_ref().and_then(|text| text.value.as_ref());
            if specification.spec_type.is_none() {
                self.add(at, Rule::WholeSpecification, Spot::SpecificationType, index, NONE);
            }
            if text.is_none() {
                self.add(at, Rule::WholeSpecification, Spot::SpecificationText, index, NONE);
            }
            let is_serial = specification.spec_type.as_ref().is_some_and(is_serial_number);
            if !is_serial || specification.component_id.is_some() {
                continue;
            }
            if serial.is_some() {
                self.add(at, Rule::OneSerialNumber, Spot::Specification, index, NONE);
                continue;
            }
            serial = Some(());
            let device = self.nodes.get(record.device as usize).map(|device| device.item);
            if let (Some(Item::Device(device)), Some(text), true) =
                (device, text, record.level() == Some(Level::Mds) && (record.depth == 1 || record.source != NONE))
                && serial_numbers(device).next().is_some()
                && serial_numbers(device).all(|number| number != text.as_str())
            {
                self.add(at, Rule::SerialNumber, Spot::SpecificationText, index, record.device);
            }
        }
    }

    /// CT-10, CT-11, CT-21, CT-25, CT-26 and CT-34: what a metric says.
    fn metric(&mut self, here: &Here<'_, 'a>, metric: &DeviceMetric) {
        let (at, record) = (here.at, here.record);
        if record.parent_tie == Tie::Absent {
            self.add(at, Rule::MetricHasParent, Spot::Parent, 0, NONE);
        }
        let above = record.above_level;
        if above.is_some() && above != Some(Level::Channel) {
            self.add(at, Rule::MetricBelowChannel, Spot::Parent, 0, record.up);
        }
        for (index, coding) in mdc(&metric.r#type) {
            match term(coding) {
                None if code(coding).is_some() => self.add(at, Rule::ContextFree, Spot::TypeCode, index, NONE),
                Some(term) if term.is_device() => self.add(at, Rule::NoDeviceCode, Spot::TypeCode, index, NONE),
                _ => {}
            }
        }
        for (index, coding) in metric.unit.iter().flat_map(mdc) {
            match term(coding) {
                None if code(coding).is_some() => self.add(at, Rule::ContextFree, Spot::UnitCode, index, NONE),
                Some(term) if !term.is_unit() => self.add(at, Rule::UnitCode, Spot::UnitCode, index, NONE),
                _ => {}
            }
        }
        for (index, calibration) in (0..).zip(&metric.calibration) {
            let state = calibration.state.as_ref().and_then(|state| state.value);
            if state == Some(MetricCalibrationState::Calibrated) && calibration.time.is_none() {
                self.add(at, Rule::CalibrationTime, Spot::Calibration, index, NONE);
            }
        }
    }

    /// A resource that is given twice, in the same version.
    fn doubled(&mut self) {
        let mut known = HashMap::new();
        for (at, record) in (0..).zip(self.nodes).filter(|(_, record)| record.is_doubled) {
            let space = (record.space, record.container, record.item.resource_type());
            let first = *known.entry((space, record.item.id(), record.item.version())).or_insert(at);
            if first != at {
                self.add(at, Rule::UniqueId, Spot::Whole, 0, first);
            }
        }
    }

    /// CT-27, in time that is linear but for the sorting of numbers.
    fn identifiers(&mut self) {
        let hasher = RandomState::new();
        let key = |at: u32| {
            let record = self.nodes.get(at as usize).filter(|record| is_component(record))?;
            let token = record.item.identifiers().find_map(token)?;
            Some((if record.device == NONE { record.top } else { record.device }, token))
        };
        let count = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let mut hashes: Vec<(u64, u32)> = (0..count).filter_map(|at| Some((hasher.hash_one(key(at)?), at))).collect();
        hashes.sort_unstable();
        let mut twins = Vec::new();
        for same in hashes.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            let mut firsts: Vec<u32> = Vec::new();
            for (_, at) in same {
                match firsts.iter().find(|first| key(**first) == key(*at)) {
                    Some(first) => twins.push((*at, *first)),
                    None => firsts.push(*at),
                }
            }
        }
        for (at, first) in twins {
            self.add(at, Rule::UniqueIdentifier, Spot::Identifier, 0, first);
        }
    }
}

/// Whether a type of specification is that of a serial number, by the code of FHIR or of ISO/IEEE 11073-10101.
fn is_serial_number(kind: &CodeableConcept) -> bool {
    says(kind, "serial-number") || mdc(kind).any(|(_, coding)| code(coding) == Some("531972"))
}

/// The identifiers of a device that are its serial number.
fn serial_numbers(device: &Device) -> impl Iterator<Item = &str> {
    let is_serial = |kind: &CodeableConcept| says(kind, "SNO");
    let numbers = device.identifier.iter().filter(move |one| one.r#type.as_ref().is_some_and(is_serial));
    numbers.filter_map(token).map(|(_, value)| value)
}
