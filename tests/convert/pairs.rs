//! The pairs of the corpus: the converted document with its report, and the document converted back.

use crate::common;
use crate::exact::exact;
use fhir_devices::convert::{self, Components, Options, Version};
use fhir_devices::primitive::CanonicalBase;
use fhir_devices::{Report, Resource};
use serde_json::value::RawValue;
use std::path::Path;

type Row = std::collections::BTreeMap<String, Box<RawValue>>;

const BASE: &str = "https://fhir.test.example";

/// Returns the rows of a file of pairs, with the base of this test in place of its mark.
fn rows(folder: &Path, name: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(folder.join("conversion").join(name)).unwrap().replace("{base}", BASE);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(row: &Row, name: &str) -> String {
    serde_json::from_str(row[name].get()).unwrap()
}

fn options() -> Options {
    Options::default().base(CanonicalBase::new(BASE).unwrap())
}

/// Returns a report in the form of the pairs: the key, the element, the detail.
fn told(report: &Report) -> Vec<[String; 3]> {
    let detail = |message: &str| message.split_once(": ").map(|(_, detail)| detail.to_owned()).unwrap_or_default();
    report.iter().map(|issue| [issue.rule.to_string(), issue.at.clone(), detail(&issue.message)]).collect()
}

fn version(name: &str) -> Version {
    name.to_ascii_lowercase().parse().unwrap()
}

#[test]
fn stu3_documents_convert_as_the_pairs_state() {
    let Some(folder) = common::corpus() else { return };
    for row in rows(&folder, "pairs.jsonl") {
        let id = text(&row, "id");
        let resource = Resource::from_json(row["stu3"].get().as_bytes()).unwrap();
        for (name, report) in [("r4", "report_r4"), ("r4b", "report_r4"), ("r5", "report_r5")] {
            let converted = convert::to(version(name), &resource, &options()).unwrap_or_else(|r| panic!("{id}: {r}"));
            assert_eq!(exact(&converted.json), exact(row[name].get()), "{id} {name}");
            let wanted: Vec<[String; 3]> = serde_json::from_str(row[report].get()).unwrap();
            assert_eq!(told(&converted.report), wanted, "{id} {name}");
            let back = convert::from(version(name), converted.json.as_bytes(), &options());
            assert_eq!(back.unwrap_or_else(|r| panic!("{id} {name}: {r}")).value, resource, "{id} {name}");
        }
        let r5 = convert::to(Version::R5, &resource, &options()).unwrap().json;
        let r4 = convert::between(Version::R5, Version::R4, r5.as_bytes(), &options()).unwrap();
        assert_eq!(exact(&r4.json), exact(row["r4"].get()), "{id}");
    }
}

#[test]
fn other_documents_convert_as_the_pairs_state() {
    let Some(folder) = common::corpus() else { return };
    for row in rows(&folder, "pairs_reverse.jsonl") {
        let (id, from) = (text(&row, "id"), version(&text(&row, "from")));
        let by_level = text(&row, "what").contains("by level");
        let level = if by_level { Components::ByLevel } else { Components::Marked };
        let options = options().components(level);
        let source = row["source"].get();
        let reading = convert::from(from, source.as_bytes(), &options).unwrap_or_else(|r| panic!("{id}: {r}"));
        assert_eq!(exact(&reading.value.to_json()), exact(row["stu3"].get()), "{id}");
        let wanted: Vec<[String; 3]> = serde_json::from_str(row["report"].get()).unwrap();
        assert_eq!(told(&reading.report), wanted, "{id}");
        let back = convert::to(from, &reading.value, &options).unwrap().json;
        if by_level {
            let tag = format!(r#","tag":[{{"system":"{BASE}/CodeSystem/stu3-type","code":"DeviceComponent"}}]"#);
            assert_eq!(exact(&back.replace(&tag, "")), exact(source), "{id}");
        } else {
            assert_eq!(exact(&back), exact(source), "{id}");
        }
        if from == Version::R4 {
            let r5 = convert::between(Version::R4, Version::R5, source.as_bytes(), &options).unwrap().json;
            let r4 = convert::between(Version::R5, Version::R4, r5.as_bytes(), &options).unwrap().json;
            assert_eq!(exact(&r4), exact(source), "{id}");
        }
    }
}

#[test]
fn edits_between_conversions_are_kept() {
    let Some(folder) = common::corpus() else { return };
    for row in rows(&folder, "pairs_edit.jsonl") {
        let (id, from) = (text(&row, "id"), version(&text(&row, "version")));
        let reading = convert::from(from, row["edited"].get().as_bytes(), &options()).unwrap();
        assert_eq!(exact(&reading.value.to_json()), exact(row["stu3"].get()), "{id}");
        let wanted: Vec<[String; 3]> = serde_json::from_str(row["report"].get()).unwrap();
        assert_eq!(told(&reading.report), wanted, "{id}");
    }
}

/// Checks that a round trip returns the same document, for every version that accepts it.
fn assert_round_trip(name: &str, resource: &Resource, refused: &mut Vec<String>) {
    for version in [Version::R4, Version::R4B, Version::R5] {
        match convert::to(version, resource, &options()) {
            Ok(converted) => {
                let back = convert::from(version, converted.json.as_bytes(), &options());
                let back = back.unwrap_or_else(|report| panic!("{name} {version}: {report}\n{}", converted.json));
                assert_eq!(back.value.to_json(), resource.to_json(), "{name} {version}\n{}", converted.json);
            }
            Err(report) => refused.push(format!("{name} {version}: {report}")),
        }
    }
}

#[test]
fn published_and_valid_documents_round_trip() {
    let Some(folder) = common::corpus() else { return };
    let mut documents: Vec<(String, String)> = Vec::new();
    for line in std::fs::read_to_string(folder.join("cases/valid.jsonl")).unwrap().lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        documents.push((text(&row, "id"), text(&row, "document")));
    }
    for entry in std::fs::read_dir(folder.join("published")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            documents.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    let mut refused = Vec::new();
    let mut counted = 0;
    for (name, json) in documents {
        let Ok(resource) = Resource::from_json(json.as_bytes()) else { continue };
        if matches!(resource, Resource::Other(_) | Resource::OperationOutcome(_)) {
            continue;
        }
        counted += 1;
        assert_round_trip(&name, &resource, &mut refused);
    }
    assert!(counted > 500, "{counted}");
    // R4B has no `valueMeta`; HL7's own examples give a Device and a component one id.
    let known = |line: &String| line.contains("valueMeta") || line.contains("collision");
    let others: Vec<_> = refused.iter().filter(|line| !known(line)).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(refused.len() < 10, "{refused:#?}");
}

/// Returns the documents of a folder: its JSON files, and the rows of its tables.
fn documents(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        match path.extension().and_then(|end| end.to_str()) {
            Some("json") => found.push((name, std::fs::read_to_string(&path).unwrap())),
            Some("jsonl") => {
                for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
                    let row: Row = serde_json::from_str(line).unwrap();
                    for (member, value) in row.iter().filter(|(_, value)| value.get().contains("resourceType")) {
                        // A document stands in a row as it is, or as a text.
                        let document = match value.get().strip_prefix('{') {
                            Some(_) => value.get().to_owned(),
                            None => serde_json::from_str(value.get()).unwrap(),
                        };
                        found.push((format!("{name}:{number} {member}"), document));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

const MARK: &str =
    r#""meta":{"tag":[{"system":"https://fhir.test.example/CodeSystem/stu3-type","code":"DeviceComponent"}]},"#;

#[test]
fn documents_that_went_wrong_round_trip_or_are_reported() {
    let Some(folder) = common::corpus() else { return };
    let mut counted = [0; 2];
    for (name, json) in documents(&folder.join("reported")).into_iter().chain(documents(&folder.join("conversion"))) {
        if let Ok(resource) = Resource::from_json(json.as_bytes()) {
            for version in [Version::R4, Version::R4B, Version::R5] {
                match convert::to(version, &resource, &options()) {
                    Ok(there) => {
                        let back = convert::from(version, there.json.as_bytes(), &options());
                        let back = back.unwrap_or_else(|report| panic!("{name} {version}: {report}\n{}", there.json));
                        assert_eq!(back.value.to_json(), resource.to_json(), "{name} {version}\n{}", there.json);
                        counted[0] += 1;
                    }
                    Err(report) => assert!(report.has_errors(), "{name} {version}: {report}"),
                }
            }
        }
        for version in [Version::R4, Version::R4B, Version::R5] {
            match convert::from(version, json.as_bytes(), &options()) {
                Ok(reading) => {
                    let there = convert::to(version, &reading.value, &options());
                    let there = there.unwrap_or_else(|report| panic!("{name} {version}: {report}"));
                    // What the version requires and the document lacks is filled, and the report says so. The mark of a
                    // component that was removed comes back.
                    if !there.report.iter().any(|issue| issue.rule == "filled") {
                        let written =
                            if json.contains("stu3-type") { there.json } else { there.json.replace(MARK, "") };
                        assert_eq!(exact(&written), exact(json.trim_start_matches('\u{feff}')), "{name} {version}");
                    }
                    counted[1] += 1;
                }
                Err(report) => assert!(report.has_errors(), "{name} {version}: {report}"),
            }
        }
    }
    assert!(counted[0] > 50 && counted[1] > 10, "{counted:?}");
}
