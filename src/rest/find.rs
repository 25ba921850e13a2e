//! Looks for what a query asks.

use super::filter::Filter;
use super::place::Place;
use super::problem::{Problem, Result};
use super::query::{MAX_COUNT, Query, Sort, Total};
use super::splice::typed;
use crate::issue::Kind;
use crate::reference::OwnBase;
use crate::store::{Page, PageKey, PageToken, ResourceStore, Search, TenantResources, Version};
use std::future::poll_fn;
use std::task::Poll;

/// The most resources that one request judges before it gives what it has, and a link to go on.
const MAX_JUDGED: usize = 10_000;

/// The most resources that are put into another order than that of their ids.
const MAX_SORTED: usize = 10_000;

/// How far the first page looks ahead for the total.
const AHEAD: usize = 200;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) page: Vec<Version>,
    /// How many there are on all pages, where that is known.
    pub(super) total: Option<usize>,
    /// The token of the next page.
    pub(super) next: Option<PageToken>,
}

/// Looks for the resources of one tenant.
#[derive(Debug)]
pub(super) struct Finder<'a, S: ?Sized> {
    pub(super) store: &'a TenantResources<S>,
    pub(super) base: &'a OwnBase,
    pub(super) pages: &'a PageKey,
    pub(super) query: &'a Query,
}

