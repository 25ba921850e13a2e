//! History interactions: the versions of a resource, of a type, or of all, newest first.

use super::bundle::response;
use super::bundle_writer::quoted;
use super::find::{FIRST, Room, size};
use super::format::Format;
use super::header::Handling;
use super::limits::CALL;
use super::problem::{Problem, Result};
use super::query::{self, COUNT};
use super::server::of_version;
use super::shown::Age;
use super::subset::Subset;
use super::verb::verb;
use super::{Request, Response, Server};
use crate::search::{ResourceType, date};
use crate::store::{Changes, Key, Page, PageToken, ResourceStore, Version, VersionId};
use crate::support::yield_now;
use std::num::NonZeroU32;
use time::OffsetDateTime;
use url::form_urlencoded;

/// What a history is asked for.
#[derive(Debug)]
struct Wanted {
    count: usize,
    since: Option<OffsetDateTime>,
    page: Option<PageToken>,
    subset: Subset,
    used: Vec<(String, String)>,
}

impl Wanted {
    /// Reads a query. A parameter that is not known is passed over or refused, as `handling` says.
    fn read(query: &str, handling: Handling) -> Result<Self> {
        let mut wanted = Self { count: COUNT, since: None, page: None, subset: Subset::Whole, used: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match &*name {
                "_format" | "_pretty" => continue,
                // It asks for something else than all versions.
                name if name != "_at" && handling == Handling::Lenient && !is_known(name, &value) => continue,
                "_count" => {
                    wanted.count = query::count(&value)?.max(1);
                    continue;
                }
                "_page" => {
                    let refused = |_| Problem::bad("page", "`_page` is damaged, or belongs to another history");
                    wanted.page = Some(value.parse().map_err(refused)?);
                    continue;
                }
                "_since" => {
                    let refused = || {
                        let words = format!("`_since={value}` is not a moment, such as 2017-05-26T10:00:00Z");
                        Problem::bad("search-value", words)
                    };
                    wanted.since = Some(date::from(&value).ok_or_else(refused)?);
                }
                "_summary" => wanted.subset = Subset::summary(&value)?,
                "_elements" => wanted.subset = Subset::elements(&value),
                _ => {
                    let words = format!("a history takes no `{name}`, only {}", TAKEN.join(", "));
                    return Err(Problem::unsupported(400, "search-parameter", words));
                }
            }
            wanted.used.push((name.into_owned(), value.into_owned()));
        }
        Ok(wanted)
    }

    fn link(&self, place: &str, page: Option<&PageToken>, format: Format) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.used);
        query.append_pair("_count", &self.count.to_string());
        if let Some(page) = page {
            query.append_pair("_page", page.as_str());
        }
        query.extend_pairs(format.parameter());
        format!("{place}?{}", query.finish())
    }
}

/// The parameters of a history that a client sets.
const TAKEN: [&str; 4] = ["_count", "_since", "_summary", "_elements"];

