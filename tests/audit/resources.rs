//! The records as resources of FHIR STU3.

use super::stu3::Published;
use super::*;
use fhir_devices::Resource;
use fhir_devices::audit::{audit_event, provenance};
use fhir_devices::primitive::Base64;
use serde_json::{Value, json};

fn parsed(json: &str) -> Value {
    assert!(Resource::from_json(json.as_bytes()).is_ok(), "{json}");
    serde_json::from_str(json).unwrap()
}

fn decoded(event: &Value, detail: &str) -> Option<String> {
    let entity = event["entity"].as_array().unwrap().last().unwrap();
    let found = entity["detail"].as_array().unwrap().iter().find(|one| one["type"] == detail)?;
    let value = Base64::new(found["value"].as_str().unwrap()).unwrap();
    Some(String::from_utf8(value.decode()).unwrap())
}

#[test]
fn audit_event_has_the_contents_of_the_record() {
    let record = record_of(full());
    let event = parsed(&audit_event(&record));
    assert_eq!(event["id"], record.digest().to_string());
    assert_eq!(event["type"]["code"], "110113");
    assert_eq!(event["subtype"][0]["code"], "110131");
    assert_eq!(event["subtype"][1]["code"], "attached");
    assert_eq!((&event["action"], &event["outcome"]), (&json!("U"), &json!("0")));
    assert_eq!(event["outcomeDesc"], "the \"old\" one\\ loses alarms ✓");
    assert_eq!(event["agent"][0]["userId"]["value"], "gateway");
    assert_eq!(event["agent"][0]["requestor"], false);
    assert_eq!(event["agent"][1]["userId"]["value"], "m.jones");
    assert_eq!(event["agent"][1]["requestor"], true);
    assert_eq!(event["source"]["identifier"]["value"], "st-mary");
    assert_eq!(event["entity"][0]["reference"]["reference"], "Device/pump-7");
    assert_eq!(event["entity"][1]["reference"]["reference"], "DeviceComponent/mds-7/_history/2");
    assert_eq!(event["entity"][2]["identifier"]["value"], "00000000000000000000000000000007");
    let wanted = [
        ("index", "0"),
        ("from", "stored"),
        ("to", "attached"),
        ("reason", "withdrawn"),
        ("version", "2.4 (build 7)"),
        ("sequence", "18446744073709551615"),
        ("size", "8"),
        ("verification", "verified"),
        ("downgrade-reason", "6 loses alarms"),
        ("update", "pump/main"),
        ("downgrade-approved-by", "m.jones"),
    ];
    for (detail, value) in wanted {
        assert_eq!(decoded(&event, detail).as_deref(), Some(value), "{detail}");
    }
}

#[test]
fn audit_event_of_start_and_refusal() {
    let mut draft = plain(7, None, StateName::Closed);
    draft.action = Action::Failed;
    draft.reason = Some(UploadFailure::UploadLost);
    let event = parsed(&audit_event(&record_of((draft.clone(), gateway()))));
    assert_eq!(event["outcome"], "8");
    assert_eq!(event["agent"][0]["requestor"], true);
    draft.reason = Some(UploadFailure::DigestMismatch);
    let event = parsed(&audit_event(&record_of((draft, gateway()))));
    assert_eq!((&event["action"], &event["outcome"]), (&json!("C"), &json!("4")));
    assert_eq!(event["outcomeDesc"], "digest-mismatch");
    assert_eq!(event["entity"].as_array().unwrap().len(), 1);
    assert_eq!(decoded(&event, "from"), None);
}

#[test]
fn provenance_targets_the_version_made() {
    let record = record_of(full());
    let provenance = parsed(&provenance(&record).unwrap());
    assert_eq!(provenance["target"], json!([{"reference": "DeviceComponent/mds-7/_history/2"}]));
    assert_eq!(provenance["activity"]["code"], "UPDATE");
    assert_eq!(provenance["agent"][0]["whoReference"]["identifier"]["value"], "gateway");
    assert_eq!(provenance["agent"][0]["onBehalfOfReference"]["identifier"]["value"], "m.jones");
    let entities = provenance["entity"].as_array().unwrap();
    assert_eq!(entities[0]["whatReference"]["reference"], "DeviceComponent/mds-7/_history/1");
    assert_eq!(entities[1]["whatIdentifier"]["value"], Sha256::of(b"firmware").to_string());
    assert_eq!(entities[2]["whatIdentifier"]["value"], Sha256::of(b"manifest").to_string());
}

