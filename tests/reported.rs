//! Small documents of the kinds that went wrong, with the expected findings of each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop where it stands")]

mod common;

use fhir_devices::element::ReadMode;
use fhir_devices::validate::{Validator, check, check_by};
use fhir_devices::{Issue, OperationOutcome, Report, Resource, Severity, Validate};
use serde_json::Value;

fn report_of(json: &str) -> Report {
    check(json.as_bytes(), ReadMode::Strict).into_report()
}

fn has(report: &Report, rule: &str, severity: Severity, at: &str) -> bool {
    report.iter().any(|issue| issue.rule == rule && issue.severity == severity && issue.at == at)
}

/// Returns the errors of a report.
fn errors(report: &Report) -> Vec<(&str, &str)> {
    let errors = report.iter().filter(|issue| issue.severity <= Severity::Error);
    errors.map(|issue| (&*issue.rule, issue.at.as_str())).collect()
}

/// Returns whether the findings have the expected severity at the path, or within it.
fn is_as_wanted(report: &Report, wanted: &str, at: &str) -> bool {
    if wanted == "none" {
        return !report.has_errors();
    }
    let least = if wanted == "error" { Severity::Error } else { Severity::Warning };
    report.iter().any(|issue| issue.severity <= least && issue.at.starts_with(at))
}

#[test]
fn oracle_rows_get_the_expected_findings() {
    let Some(folder) = common::corpus() else { return };
    let text = std::fs::read_to_string(folder.join("reported/oracle.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap();
        if !cfg!(feature = "ucum") && text("id").starts_with("ucum-") {
            continue;
        }
        let report = report_of(text("document"));
        if !is_as_wanted(&report, text("wanted"), text("at")) {
            wrong.push(format!("{}: wanted {} at {}: {report}", text("id"), text("wanted"), text("at")));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn narratives_get_the_expected_findings() {
    let Some(folder) = common::corpus() else { return };
    let text = std::fs::read_to_string(folder.join("narratives.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = serde_json::json!({"status": "generated", "div": row["div"]});
        let report = report_of(&serde_json::json!({"resourceType": "Device", "text": text}).to_string());
        if report.has_errors() != row["refused"].as_bool().unwrap() {
            wrong.push(format!("{}: {} {}: {report}", row["id"], row["why"], row["div"]));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// The documents of the folder, by name, each with its expected findings.
#[test]
fn reported_documents_get_the_expected_findings() {
    let Some(folder) = common::corpus() else { return };
    let mut wrong = Vec::new();
    let mut row = |name: &str, holds: fn(&Report) -> bool| {
        let json = std::fs::read(folder.join("reported").join(name)).unwrap();
        let report = check_by(&json, ReadMode::Strict, &Validator::new().udi()).into_report();
        if !holds(&report) {
            wrong.push(format!("{name}: {report}"));
        }
    };
    row("bom.json", |report| has(report, "byte-order-mark", Severity::Warning, "Device") && errors(report).is_empty());
    row("contained-foreign-id.json", |report| errors(report) == [("id", "Device.contained[0].id")]);
    row("contained-own-id-cascade.json", |report| errors(report) == [("id", "DeviceComponent.contained[0].id")]);
    row("device-contained-in-observation.json", |report| {
        errors(report)
            == [
                ("required-binding", "Observation.contained[0].status"),
                ("unknown-member", "Observation.contained[0].serialNumber"),
            ]
    });
    row("duplicate-contained-in-foreign.json", |report| {
        errors(report) == [("contained-id", "Patient.contained[1]"), ("dom-3", "Patient.contained[2].id")]
    });
    row("div-without-namespace.json", |report| {
        errors(report) == [("xhtml", "DeviceMetric.text.div")]
            && report.iter().all(|issue| issue.rule != "fhir-version")
    });
    row("history-two-deletions.json", |report| {
        let said = |issue: &fhir_devices::Issue| {
            ["entry[0]", "entry[2]", "http://a.example/fhir/Device/1"].iter().all(|part| issue.message.contains(part))
        };
        errors(report) == [("bdl-7", "Bundle")] && report.iter().any(said)
    });
    row("narrative-image-of-contained.json", |report| {
        errors(report).is_empty() && has(report, "dom-3", Severity::Warning, "Device.contained[0].id")
    });
    row("conditional-reference-outside-transaction.json", |report| {
        errors(report).is_empty() && has(report, "conditional-reference", Severity::Warning, "DeviceMetric.source")
    });
    row("unmodelled-says-no-fault.json", |report| {
        errors(report) == [("id", "Patient.id")] && has(report, "unchecked-type", Severity::Information, "Patient")
    });
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn modelled_type_is_checked_inside_unmodelled_resources() {
    let device = r#"{"resourceType":"Device","id":"d","status":"bogus","contact":[{"value":"1"}]}"#;
    let refers = r##""device":{"reference":"#d"}"##;
    for (json, place) in [
        (format!(r#"{{"resourceType":"Observation",{refers},"contained":[{device}]}}"#), "Observation.contained[0]"),
        (
            format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"a","resource":{device}}}]}}"#),
            "Parameters.parameter[0].resource",
        ),
        (
            format!(
                r#"{{"resourceType":"Parameters","parameter":[{{"name":"a","part":[{{"name":"b","resource":{device}}}]}}]}}"#
            ),
            "Parameters.parameter[0].part[0].resource",
        ),
        (
            format!(
                r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"request":{{"method":"POST","url":"Bundle"}},
                "resource":{{"resourceType":"Bundle","type":"collection","entry":[{{"fullUrl":"http://a.example/Device/d",
                "resource":{device}}}]}}}}]}}"#
            ),
            "Bundle.entry[0].resource.entry[0].resource",
        ),
        (
            format!(
                r#"{{"resourceType":"Parameters","parameter":[{{"name":"a","resource":{{"resourceType":"Bundle",
                "type":"collection","entry":[{{"fullUrl":"http://a.example/Observation/o","resource":
                {{"resourceType":"Observation","id":"o",{refers},"contained":[{device}]}}}}]}}}}]}}"#
            ),
            "Parameters.parameter[0].resource.entry[0].resource.contained[0]",
        ),
    ] {
        let report = report_of(&json);
        let wanted = [("required-binding", format!("{place}.status")), ("cpt-2", format!("{place}.contact[0].system"))];
        let found: Vec<_> = errors(&report).into_iter().map(|(rule, at)| (rule, at.to_owned())).collect();
        assert_eq!(found, wanted, "{report}");
    }
}

