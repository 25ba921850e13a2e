//! The trees as a text picture.

use super::Shown;
use fhir_devices::Severity;
use fhir_devices::containment::Node;
use fhir_devices::update::available;
use std::io::{self, Write};

pub(crate) fn print(shown: &Shown<'_, '_>, several: bool, out: &mut impl Write) -> io::Result<()> {
    if shown.tree.is_empty() {
        writeln!(out, "No device, component or metric.")?;
    }
    for top in shown.tree.top_level() {
        let mut lines = String::new();
        // Writing to a string never fails.
        let _ = top.write_subtree(&mut lines, |node| notes(shown, node));
        writeln!(out, "{lines}")?;
    }
    let grave = |severity| shown.findings.iter().filter(|found| found.issue.severity == severity).count();
    let (errors, warnings) = (grave(Severity::Fatal) + grave(Severity::Error), grave(Severity::Warning));
    let notes = grave(Severity::Information);
    let profile = shown.profile;
    if shown.findings.is_empty() {
        return writeln!(out, "No findings (profile {profile}).");
    }
    writeln!(out, "Findings (profile {profile}): errors {errors}, warnings {warnings}, notes {notes}")?;
    for found in shown.findings {
        let file = if several { format!("{}: ", plain(found.file)) } else { String::new() };
        writeln!(out, "  {file}{}", found.issue)?;
    }
    Ok(())
}

/// Returns the available updates and the findings of a node.
fn notes(shown: &Shown<'_, '_>, node: Node<'_, '_>) -> Vec<String> {
    let mut notes: Vec<String> = updates(node).into_iter().map(|update| format!("↑ {update}")).collect();
    notes.extend(shown.at(node).into_iter().map(|issue| {
        let mark = match issue.severity {
            Severity::Fatal | Severity::Error => "✗",
            Severity::Warning => "!",
            Severity::Information => "·",
        };
        // The expected value is in the list below the trees.
        let found = issue.message.split(", wanted: ").next().unwrap_or_default();
        format!("{mark} {} {found}", issue.rule)
    }));
    notes
}

/// Returns the updates that a component states.
pub(crate) fn updates(node: Node<'_, '_>) -> Vec<String> {
    let all = node.component().into_iter().flat_map(available);
    all.map(|update| match update {
        Ok(update) => {
            let version = update.version.as_ref().map_or("without a version", |version| version.as_str());
            format!("update {} ({}): {}", plain(version), update.status, plain(update.file.title.as_str()))
        }
        Err(malformed) => malformed.to_string(),
    })
    .collect()
}

/// Returns a text of a document on one line, without terminal control characters.
pub(crate) fn plain(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}
