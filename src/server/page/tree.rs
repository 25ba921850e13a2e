//! The tree of a device: its components, its metrics, and the updates of each component.

use super::View;
use super::members::{Members, Updates, id, revisions, target, value};
use super::text::{badge, short, size, time};
use crate::containment::{Node, Tree};
use crate::datatype::CodeableConcept;
use crate::nomenclature::Level;
use crate::primitive::Id;
use crate::resource::device_component::SpecType;
use crate::resource::{DeviceComponent, DeviceMetric};
use crate::service::KnownDamage;
use crate::update::{AvailableUpdate, UpdateStatus};
use maud::{Markup, html};

/// Maximum depth drawn. Devices have four levels; a deeper tree is a mistake, and must not exhaust the stack.
const DEEPEST: usize = 32;

/// The context for drawing trees of devices.
pub(super) struct Drawing<'v> {
    pub(super) view: &'v View<'v>,
    pub(super) updates: &'v Updates,
    /// Whether to show every update of a component, instead of the current one alone.
    pub(super) every_update: bool,
    /// Number of bytes of components and metrics that may still be drawn on the page.
    pub(super) left: usize,
}

impl Drawing<'_> {
    /// Returns the tree of a device.
    pub(super) fn device(&mut self, device: &str, members: &Members, tree: &Tree<'_>) -> Markup {
        let before = self.left;
        let roots: Vec<Markup> = tree.root_components().map(|root| self.component(members, root, 0)).collect();
        let loose: Vec<&DeviceMetric> = members
            .metrics
            .iter()
            .filter(|metric| {
                target(metric.source.as_ref()) == Some(device)
                    && target(metric.parent.as_ref()).is_none_or(|parent| tree.get(parent).is_none())
            })
            .collect();
        let loose: Vec<Markup> = loose.into_iter().map(|one| self.metric(one)).collect();
        let is_cut = before > 0 && self.left == 0;
        html! {
            ul.tree {
                @for root in &roots { (root) }
                @for one in &loose { (one) }
            }
            @if is_cut {
                p.note { "Not all of its parts are shown here: " a href={ (self.view.page("devices")) "/" (device) } { "the whole device" } "." }
            }
        }
    }

    fn component(&mut self, members: &Members, member: Node<'_, '_>, depth: usize) -> Markup {
        if self.left == 0 || depth > DEEPEST {
            return html! {};
        }
        let own = member.id().map(Id::as_str).unwrap_or_default();
        let head = html! {
            div.row {
                span.level { (level_name(member.level())) }
                span.name { (short(member.name().unwrap_or("without a name"))) }
                @if let Some(component) = member.component() {
                    (code(&component.r#type)) (operational(component))
                    @for (kind, spec) in [("software", SpecType::SoftwareRevision), ("firmware", SpecType::FirmwareRevision)] {
                        @for text in revisions(component, spec).take(4) { span.rev { (kind) " " b { (short(text)) } } }
                    }
                }
                a.id href={ (self.view.path()) "/fhir/DeviceComponent/" (own) } { (own) }
            }
            @for update in self.updates.of(own).iter().filter(|update| self.every_update || update.status == UpdateStatus::Current).take(16) {
                (update_row(self.view, update, self.updates.damage(update)))
            }
        };
        self.left = self.left.saturating_sub(head.0.len());
        let children: Vec<Markup> = member.children().map(|child| self.component(members, child, depth + 1)).collect();
        let metrics = members.metrics.iter().filter(|metric| target(metric.parent.as_ref()) == Some(own));
        let metrics: Vec<Markup> = metrics.map(|one| self.metric(one)).collect();
        html! {
            li {
                (head)
                @if !children.is_empty() || !metrics.is_empty() {
                    ul {
                        @for child in &children { (child) }
                        @for one in &metrics { (one) }
                    }
                }
            }
        }
    }

    fn metric(&mut self, metric: &DeviceMetric) -> Markup {
        if self.left == 0 {
            return html! {};
        }
        let own = id(metric);
        let status = metric.operational_status.as_ref().and_then(|status| status.value);
        let drawn = html! {
            li.metric {
                div.row {
                    span.level { "Metric" }
                    span.name {
                        (short(value(&metric.r#type.text).unwrap_or(own)))
                        @if let Some(unit) = metric.unit.as_ref().and_then(|unit| value(&unit.text)) { " " span.unit { (short(unit)) } }
                    }
                    (code(&metric.r#type))
                    @if let Some(status) = status { (badge(status.as_str(), status.as_str())) }
                    @if let Some(category) = metric.category.value { span.rev { (category.as_str()) } }
                    a.id href={ (self.view.path()) "/fhir/DeviceMetric/" (own) } { (own) }
                }
            }
        };
        self.left = self.left.saturating_sub(drawn.0.len());
        drawn
    }
}

/// Returns the name of a level.
pub(super) const fn level_name(level: Option<Level>) -> &'static str {
    match level {
        Some(Level::Mds) => "MDS",
        Some(Level::Vmd) => "VMD",
        Some(Level::Channel) => "Channel",
        None => "?",
    }
}

fn code(concept: &CodeableConcept) -> Markup {
    let coding = concept.coding.first();
    let code = coding.and_then(|coding| coding.code.as_ref()?.value.as_ref()).map(AsRef::as_ref);
    let name = coding.and_then(|coding| value(&coding.display)).unwrap_or_default();
    html! { @if let Some(code) = code { span.code title=(short(name)) { (short(code)) } } }
}

fn operational(component: &DeviceComponent) -> Markup {
    let codes = component.operational_status.iter().flat_map(|status| &status.coding).take(4);
    html! {
        @for code in codes.filter_map(|coding| coding.code.as_ref()?.value.as_ref()) {
            (badge(&short(code.as_str()), &short(code.as_str())))
        }
    }
}

/// Returns the row of a component's update, with a link to its page.
fn update_row(view: &View<'_>, update: &AvailableUpdate, damage: Option<&KnownDamage>) -> Markup {
    let (class, words) = match update.status {
        UpdateStatus::Current => ("update", "Update available"),
        UpdateStatus::Superseded => ("update old", "Superseded update"),
        UpdateStatus::Withdrawn => ("update old", "Withdrawn update"),
    };
    let class = if damage.is_some() { "update damaged" } else { class };
    let url = update.file.url.as_str();
    let is_offered = update.status != UpdateStatus::Withdrawn && damage.is_none();
    // A stored URL may be any URI; only a web address becomes a link. A damaged file is not offered.
    let is_link = is_offered && (url.starts_with("http://") || url.starts_with("https://"));
    html! {
        div class=(class) {
            a href={ (view.page("updates")) "/" (update.id) } { (words) @if let Some(version) = &update.version { " " b { (short(version.as_str())) } } }
            ": "
            @if is_link { a href=(url) { (short(update.file.title.as_str())) } } @else { (short(update.file.title.as_str())) }
            ", " (size(update.size))
            @if let Some(KnownDamage { since, what, .. }) = damage {
                p.damage {
                    "The file is damaged, and is not given out (found " (time(*since)) ": " (short(what)) "). Send the same file \
                     again to replace it."
                }
            }
        }
    }
}
