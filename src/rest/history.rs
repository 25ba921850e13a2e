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
use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use time::OffsetDateTime;
use url::form_urlencoded;

/// The versions that a history has.
#[derive(Clone, Copy, Debug)]
enum Scope<'k> {
    Resource(&'k Key),
    /// Those of a type, or of all types.
    Service(Option<ResourceType>),
}

/// Where a page of a history is.
#[derive(Clone, Debug)]
enum Place {
    /// Behind another page, where the store's token leads.
    After(PageToken),
    /// Before the page that begins with a version.
    Before(Anchor),
}

/// The first version of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Anchor {
    key: Key,
    version: VersionId,
    /// In nanoseconds since 1970.
    time: i128,
}

/// What parts an anchor; no token of a store has it.
const PART: char = '~';

impl Anchor {
    fn of(version: &Version) -> Self {
        let time = version.last_updated.unix_timestamp_nanos();
        Self { key: version.key.clone(), version: version.version, time }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(PART).skip(1);
        let (key, version, time) = (parts.next()?, parts.next()?, parts.next()?);
        let anchor = Self { key: key.parse().ok()?, version: version.parse().ok()?, time: time.parse().ok()? };
        parts.next().is_none().then_some(anchor)
    }

    /// Whether a history, from the newest on, has come to it; also where it is no longer there.
    fn is_reached(&self, version: &Version) -> bool {
        version.last_updated.unix_timestamp_nanos() < self.time
            || (version.key == self.key && version.version == self.version)
    }
}

impl Place {
    fn read(text: &str) -> Result<Self> {
        let refused = || Problem::bad("page", "`_page` is damaged, or belongs to another history");
        if text.starts_with(PART) {
            return Anchor::read(text).map(Self::Before).ok_or_else(refused);
        }
        text.parse().map(Self::After).map_err(|_| refused())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(token) => token.fmt(f),
            Self::Before(Anchor { key, version, time }) => write!(f, "{PART}{key}{PART}{version}{PART}{time}"),
        }
    }
}

/// A page of a history.
#[derive(Debug, Default)]
struct HistoryPage {
    items: Vec<Version>,
    next: Option<PageToken>,
    /// Whether there is none before it.
    is_first: bool,
}

/// What a history is asked for.
#[derive(Debug)]
struct Wanted {
    count: usize,
    since: Option<OffsetDateTime>,
    page: Option<Place>,
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
                    wanted.page = Some(Place::read(&value)?);
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

