//! Documents of FHIR STU3 as documents of R4, R4B and R5 and back, with nothing lost.
//!
//! The model of this crate stays STU3: [`to`] writes a resource for another version, [`from`] reads a document of one.
//! What a version has no place for is carried in HL7's extensions for elements of other versions, and comes back from
//! there. A DeviceComponent, which R4 has not, becomes a Device with a tag that says so.
//!
//! ```
//! use fhir_devices::Resource;
//! use fhir_devices::convert::{self, Options, Version};
//!
//! let options = Options::default();
//! let vmd = Resource::from_json(br#"{"resourceType":"DeviceComponent","id":"vmd","identifier":{"value":"3.1"},
//!     "type":{"text":"VMD"},"parent":{"reference":"DeviceComponent/mds"},"measurementPrinciple":"optical"}"#)?;
//! let converted = convert::to(Version::R4, &vmd, &options)?;
//! assert!(converted.json.contains(r#""parent":{"reference":"Device/mds"}"#));
//! assert_eq!(converted.report.issues()[0].rule, "carried");
//! assert_eq!(converted.report.issues()[0].at, "DeviceComponent.measurementPrinciple");
//!
//! let back = convert::from(Version::R4, converted.json.as_bytes(), &options)?;
//! assert_eq!(back.value, vmd);
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! # Findings
//!
//! A report has one finding for each thing that a reader of the other version should know, by key:
//!
//! | key | severity | what it says |
//! | --- | --- | --- |
//! | `carried` | information | the element is kept in an extension |
//! | `rewritten` | information | the value is written for the version, the original is beside it |
//! | `filled` | information | the version requires the element; the way back drops it |
//! | `edited` | warning | a native element was changed since it was carried, and the change counts |
//! | `unconverted` | warning | a resource of another type is left in its version |
//! | `warning` | warning | what to mind, as that a signature does not verify |
//! | `lost` | error | the version has no place for it; see [`Loss`] |
//! | `collision` | error | two resources would have one address |
//! | `collision` | warning | the document has an extension or a tag of its own that a conversion writes; it is kept otherwise |
//!
//! [`Issue::at`](crate::Issue::at) names the element as the mapping does (`Device.patient`), and
//! [`Issue::places`](crate::Issue::places) says where it is in both documents.
//!
//! A document with an error is not converted, unless [`Options::allow`] names the loss; the finding is a warning then.
//! What goes where stands in [`manual::conversion`](crate::manual::conversion).

/// The url of HL7's extension for an element of STU3, of R4 and of R5.
macro_rules! x3 {
    ($($path:literal)+) => {
        concat!("http://hl7.org/fhir/3.0/StructureDefinition/extension-", $($path),+)
    };
}
macro_rules! x4 {
    ($($path:literal)+) => {
        concat!("http://hl7.org/fhir/4.0/StructureDefinition/extension-", $($path),+)
    };
}
macro_rules! x5 {
    ($($path:literal)+) => {
        concat!("http://hl7.org/fhir/5.0/StructureDefinition/extension-", $($path),+)
    };
}

mod bundle;
mod carry;
mod check;
mod codes;
mod context;
mod datatype;
mod decimal;
mod detect;
mod extension;
pub(crate) mod json;
mod literal;
mod options;
mod r4;
mod r5;
mod service;
mod source;
mod specification;
mod walk;

pub use detect::version_of;
pub use options::{CodeSystems, Components, IdPolicy, LinkPolicy, Loss, MetricDevice, NotAVersion, Options, Version};
pub(crate) use service::{
    as_component, check_with, component_of, component_reference, device_of, entry, is_loss, is_mark, valid_to,
};

use crate::element::ReadMode;
use crate::issue::{Issue, Path, Report, Severity};
use crate::resource::{Reading, Resource};
use context::{Context, Key};
use json::{Json, Object};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use walk::{Kind, walk};

