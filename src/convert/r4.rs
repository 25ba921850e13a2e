//! The step between STU3 and R4: Device, DeviceComponent and DeviceMetric.

use super::Direction;
use super::carry::{
    COMPONENT_R4, COMPONENT_STU3, DEVICE_R4, METRIC_R4, Row, TYPE_R4, Taken, absent_element, carry, carry_code,
    carry_taken, edited, has_only, is_absent, plain, put_restored, restore, restore_code, take_carried, take_extension,
    under,
};
use super::codes;
use super::context::{Context, Key, Place};
use super::json::{Json, Object};
use super::literal::{component_id, reference_to_component};
use super::options::{Components, IdPolicy, LinkPolicy};
use super::specification;
use crate::nomenclature::{Level, Term, is_mdc};
use crate::primitive::CanonicalName;

const LABEL: &str = "udi-label-name";
const UDI_NAME: &str = x3!("Device.udi.name");
pub(super) const COMPONENT: &str = "DeviceComponent";
const STATUS_STU3: &str = "http://hl7.org/fhir/operational-status";
const STATUS_R4: &str = "http://terminology.hl7.org/CodeSystem/device-status-reason";
const ENTERED_IN_ERROR: &str = "entered-in-error";

// --------------------------------------------------------------------------------------------------------- Device

pub(super) fn device_up<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let mut carried = take_carried(ctx, object, DEVICE_R4);
    let mut take = |name: &str| {
        let row = DEVICE_R4.iter().zip(&mut carried).find(|(row, _)| row.name == name);
        row.map(|(_, taken)| std::mem::take(taken)).unwrap_or_default()
    };
    let (others, names, versions) = (take("udiCarrier"), take("deviceName"), take("version"));
    udi_up(ctx, object, others.items, names.items);
    version_up(ctx, object, versions.items);
    rename(object, "model", "modelNumber");
    for (row, taken) in DEVICE_R4.iter().zip(carried) {
        put_restored(object, row, taken, ctx);
    }
}

fn udi_up<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, others: Vec<Json<'a>>, names: Vec<Json<'a>>) {
    let mut udi = match object.take("udi") {
        Some(Json::Object(udi)) => udi,
        _ => Object::default(),
    };
    let (url, element) = (x4!("Device.udiCarrier.entryType"), "Device.udiCarrier.entryType");
    restore_code(&mut udi, "entryType", codes::UDI_ENTRY_ADDED, url, element, ctx);
    let (name, extra) = (udi.take("name"), udi.take("_name"));
    if udi.only(&["id"]) && !udi.is_empty() {
        // An element needs more than an id.
        let mut carried = Object::of([("url", Json::text(UDI_NAME))]);
        carried.put_some("valueString", name.clone());
        let extra = extra.clone().map(without_id);
        carried.put_some("_valueString", extra.filter(|extra| extra.as_object().is_none_or(|extra| !extra.is_empty())));
        udi.push_extension(carried);
        ctx.find(Key::Carried, "Device.udi.name", "", "udi.name", "udiCarrier[0].extension[0]");
    }
    let carriers: Vec<_> =
        Some(udi).filter(|udi| !udi.is_empty()).map(Json::Object).into_iter().chain(others).collect();
    if !carriers.is_empty() {
        object.put("udiCarrier", Json::Array(carriers));
    }
    let names = names_up(ctx, names, (name, extra));
    if !names.is_empty() {
        object.put("deviceName", Json::Array(names));
    }
}

fn without_id(extra: Json<'_>) -> Json<'_> {
    match extra {
        Json::Object(mut extra) => {
            extra.take("id");
            Json::Object(extra)
        }
        other => other,
    }
}

fn is_label(name: &Json<'_>) -> bool {
    name.as_object().and_then(|name| name.text("type")) == Some(LABEL)
}

type Primitive<'a> = (Option<Json<'a>>, Option<Json<'a>>);

fn same(one: Option<&Json<'_>>, two: Option<&Json<'_>>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => one.same(two),
        _ => false,
    }
}

