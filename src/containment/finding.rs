//! Findings of broken rules, and their messages.

use super::rule::{ContainmentRule, Profile};
use super::tree::{Node, Tree};
use crate::issue::{Issue, Severity};
use crate::nomenclature::{DevicePart, Level};
use crate::reference::item::{ReferenceValue, code, display};

/// Rule broken at one node of a [`Tree`]: small, as a tree may have as many findings as nodes. The message is made on
/// demand, by conversion to an [`Issue`].
///
/// ```
/// # use fhir_devices::{DeviceComponent, containment::{ContainmentRule, components}};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let all = [DeviceComponent::from_json(json)?];
/// let rules: Vec<_> = components(&all).findings().iter().map(|finding| finding.rule).collect();
/// assert_eq!(rules, [ContainmentRule::ComponentHasSource, ContainmentRule::MdsHasVmd, ContainmentRule::MdcType, ContainmentRule::StatedLevel]);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Finding {
    pub(super) node: u32,
    /// Broken rule.
    pub rule: ContainmentRule,
    pub(super) spot: FindingElement,
    /// Index of an item where the element repeats; otherwise the number of the other node.
    detail: u32,
}

/// Element of the resource that a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FindingElement {
    Whole,
    Identifier,
    Type,
    TypeCode,
    TypeDisplay,
    UnitCode,
    Source,
    Parent,
    Status,
    Specification,
    SpecificationType,
    SpecificationText,
    Calibration,
}

impl FindingElement {
    /// Returns whether the element is one item of a repeating element.
    const fn repeats(self) -> bool {
        match self {
            Self::Whole | Self::Identifier | Self::Type | Self::Source | Self::Parent | Self::Status => false,
            Self::TypeCode
            | Self::TypeDisplay
            | Self::UnitCode
            | Self::Specification
            | Self::SpecificationType
            | Self::SpecificationText
            | Self::Calibration => true,
        }
    }
}

impl Finding {
    pub(super) const fn about(node: u32, rule: ContainmentRule, spot: FindingElement, detail: u32) -> Self {
        Self { node, rule, spot, detail }
    }

    /// Returns the other node of the finding.
    fn other<'t, 'a>(&self, node: Node<'t, 'a>, tree: &'t Tree<'a>) -> Option<Node<'t, 'a>> {
        match self.rule {
            ContainmentRule::SerialNumber => node.device(),
            _ if self.spot.repeats() => None,
            _ => tree.node(self.detail),
        }
    }

    /// Returns the index of the node in input order.
    #[must_use]
    pub fn index(&self) -> usize {
        self.node as usize
    }

    /// Returns whether the finding makes the place of its node uncertain.
    pub(super) fn is_about_place(&self) -> bool {
        match self.rule {
            ContainmentRule::Acyclic
            | ContainmentRule::ParentType
            | ContainmentRule::VmdBelowMds
            | ContainmentRule::ChannelBelowVmd
            | ContainmentRule::MdsBelowMds
            | ContainmentRule::OneSource
            | ContainmentRule::MetricSource
            | ContainmentRule::UniqueId => true,
            ContainmentRule::Resolvable | ContainmentRule::OneTarget | ContainmentRule::MetricTargets => {
                self.spot == FindingElement::Parent
            }
            _ => false,
        }
    }

    /// Converts the finding into an issue with the profile's severity; `None` where the profile does not have the rule.
    #[must_use]
    pub fn issue(&self, tree: &Tree<'_>, profile: Profile) -> Option<Issue> {
        let severity: Severity = self.rule.severity(profile)?;
        let node = tree.node(self.node)?;
        let at = self.at(node);
        let found = self.found(node, self.other(node, tree));
        let message = format!("{found}, wanted: {}", self.rule.text());
        Some(Issue::new(self.rule.key(), severity, self.rule.kind(), at, message))
    }

