//! The walk over a resource, and the rules that need to see all of it.

use super::container::Container;
use super::narrative::narrative;
use super::validator::Validator;
use crate::datatype::{Literal, REF_1};
use crate::element::{Facts, Node, Read, ReadMode, Reader, RuleDef};
use crate::issue::{Issue, Kind, Path, Report, Severity};
use crate::resource::{DOM_1, DOM_2, DOM_3, DOM_4, member};

/// Walks over a resource that is not contained in another.
pub(super) fn resource(node: &dyn Node, at: &Path<'_>, by: &Validator, report: &mut Report) {
    let mut own = Report::new();
    let mut container = Container::default();
    if let Facts::Text { json, .. } = node.facts() {
        contained_in_text(json, &mut container);
    }
    node.children(at, &mut |child, below| {
        if child.name() == "contained" && !container.add(below.id().unwrap_or_default(), resource_type(below)) {
            let message = "another contained resource has the same id, wanted one that is unique in the resource";
            let issue = Issue::new("contained-id", Severity::Error, Kind::Duplicate, child, message);
            own.push(issue.with_row(format!("{}.contained", path(node))));
        }
    });
    walk(node, node.facts(), at, &mut container, by, &mut own);
    unreferred(node, at, &mut container, &mut own);
    report.append(own);
}

fn walk<'n>(
    node: &'n dyn Node,
    facts: Facts<'n>,
    at: &Path<'_>,
    container: &mut Container<'n>,
    by: &Validator,
    report: &mut Report,
) {
    node.check(at, report);
    by.check(node, at, report);
    match facts {
        Facts::Reference { literal: Some(literal), targets } => reference(literal, targets, at, container, report),
        Facts::Narrative { div } if !div.is_empty() => narrative(div, &at.child("div"), report),
        Facts::Extension { url: Some(url) } => extension_url(url, at, report),
        Facts::Entry { full_url: Some(url), id } => full_url(url, id, at, report),
        Facts::Text { json, .. } => {
            let mut r = Reader::new(json, ReadMode::Strict);
            // What is kept as text was read, so that it is JSON.
            let _ = text_references(&mut r, at, container, report);
        }
        _ => {}
    }
    if !is_resource(facts)
        && let Some(id) = node.id()
    {
        let mut find = |rule: &'static str, kind: Kind, message: String| {
            let issue = Issue::new(rule, Severity::Error, kind, at.child("id"), message);
            report.push(issue.with_row(format!("{}.id", path(node))));
        };
        if id.contains(char::is_whitespace) {
            find("element-id", Kind::Value, format!("the id `{id}` has a space, wanted any other characters"));
        }
        if !container.note(id) {
            let message = format!("another element has the id `{id}`, wanted one that is unique in the resource");
            find("id-unique", Kind::Duplicate, message);
        }
    }
    let mut number = 0;
    node.children(at, &mut |child, below| {
        let facts = below.facts();
        if facts == Facts::Coded {
            let owner = node.definition().map_or("", |definition| definition.path);
            by.check_binding(owner, below, child, report);
        }
        if !is_resource(facts) {
            walk(below, facts, child, container, by, report);
        } else if child.name() == "contained" {
            if !report.is_empty() {
                container.met.push((number, report.len()));
            }
            number += 1;
            contained(facts, child, path(node), report);
            walk(below, facts, child, container, by, report);
        } else {
            resource(below, child, by, report);
        }
    });
}

fn is_resource(facts: Facts<'_>) -> bool {
    matches!(facts, Facts::Resource { .. } | Facts::Text { .. })
}

fn reference(literal: &str, targets: &[&str], at: &Path<'_>, container: &mut Container<'_>, report: &mut Report) {
    if container.is_empty() && !literal.starts_with('#') {
        return;
    }
    match Literal::parse(literal) {
        Literal::Contained { id } => {
            let Some(found) = container.refer(id) else {
                report.push(broken(REF_1, at, "Reference"));
                return;
            };
            if !targets.is_empty() && !targets.contains(&found.resource_type) {
                let (found, wanted) = (found.resource_type, targets.join(" or "));
                let message = format!("the contained resource `{literal}` is a {found}, wanted {wanted}");
                let issue = Issue::new("reference-target", Severity::Error, Kind::Value, at, message);
                report.push(issue.with_row("Reference"));
            }
        }
        Literal::Other(text) if container.contains(text) => {
            let message = format!("`{text}` is no reference, wanted `#{text}` for the contained resource");
            let issue = Issue::new("reference-form", Severity::Error, Kind::Value, at, message);
            report.push(issue.with_row("Reference.reference"));
        }
        _ => {}
    }
}

