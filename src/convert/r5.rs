//! The step between R4 and R5: Device and DeviceMetric.

use super::carry::{
    CONFORMS_TO_R5, DEVICE_R4_ALONE, DEVICE_R5, METRIC_PARENT, METRIC_R4_ALONE, METRIC_R5, NAME_R5, PROPERTY_R4, Taken,
    VERSION_R5, absent_element, carry, carry_code, carry_taken, edited, has_only, is_absent, plain, push_under,
    put_restored, restore, restore_code, restore_value, take_carried, take_extension, take_under, under,
};
use super::codes;
use super::context::{Context, Key, Place};
use super::json::{Json, Object};
use super::options::MetricDevice;

const NAME_TYPE: &str = x4!("Device.deviceName.type");
const ENTRY_TYPE_R4: &str = x4!("Device.udiCarrier.entryType");
const FILLED: &str = "required in R5, unknown";

/// The required elements of a UDI carrier of R5, and the mark of one that R4 has so itself.
const UDI_REQUIRED: [(&str, &str, &str); 2] = [
    ("deviceIdentifier", "Device.udiCarrier.deviceIdentifier", x4!("Device.udiCarrier.deviceIdentifier")),
    ("issuer", "Device.udiCarrier.issuer", x4!("Device.udiCarrier.issuer")),
];

fn objects<'j, 'a>(object: &'j mut Object<'a>, name: &str) -> impl Iterator<Item = &'j mut Object<'a>> {
    let items = object.get_mut(name).and_then(Json::as_array_mut);
    items.into_iter().flatten().filter_map(Json::as_object_mut)
}

fn rename<'a>(object: &mut Object<'a>, from: &str, to: &'static str) {
    let (value, extra) = (object.take(from), object.take(&under(from)));
    object.put_some(to, value);
    object.put_some(under(to), extra);
}

fn detail(name: &str) -> &'static str {
    if name == "patient" { "R5: DeviceAssociation" } else { "" }
}

fn r5_only(_: &str) -> &'static str {
    "R5 only"
}

// ------------------------------------------------------------------------------------------------------- R4 to R5

pub(super) fn device_up<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let carried = take_carried(ctx, object, DEVICE_R5);
    for carrier in objects(object, "udiCarrier") {
        udi_up(ctx, carrier);
    }
    if carry_code(object, "status", codes::STATUS_R5, x4!("Device.status")) {
        ctx.find(Key::Carried, "Device.status", "no R5 code", "status", "status");
    }
    rename(object, "deviceName", "name");
    for name in objects(object, "name") {
        name_up(ctx, name);
    }
    rename(object, "specialization", "conformsTo");
    for specialization in objects(object, "conformsTo") {
        rename(specialization, "systemType", "specification");
        restore(specialization, CONFORMS_TO_R5, ctx);
    }
    for version in objects(object, "version") {
        restore(version, VERSION_R5, ctx);
    }
    for property in objects(object, "property") {
        property_up(ctx, property);
    }
    let r#type = object.take("type");
    let reference = object.take("definition");
    let (mut types, mut definition) = (Vec::from_iter(r#type), None);
    let mut concept = None;
    for (row, taken) in DEVICE_R5.iter().zip(carried) {
        match row.name {
            "type" => types.extend(taken.items),
            "definition" => definition = taken.items.into_iter().next(),
            "definition.concept" => concept = taken.items.into_iter().next(),
            _ => put_restored(object, row, taken, ctx),
        }
    }
    if !types.is_empty() {
        object.put("type", Json::Array(types));
    }
    object.put_some("definition", definition_up(ctx, reference, concept, definition));
    carry(object, DEVICE_R4_ALONE, Some(detail), ctx);
}

/// The definition of R5: the reference of R4, and what was carried of it.
fn definition_up<'a>(
    ctx: &mut Context<'_>,
    reference: Option<Json<'a>>,
    concept: Option<Json<'a>>,
    whole: Option<Json<'a>>,
) -> Option<Json<'a>> {
    let mut definition = match whole {
        Some(Json::Object(definition)) => definition,
        _ => Object::default(),
    };
    let before = definition.take("reference");
    if before.is_some() && !same(before.as_ref(), reference.as_ref()) {
        edited(ctx, "Device.definition", "definition");
    }
    definition.put_some("reference", reference);
    if !definition.has("concept") {
        definition.put_some("concept", concept);
    }
    (!definition.is_empty()).then_some(Json::Object(definition))
}

