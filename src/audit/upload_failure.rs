//! Failure reasons of uploads.

use crate::support::names;

names! {
    /// Reason of the failure of an upload.
    ///
    /// ```
    /// use fhir_devices::audit::UploadFailure;
    /// assert_eq!(UploadFailure::TooLarge.to_string(), "too-large");
    /// assert!(UploadFailure::TooLarge.is_fault() && !UploadFailure::Withdrawn.is_fault());
    /// ```
    UploadFailure {
        /// The bytes do not match the declared digest.
        DigestMismatch = "digest-mismatch",
        /// The number of bytes differs from the declared size.
        SizeMismatch = "size-mismatch",
        /// The file exceeds the maximum size.
        TooLarge = "too-large",
        /// The file is empty.
        Empty = "empty",
        /// The bytes did not arrive completely in time.
        UploadLost = "upload-lost",
        /// The target component no longer exists, or is no longer the only match.
        TargetLost = "target-lost",
        /// The manifest does not fit the device, its signatures are not valid, or the tenant does not admit such an
        /// upload.
        NotAdmitted = "not-admitted",
        /// Another writer changed the component at each attempt.
        Contended = "contended",
        /// The sequence number is not above the last accepted one.
        NotHigher = "not-higher",
        /// The update has no sequence number, but the component accepted an update that has one.
        Unsequenced = "unsequenced",
        /// The version belongs to other bytes already.
        VersionTaken = "version-taken",
        /// The version is lower than the one that the component reports.
        LowerVersion = "lower-version",
        /// A later update superseded the update.
        Superseded = "superseded",
        /// The upload was withdrawn.
        Withdrawn = "withdrawn",
        /// Another writer removed the reference from the component, or deleted the component.
        Lost = "lost",
    }
}

impl UploadFailure {
    /// Explains the failure, as a clause for messages.
    ///
    /// ```
    /// use fhir_devices::audit::UploadFailure;
    /// assert_eq!(UploadFailure::Withdrawn.explanation(), "it was withdrawn");
    /// ```
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::DigestMismatch => "its bytes have another digest than was declared",
            Self::SizeMismatch => "its bytes are more or fewer than was declared",
            Self::TooLarge => "its file is larger than is taken",
            Self::Empty => "its file is empty",
            Self::UploadLost => "its bytes did not arrive in time",
            Self::TargetLost => "its component is gone, or no longer the only one that is meant",
            Self::NotAdmitted => "its manifest does not fit the device, or is not signed as the tenant wants it",
            Self::Contended => "others wrote to its component at each attempt",
            Self::NotHigher => "its sequence number is not higher than one that the component accepted",
            Self::Unsequenced => "it has no sequence number, and the component accepted an update that has one",
            Self::VersionTaken => "its version was accepted with other bytes",
            Self::LowerVersion => "its version is lower than the one that the component reports",
            Self::Superseded => "a later update took its place",
            Self::Withdrawn => "it was withdrawn",
            Self::Lost => "another writer removed it from its component, or deleted the component",
        }
    }

    /// Returns whether the uploaded bytes caused the failure.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::DigestMismatch | Self::SizeMismatch | Self::TooLarge | Self::Empty => true,
            Self::UploadLost
            | Self::TargetLost
            | Self::NotAdmitted
            | Self::Contended
            | Self::NotHigher
            | Self::Unsequenced
            | Self::VersionTaken
            | Self::LowerVersion
            | Self::Superseded
            | Self::Withdrawn
            | Self::Lost => false,
        }
    }
}