    fn at(&self, node: Node<'_, '_>) -> String {
        let (mut at, index) = (node.place(), self.detail);
        match self.spot {
            FindingElement::Whole => {}
            FindingElement::Identifier => at.push_str(".identifier"),
            FindingElement::Type => at.push_str(".type"),
            FindingElement::TypeCode => at.push_str(&format!(".type.coding[{index}].code")),
            FindingElement::TypeDisplay => at.push_str(&format!(".type.coding[{index}].display")),
            FindingElement::UnitCode => at.push_str(&format!(".unit.coding[{index}].code")),
            FindingElement::Source => at.push_str(".source"),
            FindingElement::Parent => at.push_str(".parent"),
            FindingElement::Status => at.push_str(".operationalStatus"),
            FindingElement::Specification => at.push_str(&format!(".productionSpecification[{index}]")),
            FindingElement::SpecificationType => at.push_str(&format!(".productionSpecification[{index}].specType")),
            FindingElement::SpecificationText => {
                at.push_str(&format!(".productionSpecification[{index}].productionSpec"))
            }
            FindingElement::Calibration => at.push_str(&format!(".calibration[{index}].time")),
        }
        at
    }

    /// Describes the value found.
    fn found(&self, node: Node<'_, '_>, other: Option<Node<'_, '_>>) -> String {
        let own = named(node);
        let its = |what: &str| match other {
            Some(other) => format!("{what} {}", named(other)),
            None => what.to_owned(),
        };
        match self.rule {
            ContainmentRule::Acyclic => format!("{own} is below itself: {}", circle(node, other)),
            ContainmentRule::ParentType
            | ContainmentRule::MetricTargets
            | ContainmentRule::SourceType
            | ContainmentRule::Resolvable
            | ContainmentRule::OneTarget => {
                let (name, pointer) = match self.spot {
                    FindingElement::Parent => ("parent", node.item().parent()),
                    _ => ("source", node.item().source()),
                };
                let what = match self.rule {
                    ContainmentRule::Resolvable => "is not among the resources",
                    ContainmentRule::OneTarget => "may be one of several resources",
                    _ => "is a resource of another type",
                };
                format!("the {name} {} of {own} {what}", pointed(pointer))
            }
            ContainmentRule::VmdBelowMds
            | ContainmentRule::ChannelBelowVmd
            | ContainmentRule::MdsBelowMds
            | ContainmentRule::MetricBelowChannel => its(&format!("{own} is below")),
            ContainmentRule::VmdHasParent | ContainmentRule::ChannelHasParent | ContainmentRule::MetricHasParent => {
                format!("{own} has no parent")
            }
            ContainmentRule::MetricHasSource | ContainmentRule::ComponentHasSource => format!("{own} has no source"),
            ContainmentRule::OneSource | ContainmentRule::MetricSource => {
                let above = other.map_or_else(
                    || "another one".to_owned(),
                    |other| {
                        pointed(
                            other.item().source().or_else(|| other.ancestors().find_map(|above| above.item().source())),
                        )
                    },
                );
                format!("the source of {own} is {}, and above it {above}", pointed(node.item().source()))
            }
            ContainmentRule::Depth => format!("{own} stands {} deep", node.depth()),
            ContainmentRule::ChannelHoldsMetrics => its(&format!("{own} has below it")),
            ContainmentRule::MdsHasVmd => format!("{own} has no VMD"),
            ContainmentRule::VmdHasChannel => format!("{own} has no channel"),
            ContainmentRule::MdcType => format!("the type of {own} has no such code"),
            ContainmentRule::ContextFree => format!("{own} has the code {}", self.code(node)),
            ContainmentRule::NotGeneric => format!("the code {} of {own} is of a device of any level", self.code(node)),
            ContainmentRule::SuffixAgrees => {
                let level = node.by_code().map_or("", title);
                format!("{own} is a {level} by its code, and its reference id is {}", self.code(node))
            }
            ContainmentRule::CodesAgree => {
                let level = node.by_code().map_or("", title);
                format!("{own} is a {level} by its first code, and another one is {}", self.code(node))
            }
            ContainmentRule::NoMetricCode | ContainmentRule::NoDeviceCode | ContainmentRule::UnitCode => {
                format!("{own} has the code {}", self.code(node))
            }
            ContainmentRule::UniqueIdentifier => its(&format!("{own} has the identifier of")),
            ContainmentRule::UniqueId => its(&format!("{own} has the address of")),
            ContainmentRule::WholeSpecification => match self.spot {
                FindingElement::SpecificationType => format!("a specification of {own} has no type"),
                _ => format!("a specification of {own} has no text"),
            },
            ContainmentRule::OneSerialNumber => format!("{own} has more than one"),
            ContainmentRule::OneStatus => format!("{own} has several statuses"),
            ContainmentRule::PartBelowMds => match (self.spot, other) {
                (FindingElement::Parent, Some(_)) => its(&format!("{own} is below")),
                (FindingElement::Parent, None) => format!("{own} has no parent"),
                _ => its(&format!("{own} is beside")),
            },
            ContainmentRule::CalibrationTime => format!("a calibration of {own} has no time"),
            ContainmentRule::SerialNumber => its(&format!("{own} has another one than")),
            ContainmentRule::OneRoot => its(&format!("{own} is at the top beside")),
            ContainmentRule::StatedLevel => match node.by_place() {
                Some(level) => format!("{own} is a {} by its place alone", title(level)),
                None => format!("no level is stated for {own}"),
            },
        }
    }

