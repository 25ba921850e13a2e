//! Elements in extensions and back: one way for all of them, by tables of rows.

use super::Loss;
use super::context::{Context, Key};
use super::json::{Json, Object};
use std::borrow::Cow;

/// An element that may have to be carried.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The member for the id and the extensions of a primitive.
    under: &'static str,
    pub(super) repeats: bool,
    pub(super) shape: Shape,
}

/// What an element is made of.
pub(super) enum Shape {
    /// A value: the member of an extension that takes it, and that of the id and extensions of a primitive.
    Value(&'static str, &'static str),
    /// A backbone element: its members become the parts of a complex extension.
    Parts(&'static [Row]),
}

macro_rules! value {
    ($name:literal, $type:literal) => {
        Row {
            name: $name,
            under: concat!("_", $name),
            repeats: false,
            shape: Shape::Value(concat!("value", $type), concat!("_value", $type)),
        }
    };
    ($name:literal, $type:literal, many) => {
        Row {
            name: $name,
            under: concat!("_", $name),
            repeats: true,
            shape: Shape::Value(concat!("value", $type), concat!("_value", $type)),
        }
    };
}

macro_rules! parts {
    ($name:literal, $rows:expr) => {
        Row { name: $name, under: concat!("_", $name), repeats: true, shape: Shape::Parts($rows) }
    };
}

const UDI_CARRIER: &[Row] = &[
    value!("deviceIdentifier", "String"),
    value!("issuer", "Uri"),
    value!("jurisdiction", "Uri"),
    value!("carrierAIDC", "Base64Binary"),
    value!("carrierHRF", "String"),
    value!("entryType", "Code"),
];
const DEVICE_NAME: &[Row] = &[value!("name", "String"), value!("type", "Code")];
const SPECIALIZATION: &[Row] = &[value!("systemType", "CodeableConcept"), value!("version", "String")];
const VERSION: &[Row] =
    &[value!("type", "CodeableConcept"), value!("component", "Identifier"), value!("value", "String")];
const PROPERTY: &[Row] = &[
    value!("type", "CodeableConcept"),
    value!("valueQuantity", "Quantity", many),
    value!("valueCode", "CodeableConcept", many),
];
const CODEABLE_REFERENCE: &[Row] = &[value!("concept", "CodeableConcept"), value!("reference", "Reference")];

/// What a Device of R4 has and that of STU3 has not.
pub(super) const DEVICE_R4: &[Row] = &[
    value!("definition", "Reference"),
    parts!("udiCarrier", UDI_CARRIER),
    value!("statusReason", "CodeableConcept", many),
    value!("distinctIdentifier", "String"),
    value!("serialNumber", "String"),
    parts!("deviceName", DEVICE_NAME),
    value!("partNumber", "String"),
    parts!("specialization", SPECIALIZATION),
    parts!("version", VERSION),
    parts!("property", PROPERTY),
    value!("parent", "Reference"),
];

/// What a Device of R4 has and a DeviceComponent has not.
pub(super) const COMPONENT_R4: &[Row] = &[
    value!("identifier", "Identifier", many),
    value!("definition", "Reference"),
    parts!("udiCarrier", UDI_CARRIER),
    value!("status", "Code"),
    value!("distinctIdentifier", "String"),
    value!("manufacturer", "String"),
    value!("manufactureDate", "DateTime"),
    value!("expirationDate", "DateTime"),
    value!("lotNumber", "String"),
    parts!("deviceName", DEVICE_NAME),
    value!("modelNumber", "String"),
    parts!("specialization", SPECIALIZATION),
    parts!("property", PROPERTY),
    value!("patient", "Reference"),
    value!("owner", "Reference"),
    value!("contact", "ContactPoint", many),
    value!("location", "Reference"),
    value!("url", "Uri"),
    value!("note", "Annotation", many),
    value!("safety", "CodeableConcept", many),
];

/// What a DeviceMetric of R4 has and that of STU3 has not.
pub(super) const METRIC_R4: &[Row] = &[value!("identifier", "Identifier", many)];

/// What a DeviceComponent has and a Device has not, but for its specifications.
pub(super) const COMPONENT_STU3: &[Row] = &[
    value!("lastSystemChange", "Instant"),
    value!("source", "Reference"),
    value!("parameterGroup", "CodeableConcept"),
    value!("measurementPrinciple", "Code"),
    value!("languageCode", "CodeableConcept"),
];

/// The specifications of a DeviceComponent.
pub(super) const SPECIFICATIONS: &[Row] = &[parts!("productionSpecification", SPECIFICATION)];
const SPECIFICATION: &[Row] =
    &[value!("specType", "CodeableConcept"), value!("componentId", "Identifier"), value!("productionSpec", "String")];

/// What a Device of R4 has and that of R5 has not.
pub(super) const DEVICE_R4_ALONE: &[Row] = &[
    value!("statusReason", "CodeableConcept", many),
    value!("distinctIdentifier", "String"),
    value!("patient", "Reference"),
];

/// What a Device of R5 has and that of R4 has not.
pub(super) const DEVICE_R5: &[Row] = &[
    value!("displayName", "String"),
    value!("availabilityStatus", "CodeableConcept"),
    value!("biologicalSourceEvent", "Identifier"),
    value!("category", "CodeableConcept", many),
    value!("mode", "CodeableConcept"),
    value!("cycle", "Count"),
    value!("duration", "Duration"),
    value!("endpoint", "Reference", many),
    parts!("gateway", CODEABLE_REFERENCE),
    value!("definition.concept", "CodeableConcept"),
    Row { name: "definition", under: "_definition", repeats: false, shape: Shape::Parts(CODEABLE_REFERENCE) },
    value!("type", "CodeableConcept", many),
];

/// What an entry of `version`, `name` and `conformsTo` of R5 has more than in R4.
pub(super) const VERSION_R5: &[Row] = &[value!("installDate", "DateTime")];
pub(super) const NAME_R5: &[Row] = &[value!("display", "Boolean")];
pub(super) const CONFORMS_TO_R5: &[Row] = &[value!("category", "CodeableConcept")];

/// The further values of a property of R4.
pub(super) const PROPERTY_R4: &[Row] =
    &[value!("valueQuantity", "Quantity", many), value!("valueCode", "CodeableConcept", many)];

/// What a DeviceMetric of R4 has and that of R5 has not, and the other way round.
pub(super) const METRIC_R4_ALONE: &[Row] = &[value!("source", "Reference"), value!("measurementPeriod", "Timing")];
pub(super) const METRIC_PARENT: &[Row] = &[value!("parent", "Reference")];
pub(super) const METRIC_R5: &[Row] = &[value!("measurementFrequency", "Quantity")];

/// What datatypes have in one version alone.
pub(super) const META_R4: &[Row] = &[value!("source", "Uri")];
pub(super) const REFERENCE_R4: &[Row] = &[value!("type", "Uri")];
pub(super) const ANNOTATION_AUTHOR: &[Row] = &[value!("author", "Reference")];
pub(super) const SIGNATURE_R4: &[Row] =
    &[value!("targetFormat", "Code"), value!("who", "Reference"), value!("onBehalfOf", "Reference")];
pub(super) const MONEY_STU3: &[Row] =
    &[value!("comparator", "Code"), value!("unit", "String"), value!("system", "Uri"), value!("code", "Code")];
pub(super) const ATTACHMENT_R5: &[Row] = &[
    value!("height", "PositiveInt"),
    value!("width", "PositiveInt"),
    value!("frames", "PositiveInt"),
    value!("duration", "Decimal"),
    value!("pages", "PositiveInt"),
];
pub(super) const SAMPLED_DATA_R5: &[Row] = &[
    value!("interval", "Decimal"),
    value!("intervalUnit", "Code"),
    value!("codeMap", "Canonical"),
    value!("offsets", "String"),
];
pub(super) const BUNDLE_R4: &[Row] = &[value!("timestamp", "Instant")];

/// The values that an element of a document has: the items, and for a primitive its id and extensions.
#[derive(Default)]
pub(super) struct Taken<'a> {
    pub(super) items: Vec<Json<'a>>,
    pub(super) under: Option<Json<'a>>,
}

