//! Matching of a resource with a condition from its JSON alone, one resource after the other.

use super::client::BASE;
use fhir_devices::search::fold;
use serde_json::Value;

/// The values of a parameter.
#[derive(Debug, Default)]
struct Held {
    /// Systems and values.
    tokens: Vec<(Option<String>, String)>,
    texts: Vec<String>,
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn codings(of: &Value) -> Held {
    let mut held = Held::default();
    for coding in each(of) {
        held.tokens.extend(word(&coding["code"]).map(|code| (word(&coding["system"]), code)));
        held.texts.extend(word(&coding["display"]));
    }
    held
}

/// The production specifications of some kinds.
fn specifications(of: &Value, wanted: &dyn Fn(Option<&str>) -> bool) -> Held {
    let mut held = Held::default();
    for one in each(&of["productionSpecification"]) {
        let kind = word(&one["specType"]["coding"][0]["code"]);
        if wanted(kind.as_deref()) {
            held.tokens.extend(word(&one["productionSpec"]).map(|text| (kind, text)));
        }
    }
    held
}

fn held(of: &Value, param: &str) -> Held {
    let texts = |found: Vec<&Value>| Held { tokens: vec![], texts: found.into_iter().filter_map(word).collect() };
    let code = |system: &str, value: &Value| Held {
        tokens: word(value).map(|value| (Some(system.to_owned()), value)).into_iter().collect(),
        texts: vec![],
    };
    match param {
        "_tag" => codings(&of["meta"]["tag"]),
        "_security" => codings(&of["meta"]["security"]),
        "_profile" => texts(each(&of["meta"]["profile"])),
        "identifier" => {
            let mut held = Held::default();
            for one in each(&of["identifier"]) {
                held.tokens.extend(word(&one["value"]).map(|value| (word(&one["system"]), value)));
                held.texts.extend(word(&one["type"]["text"]));
            }
            held
        }
        "type" => {
            let mut held = codings(&of["type"]["coding"]);
            held.texts.extend(word(&of["type"]["text"]));
            held
        }
        "status" => code("http://hl7.org/fhir/device-status", &of["status"]),
        "category" => code("http://hl7.org/fhir/metric-category", &of["category"]),
        "device-name" => {
            let mut found = vec![&of["udi"]["name"], &of["type"]["text"]];
            found.extend(each(&of["type"]["coding"]).into_iter().map(|coding| &coding["display"]));
            texts(found)
        }
        "udi-di" => texts(vec![&of["udi"]["deviceIdentifier"]]),
        "udi-carrier" => texts(vec![&of["udi"]["carrierHRF"], &of["udi"]["carrierAIDC"]]),
        "organization" => texts(vec![&of["owner"]["reference"]]),
        "location" | "patient" | "source" | "parent" => texts(vec![&of[param]["reference"]]),
        "production-specification" => specifications(of, &|_| true),
        "reported-version" => {
            specifications(of, &|kind| matches!(kind, Some("software-revision" | "firmware-revision")))
        }
        other if other.starts_with("available-update-") => Held::default(),
        other => texts(vec![&of[other]]),
    }
}

/// Returns the reference without its version and without our own base.
fn plain(reference: &str) -> &str {
    let text = reference.split_once("/_history/").map_or(reference, |(text, _)| text);
    text.strip_prefix(BASE).map_or(text, |text| text.trim_start_matches('/'))
}

/// One condition: a parameter, a modifier, and unescaped values of which one must match.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) param: &'static str,
    pub(crate) modifier: &'static str,
    pub(crate) any_of: Vec<String>,
}

impl Condition {
    pub(crate) fn meets(&self, of: &Value) -> bool {
        let found = self.any_of.iter().any(|wanted| self.one(of, wanted));
        found != (self.modifier == "not")
    }

    fn one(&self, of: &Value, wanted: &str) -> bool {
        let held = held(of, self.param);
        match (self.param, self.modifier) {
            ("_id", "missing") => wanted == "false",
            (_, "missing") => (held.tokens.is_empty() && held.texts.is_empty()) == (wanted == "true"),
            ("_id", _) => of["id"] == *wanted.strip_prefix('|').unwrap_or(wanted),
            (
                "_tag"
                | "_security"
                | "identifier"
                | "type"
                | "status"
                | "category"
                | "production-specification"
                | "reported-version"
                | "available-update-version"
                | "available-update-status"
                | "available-update-sequence",
                "" | "not",
            ) => {
                let same = |value: &str, wanted: &str| value.to_lowercase() == wanted.to_lowercase();
                held.tokens.iter().any(|(system, value)| match wanted.split_once('|') {
                    None => same(value, wanted),
                    Some(("", wanted)) => system.is_none() && same(value, wanted),
                    Some((of, "")) => system.as_deref() == Some(of),
                    Some((of, wanted)) => system.as_deref() == Some(of) && same(value, wanted),
                })
            }
            (_, "text") => held.texts.iter().any(|text| fold(text).starts_with(&fold(wanted))),
            (_, "contains") => held.texts.iter().any(|text| fold(text).contains(&fold(wanted))),
            (_, "exact") | ("url" | "_profile", _) => held.texts.iter().any(|text| text == wanted),
            ("location" | "organization" | "patient" | "source" | "parent", _) => {
                let target = match self.param {
                    "location" => "Location",
                    "organization" => "Organization",
                    "patient" => "Patient",
                    "source" => "Device",
                    _ => "DeviceComponent",
                };
                let bare = !wanted.contains(['/', ':', '#']);
                let wanted = if bare { format!("{target}/{wanted}") } else { plain(wanted).to_owned() };
                held.texts.iter().any(|text| plain(text) == wanted)
            }
            _ => held.texts.iter().any(|text| fold(text).starts_with(&fold(wanted))),
        }
    }
}
