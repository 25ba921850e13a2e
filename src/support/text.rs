//! Truncation of texts, and the length of JSON strings.

/// Returns the beginning of a text: at most `limit` bytes, cut between characters.
pub(crate) fn truncated(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or(text)
}

/// Returns the length of the JSON string at the start of `text`, quotes included.
pub(crate) fn json_string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{json_string_length, truncated};

    #[test]
    fn escaped_quote_does_not_end_a_string() {
        assert_eq!(json_string_length(r#""a\"b",1"#), 6);
        assert_eq!(json_string_length(r#""a\\",1"#), 5);
        assert_eq!(json_string_length(r#""a"#), 2);
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("aé", 9), "aé");
        assert_eq!(truncated("é", 0), "");
    }
}