impl Taken<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.under.is_none()
    }
}

/// The name of the member for the id and the extensions of a primitive.
pub(super) fn under(name: &str) -> String {
    format!("_{name}")
}

impl Row {
    /// Takes the element out of its object. A value that should be an array and is none is a finding.
    pub(super) fn take<'a>(&self, object: &mut Object<'a>, ctx: &mut Context<'_>, element: &str) -> Taken<'a> {
        self.take_at(object, ctx, element, "")
    }

    /// The same out of an object within the resource, at `place`.
    fn take_at<'a>(&self, object: &mut Object<'a>, ctx: &mut Context<'_>, element: &str, place: &str) -> Taken<'a> {
        let items = match object.take(self.name) {
            None => Vec::new(),
            Some(Json::Array(items)) if self.repeats => items,
            Some(found) if self.repeats => {
                wrong_type(ctx, element, &below(place, self.name), "found no array, wanted one");
                vec![found]
            }
            Some(found) => vec![found],
        };
        let under = match self.shape {
            Shape::Value(..) if !self.repeats => object.take(self.under),
            _ => None,
        };
        Taken { items, under }
    }

    /// Puts the element back.
    fn put<'a>(&self, object: &mut Object<'a>, taken: Taken<'a>) {
        if taken.is_empty() {
            return;
        }
        if self.repeats {
            object.put(self.name, Json::Array(taken.items));
        } else {
            object.put_some(self.name, taken.items.into_iter().next());
            object.put_some(self.under, taken.under);
        }
    }

    /// The extensions that carry the element, each with its number in the list at `place`.
    fn encode<'a>(
        &self,
        taken: Taken<'a>,
        url: &str,
        ctx: &mut Context<'_>,
        element: &str,
        place: &str,
    ) -> Vec<(usize, Object<'a>)> {
        // What was taken out of the list left null behind.
        let mut items = taken.items.into_iter().enumerate().filter(|(_, item)| !item.is_null());
        match self.shape {
            Shape::Value(value, under) => {
                let mut extensions: Vec<(usize, Object<'a>)> = Vec::with_capacity(1);
                let one = |(at, item)| (at, Object::of([("url", Json::text(url.to_owned())), (value, item)]));
                if let Some(extra) = taken.under {
                    let mut extension = Object::of([("url", Json::text(url.to_owned()))]);
                    extension.put_some(value, items.next().map(|(_, item)| item));
                    extension.put(under, extra);
                    extensions.push((0, extension));
                }
                extensions.extend(items.map(one));
                extensions
            }
            Shape::Parts(rows) => {
                let mut extensions = Vec::new();
                for (at, item) in items {
                    let place = if self.repeats { format!("{place}[{at}]") } else { place.to_owned() };
                    extensions.extend(encode_parts(rows, item, url, ctx, element, &place).map(|made| (at, made)));
                }
                extensions
            }
        }
    }
}

