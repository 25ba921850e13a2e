//! `_include` and `_revinclude`.

use super::Server;
use super::find::size;
use super::limits::CALL;
use super::problem::{Problem, Result};
use crate::reference::OwnBase;
use crate::search::{Criterion, Parameter, ResourceType, value::values};
use crate::store::{Key, ResourceStore, Search, StoreError, Version, typed};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// The most resources that go with a page.
const MAX_INCLUDED: usize = 1_000;

/// How many resources are asked for in one search.
const CHUNK: usize = 100;

/// The references that are followed: the type that has one, the parameter, and the type that it leads to.
pub(super) const FOLLOWED: [(ResourceType, Parameter, ResourceType); 4] = [
    (ResourceType::DeviceComponent, Parameter::Parent, ResourceType::DeviceComponent),
    (ResourceType::DeviceComponent, Parameter::Source, ResourceType::Device),
    (ResourceType::DeviceMetric, Parameter::Parent, ResourceType::DeviceComponent),
    (ResourceType::DeviceMetric, Parameter::Source, ResourceType::Device),
];

/// One `_include` or `_revinclude`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Include {
    /// `_revinclude`: from the target to those that refer to it.
    reverse: bool,
    /// `:recurse`, which R4 calls `:iterate`: also from what was included.
    again: bool,
    from: ResourceType,
    by: Parameter,
    to: ResourceType,
}

impl Include {
    /// Reads one; `*` and `TYPE:*` are several.
    pub(super) fn read(reverse: bool, modifier: Option<&str>, value: &str) -> Result<Vec<Self>> {
        let name = if reverse { "_revinclude" } else { "_include" };
        let again = match modifier {
            None => false,
            Some("recurse" | "iterate") => true,
            Some(other) => {
                let words = format!("`{name}` takes no `:{other}`, only `:recurse`");
                return Err(Problem::unsupported(400, "search-modifier", words));
            }
        };
        let all = |of: Option<&str>| -> Vec<Self> {
            let rows = FOLLOWED.into_iter().filter(|(from, ..)| of.is_none_or(|of| of == from.as_str()));
            rows.map(|(from, by, to)| Self { reverse, again, from, by, to }).collect()
        };
        if value == "*" {
            return Ok(all(None));
        }
        if let Some(of) = value.strip_suffix(":*") {
            let several = all(Some(of));
            if !several.is_empty() {
                return Ok(several);
            }
        }
        let mut parts = value.split(':');
        let (from, by, to) = (parts.next(), parts.next(), parts.next());
        let found = FOLLOWED.into_iter().find(|(has, parameter, leads)| {
            from == Some(has.as_str())
                && by == Some(parameter.as_str())
                && to.is_none_or(|to| to == leads.as_str())
                && parts.clone().next().is_none()
        });
        let Some((from, by, to)) = found else {
            let known: Vec<String> = FOLLOWED.iter().map(|(from, by, _)| format!("{from}:{by}")).collect();
            let words = format!("`{name}={value}` is not supported; there are {}", known.join(", "));
            return Err(Problem::unsupported(400, "search-include", words));
        };
        Ok(vec![Self { reverse, again, from, by, to }])
    }
}

impl Include {
    /// Returns the reference that is followed from what a search finds, and the type to which it leads.
    pub(super) fn followed_from(self, found: ResourceType) -> Option<(Parameter, ResourceType)> {
        (!self.reverse && self.from == found).then_some((self.by, self.to))
    }
}

/// What goes with some resources.
#[derive(Debug, Default)]
pub(super) struct Included {
    /// The resources, in the order of their keys.
    pub(super) found: BTreeMap<Key, Version>,
    /// There were more than [`MAX_INCLUDED`], or more than the bytes of a page.
    pub(super) cut: bool,
    /// The bytes of the page and of what goes with it.
    bytes: usize,
}

impl Included {
    /// Follows the references from a page, and back to it. Some of what it refers to may be there already.
    pub(super) async fn gather<S: ResourceStore + ?Sized>(
        server: &Server<S>,
        includes: &[Include],
        page: &[Version],
        targets: &BTreeMap<Key, Version>,
    ) -> Result<Self> {
        let mut included = Self { bytes: page.iter().map(size).sum(), ..Self::default() };
        if includes.is_empty() {
            return Ok(included);
        }
        let mut known: BTreeSet<Key> = page.iter().map(|version| version.key.clone()).collect();
        let mut frontier = page.to_vec();
        let mut applied = includes.to_vec();
        while !frontier.is_empty() && !applied.is_empty() && !included.cut {
            let mut searches = Vec::new();
            let mut next = Vec::new();
            let mut wanted = forward(server, &applied, &frontier, &known)?;
            for (kind, ids) in &mut wanted {
                let here = |id: &SmolStr| targets.get(&Key::new(*kind, id.clone()).ok()?);
                let (there, missing) = ids.iter().cloned().partition(|id| here(id).is_some());
                *ids = missing;
                let there: BTreeSet<SmolStr> = there;
                included.add(server, there.iter().filter_map(here).cloned(), &mut known, &mut next);
            }
            searches_for(wanted, &mut searches);
            backward(&applied, &frontier, &server.base, &mut searches);
            for search in searches {
                included.take(server, search, &mut known, &mut next).await?;
            }
            included.found.extend(next.iter().map(|version| (version.key.clone(), version.clone())));
            frontier = next;
            applied.retain(|include| include.again);
        }
        Ok(included)
    }

