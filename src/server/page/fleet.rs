//! The fleet: the devices of a tenant, searched, filtered and paged by the store, so that a page reads no more of them
//! than it shows.

use super::super::budget::Cost;
use super::super::place::AtTenant;
use super::super::rollouts::problem as rollout_problem;
use super::super::{Shared, demo, maintenance};
use super::members::{self, OfDevices, Updates, id, may_have_update, name, revisions, shown, value};
use super::text::{badge, short};
use super::tree::Drawing;
use super::{Asked, Problem, Result, Section, View, failed, pager, send};
use crate::containment::{Profile, Tree, components};
use crate::issue::Severity;
use crate::manifest::ReleaseId;
use crate::resource::device_component::SpecType;
use crate::resource::{Device, DeviceComponent};
use crate::search::{Criterion, Parameter, ResourceType, TokenMatch};
use crate::service::LifecycleError;
use crate::store::{Capabilities, Page, PageToken, Search, SearchOrder, StoreError, Stored as _, Tenant};
use crate::update::UpdateStatus;
use crate::update::release::Release;
use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use url::form_urlencoded;

/// Number of devices on a page.
const SHOWN: u32 = 20;

/// Maximum bytes of components and metrics drawn on a page.
const DRAWN: usize = 30_000;

/// Maximum number of components read for the devices of a page.
const READ: usize = 600;

/// For filters without an index: the maximum number of devices that a page scans, and for how long.
const LOOKED_THROUGH: usize = 2_000;

/// Number of devices whose components are read together, and number of matches that fill a page of a scan.
const TOGETHER: u32 = 10;
const LOOKS_FOR: Duration = Duration::from_millis(1_500);

/// Number of releases to choose from.
const RELEASES: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// The parameters of the page.
const PARAMETERS: [&str; 11] =
    ["tenant", "q", "manufacturer", "model", "location", "status", "update", "below", "findings", "sort", "_page"];

