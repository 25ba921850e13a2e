//! Serialization of manifests to JSON.

use super::read::FORMAT;
use super::{
    Artifact, CompatibilityRule, DowngradeAuthorization, RequiredValue, Requirement, RequirementScope, Target,
    UpdateManifest, VersionRange,
};
use crate::containment::IdentifierQuery;
use crate::element::Writer;
use crate::primitive::Instant;
use time::{OffsetDateTime, UtcOffset};

fn text(w: &mut Writer, key: &'static str, text: &str) {
    w.key(key);
    w.string(text);
}

fn maybe(w: &mut Writer, key: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        text(w, key, value);
    }
}

fn number(w: &mut Writer, key: &'static str, number: u64) {
    w.key(key);
    w.raw(&number.to_string());
}

fn object(w: &mut Writer, key: &'static str, members: impl FnOnce(&mut Writer)) {
    w.key(key);
    w.raw("{");
    members(w);
    w.raw("}");
}

fn array<T>(w: &mut Writer, key: &'static str, items: &[T], item: impl Fn(&mut Writer, &T)) {
    w.key(key);
    w.raw("[");
    for one in items {
        w.item();
        item(w, one);
    }
    w.raw("]");
}

fn objects<T>(w: &mut Writer, key: &'static str, items: &[T], members: impl Fn(&mut Writer, &T)) {
    array(w, key, items, |w, one| {
        w.raw("{");
        members(w, one);
        w.raw("}");
    });
}

fn moment(w: &mut Writer, key: &'static str, moment: OffsetDateTime) {
    let utc = moment.checked_to_offset(UtcOffset::UTC).and_then(|utc| Instant::try_from(utc).ok());
    // A time without a text form is written as one long past.
    text(w, key, utc.as_ref().map_or("0001-01-01T00:00:00Z", Instant::as_str));
}

pub(super) fn manifest(manifest: &UpdateManifest) -> String {
    let UpdateManifest {
        identity,
        sequence,
        target,
        reported_as,
        compatibility,
        requires,
        artifacts,
        urgency,
        expires_at,
        downgrade,
    } = manifest;
    let mut w = Writer::new();
    w.raw("{");
    number(&mut w, ",\"format\":", FORMAT);
    object(&mut w, ",\"identity\":", |w| {
        text(w, ",\"provider\":", identity.provider.as_str());
        text(w, ",\"name\":", identity.name.as_str());
        text(w, ",\"version\":", identity.version.as_str());
        text(w, ",\"scheme\":", identity.scheme.as_str());
    });
    number(&mut w, ",\"sequence\":", *sequence);
    object(&mut w, ",\"target\":", |w| write_target(w, target));
    text(&mut w, ",\"reportedAs\":", reported_as.as_str());
    objects(&mut w, ",\"compatibility\":", compatibility, write_compatibility);
    if !requires.is_empty() {
        objects(&mut w, ",\"requires\":", requires, write_requirement);
    }
    objects(&mut w, ",\"artifacts\":", artifacts, write_artifact);
    text(&mut w, ",\"urgency\":", urgency.as_str());
    if let Some(expires_at) = expires_at {
        moment(&mut w, ",\"expiresAt\":", *expires_at);
    }
    if let Some(downgrade) = downgrade {
        object(&mut w, ",\"downgrade\":", |w| write_downgrade(w, downgrade));
    }
    w.raw("}");
    w.finish()
}

fn write_label(w: &mut Writer, key: &'static str, label: Option<&IdentifierQuery>) {
    if let Some(label) = label {
        object(w, key, |w| {
            maybe(w, ",\"system\":", label.system.as_deref());
            text(w, ",\"value\":", &label.value);
        });
    }
}

fn write_target(w: &mut Writer, target: &Target) {
    let Target { level, code, identifier, item, component } = target;
    maybe(w, ",\"level\":", level.map(|level| level.as_str()));
    if let Some(code) = code {
        number(w, ",\"code\":", (*code).into());
    }
    write_label(w, ",\"identifier\":", identifier.as_ref());
    write_label(w, ",\"item\":", item.as_ref());
    maybe(w, ",\"component\":", component.as_ref().map(|id| id.as_str()));
}

fn write_compatibility(w: &mut Writer, rule: &CompatibilityRule) {
    let CompatibilityRule { manufacturer, model, class, code, part_number, hardware } = rule;
    maybe(w, ",\"manufacturer\":", manufacturer.as_ref().map(|text| text.as_str()));
    maybe(w, ",\"model\":", model.as_ref().map(|text| text.as_str()));
    write_label(w, ",\"class\":", class.as_ref());
    if let Some(code) = code {
        number(w, ",\"code\":", (*code).into());
    }
    maybe(w, ",\"partNumber\":", part_number.as_ref().map(|text| text.as_str()));
    if let Some(hardware) = hardware {
        object(w, ",\"hardware\":", |w| write_range(w, hardware));
    }
}

fn write_range(w: &mut Writer, range: &VersionRange) {
    let VersionRange { scheme, bounds, one_of } = range;
    text(w, ",\"scheme\":", scheme.as_str());
    maybe(w, ",\"atLeast\":", bounds.at_least.as_ref().map(|version| version.as_str()));
    maybe(w, ",\"atMost\":", bounds.at_most.as_ref().map(|version| version.as_str()));
    maybe(w, ",\"below\":", bounds.below.as_ref().map(|version| version.as_str()));
    if !one_of.is_empty() {
        array(w, ",\"oneOf\":", one_of, |w, version| w.string(version.as_str()));
    }
}

fn write_requirement(w: &mut Writer, requirement: &Requirement) {
    let Requirement { scope, of, spec, item, wanted } = requirement;
    text(w, ",\"scope\":", scope.as_str());
    if let RequirementScope::Ancestor(level) = scope {
        text(w, ",\"level\":", level.as_str());
    }
    if let Some(of) = of {
        object(w, ",\"of\":", |w| write_target(w, of));
    }
    text(w, ",\"spec\":", spec.as_str());
    write_label(w, ",\"item\":", item.as_ref());
    match wanted {
        RequiredValue::Range(range) => object(w, ",\"range\":", |w| write_range(w, range)),
        RequiredValue::Digest(digest) => text(w, ",\"digest\":", &digest.to_string()),
    }
}

fn write_artifact(w: &mut Writer, artifact: &Artifact) {
    let Artifact { name, media_type, size, sha256 } = artifact;
    text(w, ",\"name\":", name.as_str());
    text(w, ",\"mediaType\":", media_type.as_str());
    number(w, ",\"size\":", *size);
    text(w, ",\"sha256\":", &sha256.to_string());
}

fn write_downgrade(w: &mut Writer, downgrade: &DowngradeAuthorization) {
    let DowngradeAuthorization { from, to, reason, approved_by, not_after } = downgrade;
    number(w, ",\"from\":", *from);
    number(w, ",\"to\":", *to);
    text(w, ",\"reason\":", reason.as_str());
    array(w, ",\"approvedBy\":", approved_by, |w, actor| w.string(actor.as_str()));
    moment(w, ",\"notAfter\":", *not_after);
}
