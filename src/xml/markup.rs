//! The tags and the text of an XML document with namespaces, and what makes it no well-formed one.
//!
//! `quick-xml` finds the markup and holds end tags to start tags. What it leaves to its callers is checked here: names,
//! attributes, namespaces, references and characters. Attributes are taken apart here too, once, as a document of FHIR
//! consists of them.

use super::{NAMESPACE, XHTML_NAMESPACE};
use crate::issue::IssueType;
use quick_xml::errors::IllFormedError;
use quick_xml::events::{BytesDecl, Event};
use quick_xml::{Error, Reader};
use std::borrow::Cow;

/// The most attributes that an element may have, and the most namespaces that may be declared around it.
pub(super) const MOST: usize = 64;

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
const INSTANCE_NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Why a document cannot be read on.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) rule: &'static str,
    pub(super) kind: IssueType,
    pub(super) message: Cow<'static, str>,
}

impl Fault {
    /// The document is not well-formed.
    #[cold]
    pub(super) fn xml(offset: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self { offset, rule: "xml", kind: IssueType::Invalid, message: message.into() }
    }

    /// The document is larger in some respect than is read.
    #[cold]
    pub(super) fn limit(offset: usize, rule: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { offset, rule, kind: IssueType::TooLong, message: message.into() }
    }
}

/// What is read next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    /// A start tag, or the tag of an empty element: no end tag follows that.
    Open(Tag<'a>),
    /// An end tag.
    Close,
    /// Text between tags, as it stands.
    Text(&'a str),
    /// The character that a reference stands for.
    Reference(char),
    /// The end of the document.
    End,
}

/// A start tag. Its attributes are in [`Markup::attributes`] until the next one is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    /// Where it begins.
    pub(super) offset: usize,
    pub(super) local: &'a str,
    pub(super) namespace: Namespace<'a>,
    /// Whether it is an element without an end tag.
    pub(super) is_empty: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) offset: usize,
    pub(super) prefix: &'a str,
    pub(super) local: &'a str,
    /// The value with its references.
    pub(super) raw: &'a str,
    /// Whether the value is written as it is, without a reference and white space other than blanks.
    is_plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespace<'a> {
    /// No namespace.
    None,
    Fhir,
    Xhtml,
    Other(&'a str),
}

impl Namespace<'_> {
    /// What a message calls it.
    pub(super) fn words(self) -> String {
        match self {
            Self::None => "no namespace".to_owned(),
            Self::Fhir => format!("the namespace `{NAMESPACE}`"),
            Self::Xhtml => format!("the namespace `{XHTML_NAMESPACE}`"),
            Self::Other(uri) => format!("the namespace `{uri}`"),
        }
    }
}

struct Binding<'a> {
    prefix: &'a str,
    namespace: Namespace<'a>,
    uri: &'a str,
    /// How many elements are open where it is declared, its own included.
    depth: usize,
}

pub(super) struct Markup<'a> {
    text: &'a str,
    events: Reader<&'a [u8]>,
    /// The attributes of the last start tag, without those that declare namespaces.
    pub(super) attributes: Vec<Attribute<'a>>,
    bindings: Vec<Binding<'a>>,
    depth: usize,
    /// Whether the last tag was of an empty element, which is open until the next token is read.
    is_in_empty: bool,
    /// Where the last token began.
    start: usize,
    is_single_quoted: Option<bool>,
}

impl<'a> Attribute<'a> {
    /// The name as it stands.
    pub(super) fn name(&self) -> String {
        if self.prefix.is_empty() { self.local.to_owned() } else { format!("{}:{}", self.prefix, self.local) }
    }

    /// The value: its references resolved, and white space that is written as itself made blanks.
    pub(super) fn value(&self) -> Result<Cow<'a, str>, Fault> {
        if self.is_plain { Ok(Cow::Borrowed(self.raw)) } else { decoded(self.raw, self.offset) }
    }
}

