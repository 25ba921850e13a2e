//! Which version of FHIR a document is written for, by its marks.

use super::Direction;
use super::context::{Context, Key, Place};
use super::json::{Json, Object};
use super::options::Version;

/// Members of a Device that one version has and the others have not.
const DEVICE: &[(&str, Version)] = &[
    ("udi", Version::Stu3),
    ("model", Version::Stu3),
    ("udiCarrier", Version::R4),
    ("deviceName", Version::R4),
    ("statusReason", Version::R4),
    ("distinctIdentifier", Version::R4),
    ("specialization", Version::R4),
    ("modelNumber", Version::R4),
    ("serialNumber", Version::R4),
    ("partNumber", Version::R4),
    ("parent", Version::R4),
    ("property", Version::R4),
    ("definition", Version::R4),
    ("displayName", Version::R5),
    ("name", Version::R5),
    ("conformsTo", Version::R5),
    ("availabilityStatus", Version::R5),
    ("biologicalSourceEvent", Version::R5),
    ("category", Version::R5),
    ("mode", Version::R5),
    ("cycle", Version::R5),
    ("duration", Version::R5),
    ("endpoint", Version::R5),
    ("gateway", Version::R5),
];

/// The members that a resource of R4 has not, and one of STU3 has: of a Device and a component.
const NOT_IN_R4: &[&str] = &[
    "udi",
    "model",
    "lastSystemChange",
    "source",
    "operationalStatus",
    "parameterGroup",
    "productionSpecification",
    "measurementPrinciple",
    "languageCode",
];
/// The members that a resource of R5 has not, and one of R4 has.
const DEVICE_NOT_IN_R5: &[&str] =
    &["deviceName", "specialization", "statusReason", "distinctIdentifier", "patient", "udi", "model"];
const METRIC_NOT_IN_R5: &[&str] = &["parent", "source", "measurementPeriod"];

/// The members of the resources of R4 and R5 that are lists of elements, and those that are one, `type` and `definition` aside.
const LISTS: &[&str] = &[
    "identifier",
    "udiCarrier",
    "statusReason",
    "deviceName",
    "name",
    "specialization",
    "conformsTo",
    "version",
    "property",
    "category",
    "endpoint",
    "gateway",
    "note",
    "contact",
    "safety",
    "calibration",
];
const ELEMENTS: &[&str] = &[
    "patient",
    "owner",
    "location",
    "parent",
    "source",
    "device",
    "measurementPeriod",
    "measurementFrequency",
    "unit",
];

/// Whether a member of a resource of R4 or R5 is a list of elements.
fn is_list(resource: &str, name: &str, direction: Direction) -> bool {
    match name {
        // It is a code in a metric.
        "category" => resource == "Device",
        "type" => direction == Direction::R5ToR4 && resource == "Device",
        name => LISTS.contains(&name),
    }
}

/// Whether a member of a resource of R4 or R5 is one element.
fn is_element(resource: &str, name: &str, direction: Direction) -> bool {
    ELEMENTS.contains(&name) || matches!(name, "type" | "definition") && !is_list(resource, name, direction)
}