/// The place of a member of the object at `place`.
fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn wrong_type(ctx: &mut Context<'_>, element: &str, place: &str, words: impl Into<Cow<'static, str>>) {
    ctx.find(Key::WrongType, element.to_owned(), words, Some(place.to_owned()), None);
}

fn encode_parts<'a>(
    rows: &[Row],
    item: Json<'a>,
    url: &str,
    ctx: &mut Context<'_>,
    element: &str,
    place: &str,
) -> Option<Object<'a>> {
    let Json::Object(mut item) = item else {
        wrong_type(ctx, element, place, "found no object, wanted one");
        return None;
    };
    let mut extension = Object::default();
    extension.put_some("id", item.take("id"));
    let mut is_lost = false;
    if item.take("modifierExtension").is_some() {
        is_lost = true;
        let detail = "a modifier extension on an element that has to be carried in an extension";
        let place = Some(below(place, "modifierExtension"));
        ctx.lose(Loss::ModifierExtension, Key::Lost, format!("{element}.modifierExtension"), detail, place);
    }
    let mut parts = item.take("extension").map(Json::into_items).unwrap_or_default();
    for row in rows {
        let taken = row.take_at(&mut item, ctx, element, place);
        let encoded = row.encode(taken, row.name, ctx, element, &below(place, row.name));
        parts.extend(encoded.into_iter().map(|(_, part)| Json::Object(part)));
    }
    if let Some((name, _)) = item.members.first() {
        wrong_type(ctx, element, &below(place, name), format!("`{name}` is no member of the element"));
    }
    if parts.is_empty() {
        // Nothing is left where all of it was lost.
        if !is_lost {
            wrong_type(ctx, element, place, "found an element without a value");
        }
        return None;
    }
    extension.put("url", Json::text(url.to_owned()));
    extension.put("extension", Json::Array(parts));
    Some(extension)
}

