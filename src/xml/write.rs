//! A resource as XML, from its JSON form, by the rows of its types.

use super::element_types::{ElementType, ElementTypes, Row, RowKind};
use super::markup::is_character;
use super::{NAMESPACE, narrative};
use crate::element::{Read, ReadMode, Reader};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use std::borrow::Cow;

/// The rule of what cannot be written in XML.
const NO_FORM: &str = "no-xml-form";

/// Writes a resource, given as JSON, as XML on one line.
///
/// # Errors
/// A finding for each part that has no form in XML.
pub(crate) fn write_xml(json: &str, types: &ElementTypes) -> Result<String, Report> {
    let mut nodes = Vec::with_capacity(json.len() / 16);
    let mut r = Reader::new(json, ReadMode::Strict);
    let done = collect(&mut r, Cow::Borrowed(""), &mut nodes).and_then(|()| r.end());
    let tree = Tree { nodes: &nodes };
    let mut w = XmlWriter { tree, types, out: String::with_capacity(json.len() * 3 / 2), report: Report::new() };
    match (done, nodes.first()) {
        (Ok(()), Some(root)) => {
            let name = w.tree.resource_type(0).unwrap_or("Resource");
            w.resource(&Path::root(name), 0, root, true);
        }
        _ => return Err(r.into_report("Resource")),
    }
    if w.report.is_empty() { Ok(w.out) } else { Err(w.report) }
}

/// A value of the JSON form, those within it after it.
struct Node<'j> {
    /// The name of the member; empty for an item.
    key: Cow<'j, str>,
    value: Json<'j>,
    /// The index of what comes after it and all that is within it.
    end: usize,
}

enum Json<'j> {
    Object,
    Array,
    Text(Cow<'j, str>),
    /// A number or a boolean.
    Token(&'j str),
    Null,
}

/// Reads a value and what is within it.
fn collect<'j>(r: &mut Reader<'j>, key: Cow<'j, str>, nodes: &mut Vec<Node<'j>>) -> Read<()> {
    let index = nodes.len();
    let first = r.peek();
    let start = r.offset();
    let mut node = Node { key, value: Json::Null, end: 0 };
    match first {
        Some(open @ (b'{' | b'[')) => {
            node.value = if open == b'{' { Json::Object } else { Json::Array };
            nodes.push(node);
            r.enter()?;
            let close = if open == b'{' { b'}' } else { b']' };
            let mut is_first = true;
            while r.more(close, is_first)? {
                is_first = false;
                let key = if open == b'{' { r.key()? } else { Cow::Borrowed("") };
                collect(r, key, nodes)?;
            }
        }
        Some(b'"') => {
            node.value = Json::Text(r.string()?);
            nodes.push(node);
        }
        first => {
            r.skip(&Path::root(""))?;
            if first != Some(b'n') {
                node.value = Json::Token(r.text_since(start));
            }
            nodes.push(node);
        }
    }
    let end = nodes.len();
    if let Some(node) = nodes.get_mut(index) {
        node.end = end;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Tree<'t> {
    nodes: &'t [Node<'t>],
}

impl<'t> Tree<'t> {
    /// Returns the values right within the one at `index`.
    fn children(self, index: usize) -> impl Iterator<Item = (usize, &'t Node<'t>)> {
        let end = self.nodes.get(index).map_or(0, |node| node.end);
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let at = next;
            let node = self.nodes.get(at).filter(|_| at < end)?;
            next = node.end;
            Some((at, node))
        })
    }

    fn resource_type(self, index: usize) -> Option<&'t str> {
        self.children(index).find_map(|(_, node)| match &node.value {
            Json::Text(text) if node.key == "resourceType" => Some(&**text),
            _ => None,
        })
    }
}

/// The member of an element, and that of the id and extensions of a primitive.
#[derive(Clone, Copy, Default)]
struct Member<'t> {
    value: Option<(usize, &'t Node<'t>)>,
    under: Option<(usize, &'t Node<'t>)>,
}

