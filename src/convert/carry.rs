//! Elements in extensions and back: one way for all of them, by tables of rows.

use super::codes;
use super::context::{Context, Key, Place};
use super::json::{Json, Object};
use super::{Direction, Loss, source};
use std::borrow::Cow;

/// An element that may have to be carried.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The member for the id and the extensions of a primitive.
    pub(super) under: &'static str,
    /// The element as findings name it; of a part its name.
    element: &'static str,
    /// The url of the extension that carries it; of a part its name.
    url: &'static str,
    pub(super) repeats: bool,
    /// Whether findings name each item of the list by its number.
    numbered: bool,
    /// Whether the version that has the element requires it.
    pub(super) required: bool,
    /// The codes that the version has for it, where it allows no others and this crate checks them.
    pub(super) codes: &'static [&'static str],
    pub(super) shape: Shape,
}

/// What an element is made of.
pub(super) enum Shape {
    /// A value: the member of an extension that takes it, and that of the id and extensions of a primitive.
    Value(&'static str, &'static str),
    /// A backbone element: its members become the parts of a complex extension.
    Parts(&'static [Row]),
}

impl Row {
    /// The row of a list whose items findings name by their numbers.
    const fn numbered(mut self) -> Self {
        self.numbered = true;
        self
    }

    /// The row of an element that its version requires.
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The row of an element that has one of these codes.
    const fn of(mut self, codes: &'static [&'static str]) -> Self {
        self.codes = codes;
        self
    }
}

/// The rows of a type: `[value]` is a list of values, `{ROWS}` a list of backbone elements, and `(ROWS)` is one of them.
macro_rules! rows {
    ($version:ident $owner:literal: $($name:literal: $shape:tt $(.$method:ident($($argument:expr)?))*),* $(,)?) => {
        &[$(row!($shape $name, concat!($owner, ".", $name), $version!($owner "." $name))
            $(.$method($($argument)?))*),*]
    };
}

/// The rows of the parts of a complex extension.
macro_rules! parts {
    ($($name:literal: $shape:tt $(.$method:ident($($argument:expr)?))*),* $(,)?) => {
        &[$(row!($shape $name, $name, $name) $(.$method($($argument)?))*),*]
    };
}

macro_rules! row {
    ([$type:literal] $name:literal, $element:expr, $url:expr) => {
        row!($name, $element, $url, true, Shape::Value(concat!("value", $type), concat!("_value", $type)))
    };
    ({ $rows:expr } $name:literal, $element:expr, $url:expr) => {
        row!($name, $element, $url, true, Shape::Parts($rows))
    };
    (($rows:expr) $name:literal, $element:expr, $url:expr) => {
        row!($name, $element, $url, false, Shape::Parts($rows))
    };
    ($type:literal $name:literal, $element:expr, $url:expr) => {
        row!($name, $element, $url, false, Shape::Value(concat!("value", $type), concat!("_value", $type)))
    };
    ($name:literal, $element:expr, $url:expr, $repeats:literal, $shape:expr) => {
        Row {
            name: $name,
            under: concat!("_", $name),
            element: $element,
            url: $url,
            repeats: $repeats,
            numbered: false,
            required: false,
            codes: &[],
            shape: $shape,
        }
    };
}

const UDI_CARRIER: &[Row] = parts!(
    "deviceIdentifier": "String",
    "issuer": "Uri",
    "jurisdiction": "Uri",
    "carrierAIDC": "Base64Binary",
    "carrierHRF": "String",
    "entryType": "Code".of(codes::UDI_ENTRY),
);
const DEVICE_NAME: &[Row] = parts!("name": "String".required(), "type": "Code".required().of(codes::NAME_R4));
const SPECIALIZATION: &[Row] = parts!("systemType": "CodeableConcept".required(), "version": "String");
const VERSION: &[Row] = parts!("type": "CodeableConcept", "component": "Identifier", "value": "String".required());
const PROPERTY: &[Row] = parts!(
    "type": "CodeableConcept".required(),
    "valueQuantity": ["Quantity"],
    "valueCode": ["CodeableConcept"],
);
const CODEABLE_REFERENCE: &[Row] = parts!("concept": "CodeableConcept", "reference": "Reference");