/// What an extension that carries the element has in it; the extension itself where it is not one that this crate writes.
fn decode<'a>(row: &Row, mut extension: Object<'a>) -> Result<(Option<Json<'a>>, Option<Json<'a>>), Object<'a>> {
    match row.shape {
        Shape::Value(value, under) => {
            if !extension.only(&["url", value, under]) || extension.members.len() < 2 {
                return Err(extension);
            }
            Ok((extension.take(value), extension.take(under)))
        }
        Shape::Parts(rows) => {
            if !extension.only(&["url", "id", "extension"]) {
                return Err(extension);
            }
            let mut item = Object::default();
            item.put_some("id", extension.take("id"));
            let parts = extension.take("extension").map(Json::into_items).unwrap_or_default();
            let (taken, rest) = sort_out(parts, rows, "");
            if !rest.is_empty() {
                item.put("extension", Json::Array(rest));
            }
            for (row, taken) in rows.iter().zip(taken) {
                row.put(&mut item, taken);
            }
            Ok((Some(Json::Object(item)), None))
        }
    }
}

/// Tells the extensions that carry an element of `rows` from the others; `prefix` is what their urls begin with.
fn sort_out<'a>(extensions: Vec<Json<'a>>, rows: &[Row], prefix: &str) -> (Vec<Taken<'a>>, Vec<Json<'a>>) {
    let mut taken: Vec<Taken<'a>> = rows.iter().map(|_| Taken::default()).collect();
    let mut rest = Vec::with_capacity(extensions.len());
    for item in extensions {
        let Json::Object(extension) = item else {
            rest.push(item);
            continue;
        };
        let name = extension.text("url").and_then(|url| url.strip_prefix(prefix)).unwrap_or_default();
        let found = rows.iter().zip(&mut taken).find(|(row, _)| row.name == name);
        let Some((row, slot)) = found.filter(|(row, slot)| row.repeats || slot.is_empty()) else {
            rest.push(Json::Object(extension));
            continue;
        };
        match decode(row, extension) {
            Ok((value, under)) => {
                slot.items.extend(value);
                slot.under = under;
            }
            Err(extension) => rest.push(Json::Object(extension)),
        }
    }
    (taken, rest)
}

/// Takes the carried elements of `rows` out of the extensions of an object.
pub(super) fn take_carried<'a>(object: &mut Object<'a>, rows: &[Row], prefix: &str) -> Vec<Taken<'a>> {
    let is_ours =
        |item: &Json<'_>| item.as_object().and_then(|item| item.text("url")).is_some_and(|url| url.starts_with(prefix));
    let any = object.get("extension").is_some_and(|items| items.items().iter().any(is_ours));
    if !any {
        return rows.iter().map(|_| Taken::default()).collect();
    }
    let extensions = object.take("extension").map(Json::into_items).unwrap_or_default();
    let (taken, rest) = sort_out(extensions, rows, prefix);
    if !rest.is_empty() {
        object.put("extension", Json::Array(rest));
    }
    taken
}

/// Puts the carried elements of `rows` back where they are native. One that is there already wins.
pub(super) fn restore<'a>(object: &mut Object<'a>, rows: &[Row], prefix: &str, ctx: &mut Context<'_>, owner: &str) {
    for (row, taken) in rows.iter().zip(take_carried(object, rows, prefix)) {
        put_restored(object, row, taken, ctx, owner);
    }
}

/// Puts one carried element back, unless a native one was written in the meantime.
pub(super) fn put_restored<'a>(
    object: &mut Object<'a>,
    row: &Row,
    taken: Taken<'a>,
    ctx: &mut Context<'_>,
    owner: &str,
) {
    if taken.is_empty() {
        return;
    }
    if object.has(row.name) {
        edited(ctx, format!("{owner}.{}", row.name), row.name);
    } else {
        row.put(object, taken);
    }
}

/// Says that a native element was changed since it was carried.
pub(super) fn edited(ctx: &mut Context<'_>, element: impl Into<Cow<'static, str>>, name: &str) {
    ctx.find(Key::Edited, element, "", Some(name.to_owned()), Some(name.to_owned()));
}

