//! The values of extensions: their types differ from version to version.

use super::carry::{has_only, push_under, take_under};
use super::context::{Context, Key, relative};
use super::json::{Json, Object};
use super::{BASE_TYPE_R4, BASE_TYPE_R5, Direction, Loss, Version};
use crate::issue::Path;
use std::borrow::Cow;

/// The types that the value of an extension has in STU3.
const STU3: &[&str] = &[
    "Base64Binary",
    "Boolean",
    "Code",
    "Date",
    "DateTime",
    "Decimal",
    "Id",
    "Instant",
    "Integer",
    "Markdown",
    "Oid",
    "PositiveInt",
    "String",
    "Time",
    "UnsignedInt",
    "Uri",
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "CodeableConcept",
    "Coding",
    "ContactPoint",
    "Count",
    "Distance",
    "Duration",
    "HumanName",
    "Identifier",
    "Money",
    "Period",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "SampledData",
    "Signature",
    "Timing",
    "Meta",
];

/// Those that R4 has more, and R5 too.
const R4: &[&str] = &[
    "Canonical",
    "Url",
    "Uuid",
    "ContactDetail",
    "DataRequirement",
    "Dosage",
    "Expression",
    "ParameterDefinition",
    "RelatedArtifact",
    "TriggerDefinition",
    "UsageContext",
];

/// The primitives of R4 that are URIs in STU3: the end of the member and the name of the type.
const URIS: [(&str, &str, &str); 3] =
    [("Canonical", "valueCanonical", "canonical"), ("Url", "valueUrl", "url"), ("Uuid", "valueUuid", "uuid")];

/// Converts an extension, the values in it being converted. Says whether it stays: one whose value has no type in the
/// version does not.
pub(super) fn convert(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) -> bool {
    match ctx.direction {
        Direction::Stu3ToR4 => {
            restore_uri(ctx, object);
            ctx.target != Version::R4B || !object.has("valueMeta") || lose(ctx, "valueMeta", at)
        }
        Direction::R4ToR5 => {
            restore_integer64(ctx, object);
            !object.has("valueContributor") || lose(ctx, "valueContributor", at)
        }
        Direction::R4ToStu3 => {
            let Some(name) = foreign(object, |value| STU3.contains(&value)) else { return true };
            match URIS.iter().find(|(value, ..)| name.strip_prefix("value") == Some(value)) {
                Some((_, name, r#type)) => {
                    rename(object, name, "valueUri", BASE_TYPE_R4, r#type);
                    true
                }
                None => lose(ctx, &name, at),
            }
        }
        Direction::R5ToR4 => {
            let known = |value: &str| STU3.contains(&value) || R4.contains(&value);
            let Some(name) = foreign(object, known) else { return true };
            if name == "valueInteger64" {
                rename(object, "valueInteger64", "valueString", BASE_TYPE_R5, "integer64");
                return true;
            }
            lose(ctx, &name, at)
        }
    }
}

/// The member of a value whose type is not known.
fn foreign(object: &Object<'_>, known: impl Fn(&str) -> bool) -> Option<String> {
    let names = object.members.iter().map(|(name, _)| name.strip_prefix('_').unwrap_or(name));
    let mut foreign = names.filter(|name| name.strip_prefix("value").is_some_and(|value| !known(value)));
    foreign.next().map(str::to_owned)
}

fn lose(ctx: &mut Context<'_>, name: &str, at: &Path<'_>) -> bool {
    let place = relative(&at.child(name));
    let version = ctx.target;
    let detail = format!("`{name}` is no value of an extension in {version}");
    ctx.lose(Loss::ValueType, Key::Lost, format!("Extension.{name}"), detail, place);
    false
}

/// Gives a value another name, and says beside it what its type was.
fn rename<'a>(object: &mut Object<'a>, from: &str, to: &'static str, base_type: &'static str, r#type: &'static str) {
    let value = object.take(from);
    let extra = object.take(&super::carry::under(from));
    object.put_some(to, value);
    object.put_some(super::carry::under(to), extra);
    let said = Object::of([("url", Json::text(base_type)), ("valueString", Json::text(r#type))]);
    push_under(object, to, said);
}

/// Gives a value the type that it had before [`rename`].
fn back<'a>(
    ctx: &Context<'_>,
    object: &mut Object<'a>,
    from: &'static str,
    base_type: &str,
    to: impl Fn(&str) -> Option<&'static str>,
) {
    let name_of = |said: &Object<'_>| {
        if has_only(said, "valueString") { said.text("valueString").and_then(&to) } else { None }
    };
    let said = take_under(ctx, object, from, base_type, |said| name_of(said).is_some());
    let Some(name) = said.as_ref().and_then(name_of) else { return };
    let value = object.take(from);
    let extra = object.take(&super::carry::under(from));
    object.put_some(name, value);
    object.put_some(Cow::Owned(super::carry::under(name)), extra);
}

fn restore_uri(ctx: &Context<'_>, object: &mut Object<'_>) {
    back(ctx, object, "valueUri", BASE_TYPE_R4, |said| {
        URIS.iter().find(|(.., r#type)| *r#type == said).map(|(_, name, _)| *name)
    });
}

fn restore_integer64(ctx: &Context<'_>, object: &mut Object<'_>) {
    back(ctx, object, "valueString", BASE_TYPE_R5, |said| (said == "integer64").then_some("valueInteger64"));
}