/// What a Device of R4 has and that of STU3 has not.
pub(super) const DEVICE_R4: &[Row] = rows!(x4 "Device":
    "definition": "Reference",
    "udiCarrier": { UDI_CARRIER },
    "statusReason": ["CodeableConcept"],
    "distinctIdentifier": "String",
    "serialNumber": "String",
    "deviceName": { DEVICE_NAME },
    "partNumber": "String",
    "specialization": { SPECIALIZATION },
    "version": { VERSION },
    "property": { PROPERTY },
    "parent": "Reference",
);

/// What a Device of R4 has and a DeviceComponent has not.
pub(super) const COMPONENT_R4: &[Row] = rows!(x4 "Device":
    "identifier": ["Identifier"],
    "definition": "Reference",
    "udiCarrier": { UDI_CARRIER },
    "status": "Code".of(codes::STATUS_R4),
    "distinctIdentifier": "String",
    "manufacturer": "String",
    "manufactureDate": "DateTime",
    "expirationDate": "DateTime",
    "lotNumber": "String",
    "deviceName": { DEVICE_NAME },
    "modelNumber": "String",
    "specialization": { SPECIALIZATION },
    "property": { PROPERTY },
    "patient": "Reference",
    "owner": "Reference",
    "contact": ["ContactPoint"],
    "location": "Reference",
    "url": "Uri",
    "note": ["Annotation"],
    "safety": ["CodeableConcept"],
);

/// What a DeviceMetric of R4 has and that of STU3 has not.
pub(super) const METRIC_R4: &[Row] = rows!(x4 "DeviceMetric": "identifier": ["Identifier"]);

/// What a DeviceComponent has and a Device has not, but for its specifications.
pub(super) const COMPONENT_STU3: &[Row] = rows!(x3 "DeviceComponent":
    "lastSystemChange": "Instant",
    "source": "Reference",
    "parameterGroup": "CodeableConcept",
    "measurementPrinciple": "Code",
    "languageCode": "CodeableConcept",
);

/// The specifications of a DeviceComponent.
pub(super) const SPECIFICATIONS: &[Row] =
    rows!(x3 "DeviceComponent": "productionSpecification": { SPECIFICATION }.numbered());
const SPECIFICATION: &[Row] =
    parts!("specType": "CodeableConcept", "componentId": "Identifier", "productionSpec": "String");

/// The type of a Device of R4 that is a component, where it is what is filled in for none.
pub(super) const TYPE_R4: &[Row] = rows!(x4 "Device": "type": "CodeableConcept");

/// What a Device of R4 has and that of R5 has not.
pub(super) const DEVICE_R4_ALONE: &[Row] = rows!(x4 "Device":
    "statusReason": ["CodeableConcept"],
    "distinctIdentifier": "String",
    "patient": "Reference",
);

/// What a Device of R5 has and that of R4 has not.
pub(super) const DEVICE_R5: &[Row] = rows!(x5 "Device":
    "displayName": "String",
    "availabilityStatus": "CodeableConcept",
    "biologicalSourceEvent": "Identifier",
    "category": ["CodeableConcept"],
    "mode": "CodeableConcept",
    "cycle": "Count",
    "duration": "Duration",
    "endpoint": ["Reference"],
    "gateway": { CODEABLE_REFERENCE },
    "definition.concept": "CodeableConcept",
    "definition": (CODEABLE_REFERENCE),
    "type": ["CodeableConcept"],
);

/// What an entry of `version`, `name` and `conformsTo` of R5 has more than in R4.
pub(super) const VERSION_R5: &[Row] = rows!(x5 "Device.version": "installDate": "DateTime");
pub(super) const NAME_R5: &[Row] = rows!(x5 "Device.name": "display": "Boolean");
pub(super) const CONFORMS_TO_R5: &[Row] = rows!(x5 "Device.conformsTo": "category": "CodeableConcept");