#[test]
fn common_elements_are_checked_in_every_type() {
    for (members, rule, at) in [
        (r#""id":"a_b""#, "id", "id"),
        (r#""meta":{"lastUpdated":"yesterday"}"#, "instant", "meta.lastUpdated"),
        (r#""meta":{"profile":["http://hl7.org/fhir/StructureDefinition/Device"]}"#, "profile-type", "meta.profile[0]"),
        (r#""meta":{"profile":["http://hl7.org/fhir/StructureDefinition/bp"]}"#, "profile-type", "meta.profile[0]"),
        (r#""implicitRules":"a b""#, "uri", "implicitRules"),
        (r#""_id":["a"]"#, "max-cardinality", "_id"),
        (r#""_language":"a""#, "wrong-type", "_language"),
        (r#""_birthDate":"a""#, "wrong-type", "_birthDate"),
        (r#""name":[{"_given":[null,{"value":"a"}]}]"#, "unknown-member", "name[0]._given[1].value"),
        (r#""language":"de_DE""#, "language", "language"),
        (r#""text":{"status":"generated"}"#, "min-cardinality", "text.div"),
        (
            r#""text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'><script/></div>"}"#,
            "txt-1",
            "text.div",
        ),
        (r#""extension":[{"url":"x"}]"#, "ext-1", "extension[0]"),
        (r#""extension":[{"url":"x","valueString":"a"}]"#, "extension-url", "extension[0].url"),
        (
            r#""extension":[{"url":"http://x.example","valueQuanity":{}}]"#,
            "unknown-member",
            "extension[0].valueQuanity",
        ),
        (r#""contact":[{"extension":[{"valueString":"a"}]}]"#, "min-cardinality", "contact[0].extension[0].url"),
        (
            r#""extension":[{"url":"http://hl7.org/fhir/StructureDefinition/birthPlace","valueString":"a"}]"#,
            "extension-definition",
            "extension[0]",
        ),
        (r##""managingOrganization":{"reference":"#x"}"##, "ref-1", "managingOrganization"),
        (r#""contained":[{"resourceType":"Practitioner","id":"x"}]"#, "dom-3", "contained[0].id"),
        (r#""contained":[{"resourceType":"Practicioner"}]"#, "resource-type", "contained[0].resourceType"),
        (r#""contained":{"resourceType":"Practitioner"}"#, "wrong-type", "contained"),
    ] {
        let report = report_of(&format!(r#"{{"resourceType":"Patient",{members}}}"#));
        assert!(has(&report, rule, Severity::Error, &format!("Patient.{at}")), "{members}: {report}");
    }
    let report = report_of(r#"{"resourceType":"Binary","contentType":"text/plain","text":{"status":"empty"}}"#);
    assert!(has(&report, "unknown-member", Severity::Error, "Binary.text"), "{report}");
}

#[test]
fn parts_checked_while_read_get_the_findings_of_validation() {
    let core = "http://hl7.org/fhir/StructureDefinition";
    let narrative = |content: &str| {
        let div = format!("<div xmlns='http://www.w3.org/1999/xhtml'>{content}</div>");
        format!(r#""text":{{"status":"generated","div":"{div}"}}"#)
    };
    let mut found = 0;
    for members in [
        r#""active":true"#.to_owned(),
        narrative("<p>a</p>"),
        narrative("<ul>a</ul>"),
        narrative("<a href='#x'>a</a>"),
        r##""managingOrganization":{"reference":"#x"}"##.to_owned(),
        r#""managingOrganization":{"reference":"Organization?name=a"}"#.to_owned(),
        r#""managingOrganization":{"reference":"urn:uuid:a"}"#.to_owned(),
        r#""managingOrganization":{"reference":"Organization/1"}"#.to_owned(),
        r#""language":"de""#.to_owned(),
        r#""language":"de-""#.to_owned(),
        r#""meta":{"security":[{"system":"http://hl7.org/fhir/v3/Confidentiality","code":"x"}]}"#.to_owned(),
        format!(r#""meta":{{"profile":["{core}/Patient"]}}"#),
        format!(r#""meta":{{"profile":["{core}/Device"]}}"#),
        format!(r#""extension":[{{"url":"{core}/birthPlace","valueString":"a"}}]"#),
        r#""extension":[{"url":"http://x.example","valueString":"a"}]"#.to_owned(),
        r#""extension":[{"url":"x","valueString":"a"}]"#.to_owned(),
        r#""name":[{"extension":[{"url":"http://x.example","valueContactPoint":{"value":"1"}}]}]"#.to_owned(),
        r#""_birthDate":{"extension":[{"url":"http://x.example","valuePeriod":{"start":"2018","end":"2017"}}]}"#
            .to_owned(),
        r##""contained":[{"resourceType":"Group","id":"x"}],"link":[{"other":{"reference":"#x"}}]"##.to_owned(),
        r#""contained":[{"resourceType":"Group","id":"x"}]"#.to_owned(),
    ] {
        let patient = format!(r#"{{"resourceType":"Patient","id":"x",{members}}}"#);
        let device = format!(
            r##"{{"resourceType":"Device","contained":[{patient},{{"resourceType":"Group","id":"y"}}],"patient":{{"reference":"#x"}}}}"##
        );
        let entry = format!(r#"{{"fullUrl":"http://x.example/fhir/Patient/x","resource":{patient}}}"#);
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entry}]}}"#);
        let parameters =
            format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"a","resource":{patient}}}]}}"#);
        for document in [patient, device, bundle, parameters] {
            let reading = Resource::read(document.as_bytes(), ReadMode::Strict).unwrap();
            let validated = reading.value.validate();
            let said = |issue: &Issue| format!("{} {} at {}: {}", issue.severity, issue.rule, issue.at, issue.message);
            let mut wanted: Vec<_> = reading.report.iter().chain(validated.iter()).map(said).collect();
            let report = report_of(&document);
            let mut all: Vec<_> = report.iter().map(said).collect();
            all.sort();
            wanted.sort();
            assert_eq!(all, wanted, "{document}");
            found += all.len();
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn parts_of_core_extensions_follow_their_definitions() {
    let address = |parts: &str| {
        let core = "http://hl7.org/fhir/StructureDefinition/geolocation";
        format!(
            r#"{{"resourceType":"Patient","address":[{{"city":"Bern","extension":[{{"url":"{core}",{parts}}}]}}]}}"#
        )
    };
    let latitude = r#"{"url":"latitude","valueDecimal":46.9}"#;
    let longitude = r#"{"url":"longitude","valueDecimal":7.4}"#;
    let other = r#"{"url":"http://x.example/height","valueDecimal":540}"#;
    for accepted in [format!("{latitude},{longitude}"), format!("{other},{longitude},{latitude}")] {
        let report = report_of(&address(&format!(r#""extension":[{accepted}]"#)));
        assert!(!report.has_errors(), "{report}");
    }
    let place = "Patient.address[0].extension[0]";
    for (parts, at, said) in [
        (format!(r#""extension":[{latitude}]"#), "", "lacks the part `longitude`"),
        (format!(r#""extension":[{latitude},{longitude},{latitude}]"#), ".extension[2]", "a second time"),
        (
            format!(r#""extension":[{latitude},{longitude},{{"url":"height","valueDecimal":1}}]"#),
            ".extension[2]",
            "has a part `height`, wanted latitude, longitude",
        ),
        (
            format!(r#""extension":[{latitude},{{"url":"longitude","valueString":"7.4"}}]"#),
            ".extension[1]",
            "has a part `longitude` that has a `valueString`, wanted a value of decimal",
        ),
        (r#""valueDecimal":1"#.to_owned(), "", "has a value"),
    ] {
        let report = report_of(&address(&parts));
        let errors: Vec<_> = report.iter().filter(|issue| issue.severity == Severity::Error).collect();
        let [issue] = errors[..] else { panic!("{parts}: {report}") };
        assert_eq!((&*issue.rule, &*issue.at), ("extension-definition", &*format!("{place}{at}")), "{parts}");
        assert!(issue.message.contains(said), "{issue:?}");
    }
}

#[test]
fn parts_within_parts_and_codes_of_parts_follow_their_definitions() {
    let resource = |kind: &str, name: &str, parts: &str| {
        let core = format!("http://hl7.org/fhir/StructureDefinition/{name}");
        format!(r#"{{"resourceType":"{kind}","extension":[{{"url":"{core}","extension":[{parts}]}}]}}"#)
    };
    let date = r#"{"url":"date","valueDateTime":"2017"}"#;
    let revision = |parts: &str| {
        resource("ValueSet", "valueset-history", &format!(r#"{{"url":"revision","extension":[{parts}]}}"#))
    };
    let rest = r#"{"url":"author","valueString":"a"},{"url":"id","valueString":"1"}"#;
    let measure = |unit: &str| {
        let offset = format!(
            r#"{{"url":"offset","valueQuantity":{{"value":1,"code":"{unit}","system":"http://unitsofmeasure.org"}}}}"#
        );
        resource("Observation", "observation-eventTiming", &offset)
    };
    let instruction = |language: &str| {
        let content = r#"{"url":"content","valueString":"a"}"#;
        let parts = format!(r#"{{"url":"lang","valueCode":"{language}"}},{content}"#);
        resource("DeviceRequest", "devicerequest-patientInstruction", &parts)
    };
    let acceptance = |status: &str| {
        let individual = r#"{"url":"individual","valueReference":{"reference":"Patient/1"}}"#;
        resource("Goal", "goal-acceptance", &format!(r#"{{"url":"status","valueCode":"{status}"}},{individual}"#))
    };
    let refers = |target: &str| {
        let individual = format!(r#"{{"url":"individual","valueReference":{{"reference":"{target}"}}}}"#);
        resource("Goal", "goal-acceptance", &individual)
    };
    for (document, at) in [
        (revision(&format!("{rest},{date}")), None),
        (revision(rest), Some("ValueSet.extension[0].extension[0]")),
        (
            revision(&format!(r#"{date},{{"url":"author","valueUri":"a:b"}},{{"url":"id","valueString":"1"}}"#)),
            Some("ValueSet.extension[0].extension[0].extension[1]"),
        ),
        (
            resource("ValueSet", "valueset-history", r#"{"url":"revision","valueString":"1"}"#),
            Some("ValueSet.extension[0].extension[0]"),
        ),
        (measure("min"), None),
        (measure("m"), Some("Observation.extension[0].extension[0]")),
        (instruction("gsw-CH"), None),
        (instruction("de-"), Some("DeviceRequest.extension[0].extension[0]")),
        (acceptance("agree"), None),
        (acceptance("agreed"), Some("Goal.extension[0].extension[0]")),
        (refers("Device/1"), Some("Goal.extension[0].extension[0]")),
    ] {
        let report = report_of(&document);
        let errors: Vec<_> = errors(&report);
        assert_eq!(
            errors,
            at.map(|at| ("extension-definition", at)).into_iter().collect::<Vec<_>>(),
            "{document}: {report}"
        );
    }
}

#[test]
fn language_of_a_component_has_a_code_of_bcp_47() {
    let component = |coding: &str| {
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"t"}},"languageCode":{{{coding}}}}}"#
        );
        has(&report_of(&json), "language", Severity::Warning, "DeviceComponent.languageCode")
    };
    assert!(component(r#""coding":[{"code":"en-US"}]"#));
    assert!(component(r#""coding":[{"system":"http://x.example","code":"en-US"}],"text":"English""#));
    let registered = r#"{"system":"urn:ietf:bcp:47","code":"en-US"}"#;
    assert!(!component(&format!(r#""coding":[{{"system":"http://x.example","code":"e"}},{registered}]"#)));
    assert!(!component(r#""text":"English""#));
    assert!(!component(r#""coding":[{"display":"English"}]"#));
}

#[test]
fn documents_and_messages_begin_with_their_header() {
    let bundle = |kind: &str, resource_type: &str| {
        let id =
            r#""identifier":{"system":"urn:ietf:rfc:3986","value":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"}"#;
        report_of(&format!(
            r#"{{"resourceType":"Bundle","type":"{kind}",{id},"entry":[{{"fullUrl":"http://a.example/{resource_type}/1",
            "resource":{{"resourceType":"{resource_type}","id":"1"}}}}]}}"#
        ))
    };
    for (kind, resource_type, fits) in [
        ("document", "Composition", true),
        ("document", "Device", false),
        ("message", "MessageHeader", true),
        ("message", "Composition", false),
        ("collection", "Device", true),
    ] {
        let report = bundle(kind, resource_type);
        assert_eq!(
            !has(&report, "first-entry", Severity::Error, "Bundle.entry[0]"),
            fits,
            "{kind} {resource_type}: {report}"
        );
    }
}

#[test]
fn absolute_reference_that_is_no_uri_is_a_warning() {
    let json = |text: &str| format!(r#"{{"resourceType":"Device","patient":{{"reference":"{text}"}}}}"#);
    assert!(has(&report_of(&json("http://a.example/b c")), "reference-form", Severity::Warning, "Device.patient"));
    assert!(!report_of(&json("http://a.example/b?c")).iter().any(|issue| issue.rule == "reference-form"));
}

#[test]
fn unchecked_types_are_reported_once() {
    let json = r#"{"resourceType":"Bundle","type":"collection","entry":[
        {"fullUrl":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7","resource":{"resourceType":"Patient"}},
        {"fullUrl":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b8","resource":{"resourceType":"Patient"}},
        {"fullUrl":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b9","resource":{"resourceType":"Observation"}}]}"#;
    let report = report_of(json);
    assert_eq!(
        report.to_string(),
        "information unchecked-type at Bundle: not modelled: Observation, Patient (2); what every resource has was checked, \
            the other elements and rules of the type were not (line 1, column 1)"
    );
    assert!(!OperationOutcome::from(&report).to_json().contains("no fault"));
}

#[test]
fn text_around_modelled_parts_is_kept_verbatim() {
    let json = r##"{"resourceType" : "Patient", "text":{ "status" : "generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'>a</div>"},
        "contained" : [ {"resourceType":"Device", "id":"d" , "version": "1.50 "}, {"resourceType":"Group","id":"g","quantity":1.50 } ],
        "extension" :[{"url":"http://x.example","valueDecimal":1.500}],"link":[{"other":{"reference":"#d"}}],"a":{"reference":"#g"}}"##;
    let resource = Resource::from_json(json.as_bytes()).unwrap();
    let Resource::Other(other) = &resource else { panic!() };
    let dense: String = json.split_inclusive('"').collect();
    let compact = dense.replace("\n        ", "").replace(" : ", ":").replace(": \"", ":\"").replace(", \"", ",\"");
    let compact = compact.replace("[ {", "[{").replace("{ \"", "{\"").replace("\" ,", "\",").replace("}, {", "},{");
    let compact = compact.replace(" } ]", "}]").replace(" :[", ":[").replace("\"} ]", "\"}]");
    assert_eq!(other.as_json(), compact);
}

#[test]
fn bundle_with_unknown_entry_type_is_read_leniently() {
    let json =
        br#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"DeviceUsage","id":"1"}}]}"#;
    let reading = Resource::read(json, ReadMode::Lenient).unwrap();
    assert!(has(&reading.report, "resource-type", Severity::Warning, "Bundle.entry[0].resource.resourceType"));
    assert_eq!(reading.value.to_json().as_bytes(), json);
    assert!(Resource::read(br#"{"resourceType":"DeviceUsage"}"#, ReadMode::Lenient).is_err());
    assert!(Resource::from_json(json).is_err());
}

#[test]
fn byte_order_mark_is_skipped_with_a_warning() {
    let json = "\u{feff}{\"resourceType\":\"Device\",\n\"status\":\"x\"}";
    let report = report_of(json);
    assert!(has(&report, "byte-order-mark", Severity::Warning, "Device"));
    let status = report.iter().find(|issue| issue.rule == "required-binding").unwrap();
    assert_eq!(status.position.unwrap().to_string(), "line 2, column 10");
    let lenient = check(json.as_bytes(), ReadMode::Lenient).into_report();
    assert!(lenient.iter().all(|issue| issue.rule != "byte-order-mark"));
}

#[test]
fn conditional_reference_is_for_transactions_only() {
    let metric = |source: &str| {
        format!(
            r#"{{"resourceType":"DeviceMetric","identifier":{{"value":"m"}},"type":{{"text":"t"}},"category":"setting",
            "source":{{"reference":"{source}"}}}}"#
        )
    };
    let wrong = report_of(&metric("Patient?identifier=urn:x|1"));
    assert!(has(&wrong, "reference-target", Severity::Error, "DeviceMetric.source"), "{wrong}");
    let transaction = |kind: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{{"resource":{},"request":{{"method":"POST","url":"DeviceMetric"}}}}]}}"#,
            metric("Device?identifier=urn:x|1")
        )
    };
    assert!(report_of(&transaction("transaction")).is_empty());
    assert!(has(
        &report_of(&transaction("batch")),
        "conditional-reference",
        Severity::Warning,
        "Bundle.entry[0].resource.source"
    ));
}

#[test]
fn reference_to_an_invalid_id_is_found() {
    for text in ["Patient/a_b", "Patient/", "male", "Patient/1/2", "Patient/1/_history/a_b"] {
        let report = report_of(&format!(r#"{{"resourceType":"Device","patient":{{"reference":"{text}"}}}}"#));
        assert!(has(&report, "reference-form", Severity::Warning, "Device.patient"), "{text}: {report}");
    }
}

#[test]
fn fhir_version_hint_needs_evidence() {
    let json = r#"{"resourceType":"Bundle","type":"batch","timestamp":"2020-01-01T00:00:00Z"}"#;
    let report = report_of(json);
    assert!(has(&report, "fhir-version", Severity::Information, "Bundle"), "{report}");
    assert_eq!(errors(&report), [("unknown-member", "Bundle.timestamp")]);
}

#[test]
fn versioned_reference_is_not_linked_to_another_version() {
    use fhir_devices::Bundle;
    use fhir_devices::containment::{Profile, TreeBuilder};
    let bundle = |asked: &str| {
        Bundle::from_json(
            format!(
                r#"{{"resourceType":"Bundle","type":"collection","entry":[
                {{"fullUrl":"http://a.example/fhir/Device/1","resource":{{"resourceType":"Device","id":"1",
                "meta":{{"versionId":"2"}}}}}},{{"fullUrl":"http://a.example/fhir/DeviceComponent/m","resource":
                {{"resourceType":"DeviceComponent","id":"m","identifier":{{"value":"m"}},"type":{{"coding":
                [{{"system":"urn:iso:std:iso:11073:10101","code":"69837"}}]}},"source":{{"reference":"{asked}"}}}}}}]}}"#
            )
            .as_bytes(),
        )
        .unwrap()
    };
    let findings = |asked: &str| {
        let bundle = bundle(asked);
        TreeBuilder::new().with_bundle(&bundle).build().report(Profile::Base).to_string()
    };
    assert_eq!(findings("Device/1/_history/2"), findings("Device/1"));
    assert_ne!(findings("Device/1/_history/1"), findings("Device/1"));
}
