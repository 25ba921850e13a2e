//! Less of a resource than all of it: `_summary` and `_elements`.

use super::Body;
use super::problem::{Problem, Result};
use crate::code::RESOURCE_TYPES;
use crate::convert::Version;
use crate::search::ResourceType;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;

/// Which members of a resource are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subset {
    /// All.
    Whole,
    /// `_summary=true`: those that the specification marks for a summary.
    Summary,
    /// `_summary=text`: the text for people.
    Text,
    /// `_summary=data`: all but the text for people.
    Data,
    /// `_elements`
    Elements(BTreeSet<String>),
}

/// What a resource of any kind is not without.
const ALWAYS: [&str; 4] = ["resourceType", "id", "meta", "implicitRules"];

/// Returns the members that the specification marks for a summary, those of [`ALWAYS`] aside.
const fn summary_of(of: ResourceType) -> &'static [&'static str] {
    match of {
        ResourceType::Device => &["udi", "status", "safety"],
        ResourceType::DeviceComponent => &[
            "identifier",
            "type",
            "lastSystemChange",
            "source",
            "parent",
            "operationalStatus",
            "parameterGroup",
            "measurementPrinciple",
            "productionSpecification",
            "languageCode",
        ],
        ResourceType::DeviceMetric => &[
            "identifier",
            "type",
            "unit",
            "source",
            "parent",
            "operationalStatus",
            "color",
            "category",
            "measurementPeriod",
            "calibration",
        ],
    }
}

/// Returns the members that a resource must have.
const fn mandatory_of(of: ResourceType) -> &'static [&'static str] {
    match of {
        ResourceType::Device => &[],
        ResourceType::DeviceComponent => &["identifier", "type"],
        ResourceType::DeviceMetric => &["identifier", "type", "category"],
    }
}

impl Subset {
    pub(super) fn summary(value: &str) -> Result<Self> {
        match value {
            "true" => Ok(Self::Summary),
            "text" => Ok(Self::Text),
            "data" => Ok(Self::Data),
            "false" => Ok(Self::Whole),
            _ => Err(Problem::bad(
                "search-value",
                format_args!(
                    "`_summary={value}` is not known, only `true`, `text`, `data` and `false`, and `count` of a search"
                ),
            )),
        }
    }

    pub(super) fn elements(value: &str) -> Self {
        // A name may have that of the type before it, and those of what is in the element behind it: all of it is kept.
        let name = |name: &str| {
            let name = name.trim();
            let name =
                name.split_once('.').filter(|(of, _)| RESOURCE_TYPES.contains(of)).map_or(name, |(_, name)| name);
            name.split('.').next().unwrap_or_default().to_owned()
        };
        let names: BTreeSet<String> = value.split(',').map(name).filter(|name| !name.is_empty()).collect();
        if names.is_empty() { Self::Whole } else { Self::Elements(names) }
    }

    fn keeps(&self, of: ResourceType, name: &str) -> bool {
        // The extensions of a primitive go with it.
        let name = name.strip_prefix('_').unwrap_or(name);
        ALWAYS.contains(&name)
            || match self {
                Self::Whole => true,
                Self::Summary => summary_of(of).contains(&name),
                Self::Text => name == "text" || mandatory_of(of).contains(&name),
                Self::Data => name != "text",
                Self::Elements(names) => {
                    // What changes the meaning of a resource must not be lost.
                    name == "modifierExtension" || mandatory_of(of).contains(&name) || names.contains(name)
                }
            }
    }

    /// Returns whether members are named, which are those of the version of FHIR in which the resource is shown.
    pub(super) fn names_elements(&self) -> bool {
        matches!(self, Self::Elements(_))
    }

    /// Returns the resource with what is wanted of it, and a tag that says that there is more; its system is that of
    /// `version`.
    pub(super) fn of(&self, kind: ResourceType, json: Body, version: Version) -> Body {
        if *self == Self::Whole {
            return json;
        }
        let Ok(Members(members)) = serde_json::from_slice(&json) else { return json };
        let tagged = |(name, value): (String, &RawValue)| {
            let value = if name == "meta" { subsetted(value.get(), version) } else { value.get().to_owned() };
            format!("{}:{value}", serde_json::Value::from(name))
        };
        let kept: Vec<String> = members.into_iter().filter(|(name, _)| self.keeps(kind, name)).map(tagged).collect();
        format!("{{{}}}", kept.join(",")).into()
    }
}

const fn tag_of(version: Version) -> &'static str {
    match version {
        Version::Stu3 => r#"{"system":"http://hl7.org/fhir/v3/ObservationValue","code":"SUBSETTED"}"#,
        _ => r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#,
    }
}

/// Returns a `meta` with the tag.
fn subsetted(meta: &str, version: Version) -> String {
    let added = tag_of(version);
    let Ok(Members(members)) = serde_json::from_str(meta) else { return meta.to_owned() };
    let mut parts = Vec::with_capacity(members.len() + 1);
    let mut tags = None;
    for (name, value) in members {
        if name == "tag" {
            tags = value.get().strip_prefix('[');
        } else {
            parts.push(format!("{}:{}", serde_json::Value::from(name), value.get()));
        }
    }
    parts.push(match tags {
        Some(rest) => format!("\"tag\":[{added},{rest}"),
        None => format!("\"tag\":[{added}]"),
    });
    format!("{{{}}}", parts.join(","))
}

/// The members of an object in their order, each value as it is written.
struct Members<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &Body) -> String {
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn subset_keeps_digits_and_is_tagged() {
        let whole = r#"{"resourceType":"DeviceMetric","id":"m","meta":{"versionId":"1","tag":[{"code":"a"}]},"text":{"status":"empty"},"identifier":{"value":"1"},"type":{"text":"x"},"unit":{"text":"u"},"category":"setting","_color":{"id":"c"},"measurementPeriod":{"repeat":{"period":1.50}}}"#;
        let tag = format!(r#""meta":{{"versionId":"1","tag":[{},{{"code":"a"}}]}}"#, tag_of(Version::Stu3));
        let of = |subset: Subset| text(&subset.of(ResourceType::DeviceMetric, whole.into(), Version::Stu3));
        assert_eq!(of(Subset::Whole), whole);
        let head = format!(r#"{{"resourceType":"DeviceMetric","id":"m",{tag},"#);
        let rest = r#""identifier":{"value":"1"},"type":{"text":"x"},"category":"setting"}"#;
        assert_eq!(of(Subset::Text), format!(r#"{head}"text":{{"status":"empty"}},{rest}"#));
        assert_eq!(
            of(Subset::elements("DeviceMetric.color,unit.coding.code")),
            format!(
                r#"{head}"identifier":{{"value":"1"}},"type":{{"text":"x"}},"unit":{{"text":"u"}},"category":"setting","_color":{{"id":"c"}}}}"#
            )
        );
        assert!(of(Subset::Data).contains("1.50") && !of(Subset::Data).contains("\"text\":{\"status\""));
        assert!(of(Subset::Summary).contains("1.50") && !of(Subset::Summary).contains("\"text\":{\"status\""));
    }
}
