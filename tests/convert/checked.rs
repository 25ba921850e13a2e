//! Documents of R4 and R5 that break the definitions of their own version, and carriers that this crate does not write.

use crate::exact::exact;
use fhir_devices::convert::{self, Options, Version};
use fhir_devices::{Report, Resource};

fn found(report: &Report) -> Vec<(String, String)> {
    report.iter().map(|issue| (issue.rule.to_string(), issue.at.clone())).collect()
}

/// Returns the faults of a document of a version.
fn faults(version: Version, json: &str) -> Vec<(String, String)> {
    let report = convert::from(version, json.as_bytes(), &Options::default()).map(|reading| reading.value.to_json());
    let report = report.expect_err(json);
    let other = if version == Version::R5 { Version::R4 } else { Version::R5 };
    let between = convert::between(version, other, json.as_bytes(), &Options::default());
    assert_eq!(found(&between.expect_err(json)), found(&report), "{json}");
    found(&report)
}

const R4: [(&str, &str, &str); 16] = [
    (r#""deviceName":[{"type":"other"}]"#, "min-cardinality", "Device.deviceName[0].name"),
    (r#""deviceName":[{"name":"a","type":"other"},{"name":"a"}]"#, "min-cardinality", "Device.deviceName[1].type"),
    (r#""deviceName":[{"name":"a","type":"registered-name"}]"#, "required-binding", "Device.deviceName[0].type"),
    (r#""specialization":[{"version":"1"}]"#, "min-cardinality", "Device.specialization[0].systemType"),
    (r#""version":[{"type":{"text":"a"}}]"#, "min-cardinality", "Device.version[0].value"),
    (r#""property":[{"valueCode":[{"text":"a"}]}]"#, "min-cardinality", "Device.property[0].type"),
    (r#""status":"gone""#, "required-binding", "Device.status"),
    (
        r#""udiCarrier":[{"entryType":"barcode"},{"entryType":"laser"}]"#,
        "required-binding",
        "Device.udiCarrier[1].entryType",
    ),
    (r#""identifier":[{"use":"new","value":"1"}]"#, "required-binding", "Device.identifier[0].use"),
    (r#""note":[{"authorReference":{"reference":"Organization/o"}}]"#, "min-cardinality", "Device.note[0].text"),
    (
        r#""extension":[{"url":"http://a.example","valueAddress":{"use":"holiday","city":"a"}}]"#,
        "required-binding",
        "Device.extension[0].valueAddress.use",
    ),
    (
        r#""extension":[{"url":"http://a.example","valueTiming":{"repeat":{"when":["HS","IMD"]}}}]"#,
        "required-binding",
        "Device.extension[0].valueTiming.repeat.when[1]",
    ),
    (
        r#""extension":[{"url":"http://a.example","valueSampledData":{"origin":{"value":0},"dimensions":1}}]"#,
        "min-cardinality",
        "Device.extension[0].valueSampledData.period",
    ),
    (
        r#""extension":[{"url":"http://a.example","valueSignature":{"type":[{"code":"a"}],"when":"2020-01-01T00:00:00Z"}}]"#,
        "min-cardinality",
        "Device.extension[0].valueSignature.who",
    ),
    (
        r##""contained":[{"resourceType":"Device","id":"c","status":"gone"}],"parent":{"reference":"#c"}"##,
        "required-binding",
        "Device.contained[0].status",
    ),
    (
        r#""meta":{"tag":[{"system":"http://hl7.org/fhir/resource-types","code":"DeviceComponent"}]},"status":"gone""#,
        "required-binding",
        "Device.status",
    ),
];

const R5: [(&str, &str, &str); 9] = [
    (r#""status":"unknown""#, "required-binding", "Device.status"),
    (r#""udiCarrier":[{"issuer":"http://a.example"}]"#, "min-cardinality", "Device.udiCarrier[0].deviceIdentifier"),
    (r#""udiCarrier":[{"deviceIdentifier":"1"}]"#, "min-cardinality", "Device.udiCarrier[0].issuer"),
    (r#""name":[{"type":"registered-name"}]"#, "min-cardinality", "Device.name[0].value"),
    (r#""name":[{"value":"a","type":"udi-label-name"}]"#, "required-binding", "Device.name[0].type"),
    (r#""conformsTo":[{"version":"1"}]"#, "min-cardinality", "Device.conformsTo[0].specification"),
    (r#""property":[{"type":{"text":"a"}}]"#, "min-cardinality", "Device.property[0].value"),
    (r#""version":[{"installDate":"2020"}]"#, "min-cardinality", "Device.version[0].value"),
    (
        r#""extension":[{"url":"http://a.example","valueSampledData":{"origin":{"value":0},"interval":1,"dimensions":1}}]"#,
        "min-cardinality",
        "Device.extension[0].valueSampledData.intervalUnit",
    ),
];

#[test]
fn document_that_breaks_the_definitions_of_its_version_is_refused() {
    for (version, rows) in [(Version::R4, &R4[..]), (Version::R4B, &R4[..]), (Version::R5, &R5[..])] {
        for (members, rule, at) in rows {
            let json = format!(r#"{{"resourceType":"Device",{members}}}"#);
            assert_eq!(faults(version, &json), [((*rule).to_owned(), (*at).to_owned())], "{json}");
        }
    }
}

#[test]
fn metric_and_bundle_are_checked_by_their_version() {
    let metric = |members: &str| format!(r#"{{"resourceType":"DeviceMetric",{members}}}"#);
    let bundle = |members: &str| format!(r#"{{"resourceType":"Bundle",{members}}}"#);
    for (version, json, rule, at) in [
        (Version::R4, metric(r#""category":"setting""#), "min-cardinality", "DeviceMetric.type"),
        (Version::R4, metric(r#""type":{"text":"a"}"#), "min-cardinality", "DeviceMetric.category"),
        (
            Version::R4,
            metric(r#""type":{"text":"a"},"category":"setting","color":"teal""#),
            "required-binding",
            "DeviceMetric.color",
        ),
        (Version::R5, metric(r#""type":{"text":"a"},"category":"setting""#), "min-cardinality", "DeviceMetric.device"),
        (
            Version::R5,
            metric(r#""type":{"text":"a"},"category":"setting","device":{"reference":"Device/a"},"color":"no colour""#),
            "required-binding",
            "DeviceMetric.color",
        ),
        (Version::R4, bundle(r#""type":"subscription-notification""#), "required-binding", "Bundle.type"),
        (
            Version::R4,
            bundle(
                r#""type":"batch","entry":[{"request":{"method":"HEAD","url":"a"}},{"request":{"method":"TAKE","url":"a"}}]"#,
            ),
            "required-binding",
            "Bundle.entry[1].request.method",
        ),
        (
            Version::R5,
            bundle(r#""type":"searchset","link":[{"relation":"of my own","url":"http://a.example"}]"#),
            "required-binding",
            "Bundle.link[0].relation",
        ),
        (
            Version::R4,
            bundle(
                r#""type":"collection","entry":[{"resource":{"resourceType":"Device","version":[{"id":"v","type":{"text":"a"}}]}}]"#,
            ),
            "min-cardinality",
            "Bundle.entry[0].resource.version[0].value",
        ),
    ] {
        assert_eq!(faults(version, &json), [(rule.to_owned(), at.to_owned())], "{json}");
    }
    let colors = r#""type":{"text":"a"},"category":"setting","device":{"reference":"Device/a"},"color":""#;
    for color in ["#12abEF", "RebeccaPurple", "red"] {
        convert::from(Version::R5, metric(&format!("{colors}{color}\"")).as_bytes(), &Options::default()).unwrap();
    }
}

#[test]
fn faults_of_the_version_and_those_of_the_model_are_told_together() {
    let json = r#"{"resourceType":"Device","deviceName":[{"type":"other"}],"status":"gone","manufactureDate":"soon"}"#;
    let mut wanted = vec![
        ("min-cardinality".to_owned(), "Device.deviceName[0].name".to_owned()),
        ("required-binding".to_owned(), "Device.status".to_owned()),
        ("dateTime".to_owned(), "Device.manufactureDate".to_owned()),
    ];
    let report = convert::from(Version::R4, json.as_bytes(), &Options::default()).unwrap_err();
    let mut found = found(&report);
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted, "{report}");
}

/// Extensions of an STU3 document with the URLs of carriers, and contents that this crate does not write.
const FORGED: [&str; 16] = [
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.serialNumber","valueCode":"a"}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.serialNumber","id":"x","valueString":"a"}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.deviceName","valueString":"a"}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.deviceName","extension":[{"url":"name","valueString":"a"}]}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.deviceName","extension":[{"url":"name","valueString":"a"},{"url":"type","valueCode":"nickname"}]}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.version","extension":[{"url":"type","valueCodeableConcept":{"text":"a"}}]}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.udiCarrier","extension":[{"url":"entryType","valueCode":"laser"}]}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.property","extension":[{"url":"valueCode","valueCodeableConcept":{"text":"a"}}]}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.specialization","extension":[{"url":"systemType","valueString":"a"}]}"#,
    r#"{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.nothing","valueString":"a"}"#,
    r#"{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-Device.displayName","valueInteger":1}"#,
    r#"{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-Device.gateway","valueString":"a"}"#,
    r#"{"url":"http://a.example","valueIdentifier":{"value":"1","_use":{"extension":[{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Identifier.use","valueCode":"official"}]}}}"#,
    r#"{"url":"http://a.example","valueIdentifier":{"value":"1","_use":{"extension":[{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Identifier.use","id":"x","valueCode":"old"},{"url":"http://b.example","valueString":"a"}]}}}"#,
    r#"{"url":"http://a.example","valueAttachment":{"url":"http://a.example","_size":{"extension":[{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-Attachment.size","valueString":"3"}]}}}"#,
    r#"{"url":"http://a.example","_valueUri":{"extension":[{"url":"http://hl7.org/fhir/4.0/StructureDefinition/BaseType","valueString":"letter"}]}}"#,
];

#[test]
fn forged_carriers_stay_and_come_back() {
    let options = Options::default();
    let all = FORGED.join(",");
    for extensions in FORGED.iter().copied().chain([&*all]) {
        for more in [r#""resourceType":"Device""#, COMPONENT] {
            let json = format!("{{{more},\"extension\":[{extensions}]}}");
            let resource = Resource::from_json(json.as_bytes()).unwrap_or_else(|report| panic!("{json}: {report}"));
            for version in [Version::R4, Version::R4B, Version::R5] {
                let there = convert::to(version, &resource, &options).unwrap_or_else(|r| panic!("{json}: {r}"));
                let back = convert::from(version, there.json.as_bytes(), &options);
                let back = back.unwrap_or_else(|report| panic!("{version} {report}\n{}", there.json));
                assert_eq!(exact(&back.value.to_json()), exact(&json), "{version} {}", there.json);
            }
        }
    }
}

const COMPONENT: &str = r#""resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"a"}"#;

#[test]
fn second_carrier_of_one_element_is_left_where_it_is() {
    let carrier = |text: &str| {
        format!(
            r#"{{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.serialNumber","valueString":"{text}"}}"#
        )
    };
    let json = format!(r#"{{"resourceType":"Device","extension":[{},{}]}}"#, carrier("1"), carrier("2"));
    let resource = Resource::from_json(json.as_bytes()).unwrap();
    let there = convert::to(Version::R4, &resource, &Options::default()).unwrap().json;
    assert!(there.contains(r#""serialNumber":"1""#) && there.contains(r#""valueString":"2""#), "{there}");
    let back = convert::from(Version::R4, there.as_bytes(), &Options::default()).unwrap().value.to_json();
    assert!(back.contains(r#""valueString":"1""#) && back.contains(r#""valueString":"2""#), "{back}");
}

#[test]
fn history_has_the_requests_and_responses_that_r4_requires() {
    let json = r#"{"resourceType":"Bundle","type":"history","entry":[
        {"fullUrl":"http://a.example/Device/d","resource":{"resourceType":"Device","id":"d"},"request":{"method":"PUT","url":"Device/d"}},
        {"fullUrl":"http://a.example/Device/e","resource":{"resourceType":"Device","id":"e"}},
        {"resource":{"resourceType":"Patient","id":"p"},"request":{"method":"PUT","url":"Patient/p"}}]}"#;
    let resource = Resource::from_json(json.as_bytes()).unwrap();
    let options = Options::default();
    let r4 = convert::to(Version::R4, &resource, &options).unwrap();
    let filled: Vec<_> = r4.report.iter().filter(|issue| issue.rule == "filled").collect();
    let places: Vec<_> = filled.iter().map(|it| it.places.as_ref().unwrap().target.clone().unwrap()).collect();
    assert_eq!(
        places,
        ["Bundle.entry[1].request", "Bundle.entry[0].response", "Bundle.entry[1].response", "Bundle.entry[2].response"]
    );
    let absent =
        r#"{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}"#;
    assert_eq!(r4.json.matches(&format!(r#""response":{{"_status":{absent}}}"#)).count(), 3, "{}", r4.json);
    let r5 = convert::to(Version::R5, &resource, &options).unwrap();
    // R5 asks for one of the two.
    assert_eq!(r5.json.matches(r#""response""#).count(), 1, "{}", r5.json);
    assert_eq!(r5.json.matches(r#""request""#).count(), 2, "{}", r5.json);
    for (version, there) in [(Version::R4, &r4), (Version::R5, &r5)] {
        let back = convert::from(version, there.json.as_bytes(), &options).unwrap();
        assert_eq!(exact(&back.value.to_json()), exact(json), "{version}");
    }
    let again = convert::between(Version::R5, Version::R4, r5.json.as_bytes(), &options).unwrap();
    assert_eq!(exact(&again.json), exact(&r4.json));

    let answer =
        r#"{"resourceType":"Bundle","type":"batch-response","entry":[{"resource":{"resourceType":"Device"}}]}"#;
    let r4 = convert::to(Version::R4, &Resource::from_json(answer.as_bytes()).unwrap(), &options).unwrap().json;
    assert!(r4.contains(r#""response":{"_status""#), "{r4}");
    let back = convert::from(Version::R4, r4.as_bytes(), &options).unwrap();
    assert_eq!(exact(&back.value.to_json()), exact(answer));
}
