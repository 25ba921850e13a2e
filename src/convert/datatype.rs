//! The datatypes, one table of cases a step.

use super::bundle::check_query;
use super::carry::{
    ANNOTATION_R4, ANNOTATION_R5, ATTACHMENT_R5, META_R4, MONEY_STU3, REFERENCE_R4, Row, SAMPLED_DATA_R5, SIGNATURE_R4,
    absent_element, carry, carry_code, edited, has_only, is_absent, plain, put_restored, restore, restore_code,
    restore_value, take_carried, take_extension, under,
};
use super::codes;
use super::context::{Context, Key, Place, relative};
use super::json::{Json, Object};
use super::literal::reference_to_device;
use super::options::CodeSystems;
use super::walk::Kind;
use super::{BASE_TYPE_STU3, Direction, Loss};
use crate::datatype::Literal;
use crate::issue::Path;

const ISO_4217: &str = "urn:iso:std:iso:4217";
const COUNTS: [(&str, &str, &str); 4] = [
    ("count", x3!("Timing.repeat.count"), "Timing.repeat.count"),
    ("countMax", x3!("Timing.repeat.countMax"), "Timing.repeat.countMax"),
    ("frequency", x3!("Timing.repeat.frequency"), "Timing.repeat.frequency"),
    ("frequencyMax", x3!("Timing.repeat.frequencyMax"), "Timing.repeat.frequencyMax"),
];
const AUTHORS_STU3: &[&str] = &["Practitioner", "Patient", "RelatedPerson"];
const AUTHORS_R4: &[&str] = &["Practitioner", "Patient", "RelatedPerson", "Organization"];

