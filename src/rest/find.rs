//! Carrying out searches.

use super::Server;
use super::chain::{Chain, Resolved};
use super::filter::Filter;
use super::limits::{CALL, Limits, too_costly};
use super::place::Place;
use super::problem::{Problem, Result};
use super::query::{COUNT, MAX_COUNT, Query, Total};
use super::sort::Values;
use crate::search::{Parameter, ResourceType};
use crate::store::{Key, Page, PageToken, ResourceStore, Search, SearchOrder, StoreError, Version, typed};
use crate::support::yield_now;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The most resources that one page checks before it gives what it has, and a link to go on.
pub(super) const MAX_JUDGED: usize = 10_000;

/// The most resources that are put into an order that the store does not give.
const MAX_SORTED: usize = 10_000;

/// The most resources of those that the index gives which are looked at before the order of times is followed instead: where
/// few meet the criteria, many others would be passed over in that order.
const MAX_GATHERED: usize = 500;

/// How far the first page looks ahead for the total.
const AHEAD: usize = 200;

/// The bytes of resources that are read before others have their turn.
const TURN: usize = 64 << 10;

/// How many resources are asked for first, when their size is not known: those of a usual page, and one that tells whether there
/// is another page.
pub(super) const FIRST: usize = COUNT + 1;

/// What is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) page: Vec<Version>,
    /// How many there are on all pages, where that is known.
    pub(super) total: Option<usize>,
    /// The token of the next page.
    pub(super) next: Option<PageToken>,
    /// The token of the page before, which is none for the first one; nothing where this is the first.
    pub(super) previous: Option<Option<PageToken>>,
    /// What the page refers to, as far as the store gave it with the page.
    pub(super) targets: BTreeMap<Key, Version>,
}

/// The bytes of a version.
pub(super) fn size(version: &Version) -> usize {
    version.body.as_ref().map_or(0, bytes::Bytes::len)
}

/// How many resources are asked for at a time, so that they have about the bytes of a page.
#[derive(Debug)]
pub(super) struct Chunk {
    most: usize,
    left: usize,
    seen: usize,
    bytes: usize,
}

impl Chunk {
    pub(super) fn new(limits: &Limits, most: usize) -> Self {
        Self { most, left: limits.page_bytes(), seen: 0, bytes: 0 }
    }

    /// How many to ask for, of those that are wanted.
    pub(super) fn next(&self, wanted: usize) -> usize {
        if self.seen == 0 {
            return wanted.min(FIRST).clamp(1, self.most.max(1));
        }
        let each = (self.bytes / self.seen).max(1);
        wanted.min(self.left / each).clamp(1, self.most.max(1))
    }

    /// Notes a resource that came.
    pub(super) fn took(&mut self, bytes: usize) {
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
pub(super) struct Finder<'a, S: ?Sized> {
    pub(super) server: &'a Server<S>,
    pub(super) query: &'a Query,
    /// What the conditions on other resources come to.
    pub(super) resolved: Resolved,
    /// The references of the page that are followed.
    pub(super) follow: Vec<(Parameter, ResourceType)>,
    /// What the store gave with what refers to it.
    pub(super) targets: Mutex<BTreeMap<Key, Version>>,
}

impl<S: ResourceStore + ?Sized> Finder<'_, S> {
    /// One page.
    pub(super) async fn page(&self) -> Result<Hits> {
        if self.query.count == 0 {
            return Ok(Hits { total: Some(self.count(true).await?), ..Hits::default() });
        }
        let (tenant, pages) = (self.server.store.tenant(), &self.server.pages);
        let mut place = match &self.query.page {
            Some(token) => Place::open(pages, tenant, self.query, token)?,
            None => Place::default(),
        };
        let before = place.seen;
        let mut hits = match self.in_order(&place).await? {
            Order::Sorted(keys) => self.sorted(keys, &place).await?,
            Order::OfStore(order) => {
                if place.skips {
                    place = self.pass_over(place.seen, order).await?;
                }
                match self.is_answered_by_the_index() {
                    true => self.by_index(place, order).await?,
                    false => self.filtered(place, order).await?,
                }
            }
        };
        match self.query.total {
            Total::None => hits.total = None,
            Total::Accurate if hits.total.is_none() => hits.total = Some(self.count(true).await?),
            Total::Estimate if hits.total.is_none() => hits.total = Some(self.count(false).await?),
            Total::Accurate | Total::Estimate | Total::IfKnown => {}
        }
        hits.targets = std::mem::take(&mut *self.targets.lock().unwrap_or_else(PoisonError::into_inner));
        if before > 0 {
            let seen = before.saturating_sub(self.query.count);
            let place = (seen > 0).then(|| Place::behind(seen));
            hits.previous = Some(place.map(|place| self.seal(&place)).transpose()?);
        }
        Ok(hits)
    }