impl<'a> Markup<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Fault> {
        if let Some((offset, found)) = bad_character(text) {
            return Err(Fault::xml(
                offset,
                format!("found the character {}, which XML has not", found.escape_unicode()),
            ));
        }
        let mut events = Reader::from_str(text);
        events.config_mut().check_comments = true;
        Ok(Self {
            text,
            events,
            attributes: Vec::new(),
            bindings: Vec::new(),
            depth: 0,
            is_in_empty: false,
            start: 0,
            is_single_quoted: None,
        })
    }

    /// Where the next token begins.
    pub(super) fn offset(&self) -> usize {
        usize::try_from(self.events.buffer_position()).unwrap_or(usize::MAX)
    }

    /// Where the last tag began.
    pub(super) fn tag_start(&self) -> usize {
        self.start
    }

    /// Whether the first element has its first attribute in single quotes.
    pub(super) fn is_single_quoted(&self) -> bool {
        self.is_single_quoted == Some(true)
    }

    pub(super) fn between(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault> {
        if self.is_in_empty {
            self.is_in_empty = false;
            self.close();
        }
        loop {
            let start = self.offset();
            self.start = start;
            let event = match self.events.read_event() {
                Ok(event) => event,
                Err(error) => return Err(self.broken(start, &error)),
            };
            match event {
                Event::Start(_) => return self.open(start, 1),
                Event::Empty(_) => return self.open(start, 2),
                Event::End(_) => {
                    self.close();
                    return Ok(Token::Close);
                }
                Event::Text(_) => {
                    let text = self.text.get(start..self.offset()).unwrap_or_default();
                    if text.contains("]]>") {
                        return Err(Fault::xml(start, "found `]]>` in a text, wanted `]]&gt;`"));
                    }
                    return Ok(Token::Text(text));
                }
                Event::CData(_) => {
                    let end = self.offset().saturating_sub("]]>".len());
                    return Ok(Token::Text(self.text.get(start + "<![CDATA[".len()..end).unwrap_or_default()));
                }
                Event::GeneralRef(_) => {
                    let end = self.offset().saturating_sub(1);
                    let name = self.text.get(start + 1..end).unwrap_or_default();
                    return referred(name, start).map(Token::Reference);
                }
                Event::Comment(_) => {}
                Event::PI(instruction) => {
                    let target = String::from_utf8_lossy(instruction.target()).into_owned();
                    if target.eq_ignore_ascii_case("xml") || !is_name(&target) || target.contains(':') {
                        return Err(Fault::xml(start, format!("`{target}` is no name of a processing instruction")));
                    }
                }
                Event::Decl(declaration) if start == 0 => check_declaration(&declaration)?,
                Event::Decl(_) => {
                    return Err(Fault::xml(start, "found an XML declaration that does not begin the document"));
                }
                Event::DocType(_) => {
                    return Err(Fault {
                        offset: start,
                        rule: "xml-doctype",
                        kind: IssueType::Security,
                        message: Cow::Borrowed("found a document type (`<!DOCTYPE`), wanted none: it is not followed"),
                    });
                }
                Event::Eof if self.depth > 0 => {
                    return Err(Fault::xml(start, "the document ends inside an element"));
                }
                Event::Eof => return Ok(Token::End),
            }
        }
    }

    /// What `quick-xml` says of a document that is not well-formed.
    #[cold]
    fn broken(&self, start: usize, error: &Error) -> Fault {
        match error {
            Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
                Fault::xml(start, format!("found the end tag `</{found}>`, wanted `</{expected}>`"))
            }
            Error::IllFormed(IllFormedError::UnmatchedEndTag(found)) => {
                Fault::xml(start, format!("found the end tag `</{found}>` without a start tag"))
            }
            Error::IllFormed(IllFormedError::UnclosedReference) => {
                Fault::xml(start, "found `&` that begins no reference, wanted `&amp;`")
            }
            other => Fault::xml(start, format!("the document is not well-formed: {other}")),
        }
    }

    fn close(&mut self) {
        while self.bindings.last().is_some_and(|binding| binding.depth >= self.depth) {
            self.bindings.pop();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// The tag that begins at `start` and ends with so many characters that are not of its content.
    fn open(&mut self, start: usize, closing: usize) -> Result<Token<'a>, Fault> {
        let content = self.text.get(start + 1..self.offset().saturating_sub(closing)).unwrap_or_default();
        self.depth += 1;
        self.is_in_empty = closing == 2;
        let (prefix, local, rest) = take_name(content, start)?;
        self.attributes.clear();
        if !rest.is_empty() {
            self.read_attributes(rest, start + 1 + content.len() - rest.len())?;
        }
        let namespace = self.resolve(prefix, start)?;
        Ok(Token::Open(Tag { offset: start, local, namespace, is_empty: self.is_in_empty }))
    }

    fn read_attributes(&mut self, text: &'a str, start: usize) -> Result<(), Fault> {
        let mut rest = text;
        let mut has_prefix = false;
        loop {
            let trimmed = rest.trim_ascii_start();
            let offset = start + text.len() - trimmed.len();
            if trimmed.is_empty() {
                break;
            }
            if trimmed.len() == rest.len() {
                return Err(Fault::xml(offset, "wanted white space between attributes"));
            }
            let (prefix, local, after) = take_name(trimmed, offset)?;
            let name = || trimmed.get(..trimmed.len() - after.len()).unwrap_or_default();
            let value = after.trim_ascii_start().strip_prefix('=').map(str::trim_ascii_start).unwrap_or_default();
            let Some(quote @ (b'"' | b'\'')) = value.as_bytes().first().copied() else {
                return Err(Fault::xml(offset, format!("the attribute `{}` has no value in quotes", shown(name()))));
            };
            self.is_single_quoted.get_or_insert(quote == b'\'');
            let value = value.get(1..).unwrap_or_default();
            let Some((end, is_plain)) = value_end(value.as_bytes(), quote) else {
                return Err(Fault::xml(offset, format!("the value of `{}` has no closing quote", shown(name()))));
            };
            let (raw, after) = value.split_at_checked(end).unwrap_or_default();
            rest = after.get(1..).unwrap_or_default();
            if !is_plain && raw.contains('<') {
                return Err(Fault::xml(
                    offset,
                    format!("found `<` in the value of `{}`, wanted `&lt;`", shown(name())),
                ));
            }
            if prefix == "xmlns" || (prefix.is_empty() && local == "xmlns") {
                self.bind(if prefix.is_empty() { "" } else { local }, raw, offset)?;
                continue;
            }
            let twice = |other: &Attribute<'_>| other.local == local && other.prefix == prefix;
            if self.attributes.iter().any(twice) {
                return Err(Fault::xml(offset, format!("found the attribute `{}` a second time", name())));
            }
            if self.attributes.len() >= MOST {
                return Err(Fault::limit(
                    offset,
                    "xml-limit",
                    format!("found more than {MOST} attributes of an element"),
                ));
            }
            has_prefix |= !prefix.is_empty();
            self.attributes.push(Attribute { offset, prefix, local, raw, is_plain });
        }
        if has_prefix { self.check_prefixes() } else { Ok(()) }
    }

    /// Attributes with a prefix: each is declared, and no two are the same by their namespaces.
    fn check_prefixes(&self) -> Result<(), Fault> {
        for (index, attribute) in self.attributes.iter().enumerate() {
            if attribute.prefix.is_empty() {
                continue;
            }
            let namespace = self.resolve(attribute.prefix, attribute.offset)?;
            let same = |other: &&Attribute<'_>| {
                other.local == attribute.local
                    && !other.prefix.is_empty()
                    && self.resolve(other.prefix, other.offset).is_ok_and(|other| other == namespace)
            };
            if self.attributes.iter().take(index).any(|other| same(&other)) {
                let message = format!("found the attribute `{}` a second time, by its namespace", attribute.local);
                return Err(Fault::xml(attribute.offset, message));
            }
        }
        Ok(())
    }

    fn bind(&mut self, prefix: &'a str, raw: &'a str, offset: usize) -> Result<(), Fault> {
        let uri = decoded(raw, offset)?;
        let is_reserved = prefix == "xmlns" || (prefix == "xml") != (uri == XML_NAMESPACE);
        if is_reserved || (uri.is_empty() && !prefix.is_empty()) {
            return Err(Fault::xml(offset, format!("the prefix `{prefix}` cannot stand for `{uri}`")));
        }
        let twice = |binding: &Binding<'_>| binding.depth == self.depth && binding.prefix == prefix;
        if self.bindings.iter().any(twice) {
            return Err(Fault::xml(offset, "found a namespace declared a second time"));
        }
        if self.bindings.len() >= MOST {
            return Err(Fault::limit(
                offset,
                "xml-limit",
                format!("found more than {MOST} declarations of namespaces"),
            ));
        }
        let namespace = match &*uri {
            "" => Namespace::None,
            NAMESPACE => Namespace::Fhir,
            XHTML_NAMESPACE => Namespace::Xhtml,
            _ => Namespace::Other(raw),
        };
        self.bindings.push(Binding { prefix, namespace, uri: raw, depth: self.depth });
        Ok(())
    }

    fn resolve(&self, prefix: &'a str, offset: usize) -> Result<Namespace<'a>, Fault> {
        match self.bindings.iter().rev().find(|binding| binding.prefix == prefix) {
            Some(binding) => Ok(binding.namespace),
            None if prefix.is_empty() => Ok(Namespace::None),
            None if prefix == "xml" => Ok(Namespace::Other(XML_NAMESPACE)),
            None => Err(Fault::xml(offset, format!("the prefix `{}` has no namespace", shown(prefix)))),
        }
    }

    /// Whether an attribute says where a schema is, and nothing of the document.
    pub(super) fn is_schema_location(&self, attribute: &Attribute<'a>) -> bool {
        !attribute.prefix.is_empty()
            && matches!(attribute.local, "schemaLocation" | "noNamespaceSchemaLocation")
            && self.resolve(attribute.prefix, 0).is_ok_and(|found| found == Namespace::Other(INSTANCE_NAMESPACE))
    }

    /// Steps over the content of the element whose tag was read last, to the end of it. `outer` gets the prefix and the
    /// URI of each namespace that is used in the element and declared outside of it.
    pub(super) fn skip(&mut self, tag: &Tag<'a>, outer: &mut Vec<(&'a str, &'a str)>) -> Result<(), Fault> {
        let inside = self.depth;
        let mut prefix = self.prefix_of(tag);
        loop {
            // An attribute without a prefix is of no namespace, not of the default one.
            let prefixes = self.attributes.iter().map(|attribute| attribute.prefix).filter(|prefix| !prefix.is_empty());
            for prefix in std::iter::once(prefix).chain(prefixes) {
                let used = self.bindings.iter().rev().find(|binding| binding.prefix == prefix);
                if let Some(used) = used.filter(|used| used.depth < inside)
                    && !outer.iter().any(|(known, _)| *known == prefix)
                {
                    outer.push((prefix, used.uri));
                }
            }
            for attribute in &self.attributes {
                check_references(attribute.raw, attribute.offset)?;
            }
            if self.is_in_empty && self.depth == inside {
                return Ok(());
            }
            loop {
                match self.next()? {
                    Token::Open(tag) => {
                        prefix = self.prefix_of(&tag);
                        break;
                    }
                    Token::Close if self.depth < inside => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    fn prefix_of(&self, tag: &Tag<'a>) -> &'a str {
        let name = self.text.get(tag.offset + 1..).unwrap_or_default();
        let end = name.bytes().position(|byte| is_space(byte) || matches!(byte, b'/' | b'>' | b':')).unwrap_or(0);
        if name.as_bytes().get(end) == Some(&b':') { name.get(..end).unwrap_or_default() } else { "" }
    }
}

/// What is at the beginning of a document says that it is XML 1.0 in UTF-8.
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Fault> {
    if !matches!(declaration.version().as_deref(), Ok(b"1.0")) {
        return Err(Fault::xml(0, "the XML declaration does not say version 1.0"));
    }
    let Some(encoding) = declaration.encoding() else { return Ok(()) };
    let encoding = encoding.map(|encoding| String::from_utf8_lossy(&encoding).into_owned()).unwrap_or_default();
    if ["utf-8", "us-ascii", "ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let message = format!("the document says that it is encoded in `{}`, wanted UTF-8", shown(&encoding));
    Err(Fault { offset: 0, rule: "xml-encoding", kind: IssueType::Invalid, message: message.into() })
}

/// The beginning of a name that may be of any length.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a text is white space alone.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(is_space)
}

/// Whether a character may stand in XML 1.0.
pub(super) const fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The first character that XML has not.
fn bad_character(text: &str) -> Option<(usize, char)> {
    // One pass without a branch finds out whether one may be there at all.
    let may_be = |chunk: &[u8]| chunk.iter().fold(false, |bad, b| bad | (*b < b' ' && !is_space(*b)) | (*b == 0xef));
    let start = text.as_bytes().chunks(256).position(may_be)? * 256;
    let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let rest = text.get(start..).unwrap_or_default();
    rest.char_indices().find(|(_, c)| !is_character(*c)).map(|(at, c)| (start + at, c))
}

/// The prefix and the local part of the name that a text begins with, and what comes after it.
fn take_name(text: &str, offset: usize) -> Result<(&str, &str, &str), Fault> {
    let bytes = text.as_bytes();
    let plain = bytes.iter().take_while(|byte| is_plain_name(**byte)).count();
    let is_whole = bytes.get(plain).is_none_or(|byte| *byte == b'=' || is_space(*byte));
    // Names of FHIR are of letters and digits.
    if is_whole && bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        let (name, rest) = text.split_at_checked(plain).unwrap_or_default();
        return Ok(("", name, rest));
    }
    let end = bytes.iter().position(|byte| *byte == b'=' || is_space(*byte)).unwrap_or(bytes.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or_default();
    let (prefix, local) = split_name(name, offset)?;
    Ok((prefix, local, rest))
}

/// Whether a byte may stand in a name, but at its beginning perhaps.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte is an index of a table of 256")]
const fn is_plain_name(byte: u8) -> bool {
    PLAIN_NAME[byte as usize]
}

#[expect(clippy::indexing_slicing, reason = "the index stays below the length of the table")]
const PLAIN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'-' | b'.');
        byte += 1;
    }
    table
};

/// Where the value of an attribute ends, and whether it is written as it is.
fn value_end(bytes: &[u8], quote: u8) -> Option<(usize, bool)> {
    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let quotes = LOW_BITS * u64::from(quote);
    let mut rest = bytes;
    let mut is_plain = true;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let [quote, and, less] = [quotes, LOW_BITS * 0x26, LOW_BITS * 0x3c].map(|one| word ^ one);
        // Each term has the top bit of a byte set where that byte is the one sought, and perhaps above such a byte.
        let hits = (quote.wrapping_sub(LOW_BITS) & !quote)
            | (and.wrapping_sub(LOW_BITS) & !and)
            | (less.wrapping_sub(LOW_BITS) & !less)
            | (word.wrapping_sub(LOW_BITS * 0x20) & !word);
        if hits & HIGH_BITS != 0 {
            break;
        }
        rest = after;
    }
    for (at, byte) in rest.iter().enumerate() {
        if *byte == quote {
            return Some((bytes.len() - rest.len() + at, is_plain));
        }
        is_plain &= !matches!(byte, b'&' | b'<' | 0..b' ');
    }
    None
}

/// The prefix and the local part of a name.
fn split_name(name: &str, offset: usize) -> Result<(&str, &str), Fault> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    if !is_name(local) || local.contains(':') || (prefix.len() < name.len() - local.len() && !is_name(prefix)) {
        return Err(Fault::xml(offset, format!("`{}` is no name", shown(name))));
    }
    if prefix.is_empty() && local.len() < name.len() {
        return Err(Fault::xml(offset, format!("`{}` is no name", shown(name))));
    }
    Ok((prefix, local))
}

