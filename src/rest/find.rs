//! Carrying out searches.

use super::filter::Filter;
use super::limits::{CALL, Limits, Spent, too_costly};
use super::place::Place;
use super::problem::{Problem, Result};
use super::query::{MAX_COUNT, Query, Sort, Total};
use crate::reference::OwnBase;
use crate::store::{Key, Page, PageKey, PageToken, ResourceStore, Search, StoreError, TenantResources, Version, typed};
use crate::support::yield_now;

/// The most resources that one page judges before it gives what it has, and a link to go on.
const MAX_JUDGED: usize = 10_000;

/// The most resources that are put into another order than that of their ids.
const MAX_SORTED: usize = 10_000;

/// How far the first page looks ahead for the total.
const AHEAD: usize = 200;

/// The bytes of resources that are read before others have their turn.
const TURN: usize = 64 << 10;

/// How many resources are asked for first, when their size is not known.
pub(super) const FIRST: usize = 50;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) page: Vec<Version>,
    /// How many there are on all pages, where that is known.
    pub(super) total: Option<usize>,
    /// The token of the next page.
    pub(super) next: Option<PageToken>,
}

/// The bytes of a version.
pub(super) fn size(version: &Version) -> usize {
    version.body.as_ref().map_or(0, bytes::Bytes::len)
}

/// How many resources are asked for at a time, so that they have about the bytes of a page.
#[derive(Debug)]
struct Chunk {
    most: usize,
    left: usize,
    seen: usize,
    bytes: usize,
}

impl Chunk {
    fn new(limits: &Limits, most: usize) -> Self {
        Self { most, left: limits.page_bytes(), seen: 0, bytes: 0 }
    }

    /// How many to ask for, of those that are wanted.
    fn next(&self, wanted: usize) -> usize {
        if self.seen == 0 {
            return wanted.min(FIRST).clamp(1, self.most.max(1));
        }
        let each = (self.bytes / self.seen).max(1);
        wanted.min(self.left / each).clamp(1, self.most.max(1))
    }

    /// Notes a resource that came.
    fn took(&mut self, bytes: usize) {
        self.seen = self.seen.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.left = self.left.saturating_sub(bytes);
    }
}

/// The bytes of a page that is being filled.
pub(super) struct Room {
    left: usize,
    empty: bool,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { left: limits.page_bytes(), empty: true }
    }

    /// Whether one more resource fits. The first one always does.
    pub(super) fn takes(&mut self, version: &Version) -> bool {
        let fits = self.empty || size(version) <= self.left;
        if fits {
            self.left = self.left.saturating_sub(size(version));
            self.empty = false;
        }
        fits
    }
}

