//! Update manifests: contents, signatures, and whether an update fits a component.
//!
//! A [`SignedManifest`] is the bytes as they came. [`SignedManifest::verify`] checks the signatures over them by the caller's
//! [`Verifier`] and reads them only then, strictly; [`explain`] says what speaks for the update of a component and what
//! against it, and [`admits`] whether nothing does. Nothing here does I/O or asks a clock.
//!
//! # The form
//!
//! A manifest is one JSON object of at most 64 KiB; `schemas/update-manifest.schema.json` is its schema, and a member that
//! is not known is refused.
//!
//! | member | what it is |
//! | --- | --- |
//! | `format` | the number of this form: 1 |
//! | `identity` | `provider`, `name`, `version` and its [`scheme`](VersionScheme) |
//! | `sequence` | the place among the updates of the provider: the later, the higher |
//! | `target` | which component: `level`, `code`, `identifier`, `item`, `component`; all that is named counts |
//! | `reportedAs` | as which version the component reports it: `hardware`, `software`, `firmware` or `protocol` |
//! | `compatibility` | rules of which one has to fit: `manufacturer`, `model`, `class`, `code`, `partNumber`, `hardware` |
//! | `requires` | what has to be there, all of it: `scope` (and `level`), `of`, `spec`, `item`, `range` or `digest` |
//! | `artifacts` | the files: `name`, `mediaType`, `size`, `sha256` |
//! | `urgency` | `routine`, `security-fix` or `safety-correction` |
//! | `expiresAt` | when the manifest is no longer to be used |
//! | `downgrade` | the permission to put it in the place of a later one: `from`, `to`, `reason`, `approvedBy`, `notAfter` |
//!
//! A range of versions has a `scheme`, and `atLeast`, `atMost` and `below`, or `oneOf`. Versions are taken from the
//! `productionSpecification` of a component; what the scheme cannot read is in no range.
//!
//! # What it withstands
//!
//! | attack | what stops it |
//! | --- | --- |
//! | an earlier update, signed once | `sequence` only rises, and the version does not fall, but by a recorded leave |
//! | an old manifest held back and shown later | `expiresAt` |
//! | files of one update with the manifest of another | [`UpdateManifest::artifact`] by digest and size |
//! | a key of another provider or tenant | [`SignatureContext`], and the provider that the manifest names |
//! | bytes that are read before they are checked | [`VerifiedManifest`] comes from a verification alone |
//! | bytes that change between the check and the use | they are kept, and the manifest is read from the same ones |
//! | endless data | the limit is looked at before anything else |
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
