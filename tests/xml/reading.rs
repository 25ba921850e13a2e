//! Accepted XML, findings, and kept content.

use crate::growth::grows;
use fhir_devices::element::{MAX_DEPTH, ReadMode};
use fhir_devices::{Bundle, Device, DeviceComponent, OperationOutcome, Report, Resource};

/// A Device with these elements.
pub(crate) fn device(content: &str) -> String {
    format!("<Device xmlns=\"http://hl7.org/fhir\">{content}</Device>")
}

/// Returns the rule, the path, the line and the column of each finding.
fn findings(report: &Report) -> Vec<(String, String, usize, usize)> {
    let place = |issue: &fhir_devices::Issue| issue.position.map_or((0, 0), |at| (at.line, at.column));
    report.iter().map(|issue| (issue.rule.to_string(), issue.at.clone(), place(issue).0, place(issue).1)).collect()
}

fn rules(xml: &str) -> Vec<(String, String)> {
    match Resource::from_xml(xml.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(report) => report.iter().map(|issue| (issue.rule.to_string(), issue.at.clone())).collect(),
    }
}

#[test]
fn every_fault_is_found_in_one_read_with_its_place() {
    let xml = "<Device xmlns=\"http://hl7.org/fhir\">\n\
        <status value=\"gone\"/>\n\
        <identifier><value value=\"1\" unit=\"x\"/></identifier>\n\
        <manufactureDate value=\"2016-02-30\"><extension><valueInteger value=\"1.5\"/></extension></manufactureDate>\n\
        <colour value=\"red\"/>\n\
        <contact>stray<rank value=\"0\"/></contact>\n\
        <contact/>\n\
        <x:model xmlns:x=\"urn:x\" value=\"a\"/>\n\
        <url id=\"u\"/>\n\
        </Device>";
    let report = Device::from_xml(xml.as_bytes()).unwrap_err();
    let expected = [
        ("required-binding", "Device.status", 2, 9),
        ("element-order", "Device.identifier", 3, 1),
        ("unknown-attribute", "Device.identifier[0].value", 3, 30),
        ("dateTime", "Device.manufactureDate", 4, 18),
        ("integer", "Device.manufactureDate.extension[0].valueInteger", 4, 62),
        ("min-cardinality", "Device.manufactureDate.extension[0].url", 4, 75),
        ("unknown-member", "Device.colour", 5, 1),
        ("unexpected-text", "Device.contact[0]", 6, 10),
        ("positiveInt", "Device.contact[0].rank", 6, 21),
        ("ele-1", "Device.contact[1]", 7, 1),
        ("element-order", "Device.model", 8, 1),
        ("namespace", "Device.model", 8, 1),
        ("ele-1", "Device.url", 10, 1),
    ];
    let mut found = findings(&report);
    found.sort_by_key(|(_, _, line, column)| (*line, *column));
    let found: Vec<_> = found.iter().map(|(rule, at, line, column)| (&**rule, &**at, *line, *column)).collect();
    assert_eq!(found, expected, "{report}");
}

#[test]
fn types_are_those_of_the_rows() {
    let xml = "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"p\"/><active value=\"true\"/><name><given value=\"a\"/>\
        <given><extension url=\"http://e.example\"><valueCode value=\"x\"/></extension></given></name>\
        <name id=\"n\"><family value=\"b\"/></name><birthDate id=\"d\"/><multipleBirthInteger value=\"2\"/>\
        <link><other><reference value=\"Patient/q\"/></other><type value=\"refer\"/></link></Patient>";
    let json = r#"{"resourceType":"Patient","id":"p","active":true,"name":[{"given":["a",null],"_given":[null,{"extension":[{"url":"http://e.example","valueCode":"x"}]}]},{"id":"n","family":"b"}],"_birthDate":{"id":"d"},"multipleBirthInteger":2,"link":[{"other":{"reference":"Patient/q"},"type":"refer"}]}"#;
    let patient = Resource::from_xml(xml.as_bytes()).unwrap();
    assert_eq!(patient.to_json(), json);
    assert_eq!(Resource::from_json(json.as_bytes()).unwrap().to_xml().unwrap(), xml);
}

#[test]
fn members_in_any_order_are_written_in_that_of_the_rows() {
    let json =
        br#"{"_birthDate":{"id":"d"},"name":[{"family":"b"}],"birthDate":"2000","resourceType":"Patient","id":"p"}"#;
    let xml = Resource::from_json(json).unwrap().to_xml().unwrap();
    assert_eq!(
        xml,
        "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"p\"/><name><family value=\"b\"/></name>\
         <birthDate value=\"2000\" id=\"d\"/></Patient>"
    );
}

