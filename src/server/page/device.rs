//! The page of one device: its details, tree, findings, reported versions, updates and history.

use super::super::budget::Cost;
use super::super::place::AtTenant;
use super::super::{Shared, maintenance};
use super::members::{Members, OfDevices, Updates, id, name, revisions, shown, target, value};
use super::text::{badge, sentence, short, time};
use super::tree::{Drawing, level_name};
use super::{Problem, Result, Section, View, failed};
use crate::containment::{Profile, Tree, components};
use crate::issue::Severity;
use crate::primitive::Id;
use crate::resource::device_component::SpecType;
use crate::resource::{Device, DeviceComponent};
use crate::search::ResourceType;
use crate::service::LifecycleError;
use crate::store::{Key, Page, Tenant, Version};
use crate::update::UpdateStatus;
use crate::validate::Validate as _;
use axum::extract::{Path, State};
use maud::{Markup, html};
use std::num::NonZeroU32;

/// Maximum number of components and metrics read of a device, and of bytes of them drawn.
const READ: usize = 2_000;
const DRAWN: usize = 36_000;

/// Maximum number of findings shown.
const FINDINGS: usize = 25;

/// Maximum number of components listed with their versions.
const LISTED: usize = 20;

/// Maximum number of versions of the device listed.
const HISTORY: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// `GET /TENANT/pages/devices/DEVICE`
pub(super) async fn show(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
) -> Result {
    let device = Id::new(&path.1).map_err(Problem::not_found)?;
    let reservation = app.budget.take(Cost::page(&app.limits)).await?;
    let (work_app, work_tenant) = (app.clone(), tenant.clone());
    let work = async move { page(&work_app, &work_tenant, &device).await };
    let (answer, _reservation) = app.budget.offload(reservation, work).await?;
    if answer.is_ok() {
        maintenance::remember_tenant(&app, &tenant).await;
    }
    answer
}

