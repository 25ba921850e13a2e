//! The JSON form of a document in XML, made in one pass by the rows of its types.

use super::element_types::{ElementType, ElementTypes, Row, RowKind};
use super::markup::{Attribute, Fault, MOST, Markup, Namespace, Tag, Token, is_blank};
use super::narrative;
use crate::element::{MAX_DEPTH, Origin, push_string};
use crate::issue::{Issue, IssueType, Path, Report, Severity};

/// A result that only a document that cannot be read on makes fail.
type Read<T> = Result<T, Fault>;

/// The JSON form of a document in XML, and what was found out while it was made.
pub(crate) struct Transcript<'a> {
    text: &'a str,
    json: String,
    marks: Vec<(u32, u32)>,
    findings: Vec<(usize, Issue)>,
    omitted: Option<(usize, Severity)>,
    fault: Option<(usize, Issue)>,
}

impl Transcript<'_> {
    /// The JSON form: that of what comes before the fault, where the document cannot be read to its end.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// Whether all of the document is in the JSON form, and no fault was found.
    pub(crate) fn is_faultless(&self) -> bool {
        let has_error = self.findings.iter().any(|(_, issue)| issue.severity <= Severity::Error);
        self.fault.is_none() && self.omitted.is_none() && !has_error
    }

    /// The document.
    pub(crate) fn text(&self) -> &str {
        self.text
    }

    /// What a reader of the JSON form needs to know of the document.
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin {
            text: self.text,
            marks: &self.marks,
            findings: self.findings.clone(),
            omitted: self.omitted,
            fault: self.fault.clone(),
        }
    }
}

/// Makes the JSON form of a document in XML. What the definitions have no place for is in it under names that begin with `@`
/// (attributes) and `#` (text), when `lenient`.
pub(crate) fn transcribe<'a>(text: &'a str, types: &'static ElementTypes, lenient: bool) -> Transcript<'a> {
    let mut transcript =
        Transcript { text, json: String::new(), marks: Vec::new(), findings: Vec::new(), omitted: None, fault: None };
    let mut root = "Resource";
    let fault = match Markup::new(text) {
        Err(fault) => fault,
        Ok(_) if u32::try_from(text.len().saturating_mul(2)).is_err() => {
            Fault::limit(0, "xml-limit", "found a document of 2 GiB or more")
        }
        Ok(markup) => {
            let mut t = Transcriber {
                markup,
                types,
                lenient,
                out: Out { json: String::with_capacity(text.len()), marks: Vec::with_capacity(text.len() / 32) },
                findings: Vec::new(),
                omitted: None,
                depth: 0,
                accepted: Namespace::Fhir,
                checked: true,
            };
            let done = t.document(&mut root);
            (transcript.json, transcript.marks) = (t.out.json, t.out.marks);
            (transcript.findings, transcript.omitted) = (t.findings, t.omitted);
            match done {
                Ok(()) => return transcript,
                Err(fault) => fault,
            }
        }
    };
    let issue = Issue::new(fault.rule, Severity::Fatal, fault.kind, root, fault.message);
    transcript.fault = Some((fault.offset, issue));
    transcript
}

/// JSON that is written, and where what it is comes from.
#[derive(Default)]
struct Out {
    json: String,
    marks: Vec<(u32, u32)>,
}

/// A place in the output, to take back what comes after it.
#[derive(Clone, Copy)]
struct Place {
    json: usize,
    marks: usize,
}

impl Out {
    fn place(&self) -> Place {
        Place { json: self.json.len(), marks: self.marks.len() }
    }

    fn back(&mut self, place: Place) {
        self.json.truncate(place.json);
        self.marks.truncate(place.marks);
    }

    /// Notes where what is written next comes from.
    fn mark(&mut self, offset: usize) {
        // A document of more than `u32` holds was refused.
        self.marks.push((self.json.len() as u32, offset as u32));
    }

    /// A comma, unless an object or an array begins here.
    fn comma(&mut self) {
        if !matches!(self.json.as_bytes().last(), None | Some(b'{' | b'[' | b',')) {
            self.json.push(',');
        }
    }

