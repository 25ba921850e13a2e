//! Audit records as FHIR STU3 AuditEvent and Provenance, with only the elements that are written here.

use super::{Action, ActorKind, AuditDraft, AuditRecord, StateName, UploadFailure, write};
use crate::manifest::UpdateName;
use crate::primitive::{CanonicalBase, CanonicalName, Id, Text};
use crate::search::ResourceType;
use crate::store::VersionId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::borrow::Cow;

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const RESOURCE_TYPES: &str = "http://hl7.org/fhir/resource-types";
const ENTITY_TYPES: &str = "http://hl7.org/fhir/audit-entity-type";
const OBJECT_ROLES: &str = "http://hl7.org/fhir/object-role";
const SOURCE_TYPES: &str = "http://hl7.org/fhir/security-source-type";
const DATA_OPERATIONS: &str = "http://hl7.org/fhir/v3/DataOperation";

/// Systems of this crate's codes and identifiers, under one base URL.
struct Systems {
    actions: Cow<'static, str>,
    reasons: Cow<'static, str>,
    kinds: Cow<'static, str>,
    actors: Cow<'static, str>,
    tenants: Cow<'static, str>,
    ingests: Cow<'static, str>,
    digests: Cow<'static, str>,
}

impl Systems {
    fn under(base: &CanonicalBase) -> Self {
        Self {
            actions: base.text(CanonicalName::AuditAction),
            reasons: base.text(CanonicalName::AuditReason),
            kinds: base.text(CanonicalName::AuditActorKind),
            actors: base.text(CanonicalName::AuditActor),
            tenants: base.text(CanonicalName::AuditTenant),
            ingests: base.text(CanonicalName::AuditIngest),
            digests: base.text(CanonicalName::AuditSha256),
        }
    }

    fn kind(&self, kind: ActorKind) -> Coding<'_> {
        our_code(&self.kinds, kind.as_str())
    }

    /// An agent that acts for another is not the requestor.
    fn event_agents<'r>(&'r self, record: &'r AuditRecord) -> Vec<EventAgent<'r>> {
        let user = |id| Identifier { system: &self.actors, value: id };
        let (actor, principal) = (&record.context.actor, record.draft.actor.as_ref());
        let mut agents = vec![EventAgent {
            role: Some([concept(self.kind(actor.kind))]),
            user_id: user(actor.id.as_str()),
            requestor: principal.is_none(),
        }];
        agents.extend(principal.map(|id| EventAgent { role: None, user_id: user(id.as_str()), requestor: true }));
        agents
    }
}

#[derive(Serialize)]
struct Coding<'r> {
    system: &'r str,
    code: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<&'r str>,
}

#[derive(Serialize)]
struct Concept<'r> {
    coding: [Coding<'r>; 1],
}

#[derive(Serialize)]
struct Identifier<'r> {
    system: &'r str,
    value: &'r str,
}

#[derive(Serialize)]
struct Reference<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Identifier<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent<'r> {
    resource_type: &'static str,
    id: &'r str,
    r#type: Coding<'r>,
    subtype: [Coding<'r>; 2],
    action: &'static str,
    recorded: &'r str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_desc: Option<&'r str>,
    agent: Vec<EventAgent<'r>>,
    source: Source<'r>,
    entity: Vec<EventEntity<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventAgent<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<[Concept<'r>; 1]>,
    user_id: Identifier<'r>,
    requestor: bool,
}

#[derive(Serialize)]
struct Source<'r> {
    identifier: Identifier<'r>,
    r#type: [Coding<'r>; 1],
}

#[derive(Serialize)]
struct EventEntity<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Identifier<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Reference<'r>>,
    r#type: Coding<'r>,
    role: Coding<'r>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detail: Vec<Detail>,
}

