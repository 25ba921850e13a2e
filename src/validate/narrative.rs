//! The content allowed in the `div` of a narrative: well-formed XHTML, of formatting elements and attributes alone.

use super::plain_narrative::is_plain;
use super::xhtml::{Content as Holds, Element, Kind, Stage, element_of};
use crate::datatype::{TXT_1, TXT_2};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use std::collections::BTreeSet;

const NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// How many open elements are remembered without the heap.
const FEW: usize = 32;

/// Checks the content of a `div`. `shown` is called with the id of each contained resource that it shows or links to.
pub(super) fn narrative(div: &str, at: &Path<'_>, report: &mut Report, shown: &mut dyn FnMut(&str)) {
    if !is_plain(div) {
        narrative_in_full(div, at, report, shown);
    }
}

/// The same, also where a pass over the bytes would tell that nothing is to be found.
pub(super) fn narrative_in_full(div: &str, at: &Path<'_>, report: &mut Report, shown: &mut dyn FnMut(&str)) {
    let mut content =
        Content { rest: div, open: Open::default(), prefix: "", said: false, faults: 0, at, report, shown };
    let broken = content.check().err();
    if let Some(message) = broken {
        content.fault(message);
    } else if !content.said {
        let message = "the narrative has neither text nor an image, wanted some";
        let issue = Issue::new(TXT_2.key, Severity::Error, IssueType::Invariant, at, message);
        content.report.push(issue.with_row("Narrative.div"));
    }
}

/// An element that is open.
#[derive(Clone, Copy)]
struct Frame<'d> {
    /// The name as it stands in the tag.
    tag: &'d str,
    content: Holds,
    stage: Stage,
}

impl Default for Frame<'_> {
    fn default() -> Self {
        Self { tag: "", content: Holds::Any, stage: Stage::Empty }
    }
}

/// The elements that are open.
#[derive(Default)]
struct Open<'d> {
    few: [Frame<'d>; FEW],
    depth: usize,
    more: Vec<Frame<'d>>,
}

impl<'d> Open<'d> {
    fn push(&mut self, frame: Frame<'d>) {
        match self.few.get_mut(self.depth) {
            Some(slot) => *slot = frame,
            None => self.more.push(frame),
        }
        self.depth += 1;
    }

    fn pop(&mut self) -> Option<Frame<'d>> {
        self.depth = self.depth.checked_sub(1)?;
        self.few.get(self.depth).copied().or_else(|| self.more.pop())
    }

    fn last(&mut self) -> Option<&mut Frame<'d>> {
        let index = self.depth.checked_sub(1)?;
        if index < FEW { self.few.get_mut(index) } else { self.more.last_mut() }
    }
}

struct Content<'d, 'r> {
    rest: &'d str,
    open: Open<'d>,
    /// The prefix that the root has, with its colon.
    prefix: &'d str,
    /// Whether there was some text that is not white space, or an image.
    said: bool,
    faults: usize,
    at: &'r Path<'r>,
    report: &'r mut Report,
    shown: &'r mut dyn FnMut(&str),
}

/// Why the content is not well-formed; nothing after that can be checked.
type Broken = String;

