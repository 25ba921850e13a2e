//! Options of a conversion.

use crate::primitive::CanonicalBase;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A version of FHIR that devices are converted from and to.
///
/// ```
/// use fhir_devices::convert::Version;
///
/// assert_eq!("r4b".parse(), Ok(Version::R4B));
/// assert_eq!(Version::from_mime("4.0"), Some(Version::R4));
/// assert_eq!(Version::R5.number(), "5.0.0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// FHIR STU3, 3.0.2: the version of the model of this crate.
    Stu3,
    /// FHIR R4, 4.0.1.
    R4,
    /// FHIR R4B, 4.3.0.
    R4B,
    /// FHIR R5, 5.0.0.
    R5,
}

/// A text that names no version of FHIR that is converted.
///
/// ```
/// let error = "r6".parse::<fhir_devices::convert::Version>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not a version of FHIR, wanted stu3, r4, r4b or r5");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a version of FHIR, wanted stu3, r4, r4b or r5")]
#[non_exhaustive]
pub struct NotAVersion;

impl Version {
    /// Every version, the oldest first.
    pub const ALL: [Self; 4] = [Self::Stu3, Self::R4, Self::R4B, Self::R5];

    /// Returns the name: `stu3`, `r4`, `r4b` or `r5`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stu3 => "stu3",
            Self::R4 => "r4",
            Self::R4B => "r4b",
            Self::R5 => "r5",
        }
    }

    /// Returns the number of the publication, such as `4.0.1`.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Stu3 => "3.0.2",
            Self::R4 => "4.0.1",
            Self::R4B => "4.3.0",
            Self::R5 => "5.0.0",
        }
    }

    /// Returns the version that the MIME type parameter `fhirVersion` names: `3.0`, `4.0`, `4.3` or `5.0`.
    #[must_use]
    pub fn from_mime(parameter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.mime() == parameter)
    }

    /// Returns the value of the MIME type parameter `fhirVersion`, such as `4.0`.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Stu3 => "3.0",
            Self::R4 => "4.0",
            Self::R4B => "4.3",
            Self::R5 => "5.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(name: &str) -> Result<Self, NotAVersion> {
        Self::ALL.into_iter().find(|version| version.as_str() == name).ok_or(NotAVersion)
    }
}

/// The policy for the ids of components, which are Devices from R4 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdPolicy {
    /// Keep their ids. A Bundle with `Device/x` and `DeviceComponent/x` is refused then.
    #[default]
    Keep,
    /// Prepend this prefix to the id. It is a pure function of the id, so that documents that are converted one by
    /// one agree.
    Prefix(String),
}

/// Which Devices of R4 and later are converted to components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Components {
    /// The Devices that say so: by the tag that this crate writes, by one of the code system `resource-types`, or by an
    /// extension for an element of DeviceComponent.
    #[default]
    Marked,
    /// The marked Devices, and those whose type is a VMD or a channel by its code of ISO/IEEE 11073-10101.
    ByLevel,
}

/// The meaning of `device` of a DeviceMetric of R5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricDevice {
    /// The component that the metric belongs to: `parent`.
    #[default]
    Parent,
    /// The device that it is measured by: `source`. Personal health devices have no parent.
    Source,
}

/// The policy for the link of a top-level component to its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkPolicy {
    /// The reference as it is written: `source` stays a carried element, and `parent` leads to a component.
    #[default]
    AsWritten,
    /// By `source` in STU3 and by `parent` in R4 and later: a component without `parent` gets its `source` for one, and
    /// a VMD whose `parent` is a Device gets it for its `source`.
    Source,
}

/// The code systems of identifier types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeSystems {
    /// The ids are kept.
    #[default]
    Keep,
    /// The systems of the version converted to: `http://hl7.org/fhir/v2/0203` and `http://hl7.org/fhir/identifier-type` in
    /// STU3, `http://terminology.hl7.org/CodeSystem/v2-0203` from R4 on.
    Rewrite,
}

/// Something that a version has no place for, not even in an extension.
///
/// A document that has it is refused, unless [`Options::allow`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Loss {
    /// A modifier extension on an element that has to be carried in an extension.
    ModifierExtension,
    /// An extension whose value has a type that the version has not.
    ValueType,
    /// A search in a request of a Bundle that asks by a parameter that Device has not in R4.
    Query,
    /// `Bundle.issues` of R5.
    Issues,
    /// `Device/x` and `DeviceComponent/x` in one Bundle: both are `Device/x` in R4.
    Collision,
}

impl Loss {
    /// Every loss.
    pub const ALL: [Self; 5] = [Self::ModifierExtension, Self::ValueType, Self::Query, Self::Issues, Self::Collision];
}

/// Options of a conversion. The default loses nothing and assumes nothing.
///
/// ```
/// use fhir_devices::convert::{Components, IdPolicy, Options};
///
/// let options = Options::default().ids(IdPolicy::Prefix("dc-".to_owned())).components(Components::ByLevel);
/// assert_eq!(options.ids, IdPolicy::Prefix("dc-".to_owned()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Which ids components have in R4 and later.
    pub ids: IdPolicy,
    /// Which Devices are taken for components.
    pub components: Components,
    /// The value of `device` of a DeviceMetric of R5.
    pub metric_device: MetricDevice,
    /// The link of the component at the top to its device.
    pub links: LinkPolicy,
    /// The code systems of identifier types.
    pub code_systems: CodeSystems,
    /// The base of the code system of the tag that marks components.
    pub base: CanonicalBase,
    /// The losses that are permitted.
    pub allow: BTreeSet<Loss>,
}

impl Options {
    /// Sets the policy for the ids of components.
    #[must_use]
    pub fn ids(mut self, ids: IdPolicy) -> Self {
        self.ids = ids;
        self
    }

    /// Sets which Devices are converted to components.
    #[must_use]
    pub const fn components(mut self, components: Components) -> Self {
        self.components = components;
        self
    }

    /// Sets the meaning of `device` of a DeviceMetric of R5.
    #[must_use]
    pub const fn metric_device(mut self, device: MetricDevice) -> Self {
        self.metric_device = device;
        self
    }

    /// Sets the policy for the link of a top-level component.
    #[must_use]
    pub const fn links(mut self, links: LinkPolicy) -> Self {
        self.links = links;
        self
    }

    /// Sets the code systems of identifier types.
    #[must_use]
    pub const fn code_systems(mut self, code_systems: CodeSystems) -> Self {
        self.code_systems = code_systems;
        self
    }

    /// Sets the base of the code system of the tag that marks components.
    #[must_use]
    pub fn base(mut self, base: CanonicalBase) -> Self {
        self.base = base;
        self
    }

    /// Allows these losses.
    #[must_use]
    pub fn allow(mut self, losses: impl IntoIterator<Item = Loss>) -> Self {
        self.allow.extend(losses);
        self
    }
}
