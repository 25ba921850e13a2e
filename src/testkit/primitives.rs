//! Strategies of the primitive types.

use super::texts::Texts;
use crate::element::Scalar;
use crate::primitive::{
    Base64, Code, Date, DateTime, Decimal, Id, Instant, Integer, Markdown, Oid, PositiveInt, Text, Time, UnsignedInt,
    Uri, Uuid, Xhtml,
};
use proptest::prelude::*;

/// Returns a strategy of values parsed from texts of the kind.
fn of<S: Scalar>(kind: &'static str) -> impl Strategy<Value = S> + Clone {
    let texts = Texts::new().of(kind).cloned().unwrap_or_else(|| Just(String::new()).sboxed());
    texts.prop_filter_map("a text of the type", |text| S::from_text(&text).ok())
}

macro_rules! primitives {
    ($( $(#[$meta:meta])* $name:ident $Type:ident $kind:literal; )*) => { $(
        $(#[$meta])*
        pub fn $name() -> impl Strategy<Value = $Type> + Clone {
            of::<$Type>($kind)
        }
    )* };
}

primitives! {
    /// Base64 of 1 to 11 bytes, without white space.
    base64 Base64 "base64Binary";
    /// Codes without a closed set: mostly a word.
    code Code "code";
    /// Dates to the year, month or day, mostly of recent years.
    date Date "date";
    /// Dates to the year, month or day, and date-times.
    date_time DateTime "dateTime";
    /// Numbers, with up to 25 digits before the point and 12 behind it, and with zeros at the end.
    decimal Decimal "decimal";
    /// Logical ids.
    id Id "id";
    /// Instants in every time zone, with leap seconds and with fractions of up to nine digits.
    instant Instant "instant";
    /// Integers, mostly small.
    integer Integer "integer";
    /// Markdown texts.
    markdown Markdown "markdown";
    /// OIDs, as a URN.
    oid Oid "oid";
    /// Integers from one, mostly small.
    positive_int PositiveInt "positiveInt";
    /// Strings: mostly words, sometimes white space, quotes, other scripts or control characters.
    text Text "string";
    /// Times of the day.
    time Time "time";
    /// Integers from zero, mostly small.
    unsigned_int UnsignedInt "unsignedInt";
    /// URIs: absolute and relative addresses, and URNs.
    uri Uri "uri";
    /// UUIDs, as a URN.
    uuid Uuid "uuid";
    /// Narrative texts in XHTML.
    xhtml Xhtml "xhtml";
}
