//! Searches.

use super::FhirServer;
use super::content::incoming;
use super::fault::ServerFault;
use super::place::{Place, encoded};
use super::read::version_of;
use super::wire::Ask;
use crate::backend::form::to_usize;
use crate::rest::params;
use crate::store::{
    Criterion, Key, Matching, Page, Parameter, Query, ResourceType, Result, Search, StoreError, Tenant, Token,
    TokenMatch, Version,
};

/// The most resources that are asked for at once.
const MOST: usize = 500;
/// The longest query that is sent in an address.
const LONGEST: usize = 2_000;

type Pair = (String, String);

fn unsupported(what: &'static str) -> StoreError {
    StoreError::Unsupported { what }
}

/// The commas and bars of a value, which would part it.
fn escaped(text: &str) -> String {
    TokenMatch::Value(text.into()).to_string()
}

fn takes(kind: ResourceType, parameter: Parameter) -> bool {
    params(kind).any(|param| param.index == Some(parameter))
}

/// One criterion as a pair of a query; `None` where nothing meets it.
fn pair(kind: ResourceType, criterion: &Criterion) -> Result<Option<Pair>> {
    Ok(Some(match criterion {
        Criterion::Id(id) => ("_id".into(), escaped(id)),
        Criterion::AnyId(ids) if ids.is_empty() => return Ok(None),
        Criterion::AnyId(ids) => ("_id".into(), ids.iter().map(|id| escaped(id)).collect::<Vec<_>>().join(",")),
        Criterion::Is(parameter, _) | Criterion::Begins(parameter, _) if !takes(kind, *parameter) => {
            return Err(unsupported("a search parameter that the type does not have"));
        }
        Criterion::Is(parameter, wanted) => (parameter.to_string(), value(*parameter, wanted)?),
        // A server compares the beginnings of texts by itself.
        Criterion::Begins(parameter, start) if parameter.matching() == Matching::Text && !start.is_empty() => {
            (parameter.to_string(), escaped(start))
        }
        Criterion::Begins(..) => return Err(unsupported("a search by the beginning of a value")),
        Criterion::AnyOf(any) => return any_of(kind, any),
    }))
}

fn any_of(kind: ResourceType, any: &[Criterion]) -> Result<Option<Pair>> {
    let mut whole: Option<Pair> = None;
    for criterion in any {
        let Some((name, value)) = pair(kind, criterion)? else { continue };
        whole = Some(match whole {
            None => (name, value),
            Some((of, values)) if of == name => (of, format!("{values},{value}")),
            Some(_) => return Err(unsupported("a search for any of several parameters")),
        });
    }
    Ok(whole)
}

fn value(parameter: Parameter, wanted: &TokenMatch) -> Result<String> {
    let text = wanted.value();
    // It may have been cut, and a server compares the whole.
    if text.is_some_and(|text| text.len() >= Parameter::LONGEST) && parameter.matching() != Matching::Text {
        return Err(unsupported("a search for so long a value"));
    }
    if text.is_some_and(|text| text.is_empty()) {
        return Err(unsupported("a search for an empty value"));
    }
    match (parameter.matching(), wanted) {
        (Matching::Token, TokenMatch::Exact(Token { system: Some(system), .. }) | TokenMatch::System(system))
            if system.len() >= Parameter::LONGEST =>
        {
            Err(unsupported("a search for so long a system"))
        }
        (Matching::Token, wanted) => Ok(wanted.to_string()),
        (_, TokenMatch::Value(text) | TokenMatch::Exact(Token { system: None, value: text })) => Ok(escaped(text)),
        (..) => Err(unsupported("a system of what has none")),
    }
}

impl FhirServer {
    pub(super) async fn search_now(&self, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
        let query = Query::Search(search);
        let opened = search.after.as_ref().map(|token| self.pages.open(tenant, query, token)).transpose()?;
        let mut asked = Vec::new();
        for criterion in &search.all_of {
            match pair(search.resource_type, criterion)? {
                Some(pair) => asked.push(pair),
                None => return Ok(Page { items: Vec::new(), next: None }),
            }
        }
        // The order of the criteria does not count for the token.
        asked.sort();
        asked.push(("_sort".into(), "_id".into()));
        let limit = to_usize(search.limit).min(MOST);
        let place = match opened {
            Some(bytes) => Place::from_bytes(bytes, &asked)
                .ok_or_else(|| StoreError::invalid("the page token is of another store"))?,
            None => {
                let all = [&*asked, &[("_count".to_owned(), limit.to_string())]].concat();
                Place { link: format!("{}?{}", search.resource_type, encoded(&all)), ..Place::default() }
            }
        };
        let form = format!("{}/_search", search.resource_type);
        let ask = match place.link.split_once('?') {
            Some((path, query)) if query.len() > LONGEST && path == search.resource_type.as_str() => {
                Ask::form(&form, query.to_owned())
            }
            _ => Ask::get(&place.link),
        };
        let (sheaf, next) = self.sheaf(tenant, ask).await?;
        let mut found = Vec::new();
        for entry in sheaf.entry {
            let mode = entry.search.and_then(|search| search.mode);
            let Some(json) = entry.resource.filter(|_| mode.is_none_or(|mode| mode == "match")) else { continue };
            let unreadable = |why: String| ServerFault::Unreadable { why };
            let content = incoming(search.resource_type, json.get().as_bytes()).map_err(unreadable)?;
            let key = Key::new(search.resource_type, content.id.as_str())?;
            found.push(version_of(&key, content, None)?);
        }
        let id = |version: &Version| version.key.id().clone();
        let several = next.is_some() || !place.last.is_empty();
        let early = found.first().is_some_and(|(first, _)| !place.again && id(first).as_str() <= place.last.as_str());
        if several && (early || !found.is_sorted_by(|a, b| id(&a.0) < id(&b.0))) {
            return Err(ServerFault::NotSorted.into());
        }
        found.sort_by_key(|(version, _)| id(version));
        found.dedup_by_key(|(version, _)| id(version));
        // A page that is asked for again shows what was shown before its cut once more.
        found.retain(|(version, _)| id(version).as_str() > place.last.as_str());
        let cut = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map_or(place.last, |(version, _)| id(version).to_string());
        let link = if cut { Some(place.link) } else { next };
        let next = link.map(|link| self.pages.seal(tenant, query, &Place { last, link, again: cut }.to_bytes(&asked)));
        let meets = |(version, index): &(Version, _)| {
            search.all_of.iter().all(|criterion| criterion.matches(version.key.id(), index))
        };
        let items = found.into_iter().filter(|item| meets(item)).map(|(version, _)| version).collect();
        Ok(Page { items, next: next.transpose()? })
    }
}