const DATA_ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
const BASE_TYPE_STU3: &str = "http://hl7.org/fhir/3.0/StructureDefinition/BaseType";
const BASE_TYPE_R4: &str = "http://hl7.org/fhir/4.0/StructureDefinition/BaseType";
const BASE_TYPE_R5: &str = "http://hl7.org/fhir/5.0/StructureDefinition/BaseType";

/// A converted document and its findings.
///
/// ```
/// use fhir_devices::convert::{self, Options, Version};
/// use fhir_devices::{Device, Resource};
///
/// let device = Device::from_json(br#"{"resourceType":"Device","status":"unknown"}"#)?;
/// let converted = convert::to(Version::R5, &Resource::from(device), &Options::default())?;
/// let patient = converted.report.iter().find(|issue| issue.at == "Device.status").unwrap();
/// assert_eq!(patient.message, "the element is carried in an extension: no R5 code");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// The document, as compact JSON.
    pub json: String,
    /// The findings; none of them is an error.
    pub report: Report,
}

/// One step of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Stu3ToR4,
    R4ToStu3,
    R4ToR5,
    R5ToR4,
}

/// A version between two steps; R4B is R4 there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Stu3,
    R4,
    R5,
}

impl Step {
    const fn of(version: Version) -> Self {
        match version {
            Version::Stu3 => Self::Stu3,
            Version::R4 | Version::R4B => Self::R4,
            Version::R5 => Self::R5,
        }
    }

    fn is(self, version: Version) -> bool {
        self == Self::of(version)
    }
}

impl Direction {
    /// The versions before and after the step.
    const fn steps(self) -> [Step; 2] {
        match self {
            Self::Stu3ToR4 => [Step::Stu3, Step::R4],
            Self::R4ToStu3 => [Step::R4, Step::Stu3],
            Self::R4ToR5 => [Step::R4, Step::R5],
            Self::R5ToR4 => [Step::R5, Step::R4],
        }
    }

    /// The steps from one version to another.
    const fn between(from: Version, to: Version) -> &'static [Self] {
        match (Step::of(from), Step::of(to)) {
            (Step::Stu3, Step::R4) => &[Self::Stu3ToR4],
            (Step::Stu3, Step::R5) => &[Self::Stu3ToR4, Self::R4ToR5],
            (Step::R4, Step::Stu3) => &[Self::R4ToStu3],
            (Step::R4, Step::R5) => &[Self::R4ToR5],
            (Step::R5, Step::Stu3) => &[Self::R5ToR4, Self::R4ToStu3],
            (Step::R5, Step::R4) => &[Self::R5ToR4],
            (Step::Stu3, Step::Stu3) | (Step::R4, Step::R4) | (Step::R5, Step::R5) => &[],
        }
    }
}

/// Writes a resource as a document of another version.
///
/// # Errors
/// A [`Report`] with every finding, when something is lost that [`Options::allow`] does not name, when a Device and a
/// component would have one address, or when the resource is of a type that is not converted.
pub fn to(version: Version, resource: &Resource, options: &Options) -> Result<Converted, Report> {
    let json = resource.to_json();
    if version == Version::Stu3 {
        return Ok(Converted { json, report: Report::new() });
    }
    convert(Version::Stu3, version, &json, options, usize::MAX)
}

/// Reads a document of another version.
///
/// # Errors
/// A [`Report`] with every finding: those of [`to`], and those of a document that is not valid in its version, at the
/// place of the document that was given where that is known.
pub fn from(version: Version, json: &[u8], options: &Options) -> Result<Reading<Resource>, Report> {
    if version == Version::Stu3 {
        return Resource::read(json, ReadMode::Strict);
    }
    let text = utf8(json)?;
    let converted = convert(version, Version::Stu3, text, options, usize::MAX)
        .map_err(|report| with_all_faults(report, version, text, options, usize::MAX))?;
    match Resource::read(converted.json.as_bytes(), ReadMode::Strict) {
        Ok(mut reading) => {
            reading.report = converted.report;
            Ok(reading)
        }
        Err(report) => Err(at_source(report, &converted.report)),
    }
}

