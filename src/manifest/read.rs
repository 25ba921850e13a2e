//! Parsing of manifests from JSON.

use super::fields::{Field, Fields, many, member, once};
use super::{
    ActorId, Artifact, Bounds, CompatibilityRule, DowngradeAuthorization, ProductionSpec, RequiredValue, Requirement,
    RequirementScope, Target, UpdateIdentity, UpdateManifest, Urgency, VersionLabel, VersionRange, VersionScheme,
};
use crate::containment::IdentifierQuery;
use crate::element::{Read, ReadMode, Reader};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::nomenclature::Level;
use crate::primitive::{Instant, Text};
use time::OffsetDateTime;

/// Root of the paths of findings.
const ROOT: &str = "UpdateManifest";

/// Version of the manifest format.
pub(super) const FORMAT: u64 = 1;

/// Maximum size of a manifest in bytes. Every update keeps its manifest, and it is read again for each explanation.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Maximum number of items of an array.
const MAX_ITEMS: usize = 64;

pub(super) fn manifest(json: &[u8]) -> Result<UpdateManifest, Report> {
    let refuse =
        |rule, kind, message: String| Err(Report::from_iter([Issue::new(rule, Severity::Fatal, kind, ROOT, message)]));
    if json.len() > MAX_BYTES {
        let message = format!("found {} bytes, wanted at most {MAX_BYTES}", json.len());
        return refuse("too-large", IssueType::TooLong, message);
    }
    let Ok(text) = std::str::from_utf8(json) else {
        return refuse("json", IssueType::Invalid, "found bytes that are not UTF-8".to_owned());
    };
    let mut r = Reader::new(text, ReadMode::Strict);
    let at = Path::root(ROOT);
    let read = read_manifest(&mut r, &at).and_then(|read| r.end().map(|()| read));
    let mut report = r.into_report(ROOT);
    match read {
        Ok(Some(manifest)) if report.is_empty() => Ok(manifest),
        // Nothing is refused without a finding.
        Ok(_) | Err(_) if !report.is_empty() => {
            report.sort();
            Err(report)
        }
        Ok(_) | Err(_) => refuse("json", IssueType::Invalid, "found no manifest".to_owned()),
    }
}

