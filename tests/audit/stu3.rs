//! Checks a resource against its published definition: members, cardinalities, types and codes.

use fhir_devices::element::Scalar;
use fhir_devices::primitive::{Base64, Code, Id, Instant, Text, Uri};
use serde_json::Value;
use std::path::Path;

/// The published definitions, and the faults found.
pub(crate) struct Published<'p> {
    folder: &'p Path,
    pub(crate) faults: Vec<String>,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn last(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

impl<'p> Published<'p> {
    pub(crate) fn new(folder: &'p Path) -> Self {
        Self { folder, faults: Vec::new() }
    }

    fn load(&self, file: &str) -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(self.folder.join(file)).ok()?).ok()
    }

    fn elements(&self, name: &str) -> Vec<Value> {
        let definition = self.load(&format!("definitions/StructureDefinition-{name}.json"));
        let definition = definition.unwrap_or_else(|| panic!("no definition of {name}"));
        definition["snapshot"]["element"].as_array().unwrap().clone()
    }

    /// Checks a resource.
    pub(crate) fn resource(&mut self, json: &Value) {
        let name = text(&json["resourceType"]).to_owned();
        let elements = self.elements(&name);
        self.object(&elements, &name, &name, json);
    }

    fn fault(&mut self, at: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{at}: {what}"));
    }

    /// Checks one object by the elements directly below `path`.
    fn object(&mut self, elements: &[Value], path: &str, at: &str, json: &Value) {
        let Some(members) = json.as_object() else { return self.fault(at, "no object") };
        let below = |element: &&Value| {
            let rest = text(&element["path"]).strip_prefix(path).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| !rest.contains('.'))
        };
        let children: Vec<&Value> = elements.iter().filter(below).collect();
        let mut named = vec!["resourceType".to_owned()];
        for child in children {
            let name = last_name(text(&child["path"]));
            let types = list(&child["type"]);
            let mut found = 0;
            // A choice has a member for each of its types.
            let mut forms: Vec<(String, Option<&Value>)> = types
                .iter()
                .map(|one| match name.strip_suffix("[x]") {
                    Some(prefix) => (format!("{prefix}{}", capital(text(&one["code"]))), Some(one)),
                    None => (name.to_owned(), Some(one)),
                })
                .collect();
            if forms.is_empty() {
                forms.push((name.to_owned(), None));
            }
            forms.dedup_by(|one, other| one.0 == other.0);
            for (member, one) in forms {
                let Some(value) = members.get(&member) else { continue };
                named.push(member.clone());
                let place = format!("{at}.{member}");
                let repeats = child["max"] == "*";
                if value.is_array() != repeats {
                    self.fault(&place, "wanted the other of an array and a single value");
                }
                let values = if value.is_array() { list(value) } else { std::slice::from_ref(value) };
                found += values.len();
                for value in values {
                    self.value(elements, child, one, &place, value);
                }
            }
            if (found as u64) < child["min"].as_u64().unwrap_or(0) {
                self.fault(&format!("{at}.{name}"), "missing");
            }
        }
        for member in members.keys().filter(|member| !named.contains(*member)) {
            self.fault(&format!("{at}.{member}"), "unknown");
        }
    }

    fn value(&mut self, elements: &[Value], child: &Value, one: Option<&Value>, at: &str, value: &Value) {
        let code = one.map_or("", |one| text(&one["code"])).to_owned();
        let path = text(&child["path"]);
        let is = |check: fn(&str) -> bool| value.as_str().is_some_and(check);
        let good = match code.as_str() {
            "id" => is(|text| Id::from_text(text).is_ok()),
            "instant" => is(|text| Instant::from_text(text).is_ok()),
            "string" => is(|text| Text::from_text(text).is_ok()),
            "uri" => is(|text| Uri::from_text(text).is_ok()),
            "code" => is(|text| Code::from_text(text).is_ok()),
            "base64Binary" => is(|text| Base64::from_text(text).is_ok()),
            "boolean" => value.is_boolean(),
            "BackboneElement" => {
                self.object(elements, path, at, value);
                true
            }
            "Coding" | "CodeableConcept" | "Identifier" | "Reference" => {
                let inner = self.elements(&code);
                self.object(&inner, &code, at, value);
                true
            }
            _ => false,
        };
        if !good {
            self.fault(at, format!("`{value}` is no {code}"));
        }
        if code == "Reference" {
            self.reference(child, at, value);
        }
        self.binding(child, at, value);
    }

    /// A literal reference points at a type that the element allows.
    fn reference(&mut self, child: &Value, at: &str, value: &Value) {
        let Some(target) = text(&value["reference"]).split('/').next().filter(|target| !target.is_empty()) else {
            return;
        };
        let types = list(&child["type"]).iter().filter_map(|one| one["targetProfile"].as_str());
        if !types.map(last).any(|allowed| allowed == target || allowed == "Resource") {
            self.fault(at, format!("`{target}` is no target"));
        }
    }

    /// A code is in a required set, and in an extensible one where its system is one of the set's.
    fn binding(&mut self, child: &Value, at: &str, value: &Value) {
        let binding = &child["binding"];
        let url = binding["valueSetReference"]["reference"].as_str().or(binding["valueSetUri"].as_str());
        let Some(set) = url.and_then(|url| self.load(&format!("definitions/expansions/ValueSet-{}.json", last(url))))
        else {
            return;
        };
        let codes = list(&set["expansion"]["contains"]);
        let required = binding["strength"] == "required";
        let concept = list(&value["coding"]);
        let codings = if concept.is_empty() { std::slice::from_ref(value) } else { concept };
        for coding in codings {
            let (system, code) = match coding {
                Value::String(_) => (&Value::Null, coding),
                coding => (&coding["system"], &coding["code"]),
            };
            let of_system = |one: &&Value| system.is_null() || one["system"] == *system;
            let same: Vec<&Value> = codes.iter().filter(of_system).collect();
            let good = same.iter().any(|one| one["code"] == *code);
            if !good && (required || !same.is_empty()) {
                self.fault(at, format!("`{coding}` is not in the value set"));
            }
            let display = same.iter().find(|one| one["code"] == *code).map(|one| &one["display"]);
            if coding["display"].is_string() && display.is_some_and(|display| *display != coding["display"]) {
                self.fault(at, format!("`{coding}` has another name"));
            }
        }
    }
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}