/// Converts a document from one version to another, R4 to R5 and back included.
///
/// # Errors
/// As [`from`] and [`to`]: a document that is not valid in its version is refused.
pub fn between(from: Version, to: Version, json: &[u8], options: &Options) -> Result<Converted, Report> {
    if from == Version::Stu3 {
        return self::to(to, &Resource::from_json(json)?, options);
    }
    if to == Version::Stu3 {
        let Reading { value, report } = self::from(from, json, options)?;
        return Ok(Converted { json: value.to_json(), report });
    }
    // Whether the document is one of its version is checked by reading it.
    self::from(from, json, &options.clone().allow(Loss::ALL))?;
    convert(from, to, utf8(json)?, options, usize::MAX)
}

/// The faults of a document that its version finds, and with them what the reader of STU3 finds in it.
fn with_all_faults(report: Report, version: Version, text: &str, options: &Options, memory: usize) -> Report {
    if !errors(&report).all(is_checked) {
        return report;
    }
    let Ok(converted) = convert_as(version, Version::Stu3, text, options, memory, false) else { return report };
    match Resource::read(converted.json.as_bytes(), ReadMode::Strict) {
        Ok(_) => merged(report, Report::new()),
        Err(read) => merged(report, at_source(read, &converted.report)),
    }
}

fn errors(report: &Report) -> impl Iterator<Item = &Issue> {
    report.iter().filter(|issue| issue.severity <= Severity::Error)
}

/// Whether a finding is one of those of the definitions of R4 and R5, which a document may have and be read all the same.
fn is_checked(issue: &Issue) -> bool {
    matches!(&*issue.rule, "min-cardinality" | "required-binding")
}

/// The errors of a report, and behind them what else is found, each fault once.
fn merged(mut report: Report, others: Report) -> Report {
    // Nothing was carried anywhere.
    report.retain(|issue| issue.severity <= Severity::Error);
    let known: BTreeSet<(String, String)> = report.iter().map(|it| (it.rule.to_string(), it.at.clone())).collect();
    // The reader of STU3 may name the element whose member is missing.
    let is_known = |issue: &Issue| {
        let from = (issue.rule.to_string(), issue.at.clone());
        let next = known.range(from..).next();
        next.is_some_and(|(rule, at)| {
            *rule == issue.rule
                && at.strip_prefix(&*issue.at).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let others: Vec<Issue> = others.into_iter().filter(|issue| !is_known(issue)).collect();
    report.into_iter().chain(others).collect()
}

fn utf8(json: &[u8]) -> Result<&str, Report> {
    match std::str::from_utf8(json) {
        Ok(text) => Ok(text),
        // The reader says where.
        Err(_) => Err(Resource::from_json(json).err().unwrap_or_else(json::not_an_object)),
    }
}

/// Converts a text, of which no more is read than `memory` bytes hold.
fn convert(from: Version, to: Version, text: &str, options: &Options, memory: usize) -> Result<Converted, Report> {
    convert_as(from, to, text, options, memory, true)
}

/// The same; a document of R4 or R5 is checked by the definitions of its version, or is not.
fn convert_as(
    from: Version,
    to: Version,
    text: &str,
    options: &Options,
    memory: usize,
    is_checked: bool,
) -> Result<Converted, Report> {
    // What comes from STU3 was read before.
    let kept: &[&str] = match (from, options.code_systems) {
        (Version::Stu3, CodeSystems::Keep) => &KEPT,
        _ => &[],
    };
    let Json::Object(mut object) = Json::read_keeping(text, type_ahead(text), memory, kept)? else {
        return Err(json::not_an_object());
    };
    let before = name_of(&object);
    let mut ctx = Context::new(options, from, to);
    for direction in Direction::between(from, to) {
        ctx.direction = *direction;
        let [first, _] = direction.steps();
        ctx.is_checked = is_checked && from != Version::Stu3 && first.is(from);
        let root = name_of(&object);
        let Some(known) = converted_type(&root) else {
            let detail = format!("`{root}` is not converted");
            ctx.base = root.into();
            ctx.refuse(detail);
            let root = name_of(&object);
            return Err(ctx.into_report((from, &before), (to, &root)));
        };
        resource(&mut ctx, &mut object, &Path::root(known));
        if std::mem::take(&mut ctx.has_own_extensions) {
            source::settle(&mut object, *direction);
        }
        if ctx.is_refused() {
            return Err(ctx.into_report((from, &before), (to, object.text("resourceType").unwrap_or_default())));
        }
    }
    let report = ctx.into_report((from, &before), (to, &name_of(&object)));
    if to != Version::Stu3 {
        in_order(&mut object);
    }
    let json = Json::Object(object).to_text(text.len() + text.len() / 2 + 512);
    Ok(Converted { json, report })
}

/// The name of the type of a resource, as a place has it.
fn name_of(object: &Object<'_>) -> Cow<'static, str> {
    let is_name = |name: &&str| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let name = object.text("resourceType").filter(is_name).unwrap_or("Resource");
    converted_type(name).map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed)
}

/// The name of the root in findings about the text.
fn type_ahead(text: &str) -> &'static str {
    let head = text.get(..200.min(text.len())).unwrap_or_default();
    let named = |name: &&str| {
        head.match_indices(*name).any(|(at, _)| {
            head.get(..at).is_some_and(|before| before.ends_with('"'))
                && head.get(at + name.len()..).is_some_and(|behind| behind.starts_with('"'))
        })
    };
    // As this crate writes it, or wherever it stands.
    let written = head.strip_prefix("{\"resourceType\":\"").and_then(|rest| converted_type(rest.split('"').next()?));
    written.or_else(|| CONVERTED.into_iter().find(named)).unwrap_or("Resource")
}

/// The types that are converted.
const CONVERTED: [&str; 4] = ["DeviceComponent", "DeviceMetric", "Device", "Bundle"];

fn converted_type(name: &str) -> Option<&'static str> {
    CONVERTED.into_iter().find(|known| *known == name)
}

/// Converts one resource by one step. Says whether it is a component; nothing of one that is not converted.
fn resource<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, at: &Path<'_>) -> Option<bool> {
    let base = if at.parent().is_none() { at.name().into() } else { at.to_string().into() };
    let outer = std::mem::replace(&mut ctx.base, base);
    let outer_component = ctx.component;
    let component = convert_resource(ctx, object, at);
    ctx.base = outer;
    ctx.component = outer_component;
    component
}

