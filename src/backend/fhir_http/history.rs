//! History interactions, newest version first.

use super::super::checks::to_usize;
use super::FhirServer;
use super::fault::{ServerFault, is_too_large};
use super::place::{Entry, PAGE_ANSWER, PAGE_BYTES, Place, fewer};
use super::read::{CurrentState, deletion};
use super::wire::OutgoingRequest;
use crate::store::{Key, Page, PageQuery, PageToken, Result, StoreError, Tenant, Version, VersionId};
use std::num::NonZeroU32;

/// The maximum number of versions in a request.
const MOST: usize = 500;
/// The maximum number of server pages read to fill one page.
const MAX_SERVER_PAGES: usize = 20;
/// How many pages are read in one call at all, where no token can hold the place of the next.
const MAX_PAGES_PER_CALL: usize = 10_000;

/// How many versions may be left out on one page.
const MOST_MISSED: usize = 64;

fn left_out(key: &Key, missing: VersionId) -> StoreError {
    StoreError::corrupt(format!("the history of `{key}` leaves out version {missing}"))
}

fn of_another_store() -> StoreError {
    StoreError::invalid("the page token is of another store")
}

/// A version in a history; a deletion may lack its number.
enum HistoryEntry {
    Living(Version),
    Deleted(Option<VersionId>),
}

impl HistoryEntry {
    fn of(server: &FhirServer, key: &Key, entry: &Entry) -> Result<Self> {
        match entry.resource.as_ref().filter(|_| !entry.is_deletion()) {
            Some(json) => {
                let content = server.content_of(key, json.get().as_bytes(), entry.version(), entry.modified());
                content.map(|found| Self::Living(found.version))
            }
            None => Ok(Self::Deleted(entry.version().and_then(|version| version.parse().ok()))),
        }
    }
}

fn size(version: &Version) -> usize {
    version.body.as_ref().map_or(0, bytes::Bytes::len)
}

/// The link of a place from which on the versions are read one by one, as the history of the server says no more.
fn one_by_one(key: &Key) -> String {
    format!("{key}?one-by-one")
}

/// Returns how many of the versions it takes to come to that many bytes.
fn fitting(versions: &[Version], bytes: usize) -> usize {
    let mut left = bytes;
    let taken = versions.iter().take_while(|version| {
        let fits = left > 0;
        left = left.saturating_sub(size(version));
        fits
    });
    taken.count()
}

fn before(version: VersionId) -> Option<VersionId> {
    VersionId::new(version.get().saturating_sub(1))
}

impl FhirServer {
    /// Returns the newest version of what is gone, by the history; a living one where it has come back meanwhile.
    pub(super) async fn newest(&self, tenant: &Tenant, key: &Key) -> Result<Version> {
        let place = format!("{}/_history?_count=2", self.address(key));
        let mut known: Option<VersionId> = None;
        for _ in 0..MAX_SERVER_PAGES {
            let (versions, _) = self.versions(tenant, key, &place, None, usize::MAX).await?;
            let newest = versions.into_iter().next().ok_or(ServerFault::VersionMissing)?;
            if newest.is_deleted() {
                return Ok(newest);
            }
            // Some histories show no deletions. One that stays as it is while the resource is gone ends in one.
            if known == Some(newest.version) {
                let next = newest.version.next();
                return Ok(deletion(newest, next));
            }
            match self.look(tenant, key).await? {
                CurrentState::Living(version) => return Ok(version),
                CurrentState::Gone(Some(at)) => return Ok(deletion(newest, at)),
                CurrentState::Gone(None) if self.options.gaps => return Err(ServerFault::VersionMissing.into()),
                CurrentState::Gone(None) => known = Some(newest.version),
                CurrentState::Never => return Err(StoreError::not_found()),
            }
        }
        Err(StoreError::throttled(None))
    }

    /// Returns the newest version, where the first page of a history does not show it: a deletion, or one that was made
    /// lately.
    async fn top(&self, tenant: &Tenant, key: &Key, shown: Option<&Version>) -> Result<Option<Version>> {
        if shown.is_some_and(Version::is_deleted) {
            return Ok(None);
        }
        match (self.look(tenant, key).await?, shown) {
            // Some servers show nothing of what they do not have.
            (CurrentState::Never, None) => Err(StoreError::not_found()),
            (CurrentState::Gone(_), Some(shown)) => {
                let newest = self.newest(tenant, key).await?;
                let fits = newest.is_deleted() && (newest.version == shown.version.next() || self.options.gaps);
                Ok(fits.then_some(newest))
            }
            (CurrentState::Living(found), shown) if shown.is_none_or(|shown| shown.version < found.version) => {
                Ok(Some(found))
            }
            _ => Ok(None),
        }
    }

