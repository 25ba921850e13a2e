//! HTTP header formats for clients and servers.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Formats a time as an HTTP date.
///
/// ```
/// use time::macros::datetime;
/// let moment = datetime!(2017-04-19 12:00:00 +2);
/// assert_eq!(fhir_devices::rest::http_date(moment), "Wed, 19 Apr 2017 10:00:00 GMT");
/// ```
#[must_use]
pub fn http_date(moment: OffsetDateTime) -> String {
    moment.to_offset(UtcOffset::UTC).format(HTTP_DATE).unwrap_or_default()
}

/// Parses an HTTP date.
pub(crate) fn read_http_date(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, HTTP_DATE).ok().map(PrimitiveDateTime::assume_utc)
}

/// Returns whether the value of an `If-None-Match` header contains the tag or `*`. Tags are compared weakly.
pub(crate) fn names_tag(value: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    value.split(',').any(|one| one.trim() == "*" || opaque(one) == opaque(tag))
}