    /// The name of a member of which the parts are `prefix` and `name`.
    fn key(&mut self, prefix: &str, name: &str) {
        self.comma();
        self.json.push('"');
        self.json.push_str(prefix);
        self.json.push_str(name);
        self.json.push_str("\":");
    }

    /// So many nulls, as items of an array.
    fn nulls(&mut self, count: usize) {
        for _ in 0..count {
            self.comma();
            self.json.push_str("null");
        }
    }

    fn append(&mut self, other: &Self) {
        let by = self.json.len() as u32;
        self.json.push_str(&other.json);
        self.marks.extend(other.marks.iter().map(|(json, offset)| (json + by, *offset)));
    }
}

/// An array that is open: the items of an element that repeats.
struct Items<'t> {
    index: usize,
    row: &'t Row,
    /// Where its member begins.
    start: Place,
    count: usize,
    /// Whether some item is more than a null.
    has_values: bool,
    /// The ids and extensions of primitives, and of how many items they are.
    under: Option<Out>,
    filled: usize,
}

struct Transcriber<'a> {
    markup: Markup<'a>,
    types: &'static ElementTypes,
    lenient: bool,
    out: Out,
    findings: Vec<(usize, Issue)>,
    omitted: Option<(usize, Severity)>,
    depth: u32,
    /// The namespace that is taken for that of FHIR, after a finding about it.
    accepted: Namespace<'a>,
    /// Whether the reader of the JSON form checks the elements of what is read.
    checked: bool,
}

impl<'a> Transcriber<'a> {
    // ------------------------------------------------------------------------------------------------- findings

    /// Records a finding; in the lenient mode one that loses nothing is a warning.
    #[cold]
    fn find(&mut self, offset: usize, rule: &'static str, at: &Path<'_>, row: String, message: String) {
        let severity = if self.lenient { Severity::Warning } else { Severity::Error };
        self.find_as(severity, offset, rule, at, row, message);
    }

    /// Records a finding of a severity that does not depend on the mode.
    #[cold]
    fn find_as(
        &mut self,
        severity: Severity,
        offset: usize,
        rule: &'static str,
        at: &Path<'_>,
        row: String,
        message: String,
    ) {
        if self.findings.len() >= Report::MOST - 1 {
            let (count, worst) = self.omitted.unwrap_or((0, severity));
            self.omitted = Some((count.saturating_add(1), worst.min(severity)));
            return;
        }
        let kind = if rule == "ele-1" { IssueType::Invariant } else { IssueType::Structure };
        self.findings.push((offset, Issue::new(rule, severity, kind, at, message).with_row(row)));
    }

    #[cold]
    fn report_empty_element(&mut self, tag: &Tag<'a>, at: &Path<'_>) {
        let message = "found an element with neither value nor content, wanted one of them".to_owned();
        self.find(tag.offset, "ele-1", at, String::new(), message);
    }

    #[cold]
    fn find_text(&mut self, offset: usize, text: &str, at: &Path<'_>, owner: &ElementType) {
        let shown: String = text.trim().chars().take(64).collect();
        let message =
            format!("found the text `{shown}` between elements, wanted none: a value is in the attribute `value`");
        self.find(offset, "unexpected-text", at, owner.name.to_string(), message);
    }

    // -------------------------------------------------------------------------------------------------- structure

    fn document(&mut self, root: &mut &'a str) -> Read<()> {
        let mut seen = false;
        loop {
            let offset = self.markup.offset();
            match self.markup.next()? {
                Token::Text(text) if is_blank(text) => {}
                Token::Open(tag) if !seen => {
                    seen = true;
                    if self.types.resource(tag.local).is_some() {
                        *root = tag.local;
                    }
                    let at = Path::root(root);
                    self.check_namespace(&tag, Namespace::Fhir, &at);
                    self.resource(&at, &tag)?;
                }
                Token::Open(_) => {
                    return Err(Fault::xml(offset, "found a second element after the end of the document"));
                }
                Token::Text(_) | Token::Reference(_) => {
                    return Err(Fault::xml(offset, "found text outside of the element that the document is"));
                }
                Token::Close | Token::End if seen => return Ok(()),
                Token::Close | Token::End => {
                    return Err(Fault::xml(offset, "the document has no element, wanted a resource"));
                }
            }
        }
    }

