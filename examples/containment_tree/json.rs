//! The trees as one JSON object, for programs.

use super::Shown;
use super::picture::updates;
use fhir_devices::containment::Node;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Prints `{"profile":..,"nodes":[..],"findings":[..]}`. The nodes are a list in which each names its parent, so that
/// no depth is too deep for a reader.
pub(crate) fn print(shown: &Shown<'_, '_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"profile\":{},\"nodes\":[", json!(shown.profile.as_str()))?;
    for node in shown.tree.nodes() {
        let comma = if node.index() == 0 { "" } else { "," };
        write!(out, "{comma}{}", object(node))?;
    }
    write!(out, "],\"findings\":[")?;
    for (number, found) in shown.findings.iter().enumerate() {
        let issue = &found.issue;
        let object = json!({
            "file": found.file,
            "node": found.node,
            "rule": issue.rule,
            "severity": issue.severity.as_str(),
            "at": issue.at,
            "message": issue.message,
        });
        write!(out, "{}{}", if number == 0 { "" } else { "," }, without_nulls(object))?;
    }
    writeln!(out, "]}}")
}

fn object(node: Node<'_, '_>) -> Value {
    let list = |texts: Vec<String>| (!texts.is_empty()).then_some(texts);
    without_nulls(json!({
        "node": node.index(),
        "type": node.item().resource_type(),
        "id": node.id().map(|id| id.as_str()),
        "level": node.level_name().to_ascii_lowercase(),
        "name": node.name(),
        "code": node.type_code(),
        "status": node.status(),
        "revisions": list(node.revisions()),
        "updates": list(updates(node)),
        "above": node.above().map(Node::index),
        "children": node.children().map(Node::index).collect::<Vec<_>>(),
        "path": node.path(),
        "at": node.place(),
        "orphan": node.is_orphan().then_some(true),
        "cyclic": node.is_cyclic().then_some(true),
    }))
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    value
}
