//! The devices of a tenant, with what is in them.

use super::escape;
use crate::containment::{Node, components};
use crate::datatype::{CodeableConcept, Literal, Primitive, Reference, Target};
use crate::nomenclature::Level;
use crate::primitive::{Id, Instant, Text};
use crate::resource::device_component::SpecType;
use crate::resource::{Device, DeviceComponent, DeviceMetric};
use crate::service::{IngestId, KnownDamage, LifecycleError, UpdateService};
use crate::store::{BlobKey, Result, Search, Stored, Tenant, TenantResources};
use crate::update::{AvailableUpdate, UpdateStatus, is_available_update};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::num::NonZeroU32;

/// The most resources of a type that a page shows.
const MAX_SHOWN: usize = 2_000;

/// The most bytes of resources of a type that a page shows.
const MAX_BYTES: usize = 2 << 20;

/// A resource of more bytes is not shown.
const MAX_EACH: usize = 64 << 10;

/// How many damaged files are read at a time.
const DAMAGED_PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// What a page shows.
pub(crate) struct Fleet {
    /// The devices, each with its components.
    devices: Vec<(Device, Vec<DeviceComponent>)>,
    metrics: Vec<DeviceMetric>,
    /// The updates of each component that its ledger knows, by the id of the component.
    updates: BTreeMap<String, Vec<AvailableUpdate>>,
    /// Those of them whose file is damaged.
    damaged: BTreeMap<IngestId, KnownDamage>,
    /// Not all resources are shown: there are too many, or they are too large.
    cut: bool,
}

impl Fleet {
    /// Reads everything of a tenant.
    pub(crate) async fn read(store: &TenantResources, service: &UpdateService) -> Result<Self, LifecycleError> {
        let (devices, more_devices) = all::<Device>(store).await?;
        let (parts, more_parts) = all::<DeviceComponent>(store).await?;
        let (metrics, more_metrics) = all::<DeviceMetric>(store).await?;
        let mut updates = BTreeMap::new();
        for part in &parts {
            if part.extension.iter().any(|extension| is_available_update(extension.url.as_str())) {
                updates.insert(id(part).to_owned(), service.updates_of(store.tenant(), part).await?);
            }
        }
        let damaged = damaged(service, store.tenant(), updates.values().flatten()).await?;
        let mut of_device: BTreeMap<String, Vec<DeviceComponent>> = BTreeMap::new();
        for part in parts {
            of_device.entry(target(&part.source).unwrap_or_default().to_owned()).or_default().push(part);
        }
        let devices = devices.into_iter().map(|device| {
            let own = of_device.remove(id(&device)).unwrap_or_default();
            (device, own)
        });
        let cut = more_devices || more_parts || more_metrics;
        Ok(Self { devices: devices.collect(), metrics, updates, damaged, cut })
    }

    /// Returns whether the tenant has no device.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Returns the devices to choose from.
    pub(crate) fn device_options(&self) -> String {
        let mut html = String::new();
        for (device, _) in &self.devices {
            let (id, name) = (escape(id(device)), escape(device_name(device)));
            let _ = write!(html, "<option value=\"{id}\">{name} ({id})</option>");
        }
        html
    }

    /// Returns the components to choose from, in groups, one a device.
    pub(crate) fn component_options(&self) -> String {
        let mut html = String::new();
        for (device, parts) in &self.devices {
            let tree = components(parts);
            let _ = write!(
                html,
                "<optgroup label=\"{}\" data-device=\"{}\">",
                escape(device_name(device)),
                escape(id(device))
            );
            for root in tree.root_components() {
                option(root, 0, &mut html);
            }
            html.push_str("</optgroup>");
        }
        html
    }

    /// Returns the trees.
    pub(crate) fn html(&self, tenant: &Tenant, path: &str) -> String {
        if self.is_empty() {
            return format!(
                "<p class=\"empty\">The tenant <b>{tenant}</b> has no devices. Send one to \
                 <code>{path}/fhir/Device</code>.</p>"
            );
        }
        let mut html = String::new();
        if self.cut {
            let _ = write!(
                html,
                "<p class=\"empty\">Not all resources are shown: at most {MAX_SHOWN} of each type, and none that is large.</p>"
            );
        }
        for (device, parts) in &self.devices {
            self.device(path, device, parts, &mut html);
        }
        html
    }

    fn device(&self, path: &str, device: &Device, parts: &[DeviceComponent], html: &mut String) {
        let tree = components(parts);
        let own = id(device);
        let status = device.status.as_ref().and_then(|status| status.value).map(|status| status.as_str());
        let facts = [
            ("Manufacturer", value(&device.manufacturer)),
            ("Model", value(&device.model)),
            ("Software", value(&device.version)),
            ("Location", device.location.as_ref().and_then(shown)),
            ("Owner", device.owner.as_ref().and_then(shown)),
        ];
        let _ = write!(
            html,
            "<article class=\"device\"><header><h2>{}</h2>{}<a class=\"id\" href=\"{path}/fhir/Device/{}\">Device/{}</a></header><dl>",
            escape(device_name(device)),
            badge(status.unwrap_or("status unknown")),
            escape(own),
            escape(own),
        );
        for (name, value) in facts {
            if let Some(value) = value {
                let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
            }
        }
        html.push_str("</dl><ul class=\"tree\">");
        for root in tree.root_components() {
            self.component(path, root, 0, html);
        }
        let loose = |metric: &&DeviceMetric| {
            target(&metric.source) == Some(own)
                && target(&metric.parent).is_none_or(|parent| tree.get(parent).is_none())
        };
        for one in self.metrics.iter().filter(loose) {
            metric(path, one, html);
        }
        html.push_str("</ul></article>");
    }

