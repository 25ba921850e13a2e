//! Every declared type, row by row, in both directions and in order, against the published StructureDefinitions; and
//! every closed set of codes against its published expansion.
//!
//! `tests/data/elements.tsv` has the same facts for machines without the published definitions. `BLESS=1` rewrites it,
//! once the declared types agree with the published ones.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

mod common;

use fhir_devices::code;
use fhir_devices::element::{Definition, Element, Max, ReadMode};
use fhir_devices::resource::Subscription;
use fhir_devices::validate::check;
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A published fact that the tables omit, and the reason.
struct Exception {
    at: &'static str,
    fact: Fact,
    reason: &'static str,
}

#[derive(PartialEq)]
enum Fact {
    Rule(&'static str),
    ValueSet(&'static str),
}

const MEDIA_TYPES: Fact = Fact::ValueSet("http://www.rfc-editor.org/bcp/bcp13.txt");

/// An exception that no longer applies fails the run.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        at: "Attachment.contentType",
        fact: MEDIA_TYPES,
        reason: "the media types are an open set without a list",
    },
    Exception {
        at: "Signature.contentType",
        fact: MEDIA_TYPES,
        reason: "the media types are an open set without a list",
    },
    Exception {
        at: "Narrative.div",
        fact: Fact::Rule("txt-1"),
        reason: "a rule of the row `div`, which is a primitive here; the walk checks it",
    },
    Exception {
        at: "Narrative.div",
        fact: Fact::Rule("txt-2"),
        reason: "a rule of the row `div`, which is a primitive here; the walk checks it",
    },
];

/// The facts of one element, as text.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    path: String,
    min: String,
    max: String,
    types: Vec<String>,
    targets: Vec<String>,
    value_set: String,
    rules: Vec<String>,
}

impl Row {
    /// The row as a line of the table.
    fn line(&self) -> String {
        let Self { path, min, max, .. } = self;
        let (types, targets, rules) = (self.types.join(" "), self.targets.join(" "), self.rules.join(" "));
        format!("{path}\t{min}\t{max}\t{types}\t{targets}\t{}\t{rules}", self.value_set)
    }
}

const HEAD: &str = "path\tmin\tmax\ttypes\ttargets\trequired value set\trules";

/// Returns every definition reachable from the six resources, by path.
fn reached() -> BTreeMap<&'static str, &'static Definition> {
    let mut open = vec![
        Device::definition(),
        DeviceComponent::definition(),
        DeviceMetric::definition(),
        Bundle::definition(),
        OperationOutcome::definition(),
        Subscription::definition(),
    ];
    let mut reached = BTreeMap::new();
    while let Some(definition) = open.pop() {
        if reached.insert(definition.path, definition).is_none() {
            let types = definition.rows.iter().flat_map(|row| (row.types)());
            open.extend(types.filter_map(|one| one.definition).map(|definition| definition()));
        }
    }
    reached
}

/// Returns the top-level definitions; the others are parts of them.
fn whole() -> Vec<&'static Definition> {
    reached().into_values().filter(|definition| !definition.path.contains('.')).collect()
}

fn rules(definition: &Definition) -> Vec<String> {
    let forbidding = definition.forbidden.iter().map(|(_, rule)| rule);
    definition.rules.iter().chain(forbidding).map(|rule| rule.key.to_owned()).collect()
}

/// Returns the rows of a declared type and of its parts, in order.
fn declared(definition: &Definition) -> Vec<Row> {
    let head = Row {
        path: definition.path.to_owned(),
        min: "0".to_owned(),
        max: "*".to_owned(),
        types: Vec::new(),
        targets: Vec::new(),
        value_set: String::new(),
        rules: rules(definition),
    };
    let mut rows = vec![head];
    declared_rows(definition, &mut rows);
    rows
}