/// Puts the label name among the names that were carried: it is a copy of the first label name there, or the first.
fn names_up<'a>(ctx: &mut Context<'_>, mut names: Vec<Json<'a>>, (name, extra): Primitive<'a>) -> Vec<Json<'a>> {
    let label = names.iter().position(is_label);
    let present = name.is_some() || extra.is_some();
    match (label, label.and_then(|index| names.get_mut(index)).and_then(Json::as_object_mut)) {
        (Some(_), Some(label)) if present => {
            if !same(label.get("name"), name.as_ref()) || !same(label.get("_name"), extra.as_ref()) {
                edited(ctx, "Device.udi.name", "udi.name");
                set(label, "name", (name, extra));
            }
        }
        (Some(index), _) => {
            edited(ctx, "Device.udi.name", "udi.name");
            names.remove(index);
        }
        (None, _) if present => {
            let mut label = Object::default();
            set(&mut label, "name", (name, extra));
            label.put("type", Json::text(LABEL));
            names.insert(0, Json::Object(label));
        }
        (None, _) => {}
    }
    names
}

fn set<'a>(object: &mut Object<'a>, name: &'static str, (value, extra): Primitive<'a>) {
    object.take(name);
    object.take(&under(name));
    object.put_some(name, value);
    object.put_some(under(name), extra);
}

fn version_up<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, mut versions: Vec<Json<'a>>) {
    let native = (object.take("version"), object.take("_version"));
    let present = native.0.is_some() || native.1.is_some();
    match versions.first_mut().and_then(Json::as_object_mut) {
        None if present => {
            let mut version = Object::default();
            set(&mut version, "value", native);
            versions.push(Json::Object(version));
        }
        Some(first)
            if !same(first.get("value"), native.0.as_ref()) || !same(first.get("_value"), native.1.as_ref()) =>
        {
            edited(ctx, "Device.version", "version");
            if present {
                set(first, "value", native);
            } else {
                versions.remove(0);
            }
        }
        _ => {}
    }
    if !versions.is_empty() {
        object.put("version", Json::Array(versions));
    }
}

pub(super) fn device_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let udi = udi_down(ctx, object);
    let version = version_down(object);
    rename(object, "modelNumber", "model");
    // What was not taken stands there still, to be carried.
    carry(object, DEVICE_R4, Some(plain), ctx);
    if !udi.is_empty() {
        object.put("udi", Json::Object(udi));
    }
    set(object, "version", version);
}

fn udi_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) -> Object<'a> {
    let mut udi = match take_first(object, "udiCarrier") {
        Some(Json::Object(udi)) => udi,
        Some(other) => {
            let words = "found no object, wanted one";
            ctx.find(Key::WrongType, "Device.udiCarrier", words, "udiCarrier[0]", Place::None);
            drop(other);
            Object::default()
        }
        None => Object::default(),
    };
    if carry_code(&mut udi, "entryType", codes::UDI_ENTRY_STU3, x4!("Device.udiCarrier.entryType")) {
        let (from, into) = ("udiCarrier[0].entryType", "udi.entryType");
        ctx.find(Key::Carried, "Device.udiCarrier.entryType", "", from, into);
    }
    let (mut name, mut extra) = names_down(object);
    // Beside a name it stands where the way here wrote both; an extension of the document's own stays.
    let written = name.is_none() && extra.is_none()
        || udi.only(&["id", "extension"]) && udi.get("extension").map(Json::items).is_some_and(|all| all.len() == 1);
    let carried = match written {
        true => take_extension(ctx, &mut udi, UDI_NAME, |it| it.only(&["url", "valueString", "_valueString"])),
        false => None,
    };
    if let Some(mut carried) = carried
        && name.is_none()
        && extra.is_none()
    {
        (name, extra) = (carried.take("valueString"), carried.take("_valueString"));
    }
    udi.put_some("name", name);
    udi.put_some("_name", extra);
    udi
}

/// Takes the first item of an array, and the array with its last. The others keep their places.
fn take_first<'a>(object: &mut Object<'a>, name: &str) -> Option<Json<'a>> {
    let items = object.get_mut(name)?.as_array_mut()?;
    let first = items.first_mut().map(|first| std::mem::replace(first, Json::null()));
    if items.len() < 2 {
        object.take(name);
    }
    first
}

