//! Bundles: the addresses of their entries, and what other versions have of them.

use super::carry::{
    BUNDLE_R4, carry_code, carry_taken, plain, push_under, put_restored, restore_code, take_carried, take_under,
};
use super::context::{Context, Key};
use super::json::{Json, Object};
use super::literal::{url_to_component, url_to_device};
use super::options::Ids;
use super::{Direction, Loss};
use crate::datatype::Literal;
use crate::issue::Path;
use std::collections::{BTreeMap, BTreeSet};

const VERBS_STU3: &[&str] = &["GET", "POST", "PUT", "DELETE"];
const TYPES_R4: &[&str] = &[
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
];

/// The search parameters of a DeviceComponent that a Device of R4 has too.
const PARAMETERS: &[&str] = &["identifier", "type"];

/// The urls of an entry: the member that holds the url, its name there, and the extension for what it was.
const URLS: [(&str, &str, &str); 3] = [
    ("", "fullUrl", x3!("Bundle.entry.fullUrl")),
    ("request", "url", x3!("Bundle.entry.request.url")),
    ("response", "location", x3!("Bundle.entry.response.location")),
];

/// The link relations of R5: those registered at IANA, and those that HL7 added.
const RELATIONS: &[&str] = &[
    "about",
    "acl",
    "alternate",
    "amphtml",
    "appendix",
    "apple-touch-icon",
    "apple-touch-startup-image",
    "archives",
    "author",
    "blocked-by",
    "bookmark",
    "canonical",
    "chapter",
    "cite-as",
    "collection",
    "contents",
    "convertedFrom",
    "copyright",
    "create-form",
    "current",
    "describedby",
    "describes",
    "disclosure",
    "dns-prefetch",
    "duplicate",
    "edit",
    "edit-form",
    "edit-media",
    "enclosure",
    "external",
    "first",
    "glossary",
    "help",
    "hosts",
    "hub",
    "icon",
    "index",
    "intervalAfter",
    "intervalBefore",
    "intervalContains",
    "intervalDisjoint",
    "intervalDuring",
    "intervalEquals",
    "intervalFinishedBy",
    "intervalFinishes",
    "intervalIn",
    "intervalMeets",
    "intervalMetBy",
    "intervalOverlappedBy",
    "intervalOverlaps",
    "intervalStartedBy",
    "intervalStarts",
    "item",
    "last",
    "latest-version",
    "license",
    "linkset",
    "lrdd",
    "manifest",
    "mask-icon",
    "media-feed",
    "memento",
    "micropub",
    "modulepreload",
    "monitor",
    "monitor-group",
    "next",
    "next-archive",
    "nofollow",
    "noopener",
    "noreferrer",
    "opener",
    "openid2.local_id",
    "openid2.provider",
    "original",
    "P3Pv1",
    "payment",
    "pingback",
    "preconnect",
    "predecessor-version",
    "prefetch",
    "preload",
    "prerender",
    "prev",
    "preview",
    "previous",
    "prev-archive",
    "privacy-policy",
    "profile",
    "publication",
    "related",
    "restconf",
    "replies",
    "ruleinput",
    "search",
    "section",
    "self",
    "service",
    "service-desc",
    "service-doc",
    "service-meta",
    "sponsored",
    "start",
    "status",
    "stylesheet",
    "subsection",
    "successor-version",
    "sunset",
    "tag",
    "terms-of-service",
    "timegate",
    "timemap",
    "type",
    "ugc",
    "up",
    "version-history",
    "via",
    "webmention",
    "working-copy",
    "working-copy-of",
];

fn entries<'j, 'a>(bundle: &'j mut Object<'a>) -> impl Iterator<Item = &'j mut Object<'a>> {
    let entries = bundle.get_mut("entry").and_then(Json::as_array_mut);
    entries.into_iter().flatten().filter_map(Json::as_object_mut)
}

/// Converts the addresses of one entry, given whether its resource is a component; nothing of a resource of another type.
pub(super) fn entry(ctx: &mut Context<'_>, entry: &mut Object<'_>, component: bool, at: &Path<'_>) {
    for (member, name, carrier) in URLS {
        let holder =
            if member.is_empty() { Some(&mut *entry) } else { entry.get_mut(member).and_then(Json::as_object_mut) };
        let Some(holder) = holder else { continue };
        match ctx.direction {
            Direction::Stu3ToR4 => url_up(ctx, holder, name, carrier, component, at),
            Direction::R4ToStu3 => url_down(ctx, holder, name, carrier, component),
            Direction::R4ToR5 | Direction::R5ToR4 => {}
        }
    }
}

