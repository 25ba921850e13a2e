//! Check whether a component may be the target of an update.

use super::node_record::LinkState;
use super::tree::Node;
use crate::nomenclature::Level;
use std::fmt;

/// Reason why the selected component cannot be the target of an update.
///
/// ```
/// use fhir_devices::DeviceComponent;
/// use fhir_devices::containment::{UnfitTargetReason, components};
/// let json = br#"{"resourceType":"DeviceComponent","id":"v","identifier":{"value":"1"},"type":{"text":"pump"},
///     "parent":{"reference":"DeviceComponent/gone"}}"#;
/// let all = [DeviceComponent::from_json(json)?];
/// let unfit = components(&all).get("v").unwrap().may_be_target().unwrap_err();
/// assert_eq!(unfit.reason, UnfitTargetReason::NoParent);
/// assert_eq!(unfit.to_string(), "the component `v` cannot be a target: the parent of `v` is not known");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the component `{path}` cannot be a target: {}", self.why())]
#[non_exhaustive]
pub struct UnfitTarget {
    /// Labels from the root down to the component.
    pub path: String,
    /// Labels from the root down to the component with the problem: the component itself or an ancestor.
    pub at: String,
    /// Kind of problem.
    pub reason: UnfitTargetReason,
}

/// Kind of problem that excludes a component as a target.
///
/// ```
/// use fhir_devices::containment::UnfitTargetReason;
/// assert_eq!(UnfitTargetReason::Cycle.to_string(), "circle");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnfitTargetReason {
    /// The resource is a device or a metric.
    NoComponent,
    /// The component or an ancestor was entered in error.
    EnteredInError,
    /// Several resources have its URL or id.
    DuplicateId,
    /// A parent in its chain is missing, of another type, or ambiguous.
    NoParent,
    /// Its parents form a cycle.
    Cycle,
    /// The component or an ancestor has a source other than its parent's. An MDS below an MDS may have its own.
    OtherSource,
    /// The levels do not descend: a component is below one of its own level or of a deeper one. An MDS may be below an
    /// MDS, and a level may be left out.
    Levels,
}

impl UnfitTargetReason {
    /// Returns the name in kebab-case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoComponent => "no-component",
            Self::EnteredInError => "entered-in-error",
            Self::DuplicateId => "duplicate",
            Self::NoParent => "no-parent",
            Self::Cycle => "circle",
            Self::OtherSource => "other-source",
            Self::Levels => "levels",
        }
    }
}

impl fmt::Display for UnfitTargetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl UnfitTarget {
    fn why(&self) -> String {
        let at = &self.at;
        match self.reason {
            UnfitTargetReason::NoComponent => "it is not a DeviceComponent".to_owned(),
            UnfitTargetReason::EnteredInError => format!("`{at}` was entered in error"),
            UnfitTargetReason::DuplicateId => format!("`{at}` is given more than once"),
            UnfitTargetReason::NoParent => format!("the parent of `{at}` is not known"),
            UnfitTargetReason::Cycle => format!("`{at}` is below itself"),
            UnfitTargetReason::OtherSource => format!("the source of `{at}` is not that of its parent"),
            UnfitTargetReason::Levels => format!("the level of `{at}` is not below that of its parent"),
        }
    }
}

impl Node<'_, '_> {
    /// Checks that an update may be attached to the node: it is a component that was not entered in error, and its
    /// ancestors lead to a root, each of a higher level and the same source; an MDS below an MDS may have a source of
    /// its own.
    ///
    /// Missing data forbids nothing: a component without a source has that of its parent, and an unknown level is
    /// neither higher nor lower.
    ///
    /// # Errors
    /// [`UnfitTarget`] with the first problem on the way to the root.
    pub fn may_be_target(self) -> Result<(), UnfitTarget> {
        if self.component().is_none() {
            return Err(self.unfit(self, UnfitTargetReason::NoComponent));
        }
        if self.record().marks.is_doubled() {
            return Err(self.unfit(self, UnfitTargetReason::DuplicateId));
        }
        for node in std::iter::once(self).chain(self.ancestors()) {
            if let Some(reason) = node.problem() {
                return Err(self.unfit(node, reason));
            }
        }
        Ok(())
    }

    fn unfit(self, at: Self, reason: UnfitTargetReason) -> UnfitTarget {
        UnfitTarget { path: self.path(), at: at.path(), reason }
    }

    fn problem(self) -> Option<UnfitTargetReason> {
        let marks = self.record().marks;
        if marks.is_void() {
            return Some(UnfitTargetReason::EnteredInError);
        }
        match marks.parent_state() {
            LinkState::Missing | LinkState::Ambiguous | LinkState::WrongType => {
                return Some(UnfitTargetReason::NoParent);
            }
            LinkState::Cut => return Some(UnfitTargetReason::Cycle),
            LinkState::Absent | LinkState::Linked | LinkState::Plain | LinkState::Open => {}
        }
        if marks.source_differs() {
            return Some(UnfitTargetReason::OtherSource);
        }
        let (above, own) = (self.parent()?.level()?, self.level()?);
        let descends = own > above || (own == Level::Mds && above == Level::Mds);
        (!descends).then_some(UnfitTargetReason::Levels)
    }
}
