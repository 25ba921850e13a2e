//! The rules: for each a document that breaks it alone, and one that keeps it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

mod common;
#[path = "validation/fixtures.rs"]
mod fixtures;

use fixtures::{TOGETHER, bundle, component, device, fixtures, metric, outcome, value};

use fhir_devices::code::{BundleType, MetricCategory, ValueSet};
use fhir_devices::datatype::{CodeableConcept, Coding, Extension, Identifier, Primitive, Reference, target};
use fhir_devices::element::{Definition, Element, ReadMode};
use fhir_devices::issue::IssueType;
use fhir_devices::primitive::{Text, Uri};
use fhir_devices::resource::bundle::{Entry, Link};
use fhir_devices::validate::{Rule, Strength, Validator, check, check_by};
use fhir_devices::{
    Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Report, Resource, Severity, Valid, Validate,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Returns the definitions reachable from the five resources, by path.
fn reached() -> BTreeMap<&'static str, &'static Definition> {
    let mut open: Vec<&'static Definition> = vec![
        Device::definition(),
        DeviceComponent::definition(),
        DeviceMetric::definition(),
        Bundle::definition(),
        OperationOutcome::definition(),
    ];
    let mut reached = BTreeMap::new();
    while let Some(definition) = open.pop() {
        if reached.insert(definition.path, definition).is_none() {
            let types = definition.rows.iter().flat_map(|row| (row.types)());
            open.extend(types.filter_map(|one| one.definition).map(|definition| definition()));
        }
    }
    reached
}

/// Returns every rule in the tables reachable from the five resources, with the path of its type.
fn rules() -> BTreeMap<(&'static str, &'static str), &'static str> {
    let rules = |definition: &'static Definition| definition.rules.iter().map(|rule| (definition.path, rule));
    reached().into_values().flat_map(rules).map(|(path, rule)| ((path, rule.key), rule.message)).collect()
}

fn report_of(json: &str) -> Report {
    let resource = Resource::from_json(json.as_bytes()).unwrap_or_else(|report| panic!("{json}\n{report}"));
    checked(resource.validate())
}

/// Removes the finding that names the unchecked types, which has a test of its own.
fn checked(report: Report) -> Report {
    report.into_iter().filter(|issue| issue.rule != "unchecked-type").collect()
}

/// Keeps the findings about the rules of the specification, whose fixtures are minimal.
fn of_rules(report: Report) -> Report {
    checked(report).into_iter().filter(|issue| !["full-url", "search-id"].contains(&&*issue.rule)).collect()
}

#[test]
fn rules_and_fixtures_match() {
    let with: BTreeSet<_> = fixtures().iter().map(|one| (one.path, one.rule)).collect();
    let together: BTreeSet<_> = TOGETHER.iter().map(|(path, rule, _)| (*path, *rule)).collect();
    assert_eq!(rules().into_keys().collect::<BTreeSet<_>>(), with.union(&together).copied().collect());
    assert!(with.is_disjoint(&together));
    assert!(fixtures().iter().all(|one| !one.breaks.is_empty() && !one.keeps.is_empty()));
}

/// The rules whose findings name the entries, the values, the resources and the references that break them.
const SAID_WITH_SUBJECTS: [&str; 24] = [
    "bdl-1", "bdl-2", "bdl-3", "bdl-4", "bdl-5", "bdl-7", "bdl-8", "bdl-9", "dom-1", "dom-2", "dom-3", "dom-4",
    "per-1", "ref-1", "rng-2", "tim-1", "tim-10", "tim-2", "tim-4", "tim-5", "tim-6", "tim-7", "tim-8", "tim-9",
];

