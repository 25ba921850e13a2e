//! The trees as a text picture, for people.

use super::Shown;
use fhir_devices::containment::Node;
use fhir_devices::datatype::CodeableConcept;
use fhir_devices::nomenclature::{DevicePart, Level, is_mdc};
use fhir_devices::reference::Item;
use fhir_devices::update::available;
use fhir_devices::{DeviceComponent, Severity};
use std::io::{self, Write};

pub(crate) fn print(shown: &Shown<'_, '_>, several: bool, out: &mut impl Write) -> io::Result<()> {
    if shown.tree.is_empty() {
        writeln!(out, "No device, component or metric.")?;
    }
    for top in shown.tree.top_level() {
        branch(shown, top, out)?;
        writeln!(out)?;
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

/// One tree, with the lines that lead from each node to what is below it.
fn branch(shown: &Shown<'_, '_>, top: Node<'_, '_>, out: &mut impl Write) -> io::Result<()> {
    // Of each node above, whether there is more to come below it. What is too deep is moved no further to the right.
    const DEEPEST: usize = 40;
    let mut open: Vec<bool> = Vec::new();
    for (depth, node) in top.subtree() {
        open.truncate(depth.saturating_sub(1));
        let has_next = depth > 0 && node.has_next();
        let mut lead = String::new();
        for more in open.iter().take(DEEPEST) {
            lead.push_str(if *more { "│  " } else { "   " });
        }
        if depth > DEEPEST {
            lead.push_str(&format!("… {depth} deep "));
        }
        let arm = match (depth, has_next) {
            (0, _) => "",
            (_, true) => "├─ ",
            (_, false) => "└─ ",
        };
        writeln!(out, "{lead}{arm}{}", line(node))?;
        let under = match (depth, has_next) {
            (0, _) => "",
            (_, true) => "│  ",
            (_, false) => "   ",
        };
        let stem = if node.children().next().is_some() { "│  " } else { "   " };
        for note in notes(shown, node) {
            writeln!(out, "{lead}{under}{stem}{note}")?;
        }
        if depth > 0 {
            open.push(has_next);
        }
    }
    Ok(())
}

/// `VMD  pulse oximeter  [DeviceComponent/spo2]  MDC 69642  on  software 4.2.0`
fn line(node: Node<'_, '_>) -> String {
    let mut parts = vec![level(node).to_owned()];
    parts.extend(node.name().map(plain));
    parts.push(format!("[{}]", plain(node.label())));
    parts.extend(node.item().kind().and_then(code));
    parts.extend(status(node));
    if let Some(component) = node.component() {
        parts.extend(revisions(component));
    }
    if let Item::Device(device) = node.item() {
        let version = device.version.as_ref().and_then(|version| version.value.as_ref());
        parts.extend(version.map(|version| format!("version {}", plain(version.as_str()))));
    }
    parts.join("  ")
}

pub(crate) fn level(node: Node<'_, '_>) -> &'static str {
    match (node.item(), node.level()) {
        (Item::Device(_), _) => "Device",
        (Item::Metric(_), _) => "metric",
        (_, Some(Level::Mds)) => "MDS",
        (_, Some(Level::Vmd)) => "VMD",
        (_, Some(Level::Channel)) => "channel",
        (_, None) => node.part().map_or("component", DevicePart::as_str),
    }
}

/// Available updates and findings.
fn notes(shown: &Shown<'_, '_>, node: Node<'_, '_>) -> Vec<String> {
    let mut notes: Vec<String> = updates(node).into_iter().map(|update| format!("↑ {update}")).collect();
    notes.extend(shown.at(node).into_iter().map(|issue| {
        let mark = match issue.severity {
            Severity::Fatal | Severity::Error => "✗",
            Severity::Warning => "!",
            Severity::Information => "·",
        };
        // What was wanted stands in the list below the trees.
        let found = issue.message.split(", wanted: ").next().unwrap_or_default();
        format!("{mark} {} {found}", issue.rule)
    }));
    notes
}

/// The updates that a component says are there.
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

pub(crate) fn code(concept: &CodeableConcept) -> Option<String> {
    let coding = concept.coding.iter().find(|coding| coding.code.is_some())?;
    let code = coding.code.as_ref()?.value.as_ref()?;
    let system = coding.system.as_ref().and_then(|system| system.value.as_ref());
    let is_mdc = system.is_some_and(|system| is_mdc(system.as_str()));
    Some(format!("{}{}", if is_mdc { "MDC " } else { "" }, plain(code.as_str())))
}

/// `on`, `standby`: what a component, a metric or a device says of itself.
pub(crate) fn status(node: Node<'_, '_>) -> Option<String> {
    let statuses: Vec<String> = match node.item() {
        Item::Device(device) => {
            device.status.iter().filter_map(|status| status.value).map(|status| status.to_string()).collect()
        }
        Item::Metric(metric) => {
            let status = metric.operational_status.iter().filter_map(|status| status.value);
            status.map(|status| status.to_string()).collect()
        }
        Item::Component(component) => component.operational_status.iter().filter_map(word).collect(),
    };
    (!statuses.is_empty()).then(|| statuses.join(", "))
}

fn word(concept: &CodeableConcept) -> Option<String> {
    let code = concept.coding.iter().find_map(|coding| coding.code.as_ref()?.value.as_ref());
    let text = concept.text.as_ref().and_then(|text| text.value.as_ref());
    code.map(|code| code.as_str()).or(text.map(|text| text.as_str())).map(plain)
}

/// The software and firmware that a component says is installed.
pub(crate) fn revisions(component: &DeviceComponent) -> Vec<String> {
    let kinds = [
        ("software-revision", "software"),
        ("531975", "software"),
        ("firmware-revision", "firmware"),
        ("531976", "firmware"),
    ];
    let all = component.production_specification.iter().filter_map(|specification| {
        let kind = word(specification.spec_type.as_ref()?)?;
        let (_, name) = kinds.into_iter().find(|(code, _)| *code == kind)?;
        let text = specification.production_spec.as_ref()?.value.as_ref()?;
        let item = specification.component_id.as_ref().and_then(|id| id.value.as_ref()?.value.as_ref());
        let item = item.map(|item| format!("({}) ", plain(item.as_str()))).unwrap_or_default();
        Some(format!("{name} {item}{}", plain(text.as_str())))
    });
    all.collect()
}

/// A text of a document on one line, without what would steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}
