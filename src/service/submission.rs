//! Submissions of updates and their results.

use crate::containment::Selector;
use crate::manifest::{ActorId, IdempotencyKey, ProductionSpec, VersionScheme};
use crate::primitive::{Code, Id, Text};
use crate::resource::DeviceComponent;
use crate::store::{Sha256, VersionId};
use crate::update::ingest::Intent;
use crate::update::{AvailableUpdate, VersionDowngrade};
use time::OffsetDateTime;

/// The metadata of an update, given by its sender.
///
/// ```
/// use fhir_devices::{nomenclature::Level, containment::Selector, service::Submission};
/// let device = "pump-7".parse()?;
/// let submission = Submission::new(device, "pump-2.4.bin".parse()?, "application/octet-stream".parse()?)
///     .with_target(Selector::Level(Level::Vmd))
///     .with_version("2.4".parse()?);
/// assert!(!submission.replace);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Submission {
    /// The device that the update is for.
    pub device: Id,
    /// The selector of its component.
    pub target: Selector,
    /// The version, as the manufacturer names it.
    pub version: Option<Text>,
    /// The expected digest of the bytes.
    pub sha256: Option<Sha256>,
    /// The sequence number: higher for later updates of the component.
    pub sequence: Option<u64>,
    /// The version scheme; inferred if `None`. `Opaque` leaves the version unchecked.
    pub scheme: Option<VersionScheme>,
    /// The version of the component that the update changes; `None` for the software revision, or the firmware revision
    /// where no software revision is reported.
    pub reported_as: Option<ProductionSpec>,
    /// The permission for a version lower than the reported one.
    pub downgrade: Option<VersionDowngrade>,
    /// Whether other bytes are permitted under a version that the component has had.
    pub replace: bool,
    /// The sender, for the audit records.
    pub sender: Option<ActorId>,
    /// The idempotency key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The name of the file. It is data, and never used as a path.
    pub file_name: Text,
    /// The media type of the file.
    pub content_type: Code,
}

impl Submission {
    /// Creates a submission for the only component of a device.
    #[must_use]
    pub fn new(device: Id, file_name: Text, content_type: Code) -> Self {
        Self {
            device,
            target: Selector::Any,
            version: None,
            sha256: None,
            sequence: None,
            scheme: None,
            reported_as: None,
            downgrade: None,
            replace: false,
            sender: None,
            idempotency_key: None,
            file_name,
            content_type,
        }
    }

    /// Selects the component of the device.
    #[must_use]
    pub fn with_target(self, target: Selector) -> Self {
        Self { target, ..self }
    }

    /// Sets the version, as the manufacturer names it.
    #[must_use]
    pub fn with_version(self, version: Text) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Sets the version scheme.
    #[must_use]
    pub fn with_scheme(self, scheme: VersionScheme) -> Self {
        Self { scheme: Some(scheme), ..self }
    }

    /// Sets the expected digest of the bytes.
    #[must_use]
    pub fn with_sha256(self, sha256: Sha256) -> Self {
        Self { sha256: Some(sha256), ..self }
    }

    /// Sets the sequence number among the updates of the component.
    #[must_use]
    pub fn with_sequence(self, sequence: u64) -> Self {
        Self { sequence: Some(sequence), ..self }
    }

    /// Sets which of the reported versions of the component the update changes.
    #[must_use]
    pub fn with_reported_as(self, reported_as: ProductionSpec) -> Self {
        Self { reported_as: Some(reported_as), ..self }
    }

    /// Permits a version lower than the reported one.
    #[must_use]
    pub fn with_downgrade(self, downgrade: VersionDowngrade) -> Self {
        Self { downgrade: Some(downgrade), ..self }
    }

    /// Sets whether other bytes are permitted under a version that the component has had.
    #[must_use]
    pub fn with_replace(self, replace: bool) -> Self {
        Self { replace, ..self }
    }

    /// Sets the sender, for the audit records.
    #[must_use]
    pub fn with_sender(self, sender: ActorId) -> Self {
        Self { sender: Some(sender), ..self }
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_idempotency_key(self, key: IdempotencyKey) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }

    pub(super) fn intent(&self) -> Intent {
        Intent {
            target: self.target.clone(),
            version: self.version.clone(),
            sequence: self.sequence,
            scheme: self.scheme,
            reported_as: self.reported_as,
            lower: self.downgrade.clone().map(Box::new),
            replace: self.replace,
            sender: self.sender.clone(),
            sha256: self.sha256,
            ..Intent::new(self.device.clone(), self.file_name.clone(), self.content_type.clone())
        }
    }
}

/// The result of an upload: the component with the update.
///
/// Returned by [`UpdateService::receive`](super::UpdateService::receive), whose example reads one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// The component in the first version that refers to the update, or in its current version where an earlier call
    /// had completed the upload; its `meta` included.
    pub component: DeviceComponent,
    /// The version of that component.
    pub version: VersionId,
    /// The time of that version.
    pub last_updated: OffsetDateTime,
    /// The update, as the component states it.
    pub update: AvailableUpdate,
    /// Whether an earlier call had completed the upload.
    pub replayed: bool,
}
