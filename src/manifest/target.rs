//! Targets of updates, and the versions that components report.

use super::text::is_hidden;
use crate::containment::{IdentifierQuery, Selector};
use crate::datatype::Identifier;
use crate::nomenclature::Level;
use crate::primitive::Id;
use crate::resource::DeviceComponent;
use crate::resource::device_component::SpecType;
use crate::store::InvalidText;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

/// File name of an update artifact: data, never a path.
///
/// ```
/// use fhir_devices::manifest::ArtifactName;
/// assert!(ArtifactName::new("pump-2.4.bin").is_ok());
/// assert!(ArtifactName::new("../pump.bin").is_err());
/// assert!(ArtifactName::new("C:pump.bin").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct ArtifactName(SmolStr);

impl ArtifactName {
    /// Creates a name: 1 to 128 characters, no `/`, `\`, `:` or control character, and no `.` or white space at either
    /// end.
    ///
    /// # Errors
    /// [`InvalidText`] with the violated condition.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidText> {
        let name = name.as_ref();
        let refuse = |reason| Err(InvalidText::new("the name of a file", name, reason));
        if name.is_empty() || name.chars().count() > 128 {
            return refuse("1 to 128 characters are wanted");
        }
        if name.chars().any(|c| matches!(c, '/' | '\\' | ':')) {
            return refuse("a name is wanted, and no path");
        }
        if name.chars().any(is_hidden) {
            return refuse("no control characters are wanted");
        }
        let at_the_end = |c: char| c == '.' || c.is_whitespace();
        if name.starts_with(at_the_end) || name.ends_with(at_the_end) {
            return refuse("no `.` and no white space is wanted at either end");
        }
        Ok(Self(SmolStr::new(name)))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ArtifactName {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        Self::new(name)
    }
}

/// Target component of an update in its manifest: the only component that matches all given members.
///
/// A [`Selector`](crate::containment::Selector) is chosen by a sender and takes any one criterion; this type has the
/// members of a manifest, all of which must match, and [`selector`](Self::selector) converts it into one.
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// use fhir_devices::manifest::Target;
/// let target = Target { level: Some(Level::Vmd), code: Some(69_986), ..Target::default() };
/// assert_eq!(target.selector().to_string(), "the component of level `vmd` and the component with the code `69986`");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Level in the containment tree.
    pub level: Option<Level>,
    /// ISO/IEEE 11073-10101 code.
    pub code: Option<u32>,
    /// Identifier, which distinguishes several components of a kind.
    pub identifier: Option<IdentifierQuery>,
    /// Software item of the component.
    pub item: Option<IdentifierQuery>,
    /// Logical id.
    pub component: Option<Id>,
}

impl Target {
    /// Returns whether no field is given, so that no component matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Converts the target into a selector.
    #[must_use]
    pub fn selector(&self) -> Selector {
        let Self { level, code, identifier, item, component } = self;
        let all = [
            component.clone().map(Selector::Component),
            level.map(Selector::Level),
            code.map(Selector::Code),
            identifier.clone().map(Selector::Identifier),
            item.clone().map(Selector::Item),
        ];
        Selector::All(all.into_iter().flatten().collect())
    }
}

/// Kind of version that a component reports as a production specification.
///
/// ```
/// use fhir_devices::manifest::ProductionSpec;
/// assert_eq!(ProductionSpec::Firmware.as_str(), "firmware");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum ProductionSpec {
    /// Hardware revision.
    Hardware,
    /// Software revision.
    Software,
    /// Firmware revision.
    Firmware,
    /// Protocol revision.
    Protocol,
}

/// Error for text that is not the name of a [`ProductionSpec`].
///
/// ```
/// let error = "serial".parse::<fhir_devices::manifest::ProductionSpec>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not a kind of version, wanted hardware, software, firmware or protocol");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a kind of version, wanted hardware, software, firmware or protocol")]
#[non_exhaustive]
pub struct InvalidProductionSpec;

impl FromStr for ProductionSpec {
    type Err = InvalidProductionSpec;

    fn from_str(name: &str) -> Result<Self, InvalidProductionSpec> {
        Self::ALL.into_iter().find(|spec| spec.as_str() == name).ok_or(InvalidProductionSpec)
    }
}

