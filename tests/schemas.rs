//! The JSON Schemas under `schemas/`: generated from the tables of the declared types, and never stricter than the
//! reader.
//!
//! `BLESS=1` rewrites them. The reader alone checks rules that JSON Schema cannot express: that a member occurs once,
//! that two arrays are equally long, that a number has no exponent, and every rule over several elements.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

mod common;

use fhir_devices::code::RESOURCE_TYPES;
use fhir_devices::element::{Definition, Element, ElementDef, Max, ReadMode, TypeDef};
use fhir_devices::resource::operation_outcome::{ROW_EXTENSION, RULE_SYSTEM};
use fhir_devices::validate::check;
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Report, Resource};
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

// ---------------------------------------------------------------------------------------------------------- building

/// The definitions that are schemas of their own, and are contained in each of them: one resource may contain any
/// other.
fn resources() -> [&'static Definition; 5] {
    [
        Device::definition(),
        DeviceComponent::definition(),
        DeviceMetric::definition(),
        Bundle::definition(),
        OperationOutcome::definition(),
    ]
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Returns the published expression of each primitive type where it is correct, ours where it is not; null where there
/// is none.
fn primitive(name: &str) -> Value {
    const DATE: &str = r"-?(?!0000)[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01])";
    const DAY: &str = r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
    const CLOCK: &str = r"([01][0-9]|2[0-3]):[0-5][0-9]:";
    const ZONE: &str = r"(\.[0-9]+)?(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))";
    let text = |pattern: String| json!({ "type": "string", "pattern": format!("^{pattern}$") });
    let number = |least: i64| json!({ "type": "integer", "minimum": least, "maximum": i32::MAX });
    match name {
        "boolean" => json!({ "type": "boolean" }),
        "integer" => number(i32::MIN.into()),
        "unsignedInt" => number(0),
        "positiveInt" => number(1),
        "decimal" => json!({ "type": "number" }),
        "string" | "markdown" => json!({ "type": "string", "minLength": 1, "maxLength": 1_048_576 }),
        "code" => text(r"[^ \t-\r]+([ \t-\r][^ \t-\r]+)*".to_owned()),
        "id" => text(r"[A-Za-z0-9\-.]{1,64}".to_owned()),
        "oid" => text(r"urn:oid:(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*".to_owned()),
        "uri" => {
            let white = r"\u0000-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000";
            text(format!("([^{white}\"<>\\\\^`{{}}%]|%[0-9A-Fa-f]{{2}})+"))
        }
        "date" => text(format!("{DATE})?)?")),
        "dateTime" => text(format!("{DATE}(T{CLOCK}([0-5][0-9]|60){ZONE})?)?)?")),
        "instant" => text(format!("{DAY}T{CLOCK}([0-5][0-9]|60){ZONE}")),
        "time" => text(format!("{CLOCK}[0-5][0-9](\\.[0-9]+)?")),
        "base64Binary" => {
            let (any, white) = ("[A-Za-z0-9+/]", r"[ \t\r\n]*");
            let two = format!("{any}{white}{any}{white}");
            let three = format!("{two}[AEIMQUYcgkosw048]{white}=");
            let most = format!("{any}{white}[AQgw]{white}={white}=");
            text(format!("({two}{two})*({two}{any}{white}{any}|{three}|{most})"))
        }
        "xhtml" => {
            let tag = r#"^[ \t\r\n]*<div[ \t\r\n/][^>]*xmlns[\s\u0085]*=[\s\u0085]*["']http://www\.w3\.org/1999/xhtml["'][^>]*>"#;
            json!({ "type": "string", "allOf": [{ "pattern": tag }, { "pattern": r"(</div|/)>[ \t\r\n]*$" }] })
        }
        other => panic!("no form of {other}"),
    }
}

/// The types of a schema, by name.
struct Types(Map<String, Value>);

impl Types {
    fn new() -> Self {
        let mut types = Self(Map::new());
        for definition in resources() {
            types.complex(definition);
        }
        let id = r"[A-Za-z0-9\-.]{1,64}";
        let others = RESOURCE_TYPES.join("|");
        let typed = format!("^([A-Z][A-Za-z]*|https?://[^?#]+/({others}))/{id}(/_history/{id})?$");
        let extras = json!({
            "type": "object",
            "properties": { "id": reference("string"), "extension": many(reference("Extension")) },
            "additionalProperties": false,
            "minProperties": 1,
        });
        // In a resource that is not modelled nothing is empty, and null stands in arrays alone.
        let anything = json!({
            "type": ["object", "array", "string", "number", "boolean"],
            "minProperties": 1,
            "additionalProperties": reference("anything"),
            "minItems": 1,
            "items": { "anyOf": [reference("anything"), { "type": "null" }] },
            "minLength": 1,
        });
        let modelled = resources().map(|definition| definition.path);
        let mut cases: Vec<Value> = modelled.iter().map(|name| when_it_is(json!({ "const": name }), name)).collect();
        cases.push(when_it_is(json!({ "not": { "enum": modelled } }), "anything"));
        let resource = json!({
            "type": "object",
            "properties": { "resourceType": { "enum": RESOURCE_TYPES } },
            "required": ["resourceType"],
            "allOf": cases,
        });
        let shared = [
            ("literal-with-a-type", json!({ "type": "string", "pattern": typed })),
            ("Element", extras),
            ("anything", anything),
            ("Resource", resource),
        ];
        types.0.extend(shared.map(|(name, schema)| (name.to_owned(), schema)));
        types
    }

    /// Adds a definition and those it refers to.
    fn complex(&mut self, definition: &Definition) {
        if self.0.contains_key(definition.path) {
            return;
        }
        self.0.insert(definition.path.to_owned(), Value::Null);
        let mut object = Object::default();
        if definition.is_resource() {
            object.properties.insert("resourceType".to_owned(), json!({ "const": definition.path }));
            object.required.push("resourceType");
        }
        for row in definition.rows {
            match row.name.strip_suffix("[x]") {
                None => object.member(row, self.of((row.types)().first().unwrap())),
                Some(prefix) => object.choice(row, prefix, &mut |one| self.of(one)),
            }
        }
        let schema = object.schema(!definition.is_resource());
        self.0.insert(definition.path.to_owned(), schema);
    }

    /// Returns the schema of one value, after adding its type.
    fn of(&mut self, one: &TypeDef) -> Value {
        if let Some(definition) = one.definition {
            let definition = definition();
            self.complex(definition);
            return if one.targets.is_empty() { reference(definition.path) } else { self.reference_to(one.targets) };
        }
        if let Some(url) = one.value_set {
            let name = url.rsplit('/').next().unwrap();
            self.0.entry(name).or_insert_with(|| json!({ "enum": one.codes }));
            return reference(name);
        }
        if one.name != "Resource" {
            self.0.entry(one.name).or_insert_with(|| primitive(one.name));
        }
        reference(one.name)
    }

    /// Returns the schema of a reference whose literal, if it names a type, names one of these.
    fn reference_to(&mut self, targets: &[&str]) -> Value {
        let name = format!("Reference-{}", targets.join("-"));
        let pattern = format!(r"(^|/)({})/[^/]+(/_history/[^/]+)?$", targets.join("|"));
        let literal = json!({ "if": reference("literal-with-a-type"), "then": { "pattern": pattern } });
        let schema = json!({ "$ref": "#/$defs/Reference", "properties": { "reference": literal } });
        self.0.entry(&name).or_insert(schema);
        reference(&name)
    }
}

fn when_it_is(name: Value, then: &str) -> Value {
    json!({ "if": { "properties": { "resourceType": name } }, "then": reference(then) })
}

fn many(items: Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1 })
}