struct XmlWriter<'t> {
    tree: Tree<'t>,
    types: &'t ElementTypes,
    out: String,
    report: Report,
}

impl<'t> XmlWriter<'t> {
    #[cold]
    fn refuse(&mut self, at: &Path<'_>, message: impl Into<String>) {
        self.report.push(Issue::new(NO_FORM, Severity::Error, IssueType::NotSupported, at, message));
    }

    fn resource(&mut self, at: &Path<'_>, index: usize, node: &'t Node<'t>, is_root: bool) {
        let name = self.tree.resource_type(index).unwrap_or_default();
        let Some(of) = self.types.resource(name).filter(|_| matches!(node.value, Json::Object)) else {
            return self.refuse(at, format!("`{name}` is no resource type of FHIR STU3, whose elements are known"));
        };
        self.out.push('<');
        self.out.push_str(name);
        if is_root {
            self.out.push_str(" xmlns=\"");
            self.out.push_str(NAMESPACE);
            self.out.push('"');
        }
        self.content(at, index, of, name);
    }

    /// The attributes and the elements of an object, after the name in its start tag, and its end.
    fn content(&mut self, at: &Path<'_>, index: usize, of: &'t ElementType, name: &str) {
        let mut members: Vec<(usize, Member<'t>)> = Vec::new();
        let mut others: Vec<(usize, &'t Node<'t>)> = Vec::new();
        let mut next = 0;
        for (child, node) in self.tree.children(index) {
            let (key, is_under) = node.key.strip_prefix('_').map_or((&*node.key, false), |key| (key, true));
            if of.is_resource && key == "resourceType" {
                continue;
            }
            let Some((row, found)) = of.row(key, next).filter(|(_, row)| !is_under || row.kind.is_primitive()) else {
                others.push((child, node));
                continue;
            };
            next = row;
            if found.kind == RowKind::Attribute {
                match &node.value {
                    Json::Text(text) => self.attribute(&at.child(&found.name), &found.name, text),
                    _ => self.refuse(&at.child(&found.name), "wanted a string, as it is an attribute in XML"),
                }
                continue;
            }
            // The two members of a primitive stand together as a rule; the sort brings them together where they do not.
            let is_new = members.last().is_none_or(|(last, _)| *last != row);
            if is_new {
                members.push((row, Member::default()));
            }
            if let Some((_, member)) = members.last_mut() {
                let slot = if is_under { &mut member.under } else { &mut member.value };
                if slot.replace((child, node)).is_some() {
                    self.refuse(&at.child(&node.key), "the member comes twice");
                }
            }
        }
        self.other_attributes(at, &mut others);
        let order = |row: usize| of.rows.get(row).map_or((u8::MAX, row), |found| (found.order, row));
        if !members.is_sorted_by_key(|(row, _)| order(*row)) {
            members.sort_by_key(|(row, _)| order(*row));
            self.join_members(at, &mut members);
        }
        let start = self.out.len();
        self.out.push('>');
        for (row, member) in members {
            let Some(row) = of.rows.get(row) else { continue };
            match (row.repeats, row.kind.is_primitive()) {
                (false, true) => self.primitive(&at.child(&row.name), row, member.value, member.under),
                (true, true) => self.primitives(at, row, member),
                (false, false) => {
                    if let Some((child, node)) = member.value {
                        self.complex(&at.child(&row.name), &row.name, row.kind, child, node);
                    }
                }
                (true, false) => {
                    let Some((child, node)) = member.value else { continue };
                    if !matches!(node.value, Json::Array) || node.end == child + 1 {
                        self.refuse(&at.child(&row.name), "wanted an array of objects, as the element repeats");
                        continue;
                    }
                    for (item, (child, node)) in self.tree.children(child).enumerate() {
                        self.complex(&at.item(&row.name, item), &row.name, row.kind, child, node);
                    }
                }
            }
        }
        self.other_elements(at, &others);
        self.close(start, name);
    }

    /// Brings the two members of a primitive together that did not stand so.
    fn join_members(&mut self, at: &Path<'_>, members: &mut Vec<(usize, Member<'t>)>) {
        let mut joined: Vec<(usize, Member<'t>)> = Vec::with_capacity(members.len());
        for (row, member) in members.drain(..) {
            match joined.last_mut().filter(|(last, _)| *last == row) {
                Some((_, last)) => {
                    let is_twice = (last.value.is_some() && member.value.is_some())
                        || (last.under.is_some() && member.under.is_some());
                    if is_twice {
                        let name = member.value.or(member.under).map(|(_, node)| &*node.key).unwrap_or_default();
                        self.refuse(&at.child(name), "the member comes twice");
                    }
                    last.value = last.value.or(member.value);
                    last.under = last.under.or(member.under);
                }
                None => joined.push((row, member)),
            }
        }
        *members = joined;
    }

    /// Ends an element whose start tag ended at `start`.
    fn close(&mut self, start: usize, name: &str) {
        if self.out.len() == start + 1 {
            self.out.truncate(start);
            self.out.push_str("/>");
        } else {
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push('>');
        }
    }

    fn complex(&mut self, at: &Path<'_>, name: &str, kind: RowKind, index: usize, node: &'t Node<'t>) {
        match (kind, &node.value) {
            (RowKind::Complex(of), Json::Object) => {
                let Some(of) = self.types.type_at(of) else { return };
                self.out.push('<');
                self.out.push_str(name);
                self.content(at, index, of, name);
            }
            (RowKind::Resource, Json::Object) => {
                self.out.push('<');
                self.out.push_str(name);
                self.out.push('>');
                self.resource(at, index, node, false);
                self.out.push_str("</");
                self.out.push_str(name);
                self.out.push('>');
            }
            (RowKind::Xhtml, Json::Text(text)) => match narrative::element_of(text) {
                Ok(element) => self.out.push_str(&element),
                Err(message) => self.refuse(at, message),
            },
            (RowKind::Xhtml, _) => self.refuse(at, "wanted a string, as it is the XHTML of a narrative"),
            _ => self.refuse(at, "wanted an object, as the element has elements"),
        }
    }

    fn primitives(&mut self, at: &Path<'_>, row: &'t Row, member: Member<'t>) {
        let name = &*row.name;
        let items = |slot: Option<(usize, &'t Node<'t>)>| match slot {
            Some((child, Node { value: Json::Array, .. })) => Some(self.tree.children(child).collect::<Vec<_>>()),
            Some(_) => None,
            None => Some(Vec::new()),
        };
        let (Some(values), Some(under)) = (items(member.value), items(member.under)) else {
            return self.refuse(&at.child(name), "wanted an array, as the element repeats");
        };
        if values.is_empty() && under.is_empty() {
            return self.refuse(&at.child(name), "found an empty array, wanted no member or some items");
        }
        for item in 0..values.len().max(under.len()) {
            let some = |of: &[(usize, &'t Node<'t>)]| {
                of.get(item).copied().filter(|(_, node)| !matches!(node.value, Json::Null))
            };
            self.primitive(&at.item(name, item), row, some(&values), some(&under));
        }
    }

    fn primitive(
        &mut self,
        at: &Path<'_>,
        row: &'t Row,
        value: Option<(usize, &'t Node<'t>)>,
        under: Option<(usize, &'t Node<'t>)>,
    ) {
        let name = &*row.name;
        self.out.push('<');
        self.out.push_str(name);
        match value.map(|(_, node)| &node.value) {
            None => {}
            Some(Json::Text(text)) if text.is_empty() => {
                self.refuse(at, "found an empty string, wanted no member or some text")
            }
            Some(Json::Text(text)) if !row.kind.is_token(text) => self.attribute(at, "value", text),
            Some(Json::Token(token)) if row.kind.is_token(token) => self.attribute(at, "value", token),
            Some(Json::Text(text)) => {
                self.refuse(at, format!("the string `{text}` would be read again as a number or a boolean"))
            }
            Some(Json::Token(token)) => self.refuse(at, format!("`{token}` would be read again as another JSON type")),
            Some(Json::Null) => self.refuse(at, "found null, wanted no member or a value"),
            Some(Json::Object | Json::Array) => {
                self.refuse(at, "wanted one value, as the element is a primitive that does not repeat")
            }
        }
        match under {
            None => self.out.push_str("/>"),
            Some((index, Node { value: Json::Object, .. })) => self.content(at, index, self.types.element(), name),
            Some(_) => self.refuse(at, "wanted an object with the id and the extensions of the primitive"),
        }
    }

    /// An attribute: characters that would be read as others are written as references.
    fn attribute(&mut self, at: &Path<'_>, name: &str, text: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        self.text(at, text);
        self.out.push('"');
    }

    fn text(&mut self, at: &Path<'_>, text: &str) {
        let is_special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
        let mut rest = text;
        while let Some(special) = rest.find(is_special) {
            let (plain, after) = rest.split_at(special);
            self.out.push_str(plain);
            let mut chars = after.chars();
            match chars.next() {
                Some('&') => self.out.push_str("&amp;"),
                Some('<') => self.out.push_str("&lt;"),
                Some('>') => self.out.push_str("&gt;"),
                Some('"') => self.out.push_str("&quot;"),
                Some('\t') => self.out.push_str("&#9;"),
                Some('\n') => self.out.push_str("&#10;"),
                Some('\r') => self.out.push_str("&#13;"),
                Some(other) => {
                    debug_assert!(!is_character(other));
                    self.refuse(at, format!("XML has not the character {}", other.escape_unicode()));
                }
                None => {}
            }
            rest = chars.as_str();
        }
        self.out.push_str(rest);
    }

    // ------------------------------------------------------------------------------- what no definition knows

    /// The attributes among the members that have no row.
    fn other_attributes(&mut self, at: &Path<'_>, others: &mut Vec<(usize, &'t Node<'t>)>) {
        others.retain(|(_, node)| {
            let Some(name) = node.key.strip_prefix('@') else { return true };
            match &node.value {
                Json::Text(text) if is_plain_name(name) => self.attribute(at, name, text),
                _ => self.refuse(&at.child(&node.key), "it cannot be an attribute"),
            }
            false
        });
    }

    /// The elements and the text among the members that have no row, in the form in which a lenient read keeps them.
    fn other_elements(&mut self, at: &Path<'_>, others: &[(usize, &'t Node<'t>)]) {
        for (index, node) in others {
            let here = at.child(&node.key);
            match &node.value {
                Json::Text(text) if node.key == "#text" => self.text(&here, text),
                _ if !is_plain_name(&node.key) || node.key.starts_with('_') => {
                    self.refuse(&here, "the name cannot be that of an element");
                }
                _ => self.other_element(&here, *index, node),
            }
        }
    }

    /// One element of which nothing is known: a text, or an object whose members are attributes and arrays of elements.
    fn other_element(&mut self, at: &Path<'_>, index: usize, node: &'t Node<'t>) {
        let name = at.name();
        self.out.push('<');
        self.out.push_str(name);
        match &node.value {
            Json::Text(text) => {
                self.attribute(at, "value", text);
                self.out.push_str("/>");
            }
            Json::Object => {
                let mut others: Vec<_> = self.tree.children(index).collect();
                self.other_attributes(at, &mut others);
                let start = self.out.len();
                self.out.push('>');
                for (child, node) in others {
                    let here = at.child(&node.key);
                    match &node.value {
                        Json::Text(text) if node.key == "#text" => self.text(&here, text),
                        Json::Array if is_plain_name(&node.key) && node.end > child + 1 => {
                            for (child, node) in self.tree.children(child) {
                                self.other_element(&here, child, node);
                            }
                        }
                        _ => self.refuse(&here, "no definition says what it is in XML"),
                    }
                }
                self.close(start, name);
            }
            _ => self.refuse(at, "no definition says what it is in XML"),
        }
    }
}

/// Returns whether a text can be the name of an element or an attribute without a namespace.
fn is_plain_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && text != "xmlns"
}