/// Converts one datatype, the values in it being converted. It always stays.
pub(super) fn convert(ctx: &mut Context<'_>, object: &mut Object<'_>, kind: Kind, at: &Path<'_>) -> bool {
    use Direction::{R4ToR5, R4ToStu3, R5ToR4, Stu3ToR4};
    match (kind, ctx.direction) {
        (Kind::Reference, Stu3ToR4) => reference_up(ctx, object, at),
        (Kind::Parent, Stu3ToR4) => parent_up(ctx, object, at),
        (Kind::Reference, R4ToStu3) => reference_down(ctx, object, at),
        (Kind::Identifier, Stu3ToR4) => {
            restore_code(object, "use", codes::IDENTIFIER_USE_ADDED, x4!("Identifier.use"), "Identifier.use", ctx);
            code_system_up(ctx, object);
        }
        (Kind::Identifier, R4ToStu3) => {
            let carried = carry_code(object, "use", codes::IDENTIFIER_USE_STU3, x4!("Identifier.use"));
            carried_at(ctx, carried, "Identifier.use", &at.child("use"));
            code_system_down(ctx, object);
        }
        (Kind::Address, Stu3ToR4) => {
            restore_code(object, "use", codes::ADDRESS_USE_ADDED, x4!("Address.use"), "Address.use", ctx);
        }
        (Kind::Address, R4ToStu3) => {
            let carried = carry_code(object, "use", codes::ADDRESS_USE_STU3, x4!("Address.use"));
            carried_at(ctx, carried, "Address.use", &at.child("use"));
        }
        (Kind::Repeat, Stu3ToR4) => {
            counts_up(ctx, object, at);
            restore_events(ctx, object, codes::EVENT_ADDED, x4!("Timing.repeat.when"));
        }
        (Kind::Repeat, R4ToStu3) => {
            for (name, url, element) in COUNTS {
                restore_value(object, name, ("valueInteger", is_less_than_one), url, element, ctx);
            }
            carry_events(ctx, object, |event| codes::EVENT_STU3.contains(&event), x4!("Timing.repeat.when"), at);
        }
        (Kind::Repeat, R4ToR5) => restore_events(ctx, object, codes::EVENT_ADDED_R5, x5!("Timing.repeat.when")),
        (Kind::Repeat, R5ToR4) => {
            let known = |event: &str| !codes::EVENT_ADDED_R5.contains(&event);
            carry_events(ctx, object, known, x5!("Timing.repeat.when"), at);
        }
        (Kind::Timing, R4ToStu3) if object.take("modifierExtension").is_some() => {
            let place = relative(&at.child("modifierExtension"));
            let detail = "a Timing of STU3 has no modifier extensions";
            ctx.lose(Loss::ModifierExtension, Key::Lost, "Timing.modifierExtension", detail, place);
        }
        (Kind::Meta, Stu3ToR4) => restore(object, META_R4, ctx),
        (Kind::Meta, R4ToStu3) => carry(object, META_R4, Some(plain), ctx),
        (Kind::Money, Stu3ToR4) => money_up(ctx, object),
        (Kind::Money, R4ToStu3) => money_down(ctx, object),
        (Kind::Signature, Stu3ToR4) => signature_up(ctx, object, at),
        (Kind::Signature, R4ToStu3) => signature_down(ctx, object, at),
        (Kind::Signature, R4ToR5) => signature_unfill(object),
        (Kind::Signature, R5ToR4) => signature_fill(ctx, object),
        (Kind::Annotation, Stu3ToR4) => restore_author(ctx, object, ANNOTATION_R4),
        (Kind::Annotation, R4ToStu3) => carry_author(ctx, object, AUTHORS_STU3, ANNOTATION_R4),
        (Kind::Annotation, R4ToR5) => restore_author(ctx, object, ANNOTATION_R5),
        (Kind::Annotation, R5ToR4) => carry_author(ctx, object, AUTHORS_R4, ANNOTATION_R5),
        (Kind::Attachment, R4ToR5) => attachment_up(ctx, object),
        (Kind::Attachment, R5ToR4) => attachment_down(ctx, object, at),
        (Kind::SampledData, Stu3ToR4) if is_absent(object.get("_data")) && !object.has("data") => {
            object.take("_data");
        }
        (Kind::SampledData, R4ToStu3) if !object.has("data") && !object.has("_data") => {
            object.put("_data", absent_element());
            ctx.find(Key::Filled, "SampledData.data", "required in STU3, unknown", Place::None, relative(at));
        }
        (Kind::SampledData, R4ToR5) => sampled_data_up(ctx, object),
        (Kind::SampledData, R5ToR4) => sampled_data_down(ctx, object, at),
        (Kind::Quantity, R4ToR5) => {
            let (url, element) = (x5!("Quantity.comparator"), "Quantity.comparator");
            restore_code(object, "comparator", codes::COMPARATOR_ADDED, url, element, ctx);
        }
        (Kind::Quantity, R5ToR4) => {
            let carried = carry_code(object, "comparator", codes::COMPARATOR_R4, x5!("Quantity.comparator"));
            carried_at(ctx, carried, "Quantity.comparator", &at.child("comparator"));
        }
        _ => {}
    }
    true
}

fn carried_at(ctx: &mut Context<'_>, carried: bool, element: &'static str, at: &Path<'_>) {
    if carried {
        let place = relative(at);
        ctx.find(Key::Carried, element, "", place.clone(), place);
    }
}

// ----------------------------------------------------------------------------------------------------- references

fn reference_up(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    if let Some(device) = to_device(ctx, object, at) {
        let original = std::mem::replace(object.get_mut("reference").unwrap_or(&mut Json::null()), Json::text(device));
        let url = Json::text(x3!("Reference.reference"));
        object.push_extension(Object::of([("url", url), ("valueString", original)]));
        let place = relative(&at.child("reference"));
        ctx.find(Key::Rewritten, "Reference.reference", "", place.clone(), place);
    }
    restore(object, REFERENCE_R4, ctx);
}

/// The reference to a Device that takes the place of one to a component, by its id or by a search.
fn to_device(ctx: &mut Context<'_>, reference: &Object<'_>, at: &Path<'_>) -> Option<String> {
    let text = reference.text("reference")?;
    if let Some(("DeviceComponent", query)) = text.split_once('?') {
        check_query(ctx, query, at);
    }
    reference_to_device(text, &ctx.options.ids)
}