/// The further values of a property of R4.
pub(super) const PROPERTY_R4: &[Row] = rows!(x4 "Device.property":
    "valueQuantity": ["Quantity"],
    "valueCode": ["CodeableConcept"],
);

/// What a DeviceMetric of R4 has and that of R5 has not, and the other way round.
pub(super) const METRIC_R4_ALONE: &[Row] =
    rows!(x4 "DeviceMetric": "source": "Reference", "measurementPeriod": "Timing");
pub(super) const METRIC_PARENT: &[Row] = rows!(x4 "DeviceMetric": "parent": "Reference");
pub(super) const METRIC_R5: &[Row] = rows!(x5 "DeviceMetric": "measurementFrequency": "Quantity");

/// What datatypes have in one version alone.
pub(super) const META_R4: &[Row] = rows!(x4 "Meta": "source": "Uri");
pub(super) const REFERENCE_R4: &[Row] = rows!(x4 "Reference": "type": "Uri");
pub(super) const ANNOTATION_R4: &[Row] = rows!(x4 "Annotation": "author": "Reference");
pub(super) const ANNOTATION_R5: &[Row] = rows!(x5 "Annotation": "author": "Reference");
pub(super) const SIGNATURE_R4: &[Row] =
    rows!(x4 "Signature": "targetFormat": "Code", "who": "Reference", "onBehalfOf": "Reference");
pub(super) const MONEY_STU3: &[Row] =
    rows!(x3 "Money": "comparator": "Code", "unit": "String", "system": "Uri", "code": "Code");
pub(super) const ATTACHMENT_R5: &[Row] = rows!(x5 "Attachment":
    "height": "PositiveInt",
    "width": "PositiveInt",
    "frames": "PositiveInt",
    "duration": "Decimal",
    "pages": "PositiveInt",
);
pub(super) const SAMPLED_DATA_R5: &[Row] = rows!(x5 "SampledData":
    "interval": "Decimal",
    "intervalUnit": "Code",
    "codeMap": "Canonical",
    "offsets": "String",
);
pub(super) const BUNDLE_R4: &[Row] = rows!(x4 "Bundle": "timestamp": "Instant");

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
    ["_", name].concat()
}

impl Row {
    /// Takes the element out of its object. A value that should be an array and is none is a finding.
    pub(super) fn take<'a>(&self, object: &mut Object<'a>, ctx: &mut Context<'_>) -> Taken<'a> {
        self.take_at(object, ctx, self.element, "")
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

    /// Makes the extensions that carry the element, and gives each to `each` with its number in the list at `place`.
    fn encode<'a>(
        &self,
        taken: Taken<'a>,
        ctx: &mut Context<'_>,
        element: &str,
        place: &str,
        each: &mut dyn FnMut(&mut Context<'_>, usize, Object<'a>),
    ) {
        let url = ("url", Json::text(self.url));
        // What was taken out of the list left null behind.
        let mut items = taken.items.into_iter().enumerate().filter(|(_, item)| !item.is_null());
        match self.shape {
            Shape::Value(value, under) => {
                if let Some(extra) = taken.under {
                    let mut extension = Object::of([url.clone()]);
                    extension.put_some(value, items.next().map(|(_, item)| item));
                    extension.put(under, extra);
                    each(ctx, 0, extension);
                }
                for (at, item) in items {
                    each(ctx, at, Object::of([url.clone(), (value, item)]));
                }
            }
            Shape::Parts(rows) => {
                for (at, item) in items {
                    let place = if self.repeats { format!("{place}[{at}]") } else { place.to_owned() };
                    let numbered = self.numbered.then(|| format!("{element}[{at}]"));
                    let element = numbered.as_deref().unwrap_or(element);
                    if let Some(made) = encode_parts(rows, item, self.url, ctx, element, &place) {
                        each(ctx, at, made);
                    }
                }
            }
        }
    }

