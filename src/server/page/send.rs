//! Sending an update: the form, a preview of the effect, and the answer page.

use super::super::budget::Cost;
use super::super::place::AtTenant;
use super::super::{Shared, UpdateServer};
use super::members::{Members, OfDevices, Updates, id, name, revisions, value};
use super::text::{short, size, time};
use super::tree::level_name;
use super::{Answer, Asked, Problem, Result, Section, View, failed};
use crate::containment::{Node, Tree, components};
use crate::manifest::VersionScheme;
use crate::primitive::Id;
use crate::resource::device_component::SpecType;
use crate::resource::{Device, DeviceComponent};
use crate::search::ResourceType;
use crate::service::{LifecycleError, Received};
use crate::store::{Search, Stored as _, Tenant};
use crate::update::{AvailableUpdate, UpdateStatus, reported_versions};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use maud::{Markup, html};
use std::cmp::Ordering;

/// Number of components of a device to choose from: on its own page, and on the page of the fleet.
const CHOICES: usize = 100;
const QUICK_CHOICES: usize = 30;

/// Number of devices offered where none was chosen.
const DEVICES: u32 = 20;

/// Maximum indentation of the choices.
const DEEPEST: usize = 32;

/// `GET /TENANT/pages/send`
pub(super) async fn show(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    // Without a script, the preview button sends every field of the form.
    let known = [
        "device",
        "component",
        "DeviceId",
        "Component",
        "Version",
        "Sequence",
        "Sha256",
        "Reason",
        "Replace",
        "Downgrade",
        "File",
    ];
    let asked = Asked::read(query.as_deref(), &known)?;
    let reservation = app.budget.take(Cost::page(&app.limits)).await?;
    let work_app = app.clone();
    let work = async move { page(&work_app, &tenant, &asked).await };
    app.budget.offload(reservation, work).await?.0
}

async fn page(app: &Shared, tenant: &Tenant, asked: &Asked) -> Result {
    let view = View::of(app, tenant, Section::Devices);
    let Some(device) = asked.text("DeviceId").or_else(|| asked.text("device")) else {
        return choose_device(&view, app, tenant).await;
    };
    let device = Id::new(device).map_err(Problem::not_found)?;
    let store = app.tenanted(tenant);
    let found = store.get::<Device>(device.as_str()).await;
    let (found, _) = found.map_err(|error| Problem::of_store(&error, format_args!("Device/{device}")))?;
    let ids = [device.as_str().to_owned()];
    let mut of_device =
        OfDevices::read(&store, &ids, false, CHOICES).await.map_err(LifecycleError::Store).map_err(failed)?;
    let members = of_device.members.remove(device.as_str()).unwrap_or_default();
    let updates = Updates::read(app, tenant, members.components.iter()).await.map_err(failed)?;
    let tree = components(&members.components);
    let chosen = asked.text("Component").or_else(|| asked.text("component"));
    let component = members.components.iter().find(|component| Some(id(*component)) == chosen);
    let before = match component {
        Some(component) => before(app, tenant, component, &updates, asked).await?,
        None => html! { p { "Choose the component: what is replaced is said here before anything is sent." } },
    };
    let content = html! {
        p.crumbs { a href=(view.page("devices")) { "Devices" } " / " a href={ (view.page("devices")) "/" (device) } { (short(name(&found))) " (" (device) ")" } }
        h1 { "Send an update to " (short(name(&found))) }
        @if members.components.is_empty() {
            p.empty { "This device has no components, and an update is always for one." }
        } @else {
            form.panel method="post" action={ (view.path()) "/updates" } enctype="multipart/form-data" data-send={ (view.page("send")) } {
                input type="hidden" name="DeviceId" value=(device);
                fieldset.choices {
                    legend { "Component" }
                    @for root in tree.root_components() { (choices(root, 0, chosen, &updates)) }
                    @if of_device.cut { p.note { "Not all of its components are listed: there are more than " (CHOICES) "." } }
                }
                (fields(Some(asked)))
                section #before.before aria-label="What will happen" aria-live="polite" { (before) }
                div.buttons {
                    (submit(&view))
                    button formmethod="get" formenctype="application/x-www-form-urlencoded" formaction=(view.page("send")) formnovalidate
                        data-check { "Say what will happen" }
                }
            }
            div #answer.answer role="status" aria-live="polite" hidden {}
        }
    };
    view.ok("Send an update", &content)
}