#[test]
fn what_kept_types_have_of_every_resource_is_checked() {
    let patient = |content: &str| rules(&format!("<Patient xmlns=\"http://hl7.org/fhir\">{content}</Patient>"));
    let one = |rule: &str, at: &str| vec![(rule.to_owned(), at.to_owned())];
    assert_eq!(patient("<id value=\"a b\"/>"), one("id", "Patient.id"));
    assert_eq!(patient("<hair value=\"red\"/>"), one("unknown-member", "Patient.hair"));
    assert_eq!(patient("<active value=\"yes\"/>"), one("wrong-type", "Patient.active"));
    assert_eq!(patient("<birthDate value=\"2000\"/><gender value=\"male\"/>"), one("element-order", "Patient.gender"));
    assert_eq!(patient("<birthDate/>"), one("ele-1", "Patient.birthDate"));
    assert_eq!(patient("<name><given/></name>"), one("ele-1", "Patient.name[0].given[0]"));
    assert_eq!(patient("<gender value=\"male\"/><gender value=\"male\"/>"), one("duplicate-member", "Patient.gender"));
    assert_eq!(patient("<extension/>").len(), 1);
    assert_eq!(
        patient("<extension url=\"u\"><value value=\"1\"/></extension>")[0],
        one("unknown-member", "Patient.extension[0].value")[0]
    );
}

#[test]
fn text_forms_of_the_same_document_are_the_same() {
    let plain = device("<status value=\"active\"/><model value=\"a &lt;b&gt; &quot;c&quot; \u{e9}\"/>");
    let wanted = Device::from_xml(plain.as_bytes()).unwrap();
    assert_eq!(wanted.model.as_ref().unwrap().get().unwrap(), "a <b> \"c\" \u{e9}");
    for other in [
        format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n{plain}\r\n"),
        plain.replace('"', "'").replace("&quot;", "&#34;").replace('\u{e9}', "&#xe9;"),
        plain.replace("/>", " ><!-- - --></x>").replacen("</x>", "</status\n>", 1).replacen("</x>", "</model>", 1),
        format!("<?a b?><!-- c -->{}<!-- d -->", plain.replace("><", "><!-- e -->\n\t<?f?><")),
        format!(
            "<f:Device xmlns:f=\"http://hl7.org/fhir\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"http://hl7.org/fhir fhir-all.xsd\">{}</f:Device>",
            plain.split_once('>').unwrap().1.replace("</Device>", "").replace('<', "<f:")
        ),
    ] {
        assert_eq!(Device::from_xml(other.as_bytes()).map_err(|report| format!("{report}\n{other}")).unwrap(), wanted);
    }
}

#[test]
fn narratives_are_kept() {
    let narrative =
        "<div xmlns=\"http://www.w3.org/1999/xhtml\" id='a'>\n<p class=\"b\" >1 &lt; 2&#160;<br/></p><!-- c --></div>";
    let xml = device(&format!("<text><status value=\"generated\"/>{narrative}</text>"));
    let read = Device::from_xml(xml.as_bytes()).unwrap();
    assert_eq!(read.text.as_ref().unwrap().div.as_str(), narrative);
    assert_eq!(read.to_xml().unwrap(), xml);
    let prefixed = "<h:Device xmlns:h=\"http://hl7.org/fhir\" xmlns=\"http://www.w3.org/1999/xhtml\"><h:text>\
        <h:status value=\"generated\"/><div><p>a</p></div></h:text></h:Device>";
    let read = Device::from_xml(prefixed.as_bytes()).unwrap();
    assert_eq!(read.text.unwrap().div.as_str(), "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a</p></div>");
}

