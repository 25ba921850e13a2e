//! The walk over a resource, and the rules that need to see all of it.

use crate::datatype::{Literal, REF_1};
use crate::element::{Facts, Node, ReadMode, Reader, RuleDef};
use crate::issue::{Issue, Kind, Path, Report, Severity};
use crate::resource::{DOM_1, DOM_2, DOM_3, DOM_4, member};
use std::collections::{BTreeMap, BTreeSet};

/// A resource with an identity of its own, and what it contains.
struct Container {
    /// The type of each contained resource, by its id.
    contained: BTreeMap<String, String>,
    /// The ids that some local reference names.
    referred: BTreeSet<String>,
}

impl Container {
    /// What a resource contains that is kept as text.
    fn of_text(json: &str) -> Self {
        let mut contained = BTreeMap::new();
        if let Some(array) = member(json, "contained") {
            // What is kept as text was read, so that it is JSON.
            let _ = items(array, &mut |item| {
                let text = |name| member(item, name).unwrap_or_default().trim_matches('"').to_owned();
                contained.entry(text("id")).or_insert_with(|| text("resourceType"));
            });
        }
        Self { contained, referred: BTreeSet::new() }
    }
}

/// Visits the items of a JSON array.
fn items(array: &str, visit: &mut dyn FnMut(&str)) -> crate::element::Read<()> {
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

/// Walks over a resource that is not contained in another.
pub(super) fn resource(node: &dyn Node, at: &Path<'_>, report: &mut Report) {
    let mut container = match node.facts() {
        Facts::Text { json, .. } => Container::of_text(json),
        _ => Container { contained: BTreeMap::new(), referred: BTreeSet::new() },
    };
    node.children(at, &mut |child, node| {
        if child.name() == "contained" {
            let id = node.id().unwrap_or_default().to_owned();
            container.contained.entry(id).or_insert_with(|| resource_type(node).to_owned());
        }
    });
    walk(node, at, &mut container, report);
    if container.contained.is_empty() {
        return;
    }
    node.children(at, &mut |child, node| {
        if child.name() == "contained" {
            contained(node, child, &container, report);
        }
    });
}

fn walk(node: &dyn Node, at: &Path<'_>, container: &mut Container, report: &mut Report) {
    node.check(at, report);
    match node.facts() {
        Facts::Reference { literal: Some(literal), targets } => {
            local_reference(literal, targets, at, container, report)
        }
        Facts::Extension { url: Some(url) } => extension_url(url, at, report),
        Facts::Text { json, .. } => {
            let mut r = Reader::new(json, ReadMode::Strict);
            // What is kept as text was read, so that it is JSON.
            let _ = text_references(&mut r, at, container, report);
        }
        _ => {}
    }
    node.children(at, &mut |child, node| {
        let is_resource = matches!(node.facts(), Facts::Resource { .. } | Facts::Text { .. });
        if is_resource && child.name() != "contained" {
            resource(node, child, report);
        } else {
            walk(node, child, container, report);
        }
    });
}

fn local_reference(literal: &str, targets: &[&str], at: &Path<'_>, container: &mut Container, report: &mut Report) {
    let Literal::Contained { id } = Literal::parse(literal) else { return };
    let Some(found) = container.contained.get(id).filter(|_| !id.is_empty()) else {
        report.push(broken(REF_1, at));
        return;
    };
    if !targets.is_empty() && !targets.contains(&found.as_str()) {
        let message = format!("the contained resource `{literal}` is a {found}, wanted {}", targets.join(" or "));
        report.push(Issue::new("reference-target", Severity::Error, Kind::Value, at, message).with_row("Reference"));
    }
    if !container.referred.contains(id) {
        container.referred.insert(id.to_owned());
    }
}

fn extension_url(url: &str, at: &Path<'_>, report: &mut Report) {
    let nested = at.parent().is_some_and(|up| matches!(up.name(), "extension" | "modifierExtension"));
    let absolute = url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    if nested || (absolute && !url.starts_with("urn:")) {
        return;
    }
    let message = format!("`{url}` is not the address of an extension, wanted an absolute URL that is not a urn");
    let issue = Issue::new("extension-url", Severity::Error, Kind::Value, at.child("url"), message);
    report.push(issue.with_row("Extension.url"));
}

/// Judges the local references in a resource that is kept as text.
fn text_references(
    r: &mut Reader<'_>,
    at: &Path<'_>,
    container: &mut Container,
    report: &mut Report,
) -> crate::element::Read<()> {
    match r.peek() {
        Some(b'{') => {
            r.enter()?;
            let mut first = true;
            while r.more(b'}', first)? {
                first = false;
                let key = r.key()?;
                if key == "reference" && r.peek() == Some(b'"') {
                    let literal = r.string()?;
                    local_reference(&literal, &[], at, container, report);
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
fn text_resource(json: &str, at: &Path<'_>, outer: &mut Container, report: &mut Report) -> crate::element::Read<()> {
    let mut r = Reader::new(json, ReadMode::Strict);
    match member(json, "resourceType") {
        Some(_) => text_references(&mut r, at, &mut Container::of_text(json), report),
        None => text_references(&mut r, at, outer, report),
    }
}

/// The rules over a resource that is contained in another.
fn contained(node: &dyn Node, at: &Path<'_>, container: &Container, report: &mut Report) {
    let (narrated, containing, versioned) = match node.facts() {
        Facts::Resource { narrated, containing, versioned, .. } => (narrated, containing, versioned),
        Facts::Text { json, .. } => {
            let versioned = member(json, "meta")
                .is_some_and(|meta| member(meta, "versionId").is_some() || member(meta, "lastUpdated").is_some());
            (member(json, "text").is_some(), member(json, "contained").is_some(), versioned)
        }
        _ => return,
    };
    if narrated {
        report.push(broken(DOM_1, &at.child("text")));
    }
    if containing {
        report.push(broken(DOM_2, &at.child("contained")));
    }
    if versioned {
        report.push(broken(DOM_4, &at.child("meta")));
    }
    if !container.referred.contains(node.id().unwrap_or_default()) {
        report.push(broken(DOM_3, at));
    }
}

fn broken(rule: RuleDef, at: &Path<'_>) -> Issue {
    Issue::new(rule.key, Severity::Error, Kind::Invariant, at, rule.message)
}

fn resource_type(node: &dyn Node) -> &str {
    match node.facts() {
        Facts::Resource { resource_type, .. } | Facts::Text { resource_type, .. } => resource_type,
        _ => "",
    }
}
