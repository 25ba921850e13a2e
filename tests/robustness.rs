//! Arbitrary bytes: nothing panics, nothing overflows the stack, and accepted documents survive being written.
//!
//! Each test runs for a moment, or for `FUZZ_SECONDS`. The inputs follow from a fixed seed, or from `FUZZ_SEED`.
//!
//! Where this crate and `serde_json` differ about valid JSON:
//!
//! - `serde_json` refuses numbers that do not fit a float (`1e400`) unless it keeps them as text; here every JSON
//!   number is valid, and the FHIR type checks it.
//! - `serde_json` stops at 128 levels, this crate after them ([`MAX_DEPTH`]); beyond that nothing is tested.
//! - Half of a surrogate pair (`"\ud800"`) is refused by both; `serde_json` accepts it where it only skips a value.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

#[path = "common/growth.rs"]
mod growth;

use fhir_devices::datatype::Literal;
use fhir_devices::element::{Element, MAX_DEPTH, Raw, ReadMode, Scalar};
use fhir_devices::primitive::{
    Base64, Code, Date, DateTime, Decimal, Id, Instant, Integer, Markdown, Oid, PositiveInt, Text, Time, UnsignedInt,
    Uri, Uuid, Xhtml,
};
use fhir_devices::validate::check;
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Report, Resource, Validate};
use growth::grows;
use std::path::Path;
use std::time::{Duration, Instant as Moment};

