//! The record of a release.

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

/// A SHA-1 digest, for clients that require one. It is never used to check anything.
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

/// The components that a release is for: those of any device that match every given field.
///
/// A [`Selector`](crate::containment::Selector) chooses one component of one device, for an upload; this type chooses one of
/// each device, for a release.
///
/// ```
/// use fhir_devices::{nomenclature::Level, update::release::Target};
/// assert!(Target::default().is_empty());
/// assert!(!Target { level: Some(Level::Channel), code: None }.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The code in ISO/IEEE 11073-10101, as a number.
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

/// One file of a release.
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
    /// Its name.
    pub name: ArtifactName,
    /// Its media type.
    pub media_type: Code,
    /// Its bytes.
    pub blob: BlobRef,
    /// The generation that is held for the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The SHA-1 digest, for clients that require it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<Sha1>,
}

impl ReleasedFile {
    /// Returns a file of which nothing is held yet.
    #[must_use]
    pub const fn new(name: ArtifactName, media_type: Code, blob: BlobRef) -> Self {
        Self { name, media_type, blob, generation: None, sha1: None }
    }
}

/// The content of a release.
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
    /// The manufacturer; `None` is a provider of its own, shared by all updates that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// The name, the same in every version.
    pub name: UpdateName,
    /// Its version.
    pub version: VersionLabel,
    /// The version scheme.
    pub scheme: VersionScheme,
    /// Its sequence number among the updates of a component.
    pub sequence: u64,
    /// The digest of its manifest, which is kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// Its files.
    pub files: Vec<ReleasedFile>,
    /// The components that it is for.
    pub target: Target,
    /// The production specification that shows the version of the update.
    pub reported_as: ProductionSpec,
    /// The upload whose bytes these are, where they were uploaded for one component first. A component that accepted the sequence
    /// number for that upload accepts it for the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<IngestId>,
}

/// Why a release is invalid.
///
/// ```
/// use fhir_devices::update::release::InvalidRelease;
/// assert_eq!(InvalidRelease::NoTarget.to_string(), "the release names no component, wanted a level or a type");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRelease {
    /// No file.
    #[error("the release has no file, wanted one at least")]
    NoFile,
    /// Two files of one name.
    #[error("the release has two files of the name `{name}`")]
    SameName {
        /// The name.
        name: ArtifactName,
    },
    /// The release is for nothing.
    #[error("the release names no component, wanted a level or a type")]
    NoTarget,
    /// A sequence number that some languages cannot say.
    #[error("the sequence number is {found}, wanted {} at most", crate::manifest::MAX_SEQUENCE)]
    Sequence {
        /// The number.
        found: u64,
    },
}

impl Request {
    /// Checks whether a release can be made of it.
    ///
    /// # Errors
    /// The first [`InvalidRelease`] that is found.
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

/// The state of a release.
///
/// ```
/// use fhir_devices::update::release::State;
/// assert_ne!(State::Released, State::Withdrawn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum State {
    /// Its bytes are not held, or not hashed.
    Draft {
        /// Until when that may be so.
        #[serde(with = "moment")]
        until: OffsetDateTime,
    },
    /// The release may be rolled out.
    Released,
    /// The release can no longer be rolled out, and its holds are being released.
    Withdrawing,
    /// Nothing is held for it.
    Withdrawn,
}

/// The record of a release.
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
    /// Its id.
    pub id: ReleaseId,
    /// The request that it was made from.
    pub request: Request,
    /// The actor who released it.
    pub by: ActorId,
    /// When it was released. The time to field is measured from here.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    pub released_at: Option<OffsetDateTime>,
    /// Its state.
    pub state: State,
}

impl Release {
    /// Returns for whom a component accepts the sequence number of the release: where it accepted the same number for the upload that the
    /// release was created from, it stays with that.
    #[must_use]
    pub fn accepted_for(&self, before: Option<&Acceptance>) -> IngestId {
        let same =
            |before: &&Acceptance| before.highest == self.request.sequence && Some(before.by) == self.request.upload;
        // The ids of uploads and of releases are of one kind, and none comes twice.
        before.filter(same).map_or(IngestId(self.id.0), |before| before.by)
    }

    /// Creates the record of a new release.
    ///
    /// # Errors
    /// [`InvalidRelease`] where nothing can be released.
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

    /// Returns what an audit record says of a transition to this record.
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

    /// Returns the stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none, or of a format that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        record::from_bytes(bytes)
    }
}
