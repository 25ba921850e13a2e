//! Selection of exactly one component of a device.

use super::tree::{Node, Tree};
use crate::datatype::Identifier;
use crate::nomenclature::{Level, Term};
use crate::primitive::Id;
use crate::reference::item::{mdc, term, token};
use crate::support::truncated;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Criterion that selects one component of a device, as for an upload.
///
/// The target in a signed manifest is a `manifest::Target`, and the components of all devices that a release covers are
/// an `update::release::Target`.
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// use fhir_devices::containment::Selector;
/// assert_eq!(Selector::Level(Level::Vmd).to_string(), "the component of level `vmd`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Selector {
    /// The component with this id.
    Component(Id),
    /// The only component of this level.
    Level(Level),
    /// The component with this id; without one, if the text is a level, the only component of that level.
    Named(Id),
    /// The only component of the device.
    Any,
    /// The component with this identifier, its handle.
    Identifier(IdentifierQuery),
    /// The only component whose type has this ISO/IEEE 11073-10101 code.
    Code(u32),
    /// The component with this software item: a `componentId` of its production specifications.
    Item(IdentifierQuery),
    /// The component that matches all of these.
    All(Vec<Self>),
}

/// Error for text that is not a selector; its message lists the forms.
///
/// ```
/// use fhir_devices::containment::Selector;
/// let error = "level=top".parse::<Selector>().unwrap_err();
/// assert_eq!(error.to_string(), "`level=top` is not a selector, wanted `*`, an id or a level, or `id=`, `level=`, \
///     `identifier=`, `code=` or `item=` and a value");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a selector, wanted `*`, an id or a level, or `id=`, `level=`, `identifier=`, `code=` or `item=` and a value"
)]
#[non_exhaustive]
pub struct NotASelector {
    /// Text, truncated if long.
    pub text: String,
}

/// Parses `*` as [`Selector::Any`] and plain text as an id or a level; `id=`, `level=`, `identifier=SYSTEM|VALUE`,
/// `code=` and `item=SYSTEM|VALUE` select one form, whose system may be left out.
///
/// ```
/// use fhir_devices::containment::Selector;
/// use fhir_devices::nomenclature::Level;
/// assert_eq!("level=vmd".parse(), Ok(Selector::Level(Level::Vmd)));
/// assert_eq!("vmd-1".parse(), Ok(Selector::Named("vmd-1".parse()?)));
/// assert_eq!("code=69985".parse(), Ok(Selector::Code(69_985)));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
impl FromStr for Selector {
    type Err = NotASelector;

    fn from_str(text: &str) -> Result<Self, NotASelector> {
        let selector = match text.split_once('=') {
            None if text == "*" => Some(Self::Any),
            None => text.parse().ok().map(Self::Named),
            Some(("id", id)) => id.parse().ok().map(Self::Component),
            Some(("level", level)) => level.parse().ok().map(Self::Level),
            Some(("code", code)) => code.parse().ok().map(Self::Code),
            Some(("identifier", label)) => IdentifierQuery::read(label).map(Self::Identifier),
            Some(("item", label)) => IdentifierQuery::read(label).map(Self::Item),
            Some(_) => None,
        };
        selector.ok_or_else(|| NotASelector { text: truncated(text, 128).to_owned() })
    }
}

/// Identifier to match: a value, and optionally its system.
///
/// ```
/// use fhir_devices::containment::IdentifierQuery;
/// let handle = IdentifierQuery { system: None, value: "1.4".into() };
/// assert_eq!(handle.to_string(), "1.4");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierQuery {
    /// System; `None` matches any system and none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Value, compared exactly.
    pub value: String,
}

impl IdentifierQuery {
    /// Parses `SYSTEM|VALUE` or `VALUE`.
    fn read(text: &str) -> Option<Self> {
        let (system, value) = match text.rsplit_once('|') {
            Some((system, value)) => (Some(system.to_owned()).filter(|system| !system.is_empty()), value),
            None => (None, text),
        };
        (!value.is_empty()).then(|| Self { system, value: value.to_owned() })
    }