// ----------------------------------------------------------------------------------------------------------- chance

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn new(salt: u64) -> Self {
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2017);
        Self(salt.wrapping_mul(0x1234_5678_9abc_def1).wrapping_add(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn byte(&mut self, from: &[u8]) -> u8 {
        from[self.below(from.len())]
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Calls `step` until the time is over.
fn for_a_while(salt: u64, mut step: impl FnMut(&mut Chance)) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.7);
    let end = Moment::now() + Duration::from_secs_f64(seconds);
    let mut chance = Chance::new(salt);
    while Moment::now() < end {
        step(&mut chance);
    }
}

// ------------------------------------------------------------------------------------------------------------ probes

/// Checks a document as one type.
macro_rules! probe {
    ($Type:ident, $json:expr) => {
        if let Ok(value) = $Type::from_json($json) {
            let written = value.to_json();
            let again = $Type::from_json(written.as_bytes());
            assert_eq!(again.as_ref(), Ok(&value), "read again: {written}");
            assert_eq!(again.unwrap().to_json(), written, "written again");
            assert_same_value($json, &written);
            let report = value.validate();
            assert_eq!(Report::from(&OperationOutcome::from(&report)).to_string(), report.to_string());
            let lenient = $Type::read($json, ReadMode::Lenient).unwrap();
            // What both find are warnings, such as of a control character in a text.
            let strict = $Type::read($json, ReadMode::Strict).unwrap();
            assert!(strict.value == value && !strict.report.has_errors(), "strict: {}", strict.report);
            assert!(lenient.report == strict.report && lenient.value == value, "lenient: {}", lenient.report);
        } else if let Ok(reading) = $Type::read($json, ReadMode::Lenient) {
            assert!(!reading.report.is_empty() && !reading.report.has_errors());
            let written = reading.value.to_json();
            let again = $Type::read(written.as_bytes(), ReadMode::Lenient).unwrap().value;
            assert_eq!(again.to_json(), written, "written again");
            let moved = |issue: &fhir_devices::Issue| matches!(&*issue.rule, "array-length" | "duplicate-member");
            if !reading.report.iter().any(moved) {
                assert_same_value($json, &written);
            }
            let _ = reading.value.validate();
        }
    };
}

/// Checks that both texts are the same JSON, as far as `serde_json` can tell.
fn assert_same_value(one: &[u8], other: &str) {
    let other = serde_json::from_str::<serde_json::Value>(other);
    match serde_json::from_slice::<serde_json::Value>(one) {
        Ok(one) => assert_eq!(one, other.unwrap()),
        Err(error) => assert!(is_known_difference(&error), "{error}"),
    }
}

fn is_known_difference(error: &serde_json::Error) -> bool {
    let words = error.to_string();
    words.starts_with("number out of range") || words.starts_with("recursion limit exceeded")
}

fn probe(json: &[u8]) {
    probe!(Resource, json);
    probe!(Device, json);
    probe!(DeviceComponent, json);
    probe!(DeviceMetric, json);
    probe!(Bundle, json);
    probe!(OperationOutcome, json);
    let report = check(json, ReadMode::Strict).into_report();
    let _ = check(json, ReadMode::Lenient);
    let outcome = OperationOutcome::from(&report);
    assert_eq!(OperationOutcome::from_json(outcome.to_json().as_bytes()).as_ref(), Ok(&outcome));
    assert_eq!(report.to_string().lines().count(), report.len(), "a finding is one line: {report}");
    assert!(serde_json::from_str::<serde_json::Value>(&outcome.to_json()).is_ok());

    let broken = report.iter().any(|issue| issue.rule == "json");
    let deep = report.iter().any(|issue| issue.rule == "json-depth");
    match serde_json::from_slice::<serde_json::Value>(json) {
        Ok(_) => assert!(!broken, "serde_json reads it: {report}"),
        Err(error) => assert!(broken || deep || is_known_difference(&error), "serde_json: {error}: {report}"),
    }
    if let Ok(text) = std::str::from_utf8(json) {
        match text.parse::<Raw>() {
            Ok(raw) => {
                assert!(!broken && !deep);
                assert_same_value(json, raw.as_str());
                assert_eq!(raw.as_str().parse::<Raw>().unwrap(), raw);
            }
            Err(_) => assert!(broken || deep),
        }
        probe_text(text);
    }
}

fn probe_text(text: &str) {
    fn each<S: Scalar>(text: &str) {
        if let Ok(value) = S::from_text(text) {
            let mut out = String::new();
            value.push_text(&mut out);
            assert_eq!(out, text, "{}", S::TYPE);
            assert!(value.as_text().is_none_or(|own| own == text));
            assert_eq!(S::from_text(text).as_ref(), Ok(&value));
        }
    }
    each::<Base64>(text);
    each::<Code>(text);
    each::<Date>(text);
    each::<DateTime>(text);
    each::<Decimal>(text);
    each::<Id>(text);
    each::<Instant>(text);
    each::<Integer>(text);
    each::<Markdown>(text);
    each::<Oid>(text);
    each::<PositiveInt>(text);
    each::<Text>(text);
    each::<Time>(text);
    each::<UnsignedInt>(text);
    each::<Uri>(text);
    each::<Uuid>(text);
    each::<Xhtml>(text);
    each::<bool>(text);
    assert_eq!(Literal::parse(text).to_string(), text);
}

/// Probes a document, with the input in the message of a failure.
fn probe_named(json: &[u8]) {
    let result = std::panic::catch_unwind(|| probe(json));
    if let Err(cause) = result {
        eprintln!("the input: {}", String::from_utf8_lossy(json));
        std::panic::resume_unwind(cause);
    }
}

// ------------------------------------------------------------------------------------------------------------ inputs

fn documents() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut documents = Vec::new();
    for part in ["accepted", "refused"] {
        let mut paths: Vec<_> = std::fs::read_dir(folder.join(part)).unwrap().map(|one| one.unwrap().path()).collect();
        paths.sort();
        documents.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
    }
    documents
}

const TOKENS: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e400",
    "1E-2",
    "1.50",
    "01",
    "-",
    "123456789012345678901234567890.00",
    "\"\"",
    "\" \"",
    "\"a\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\n\"",
    "\"#a\"",
    "\"2017-05-26\"",
    "\"Device/1\"",
    "\"id\"",
    "\"extension\"",
    "\"url\"",
    "\"valueString\"",
    "\"_event\"",
    "\"event\"",
    "\"resourceType\"",
    "\"Device\"",
    "\"Patient\"",
    "\"contained\"",
    "{}",
    "[]",
    "[null]",
    "\"\u{e9}\u{1f600}\"",
    "\u{feff}",
];

