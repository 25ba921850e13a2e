//! Which of the components of a device somebody means: exactly one, or a refusal that lists them.

use super::tree::{Member, Tree};
use crate::nomenclature::Level;
use crate::primitive::Id;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How somebody says which component they mean.
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// use fhir_devices::reference::Selector;
/// assert_eq!(Selector::Level(Level::Vmd).to_string(), "the component of level `vmd`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Selector {
    /// The component of this id.
    Component(Id),
    /// The only component of this level.
    Level(Level),
    /// The component of this id; where there is none and the text is a level, the only component of that level.
    Named(Id),
    /// The only component that there is.
    Any,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(id) => write!(f, "the component `{id}`"),
            Self::Level(level) => write!(f, "the component of level `{level}`"),
            Self::Named(name) => write!(f, "the component or level `{name}`"),
            Self::Any => f.write_str("the only component"),
        }
    }
}

/// A component that could have been meant.
///
/// ```
/// use fhir_devices::{nomenclature::Level, reference::Candidate};
/// let (id, path) = ("pump-1".parse()?, "mds/pump-1".to_owned());
/// let candidate = Candidate { id, level: Some(Level::Vmd), path, name: Some("Syringe pump".into()) };
/// assert_eq!(candidate.to_string(), "`mds/pump-1` (vmd, Syringe pump)");
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its logical id.
    pub id: Id,
    /// Its level, where anything says it.
    pub level: Option<Level>,
    /// The ids from the top down to it.
    pub path: String,
    /// What it is called.
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

/// Why no component was selected.
///
/// ```
/// use fhir_devices::reference::{SelectError, Selector, components, select};
/// let none = select(&components(&[]), &Selector::Any).unwrap_err();
/// assert_eq!(none.to_string(), "the device has no components");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No component is the one that was meant.
    #[error("{}", none(.wanted, .components))]
    None {
        /// What was asked for.
        wanted: Selector,
        /// The components that there are, without void ones.
        components: Vec<Candidate>,
    },
    /// More than one component may have been meant.
    #[error("{} components may be meant, wanted one of {}", .candidates.len(), list(.candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: Selector,
        /// The components that it fits.
        candidates: Vec<Candidate>,
    },
}

impl SelectError {
    /// The components of which one could be named instead.
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

/// The first ones; a message is no place for more.
fn list(candidates: &[Candidate]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = candidates.iter().take(SHOWN).map(ToString::to_string).collect();
    if candidates.len() > SHOWN {
        shown.push(format!("{} more", candidates.len() - SHOWN));
    }
    shown.join(", ")
}

/// The one component that is meant. Components entered in error are never meant, and there is no default.
///
/// # Errors
/// [`SelectError::None`] when none fits, [`SelectError::Ambiguous`] when several do.
pub fn select<'t>(tree: &'t Tree, wanted: &Selector) -> Result<&'t Member, SelectError> {
    match wanted {
        Selector::Component(id) => only(tree, wanted, |member| member.id == *id),
        Selector::Level(level) => only(tree, wanted, |member| member.level() == Some(*level)),
        Selector::Named(name) => match name.as_str().parse::<Level>() {
            Ok(level) if tree.get(name.as_str()).is_none() => {
                only(tree, wanted, |member| member.level() == Some(level))
            }
            _ => only(tree, wanted, |member| member.id == *name),
        },
        Selector::Any => only(tree, wanted, |_| true),
    }
}

fn only<'t>(tree: &'t Tree, wanted: &Selector, fits: impl Fn(&Member) -> bool) -> Result<&'t Member, SelectError> {
    let alive = || tree.members().filter(|member| !member.is_void);
    let candidate = |member: &Member| Candidate {
        id: member.id.clone(),
        level: member.level(),
        path: tree.path(member),
        name: member.name.clone(),
    };
    let mut fitting = alive().filter(|member| fits(member));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(SelectError::None { wanted: wanted.clone(), components: alive().map(candidate).collect() }),
        (Some(_), Some(_)) => {
            let candidates = alive().filter(|member| fits(member)).map(candidate).collect();
            Err(SelectError::Ambiguous { wanted: wanted.clone(), candidates })
        }
    }
}
