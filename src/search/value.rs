//! Elements covered by each search parameter, for the index of a store and for the REST API.

use super::{IndexEntries, Parameter, ResourceType, Token, params};
use crate::datatype::{
    CodeableConcept, Coding, ExtensionValue, Identifier, Literal, Meta, Primitive, Reference, Target,
};
use crate::primitive::{CanonicalName, Decimal};
use crate::reference::indexed;
use crate::resource::{Device, DeviceComponent, DeviceMetric, Resource};

const DEVICE_STATUS: &str = "http://hl7.org/fhir/device-status";
const METRIC_CATEGORY: &str = "http://hl7.org/fhir/metric-category";

/// Coded value of a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'r> {
    pub(crate) system: Option<&'r str>,
    pub(crate) value: &'r str,
}

/// Value that a search parameter finds in a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'r> {
    Token(Coded<'r>),
    /// Display text of a token, for `:text`.
    Words(&'r str),
    /// String or URI.
    Text(&'r str),
    /// Reference as written.
    Reference(&'r str),
}

/// Calls a closure for each value found.
struct Visitor<'v, 'r>(&'v mut dyn FnMut(Found<'r>));

impl<'r> Visitor<'_, 'r> {
    fn token(&mut self, system: Option<&'r str>, value: Option<&'r str>) {
        if let Some(value) = value {
            (self.0)(Found::Token(Coded { system, value }));
        }
    }

    fn words(&mut self, words: Option<&'r str>) {
        words.into_iter().for_each(|words| (self.0)(Found::Words(words)));
    }

    fn text(&mut self, text: Option<&'r str>) {
        text.into_iter().for_each(|text| (self.0)(Found::Text(text)));
    }

    fn reference<T: Target>(&mut self, reference: &'r Option<Reference<T>>) {
        let literal = reference.as_ref().and_then(|reference| text(&reference.reference));
        literal.into_iter().for_each(|literal| (self.0)(Found::Reference(literal)));
    }

    fn identifier(&mut self, identifier: &'r Identifier) {
        self.token(text(&identifier.system), text(&identifier.value));
        self.words(identifier.r#type.as_ref().and_then(|kind| text(&kind.text)));
    }

    fn codings(&mut self, codings: &'r [Coding]) {
        for coding in codings {
            self.token(text(&coding.system), text(&coding.code));
            self.words(text(&coding.display));
        }
    }

    fn concept(&mut self, concept: &'r CodeableConcept) {
        self.codings(&concept.coding);
        self.words(text(&concept.text));
    }

    /// Visits one part of each available update of a component.
    fn updates(&mut self, component: &'r DeviceComponent, part: &str) {
        let updates = component.extension.iter().filter(|one| CanonicalName::AvailableUpdate.matches(one.url.as_str()));
        for value in updates.filter_map(|update| update.part(part)?.value.as_ref()) {
            match value {
                ExtensionValue::String(text) => self.token(None, text.value.as_ref().map(AsRef::as_ref)),
                ExtensionValue::Code(code) => self.token(None, code.value.as_ref().map(AsRef::as_ref)),
                ExtensionValue::Decimal(number) => self.token(None, number.value.as_ref().map(Decimal::as_str)),
                _ => {}
            }
        }
    }

    /// Visits the production specifications of a component whose type is wanted.
    fn specifications(&mut self, component: &'r DeviceComponent, is_wanted: impl Fn(Option<&str>) -> bool) {
        for specification in &component.production_specification {
            let kind = specification.spec_type.as_ref().and_then(|kind| text(&kind.coding.first()?.code));
            if is_wanted(kind) {
                self.token(kind, text(&specification.production_spec));
            }
        }
    }
}

fn text<S: AsRef<str>>(primitive: &Option<Primitive<S>>) -> Option<&str> {
    primitive.as_ref()?.value.as_ref().map(AsRef::as_ref)
}

/// Resource type with search parameters of its own.
pub(crate) trait Searchable {
    const TYPE: ResourceType;

    /// Calls `found` for each value that `parameter` covers.
    fn visit<'r>(&'r self, parameter: Parameter, found: &mut dyn FnMut(Found<'r>));
}

impl Searchable for Device {
    const TYPE: ResourceType = ResourceType::Device;

    fn visit<'r>(&'r self, parameter: Parameter, found: &mut dyn FnMut(Found<'r>)) {
        let (mut v, udi, kind) = (Visitor(found), self.udi.as_ref(), self.r#type.as_ref());
        match parameter {
            Parameter::DeviceName => {
                v.text(udi.and_then(|udi| text(&udi.name)));
                if let Some(kind) = kind {
                    v.text(text(&kind.text));
                    kind.coding.iter().for_each(|coding| v.text(text(&coding.display)));
                }
            }
            Parameter::Identifier => self.identifier.iter().for_each(|identifier| v.identifier(identifier)),
            Parameter::Location => v.reference(&self.location),
            Parameter::Manufacturer => v.text(text(&self.manufacturer)),
            Parameter::Model => v.text(text(&self.model)),
            Parameter::Organization => v.reference(&self.owner),
            Parameter::Patient => v.reference(&self.patient),
            Parameter::Status => {
                let status = self.status.as_ref().and_then(|status| status.value);
                v.token(Some(DEVICE_STATUS), status.map(|status| status.as_str()));
            }
            Parameter::Type => kind.into_iter().for_each(|kind| v.concept(kind)),
            Parameter::UdiCarrier => {
                v.text(udi.and_then(|udi| text(&udi.carrier_hrf)));
                v.text(udi.and_then(|udi| text(&udi.carrier_aidc)));
            }
            Parameter::UdiDi => v.text(udi.and_then(|udi| text(&udi.device_identifier))),
            Parameter::Url => v.text(text(&self.url)),
            _ => {}
        }
    }
}

impl Searchable for DeviceComponent {
    const TYPE: ResourceType = ResourceType::DeviceComponent;

    fn visit<'r>(&'r self, parameter: Parameter, found: &mut dyn FnMut(Found<'r>)) {
        let mut v = Visitor(found);
        match parameter {
            Parameter::Identifier => v.identifier(&self.identifier),
            Parameter::Parent => v.reference(&self.parent),
            Parameter::Source => v.reference(&self.source),
            Parameter::Type => v.concept(&self.r#type),
            Parameter::AvailableUpdateVersion => v.updates(self, "version"),
            Parameter::AvailableUpdateStatus => v.updates(self, "status"),
            Parameter::AvailableUpdateSequence => v.updates(self, "sequence"),
            Parameter::ProductionSpecification => v.specifications(self, |_| true),
            Parameter::ReportedVersion => {
                v.specifications(self, |kind| matches!(kind, Some("software-revision" | "firmware-revision")));
            }
            _ => {}
        }
    }
}

impl Searchable for DeviceMetric {
    const TYPE: ResourceType = ResourceType::DeviceMetric;

    fn visit<'r>(&'r self, parameter: Parameter, found: &mut dyn FnMut(Found<'r>)) {
        let mut v = Visitor(found);
        match parameter {
            Parameter::Category => {
                v.token(Some(METRIC_CATEGORY), self.category.value.map(|category| category.as_str()));
            }
            Parameter::Identifier => v.identifier(&self.identifier),
            Parameter::Parent => v.reference(&self.parent),
            Parameter::Source => v.reference(&self.source),
            Parameter::Type => v.concept(&self.r#type),
            _ => {}
        }
    }
}

/// Returns the index entries of a resource: the values of each indexed parameter of its type.
pub(crate) fn index_entries<T: Searchable>(resource: &T) -> IndexEntries {
    let mut entries = Vec::new();
    for parameter in params(T::TYPE).filter_map(|param| param.index) {
        resource.visit(parameter, &mut |found| {
            let token = match found {
                Found::Token(Coded { system, value }) => Token { system: system.map(Into::into), value: value.into() },
                Found::Text(text) => Token::bare(text),
                // References are indexed in one form: without a version.
                Found::Reference(literal) => Token::bare(indexed(Literal::parse(literal))),
                Found::Words(_) => return,
            };
            entries.push((parameter, token));
        });
    }
    entries.into_iter().collect()
}

/// Values that a search parameter finds in a resource.
#[derive(Debug, Default)]
pub(crate) struct Values<'r> {
    pub(crate) tokens: Vec<Coded<'r>>,
    /// Strings, URIs and references; for a token, its display texts.
    pub(crate) texts: Vec<&'r str>,
}

impl<'r> Values<'r> {
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.texts.is_empty()
    }

    fn add(&mut self, found: Found<'r>) {
        match found {
            Found::Token(coded) => self.tokens.push(coded),
            Found::Words(text) | Found::Text(text) | Found::Reference(text) => self.texts.push(text),
        }
    }
}

/// Returns the values of `resource` that the parameter `name` covers.
pub(crate) fn values<'r>(resource: &'r Resource, name: &str) -> Values<'r> {
    let mut values = Values::default();
    let mut add = |found| values.add(found);
    let meta = match resource {
        Resource::Device(device) => &device.meta,
        Resource::DeviceComponent(component) => &component.meta,
        Resource::DeviceMetric(metric) => &metric.meta,
        _ => &None,
    };
    match (name, meta) {
        ("_tag", Some(Meta { tag, .. })) => Visitor(&mut add).codings(tag),
        ("_security", Some(Meta { security, .. })) => Visitor(&mut add).codings(security),
        ("_profile", Some(Meta { profile, .. })) => {
            let mut visitor = Visitor(&mut add);
            profile.iter().for_each(|uri| visitor.text(uri.value.as_ref().map(AsRef::as_ref)));
        }
        _ => {
            let Some(parameter) = Parameter::ALL.into_iter().find(|parameter| parameter.as_str() == name) else {
                return values;
            };
            match resource {
                Resource::Device(device) => device.visit(parameter, &mut add),
                Resource::DeviceComponent(component) => component.visit(parameter, &mut add),
                Resource::DeviceMetric(metric) => metric.visit(parameter, &mut add),
                _ => {}
            }
        }
    }
    values
}