fn same(one: Option<&Json<'_>>, two: Option<&Json<'_>>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => one.same(two),
        _ => false,
    }
}

fn udi_up(ctx: &mut Context<'_>, carrier: &mut Object<'_>) {
    if carrier.text("entryType").is_some_and(|code| codes::UDI_ENTRY_ADDED.contains(&code))
        && let Some(code) = carrier.get("entryType").cloned()
    {
        // R4 says so itself, against its value set: the way back must not take it for a code of R5.
        push_under(carrier, "entryType", Object::of([("url", Json::text(ENTRY_TYPE_R4)), ("valueCode", code)]));
    }
    let (url, element) = (x5!("Device.udiCarrier.entryType"), "Device.udiCarrier.entryType");
    restore_code(carrier, "entryType", codes::UDI_ENTRY_ADDED, url, element, ctx);
    for (name, element, mark) in UDI_REQUIRED {
        if carrier.has(name) {
            continue;
        }
        let extra = under(name);
        if !carrier.has(&extra) {
            carrier.put(extra, absent_element());
            ctx.find(Key::Filled, element, FILLED, Place::None, format!("udiCarrier.{name}"));
        } else if is_absent(carrier.get(&extra)) {
            // R4 says so itself: the way back must not drop it.
            let kept = Object::of([("url", Json::text(mark)), ("valueCode", Json::text("unknown"))]);
            push_under(carrier, name, kept);
        }
    }
}

fn name_up(ctx: &mut Context<'_>, name: &mut Object<'_>) {
    rename(name, "name", "value");
    restore(name, NAME_R5, ctx);
    let (code, carried) = match name.text("type") {
        Some("manufacturer-name") => ("registered-name", false),
        Some("udi-label-name" | "model-name") => ("registered-name", true),
        Some("other") => ("user-friendly-name", true),
        _ => return,
    };
    let Some(original) = name.get_mut("type").map(|own| std::mem::replace(own, Json::text(code))) else { return };
    if carried {
        let said = original.as_text().unwrap_or_default().to_owned();
        push_under(name, "type", Object::of([("url", Json::text(NAME_TYPE)), ("valueCode", original)]));
        ctx.find(Key::Carried, "Device.deviceName.type", said, "deviceName.type", "name.type");
    }
}

/// The values that a property of R5 may have, but for the two of R4.
const PROPERTY_VALUES: [(&str, &str); 5] = [
    ("valueString", "_valueString"),
    ("valueBoolean", "_valueBoolean"),
    ("valueInteger", "_valueInteger"),
    ("valueRange", ""),
    ("valueAttachment", ""),
];
const PROPERTY_VALUE: &str = x5!("Device.property.value");

/// Whether an extension carries one value of a property of R5.
fn is_value(extension: &Object<'_>) -> bool {
    let known =
        |name: &str| name == "url" || PROPERTY_VALUES.iter().any(|(value, extra)| [*value, *extra].contains(&name));
    extension.members.len() > 1 && extension.members.iter().all(|(name, _)| known(name))
}

fn property_up(ctx: &mut Context<'_>, property: &mut Object<'_>) {
    let mut values: Vec<_> = PROPERTY_R4.iter().map(|row| row.take(property, ctx).items).collect();
    let carried = take_extension(ctx, property, PROPERTY_VALUE, is_value);
    // The first value is the one of R5, the others are carried.
    let first = values.iter().position(|values| !values.is_empty());
    if let Some(index) = first
        && let Some(value) = values.get_mut(index).map(|values| values.remove(0))
    {
        property.put(if index == 0 { "valueQuantity" } else { "valueCodeableConcept" }, value);
        if carried.is_some() {
            edited(ctx, "Device.property.value", "property");
        }
    } else if let Some(mut carried) = carried {
        carried.take("url");
        property.members.extend(carried.members);
    } else {
        property.put("_valueString", absent_element());
        ctx.find(Key::Filled, "Device.property.value", FILLED, Place::None, "property");
    }
    for (row, items) in PROPERTY_R4.iter().zip(values) {
        let taken = Taken { items, under: None };
        carry_taken(property, row, taken, Some(plain), ctx);
    }
}

