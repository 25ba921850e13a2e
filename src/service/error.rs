//! The error of receiving an update.

use super::StoreMismatch;
use crate::audit::UploadFailure;
use crate::containment::{SelectError, UnfitTarget};
use crate::manifest::{self, ArtifactName, IngestId, ManifestError, SignatureError, VersionScheme};
use crate::primitive::{Code, Id};
use crate::store::{Applied, Sha256, StoreError, Tenant};
use crate::update::ingest::NotAcceptable;
use std::sync::Arc;

/// The error for a blob store without the kind of URL that the service writes into components.
///
/// ```
/// use fhir_devices::service::NoAddresses;
/// assert!(NoAddresses::Signed.to_string().starts_with("the store of update files gives no signed addresses"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAddresses {
    /// The store gives no public addresses.
    #[error(
        "the store of update files gives no public addresses: give it a base URL, or make the service by `UpdateService::new_with_urls`"
    )]
    Public,
    /// The store gives no signed addresses.
    #[error("the store of update files gives no signed addresses: its engine or its credentials cannot sign")]
    Signed,
}

/// The error of receiving an update, grouped by the caller's reaction.
///
/// [`applied`](Self::applied) tells whether the component may have changed nevertheless.
///
/// ```
/// use fhir_devices::service::ReceiveError;
/// use fhir_devices::store::Applied;
/// let refused = ReceiveError::TooLarge { limit: 1_024 };
/// assert_eq!(refused.to_string(), "the file has more than 1024 bytes");
/// assert_eq!(refused.applied(), Applied::No);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The update was attached, but its component has been deleted since.
    #[error("the component `{component}` was deleted since the update `{upload}` was attached to it")]
    ComponentDeleted {
        /// The component.
        component: Id,
        /// The upload.
        upload: IngestId,
    },
    /// The tenant has no such device: it never existed, was deleted, or belongs to another tenant.
    #[error("there is no device `{device}`")]
    NoSuchDevice {
        /// The requested id.
        device: Id,
    },
    /// No component matches, or several do.
    #[error(transparent)]
    Unresolved(#[from] SelectError),
    /// The selected component cannot be a target, by its position or its status.
    #[error(transparent)]
    UnfitTarget(#[from] UnfitTarget),
    /// The digest of the bytes differs from the declared one.
    #[error("the digest of the file is `{found}`, wanted `{declared}`")]
    DigestMismatch {
        /// The declared digest.
        declared: Sha256,
        /// The digest of the bytes.
        found: Sha256,
    },
    /// The size of the bytes differs from the manifest.
    #[error("{}", sizes(*.declared, *.found))]
    SizeMismatch {
        /// The size in the manifest.
        declared: u64,
        /// The number of bytes received; `None` where there were more, which were not counted.
        found: Option<u64>,
    },
    /// The manifest is refused.
    #[error("the manifest is refused")]
    Manifest(#[source] ManifestError),
    /// The upload has a manifest, and the service has no verifier.
    #[error("no signature can be verified here")]
    NoVerifier,
    /// The tenant accepts only signed manifests.
    #[error("the tenant `{tenant}` accepts only updates with a signed manifest")]
    Unsigned {
        /// The tenant.
        tenant: Tenant,
    },
    /// The manifest has no such file, or has several and none was named.
    #[error("{}", no_artifact(.wanted.as_ref(), .found))]
    NoSuchArtifact {
        /// The requested file.
        wanted: Option<ArtifactName>,
        /// The files in the manifest.
        found: Vec<ArtifactName>,
    },
    /// The update is not admissible for this component.
    #[error("the update is not admitted: {}", listed(.reasons))]
    NotAdmitted {
        /// All reasons, in the order of the members of the manifest.
        reasons: Vec<manifest::AdmissionReason>,
    },
    /// The file exceeds the limit.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The maximum size.
        limit: u64,
    },
    /// The sequence number, version or bytes conflict with what the component accepted and reports.
    #[error(transparent)]
    NotAcceptable(#[from] NotAcceptable),
    /// The sequence number is above the maximum.
    #[error("the sequence number is {sequence}, wanted at most {highest}")]
    SequenceTooHigh {
        /// The number.
        sequence: u64,
        /// The highest accepted number.
        highest: u64,
    },
    /// The version does not follow the declared scheme.
    #[error("the version is `{version}`, wanted {} ({scheme})", .scheme.shape())]
    VersionForm {
        /// The version; empty where none was given.
        version: String,
        /// The scheme.
        scheme: VersionScheme,
    },
    /// A displayed text contains an invisible character.
    #[error("{what} has the character U+{:04X}, wanted none that cannot be seen or turns the direction", u32::from(*.found))]
    HiddenCharacter {
        /// The text, as in "the name of the file".
        what: &'static str,
        /// The first such character.
        found: char,
    },
    /// The file is empty.
    #[error("the file is empty")]
    EmptyFile,
    /// The media type is not accepted.
    #[error("the media type `{found}` is not accepted, wanted {}", media_types(allowed))]
    MediaType {
        /// The media type.
        found: Code,
        /// The accepted media types.
        allowed: Arc<[Code]>,
    },
    /// The idempotency key belongs to an upload with other metadata or other bytes.
    #[error("the idempotency key was used for another upload, `{upload}`")]
    KeyReused {
        /// The upload that it was used for.
        upload: IngestId,
    },
    /// Other writers changed the component at each attempt. A retry with the same key starts the upload again.
    #[error("the component of the device `{device}` changed during each of {attempts} attempts")]
    Contended {
        /// The device.
        device: Id,
        /// The number of attempts.
        attempts: u32,
    },
    /// The upload failed for another reason: its sequence number is not higher than the accepted one, a later update
    /// replaced it, it was withdrawn, or its time ran out.
    #[error("the upload `{upload}` ended without an update, `{reason}`: {}", reason.explanation())]
    Ended {
        /// The upload.
        upload: IngestId,
        /// The reason.
        reason: UploadFailure,
    },
    /// The blob store and the ledger do not belong together. Nothing was stored.
    #[error(transparent)]
    StoreMismatch(#[from] StoreMismatch),
    /// The resource store failed.
    #[error("the store of resources failed")]
    Resources(#[source] StoreError),
    /// The blob store failed.
    #[error("the store of update files failed")]
    Blobs(#[source] StoreError),
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[source] StoreError),
    /// The stream of bytes failed.
    #[error("the upload ended before the end of the file")]
    Body(#[source] StoreError),
}

impl ReceiveError {
    /// Returns whether the component may refer to the update. That is unknown after a write with an unknown outcome in
    /// the resource store, and after a ledger error once the reference is written; sending the same key again resolves
    /// it.
    #[must_use]
    pub fn applied(&self) -> Applied {
        match self {
            Self::Resources(error) | Self::Ledger(error) => error.applied(),
            Self::NoSuchDevice { .. }
            | Self::ComponentDeleted { .. }
            | Self::Unresolved(_)
            | Self::UnfitTarget(_)
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::Manifest(_)
            | Self::NoVerifier
            | Self::Unsigned { .. }
            | Self::NoSuchArtifact { .. }
            | Self::NotAdmitted { .. }
            | Self::TooLarge { .. }
            | Self::NotAcceptable(_)
            | Self::SequenceTooHigh { .. }
            | Self::VersionForm { .. }
            | Self::HiddenCharacter { .. }
            | Self::EmptyFile
            | Self::MediaType { .. }
            | Self::KeyReused { .. }
            | Self::Ended { .. }
            | Self::Contended { .. }
            | Self::StoreMismatch(_)
            | Self::Blobs(_)
            | Self::Body(_) => Applied::No,
        }
    }

    /// Returns whether the same call may succeed later, with nothing changed by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resources(error) | Self::Blobs(error) | Self::Ledger(error) => error.is_transient(),
            Self::Contended { .. } | Self::Body(_) => true,
            Self::Manifest(ManifestError::Signature(SignatureError::Unavailable { .. })) => true,
            _ => false,
        }
    }
}

fn sizes(declared: u64, found: Option<u64>) -> String {
    match found {
        Some(found) => format!("the file has {found} bytes, wanted {declared}"),
        None => format!("the file has more than {declared} bytes, wanted {declared}"),
    }
}

fn no_artifact(wanted: Option<&ArtifactName>, found: &[ArtifactName]) -> String {
    let found: Vec<String> = found.iter().map(|name| format!("`{name}`")).collect();
    let found = found.join(", ");
    match wanted {
        Some(wanted) => format!("the manifest does not have the file `{wanted}`, wanted one of {found}"),
        None => format!("the manifest has several files, wanted the name of one of {found}"),
    }
}

fn listed(reasons: &[manifest::AdmissionReason]) -> String {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}

/// Lists media types for a message: the first dozen.
fn media_types(codes: &[Code]) -> String {
    let shown: Vec<_> = codes.iter().take(12).map(|code| format!("`{code}`")).collect();
    let more = if codes.len() > shown.len() { ", .." } else { "" };
    match shown.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        all => format!("one of {}{more}", all.join(", ")),
    }
}
