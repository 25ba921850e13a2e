//! The versions of a resource, newest first.

use super::FhirServer;
use super::fault::ServerFault;
use super::place::{Entry, Place};
use super::read::{Look, content_of, deletion};
use super::wire::Ask;
use crate::backend::form::to_usize;
use crate::store::{Key, Page, PageToken, Query, Result, StoreError, Tenant, Version, VersionId};
use std::num::NonZeroU32;

/// The most versions that are asked for at once.
const MOST: usize = 500;
/// How many pages of the server are read to fill one of ours.
const PATIENCE: usize = 20;
/// How many pages are read in one call at all, where no token can hold the place of the next.
const ENDLESS: usize = 10_000;

fn of_another_store() -> StoreError {
    StoreError::invalid("the page token is of another store")
}

/// A version in a history: a deletion may be told without its number.
enum Told {
    Living(Version),
    Deleted(Option<VersionId>),
}

impl Told {
    fn of(key: &Key, entry: &Entry) -> Result<Self> {
        match entry.resource.as_ref().filter(|_| !entry.is_deletion()) {
            Some(json) => {
                let content = content_of(key, json.get().as_bytes(), entry.version(), entry.modified());
                content.map(Self::Living)
            }
            None => Ok(Self::Deleted(entry.version().and_then(|version| version.parse().ok()))),
        }
    }
}

fn before(version: VersionId) -> Option<VersionId> {
    VersionId::new(version.get().saturating_sub(1))
}

impl FhirServer {
    /// The newest version, by the history.
    pub(super) async fn newest(&self, tenant: &Tenant, key: &Key) -> Result<Version> {
        let (versions, _) = self.versions(tenant, key, &format!("{key}/_history?_count=2"), None).await?;
        versions.into_iter().next().ok_or_else(|| ServerFault::VersionNotTold.into())
    }

    /// The versions of one page, and the place of the next one. `above` is the version before the first of them.
    async fn versions(
        &self,
        tenant: &Tenant,
        key: &Key,
        place: &str,
        above: Option<VersionId>,
    ) -> Result<(Vec<Version>, Option<String>)> {
        let (sheaf, next) = self.sheaf(tenant, Ask::get(place)).await?;
        let told = sheaf.entry.iter().map(|entry| Told::of(key, entry)).collect::<Result<Vec<_>>>()?;
        let mut versions: Vec<Version> = Vec::new();
        let mut told = told.into_iter().peekable();
        while let Some(one) = told.next() {
            let version = match (one, told.peek()) {
                (Told::Living(version), _) => version,
                (Told::Deleted(number), Some(Told::Living(older))) => {
                    let number = number.or_else(|| Some(older.version.next()).filter(|_| !self.options.gaps));
                    deletion(older.clone(), number.ok_or(ServerFault::VersionNotTold)?)
                }
                (Told::Deleted(number), _) => {
                    let newer = versions.last().map(|newer| newer.version).or(above);
                    let number = number.or_else(|| newer.and_then(before).filter(|_| !self.options.gaps));
                    self.vread_now(tenant, key, number.ok_or(ServerFault::VersionNotTold)?).await?
                }
            };
            versions.push(version);
        }
        Ok((versions, next))
    }

    pub(super) async fn history_now(
        &self,
        tenant: &Tenant,
        key: &Key,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<Version>> {
        let query = Query::History(key);
        let opened = after.map(|token| self.options.pages.open(tenant, query, token)).transpose()?;
        let place = opened.map(|bytes| Place::from_bytes(bytes, &[]).ok_or_else(of_another_store)).transpose()?;
        self.has_history()?;
        let limit = to_usize(limit).min(MOST);
        // One more than is wanted: by the older one a deletion is numbered.
        let first = || Place::at(format!("{key}/_history?_count={}", limit + 1));
        let mut place = place.unwrap_or_else(first);
        let below: Option<VersionId> = match place.last.as_str() {
            "" => None,
            last => Some(last.parse().map_err(|_| of_another_store())?),
        };
        let (mut above, mut items) = (below.filter(|_| !place.again), Vec::new());
        for pages in 1..=ENDLESS {
            let (mut found, next) = self.versions(tenant, key, &place.link, above).await?;
            // Some servers show nothing of what they do not have.
            if found.is_empty() && next.is_none() && matches!(self.look(tenant, key).await?, Look::Never) {
                return Err(StoreError::NotFound);
            }
            if !found.is_sorted_by(|newer, older| newer.version > older.version) {
                let what = format!("the history of `{key}` is not newest first");
                return Err(StoreError::Corrupt { what });
            }
            above = found.last().map(|version| version.version).or(above);
            let shown = items.last().map(|version: &Version| version.version).or(below);
            found.retain(|version| shown.is_none_or(|shown| version.version < shown));
            let room = limit.saturating_sub(items.len());
            let cut = found.len() > room;
            found.truncate(room);
            items.extend(found);
            let Some(link) = (if cut { Some(place.link.clone()) } else { next }) else {
                return Ok(Page { items, next: None });
            };
            if !cut && link == place.link {
                return Err(ServerFault::EndlessPages.into());
            }
            let last = items.last().map_or(place.last, |version| version.version.to_string());
            place = Place { last, link, again: cut };
            let seal = |place: &Place| self.options.pages.seal(tenant, query, &place.to_bytes(&[]));
            let sealed = seal(&place);
            if items.len() < limit && (pages < PATIENCE || (items.is_empty() && sealed.is_err())) {
                continue;
            }
            // Where the link is too long for a token, the pages are walked through from the first.
            let next = sealed.or_else(|_| seal(&Place { last: place.last, again: true, ..first() }))?;
            return Ok(Page { items, next: Some(next) });
        }
        Err(ServerFault::EndlessPages.into())
    }
}
