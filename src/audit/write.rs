//! Canonical text of a record.

use super::{AuditDraft, AuditRecord, Holder, RecordContext, SCHEMA, SCHEMA_OF_EVENTS, StateName, UploadFailure};
use crate::element::Writer;
use crate::manifest::{ActorId, DowngradeAuthorization, IngestId, KeyId, UpdateName};
use crate::primitive::{Id, Instant, Text};
use crate::store::{Generation, Sha256, VersionId, hex};
use time::{OffsetDateTime, UtcOffset};

/// Writer of the members of one object, in the order of the calls.
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

    fn maybe_number(&mut self, key: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    /// Writes at most 32 bytes as hexadecimal digits.
    fn hex(&mut self, key: &'static str, bytes: &[u8]) {
        self.0.key(key);
        self.0.raw("\"");
        self.0.raw(hex(bytes, &mut [0; 64]));
        self.0.raw("\"");
    }

    fn digest(&mut self, key: &'static str, digest: &Sha256) {
        self.hex(key, &digest.0);
    }

    /// Writes a 128-bit number in the text form of ids and generations.
    fn id(&mut self, key: &'static str, id: u128) {
        self.hex(key, &id.to_be_bytes());
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

/// Formats a time in UTC. A time without a text form is written as one long past, as in the records of the machines.
pub(super) fn moment(moment: OffsetDateTime) -> String {
    let utc = moment.checked_to_offset(UtcOffset::UTC).and_then(|utc| Instant::try_from(utc).ok());
    utc.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |text| text.as_str().to_owned())
}

/// Returns the format version of a record.
pub(super) const fn schema(draft: &AuditDraft) -> u64 {
    if draft.event.is_some() || matches!(draft.holder, Some(Holder::Release(_))) { SCHEMA_OF_EVENTS } else { SCHEMA }
}

pub(super) fn record(record: &AuditRecord) -> String {
    let AuditRecord { tenant, index, prev, context, draft } = record;
    let mut line = Line(Writer::new());
    line.0.raw("{");
    line.number(",\"schema\":", schema(draft));
    line.text(",\"tenant\":", tenant.as_str());
    line.number(",\"index\":", *index);
    line.digest(",\"prev\":", prev);
    line.text(",\"recorded\":", &moment(draft.at));
    line.object(",\"actor\":", |line| {
        line.text(",\"kind\":", context.actor.kind.as_str());
        line.text(",\"id\":", context.actor.id.as_str());
    });
    write_draft(&mut line, context, draft);
    line.0.raw("}");
    line.0.finish()
}

fn write_draft(line: &mut Line, context: &RecordContext, draft: &AuditDraft) {
    let AuditDraft {
        at: _,
        action,
        actor,
        from,
        to,
        reason,
        comment,
        ingest,
        device,
        component,
        component_version,
        blob,
        generation,
        holder,
        provider,
        version,
        sequence,
        manifest,
        downgrade,
        replaces,
        reported,
        superseded_by,
        restored,
        attempts,
        deadline,
        event,
    } = draft;
    line.maybe(",\"onBehalfOf\":", actor.as_ref().map(ActorId::as_str));
    if let Some(IngestId(id)) = ingest {
        line.id(",\"ingest\":", *id);
    }
    line.text(",\"action\":", action.as_str());
    line.maybe(",\"from\":", from.map(StateName::as_str));
    line.text(",\"to\":", to.as_str());
    line.maybe(",\"reason\":", reason.map(UploadFailure::as_str));
    line.maybe(",\"comment\":", comment.as_ref().map(Text::as_str));
    line.maybe(",\"device\":", device.as_ref().map(Id::as_str));
    line.maybe(",\"component\":", component.as_ref().map(Id::as_str));
    line.maybe_number(",\"before\":", context.before.map(VersionId::get));
    line.maybe_number(",\"after\":", component_version.map(VersionId::get));
    line.maybe_number(",\"written\":", context.written.map(VersionId::get));
    if let Some(blob) = blob {
        line.digest(",\"sha256\":", &blob.digest);
        line.number(",\"size\":", blob.size);
    }
    if let Some(Generation(generation)) = generation {
        line.id(",\"generation\":", *generation);
    }
    if let Some(holder) = holder {
        line.object(",\"holder\":", |line| write_holder(line, holder));
    }
    line.maybe(",\"provider\":", provider.as_ref().map(Text::as_str));
    line.maybe(",\"update\":", context.update.as_ref().map(UpdateName::as_str));
    line.maybe(",\"version\":", version.as_ref().map(Text::as_str));
    line.maybe_number(",\"sequence\":", *sequence);
    if let Some(manifest) = manifest {
        line.digest(",\"manifest\":", manifest);
    }
    if let Some(downgrade) = downgrade {
        line.object(",\"downgrade\":", |line| write_downgrade(line, downgrade));
    }
    if let Some(replaces) = replaces {
        line.digest(",\"replaces\":", replaces);
    }
    line.maybe(",\"reported\":", reported.as_ref().map(Text::as_str));
    if let Some(verification) = &context.verification {
        line.object(",\"verification\":", |line| {
            line.text(",\"verdict\":", verification.verdict.as_str());
            line.list(",\"keys\":", verification.keys.iter().map(KeyId::as_str));
        });
    }
    if let Some(IngestId(id)) = superseded_by {
        line.id(",\"supersededBy\":", *id);
    }
    line.maybe_number(",\"restored\":", restored.map(u64::from));
    line.maybe_number(",\"attempts\":", attempts.map(u64::from));
    line.maybe(",\"deadline\":", deadline.map(moment).as_deref());
    if let Some(event) = event {
        line.0.key(",\"event\":");
        line.0.raw(event.as_str());
    }
}

fn write_holder(line: &mut Line, holder: &Holder) {
    match holder {
        Holder::Ingest(id) => line.id(",\"ingest\":", id.0),
        Holder::Release(id) => line.id(",\"release\":", id.0),
        Holder::Retention { pin, until } => {
            line.text(",\"retention\":", pin.as_str());
            line.text(",\"until\":", &moment(*until));
        }
        Holder::LegalHold(pin) => line.text(",\"legalHold\":", pin.as_str()),
    }
}

fn write_downgrade(line: &mut Line, downgrade: &DowngradeAuthorization) {
    let DowngradeAuthorization { from, to, reason, approved_by, not_after } = downgrade;
    line.number(",\"from\":", *from);
    line.number(",\"to\":", *to);
    line.text(",\"reason\":", reason.as_str());
    line.list(",\"approvedBy\":", approved_by.iter().map(ActorId::as_str));
    line.text(",\"notAfter\":", &moment(*not_after));
}