/// Lets the user choose a device first.
async fn choose_device(view: &View<'_>, app: &Shared, tenant: &Tenant) -> Result {
    let search = Search::new(ResourceType::Device).limit(DEVICES);
    let of_store = |error| Problem::of_store(&error, "the devices");
    let found = app.tenanted(tenant).search(&search).await.map_err(of_store)?;
    let devices: std::result::Result<Vec<Device>, _> = found.items.iter().map(Device::from_version).collect();
    let content = html! {
        h1 { "Send an update" }
        p { "For which device? " a href=(view.page("devices")) { "Search all devices" } }
        ul.list {
            @for device in &devices.map_err(of_store)? {
                li { a href={ (view.page("send")) "?device=" (id(device)) } { (short(name(device))) " (" (id(device)) ")" } }
            }
        }
    };
    view.ok("Send an update", &content)
}

/// Returns the fields other than device and component.
fn fields(asked: Option<&Asked>) -> Markup {
    let given = |name| asked.and_then(|asked| asked.text(name));
    html! {
        div.grid {
            div.field { label for="version" { "Version" } input #version name="Version" value=[given("Version")] placeholder="4.2.0" maxlength="200" autocomplete="off"; }
            div.field {
                label for="sequence" { "Sequence number" }
                input #sequence name="Sequence" value=[given("Sequence")] inputmode="numeric" pattern="[0-9]*" placeholder="42" autocomplete="off" aria-describedby="sequence-hint";
                small #sequence-hint { "Optional; each must be higher than the last." }
            }
        }
        div.field {
            label for="sha256" { "SHA-256 that the manufacturer gives" }
            input #sha256 name="Sha256" value=[given("Sha256")] pattern="[0-9a-fA-F]{64}" maxlength="64" autocomplete="off" spellcheck="false" aria-describedby="sha256-hint";
            small #sha256-hint { "Optional, 64 hexadecimal digits. The file is compared with it before and after it is sent." }
        }
        details {
            summary { "A version again, or an earlier one" }
            label.check { input type="checkbox" name="Replace" value="true"; " Replace the file that this version had" }
            label.check { input type="checkbox" name="Downgrade" value="true"; " Go back to a version below the reported one" }
            div.field {
                label for="reason" { "Reason for going back" }
                input #reason name="Reason" value=[given("Reason")] maxlength="1000" autocomplete="off" aria-describedby="reason-hint";
                small #reason-hint { "It stays in the records; name no patient." }
            }
        }
        div.field.drop data-drop {
            label for="file" { "File" }
            input #file type="file" name="File" required aria-describedby="file-hint";
            small #file-hint { "Choose it, or drop it here." }
            p.digest data-digest role="status" {}
        }
    }
}

/// Returns the submit button of the form: it asks for a page as the answer, where a program gets FHIR at the same URL.
fn submit(view: &View<'_>) -> Markup {
    html! { button.primary formaction={ (view.path()) "/updates?answer=page" } { "Send the update" } }
}

/// Returns the choices of a component and those below it. None is preselected.
fn choices(member: Node<'_, '_>, depth: usize, chosen: Option<&str>, updates: &Updates) -> Markup {
    let own = member.id().map(Id::as_str).unwrap_or_default();
    let software = member.component().map(|component| reported_versions(component, None)).unwrap_or_default();
    let current = updates.of(own).iter().find(|update| update.status == UpdateStatus::Current);
    html! {
        div.choice {
            label.check {
                input type="radio" name="Component" value=(own) required checked[chosen == Some(own)];
                " " span.level { (level_name(member.level())) } " " b { (short(member.name().unwrap_or("without a name"))) } " " span.id { (own) }
                @if let Some(software) = software.first() { " " span.rev { "reports " b { (short(software)) } } }
                @if let Some(update) = current { " " span.rev { "update " b { (version(update)) } " is available" } }
            }
            @if depth < DEEPEST { @for child in member.children() { (choices(child, depth + 1, chosen, updates)) } }
        }
    }
}

fn version(update: &AvailableUpdate) -> String {
    update
        .version
        .as_ref()
        .map_or_else(|| "without a version".to_owned(), |version| short(version.as_str()).into_owned())
}

/// Returns the effect that an update would have on a component: what it replaces, and which versions are lower or
/// equal.
async fn before(
    app: &UpdateServer,
    tenant: &Tenant,
    component: &DeviceComponent,
    updates: &Updates,
    asked: &Asked,
) -> Result<Markup> {
    let own = id(component);
    let known = updates.of(own);
    let wanted = asked.text("Version").map(str::trim).filter(|version| !version.is_empty());
    let mut lines: Vec<(&str, Markup)> = Vec::new();
    match known.iter().find(|update| update.status == UpdateStatus::Current) {
        Some(current) => lines.push((
            "info",
            html! {
                "It takes the place of the update " b { (version(current)) } " (" (short(current.file.title.as_str())) ", " (size(current.size))
                "), which is superseded then, and can be made current again."
            },
        )),
        None => lines.push(("info", html! { "No update is available for " b { (own) } " now, so that none is replaced." })),
    }
    if let Some(wanted) = wanted {
        if let Some(same) = known.iter().find(|update| {
            update.status != UpdateStatus::Withdrawn
                && update.version.as_ref().is_some_and(|version| version.as_str() == wanted)
        }) {
            lines.push(("warn", html! {
                "An update of the version " b { (short(wanted)) } " was sent before (" (short(same.file.title.as_str())) "). The same file is taken again; another \
                 one is refused unless you tick " i { "Replace the file that this version had" } "."
            }));
        }
        for reported in reported_versions(component, None).iter().take(4) {
            lines.push(compared(wanted, reported));
        }
    } else {
        for reported in reported_versions(component, None).iter().take(4) {
            lines.push(("info", html! { "It reports the version " b { (short(reported)) } "." }));
        }
    }
    let component = Id::new(own).map_err(Problem::not_found)?;
    let accepted = app.updates.accepted(tenant, &component).await;
    let accepted = accepted.map_err(|error| Problem::of_store(&error, "the sequence numbers"))?;
    if let Some(highest) = accepted.of(None).map(|accepted| accepted.highest) {
        let given = asked.text("Sequence").and_then(|sequence| sequence.trim().parse::<u64>().ok());
        lines.push(match given {
            Some(given) if given > highest => {
                ("info", html! { "The sequence number " (given) " is higher than " (highest) ", the last one." })
            }
            Some(given) => {
                ("bad", html! { "The sequence number " (given) " is refused: it must be higher than " (highest) "." })
            }
            None => ("warn", html! { "It accepted the sequence number " (highest) ": the update needs a higher one." }),
        });
    }
    Ok(html! {
        h2 { "What will happen" }
        ul.list { @for (kind, line) in &lines { li class=(kind) { (line) } } }
    })
}

/// Returns a comparison of a version with the one that a component reports.
fn compared(wanted: &str, reported: &str) -> (&'static str, Markup) {
    let order = VersionScheme::inferred(wanted, reported).and_then(|scheme| scheme.compare_texts(wanted, reported));
    let (wanted, reported) = (short(wanted), short(reported));
    match order {
        Some(Ordering::Less) => (
            "bad",
            html! {
                b { (wanted) } " is lower than " b { (reported) } ", which it reports: it is refused unless you tick "
                i { "Go back to a version below the reported one" } " and give a reason."
            },
        ),
        Some(Ordering::Equal) => ("warn", html! { "It reports the version " b { (reported) } " already." }),
        Some(Ordering::Greater) => {
            ("good", html! { b { (wanted) } " is higher than " b { (reported) } ", which it reports." })
        }
        None if wanted == reported => ("warn", html! { "It reports the version " b { (reported) } " already." }),
        None => (
            "info",
            html! { "It reports " b { (reported) } ", which cannot be put before or after " b { (wanted) } "." },
        ),
    }
}

/// Returns the form on the page of the fleet: for the devices on that page, where they have few components.
pub(super) fn quick_form(view: &View<'_>, devices: &[Device], of_devices: &OfDevices) -> Markup {
    let none = Members::default();
    let all: Vec<(&Device, &[DeviceComponent])> = devices
        .iter()
        .map(|device| (device, of_devices.members.get(id(device)).unwrap_or(&none).components.as_slice()))
        .collect();
    let count: usize = all.iter().map(|(_, own)| own.len()).sum();
    html! {
        @if count > QUICK_CHOICES {
            p { "Choose " i { "Send an update" } " at a device above. A device can also be named here:" }
        } @else {
            p { "To one of the devices above." }
        }
        form method="post" action={ (view.path()) "/updates" } enctype="multipart/form-data" data-send={ (view.page("send")) } {
            div.grid {
                div.field {
                    label for="device-id" { "Device" }
                    @if count > QUICK_CHOICES || all.is_empty() {
                        input #device-id name="DeviceId" required placeholder="its id" autocomplete="off";
                    } @else {
                        select #device-id name="DeviceId" required {
                            option value="" { "choose a device" }
                            @for (device, _) in &all { option value=(id(*device)) { (short(name(device))) " (" (id(*device)) ")" } }
                        }
                    }
                }
                div.field {
                    label for="component" { "Component" }
                    @if count > QUICK_CHOICES || all.is_empty() {
                        input #component name="Component" required placeholder="its id, or mds, vmd, channel" autocomplete="off";
                    } @else {
                        select #component name="Component" required {
                            option value="" { "choose a component" }
                            @for (device, own) in &all {
                                @let tree = components(own);
                                optgroup label={ (short(name(device))) " (" (id(*device)) ")" } data-device=(id(*device)) { (options(&tree)) }
                            }
                        }
                    }
                }
            }
            (fields(None))
            section #before.before aria-label="What will happen" aria-live="polite" hidden {}
            div.buttons { (submit(view)) }
        }
        div #answer.answer role="status" aria-live="polite" hidden {}
    }
}

