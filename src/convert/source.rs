//! The extensions that a document has of its own where a conversion writes such too, and the order of its extensions.
//!
//! An extension of a document of STU3 that is for an element of STU3 would be taken for what a conversion from STU3 carried:
//! it is wrapped on the way, and so is one that the way to STU3 did not take. What is carried stands behind all others; where
//! it did not stand there, the order is kept in an extension.

use super::Direction;
use super::Step;
use super::context::{Context, Key, relative};
use super::json::{Json, Object};
use crate::issue::Path;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// The urls of the extensions for the elements of one version.
struct Urls {
    all: &'static str,
    /// The extension that has an extension of the document itself in it.
    wrapper: &'static str,
    /// The extension that has the urls of all extensions of its element, in their order.
    order: &'static str,
}

const STU3: Urls = Urls { all: x3!(""), wrapper: x3!("Extension"), order: x3!("Element.extension") };
const R4: Urls = Urls { all: x4!(""), wrapper: x4!("Extension"), order: x4!("Element.extension") };
const R5: Urls = Urls { all: x5!(""), wrapper: x5!("Extension"), order: x5!("Element.extension") };

/// The urls of the version before a step, and of the one after it.
fn urls(direction: Direction) -> [&'static Urls; 2] {
    direction.steps().map(|step| match step {
        Step::Stu3 => &STU3,
        Step::R4 => &R4,
        Step::R5 => &R5,
    })
}

/// Wraps those of the extensions of an element that a conversion would have written, before anything else is done with it.
pub(super) fn wrap<'a>(ctx: &mut Context<'_>, extensions: &mut [Json<'a>], owner: Option<&str>, at: &Path<'_>) {
    let [source, target] = urls(ctx.direction);
    let in_wrapper = owner.is_some_and(|url| url == source.wrapper || url == target.wrapper);
    for (index, item) in extensions.iter_mut().enumerate() {
        let Some(url) = item.as_object().and_then(|extension| extension.text("url")) else { continue };
        if url.starts_with(target.all) {
            ctx.has_own_extensions = true;
        }
        if in_wrapper || !url.starts_with(source.all) {
            continue;
        }
        let detail = format!("`{url}` is the url of an extension that a conversion writes: it is kept in another");
        let place = relative(&at.indexed(index));
        ctx.find(Key::Wrapped, "Extension", detail, place.clone(), place);
        *item = wrapped(std::mem::replace(item, Json::null()), source);
    }
}

fn wrapped<'a>(extension: Json<'a>, urls: &Urls) -> Json<'a> {
    Json::Object(Object::of([("url", Json::text(urls.wrapper)), ("extension", Json::Array(vec![extension]))]))
}

/// The extension in a wrapper.
fn unwrapped<'j, 'a>(item: &'j mut Json<'a>, urls: &Urls) -> Option<&'j mut Json<'a>> {
    let wrapper = item.as_object_mut()?;
    if wrapper.text("url") != Some(urls.wrapper) || !wrapper.only(&["url", "extension"]) {
        return None;
    }
    match wrapper.get_mut("extension")?.as_array_mut()?.as_mut_slice() {
        [one] => Some(one),
        _ => None,
    }
}

/// The url of an extension, or of the one in a wrapper of the version that a step begins with.
pub(super) fn url_of<'a>(item: &Json<'a>, direction: Direction) -> Cow<'a, str> {
    let url = |item: &Json<'a>| match item.as_object().and_then(|extension| extension.get("url")) {
        Some(Json::Text(url)) => url.clone(),
        _ => Cow::Borrowed(""),
    };
    let [source, _] = urls(direction);
    let own = url(item);
    let inner = item.as_object().filter(|_| own == source.wrapper).and_then(|wrapper| wrapper.get("extension"));
    match inner.map(Json::items) {
        Some([one]) => url(one),
        _ => own,
    }
}

/// The extension that keeps the order of extensions, given by their urls, where some are carried elements and do not stand
/// last.
pub(super) fn order<'a>(extensions: impl IntoIterator<Item = Cow<'a, str>>, direction: Direction) -> Object<'a> {
    let [source, _] = urls(direction);
    let urls: Vec<Cow<'a, str>> = extensions.into_iter().collect();
    Object::of([("url", Json::text(source.order)), ("valueString", Json::text(urls.join(" ")))])
}

/// Unwraps what was wrapped on the way here, wraps what is left of what was carried, and puts extensions in their order.
pub(super) fn settle(object: &mut Object<'_>, direction: Direction) {
    let is_converted = object.text("resourceType").is_none_or(|name| super::converted_type(name).is_some());
    if is_converted {
        for (name, value) in &mut object.members {
            settle_value(value, matches!(&**name, "extension" | "modifierExtension"), direction);
        }
        // The list may have held nothing but the order.
        let is_empty = |value: &Json<'_>| matches!(value, Json::Array(items) if items.is_empty());
        object.members.retain(|(name, value)| name != "extension" || !is_empty(value));
    }
}

fn settle_value(value: &mut Json<'_>, are_extensions: bool, direction: Direction) {
    match value {
        Json::Object(object) => settle(object, direction),
        Json::Array(items) if are_extensions => settle_extensions(items, direction),
        Json::Array(items) => items.iter_mut().for_each(|item| settle_value(item, false, direction)),
        _ => {}
    }
}

fn settle_extensions(items: &mut Vec<Json<'_>>, direction: Direction) {
    let [source, target] = urls(direction);
    let mut order = None;
    items.retain_mut(|item| {
        if let Some(own) = unwrapped(item, target) {
            let own = std::mem::replace(own, Json::null());
            *item = own;
            match item.as_object_mut().filter(|own| own.text("url") == Some(target.wrapper)) {
                // A wrapper of the document's own: what is in it was left alone.
                Some(own) => {
                    let inside = own.get_mut("extension").and_then(Json::as_array_mut);
                    inside.into_iter().flatten().for_each(|one| settle_value(one, false, direction));
                }
                None => settle_value(item, false, direction),
            }
            return true;
        }
        settle_value(item, false, direction);
        let Some(extension) = item.as_object() else { return true };
        let url = extension.text("url").unwrap_or_default();
        if url == target.order
            && order.is_none()
            && let Some(urls) = extension.text("valueString")
        {
            order = Some(urls.to_owned());
            return false;
        }
        if url.starts_with(target.all) {
            *item = wrapped(std::mem::replace(item, Json::null()), source);
        }
        true
    });
    if let Some(order) = order {
        sort(items, &order, direction);
    }
}

/// Puts extensions in an order that is given by their urls. Those that it does not name come last.
fn sort(items: &mut [Json<'_>], order: &str, direction: Direction) {
    let mut places: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    for (place, url) in order.split(' ').enumerate() {
        places.entry(url).or_default().push_back(place);
    }
    let mut place_of = |item: &Json<'_>| {
        let place = places.get_mut(&*url_of(item, direction)).and_then(VecDeque::pop_front);
        place.unwrap_or(usize::MAX)
    };
    let mut placed: Vec<(usize, Json<'_>)> =
        items.iter_mut().map(|item| (place_of(item), std::mem::replace(item, Json::null()))).collect();
    placed.sort_by_key(|(place, _)| *place);
    for (slot, (_, item)) in items.iter_mut().zip(placed) {
        *slot = item;
    }
}
