//! Generated documents of R4 and R5: a small table of their elements, and a tape of choices that determines a document.

use crate::exact::{Exact, exact};
use fhir_devices::convert::{self, Components, IdPolicy, MetricDevice, Options, Version};
use proptest::prelude::*;

/// The type of an element.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Uri,
    Instant,
    DateTime,
    Boolean,
    Integer,
    Base64,
    Code(&'static [&'static str]),
    Concept,
    /// A concept, with codes that a conversion adds or that imply a status.
    StatusReason,
    Identifier,
    Reference(&'static [&'static str]),
    CodeableReference,
    Quantity,
    SimpleQuantity,
    Range,
    Attachment,
    Annotation,
    ContactPoint,
    Timing,
    Parts(&'static [Row]),
    /// One value of several types, each with the suffix of its name.
    Choice(&'static [(&'static str, Type)]),
}
use Type::*;

/// An element: its name, its cardinality, and its type.
type Row = (&'static str, Count, Type);

#[derive(Clone, Copy, PartialEq)]
enum Count {
    Optional,
    One,
    Many,
}
use Count::{Many, One, Optional};

const ENTRY_R4: &[&str] = &["barcode", "rfid", "manual", "card", "self-reported", "unknown", "electronic-transmission"];
const DEVICES: &[&str] = &["Device"];

const DEVICE_R4: &[Row] = &[
    ("identifier", Many, Identifier),
    ("definition", Optional, Reference(&["DeviceDefinition"])),
    (
        "udiCarrier",
        Many,
        Parts(&[
            ("deviceIdentifier", Optional, Text),
            ("issuer", Optional, Uri),
            ("jurisdiction", Optional, Uri),
            ("carrierAIDC", Optional, Base64),
            ("carrierHRF", Optional, Text),
            ("entryType", Optional, Code(ENTRY_R4)),
        ]),
    ),
    ("status", Optional, Code(&["active", "inactive", "entered-in-error", "unknown"])),
    ("statusReason", Many, StatusReason),
    ("distinctIdentifier", Optional, Text),
    ("manufacturer", Optional, Text),
    ("manufactureDate", Optional, DateTime),
    ("expirationDate", Optional, DateTime),
    ("lotNumber", Optional, Text),
    ("serialNumber", Optional, Text),
    (
        "deviceName",
        Many,
        Parts(&[
            ("name", One, Text),
            (
                "type",
                One,
                Code(&[
                    "udi-label-name",
                    "user-friendly-name",
                    "patient-reported-name",
                    "manufacturer-name",
                    "model-name",
                    "other",
                ]),
            ),
        ]),
    ),
    ("modelNumber", Optional, Text),
    ("partNumber", Optional, Text),
    ("type", Optional, Concept),
    ("specialization", Many, Parts(&[("systemType", One, Concept), ("version", Optional, Text)])),
    ("version", Many, Parts(&[("type", Optional, Concept), ("component", Optional, Identifier), ("value", One, Text)])),
    (
        "property",
        Many,
        Parts(&[("type", One, Concept), ("valueQuantity", Many, Quantity), ("valueCode", Many, Concept)]),
    ),
    ("patient", Optional, Reference(&["Patient"])),
    ("owner", Optional, Reference(&["Organization"])),
    ("contact", Many, ContactPoint),
    ("location", Optional, Reference(&["Location"])),
    ("url", Optional, Uri),
    ("note", Many, Annotation),
    ("safety", Many, Concept),
    ("parent", Optional, Reference(DEVICES)),
];

const CALIBRATION: Type = Parts(&[
    ("type", Optional, Code(&["unspecified", "offset", "gain", "two-point"])),
    ("state", Optional, Code(&["not-calibrated", "calibration-required", "calibrated", "unspecified"])),
    ("time", Optional, Instant),
]);
const OPERATIONAL: Type = Code(&["on", "off", "standby", "entered-in-error"]);
const CATEGORY: Type = Code(&["measurement", "setting", "calculation", "unspecified"]);

const METRIC_R4: &[Row] = &[
    ("identifier", Many, Identifier),
    ("type", One, Concept),
    ("unit", Optional, Concept),
    ("source", Optional, Reference(DEVICES)),
    ("parent", Optional, Reference(DEVICES)),
    ("operationalStatus", Optional, OPERATIONAL),
    ("color", Optional, Code(&["black", "red", "white"])),
    ("category", One, CATEGORY),
    ("measurementPeriod", Optional, Timing),
    ("calibration", Many, CALIBRATION),
];

const DEVICE_R5: &[Row] = &[
    ("identifier", Many, Identifier),
    ("displayName", Optional, Text),
    ("definition", Optional, CodeableReference),
    (
        "udiCarrier",
        Many,
        Parts(&[
            ("deviceIdentifier", One, Text),
            ("issuer", One, Uri),
            ("jurisdiction", Optional, Uri),
            ("carrierAIDC", Optional, Base64),
            ("carrierHRF", Optional, Text),
            ("entryType", Optional, Code(ENTRY_R4)),
        ]),
    ),
    ("status", Optional, Code(&["active", "inactive", "entered-in-error"])),
    ("availabilityStatus", Optional, Concept),
    ("biologicalSourceEvent", Optional, Identifier),
    ("manufacturer", Optional, Text),
    ("manufactureDate", Optional, DateTime),
    ("expirationDate", Optional, DateTime),
    ("lotNumber", Optional, Text),
    ("serialNumber", Optional, Text),
    (
        "name",
        Many,
        Parts(&[
            ("value", One, Text),
            ("type", One, Code(&["registered-name", "user-friendly-name", "patient-reported-name"])),
            ("display", Optional, Boolean),
        ]),
    ),
    ("modelNumber", Optional, Text),
    ("partNumber", Optional, Text),
    ("category", Many, Concept),
    ("type", Many, Concept),
    (
        "version",
        Many,
        Parts(&[
            ("type", Optional, Concept),
            ("component", Optional, Identifier),
            ("installDate", Optional, DateTime),
            ("value", One, Text),
        ]),
    ),
    (
        "conformsTo",
        Many,
        Parts(&[("category", Optional, Concept), ("specification", One, Concept), ("version", Optional, Text)]),
    ),
    (
        "property",
        Many,
        Parts(&[
            ("type", One, Concept),
            (
                "value",
                One,
                Choice(&[
                    ("Quantity", Quantity),
                    ("CodeableConcept", Concept),
                    ("String", Text),
                    ("Boolean", Boolean),
                    ("Integer", Integer),
                    ("Range", Range),
                    ("Attachment", Attachment),
                ]),
            ),
        ]),
    ),
    ("mode", Optional, Concept),
    ("cycle", Optional, Quantity),
    ("duration", Optional, Quantity),
    ("owner", Optional, Reference(&["Organization"])),
    ("contact", Many, ContactPoint),
    ("location", Optional, Reference(&["Location"])),
    ("url", Optional, Uri),
    ("endpoint", Many, Reference(&["Endpoint"])),
    ("gateway", Many, CodeableReference),
    ("note", Many, Annotation),
    ("safety", Many, Concept),
    ("parent", Optional, Reference(DEVICES)),
];

const METRIC_R5: &[Row] = &[
    ("identifier", Many, Identifier),
    ("type", One, Concept),
    ("unit", Optional, Concept),
    ("device", One, Reference(DEVICES)),
    ("operationalStatus", Optional, OPERATIONAL),
    ("color", Optional, Code(&["black", "teal", "#00ff00"])),
    ("category", One, CATEGORY),
    ("measurementFrequency", Optional, Quantity),
    ("calibration", Many, CALIBRATION),
];

const DECIMALS: [&str; 11] =
    ["1.50", "2", "0.0010", "1e3", "1.50E+2", "-2.5e-7", "0.00e5", "-0e0", "6e300", "1e-9999999999999999999", "12.0e0"];

/// The codings that `statusReason` may have.
const REASONS: [&str; 6] = [
    r#"{"system":"http://hl7.org/fhir/operational-status","code":"off"}"#,
    r#"{"system":"http://hl7.org/fhir/operational-status","code":"on","display":"On"}"#,
    r#"{"system":"http://hl7.org/fhir/operational-status","code":"entered-in-error"}"#,
    r#"{"system":"http://terminology.hl7.org/CodeSystem/device-status-reason","code":"off"}"#,
    r#"{"system":"http://terminology.hl7.org/CodeSystem/device-status-reason","code":"online"}"#,
    r#"{"system":"urn:iso:std:iso:11073:10101","code":"1"}"#,
];

/// Writes a document from a tape of choices. After the end of the tape nothing is added, so that a failure shrinks.
struct Generator<'t> {
    tape: std::slice::Iter<'t, u16>,
    version: Version,
    depth: u32,
    number: u32,
}

