//! Targets of updates and the versions that components report.

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

/// The name of a file of an update: data, and never a path.
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
    /// Checks a name: 1 to 128 characters, none of which parts folders, drives or lines, and no `.` at either end.
    ///
    /// # Errors
    /// [`InvalidText`], which says what is wanted.
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

/// Which component an update is for, as its manifest says: the only one that has all of what is named.
///
/// A [`Selector`](crate::containment::Selector) is what a sender chooses by, and takes any one criterion; this type has the
/// members that a manifest may have, all of which must match, and [`selector`](Self::selector) turns it into one.
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// use fhir_devices::manifest::Target;
/// let target = Target { level: Some(Level::Vmd), code: Some(69_986), ..Target::default() };
/// assert_eq!(target.selector().to_string(), "the component of level `vmd` and the component with the code `69986`");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its level.
    pub level: Option<Level>,
    /// Its code in ISO/IEEE 11073-10101, as a number.
    pub code: Option<u32>,
    /// Its identifier, which tells several of a kind apart.
    pub identifier: Option<IdentifierQuery>,
    /// The software item that it has.
    pub item: Option<IdentifierQuery>,
    /// Its logical id.
    pub component: Option<Id>,
}

impl Target {
    /// Returns whether no field is given, so that no component matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same as a selector.
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

/// A version that a component reports as a production specification.
///
/// ```
/// use fhir_devices::manifest::ProductionSpec;
/// assert_eq!(ProductionSpec::Firmware.as_str(), "firmware");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum ProductionSpec {
    /// The revision of its hardware.
    Hardware,
    /// The revision of its software.
    Software,
    /// The revision of its firmware.
    Firmware,
    /// The revision of the protocol that it speaks.
    Protocol,
}

/// A text that names no version of a component.
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
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Hardware, Self::Software, Self::Firmware, Self::Protocol];

    /// Returns the name, as it stands in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Software => "software",
            Self::Firmware => "firmware",
            Self::Protocol => "protocol",
        }
    }

    /// Returns the code of FHIR: `software-revision` for [`ProductionSpec::Software`].
    #[must_use]
    pub const fn specification_type(self) -> &'static str {
        self.spec_type().as_str()
    }

    const fn spec_type(self) -> SpecType {
        match self {
            Self::Hardware => SpecType::HardwareRevision,
            Self::Software => SpecType::SoftwareRevision,
            Self::Firmware => SpecType::FirmwareRevision,
            Self::Protocol => SpecType::ProtocolRevision,
        }
    }

    /// Returns what a component reports as this version: each `productionSpec` of the type, of one software item or of
    /// all. A type without a code system is taken by its code, as the examples of FHIR have it.
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

/// The components that a requirement is about, relative to the target.
///
/// ```
/// use fhir_devices::nomenclature::Level;
/// use fhir_devices::manifest::RequirementScope;
/// assert_eq!(RequirementScope::Ancestor(Level::Mds).to_string(), "the mds above");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequirementScope {
    /// Itself.
    Itself,
    /// The one above.
    Parent,
    /// The nearest one above of a level.
    Ancestor(Level),
    /// The others below the one above.
    Sibling,
    /// Those directly below.
    Child,
    /// The one at the top of its tree.
    DeviceRoot,
}

impl RequirementScope {
    /// Returns the name, as it stands in manifests. The level of an ancestor stands beside it.
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

/// How urgent an update is.
///
/// ```
/// use fhir_devices::manifest::Urgency;
/// assert!(Urgency::Routine < Urgency::SafetyCorrection);
/// assert_eq!(Urgency::SecurityFix.as_str(), "security-fix");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Urgency {
    /// At a convenient time.
    Routine,
    /// The update fixes a vulnerability.
    SecurityFix,
    /// The update corrects a hazard.
    SafetyCorrection,
}

impl Urgency {
    /// Every one, the most urgent last.
    pub const ALL: [Self; 3] = [Self::Routine, Self::SecurityFix, Self::SafetyCorrection];

    /// Returns the name, as it stands in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routine => "routine",
            Self::SecurityFix => "security-fix",
            Self::SafetyCorrection => "safety-correction",
        }
    }
}
