//! The updates of a component belong to the service that attaches them: what a client writes neither adds, changes nor
//! removes one.

use super::Server;
use super::find::size;
use super::known::{KnownUpdate, UpdateStage};
use super::problem::{Problem, Result};
use super::write::write_id;
use crate::datatype::Extension;
use crate::element::{Facts, Node};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::manifest::IngestId;
use crate::primitive::Id;
use crate::resource::{DeviceComponent, Resource};
use crate::store::{Precondition, ResourceStore, ValidWrite, Version, typed};
use crate::update::{AvailableUpdate, UpdateStatus, is_available_update, remove_damage, states, update_id};
use crate::validate::Valid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The key of the rule.
const RULE: &str = "available-update";

/// How many updates that the stored component does not have are looked up for one request.
const MAX_LOOKUPS: usize = 64;

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Returns the write of a resource that a client sent, over what is stored under its key. Every write of a client
    /// is made here.
    ///
    /// A component keeps the updates that it has: those that the client left out are put back, and those that it sent are
    /// replaced by what is stored. It is written on the condition that it is still in the version whose updates were kept,
    /// unless `when` names another one, so that the write fails.
    pub(super) async fn client_write(
        &self,
        resource: Valid<Resource>,
        stored: Option<&Version>,
        when: Precondition,
    ) -> Result<ValidWrite> {
        let mut misplaced = Report::new();
        find_misplaced(&*resource, &Path::root(resource.resource_type()), &mut misplaced);
        if !misplaced.is_empty() {
            return Err(Problem::unprocessable(&misplaced));
        }
        let (mut resource, mut when) = (resource, when);
        if let Resource::DeviceComponent(component) = &*resource {
            let mut kept = component.clone();
            self.keep_updates(&mut kept, stored).await?;
            let is_changed = kept.extension != component.extension;
            // It is checked again only where an update that was left out may have been all that referred to a contained resource.
            resource = if is_changed && !kept.contained.is_empty() && component.extension.iter().any(refers_within) {
                let valid = Valid::by(Resource::DeviceComponent(kept), &self.validator);
                valid.map_err(|report| Problem::document_within(report, &self.limits))?
            } else {
                Valid::known(Resource::DeviceComponent(kept))
            };
            when = match (stored, when) {
                (Some(stored), Precondition::Exists | Precondition::None) => Precondition::Version(stored.version),
                (None, Precondition::Exists | Precondition::None) => Precondition::Absent,
                (_, when) => when,
            };
        }
        let write = resource.write(when).map_err(|error| Problem::of_store(&error, resource.resource_type()))?;
        Ok(write.with_id(write_id()?))
    }

    /// Puts the updates that are stored into the component, in the places of those that the client sent and behind them; unless
    /// what it sent is exactly what the service that owns them may write.
    async fn keep_updates(&self, component: &mut DeviceComponent, stored: Option<&Version>) -> Result<()> {
        self.spent.read(stored.map_or(0, size), &self.limits)?;
        // A component that was read shows damage to a file, which is not part of it.
        component.extension.iter_mut().filter(|sent| is_update(sent)).for_each(remove_damage);
        let stored = match stored.map(typed).transpose() {
            Ok(Some(Resource::DeviceComponent(stored))) => stored.extension,
            Ok(_) => Vec::new(),
            Err(error) => return Err(Problem::of_store(&error, "the component")),
        };
        let stored: Vec<Extension> = stored.into_iter().filter(is_update).collect();
        if stored.iter().eq(component.extension.iter().filter(|sent| is_update(sent))) {
            return Ok(());
        }
        let mut copies: BTreeMap<Identity, usize> = BTreeMap::new();
        for update in &stored {
            *copies.entry(Identity::of(update)).or_default() += 1;
        }
        let (mut places, mut others) = (BTreeSet::new(), Vec::new());
        for (at, update) in component.extension.iter().enumerate().filter(|(_, sent)| is_update(sent)) {
            let identity = Identity::of(update);
            match copies.get_mut(&identity) {
                Some(0) => {}
                Some(count) => {
                    *count -= 1;
                    places.insert(at);
                }
                None => others.push((at, identity)),
            }
        }
        let known = self.known_of(component, copies.keys().chain(others.iter().map(|(_, other)| other))).await?;
        if !known.is_empty() && is_of_the_service(component, &stored, &known) {
            // What no service knows is not the client's to take out either.
            let is_unknown = |update: &Extension| Identity::of(update).id().is_none_or(|id| !known.contains_key(&id));
            component.extension.extend(stored.into_iter().filter(is_unknown));
            return Ok(());
        }
        refuse_unknown(&others, &known)?;
        let mut stored = VecDeque::from(stored);
        let sent = std::mem::take(&mut component.extension);
        for (at, extension) in sent.into_iter().enumerate() {
            if !is_update(&extension) {
                component.extension.push(extension);
            } else if places.contains(&at) {
                // The order among the updates is the service's too.
                component.extension.extend(stored.pop_front());
            }
        }
        component.extension.extend(stored);
        Ok(())
    }

    /// Returns what the service knows of updates of a component.
    async fn known_of<'i>(
        &self,
        component: &DeviceComponent,
        identities: impl Iterator<Item = &'i Identity>,
    ) -> Result<BTreeMap<IngestId, KnownUpdate>> {
        let id = component.id.as_ref().and_then(|id| id.value.as_ref());
        let (Some(updates), Some(id)) = (&self.updates, id) else { return Ok(BTreeMap::new()) };
        let of: BTreeSet<(Id, IngestId)> =
            identities.filter_map(Identity::id).map(|update| (id.clone(), update)).take(MAX_LOOKUPS).collect();
        if of.is_empty() {
            return Ok(BTreeMap::new());
        }
        let known = updates.known(self.store.tenant(), &of).await;
        let known = known.map_err(|error| Problem::of_store(&error, "the list of updates"))?;
        Ok(known.into_iter().map(|((_, update), known)| (update, known)).collect())
    }
}