fn parent_up(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    if let Some(device) = to_device(ctx, object, at) {
        object.put("reference", Json::text(device));
    }
    restore(object, REFERENCE_R4, ctx);
}

fn reference_down(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    if let Some(mut carried) = take_extension(ctx, object, x3!("Reference.reference"), |it| has_only(it, "valueString"))
    {
        let original = carried.take("valueString");
        let device =
            original.as_ref().and_then(Json::as_text).and_then(|text| reference_to_device(text, &ctx.options.ids));
        if device.is_some() && device.as_deref() == object.text("reference") {
            object.put_some("reference", original);
        } else {
            edited(ctx, "Reference.reference", relative(&at.child("reference")));
        }
    }
    carry(object, REFERENCE_R4, None, ctx);
}

// ------------------------------------------------------------------------------------------- codes of identifiers

const V2_STU3: &str = "http://hl7.org/fhir/v2/0203";
const OWN_STU3: &str = "http://hl7.org/fhir/identifier-type";
const V2_R4: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// Which system of STU3 has a code of the one of R4.
fn system_in_stu3(code: Option<&str>) -> &'static str {
    match code {
        Some("UDI" | "SNO" | "SB" | "PLAC" | "FILL") => OWN_STU3,
        _ => V2_STU3,
    }
}

fn codings<'j, 'a>(object: &'j mut Object<'a>) -> impl Iterator<Item = &'j mut Object<'a>> {
    let codings = object.get_mut("type").and_then(Json::as_object_mut).and_then(|r#type| r#type.get_mut("coding"));
    codings.and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut)
}

fn code_system_up(ctx: &Context<'_>, object: &mut Object<'_>) {
    if ctx.options.code_systems == CodeSystems::Keep {
        return;
    }
    for coding in codings(object) {
        let Some(system) = coding.text("system").filter(|system| [V2_STU3, OWN_STU3].contains(system)) else {
            continue;
        };
        // What the way back would not find is kept beside it.
        let found = system_in_stu3(coding.text("code")) == system;
        let original = coding.take("system");
        coding.put("system", Json::text(V2_R4));
        if !found && let Some(original) = original {
            let url = Json::text(x3!("Coding.system"));
            coding.push_extension(Object::of([("url", url), ("valueUri", original)]));
        }
    }
}

fn code_system_down(ctx: &Context<'_>, object: &mut Object<'_>) {
    if ctx.options.code_systems == CodeSystems::Keep {
        return;
    }
    for coding in codings(object) {
        let carried = take_extension(ctx, coding, x3!("Coding.system"), |it| has_only(it, "valueUri"))
            .and_then(|mut carried| carried.take("valueUri"));
        if coding.text("system") == Some(V2_R4) {
            let implied = system_in_stu3(coding.text("code"));
            coding.put("system", carried.unwrap_or(Json::text(implied)));
        }
    }
}

// --------------------------------------------------------------------------------------------------------- timing

fn is_less_than_one(count: &str) -> bool {
    count.starts_with('-') || count == "0"
}

fn counts_up(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    for (name, url, element) in COUNTS {
        let less_than_one = |value: &Json<'_>| matches!(value, Json::Token(token) if is_less_than_one(token));
        if object.get(name).is_some_and(less_than_one)
            && let Some(count) = object.take(name)
        {
            let carried = Object::of([("url", Json::text(url)), ("valueInteger", count)]);
            super::carry::push_under(object, name, carried);
            carried_at(ctx, true, element, &at.child(name));
        }
    }
}