#[test]
fn document_breaking_one_rule_has_one_issue() {
    let (mut wrong, mut snapshot, mut messages) = (String::new(), String::new(), BTreeMap::new());
    for one in fixtures() {
        for json in &one.breaks {
            let report = of_rules(report_of(json));
            let found: Vec<_> = report.iter().map(|issue| &*issue.rule).collect();
            if found != [one.rule] {
                writeln!(wrong, "{} of {} in {json}\n{report}", one.rule, one.path).unwrap();
                continue;
            }
            let issue = &report.issues()[0];
            assert_eq!((issue.severity, issue.kind), (Severity::Error, IssueType::Invariant), "{issue}");
            if !SAID_WITH_SUBJECTS.contains(&one.rule) {
                assert_eq!(issue.message, rules()[&(one.path, one.rule)]);
            }
            if json == &one.breaks[0] {
                assert!(issue.at.ends_with(one.at), "{issue} is not at {}", one.at);
            }
            assert!(check(json.as_bytes(), ReadMode::Strict).into_report().has_errors());
            messages.entry((one.path, one.rule)).or_insert_with(|| issue.to_string());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    for ((path, _), message) in messages {
        writeln!(snapshot, "{path}: {message}").unwrap();
    }
    insta::assert_snapshot!(snapshot);
}

#[test]
fn valid_document_has_no_issues() {
    for one in fixtures() {
        for json in &one.keeps {
            assert_eq!(of_rules(report_of(json)).to_string(), "", "{} of {} in {json}", one.rule, one.path);
            assert_eq!(of_rules(check(json.as_bytes(), ReadMode::Strict).into_report()).to_string(), "");
        }
    }
}

#[test]
fn duration_without_system_breaks_two_rules() {
    let report = report_of(&value("Duration", r#""value":1,"code":"h""#));
    assert_eq!(report.iter().map(|issue| &*issue.rule).collect::<Vec<_>>(), ["qty-3", "drt-1"]);
}

// --------------------------------------------------------------------------- rules of our own, that no table has

#[test]
fn extension_url_is_absolute() {
    let of =
        |url: &str| report_of(&device(&format!(r#""extension":[{{"url":"{url}","valueString":"a"}}]"#))).to_string();
    insta::assert_snapshot!(of("hours"), @"error extension-url at Device.extension[0].url: `hours` is not the address of an extension, wanted an absolute URL that is not a urn");
    assert_ne!(of("urn:oid:1.2"), "");
    for url in ["/a:b", "a/b:c"] {
        assert_ne!(of(url), "", "{url}");
    }
    // The first part of a relative path has no colon (RFC 3986, section 4.2).
    for url in ["1a:b", "a%20:b", ":b"] {
        let json = device(&format!(r#""extension":[{{"url":"{url}","valueString":"a"}}]"#));
        assert!(Device::from_json(json.as_bytes()).unwrap_err().to_string().contains("error uri"), "{url}");
    }
    assert_eq!(of("https://x.example/a"), "");
    let part = device(r#""extension":[{"url":"http://x.example","extension":[{"url":"a","valueString":"b"}]}]"#);
    assert_eq!(report_of(&part).to_string(), "");
}

#[test]
fn local_reference_has_the_right_type() {
    let json = device(r##""contained":[{"resourceType":"Patient","id":"a"}],"owner":{"reference":"#a"}"##);
    insta::assert_snapshot!(report_of(&json), @"error reference-target at Device.owner: the contained resource `#a` is a Patient, wanted Organization");
    assert_eq!(report_of(&json.replace("owner", "patient")).to_string(), "");
}

fn concept() -> CodeableConcept {
    CodeableConcept::text("t").unwrap()
}

#[test]
fn missing_element_of_a_built_value_is_reported() {
    let mut metric = DeviceMetric::new(Identifier::default(), concept(), MetricCategory::Setting);
    metric.category = Primitive::default();
    metric.calibration.push(Default::default());
    metric.color = Some(Primitive::default());
    metric.measurement_period = Some(Default::default());
    metric.extension.push(Extension::complex(Uri::new("http://x.example").unwrap(), Vec::new()));
    metric.source = Some(Reference::<target::Device>::default());
    insta::assert_snapshot!(metric.validate());

    let mut bundle = Bundle::new(BundleType::Collection);
    bundle.entry.push(Entry::default());
    bundle.link.push(Link::new(Text::new("self").unwrap(), Uri::new("a").unwrap()));
    bundle.link[0].relation = Primitive::default();
    insta::assert_snapshot!("what_a_program_left_out_of_a_bundle_is_named", bundle.validate());

    let outcome = OperationOutcome::from(&Report::new());
    assert!(Valid::new(outcome.clone()).is_ok());
    let empty = OperationOutcome { issue: Vec::new(), ..outcome };
    insta::assert_snapshot!(Valid::new(empty).unwrap_err(), @"error min-cardinality at OperationOutcome.issue: `issue` is missing, wanted at least one");
}

/// Also without a text whose positions could order them.
#[test]
fn unreferenced_contained_resource_is_located() {
    let contained = |id: &str| format!(r#"{{"resourceType":"Device","id":"{id}","contact":[{{"value":"1"}}]}}"#);
    let json = device(&format!(
        r##""contained":[{},{},{{"resourceType":"Patient","id":"c"}},{}],"contact":[{{"value":"1"}}],
        "extension":[{{"url":"http://x.example","valueReference":{{"reference":"#b"}}}}]"##,
        contained("a"),
        contained("b"),
        contained("d"),
    ));
    let found = report_of(&json).into_iter().map(|issue| format!("{} {}", issue.rule, issue.at)).collect::<Vec<_>>();
    assert_eq!(
        found,
        [
            "dom-3 Device.contained[0].id",
            "cpt-2 Device.contained[0].contact[0].system",
            "cpt-2 Device.contained[1].contact[0].system",
            "dom-3 Device.contained[2].id",
            "dom-3 Device.contained[3].id",
            "cpt-2 Device.contained[3].contact[0].system",
            "cpt-2 Device.contact[0].system",
        ]
    );
}

/// A lenient read returns a narrative without its text, with no other issue.
#[test]
fn narrative_without_div_has_one_issue() {
    let json = device(r#""text":{"status":"generated"}"#);
    let reading = Device::read(json.as_bytes(), ReadMode::Lenient).unwrap();
    let report = reading.value.validate();
    insta::assert_snapshot!(report, @"error min-cardinality at Device.text.div: `div` is missing, wanted at least one");
}

#[test]
fn validator_debug_lists_its_rules() {
    let shown = format!("{:?}", Validator::new().udi());
    assert!(shown.contains("udi: true") && shown.contains("unchecked_codes: false"), "{shown}");
}

#[test]
fn valid_into_inner_returns_the_value() {
    let metric =
        DeviceMetric::new(Identifier::new("http://x.example", "1").unwrap(), concept(), MetricCategory::Setting);
    let valid = Valid::new(metric.clone()).unwrap();
    assert_eq!(valid.category, metric.category);
    assert_eq!(valid.into_inner(), metric);
}

// -------------------------------------------------------------------------------------------- reading and the rules

#[test]
fn rules_are_skipped_where_reading_failed() {
    let both = device(r#""contact":[{"system":"web","value":"1"},{"value":"2"}],"status":"gone""#);
    let checked = check(both.as_bytes(), ReadMode::Strict);
    insta::assert_snapshot!(checked.report());
    assert!(checked.resource().is_some());
    let broken = check(b"{", ReadMode::Lenient);
    assert!(broken.resource().is_none() && broken.report().has_errors());
}

/// Whatever other faults there are, and wherever the document is of another version.
#[test]
fn other_fhir_version_is_reported_once_and_first() {
    let first = |json: &str| {
        let report = check(json.as_bytes(), ReadMode::Strict).into_report();
        assert_eq!(report.iter().filter(|issue| issue.rule == "fhir-version").count(), 1, "{report}");
        let issue = &report.issues()[0];
        let version = issue.message.split(' ').find(|word| matches!(*word, "R4," | "R5," | "DSTU2,"));
        format!("{} {} {}", issue.rule, issue.at, version.unwrap_or_default().trim_end_matches(','))
    };
    let r4 = r#""modelNumber":"a""#;
    let wrong = r#""contact":[{"value":"1"}]"#;
    for (json, wanted) in [
        (device(&format!("{wrong},{r4}")), "Device R4"),
        (bundle("collection", &format!(r#""total":1,"entry":[{{"resource":{}}}]"#, device(r4))), "Bundle R4"),
        (device(&format!(r#""contained":[{}]"#, device(r4))), "Device R4"),
        (device(r#""owner":{"reference":"Organization/1","type":"Organization"}"#), "Device R4"),
        (device(r#""extension":[{"url":"http://x.example","valueUrl":"http://x.example"}]"#), "Device R4"),
        (device(r#""type":[{"text":"a"}],"displayName":"a""#), "Device R5"),
        (device(r#""status":"available","contact":[{"value":"1"}]"#), "Device DSTU2"),
        (r#"{"resourceType":"DeviceDefinition"}"#.to_owned(), "Resource R4"),
        (bundle("collection", r#""entry":[{"resource":{"resourceType":"DeviceUseRequest"}}]"#), "Bundle DSTU2"),
    ] {
        assert_eq!(first(&json), format!("fhir-version {wanted}"), "{json}");
    }
}

/// A fault at the path of a rule, above it or below it, and no other.
#[test]
fn rule_without_a_known_subject_is_skipped() {
    let extension = |members: &str| device(&format!(r#""extension":[{{{members}}}]"#));
    for (json, wanted) in [
        // At the place, above it, below it, in an item of it.
        (device(r#""contact":[{"system":"web","value":"1"}]"#), vec!["required-binding"]),
        (extension(r#""url":"a","valueString":"b","valueCode":"c""#), vec!["choice"]),
        (extension(r#""url":"http://x.example","valueCode":" ""#), vec!["code"]),
        (r#"{"resourceType":"OperationOutcome","issue":[{}]}"#.to_owned(), vec!["ele-1"]),
        // Beside it, and below the root, where all is.
        (device(r#""contact":[{"system":"web","value":"1"},{"value":"2"}]"#), vec!["required-binding", "cpt-2"]),
        (
            device(r#""contact":[{"rank":0},{"value":"2"}],"contacts":1"#),
            vec!["positiveInt", "cpt-2", "unknown-member"],
        ),
        (bundle("collection", r#""total":1,"link":[{}]"#), vec!["bdl-1", "ele-1"]),
    ] {
        let report = check(json.as_bytes(), ReadMode::Strict).into_report();
        assert_eq!(report.iter().map(|issue| issue.rule.as_ref()).collect::<Vec<_>>(), wanted, "{json}\n{report}");
    }
}

/// For a bundle of unknown type, the applicable rules are unknown.
#[test]
fn bundle_without_type_breaks_no_type_rule() {
    for entry in
        [r#""entry":[{"request":{"method":"GET","url":"a"}}]"#, r#""total":1"#, r#""identifier":{"value":"1"}"#]
    {
        let report = check(bundle("pile", entry).as_bytes(), ReadMode::Strict).into_report();
        let rules: Vec<_> = report.iter().map(|issue| issue.rule.as_ref()).collect();
        assert_eq!(rules, ["required-binding"], "{report}");
    }
}

#[test]
fn full_url_is_absolute_and_ends_with_the_id() {
    let of = |url: &str, members: &str| {
        let resource = format!(r#"{{"resourceType":"Device"{members}}}"#);
        report_of(&bundle("collection", &format!(r#""entry":[{{"fullUrl":"{url}","resource":{resource}}}]"#)))
            .to_string()
    };
    let id = r#","id":"1""#;
    insta::assert_snapshot!(of("Device/1", id), @"error full-url at Bundle.entry[0].fullUrl: `Device/1` is not an absolute URL, wanted the whole address of the resource");
    insta::assert_snapshot!(of("http://x.example/Device/2", id), @"error full-url at Bundle.entry[0].fullUrl: `http://x.example/Device/2` ends with the id `2`, wanted that of the resource, `1`");
    for url in ["http://x.example/Device/1", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "http://x.example/a?b=2"]
    {
        assert_eq!(of(url, id), "", "{url}");
    }
    insta::assert_snapshot!(of("http://x.example/Device/2", ""), @"warning full-url at Bundle.entry[0]: the resource has no id, and its address `http://x.example/Device/2` is that of the id `2`");
    assert_ne!(of("/Device/1", id), "");
    let text = of("http://x.example/Patient/2", id).replace("Device", "Patient");
    assert_ne!(text, "");
}

#[test]
fn element_id_has_no_spaces() {
    let report = report_of(&device(r#""identifier":[{"id":"a b","value":"1"},{"id":"a/b:c_d","value":"2"}]"#));
    insta::assert_snapshot!(report, @"error element-id at Device.identifier[0].id: the id `a b` has a space, wanted any other characters");
    let report = report_of(&device(r#""model":"a","_model":{"id":" m"}"#));
    assert_eq!((report.len(), report.issues()[0].at.as_str()), (1, "Device.model.id"));
}

#[test]
fn bundled_resource_issues_have_their_path() {
    let json = bundle(
        "batch",
        r##""entry":[
            {"resource":{"resourceType":"Device","contact":[{"value":"1"}]}},
            {"resource":{"resourceType":"Bundle","type":"batch","total":1,"entry":[
                {"resource":{"resourceType":"Device","contained":[{"resourceType":"Patient","id":"p"}]}}
            ]}},
            {"resource":{"resourceType":"Observation","subject":[{"reference":"#p"}],"contained":[]}}
        ]"##,
    );
    let checked = check(json.as_bytes(), ReadMode::Strict);
    insta::assert_snapshot!(checked.report());
}

/// The contained resources of a resource kept as text are in its text.
#[test]
fn local_reference_in_an_unmodelled_resource_is_local() {
    let observation = r##"{"resourceType":"Observation","contained":[{"resourceType":"Patient","id":"p"}],"subject":{"reference":"#p"}}"##;
    assert_eq!(report_of(observation).to_string(), "");
    assert_eq!(report_of(&bundle("batch", &format!(r#""entry":[{{"resource":{observation}}}]"#))).to_string(), "");
    let text = r##"{"resourceType":"Observation","comment":"#q","reference":{"display":"#q"}}"##;
    assert_eq!(report_of(text).to_string(), "");
    // A resource with an identity of its own stands under `resource` alone.
    let other = observation.replace("Observation", "Parameters").replace("subject", "reference");
    let nested = format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"a","valueOther":{other}}}]}}"#);
    assert_eq!(report_of(&nested).issues()[0].rule, "ref-1");
    let second = r##"{"resourceType":"Observation","performer":[{"reference":"Patient/1"},{"reference":"#q"}]}"##;
    assert_eq!(report_of(second).issues()[0].at, "Observation.performer[1]");
    let other = observation.replace("#p", "#q");
    insta::assert_snapshot!(report_of(&other), @r"
    error dom-3 at Observation.contained[0].id: nothing refers to the contained Patient `p`, wanted a reference `#p`
    error ref-1 at Observation.subject: no contained resource has the id of the reference `#q`
    ");
    let parameters =
        format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"a","resource":{observation}}}]}}"#);
    assert_eq!(report_of(&parameters).to_string(), "");
}

/// Returns the rules that a text breaks as the `div` of a narrative, each with its path.
fn of_narrative(div: &str) -> Vec<(String, String)> {
    let div = serde_json::to_string(&format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{div}</div>")).unwrap();
    let json = format!(r#"{{"resourceType":"Device","text":{{"status":"generated","div":{div}}}}}"#);
    let report = Device::from_json(json.as_bytes()).unwrap().validate();
    report.into_iter().map(|issue| (issue.rule.into_owned(), issue.at)).collect()
}

#[test]
fn narrative_of_formatting_elements_is_valid() {
    for div in [
        "text",
        "<p>a<br/>b</p>",
        "<p class='c' style=\"color:red\" xml:lang=\"nl\">a &amp; b &#160; &#xe9; c</p>",
        "<!-- a comment --><table><tr><td colspan=\"2\">a</td></tr></table>",
        "<img src=\"#picture\" alt=\"a > b\"/>",
        "<a href=\"https://example.org/?a=1&amp;b=2\" name=\"n\">a</a>",
        "<a href=\"java\" title=\"javascript:\">a</a>",
        "<img src=\"data:image/png;base64,AAAA\" alt=\"a\"/>",
        "&lt;&gt;&amp;&quot;&apos;",
        "a\tb\r\nc &#9; &#x10FFFF; &#xE000; \u{85}",
        "<div>a</div><div>b</div>",
        &format!("{}a{}", "<b>".repeat(100), "</b>".repeat(100)),
    ] {
        assert_eq!(of_narrative(div), [], "{div}");
    }
}

#[test]
fn narrative_with_other_elements_breaks_txt_1() {
    for div in [
        "<script>alert(1)</script>",
        "<p onclick=\"a()\">a</p>",
        "<font>a</font>",
        "<ins>a</ins>",
        "<P>a</P>",
        "<p>a",
        "<p>a</b></p>",
        "<p>a</b>",
        "<b><i>a</b></i>",
        "</div>a<div>",
        "a &nbsp; b",
        "a & b",
        "a &#xd800; b",
        "a &#0; b",
        "a &#x1f; b",
        "a &#xffff; b",
        "a \u{1} b",
        "<p title=\"\u{b}\">a</p>",
        "<!-- \u{fffe} -->a",
        "a < b",
        "<p class=c>a</p>",
        "<p class=\"c\" class=\"d\">a</p>",
        "<p class=\"c\" id=\"d\" title=\"e\" class=\"f\">a</p>",
        "<td abbr='a' axis='a' char='a' class='a' dir='a' headers='a' id='a' lang='a' scope='a' scope='a'>b</td>",
        "<p class=\"c\"id=\"d\">a</p>",
        "<a href=\" java\tscript:alert(1)\">a</a>",
        "<a href=\"&#106;ava&#x9;script:alert(1)\">a</a>",
        "<a href=\"VBScript:a\">a</a>",
        "<a href=\"data:text/html,a\">a</a>",
        "<p xmlns=\"http://www.w3.org/2000/svg\">a</p>",
        "<![CDATA[a]]>",
        "<?php a ?>",
        "<!-- a -- b -->a",
        "a ]]> b",
    ] {
        let found = of_narrative(div);
        assert!(!found.is_empty(), "{div}");
        for (rule, at) in found {
            assert_eq!((rule.as_str(), at.as_str()), ("txt-1", "Device.text.div"), "{div}");
        }
    }
}

#[test]
fn narrative_issues_have_messages() {
    let mut text = String::new();
    for div in [
        "<u>a</u>",
        "<p onclick='a'>a</p>",
        "<p xmlns='a'>a</p>",
        "<a href='javascript:a'>a</a>",
        "<p>a</b>",
        "<p>a",
        "a</div></p>",
        "a <- b",
        "a <1> b",
        "a <_> b",
        "<p a>b</p>",
        "<p a='<'>b</p>",
        "<p a='b'c='d'>e</p>",
        "<p a='b' a='c'>d</p>",
        "<!-- a",
        "<!-- a--b -->",
        "<!ENTITY a>",
        "<?a?>",
        "]]>",
        "a & b",
        "&nbsp;",
        "&#0;",
        "&#xD800;",
        "\u{7}",
        "<p></p",
    ] {
        let div = serde_json::to_string(&format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{div}</div>")).unwrap();
        let json = device(&format!(r#""text":{{"status":"generated","div":{div}}}"#));
        for issue in Device::from_json(json.as_bytes()).unwrap().validate() {
            writeln!(text, "{div}\n    {}", issue.message).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn narrative_has_at_most_twenty_issues() {
    for (faults, findings) in [(1, 1), (19, 19), (20, 20), (21, 20), (100, 20)] {
        assert_eq!(of_narrative(&"<u>a</u>".repeat(faults)).len(), findings);
    }
}

#[test]
fn narrative_without_text_breaks_txt_2() {
    for div in ["", " \n ", "<p> </p>", "<br/>", "<!-- a -->"] {
        assert_eq!(of_narrative(div), [("txt-2".to_owned(), "Device.text.div".to_owned())], "{div}");
    }
    assert_eq!(of_narrative("<img alt=\"a\"/>"), [("txt-1".to_owned(), "Device.text.div".to_owned())]);
}

#[test]
fn element_ids_are_unique_in_a_resource() {
    let json = br##"{"resourceType":"Device",
        "contained":[{"resourceType":"Organization","id":"o"},{"resourceType":"Location","id":"o"}],
        "identifier":[{"id":"a","value":"1"},{"id":"b","value":"2"},{"id":"a","value":"3"}],
        "owner":{"reference":"#o"},"location":{"id":"b","reference":"o"}}"##;
    let report = checked(Device::from_json(json).unwrap().validate());
    insta::assert_snapshot!(report);
}

#[test]
fn code_outside_extensible_value_set_is_a_warning() {
    let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"},
        "operationalStatus":[
            {"coding":[{"system":"http://hl7.org/fhir/operational-status","code":"on"},{"code":"x"}]},
            {"text":"warming"},
            {"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"on"},{"code":"y"},{"display":"z"}]}],
        "productionSpecification":[{"specType":{"coding":[{"code":"software-revision"}]}}]}"#;
    let report = DeviceComponent::from_json(json).unwrap().validate();
    assert!(!report.has_errors());
    insta::assert_snapshot!(report);
}

/// Documents with an unknown code at each row with a binding that is not required, and at the media types.
fn coded_everywhere() -> [String; 5] {
    let concept = r#"{"coding":[{"system":"http://x.example","code":"c"},{"code":"d"},{"display":"e"}]}"#;
    let coding = r#"[{"system":"http://x.example","code":"c"}]"#;
    let spoken = concept.replace("}]}", r#"},{"system":"urn:ietf:bcp:47","code":"tlh"}]}"#);
    let language = r#""language":"tlh""#;
    let attachment = format!(r#"{{"contentType":"x/y",{language},"url":"http://x.example"}}"#);
    [
        device(&format!(
            r#"{language},"meta":{{"security":{coding},"tag":{coding}}},"identifier":[{{"type":{concept}}}],
            "type":{concept},"safety":[{{"text":"words alone"}},{concept}],
            "extension":[{{"url":"http://x.example","valueAttachment":{attachment}}}]"#
        )),
        component(&format!(
            r#"{language},"operationalStatus":[{concept}],"parameterGroup":{concept},"languageCode":{spoken},
            "productionSpecification":[{{"specType":{concept}}}]"#
        ))
        .replace(r#""type":{"text":"t"}"#, &format!(r#""type":{concept}"#)),
        metric(&format!(r#"{language},"unit":{concept},"measurementPeriod":{{"code":{concept}}}"#))
            .replace(r#""type":{"text":"t"}"#, &format!(r#""type":{concept}"#)),
        bundle(
            "collection",
            &format!(
                r#"{language},"signature":{{"type":{coding},"when":"2017-05-26T11:56:30Z","whoUri":"http://x.example",
                "contentType":"x/y"}}"#
            ),
        ),
        outcome(language).replace(r#""code":"invalid""#, &format!(r#""code":"invalid","details":{concept}"#)),
    ]
}

#[test]
fn unchecked_codes_are_reported_on_request() {
    let validator = Validator::new().unchecked_codes();
    let mut text = String::new();
    for json in coded_everywhere() {
        let report = check_by(json.as_bytes(), ReadMode::Strict, &validator).into_report();
        assert!(!report.has_errors(), "{report}");
        let unchecked = |issue: &&fhir_devices::Issue| issue.rule == "unchecked-code";
        assert!(report.iter().filter(unchecked).all(|issue| issue.severity == Severity::Information));
        // Nothing of it is said where nobody asked.
        let silent = check(json.as_bytes(), ReadMode::Strict).into_report();
        assert_eq!(silent, report.iter().filter(|issue| !unchecked(issue)).cloned().collect());
        writeln!(text, "{report}\n").unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Every row that the specification binds to a value set is checked, or on request reported as unchecked.
#[test]
fn published_bindings_are_checked() {
    let Some(folder) = common::corpus() else { return };
    let validator = Validator::new().unchecked_codes();
    let mut checked = BTreeMap::new();
    for json in coded_everywhere() {
        for issue in check_by(json.as_bytes(), ReadMode::Strict, &validator).into_report() {
            let strength = issue.rule.strip_suffix("-binding").map(str::to_owned);
            let strength = strength.or_else(|| Some(issue.message.split_once("` (")?.1.split_once(')')?.0.to_owned()));
            let set = issue.message.rsplit('`').nth(1).unwrap().to_owned();
            checked.insert(issue.row.into_owned(), (strength.unwrap(), set));
        }
    }
    let reached = reached();
    let text = std::fs::read_to_string(folder.join("definitions/BINDINGS.tsv")).unwrap();
    let published = text.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|row| {
        let open = row[1] != "required" || row[2].ends_with("bcp13.txt");
        open && row[0].rsplit_once('.').is_some_and(|(owner, _)| reached.contains_key(owner))
    });
    let published = published.map(|row| (row[0].to_owned(), (row[1].to_owned(), row[2].to_owned())));
    assert_eq!(checked, published.collect::<BTreeMap<_, _>>());
}

#[test]
fn custom_rules_and_value_sets_are_applied() {
    let rule =
        Rule::new("acme-1", Severity::Error, "a coding has a display", |coding: &Coding| coding.display.is_some());
    let kinds = ValueSet::new("https://acme.example/ValueSet/kind").with("https://acme.example/kind", ["pump"]);
    let validator = Validator::new().rule(rule).value_set("DeviceComponent.type", Strength::Required, kinds);
    let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
        "type":{"coding":[{"system":"https://acme.example/kind","code":"monitor"}]}}"#;
    let component = DeviceComponent::from_json(json).unwrap();
    assert!(component.validate().is_empty());
    insta::assert_snapshot!(component.validate_by(&validator));
    assert!(fhir_devices::Valid::by(component, &validator).is_err());
}

#[test]
fn device_agrees_with_its_udi_carriers() {
    let right = r#"{"resourceType":"Device",
        "identifier":[{"type":{"coding":[{"system":"http://hl7.org/fhir/identifier-type","code":"SNO"}]},"value":"10987654d321"}],
        "udi":{"deviceIdentifier":"09504000059118","issuer":"http://hl7.org/fhir/NamingSystem/gs1-di",
            "carrierHRF":"(01)09504000059118(17)141120(10)7654321D(21)10987654d321",
            "carrierAIDC":"MDEwOTUwNDAwMDA1OTExODE3MTQxMTIwMTA3NjU0MzIxRB0yMTEwOTg3NjU0ZDMyMQ=="},
        "lotNumber":"7654321D","expirationDate":"2014-11-20T23:59:59Z"}"#;
    let validator = Validator::new().udi();
    let report_of = |json: &str| Device::from_json(json.as_bytes()).unwrap().validate_by(&validator);
    assert_eq!(report_of(right), Report::new());
    for (found, other) in [("2014-11-20T23:59:59Z", "2014-11"), ("2014-11-20T23:59:59Z", "2014"), ("gs1-di", "GS1")] {
        assert_eq!(report_of(&right.replace(found, other)), Report::new(), "{other}");
    }
    let wrong = [
        (r#""09504000059118","issuer""#, r#""09504000059119","issuer""#),
        ("gs1-di", "hibcc"),
        (r#""lotNumber":"7654321D""#, r#""lotNumber":"7654321""#),
        ("2014-11-20T", "2014-11-21T"),
        (r#""value":"10987654d321""#, r#""value":"10987654D321""#),
        ("(10)7654321D", "(10)7654321E"),
        ("(01)09504000059118", "{01}09504000059118"),
        ("(01)09504000059118", "(01)09504000059119"),
        ("(17)141120", "(17)141320"),
    ];
    let reports =
        wrong.map(|(found, other)| format!("{found} -> {other}\n{}\n", report_of(&right.replace(found, other))));
    insta::assert_snapshot!(reports.join("\n"));
}

/// The issuers as spelled in the specification, in its examples, in later versions, and as object identifiers.
#[test]
fn udi_issuer_is_recognised_in_every_spelling() {
    let naming = "http://hl7.org/fhir/NamingSystem/";
    let issuers = [
        ("GS1", vec!["gs1-di", "gs1", "GS1", "urn:oid:2.51.1.1"]),
        ("HIBCC", vec!["hibcc-dI", "hibcc", "hibcc-diI", "urn:oid:1.0.15961.10.816"]),
        (
            "ICCBBA",
            vec![
                "iccbba-blood-di",
                "iccbba-other-di",
                "iccbba-blood",
                "iccbba-other",
                "urn:oid:2.16.840.1.113883.6.18.1.17",
                "urn:oid:2.16.840.1.113883.6.18.1.34",
            ],
        ),
        ("IFA", vec!["ifa-gmbh-di"]),
        ("", vec!["fda-udi", "urn:oid:1.2.3"]),
    ];
    let carriers = [
        ("GS1", "(01)09506000134376"),
        ("HIBCC", "+A123BJC5D6E71G"),
        ("ICCBBA", "=/A9999XYZ100T0476"),
        ("IFA", "(9N)111234568408"),
    ];
    let validator = Validator::new().udi();
    for (agency, names) in issuers {
        for name in names {
            let issuer = if name.starts_with("urn:") { name.to_owned() } else { format!("{naming}{name}") };
            for (of, carrier) in carriers {
                let json = device(&format!(r#""udi":{{"carrierHRF":"{carrier}","issuer":"{issuer}"}}"#));
                let report = Device::from_json(json.as_bytes()).unwrap().validate_by(&validator);
                let rules: Vec<_> = report.iter().map(|issue| issue.rule.as_ref()).collect();
                let wanted = if agency.is_empty() || agency == of { vec![] } else { vec!["udi-issuer"] };
                assert_eq!(rules, wanted, "{issuer} and {carrier}: {report}");
            }
        }
    }
}
