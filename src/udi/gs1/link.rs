//! GS1 Digital Link: identifiers and attributes of an item as a web address.
//!
//! Source: GS1 Digital Link Standard: URI Syntax. The path has a key and its qualifiers, the query attributes.

use super::{Findings, Found, UdiElement, UdiRule, quoted, table};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The names that older addresses have for application identifiers.
const NAMES: [(&str, &str); 4] = [("gtin", "01"), ("cpv", "22"), ("lot", "10"), ("ser", "21")];

/// Returns whether a text is the address of an item with a GTIN.
pub(in super::super) fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        segments.by_ref().any(|segment| identifier(segment) == Some("01"))
    })
}

/// Returns the application identifier that a segment or a key names.
fn identifier(name: &str) -> Option<&str> {
    if let Some((_, ai)) = NAMES.iter().find(|(own, _)| *own == name) {
        return Some(ai);
    }
    table::row_of(name).map(|_| name)
}

/// Splits an address: from the GTIN on, the path has pairs of an identifier and a value; the query has others among keys that
/// mean nothing to GS1.
pub(super) fn split(data: &str, found: &mut Findings) -> Vec<Found> {
    let mut elements = Vec::new();
    let address = data.split('#').next().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let segments: Vec<&str> = path.split('/').skip(3).collect();
    let start = segments.iter().position(|segment| identifier(segment) == Some("01")).unwrap_or(segments.len());
    let mut pairs = segments.get(start..).unwrap_or_default().chunks(2);
    for pair in pairs.by_ref() {
        match pair {
            [name, value] => match identifier(name) {
                Some(ai) => push(ai, value, &mut elements, found),
                None => {
                    found.add(UdiRule::Gs1UnknownAi, format!("`{}` is no application identifier of GS1", quoted(name)))
                }
            },
            [""] => {}
            rest => {
                let rest = rest.first().copied().unwrap_or_default();
                found.add(UdiRule::Gs1NoAi, format!("`{}` at the end of the address has no value", quoted(rest)));
            }
        }
    }
    for (name, value) in query.split(['&', ';']).filter_map(|pair| pair.split_once('=')) {
        if let Some(ai) = table::row_of(name).map(|_| name) {
            push(ai, value, &mut elements, found);
        }
    }
    elements
}

fn push(ai: &str, value: &str, elements: &mut Vec<Found>, found: &mut Findings) {
    let Some(row) = table::row_of(ai) else { return };
    let Ok(value) = percent_decode_str(value).decode_utf8() else {
        return found.add(UdiRule::Gs1Charset, format!("`{}` of ({ai}) is no text", quoted(value)));
    };
    // A GTIN of 8, 12 or 13 digits has zeros before it.
    let digits = matches!(value.len(), 8 | 12 | 13) && value.bytes().all(|byte| byte.is_ascii_digit());
    let value = if ai == "01" && digits { Cow::Owned(format!("{value:0>14}")) } else { value };
    elements.push((row, UdiElement::new(ai, &value)));
}