/// The label name: taken where it is the first and the only one and nothing but that, else copied.
fn names_down<'a>(object: &mut Object<'a>) -> Primitive<'a> {
    let names = object.get("deviceName").map(Json::items).unwrap_or_default();
    let Some(index) = names.iter().position(is_label) else { return (None, None) };
    let plain = |name: &Json<'_>| name.as_object().is_some_and(|name| name.only(&["name", "_name", "type"]));
    let alone = index == 0 && names.iter().skip(1).all(|name| !is_label(name)) && names.first().is_some_and(plain);
    if alone {
        return match take_first(object, "deviceName") {
            Some(Json::Object(mut name)) => (name.take("name"), name.take("_name")),
            _ => (None, None),
        };
    }
    let label = names.get(index).and_then(Json::as_object);
    (label.and_then(|label| label.get("name")).cloned(), label.and_then(|label| label.get("_name")).cloned())
}

/// The version: taken where it is the only one and nothing but that, else copied from the first.
fn version_down<'a>(object: &mut Object<'a>) -> Primitive<'a> {
    let versions = object.get("version").map(Json::items).unwrap_or_default();
    let Some(first) = versions.first().and_then(Json::as_object) else { return (None, None) };
    if versions.len() == 1 && first.only(&["value", "_value"]) {
        return match take_first(object, "version") {
            Some(Json::Object(mut version)) => (version.take("value"), version.take("_value")),
            _ => (None, None),
        };
    }
    (first.get("value").cloned(), first.get("_value").cloned())
}

fn rename<'a>(object: &mut Object<'a>, from: &str, to: &'static str) {
    let value = (object.take(from), object.take(&under(from)));
    if value.0.is_some() || value.1.is_some() {
        set(object, to, value);
    }
}

// ------------------------------------------------------------------------------------------------ DeviceComponent

/// Whether a Device of R4 is a component.
pub(super) fn is_component(object: &Object<'_>, components: Components) -> bool {
    let tags = object.get("meta").and_then(Json::as_object).and_then(|meta| meta.get("tag"));
    if tags.map(Json::items).unwrap_or_default().iter().any(is_marker) {
        return true;
    }
    let extensions = object.get("extension").map(Json::items).unwrap_or_default();
    let url = |item: &&Json<'_>| {
        let url = item.as_object().and_then(|item| item.text("url"));
        url.is_some_and(|url| url.starts_with(x3!("DeviceComponent.")))
    };
    extensions.iter().any(|item| url(&item))
        || components == Components::ByLevel && matches!(level(object), Some(Level::Vmd | Level::Channel))
}

/// What the type of a Device says about its level.
fn level(object: &Object<'_>) -> Option<Level> {
    let codings = object.get("type").and_then(Json::as_object).and_then(|r#type| r#type.get("coding"));
    let codes = codings.map(Json::items).unwrap_or_default().iter().filter_map(Json::as_object);
    let mut levels = codes.filter(|coding| coding.text("system").is_some_and(is_mdc)).filter_map(|coding| {
        let level = coding.text("code").and_then(Term::parse).and_then(Term::level);
        level.or_else(|| coding.text("display").and_then(Level::of_name))
    });
    levels.next()
}

/// Whether a tag marks a component: ours, or the one of HL7's resource types.
fn is_marker(tag: &Json<'_>) -> bool {
    let Some(tag) = tag.as_object() else { return false };
    tag.text("code") == Some(COMPONENT)
        && tag.only(&["system", "code"])
        && tag.text("system").is_some_and(is_mark_system)
}

/// Whether a code system has the mark of components: ours, or the one of HL7's resource types.
pub(super) fn is_mark_system(system: &str) -> bool {
    system == "http://hl7.org/fhir/resource-types" || CanonicalName::Stu3Type.matches(system)
}

pub(super) fn mark<'a>(ctx: &Context<'_>, object: &mut Object<'a>) {
    let system = Json::text(ctx.options.base.text(CanonicalName::Stu3Type));
    let tag = Json::Object(Object::of([("system", system), ("code", Json::text(COMPONENT))]));
    if !object.has("meta") {
        object.put("meta", Json::Object(Object::default()));
    }
    let Some(meta) = object.get_mut("meta").and_then(Json::as_object_mut) else { return };
    match meta.get_mut("tag").and_then(Json::as_array_mut) {
        Some(tags) => tags.push(tag),
        None => meta.put("tag", Json::Array(vec![tag])),
    }
}

/// Takes the last mark away, and what is empty then.
fn unmark(object: &mut Object<'_>) {
    let Some(meta) = object.get_mut("meta").and_then(Json::as_object_mut) else { return };
    let Some(tags) = meta.get_mut("tag").and_then(Json::as_array_mut) else { return };
    if let Some(index) = tags.iter().rposition(is_marker) {
        tags.remove(index);
    }
    if tags.is_empty() {
        meta.take("tag");
    }
    if meta.is_empty() {
        object.take("meta");
    }
}

