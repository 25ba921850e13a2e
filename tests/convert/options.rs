//! The options of a conversion, and round trips of documents of R4 and R5.

use crate::exact::exact;
use fhir_devices::convert::{self, CodeSystems, Components, LinkPolicy, MetricDevice, Options, Version};

/// Checks that a document of its version converts to `through` and back unchanged.
fn assert_there_and_back(json: &str, version: Version, through: Version, options: &Options) {
    let there = convert::between(version, through, json.as_bytes(), options).unwrap_or_else(|r| panic!("{json}: {r}"));
    let back = convert::between(through, version, there.json.as_bytes(), options);
    assert_eq!(exact(&back.unwrap_or_else(|r| panic!("{}: {r}", there.json)).json), exact(json), "{}", there.json);
}

const R4: [&str; 6] = [
    r#"{"resourceType":"Device","id":"d","meta":{"source":"http://a.example"},"identifier":[{"use":"old","value":"1"}],
     "definition":{"reference":"DeviceDefinition/a","type":"DeviceDefinition"},"udiCarrier":[{"id":"u","deviceIdentifier":"1","entryType":"electronic-transmission"},{"issuer":"http://a.example","carrierAIDC":"AAEC"}],
     "status":"unknown","statusReason":[{"text":"a"},{"text":"b"}],"distinctIdentifier":"d","_distinctIdentifier":{"id":"di"},
     "deviceName":[{"name":"a","type":"model-name"},{"name":"b","type":"other"},{"name":"c","type":"manufacturer-name","extension":[{"url":"http://a.example","valueCanonical":"http://b.example|1"}]}],
     "specialization":[{"id":"s","systemType":{"text":"a"},"version":"1"}],"version":[{"type":{"text":"a"},"value":"1"}],
     "property":[{"type":{"text":"p"},"valueQuantity":[{"value":1.50},{"value":2}],"valueCode":[{"text":"c"}]},{"type":{"text":"q"}}],
     "patient":{"reference":"Patient/p"},"note":[{"authorReference":{"reference":"Organization/o"},"text":"a"}],"parent":{"reference":"Device/p"}}"#,
    r#"{"resourceType":"DeviceMetric","identifier":[{"value":"1"},{"value":"2"}],"type":{"text":"a"},"source":{"reference":"Device/a"},
     "parent":{"reference":"Device/b"},"category":"measurement","measurementPeriod":{"repeat":{"when":["MORN.early","HS"],"_when":[{"id":"w"},null]}}}"#,
    r#"{"resourceType":"DeviceMetric","type":{"text":"a"},"category":"measurement"}"#,
    r#"{"resourceType":"Bundle","type":"searchset","timestamp":"2020-01-01T00:00:00Z","link":[{"relation":"of my own","url":"http://a.example"}],
     "entry":[{"fullUrl":"http://a.example/Device/a","resource":{"resourceType":"Device","id":"a","serialNumber":"1"}},
     {"resource":{"resourceType":"Patient","id":"p"}}]}"#,
    r#"{"resourceType":"Device","extension":[{"url":"http://a.example","valueMoney":{"value":1.00,"currency":"EUR"}},
     {"url":"http://b.example","valueSignature":{"type":[{"code":"a"}],"when":"2020-01-01T00:00:00Z","who":{"reference":"PractitionerRole/a"},"targetFormat":"application/fhir+xml"}},
     {"url":"http://c.example","valueSampledData":{"origin":{"value":0},"period":10,"dimensions":1}},
     {"url":"http://d.example","valueUuid":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
     {"url":"http://e.example","valueAddress":{"use":"billing","city":"a"}}]}"#,
    r##"{"resourceType":"Device","meta":{"tag":[{"system":"http://a.example","code":"DeviceComponent"}]},"contained":[{"resourceType":"Device","id":"c","partNumber":"1"}],"parent":{"reference":"#c"}}"##,
];

const R5: [&str; 5] = [
    r#"{"resourceType":"Device","id":"d","displayName":"a","definition":{"id":"x","concept":{"text":"a"},"reference":{"reference":"DeviceDefinition/a"}},
     "udiCarrier":[{"deviceIdentifier":"1","issuer":"http://a.example","entryType":"electronic-transmission"}],"availabilityStatus":{"text":"a"},
     "name":[{"value":"a","type":"registered-name","display":true},{"value":"b","type":"user-friendly-name"}],
     "category":[{"text":"a"},{"text":"b"}],"type":[{"text":"a"},{"text":"b"},{"text":"c"}],"version":[{"value":"1","installDate":"2020"}],
     "conformsTo":[{"category":{"text":"a"},"specification":{"text":"b"},"version":"1"}],
     "property":[{"type":{"text":"a"},"valueRange":{"low":{"value":1.0}}},{"type":{"text":"b"},"valueBoolean":false},{"type":{"text":"c"},"valueCodeableConcept":{"text":"d"}},
      {"type":{"text":"e"},"valueAttachment":{"contentType":"image/png","data":"AAEC","size":"3","width":10}}],
     "mode":{"text":"a"},"cycle":{"value":3},"duration":{"value":3},"endpoint":[{"reference":"Endpoint/a"}],"gateway":[{"id":"g","reference":{"reference":"Device/a"}}]}"#,
    r#"{"resourceType":"Device","definition":{"concept":{"text":"a"}}}"#,
    r#"{"resourceType":"DeviceMetric","type":{"text":"a"},"device":{"reference":"Device/a"},"color":"teal","category":"measurement","measurementFrequency":{"value":2.50,"comparator":"ad"}}"#,
    r#"{"resourceType":"Device","extension":[{"url":"http://a.example","valueAttachment":{"url":"http://a.example","size":"3000000000","pages":2}},
     {"url":"http://b.example","valueSampledData":{"origin":{"value":0},"interval":1.50,"intervalUnit":"s","dimensions":1,"codeMap":"http://a.example","offsets":"1 2"}},
     {"url":"http://c.example","valueInteger64":"9007199254740993"},{"url":"http://d.example","valueSignature":{"data":"AAEC"}},
     {"url":"http://e.example","valueTiming":{"repeat":{"when":["IMD"]}}}]}"#,
    r#"{"resourceType":"Bundle","type":"subscription-notification","link":[{"relation":"self","url":"http://a.example"}],"entry":[{"request":{"method":"PATCH","url":"Device/a"}}]}"#,
];