/// What the way back makes of a url.
fn back(url: &str, component: bool, ids: &Ids) -> Option<String> {
    if component { url_to_component(url, ids) } else { None }
}

fn url_up(
    ctx: &mut Context<'_>,
    holder: &mut Object<'_>,
    name: &'static str,
    carrier: &'static str,
    component: bool,
    at: &Path<'_>,
) {
    let Some(url) = holder.text(name) else { return };
    if let Some((_, query)) = url.split_once('?').filter(|(r#type, _)| *r#type == "DeviceComponent") {
        check_query(ctx, query, at);
    }
    let device = url_to_device(url, &ctx.options.ids);
    let written = device.as_deref().unwrap_or(url);
    let found = back(written, component, &ctx.options.ids);
    let told = found.as_deref().unwrap_or(written) == url;
    let Some(device) = device.or_else(|| (!told).then(|| url.to_owned())) else { return };
    let original = holder.get_mut(name).map(|own| std::mem::replace(own, Json::text(device)));
    if !told && let Some(original) = original {
        push_under(holder, name, Object::of([("url", Json::text(carrier)), ("valueUri", original)]));
        let place = super::context::relative(at);
        let element = carrier.rsplit("extension-").next().unwrap_or_default();
        ctx.find(Key::Rewritten, element, "", Some(place.clone()), Some(place));
    }
    if name == "url"
        && component
        && let Some(query) = holder.text("ifNoneExist").map(str::to_owned)
    {
        check_query(ctx, &query, at);
    }
}

fn url_down(ctx: &mut Context<'_>, holder: &mut Object<'_>, name: &'static str, carrier: &str, component: bool) {
    let carried = if holder.has(&super::carry::under(name)) { take_under(holder, name, carrier) } else { None };
    let original = carried.and_then(|mut carried| carried.take("valueUri"));
    if let Some(original) = original {
        let device =
            original.as_text().map(|url| url_to_device(url, &ctx.options.ids).unwrap_or_else(|| url.to_owned()));
        if device.as_deref() == holder.text(name) {
            holder.put(name, original);
        } else {
            super::carry::edited(ctx, "Bundle.entry", name);
        }
    } else if let Some(url) = holder.text(name).and_then(|url| back(url, component, &ctx.options.ids)) {
        holder.put(name, Json::text(url));
    }
}

/// A search for components that asks by what a Device has not has no form in R4.
fn check_query(ctx: &mut Context<'_>, query: &str, at: &Path<'_>) {
    let foreign = query.split('&').filter(|part| !part.is_empty()).find_map(|part| {
        let name = part.split(['=', ':', '.']).next().unwrap_or_default();
        (!name.starts_with('_') && !PARAMETERS.contains(&name)).then(|| name.to_owned())
    });
    if let Some(name) = foreign {
        let detail = format!("a Device of R4 cannot be searched for by `{name}`");
        ctx.lose(Loss::Query, Key::Lost, "Bundle.entry.request", detail, Some(super::context::relative(at)));
    }
}

/// Finds a Device and a component that would have one address in R4, given for each entry whether it is a component.
pub(super) fn collisions(ctx: &mut Context<'_>, bundle: &mut Object<'_>, components: &BTreeMap<usize, bool>) {
    let mut known: BTreeMap<(String, String), bool> = BTreeMap::new();
    for (index, entry) in entries(bundle).enumerate() {
        let Some(component) = components.get(&index).copied() else { continue };
        let id = entry.get("resource").and_then(Json::as_object).and_then(|resource| resource.text("id"));
        let Some(id) = id.map(str::to_owned) else { continue };
        let base = match entry.text("fullUrl").map(Literal::parse) {
            Some(Literal::Absolute { base, .. }) => base.to_owned(),
            _ => String::new(),
        };
        let before = known.entry((base, id)).or_insert(component);
        if *before != component {
            let id = entry.get("resource").and_then(Json::as_object).and_then(|own| own.text("id")).unwrap_or_default();
            let own = match (&ctx.options.ids, component) {
                (Ids::Prefix(prefix), true) => id.strip_prefix(prefix.as_str()).unwrap_or(id).to_owned(),
                _ => id.to_owned(),
            };
            let detail = format!("`Device/{id}` and `DeviceComponent/{own}` are both `Device/{id}` in R4");
            let place = format!("entry[{index}].resource");
            ctx.lose(Loss::Collision, Key::Collision, format!("Bundle.entry[{index}]"), detail, Some(place));
        }
    }
}

/// The ids of the Devices of R4 in a Bundle that are no components.
pub(super) fn devices(bundle: &Object<'_>, is_component: impl Fn(&Object<'_>) -> bool) -> BTreeSet<String> {
    let entries = bundle.get("entry").map(Json::items).unwrap_or_default().iter().filter_map(Json::as_object);
    let resources = entries.filter_map(|entry| entry.get("resource").and_then(Json::as_object));
    let devices = resources.filter(|own| own.text("resourceType") == Some("Device") && !is_component(own));
    devices.filter_map(|own| own.text("id").map(str::to_owned)).collect()
}