#[derive(Serialize)]
struct Detail {
    r#type: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Provenance<'r> {
    resource_type: &'static str,
    id: &'r str,
    target: [Reference<'r>; 1],
    recorded: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<[Coding<'r>; 1]>,
    activity: Coding<'r>,
    agent: [ProvenanceAgent<'r>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entity: Vec<ProvenanceEntity<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProvenanceAgent<'r> {
    role: [Concept<'r>; 1],
    who_reference: Reference<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of_reference: Option<Reference<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProvenanceEntity<'r> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_reference: Option<Reference<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_identifier: Option<Identifier<'r>>,
}

fn concept(code: Coding<'_>) -> Concept<'_> {
    Concept { coding: [code] }
}

const fn coding<'r>(system: &'static str, code: &'r str, display: &'r str) -> Coding<'r> {
    Coding { system, code, display: Some(display) }
}

const fn our_code<'r>(system: &'r str, code: &'r str) -> Coding<'r> {
    Coding { system, code, display: None }
}

fn literal<'r>(to: ResourceType, id: &str, version: Option<VersionId>) -> Reference<'r> {
    let reference = match version {
        Some(version) => format!("{to}/{id}/_history/{version}"),
        None => format!("{to}/{id}"),
    };
    Reference { reference: Some(reference), identifier: None }
}

const fn logical(identifier: Identifier<'_>) -> Reference<'_> {
    Reference { reference: None, identifier: Some(identifier) }
}

/// Writes a record as a FHIR STU3 AuditEvent in JSON: a security alert of the subtype *Software Configuration* (DICOM).
///
/// The id is the digest of the record. The entities are the device, the component in the version made, and the upload,
/// or without one the digest of the bytes; the other members of the record are details of that last entity.
///
/// ```
/// # use fhir_devices::audit::{*, Action, AuditDraft, StateName};
/// # let draft = AuditDraft::new(time::macros::datetime!(2017-04-19 10:00 UTC), Action::Opened, None, StateName::Open);
/// # let head = ChainHead::start("st-mary".parse()?);
/// # let record = head.append(draft, RecordContext::by(Actor::service("gateway".parse()?))).record;
/// let event = audit_event(&record);
/// assert!(event.contains(r#""recorded":"2017-04-19T10:00:00Z","outcome":"0","agent":[{"#));
/// assert!(fhir_devices::Resource::from_json(event.as_bytes()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn audit_event(record: &AuditRecord) -> String {
    audit_event_under(record, &CanonicalBase::default())
}

/// Writes a record like [`audit_event`], with the crate's own code and identifier systems under this base.
///
/// ```
/// # use fhir_devices::audit::{*, Action, AuditDraft, StateName};
/// use fhir_devices::primitive::CanonicalBase;
/// # let draft = AuditDraft::new(time::macros::datetime!(2017-04-19 10:00 UTC), Action::Opened, None, StateName::Open);
/// # let head = ChainHead::start("st-mary".parse()?);
/// # let record = head.append(draft, RecordContext::by(Actor::service("gateway".parse()?))).record;
/// let event = audit_event_under(&record, &CanonicalBase::new("https://fhir.hospital.example")?);
/// assert!(event.contains(r#""system":"https://fhir.hospital.example/NamingSystem/fhir-devices-tenant""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn audit_event_under(record: &AuditRecord, base: &CanonicalBase) -> String {
    let systems = Systems::under(base);
    let (id, recorded) = (record.digest().to_string(), write::moment(record.draft.at));
    let draft = &record.draft;
    let mut entity = subjects(draft, record.context.written);
    let upload = draft.ingest.map(|id| (&*systems.ingests, id.to_string()));
    let upload = upload.or_else(|| draft.blob.map(|blob| (&*systems.digests, blob.digest.to_string())));
    entity.push(EventEntity {
        identifier: upload.as_ref().map(|(system, value)| Identifier { system, value }),
        reference: None,
        r#type: coding(ENTITY_TYPES, "2", "System Object"),
        role: coding(OBJECT_ROLES, "20", "Job"),
        detail: details(record),
    });
    let event = AuditEvent {
        resource_type: "AuditEvent",
        id: &id,
        r#type: coding(DCM, "110113", "Security Alert"),
        subtype: [coding(DCM, "110131", "Software Configuration"), our_code(&systems.actions, draft.action.as_str())],
        action: if draft.from.is_none() { "C" } else { "U" },
        recorded: &recorded,
        outcome: match (draft.action, draft.reason) {
            (Action::Failed, Some(reason)) if reason.is_fault() => "4",
            (Action::Failed, _) => "8",
            _ => "0",
        },
        outcome_desc: draft.comment.as_ref().map(Text::as_str).or(draft.reason.map(UploadFailure::as_str)),
        agent: systems.event_agents(record),
        source: Source {
            identifier: Identifier { system: &systems.tenants, value: record.tenant.as_str() },
            r#type: [coding(SOURCE_TYPES, "4", "Application Server")],
        },
        entity,
    };
    // Strings under fixed names always serialize.
    serde_json::to_string(&event).unwrap_or_default()
}

fn subjects<'r>(draft: &AuditDraft, written: Option<VersionId>) -> Vec<EventEntity<'r>> {
    let entity = |to: ResourceType, id: &Id, version| EventEntity {
        identifier: None,
        reference: Some(literal(to, id.as_str(), version)),
        r#type: coding(RESOURCE_TYPES, to.as_str(), to.as_str()),
        role: coding(OBJECT_ROLES, "4", "Domain Resource"),
        detail: Vec::new(),
    };
    let device = draft.device.as_ref().map(|id| entity(ResourceType::Device, id, None));
    let component = draft
        .component
        .as_ref()
        .map(|id| entity(ResourceType::DeviceComponent, id, written.or(draft.component_version)));
    device.into_iter().chain(component).collect()
}

/// Returns the members of a record for which AuditEvent has no element.
fn details(record: &AuditRecord) -> Vec<Detail> {
    let AuditRecord { context, draft, .. } = record;
    let mut details = Vec::new();
    let mut add = |r#type, value: Option<String>| {
        details.extend(value.map(|value| Detail { r#type, value: STANDARD.encode(value) }));
    };
    let text = |text: Option<&str>| text.map(str::to_owned);
    add("index", Some(record.index.to_string()));
    add("prev", Some(record.prev.to_string()));
    add("from", text(draft.from.map(StateName::as_str)));
    add("to", text(Some(draft.to.as_str())));
    add("reason", text(draft.reason.map(UploadFailure::as_str)));
    add("provider", text(draft.provider.as_ref().map(Text::as_str)));
    add("update", text(context.update.as_ref().map(UpdateName::as_str)));
    add("version", text(draft.version.as_ref().map(Text::as_str)));
    add("sequence", draft.sequence.map(|sequence| sequence.to_string()));
    add("manifest", draft.manifest.map(|manifest| manifest.to_string()));
    add("sha-256", draft.blob.map(|blob| blob.digest.to_string()));
    add("size", draft.blob.map(|blob| blob.size.to_string()));
    add("verification", text(context.verification.as_ref().map(|found| found.verdict.as_str())));
    if let Some(downgrade) = &draft.downgrade {
        add("downgrade-from", Some(downgrade.from.to_string()));
        add("downgrade-to", Some(downgrade.to.to_string()));
        add("downgrade-reason", text(Some(downgrade.reason.as_str())));
        for approver in &downgrade.approved_by {
            add("downgrade-approved-by", text(Some(approver.as_str())));
        }
    }
    add("replaces", draft.replaces.map(|digest| digest.to_string()));
    add("reported", text(draft.reported.as_ref().map(Text::as_str)));
    details
}

/// Writes a record that made a version of a component as a FHIR STU3 Provenance in JSON: the target is that version,
/// the previous version its revision, and the digests of file and manifest its sources. `None` for any other record.
///
/// ```
/// # use fhir_devices::audit::{*, Action, AuditDraft, StateName};
/// # let at = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let mut draft = AuditDraft::new(at, Action::Attached, Some(StateName::Stored), StateName::Attached);
/// # let head = ChainHead::start("st-mary".parse()?);
/// # let by = RecordContext::by(Actor::service("gateway".parse()?));
/// draft.component = Some("mds".parse()?);
/// draft.component_version = fhir_devices::store::VersionId::new(2);
/// let record = head.append(draft, by).record;
/// let provenance = provenance(&record).unwrap();
/// assert!(provenance.contains(r#""target":[{"reference":"DeviceComponent/mds/_history/2"}]"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn provenance(record: &AuditRecord) -> Option<String> {
    provenance_under(record, &CanonicalBase::default())
}

/// Writes a record like [`provenance`], with the crate's own code and identifier systems under this base.
///
/// ```
/// # use fhir_devices::audit::{*, Action, AuditDraft, StateName};
/// # use fhir_devices::primitive::CanonicalBase;
/// # let at = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let mut draft = AuditDraft::new(at, Action::Attached, Some(StateName::Stored), StateName::Attached);
/// # draft.component = Some("mds".parse()?);
/// # draft.component_version = fhir_devices::store::VersionId::new(2);
/// # let by = RecordContext::by(Actor::service("gateway".parse()?));
/// # let record = ChainHead::start("st-mary".parse()?).append(draft, by).record;
/// let ours = CanonicalBase::new("https://acme.example/fhir/")?;
/// let provenance = provenance_under(&record, &ours).unwrap();
/// assert!(provenance.contains("https://acme.example/fhir/"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn provenance_under(record: &AuditRecord, base: &CanonicalBase) -> Option<String> {
    let systems = Systems::under(base);
    let AuditRecord { context, draft, .. } = record;
    // Later records repeat the first version with the update; only this record made it.
    let attached = draft.component_version.filter(|_| matches!(draft.action, Action::Attached | Action::Reattached));
    let (component, after) = (draft.component.as_ref()?, context.written.or(attached)?);
    let (id, recorded) = (record.digest().to_string(), write::moment(draft.at));
    let digest = draft.blob.map(|blob| blob.digest.to_string());
    let manifest = draft.manifest.map(|manifest| manifest.to_string());
    let before = context.before.map(|before| ProvenanceEntity {
        role: "revision",
        what_reference: Some(literal(ResourceType::DeviceComponent, component.as_str(), Some(before))),
        what_identifier: None,
    });
    let sources = [&digest, &manifest].into_iter().flatten().map(|value| ProvenanceEntity {
        role: "source",
        what_reference: None,
        what_identifier: Some(Identifier { system: &systems.digests, value }),
    });
    let actor = |id| logical(Identifier { system: &systems.actors, value: id });
    let provenance = Provenance {
        resource_type: "Provenance",
        id: &id,
        target: [literal(ResourceType::DeviceComponent, component.as_str(), Some(after))],
        recorded: &recorded,
        reason: draft.reason.map(|reason| {
            [Coding {
                system: &systems.reasons,
                code: reason.as_str(),
                display: draft.comment.as_ref().map(Text::as_str),
            }]
        }),
        activity: coding(DATA_OPERATIONS, "UPDATE", "revise"),
        agent: [ProvenanceAgent {
            role: [concept(systems.kind(context.actor.kind))],
            who_reference: actor(context.actor.id.as_str()),
            on_behalf_of_reference: draft.actor.as_ref().map(|id| actor(id.as_str())),
        }],
        entity: before.into_iter().chain(sources).collect(),
    };
    // Strings under fixed names always serialize.
    serde_json::to_string(&provenance).ok()
}
