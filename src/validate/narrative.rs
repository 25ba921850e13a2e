//! What may stand in the `div` of a narrative: well-formed XHTML, of formatting elements and attributes alone.

use crate::datatype::{TXT_1, TXT_2};
use crate::issue::{Issue, Kind, Path, Report, Severity};
use std::collections::BTreeSet;

/// The elements of HTML 4.0, chapters 7 to 11 (without section 9.4) and 15, that are not deprecated, and `a` and `img`.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "acronym",
    "address",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "var",
];

/// The attributes that such elements may have.
const ATTRIBUTES: &[&str] = &[
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellhalign",
    "cellpadding",
    "cellspacing",
    "cellvalign",
    "char",
    "charoff",
    "charset",
    "cite",
    "class",
    "colspan",
    "compact",
    "coords",
    "dir",
    "frame",
    "headers",
    "height",
    "href",
    "hreflang",
    "hspace",
    "id",
    "lang",
    "longdesc",
    "name",
    "nowrap",
    "rel",
    "rev",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "span",
    "src",
    "start",
    "style",
    "summary",
    "tabindex",
    "title",
    "type",
    "valign",
    "value",
    "vspace",
    "width",
    "xml:lang",
    "xml:space",
];

const NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// How many open elements are remembered without the heap.
const FEW: usize = 32;

/// Judges the content of a `div`.
pub(super) fn narrative(div: &str, at: &Path<'_>, report: &mut Report) {
    let mut content = Content { rest: div, open: Open::default(), said: false, faults: 0, at, report };
    let broken = content.judge().err();
    if let Some(message) = broken {
        content.fault(message);
    } else if !content.said {
        let message = format!("{}; found a narrative without any", TXT_2.message);
        let issue = Issue::new(TXT_2.key, Severity::Error, Kind::Invariant, at, message);
        content.report.push(issue.with_row("Narrative.div"));
    }
}

/// The names of the elements that are open.
#[derive(Default)]
struct Open<'d> {
    few: [&'d str; FEW],
    depth: usize,
    more: Vec<&'d str>,
}

impl<'d> Open<'d> {
    fn push(&mut self, name: &'d str) {
        match self.few.get_mut(self.depth) {
            Some(slot) => *slot = name,
            None => self.more.push(name),
        }
        self.depth += 1;
    }

    fn pop(&mut self) -> Option<&'d str> {
        self.depth = self.depth.checked_sub(1)?;
        self.few.get(self.depth).copied().or_else(|| self.more.pop())
    }
}

struct Content<'d, 'r> {
    rest: &'d str,
    open: Open<'d>,
    /// Whether there was some text that is not white space, or an image.
    said: bool,
    faults: usize,
    at: &'r Path<'r>,
    report: &'r mut Report,
}

/// Why the content is not well-formed; nothing after that can be judged.
type Broken = String;

