//! Searches: the query is read strictly, the store's index is asked first, and every condition is judged on the typed
//! resource, by the rules of STU3.

pub(crate) mod filter;
pub(crate) mod params;

use super::App;
use super::answer::{Problem, Result};
use super::fhir::typed;
use axum::http::StatusCode;
use fhir_devices::Bundle;
use fhir_devices::code::{BundleType, SearchEntryMode};
use fhir_devices::primitive::{Text, UnsignedInt, Uri};
use fhir_devices::resource::bundle::{Entry, Link, Search as Found};
use fhir_devices::store::{Criterion, ResourceType, Search, Tenant, TokenMatch, Version};
use filter::{Filter, Wanted};
use params::params;
use std::collections::{BTreeMap, BTreeSet};
use url::form_urlencoded;

/// The most entries of a page.
const MAX_COUNT: usize = 500;

/// What a query asks for.
#[derive(Debug)]
pub(crate) struct Request {
    resource_type: ResourceType,
    filters: Vec<Filter>,
    count: usize,
    /// The id where the page before ended.
    after: Option<String>,
    /// The parameters that were taken into account, for the links.
    used: Vec<(String, String)>,
}

/// What was found: the resources of one page, and how many there are on all.
pub(crate) struct Hits {
    pub(crate) page: Vec<Version>,
    pub(crate) total: usize,
    more: bool,
}

impl Request {
    /// Reads a query. A parameter that is not known is refused, as ignoring it would find too much, unless the client
    /// asked for leniency.
    pub(crate) fn read(resource_type: ResourceType, query: &str, base: &str, lenient: bool) -> Result<Self> {
        let mut request = Self { resource_type, filters: Vec::new(), count: 50, after: None, used: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (plain, modifier) = match name.split_once(':') {
                Some((plain, modifier)) => (plain, Some(modifier)),
                None => (&*name, None),
            };
            match (plain, modifier) {
                ("_format" | "_pretty", None) => continue,
                ("_count", None) => request.count = count(&value)?,
                ("_summary", None) if value == "count" => request.count = 0,
                ("_summary", None) if value == "false" => {}
                ("_page", None) => {
                    request.after = Some(value.clone().into_owned());
                    continue;
                }
                _ => match params(resource_type).find(|param| param.name == plain) {
                    // A parameter without a value asks for nothing.
                    Some(_) if value.is_empty() => continue,
                    Some(param) => request.filters.push(Filter::read(param, modifier, &value, base)?),
                    None if lenient => continue,
                    None => return Err(unknown(resource_type, &name)),
                },
            }
            request.used.push((name.into_owned(), value.into_owned()));
        }
        Ok(request)
    }

    pub(crate) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// The questions to the store that together find at least everything asked for.
    fn plan(&self, base: &str) -> Vec<Search> {
        let all = Search::new(self.resource_type).limit(500);
        let of_rank = |rank: u8| self.filters.iter().filter(move |filter| self::rank(filter) == Some(rank));
        let Some(best) = (0..4).find_map(|rank| of_rank(rank).next()) else { return vec![all] };
        let asked =
            best.any_of.iter().map(|wanted| criteria(best.param.name, wanted, base)).collect::<Option<Vec<_>>>();
        let Some(asked) = asked else { return vec![all] };
        let criteria: BTreeSet<_> = asked.into_iter().flatten().collect();
        criteria.into_iter().map(|criterion| all.clone().and(criterion)).collect()
    }

    /// Looks for what is asked.
    pub(crate) async fn run(&self, app: &App, tenant: &Tenant) -> Result<Hits> {
        let store = app.tenanted(tenant);
        let base = app.fhir_base(tenant);
        let mut seen = BTreeSet::new();
        let mut page: BTreeMap<String, Version> = BTreeMap::new();
        for mut search in self.plan(&base) {
            loop {
                let found = store.search(&search).await.map_err(|error| Problem::of_store(&error, "the search"))?;
                for version in found.items {
                    self.judge(version, &base, &mut seen, &mut page)?;
                }
                match found.next {
                    Some(next) => search.after = Some(next),
                    None => break,
                }
            }
        }
        let more = page.len() > self.count && self.count > 0;
        Ok(Hits { page: page.into_values().take(self.count).collect(), total: seen.len(), more })
    }