fn or_null(item: Value) -> Value {
    json!({ "anyOf": [item, { "type": "null" }] })
}

/// Requires one of these members.
fn one_of_them(names: &[String]) -> Value {
    match names {
        [one] => json!({ "required": [one] }),
        names => json!({ "anyOf": names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>() }),
    }
}

/// The allowed and required members of an object.
#[derive(Default)]
struct Object {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    all: Vec<Value>,
}

impl Object {
    fn member(&mut self, row: &ElementDef, value: Value) {
        let one = (row.types)().first().unwrap();
        let (name, under) = (row.name, format!("_{}", row.name));
        let (value, extras) = match (row.max, one.extensible) {
            (Max::One, _) => (value, reference("Element")),
            (Max::Many, true) => (many(or_null(value)), many(or_null(reference("Element")))),
            (Max::Many, false) => (many(value), Value::Null),
        };
        self.properties.insert(name.to_owned(), value);
        if one.extensible {
            self.properties.insert(under.clone(), extras);
        }
        if one.extensible && row.max == Max::Many {
            // A null stands for a value that has an id or extensions.
            let values = json!({ "items": { "not": { "type": "null" } } });
            self.all.push(json!({ "anyOf": [{ "required": [under] }, { "properties": { name: values } }] }));
        }
        if row.min > 0 && one.extensible {
            self.all.push(one_of_them(&[name.to_owned(), under]));
        } else if row.min > 0 {
            self.required.push(row.name);
        }
    }