/// Whether a text is a name of XML.
fn is_name(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if first.is_ascii_alphabetic() && text.bytes().all(plain) {
        return true;
    }
    is_name_start(first) && text.chars().all(|c| is_name_start(c) || is_name_rest(c))
}

const fn is_name_start(c: char) -> bool {
    matches!(c, ':' | 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

const fn is_name_rest(c: char) -> bool {
    matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// The character that a reference of that name stands for.
fn referred(name: &str, offset: usize) -> Result<char, Fault> {
    let code = match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => name.strip_prefix('#'),
    };
    let Some(code) = code else {
        return Err(Fault {
            offset,
            rule: "xml-entity",
            kind: IssueType::Security,
            message: format!(
                "found the entity `&{};`, wanted the character or its number: no entities are declared",
                shown(name)
            )
            .into(),
        });
    };
    let (digits, radix) = code.strip_prefix('x').map_or((code, 10), |digits| (digits, 16));
    let digits = Some(digits).filter(|digits| digits.bytes().all(|b| char::from(b).is_digit(radix)));
    let found = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).and_then(char::from_u32);
    match found.filter(|c| is_character(*c)) {
        Some(found) => Ok(found),
        None => Err(Fault::xml(offset, format!("`&{};` is no character of XML", shown(name)))),
    }
}

/// The parts of a text that has references: what stands before each, and the character that it is.
fn split_references(raw: &str, offset: usize, mut part: impl FnMut(&str, Option<char>)) -> Result<(), Fault> {
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at(at);
        let here = offset + raw.len() - reference.len();
        let Some(end) = reference.find(';') else {
            return Err(Fault::xml(offset, "found `&` that begins no reference, wanted `&amp;`"));
        };
        part(before, Some(referred(reference.get(1..end).unwrap_or_default(), here)?));
        rest = reference.get(end + 1..).unwrap_or_default();
    }
    part(rest, None);
    Ok(())
}

