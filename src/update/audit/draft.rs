//! What a transition says of itself, before it has a place in the chain.

use super::super::{
    ActorId, DowngradeAuthorization, IngestId, KeyId, Name, Note, ProviderId, UpdateName, VersionLabel,
};
use crate::element::Raw;
use crate::primitive::Id;
use crate::store::{BlobRef, Sha256, VersionId};

/// What it is that has states.
///
/// ```
/// use fhir_devices::update::{IngestId, audit::Entity};
/// assert_ne!(Entity::Ingest(IngestId(7)), Entity::Ingest(IngestId(8)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Entity {
    /// One upload.
    Ingest(IngestId),
    /// What is known of some bytes: who holds them, and under which name they are stored.
    Blob(Sha256),
}

/// What sort of actor it is.
///
/// ```
/// use fhir_devices::update::audit::ActorKind;
/// assert_eq!(ActorKind::Service.as_str(), "service");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// The name, as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::Device => "device",
        }
    }
}

/// Who did something, and for whom.
///
/// ```
/// use fhir_devices::update::audit::Actor;
/// let gateway = Actor::service("gateway".parse()?).on_behalf_of("m.jones".parse()?);
/// assert_eq!(gateway.on_behalf_of.unwrap(), "m.jones");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What sort of actor.
    pub kind: ActorKind,
    /// Which one.
    pub id: ActorId,
    /// For whom, where that is somebody else.
    pub on_behalf_of: Option<ActorId>,
}

impl Actor {
    /// A person.
    #[must_use]
    pub const fn human(id: ActorId) -> Self {
        Self { kind: ActorKind::Human, id, on_behalf_of: None }
    }

    /// A program.
    #[must_use]
    pub const fn service(id: ActorId) -> Self {
        Self { kind: ActorKind::Service, id, on_behalf_of: None }
    }

    /// A device.
    #[must_use]
    pub const fn device(id: ActorId) -> Self {
        Self { kind: ActorKind::Device, id, on_behalf_of: None }
    }

    /// The same actor, for somebody else.
    #[must_use]
    pub fn on_behalf_of(mut self, id: ActorId) -> Self {
        self.on_behalf_of = Some(id);
        self
    }
}

/// How it went.
///
/// ```
/// use fhir_devices::update::audit::Outcome;
/// assert_eq!(Outcome::Refused.as_str(), "refused");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As it was meant to.
    #[default]
    Done,
    /// A check said no.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The name, as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Why something was done.
///
/// ```
/// use fhir_devices::update::{Name, Note, audit::Why};
/// let why = Why { code: Name::new("withdrawn")?, text: Some(Note::new("FSN 2017-04")?) };
/// assert_eq!(why.code, "withdrawn");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The reason, from a closed set.
    pub code: Name,
    /// What somebody said about it.
    pub text: Option<Note>,
}

/// What was changed: always a device, a component of it where one is known, and the versions of that before and after.
///
/// ```
/// use fhir_devices::update::audit::Subject;
/// let subject = Subject::device("pump-7".parse()?);
/// assert_eq!(subject.component, None);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// The device.
    pub device: Id,
    /// The component.
    pub component: Option<Id>,
    /// The version of the component before.
    pub before: Option<VersionId>,
    /// The version of the component after.
    pub after: Option<VersionId>,
}

impl Subject {
    /// A device of which no component is known.
    #[must_use]
    pub const fn device(device: Id) -> Self {
        Self { device, component: None, before: None, after: None }
    }

    /// A component of a device.
    #[must_use]
    pub const fn component(device: Id, component: Id) -> Self {
        Self { device, component: Some(component), before: None, after: None }
    }

    /// The same component, of which a write made one version from another.
    #[must_use]
    pub const fn written(mut self, before: Option<VersionId>, after: VersionId) -> Self {
        self.before = before;
        self.after = Some(after);
        self
    }
}

/// Which update it is about, as far as that is known.
///
/// ```
/// use fhir_devices::update::audit::UpdateFacts;
/// let facts = UpdateFacts { sequence: Some(7), ..UpdateFacts::default() };
/// assert!(facts.manifest.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateFacts {
    /// Its maker.
    pub provider: Option<ProviderId>,
    /// Its name.
    pub name: Option<UpdateName>,
    /// Its version.
    pub version: Option<VersionLabel>,
    /// Its place among the updates of that name.
    pub sequence: Option<u64>,
    /// The digest of its manifest.
    pub manifest: Option<Sha256>,
}

/// What the check of a signature came to.
///
/// ```
/// use fhir_devices::update::audit::Verdict;
/// assert_eq!(Verdict::Verified.as_str(), "verified");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// A key that is allowed has signed it.
    Verified,
    /// No key that is allowed has.
    Refused,
    /// There was no signature to check.
    Unsigned,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Refused, Self::Unsigned];

    /// The name, as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Refused => "refused",
            Self::Unsigned => "unsigned",
        }
    }
}

/// What was found out about a signature.
///
/// ```
/// use fhir_devices::update::audit::{Verdict, Verification};
/// let verification = Verification { verdict: Verdict::Unsigned, keys: Vec::new() };
/// assert!(verification.keys.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// What it came to.
    pub verdict: Verdict,
    /// The keys whose signatures were found good.
    pub keys: Vec<KeyId>,
}

/// What a transition says of itself: all of a record but its place in the chain, its time and its actor.
///
/// No field takes an address or names a patient. [`state`](Self::state) is the whole new state, as the machine of the entity
/// writes it, so that the records alone rebuild every state.
///
/// ```
/// use fhir_devices::update::{IngestId, Name, audit::{AuditDraft, Entity}};
/// let state = r#"{"name":"open"}"#.parse()?;
/// let mut draft = AuditDraft::new(Entity::Ingest(IngestId(7)), Name::new("submit")?, Name::new("open")?, state);
/// assert_eq!(draft.from, None);
/// draft.update.sequence = Some(7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditDraft {
    /// What has the state.
    pub entity: Entity,
    /// What was done.
    pub action: Name,
    /// The state before; none at the beginning.
    pub from: Option<Name>,
    /// The state after.
    pub to: Name,
    /// How it went.
    pub outcome: Outcome,
    /// Why it was done.
    pub why: Option<Why>,
    /// What was changed.
    pub subject: Option<Subject>,
    /// Which update it is about.
    pub update: UpdateFacts,
    /// The bytes.
    pub blob: Option<BlobRef>,
    /// The permission to go back to an earlier version, where it was used.
    pub downgrade: Option<DowngradeAuthorization>,
    /// What was found out about the signature.
    pub verification: Option<Verification>,
    /// The state after, whole.
    pub state: Raw,
}

impl AuditDraft {
    /// A transition of which the rest is not known.
    #[must_use]
    pub const fn new(entity: Entity, action: Name, to: Name, state: Raw) -> Self {
        Self {
            entity,
            action,
            from: None,
            to,
            outcome: Outcome::Done,
            why: None,
            subject: None,
            update: UpdateFacts { provider: None, name: None, version: None, sequence: None, manifest: None },
            blob: None,
            downgrade: None,
            verification: None,
            state,
        }
    }
}
