//! Searches.

use super::super::checks::{check_order, to_usize};
use super::FhirServer;
use super::fault::{ServerFault, is_too_large};
use super::place::{Entry, PAGE_ANSWER, PAGE_BYTES, Place, RawBundle, encoded, fewer};
use super::query::{CriterionQuery, Pair};
use super::read::version_of;
use super::wire::OutgoingRequest;
use crate::search::{IndexEntries, ResourceType};
use crate::store::{Key, Page, PageQuery, Result, Search, StoreError, Tenant, Version};
use std::collections::HashSet;
use time::OffsetDateTime;

/// The maximum number of resources in a request.
const MOST: usize = 500;
/// The longest query that is sent in an address.
const LONGEST: usize = 2_000;
/// The maximum number of server pages read to fill one page.
const MAX_SERVER_PAGES: usize = 20;
/// How many pages are read in one call at all, where no token can hold the place of the next.
const MAX_PAGES_PER_CALL: usize = 10_000;

type Found = Vec<(Version, IndexEntries)>;

fn id(version: &Version) -> &str {
    version.key.id()
}

fn milliseconds(time: OffsetDateTime) -> Option<i64> {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Returns what comes in the order of the ids behind `previous`. What comes before its turn, and was changed since the first
/// page was made, is left out: some servers find the rest of a long result later, and what came to be meanwhile first.
fn in_order(found: Found, previous: &str, start: Option<i64>) -> Result<Found> {
    let mut highest = previous.to_owned();
    let mut kept = Vec::with_capacity(found.len());
    for (version, index) in found {
        if id(&version) > highest.as_str() {
            id(&version).clone_into(&mut highest);
            kept.push((version, index));
        } else if start.is_none_or(|start| milliseconds(version.last_updated).is_none_or(|at| at < start)) {
            return Err(ServerFault::NotSorted.into());
        }
    }
    Ok(kept)
}

impl FhirServer {
    /// Returns the question as pairs, without the size of a page; `None` where nothing meets it.
    fn question(&self, search: &Search) -> Option<Vec<Pair>> {
        let mut pairs = Vec::new();
        for criterion in &search.all_of {
            match self.options.dialect.asked(search.resource_type, criterion, self.options.minds_case) {
                CriterionQuery::Pair(pair) => pairs.push(pair),
                CriterionQuery::Here => {}
                CriterionQuery::Never => return None,
            }
        }
        pairs.extend(self.options.dialect.of_type(search.resource_type));
        // The order of the criteria does not count for the token.
        pairs.sort();
        pairs.push(("_sort".into(), "_id".into()));
        Some(pairs)
    }

    pub(super) async fn search_now(&self, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
        check_order(search)?;
        let query = PageQuery::Search(search);
        let opened = search.after.as_ref().map(|token| self.options.pages.open(tenant, query, token)).transpose()?;
        let Some(asked) = self.question(search) else { return Ok(Page { items: Vec::new(), next: None }) };
        let limit = to_usize(search.limit).min(MOST);
        let of = self.options.dialect.type_of(search.resource_type);
        let question = format!("{of}?{}&_count=", encoded(&asked));
        let first = format!("{question}{limit}");
        let is_own = |link: &str| {
            link.strip_prefix(&question).is_some_and(|count| count.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let mut place = match opened {
            Some(bytes) => Place::from_bytes(bytes, &asked)
                .ok_or_else(|| StoreError::invalid("the page token is of another store"))?,
            None => Place::at(first.clone()),
        };
        let started = search.after.is_some();
        // The last id of the page before, where this walk has seen it.
        let mut previous = if place.again { String::new() } else { place.last.clone() };
        let (mut items, mut bytes, mut links) = (Vec::<Version>::new(), 0_usize, HashSet::new());
        for pages in 1..=MAX_PAGES_PER_CALL {
            let smaller = fewer(&place.link, 1).filter(|_| is_own(&place.link));
            let within = if smaller.is_some() { PAGE_ANSWER } else { usize::MAX };
            let page = self.page(tenant, search, &place.link, is_own(&place.link), started, within).await;
            let (bundle, next) = match (page, smaller) {
                (Err(error), Some(link)) if is_too_large(&error) => {
                    place.link = link;
                    continue;
                }
                (page, _) => page?,
            };
            if !started && place.start.is_none() {
                place.start = bundle.made_at.and_then(milliseconds);
            }
            let mut found = self.found(tenant, search, bundle)?;
            if next.is_some() || !previous.is_empty() {
                found = in_order(found, &previous, place.start)?;
            }
            found.sort_by(|a, b| id(&a.0).cmp(id(&b.0)));
            found.dedup_by(|a, b| id(&a.0) == id(&b.0));
            if let Some((last, _)) = found.last() {
                id(last).clone_into(&mut previous);
            }
            // A page that is asked for again shows what was shown before once more.
            found.retain(|(version, _)| id(version) > place.last.as_str());
            let (mut cut, mut last) = (false, place.last.clone());
            for (version, index) in found {
                if items.len() >= limit || bytes >= PAGE_BYTES {
                    cut = true;
                    break;
                }
                id(&version).clone_into(&mut last);
                if search.all_of.iter().all(|criterion| criterion.matches(id(&version), &index)) {
                    bytes = bytes.saturating_add(version.body.as_ref().map_or(0, bytes::Bytes::len));
                    items.push(version);
                }
            }
            let Some(link) = (if cut { Some(place.link.clone()) } else { next }) else {
                return Ok(Page { items, next: None });
            };
            if !cut && (link == place.link || !links.insert(link.clone())) {
                return Err(ServerFault::EndlessPages.into());
            }
            place = Place { last, link, start: place.start, again: cut };
            let sealed = self.options.pages.seal(tenant, query, &place.to_bytes(&asked));
            let full = items.len() >= limit || bytes >= PAGE_BYTES;
            if !full && (pages < MAX_SERVER_PAGES || (items.is_empty() && sealed.is_err())) {
                continue;
            }
            // Where the link is too long for a token, the pages are walked through from the first.
            let from_first =
                || Place { last: place.last.clone(), link: first.clone(), start: place.start, again: true };
            let next = sealed.or_else(|_| self.options.pages.seal(tenant, query, &from_first().to_bytes(&asked)))?;
            return Ok(Page { items, next: Some(next) });
        }
        Err(ServerFault::EndlessPages.into())
    }

    async fn page(
        &self,
        tenant: &Tenant,
        search: &Search,
        link: &str,
        own: bool,
        started: bool,
        within: usize,
    ) -> Result<(RawBundle, Option<String>)> {
        let form = format!("{}/_search", self.options.dialect.type_of(search.resource_type));
        let ask = match link.split_once('?') {
            // The server knows how long its own links may be.
            Some((_, query)) if own && query.len() > LONGEST => OutgoingRequest::form(&form, query.to_owned()),
            _ => OutgoingRequest::get(link),
        };
        self.bundle(tenant, ask.within(within)).await.map_err(|error| match error {
            StoreError::NotFound { .. } | StoreError::Gone { .. } if started => {
                StoreError::invalid("the page has expired on the server")
            }
            StoreError::NotFound { .. } => StoreError::unsupported("a search among this type"),
            error => error,
        })
    }

    /// The type and id of a resource on the server, where it is one of the type that a search asks for and has an id.
    fn named(&self, of: ResourceType, json: &str) -> Option<String> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Named {
            resource_type: String,
            id: String,
        }
        let Named { resource_type, id } = serde_json::from_str(json).ok()?;
        let is_key = Key::new(of, id.as_str()).is_ok();
        (is_key && resource_type == self.options.dialect.type_of(of).as_str()).then(|| format!("{resource_type}/{id}"))
    }

    /// Returns what was found, without what goes with it.
    fn found(&self, tenant: &Tenant, search: &Search, bundle: RawBundle) -> Result<Found> {
        let mut found = Vec::new();
        for entry in bundle.entry.into_iter().filter(Entry::is_match) {
            let Some(json) = &entry.resource else { continue };
            let content = self.options.dialect.incoming(search.resource_type, json.get().as_bytes());
            let content = match (content, &self.options.on_left_out) {
                (Ok(Some(content)), _) => content,
                (Ok(None), _) => continue,
                (Err(why), tell) => {
                    let named = self.named(search.resource_type, json.get());
                    let (Some(tell), Some(resource)) = (tell, &named) else {
                        let subject = named.map(|resource| format!("`{resource}`: ")).unwrap_or_default();
                        return Err(ServerFault::Unreadable { why: format!("{subject}{why}") }.into());
                    };
                    tell(tenant, resource, &why);
                    continue;
                }
            };
            let key = Key::new(search.resource_type, content.id.as_str())?;
            let version = version_of(&key, &content, entry.version(), entry.modified())?;
            self.known.add(tenant, &version);
            found.push((version, content.index));
        }
        Ok(found)
    }
}