fn declared_rows(definition: &Definition, rows: &mut Vec<Row>) {
    for row in definition.rows {
        let path = format!("{}.{}", definition.path, row.name);
        let mut types = Vec::new();
        let mut part = None;
        for one in (row.types)() {
            let inner = one.definition.map(|inner| inner());
            types.push(match inner {
                Some(inner) if inner.path == path => {
                    part = Some(inner);
                    one.name.to_owned()
                }
                Some(inner) if inner.path.contains('.') => format!("#{}", inner.path),
                Some(inner) if inner.path != one.name => format!("{}({})", one.name, inner.path),
                _ => one.name.to_owned(),
            });
        }
        let value_sets: Vec<&str> = (row.types)().iter().filter_map(|one| one.value_set).collect();
        rows.push(Row {
            path,
            min: row.min.to_string(),
            max: if row.max == Max::One { "1" } else { "*" }.to_owned(),
            types,
            targets: (row.types)().iter().flat_map(|one| one.targets).map(|target| (*target).to_owned()).collect(),
            value_set: value_sets.join(" "),
            rules: part.map(rules).unwrap_or_default(),
        });
        if let Some(part) = part {
            declared_rows(part, rows);
        }
    }
}

/// Returns the last segment of a URL.
fn last(url: &Value) -> String {
    url.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn structure_definition(folder: &Path, name: &str) -> Value {
    let file = folder.join(format!("definitions/StructureDefinition-{name}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// Returns the rows of a published type, in order, without elements that a constraint removed.
fn published(folder: &Path, name: &str) -> Vec<Row> {
    let definition = structure_definition(folder, name);
    let elements = definition["snapshot"]["element"].as_array().unwrap();
    elements.iter().filter(|element| element["max"] != "0").map(|element| published_row(name, element)).collect()
}

fn published_row(name: &str, element: &Value) -> Row {
    let list = |key: &str| element[key].as_array().cloned().unwrap_or_default();
    let mut types: Vec<String> = Vec::new();
    let mut targets = Vec::new();
    for one in list("type") {
        let code = one["code"].as_str().unwrap();
        let named = match one.get("profile") {
            Some(profile) => format!("{code}({})", last(profile)),
            None => code.to_owned(),
        };
        // A reference to one of several types is one type here, and several there.
        if types.last() != Some(&named) {
            types.push(named);
        }
        targets.extend(one.get("targetProfile").map(last).filter(|target| target != "Resource"));
    }
    types.extend(element.get("contentReference").map(|reference| reference.as_str().unwrap().to_owned()));
    let binding = &element["binding"];
    let value_set = binding["valueSetReference"]["reference"].as_str().or(binding["valueSetUri"].as_str());
    let rules = list("constraint").iter().map(|rule| rule["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let path = element["path"].as_str().unwrap();
    let below = path.split_once('.').map(|(_, below)| format!(".{below}")).unwrap_or_default();
    Row {
        path: format!("{name}{below}"),
        min: element["min"].to_string(),
        max: element["max"].as_str().unwrap().to_owned(),
        types,
        targets,
        value_set: value_set.filter(|_| binding["strength"] == "required").unwrap_or_default().to_owned(),
        // It holds for every element, and is not in the tables.
        rules: rules.into_iter().filter(|key| key != "ele-1").collect(),
    }
}

/// Removes the exceptions from a published row, and notes those used.
fn except(row: &mut Row, used: &mut BTreeSet<usize>) {
    for (index, exception) in EXCEPTIONS.iter().enumerate().filter(|(_, exception)| exception.at == row.path) {
        let applies = match exception.fact {
            Fact::Rule(key) => row.rules.iter().any(|rule| rule == key),
            Fact::ValueSet(url) => row.value_set == url,
        };
        if applies {
            used.insert(index);
        }
        match exception.fact {
            Fact::Rule(key) => row.rules.retain(|rule| rule != key),
            Fact::ValueSet(_) => row.value_set.clear(),
        }
    }
}

/// Returns the differing lines of two tables.
fn differences(ours: &[String], theirs: &[String]) -> Vec<String> {
    let only = |some: &[String], others: &[String], whose: &str| -> Vec<String> {
        some.iter().filter(|line| !others.contains(line)).map(|line| format!("{whose}: {line}")).collect()
    };
    let mut lines = only(ours, theirs, "declared");
    lines.extend(only(theirs, ours, "published"));
    if lines.is_empty() && ours != theirs {
        lines.push(format!("the order differs: {ours:#?}"));
    }
    lines
}

fn declared_lines() -> Vec<String> {
    whole().into_iter().flat_map(declared).map(|row| row.line()).collect()
}

fn table() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/elements.tsv")
}

#[test]
fn declared_types_agree_with_published_definitions() {
    let Some(folder) = common::corpus() else { return };
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for definition in whole() {
        let ours: Vec<String> = declared(definition).iter().map(Row::line).collect();
        let mut theirs = published(&folder, definition.path);
        theirs.iter_mut().for_each(|row| except(row, &mut used));
        let theirs: Vec<String> = theirs.iter().map(Row::line).collect();
        wrong.extend(differences(&ours, &theirs));
    }
    let unused = EXCEPTIONS.iter().enumerate().filter(|(index, _)| !used.contains(index));
    wrong.extend(unused.map(|(_, one)| format!("the exception at {} no longer applies: {}", one.at, one.reason)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(table(), format!("{HEAD}\n{}\n", declared_lines().join("\n"))).unwrap();
    }
}

#[test]
fn declared_types_agree_with_the_table() {
    if std::env::var_os("BLESS").is_some() {
        return;
    }
    let text = std::fs::read_to_string(table()).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    assert_eq!(lines.next().as_deref(), Some(HEAD));
    let wrong = differences(&declared_lines(), &lines.collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An exception states that the tables omit a fact; a fact in the tables is no exception.
#[test]
fn exceptions_are_not_declared() {
    let rows: Vec<Row> = whole().into_iter().flat_map(declared).collect();
    for exception in EXCEPTIONS {
        let row = rows.iter().find(|row| row.path == exception.at);
        let row = row.unwrap_or_else(|| panic!("{} is no element", exception.at));
        match exception.fact {
            Fact::Rule(key) => assert!(!row.rules.iter().any(|rule| rule == key), "{}", exception.at),
            Fact::ValueSet(url) => assert_ne!(row.value_set, url, "{}", exception.at),
        }
    }
}

#[test]
fn walk_reaches_these_types() {
    let resources = ["Bundle", "Device", "DeviceComponent", "DeviceMetric", "OperationOutcome", "Subscription"];
    let types = [
        "Address",
        "Age",
        "Annotation",
        "Attachment",
        "CodeableConcept",
        "Coding",
        "ContactPoint",
        "Count",
        "Distance",
        "Duration",
        "Extension",
        "HumanName",
        "Identifier",
        "Meta",
        "Money",
        "Narrative",
        "Period",
        "Quantity",
        "Range",
        "Ratio",
        "Reference",
        "SampledData",
        "Signature",
        "SimpleQuantity",
        "Timing",
    ];
    let parts = [
        "Bundle.entry",
        "Bundle.entry.request",
        "Bundle.entry.response",
        "Bundle.entry.search",
        "Bundle.link",
        "Device.udi",
        "DeviceComponent.productionSpecification",
        "DeviceMetric.calibration",
        "OperationOutcome.issue",
        "Subscription.channel",
        "Timing.repeat",
    ];
    let wanted: BTreeSet<&str> = resources.into_iter().chain(types).chain(parts).collect();
    assert_eq!(reached().into_keys().collect::<BTreeSet<_>>(), wanted);
}

/// Every primitive type in the tables has a published definition.
#[test]
fn primitive_types_are_published() {
    let primitives: BTreeSet<&str> = reached()
        .values()
        .flat_map(|definition| definition.rows)
        .flat_map(|row| (row.types)())
        .filter(|one| one.definition.is_none() && one.name != "Resource")
        .map(|one| one.name)
        .collect();
    let wanted = [
        "base64Binary",
        "boolean",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "xhtml",
    ];
    assert_eq!(primitives, wanted.into_iter().collect());
    let Some(folder) = common::corpus() else { return };
    for name in primitives {
        assert_eq!(structure_definition(&folder, name)["kind"], "primitive-type", "{name}");
    }
}

#[test]
fn extension_value_has_38_types() {
    let value = fhir_devices::datatype::Extension::definition().rows.iter().find(|row| row.name == "value[x]");
    let types = (value.unwrap().types)();
    assert_eq!(types.len(), 38);
    let reached = reached();
    for one in types {
        assert!(one.definition.is_none_or(|definition| reached.contains_key(definition().path)), "{}", one.name);
    }
}

/// Returns the codes of each value set that a row is bound to, by URL.
fn closed_sets() -> BTreeMap<&'static str, &'static [&'static str]> {
    let rows = reached().into_values().flat_map(|definition| definition.rows);
    let types = rows.flat_map(|row| (row.types)());
    types.filter_map(|one| Some((one.value_set?, one.codes))).collect()
}

/// Collects the codes of an expansion, nested ones after their parent.
fn flattened(contains: &Value, into: &mut Vec<String>) {
    for one in contains.as_array().into_iter().flatten() {
        into.push(one["code"].as_str().unwrap().to_owned());
        flattened(&one["contains"], into);
    }
}

fn expansion(folder: &Path, url: &str) -> Vec<String> {
    let name = url.rsplit('/').next().unwrap();
    let file = folder.join(format!("definitions/expansions/ValueSet-{name}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let value_set: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value_set["url"], url);
    let mut found = Vec::new();
    flattened(&value_set["expansion"]["contains"], &mut found);
    found
}

#[test]
fn closed_value_sets_agree_with_published_ones() {
    let Some(folder) = common::corpus() else { return };
    assert_eq!(closed_sets().len(), 26);
    for (url, ours) in closed_sets() {
        assert_eq!(ours, expansion(&folder, url), "{url}");
    }
}

#[test]
fn resource_types_agree_with_published_ones() {
    let Some(folder) = common::corpus() else { return };
    let published = expansion(&folder, "http://hl7.org/fhir/ValueSet/resource-types");
    let concrete = published.iter().filter(|name| !matches!(name.as_str(), "Resource" | "DomainResource"));
    assert_eq!(code::RESOURCE_TYPES.to_vec(), concrete.collect::<Vec<_>>());
}

/// The findings of no row: those of the text as a whole, or of content kept as text.
const ROWLESS: &[&str] = &["json", "resource-type", "fhir-version", "unchecked-type", "wrong-type", "null"];

#[test]
fn issue_rows_are_in_the_tables() {
    let Some(folder) = common::corpus() else { return };
    let mut rows: BTreeSet<String> = whole().into_iter().flat_map(declared).map(|row| row.path).collect();
    // What stands beside the value of a primitive.
    rows.extend(["Element", "Element.id", "Element.extension"].map(str::to_owned));
    let mut wrong = BTreeSet::new();
    let text = std::fs::read_to_string(folder.join("cases/invalid.jsonl")).unwrap();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        for issue in check(case["document"].as_str().unwrap().as_bytes(), ReadMode::Strict).into_report() {
            let of_the_whole = ROWLESS.contains(&&*issue.rule) && issue.row.is_empty();
            if !(of_the_whole || rows.contains(&*issue.row)) {
                wrong.insert(format!("{} at {} has the row `{}`", issue.rule, issue.at, issue.row));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn issue_names_the_broken_row() {
    let rows = |members: &str| {
        let json = format!(r#"{{"resourceType":"Device",{members}}}"#);
        let report = check(json.as_bytes(), ReadMode::Strict).into_report();
        let about_rows = report.into_iter().filter(|issue| issue.rule != "unchecked-type");
        about_rows.map(|issue| format!("{} {}", issue.rule, issue.row)).collect::<Vec<_>>().join(", ")
    };
    for (members, wanted) in [
        (r#""status":"gone""#, "required-binding Device.status"),
        (r#""_lotNumber":{"id":"a"}"#, "ele-1 Device.lotNumber"),
        (r#""_lotNumber":{"id":"a b","value":1}"#, "unknown-member Element, ele-1 Device.lotNumber"),
        (r#""type":{}"#, "ele-1 CodeableConcept"),
        (r#""type":{"colour":1}"#, "unknown-member CodeableConcept"),
        (r#""contact":[{"rank":"first"}]"#, "wrong-type ContactPoint.rank"),
        (r#""udi":[{"name":"a"}]"#, "max-cardinality Device.udi"),
        (r#""owner":{"reference":"Patient/1"}"#, "reference-target Reference"),
        (r##""owner":{"reference":"#a"}"##, "ref-1 Reference"),
        (r#""extension":[{"url":"http://x.example","valueDecimal":"1"}]"#, "wrong-type Extension.value[x]"),
        (r#""extension":[{"url":"http://x.example","valueString":"1","valueCode":"a"}]"#, "choice Extension.value[x]"),
        (r#""contact":[{"value":"1"}]"#, "cpt-2 ContactPoint"),
        (r#""contained":[{"resourceType":"Patient","id":"a","name":[]}]"#, "dom-3 Device, empty "),
        (r#""note":[{"authorString":"a"}]"#, "min-cardinality Annotation.text"),
    ] {
        assert_eq!(rows(members), wanted, "{members}");
    }
}
