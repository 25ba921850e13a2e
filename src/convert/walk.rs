//! One walk over a resource that converts the datatypes in it, from the leaves.

use super::context::{Context, Key, Place, relative};
use super::datatype;
use super::decimal;
use super::json::{Json, Object};
use super::{Direction, check, extension, source};
use crate::issue::Path;
use std::collections::BTreeSet;

/// What an object in a document is, as far as a conversion has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A resource or a backbone element of one.
    Record,
    /// A Bundle or a backbone element of one.
    Bundle,
    /// An element without anything to convert but its extensions.
    Element,
    Extension,
    Reference,
    /// The `parent` of a component or metric of STU3, which leads to a component in any case.
    Parent,
    CodeableReference,
    Identifier,
    Concept,
    ContactPoint,
    Attachment,
    Timing,
    Repeat,
    Annotation,
    Signature,
    Meta,
    Quantity,
    Range,
    Ratio,
    SampledData,
    Money,
    Address,
}

impl Kind {
    /// What a member is; nothing where it is not looked at.
    fn member(self, name: &str, direction: Direction) -> Option<Self> {
        match (self, name) {
            (_, "extension" | "modifierExtension") => Some(Self::Extension),
            (Self::Record | Self::Bundle, "meta") => Some(Self::Meta),
            (Self::Record, "contained") | (Self::Bundle, "resource" | "outcome" | "issues") => None,
            (Self::Record, _) => Some(Self::in_record(name, direction)),
            (Self::Bundle, "identifier") => Some(Self::Identifier),
            (Self::Bundle, "signature") => Some(Self::Signature),
            (Self::Bundle, _) => Some(Self::Bundle),
            (Self::Extension, _) => Self::of_value(name.strip_prefix("value")?),
            (Self::Identifier, "type") => Some(Self::Concept),
            (Self::Identifier, "assigner") | (Self::CodeableReference, "reference") => Some(Self::Reference),
            (Self::Reference, "identifier") => Some(Self::Identifier),
            (Self::Parent, "identifier") => Some(Self::Identifier),
            (Self::CodeableReference, "concept") => Some(Self::Concept),
            (Self::Timing, "repeat") => Some(Self::Repeat),
            (Self::Timing, "code") => Some(Self::Concept),
            (Self::Repeat, "boundsDuration") => Some(Self::Quantity),
            (Self::Repeat, "boundsRange") => Some(Self::Range),
            (Self::Annotation, "authorReference") => Some(Self::Reference),
            (Self::Signature, "who" | "whoReference" | "onBehalfOf" | "onBehalfOfReference") => Some(Self::Reference),
            (Self::Range, _) | (Self::Ratio, _) | (Self::SampledData, "origin") => Some(Self::Quantity),
            _ => Some(Self::Element),
        }
    }

    fn in_record(name: &str, direction: Direction) -> Self {
        match name {
            "identifier" | "biologicalSourceEvent" | "componentId" | "component" => Self::Identifier,
            "parent" if direction == Direction::Stu3ToR4 => Self::Parent,
            "definition" if direction == Direction::R5ToR4 => Self::CodeableReference,
            "source" | "parent" | "device" | "definition" | "owner" | "patient" | "location" | "endpoint" => {
                Self::Reference
            }
            "gateway" => Self::CodeableReference,
            "contact" => Self::ContactPoint,
            "note" => Self::Annotation,
            "measurementPeriod" => Self::Timing,
            "measurementFrequency" | "cycle" | "duration" | "valueQuantity" => Self::Quantity,
            "valueRange" => Self::Range,
            "valueAttachment" => Self::Attachment,
            "udi"
            | "udiCarrier"
            | "deviceName"
            | "name"
            | "version"
            | "specialization"
            | "conformsTo"
            | "property"
            | "productionSpecification"
            | "calibration" => Self::Record,
            // Concepts, for the most part.
            _ => Self::Concept,
        }
    }

    /// What the value of an extension is, by the end of the name of its member.
    fn of_value(value: &str) -> Option<Self> {
        Some(match value {
            "Reference" => Self::Reference,
            "Identifier" => Self::Identifier,
            "CodeableConcept" => Self::Concept,
            "ContactPoint" => Self::ContactPoint,
            "Attachment" => Self::Attachment,
            "Timing" => Self::Timing,
            "Annotation" => Self::Annotation,
            "Signature" => Self::Signature,
            "Meta" => Self::Meta,
            "Quantity" | "Age" | "Count" | "Distance" | "Duration" => Self::Quantity,
            "Range" => Self::Range,
            "Ratio" => Self::Ratio,
            "SampledData" => Self::SampledData,
            "Money" => Self::Money,
            "Address" => Self::Address,
            "CodeableReference" => Self::CodeableReference,
            _ => Self::Element,
        })
    }
}