pub(super) fn metric_up<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    restore(object, METRIC_R5, ctx);
    let color = |code: &str| codes::is_color_of_r5(code) && !codes::COLOR_R4.contains(&code);
    restore_value(object, "color", ("valueCode", color), x5!("DeviceMetric.color"), "DeviceMetric.color", ctx);
    let (source, parent) = (object.get("source").cloned(), object.take("parent"));
    let by_source = ctx.options.metric_device == MetricDevice::Source;
    let parented = parent.is_some();
    let mut device = match (&source, &parent) {
        (Some(source), Some(_)) if by_source => source.clone(),
        (_, Some(parent)) => parent.clone(),
        (Some(source), None) => source.clone(),
        (None, None) => {
            ctx.find(Key::Filled, "DeviceMetric.device", FILLED, Place::None, "device");
            absent_element()
        }
    };
    // Where `device` alone would not say what `parent` was.
    let told = !by_source && !same(source.as_ref(), parent.as_ref());
    if let (Some(parent), Some(device), false) = (parent, device.as_object_mut(), told) {
        device
            .push_extension(Object::of([("url", Json::text(x4!("DeviceMetric.parent"))), ("valueReference", parent)]));
    }
    object.put("device", device);
    let device_says_it = by_source && !parented;
    if device_says_it {
        object.take("source");
    }
    for row in METRIC_R4_ALONE {
        let detail: Option<fn(&str) -> &'static str> = if row.name == "source" { None } else { Some(plain) };
        carry(object, std::slice::from_ref(row), detail, ctx);
    }
}

// ------------------------------------------------------------------------------------------------------- R5 to R4

pub(super) fn device_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let restored = take_carried(ctx, object, DEVICE_R4_ALONE);
    for carrier in objects(object, "udiCarrier") {
        udi_down(ctx, carrier);
    }
    restore_code(object, "status", codes::STATUS_DROPPED, x4!("Device.status"), "Device.status", ctx);
    for name in objects(object, "name") {
        name_down(ctx, name);
    }
    rename(object, "name", "deviceName");
    for conforms in objects(object, "conformsTo") {
        carry(conforms, CONFORMS_TO_R5, None, ctx);
        rename(conforms, "specification", "systemType");
    }
    rename(object, "conformsTo", "specialization");
    for version in objects(object, "version") {
        carry(version, VERSION_R5, None, ctx);
    }
    for property in objects(object, "property") {
        property_down(ctx, property);
    }
    let reference = definition_down(object);
    let r#type = type_down(ctx, object);
    for row in DEVICE_R5 {
        let detail = if row.name == "type" || row.name.starts_with("definition") { plain } else { r5_only };
        carry(object, std::slice::from_ref(row), Some(detail), ctx);
    }
    object.put_some("type", r#type);
    object.put_some("definition", reference);
    for (row, taken) in DEVICE_R4_ALONE.iter().zip(restored) {
        put_restored(object, row, taken, ctx);
    }
}

/// The first type; the others stay, to be carried.
fn type_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) -> Option<Json<'a>> {
    let types = object.get_mut("type")?;
    let Json::Array(items) = types else {
        ctx.find(Key::WrongType, "Device.type", "found no array, wanted one", "type", Place::None);
        return object.take("type");
    };
    let first = (!items.is_empty()).then(|| items.remove(0));
    if items.is_empty() {
        object.take("type");
    }
    first
}

/// The reference of a definition. A concept, and a definition with an id or extensions, stay, to be carried.
fn definition_down<'a>(object: &mut Object<'a>) -> Option<Json<'a>> {
    let Some(Json::Object(mut definition)) = object.take("definition") else { return None };
    if definition.only(&["reference", "concept"]) {
        object.put_some("definition.concept", definition.take("concept"));
        return definition.take("reference");
    }
    let reference = definition.get("reference").cloned();
    object.put("definition", Json::Object(definition));
    reference
}

fn udi_down(ctx: &mut Context<'_>, carrier: &mut Object<'_>) {
    for (name, _, mark) in UDI_REQUIRED {
        if !carrier.has(name) && is_absent(carrier.get(&under(name))) {
            carrier.take(&under(name));
        } else {
            take_under(ctx, carrier, name, mark, |it| has_only(it, "valueCode"));
        }
    }
    let of_r4 = take_under(ctx, carrier, "entryType", ENTRY_TYPE_R4, |it| has_only(it, "valueCode")).is_some();
    if !of_r4 && carry_code(carrier, "entryType", codes::UDI_ENTRY_STU3, x5!("Device.udiCarrier.entryType")) {
        let place = "udiCarrier.entryType";
        ctx.find(Key::Carried, "Device.udiCarrier.entryType", "", place, place);
    }
}