    fn component(&self, path: &str, member: Node<'_, '_>, depth: usize, html: &mut String) {
        let own = member.id().map(Id::as_str).unwrap_or_default();
        let level = member.level().map_or("?", level_name);
        let _ = write!(
            html,
            "<li><div class=\"row\"><span class=\"level\">{level}</span><span class=\"name\">{}</span>",
            escape(member.name().unwrap_or("without a name")),
        );
        if let Some(part) = member.component() {
            let _ = write!(html, "{}{}", code(&part.r#type), operational(part));
            for (kind, text) in revisions(part) {
                let _ = write!(html, "<span class=\"rev\">{kind} <b>{}</b></span>", escape(text));
            }
        }
        let link = escape(own);
        let _ = write!(html, "<a class=\"id\" href=\"{path}/fhir/DeviceComponent/{link}\">{link}</a></div>");
        for update in self.updates.get(own).into_iter().flatten() {
            update_row(path, update, self.damaged.get(&update.id), html);
        }
        html.push_str("<ul>");
        // Devices have four levels; what goes deeper is somebody's mistake, and must not exhaust the stack.
        if depth < 32 {
            for child in member.children() {
                self.component(path, child, depth + 1, html);
            }
        }
        for one in self.metrics.iter().filter(|metric| target(&metric.parent) == Some(own)) {
            metric(path, one, html);
        }
        html.push_str("</ul></li>");
    }
}

async fn all<T: Stored>(store: &TenantResources) -> Result<(Vec<T>, bool)> {
    let mut search = Search::new(T::TYPE).limit(50);
    let (mut found, mut bytes, mut seen, mut cut) = (Vec::new(), 0_usize, 0_usize, false);
    loop {
        let page = store.search(&search).await?;
        for version in &page.items {
            let size = version.body.as_ref().map_or(0, bytes::Bytes::len);
            seen = seen.saturating_add(1);
            if size > MAX_EACH || bytes.saturating_add(size) > MAX_BYTES {
                cut = true;
                continue;
            }
            bytes = bytes.saturating_add(size);
            found.push(T::from_version(version)?);
        }
        match page.next {
            Some(_) if seen >= MAX_SHOWN || bytes.saturating_add(MAX_EACH) > MAX_BYTES => return Ok((found, true)),
            Some(next) => search.after = Some(next),
            None => return Ok((found, cut)),
        }
    }
}

fn id<T: Stored>(resource: &T) -> &str {
    resource.logical_id().map(crate::primitive::Id::as_str).unwrap_or_default()
}

/// Returns the id of the resource that a reference points at.
fn target<T: Target>(reference: &Option<Reference<T>>) -> Option<&str> {
    match reference.as_ref()?.literal()? {
        Literal::Relative { id, .. } | Literal::Absolute { id, .. } => Some(id),
        _ => None,
    }
}

fn value(text: &Option<Primitive<Text>>) -> Option<&str> {
    text.as_ref()?.value.as_ref().map(Text::as_str)
}

/// Returns a reference as people read it.
fn shown<T: Target>(reference: &Reference<T>) -> Option<&str> {
    value(&reference.display).or_else(|| value(&reference.reference))
}

fn device_name(device: &Device) -> &str {
    let kind = device.r#type.as_ref().and_then(|kind| value(&kind.text));
    let label = device.udi.as_ref().and_then(|udi| value(&udi.name));
    label.or(kind).or_else(|| value(&device.model)).unwrap_or("Device without a name")
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Mds => "MDS",
        Level::Vmd => "VMD",
        Level::Channel => "Channel",
    }
}

fn option(member: Node<'_, '_>, depth: usize, html: &mut String) {
    let id = escape(member.id().map(Id::as_str).unwrap_or_default());
    let name = escape(member.name().unwrap_or("without a name"));
    let level = member.level().map_or("?", level_name);
    let indent = "\u{2003}".repeat(depth);
    let _ = write!(html, "<option value=\"{id}\">{indent}{level}: {name} ({id})</option>");
    if depth < 32 {
        for child in member.children() {
            option(child, depth + 1, html);
        }
    }
}

fn code(concept: &CodeableConcept) -> String {
    let Some(coding) = concept.coding.first() else { return String::new() };
    let code = coding.code.as_ref().and_then(|code| code.value.as_ref()).map(AsRef::as_ref).unwrap_or_default();
    let name = value(&coding.display).unwrap_or_default();
    format!("<span class=\"code\" title=\"{}\">{}</span>", escape(name), escape(code))
}

fn badge(status: &str) -> String {
    format!("<span class=\"badge {0}\">{0}</span>", escape(status))
}

fn operational(part: &DeviceComponent) -> String {
    let codes = part.operational_status.iter().flat_map(|status| &status.coding);
    let codes = codes.filter_map(|coding| coding.code.as_ref()?.value.as_ref().map(|code| badge(code.as_str())));
    codes.collect()
}

/// Returns what the production specifications say about software and firmware.
fn revisions(part: &DeviceComponent) -> impl Iterator<Item = (&'static str, &str)> {
    part.production_specification.iter().filter_map(|specification| {
        let kinds = [(SpecType::SoftwareRevision, "software"), (SpecType::FirmwareRevision, "firmware")];
        let (_, name) = kinds.into_iter().find(|(of, _)| specification.is_about(*of))?;
        Some((name, value(&specification.production_spec)?))
    })
}

fn update_row(path: &str, update: &AvailableUpdate, damage: Option<&KnownDamage>, html: &mut String) {
    let (class, words) = match update.status {
        UpdateStatus::Current => ("update", "Update available"),
        UpdateStatus::Superseded => ("update old", "Superseded update"),
        UpdateStatus::Withdrawn => ("update old", "Withdrawn update"),
    };
    let class = if damage.is_some() { "update damaged" } else { class };
    let version = update.version.as_ref().map(|version| format!(" <b>{}</b>", escape(version))).unwrap_or_default();
    let _ = write!(html, "<div class=\"{class}\">{words}{version}: ");
    // What is stored may be any uri; only an address of the web becomes a link.
    let (url, title) = (update.file.url.as_str(), escape(&update.file.title));
    let is_offered = update.status != UpdateStatus::Withdrawn;
    // A damaged file is not given out.
    if is_offered && damage.is_none() && (url.starts_with("http://") || url.starts_with("https://")) {
        let _ = write!(html, "<a href=\"{}\">{title}</a>", escape(url));
    } else {
        html.push_str(&title);
    }
    let _ = write!(html, ", {}", size(update.size));
    let _ = write!(html, " <span class=\"digest\" title=\"SHA-256 {0}\">SHA-256 {0}</span>", update.sha256);
    let own = format!("{path}/updates/{}", update.id);
    let _ = write!(html, " <span class=\"more\"><a href=\"{own}\">state</a> <a href=\"{own}/audit\">records</a>");
    if update.status == UpdateStatus::Superseded {
        let _ = write!(html, " <button type=\"button\" data-restore=\"{own}\">Make current</button>");
    }
    if is_offered {
        let _ = write!(html, " <button type=\"button\" data-withdraw=\"{own}\">Withdraw</button>");
    }
    html.push_str("</span>");
    if let Some(KnownDamage { since, what, .. }) = damage {
        let since = Instant::try_from(*since).map(|since| since.to_string()).unwrap_or_default();
        let (since, what) = (escape(since), escape(what));
        let _ = write!(
            html,
            "<p class=\"damage\">The file is damaged, and is not given out (found {since}: {what}). Send the same file again \
             to replace it.</p>"
        );
    }
    html.push_str("</div>");
}

/// Those of the updates whose file is known to be damaged. Where no file is, none of them is looked up.
async fn damaged(
    service: &UpdateService,
    tenant: &Tenant,
    updates: impl Iterator<Item = &AvailableUpdate>,
) -> Result<BTreeMap<IngestId, KnownDamage>, LifecycleError> {
    let (mut files, mut after) = (BTreeMap::new(), None);
    while files.len() < MAX_SHOWN {
        let page = service.damaged_files(tenant, DAMAGED_PAGE, after.as_ref()).await?;
        files.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let digests: BTreeSet<_> = files.keys().map(|key: &BlobKey| key.digest).collect();
    let mut damaged = BTreeMap::new();
    for update in updates.filter(|update| digests.contains(&update.sha256)) {
        let file = service.upload(tenant, update.id).await?.state.key();
        damaged.extend(file.and_then(|file| files.get(&file)).map(|damage| (update.id, damage.clone())));
    }
    Ok(damaged)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}

fn metric(path: &str, metric: &DeviceMetric, html: &mut String) {
    let link = escape(id(metric));
    let name = value(&metric.r#type.text).unwrap_or(&link);
    let unit = metric.unit.as_ref().and_then(|unit| value(&unit.text));
    let unit = unit.map(|unit| format!(" <span class=\"unit\">{}</span>", escape(unit))).unwrap_or_default();
    let status = metric.operational_status.as_ref().and_then(|status| status.value);
    let category = metric.category.value.map(|category| category.as_str()).unwrap_or_default();
    let _ = write!(
        html,
        "<li class=\"metric\"><div class=\"row\"><span class=\"level\">Metric</span><span class=\"name\">{}{unit}</span>{}{}\
         <span class=\"rev\">{category}</span><a class=\"id\" href=\"{path}/fhir/DeviceMetric/{link}\">{link}</a></div></li>",
        escape(name),
        code(&metric.r#type),
        status.map(|status| badge(status.as_str())).unwrap_or_default(),
    );
}
