//! The index entries of the typed resources: where each search parameter looks.

use super::{IndexEntries, Parameter, Token};
use crate::datatype::{CodeableConcept, Identifier, Primitive, Reference, Target};
use crate::reference::indexed;
use crate::resource::{Device, DeviceComponent, DeviceMetric};

const DEVICE_STATUS: &str = "http://hl7.org/fhir/device-status";
const METRIC_CATEGORY: &str = "http://hl7.org/fhir/metric-category";

/// Gathers entries.
#[derive(Default)]
struct Entries(Vec<(Parameter, Token)>);

impl Entries {
    fn identifier(&mut self, identifier: &Identifier) {
        if let Some(value) = text(&identifier.value) {
            self.token(Parameter::Identifier, text(&identifier.system), value);
        }
    }

    fn kind(&mut self, concept: &CodeableConcept) {
        for coding in &concept.coding {
            if let Some(code) = text(&coding.code) {
                self.token(Parameter::Type, text(&coding.system), code);
            }
        }
    }

    fn token(&mut self, parameter: Parameter, system: Option<&str>, value: &str) {
        self.0.push((parameter, Token { system: system.map(Into::into), value: value.into() }));
    }

    fn text(&mut self, parameter: Parameter, value: Option<&str>) {
        if let Some(value) = value {
            self.token(parameter, None, value);
        }
    }

    /// In the one form in which references are kept: without a version.
    fn reference<T: Target>(&mut self, parameter: Parameter, reference: &Option<Reference<T>>) {
        let Some(literal) = reference.as_ref().and_then(Reference::literal) else { return };
        self.token(parameter, None, &indexed(literal));
    }
}

fn text<S: AsRef<str>>(primitive: &Option<Primitive<S>>) -> Option<&str> {
    primitive.as_ref()?.value.as_ref().map(AsRef::as_ref)
}

pub(crate) fn of_device(device: &Device) -> IndexEntries {
    let mut entries = Entries::default();
    device.identifier.iter().for_each(|identifier| entries.identifier(identifier));
    if let Some(kind) = &device.r#type {
        entries.kind(kind);
        entries.text(Parameter::DeviceName, text(&kind.text));
        kind.coding.iter().for_each(|coding| entries.text(Parameter::DeviceName, text(&coding.display)));
    }
    if let Some(udi) = &device.udi {
        entries.text(Parameter::DeviceName, text(&udi.name));
        entries.text(Parameter::UdiCarrier, text(&udi.carrier_hrf));
        entries.text(Parameter::UdiCarrier, text(&udi.carrier_aidc));
        entries.text(Parameter::UdiDi, text(&udi.device_identifier));
    }
    if let Some(status) = device.status.as_ref().and_then(|status| status.value) {
        entries.token(Parameter::Status, Some(DEVICE_STATUS), status.as_str());
    }
    entries.text(Parameter::Manufacturer, text(&device.manufacturer));
    entries.text(Parameter::Model, text(&device.model));
    entries.text(Parameter::Url, text(&device.url));
    entries.reference(Parameter::Patient, &device.patient);
    entries.reference(Parameter::Organization, &device.owner);
    entries.reference(Parameter::Location, &device.location);
    entries.0.into_iter().collect()
}

pub(crate) fn of_component(component: &DeviceComponent) -> IndexEntries {
    let mut entries = Entries::default();
    entries.identifier(&component.identifier);
    entries.kind(&component.r#type);
    entries.reference(Parameter::Source, &component.source);
    entries.reference(Parameter::Parent, &component.parent);
    entries.0.into_iter().collect()
}

pub(crate) fn of_metric(metric: &DeviceMetric) -> IndexEntries {
    let mut entries = Entries::default();
    entries.identifier(&metric.identifier);
    entries.kind(&metric.r#type);
    entries.reference(Parameter::Source, &metric.source);
    entries.reference(Parameter::Parent, &metric.parent);
    if let Some(category) = metric.category.value {
        entries.token(Parameter::Category, Some(METRIC_CATEGORY), category.as_str());
    }
    entries.0.into_iter().collect()
}
