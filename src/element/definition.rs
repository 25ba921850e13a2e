//! The declared types as data, for tests, schemas and documentation.

use super::scalar::Scalar;
use std::borrow::Cow;

/// The maximum cardinality of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Max {
    /// At most one value.
    One,
    /// Any number of values.
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
    /// The codes of that value set, in its order.
    pub codes: &'static [&'static str],
    /// Whether the type is a primitive that may have an id and extensions, in a member whose name begins with `_`.
    pub extensible: bool,
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
    /// The minimum cardinality.
    pub min: u8,
    /// The maximum cardinality.
    pub max: Max,
    /// The allowed types.
    pub types: fn() -> &'static [TypeDef],
}

/// The key and the message of a rule, for tables and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleDef {
    /// The key in the specification, such as `tim-1`.
    pub key: &'static str,
    /// What the rule requires.
    pub message: &'static str,
}

/// The definition of a type: its elements in the order of the specification, and its rules.
///
/// ```
/// use fhir_devices::{DeviceMetric, element::{Element, Max}};
///
/// let definition = DeviceMetric::definition();
/// assert_eq!(definition.path, "DeviceMetric");
/// let calibration = definition.rows.iter().find(|row| row.name == "calibration").unwrap();
/// assert_eq!((calibration.min, calibration.max), (0, Max::Many));
/// let value = fhir_devices::datatype::Extension::definition().row("valueString").unwrap();
/// assert_eq!(value.name, "value[x]");
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
    /// Members that the type from which this one is derived has and that a rule forbids here: the name and the rule.
    pub forbidden: &'static [(&'static str, RuleDef)],
}

impl Definition {
    /// Returns the row of a member: the one of that name, with or without the underscore, or the `value[x]` of
    /// `valueString`.
    #[must_use]
    pub fn row(&self, member: &str) -> Option<&'static ElementDef> {
        let name = member.strip_prefix('_').unwrap_or(member);
        let has = |row: &&ElementDef| row.name == name || (row.types)().iter().any(|one| row.member(one) == name);
        self.rows.iter().find(has)
    }

    /// Returns whether the type is a resource, whose JSON says its type.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        self.rows.iter().any(|row| row.name == "implicitRules")
    }
}

impl ElementDef {
    /// Returns the name of the member that holds a value of the type `one`: `valueString` for `value[x]`.
    #[must_use]
    pub fn member(&self, one: &TypeDef) -> Cow<'static, str> {
        let (Some(prefix), Some(first)) = (self.name.strip_suffix("[x]"), one.name.chars().next()) else {
            return Cow::Borrowed(self.name);
        };
        let rest = one.name.get(first.len_utf8()..).unwrap_or_default();
        Cow::Owned(format!("{prefix}{}{rest}", first.to_ascii_uppercase()))
    }

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
    const fn of(name: &'static str) -> Self {
        Self { name, value_set: None, codes: &[], extensible: false, targets: &[], definition: None }
    }

    pub(crate) const fn primitive<S: Scalar>() -> Self {
        Self { value_set: S::VALUE_SET, codes: S::CODES, extensible: true, ..Self::of(S::TYPE) }
    }

    /// A primitive that is an attribute in XML.
    pub(crate) const fn bare(name: &'static str) -> Self {
        Self::of(name)
    }

    pub(crate) const fn complex(name: &'static str, definition: fn() -> &'static Definition) -> Self {
        Self { definition: Some(definition), ..Self::of(name) }
    }

    pub(crate) const fn reference(targets: &'static [&'static str], definition: fn() -> &'static Definition) -> Self {
        Self { targets, ..Self::complex("Reference", definition) }
    }

    pub(crate) const fn resource() -> Self {
        Self::of("Resource")
    }
}

/// A type that was declared row by row.
pub trait Element {
    /// Returns the rows and the rules of the type.
    fn definition() -> &'static Definition;
}
