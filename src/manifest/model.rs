//! The contents of a manifest.

use super::{
    ArtifactName, DowngradeAuthorization, ProductionSpec, ProviderId, RequirementScope, Target, UpdateName, Urgency,
    VersionLabel, VersionRange, VersionScheme,
};
use crate::containment::IdentifierQuery;
use crate::issue::Report;
use crate::primitive::{Code, Text};
use crate::store::{BlobRef, Sha256};
use time::OffsetDateTime;

/// The identity of an update.
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
    /// The provider.
    pub provider: ProviderId,
    /// The name, the same in every version.
    pub name: UpdateName,
    /// Its version.
    pub version: VersionLabel,
    /// The version scheme.
    pub scheme: VersionScheme,
}

impl std::fmt::Display for UpdateIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.provider, self.name, self.version)
    }
}

/// The device that an update fits: all that a rule names must match. One matching rule is enough.
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
    /// A code among the types of the component or of its device: a class of the vendor.
    pub class: Option<IdentifierQuery>,
    /// The code of the component in ISO/IEEE 11073-10101, as a number.
    pub code: Option<u32>,
    /// The part number of the component, compared exactly.
    pub part_number: Option<Text>,
    /// The hardware revision of the component.
    pub hardware: Option<VersionRange>,
}

impl CompatibilityRule {
    /// Returns whether it names nothing, and so fits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A version that a component must have.
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
    /// Which components are meant.
    pub scope: RequirementScope,
    /// Which of those, where it is not each of them.
    pub of: Option<Target>,
    /// Which of their versions.
    pub spec: ProductionSpec,
    /// Of which software item, where they have several.
    pub item: Option<IdentifierQuery>,
    /// What it has to be. At least one component is wanted, and each has to have it.
    pub wanted: RequiredValue,
}

/// What a version has to be.
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
    /// One of these versions.
    Range(VersionRange),
    /// The version of exactly these bytes.
    Digest(Sha256),
}

impl RequiredValue {
    /// Returns whether what a device reports is that.
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

/// One file of an update.
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
    /// Its name.
    pub name: ArtifactName,
    /// Its media type.
    pub media_type: Code,
    /// How many bytes it has; at least one.
    pub size: u64,
    /// The digest of its bytes.
    pub sha256: Sha256,
}

impl Artifact {
    /// Its bytes.
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
    /// The identity of an update.
    pub identity: UpdateIdentity,
    /// Its place among the updates of this provider for the component: the later, the higher.
    pub sequence: u64,
    /// Which component of a device it is for.
    pub target: Target,
    /// The kind of version by which the component reports the update once it runs.
    pub reported_as: ProductionSpec,
    /// The devices that it fits; one rule is enough, and without any it fits none.
    pub compatibility: Vec<CompatibilityRule>,
    /// What must be there already; all of it.
    pub requires: Vec<Requirement>,
    /// Its files; at least one, and no two of the same name.
    pub artifacts: Vec<Artifact>,
    /// How urgent it is.
    pub urgency: Urgency,
    /// When it is no longer to be used.
    pub expires_at: Option<OffsetDateTime>,
    /// The permission to put it in the place of a later one.
    pub downgrade: Option<DowngradeAuthorization>,
}

impl UpdateManifest {
    /// Creates a manifest of what every update has.
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

    /// Reads a manifest, strictly: what it does not know, it refuses.
    ///
    /// # Errors
    /// A [`Report`] with every finding and its place, such as `UpdateManifest.artifacts[1].size`.
    pub fn from_json(json: &[u8]) -> Result<Self, Report> {
        super::read::manifest(json)
    }

    /// Writes the manifest, compactly. A signature is over the bytes that were signed, and not over what this writes.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::write::manifest(self)
    }

    /// Returns the file with these bytes; none where they are not of this update, be they signed by the same provider
    /// or not.
    #[must_use]
    pub fn artifact(&self, found: &BlobRef) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.blob() == *found)
    }
}
