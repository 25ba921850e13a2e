//! Reading JSON text, once, into typed values and findings.
//!
//! The reader never stops at a finding: what it cannot use it reports, steps over and, in the lenient mode, keeps as
//! text. Only broken JSON and too deep a nesting end it ([`Stop`]).

use super::raw::{Raw, Unmodelled};
use super::scalar::Token;
use super::scan::{first_special, name_length};
use crate::issue::{Issue, Kind, Path, Position, Report, Severity};
use std::borrow::Cow;

/// How much of a document that breaks the definitions is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// A document with any fault is refused, with every finding.
    #[default]
    Strict,
    /// What cannot be read as its type is a warning and is kept as text (see [`Unmodelled`]), so that nothing is lost
    /// when the document is written again. Broken JSON, too deep a nesting and a wrong `resourceType` are refused
    /// all the same.
    Lenient,
}

/// The greatest number of JSON objects and arrays that may stand inside one another.
pub const MAX_DEPTH: u32 = 128;

/// Reading came to an end that nothing can follow; the reason is in the reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop;

/// A result that only broken JSON makes fail.
pub(crate) type Read<T> = Result<T, Stop>;

/// What became of a member's value. It was consumed in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the model.
    Taken,
    /// A finding says why it is not in the model.
    Refused,
}

/// What an object is to be read into.
pub(crate) trait Sink {
    /// The name of the type, for the rows of findings.
    fn type_name(&self) -> &'static str;

    /// The resource type that the member `resourceType` must name, for a resource.
    fn resource_type(&self) -> Option<&'static str> {
        None
    }

    /// Reads the value of `member`, or says that there is no such member by `None`, with nothing consumed.
    fn member(
        &mut self,
        r: &mut Reader<'_>,
        at: &Path<'_>,
        member: Member<'_>,
        seen: &mut Seen,
    ) -> Read<Option<Outcome>>;

    /// Whether the object is what a primitive has beside its value, which may be an id alone.
    fn is_extras(&self) -> bool {
        false
    }

    /// Judges the object as a whole once every member has been read.
    fn finish(&mut self, r: &mut Reader<'_>, at: &Path<'_>, seen: &Seen);

    /// Where the members go that are not in the model.
    fn unmodelled(&mut self) -> &mut Unmodelled;
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'k> {
    /// The name as it stands.
    pub(crate) key: &'k str,
    /// The name of the element: the key without its leading underscore.
    pub(crate) name: &'k str,
    /// Whether the key begins with an underscore: the id and the extensions of a primitive.
    pub(crate) under: bool,
}

impl<'k> Member<'k> {
    fn new(key: &'k str) -> Self {
        match key.strip_prefix('_') {
            Some(name) => Self { key, name, under: true },
            None => Self { key, name: key, under: false },
        }
    }
}

/// Which rows of a type an object has had so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    value: u64,
    under: u64,
    other: bool,
}

impl Seen {
    /// Notes row `row` and says whether it came before.
    pub(crate) fn again(&mut self, row: u32, under: bool) -> bool {
        let rows = if under { &mut self.under } else { &mut self.value };
        let bit = 1u64.checked_shl(row).unwrap_or(0);
        let again = *rows & bit != 0;
        *rows |= bit;
        again
    }

    /// Whether row `row` came, as a value or as an underscored member.
    pub(crate) fn has(&self, row: u32) -> bool {
        (self.value | self.under) & 1u64.checked_shl(row).unwrap_or(0) != 0
    }

    /// Whether some primitive has members beside its value.
    pub(crate) fn any_under(&self) -> bool {
        self.under != 0
    }
}

/// Reads one document.
pub(crate) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: u32,
    mode: ReadMode,
    fault: Option<Fault>,
    owner: &'static str,
    /// Set when an array of primitives was padded with a null.
    pub(crate) padded: bool,
    /// A buffer for the strings that have escapes, used again and again.
    buffer: String,
    /// The type of the resource at an offset, found by looking ahead.
    ahead: Option<(usize, Cow<'a, str>)>,
    findings: Vec<(usize, Issue)>,
}