/// Looks for the resources of one tenant.
#[derive(Debug)]
pub(super) struct Finder<'a, S: ?Sized> {
    pub(super) store: &'a TenantResources<S>,
    pub(super) base: &'a OwnBase,
    pub(super) pages: &'a PageKey,
    pub(super) limits: &'a Limits,
    pub(super) spent: &'a Spent,
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
        let limit = if self.query.plan.judged.is_empty() { max } else { FIRST };
        let mut found = Vec::new();
        let mut turn = Turn::default();
        let mut after = None;
        loop {
            self.spent.may_look(self.limits)?;
            let page = self.ask(limit, after).await?;
            for version in page.items {
                turn.took(&version).await;
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
        let (mut total, mut after, mut turn) = (0_usize, None, Turn::default());
        let mut chunk = Chunk::new(self.limits, MAX_COUNT);
        loop {
            self.spent.may_look(self.limits)?;
            let page = self.ask_for_keys(chunk.next(MAX_COUNT), after).await?;
            chunk = Chunk::new(self.limits, MAX_COUNT);
            for version in &page.items {
                chunk.took(size(version));
                turn.took(version).await;
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
        self.search(limit, after, true).await
    }

    /// The same for what is counted or sorted only: with bodies where those are judged.
    async fn ask_for_keys(&self, limit: usize, after: Option<PageToken>) -> Result<Page<Version>> {
        self.search(limit, after, self.filters().any(Filter::looks_into_the_body)).await
    }

    /// The filters that the index does not answer.
    fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.query.plan.judged.iter().filter_map(|at| self.query.filters.get(*at))
    }

    async fn search(&self, limit: usize, after: Option<PageToken>, bodies: bool) -> Result<Page<Version>> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let search = Search {
            all_of: self.query.plan.all_of.clone(),
            after,
            bodies,
            ..Search::new(self.query.resource_type).limit(limit)
        };
        let page = self.store.search(&search).await.map_err(|error| Problem::of_store(&error, "the search"))?;
        self.spent.look(CALL.saturating_add(page.items.len()), 0);
        Ok(page)
    }

    /// Whether a resource that the index gave is one that is meant.
    fn is_meant(&self, version: &Version) -> Result<bool> {
        if self.query.plan.judged.is_empty() {
            return Ok(true);
        }
        let (outside, inside): (Vec<&Filter>, Vec<&Filter>) =
            self.filters().partition(|filter| !filter.looks_into_the_body());
        if !outside.iter().all(|filter| filter.matches(None, version, self.base)) {
            return Ok(false);
        }
        if inside.is_empty() {
            return Ok(true);
        }
        self.spent.may_read(size(version))?;
        self.spent.look(0, size(version));
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
        let (mut room, mut chunk) = (Room::new(self.limits), Chunk::new(self.limits, wanted));
        let mut after = place.from;
        loop {
            let found = self.ask(chunk.next(wanted.saturating_sub(hits.page.len())), after.clone()).await?;
            for version in found.items {
                // Something is passed over only where a page was cut, or the store's token was too long for ours.
                if version.key.id().as_str() <= place.last.as_str() {
                    continue;
                }
                if !room.takes(&version) {
                    return self.cut(hits, place.seen, after);
                }
                chunk.took(size(&version));
                hits.page.push(version);
            }
            let shown = place.seen.saturating_add(hits.page.len());
            let Some(next) = found.next else {
                hits.total = Some(shown);
                return Ok(hits);
            };
            if hits.page.len() >= wanted || room.left == 0 {
                let first = self.query.page.is_none();
                let ahead = self.ask_for_keys(if first { AHEAD } else { 1 }, Some(next.clone())).await?;
                if ahead.next.is_none() && (first || ahead.items.is_empty()) {
                    hits.total = Some(shown.saturating_add(ahead.items.len()));
                }
                if !ahead.items.is_empty() || ahead.next.is_some() {
                    let last = hits.page.last().map(|version| version.key.id().to_string()).unwrap_or_default();
                    hits.next = Some(self.seal(&Place { seen: shown, last, from: Some(next) })?);
                }
                return Ok(hits);
            }
            self.spent.may_look(self.limits)?;
            after = Some(next);
            yield_now().await;
        }
    }

    /// A page that ends before all that the store gave behind `from` was shown, for its bytes.
    fn cut(&self, mut hits: Hits, seen: usize, from: Option<PageToken>) -> Result<Hits> {
        let last = hits.page.last().map(|version| version.key.id().to_string()).unwrap_or_default();
        hits.next = Some(self.seal(&Place { seen: seen.saturating_add(hits.page.len()), last, from })?);
        Ok(hits)
    }

    /// A page of what is left after each resource was judged.
    async fn judged(&self, place: Place) -> Result<Hits> {
        let wanted = self.query.count;
        let most = wanted.saturating_mul(2).clamp(100, MAX_COUNT);
        let mut hits = Hits::default();
        let (mut room, mut turn) = (Room::new(self.limits), Turn::default());
        let mut chunk = Chunk::new(self.limits, most);
        let (mut last, mut from) = (place.last, place.from);
        let (mut looked_at, mut further) = (0_usize, 0_usize);
        loop {
            let found = self.ask(chunk.next(most), from.clone()).await?;
            chunk = Chunk::new(self.limits, most);
            let mut seen_to = last.clone();
            let mut tired = false;
            for version in found.items {
                chunk.took(size(&version));
                let id = version.key.id().as_str();
                if id <= last.as_str() {
                    continue;
                }
                if self.spent.is_tired(self.limits) {
                    tired = true;
                    break;
                }
                looked_at = looked_at.saturating_add(1);
                turn.took(&version).await;
                let meant = self.is_meant(&version)?;
                if meant && (further > 0 || hits.page.len() >= wanted || !room.takes(&version)) {
                    further = further.saturating_add(1);
                } else if further == 0 {
                    version.key.id().as_str().clone_into(&mut seen_to);
                    if meant {
                        hits.page.push(version);
                    }
                }
            }
            last = seen_to;
            let shown = place.seen.saturating_add(hits.page.len());
            if tired {
                hits.next = Some(self.seal(&Place { seen: shown, last, from })?);
                return Ok(hits);
            }
            let Some(next) = found.next else {
                hits.total = Some(shown.saturating_add(further));
                if further > 0 {
                    hits.next = Some(self.seal(&Place { seen: shown, last, from })?);
                }
                return Ok(hits);
            };
            if further > 0 || looked_at >= MAX_JUDGED || self.spent.is_tired(self.limits) {
                let from = if further > 0 { from } else { Some(next) };
                hits.next = Some(self.seal(&Place { seen: shown, last, from })?);
                return Ok(hits);
            }
            from = Some(next);
            yield_now().await;
        }
    }

    /// A page in another order than that of the ids: everything is found first, and of it the keys and times are kept
    /// until it is known which resources the page shows.
    async fn sorted(&self, place: &Place) -> Result<Hits> {
        let descending = matches!(self.query.sort, Sort::IdDescending | Sort::UpdatedDescending);
        let mut all = self.sort_keys().await?;
        all.sort_unstable();
        if descending {
            all.reverse();
        }
        let total = all.len();
        let last = place.last.split_once(' ').and_then(|(time, id)| Some((time.parse::<i128>().ok()?, id.to_owned())));
        let behind = |(time, key): &(i128, Key)| {
            let own = (*time, key.id().as_str());
            last.as_ref().is_none_or(|(time, id)| if descending { own < (*time, id) } else { own > (*time, id) })
        };
        let mut rest = all.into_iter().filter(behind).peekable();
        let mut hits = Hits { total: Some(total), ..Hits::default() };
        let (mut room, mut passed, mut shown_to) = (Room::new(self.limits), 0_usize, String::new());
        while passed < self.query.count
            && let Some((time, key)) = rest.peek()
        {
            match self.store.read(key).await {
                Ok(version) if !room.takes(&version) => break,
                Ok(version) => hits.page.push(version),
                // It was deleted meanwhile.
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => {}
                Err(error) => return Err(Problem::of_store(&error, key)),
            }
            self.spent.look(1, 0);
            shown_to = format!("{time} {}", key.id());
            passed = passed.saturating_add(1);
            rest.next();
        }
        if rest.peek().is_some() {
            let seen = place.seen.saturating_add(passed);
            hits.next = Some(self.seal(&Place { seen, last: shown_to, from: None })?);
        }
        Ok(hits)
    }

    /// By what all that is meant is sorted.
    async fn sort_keys(&self) -> Result<Vec<(i128, Key)>> {
        let by_time = matches!(self.query.sort, Sort::Updated | Sort::UpdatedDescending);
        let (mut keys, mut after, mut turn) = (Vec::new(), None, Turn::default());
        let mut chunk = Chunk::new(self.limits, MAX_COUNT);
        loop {
            self.spent.may_look(self.limits)?;
            let page = self.ask_for_keys(chunk.next(MAX_COUNT), after).await?;
            chunk = Chunk::new(self.limits, MAX_COUNT);
            for version in page.items {
                chunk.took(size(&version));
                turn.took(&version).await;
                if self.is_meant(&version)? {
                    let time = if by_time { version.last_updated.unix_timestamp_nanos() } else { 0 };
                    keys.push((time, version.key));
                }
            }
            if keys.len() > MAX_SORTED {
                return Err(too_costly(format_args!(
                    "more than {MAX_SORTED} resources are found, which are not sorted: narrow the search"
                )));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
            yield_now().await;
        }
    }
}

/// Lets others have their turn after some bytes.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    async fn took(&mut self, version: &Version) {
        self.0 = self.0.saturating_add(size(version));
        if self.0 >= TURN {
            self.0 = 0;
            yield_now().await;
        }
    }
}
