//! Documents with extensions and tags of their own where a conversion writes such too, at any position.

use crate::exact::exact;
use fhir_devices::convert::{self, Options, Version};
use fhir_devices::{Resource, Severity};
use proptest::prelude::*;

const VERSIONS: [Version; 3] = [Version::R4, Version::R4B, Version::R5];

fn there_and_back(stu3: &str) {
    let resource = Resource::from_json(stu3.as_bytes()).unwrap_or_else(|report| panic!("{stu3}: {report}"));
    for version in VERSIONS {
        let there = convert::to(version, &resource, &Options::default()).unwrap();
        let back = convert::from(version, there.json.as_bytes(), &Options::default());
        let back = back.unwrap_or_else(|report| panic!("{version} {}: {report}", there.json));
        assert_eq!(back.value.to_json(), resource.to_json(), "{version} {}", there.json);
    }
}

fn back_and_there(version: Version, json: &str) {
    let reading = convert::from(version, json.as_bytes(), &Options::default());
    let reading = reading.unwrap_or_else(|report| panic!("{json}: {report}"));
    let stu3 = reading.value.to_json();
    let there = convert::to(version, &reading.value, &Options::default());
    let there = there.unwrap_or_else(|report| panic!("{stu3}: {report}"));
    assert_eq!(exact(&there.json), exact(json), "{stu3}");
}

macro_rules! url {
    ($version:literal $path:literal) => {
        concat!("http://hl7.org/fhir/", $version, "/StructureDefinition/extension-", $path)
    };
}