impl ProductionSpec {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Hardware, Self::Software, Self::Firmware, Self::Protocol];

    /// Returns the name in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Software => "software",
            Self::Firmware => "firmware",
            Self::Protocol => "protocol",
        }
    }

    /// Returns the FHIR code, such as `software-revision` for [`ProductionSpec::Software`].
    #[must_use]
    pub const fn specification_type(self) -> &'static str {
        self.spec_type().as_str()
    }

    pub(crate) const fn spec_type(self) -> SpecType {
        match self {
            Self::Hardware => SpecType::HardwareRevision,
            Self::Software => SpecType::SoftwareRevision,
            Self::Firmware => SpecType::FirmwareRevision,
            Self::Protocol => SpecType::ProtocolRevision,
        }
    }

    /// Returns the values that a component reports for this kind: each `productionSpec` of the type, of one software
    /// item or of all. A type without a code system matches by its code, as in the examples of FHIR.
    ///
    /// ```
    /// # use fhir_devices::{DeviceComponent, manifest::ProductionSpec};
    /// let component = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
    ///     "type":{"text":"pump"},"productionSpecification":[{"productionSpec":"1.12",
    ///     "specType":{"coding":[{"system":"http://hl7.org/fhir/specification-type","code":"software-revision"}]}}]}"#)?;
    /// assert_eq!(ProductionSpec::Software.observed(&component, None).collect::<Vec<_>>(), ["1.12"]);
    /// assert_eq!(ProductionSpec::Firmware.observed(&component, None).count(), 0);
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    pub fn observed<'c>(
        self,
        component: &'c DeviceComponent,
        item: Option<&'c IdentifierQuery>,
    ) -> impl Iterator<Item = &'c str> + use<'c> {
        specifications(component, self.spec_type(), item)
    }
}

/// Returns the part numbers that a component reports.
pub(super) fn part_numbers(component: &DeviceComponent) -> impl Iterator<Item = &str> {
    specifications(component, SpecType::PartNumber, None)
}

fn specifications<'c>(
    component: &'c DeviceComponent,
    of: SpecType,
    item: Option<&'c IdentifierQuery>,
) -> impl Iterator<Item = &'c str> + use<'c> {
    let of_item = move |found: Option<&Identifier>| match item {
        None => true,
        Some(item) => found.is_some_and(|found| item.fits(found)),
    };
    let all = component.production_specification.iter();
    let fitting = all.filter(move |one| one.is_about(of) && of_item(one.component_id.as_ref()));
    fitting.filter_map(|one| Some(one.production_spec.as_ref()?.value.as_ref()?.as_str()))
}

impl fmt::Display for ProductionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Components that a requirement is about, relative to the target.
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// use fhir_devices::manifest::RequirementScope;
/// assert_eq!(RequirementScope::Ancestor(Level::Mds).to_string(), "the mds above");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequirementScope {
    /// The target itself.
    Itself,
    /// The parent.
    Parent,
    /// The nearest ancestor of a level.
    Ancestor(Level),
    /// The other children of the parent.
    Sibling,
    /// The direct children.
    Child,
    /// The root of the tree.
    DeviceRoot,
}

impl RequirementScope {
    /// Returns the name in manifests. The level of an ancestor is a member of its own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::Parent => "parent",
            Self::Ancestor(_) => "ancestor",
            Self::Sibling => "sibling",
            Self::Child => "child",
            Self::DeviceRoot => "device-root",
        }
    }
}

impl fmt::Display for RequirementScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("the component itself"),
            Self::Parent => f.write_str("the parent"),
            Self::Ancestor(level) => write!(f, "the {level} above"),
            Self::Sibling => f.write_str("each sibling"),
            Self::Child => f.write_str("each child"),
            Self::DeviceRoot => f.write_str("the component at the top"),
        }
    }
}

/// Urgency of an update.
///
/// ```
/// use fhir_devices::manifest::Urgency;
/// assert!(Urgency::Routine < Urgency::SafetyCorrection);
/// assert_eq!(Urgency::SecurityFix.as_str(), "security-fix");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Urgency {
    /// Install at a convenient time.
    Routine,
    /// The update fixes a vulnerability.
    SecurityFix,
    /// The update corrects a hazard.
    SafetyCorrection,
}

impl Urgency {
    /// All urgencies, the most urgent last.
    pub const ALL: [Self; 3] = [Self::Routine, Self::SecurityFix, Self::SafetyCorrection];

    /// Returns the name in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routine => "routine",
            Self::SecurityFix => "security-fix",
            Self::SafetyCorrection => "safety-correction",
        }
    }
}