/// Converts what a Bundle has itself. It has no extensions of its own: those of `meta` carry what is carried.
pub(super) fn own(ctx: &mut Context<'_>, bundle: &mut Object<'_>) {
    match ctx.direction {
        Direction::Stu3ToR4 => {
            if let Some(meta) = bundle.get_mut("meta").and_then(Json::as_object_mut) {
                let carried = take_carried(meta, BUNDLE_R4, x4!("Bundle."));
                if meta.is_empty() {
                    bundle.take("meta");
                }
                for (row, taken) in BUNDLE_R4.iter().zip(carried) {
                    put_restored(bundle, row, taken, ctx, "Bundle");
                }
            }
            for request in entries(bundle).filter_map(|entry| entry.get_mut("request")?.as_object_mut()) {
                let element = "Bundle.entry.request.method";
                restore_code(request, "method", x4!("Bundle.entry.request.method"), element, ctx);
            }
        }
        Direction::R4ToStu3 => {
            for row in BUNDLE_R4 {
                let taken = row.take(bundle, ctx, "Bundle.timestamp");
                if taken.is_empty() {
                    continue;
                }
                if !bundle.has("meta") {
                    bundle.put("meta", Json::Object(Object::default()));
                }
                let Some(meta) = bundle.get_mut("meta").and_then(Json::as_object_mut) else { continue };
                carry_taken(meta, row, taken, x4!("Bundle."), "Bundle", Some(plain), ctx);
            }
            for request in entries(bundle).filter_map(|entry| entry.get_mut("request")?.as_object_mut()) {
                let url = x4!("Bundle.entry.request.method").to_owned();
                if carry_code(request, "method", VERBS_STU3, url) {
                    ctx.find(Key::Carried, "Bundle.entry.request.method", "", Some("entry".to_owned()), None);
                }
            }
        }
        Direction::R4ToR5 => {
            restore_code(bundle, "type", x5!("Bundle.type"), "Bundle.type", ctx);
            links(bundle, |link| relation_up(ctx, link));
        }
        Direction::R5ToR4 => {
            if bundle.take("issues").is_some() {
                let detail = "a resource cannot be carried in an extension";
                ctx.lose(Loss::Issues, Key::Lost, "Bundle.issues", detail, Some("issues".to_owned()));
            }
            if carry_code(bundle, "type", TYPES_R4, x5!("Bundle.type").to_owned()) {
                let place = Some("type".to_owned());
                ctx.find(Key::Carried, "Bundle.type", "", place.clone(), place);
            }
            links(bundle, |link| {
                restore_code(link, "relation", x4!("Bundle.link.relation"), "Bundle.link.relation", ctx);
            });
        }
    }
}

fn links(bundle: &mut Object<'_>, mut each: impl FnMut(&mut Object<'_>)) {
    let mut of = |holder: &mut Object<'_>| {
        let links = holder.get_mut("link").and_then(Json::as_array_mut);
        links.into_iter().flatten().filter_map(Json::as_object_mut).for_each(&mut each);
    };
    of(bundle);
    entries(bundle).for_each(of);
}

fn relation_up(ctx: &mut Context<'_>, link: &mut Object<'_>) {
    if link.text("relation").is_some_and(|relation| !RELATIONS.contains(&relation))
        && let Some(relation) = link.take("relation")
    {
        let url = Json::text(x4!("Bundle.link.relation"));
        push_under(link, "relation", Object::of([("url", url), ("valueString", relation)]));
        let place = Some("link".to_owned());
        ctx.find(Key::Carried, "Bundle.link.relation", "no R5 code", place.clone(), place);
    }
}