    /// Counts what matches, and keeps the first of what lies behind the last page.
    fn judge(
        &self,
        version: Version,
        base: &str,
        seen: &mut BTreeSet<String>,
        page: &mut BTreeMap<String, Version>,
    ) -> Result<()> {
        let resource = typed(&version)?;
        let id = version.key.id().to_string();
        if !self.filters.iter().all(|filter| filter.matches(&resource, &version, base)) || !seen.insert(id.clone()) {
            return Ok(());
        }
        if self.after.as_ref().is_none_or(|after| id > *after) {
            page.insert(id, version);
            if page.len() > self.count.saturating_add(1) {
                page.pop_last();
            }
        }
        Ok(())
    }

    /// The answer.
    pub(crate) fn bundle(&self, hits: &Hits, base: &str) -> Result<Bundle> {
        let mut bundle = Bundle::new(BundleType::Searchset);
        bundle.total = u32::try_from(hits.total).ok().and_then(|n| UnsignedInt::try_from(n).ok()).map(Into::into);
        let last = hits.page.last().filter(|_| hits.more).map(|last| last.key.id().to_string());
        bundle.link.extend(self.link("self", base, self.after.as_deref()));
        bundle.link.extend(last.and_then(|last| self.link("next", base, Some(&last))));
        for version in &hits.page {
            let full_url = Uri::new(format!("{base}/{}", version.key)).ok();
            bundle.entry.push(Entry {
                full_url: full_url.map(Into::into),
                resource: Some(typed(version)?),
                search: Some(Box::new(Found { mode: Some(SearchEntryMode::Match.into()), ..Found::default() })),
                ..Entry::default()
            });
        }
        Ok(bundle)
    }

    fn link(&self, relation: &str, base: &str, after: Option<&str>) -> Option<Link> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.used.iter().filter(|(name, _)| name != "_count"));
        query.append_pair("_count", &self.count.to_string());
        if let Some(after) = after {
            query.append_pair("_page", after);
        }
        let url = format!("{base}/{}?{}", self.resource_type, query.finish());
        Some(Link::new(Text::new(relation).ok()?, Uri::new(url).ok()?))
    }
}

/// How much a condition narrows the search down by the index; `None` where the index cannot answer it.
fn rank(filter: &Filter) -> Option<u8> {
    // The index compares case, and the search does not: only what has no case can be asked for there.
    let caseless = |wanted: &Wanted| match wanted {
        Wanted::Token(token) => token.value().is_none_or(|value| value.to_lowercase() == value.to_uppercase()),
        _ => false,
    };
    let plain = !filter.not && !filter.any_of.iter().any(|wanted| matches!(wanted, Wanted::Missing(_)));
    match filter.param.name {
        _ if !plain => None,
        "_id" => Some(0),
        "parent" => Some(1),
        "source" => Some(2),
        "identifier" | "type" if filter.any_of.iter().all(caseless) => Some(3),
        _ => None,
    }
}

/// What the index is asked for one value; `None` where it does not know.
fn criteria(name: &str, wanted: &Wanted, base: &str) -> Option<Vec<Criterion>> {
    Some(match (name, wanted) {
        ("_id", Wanted::Token(TokenMatch::Value(id))) => vec![Criterion::Id(id.clone())],
        ("identifier", Wanted::Token(token)) => vec![Criterion::identifier(token.clone())],
        ("type", Wanted::Token(token)) => vec![Criterion::kind(token.clone())],
        // It may have been written relative, or with our own address.
        ("source", Wanted::Reference(text)) => {
            vec![Criterion::source(text), Criterion::source(&format!("{base}/{text}"))]
        }
        ("parent", Wanted::Reference(text)) => {
            vec![Criterion::parent(text), Criterion::parent(&format!("{base}/{text}"))]
        }
        _ => return None,
    })
}

fn count(value: &str) -> Result<usize> {
    let read = value
        .parse::<u64>()
        .map_err(|_| Problem::bad("search-value", format!("`_count={value}` is not a number of entries")))?;
    Ok(usize::try_from(read).unwrap_or(MAX_COUNT).min(MAX_COUNT))
}

fn unknown(resource_type: ResourceType, name: &str) -> Problem {
    let plain = name.split(':').next().unwrap_or_default();
    if matches!(plain, "_include" | "_revinclude") {
        let words = format!("`{plain}` is not supported yet: search for the other resources by `source` and `parent`");
        return Problem::unsupported(StatusCode::BAD_REQUEST, "search-parameter", words);
    }
    let known: Vec<&str> = params(resource_type).map(|param| param.name).collect();
    let words = format!("`{name}` is not a search parameter of {resource_type} here; there are {}", known.join(", "));
    Problem::unsupported(StatusCode::BAD_REQUEST, "search-parameter", words)
}
