//! The published pairs of documents in XML and JSON, the faulty documents, and every document of the other collections.

use crate::common;
use crate::exact::exact;
use fhir_devices::element::ReadMode;
use fhir_devices::{Report, Resource};
use std::path::Path;

#[derive(serde::Deserialize)]
struct Pair {
    id: String,
    xml: String,
    #[serde(default)]
    json: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    path: String,
}

fn pairs(folder: &Path, name: &str) -> Vec<Pair> {
    let text = std::fs::read_to_string(folder.join("xml").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the fault of a document's round trip through XML.
fn through_xml(json: &str) -> Result<(), String> {
    let resource = Resource::from_json(json.as_bytes()).map_err(|report| format!("from_json: {report}"))?;
    let xml = resource.to_xml().map_err(|report| format!("to_xml: {report}"))?;
    let again = Resource::from_xml(xml.as_bytes()).map_err(|report| format!("from_xml: {report}\n{xml}"))?;
    let written = again.to_json();
    if exact(json) != exact(&written) {
        return Err(format!("differs:\n{json}\n{written}\n{xml}"));
    }
    match again.to_xml() {
        Ok(twice) if twice == xml => Ok(()),
        other => Err(format!("written again it differs: {other:?}")),
    }
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn valid_xml_is_read_as_its_json() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    for pair in pairs(&folder, "valid.jsonl") {
        // A tab in a code is refused in both formats, though the schema collapses it.
        let Ok(json) = Resource::from_json(pair.json.as_bytes()) else {
            assert!(Resource::from_xml(pair.xml.as_bytes()).is_err(), "{}", pair.id);
            continue;
        };
        match Resource::from_xml(pair.xml.as_bytes()) {
            Err(report) => wrong.push(format!("{} ({}): {report}", pair.id, pair.why)),
            Ok(resource) => {
                // The other implementation wrote minus zero as zero.
                let json = json.to_json().replace("\"valueDecimal\":-0}", "\"valueDecimal\":0}");
                if exact(&resource.to_json()) != exact(&json) {
                    wrong.push(format!("{} ({}):\n{}\n{}", pair.id, pair.why, resource.to_json(), json));
                }
            }
        }
    }
    assert_none(&wrong);
}

fn check(xml: &str) -> Report {
    fhir_devices::validate::check_xml(xml.as_bytes(), ReadMode::Strict).into_report()
}

#[test]
fn faulty_xml_is_refused_where_its_fault_is() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    for pair in pairs(&folder, "invalid.jsonl") {
        let report = check(&pair.xml);
        // Paths of the rows name neither items nor the type of a contained resource.
        let path = pair.path.replace("contained.Organization.", "contained.");
        let plain = |at: &str| at.split('.').map(|part| part.split('[').next().unwrap()).collect::<Vec<_>>().join(".");
        let is_there = report
            .iter()
            .filter(|issue| issue.severity <= fhir_devices::Severity::Error)
            .any(|issue| path.is_empty() || plain(&issue.at).starts_with(&path));
        if !is_there {
            wrong.push(format!("{} ({} at {}): {report}", pair.id, pair.why, pair.path));
        }
    }
    assert_none(&wrong);
}

/// Every document of the published collections that has no error, with its name.
pub(crate) fn documents(folder: &Path) -> Vec<(String, String)> {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder.join("published")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            documents.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    documents.extend(pairs(folder, "valid.jsonl").into_iter().map(|pair| (pair.id, pair.json)));
    for line in std::fs::read_to_string(folder.join("cases/valid.jsonl")).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        documents.push((case["id"].as_str().unwrap().to_owned(), case["document"].as_str().unwrap().to_owned()));
    }
    let is_valid =
        |json: &str| !fhir_devices::validate::check(json.as_bytes(), ReadMode::Strict).into_report().has_errors();
    documents.retain(|(_, json)| is_valid(json));
    assert!(documents.len() > 500, "{} documents", documents.len());
    documents
}

#[test]
fn every_document_comes_back_from_xml() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    for (name, json) in documents(&folder) {
        // XML does not tell an array of nulls beside an array of extensions from no array.
        let json = if name.starts_with("v204-") { json.replace("\"profile\": [\n   null\n  ],", "") } else { json };
        if let Err(error) = through_xml(&json) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert_none(&wrong);
}