/// Carries the events of `when` that are not among the codes of the version.
fn carry_events(
    ctx: &mut Context<'_>,
    object: &mut Object<'_>,
    known: impl Fn(&str) -> bool,
    url: &'static str,
    at: &Path<'_>,
) {
    let foreign = |item: &Json<'_>| item.as_text().is_some_and(|event| !known(event));
    if !object.get("when").is_some_and(|when| when.items().iter().any(foreign)) {
        return;
    }
    let mut when = object.take("when").map(Json::into_items).unwrap_or_default();
    let mut extras = object.take("_when").map(Json::into_items).unwrap_or_default();
    extras.resize(when.len(), Json::null());
    for (index, (item, extra)) in when.iter_mut().zip(&mut extras).enumerate() {
        if !foreign(item) {
            continue;
        }
        let event = std::mem::replace(item, Json::null());
        let carried = Object::of([("url", Json::text(url)), ("valueCode", event)]);
        match extra {
            Json::Object(extra) => {
                extra.push_extension(carried);
            }
            other => {
                let mut extra = Object::default();
                extra.push_extension(carried);
                *other = Json::Object(extra);
            }
        }
        carried_at(ctx, true, "Timing.repeat.when", &at.item("when", index));
    }
    if !when.iter().all(Json::is_null) {
        object.put("when", Json::Array(when));
    }
    object.put("_when", Json::Array(extras));
}

/// Puts the carried events back.
fn restore_events(ctx: &Context<'_>, object: &mut Object<'_>, codes: &[&str], url: &str) {
    let ours = |carried: &Object<'_>| {
        has_only(carried, "valueCode") && carried.text("valueCode").is_some_and(|code| codes.contains(&code))
    };
    let carried = |extra: &Json<'_>| {
        let extensions = extra.as_object().and_then(|extra| extra.get("extension")).map(Json::items);
        let mut all = extensions.unwrap_or_default().iter().filter_map(Json::as_object);
        all.any(|one| one.text("url") == Some(url) && ours(one))
    };
    if !object.get("_when").is_some_and(|extras| extras.items().iter().any(carried)) {
        return;
    }
    let mut extras = object.take("_when").map(Json::into_items).unwrap_or_default();
    let mut when = object.take("when").map(Json::into_items).unwrap_or_default();
    when.resize(when.len().max(extras.len()), Json::null());
    for (item, extra) in when.iter_mut().zip(&mut extras) {
        let Some(element) = extra.as_object_mut() else { continue };
        let event = take_extension(ctx, element, url, ours).and_then(|mut carried| carried.take("valueCode"));
        if let (Some(event), true) = (event, item.is_null()) {
            *item = event;
        }
        if element.is_empty() {
            *extra = Json::null();
        }
    }
    object.put("when", Json::Array(when));
    if !extras.iter().all(Json::is_null) {
        object.put("_when", Json::Array(extras));
    }
}

// ---------------------------------------------------------------------------------------------------------- money

fn money_up(ctx: &mut Context<'_>, object: &mut Object<'_>) {
    let has_code = object.text("code").is_some() || object.has("_code");
    let native = has_code && object.text("system") == Some(ISO_4217);
    if native {
        let (code, extra) = (object.take("code"), object.take("_code"));
        if !object.has("_system") {
            object.take("system");
        }
        object.put_some("currency", code);
        object.put_some("_currency", extra);
    }
    carry(object, MONEY_STU3, Some(plain), ctx);
}

fn money_down(ctx: &mut Context<'_>, object: &mut Object<'_>) {
    let carried = take_carried(ctx, object, MONEY_STU3);
    let (currency, extra) = (object.take("currency"), object.take("_currency"));
    let native = currency.is_some() || extra.is_some();
    object.put_some("code", currency);
    object.put_some("_code", extra);
    for (row, taken) in MONEY_STU3.iter().zip(carried) {
        put_restored(object, row, taken, ctx);
    }
    if native && !object.has("system") {
        object.put("system", Json::text(ISO_4217));
    }
}

// ------------------------------------------------------------------------------------------------------ signature

fn rename<'a>(object: &mut Object<'a>, from: &str, to: &'static str) {
    let (value, extra) = (object.take(from), object.take(&under(from)));
    object.put_some(to, value);
    object.put_some(under(to), extra);
}

fn is_uri(said: &Object<'_>) -> bool {
    has_only(said, "valueString") && said.text("valueString") == Some("uri")
}

