//! Items of a containment tree: devices, components and metrics.

use crate::datatype::{CodeableConcept, Coding, Identifier, Literal};
use crate::nomenclature::{DevicePart, Level, Term, is_mdc};
use crate::primitive::Id;
use crate::resource::{Device, DeviceComponent, DeviceMetric, Resource};

/// Borrowed Device, DeviceComponent or DeviceMetric of a containment tree.
///
/// ```
/// use fhir_devices::{Device, reference::Item};
/// let device = Device::default();
/// assert_eq!(Item::from(&device).resource_type(), "Device");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// The device as a whole.
    Device(&'a Device),
    /// An MDS, VMD or channel.
    Component(&'a DeviceComponent),
    /// A measurement, calculation or setting.
    Metric(&'a DeviceMetric),
}

impl<'a> Item<'a> {
    /// Returns the resource as an item; `None` for types that have no place in a tree.
    #[must_use]
    pub fn of(resource: &'a Resource) -> Option<Self> {
        match resource {
            Resource::Device(device) => Some(Self::Device(device)),
            Resource::DeviceComponent(component) => Some(Self::Component(component)),
            Resource::DeviceMetric(metric) => Some(Self::Metric(metric)),
            _ => None,
        }
    }

    /// Returns the FHIR name of the type.
    #[must_use]
    pub const fn resource_type(self) -> &'static str {
        match self {
            Self::Device(_) => "Device",
            Self::Component(_) => "DeviceComponent",
            Self::Metric(_) => "DeviceMetric",
        }
    }

    /// Returns the logical id.
    #[must_use]
    pub fn id(self) -> Option<&'a Id> {
        let id = match self {
            Self::Device(device) => &device.id,
            Self::Component(component) => &component.id,
            Self::Metric(metric) => &metric.id,
        };
        id.as_ref().and_then(|id| id.value.as_ref())
    }

    /// Returns `meta.versionId`, if present.
    #[must_use]
    pub fn version(self) -> Option<&'a Id> {
        let meta = match self {
            Self::Device(device) => &device.meta,
            Self::Component(component) => &component.meta,
            Self::Metric(metric) => &metric.meta,
        };
        meta.as_ref().and_then(|meta| meta.version_id.as_ref()).and_then(|id| id.value.as_ref())
    }

    /// Returns the identifiers.
    pub fn identifiers(self) -> impl Iterator<Item = &'a Identifier> {
        let (several, one) = match self {
            Self::Device(device) => (device.identifier.as_slice(), None),
            Self::Component(component) => (Default::default(), Some(&component.identifier)),
            Self::Metric(metric) => (Default::default(), Some(&metric.identifier)),
        };
        several.iter().chain(one)
    }

    /// Returns the element `type`.
    #[must_use]
    pub fn kind(self) -> Option<&'a CodeableConcept> {
        match self {
            Self::Device(device) => device.r#type.as_ref(),
            Self::Component(component) => Some(&component.r#type),
            Self::Metric(metric) => Some(&metric.r#type),
        }
    }

    /// Returns the display name: the model of a device, else the text of the type, else the display of a coding.
    #[must_use]
    pub fn name(self) -> Option<&'a str> {
        let model = match self {
            Self::Device(device) => device.model.as_ref().and_then(|model| model.value.as_ref()),
            Self::Component(_) | Self::Metric(_) => None,
        };
        model.map(|model| model.as_str()).or_else(|| self.kind().and_then(name))
    }

    pub(crate) fn contained(self) -> &'a [Resource] {
        match self {
            Self::Device(device) => &device.contained,
            Self::Component(component) => &component.contained,
            Self::Metric(metric) => &metric.contained,
        }
    }

    /// Returns the value of the reference to the parent component, if present.
    pub(crate) fn parent(self) -> Option<ReferenceValue<'a>> {
        match self {
            Self::Device(_) => None,
            Self::Component(component) => component.parent.as_ref().map(ReferenceValue::of),
            Self::Metric(metric) => metric.parent.as_ref().map(ReferenceValue::of),
        }
    }

    /// Returns the literal text of the reference to the parent component.
    pub(crate) fn parent_text(self) -> Option<&'a str> {
        match self {
            Self::Device(_) => None,
            Self::Component(component) => component.parent.as_ref().and_then(text),
            Self::Metric(metric) => metric.parent.as_ref().and_then(text),
        }
    }

    /// Returns the literal text of the reference to the device.
    pub(crate) fn source_text(self) -> Option<&'a str> {
        match self {
            Self::Device(_) => None,
            Self::Component(component) => component.source.as_ref().and_then(text),
            Self::Metric(metric) => metric.source.as_ref().and_then(text),
        }
    }

    /// Returns the value of the reference to the device, if present.
    pub(crate) fn source(self) -> Option<ReferenceValue<'a>> {
        match self {
            Self::Device(_) => None,
            Self::Component(component) => component.source.as_ref().map(ReferenceValue::of),
            Self::Metric(metric) => metric.source.as_ref().map(ReferenceValue::of),
        }
    }
}