    /// Returns the versions of one page, and the place of the next one. `above` is the version before the first of
    /// them.
    async fn versions(
        &self,
        tenant: &Tenant,
        key: &Key,
        place: &str,
        above: Option<VersionId>,
        within: usize,
    ) -> Result<(Vec<Version>, Option<String>)> {
        let (bundle, next) = self.bundle(tenant, OutgoingRequest::get(place).within(within)).await?;
        let told = bundle.entry.iter().map(|entry| HistoryEntry::of(self, key, entry)).collect::<Result<Vec<_>>>()?;
        let mut versions: Vec<Version> = Vec::new();
        let mut told = told.into_iter().peekable();
        while let Some(one) = told.next() {
            let version = match (one, told.peek()) {
                (HistoryEntry::Living(version), _) => version,
                (HistoryEntry::Deleted(number), Some(HistoryEntry::Living(older))) => {
                    let number = number.or_else(|| Some(older.version.next()).filter(|_| !self.options.gaps));
                    deletion(older.clone(), number.ok_or(ServerFault::VersionMissing)?)
                }
                (HistoryEntry::Deleted(number), _) => {
                    let newer = versions.last().map(|newer| newer.version).or(above);
                    let number = number.or_else(|| newer.and_then(before).filter(|_| !self.options.gaps));
                    self.vread_now(tenant, key, number.ok_or(ServerFault::VersionMissing)?).await?
                }
            };
            versions.push(version);
        }
        // Some servers sort by time, which may fall between versions of the same moment.
        versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        versions.dedup_by_key(|version| version.version);
        let versions =
            if self.options.gaps { versions } else { self.without_gaps(tenant, key, above, versions).await? };
        Ok((versions, next))
    }

    /// Puts the versions in that are left out: those of another page, and the deletions that a history does not show.
    async fn without_gaps(
        &self,
        tenant: &Tenant,
        key: &Key,
        above: Option<VersionId>,
        shown: Vec<Version>,
    ) -> Result<Vec<Version>> {
        let mut all = Vec::with_capacity(shown.len());
        let (mut newer, mut missed) = (above, 0);
        for version in shown {
            while let Some(missing) = newer.and_then(before).filter(|missing| *missing > version.version) {
                missed += 1;
                let is_last = missing == version.version.next();
                let found = match self.vread_now(tenant, key, missing).await {
                    Err(StoreError::NotFound { .. }) if is_last && !version.is_deleted() => {
                        deletion(version.clone(), missing)
                    }
                    Err(StoreError::NotFound { .. }) => return Err(left_out(key, missing)),
                    found => found?,
                };
                if missed > MOST_MISSED {
                    return Err(left_out(key, missing));
                }
                newer = Some(missing);
                all.push(found);
            }
            newer = Some(version.version);
            all.push(version);
        }
        Ok(all)
    }