impl<S: ResourceStore + ?Sized> Finder<'_, S> {
    /// One page.
    pub(super) async fn page(&self) -> Result<Hits> {
        if self.query.count == 0 {
            return Ok(Hits { total: Some(self.count().await?), ..Hits::default() });
        }
        let place = match &self.query.page {
            Some(token) => Place::open(self.pages, self.store.tenant(), self.query, token)?,
            None => Place::default(),
        };
        let mut hits = match self.query.sort {
            Sort::Id if self.query.plan.judged.is_empty() => self.by_index(place).await?,
            Sort::Id => self.judged(place).await?,
            _ => self.sorted(&place).await?,
        };
        match self.query.total {
            Total::None => hits.total = None,
            Total::Accurate if hits.total.is_none() => hits.total = Some(self.count().await?),
            Total::Accurate | Total::IfKnown => {}
        }
        Ok(hits)
    }

    /// Everything that is meant, up to `max` of it.
    pub(super) async fn some(&self, max: usize) -> Result<Vec<Version>> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.ask(MAX_COUNT, after).await?;
            for version in page.items {
                if self.is_meant(&version)? {
                    found.push(version);
                    if found.len() >= max {
                        return Ok(found);
                    }
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
            yield_now().await;
        }
    }

    async fn count(&self) -> Result<usize> {
        let (mut total, mut after) = (0_usize, None);
        loop {
            let page = self.ask(MAX_COUNT, after).await?;
            for version in &page.items {
                total = total.saturating_add(usize::from(self.is_meant(version)?));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(total),
            }
            yield_now().await;
        }
    }

    async fn ask(&self, limit: usize, after: Option<PageToken>) -> Result<Page<Version>> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let search = Search {
            all_of: self.query.plan.all_of.clone(),
            after,
            ..Search::new(self.query.resource_type).limit(limit)
        };
        self.store.search(&search).await.map_err(|error| Problem::of_store(&error, "the search"))
    }

    /// Whether a resource that the index gave is one that is meant.
    fn is_meant(&self, version: &Version) -> Result<bool> {
        if self.query.plan.judged.is_empty() {
            return Ok(true);
        }
        let filters: Vec<&Filter> =
            self.query.plan.judged.iter().filter_map(|at| self.query.filters.get(*at)).collect();
        let (outside, inside): (Vec<&Filter>, Vec<&Filter>) =
            filters.into_iter().partition(|filter| !filter.looks_into_the_body());
        if !outside.iter().all(|filter| filter.matches(None, version, self.base)) {
            return Ok(false);
        }
        if inside.is_empty() {
            return Ok(true);
        }
        let resource = typed(version).map_err(|error| Problem::of_store(&error, &version.key))?;
        Ok(inside.iter().all(|filter| filter.matches(Some(&resource), version, self.base)))
    }

    fn seal(&self, place: &Place) -> Result<PageToken> {
        place.seal(self.pages, self.store.tenant(), self.query)
    }

    /// A page as the store cuts it: the index answers all that is asked.
    async fn by_index(&self, place: Place) -> Result<Hits> {
        let wanted = self.query.count;
        let mut hits = Hits::default();
        let mut after = place.from;
        loop {
            let found = self.ask(wanted.saturating_sub(hits.page.len()), after).await?;
            // Something is passed over only where the store's token was too long for ours.
            let items = found.items.into_iter().filter(|version| version.key.id().as_str() > place.last.as_str());
            hits.page.extend(items);
            let shown = place.seen.saturating_add(hits.page.len());
            let Some(next) = found.next else {
                hits.total = Some(shown);
                return Ok(hits);
            };
            if hits.page.len() >= wanted {
                let first = self.query.page.is_none();
                let ahead = self.ask(if first { AHEAD } else { 1 }, Some(next.clone())).await?;
                if ahead.next.is_none() && (first || ahead.items.is_empty()) {
                    hits.total = Some(shown.saturating_add(ahead.items.len()));
                }
                if !ahead.items.is_empty() || ahead.next.is_some() {
                    let last = hits.page.last().map(|version| version.key.id().to_string()).unwrap_or_default();
                    hits.next = Some(self.seal(&Place { seen: shown, last, from: Some(next) })?);
                }
                return Ok(hits);
            }
            after = Some(next);
        }
    }

    /// A page of what is left after each resource was judged.
    async fn judged(&self, place: Place) -> Result<Hits> {
        let wanted = self.query.count;
        let chunk = wanted.saturating_mul(2).clamp(100, MAX_COUNT);
        let mut hits = Hits::default();
        let (mut last, mut from) = (place.last, place.from);
        let (mut looked_at, mut further) = (0_usize, 0_usize);
        loop {
            let found = self.ask(chunk, from.clone()).await?;
            let mut seen_to = last.clone();
            for version in found.items {
                let id = version.key.id().as_str();
                if id <= last.as_str() {
                    continue;
                }
                looked_at = looked_at.saturating_add(1);
                let meant = self.is_meant(&version)?;
                if meant && hits.page.len() >= wanted {
                    further = further.saturating_add(1);
                } else if further == 0 {
                    id.clone_into(&mut seen_to);
                    if meant {
                        hits.page.push(version);
                    }
                }
            }
            last = seen_to;
            let shown = place.seen.saturating_add(hits.page.len());
            let Some(next) = found.next else {
                hits.total = Some(shown.saturating_add(further));
                if further > 0 {
                    hits.next = Some(self.seal(&Place { seen: shown, last, from })?);
                }
                return Ok(hits);
            };
            if further > 0 || looked_at >= MAX_JUDGED {
                let from = if further > 0 { from } else { Some(next) };
                hits.next = Some(self.seal(&Place { seen: shown, last, from })?);
                return Ok(hits);
            }
            from = Some(next);
            yield_now().await;
        }
    }

    /// A page in another order than that of the ids: everything is found first.
    async fn sorted(&self, place: &Place) -> Result<Hits> {
        let mut all = self.some(MAX_SORTED.saturating_add(1)).await?;
        if all.len() > MAX_SORTED {
            let words = format!("more than {MAX_SORTED} resources are found, which are not sorted: narrow the search");
            return Err(Problem::new(400, Kind::TooCostly, "too-costly", words));
        }
        let descending = matches!(self.query.sort, Sort::IdDescending | Sort::UpdatedDescending);
        let by_time = matches!(self.query.sort, Sort::Updated | Sort::UpdatedDescending);
        let key = |version: &Version| {
            let time = if by_time { version.last_updated.unix_timestamp_nanos() } else { 0 };
            (time, version.key.id().clone())
        };
        all.sort_by_cached_key(key);
        if descending {
            all.reverse();
        }
        let total = all.len();
        let last = place.last.split_once(' ').and_then(|(time, id)| Some((time.parse::<i128>().ok()?, id.into())));
        let behind = |version: &Version| {
            let own = key(version);
            last.as_ref().is_none_or(|last| if descending { own < *last } else { own > *last })
        };
        let mut rest = all.into_iter().filter(behind);
        let page: Vec<Version> = rest.by_ref().take(self.query.count).collect();
        let next = match (rest.next(), page.last()) {
            (Some(_), Some(last)) => {
                let (time, id) = key(last);
                let seen = place.seen.saturating_add(page.len());
                Some(self.seal(&Place { seen, last: format!("{time} {id}"), from: None })?)
            }
            _ => None,
        };
        Ok(Hits { page, total: Some(total), next })
    }
}

/// Lets the executor turn to something else: a store in memory never makes it wait.
async fn yield_now() {
    let mut been_here = false;
    poll_fn(move |cx| {
        if been_here {
            return Poll::Ready(());
        }
        been_here = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