fn warn_of_signature(ctx: &mut Context<'_>, at: &Path<'_>) {
    let place = relative(at);
    let detail = "does not verify over the converted content";
    ctx.find(Key::Warning, "Signature", detail, place.clone(), place);
}

fn signature_up(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    warn_of_signature(ctx, at);
    for (uri, reference, who) in
        [("whoUri", "whoReference", "who"), ("onBehalfOfUri", "onBehalfOfReference", "onBehalfOf")]
    {
        let (value, extra) = (object.take(uri), object.take(&under(uri)));
        if value.is_some() || extra.is_some() {
            let mut made = Object::default();
            made.put_some("reference", value);
            made.put_some("_reference", extra);
            made.push_extension(Object::of([("url", Json::text(BASE_TYPE_STU3)), ("valueString", Json::text("uri"))]));
            object.put(who, Json::Object(made));
        } else {
            rename(object, reference, who);
        }
    }
    rename(object, "contentType", "sigFormat");
    rename(object, "blob", "data");
    for (row, taken) in SIGNATURE_R4.iter().zip(take_carried(ctx, object, SIGNATURE_R4)) {
        // The signer that was filled gives way to the one that was carried.
        let filled = object.get(row.name).is_some_and(|signer| {
            signer.as_object().is_some_and(|signer| is_absent(signer.get("_reference")) && !signer.has("reference"))
        });
        if filled && !taken.is_empty() {
            object.take(row.name);
        }
        put_restored(object, row, taken, ctx);
    }
}

fn signature_down(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    const SIGNERS: &[&str] = &["Practitioner", "RelatedPerson", "Patient", "Device", "Organization"];
    warn_of_signature(ctx, at);
    for (uri, reference, who) in
        [("whoUri", "whoReference", "who"), ("onBehalfOfUri", "onBehalfOfReference", "onBehalfOf")]
    {
        let Some(mut signer) = object.take(who) else { continue };
        let was_uri = signer.as_object_mut().and_then(|signer| {
            let plain = signer.only(&["reference", "_reference", "extension"]);
            let said = if plain { signer.take_extension(BASE_TYPE_STU3, is_uri) } else { None }?;
            if signer.has("extension") {
                signer.push_extension(said);
                return None;
            }
            Some((signer.take("reference"), signer.take("_reference")))
        });
        if let Some((value, extra)) = was_uri {
            object.put_some(uri, value);
            object.put_some(under(uri), extra);
        } else if target(&signer).is_none_or(|target| SIGNERS.contains(&target)) {
            object.put(reference, signer);
        } else {
            object.put(who, signer);
        }
    }
    let foreign = object.has("who");
    carry(object, SIGNATURE_R4, Some(plain), ctx);
    if foreign {
        object.put("_whoUri", absent_element());
        ctx.find(Key::Filled, "Signature.who", "required in STU3, unknown", Place::None, relative(at));
    }
    rename(object, "sigFormat", "contentType");
    rename(object, "data", "blob");
}

/// Fills what R4 requires of a signature and R5 does not.
fn signature_fill(ctx: &mut Context<'_>, object: &mut Object<'_>) {
    let mut fill = |name: &'static str, lacks: bool, value: Json<'static>, object: &mut Object<'_>| {
        if lacks {
            object.put(name, value);
            let element = format!("Signature.{}", name.trim_start_matches('_'));
            ctx.find(Key::Filled, element, "required in R4, unknown", Place::None, Place::None);
        }
    };
    fill("type", !object.has("type"), Json::Array(vec![absent_element()]), object);
    fill("_when", !object.has("when") && !object.has("_when"), absent_element(), object);
    fill("who", !object.has("who"), absent_element(), object);
}

fn signature_unfill(object: &mut Object<'_>) {
    if matches!(object.get("type").map(Json::items), Some([only]) if is_absent(Some(only))) {
        object.take("type");
    }
    if !object.has("when") && is_absent(object.get("_when")) {
        object.take("_when");
    }
    if is_absent(object.get("who")) {
        object.take("who");
    }
}

// ----------------------------------------------------------------------------------------------------- annotation

