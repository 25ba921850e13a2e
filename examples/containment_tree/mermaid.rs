//! The trees as a Mermaid flowchart.

use super::Shown;
use super::picture::plain;
use fhir_devices::Severity;
use fhir_devices::containment::Node;
use std::io::{self, Write};

pub(crate) fn print(shown: &Shown<'_, '_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "flowchart TD")?;
    let mut classes = [("error", Vec::new()), ("warning", Vec::new())];
    for node in shown.tree.nodes() {
        let issues = shown.at(node);
        let rules: Vec<String> = issues
            .iter()
            .filter(|issue| issue.severity <= Severity::Warning)
            .map(|issue| issue.rule.to_string())
            .collect();
        writeln!(out, "  n{}[\"{}\"]", node.index(), label(node, &rules))?;
        let gravest = issues.first().map(|issue| issue.severity);
        let [errors, warnings] = &mut classes;
        match gravest {
            Some(Severity::Fatal | Severity::Error) => errors.1.push(node.index()),
            Some(Severity::Warning) => warnings.1.push(node.index()),
            _ => {}
        }
    }
    for node in shown.tree.nodes() {
        if let Some(above) = node.above() {
            writeln!(out, "  n{} --> n{}", above.index(), node.index())?;
        }
    }
    writeln!(out, "  classDef error stroke:#c00,stroke-width:3px")?;
    writeln!(out, "  classDef warning stroke:#c80,stroke-width:2px")?;
    for (class, nodes) in classes.iter().filter(|(_, nodes)| !nodes.is_empty()) {
        let nodes: Vec<String> = nodes.iter().map(|node| format!("n{node}")).collect();
        writeln!(out, "  class {} {class}", nodes.join(","))?;
    }
    Ok(())
}

fn label(node: Node<'_, '_>, rules: &[String]) -> String {
    let mut lines = vec![format!("{} {}", node.level_name(), plain(node.label()))];
    lines.extend(node.name().map(plain));
    lines.extend(node.type_code());
    if !rules.is_empty() {
        lines.push(rules.join(" "));
    }
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br/>")
}

/// Escapes a text. Mermaid reads `#35;` as the character of that number; so no text can end the label or act as markup.
fn escape(text: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || " .,:/-_()%+".contains(c);
    text.chars().map(|c| if safe(c) { c.to_string() } else { format!("#{};", u32::from(c)) }).collect()
}
