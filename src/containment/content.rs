//! Rules about the content of one resource.

use super::finding::FindingElement;
use super::node_record::NodeFlags;
use super::rule::ContainmentRule;
use crate::code::MetricCalibrationState;
use crate::datatype::CodeableConcept;
use crate::nomenclature::{Level, Term};
use crate::reference::item::{code, display, mdc, says, term};
use crate::resource::{DeviceComponent, DeviceMetric};

/// Receiver of a broken rule: the rule, the element, and the index of an item where the element repeats.
pub(super) type Sink<'s> = dyn FnMut(ContainmentRule, FindingElement, u32) + 's;

/// Checks CT-20 to CT-24 and CT-28 to CT-30 on a component. The sink also receives a serial number of a possible MDS,
/// to be compared with that of the device.
pub(super) fn component_content(component: &DeviceComponent, marks: NodeFlags, add: &mut Sink<'_>) {
    let mut has_mdc = false;
    for (index, coding) in mdc(&component.r#type) {
        has_mdc = true;
        let own = term(coding);
        let by_code = own.and_then(Term::level);
        if code(coding).is_some() && own.is_none() {
            add(ContainmentRule::ContextFree, FindingElement::TypeCode, index);
        }
        if own.is_some_and(Term::is_generic) && marks.by_code().is_none() {
            add(ContainmentRule::NotGeneric, FindingElement::TypeCode, index);
        }
        if own.is_some_and(|term| term.is_metric() || term.is_unit()) {
            add(ContainmentRule::NoMetricCode, FindingElement::TypeCode, index);
        }
        if by_code.is_some() && by_code != marks.by_code() {
            add(ContainmentRule::CodesAgree, FindingElement::TypeCode, index);
        }
        let by_name = display(coding).and_then(Level::of_name);
        if marks.by_code().is_some() && by_name.is_some() && by_name != marks.by_code() {
            add(ContainmentRule::SuffixAgrees, FindingElement::TypeDisplay, index);
        }
    }
    if !has_mdc {
        add(ContainmentRule::MdcType, FindingElement::Type, 0);
    }
    let stated = marks.by_code().or(marks.by_name());
    if stated.is_none() && marks.part().is_none() {
        add(ContainmentRule::StatedLevel, FindingElement::Type, 0);
    }
    let states = &component.operational_status;
    let has = |code| states.iter().any(|state| says(state, code));
    if states.len() > 1 && ((has("on") && has("off")) || has("entered-in-error")) {
        add(ContainmentRule::OneStatus, FindingElement::Status, 0);
    }
    let mut has_serial = false;
    for (index, specification) in (0..).zip(&component.production_specification) {
        let has_text = specification.production_spec.as_ref().is_some_and(|text| text.value.is_some());
        if specification.spec_type.is_none() {
            add(ContainmentRule::WholeSpecification, FindingElement::SpecificationType, index);
        }
        if !has_text {
            add(ContainmentRule::WholeSpecification, FindingElement::SpecificationText, index);
        }
        let is_serial = specification.spec_type.as_ref().is_some_and(is_serial_number);
        if !is_serial || specification.component_id.is_some() {
            continue;
        }
        if has_serial {
            add(ContainmentRule::OneSerialNumber, FindingElement::Specification, index);
        } else if has_text && matches!(stated, None | Some(Level::Mds)) {
            add(ContainmentRule::SerialNumber, FindingElement::SpecificationText, index);
        }
        has_serial = true;
    }
}

/// Checks CT-21, CT-25, CT-26 and CT-34 on a metric.
pub(super) fn metric_content(metric: &DeviceMetric, add: &mut Sink<'_>) {
    for (index, coding) in mdc(&metric.r#type) {
        match term(coding) {
            None if code(coding).is_some() => add(ContainmentRule::ContextFree, FindingElement::TypeCode, index),
            Some(term) if term.is_device() => add(ContainmentRule::NoDeviceCode, FindingElement::TypeCode, index),
            _ => {}
        }
    }
    for (index, coding) in metric.unit.iter().flat_map(mdc) {
        match term(coding) {
            None if code(coding).is_some() => add(ContainmentRule::ContextFree, FindingElement::UnitCode, index),
            Some(term) if !term.is_unit() => add(ContainmentRule::UnitCode, FindingElement::UnitCode, index),
            _ => {}
        }
    }
    for (index, calibration) in (0..).zip(&metric.calibration) {
        let state = calibration.state.as_ref().and_then(|state| state.value);
        if state == Some(MetricCalibrationState::Calibrated) && calibration.time.is_none() {
            add(ContainmentRule::CalibrationTime, FindingElement::Calibration, index);
        }
    }
}

/// Returns whether a specification type is a serial number, by its code in FHIR or ISO/IEEE 11073-10101.
fn is_serial_number(kind: &CodeableConcept) -> bool {
    says(kind, "serial-number") || mdc(kind).any(|(_, coding)| code(coding) == Some("531972"))
}
