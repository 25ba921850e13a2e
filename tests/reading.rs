//! Reading: every kind of finding, with its path and message; kept content, and written output.
//!
//! The documents under `tests/data/refused` are named for their defect. The snapshots hold every message once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

use fhir_devices::element::{MAX_DEPTH, ReadMode};
use fhir_devices::resource::Reading;
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Report, Resource, Severity};
use std::fmt::Write as _;
use std::path::Path;

/// Returns the name and the text of each document in a folder of `tests/data`.
fn documents(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn refusal(json: &str) -> Report {
    match Resource::from_json(json.as_bytes()) {
        Ok(resource) => panic!("accepted: {resource:?}"),
        Err(report) => report,
    }
}

/// Returns each document with its report.
fn reports<D: AsRef<str>>(documents: impl IntoIterator<Item = D>) -> String {
    let mut out = String::new();
    for document in documents {
        let document = document.as_ref();
        let report = refusal(document).to_string().replace('\n', "\n    ");
        writeln!(out, "{document}\n    {report}").unwrap();
    }
    out
}

/// Returns a device with these members.
fn device(members: &str) -> String {
    format!(r#"{{"resourceType":"Device",{members}}}"#)
}

fn metric(members: &str) -> String {
    let required = r#""identifier":{"value":"1"},"type":{"text":"t"},"category":"setting""#;
    format!(r#"{{"resourceType":"DeviceMetric",{required},{members}}}"#)
}

/// Returns a device with an extension that has these members beside its url.
fn extended(members: &str) -> String {
    device(&format!(r#""extension":[{{"url":"http://x.example",{members}}}]"#))
}

#[test]
fn refused_documents_have_their_report() {
    for (name, json) in documents("refused") {
        let report = refusal(&json);
        let outcome: serde_json::Value = serde_json::from_str(&OperationOutcome::from(&report).to_json()).unwrap();
        let outcome = serde_json::to_string_pretty(&outcome).unwrap();
        insta::assert_snapshot!(name, format!("{report}\n\n{outcome}"));
    }
}

#[test]
fn accepted_documents_round_trip() {
    for (name, json) in documents("accepted") {
        let resource = Resource::from_json(json.as_bytes()).unwrap_or_else(|report| panic!("{name}: {report}"));
        insta::assert_snapshot!(name, resource.to_json());
        let again = Resource::from_json(resource.to_json().as_bytes()).unwrap();
        assert_eq!(again, resource);
        assert_eq!(again.to_json(), resource.to_json());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), serde_json::to_value(&resource).unwrap());
    }
}

#[test]
fn wrong_json_type_names_the_expected_one() {
    insta::assert_snapshot!(reports([
        "[]",
        "1",
        "null",
        "\"Device\"",
        &device(r#""model":1"#),
        &device(r#""model":true"#),
        &device(r#""model":{}"#),
        &device(r#""model":["a"]"#),
        &device(r#""udi":"x""#),
        &device(r#""udi":[{}]"#),
        &device(r#""contact":{}"#),
        &device(r#""contact":"x""#),
        &device(r#""contact":[1,[{}],"x"]"#),
        &device(r#""contained":{}"#),
        &device(r#""contained":[1]"#),
        &device(r#""contact":[{"rank":"1"}]"#),
        &device(r#""safety":[{"coding":[{"userSelected":"true"}]}]"#),
        &device(r#""extension":[{"url":1}]"#),
        &device(r#""id":1"#),
        &metric(r#""measurementPeriod":{"event":"2017"}"#),
        &metric(r#""measurementPeriod":{"event":[2017,["2017"],{}]}"#),
    ]));
}

#[test]
fn undefined_member_is_unknown() {
    insta::assert_snapshot!(reports([
        &device(r#""foo":1"#),
        &device(r#""Model":"P9""#),
        &device(r#""":1"#),
        &device(r#""_":1"#),
        &device(r#""_foo":{}"#),
        &device(r#""__model":{}"#),
        &device(r#""_udi":{"id":"x"}"#),
        &device(r#""_contact":[{"id":"x"}]"#),
        &device(r#""_resourceType":{"id":"x"}"#),
        &device(r#""udi":{"name":"x","colour":1,"resourceType":"Udi"}"#),
        &device(r#""model":"x","_model":{"id":"m","modifierExtension":[]}"#),
        &device(r#""note":[{"author":"me","text":"x"}]"#),
        &device(r#""note":[{"authorCode":"me","text":"x"}]"#),
        &device(r#""extension":[{"url":"http://x.example","_url":{"id":"u"},"valueString":"x"}]"#),
        &extended(r#""valueUuid":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7""#),
        &extended(r#""value":"x""#),
        &extended(r#""valueString":"x","modifierExtension":[{"url":"http://x.example","valueString":"x"}]"#),
    ]));
}

/// A member that a rule forbids is not unknown: the rule has a key.
#[test]
fn simple_quantity_with_comparator_breaks_its_rule() {
    let range = |limit: &str| extended(&format!(r#""valueRange":{{"low":{{{limit}}}}}"#));
    insta::assert_snapshot!(reports([
        range(r#""value":1,"comparator":"<""#),
        range(r#""comparator":"about""#),
        range(r#""value":1,"_comparator":{"id":"c"}"#),
        extended(r#""valueSampledData":{"origin":{"value":1,"comparator":">"},"period":1,"dimensions":1,"data":"E"}"#),
    ]));
    let kind = refusal(&range(r#""comparator":"<""#)).issues()[0].kind;
    assert_eq!(kind, fhir_devices::issue::IssueType::Invariant);
    assert!(Resource::from_json(extended(r#""valueQuantity":{"value":1,"comparator":"<"}"#).as_bytes()).is_ok());
    let kept = Resource::read(range(r#""value":1,"comparator":"<""#).as_bytes(), ReadMode::Lenient).unwrap();
    assert_eq!(kept.value.to_json(), range(r#""value":1,"comparator":"<""#));
}

#[test]
fn duplicate_member_is_reported() {
    insta::assert_snapshot!(reports([
        &device(r#""model":"a","model":"b""#),
        &device(r#""model":"a","mode\u006c":"b""#),
        &device(r#""resourceType":"Device""#),
        &device(r#""_model":{"id":"m"},"model":"a","_model":{"id":"m"}"#),
        &device(r#""model":"a","_model":{"id":"m","id":"n"}"#),
        &device(r#""udi":{"name":"a"},"udi":{"name":"b"}"#),
        &device(r#""contact":[{"system":"fax"}],"contact":[{"system":"fax"}]"#),
        &device(r#""note":[{"text":"a","text":"b"}]"#),
        &extended(r#""valueString":"a","valueString":"a""#),
        &extended(r#""valueString":"a","_valueString":{"id":"v"},"_valueString":{"id":"v"}"#),
        &device(r#""foo":1,"foo":1"#),
        &device(r#""contained":[{"resourceType":"Patient","id":"a","i\u0064":"b"}]"#),
        &device(r#""contained":[{"resourceType":"Patient","name":[{"text":"a","text":"a"}]}]"#),
    ]));
}

#[test]
fn missing_required_element_is_reported() {
    insta::assert_snapshot!(reports([
        r#"{"resourceType":"DeviceMetric"}"#,
        r#"{"resourceType":"DeviceComponent"}"#,
        r#"{"resourceType":"Bundle"}"#,
        r#"{"resourceType":"OperationOutcome"}"#,
        r#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"x"}]}"#,
        &device(r#""note":[{"time":"2017"}]"#),
        &device(r#""extension":[{"valueString":"x"}]"#),
        &device(r#""text":{"status":"empty"}"#),
        &extended(r#""valueSignature":{"contentType":"a"}"#),
        &extended(r#""valueSampledData":{"factor":1}"#),
        r#"{"resourceType":"Bundle","type":"batch","link":[{"relation":"a"}],"entry":[{"request":{"ifMatch":"a"}},{"response":{"etag":"a"}}]}"#,
    ]));
    let stands_for = r#"{"resourceType":"DeviceMetric","identifier":{"value":"1"},"type":{"text":"t"},
        "_category":{"extension":[{"url":"http://x.example","valueCode":"unknown"}]}}"#;
    assert!(DeviceMetric::from_json(stands_for.as_bytes()).is_ok(), "an extension stands for a required primitive");
}

#[test]
fn array_for_a_single_element_is_reported() {
    insta::assert_snapshot!(reports([
        &device(r#""status":["active"]"#),
        &device(r#""_status":[{"id":"s"}]"#),
        r#"{"resourceType":"DeviceMetric","identifier":[{"value":"1"}],"type":{"text":"t"},"category":"setting"}"#,
        r#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":[{"text":"t"}]}"#,
        &extended(r#""valueString":["x"]"#),
    ]));
}

#[test]
fn malformed_primitive_names_its_format() {
    let malformed = [
        ("Base64Binary", r#""a" "AA=A" "AAA=AAAA" "AB==" "AA%=" " AAAA" "=" "AAAA AAAA ""#),
        ("Boolean", r#""true" 1"#),
        ("Code", r#""a  b" " a" "a " "\n""#),
        (
            "Date",
            r#""2017-13" "2017-02-30" "17" "2017-1-1" "2017-05-26T11:56:30Z" "0000" "2017-00-01" "2017-01-00" "10000""#,
        ),
        (
            "DateTime",
            r#""2017-05-26T11:56:30" "2017-05-26T11:56Z" "2017-05-26T24:00:00Z" "2017-05-26T11:60:00Z" "2017-05-26T11:56:61Z" "2017-05-26T11:56:30.Z" "2017-05-26T11:56:30+14:01" "2017-05-26t11:56:30z" "-0000""#,
        ),
        ("Decimal", "1e2 1E-2 1.0e0 \"1\""),
        ("Id", r#""a b" "a_b" "0123456789012345678901234567890123456789012345678901234567890123x" "é""#),
        ("Instant", r#""2017-05-26" "2017-05-26T11:56:30" "0000-05-26T11:56:30Z" "2017-05-26T11:56:61Z""#),
        ("Integer", "1.0 1e2 2147483648 -2147483649 \"1\""),
        ("Markdown", r#""""#),
        ("Oid", r#""1.2.3" "urn:oid:01.2" "urn:oid:1..2" "urn:oid:""#),
        ("PositiveInt", "0 -1 2147483648"),
        ("String", r#""""#),
        ("Time", r#""24:00:00" "8:00:00" "08:00" "08:00:60" "08:00:00Z" "08:00:00.""#),
        ("UnsignedInt", "-1 -0 2147483648 0.0"),
        ("Uri", r#""a b" "a%2" "<a>" " a" "\u007f" "é\t""#),
    ];
    let each = malformed.iter().flat_map(|(name, values)| {
        // A JSON value ends at a blank outside of quotes.
        serde_json::Deserializer::from_str(values)
            .into_iter::<Box<serde_json::value::RawValue>>()
            .map(move |value| extended(&format!(r#""value{name}":{}"#, value.unwrap().get())))
    });
    let narratives = [
        "\\u0000",
        "A pump",
        "<div>A pump</div>",
        "<?xml version='1.0'?><div xmlns='http://www.w3.org/1999/xhtml'>a</div>",
    ];
    let narratives = narratives.iter().map(|div| device(&format!(r#""text":{{"status":"empty","div":"{div}"}}"#)));
    insta::assert_snapshot!(reports(each.chain(narratives)));
}

/// Faults that no document can have, as JSON or the reader prevents them.
#[test]
fn invalid_constructed_value_has_a_message() {
    use fhir_devices::datatype::{Reference, target};
    use fhir_devices::element::{Raw, Scalar};
    use fhir_devices::primitive::{Base64, Decimal, PositiveInt, Text, Uri, Uuid};
    let refusals = [
        Decimal::new("x").unwrap_err().to_string(),
        Decimal::new("01").unwrap_err().to_string(),
        Decimal::new("1.x").unwrap_err().to_string(),
        Decimal::try_from(f64::NAN).unwrap_err().to_string(),
        PositiveInt::try_from(0u32).unwrap_err().to_string(),
        bool::from_text("yes").unwrap_err().to_string(),
        Uuid::new("urn:uuid:53FEFA32-fcbb-4ff8-8a92-55ee120877b7").unwrap_err().to_string(),
        Text::new("").unwrap_err().to_string(),
        Uri::new("").unwrap_err().to_string(),
        Uri::new("\u{e9}\u{a0}").unwrap_err().to_string(),
        Base64::new("").unwrap_err().to_string(),
        Reference::<target::Author>::to("Device/d1").unwrap_err().to_string(),
        Reference::<target::Any>::to("").unwrap_err().to_string(),
        "{".parse::<Raw>().unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn issue_message_is_one_line() {
    let report = refusal(&device(r#""a\nb\u0000":1,"url":"a\r\nb\u009f","_model":{"\u2028\u001b":1}"#));
    assert_eq!(report.to_string().lines().count(), report.len());
    assert!(!report.to_string().replace('\n', "").contains(char::is_control));
    insta::assert_snapshot!(report);
    let outcome = OperationOutcome::from(&report);
    assert_eq!(Report::from(&outcome).to_string(), report.to_string());
}

#[test]
fn quoted_text_in_a_message_is_truncated() {
    let report = refusal(&extended(&format!(r#""valueId":"{}""#, "é".repeat(100))));
    let message = &report.issues()[0].message;
    assert!(message.starts_with(&format!("`{}…` is not", "é".repeat(64))), "{message}");
}

#[test]
fn too_long_string_is_refused() {
    let report = refusal(&device(&format!(r#""model":"{}""#, "x".repeat(1_048_577))));
    assert!(
        report.issues()[0]
            .message
            .ends_with("… is not of type `string`: wants at most 1048576 characters".replacen('…', "…`", 1).as_str()),
        "{report}"
    );
}

#[test]
fn code_outside_required_value_set_lists_the_codes() {
    insta::assert_snapshot!(reports([
        &device(r#""status":"gone","udi":{"entryType":"Manual"}"#),
        &device(r#""identifier":[{"use":"old"}],"contact":[{"system":"web","use":"Home"}]"#),
        &device(r#""text":{"status":"none","div":"<div xmlns='http://www.w3.org/1999/xhtml'>a</div>"}"#),
        r#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"t"},"measurementPrinciple":"optic"}"#,
        &metric(r#""operationalStatus":"On","color":"rouge","calibration":[{"type":"zero","state":"done"}]"#),
        r#"{"resourceType":"DeviceMetric","identifier":{"value":"1"},"type":{"text":"t"},"category":""}"#,
        &metric(
            r#""measurementPeriod":{"repeat":{"durationUnit":"sec","periodUnit":"H","dayOfWeek":["mon","monday"],"when":["noon"]}}"#
        ),
        &extended(r#""valueQuantity":{"comparator":"="}"#),
        &extended(r#""valueHumanName":{"use":"x"}"#),
        &extended(r#""valueAddress":{"use":"x","type":"y"}"#),
        r#"{"resourceType":"Bundle","type":"list","entry":[{"search":{"mode":"hit"},"request":{"method":"PATCH","url":"a"}}]}"#,
        r#"{"resourceType":"OperationOutcome","issue":[{"severity":"bad","code":"deleted"}]}"#,
    ]));
}

#[test]
fn reference_to_wrong_type_lists_the_types() {
    insta::assert_snapshot!(reports([
        &device(r#""patient":{"reference":"Device/d1"}"#),
        &device(r#""patient":{"reference":"https://ehr.example/fhir/Group/g1/_history/2"}"#),
        &device(r#""owner":{"reference":"Practitioner/p1"},"location":{"reference":"Endpoint/e1"}"#),
        &device(r#""note":[{"authorReference":{"reference":"Device/d1"},"text":"x"}]"#),
        &device(r#""identifier":[{"assigner":{"reference":"Patient/p1"}}]"#),
        &metric(r#""source":{"reference":"DeviceComponent/c1"},"parent":{"reference":"Device/d1"}"#),
        &metric(r#""parent":{"reference":"DeviceDefinition/d1"}"#),
    ]));
    for open in
        ["#p", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "Patient?identifier=1", "https://ehr.example/p", "x"]
    {
        assert!(
            Device::from_json(device(&format!(r#""patient":{{"reference":"{open}"}}"#)).as_bytes()).is_ok(),
            "{open}"
        );
    }
}

#[test]
fn empty_or_null_values_are_reported() {
    insta::assert_snapshot!(reports([
        &device(r#""model":null"#),
        &device(r#""udi":null"#),
        &device(r#""contact":null"#),
        &device(r#""contact":[null]"#),
        &device(r#""_model":null"#),
        &device(r#""foo":null"#),
        &device(r#""model":"""#),
        &device(r#""udi":{}"#),
        &device(r#""udi":{"id":"u"}"#),
        &device(r#""contact":[]"#),
        &device(r#""contact":[{}]"#),
        &device(r#""contained":[]"#),
        &device(r#""contained":[{}]"#),
        &device(r#""contained":[null]"#),
        &device(r#""contained":[{"resourceType":"Patient","a":null,"b":[],"c":{},"d":"","e":[null,{}]}]"#),
        &device(r#""extension":[{"url":"","valueString":"x"}]"#),
        &metric(r#""measurementPeriod":{"event":[]}"#),
        &metric(r#""measurementPeriod":{"event":[null]}"#),
        &extended(r#""valueString":null"#),
        &extended(r#""valueCoding":{}"#),
    ]));
}

#[test]
fn primitive_id_and_extensions_are_checked() {
    insta::assert_snapshot!(reports([
        &device(r#""_model":{}"#),
        &device(r#""_model":{"id":"m"}"#),
        &device(r#""_model":[]"#),
        &device(r#""_model":"x""#),
        &device(r#""_model":{"id":""}"#),
        &device(r#""_model":{"extension":[]}"#),
        &device(r#""model":"x","_model":{"extension":{}}"#),
        &device(r#""_id":{"foo":1}"#),
        &metric(r#""measurementPeriod":{"event":["2017","2018"],"_event":[null]}"#),
        &metric(r#""measurementPeriod":{"event":["2017"],"_event":[null,{"id":"e"}]}"#),
        &metric(r#""measurementPeriod":{"_event":[null,{"id":"e"}],"event":["2017"]}"#),
        &metric(
            r#""measurementPeriod":{"_event":[null,{"extension":[{"url":"http://x.example","valueCode":"a"}]}],"event":["2017"]}"#,
        ),
        &metric(r#""measurementPeriod":{"event":["2017"],"_event":{"id":"e"}}"#),
        &metric(r#""measurementPeriod":{"event":["2017",null],"_event":[null,{}]}"#),
        &metric(r#""measurementPeriod":{"event":["2017",null],"_event":[{"id":"e"},null]}"#),
        &metric(r#""measurementPeriod":{"event":["2017"],"_event":["x"]}"#),
        &device(r#""extension":[{"url":"http://x.example","valueString":"x","_valueString":"y"}]"#),
    ]));
}

#[test]
fn wrong_resource_type_is_reported() {
    insta::assert_snapshot!(reports([
        "{}",
        r#"{"id":"d1"}"#,
        r#"{"resourceType":1}"#,
        r#"{"resourceType":null}"#,
        r#"{"resourceType":""}"#,
        r#"{"resourceType":"device"}"#,
        r#"{"resourceType":"Devices"}"#,
        r#"{"resourceType":"DeviceDefinition"}"#,
        r#"{"resourceType":"Device","contained":[{"resourceType":"DomainResource"}]}"#,
    ]));
    let typed = |json: &str| {
        let reports = [
            Device::from_json(json.as_bytes()).err(),
            DeviceComponent::from_json(json.as_bytes()).err(),
            Bundle::from_json(json.as_bytes()).err(),
        ];
        reports.into_iter().flatten().map(|report| format!("{report}\n")).collect::<String>()
    };
    let json = [r#"{"resourceType":"DeviceMetric"}"#, "{}", r#"{"resourceType":["Device"]}"#, "[]"];
    insta::assert_snapshot!("a_wrong_resource_type_is_named_by_a_type", json.map(typed).join("\n"));
}

#[test]
fn resource_type_may_come_last() {
    let device = Device::from_json(br#"{"id":"d1","udi":{"name":"resourceType"},"resourceType":"Device"}"#).unwrap();
    assert!(device.to_json().starts_with(r#"{"resourceType":"Device","id":"d1""#));
    let resource = Resource::from_json(br#"{"name":[{"text":"x"}],"resource\u0054ype":"Patient"}"#).unwrap();
    assert_eq!(resource.resource_type(), "Patient");
    assert_eq!(resource.to_json(), r#"{"name":[{"text":"x"}],"resource\u0054ype":"Patient"}"#);
}

#[test]
fn choice_has_one_type() {
    insta::assert_snapshot!(reports([
        &extended(r#""valueString":"a","valueCode":"b""#),
        &extended(r#""valueString":"a","_valueCode":{"id":"b"}"#),
        &extended(r#""valueString":"a","valueCode":"b","valueString":"c""#),
        &extended(r#""valueString":"","valueCode":"b""#),
        &device(r#""note":[{"authorString":"a","authorReference":{"display":"b"},"text":"x"}]"#),
        &metric(
            r#""measurementPeriod":{"repeat":{"boundsPeriod":{"start":"2017"},"boundsRange":{"low":{"value":1}}}}"#
        ),
    ]));
}

/// Invalid JSON, with its line and column.
#[test]
fn broken_json_has_a_position() {
    let broken = [
        "",
        " \n ",
        "{",
        "{\"resourceType\"",
        "{\"resourceType\":",
        "{\"resourceType\":\"Device\"",
        "{\"resourceType\":\"Device\",",
        "{\"resourceType\":\"Device\",}",
        "{\"resourceType\":\"Device\",,\"id\":\"a\"}",
        "{,\"resourceType\":\"Device\"}",
        "{\"resourceType\":\"Device\"}}",
        "{\"resourceType\":\"Device\"} x",
        "{\"resourceType\":\"Device\"}\n\n  {\"resourceType\":\"Device\"}",
        "{\"resourceType\" \"Device\"}",
        "{\"resourceType\":\"Device\" \"id\":\"a\"}",
        "{\"resourceType\":\"Device\";\"id\":\"a\"}",
        "{resourceType:\"Device\"}",
        "{'resourceType':'Device'}",
        "{1:\"Device\"}",
        "{\"resourceType\":\"Device\",\n \"é\": tru}",
        "{\"id\":tru,\"resourceType\":\"Device\"}",
        "{\"resourceType\":\"Device\",\"model\":nul}",
        "{\"resourceType\":\"Device\",\"model\":truex}",
        "{\"resourceType\":\"Device\",\"model\":undefined}",
        "{\"resourceType\":\"Device\",\"model\":}",
        "{\"resourceType\":\"Device\",\"model\":'x'}",
        "{\"resourceType\":\"Device\",\"model\":\"x}",
        "{\"resourceType\":\"Device\",\"model\":\"a\tb\"}",
        "{\"resourceType\":\"Device\",\"model\":\"a\\tb\nc\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\x\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\",
        "{\"resourceType\":\"Device\",\"model\":\"\\n",
        "{\"resourceType\":\"Device\",\"model\":\"\\u12\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\u12g4\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\u+123\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\ud800\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\ud800\\u0041\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\ud800\\ud800\"}",
        "{\"resourceType\":\"Device\",\"model\":\"\\udc00\\ud800\"}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":01}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":-}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":+1}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":1.}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":.5}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":1e}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":1e+}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":0x1}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":NaN}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":1a}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{\"rank\":1]}",
        "{\"resourceType\":\"Device\",\"contact\":[{},]}",
        "{\"resourceType\":\"Device\",\"contact\":[,{}]}",
        "{\"resourceType\":\"Device\",\"contact\":[{} {}]}",
        "{\"resourceType\":\"Device\",\"contact\":[",
        "{\"resourceType\":\"Device\",\"contained\":[{\"resourceType\":\"Patient\",\"a\":[1,}]}",
        "{\"resourceType\":\"Device\"} // a comment",
        "{\"resourceType\":\"Device\",\"model\":1/*2*/}",
        "{\u{a0}\"resourceType\":\"Device\"}",
        "{\"resourceType\":\"Device\"}\0",
    ];
    let mut out = String::new();
    for document in broken {
        let report = refusal(document);
        let last = report.issues().last().unwrap();
        assert_eq!((&*last.rule, last.severity), ("json", Severity::Fatal), "{document}: {report}");
        writeln!(out, "{document:?}\n    {}", report.to_string().replace('\n', "\n    ")).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(document).is_err(), "{document:?}");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn invalid_utf_8_has_a_position() {
    let report = Resource::from_json(b"{\n\"\xc3\xa9\xff\"").unwrap_err();
    insta::assert_snapshot!(report, @"fatal json at Resource: found bytes that are not UTF-8 (line 2, column 3)");
    assert!(Device::from_json(b"\xed\xa0\x80").is_err(), "a surrogate in UTF-8");
}

/// Returns `depth` nested objects, the resource included.
fn nested(depth: usize) -> String {
    // The first extension stands in the array of the resource: two levels an extension.
    let mut json = String::from(r#"{"resourceType":"Device""#);
    let extensions = (depth - 1) / 2;
    for _ in 0..extensions {
        json.push_str(r#","extension":[{"url":"http://x.example""#);
    }
    json.push_str(if depth.is_multiple_of(2) { r#","foo":[]"# } else { "" });
    json + &"}]".repeat(extensions) + "}"
}

#[test]
fn nesting_beyond_128_levels_is_refused() {
    assert_eq!(MAX_DEPTH, 128);
    let deepest = |json: &str| {
        let (mut depth, mut most) = (0u32, 0);
        for byte in json.bytes() {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            most = most.max(depth);
        }
        most
    };
    let (most, more) = (nested(128), nested(129));
    assert_eq!((deepest(&most), deepest(&more)), (128, 129));
    assert!(refusal(&most).iter().all(|issue| issue.rule != "json-depth"));
    let report = refusal(&more);
    insta::assert_snapshot!(report.issues().last().unwrap(), @"fatal json-depth at Device: found more than 128 objects and arrays inside one another (line 1, column 2496)");
    let other = |depth: usize| {
        format!(r#"{{"resourceType":"Patient","a":{}1{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    assert!(Resource::from_json(other(128).as_bytes()).is_ok());
    assert_eq!(refusal(&other(129)).issues()[0].rule, "json-depth");
    assert_eq!(refusal(&"[".repeat(1_000_000)).issues().last().unwrap().rule, "json-depth");
}

#[test]
fn other_fhir_version_or_type_is_reported_first() {
    insta::assert_snapshot!(reports([
        &device(r#""udiCarrier":[{"deviceIdentifier":"1"}]"#),
        &device(r#""type":[{"text":"pump"}]"#),
        &device(r#""status":"available""#),
        &device(r#""meta":{"source":"a"}"#),
        &metric(r#""parent":{"reference":"Device/d1"}"#),
        &metric(r#""measurementFrequency":{"value":1}"#),
        r#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"t"},"color":"red","category":"setting"}"#,
        r#"{"resourceType":"Device","lastSystemChange":"2014-10-07T14:45:00Z","languageCode":{"text":"en"}}"#,
    ]));
}

#[test]
fn issues_are_in_document_order() {
    for (name, json) in documents("refused") {
        let report = refusal(&json);
        let places: Vec<_> = report.iter().filter_map(|issue| issue.position).collect();
        assert!(places.is_sorted(), "{name}: {report}");
    }
}

// ------------------------------------------------------------------------------------------------- OperationOutcome

#[test]
fn report_round_trips_as_operation_outcome() {
    for (name, json) in documents("refused") {
        let report = refusal(&json);
        let outcome = OperationOutcome::from(&report);
        let read = OperationOutcome::from_json(outcome.to_json().as_bytes()).unwrap();
        assert_eq!(read, outcome, "{name}");
        assert_eq!(Report::from(&read), report, "{name}");
    }
}

#[test]
fn empty_report_becomes_one_information_issue() {
    let outcome = OperationOutcome::from(&Report::new());
    insta::assert_snapshot!(outcome.to_json(), @r#"{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","diagnostics":"no fault was found"}]}"#);
    assert!(Report::from(&outcome).is_empty());
}

// ------------------------------------------------------------------------------------------------------------ serde

#[test]
fn serde_reads_and_writes_the_same_text() {
    for (name, json) in documents("accepted") {
        let resource = Resource::from_json(json.as_bytes()).unwrap();
        let text = serde_json::to_string(&resource).unwrap();
        assert_eq!(text, resource.to_json(), "{name}");
        assert_eq!(serde_json::from_str::<Resource>(&text).unwrap(), resource, "{name}");
        assert_eq!(serde_json::from_slice::<Resource>(json.as_bytes()).unwrap(), resource, "{name}");
        assert_eq!(serde_json::from_reader::<_, Resource>(json.as_bytes()).unwrap(), resource, "{name}");
        let list = serde_json::to_string(&[&resource, &resource]).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Resource>>(&list).unwrap(), [resource.clone(), resource], "{name}");
    }
}

/// A `serde_json::Value` holds numbers as floats, and so loses the text of a decimal. Callers who need the digits keep
/// the text.
#[test]
fn decimal_loses_digits_only_in_serde_json_value() {
    let json = extended(r#""valueDecimal":1.50"#);
    let device = Device::from_json(json.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string(&device).unwrap(), json);
    let value = serde_json::to_value(&device).unwrap();
    let again: Device = serde_json::from_value(value).unwrap();
    assert_eq!(again.to_json(), extended(r#""valueDecimal":1.5"#));

    let huge = extended(r#""valueDecimal":123456789012345678901234567890.125"#);
    let device = Device::from_json(huge.as_bytes()).unwrap();
    assert_eq!(serde_json::from_str::<Device>(&serde_json::to_string(&device).unwrap()).unwrap(), device);
    let error = serde_json::from_value::<Device>(serde_json::to_value(&device).unwrap()).unwrap_err();
    insta::assert_snapshot!(error, @"error decimal at Device.extension[0].valueDecimal: `1.2345678901234568e+29` is not of type `decimal`: wants no exponent (line 1, column 56)");
}

#[test]
fn serde_error_is_the_report() {
    let json = device(r#""status":"gone","model":"""#);
    let error = serde_json::from_str::<Device>(&json).unwrap_err();
    assert_eq!(error.to_string(), Device::from_json(json.as_bytes()).unwrap_err().to_string());
}

#[test]
fn serde_checks_primitives() {
    use fhir_devices::primitive::{Date, Id};
    assert_eq!(serde_json::to_string(&Id::new("a").unwrap()).unwrap(), "\"a\"");
    assert!(serde_json::from_str::<Id>("\"a b\"").is_err());
    assert!(serde_json::from_str::<Date>("\"2017-02-30\"").is_err());
}

// ---------------------------------------------------------------------------------------------------------- lenient

fn lenient(json: &str) -> Reading<Resource> {
    Resource::read(json.as_bytes(), ReadMode::Lenient).unwrap_or_else(|report| panic!("{json}: {report}"))
}

#[test]
fn lenient_read_keeps_unmodelled_content() {
    let kept = [
        device(r#""foo":{"a":[1.50,null]}"#),
        device(r#""status":"gone""#),
        device(r#""manufactureDate":"last May""#),
        device(r#""model":1"#),
        device(r#""model":"a","model":"b""#),
        device(r#""udi":{"name":"x","colour":"red"}"#),
        device(r#""contact":{"system":"fax"}"#),
        device(r#""contact":[{"rank":"first"}]"#),
        device(r#""patient":{"reference":"Device/d1"}"#),
        device(r#""model":null"#),
        device(r#""contact":[]"#),
        device(r#""udi":{}"#),
        device(r#""note":[{"time":"2017"}]"#),
        device(r#""_model":{"id":"m","foo":1}"#),
        device(r#""contained":[{"resourceType":"Patient","name":[],"birthDate":null}]"#),
        extended(r#""valueString":"a","valueCode":"b""#),
        extended(r#""valueDecimal":1e2"#),
        metric(r#""calibration":[{"state":"done"},{"state":"calibrated"}]"#),
        metric(r#""measurementPeriod":{"event":["2017","soon"]}"#),
        metric(r#""measurementPeriod":{"event":["2017",null],"_event":["x",{"id":"e"}]}"#),
        metric(r#""measurementPeriod":{"_event":[{"id":"e"},null],"event":["soon",null]}"#),
    ];
    let mut out = String::new();
    for json in kept {
        let reading = lenient(&json);
        assert!(reading.report.iter().all(|issue| issue.severity == Severity::Warning), "{json}: {}", reading.report);
        assert!(!reading.report.is_empty(), "{json}");
        let written = reading.value.to_json();
        let report = reading.report.to_string().replace('\n', "\n    ");
        writeln!(out, "{json}\n    {report}").unwrap();
        if written != json {
            writeln!(out, "  is written\n{written}").unwrap();
        }
        assert_eq!(lenient(&written).value, reading.value, "{json}");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn lenient_read_of_a_valid_document_equals_strict() {
    for (name, json) in documents("accepted") {
        let reading = lenient(&json);
        let faults =
            reading.report.iter().filter(|issue| !["control-character", "blank", "urn"].contains(&&*issue.rule));
        assert_eq!(faults.count(), 0, "{name}: {}", reading.report);
        assert_eq!(reading.value, Resource::from_json(json.as_bytes()).unwrap());
    }
}

#[test]
fn lenient_read_refuses_what_it_cannot_keep() {
    for (json, rule) in [
        ("{".to_owned(), "json"),
        (device(r#""model":tru"#), "json"),
        (nested(129), "json-depth"),
        (r#"{"resourceType":"Devices"}"#.to_owned(), "resource-type"),
        ("{}".to_owned(), "resource-type"),
        ("[]".to_owned(), "wrong-type"),
        (device(r#""contained":[{"id":"x"}]"#), "resource-type"),
    ] {
        let report = Resource::read(json.as_bytes(), ReadMode::Lenient).unwrap_err();
        assert!(report.iter().any(|issue| issue.rule == rule && issue.severity <= Severity::Error), "{json}: {report}");
    }
    let metric = br#"{"resourceType":"DeviceMetric"}"#;
    assert!(Device::read(metric, ReadMode::Lenient).unwrap_err().has_errors());
}

// ------------------------------------------------------------------------------------------------- other resources

#[test]
fn unmodelled_resource_is_kept_verbatim() {
    let patient = r#"{"name":[{"text":"Z\u00e9 \/ 1"}],"resourceType":"Patient","id":"p1","x":[1.50,-0,1e400,true],"_birthDate":{"id":"b"},"é":"é"}"#;
    assert_eq!(Resource::from_json(patient.as_bytes()).unwrap().to_json(), patient);
    let contained = device(&format!(r##""contained":[{patient}],"patient":{{"reference":"#p1"}}"##));
    assert_eq!(Device::from_json(contained.as_bytes()).unwrap().to_json(), contained);
    let bundle = format!(
        r##"{{"resourceType":"Bundle","type":"batch-response","entry":[{{"resource":{patient},"response":{{"status":"200","outcome":{patient}}}}}]}}"##
    );
    assert_eq!(Bundle::from_json(bundle.as_bytes()).unwrap().to_json(), bundle);
    let spaced = " { \"resourceType\" : \"Patient\" ,\r\n\t\"a\\\" b\" : [ 1 , \" \\\" x \" ] } ";
    assert_eq!(
        Resource::from_json(spaced.as_bytes()).unwrap().to_json(),
        r#"{"resourceType":"Patient","a\" b":[1," \" x "]}"#
    );
}
