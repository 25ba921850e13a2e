//! Texts of the primitive types that their parsers accept.

use proptest::prelude::*;
use std::collections::BTreeMap;

/// A strategy for each kind of text.
#[derive(Clone, Debug)]
pub(super) struct Texts(BTreeMap<&'static str, SBoxedStrategy<String>>);

/// Names of the primitive types, and of narrower kinds of text that a rule requires.
const KINDS: &[&str] = &[
    "base64Binary",
    "boolean",
    "code",
    "date",
    "dateTime",
    "decimal",
    "id",
    "instant",
    "integer",
    "markdown",
    "oid",
    "positiveInt",
    "string",
    "time",
    "unsignedInt",
    "uri",
    "uuid",
    "xhtml",
    EXTENSION_URL,
    COUNT,
    AMOUNT,
];

/// An extension URL: absolute, and not a URN.
pub(super) const EXTENSION_URL: &str = "the url of an extension";
/// A whole number, for counts.
pub(super) const COUNT: &str = "a whole number";
/// A number above zero.
pub(super) const AMOUNT: &str = "an amount";

impl Texts {
    pub(super) fn new() -> Self {
        Self(KINDS.iter().map(|kind| (*kind, texts(kind))).collect())
    }

    pub(super) fn of(&self, kind: &str) -> Option<&SBoxedStrategy<String>> {
        self.0.get(kind)
    }
}

fn year() -> impl Strategy<Value = String> {
    prop_oneof![8 => 1990..2040_i32, 1 => 1..=9999_i32].prop_map(|year| format!("{year:04}"))
}

/// Returns a strategy of days, some of which exist only in some years; invalid dates are filtered out.
fn day() -> impl Strategy<Value = String> {
    let day = prop_oneof![8 => 1..=28_u8, 1 => 29..=31_u8];
    (year(), 1..=12_u8, day)
        .prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"))
        .prop_filter("a day of the calendar", |day| crate::primitive::Date::new(day).is_ok())
}

fn clock(last_second: u8) -> impl Strategy<Value = String> {
    let fraction = prop_oneof![3 => Just(String::new()), 1 => r"\.[0-9]{1,9}"];
    (0..=23_u8, 0..=59_u8, 0..=last_second, fraction)
        .prop_map(|(hour, minute, second, fraction)| format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

fn instant() -> impl Strategy<Value = String> {
    let zone = prop_oneof![2 => Just("Z".to_owned()), 1 => "[+-](0[0-9]|1[0-3]):[0-5][0-9]", 1 => "[+-]14:00"];
    (day(), clock(60), zone).prop_map(|(day, clock, zone)| format!("{day}T{clock}{zone}"))
}

fn date() -> SBoxedStrategy<String> {
    let month = (year(), 1..=12_u8).prop_map(|(year, month)| format!("{year}-{month:02}"));
    prop_oneof![2 => year(), 1 => month, 2 => day(), 1 => day().prop_map(|day| format!("-{day}"))]
        .prop_filter("a day of the calendar", |day| crate::primitive::Date::new(day).is_ok())
        .sboxed()
}

/// Words, sometimes with characters that break programs: white space, quotes, other scripts, control characters.
fn words() -> SBoxedStrategy<String> {
    prop_oneof![
        4 => "[A-Za-z]{1,8}( [a-z0-9]{1,6}){0,2}",
        1 => "[ \\t\\n\"\\\\/{}<&'\\[\\]:,#]{1,4}",
        1 => "[\u{e4}\u{df}\u{3b2}\u{416}\u{65e5}\u{672c}\u{1f600}\u{301}\u{202e}\u{fffd}\u{feff}]{1,4}",
        1 => "[\u{1}\u{8}\u{c}\u{1f}\u{7f}\u{85}\u{a0}\u{2028}]{1,3}",
    ]
    .sboxed()
}

fn uri() -> SBoxedStrategy<String> {
    prop_oneof![
        3 => r"https?://[a-z]{1,6}\.example(/[A-Za-z0-9.~-]{1,6}){0,2}",
        1 => r"http://\[::1\]:80/%20\?[a-z]=[a-z|]#[a-z]",
        1 => "[a-z]{1,8}(/[a-z0-9]{1,4})?",
        1 => "http://x\\.example/[\u{e9}\u{65e5}]{1,2}",
        1 => oid(),
        1 => uuid(),
    ]
    .sboxed()
}

fn oid() -> SBoxedStrategy<String> {
    r"urn:oid:[0-2](\.(0|[1-9][0-9]{0,4})){1,4}".sboxed()
}

fn uuid() -> SBoxedStrategy<String> {
    "urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".sboxed()
}

fn xhtml() -> SBoxedStrategy<String> {
    let inside = prop_oneof![
        "[A-Za-z]{1,8}( [a-z0-9]{1,6}){0,2}",
        "<p class=\"[a-z]{1,4}\">[a-z]{1,6} &lt; [a-z]{1,6}</p>",
        "<ul><li>[a-z]{1,6}</li><li><b>&#233;</b><br/></li></ul>",
        "<table><tr><td>[0-9]{1,3}</td></tr></table>",
    ];
    inside.prop_map(|inside| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inside}</div>")).sboxed()
}

fn base64() -> SBoxedStrategy<String> {
    let bytes = proptest::collection::vec(any::<u8>(), 1..12);
    let encoded = bytes.prop_filter_map("some bytes", |bytes| crate::primitive::Base64::encode(&bytes).ok());
    encoded.prop_map(|text| text.as_str().to_owned()).sboxed()
}

/// Returns the texts of one kind; none for an unknown kind.
fn texts(kind: &str) -> SBoxedStrategy<String> {
    match kind {
        "base64Binary" => base64(),
        "boolean" => prop_oneof![Just("false".to_owned()), Just("true".to_owned())].sboxed(),
        "code" => prop_oneof![4 => "[a-z][a-z0-9-]{0,8}", 1 => "[A-Z\u{e9}]{1,3} [0-9%/]{1,3}"].sboxed(),
        "date" => date(),
        "dateTime" => prop_oneof![date(), instant()].sboxed(),
        "decimal" => {
            prop_oneof![4 => r"-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,3})?", 1 => r"-?[1-9][0-9]{18,24}(\.[0-9]{6,12})?"]
                .sboxed()
        }
        "id" => prop_oneof![4 => "[A-Za-z][A-Za-z0-9.-]{0,9}", 1 => "[A-Za-z0-9.-]{1,64}"].sboxed(),
        "instant" => instant().sboxed(),
        "integer" => prop_oneof![4 => -99..100_i32, 1 => any::<i32>()].prop_map(|number| number.to_string()).sboxed(),
        "unsignedInt" => prop_oneof![4 => 0..100_i32, 1 => 0..=i32::MAX].prop_map(|number| number.to_string()).sboxed(),
        "positiveInt" => prop_oneof![4 => 1..100_i32, 1 => 1..=i32::MAX].prop_map(|number| number.to_string()).sboxed(),
        "oid" => oid(),
        "time" => clock(59).sboxed(),
        "uri" => uri(),
        "uuid" => uuid(),
        "xhtml" => xhtml(),
        EXTENSION_URL => r"https?://[a-z]{1,6}\.example/[a-z]{1,8}".sboxed(),
        COUNT => "0|[1-9][0-9]{0,4}".sboxed(),
        AMOUNT => r"[1-9][0-9]{0,3}(\.[0-9]{1,3})?".sboxed(),
        _ => words(),
    }
}
