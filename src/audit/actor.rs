//! Actors and signature verification of audit records.

use crate::manifest::{ActorId, KeyId, UpdateName};
use crate::store::VersionId;

/// The kind of actor.
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

    /// Returns the name, as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::Device => "device",
        }
    }
}

/// The actor that carried out a transition.
///
/// ```
/// use fhir_devices::audit::{Actor, ActorKind};
/// let gateway = Actor { kind: ActorKind::Service, id: "gateway".parse()? };
/// assert_eq!(gateway, Actor::service("gateway".parse()?));
/// # Ok::<(), fhir_devices::manifest::NotAName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What sort of actor.
    pub kind: ActorKind,
    /// Which one.
    pub id: ActorId,
}

impl Actor {
    /// Returns a person.
    #[must_use]
    pub const fn human(id: ActorId) -> Self {
        Self { kind: ActorKind::Human, id }
    }

    /// Returns a program.
    #[must_use]
    pub const fn service(id: ActorId) -> Self {
        Self { kind: ActorKind::Service, id }
    }

    /// Returns a device.
    #[must_use]
    pub const fn device(id: ActorId) -> Self {
        Self { kind: ActorKind::Device, id }
    }
}

/// The result of a signature check.
///
/// ```
/// use fhir_devices::audit::Verdict;
/// assert_eq!(Verdict::Verified.as_str(), "verified");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// A key that is allowed has signed it.
    Verified,
    /// No key that is allowed has.
    Refused,
    /// The upload came without a signature.
    Unsigned,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Refused, Self::Unsigned];

    /// Returns the name, as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Refused => "refused",
            Self::Unsigned => "unsigned",
        }
    }
}

/// The result of a signature verification.
///
/// ```
/// use fhir_devices::audit::{Verdict, Verification};
/// let verification = Verification { verdict: Verdict::Unsigned, keys: Vec::new() };
/// assert!(verification.keys.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// What it came to.
    pub verdict: Verdict,
    /// The keys whose signatures were valid.
    pub keys: Vec<KeyId>,
}

/// The facts about a transition that only the driver knows.
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
    /// The actor that carried it out.
    pub actor: Actor,
    /// The version of the component before, where it was written to.
    pub before: Option<VersionId>,
    /// The version that the write made, where the transition does not say it.
    pub written: Option<VersionId>,
    /// The name of the update, as its manifest says.
    pub update: Option<UpdateName>,
    /// What was found out about the signature of the manifest.
    pub verification: Option<Verification>,
}

impl RecordContext {
    /// Returns a context with the actor alone.
    #[must_use]
    pub const fn by(actor: Actor) -> Self {
        Self { actor, before: None, written: None, update: None, verification: None }
    }
}