    /// Whether an extension with the url of the row is one that carries the element as this crate writes it, with what the
    /// version of the element requires of it.
    fn is_carrier(&self, extension: &Object<'_>) -> bool {
        match self.shape {
            Shape::Value(value, under) => {
                extension.members.len() > 1
                    && extension.only(&["url", value, under])
                    && (self.codes.is_empty() || extension.text(value).is_none_or(|code| self.codes.contains(&code)))
            }
            Shape::Parts(rows) => {
                let parts = extension.get("extension").map(Json::items).unwrap_or_default();
                let has = |row: &Row| parts.iter().filter_map(Json::as_object).any(|part| row.carries(part));
                let wrong = |part: &Object<'_>| {
                    rows.iter().any(|row| !row.codes.is_empty() && row.is_at(part) && !row.is_carrier(part))
                };
                extension.only(&["url", "id", "extension"])
                    && rows.iter().all(|row| !row.required || has(row))
                    && !parts.iter().filter_map(Json::as_object).any(wrong)
            }
        }
    }

    fn is_at(&self, extension: &Object<'_>) -> bool {
        extension.text("url") == Some(self.url)
    }

    fn carries(&self, extension: &Object<'_>) -> bool {
        self.is_at(extension) && self.is_carrier(extension)
    }
}

/// The place of a member of the object at `place`.
fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn wrong_type(ctx: &mut Context<'_>, element: &str, place: &str, words: impl Into<Cow<'static, str>>) {
    ctx.find(Key::WrongType, element.to_owned(), words, place.to_owned(), Place::None);
}

fn encode_parts<'a>(
    rows: &[Row],
    item: Json<'a>,
    url: &'static str,
    ctx: &mut Context<'_>,
    element: &str,
    place: &str,
) -> Option<Object<'a>> {
    let Json::Object(mut item) = item else {
        wrong_type(ctx, element, place, "found no object, wanted one");
        return None;
    };
    let mut extension = Object::with_capacity(3);
    extension.put_some("id", item.take("id"));
    if item.take("modifierExtension").is_some() {
        let detail = "a modifier extension on an element that has to be carried in an extension";
        let place = below(place, "modifierExtension");
        ctx.lose(Loss::ModifierExtension, Key::Lost, format!("{element}.modifierExtension"), detail, place);
    }
    let mut parts = item.take("extension").map(Json::into_items).unwrap_or_default();
    for row in rows {
        let taken = row.take_at(&mut item, ctx, element, place);
        if !taken.is_empty() {
            let place = below(place, row.name);
            row.encode(taken, ctx, element, &place, &mut |_, _, part| parts.push(Json::Object(part)));
        }
    }
    if let Some((name, _)) = item.members.first() {
        wrong_type(ctx, element, &below(place, name), format!("`{name}` is no member of the element"));
    }
    if parts.is_empty() {
        // Nothing is left where all of it was lost.
        if !ctx.has_lost {
            wrong_type(ctx, element, place, "found an element without a value");
        }
        return None;
    }
    extension.put("url", Json::text(url));
    extension.put("extension", Json::Array(parts));
    Some(extension)
}

/// What an extension that carries the element has in it.
fn decode<'a>(row: &Row, mut extension: Object<'a>, direction: Direction) -> (Option<Json<'a>>, Option<Json<'a>>) {
    match row.shape {
        Shape::Value(value, under) => (extension.take(value), extension.take(under)),
        Shape::Parts(rows) => {
            let mut item = Object::default();
            item.put_some("id", extension.take("id"));
            let parts = extension.take("extension").map(Json::into_items).unwrap_or_default();
            let (taken, rest) = split_extensions(parts, rows, direction);
            if !rest.is_empty() {
                item.put("extension", Json::Array(rest));
            }
            for (row, taken) in rows.iter().zip(taken) {
                row.put(&mut item, taken);
            }
            (Some(Json::Object(item)), None)
        }
    }
}

