//! The tokens of JSON: strings, numbers, literals, and what stands between them.

use super::super::raw::Raw;
use super::super::scan::{first_special, name_length};
use super::{Fault, Read, ReadMode, Reader, Stop};
use crate::issue::{IssueType, Path};
use std::borrow::Cow;

impl<'a> Reader<'a> {
    pub(crate) fn mode(&self) -> ReadMode {
        self.mode
    }

    pub(crate) fn offset(&self) -> usize {
        self.pos
    }

    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.pos += 1;
        }
    }

    /// Returns the first byte of the next token.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => {
                self.skip_space();
                self.byte()
            }
        }
    }

    /// Says what stands at the next token, in words.
    pub(crate) fn found(&mut self) -> &'static str {
        match self.peek() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            Some(b'-' | b'0'..=b'9') => "a number",
            _ => "no JSON value",
        }
    }

    /// Returns the end of the document: nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.broken(self.pos, "found more text after the end of the document"),
        }
    }

    /// Opens an object or array.
    #[inline]
    pub(crate) fn enter(&mut self) -> Read<()> {
        if self.depth >= self.deepest {
            self.fault = Some(Fault {
                offset: self.pos,
                rule: "json-depth",
                kind: IssueType::TooLong,
                message: Cow::Owned(format!("found more than {} objects and arrays inside one another", self.deepest)),
                token: false,
                at: None,
            });
            return Err(Stop);
        }
        self.depth += 1;
        self.pos += 1;
        Ok(())
    }

    /// Closes the array or object that was opened last if `close` comes next; else steps over the comma, if not
    /// `first`. Says whether another item follows.
    #[inline]
    pub(crate) fn more(&mut self, close: u8, first: bool) -> Read<bool> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.pos += 1;
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            Some(b',') if !first => {
                self.pos += 1;
                if self.peek() == Some(close) {
                    return self.broken(self.pos, "found a comma before the closing bracket");
                }
                Ok(true)
            }
            Some(_) if first => Ok(true),
            Some(_) if close == b'}' => self.broken(self.pos, "wanted `,` or `}` after a member"),
            Some(_) => self.broken(self.pos, "wanted `,` or `]` after an item"),
            None => self.broken(self.pos, "the document ends inside an object or array"),
        }
    }

    /// Returns the name of a member and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Read<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return self.broken(self.pos, "wanted the name of a member in double quotes");
        }
        // A name is short and plain almost always.
        let start = self.pos + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = name_length(rest);
        if let (Some(b"\":"), Some(key)) = (rest.get(length..length + 2), self.text.get(start..start + length)) {
            self.pos = start + length + 2;
            return Ok(Cow::Borrowed(key));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return self.broken(self.pos, "wanted `:` after the name of a member");
        }
        self.pos += 1;
        Ok(key)
    }

    /// Returns the content of a string, from its opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        let start = self.pos + 1;
        let end = self.plain_run(start);
        match self.bytes.get(end) {
            Some(b'"') => {
                self.pos = end + 1;
                Ok(Cow::Borrowed(self.text.get(start..end).unwrap_or_default()))
            }
            Some(b'\\') => self.escaped_string(start, end).map(Cow::Owned),
            Some(_) => self.broken(end, "found a control character in a string; it must be escaped"),
            None => self.broken(self.pos, "a string has no closing quote"),
        }
    }

    /// Returns the first offset at or after `from` that holds a quote, a backslash or a control character.
    #[inline]
    fn plain_run(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + first_special(rest).unwrap_or(rest.len())
    }

    #[cold]
    fn escaped_string(&mut self, start: usize, first: usize) -> Read<String> {
        let mut out = std::mem::take(&mut self.buffer);
        out.clear();
        out.reserve((first - start).max(256));
        let mut from = start;
        let mut at = first;
        loop {
            out.push_str(self.text.get(from..at).unwrap_or_default());
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    let (char, length) = self.escape(at)?;
                    out.push(char);
                    from = at + length;
                    at = self.plain_run(from);
                }
                Some(_) => return self.broken(at, "found a control character in a string; it must be escaped"),
                None => return self.broken(self.pos, "a string has no closing quote"),
            }
        }
    }

    /// Returns the character of the escape at `at`, and the length of the escape.
    fn escape(&mut self, at: usize) -> Read<(char, usize)> {
        let char = match self.bytes.get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(at),
            _ => return self.broken(at, "found an unknown escape in a string"),
        };
        Ok((char, 2))
    }

    fn unicode_escape(&mut self, at: usize) -> Read<(char, usize)> {
        let Some(high) = self.hex4(at + 2) else {
            return self.broken(at, "wanted four hexadecimal digits after `\\u`");
        };
        if let Some(char) = char::from_u32(high) {
            return Ok((char, 6));
        }
        let low = match self.bytes.get(at + 6..at + 8) {
            Some(b"\\u") => self.hex4(at + 8),
            _ => None,
        };
        match low {
            Some(low @ 0xdc00..=0xdfff) if high < 0xdc00 => {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                Ok((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12))
            }
            _ => self.broken(at, "found half of a surrogate pair in a string"),
        }
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 4)?;
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
    }

    /// Returns the text of a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Read<&'a str> {
        let start = self.pos;
        let mut at = start;
        let digits =
            |at: usize| self.bytes.get(at..).map_or(0, |b| b.iter().take_while(|b| b.is_ascii_digit()).count());
        if self.bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let whole = digits(at);
        let mut good = whole == 1 || (whole > 1 && self.bytes.get(at) != Some(&b'0'));
        at += whole;
        if good && self.bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            good = fraction > 0;
            at += 1 + fraction;
        }
        if good && let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(at) {
                at += 1;
            }
            let exponent = digits(at);
            good = exponent > 0;
            at += exponent;
        }
        if good && !matches!(self.bytes.get(at), None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')) {
            good = false;
        }
        if !good {
            return self.bad_token(start);
        }
        self.pos = at;
        Ok(self.text.get(start..at).unwrap_or_default())
    }

    pub(super) fn literal(&mut self, word: &'static str) -> Read<&'static str> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let ends = |b: Option<&u8>| matches!(b, None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
        if rest.starts_with(word.as_bytes()) && ends(rest.get(word.len())) {
            self.pos += word.len();
            Ok(word)
        } else {
            self.bad_token(self.pos)
        }
    }

    #[cold]
    pub(super) fn bad_token<T>(&mut self, start: usize) -> Read<T> {
        let rest = self.text.get(start..).unwrap_or_default();
        let token: String =
            rest.chars().take_while(|c| !c.is_whitespace() && !matches!(c, ',' | '}' | ']')).take(32).collect();
        if rest.is_empty() {
            self.broken_token(start, "the document ends where a value should be")
        } else if rest.starts_with('\u{feff}') {
            self.broken_token(start, "found a byte order mark, wanted the document without one")
        } else if let (true, Some(found)) = (token.is_empty(), rest.chars().next()) {
            self.broken_token(start, format!("found `{found}` where a value should be"))
        } else {
            self.broken_token(start, format!("`{token}` is not a JSON value"))
        }
    }

    /// Steps over one value of any kind, checking only that it is JSON.
    pub(crate) fn skip(&mut self, at: &Path<'_>) -> Read<()> {
        self.skip_here().inspect_err(|_| self.place_fault(at))
    }

    pub(super) fn skip_here(&mut self) -> Read<()> {
        match self.peek() {
            Some(b'"') => {
                let string = self.string()?;
                self.done(string);
                Ok(())
            }
            Some(b'{') => {
                self.enter()?;
                let mut first = true;
                while self.more(b'}', first)? {
                    first = false;
                    self.key()?;
                    self.skip_here()?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.enter()?;
                let mut first = true;
                while self.more(b']', first)? {
                    first = false;
                    self.skip_here()?;
                }
                Ok(())
            }
            Some(b't') => self.literal("true").map(drop),
            Some(b'f') => self.literal("false").map(drop),
            Some(b'n') => self.literal("null").map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => self.bad_token(self.pos),
        }
    }

    /// Returns the text from `start` to here, without the white space between tokens.
    pub(crate) fn raw_since(&self, start: usize) -> Raw {
        Raw::compact(self.text.get(start..self.pos).unwrap_or_default())
    }

    /// Returns what has not been read yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    /// Steps over a text that comes next.
    pub(crate) fn step_over(&mut self, text: &str) {
        self.pos += text.len();
    }

    /// Returns the text from `start` to here, as it stands.
    pub(crate) fn text_since(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or_default()
    }
}
