//! The facts of the declared types, as data: what tests, schemas and documentation read.

/// How often an element may occur at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Max {
    /// Once.
    One,
    /// Any number of times.
    Many,
}

/// One type that an element may have.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TypeDef {
    /// The name of the type, such as `Coding`, `dateTime` or `BackboneElement`.
    pub name: &'static str,
    /// The value set of a required binding.
    pub value_set: Option<&'static str>,
    /// The resource types that a reference may have as its target; empty for any, and for other types.
    pub targets: &'static [&'static str],
    /// The definition of a complex type.
    pub definition: Option<fn() -> &'static Definition>,
}

/// One row of a definition: an element of a type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ElementDef {
    /// The name in a document, with `[x]` for a choice of types.
    pub name: &'static str,
    /// The least number of occurrences.
    pub min: u8,
    /// The greatest number of occurrences.
    pub max: Max,
    /// The types that it may have.
    pub types: fn() -> &'static [TypeDef],
}

/// The key and the message of a rule, for tables and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleDef {
    /// The key in the specification, such as `tim-1`.
    pub key: &'static str,
    /// What the rule demands, in our words.
    pub message: &'static str,
}

/// A declared type: its rows in the order of the specification, and its rules.
///
/// ```
/// use fhir_devices::{DeviceMetric, element::{Element, Max}};
///
/// let definition = DeviceMetric::definition();
/// assert_eq!(definition.path, "DeviceMetric");
/// let calibration = definition.rows.iter().find(|row| row.name == "calibration").unwrap();
/// assert_eq!((calibration.min, calibration.max), (0, Max::Many));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Definition {
    /// The path of the type in the specification: `Device`, `Device.udi`.
    pub path: &'static str,
    /// The name of the type: `Device`, `BackboneElement`.
    pub type_name: &'static str,
    /// The elements.
    pub rows: &'static [ElementDef],
    /// The rules over one value of the type.
    pub rules: &'static [RuleDef],
}

impl ElementDef {
    pub(crate) const fn new(name: &'static str, min: u8, max: Max, types: fn() -> &'static [TypeDef]) -> Self {
        Self { name, min, max, types }
    }
}

impl RuleDef {
    pub(crate) const fn new(key: &'static str, message: &'static str) -> Self {
        Self { key, message }
    }
}

impl TypeDef {
    pub(crate) const fn primitive(name: &'static str, value_set: Option<&'static str>) -> Self {
        Self { name, value_set, targets: &[], definition: None }
    }

    pub(crate) const fn complex(name: &'static str, definition: fn() -> &'static Definition) -> Self {
        Self { name, value_set: None, targets: &[], definition: Some(definition) }
    }

    pub(crate) const fn reference(targets: &'static [&'static str], definition: fn() -> &'static Definition) -> Self {
        Self { name: "Reference", value_set: None, targets, definition: Some(definition) }
    }

    pub(crate) const fn resource() -> Self {
        Self { name: "Resource", value_set: None, targets: &[], definition: None }
    }
}

/// A type that was declared row by row.
pub trait Element {
    /// The rows and the rules of the type.
    fn definition() -> &'static Definition;
}