/// Tells the extensions that carry an element of `rows` from the others. Those get one more that keeps the order, where the
/// way back would not write it.
fn split_extensions<'a>(
    extensions: Vec<Json<'a>>,
    rows: &[Row],
    direction: Direction,
) -> (Vec<Taken<'a>>, Vec<Json<'a>>) {
    let mut taken: Vec<Taken<'a>> = rows.iter().map(|_| Taken::default()).collect();
    let mut rest = Vec::with_capacity(extensions.len());
    // The way back writes what is not taken, and then the rows in their order.
    let mut reached = 0;
    let mut has_order = true;
    let mut urls: Vec<Cow<'a, str>> = Vec::with_capacity(extensions.len());
    for item in extensions {
        urls.push(source::url_of(&item, direction));
        let found = item.as_object().and_then(|extension| {
            let found = rows.iter().zip(&mut taken).enumerate().find(|(_, (row, _))| row.is_at(extension));
            found.filter(|(_, (row, slot))| (row.repeats || slot.is_empty()) && row.is_carrier(extension))
        });
        let place = found.as_ref().map_or(0, |(index, _)| index + 1);
        has_order &= place >= reached;
        reached = place;
        match (found, item) {
            (Some((_, (row, slot))), Json::Object(extension)) => {
                let (value, under) = decode(row, extension, direction);
                slot.items.extend(value);
                slot.under = under;
            }
            (_, item) => rest.push(item),
        }
    }
    if !has_order {
        rest.push(Json::Object(source::order(urls, direction)));
    }
    (taken, rest)
}

/// Takes the carried elements of `rows` out of the extensions of an object: one for each row, or none at all.
pub(super) fn take_carried<'a>(ctx: &Context<'_>, object: &mut Object<'a>, rows: &[Row]) -> Vec<Taken<'a>> {
    let is_ours = |item: &Json<'_>| item.as_object().is_some_and(|item| rows.iter().any(|row| row.is_at(item)));
    if !object.get("extension").is_some_and(|items| items.items().iter().any(is_ours)) {
        return Vec::new();
    }
    let extensions = object.take("extension").map(Json::into_items).unwrap_or_default();
    let (taken, rest) = split_extensions(extensions, rows, ctx.direction);
    if !rest.is_empty() {
        object.put("extension", Json::Array(rest));
    }
    taken
}

/// Puts the carried elements of `rows` back where they are native. One that is there already wins.
pub(super) fn restore<'a>(object: &mut Object<'a>, rows: &[Row], ctx: &mut Context<'_>) {
    for (row, taken) in rows.iter().zip(take_carried(ctx, object, rows)) {
        put_restored(object, row, taken, ctx);
    }
}

/// Puts one carried element back, unless a native one was written in the meantime.
pub(super) fn put_restored<'a>(object: &mut Object<'a>, row: &Row, taken: Taken<'a>, ctx: &mut Context<'_>) {
    if taken.is_empty() {
        return;
    }
    if object.has(row.name) {
        edited(ctx, row.element, row.name);
    } else {
        row.put(object, taken);
    }
}

/// Says that a native element was changed since it was carried.
pub(super) fn edited(ctx: &mut Context<'_>, element: impl Into<Cow<'static, str>>, name: impl Into<Place>) {
    let place = name.into();
    ctx.find(Key::Edited, element, "", place.clone(), place);
}

/// Carries the elements of `rows` that the object has.
pub(super) fn carry<'a>(
    object: &mut Object<'a>,
    rows: &[Row],
    detail: Option<fn(&str) -> &'static str>,
    ctx: &mut Context<'_>,
) {
    for row in rows {
        if object.has(row.name) || object.has(row.under) {
            let taken = row.take(object, ctx);
            carry_taken(object, row, taken, detail, ctx);
        }
    }
}

/// Carries one element that was taken; findings say so, where `detail` is given.
pub(super) fn carry_taken<'a>(
    object: &mut Object<'a>,
    row: &Row,
    taken: Taken<'a>,
    detail: Option<fn(&str) -> &'static str>,
    ctx: &mut Context<'_>,
) {
    // Of backbone elements each is told, of values the element.
    let each = matches!(row.shape, Shape::Parts(_));
    let mut told = false;
    row.encode(taken, ctx, row.element, row.name, &mut |ctx, at, extension| {
        let index = object.push_extension(extension);
        let Some(detail) = detail.filter(|_| each || !told) else { return };
        told = true;
        let from = if row.repeats && each { Place::Item(row.name, at) } else { Place::At(row.name.into()) };
        let element = if row.numbered { format!("{}[{at}]", row.element).into() } else { Cow::Borrowed(row.element) };
        ctx.find(Key::Carried, element, detail(row.name), from, Place::Item("extension", index));
    });
}

