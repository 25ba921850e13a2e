//! The path of an element in a document.

use std::fmt;

/// A path in a document, in FHIR's names: `DeviceMetric.calibration[1].state`.
///
/// A path borrows from its parent and is built on the stack while a document is walked, so that an unused path costs
/// nothing. [`Display`](fmt::Display) writes it as a FHIRPath expression.
///
/// ```
/// use fhir_devices::issue::Path;
///
/// let root = Path::root("DeviceMetric");
/// let calibration = root.item("calibration", 1);
/// assert_eq!(calibration.child("state").to_string(), "DeviceMetric.calibration[1].state");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Path<'p> {
    up: Option<&'p Path<'p>>,
    name: &'p str,
    index: Option<usize>,
}

impl<'p> Path<'p> {
    /// Creates the root path, named for the resource type.
    #[must_use]
    pub const fn root(name: &'p str) -> Self {
        Self { up: None, name, index: None }
    }

    /// Returns the path of the member `name`.
    #[must_use]
    pub const fn child<'c>(&'c self, name: &'c str) -> Path<'c> {
        Path { up: Some(self), name, index: None }
    }

    /// Returns the path of item `index` of the repeating member `name`.
    #[must_use]
    pub const fn item<'c>(&'c self, name: &'c str, index: usize) -> Path<'c> {
        Path { up: Some(self), name, index: Some(index) }
    }

    /// Returns the same path as an item of a repeating member.
    #[must_use]
    pub const fn indexed(&self, index: usize) -> Self {
        Self { up: self.up, name: self.name, index: Some(index) }
    }

    /// Returns whether the path names one item of a repeating member.
    #[must_use]
    pub const fn is_item(&self) -> bool {
        self.index.is_some()
    }

    /// Returns the last name of the path.
    #[must_use]
    pub const fn name(&self) -> &'p str {
        self.name
    }

    /// Returns the parent path.
    #[must_use]
    pub const fn parent(&self) -> Option<&'p Path<'p>> {
        self.up
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(up) = self.up {
            write!(f, "{up}.")?;
        }
        f.write_str(self.name)?;
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}
