//! History interactions, newest version first.

use super::bundle::response;
use super::bundle_writer::quoted;
use super::find::{FIRST, Room};
use super::format::Format;
use super::limits::CALL;
use super::problem::{Problem, Result};
use super::query::{self, COUNT};
use super::server::of_version;
use super::shown::Age;
use super::{Request, Response, Server};
use crate::reference::OwnBase;
use crate::search::date;
use crate::store::{Key, Page, PageToken, ResourceStore, Version};
use std::num::NonZeroU32;
use time::OffsetDateTime;
use url::form_urlencoded;

/// What a history is asked for.
#[derive(Debug)]
struct Wanted {
    count: usize,
    since: Option<OffsetDateTime>,
    page: Option<PageToken>,
    used: Vec<(String, String)>,
}

impl Wanted {
    fn read(query: &str) -> Result<Self> {
        let mut wanted = Self { count: COUNT, since: None, page: None, used: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "_format" | "_pretty" => continue,
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
                _ => {
                    let words = format!("a history takes no `{name}`, only `_count` and `_since`");
                    return Err(Problem::unsupported(400, "search-parameter", words));
                }
            }
            wanted.used.push((name.into_owned(), value.into_owned()));
        }
        Ok(wanted)
    }

    fn link(&self, base: &OwnBase, key: &Key, page: Option<&PageToken>, format: Format) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.used);
        query.append_pair("_count", &self.count.to_string());
        if let Some(page) = page {
            query.append_pair("_page", page.as_str());
        }
        query.extend_pairs(format.parameter());
        format!("{base}/{key}/_history?{}", query.finish())
    }
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Some versions of a resource.
    async fn versions(&self, key: &Key, limit: usize, after: Option<&PageToken>) -> Result<Page<Version>> {
        self.spent.may_look(&self.limits)?;
        let limit = u32::try_from(limit).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let page = self.store.history(key, limit, after).await.map_err(|error| Problem::of_store(&error, key))?;
        self.spent.look(CALL + page.items.len(), 0);
        Ok(page)
    }

    /// `GET TYPE/ID/_history`
    pub(super) async fn history(&self, request: &Request<'_>, key: &Key) -> Result<Response> {
        let wanted = Wanted::read(&request.query)?;
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
        let total = (wanted.page.is_none() && after.is_none()).then_some(items.len());
        let mut links = vec![("self", wanted.link(&self.base, key, wanted.page.as_ref(), self.format))];
        links.extend(after.as_ref().map(|next| ("next", wanted.link(&self.base, key, Some(next), self.format))));
        let mut bundle = self.bundle_writer("history", total, &links);
        let url = format!("{}/{key}", self.base);
        let age = |at: usize| if at == 0 && wanted.page.is_none() { Age::Newest } else { Age::Older };
        let shown = self.shown_all(items.iter().enumerate().map(|(at, version)| (version, age(at)))).await?;
        let mut shown = shown.into_iter();
        for version in &items {
            let method = if version.is_deleted() { "DELETE" } else { "PUT" };
            let mut done = format!("\"request\":{{\"method\":\"{method}\",\"url\":{}}}", quoted(key.to_string()));
            if !self.format.is_stu3() {
                // From R4 on an entry of a history has its answer.
                let status = if version.is_deleted() { 204 } else { 200 };
                done += &format!(",\"response\":{}", response(&of_version(Response::empty(status), version)));
            }
            let json = if version.is_deleted() { None } else { shown.next() };
            let json = json.map(|json| self.answer(json)).transpose()?;
            // Two deletions have the same address and no version, which bdl-7 forbids: the request names what was deleted.
            let address = Some(url.as_str()).filter(|_| json.is_some());
            bundle.entry(address, json.as_ref(), &done);
        }
        Ok(Response::json(200, bundle.finish()))
    }
}
