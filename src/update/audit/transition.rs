//! What the machines say of a transition, as a record of the chain says it.

use super::super::{Action, AuditDraft as Said, Name, Note, ProviderId, VersionLabel, blob, ingest};
use super::{AuditDraft, Entity, Outcome, Replayed, Subject, UpdateFacts, Why};
use crate::element::Raw;
use crate::store::VersionId;

impl AuditDraft {
    /// The draft of a transition of an upload: what the machine says of it, and the state that it leads to.
    #[must_use]
    pub fn of_ingest(ingest: &ingest::Ingest, said: &Said, state: &ingest::State) -> Self {
        // Texts and numbers under fixed names: there is nothing in it that JSON cannot say.
        let state = serde_json::to_string(state).unwrap_or_else(|_| "null".to_owned());
        Self::of(Entity::Ingest(ingest.id), said, state)
    }

    /// The draft of a transition of some bytes, and what is known of them after it.
    #[must_use]
    pub fn of_blob(said: &Said, entry: &blob::Entry) -> Self {
        let state = String::from_utf8(entry.to_bytes()).unwrap_or_else(|_| "null".to_owned());
        Self::of(Entity::Blob(entry.blob.digest), said, state)
    }

    fn of(entity: Entity, said: &Said, state: String) -> Self {
        let name = |name: &'static str| Name::of(name);
        let mut draft = Self::new(entity, name(said.action.as_str()), name(said.to.as_str()), Raw::written(state));
        draft.from = said.from.map(|from| name(from.as_str()));
        draft.outcome = match (said.action, said.reason) {
            (Action::Failed, Some(reason)) if reason.is_fault() => Outcome::Refused,
            (Action::Failed, _) => Outcome::Failed,
            _ => Outcome::Done,
        };
        let code = said.reason.map(|reason| reason.as_str());
        let text = said.comment.as_ref().and_then(|comment| Note::about(comment.as_str()));
        draft.why = match (code, text) {
            (None, None) => None,
            (code, text) => Some(Why { code: name(code.unwrap_or(said.action.as_str())), text }),
        };
        draft.subject = said.device.as_ref().map(|device| {
            let mut subject = Subject::device(device.clone());
            subject.component.clone_from(&said.component);
            match said.component_version {
                // The reference was written on the condition that the version before was the newest.
                Some(after) if said.action == Action::Attached => {
                    subject.written(after.get().checked_sub(1).and_then(VersionId::new), after)
                }
                _ => subject,
            }
        });
        draft.update = UpdateFacts {
            provider: said.provider.as_ref().and_then(|text| ProviderId::new(text.as_str()).ok()),
            name: None,
            version: said.version.as_ref().and_then(|text| VersionLabel::new(text.as_str()).ok()),
            sequence: said.sequence,
            manifest: said.manifest,
        };
        draft.blob = said.blob;
        draft.downgrade = said.downgrade.as_deref().cloned();
        draft
    }
}

impl Replayed {
    /// The state of an upload; none where it is that of something else.
    #[must_use]
    pub fn ingest(&self) -> Option<ingest::State> {
        serde_json::from_str(self.state.as_str()).ok()
    }

    /// What is known of some bytes; none where it is the state of something else.
    #[must_use]
    pub fn entry(&self) -> Option<blob::Entry> {
        blob::Entry::from_bytes(self.state.as_str().as_bytes()).ok()
    }
}
