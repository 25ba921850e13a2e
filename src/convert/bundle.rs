//! Bundles: the addresses of their entries, and what other versions have of them.

use super::carry::{
    BUNDLE_R4, absent_element, carry_code, carry_taken, has_only, is_absent, plain, push_under, put_restored,
    restore_code, restore_value, take_carried, take_under,
};
use super::codes;
use super::context::{Context, Key, Place, relative};
use super::json::{Json, Object};
use super::literal::{url_to_component, url_to_device};
use super::options::IdPolicy;
use super::{Direction, Loss};
use crate::datatype::Literal;
use crate::issue::Path;
use std::collections::{BTreeMap, BTreeSet};

/// The search parameters of a DeviceComponent that a Device of R4 has too.
const PARAMETERS: &[&str] = &["identifier", "type"];

/// The urls of an entry: the member that holds the url, its name there, and the extension for what it was.
const URLS: [(&str, &str, &str); 3] = [
    ("", "fullUrl", x3!("Bundle.entry.fullUrl")),
    ("request", "url", x3!("Bundle.entry.request.url")),
    ("response", "location", x3!("Bundle.entry.response.location")),
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
fn back(url: &str, component: bool, ids: &IdPolicy) -> Option<String> {
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
        let place = relative(at);
        let element = carrier.rsplit("extension-").next().unwrap_or_default();
        ctx.find(Key::Rewritten, element, "", place.clone(), place);
    }
    if name == "url"
        && component
        && let Some(query) = holder.text("ifNoneExist").map(str::to_owned)
    {
        check_query(ctx, &query, at);
    }
}

