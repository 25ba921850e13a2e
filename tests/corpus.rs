//! The published documents and the cases, valid and invalid, with the rule that each breaks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop where it stands")]

mod common;
#[path = "common/exact.rs"]
mod exact;

use exact::exact;
use fhir_devices::element::ReadMode;
use fhir_devices::validate::check;
use fhir_devices::{Resource, Severity};
use std::path::Path;

#[derive(serde::Deserialize)]
struct Case {
    id: String,
    layer: String,
    rule: String,
    path: String,
    resource: String,
    document: String,
}

fn cases(folder: &Path, name: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join("cases").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The name, the verdict and the text of each published document.
fn published(folder: &Path) -> Vec<(String, String, String)> {
    let folder = folder.join("published");
    let origins = std::fs::read_to_string(folder.join("ORIGINS.tsv")).unwrap();
    let rows = origins.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), row[2].to_owned(), std::fs::read_to_string(folder.join(row[0])).unwrap()))
        .collect()
}

fn assert_lossless(name: &str, json: &str) {
    let resource = Resource::from_json(json.as_bytes()).unwrap_or_else(|report| panic!("{name}: {report}"));
    let written = resource.to_json();
    assert_eq!(exact(json), exact(&written), "{name}");
    let again = Resource::from_json(written.as_bytes()).unwrap_or_else(|report| panic!("{name}: {report}"));
    assert_eq!(again, resource, "{name}");
    assert_eq!(again.to_json(), written, "{name}: written again it differs");
}

#[test]
fn valid_cases_round_trip() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    for case in cases(&folder, "valid.jsonl") {
        let checked = check(case.document.as_bytes(), ReadMode::Strict);
        if checked.report().has_errors() {
            wrong.push(format!("{} ({}): {}", case.id, case.rule, checked.report()));
        } else {
            assert_lossless(&case.id, &case.document);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn published_documents_get_the_expected_result() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    for (name, verdict, json) in published(&folder) {
        let report = check(json.as_bytes(), ReadMode::Strict).into_report();
        if report.has_errors() == (verdict == "valid") {
            wrong.push(format!("{name} is {verdict}: {report}"));
        } else if verdict == "valid" {
            assert_lossless(&name, &json);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lenient_read_loses_nothing() {
    let Some(folder) = common::corpus() else { return };
    let mut accepted = 0;
    for case in cases(&folder, "invalid.jsonl") {
        if let Ok(reading) = Resource::read(case.document.as_bytes(), ReadMode::Lenient) {
            accepted += 1;
            let written = reading.value.to_json();
            // The nulls that fill the shorter of two arrays are added; nothing else is.
            let written = if reading.report.iter().any(|issue| issue.rule == "array-length") {
                written.replace(",null]", "]")
            } else {
                written
            };
            assert_eq!(exact(&case.document), exact(&written), "{}: {}", case.id, reading.report);
        }
    }
    assert!(accepted > 300, "{accepted}");
}

/// Turns the path of a row (`contact.0.system`) into an expression (`Device.contact[0].system`).
fn expression(case: &Case) -> String {
    let mut at = case.resource.clone();
    for step in case.path.split('.').filter(|step| !step.is_empty()) {
        match step.parse::<usize>() {
            Ok(index) => at.push_str(&format!("[{index}]")),
            Err(_) => {
                at.push('.');
                at.push_str(step);
            }
        }
    }
    at
}

/// Returns whether one of two paths contains the other; a member of a choice matches without its type.
fn meets(at: &str, wanted: &str) -> bool {
    at == wanted
        || at.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(|c: char| ".[".contains(c) || c.is_uppercase()))
}

#[test]
fn invalid_cases_are_located() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    for case in cases(&folder, "invalid.jsonl") {
        let report = check(case.document.as_bytes(), ReadMode::Strict).into_report();
        let wanted = expression(&case);
        let placed = report.iter().filter(|issue| issue.severity <= Severity::Error).any(|issue| {
            meets(&issue.at, &wanted)
                || (case.path.is_empty() && issue.at == "Resource")
                || (case.path == "resourceType" && issue.at.ends_with(".resourceType") && !issue.at.contains('['))
        });
        if !placed {
            let found = report.to_string().replace('\n', "\n    ");
            wrong.push(format!("{} {} {} wants {wanted}\n    {found}", case.id, case.layer, case.rule));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}
