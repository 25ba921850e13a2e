//! Searches: of one type, and of all.

use super::find::size;
use super::header::Handling;
use super::include::Included;
use super::place::Place;
use super::problem::{Problem, Result};
use super::query::{Query, Total};
use super::shown::Age;
use super::subset::Subset;
use super::version_terms::Terms;
use super::{Body, Response, Server};
use crate::issue::{IssueType, Severity};
use crate::resource::OperationOutcome;
use crate::search::ResourceType;
use crate::store::{PageToken, ResourceStore, Version};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use url::form_urlencoded;

/// What an entry of a search is that is no resource.
const OUTCOME: &str = "\"search\":{\"mode\":\"outcome\"}";

/// The most parameters that were passed over and are named.
const NAMED: usize = 20;

/// Returns the outcome that names the parameters that a search passed over.
fn passed_over(ignored: &[String]) -> Option<String> {
    let mut outcome: Option<OperationOutcome> = None;
    for name in ignored.iter().take(NAMED) {
        let words = format!("`{name}` is not a search parameter here, and was passed over");
        let more = Problem::new(200, IssueType::NotSupported, "ignored-parameter", words).warning();
        match &mut outcome {
            Some(outcome) => outcome.issue.extend(more.issue),
            None => outcome = Some(more),
        }
    }
    outcome.map(|outcome| outcome.to_json())
}

/// What a page of a search shows.
struct Shown<'p> {
    total: Option<usize>,
    links: Vec<(&'static str, String)>,
    matches: &'p [Version],
    included: Included,
    subset: &'p Subset,
    ignored: &'p [String],
}

/// A search of all types, of those that `_type` names, or of the two that are Devices from R4 on.
struct AllTypes {
    types: Vec<ResourceType>,
    /// What its address has behind the base.
    path: &'static str,
    /// Where the page begins.
    page: Option<StartOfPage>,
    /// The query of each type.
    query: String,
    /// The query of components, where it is another.
    component_query: Option<String>,
    /// The parameters for the links.
    used: Vec<(String, String)>,
    ignored: Vec<String>,
}

impl AllTypes {
    fn query_of(&self, kind: ResourceType) -> &str {
        let own = self.component_query.as_deref().filter(|_| kind == ResourceType::DeviceComponent);
        own.unwrap_or(&self.query)
    }
}

/// Where a page of a search of several types begins.
#[derive(Clone, Debug)]
struct StartOfPage {
    /// How many resources were shown before it.
    seen: usize,
    /// The type, and the token of its search there; where there is none, as many resources are passed over as were shown.
    at: Option<(ResourceType, Option<String>)>,
}

impl StartOfPage {
    fn read(page: &str) -> Result<Self> {
        let wrong = || Problem::bad("page", "`_page` is damaged, or belongs to another search");
        let (seen, at) = page.split_once('.').map_or((page, None), |(seen, at)| (seen, Some(at)));
        let seen = seen.parse().map_err(|_| wrong())?;
        let Some(at) = at else { return Ok(Self { seen, at: None }) };
        let (kind, token) = at.split_once('.').map_or((at, None), |(kind, token)| (kind, Some(token)));
        Ok(Self { seen, at: Some((kind.parse().map_err(|_| wrong())?, token.map(ToOwned::to_owned))) })
    }
}

impl fmt::Display for StartOfPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seen)?;
        match &self.at {
            None => Ok(()),
            Some((kind, None)) => write!(f, ".{kind}"),
            Some((kind, Some(token))) => write!(f, ".{kind}.{token}"),
        }
    }
}