fn read_manifest(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<UpdateManifest>> {
    const FIELDS: Fields = Fields(&[
        Field::required("format"),
        Field::required("identity"),
        Field::required("sequence"),
        Field::required("target"),
        Field::required("reportedAs"),
        Field::required("compatibility"),
        Field::optional("requires"),
        Field::required("artifacts"),
        Field::required("urgency"),
        Field::optional("expiresAt"),
        Field::optional("downgrade"),
    ]);
    let (mut identity, mut sequence, mut target, mut reported_as) = (None, None, None, None);
    let (mut compatibility, mut requires, mut artifacts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut urgency, mut expires_at, mut downgrade) = (None, None, None);
    let whole = FIELDS.read(r, at, &mut |r, at, name| match name {
        "format" => read_format(r, at),
        "identity" => member(&mut identity, read_identity(r, at)),
        "sequence" => member(&mut sequence, once::number(r, at, u64::MAX)),
        "target" => member(&mut target, read_target(r, at)),
        "reportedAs" => member(&mut reported_as, read_spec(r, at)),
        "compatibility" => many(&mut compatibility, r, at, MAX_ITEMS, &mut read_compatibility),
        "requires" => many(&mut requires, r, at, MAX_ITEMS, &mut read_requirement),
        "artifacts" => many(&mut artifacts, r, at, MAX_ITEMS, &mut read_artifact),
        "urgency" => member(&mut urgency, once::named(r, at, &Urgency::ALL, Urgency::as_str)),
        "expiresAt" => member(&mut expires_at, read_moment(r, at)),
        _ => member(&mut downgrade, read_downgrade(r, at)),
    })?;
    for (index, artifact) in artifacts.iter().enumerate() {
        let name = |other: &Artifact| other.name.as_str().to_lowercase();
        if artifacts.iter().take(index).any(|other| name(other) == name(artifact)) {
            let message = format!("`{}` is the name of another file, wanted one of its own", artifact.name);
            let item = at.item("artifacts", index);
            r.find(r.offset(), "same-name", IssueType::Duplicate, &item.child("name"), message);
        }
    }
    let (Some(identity), Some(sequence), Some(target), Some(reported_as), Some(urgency), true) =
        (identity, sequence, target, reported_as, urgency, whole)
    else {
        return Ok(None);
    };
    let manifest = UpdateManifest {
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
    };
    Ok(Some(manifest))
}

fn read_format(r: &mut Reader<'_>, at: &Path<'_>) -> Read<()> {
    let offset = r.offset();
    if let Some(format) = once::number(r, at, u64::MAX)?
        && format != FORMAT
    {
        r.find(
            offset,
            "format",
            IssueType::NotSupported,
            at,
            format!("`{format}` is not a form that is known, wanted {FORMAT}"),
        );
    }
    Ok(())
}

fn read_identity(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<UpdateIdentity>> {
    const FIELDS: Fields = Fields(&[
        Field::required("provider"),
        Field::required("name"),
        Field::required("version"),
        Field::required("scheme"),
    ]);
    let (mut provider, mut name, mut version, mut scheme) = (None, None, None, None);
    let offset = r.offset();
    let whole = FIELDS.read(r, at, &mut |r, at, field| match field {
        "provider" => member(&mut provider, once::text(r, at)),
        "name" => member(&mut name, once::text(r, at)),
        "version" => member(&mut version, once::text(r, at)),
        _ => member(&mut scheme, read_scheme(r, at)),
    })?;
    if let (Some(version), Some(scheme)) = (&version, scheme) {
        follows(r, offset, &at.child("version"), scheme, version);
    }
    Ok(match (provider, name, version, scheme, whole) {
        (Some(provider), Some(name), Some(version), Some(scheme), true) => {
            Some(UpdateIdentity { provider, name, version, scheme })
        }
        _ => None,
    })
}

fn read_scheme(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<VersionScheme>> {
    once::named(r, at, &VersionScheme::ALL, VersionScheme::as_str)
}

fn read_spec(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<ProductionSpec>> {
    once::named(r, at, &ProductionSpec::ALL, ProductionSpec::as_str)
}

fn read_level(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Level>> {
    once::named(r, at, &Level::ALL, Level::as_str)
}

/// Adds a finding for a version that does not follow its scheme.
fn follows(r: &mut Reader<'_>, offset: usize, at: &Path<'_>, scheme: VersionScheme, version: &VersionLabel) {
    if !scheme.fits(version.as_str()) {
        let message = format!("`{version}` does not follow the scheme `{scheme}`, wanted {}", scheme.shape());
        r.find(offset, "version-scheme", IssueType::Value, at, message);
    }
}

fn read_moment(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<OffsetDateTime>> {
    let offset = r.offset();
    let Some(text) = once::text::<Instant>(r, at)? else { return Ok(None) };
    let moment = text.to_offset_date_time();
    if moment.is_none() {
        r.find(offset, "malformed", IssueType::Value, at, format!("`{text}` lies beyond the year 9999"));
    }
    Ok(moment)
}

fn read_label(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<IdentifierQuery>> {
    const FIELDS: Fields = Fields(&[Field::optional("system"), Field::required("value")]);
    let (mut system, mut value) = (None::<Text>, None::<Text>);
    let whole = FIELDS.read(r, at, &mut |r, at, field| match field {
        "system" => member(&mut system, once::text(r, at)),
        _ => member(&mut value, once::text(r, at)),
    })?;
    let label = |value: Text| IdentifierQuery {
        system: system.map(|system| system.as_str().to_owned()),
        value: value.as_str().to_owned(),
    };
    Ok(value.filter(|_| whole).map(label))
}

fn read_code(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<u32>> {
    Ok(once::number(r, at, u32::MAX.into())?.and_then(|code| u32::try_from(code).ok()))
}

fn read_target(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Target>> {
    const FIELDS: Fields = Fields(&[
        Field::optional("level"),
        Field::optional("code"),
        Field::optional("identifier"),
        Field::optional("item"),
        Field::optional("component"),
    ]);
    let mut target = Target::default();
    let whole = FIELDS.read(r, at, &mut |r, at, field| match field {
        "level" => member(&mut target.level, read_level(r, at)),
        "code" => member(&mut target.code, read_code(r, at)),
        "identifier" => member(&mut target.identifier, read_label(r, at)),
        "item" => member(&mut target.item, read_label(r, at)),
        _ => member(&mut target.component, once::text(r, at)),
    })?;
    Ok(whole.then_some(target))
}

fn read_compatibility(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<CompatibilityRule>> {
    const FIELDS: Fields = Fields(&[
        Field::optional("manufacturer"),
        Field::optional("model"),
        Field::optional("class"),
        Field::optional("code"),
        Field::optional("partNumber"),
        Field::optional("hardware"),
    ]);
    let mut rule = CompatibilityRule::default();
    let whole = FIELDS.read(r, at, &mut |r, at, field| match field {
        "manufacturer" => member(&mut rule.manufacturer, once::text(r, at)),
        "model" => member(&mut rule.model, once::text(r, at)),
        "class" => member(&mut rule.class, read_label(r, at)),
        "code" => member(&mut rule.code, read_code(r, at)),
        "partNumber" => member(&mut rule.part_number, once::text(r, at)),
        _ => member(&mut rule.hardware, read_range(r, at)),
    })?;
    Ok(whole.then_some(rule))
}

fn read_range(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<VersionRange>> {
    const FIELDS: Fields = Fields(&[
        Field::required("scheme"),
        Field::optional("atLeast"),
        Field::optional("atMost"),
        Field::optional("below"),
        Field::optional("oneOf"),
    ]);
    let offset = r.offset();
    let (mut scheme, mut bounds, mut one_of) = (None, Bounds::default(), Vec::<VersionLabel>::new());
    let whole = FIELDS.read(r, at, &mut |r, at, field| match field {
        "scheme" => member(&mut scheme, read_scheme(r, at)),
        "atLeast" => member(&mut bounds.at_least, once::text(r, at)),
        "atMost" => member(&mut bounds.at_most, once::text(r, at)),
        "below" => member(&mut bounds.below, once::text(r, at)),
        _ => many(&mut one_of, r, at, MAX_ITEMS, &mut once::text),
    })?;
    let Some(scheme) = scheme.filter(|_| whole) else { return Ok(None) };
    let range = VersionRange { scheme, bounds, one_of };
    let Bounds { at_least, at_most, below } = &range.bounds;
    for (name, bound) in [("atLeast", at_least), ("atMost", at_most), ("below", below)] {
        if let Some(bound) = bound {
            follows(r, offset, &at.child(name), scheme, bound);
        }
    }
    for (index, version) in range.one_of.iter().enumerate() {
        follows(r, offset, &at.item("oneOf", index), scheme, version);
    }
    let fault = match (range.bounds.is_empty(), range.one_of.is_empty()) {
        (true, true) => Some("found neither bounds nor versions, wanted one of the two"),
        (false, false) => Some("found bounds and versions, wanted one of the two"),
        (false, true) if scheme == VersionScheme::Opaque => {
            Some("found bounds of versions that have no order, wanted `oneOf`")
        }
        (false, true) if range.is_hollow() => Some("found bounds that no version is between"),
        (false, true) | (true, false) => None,
    };
    if let Some(fault) = fault {
        r.find(offset, "range", IssueType::Invariant, at, fault);
    }
    Ok(fault.is_none().then_some(range))
}

fn read_requirement(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Requirement>> {
    const FIELDS: Fields = Fields(&[
        Field::required("scope"),
        Field::optional("level"),
        Field::optional("of"),
        Field::required("spec"),
        Field::optional("item"),
        Field::optional("range"),
        Field::optional("digest"),
    ]);
    const SCOPES: [RequirementScope; 6] = [
        RequirementScope::Itself,
        RequirementScope::Parent,
        RequirementScope::Ancestor(Level::Mds),
        RequirementScope::Sibling,
        RequirementScope::Child,
        RequirementScope::DeviceRoot,
    ];
    let offset = r.offset();
    let (mut scope, mut level, mut of, mut spec) = (None, None, None, None);
    let (mut item, mut range, mut digest) = (None, None, None);
    let (mut has_level, mut wanted) = (false, 0);
    let whole = FIELDS.read(r, at, &mut |r, at, field| match field {
        "scope" => member(&mut scope, once::named(r, at, &SCOPES, RequirementScope::as_str)),
        "level" => {
            has_level = true;
            member(&mut level, read_level(r, at))
        }
        "of" => member(&mut of, read_target(r, at)),
        "spec" => member(&mut spec, read_spec(r, at)),
        "item" => member(&mut item, read_label(r, at)),
        "range" => {
            wanted += 1;
            member(&mut range, read_range(r, at))
        }
        _ => {
            wanted += 1;
            member(&mut digest, once::text(r, at))
        }
    })?;
    if !whole {
        return Ok(None);
    }
    if wanted != 1 {
        let found = if wanted == 0 { "neither `range` nor `digest`" } else { "`range` and `digest`" };
        r.find(offset, "choice", IssueType::Structure, at, format!("found {found}, wanted one of the two"));
    }
    let scope = match (scope, level) {
        (Some(RequirementScope::Ancestor(_)), None) => {
            if !has_level {
                r.find(
                    offset,
                    "scope-level",
                    IssueType::Required,
                    &at.child("level"),
                    "`level` is missing, wanted that of the ancestor",
                );
            }
            None
        }
        (Some(RequirementScope::Ancestor(_)), Some(level)) => Some(RequirementScope::Ancestor(level)),
        (scope, None) => scope,
        (scope, Some(_)) => {
            let message = "found a level, wanted none beside a scope that is no ancestor";
            r.find(offset, "scope-level", IssueType::Invariant, &at.child("level"), message);
            scope
        }
    };
    let wanted = range.map(RequiredValue::Range).or(digest.map(RequiredValue::Digest));
    Ok(match (scope, spec, wanted) {
        (Some(scope), Some(spec), Some(wanted)) => Some(Requirement { scope, of, spec, item, wanted }),
        _ => None,
    })
}

fn read_artifact(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Artifact>> {
    const FIELDS: Fields = Fields(&[
        Field::required("name"),
        Field::required("mediaType"),
        Field::required("size"),
        Field::required("sha256"),
    ]);
    let (mut name, mut media_type, mut size, mut sha256) = (None, None, None, None);
    FIELDS.read(r, at, &mut |r, at, field| match field {
        "name" => member(&mut name, once::text(r, at)),
        "mediaType" => member(&mut media_type, once::text(r, at)),
        "size" => member(&mut size, read_size(r, at)),
        _ => member(&mut sha256, once::text(r, at)),
    })?;
    Ok(match (name, media_type, size, sha256) {
        (Some(name), Some(media_type), Some(size), Some(sha256)) => Some(Artifact { name, media_type, size, sha256 }),
        _ => None,
    })
}

fn read_size(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<u64>> {
    let offset = r.offset();
    let size = once::number(r, at, u64::MAX)?;
    if size == Some(0) {
        r.find(offset, "malformed", IssueType::Value, at, "found a file without bytes, wanted at least one");
    }
    Ok(size.filter(|size| *size > 0))
}

fn read_downgrade(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<DowngradeAuthorization>> {
    const FIELDS: Fields = Fields(&[
        Field::required("from"),
        Field::required("to"),
        Field::required("reason"),
        Field::required("approvedBy"),
        Field::required("notAfter"),
    ]);
    let (mut from, mut to, mut reason, mut not_after) = (None, None, None, None);
    let mut approved_by = Vec::<ActorId>::new();
    FIELDS.read(r, at, &mut |r, at, field| match field {
        "from" => member(&mut from, once::number(r, at, u64::MAX)),
        "to" => member(&mut to, once::number(r, at, u64::MAX)),
        "reason" => member(&mut reason, once::text(r, at)),
        "approvedBy" => many(&mut approved_by, r, at, MAX_ITEMS, &mut once::text),
        _ => member(&mut not_after, read_moment(r, at)),
    })?;
    Ok(match (from, to, reason, not_after) {
        (Some(from), Some(to), Some(reason), Some(not_after)) => {
            Some(DowngradeAuthorization { from, to, reason, approved_by, not_after })
        }
        _ => None,
    })
}
