//! Contents of an update manifest.

use super::{
    ArtifactName, DowngradeAuthorization, ProductionSpec, ProviderId, RequirementScope, Target, UpdateName, Urgency,
    VersionLabel, VersionRange, VersionScheme,
};
use crate::containment::IdentifierQuery;
use crate::issue::Report;
use crate::primitive::{Code, Text};
use crate::store::{BlobRef, Sha256};
use time::OffsetDateTime;

/// Identity of an update.
///
/// ```
/// use fhir_devices::manifest::{UpdateIdentity, VersionScheme};
/// let identity = UpdateIdentity {
///     provider: "acme".parse()?,
///     name: "pump/main".parse()?,
///     version: "2.4.0".parse()?,
///     scheme: VersionScheme::Semver,
/// };
/// assert_eq!(identity.to_string(), "acme pump/main 2.4.0");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateIdentity {
    /// Provider of the update.
    pub provider: ProviderId,
    /// Name of the update, the same in every version.
    pub name: UpdateName,
    /// Version of the update.
    pub version: VersionLabel,
    /// Scheme of the version.
    pub scheme: VersionScheme,
}

impl std::fmt::Display for UpdateIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.provider, self.name, self.version)
    }
}

/// Rule for devices that an update is compatible with: all given fields must match. One matching rule is enough.
///
/// ```
/// use fhir_devices::manifest::CompatibilityRule;
/// let rule = CompatibilityRule { model: Some("P9".parse()?), ..CompatibilityRule::default() };
/// assert!(!rule.is_empty());
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompatibilityRule {
    /// `Device.manufacturer`, compared exactly.
    pub manufacturer: Option<Text>,
    /// `Device.model`, compared exactly.
    pub model: Option<Text>,
    /// Code among the types of the component or of its device: a vendor's class.
    pub class: Option<IdentifierQuery>,
    /// ISO/IEEE 11073-10101 code of the component.
    pub code: Option<u32>,
    /// Part number of the component, compared exactly.
    pub part_number: Option<Text>,
    /// Range of the hardware revision of the component.
    pub hardware: Option<VersionRange>,
}

impl CompatibilityRule {
    /// Returns whether no field is given, so that the rule matches no device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Version that components must have before an update.
///
/// ```
/// use fhir_devices::manifest::{Bounds, Requirement, RequirementScope, ProductionSpec, VersionRange, VersionScheme, RequiredValue};
/// let bounds = Bounds { at_least: Some("3.1".parse()?), ..Bounds::default() };
/// let wanted = RequiredValue::Range(VersionRange::between(VersionScheme::Dotted, bounds));
/// let requirement = Requirement { scope: RequirementScope::Parent, of: None, spec: ProductionSpec::Firmware, item: None, wanted };
/// assert_eq!(requirement.to_string(), "the firmware of the parent at least `3.1` (dotted)");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Components that the requirement is about.
    pub scope: RequirementScope,
    /// Restriction to some of these components; `None` for each of them.
    pub of: Option<Target>,
    /// Kind of version.
    pub spec: ProductionSpec,
    /// Software item of the version, where a component has several.
    pub item: Option<IdentifierQuery>,
    /// Required value. At least one component must exist, and each must report it.
    pub wanted: RequiredValue,
}

/// Required value of a version.
///
/// ```
/// use fhir_devices::store::Sha256;
/// use fhir_devices::manifest::RequiredValue;
/// let digest = Sha256::of(b"firmware");
/// // Some devices report the digest of what they run.
/// assert!(RequiredValue::Digest(digest).has(&digest.to_string()));
/// assert!(!RequiredValue::Digest(digest).has("3.1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequiredValue {
    /// A version in this range.
    Range(VersionRange),
    /// The digest of exactly these bytes.
    Digest(Sha256),
}

impl RequiredValue {
    /// Returns whether a reported value meets the requirement.
    #[must_use]
    pub fn has(&self, reported: &str) -> bool {
        match self {
            Self::Range(range) => range.has(reported),
            Self::Digest(digest) => reported.parse() == Ok(*digest),
        }
    }
}