/// Returns whether the updates of a component are exactly such as the service that owns them may write over the stored
/// ones: each is stored already or says what its record says, none is left out that is to stay, and one at most is
/// current.
fn is_of_the_service(
    component: &DeviceComponent,
    stored: &[Extension],
    known: &BTreeMap<IngestId, KnownUpdate>,
) -> bool {
    let sent: Vec<&Extension> = component.extension.iter().filter(|sent| is_update(sent)).collect();
    let Ok(read) = sent.iter().map(|sent| AvailableUpdate::from_extension(sent)).collect::<Result<Vec<_>, _>>() else {
        return false;
    };
    let is_current = |update: &AvailableUpdate| update.status == UpdateStatus::Current;
    let currents = read.iter().filter(|update| is_current(update)).count();
    let before: BTreeMap<IngestId, &Extension> =
        stored.iter().filter_map(|stored| Some((update_id(stored)?, stored))).collect();
    let mut ids = BTreeSet::new();
    let fits = |(update, extension): (&AvailableUpdate, &&Extension)| {
        let Some(known) = known.get(&update.id) else { return false };
        let is_unchanged = before.get(&update.id) == Some(extension) && known.stage != UpdateStage::Ended;
        let with_another = currents > usize::from(is_current(update));
        ids.insert(update.id) && (is_unchanged || known.may_become(update, with_another) && states(extension, update))
    };
    currents <= 1
        && read.iter().zip(&sent).all(fits)
        && before.keys().all(|id| ids.contains(id) || known.get(id).is_none_or(KnownUpdate::may_leave))
}

/// Refuses the updates that neither the stored component nor the ledger has, and those that are about to be attached and are
/// not sent as the ledger has them.
fn refuse_unknown(others: &[(usize, Identity)], known: &BTreeMap<IngestId, KnownUpdate>) -> Result<()> {
    let fault = |(at, identity): &(usize, Identity)| {
        let found = match identity.id().map(|id| (id, known.get(&id))) {
            Some((id, Some(known))) if known.stage == UpdateStage::Attaching => {
                format!("the update `{id}` is being attached, and not in this way")
            }
            Some((_, Some(_))) => return None,
            Some((id, None)) => format!("no update `{id}` of this component is known"),
            None => "the update has no id".to_owned(),
        };
        let message = format!("{found}, wanted none but those that the service attached");
        let root = Path::root("DeviceComponent");
        Some(Issue::new(RULE, Severity::Error, IssueType::BusinessRule, root.item("extension", *at), message))
    };
    let report: Report = others.iter().filter_map(fault).take(MAX_LOOKUPS).collect();
    if report.is_empty() { Ok(()) } else { Err(Problem::unprocessable(&report)) }
}

/// Returns whether an update may refer to a contained resource. Those of the service never do.
fn refers_within(extension: &Extension) -> bool {
    is_update(extension) && format!("{extension:?}").contains('#')
}

fn is_update(extension: &Extension) -> bool {
    is_available_update(extension.url.as_str())
}

/// By what an update that a client sends is recognised among those that are stored: its id, or all of it where it has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Id(IngestId),
    Whole(String),
}

impl Identity {
    fn of(update: &Extension) -> Self {
        update_id(update).map_or_else(|| Self::Whole(format!("{update:?}")), Self::Id)
    }

    fn id(&self) -> Option<IngestId> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Whole(_) => None,
        }
    }
}

/// Finds extensions with the address of an update in all places but that of the updates of a component.
fn find_misplaced(node: &dyn Node, at: &Path<'_>, report: &mut Report) {
    node.children(at, &mut |child, below| {
        let found = match below.facts() {
            Facts::Extension { url } => url.is_some_and(is_available_update),
            Facts::Text { json, .. } => json.split('"').any(is_available_update),
            _ => false,
        };
        let of_component = child.name() == "extension"
            && child.parent().is_some_and(|up| up.parent().is_none() && up.name() == "DeviceComponent");
        if found && !of_component && report.len() < MAX_LOOKUPS {
            let message = "an update is available for a component, wanted it in `DeviceComponent.extension` alone";
            report.push(Issue::new(RULE, Severity::Error, IssueType::BusinessRule, child, message));
        }
        // What stands in an update of a component is replaced by what is stored.
        if !(found && of_component) {
            find_misplaced(below, child, report);
        }
    });
}