fn written(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Returns whether a parameter is one of the page and not of the search.
fn is_of_page(name: &str) -> bool {
    matches!(name, "_count" | "_format" | "_pretty" | "_page")
}

fn refused(words: String) -> Problem {
    Problem::unsupported(400, "search-parameter", words)
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// `GET TYPE?parameters`
    pub(super) async fn search(&self, kind: ResourceType, query: &str) -> Result<Response> {
        self.spent.may_look(&self.limits)?;
        let terms = self.version_terms(kind, query)?;
        let (kind, query) = match terms {
            None => (kind, Cow::Borrowed(query)),
            Some(Terms { resource_type, pairs, components: None }) => (resource_type, Cow::Owned(written(&pairs))),
            Some(Terms { pairs, components: Some(components), .. }) => {
                let both = self.devices_and_components(pairs, components)?;
                return self.search_types(both).await;
            }
        };
        let query = Query::read(kind, &query, &self.setting(), self.handling)?;
        let hits = self.finder(&query).await?.page().await?;
        let included = Included::gather(self, &query.includes, &hits.page, &hits.targets).await?;

        let own = query.page.as_ref().map(smol_str::SmolStr::as_str);
        let mut links = vec![("self", query.link(&self.base, own, self.format))];
        let next = hits.next.as_ref().map(|next| query.link(&self.base, Some(next.as_str()), self.format));
        links.extend(next.map(|next| ("next", next)));
        let previous = hits.previous.as_ref().map(|page| page.as_ref().map(PageToken::as_str));
        links.extend(previous.map(|page| ("previous", query.link(&self.base, page, self.format))));
        let shown = Shown {
            total: hits.total,
            links,
            matches: &hits.page,
            included,
            subset: &query.subset,
            ignored: &query.ignored,
        };
        self.page_bundle(shown).await
    }

    /// Returns the Bundle of a page.
    async fn page_bundle(&self, page: Shown<'_>) -> Result<Response> {
        let mut bundle = self.bundle_writer("searchset", page.total, &page.links);
        let mut devices = BTreeMap::new();
        let matches = page.matches.iter().map(|hit| ("match", hit));
        let found: Vec<(&str, &Version)> =
            matches.chain(page.included.found.values().map(|other| ("include", other))).collect();
        let shown = self.shown_all(found.iter().map(|(_, version)| (*version, Age::Newest))).await?;
        for ((mode, version), whole) in found.into_iter().zip(shown) {
            match self.page_entry((version, whole), page.subset, &mut devices)? {
                Ok(json) => {
                    let url = format!("{}/{}", self.base, version.key);
                    bundle.entry(Some(&url), Some(&json), &format!("\"search\":{{\"mode\":\"{mode}\"}}"));
                }
                Err(outcome) => bundle.entry(None, Some(&outcome), OUTCOME),
            }
        }
        if page.included.cut {
            let words = "not all resources that go with this page are here: ask for fewer a page";
            let outcome = OperationOutcome::of(Severity::Warning, IssueType::Incomplete, words).to_json();
            bundle.entry(None, Some(&outcome.into()), OUTCOME);
        }
        if let Some(outcome) = passed_over(page.ignored) {
            bundle.entry(None, Some(&outcome.into()), OUTCOME);
        }
        Ok(Response::json(200, bundle.finish()))
    }

    /// `GET ?parameters`, a search of all types: one after another, each by the ids.
    pub(super) async fn search_all(&self, query: &str) -> Result<Response> {
        self.search_types(self.all_types(query)?).await
    }

    async fn search_types(&self, all: AllTypes) -> Result<Response> {
        self.spent.may_look(&self.limits)?;
        let first = Query::read(ResourceType::Device, &all.query, &self.setting(), Handling::Lenient)?;
        let (mut left, mut room) = (first.count, self.limits.page_bytes());
        let (mut matches, mut included, mut next) = (Vec::new(), Included::default(), None);
        let mut total = all.page.is_none().then_some(0_usize);
        let seen = all.page.as_ref().map_or(0, |page| page.seen);
        let begins = match &all.page {
            None => Some((ResourceType::Device, None)),
            Some(StartOfPage { at: Some(at), .. }) => Some(at.clone()),
            Some(StartOfPage { at: None, seen }) => self.pass_over(&all, *seen).await?,
        };
        // Behind the last resource there is nothing.
        let (start, mut token) = begins.map_or((None, None), |(start, token)| (Some(start), token));
        for kind in all.types.iter().copied().filter(|kind| start.is_some_and(|start| *kind >= start)) {
            let mut query = Query::read(kind, all.query_of(kind), &self.setting(), Handling::Lenient)?;
            // What comes behind a full page is looked for, and not shown.
            let is_full = (left == 0 && first.count > 0) || room == 0;
            query.count = if is_full { 1 } else { left };
            query.page = token.take().map(Into::into);
            let hits = self.finder(&query).await?.page().await?;
            if is_full {
                if !hits.page.is_empty() {
                    next = Some((kind, None));
                    break;
                }
                continue;
            }
            total = total.zip(hits.total).map(|(total, more)| total.saturating_add(more));
            left = left.saturating_sub(hits.page.len());
            room = room.saturating_sub(hits.page.iter().map(super::find::size).sum());
            included.extend(Included::gather(self, &query.includes, &hits.page, &hits.targets).await?);
            matches.extend(hits.page);
            if let Some(token) = hits.next {
                next = Some((kind, Some(token.to_string())));
                break;
            }
        }
        if next.is_some() {
            total = None;
        }
        if first.total == Total::Accurate && total.is_none() {
            total = Some(self.count_all(&all).await?);
        }
        let own: BTreeSet<_> = matches.iter().map(|version: &Version| version.key.clone()).collect();
        included.found.retain(|key, _| !own.contains(key));
        let mut links = vec![("self", self.link_of_all(&all, first.count, all.page.as_ref()))];
        let next = next.map(|at| StartOfPage { seen: seen.saturating_add(matches.len()), at: Some(at) });
        links.extend(next.map(|next| ("next", self.link_of_all(&all, first.count, Some(&next)))));
        if seen > 0 {
            let before = StartOfPage { seen: seen.saturating_sub(first.count), at: None };
            let before = Some(&before).filter(|before| before.seen > 0);
            links.push(("previous", self.link_of_all(&all, first.count, before)));
        }
        let total = total.filter(|_| first.total != Total::None);
        let (subset, ignored) = (&first.subset, &all.ignored);
        self.page_bundle(Shown { total, links, matches: &matches, included, subset, ignored }).await
    }

    /// Returns where a page begins before which so many resources come, if there are more.
    async fn pass_over(&self, all: &AllTypes, seen: usize) -> Result<Option<(ResourceType, Option<String>)>> {
        let mut left = seen;
        for kind in &all.types {
            let mut query = Query::read(*kind, all.query_of(*kind), &self.setting(), Handling::Lenient)?;
            query.count = 0;
            let total = self.finder(&query).await?.page().await?.total.unwrap_or_default();
            if left < total {
                let token = (left > 0).then(|| Place::behind(left).seal(&self.pages, self.store.tenant(), &query));
                return Ok(Some((*kind, token.transpose()?.map(|token| token.to_string()))));
            }
            left = left.saturating_sub(total);
        }
        Ok(None)
    }

    async fn count_all(&self, all: &AllTypes) -> Result<usize> {
        let mut total = 0_usize;
        for kind in &all.types {
            let mut query = Query::read(*kind, all.query_of(*kind), &self.setting(), Handling::Lenient)?;
            query.count = 0;
            let hits = self.finder(&query).await?.page().await?;
            total = total.saturating_add(hits.total.unwrap_or_default());
        }
        Ok(total)
    }

    fn link_of_all(&self, all: &AllTypes, count: usize, page: Option<&StartOfPage>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&all.used);
        query.append_pair("_count", &count.to_string());
        if let Some(page) = page {
            query.append_pair("_page", &page.to_string());
        }
        query.extend_pairs(self.format.parameter());
        format!("{}{}?{}", self.base, all.path, query.finish())
    }

    /// A search of Devices in R4 or later: of those that are Devices here, and behind them of components.
    fn devices_and_components(
        &self,
        pairs: Vec<(String, String)>,
        components: Vec<(String, String)>,
    ) -> Result<AllTypes> {
        if pairs.iter().any(|(name, _)| name == "_sort") {
            let version = self.format.version.mime();
            return Err(refused(format!(
                "Devices of FHIR {version} are Devices and components here, which are not sorted together: ask for \
                 components by `_tag`, or for the others by `_tag:not`"
            )));
        }
        let page = pairs.iter().find(|(name, _)| name == "_page").map(|(_, page)| page.clone());
        let without_page = |pairs: &[(String, String)]| {
            let others = pairs.iter().filter(|(name, _)| name != "_page");
            written(&others.cloned().collect::<Vec<_>>())
        };
        let mut all = AllTypes {
            types: vec![ResourceType::Device, ResourceType::DeviceComponent],
            path: "/Device",
            page: page.as_deref().map(StartOfPage::read).transpose()?,
            query: without_page(&pairs),
            component_query: Some(without_page(&components)),
            used: Vec::new(),
            ignored: Vec::new(),
        };
        all.ignored = Query::read(ResourceType::Device, &all.query, &self.setting(), self.handling)?.ignored;
        let is_used = |(name, _): &(String, String)| !is_of_page(name) && !all.ignored.contains(name);
        all.used = pairs.into_iter().filter(is_used).collect();
        Ok(all)
    }

    /// Reads the query of a search of all types: a parameter counts where each of the types has it.
    fn all_types(&self, query: &str) -> Result<AllTypes> {
        let mut all = AllTypes {
            types: ResourceType::ALL.into(),
            path: "",
            page: None,
            query: String::new(),
            component_query: None,
            used: Vec::new(),
            ignored: Vec::new(),
        };
        let mut kept: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match &*name {
                "_type" => {
                    let named = value.split(',').map(|kind| {
                        let unknown = |_| refused(format!("`_type={kind}` is not kept here, only {}", names()));
                        kind.trim().parse().map_err(unknown)
                    });
                    let mut named: BTreeSet<ResourceType> = named.collect::<Result<_>>()?;
                    // Components are Devices from R4 on.
                    if !self.format.is_stu3() && named.contains(&ResourceType::Device) {
                        named.insert(ResourceType::DeviceComponent);
                    }
                    all.types.retain(|kind| named.contains(kind));
                    all.used.push((name.into_owned(), value.into_owned()));
                }
                "_page" => all.page = Some(StartOfPage::read(&value)?),
                "_sort" => return Err(refused("a search of all types is not sorted: ask for one type".to_owned())),
                _ => kept.push((name.into_owned(), value.into_owned())),
            }
        }
        let mut unknown = BTreeSet::new();
        for kind in &all.types {
            let read = Query::read(*kind, &written(&kept), &self.setting(), Handling::Lenient)?;
            unknown.extend(read.ignored);
        }
        if let Some(name) = unknown.first().filter(|_| self.handling == Handling::Strict) {
            return Err(refused(format!("`{name}` is not a search parameter of every type that is searched")));
        }
        kept.retain(|(name, _)| !unknown.contains(name));
        all.query = written(&kept);
        all.used.extend(kept.into_iter().filter(|(name, _)| !is_of_page(name)));
        all.ignored = unknown.into_iter().collect();
        Ok(all)
    }

    /// Returns a resource of a page; an outcome where it cannot be shown in the version that is asked for. `devices`
    /// are those that the page has so far, by their ids there.
    fn page_entry(
        &self,
        (version, whole): (&Version, Body),
        subset: &Subset,
        devices: &mut BTreeMap<String, ResourceType>,
    ) -> Result<Result<Body, Body>> {
        let outcome = |report| Ok(Err(Body::from(self.outcome_of(&report, &version.key))));
        if *subset != Subset::Whole {
            self.spent.look(0, size(version));
        }
        let json = match self.part(version.key.resource_type(), whole, subset) {
            Ok(json) => json,
            Err(report) => return outcome(report),
        };
        match self.collision(&version.key, devices).filter(|_| !self.format.is_stu3()) {
            Some(report) => outcome(report),
            None => Ok(Ok(json)),
        }
    }
}

fn names() -> String {
    ResourceType::ALL.map(ResourceType::as_str).join(", ")
}