#[test]
fn r4_documents_round_trip() {
    for json in R4 {
        for through in [Version::Stu3, Version::R5] {
            assert_there_and_back(json, Version::R4, through, &Options::default());
        }
    }
}

#[test]
fn r5_documents_round_trip() {
    for json in R5 {
        for through in [Version::Stu3, Version::R4] {
            assert_there_and_back(json, Version::R5, through, &Options::default());
        }
    }
}

const TREE: &str = r#"{"resourceType":"Bundle","type":"collection","entry":[
    {"resource":{"resourceType":"Device","id":"mds","type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"70001"}]}}},
    {"resource":{"resourceType":"Device","id":"vmd","type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69710"}]},"parent":{"reference":"Device/mds"},"serialNumber":"1"}},
    {"resource":{"resourceType":"Device","id":"chan","type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69711"}]},"parent":{"reference":"Device/vmd"}}}]}"#;

#[test]
fn r4_tree_root_is_linked_by_source() {
    let options = Options::default().components(Components::ByLevel).links(LinkPolicy::Source);
    let stu3 = convert::from(Version::R4, TREE.as_bytes(), &options).unwrap().value;
    let json = stu3.to_json();
    assert!(json.contains(r#""source":{"reference":"Device/mds"}"#), "{json}");
    assert!(json.contains(r#""parent":{"reference":"DeviceComponent/vmd"}"#), "{json}");
    let back = convert::to(Version::R4, &stu3, &options).unwrap().json;
    assert!(back.contains(r#""parent":{"reference":"Device/mds"}"#), "{back}");
    assert_eq!(convert::from(Version::R4, back.as_bytes(), &options).unwrap().value, stu3);
    // Without the option the parent is a component that is not there.
    let plain = Options::default().components(Components::ByLevel);
    let json = convert::from(Version::R4, TREE.as_bytes(), &plain).unwrap().value.to_json();
    assert!(json.contains(r#""parent":{"reference":"DeviceComponent/mds"}"#), "{json}");
}

#[test]
fn device_of_r5_is_the_source_of_a_personal_health_device() {
    let json = r#"{"resourceType":"DeviceMetric","type":{"text":"a"},"device":{"reference":"Device/a"},"category":"measurement"}"#;
    let options = Options::default().metric_device(MetricDevice::Source);
    let stu3 = convert::from(Version::R5, json.as_bytes(), &options).unwrap().value.to_json();
    assert!(stu3.contains(r#""source":{"reference":"Device/a"}"#), "{stu3}");
    assert_there_and_back(json, Version::R5, Version::Stu3, &options);
    let stu3 = convert::from(Version::R5, json.as_bytes(), &Options::default()).unwrap().value.to_json();
    assert!(stu3.contains(r#""parent":{"reference":"DeviceComponent/a"}"#), "{stu3}");
}

#[test]
fn identifier_type_systems_round_trip() {
    let options = Options::default().code_systems(CodeSystems::Rewrite);
    for (system, code) in
        [("identifier-type", "SNO"), ("v2/0203", "MR"), ("v2/0203", "SNO"), ("identifier-type", "JHN")]
    {
        let json = format!(
            r#"{{"resourceType":"Device","identifier":[{{"type":{{"coding":[{{"system":"http://hl7.org/fhir/{system}","code":"{code}"}}]}},"value":"1"}}]}}"#
        );
        let r4 = convert::between(Version::Stu3, Version::R4, json.as_bytes(), &options).unwrap().json;
        assert!(r4.contains(r#""system":"http://terminology.hl7.org/CodeSystem/v2-0203""#), "{r4}");
        assert_there_and_back(&json, Version::Stu3, Version::R4, &options);
        assert_there_and_back(&json, Version::Stu3, Version::R5, &options);
    }
}

#[test]
fn component_tag_is_read_under_every_name() {
    for tag in [
        r#"{"system":"http://hl7.org/fhir/resource-types","code":"DeviceComponent"}"#,
        r#"{"system":"https://other.example/CodeSystem/stu3-type","code":"DeviceComponent"}"#,
    ] {
        let json = format!(
            r#"{{"resourceType":"Device","meta":{{"tag":[{tag}]}},"type":{{"text":"a"}},"identifier":[{{"value":"1"}}]}}"#
        );
        let stu3 = convert::from(Version::R4, json.as_bytes(), &Options::default()).unwrap().value.to_json();
        assert_eq!(stu3, r#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"a"}}"#);
    }
    let dropped = r#"{"resourceType":"Device","type":{"text":"a"},"identifier":[{"value":"1"}]}"#;
    let stu3 = convert::from(Version::R4, dropped.as_bytes(), &Options::default()).unwrap().value;
    assert_eq!(stu3.resource_type(), "Device");
}
