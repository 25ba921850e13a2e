//! Writing values as JSON text.

use super::raw::Unmodelled;
use super::scalar::{Scalar, Token};
use super::scan::first_special;

/// Writes one document, compactly, in the order of the specification.
pub(crate) struct Writer {
    out: String,
}

/// The start of a member or object, to remove it if it stays empty.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::with_capacity(2048)
    }

    /// Creates a writer of a document of about that many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes) }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.out.len())
    }

    pub(crate) fn back(&mut self, mark: Mark) {
        self.out.truncate(mark.0);
    }

    /// Opens an object.
    pub(crate) fn open(&mut self) -> Mark {
        let mark = self.mark();
        self.out.push('{');
        mark
    }

    /// Closes the object opened at `mark`; an object without members is taken back. Says whether it stands.
    pub(crate) fn close(&mut self, mark: Mark) -> bool {
        if self.out.len() == mark.0 + 1 {
            self.back(mark);
            return false;
        }
        self.out.push('}');
        true
    }

    /// The name of a member, given as `,"name":`; the comma is left out after an opening brace.
    #[inline]
    pub(crate) fn key(&mut self, key: &'static str) {
        if self.out.as_bytes().last() == Some(&b'{') {
            self.out.push_str(key.get(1..).unwrap_or_default());
        } else {
            self.out.push_str(key);
        }
    }

    /// Opens an array.
    pub(crate) fn open_array(&mut self) -> Mark {
        let mark = self.mark();
        self.out.push('[');
        mark
    }

    /// The comma before an item.
    pub(crate) fn item(&mut self) {
        if self.out.as_bytes().last() != Some(&b'[') {
            self.out.push(',');
        }
    }

    /// Closes the array opened at `mark`; an array without items is taken back. Says whether it stands.
    pub(crate) fn close_array(&mut self, mark: Mark) -> bool {
        if self.out.len() == mark.0 + 1 {
            self.back(mark);
            return false;
        }
        self.out.push(']');
        true
    }

    pub(crate) fn null(&mut self) {
        self.out.push_str("null");
    }

    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.out.push_str(json);
    }

    #[inline]
    pub(crate) fn scalar<S: Scalar>(&mut self, value: &S) {
        match (S::TOKEN, value.as_text()) {
            (Token::String, Some(text)) => self.string(text),
            (Token::String, None) => {
                let mut text = String::new();
                value.push_text(&mut text);
                self.string(&text);
            }
            (_, Some(text)) => self.out.push_str(text),
            (_, None) => value.push_text(&mut self.out),
        }
    }

    /// A string of characters that are all written as they are.
    #[inline]
    pub(crate) fn plain_string(&mut self, text: &str) {
        self.out.reserve(text.len() + 2);
        self.out.push('"');
        self.out.push_str(text);
        self.out.push('"');
    }

    pub(crate) fn string(&mut self, text: &str) {
        push_string(text, &mut self.out);
    }

    pub(crate) fn unmodelled(&mut self, members: &Unmodelled) {
        for (name, raw) in members.iter() {
            if self.out.as_bytes().last() != Some(&b'{') {
                self.out.push(',');
            }
            self.string(name);
            self.out.push(':');
            self.out.push_str(raw.as_str());
        }
    }
}

/// Appends a text as a JSON string.
pub(crate) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(control) => {
                let code = u32::from(control);
                out.push_str(if code < 16 { "\\u000" } else { "\\u001" });
                out.push(char::from_digit(code & 15, 16).unwrap_or('0'));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