    fn link(&self, place: &str, page: Option<&Place>, format: Format) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.used);
        query.append_pair("_count", &self.count.to_string());
        if let Some(page) = page {
            query.append_pair("_page", &page.to_string());
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
    /// `GET TYPE/ID/_history`
    pub(super) async fn history(&self, request: &Request<'_>, key: &Key) -> Result<Response> {
        let wanted = Wanted::read(&request.query, self.handling)?;
        let page = self.history_page(Scope::Resource(key), &wanted).await?;
        let newest = usize::from(page.is_first).min(page.items.len());
        let ages = std::iter::repeat_n(Age::Newest, newest).chain(std::iter::repeat(Age::Older));
        let ages: Vec<Age> = ages.take(page.items.len()).collect();
        self.history_bundle(&wanted, &format!("{}/{key}/_history", self.base), page, ages).await
    }

    /// `GET TYPE/_history`, and `GET _history` of every type.
    pub(super) async fn changes(&self, request: &Request<'_>, kind: Option<ResourceType>) -> Result<Response> {
        let wanted = Wanted::read(&request.query, self.handling)?;
        if !self.store.capabilities().changes {
            let words = "the store keeps no versions by time: histories are those of one resource";
            return Err(Problem::unsupported(501, "interaction", words));
        }
        let page = self.history_page(Scope::Service(kind), &wanted).await?;
        let mut ages = Vec::with_capacity(page.items.len());
        for version in &page.items {
            ages.push(if version.is_deleted() { Age::Older } else { self.age(version).await? });
        }
        let place = match kind {
            Some(kind) => format!("{}/{kind}/_history", self.base),
            None => format!("{}/_history", self.base),
        };
        self.history_bundle(&wanted, &place, page, ages).await
    }

    async fn history_page(&self, of: Scope<'_>, wanted: &Wanted) -> Result<HistoryPage> {
        match &wanted.page {
            None => self.page_after(of, wanted, None).await,
            Some(Place::After(token)) => self.page_after(of, wanted, Some(token)).await,
            Some(Place::Before(anchor)) => self.page_before(of, wanted, anchor).await,
        }
    }

    /// Returns the page that begins where a token leads.
    async fn page_after(&self, of: Scope<'_>, wanted: &Wanted, from: Option<&PageToken>) -> Result<HistoryPage> {
        let mut items: Vec<Version> = Vec::new();
        let mut after = from.cloned();
        let mut room = Room::new(&self.limits);
        loop {
            let limit = wanted.count.saturating_sub(items.len()).min(FIRST);
            let mut page = self.some_versions(of, wanted, limit, after.as_ref()).await?;
            let fit = page.items.iter().take_while(|version| room.takes(version)).count();
            let cut = fit < page.items.len();
            if cut && fit == 0 {
                break;
            }
            if cut {
                // The way to what does not fit is told by the store for a page that ends before it.
                page = self.some_versions(of, wanted, fit, after.as_ref()).await?;
            }
            items.extend(page.items);
            after = page.next;
            if after.is_none() || items.len() >= wanted.count || cut {
                break;
            }
            yield_now().await;
        }
        Ok(HistoryPage { items, next: after, is_first: from.is_none() })
    }

    /// Returns the page that ends before a version: the history is gone through from its newest version, so that what was made
    /// meanwhile moves no page.
    async fn page_before(&self, of: Scope<'_>, wanted: &Wanted, anchor: &Anchor) -> Result<HistoryPage> {
        let (mut last, mut seen) = (VecDeque::new(), 0_usize);
        let (mut after, mut next) = (None, None);
        loop {
            let page = self.some_versions(of, wanted, FIRST, after.as_ref()).await?;
            let before = page.items.iter().position(|version| anchor.is_reached(version));
            seen = seen.saturating_add(before.unwrap_or(page.items.len()));
            for version in page.items.into_iter().take(before.unwrap_or(FIRST)) {
                last.push_back(version);
                if last.len() > wanted.count {
                    last.pop_front();
                }
            }
            match (before, page.next) {
                (Some(0), _) => next = after,
                (Some(count), _) => next = self.some_versions(of, wanted, count, after.as_ref()).await?.next,
                (None, None) => {}
                (None, Some(token)) => {
                    after = Some(token);
                    yield_now().await;
                    continue;
                }
            }
            break;
        }
        let mut room = Room::new(&self.limits);
        let mut items: Vec<Version> = last.into_iter().rev().take_while(|version| room.takes(version)).collect();
        items.reverse();
        let is_first = seen == items.len();
        Ok(HistoryPage { items, next, is_first })
    }

    /// Returns some versions of one resource, or of all.
    async fn some_versions(
        &self,
        of: Scope<'_>,
        wanted: &Wanted,
        limit: usize,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        self.spent.may_look(&self.limits)?;
        let limit = u32::try_from(limit).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let page = match of {
            Scope::Resource(key) => {
                let page = self.store.history(key, limit, after).await;
                let mut page = page.map_err(|error| Problem::of_store(&error, key))?;
                let older = |version: &Version| wanted.since.is_some_and(|since| version.last_updated < since);
                if page.items.iter().any(older) {
                    page.items.retain(|version| !older(version));
                    page.next = None;
                }
                page
            }
            Scope::Service(kind) => {
                let mut changes = Changes::new().limit(limit.get());
                (changes.resource_type, changes.since, changes.after) = (kind, wanted.since, after.cloned());
                self.store.changes(&changes).await.map_err(|error| Problem::of_store(&error, "the history"))?
            }
        };
        self.spent.look(CALL + page.items.len(), 0);
        Ok(page)
    }

    /// Returns the Bundle of some versions, each with its age.
    async fn history_bundle(
        &self,
        wanted: &Wanted,
        place: &str,
        page: HistoryPage,
        ages: Vec<Age>,
    ) -> Result<Response> {
        let HistoryPage { items, next, is_first } = page;
        let total = (wanted.page.is_none() && next.is_none()).then_some(items.len());
        let mut links = vec![("self", wanted.link(place, wanted.page.as_ref(), self.format))];
        let previous = items.first().filter(|_| !is_first).map(|first| Place::Before(Anchor::of(first)));
        for (relation, to) in [("next", next.map(Place::After)), ("previous", previous)] {
            links.extend(to.map(|to| (relation, wanted.link(place, Some(&to), self.format))));
        }
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