    /// Returns the versions below one, each by a request of its own: at most `most`, or of so many bytes.
    async fn versions_below(
        &self,
        tenant: &Tenant,
        key: &Key,
        version: VersionId,
        (most, bytes): (usize, usize),
    ) -> Result<Vec<Version>> {
        let (mut all, mut lowest, mut left) = (Vec::<Version>::new(), version, bytes);
        while all.len() < most && left > 0 {
            let Some(next) = before(lowest) else { break };
            match self.vread_now(tenant, key, next).await {
                Ok(found) => {
                    left = left.saturating_sub(size(&found));
                    all.push(found);
                    lowest = next;
                }
                Err(StoreError::NotFound { .. }) => {
                    // What a server shows nothing of is a deletion, where a version before it is kept, and else forgotten.
                    let Some(older) = before(next) else { break };
                    match self.vread_now(tenant, key, older).await {
                        Ok(older) if !older.is_deleted() => all.push(deletion(older, next)),
                        Ok(_) | Err(StoreError::NotFound { .. }) => break,
                        Err(error) => return Err(error),
                    }
                    lowest = next;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    pub(super) async fn history_now(
        &self,
        tenant: &Tenant,
        key: &Key,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        let query = PageQuery::History(key);
        let opened = after.map(|token| self.options.pages.open(tenant, query, token)).transpose()?;
        let place = opened.map(|bytes| Place::from_bytes(bytes, &[]).ok_or_else(of_another_store)).transpose()?;
        self.has_history()?;
        let limit = to_usize(limit).min(MOST);
        // One more than is wanted: by the older one a deletion is numbered.
        let question = format!("{}/_history?_count=", self.address(key));
        let first = || Place::at(format!("{question}{}", limit + 1));
        let mut place = place.unwrap_or_else(first);
        let below: Option<VersionId> = match place.last.as_str() {
            "" => None,
            last => Some(last.parse().map_err(|_| of_another_store())?),
        };
        let (mut above, mut items) = (below.filter(|_| !place.again), Vec::new());
        let (mut bytes, mut begins) = (0_usize, after.is_none());
        let one_by_one = one_by_one(key);
        let seal = |place: &Place| self.options.pages.seal(tenant, query, &place.to_bytes(&[]));
        for pages in 1..=MAX_PAGES_PER_CALL {
            if place.link == one_by_one {
                let lowest = items.last().map(|version: &Version| version.version).or(below);
                let Some(lowest) = lowest else { return Err(of_another_store()) };
                let room = (limit.saturating_sub(items.len()), PAGE_BYTES.saturating_sub(bytes));
                let found = self.versions_below(tenant, key, lowest, room).await?;
                let size = found.iter().map(size).sum::<usize>();
                let ends = found.len() < room.0 && size < room.1;
                items.extend(found);
                let last = items.last().filter(|last| !ends && before(last.version).is_some());
                let Some(last) = last.map(|last| last.version.to_string()) else {
                    return Ok(Page { items, next: None });
                };
                return Ok(Page { items, next: Some(seal(&Place { last, link: one_by_one, ..Place::default() })?) });
            }
            let smaller = fewer(&place.link, 2).filter(|_| place.link.starts_with(&question));
            let within = if smaller.is_some() { PAGE_ANSWER } else { usize::MAX };
            let (mut found, mut next) = match (self.versions(tenant, key, &place.link, above, within).await, smaller) {
                (Err(error), Some(link)) if is_too_large(&error) => {
                    place.link = link;
                    continue;
                }
                (page, _) => page?,
            };
            if std::mem::take(&mut begins) {
                let top = self.top(tenant, key, found.first()).await?;
                if let (Some(top), Some(first)) = (&top, found.first())
                    && first.version.next() != top.version
                    && !self.options.gaps
                {
                    // The history is behind by several versions.
                    found.clear();
                    next = None;
                }
                found.splice(..0, top);
            }
            above = found.last().map(|version| version.version).or(above);
            let shown = items.last().map(|version: &Version| version.version).or(below);
            found.retain(|version| shown.is_none_or(|shown| version.version < shown));
            let room = limit.saturating_sub(items.len()).min(fitting(&found, PAGE_BYTES.saturating_sub(bytes)));
            let cut = found.len() > room;
            found.truncate(room);
            bytes = bytes.saturating_add(found.iter().map(size).sum());
            items.extend(found);
            // A history that ends before the first version was cut, or the versions before it are forgotten.
            let short = || above.and_then(before).filter(|_| !self.options.gaps).map(|_| one_by_one.clone());
            let Some(link) = (if cut { Some(place.link.clone()) } else { next.or_else(short) }) else {
                return Ok(Page { items, next: None });
            };
            if !cut && link == place.link {
                return Err(ServerFault::EndlessPages.into());
            }
            let last = items.last().map_or(place.last, |version| version.version.to_string());
            place = Place { last, link, again: cut, start: None };
            let sealed = seal(&place);
            let full = items.len() >= limit || bytes >= PAGE_BYTES;
            if !full && (pages < MAX_SERVER_PAGES || (items.is_empty() && sealed.is_err())) {
                continue;
            }
            // Where the link is too long for a token, the pages are walked through from the first.
            let next = sealed.or_else(|_| seal(&Place { last: place.last, again: true, ..first() }))?;
            return Ok(Page { items, next: Some(next) });
        }
        Err(ServerFault::EndlessPages.into())
    }
}
