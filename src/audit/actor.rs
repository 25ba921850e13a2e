//! Actors and signature verification of audit records.

use crate::manifest::{ActorId, KeyId, UpdateName};
use crate::store::VersionId;

/// Kind of an actor.
///
/// ```
/// use fhir_devices::audit::ActorKind;
/// assert_eq!(ActorKind::Service.as_str(), "service");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActorKind {
    /// A person.
    Human,
    /// A program.
    Service,
    /// A device.
    Device,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Human, Self::Service, Self::Device];

    /// Returns the name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::Device => "device",
        }
    }
}

/// Actor that carried out a transition.
///
/// ```
/// use fhir_devices::audit::{Actor, ActorKind};
/// let gateway = Actor { kind: ActorKind::Service, id: "gateway".parse()? };
/// assert_eq!(gateway, Actor::service("gateway".parse()?));
/// # Ok::<(), fhir_devices::manifest::NotAName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Kind of the actor.
    pub kind: ActorKind,
    /// Id of the actor.
    pub id: ActorId,
}

impl Actor {
    /// Creates a person.
    #[must_use]
    pub const fn human(id: ActorId) -> Self {
        Self { kind: ActorKind::Human, id }
    }

    /// Creates a program.
    #[must_use]
    pub const fn service(id: ActorId) -> Self {
        Self { kind: ActorKind::Service, id }
    }

    /// Creates a device.
    #[must_use]
    pub const fn device(id: ActorId) -> Self {
        Self { kind: ActorKind::Device, id }
    }
}

/// Result of a signature check.
///
/// ```
/// use fhir_devices::audit::Verdict;
/// assert_eq!(Verdict::Verified.as_str(), "verified");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// A permitted key signed the manifest.
    Verified,
    /// No permitted key signed the manifest.
    Refused,
    /// The upload came without a signature.
    Unsigned,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Refused, Self::Unsigned];

    /// Returns the name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Refused => "refused",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Result of a signature verification.
///
/// ```
/// use fhir_devices::audit::{Verdict, Verification};
/// let verification = Verification { verdict: Verdict::Unsigned, keys: Vec::new() };
/// assert!(verification.keys.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Verdict of the check.
    pub verdict: Verdict,
    /// Keys with a valid signature.
    pub keys: Vec<KeyId>,
}

/// Facts about a transition that only the driver knows.
///
/// ```
/// use fhir_devices::audit::{Actor, RecordContext};
/// let mut context = RecordContext::by(Actor::service("gateway".parse()?));
/// context.update = Some("pump/main".parse()?);
/// assert_eq!(context.verification, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordContext {
    /// Actor that carried out the transition.
    pub actor: Actor,
    /// Version of the component before a write.
    pub before: Option<VersionId>,
    /// Version that the write made, where the transition does not give it.
    pub written: Option<VersionId>,
    /// Name of the update in its manifest.
    pub update: Option<UpdateName>,
    /// Verification of the manifest's signatures.
    pub verification: Option<Verification>,
}

impl RecordContext {
    /// Creates a context with the actor only.
    #[must_use]
    pub const fn by(actor: Actor) -> Self {
        Self { actor, before: None, written: None, update: None, verification: None }
    }
}
