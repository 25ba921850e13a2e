//! Conditions on other resources: chains over references, and `_has` against their direction.

use super::Server;
use super::filter::{Filter, Setting};
use super::find::{Chunk, MAX_JUDGED, size};
use super::include::FOLLOWED;
use super::limits::CALL;
use super::plan::Plan;
use super::problem::{Problem, Result};
use super::query::MAX_COUNT;
use crate::resource::{Resource, member};
use crate::search::{Criterion, Parameter, ResourceType, params};
use crate::store::{BoxFuture, Key, ResourceStore, Search, StoreError, Version, typed};
use crate::support::yield_now;
use std::collections::BTreeSet;

/// The most resources at the other end of a reference that are looked up before the search. Where there are more, each page
/// looks at those that its own resources refer to.
const NARROW: usize = 1_000;

/// The most references that a condition goes over.
const DEEPEST: usize = 4;

/// How many references are asked for in one search.
const CHUNK: usize = 250;

/// A reference between the resource that is looked for and another one.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// The resource refers to another one by this parameter.
    Forward(Parameter, ResourceType),
    /// `_has`: one of this type refers to the resource.
    Reverse(ResourceType, Parameter),
}

impl Link {
    /// Returns the type of the other resource.
    fn other(self) -> ResourceType {
        match self {
            Self::Forward(_, to) => to,
            Self::Reverse(from, _) => from,
        }
    }
}

/// A condition on what another resource is.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    link: Link,
    end: End,
}

/// What the other resource must be.
#[derive(Clone, Debug)]
enum End {
    Meets(Box<Filter>, Plan),
    Linked(Box<Chain>),
}

impl Chain {
    /// Reads `source.identifier`, `source:Device.model`, `_has:DeviceComponent:source:type` and what is made of them; nothing
    /// where the name is none of that, or begins with a parameter that is not known.
    pub(super) fn read(of: ResourceType, name: &str, value: &str, setting: &Setting<'_>) -> Result<Option<Self>> {
        Self::at_depth(of, name, value, setting, 1)
    }

    fn at_depth(
        of: ResourceType,
        name: &str,
        value: &str,
        setting: &Setting<'_>,
        depth: usize,
    ) -> Result<Option<Self>> {
        let Some((link, rest)) = Self::link(of, name)? else { return Ok(None) };
        if depth > DEEPEST {
            let words = format!("`{name}` goes over more than {DEEPEST} references");
            return Err(Problem::unsupported(400, "search-parameter", words));
        }
        if let Some(chain) = Self::at_depth(link.other(), rest, value, setting, depth + 1)? {
            return Ok(Some(Self { link, end: End::Linked(Box::new(chain)) }));
        }
        let (plain, modifier) = match rest.split_once(':') {
            Some((plain, modifier)) => (plain, Some(modifier)),
            None => (rest, None),
        };
        let Some(param) = params(link.other()).find(|param| param.name == plain) else {
            let words = format!("`{rest}` is not a search parameter of {} here", link.other());
            return Err(Problem::unsupported(400, "search-parameter", words));
        };
        let filter = Filter::read(param, modifier, value, setting)?;
        let plan = Plan::of(std::slice::from_ref(&filter), setting);
        Ok(Some(Self { link, end: End::Meets(Box::new(filter), plan) }))
    }

    /// Returns the first reference that a name goes over, and what comes behind it.
    fn link(of: ResourceType, name: &str) -> Result<Option<(Link, &str)>> {
        let refused = |words: String| Err(Problem::unsupported(400, "search-parameter", words));
        if let Some(rest) = name.strip_prefix("_has:") {
            let mut parts = rest.splitn(3, ':');
            let (from, by, rest) = (parts.next(), parts.next(), parts.next());
            let found = FOLLOWED
                .into_iter()
                .find(|(has, parameter, to)| from == Some(has.as_str()) && by == Some(parameter.as_str()) && *to == of);
            return match (found, rest) {
                (Some((from, by, _)), Some(rest)) => Ok(Some((Link::Reverse(from, by), rest))),
                _ => {
                    let known: Vec<String> = FOLLOWED
                        .iter()
                        .filter(|(.., to)| *to == of)
                        .map(|(from, by, _)| format!("`_has:{from}:{by}:..`"))
                        .collect();
                    let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                    refused(format!("`{name}` is not followed; for {of} there is {known}"))
                }
            };
        }
        let Some((head, rest)) = name.split_once('.') else { return Ok(None) };
        let (by, to) = head.split_once(':').map_or((head, None), |(by, to)| (by, Some(to)));
        if !params(of).any(|param| param.name == by) {
            return Ok(None);
        }
        let found = FOLLOWED.into_iter().find(|(has, parameter, leads)| {
            *has == of && by == parameter.as_str() && to.is_none_or(|to| to == leads.as_str())
        });
        match found {
            Some((_, by, to)) => Ok(Some((Link::Forward(by, to), rest))),
            None => refused(format!("`{head}` of {of} leads to nothing that is kept here")),
        }
    }

