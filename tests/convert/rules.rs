//! Conversion of faulty documents, and of content that cannot be kept.

use crate::exact::exact;
use crate::growth::grows;
use fhir_devices::convert::{self, Loss, Options, Version, version_of};
use fhir_devices::element::MAX_DEPTH;
use fhir_devices::{Report, Resource};

fn to(version: Version, stu3: &str) -> Result<convert::Converted, Report> {
    convert::to(version, &Resource::from_json(stu3.as_bytes()).unwrap(), &Options::default())
}

fn from(version: Version, json: &str) -> Result<String, Report> {
    convert::from(version, json.as_bytes(), &Options::default()).map(|reading| reading.value.to_json())
}

fn found(report: &Report) -> Vec<(String, String)> {
    report.iter().map(|issue| (issue.rule.to_string(), issue.at.clone())).collect()
}

#[test]
fn faults_are_located_in_the_source_document() {
    for (json, rule, at) in [
        (r#"{"resourceType":"Device","deviceName":[{"name":5,"type":"other"}]}"#, "wrong-type", "Device.deviceName[0]"),
        (r#"{"resourceType":"Device","serialNumber":7}"#, "wrong-type", "Device.serialNumber"),
        (r#"{"resourceType":"Device","udiCarrier":{}}"#, "wrong-type", "Device.udiCarrier"),
        (r#"{"resourceType":"Device","deviceName":[]}"#, "wrong-type", "Device.deviceName"),
        (r#"{"resourceType":"Device","deviceName":{"name":"a","type":"other"}}"#, "wrong-type", "Device.deviceName"),
        (r#"{"resourceType":"Device","serialNumber":null}"#, "wrong-type", "Device.serialNumber"),
        (r#"{"resourceType":"Device","deviceName":[{"name":"a","typ":"other"}]}"#, "wrong-type", "Device.deviceName"),
        (r#"{"resourceType":"Device","power":"on"}"#, "unknown-member", "Device.power"),
        (r#"{"resourceType":"Device","status":"gone"}"#, "required-binding", "Device.status"),
        (r#"{"resourceType":"Device","status":"active","status":"active"}"#, "duplicate-member", "Device.status"),
        (r#"{"resourceType":"Device""#, "json", "Device"),
        ("[]", "wrong-type", "Resource"),
        ("{}", "unconverted", "Resource"),
    ] {
        let report = from(Version::R4, json).unwrap_err();
        assert!(found(&report).contains(&(rule.to_owned(), at.to_owned())), "{json}: {report}");
    }
}

#[test]
fn size_of_an_attachment_of_r5_is_a_string() {
    let with = |size: &str| {
        let attachment = format!(r#"{{"contentType":"text/plain","size":{size}}}"#);
        format!(
            r#"{{"resourceType":"Device","extension":[{{"url":"http://a.example","valueAttachment":{attachment}}}]}}"#
        )
    };
    let report = from(Version::R5, &with("3")).unwrap_err();
    assert_eq!(found(&report), [("wrong-type".to_owned(), "Device.extension[0].valueAttachment.size".to_owned())]);
    assert_eq!(from(Version::R5, &with("\"3\"")).unwrap(), with("3"));
    assert_eq!(from(Version::R4, &with("3")).unwrap(), with("3"));
}

#[test]
fn nesting_is_bounded() {
    let deep = "[".repeat(MAX_DEPTH as usize + 10);
    let report = from(Version::R5, &format!(r#"{{"resourceType":"Device","note":{deep}"#)).unwrap_err();
    assert_eq!(report.issues()[0].rule, "json-depth");
}

#[test]
fn carried_modifier_extension_needs_allow_loss() {
    let name = r#"{"name":"a","type":"other","modifierExtension":[{"url":"http://a.example","valueBoolean":true}]}"#;
    let json = format!(r#"{{"resourceType":"Device","deviceName":[{name}]}}"#);
    let report = from(Version::R4, &json).unwrap_err();
    assert_eq!(found(&report)[0], ("lost".to_owned(), "Device.deviceName.modifierExtension".to_owned()));
    let options = Options::default().allow([Loss::ModifierExtension]);
    let reading = convert::from(Version::R4, json.as_bytes(), &options).unwrap();
    assert!(!reading.report.has_errors());
    assert!(!reading.value.to_json().contains("http://a.example"));
}

#[test]
fn unsupported_value_type_needs_allow_loss() {
    let json = r#"{"resourceType":"Device","extension":[{"url":"http://a.example","valueDosage":{"text":"a"}}]}"#;
    let report = from(Version::R4, json).unwrap_err();
    assert_eq!(found(&report), [("lost".to_owned(), "Extension.valueDosage".to_owned())]);
    assert_eq!(report.issues()[0].places.as_ref().unwrap().source.as_deref(), Some("Device.extension[0].valueDosage"));
    let options = Options::default().allow(Loss::ALL);
    let reading = convert::from(Version::R4, json.as_bytes(), &options).unwrap();
    assert_eq!(reading.value.to_json(), r#"{"resourceType":"Device"}"#);

    let meta = r#"{"resourceType":"Device","extension":[{"url":"http://a.example","valueMeta":{"versionId":"1"}}]}"#;
    assert!(to(Version::R4, meta).is_ok() && to(Version::R5, meta).is_ok());
    assert!(to(Version::R4B, meta).is_err());
}

#[test]
fn device_and_component_ids_collide() {
    let bundle = |device: &str, component: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{{"resourceType":"Device","id":"{device}"}}}},
            {{"resource":{{"resourceType":"DeviceComponent","id":"{component}","identifier":{{"value":"1"}},"type":{{"text":"a"}}}}}}]}}"#
        )
    };
    let report = to(Version::R4, &bundle("x", "x")).unwrap_err();
    assert_eq!(found(&report), [("collision".to_owned(), "Bundle.entry[1]".to_owned())]);
    assert!(to(Version::R4, &bundle("x", "y")).is_ok());
    let prefixed = Options::default().ids(convert::IdPolicy::Prefix("dc-".to_owned()));
    let resource = Resource::from_json(bundle("x", "x").as_bytes()).unwrap();
    let converted = convert::to(Version::R4, &resource, &prefixed).unwrap();
    assert!(converted.json.contains(r#""id":"dc-x""#));
    assert_eq!(convert::from(Version::R4, converted.json.as_bytes(), &prefixed).unwrap().value, resource);
    let resource = Resource::from_json(bundle("dc-x", "x").as_bytes()).unwrap();
    assert!(convert::to(Version::R4, &resource, &prefixed).is_err());
}

#[test]
fn bundle_urls_follow_their_resources() {
    let json = r#"{"resourceType":"Bundle","type":"transaction","entry":[
        {"fullUrl":"http://a.example/DeviceComponent/c","resource":{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"1"},"type":{"text":"a"}},
         "request":{"method":"PUT","url":"DeviceComponent/c"}},
        {"resource":{"resourceType":"DeviceComponent","identifier":{"value":"2"},"type":{"text":"a"}},
         "request":{"method":"POST","url":"DeviceComponent","ifNoneExist":"identifier=2"}},
        {"request":{"method":"DELETE","url":"DeviceComponent/old"}},
        {"request":{"method":"DELETE","url":"Device/old"}},
        {"resource":{"resourceType":"Patient","id":"p"},"request":{"method":"PUT","url":"Patient/p"}}]}"#;
    let converted = to(Version::R4, json).unwrap();
    for wanted in [
        r#""fullUrl":"http://a.example/Device/c""#,
        r#""url":"Device/c""#,
        r#""method":"POST","url":"Device","#,
        r#"{"method":"DELETE","url":"Device/old","_url":{"extension""#,
    ] {
        assert!(converted.json.contains(wanted), "{wanted}: {}", converted.json);
    }
    assert!(found(&converted.report).contains(&("unconverted".to_owned(), "Bundle.entry[4].resource".to_owned())));
    assert_eq!(exact(&from(Version::R4, &converted.json).unwrap()), exact(json));

    let query = r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"DeviceComponent?source=Device/a"}}]}"#;
    assert_eq!(found(&to(Version::R4, query).unwrap_err())[0], ("lost".to_owned(), "Bundle.entry.request".to_owned()));
}

#[test]
fn component_reference_is_rewritten_and_kept() {
    let json = r#"{"resourceType":"Device","extension":[{"url":"http://a.example","valueReference":{"reference":"DeviceComponent/c"}}]}"#;
    let converted = to(Version::R4, json).unwrap();
    assert_eq!(found(&converted.report), [("rewritten".to_owned(), "Reference.reference".to_owned())]);
    let places = converted.report.issues()[0].places.as_ref().unwrap();
    assert_eq!(places.source.as_deref(), Some("Device.extension[0].valueReference.reference"));
    assert!(converted.json.contains(r#"{"reference":"Device/c","extension":[{"url":"http://hl7.org/fhir/3.0/"#));
    assert_eq!(exact(&from(Version::R4, &converted.json).unwrap()), exact(json));
    let edited = converted.json.replace("Device/c", "Device/d");
    assert!(from(Version::R4, &edited).unwrap().contains(r#"{"reference":"Device/d"}"#));
}

#[test]
fn edited_element_wins_over_the_carried_one() {
    let code =
        |code: &str| format!(r#"{{"coding":[{{"system":"http://hl7.org/fhir/specification-type","code":"{code}"}}]}}"#);
    let stu3 = format!(
        r#"{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"a"}},"productionSpecification":[
        {{"specType":{},"productionSpec":"S1"}},{{"specType":{},"productionSpec":"1.0"}},{{"specType":{},"productionSpec":"36347"}}]}}"#,
        code("serial-number"),
        code("software-revision"),
        code("gmdn")
    );
    let r4 = to(Version::R4, &stu3).unwrap().json;
    let read = |json: &str| convert::from(Version::R4, json.as_bytes(), &Options::default()).unwrap();
    assert_eq!(exact(&read(&r4).value.to_json()), exact(&stu3));

    let edited = read(&r4.replace(r#""serialNumber":"S1""#, r#""serialNumber":"S2""#));
    assert_eq!(exact(&edited.value.to_json()), exact(&stu3.replace("S1", "S2")));
    assert_eq!(found(&edited.report), [("edited".to_owned(), "Device.serialNumber".to_owned())]);

    let edited = read(&r4.replace(r#","value":"1.0""#, r#","value":"1.1""#));
    assert_eq!(exact(&edited.value.to_json()), exact(&stu3.replace("1.0", "1.1")));
    assert_eq!(found(&edited.report), [("edited".to_owned(), "Device.version".to_owned())]);

    let edited = read(&r4.replace(r#""serialNumber":"S1","#, ""));
    assert!(!edited.value.to_json().contains("S1"));
    assert_eq!(found(&edited.report), [("edited".to_owned(), "Device.serialNumber".to_owned())]);
}

#[test]
fn edit_of_an_ehr_document_is_written_back() {
    let r4 = r#"{"resourceType":"Device","deviceName":[{"name":"a","type":"other"},{"name":"b","type":"udi-label-name"}],"version":[{"value":"1"},{"value":"2"}]}"#;
    let stu3 = from(Version::R4, r4).unwrap();
    let edited = stu3.replace(r#""name":"b""#, r#""name":"c""#).replace(r#""version":"1""#, r#""version":"3""#);
    let converted = to(Version::R4, &edited).unwrap();
    let wanted = r4.replace(r#""b""#, r#""c""#).replace(r#"[{"value":"1"}"#, r#"[{"value":"3"}"#);
    assert_eq!(exact(&converted.json), exact(&wanted));
    assert_eq!(
        found(&converted.report),
        [("edited".to_owned(), "Device.udi.name".to_owned()), ("edited".to_owned(), "Device.version".to_owned())]
    );
}

#[test]
fn available_update_round_trips() {
    let json = r#"{"resourceType":"DeviceComponent","id":"c","extension":[{"url":"http://a.example/available-update","extension":[
        {"url":"version","valueString":"4.2.0"},{"url":"file","valueAttachment":{"contentType":"application/octet-stream","url":"http://a.example/f","size":123456,"hash":"AAEC"}}]}],
        "identifier":{"value":"1"},"type":{"text":"a"}}"#;
    for version in [Version::R4, Version::R4B, Version::R5] {
        let converted = to(version, json).unwrap().json;
        let size = if version == Version::R5 { r#""size":"123456""# } else { r#""size":123456"# };
        assert!(converted.contains(size), "{converted}");
        assert_eq!(exact(&from(version, &converted).unwrap()), exact(json));
    }
}

#[test]
fn fhir_version_is_detected() {
    for (json, version) in [
        (r#"{"resourceType":"Device","udi":{"name":"a"}}"#, Some(Version::Stu3)),
        (r#"{"resourceType":"Device","version":[{"value":"1"}]}"#, Some(Version::R4)),
        (r#"{"resourceType":"DeviceMetric","device":{"reference":"Device/a"}}"#, Some(Version::R5)),
        (r#"{"resourceType":"DeviceMetric","identifier":{"value":"1"}}"#, Some(Version::Stu3)),
        (r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Device","name":[]}}]}"#, Some(Version::R5)),
        (r#"{"resourceType":"Device"}"#, None),
        ("no JSON", None),
    ] {
        assert_eq!(version_of(json.as_bytes()), version, "{json}");
    }
}

#[test]
fn elements_of_every_row_go_where_the_mapping_says() {
    let concept =
        |code: &str| format!(r#"{{"coding":[{{"system":"http://hl7.org/fhir/operational-status","code":"{code}"}}]}}"#);
    let component = |members: &str| {
        format!(r#"{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"a"}},{members}}}"#)
    };
    let metric = |members: &str| {
        format!(
            r#"{{"resourceType":"DeviceMetric","identifier":{{"value":"1"}},"type":{{"text":"a"}},"category":"measurement"{members}}}"#
        )
    };
    let x3 = "http://hl7.org/fhir/3.0/StructureDefinition/extension-";
    let x4 = "http://hl7.org/fhir/4.0/StructureDefinition/extension-";
    let absent =
        r#"{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}"#;
    for (stu3, r4, r5) in [
        (
            r#"{"resourceType":"Device","udi":{"id":"u","name":"x","_name":{"id":"n"}}}"#.to_owned(),
            format!(r#"[{{"id":"u","extension":[{{"url":"{x3}Device.udi.name","valueString":"x"}}]}}]"#),
            format!(r#""_issuer":{absent}"#),
        ),
        (
            r#"{"resourceType":"Device","status":"unknown","_status":{"id":"s"}}"#.to_owned(),
            r#""status":"unknown","_status":{"id":"s"}"#.to_owned(),
            format!(r#""_status":{{"id":"s","extension":[{{"url":"{x4}Device.status","valueCode":"unknown"}}]}}"#),
        ),
        (
            r#"{"resourceType":"Device","_version":{"extension":[{"url":"http://a","valueCode":"a"}]}}"#.to_owned(),
            r#""version":[{"_value":{"extension":["#.to_owned(),
            r#""version":[{"_value":{"extension":["#.to_owned(),
        ),
        (
            component(&format!(r#""operationalStatus":[{}]"#, concept("on"))),
            r#"{"system":"http://terminology.hl7.org/CodeSystem/device-status-reason","code":"online"}"#.to_owned(),
            format!(r#"{{"url":"{x4}Device.statusReason","valueCodeableConcept":{{"coding":["#),
        ),
        (
            component(&format!(r#""operationalStatus":[{}]"#, concept("entered-in-error"))),
            r#""status":"entered-in-error""#.to_owned(),
            r#""status":"entered-in-error""#.to_owned(),
        ),
        (
            component(
                r#""productionSpecification":[{"specType":{"text":"x"},"componentId":{"value":"i"},"productionSpec":"1"}]"#,
            ),
            r#""version":[{"type":{"text":"x"},"component":{"value":"i"},"value":"1"}]"#.to_owned(),
            r#""version":[{"type":{"text":"x"},"component":{"value":"i"},"value":"1"}]"#.to_owned(),
        ),
        (
            component(r#""productionSpecification":[{"componentId":{"value":"i"}},{"productionSpec":"1"}]"#),
            format!(
                r#"{{"url":"{x3}DeviceComponent.productionSpecification","extension":[{{"url":"componentId","valueIdentifier":{{"value":"i"}}}}]}}"#
            ),
            r#""version":[{"value":"1"}]"#.to_owned(),
        ),
        (metric(""), r#""identifier":[{"value":"1"}]"#.to_owned(), format!(r#""device":{absent}"#)),
        (
            metric(r#","source":{"reference":"Device/a"}"#),
            r#""source":{"reference":"Device/a"}"#.to_owned(),
            r#""device":{"reference":"Device/a"}"#.to_owned(),
        ),
    ] {
        for (version, wanted) in [(Version::R4, &r4), (Version::R4B, &r4), (Version::R5, &r5)] {
            let converted = to(version, &stu3).unwrap();
            assert!(converted.json.contains(wanted.as_str()), "{version} {wanted}\n{}", converted.json);
            assert_eq!(exact(&from(version, &converted.json).unwrap()), exact(&stu3), "{version}");
        }
    }
}

#[test]
fn member_of_another_version_is_refused_with_its_place() {
    for (version, json, rule, place) in [
        (Version::R4, r#"{"resourceType":"Device","udi":{"name":"x"}}"#, "unknown-member", "Device.udi"),
        (Version::R4, r#"{"resourceType":"Device","version":"1"}"#, "wrong-type", "Device.version"),
        (
            Version::R4,
            r#"{"resourceType":"Device","_version":[{"extension":[{"url":"http://a","valueCode":"b"}]}]}"#,
            "unknown-member",
            "Device._version",
        ),
        (Version::R5, r#"{"resourceType":"Device","_type":{"id":"a"}}"#, "unknown-member", "Device._type"),
        (Version::R4, r#"{"resourceType":"Device","_patient":{"id":"a"}}"#, "unknown-member", "Device._patient"),
        (
            Version::R4,
            r#"{"resourceType":"Device","measurementPrinciple":"optical"}"#,
            "unknown-member",
            "Device.measurementPrinciple",
        ),
        (
            Version::R5,
            r#"{"resourceType":"Device","deviceName":[{"name":"a","type":"other"}]}"#,
            "unknown-member",
            "Device.deviceName",
        ),
        (Version::R5, r#"{"resourceType":"Device","definition":"x"}"#, "wrong-type", "Device.definition"),
        (
            Version::R5,
            r#"{"resourceType":"DeviceMetric","type":{"text":"a"},"category":"setting","source":{"reference":"Device/a"}}"#,
            "unknown-member",
            "DeviceMetric.source",
        ),
        (
            Version::R4,
            r#"{"resourceType":"Device","udiCarrier":[{"issuer":"http://a"},{}]}"#,
            "wrong-type",
            "Device.udiCarrier[1]",
        ),
        (
            Version::R4,
            r#"{"resourceType":"Device","udiCarrier":[{"issuer":"http://a"},null]}"#,
            "wrong-type",
            "Device.udiCarrier[1]",
        ),
        (Version::R4, r#"{"resourceType":"Device","extension":""}"#, "wrong-type", "Device.extension"),
        (
            Version::R4,
            r#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"a"}}"#,
            "unconverted",
            "DeviceComponent",
        ),
        (
            Version::R5,
            r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"DeviceComponent"}}]}"#,
            "unconverted",
            "Bundle.entry[0].resource",
        ),
    ] {
        let report = convert::from(version, json.as_bytes(), &Options::default()).unwrap_err();
        let places = |issue: &fhir_devices::Issue| issue.places.as_ref().and_then(|places| places.source.clone());
        let found = report.iter().any(|issue| issue.rule == rule && places(issue).as_deref() == Some(place));
        assert!(found, "{json}: {report:?}");
    }
}

#[test]
fn conditional_reference_to_a_component_is_one_to_a_device() {
    let json = |query: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"transaction","entry":[{{"fullUrl":"urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a",
            "resource":{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"a"}},
            "extension":[{{"url":"http://a.example","valueReference":{{"reference":"DeviceComponent?type=a"}}}}],
            "source":{{"reference":"Device?identifier=3"}},"parent":{{"reference":"DeviceComponent?{query}"}}}},
            "request":{{"method":"POST","url":"DeviceComponent"}}}},
            {{"resource":{{"resourceType":"DeviceMetric","identifier":{{"value":"1"}},"type":{{"text":"a"}},"category":"setting",
            "parent":{{"reference":"urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"}}}},"request":{{"method":"POST","url":"DeviceMetric"}}}}]}}"#
        )
    };
    let stu3 = json("identifier=2");
    for version in [Version::R4, Version::R4B, Version::R5] {
        let converted = to(version, &stu3).unwrap().json;
        assert!(converted.contains(r#""parent":{"reference":"Device?identifier=2"}"#), "{converted}");
        assert!(converted.contains(r#""valueReference":{"reference":"Device?type=a","extension""#), "{converted}");
        assert_eq!(exact(&from(version, &converted).unwrap()), exact(&stu3), "{version}");
    }
    let refused = to(Version::R4, &json("source=Device/a")).unwrap_err();
    assert!(found(&refused).contains(&("lost".to_owned(), "Reference.reference".to_owned())), "{refused}");
}

#[test]
fn deepest_document_of_stu3_comes_back() {
    // Extensions down to the deepest level that is read, in what is carried in a complex extension.
    let nested = |levels: usize| {
        let open = r#"{"url":"http://a.example","extension":["#.repeat(levels);
        format!(
            r#"{open}{{"url":"http://a.example","valueReference":{{"reference":"DeviceComponent/a"}}}}{}"#,
            "]}".repeat(levels)
        )
    };
    let levels = (MAX_DEPTH as usize - 7) / 2;
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"a"}},"productionSpecification":[
        {{"specType":{{"extension":[{}],"coding":[{{"system":"http://hl7.org/fhir/specification-type","code":"gmdn"}}]}},"productionSpec":"1"}}]}}"#,
        nested(levels)
    );
    let report = Resource::from_json(
        json.replacen("\"extension\":[", &format!("\"extension\":[{},", nested(levels + 2)), 1).as_bytes(),
    );
    assert_eq!(report.unwrap_err().issues()[0].rule, "json-depth");
    for version in [Version::R4, Version::R4B, Version::R5] {
        let converted = to(version, &json).unwrap().json;
        assert_eq!(exact(&from(version, &converted).unwrap()), exact(&json), "{version}");
    }
}

#[test]
fn checking_many_members_takes_linear_time() {
    let json = |count: usize| {
        let members: String = (0..count).map(|n| format!(r#","a{n}":[null],"_b{n}":[null]"#)).collect();
        format!(r#"{{"resourceType":"Device"{members}}}"#)
    };
    let documents = [2_000, 8_000].map(|count| (count, json(count)));
    let read = |count| {
        let (_, json) = documents.iter().find(|(of, _)| *of == count).unwrap();
        from(Version::R4, json).unwrap_err();
    };
    // Each member was held against all others once.
    grows(read, 2_000);
}

/// A Device of R4 with an extension of this decimal.
fn with_decimal(members: &str) -> String {
    format!(r#"{{"resourceType":"Device","extension":[{{"url":"http://a.example",{members}}}]}}"#)
}

#[test]
fn exponent_of_r4_comes_back_as_written() {
    for number in ["1e3", "1.50E-7", "-0.00e2", "1e400", "-2E-9999999999999999999"] {
        for version in [Version::R4, Version::R4B, Version::R5] {
            let json = with_decimal(&format!(r#""valueDecimal":{number}"#));
            let stu3 = from(version, &json).unwrap();
            assert_eq!(exact(&to(version, &stu3).unwrap().json), exact(&json), "{version} {stu3}");
        }
    }
    let reading = convert::from(
        Version::R4,
        with_decimal(r#""valueDecimal":1.5e3,"_valueDecimal":{"id":"d"}"#).as_bytes(),
        &Options::default(),
    );
    let reading = reading.unwrap();
    let written = r#""_valueDecimal":{"id":"d","extension":[{"url":"http://hl7.org/fhir/4.0/StructureDefinition/extension-decimal.value","valueString":"1.5e3"}]}"#;
    let expected = with_decimal(&format!(r#""valueDecimal":1500,{written}"#));
    assert_eq!(exact(&reading.value.to_json()), exact(&expected));
    assert_eq!(found(&reading.report), [("rewritten".to_owned(), "decimal.value".to_owned())]);
    // No integer has an exponent, in no version.
    let report = from(Version::R4, &with_decimal(r#""valueInteger":1e1"#)).unwrap_err();
    assert_eq!(found(&report)[0].1, "Device.extension[0].valueInteger");
}

#[test]
fn number_that_was_edited_in_stu3_counts() {
    let stu3 = from(Version::R4, &with_decimal(r#""valueDecimal":1.5e3"#)).unwrap().replace("1500", "1600");
    let edited = to(Version::R4, &stu3).unwrap();
    assert_eq!(exact(&edited.json), exact(&with_decimal(r#""valueDecimal":1600"#)));
    assert!(found(&edited.report).iter().any(|(rule, at)| rule == "edited" && at == "decimal.value"));
}

#[test]
fn reason_without_a_coding_of_r4_gains_none() {
    let marker = r#""meta":{"tag":[{"system":"http://hl7.org/fhir/resource-types","code":"DeviceComponent"}]}"#;
    let system = "http://hl7.org/fhir/operational-status";
    let coding = |code: &str| format!(r#"{{"coding":[{{"system":"{system}","code":"{code}"}}]}}"#);
    for (reasons, status) in [
        (coding("off"), ""),
        (coding("entered-in-error"), ""),
        (coding("entered-in-error"), r#","status":"entered-in-error""#),
        (coding("entered-in-error"), r#","status":"active""#),
        ([coding("entered-in-error"), coding("on"), coding("entered-in-error")].join(","), ""),
    ] {
        let json = format!(
            r#"{{"resourceType":"Device",{marker},"identifier":[{{"value":"1"}}],"statusReason":[{reasons}],"type":{{"text":"a"}}{status}}}"#
        );
        let stu3 = from(Version::R4, &json).unwrap();
        let back = to(Version::R4, &stu3).unwrap().json;
        let own =
            fhir_devices::primitive::CanonicalBase::default().url(fhir_devices::primitive::CanonicalName::Stu3Type);
        let own = own.to_string();
        assert_eq!(exact(&back.replace(&own, "http://hl7.org/fhir/resource-types")), exact(&json), "{stu3}");
        let again = from(Version::R4, &back).unwrap();
        assert_eq!(again, stu3);
    }
}