/// Returns what is wanted of a member of a resource of R4 or R5 that has a value of another shape.
fn wanted_shape(resource: &str, name: &str, value: &Json<'_>, direction: Direction) -> Option<&'static str> {
    let (is_list, is_element) = (is_list(resource, name, direction), is_element(resource, name, direction));
    match value {
        Json::Array(_) if is_list => None,
        _ if is_list => Some("found no array, wanted one"),
        Json::Object(_) if is_element => None,
        _ if is_element => Some("found no object, wanted one"),
        _ => None,
    }
}

/// Finds the members of a resource that another version has and its own has not, and those of another shape: they would be taken for
/// what they are there, or dropped.
pub(super) fn foreign_members(ctx: &mut Context<'_>, object: &Object<'_>) {
    let foreign: &[&[&str]] = match (object.text("resourceType"), ctx.direction) {
        (Some("Device"), Direction::R4ToStu3) => &[NOT_IN_R4],
        (Some("Device"), Direction::R5ToR4) => &[NOT_IN_R4, DEVICE_NOT_IN_R5],
        (Some("DeviceMetric"), Direction::R5ToR4) => &[METRIC_NOT_IN_R5],
        (Some("DeviceMetric"), Direction::R4ToStu3) => &[],
        _ => return,
    };
    let resource = object.text("resourceType").unwrap_or_default();
    for (member, value) in &object.members {
        if let Some(words) = wanted_shape(resource, member, value, ctx.direction) {
            ctx.find(Key::WrongType, format!("{resource}.{member}"), words, member.to_string(), Place::None);
        }
        let companion = member.strip_prefix('_');
        let name = companion.unwrap_or(member);
        // Only a primitive value has a companion.
        let is_stray = companion
            .is_some_and(|name| is_list(resource, name, ctx.direction) || is_element(resource, name, ctx.direction));
        if is_stray || foreign.iter().any(|names| names.contains(&name)) {
            let element = format!("{resource}.{member}");
            ctx.find(Key::UnknownMember, element, "", member.to_string(), Place::None);
        }
    }
}

/// Returns which version a document shows itself to be written for; nothing where it has no mark of one, or is no JSON.
///
/// The members that one version alone has are the marks, and those whose shape differs. What R4 and R5 have in common is
/// taken for R4; R4B is never found, as these resources are the same in R4.
///
/// ```
/// use fhir_devices::convert::{Version, version_of};
///
/// assert_eq!(version_of(br#"{"resourceType":"DeviceComponent"}"#), Some(Version::Stu3));
/// assert_eq!(version_of(br#"{"resourceType":"Device","udiCarrier":[]}"#), Some(Version::R4));
/// assert_eq!(version_of(br#"{"resourceType":"Device","type":[{"text":"pump"}]}"#), Some(Version::R5));
/// assert_eq!(version_of(br#"{"resourceType":"Device","status":"active"}"#), None);
/// ```
#[must_use]
pub fn version_of(json: &[u8]) -> Option<Version> {
    let json = Json::read(std::str::from_utf8(json).ok()?, "Resource").ok()?;
    of_resource(json.as_object()?)
}

fn of_resource(object: &Object<'_>) -> Option<Version> {
    let own = match object.text("resourceType")? {
        "DeviceComponent" => Some(Version::Stu3),
        "Device" => of_device(object),
        "DeviceMetric" => of_metric(object),
        "Bundle" => {
            let entries = object.get("entry").map(Json::items).unwrap_or_default().iter().filter_map(Json::as_object);
            let resources = entries.filter_map(|entry| entry.get("resource").and_then(Json::as_object));
            newest(resources.filter_map(of_resource))
        }
        _ => None,
    };
    let contained = object.get("contained").map(Json::items).unwrap_or_default().iter().filter_map(Json::as_object);
    newest(own.into_iter().chain(contained.filter_map(of_resource)))
}

/// Returns a mark of R4 may be one of R5 too; one of R5 is of R5 alone.
fn newest(found: impl Iterator<Item = Version>) -> Option<Version> {
    found.max()
}

fn of_device(object: &Object<'_>) -> Option<Version> {
    let by_shape = [
        object.get("type").and_then(|r#type| match r#type {
            Json::Array(_) => Some(Version::R5),
            _ => None,
        }),
        object.get("version").map(|version| match version {
            Json::Array(_) => Version::R4,
            _ => Version::Stu3,
        }),
        object.get("definition").and_then(Json::as_object).and_then(|definition| {
            let of_r5 = |name| definition.get(name).is_some_and(|found| matches!(found, Json::Object(_)));
            (of_r5("reference") || of_r5("concept")).then_some(Version::R5)
        }),
        object.get("property").and_then(|all| {
            let first = all.items().first().and_then(Json::as_object)?;
            let of_r5 = first.members.iter().any(|(name, value)| {
                name.starts_with("value") && !matches!(value, Json::Array(_)) && name != "valueCode"
            });
            of_r5.then_some(Version::R5)
        }),
    ];
    let by_name = object.members.iter().filter_map(|(name, _)| {
        let name = name.strip_prefix('_').unwrap_or(name);
        DEVICE.iter().find(|(mark, _)| *mark == name).map(|(_, version)| *version)
    });
    let found = newest(by_shape.into_iter().flatten().chain(by_name))?;
    let of_r4 = object.get("type").is_some_and(|r#type| matches!(r#type, Json::Object(_)));
    Some(if found == Version::R5 && of_r4 { Version::R4 } else { found })
}

fn of_metric(object: &Object<'_>) -> Option<Version> {
    if object.has("device") || object.has("measurementFrequency") {
        return Some(Version::R5);
    }
    let parent = object.get("parent").and_then(Json::as_object).and_then(|parent| parent.text("reference"));
    match (object.get("identifier"), parent) {
        (Some(Json::Array(_)), _) => Some(Version::R4),
        (Some(Json::Object(_)), _) => Some(Version::Stu3),
        (_, Some(parent)) if parent.contains("DeviceComponent/") => Some(Version::Stu3),
        (_, Some(_)) => Some(Version::R4),
        _ => None,
    }
}