    /// Returns whether an identifier matches.
    #[must_use]
    pub fn fits(&self, identifier: &Identifier) -> bool {
        token(identifier).is_some_and(|(system, value)| {
            value == self.value && (self.system.is_none() || system == self.system.as_deref())
        })
    }
}

impl fmt::Display for IdentifierQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.system {
            Some(system) => write!(f, "{system}|{}", self.value),
            None => f.write_str(&self.value),
        }
    }
}

impl Selector {
    /// Returns whether a node of the tree matches. [`select`] checks that it is the only one.
    #[must_use]
    pub fn fits(&self, tree: &Tree<'_>, node: Node<'_, '_>) -> bool {
        // Nested lists are flattened without recursion.
        let mut wanted = vec![self];
        while let Some(one) = wanted.pop() {
            let fits = match one {
                Self::Component(id) => node.id() == Some(id),
                Self::Level(level) => node.level() == Some(*level),
                Self::Named(name) => match name.as_str().parse::<Level>() {
                    Ok(level) if tree.get(name.as_str()).is_none() => node.level() == Some(level),
                    _ => node.id() == Some(name),
                },
                Self::Any => true,
                Self::Identifier(label) => node.item().identifiers().any(|identifier| label.fits(identifier)),
                Self::Code(code) => {
                    let mut terms = node.item().kind().into_iter().flat_map(mdc);
                    terms.any(|(_, coding)| term(coding).map(Term::code) == Some(*code))
                }
                Self::Item(label) => node.component().is_some_and(|component| {
                    let items = component.production_specification.iter().filter_map(|one| one.component_id.as_ref());
                    items.into_iter().any(|identifier| label.fits(identifier))
                }),
                Self::All(several) => {
                    wanted.extend(several);
                    true
                }
            };
            if !fits {
                return false;
            }
        }
        true
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(id) => write!(f, "the component `{id}`"),
            Self::Level(level) => write!(f, "the component of level `{level}`"),
            Self::Named(name) => write!(f, "the component or level `{name}`"),
            Self::Any => f.write_str("the only component"),
            Self::Identifier(label) => write!(f, "the component with the identifier `{label}`"),
            Self::Code(code) => write!(f, "the component with the code `{code}`"),
            Self::Item(label) => write!(f, "the component with the software item `{label}`"),
            Self::All(several) => {
                for (number, one) in several.iter().enumerate() {
                    f.write_str(if number > 0 { " and " } else { "" })?;
                    one.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

/// Component that a selector could name.
///
/// ```
/// use fhir_devices::{nomenclature::Level, containment::Candidate};
/// let (id, path) = ("pump-1".parse()?, "mds/pump-1".to_owned());
/// let candidate = Candidate { id, level: Some(Level::Vmd), path, name: Some("Syringe pump".into()) };
/// assert_eq!(candidate.to_string(), "`mds/pump-1` (vmd, Syringe pump)");
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Logical id.
    pub id: Id,
    /// Level, if known.
    pub level: Option<Level>,
    /// Labels from the root down to the component.
    pub path: String,
    /// Display name.
    pub name: Option<String>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (", self.path)?;
        match self.level {
            Some(level) => level.fmt(f)?,
            None => f.write_str("level unknown")?,
        }
        match &self.name {
            Some(name) => write!(f, ", {name})"),
            None => f.write_str(")"),
        }
    }
}

/// Failure of a selection.
///
/// ```
/// use fhir_devices::containment::{SelectError, Selector, components, select};
/// let none = select(&components(&[]), &Selector::Any).unwrap_err();
/// assert_eq!(none.to_string(), "the device has no components");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No component matches.
    #[error("{}", none(.wanted, .components))]
    None {
        /// Selector.
        wanted: Selector,
        /// Components of the device, except void ones.
        components: Vec<Candidate>,
    },
    /// Several components match.
    #[error("{} components match, wanted one of {}", .candidates.len(), list(.candidates))]
    Ambiguous {
        /// Selector.
        wanted: Selector,
        /// Matching components.
        candidates: Vec<Candidate>,
    },
}

impl SelectError {
    /// Returns the components that the caller could name instead.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        match self {
            Self::None { components, .. } => components,
            Self::Ambiguous { candidates, .. } => candidates,
        }
    }
}

