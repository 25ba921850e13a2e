//! Written documents are valid by the published schemas, and the table of elements agrees with them.

use crate::{common, corpus};
use fhir_devices::Resource;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

#[test]
fn written_xml_is_valid_by_the_schemas() {
    let Some(folder) = common::corpus() else { return };
    let found = Command::new("xmllint").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no xmllint (Debian's package libxml2-utils has it)");
        return;
    }
    let place = std::env::temp_dir().join(format!("fhir-devices-xml-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let mut files = Vec::new();
    for (index, (_, json)) in corpus::documents(&folder).iter().enumerate() {
        // libxml2 knows decimals of at most 24 digits.
        if json.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 24) {
            continue;
        }
        let file = place.join(format!("{index}.xml"));
        std::fs::write(&file, Resource::from_json(json.as_bytes()).unwrap().to_xml().unwrap()).unwrap();
        files.push(file);
    }
    let schema = folder.join("xsd/fhir-single.xsd");
    let output =
        Command::new("xmllint").args(["--nonet", "--noout", "--schema"]).arg(schema).args(&files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let faults: Vec<_> = said.lines().filter(|line| !line.ends_with(" validates")).collect();
    std::fs::remove_dir_all(&place).unwrap();
    let validated = said.lines().filter(|line| line.ends_with(" validates")).count();
    assert!(validated > 500, "{validated} documents: {said}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A complex type of the schema: its base type, whether it has a value, and its elements.
#[derive(Default)]
struct SchemaType {
    base: String,
    has_value: bool,
    /// The name, the type, whether it repeats, and the number of its choice.
    elements: Vec<(String, String, bool, Option<usize>)>,
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let found = tag.attributes().map(Result::unwrap).find(|found| found.key.as_ref() == name.as_bytes());
    found.map(|found| String::from_utf8(found.value.into_owned()).unwrap()).unwrap_or_default()
}

fn schema_types(schema: &str) -> BTreeMap<String, SchemaType> {
    let mut types = BTreeMap::<String, SchemaType>::new();
    let (mut name, mut choice, mut choices) = (String::new(), None, 0);
    let mut events = Reader::from_str(schema);
    loop {
        let event = events.read_event().unwrap();
        let (tag, is_end) = match &event {
            Event::Start(tag) | Event::Empty(tag) => (Some(tag), false),
            Event::End(_) => (None, true),
            Event::Eof => return types,
            _ => continue,
        };
        if is_end {
            let Event::End(end) = &event else { continue };
            match end.name().as_ref() {
                b"xs:complexType" => name.clear(),
                b"xs:choice" => choice = None,
                _ => {}
            }
            continue;
        }
        let Some(tag) = tag else { continue };
        if tag.name().as_ref() == b"xs:complexType" {
            name = attribute(tag, "name");
            types.entry(name.clone()).or_default();
            continue;
        }
        let Some(found) = types.get_mut(&name) else { continue };
        match tag.name().as_ref() {
            b"xs:extension" | b"xs:restriction" => found.base = attribute(tag, "base"),
            b"xs:attribute" if attribute(tag, "name") == "value" => found.has_value = true,
            b"xs:choice" => {
                choices += 1;
                choice = Some(choices);
            }
            b"xs:element" if !attribute(tag, "name").is_empty() => {
                let repeats = attribute(tag, "maxOccurs") == "unbounded";
                found.elements.push((attribute(tag, "name"), attribute(tag, "type"), repeats, choice));
            }
            _ => {}
        }
    }
}

/// Returns the table's word for a type: the JSON form of a primitive, the name of any other.
fn word(types: &BTreeMap<String, SchemaType>, of: &str) -> String {
    match (of, types.get(of)) {
        ("ResourceContainer", _) => "Resource".to_owned(),
        ("boolean", _) => "boolean".to_owned(),
        ("integer" | "decimal" | "positiveInt" | "unsignedInt", _) => "number".to_owned(),
        (_, Some(found)) if found.has_value => "text".to_owned(),
        _ => of.to_owned(),
    }
}

#[test]
fn element_table_says_what_the_schema_says() {
    let Some(folder) = common::corpus() else { return };
    let types = schema_types(&std::fs::read_to_string(folder.join("xsd/fhir-single.xsd")).unwrap());
    let table: BTreeMap<&str, &str> =
        include_str!("../../src/xml/elements.txt").lines().map(|line| line.split_once(' ').unwrap()).collect();
    let mut expected = BTreeMap::new();
    for (name, found) in &types {
        if found.has_value || !matches!(&*found.base, "DomainResource" | "Resource" | "BackboneElement" | "Element") {
            continue;
        }
        let mut words = vec![found.base.clone()];
        let mut of_any = BTreeSet::new();
        for (element, of, repeats, choice) in &found.elements {
            let in_choice = found.elements.iter().filter(|other| choice.is_some() && other.3 == *choice).count();
            if in_choice < 30 {
                words.push(format!("{element}{}{}", if *repeats { '*' } else { ':' }, word(&types, of)));
            } else if of_any.insert(*choice) {
                // A value of any type: the name before the type.
                let upper = element.rfind(|c: char| c.is_ascii_uppercase() && element.ends_with("Binary")).unwrap_or(0);
                let end = element.find("Base64").unwrap_or(upper);
                words.push(format!("{}[x]:any", &element[..end]));
            }
        }
        expected.insert(name.as_str(), words.join(" "));
    }
    // The types that are declared in Rust are held to the published definitions elsewhere.
    let is_declared = |name: &str| !table.contains_key(name);
    let declared: Vec<_> =
        expected.keys().filter(|name| is_declared(name)).map(|name| name.split('.').next().unwrap()).collect();
    let of_crate = "Address Age Annotation Attachment BackboneElement Bundle CodeableConcept Coding ContactPoint Count Device DeviceComponent \
        DeviceMetric Distance DomainResource Duration Extension HumanName Identifier Meta Money Narrative OperationOutcome Period \
        Quantity Range Ratio Reference SampledData Signature Timing";
    let unknown: Vec<_> =
        declared.iter().filter(|name| !of_crate.split_whitespace().any(|known| known == **name)).collect();
    assert!(unknown.is_empty(), "the table lacks {unknown:?}");
    for (name, row) in &table {
        assert_eq!(Some(*row), expected.get(name).map(String::as_str), "{name}");
    }
}
