//! Conversions for a service: of documents that are known to be valid, of the entries of its Bundles, and of what clients
//! send, in bounded memory.

use super::context::Context;
use super::json::Json;
use super::options::IdPolicy;
use super::{
    Converted, Direction, Loss, Options, Version, at_source, bundle, convert, convert_as, errors, from, is_checked,
    literal, merged, r4, to, utf8,
};
use crate::element::ReadMode;
use crate::issue::{Issue, Path, Report};
use crate::resource::Resource;
use crate::validate::{self, CheckResult, Validator};

/// Converts a document of STU3 that is known to be valid, of which no more is read than `memory` bytes hold.
///
/// # Errors
/// As [`to`].
pub(crate) fn valid_to(version: Version, json: &[u8], options: &Options, memory: usize) -> Result<Converted, Report> {
    convert(Version::Stu3, version, utf8(json)?, options, memory)
}

/// Reads a document of another version and validates it. Where nothing is wrong but that something would be lost, there is
/// a resource too, and the report says what it lacks.
///
/// The tree of the document takes no more than `memory` bytes, and so does the resource.
pub(crate) fn check_with(
    version: Version,
    json: &[u8],
    options: &Options,
    validator: &Validator,
    memory: usize,
) -> CheckResult {
    let text = match utf8(json) {
        Ok(text) => text,
        Err(report) => return validate::CheckResult::refused(report),
    };
    let (converted, faults) = match convert(version, Version::Stu3, text, options, memory) {
        Ok(converted) => (converted, None),
        Err(report) if errors(&report).all(|issue| is_loss(issue) || is_checked(issue)) => {
            let all = options.clone().allow(Loss::ALL);
            match convert_as(version, Version::Stu3, text, &all, memory, false) {
                Ok(converted) => (converted, Some(report)),
                Err(report) => return validate::CheckResult::refused(report),
            }
        }
        Err(report) => return validate::CheckResult::refused(report),
    };
    let checked = validate::check_with(converted.json.as_bytes(), ReadMode::Strict, validator, memory);
    checked.with_report(|report| {
        let read = at_source(report, &converted.report);
        match faults {
            Some(faults) => merged(faults, read),
            None => read,
        }
    })
}

/// Returns whether a finding is that something has no place in the other version.
pub(crate) fn is_loss(issue: &Issue) -> bool {
    matches!(&*issue.rule, "lost" | "collision")
}

/// Returns a Device that was read from another version, as the component that it is although it has no mark of one.
///
/// # Errors
/// As [`to`] and [`from`].
pub(crate) fn as_component(device: &Resource, options: &Options) -> Result<Resource, Report> {
    let plain = to(Version::R4, device, options)?;
    let mut json = Json::read(&plain.json, "Device")?;
    if let Json::Object(object) = &mut json {
        r4::mark(&Context::new(options, Version::R4, Version::R4), object);
    }
    from(Version::R4, json.to_text(plain.json.len() + 128).as_bytes(), options).map(|reading| reading.value)
}

/// Returns the id that a component has in STU3, given that of its Device; whether it can be no other's is said beside
/// it.
pub(crate) fn component_of<'i>(id: &'i str, options: &Options) -> (&'i str, bool) {
    let own = literal::component_id(id, &options.ids);
    (own, matches!(options.ids, IdPolicy::Prefix(_)) && own != id)
}

/// Returns the reference to a component, given that to the Device that it is from R4 on; nothing where it is to
/// something else.
pub(crate) fn component_reference(text: &str, options: &Options) -> Option<String> {
    literal::to_component(text, &options.ids)
}

/// Returns whether a token of a search is the mark of a component, with or without its system.
pub(crate) fn is_mark(token: &str) -> bool {
    match token.split_once('|') {
        Some((system, code)) => code == r4::COMPONENT && r4::is_mark_system(system),
        None => token == r4::COMPONENT,
    }
}

/// Returns the id of the Device that a component is from R4 on.
pub(crate) fn device_of(id: &str, options: &Options) -> String {
    literal::device_id(id, &options.ids)
}

/// Converts what an entry of a Bundle of STU3 has beside its resource: `{"fullUrl":"..","search":{..}}`.
///
/// # Errors
/// A [`Report`] where it is not JSON.
pub(crate) fn entry(version: Version, json: &str, component: bool, options: &Options) -> Result<String, Report> {
    let mut entry = Json::read(json, "Bundle")?;
    let mut ctx = Context::new(options, Version::Stu3, version);
    ctx.base = "Bundle".into();
    ctx.direction = Direction::Stu3ToR4;
    if let Some(object) = entry.as_object_mut() {
        bundle::entry(&mut ctx, object, component, &Path::root(""));
    }
    Ok(entry.to_text(json.len()))
}