#[test]
fn device_with_the_marks_of_a_component_stays_a_device() {
    let changed = url!("3.0" "DeviceComponent.lastSystemChange");
    for members in [
        format!(r#""extension":[{{"url":"{changed}","valueInstant":"2017-01-01T00:00:00Z"}}]"#),
        format!(r#""extension":[{{"url":"{changed}","valueString":"no instant"}}]"#),
        format!(r#""modifierExtension":[{{"url":"{changed}","valueBoolean":true}}]"#),
        r#""meta":{"tag":[{"code":"a"},{"system":"http://hl7.org/fhir/resource-types","code":"DeviceComponent"}]}"#
            .into(),
    ] {
        let json = format!(r#"{{"resourceType":"Device",{members},"status":"active"}}"#);
        there_and_back(&json);
        let device = Resource::from_json(json.as_bytes()).unwrap();
        for version in VERSIONS {
            let report = convert::to(version, &device, &Options::default()).unwrap().report;
            let found = report.iter().filter(|it| it.rule == "collision" && it.severity == Severity::Warning);
            assert_eq!(found.count(), 1, "{report}");
        }
    }
}

#[test]
fn extensions_for_elements_of_its_own_version_come_back() {
    let component = |members: &str| {
        format!(
            r#"{{"resourceType":"DeviceComponent",{members},"identifier":{{"value":"1"}},"type":{{"text":"a"}},
            "lastSystemChange":"2018-01-01T00:00:00Z"}}"#
        )
    };
    let changed = url!("3.0" "DeviceComponent.lastSystemChange");
    let specification = url!("3.0" "DeviceComponent.productionSpecification");
    let reference = url!("3.0" "Reference.reference");
    for extensions in [
        format!(r#"{{"url":"{changed}","valueInstant":"2017-01-01T00:00:00Z"}}"#),
        format!(r#"{{"url":"{specification}","extension":[{{"url":"productionSpec","valueString":"2"}}]}}"#),
        format!(
            r#"{{"url":"http://a.example","valueReference":{{"extension":[{{"url":"{reference}","valueString":"DeviceComponent/x"}}],"reference":"Device/x"}}}}"#
        ),
        format!(
            r#"{{"url":"{}","extension":[{{"url":"{changed}","valueInstant":"2017-01-01T00:00:00Z"}}]}}"#,
            url!("3.0" "Extension")
        ),
        format!(
            r#"{{"url":"{}","valueString":"a b"}},{{"url":"b","valueString":"c"}}"#,
            url!("3.0" "Element.extension")
        ),
    ] {
        there_and_back(&component(&format!(r#""extension":[{extensions}]"#)));
    }
}

#[test]
fn extensions_of_other_versions_come_back_to_their_document() {
    let serial = url!("4.0" "Device.serialNumber");
    let changed = url!("3.0" "DeviceComponent.lastSystemChange");
    let unit = url!("3.0" "Money.unit");
    for extensions in [
        format!(r#"{{"url":"{serial}","valueString":"1"}}"#),
        format!(r#"{{"url":"{serial}","valueString":"1"}},{{"url":"http://a.example","valueString":"b"}}"#),
        format!(r#"{{"url":"{unit}","valueString":"euro"}},{{"url":"http://a.example","valueString":"b"}}"#),
        format!(r#"{{"url":"{}","valueString":"euro"}}"#, url!("5.0" "Device.displayName")),
    ] {
        back_and_there(Version::R4, &format!(r#"{{"resourceType":"Device","extension":[{extensions}]}}"#));
        back_and_there(Version::R5, &format!(r#"{{"resourceType":"Device","extension":[{extensions}]}}"#));
    }
    // The marks of a component, before and behind others.
    let carrier = format!(r#"{{"url":"{changed}","valueInstant":"2017-01-01T00:00:00Z"}}"#);
    let other = r#"{"url":"http://a.example","valueString":"b"}"#;
    let tag = r#""meta":{"tag":[{"system":"https://fhir-devices.example/none","code":"a"}]}"#;
    for extensions in [format!("{carrier},{other}"), format!("{other},{carrier}"), format!("{other},{carrier},{other}")]
    {
        let json = format!(
            r#"{{"resourceType":"Device",{tag},"extension":[{extensions}],"identifier":[{{"value":"1"}}],"type":{{"text":"a"}}}}"#
        );
        let reading = convert::from(Version::R4, json.as_bytes(), &Options::default()).unwrap();
        assert_eq!(reading.value.resource_type(), "DeviceComponent");
        let there = convert::to(Version::R4, &reading.value, &Options::default()).unwrap().json;
        assert!(there.contains(&format!(r#""extension":[{extensions}]"#)), "{there}");
    }
}

/// The extensions of a Device, its label and the parts of one of its versions, in any order.
fn shuffled() -> impl Strategy<Value = String> {
    let x4 = |path: &str| format!("http://hl7.org/fhir/4.0/StructureDefinition/extension-{path}");
    let text = |url: &str, value: &str| format!(r#"{{"url":"{url}","valueString":"{value}"}}"#);
    let of_device = vec![
        text("http://a.example", "1"),
        text("http://a.example", "2"),
        text("http://b.example", "3"),
        text(&x4("Device.serialNumber"), "4"),
        text(&x4("Device.partNumber"), "5"),
        text(&x4("Device.distinctIdentifier"), "6"),
        format!(r#"{{"url":"{}","valueCodeableConcept":{{"text":"7"}}}}"#, x4("Device.statusReason")),
        format!(r#"{{"url":"{}","valueCodeableConcept":{{"text":"8"}}}}"#, x4("Device.statusReason")),
    ];
    let parts = vec![
        text("value", "2.0"),
        text("http://a.example", "9"),
        r#"{"url":"type","valueCodeableConcept":{"text":"t"}}"#.into(),
    ];
    let of_use =
        vec![text("http://a.example", "10"), format!(r#"{{"url":"{}","valueCode":"old"}}"#, x4("Identifier.use"))];
    let mixed = |all: Vec<String>| Just(all).prop_shuffle();
    (mixed(of_device), mixed(parts), mixed(of_use), 0..9_usize).prop_map(move |(device, parts, of_use, at)| {
        let versions = format!(
            r#"{{"url":"{url}","extension":[{{"url":"value","valueString":"1.0"}}]}},{{"url":"{url}","extension":[{}]}}"#,
            parts.join(","),
            url = x4("Device.version"),
        );
        let mut all = device;
        all.insert(at, versions);
        format!(
            r#"{{"resourceType":"Device","extension":[{}],"identifier":[{{"_use":{{"extension":[{}]}},"value":"i"}}],"version":"1.0"}}"#,
            all.join(","),
            of_use.join(",")
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn carried_elements_keep_their_place_among_extensions(device in shuffled()) {
        there_and_back(&device);
    }
}

#[test]
fn codings_of_a_status_reason_keep_their_places() {
    let system = "http://terminology.hl7.org/CodeSystem/device-status-reason";
    let coding = |system: &str, code: &str| format!(r#"{{"system":"{system}","code":"{code}"}}"#);
    let extended = |extensions: &[String]| {
        format!(r#"{{"extension":[{}],"system":"{system}","code":"online"}}"#, extensions.join(","))
    };
    let mark = |is: &str| {
        format!(r#"{{"url":"{}","valueBoolean":{is}}}"#, url!("3.0" "DeviceComponent.operationalStatus.coding"))
    };
    let alone = |is: &str| format!(r#"{{"url":"{}","valueBoolean":{is}}}"#, url!("4.0" "Device.statusReason.coding"));
    let own = r#"{"url":"http://a.example","valueString":"b"}"#.to_owned();
    let codings = [
        coding("http://hl7.org/fhir/operational-status", "on"),
        coding("http://hl7.org/fhir/operational-status", "off"),
        coding("http://hl7.org/fhir/operational-status", "entered-in-error"),
        coding(system, "online"),
        coding(system, "off"),
        coding("urn:b", "c"),
        extended(&[mark("true")]),
        extended(&[mark("false")]),
        extended(&[mark("true"), mark("true")]),
        extended(std::slice::from_ref(&own)),
        extended(&[own.clone(), mark("true")]),
        extended(&[mark("true"), own]),
    ];
    let tag = r#""meta":{"tag":[{"system":"http://hl7.org/fhir/resource-types","code":"DeviceComponent"}]}"#;
    let count = codings.len();
    for number in 0..(count + 1).pow(3) {
        // Up to three of them, in every order.
        let places = [number % (count + 1), number / (count + 1) % (count + 1), number / (count + 1) / (count + 1)];
        let list: Vec<&str> = places.iter().filter_map(|place| codings.get(*place)).map(String::as_str).collect();
        if list.is_empty() || number % 7 != 0 && list.len() == 3 {
            continue;
        }
        let list = list.join(",");
        for extensions in [
            String::new(),
            format!(r#""extension":[{}],"#, alone("false")),
            format!(r#""extension":[{}],"#, alone("true")),
            format!(r#""extension":[{0},{0}],"#, alone("false")),
            format!(r#""extension":[{},{{"url":"http://a.example","valueString":"b"}}],"#, alone("false")),
        ] {
            there_and_back(&format!(
                r#"{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"a"}},"operationalStatus":[{{{extensions}"coding":[{list}]}}]}}"#
            ));
        }
        let json = |meta: &str| {
            format!(
                r#"{{"resourceType":"Device",{meta},"identifier":[{{"value":"1"}}],"statusReason":[{{"coding":[{list}]}}],"type":{{"text":"a"}}}}"#
            )
        };
        for version in [Version::R4, Version::R4B] {
            back_and_there(version, &json(tag).replace("http://hl7.org/fhir/resource-types", OURS));
            back_and_there(version, &json(r#""language":"de""#));
        }
    }
}

/// The mark of a component under the default canonical base.
const OURS: &str = "https://fhir-devices-f77498d7-a562-46ce-808d-d3f3f84c850b.invalid/CodeSystem/stu3-type";

#[test]
fn extensions_that_have_a_number_as_written_come_back() {
    let written = |text: &str| format!(r#"{{"url":"{}","valueString":"{text}"}}"#, url!("4.0" "decimal.value"));
    let own = r#"{"url":"http://a.example","valueString":"b"}"#;
    for extra in [
        format!(r#""valueDecimal":1000,"_valueDecimal":{{"extension":[{}]}}"#, written("1e3")),
        format!(r#""valueDecimal":1000,"_valueDecimal":{{"extension":[{},{own}]}}"#, written("1e3")),
        format!(r#""valueDecimal":1000,"_valueDecimal":{{"extension":[{0},{0}]}}"#, written("1e3")),
        format!(r#""valueDecimal":1000,"_valueDecimal":{{"extension":[{}]}}"#, written("1000")),
        format!(r#""valueDecimal":1000,"_valueDecimal":{{"extension":[{}]}}"#, written("01e3")),
        format!(r#""_valueDecimal":{{"id":"a","extension":[{}]}}"#, written("1e300")),
        format!(r#""valueInteger":1000,"_valueInteger":{{"extension":[{}]}}"#, written("1e3")),
        format!(r#""valueQuantity":{{"value":0.5,"_value":{{"extension":[{}]}}}}"#, written("5E-1")),
    ] {
        there_and_back(&format!(r#"{{"resourceType":"Device","extension":[{{"url":"http://b.example",{extra}}}]}}"#));
    }
}

#[test]
fn extensions_of_tags_come_back() {
    let mark = |is: &str| format!(r#"{{"url":"{}","valueBoolean":{is}}}"#, url!("3.0" "Meta.tag"));
    for tag in [
        format!(r#"{{"extension":[{}],"code":"a"}}"#, mark("true")),
        format!(r#"{{"extension":[{}],"system":"{OURS}","code":"DeviceComponent"}}"#, mark("true")),
        format!(r#"{{"extension":[{}],"system":"{OURS}","code":"DeviceComponent"}}"#, mark("false")),
        format!(r#"{{"extension":[{},{}],"system":"{OURS}","code":"DeviceComponent"}}"#, mark("true"), mark("true")),
        format!(
            r#"{{"extension":[{},{{"url":"http://a.example","valueString":"b"}}],"system":"{OURS}","code":"DeviceComponent"}}"#,
            mark("true")
        ),
    ] {
        let json = format!(r#"{{"resourceType":"Device","meta":{{"tag":[{tag}]}},"status":"active"}}"#);
        for version in VERSIONS {
            back_and_there(version, &json);
        }
        there_and_back(&json);
    }
}

#[test]
fn currency_without_a_code_comes_back() {
    let absent = r#""_currency":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}"#;
    for money in [format!(r#"{{"value":1.50,{absent}}}"#), format!("{{{absent}}}")] {
        let extension = format!(r#""extension":[{{"url":"http://a.example","valueMoney":{money}}}]"#);
        for version in VERSIONS {
            back_and_there(version, &format!(r#"{{"resourceType":"Device",{extension}}}"#));
        }
    }
}

#[test]
fn elements_like_those_that_are_filled_come_back() {
    let absent =
        r#"{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}"#;
    let tag = format!(r#""meta":{{"tag":[{{"system":"{OURS}","code":"DeviceComponent"}}]}}"#);
    let own = r#""extension":[{"url":"http://a.example","valueString":"b"}]"#;
    for (version, of) in
        [(Version::R4, absent.to_owned()), (Version::R4B, absent.to_owned()), (Version::R5, format!("[{absent}]"))]
    {
        for members in [
            format!(r#""type":{of}"#),
            format!(r#"{own},"identifier":[{absent}],"lotNumber":"7","type":{of}"#),
            format!(r#""identifier":[{absent},{{"value":"1"}}]"#),
            format!(r#""identifier":[{{"value":"1"}},{absent}]"#),
        ] {
            back_and_there(version, &format!(r#"{{"resourceType":"Device",{tag},{members}}}"#));
        }
        let metric = format!(r#""identifier":[{absent}],"type":{{"text":"a"}},"category":"setting""#);
        if version != Version::R5 {
            back_and_there(version, &format!(r#"{{"resourceType":"DeviceMetric",{metric}}}"#));
        }
    }
}

#[test]
fn extension_of_a_carrier_for_its_name_comes_back_beside_a_name() {
    let name = r#"{"url":"http://hl7.org/fhir/3.0/StructureDefinition/extension-Device.udi.name","valueString":"z"}"#;
    let own = r#"{"url":"http://a.example","valueString":"b"}"#;
    for carrier in [
        format!(r#"{{"extension":[{name},{own}]}}"#),
        format!(r#"{{"extension":[{own},{name}],"deviceIdentifier":"1"}}"#),
        format!(r#"{{"extension":[{name}],"deviceIdentifier":"1"}}"#),
    ] {
        let names = r#""deviceName":[{"name":"a","type":"udi-label-name"}]"#;
        let json = format!(r#"{{"resourceType":"Device","udiCarrier":[{carrier}],{names}}}"#);
        back_and_there(Version::R4, &json);
        back_and_there(Version::R4B, &json);
    }
}