fn options(tree: &Tree<'_>) -> Markup {
    fn below(member: Node<'_, '_>, depth: usize) -> Markup {
        let own = member.id().map(Id::as_str).unwrap_or_default();
        let software = member.component().and_then(|component| revisions(component, SpecType::SoftwareRevision).next());
        html! {
            option value=(own) {
                ("\u{2003}".repeat(depth)) (level_name(member.level())) ": " (short(member.name().unwrap_or("without a name"))) " (" (own) ")"
                @if let Some(software) = software { ", " (short(software)) }
            }
            @if depth < DEEPEST { @for child in member.children() { (below(child, depth + 1)) } }
        }
    }
    html! { @for root in tree.root_components() { (below(root, 0)) } }
}

/// Returns the answer page of an accepted update.
pub(in super::super) fn received(
    app: &UpdateServer,
    tenant: &Tenant,
    status: StatusCode,
    received: &Received,
) -> Answer {
    let view = View::of(app, tenant, Section::Devices);
    let component = &received.component;
    let own = id(component);
    let name = value(&component.r#type.text).unwrap_or(own);
    let device = super::members::target(component.source.as_ref());
    let update = &received.update;
    let content = html! {
        section #answer.answer.good role="status" data-status=(status.as_u16()) {
            @if received.replayed { h1 { "This update had been taken before." } } @else { h1 { "The update is now available for " (short(name)) "." } }
            p {
                b { (version(update)) } ", " (short(update.file.title.as_str())) ", " (size(update.size)) ". DeviceComponent/" (own) " is in version "
                (received.version) ", since " (time(received.last_updated)) "."
            }
            p.told { "SHA-256 as it was received: " code.digest { (update.sha256) } }
            p.actions {
                a.button href={ (view.page("updates")) "/" (update.id) } { "Look at the update" }
                @if let Some(device) = device { a.button href={ (view.page("devices")) "/" (device) } { "Look at the device" } }
            }
        }
    };
    view.answer(status, "The update is taken", &content)
}
