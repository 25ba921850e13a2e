//! What a resource has at the place where a search parameter looks.

use crate::datatype::{CodeableConcept, Coding, Identifier, Meta, Primitive, Reference, Target};
use crate::resource::{Device, Resource};

/// A coded value of a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'r> {
    pub(crate) system: Option<&'r str>,
    pub(crate) value: &'r str,
}

/// What a resource has at the place where a parameter looks.
#[derive(Debug, Default)]
pub(crate) struct Values<'r> {
    pub(crate) tokens: Vec<Coded<'r>>,
    /// Strings, addresses and references; for a token, the words that go with it.
    pub(crate) texts: Vec<&'r str>,
}

impl<'r> Values<'r> {
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.texts.is_empty()
    }

    fn texts(texts: impl IntoIterator<Item = Option<&'r str>>) -> Self {
        Self { texts: texts.into_iter().flatten().collect(), ..Self::default() }
    }

    fn code(system: &'static str, value: Option<&'r str>) -> Self {
        let tokens = value.map(|value| Coded { system: Some(system), value });
        Self { tokens: tokens.into_iter().collect(), ..Self::default() }
    }

    fn concept(concept: &'r CodeableConcept) -> Self {
        let mut found = Self::codings(&concept.coding);
        found.texts.extend(text(&concept.text));
        found
    }

    fn codings(codings: &'r [Coding]) -> Self {
        let mut found = Self::default();
        for coding in codings {
            if let Some(value) = text(&coding.code) {
                found.tokens.push(Coded { system: text(&coding.system), value });
            }
            found.texts.extend(text(&coding.display));
        }
        found
    }

    fn identifiers(identifiers: impl IntoIterator<Item = &'r Identifier>) -> Self {
        let mut found = Self::default();
        for identifier in identifiers {
            if let Some(value) = text(&identifier.value) {
                found.tokens.push(Coded { system: text(&identifier.system), value });
            }
            found.texts.extend(identifier.r#type.as_ref().and_then(|kind| text(&kind.text)));
        }
        found
    }
}

fn text<S: AsRef<str>>(primitive: &Option<Primitive<S>>) -> Option<&str> {
    primitive.as_ref()?.value.as_ref().map(AsRef::as_ref)
}

fn literal<T: Target>(reference: &Option<Reference<T>>) -> Option<&str> {
    text(&reference.as_ref()?.reference)
}

/// What `resource` has where the parameter `name` looks.
pub(crate) fn values<'r>(resource: &'r Resource, name: &str) -> Values<'r> {
    let meta = match resource {
        Resource::Device(device) => &device.meta,
        Resource::DeviceComponent(component) => &component.meta,
        Resource::DeviceMetric(metric) => &metric.meta,
        _ => &None,
    };
    match (name, meta) {
        ("_tag", Some(Meta { tag, .. })) => return Values::codings(tag),
        ("_security", Some(Meta { security, .. })) => return Values::codings(security),
        ("_profile", Some(Meta { profile, .. })) => {
            return Values::texts(profile.iter().map(|uri| uri.value.as_ref().map(AsRef::as_ref)));
        }
        _ => {}
    }
    match resource {
        Resource::Device(device) => of_device(device, name),
        Resource::DeviceComponent(component) => match name {
            "identifier" => Values::identifiers([&component.identifier]),
            "parent" => Values::texts([literal(&component.parent)]),
            "source" => Values::texts([literal(&component.source)]),
            "type" => Values::concept(&component.r#type),
            _ => Values::default(),
        },
        Resource::DeviceMetric(metric) => match name {
            "category" => {
                let code = metric.category.value.map(|category| category.as_str());
                Values::code("http://hl7.org/fhir/metric-category", code)
            }
            "identifier" => Values::identifiers([&metric.identifier]),
            "parent" => Values::texts([literal(&metric.parent)]),
            "source" => Values::texts([literal(&metric.source)]),
            "type" => Values::concept(&metric.r#type),
            _ => Values::default(),
        },
        _ => Values::default(),
    }
}

fn of_device<'r>(device: &'r Device, name: &str) -> Values<'r> {
    let udi = device.udi.as_ref();
    match name {
        "device-name" => {
            let kind = device.r#type.as_ref();
            let displays = kind.into_iter().flat_map(|kind| kind.coding.iter().map(|coding| text(&coding.display)));
            let named = [udi.and_then(|udi| text(&udi.name)), kind.and_then(|kind| text(&kind.text))];
            Values::texts(named.into_iter().chain(displays))
        }
        "identifier" => Values::identifiers(&device.identifier),
        "location" => Values::texts([literal(&device.location)]),
        "manufacturer" => Values::texts([text(&device.manufacturer)]),
        "model" => Values::texts([text(&device.model)]),
        "organization" => Values::texts([literal(&device.owner)]),
        "patient" => Values::texts([literal(&device.patient)]),
        "status" => {
            let code = device.status.as_ref().and_then(|status| status.value).map(|status| status.as_str());
            Values::code("http://hl7.org/fhir/device-status", code)
        }
        "type" => device.r#type.as_ref().map(Values::concept).unwrap_or_default(),
        "udi-carrier" => {
            Values::texts([udi.and_then(|udi| text(&udi.carrier_hrf)), udi.and_then(|udi| text(&udi.carrier_aidc))])
        }
        "udi-di" => Values::texts([udi.and_then(|udi| text(&udi.device_identifier))]),
        "url" => Values::texts([text(&device.url)]),
        _ => Values::default(),
    }
}
