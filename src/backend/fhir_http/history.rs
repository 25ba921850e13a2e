//! The versions of a resource, newest first.

use super::FhirServer;
use super::content::incoming;
use super::fault::ServerFault;
use super::place::{Entry, Place};
use super::read::{deletion, version_of};
use super::wire::Ask;
use crate::backend::form::to_usize;
use crate::store::{Key, Page, PageToken, Query, Result, StoreError, Tenant, Version, VersionId};
use std::num::NonZeroU32;

/// The most versions that are asked for at once.
const MOST: usize = 500;

fn of_another_store() -> StoreError {
    StoreError::invalid("the page token is of another store")
}

/// A version in a history: a deletion may be told without its number.
enum Told {
    Living(Version),
    Deleted(Option<VersionId>),
}

impl Told {
    fn of(key: &Key, entry: Entry) -> Result<Self> {
        let tag = entry.response.as_ref().and_then(|response| response.etag.as_deref());
        let tag = tag.map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
        let deleted = entry.request.is_some_and(|request| request.method == "DELETE");
        match entry.resource.filter(|_| !deleted) {
            Some(json) => {
                let content = incoming(key.resource_type(), json.get().as_bytes());
                let content = content.map_err(|why| ServerFault::Unreadable { why })?;
                Ok(Self::Living(version_of(key, content, tag)?.0))
            }
            None => Ok(Self::Deleted(tag.and_then(|tag| tag.parse().ok()))),
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
        let told = sheaf.entry.into_iter().map(|entry| Told::of(key, entry)).collect::<Result<Vec<_>>>()?;
        let mut versions: Vec<Version> = Vec::new();
        let mut told = told.into_iter().peekable();
        while let Some(one) = told.next() {
            let version = match (one, told.peek()) {
                (Told::Living(version), _) => version,
                (Told::Deleted(number), Some(Told::Living(older))) => {
                    let number = number.or_else(|| Some(older.version.next()).filter(|_| !self.gaps));
                    deletion(older.clone(), number.ok_or(ServerFault::VersionNotTold)?)
                }
                (Told::Deleted(number), _) => {
                    let newer = versions.last().map(|newer| newer.version).or(above);
                    let number = number.or_else(|| newer.and_then(before).filter(|_| !self.gaps));
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
        let opened = after.map(|token| self.pages.open(tenant, query, token)).transpose()?;
        let place = opened.map(|bytes| Place::from_bytes(bytes, &[]).ok_or_else(of_another_store)).transpose()?;
        self.has_history()?;
        let limit = to_usize(limit).min(MOST);
        // One more than is wanted: by the older one a deletion is numbered.
        let first = || Place { link: format!("{key}/_history?_count={}", limit + 1), ..Place::default() };
        let place = place.unwrap_or_else(first);
        let below: Option<VersionId> = match place.last.as_str() {
            "" => None,
            last => Some(last.parse().map_err(|_| of_another_store())?),
        };
        let (mut items, next) = self.versions(tenant, key, &place.link, below).await?;
        let falling = items.is_sorted_by(|newer, older| newer.version > older.version);
        if !falling {
            let what = format!("the history of `{key}` is not newest first");
            return Err(StoreError::Corrupt { what });
        }
        items.retain(|version| below.is_none_or(|below| version.version < below));
        let cut = items.len() > limit;
        items.truncate(limit);
        let link = if cut { Some(place.link) } else { next };
        let last = items.last().map_or(place.last, |version| version.version.to_string());
        let next = link.map(|link| self.pages.seal(tenant, query, &Place { last, link, again: cut }.to_bytes(&[])));
        Ok(Page { items, next: next.transpose()? })
    }
}