/// Whether every reference in a text stands for a character.
pub(super) fn check_references(raw: &str, offset: usize) -> Result<(), Fault> {
    if raw.contains('&') { split_references(raw, offset, |_, _| ()) } else { Ok(()) }
}

/// The value of an attribute: its references resolved, and white space that is written as itself made blanks.
pub(super) fn decoded(raw: &str, offset: usize) -> Result<Cow<'_, str>, Fault> {
    if !raw.bytes().any(|byte| byte == b'&' || byte < b' ') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    split_references(raw, offset, |before, found| {
        let mut was_return = false;
        for c in before.chars() {
            // A line end of two characters is one.
            if !(was_return && c == '\n') {
                value.push(if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c });
            }
            was_return = c == '\r';
        }
        value.extend(found);
    })?;
    Ok(Cow::Owned(value))
}

#[cfg(test)]
mod tests {
    use super::{Markup, Token, bad_character, decoded, is_name, value_end};

    fn fault(text: &str) -> Option<&'static str> {
        let mut markup = match Markup::new(text) {
            Ok(markup) => markup,
            Err(fault) => return Some(fault.rule),
        };
        loop {
            match markup.next() {
                Ok(Token::End) => return None,
                Ok(_) => {}
                Err(fault) => return Some(fault.rule),
            }
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for (text, wanted) in [
            ("<a/>", None),
            ("<a xmlns='u' b='1'\n c=\"2\"></a >", None),
            ("<a b='1'c='2'/>", Some("xml")),
            ("<a b=1/>", Some("xml")),
            ("<a='1'/>", Some("xml")),
            ("<a b = '1' />", None),
            ("<a 1='1'/>", Some("xml")),
            ("<a b:='1'/>", Some("xml")),
            ("<a b/>", Some("xml")),
            ("<a b='1' b='2'/>", Some("xml")),
            ("<a b='<'/>", Some("xml")),
            ("<1/>", Some("xml")),
            ("<a:b/>", Some("xml")),
            ("<a:b xmlns:a='u'/>", None),
            ("<a:b xmlns:a=''/>", Some("xml")),
            ("<:b/>", Some("xml")),
            ("<a></b>", Some("xml")),
            ("<a>", Some("xml")),
            ("</a>", Some("xml")),
            ("<a>&b;</a>", Some("xml-entity")),
            ("<a>&#x41;&lt;</a>", None),
            ("<a>&#0;</a>", Some("xml")),
            ("<a>&#+65;</a>", Some("xml")),
            ("<a>& </a>", Some("xml")),
            ("<a>]]></a>", Some("xml")),
            ("<a><![CDATA[<]]></a>", None),
            ("<a><!-- -- --></a>", Some("xml")),
            ("<a><?xml version='1.0'?></a>", Some("xml")),
            ("<!DOCTYPE a><a/>", Some("xml-doctype")),
            ("<a x:b='1' y:b='2' xmlns:x='u' xmlns:y='u'/>", Some("xml")),
            ("<a>\u{1}</a>", Some("xml")),
            ("<a>\u{ffff}</a>", Some("xml")),
            ("<a>\u{ff08}</a>", None),
        ] {
            assert_eq!(fault(text), wanted, "{text}");
        }
    }