fn url_down(ctx: &mut Context<'_>, holder: &mut Object<'_>, name: &'static str, carrier: &str, component: bool) {
    let carried = take_under(ctx, holder, name, carrier, |it| has_only(it, "valueUri"));
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
pub(super) fn check_query(ctx: &mut Context<'_>, query: &str, at: &Path<'_>) {
    let foreign = query.split('&').filter(|part| !part.is_empty()).find_map(|part| {
        let name = part.split(['=', ':', '.']).next().unwrap_or_default();
        (!name.starts_with('_') && !PARAMETERS.contains(&name)).then(|| name.to_owned())
    });
    if let Some(name) = foreign {
        let detail = format!("a Device of R4 cannot be searched for by `{name}`");
        let element = if at.name() == "entry" { "Bundle.entry.request" } else { "Reference.reference" };
        ctx.lose(Loss::Query, Key::Lost, element, detail, relative(at));
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
                (IdPolicy::Prefix(prefix), true) => id.strip_prefix(prefix.as_str()).unwrap_or(id).to_owned(),
                _ => id.to_owned(),
            };
            let detail = format!("`Device/{id}` and `DeviceComponent/{own}` are both `Device/{id}` in R4");
            let place = format!("entry[{index}].resource");
            ctx.lose(Loss::Collision, Key::Collision, format!("Bundle.entry[{index}]"), detail, place);
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

/// The types of Bundle whose entries must have a request from R4 on, and those whose entries must have a response (bdl-3, bdl-4).
const WITH_REQUEST: &[&str] = &["batch", "transaction", "history"];
const WITH_RESPONSE: &[&str] = &["batch-response", "transaction-response", "history"];

/// The members that a request and a response must have.
const REQUEST: &[&str] = &["_method", "_url"];
const RESPONSE: &[&str] = &["_status"];

fn is_filled(part: Option<&Json<'_>>, members: &[&str]) -> bool {
    let part = part.and_then(Json::as_object);
    part.is_some_and(|part| part.only(members) && members.iter().all(|name| is_absent(part.get(name))))
}

/// Fills the requests and responses that R4 requires of entries.
fn fill(ctx: &mut Context<'_>, bundle: &mut Object<'_>) {
    let r#type = bundle.text("type").unwrap_or_default().to_owned();
    for (name, types, members) in [("request", WITH_REQUEST, REQUEST), ("response", WITH_RESPONSE, RESPONSE)] {
        if !types.contains(&&*r#type) {
            continue;
        }
        for (index, entry) in entries(bundle).enumerate().filter(|(_, entry)| !entry.has(name)) {
            let mut part = Object::with_capacity(members.len());
            for member in members {
                part.put(*member, absent_element());
            }
            entry.put(name, Json::Object(part));
            let place = format!("entry[{index}].{name}");
            ctx.find(Key::Filled, format!("Bundle.entry.{name}"), "required in R4, unknown", Place::None, place);
        }
    }
}

/// Drops what [`fill`] filled.
fn unfill(bundle: &mut Object<'_>) {
    for entry in entries(bundle) {
        for (name, members) in [("request", REQUEST), ("response", RESPONSE)] {
            if is_filled(entry.get(name), members) {
                entry.take(name);
            }
        }
    }
}

/// Drops of an entry of a history what R4 requires beside the other and R5 does not.
fn unfill_history(bundle: &mut Object<'_>) {
    if bundle.text("type") != Some("history") {
        return;
    }
    for entry in entries(bundle) {
        if is_filled(entry.get("request"), REQUEST) {
            entry.take("request");
        } else if entry.has("request") && is_filled(entry.get("response"), RESPONSE) {
            entry.take("response");
        }
    }
}

/// Converts what a Bundle has itself. It has no extensions of its own: those of `meta` carry what is carried.
pub(super) fn own(ctx: &mut Context<'_>, bundle: &mut Object<'_>) {
    match ctx.direction {
        Direction::Stu3ToR4 => {
            fill(ctx, bundle);
            if let Some(meta) = bundle.get_mut("meta").and_then(Json::as_object_mut) {
                let carried = take_carried(ctx, meta, BUNDLE_R4);
                if meta.is_empty() {
                    bundle.take("meta");
                }
                for (row, taken) in BUNDLE_R4.iter().zip(carried) {
                    put_restored(bundle, row, taken, ctx);
                }
            }
            for request in entries(bundle).filter_map(|entry| entry.get_mut("request")?.as_object_mut()) {
                let (url, element) = (x4!("Bundle.entry.request.method"), "Bundle.entry.request.method");
                restore_code(request, "method", codes::VERB_ADDED, url, element, ctx);
            }
        }
        Direction::R4ToStu3 => {
            unfill(bundle);
            for row in BUNDLE_R4 {
                let taken = row.take(bundle, ctx);
                if taken.is_empty() {
                    continue;
                }
                if !bundle.has("meta") {
                    bundle.put("meta", Json::Object(Object::default()));
                }
                let Some(meta) = bundle.get_mut("meta").and_then(Json::as_object_mut) else { continue };
                carry_taken(meta, row, taken, Some(plain), ctx);
            }
            for request in entries(bundle).filter_map(|entry| entry.get_mut("request")?.as_object_mut()) {
                if carry_code(request, "method", codes::VERB_STU3, x4!("Bundle.entry.request.method")) {
                    ctx.find(Key::Carried, "Bundle.entry.request.method", "", "entry", Place::None);
                }
            }
        }
        Direction::R4ToR5 => {
            unfill_history(bundle);
            restore_code(bundle, "type", codes::BUNDLE_ADDED, x5!("Bundle.type"), "Bundle.type", ctx);
            links(bundle, |link| relation_up(ctx, link));
        }
        Direction::R5ToR4 => {
            fill(ctx, bundle);
            if bundle.take("issues").is_some() {
                let detail = "a resource cannot be carried in an extension";
                ctx.lose(Loss::Issues, Key::Lost, "Bundle.issues", detail, "issues");
            }
            if carry_code(bundle, "type", codes::BUNDLE_R4, x5!("Bundle.type")) {
                ctx.find(Key::Carried, "Bundle.type", "", "type", "type");
            }
            links(bundle, |link| {
                let (url, element) = (x4!("Bundle.link.relation"), "Bundle.link.relation");
                let foreign = |relation: &str| !codes::RELATION_R5.contains(&relation);
                restore_value(link, "relation", ("valueString", foreign), url, element, ctx);
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
    if link.text("relation").is_some_and(|relation| !codes::RELATION_R5.contains(&relation))
        && let Some(relation) = link.take("relation")
    {
        let url = Json::text(x4!("Bundle.link.relation"));
        push_under(link, "relation", Object::of([("url", url), ("valueString", relation)]));
        ctx.find(Key::Carried, "Bundle.link.relation", "no R5 code", "link", "link");
    }
}