/// Returns whether a parameter is one of histories: a number of versions alone is not told.
fn is_known(name: &str, value: &str) -> bool {
    name == "_page" || (TAKEN.contains(&name) && !(name == "_summary" && value == "count"))
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Returns some versions of a resource.
    async fn versions(&self, key: &Key, limit: usize, after: Option<&PageToken>) -> Result<Page<Version>> {
        self.spent.may_look(&self.limits)?;
        let limit = u32::try_from(limit).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let page = self.store.history(key, limit, after).await.map_err(|error| Problem::of_store(&error, key))?;
        self.spent.look(CALL + page.items.len(), 0);
        Ok(page)
    }

    /// `GET TYPE/ID/_history`
    pub(super) async fn history(&self, request: &Request<'_>, key: &Key) -> Result<Response> {
        let wanted = Wanted::read(&request.query, self.handling)?;
        let mut items: Vec<Version> = Vec::new();
        let mut after = wanted.page.clone();
        let mut room = Room::new(&self.limits);
        loop {
            let mut limit = wanted.count.saturating_sub(items.len()).min(FIRST);
            let mut page = self.versions(key, limit, after.as_ref()).await?;
            let fit = page.items.iter().take_while(|version| room.takes(version)).count();
            let cut = fit < page.items.len();
            if cut && fit == 0 {
                break;
            }
            if cut {
                // The way to what does not fit is told by the store for a page that ends before it.
                limit = fit;
                page = self.versions(key, limit, after.as_ref()).await?;
            }
            let older = |version: &Version| wanted.since.is_some_and(|since| version.last_updated < since);
            let ended = page.items.iter().any(older);
            items.extend(page.items.into_iter().filter(|version| !older(version)));
            after = if ended { None } else { page.next };
            if after.is_none() || items.len() >= wanted.count || cut {
                break;
            }
        }
        let newest = usize::from(wanted.page.is_none()).min(items.len());
        let ages = std::iter::repeat_n(Age::Newest, newest).chain(std::iter::repeat(Age::Older));
        let ages: Vec<Age> = ages.take(items.len()).collect();
        self.history_bundle(&wanted, &format!("{}/{key}/_history", self.base), (items, ages), after.as_ref()).await
    }

    /// `GET TYPE/_history`, and `GET _history` of every type.
    pub(super) async fn changes(&self, request: &Request<'_>, kind: Option<ResourceType>) -> Result<Response> {
        let wanted = Wanted::read(&request.query, self.handling)?;
        if !self.store.capabilities().changes {
            let words = "the store keeps no versions by time: histories are those of one resource";
            return Err(Problem::unsupported(501, "interaction", words));
        }
        let mut items: Vec<Version> = Vec::new();
        let mut after = wanted.page.clone();
        let mut room = Room::new(&self.limits);
        loop {
            let limit = wanted.count.saturating_sub(items.len()).min(FIRST);
            let mut page = self.some_changes(kind, &wanted, limit, after.as_ref()).await?;
            let fit = page.items.iter().take_while(|version| room.takes(version)).count();
            let cut = fit < page.items.len();
            if cut && fit == 0 {
                break;
            }
            if cut {
                page = self.some_changes(kind, &wanted, fit, after.as_ref()).await?;
            }
            items.extend(page.items);
            after = page.next;
            if after.is_none() || items.len() >= wanted.count || cut {
                break;
            }
            yield_now().await;
        }
        let mut ages = Vec::with_capacity(items.len());
        for version in &items {
            ages.push(if version.is_deleted() { Age::Older } else { self.age(version).await? });
        }
        let place = match kind {
            Some(kind) => format!("{}/{kind}/_history", self.base),
            None => format!("{}/_history", self.base),
        };
        self.history_bundle(&wanted, &place, (items, ages), after.as_ref()).await
    }

    /// Returns some versions of all resources.
    async fn some_changes(
        &self,
        kind: Option<ResourceType>,
        wanted: &Wanted,
        limit: usize,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        self.spent.may_look(&self.limits)?;
        let mut changes = Changes::new().limit(u32::try_from(limit).unwrap_or(u32::MAX));
        (changes.resource_type, changes.since, changes.after) = (kind, wanted.since, after.cloned());
        let page = self.store.changes(&changes).await.map_err(|error| Problem::of_store(&error, "the history"))?;
        self.spent.look(CALL + page.items.len(), 0);
        Ok(page)
    }

    /// Returns the Bundle of some versions, each with its age.
    async fn history_bundle(
        &self,
        wanted: &Wanted,
        place: &str,
        (items, ages): (Vec<Version>, Vec<Age>),
        after: Option<&PageToken>,
    ) -> Result<Response> {
        let total = (wanted.page.is_none() && after.is_none()).then_some(items.len());
        let mut links = vec![("self", wanted.link(place, wanted.page.as_ref(), self.format))];
        links.extend(after.map(|next| ("next", wanted.link(place, Some(next), self.format))));
        let mut bundle = self.bundle_writer("history", total, &links);
        let shown = self.shown_all(items.iter().zip(ages)).await?;
        let mut shown = shown.into_iter();
        for version in &items {
            let (method, key, number) = (verb(version), &version.key, version.version);
            let url = quoted(format!("{key}/_history/{number}"));
            let status = match method {
                "DELETE" => 204,
                _ if number == VersionId::FIRST => 201,
                _ => 200,
            };
            let answer = response(&of_version(Response::empty(status), version));
            let done = format!("\"request\":{{\"method\":\"{method}\",\"url\":{url}}},\"response\":{answer}");
            let json = if version.is_deleted() { None } else { shown.next() };
            if wanted.subset != Subset::Whole {
                self.spent.may_read(size(version))?;
                self.spent.look(0, size(version));
            }
            let json = json.map(|json| self.part(key.resource_type(), json, &wanted.subset)).transpose();
            let json = json.map_err(|report| self.not_shown(report))?;
            // Two deletions have the same address and no version, which bdl-7 forbids: the request names what was deleted.
            let address = json.as_ref().map(|_| format!("{}/{key}", self.base));
            bundle.entry(address.as_deref(), json.as_ref(), &done);
        }
        Ok(Response::json(200, bundle.finish()))
    }
}
