//! Records from their canonical text.

use super::super::{
    ActorId, DowngradeAuthorization, IngestId, KeyId, Name, Note, ProviderId, UpdateName, VersionLabel,
};
use super::{
    Actor, ActorKind, AuditDraft, AuditRecord, Entity, Outcome, SCHEMA, Subject, UpdateFacts, Verdict, Verification,
    Why,
};
use crate::element::Raw;
use crate::primitive::{Id, Instant};
use crate::store::{BlobRef, Sha256, Tenant, VersionId};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    schema: u64,
    tenant: Tenant,
    index: u64,
    prev: Sha256,
    recorded: Instant,
    actor: ActorMembers,
    ingest: Option<IngestId>,
    entry: Option<Sha256>,
    action: Name,
    from: Option<Name>,
    to: Name,
    outcome: String,
    why: Option<WhyMembers>,
    subject: Option<SubjectMembers>,
    update: Option<UpdateMembers>,
    blob: Option<BlobMembers>,
    downgrade: Option<DowngradeAuthorization>,
    verification: Option<VerificationMembers>,
    #[serde(borrow)]
    state: &'l RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ActorMembers {
    kind: String,
    id: ActorId,
    on_behalf_of: Option<ActorId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyMembers {
    code: Name,
    text: Option<Note>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectMembers {
    device: Id,
    component: Option<Id>,
    before: Option<u64>,
    after: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateMembers {
    provider: Option<ProviderId>,
    name: Option<UpdateName>,
    version: Option<VersionLabel>,
    sequence: Option<u64>,
    manifest: Option<Sha256>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlobMembers {
    sha256: Sha256,
    size: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerificationMembers {
    verdict: String,
    keys: Vec<KeyId>,
}

/// The record of a text, as far as its members say; whether the text is its canonical one is for the caller to see.
pub(super) fn record(line: &str) -> Option<AuditRecord> {
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    if line.schema != SCHEMA {
        return None;
    }
    let entity = match (line.ingest, line.entry) {
        (Some(ingest), None) => Entity::Ingest(ingest),
        (None, Some(entry)) => Entity::Blob(entry),
        (None, None) | (Some(_), Some(_)) => return None,
    };
    let what = AuditDraft {
        entity,
        action: line.action,
        from: line.from,
        to: line.to,
        outcome: Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == line.outcome)?,
        why: line.why.map(|why| Why { code: why.code, text: why.text }),
        subject: line.subject.map(subject),
        update: line.update.map(update).unwrap_or_default(),
        blob: line.blob.map(|blob| BlobRef { digest: blob.sha256, size: blob.size }),
        downgrade: line.downgrade,
        verification: match line.verification {
            None => None,
            Some(found) => Some(verification(found)?),
        },
        state: line.state.get().parse::<Raw>().ok()?,
    };
    let actor = actor(line.actor)?;
    let Line { tenant, index, prev, recorded, .. } = line;
    Some(AuditRecord { tenant, index, prev, recorded, actor, what })
}

fn actor(found: ActorMembers) -> Option<Actor> {
    let kind = ActorKind::ALL.into_iter().find(|kind| kind.as_str() == found.kind)?;
    Some(Actor { kind, id: found.id, on_behalf_of: found.on_behalf_of })
}

fn subject(found: SubjectMembers) -> Subject {
    let SubjectMembers { device, component, before, after } = found;
    let version = |number: Option<u64>| number.and_then(VersionId::new);
    Subject { device, component, before: version(before), after: version(after) }
}

fn update(found: UpdateMembers) -> UpdateFacts {
    let UpdateMembers { provider, name, version, sequence, manifest } = found;
    UpdateFacts { provider, name, version, sequence, manifest }
}

fn verification(found: VerificationMembers) -> Option<Verification> {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == found.verdict)?;
    Some(Verification { verdict, keys: found.keys })
}