#[test]
fn what_belongs_to_no_document_of_fhir_is_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    for (xml, rule) in [
        (format!("{bomb}{}", device("<model value=\"&b;\"/>")), "xml-doctype"),
        (device("<model value=\"&b;\"/>"), "xml-entity"),
        (device("<text><div xmlns=\"http://www.w3.org/1999/xhtml\">&nbsp;</div></text>"), "xml-entity"),
        (device("<model value=\"&#1;\"/>"), "xml"),
        (device("<model value=\"a\">"), "xml"),
        (device("") + "<a/>", "xml"),
        (device("") + "a", "xml"),
        (String::new(), "xml"),
        ("<?xml version=\"1.0\"?>".to_owned(), "xml"),
        (format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{}", device("")), "xml-encoding"),
        (format!("<?xml version=\"1.1\"?>{}", device("")), "xml"),
        ("<Device xmlns=\"http://hl7.org/fhir\"/>".encode_utf16().map(|c| c.to_string()).collect::<String>(), "xml"),
    ] {
        let report = Resource::from_xml(xml.as_bytes()).unwrap_err();
        assert!(report.iter().any(|issue| issue.rule == rule), "{xml}: {report}");
        for mode in [ReadMode::Strict, ReadMode::Lenient] {
            assert!(Resource::read_xml(xml.as_bytes(), mode).is_err(), "{xml}");
        }
    }
}

#[test]
fn findings_before_a_fault_are_kept() {
    let report = Device::from_xml(device("<status value=\"gone\"/><model value=\"a\"").as_bytes()).unwrap_err();
    let rules: Vec<_> = report.iter().map(|issue| &*issue.rule).collect();
    assert_eq!(rules, ["required-binding", "xml"]);
}

#[test]
fn another_resource_type_is_refused() {
    let report = DeviceComponent::from_xml(device("").as_bytes()).unwrap_err();
    assert_eq!(report.issues()[0].rule, "resource-type");
    assert_eq!(rules("<Devices xmlns=\"http://hl7.org/fhir\"/>")[0].0, "resource-type");
    assert_eq!(rules("<Device/>"), [("namespace".to_owned(), "Device".to_owned())]);
    assert_eq!(rules("<Device xmlns=\"urn:x\"><status value=\"active\"/></Device>").len(), 1);
}