    /// Adds what goes with another page.
    pub(super) fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
        self.cut |= other.cut;
    }

    /// Adds resources that are not known yet, as far as there is room.
    fn add<S: ResourceStore + ?Sized>(
        &mut self,
        server: &Server<S>,
        versions: impl Iterator<Item = Version>,
        known: &mut BTreeSet<Key>,
        next: &mut Vec<Version>,
    ) {
        for version in versions {
            if known.contains(&version.key) {
                continue;
            }
            let bytes = self.bytes.saturating_add(size(&version));
            if self.found.len().saturating_add(next.len()) >= MAX_INCLUDED || bytes > server.limits.page_bytes() {
                self.cut = true;
                return;
            }
            self.bytes = bytes;
            known.insert(version.key.clone());
            next.push(version);
        }
    }

    async fn take<S: ResourceStore + ?Sized>(
        &mut self,
        server: &Server<S>,
        mut search: Search,
        known: &mut BTreeSet<Key>,
        next: &mut Vec<Version>,
    ) -> Result<()> {
        loop {
            server.spent.may_look(&server.limits)?;
            let page = server.store.search(&search).await.map_err(|error| Problem::of_store(&error, "the search"))?;
            server.spent.look(CALL + page.items.len(), 0);
            self.add(server, page.items.into_iter(), known, next);
            if self.cut {
                return Ok(());
            }
            match page.next {
                Some(token) => search.after = Some(token),
                None => return Ok(()),
            }
        }
    }
}

fn limit() -> u32 {
    u32::try_from(MAX_INCLUDED).unwrap_or(u32::MAX)
}

/// Returns the ids to which the resources refer, by type.
fn forward<S: ResourceStore + ?Sized>(
    server: &Server<S>,
    includes: &[Include],
    frontier: &[Version],
    known: &BTreeSet<Key>,
) -> Result<BTreeMap<ResourceType, BTreeSet<SmolStr>>> {
    let mut wanted: BTreeMap<ResourceType, BTreeSet<_>> = BTreeMap::new();
    for version in frontier {
        let of_type = |include: &&Include| !include.reverse && include.from == version.key.resource_type();
        let mut applied = includes.iter().filter(of_type).peekable();
        if applied.peek().is_none() {
            continue;
        }
        server.spent.may_read(size(version))?;
        server.spent.look(0, size(version));
        let resource = typed(version).map_err(|error: StoreError| Problem::of_store(&error, &version.key))?;
        for include in applied {
            for text in values(&resource, include.by.as_str()).texts {
                let target = server.base.normal(text).parse::<Key>();
                if let Ok(key) = target
                    && key.resource_type() == include.to
                    && !known.contains(&key)
                {
                    wanted.entry(include.to).or_default().insert(key.id().clone());
                }
            }
        }
    }
    Ok(wanted)
}

/// Adds the searches for resources of each type: one, unless there are many.
fn searches_for(wanted: BTreeMap<ResourceType, BTreeSet<SmolStr>>, searches: &mut Vec<Search>) {
    for (kind, ids) in wanted {
        let ids: Vec<_> = ids.into_iter().collect();
        searches.extend(
            ids.chunks(CHUNK)
                .map(|ids| Search::new(kind).and(Criterion::AnyId(ids.iter().cloned().collect())).limit(limit())),
        );
    }
}

/// The searches for what refers to the resources.
fn backward(includes: &[Include], frontier: &[Version], base: &OwnBase, searches: &mut Vec<Search>) {
    for include in includes.iter().filter(|include| include.reverse) {
        let targets: Vec<&Key> =
            frontier.iter().map(|version| &version.key).filter(|key| key.resource_type() == include.to).collect();
        searches.extend(targets.chunks(CHUNK).map(|keys| {
            // They may be written relative, or with our own address.
            let forms = keys.iter().flat_map(|key| {
                base.forms(&key.to_string()).into_iter().map(|form| Criterion::value(include.by, &form))
            });
            Search::new(include.from).and(Criterion::AnyOf(forms.collect())).limit(limit())
        }));
    }
}