fn is_absolute(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// The address of an entry is absolute, and where it is a RESTful one it ends with the id of the resource.
fn full_url(url: &str, id: Option<&str>, at: &Path<'_>, report: &mut Report) {
    let message = match (Literal::parse(url), id) {
        _ if !is_absolute(url) => format!("`{url}` is no absolute URL, wanted the whole address of the resource"),
        (Literal::Absolute { id: named, .. }, Some(id)) if named != id => {
            format!("`{url}` ends with the id `{named}`, wanted that of the resource, `{id}`")
        }
        _ => return,
    };
    let issue = Issue::new("full-url", Severity::Error, Kind::Value, at.child("fullUrl"), message);
    report.push(issue.with_row("Bundle.entry.fullUrl"));
}

fn extension_url(url: &str, at: &Path<'_>, report: &mut Report) {
    let nested = at.parent().is_some_and(|up| matches!(up.name(), "extension" | "modifierExtension"));
    if nested || (is_absolute(url) && !url.starts_with("urn:")) {
        return;
    }
    let message = format!("`{url}` is not the address of an extension, wanted an absolute URL that is not a urn");
    let issue = Issue::new("extension-url", Severity::Error, Kind::Value, at.child("url"), message);
    report.push(issue.with_row("Extension.url"));
}

/// Adds what a resource contains that is kept as text.
fn contained_in_text<'n>(json: &'n str, container: &mut Container<'n>) {
    let Some(array) = member(json, "contained") else { return };
    // What is kept as text was read, so that it is JSON.
    let _ = items(array, &mut |item| {
        let text = |name| member(item, name).unwrap_or_default().trim_matches('"');
        container.add(text("id"), text("resourceType"));
    });
}

/// Visits the items of a JSON array.
fn items<'n>(array: &'n str, visit: &mut dyn FnMut(&'n str)) -> Read<()> {
    let mut r = Reader::new(array, ReadMode::Strict);
    if r.peek() != Some(b'[') {
        return Ok(());
    }
    r.enter()?;
    let mut first = true;
    while r.more(b']', first)? {
        first = false;
        r.peek();
        let start = r.offset();
        r.skip(&Path::root(""))?;
        visit(r.text_since(start));
    }
    Ok(())
}

/// Judges the local references in a resource that is kept as text.
fn text_references(r: &mut Reader<'_>, at: &Path<'_>, container: &mut Container<'_>, report: &mut Report) -> Read<()> {
    match r.peek() {
        Some(b'{') => {
            r.enter()?;
            let mut first = true;
            while r.more(b'}', first)? {
                first = false;
                let key = r.key()?;
                if key == "reference" && r.peek() == Some(b'"') {
                    let literal = r.string()?;
                    reference(&literal, &[], at, container, report);
                } else if key == "resource" && r.peek() == Some(b'{') {
                    let start = r.offset();
                    r.skip(at)?;
                    text_resource(r.text_since(start), &at.child(&key), container, report)?;
                } else {
                    text_references(r, &at.child(&key), container, report)?;
                }
            }
            Ok(())
        }
        Some(b'[') => {
            r.enter()?;
            let mut index = 0;
            while r.more(b']', index == 0)? {
                text_references(r, &at.indexed(index), container, report)?;
                index += 1;
            }
            Ok(())
        }
        _ => r.skip(at),
    }
}

/// Judges the local references in what may be a resource with an identity of its own (`Parameters.parameter.resource`).
fn text_resource(json: &str, at: &Path<'_>, outer: &mut Container<'_>, report: &mut Report) -> Read<()> {
    let mut r = Reader::new(json, ReadMode::Strict);
    if member(json, "resourceType").is_none() {
        return text_references(&mut r, at, outer, report);
    }
    let mut container = Container::default();
    contained_in_text(json, &mut container);
    text_references(&mut r, at, &mut container, report)
}

/// The rules over a resource that is contained in another, but for dom-3.
fn contained(facts: Facts<'_>, at: &Path<'_>, container: &'static str, report: &mut Report) {
    let (narrated, containing, versioned) = match facts {
        Facts::Resource { narrated, containing, versioned, .. } => (narrated, containing, versioned),
        Facts::Text { json, .. } => {
            let versioned = member(json, "meta")
                .is_some_and(|meta| member(meta, "versionId").is_some() || member(meta, "lastUpdated").is_some());
            (member(json, "text").is_some(), member(json, "contained").is_some(), versioned)
        }
        _ => return,
    };
    if narrated {
        report.push(broken(DOM_1, &at.child("text"), container));
    }
    if containing {
        report.push(broken(DOM_2, &at.child("contained"), container));
    }
    if versioned {
        report.push(broken(DOM_4, &at.child("meta"), container));
    }
}

/// dom-3, which can only be judged at the end of the walk; its findings come where the contained resource stands.
fn unreferred<'n>(node: &'n dyn Node, at: &Path<'_>, container: &mut Container<'n>, report: &mut Report) {
    let met = std::mem::take(&mut container.met);
    let before = |number: usize| {
        let index = met.binary_search_by_key(&number, |(number, _)| *number);
        index.ok().and_then(|index| met.get(index)).map_or(0, |(_, before)| *before)
    };
    let mut findings = Vec::new();
    let mut number = 0;
    node.children(at, &mut |child, below| {
        if child.name() == "contained" {
            let id = below.id();
            if !container.is_referred(id.unwrap_or_default()) {
                let place = if id.is_some() { child.child("id") } else { *child };
                findings.push((before(number), broken(DOM_3, &place, path(node))));
            }
            number += 1;
        }
    });
    if !findings.is_empty() {
        report.weave(findings);
    }
}

fn broken(rule: RuleDef, at: &Path<'_>, row: &'static str) -> Issue {
    Issue::new(rule.key, Severity::Error, Kind::Invariant, at, rule.message).with_row(row)
}

/// The path of the type of a node; a primitive is an element with an id and extensions.
fn path(node: &dyn Node) -> &'static str {
    node.definition().map_or("Element", |definition| definition.path)
}

fn resource_type(node: &dyn Node) -> &str {
    match node.facts() {
        Facts::Resource { resource_type, .. } | Facts::Text { resource_type, .. } => resource_type,
        _ => "",
    }
}
