//! Request bodies that are JSON objects.

use serde::de::{DeserializeOwned, Error, Unexpected};

/// Parses a body that must be one JSON object. A struct derived by serde would also accept an array, by position, which
/// no client intends.
pub(crate) fn read_object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    match body.trim_ascii_start().first() {
        Some(b'[') => Err(serde_json::Error::invalid_type(Unexpected::Seq, &"an object")),
        _ => serde_json::from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Reason {
        reason: String,
    }

    #[test]
    fn an_array_is_no_object() {
        assert_eq!(read_object::<Reason>(br#" {"reason":"late"}"#).unwrap().reason, "late");
        for body in ["[]", " [\"late\"]", "\n[{}]"] {
            let error = read_object::<Reason>(body.as_bytes()).err().unwrap().to_string();
            assert!(error.contains("sequence, expected an object"), "{body}: {error}");
        }
    }
}
