//! Update manifests: contents, signatures, and the admission of updates.
//!
//! A [`SignedManifest`] holds the bytes as received. [`SignedManifest::verify`] checks the signatures over them with
//! the caller's [`Verifier`] and only then parses them, strictly; [`explain`] lists the reasons for and against the
//! update of a component, and [`admits`] returns whether none is against it. Nothing here does I/O or reads a clock.
//!
//! # Format
//!
//! A manifest is one JSON object of at most 64 KiB; `schemas/update-manifest.schema.json` is its schema, and an unknown
//! member is refused.
//!
//! | member | meaning |
//! | --- | --- |
//! | `format` | version of this format: 1 |
//! | `identity` | `provider`, `name`, `version` and its [`scheme`](VersionScheme) |
//! | `sequence` | sequence number among the updates of the provider, rising with each update |
//! | `target` | target component: `level`, `code`, `identifier`, `item`, `component`; all given members must match |
//! | `reportedAs` | kind of version by which the component reports the update: `hardware`, `software`, `firmware` or `protocol` |
//! | `compatibility` | rules of which one must match: `manufacturer`, `model`, `class`, `code`, `partNumber`, `hardware` |
//! | `requires` | requirements, all of which must be met: `scope` (and `level`), `of`, `spec`, `item`, `range` or `digest` |
//! | `artifacts` | files: `name`, `mediaType`, `size`, `sha256` |
//! | `urgency` | `routine`, `security-fix` or `safety-correction` |
//! | `expiresAt` | time from which the manifest is no longer valid |
//! | `downgrade` | permission to replace a later update: `from`, `to`, `reason`, `approvedBy`, `notAfter` |
//!
//! A range of versions has a `scheme`, and either `atLeast`, `atMost` and `below`, or `oneOf`. Versions are read from
//! the `productionSpecification` of a component; a version that the scheme cannot parse is in no range.
//!
//! # Threats and countermeasures
//!
//! | attack | countermeasure |
//! | --- | --- |
//! | replay of an earlier signed update | `sequence` only rises, and the version does not fall, except by a recorded authorisation |
//! | delay of an old manifest | `expiresAt` |
//! | files of one update with the manifest of another | [`UpdateManifest::artifact`] compares digest and size |
//! | a key of another provider or tenant | [`SignatureContext`], and the provider that the manifest names |
//! | parsing of unverified bytes | only a verification creates a [`VerifiedManifest`] |
//! | bytes that change between check and use | the verified bytes are kept, and the manifest is parsed from them |
//! | endless data | the size limit is checked first |
//! | a path as the name of a file | [`ArtifactName`] |

#[cfg(feature = "ed25519")]
mod ed25519;
mod explain;
mod fields;
mod id;
mod model;
mod range;
mod read;
mod sequence;
mod signed;
mod target;
pub(crate) mod text;
mod version;
mod write;

#[cfg(feature = "ed25519")]
pub use ed25519::{Ed25519Keys, NotAnEd25519Key};
pub use explain::{AdmissionReason, AdmissionReasonCode, Situation, admits, explain};
pub use id::{ActorId, IdempotencyKey, IngestId, NotAKey, NotAName, NotAnIngestId, PinId, ReleaseId};
pub use model::{Artifact, CompatibilityRule, RequiredValue, Requirement, UpdateIdentity, UpdateManifest};
pub use range::{Bounds, VersionRange};
pub use sequence::{Acceptance, DowngradeAuthorization, MAX_SEQUENCE, NotHigher, accept};
pub use signed::{
    ManifestError, ManifestId, Signature, SignatureContext, SignatureError, SignedManifest, VerifiedManifest, Verifier,
};
pub use target::{ArtifactName, InvalidProductionSpec, ProductionSpec, RequirementScope, Target, Urgency};
pub use text::{KeyId, Note, ProviderId, UpdateName, VersionLabel, hidden_character};
pub use version::{NotAScheme, VersionScheme};

pub use crate::support::UnknownName;
