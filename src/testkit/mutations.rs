//! Documents with one injected fault, and the rule and path that must report it.
//!
//! ```
//! use fhir_devices::testkit::mutations::InjectedFault;
//! use fhir_devices::{element::ReadMode, validate::check};
//!
//! let document = r#"{"resourceType":"Device","status":"active","model":"P9"}"#;
//! let mutation = InjectedFault::BadCode.put_into(document, 0).unwrap();
//! assert_eq!(mutation.json, r#"{"resourceType":"Device","status":"no-such-code","model":"P9"}"#);
//! assert_eq!((mutation.rule, mutation.at.as_str()), ("required-binding", "Device.status"));
//!
//! let report = check(mutation.json.as_bytes(), ReadMode::Strict).into_report();
//! assert!(mutation.is_found_in(&report));
//! ```

use super::json::Json;
use super::{faults, strategies};
use crate::element::{Definition, Element};
use crate::issue::Report;
use crate::resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome};
use proptest::prelude::*;

/// The kind of injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InjectedFault {
    /// A member that the type does not have.
    UnknownMember,
    /// A number instead of a string, or a string instead of another JSON type.
    WrongType,
    /// A required element that is missing.
    Missing,
    /// A code that is not in the value set to which the element is bound.
    BadCode,
    /// A text that is not valid for its primitive type.
    Malformed,
    /// A string without characters.
    EmptyString,
    /// An array without items.
    EmptyArray,
    /// An object without members.
    EmptyObject,
    /// A null that is not an item of an array.
    Null,
    /// An array for an element that does not repeat.
    Repeated,
    /// A single value for an element that repeats.
    NotRepeated,
    /// A member that comes twice.
    Duplicate,
    /// A reference to a resource type that is not allowed.
    WrongTarget,
    /// Two values of one choice of types (`value[x]`).
    TwoChoices,
    /// A broken rule over several elements of one value.
    BrokenRule,
    /// A local reference without target, or a contained resource to which nothing refers.
    BrokenContainment,
}

/// A document with one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mutation {
    /// The kind of the fault.
    pub fault: InjectedFault,
    /// The document.
    pub json: String,
    /// The key of the rule that must find the fault.
    pub rule: &'static str,
    /// The path where the fault must be found, as a FHIRPath expression.
    pub at: String,
}

impl Mutation {
    /// Returns whether a report has an issue of that rule at that path.
    #[must_use]
    pub fn is_found_in(&self, report: &Report) -> bool {
        report.iter().any(|issue| issue.rule == self.rule && issue.at == self.at)
    }
}

/// An element of a document, and its type.
pub(super) struct Spot {
    /// The path to the element: the number of each member and item.
    steps: Vec<usize>,
    /// The path as a FHIRPath expression.
    pub(super) at: String,
    pub(super) definition: &'static Definition,
    /// Whether the element is an extension inside an extension.
    pub(super) part: bool,
}

/// One way to put a fault into an element.
pub(super) struct Way {
    /// The element with the fault.
    pub(super) element: Json,
    pub(super) rule: &'static str,
    pub(super) at: String,
}

fn definition(resource_type: &str) -> Option<&'static Definition> {
    let known = [
        Device::definition(),
        DeviceComponent::definition(),
        DeviceMetric::definition(),
        Bundle::definition(),
        OperationOutcome::definition(),
    ];
    known.into_iter().find(|definition| definition.path == resource_type)
}

/// Visits the modelled elements of a document, outermost first, without the ids and extensions of primitives.
fn visit(json: &Json, spot: Spot, found: &mut Vec<Spot>) {
    for (index, (name, value)) in json.members().iter().enumerate() {
        let Some((row, one)) = faults::row(spot.definition, name) else { continue };
        let here = format!("{}.{name}", spot.at);
        let part = spot.definition.path == "Extension" && row.name == "extension";
        let mut below = |steps: &[usize], at: String, value: &Json| {
            let resource = value.get("resourceType").and_then(Json::as_text).and_then(definition);
            let inner = if one.name == "Resource" { resource } else { one.definition.map(|inner| inner()) };
            if let Some(definition) = inner {
                visit(value, Spot { steps: [&spot.steps, steps].concat(), at, definition, part }, found);
            }
        };
        match value {
            Json::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    below(&[index, number], format!("{here}[{number}]"), item);
                }
            }
            value => below(&[index], here, value),
        }
    }
    found.push(spot);
}

