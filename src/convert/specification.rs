//! The specifications of a component, which are `serialNumber`, `partNumber` and `version` of a Device.
//!
//! The order of the list is kept. What a Device has no place for, and what stands before it, is carried; the elements of
//! the Device then have what they can of it too, so that a reader of R4 sees it.

use super::carry::{SPECIFICATIONS, Taken, carry_taken, edited, plain, take_carried};
use super::context::Context;
use super::json::{Json, Object};

const SYSTEM: &str = "http://hl7.org/fhir/specification-type";
const SERIAL: &str = "serial-number";
const PART: &str = "part-number";
const GMDN: &str = "gmdn";

/// Where a Device has a specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Serial,
    Part,
    Version,
    Nowhere,
}

/// Where the value of a specification can be seen in a Device.
fn place(specification: &Object<'_>) -> Place {
    if !specification.has("productionSpec") && !specification.has("_productionSpec") {
        return Place::Nowhere;
    }
    let codings = specification.get("specType").and_then(Json::as_object).and_then(|r#type| r#type.get("coding"));
    let codes = codings.map(Json::items).unwrap_or_default().iter().filter_map(Json::as_object);
    let special = codes.filter(|coding| coding.text("system") == Some(SYSTEM)).filter_map(|coding| coding.text("code"));
    let mut special = special.filter(|code| [SERIAL, PART, GMDN].contains(code));
    let special = special.next();
    match special {
        Some(_) if specification.has("componentId") => Place::Nowhere,
        Some(SERIAL) => Place::Serial,
        Some(PART) => Place::Part,
        Some(_) => Place::Nowhere,
        None => Place::Version,
    }
}

/// A specification of a kind that HL7 has a code for, with nothing else.
fn canonical<'a>(code: &'static str, value: Option<Json<'a>>, extra: Option<Json<'a>>) -> Object<'a> {
    let coding = Object::of([("system", Json::text(SYSTEM)), ("code", Json::text(code))]);
    let r#type = Object::of([("coding", Json::Array(vec![Json::Object(coding)]))]);
    let mut specification = Object::of([("specType", Json::Object(r#type))]);
    specification.put_some("productionSpec", value);
    specification.put_some("_productionSpec", extra);
    specification
}

/// Whether a specification has the code of its kind, and nothing else but its value.
fn is_canonical(specification: &Object<'_>, code: &'static str) -> bool {
    let r#type = specification.get("specType").and_then(Json::as_object);
    let codings = r#type.filter(|own| own.only(&["coding"])).and_then(|own| own.get("coding")).map(Json::items);
    let coding = match codings {
        Some([coding]) => coding.as_object(),
        _ => None,
    };
    specification.only(&["specType", "productionSpec", "_productionSpec"])
        && coding.is_some_and(|own| {
            own.only(&["system", "code"]) && own.text("system") == Some(SYSTEM) && own.text("code") == Some(code)
        })
}

/// How many of the specifications must be carried: up to the last that a Device would not give back in its order.
fn carried(specifications: &[Json<'_>]) -> usize {
    let mut carried = 0;
    let mut reached = Place::Serial;
    let (mut serials, mut parts) = (0, 0);
    for (index, specification) in specifications.iter().enumerate() {
        let Json::Object(specification) = specification else { continue };
        let place = place(specification);
        let native = match place {
            Place::Serial => {
                serials += 1;
                serials == 1 && reached <= Place::Serial && is_canonical(specification, SERIAL)
            }
            Place::Part => {
                parts += 1;
                parts == 1 && reached <= Place::Part && is_canonical(specification, PART)
            }
            Place::Version => true,
            Place::Nowhere => false,
        };
        if native {
            reached = reached.max(place);
        } else {
            carried = index + 1;
            reached = Place::Serial;
        }
    }
    carried
}

/// Makes the specifications of a component elements of a Device.
pub(super) fn to_r4<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let Some(specifications) = object.take("productionSpecification") else { return };
    let mut specifications = specifications.into_items();
    let native = specifications.split_off(carried(&specifications).min(specifications.len()));
    let mut versions = Vec::new();
    for specification in specifications.iter().filter_map(Json::as_object) {
        // The ids of elements are unique in a document.
        let mut seen = specification.clone();
        seen.take("id");
        add(object, &mut versions, seen);
    }
    for specification in native {
        if let Json::Object(specification) = specification {
            add(object, &mut versions, specification);
        }
    }
    if !versions.is_empty() {
        object.put("version", Json::Array(versions));
    }
    if let [row] = SPECIFICATIONS {
        carry_taken(object, row, Taken { items: specifications, under: None }, Some(plain), ctx);
    }
}

/// Adds a specification where a Device has it, if there is room.
fn add<'a>(object: &mut Object<'a>, versions: &mut Vec<Json<'a>>, mut specification: Object<'a>) {
    let (name, extra) = match place(&specification) {
        Place::Serial => ("serialNumber", "_serialNumber"),
        Place::Part => ("partNumber", "_partNumber"),
        Place::Version => return versions.push(Json::Object(version(specification))),
        Place::Nowhere => return,
    };
    if !object.has(name) && !object.has(extra) {
        object.put_some(name, specification.take("productionSpec"));
        object.put_some(extra, specification.take("_productionSpec"));
    }
}

const NAMES: [(&str, &str); 4] =
    [("specType", "type"), ("componentId", "component"), ("productionSpec", "value"), ("_productionSpec", "_value")];

/// A specification as an entry of `version`, and back.
fn version(mut specification: Object<'_>) -> Object<'_> {
    for (name, _) in &mut specification.members {
        if let Some((_, other)) = NAMES.iter().find(|(own, _)| own == name) {
            *name = (*other).into();
        }
    }
    specification
}

fn specification(mut version: Object<'_>) -> Object<'_> {
    for (name, _) in &mut version.members {
        if let Some((other, _)) = NAMES.iter().find(|(_, own)| own == name) {
            *name = (*other).into();
        }
    }
    version
}

/// A value and its id and extensions.
type Primitive<'a> = (Option<Json<'a>>, Option<Json<'a>>);

fn same(one: Option<&Json<'_>>, two: Option<&Json<'_>>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => one.same(two),
        _ => false,
    }
}

/// Makes `serialNumber`, `partNumber` and `version` of a Device the specifications of a component.
pub(super) fn from_r4<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>) {
    let carried = take_carried(ctx, object, SPECIFICATIONS).into_iter().next().unwrap_or_default().items;
    let mut take = |name: &str, extra: &str| -> Option<Primitive<'a>> {
        let found = (object.take(name), object.take(extra));
        (found.0.is_some() || found.1.is_some()).then_some(found)
    };
    let mut serial = take("serialNumber", "_serialNumber");
    let mut part = take("partNumber", "_partNumber");
    let versions = match object.get("version") {
        Some(Json::Array(_)) => object.take("version").map(Json::into_items).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut versions = versions.into_iter().peekable();
    let (mut serials, mut parts) = (0, 0);
    let mut made = Vec::new();
    for item in carried {
        let Json::Object(mut item) = item else { continue };
        let stays = match place(&item) {
            Place::Serial => {
                serials += 1;
                serials > 1 || agree(ctx, &mut item, serial.take(), "Device.serialNumber", "serialNumber")
            }
            Place::Part => {
                parts += 1;
                parts > 1 || agree(ctx, &mut item, part.take(), "Device.partNumber", "partNumber")
            }
            Place::Version => {
                let about = |version: &Json<'a>| {
                    version.as_object().is_some_and(|version| {
                        same(version.get("type"), item.get("specType"))
                            && same(version.get("component"), item.get("componentId"))
                    })
                };
                let native = versions.next_if(about).and_then(|version| match version {
                    Json::Object(mut version) => Some((version.take("value"), version.take("_value"))),
                    _ => None,
                });
                agree(ctx, &mut item, native, "Device.version", "version")
            }
            Place::Nowhere => true,
        };
        if stays {
            made.push(Json::Object(item));
        }
    }
    for (code, value) in [(SERIAL, serial), (PART, part)] {
        made.extend(value.map(|(value, extra)| Json::Object(canonical(code, value, extra))));
    }
    made.extend(versions.map(|version| match version {
        Json::Object(version) => Json::Object(specification(version)),
        other => other,
    }));
    if !made.is_empty() {
        object.put("productionSpecification", Json::Array(made));
    }
}

/// Makes a carried specification agree with the native element, which may have been edited or deleted. Says whether it
/// stays.
fn agree<'a>(
    ctx: &mut Context<'_>,
    item: &mut Object<'a>,
    native: Option<Primitive<'a>>,
    element: &'static str,
    name: &'static str,
) -> bool {
    let Some((value, extra)) = native else {
        edited(ctx, element, name);
        return false;
    };
    if !same(item.get("productionSpec"), value.as_ref()) || !same(item.get("_productionSpec"), extra.as_ref()) {
        edited(ctx, element, name);
        item.take("productionSpec");
        item.take("_productionSpec");
        item.put_some("productionSpec", value);
        item.put_some("_productionSpec", extra);
    }
    true
}