fn none(wanted: &Selector, components: &[Candidate]) -> String {
    match components {
        [] => "the device has no components".to_owned(),
        some => format!("the device does not have {wanted}, wanted one of {}", list(some)),
    }
}

/// Formats the first candidates, and the number of the others.
fn list(candidates: &[Candidate]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = candidates.iter().take(SHOWN).map(ToString::to_string).collect();
    if candidates.len() > SHOWN {
        shown.push(format!("{} more", candidates.len() - SHOWN));
    }
    shown.join(", ")
}

/// Selects the one component that matches. Components entered in error are ignored, and there is no default: of several
/// matches none is selected, even if one of them has no id to select it by.
///
/// # Errors
/// [`SelectError::None`] when none matches, [`SelectError::Ambiguous`] when several do.
pub fn select<'t, 'a>(tree: &'t Tree<'a>, wanted: &Selector) -> Result<Node<'t, 'a>, SelectError> {
    select_among(tree, wanted, |_| true)
}

/// Selects the one component of a device that matches, in a tree that may also hold others, such as an MDS of another
/// device above it. A component belongs to the device of its source, or else of its parent; without any source, to the
/// given device.
///
/// ```
/// # use fhir_devices::DeviceComponent;
/// # use fhir_devices::containment::{Selector, components, select_of};
/// # let read = |json: &str| DeviceComponent::from_json(json.as_bytes());
/// let all = [
///     read(r#"{"resourceType":"DeviceComponent","id":"ward","identifier":{"value":"1"},"type":{"text":"ward"},
///         "source":{"reference":"Device/ward"}}"#)?,
///     read(r#"{"resourceType":"DeviceComponent","id":"bed","identifier":{"value":"2"},"type":{"text":"bed"},
///         "source":{"reference":"Device/bed"},"parent":{"reference":"DeviceComponent/ward"}}"#)?,
/// ];
/// let tree = components(&all);
/// assert_eq!(select_of(&tree, &Selector::Any, "bed").unwrap().path(), "ward/bed");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
///
/// # Errors
/// As [`select`], with the components of the device only.
pub fn select_of<'t, 'a>(tree: &'t Tree<'a>, wanted: &Selector, device: &str) -> Result<Node<'t, 'a>, SelectError> {
    select_among(tree, wanted, |node| node.is_of(device))
}

fn select_among<'t, 'a>(
    tree: &'t Tree<'a>,
    wanted: &Selector,
    is_of: impl Fn(Node<'_, '_>) -> bool,
) -> Result<Node<'t, 'a>, SelectError> {
    let alive = || tree.nodes().filter(|node| node.component().is_some() && !node.is_void() && is_of(*node));
    let candidate = |node: Node<'_, '_>| {
        let name = node.name().map(str::to_owned);
        Some(Candidate { id: node.id()?.clone(), level: node.level(), path: node.path(), name })
    };
    let mut fitting = alive().filter(|node| wanted.fits(tree, *node));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) if one.id().is_some() => Ok(one),
        (Some(_), Some(_)) => {
            let candidates = alive().filter(|node| wanted.fits(tree, *node)).filter_map(candidate).collect();
            Err(SelectError::Ambiguous { wanted: wanted.clone(), candidates })
        }
        _ => Err(SelectError::None { wanted: wanted.clone(), components: alive().filter_map(candidate).collect() }),
    }
}
