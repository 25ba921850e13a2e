//! Strategies of the primitive types.

use super::texts::Texts;
use crate::element::Scalar;
use crate::primitive::{
    Base64, Code, Date, DateTime, Decimal, Id, Instant, Integer, Markdown, Oid, PositiveInt, Text, Time, UnsignedInt,
    Uri, Uuid, Xhtml,
};
use proptest::prelude::*;

/// Returns the values that a kind of text stands for.
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
    /// Bytes: 1 to 11 of them, without white space between the characters.
    base64 Base64 "base64Binary";
    /// Codes that no set closes: a word as a rule.
    code Code "code";
    /// Years, months and days, of these years as a rule.
    date Date "date";
    /// Years, months, days and moments.
    date_time DateTime "dateTime";
    /// Numbers, with up to 25 digits before the point and 12 behind it, and with zeros at the end.
    decimal Decimal "decimal";
    /// Logical ids.
    id Id "id";
    /// Moments in every zone, with leap seconds and with fractions of up to nine digits.
    instant Instant "instant";
    /// Whole numbers, small as a rule.
    integer Integer "integer";
    /// Texts in Markdown, or at least such as may be read so.
    markdown Markdown "markdown";
    /// Object identifiers, as a urn.
    oid Oid "oid";
    /// Whole numbers from one, small as a rule.
    positive_int PositiveInt "positiveInt";
    /// Texts: words as a rule, and now and then white space, quotes, other scripts or control characters.
    text Text "string";
    /// Times of the day.
    time Time "time";
    /// Whole numbers from zero, small as a rule.
    unsigned_int UnsignedInt "unsignedInt";
    /// Addresses, absolute and relative, and urns.
    uri Uri "uri";
    /// Random identifiers, as a urn.
    uuid Uuid "uuid";
    /// The text of a narrative.
    xhtml Xhtml "xhtml";
}