    fn code(&self, node: Node<'_, '_>) -> String {
        let concept = match (self.spot, node.item()) {
            (FindingElement::UnitCode, crate::reference::Item::Metric(metric)) => metric.unit.as_ref(),
            (_, item) => item.kind(),
        };
        let coding = concept.and_then(|concept| concept.coding.get(self.detail as usize));
        let text = coding.and_then(if self.spot == FindingElement::TypeDisplay { display } else { code });
        format!("`{}`", text.unwrap_or_default())
    }
}

const fn title(level: Level) -> &'static str {
    match level {
        Level::Mds => "MDS",
        Level::Vmd => "VMD",
        Level::Channel => "channel",
    }
}

/// Returns the name of a node in messages: its kind and label.
fn named(node: Node<'_, '_>) -> String {
    let kind = match node.item() {
        crate::reference::Item::Device(_) => "Device",
        crate::reference::Item::Metric(_) => "metric",
        crate::reference::Item::Component(_) => {
            let part = || node.part().map_or("component", DevicePart::as_str);
            node.level().map_or_else(part, title)
        }
    };
    format!("{kind} `{}`", node.label())
}

fn pointed(pointer: Option<ReferenceValue<'_>>) -> String {
    match pointer {
        Some(ReferenceValue::Literal(literal)) => format!("`{literal}`"),
        Some(ReferenceValue::Logical(identifier)) => {
            format!(
                "with the identifier `{}`",
                crate::reference::item::token(identifier).map_or("", |(_, value)| value)
            )
        }
        Some(ReferenceValue::Words) | None => "that has no address".to_owned(),
    }
}

/// Formats the members of a cycle from the top down; of a large one the first and the last.
fn circle(root: Node<'_, '_>, last: Option<Node<'_, '_>>) -> String {
    const SHOWN: usize = 6;
    let chain = |last| std::iter::successors(Some(last), |node: &Node<'_, '_>| node.parent());
    let mut shown: Vec<&str> = last.into_iter().flat_map(chain).map(Node::label).take(SHOWN + 1).collect();
    if let Some(more) = shown.get_mut(SHOWN) {
        *more = "…";
        shown.push(root.label());
    }
    shown.reverse();
    shown.push(root.label());
    shown.join(" > ")
}
