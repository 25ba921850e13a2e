//! Components as a client reads them: of their updates, those that the service knows.

use super::known::KnownUpdate;
use super::problem::{Problem, Result};
use super::splice::stamped_body;
use super::{Body, KnownUpdates, Server};
use crate::datatype::Extension;
use crate::manifest::IngestId;
use crate::primitive::{CanonicalBase, Id};
use crate::resource::{DeviceComponent, Resource};
use crate::search::ResourceType;
use crate::store::{ResourceStore, StoreError, Version, stamp, typed};
use crate::support::yield_now;
use crate::update::{AvailableUpdate, available, exactly, is_available_update, may_have_updates, update_id};
use std::collections::{BTreeMap, BTreeSet};

/// Which version of a resource is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// The newest: its updates stand as the service knows them now.
    Newest,
    /// One before it: its updates stood as it says.
    Older,
}

/// The updates of a version, as far as they can be read.
struct Said {
    component: Id,
    updates: Vec<(Option<IngestId>, Option<AvailableUpdate>)>,
    /// Whether their extensions say nothing else.
    are_exact: bool,
}

type Known = BTreeMap<(Id, IngestId), KnownUpdate>;

/// Lets a component that is the newest version say of its updates what its service knows, and of no others.
pub(crate) fn show_updates(component: &mut DeviceComponent, id: &Id, known: &Known, base: &CanonicalBase) {
    let said = Said::of(component, id.clone());
    said.shown(known, Age::Newest).put_into(component, base);
}

impl Said {
    fn of(component: &DeviceComponent, id: Id) -> Self {
        let of_updates = || component.extension.iter().filter(|one| is_available_update(one.url.as_str()));
        let updates = of_updates().map(update_id).zip(available(component).map(std::result::Result::ok)).collect();
        Self { component: id, updates, are_exact: of_updates().all(|one| exactly(one).is_some()) }
    }

    /// Returns what is shown in the place of each update.
    fn shown(&self, known: &Known, age: Age) -> Shown {
        let mut seen = BTreeSet::new();
        let of = |(id, there): &(Option<IngestId>, Option<AvailableUpdate>)| {
            let id = (*id).filter(|id| seen.insert(*id))?;
            let known = known.get(&(self.component.clone(), id))?;
            match (there, age) {
                (Some(there), Age::Newest) => known.shown(there),
                (Some(there), Age::Older) if known.update.is_none() || known.is_same_file(there) => Some(there.clone()),
                (Some(there), Age::Older) => {
                    let (status, restored) = (there.status, there.restored);
                    known.update.clone().map(|update| AvailableUpdate { status, restored, ..update })
                }
                (None, Age::Newest) => known.update.as_ref().and_then(|update| known.shown(update)),
                (None, Age::Older) => None,
            }
        };
        Shown(self.updates.iter().map(of).collect())
    }

    /// Returns whether that is what the version says.
    fn is_said(&self, Shown(shown): &Shown) -> bool {
        self.are_exact && self.updates.iter().map(|(_, there)| there).eq(shown) && shown.iter().all(Option::is_some)
    }
}

/// What is shown in the place of each update of a component; nothing for one that is not shown.
struct Shown(Vec<Option<AvailableUpdate>>);

impl Shown {
    fn put_into(self, component: &mut DeviceComponent, base: &CanonicalBase) {
        let mut shown = self.0.into_iter();
        let of = |extension: Extension| {
            if !is_available_update(extension.url.as_str()) {
                return Some(extension);
            }
            let update = shown.next().flatten()?;
            let is_said = exactly(&extension).is_some_and(|there| there == update);
            Some(if is_said { extension } else { update.to_extension_under(base) })
        };
        component.extension = std::mem::take(&mut component.extension).into_iter().filter_map(of).collect();
    }
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Returns the newest version of a resource as a client reads it.
    pub(super) async fn shown(&self, version: &Version) -> Result<Body> {
        // What was written is shown, however large it is: the request cannot be carried out once more.
        let all = self.shown_each(std::iter::once((version, Age::Newest)), false).await?;
        all.into_iter().next().ok_or_else(|| Problem::of_store(&StoreError::not_found(), &version.key))
    }

