//! The walk over a resource, and the rules about all of it.

use super::container::{Container, Ids, Referred};
use super::narrative::narrative;
use super::profiles::profiles;
use super::validator::Validator;
use super::{FaultyPaths, extensions, references, text};
use crate::code::is_resource_type;
use crate::datatype::{Extension, Literal, Meta, check_language};
use crate::element::{Definition, Facts, Node};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::is_absolute;
use crate::resource::{DOM_1, DOM_2, DOM_3, DOM_4};
use std::collections::BTreeMap;

/// What holds for a whole document while it is walked over.
pub(super) struct Walk<'v> {
    pub(super) by: &'v Validator,
    /// Where reading found faults.
    pub(super) faulty: Option<&'v FaultyPaths>,
    /// Whether the resource is one of a transaction.
    pub(super) transaction: bool,
    /// How many resources that are kept as text stand around what is checked.
    pub(super) inner: usize,
    /// The types of the resources that are no more than text, and how many there are of each.
    unmodelled: BTreeMap<String, usize>,
}

impl<'v> Walk<'v> {
    pub(super) fn new(by: &'v Validator, faulty: Option<&'v FaultyPaths>) -> Self {
        Self { by, faulty, transaction: false, inner: 0, unmodelled: BTreeMap::new() }
    }

    /// Notes a resource of a type that is not modelled.
    pub(super) fn meet(&mut self, resource_type: &str) {
        if let Some(count) = self.unmodelled.get_mut(resource_type) {
            *count += 1;
            return;
        }
        // That there is no such type is said by reading.
        if is_resource_type(resource_type) {
            self.unmodelled.insert(resource_type.to_owned(), 1);
        }
    }

    /// Says what was not checked, by type.
    pub(super) fn unchecked(&self) -> Option<String> {
        if self.unmodelled.is_empty() {
            return None;
        }
        let named = self.unmodelled.iter().map(|(name, count)| match (name.as_str(), count) {
            (name, 1) => name.to_owned(),
            (name, count) => format!("{name} ({count})"),
        });
        let named: Vec<String> = named.collect();
        let rest = "what every resource has was checked, the other elements and rules of the type were not";
        Some(format!("not modelled: {}; {rest}", named.join(", ")))
    }
}

/// Walks over a resource that is not contained in another.
pub(super) fn resource(node: &dyn Node, at: &Path<'_>, w: &mut Walk<'_>, report: &mut Report) {
    let facts = node.facts();
    if let Facts::Text { resource_type, json } = facts {
        return text::resource(node, json, resource_type, at, w, report);
    }
    let mut own = Report::new();
    let mut container = Container::default();
    node.children(at, &mut |child, below| {
        if child.name() == "contained" {
            contain(below, child, path(node), &mut container, w, &mut own);
        }
    });
    walk(node, None, facts, at, &mut container, &mut Ids::default(), w, &mut own);
    node_unreferred(node, at, &mut container, &mut own);
    report.append(own);
}

/// Adds a contained resource to its container.
fn contain<'n>(
    below: &'n dyn Node,
    at: &Path<'_>,
    owner: &str,
    container: &mut Container<'n>,
    w: &Walk<'_>,
    report: &mut Report,
) {
    let id = below.id().unwrap_or_default();
    if id.is_empty() && w.faulty.is_some_and(|faulty| faulty.meets(&at.child("id").to_string())) {
        container.doubtful = true;
    }
    if !container.add(id, resource_type(below)) {
        report.push(second_id(id, at, owner));
    }
}

/// Returns the finding that two contained resources have the same id.
pub(super) fn second_id(id: &str, at: &Path<'_>, owner: &str) -> Issue {
    let message = format!("another contained resource has the id `{id}`, wanted one that is unique in the resource");
    Issue::new("contained-id", Severity::Error, IssueType::Duplicate, at, message)
        .with_row(format!("{owner}.contained"))
}

