//! JSON compared by the texts of its numbers, whatever the order of members.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A JSON value with numbers as text, so that every digit counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exact {
    Text(String),
    Object(BTreeMap<String, Exact>),
    Array(Vec<Exact>),
    Token(String),
}

pub(crate) fn exact(json: &str) -> Exact {
    let raw: &RawValue = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
            Exact::Object(members.into_iter().map(|(name, raw)| (name, exact(raw.get()))).collect())
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            Exact::Array(items.into_iter().map(|raw| exact(raw.get())).collect())
        }
        Some(b'"') => Exact::Text(serde_json::from_str(text).unwrap()),
        _ => Exact::Token(text.to_owned()),
    }
}