/// `GET /?tenant=NAME`
pub(super) async fn home(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result {
    let named = query.as_deref().unwrap_or_default().as_bytes();
    let named = form_urlencoded::parse(named).find(|(name, _)| name == "tenant").map(|(_, value)| value);
    let named = named.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or(demo::TENANT);
    let tenant: Tenant = named.parse().map_err(Problem::not_found)?;
    show(State(app), AtTenant(tenant), RawQuery(query)).await
}

/// `GET /TENANT/pages/devices`
pub(super) async fn show(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let wanted = Wanted::read(query.as_deref())?;
    let reservation = app.budget.take(Cost::page(&app.limits)).await?;
    let (work_app, work_tenant) = (app.clone(), tenant.clone());
    let work = async move { page(&work_app, &work_tenant, &wanted).await };
    let (answered, _reservation) = app.budget.offload(reservation, work).await?;
    let (answer, is_empty) = answered?;
    if !is_empty {
        maintenance::remember_tenant(&app, &tenant).await;
    }
    Ok(answer)
}

/// The search of the user.
struct Wanted {
    asked: Asked,
    below: Option<ReleaseId>,
    after: Option<PageToken>,
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Self> {
        let asked = Asked::read(query, &PARAMETERS)?;
        Ok(Self { below: asked.value("below")?, after: asked.value("_page")?, asked })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.asked.text(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// Returns the criteria that the index of the store supports.
    fn criteria(&self, capabilities: &Capabilities) -> Vec<Criterion> {
        let begins = |parameter, text: &str| match capabilities.search_beginnings {
            true => Criterion::begins(parameter, text),
            false => Criterion::value(parameter, text),
        };
        let mut all = Vec::new();
        if let Some(text) = self.text("q") {
            let mut any = vec![Criterion::Id(text.into()), Criterion::identifier(TokenMatch::Value(text.into()))];
            let texts = [Parameter::DeviceName, Parameter::Manufacturer, Parameter::Model, Parameter::UdiDi];
            any.extend(texts.map(|parameter| begins(parameter, text)));
            all.push(Criterion::AnyOf(any));
        }
        for (name, parameter) in [("manufacturer", Parameter::Manufacturer), ("model", Parameter::Model)] {
            all.extend(self.text(name).map(|text| begins(parameter, text)));
        }
        if let Some(location) = self.text("location") {
            let place = if location.contains('/') { location.to_owned() } else { format!("Location/{location}") };
            all.push(Criterion::value(Parameter::Location, &place));
        }
        all.extend(
            self.text("status").map(|status| Criterion::is(Parameter::Status, TokenMatch::Value(status.into()))),
        );
        all
    }

    fn order(&self, capabilities: &Capabilities) -> SearchOrder {
        match self.text("sort") {
            Some("updated") if capabilities.search_by_time => SearchOrder::Updated,
            Some("-updated") if capabilities.search_by_time => SearchOrder::UpdatedDescending,
            _ => SearchOrder::Id,
        }
    }

    /// Returns whether a filter needs a scan, because no index supports it.
    fn looks_through(&self) -> bool {
        self.below.is_some() || self.text("update").is_some() || self.text("findings").is_some()
    }

    fn is_filtered(&self) -> bool {
        let filters = ["q", "manufacturer", "model", "location", "status", "update", "below", "findings"];
        filters.iter().any(|name| self.text(name).is_some())
    }
}

/// The devices of one page.
struct Found {
    devices: Vec<Device>,
    next: Option<PageToken>,
    /// The number of devices scanned, where a scan was needed.
    looked_through: Option<usize>,
}

async fn page(app: &Shared, tenant: &Tenant, wanted: &Wanted) -> Result<(super::Answer, bool)> {
    let (view, store) = (View::of(app, tenant, Section::Devices), app.tenanted(tenant));
    let capabilities = store.capabilities();
    let releases =
        app.rollouts().releases(tenant, RELEASES, None).await.map_err(|error| rollout_problem(&error))?.items;
    let release = match wanted.below {
        Some(id) => Some(app.rollouts().release_of(tenant, id).await.map_err(|error| rollout_problem(&error))?),
        None => None,
    };
    let mut search = Search::new(ResourceType::Device).limit(SHOWN).order(wanted.order(&capabilities));
    search.all_of = wanted.criteria(&capabilities);
    search.after.clone_from(&wanted.after);
    let found = find(app, tenant, wanted, release.as_ref(), search).await?;
    let ids: Vec<String> = found.devices.iter().map(|device| id(device).to_owned()).collect();
    let of_devices = OfDevices::read(&store, &ids, true, READ).await.map_err(LifecycleError::Store).map_err(failed)?;
    let all = of_devices.members.values().flat_map(|members| &members.components);
    let updates = Updates::read(app, tenant, all).await.map_err(failed)?;
    let list = rows(&view, &found, &of_devices, &updates);
    let is_first = wanted.after.is_none();
    let is_empty = found.devices.is_empty() && is_first && !wanted.is_filtered();
    let path = view.page("devices");
    let content = html! {
        h1 { "Devices" }
        (filters(&view, wanted, &releases, &capabilities))
        @if let Some(count) = found.looked_through {
            p.note role="status" {
                "Available updates, software versions and findings are in no index of the store: " (count) " devices were looked \
                 through for this page"
                @if found.next.is_some() { ", and more follow on the next page" }
                "."
            }
        }
        @if is_empty {
            p.empty { "The tenant " b { (tenant) } " has no devices. Send one to " code { (view.path()) "/fhir/Device" } "." }
        } @else if found.devices.is_empty() {
            p.empty { @if found.next.is_some() { "None of these devices is meant: look at the next page." } @else { "No device is meant." } }
        }
        section #fleet aria-label="Devices" { (list) }
        (pager(&wanted.asked, &path, found.next.as_ref().map(PageToken::as_str)))
        section.panel aria-labelledby="quick" {
            h2 #quick { "Send an update" }
            (send::quick_form(&view, &found.devices, &of_devices))
        }
    };
    Ok((view.ok("Devices", &content)?, is_empty))
}

/// Finds the devices of a page: by the index alone, or by scanning the results of the index.
async fn find(
    app: &Shared,
    tenant: &Tenant,
    wanted: &Wanted,
    release: Option<&Release>,
    mut search: Search,
) -> Result<Found> {
    let store = app.tenanted(tenant);
    let of_store = |error: StoreError| Problem::of_store(&error, "the devices");
    if !wanted.looks_through() {
        let Page { items, next } = store.search(&search).await.map_err(of_store)?;
        let devices =
            items.iter().map(Device::from_version).collect::<std::result::Result<_, _>>().map_err(of_store)?;
        return Ok(Found { devices, next, looked_through: None });
    }
    let (began, mut devices, mut looked_through) = (Instant::now(), Vec::new(), 0);
    search = search.limit(TOGETHER);
    loop {
        let Page { items, next } = store.search(&search).await.map_err(of_store)?;
        looked_through += items.len();
        let some: Vec<Device> =
            items.iter().map(Device::from_version).collect::<std::result::Result<_, _>>().map_err(of_store)?;
        let ids: Vec<String> = some.iter().map(|device| id(device).to_owned()).collect();
        let members = OfDevices::read(&store, &ids, false, 2 * READ).await.map_err(of_store)?.members;
        for device in some {
            let own = members.get(id(&device)).map(|members| members.components.as_slice()).unwrap_or_default();
            if is_meant(app, tenant, wanted, release, own).await? {
                devices.push(device);
            }
        }
        let is_enough =
            devices.len() >= TOGETHER as usize || looked_through >= LOOKED_THROUGH || began.elapsed() >= LOOKS_FOR;
        match next {
            Some(next) if !is_enough => search.after = Some(next),
            next => return Ok(Found { devices, next, looked_through: Some(looked_through) }),
        }
    }
}

/// Returns whether a device with these components matches the filters that no index supports.
async fn is_meant(
    app: &Shared,
    tenant: &Tenant,
    wanted: &Wanted,
    release: Option<&Release>,
    own: &[DeviceComponent],
) -> Result<bool> {
    if wanted.text("findings").is_some() && findings(&components(own)) == 0 {
        return Ok(false);
    }
    if wanted.text("update").is_some() {
        let mut has = false;
        for component in own.iter().filter(|component| may_have_update(component)) {
            let updates = app.updates.updates_of(tenant, component).await.map_err(failed)?;
            has |= updates.iter().any(|update| update.status == UpdateStatus::Current);
        }
        if !has {
            return Ok(false);
        }
    }
    let Some(release) = release else { return Ok(true) };
    for component in own {
        let behind = app.rollouts().is_behind(tenant, release, component).await;
        if behind.map_err(|error| rollout_problem(&error))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the number of findings in the tree of a device.
pub(super) fn findings(tree: &Tree<'_>) -> usize {
    let report = tree.report(Profile::Base);
    report
        .iter()
        .filter(|issue| matches!(issue.severity, Severity::Error | Severity::Warning | Severity::Fatal))
        .count()
}

fn filters(view: &View<'_>, wanted: &Wanted, releases: &[Release], capabilities: &Capabilities) -> Markup {
    let input = |name: &'static str, words: &str, hint: &str| {
        html! {
            div.field {
                label for=(name) { (words) }
                input id=(name) name=(name) value=[wanted.text(name)] placeholder=(hint) maxlength="200" autocomplete="off";
            }
        }
    };
    let option = |name: &str, value: &str, words: &str| {
        html! { option value=(value) selected[wanted.text(name).unwrap_or_default() == value] { (words) } }
    };
    let more = ["manufacturer", "model", "location", "status", "update", "below", "findings", "sort"];
    let is_open = more.iter().any(|name| wanted.text(name).is_some());
    html! {
        form.filters method="get" action=(view.page("devices")) role="search" aria-label="Devices" {
            div.searchline {
                div.field {
                    label for="q" { "Search: how the name, manufacturer, model or device identifier begins, or a whole id" }
                    input #q name="q" type="search" value=[wanted.text("q")] maxlength="200" autocomplete="off";
                }
                button.primary { "Search" }
                @if wanted.is_filtered() { a.button href=(view.page("devices")) { "All devices" } }
            }
            details open[is_open] {
                summary { "Filters and order" }
                div.grid {
                    (input("manufacturer", "Manufacturer begins with", "Acme"))
                    (input("model", "Model begins with", "Flow"))
                    (input("location", "Location", "Location/ward-5"))
                    div.field {
                        label for="status" { "Record" }
                        select #status name="status" {
                            (option("status", "", "any")) (option("status", "active", "active"))
                            (option("status", "inactive", "inactive")) (option("status", "entered-in-error", "entered in error"))
                        }
                    }
                    div.field {
                        label for="update" { "Update" }
                        select #update name="update" { (option("update", "", "any")) (option("update", "available", "one is available")) }
                    }
                    div.field {
                        label for="below" { "Software below the release" }
                        select #below name="below" {
                            (option("below", "", "any"))
                            @for release in releases {
                                (option("below", &release.id.to_string(), &short(&format!("{} {}", release.request.name, release.request.version))))
                            }
                        }
                    }
                    div.field {
                        label for="findings" { "Findings" }
                        select #findings name="findings" { (option("findings", "", "any")) (option("findings", "some", "its tree has findings")) }
                    }
                    div.field {
                        label for="sort" { "Order" }
                        select #sort name="sort" {
                            (option("sort", "", "by id"))
                            @if capabilities.search_by_time {
                                (option("sort", "-updated", "newest change first")) (option("sort", "updated", "oldest change first"))
                            }
                        }
                    }
                }
                p.note {
                    "The store finds by name, manufacturer, model, location and record. Update, software and findings are in no index: \
                     the devices are looked through, up to " (LOOKED_THROUGH) " a page."
                }
            }
        }
    }
}

fn rows(view: &View<'_>, found: &Found, of_devices: &OfDevices, updates: &Updates) -> Markup {
    let mut drawing = Drawing { view, updates, every_update: false, left: DRAWN };
    let few = found.devices.len() <= 3;
    let none = members::Members::default();
    html! {
        @if of_devices.cut { p.note { "Not all components of these devices are shown: there are too many, or they are too large." } }
        @for device in &found.devices {
            @let own = id(device);
            @let members = of_devices.members.get(own).unwrap_or(&none);
            @let tree = components(&members.components);
            (row(view, device, members, &tree, updates))
            @if !members.components.is_empty() || !members.metrics.is_empty() {
                details.parts open[few] {
                    summary { "Parts of " (short(name(device))) " (" (own) "): " (members.components.len()) " components, " (members.metrics.len()) " metrics" }
                    (drawing.device(own, members, &tree))
                }
            }
        }
    }
}

fn row(view: &View<'_>, device: &Device, members: &members::Members, tree: &Tree<'_>, updates: &Updates) -> Markup {
    let own = id(device);
    let status =
        device.status.as_ref().and_then(|status| status.value).map_or("status unknown", |status| status.as_str());
    let software =
        members.components.iter().flat_map(|component| revisions(component, SpecType::SoftwareRevision)).next();
    let of_all = members.components.iter().flat_map(|component| updates.of(id(component)));
    let current: Vec<_> = of_all.filter(|update| update.status == UpdateStatus::Current).collect();
    let is_damaged = current.iter().any(|update| updates.damage(update).is_some());
    let findings = findings(tree);
    let facts = [
        ("Manufacturer", value(&device.manufacturer)),
        ("Model", value(&device.model)),
        ("Location", device.location.as_ref().and_then(shown)),
        ("Software", value(&device.version).or(software)),
    ];
    html! {
        article.device {
            div.head {
                h2 { a href={ (view.page("devices")) "/" (own) } { (short(name(device))) } }
                span.id { (own) }
                (badge(status, status))
                @if is_damaged { (badge("bad", "damaged file")) }
                @if !current.is_empty() { (badge("info", "update available")) }
                @if findings > 0 { (badge("warn", &format!("{findings} findings"))) }
            }
            dl {
                @for (name, value) in facts {
                    @if let Some(value) = value { div { dt { (name) } dd { (short(value)) } } }
                }
            }
            p.actions { a.button href={ (view.page("send")) "?device=" (own) } { "Send an update" span.hidden { " to " (short(name(device))) " " (own) } } }
        }
    }
}