    /// One member of a choice, with its companion, or none where it may be absent.
    fn choice(&mut self, row: &ElementDef, prefix: &str, of: &mut dyn FnMut(&TypeDef) -> Value) {
        let mut ways = Vec::new();
        for one in (row.types)() {
            let name = row.member(one).into_owned();
            self.properties.insert(name.clone(), of(one));
            let mut names = vec![name];
            if one.extensible {
                names.push(format!("_{}", names[0]));
                self.properties.insert(names[1].clone(), reference("Element"));
            }
            ways.push(one_of_them(&names));
        }
        if row.min == 0 {
            ways.push(json!({ "propertyNames": { "not": { "pattern": format!("^_?{prefix}[A-Z]") } } }));
        }
        self.all.push(json!({ "oneOf": ways }));
    }

    fn schema(self, element: bool) -> Value {
        let mut schema = json!({ "type": "object", "properties": self.properties, "additionalProperties": false });
        if element {
            // An id alone is no content.
            schema["not"] = json!({ "propertyNames": { "const": "id" } });
        }
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        if !self.all.is_empty() {
            schema["allOf"] = json!(self.all);
        }
        schema
    }
}

/// The `$id` of each published schema: fixed, and in no domain that somebody else may own.
const IDS: [(&str, &str); 4] = [
    ("Device", "urn:uuid:0800b502-66c7-4802-bab8-28f7198a61cf"),
    ("DeviceComponent", "urn:uuid:bc170e3d-4b66-42f2-9164-4de17bbee707"),
    ("DeviceMetric", "urn:uuid:a92f44e2-d5f9-4224-aca8-380f626c44c6"),
    ("OperationOutcome", "urn:uuid:1522ec2f-4bca-4930-91fd-c07fea671fdb"),
];

fn document(definition: &Definition) -> Value {
    let name = definition.path;
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{name} of FHIR STU3 (3.0.2)"),
        "$ref": format!("#/$defs/{name}"),
        "$defs": Types::new().0,
    });
    if let Some((_, id)) = IDS.iter().find(|(of, _)| *of == name) {
        schema["$id"] = json!(id);
    }
    if name == "OperationOutcome" {
        schema["title"] = json!("OperationOutcome of FHIR STU3 (3.0.2), as a report of fhir-devices gives it");
        schema["properties"] = of_a_report();
    }
    schema
}

/// The common part of the outcomes of reports.
fn of_a_report() -> Value {
    let rule = json!({
        "required": ["system", "code"],
        "properties": { "system": { "const": RULE_SYSTEM } },
        "not": { "anyOf": [{ "required": ["version"] }, { "required": ["display"] }] },
    });
    let row = json!({
        "properties": { "url": { "const": ROW_EXTENSION }, "valueString": true },
        "required": ["url", "valueString"],
        "additionalProperties": false,
    });
    json!({
        "issue": {
            "items": {
                "required": ["severity", "code", "diagnostics"],
                "properties": {
                    "extension": { "items": row, "maxItems": 1 },
                    "severity": true,
                    "code": true,
                    "diagnostics": true,
                    "details": {
                        "required": ["coding"],
                        "properties": { "coding": { "items": rule, "maxItems": 1 } },
                    },
                    "location": {
                        "items": { "pattern": "^line [1-9][0-9]*, column [1-9][0-9]*$" },
                        "maxItems": 1,
                    },
                    "expression": { "maxItems": 1 },
                },
                "additionalProperties": false,
            },
        },
    })
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"))
}

const PUBLISHED: [&str; 4] = ["Device", "DeviceComponent", "DeviceMetric", "OperationOutcome"];

#[test]
fn schemas_agree_with_the_tables() {
    for definition in resources().into_iter().filter(|definition| PUBLISHED.contains(&definition.path)) {
        let wanted = format!("{}\n", serde_json::to_string_pretty(&document(definition)).unwrap());
        let path = path(definition.path);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, wanted).unwrap();
        } else {
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == wanted, "{} is not what the tables say; BLESS=1 writes it anew", path.display());
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- checking