impl<'d> Content<'d, '_> {
    fn fault(&mut self, found: impl AsRef<str>) {
        self.faults += 1;
        // A narrative that is another kind of document altogether is not worth more.
        if self.faults > 20 {
            return;
        }
        let issue = Issue::new(TXT_1.key, Severity::Error, Kind::Invariant, self.at, found.as_ref());
        self.report.push(issue.with_row("Narrative.div"));
    }

    fn judge(&mut self) -> Result<(), Broken> {
        if may_have_others(self.rest)
            && let Some(bad) = self.rest.chars().find(|c| !is_character(*c))
        {
            return Err(format!("found the character {}, which XML has not", bad.escape_unicode()));
        }
        loop {
            let (text, markup) = self.rest.find('<').map_or((self.rest, ""), |end| self.rest.split_at(end));
            self.text(text)?;
            if markup.is_empty() {
                break;
            }
            self.rest = markup;
            self.markup()?;
        }
        match self.open.pop() {
            Some(name) => Err(format!("`<{name}>` is not closed")),
            None => Ok(()),
        }
    }

    fn text(&mut self, text: &'d str) -> Result<(), Broken> {
        if text.contains("]]>") {
            return Err("found `]]>` in the text".to_owned());
        }
        self.references(text)?;
        self.said |= !text.trim().is_empty();
        Ok(())
    }

    /// The entity and character references of a text.
    fn references(&self, text: &str) -> Result<(), Broken> {
        for (at, _) in text.match_indices('&') {
            let rest = text.get(at + 1..).unwrap_or_default();
            let Some((name, _)) = rest.split_once(';').filter(|(name, _)| name.len() <= 16) else {
                return Err("found `&` that begins no reference, wanted `&amp;`".to_owned());
            };
            if referred(name).is_none() {
                return Err(match name.starts_with('#') {
                    true => format!("`&{name};` is no character"),
                    false => format!("`&{name};` is no entity of XML, wanted its number or the character itself"),
                });
            }
        }
        Ok(())
    }

    fn markup(&mut self) -> Result<(), Broken> {
        if let Some(comment) = self.rest.strip_prefix("<!--") {
            let (inside, after) = comment.split_once("-->").ok_or("a comment is not closed")?;
            self.rest = after;
            return if inside.contains("--") { Err("found `--` in a comment".to_owned()) } else { Ok(()) };
        }
        if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
            return Err("found a declaration or an instruction, wanted elements and text alone".to_owned());
        }
        if let Some(close) = self.rest.strip_prefix("</") {
            let (name, after) = close.split_once('>').ok_or("a closing tag has no `>`")?;
            self.rest = after;
            let name = name.trim_end();
            return match self.open.pop() {
                Some(open) if open == name => Ok(()),
                Some(open) => Err(format!("found `</{name}>`, wanted `</{open}>`")),
                None => Err(format!("found `</{name}>`, which closes nothing")),
            };
        }
        self.element()
    }

    fn element(&mut self) -> Result<(), Broken> {
        if self.open.depth == 0 && self.said {
            return Err("found something beside the div element".to_owned());
        }
        let rest = self.rest.strip_prefix('<').unwrap_or_default();
        let (name, rest) = split_name(rest).ok_or("found `<` that begins no tag, wanted `&lt;`")?;
        if !ELEMENTS.contains(&name) {
            self.fault(format!("`<{name}>` is not allowed in a narrative, wanted formatting elements alone"));
        }
        let mut rest = rest;
        let (mut seen, mut count, mut more) = ([""; 8], 0, BTreeSet::new());
        loop {
            let spaced = rest.trim_start_matches(is_space);
            if let Some(after) = spaced.strip_prefix("/>") {
                self.rest = after;
                return Ok(());
            }
            if let Some(after) = spaced.strip_prefix('>') {
                self.rest = after;
                self.open.push(name);
                return Ok(());
            }
            if spaced.len() == rest.len() {
                return Err(format!("the tag `<{name}>` is not well-formed"));
            }
            let (attribute, value, after) = split_attribute(spaced).ok_or_else(|| {
                format!("the tag `<{name}>` is not well-formed, wanted attributes with values in quotes")
            })?;
            if seen.contains(&attribute) || more.contains(attribute) {
                return Err(format!("`<{name}>` has the attribute `{attribute}` twice"));
            }
            match seen.get_mut(count) {
                Some(slot) => *slot = attribute,
                None => drop(more.insert(attribute)),
            }
            count += 1;
            self.references(value)?;
            self.attribute(name, attribute, value);
            rest = after;
        }
    }

    fn attribute(&mut self, element: &str, name: &str, value: &str) {
        if name == "xmlns" {
            if value != NAMESPACE {
                self.fault(format!("`<{element}>` is in the namespace `{value}`, wanted that of xhtml"));
            }
            return;
        }
        if !ATTRIBUTES.contains(&name) {
            self.fault(format!("the attribute `{name}` is not allowed in a narrative"));
        }
        if matches!(name, "href" | "src") && is_active(value) {
            self.fault(format!("the attribute `{name}` has active content, wanted an address"));
        }
        self.said |= element == "img" && name == "src";
    }
}

/// Whether a document of XML 1.0 may have the character.
fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Whether a text may have other characters than those: some byte is a control character, or begins one of the last
/// characters of three bytes. A fold has no early end, so that many bytes are judged at once.
fn may_have_others(text: &str) -> bool {
    let is_doubtful = |byte: u8| (byte < b' ') | (byte == 0xef);
    text.bytes().fold(false, |doubtful, byte| doubtful | is_doubtful(byte))
}

/// The character that stands for the name of an entity, or for a number after `#`.
fn referred(name: &str) -> Option<char> {
    let code = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        },
        None => {
            return match name {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => None,
            };
        }
    };
    char::from_u32(code).filter(|c| is_character(*c))
}

/// Whether an address is a script, or a document that may hold one.
fn is_active(address: &str) -> bool {
    let mut rest = address;
    let decoded = std::iter::from_fn(|| {
        let reference = rest.strip_prefix('&').and_then(|rest| rest.split_once(';'));
        let (next, after) = match reference {
            Some((name, after)) => (referred(name)?, after),
            None => {
                let mut characters = rest.chars();
                (characters.next()?, characters.as_str())
            }
        };
        rest = after;
        Some(next)
    });
    // A browser passes over white space and control characters in a scheme.
    let seen = decoded.filter(|c| !c.is_whitespace() && !c.is_control()).map(|c| c.to_ascii_lowercase());
    let mut start = ['\0'; 14];
    start.iter_mut().zip(seen).for_each(|(slot, c)| *slot = c);
    ["javascript:", "vbscript:", "data:text/html"].iter().any(|active| active.chars().zip(start).all(|(a, b)| a == b))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn split_name(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, ':' | '-' | '_' | '.');
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    name.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some((name, rest))
}

/// The name and the value of the attribute that `text` begins with, and what comes after it.
fn split_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = split_name(text)?;
    let value = rest.trim_start_matches(is_space).strip_prefix('=')?.trim_start_matches(is_space);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = value.strip_prefix(quote)?.split_once(quote)?;
    (!value.contains('<')).then_some((name, value, after))
}