    /// In which order the page is made: as the store gives the resources where it can, and else by all that is meant.
    async fn in_order(&self, place: &Place) -> Result<Order> {
        let capabilities = self.server.store.capabilities();
        let by_time = self.query.sort.by_time().filter(|_| capabilities.search_by_time && self.query.chains.is_empty());
        let order = if self.query.sort.is_by_id() { Some(SearchOrder::Id) } else { by_time };
        let Some(order) = order else {
            let sorted = self.sort_keys(usize::MAX).await?;
            return Ok(Order::Sorted(sorted.unwrap_or_default()));
        };
        let is_first = place.last.is_empty();
        if order == SearchOrder::Id || is_first && self.query.plan.all_of.is_empty() {
            return Ok(Order::OfStore(order));
        }
        // The page goes on as the one before it was made.
        let most = match Shown::read(order, &place.last) {
            Some(_) => return Ok(Order::OfStore(order)),
            None if is_first => MAX_GATHERED,
            None => usize::MAX,
        };
        Ok(self.sort_keys(most).await?.map_or(Order::OfStore(order), Order::Sorted))
    }

    fn is_answered_by_the_index(&self) -> bool {
        self.query.plan.unindexed.is_empty() && self.resolved.wide.is_empty()
    }

    /// Of each of some resources that the index gave, whether it is one that is meant by what others are.
    async fn linked(&self, items: &[Version]) -> Result<Vec<bool>> {
        let mut all = vec![true; items.len()];
        for chain in self.resolved.wide.iter().filter_map(|at| self.query.chains.get(*at)) {
            let held = self.server.holds(self.query.resource_type, chain, items).await?;
            all.iter_mut().zip(held).for_each(|(all, held)| *all &= held);
        }
        Ok(all)
    }

