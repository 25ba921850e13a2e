//! Trees as text: one indented line for each node.

use super::tree::{Node, Tree};
use crate::datatype::CodeableConcept;
use crate::nomenclature::{DevicePart, Level, is_mdc};
use crate::reference::item::Item;
use crate::resource::DeviceComponent;
use std::fmt;

impl Node<'_, '_> {
    /// Returns the kind of the node: `Device`, `MDS`, `VMD`, `channel`, `metric`, or for a component without a level
    /// the part that its code names, else `component`.
    #[must_use]
    pub fn level_name(self) -> &'static str {
        match (self.item(), self.level()) {
            (Item::Device(_), _) => "Device",
            (Item::Metric(_), _) => "metric",
            (_, Some(Level::Mds)) => "MDS",
            (_, Some(Level::Vmd)) => "VMD",
            (_, Some(Level::Channel)) => "channel",
            (_, None) => self.part().map_or("component", DevicePart::as_str),
        }
    }

    /// Returns the first code of the type, prefixed with `MDC` if it is from ISO/IEEE 11073-10101.
    #[must_use]
    pub fn type_code(self) -> Option<String> {
        let coding = self.item().kind()?.coding.iter().find(|coding| coding.code.is_some())?;
        let code = coding.code.as_ref()?.get()?;
        let system = coding.system.as_ref().and_then(|system| system.get());
        let is_mdc = system.is_some_and(|system| is_mdc(system.as_str()));
        Some(format!("{}{}", if is_mdc { "MDC " } else { "" }, one_line(code.as_str())))
    }

    /// Returns the statuses, separated by commas: `on, standby`.
    #[must_use]
    pub fn status(self) -> Option<String> {
        let statuses: Vec<String> = match self.item() {
            Item::Device(device) => {
                device.status.iter().filter_map(|status| status.get()).map(|status| status.to_string()).collect()
            }
            Item::Metric(metric) => metric
                .operational_status
                .iter()
                .filter_map(|status| status.get())
                .map(|status| status.to_string())
                .collect(),
            Item::Component(component) => component.operational_status.iter().filter_map(code_or_text).collect(),
        };
        (!statuses.is_empty()).then(|| statuses.join(", "))
    }

    /// Returns the software and firmware revisions of a component, one text for each: `software 4.2.0`.
    #[must_use]
    pub fn revisions(self) -> Vec<String> {
        self.component().map(revisions).unwrap_or_default()
    }
}

/// Writes one line: level, name, label, code, statuses and revisions.
impl fmt::Display for Node<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.level_name())?;
        if let Some(name) = self.name() {
            write!(f, "  {}", one_line(name))?;
        }
        write!(f, "  [{}]", one_line(self.label()))?;
        for text in self.type_code().into_iter().chain(self.status()).chain(self.revisions()) {
            write!(f, "  {text}")?;
        }
        if let Item::Device(device) = self.item()
            && let Some(version) = device.version.as_ref().and_then(|version| version.get())
        {
            write!(f, "  version {}", one_line(version.as_str()))?;
        }
        Ok(())
    }
}

/// Writes each tree from its top-level node down, one line for each node.
///
/// ```
/// # use fhir_devices::{Bundle, containment::TreeBuilder};
/// let bundle = Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
///     {"resource":{"resourceType":"Device","id":"pump","model":"P9"}},
///     {"resource":{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},
///         "source":{"reference":"Device/pump"},"type":{"text":"infusion pump"},
///         "operationalStatus":[{"text":"on"}]}}]}"#)?;
/// let tree = TreeBuilder::new().with_bundle(&bundle).build();
/// assert_eq!(tree.to_string(), "Device  P9  [pump]\n└─ MDS  infusion pump  [mds]  on\n");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.top_level().try_for_each(|top| top.write_subtree(f, |_| []))
    }
}

impl Node<'_, '_> {
    /// Writes a line for this node and for each descendant, each followed by the lines that `notes` returns for it.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn write_subtree<N>(self, out: &mut impl fmt::Write, notes: impl Fn(Self) -> N) -> fmt::Result
    where
        N: IntoIterator<Item = String>,
    {
        // Maximum indentation; deeper nodes show their depth instead.
        const DEEPEST: usize = 40;
        // For each ancestor, whether it has a later sibling.
        let mut open: Vec<bool> = Vec::new();
        for (depth, node) in self.subtree() {
            open.truncate(depth.saturating_sub(1));
            let has_next = depth > 0 && node.has_next();
            let mut indent = String::new();
            for more in open.iter().take(DEEPEST) {
                indent.push_str(if *more { "│  " } else { "   " });
            }
            if depth > DEEPEST {
                indent.push_str(&format!("… {depth} deep "));
            }
            let (branch, below) = match (depth, has_next) {
                (0, _) => ("", ""),
                (_, true) => ("├─ ", "│  "),
                (_, false) => ("└─ ", "   "),
            };
            writeln!(out, "{indent}{branch}{node}")?;
            let stem = if node.children().next().is_some() { "│  " } else { "   " };
            for note in notes(node) {
                writeln!(out, "{indent}{below}{stem}{note}")?;
            }
            if depth > 0 {
                open.push(has_next);
            }
        }
        Ok(())
    }
}

fn code_or_text(concept: &CodeableConcept) -> Option<String> {
    let code = concept.coding.iter().find_map(|coding| coding.code.as_ref()?.get());
    let text = concept.text.as_ref().and_then(|text| text.get());
    code.map(|code| code.as_str()).or(text.map(|text| text.as_str())).map(one_line)
}

fn revisions(component: &DeviceComponent) -> Vec<String> {
    let kinds = [
        ("software-revision", "software"),
        ("531975", "software"),
        ("firmware-revision", "firmware"),
        ("531976", "firmware"),
    ];
    let all = component.production_specification.iter().filter_map(|specification| {
        let kind = code_or_text(specification.spec_type.as_ref()?)?;
        let (_, name) = kinds.into_iter().find(|(code, _)| *code == kind)?;
        let text = specification.production_spec.as_ref()?.get()?;
        let item = specification.component_id.as_ref().and_then(|id| id.value.as_ref()?.get());
        let item = item.map(|item| format!("({}) ", one_line(item.as_str()))).unwrap_or_default();
        Some(format!("{name} {item}{}", one_line(text.as_str())))
    });
    all.collect()
}

/// Returns a text on one line, with control and bidirectional characters replaced by spaces.
fn one_line(text: &str) -> String {
    let is_shown = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_shown(c) { c } else { ' ' }).collect()
}
