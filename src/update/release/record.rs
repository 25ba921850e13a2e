//! Record of a release.

use super::super::rollout::record;
use super::super::rollout::{Action, After, Event};
use super::{ReleaseId, Unreadable};
use crate::manifest::{
    Acceptance, ActorId, ArtifactName, IngestId, ProductionSpec, ProviderId, UpdateName, VersionLabel, VersionScheme,
};
use crate::nomenclature::Level;
use crate::primitive::{Code, moment};
use crate::store::{BlobRef, Generation, InvalidText, Sha256, hex};
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// SHA-1 digest, for clients that require one. It is never used to verify anything.
///
/// ```
/// use fhir_devices::update::release::Sha1;
/// let text = "a9993e364706816aba3e25717850c26c9cd0d89d";
/// assert_eq!(text.parse::<Sha1>()?.to_string(), text);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
pub struct Sha1(pub [u8; 20]);

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0, &mut [0; 64]))
    }
}

impl FromStr for Sha1 {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = || InvalidText::new("a SHA-1 digest", text, "40 hexadecimal digits are wanted");
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 20 || !rest.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut digest = [0; 20];
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).map_err(|_| refuse())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
        }
        Ok(Self(digest))
    }
}

/// Components that a release is for: those of any device that match every given field.
///
/// A [`Selector`](crate::containment::Selector) selects one component of one device, for an upload; this type selects
/// one of each device, for a release.
///
/// ```
/// use fhir_devices::{nomenclature::Level, update::release::Target};
/// assert!(Target::default().is_empty());
/// assert!(!Target { level: Some(Level::Channel), code: None }.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Level in the containment tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// ISO/IEEE 11073-10101 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
}

impl Target {
    /// Returns whether no field is given, so that no component matches.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.level.is_none() && self.code.is_none()
    }
}

/// File of a release.
///
/// ```
/// use fhir_devices::{store::BlobRef, update::release::ReleasedFile};
/// let file = ReleasedFile::new("pump.bin".parse()?, "application/zip".parse()?, BlobRef::of(b"firmware"));
/// assert_eq!((file.generation, file.sha1), (None, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReleasedFile {
    /// File name.
    pub name: ArtifactName,
    /// Media type.
    pub media_type: Code,
    /// Digest and size.
    pub blob: BlobRef,
    /// Generation that is held for the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// SHA-1 digest, for clients that require one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<Sha1>,
}

impl ReleasedFile {
    /// Creates a file that is not held yet.
    #[must_use]
    pub const fn new(name: ArtifactName, media_type: Code, blob: BlobRef) -> Self {
        Self { name, media_type, blob, generation: None, sha1: None }
    }
}

/// Content of a release.
///
/// ```
/// # use fhir_devices::{manifest::{ProductionSpec, VersionScheme}, nomenclature::Level, store::BlobRef, update::release::*};
/// let file = ReleasedFile::new("pump.bin".parse()?, "application/zip".parse()?, BlobRef::of(b"firmware"));
/// let request = Request {
///     provider: Some("acme".parse()?),
///     name: "pump/main".parse()?,
///     version: "2.4.0".parse()?,
///     scheme: VersionScheme::Semver,
///     sequence: 6,
///     manifest: None,
///     files: vec![file],
///     target: Target { level: Some(Level::Mds), code: None },
///     reported_as: ProductionSpec::Software, upload: None,
/// };
/// assert_eq!(request.check(), Ok(()));
/// assert_eq!(Request { files: Vec::new(), ..request }.check(), Err(InvalidRelease::NoFile));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Manufacturer; `None` is a provider of its own, shared by all updates that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// Name of the update, the same in every version.
    pub name: UpdateName,
    /// Version of the update.
    pub version: VersionLabel,
    /// Scheme of the version.
    pub scheme: VersionScheme,
    /// Sequence number among the updates of a component.
    pub sequence: u64,
    /// Digest of the manifest, which is stored as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// Files of the release.
    pub files: Vec<ReleasedFile>,
    /// Components that the release is for.
    pub target: Target,
    /// Production specification that shows the version of the update.
    pub reported_as: ProductionSpec,
    /// Upload of the same bytes for one component before the release. A component that accepted the sequence number for
    /// that upload accepts it for the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<IngestId>,
}