    /// Returns whether a page needs the bodies of its resources to check it.
    pub(super) fn needs_body(&self) -> bool {
        matches!(self.link, Link::Forward(..))
    }
}

/// What the conditions on other resources come to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// What the resource itself must meet for those that few others meet.
    pub(super) all_of: Vec<Criterion>,
    /// The places of those that many others meet.
    pub(super) wide: Vec<usize>,
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Looks up what meets the conditions on other resources.
    pub(super) async fn resolve(&self, of: ResourceType, chains: &[Chain]) -> Result<Resolved> {
        let mut resolved = Resolved::default();
        for (at, chain) in chains.iter().enumerate() {
            match self.criterion(of, chain).await? {
                Some(criterion) => resolved.all_of.push(criterion),
                None => resolved.wide.push(at),
            }
        }
        Ok(resolved)
    }

    /// Returns what a resource of a type must meet so that a condition holds; nothing where too many others meet it.
    fn criterion<'a>(&'a self, of: ResourceType, chain: &'a Chain) -> BoxFuture<'a, Result<Option<Criterion>>> {
        Box::pin(async move {
            let Some(others) = self.few(chain).await? else { return Ok(None) };
            Ok(Some(match chain.link {
                Link::Forward(by, _) => referring(self, by, others.iter().map(|other| &other.key)),
                Link::Reverse(_, by) => Criterion::AnyId(self.targets(&others, by, of)?),
            }))
        })
    }

    /// Returns the resources at the other end of a reference that meet its condition, unless they are many.
    async fn few(&self, chain: &Chain) -> Result<Option<Vec<Version>>> {
        let kind = chain.link.other();
        let with_bodies = matches!(chain.link, Link::Reverse(..));
        let (all_of, unindexed) = match &chain.end {
            End::Meets(filter, plan) => (plan.all_of.clone(), Some(filter).filter(|_| !plan.unindexed.is_empty())),
            End::Linked(inner) => match self.criterion(kind, inner).await? {
                Some(criterion) => (vec![criterion], None),
                None => return Ok(None),
            },
        };
        let (mut found, mut looked_at) = (Vec::new(), 0_usize);
        let mut search = Search { all_of, bodies: with_bodies || unindexed.is_some(), ..Search::new(kind) };
        let (mut chunk, mut is_first) = (Chunk::new(&self.limits, MAX_COUNT), true);
        loop {
            let wanted = if search.bodies { chunk.next(MAX_COUNT) } else { NARROW + 1 };
            search = search.limit(u32::try_from(wanted).unwrap_or(u32::MAX));
            let page = self.look_for(&search).await?;
            chunk = Chunk::new(&self.limits, MAX_COUNT);
            for version in page.items {
                chunk.took(size(&version));
                looked_at = looked_at.saturating_add(1);
                if unindexed.map_or(Ok(true), |filter| self.meets(filter, &version))? {
                    found.push(version);
                }
            }
            if found.len() > NARROW || looked_at > MAX_JUDGED {
                return Ok(None);
            }
            if is_first && page.next.is_some() && unindexed.is_none() && self.are_many(&search).await? {
                return Ok(None);
            }
            is_first = false;
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(Some(found)),
            }
            yield_now().await;
        }
    }

    /// Returns whether a search finds many, or the store takes long to find few: it does not come to the end at once.
    async fn are_many(&self, search: &Search) -> Result<bool> {
        if !search.bodies {
            return Ok(true);
        }
        let most = u32::try_from(NARROW + 1).unwrap_or(u32::MAX);
        let keys = Search { bodies: false, after: None, ..search.clone() }.limit(most);
        Ok(self.look_for(&keys).await?.next.is_some())
    }

    async fn look_for(&self, search: &Search) -> Result<crate::store::Page<Version>> {
        self.spent.may_look(&self.limits)?;
        let page = self.store.search(search).await.map_err(|error| Problem::of_store(&error, "the search"))?;
        self.spent.look(CALL.saturating_add(page.items.len()), 0);
        Ok(page)
    }

    /// Returns whether a stored resource meets a filter.
    fn meets(&self, filter: &Filter, version: &Version) -> Result<bool> {
        if !filter.needs_body() {
            return Ok(filter.matches(None, version, &self.base));
        }
        Ok(filter.matches(Some(&self.read_typed(version)?), version, &self.base))
    }

    pub(super) fn read_typed(&self, version: &Version) -> Result<Resource> {
        self.spent.may_read(size(version))?;
        self.spent.look(0, size(version));
        typed(version).map_err(|error: StoreError| Problem::of_store(&error, &version.key))
    }

    /// Returns what a stored resource refers to by a parameter, as a key of this service.
    fn target(&self, version: &Version, by: Parameter) -> Result<Option<Key>> {
        let body = version.body.as_deref().unwrap_or_default();
        self.spent.look(0, body.len());
        // The reference alone is read where it has the name of its parameter, as each that is followed has.
        if let Some(reference) = std::str::from_utf8(body).ok().and_then(|json| member(json, by.as_str())) {
            let reference = serde_json::from_str::<serde_json::Value>(reference).ok();
            let text = reference.as_ref().and_then(|reference| reference.get("reference")?.as_str());
            return Ok(text.and_then(|text| self.base.normal(text).parse().ok()));
        }
        Ok(None)
    }

    /// Returns the ids of a type to which resources refer.
    fn targets(&self, from: &[Version], by: Parameter, of: ResourceType) -> Result<BTreeSet<smol_str::SmolStr>> {
        let mut ids = BTreeSet::new();
        for version in from {
            let target = self.target(version, by)?.filter(|key| key.resource_type() == of);
            ids.extend(target.map(|key| key.id().clone()));
        }
        Ok(ids)
    }

    /// Of each of some resources of a type, whether a condition holds.
    pub(super) fn holds<'a>(
        &'a self,
        of: ResourceType,
        chain: &'a Chain,
        items: &'a [Version],
    ) -> BoxFuture<'a, Result<Vec<bool>>> {
        Box::pin(async move {
            match chain.link {
                Link::Forward(by, to) => {
                    let targets = items.iter().map(|version| self.target(version, by)).collect::<Result<Vec<_>>>()?;
                    let of_type = |key: &Option<Key>| key.clone().filter(|key| key.resource_type() == to);
                    let wanted: BTreeSet<Key> = targets.iter().filter_map(of_type).collect();
                    let ids: Vec<_> = wanted.into_iter().map(|key| key.id().clone()).collect();
                    let mut met = BTreeSet::new();
                    for ids in ids.chunks(CHUNK) {
                        let among = Criterion::AnyId(ids.iter().cloned().collect());
                        met.extend(self.meeting(chain, among).await?.into_iter().map(|version| version.key));
                    }
                    Ok(targets.iter().map(|target| target.as_ref().is_some_and(|key| met.contains(key))).collect())
                }
                Link::Reverse(_, by) => {
                    let mut met = BTreeSet::new();
                    for items in items.chunks(CHUNK) {
                        let among = referring(self, by, items.iter().map(|version| &version.key));
                        met.extend(self.targets(&self.meeting(chain, among).await?, by, of)?);
                    }
                    Ok(items.iter().map(|version| met.contains(version.key.id())).collect())
                }
            }
        })
    }

    /// Those among some resources at the other end of a reference that meet its condition.
    async fn meeting(&self, chain: &Chain, among: Criterion) -> Result<Vec<Version>> {
        let kind = chain.link.other();
        let (mut all_of, mut unindexed, mut inner) = (vec![among], None, None);
        match &chain.end {
            End::Meets(filter, plan) => {
                all_of.extend(plan.all_of.iter().cloned());
                unindexed = Some(filter).filter(|_| !plan.unindexed.is_empty());
            }
            End::Linked(linked) => inner = Some(linked),
        }
        let bodies = unindexed.is_some()
            || matches!(chain.link, Link::Reverse(..))
            || inner.is_some_and(|inner| inner.needs_body());
        let mut search = Search { all_of, bodies, ..Search::new(kind) };
        let mut met = Vec::new();
        // A store cuts a page by its bytes.
        search = search.limit(u32::try_from(NARROW).unwrap_or(u32::MAX));
        loop {
            let page = self.look_for(&search).await?;
            let held = match inner {
                Some(inner) => self.holds(kind, inner, &page.items).await?,
                None => vec![true; page.items.len()],
            };
            for (version, held) in page.items.into_iter().zip(held) {
                if held && unindexed.map_or(Ok(true), |filter| self.meets(filter, &version))? {
                    met.push(version);
                }
            }
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(met),
            }
            yield_now().await;
        }
    }
}

/// One of the resources is referred to: by a reference that is relative, or has our own address.
fn referring<'k, S: ResourceStore + ?Sized>(
    server: &Server<S>,
    by: Parameter,
    keys: impl Iterator<Item = &'k Key>,
) -> Criterion {
    let forms = keys.flat_map(|key| server.base.forms(&key.to_string()));
    Criterion::AnyOf(forms.map(|form| Criterion::value(by, &form)).collect())
}
