//! The attributes of a device (`configData`), and the versions among them.

use super::Refusal;
use crate::manifest::ProductionSpec;
use crate::primitive::Id;
use crate::service::{DeviceReport, ReportedVersion};
use crate::support::read_object;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How many attributes a device may send.
const MAX_ATTRIBUTES: usize = 256;

/// How many of them may be versions.
const MAX_VERSIONS: usize = 64;

/// How long a version may be, in bytes.
const MAX_VERSION: usize = 128;

/// The attribute that says whether the device was started since it installed anything.
const RESTARTED: &str = "restarted";

const PREFIX: &str = "sw.";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Merge,
    Replace,
    Remove,
}

#[derive(Deserialize)]
struct ConfigData {
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    data: BTreeMap<String, serde_json::Value>,
}

/// Returns the report of versions that a body makes; `None` where it has none.
pub(super) fn read(body: &[u8]) -> Result<Option<DeviceReport>, Refusal> {
    let malformed = |why: String| Refusal::Malformed { what: "document of attributes", why };
    let ConfigData { mode, data } = read_object(body).map_err(|error| malformed(error.to_string()))?;
    if data.len() > MAX_ATTRIBUTES {
        let why = format!("{} attributes came, wanted {MAX_ATTRIBUTES} at most", data.len());
        return Err(Refusal::TooMuch { why });
    }
    // Attributes are not kept, so that there is nothing to take out.
    if matches!(mode, Some(Mode::Remove)) {
        return Ok(None);
    }
    let mut items = Vec::new();
    for (name, value) in &data {
        let Some(subject) = name.strip_prefix(PREFIX) else { continue };
        let version = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => return Err(malformed(format!("attribute `{name}` is neither a text nor a number"))),
        };
        if version.len() > MAX_VERSION {
            let why = format!("the version in `{name}` has {} bytes, wanted {MAX_VERSION} at most", version.len());
            return Err(Refusal::TooMuch { why });
        }
        items.push(item(name, subject, version)?);
    }
    if items.len() > MAX_VERSIONS {
        let why = format!("{} versions came, wanted {MAX_VERSIONS} at most", items.len());
        return Err(Refusal::TooMuch { why });
    }
    let restarted = data.get(RESTARTED).is_some_and(|value| value == "true" || *value == true);
    Ok((!items.is_empty()).then_some(DeviceReport::Versions { restarted, number: None, items }))
}

/// Returns the version of a component, or of one of its items.
fn item(name: &str, subject: &str, version: String) -> Result<ReportedVersion, Refusal> {
    let named = |item: &str| {
        let of = |spec: &ProductionSpec| spec.specification_type().strip_suffix("-revision") == Some(item);
        ProductionSpec::ALL.into_iter().find(of)
    };
    let split = subject.rsplit_once('.').and_then(|(component, item)| Some((component, named(item)?)));
    let (component, spec) = split.unwrap_or((subject, ProductionSpec::Software));
    let why = |error| format!("attribute `{name}` names no component: {error}");
    let component =
        Id::new(component).map_err(|error| Refusal::Malformed { what: "document of attributes", why: why(error) })?;
    let mut item = ReportedVersion::new(component, version);
    item.spec = spec;
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(text: &str) -> Vec<(String, ProductionSpec, String)> {
        let Some(DeviceReport::Versions { items, .. }) = read(text.as_bytes()).unwrap() else { return Vec::new() };
        items.into_iter().map(|item| (item.component.as_str().to_owned(), item.spec, item.version)).collect()
    }

    #[test]
    fn attribute_names_a_component_and_an_item() {
        let read = versions(r#"{"mode":"merge","data":{"sw.mds":"2.4","sw.mds.firmware":7,"sw.pump.x":"1","hw":"b"}}"#);
        let expected = [
            ("mds", ProductionSpec::Software, "2.4"),
            ("mds", ProductionSpec::Firmware, "7"),
            ("pump.x", ProductionSpec::Software, "1"),
        ];
        assert_eq!(read, expected.map(|(id, spec, text)| (id.to_owned(), spec, text.to_owned())));
        assert_eq!(versions(r#"{"mode":"remove","data":{"sw.mds":"2.4"}}"#), []);
        assert_eq!(versions(r#"{"data":{}}"#), []);
    }

    #[test]
    fn restart_is_reported_only_where_it_is_said() {
        for (value, expected) in [(r#""true""#, true), ("true", true), (r#""yes""#, false), ("1", false)] {
            let text = format!(r#"{{"data":{{"sw.mds":"1","restarted":{value}}}}}"#);
            let Ok(Some(DeviceReport::Versions { restarted, .. })) = read(text.as_bytes()) else { panic!() };
            assert_eq!(restarted, expected, "{value}");
        }
    }

    #[test]
    fn oversized_and_malformed_attributes_are_refused() {
        let many = |count: usize, prefix: &str| {
            let all: Vec<_> = (0..count).map(|number| format!(r#""{prefix}{number}":"1""#)).collect();
            format!(r#"{{"data":{{{}}}}}"#, all.join(","))
        };
        let long = format!(r#"{{"data":{{"sw.mds":"{}"}}}}"#, "x".repeat(129));
        for (text, status) in [
            (many(257, "a"), 413),
            (many(65, "sw.a"), 413),
            (long, 413),
            (r#"{"data":{"sw.":"1"}}"#.to_owned(), 400),
            (r#"{"data":{"sw.a b":"1"}}"#.to_owned(), 400),
            (r#"{"data":{"sw.mds":["1"]}}"#.to_owned(), 400),
            (r#"{"mode":"mix"}"#.to_owned(), 400),
            ("[]".to_owned(), 400),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().status(), status, "{text}");
        }
    }
}