struct Fault {
    offset: usize,
    rule: &'static str,
    kind: Kind,
    message: Cow<'static, str>,
    /// The fault is one token that stands where a value should; the element is known.
    token: bool,
    at: Option<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, mode: ReadMode) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos: 0,
            depth: 0,
            mode,
            fault: None,
            owner: "",
            padded: false,
            buffer: String::new(),
            ahead: None,
            findings: Vec::new(),
        }
    }

    // ------------------------------------------------------------------------------------------------- findings

    /// Records a finding at `offset`. In the lenient mode one that loses nothing is a warning.
    pub(crate) fn find(
        &mut self,
        offset: usize,
        rule: &'static str,
        kind: Kind,
        at: &Path<'_>,
        message: impl Into<String>,
    ) {
        let severity = match self.mode {
            ReadMode::Strict => Severity::Error,
            ReadMode::Lenient => Severity::Warning,
        };
        self.find_as(severity, offset, rule, kind, at, message);
    }

    /// Records a finding of a severity that does not depend on the mode.
    pub(crate) fn find_as(
        &mut self,
        severity: Severity,
        offset: usize,
        rule: &'static str,
        kind: Kind,
        at: &Path<'_>,
        message: impl Into<String>,
    ) {
        let issue = Issue::new(rule, severity, kind, at, message);
        let issue = if self.owner.is_empty() || at.parent().is_none() {
            issue.with_row(self.owner)
        } else {
            issue.with_row(format!("{}.{}", self.owner, at.name().trim_start_matches('_')))
        };
        self.findings.push((offset, issue));
    }

    /// The report, with the place in the source of each finding; `root` names the document where reading stopped.
    pub(crate) fn into_report(self, root: &str) -> Report {
        if self.findings.is_empty() && self.fault.is_none() {
            return Report::new();
        }
        let mut places = Places::new(self.text);
        let mut findings = self.findings;
        let mut rising: Vec<_> = findings.iter_mut().collect();
        rising.sort_by_key(|(offset, _)| *offset);
        for (offset, issue) in rising {
            issue.position = Some(places.position(*offset));
        }
        let mut report: Report = findings.into_iter().map(|(_, issue)| issue).collect();
        if let Some(fault) = self.fault {
            let at = fault.at.unwrap_or_else(|| root.to_owned());
            let issue = Issue::new(fault.rule, Severity::Fatal, fault.kind, at, fault.message);
            report.push(issue.with_position(places.position(fault.offset)));
        }
        report
    }

    #[cold]
    #[inline(never)]
    fn broken<T>(&mut self, offset: usize, message: impl Into<Cow<'static, str>>) -> Read<T> {
        self.fault =
            Some(Fault { offset, rule: "json", kind: Kind::Invalid, message: message.into(), token: false, at: None });
        Err(Stop)
    }

    #[cold]
    #[inline(never)]
    fn broken_token<T>(&mut self, offset: usize, message: impl Into<Cow<'static, str>>) -> Read<T> {
        let stop = self.broken(offset, message);
        if let Some(fault) = &mut self.fault {
            fault.token = true;
        }
        stop
    }

    /// Gives the element to a fault in a value's token. A fault of the structure stays with the document: there is
    /// no telling which element it would have been.
    fn place_fault(&mut self, at: &Path<'_>) {
        if let Some(fault) = &mut self.fault
            && fault.token
            && fault.at.is_none()
        {
            fault.at = Some(at.to_string());
        }
    }

    // --------------------------------------------------------------------------------------------------- tokens

    pub(crate) fn mode(&self) -> ReadMode {
        self.mode
    }

    pub(crate) fn offset(&self) -> usize {
        self.pos
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.pos += 1;
        }
    }

    /// The first byte of the next token.
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

    /// The end of the document: nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.broken(self.pos, "found more text after the end of the document"),
        }
    }

    /// Opens an object or array.
    pub(crate) fn enter(&mut self) -> Read<()> {
        if self.depth >= MAX_DEPTH {
            self.fault = Some(Fault {
                offset: self.pos,
                rule: "json-depth",
                kind: Kind::TooLong,
                message: Cow::Owned(format!("found more than {MAX_DEPTH} objects and arrays inside one another")),
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

    /// The name of a member and its colon.
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

    /// The content of a string, from its opening quote.
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

    /// The first offset at or after `from` that holds a quote, a backslash or a control character.
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

    /// The character of the escape at `at`, and the length of the escape.
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

    /// The text of a number.
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

    fn literal(&mut self, word: &'static str) -> Read<&'static str> {
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
    fn bad_token<T>(&mut self, start: usize) -> Read<T> {
        let rest = self.text.get(start..).unwrap_or_default();
        let token: String =
            rest.chars().take_while(|c| !c.is_whitespace() && !matches!(c, ',' | '}' | ']')).take(32).collect();
        if rest.is_empty() {
            self.broken_token(start, "the document ends where a value should be")
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

    fn skip_here(&mut self) -> Read<()> {
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

    /// The text from `start` to here, without the white space between tokens.
    pub(crate) fn raw_since(&self, start: usize) -> Raw {
        Raw::compact(self.text.get(start..self.pos).unwrap_or_default())
    }

    /// The text from `start` to here, as it stands.
    pub(crate) fn text_since(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    // --------------------------------------------------------------------------------------------------- values

    /// Reports a value of the wrong JSON type and steps over it.
    #[cold]
    pub(crate) fn wrong_type(&mut self, at: &Path<'_>, wanted: &'static str) -> Read<Outcome> {
        let found = self.found();
        let (rule, message) = match found {
            "null" => ("null", format!("found null, wanted {wanted}")),
            "an array" if self.depth > 0 && !at.is_item() => {
                ("max-cardinality", format!("found an array, wanted {wanted}; the element does not repeat"))
            }
            found => ("wrong-type", format!("found {found}, wanted {wanted}")),
        };
        let offset = self.pos;
        // Where it is no JSON value at all, stepping over it says what is broken.
        self.skip(at)?;
        if self.depth == 0 {
            self.find_as(Severity::Error, offset, rule, Kind::Structure, at, message);
        } else {
            self.find(offset, rule, Kind::Structure, at, message);
        }
        Ok(Outcome::Refused)
    }

    /// The token of a primitive: the content of a string, or the text of a number or boolean. `None` when the token
    /// is of another kind; that has been reported, and the value stepped over.
    #[inline]
    pub(crate) fn scalar(&mut self, at: &Path<'_>, wanted: Token) -> Read<Option<Cow<'a, str>>> {
        let token = match (self.peek(), wanted) {
            (Some(b'"'), Token::String) => self.string(),
            (Some(b'-' | b'0'..=b'9'), Token::Number) => self.number().map(Cow::Borrowed),
            (Some(b't'), Token::Boolean) => self.literal("true").map(Cow::Borrowed),
            (Some(b'f'), Token::Boolean) => self.literal("false").map(Cow::Borrowed),
            _ => return self.wrong_type(at, wanted.name()).map(|_| None),
        };
        match token {
            Ok(token) => Ok(Some(token)),
            Err(stop) => {
                self.place_fault(at);
                Err(stop)
            }
        }
    }

    /// Takes a token back that is no longer needed.
    #[inline]
    pub(crate) fn done(&mut self, token: Cow<'a, str>) {
        if let Cow::Owned(buffer) = token {
            self.buffer = buffer;
        }
    }

    /// Steps over a null.
    pub(crate) fn null(&mut self, at: &Path<'_>) -> Read<()> {
        self.literal("null").map(drop).inspect_err(|_| self.place_fault(at))
    }

    /// Reads an object into `sink`.
    pub(crate) fn object(&mut self, at: &Path<'_>, sink: &mut dyn Sink) -> Read<Outcome> {
        if self.peek() != Some(b'{') {
            return self.wrong_type(at, "an object");
        }
        let outer = std::mem::replace(&mut self.owner, sink.type_name());
        let offset = self.pos;
        let outcome = self.members(at, sink, offset);
        self.owner = outer;
        outcome
    }

    fn members(&mut self, at: &Path<'_>, sink: &mut dyn Sink, offset: usize) -> Read<Outcome> {
        let mut seen = Seen::default();
        let resource_type = sink.resource_type();
        let mut typed = resource_type.is_none();
        self.enter()?;
        let mut first = true;
        while self.more(b'}', first)? {
            first = false;
            self.peek();
            let key_offset = self.pos;
            let key = self.key()?;
            self.peek();
            let start = self.pos;
            if let Some(wanted) = resource_type
                && key == "resourceType"
            {
                if typed {
                    self.unusable(key_offset, "duplicate-member", at, &key, "found the member a second time")?;
                    self.keep(sink, &key, start);
                } else {
                    self.check_resource_type(&at.child("resourceType"), wanted)?;
                }
                typed = true;
                continue;
            }
            match sink.member(self, at, Member::new(&key), &mut seen)? {
                Some(Outcome::Taken) => {}
                Some(Outcome::Refused) => self.keep(sink, &key, start),
                None => {
                    seen.other = true;
                    let (rule, message) = self.unknown(sink.type_name(), &key);
                    self.unusable(key_offset, rule, at, &key, message)?;
                    self.keep(sink, &key, start);
                }
            }
        }
        if !typed && let Some(wanted) = resource_type {
            let message = format!("the resource has no `resourceType`, wanted `{wanted}`");
            self.find_as(Severity::Error, offset, "resource-type", Kind::Required, &at.child("resourceType"), message);
        }
        if resource_type.is_none() && !seen.other && (first || !sink.is_extras()) {
            // Row 0 of every element that is not a resource is its id.
            if (seen.value | seen.under) & !1 == 0 {
                let message = if first { "found an empty object" } else { "found an object with nothing but an id" };
                self.find(offset, "ele-1", Kind::Invariant, at, format!("{message}, wanted a value or members"));
                return Ok(if first { Outcome::Refused } else { Outcome::Taken });
            }
        }
        sink.finish(self, at, &seen);
        Ok(Outcome::Taken)
    }

    #[cold]
    fn unknown(&self, owner: &str, key: &str) -> (&'static str, String) {
        let owner = if owner.is_empty() { "a primitive" } else { owner };
        ("unknown-member", format!("`{key}` is not a member of {owner} in FHIR STU3"))
    }

    /// Reports a member that cannot be used, and steps over its value.
    #[cold]
    fn unusable(
        &mut self,
        offset: usize,
        rule: &'static str,
        at: &Path<'_>,
        key: &str,
        message: impl Into<String>,
    ) -> Read<()> {
        self.find(offset, rule, Kind::Structure, &at.child(key), message);
        self.skip(&at.child(key))
    }

    /// Reports a member that came before, and steps over its value.
    #[cold]
    pub(crate) fn duplicate(&mut self, at: &Path<'_>) -> Read<Option<Outcome>> {
        let offset = self.pos;
        self.find(offset, "duplicate-member", Kind::Structure, at, "found the member a second time");
        self.skip(at)?;
        Ok(Some(Outcome::Refused))
    }

    /// Keeps the value that began at `start` as text, in the lenient mode.
    fn keep(&mut self, sink: &mut dyn Sink, key: &str, start: usize) {
        if self.mode == ReadMode::Lenient {
            sink.unmodelled().push(key, self.raw_since(start));
        }
    }

    fn check_resource_type(&mut self, at: &Path<'_>, wanted: &'static str) -> Read<()> {
        let offset = self.pos;
        if self.peek() != Some(b'"') {
            let found = self.found();
            let message = format!("found {found}, wanted the string `{wanted}`");
            self.find_as(Severity::Error, offset, "resource-type", Kind::Structure, at, message);
            return self.skip(at);
        }
        let found = self.string()?;
        if found != wanted {
            let message = format!("found `{found}`, wanted `{wanted}`");
            self.find_as(Severity::Error, offset, "resource-type", Kind::Structure, at, message);
        }
        Ok(())
    }

    /// The `resourceType` of the object that comes next, wherever it stands in the object, with nothing consumed.
    /// Fails where broken JSON comes before it.
    pub(crate) fn resource_type_ahead(&mut self) -> Read<Option<Cow<'a, str>>> {
        self.peek();
        let (pos, depth) = (self.pos, self.depth);
        if let Some((at, found)) = &self.ahead
            && *at == pos
        {
            return Ok(Some(found.clone()));
        }
        let found = self.find_resource_type();
        // Broken JSON is reported by the pass that reads.
        self.fault = None;
        (self.pos, self.depth) = (pos, depth);
        self.ahead = found.as_ref().ok().cloned().flatten().map(|found| (pos, found));
        found
    }

    fn find_resource_type(&mut self) -> Read<Option<Cow<'a, str>>> {
        if self.peek() != Some(b'{') {
            return Ok(None);
        }
        self.enter()?;
        let mut first = true;
        while self.more(b'}', first)? {
            first = false;
            if self.key()? == "resourceType" {
                return if self.peek() == Some(b'"') { self.string().map(Some) } else { Ok(None) };
            }
            self.skip_here()?;
        }
        Ok(None)
    }

    /// Reads any value as text, without white space between tokens, and reports what no FHIR JSON may have: nulls
    /// that are members, empty objects, arrays and strings, and members that come twice.
    pub(crate) fn any(&mut self, at: &Path<'_>, out: &mut String) -> Read<()> {
        let offset = match self.peek() {
            Some(_) => self.pos,
            None => return self.bad_token(self.pos),
        };
        match self.byte() {
            Some(b'{') => self.any_object(at, out),
            Some(b'[') => {
                self.enter()?;
                out.push('[');
                let mut index = 0;
                while self.more(b']', index == 0)? {
                    if index > 0 {
                        out.push(',');
                    }
                    let item = at.indexed(index);
                    if self.peek() == Some(b'n') {
                        self.null(&item)?;
                        out.push_str("null");
                    } else {
                        self.any(&item, out)?;
                    }
                    index += 1;
                }
                out.push(']');
                if index == 0 {
                    self.find(
                        offset,
                        "empty",
                        Kind::Structure,
                        at,
                        "found an empty array, wanted no member or some items",
                    );
                }
                Ok(())
            }
            byte => {
                if byte == Some(b'n') {
                    self.find(offset, "null", Kind::Structure, at, "found null, wanted no member or a value");
                }
                self.skip(at)?;
                let token = self.text_since(offset);
                if token == "\"\"" {
                    self.find(offset, "empty", Kind::Value, at, "found an empty string, wanted no member or some text");
                }
                out.push_str(token);
                Ok(())
            }
        }
    }

    fn any_object(&mut self, at: &Path<'_>, out: &mut String) -> Read<()> {
        let offset = self.pos;
        let mut keys = std::collections::BTreeSet::new();
        self.enter()?;
        out.push('{');
        let mut first = true;
        while self.more(b'}', first)? {
            self.peek();
            let key_offset = self.pos;
            let key = self.key()?;
            if !first {
                out.push(',');
            }
            first = false;
            let end = self.text_since(key_offset).trim_end_matches(':').trim_end().len();
            out.push_str(self.text.get(key_offset..key_offset + end).unwrap_or_default());
            out.push(':');
            let here = at.child(&key);
            if keys.contains(&key) {
                self.find(key_offset, "duplicate-member", Kind::Structure, &here, "found the member a second time");
            }
            self.any(&here, out)?;
            keys.insert(key);
        }
        out.push('}');
        if first {
            self.find(offset, "ele-1", Kind::Invariant, at, "found an empty object, wanted a value or members");
        }
        Ok(())
    }

    /// Reads an array, calling `item` at each of its values with the index. An empty array is a finding.
    pub(crate) fn array(
        &mut self,
        at: &Path<'_>,
        wanted: &'static str,
        item: &mut dyn FnMut(&mut Self, usize) -> Read<()>,
    ) -> Read<Outcome> {
        if self.peek() != Some(b'[') {
            let offset = self.pos;
            let found = self.found();
            self.skip(at)?;
            let rule = if found == "null" { "null" } else { "wrong-type" };
            self.find(offset, rule, Kind::Structure, at, format!("found {found}, wanted an array of {wanted}"));
            return Ok(Outcome::Refused);
        }
        let offset = self.pos;
        self.enter()?;
        let mut index = 0;
        while self.more(b']', index == 0)? {
            self.peek();
            item(self, index)?;
            index += 1;
        }
        if index == 0 {
            self.find(offset, "empty", Kind::Structure, at, "found an empty array, wanted no member or some items");
            return Ok(Outcome::Refused);
        }
        Ok(Outcome::Taken)
    }
}

/// Turns rising byte offsets into lines and columns, in one pass over the text.
pub(crate) struct Places<'a> {
    text: &'a str,
    offset: usize,
    place: Position,
}

impl<'a> Places<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, offset: 0, place: Position { line: 1, column: 1 } }
    }

    pub(crate) fn position(&mut self, offset: usize) -> Position {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        let breaks = between.bytes().filter(|byte| *byte == b'\n').count();
        if breaks > 0 {
            self.place = Position { line: self.place.line + breaks, column: 1 };
        }
        self.place.column += between.rsplit('\n').next().unwrap_or_default().chars().count();
        self.offset = offset;
        self.place
    }
}