impl InjectedFault {
    /// Every kind of fault.
    pub const ALL: &'static [Self] = &[
        Self::UnknownMember,
        Self::WrongType,
        Self::Missing,
        Self::BadCode,
        Self::Malformed,
        Self::EmptyString,
        Self::EmptyArray,
        Self::EmptyObject,
        Self::Null,
        Self::Repeated,
        Self::NotRepeated,
        Self::Duplicate,
        Self::WrongTarget,
        Self::TwoChoices,
        Self::BrokenRule,
        Self::BrokenContainment,
    ];

    /// Injects the fault into a valid document of one of the modelled types. `pick` selects one of the possible places,
    /// and may be any number. `None` where the document has no such place.
    #[must_use]
    pub fn put_into(self, document: &str, pick: usize) -> Option<Mutation> {
        let mut json = Json::parse(document)?;
        let root = definition(json.get("resourceType")?.as_text()?)?;
        let mut spots = Vec::new();
        let at = root.path.to_owned();
        visit(&json, Spot { steps: Vec::new(), at, definition: root, part: false }, &mut spots);
        let mut ways = Vec::new();
        for spot in &spots {
            let element = json.at_mut(&spot.steps)?;
            ways.extend(faults::ways(self, spot, element).into_iter().map(|way| (&spot.steps, way)));
        }
        let index = pick.checked_rem(ways.len())?;
        let (steps, way) = ways.into_iter().nth(index)?;
        *json.at_mut(steps)? = way.element;
        Some(Mutation { fault: self, json: json.to_text(), rule: way.rule, at: way.at })
    }
}

/// Returns arbitrary documents of any modelled type with this fault, otherwise valid. Where one fault breaks several
/// rules, a report has more issues than the one that the mutation names.
///
/// ```
/// use fhir_devices::testkit::mutations::{InjectedFault, mutation};
/// use fhir_devices::{element::ReadMode, validate::check};
/// use proptest::{prop_assert, test_runner::TestRunner};
///
/// TestRunner::default().run(&mutation(InjectedFault::WrongTarget), |mutation| {
///     prop_assert!(mutation.is_found_in(&check(mutation.json.as_bytes(), ReadMode::Strict).into_report()));
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mutation(fault: InjectedFault) -> impl Strategy<Value = Mutation> + Clone {
    let documents = prop_oneof![
        strategies::device().prop_map(|device| device.to_json()),
        strategies::device_component().prop_map(|component| component.to_json()),
        strategies::device_metric().prop_map(|metric| metric.to_json()),
        strategies::bundle().prop_map(|bundle| bundle.to_json()),
        strategies::operation_outcome().prop_map(|outcome| outcome.to_json()),
    ];
    (documents, 0..1_000_000_usize)
        .prop_filter_map("a document with a place for the fault", move |(json, pick)| fault.put_into(&json, pick))
}

/// Returns arbitrary documents with a fault of any kind.
pub fn any_mutation() -> impl Strategy<Value = Mutation> + Clone {
    proptest::sample::select(InjectedFault::ALL).prop_flat_map(mutation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{TestRng, TestRunner};
    use std::collections::BTreeSet;

    /// Collects every row, with each of its types, of the types reachable from a definition.
    fn reached(definition: &'static Definition, rows: &mut BTreeSet<String>, seen: &mut BTreeSet<&'static str>) {
        if !seen.insert(definition.path) {
            return;
        }
        for row in definition.rows {
            for one in (row.types)() {
                rows.insert(format!("{}.{}", definition.path, row.member(one)));
                if let Some(inner) = one.definition {
                    reached(inner(), rows, seen);
                }
            }
        }
    }

    #[test]
    fn strategies_cover_every_element() {
        let (mut wanted, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for name in ["Device", "DeviceComponent", "DeviceMetric", "Bundle", "OperationOutcome"] {
            reached(definition(name).unwrap(), &mut wanted, &mut seen);
        }
        let config = ProptestConfig::default();
        let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(config.rng_algorithm));
        let strategy = prop_oneof![strategies::resource(), strategies::bundle().prop_map(Into::into)];
        for _ in 0..4_000 {
            let json = strategy.new_tree(&mut runner).unwrap().current().to_json();
            assert!(json.len() < 16_384, "{json}");
            let mut json = Json::parse(&json).unwrap();
            let resource_type = json.get("resourceType").and_then(Json::as_text).unwrap();
            let Some(root) = definition(resource_type) else { continue };
            let mut spots = Vec::new();
            visit(&json, Spot { steps: Vec::new(), at: String::new(), definition: root, part: false }, &mut spots);
            for spot in spots {
                let element = json.at_mut(&spot.steps).unwrap();
                for (name, _) in element.members() {
                    wanted.remove(&format!("{}.{}", spot.definition.path, name.trim_start_matches('_')));
                }
            }
            if wanted.is_empty() {
                return;
            }
        }
        panic!("no document had {wanted:?}");
    }
}