/// A schema for each type, from the published file; a type without one is taken from another schema.
struct Schemas(BTreeMap<&'static str, Validator>);

impl Schemas {
    fn new() -> Self {
        let validator = |name: &'static str| {
            let file = if PUBLISHED.contains(&name) { name } else { "Device" };
            let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(path(file)).unwrap()).unwrap();
            schema["$ref"] = json!(format!("#/$defs/{name}"));
            schema.as_object_mut().unwrap().remove("properties");
            (name, jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        let names = resources().map(|definition| definition.path).into_iter().chain(["Resource"]);
        Self(names.map(validator).collect())
    }

    /// Returns the first error of the schema of `name` for a document.
    fn objection(&self, name: &str, document: &Value) -> Option<String> {
        let validator = self.0.get(name).unwrap_or(&self.0["Resource"]);
        validator.validate(document).err().map(|error| format!("{} at {}", error, error.instance_path()))
    }
}

/// Returns the name and the text of every document of the tests.
fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = [own.join("accepted"), own.join("refused")].into_iter();
    let published = common::corpus().map(|folder| folder.join("published"));
    for folder in folders.chain(published) {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|kind| kind == "json") {
                found.push((entry.display().to_string(), std::fs::read_to_string(&entry).unwrap()));
            }
        }
    }
    found.extend(cases("valid").into_iter().chain(cases("invalid")).chain(cases("ambiguous")).map(|case| {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        (text("id"), text("document"))
    }));
    found.sort();
    found
}

fn cases(name: &str) -> Vec<Value> {
    let Some(folder) = common::corpus() else { return Vec::new() };
    let text = std::fs::read_to_string(folder.join(format!("cases/{name}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn schemas_are_not_stricter_than_the_reader() {
    let schemas = Schemas::new();
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for (name, text) in documents() {
        let Ok(resource) = Resource::from_json(text.as_bytes()) else { continue };
        accepted += 1;
        let document = serde_json::from_str(&text).unwrap();
        for schema in [resource.resource_type(), "Resource"] {
            wrong.extend(schemas.objection(schema, &document).map(|why| format!("{name}: {schema}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted >= 4, "{accepted}");
}

#[cfg(feature = "testkit")]
#[test]
fn schemas_accept_generated_resources() {
    use fhir_devices::testkit::strategies;
    use proptest::test_runner::{Config, TestRunner};

    let schemas = Schemas::new();
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let built = TestRunner::new(config).run(&strategies::resource(), |resource| {
        let document = serde_json::from_str(&resource.to_json()).unwrap();
        proptest::prop_assert_eq!(schemas.objection(resource.resource_type(), &document), None);
        Ok(())
    });
    built.unwrap_or_else(|error| panic!("{error}"));
}

/// The number of cases of a layer that the schemas refuse, as the reader does with all of them.
#[test]
fn schemas_reject_what_json_schema_can_express() {
    let schemas = Schemas::new();
    let mut layers: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for case in cases("invalid") {
        let (refused, passed) = layers.entry(case["layer"].as_str().unwrap().to_owned()).or_default();
        let name = case["resource"].as_str().unwrap();
        let document = serde_json::from_str::<Value>(case["document"].as_str().unwrap());
        match document.ok().map(|document| schemas.objection(name, &document)) {
            Some(None) => passed.push(format!("{} {}", case["id"], case["rule"])),
            _ => *refused += 1,
        }
    }
    for (layer, (refused, passed)) in &layers {
        let least = LEAST.iter().find(|(name, _)| name == layer).map_or(0, |(_, least)| *least);
        println!("{layer}: {refused} of {}", refused + passed.len());
        assert!(*refused >= least, "{layer}: {refused}, wanted {least}; passed:\n{}", passed.join("\n"));
    }
}

const LEAST: [(&str, usize); 4] = [("structure", 133), ("primitive", 58), ("binding", 28), ("wrong-version", 89)];

#[test]
fn reports_give_valid_operation_outcomes() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path("OperationOutcome")).unwrap()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let reports = documents().into_iter().map(|(_, text)| check(text.as_bytes(), ReadMode::Strict).into_report());
    for report in reports.chain([Report::new()]) {
        let outcome = OperationOutcome::from(&report).to_json();
        let found = validator.validate(&serde_json::from_str(&outcome).unwrap()).map_err(|error| error.to_string());
        assert_eq!(found, Ok(()), "{outcome}");
    }
    for other in [
        r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value"}]}"#,
        r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","diagnostics":"a",
            "details":{"text":"b"}}]}"#,
        r#"{"resourceType":"OperationOutcome","issue":[]}"#,
    ] {
        assert!(!validator.is_valid(&serde_json::from_str(other).unwrap()), "{other}");
    }
}
