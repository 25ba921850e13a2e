//! Containment rules, and their severity in each profile.

use crate::issue::{IssueType, Severity};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Profile by which a tree is checked.
///
/// ```
/// use fhir_devices::containment::{Profile, ContainmentRule};
/// use fhir_devices::Severity;
/// assert_eq!("pocd".parse(), Ok(Profile::Pocd));
/// assert_eq!(ContainmentRule::VmdBelowMds.severity(Profile::Base), Some(Severity::Warning));
/// assert_eq!(ContainmentRule::VmdBelowMds.severity(Profile::Pocd), Some(Severity::Error));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum Profile {
    /// FHIR STU3 only, which requires little: most findings are warnings.
    #[default]
    Base,
    /// Point-of-care devices: the levels, sources and parents that the profiles of Devices on FHIR require.
    Pocd,
}

impl Profile {
    /// Returns the name: `base` or `pocd`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pocd => "pocd",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Error for text that is not the name of a profile.
///
/// ```
/// let error = "phd".parse::<fhir_devices::containment::Profile>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not a profile, wanted base or pocd");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a profile, wanted base or pocd")]
#[non_exhaustive]
pub struct NotAProfile;

impl FromStr for Profile {
    type Err = NotAProfile;

    fn from_str(name: &str) -> Result<Self, NotAProfile> {
        [Self::Base, Self::Pocd].into_iter().find(|profile| profile.as_str() == name).ok_or(NotAProfile)
    }
}

macro_rules! rules {
    ($( $Name:ident $key:literal $base:ident $pocd:ident $kind:ident $text:literal; )*) => {
        /// Rule for a containment tree. Keys such as `CT-01` belong to rules drawn from ISO/IEEE 11073-10201, its
        /// successors and the FHIR profiles for point-of-care devices; the other rules are this crate's.
        ///
        /// ```
        /// use fhir_devices::containment::ContainmentRule;
        /// assert_eq!(ContainmentRule::Acyclic.key(), "CT-01");
        /// assert!(ContainmentRule::ALL.iter().all(|rule| !rule.text().is_empty()));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ContainmentRule {
            $( #[doc = $text] $Name, )*
        }

        impl ContainmentRule {
            /// Every rule that is checked.
            pub const ALL: &'static [Self] = &[$(Self::$Name),*];

            /// Returns the key of the rule in findings.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$Name => $key),* }
            }

            /// Returns the requirement of the rule.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$Name => $text),* }
            }

            /// Returns the severity of a violation; `None` where the profile does not have the rule.
            #[must_use]
            pub const fn severity(self, profile: Profile) -> Option<Severity> {
                match (self, profile) {
                    $(
                        (Self::$Name, Profile::Base) => grade!($base),
                        (Self::$Name, Profile::Pocd) => grade!($pocd),
                    )*
                }
            }

            /// Returns the FHIR issue type of a violation.
            #[must_use]
            pub const fn kind(self) -> IssueType {
                match self { $(Self::$Name => IssueType::$kind),* }
            }
        }
    };
}

macro_rules! grade {
    (error) => {
        Some(Severity::Error)
    };
    (warning) => {
        Some(Severity::Warning)
    };
    (info) => {
        Some(Severity::Information)
    };
    (none) => {
        None
    };
}

rules! {
    Acyclic "CT-01" error error BusinessRule "no component is its own ancestor";
    ParentType "CT-02" error error Value "the parent of a component is a DeviceComponent";
    MetricTargets "CT-03" error error Value "the parent of a metric is a DeviceComponent, its source a Device";
    Resolvable "CT-04" info warning NotFound "parent and source are among the resources that are given";
    VmdBelowMds "CT-05" warning error BusinessRule "the parent of a VMD is an MDS";
    VmdHasParent "CT-06" warning error Required "a VMD has a parent";
    ChannelBelowVmd "CT-07" warning error BusinessRule "the parent of a channel is a VMD";
    ChannelHasParent "CT-08" warning error Required "a channel has a parent";
    MdsBelowMds "CT-09" warning error BusinessRule "an MDS has no parent, or an MDS";
    MetricBelowChannel "CT-10" warning error BusinessRule "the parent of a metric is a channel";
    MetricHasParent "CT-11" info error Required "a metric has a parent";
    MetricHasSource "CT-12" info error Required "a metric has a source";
    ComponentHasSource "CT-13" info error Required "a component has a source";
    OneSource "CT-14" warning error BusinessRule "a component has the source of its parent";
    MetricSource "CT-15" warning error BusinessRule "a metric has the source of the components above it";
    Depth "CT-16" warning error BusinessRule "components stand three deep, below a composite MDS four";
    ChannelHoldsMetrics "CT-17" warning error BusinessRule "a channel has no components below it";
    MdsHasVmd "CT-18" info warning Incomplete "an MDS has a VMD";
    VmdHasChannel "CT-19" info warning Incomplete "a VMD has a channel";
    MdcType "CT-20" info error CodeInvalid "the type of a component has a code of ISO/IEEE 11073-10101";
    ContextFree "CT-21" warning error CodeInvalid "a code of ISO/IEEE 11073-10101 is a number of 65536 or more";
    NotGeneric "CT-22" info warning CodeInvalid "the code of a component says its level";
    SuffixAgrees "CT-23" warning warning CodeInvalid "the level of the reference id is that of the code";
    NoMetricCode "CT-24" warning error CodeInvalid "the type of a component is not the code of a metric or a unit";
    NoDeviceCode "CT-25" warning error CodeInvalid "the type of a metric is not the code of a device";
    UnitCode "CT-26" warning error CodeInvalid "the unit of a metric is the code of a unit";
    UniqueIdentifier "CT-27" warning error Duplicate "the components of a device have different identifiers";
    WholeSpecification "CT-28" warning warning Incomplete "a production specification has its type and its text";
    OneSerialNumber "CT-29" warning warning Duplicate "a component has one serial number of its own";
    OneStatus "CT-30" warning warning BusinessRule "a component is not on and off at once, and an error stands alone";
    PartBelowMds "CT-31" none info BusinessRule "batteries, the one clock and the one SCO stand below an MDS, an SCO also below a VMD";
    CalibrationTime "CT-34" info info Incomplete "what is calibrated says when that was done";
    SerialNumber "CT-35" warning warning BusinessRule "the serial number of an MDS is that of its Device, by identifier or UDI";
    SourceType "source-type" error error Value "the source of a component is a Device";
    UniqueId "unique-id" warning error Duplicate "a resource is given once";
    OneTarget "one-target" warning error Duplicate "parent and source name one resource and no other";
    OneRoot "one-root" warning error BusinessRule "a Device has one component at the top";
    CodesAgree "codes-agree" warning error CodeInvalid "the codes of a component say the same level";
    StatedLevel "stated-level" info warning Incomplete "the type of a component says its level, not its place alone";
}

impl fmt::Display for ContainmentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}