const OWN_TAG: &str = x3!("Meta.tag");

/// A Device that has the mark of a component as a tag of its own is none: an extension of the tag says so in R4.
pub(super) fn marks_of_device(ctx: &mut Context<'_>, object: &mut Object<'_>) {
    let tags = object.get_mut("meta").and_then(Json::as_object_mut).and_then(|meta| meta.get_mut("tag"));
    for (index, tag) in tags.and_then(Json::as_array_mut).into_iter().flatten().enumerate() {
        match ctx.direction {
            Direction::Stu3ToR4 if is_marker(tag) => {
                let Json::Object(tag) = tag else { continue };
                let kept = Json::Token("true".into());
                tag.push_extension(Object::of([("url", Json::text(OWN_TAG)), ("valueBoolean", kept)]));
                let place = format!("meta.tag[{index}]");
                ctx.find(Key::Wrapped, "Device.meta.tag", "the mark of a component", place.clone(), place);
            }
            Direction::R4ToStu3 => {
                let mut without = tag.clone();
                let Json::Object(own) = &mut without else { continue };
                let is_true = |it: &Object<'_>| matches!(it.get("valueBoolean"), Some(Json::Token(is)) if is == "true");
                let marked = own.take_extension(OWN_TAG, |it| has_only(it, "valueBoolean") && is_true(it)).is_some();
                if marked && is_marker(&without) {
                    *tag = without;
                }
            }
            _ => {}
        }
    }
}

pub(super) fn component_up<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    object.put("resourceType", Json::text("Device"));
    if let (IdPolicy::Prefix(prefix), Some(id)) = (&ctx.options.ids, object.text("id")) {
        let id = format!("{prefix}{id}");
        if !ctx.base.contains(".contained[") {
            object.put("id", Json::text(id));
        }
    }
    let types = take_carried(ctx, object, TYPE_R4);
    let mut carried = take_carried(ctx, object, COMPONENT_R4);
    let identifiers = carried.first_mut().map(std::mem::take).unwrap_or_default();
    identifier_up(object, identifiers.items);
    if is_absent(object.get("type")) {
        object.take("type");
        for (row, taken) in TYPE_R4.iter().zip(types) {
            put_restored(object, row, taken, ctx);
        }
    } else if types.iter().any(|taken| !taken.is_empty()) {
        edited(ctx, "DeviceComponent.type", "type");
    }
    let stated = carried.iter().zip(COMPONENT_R4).any(|(taken, row)| row.name == "status" && !taken.is_empty());
    if status_up(ctx, object, stated) {
        object.put("status", Json::text(ENTERED_IN_ERROR));
    }
    for (row, taken) in COMPONENT_R4.iter().zip(carried) {
        put_restored(object, row, taken, ctx);
    }
    // A link that is written twice is one: the way back finds both equal.
    let root = match ctx.options.links {
        LinkPolicy::Source if !object.has("parent") => object.get("source").cloned(),
        _ => None,
    };
    carry(object, COMPONENT_STU3, Some(plain), ctx);
    object.put_some("parent", root.map(without_id));
    specification::to_r4(ctx, object);
    mark(ctx, object);
}

pub(super) fn component_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    object.put("resourceType", Json::text(COMPONENT));
    if let Some(id) = object.text("id").map(|id| component_id(id, &ctx.options.ids).to_owned())
        && !ctx.base.contains(".contained[")
    {
        object.put("id", Json::text(id));
    }
    unmark(object);
    specification::from_r4(ctx, object);
    restore(object, COMPONENT_STU3, ctx);
    parent_of_component(ctx, object);
    identifier_down(ctx, object, COMPONENT_R4);
    // A type of its own that is what would be filled in is carried.
    let absent = is_absent(object.get("type")).then(|| object.take("type")).flatten();
    if !object.has("type") {
        object.put("type", absent_element());
        ctx.find(Key::Filled, "DeviceComponent.type", "required in STU3, unknown", Place::None, "type");
    }
    if status_down(ctx, object) && object.text("status") == Some(ENTERED_IN_ERROR) && !object.has("_status") {
        object.take("status");
    }
    carry_others(ctx, object);
    for row in TYPE_R4 {
        let own = Taken { items: absent.clone().into_iter().collect(), under: None };
        carry_taken(object, row, own, Some(plain), ctx);
    }
}

