//! Version ranges.

use super::{VersionLabel, VersionScheme};
use std::cmp::Ordering;
use std::fmt;

/// Range of versions of one scheme: bounds, or a list of versions.
///
/// ```
/// use fhir_devices::manifest::{Bounds, VersionRange, VersionScheme};
/// let bounds = Bounds { at_least: Some("2.0".parse()?), below: Some("3.0".parse()?), ..Bounds::default() };
/// let range = VersionRange::between(VersionScheme::Dotted, bounds);
/// assert_eq!(range.to_string(), "at least `2.0` and below `3.0` (dotted)");
/// assert!(range.has("2.10") && !range.has("3.0"));
/// // What the scheme cannot read is not in it.
/// assert!(!range.has("2.x"));
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionRange {
    /// Scheme of the versions.
    pub scheme: VersionScheme,
    /// Bounds of the range; empty where a list is given.
    pub bounds: Bounds,
    /// Versions of the list.
    pub one_of: Vec<VersionLabel>,
}

/// Bounds of a version range; all given bounds must hold.
///
/// ```
/// assert!(fhir_devices::manifest::Bounds::default().is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Inclusive lower bound.
    pub at_least: Option<VersionLabel>,
    /// Inclusive upper bound.
    pub at_most: Option<VersionLabel>,
    /// Exclusive upper bound.
    pub below: Option<VersionLabel>,
}

impl Bounds {
    /// Returns whether no bound is given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at_least.is_none() && self.at_most.is_none() && self.below.is_none()
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &VersionLabel, fn(Ordering) -> bool)> {
        let holds: [fn(Ordering) -> bool; 3] = [Ordering::is_ge, Ordering::is_le, Ordering::is_lt];
        let all = [("at least", &self.at_least), ("at most", &self.at_most), ("below", &self.below)];
        all.into_iter().zip(holds).filter_map(|((words, version), holds)| Some((words, version.as_ref()?, holds)))
    }
}

impl VersionRange {
    /// Creates a range from bounds. In a scheme without an order such a range is empty.
    #[must_use]
    pub const fn between(scheme: VersionScheme, bounds: Bounds) -> Self {
        Self { scheme, bounds, one_of: Vec::new() }
    }

    /// Creates a range of exactly these versions.
    #[must_use]
    pub fn one_of(scheme: VersionScheme, versions: Vec<VersionLabel>) -> Self {
        Self { scheme, bounds: Bounds::default(), one_of: versions }
    }

    /// Returns whether a version is in the range. Without bounds and list, none is.
    #[must_use]
    pub fn has(&self, version: &str) -> bool {
        let compare = |wanted: &VersionLabel| self.scheme.compare_texts(version, wanted.as_str());
        if self.bounds.is_empty() {
            return self.one_of.iter().any(|wanted| compare(wanted) == Some(Ordering::Equal));
        }
        let between = self.bounds.each().all(|(_, bound, holds)| compare(bound).is_some_and(holds));
        between
            && (self.one_of.is_empty() || self.one_of.iter().any(|wanted| compare(wanted).is_some_and(Ordering::is_eq)))
    }

    /// Returns whether the bounds exclude every version.
    pub(super) fn is_hollow(&self) -> bool {
        let Bounds { at_least, at_most, below } = &self.bounds;
        let Some(least) = at_least else { return false };
        let misses = |bound: &Option<VersionLabel>, holds: fn(Ordering) -> bool| {
            bound.as_ref().and_then(|bound| self.scheme.compare(least, bound)).is_some_and(|order| !holds(order))
        };
        misses(at_most, Ordering::is_le) || misses(below, Ordering::is_lt)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = false;
        for (words, version, _) in self.bounds.each() {
            f.write_str(if written { " and " } else { "" })?;
            write!(f, "{words} `{version}`")?;
            written = true;
        }
        if !self.one_of.is_empty() {
            f.write_str(if written { " and one of " } else { "one of " })?;
            for (number, version) in self.one_of.iter().enumerate() {
                write!(f, "{}`{version}`", if number > 0 { ", " } else { "" })?;
            }
        } else if !written {
            f.write_str("no version")?;
        }
        write!(f, " ({})", self.scheme)
    }
}
