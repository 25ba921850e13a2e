//! Stored form of rollout records: JSON with a format number, states by name.

use super::super::ingest::Unreadable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Format version. Fields and names are added but never changed; a change gets another number.
const FORMAT: u32 = 1;

/// How every record begins that is written here.
const START: &[u8] = br#"{"format":1,"#;

/// How long most records are.
const USUAL: usize = 512;

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Returns a record as it is kept. It has one member at least, and none that is named `format`.
pub(in super::super) fn to_bytes<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.extend_from_slice(START);
    let last = bytes.len().saturating_sub(1);
    // The record continues the object that was begun: its own first bracket makes place for the comma. Texts and numbers under
    // fixed names: there is nothing in it that JSON cannot say.
    bytes.truncate(last);
    if serde_json::to_writer(&mut bytes, record).is_err() {
        return Vec::new();
    }
    if let Some(first) = bytes.get_mut(last) {
        *first = b',';
    }
    bytes
}

/// Parses the stored form.
pub(in super::super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    // What begins otherwise was written by somebody else, and has its number in another place.
    let is_known = bytes.starts_with(START)
        || serde_json::from_slice::<Format>(bytes).is_ok_and(|written| written.format == FORMAT);
    if !is_known {
        return Err(Unreadable);
    }
    serde_json::from_slice(bytes).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        name: String,
    }

    #[test]
    fn format_is_read_wherever_it_stands() {
        let record = Record { name: "a".to_owned() };
        assert_eq!(to_bytes(&record), br#"{"format":1,"name":"a"}"#);
        for text in [r#"{"format":1,"name":"a"}"#, r#"{"name":"a","format":1}"#, r#"{ "format": 1, "name": "a" }"#] {
            assert_eq!(from_bytes(text.as_bytes()), Ok(Record { name: "a".to_owned() }), "{text}");
        }
        for text in [r#"{"name":"a"}"#, r#"{"format":2,"name":"a"}"#, r#"{"format":1,"name":1}"#, r#"{"format":1,"#] {
            assert_eq!(from_bytes::<Record>(text.as_bytes()), Err(Unreadable), "{text}");
        }
    }
}