/// Carries what a Device has more, in its order; the identifier is the component's own.
fn carry_others<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let rows = COMPONENT_R4.get(1..).unwrap_or_default();
    carry(object, rows, Some(plain), ctx);
}

/// The parent of a component leads to a component, unless it is the device at the top.
fn parent_of_component<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    if ctx.options.links == LinkPolicy::Source && object.has("parent") {
        let mirrored = object
            .get("source")
            .is_some_and(|source| object.get("parent").is_some_and(|parent| parent.same(&without_id(source.clone()))));
        if mirrored {
            object.take("parent");
            return;
        }
        let target = object.get("parent").and_then(Json::as_object).and_then(|parent| parent.text("reference"));
        let target = target.and_then(|text| text.rsplit("Device/").next());
        let to_device = match ctx.devices.as_ref() {
            Some(devices) => target.is_some_and(|id| devices.contains(id)),
            None => level(object) == Some(Level::Vmd),
        };
        if to_device && !object.has("source") {
            let parent = object.take("parent");
            object.put_some("source", parent);
            return;
        }
    }
    retarget(ctx, object);
}

fn retarget(ctx: &Context<'_>, object: &mut Object<'_>) {
    let Some(parent) = object.get_mut("parent").and_then(Json::as_object_mut) else { return };
    if let Some(text) = parent.text("reference").and_then(|text| reference_to_component(text, &ctx.options.ids)) {
        parent.put("reference", Json::text(text));
    }
}

fn identifier_up<'a>(object: &mut Object<'a>, others: Vec<Json<'a>>) {
    let own = object.take("identifier").filter(|own| !is_absent(Some(own)));
    let identifiers: Vec<_> = own.into_iter().chain(others).collect();
    if !identifiers.is_empty() {
        object.put("identifier", Json::Array(identifiers));
    }
}

fn identifier_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, rows: &[Row]) {
    let Some(row) = rows.first() else { return };
    // One of its own that is what would be filled in is carried with the others.
    let first = match object.get("identifier").map(Json::items) {
        Some([first, ..]) if is_absent(Some(first)) => None,
        _ => take_first(object, "identifier"),
    };
    let others = Taken { items: object.take("identifier").map(Json::into_items).unwrap_or_default(), under: None };
    carry_taken(object, row, others, None, ctx);
    object.put("identifier", first.unwrap_or_else(absent_element));
}

/// The code of the status reason of R4 that a concept of STU3 implies.
fn implied<'c>(concept: &'c Object<'_>) -> (Option<&'c str>, bool) {
    let codings = concept.get("coding").map(Json::items).unwrap_or_default().iter().filter_map(Json::as_object);
    let mut codes = codings.filter(|coding| coding.text("system") == Some(STATUS_STU3));
    match codes.next().and_then(|coding| coding.text("code")) {
        Some("on") => (Some("online"), false),
        Some(code @ ("off" | "not-ready" | "standby" | "transduc-discon" | "hw-discon")) => (Some(code), false),
        Some(ENTERED_IN_ERROR) => (None, true),
        _ => (None, false),
    }
}

fn added<'a>(code: String) -> Json<'a> {
    Json::Object(Object::of([("system", Json::text(STATUS_R4)), ("code", Json::text(code))]))
}

const KEPT: &str = x3!("DeviceComponent.operationalStatus.coding");

/// Whether a coding is the one that [`status_up`] adds, with the mark of one that was there before or without.
fn is_added(coding: &Json<'_>, added: &Json<'_>, marked: bool) -> bool {
    let mut coding = coding.clone();
    let mark = match &mut coding {
        Json::Object(own) => own.take_extension(KEPT, |it| has_only(it, "valueBoolean")),
        _ => None,
    };
    let is_true = |mark: Object<'_>| matches!(mark.get("valueBoolean"), Some(Json::Token(token)) if token == "true");
    mark.map(is_true) == marked.then_some(true) && coding.same(added)
}

/// The last coding, where it is the only one of R4.
fn only_of_r4<'c, 'a>(codings: &'c mut [Json<'a>]) -> Option<&'c mut Json<'a>> {
    let (last, others) = codings.split_last_mut()?;
    (is_of_r4(last) && !others.iter().any(is_of_r4)).then_some(last)
}