#[allow(clippy::too_many_arguments, reason = "the place, what was found so far, and what is checked by")]
pub(super) fn walk<'n>(
    node: &'n dyn Node,
    owner: Option<&'static Definition>,
    facts: Facts<'n>,
    at: &Path<'_>,
    container: &mut Container<'_>,
    ids: &mut Ids<'n>,
    w: &mut Walk<'_>,
    report: &mut Report,
) {
    node.check(at, report);
    w.by.check(node, at, report);
    match facts {
        Facts::Reference { literal: Some(literal), targets } => {
            references::check(literal, targets, at, container, w, report);
        }
        Facts::Narrative { div } if !div.is_empty() => {
            narrative(div, &at.child("div"), report, &mut |id| {
                container.refer(id, Referred::InNarrative);
            });
        }
        Facts::Extension { url: Some(url) } => extension_url(url, at, report),
        Facts::Entry { full_url: Some(url), id, resource } => full_url(url, id, resource, at, report),
        Facts::Resource { language: Some(language), .. } => {
            check_language(language, &at.child("language"), "Resource.language", report);
        }
        _ => {}
    }
    let of_resource = is_resource(facts);
    if !of_resource && let Some(id) = node.id() {
        element_id(id, ids.note(id), at, path(node), report);
    }
    let definition = node.definition();
    let outer = w.transaction;
    if let Facts::Resource { resource_type: "Bundle", .. } = facts {
        w.transaction = is_transaction(node);
    }
    let mut extended = extensions::Seen::default();
    let mut number = 0;
    node.children(at, &mut |child, below| {
        let facts = below.facts();
        if facts == Facts::Coded {
            w.by.check_binding(definition.map_or("", |definition| definition.path), below, child, report);
        }
        if is_resource(facts) {
            if child.name() == "contained" {
                if !report.is_empty() {
                    container.met.push((number, report.len()));
                }
                number += 1;
                contained(below, facts, child, path(node), container, ids, w, report);
            } else {
                resource(below, child, w, report);
            }
            return;
        }
        if let Facts::Extension { url: Some(url) } = facts
            && extensions::is_core(url)
            && let Some(extension) = below.as_any().and_then(|any| any.downcast_ref::<Extension>())
        {
            let place = extensions::Place::of(at, definition, owner);
            extensions::check(extension, child, &place, &mut extended, report);
        }
        if of_resource
            && child.name() == "meta"
            && let Some(meta) = below.as_any().and_then(|any| any.downcast_ref::<Meta>())
        {
            profiles(meta, path(node), child, report);
        }
        walk(below, definition, facts, child, container, ids, w, report);
    });
    w.transaction = outer;
}

/// Returns whether a bundle is a transaction.
fn is_transaction(node: &dyn Node) -> bool {
    let bundle = node.as_any().and_then(|any| any.downcast_ref::<crate::resource::Bundle>());
    bundle.is_some_and(|bundle| bundle.r#type.value == Some(crate::code::BundleType::Transaction))
}

/// Walks over a resource that is contained in another.
#[allow(clippy::too_many_arguments, reason = "the place, what was found so far, and what is checked by")]
pub(super) fn contained<'n>(
    node: &'n dyn Node,
    facts: Facts<'n>,
    at: &Path<'_>,
    owner: &'static str,
    container: &mut Container<'_>,
    ids: &mut Ids<'n>,
    w: &mut Walk<'_>,
    report: &mut Report,
) {
    match facts {
        Facts::Resource { resource_type, narrated, containing, versioned, .. } => {
            contained_rules(resource_type, [narrated, containing, versioned], at, owner, report);
            walk(node, None, facts, at, container, ids, w, report);
        }
        Facts::Text { json, resource_type } => {
            text::contained(node, json, resource_type, at, owner, container, w, report);
        }
        _ => {}
    }
}

/// dom-1, dom-2 and dom-4, by whether the contained resource has a narrative, contains something, and has a version.
pub(super) fn contained_rules(
    resource_type: &str,
    [narrated, containing, versioned]: [bool; 3],
    at: &Path<'_>,
    owner: &'static str,
    report: &mut Report,
) {
    let broken = [
        (narrated, DOM_1.key, "text", "a narrative"),
        (containing, DOM_2.key, "contained", "contained resources of its own"),
        (versioned, DOM_4.key, "meta", "a version or a time of update"),
    ];
    for (_, rule, member, what) in broken.into_iter().filter(|(broken, ..)| *broken) {
        let message = format!("the contained {resource_type} has {what}, which no contained resource may have");
        let issue = Issue::new(rule, Severity::Error, IssueType::Invariant, at.child(member), message);
        report.push(issue.with_row(owner));
    }
}

/// Checks the id of an element.
pub(super) fn element_id(id: &str, new: bool, at: &Path<'_>, row: &'static str, report: &mut Report) {
    let mut find = |rule: &'static str, kind: IssueType, message: String| {
        let issue = Issue::new(rule, Severity::Error, kind, at.child("id"), message);
        report.push(issue.with_row(format!("{row}.id")));
    };
    if id.contains(char::is_whitespace) {
        find("element-id", IssueType::Value, format!("the id `{id}` has a space, wanted any other characters"));
    }
    if !new {
        let message = format!("another element has the id `{id}`, wanted one that is unique in the resource");
        find("id-unique", IssueType::Duplicate, message);
    }
}