/// Returns the tokens of a document, without white space.
fn tokens(json: &[u8]) -> Vec<Vec<u8>> {
    let (mut tokens, mut i): (Vec<Vec<u8>>, _) = (Vec::new(), 0);
    while i < json.len() {
        let start = i;
        i += 1;
        match json[start] {
            b'"' => {
                while i < json.len() && json[i] != b'"' {
                    i += if json[i] == b'\\' { 2 } else { 1 };
                }
                i = (i + 1).min(json.len());
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => {}
            b' ' | b'\n' | b'\r' | b'\t' => continue,
            _ => {
                while i < json.len() && !b"{}[],: \n\r\t\"".contains(&json[i]) {
                    i += 1;
                }
            }
        }
        tokens.push(json[start..i].to_vec());
    }
    tokens
}

/// Returns the end of the value that begins at token `start`.
fn value_end(tokens: &[Vec<u8>], start: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.as_slice() {
            b"{" | b"[" => depth += 1,
            b"}" | b"]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

fn mutate_bytes(chance: &mut Chance, json: &mut Vec<u8>) {
    let at = chance.below(json.len());
    match chance.below(6) {
        0 if !json.is_empty() => json[at] ^= 1 << chance.below(8),
        1 if !json.is_empty() => json[at] = chance.byte(b"\"\\{}[],:0-.eEtfnu \n\xff\x00"),
        2 => json.truncate(at),
        3 => json.insert(at.min(json.len()), u8::try_from(chance.below(256)).unwrap()),
        4 => drop(json.drain(at..(at + chance.below(9)).min(json.len()))),
        _ => {
            let end = (at + chance.below(40)).min(json.len());
            let part = json[at.min(end)..end].to_vec();
            let to = chance.below(json.len());
            json.splice(to..to, part);
        }
    }
}

fn mutate_tokens(chance: &mut Chance, tokens: &mut Vec<Vec<u8>>) {
    let at = chance.below(tokens.len());
    let end = value_end(tokens, at);
    // A member is its name, a colon and a value.
    let member = (tokens.get(at + 1).map(Vec::as_slice) == Some(b":")).then(|| value_end(tokens, at + 2));
    match chance.below(9) {
        0 if !tokens.is_empty() => {
            let other = chance.below(tokens.len());
            tokens.swap(at, other);
        }
        1 if !tokens.is_empty() => tokens[at] = chance.pick(&TOKENS).as_bytes().to_vec(),
        2 => tokens.insert(at, chance.pick(&TOKENS).as_bytes().to_vec()),
        3 => drop(tokens.drain(at..end)),
        4 if member.is_some() => {
            let end = member.unwrap();
            let comma = usize::from(tokens.get(end).map(Vec::as_slice) == Some(b","));
            tokens.drain(at..end + comma);
        }
        5 if member.is_some() => {
            let mut copy = tokens[at..member.unwrap()].to_vec();
            copy.push(b",".to_vec());
            tokens.splice(at..at, copy);
        }
        6 => {
            let depth = 1 + chance.below(140);
            let (open, close) = if chance.one_in(2) { ("[", "]") } else { ("{\"extension\":[", "]}") };
            tokens.insert(end.min(tokens.len()), close.repeat(depth).into_bytes());
            tokens.insert(at.min(tokens.len()), open.repeat(depth).into_bytes());
        }
        7 => {
            let mut copy = tokens[at.min(end)..end].to_vec();
            copy.push(b",".to_vec());
            let copies: Vec<_> = std::iter::repeat_n(copy, 1 + chance.below(20)).flatten().collect();
            tokens.splice(at..at, copies);
        }
        _ if !tokens.is_empty() => {
            let (from, other) = (chance.below(tokens.len()), value_end(tokens, chance.below(tokens.len())));
            let value = tokens[from.min(other)..other].to_vec();
            tokens.splice(at..end, value);
        }
        _ => {}
    }
}

/// Writes JSON of any shape, with meaningful names.
fn any_json(chance: &mut Chance, depth: usize, names: &[&str], out: &mut String) {
    let simple = depth == 0 || chance.one_in(3);
    match chance.below(2) {
        _ if simple => out.push_str(chance.pick(&TOKENS[6..])),
        0 => {
            out.push('[');
            for index in 0..chance.below(4) {
                out.push_str(if index > 0 { "," } else { "" });
                any_json(chance, depth - 1, names, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            for index in 0..chance.below(6) {
                out.push_str(if index > 0 { ",\"" } else { "\"" });
                out.push_str(if chance.one_in(6) { "_" } else { "" });
                out.push_str(chance.pick(names));
                out.push_str("\":");
                any_json(chance, depth - 1, names, out);
            }
            out.push('}');
        }
    }
}

// ------------------------------------------------------------------------------------------------------------- tests

#[test]
fn any_bytes_are_read_without_panic() {
    for_a_while(2, |chance| {
        let length = chance.below(64);
        let bytes: Vec<u8> =
            (0..length)
                .map(|_| {
                    if chance.one_in(4) {
                        chance.next().to_le_bytes()[0]
                    } else {
                        chance.byte(b"{}[]\":,\\u0019-.etnf")
                    }
                })
                .collect();
        probe_named(&bytes);
    });
}

#[test]
fn any_json_is_read_without_panic() {
    let mut names: Vec<&str> =
        vec!["resourceType", "foo", "", "valueString", "valueCode", "boundsRange", "authorString"];
    let definitions = [Device::definition(), DeviceMetric::definition(), Bundle::definition()];
    names.extend(definitions.iter().flat_map(|definition| definition.rows).map(|row| row.name));
    for_a_while(3, |chance| {
        let kind = chance.pick(&["Device", "DeviceMetric", "DeviceComponent", "Bundle", "OperationOutcome", "Patient"]);
        let mut json = format!("{{\"resourceType\":\"{kind}\"");
        for _ in 0..chance.below(8) {
            json.push_str(&format!(",\"{}\":", chance.pick(&names)));
            any_json(chance, 4, &names, &mut json);
        }
        json.push('}');
        probe_named(json.as_bytes());
    });
}

#[test]
fn damaged_documents_are_read_without_panic() {
    let documents = documents();
    for_a_while(4, |chance| {
        let mut json = documents[chance.below(documents.len())].clone();
        for _ in 0..=chance.below(3) {
            mutate_bytes(chance, &mut json);
        }
        probe_named(&json);
    });
}

#[test]
fn spliced_documents_are_read_without_panic() {
    let documents: Vec<_> = documents().iter().map(|json| tokens(json)).collect();
    for_a_while(5, |chance| {
        let mut tokens = documents[chance.below(documents.len())].clone();
        for _ in 0..=chance.below(3) {
            mutate_tokens(chance, &mut tokens);
        }
        probe_named(&tokens.concat());
    });
}

#[test]
fn any_text_is_checked_without_panic() {
    let seeds = [
        "2016-02-29T23:59:60.5+14:00",
        "2017-05-26",
        "08:00:00.000",
        "-123.4500",
        "2147483647",
        "urn:oid:1.2.840",
        "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
        "https://ehr.example/fhir/Device/d1/_history/3",
        "#a",
        "AAA=",
        "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>",
        "a b",
        "true",
        "http://[::1]:80/%20?a#b",
        "Device/d1",
    ];
    for_a_while(6, |chance| {
        let mut text = chance.pick(&seeds).as_bytes().to_vec();
        for _ in 0..=chance.below(3) {
            mutate_bytes(chance, &mut text);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let result = std::panic::catch_unwind(|| probe_text(&text));
        assert!(result.is_ok(), "the input: {text:?}");
    });
}

#[test]
fn json_syntax_agrees_with_serde_json() {
    for (text, here, there) in [
        ("{\"resourceType\":\"Patient\",\"a\":1e400}", true, false),
        ("{\"resourceType\":\"Patient\",\"a\":\"\\ud800\"}", false, false),
        ("{\"resourceType\":\"Patient\",\"a\":\"\\ud83d\\ude00\"}", true, true),
        ("{\"resourceType\":\"Patient\",\"a\":-0}", true, true),
        ("{\"resourceType\":\"Patient\",\"a\":\"\u{7f}\"}", true, true),
        ("{\"resourceType\":\"Patient\"}\u{c}", false, false),
    ] {
        let is_json = |report: Report| !report.iter().any(|issue| issue.rule == "json");
        assert_eq!(Resource::from_json(text.as_bytes()).map_or_else(is_json, |_| true), here, "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(text).is_ok(), there, "{text}");
        assert_eq!(text.parse::<Raw>().is_ok(), here, "{text}");
    }
    // Where it only skips a value, serde_json looks less closely.
    assert!(serde_json::from_str::<serde::de::IgnoredAny>("\"\\ud800\"").is_ok());
    assert!(serde_json::from_str::<serde::de::IgnoredAny>("1e400").is_ok());
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let most = usize::try_from(MAX_DEPTH).unwrap();
    for (depth, here, there) in [(most - 1, true, true), (most, true, false), (most + 1, false, false)] {
        assert_eq!(nested(depth).parse::<Raw>().is_ok(), here, "{depth}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&nested(depth)).is_ok(), there, "{depth}");
    }
}

// ------------------------------------------------------------------------------------------------------------- stack

/// A stack size that must suffice for every operation on the deepest documents, in a debug build too. The worst of
/// them, nested resources, took between 700 and 760 KiB when this was written.
const STACK: usize = 1024 * 1024;

/// Returns the deepest documents that are read, one for each kind of nesting.
fn deepest() -> Vec<String> {
    let most = usize::try_from(MAX_DEPTH).unwrap();
    let wrap = |head: &str, open: &str, levels: usize, middle: &str, close: &str, tail: &str| {
        format!("{head}{}{middle}{}{tail}", open.repeat(levels), close.repeat(levels))
    };
    let url = r#"{"url":"http://x.example","#;
    vec![
        // Extensions of extensions: an array and an object each.
        wrap(
            r#"{"resourceType":"Device","extension":["#,
            &format!(r#"{url}"extension":["#),
            (most - 4) / 2,
            &format!(r#"{url}"valueString":"a"}}"#),
            "]}",
            "]}",
        ),
        // Extensions of a value of an extension: an object, an array and an object each.
        wrap(
            r#"{"resourceType":"Device","extension":["#,
            &format!(r#"{url}"valueCodeableConcept":{{"extension":["#),
            (most - 3) / 3,
            &format!(r#"{url}"valueString":"a"}}"#),
            "]}}",
            "]}",
        ),
        // Bundles of bundles: an object, an array and an object each.
        wrap(
            "",
            r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":"#,
            (most - 1) / 3,
            r#"{"resourceType":"Device"}"#,
            "}]}",
            "",
        ),
        // Resources in resources.
        wrap("", r#"{"resourceType":"Device","contained":["#, (most - 2) / 2, r#"{"resourceType":"Device"}"#, "]}", ""),
        // Identifiers of who gave out an identifier.
        wrap(
            r#"{"resourceType":"Device","identifier":[{"value":"a","assigner":{"identifier":"#,
            r#"{"value":"a","assigner":{"identifier":"#,
            (most - 6) / 2,
            r#"{"value":"a"}"#,
            "}}",
            "}}]}",
        ),
        // The extensions of a primitive.
        wrap(
            r#"{"resourceType":"Device","extension":["#,
            &format!(r#"{url}"_valueString":{{"extension":["#),
            (most - 3) / 3,
            &format!(r#"{url}"valueString":"a"}}"#),
            "]}}",
            "]}",
        ),
        // Arrays of arrays in a resource that is kept as text.
        wrap(r#"{"resourceType":"Patient","a":"#, "[", most - 2, "[1]", "]", "}"),
        wrap(r#"{"resourceType":"Parameters","resource":"#, "{\"resource\":", most - 2, "{\"a\":1}", "}", "}"),
    ]
}

fn depth_of(json: &str) -> usize {
    let (mut depth, mut most) = (0usize, 0);
    for byte in json.bytes() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

#[test]
fn deepest_documents_fit_a_small_stack() {
    let stack = std::env::var("FUZZ_STACK").ok().and_then(|stack| stack.parse().ok()).unwrap_or(STACK);
    for json in deepest() {
        assert!(depth_of(&json) > 124, "{} of {json}", depth_of(&json));
        let work = move || {
            let resource = Resource::from_json(json.as_bytes()).unwrap_or_else(|report| panic!("{report}\n{json}"));
            let _ = resource.validate();
            assert_eq!(resource.clone(), resource);
            assert_eq!(Resource::from_json(resource.to_json().as_bytes()).as_ref(), Ok(&resource));
            assert!(!format!("{resource:?}").is_empty());
            let damaged = json.replace("\"a\"", "\"\"");
            let _ = Resource::read(damaged.as_bytes(), ReadMode::Lenient);
            let _ = check(damaged.as_bytes(), ReadMode::Strict);
            let _ = json.parse::<Raw>();
        };
        std::thread::Builder::new().stack_size(stack).spawn(work).unwrap().join().unwrap();
    }
}

// -------------------------------------------------------------------------------------------------------------- time

/// Returns documents with a fault, or the subject of a rule, in each of `count` items.
fn crowded(count: usize) -> Vec<(&'static str, String)> {
    let of = |head: &str, item: &dyn Fn(usize) -> String, tail: &str| {
        let items: Vec<String> = (0..count).map(item).collect();
        format!("{head}{}{tail}", items.join(","))
    };
    let contact = r#"{"resourceType":"Device","contact":["#;
    let local = |index: usize| format!(r#"{{"resourceType":"Patient","id":"p{index}"}}"#);
    let refers =
        |index: usize| format!("{{\"url\":\"http://x.example\",\"valueReference\":{{\"reference\":\"#p{index}\"}}}}");
    let entry = |index: usize| format!(r#"{{"fullUrl":"http://x.example/{}","resource":{}}}"#, index, local(index));
    vec![
        ("items of the wrong type", of(contact, &|_| "1".to_owned(), "]}")),
        ("empty ids", of(contact, &|_| r#"{"id":""}"#.to_owned(), "]}")),
        ("lines", of(contact, &|_| "\n{\"rank\":0}".to_owned(), "]}")),
        ("faults beside broken rules", of(contact, &|_| r#"{"rank":0,"value":"1"}"#.to_owned(), "]}")),
        ("unknown members", of(r#"{"resourceType":"Device","#, &|index| format!("\"a{index}\":1"), "}")),
        ("members of another type", of(r#"{"resourceType":"Patient","#, &|index| format!("\"a{index}\":null"), "}")),
        ("nulls", of(r#"{"resourceType":"Patient","a":["#, &|_| "[]".to_owned(), "]}")),
        (
            "local references",
            format!(
                "{},{}",
                of(r#"{"resourceType":"Device","contained":["#, &local, "]"),
                of(r#""extension":["#, &refers, "]}")
            ),
        ),
        ("entries", of(r#"{"resourceType":"Bundle","type":"collection","entry":["#, &entry, "]}")),
    ]
}

#[test]
fn reading_takes_linear_time() {
    let documents = [1_000, 4_000].map(|count| (count, crowded(count)));
    for (at, (name, _)) in documents[0].1.iter().enumerate() {
        let read = |count| {
            let (_, documents) = documents.iter().find(|(of, _)| *of == count).unwrap();
            let json = documents[at].1.as_bytes();
            let _ = check(json, ReadMode::Strict);
            let _ = check(json, ReadMode::Lenient);
        };
        println!("{name}");
        grows(read, 1_000);
    }
}