#[test]
fn record_without_a_version_has_no_provenance() {
    assert_eq!(provenance(&record_of((plain(7, None, StateName::Open), gateway()))), None);
    // It repeats which version it was that first had the update, and made none.
    let (mut draft, mut aside) = full();
    draft.action = Action::Superseded;
    aside.written = None;
    assert_eq!(provenance(&record_of((draft.clone(), aside.clone()))), None);
    draft.action = Action::Attached;
    assert!(provenance(&record_of((draft, aside))).is_some());
}

#[test]
fn removal_of_an_update_has_a_provenance() {
    let (mut draft, mut aside) = full();
    (draft.action, draft.component_version) = (Action::Detached, None);
    (aside.before, aside.written) = (VersionId::new(4), VersionId::new(5));
    let record = record_of((draft, aside));
    let provenance = parsed(&provenance(&record).unwrap());
    assert_eq!(provenance["target"], json!([{"reference": "DeviceComponent/mds-7/_history/5"}]));
    assert_eq!(provenance["entity"][0]["whatReference"]["reference"], "DeviceComponent/mds-7/_history/4");
    let event = parsed(&audit_event(&record));
    assert_eq!(event["entity"][1]["reference"]["reference"], "DeviceComponent/mds-7/_history/5");
}

/// Returns the faults that the published definitions find in both resources of a record.
fn faults(folder: &std::path::Path, record: &AuditRecord) -> Vec<String> {
    let mut published = Published::new(folder);
    published.resource(&parsed(&audit_event(record)));
    if let Some(provenance) = provenance(record) {
        published.resource(&parsed(&provenance));
    }
    published.faults
}

#[test]
fn audit_resources_follow_published_definitions() {
    let Some(folder) = common::corpus() else { return };
    for draft in [full(), (plain(7, None, StateName::Open), gateway())] {
        assert_eq!(faults(&folder, &record_of(draft)), Vec::<String>::new());
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    let outcome = runner.run(&records(), |record| {
        prop_assert_eq!(faults(&folder, &record), Vec::<String>::new());
        Ok(())
    });
    outcome.unwrap();
}

/// Tests the checker itself: each document has exactly one fault.
#[test]
fn published_definitions_detect_faults() {
    let Some(folder) = common::corpus() else { return };
    let whole = parsed(&audit_event(&record_of(full())));
    type Spoil = fn(&mut Value);
    let spoiled: [(Spoil, &str); 9] = [
        (|event| drop(event.as_object_mut().unwrap().remove("recorded")), "AuditEvent.recorded: missing"),
        (|event| event["recorded"] = json!("2017"), "AuditEvent.recorded: `\"2017\"` is no instant"),
        (|event| event["url"] = json!("x"), "AuditEvent.url: unknown"),
        (|event| event["outcome"] = json!("7"), "AuditEvent.outcome: `\"7\"` is not in the value set"),
        (|event| event["action"] = json!(["U"]), "AuditEvent.action: wanted the other of an array and a single value"),
        (|event| event["agent"][0]["requestor"] = json!("yes"), "AuditEvent.agent.requestor: `\"yes\"` is no boolean"),
        (
            |event| event["type"]["display"] = json!("Alert"),
            "AuditEvent.type: `{\"code\":\"110113\",\"display\":\"Alert\",\"system\":\"http://dicom.nema.org/resources/ontology/DCM\"}` has another name",
        ),
        (|event| event["source"]["identifier"]["valu"] = json!("x"), "AuditEvent.source.identifier.valu: unknown"),
        (
            |event| event["entity"][2]["detail"][0]["value"] = json!("#"),
            "AuditEvent.entity.detail.value: `\"#\"` is no base64Binary",
        ),
    ];
    for (spoil, fault) in spoiled {
        let mut event = whole.clone();
        spoil(&mut event);
        let mut published = Published::new(&folder);
        published.resource(&event);
        assert_eq!(published.faults, [fault]);
    }
}
