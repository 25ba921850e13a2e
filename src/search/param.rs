//! Search parameters of the three resource types.

use super::{Parameter, ResourceType};
use crate::primitive::CanonicalBase;
use std::fmt;

/// Type of a search parameter.
///
/// ```
/// use fhir_devices::search::{ParamKind, params};
/// use fhir_devices::search::ResourceType;
/// let source = params(ResourceType::DeviceMetric).find(|param| param.name == "source").unwrap();
/// assert_eq!(source.kind, ParamKind::Reference("Device"));
/// assert_eq!(source.kind.to_string(), "reference");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Value within a system.
    Token,
    /// Text.
    Text,
    /// Reference to this type.
    Reference(&'static str),
    /// URI.
    Uri,
    /// Date or time.
    Date,
}

impl ParamKind {
    /// Returns FHIR's name of the type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Text => "string",
            Self::Reference(_) => "reference",
            Self::Uri => "uri",
            Self::Date => "date",
        }
    }

    /// Returns the supported modifiers; a reference also accepts the name of its type.
    #[must_use]
    pub const fn modifiers(self) -> &'static [&'static str] {
        match self {
            Self::Token => &["missing", "not", "text"],
            Self::Text => &["missing", "exact", "contains"],
            Self::Uri => &["missing", "above", "below"],
            Self::Reference(_) | Self::Date => &["missing"],
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Search parameter: name, type and covered element.
///
/// ```
/// use fhir_devices::search::params;
/// use fhir_devices::search::ResourceType;
/// assert!(params(ResourceType::Device).any(|param| param.name == "udi-di"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Param {
    /// Name of the parameter.
    pub name: &'static str,
    /// Type of the parameter.
    pub kind: ParamKind,
    /// Description of the covered element.
    pub about: &'static str,
    /// Index that stores keep for the parameter, if any.
    pub index: Option<Parameter>,
}

impl Param {
    /// Returns the canonical URL for a resource type: FHIR's, or this library's own under the caller's base.
    ///
    /// ```
    /// use fhir_devices::primitive::CanonicalBase;
    /// use fhir_devices::search::{ResourceType, params};
    /// let model = params(ResourceType::Device).find(|param| param.name == "model").unwrap();
    /// let url = model.definition(ResourceType::Device, &CanonicalBase::default());
    /// assert_eq!(url, "http://hl7.org/fhir/SearchParameter/Device-model");
    /// ```
    #[must_use]
    pub fn definition(&self, of: ResourceType, base: &CanonicalBase) -> String {
        const FHIR: &str = "http://hl7.org/fhir/SearchParameter";
        if self.index.is_some_and(Parameter::is_own) {
            return base.below(&format!("SearchParameter/fhir-devices-{}", self.name));
        }
        match self.name.strip_prefix('_') {
            Some(name) => format!("{FHIR}/Resource-{name}"),
            None => format!("{FHIR}/{of}-{}", self.name),
        }
    }
}

const fn row(name: &'static str, kind: ParamKind, index: Parameter, about: &'static str) -> Param {
    Param { name, kind, about, index: Some(index) }
}

const fn bare(name: &'static str, kind: ParamKind, about: &'static str) -> Param {
    Param { name, kind, about, index: None }
}

use ParamKind::{Date, Reference, Text, Token, Uri};

/// Parameters of every resource.
static ALL: [Param; 5] = [
    bare("_id", Token, "the logical id"),
    bare("_lastUpdated", Date, "when the resource was changed last"),
    bare("_tag", Token, "a tag"),
    bare("_security", Token, "a security label"),
    bare("_profile", Uri, "a profile that the resource claims"),
];

static DEVICE: [Param; 12] = [
    row("device-name", Text, Parameter::DeviceName, "the name on the label, or the kind of device"),
    row("identifier", Token, Parameter::Identifier, "an identifier of the device"),
    row("location", Reference("Location"), Parameter::Location, "where the device is"),
    row("manufacturer", Text, Parameter::Manufacturer, "who made it"),
    row("model", Text, Parameter::Model, "the model"),
    row("organization", Reference("Organization"), Parameter::Organization, "who answers for it"),
    row("patient", Reference("Patient"), Parameter::Patient, "to whom it is affixed"),
    row("status", Token, Parameter::Status, "whether the record is in use"),
    row("type", Token, Parameter::Type, "the kind of device"),
    row("udi-carrier", Text, Parameter::UdiCarrier, "the barcode of its unique device identifier"),
    row("udi-di", Text, Parameter::UdiDi, "the fixed part of its unique device identifier"),
    row("url", Uri, Parameter::Url, "its network address"),
];

static COMPONENT: [Param; 4] = [
    row("identifier", Token, Parameter::Identifier, "the handle of the component"),
    row("parent", Reference("DeviceComponent"), Parameter::Parent, "the component above"),
    row("source", Reference("Device"), Parameter::Source, "the device at the top"),
    row("type", Token, Parameter::Type, "the kind of component"),
];

/// This library's own parameters of DeviceComponent.
static OWN: [Param; 5] = [
    row(
        "available-update-version",
        Token,
        Parameter::AvailableUpdateVersion,
        "the version of an update that is available for the component",
    ),
    row(
        "available-update-status",
        Token,
        Parameter::AvailableUpdateStatus,
        "whether an available update is current, superseded or withdrawn",
    ),
    row(
        "available-update-sequence",
        Token,
        Parameter::AvailableUpdateSequence,
        "the place of an available update among those of its component",
    ),
    row(
        "production-specification",
        Token,
        Parameter::ProductionSpecification,
        "a production specification: `kind|text`, as in `software-revision|4.2.0`",
    ),
    row(
        "reported-version",
        Token,
        Parameter::ReportedVersion,
        "the version that the component reported last, as its software or firmware revision",
    ),
];

static METRIC: [Param; 5] = [
    row("category", Token, Parameter::Category, "measurement, setting or calculation"),
    row("identifier", Token, Parameter::Identifier, "the handle of the metric"),
    row("parent", Reference("DeviceComponent"), Parameter::Parent, "the component above"),
    row("source", Reference("Device"), Parameter::Source, "the device at the top"),
    row("type", Token, Parameter::Type, "what is measured, set or calculated"),
];

/// Returns the search parameters of a type.
///
/// ```
/// use fhir_devices::search::params;
/// use fhir_devices::search::ResourceType;
/// assert_eq!(params(ResourceType::DeviceComponent).count(), 14);
/// ```
pub fn params(of: ResourceType) -> impl Iterator<Item = &'static Param> {
    let own: &[Param] = match of {
        ResourceType::Device => &DEVICE,
        ResourceType::DeviceComponent => &COMPONENT,
        ResourceType::DeviceMetric => &METRIC,
    };
    let ours: &[Param] = if of == ResourceType::DeviceComponent { &OWN } else { &[] };
    ALL.iter().chain(own).chain(ours)
}