#[test]
fn resources_stand_in_resources() {
    let entry = |content: &str| {
        format!(
            "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"collection\"/><entry><fullUrl value=\"urn:uuid:\
             8c5d0c1c-4bd9-4b9a-9f5e-0d3a9a0c5a11\"/><resource>{content}</resource></entry></Bundle>"
        )
    };
    let bundle = Bundle::from_xml(entry("<Patient><active value=\"false\"/></Patient>").as_bytes()).unwrap();
    assert!(bundle.to_json().contains(r#""resource":{"resourceType":"Patient","active":false}"#));
    assert_eq!(Bundle::from_xml(bundle.to_xml().unwrap().as_bytes()).unwrap(), bundle);
    let rules = |content: &str| rules(&entry(content)).into_iter().map(|(rule, _)| rule).collect::<Vec<_>>();
    assert_eq!(rules("<Patient/><Patient/>"), ["max-cardinality"]);
    assert_eq!(rules("a<Patient/>"), ["unexpected-text"]);
    assert_eq!(rules(""), ["resource-type"]);
    let outcome = OperationOutcome::from(&Report::new());
    assert_eq!(OperationOutcome::from_xml(outcome.to_xml().unwrap().as_bytes()).unwrap(), outcome);
}

#[test]
fn lenient_reads_keep_what_no_definition_knows() {
    let content = "<model id=\"m\" size=\"2\" value=\"a\"/><udi><colour><red value=\"1\"/><red a=\"b\">c</red></colour></udi>\
        <hair value=\"red\"/><hair value=\"grey\"/>";
    let read = Device::read_xml(device(content).as_bytes(), ReadMode::Lenient).unwrap();
    assert!(!read.report.is_empty());
    let xml = read.value.to_xml().unwrap();
    for part in [
        "size=\"2\"",
        "<colour><red value=\"1\"/><red a=\"b\">c</red></colour>",
        "<hair value=\"red\"/><hair value=\"grey\"/>",
    ] {
        assert!(xml.contains(part), "{xml}");
    }
    assert_eq!(Device::read_xml(xml.as_bytes(), ReadMode::Lenient).unwrap().value, read.value);
    // A wrong value is kept too.
    let read = Device::read_xml(device("<status value=\"gone\"/>").as_bytes(), ReadMode::Lenient).unwrap();
    assert_eq!(read.value.to_json(), r#"{"resourceType":"Device","status":"gone"}"#);
    assert_eq!(read.value.to_xml().unwrap(), device("<status value=\"gone\"/>"));
}

#[test]
fn what_has_no_form_in_xml_is_said() {
    for (json, at) in [
        (r#"{"resourceType":"Device","model":"a\u0001"}"#, "Device.model"),
        (
            r#"{"resourceType":"Device","text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'>&nbsp;</div>"}}"#,
            "Device.text.div",
        ),
        (r#"{"resourceType":"Patient","name":{"family":"a"}}"#, "Patient.name"),
        (r#"{"resourceType":"Patient","birthDate":["2000"]}"#, "Patient.birthDate"),
        (r#"{"resourceType":"Patient","contact":[{"name":"a"}]}"#, "Patient.contact[0].name"),
        (r#"{"resourceType":"Patient","hair":3}"#, "Patient.hair"),
    ] {
        let report = Resource::from_json(json.as_bytes()).unwrap().to_xml().unwrap_err();
        let found: Vec<_> = report.iter().map(|issue| (&*issue.rule, &*issue.at)).collect();
        assert_eq!(found, [("no-xml-form", at)], "{json}");
    }
    // A value that would come back as one of another type is not written.
    for json in [
        r#""status":5"#,
        r#""status":true"#,
        r#""udi":{"carrierAIDC":1.0}"#,
        r#""contact":[{"rank":"1"}]"#,
        r#""contact":[{"rank":true}]"#,
    ] {
        let strange =
            Device::read(format!(r#"{{"resourceType":"Device",{json}}}"#).as_bytes(), ReadMode::Lenient).unwrap();
        let report = strange.value.to_xml().unwrap_err();
        assert_eq!((report.len(), &*report.issues()[0].rule), (1, "no-xml-form"), "{json}: {report}");
    }
    let strange = Device::read(br#"{"resourceType":"Device","hair":3}"#, ReadMode::Lenient).unwrap().value;
    assert_eq!(strange.to_xml().unwrap_err().issues()[0].at, "Device.hair");
}

#[test]
fn depth_is_bounded() {
    for depth in [20, 63, 64, 200, 100_000] {
        let open = "<extension url=\"http://e.example\">".repeat(depth);
        let xml = device(&format!("{open}<valueCode value=\"a\"/>{}", "</extension>".repeat(depth)));
        let read = Device::from_xml(xml.as_bytes());
        // Each extension is an array and an object in JSON.
        assert_eq!(read.is_ok(), 2 * depth < MAX_DEPTH as usize, "{depth}");
        if let Err(report) = read {
            assert!(report.iter().any(|issue| issue.rule.ends_with("-depth")), "{report}");
        }
    }
}

#[test]
fn hostile_documents_cost_no_more_than_their_length() {
    let many = |part: &dyn Fn(usize) -> String, count: usize| (0..count).map(part).collect::<String>();
    let documents = |size: usize| {
        [
            format!("<Device {}/>", many(&|i| format!("a{i}=\"1\" "), size)),
            format!("<Device {}/>", many(&|i| format!("xmlns:a{i}=\"u{i}\" "), size)),
            device(&many(&|_| "<identifier/><status value=\"active\"/>".to_owned(), size)),
            device(&many(&|i| format!("<a{i} value=\"1\"/>"), size)),
            device(&many(&|_| "<udi><name/>".to_owned(), 100)),
            device(&format!("<contact><value>{}</value></contact>", "<x value=\"1\"/>".repeat(size))),
            device(&format!("<note><text value=\"{}\"/></note>", "&#10;&amp;".repeat(size))),
            device(&format!("<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div></text>", "<b>".repeat(size))),
            format!(
            "<Bundle xmlns=\"http://hl7.org/fhir\">{}</Bundle>",
            "<entry><resource><Patient><name><given value=\"a\"/><given id=\"b\"/></name></Patient></resource></entry>"
                .repeat(size / 10)
        ),
            format!(
                "<Patient xmlns=\"http://hl7.org/fhir\"><name>{}<given id=\"a\"/></name></Patient>",
                "<given value=\"a\"/>".repeat(size)
            ),
            device(&"]".repeat(size)),
            device(&"&#93;".repeat(size)),
            device(&"<![CDATA[x]]>".repeat(size)),
            device(&"<!-- -->".repeat(size)),
        ]
    };
    let all = [4_000, 16_000].map(|size| (size, documents(size)));
    for (at, xml) in all[0].1.iter().enumerate() {
        let read = |size| {
            let (_, documents) = all.iter().find(|(of, _)| *of == size).unwrap();
            let xml = documents[at].as_bytes();
            let _ = Resource::from_xml(xml);
            if let Ok(read) = Resource::read_xml(xml, ReadMode::Lenient) {
                let _ = read.value.to_xml();
            }
        };
        let shown: String = xml.chars().take(80).collect();
        println!("{shown}");
        grows(read, 4_000);
    }
}