impl Generator<'_> {
    fn choose(&mut self, of: usize) -> usize {
        self.tape.next().map_or(0, |choice| usize::from(*choice) % of)
    }

    fn rarely(&mut self, one_in: usize) -> bool {
        self.choose(one_in) == one_in - 1
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.number += 1;
        format!("{prefix}{}", self.number)
    }

    fn decimal(&mut self) -> &'static str {
        DECIMALS[self.choose(DECIMALS.len())]
    }

    fn is_r5(&self) -> bool {
        self.version == Version::R5
    }

    /// Returns an object of these members, sometimes with an id and extensions.
    fn object(&mut self, members: Vec<String>) -> String {
        let mut all = Vec::new();
        if self.rarely(12) {
            all.push(format!(r#""id":"{}""#, self.fresh("e")));
        }
        if self.rarely(12) {
            all.push(self.extensions());
        }
        all.extend(members);
        format!("{{{}}}", all.join(","))
    }

    fn extensions(&mut self) -> String {
        let count = 1 + self.choose(2);
        let items: Vec<String> = (0..count).map(|_| self.extension()).collect();
        format!(r#""extension":[{}]"#, items.join(","))
    }

    fn extension(&mut self) -> String {
        let url = self.fresh("http://a.example/");
        self.depth += 1;
        let r5 = self.is_r5();
        let value = match self.choose(if self.depth > 2 { 6 } else { 18 }) {
            0 => r#""valueCode":"a""#.to_owned(),
            1 => format!(r#""valueDecimal":{}"#, self.decimal()),
            2 => r#""valueUrl":"http://b.example""#.to_owned(),
            3 => r#""valueCanonical":"http://b.example|1","_valueCanonical":{"id":"c"}"#.to_owned(),
            4 => r#""valueUuid":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520""#.to_owned(),
            5 if r5 => r#""valueInteger64":"9007199254740993""#.to_owned(),
            5 => r#""_valueString":{"id":"s","extension":[{"url":"http://c.example","valueBoolean":false}]}"#.to_owned(),
            6 => format!(r#""valueReference":{}"#, self.value(Reference(&["Device", "Patient"]))),
            7 => format!(r#""valueIdentifier":{}"#, self.value(Identifier)),
            8 => format!(r#""valueAttachment":{}"#, self.value(Attachment)),
            9 => format!(r#""valueTiming":{}"#, self.value(Timing)),
            10 => format!(r#""valueAnnotation":{}"#, self.value(Annotation)),
            11 => format!(r#""valueQuantity":{}"#, self.value(Quantity)),
            12 => format!(r#""valueMoney":{{"value":{},"currency":"EUR"}}"#, self.decimal()),
            13 if r5 => {
                let (interval, unit) = (self.decimal(), ["s", "ms"][self.choose(2)]);
                format!(r#""valueSampledData":{{"origin":{{"value":0.0}},"interval":{interval},"intervalUnit":"{unit}","dimensions":1,"codeMap":"http://a.example","data":"1 2"}}"#)
            }
            13 => {
                let (origin, period, factor) = (self.decimal(), self.decimal(), self.decimal());
                format!(r#""valueSampledData":{{"origin":{{"value":{origin}}},"period":{period},"factor":{factor},"dimensions":1,"data":"1 2"}}"#)
            }
            14 => r#""valueSignature":{"type":[{"code":"a"}],"when":"2020-01-01T00:00:00Z","who":{"reference":"PractitionerRole/a"},"sigFormat":"application/jose","data":"AAEC"}"#.to_owned(),
            15 => r#""valueAddress":{"use":"billing","line":["a",null],"_line":[null,{"id":"v","extension":[{"url":"http://v.example","valueCode":"v"}]}],"city":"a"}"#.to_owned(),
            16 => r#""valueHumanName":{"given":[null,"b"],"_given":[{"id":"v","extension":[{"url":"http://v.example","valueCode":"v"}]},null],"period":{"start":"2020"}}"#.to_owned(),
            _ => self.extensions(),
        };
        self.depth -= 1;
        format!(r#"{{"url":"{url}",{value}}}"#)
    }

    /// Returns a primitive as the members of an object: its value, its id and extensions, or both.
    fn primitive(&mut self, name: &str, value: &str) -> String {
        match self.choose(10) {
            8 => format!(r#""{name}":{value},"_{name}":{{"id":"{}"}}"#, self.fresh("p")),
            9 => format!(r#""{name}":{value},"_{name}":{{{}}}"#, self.extensions()),
            7 if self.rarely(2) => format!(r#""_{name}":{{{}}}"#, self.extensions()),
            _ => format!(r#""{name}":{value}"#),
        }
    }

    fn scalar(&mut self, r#type: Type) -> Option<String> {
        Some(match r#type {
            Text => format!(r#""{}""#, self.fresh("text ")),
            Uri => format!(r#""{}""#, self.fresh("http://u.example/")),
            Instant => r#""2014-10-07T14:45:00.120Z""#.to_owned(),
            DateTime => ["\"2015-08\"", "\"2015-08-08T16:00:00+02:00\"", "\"2015\""][self.choose(3)].to_owned(),
            Boolean => ["true", "false"][self.choose(2)].to_owned(),
            Integer => ["0", "-7", "12"][self.choose(3)].to_owned(),
            Base64 => r#""AAEC""#.to_owned(),
            Code(codes) => format!(r#""{}""#, codes[self.choose(codes.len())]),
            _ => return None,
        })
    }

    /// Returns a subset of the members.
    fn some(&mut self, members: &[String]) -> Vec<String> {
        let mut kept: Vec<String> = members.iter().filter(|_| !self.rarely(3)).cloned().collect();
        if kept.is_empty() {
            kept.push(members[0].clone());
        }
        kept
    }

    fn value(&mut self, r#type: Type) -> String {
        let members = match r#type {
            Concept => {
                let codings = self.choose(3);
                let coding = |own: &mut Self| {
                    let code = own.fresh("c");
                    own.object(vec![
                        r#""system":"urn:iso:std:iso:11073:10101""#.to_owned(),
                        format!(r#""code":"{code}""#),
                    ])
                };
                let codings: Vec<String> = (0..codings).map(|_| coding(self)).collect();
                let text = self.scalar(Text).unwrap();
                let mut members = Vec::new();
                if !codings.is_empty() {
                    members.push(format!(r#""coding":[{}]"#, codings.join(",")));
                }
                members.push(self.primitive("text", &text));
                members
            }
            StatusReason => {
                let count = 1 + self.choose(3);
                let codings: Vec<&str> = (0..count).map(|_| REASONS[self.choose(REASONS.len())]).collect();
                let mut members = vec![format!(r#""coding":[{}]"#, codings.join(","))];
                if self.rarely(4) {
                    members.push(self.primitive("text", r#""a""#));
                }
                members
            }
            Identifier => {
                let value = self.scalar(Text).unwrap();
                let r#use = ["official", "old", "usual"][self.choose(3)];
                let mut members = vec![self.primitive("value", &value)];
                if self.rarely(2) {
                    members.push(format!(r#""use":"{}""#, r#use));
                }
                if self.rarely(4) && self.depth < 3 {
                    self.depth += 1;
                    members.push(format!(r#""assigner":{}"#, self.value(Reference(&["Organization"]))));
                    self.depth -= 1;
                }
                members
            }
            Reference(targets) => {
                let target = targets[self.choose(targets.len())];
                let id = self.fresh("r");
                let text = match self.choose(5) {
                    0 | 1 => format!("{target}/{id}"),
                    2 => format!("http://s.example/fhir/{target}/{id}/_history/2"),
                    3 => "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a".to_owned(),
                    _ => "#c".to_owned(),
                };
                let mut members = vec![self.primitive("reference", &format!(r#""{text}""#))];
                if self.rarely(4) {
                    members.push(format!(r#""type":"{target}""#));
                }
                if self.rarely(4) {
                    members.push(r#""display":"d""#.to_owned());
                }
                members
            }
            CodeableReference => {
                let concept = format!(r#""concept":{}"#, self.value(Concept));
                let reference = format!(r#""reference":{}"#, self.value(Reference(&["DeviceDefinition", "Device"])));
                self.some(&[concept, reference])
            }
            Quantity | SimpleQuantity => {
                let value = self.decimal();
                let comparator = if self.is_r5() { "ad" } else { "<" };
                let comparator = format!(r#""comparator":"{comparator}""#);
                let mut members = vec![self.primitive("value", value)];
                if matches!(r#type, Quantity) && self.rarely(3) {
                    members.push(comparator);
                }
                members
            }
            Range => {
                let (low, high) = (self.value(SimpleQuantity), self.value(SimpleQuantity));
                self.some(&[format!(r#""low":{low}"#), format!(r#""high":{high}"#)])
            }
            Attachment => {
                let size = match (self.is_r5(), self.choose(2)) {
                    (true, 0) => r#""123""#,
                    (true, _) => r#""3000000000""#,
                    (false, _) => "123",
                };
                let mut members = vec![r#""contentType":"image/png""#.to_owned(), r#""data":"AAEC""#.to_owned()];
                members.push(self.primitive("size", size));
                if self.is_r5() && self.rarely(2) {
                    members.extend([r#""width":10"#.to_owned(), format!(r#""duration":{}"#, self.decimal())]);
                }
                members
            }
            Annotation => {
                let author = match (self.is_r5(), self.choose(3)) {
                    (_, 0) => r#""authorString":"a""#.to_owned(),
                    (true, 1) => r#""authorReference":{"reference":"PractitionerRole/a"}"#.to_owned(),
                    _ => r#""authorReference":{"reference":"Organization/o"}"#.to_owned(),
                };
                vec![author, r#""text":"a *b*""#.to_owned()]
            }
            ContactPoint => {
                vec![r#""system":"phone""#.to_owned(), r#""value":"1""#.to_owned(), r#""rank":1"#.to_owned()]
            }
            Timing => {
                let when = if self.is_r5() { r#"["IMD","HS"]"# } else { r#"["MORN.early","HS"]"# };
                let repeat = [
                    format!(r#"{{"count":3,"frequency":1,"period":{},"periodUnit":"s"}}"#, self.decimal()),
                    format!(r#"{{"when":{when},"_when":[{{"id":"w"}},null]}}"#),
                    r#"{"boundsPeriod":{"start":"2020"},"timeOfDay":["08:00:00"]}"#.to_owned(),
                ][self.choose(3)]
                .clone();
                vec![
                    r#""event":[null,"2020-01-01"],"_event":[{"id":"v","extension":[{"url":"http://v.example","valueCode":"v"}]},null]"#.to_owned(),
                    format!(r#""repeat":{repeat}"#),
                ]
            }
            Parts(rows) => {
                let mut members = self.members(rows);
                if members.is_empty() {
                    members = self.member(&rows[0], 1);
                }
                members
            }
            _ => return self.scalar(r#type).unwrap(),
        };
        self.object(members)
    }

    fn members(&mut self, rows: &[Row]) -> Vec<String> {
        let mut members = Vec::new();
        for row in rows {
            let count = match row.1 {
                One => 1,
                Optional => usize::from(self.rarely(3)),
                Many => self.choose(4).saturating_sub(1),
            };
            members.extend(self.member(row, count));
        }
        members
    }

    fn member(&mut self, (name, count, r#type): &Row, number: usize) -> Vec<String> {
        if number == 0 {
            return Vec::new();
        }
        if *count == Many {
            let items: Vec<String> = (0..number).map(|_| self.value(*r#type)).collect();
            return vec![format!(r#""{name}":[{}]"#, items.join(","))];
        }
        if let Choice(choices) = r#type {
            let (end, r#type) = choices[self.choose(choices.len())];
            return self.member(&(format!("{name}{end}").leak(), One, r#type), 1);
        }
        match self.scalar(*r#type) {
            Some(value) => vec![self.primitive(name, &value)],
            None => vec![format!(r#""{name}":{}"#, self.value(*r#type))],
        }
    }

    fn resource(&mut self, r#type: &str, rows: &[Row], component: bool) -> String {
        let mut members = vec![format!(r#""resourceType":"{type}","id":"x""#)];
        let mut meta: Vec<String> = Vec::new();
        if self.rarely(3) {
            meta.extend([r#""versionId":"7""#.to_owned(), r#""source":"http://m.example""#.to_owned()]);
        }
        let mut tags: Vec<String> = Vec::new();
        if self.rarely(3) {
            tags.push(r#"{"system":"http://t.example","code":"t"}"#.to_owned());
        }
        if component {
            let system =
                fhir_devices::primitive::CanonicalBase::default().url(fhir_devices::primitive::CanonicalName::Stu3Type);
            tags.push(format!(r#"{{"system":"{system}","code":"DeviceComponent"}}"#));
        }
        if !tags.is_empty() {
            meta.push(format!(r#""tag":[{}]"#, tags.join(",")));
        }
        if !meta.is_empty() {
            members.push(format!(r#""meta":{{{}}}"#, meta.join(",")));
        }
        if self.rarely(4) {
            members.push(
                r#""text":{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>"}"#.to_owned(),
            );
        }
        if self.rarely(4) {
            members.push(r#""contained":[{"resourceType":"Device","id":"c","serialNumber":"1"}]"#.to_owned());
        }
        if self.rarely(3) {
            members.push(self.extensions());
        }
        if self.rarely(6) {
            members.push(format!(r#""modifierExtension":[{}]"#, self.extension()));
        }
        members.extend(self.members(rows));
        format!("{{{}}}", members.join(","))
    }
}

/// Returns a document of R4 or R5 from its tape.
pub(crate) fn document(version: Version, metric: bool, component: bool, tape: &[u16]) -> String {
    let mut generator = Generator { tape: tape.iter(), version, depth: 0, number: 0 };
    let (r#type, rows) = match (version, metric) {
        (Version::R5, true) => ("DeviceMetric", METRIC_R5),
        (Version::R5, false) => ("Device", DEVICE_R5),
        (_, true) => ("DeviceMetric", METRIC_R4),
        (_, false) => ("Device", DEVICE_R4),
    };
    generator.resource(r#type, rows, component && !metric)
}

/// The number of generated documents: `CONVERT_CASES`, if set.
fn cases() -> u32 {
    std::env::var("CONVERT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

fn there_and_back(json: &str, version: Version, through: Version, options: &Options) -> Result<(), TestCaseError> {
    let there = convert::between(version, through, json.as_bytes(), options)
        .map_err(|report| TestCaseError::fail(format!("{version} to {through}: {report}\n{json}")))?;
    let back = convert::between(through, version, there.json.as_bytes(), options)
        .map_err(|report| TestCaseError::fail(format!("{through} to {version}: {report}\n{}", there.json)))?;
    prop_assert_eq!(exact(&back.json), exact(json), "{} by {}\n{}\n{}", version, through, json, there.json);
    Ok(())
}

fn tapes() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_documents_of_r4_come_back_equal(tape in tapes(), metric in any::<bool>(), component in any::<bool>()) {
        let json = document(Version::R4, metric, component, &tape);
        for options in [
            Options::default(),
            Options::default().metric_device(MetricDevice::Source),
        ] {
            there_and_back(&json, Version::R4, Version::Stu3, &options)?;
            there_and_back(&json, Version::R4, Version::R5, &options)?;
            there_and_back(&json, Version::R4B, Version::Stu3, &options)?;
        }
        let by_level = Options::default().components(Components::ByLevel);
        there_and_back(&json, Version::R4, Version::Stu3, &by_level)?;
    }

    #[test]
    fn generated_documents_of_r5_come_back_equal(tape in tapes(), metric in any::<bool>(), component in any::<bool>()) {
        let json = document(Version::R5, metric, component, &tape);
        for options in [
            Options::default(),
            Options::default().metric_device(MetricDevice::Source),
        ] {
            there_and_back(&json, Version::R5, Version::Stu3, &options)?;
            there_and_back(&json, Version::R5, Version::R4, &options)?;
        }
    }

    /// An accepted document is kept whole: a faulty document is refused, or converts back unchanged.
    #[test]
    fn faulty_documents_of_r4_and_r5_are_refused_or_come_back_equal(
        tape in tapes(),
        r5 in any::<bool>(),
        metric in any::<bool>(),
        component in any::<bool>(),
        faults in prop::collection::vec((any::<prop::sample::Index>(), 0..FAULTS.len()), 1..4),
    ) {
        let version = if r5 { Version::R5 } else { Version::R4 };
        let mut json = document(version, metric, component, &tape);
        for (place, fault) in faults {
            json = with_fault(&json, place, FAULTS[fault]);
        }
        for version in [version, Version::R4, Version::R5, Version::R4B] {
            let options = Options::default();
            let reading = match convert::from(version, json.as_bytes(), &options) {
                Ok(reading) => reading,
                Err(report) => {
                    prop_assert!(report.has_errors(), "{}: {}", json, report);
                    let placed = report.iter().all(|issue| !issue.at.is_empty());
                    prop_assert!(placed, "{}", report);
                    continue;
                }
            };
            if reading.report.iter().any(|issue| issue.rule == "edited") {
                continue;
            }
            let back = convert::to(version, &reading.value, &options)
                .map_err(|report| TestCaseError::fail(format!("{version}: {report}\n{json}\n{}", reading.value.to_json())))?;
            // What its version requires and it does not have is filled.
            if back.report.iter().any(|issue| issue.rule == "filled") {
                continue;
            }
            let (back, json) = (unpadded(exact(&back.json)), unpadded(exact(&json)));
            prop_assert_eq!(back, json, "{}\n{}", version, reading.value.to_json());
        }
    }
}

/// Returns the document without nulls at the ends of arrays, which are only padding.
fn unpadded(json: Exact) -> Exact {
    match json {
        Exact::Object(members) => {
            Exact::Object(members.into_iter().map(|(name, value)| (name, unpadded(value))).collect())
        }
        Exact::Array(items) => {
            let mut items: Vec<Exact> = items.into_iter().map(unpadded).collect();
            while items.last().is_some_and(|last| *last == Exact::Token("null".to_owned())) {
                items.pop();
            }
            Exact::Array(items)
        }
        other => other,
    }
}

/// The faulty replacements of a value.
const FAULTS: [&str; 14] = [
    "null",
    "{}",
    "[]",
    "\"\"",
    "5",
    "true",
    "[null]",
    "[{}]",
    "{\"a\":1}",
    "\"DeviceComponent\"",
    "[null,{\"id\":\"x\"}]",
    "[\"a\"]",
    "{\"reference\":\"Device/a\"}",
    "[{\"value\":\"1\"}]",
];

/// Returns the document with a fault in place of the value after one of its colons.
fn with_fault(json: &str, place: prop::sample::Index, fault: &str) -> String {
    let colons: Vec<usize> = json.match_indices("\":").map(|(at, _)| at + 2).collect();
    if colons.is_empty() {
        return json.to_owned();
    }
    let start = colons[place.index(colons.len())];
    let rest = &json[start..];
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&serde_json::value::RawValue>();
    let end = match stream.next() {
        Some(Ok(raw)) => start + raw.get().len(),
        _ => json.len(),
    };
    format!("{}{fault}{}", &json[..start], &json[end..])
}

#[test]
fn ids_with_a_prefix_come_back() {
    let options = Options::default().ids(IdPolicy::Prefix("dc-".to_owned()));
    let json = document(Version::R4, false, true, &[]).replace(r#""id":"x""#, r#""id":"dc-x""#);
    let reading = convert::from(Version::R4, json.as_bytes(), &options).unwrap();
    assert!(reading.value.to_json().contains(r#""id":"x""#));
    assert_eq!(exact(&convert::to(Version::R4, &reading.value, &options).unwrap().json), exact(&json));
}