/// Reason why a release is invalid.
///
/// ```
/// use fhir_devices::update::release::InvalidRelease;
/// assert_eq!(InvalidRelease::NoTarget.to_string(), "the release names no component, wanted a level or a type");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRelease {
    /// The release has no file.
    #[error("the release has no file, wanted one at least")]
    NoFile,
    /// Two files have the same name.
    #[error("the release has two files of the name `{name}`")]
    SameName {
        /// File name.
        name: ArtifactName,
    },
    /// The target is empty.
    #[error("the release names no component, wanted a level or a type")]
    NoTarget,
    /// The sequence number exceeds the signed 64-bit range.
    #[error("the sequence number is {found}, wanted {} at most", crate::manifest::MAX_SEQUENCE)]
    Sequence {
        /// Sequence number.
        found: u64,
    },
}

impl Request {
    /// Checks the content of a release.
    ///
    /// # Errors
    /// The first [`InvalidRelease`] found.
    pub fn check(&self) -> Result<(), InvalidRelease> {
        if self.files.is_empty() {
            return Err(InvalidRelease::NoFile);
        }
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = self.files.iter().find(|file| !names.insert(&file.name)) {
            return Err(InvalidRelease::SameName { name: twice.name.clone() });
        }
        if self.target.is_empty() {
            return Err(InvalidRelease::NoTarget);
        }
        if self.sequence > crate::manifest::MAX_SEQUENCE {
            return Err(InvalidRelease::Sequence { found: self.sequence });
        }
        Ok(())
    }
}

/// State of a release.
///
/// ```
/// use fhir_devices::update::release::State;
/// assert_ne!(State::Released, State::Withdrawn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum State {
    /// The files are not all held and hashed yet.
    Draft {
        /// Deadline of the draft.
        #[serde(with = "moment")]
        until: OffsetDateTime,
    },
    /// The release may be rolled out.
    Released,
    /// The release can no longer be rolled out, and its holds are being released.
    Withdrawing,
    /// Nothing is held for the release.
    Withdrawn,
}

/// Record of a release.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::{manifest::{ProductionSpec, VersionScheme}, nomenclature::Level, store::BlobRef, update::release::*};
/// # let file = ReleasedFile::new("pump.bin".parse()?, "application/zip".parse()?, BlobRef::of(b"firmware"));
/// # let request = Request {
/// #     provider: Some("acme".parse()?), name: "pump/main".parse()?, version: "2.4.0".parse()?, scheme: VersionScheme::Semver,
/// #     sequence: 6, manifest: None, files: vec![file], target: Target { level: Some(Level::Mds), code: None },
/// #     reported_as: ProductionSpec::Software, upload: None,
/// # };
/// let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// let (release, _) = Release::draft(ReleaseId(7), request, "biomed/j.doe".parse()?, now, time::Duration::HOUR)?;
/// assert_eq!(Release::from_bytes(&release.to_bytes()), Ok(release));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Release {
    /// Id of the release.
    pub id: ReleaseId,
    /// Content of the release.
    pub request: Request,
    /// Actor that created the release.
    pub by: ActorId,
    /// Time of the release, from which the time to field is measured.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub released_at: Option<OffsetDateTime>,
    /// Current state.
    pub state: State,
}

impl Release {
    /// Returns the id under which a component accepts the sequence number of the release: that of the upload which the
    /// release was created from, if the component accepted the same number for it; else that of the release.
    #[must_use]
    pub fn accepted_for(&self, before: Option<&Acceptance>) -> IngestId {
        let same =
            |before: &&Acceptance| before.highest == self.request.sequence && Some(before.by) == self.request.upload;
        // Ids of uploads and releases are of one kind, and none is used twice.
        before.filter(same).map_or(IngestId(self.id.0), |before| before.by)
    }

    /// Creates the record of a new release.
    ///
    /// # Errors
    /// [`InvalidRelease`] for invalid content.
    pub fn draft(
        id: ReleaseId,
        request: Request,
        by: ActorId,
        now: OffsetDateTime,
        lease: time::Duration,
    ) -> Result<(Self, Event), InvalidRelease> {
        request.check()?;
        let state = State::Draft { until: now.saturating_add(lease) };
        let release = Self { id, request, by: by.clone(), released_at: None, state };
        let event = Event { actor: Some(by), ..release.event(Action::ReleaseDrafted, now) };
        Ok((release, event))
    }

    /// Creates the audit event of a transition to this record.
    pub(super) fn event(&self, action: Action, at: OffsetDateTime) -> Event {
        Event {
            at,
            action,
            actor: None,
            comment: None,
            release: Some(self.id),
            rollout: None,
            lane: None,
            deployment: None,
            report: None,
            after: After::Release(Box::new(self.clone())),
        }
    }

    /// Serializes the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        record::from_bytes(bytes)
    }
}