impl<'d> Content<'d, '_> {
    fn fault(&mut self, found: impl AsRef<str>) {
        self.find(Severity::Error, found);
    }

    fn find(&mut self, severity: Severity, found: impl AsRef<str>) {
        self.faults += 1;
        // A narrative that is another kind of document altogether is not worth more.
        if self.faults > 20 {
            return;
        }
        let issue = Issue::new(TXT_1.key, severity, IssueType::Invariant, self.at, found.as_ref());
        self.report.push(issue.with_row("Narrative.div"));
    }

    fn check(&mut self) -> Result<(), Broken> {
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
            Some(open) => Err(format!("`<{}>` is not closed", open.tag)),
            None => Ok(()),
        }
    }

    fn text(&mut self, text: &'d str) -> Result<(), Broken> {
        if text.is_empty() {
            return Ok(());
        }
        if text.contains("]]>") {
            return Err("found `]]>` in the text".to_owned());
        }
        self.references(text)?;
        let blank = text.trim_matches(is_space).is_empty();
        self.said |= !text.trim().is_empty();
        if let Some(open) = self.open.last()
            && !open.content.has_text()
            && !(blank && open.content != Holds::Nothing)
        {
            let message = format!("found text in `<{}>`, wanted elements alone", open.tag);
            // One is enough of an element.
            open.content = Holds::Any;
            self.fault(message);
        }
        Ok(())
    }

    /// Returns the entity and character references of a text.
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
            let name = name.trim_end_matches(is_space);
            return match self.open.pop() {
                Some(open) if open.tag == name => {
                    self.close(open);
                    Ok(())
                }
                Some(open) => Err(format!("found `</{name}>`, wanted `</{}>`", open.tag)),
                None => Err(format!("found `</{name}>`, which closes nothing")),
            };
        }
        self.element()
    }

    fn close(&mut self, frame: Frame<'d>) {
        if let Some(wanted) = frame.content.missing(frame.stage) {
            self.fault(format!("`<{}>` has no {wanted}, wanted at least one", frame.tag));
        }
    }

    fn element(&mut self) -> Result<(), Broken> {
        if self.open.depth == 0 && self.said {
            return Err("found something beside the div element".to_owned());
        }
        let root = self.open.depth == 0;
        let rest = self.rest.strip_prefix('<').unwrap_or_default();
        let (tag, rest) = split_name(rest).ok_or("found `<` that begins no tag, wanted `&lt;`")?;
        if root && let Some((prefix, _)) = tag.split_once(':') {
            self.prefix = tag.get(..=prefix.len()).unwrap_or_default();
            self.find(
                Severity::Warning,
                format!("the namespace of XHTML has the prefix `{prefix}`, wanted `<div`, which all readers know"),
            );
        }
        let name = tag.strip_prefix(self.prefix).unwrap_or(tag);
        let element = element_of(name).filter(|_| name.len() + self.prefix.len() == tag.len());
        if element.is_none() {
            self.fault(format!("`<{tag}>` is not allowed in a narrative, wanted formatting elements alone"));
        }
        self.place(name, tag, element);
        // One without an address is notified of as such.
        self.said |= element.is_some_and(|element| element.name == "img");
        let mut rest = rest;
        let (mut seen, mut count, mut more) = ([""; 8], 0, BTreeSet::new());
        let closed = loop {
            let spaced = rest.trim_start_matches(is_space);
            if let Some(after) = spaced.strip_prefix("/>") {
                self.rest = after;
                break true;
            }
            if let Some(after) = spaced.strip_prefix('>') {
                self.rest = after;
                break false;
            }
            if spaced.len() == rest.len() {
                return Err(format!("the tag `<{tag}>` is not well-formed"));
            }
            let (attribute, value, after) = split_attribute(spaced).ok_or_else(|| {
                format!("the tag `<{tag}>` is not well-formed, wanted attributes with values in quotes")
            })?;
            if seen.contains(&attribute) || more.contains(attribute) {
                return Err(format!("`<{tag}>` has the attribute `{attribute}` twice"));
            }
            match seen.get_mut(count) {
                Some(slot) => *slot = attribute,
                None => drop(more.insert(attribute)),
            }
            count += 1;
            self.references(value)?;
            self.attribute(element, tag, attribute, value);
            rest = after;
        };
        if let Some(element) = element {
            let missing = |name: &&&str| !seen.contains(*name) && !more.contains(**name);
            if let Some(missing) = element.required().iter().find(missing) {
                self.fault(format!("`<{tag}>` has no attribute `{missing}`, wanted one"));
            }
        }
        let frame = Frame { tag, content: element.map_or(Holds::Any, |element| element.content), stage: Stage::Empty };
        if closed {
            self.close(frame);
        } else {
            self.open.push(frame);
        }
        Ok(())
    }

    /// Checks whether an element may stand where it does.
    fn place(&mut self, name: &str, tag: &str, element: Option<&Element>) {
        let Some(open) = self.open.last() else { return };
        let kind = element.map_or(Kind::Inline, |element| element.kind);
        match open.content.after(open.stage, name, kind) {
            Some(next) => open.stage = next,
            None if element.is_none() => {}
            None => {
                let message = format!("`<{tag}>` may not stand there in `<{}>`", open.tag);
                // What is wrong with it is said, and the children after it are checked as if it were not there.
                if open.stage == Stage::Empty && open.content != Holds::Table {
                    open.stage = Stage::Filled;
                }
                self.fault(message);
            }
        }
    }

    fn attribute(&mut self, element: Option<&Element>, tag: &str, name: &str, value: &str) {
        if name == "xmlns" || (!self.prefix.is_empty() && name.strip_prefix("xmlns:") == self.prefix.strip_suffix(':'))
        {
            if value != NAMESPACE && (name != "xmlns" || self.prefix.is_empty()) {
                self.fault(format!("`<{tag}>` is in the namespace `{value}`, wanted that of xhtml"));
            }
            return;
        }
        if name.starts_with("xmlns:") {
            return;
        }
        match element.map(|element| element.attribute(name, value)) {
            Some(None) => self.fault(format!("`<{tag}>` may not have the attribute `{name}`")),
            Some(Some(false)) => self.fault(format!("the attribute `{name}` of `<{tag}>` may not be `{value}`")),
            Some(Some(true)) | None => {}
        }
        if matches!(name, "href" | "src") {
            if is_active(value) {
                self.fault(format!("the attribute `{name}` has active content, wanted an address"));
            }
            if let Some(id) = value.strip_prefix('#') {
                (self.shown)(id);
            }
        }
    }
}

/// Returns whether a document of XML 1.0 may have the character.
fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Returns whether a text may have other characters than those: some byte is a control character, or begins one of the
/// last characters of three bytes. A fold has no early end, so that many bytes are checked at once.
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

/// Returns whether an address is a script, or a document that may hold one.
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

/// Returns the name and the value of the attribute that `text` begins with, and what comes after it.
fn split_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = split_name(text)?;
    let value = rest.trim_start_matches(is_space).strip_prefix('=')?.trim_start_matches(is_space);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = value.strip_prefix(quote)?.split_once(quote)?;
    (!value.contains('<')).then_some((name, value, after))
}
