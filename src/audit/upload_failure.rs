//! Why an upload failed.

use crate::support::names;

names! {
    /// Why an upload failed.
    ///
    /// ```
    /// use fhir_devices::audit::UploadFailure;
    /// assert_eq!(UploadFailure::TooLarge.to_string(), "too-large");
    /// assert!(UploadFailure::TooLarge.is_fault() && !UploadFailure::Withdrawn.is_fault());
    /// ```
    UploadFailure {
        /// The bytes have not the digest that was declared.
        DigestMismatch = "digest-mismatch",
        /// The bytes are not as many as were declared.
        SizeMismatch = "size-mismatch",
        /// The file exceeds the maximum size.
        TooLarge = "too-large",
        /// The file is empty.
        Empty = "empty",
        /// The bytes did not come, or not to their end, while there was time.
        UploadLost = "upload-lost",
        /// The component that was meant is no longer there, or no longer the only one.
        TargetLost = "target-lost",
        /// Its manifest does not fit the device as it is, its signatures are not good, or the tenant takes no such upload.
        NotAdmitted = "not-admitted",
        /// Others wrote to the component each time.
        Contended = "contended",
        /// The sequence number is not above what was accepted before.
        NotHigher = "not-higher",
        /// The update has no sequence number, and the component accepted an update that has one.
        Unsequenced = "unsequenced",
        /// Its version stands for other bytes.
        VersionTaken = "version-taken",
        /// Its version is lower than the one that the component reports.
        LowerVersion = "lower-version",
        /// A later update superseded it.
        Superseded = "superseded",
        /// The upload was withdrawn.
        Withdrawn = "withdrawn",
        /// Another writer removed its reference from the component, or deleted the component.
        Lost = "lost",
    }
}

impl UploadFailure {
    /// Returns what happened, as a clause for messages.
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

    /// Returns whether the bytes are at fault.
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