fn convert_resource<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, at: &Path<'_>) -> Option<bool> {
    let name = object.text("resourceType").unwrap_or_default();
    let name = converted_type(name).map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
    let upwards = ctx.direction == Direction::Stu3ToR4;
    let component = match &*name {
        "DeviceComponent" if upwards => true,
        "Device" if !upwards => r4::is_component(object, ctx.options.components),
        "Device" | "DeviceMetric" | "Bundle" => false,
        "DeviceComponent" => {
            ctx.refuse("R4 and R5 have no `DeviceComponent`".to_owned());
            return None;
        }
        _ => {
            ctx.find(Key::Unconverted, ctx.base.to_string(), name.into_owned(), "", "");
            return None;
        }
    };
    ctx.component = component;
    ctx.resource = converted_type(&name).unwrap_or_default();
    detect::foreign_members(ctx, object);
    let kind = if name == "Bundle" { Kind::Bundle } else { Kind::Record };
    walk(ctx, object, kind, &Path::root(""));
    if name == "Device" && !component {
        r4::marks_of_device(ctx, object);
    }
    match (&*name, ctx.direction) {
        ("Bundle", _) => convert_bundle(ctx, object, at),
        ("DeviceMetric", Direction::Stu3ToR4) => r4::metric_up(ctx, object),
        ("DeviceMetric", Direction::R4ToStu3) => r4::metric_down(ctx, object),
        ("DeviceMetric", Direction::R4ToR5) => r5::metric_up(ctx, object),
        ("DeviceMetric", Direction::R5ToR4) => r5::metric_down(ctx, object),
        (_, Direction::Stu3ToR4) if component => r4::component_up(ctx, object),
        (_, Direction::Stu3ToR4) => r4::device_up(ctx, object),
        (_, Direction::R4ToStu3) if component => r4::component_down(ctx, object),
        (_, Direction::R4ToStu3) => r4::device_down(ctx, object),
        (_, Direction::R4ToR5) => r5::device_up(ctx, object),
        (_, Direction::R5ToR4) => r5::device_down(ctx, object),
    }
    let contained = object.get_mut("contained").and_then(Json::as_array_mut);
    for (index, contained) in contained.into_iter().flatten().enumerate() {
        if let Json::Object(contained) = contained {
            resource(ctx, contained, &at.item("contained", index));
        }
    }
    Some(component)
}