fn name_down(ctx: &mut Context<'_>, name: &mut Object<'_>) {
    carry(name, NAME_R5, None, ctx);
    rename(name, "value", "name");
    let mut carried = take_under(ctx, name, "type", NAME_TYPE, |it| has_only(it, "valueCode"));
    let carried = carried.as_mut().and_then(|carried| carried.take("valueCode"));
    let expected = match carried.as_ref().and_then(Json::as_text) {
        Some("udi-label-name" | "model-name") => Some("registered-name"),
        Some("other") => Some("user-friendly-name"),
        _ => None,
    };
    match carried {
        Some(carried) if expected.is_some() && name.text("type").is_none_or(|own| Some(own) == expected) => {
            name.put("type", carried);
        }
        carried => {
            if carried.is_some() {
                edited(ctx, "Device.deviceName.type", "name");
            }
            if name.text("type") == Some("registered-name") {
                name.put("type", Json::text("manufacturer-name"));
            }
        }
    }
}

fn property_down(ctx: &Context<'_>, property: &mut Object<'_>) {
    let mut carried = take_carried(ctx, property, PROPERTY_R4);
    carried.resize_with(PROPERTY_R4.len(), Taken::default);
    let mut values: [Vec<Json<'_>>; 2] = Default::default();
    let [quantities, codes] = &mut values;
    quantities.extend(property.take("valueQuantity"));
    codes.extend(property.take("valueCodeableConcept"));
    if is_absent(property.get("_valueString")) && !property.has("valueString") {
        property.take("_valueString");
    }
    let mut other = Object::of([("url", Json::text(PROPERTY_VALUE))]);
    for (value, extra) in PROPERTY_VALUES {
        other.put_some(value, property.take(value));
        if !extra.is_empty() {
            other.put_some(extra, property.take(extra));
        }
    }
    if other.members.len() > 1 {
        property.push_extension(other);
    }
    for ((row, own), taken) in PROPERTY_R4.iter().zip(values).zip(carried) {
        let items: Vec<_> = own.into_iter().chain(taken.items).collect();
        if !items.is_empty() {
            property.put(row.name, Json::Array(items));
        }
    }
}

pub(super) fn metric_down<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    carry(object, METRIC_R5, Some(plain), ctx);
    if carry_code(object, "color", codes::COLOR_R4, x5!("DeviceMetric.color")) {
        ctx.find(Key::Carried, "DeviceMetric.color", "", "color", "color");
    }
    let device = object.take("device").filter(|device| !is_absent(Some(device)));
    let mut carried = take_carried(ctx, object, METRIC_R4_ALONE).into_iter();
    let (source, period) = (carried.next().unwrap_or_default(), carried.next().unwrap_or_default());
    let source = source.items.into_iter().next();
    object.put_some("measurementPeriod", period.items.into_iter().next());
    let Some(mut device) = device else {
        object.put_some("source", source);
        return;
    };
    let parent = device.as_object_mut().map(|device| take_carried(ctx, device, METRIC_PARENT));
    let parent = parent.into_iter().flatten().next().and_then(|taken| taken.items.into_iter().next());
    let is_source = same(source.as_ref(), Some(&device));
    let (parent, source) = match (parent, source) {
        (Some(parent), source) if is_source || same(Some(&parent), Some(&device)) => (Some(parent), source),
        (Some(parent), source) => {
            edited(ctx, "DeviceMetric.device", "device");
            match ctx.options.metric_device {
                MetricDevice::Parent => (Some(device), source),
                MetricDevice::Source => (Some(parent), Some(device)),
            }
        }
        (None, Some(source)) if is_source => (None, Some(source)),
        (None, Some(source)) => (Some(device), Some(source)),
        (None, None) => match ctx.options.metric_device {
            MetricDevice::Parent => (Some(device), None),
            MetricDevice::Source => (None, Some(device)),
        },
    };
    object.put_some("parent", parent);
    object.put_some("source", source);
}