/// Carries the elements of `rows` that the object has.
pub(super) fn carry<'a>(
    object: &mut Object<'a>,
    rows: &[Row],
    prefix: &str,
    owner: &str,
    detail: Option<fn(&str) -> &'static str>,
    ctx: &mut Context<'_>,
) {
    for row in rows {
        if object.has(row.name) || object.has(row.under) {
            let element = format!("{owner}.{}", row.name);
            let taken = row.take(object, ctx, &element);
            carry_taken(object, row, taken, prefix, owner, detail, ctx);
        }
    }
}

/// Carries one element that was taken; findings say so, where `detail` is given.
pub(super) fn carry_taken<'a>(
    object: &mut Object<'a>,
    row: &Row,
    taken: Taken<'a>,
    prefix: &str,
    owner: &str,
    detail: Option<fn(&str) -> &'static str>,
    ctx: &mut Context<'_>,
) {
    let element = format!("{owner}.{}", row.name);
    let url = format!("{prefix}{}", row.name);
    // Of backbone elements each is told, of values the element.
    let each = matches!(row.shape, Shape::Parts(_));
    for (nth, (at, extension)) in row.encode(taken, &url, ctx, &element, row.name).into_iter().enumerate() {
        object.push_extension(extension);
        let Some(detail) = detail.filter(|_| each || nth == 0) else { continue };
        let from = if row.repeats && each { format!("{}[{at}]", row.name) } else { row.name.to_owned() };
        let last = object.get("extension").map_or(0, |items| items.items().len()).saturating_sub(1);
        ctx.find(Key::Carried, element.clone(), detail(row.name), Some(from), Some(format!("extension[{last}]")));
    }
}

/// No detail.
pub(super) const fn plain(_: &str) -> &'static str {
    ""
}

/// What is added to the id and extensions of a primitive.
pub(super) fn push_under<'a>(object: &mut Object<'a>, name: &str, extension: Object<'a>) {
    let under = under(name);
    match object.get_mut(&under) {
        Some(Json::Object(extra)) => extra.push_extension(extension),
        _ => {
            let mut extra = Object::default();
            extra.push_extension(extension);
            object.put(under, Json::Object(extra));
        }
    }
}

/// Takes an extension of a primitive.
pub(super) fn take_under<'a>(object: &mut Object<'a>, name: &str, url: &str) -> Option<Object<'a>> {
    let under = under(name);
    let extra = object.get_mut(&under)?.as_object_mut()?;
    let found = extra.take_extension(url)?;
    if extra.is_empty() {
        object.take(&under);
    }
    Some(found)
}

/// Carries the code of a primitive that the version has not among its codes; says whether it did.
pub(super) fn carry_code<'a>(object: &mut Object<'a>, name: &'static str, codes: &[&str], url: String) -> bool {
    let foreign = object.text(name).is_some_and(|code| !codes.contains(&code));
    if foreign && let Some(code) = object.take(name) {
        push_under(object, name, Object::of([("url", Json::text(url)), ("valueCode", code)]));
    }
    foreign
}

/// Puts a carried value of a primitive back; one that was written in the meantime wins.
pub(super) fn restore_code<'a>(
    object: &mut Object<'a>,
    name: &'static str,
    url: &str,
    element: &'static str,
    ctx: &mut Context<'_>,
) {
    if !object.has(&under(name)) {
        return;
    }
    let Some(mut carried) = take_under(object, name, url) else { return };
    if object.has(name) {
        edited(ctx, element, name);
        return;
    }
    let value = carried.members.iter().position(|(member, _)| member.starts_with("value"));
    object.put_some(name, value.map(|index| carried.members.remove(index).1));
}

/// The extension that says that a value is not known.
pub(super) fn absent<'a>() -> Object<'a> {
    Object::of([("url", Json::text(super::DATA_ABSENT)), ("valueCode", Json::text("unknown"))])
}

/// An object with nothing but that.
pub(super) fn absent_element<'a>() -> Json<'a> {
    let mut element = Object::default();
    element.push_extension(absent());
    Json::Object(element)
}

/// Whether a value is exactly what [`absent_element`] makes.
pub(super) fn is_absent(value: Option<&Json<'_>>) -> bool {
    value.is_some_and(|value| value.same(&absent_element()))
}
