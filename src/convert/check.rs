//! What R4 and R5 require of a document of theirs: elements that must be there, and codes of required bindings.
//!
//! What STU3 requires too is found by its reader as well. Here stand all rows of the three resources, of Bundle and of the
//! datatypes that are converted, as the reader does not know the rules of what is carried.

use super::Step;
use super::codes;
use super::context::{Context, Key, Place, relative};
use super::json::{Json, Object};
use super::walk::Kind;
use crate::issue::Path;

/// What a version requires of one member.
struct Member {
    name: &'static str,
    is_required: bool,
    /// Whether a code is one that the member may have, where the binding is required.
    has: Option<fn(&str) -> bool>,
}

const fn required(name: &'static str) -> Member {
    Member { name, is_required: true, has: None }
}

const fn code(name: &'static str, has: fn(&str) -> bool) -> Member {
    Member { name, is_required: false, has: Some(has) }
}

impl Member {
    const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }
}

/// A code of one of the lists.
macro_rules! of {
    ($($codes:ident)|+) => { |code: &str| $(codes::$codes.contains(&code))||+ };
}

/// The members of the objects of a resource: the type, the name of the member that holds the object, and the members.
type Table = &'static [(&'static str, &'static str, &'static [Member])];

/// What R4 and R5 have in common.
const BOTH: Table = &[
    (
        "DeviceMetric",
        "",
        &[
            required("type"),
            code("operationalStatus", of!(METRIC_STATUS)),
            code("category", of!(METRIC_CATEGORY)).required(),
        ],
    ),
    ("DeviceMetric", "calibration", &[code("type", of!(CALIBRATION_TYPE)), code("state", of!(CALIBRATION_STATE))]),
    ("Device", "udiCarrier", &[code("entryType", of!(UDI_ENTRY))]),
    ("Device", "version", &[required("value")]),
    ("Device", "property", &[required("type")]),
    ("Bundle", "link", &[required("relation"), required("url")]),
    ("Bundle", "search", &[code("mode", of!(SEARCH_MODE))]),
    ("Bundle", "request", &[code("method", of!(VERB)).required(), required("url")]),
    ("Bundle", "response", &[required("status")]),
];

const R4: Table = &[
    ("Device", "", &[code("status", of!(STATUS_R4))]),
    ("Device", "deviceName", &[required("name"), code("type", of!(NAME_R4)).required()]),
    ("Device", "specialization", &[required("systemType")]),
    ("DeviceMetric", "", &[code("color", of!(COLOR_R4))]),
    ("Bundle", "", &[code("type", of!(BUNDLE_R4)).required()]),
];

const R5: Table = &[
    ("Device", "", &[code("status", of!(STATUS_R5))]),
    ("Device", "udiCarrier", &[required("deviceIdentifier"), required("issuer")]),
    ("Device", "name", &[required("value"), code("type", of!(NAME_R5)).required()]),
    ("Device", "conformsTo", &[required("specification")]),
    ("Device", "property", &[required("value[x]")]),
    ("DeviceMetric", "", &[required("device"), code("color", codes::is_color_of_r5)]),
    ("Bundle", "", &[code("type", of!(BUNDLE_R5)).required()]),
    ("Bundle", "link", &[code("relation", of!(RELATION_R5))]),
];

/// The members of the datatypes that are checked.
const DATATYPES: &[(Kind, &[Member])] = &[
    (Kind::Identifier, &[code("use", of!(IDENTIFIER_USE))]),
    (Kind::Address, &[code("use", of!(ADDRESS_USE))]),
    (Kind::Annotation, &[required("text")]),
    (Kind::SampledData, &[required("origin"), required("dimensions")]),
];
const DATATYPES_R4: &[(Kind, &[Member])] = &[
    (Kind::Quantity, &[code("comparator", of!(COMPARATOR_R4))]),
    (Kind::Repeat, &[code("when", of!(EVENT_STU3 | EVENT_ADDED))]),
    (Kind::SampledData, &[required("period")]),
    (Kind::Signature, &[required("type"), required("when"), required("who")]),
];
const DATATYPES_R5: &[(Kind, &[Member])] = &[
    (Kind::Quantity, &[code("comparator", of!(COMPARATOR_R5))]),
    (Kind::Repeat, &[code("when", of!(EVENT_STU3 | EVENT_ADDED | EVENT_ADDED_R5))]),
    (Kind::SampledData, &[required("intervalUnit")]),
];

/// Checks an object of a document of R4 or R5, before anything in it is converted.
pub(super) fn check_object(ctx: &mut Context<'_>, object: &Object<'_>, kind: Kind, at: &Path<'_>) {
    let is_r5 = ctx.direction.steps().first() == Some(&Step::R5);
    let tables = match kind {
        Kind::Record | Kind::Bundle => {
            for (resource, holder, members) in BOTH.iter().chain(if is_r5 { R5 } else { R4 }) {
                if *holder == at.name() && *resource == ctx.resource {
                    check_members(ctx, object, members, at);
                }
            }
            return;
        }
        _ => [DATATYPES, if is_r5 { DATATYPES_R5 } else { DATATYPES_R4 }],
    };
    for (_, members) in tables.into_iter().flatten().filter(|(of, _)| *of == kind) {
        check_members(ctx, object, members, at);
    }
}

fn check_members(ctx: &mut Context<'_>, object: &Object<'_>, members: &[Member], at: &Path<'_>) {
    for member in members {
        let is_choice = member.name.strip_suffix("[x]");
        let present = match is_choice {
            Some(choice) => object.members.iter().any(|(name, _)| {
                name.strip_prefix('_').unwrap_or(name).strip_prefix(choice).is_some_and(|end| !end.is_empty())
            }),
            None => object.has(member.name) || object.has_under(member.name),
        };
        if !present && member.is_required {
            let name = is_choice.unwrap_or(member.name);
            let detail = format!("`{}` has to be there in FHIR {}", member.name, ctx.source);
            find(ctx, Key::Missing, detail, &at.child(name));
        }
        let Some(has) = member.has else { continue };
        let place = at.child(member.name);
        match object.get(member.name) {
            Some(Json::Text(code)) => check_code(ctx, code, has, &place),
            Some(Json::Array(items)) => {
                for (index, code) in items.iter().enumerate().filter_map(|(index, item)| Some((index, item.as_text()?)))
                {
                    check_code(ctx, code, has, &place.indexed(index));
                }
            }
            _ => {}
        }
    }
}

fn check_code(ctx: &mut Context<'_>, code: &str, has: fn(&str) -> bool, at: &Path<'_>) {
    if !has(code) {
        let detail = format!("`{code}` is not in the value set of FHIR {}", ctx.source);
        find(ctx, Key::WrongCode, detail, at);
    }
}

#[cold]
fn find(ctx: &mut Context<'_>, key: Key, detail: String, at: &Path<'_>) {
    let place = relative(at);
    let element = [&*ctx.base, &*place].join(".");
    ctx.find(key, element, detail, place, Place::None);
}