/// The mark of a reason that stood in R4 without the code that [`status_up`] adds, or without the status that it implies.
const ALONE: &str = x4!("Device.statusReason.coding");

fn is_alone(mark: &Object<'_>) -> bool {
    has_only(mark, "valueBoolean") && matches!(mark.get("valueBoolean"), Some(Json::Token(token)) if token == "false")
}

fn has_mark(concept: &Object<'_>) -> bool {
    let extensions = concept.get("extension").map(Json::items).unwrap_or_default();
    let mut marks = extensions.iter().filter_map(Json::as_object).filter(|own| own.text("url") == Some(ALONE));
    marks.any(is_alone)
}

fn is_of_r4(coding: &Json<'_>) -> bool {
    coding.as_object().and_then(|own| own.text("system")) == Some(STATUS_R4)
}

/// Makes `operationalStatus` the reasons of a status. Says whether the status is that the record was entered in error, where
/// none is stated.
fn status_up(ctx: &Context<'_>, object: &mut Object<'_>, is_stated: bool) -> bool {
    let Some(mut reasons) = object.take("operationalStatus") else { return false };
    let concepts = reasons.items().iter().filter_map(Json::as_object);
    let implies_status = !is_stated && concepts.filter(|concept| implied(concept).1).any(|concept| !has_mark(concept));
    for concept in reasons.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        let (code, is_error) = implied(concept);
        let added = code.map(|code| added(code.to_owned()));
        if is_error && !is_stated && !implies_status {
            take_extension(ctx, concept, ALONE, is_alone);
        }
        let Some(added) = added else { continue };
        let has_mark = has_mark(concept);
        let Some(codings) = concept.get_mut("coding").and_then(Json::as_array_mut) else { continue };
        if !codings.iter().any(is_of_r4) {
            if has_mark {
                take_extension(ctx, concept, ALONE, is_alone);
            } else {
                codings.push(added);
            }
        } else if let Some(last) = only_of_r4(codings).filter(|last| is_added(last, &added, false))
            && let Json::Object(last) = last
        {
            // It would be taken for one that was added.
            last.push_extension(Object::of([("url", Json::text(KEPT)), ("valueBoolean", Json::Token("true".into()))]));
        }
    }
    object.put("statusReason", reasons);
    implies_status
}

/// The way back of [`status_up`]. Where there are other codings of R4, none was added; a mark is taken away where that way
/// would put it, and put where that way would add what is not there.
fn status_down(ctx: &mut Context<'_>, object: &mut Object<'_>) -> bool {
    let Some(mut reasons) = object.take("statusReason") else { return false };
    let has_status = object.has("status") || object.has_under("status");
    let mut in_error = false;
    for (index, concept) in reasons.as_array_mut().into_iter().flatten().enumerate() {
        let Some(concept) = concept.as_object_mut() else { continue };
        let (code, is_error) = implied(concept);
        in_error |= is_error;
        let mut is_alone = is_error && !has_status;
        if let Some(added) = code.map(|code| added(code.to_owned())) {
            let Some(codings) = concept.get_mut("coding").and_then(Json::as_array_mut) else { continue };
            is_alone = !codings.iter().any(is_of_r4);
            if let Some(last) = only_of_r4(codings) {
                if is_added(last, &added, true) {
                    *last = added;
                } else if is_added(last, &added, false) {
                    codings.pop();
                }
            }
        }
        if is_alone {
            let mark = [("url", Json::text(ALONE)), ("valueBoolean", Json::Token("false".into()))];
            let extension = concept.push_extension(Object::of(mark));
            let (from, into) =
                (format!("statusReason[{index}]"), format!("operationalStatus[{index}].extension[{extension}]"));
            ctx.find(Key::Carried, "Device.statusReason.coding", "no code of R4 is there", from, into);
        }
    }
    object.put("operationalStatus", reasons);
    in_error
}

// --------------------------------------------------------------------------------------------------- DeviceMetric

pub(super) fn metric_up(ctx: &Context<'_>, object: &mut Object<'_>) {
    let others = take_carried(ctx, object, METRIC_R4).into_iter().next().unwrap_or_default();
    identifier_up(object, others.items);
}

pub(super) fn metric_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    identifier_down(ctx, object, METRIC_R4);
    retarget(ctx, object);
}