/// The type that a literal reference names.
fn target<'j>(reference: &'j Json<'_>) -> Option<&'j str> {
    Literal::parse(reference.as_object()?.text("reference")?).resource_type()
}

fn carry_author(ctx: &mut Context<'_>, object: &mut Object<'_>, types: &[&str], rows: &[Row]) {
    let foreign = object.get("authorReference").and_then(target).is_some_and(|target| !types.contains(&target));
    if foreign && let Some(author) = object.take("authorReference") {
        object.put("author", author);
        carry(object, rows, Some(plain), ctx);
    }
}

fn restore_author(ctx: &mut Context<'_>, object: &mut Object<'_>, rows: &[Row]) {
    for taken in take_carried(ctx, object, rows) {
        match taken.items.into_iter().next() {
            Some(_) if object.has("authorReference") || object.has("authorString") => {
                edited(ctx, "Annotation.author", "author");
            }
            author => object.put_some("authorReference", author),
        }
    }
}

// ----------------------------------------------------------------------------------------------------- attachment

/// Whether a size of R5 is one of an `unsignedInt`.
fn fits(size: &str) -> bool {
    size.parse::<i32>().is_ok_and(|number| number >= 0 && number.to_string() == size)
}

fn attachment_up(ctx: &mut Context<'_>, object: &mut Object<'_>) {
    let too_large = |size: &str| !fits(size);
    restore_value(object, "size", ("valueString", too_large), x5!("Attachment.size"), "Attachment.size", ctx);
    if let Some(Json::Token(digits)) = object.get("size")
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        let digits = digits.clone();
        object.put("size", Json::Text(digits));
    }
    restore(object, ATTACHMENT_R5, ctx);
}

fn attachment_down(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    let size = object.text("size").map(str::to_owned);
    if let Some(size) = size {
        if fits(&size) {
            object.put("size", Json::Token(size.into()));
        } else if let Some(size) = object.take("size") {
            let carried = Object::of([("url", Json::text(x5!("Attachment.size"))), ("valueString", size)]);
            super::carry::push_under(object, "size", carried);
            carried_at(ctx, true, "Attachment.size", &at.child("size"));
        }
    } else if object.has("size") {
        // It is an integer64, which JSON has as a string.
        let place = relative(&at.child("size"));
        let element = [&*ctx.base, &*place].join(".");
        ctx.find(Key::WrongType, element, "found no string, wanted the number as a string", place, Place::None);
    }
    carry(object, ATTACHMENT_R5, Some(plain), ctx);
}

// --------------------------------------------------------------------------------------------------- sampled data

fn sampled_data_up(ctx: &mut Context<'_>, object: &mut Object<'_>) {
    let carried = take_carried(ctx, object, SAMPLED_DATA_R5);
    let of_r5 = carried.get(1).is_some_and(|unit| !unit.is_empty());
    if of_r5 && !object.has("period") && is_absent(object.get("_period")) {
        object.take("_period");
    }
    let native = object.has("period") || object.has("_period");
    for (row, taken) in SAMPLED_DATA_R5.iter().zip(carried) {
        match row.name {
            "interval" | "intervalUnit" if native && !taken.is_empty() => {
                edited(ctx, "SampledData.period", "period");
            }
            _ => put_restored(object, row, taken, ctx),
        }
    }
    if native {
        rename(object, "period", "interval");
        object.put("intervalUnit", Json::text("ms"));
    }
}

fn sampled_data_down(ctx: &mut Context<'_>, object: &mut Object<'_>, at: &Path<'_>) {
    let milliseconds = object.text("intervalUnit") == Some("ms") && !object.has("_intervalUnit");
    if milliseconds && (object.has("interval") || object.has("_interval")) {
        object.take("intervalUnit");
        rename(object, "interval", "period");
    } else {
        object.put("_period", absent_element());
        ctx.find(Key::Filled, "SampledData.period", "required in R4, unknown", Place::None, relative(at));
    }
    carry(object, SAMPLED_DATA_R5, Some(plain), ctx);
}