async fn page(app: &Shared, tenant: &Tenant, device: &Id) -> Result {
    let (view, store) = (View::of(app, tenant, Section::Devices), app.tenanted(tenant));
    let what = || format!("Device/{device}");
    let (found, version) =
        store.get::<Device>(device.as_str()).await.map_err(|error| Problem::of_store(&error, what()))?;
    let ids = [device.as_str().to_owned()];
    let mut of_device =
        OfDevices::read(&store, &ids, true, READ).await.map_err(LifecycleError::Store).map_err(failed)?;
    let members = of_device.members.remove(device.as_str()).unwrap_or_default();
    let updates = Updates::read(app, tenant, members.components.iter()).await.map_err(failed)?;
    let key = Key::new(ResourceType::Device, device.as_str()).map_err(Problem::not_found)?;
    let history = match store.capabilities().history {
        true => store.history(&key, HISTORY, None).await.map_err(|error| Problem::of_store(&error, what()))?,
        false => Page { items: vec![version], next: None },
    };
    let tree = components(&members.components);
    let mut drawing = Drawing { view: &view, updates: &updates, every_update: true, left: DRAWN };
    let drawn = drawing.device(device.as_str(), &members, &tree);
    let title = short(name(&found)).into_owned();
    let content = html! {
        p.crumbs { a href=(view.page("devices")) { "Devices" } }
        (head(&view, &found))
        section.panel aria-labelledby="parts" {
            h2 #parts { "Parts" }
            @if of_device.cut { p.note { "Not all of its parts are read: there are too many, or they are too large." } }
            (drawn)
            @if drawing.left == 0 {
                p.note { "More of them: " a href={ (view.path()) "/fhir/DeviceComponent?source=Device/" (device) } { "its components" }
                    ", " a href={ (view.path()) "/fhir/DeviceMetric?source=Device/" (device) } { "its metrics" } "." }
            }
        }
        section.panel aria-labelledby="findings" { h2 #findings { "Findings" } (findings(&found, &tree)) }
        section.panel aria-labelledby="versions" { h2 #versions { "Versions" } (versions(&view, &members, &updates)) }
        section.panel aria-labelledby="history" { h2 #history { "History" } (changes(&view, device, &history)) }
    };
    view.ok(&title, &content)
}

fn head(view: &View<'_>, device: &Device) -> Markup {
    let own = id(device);
    let status =
        device.status.as_ref().and_then(|status| status.value).map_or("status unknown", |status| status.as_str());
    let udi = device.udi.as_ref();
    let facts = [
        ("Manufacturer", value(&device.manufacturer)),
        ("Model", value(&device.model)),
        ("Software", value(&device.version)),
        ("Location", device.location.as_ref().and_then(shown)),
        ("Owner", device.owner.as_ref().and_then(shown)),
        ("Device identifier", udi.and_then(|udi| value(&udi.device_identifier))),
        ("Lot", value(&device.lot_number)),
    ];
    html! {
        div.head { h1 { (short(name(device))) } span.id { (own) } (badge(status, status)) }
        dl.facts {
            @for (name, value) in facts {
                @if let Some(value) = value { div { dt { (name) } dd { (short(value)) } } }
            }
        }
        p.actions {
            a.button.primary href={ (view.page("send")) "?device=" (own) } { "Send an update" }
            a.button href={ (view.page("updates")) "?device=" (own) } { "Its updates" }
            a.button href={ (view.path()) "/fhir/Device/" (own) } { "FHIR resource" }
        }
    }
}

fn findings(device: &Device, tree: &Tree<'_>) -> Markup {
    let (own, tree) = (device.validate(), tree.report(Profile::Base));
    let all: Vec<_> = own.iter().chain(tree.iter()).filter(|issue| issue.severity != Severity::Information).collect();
    html! {
        @if all.is_empty() { p { "Its record and its tree have no findings." } }
        @else {
            ul.list {
                @for issue in all.iter().take(FINDINGS) {
                    li {
                        (badge(if issue.severity == Severity::Warning { "warn" } else { "bad" }, issue.severity.as_str()))
                        " " (sentence(&issue.message)) " " span.id { (short(&issue.at)) ", " (short(&issue.rule)) }
                    }
                }
            }
            @if all.len() > FINDINGS { p.note { "and " (all.len() - FINDINGS) " more." } }
        }
    }
}

fn versions(view: &View<'_>, members: &Members, updates: &Updates) -> Markup {
    let kinds = [
        ("Software", SpecType::SoftwareRevision),
        ("Firmware", SpecType::FirmwareRevision),
        ("Hardware", SpecType::HardwareRevision),
    ];
    let tree = components(&members.components);
    html! {
        @if members.components.is_empty() { p { "The device has no components." } }
        @else {
            ul.cards {
                @for component in members.components.iter().take(LISTED) {
                    @let own = id(component);
                    @let node = tree.get(own);
                    @let name = node.and_then(|node| node.name()).unwrap_or(own);
                    li.line {
                        div.head { h3 { (level_name(node.and_then(|node| node.level()))) ": " (short(name)) } span.id { (own) } }
                        dl {
                            @for (kind, of) in kinds {
                                @let found: Vec<_> = revisions(component, of).take(4).map(short).collect();
                                @if !found.is_empty() { div { dt { (kind) } dd { (found.join(", ")) } } }
                            }
                            @for update in updates.of(own).iter().filter(|update| update.status == UpdateStatus::Current) {
                                div { dt { "Update" } dd { a href={ (view.page("updates")) "/" (update.id) } {
                                    @match &update.version { Some(version) => (short(version.as_str())), None => "without a version" }
                                } } }
                            }
                            @if let Some(version) = members.written.get(own) { div { dt { "Changed" } dd { (time(version.last_updated)) } } }
                        }
                        p.actions { a.button href={ (view.page("send")) "?device=" (source(component)) "&component=" (own) } { "Send an update" span.hidden { " to " (short(name)) " " (own) } } }
                    }
                }
            }
            @if members.components.len() > LISTED { p.note { "and " (members.components.len() - LISTED) " more components." } }
        }
    }
}

fn source(component: &DeviceComponent) -> &str {
    target(component.source.as_ref()).unwrap_or_default()
}

fn changes(view: &View<'_>, device: &Id, history: &Page<Version>) -> Markup {
    html! {
        ol.list {
            @for version in &history.items {
                li {
                    a href={ (view.path()) "/fhir/Device/" (device) "/_history/" (version.version) } { "Version " (version.version) }
                    ", " (time(version.last_updated))
                    @if version.is_deleted() { ", deleted" }
                }
            }
        }
        @if history.next.is_some() {
            p.note { a href={ (view.path()) "/fhir/Device/" (device) "/_history" } { "Earlier versions" } }
        }
    }
}
