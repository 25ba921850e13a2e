//! The canonical text of a record.

use super::super::{ActorId, DowngradeAuthorization};
use super::{Actor, AuditDraft, AuditRecord, Entity, SCHEMA, Subject, UpdateFacts};
use crate::element::Writer;
use crate::store::Sha256;

/// Writes the members of one object, in the order of the calls.
struct Line(Writer);

impl Line {
    fn text(&mut self, key: &'static str, text: &str) {
        self.0.key(key);
        self.0.string(text);
    }

    fn maybe(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.0.key(key);
        let mut digits = [0_u8; 20];
        let mut rest = number;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            // The remainder is below ten.
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(digits.len() - used..).unwrap_or_default();
        self.0.raw(std::str::from_utf8(digits).unwrap_or_default());
    }

    fn digest(&mut self, key: &'static str, digest: &Sha256) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        let mut text = [0_u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(digest.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        self.0.key(key);
        self.0.raw("\"");
        self.0.raw(std::str::from_utf8(&text).unwrap_or_default());
        self.0.raw("\"");
    }

    fn list<'t>(&mut self, key: &'static str, texts: impl Iterator<Item = &'t str>) {
        self.0.key(key);
        self.0.raw("[");
        for text in texts {
            self.0.item();
            self.0.string(text);
        }
        self.0.raw("]");
    }

    fn object(&mut self, key: &'static str, members: impl FnOnce(&mut Self)) {
        self.0.key(key);
        self.0.raw("{");
        members(self);
        self.0.raw("}");
    }
}

pub(super) fn record(record: &AuditRecord) -> String {
    let AuditRecord { tenant, index, prev, recorded, actor, what } = record;
    let mut line = Line(Writer::new());
    line.0.raw("{");
    line.number(",\"schema\":", SCHEMA);
    line.text(",\"tenant\":", tenant.as_str());
    line.number(",\"index\":", *index);
    line.digest(",\"prev\":", prev);
    line.text(",\"recorded\":", recorded.as_str());
    line.object(",\"actor\":", |line| write_actor(line, actor));
    write_draft(&mut line, what);
    line.0.raw("}");
    line.0.finish()
}

fn write_actor(line: &mut Line, actor: &Actor) {
    let Actor { kind, id, on_behalf_of } = actor;
    line.text(",\"kind\":", kind.as_str());
    line.text(",\"id\":", id.as_str());
    line.maybe(",\"onBehalfOf\":", on_behalf_of.as_ref().map(ActorId::as_str));
}

fn write_draft(line: &mut Line, draft: &AuditDraft) {
    let AuditDraft { entity, action, from, to, outcome, why, subject, update, blob, downgrade, verification, state } =
        draft;
    match entity {
        Entity::Ingest(id) => line.text(",\"ingest\":", &id.to_string()),
        Entity::Blob(digest) => line.digest(",\"entry\":", digest),
    }
    line.text(",\"action\":", action.as_str());
    line.maybe(",\"from\":", from.as_ref().map(|from| from.as_str()));
    line.text(",\"to\":", to.as_str());
    line.text(",\"outcome\":", outcome.as_str());
    if let Some(why) = why {
        line.object(",\"why\":", |line| {
            line.text(",\"code\":", why.code.as_str());
            line.maybe(",\"text\":", why.text.as_ref().map(|text| text.as_str()));
        });
    }
    if let Some(subject) = subject {
        line.object(",\"subject\":", |line| write_subject(line, subject));
    }
    if *update != UpdateFacts::default() {
        line.object(",\"update\":", |line| write_update(line, update));
    }
    if let Some(blob) = blob {
        line.object(",\"blob\":", |line| {
            line.digest(",\"sha256\":", &blob.digest);
            line.number(",\"size\":", blob.size);
        });
    }
    if let Some(downgrade) = downgrade {
        line.object(",\"downgrade\":", |line| write_downgrade(line, downgrade));
    }
    if let Some(verification) = verification {
        line.object(",\"verification\":", |line| {
            line.text(",\"verdict\":", verification.verdict.as_str());
            line.list(",\"keys\":", verification.keys.iter().map(|key| key.as_str()));
        });
    }
    line.0.key(",\"state\":");
    line.0.raw(state.as_str());
}

fn write_subject(line: &mut Line, subject: &Subject) {
    let Subject { device, component, before, after } = subject;
    line.text(",\"device\":", device.as_str());
    line.maybe(",\"component\":", component.as_ref().map(|component| component.as_str()));
    if let Some(before) = before {
        line.number(",\"before\":", before.get());
    }
    if let Some(after) = after {
        line.number(",\"after\":", after.get());
    }
}

fn write_update(line: &mut Line, update: &UpdateFacts) {
    let UpdateFacts { provider, name, version, sequence, manifest } = update;
    line.maybe(",\"provider\":", provider.as_ref().map(|provider| provider.as_str()));
    line.maybe(",\"name\":", name.as_ref().map(|name| name.as_str()));
    line.maybe(",\"version\":", version.as_ref().map(|version| version.as_str()));
    if let Some(sequence) = sequence {
        line.number(",\"sequence\":", *sequence);
    }
    if let Some(manifest) = manifest {
        line.digest(",\"manifest\":", manifest);
    }
}

fn write_downgrade(line: &mut Line, downgrade: &DowngradeAuthorization) {
    let DowngradeAuthorization { from, to, reason, approved_by, not_after } = downgrade;
    line.number(",\"from\":", *from);
    line.number(",\"to\":", *to);
    line.text(",\"reason\":", reason.as_str());
    line.list(",\"approvedBy\":", approved_by.iter().map(ActorId::as_str));
    line.text(",\"notAfter\":", not_after.as_str());
}