    fn enter(&mut self, offset: usize) -> Read<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::limit(
                offset,
                "xml-depth",
                format!("found more than {MAX_DEPTH} elements inside one another"),
            ));
        }
        Ok(())
    }

    /// Reports an element that is not of the namespace that it should be of. Elements in it may be of the same.
    fn check_namespace(&mut self, tag: &Tag<'a>, wanted: Namespace<'a>, at: &Path<'_>) {
        if tag.namespace == wanted || (wanted == Namespace::Fhir && tag.namespace == self.accepted) {
            return;
        }
        let message = format!("`{}` is of {}, wanted {}", tag.local, tag.namespace.words(), wanted.words());
        // One that was forgotten loses nothing.
        if tag.namespace == Namespace::None {
            self.find(tag.offset, "namespace", at, String::new(), message);
        } else {
            self.find_as(Severity::Error, tag.offset, "namespace", at, String::new(), message);
        }
        if wanted == Namespace::Fhir {
            self.accepted = tag.namespace;
        }
    }

    /// The resource whose tag was read.
    fn resource(&mut self, at: &Path<'_>, tag: &Tag<'a>) -> Read<()> {
        let types = self.types;
        let known = types.resource(tag.local).unwrap_or_else(ElementType::unknown);
        let outer = std::mem::replace(&mut self.checked, known.is_declared);
        self.enter(tag.offset)?;
        self.out.mark(tag.offset);
        self.out.json.push_str("{\"resourceType\":");
        push_string(tag.local, &mut self.out.json);
        self.attributes(at, known, false)?;
        self.content(at, known, tag)?;
        self.close_object(tag);
        self.checked = outer;
        Ok(())
    }

    /// The element whose tag was read, as an object.
    fn object(&mut self, at: &Path<'_>, of: &'static ElementType, tag: &Tag<'a>) -> Read<()> {
        self.enter(tag.offset)?;
        self.out.mark(tag.offset);
        self.out.json.push('{');
        self.attributes(at, of, false)?;
        self.content(at, of, tag)?;
        self.close_object(tag);
        Ok(())
    }

    fn close_object(&mut self, tag: &Tag<'a>) {
        self.out.json.push('}');
        // What is missing is missing where the element ends.
        if !tag.is_empty {
            let end = self.markup.tag_start();
            self.out.mark(end);
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// The attributes of the tag that was read, as members. That of a primitive may have a value too, which comes before.
    fn attributes(&mut self, at: &Path<'_>, of: &ElementType, is_primitive: bool) -> Read<()> {
        for index in 0..self.markup.attributes.len().min(MOST) {
            let Some(attribute) = self.markup.attributes.get(index).copied() else { break };
            let value = attribute.value()?;
            if attribute.prefix.is_empty() {
                if is_primitive && attribute.local == "value" {
                    continue;
                }
                let is = |row: &&Row| row.kind == RowKind::Attribute && *row.name == *attribute.local;
                if of.rows.iter().any(|row| is(&row)) {
                    self.out.key("", attribute.local);
                    self.out.mark(attribute.offset);
                    push_string(&value, &mut self.out.json);
                    continue;
                }
            } else if self.markup.is_schema_location(&attribute) {
                continue;
            }
            let name = attribute.name();
            let message = format!("`{name}` is not an attribute of {} in FHIR STU3", of.words());
            self.find(attribute.offset, "unknown-attribute", at, of.name.to_string(), message);
            if self.lenient {
                self.out.key("@", &name);
                self.out.mark(attribute.offset);
                push_string(&value, &mut self.out.json);
            }
        }
        Ok(())
    }

    /// The elements in the one whose tag was read, up to its end, as members.
    fn content(&mut self, at: &Path<'_>, of: &'static ElementType, tag: &Tag<'a>) -> Read<()> {
        if tag.is_empty {
            return Ok(());
        }
        let mut items: Option<Items<'static>> = None;
        let mut stray = String::new();
        let (mut next, mut last, mut seen) = (0, None::<&Row>, 0u128);
        loop {
            let offset = self.markup.offset();
            match self.markup.next()? {
                // White space is a part of nothing but text.
                Token::Text(text) if stray.is_empty() && is_blank(text) => {}
                Token::Reference(' ' | '\t' | '\n' | '\r') if stray.is_empty() => {}
                Token::Text(text) => {
                    if stray.is_empty() {
                        self.find_text(offset, text, at, of);
                    }
                    stray.push_str(text);
                }
                Token::Reference(found) => {
                    if stray.is_empty() {
                        self.find_text(offset, found.encode_utf8(&mut [0; 4]), at, of);
                    }
                    stray.push(found);
                }
                Token::Open(tag) => {
                    let outer = self.accepted;
                    match of.row(tag.local, next) {
                        Some((index, row)) if row.kind != RowKind::Attribute => {
                            if items.as_ref().is_none_or(|items| items.index != index) {
                                self.close_items(&mut items);
                                let bit = 1u128 << row.order.min(127);
                                if let Some(last) = last.filter(|last| row.order < last.order && seen & bit == 0) {
                                    let message = format!(
                                        "found `{}` after `{}`, wanted it before: elements are in the order of the definition",
                                        row.name, last.name
                                    );
                                    let here = at.child(&row.name);
                                    let place = format!("{}.{}", of.name, row.name);
                                    self.find(tag.offset, "element-order", &here, place, message);
                                }
                                if last.is_none_or(|last| row.order >= last.order) {
                                    last = Some(row);
                                }
                                seen |= bit;
                                next = index;
                                if row.repeats {
                                    let start = self.out.place();
                                    self.out.key("", &row.name);
                                    self.out.mark(tag.offset);
                                    self.out.json.push('[');
                                    let has_values = !row.kind.is_primitive();
                                    items =
                                        Some(Items { index, row, start, count: 0, has_values, under: None, filled: 0 });
                                }
                            }
                            self.item(at, row, &tag, &mut items, of)?;
                        }
                        known => {
                            self.close_items(&mut items);
                            self.unknown(at, &tag, of, known.is_some())?;
                        }
                    }
                    self.accepted = outer;
                }
                Token::Close | Token::End => break,
            }
        }
        self.close_items(&mut items);
        if self.lenient && !stray.is_empty() {
            self.out.key("#", "text");
            push_string(stray.trim_ascii(), &mut self.out.json);
        }
        Ok(())
    }

    /// One element that has a row.
    fn item(
        &mut self,
        at: &Path<'_>,
        row: &'static Row,
        tag: &Tag<'a>,
        items: &mut Option<Items<'static>>,
        of: &ElementType,
    ) -> Read<()> {
        let here = match items {
            Some(items) => {
                items.count += 1;
                if items.count > 1 {
                    self.out.json.push(',');
                }
                at.item(&row.name, items.count - 1)
            }
            None => at.child(&row.name),
        };
        let wanted = if row.kind == RowKind::Xhtml { Namespace::Xhtml } else { Namespace::Fhir };
        self.check_namespace(tag, wanted, &here);
        if row.kind.is_primitive() {
            return self.primitive(&here, row, tag, items);
        }
        if items.is_none() {
            self.out.key("", &row.name);
        }
        match row.kind {
            RowKind::Complex(index) => {
                let types = self.types;
                let of_item = types.type_at(index).unwrap_or_else(ElementType::unknown);
                // Of a resource that is kept as text the reader checks what every resource has.
                let is_common =
                    &*of_item.name == "Extension" || (of.is_resource && matches!(&*row.name, "meta" | "text"));
                let outer = self.checked;
                self.checked |= is_common;
                self.object(&here, of_item, tag)?;
                self.checked = outer;
                Ok(())
            }
            RowKind::Resource => self.container(&here, tag),
            _ => self.xhtml(tag),
        }
    }

    /// A value with its id and extensions.
    fn primitive(
        &mut self,
        at: &Path<'_>,
        row: &'static Row,
        tag: &Tag<'a>,
        items: &mut Option<Items<'static>>,
    ) -> Read<()> {
        let value = self.markup.attributes.iter().find(|one| one.prefix.is_empty() && one.local == "value").copied();
        if let Some(value) = value {
            if items.is_none() {
                self.out.key("", &row.name);
            }
            self.out.mark(value.offset);
            self.value(at, row.kind, &value)?;
        } else if items.is_some() {
            self.out.json.push_str("null");
        }
        if let Some(items) = items {
            items.has_values |= value.is_some();
        }
        // Most primitives are a value alone.
        if tag.is_empty && value.is_some() && self.markup.attributes.len() == 1 {
            return Ok(());
        }
        let types = self.types;
        let element = types.element();
        match items {
            None => {
                let before = self.out.place();
                self.out.key("_", &row.name);
                self.out.mark(tag.offset);
                if !self.extras(at, element, tag)? && value.is_some() {
                    self.out.back(before);
                }
            }
            Some(items) => {
                let mut under = items.under.take().unwrap_or_default();
                std::mem::swap(&mut self.out, &mut under);
                let before = self.out.place();
                self.out.nulls(items.count - 1 - items.filled);
                self.out.comma();
                self.out.mark(tag.offset);
                let done = self.extras(at, element, tag);
                match done {
                    Ok(true) => items.filled = items.count,
                    _ => self.out.back(before),
                }
                std::mem::swap(&mut self.out, &mut under);
                items.under = Some(under).filter(|under| !under.json.is_empty());
                if !done? && value.is_none() && !self.checked {
                    self.report_empty_element(tag, at);
                }
            }
        }
        Ok(())
    }

    /// What a primitive has beside its value, as an object. Says whether there is something.
    fn extras(&mut self, at: &Path<'_>, element: &'static ElementType, tag: &Tag<'a>) -> Read<bool> {
        self.out.json.push('{');
        let empty = self.out.json.len();
        self.attributes(at, element, true)?;
        self.content(at, element, tag)?;
        self.out.json.push('}');
        Ok(self.out.json.len() > empty + 1)
    }

    fn close_items(&mut self, items: &mut Option<Items<'static>>) {
        let Some(items) = items.take() else { return };
        if items.has_values || items.under.is_none() {
            self.out.json.push(']');
        } else {
            self.out.back(items.start);
        }
        let Some(mut under) = items.under else { return };
        under.nulls(items.count - items.filled);
        self.out.key("_", &items.row.name);
        self.out.json.push('[');
        self.out.append(&under);
        self.out.json.push(']');
    }

    /// A value as the JSON token of its type, or as a string where it is none.
    fn value(&mut self, at: &Path<'_>, kind: RowKind, attribute: &Attribute<'a>) -> Read<()> {
        let value = attribute.value()?;
        let is_token = kind.is_token(&value);
        let wanted = match kind {
            RowKind::Boolean => "`true` or `false`",
            RowKind::Number => "a number",
            _ => "",
        };
        if !is_token && !wanted.is_empty() && !self.checked {
            let shown: String = value.chars().take(64).collect();
            let message = format!("found `{shown}`, wanted {wanted}");
            self.find(attribute.offset, "wrong-type", at, String::new(), message);
        }
        if is_token {
            self.out.json.push_str(&value);
        } else {
            push_string(&value, &mut self.out.json);
        }
        Ok(())
    }

    /// The resource in an element.
    fn container(&mut self, at: &Path<'_>, tag: &Tag<'a>) -> Read<()> {
        for attribute in std::mem::take(&mut self.markup.attributes) {
            let message = format!("found the attribute `{}`, wanted none beside a resource", attribute.name());
            self.find_as(Severity::Error, attribute.offset, "unknown-attribute", at, String::new(), message);
        }
        let mut found = false;
        loop {
            let offset = self.markup.offset();
            // An element without an end tag ends at once.
            match if tag.is_empty { Token::Close } else { self.markup.next()? } {
                Token::Text(text) if is_blank(text) => {}
                Token::Open(tag) if !found => {
                    found = true;
                    let outer = self.accepted;
                    self.check_namespace(&tag, Namespace::Fhir, at);
                    self.resource(at, &tag)?;
                    self.accepted = outer;
                }
                Token::Open(tag) => {
                    let message = format!("found `{}` beside another resource, wanted one resource", tag.local);
                    self.find_as(Severity::Error, tag.offset, "max-cardinality", at, String::new(), message);
                    self.markup.skip(&tag, &mut Vec::new())?;
                }
                Token::Text(text) => {
                    let text: String = text.trim().chars().take(64).collect();
                    let message = format!("found the text `{text}` beside a resource, wanted none");
                    self.find_as(Severity::Error, offset, "unexpected-text", at, String::new(), message);
                }
                Token::Reference(_) => {
                    let message = "found text beside a resource, wanted none".to_owned();
                    self.find_as(Severity::Error, offset, "unexpected-text", at, String::new(), message);
                }
                Token::Close | Token::End => break,
            }
        }
        if !found {
            self.out.mark(tag.offset);
            self.out.json.push_str("{}");
        }
        Ok(())
    }

    /// The XHTML of a narrative, as a string.
    fn xhtml(&mut self, tag: &Tag<'a>) -> Read<()> {
        let mut outer = Vec::new();
        self.markup.skip(tag, &mut outer)?;
        let element = self.markup.between(tag.offset, self.markup.offset());
        self.out.mark(tag.offset);
        push_string(&narrative::text_of(element, &outer, self.markup.is_single_quoted()), &mut self.out.json);
        Ok(())
    }

    // ------------------------------------------------------------------------------- what no definition knows

    /// An element that has no row; one of the reader's findings says so.
    fn unknown(&mut self, at: &Path<'_>, tag: &Tag<'a>, of: &ElementType, is_attribute: bool) -> Read<()> {
        let here = at.child(tag.local);
        let is_foreign = tag.namespace != Namespace::Fhir && tag.namespace != self.accepted;
        if is_foreign {
            self.check_namespace(tag, Namespace::Fhir, &here);
        } else if is_attribute {
            let message = format!("`{}` is an attribute of {}, found an element", tag.local, of.words());
            self.find_as(Severity::Error, tag.offset, "unknown-member", &here, of.name.to_string(), message);
        } else if tag.local.starts_with('_') || tag.local == "resourceType" {
            let message = format!("`{}` is not an element of {} in FHIR STU3", tag.local, of.words());
            self.find_as(Severity::Error, tag.offset, "unknown-member", &here, of.name.to_string(), message);
        } else {
            self.out.comma();
            self.out.mark(tag.offset);
            self.out.key("", tag.local);
            if !self.checked {
                let message = format!("`{}` is not an element of {} in FHIR STU3", tag.local, of.words());
                self.find(tag.offset, "unknown-member", &here, of.name.to_string(), message);
            }
            return self.unknown_value(tag);
        }
        self.markup.skip(tag, &mut Vec::new())
    }

    /// An element of which nothing is known: a text, where it is nothing but a value, or an object in which attributes begin
    /// with `@` and every element is an array.
    fn unknown_value(&mut self, tag: &Tag<'a>) -> Read<()> {
        self.enter(tag.offset)?;
        self.out.mark(tag.offset);
        let attributes = std::mem::take(&mut self.markup.attributes);
        if let ([value], true) = (attributes.as_slice(), tag.is_empty)
            && value.prefix.is_empty()
            && value.local == "value"
        {
            push_string(&value.value()?, &mut self.out.json);
            self.depth = self.depth.saturating_sub(1);
            return Ok(());
        }
        self.out.json.push('{');
        for attribute in attributes {
            self.out.key("@", &attribute.name());
            push_string(&attribute.value()?, &mut self.out.json);
        }
        let mut stray = String::new();
        let mut open: Option<&str> = None;
        loop {
            match if tag.is_empty { Token::Close } else { self.markup.next()? } {
                Token::Text(text) if stray.is_empty() && is_blank(text) => {}
                Token::Text(text) => stray.push_str(text),
                Token::Reference(found) => stray.push(found),
                Token::Open(tag) => {
                    if open != Some(tag.local) {
                        if open.is_some() {
                            self.out.json.push(']');
                        }
                        self.out.key("", tag.local);
                        self.out.json.push('[');
                        open = Some(tag.local);
                    } else {
                        self.out.json.push(',');
                    }
                    self.unknown_value(&tag)?;
                }
                Token::Close | Token::End => break,
            }
        }
        if open.is_some() {
            self.out.json.push(']');
        }
        let stray = stray.trim_ascii();
        if !stray.is_empty() {
            self.out.key("#", "text");
            push_string(stray, &mut self.out.json);
        }
        self.out.json.push('}');
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }
}