    /// The place behind so many resources that are meant.
    async fn pass_over(&self, wanted: usize, order: SearchOrder) -> Result<Place> {
        let (mut place, mut after, mut turn) = (Place::default(), None, Turn::default());
        let mut chunk = Chunk::new(&self.server.limits, MAX_COUNT);
        while place.seen < wanted {
            self.server.spent.may_look(&self.server.limits)?;
            let page = self.ask_for_keys(chunk.next(MAX_COUNT), after, order).await?;
            chunk = Chunk::new(&self.server.limits, MAX_COUNT);
            let linked = self.linked(&page.items).await?;
            for (version, linked) in page.items.iter().zip(linked) {
                chunk.took(size(version));
                turn.took(version).await;
                if place.seen < wanted && linked && self.is_meant(version)? {
                    place.seen = place.seen.saturating_add(1);
                    place.last = Shown::of(order, version).to_string();
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
            yield_now().await;
        }
        Ok(place)
    }

    /// Everything that is meant, up to `max` of it.
    pub(super) async fn some(&self, max: usize) -> Result<Vec<Version>> {
        let limit = if self.is_answered_by_the_index() { max } else { FIRST };
        let mut found = Vec::new();
        let mut turn = Turn::default();
        let mut after = None;
        loop {
            self.server.spent.may_look(&self.server.limits)?;
            let page = self.ask(limit, after, (SearchOrder::Id, "")).await?;
            let linked = self.linked(&page.items).await?;
            for (version, linked) in page.items.into_iter().zip(linked) {
                turn.took(&version).await;
                if linked && self.is_meant(&version)? {
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

    /// How many are meant: all of them, or as many as one request may look at.
    async fn count(&self, is_exact: bool) -> Result<usize> {
        let (mut total, mut after, mut turn) = (0_usize, None, Turn::default());
        let mut chunk = Chunk::new(&self.server.limits, MAX_COUNT);
        loop {
            if !is_exact && self.server.spent.is_exhausted(&self.server.limits) {
                return Ok(total);
            }
            self.server.spent.may_look(&self.server.limits)?;
            let page = self.ask_for_keys(chunk.next(MAX_COUNT), after, SearchOrder::Id).await?;
            chunk = Chunk::new(&self.server.limits, MAX_COUNT);
            let linked = self.linked(&page.items).await?;
            for (version, linked) in page.items.iter().zip(linked) {
                chunk.took(size(version));
                turn.took(version).await;
                total = total.saturating_add(usize::from(linked && self.is_meant(version)?));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(total),
            }
            yield_now().await;
        }
    }

    /// Some resources in an order behind the store's place or, without one and in the order of ids, behind the last one shown.
    async fn ask(
        &self,
        limit: usize,
        after: Option<PageToken>,
        (order, last): (SearchOrder, &str),
    ) -> Result<Page<Version>> {
        let behind = if order == SearchOrder::Id { last } else { "" };
        self.search(limit, after, behind, true, order).await
    }

    /// The same for what is counted or sorted only: with bodies where those are checked.
    async fn ask_for_keys(&self, limit: usize, after: Option<PageToken>, order: SearchOrder) -> Result<Page<Version>> {
        let mut wide = self.resolved.wide.iter().filter_map(|at| self.query.chains.get(*at));
        let bodies = self.filters().any(Filter::needs_body) || wide.any(Chain::needs_body);
        self.search(limit, after, "", bodies, order).await
    }

    /// The filters that the index does not answer.
    fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.query.plan.unindexed.iter().filter_map(|at| self.query.filters.get(*at))
    }

    async fn search(
        &self,
        limit: usize,
        after: Option<PageToken>,
        behind: &str,
        bodies: bool,
        order: SearchOrder,
    ) -> Result<Page<Version>> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let search = Search {
            all_of: self.query.plan.all_of.iter().chain(&self.resolved.all_of).cloned().collect(),
            behind: Some(behind.into()).filter(|_| after.is_none() && !behind.is_empty()),
            after,
            bodies,
            order,
            ..Search::new(self.query.resource_type).limit(limit)
        };
        let follow = if bodies { self.follow.as_slice() } else { &[] };
        let found = match follow.is_empty() {
            true => self.server.store.search(&search).await.map(|page| (page, Vec::new())),
            false => self.server.store.search_with_targets(&search, follow).await,
        };
        let (page, targets) = found.map_err(|error| Problem::of_store(&error, "the search"))?;
        self.server.spent.look(CALL.saturating_add(page.items.len()).saturating_add(targets.len()), 0);
        if !targets.is_empty() {
            let mut kept = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(targets.into_iter().map(|version| (version.key.clone(), version)));
        }
        Ok(page)
    }

    /// Whether a resource that the index gave is one that is meant.
    fn is_meant(&self, version: &Version) -> Result<bool> {
        if self.query.plan.unindexed.is_empty() {
            return Ok(true);
        }
        let (outside, inside): (Vec<&Filter>, Vec<&Filter>) = self.filters().partition(|filter| !filter.needs_body());
        if !outside.iter().all(|filter| filter.matches(None, version, &self.server.base)) {
            return Ok(false);
        }
        if inside.is_empty() {
            return Ok(true);
        }
        self.server.spent.may_read(size(version))?;
        self.server.spent.look(0, size(version));
        let resource = typed(version).map_err(|error| Problem::of_store(&error, &version.key))?;
        Ok(inside.iter().all(|filter| filter.matches(Some(&resource), version, &self.server.base)))
    }

    fn seal(&self, place: &Place) -> Result<PageToken> {
        place.seal(&self.server.pages, self.server.store.tenant(), self.query)
    }

    /// A page as the store cuts it: the index answers all that is asked.
    async fn by_index(&self, place: Place, order: SearchOrder) -> Result<Hits> {
        let wanted = self.query.count;
        let mut hits = Hits::default();
        let (mut room, mut chunk) = (Room::new(&self.server.limits), Chunk::new(&self.server.limits, wanted));
        let mut after = place.from;
        let passed = Shown::read(order, &place.last);
        loop {
            let limit = chunk.next(wanted.saturating_sub(hits.page.len()));
            // One more tells whether there is another page, for which another round trip would be made.
            let asks_for_more = !self.follow.is_empty() && order == SearchOrder::Id;
            let asked = limit.saturating_add(usize::from(asks_for_more));
            let found = self.ask(asked, after.clone(), (order, &place.last)).await?;
            let mut is_more = false;
            for version in found.items {
                // Something is passed over only where a page was cut, or the store's token was too long for ours.
                if passed.as_ref().is_some_and(|passed| !passed.is_before(order, &version)) {
                    continue;
                }
                is_more = hits.page.len() >= wanted;
                if is_more {
                    break;
                }
                if !room.takes(&version) {
                    let last = last_shown(&hits, order).unwrap_or(place.last);
                    let seen = place.seen.saturating_add(hits.page.len());
                    hits.next = Some(self.seal(&Place { seen, last, from: after, skips: false })?);
                    return Ok(hits);
                }
                chunk.took(size(&version));
                hits.page.push(version);
            }
            let shown = place.seen.saturating_add(hits.page.len());
            if is_more {
                hits.total = found.next.is_none().then(|| shown.saturating_add(1));
                let last = last_shown(&hits, order).unwrap_or(place.last);
                hits.next = Some(self.seal(&Place { seen: shown, last, from: None, skips: false })?);
                return Ok(hits);
            }
            let Some(next) = found.next else {
                hits.total = Some(shown);
                return Ok(hits);
            };
            if hits.page.len() >= wanted || room.left == 0 {
                // Who wants no total does not wait for one.
                let first = self.query.page.is_none() && !matches!(self.query.total, Total::None);
                let ahead = self.ask_for_keys(if first { AHEAD } else { 1 }, Some(next.clone()), order).await?;
                if ahead.next.is_none() && (first || ahead.items.is_empty()) {
                    hits.total = Some(shown.saturating_add(ahead.items.len()));
                }
                if !ahead.items.is_empty() || ahead.next.is_some() {
                    let last = last_shown(&hits, order).unwrap_or(place.last);
                    hits.next = Some(self.seal(&Place { seen: shown, last, from: Some(next), skips: false })?);
                }
                return Ok(hits);
            }
            self.server.spent.may_look(&self.server.limits)?;
            after = Some(next);
            yield_now().await;
        }
    }

    /// A page of what is left after each resource was checked.
    async fn filtered(&self, place: Place, order: SearchOrder) -> Result<Hits> {
        let wanted = self.query.count;
        let most = wanted.saturating_mul(2).clamp(100, MAX_COUNT);
        let mut hits = Hits::default();
        let (mut room, mut turn) = (Room::new(&self.server.limits), Turn::default());
        let mut chunk = Chunk::new(&self.server.limits, most);
        let (mut last, mut from) = (place.last, place.from);
        let (mut looked_at, mut further) = (0_usize, 0_usize);
        // In the order of ids, most of what is looked at is shown.
        let with_bodies = order == SearchOrder::Id || self.filters().any(Filter::needs_body);
        loop {
            let found = match with_bodies {
                true => self.ask(chunk.next(most), from.clone(), (order, &last)).await?,
                false => self.ask_for_keys(chunk.next(most), from.clone(), order).await?,
            };
            let linked = self.linked(&found.items).await?;
            // Where few of what was looked at are meant, more is looked at in one call.
            let are_few = linked.iter().filter(|linked| **linked).count() * 2 < linked.len();
            chunk = Chunk::new(&self.server.limits, if are_few { MAX_COUNT } else { most });
            let (passed, mut seen_to) = (Shown::read(order, &last), last);
            let mut tired = false;
            for (version, linked) in found.items.into_iter().zip(linked) {
                chunk.took(size(&version));
                if passed.as_ref().is_some_and(|passed| !passed.is_before(order, &version)) {
                    continue;
                }
                if self.server.spent.is_exhausted(&self.server.limits) {
                    tired = true;
                    break;
                }
                looked_at = looked_at.saturating_add(1);
                turn.took(&version).await;
                let is_meant = linked && self.is_meant(&version)?;
                if further > 0 || is_meant && hits.page.len() >= wanted {
                    further = further.saturating_add(usize::from(is_meant));
                    continue;
                }
                let shown = Shown::of(order, &version).to_string();
                let found = match is_meant {
                    true if with_bodies => Some(version),
                    true => self.again(&version.key).await?,
                    false => None,
                };
                match found {
                    Some(version) if !room.takes(&version) => further = 1,
                    found => {
                        hits.page.extend(found);
                        seen_to = shown;
                    }
                }
            }
            last = seen_to;
            let shown = place.seen.saturating_add(hits.page.len());
            if tired {
                hits.next = Some(self.seal(&Place { seen: shown, last, from, skips: false })?);
                return Ok(hits);
            }
            let Some(next) = found.next else {
                hits.total = Some(shown.saturating_add(further));
                if further > 0 {
                    hits.next = Some(self.seal(&Place { seen: shown, last, from, skips: false })?);
                }
                return Ok(hits);
            };
            if further > 0 || looked_at >= MAX_JUDGED || self.server.spent.is_exhausted(&self.server.limits) {
                let from = if further > 0 { from } else { Some(next) };
                hits.next = Some(self.seal(&Place { seen: shown, last, from, skips: false })?);
                return Ok(hits);
            }
            from = Some(next);
            yield_now().await;
        }
    }

    /// A page of all that is meant, of which the keys and what they are sorted by are known.
    async fn sorted(&self, mut all: Vec<Values>, place: &Place) -> Result<Hits> {
        let sort = &self.query.sort;
        all.sort_unstable_by(|one, other| sort.compare(one, other));
        let total = all.len();
        let last: Option<Values> = serde_json::from_str(&place.last).ok();
        let is_behind = |own: &Values| last.as_ref().is_none_or(|last| sort.compare(own, last).is_gt());
        let skipped = if place.skips { place.seen } else { 0 };
        let mut rest = all.into_iter().skip(skipped).filter(is_behind).peekable();
        let mut hits = Hits { total: Some(total), ..Hits::default() };
        let (mut room, mut passed, mut shown_to) = (Room::new(&self.server.limits), 0_usize, None);
        while passed < self.query.count
            && let Some(values) = rest.peek()
        {
            let key = Key::new(self.query.resource_type, values.1.as_str())?;
            match self.again(&key).await? {
                Some(version) if !room.takes(&version) => break,
                found => hits.page.extend(found),
            }
            passed = passed.saturating_add(1);
            shown_to = rest.next();
        }
        if rest.peek().is_some() {
            let seen = place.seen.saturating_add(passed);
            let last = shown_to.and_then(|values| serde_json::to_string(&values).ok()).unwrap_or_default();
            hits.next = Some(self.seal(&Place { seen, last, from: None, skips: false })?);
        }
        Ok(hits)
    }

    /// A resource that was found, as it is now; nothing where it was deleted meanwhile.
    async fn again(&self, key: &Key) -> Result<Option<Version>> {
        self.server.spent.look(1, 0);
        match self.server.store.read(key).await {
            Ok(version) => Ok(Some(version)),
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(None),
            Err(error) => Err(Problem::of_store(&error, key)),
        }
    }

    /// By what all that is meant is sorted; nothing where the index gives more than `most` resources.
    async fn sort_keys(&self, most: usize) -> Result<Option<Vec<Values>>> {
        let sort = &self.query.sort;
        let mut looked_at = 0_usize;
        let (mut keys, mut after, mut turn) = (Vec::new(), None, Turn::default());
        let mut chunk = Chunk::new(&self.server.limits, MAX_COUNT);
        loop {
            self.server.spent.may_look(&self.server.limits)?;
            let wanted = chunk.next(MAX_COUNT.min(most.saturating_add(1)));
            let page = match sort.needs_body() {
                true => self.ask(wanted, after, (SearchOrder::Id, "")).await?,
                false => self.ask_for_keys(wanted, after, SearchOrder::Id).await?,
            };
            looked_at = looked_at.saturating_add(page.items.len());
            if looked_at > most {
                return Ok(None);
            }
            chunk = Chunk::new(&self.server.limits, MAX_COUNT);
            let linked = self.linked(&page.items).await?;
            for (version, linked) in page.items.into_iter().zip(linked) {
                chunk.took(size(&version));
                turn.took(&version).await;
                if linked && self.is_meant(&version)? {
                    let read = sort.needs_body().then(|| self.server.read_typed(&version)).transpose()?;
                    keys.push(sort.values(read.as_ref(), &version));
                }
            }
            if keys.len() > MAX_SORTED {
                return Err(too_costly(format_args!(
                    "more than {MAX_SORTED} resources of the type `{}` are found, and the store has no order of this `_sort`: \
                     narrow the search",
                    self.query.resource_type
                )));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(Some(keys)),
            }
            yield_now().await;
        }
    }
}

/// How a page comes to its order.
enum Order {
    /// The store gives it.
    OfStore(SearchOrder),
    /// All that is meant is put in order.
    Sorted(Vec<Values>),
}

/// The last resource that a page showed: its id and, in an order of times, its time in nanoseconds.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    time: Option<i128>,
    id: SmolStr,
}

impl Shown {
    fn of(order: SearchOrder, version: &Version) -> Self {
        let time = (order != SearchOrder::Id).then(|| version.last_updated.unix_timestamp_nanos());
        Self { time, id: version.key.id().clone() }
    }

    /// Nothing where nothing was shown, or in another order.
    fn read(order: SearchOrder, last: &str) -> Option<Self> {
        if order == SearchOrder::Id {
            return Some(Self { time: None, id: last.into() }).filter(|_| !last.is_empty());
        }
        let (time, id) = last.split_once(' ')?;
        Some(Self { time: Some(time.parse().ok()?), id: id.into() })
    }

    fn is_before(&self, order: SearchOrder, version: &Version) -> bool {
        let other = Self::of(order, version);
        if order == SearchOrder::UpdatedDescending { other < *self } else { *self < other }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => write!(f, "{time} {}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

fn last_shown(hits: &Hits, order: SearchOrder) -> Option<String> {
    hits.page.last().map(|version| Shown::of(order, version).to_string())
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