/// Converts the datatypes below an object, and the object itself. Says whether it stays.
pub(super) fn walk<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, kind: Kind, at: &Path<'_>) -> bool {
    if ctx.is_checked {
        check::check_object(ctx, object, kind, at);
    }
    let owner = if kind == Kind::Extension { object.text("url").map(str::to_owned) } else { None };
    let mut emptied = false;
    let (mut only_nulls, mut lists_under): (Vec<String>, Vec<String>) = Default::default();
    for (name, value) in &mut object.members {
        if name.starts_with('_') && matches!(value, Json::Array(_)) {
            lists_under.push(name.clone().into_owned());
        }
        // What comes from STU3 was read before.
        if let (false, Some(wanted)) = (ctx.direction == Direction::Stu3ToR4, wanted_shape(name, value)) {
            refuse(ctx, wanted, &at.child(name));
            continue;
        }
        let kind = match &*value {
            Json::Text(_) => continue,
            Json::Token(_) if !value.is_null() => continue,
            Json::Token(_) => {
                refuse(ctx, "found null, wanted a value or no member", &at.child(name));
                continue;
            }
            Json::Array(items) if items.is_empty() => {
                refuse(ctx, "found an empty array, wanted items or no member", &at.child(name));
                continue;
            }
            Json::Object(object) if object.is_empty() => {
                refuse(ctx, "found an empty object, wanted members or no member", &at.child(name));
                continue;
            }
            Json::Array(items) if !name.starts_with('_') && items.iter().all(Json::is_null) => {
                only_nulls.push(name.clone().into_owned());
                continue;
            }
            Json::Object(_) | Json::Array(_) if name.starts_with('_') => Some(Kind::Element),
            Json::Object(_) | Json::Array(_) => kind.member(name, ctx.direction),
        };
        let Some(kind) = kind else { continue };
        if let (Kind::Extension, Json::Array(items)) = (kind, &mut *value) {
            source::wrap(ctx, items, owner.as_deref(), &at.child(name));
        }
        emptied |= visit(ctx, value, kind, &at.child(name));
    }
    if !only_nulls.is_empty() {
        let extras: BTreeSet<&str> = object.members.iter().filter_map(|(own, _)| own.strip_prefix('_')).collect();
        // The nulls of primitives stand for their ids and extensions.
        for name in only_nulls.iter().filter(|name| !extras.contains(name.as_str())) {
            refuse(ctx, "found only null in an array, wanted items or no member", &at.child(name));
        }
    }
    if !lists_under.is_empty() {
        let single = object.members.iter().filter(|(_, value)| !matches!(value, Json::Array(_)));
        let single: BTreeSet<&str> = single.map(|(own, _)| &**own).collect();
        for name in &lists_under {
            if kind == Kind::Extension || single.contains(name.trim_start_matches('_')) {
                refuse(ctx, "found an array beside a single value, wanted an object", &at.child(name));
            }
        }
    }
    if emptied {
        object.members.retain(|(_, value)| !is_empty_value(value));
    }
    decimal::convert(ctx, object, kind, at);
    if kind == Kind::Extension { extension::convert(ctx, object, at) } else { datatype::convert(ctx, object, kind, at) }
}

/// Converts a value or the items of an array. Says whether something was taken away.
fn visit(ctx: &mut Context<'_>, value: &mut Json<'_>, kind: Kind, at: &Path<'_>) -> bool {
    match value {
        Json::Object(object) => !walk(ctx, object, kind, at) || object.is_empty(),
        Json::Array(items) => {
            let before = items.len();
            let pads = at.name().starts_with('_') || !items.iter().any(|item| matches!(item, Json::Object(_)));
            let mut hollow = false;
            let mut index = 0;
            items.retain_mut(|item| {
                let here = at.indexed(index);
                index += 1;
                match item {
                    Json::Object(object) if object.is_empty() => {
                        refuse(ctx, "found an empty object, wanted members or no item", &here);
                        true
                    }
                    Json::Token(_) if item.is_null() && !pads => {
                        refuse(ctx, "found null among objects, wanted objects alone", &here);
                        true
                    }
                    Json::Object(object) => {
                        let stays = walk(ctx, object, kind, &here);
                        hollow |= object.is_empty();
                        stays
                    }
                    _ => true,
                }
            });
            hollow || items.len() < before
        }
        _ => false,
    }
}

/// What is wanted of a member that has a value of another shape, of those to which a conversion adds or from which it takes.
fn wanted_shape(name: &str, value: &Json<'_>) -> Option<&'static str> {
    let objects = |items: &[Json<'_>]| items.iter().all(|item| matches!(item, Json::Object(_)));
    match (name, value) {
        ("extension" | "modifierExtension" | "contained" | "entry" | "tag", Json::Array(items)) if objects(items) => {
            None
        }
        ("extension" | "modifierExtension" | "contained" | "entry" | "tag", _) => {
            Some("found no array of objects, wanted one")
        }
        ("meta", Json::Object(_)) => None,
        ("meta", _) => Some("found no object, wanted one"),
        (name, Json::Array(items)) if name.starts_with('_') => {
            let padded = items.iter().all(|item| matches!(item, Json::Object(_)) || item.is_null());
            if padded { None } else { Some("found other items than objects and null, wanted those alone") }
        }
        (name, Json::Text(_) | Json::Token(_)) if name.starts_with('_') => Some("found no object or array, wanted one"),
        _ => None,
    }
}

/// A member without content, or of another shape, is refused, and not dropped on the way.
#[cold]
fn refuse(ctx: &mut Context<'_>, words: &'static str, at: &Path<'_>) {
    let place = relative(at);
    let element = [&*ctx.base, &*place].join(".");
    ctx.find(Key::WrongType, element, words, place, Place::None);
}

/// Whether nothing is left of a value from which something was taken away.
fn is_empty_value(value: &Json<'_>) -> bool {
    match value {
        Json::Object(object) => object.is_empty(),
        Json::Array(items) => items.iter().all(|item| item.is_null() || is_empty_value(item)),
        _ => false,
    }
}
