//! JSON documents compared to the last digit.

use serde_json::value::RawValue;

/// A JSON value with numbers as text, so that every digit counts, and with sorted object members.
#[derive(Debug, PartialEq, PartialOrd, Eq, Ord)]
pub(crate) enum Exact {
    Text(String),
    Object(Vec<(String, Exact)>),
    Array(Vec<Exact>),
    Token(String),
}

/// Parses a document.
pub(crate) fn exact(json: &str) -> Exact {
    let raw: &RawValue = serde_json::from_str(json).unwrap();
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text).unwrap();
            let mut members: Vec<_> = members.0.into_iter().map(|(name, raw)| (name, exact(raw.get()))).collect();
            members.sort();
            Exact::Object(members)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            Exact::Array(items.into_iter().map(|raw| exact(raw.get())).collect())
        }
        Some(b'"') => Exact::Text(serde_json::from_str(text).unwrap()),
        _ => Exact::Token(text.to_owned()),
    }
}

/// The members of an object, including duplicates.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
