//! Debug output of bytes.

use std::fmt;

/// Maximum number of bytes shown.
const MOST: usize = 1_000;

/// Formats bytes by `Debug`: UTF-8, such as JSON, as text, and other bytes escaped; truncated where long.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, cut) = match self.0.split_at_checked(MOST) {
            Some((shown, cut)) => (shown, cut.len()),
            None => (self.0, 0),
        };
        // The limit may cut through a character.
        let text = shown.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let whole = text.len() + if cut > 0 { 3 } else { 0 } >= shown.len();
        match whole && !text.chars().any(char::is_control) {
            true => write!(f, "`{text}`")?,
            false => write!(f, "b\"{}\"", shown.escape_ascii())?,
        }
        match cut {
            0 => Ok(()),
            cut => write!(f, " and {cut} bytes more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        format!("{:?}", Shown(bytes))
    }

    #[test]
    fn json_is_shown_as_text_and_other_bytes_escaped() {
        assert_eq!(shown(br#"{"resourceType":"Device"}"#), r#"`{"resourceType":"Device"}`"#);
        assert_eq!(shown(b""), "``");
        assert_eq!(shown(b"a\0\xff"), r#"b"a\x00\xff""#);
        assert_eq!(shown(&[b'x'; 1_200]), format!("`{}` and 200 bytes more", "x".repeat(1_000)));
        let cut_in_two = format!("x{}", "é".repeat(600));
        assert!(shown(cut_in_two.as_bytes()).starts_with("`xé"));
    }
}