fn convert_bundle<'a>(ctx: &mut Context<'_>, object: &mut Object<'a>, at: &Path<'_>) {
    bundle::own(ctx, object);
    let outer = ctx.devices.take();
    if ctx.direction == Direction::R4ToStu3 {
        let components = ctx.options.components;
        ctx.devices = Some(bundle::devices(object, |own| r4::is_component(own, components)));
    }
    let mut components = BTreeMap::new();
    let entries = object.get_mut("entry").and_then(Json::as_array_mut);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let Json::Object(entry) = entry else { continue };
        let is_device = |own: &Object<'_>| matches!(own.text("resourceType"), Some("Device" | "DeviceComponent"));
        let mut component = None;
        if let Some(Json::Object(own)) = entry.get_mut("resource") {
            let device = is_device(own);
            component = resource(ctx, own, &at.item("entry", index).child("resource")).filter(|_| device);
        }
        if let Some(component) = component {
            components.insert(index, component);
        }
        let here = Path::root("");
        bundle::entry(ctx, entry, component.unwrap_or(false), &here.item("entry", index));
    }
    if ctx.direction == Direction::Stu3ToR4 {
        bundle::collisions(ctx, object, &components);
    }
    ctx.devices = outer;
}

/// The members of the resources of STU3 that are the same in R4 and R5, but for extensions and references in them and for the
/// code systems of identifiers.
const KEPT: [&str; 8] = ["text", "identifier", "type", "languageCode", "parameterGroup", "unit", "contact", "safety"];

/// The place of a member of a resource: those come first that all resources have.
fn place_of(name: &str) -> u8 {
    match name {
        "resourceType" => 0,
        "id" => 1,
        "meta" => 2,
        "implicitRules" => 3,
        "language" => 4,
        "text" => 5,
        "contained" => 6,
        "extension" => 7,
        "modifierExtension" => 8,
        _ => 9,
    }
}

/// Puts the members of a resource that all resources have before its own.
fn in_order(object: &mut Object<'_>) {
    object.members.sort_by_cached_key(|(name, _)| place_of(name));
    for (name, value) in &mut object.members {
        match (&**name, value) {
            ("contained", Json::Array(items)) => {
                items.iter_mut().filter_map(Json::as_object_mut).for_each(in_order);
            }
            ("entry", Json::Array(items)) => {
                let entries = items.iter_mut().filter_map(Json::as_object_mut);
                let resources = entries.filter_map(|entry| entry.get_mut("resource").and_then(Json::as_object_mut));
                resources.for_each(in_order);
            }
            _ => {}
        }
    }
}

/// The findings about the document that a conversion made, at the places of the one that it was made from.
fn at_source(report: Report, conversion: &Report) -> Report {
    let places = |at: &str| {
        conversion.iter().filter_map(|issue| issue.places.as_deref()).find_map(|places| {
            let (source, target) = places.source.as_deref().zip(places.target.as_deref())?;
            let rest = at.strip_prefix(target)?;
            let inside = rest.is_empty() || rest.starts_with(['.', '[']);
            inside.then(|| source.to_owned())
        })
    };
    let issues = report.into_iter().filter(|issue| issue.rule != "fhir-version").map(|mut issue| {
        issue.position = None;
        if let Some(at) = places(&issue.at) {
            issue.at = at;
        }
        issue
    });
    issues.collect()
}