    /// Returns whether a version is the newest. That is looked up only where it may have updates.
    pub(super) async fn age(&self, version: &Version) -> Result<Age> {
        let has_none = version.key.resource_type() != ResourceType::DeviceComponent
            || !may_have_updates(version.body.as_deref().unwrap_or_default());
        if self.updates.is_none() || has_none {
            return Ok(Age::Older);
        }
        match self.store.read(&version.key).await {
            Ok(newest) if newest.version == version.version => Ok(Age::Newest),
            Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(Age::Older),
            Err(error) => Err(Problem::of_store(&error, &version.key)),
        }
    }

    /// Returns the resources of versions as a client reads them, in their order. Of the updates of a component, none
    /// is shown that the service does not know, and none otherwise than it knows it; the service is asked once, and
    /// only where some version has one. A deletion has no resource, and is passed over.
    pub(super) async fn shown_all<'v>(&self, versions: impl Iterator<Item = (&'v Version, Age)>) -> Result<Vec<Body>> {
        self.shown_each(versions, true).await
    }

    /// Returns the same. `defers` tells that a large resource may be left for later.
    async fn shown_each<'v>(
        &self,
        versions: impl Iterator<Item = (&'v Version, Age)>,
        defers: bool,
    ) -> Result<Vec<Body>> {
        let mut all: Vec<(&Version, Age, Option<Said>)> = Vec::new();
        for (version, age) in versions.filter(|(version, _)| !version.is_deleted()) {
            let said = if self.updates.is_some() { self.said(version, defers).await? } else { None };
            all.push((version, age, said));
        }
        let known = match &self.updates {
            Some(updates) => self.known_of_all(&**updates, all.iter().filter_map(|(.., said)| said.as_ref())).await?,
            None => Known::new(),
        };
        let mut bodies = Vec::with_capacity(all.len());
        for (version, age, said) in all {
            let of_store = |error| Problem::of_store(&error, &version.key);
            let shown = said.map(|said| (said.shown(&known, age), said)).filter(|(shown, said)| !said.is_said(shown));
            bodies.push(match shown {
                None => stamped_body(version).map_err(of_store)?,
                Some((shown, _)) => self.with_updates(version, shown).map_err(of_store)?.into(),
            });
        }
        Ok(bodies)
    }

    /// Returns what a version says of updates; nothing where it is no component or says nothing of any.
    async fn said(&self, version: &Version, defers: bool) -> Result<Option<Said>> {
        let body = version.body.as_deref().unwrap_or_default();
        if version.key.resource_type() != ResourceType::DeviceComponent || !may_have_updates(body) {
            return Ok(None);
        }
        if defers {
            self.spent.may_read(body.len())?;
        }
        self.spent.look(0, body.len());
        yield_now().await;
        let of_store = |error| Problem::of_store(&error, &version.key);
        let Resource::DeviceComponent(component) = typed(version).map_err(of_store)? else { return Ok(None) };
        let Ok(id) = Id::new(version.key.id().as_str()) else { return Ok(None) };
        Ok(Some(Said::of(&component, id)).filter(|said| !said.updates.is_empty()))
    }

    /// Returns what the service knows of all that is said.
    async fn known_of_all(&self, updates: &dyn KnownUpdates, said: impl Iterator<Item = &Said>) -> Result<Known> {
        let mut of = BTreeSet::new();
        for said in said {
            of.extend(said.updates.iter().filter_map(|(id, _)| Some((said.component.clone(), (*id)?))));
        }
        if of.is_empty() {
            return Ok(Known::new());
        }
        let known = updates.known(self.store.tenant(), &of).await;
        known.map_err(|error| Problem::of_store(&error, "the list of updates"))
    }

    /// Returns a component with other updates in the places of its own.
    fn with_updates(&self, version: &Version, shown: Shown) -> crate::store::Result<String> {
        let resource = typed(version)?;
        let Resource::DeviceComponent(mut component) = resource else { return Ok(resource.to_json()) };
        shown.put_into(&mut component, &self.canonical);
        stamp(component.meta.get_or_insert_default(), version);
        Ok(component.to_json())
    }
}