    #[test]
    fn value_ends_at_its_quote_wherever_that_stands() {
        for length in 0..30 {
            for special in [None, Some('&'), Some('<'), Some('\t'), Some('\''), Some('\u{e9}')] {
                for at in 0..=length {
                    let mut value = "a".repeat(length);
                    value.extend(special.filter(|_| at == length));
                    if let (Some(special), true) = (special, at < length) {
                        value.insert(at, special);
                    }
                    let is_plain = !matches!(special, Some('&' | '<' | '\t'));
                    let text = format!("{value}\" b=\"&\"");
                    assert_eq!(value_end(text.as_bytes(), b'"'), Some((value.len(), is_plain)), "{text}");
                }
            }
        }
        assert_eq!(value_end(b"a value that does not end", b'"'), None);
    }

    #[test]
    fn values_are_normalised_but_for_what_references_stand_for() {
        assert_eq!(decoded("a\r\nb\tc\rd&#10;&#13;&quot;", 0).unwrap(), "a b c d\n\r\"");
    }

    #[test]
    fn a_character_that_xml_has_not_is_found_wherever_it_stands() {
        for before in 0..600 {
            let text = format!("{}\u{b}", "\u{e9}".repeat(before));
            assert_eq!(bad_character(&text), Some((2 * before, '\u{b}')));
        }
        assert!(is_name("\u{e9}t\u{e9}") && !is_name("-a") && !is_name(""));
    }
}