impl std::fmt::Display for RequiredValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Digest(digest) => write!(f, "with the digest `{digest}`"),
        }
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {}", self.spec)?;
        if let Some(item) = &self.item {
            write!(f, " of the item `{item}`")?;
        }
        write!(f, " of {}", self.scope)?;
        if let Some(target) = &self.of {
            write!(f, " that is {}", target.selector())?;
        }
        write!(f, " {}", self.wanted)
    }
}

/// File of an update.
///
/// ```
/// use fhir_devices::store::{BlobRef, Sha256};
/// use fhir_devices::manifest::Artifact;
/// let artifact = Artifact {
///     name: "pump-2.4.bin".parse()?,
///     media_type: "application/octet-stream".parse()?,
///     size: 8,
///     sha256: Sha256::of(b"firmware"),
/// };
/// assert_eq!(artifact.blob(), BlobRef::of(b"firmware"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// File name.
    pub name: ArtifactName,
    /// Media type.
    pub media_type: Code,
    /// Size in bytes; at least 1.
    pub size: u64,
    /// SHA-256 digest of the bytes.
    pub sha256: Sha256,
}

impl Artifact {
    /// Returns the digest and size of the file.
    #[must_use]
    pub const fn blob(&self) -> BlobRef {
        BlobRef { digest: self.sha256, size: self.size }
    }
}

/// The manifest of an update: identity, target, requirements and files.
///
/// ```
/// use fhir_devices::manifest::UpdateManifest;
/// let json = br#"{"format":1,"identity":{"provider":"acme","name":"pump","version":"2.4.0","scheme":"semver"},
///     "sequence":42,"target":{"level":"mds"},"reportedAs":"software","compatibility":[{"model":"P9"}],"artifacts":[
///     {"name":"pump.bin","mediaType":"application/octet-stream","size":8,
///      "sha256":"c3bf47ea1f4a4a605470313cacb3a44f4a461f68c6faeab07e737610cb5ac835"}],"urgency":"security-fix"}"#;
/// let manifest = UpdateManifest::from_json(json)?; // or a Report with every finding
/// assert_eq!(manifest.sequence, 42);
/// assert_eq!(UpdateManifest::from_json(manifest.to_json().as_bytes())?, manifest);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateManifest {
    /// Identity of the update.
    pub identity: UpdateIdentity,
    /// Sequence number among the updates of this provider for the component, rising with each update.
    pub sequence: u64,
    /// Target component of a device.
    pub target: Target,
    /// Kind of version by which the component reports the update once it runs.
    pub reported_as: ProductionSpec,
    /// Compatibility rules; one match is enough, and without any rule the update fits no device.
    pub compatibility: Vec<CompatibilityRule>,
    /// Requirements, all of which must be met.
    pub requires: Vec<Requirement>,
    /// Files of the update; at least one, and no two of the same name.
    pub artifacts: Vec<Artifact>,
    /// Urgency of the update.
    pub urgency: Urgency,
    /// Time from which the manifest is no longer valid.
    pub expires_at: Option<OffsetDateTime>,
    /// Permission to replace a later update.
    pub downgrade: Option<DowngradeAuthorization>,
}

impl UpdateManifest {
    /// Creates a manifest from its required members; files and compatibility rules are empty.
    #[must_use]
    pub const fn new(identity: UpdateIdentity, sequence: u64, target: Target, reported_as: ProductionSpec) -> Self {
        Self {
            identity,
            sequence,
            target,
            reported_as,
            compatibility: Vec::new(),
            requires: Vec::new(),
            artifacts: Vec::new(),
            urgency: Urgency::Routine,
            expires_at: None,
            downgrade: None,
        }
    }

    /// Parses a manifest strictly: unknown members are refused.
    ///
    /// # Errors
    /// A [`Report`] with every finding and its path, such as `UpdateManifest.artifacts[1].size`.
    pub fn from_json(json: &[u8]) -> Result<Self, Report> {
        super::read::manifest(json)
    }

    /// Writes the manifest as compact JSON. A signature covers the bytes that were signed, not this output.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::write::manifest(self)
    }

    /// Returns the file with this digest and size; `None` where it is not part of this update, even if the same
    /// provider signed it.
    #[must_use]
    pub fn artifact(&self, found: &BlobRef) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.blob() == *found)
    }
}