/// No detail.
pub(super) const fn plain(_: &str) -> &'static str {
    ""
}

/// What is added to the id and extensions of a primitive.
pub(super) fn push_under<'a>(object: &mut Object<'a>, name: &str, extension: Object<'a>) {
    let under = under(name);
    match object.get_mut(&under) {
        Some(Json::Object(extra)) => {
            extra.push_extension(extension);
        }
        _ => {
            let mut extra = Object::default();
            extra.push_extension(extension);
            object.put(under, Json::Object(extra));
        }
    }
}

/// Takes the last extension of an element with a url that is `wanted`.
pub(super) fn take_extension<'a>(
    ctx: &Context<'_>,
    object: &mut Object<'a>,
    url: &str,
    wanted: impl Fn(&Object<'a>) -> bool,
) -> Option<Object<'a>> {
    let extensions = object.get("extension").map(Json::items).unwrap_or_default();
    let is_it = |item: &Json<'a>| item.as_object().is_some_and(|item| item.text("url") == Some(url) && wanted(item));
    let index = extensions.iter().rposition(is_it)?;
    // The way back writes it behind the others.
    let urls = || extensions.iter().map(|item| source::url_of(item, ctx.direction));
    let order = (index + 1 < extensions.len()).then(|| source::order(urls(), ctx.direction));
    let found = object.take_extension(url, wanted);
    if let Some(order) = order {
        object.push_extension(order);
    }
    found
}

/// Takes the last extension of a primitive with a url that is `wanted`.
pub(super) fn take_under<'a>(
    ctx: &Context<'_>,
    object: &mut Object<'a>,
    name: &str,
    url: &str,
    wanted: impl Fn(&Object<'a>) -> bool,
) -> Option<Object<'a>> {
    if !object.has_under(name) {
        return None;
    }
    let under = under(name);
    let extra = object.get_mut(&under)?.as_object_mut()?;
    let found = take_extension(ctx, extra, url, wanted)?;
    if extra.is_empty() {
        object.take(&under);
    }
    Some(found)
}

/// Whether an extension has a url, this member, and nothing else.
pub(super) fn has_only(extension: &Object<'_>, member: &str) -> bool {
    extension.members.len() == 2 && extension.only(&["url", member])
}

/// Carries the code of a primitive that the version has not among its codes; says whether it did.
pub(super) fn carry_code(object: &mut Object<'_>, name: &'static str, codes: &[&str], url: &'static str) -> bool {
    let foreign = object.text(name).is_some_and(|code| !codes.contains(&code));
    if foreign && let Some(code) = object.take(name) {
        push_under(object, name, Object::of([("url", Json::text(url)), ("valueCode", code)]));
    }
    foreign
}

/// Puts a carried code of a primitive back where it is one of `codes`; one that was written in the meantime wins.
pub(super) fn restore_code(
    object: &mut Object<'_>,
    name: &'static str,
    codes: &[&str],
    url: &str,
    element: &'static str,
    ctx: &mut Context<'_>,
) {
    restore_value(object, name, ("valueCode", |code| codes.contains(&code)), url, element, ctx);
}

/// Puts a carried value of a primitive back where it is a text or token that is `taken`; one that was written in the
/// meantime wins.
pub(super) fn restore_value(
    object: &mut Object<'_>,
    name: &'static str,
    (member, taken): (&str, impl Fn(&str) -> bool),
    url: &str,
    element: &'static str,
    ctx: &mut Context<'_>,
) {
    // One that this crate would not write stays.
    let ours = |carried: &Object<'_>| {
        has_only(carried, member) && carried.get(member).and_then(Json::as_scalar).is_some_and(&taken)
    };
    let Some(mut carried) = take_under(ctx, object, name, url, ours) else { return };
    if object.has(name) {
        edited(ctx, element, name);
    } else {
        object.put_some(name, carried.take(member));
    }
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
