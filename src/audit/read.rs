//! Parsing of records from their canonical text.

use super::{
    Action, Actor, ActorKind, AuditDraft, AuditRecord, EventText, Holder, RecordContext, StateName, UploadFailure,
    Verdict, Verification, write,
};
use crate::manifest::{
    ActorId, DowngradeAuthorization, IngestId, KeyId, Note, PinId, ProviderId, ReleaseId, UpdateName, VersionLabel,
};
use crate::primitive::{Id, Instant, Text};
use crate::store::{BlobRef, Generation, Sha256, Tenant, VersionId};
use serde::Deserialize;
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line {
    schema: u64,
    tenant: Tenant,
    index: u64,
    prev: Sha256,
    recorded: Instant,
    actor: ActorMembers,
    on_behalf_of: Option<ActorId>,
    ingest: Option<IngestId>,
    action: Action,
    from: Option<StateName>,
    to: StateName,
    reason: Option<UploadFailure>,
    comment: Option<Note>,
    device: Option<Id>,
    component: Option<Id>,
    before: Option<u64>,
    after: Option<u64>,
    written: Option<u64>,
    sha256: Option<Sha256>,
    size: Option<u64>,
    generation: Option<Generation>,
    holder: Option<HolderMembers>,
    provider: Option<ProviderId>,
    update: Option<UpdateName>,
    version: Option<VersionLabel>,
    sequence: Option<u64>,
    manifest: Option<Sha256>,
    downgrade: Option<DowngradeMembers>,
    replaces: Option<Sha256>,
    reported: Option<VersionLabel>,
    verification: Option<VerificationMembers>,
    superseded_by: Option<IngestId>,
    restored: Option<u32>,
    attempts: Option<u16>,
    deadline: Option<Instant>,
    event: Option<EventText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorMembers {
    kind: String,
    id: ActorId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HolderMembers {
    ingest: Option<IngestId>,
    release: Option<ReleaseId>,
    retention: Option<PinId>,
    until: Option<Instant>,
    legal_hold: Option<PinId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DowngradeMembers {
    from: u64,
    to: u64,
    reason: Note,
    approved_by: Vec<ActorId>,
    not_after: Instant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerificationMembers {
    verdict: String,
    keys: Vec<KeyId>,
}

/// Converts an optional member; `None` where the conversion of a present member fails.
trait Each<T, U> {
    fn each(self, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>>;
}

impl<T, U> Each<T, U> for Option<T> {
    fn each(self, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
        match self {
            None => Some(None),
            Some(found) => read(found).map(Some),
        }
    }
}

/// Parses the members of a record; the caller checks that the text is canonical.
pub(super) fn record(line: &str) -> Option<AuditRecord> {
    let line: Line = serde_json::from_str(line).ok()?;
    let text = |text: &str| Text::new(text).ok();
    let mut context = RecordContext::by(actor(line.actor)?);
    context.before = line.before.each(VersionId::new)?;
    context.written = line.written.each(VersionId::new)?;
    context.update = line.update;
    context.verification = line.verification.each(verification)?;
    let mut draft = AuditDraft::new(moment(&line.recorded)?, line.action, line.from, line.to);
    draft.actor = line.on_behalf_of;
    draft.reason = line.reason;
    draft.comment = line.comment.each(|note| text(note.as_str()))?;
    draft.ingest = line.ingest;
    draft.device = line.device;
    draft.component = line.component;
    draft.component_version = line.after.each(VersionId::new)?;
    draft.blob = match (line.sha256, line.size) {
        (Some(digest), Some(size)) => Some(BlobRef { digest, size }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return None,
    };
    draft.generation = line.generation;
    draft.holder = line.holder.each(holder)?;
    draft.provider = line.provider.each(|provider| text(provider.as_str()))?;
    draft.version = line.version.each(|version| text(version.as_str()))?;
    draft.sequence = line.sequence;
    draft.manifest = line.manifest;
    draft.downgrade = line.downgrade.each(downgrade)?.map(Box::new);
    draft.replaces = line.replaces;
    draft.reported = line.reported.each(|version| text(version.as_str()))?;
    draft.superseded_by = line.superseded_by;
    draft.restored = line.restored;
    draft.attempts = line.attempts;
    draft.deadline = line.deadline.each(|deadline| moment(&deadline))?;
    draft.event = line.event;
    if line.schema != write::schema(&draft) {
        return None;
    }
    Some(AuditRecord { tenant: line.tenant, index: line.index, prev: line.prev, context, draft })
}

fn moment(text: &Instant) -> Option<OffsetDateTime> {
    text.to_offset_date_time()
}

fn actor(found: ActorMembers) -> Option<Actor> {
    let kind = ActorKind::ALL.into_iter().find(|kind| kind.as_str() == found.kind)?;
    Some(Actor { kind, id: found.id })
}

fn holder(found: HolderMembers) -> Option<Holder> {
    match found {
        HolderMembers { ingest: Some(id), release: None, retention: None, until: None, legal_hold: None } => {
            Some(Holder::Ingest(id))
        }
        HolderMembers { ingest: None, release: Some(id), retention: None, until: None, legal_hold: None } => {
            Some(Holder::Release(id))
        }
        HolderMembers { ingest: None, release: None, retention: Some(pin), until: Some(until), legal_hold: None } => {
            Some(Holder::Retention { pin, until: moment(&until)? })
        }
        HolderMembers { ingest: None, release: None, retention: None, until: None, legal_hold: Some(pin) } => {
            Some(Holder::LegalHold(pin))
        }
        HolderMembers { .. } => None,
    }
}

fn downgrade(found: DowngradeMembers) -> Option<DowngradeAuthorization> {
    let DowngradeMembers { from, to, reason, approved_by, not_after } = found;
    let (reason, not_after) = (Text::new(reason.as_str()).ok()?, moment(&not_after)?);
    Some(DowngradeAuthorization { from, to, reason, approved_by, not_after })
}

fn verification(found: VerificationMembers) -> Option<Verification> {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == found.verdict)?;
    Some(Verification { verdict, keys: found.keys })
}