fn is_resource(facts: Facts<'_>) -> bool {
    matches!(facts, Facts::Resource { .. } | Facts::Text { .. })
}

/// The address of an entry is absolute, and where it is a RESTful one it ends with the id of the resource.
fn full_url(url: &str, id: Option<&str>, resource: bool, at: &Path<'_>, report: &mut Report) {
    let mut find = |severity: Severity, at: Path<'_>, message: String| {
        let issue = Issue::new("full-url", severity, IssueType::Value, at, message);
        report.push(issue.with_row("Bundle.entry.fullUrl"));
    };
    match (Literal::parse(url), id) {
        _ if !is_absolute(url) => {
            let message = format!("`{url}` is not an absolute URL, wanted the whole address of the resource");
            find(Severity::Error, at.child("fullUrl"), message);
        }
        (Literal::Absolute { id: named, .. }, Some(id)) if named != id => {
            let message = format!("`{url}` ends with the id `{named}`, wanted that of the resource, `{id}`");
            find(Severity::Error, at.child("fullUrl"), message);
        }
        (Literal::Absolute { id: named, .. }, None) if resource => {
            let message = format!("the resource has no id, and its address `{url}` is that of the id `{named}`");
            find(Severity::Warning, *at, message);
        }
        _ => {}
    }
}

pub(super) fn extension_url(url: &str, at: &Path<'_>, report: &mut Report) {
    let nested = at.parent().is_some_and(|up| matches!(up.name(), "extension" | "modifierExtension"));
    if nested || (is_absolute(url) && !url.starts_with("urn:")) {
        return;
    }
    let message = format!("`{url}` is not the address of an extension, wanted an absolute URL that is not a urn");
    let issue = Issue::new("extension-url", Severity::Error, IssueType::Value, at.child("url"), message);
    report.push(issue.with_row("Extension.url"));
}

/// dom-3, which can only be checked at the end of the walk; its findings come where the contained resource stands.
fn node_unreferred<'n>(node: &'n dyn Node, at: &Path<'_>, container: &mut Container<'n>, report: &mut Report) {
    let mut findings = Vec::new();
    let mut number = 0;
    node.children(at, &mut |child, below| {
        if child.name() == "contained" {
            findings.extend(unreferred(below.id(), resource_type(below), child, number, path(node), container));
            number += 1;
        }
    });
    weave(findings, report);
}

/// dom-3 of the contained resource of that number, with how many findings come before it.
pub(super) fn unreferred(
    id: Option<&str>,
    resource_type: &str,
    at: &Path<'_>,
    number: usize,
    owner: &'static str,
    container: &mut Container<'_>,
) -> Option<(usize, Issue)> {
    let (severity, message) = match (container.referred(id.unwrap_or_default()), id) {
        (Referred::ByReference, _) => return None,
        (Referred::InNarrative, Some(id)) => {
            let message = format!(
                "only the narrative shows the contained {resource_type} `{id}`, wanted a reference `#{id}` too"
            );
            (Severity::Warning, message)
        }
        (_, Some(id)) => (
            Severity::Error,
            format!("nothing refers to the contained {resource_type} `{id}`, wanted a reference `#{id}`"),
        ),
        (_, None) => {
            (Severity::Error, format!("the contained {resource_type} has no id, so that nothing can refer to it"))
        }
    };
    let place = if id.is_some() { at.child("id") } else { *at };
    let index = container.met.binary_search_by_key(&number, |(number, _)| *number);
    let before = index.ok().and_then(|index| container.met.get(index)).map_or(0, |(_, before)| *before);
    Some((before, Issue::new(DOM_3.key, severity, IssueType::Invariant, place, message).with_row(owner)))
}

/// Puts findings where they belong.
pub(super) fn weave(findings: Vec<(usize, Issue)>, report: &mut Report) {
    if !findings.is_empty() {
        report.weave(findings);
    }
}

/// Returns the path of the type of a node; a primitive is an element with an id and extensions.
fn path(node: &dyn Node) -> &'static str {
    node.definition().map_or("Element", |definition| definition.path)
}

fn resource_type(node: &dyn Node) -> &str {
    match node.facts() {
        Facts::Resource { resource_type, .. } | Facts::Text { resource_type, .. } => resource_type,
        _ => "",
    }
}
