//! Properties of every value, and of every text.

use crate::exact::exact;
use crate::reading::device;
use fhir_devices::element::ReadMode;
use fhir_devices::testkit::strategies;
use fhir_devices::validate::check_xml;
use fhir_devices::{Device, Resource};
use proptest::prelude::*;

const DOCUMENTS: [&str; 4] = [
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Device xmlns=\"http://hl7.org/fhir\"><id value=\"a\"/><text><status value=\"generated\"/>\
     <div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &amp; b<br/></p></div></text><contained><Patient><id value=\"p\"/><name>\
     <given value=\"x\"/><given id=\"g\"/></name></Patient></contained><extension url=\"http://e.example\"><valueDecimal value=\"1.50\"/>\
     </extension><identifier><system value=\"http://s.example\"/><value value=\"1\"/></identifier><status value=\"active\"/>\
     <patient><reference value=\"#p\"/></patient></Device>",
    "<f:DeviceMetric xmlns:f='http://hl7.org/fhir'><f:identifier><f:value value='1'/></f:identifier><f:type><f:text value='t'/></f:type>\
     <f:category value='measurement'/><f:calibration><f:time value='2016-12-28T09:03:04-05:00'/></f:calibration></f:DeviceMetric>",
    "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"batch\"/><entry><resource><Device xmlns=\"http://hl7.org/fhir\"><model value=\"m\"/>\
     </Device></resource><request><method value=\"POST\"/><url value=\"Device\"/></request></entry></Bundle>",
    "<Observation xmlns=\"http://hl7.org/fhir\"><!-- c --><status value=\"final\"/><code><coding><code value=\"1\"/></coding></code>\
     <valueQuantity><value value=\"0.10\"/></valueQuantity><component><code><text value=\"c\"/></code><valueString value=\"true\"/></component></Observation>",
];

const PIECES: [&str; 24] = [
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "&",
    ";",
    "=",
    " ",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?",
    "?>",
    "<!DOCTYPE a>",
    "&#0;",
    "&amp;",
    "xmlns=\"\"",
    "xmlns:f=\"urn:x\" ",
    "<extension url=\"u\">",
    "\u{0}",
    "\u{fffe}",
];

/// A change of a text: a piece is inserted, cut out, copied or moved, at positions given as shares of its length.
#[derive(Clone, Debug)]
enum Change {
    Insert(u32, usize),
    Remove(u32, u32),
    Copy(u32, u32, u32),
    Replace(u32, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<u32>(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<u32>(), 0..60u32).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<u32>(), 0..90u32, any::<u32>()).prop_map(|(at, length, to)| Change::Copy(at, length, to)),
        (any::<u32>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
    ]
}

fn changed(document: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = document.as_bytes().to_vec();
    for change in changes {
        let place = |at: u32| at as usize % (bytes.len() + 1);
        let range = |at: u32, length: u32| place(at)..(place(at) + length as usize).min(bytes.len());
        match change {
            Change::Insert(at, piece) => {
                let at = place(*at);
                bytes.splice(at..at, PIECES[*piece].bytes());
            }
            Change::Remove(at, length) => {
                bytes.drain(range(*at, *length));
            }
            Change::Copy(at, length, to) => {
                let (piece, to) = (bytes[range(*at, *length)].to_vec(), place(*to));
                bytes.splice(to..to, piece);
            }
            Change::Replace(at, byte) => {
                let at = place(*at);
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = *byte;
                }
            }
        }
    }
    bytes
}

/// Returns a document without arrays of nulls alone, which XML cannot distinguish from no array.
fn unpadded(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    while let Some(at) = rest.find("\":[null") {
        let (before, array) = rest.split_at(at);
        let end = array.find(']').unwrap();
        let is_all = array[3..end].split(',').all(|item| item == "null");
        let name = before.rfind('"').unwrap();
        if is_all && !before[name..].starts_with("\"_") {
            out.push_str(&before[..name]);
            rest = array[end + 1..].strip_prefix(',').unwrap_or(&array[end + 1..]);
        } else {
            out.push_str(before);
            out.push_str(&array[..3]);
            rest = &array[3..];
        }
    }
    out + rest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_text_makes_a_read_panic_or_lose_what_it_took(
        document in 0..DOCUMENTS.len(),
        changes in prop::collection::vec(change(), 1..5),
    ) {
        let bytes = changed(DOCUMENTS[document], &changes);
        let checked = check_xml(&bytes, ReadMode::Strict);
        if let Ok(read) = Resource::from_xml(&bytes) {
            let xml = read.to_xml();
            prop_assert!(xml.is_ok(), "{:?}", xml);
            prop_assert_eq!(Resource::from_xml(xml.unwrap().as_bytes()).map(|read| read.to_json()), Ok(read.to_json()));
        } else {
            prop_assert!(checked.report().has_errors());
        }
        if let Ok(read) = Resource::read_xml(&bytes, ReadMode::Lenient)
            && let Ok(xml) = read.value.to_xml()
        {
            let again = Resource::read_xml(xml.as_bytes(), ReadMode::Lenient).map(|read| read.value.to_json());
            // What no definition knows is written last.
            prop_assert_eq!(again.map(|json| exact(&json)), Ok(exact(&read.value.to_json())), "{}", xml);
        }
    }

    #[test]
    fn every_string_of_xml_comes_back(text in "[ -~\t\n\r\u{e9}\u{2028}\u{fffd}\u{10ffff}&<>\"']{1,40}") {
        let json = serde_json::json!({"resourceType": "Device", "model": text}).to_string();
        let read = Device::from_json(json.as_bytes()).unwrap();
        prop_assert_eq!(Device::from_xml(read.to_xml().unwrap().as_bytes()), Ok(read));
    }

    #[test]
    fn no_content_makes_a_read_panic(content in "[<>/&;#xa-c='\" \\-!\\[\\]?:]{0,60}") {
        let _ = check_xml(device(&content).as_bytes(), ReadMode::Strict);
        let _ = check_xml(device(&content).as_bytes(), ReadMode::Lenient);
        let _ = check_xml(content.as_bytes(), ReadMode::Lenient);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_value_comes_back_from_xml(resource in strategies::resource()) {
        match resource.to_xml() {
            Ok(xml) => {
                let again = Resource::from_xml(xml.as_bytes());
                prop_assert!(again.is_ok(), "{}\n{}", again.unwrap_err(), xml);
                let again = again.unwrap();
                prop_assert_eq!(exact(&unpadded(&again.to_json())), exact(&unpadded(&resource.to_json())), "{}", xml);
                prop_assert_eq!(again.to_xml(), Ok(xml));
            }
            Err(report) => prop_assert!(report.iter().all(|issue| issue.rule == "no-xml-form"), "{}", report),
        }
    }
}