macro_rules! from {
    ($($Variant:ident $Type:ident),*) => { $(
        impl<'a> From<&'a $Type> for Item<'a> {
            fn from(resource: &'a $Type) -> Self {
                Self::$Variant(resource)
            }
        }
    )* };
}

from!(Device Device, Component DeviceComponent, Metric DeviceMetric);

/// Value of a reference of any target type: a literal takes precedence over an identifier.
#[derive(Clone, Copy)]
pub(crate) enum ReferenceValue<'a> {
    Literal(Literal<'a>),
    Logical(&'a Identifier),
    /// Display text only.
    Words,
}

impl<'a> ReferenceValue<'a> {
    fn of<T: crate::datatype::Target>(reference: &'a crate::datatype::Reference<T>) -> Self {
        match (reference.literal(), &reference.identifier) {
            (Some(literal), _) => Self::Literal(literal),
            (None, Some(identifier)) => Self::Logical(identifier),
            (None, None) => Self::Words,
        }
    }
}

fn text<T: crate::datatype::Target>(reference: &crate::datatype::Reference<T>) -> Option<&str> {
    reference.reference.as_ref().and_then(|text| text.value.as_ref()).map(|text| text.as_str())
}

pub(crate) fn code(coding: &Coding) -> Option<&str> {
    coding.code.as_ref().and_then(|code| code.value.as_ref()).map(|code| code.as_str())
}

pub(crate) fn display(coding: &Coding) -> Option<&str> {
    coding.display.as_ref().and_then(|display| display.value.as_ref()).map(|display| display.as_str())
}

fn name(concept: &CodeableConcept) -> Option<&str> {
    let text = concept.text.as_ref().and_then(|text| text.value.as_ref()).map(|text| text.as_str());
    text.or_else(|| concept.coding.iter().find_map(display))
}

/// Returns the codings of ISO/IEEE 11073-10101, each with its index in the list.
pub(crate) fn mdc(concept: &CodeableConcept) -> impl Iterator<Item = (u32, &Coding)> {
    (0..).zip(&concept.coding).filter(|(_, coding)| {
        let system = coding.system.as_ref().and_then(|system| system.value.as_ref());
        system.is_some_and(|system| is_mdc(system.as_str()))
    })
}

pub(crate) fn term(coding: &Coding) -> Option<Term> {
    Term::parse(code(coding)?)
}

/// Level and part in the codings of ISO/IEEE 11073-10101, by code and by reference id.
#[derive(Default)]
pub(crate) struct StatedLevels {
    pub(crate) by_code: Option<Level>,
    pub(crate) by_name: Option<Level>,
    pub(crate) part: Option<DevicePart>,
}

pub(crate) fn stated(concept: &CodeableConcept) -> StatedLevels {
    let mut said = StatedLevels::default();
    for (_, coding) in mdc(concept) {
        let term = term(coding);
        said.by_code = said.by_code.or(term.and_then(Term::level));
        said.by_name = said.by_name.or(display(coding).and_then(Level::of_name));
        said.part = said.part.or(term.and_then(DevicePart::of));
    }
    said
}

/// Returns whether a coding of the concept has this code, in any system.
pub(crate) fn says(concept: &CodeableConcept, wanted: &str) -> bool {
    concept.coding.iter().any(|coding| code(coding) == Some(wanted))
}

/// Returns the system and the value of an identifier that has a value.
pub(crate) fn token(identifier: &Identifier) -> Option<(Option<&str>, &str)> {
    let system = identifier.system.as_ref().and_then(|system| system.value.as_ref()).map(|system| system.as_str());
    let value = identifier.value.as_ref().and_then(|value| value.value.as_ref())?;
    Some((system, value.as_str()))
}
