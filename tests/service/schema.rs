//! The written extension follows its definition in `schemas/`.

use super::*;
use fhir_devices::datatype::Extension;
use fhir_devices::manifest::IngestId;
use fhir_devices::update::UpdateFile;
use serde_json::Value;

fn definition() -> Vec<Value> {
    let text = include_str!("../../schemas/StructureDefinition-available-update.json");
    let mut definition: Value = serde_json::from_str(text).unwrap();
    assert_eq!(definition["url"], AVAILABLE_UPDATE);
    assert_eq!(definition["context"], serde_json::json!([<DeviceComponent as Stored>::TYPE.as_str()]));
    let Value::Array(elements) = definition["differential"]["element"].take() else { panic!() };
    elements
}

fn element<'d>(definition: &'d [Value], id: &str) -> &'d Value {
    definition.iter().find(|element| element["id"] == id).unwrap_or(&Value::Null)
}

/// Returns the errors of the extension by its definition, in its JSON form.
fn faults(extension: &Value) -> Vec<String> {
    let definition = definition();
    let mut faults = Vec::new();
    let mut want = |holds: bool, what: String| {
        if !holds {
            faults.push(what)
        }
    };
    want(extension["url"] == element(&definition, "Extension.url")["fixedUri"], "url".into());
    want(extension.as_object().unwrap().keys().all(|key| key == "url" || key == "extension"), "value".into());
    let parts = extension["extension"].as_array().unwrap();
    let slices: Vec<_> = definition.iter().filter(|element| element["sliceName"].is_string()).collect();
    for slice in &slices {
        let (id, name) = (slice["id"].as_str().unwrap(), slice["sliceName"].as_str().unwrap());
        let found: Vec<_> = parts.iter().filter(|part| part["url"] == name).collect();
        let (min, max) = (slice["min"].as_u64().unwrap(), slice["max"].as_str().unwrap().parse().unwrap());
        want((min..=max).contains(&(found.len() as u64)), format!("{name}: {} times", found.len()));
        assert_eq!(element(&definition, &format!("{id}.url"))["fixedUri"], name);
        let code = element(&definition, &format!("{id}.value[x]"))["type"][0]["code"].as_str().unwrap();
        let (first, rest) = code.split_at(1);
        let member = format!("value{}{rest}", first.to_uppercase());
        for part in found {
            let members: Vec<_> = part.as_object().unwrap().keys().map(String::as_str).collect();
            want(members.len() == 2 && part[&member] != Value::Null, format!("{name}: {members:?}"));
            for inner in definition.iter().filter_map(|e| Some((e, e["id"].as_str()?.strip_prefix(id)?))) {
                let Some(child) = inner.1.strip_prefix(".value[x].") else { continue };
                let there = part[&member][child] != Value::Null;
                want(there || inner.0["min"] != 1, format!("{name}.{child} is missing"));
                want(!there || inner.0["max"] != "0", format!("{name}.{child} is there"));
            }
        }
    }
    let known = parts.iter().all(|part| slices.iter().any(|slice| slice["sliceName"] == part["url"]));
    want(known, "a part that the definition does not name".into());
    faults
}

fn in_json(extension: &Extension) -> Value {
    let mut holder = component("ecg", "70662", "MDC_DEV_ECG_VMD", "");
    holder.extension.push(extension.clone());
    let mut json: Value = serde_json::from_str(&holder.to_json()).unwrap();
    json["extension"][0].take()
}

fn full() -> AvailableUpdate {
    let (url, content_type) = ("https://cdn.example/a".parse().unwrap(), "application/zip".parse().unwrap());
    let file = UpdateFile::new(url, content_type, "a.zip".parse().unwrap());
    let bytes = BlobRef { digest: Sha256::of(b"firmware"), size: u64::MAX };
    AvailableUpdate::new(IngestId(u128::MAX), bytes, file.with_creation("2017-04-19T10:00:00Z".parse().unwrap()))
        .with_version("2.4 (build 7)".parse().unwrap())
        .with_sequence(u64::MAX)
        .with_status(UpdateStatus::Withdrawn)
        .with_restored(u32::MAX)
        .with_damaged(true)
}

fn sized(size: u64) -> AvailableUpdate {
    let mut update = full();
    update.size = size;
    update
}

#[test]
fn written_extensions_follow_their_definition() {
    let mut file = full().file;
    file.creation = None;
    let bare = AvailableUpdate::new(full().id, BlobRef::of(b"firmware"), file).with_status(UpdateStatus::Withdrawn);
    for update in [full(), bare] {
        let extension = update.to_extension();
        assert_eq!(faults(&in_json(&extension)), Vec::<String>::new());
        assert_eq!(AvailableUpdate::from_extension(&extension), Ok(update));
    }
    let (_, service) = fleet();
    let received = receive(&service, to_ecg(), firmware()).unwrap();
    assert_eq!(faults(&in_json(&received.component.extension[0])), Vec::<String>::new());
}

#[test]
fn definition_detects_missing_and_wrong_parts() {
    let whole = in_json(&full().to_extension());
    for at in 0..8 {
        let mut json = whole.clone();
        let part = json["extension"].as_array_mut().unwrap().remove(at);
        let optional = ["version", "sequence", "restored"].iter().any(|url| part["url"] == *url);
        assert_eq!(faults(&json).is_empty(), optional, "{part}");
    }
    let mut json = whole;
    json["extension"][5] = serde_json::json!({"url": "size", "valueInteger": 8});
    assert_eq!(faults(&json).len(), 1);
}

#[test]
fn incomplete_extension_names_the_missing_part() {
    let whole = full().to_extension();
    for at in 0..8 {
        let mut extension = whole.clone();
        let part = extension.extension.remove(at);
        match AvailableUpdate::from_extension(&extension) {
            Ok(_) => assert!(["version", "sequence", "restored"].contains(&part.url.as_str())),
            Err(error) => assert_eq!(part.url, error.part),
        }
    }
}

#[test]
fn size_within_32_bits_is_in_the_attachment() {
    let small = in_json(&sized(2_147_483_647).to_extension());
    assert_eq!(small["extension"][6]["valueAttachment"]["size"], 2_147_483_647);
    let large = in_json(&sized(2_147_483_648).to_extension());
    assert_eq!(large["extension"][6]["valueAttachment"]["size"], Value::Null);
    assert_eq!(large["extension"][5]["valueDecimal"].to_string(), "2147483648");
}

#[test]
fn definition_is_readable_by_the_crate() {
    let text = include_bytes!("../../schemas/StructureDefinition-available-update.json");
    assert!(fhir_devices::Resource::from_json(text).is_ok());
}
